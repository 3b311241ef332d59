/* A server's disk: the log, the small file, local storage and its checkpoint, with what is on its
 * way to them. Knows nothing of servers. */
#include "drive.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "wal.h"

void drive_make(struct drive *d, bool real_log, struct chance *c)
{
    memset(d, 0, sizeof *d);
    d->first = d->generation = 1;
    for (unsigned i = 0; i < PEER_ID_BYTES; i++)
        d->id[i] = (unsigned char)(chance_next(c) | 1);
    if (real_log)
        d->wal = wal_make(c);
}

struct logged *drive_at(const struct drive *d, uint64_t index)
{
    assert(index >= d->first && index <= d->count);
    return &d->log[index - d->first];
}

/* The entries above `index` are no more. */
static void forget_above(struct drive *d, uint64_t index)
{
    for (; d->count > index; d->count--)
        free(drive_at(d, d->count)->at);
    if (d->asked > index)
        d->asked = index;
    if (d->hole > index)
        d->hole = 0;
}

void drive_forget(struct drive *d, uint64_t first)
{
    forget_above(d, d->first - 1);
    d->first = first;
    d->count = first - 1;
}

void drive_leave_log(struct drive *d)
{
    drive_forget(d, drive_applied(d) + 1);
    d->durable = d->asked = d->commit = drive_applied(d);
}

static void forget_log(struct drive *d)
{
    forget_above(d, d->first - 1);
    free(d->log);
    d->log = NULL;
    d->size = 0;
}

void drive_finish(struct drive *d, const struct storage *where)
{
    forget_log(d);
    image_drop(d->checkpoint);
    local_remove(&d->local, where);
    wal_finish(d->wal);
    d->checkpoint = NULL;
    d->wal = NULL;
}

static void add(struct drive *d, const struct entry *e, const char *from, uint64_t commit)
{
    uint64_t used = d->count + 1 - d->first;
    if (used == d->size) {
        d->size = d->size == 0 ? 64 : d->size * 2;
        d->log = realloc(d->log, d->size * sizeof *d->log);
        assert(d->log != NULL);
    }
    struct logged *l = &d->log[used];
    *l = (struct logged){.e = *e, .commit = commit, .bytes = ENTRY_HEAD_BYTES + e->body.bytes};
    l->at = malloc(l->bytes);
    assert(l->at != NULL);
    memcpy(l->at, from, l->bytes);
    l->e.body.at = l->at + ENTRY_HEAD_BYTES;
    d->count++;
}

/* Of what is durable; the local storage of a process that has ended is all it needs. */
void drive_copy(struct drive *to, const struct drive *from, struct storage *where, struct chance *c)
{
    drive_finish(to, where);
    *to = *from;
    to->log = NULL;
    to->size = 0;
    to->count = from->first - 1;
    to->cutting = to->saving = false;
    to->asked = to->durable;
    for (uint64_t i = from->first; i <= from->durable; i++)
        add(to, &drive_at(from, i)->e, drive_at(from, i)->at, drive_at(from, i)->commit);
    to->checkpoint = image_hold(from->checkpoint);
    if (from->wal != NULL)
        to->wal = wal_copy(from->wal, c);
    to->local = (struct local){0};
    if (from->local.store != NULL) {
        struct image *i = image_of(&from->local, where);
        bool made = local_make(&to->local, where, i);
        assert(made);
        local_close(&to->local, where);
        image_drop(i);
    }
}

void drive_append(struct drive *d, const struct entry *e, uint64_t commit)
{
    assert(e->index == d->count + 1 && !d->cutting);
    add(d, e, e->body.at - ENTRY_HEAD_BYTES, commit < e->index ? commit : e->index);
}

int drive_flushed(struct drive *d, uint64_t index)
{
    assert(index <= d->count);
    int rc = d->wal != NULL && wal_has(d->wal) ? wal_write(d->wal, d, index) : 0;
    if (rc != 0)
        return rc;
    for (; d->durable < index; d->durable++)
        if (drive_at(d, d->durable + 1)->commit > d->commit)
            d->commit = drive_at(d, d->durable + 1)->commit;
    return 0;
}

/* The last of them that is there. */
static uint64_t kept_of(const struct drive *d, uint64_t index, unsigned percent)
{
    return d->durable + (index - d->durable) * percent / 100;
}

/* Of the real log's last frame, sector by sector, whatever its disk draws. */
void drive_flush_fails(struct drive *d, uint64_t index, unsigned percent)
{
    uint64_t kept = kept_of(d, index, percent);
    if (d->wal != NULL && kept == index)
        kept--;
    int rc = drive_flushed(d, kept);
    assert(rc == 0);
    if (d->wal != NULL)
        wal_write_fails(d->wal, d, index);
    d->asked = d->durable;
}

/* The pages that were not written are clean, and the flush has nothing to do (Rebello et al., "Can
 * Applications Recover from fsync Failures?", USENIX ATC 2020). The real log writes its frame once
 * more. */
void drive_flush_again(struct drive *d, uint64_t index, unsigned percent)
{
    uint64_t kept = kept_of(d, index, percent);
    if (d->wal == NULL && d->hole == 0 && kept < index)
        d->hole = kept + 1;
    int rc = drive_flushed(d, index);
    assert(rc == 0);
}

void drive_saved(struct drive *d)
{
    assert(d->saving);
    d->saving = false;
    d->hard = d->hard_next;
}

/* Either of the two copies may be whole. */
void drive_save_fails(struct drive *d, unsigned percent)
{
    if (percent >= 50)
        drive_saved(d);
    d->saving = false;
}

int drive_cut_done(struct drive *d)
{
    assert(d->cutting && d->cut_to <= d->durable);
    int rc = d->wal != NULL && wal_has(d->wal) ? wal_cut(d->wal, d, d->cut_to) : 0;
    d->cutting = false;
    forget_above(d, d->cut_to);
    d->durable = d->cut_to;
    return rc;
}

/* It is done, or not, or the real log's in part. */
void drive_cut_fails(struct drive *d, unsigned percent)
{
    if (d->wal != NULL)
        wal_cut_fails(d->wal, d, d->cut_to);
    else if (percent >= 50)
        drive_cut_done(d);
    if (d->cutting && d->wal != NULL)
        forget_above(d, d->cut_to);
    d->cutting = false;
}

void drive_trim(struct drive *d, uint64_t index)
{
    assert(index < d->durable && index < d->count);
    uint64_t first = d->wal != NULL ? wal_trim(d->wal, index) : index + 1; /* whole segments */
    uint64_t count = first - d->first;
    for (uint64_t i = 0; i < count; i++)
        free(d->log[i].at);
    d->first += count;
    if (d->hole < d->first)
        d->hole = 0;
    memmove(d->log, d->log + count, (d->count + 1 - d->first) * sizeof *d->log);
}

int drive_install(struct drive *d, const struct storage *where)
{
    uint64_t at = d->checkpoint->state.applied;
    int rc = d->wal != NULL ? wal_remove(d->wal) : 0;
    forget_log(d);
    local_remove(&d->local, where);
    drive_forget(d, at + 1);
    d->durable = d->asked = d->commit = at;
    d->installing = d->rotten = d->suspect = false;
    return rc;
}

void drive_crash(struct drive *d, const struct storage *where, bool machine, struct chance *c)
{
    if (d->wal != NULL)
        wal_crash(d->wal, d, machine, c);
    if (d->cutting && d->wal != NULL)
        forget_above(d, d->cut_to);
    else if (d->cutting && !d->stuck && chance_percent(c, 50))
        drive_cut_done(d);
    d->cutting = false;
    if (d->saving && !d->saves_stuck && chance_percent(c, 50))
        drive_saved(d);
    d->saving = false;
    if (d->wal == NULL)
        drive_flushed(d, d->durable + chance_below(c, d->asked - d->durable + 1));
    if (d->hole != 0)
        d->durable = d->hole - 1;
    forget_above(d, d->durable);
    d->asked = d->durable;
    local_close(&d->local, where);
    if (machine)
        local_remove(&d->local, where);
}

/* What is known to be committed, from the list of entries into local storage. */
static int replay(struct drive *d, char why[WHY_BYTES])
{
    uint64_t to = d->commit < d->durable ? d->commit : d->durable;
    snprintf(why, WHY_BYTES, "log %llu to %llu and storage at %llu do not fit",
             (unsigned long long)d->first, (unsigned long long)d->count,
             (unsigned long long)drive_applied(d));
    if (drive_applied(d) + 1 < d->first || drive_applied(d) > d->count)
        return ERR_CORRUPT;
    int rc = 0;
    while (rc == 0 && drive_applied(d) < to) {
        rc = local_begin(&d->local);
        if (rc == 0)
            rc = entry_apply(d->local.txn, &drive_at(d, drive_applied(d) + 1)->e);
        if (rc == 0)
            rc = local_commit(&d->local);
    }
    return rc;
}

int drive_recover(struct drive *d, struct storage *where, bool *proved, char why[WHY_BYTES])
{
    int rc = d->installing ? drive_install(d, where) : 0;
    uint64_t durable = d->durable;
    *proved = d->local.number != 0 && !d->behind;
    if (!*proved)
        local_remove(&d->local, where);
    if (d->local.number == 0) {
        d->behind = d->starts != 0 || d->hard.promised_epoch != 0;
        local_make(&d->local, where, d->checkpoint);
    } else {
        local_open(&d->local, where);
    }
    why[0] = '\0';
    if (rc == 0 && d->wal != NULL)
        rc = wal_open(d->wal, d, d->checkpoint != NULL, why, WHY_BYTES);
    /* A last frame that is damaged looks as one that was never whole. */
    bool looks_torn = d->rotten && d->durable + 1 >= wal_last_frame(d->wal);
    if (rc == 0 && d->durable < durable && !looks_torn) {
        snprintf(why, WHY_BYTES, "entries %llu to %llu were durable, and are gone",
                 (unsigned long long)d->durable + 1, (unsigned long long)durable);
        rc = LOST_ENTRIES;
    }
    if (rc == 0)
        rc = replay(d, why);
    if (rc == 0 && drive_applied(d) == d->count && d->count != 0)
        d->behind = false; /* it has caught up with all of the log */
    return rc;
}

/* Also the entry that a copy ends with, whose log begins behind it. */
struct peer_point drive_point(const struct drive *d, uint64_t index)
{
    const struct store_state *of[] = {&d->local.state,
                                      d->checkpoint != NULL ? &d->checkpoint->state : NULL};
    if (index >= d->first && index <= d->count && index != 0) {
        const struct entry *e = &drive_at(d, index)->e;
        return (struct peer_point){.epoch = e->epoch, .index = index, .chain = e->chain};
    }
    for (unsigned i = 0; i < 2; i++)
        if (of[i] != NULL && of[i]->applied == index && index != 0 && index <= d->count)
            return (struct peer_point){
                .epoch = of[i]->epoch, .index = index, .chain = of[i]->chain};
    return (struct peer_point){0};
}

uint64_t drive_kept(const struct drive *d)
{
    uint64_t to = d->cutting && d->cut_to < d->durable ? d->cut_to : d->durable;
    return d->hole != 0 && d->hole <= to ? d->hole - 1 : to;
}
