/*
 * Reading records from local storage, for one front-end thread: a snapshot that is renewed when,
 * and only when, something new was applied. Knows nothing of transports.
 */
#ifndef RECORD_READ_H
#define RECORD_READ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

struct store;
struct store_slot;
struct reader;

/* How far local storage is; written by the order thread after each commit, before the writes are
 * answered. So a read that comes after a write's answer, on any connection and thread, finds a
 * snapshot at least as new. */
struct visible {
    _Atomic uint64_t applied, seq;
};

/*
 * Of the store in a slot: the reader moves over when that is swapped. Whoever swaps does it before
 * `applied` is raised to what the new store has; the snapshot itself says where it is. Collections
 * have the same numbers in every copy of one history, so lists under way go on.
 */
int reader_create_in(struct reader **r, struct store_slot *slot,
                     const struct visible *visible); /* ERR_BUSY, ERR_NO_MEMORY */
/* Of one store for ever, which is closed after the reader. */
int reader_create(struct reader **r, struct store *s, const struct visible *visible);
void reader_destroy(struct reader *r); /* accepts NULL */

/* Makes sure that the snapshot is of now; before each request. 0, or the store's error, after which
 * nothing may be read. What was read before is dead. */
int reader_fresh(struct reader *r);
/* Lets the snapshot go: before the thread sleeps, and after long work. And the store, where it was
 * swapped: to be called now and then by every thread, since the old store stays open until all
 * have.
 */
void reader_rest(struct reader *r);

/* Position of the snapshot; only between reader_fresh and reader_rest. */
struct reader_position {
    uint64_t applied, seq, epoch, digest, records, keys;
    uint32_t collections;
};
struct reader_position reader_position(struct reader *r);

struct record {
    uint64_t id, seq;
    struct span text; /* good until the next reader_fresh or reader_rest */
};

/* ERR_NOT_FOUND; the store's errors. */
int reader_get(struct reader *r, struct span collection, uint64_t id, struct record *out);

/* Where a list is. */
struct list_cursor {
    uint32_t number; /* of the collection; 0: there is none, the list is empty */
    uint64_t after;  /* the last id given */
    bool begun;      /* the opening bracket was given */
    bool done;       /* the closing bracket was given */
};
int reader_list_begin(struct reader *r, struct span collection, struct list_cursor *c);
/* Appends the next part of the JSON array until `bytes_max` more bytes are there or it is complete.
 */
int reader_list_more(struct reader *r, struct list_cursor *c, size_t bytes_max, struct buf *out);

#endif
