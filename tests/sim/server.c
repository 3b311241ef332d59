/* A server's process: started on what its disk has, ended at any moment. */
#include <stdio.h>
#include <string.h>

#include "repl/course.h"
#include "sim.h"

enum { RECORD_BYTES_MAX = 16 * 1024 };

struct server *server_by_id(struct world *w, const unsigned char *id)
{
    for (unsigned i = 0; i < w->servers_count; i++)
        if (memcmp(w->servers[i].disk.id, id, PEER_ID_BYTES) == 0)
            return &w->servers[i];
    return NULL;
}

/* S2: on the disk before anything is made with it, as data_dir_next_epoch does it. */
static uint64_t new_epoch(struct world *w, struct server *s, const struct peer_server *self)
{
    struct drive *d = &s->disk;
    struct peer_set *set = &d->hard.set;
    if (RULE(S2) || d->starts == 0)
        d->starts++;
    memcpy(d->hard.cluster, w->cluster, PEER_ID_BYTES);
    d->hard.promised_epoch = drive_own_epoch(d);
    d->hard.promised_life = s->r.o.life;
    d->hard.complete = true;
    if (!peer_set_has(set, d->id)) {
        set->count = 1;
        set->list[0] = *self;
    }
    return drive_own_epoch(d);
}

uint64_t server_wall_us(const struct world *w, const struct server *s)
{
    return 1700000000ULL * S + w->now_us + s->clock_us + s->wall_us;
}

static void options(struct world *w, struct server *s, struct repl_options *o)
{
    memcpy(o->self.name, s->name, sizeof s->name);
    memcpy(o->self.id, s->disk.id, PEER_ID_BYTES);
    memcpy(o->address, s->name, sizeof s->name);
    o->sessions = s->r.sessions;
    o->generation = s->disk.generation;
    o->primary = server_leads(s);
    o->min_copies = w->plan.min_copies;
    o->timeout_us = w->plan.timeout_us;
    o->suspect = s->disk.suspect;
}

void server_make(struct world *w, unsigned number, const char *name)
{
    struct server *s = &w->servers[number];
    s->number = number;
    s->follows = FIRST;
    snprintf(s->name, sizeof s->name, "%s", name);
    drive_make(&s->disk, w->plan.real_log, &w->chance);
}

void server_begin(struct world *w, struct server *s)
{
    struct repl_options o = s->r.o;
    struct repl_event e = {
        .kind = REPL_START, .index = s->disk.count, .committed = drive_applied(&s->disk)};
    options(w, s, &o);
    s->seen_committed = s->seen_applied = s->seen_promised = 0;
    if (server_leads(s))
        e.epoch = new_epoch(w, s, &o.self);
    struct repl_hard hard = s->disk.hard;
    if (server_leads(s)) /* the step takes the epoch as what is new */
        hard.promised_epoch = e.epoch - 1;
    repl_init(&s->r, &o, &hard);
    tell(w, "%s begins: log %llu to %llu, committed %llu, epoch %llu%s%s", s->name,
         (unsigned long long)s->disk.first, (unsigned long long)e.index,
         (unsigned long long)e.committed, (unsigned long long)e.epoch,
         o.ack_all ? "" : ", acknowledges alone", s->proved ? "" : ", not proved");
    driver_step(w, s, &e);
}

/* Its log is damaged, and it says so: the operator wipes it. */
void server_give_up(struct world *w, struct server *s, const char *why)
{
    tell(w, "%s cannot go on: %s", s->name, why);
    server_stop(w, s, false);
    server_wipe(w, s);
    later(w, S, DO_START, s, 0, 0);
}

/* S11, S12. */
static enum repl_course course_of(struct server *s, bool damaged)
{
    struct repl_found f = {.primary = server_leads(s),
                           .marked = s->disk.suspect && !s->disk.installing,
                           .damaged = damaged,
                           .accept_loss = s->accepts_loss};
    enum repl_course course = repl_course(&f);
    if (course == COURSE_GO_ON || course == COURSE_GIVE_UP)
        s->disk.suspect = false;
    if (course == COURSE_COPY) {
        s->disk.suspect = true;
        s->disk.hard.complete = false;
    }
    return course;
}

void server_start(struct world *w, struct server *s)
{
    if (server_leads(s) && drive_own_epoch(&s->disk) < s->disk.hard.promised_epoch) {
        tell(w, "%s refuses to start: its directory is a backup's", s->name);
        return;
    }
    enum repl_course course = course_of(s, false);
    s->accepts_loss = false;
    if (course == COURSE_REFUSE) {
        tell(w, "%s refuses to start: it is suspect", s->name);
        return;
    }
    s->up = true;
    s->alarmed = s->told = false;
    s->life = ++w->lives;
    s->links = 0;
    memset(s->heard, 0, sizeof s->heard);
    s->stopped_us = s->disk_us = s->wait_us = s->hold_us = 0;
    w->counts.starts++;
    s->r.sessions = 0;
    s->r.o = (struct repl_options){.life = chance_next(&w->chance) | 1};
    s->r.o.ack_all = !w->plan.ack_mixed || chance_percent(&w->chance, 60);
    s->x = (struct execution){.json = w->json,
                              .record_bytes_max = RECORD_BYTES_MAX,
                              .collections_max = 100,
                              .keys_max = 1000 * 1000,
                              .keys_bytes_max = UINT64_MAX,
                              .key_window_us = w->plan.key_window_us,
                              .scratch = s->x.scratch};
    s->pending_end = &s->pending;
    fates_init(&s->fates);
    s->checking = s->turning = false;
    s->copy_wanted = course == COURSE_COPY;
    copy_forget(s);
    char why[WHY_BYTES];
    int rc = drive_recover(&s->disk, &w->storage, &s->proved, why);
    if (rc != 0) {
        if (!s->disk.rotten || rc == LOST_ENTRIES)
            complain(w, "S12: %s: %s", s->name, why);
        if (course_of(s, true) != COURSE_COPY) {
            server_give_up(w, s, why);
            return;
        }
        tell(w, "%s is suspect: %s", s->name, why);
        drive_leave_log(&s->disk);
        s->copy_wanted = true;
    }
    server_begin(w, s);
    later(w, chance_below(&w->chance, 20 * MS), DO_TICK, s, 0, 0);
    if (w->plan.checkpoint_us != 0)
        later(w, chance_skewed(&w->chance, w->plan.checkpoint_us), DO_CHECKPOINT, s, 0, 0);
    if (!server_leads(s))
        later(w, chance_below(&w->chance, 50 * MS), DO_CALL, s, 0, 0);
    else if (s->disk.untold != 0)
        later(w, 0, DO_TELL, s, 0, 0);
    if (s->crashes != 0)
        later(w, chance_between(&w->chance, 1, 30) * MS, DO_CRASH, s, 0, 0);
}

void server_stop(struct world *w, struct server *s, bool machine)
{
    if (!s->up)
        return;
    tell(w, "%s %s", s->name, machine ? "loses power" : "is killed");
    s->up = false;
    clients_of_dead(w, s);
    order_stop(w, s);
    wires_of_dead(w, s->number, machine);
    drive_crash(&s->disk, &w->storage, machine, &w->chance);
    s->failing = (struct failing){0};
}

void server_finish(struct server *s)
{
    buf_finish(&s->x.scratch);
    buf_finish(&s->effects);
    buf_finish(&s->scratch);
    buf_finish(&s->part);
}

void server_wipe(struct world *w, struct server *s)
{
    tell(w, "%s gets an empty disk", s->name);
    w->harmed = w->servers[w->primary].disk.count;
    drive_finish(&s->disk, &w->storage);
    drive_make(&s->disk, w->plan.real_log, &w->chance);
    s->checked_durable = s->checked_applied = s->seen_read = 0;
    s->astray = false;
}

void server_restore(struct world *w, struct server *s)
{
    tell(w, "%s gets an old copy of its disk", s->name);
    w->harmed = w->servers[w->primary].disk.count;
    drive_copy(&s->disk, &s->old_copy, &w->storage, &w->chance);
    s->disk.damaged = s->disk.restored = true;
    s->disk.promised_max = 0;
    s->checked_durable = s->checked_applied = s->seen_read = 0;
    s->astray = false;
}
