/* Random operations on both stores and on a naive model: all three must tell the same. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <time.h>

#include "store_place.h"

enum { COLLECTIONS = 3, IDS = 150, KEYS = 40, TRANSACTIONS = 400, STORES = 2 };

static const char *const names[COLLECTIONS] = {"b", "a", "ab"};

/* Copied whole for what an abort brings back and for what a snapshot keeps. A text is made of its
 * seq alone. */
struct model {
    struct model_collection {
        uint32_t number; /* 0: not made */
        uint64_t next_id;
        uint64_t seqs[IDS + 1]; /* of the records; 0: none */
    } collections[COLLECTIONS];
    uint64_t keys[KEYS]; /* seqs of the keys; 0: none */
    uint32_t made;
    uint64_t seq;
};

struct trial {
    struct store *stores[STORES];
    struct store_txn *writers[STORES];
    struct store_txn *old_readers[STORES], *readers[STORES];
    struct model now, committed, old;
    char text[32 * KIB];
    uint64_t random;
};

/* xorshift64* (Vigna 2016) */
static uint64_t draw(struct trial *t, uint64_t below)
{
    t->random ^= t->random >> 12;
    t->random ^= t->random << 25;
    t->random ^= t->random >> 27;
    return (t->random * 0x2545f4914f6cdd1dU >> 33) % below;
}

static struct span text_of(struct trial *t, uint64_t seq)
{
    const size_t mixed = (size_t)(seq * 2654435761U % 1000);
    const size_t bytes = mixed < 900 ? mixed : mixed < 980 ? mixed * 4 : mixed * 32;
    memset(t->text, (int)('a' + seq % 26), bytes);
    return span(t->text, bytes);
}

static struct span key_of(uint64_t i, char *to)
{
    return span(to, (size_t)snprintf(to, 32, "key-%llu", (unsigned long long)(i * 7919 % 1000)));
}

/* --- Changes --- */

static void change_record(struct trial *t, int c)
{
    struct model_collection *m = &t->now.collections[c];
    const struct span name = span_of(names[c]);
    const bool create = draw(t, 2) == 0 && m->next_id <= IDS;
    const uint64_t id = create ? m->next_id : 1 + draw(t, IDS);
    const bool remove = !create && draw(t, 3) == 0;
    const uint64_t seq = ++t->now.seq;
    const struct store_record r = {id, seq, text_of(t, seq)};
    for (int i = 0; i < STORES; i++) {
        if (remove) {
            assert_int_equal(store_record_del(t->writers[i], name, m->number, id),
                             m->seqs[id] ? 0 : ERR_NOT_FOUND);
        } else {
            assert_int_equal(store_record_put(t->writers[i], name, m->number, &r), 0);
        }
    }
    m->seqs[id] = remove ? 0 : seq;
    if (!remove && id >= m->next_id) {
        m->next_id = id + 1;
    }
}

static void put_key(struct trial *t)
{
    char bytes[32];
    const uint64_t which = draw(t, KEYS);
    const uint64_t seq = ++t->now.seq;
    const struct store_key k = {.seq = seq, .time_us = seq * 3, .text = text_of(t, seq)};
    for (int i = 0; i < STORES; i++) {
        assert_int_equal(store_key_put(t->writers[i], key_of(which, bytes), &k), 0);
    }
    t->now.keys[which] = seq;
}

static void forget_keys(struct trial *t)
{
    const uint64_t seq = t->now.seq - draw(t, t->now.seq + 1);
    for (int i = 0; i < STORES; i++) {
        assert_int_equal(store_keys_forget(t->writers[i], seq), 0);
    }
    for (int k = 0; k < KEYS; k++) {
        t->now.keys[k] = t->now.keys[k] <= seq ? 0 : t->now.keys[k];
    }
}

static void change(struct trial *t)
{
    const int c = (int)draw(t, COLLECTIONS);
    struct model_collection *m = &t->now.collections[c];
    struct store_collection found;
    const uint64_t kind = draw(t, 100);
    if (kind < 25) {
        put_key(t);
    } else if (kind < 27) {
        forget_keys(t);
    } else if (m->number == 0) {
        m->number = ++t->now.made;
        m->next_id = 1;
        for (int i = 0; i < STORES; i++) {
            assert_int_equal(store_collection_make(t->writers[i], span_of(names[c]), &found), 0);
        }
    } else {
        change_record(t, c);
    }
}

/* --- Comparing --- */

static uint64_t same_collection(struct trial *t, struct store_txn *txn,
                                const struct model_collection *m, const char *name)
{
    struct store_collection c;
    assert_int_equal(store_collection_get(txn, span_of(name), &c), m->number ? 0 : ERR_NOT_FOUND);
    if (m->number == 0) {
        return 0;
    }
    assert_int_equal(c.number, m->number);
    assert_int_equal(c.next_id, m->next_id);
    uint64_t records = 0, after = 0;
    for (uint64_t id = 1; id <= IDS; id++) {
        struct store_record r, same;
        if (m->seqs[id] == 0) {
            assert_int_equal(store_record_get(txn, m->number, id, &r), ERR_NOT_FOUND);
            continue;
        }
        const struct span text = text_of(t, m->seqs[id]);
        assert_int_equal(store_record_next(txn, m->number, after, &r), 0);
        assert_int_equal(r.id, id);
        assert_int_equal(r.seq, m->seqs[id]);
        assert_true(span_eq(r.text, text));
        assert_int_equal(store_record_get(txn, m->number, id, &same), 0);
        assert_true(span_eq(same.text, text));
        after = id;
        records++;
    }
    struct store_record r;
    assert_int_equal(store_record_next(txn, m->number, after, &r), ERR_NOT_FOUND);
    assert_int_equal(c.records, records);
    return records;
}

static void same_keys(struct trial *t, struct store_txn *txn, const struct model *m)
{
    uint64_t keys = 0, oldest = UINT64_MAX, seq, time_us;
    for (uint64_t i = 0; i < KEYS; i++) {
        char bytes[32];
        struct store_key k;
        assert_int_equal(store_key_get(txn, key_of(i, bytes), &k), m->keys[i] ? 0 : ERR_NOT_FOUND);
        if (m->keys[i] != 0) {
            assert_int_equal(k.seq, m->keys[i]);
            assert_true(span_eq(k.text, text_of(t, k.seq)));
            oldest = k.seq < oldest ? k.seq : oldest;
            keys++;
        }
    }
    assert_int_equal(store_state(txn)->keys, keys);
    assert_int_equal(store_key_oldest(txn, 0, &seq, &time_us), keys ? 0 : ERR_NOT_FOUND);
    if (keys > 0) {
        assert_int_equal(seq, oldest);
        assert_int_equal(time_us, oldest * 3);
    }
}

static void same(struct trial *t, struct store_txn *const *txns, const struct model *m)
{
    for (int i = 0; i < STORES; i++) {
        uint64_t records = 0;
        for (int c = 0; c < COLLECTIONS; c++) {
            records += same_collection(t, txns[i], &m->collections[c], names[c]);
        }
        same_keys(t, txns[i], m);
        assert_counted(txns[i], records);
    }
    assert_memory_equal(store_state(txns[0]), store_state(txns[1]), sizeof(struct store_state));
}

/* --- The trial --- */

static void transaction(struct trial *t)
{
    for (int i = 0; i < STORES; i++) {
        t->writers[i] = begin(t->stores[i]);
    }
    for (uint64_t left = draw(t, 30); left > 0; left--) {
        change(t);
    }
    if (draw(t, 10) == 0) {
        same(t, t->writers, &t->now);
    }
    const bool abort = draw(t, 8) == 0;
    for (int i = 0; i < STORES; i++) {
        if (abort) {
            store_write_abort(t->writers[i]);
        } else {
            store_state(t->writers[i])->seq = t->now.seq;
            commit(t->writers[i]);
        }
    }
    if (abort) {
        t->now = t->committed;
    }
    t->committed = t->now;
}

static void both_stores_and_a_naive_model_tell_the_same(void **state)
{
    struct trial *t = *state;
    for (int n = 0; n < TRANSACTIONS; n++) {
        transaction(t);
        if (n % 5 == 0) {
            for (int i = 0; i < STORES; i++) {
                assert_int_equal(store_reader_renew(t->readers[i]), 0);
            }
            same(t, t->readers, &t->committed);
        }
        if (n % 20 == 0) { /* after it has grown old */
            if (n > 0) {
                same(t, t->old_readers, &t->old);
            }
            for (int i = 0; i < STORES; i++) {
                assert_int_equal(store_reader_renew(t->old_readers[i]), 0);
            }
            t->old = t->committed;
        }
    }
}

struct both {
    struct trial trial; /* first: what the test sees */
    void *places[STORES];
};

static int both_setup(void **state)
{
    struct both *b = calloc(1, sizeof *b);
    if (!b || memory_setup(&b->places[0]) != 0 || lmdb_setup(&b->places[1]) != 0) {
        return -1;
    }
    for (int i = 0; i < STORES; i++) {
        struct place *p = b->places[i];
        b->trial.stores[i] = p->s;
        if (store_reader_create(p->s, &b->trial.readers[i]) != 0 ||
            store_reader_create(p->s, &b->trial.old_readers[i]) != 0) {
            return -1;
        }
    }
    const char *seed = getenv("NOTED_TEST_SEED");
    b->trial.random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761U;
    print_message("NOTED_TEST_SEED=%llu\n", (unsigned long long)b->trial.random);
    b->trial.random |= 1; /* never 0 */
    *state = b;
    return 0;
}

static int both_teardown(void **state)
{
    struct both *b = *state;
    for (int i = 0; i < STORES; i++) {
        store_reader_destroy(b->trial.readers[i]);
        store_reader_destroy(b->trial.old_readers[i]);
        teardown(&b->places[i]);
    }
    free(b);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_stores_and_a_naive_model_tell_the_same, both_setup,
                                        both_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
