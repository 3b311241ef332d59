/* The network: connections that keep the order of what is sent, may be cut in one direction or
 * both, and whose ends may not know of each other's end. Messages travel as bytes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "sim.h"

static struct wire *wire_numbered(struct world *w, unsigned number)
{
    for (unsigned i = 0; i < WIRES_MAX; i++)
        if (w->wires[i].number == number && number != 0)
            return &w->wires[i];
    return NULL;
}

struct wire *wire_of(struct world *w, unsigned server, unsigned link)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        for (unsigned side = 0; side < 2; side++)
            if (wire->number != 0 && wire->open[side] && wire->server[side] == server &&
                wire->link[side] == link && wire->life[side] == w->servers[server].life)
                return wire;
    }
    return NULL;
}

static void empty(struct wire *wire, unsigned side)
{
    while (wire->first[side] != NULL) {
        struct packet *p = wire->first[side];
        wire->first[side] = p->next;
        free(p);
    }
    wire->last[side] = NULL;
}

static struct wire *free_place(struct world *w)
{
    struct wire *oldest = NULL;
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        bool used = wire->number != 0 && (wire->open[CALLER] || wire->open[CALLED]);
        if (!used && (oldest == NULL || wire->number < oldest->number))
            oldest = wire;
    }
    return oldest;
}

struct wire *wire_open(struct world *w, unsigned caller, unsigned called)
{
    struct wire *wire = free_place(w);
    if (wire == NULL)
        return NULL;
    empty(wire, CALLER);
    empty(wire, CALLED);
    image_drop(wire->copy);
    *wire = (struct wire){.number = ++w->wires_counted, .open = {true, true}};
    wire->server[CALLER] = caller;
    wire->server[CALLED] = called;
    for (unsigned side = 0; side < 2; side++) {
        wire->life[side] = w->servers[wire->server[side]].life;
        wire->link[side] = ++w->servers[wire->server[side]].links;
    }
    return wire;
}

static void push(struct world *w, struct wire *wire, unsigned side, const char *at, size_t bytes,
                 bool end)
{
    struct packet *p = malloc(sizeof *p + bytes);
    assert(p != NULL);
    *p = (struct packet){.end = end, .bytes = bytes};
    if (bytes != 0)
        memcpy(p->at, at, bytes);
    if (wire->last[side] != NULL)
        wire->last[side]->next = p;
    else
        wire->first[side] = p;
    wire->last[side] = p;
    uint64_t at_us = w->now_us + chance_skewed(&w->chance, w->plan.net_us) + wire->slow_us;
    if (at_us < wire->last_us[side])
        at_us = wire->last_us[side];
    wire->last_us[side] = at_us;
    later(w, at_us - w->now_us, DO_DELIVER, NULL, wire->number, side == CALLER ? CALLED : CALLER);
}

static void keep(struct stale *stale, const struct wire *wire, unsigned side,
                 const struct buf *bytes)
{
    free(stale->at);
    *stale = (struct stale){.wire = wire->number,
                            .from = wire->server[side],
                            .to = wire->server[1 - side],
                            .bytes = bytes->bytes,
                            .at = malloc(bytes->bytes)};
    assert(stale->at != NULL);
    memcpy(stale->at, bytes->at, bytes->bytes);
}

static void keep_stale(struct world *w, const struct wire *wire, unsigned side,
                       const struct peer_message *m, const struct buf *bytes)
{
    if (w->keep_of == wire->server[side] + 1 && m->kind == PEER_ACK) {
        keep(&w->kept, wire, side, bytes);
        w->keep_of = 0;
    }
    if (!chance_percent(&w->chance, m->kind == PEER_ACK && !m->ack.beat ? 30 : 10))
        return;
    /* Half of them are of just now, half are kept longer. */
    unsigned place = w->stale_next++ % (STALE_MAX / 2);
    if (chance_percent(&w->chance, 10))
        place = STALE_MAX - 1 - (unsigned)chance_below(&w->chance, STALE_MAX / 2);
    keep(&w->stale[place], wire, side, bytes);
}

void wire_send(struct world *w, struct wire *wire, unsigned side, const struct peer_message *m)
{
    struct buf bytes = {0};
    peer_encode(&bytes, m);
    assert(!bytes.failed);
    w->counts.messages++;
    wire->active_us = w->now_us;
    check_sent(w, wire, side, m);
    keep_stale(w, wire, side, m, &bytes);
    push(w, wire, side, bytes.at, bytes.bytes, false);
    buf_finish(&bytes);
}

void wire_close(struct world *w, struct wire *wire, unsigned side)
{
    if (!wire->open[side])
        return;
    wire->open[side] = false;
    push(w, wire, side, NULL, 0, true);
}

void wire_lost(struct world *w, unsigned server, unsigned link)
{
    struct wire *wire = wire_of(w, server, link);
    if (wire != NULL)
        wire->open[wire->server[CALLED] == server ? CALLED : CALLER] = false;
}

static void give(struct world *w, struct wire *wire, unsigned side, const char *at, size_t bytes)
{
    struct server *s = &w->servers[wire->server[side]];
    struct peer_message m;
    long used = peer_decode(span(at, bytes), &m, NULL);
    if (used != (long)bytes) {
        complain(w, "peer: a message of %zu bytes decodes to %ld", bytes, used);
        return;
    }
    if (w->o.trace) {
        char text[300];
        text_message(&m, text, sizeof text);
        tell(w, "%s hears %s: %s (on %u)", s->name, w->servers[wire->server[1 - side]].name, text,
             wire->link[side]);
    }
    driver_received(w, s, wire, side, &m);
}

/* Whether the one who should read lives no more; then the one who wrote is told so, mostly. */
static bool dead(struct world *w, struct wire *wire, unsigned side)
{
    const struct server *s = &w->servers[wire->server[side]];
    if (wire->open[side] && s->up && s->life == wire->life[side])
        return false;
    wire->open[side] = false;
    if (s->up && wire->open[1 - side] && chance_percent(&w->chance, 70))
        push(w, wire, side, NULL, 0, true);
    return true;
}

void wire_arrived(struct world *w, unsigned number, unsigned side)
{
    unsigned from = 1 - side;
    struct wire *wire = wire_numbered(w, number);
    if (wire == NULL || wire->first[from] == NULL)
        return;
    struct server *s = &w->servers[wire->server[side]];
    if (wire->cut[from] || (!wire->first[from]->end && dead(w, wire, side))) {
        empty(wire, from);
        return;
    }
    struct packet *p = wire->first[from];
    struct peer_message m;
    if (wire->frozen_us[from] > w->now_us) {
        later(w, wire->frozen_us[from] - w->now_us, DO_DELIVER, NULL, number, side);
        return;
    }
    if (!p->end && peer_decode(span(p->at, p->bytes), &m, NULL) > 0 && driver_must_wait(w, s, &m)) {
        later(w, 2 * MS, DO_DELIVER, NULL, number, side);
        return;
    }
    wire->first[from] = p->next;
    wire->active_us = w->now_us;
    if (p->next == NULL)
        wire->last[from] = NULL;
    if (!p->end)
        give(w, wire, side, p->at, p->bytes);
    else if (wire->open[side] && s->up && s->life == wire->life[side]) {
        wire->open[side] = false;
        if (side == CALLER && wire->link[side] == s->r.link)
            order_lost(w, s);
        driver_step(w, s, &(struct repl_event){.kind = REPL_LINK_DOWN, .link = wire->link[side]});
    }
    free(p);
}

/* The kernel closes what a killed process had open; with the machine, nobody does. */
void wires_of_dead(struct world *w, unsigned server, bool machine)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        for (unsigned side = 0; side < 2; side++) {
            if (wire->number == 0 || wire->server[side] != server || !wire->open[side])
                continue;
            unsigned percent = w->plan.scripted ? 100 * machine : machine ? 80 : 30;
            if (chance_percent(&w->chance, percent))
                empty(wire, side);
            wire->open[side] = false;
            if (!machine)
                push(w, wire, side, NULL, 0, true);
        }
    }
}

/* The newer connection of the same two over which it comes, if there is one: not a call about a
 * promotion, which has no session and trusts TCP that what it hears is its answer. */
static bool give_stale(struct world *w, const struct stale *stale)
{
    for (unsigned i = 0; i < 2 * WIRES_MAX && stale->at != NULL; i++) {
        struct wire *wire = &w->wires[i / 2];
        unsigned side = i % 2;
        struct server *s = &w->servers[stale->to];
        struct peer_message m;
        if (wire->number == 0 || wire->number == stale->wire || wire->telling ||
            !wire->open[side] || wire->server[side] != stale->to ||
            wire->server[1 - side] != stale->from || !s->up || s->life != wire->life[side] ||
            s->stopped_us > w->now_us)
            continue;
        if (peer_decode(span(stale->at, stale->bytes), &m, NULL) <= 0 || driver_must_wait(w, s, &m))
            continue;
        tell(w, "an old message of connection %u comes late:", stale->wire);
        wire->tainted = true;
        w->counts.stale++;
        give(w, wire, side, stale->at, stale->bytes);
        return true;
    }
    return false;
}

void wires_stale(struct world *w)
{
    for (unsigned tries = 0; tries < 6; tries++)
        if (give_stale(w, &w->stale[chance_below(&w->chance, STALE_MAX)]))
            return;
}

bool wires_kept(struct world *w)
{
    return give_stale(w, &w->kept);
}

void wires_finish(struct world *w)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        empty(&w->wires[i], CALLER);
        empty(&w->wires[i], CALLED);
        image_drop(w->wires[i].copy);
    }
    for (unsigned i = 0; i < STALE_MAX; i++)
        free(w->stale[i].at);
    free(w->kept.at);
}
