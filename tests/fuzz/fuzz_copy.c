/*
 * The receiving side of a full copy under any sequence of messages, lost links and restarts: as a
 * primary sends them, and as none does. A model of the file says which copy each byte is of: a part
 * has the first bytes of one copy and nothing else, goes on only where it ends, never passes the
 * copy's end, and what is refused changes nothing.
 *
 * Input: acts of a byte and what that act takes, until the end.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "repl/full_copy.h"

enum { FILE_BYTES = 2048, CHUNK_BYTES = 200 };

enum act { HEAD, CHUNK, LINK, RESTART, NOTE, HONEST_HEAD, HONEST_CHUNK, RAW, ACTS };

struct input {
    const uint8_t *at;
    size_t bytes;
};

struct receiver {
    struct full_copy part, noted;
    struct repl repl;          /* its cluster, and what it has committed */
    uint32_t file[FILE_BYTES]; /* of which copy the byte is */
    size_t file_bytes;
};

static unsigned next(struct input *in)
{
    if (in->bytes == 0)
        return 0;
    in->bytes--;
    return *in->at++;
}

/* Small numbers, so that they meet; now and then a huge one. */
static uint64_t number(struct input *in)
{
    unsigned byte = next(in);
    return byte < 250 ? byte * (uint64_t)(1 + (byte & 7)) : UINT64_MAX >> (byte & 3) * 20;
}

static bool same_id(const struct full_copy *a, const struct full_copy *b)
{
    return memcmp(a->cluster, b->cluster, PEER_ID_BYTES) == 0 && a->at.epoch == b->at.epoch &&
           a->at.index == b->at.index && a->at.chain == b->at.chain && a->bytes == b->bytes &&
           a->seal == b->seal;
}

static uint32_t tag(const struct full_copy *c)
{
    const uint64_t id[] = {c->at.epoch, c->at.index, c->at.chain, c->bytes, c->seal};
    return crc32c(crc32c(0, c->cluster, PEER_ID_BYTES), id, sizeof id);
}

static bool same_part(const struct full_copy *a, const struct full_copy *b)
{
    return same_id(a, b) && a->got == b->got && a->open == b->open;
}

/* With each head, so that it never speaks of more than there is; and now and then. */
static void note(struct receiver *r)
{
    r->noted = r->part;
    r->noted.open = false;
}

static void took_head(struct receiver *r, const struct full_copy *before,
                      const struct peer_copy_head *h)
{
    static const unsigned char none[PEER_ID_BYTES];
    assert(!before->open && r->part.open);
    assert(memcmp(r->repl.hard.cluster, none, PEER_ID_BYTES) == 0 ||
           memcmp(r->repl.hard.cluster, h->cluster, PEER_ID_BYTES) == 0);
    assert(h->at.index >= r->repl.committed && h->at.index != 0);
    assert(r->part.got == h->offset && r->part.bytes == h->bytes && r->part.seal == h->seal);
    if (h->offset != 0)
        assert(same_id(before, &r->part) && before->got == h->offset);
    else
        r->file_bytes = 0;
    note(r);
}

static void took_chunk(struct receiver *r, const struct full_copy *before,
                       const struct peer_copy_chunk *c)
{
    assert(before->open && c->offset == before->got && same_id(before, &r->part));
    assert(r->part.got == before->got + c->bytes.bytes && r->part.got <= r->part.bytes);
    for (size_t i = 0; i < c->bytes.bytes && r->file_bytes < FILE_BYTES; i++)
        if (r->file_bytes == c->offset + i)
            r->file[r->file_bytes++] = tag(&r->part);
}

static void receive(struct receiver *r, const struct peer_message *m)
{
    const struct full_copy before = r->part;
    const char *why = "no part of a copy";
    if (m->kind == PEER_COPY_HEAD)
        why = full_copy_begin(&r->part, &r->repl, &m->copy_head);
    else if (m->kind == PEER_COPY_CHUNK)
        why = full_copy_take(&r->part, &m->copy_chunk);
    if (why != NULL) {
        assert(why[0] != '\0' && same_part(&before, &r->part));
        r->part.open = false; /* the link ends */
        return;
    }
    if (m->kind == PEER_COPY_HEAD)
        took_head(r, &before, &m->copy_head);
    else
        took_chunk(r, &before, &m->copy_chunk);
}

/* As it comes from a socket. */
static void send(struct receiver *r, const struct peer_message *m)
{
    struct buf bytes = {0};
    struct peer_message got;
    peer_encode(&bytes, m);
    long used = peer_decode(buf_span(&bytes), &got, NULL);
    assert(used == (long)bytes.bytes || used == ERR_BAD_REQUEST);
    if (used > 0)
        receive(r, &got);
    buf_finish(&bytes);
}

static struct full_copy any_copy(struct input *in)
{
    unsigned which = next(in);
    struct full_copy id = {
        .cluster = {which & 1},
        .at = {.epoch = 1, .index = 1 + (which >> 1 & 3), .chain = which >> 3 & 1},
        .seal = which >> 4 & 1};
    id.bytes = number(in);
    return id;
}

static struct peer_message head_of(const struct full_copy *id, uint64_t offset)
{
    struct peer_message m = {.kind = PEER_COPY_HEAD};
    memcpy(m.copy_head.cluster, id->cluster, PEER_ID_BYTES);
    m.copy_head.at = id->at;
    m.copy_head.bytes = id->bytes;
    m.copy_head.seal = id->seal;
    m.copy_head.offset = offset;
    return m;
}

static struct peer_message chunk_at(uint64_t offset, size_t bytes)
{
    static const char some[CHUNK_BYTES];
    struct peer_message m = {.kind = PEER_COPY_CHUNK};
    m.copy_chunk.offset = offset;
    m.copy_chunk.bytes = span(some, bytes < sizeof some ? bytes : sizeof some);
    return m;
}

/* What a primary with this copy answers. False: it refuses. */
static bool answer(struct receiver *r, const struct full_copy *has, struct peer_message *m)
{
    static struct repl primary;
    struct peer_copy_ask ask = {0};
    const char *why;
    primary.o.primary = true;
    memcpy(primary.hard.cluster, has->cluster, PEER_ID_BYTES);
    full_copy_ask(&r->repl, &r->part, &ask);
    assert(!r->part.open);
    *m = head_of(has, 0);
    enum peer_refusal code =
        full_copy_offer(&primary, &ask, &has->at, has->bytes, &m->copy_head, &why);
    assert(why == NULL || code == REFUSE_CLUSTER);
    uint64_t offset = m->copy_head.offset;
    assert(offset == 0 || (offset == ask.offset && offset <= has->bytes));
    return why == NULL;
}

/* From what was noted; the file may have more behind it. */
static void restart(struct receiver *r)
{
    char bytes[FULL_COPY_BYTES];
    full_copy_encode(&r->noted, bytes);
    int rc = full_copy_decode(span(bytes, sizeof bytes), &r->part);
    assert(rc == ((r->noted.at.index != 0) ? 0 : ERR_CORRUPT));
    assert(full_copy_decode(span(bytes, sizeof bytes - 1), &r->part) == ERR_CORRUPT);
    memset(&r->part, 0, sizeof r->part);
    if (rc == 0 && full_copy_decode(span(bytes, sizeof bytes), &r->part) == 0)
        assert(same_id(&r->part, &r->noted) && r->part.got == r->noted.got);
    assert(!r->part.open);
    if (r->file_bytes > r->part.got)
        r->file_bytes = (size_t)r->part.got;
}

static void raw(struct receiver *r, struct input *in)
{
    struct peer_message m;
    struct full_copy any;
    size_t bytes = next(in);
    bytes = bytes < in->bytes ? bytes : in->bytes;
    struct span s = span((const char *)in->at, bytes);
    if (peer_decode(s, &m, NULL) > 0)
        receive(r, &m);
    if (full_copy_decode(s, &any) == 0)
        assert((any.at.index != 0) && any.got <= any.bytes && bytes == FULL_COPY_BYTES);
    in->at += bytes;
    in->bytes -= bytes;
}

static void act(struct receiver *r, struct input *in)
{
    struct peer_copy_ask ask = {0};
    struct full_copy id;
    struct peer_message m;
    uint64_t offset;
    switch ((enum act)(next(in) % ACTS)) {
    case HEAD:
        id = any_copy(in);
        m = head_of(&id, number(in));
        send(r, &m);
        break;
    case CHUNK:
        offset = number(in);
        m = chunk_at(offset, next(in));
        send(r, &m);
        break;
    case LINK:
        full_copy_ask(&r->repl, &r->part, &ask);
        assert(ask.offset == r->part.got && ask.have.index == r->part.at.index);
        break;
    case RESTART:
        restart(r);
        break;
    case NOTE:
        note(r);
        break;
    case HONEST_HEAD:
        id = any_copy(in);
        if (answer(r, &id, &m))
            send(r, &m);
        break;
    case HONEST_CHUNK:
        m = chunk_at(r->part.got, next(in));
        send(r, &m);
        break;
    case RAW:
        raw(r, in);
        break;
    case ACTS:
        break;
    }
}

static void check(const struct receiver *r)
{
    assert(r->part.got <= r->part.bytes);
    assert(full_copy_whole(&r->part) == ((r->part.at.index != 0) && r->part.got == r->part.bytes));
    size_t known = r->part.got < FILE_BYTES ? (size_t)r->part.got : FILE_BYTES;
    assert(r->file_bytes >= known);
    for (size_t i = 0; i < known; i++)
        assert(r->file[i] == tag(&r->part));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct receiver r;
    struct input in = {data, size};
    memset(&r.part, 0, sizeof r.part);
    r.noted = r.part;
    r.file_bytes = 0;
    unsigned first = next(&in);
    r.repl.hard.cluster[0] = first & 1;
    r.repl.committed = first >> 1 & 3;
    while (in.bytes != 0) {
        act(&r, &in);
        check(&r);
    }
    return 0;
}
