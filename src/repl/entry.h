/*
 * Entries of the log as bytes: one batch of effects, tagged once by the primary that made it, the
 * same on every server for ever. Pure functions.
 *
 * Little endian: bytes of the whole (4), kind (1), version (1), zero (2), epoch (8), index (8),
 * first seq (8), time in microseconds since 1970 (8), keys forgotten up to this seq (8), number of
 * effects (4), zero (4), chain (8); then the effects. The chain is a hash of the entry with the
 * chain before it as seed, so equal chains mean equal logs.
 */
#ifndef REPL_ENTRY_H
#define REPL_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "store/store.h"

enum entry_kind {
    ENTRY_WRITES = 1,
    ENTRY_EPOCH_START = 2, /* a primary's first entry; its body is the in-sync set, or nothing */
    ENTRY_CONFIG = 3,      /* the in-sync set has changed; its body is the new one */
};

enum { ENTRY_HEAD_BYTES = 64, ENTRY_VERSION = 1 };

struct entry {
    enum entry_kind kind;
    uint64_t epoch, index;
    uint64_t first_seq;      /* of its effects; with none: the seq that comes next */
    uint64_t time_us;        /* never less than the entry before */
    uint64_t keys_forgotten; /* all keys with a seq up to this are forgotten first; 0: none */
    uint32_t effects;
    uint64_t chain;
    struct span body; /* the effects' bytes, or a set (peer.h) */
};

/* Writes the head in front of a body that stands ENTRY_HEAD_BYTES behind `at`, and sets e->chain.
 */
void entry_seal(struct entry *e, uint64_t chain_before, char *at);

/*
 * Decodes and checks the entry at the start of `from`: its bytes; 0: it is longer than `from`;
 * ERR_CORRUPT: lengths, kind or chain are wrong; ERR_NEWER: version. The effects are not looked at.
 * `body` points into `from`.
 */
long entry_decode(struct span from, uint64_t chain_before, struct entry *e);

/*
 * Applies a whole entry inside a write transaction: forgets keys, applies each effect, sets the
 * state. What a backup and a recovery do; the primary has done the same effect by effect.
 * ERR_CORRUPT: it is not the next one of this storage, or its effects are not what they should be;
 * the store's errors.
 */
int entry_apply(struct store_txn *txn, const struct entry *e);

/* The entry at the start of `from`, as it says, with its body and unchecked: its bytes. 0: there is
 * no whole one. For what was checked before. */
size_t entry_peek(struct span from, struct entry *e);

/* The state after an entry, for whoever applied its effects already. */
void entry_set_state(struct store_txn *txn, const struct entry *e);

#endif
