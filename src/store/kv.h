/*
 * Ordered tables of bytes with snapshots: the little that local storage needs of a storage library.
 * Two implementations, held to one body of tests: kv_lmdb.c and kv_mem.c. Knows nothing of records.
 */
#ifndef STORE_KV_H
#define STORE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "store/store.h"

enum kv_table {
    KV_STATE,       /* the format's version and struct store_state; the in-sync set */
    KV_COLLECTIONS, /* name -> number, next id, records */
    KV_RECORDS,     /* collection number, id -> seq, text */
    KV_KEYS,        /* key -> what was answered */
    KV_KEY_AGES,    /* seq, key -> time */
    KV_TABLES,
};

struct kv;
struct kv_txn;

/*
 * Keys have 1 to 255 bytes and are ordered as by memcmp, a prefix first. Errors as in store.h.
 *
 * Spans that get and seek hand out live until the reader's reset; in the write transaction only
 * until its next put or del, of whatever table.
 *
 * A put or del that fails (but for ERR_NOT_FOUND) has failed the whole transaction: what follows in
 * it may fail with the same error, and its commit does, and changes nothing.
 */
struct kv_ops {
    int (*open)(struct kv **kv, const struct store_options *o, char *why, size_t why_bytes);
    void (*close)(struct kv *kv);
    int (*sync)(struct kv *kv);
    uint64_t (*bytes)(const struct kv *kv);
    /* Writes all tables as of one moment to a descriptor, in the form that open reads. From one
     * thread at a time, not the writer's. ERR_NOT_IMPLEMENTED where open reads nothing. */
    int (*copy)(struct kv *kv, int fd);

    int (*reader_create)(struct kv *kv, struct kv_txn **t); /* begins reset */
    void (*reader_destroy)(struct kv_txn *t);
    int (*reader_renew)(struct kv_txn *t);  /* of a reset one */
    void (*reader_reset)(struct kv_txn *t); /* of a renewed one */

    int (*write_begin)(struct kv *kv, struct kv_txn **t);
    int (*write_commit)(struct kv_txn *t); /* ends the transaction in any case */
    void (*write_abort)(struct kv_txn *t);

    int (*get)(struct kv_txn *t, enum kv_table table, struct span key, struct span *value);
    /* The first row with a key >= `from`. Fast when `from` follows the row that the last seek of
     * this table gave. */
    int (*seek)(struct kv_txn *t, enum kv_table table, struct span from, struct span *key,
                struct span *value);
    /* Creates or replaces; the value is `head` followed by `rest`. `last`: the key is probably
     * above all others of the table, so pages are filled instead of split. */
    int (*put)(struct kv_txn *t, enum kv_table table, struct span key, struct span head,
               struct span rest, bool last);
    int (*del)(struct kv_txn *t, enum kv_table table, struct span key); /* ERR_NOT_FOUND */
};

extern const struct kv_ops kv_lmdb, kv_mem;

#endif
