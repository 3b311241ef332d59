/* The store in use, counted by those who hold it. */
#include "store/slot.h"

#include <assert.h>

#include "store/txn.h"

void store_slot_init(struct store_slot *slot, struct store *s)
{
    assert(s->holders == 0 && !s->retired);
    atomic_init(&slot->current, s);
    pthread_mutex_init(&slot->lock, NULL);
}

void store_slot_finish(struct store_slot *slot)
{
    struct store *s = store_slot_now(slot);
    assert(s->holders == 0);
    store_close(s);
    pthread_mutex_destroy(&slot->lock);
}

void store_slot_swap(struct store_slot *slot, struct store *s)
{
    struct store *old = store_slot_now(slot);
    assert(s != old && s->holders == 0 && !s->retired && !old->writer.live);
    pthread_mutex_lock(&slot->lock);
    atomic_store_explicit(&slot->current, s, memory_order_release);
    old->retired = true;
    const bool unused = old->holders == 0;
    pthread_mutex_unlock(&slot->lock);
    if (unused) {
        store_close(old);
    }
}

struct store *store_slot_hold(struct store_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    struct store *s = store_slot_now(slot);
    s->holders++;
    pthread_mutex_unlock(&slot->lock);
    return s;
}

void store_slot_release(struct store_slot *slot, struct store *s)
{
    pthread_mutex_lock(&slot->lock);
    assert(s->holders > 0);
    s->holders--;
    const bool last = s->holders == 0 && s->retired;
    pthread_mutex_unlock(&slot->lock);
    if (last) {
        store_close(s);
    }
}
