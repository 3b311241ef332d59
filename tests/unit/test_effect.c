/* Rules of effects: their bytes, and what applying one does to local storage. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "guard.h"
#include "record/effect.h"
#include "record/request.h"
#include "store_place.h"

static const struct effect plain = {
    .kind = EFFECT_PUT,
    .method = METHOD_POST,
    .id = 0x0102030405060708,
    .collection = {"notes", 5},
    .text = {"{\"id\":1}", 8},
};

static const struct effect keyed = {
    .kind = EFFECT_DELETE,
    .method = METHOD_DELETE,
    .id = 7,
    .collection = {"a", 1},
    .text = {"{\"id\":7}", 8},
    .key = {"key-0001", 8},
    .fingerprint = {0x1111111111111111, 0x2222222222222222},
};

static void assert_same(const struct effect *a, const struct effect *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->method, b->method);
    assert_true(a->id == b->id);
    assert_true(span_eq(a->collection, b->collection));
    assert_true(span_eq(a->text, b->text));
    assert_true(span_eq(a->key, b->key));
    assert_true(a->fingerprint[0] == b->fingerprint[0] && a->fingerprint[1] == b->fingerprint[1]);
}

/* --- Bytes --- */

static void the_bytes_are_those_that_the_header_names(void **state)
{
    (void)state;
    struct buf b = {0};
    effect_encode(&b, &plain);
    static const char expected[] = "\x01\x02\x05\x00\x08\x00\x00\x00"
                                   "\x08\x07\x06\x05\x04\x03\x02\x01"
                                   "notes{\"id\":1}";
    assert_int_equal(b.bytes, sizeof expected - 1);
    assert_memory_equal(b.at, expected, b.bytes);
    buf_finish(&b);

    effect_encode(&b, &keyed);
    static const char with_key[] =
        "\x02\x05\x01\x08\x08\x00\x00\x00"
        "\x07\x00\x00\x00\x00\x00\x00\x00"
        "\x11\x11\x11\x11\x11\x11\x11\x11\x22\x22\x22\x22\x22\x22\x22\x22"
        "akey-0001{\"id\":7}";
    assert_int_equal(b.bytes, sizeof with_key - 1);
    assert_memory_equal(b.at, with_key, b.bytes);
    buf_finish(&b);
}

static void what_was_encoded_is_decoded_and_what_follows_is_left(void **state)
{
    (void)state;
    char text[3000], name[COLLECTION_NAME_BYTES_MAX], key[KEY_BYTES_MAX];
    memset(text, 't', sizeof text);
    memset(name, 'n', sizeof name);
    memset(key, 'k', sizeof key);
    const struct effect largest = {
        .kind = EFFECT_PUT,
        .method = METHOD_PATCH,
        .id = ID_MAX,
        .collection = {name, sizeof name},
        .text = {text, sizeof text},
        .key = {key, sizeof key},
        .fingerprint = {UINT64_MAX, 1},
    };
    const struct effect smallest = {
        .kind = EFFECT_DELETE, .method = METHOD_DELETE, .id = 1, .collection = {"a", 1}};
    const struct effect *const effects[] = {&plain, &keyed, &largest, &smallest};
    struct buf b = {0};
    for (int i = 0; i < 4; i++)
        effect_encode(&b, effects[i]);
    struct span rest = buf_span(&b);
    for (int i = 0; i < 4; i++) {
        struct effect e;
        long used = effect_decode(rest, &e);
        assert_true(used > 0 && (size_t)used <= rest.bytes);
        assert_same(&e, effects[i]);
        assert_true(e.text.bytes == 0 || (e.text.at >= b.at && e.text.at < b.at + b.bytes));
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    assert_int_equal(rest.bytes, 0);
    buf_finish(&b);
}

static void an_effect_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    const struct effect *const effects[] = {&plain, &keyed};
    struct guard g = guard_create(200);
    for (int i = 0; i < 2; i++) {
        struct buf b = {0};
        struct effect e;
        effect_encode(&b, effects[i]);
        for (size_t bytes = 0; bytes < b.bytes; bytes++)
            assert_int_equal(effect_decode(guard_copy(&g, span(b.at, bytes)), &e), ERR_CORRUPT);
        assert_int_equal(effect_decode(guard_copy(&g, buf_span(&b)), &e), b.bytes);
        buf_finish(&b);
    }
    guard_destroy(&g);
}

/* Decodes `keyed` with bytes of its head replaced, and enough behind it for any length. */
static long decode_with(size_t at, const char *bytes, size_t count)
{
    struct buf b = {0};
    struct effect e;
    char behind[300] = {0};
    effect_encode(&b, &keyed);
    memcpy(b.at + at, bytes, count);
    buf_add(&b, behind, sizeof behind);
    long used = effect_decode(buf_span(&b), &e);
    buf_finish(&b);
    return used;
}

static void kinds_lengths_and_ids_beyond_the_limits_are_corrupt(void **state)
{
    (void)state;
    assert_int_equal(decode_with(0, "\x00", 1), ERR_CORRUPT);
    assert_int_equal(decode_with(0, "\x03", 1), ERR_CORRUPT);
    assert_int_equal(decode_with(0, "\xff", 1), ERR_CORRUPT);
    assert_true(decode_with(0, "\x01", 1) > 0);
    assert_int_equal(decode_with(2, "\x00", 1), ERR_CORRUPT);
    assert_true(decode_with(2, "\x3f", 1) > 0);
    assert_int_equal(decode_with(2, "\x40", 1), ERR_CORRUPT);
    assert_int_equal(decode_with(2, "\xff", 1), ERR_CORRUPT);
    assert_true(decode_with(3, "\x40", 1) > 0);
    assert_int_equal(decode_with(3, "\x41", 1), ERR_CORRUPT);
    assert_int_equal(decode_with(3, "\xff", 1), ERR_CORRUPT);
    assert_int_equal(decode_with(4, "\xff\xff\xff\xff", 4), ERR_CORRUPT);
    assert_int_equal(decode_with(8, "\0\0\0\0\0\0\0\0", 8), ERR_CORRUPT);
    assert_true(decode_with(8, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8) > 0);
    assert_int_equal(decode_with(8, "\0\0\0\0\0\0\0\x80", 8), ERR_CORRUPT);
    assert_int_equal(decode_with(8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), ERR_CORRUPT);
}

/* --- Applying --- */

static struct effect effect(enum effect_kind kind, uint64_t id, const char *text)
{
    return (struct effect){
        .kind = kind, .id = id, .collection = span_of("notes"), .text = span_of(text)};
}

static void apply(struct store_txn *txn, struct effect e, uint64_t seq)
{
    assert_int_equal(effect_apply(txn, &e, seq, 1000 + seq), 0);
}

static void a_put_makes_collection_and_record_and_raises_the_next_id(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_collection c;
    struct store_record r;
    struct store_txn *txn = begin(s);
    apply(txn, effect(EFFECT_PUT, 5, "five"), 11);
    apply(txn, effect(EFFECT_PUT, 3, "three"), 12);
    apply(txn, effect(EFFECT_PUT, 5, "five again"), 13);
    commit(txn);
    txn = snapshot(s);
    assert_int_equal(store_collection_get(txn, span_of("notes"), &c), 0);
    assert_int_equal(c.next_id, 6);
    assert_int_equal(store_record_get(txn, c.number, 5, &r), 0);
    assert_int_equal(r.seq, 13);
    assert_true(span_is(r.text, "five again"));
    assert_int_equal(store_record_get(txn, c.number, 3, &r), 0);
    assert_int_equal(r.seq, 12);
    assert_int_equal(store_state(txn)->keys, 0);
    assert_counted(txn, 2);
    store_reader_destroy(txn);
}

static void a_delete_removes_the_record_and_keeps_the_next_id(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_collection c;
    struct store_record r;
    struct store_txn *txn = begin(s);
    apply(txn, effect(EFFECT_PUT, 5, "five"), 1);
    apply(txn, effect(EFFECT_DELETE, 5, ""), 2);
    assert_int_equal(store_collection_get(txn, span_of("notes"), &c), 0);
    assert_int_equal(c.next_id, 6);
    assert_int_equal(store_record_get(txn, c.number, 5, &r), ERR_NOT_FOUND);
    assert_counted(txn, 0);
    commit(txn);
}

static void deleting_what_is_not_there_is_corrupt(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_txn *txn = begin(s);
    struct effect e = effect(EFFECT_DELETE, 5, "");
    assert_int_equal(effect_apply(txn, &e, 1, 1), ERR_CORRUPT);
    apply(txn, effect(EFFECT_PUT, 4, "four"), 2);
    assert_int_equal(effect_apply(txn, &e, 3, 1), ERR_CORRUPT);
    store_write_abort(txn);
}

static void a_key_is_remembered_with_all_that_a_repeat_needs(void **state)
{
    struct store *s = ((struct place *)*state)->s;
    struct store_key k;
    struct effect e = keyed;
    struct store_txn *txn = begin(s);
    e.kind = EFFECT_PUT;
    e.method = METHOD_PUT;
    apply(txn, e, 20);
    e.kind = EFFECT_DELETE;
    e.method = METHOD_DELETE;
    e.key = span_of("key-0002");
    apply(txn, e, 21);
    commit(txn);
    txn = snapshot(s);
    static const char *const keys[] = {"key-0001", "key-0002"};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(store_key_get(txn, span_of(keys[i]), &k), 0);
        assert_int_equal(k.seq, 20 + i);
        assert_int_equal(k.time_us, 1020 + i);
        assert_int_equal(k.id, 7);
        assert_int_equal(k.method, i == 0 ? METHOD_PUT : METHOD_DELETE);
        assert_true(k.fingerprint[0] == keyed.fingerprint[0]);
        assert_true(k.fingerprint[1] == keyed.fingerprint[1]);
        assert_true(span_is(k.collection, "a"));
        assert_true(span_is(k.text, "{\"id\":7}"));
    }
    assert_int_equal(store_state(txn)->keys, 2);
    store_reader_destroy(txn);
}

#define RULES(X)                                                                                   \
    X(a_put_makes_collection_and_record_and_raises_the_next_id)                                    \
    X(a_delete_removes_the_record_and_keeps_the_next_id)                                           \
    X(deleting_what_is_not_there_is_corrupt)                                                       \
    X(a_key_is_remembered_with_all_that_a_repeat_needs)

#define IN_MEMORY(rule) cmocka_unit_test_setup_teardown(rule, memory_setup, teardown),
#define IN_LMDB(rule)   cmocka_unit_test_setup_teardown(rule, lmdb_setup, teardown),

int main(void)
{
    const struct CMUnitTest bytes[] = {
        cmocka_unit_test(the_bytes_are_those_that_the_header_names),
        cmocka_unit_test(what_was_encoded_is_decoded_and_what_follows_is_left),
        cmocka_unit_test(an_effect_cut_anywhere_is_corrupt),
        cmocka_unit_test(kinds_lengths_and_ids_beyond_the_limits_are_corrupt),
    };
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {RULES(IN_LMDB)};
    return cmocka_run_group_tests(bytes, NULL, NULL) +
           cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
