/*
 * Where the threads of a server find the store in use, which may be swapped for another one while
 * they read. Whoever uses a store holds it; a store that was swapped away is closed by the last one
 * who lets go of it. Knows not why a store is swapped.
 */
#ifndef STORE_SLOT_H
#define STORE_SLOT_H

#include <pthread.h>
#include <stdatomic.h>

struct store;

struct store_slot {
    _Atomic(struct store *) current;
    pthread_mutex_t lock; /* of the counts of holders; no read takes it */
};

/* The slot owns the store from now on. */
void store_slot_init(struct store_slot *slot, struct store *s);
/* Closes the store; nobody may hold it. */
void store_slot_finish(struct store_slot *slot);

/* By the writer's thread, while no write transaction is open. The slot owns the new store; the old
 * one is closed by now or by its last holder, and must not be used any more without holding it. */
void store_slot_swap(struct store_slot *slot, struct store *s);

/* The store in use. For the writer's thread, which alone swaps; for others it is only to compare
 * with the one that they hold. */
static inline struct store *store_slot_now(const struct store_slot *slot)
{
    return atomic_load_explicit(&slot->current, memory_order_acquire);
}

/* The store in use, which then stays open until it is let go; from any thread. Whatever was made of
 * it (readers, a copy) must be over by then. */
struct store *store_slot_hold(struct store_slot *slot);
/* May close it, which takes some 30 ms for each gigabyte of it in memory: whoever swaps can hold
 * the old store meanwhile and let go after the others, so that none of them pays. */
void store_slot_release(struct store_slot *slot, struct store *s);

#endif
