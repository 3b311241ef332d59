/*
 * A bounded queue of pointers from one thread to one other, and the bell that wakes the receiver.
 * No lock; a full queue is an answer, never growth.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct queue {
    _Atomic size_t put;   /* written by the sender only */
    char apart[56];       /* keeps the two counters in cache lines of their own */
    _Atomic size_t taken; /* written by the receiver only */
    size_t mask;
    void **slots;
};

int queue_init(struct queue *q, size_t slots); /* a power of two; ERR_NO_MEMORY */
void queue_finish(struct queue *q);
bool queue_put(struct queue *q, void *item); /* false: full */
void *queue_take(struct queue *q);           /* NULL: empty */
bool queue_empty(const struct queue *q);

/*
 * A bell wakes one thread; any may ring. Ringing costs a system call only while that thread sleeps:
 *     for (;;) {
 *         take what is there;
 *         bell_rest(b);
 *         if (all queues are empty)
 *             bell_wait(b, -1);
 *         bell_awake(b);
 *     }
 */
struct bell {
    int fd; /* eventfd; becomes readable when rung while resting */
    atomic_bool resting;
};
int bell_init(struct bell *b); /* ERR_SYSTEM */
void bell_finish(struct bell *b);
void bell_ring(struct bell *b); /* after the queue_put that it announces */
void bell_rest(struct bell *b); /* "I am about to sleep": look at the queues once more after it */
void bell_wait(struct bell *b, int timeout_ms); /* until rung, or shorter; -1: no limit */
void bell_awake(struct bell *b);

#endif
