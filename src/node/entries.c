/* Entries, on a primary: what waits is executed into one, and it is given to the log. */
#include "base/err.h"
#include "node/inside.h"

/* Takes the batches that are done off the front of what is pending. */
static struct write_batch *detach_done(struct node *n)
{
    struct write_batch *list = NULL, **end = &list;
    while (n->pending != NULL && n->pending->done == n->pending->count) {
        struct write_batch *b = n->pending;
        n->pending = b->next;
        b->next = NULL;
        *end = b;
        end = &b->next;
    }
    if (n->pending == NULL)
        n->pending_end = &n->pending;
    return list;
}

/* Answers everything that waits with an error. Writes of the first batch that have their answer
 * keep it. */
static void refuse_pending(struct node *n, unsigned first, int code, const char *detail)
{
    for (struct write_batch *b = n->pending; b != NULL; b = b->next) {
        write_batch_fill(b, first, code, detail);
        first = 0;
    }
    order_give_back(n, detach_done(n));
}

static int begin_entry(struct node *n, struct entry *e)
{
    char *frame = log_frame_begin(n->log, n->entry_bytes_max);
    if (frame == NULL)
        return ERR_NO_MEMORY;
    size_t room = n->entry_bytes_max - ENTRY_HEAD_BYTES;
    n->effects = (struct buf){.at = frame + ENTRY_HEAD_BYTES, .size = room, .bytes_max = room};
    uint64_t now_us = clock_wall_us(n->o.clock);
    *e = (struct entry){.time_us = now_us > n->time_us ? now_us : n->time_us};
    return 0;
}

static int begin_writes(struct node *n, struct entry *e)
{
    int rc = begin_entry(n, e);
    if (rc == 0)
        rc = store_write_begin(n->store, &n->txn);
    if (rc != 0)
        return rc;
    e->kind = ENTRY_WRITES;
    rc = execution_begin(&n->x, n->txn, &n->effects, e->time_us,
                         repl_copies(&n->repl, n->repl.committed), &e->keys_forgotten);
    e->first_seq = n->x.first_seq;
    return rc;
}

static void abort_txn(struct node *n)
{
    store_write_abort(n->txn);
    n->txn = NULL;
}

/* Answers are given back in the order in which they were asked, so nothing that waits is answered
 * while batches fly. */
static bool must_wait(const struct node *n)
{
    return n->flight.any && n->flight.batches != NULL;
}

/* Executes what waits, as one entry; refusals alone make none, and are answered at once. */
bool entries_make(struct node *n)
{
    struct entry e;
    unsigned first = n->pending->done; /* of the first batch, what an earlier entry had room for */
    int rc = repl_refusal(&n->repl);
    if (must_wait(n))
        return false;
    if (rc != 0) {
        bool full = rc == ERR_NOT_READY && atomic_load(&n->o.status->disk_full);
        refuse_pending(n, first, full ? ERR_DISK_FULL : rc, full ? "" : n->view.reason);
        return true;
    }
    if (n->flight.any || repl_busy(&n->repl))
        return false;
    rc = space_find(n);
    if (rc == ERR_BUSY)
        return false;
    n->x.disk_full = rc == ERR_DISK_FULL;
    rc = begin_writes(n, &e);
    if (rc == 0)
        rc = execution_run(&n->x, n->pending);
    if (rc != 0) {
        abort_txn(n);
        refuse_pending(n, first, rc, "");
        return true;
    }
    e.effects = (uint32_t)(n->x.seq - e.first_seq);
    struct write_batch *done = detach_done(n);
    if (e.effects == 0) {
        abort_txn(n);
        order_give_back(n, done);
        if (n->pending != NULL) /* refusals can take long, too: what else is to do, comes first */
            order_wake(n);
        return false;
    }
    e.body = buf_span(&n->effects);
    n->flight = (struct flight){.open = true, .entry = e, .batches = done};
    step(n, &(struct repl_event){.kind = REPL_PROPOSE});
    return true;
}

/* What is under way is never committed here, and may be where the newer primary is (S19). A batch
 * that only began to be executed is as unknown as the entry that has its beginning. */
void entries_give_up(struct node *n)
{
    struct write_batch *list = n->flight.batches;
    n->flight.batches = NULL;
    for (struct write_batch *b = list; b != NULL; b = b->next)
        write_batch_fill(b, 0, ERR_OUTCOME_UNKNOWN, "");
    order_give_back(n, list);
    if (n->pending != NULL && n->pending->done != 0) {
        write_batch_fill(n->pending, 0, ERR_OUTCOME_UNKNOWN, "");
        order_give_back(n, detach_done(n));
    }
}

/* An entry of the log's own: its body is the set. */
static void make_own(struct node *n, const struct repl_action *a)
{
    struct flight *f = &n->flight;
    if (begin_entry(n, &f->entry) != 0)
        n->o.fatal("out of memory for an entry");
    f->entry.kind = a->entry == REPL_ENTRY_CONFIG ? ENTRY_CONFIG : ENTRY_EPOCH_START;
    f->entry.first_seq = n->seq + 1;
    peer_set_encode(&n->effects, &a->set);
    f->entry.body = buf_span(&n->effects);
}

void entries_append(struct node *n, const struct repl_action *a)
{
    struct flight *f = &n->flight;
    if (f->any) { /* committed, but local storage had no space for it yet */
        n->own_wanted = true;
        n->own = *a;
        return;
    }
    if (a->entry != REPL_ENTRY_WRITES)
        make_own(n, a);
    f->any = true;
    f->entry.epoch = a->epoch;
    f->entry.index = a->index;
    entry_seal(&f->entry, n->chain, n->effects.at - ENTRY_HEAD_BYTES);
    n->chain = f->entry.chain;
    n->time_us = f->entry.time_us;
    n->seq = f->entry.first_seq + f->entry.effects - 1;
    n->last_epoch = f->entry.epoch;
    const struct log_position p = {
        .first_index = a->index,
        .entries = 1,
        .chain = f->entry.chain,
        .commit = n->repl.committed,
    };
    n->append = (struct log_job){
        .kind = LOG_APPEND,
        .frame = log_frame_end(n->log, &p, ENTRY_HEAD_BYTES + f->entry.body.bytes),
        .index = a->index,
        .chain = f->entry.chain,
        .bytes = ENTRY_HEAD_BYTES + f->entry.body.bytes,
    };
    n->frame_wanted = true;
    jobs_ask(n);
    ship_flight(n);
}
