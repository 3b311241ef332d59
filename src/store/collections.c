/* Collections: rows of the table, and the one row that a transaction keeps at hand. Knows no
 * records. */
#include "store/store.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/txn.h"

enum { ROW_BYTES = 20 };

static struct span cached_name(const struct store_txn *txn)
{
    return span(txn->name, txn->name_bytes);
}

int collections_flush(struct store_txn *txn)
{
    if (!txn->dirty) {
        return 0;
    }
    char row[ROW_BYTES];
    put_u32_be(row, txn->collection.number);
    put_u64_be(row + 4, txn->collection.next_id);
    put_u64_be(row + 12, txn->collection.records);
    int rc = txn->ops->put(txn->kv, KV_COLLECTIONS, cached_name(txn), span(row, sizeof row),
                           span(NULL, 0), false);
    if (rc == 0) {
        txn->dirty = false;
    }
    return rc;
}

static void cache(struct store_txn *txn, struct span name, struct store_collection c)
{
    memcpy(txn->name, name.at, name.bytes);
    txn->name_bytes = name.bytes;
    txn->collection = c;
}

int collections_use(struct store_txn *txn, struct span name)
{
    assert(txn->live);
    if (name.bytes == 0 || name.bytes > COLLECTION_NAME_BYTES_MAX) {
        return ERR_NOT_FOUND;
    }
    if (span_eq(name, cached_name(txn))) {
        return 0;
    }
    int rc = collections_flush(txn);
    if (rc != 0) {
        return rc;
    }
    struct span row;
    rc = txn->ops->get(txn->kv, KV_COLLECTIONS, name, &row);
    if (rc != 0) {
        return rc;
    }
    if (row.bytes != ROW_BYTES) {
        return ERR_CORRUPT;
    }
    cache(txn, name,
          (struct store_collection){get_u32_be(row.at), get_u64_be(row.at + 4),
                                    get_u64_be(row.at + 12)});
    return 0;
}

int store_collection_get(struct store_txn *txn, struct span name, struct store_collection *c)
{
    int rc = collections_use(txn, name);
    if (rc == 0) {
        *c = txn->collection;
    }
    return rc;
}

int store_collection_make(struct store_txn *txn, struct span name, struct store_collection *c)
{
    if (name.bytes == 0 || name.bytes > COLLECTION_NAME_BYTES_MAX) {
        return ERR_BAD_REQUEST;
    }
    int rc = collections_use(txn, name);
    if (rc == ERR_NOT_FOUND) {
        cache(txn, name,
              (struct store_collection){.number = ++txn->state.collections, .next_id = 1});
        txn->dirty = true;
        rc = 0;
    }
    if (rc == 0) {
        *c = txn->collection;
    }
    return rc;
}
