/* A server's disk: the log, the small file, and local storage, with what is on its way to them.
 * Knows nothing of servers. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"

void disk_make(struct disk *d, struct chance *c)
{
    memset(d, 0, sizeof *d);
    for (unsigned i = 0; i < PEER_ID_BYTES; i++)
        d->id[i] = (unsigned char)(chance_next(c) | 1);
}

void disk_finish(struct disk *d)
{
    free(d->log);
    d->log = NULL;
    d->count = d->size = 0;
}

void disk_copy(struct disk *to, const struct disk *from)
{
    free(to->log);
    *to = *from;
    to->size = from->count;
    to->log = NULL;
    if (from->count != 0) {
        to->log = malloc(from->count * sizeof *to->log);
        assert(to->log != NULL);
        memcpy(to->log, from->log, from->count * sizeof *to->log);
    }
}

uint64_t entry_chain(const struct entry *e, uint64_t before)
{
    uint64_t bytes[] = {e->epoch, e->index, e->kind, e->payload, e->set};
    return hash64(before, bytes, sizeof bytes);
}

void disk_append(struct disk *d, const struct entry *e, uint64_t commit)
{
    assert(e->index == d->count + 1 && !d->cutting);
    if (d->count == d->size) {
        d->size = d->size == 0 ? 64 : d->size * 2;
        d->log = realloc(d->log, d->size * sizeof *d->log);
        assert(d->log != NULL);
    }
    d->log[d->count++] = (struct record){.e = *e, .commit = commit};
}

void disk_flushed(struct disk *d, uint64_t index)
{
    assert(index <= d->count);
    for (; d->durable < index; d->durable++)
        if (d->log[d->durable].commit > d->commit)
            d->commit = d->log[d->durable].commit;
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
    d->count = d->durable = d->cut_to;
}

void disk_crash(struct disk *d, bool machine, struct chance *c)
{
    if (d->cutting && chance_percent(c, 50))
        disk_cut_done(d);
    d->cutting = false;
    if (d->saving && chance_percent(c, 50))
        disk_saved(d);
    d->saving = false;
    disk_flushed(d, d->durable + chance_below(c, d->count - d->durable + 1));
    d->count = d->durable;
    if (machine && d->applied > d->commit) {
        d->applied = d->commit;
        d->applied_chain = disk_point(d, d->applied).chain;
    }
}

struct peer_point disk_point(const struct disk *d, uint64_t index)
{
    if (index == 0 || index > d->count)
        return (struct peer_point){0};
    const struct entry *e = &d->log[index - 1].e;
    return (struct peer_point){.epoch = e->epoch, .index = index, .chain = e->chain};
}

uint64_t disk_kept(const struct disk *d)
{
    return d->cutting && d->cut_to < d->durable ? d->cut_to : d->durable;
}
