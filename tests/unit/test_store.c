/* Rules of local storage that hold for both implementations: one body of tests, run over each. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/store.h"
#include "store_place.h"

static void assert_record(struct store_txn *txn, uint32_t number, uint64_t id, uint64_t seq,
                          const char *text)
{
    struct store_record r;
    assert_int_equal(store_record_get(txn, number, id, &r), 0);
    assert_int_equal(r.id, id);
    assert_int_equal(r.seq, seq);
    assert_int_equal(r.text.bytes, strlen(text));
    assert_memory_equal(r.text.at, text, r.text.bytes);
}

static void assert_no_record(struct store_txn *txn, uint32_t number, uint64_t id)
{
    struct store_record r;
    assert_int_equal(store_record_get(txn, number, id, &r), ERR_NOT_FOUND);
}

/* The ids of a collection, in the order in which they come, as "1 2 3". */
static const char *ids(struct store_txn *txn, uint32_t number, char *to, size_t to_bytes)
{
    struct store_record r = {0};
    size_t used = 0;
    to[0] = '\0';
    int rc;
    while ((rc = store_record_next(txn, number, r.id, &r)) == 0) {
        used += (size_t)snprintf(to + used, to_bytes - used, used == 0 ? "%llu" : " %llu",
                                 (unsigned long long)r.id);
        assert_true(used < to_bytes);
    }
    assert_int_equal(rc, ERR_NOT_FOUND);
    return to;
}

static void assert_ids(struct store_txn *txn, uint32_t number, const char *expected)
{
    char found[256];
    assert_string_equal(ids(txn, number, found, sizeof found), expected);
}

/* --- Transactions --- */

static void an_empty_store_has_nothing(void **state)
{
    struct store_txn *r = snapshot(((struct place *)*state)->s);
    struct store_collection c;
    struct store_key k;
    uint64_t seq, time_us;
    assert_int_equal(store_collection_get(r, span_of("notes"), &c), ERR_NOT_FOUND);
    assert_int_equal(store_key_get(r, span_of("a key of it"), &k), ERR_NOT_FOUND);
    assert_int_equal(store_key_oldest(r, 0, &seq, &time_us), ERR_NOT_FOUND);
    assert_no_record(r, 1, 1);
    assert_ids(r, 1, "");
    assert_counted(r, 0);
    assert_int_equal(store_state(r)->collections, 0);
    assert_int_equal(store_state(r)->digest, 0);
    store_reader_destroy(r);
}

static void a_snapshot_does_not_change_while_the_writer_commits(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    for (uint64_t id = 1; id <= 9; id++) {
        put(w, "notes", id, id, "old");
    }
    commit(w);

    struct store_txn *before = snapshot(s);
    const struct store_state was = *store_state(before);
    w = begin(s);
    put(w, "notes", 5, 10, "new");
    put(w, "notes", 10, 11, "new");
    del(w, "notes", 1);
    put(w, "tags", 1, 12, "new");
    assert_record(before, 1, 5, 5, "old");
    commit(w);

    assert_record(before, 1, 5, 5, "old");
    assert_ids(before, 1, "1 2 3 4 5 6 7 8 9");
    assert_memory_equal(store_state(before), &was, sizeof was);
    assert_counted(before, 9);
    struct store_collection c;
    assert_int_equal(store_collection_get(before, span_of("tags"), &c), ERR_NOT_FOUND);
    assert_int_equal(store_collection_get(before, span_of("notes"), &c), 0);
    assert_int_equal(c.next_id, 10);

    struct store_txn *after = snapshot(s);
    assert_record(after, 1, 5, 10, "new");
    assert_ids(after, 1, "2 3 4 5 6 7 8 9 10");
    assert_counted(after, 10);
    store_reader_destroy(after);

    assert_int_equal(store_reader_renew(before), 0);
    assert_int_equal(store_collection_get(before, span_of("notes"), &c), 0);
    assert_int_equal(c.next_id, 11);
    assert_record(before, 1, 5, 10, "new");
    assert_int_equal(store_collection_get(before, span_of("tags"), &c), 0);
    store_reader_destroy(before);
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    put(w, "notes", 1, 1, "kept");
    store_state(w)->seq = 1;
    commit(w);

    w = begin(s);
    put(w, "notes", 1, 2, "lost");
    put(w, "notes", 2, 3, "lost");
    put(w, "tags", 1, 4, "lost");
    const struct store_key k = {.seq = 4, .text = span_of("lost")};
    assert_int_equal(store_key_put(w, span_of("key of a write"), &k), 0);
    store_state(w)->seq = 4;
    store_write_abort(w);
    store_write_abort(NULL);

    struct store_txn *r = snapshot(s);
    struct store_collection c;
    struct store_key found;
    assert_record(r, 1, 1, 1, "kept");
    assert_ids(r, 1, "1");
    assert_counted(r, 1);
    assert_int_equal(store_state(r)->seq, 1);
    assert_int_equal(store_state(r)->keys, 0);
    assert_int_equal(store_key_get(r, span_of("key of a write"), &found), ERR_NOT_FOUND);
    assert_int_equal(store_collection_get(r, span_of("tags"), &c), ERR_NOT_FOUND);
    assert_int_equal(store_collection_get(r, span_of("notes"), &c), 0);
    assert_int_equal(c.next_id, 2);
    store_reader_destroy(r);

    w = begin(s); /* and the number that the lost collection had is given to the next */
    assert_int_equal(collection(w, "lists").number, 2);
    commit(w);
}

static void the_writer_reads_what_it_wrote(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    put(w, "notes", 1, 1, "a");
    put(w, "notes", 3, 2, "c");
    assert_ids(w, 1, "1 3");
    struct store_record r;
    assert_int_equal(store_record_next(w, 1, 0, &r), 0);
    put(w, "notes", 2, 3, "b"); /* between where the last step stood and the next */
    assert_int_equal(store_record_next(w, 1, 1, &r), 0);
    assert_int_equal(r.id, 2);
    del(w, "notes", 3); /* the one that would be next */
    assert_int_equal(store_record_next(w, 1, 2, &r), ERR_NOT_FOUND);
    del(w, "notes", 2);
    assert_ids(w, 1, "1");
    assert_record(w, 1, 1, 1, "a");
    assert_no_record(w, 1, 2);
    assert_counted(w, 1);
    commit(w);
}

static void what_the_caller_sets_in_the_state_is_kept(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    struct store_state *set = store_state(w);
    set->applied = 1;
    set->chain = UINT64_MAX;
    set->epoch = 3;
    set->seq = 4;
    set->time_us = 5;
    const struct store_state expected = *set;
    commit(w);
    struct store_txn *r = snapshot(s);
    assert_memory_equal(store_state(r), &expected, sizeof expected);
    store_reader_destroy(r);
}

static void readers_past_the_limit_are_refused(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *readers[READERS_MAX], *more;
    for (int i = 0; i < READERS_MAX; i++) {
        readers[i] = snapshot(s);
    }
    assert_int_equal(store_reader_create(s, &more), ERR_BUSY);
    store_reader_reset(readers[0]); /* gives up the snapshot, not the place */
    assert_int_equal(store_reader_create(s, &more), ERR_BUSY);
    store_reader_reset(readers[0]);
    store_reader_destroy(readers[0]);
    readers[0] = snapshot(s);
    for (int i = 0; i < READERS_MAX; i++) {
        store_reader_destroy(readers[i]);
    }
    store_reader_destroy(NULL);
}

/* --- Collections --- */

static void collections_are_numbered_in_the_order_of_their_making(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    assert_int_equal(collection(w, "zoo").number, 1);
    assert_int_equal(collection(w, "ant").number, 2);
    assert_int_equal(collection(w, "zoo").number, 1);
    commit(w);
    w = begin(s);
    assert_int_equal(collection(w, "ant").number, 2);
    assert_int_equal(collection(w, "an").number, 3);
    commit(w);
    struct store_txn *r = snapshot(s);
    assert_int_equal(store_state(r)->collections, 3);
    struct store_collection c;
    assert_int_equal(store_collection_get(r, span_of("an"), &c), 0);
    assert_int_equal(c.number, 3);
    assert_int_equal(c.next_id, 1);
    assert_int_equal(c.records, 0);
    store_reader_destroy(r);
}

static void names_of_no_length_or_too_long_are_refused(void **state)
{
    struct store_txn *w = begin(((struct place *)*state)->s);
    char name[COLLECTION_NAME_BYTES_MAX + 1];
    memset(name, 'n', sizeof name);
    struct store_collection c;
    assert_int_equal(store_collection_make(w, span(name, sizeof name), &c), ERR_BAD_REQUEST);
    assert_int_equal(store_collection_make(w, span(name, 0), &c), ERR_BAD_REQUEST);
    assert_int_equal(store_collection_get(w, span(name, sizeof name), &c), ERR_NOT_FOUND);
    assert_int_equal(store_collection_get(w, span(name, 0), &c), ERR_NOT_FOUND);
    assert_int_equal(store_collection_make(w, span(name, COLLECTION_NAME_BYTES_MAX), &c), 0);
    assert_int_equal(c.number, 1);
    commit(w);
}

static void counters_of_collections_survive_changing_between_them(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    for (uint64_t i = 0; i < 30; i++) {
        const char *name = names[i % 3];
        put(w, name, collection(w, name).next_id, i + 1, "text");
    }
    commit(w);
    struct store_txn *r = snapshot(s);
    for (uint32_t i = 0; i < 3; i++) {
        struct store_collection c;
        assert_int_equal(store_collection_get(r, span_of(names[i]), &c), 0);
        assert_int_equal(c.number, i + 1);
        assert_int_equal(c.records, 10);
        assert_int_equal(c.next_id, 11);
        assert_ids(r, c.number, "1 2 3 4 5 6 7 8 9 10");
    }
    store_reader_destroy(r);
}

static void the_next_id_never_falls(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    put(w, "notes", 7, 1, "seven");
    assert_int_equal(collection(w, "notes").next_id, 8);
    put(w, "notes", 3, 2, "three");
    assert_int_equal(collection(w, "notes").next_id, 8);
    del(w, "notes", 7);
    assert_int_equal(collection(w, "notes").next_id, 8);
    commit(w);
    w = begin(s);
    put(w, "notes", 19, 3, "far above");
    del(w, "notes", 19);
    commit(w);
    w = begin(s);
    assert_int_equal(collection(w, "notes").next_id, 20);
    put(w, "notes", 19, 3, "below next_id, and new all the same");
    assert_int_equal(collection(w, "notes").records, 2);
    assert_counted(w, 2);
    commit(w);
}

/* --- Records --- */

static void records_come_in_the_order_of_ids_over_gaps(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    static const uint64_t order[] = {300, 1, 256, 255, 70000, 2, ID_MAX, 40};
    struct store_txn *w = begin(s);
    put(w, "before", 5, 1, "before");
    for (uint64_t i = 0; i < 8; i++) {
        put(w, "notes", order[i], i + 2, "text");
    }
    put(w, "after", 1, 10, "after");
    commit(w);
    struct store_txn *r = snapshot(s);
    assert_ids(r, 1, "5");
    assert_ids(r, 2, "1 2 40 255 256 300 70000 9223372036854775807");
    assert_ids(r, 3, "1");
    struct store_record found;
    assert_int_equal(store_record_next(r, 2, 41, &found), 0);
    assert_int_equal(found.id, 255);
    assert_int_equal(store_record_next(r, 2, 0, &found), 0); /* and back */
    assert_int_equal(found.id, 1);
    assert_int_equal(store_record_next(r, 2, 0, &found), 0);
    assert_int_equal(found.id, 1);
    assert_int_equal(store_record_next(r, 2, ID_MAX, &found), ERR_NOT_FOUND);
    assert_int_equal(store_record_next(r, 2, UINT64_MAX, &found), ERR_NOT_FOUND);
    assert_int_equal(store_record_next(r, 4, 0, &found), ERR_NOT_FOUND);
    store_reader_destroy(r);
}

static void counters_and_digest_follow_every_change(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    put(w, "notes", 1, 1, "one");
    assert_counted(w, 1);
    const uint64_t one = store_state(w)->digest;
    put(w, "notes", 2, 2, "two");
    assert_counted(w, 2);
    put(w, "notes", 1, 3, "other");
    assert_counted(w, 2);
    put(w, "notes", 1, 1, "one");
    del(w, "notes", 2);
    assert_counted(w, 1);
    assert_int_equal(store_state(w)->digest, one);
    assert_int_equal(collection(w, "notes").records, 1);
    del(w, "notes", 1);
    assert_counted(w, 0);
    assert_int_equal(store_state(w)->digest, 0);
    assert_int_equal(collection(w, "notes").records, 0);
    commit(w);
}

static uint64_t digest_of_one(struct store *s, const char *name, uint64_t id, uint64_t seq,
                              const char *text)
{
    struct store_txn *w = begin(s);
    collection(w, "a");
    put(w, name, id, seq, text);
    const uint64_t digest = store_state(w)->digest;
    store_write_abort(w);
    return digest;
}

static void the_digest_depends_on_collection_id_seq_and_text(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    const uint64_t all[] = {
        digest_of_one(s, "a", 1, 1, "x"),  digest_of_one(s, "b", 1, 1, "x"),
        digest_of_one(s, "a", 2, 1, "x"),  digest_of_one(s, "a", 1, 2, "x"),
        digest_of_one(s, "a", 1, 1, "xx"), digest_of_one(s, "a", 1, 1, ""),
    };
    for (int i = 0; i < 6; i++) {
        assert_int_not_equal(all[i], 0);
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(all[i], all[j]);
        }
    }
    /* Servers of different builds compare digests: this number never changes. */
    assert_int_equal(all[0], UINT64_C(0xb058588ef381d8ed));
}

static void changes_of_what_is_not_there_are_refused_and_count_nothing(void **state)
{
    struct store_txn *w = begin(((struct place *)*state)->s);
    const struct span notes = span_of("notes");
    struct store_record r = {1, 1, span_of("text")};
    assert_int_equal(store_record_put(w, notes, 1, &r), ERR_NOT_FOUND);
    assert_int_equal(store_record_del(w, notes, 1, 1), ERR_NOT_FOUND);
    collection(w, "notes");
    assert_int_equal(store_record_put(w, notes, 2, &r), ERR_INTERNAL);
    assert_int_equal(store_record_del(w, notes, 1, 1), ERR_NOT_FOUND);
    r.id = 0;
    assert_int_equal(store_record_put(w, notes, 1, &r), ERR_BAD_ID);
    r.id = ID_MAX + 1;
    assert_int_equal(store_record_put(w, notes, 1, &r), ERR_BAD_ID);
    assert_counted(w, 0);
    put(w, "notes", 1, 1, "and the transaction goes on");
    commit(w);
}

static void a_text_of_any_size_comes_back(void **state)
{
    static const size_t sizes[] = {0, 1, 2000, 2048, 4096, 65536, MIB, MIB - 7};
    struct store *s = ((struct place *)*state)->s;
    char *text = malloc(MIB);
    assert_non_null(text);
    for (size_t i = 0; i < MIB; i++) {
        text[i] = (char)('a' + i % 23);
    }
    struct store_txn *w = begin(s);
    collection(w, "notes");
    for (uint64_t i = 0; i < 8; i++) {
        const struct store_record r = {i + 1, i + 1, span(text, sizes[i])};
        assert_int_equal(store_record_put(w, span_of("notes"), 1, &r), 0);
    }
    commit(w);
    struct store_txn *reader = snapshot(s);
    for (uint64_t i = 0; i < 8; i++) {
        struct store_record r;
        assert_int_equal(store_record_get(reader, 1, i + 1, &r), 0);
        assert_int_equal(r.text.bytes, sizes[i]);
        assert_memory_equal(r.text.at, text, sizes[i]);
    }
    assert_counted(reader, 8);
    store_reader_destroy(reader);
    free(text);
}

/* --- Keys --- */

static void put_key(struct store_txn *txn, const char *key, uint64_t seq)
{
    const struct store_key k = {
        .fingerprint = {seq, ~seq},
        .seq = seq,
        .time_us = seq * 1000,
        .id = seq + 5,
        .method = 200,
        .collection = span_of("notes"),
        .text = span_of("{\"id\":1}"),
    };
    assert_int_equal(store_key_put(txn, span_of(key), &k), 0);
}

static void assert_oldest(struct store_txn *txn, uint64_t after, uint64_t expected)
{
    uint64_t seq, time_us;
    assert_int_equal(store_key_oldest(txn, after, &seq, &time_us), 0);
    assert_int_equal(seq, expected);
    assert_int_equal(time_us, expected * 1000);
}

static void a_key_comes_back_as_it_was_put(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    char longest[KEY_BYTES_MAX + 1];
    memset(longest, 'k', sizeof longest);
    const struct store_key empty = {.seq = 2};
    struct store_txn *w = begin(s);
    put_key(w, "first key", 1);
    assert_int_equal(store_key_put(w, span(longest, KEY_BYTES_MAX), &empty), 0);
    assert_int_equal(store_key_put(w, span(longest, KEY_BYTES_MAX + 1), &empty), ERR_BAD_KEY);
    assert_int_equal(store_key_put(w, span(longest, 0), &empty), ERR_BAD_KEY);
    commit(w);
    struct store_txn *r = snapshot(s);
    struct store_key k;
    assert_int_equal(store_key_get(r, span_of("first key"), &k), 0);
    assert_int_equal(k.fingerprint[0], 1);
    assert_int_equal(k.fingerprint[1], ~UINT64_C(1));
    assert_int_equal(k.seq, 1);
    assert_int_equal(k.time_us, 1000);
    assert_int_equal(k.id, 6);
    assert_int_equal(k.method, 200);
    assert_true(span_is(k.collection, "notes"));
    assert_true(span_is(k.text, "{\"id\":1}"));
    assert_int_equal(store_key_get(r, span(longest, KEY_BYTES_MAX), &k), 0);
    assert_int_equal(k.seq, 2);
    assert_int_equal(k.collection.bytes, 0);
    assert_int_equal(k.text.bytes, 0);
    assert_int_equal(store_key_get(r, span(longest, KEY_BYTES_MAX + 1), &k), ERR_NOT_FOUND);
    assert_int_equal(store_state(r)->keys, 2);
    store_reader_destroy(r);
}

static void keys_are_forgotten_in_the_order_of_their_seqs(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    put_key(w, "key nnnn", 300);
    put_key(w, "key aaaa", 256);
    put_key(w, "key zzzz", 2);
    put_key(w, "key mmmm", 255);
    commit(w);
    w = begin(s);
    assert_oldest(w, 0, 2);
    assert_oldest(w, 2, 255);
    assert_oldest(w, 256, 300);
    uint64_t seq, time_us;
    assert_int_equal(store_key_oldest(w, 300, &seq, &time_us), ERR_NOT_FOUND);
    assert_int_equal(store_key_oldest(w, UINT64_MAX, &seq, &time_us), ERR_NOT_FOUND);
    const uint64_t bytes = store_state(w)->keys_bytes;
    assert_int_equal(store_keys_forget(w, 1), 0);
    assert_int_equal(store_state(w)->keys, 4);
    assert_int_equal(store_keys_forget(w, 255), 0);
    assert_int_equal(store_state(w)->keys, 2);
    assert_int_equal(store_state(w)->keys_bytes, bytes / 2);
    assert_oldest(w, 0, 256);
    struct store_key k;
    assert_int_equal(store_key_get(w, span_of("key zzzz"), &k), ERR_NOT_FOUND);
    assert_int_equal(store_key_get(w, span_of("key mmmm"), &k), ERR_NOT_FOUND);
    assert_int_equal(store_key_get(w, span_of("key aaaa"), &k), 0);
    assert_int_equal(store_keys_forget(w, UINT64_MAX), 0);
    assert_int_equal(store_state(w)->keys, 0);
    assert_int_equal(store_state(w)->keys_bytes, 0);
    commit(w);
}

static void a_replaced_key_leaves_no_row_behind(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    put_key(w, "key aaaa", 1);
    const uint64_t bytes = store_state(w)->keys_bytes;
    put_key(w, "key aaaa", 7);
    put_key(w, "key aaaa", 7);
    commit(w);
    w = begin(s);
    assert_int_equal(store_state(w)->keys, 1);
    assert_int_equal(store_state(w)->keys_bytes, bytes);
    assert_oldest(w, 0, 7);
    assert_int_equal(store_keys_forget(w, 6), 0);
    struct store_key k;
    assert_int_equal(store_key_get(w, span_of("key aaaa"), &k), 0);
    assert_int_equal(k.seq, 7);
    assert_int_equal(store_keys_forget(w, 7), 0);
    assert_int_equal(store_state(w)->keys, 0);
    assert_int_equal(store_state(w)->keys_bytes, 0);
    uint64_t seq, time_us;
    assert_int_equal(store_key_oldest(w, 0, &seq, &time_us), ERR_NOT_FOUND);
    commit(w);
}

static void the_set_is_what_was_put_last(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *w = begin(s);
    struct span set;
    assert_int_equal(store_set_get(w, &set), ERR_NOT_FOUND);
    assert_int_equal(store_set_put(w, span_of("seoul, busan")), 0);
    assert_int_equal(store_set_put(w, span_of("seoul")), 0);
    commit(w);
    w = begin(s);
    assert_int_equal(store_set_get(w, &set), 0);
    assert_true(span_is(set, "seoul"));
    assert_int_equal(store_state(w)->records, 0);
    store_write_abort(w);
}

#define RULES(X)                                                                                   \
    X(an_empty_store_has_nothing)                                                                  \
    X(a_snapshot_does_not_change_while_the_writer_commits)                                         \
    X(an_aborted_transaction_leaves_nothing)                                                       \
    X(the_writer_reads_what_it_wrote)                                                              \
    X(what_the_caller_sets_in_the_state_is_kept)                                                   \
    X(readers_past_the_limit_are_refused)                                                          \
    X(collections_are_numbered_in_the_order_of_their_making)                                       \
    X(names_of_no_length_or_too_long_are_refused)                                                  \
    X(counters_of_collections_survive_changing_between_them)                                       \
    X(the_next_id_never_falls)                                                                     \
    X(records_come_in_the_order_of_ids_over_gaps)                                                  \
    X(counters_and_digest_follow_every_change)                                                     \
    X(the_digest_depends_on_collection_id_seq_and_text)                                            \
    X(changes_of_what_is_not_there_are_refused_and_count_nothing)                                  \
    X(a_text_of_any_size_comes_back)                                                               \
    X(a_key_comes_back_as_it_was_put)                                                              \
    X(keys_are_forgotten_in_the_order_of_their_seqs)                                               \
    X(a_replaced_key_leaves_no_row_behind)                                                         \
    X(the_set_is_what_was_put_last)

#define IN_MEMORY(rule) cmocka_unit_test_setup_teardown(rule, memory_setup, teardown),
#define IN_LMDB(rule)   cmocka_unit_test_setup_teardown(rule, lmdb_setup, teardown),

int main(void)
{
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {RULES(IN_LMDB)};
    return cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
