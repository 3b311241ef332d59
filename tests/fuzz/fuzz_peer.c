/*
 * Messages between servers, and sets of them, from any bytes: as they come, and with a head that
 * fits, so that what is behind the checksum is reached. What decodes is within the limits, encodes
 * to the same bytes, needs all of them, and is not taken after a byte of it changed.
 *
 * Input: a message. Of its head only kind, epoch and session count for the second way.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/json_text.h"
#include "repl/peer.h"

static bool within(struct span part, struct span whole)
{
    return part.bytes == 0 ||
           (part.at >= whole.at && part.at + part.bytes <= whole.at + whole.bytes);
}

static void check_name(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t bytes = strnlen(name, APP_NAME_BYTES_MAX + 1);
    assert(bytes >= 1 && bytes <= APP_NAME_BYTES_MAX && strspn(name, letters) == bytes);
    assert(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

/* Code points, so that it is another reading than the decoder's. */
static void check_text(const char *text, size_t size)
{
    assert(memchr(text, '\0', size) != NULL);
    for (struct span rest = span_of(text); rest.bytes != 0;) {
        const unsigned char *at = (const unsigned char *)rest.at;
        size_t bytes = utf8_char_bytes(rest);
        assert(bytes != 0);
        uint32_t point = bytes == 1 ? at[0] : at[0] & (0x7fU >> bytes);
        for (size_t i = 1; i < bytes; i++)
            point = point << 6 | (at[i] & 0x3fU);
        assert(point >= 0x20 && (point < 0x7f || point >= 0xa0));
        rest = span(rest.at + bytes, rest.bytes - bytes);
    }
}

static void check_hello(const struct peer_hello *h)
{
    check_name(h->server.name);
    check_text(h->address, sizeof h->address);
    assert(h->points_count >= 1 && h->points_count <= PEER_POINTS_MAX);
    for (unsigned i = 1; i < h->points_count; i++)
        assert(h->points[i].index > h->points[i - 1].index &&
               h->points[i].epoch >= h->points[i - 1].epoch);
}

static void check(const struct peer_message *m, struct span from)
{
    switch (m->kind) {
    case PEER_HELLO:
        check_hello(&m->hello);
        break;
    case PEER_WELCOME:
        check_name(m->welcome.server.name);
        break;
    case PEER_REFUSE:
        assert(m->refuse.code < REFUSE_COUNT);
        check_text(m->refuse.sentence, sizeof m->refuse.sentence);
        break;
    case PEER_UPDATE:
        assert(m->update.first >= 1 && m->update.first <= m->update.last);
        assert(m->update.entries.bytes != 0 && within(m->update.entries, from));
        break;
    case PEER_ACK:
    case PEER_COMMIT:
        break;
    case PEER_FORWARD:
        assert(m->forward.count >= 1 && m->forward.count <= BATCH_WRITES_MAX);
        assert(within(m->forward.writes, from));
        break;
    case PEER_ANSWER:
        assert(m->answer.count >= 1 && m->answer.count <= BATCH_WRITES_MAX);
        assert(within(m->answer.answers, from));
        break;
    case PEER_COPY_ASK:
        check_name(m->copy_ask.server.name);
        break;
    case PEER_COPY_HEAD:
        assert(m->copy_head.at.index != 0 && m->copy_head.bytes != 0);
        assert(m->copy_head.offset <= m->copy_head.bytes);
        break;
    case PEER_COPY_CHUNK:
        assert(m->copy_chunk.bytes.bytes != 0 && within(m->copy_chunk.bytes, from));
        break;
    default:
        abort();
    }
}

static void decode(struct span from)
{
    struct peer_message m;
    size_t need = 0;
    long used = peer_decode(from, &m, &need);
    assert(need >= PEER_HEAD_BYTES && need <= PEER_HEAD_BYTES + PEER_BODY_BYTES_MAX);
    if (used <= 0) {
        assert(used == ERR_BAD_REQUEST || used == ERR_NEWER || (used == 0 && need > from.bytes));
        return;
    }
    assert((size_t)used == need && need <= from.bytes);
    struct span whole = span(from.at, need);
    check(&m, whole);
    struct buf again = {0};
    peer_encode(&again, &m);
    assert(!again.failed && span_eq(buf_span(&again), whole));
    assert(peer_decode(span(again.at, need - 1), &m, NULL) == 0);
    size_t at = (size_t)(m.epoch % need);
    again.at[at] ^= 0x20;
    assert(peer_decode(buf_span(&again), &m, NULL) <= 0);
    buf_finish(&again);
}

static void decode_with_head(struct span from)
{
    char *at = malloc(from.bytes);
    assert(at != NULL);
    memcpy(at, from.at, from.bytes);
    memcpy(at, "\xd5nt\x01", 4);
    memset(at + 5, 0, 3);
    put_u32(at + 8, (uint32_t)(from.bytes - PEER_HEAD_BYTES));
    put_u32(at + 12, crc32c(crc32c(0, at, 12), at + 16, from.bytes - 16));
    decode(span(at, from.bytes));
    free(at);
}

static void decode_set(struct span from)
{
    struct peer_set set;
    int rc = peer_set_decode(from, &set);
    assert(rc == 0 || rc == ERR_CORRUPT);
    if (rc != 0)
        return;
    assert(set.count <= PEER_SET_MAX);
    for (unsigned i = 0; i < set.count; i++) {
        check_name(set.list[i].name);
        for (unsigned k = 0; k < i; k++)
            assert(strcmp(set.list[i].name, set.list[k].name) != 0 &&
                   memcmp(set.list[i].id, set.list[k].id, PEER_ID_BYTES) != 0);
    }
    struct buf again = {0};
    peer_set_encode(&again, &set);
    assert(span_eq(buf_span(&again), from));
    buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = {(const char *)data, size};
    decode(all);
    decode_set(all);
    if (size >= PEER_HEAD_BYTES)
        decode_with_head(all);
    return 0;
}
