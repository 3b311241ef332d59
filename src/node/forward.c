/* Writes on their way from a backup to the primary (W2), and what became of them on the way back
 * (W5). */
#include "repl/forward.h"
#include "base/err.h"
#include "node/inside.h"

enum { SPARES_MAX = 2 * FORWARDS_MAX };

/* --- A backup --- */

/* ERR_NO_MEMORY: it is not on its way. */
static int send_batch(struct node *n, struct write_batch *b)
{
    struct peer_message m = {
        .kind = PEER_FORWARD, .epoch = n->repl.epoch, .session = n->repl.session};
    buf_reset(&n->scratch, FORWARD_BYTES_MAX);
    forward_encode(&n->scratch, b);
    if (n->scratch.failed)
        return ERR_NO_MEMORY;
    fates_sent(&n->fates, b, n->scratch.bytes);
    m.forward = (struct peer_forward){
        .id = b->forward_id, .count = b->count, .writes = buf_span(&n->scratch)};
    links_send(n, n->up, &m);
    say_forward(n, NULL, b);
    return 0;
}

/* All that clients have asked; what the primary has no room for waits here, and is bounded by what
 * the front ends hand over. */
void forward_pending(struct node *n)
{
    while (n->pending != NULL && n->fates.sent < FORWARDS_MAX &&
           n->fates.sent_bytes < FORWARD_BYTES_MAX / 2) {
        struct write_batch *b = n->pending;
        n->pending = b->next;
        if (n->pending == NULL)
            n->pending_end = &n->pending;
        int rc = view_refusal(n);
        if (rc == 0 && n->up == NULL)
            rc = ERR_NO_PRIMARY;
        const char *reason = rc != 0 ? n->view.reason : "";
        if (rc == 0)
            rc = send_batch(n, b);
        if (rc != 0) {
            write_batch_fill(b, 0, rc, reason);
            fates_done(&n->fates, b);
        }
    }
    forward_give_back(n);
}

void forward_give_back(struct node *n)
{
    struct write_batch *b;
    while ((b = fates_take(&n->fates, n->state.applied)) != NULL)
        order_give_back(n, b);
}

void forward_answered(struct node *n, struct link *l, const struct peer_answer *a)
{
    const struct write_batch *b = fates_answered(&n->fates, a);
    if (b == NULL) {
        order_say(n, "%s: it answered what was not asked", l->name);
        links_give_up(n, l, false);
        return;
    }
    say_completed(n, l->name, b);
    forward_give_back(n);
}

void forward_lost(struct node *n)
{
    fates_lost(&n->fates, n->state.applied);
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
