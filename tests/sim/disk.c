/* A server's disk: the log, the small file, local storage and its checkpoint, with what is on its
 * way to them. Knows nothing of servers. */
#include "disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void disk_make(struct disk *d, struct chance *c)
{
    memset(d, 0, sizeof *d);
    d->first = 1;
    for (unsigned i = 0; i < PEER_ID_BYTES; i++)
        d->id[i] = (unsigned char)(chance_next(c) | 1);
}

struct logged *disk_at(const struct disk *d, uint64_t index)
{
    assert(index >= d->first && index <= d->count);
    return &d->log[index - d->first];
}

/* The entries above `index` are no more. */
static void forget_above(struct disk *d, uint64_t index)
{
    for (; d->count > index; d->count--)
        free(disk_at(d, d->count)->at);
    if (d->asked > index)
        d->asked = index;
}

static void forget_log(struct disk *d)
{
    forget_above(d, d->first - 1);
    free(d->log);
    d->log = NULL;
    d->size = 0;
}

void disk_finish(struct disk *d, const struct storage *where)
{
    forget_log(d);
    image_drop(d->checkpoint);
    local_remove(&d->local, where);
    d->checkpoint = NULL;
}

static void add(struct disk *d, const struct entry *e, const char *from, uint64_t commit)
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
void disk_copy(struct disk *to, const struct disk *from, struct storage *where)
{
    disk_finish(to, where);
    *to = *from;
    to->log = NULL;
    to->size = 0;
    to->count = from->first - 1;
    to->cutting = to->saving = false;
    to->asked = to->durable;
    for (uint64_t i = from->first; i <= from->durable; i++)
        add(to, &disk_at(from, i)->e, disk_at(from, i)->at, disk_at(from, i)->commit);
    to->checkpoint = image_hold(from->checkpoint);
    to->local = (struct local){0};
    if (from->local.store != NULL) {
        struct image *i = image_of(&from->local, where);
        bool made = local_make(&to->local, where, i);
        assert(made);
        local_close(&to->local, where);
        image_drop(i);
    }
}

void disk_append(struct disk *d, const struct entry *e, uint64_t commit)
{
    assert(e->index == d->count + 1 && !d->cutting);
    add(d, e, e->body.at - ENTRY_HEAD_BYTES, commit < e->index ? commit : e->index);
}

void disk_flushed(struct disk *d, uint64_t index)
{
    assert(index <= d->count);
    for (; d->durable < index; d->durable++)
        if (disk_at(d, d->durable + 1)->commit > d->commit)
            d->commit = disk_at(d, d->durable + 1)->commit;
}

void disk_saved(struct disk *d)
{
    assert(d->saving);
    d->saving = false;
    d->hard = d->hard_next;
}

void disk_cut_done(struct disk *d)
{
    assert(d->cutting && d->cut_to <= d->durable);
    d->cutting = false;
    forget_above(d, d->cut_to);
    d->durable = d->cut_to;
}

void disk_trim(struct disk *d, uint64_t index)
{
    uint64_t count = index + 1 - d->first;
    assert(index < d->durable && index < d->count);
    for (uint64_t i = 0; i < count; i++)
        free(d->log[i].at);
    d->first += count;
    memmove(d->log, d->log + count, (d->count + 1 - d->first) * sizeof *d->log);
}

void disk_install(struct disk *d, const struct storage *where)
{
    uint64_t at = d->checkpoint->state.applied;
    forget_log(d);
    local_remove(&d->local, where);
    d->first = at + 1;
    d->count = d->durable = d->asked = d->commit = at;
    d->installing = false;
}

void disk_crash(struct disk *d, const struct storage *where, bool machine, struct chance *c)
{
    if (d->cutting && chance_percent(c, 50))
        disk_cut_done(d);
    d->cutting = false;
    if (d->saving && chance_percent(c, 50))
        disk_saved(d);
    d->saving = false;
    disk_flushed(d, d->durable + chance_below(c, d->count - d->durable + 1));
    forget_above(d, d->durable);
    d->asked = d->durable;
    local_close(&d->local, where);
    if (machine)
        local_remove(&d->local, where);
}

bool disk_recover(struct disk *d, struct storage *where, bool *proved)
{
    if (d->installing)
        disk_install(d, where);
    *proved = d->local.number != 0 && !d->behind;
    if (!*proved)
        local_remove(&d->local, where);
    if (d->local.number == 0) {
        d->behind = d->starts != 0 || d->hard.promised_epoch != 0;
        if (!local_make(&d->local, where, d->checkpoint))
            return false;
    } else {
        local_open(&d->local, where);
    }
    uint64_t to = d->commit < d->durable ? d->commit : d->durable;
    if (disk_applied(d) + 1 < d->first || disk_applied(d) > d->count)
        return false;
    while (disk_applied(d) < to) {
        int rc = local_begin(&d->local);
        if (rc == 0)
            rc = entry_apply(d->local.txn, &disk_at(d, disk_applied(d) + 1)->e);
        if (rc != 0 || local_commit(&d->local) != 0)
            return false;
    }
    if (disk_applied(d) == d->count && d->count != 0)
        d->behind = false; /* it has caught up with all of the log */
    return true;
}

/* Also the entry that a copy ends with, whose log begins behind it. */
struct peer_point disk_point(const struct disk *d, uint64_t index)
{
    const struct store_state *of[] = {&d->local.state,
                                      d->checkpoint != NULL ? &d->checkpoint->state : NULL};
    if (index >= d->first && index <= d->count && index != 0) {
        const struct entry *e = &disk_at(d, index)->e;
        return (struct peer_point){.epoch = e->epoch, .index = index, .chain = e->chain};
    }
    for (unsigned i = 0; i < 2; i++)
        if (of[i] != NULL && of[i]->applied == index && index != 0 && index <= d->count)
            return (struct peer_point){
                .epoch = of[i]->epoch, .index = index, .chain = of[i]->chain};
    return (struct peer_point){0};
}

uint64_t disk_kept(const struct disk *d)
{
    return d->cutting && d->cut_to < d->durable ? d->cut_to : d->durable;
}
