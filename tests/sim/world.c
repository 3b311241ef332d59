/* A run: what happens next, in the order of time, until it has healed or something broke. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "sim.h"

enum { TICK_US = 50 * MS, HEAL_US = 240 * S };

void tell(struct world *w, const char *format, ...)
{
    if (!w->o.trace)
        return;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (w->o.line != NULL)
        w->o.line(w, text);
    else
        printf("%11.6f %s\n", (double)w->now_us / 1e6, text);
}

/* --- The queue: a heap by time, then by the order of asking --- */

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void put(struct world *w, struct happening h)
{
    if (w->queue_count == w->queue_size) {
        w->queue_size = w->queue_size == 0 ? 256 : 2 * w->queue_size;
        w->queue = realloc(w->queue, w->queue_size * sizeof *w->queue);
        assert(w->queue != NULL);
    }
    h.number = ++w->happened;
    unsigned i = w->queue_count++;
    for (; i > 0 && before(&h, &w->queue[(i - 1) / 2]); i = (i - 1) / 2)
        w->queue[i] = w->queue[(i - 1) / 2];
    w->queue[i] = h;
}

static struct happening take(struct world *w)
{
    struct happening first = w->queue[0], last = w->queue[--w->queue_count];
    unsigned i = 0;
    for (;;) {
        unsigned child = 2 * i + 1;
        if (child >= w->queue_count)
            break;
        child += child + 1 < w->queue_count && before(&w->queue[child + 1], &w->queue[child]);
        if (before(&last, &w->queue[child]))
            break;
        w->queue[i] = w->queue[child];
        i = child;
    }
    w->queue[i] = last;
    return first;
}

void later(struct world *w, uint64_t in_us, enum event_kind kind, const struct server *s,
           unsigned link, uint64_t index)
{
    put(w, (struct happening){.at_us = w->now_us + in_us,
                              .kind = kind,
                              .server = s == NULL ? 0 : s->number,
                              .life = s == NULL ? 0 : s->life,
                              .link = link,
                              .index = index});
}

/* --- What happens --- */

static void tick(struct world *w, struct server *s)
{
    later(w, chance_between(&w->chance, TICK_US - 5 * MS, TICK_US + 5 * MS), DO_TICK, s, 0, 0);
    copy_tick(w, s);
    driver_write_log(w, s); /* where the disk was full */
    driver_step(w, s,
                &(struct repl_event){.kind = REPL_TIME, .now_us = 1 + w->now_us + s->clock_us});
}

static void look_up(struct world *w, struct server *s, const struct happening *h)
{
    struct repl_event e = {.kind = REPL_LOOKED_UP, .link = h->link};
    e.point = drive_point(&s->disk, h->index);
    if (h->index + 1 < s->disk.first ||
        (e.point.index != h->index && h->index < s->disk.first)) /* what follows it is trimmed */
        e.rc = ERR_NOT_FOUND;
    if (e.rc != 0)
        e.point = (struct peer_point){.index = h->index};
    else if (e.point.index != h->index)
        complain(w, "driver: entry %llu is looked up, the log has %llu",
                 (unsigned long long)h->index, (unsigned long long)s->disk.count);
    driver_step(w, s, &e);
}

/* The disk works whether or not the process runs. */
static void disk_works(struct world *w, struct server *s, const struct happening *h)
{
    enum event_kind told = DO_DURABLE;
    int rc = 0;
    if (failing_work(w, s, h))
        return;
    if (h->kind == DO_FLUSH) {
        rc = drive_flushed(&s->disk, h->index);
        tell(w, "%s flushes %llu", s->name, (unsigned long long)h->index);
    } else if (h->kind == DO_SAVE) {
        drive_saved(&s->disk);
        told = DO_SAVED;
    } else {
        rc = drive_cut_done(&s->disk);
        told = DO_CUT_DONE;
    }
    if (rc != 0 && s->disk.rotten) {
        server_give_up(w, s, "the log cannot be read");
        return;
    }
    if (rc != 0)
        complain(w, "log: %s cannot write: %d", s->name, rc);
    later(w, chance_below(&w->chance, MS), told, s, 0, h->index);
}

static void process_works(struct world *w, struct server *s, const struct happening *h)
{
    struct repl_event e = {.link = h->link, .index = h->index};
    switch (h->kind) {
    case DO_TICK:
        tick(w, s);
        return;
    case DO_LOOKED_UP:
        look_up(w, s, h);
        return;
    case DO_TURN:
        order_turn(w, s);
        return;
    case DO_CHUNK:
        copy_pump(w, s, h->link);
        return;
    case DO_CHECKED:
        copy_checked(w, s);
        return;
    case DO_INSTALLED:
        copy_installed(w, s);
        return;
    case DO_CHECKPOINT:
        checkpoint_make(w, s);
        later(w,
              chance_between(&w->chance, w->plan.checkpoint_us / 2, w->plan.checkpoint_us * 3 / 2),
              DO_CHECKPOINT, s, 0, 0);
        return;
    case DO_CALL:
        driver_call(w, s);
        return;
    case DO_TELL:
        promote_tell(w, s);
        return;
    case DO_DURABLE:
        e.kind = REPL_DURABLE;
        break;
    case DO_SAVED:
        e.kind = REPL_SAVED;
        break;
    case DO_CUT_DONE:
        e.kind = REPL_CUT_DONE;
        break;
    default:
        e.kind = REPL_LINK_DOWN;
        wire_lost(w, s->number, h->link);
        if (!server_leads(s) && h->link == s->r.link)
            order_lost(w, s);
    }
    driver_step(w, s, &e);
}

/* What is not a server's own, whatever its life. False: it is. */
static bool happen_outside(struct world *w, struct happening *h)
{
    struct server *s = &w->servers[h->server];
    switch (h->kind) {
    case DO_CLIENT:
        if (w->plan.op_us == 0)
            return true;
        clients_next(w);
        later(w, chance_between(&w->chance, w->plan.op_us / 2, w->plan.op_us * 3 / 2), DO_CLIENT,
              NULL, 0, 0);
        return true;
    case DO_REQUEST:
    case DO_READ:
        if (s->up && s->life == h->life && s->stopped_us > w->now_us) {
            h->at_us = s->stopped_us;
            put(w, *h);
        } else {
            client_asks(w, s, h->link, h->index, h->life, h->kind == DO_READ);
        }
        return true;
    case DO_ANSWER:
        client_hears(w, h->link, h->index);
        return true;
    case DO_GIVE_UP:
        client_gives_up(w, h->link, h->index);
        return true;
    default:
        return false;
    }
}

static void happen(struct world *w, struct happening *h)
{
    struct server *s = &w->servers[h->server];
    if (happen_outside(w, h))
        return;
    if (h->kind == DO_FAULT) {
        if (!w->healing)
            faults_do(w);
        else
            faults_operator(w);
        return;
    }
    if (h->kind == DO_OPERATOR) {
        operator_step(w);
        return;
    }
    if (h->kind == DO_STALE) {
        wires_stale(w);
        return;
    }
    if (h->kind == DO_FAIL) {
        failing_do(w);
        return;
    }
    if (h->kind == DO_START || h->kind == DO_ACCEPT) {
        if (s->up || s->stays_down || s->held)
            return;
        s->accepts_loss = h->kind == DO_ACCEPT;
        server_start(w, s);
        return;
    }
    if (h->kind == DO_DELIVER) {
        for (unsigned i = 0; i < WIRES_MAX; i++)
            if (w->wires[i].number == h->link)
                s = &w->servers[w->wires[i].server[h->index]];
        if (s->up && s->stopped_us > w->now_us) {
            h->at_us = s->stopped_us;
            put(w, *h);
        } else {
            wire_arrived(w, h->link, (unsigned)h->index);
        }
        return;
    }
    if (!s->up || s->life != h->life)
        return;
    if (h->kind == DO_CRASH && s->crashes != 0) {
        s->crashes--;
        server_stop(w, s, chance_percent(&w->chance, 30));
        later(w, chance_between(&w->chance, 1, 30) * MS, DO_START, s, 0, 0);
    } else if (h->kind == DO_SAVE && s->disk.saves_stuck) {
        h->at_us += MS;
        put(w, *h);
    } else if (h->kind < DO_DELIVER) {
        disk_works(w, s, h);
    } else if (s->stopped_us > w->now_us) {
        h->at_us = s->stopped_us;
        put(w, *h);
    } else {
        process_works(w, s, h);
    }
}

/* --- A run --- */

static void make_servers(struct world *w)
{
    for (unsigned i = 0; i < w->servers_count; i++) {
        char name[sizeof w->servers[i].name];
        bool twin = w->plan.twin && i == w->servers_count - 1;
        snprintf(name, sizeof name, i == FIRST ? "p" : "b%u", twin ? 1 : i);
        server_make(w, i, name);
        w->servers[i].stays_down = twin;
        later(w, chance_below(&w->chance, 300 * MS), DO_START, &w->servers[i], 0, 0);
    }
}

void world_make(struct world *w, uint64_t seed, const struct options *o, const struct plan *plan)
{
    memset(w, 0, sizeof *w);
    w->seed = w->chance.state = seed;
    w->o = *o;
    if (plan != NULL)
        w->plan = *plan;
    else
        faults_plan(w);
    if (plan == NULL)
        failing_plan(w);
    for (unsigned i = 0; i < PEER_ID_BYTES; i++)
        w->cluster[i] = (unsigned char)(chance_next(&w->chance) | 1);
    make_servers(w);
    for (unsigned i = 0; i < CLIENTS_ALL; i++) {
        w->clients[i].number = i;
        w->clients[i].server = w->servers_count != 0 ? i % w->servers_count : 0;
    }
    int rc = json_create(&w->json, w->seed, 8);
    assert(rc == 0);
    w->storage = (struct storage){.folder = w->o.folder, .lmdb = w->plan.lmdb};
    w->truth.history.off = w->plan.primary_lost;
    w->truth.history.keys_expire = w->plan.key_window_us < 3600ULL * S;
}

uint64_t world_next_us(const struct world *w)
{
    return w->queue_count == 0 ? UINT64_MAX : w->queue[0].at_us;
}

void world_step(struct world *w)
{
    struct happening h = take(w);
    w->now_us = h.at_us;
    w->counts.events++;
    happen(w, &h);
    check_all(w);
}

void world_run(struct world *w, uint64_t seed, const struct options *o)
{
    world_make(w, seed, o, NULL);
    later(w, 0, DO_CLIENT, NULL, 0, 0);
    later(w, w->plan.fault_us, DO_FAULT, NULL, 0, 0);
    if (w->plan.failing_us != 0)
        later(w, w->plan.failing_us, DO_FAIL, NULL, 0, 0);
    operator_plan(w);
    while (w->truth.complaint[0] == '\0') {
        world_step(w);
        if (!w->healing && w->now_us >= w->plan.length_us) {
            w->healing = true;
            tell(w, "no more faults");
            faults_heal(w);
        }
        if (w->healing && w->plan.primary_lost)
            break;
        if (w->healing && check_healed(w))
            break;
        if (w->healing && w->now_us > w->plan.length_us + HEAL_US)
            complain(w, "end: it has not healed within %d s", HEAL_US / S);
    }
    w->counts.simulated_us = w->now_us;
    tell(w, "the end: %s", w->truth.complaint[0] == '\0' ? "all is well" : w->truth.complaint);
}

void world_finish(struct world *w)
{
    wires_finish(w);
    checks_finish(w);
    for (unsigned i = 0; i < w->servers_count; i++) {
        order_stop(w, &w->servers[i]);
        drive_finish(&w->servers[i].disk, &w->storage);
        drive_finish(&w->servers[i].old_copy, &w->storage);
        server_finish(&w->servers[i]);
    }
    for (struct write_batch *b = w->spare, *next; b != NULL; b = next) {
        next = b->next;
        write_batch_destroy(b);
    }
    json_destroy(w->json);
    free(w->queue);
}
