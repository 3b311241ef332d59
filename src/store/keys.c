/* Keys: what was answered to a write that carried one, by key and by age. Knows no records. */
#include "store/store.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/txn.h"

/* Row of a key: fingerprint, seq, time, id, method, length of the collection's name; name; text.
 * Row of an age: key is the seq, then the key; value is the time. */
enum {
    ROW_FIXED_BYTES = 42,
    SEQ_BYTES = 8,
    TIME_BYTES = 8,
    AGE_KEY_BYTES_MAX = SEQ_BYTES + KEY_BYTES_MAX,
};

static struct span age_key(char to[AGE_KEY_BYTES_MAX], uint64_t seq, struct span key)
{
    put_u64_be(to, seq);
    memcpy(to + SEQ_BYTES, key.at, key.bytes);
    return span(to, SEQ_BYTES + key.bytes);
}

static int row_read(struct span row, struct store_key *k)
{
    if (row.bytes < ROW_FIXED_BYTES) {
        return ERR_CORRUPT;
    }
    const size_t name_bytes = (uint8_t)row.at[41];
    if (row.bytes < ROW_FIXED_BYTES + name_bytes) {
        return ERR_CORRUPT;
    }
    const char *name = row.at + ROW_FIXED_BYTES;
    *k = (struct store_key){
        .fingerprint = {get_u64_be(row.at), get_u64_be(row.at + 8)},
        .seq = get_u64_be(row.at + 16),
        .time_us = get_u64_be(row.at + 24),
        .id = get_u64_be(row.at + 32),
        .method = (uint8_t)row.at[40],
        .collection = span(name, name_bytes),
        .text = span(name + name_bytes, row.bytes - ROW_FIXED_BYTES - name_bytes),
    };
    return 0;
}

static bool key_fits(struct span key)
{
    return key.bytes >= 1 && key.bytes <= KEY_BYTES_MAX;
}

int store_key_get(struct store_txn *txn, struct span key, struct store_key *k)
{
    assert(txn->live);
    if (!key_fits(key)) {
        return ERR_NOT_FOUND;
    }
    struct span row;
    int rc = txn->ops->get(txn->kv, KV_KEYS, key, &row);
    return rc == 0 ? row_read(row, k) : rc;
}

static uint64_t bytes_of(struct span key, const struct store_key *k)
{
    return key.bytes + ROW_FIXED_BYTES + k->collection.bytes + k->text.bytes;
}

/* Forgets a key that is there. */
static int forget(struct store_txn *txn, struct span key, const struct store_key *k)
{
    const uint64_t bytes = bytes_of(key, k);
    char age[AGE_KEY_BYTES_MAX];
    int rc = txn->ops->del(txn->kv, KV_KEY_AGES, age_key(age, k->seq, key));
    if (rc == 0) {
        rc = txn->ops->del(txn->kv, KV_KEYS, key);
    }
    if (rc == 0) {
        txn->state.keys--;
        txn->state.keys_bytes -= bytes;
    }
    return rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
}

int store_key_put(struct store_txn *txn, struct span key, const struct store_key *k)
{
    if (!key_fits(key)) {
        return ERR_BAD_KEY;
    }
    if (k->collection.bytes > COLLECTION_NAME_BYTES_MAX) {
        return ERR_BAD_REQUEST;
    }
    struct store_key old;
    int rc = store_key_get(txn, key, &old);
    if (rc == 0) {
        rc = forget(txn, key, &old);
    }
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        return rc;
    }

    char head[ROW_FIXED_BYTES + COLLECTION_NAME_BYTES_MAX];
    put_u64_be(head, k->fingerprint[0]);
    put_u64_be(head + 8, k->fingerprint[1]);
    put_u64_be(head + 16, k->seq);
    put_u64_be(head + 24, k->time_us);
    put_u64_be(head + 32, k->id);
    head[40] = (char)k->method;
    head[41] = (char)k->collection.bytes;
    if (k->collection.bytes > 0) {
        memcpy(head + ROW_FIXED_BYTES, k->collection.at, k->collection.bytes);
    }
    rc = txn->ops->put(txn->kv, KV_KEYS, key, span(head, ROW_FIXED_BYTES + k->collection.bytes),
                       k->text, false);
    if (rc != 0) {
        return rc;
    }
    char age[AGE_KEY_BYTES_MAX], time[TIME_BYTES];
    put_u64_be(time, k->time_us);
    rc = txn->ops->put(txn->kv, KV_KEY_AGES, age_key(age, k->seq, key), span(time, sizeof time),
                       span(NULL, 0), true);
    if (rc == 0) {
        txn->state.keys++;
        txn->state.keys_bytes += bytes_of(key, k);
    }
    return rc;
}

/* The row of the oldest key from this seq on. */
static int age_seek(struct store_txn *txn, uint64_t seq, struct span *age, struct span *time)
{
    assert(txn->live);
    char from[SEQ_BYTES];
    put_u64_be(from, seq);
    int rc = txn->ops->seek(txn->kv, KV_KEY_AGES, span(from, sizeof from), age, time);
    if (rc == 0 &&
        (age->bytes <= SEQ_BYTES || age->bytes > AGE_KEY_BYTES_MAX || time->bytes != TIME_BYTES)) {
        return ERR_CORRUPT;
    }
    return rc;
}

int store_key_oldest(struct store_txn *txn, uint64_t after, uint64_t *seq, uint64_t *time_us)
{
    struct span age, time;
    int rc = after < UINT64_MAX ? age_seek(txn, after + 1, &age, &time) : ERR_NOT_FOUND;
    if (rc == 0) {
        *seq = get_u64_be(age.at);
        *time_us = get_u64_be(time.at);
    }
    return rc;
}

int store_keys_forget(struct store_txn *txn, uint64_t seq)
{
    for (;;) {
        struct span age, time;
        int rc = age_seek(txn, 0, &age, &time);
        if (rc == ERR_NOT_FOUND || (rc == 0 && get_u64_be(age.at) > seq)) {
            return 0;
        }
        if (rc != 0) {
            return rc;
        }
        char key_bytes[KEY_BYTES_MAX]; /* the span dies with the first deletion */
        const struct span key = span(key_bytes, age.bytes - SEQ_BYTES);
        memcpy(key_bytes, age.at + SEQ_BYTES, key.bytes);
        struct store_key k;
        rc = store_key_get(txn, key, &k);
        if (rc == 0) {
            rc = forget(txn, key, &k);
        }
        if (rc != 0) {
            return rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
        }
    }
}
