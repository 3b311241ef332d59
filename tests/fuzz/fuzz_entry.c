/*
 * Entries and effects from any bytes. What decodes is within the limits and encodes to the same
 * bytes; a sealed entry decodes to what was sealed and not after a byte of it changed; applied to
 * local storage it either changes it as its effects say, the same on every server, or fails, and
 * the aborted storage is as it was.
 *
 * Input: four bytes that say how the entry is bent, then its effects.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "record/effect.h"
#include "repl/entry.h"
#include "repl/peer.h"

enum { BEND_COUNT = 1, BEND_INDEX = 2, BEND_SEQ = 4, BEND_EPOCH = 8, BEND_TIME = 16, START = 32 };

/* --- Decoding --- */

/* How many effects stand one behind the other at the start of `bytes`, and what is left. */
static uint32_t effects_in(struct span bytes, struct span *rest)
{
    uint32_t count = 0;
    struct effect e;
    for (long used; (used = effect_decode(bytes, &e)) != ERR_CORRUPT; count++) {
        assert(used > 0 && (size_t)used <= bytes.bytes);
        assert(e.kind == EFFECT_PUT || e.kind == EFFECT_DELETE);
        assert(e.collection.bytes >= 1 && e.collection.bytes <= COLLECTION_NAME_BYTES_MAX);
        assert(e.key.bytes <= KEY_BYTES_MAX && e.id >= 1 && e.id <= ID_MAX);
        struct buf again = {0};
        effect_encode(&again, &e);
        assert(!again.failed && span_eq(buf_span(&again), span(bytes.at, (size_t)used)));
        buf_finish(&again);
        bytes = span(bytes.at + used, bytes.bytes - (size_t)used);
    }
    *rest = bytes;
    return count;
}

static void decode_any(struct span bytes)
{
    struct entry e;
    long used = entry_decode(bytes, 0, &e);
    assert(used == 0 || used == ERR_CORRUPT || used == ERR_NEWER || used >= ENTRY_HEAD_BYTES);
    if (used > 0) {
        assert((size_t)used <= bytes.bytes);
        assert(e.kind >= ENTRY_WRITES && e.kind <= ENTRY_CONFIG);
        assert(e.kind == ENTRY_WRITES || e.effects == 0);
        assert(e.body.at == bytes.at + ENTRY_HEAD_BYTES);
        assert(e.body.bytes == (size_t)used - ENTRY_HEAD_BYTES);
    }
}

static void decode_sealed(char *at, const struct entry *sealed, uint64_t chain_before, size_t which)
{
    struct entry e;
    size_t bytes = ENTRY_HEAD_BYTES + sealed->body.bytes;
    assert(entry_decode(span(at, bytes), chain_before, &e) == (long)bytes);
    assert(e.kind == sealed->kind && e.epoch == sealed->epoch && e.index == sealed->index);
    assert(e.first_seq == sealed->first_seq && e.time_us == sealed->time_us);
    assert(e.keys_forgotten == sealed->keys_forgotten && e.effects == sealed->effects);
    assert(e.chain == sealed->chain && span_eq(e.body, sealed->body));
    assert(entry_decode(span(at, bytes - 1), chain_before, &e) == 0);
    assert(entry_decode(span(at, bytes), chain_before + 1, &e) == ERR_CORRUPT);
    at[which % bytes] ^= 0x40;
    assert(entry_decode(span(at, bytes), chain_before, &e) <= 0);
    at[which % bytes] ^= 0x40;
}

/* --- Applying --- */

static struct store *store(void)
{
    struct store *s;
    char why[200];
    const struct store_options o = {.readers_max = 2};
    int rc = store_open(&s, &o, why, sizeof why);
    assert(rc == 0);
    return s;
}

static struct store_txn *begin(struct store *s)
{
    struct store_txn *txn;
    int rc = store_write_begin(s, &txn);
    assert(rc == 0);
    return txn;
}

/* Some records and keys, as the first entry left them. */
static void fill(struct store *s)
{
    struct store_txn *txn = begin(s);
    for (uint64_t id = 1; id <= 3; id++) {
        const struct effect e = {
            .kind = EFFECT_PUT,
            .id = id,
            .collection = span_of("notes"),
            .text = span_of("{\"id\":1}"),
            .key = span(&"key-0001key-0002key-0003"[(id - 1) * 8], 8),
        };
        int rc = effect_apply(txn, &e, id, 1000);
        assert(rc == 0);
    }
    const struct entry first = {
        .epoch = 1, .index = 1, .first_seq = 1, .time_us = 1000, .effects = 3, .chain = 77};
    entry_set_state(txn, &first);
    int rc = store_write_commit(txn);
    assert(rc == 0);
}

/* What was counted along is what is there. */
static struct store_state checked_state(struct store *s)
{
    struct store_txn *txn;
    int rc = store_reader_create(s, &txn);
    assert(rc == 0 && store_reader_renew(txn) == 0);
    uint64_t digest, records, keys = 0, seq = 0, time_us;
    rc = store_digest_recompute(txn, NULL, &digest, &records);
    const struct store_state state = *store_state(txn);
    assert(rc == 0 && digest == state.digest && records == state.records);
    while (store_key_oldest(txn, seq, &seq, &time_us) == 0) {
        assert(time_us <= state.time_us && seq <= state.seq);
        keys++;
    }
    assert(keys == state.keys);
    store_reader_destroy(txn);
    return state;
}

static int apply(struct store *s, const struct entry *e)
{
    struct store_txn *txn = begin(s);
    int rc = entry_apply(txn, e);
    if (rc == 0) {
        rc = store_write_commit(txn);
        assert(rc == 0);
    } else {
        store_write_abort(txn);
    }
    return rc;
}

static void apply_to_both(const struct entry *e, bool fits)
{
    struct store *a = store(), *b = store();
    fill(a);
    fill(b);
    const struct store_state before = checked_state(a);
    int rc = apply(a, e);
    const struct store_state after = checked_state(a);
    if (rc != 0) {
        assert(rc == ERR_CORRUPT);
        assert(memcmp(&before, &after, sizeof after) == 0);
    } else {
        assert(fits && after.applied == e->index && after.chain == e->chain);
        assert(after.epoch == e->epoch && after.time_us == e->time_us);
        assert(after.seq == before.seq + e->effects);
    }
    assert(apply(b, e) == rc);
    const struct store_state other = checked_state(b);
    assert(memcmp(&other, &after, sizeof after) == 0);
    if (rc == 0)
        assert(apply(a, e) == ERR_CORRUPT); /* it is no longer the next one */
    store_close(a);
    store_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = {(const char *)data, size}, rest;
    decode_any(all);
    if (size < 4)
        return 0;
    struct span body = {all.at + 4, size - 4};
    unsigned bend = data[0];
    bool own = (bend & START) != 0; /* an entry of the log's own: its body is a set, or nothing */
    uint32_t effects = own ? 0 : effects_in(body, &rest);
    struct peer_set set;
    if (own)
        rest = body.bytes == 0 || peer_set_decode(body, &set) == 0 ? span(NULL, 0) : body;
    struct entry e = {
        .kind = !own          ? ENTRY_WRITES
                : data[1] & 1 ? ENTRY_CONFIG
                              : ENTRY_EPOCH_START,
        .epoch = bend & BEND_EPOCH ? data[1] : 1,
        .index = bend & BEND_INDEX ? data[1] : 2,
        .first_seq = bend & BEND_SEQ ? data[1] : 4,
        .time_us = bend & BEND_TIME ? data[1] * 100U : 1000,
        .keys_forgotten = data[2],
        .effects = bend & BEND_COUNT && !own ? data[1] : effects,
        .body = body,
    };
    bool fits = e.epoch >= 1 && e.index == 2 && e.first_seq == 4 && e.time_us >= 1000 &&
                e.effects == effects && rest.bytes == 0;
    char *at = malloc(ENTRY_HEAD_BYTES + body.bytes);
    assert(at != NULL);
    if (body.bytes != 0)
        memcpy(at + ENTRY_HEAD_BYTES, body.at, body.bytes);
    entry_seal(&e, 77, at);
    decode_sealed(at, &e, 77, (size_t)data[3] * 7);
    apply_to_both(&e, fits);
    free(at);
    return 0;
}
