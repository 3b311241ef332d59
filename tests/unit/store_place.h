/* A store for one test, in memory or in a folder of its own, and what tests of it say often. */
#ifndef STORE_PLACE_H
#define STORE_PLACE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "store/store.h"

enum { READERS_MAX = 4 };

struct place {
    struct store *s; /* NULL: not open */
    char folder[64]; /* empty: in memory */
    char path[96];
    char why[240]; /* of the last opening */
};

static inline int place_open(struct place *p)
{
    const struct store_options o = {
        .path = p->folder[0] ? p->path : NULL,
        .map_bytes = GIB,
        .readers_max = READERS_MAX,
    };
    p->s = NULL;
    p->why[0] = '\0';
    return store_open(&p->s, &o, p->why, sizeof p->why);
}

static inline void place_close(struct place *p)
{
    store_close(p->s);
    p->s = NULL;
}

static inline int memory_setup(void **state)
{
    *state = calloc(1, sizeof(struct place));
    return *state ? place_open(*state) : -1;
}

static inline int lmdb_setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    if (!p) {
        return -1;
    }
    snprintf(p->folder, sizeof p->folder, "/tmp/test_store_XXXXXX");
    if (!mkdtemp(p->folder)) {
        free(p);
        return -1;
    }
    snprintf(p->path, sizeof p->path, "%s/data", p->folder);
    *state = p;
    return place_open(p);
}

static inline int teardown(void **state)
{
    struct place *p = *state;
    place_close(p);
    if (p->folder[0]) {
        char lock[128];
        snprintf(lock, sizeof lock, "%s-lock", p->path);
        unlink(p->path);
        unlink(lock);
        rmdir(p->folder);
    }
    free(p);
    return 0;
}

/* --- What the tests say often --- */

static inline struct store_txn *begin(struct store *s)
{
    struct store_txn *txn;
    assert_int_equal(store_write_begin(s, &txn), 0);
    return txn;
}

static inline void commit(struct store_txn *txn)
{
    assert_int_equal(store_write_commit(txn), 0);
}

static inline struct store_txn *snapshot(struct store *s)
{
    struct store_txn *reader;
    assert_int_equal(store_reader_create(s, &reader), 0);
    assert_int_equal(store_reader_renew(reader), 0);
    return reader;
}

static inline struct store_collection collection(struct store_txn *txn, const char *name)
{
    struct store_collection c;
    assert_int_equal(store_collection_make(txn, span_of(name), &c), 0);
    return c;
}

static inline void put(struct store_txn *txn, const char *name, uint64_t id, uint64_t seq,
                       const char *text)
{
    const struct store_collection c = collection(txn, name);
    const struct store_record r = {id, seq, span_of(text)};
    assert_int_equal(store_record_put(txn, span_of(name), c.number, &r), 0);
}

static inline void del(struct store_txn *txn, const char *name, uint64_t id)
{
    const struct store_collection c = collection(txn, name);
    assert_int_equal(store_record_del(txn, span_of(name), c.number, id), 0);
}

static inline void assert_counted(struct store_txn *txn, uint64_t expected)
{
    uint64_t digest, records;
    assert_int_equal(store_digest_recompute(txn, NULL, &digest, &records), 0);
    assert_int_equal(records, expected);
    assert_int_equal(store_state(txn)->records, expected);
    assert_int_equal(store_state(txn)->digest, digest);
}

static inline void put_text(struct store_txn *w, const char *name, uint64_t id, uint64_t seq,
                            size_t bytes)
{
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, (int)('a' + seq % 26), bytes);
    const struct store_record r = {id, seq, span(text, bytes)};
    assert_int_equal(store_record_put(w, span_of(name), collection(w, name).number, &r), 0);
    free(text);
}

#endif
