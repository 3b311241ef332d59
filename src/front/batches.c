/* Writes on their way to the order thread and back, a batch a turn. */
#include <assert.h>

#include "base/err.h"
#include "front/inside.h"

enum { BATCHES_EAGER = 16 };

struct write_batch *batch_open(struct front *f, size_t weight)
{
    if (f->open != NULL &&
        (f->open->count == BATCH_WRITES_MAX || f->open->asked.bytes >= BATCH_BYTES_MAX))
        batch_submit(f);
    if (f->weight + weight > FRONT_ANSWER_BYTES_MAX && f->weight != 0)
        return NULL;
    if (f->open == NULL && f->spare != NULL) {
        f->open = f->spare;
        f->spare = f->open->next;
        write_batch_reset(f->open);
    } else if (f->open == NULL && f->batches < FRONT_BATCHES_MAX) {
        f->open = write_batch_create();
        f->batches += f->open != NULL;
        if (f->open != NULL)
            f->open->port = f->o.port;
    }
    return f->open;
}

void batch_submit(struct front *f)
{
    struct write_batch *b = f->open;
    if (b == NULL || b->count == 0)
        return;
    f->open = NULL;
    b->submitted_us = front_now_us(f);
    b->flying_next = NULL;
    *f->flying_end = b;
    f->flying_end = &b->flying_next;
    f->flying_count++;
    queue_put(&f->o.port->asked, b); /* has room for all there are */
    f->o.port->ring(f->o.port->order);
}

/* While the order thread has enough to go on with, the open batch goes on to be filled: batches are
 * few, and a fuller one is cheaper. What comes back makes the next turn, or the tick does. */
void batch_turn_end(struct front *f)
{
    if (f->flying_count < BATCHES_EAGER)
        batch_submit(f);
}

static void answer_one(struct front *f, struct write_batch *b, struct write *w,
                       const struct answer *a)
{
    struct client *c = w->client;
    messages_write_answered(f, b, w, a);
    f->weight -= w->weight;
    if (c == NULL) {
        udp_write_answered(f, b, w, a);
        return;
    }
    c->in_flight--;
    c->in_flight_bytes -= w->weight;
    if (!net_is_closed(c->conn)) {
        if (c->protocol == PROTOCOL_HTTP)
            http_write_answered(c, w, a);
        else
            json_write_answered(c, b, w, a);
        if ((c->hold == HOLD_WRITES && c->in_flight == 0) ||
            (c->hold == HOLD_ROOM && client_has_room(c)))
            client_release(c);
        client_finish(c);
    }
    net_unhold(c->conn);
}

void batches_answered(struct front *f)
{
    struct write_batch *b;
    while ((b = queue_take(&f->o.port->answered)) != NULL) {
        assert(b == f->flying); /* the order thread gives them back in their order */
        f->flying = b->flying_next;
        f->flying_count--;
        if (f->flying == NULL)
            f->flying_end = &f->flying;
        for (unsigned i = 0; i < b->count; i++) {
            struct answer a;
            if (b->writes[i].given_up)
                continue;
            serve_answer_of(b, &b->writes[i], &a);
            answer_one(f, b, &b->writes[i], &a);
        }
        b->next = f->spare;
        f->spare = b;
    }
}

void batches_give_up(struct front *f)
{
    uint64_t now_us = front_now_us(f);
    for (struct write_batch *b = f->flying; b != NULL; b = b->flying_next) {
        if (b->submitted_us + WRITE_FATE_MS * 1000UL > now_us)
            return;
        for (unsigned i = 0; i < b->count; i++) {
            struct answer a;
            struct write *w = &b->writes[i];
            if (w->given_up)
                continue;
            w->given_up = true; /* the order thread does not look at it */
            answer_error(&a, ERR_OUTCOME_UNKNOWN, NULL);
            answer_one(f, b, w, &a);
        }
    }
}
