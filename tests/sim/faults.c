/* What goes wrong in a run, and what people do about it. Each run draws its own mixture, so that
 * rare things meet each other now and then. */
#include <string.h>

#include "sim.h"
#include "wal.h"

enum fault {
    KILL_BACKUP,
    KILL_PRIMARY,
    POWER_BACKUP,
    POWER_PRIMARY,
    POWER_ALL,
    STAND_STILL,
    CLOCK_JUMP,
    CUT_ONE,
    CUT_BOTH,
    RESET,
    FREEZE,
    SLOW_DISK,
    BLOCK_CALLS,
    WIPE,
    KEEP_COPY,
    RESTORE_COPY,
    DROP,
    OLD_MESSAGE,
    OLD_MESSAGES,
    CRASH_LOOP,
    TWIN,
    PRIMARY_COPY,
    PRIMARY_RESTORE,
    PARTITION,
    SLOW_LINK,
    FULL_DISK,
    ROT,
    CLONE,
    FAULTS
};

static void plan_faults(struct world *w)
{
    static const unsigned most[FAULTS] = {
        [KILL_BACKUP] = 10, [KILL_PRIMARY] = 10, [POWER_BACKUP] = 10, [POWER_PRIMARY] = 10,
        [POWER_ALL] = 4,    [STAND_STILL] = 10,  [CLOCK_JUMP] = 6,    [CUT_ONE] = 10,
        [CUT_BOTH] = 10,    [RESET] = 20,        [FREEZE] = 10,       [SLOW_DISK] = 10,
        [BLOCK_CALLS] = 6,  [WIPE] = 3,          [KEEP_COPY] = 6,     [RESTORE_COPY] = 6,
        [DROP] = 6,         [OLD_MESSAGE] = 20,  [OLD_MESSAGES] = 10, [CRASH_LOOP] = 1,
        [PARTITION] = 8,    [SLOW_LINK] = 8,     [FULL_DISK] = 6,
    };
    struct plan *p = &w->plan;
    for (unsigned i = 0; i < FAULTS; i++)
        if (most[i] != 0 && chance_percent(&w->chance, 50))
            p->weights[i] = (unsigned)chance_between(&w->chance, 1, most[i]);
    if (!chance_percent(&w->chance, 20))
        p->weights[CRASH_LOOP] = 0;
    if (p->twin) {
        p->weights[TWIN] = 10;
        p->weights[CLONE] = chance_percent(&w->chance, 50) ? 10 : 0;
    }
    if (p->real_log && !p->primary_lost && chance_percent(&w->chance, 50))
        p->weights[ROT] = 4;
    if (p->primary_lost) {
        p->weights[PRIMARY_COPY] = 6;
        p->weights[PRIMARY_RESTORE] = 3;
        p->weights[KILL_PRIMARY] = 20;
        p->weights[CRASH_LOOP] = 10;
        p->weights[WIPE] = 0;
    }
}

void faults_plan(struct world *w)
{
    static const unsigned net_ms[] = {1, 5, 50}, disk_ms[] = {1, 5, 40}, entries[] = {3, 30, 2000};
    struct chance *c = &w->chance;
    struct plan *p = &w->plan;
    p->twin = chance_percent(c, 10);
    p->primary_lost = chance_percent(c, 10);
    p->ack_mixed = chance_percent(c, 15);
    p->hold_all = chance_percent(c, 50);
    w->servers_count = (unsigned)chance_between(c, 3, 5) + p->twin;
    p->min_copies = (unsigned)chance_between(c, 1, 3);
    p->timeout_us = chance_between(c, 300, 3000) * MS;
    p->net_us = net_ms[chance_below(c, 3)] * MS;
    p->disk_us = disk_ms[chance_below(c, 3)] * MS;
    p->op_us = chance_between(c, 4, 9) * MS;
    p->checkpoint_us = chance_between(c, 200, 4000) * MS;
    p->log_entries = entries[chance_below(c, 3)];
    p->key_window_us = chance_percent(c, 10) ? chance_between(c, 1, 5) * S : 24 * 3600ULL * S;
    p->real_log = chance_percent(c, 15);
    p->lmdb = chance_percent(c, 2);
    if (p->lmdb) /* whose copies cost more */
        p->checkpoint_us *= 8;
    p->lmdb = p->lmdb && !w->o.memory;
    p->fault_us =
        chance_percent(c, 70) ? chance_between(c, 20, 600) * MS : chance_between(c, 600, 4000) * MS;
    p->stale_percent = chance_percent(c, 20) ? 60 : 0;
    p->length_us = chance_between(c, 5, 15) * S;
    if (p->primary_lost) /* else what is lost is always seen by its absence */
        p->op_us = chance_between(c, 500, 2000) * MS;
    plan_faults(w);
    tell(w, "%u servers, %u copies, time-out %u ms, a fault in %u ms%s%s%s", w->servers_count,
         p->min_copies, (unsigned)(p->timeout_us / MS), (unsigned)(p->fault_us / MS),
         p->ack_mixed ? ", some lives acknowledge alone" : "", p->twin ? ", a twin" : "",
         p->primary_lost ? ", the primary's disk goes back" : "");
}

/* --- Single faults --- */

static struct server *a_backup(struct world *w)
{
    unsigned count = w->servers_count - 1 - w->plan.twin;
    unsigned number = 1 + (unsigned)chance_below(&w->chance, count);
    return &w->servers[number != w->primary ? number : FIRST];
}

static struct server *anybody(struct world *w)
{
    return chance_percent(&w->chance, 40) ? &w->servers[w->primary] : a_backup(w);
}

static void come_back(struct world *w, const struct server *s)
{
    uint64_t most_ms = chance_percent(&w->chance, 60) ? 200 : 4000;
    later(w, chance_between(&w->chance, 1, most_ms) * MS, DO_START, s, 0, 0);
}

static void end(struct world *w, struct server *s, bool machine)
{
    if (!s->up)
        return;
    if (s->crashes == 0 && chance_percent(&w->chance, 50)) { /* soon, with much on its way */
        s->crashes = 1;
        s->slow_us = w->now_us + 200 * MS;
        later(w, chance_between(&w->chance, 1, 150) * MS, DO_CRASH, s, 0, 0);
        return;
    }
    server_stop(w, s, machine);
    come_back(w, s);
}

static struct wire *a_wire(struct world *w)
{
    unsigned first = (unsigned)chance_below(&w->chance, WIRES_MAX);
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[(first + i) % WIRES_MAX];
        if (wire->number != 0 && (wire->open[CALLER] || wire->open[CALLED]))
            return wire;
    }
    return NULL;
}

static void on_wire(struct world *w, enum fault fault)
{
    struct wire *wire = a_wire(w);
    unsigned side = (unsigned)chance_below(&w->chance, 2);
    if (wire == NULL)
        return;
    tell(w, "fault %d on the connection of %s (%u there, %u at the primary), side %u", (int)fault,
         w->servers[wire->server[CALLER]].name, wire->link[CALLER], wire->link[CALLED], side);
    if (fault == CUT_ONE || fault == CUT_BOTH)
        wire->cut[side] = true;
    if (fault == CUT_BOTH)
        wire->cut[1 - side] = true;
    if (fault == SLOW_LINK)
        wire->slow_us = chance_between(&w->chance, 1, 300) * MS;
    if (fault == FREEZE)
        wire->frozen_us[side] = w->now_us + chance_between(&w->chance, 10, 3000) * MS;
    for (side = 0; fault == RESET && side < 2; side++) {
        const struct server *s = &w->servers[wire->server[side]];
        if (!wire->open[side])
            continue;
        wire->cut[side] = true;
        later(w, chance_skewed(&w->chance, 200 * MS), DO_DOWN, s, wire->link[side], 0);
    }
}

static void keep_copy(struct world *w, struct server *s)
{
    tell(w, "a copy is made of %s's disk", s->name);
    drive_copy(&s->old_copy, &s->disk, &w->storage, &w->chance);
    s->has_old_copy = true;
}

/* The disk of one that still takes itself for the primary is left alone: that a primary's goes back
 * is for runs of their own. */
static bool old_primary(const struct world *w, const struct server *s)
{
    return server_leads(s) && s->number != w->primary;
}

static void restore(struct world *w, struct server *s)
{
    if (old_primary(w, s) || !s->has_old_copy ||
        memcmp(s->old_copy.id, s->disk.id, PEER_ID_BYTES) != 0)
        return;
    server_stop(w, s, true);
    uint32_t generation = s->disk.generation;
    server_restore(w, s);
    if (s->number == w->primary) /* the operator's hand, or the others would not follow it */
        s->disk.generation = generation + chance_percent(&w->chance, 30);
    come_back(w, s);
}

static void wipe(struct world *w, struct server *s)
{
    if (old_primary(w, s))
        return;
    server_stop(w, s, chance_percent(&w->chance, 50));
    server_wipe(w, s);
    come_back(w, s);
}

/* Somebody whom the primary waits for, or anybody. */
static void drop(struct world *w)
{
    struct server *p = &w->servers[w->primary];
    const char *name = a_backup(w)->name;
    if (!p->up || p->stopped_us > w->now_us)
        return;
    if (chance_percent(&w->chance, 60))
        for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
            if (repl_awaited(&p->r, &p->r.members[i]))
                name = p->r.members[i].server.name;
    tell(w, "the operator drops %s", name);
    w->counts.drops++;
    driver_step(w, p, &(struct repl_event){.kind = REPL_DROP, .name = name});
}

static void twin(struct world *w)
{
    struct server *s = &w->servers[w->servers_count - 1];
    if (s->up)
        server_stop(w, s, chance_percent(&w->chance, 50));
    else
        server_start(w, s);
}

/* Nothing reaches it, nor comes from it, for a while. */
static void partition(struct world *w, struct server *s)
{
    s->blocked_us = w->now_us + chance_between(&w->chance, 100, 4000) * MS;
    tell(w, "%s is alone until %.6f", s->name, (double)s->blocked_us / 1e6);
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        if (wire->number != 0 &&
            (wire->server[CALLER] == s->number || wire->server[CALLED] == s->number))
            wire->cut[CALLER] = wire->cut[CALLED] = true;
    }
}

/* What was durable changes while the machine is off. */
static void rot(struct world *w, struct server *s)
{
    if (old_primary(w, s))
        return;
    server_stop(w, s, true);
    if (s->disk.wal != NULL && wal_rot(s->disk.wal, &w->chance)) {
        tell(w, "a bit of %s's log is another one", s->name);
        s->disk.rotten = s->disk.damaged = s->disk.restored = true;
        w->harmed = w->servers[w->primary].disk.count;
    }
    come_back(w, s);
}

/* The twin gets a copy of another's directory, identity and all. */
static void clone(struct world *w)
{
    struct server *s = &w->servers[w->servers_count - 1];
    if (s->up)
        server_stop(w, s, true);
    tell(w, "a copy of b1's directory is given to its twin");
    w->harmed = w->servers[w->primary].disk.count;
    drive_copy(&s->disk, &w->servers[1].disk, &w->storage, &w->chance);
    s->disk.promised_max = 0;
    s->checked_durable = s->checked_applied = s->seen_read = 0;
    /* From now on either may lack what the other acknowledges under their one identity. */
    s->disk.damaged = s->disk.restored = true;
    w->servers[1].disk.damaged = w->servers[1].disk.restored = true;
    server_start(w, s);
}

static void on_server(struct world *w, enum fault fault, struct server *s)
{
    uint64_t until_us = w->now_us + chance_between(&w->chance, 20, 3000) * MS;
    tell(w, "fault %d on %s until %.6f", (int)fault, s->name, (double)until_us / 1e6);
    if (fault == STAND_STILL)
        s->stopped_us = until_us;
    else if (fault == SLOW_DISK)
        s->slow_us = until_us;
    else if (fault == FULL_DISK)
        s->full_us = until_us;
    else if (fault == BLOCK_CALLS)
        s->blocked_us = until_us;
    else if (chance_percent(&w->chance, 50))
        s->wall_us = chance_below(&w->chance, 1200 * S); /* also back */
    else
        s->clock_us += until_us - w->now_us;
}

static void one(struct world *w, enum fault fault)
{
    struct server *p = &w->servers[w->primary];
    switch (fault) {
    case KILL_BACKUP:
    case POWER_BACKUP:
        end(w, a_backup(w), fault == POWER_BACKUP);
        break;
    case KILL_PRIMARY:
    case POWER_PRIMARY:
        end(w, p, fault == POWER_PRIMARY);
        break;
    case POWER_ALL:
        for (unsigned i = 0; i < w->servers_count - w->plan.twin; i++)
            end(w, &w->servers[i], true);
        break;
    case WIPE:
        wipe(w, a_backup(w));
        break;
    case KEEP_COPY:
        keep_copy(w, a_backup(w));
        break;
    case RESTORE_COPY:
        restore(w, a_backup(w));
        break;
    case PRIMARY_COPY:
        keep_copy(w, p);
        break;
    case PRIMARY_RESTORE:
        restore(w, p);
        break;
    case DROP:
        drop(w);
        break;
    case OLD_MESSAGES:
        for (unsigned i = 0; i < 20; i++)
            wires_stale(w);
        break;
    case OLD_MESSAGE:
        wires_stale(w);
        break;
    case CRASH_LOOP:
        p->crashes = (unsigned)chance_between(&w->chance, 2, w->plan.primary_lost ? 6 : 80);
        end(w, p, false);
        break;
    case TWIN:
        twin(w);
        break;
    case PARTITION:
        partition(w, anybody(w));
        break;
    case ROT:
        rot(w, a_backup(w));
        break;
    case CLONE:
        clone(w);
        break;
    case FULL_DISK:
    case STAND_STILL:
    case CLOCK_JUMP:
    case SLOW_DISK:
    case BLOCK_CALLS:
        on_server(w, fault, anybody(w));
        break;
    default:
        on_wire(w, fault);
    }
}

void faults_do(struct world *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < FAULTS; i++)
        sum += w->plan.weights[i];
    uint64_t drawn = chance_below(&w->chance, sum);
    for (unsigned i = 0; sum != 0 && i < FAULTS; i++) {
        if (drawn < w->plan.weights[i]) {
            w->counts.faults++;
            one(w, (enum fault)i);
            break;
        }
        drawn -= w->plan.weights[i];
    }
    later(w, chance_skewed(&w->chance, 3 * w->plan.fault_us), DO_FAULT, NULL, 0, 0);
}

/* --- The end of all faults --- */

void faults_heal(struct world *w)
{
    w->healed_acked = w->counts.acknowledged;
    operator_heal(w);
    for (unsigned i = 0; i < WIRES_MAX; i++)
        w->wires[i].frozen_us[CALLER] = w->wires[i].frozen_us[CALLED] = w->wires[i].slow_us = 0;
    for (unsigned i = 0; i < w->servers_count; i++) {
        struct server *s = &w->servers[i];
        if (s->stopped_us > w->now_us)
            s->stopped_us = w->now_us;
        s->slow_us = s->blocked_us = s->full_us = 0;
        s->failing.work = 0;
        s->crashes = 0;
        if (s->stays_down)
            server_stop(w, s, false);
        else if (!s->up)
            server_start(w, s);
    }
}

/* Who was refused for good gets an empty disk; who will not come again is dropped. */
void faults_operator(struct world *w)
{
    struct server *p = &w->servers[w->primary];
    later(w, S, DO_FAULT, NULL, 0, 0);
    for (unsigned i = 0; i < w->servers_count; i++) {
        struct server *s = &w->servers[i];
        if (s != p && s->up && s->r.refusal_sentence[0] != '\0' &&
            s->r.refusal == REFUSE_ROLLED_BACK) {
            server_stop(w, s, false);
            server_wipe(w, s);
            server_start(w, s);
        }
    }
    for (unsigned i = 1; p->up && i < REPL_MEMBERS_MAX; i++) {
        const struct repl_member *m = &p->r.members[i];
        const struct server *s = server_by_id(w, m->server.id);
        if (repl_awaited(&p->r, m) && (s == NULL || s->stays_down)) {
            tell(w, "the operator drops %s", m->server.name);
            driver_step(w, p, &(struct repl_event){.kind = REPL_DROP, .name = m->server.name});
        }
    }
}
