/* A promotion by hand of a stopped simulated server: the real verdict on what the directories and
 * the other servers say. Knows nothing of scenarios. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "repl/promote.h"
#include "scenario.h"

static void server_of(const struct server *s, struct peer_server *to)
{
    memcpy(to->id, s->disk.id, PEER_ID_BYTES);
    memcpy(to->name, s->name, sizeof s->name);
}

static void dir_of(const struct server *s, struct promote_dir *d)
{
    const struct drive *disk = &s->disk;
    *d = (struct promote_dir){.own_epoch = ((uint64_t)s->generation << 32) + disk->starts,
                              .promised_epoch = disk->hard.promised_epoch,
                              .complete = disk->hard.complete,
                              .installing = disk->installing,
                              .last = drive_point(disk, disk->count),
                              .committed = drive_applied(disk),
                              .own = disk->hard.set};
    server_of(s, &d->server);
    memcpy(d->cluster, disk->hard.cluster, PEER_ID_BYTES);
}

static void status_of(const struct server *s, struct promote_server *to)
{
    const struct repl *r = &s->r;
    struct peer_point last = drive_point(&s->disk, s->disk.count);
    *to = (struct promote_server){.reach = s->up ? PROMOTE_ANSWERED : PROMOTE_CLOSED,
                                  .primary = r->o.primary,
                                  .connected = r->stage == REPL_FOLLOWING,
                                  .generation = repl_generation(r),
                                  .epoch = r->epoch,
                                  .promised_epoch = r->hard.promised_epoch,
                                  .last_epoch = last.epoch,
                                  .last = last.index,
                                  .committed = r->committed};
    server_of(s, &to->server);
    memcpy(to->cluster, r->hard.cluster, PEER_ID_BYTES);
    memcpy(to->address, s->name, sizeof s->name);
}

bool promote(struct world *w, struct server *s, const struct server *old, char why[COMPLAINT_BYTES])
{
    struct promote_case c = {.has_old = old != NULL};
    struct promote_verdict v;
    dir_of(s, &c.self);
    if (old != NULL) {
        dir_of(old, &c.old);
        c.compared = c.old.committed < s->disk.count ? c.old.committed : s->disk.count;
        c.chain_self = drive_point(&s->disk, c.compared).chain;
        c.chain_old = drive_point(&old->disk, c.compared).chain;
    }
    for (unsigned i = 0; i < w->servers_count; i++)
        if (&w->servers[i] != s)
            status_of(&w->servers[i], &c.servers[c.count++]);
    promote_judge(&c, &v);
    bool yes = v.reason == PROMOTE_YES;
    snprintf(why, COMPLAINT_BYTES, "%.*s", (int)v.refusal.bytes, v.refusal.at);
    if (yes) { /* as data_dir_promote */
        tell(w, "%s is promoted to generation %u", s->name, (unsigned)v.generation);
        s->generation = v.generation;
        s->follows = s->number;
        s->disk.starts = 0;
        s->disk.hard.set.count = 0;
        w->primary = s->number;
    }
    promote_forget(&v);
    return yes;
}
