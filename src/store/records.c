/* Records: their rows, and what is counted with them. Knows not what a text says. */
#include "store/store.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/digest.h"
#include "store/txn.h"

enum { ROW_KEY_BYTES = 12, ROW_HEAD_BYTES = 8, PACE_BYTES = 256 * 1024 };

static struct span row_key(char to[ROW_KEY_BYTES], uint32_t collection, uint64_t id)
{
    put_u32_be(to, collection);
    put_u64_be(to + 4, id);
    return span(to, ROW_KEY_BYTES);
}

static int row_read(struct span row, uint64_t id, struct store_record *r)
{
    if (row.bytes < ROW_HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    *r = (struct store_record){
        .id = id,
        .seq = get_u64_be(row.at),
        .text = span(row.at + ROW_HEAD_BYTES, row.bytes - ROW_HEAD_BYTES),
    };
    return 0;
}

int store_record_get(struct store_txn *txn, uint32_t collection, uint64_t id,
                     struct store_record *r)
{
    assert(txn->live);
    char key[ROW_KEY_BYTES];
    struct span row;
    int rc = txn->ops->get(txn->kv, KV_RECORDS, row_key(key, collection, id), &row);
    return rc == 0 ? row_read(row, id, r) : rc;
}

/* The first record from this place on, of whatever collection. */
static int record_seek(struct store_txn *txn, uint32_t *collection, uint64_t id,
                       struct store_record *r)
{
    assert(txn->live);
    char from[ROW_KEY_BYTES];
    struct span key, row;
    int rc = txn->ops->seek(txn->kv, KV_RECORDS, row_key(from, *collection, id), &key, &row);
    if (rc != 0) {
        return rc;
    }
    if (key.bytes != ROW_KEY_BYTES || get_u64_be(key.at + 4) > ID_MAX) {
        return ERR_CORRUPT;
    }
    *collection = get_u32_be(key.at);
    return row_read(row, get_u64_be(key.at + 4), r);
}

int store_record_next(struct store_txn *txn, uint32_t collection, uint64_t after,
                      struct store_record *r)
{
    if (after == UINT64_MAX) {
        return ERR_NOT_FOUND;
    }
    struct store_record found;
    uint32_t in = collection;
    int rc = record_seek(txn, &in, after + 1, &found);
    if (rc == 0 && in != collection) {
        rc = ERR_NOT_FOUND;
    }
    if (rc == 0) {
        *r = found;
    }
    return rc;
}

/* Names the collection whose counters a change of a record changes too. */
static int counters_use(struct store_txn *txn, struct span name, uint32_t collection)
{
    int rc = collections_use(txn, name);
    return rc == 0 && txn->collection.number != collection ? ERR_INTERNAL : rc;
}

int store_record_put(struct store_txn *txn, struct span name, uint32_t collection,
                     const struct store_record *r)
{
    if (r->id == 0 || r->id > ID_MAX) {
        return ERR_BAD_ID;
    }
    int rc = counters_use(txn, name, collection);
    if (rc != 0) {
        return rc;
    }
    struct store_collection *c = &txn->collection;
    struct store_state *state = &txn->state;
    /* no record ever has an id from next_id on, so what is created need not be looked for */
    const bool above = r->id >= c->next_id;
    struct store_record old;
    uint64_t old_digest = 0;
    rc = above ? ERR_NOT_FOUND : store_record_get(txn, collection, r->id, &old);
    const bool created = rc == ERR_NOT_FOUND;
    if (rc == 0) {
        old_digest = digest_record(collection, &old);
    } else if (!created) {
        return rc;
    }

    char key[ROW_KEY_BYTES], head[ROW_HEAD_BYTES];
    put_u64_be(head, r->seq);
    rc = txn->ops->put(txn->kv, KV_RECORDS, row_key(key, collection, r->id),
                       span(head, sizeof head), r->text, above && collection == state->collections);
    if (rc != 0) {
        return rc;
    }
    state->digest += digest_record(collection, r) - old_digest;
    if (created) {
        state->records++;
        c->records++;
    }
    if (above) {
        c->next_id = r->id + 1;
    }
    txn->dirty = txn->dirty || created;
    return 0;
}

int store_record_del(struct store_txn *txn, struct span name, uint32_t collection, uint64_t id)
{
    struct store_record old;
    int rc = counters_use(txn, name, collection);
    if (rc == 0) {
        rc = store_record_get(txn, collection, id, &old);
    }
    if (rc != 0) {
        return rc;
    }
    const uint64_t old_digest = digest_record(collection, &old);
    char key[ROW_KEY_BYTES];
    rc = txn->ops->del(txn->kv, KV_RECORDS, row_key(key, collection, id));
    if (rc == 0) {
        txn->state.digest -= old_digest;
        txn->state.records--;
        txn->collection.records--;
        txn->dirty = true;
    }
    return rc;
}

int store_digest_recompute(struct store_txn *txn, const struct store_pace *pace, uint64_t *digest,
                           uint64_t *records)
{
    *digest = *records = 0;
    uint32_t collection = 0;
    uint64_t unpaced = 0;
    struct store_record r = {0};
    int rc;
    while ((rc = record_seek(txn, &collection, r.id + 1, &r)) == 0) {
        *digest += digest_record(collection, &r);
        ++*records;
        unpaced += r.text.bytes;
        if (unpaced < PACE_BYTES || !pace) {
            continue;
        }
        rc = pace->passed(pace->context, unpaced);
        unpaced = 0;
        if (rc != 0) {
            return rc;
        }
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}
