/*
 * Executing writes, on the primary: each on the state that the one before left, inside one open
 * write transaction of the local storage. The results are effects, for the log, and answers, for
 * the clients.
 */
#ifndef RECORD_EXECUTE_H
#define RECORD_EXECUTE_H

#include <stdint.h>

#include "base/buf.h"
#include "record/json.h"
#include "record/write.h"
#include "store/store.h"

struct execution {
    /* for the server's life */
    struct json *json;
    size_t record_bytes_max; /* not counting "id" */
    uint32_t collections_max;
    uint64_t keys_max, keys_bytes_max, key_window_us;
    struct buf scratch;

    /* for one entry */
    struct store_txn *txn;
    struct buf *effects;     /* appended to; room is made by whoever owns it */
    uint64_t time_us;        /* of the entry */
    uint64_t first_seq, seq; /* of the entry's first write, and of the next one */
    bool disk_full;          /* nothing can be written: only repeats get what they ask for */
    uint32_t copies;         /* servers on whose disk the entry will be */
    size_t answer_bytes;     /* given so far in this entry */
    size_t patch_work;       /* bytes that JSON Patches have looked at or moved in it */
};

/*
 * Executes one write and fills its answer. 0: executed, or refused, which is an answer too
 * (w->code). WRITE_ENTRY_FULL: the effects have no room for it, and nothing has happened: it is to
 * be executed in the next entry. Else the transaction is of no use any more (ERR_NO_MEMORY,
 * ERR_DISK_FULL, ERR_IO, ERR_CORRUPT): abort it, and with it everything since it began.
 */
enum { WRITE_ENTRY_FULL = 1 };
int write_execute(struct execution *x, struct write_batch *b, struct write *w);

/*
 * Begins an entry with this time, in an open transaction that has nothing of it yet: keys that have
 * outlived their window are forgotten in it, and *keys_forgotten is what the entry says of them.
 * The store's errors.
 */
int execution_begin(struct execution *x, struct store_txn *txn, struct buf *effects,
                    uint64_t time_us, uint32_t copies, uint64_t *keys_forgotten);

/* Executes what waits in these batches, in their order, as much of it as the entry takes. 0, or the
 * errors of write_execute. */
int execution_run(struct execution *x, struct write_batch *list);

/* Keys up to which seq have outlived their window at x->time_us, at most KEYS_EXPIRED_PER_ENTRY_MAX
 * of them; 0: none. */
int keys_expired(struct execution *x, uint64_t *seq);

#endif
