/* What the files of the typed layer share: the store, the transaction and its collection at hand.
 * Nobody outside this folder includes it. */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/kv.h"
#include "store/store.h"

struct store_txn {
    struct store *store;
    const struct kv_ops *ops;
    struct kv_txn *kv;
    struct store_state state;
    bool live; /* begun, or renewed, and not ended */

    /* The row of the collection that was named last, so that neither a read of a record nor the
     * creation of one pays for it each time. In the write transaction it may be newer than the
     * table (dirty); it is written back when another one is named and at commit. */
    struct store_collection collection;
    bool dirty;
    size_t name_bytes; /* 0: none */
    char name[COLLECTION_NAME_BYTES_MAX];
};

struct store {
    const struct kv_ops *ops;
    struct kv *kv;
    struct store_txn writer;
    bool read_only;
    unsigned readers_max;
    atomic_uint readers;

    /* In a slot, under its lock: */
    unsigned holders;
    bool retired; /* another one took its place */
};

/* Makes txn->collection the one of that name. ERR_NOT_FOUND */
int collections_use(struct store_txn *txn, struct span name);

/* Writes the cached collection back if it is dirty. */
int collections_flush(struct store_txn *txn);

#endif
