/* Opening a store, its transactions and its state row. Knows tables only through kv.h. */
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/txn.h"

enum { FORMAT_VERSION = 1, STATE_BYTES = 80 };

static const struct span state_key = {"state", 5};

/* --- The state row --- */

static int state_read(struct store_txn *txn)
{
    struct span row;
    int rc = txn->ops->get(txn->kv, KV_STATE, state_key, &row);
    if (rc != 0) {
        return rc;
    }
    if (row.bytes >= 4 && get_u32_be(row.at) > FORMAT_VERSION) {
        return ERR_NEWER;
    }
    if (row.bytes != STATE_BYTES || get_u32_be(row.at) != FORMAT_VERSION) {
        return ERR_CORRUPT;
    }
    txn->state = (struct store_state){
        .collections = get_u32_be(row.at + 4),
        .applied = get_u64_be(row.at + 8),
        .chain = get_u64_be(row.at + 16),
        .epoch = get_u64_be(row.at + 24),
        .seq = get_u64_be(row.at + 32),
        .time_us = get_u64_be(row.at + 40),
        .digest = get_u64_be(row.at + 48),
        .records = get_u64_be(row.at + 56),
        .keys = get_u64_be(row.at + 64),
        .keys_bytes = get_u64_be(row.at + 72),
    };
    return 0;
}

static int state_write(struct store_txn *txn)
{
    const struct store_state *state = &txn->state;
    char row[STATE_BYTES];
    put_u32_be(row, FORMAT_VERSION);
    put_u32_be(row + 4, state->collections);
    put_u64_be(row + 8, state->applied);
    put_u64_be(row + 16, state->chain);
    put_u64_be(row + 24, state->epoch);
    put_u64_be(row + 32, state->seq);
    put_u64_be(row + 40, state->time_us);
    put_u64_be(row + 48, state->digest);
    put_u64_be(row + 56, state->records);
    put_u64_be(row + 64, state->keys);
    put_u64_be(row + 72, state->keys_bytes);
    return txn->ops->put(txn->kv, KV_STATE, state_key, span(row, sizeof row), span(NULL, 0), false);
}

struct store_state *store_state(struct store_txn *txn)
{
    assert(txn->live);
    return &txn->state;
}

/* --- Opening --- */

/* A store without a state row is new; one that has content all the same is not ours. */
static int state_make(struct store_txn *txn)
{
    static const struct span lowest = {"\0", 1};
    struct span key, value;
    for (int table = KV_COLLECTIONS; table < KV_TABLES; table++) {
        int rc = txn->ops->seek(txn->kv, (enum kv_table)table, lowest, &key, &value);
        if (rc != ERR_NOT_FOUND) {
            return rc == 0 ? ERR_CORRUPT : rc;
        }
    }
    txn->state = (struct store_state){0};
    return state_write(txn);
}

static int state_open(struct store *s)
{
    struct store_txn *reader;
    int rc = store_reader_create(s, &reader);
    if (rc != 0) {
        return rc;
    }
    rc = store_reader_renew(reader);
    store_reader_destroy(reader);
    if (rc != ERR_NOT_FOUND) {
        return rc;
    }
    if (s->read_only) {
        return ERR_CORRUPT;
    }
    struct store_txn *txn = &s->writer;
    rc = s->ops->write_begin(s->kv, &txn->kv);
    if (rc != 0) {
        return rc;
    }
    rc = state_make(txn);
    if (rc != 0) {
        s->ops->write_abort(txn->kv);
        return rc;
    }
    return s->ops->write_commit(txn->kv);
}

int store_open(struct store **to, const struct store_options *o, char *why, size_t why_bytes)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_NO_MEMORY;
    }
    s->ops = o->path ? &kv_lmdb : &kv_mem;
    s->readers_max = o->readers_max;
    s->read_only = o->read_only;
    s->writer.store = s;
    s->writer.ops = s->ops;
    int rc = s->ops->open(&s->kv, o, why, why_bytes);
    if (rc != 0) {
        free(s);
        return rc;
    }
    rc = state_open(s);
    if (rc != 0) {
        snprintf(why, why_bytes, "%s: %s", o->path ? o->path : "store in memory",
                 err_info(rc)->sentence);
        store_close(s);
        return rc;
    }
    *to = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s) {
        return;
    }
    assert(!s->writer.live && atomic_load(&s->readers) == 0);
    s->ops->close(s->kv);
    free(s);
}

int store_sync(struct store *s)
{
    return s->ops->sync(s->kv);
}

uint64_t store_bytes(const struct store *s)
{
    return s->ops->bytes(s->kv);
}

/* --- Reading --- */

int store_reader_create(struct store *s, struct store_txn **to)
{
    if (atomic_fetch_add(&s->readers, 1) >= s->readers_max) {
        atomic_fetch_sub(&s->readers, 1);
        return ERR_BUSY;
    }
    struct store_txn *reader = calloc(1, sizeof *reader);
    int rc = reader ? s->ops->reader_create(s->kv, &reader->kv) : ERR_NO_MEMORY;
    if (rc != 0) {
        free(reader);
        atomic_fetch_sub(&s->readers, 1);
        return rc;
    }
    reader->store = s;
    reader->ops = s->ops;
    *to = reader;
    return 0;
}

void store_reader_destroy(struct store_txn *reader)
{
    if (!reader) {
        return;
    }
    store_reader_reset(reader);
    reader->ops->reader_destroy(reader->kv);
    atomic_fetch_sub(&reader->store->readers, 1);
    free(reader);
}

int store_reader_renew(struct store_txn *reader)
{
    store_reader_reset(reader);
    int rc = reader->ops->reader_renew(reader->kv);
    if (rc != 0) {
        return rc;
    }
    reader->live = true;
    reader->name_bytes = 0;
    rc = state_read(reader);
    if (rc != 0) {
        store_reader_reset(reader);
    }
    return rc;
}

void store_reader_reset(struct store_txn *reader)
{
    if (reader->live) {
        reader->ops->reader_reset(reader->kv);
        reader->live = false;
    }
}

/* --- Writing --- */

int store_write_begin(struct store *s, struct store_txn **to)
{
    struct store_txn *txn = &s->writer;
    assert(!txn->live && !s->read_only);
    int rc = s->ops->write_begin(s->kv, &txn->kv);
    if (rc != 0) {
        return rc;
    }
    txn->live = true;
    txn->dirty = false;
    txn->name_bytes = 0;
    rc = state_read(txn);
    if (rc != 0) {
        store_write_abort(txn);
        return rc;
    }
    *to = txn;
    return 0;
}

int store_write_commit(struct store_txn *txn)
{
    assert(txn->live);
    int rc = collections_flush(txn);
    if (rc == 0) {
        rc = state_write(txn);
    }
    if (rc != 0) {
        store_write_abort(txn);
        return rc;
    }
    txn->live = false;
    return txn->ops->write_commit(txn->kv);
}

void store_write_abort(struct store_txn *txn)
{
    if (txn) {
        assert(txn->live);
        txn->ops->write_abort(txn->kv);
        txn->live = false;
    }
}
