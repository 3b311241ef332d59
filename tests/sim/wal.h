/*
 * The real log (src/log) under a simulated server, on a disk in memory that tears and forgets: for
 * a share of the runs. The entries stay in the simulated disk's list too, which is what the server
 * reads; after each start the list is made of what the log gives back. Knows nothing of servers.
 */
#ifndef SIM_WAL_H
#define SIM_WAL_H

#include "chance.h"
#include "drive.h"

struct wal;

struct wal *wal_make(struct chance *c);
void wal_finish(struct wal *w); /* accepts NULL */
struct wal *wal_copy(const struct wal *from, struct chance *c);

/* Opens the log for a process whose storage has all up to `applied`, with this chain; both are
 * where an empty log begins. Fills the list of entries. 0, or the log's error and `why`. */
int wal_open(struct wal *w, struct drive *d, bool may_begin, char *why, size_t why_bytes);
/* Writes the entries behind the durable ones up to `index`, durably, as frames. */
int wal_write(struct wal *w, const struct drive *d, uint64_t index);
int wal_cut(struct wal *w, const struct drive *d, uint64_t index);
/* Likewise, and the disk fails at the first thing that it is asked: what of that is there is any
 * part of it. Nothing more is written in this life. */
void wal_write_fails(struct wal *w, const struct drive *d, uint64_t index);
void wal_cut_fails(struct wal *w, const struct drive *d, uint64_t index);
uint64_t wal_trim(struct wal *w, uint64_t index); /* the first index that is left */
int wal_remove(struct wal *w);                    /* all of it */
uint64_t wal_last_frame(const struct wal *w);     /* its first entry, when it was written */
bool wal_has(const struct wal *w);                /* it is open */

/* The process ends, or the machine; what was on its way is there, torn, or not: entries up to some
 * before d->count, or the cut. Sets d->durable to what is surely there. */
void wal_crash(struct wal *w, struct drive *d, bool machine, struct chance *c);

/* One bit of what is durable is another one from now on. False: there is nothing. */
bool wal_rot(struct wal *w, struct chance *c);
bool wal_rot_middle(struct wal *w); /* likewise, in the middle of what was written */

#endif
