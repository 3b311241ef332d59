/* Batches of writes between servers as bytes. What the writes do is unknown here. */
#include "repl/forward.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/err.h"
#include "repl/cursor.h"

enum {
    WRITE_BYTES = 16,
    TAG_BYTES = 8,
    ANSWER_BYTES = 28,
    PATH_BYTES_MAX = 1 + COLLECTION_NAME_BYTES_MAX + 1 + 20, /* of a write */
};

_Static_assert(ERR_COUNT_ <= UINT16_MAX, "a code is two bytes");

/* --- Writes --- */

static void add_write(struct buf *to, const struct write_batch *b, const struct write *w)
{
    struct conditions conditions = {.match.kind = CONDITION_ABSENT};
    char head[WRITE_BYTES];
    head[0] = (char)w->method;
    head[1] = (char)w->media;
    head[2] = (char)w->collection.bytes;
    head[3] = (char)w->key.bytes;
    put_u32(head + 4, w->payload.bytes);
    put_u64(head + 8, w->id);
    buf_add(to, head, sizeof head);
    if (w->has_conditions)
        memcpy(&conditions, b->asked.at + w->conditions_at, sizeof conditions);
    condition_add(to, &conditions.match);
    condition_add(to, &conditions.none_match);
    buf_add_span(to, piece_span(&b->asked, w->collection));
    buf_add_span(to, piece_span(&b->asked, w->key));
    buf_add_span(to, piece_span(&b->asked, w->payload));
}

void forward_encode(struct buf *to, const struct write_batch *b)
{
    for (unsigned i = 0; i < b->count; i++)
        add_write(to, b, &b->writes[i]);
}

static void take_condition(struct cursor *c, struct condition *to)
{
    unsigned kind = take_u8(c), count = take_u8(c);
    bool tags = kind == CONDITION_TAGS;
    c->bad = c->bad || kind > CONDITION_TAGS || tags != (count != 0) || count > CONDITION_TAGS_MAX;
    to->kind = c->bad ? CONDITION_ABSENT : (enum condition_kind)kind;
    to->count = c->bad ? 0 : count;
    for (unsigned i = 0; i < to->count; i++)
        to->tags[i] = take_u64(c);
}

/* What a backup's front end lets through (front/serve.c). */
static bool method_and_media_fit(unsigned method, unsigned media)
{
    if (media > MEDIA_OTHER || !method_writes((enum method)method))
        return false;
    return method == METHOD_DELETE || media != MEDIA_OTHER;
}

/* The path of a write, written to `text` and judged as a client's; false: there is none such. */
static bool make_target(enum method method, struct span name, uint64_t id,
                        char text[PATH_BYTES_MAX], struct target *t)
{
    if (name.bytes > COLLECTION_NAME_BYTES_MAX || (id == 0) != (method == METHOD_POST))
        return false;
    size_t bytes = 0;
    text[bytes++] = '/';
    memcpy(text + bytes, name.at, name.bytes);
    bytes += name.bytes;
    if (id != 0) {
        text[bytes++] = '/';
        bytes += u64_digits(id, text + bytes);
    }
    target_parse(span(text, bytes), t);
    /* a name with "/" or "?" in it would be read as another path */
    return t->kind == (id != 0 ? TARGET_RECORD : TARGET_COLLECTION) && span_eq(t->collection, name);
}

/* 0, or ERR_BAD_REQUEST, ERR_NO_MEMORY. */
static int judge_payload(struct json *json, const struct request *rq)
{
    struct json_found found;
    if (!method_takes_payload(rq->method))
        return rq->payload.bytes == 0 ? 0 : ERR_BAD_REQUEST;
    long rc = json_scan(json, rq->payload, true, &found);
    if (rc == ERR_NO_MEMORY)
        return ERR_NO_MEMORY;
    bool json_patch = payload_is_json_patch(rq->method, rq->media);
    return rc > 0 && found.type == (json_patch ? JSON_ARRAY : JSON_OBJECT) ? 0 : ERR_BAD_REQUEST;
}

static int take_write(struct cursor *c, struct json *json, size_t record_bytes_max,
                      struct write_batch *b)
{
    struct request rq;
    struct target t;
    char text[PATH_BYTES_MAX];
    request_init(&rq);
    unsigned method = take_u8(c), media = take_u8(c);
    size_t name_bytes = take_u8(c), key_bytes = take_u8(c), payload_bytes = take_u32(c);
    uint64_t id = take_u64(c);
    take_condition(c, &rq.conditions.match);
    take_condition(c, &rq.conditions.none_match);
    struct span name = take(c, name_bytes);
    rq.key = take(c, key_bytes);
    rq.payload = take(c, payload_bytes);
    if (c->bad || !method_and_media_fit(method, media))
        return ERR_BAD_REQUEST;
    rq.method = (enum method)method;
    rq.media = (enum media)media;
    rq.has_payload = rq.payload_judged = method_takes_payload(rq.method);
    if (!make_target(rq.method, name, id, text, &t) ||
        (rq.key.bytes != 0 && key_check(rq.key) != 0))
        return ERR_BAD_REQUEST;
    int rc = judge_payload(json, &rq);
    if (rc != 0)
        return rc;
    struct write *w;
    struct piece target = piece_add(&b->asked, t.path);
    rc = write_ask(b, &rq, &t, record_bytes_max, &w);
    if (rc != 0) /* no server forwards what its own write_ask refused */
        return rc == ERR_NO_MEMORY ? rc : ERR_BAD_REQUEST;
    w->target = target;
    return 0;
}

int forward_decode(struct span from, uint32_t count, struct json *json, size_t record_bytes_max,
                   struct write_batch *b)
{
    struct cursor c = {.rest = from};
    assert(b->count == 0);
    if (count == 0 || count > BATCH_WRITES_MAX)
        return ERR_BAD_REQUEST;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = take_write(&c, json, record_bytes_max, b);
    return rc == 0 && !taken_whole(&c) ? ERR_BAD_REQUEST : rc;
}

/* --- Answers --- */

static void add_answer(struct buf *to, const struct write_batch *b, const struct write *w)
{
    char head[ANSWER_BYTES] = {0};
    unsigned place = (unsigned)-w->code;
    head[0] = (char)(place & 0xff);
    head[1] = (char)(place >> 8);
    head[2] = (char)w->has_seq;
    put_u32(head + 4, w->body.bytes);
    put_u64(head + 8, w->seq);
    put_u64(head + 16, w->answered_id);
    put_u32(head + 24, w->copies);
    buf_add(to, head, sizeof head);
    buf_add_span(to, piece_span(&b->answers, w->body));
}

void answers_encode(struct buf *to, const struct write_batch *b)
{
    for (unsigned i = 0; i < b->count; i++)
        add_answer(to, b, &b->writes[i]);
}

static void take_answer(struct cursor *c, struct write_batch *b, struct write *w)
{
    unsigned place = take_u8(c);
    place |= (unsigned)take_u8(c) << 8;
    w->has_seq = take_bool(c);
    c->bad = c->bad || place >= ERR_COUNT_ || take_u8(c) != 0;
    w->code = c->bad ? ERR_INTERNAL : -(int)place;
    size_t body_bytes = take_u32(c);
    w->seq = take_u64(c);
    w->answered_id = take_u64(c);
    w->copies = take_u32(c);
    w->body = piece_add(&b->answers, take(c, body_bytes));
}

int answers_decode(struct span from, uint32_t count, struct write_batch *b)
{
    struct cursor c = {.rest = from};
    if (count != b->count)
        return ERR_BAD_REQUEST;
    for (unsigned i = 0; !c.bad && i < count; i++)
        take_answer(&c, b, &b->writes[i]);
    if (!taken_whole(&c))
        return ERR_BAD_REQUEST;
    return b->answers.failed ? ERR_NO_MEMORY : 0;
}
