/* The invariants, from outside: what is on the disks, what was told, what clients were answered.
 * Nothing here asks the step what it believes, but for the positions that I5 is about. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

typedef unsigned long long u;

void complain(struct world *w, const char *format, ...)
{
    if (w->truth.complaint[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(w->truth.complaint, sizeof w->truth.complaint, format, args);
    va_end(args);
}

void checks_finish(struct world *w)
{
    free(w->truth.canon);
    free(w->truth.born);
    history_finish(&w->truth.history);
    line_finish(w);
}

/* --- I4: one entry per (epoch, index) that anybody has seen, ever --- */

static struct born *born_place(const struct truth *t, uint64_t epoch, uint64_t index)
{
    uint64_t i = (epoch * 0x9e3779b97f4a7c15 + index) * 0xbf58476d1ce4e5b9 >> 20;
    for (;; i++) {
        struct born *b = &t->born[i % t->born_size];
        if (b->index == 0 || (b->epoch == epoch && b->index == index))
            return b;
    }
}

static void born_grow(struct truth *t)
{
    struct truth old = *t;
    t->born_size = t->born_size == 0 ? 1024 : 2 * t->born_size;
    t->born = calloc(t->born_size, sizeof *t->born);
    assert(t->born != NULL);
    for (uint64_t i = 0; i < old.born_size; i++)
        if (old.born[i].index != 0)
            *born_place(t, old.born[i].epoch, old.born[i].index) = old.born[i];
    free(old.born);
}

void check_shipped(struct world *w, const struct entry *e)
{
    struct truth *t = &w->truth;
    if (2 * (t->born_count + 1) > t->born_size)
        born_grow(t);
    struct born *b = born_place(t, e->epoch, e->index);
    if (b->index == 0) {
        *b = (struct born){.epoch = e->epoch, .index = e->index, .chain = e->chain};
        t->born_count++;
    } else if (b->chain != e->chain && !w->plan.primary_lost) {
        complain(w, "I4: two entries are %llu/%llu", (u)e->epoch, (u)e->index);
    }
}

/* --- What a disk has for sure --- */

/* What is trimmed is in the checkpoint. */
bool check_has(const struct world *w, const struct drive *d, uint64_t index)
{
    const struct truth *t = &w->truth;
    if (index == 0 || index > t->canon_count)
        return index == 0;
    if (index >= d->first && !d->installing)
        return index <= drive_kept(d) && drive_at(d, index)->e.chain == t->canon[index - 1].chain;
    const struct image *c = d->checkpoint;
    return c != NULL && c->state.applied >= index && c->state.applied <= t->canon_count &&
           c->state.chain == t->canon[c->state.applied - 1].chain;
}

/* A member of the set that need not have anything: nobody carries its name any more, or its disk
 * is an old copy and the primary has not let it in again. */
static bool excused(struct world *w, const struct server *s)
{
    if (s == NULL)
        return true;
    if (!s->disk.damaged)
        return false;
    if (!s->up)
        return true;
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        const struct wire *wire = &w->wires[i];
        if (wire->number != 0 && wire->welcomed && !wire->tainted && wire->open[CALLED] &&
            w->servers[w->primary].up && wire->life[CALLED] == w->servers[w->primary].life &&
            wire->life[CALLER] == s->life && memcmp(wire->hello.id, s->disk.id, PEER_ID_BYTES) == 0)
            return false;
    }
    return true;
}

/* There are two of this identity: whichever is in session has what was acknowledged, and is looked
 * at by the checks of sessions. The other falls behind, also if it was the one before: so neither
 * counts as whole again before it is the only one. */
static bool cloned(const struct world *w, const struct server *s)
{
    for (unsigned i = 0; i < w->servers_count; i++)
        if (&w->servers[i] != s && memcmp(w->servers[i].disk.id, s->disk.id, PEER_ID_BYTES) == 0)
            return true;
    return false;
}

static void check_set(struct world *w, const struct peer_set *set)
{
    const struct truth *t = &w->truth;
    for (unsigned i = 0; i < set->count; i++) {
        const struct server *s = server_by_id(w, set->list[i].id);
        if (excused(w, s) || cloned(w, s))
            continue;
        /* Of an old copy no more can be asked than what the primary can prove now. */
        uint64_t known =
            s->disk.damaged ? drive_applied(&w->servers[w->primary].disk) : t->committed;
        if (!check_has(w, &s->disk, t->acked_by_all < known ? t->acked_by_all : known))
            complain(w, "I2: entry %llu is acknowledged, and %s in the set does not have it",
                     (u)t->acked_by_all, s->name);
        if (!check_has(w, &s->disk, known))
            complain(w, "I3: entry %llu is committed, and %s in the set does not have it", (u)known,
                     s->name);
    }
}

static void check_primary(struct world *w)
{
    const struct drive *d = &w->servers[w->primary].disk;
    const struct truth *t = &w->truth;
    if (!check_has(w, d, t->acked))
        complain(w, "I2: entry %llu is acknowledged, and the primary does not have it",
                 (u)t->acked);
    if (!check_has(w, d, t->committed))
        complain(w, "I3: entry %llu is committed, and the primary does not have it",
                 (u)t->committed);
    /* S4: either may be what is on the disk. */
    check_set(w, &d->hard.set);
    if (d->saving)
        check_set(w, &d->hard_next.set);
    for (unsigned i = 0; i < w->servers_count; i++) {
        struct server *s = &w->servers[i];
        if (i != w->primary && s->disk.damaged && !cloned(w, s) &&
            check_has(w, &s->disk, t->committed) && !excused(w, s))
            s->disk.damaged = false;
    }
}

/* --- I1 and I5 --- */

/* The first to apply it says what it is, and how the one order of writes goes on. */
static void learn(struct world *w, const struct drive *d, uint64_t index)
{
    struct truth *t = &w->truth;
    char why[WHY_BYTES];
    if (t->canon_size < index) {
        t->canon_size = t->canon_size == 0 ? 1024 : 2 * t->canon_size;
        t->canon = realloc(t->canon, t->canon_size * sizeof *t->canon);
        assert(t->canon != NULL);
    }
    const struct entry *e = &drive_at(d, index)->e;
    history_entry(&t->history, e, why);
    t->canon[t->canon_count++] = (struct canon){.chain = e->chain, .seq = t->history.seq};
    if (why[0] != '\0')
        complain(w, "%s", why);
}

void check_applied(struct world *w, struct server *s)
{
    struct truth *t = &w->truth;
    const struct drive *d = &s->disk;
    const struct store_state *state = &d->local.state;
    if (state->applied == 0 || d->installing)
        return;
    if (drive_kept(d) < state->applied || drive_point(d, state->applied).chain != state->chain) {
        complain(w, "S9: %s has applied entry %llu, and its log no longer has it", s->name,
                 (u)state->applied);
        return;
    }
    if (state->applied == s->checked_applied)
        return;
    s->checked_applied = state->applied;
    while (t->canon_count < state->applied && t->canon_count + 1 >= d->first &&
           line_has(w, &drive_at(d, t->canon_count + 1)->e))
        learn(w, d, t->canon_count + 1);
    if (w->plan.primary_lost)
        return;
    if (!line_follows(w, s))
        complain(w, "I1: %s has applied another entry %llu than others have%s", s->name,
                 (u)state->applied,
                 s->told || s->disk.told > s->disk.generation ? ", and knows of a newer primary"
                                                              : "");
    if (s->astray || t->canon_count < state->applied)
        return;
    struct canon *c = &t->canon[state->applied - 1];
    if (c->digest == 0)
        c->digest = state->digest;
    else if (c->digest != state->digest)
        complain(w, "I1: %s has other records than others have after entry %llu", s->name,
                 (u)state->applied);
}

static void check_positions(struct world *w, struct server *s)
{
    struct drive *d = &s->disk;
    const struct repl *r = &s->r;
    if (d->hard.promised_epoch < d->promised_max)
        complain(w, "I5: the promise on %s's disk went back from %llu to %llu", s->name,
                 (u)d->promised_max, (u)d->hard.promised_epoch);
    d->promised_max = d->hard.promised_epoch;
    for (; s->checked_durable < d->durable; s->checked_durable++)
        if (s->checked_durable + 1 >= d->first)
            check_shipped(w, &drive_at(d, s->checked_durable + 1)->e);
    if (s->checked_durable > d->durable)
        s->checked_durable = d->durable;
    uint64_t applied = drive_applied(d);
    if (!s->up || d->installing)
        return;
    if (r->committed < s->seen_committed || applied < s->seen_applied ||
        r->hard.promised_epoch < s->seen_promised)
        complain(w,
                 "I5: %s went back: committed %llu to %llu, applied %llu to %llu, promised %llu "
                 "to %llu",
                 s->name, (u)s->seen_committed, (u)r->committed, (u)s->seen_applied, (u)applied,
                 (u)s->seen_promised, (u)r->hard.promised_epoch);
    s->seen_committed = r->committed;
    s->seen_applied = applied;
    s->seen_promised = r->hard.promised_epoch;
    if (applied != r->committed)
        complain(w, "S10: %s has committed %llu and applied %llu", s->name, (u)r->committed,
                 (u)applied);
    if (r->last != d->count && !d->cutting)
        complain(w, "driver: %s's log ends at %llu, the step believes at %llu", s->name,
                 (u)d->count, (u)r->last);
}

void check_all(struct world *w)
{
    for (unsigned i = 0; i < w->servers_count; i++) {
        check_applied(w, &w->servers[i]);
        check_positions(w, &w->servers[i]);
    }
    struct truth *t = &w->truth;
    if (drive_applied(&w->servers[w->primary].disk) > t->committed)
        t->committed = drive_applied(&w->servers[w->primary].disk);
    if (!w->plan.primary_lost && t->complaint[0] == '\0')
        check_primary(w);
}

/* --- Committed by the primary, which then answers: on how many disks (S23) --- */

void check_committed(struct world *w, const struct server *s, const struct entry *e)
{
    struct truth *t = &w->truth;
    if (e->kind != ENTRY_WRITES || s->astray)
        return;
    t->acked = e->index > t->acked ? e->index : t->acked;
    if (!s->r.o.ack_all || w->plan.primary_lost)
        return;
    t->acked_by_all = t->acked;
    unsigned copies = 0;
    for (unsigned i = 0; i < w->servers_count; i++) {
        const struct drive *d = &w->servers[i].disk;
        copies += drive_kept(d) >= e->index && drive_point(d, e->index).chain == e->chain;
    }
    if (copies < w->plan.min_copies && e->index > w->harmed)
        complain(w, "S23: entry %llu is acknowledged with %u copies, %u are wanted", (u)e->index,
                 copies, w->plan.min_copies);
}

/* --- I6: what each server of the recorded set has said that it has, by what arrived here --- */

static struct heard *heard_of(struct server *s, const unsigned char *id)
{
    for (unsigned i = 0; i < HEARD_MAX; i++)
        if (memcmp(s->heard[i].id, id, PEER_ID_BYTES) == 0)
            return &s->heard[i];
    return NULL;
}

static void hear_session(struct server *s, const struct wire *wire, uint64_t session)
{
    struct heard *h = heard_of(s, wire->hello.id);
    if (h == NULL)
        h = &s->heard[s->heard_next++ % HEARD_MAX];
    *h = (struct heard){.session = session};
    memcpy(h->id, wire->hello.id, PEER_ID_BYTES);
}

void check_heard(struct server *s, const struct wire *wire, const struct peer_message *m)
{
    struct heard *h = s->r.o.primary ? heard_of(s, wire->hello.id) : NULL;
    if (m->kind == PEER_HELLO && !wire->tainted && m->hello.generation > s->disk.generation &&
        server_leads(s) && memcmp(m->hello.cluster, s->r.hard.cluster, PEER_ID_BYTES) == 0)
        s->told = true;
    if (h != NULL && m->kind == PEER_ACK && m->epoch == s->r.epoch && m->session == h->session &&
        m->ack.durable > h->durable)
        h->durable = m->ack.durable;
}

static void check_commit(struct world *w, const struct server *s, const struct peer_set *set,
                         uint64_t index)
{
    for (unsigned i = 0; i < set->count; i++) {
        const unsigned char *id = set->list[i].id;
        const struct heard *h = heard_of((struct server *)s, id);
        bool self = memcmp(id, s->disk.id, PEER_ID_BYTES) == 0;
        uint64_t durable = self ? drive_kept(&s->disk) : h == NULL ? 0 : h->durable;
        if (durable < index)
            complain(w, "I6: entry %llu is committed, and %s in the set has acknowledged %llu",
                     (u)index, set->list[i].name, (u)durable);
    }
}

/* S4: either set may be what is on the disk. */
void check_commits(struct world *w, const struct server *s, uint64_t index)
{
    if (!s->r.o.ack_all)
        return;
    check_commit(w, s, &s->disk.hard.set, index);
    if (s->disk.saving)
        check_commit(w, s, &s->disk.hard_next.set, index);
}

/* --- What servers say to each other --- */

static void check_refusal(struct world *w, const struct wire *wire, const struct peer_refuse *m)
{
    const struct server *s = &w->servers[wire->server[CALLER]];
    bool innocent = w->o.strict && !w->plan.primary_lost && !wire->tainted && !wire->telling &&
                    !s->astray && wire->open[CALLER] && wire->server[CALLED] == w->primary &&
                    s->up && s->life == wire->life[CALLER];
    if (innocent &&
        (m->code == REFUSE_MISMATCH || m->code == REFUSE_EPOCH || m->code == REFUSE_CLUSTER ||
         (m->code == REFUSE_ROLLED_BACK && !s->disk.restored)))
        complain(w, "refusal: of %s for no reason: %s", s->name, m->sentence);
}

static void check_sessions(struct world *w, const struct wire *wire)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        const struct wire *other = &w->wires[i];
        if (other == wire || other->number == 0 || !other->welcomed || !other->open[CALLED] ||
            other->life[CALLED] != wire->life[CALLED])
            continue;
        if (strcmp(other->hello.name, wire->hello.name) != 0)
            continue;
        bool same = memcmp(other->hello.id, wire->hello.id, PEER_ID_BYTES) == 0;
        complain(w, "%s: two sessions of %s", same ? "S17" : "S14", wire->hello.name);
    }
}

void check_sent(struct world *w, struct wire *wire, unsigned side, const struct peer_message *m)
{
    if (m->kind == PEER_HELLO)
        wire->hello = m->hello.server;
    if (m->kind == PEER_REFUSE)
        check_refusal(w, wire, &m->refuse);
    if (m->kind == PEER_WELCOME && side == CALLED && !wire->telling) {
        wire->welcomed = true;
        hear_session(&w->servers[wire->server[CALLED]], wire, m->session);
        check_sessions(w, wire);
    }
}

/* --- The end --- */

/* Everybody is in, while writes go on; then, once clients are quiet, all are the same. */
bool check_healed(struct world *w)
{
    const struct server *p = &w->servers[w->primary];
    if (!p->up || !p->r.admitting || p->r.saving || p->disk.saving ||
        w->counts.acknowledged < w->healed_acked + 3)
        return false;
    unsigned members = 0;
    bool same = !repl_busy(&p->r);
    for (unsigned i = 0; i < w->servers_count; i++) {
        const struct server *s = &w->servers[i];
        if (s == p || s->stays_down)
            continue;
        members++;
        if (!s->up || s->r.stage != REPL_FOLLOWING || repl_refusal(&s->r) != 0)
            return false;
        same = same && drive_applied(&s->disk) == drive_applied(&p->disk) &&
               s->disk.local.state.chain == p->disk.local.state.chain &&
               s->disk.local.state.digest == p->disk.local.state.digest;
        if (p->r.o.ack_all && !peer_set_has(&p->disk.hard.set, s->disk.id))
            return false;
    }
    if (p->r.o.ack_all ? p->disk.hard.set.count != members + 1 : p->disk.hard.set.count > 1)
        return false;
    w->quiet = true;
    return same;
}
