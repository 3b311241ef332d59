/* Rows that replication keeps beside the records: where epochs begin, and the in-sync set. What
 * they mean is unknown here. */
#include "store/store.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/txn.h"

enum { EPOCH_PREFIX_BYTES = 6, EPOCH_KEY_BYTES = EPOCH_PREFIX_BYTES + 8, INDEX_BYTES = 8 };

static const char epoch_prefix[] = "epoch ";
static const struct span set_key = {"set", 3};

static struct span epoch_key(char to[EPOCH_KEY_BYTES], uint64_t epoch)
{
    memcpy(to, epoch_prefix, EPOCH_PREFIX_BYTES);
    put_u64_be(to + EPOCH_PREFIX_BYTES, epoch);
    return span(to, EPOCH_KEY_BYTES);
}

int store_epoch_put(struct store_txn *txn, uint64_t epoch, uint64_t index)
{
    char key[EPOCH_KEY_BYTES], row[INDEX_BYTES];
    assert(txn->live);
    put_u64_be(row, index);
    return txn->ops->put(txn->kv, KV_STATE, epoch_key(key, epoch), span(row, sizeof row),
                         span(NULL, 0), false);
}

int store_epoch_next(struct store_txn *txn, uint64_t after, uint64_t *epoch, uint64_t *index)
{
    char from[EPOCH_KEY_BYTES];
    struct span key, row;
    assert(txn->live);
    if (after == UINT64_MAX) {
        return ERR_NOT_FOUND;
    }
    int rc = txn->ops->seek(txn->kv, KV_STATE, epoch_key(from, after + 1), &key, &row);
    if (rc != 0) {
        return rc;
    }
    if (key.bytes != EPOCH_KEY_BYTES || memcmp(key.at, epoch_prefix, EPOCH_PREFIX_BYTES) != 0) {
        return ERR_NOT_FOUND;
    }
    if (row.bytes != INDEX_BYTES) {
        return ERR_CORRUPT;
    }
    *epoch = get_u64_be(key.at + EPOCH_PREFIX_BYTES);
    *index = get_u64_be(row.at);
    return 0;
}

int store_set_put(struct store_txn *txn, struct span set)
{
    assert(txn->live);
    return txn->ops->put(txn->kv, KV_STATE, set_key, set, span(NULL, 0), false);
}

int store_set_get(struct store_txn *txn, struct span *set)
{
    assert(txn->live);
    return txn->ops->get(txn->kv, KV_STATE, set_key, set);
}
