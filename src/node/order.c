/*
 * The order thread: gathers what has been asked into one entry, has the step say what to do with
 * it, and gives the answers back once it is durable and applied. It never waits for the disk but
 * for local storage's page cache.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "node/inside.h"

enum { RETRY_US = 100 * 1000, WAIT_MS = 100 };

static void step(struct node *n, struct repl_event e);

/* --- Batches --- */

static bool take_asked(struct node *n)
{
    bool any = false;
    struct write_batch *b;
    for (unsigned i = 0; i < n->ports_count; i++)
        while ((b = queue_take(&n->ports[i].asked)) != NULL) {
            b->next = NULL;
            *n->pending_end = b;
            n->pending_end = &b->next;
            any = true;
        }
    return any;
}

static bool nothing_asked(const struct node *n)
{
    for (unsigned i = 0; i < n->ports_count; i++)
        if (!queue_empty(&n->ports[i].asked))
            return false;
    return true;
}

static void give_back(struct write_batch *list)
{
    for (struct write_batch *b = list, *next; b != NULL; b = next) {
        struct write_port *port = b->port;
        next = b->next;
        queue_put(&port->answered, b); /* has room for all there are */
        port->wake(port->front);
    }
}

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

static void refuse_from(struct write_batch *b, unsigned first, int code)
{
    for (; first < b->count; first++) {
        struct write *w = &b->writes[first];
        w->code = code;
        w->has_seq = false;
        w->body = (struct piece){0, 0};
    }
    b->done = b->count;
}

/* Answers everything that waits with an error. `first`: writes of the first batch before it have
 * their answer. */
static void refuse_pending(struct node *n, unsigned first, int code)
{
    for (struct write_batch *b = n->pending; b != NULL; b = b->next) {
        refuse_from(b, first, code);
        first = 0;
    }
    give_back(detach_done(n));
}

/* --- One entry --- */

/* Whether there is space for an entry, in the log and behind local storage (rule S22): 0,
 * ERR_DISK_FULL, or ERR_BUSY while the log's next segment is only not ready yet. */
static int find_space(struct node *n)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    int rc = n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes);
    /* Before the look at the log, which finds the segment that was made meanwhile. */
    bool no_space = atomic_load_explicit(&n->no_space, memory_order_acquire);
    bool room = log_has_room(n->log, n->entry_bytes_max);
    bool full = rc != 0 || free_bytes < n->reserve_bytes || (!room && no_space);
    atomic_store_explicit(&n->o.status->disk_full, full, memory_order_release);
    if (!room)
        bell_ring(&n->prepare_bell);
    return full ? ERR_DISK_FULL : room ? 0 : ERR_BUSY;
}

static int begin_entry(struct node *n, struct entry *e)
{
    char *frame = log_frame_begin(n->log, n->entry_bytes_max);
    if (frame == NULL)
        return ERR_NO_MEMORY;
    size_t room = n->entry_bytes_max - ENTRY_HEAD_BYTES;
    n->effects = (struct buf){.at = frame + ENTRY_HEAD_BYTES, .size = room, .bytes_max = room};
    n->effects_count = 0;
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
    e->first_seq = store_state(n->txn)->seq + 1;
    n->x.txn = n->txn;
    n->x.effects = &n->effects;
    n->x.time_us = e->time_us;
    n->x.first_seq = n->x.seq = e->first_seq;
    n->x.copies = n->repl.required;
    n->x.answer_bytes = 0;
    rc = keys_expired(&n->x, &e->keys_forgotten);
    return rc == 0 && e->keys_forgotten != 0 ? store_keys_forget(n->txn, e->keys_forgotten) : rc;
}

/* Beyond these an entry is closed, whatever room its frame has. */
static bool entry_is_long(const struct execution *x)
{
    return x->answer_bytes >= ENTRY_BYTES_MAX || x->seq - x->first_seq >= ENTRY_WRITES_MAX;
}

static int execute_pending(struct node *n)
{
    for (struct write_batch *b = n->pending; b != NULL; b = b->next)
        for (; b->done < b->count; b->done++) {
            int rc = entry_is_long(&n->x) ? WRITE_ENTRY_FULL
                                          : write_execute(&n->x, b, &b->writes[b->done]);
            if (rc != 0)
                return rc == WRITE_ENTRY_FULL ? 0 : rc;
        }
    return 0;
}

static void abort_txn(struct node *n)
{
    store_write_abort(n->txn);
    n->txn = NULL;
}

/* Executes what waits, as one entry; refusals alone make none, and are answered at once. False: it
 * waits on, for the log. */
static bool make_entry(struct node *n)
{
    struct entry e;
    unsigned first = n->pending->done; /* of the first batch, what an earlier entry had room for */
    int rc = find_space(n);
    if (rc == ERR_BUSY)
        return false;
    n->x.disk_full = rc == ERR_DISK_FULL;
    rc = begin_writes(n, &e);
    if (rc == 0)
        rc = execute_pending(n);
    if (rc != 0) {
        abort_txn(n);
        refuse_pending(n, first, rc);
        return true;
    }
    e.effects = (uint32_t)(n->x.seq - e.first_seq);
    struct write_batch *done = detach_done(n);
    if (e.effects == 0) {
        abort_txn(n);
        give_back(done);
        return true;
    }
    e.body = buf_span(&n->effects);
    n->flight = (struct flight){.applied_here = true, .entry = e, .batches = done};
    step(n, (struct repl_event){.kind = REPL_PROPOSE});
    return true;
}

/* --- What the step asks for --- */

static void append(struct node *n, const struct repl_action *a)
{
    struct flight *f = &n->flight;
    if (a->epoch_start) {
        if (begin_entry(n, &f->entry) != 0)
            n->o.fatal("out of memory at start");
        f->entry.kind = ENTRY_EPOCH_START;
        f->entry.first_seq = atomic_load(&n->o.visible->seq) + 1;
        f->entry.body = buf_span(&n->effects);
    }
    f->any = true;
    f->entry.epoch = a->epoch;
    f->entry.index = a->index;
    entry_seal(&f->entry, n->chain, n->effects.at - ENTRY_HEAD_BYTES);
    n->chain = f->entry.chain;
    n->time_us = f->entry.time_us;
    const struct log_position p = {
        .first_index = a->index,
        .entries = 1,
        .chain = f->entry.chain,
        .commit = n->repl.committed,
    };
    struct log_frame *frame = log_frame_end(n->log, &p, ENTRY_HEAD_BYTES + f->entry.body.bytes);
    atomic_store_explicit(&n->to_log, frame, memory_order_release);
    bell_ring(&n->log_bell);
}

/* The entry's effects into local storage: those in the open transaction, or once more from its
 * bytes. */
static int apply(struct node *n, struct flight *f)
{
    int rc = 0;
    if (!f->applied_here) {
        rc = store_write_begin(n->store, &n->txn);
        if (rc == 0)
            rc = entry_apply(n->txn, &f->entry);
    } else {
        entry_set_state(n->txn, &f->entry);
    }
    if (rc != 0) {
        abort_txn(n);
        return rc;
    }
    rc = store_write_commit(n->txn);
    n->txn = NULL;
    return rc;
}

/* Nothing can be told of what local storage still writes out, so the next start rebuilds it. */
static void storage_failed(struct node *n)
{
    data_dir_distrust(&n->dir);
    n->o.fatal("local storage failed: the acknowledged writes are in the log; look at the disk "
               "before the next start");
}

/* S10: local storage first, then the answers. Durable but without space here, the entry is applied
 * again later. */
static void commit(struct node *n)
{
    struct flight *f = &n->flight;
    int rc = apply(n, f);
    if (rc == ERR_DISK_FULL || rc == ERR_NO_MEMORY) {
        atomic_store_explicit(&n->o.status->disk_full, true, memory_order_release);
        f->applied_here = false;
        f->retry_us = clock_mono_us(n->o.clock) + RETRY_US;
        return;
    }
    if (rc != 0)
        storage_failed(n);
    atomic_store_explicit(&n->o.status->committed, f->entry.index, memory_order_relaxed);
    atomic_store_explicit(&n->o.visible->seq, f->entry.first_seq + f->entry.effects - 1,
                          memory_order_release);
    atomic_store_explicit(&n->o.visible->applied, f->entry.index, memory_order_release);
    struct write_batch *batches = f->batches;
    *f = (struct flight){0};
    give_back(batches);
    /* Either the front end sees the new position, or it is seen watching (store buffering, as for
     * the bell). */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < n->ports_count; i++)
        if (atomic_load_explicit(&n->ports[i].watching, memory_order_seq_cst))
            n->ports[i].wake(n->ports[i].front);
}

static void step(struct node *n, struct repl_event e)
{
    struct repl_actions actions;
    if (repl_step(&n->repl, &e, &actions) != 0)
        n->o.fatal("the order of writes is broken: this is a mistake in the program");
    for (unsigned i = 0; i < actions.count; i++) {
        const struct repl_action *a = &actions.list[i];
        switch (a->kind) {
        case REPL_APPEND:
            append(n, a);
            break;
        case REPL_COMMIT:
            commit(n);
            break;
        case REPL_ADMIT:
            atomic_store_explicit(&n->o.status->epoch, n->repl.epoch, memory_order_relaxed);
            atomic_store_explicit(&n->o.status->admitting, true, memory_order_release);
            sem_post(&n->admitting);
            break;
        }
    }
}

/* --- The thread --- */

static bool log_reported(struct node *n)
{
    if (!atomic_load_explicit(&n->logged, memory_order_acquire))
        return false;
    atomic_store_explicit(&n->logged, false, memory_order_relaxed);
    uint64_t index = n->flight.entry.index;
    atomic_store_explicit(&n->o.status->durable, index, memory_order_relaxed);
    step(n, (struct repl_event){.kind = REPL_DURABLE, .index = index});
    return true;
}

/* What waits behind the entry waits with it, so that answers keep their order; the front ends give
 * up after a while. */
static void retry(struct node *n)
{
    if (n->flight.retry_us == 0 || clock_mono_us(n->o.clock) < n->flight.retry_us)
        return;
    n->flight.retry_us = 0;
    commit(n);
}

void *order_run(void *node)
{
    struct node *n = node;
    step(n, (struct repl_event){
                .kind = REPL_START, .epoch = n->epoch, .index = log_last_index(n->log)});
    for (;;) {
        bool busy = take_asked(n);
        busy = log_reported(n) || busy;
        retry(n);
        if (!n->flight.any && n->pending != NULL && make_entry(n))
            continue;
        bool stop = atomic_load_explicit(&n->stop_order, memory_order_acquire);
        bool stuck =
            n->flight.retry_us != 0 || atomic_load_explicit(&n->gave_up, memory_order_acquire);
        bool idle = !n->flight.any && n->pending == NULL;
        if (stop && !busy && (idle || stuck) && nothing_asked(n))
            return NULL;
        if (busy)
            continue;
        bool for_log = !n->flight.any && !idle; /* for its next segment */
        bell_rest(&n->bell);
        if (nothing_asked(n) && !atomic_load_explicit(&n->logged, memory_order_acquire) &&
            atomic_load_explicit(&n->stop_order, memory_order_acquire) == stop)
            bell_wait(&n->bell, stop || stuck || for_log ? WAIT_MS : -1);
        bell_awake(&n->bell);
    }
}
