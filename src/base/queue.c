/* The bounded queue between two threads, and the bell. */
#include "base/queue.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"

int queue_init(struct queue *q, size_t slots)
{
    void **memory = calloc(slots, sizeof *memory);
    if (memory == NULL)
        return ERR_NO_MEMORY;
    atomic_init(&q->put, 0);
    atomic_init(&q->taken, 0);
    q->mask = slots - 1;
    q->slots = memory;
    return 0;
}

void queue_finish(struct queue *q)
{
    free(q->slots);
    q->slots = NULL;
}

bool queue_put(struct queue *q, void *item)
{
    size_t put = atomic_load_explicit(&q->put, memory_order_relaxed);
    if (put - atomic_load_explicit(&q->taken, memory_order_acquire) > q->mask)
        return false;
    q->slots[put & q->mask] = item;
    atomic_store_explicit(&q->put, put + 1, memory_order_release);
    return true;
}

void *queue_take(struct queue *q)
{
    size_t taken = atomic_load_explicit(&q->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&q->put, memory_order_acquire))
        return NULL;
    void *item = q->slots[taken & q->mask];
    atomic_store_explicit(&q->taken, taken + 1, memory_order_release);
    return item;
}

bool queue_empty(const struct queue *q)
{
    return atomic_load_explicit(&q->taken, memory_order_acquire) ==
           atomic_load_explicit(&q->put, memory_order_acquire);
}

int bell_init(struct bell *b)
{
    atomic_init(&b->resting, false);
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return b->fd < 0 ? ERR_SYSTEM : 0;
}

void bell_finish(struct bell *b)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

/* The fence orders the queue_put before the look at `resting`; bell_rest has the matching one, so
 * that either the sender sees the receiver resting or the receiver sees what was put (store
 * buffering, as in Dekker's algorithm). */
void bell_ring(struct bell *b)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&b->resting, memory_order_relaxed) ||
        !atomic_exchange_explicit(&b->resting, false, memory_order_acq_rel))
        return;
    uint64_t one = 1;
    while (write(b->fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void bell_rest(struct bell *b)
{
    atomic_store_explicit(&b->resting, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

static void drain(struct bell *b)
{
    uint64_t rung;
    while (read(b->fd, &rung, sizeof rung) < 0 && errno == EINTR) {
    }
}

void bell_wait(struct bell *b, int timeout_ms)
{
    struct pollfd p = {.fd = b->fd, .events = POLLIN};
    /* Readable, but nobody rang in this rest: that came from one who rang in the last and wrote
     * after its bell_awake. Left there, it would keep every wait from sleeping. */
    if (poll(&p, 1, timeout_ms) > 0 && atomic_load_explicit(&b->resting, memory_order_relaxed))
        drain(b);
}

void bell_awake(struct bell *b)
{
    if (!atomic_exchange_explicit(&b->resting, false, memory_order_acq_rel)) /* somebody rang */
        drain(b);
}
