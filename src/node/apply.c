/* From the log into local storage: the tail, which is in the log or on its way there and not
 * applied, and its application once it is committed. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/inside.h"

enum { TXN_BYTES = 16 * 1024 * 1024, RETRY_US = 100 * 1000 };

/* --- The tail --- */

struct tail_entry *tail_copy(const struct entry *e)
{
    size_t bytes = ENTRY_HEAD_BYTES + e->body.bytes;
    struct tail_entry *t = malloc(sizeof *t + bytes);
    if (t == NULL)
        return NULL;
    *t = (struct tail_entry){.e = *e, .bytes = bytes};
    memcpy(t->at, e->body.at - ENTRY_HEAD_BYTES, bytes);
    t->e.body.at = t->at + ENTRY_HEAD_BYTES;
    return t;
}

void tail_add(struct node *n, struct tail_entry *t)
{
    t->next = NULL;
    *n->tail_end = t;
    n->tail_end = &t->next;
    n->tail_bytes += t->bytes;
    n->chain = t->e.chain;
    n->time_us = t->e.time_us;
    n->seq = t->e.first_seq + t->e.effects - 1;
    n->last_epoch = t->e.epoch;
}

void tail_free(struct tail_entry *list)
{
    for (struct tail_entry *next; list != NULL; list = next) {
        next = list->next;
        free(list);
    }
}

/* Forgets the entries above `index`, which the primary does not have. */
void tail_cut(struct node *n, uint64_t index)
{
    struct tail_entry **at = &n->tail;
    n->chain = n->state.chain;
    n->time_us = n->state.time_us;
    n->seq = n->state.seq;
    n->last_epoch = n->state.epoch;
    while (*at != NULL && (*at)->e.index <= index) {
        n->chain = (*at)->e.chain;
        n->time_us = (*at)->e.time_us;
        n->seq = (*at)->e.first_seq + (*at)->e.effects - 1;
        n->last_epoch = (*at)->e.epoch;
        at = &(*at)->next;
    }
    for (const struct tail_entry *t = *at; t != NULL; t = t->next)
        n->tail_bytes -= t->bytes;
    tail_free(*at);
    *at = NULL;
    n->tail_end = at;
    n->unwritten = NULL;
}

static struct peer_point point_of(const struct entry *e)
{
    return (struct peer_point){.epoch = e->epoch, .index = e->index, .chain = e->chain};
}

static struct peer_point point_applied(const struct node *n)
{
    return (struct peer_point){
        .epoch = n->state.epoch, .index = n->state.applied, .chain = n->state.chain};
}

bool tail_point(const struct node *n, uint64_t index, struct peer_point *p)
{
    const struct tail_entry *t = n->tail;
    *p = point_applied(n);
    if (index == p->index)
        return true;
    while (t != NULL && t->e.index != index)
        t = t->next;
    if (t != NULL)
        *p = point_of(&t->e);
    else if (n->flight.any && n->flight.entry.index == index)
        *p = point_of(&n->flight.entry);
    else
        *p = (struct peer_point){0};
    return p->index == index;
}

/* The committed end, then the last entry of each epoch above it; where there are too many, the
 * newest. */
unsigned tail_points(const struct node *n, struct peer_point points[PEER_POINTS_MAX])
{
    unsigned count = 1;
    points[0] = point_applied(n);
    for (const struct tail_entry *t = n->tail; t != NULL; t = t->next) {
        if (t->e.index <= n->repl.committed) {
            points[0] = point_of(&t->e);
            continue;
        }
        if (t->next != NULL && t->next->e.epoch == t->e.epoch)
            continue;
        if (count == PEER_POINTS_MAX)
            memmove(points + 1, points + 2, (--count - 1) * sizeof points[0]);
        points[count++] = point_of(&t->e);
    }
    return count;
}

/* --- Local storage --- */

static void abort_txn(struct node *n)
{
    store_write_abort(n->txn);
    n->txn = NULL;
}

/* Entries at the front of the tail, in one transaction; *count of them. */
static int apply_tail(struct node *n, struct store_state *state, unsigned *count)
{
    size_t bytes = 0;
    int rc = store_write_begin(n->store, &n->txn);
    *count = 0;
    for (const struct tail_entry *t = n->tail;
         rc == 0 && t != NULL && t->e.index <= n->apply_to && bytes < TXN_BYTES; t = t->next) {
        rc = entry_apply(n->txn, &t->e);
        bytes += t->bytes;
        ++*count;
    }
    if (rc != 0) {
        abort_txn(n);
        return rc;
    }
    *state = *store_state(n->txn);
    rc = store_write_commit(n->txn);
    n->txn = NULL;
    return rc;
}

/* The effects are in the open transaction; else they are applied once more from the entry's bytes.
 */
static int apply_flight(struct node *n, struct store_state *state)
{
    struct flight *f = &n->flight;
    int rc = 0;
    if (f->open) {
        entry_set_state(n->txn, &f->entry);
    } else {
        rc = store_write_begin(n->store, &n->txn);
        if (rc == 0)
            rc = entry_apply(n->txn, &f->entry);
    }
    f->open = false;
    if (rc != 0) {
        abort_txn(n);
        return rc;
    }
    *state = *store_state(n->txn);
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

/* Writes of this entry are now on so many servers. */
static void set_copies(struct node *n, struct write_batch *list, uint64_t index)
{
    uint32_t copies = repl_copies(&n->repl, index);
    for (struct write_batch *b = list; b != NULL; b = b->next)
        for (unsigned i = 0; i < b->count; i++)
            b->writes[i].copies = copies;
}

/* An entry of the log's own may have changed the set. */
static void learn_set(struct node *n, const struct entry *e)
{
    struct peer_set set;
    if (e->kind != ENTRY_WRITES && e->body.bytes != 0 && peer_set_decode(e->body, &set) == 0)
        n->known_set = set;
}

static void publish(struct node *n, const struct store_state *state)
{
    n->state = *state;
    struct visible *visible = n->o.visible;
    atomic_store_explicit(&n->o.status->durable, n->repl.durable, memory_order_relaxed);
    atomic_store_explicit(&n->o.status->committed, n->repl.committed, memory_order_relaxed);
    atomic_store_explicit(&visible->seq, state->seq, memory_order_release);
    atomic_store_explicit(&visible->applied, state->applied, memory_order_release);
}

/* Either the front end sees the new position, or it is seen watching (store buffering, as for the
 * bell). */
static void wake_watching(struct node *n)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < n->ports_count; i++)
        if (atomic_load_explicit(&n->ports[i].watching, memory_order_seq_cst))
            n->ports[i].wake(n->ports[i].front);
}

static void drop_applied(struct node *n, unsigned count)
{
    for (; count != 0; count--) {
        struct tail_entry *t = n->tail;
        learn_set(n, &t->e);
        n->tail = t->next;
        n->tail_bytes -= t->bytes;
        free(t);
    }
    if (n->tail == NULL)
        n->tail_end = &n->tail;
}

/* One transaction's worth. False: nothing more can be applied now. */
static bool apply_some(struct node *n)
{
    struct flight *f = &n->flight;
    struct store_state state;
    unsigned count = 0;
    if (n->state.applied >= n->apply_to)
        return false;
    bool flies = n->tail == NULL;
    if (flies && !f->any)
        n->o.fatal("the order of writes is broken: this is a mistake in the program");
    int rc = flies ? apply_flight(n, &state) : apply_tail(n, &state, &count);
    if (rc == ERR_DISK_FULL || rc == ERR_NO_MEMORY) {
        atomic_store_explicit(&n->o.status->disk_full, true, memory_order_release);
        n->retry_us = clock_mono_us(n->o.clock) + RETRY_US;
        return false;
    }
    if (rc != 0)
        storage_failed(n);
    publish(n, &state);
    if (flies) {
        struct write_batch *batches = f->batches;
        set_copies(n, batches, f->entry.index);
        *f = (struct flight){0};
        order_give_back(n, batches);
    } else {
        drop_applied(n, count);
    }
    return true;
}

/* S10: local storage first, then the answers, and the word to the backups. */
void apply(struct node *n)
{
    bool any = false;
    n->retry_us = 0;
    while (apply_some(n))
        any = true;
    if (!any)
        return;
    if (!n->primary)
        forward_give_back(n);
    wake_watching(n);
}
