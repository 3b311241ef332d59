/* `noted promote` on the directory of a stopped simulated server, as cli/promote.c, node/promote.c
 * and node/untold.c do it, with the real verdict. Who promotes whom, and when, is unknown here. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "sim.h"

enum { TELL_US = 1000 * MS, LOOK_US = 5000 * MS };

static void server_of(const struct server *s, struct peer_server *to)
{
    memcpy(to->id, s->disk.id, PEER_ID_BYTES);
    memcpy(to->name, s->name, sizeof s->name);
}

/* What is committed is what the log proves: the tool does not look at local storage. */
static void dir_of(const struct server *s, struct promote_dir *d)
{
    const struct drive *disk = &s->disk;
    *d = (struct promote_dir){.own_epoch = drive_own_epoch(disk),
                              .promised_epoch = disk->hard.promised_epoch,
                              .complete = disk->hard.complete,
                              .installing = disk->installing,
                              .last = drive_point(disk, disk->count),
                              .committed = disk->commit,
                              .own = disk->hard.set};
    if (d->committed < disk->first - 1)
        d->committed = disk->first - 1;
    server_of(s, &d->server);
    memcpy(d->cluster, disk->hard.cluster, PEER_ID_BYTES);
}

bool promote_reaches(const struct world *w, const struct server *a, const struct server *b)
{
    return a->blocked_us <= w->now_us && b->blocked_us <= w->now_us;
}

static enum promote_reach reach_of(const struct world *w, const struct server *from,
                                   const struct server *s)
{
    if (!promote_reaches(w, from, s))
        return PROMOTE_AWAY;
    return !s->up ? PROMOTE_CLOSED : s->stopped_us > w->now_us ? PROMOTE_SILENT : PROMOTE_ANSWERED;
}

static void status_of(const struct server *s, struct promote_server *to)
{
    const struct repl *r = &s->r;
    *to = (struct promote_server){.reach = PROMOTE_ANSWERED,
                                  .primary = r->o.primary,
                                  .connected = r->stage == REPL_FOLLOWING,
                                  .generation = repl_generation(r),
                                  .epoch = r->epoch,
                                  .promised_epoch = r->hard.promised_epoch,
                                  .last_epoch = drive_point(&s->disk, s->disk.count).epoch,
                                  .last = r->last,
                                  .committed = r->committed};
    server_of(s, &to->server);
    memcpy(to->cluster, r->hard.cluster, PEER_ID_BYTES);
}

/* At an entry that one of the two has committed, and both have. */
static void compare(struct promote_case *c, const struct drive *here, const struct drive *there)
{
    uint64_t begin = (here->first > there->first ? here->first : there->first) - 1;
    uint64_t at = c->old.committed > begin ? c->old.committed : begin;
    at = at < here->count ? at : here->count;
    at = at < there->count ? at : there->count;
    struct peer_point x = drive_point(here, at), y = drive_point(there, at);
    if (at < begin || x.index != at || y.index != at) /* the list does not have what it is behind */
        return;
    c->compared = at;
    c->chain_self = x.chain;
    c->chain_old = y.chain;
}

void promote_ask(struct world *w, struct promotion *p)
{
    const struct server *s = p->self;
    struct promote_case c = {.has_old = p->old != NULL, .accept_data_loss = p->accept_data_loss};
    struct promote_verdict v;
    dir_of(s, &c.self);
    if (c.has_old) {
        dir_of(p->old, &c.old);
        compare(&c, &s->disk, &p->old->disk);
    }
    p->answered = p->untold = 0;
    p->promised = c.self.promised_epoch;
    for (unsigned i = 0; i < w->servers_count; i++) {
        const struct server *other = &w->servers[i];
        struct promote_server *to = &c.servers[c.count];
        if (other == s)
            continue;
        c.count++;
        to->reach = reach_of(w, s, other);
        if (to->reach == PROMOTE_ANSWERED)
            status_of(other, to);
        memcpy(to->address, other->name, sizeof other->name);
        *(to->reach == PROMOTE_ANSWERED ? &p->answered : &p->untold) |= 1U << i;
        if (to->promised_epoch > p->promised)
            p->promised = to->promised_epoch;
    }
    promote_judge(&c, &v);
    p->reason = v.reason;
    p->generation = v.generation;
    snprintf(p->why, sizeof p->why, "%.*s", (int)v.refusal.bytes, v.refusal.at);
    promote_forget(&v);
}

/* As data_dir_promote. */
void promote_do(struct world *w, const struct promotion *p)
{
    struct server *s = p->self;
    tell(w, "%s is promoted to generation %u", s->name, (unsigned)p->generation);
    s->disk.generation = p->generation;
    s->disk.starts = 0;
    s->disk.hard.set.count = 0;
    s->disk.untold = p->untold;
    s->follows = s->number;
    w->counts.promotions++;
    w->counts.accepted += p->accept_data_loss;
    line_promoted(w, s, p->accept_data_loss, p->answered);
}

/* --- Those who were not asked --- */

static void call(struct world *w, struct server *s, const struct server *other)
{
    const struct repl *r = &s->r;
    struct wire *wire = wire_open(w, s->number, other->number);
    struct peer_message m = {.kind = PEER_HELLO, .session = r->o.life};
    if (wire == NULL)
        return;
    wire->telling = true;
    memcpy(m.hello.cluster, r->hard.cluster, PEER_ID_BYTES);
    m.hello.generation = r->o.generation;
    m.hello.server = r->o.self;
    memcpy(m.hello.address, r->o.address, sizeof m.hello.address);
    m.hello.life = m.hello.promised_life = r->o.life;
    m.hello.promised_epoch = r->epoch;
    m.hello.points_count = 1; /* the beginning: nothing is asked for */
    wire_send(w, wire, CALLER, &m);
}

/* Who stands still finds the hello when it goes on. */
static bool called(struct world *w, const struct server *s, const struct server *other)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        if (wire->number == 0 || !wire->telling || !wire->open[CALLER] ||
            wire->server[CALLER] != s->number || wire->life[CALLER] != s->life ||
            wire->server[CALLED] != other->number)
            continue;
        if (w->now_us < wire->active_us + LOOK_US)
            return true;
        wire_close(w, wire, CALLER);
    }
    return false;
}

void promote_tell(struct world *w, struct server *s)
{
    for (unsigned i = 0; i < w->servers_count; i++) {
        const struct server *other = &w->servers[i];
        if ((s->disk.untold >> i & 1) != 0 && other->up && promote_reaches(w, s, other) &&
            !called(w, s, other))
            call(w, s, other);
    }
    if (s->disk.untold != 0)
        later(w, TELL_US, DO_TELL, s, 0, 0);
}

void promote_told(struct world *w, struct server *s, struct wire *wire)
{
    struct server *other = &w->servers[wire->server[CALLED]];
    if (other->disk.told < s->disk.generation)
        other->disk.told = s->disk.generation;
    tell(w, "%s has told %s", s->name, other->name);
    s->disk.untold &= ~(1U << other->number);
    wire_close(w, wire, CALLER);
}
