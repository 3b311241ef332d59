/* Writes on a simulated server, from the clients to entries and back, as node/entries.c and
 * node/forward.c do it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "repl/forward.h"
#include "sim.h"

enum {
    TURN_US = 300,
    ENTRY_BYTES = 256 * 1024,
    SHORT_ENTRY_BYTES = 60 * 1024,
    RECORD_BYTES = 64 * 1024,
    FORWARD_BATCHES = 64
};

/* --- Batches --- */

static struct write_batch *take_spare(struct world *w)
{
    struct write_batch *b = w->spare;
    if (b == NULL) {
        b = write_batch_create();
        assert(b != NULL);
    } else {
        w->spare = b->next;
    }
    write_batch_reset(b);
    b->link = 0;
    return b;
}

static void give_spare(struct world *w, struct write_batch *b)
{
    b->next = w->spare;
    w->spare = b;
}

void order_soon(struct world *w, struct server *s)
{
    if (s->turning)
        return;
    s->turning = true;
    later(w, 1 + chance_below(&w->chance, TURN_US), DO_TURN, s, 0, 0);
}

struct write_batch *order_batch(struct world *w, struct server *s)
{
    if (s->asked == NULL)
        s->asked = take_spare(w);
    order_soon(w, s);
    return s->asked;
}

static void add_pending(struct server *s, struct write_batch *b)
{
    b->next = NULL;
    *s->pending_end = b;
    s->pending_end = &b->next;
}

static struct write_batch *take_pending(struct server *s)
{
    struct write_batch *b = s->pending;
    s->pending = b->next;
    if (s->pending == NULL)
        s->pending_end = &s->pending;
    b->next = NULL;
    return b;
}

static struct write_batch *take_done(struct server *s)
{
    struct write_batch *list = NULL, **end = &list;
    while (s->pending != NULL && s->pending->done == s->pending->count) {
        *end = take_pending(s);
        end = &(*end)->next;
    }
    return list;
}

static void forward_answer(struct world *w, struct server *s, struct write_batch *b)
{
    struct wire *wire = wire_of(w, s->number, b->link);
    const struct repl_member *m = wire != NULL ? repl_member_of(&s->r, b->link) : NULL;
    if (m == NULL)
        return;
    struct peer_message message = {.kind = PEER_ANSWER, .epoch = s->r.epoch, .session = m->session};
    buf_reset(&s->scratch, SIZE_MAX);
    answers_encode(&s->scratch, b);
    message.answer = (struct peer_answer){.id = b->forward_id,
                                          .index = drive_applied(&s->disk),
                                          .count = b->count,
                                          .answers = buf_span(&s->scratch)};
    driver_tell_commit(w, s, wire); /* first, so that the backup has what it answers */
    wire_send(w, wire, CALLED, &message);
}

void order_give_back(struct world *w, struct server *s, struct write_batch *list)
{
    for (struct write_batch *b = list, *next; b != NULL; b = next) {
        next = b->next;
        if (b->link != 0)
            forward_answer(w, s, b);
        else
            for (unsigned i = 0; i < b->count; i++)
                client_answered(w, s, b, &b->writes[i]);
        give_spare(w, b);
    }
}

static void refuse_pending(struct world *w, struct server *s, unsigned first, int code)
{
    for (struct write_batch *b = s->pending; b != NULL; b = b->next) {
        write_batch_fill(b, first, code, "");
        first = 0;
    }
    order_give_back(w, s, take_done(s));
}

/* --- A primary --- */

static void begin_entry(struct world *w, struct server *s, struct entry *e)
{
    uint64_t now_us = server_wall_us(w, s), last_us = s->disk.local.state.time_us;
    if (s->disk.count >= s->disk.first)
        last_us = drive_at(&s->disk, s->disk.count)->e.time_us;
    s->effects.bytes_max = w->plan.real_log ? SHORT_ENTRY_BYTES : ENTRY_BYTES;
    buf_reset(&s->effects, SIZE_MAX);
    char *head = buf_room(&s->effects, ENTRY_HEAD_BYTES);
    assert(head != NULL);
    s->effects.bytes += ENTRY_HEAD_BYTES;
    *e = (struct entry){.time_us = now_us > last_us ? now_us : last_us};
}

static struct span body_of(const struct server *s)
{
    return span(s->effects.at + ENTRY_HEAD_BYTES, s->effects.bytes - ENTRY_HEAD_BYTES);
}

static int execute(struct world *w, struct server *s, struct entry *e)
{
    begin_entry(w, s, e);
    e->kind = ENTRY_WRITES;
    int rc = local_begin(&s->disk.local);
    if (rc == 0)
        rc = execution_begin(&s->x, s->disk.local.txn, &s->effects, e->time_us,
                             repl_copies(&s->r, s->r.committed), &e->keys_forgotten);
    s->x.disk_full = s->full_us > w->now_us;
    if (rc == 0)
        rc = execution_run(&s->x, s->pending);
    e->first_seq = s->x.first_seq;
    e->effects = (uint32_t)(s->x.seq - s->x.first_seq);
    return rc;
}

/* False: nothing can be made now. */
static bool make_entry(struct world *w, struct server *s)
{
    struct entry e;
    unsigned first = s->pending->done;
    int rc = repl_refusal(&s->r);
    if (s->flight.any && s->flight.batches != NULL)
        return false;
    if (rc != 0) {
        refuse_pending(w, s, first, rc);
        return true;
    }
    if (s->flight.any || repl_busy(&s->r))
        return false;
    rc = execute(w, s, &e);
    if (rc != 0) {
        complain(w, "driver: %s cannot execute: %d", s->name, rc);
        return false;
    }
    struct write_batch *done = take_done(s);
    if (e.effects == 0) {
        local_abort(&s->disk.local);
        order_give_back(w, s, done);
        return true;
    }
    s->flight = (struct flight){.open = true, .entry = e, .batches = done};
    driver_step(w, s, &(struct repl_event){.kind = REPL_PROPOSE});
    return true;
}

void order_append(struct world *w, struct server *s, const struct repl_action *a)
{
    struct entry *e = &s->flight.entry;
    struct drive *d = &s->disk;
    if (a->entry != REPL_ENTRY_WRITES) {
        const struct entry *last = d->count >= d->first ? &drive_at(d, d->count)->e : NULL;
        begin_entry(w, s, e);
        e->kind = a->entry == REPL_ENTRY_CONFIG ? ENTRY_CONFIG : ENTRY_EPOCH_START;
        e->first_seq = (last != NULL ? last->first_seq + last->effects : d->local.state.seq + 1);
        peer_set_encode(&s->effects, &a->set);
    }
    e->body = body_of(s);
    e->epoch = a->epoch;
    e->index = a->index;
    uint64_t chain = drive_point(d, d->count).chain;
    if (d->count >= d->first)
        chain = drive_at(d, d->count)->e.chain;
    entry_seal(e, chain, s->effects.at);
    s->flight.any = true;
    drive_append(d, e, s->r.committed);
}

/* Its effects are in the open transaction; else it is applied from its bytes. */
int order_apply_flight(struct world *w, struct server *s)
{
    struct flight *f = &s->flight;
    struct local *l = &s->disk.local;
    int rc = 0;
    if (f->open) {
        entry_set_state(l->txn, &f->entry);
    } else {
        rc = local_begin(l);
        if (rc == 0)
            rc = entry_apply(l->txn, &f->entry);
    }
    if (rc == 0)
        rc = local_commit(l);
    struct write_batch *batches = f->batches;
    uint32_t copies = repl_copies(&s->r, f->entry.index);
    for (struct write_batch *b = batches; b != NULL; b = b->next)
        for (unsigned i = 0; i < b->count; i++)
            b->writes[i].copies = copies;
    check_applied(w, s);
    check_committed(w, s, &f->entry);
    *f = (struct flight){0};
    order_give_back(w, s, batches);
    order_soon(w, s);
    return rc;
}

/* False: it breaks the protocol. */
bool order_forwarded(struct world *w, struct server *s, struct wire *wire,
                     const struct peer_message *m)
{
    struct write_batch *b = take_spare(w);
    if (forward_decode(m->forward.writes, m->forward.count, w->json, RECORD_BYTES_HIGHEST, b) !=
        0) {
        give_spare(w, b);
        return false;
    }
    b->link = wire->link[CALLED];
    b->forward_id = m->forward.id;
    b->weight = m->forward.writes.bytes + 256UL * m->forward.count;
    add_pending(s, b);
    order_soon(w, s);
    return true;
}

/* --- A backup --- */

static bool send_batch(struct world *w, struct server *s, struct write_batch *b)
{
    struct wire *wire = wire_of(w, s->number, s->r.link);
    struct peer_message m = {.kind = PEER_FORWARD, .epoch = s->r.epoch, .session = s->r.session};
    if (wire == NULL)
        return false;
    buf_reset(&s->scratch, SIZE_MAX);
    forward_encode(&s->scratch, b);
    fates_sent(&s->fates, b, s->scratch.bytes);
    m.forward = (struct peer_forward){
        .id = b->forward_id, .count = b->count, .writes = buf_span(&s->scratch)};
    wire_send(w, wire, CALLER, &m);
    return true;
}

static void forward_pending(struct world *w, struct server *s)
{
    while (s->pending != NULL && s->fates.sent < FORWARD_BATCHES) {
        struct write_batch *b = take_pending(s);
        int rc = s->alarmed ? ERR_NOT_IN_SYNC : repl_refusal(&s->r);
        if (rc == 0 && !send_batch(w, s, b))
            rc = ERR_NO_PRIMARY;
        if (rc != 0) {
            write_batch_fill(b, 0, rc, "");
            fates_done(&s->fates, b);
        }
    }
    order_reached(w, s);
}

void order_reached(struct world *w, struct server *s)
{
    struct write_batch *b;
    while ((b = fates_take(&s->fates, drive_applied(&s->disk))) != NULL)
        order_give_back(w, s, b);
}

bool order_answered(struct world *w, struct server *s, const struct peer_message *m)
{
    if (fates_answered(&s->fates, &m->answer) == NULL)
        return false;
    order_reached(w, s);
    return true;
}

void order_lost(struct world *w, struct server *s)
{
    fates_lost(&s->fates, drive_applied(&s->disk));
    order_reached(w, s);
}

/* --- Both --- */

void order_turn(struct world *w, struct server *s)
{
    s->turning = false;
    if (s->asked != NULL) {
        s->asked->weight = s->asked->asked.bytes + 4096UL * s->asked->count;
        add_pending(s, s->asked);
        s->asked = NULL;
    }
    if (!s->r.o.primary)
        forward_pending(w, s);
    else
        while (s->pending != NULL && make_entry(w, s)) {
        }
}

static void drop_list(struct world *w, struct write_batch *list)
{
    for (struct write_batch *b = list, *next; b != NULL; b = next) {
        next = b->next;
        give_spare(w, b);
    }
}

/* The process ends: nobody is answered. */
void order_stop(struct world *w, struct server *s)
{
    if (s->asked != NULL)
        give_spare(w, s->asked);
    drop_list(w, s->pending);
    drop_list(w, s->flight.batches);
    drop_list(w, s->fates.first);
    s->asked = s->pending = NULL;
    s->pending_end = &s->pending;
    s->flight = (struct flight){0};
    s->turning = false;
    fates_init(&s->fates);
    local_abort(&s->disk.local);
}
