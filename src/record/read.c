/* Snapshots of local storage for one front-end thread. */
#include "record/read.h"

#include <stdlib.h>

#include "base/err.h"
#include "store/slot.h"
#include "store/store.h"

struct reader {
    const struct visible *visible;
    struct store_slot *slot; /* NULL: the store is always the same */
    struct store *store;     /* held, if there is a slot; NULL: none for now, nor a txn */
    struct store_txn *txn;
    bool live;
    uint64_t seen; /* `applied` that was visible before the snapshot was taken; only while live */
    /* The collection used last: a number never changes and never goes away, in one store. */
    char name[COLLECTION_NAME_BYTES_MAX];
    size_t name_bytes;
    uint32_t number;
};

/* --- Its store --- */

/* What is held is never closed, so a new store cannot have its address. */
static bool swapped(const struct reader *r)
{
    return r->slot != NULL && store_slot_now(r->slot) != r->store;
}

static void leave(struct reader *r)
{
    store_reader_destroy(r->txn);
    if (r->slot != NULL && r->store != NULL)
        store_slot_release(r->slot, r->store);
    r->store = NULL;
    r->txn = NULL;
    r->live = false;
    r->name_bytes = 0;
}

static int enter(struct reader *r)
{
    r->store = store_slot_hold(r->slot);
    int rc = store_reader_create(r->store, &r->txn);
    if (rc != 0)
        leave(r);
    return rc;
}

static int create(struct reader **out, struct reader with)
{
    struct reader *r = malloc(sizeof *r);
    if (r == NULL)
        return ERR_NO_MEMORY;
    *r = with;
    int rc = r->slot != NULL ? enter(r) : store_reader_create(r->store, &r->txn);
    if (rc != 0) {
        free(r);
        return rc;
    }
    *out = r;
    return 0;
}

int reader_create_in(struct reader **r, struct store_slot *slot, const struct visible *visible)
{
    return create(r, (struct reader){.slot = slot, .visible = visible});
}

int reader_create(struct reader **r, struct store *s, const struct visible *visible)
{
    return create(r, (struct reader){.store = s, .visible = visible});
}

void reader_destroy(struct reader *r)
{
    if (r == NULL)
        return;
    leave(r);
    free(r);
}

/* --- Its snapshot --- */

/* `applied` is looked at before the slot: who sees a position of the new store sees that store. */
int reader_fresh(struct reader *r)
{
    uint64_t applied = atomic_load_explicit(&r->visible->applied, memory_order_acquire);
    bool move = swapped(r);
    if (r->live && r->seen == applied && !move)
        return 0;
    if (r->live)
        store_reader_reset(r->txn);
    r->live = false;
    int rc = 0;
    if (move) {
        leave(r);
        rc = enter(r);
    }
    if (rc == 0)
        rc = store_reader_renew(r->txn);
    r->live = rc == 0;
    r->seen = applied;
    return rc;
}

void reader_rest(struct reader *r)
{
    if (r->live)
        store_reader_reset(r->txn);
    r->live = false;
    if (r->store != NULL && swapped(r))
        leave(r);
}

struct reader_position reader_position(struct reader *r)
{
    const struct store_state *s = store_state(r->txn);
    return (struct reader_position){
        .applied = s->applied,
        .seq = s->seq,
        .epoch = s->epoch,
        .digest = s->digest,
        .records = s->records,
        .keys = s->keys,
        .collections = s->collections,
    };
}

static int number_of(struct reader *r, struct span collection, uint32_t *number)
{
    if (!span_eq(collection, span(r->name, r->name_bytes))) {
        struct store_collection c;
        int rc = store_collection_get(r->txn, collection, &c);
        if (rc != 0)
            return rc;
        memcpy(r->name, collection.at, collection.bytes);
        r->name_bytes = collection.bytes;
        r->number = c.number;
    }
    *number = r->number;
    return 0;
}

int reader_get(struct reader *r, struct span collection, uint64_t id, struct record *out)
{
    uint32_t number;
    struct store_record record;
    int rc = number_of(r, collection, &number);
    if (rc == 0)
        rc = store_record_get(r->txn, number, id, &record);
    if (rc == 0)
        *out = (struct record){record.id, record.seq, record.text};
    return rc;
}

int reader_list_begin(struct reader *r, struct span collection, struct list_cursor *c)
{
    *c = (struct list_cursor){0};
    int rc = number_of(r, collection, &c->number);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int reader_list_more(struct reader *r, struct list_cursor *c, size_t bytes_max, struct buf *out)
{
    size_t end = out->bytes + bytes_max;
    if (!c->begun)
        buf_add_char(out, '[');
    c->begun = true;
    while (!c->done && out->bytes < end && !out->failed) {
        struct store_record record;
        int rc = c->number == 0 ? ERR_NOT_FOUND
                                : store_record_next(r->txn, c->number, c->after, &record);
        if (rc == ERR_NOT_FOUND) {
            buf_add_char(out, ']');
            c->done = true;
        } else if (rc != 0) {
            return rc;
        } else {
            if (c->after != 0)
                buf_add_char(out, ',');
            buf_add_span(out, record.text);
            c->after = record.id;
        }
    }
    return out->failed ? ERR_NO_MEMORY : 0;
}
