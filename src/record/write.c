/* Writes in batches: setting one up from a request. */
#include "record/write.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "record/json.h"

enum { KEEP_BYTES = 2 * BATCH_BYTES_MAX };

_Static_assert((FRONT_BATCHES_MAX & (FRONT_BATCHES_MAX - 1)) == 0,
               "queues have a power of two of places");

int write_port_init(struct write_port *p, void (*ring)(void *order), void *order)
{
    *p = (struct write_port){.ring = ring, .order = order};
    int rc = queue_init(&p->asked, FRONT_BATCHES_MAX);
    return rc != 0 ? rc : queue_init(&p->answered, FRONT_BATCHES_MAX);
}

void write_port_finish(struct write_port *p)
{
    queue_finish(&p->asked);
    queue_finish(&p->answered);
}

struct piece piece_add(struct buf *to, struct span s)
{
    uint32_t at = (uint32_t)to->bytes;
    buf_add_span(to, s);
    return (struct piece){at, (uint32_t)to->bytes - at};
}

struct write_batch *write_batch_create(void)
{
    return calloc(1, sizeof(struct write_batch));
}

void write_batch_destroy(struct write_batch *b)
{
    if (b == NULL)
        return;
    buf_finish(&b->asked);
    buf_finish(&b->answers);
    free(b);
}

void write_batch_reset(struct write_batch *b)
{
    b->next = NULL;
    b->count = b->done = 0;
    b->weight = 0;
    b->fate = FATE_ASKED;
    buf_reset(&b->asked, KEEP_BYTES);
    buf_reset(&b->answers, KEEP_BYTES);
}

void write_batch_fill(struct write_batch *b, unsigned first, int code, const char *detail)
{
    for (; first < b->count; first++) {
        struct write *w = &b->writes[first];
        w->code = code;
        w->has_seq = false;
        w->body =
            detail[0] == '\0' ? (struct piece){0, 0} : piece_add(&b->answers, span_of(detail));
    }
    b->done = b->count;
}

/* The payload's members without "id", compact. ERR_NOT_FOUND: there is no "id", so nothing was
 * appended. */
static int add_without_id(struct buf *to, struct span object, struct span *id)
{
    struct json_walk walk = json_walk(object);
    struct json_member m;
    bool found = false;
    while (!found && json_next(&walk, &m))
        found = json_string_is(m.name, span_of("id"));
    if (!found)
        return ERR_NOT_FOUND;
    *id = m.value;
    if (buf_room(to, object.bytes) == NULL)
        return ERR_NO_MEMORY;
    bool first = true;
    buf_add_char(to, '{');
    for (walk = json_walk(object); json_next(&walk, &m);) {
        if (m.value.at == id->at)
            continue;
        if (!first)
            buf_add_char(to, ',');
        first = false;
        to->bytes += json_compact(m.whole, to->at + to->bytes);
    }
    buf_add_char(to, '}');
    return 0;
}

static int add_compact(struct write_batch *b, struct write *w, struct span text)
{
    struct buf *to = &b->asked;
    w->payload.at = (uint32_t)to->bytes;
    if (buf_room(to, text.bytes) == NULL)
        return ERR_NO_MEMORY;
    to->bytes += json_compact(text, to->at + to->bytes);
    w->payload.bytes = (uint32_t)(to->bytes - w->payload.at);
    return 0;
}

static int add_object(struct write_batch *b, struct write *w, const struct request *rq)
{
    struct buf *to = &b->asked;
    const char *brace = memchr(rq->payload.at, '{', rq->payload.bytes); /* behind white space */
    struct span id, object = span(brace, rq->payload.bytes - (size_t)(brace - rq->payload.at));
    w->payload.at = (uint32_t)to->bytes;
    int rc = add_without_id(to, object, &id);
    if (rc == 0 && w->method == METHOD_POST)
        return ERR_ID_NOT_ALLOWED;
    if (rc == 0) {
        char digits[20];
        if (!span_eq(id, span(digits, u64_digits(w->id, digits))))
            return ERR_ID_MISMATCH;
    } else if (rc == ERR_NOT_FOUND) {
        return add_compact(b, w, object);
    }
    w->payload.bytes = (uint32_t)(to->bytes - w->payload.at);
    return rc;
}

/* "id" is a member of a record, not of a list of operations. */
static int add_payload(struct write_batch *b, struct write *w, const struct request *rq,
                       size_t bytes_max)
{
    int rc = payload_is_json_patch(rq->method, rq->media) ? add_compact(b, w, rq->payload)
                                                          : add_object(b, w, rq);
    return rc == 0 && w->payload.bytes > bytes_max ? ERR_TOO_LARGE : rc;
}

void condition_add(struct buf *to, const struct condition *c)
{
    char bytes[8];
    buf_add_char(to, (char)c->kind);
    unsigned count = c->kind == CONDITION_TAGS ? c->count : 0;
    buf_add_char(to, (char)count);
    for (unsigned i = 0; i < count; i++) {
        put_u64(bytes, c->tags[i]);
        buf_add(to, bytes, sizeof bytes);
    }
}

/* Method, path, conditions and payload, in one spelling for all protocols. Built behind the batch's
 * bytes and dropped. */
static void fingerprint(struct write_batch *b, struct write *w, const struct request *rq)
{
    struct buf *to = &b->asked;
    size_t before = to->bytes;
    char id[8];
    put_u64(id, w->id);
    buf_add_char(to, (char)w->method);
    buf_add_char(to, payload_is_json_patch(w->method, w->media));
    buf_add(to, id, sizeof id);
    condition_add(to, &rq->conditions.match);
    condition_add(to, &rq->conditions.none_match);
    if (buf_room(to, w->collection.bytes + 1 + w->payload.bytes) != NULL) {
        buf_add_span(to, piece_span(to, w->collection));
        buf_add_char(to, '/'); /* no name has it, so name and payload cannot run into each other */
        buf_add_span(to, piece_span(to, w->payload));
        hash128(to->at + before, to->bytes - before, w->fingerprint);
    }
    to->bytes = before;
}

int write_ask(struct write_batch *b, const struct request *rq, const struct target *t,
              size_t record_bytes_max, struct write **out)
{
    struct write *w = &b->writes[b->count];
    size_t before = b->asked.bytes;
    *w = (struct write){.method = rq->method, .media = rq->media, .id = t->id};
    w->collection = piece_add(&b->asked, t->collection);
    w->key = piece_add(&b->asked, rq->key);
    int rc = rq->method == METHOD_DELETE ? 0 : add_payload(b, w, rq, record_bytes_max);
    w->has_conditions = rq->conditions.match.kind != CONDITION_ABSENT ||
                        rq->conditions.none_match.kind != CONDITION_ABSENT;
    if (rc == 0 && w->has_conditions)
        w->conditions_at =
            piece_add(&b->asked, span((const char *)&rq->conditions, sizeof rq->conditions)).at;
    if (rc == 0 && rq->key.bytes != 0)
        fingerprint(b, w, rq);
    if (rc == 0 && b->asked.failed)
        rc = ERR_NO_MEMORY;
    if (rc != 0) {
        b->asked.bytes = before;
        b->asked.failed = false;
        return rc;
    }
    b->count++;
    *out = w;
    return 0;
}
