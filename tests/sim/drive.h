/*
 * A server's disk: the log, the small file, local storage and its checkpoint, with what is on its
 * way to them. The log is simulated; entries are the real bytes, local storage is a real store, and
 * a checkpoint or a copy is the bytes of one. Knows nothing of servers.
 */
#ifndef SIM_DRIVE_H
#define SIM_DRIVE_H

#include "chance.h"
#include "history.h"
#include "record/read.h"
#include "repl/entry.h"
#include "repl/step.h"
#include "store/store.h"

/* --- local.c: stores and their copies --- */

struct storage { /* where the files of LMDB are; one of a world */
    const char *folder;
    unsigned made;
    bool lmdb; /* of stores that are made */
};

/* A copy of a store at one moment, as bytes; shared, never changed. */
struct image {
    unsigned holders;
    bool lmdb;
    struct store_state state;
    size_t bytes;
    char at[];
};

struct local {
    struct store *store; /* NULL: there is none */
    bool lmdb;
    unsigned number;          /* of its file */
    struct store_state state; /* as last committed */
    struct store_txn *txn;    /* open while an entry's effects are in it */
    struct visible visible;
    struct reader *reader; /* of the process that runs on it */
};

/* An empty store, or what the image has. False: the image cannot be opened. */
bool local_make(struct local *l, struct storage *where, const struct image *from);
void local_remove(struct local *l, const struct storage *where);
/* A process ends, whatever it had open; another one begins. */
void local_close(struct local *l, const struct storage *where);
void local_open(struct local *l, const struct storage *where);
int local_begin(struct local *l);
int local_commit(struct local *l); /* and takes the new state */
void local_abort(struct local *l);

struct image *image_of(const struct local *l, const struct storage *where);
/* What came in pieces, unchecked. */
struct image *image_from(struct span bytes, bool lmdb);
/* As a backup checks it: seal, then digest. Sets the image's state. */
int image_check(struct image *i, struct storage *where);
struct image *image_hold(struct image *i);
void image_drop(struct image *i); /* accepts NULL */

/* --- drive.c --- */

struct logged {
    struct entry e; /* its body stands in `at` */
    char *at;
    size_t bytes;
    uint64_t commit; /* known when it was written: the frame keeps it */
};

struct wal;

struct drive {
    unsigned char id[PEER_ID_BYTES];
    struct logged *log; /* [0]: the entry `first` */
    uint64_t first;     /* those before it are trimmed, */
    uint64_t count;     /* this is the last, which may not be durable */
    uint64_t size, durable;
    uint64_t asked; /* up to here it was asked to write */
    bool cutting;
    uint64_t cut_to;
    bool saving;
    struct repl_hard hard, hard_next;
    uint64_t commit; /* kept in the frames */
    struct wal *wal; /* the real log, or NULL */
    struct local local;
    bool behind; /* local storage was rebuilt, and may lack what was acknowledged */
    struct image *checkpoint;
    bool installing;       /* the checkpoint takes the place of log and local storage */
    uint64_t promised_max; /* for I5 */
    uint32_t generation;   /* raised by a promotion */
    uint64_t starts;       /* S2's counter, in it */
    uint32_t told;         /* the generation of the last promotion that it has said it knows of */
    uint32_t untold;       /* a bit for each server that was not asked when this one was promoted */
    bool damaged;          /* an old copy was put back in its place, */
    bool restored;         /* once */
    bool rotten;           /* what was durable is not what was written any more */
    bool stuck;            /* no write to the log is begun, */
    bool saves_stuck;      /* nor is the small file */
    bool suspect;          /* it failed, and is marked as such: S11 */
    uint64_t hole;         /* without S11: the first entry that is not there, though the flush was
                              done again and succeeded; 0: none */
};

void drive_make(struct drive *d, bool real_log, struct chance *c);
void drive_finish(struct drive *d, const struct storage *where);
void drive_copy(struct drive *to, const struct drive *from, struct storage *where,
                struct chance *c);
/* The list of entries is empty, and the next one is `first`. */
void drive_forget(struct drive *d, uint64_t first);
/* What is in the log is left as it is: an empty one begins behind local storage. */
void drive_leave_log(struct drive *d);
struct logged *drive_at(const struct drive *d, uint64_t index);
/* The bytes are copied. */
void drive_append(struct drive *d, const struct entry *e, uint64_t commit);
int drive_flushed(struct drive *d, uint64_t index); /* 0, or the log's error, as all below */
/* The write up to `index` is an error: so much of it is there as it happens. Whoever tries once
 * more is told that all is. */
void drive_flush_fails(struct drive *d, uint64_t index, unsigned percent);
void drive_flush_again(struct drive *d, uint64_t index, unsigned percent);
void drive_saved(struct drive *d);
void drive_save_fails(struct drive *d, unsigned percent);
int drive_cut_done(struct drive *d);
void drive_cut_fails(struct drive *d, unsigned percent);
void drive_trim(struct drive *d, uint64_t index); /* those up to it */
/* Log and local storage are gone: the checkpoint is all there is. */
int drive_install(struct drive *d, const struct storage *where);
/* What was on its way is there or not; with the machine goes what was only in its memory. */
void drive_crash(struct drive *d, const struct storage *where, bool machine, struct chance *c);
/* Local storage for a process that starts: what is there, or else made from checkpoint and log.
 * Sets *proved. Not 0: it cannot start, and `why` says why. */
enum { LOST_ENTRIES = 1 };
int drive_recover(struct drive *d, struct storage *where, bool *proved, char why[WHY_BYTES]);
/* The entry's place in a log; 0 is the beginning of all. */
struct peer_point drive_point(const struct drive *d, uint64_t index);
/* The entries that will stay: not those that a cut is about to remove. */
uint64_t drive_kept(const struct drive *d);

/* The last epoch that was taken here; its lower half is 0 after a promotion. */
static inline uint64_t drive_own_epoch(const struct drive *d)
{
    return ((uint64_t)d->generation << 32) + d->starts;
}

static inline uint64_t drive_applied(const struct drive *d)
{
    return d->local.state.applied;
}

#endif
