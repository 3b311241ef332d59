/* The row that replication keeps beside the records: the in-sync set. What it means is unknown
 * here.
 */
#include "store/store.h"

#include <assert.h>

#include "store/txn.h"

static const struct span set_key = {"set", 3};

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
