/* Writes on their way from a backup to the primary (W2), and what became of them on the way back
 * (W5). */
#include "repl/forward.h"
#include "base/err.h"
#include "node/inside.h"

enum { SPARES_MAX = 2 * FORWARDS_MAX };

/* --- A backup --- */

static void add_forwarded(struct node *n, struct write_batch *b)
{
    b->next = NULL;
    *n->forwarded_end = b;
    n->forwarded_end = &b->next;
}

static void send_batch(struct node *n, struct write_batch *b)
{
    struct peer_message m = {
        .kind = PEER_FORWARD, .epoch = n->repl.epoch, .session = n->repl.session};
    buf_reset(&n->scratch, FORWARD_BYTES_MAX);
    forward_encode(&n->scratch, b);
    if (n->scratch.failed) {
        order_fill(b, 0, ERR_NO_MEMORY, "");
        b->fate = FATE_DONE;
        return;
    }
    b->forward_id = ++n->forward_id;
    b->fate = FATE_SENT;
    m.forward = (struct peer_forward){
        .id = b->forward_id, .count = b->count, .writes = buf_span(&n->scratch)};
    n->sent++;
    n->sent_bytes += n->scratch.bytes;
    b->index = n->scratch.bytes; /* until it is answered: what it counts in sent_bytes */
    links_send(n, n->up, &m);
    say_forward(n, NULL, b);
}

/* All that clients have asked; what the primary has no room for waits here, and is bounded by what
 * the front ends hand over. */
void forward_pending(struct node *n)
{
    while (n->pending != NULL && n->sent < FORWARDS_MAX && n->sent_bytes < FORWARD_BYTES_MAX / 2) {
        struct write_batch *b = n->pending;
        n->pending = b->next;
        if (n->pending == NULL)
            n->pending_end = &n->pending;
        int refusal = n->up == NULL ? ERR_NO_PRIMARY : repl_refusal(&n->repl);
        if (n->diverged)
            refusal = ERR_NOT_IN_SYNC;
        if (refusal == 0) {
            send_batch(n, b);
        } else {
            order_fill(b, 0, refusal, n->view.reason);
            b->fate = FATE_DONE;
        }
        add_forwarded(n, b);
    }
    forward_give_back(n);
}

/* In the order in which they were asked, which the front ends count on. */
void forward_give_back(struct node *n)
{
    while (n->forwarded != NULL) {
        struct write_batch *b = n->forwarded;
        bool reached = b->fate == FATE_ANSWERED && b->index <= n->state.applied;
        if (!reached && b->fate != FATE_DONE)
            return;
        n->forwarded = b->next;
        if (n->forwarded == NULL)
            n->forwarded_end = &n->forwarded;
        b->next = NULL;
        order_give_back(n, b);
    }
}

static void no_longer_sent(struct node *n, struct write_batch *b)
{
    n->sent--;
    n->sent_bytes -= (size_t)b->index;
}

void forward_answered(struct node *n, struct link *l, const struct peer_answer *a)
{
    struct write_batch *b = n->forwarded;
    while (b != NULL && b->fate != FATE_SENT)
        b = b->next;
    if (b == NULL || b->forward_id != a->id || answers_decode(a->answers, a->count, b) != 0) {
        order_say(n, "%s: it answered what was not asked", l->name);
        links_give_up(n, l, false);
        return;
    }
    no_longer_sent(n, b);
    b->fate = FATE_ANSWERED;
    b->index = a->index;
    say_completed(n, l->name, b);
    forward_give_back(n);
}

/* S19: nobody knows what became of them; nor when local storage will have what was answered and has
 * not come yet, and others wait behind it. */
void forward_lost(struct node *n)
{
    for (struct write_batch *b = n->forwarded; b != NULL; b = b->next) {
        bool reached = b->fate == FATE_ANSWERED && b->index <= n->state.applied;
        if (b->fate == FATE_DONE || reached)
            continue;
        if (b->fate == FATE_SENT)
            no_longer_sent(n, b);
        buf_reset(&b->answers, SIZE_MAX);
        order_fill(b, 0, ERR_OUTCOME_UNKNOWN, "");
        b->fate = FATE_DONE;
    }
    forward_give_back(n);
}

/* --- The primary --- */

static struct write_batch *take_spare(struct node *n)
{
    struct write_batch *b = n->spare;
    if (b == NULL)
        return write_batch_create();
    n->spare = b->next;
    n->spares--;
    write_batch_reset(b);
    return b;
}

static void give_spare(struct node *n, struct write_batch *b)
{
    if (n->spares == SPARES_MAX) {
        write_batch_destroy(b);
        return;
    }
    b->next = n->spare;
    n->spare = b;
    n->spares++;
}

void forward_received(struct node *n, struct link *l, const struct peer_message *m)
{
    const struct peer_forward *f = &m->forward;
    struct write_batch *b = NULL;
    int rc = ERR_BUSY; /* it was told how much may be under way */
    if (l->forwards < FORWARDS_MAX && l->forward_bytes < FORWARD_BYTES_MAX) {
        b = take_spare(n);
        rc = b == NULL ? ERR_NO_MEMORY
                       : forward_decode(f->writes, f->count, n->x.json, RECORD_BYTES_HIGHEST, b);
    }
    if (rc != 0) {
        write_batch_destroy(b);
        order_say(n, "%s: it forwarded what is no write, or too much", l->name);
        links_give_up(n, l, false);
        return;
    }
    b->port = NULL;
    b->next = NULL;
    b->link = l->number;
    b->forward_id = f->id;
    b->weight = f->writes.bytes + 256UL * f->count;
    b->index = f->writes.bytes;
    l->forwards++;
    l->forward_bytes += f->writes.bytes;
    *n->pending_end = b;
    n->pending_end = &b->next;
    say_forward(n, l->name, b);
}

/* The position that the answers tell of is at most what is applied here. */
void forward_answer(struct node *n, struct write_batch *b)
{
    struct link *l = links_find(n, b->link);
    const struct repl_member *member = l != NULL ? repl_member_of(&n->repl, l->number) : NULL;
    if (member != NULL) {
        struct peer_message m = {
            .kind = PEER_ANSWER, .epoch = n->repl.epoch, .session = member->session};
        buf_reset(&n->scratch, FORWARD_BYTES_MAX);
        answers_encode(&n->scratch, b);
        net_out(l->conn)->failed |= n->scratch.failed;
        m.answer = (struct peer_answer){.id = b->forward_id,
                                        .index = n->state.applied,
                                        .count = b->count,
                                        .answers = buf_span(&n->scratch)};
        l->forwards--;
        l->forward_bytes -= (size_t)b->index;
        ship_commit(n, l);    /* first, so that the backup has what it answers */
        links_send(n, l, &m); /* without memory the connection ends, and the outcome is unknown */
        say_completed(n, l->name, b);
    }
    give_spare(n, b);
}
