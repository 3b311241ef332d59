/* Effects: their bytes, and what they do to local storage. */
#include "record/effect.h"

#include "base/bytes.h"
#include "base/err.h"

enum { FIXED_BYTES = 16, FINGERPRINT_BYTES = 16 };

void effect_encode(struct buf *to, const struct effect *e)
{
    char head[FIXED_BYTES + FINGERPRINT_BYTES];
    head[0] = (char)e->kind;
    head[1] = (char)e->method;
    head[2] = (char)e->collection.bytes;
    head[3] = (char)e->key.bytes;
    put_u32(head + 4, (uint32_t)e->text.bytes);
    put_u64(head + 8, e->id);
    put_u64(head + 16, e->fingerprint[0]);
    put_u64(head + 24, e->fingerprint[1]);
    buf_add(to, head, e->key.bytes != 0 ? sizeof head : FIXED_BYTES);
    buf_add_span(to, e->collection);
    buf_add_span(to, e->key);
    buf_add_span(to, e->text);
}

static struct span take(struct span *from, size_t bytes)
{
    struct span part = span(from->at, bytes);
    *from = span(from->at + bytes, from->bytes - bytes);
    return part;
}

long effect_decode(struct span from, struct effect *e)
{
    size_t all = from.bytes;
    if (all < FIXED_BYTES)
        return ERR_CORRUPT;
    const unsigned char *head = (const unsigned char *)take(&from, FIXED_BYTES).at;
    *e = (struct effect){.kind = head[0], .method = head[1], .id = get_u64(head + 8)};
    size_t collection = head[2], key = head[3], text = get_u32(head + 4);
    size_t fingerprint = key != 0 ? FINGERPRINT_BYTES : 0;
    if ((e->kind != EFFECT_PUT && e->kind != EFFECT_DELETE) || collection == 0 ||
        collection > COLLECTION_NAME_BYTES_MAX || key > KEY_BYTES_MAX || e->id == 0 ||
        e->id > ID_MAX || from.bytes < fingerprint + collection + key + text)
        return ERR_CORRUPT;
    if (fingerprint != 0) {
        const char *at = take(&from, fingerprint).at;
        e->fingerprint[0] = get_u64(at);
        e->fingerprint[1] = get_u64(at + 8);
    }
    e->collection = take(&from, collection);
    e->key = take(&from, key);
    e->text = take(&from, text);
    return (long)(all - from.bytes);
}

static int key_apply(struct store_txn *txn, const struct effect *e, uint64_t seq, uint64_t time_us)
{
    const struct store_key k = {
        .fingerprint = {e->fingerprint[0], e->fingerprint[1]},
        .seq = seq,
        .time_us = time_us,
        .id = e->id,
        .method = e->method,
        .collection = e->collection,
        .text = e->text,
    };
    return store_key_put(txn, e->key, &k);
}

int effect_apply(struct store_txn *txn, const struct effect *e, uint64_t seq, uint64_t time_us)
{
    struct store_collection c;
    int rc = store_collection_make(txn, e->collection, &c);
    if (rc == 0 && e->key.bytes != 0)
        rc = key_apply(txn, e, seq, time_us);
    if (rc != 0)
        return rc;
    if (e->kind == EFFECT_DELETE) {
        rc = store_record_del(txn, e->collection, c.number, e->id);
        return rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc; /* the entry and this storage do not fit */
    }
    const struct store_record r = {.id = e->id, .seq = seq, .text = e->text};
    return store_record_put(txn, e->collection, c.number, &r); /* raises next_id, too */
}
