/* Messages between servers as bytes. What they mean is unknown here. */
#include "repl/peer.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/json_text.h"
#include "repl/cursor.h"

enum { VERSION_AT = 3, KIND_AT = 4, BYTES_AT = 8, CRC_AT = 12, EPOCH_AT = 16, SESSION_AT = 24 };

_Static_assert(DETAIL_BYTES_MAX - 1 <= UINT8_MAX && PEER_ADDRESS_BYTES_MAX <= UINT8_MAX &&
                   APP_NAME_BYTES_MAX <= UINT8_MAX,
               "the length of a text is one byte");

static size_t body_bytes_max(enum peer_kind kind)
{
    bool carries = kind == PEER_UPDATE || kind == PEER_FORWARD || kind == PEER_ANSWER ||
                   kind == PEER_COPY_CHUNK;
    return carries ? PEER_BODY_BYTES_MAX : PEER_SMALL_BYTES_MAX;
}

/* Over all but the checksum itself. */
static uint32_t crc_of(const char *message, size_t body_bytes)
{
    uint32_t crc = crc32c(0, message, CRC_AT);
    return crc32c(crc, message + EPOCH_AT, PEER_HEAD_BYTES - EPOCH_AT + body_bytes);
}

/* As --app-name takes it. */
static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.bytes; i++) {
        char c = s.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return s.bytes != 0 && s.bytes <= APP_NAME_BYTES_MAX && !span_is(s, ".") && !span_is(s, "..");
}

/* --- Structs to bytes --- */

static void add_u8(struct buf *to, unsigned v)
{
    buf_add_char(to, (char)v);
}

static void add_u32(struct buf *to, uint32_t v)
{
    char bytes[4];
    put_u32(bytes, v);
    buf_add(to, bytes, sizeof bytes);
}

static void add_u64(struct buf *to, uint64_t v)
{
    char bytes[8];
    put_u64(bytes, v);
    buf_add(to, bytes, sizeof bytes);
}

/* What is not printable is replaced: a sentence that was cut within a character must not make a
 * message that nobody takes. */
static void add_text(struct buf *to, const char *text, size_t bytes_max)
{
    size_t bytes = strnlen(text, bytes_max);
    add_u8(to, (unsigned)bytes);
    for (size_t i = 0; i < bytes;) {
        size_t printable = utf8_printable_bytes(span(text + i, bytes - i));
        buf_add(to, printable != 0 ? text + i : "?", printable != 0 ? printable : 1);
        i += printable != 0 ? printable : 1;
    }
}

static void add_server(struct buf *to, const struct peer_server *s)
{
    size_t bytes = strnlen(s->name, APP_NAME_BYTES_MAX);
    add_u8(to, (unsigned)bytes);
    buf_add(to, s->name, bytes);
    buf_add(to, s->id, PEER_ID_BYTES);
}

static void add_point(struct buf *to, const struct peer_point *p)
{
    add_u64(to, p->epoch);
    add_u64(to, p->index);
    add_u64(to, p->chain);
}

static void add_hello(struct buf *to, const struct peer_hello *h)
{
    assert(h->points_count >= 1 && h->points_count <= PEER_POINTS_MAX);
    buf_add(to, h->cluster, PEER_ID_BYTES);
    add_u32(to, h->group);
    add_u32(to, h->generation);
    add_server(to, &h->server);
    add_text(to, h->address, PEER_ADDRESS_BYTES_MAX);
    add_u64(to, h->life);
    add_u64(to, h->promised_epoch);
    add_u64(to, h->promised_life);
    add_u8(to, h->points_count);
    for (unsigned i = 0; i < h->points_count; i++)
        add_point(to, &h->points[i]);
}

static void add_welcome(struct buf *to, const struct peer_welcome *w)
{
    buf_add(to, w->cluster, PEER_ID_BYTES);
    add_u32(to, w->generation);
    add_server(to, &w->server);
    add_u64(to, w->life);
    add_point(to, &w->match);
    add_u64(to, w->commit);
    add_u64(to, w->goal);
}

static void add_refuse(struct buf *to, const struct peer_refuse *r)
{
    add_u8(to, r->code);
    add_u64(to, r->promised_epoch);
    add_text(to, r->sentence, DETAIL_BYTES_MAX - 1);
}

static void add_update(struct buf *to, const struct peer_update *u)
{
    add_u64(to, u->first);
    add_u64(to, u->last);
    add_u64(to, u->commit);
    add_u8(to, u->in_sync);
    buf_add_span(to, u->entries);
}

static void add_ack(struct buf *to, const struct peer_ack *a)
{
    add_u64(to, a->durable);
    add_u64(to, a->applied);
    add_u64(to, a->digest);
    add_u64(to, a->first_seq);
    add_u64(to, a->last_seq);
    add_u8(to, a->beat);
    add_u8(to, a->full);
}

static void add_commit(struct buf *to, const struct peer_commit *c)
{
    add_u64(to, c->commit);
    add_u64(to, c->digest);
    add_u8(to, c->in_sync);
    add_u8(to, c->beat);
}

static void add_forward(struct buf *to, const struct peer_forward *f)
{
    add_u64(to, f->id);
    add_u32(to, f->count);
    buf_add_span(to, f->writes);
}

static void add_answer(struct buf *to, const struct peer_answer *a)
{
    add_u64(to, a->id);
    add_u64(to, a->index);
    add_u32(to, a->count);
    buf_add_span(to, a->answers);
}

static void add_copy_ask(struct buf *to, const struct peer_copy_ask *a)
{
    buf_add(to, a->cluster, PEER_ID_BYTES);
    add_u32(to, a->group);
    add_server(to, &a->server);
    add_point(to, &a->have);
    add_u64(to, a->seal);
    add_u64(to, a->offset);
}

static void add_copy_head(struct buf *to, const struct peer_copy_head *h)
{
    buf_add(to, h->cluster, PEER_ID_BYTES);
    add_point(to, &h->at);
    add_u64(to, h->bytes);
    add_u64(to, h->seal);
    add_u64(to, h->offset);
}

static void add_copy_chunk(struct buf *to, const struct peer_copy_chunk *c)
{
    add_u64(to, c->offset);
    buf_add_span(to, c->bytes);
}

static void add_body(struct buf *to, const struct peer_message *m)
{
    switch (m->kind) {
    case PEER_HELLO:
        add_hello(to, &m->hello);
        break;
    case PEER_WELCOME:
        add_welcome(to, &m->welcome);
        break;
    case PEER_REFUSE:
        add_refuse(to, &m->refuse);
        break;
    case PEER_UPDATE:
        add_update(to, &m->update);
        break;
    case PEER_ACK:
        add_ack(to, &m->ack);
        break;
    case PEER_COMMIT:
        add_commit(to, &m->commit);
        break;
    case PEER_FORWARD:
        add_forward(to, &m->forward);
        break;
    case PEER_ANSWER:
        add_answer(to, &m->answer);
        break;
    case PEER_COPY_ASK:
        add_copy_ask(to, &m->copy_ask);
        break;
    case PEER_COPY_HEAD:
        add_copy_head(to, &m->copy_head);
        break;
    case PEER_COPY_CHUNK:
        add_copy_chunk(to, &m->copy_chunk);
        break;
    }
}

void peer_encode(struct buf *to, const struct peer_message *m)
{
    size_t start = to->bytes;
    char head[PEER_HEAD_BYTES] = {(char)PEER_FIRST_BYTE, 'n', 't'};
    head[VERSION_AT] = PEER_VERSION;
    head[KIND_AT] = (char)m->kind;
    put_u64(head + EPOCH_AT, m->epoch);
    put_u64(head + SESSION_AT, m->session);
    buf_add(to, head, sizeof head);
    add_body(to, m);
    size_t body_bytes = to->bytes - start - PEER_HEAD_BYTES;
    if (!to->failed && body_bytes > body_bytes_max(m->kind))
        to->failed = true; /* the receiver would close, too */
    if (to->failed) {
        to->bytes = start;
        return;
    }
    char *at = to->at + start;
    put_u32(at + BYTES_AT, (uint32_t)body_bytes);
    put_u32(at + CRC_AT, crc_of(at, body_bytes));
}

/* --- Bytes to structs, which are zero before --- */

static void take_bytes(struct cursor *c, void *to, size_t bytes)
{
    struct span s = take(c, bytes);
    if (s.bytes != 0)
        memcpy(to, s.at, s.bytes);
}

/* `to` has room for bytes_max and a NUL. */
static void take_text(struct cursor *c, char *to, size_t bytes_max)
{
    struct span text = take(c, take_u8(c));
    c->bad = c->bad || text.bytes > bytes_max;
    for (size_t i = 0, bytes; !c->bad && i < text.bytes; i += bytes) {
        bytes = utf8_printable_bytes(span(text.at + i, text.bytes - i));
        c->bad = bytes == 0;
    }
    if (!c->bad && text.bytes != 0)
        memcpy(to, text.at, text.bytes);
}

static void take_server(struct cursor *c, struct peer_server *s)
{
    struct span name = take(c, take_u8(c));
    c->bad = c->bad || !is_name(name);
    if (!c->bad)
        memcpy(s->name, name.at, name.bytes);
    take_bytes(c, s->id, PEER_ID_BYTES);
}

static struct peer_point take_point(struct cursor *c)
{
    struct peer_point p;
    p.epoch = take_u64(c);
    p.index = take_u64(c);
    p.chain = take_u64(c);
    return p;
}

static void take_hello(struct cursor *c, struct peer_hello *h)
{
    take_bytes(c, h->cluster, PEER_ID_BYTES);
    h->group = take_u32(c);
    h->generation = take_u32(c);
    take_server(c, &h->server);
    take_text(c, h->address, PEER_ADDRESS_BYTES_MAX);
    h->life = take_u64(c);
    h->promised_epoch = take_u64(c);
    h->promised_life = take_u64(c);
    h->points_count = take_u8(c);
    c->bad = c->bad || h->points_count == 0 || h->points_count > PEER_POINTS_MAX;
    for (unsigned i = 0; !c->bad && i < h->points_count; i++) {
        const struct peer_point *before = &h->points[i - (i != 0)];
        struct peer_point p = take_point(c);
        if (i != 0 && (p.index <= before->index || p.epoch < before->epoch))
            c->bad = true;
        h->points[i] = p;
    }
}

static void take_welcome(struct cursor *c, struct peer_welcome *w)
{
    take_bytes(c, w->cluster, PEER_ID_BYTES);
    w->generation = take_u32(c);
    take_server(c, &w->server);
    w->life = take_u64(c);
    w->match = take_point(c);
    w->commit = take_u64(c);
    w->goal = take_u64(c);
}

static void take_refuse(struct cursor *c, struct peer_refuse *r)
{
    uint8_t code = take_u8(c);
    c->bad = c->bad || code >= REFUSE_COUNT;
    r->code = c->bad ? REFUSE_OTHER : (enum peer_refusal)code;
    r->promised_epoch = take_u64(c);
    take_text(c, r->sentence, DETAIL_BYTES_MAX - 1);
}

static void take_update(struct cursor *c, struct peer_update *u)
{
    u->first = take_u64(c);
    u->last = take_u64(c);
    u->commit = take_u64(c);
    u->in_sync = take_bool(c);
    u->entries = take_rest(c);
    c->bad = c->bad || u->first == 0 || u->last < u->first || u->entries.bytes == 0;
}

static void take_ack(struct cursor *c, struct peer_ack *a)
{
    a->durable = take_u64(c);
    a->applied = take_u64(c);
    a->digest = take_u64(c);
    a->first_seq = take_u64(c);
    a->last_seq = take_u64(c);
    a->beat = take_bool(c);
    a->full = take_bool(c);
}

static void take_commit(struct cursor *c, struct peer_commit *to)
{
    to->commit = take_u64(c);
    to->digest = take_u64(c);
    to->in_sync = take_bool(c);
    to->beat = take_bool(c);
}

static uint32_t take_count(struct cursor *c)
{
    uint32_t count = take_u32(c);
    c->bad = c->bad || count == 0 || count > BATCH_WRITES_MAX;
    return count;
}

static void take_forward(struct cursor *c, struct peer_forward *f)
{
    f->id = take_u64(c);
    f->count = take_count(c);
    f->writes = take_rest(c);
}

static void take_answer(struct cursor *c, struct peer_answer *a)
{
    a->id = take_u64(c);
    a->index = take_u64(c);
    a->count = take_count(c);
    a->answers = take_rest(c);
}

static void take_copy_ask(struct cursor *c, struct peer_copy_ask *a)
{
    take_bytes(c, a->cluster, PEER_ID_BYTES);
    a->group = take_u32(c);
    take_server(c, &a->server);
    a->have = take_point(c);
    a->seal = take_u64(c);
    a->offset = take_u64(c);
}

static void take_copy_head(struct cursor *c, struct peer_copy_head *h)
{
    take_bytes(c, h->cluster, PEER_ID_BYTES);
    h->at = take_point(c);
    h->bytes = take_u64(c);
    h->seal = take_u64(c);
    h->offset = take_u64(c);
    c->bad = c->bad || h->offset > h->bytes || h->bytes == 0 || h->at.index == 0;
}

static void take_copy_chunk(struct cursor *c, struct peer_copy_chunk *chunk)
{
    chunk->offset = take_u64(c);
    chunk->bytes = take_rest(c);
    c->bad = c->bad || chunk->bytes.bytes == 0;
}

static void take_body(struct cursor *c, struct peer_message *m)
{
    switch (m->kind) {
    case PEER_HELLO:
        take_hello(c, &m->hello);
        break;
    case PEER_WELCOME:
        take_welcome(c, &m->welcome);
        break;
    case PEER_REFUSE:
        take_refuse(c, &m->refuse);
        break;
    case PEER_UPDATE:
        take_update(c, &m->update);
        break;
    case PEER_ACK:
        take_ack(c, &m->ack);
        break;
    case PEER_COMMIT:
        take_commit(c, &m->commit);
        break;
    case PEER_FORWARD:
        take_forward(c, &m->forward);
        break;
    case PEER_ANSWER:
        take_answer(c, &m->answer);
        break;
    case PEER_COPY_ASK:
        take_copy_ask(c, &m->copy_ask);
        break;
    case PEER_COPY_HEAD:
        take_copy_head(c, &m->copy_head);
        break;
    case PEER_COPY_CHUNK:
        take_copy_chunk(c, &m->copy_chunk);
        break;
    }
}

/* Whether `from`, as far as it goes, begins as a message does. */
static bool magic_fits(struct span from)
{
    static const char magic[VERSION_AT] = {(char)PEER_FIRST_BYTE, 'n', 't'};
    size_t bytes = from.bytes < sizeof magic ? from.bytes : sizeof magic;
    return bytes == 0 || memcmp(from.at, magic, bytes) == 0;
}

/* The message's bytes, as its head says; 0: the head is not whole. */
static long judge_head(struct span from)
{
    const unsigned char *at = (const unsigned char *)from.at;
    if (!magic_fits(from))
        return ERR_BAD_REQUEST;
    if (from.bytes > VERSION_AT && at[VERSION_AT] != PEER_VERSION)
        return ERR_NEWER; /* what follows may have another form */
    if (from.bytes < PEER_HEAD_BYTES)
        return 0;
    size_t body_bytes = get_u32(at + BYTES_AT);
    if (at[KIND_AT] < PEER_HELLO || at[KIND_AT] > PEER_COPY_CHUNK || at[KIND_AT + 1] != 0 ||
        at[KIND_AT + 2] != 0 || at[KIND_AT + 3] != 0 ||
        body_bytes > body_bytes_max((enum peer_kind)at[KIND_AT]))
        return ERR_BAD_REQUEST;
    return (long)(PEER_HEAD_BYTES + body_bytes);
}

long peer_decode(struct span from, struct peer_message *m, size_t *need)
{
    long bytes = judge_head(from);
    if (need != NULL)
        *need = bytes > 0 ? (size_t)bytes : PEER_HEAD_BYTES;
    if (bytes <= 0 || (size_t)bytes > from.bytes)
        return bytes < 0 ? bytes : 0;
    const char *at = from.at;
    size_t body_bytes = (size_t)bytes - PEER_HEAD_BYTES;
    if (get_u32(at + CRC_AT) != crc_of(at, body_bytes))
        return ERR_BAD_REQUEST;
    memset(m, 0, sizeof *m);
    m->kind = (enum peer_kind)at[KIND_AT];
    m->epoch = get_u64(at + EPOCH_AT);
    m->session = get_u64(at + SESSION_AT);
    struct cursor c = {.rest = span(at + PEER_HEAD_BYTES, body_bytes)};
    take_body(&c, m);
    return taken_whole(&c) ? bytes : ERR_BAD_REQUEST;
}

/* --- Sets of servers --- */

bool peer_set_has(const struct peer_set *set, const unsigned char id[PEER_ID_BYTES])
{
    for (unsigned i = 0; i < set->count; i++)
        if (memcmp(set->list[i].id, id, PEER_ID_BYTES) == 0)
            return true;
    return false;
}

void peer_set_encode(struct buf *to, const struct peer_set *set)
{
    assert(set->count <= PEER_SET_MAX);
    add_u8(to, set->count);
    for (unsigned i = 0; i < set->count; i++)
        add_server(to, &set->list[i]);
}

static bool is_twice(const struct peer_set *set, const struct peer_server *s)
{
    for (unsigned i = 0; i < set->count; i++)
        if (strcmp(set->list[i].name, s->name) == 0 ||
            memcmp(set->list[i].id, s->id, PEER_ID_BYTES) == 0)
            return true;
    return false;
}

int peer_set_decode(struct span from, struct peer_set *set)
{
    struct cursor c = {.rest = from};
    memset(set, 0, sizeof *set);
    unsigned count = take_u8(&c);
    if (count > PEER_SET_MAX)
        return ERR_CORRUPT;
    while (!c.bad && set->count < count) {
        struct peer_server *s = &set->list[set->count];
        take_server(&c, s);
        c.bad = c.bad || is_twice(set, s);
        set->count++;
    }
    return taken_whole(&c) ? 0 : ERR_CORRUPT;
}
