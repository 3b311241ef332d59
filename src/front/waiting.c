/* Clients that are held in a list: until it is their turn, until local storage is at a position, or
 * for ever, getting messages as they happen. Does not know what they asked. */
#include "front/inside.h"

static void enlist(struct client *c, struct client **list)
{
    c->held_next = *list;
    c->held_at = list;
    if (c->held_next != NULL)
        c->held_next->held_at = &c->held_next;
    *list = c;
}

void client_unlist(struct client *c)
{
    if (c->held_at == NULL)
        return;
    struct client **at = c->held_at;
    *at = c->held_next;
    if (c->held_next != NULL)
        c->held_next->held_at = at;
    c->held_at = NULL;
    if (c->hold == HOLD_EVENTS)
        c->front->events_count--;
    else if (c->hold == HOLD_POSITION)
        c->front->waiting_count--;
    else if (c->held_next == NULL)
        c->front->turns_end = at;
}

void client_hold_events(struct client *c)
{
    enlist(c, &c->front->events);
    c->front->events_count++;
    client_hold(c, HOLD_EVENTS);
}

/* --- Waiting for one's turn --- */

void client_hold_turn(struct client *c)
{
    struct front *f = c->front;
    enlist(c, f->turns_end);
    f->turns_end = &c->held_next;
    client_hold(c, HOLD_TURN);
}

/* One a turn: what is short is answered between any two of them. */
void waiting_next_turn(struct front *f)
{
    struct client *c = f->turns;
    f->turn_bytes = 0;
    if (c == NULL)
        return;
    client_unlist(c);
    client_release(c);
}

/* --- Waiting for a position --- */

static uint64_t seq_now(const struct front *f)
{
    return atomic_load_explicit(&f->o.visible->seq, memory_order_seq_cst);
}

void waiting_watch(struct front *f)
{
    atomic_store_explicit(&f->o.port->watching, f->waiting_count != 0 || f->datagrams != NULL,
                          memory_order_seq_cst);
}

void client_hold_position(struct client *c, const struct request *rq)
{
    struct front *f = c->front;
    if (c->wait_until_us == 0)
        c->wait_until_us = front_now_us(f) + (uint64_t)rq->wait_ms * 1000 + 1;
    c->wait_seq = rq->min_seq;
    if (f->waiting_count++ == 0)
        f->woken_seq = seq_now(f);
    if (f->woken_seq >= c->wait_seq) /* it has come since this client's request looked for it */
        f->woken_seq = c->wait_seq - 1;
    enlist(c, &f->waiting[c->wait_seq % WAITING_LISTS]);
    client_hold(c, HOLD_POSITION);
    waiting_watch(f);
    if (seq_now(f) >= c->wait_seq) /* perhaps before the order thread saw anybody watching */
        net_loop_wake(f->loop);
}

bool client_late(struct client *c)
{
    return c->wait_until_us != 0 && front_now_us(c->front) >= c->wait_until_us;
}

/* Of one list, those who wait for no more than this position, or no longer than now. */
static void wake_list(struct client *list, uint64_t seq, uint64_t now_us)
{
    for (struct client *c = list, *next; c != NULL; c = next) {
        next = c->held_next;
        if (seq < c->wait_seq && now_us < c->wait_until_us)
            continue;
        client_unlist(c);
        client_release(c);
    }
}

/* However many wait: with each new position only the list of those who may wait for it is gone
 * through. */
void waiting_wake(struct front *f)
{
    uint64_t seq = seq_now(f), from = f->woken_seq;
    if (seq < from || seq - from > WAITING_LISTS) /* it falls where a full copy was installed */
        from = seq > WAITING_LISTS ? seq - WAITING_LISTS : 0;
    for (; f->waiting_count != 0 && from < seq; from++)
        wake_list(f->waiting[(from + 1) % WAITING_LISTS], seq, 0);
    f->woken_seq = seq;
    udp_waiting(f, false);
    waiting_watch(f);
}

void waiting_wake_late(struct front *f)
{
    uint64_t now_us = front_now_us(f);
    for (unsigned i = 0; f->waiting_count != 0 && i < WAITING_LISTS; i++)
        wake_list(f->waiting[i], 0, now_us);
    waiting_watch(f);
}
