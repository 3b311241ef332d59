/* Entries: bytes, chain, and what they do to local storage. */
#include "repl/entry.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "record/effect.h"
#include "repl/peer.h"

enum { CHAIN_AT = ENTRY_HEAD_BYTES - 8 };

/* Over all but the chain itself; the body's hash is folded in, so that neither needs to be copied.
 */
static uint64_t chain_of(uint64_t before, const char *head, struct span body)
{
    return hash64(hash64(before, body.at, body.bytes), head, CHAIN_AT);
}

void entry_seal(struct entry *e, uint64_t chain_before, char *at)
{
    memset(at, 0, ENTRY_HEAD_BYTES);
    e->body.at = at + ENTRY_HEAD_BYTES;
    put_u32(at, (uint32_t)(ENTRY_HEAD_BYTES + e->body.bytes));
    at[4] = (char)e->kind;
    at[5] = ENTRY_VERSION;
    put_u64(at + 8, e->epoch);
    put_u64(at + 16, e->index);
    put_u64(at + 24, e->first_seq);
    put_u64(at + 32, e->time_us);
    put_u64(at + 40, e->keys_forgotten);
    put_u32(at + 48, e->effects);
    e->chain = chain_of(chain_before, at, e->body);
    put_u64(at + CHAIN_AT, e->chain);
}

/* How long the whole is. */
static size_t take_head(const char *at, struct entry *e)
{
    *e = (struct entry){
        .kind = (enum entry_kind)at[4],
        .epoch = get_u64(at + 8),
        .index = get_u64(at + 16),
        .first_seq = get_u64(at + 24),
        .time_us = get_u64(at + 32),
        .keys_forgotten = get_u64(at + 40),
        .effects = get_u32(at + 48),
        .chain = get_u64(at + CHAIN_AT),
    };
    return get_u32(at);
}

size_t entry_peek(struct span from, struct entry *e)
{
    size_t bytes = from.bytes < ENTRY_HEAD_BYTES ? 0 : take_head(from.at, e);
    if (bytes < ENTRY_HEAD_BYTES || bytes > from.bytes)
        return 0;
    e->body = span(from.at + ENTRY_HEAD_BYTES, bytes - ENTRY_HEAD_BYTES);
    return bytes;
}

long entry_decode(struct span from, uint64_t chain_before, struct entry *e)
{
    if (from.bytes < ENTRY_HEAD_BYTES)
        return 0;
    const char *at = from.at;
    size_t bytes = take_head(at, e);
    if (at[5] > ENTRY_VERSION)
        return ERR_NEWER;
    if (bytes < ENTRY_HEAD_BYTES || at[5] != ENTRY_VERSION || at[4] < ENTRY_WRITES ||
        at[4] > ENTRY_CONFIG || (e->kind != ENTRY_WRITES && e->effects != 0))
        return ERR_CORRUPT;
    if (bytes > from.bytes)
        return 0;
    e->body = span(at + ENTRY_HEAD_BYTES, bytes - ENTRY_HEAD_BYTES);
    return chain_of(chain_before, at, e->body) == e->chain ? (long)bytes : ERR_CORRUPT;
}

void entry_set_state(struct store_txn *txn, const struct entry *e)
{
    struct store_state *s = store_state(txn);
    s->applied = e->index;
    s->chain = e->chain;
    s->epoch = e->epoch;
    s->time_us = e->time_us;
    s->seq = e->first_seq + e->effects - 1;
}

/* An entry of the log's own: it says who is in sync. */
static int apply_own(struct store_txn *txn, const struct entry *e)
{
    struct peer_set set;
    if (e->body.bytes == 0)
        return 0;
    int rc = peer_set_decode(e->body, &set);
    return rc == 0 ? store_set_put(txn, e->body) : rc;
}

static int apply_effects(struct store_txn *txn, const struct entry *e)
{
    int rc = 0;
    struct span rest = e->body;
    for (uint32_t i = 0; rc == 0 && i < e->effects; i++) {
        struct effect effect;
        long used = effect_decode(rest, &effect);
        if (used < 0)
            return (int)used;
        rc = effect_apply(txn, &effect, e->first_seq + i, e->time_us);
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    return rc == 0 && rest.bytes != 0 ? ERR_CORRUPT : rc;
}

int entry_apply(struct store_txn *txn, const struct entry *e)
{
    const struct store_state *s = store_state(txn);
    if (e->index != s->applied + 1 || e->first_seq != s->seq + 1 || e->epoch < s->epoch ||
        e->time_us < s->time_us)
        return ERR_CORRUPT;
    int rc = e->keys_forgotten != 0 ? store_keys_forget(txn, e->keys_forgotten) : 0;
    if (rc == 0)
        rc = e->kind == ENTRY_WRITES ? apply_effects(txn, e) : apply_own(txn, e);
    if (rc == 0)
        entry_set_state(txn, e);
    return rc;
}
