/*
 * Local storage: a server's own full copy of the records, with what must change together with them
 * (counters, collections, keys, position, digest). What records mean, requests, log and network are
 * unknown here.
 *
 * One process, any number of reading threads, one writing thread. Readers never block and are never
 * blocked; a snapshot sees all of a committed write transaction or nothing of it. Two
 * implementations of the ordered tables below it (kv.h): LMDB, and an in-memory twin for tests and
 * simulation.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

struct store;

struct store_options {
    const char *path;     /* LMDB: the file; NULL: in memory */
    size_t map_bytes;     /* LMDB: address space reserved; STORE_MAP_BYTES */
    unsigned readers_max; /* read transactions at once */
    bool read_only;       /* LMDB: nothing is made or written, no lock file either; no write
                             transactions. Who else has the file open must not write. */
};

/*
 * Opens a store; makes one where the file is absent or has no byte. `why` (room for why_bytes,
 * never NULL) gets a sentence on failure:
 *
 * ERR_CORRUPT: the file is shorter than its last page says, or is no store. It was not changed.
 *
 * ERR_NEWER: written by a newer format. It was not changed.
 *
 * ERR_DISK_FULL, ERR_NO_MEMORY, ERR_IO, ERR_SYSTEM (no such folder, no permission).
 *
 * The process must ignore SIGXFSZ: a limit on file sizes then is ERR_DISK_FULL in the end.
 *
 * LMDB keeps a lock file beside the file, as PATH-lock. It is made anew at each opening, so nobody
 * else may have the store open; and it belongs to what was opened, not to the name: while a store
 * is open, its file may be renamed, and another one opened at any name. A lock file of a store that
 * is closed can be removed.
 */
int store_open(struct store **s, const struct store_options *o, char *why, size_t why_bytes);
void store_close(struct store *s); /* all transactions are over; accepts NULL; does not sync */
/* Everything committed is on the disk when it returns 0, else ERR_IO. That the folder knows a file
 * just made is the caller's to sync. */
int store_sync(struct store *s);
uint64_t store_bytes(const struct store *s); /* size of the file in use; in memory: 0 */

/* What changes with every transaction. */
struct store_state {
    uint64_t applied; /* index of the last entry applied */
    uint64_t chain;   /* chained checksum of the log up to it */
    uint64_t epoch;   /* epoch of that entry */
    uint64_t seq;     /* number of the last write applied */
    uint64_t time_us; /* time stamp of the last entry */
    uint64_t digest;  /* sum over all records of a hash of (collection number, id, seq, text), kept
                         by put and del */
    uint64_t records; /* how many there are */
    uint64_t keys;    /* keys remembered */
    uint64_t keys_bytes; /* bytes that they take: key, row with name and text */
    uint32_t collections;
    uint32_t unused;
};

/* --- Transactions --- */

struct store_txn; /* a read or the write transaction; belongs to one thread at a time */

/* A read transaction is made once per thread, then renewed and reset each turn. Between reset and
 * renew it holds no snapshot and must not be read. Spans that it handed out are dead after reset.
 */
int store_reader_create(struct store *s,
                        struct store_txn **reader);  /* begins reset; ERR_BUSY: readers_max */
void store_reader_destroy(struct store_txn *reader); /* accepts NULL */
int store_reader_renew(struct store_txn *reader);    /* a snapshot of now */
void store_reader_reset(struct store_txn *reader);   /* no-op where already reset */

/*
 * The write transaction: one at a time, always by the same thread. It reads what it wrote. Spans
 * that it handed out are dead after the next call on it that changes something or names another
 * collection. A change that fails with an error of disk or memory has failed the transaction: all
 * that is left is to end it.
 */
int store_write_begin(struct store *s, struct store_txn **txn);
/* Ends the transaction in any case. On an error nothing of it happened, and it may be done again.
 */
int store_write_commit(struct store_txn *txn);
void store_write_abort(struct store_txn *txn); /* accepts NULL */

/* State as of this transaction; in a write transaction the caller sets applied, chain, epoch, seq
 * and time_us. */
struct store_state *store_state(struct store_txn *txn);

/* --- Collections: numbered 1, 2, 3 … in the order of their making; numbers are never reused --- */

struct store_collection {
    uint32_t number;
    uint64_t next_id; /* the id that the next created record gets; from 1; raised by record put */
    uint64_t records; /* how many it has now; kept by record put and del */
};
/* ERR_NOT_FOUND */
int store_collection_get(struct store_txn *txn, struct span name, struct store_collection *c);
/* Makes it if it is not there. Names are not judged here beyond COLLECTION_NAME_BYTES_MAX. */
int store_collection_make(struct store_txn *txn, struct span name, struct store_collection *c);

/* --- Records --- */

struct store_record {
    uint64_t id;
    uint64_t seq;     /* of its last change */
    struct span text; /* the record as JSON, ready to send; in the page: dies as spans do, above */
};
int store_record_get(struct store_txn *txn, uint32_t collection, uint64_t id,
                     struct store_record *r); /* ERR_NOT_FOUND */
/* The first record with an id above `after`. ERR_NOT_FOUND at the end. Fast when called in order of
 * ids. */
int store_record_next(struct store_txn *txn, uint32_t collection, uint64_t after,
                      struct store_record *r);
/* Creates or replaces. `name` is the collection's: its counters change too, and its next_id is
 * raised above r->id. Text may not point into the store. ERR_NOT_FOUND: no such collection;
 * ERR_INTERNAL: it has another number; ERR_BAD_ID: the id is not in 1..ID_MAX. */
int store_record_put(struct store_txn *txn, struct span name, uint32_t collection,
                     const struct store_record *r);
int store_record_del(struct store_txn *txn, struct span name, uint32_t collection,
                     uint64_t id); /* ERR_NOT_FOUND */

/* --- Keys: what was answered to a write that carried one. They are forgotten in the order of their
 * seqs. --- */

struct store_key {
    uint64_t fingerprint[2]; /* of the write */
    uint64_t seq;            /* of the write */
    uint64_t time_us;        /* of its entry */
    uint64_t id;
    uint8_t method;         /* what the write was; means nothing here */
    struct span collection; /* its name */
    struct span text;       /* the answer's body */
};
int store_key_get(struct store_txn *txn, struct span key,
                  struct store_key *k); /* ERR_NOT_FOUND; spans as for records */
/* A key already there is replaced. ERR_BAD_KEY: not of 1 to KEY_BYTES_MAX bytes. */
int store_key_put(struct store_txn *txn, struct span key, const struct store_key *k);
/* Of the oldest key with a seq above `after` (0: of all). ERR_NOT_FOUND where there is none. */
int store_key_oldest(struct store_txn *txn, uint64_t after, uint64_t *seq, uint64_t *time_us);
/* Forgets all keys with a seq up to `seq`. */
int store_keys_forget(struct store_txn *txn, uint64_t seq);

/* --- Replication's own row, which changes with the entries that say it --- */

/* The in-sync set as the last entry about it said; its bytes mean nothing here. */
int store_set_put(struct store_txn *txn, struct span set);
int store_set_get(struct store_txn *txn, struct span *set); /* ERR_NOT_FOUND; span as for records */

/* --- Checking --- */

/*
 * Recomputes digest and number of records from the pages, slowly: for each million small records a
 * quarter of a second from memory. It cannot be done in pieces over several snapshots, since the
 * sum of what was walked changes with writes behind the walk; and while the one snapshot is held,
 * pages that writes free are not used again, so the file grows by what is written meanwhile. How
 * often, how fast, and for how large a store, is the caller's to decide.
 */
struct store_pace { /* asked now and then with how many bytes were read since: may wait */
    int (*passed)(void *context, uint64_t bytes); /* 0, or an error, which ends it */
    void *context;
};
/* `pace` NULL: as fast as it goes. */
int store_digest_recompute(struct store_txn *txn, const struct store_pace *pace, uint64_t *digest,
                           uint64_t *records);

#endif
