/* A server's process: started on what its disk has, ended at any moment. */
#include <string.h>

#include "sim.h"

struct server *server_by_id(struct world *w, const unsigned char *id)
{
    for (unsigned i = 0; i < w->servers_count; i++)
        if (memcmp(w->servers[i].disk.id, id, PEER_ID_BYTES) == 0)
            return &w->servers[i];
    return NULL;
}

/* S2: a number that is on the disk before anything is made with it. */
static uint64_t new_epoch(struct world *w, struct disk *d)
{
    if (RULE(S2) || d->starts == 0)
        d->starts++;
    return ((uint64_t)w->generation << 32) + d->starts;
}

void server_start(struct world *w, struct server *s)
{
    struct repl_options o = {.life = chance_next(&w->chance) | 1,
                             .generation = s->number == PRIMARY ? w->generation : 1,
                             .primary = s->number == PRIMARY,
                             .ack_all = !w->plan.ack_mixed || chance_percent(&w->chance, 60),
                             .min_copies = w->plan.min_copies,
                             .timeout_us = w->plan.timeout_us};
    memcpy(o.self.name, s->name, sizeof s->name);
    memcpy(o.self.id, s->disk.id, PEER_ID_BYTES);
    memcpy(o.address, s->name, sizeof s->name);
    struct repl_event e = {
        .kind = REPL_START, .index = s->disk.count, .committed = s->disk.applied};
    s->up = true;
    s->alarmed = false;
    s->life = ++w->lives;
    s->links = 0;
    s->stopped_us = s->disk_us = s->wait_us = 0;
    s->seen_committed = s->seen_applied = s->seen_promised = 0;
    w->counts.starts++;
    repl_init(&s->r, &o, &s->disk.hard);
    if (s->number == PRIMARY) {
        memcpy(s->r.hard.cluster, w->cluster, PEER_ID_BYTES);
        e.epoch = new_epoch(w, &s->disk);
    }
    tell(w, "%s starts: log up to %llu, committed %llu, epoch %llu%s", s->name,
         (unsigned long long)e.index, (unsigned long long)e.committed, (unsigned long long)e.epoch,
         o.ack_all ? "" : ", acknowledges alone");
    driver_step(w, s, &e);
    later(w, chance_below(&w->chance, 20 * MS), DO_TICK, s, 0, 0);
    if (s->number == PRIMARY)
        later(w, chance_below(&w->chance, 20 * MS), DO_PROPOSE, s, 0, 1);
    else
        later(w, chance_below(&w->chance, 50 * MS), DO_CALL, s, 0, 0);
    if (s->crashes != 0)
        later(w, chance_between(&w->chance, 1, 30) * MS, DO_CRASH, s, 0, 0);
}

void server_stop(struct world *w, struct server *s, bool machine)
{
    if (!s->up)
        return;
    tell(w, "%s %s", s->name, machine ? "loses power" : "is killed");
    s->up = false;
    wires_of_dead(w, s->number, machine);
    disk_crash(&s->disk, machine, &w->chance);
}

void server_wipe(struct world *w, struct server *s)
{
    tell(w, "%s gets an empty disk", s->name);
    w->harmed = w->servers[PRIMARY].disk.count;
    disk_finish(&s->disk);
    disk_make(&s->disk, &w->chance);
    s->checked_durable = 0;
}

void server_restore(struct world *w, struct server *s)
{
    tell(w, "%s gets an old copy of its disk", s->name);
    w->harmed = w->servers[PRIMARY].disk.count;
    disk_copy(&s->disk, &s->old_copy);
    s->disk.damaged = s->disk.restored = true;
    s->disk.promised_max = 0;
    s->checked_durable = 0;
}
