/* Rules of entries: their bytes and chain, and that a backup which applies them gets the primary's
 * storage. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "guard.h"
#include "primary.h"
#include "record/effect.h"
#include "repl/peer.h"

/* --- Bytes --- */

/* Seals an entry with this body; its bytes are in `to`. */
static struct entry sealed(struct buf *to, uint64_t chain_before, const char *body)
{
    struct entry e = {
        .kind = ENTRY_WRITES,
        .epoch = 0x0101010101010102,
        .index = 0x0303030303030304,
        .first_seq = 0x0505050505050506,
        .time_us = 0x0707070707070708,
        .keys_forgotten = 0x090909090909090a,
        .effects = 0x0b0b0b0c,
        .body = {NULL, strlen(body)},
    };
    char *at = buf_room(to, ENTRY_HEAD_BYTES + strlen(body));
    assert_non_null(at);
    memset(at, 0xee, ENTRY_HEAD_BYTES);
    memcpy(at + ENTRY_HEAD_BYTES, body, strlen(body));
    entry_seal(&e, chain_before, at);
    to->bytes += ENTRY_HEAD_BYTES + strlen(body);
    return e;
}

static void the_head_is_that_of_the_header(void **state)
{
    (void)state;
    struct buf b = {0};
    struct entry e = sealed(&b, 77, "body");
    static const char expected[] = "\x44\x00\x00\x00\x01\x01\x00\x00"
                                   "\x02\x01\x01\x01\x01\x01\x01\x01"
                                   "\x04\x03\x03\x03\x03\x03\x03\x03"
                                   "\x06\x05\x05\x05\x05\x05\x05\x05"
                                   "\x08\x07\x07\x07\x07\x07\x07\x07"
                                   "\x0a\x09\x09\x09\x09\x09\x09\x09"
                                   "\x0c\x0b\x0b\x0b\x00\x00\x00\x00";
    assert_memory_equal(b.at, expected, ENTRY_HEAD_BYTES - 8);
    uint64_t chain;
    memcpy(&chain, b.at + ENTRY_HEAD_BYTES - 8, sizeof chain);
    assert_true(le64toh(chain) == e.chain);
    assert_ptr_equal(e.body.at, b.at + ENTRY_HEAD_BYTES);
    buf_finish(&b);
}

static void an_entry_decodes_to_what_was_sealed(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "x", "a body of some bytes"};
    for (int i = 0; i < 3; i++) {
        struct buf b = {0};
        struct entry e = sealed(&b, 77, bodies[i]), d;
        buf_add_text(&b, "what follows");
        assert_int_equal(entry_decode(buf_span(&b), 77, &d), ENTRY_HEAD_BYTES + strlen(bodies[i]));
        assert_int_equal(d.kind, e.kind);
        assert_true(d.epoch == e.epoch && d.index == e.index && d.first_seq == e.first_seq);
        assert_true(d.time_us == e.time_us && d.keys_forgotten == e.keys_forgotten);
        assert_true(d.effects == e.effects && d.chain == e.chain);
        assert_ptr_equal(d.body.at, b.at + ENTRY_HEAD_BYTES);
        assert_true(span_is(d.body, bodies[i]));
        buf_finish(&b);
    }
}

static void the_chain_depends_on_every_entry_before(void **state)
{
    (void)state;
    struct buf b = {0};
    struct entry first = sealed(&b, 0, "one"), d;
    size_t second_at = b.bytes;
    struct entry second = sealed(&b, first.chain, "two");
    assert_true(entry_decode(buf_span(&b), 0, &d) > 0);
    struct span rest = span(b.at + second_at, b.bytes - second_at);
    assert_true(entry_decode(rest, d.chain, &d) > 0);
    assert_true(d.chain == second.chain);
    assert_int_equal(entry_decode(rest, 0, &d), ERR_CORRUPT);
    assert_int_equal(entry_decode(rest, first.chain ^ 1, &d), ERR_CORRUPT);
    buf_finish(&b);
}

/* Whatever is damaged: the length may say that more is needed, the version that a newer program
 * wrote it, and everything else is caught by the chain. */
static void an_entry_with_any_bit_flipped_is_never_taken(void **state)
{
    (void)state;
    struct buf b = {0};
    struct guard g = guard_create(200);
    sealed(&b, 77, "a body of some bytes");
    for (size_t bit = 0; bit < b.bytes * 8; bit++) {
        struct entry d;
        struct span copy = guard_copy(&g, buf_span(&b));
        g.at[g.bytes - copy.bytes + bit / 8] ^= (char)(1 << bit % 8);
        long rc = entry_decode(copy, 77, &d);
        bool length = bit / 8 < 4, version = bit / 8 == 5;
        if (rc != ERR_CORRUPT && !(length && rc == 0) && !(version && rc == ERR_NEWER))
            fail_msg("bit %zu flipped: %ld", bit, rc);
    }
    guard_destroy(&g);
    buf_finish(&b);
}

static void an_entry_cut_anywhere_needs_more(void **state)
{
    (void)state;
    struct buf b = {0};
    struct guard g = guard_create(200);
    struct entry d;
    sealed(&b, 77, "a body of some bytes");
    for (size_t bytes = 0; bytes < b.bytes; bytes++)
        assert_int_equal(entry_decode(guard_copy(&g, span(b.at, bytes)), 77, &d), 0);
    assert_int_equal(entry_decode(guard_copy(&g, buf_span(&b)), 77, &d), b.bytes);
    guard_destroy(&g);
    buf_finish(&b);
}

static void a_newer_version_is_told_from_damage(void **state)
{
    (void)state;
    struct buf b = {0};
    struct entry d;
    sealed(&b, 77, "body");
    b.at[5] = ENTRY_VERSION + 1;
    assert_int_equal(entry_decode(buf_span(&b), 77, &d), ERR_NEWER);
    b.at[5] = 0;
    assert_int_equal(entry_decode(buf_span(&b), 77, &d), ERR_CORRUPT);
    buf_finish(&b);
}

/* --- Applying --- */

/* Applies the primary's last entry to another storage, as a backup does. */
static int apply_to(struct store *backup, struct primary *p)
{
    struct store_txn *txn = begin(backup);
    struct entry e;
    long used = entry_decode(buf_span(&p->bytes), store_state(txn)->chain, &e);
    int rc = used == (long)p->bytes.bytes ? entry_apply(txn, &e) : ERR_CORRUPT;
    if (rc == 0)
        commit(txn);
    else
        store_write_abort(txn);
    return rc;
}

static void the_state_after_an_entry_is_its_position(void **state)
{
    struct primary *p = *state;
    entry_open(p);
    EXECUTE(p, "POST /notes {}");
    EXECUTE(p, "POST /notes {}");
    entry_close(p);
    struct store_state s = state_of(p);
    assert_int_equal(s.applied, 1);
    assert_int_equal(s.seq, 2);
    assert_int_equal(s.epoch, 1);
    assert_true(s.time_us == START_US && s.chain == p->entry.chain);

    struct entry start = {
        .kind = ENTRY_EPOCH_START, .epoch = 2, .index = 2, .first_seq = 3, .time_us = START_US};
    struct store_txn *txn = begin(p->s);
    assert_int_equal(entry_apply(txn, &start), 0);
    assert_int_equal(store_state(txn)->applied, 2);
    assert_int_equal(store_state(txn)->seq, 2); /* it has no writes */
    assert_int_equal(store_state(txn)->epoch, 2);
    commit(txn);
}

/* The next entry of the log's own, with this body. */
static struct entry own(struct primary *p, enum entry_kind kind, const struct buf *body)
{
    struct store_state s = state_of(p);
    return (struct entry){
        .kind = kind,
        .epoch = s.epoch + 1,
        .index = s.applied + 1,
        .first_seq = s.seq + 1,
        .time_us = s.time_us,
        .body = buf_span(body),
    };
}

static void an_entry_of_the_log_s_own_says_who_is_in_sync(void **state)
{
    struct primary *p = *state;
    struct buf body = {0};
    const struct peer_set set = {.count = 2, .list = {{"seoul", {1}}, {"busan", {2}}}};
    struct span kept;
    WRITE(p, "POST /notes {}");
    peer_set_encode(&body, &set);
    const struct entry start = own(p, ENTRY_EPOCH_START, &body);
    struct store_txn *txn = begin(p->s);
    assert_int_equal(entry_apply(txn, &start), 0);
    assert_int_equal(store_set_get(txn, &kept), 0);
    assert_true(span_eq(kept, buf_span(&body)));
    commit(txn);
    const struct entry config = own(p, ENTRY_CONFIG, &body);
    txn = begin(p->s);
    assert_int_equal(entry_apply(txn, &config), 0);
    assert_int_equal(store_state(txn)->epoch, config.epoch);
    commit(txn);
    buf_finish(&body);
}

static void an_entry_of_the_log_s_own_with_another_body_is_corrupt(void **state)
{
    struct primary *p = *state;
    struct buf body = {0};
    WRITE(p, "POST /notes {}");
    buf_add_text(&body, "no set");
    const struct store_state before = state_of(p);
    const struct entry e = own(p, ENTRY_CONFIG, &body);
    struct store_txn *txn = begin(p->s);
    assert_int_equal(entry_apply(txn, &e), ERR_CORRUPT);
    store_write_abort(txn);
    assert_unchanged(p, &before);
    buf_finish(&body);
}

/* An entry with one effect that fits `p` as it is. */
static struct entry fitting(struct primary *p, struct buf *effects)
{
    const struct effect one = {
        .kind = EFFECT_PUT, .id = 1, .collection = span_of("notes"), .text = span_of("{\"id\":1}")};
    struct store_state s = state_of(p);
    effect_encode(effects, &one);
    return (struct entry){
        .kind = ENTRY_WRITES,
        .epoch = s.epoch,
        .index = s.applied + 1,
        .first_seq = s.seq + 1,
        .time_us = s.time_us,
        .effects = 1,
        .body = buf_span(effects),
    };
}

static void assert_does_not_fit(struct primary *p, struct entry e)
{
    const struct store_state before = state_of(p);
    struct store_txn *txn = begin(p->s);
    assert_int_equal(entry_apply(txn, &e), ERR_CORRUPT);
    store_write_abort(txn);
    assert_unchanged(p, &before);
}

static void an_entry_that_is_not_the_next_one_is_corrupt(void **state)
{
    struct primary *p = *state;
    struct buf effects = {0};
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /notes {}");
    const struct entry good = fitting(p, &effects);
    struct entry bad = good;
    bad.index = good.index + 1;
    assert_does_not_fit(p, bad);
    bad.index = good.index - 1;
    assert_does_not_fit(p, bad);
    bad = good;
    bad.first_seq++;
    assert_does_not_fit(p, bad);
    bad.first_seq = good.first_seq - 1;
    assert_does_not_fit(p, bad);
    bad = good;
    bad.epoch--;
    assert_does_not_fit(p, bad);
    bad = good;
    bad.time_us--; /* S21: time stamps never go back */
    assert_does_not_fit(p, bad);
    bad = good;
    bad.effects = 2; /* more than the body has */
    assert_does_not_fit(p, bad);
    bad.effects = 0; /* fewer */
    assert_does_not_fit(p, bad);
    bad = good;
    bad.body.bytes--;
    assert_does_not_fit(p, bad);

    struct store_txn *txn = begin(p->s);
    assert_int_equal(entry_apply(txn, &good), 0);
    commit(txn);
    buf_finish(&effects);
}

static void an_effect_that_does_not_fit_the_storage_is_corrupt(void **state)
{
    struct primary *p = *state;
    struct buf effects = {0};
    WRITE(p, "POST /notes {}");
    struct entry e = fitting(p, &effects);
    const struct effect absent = {.kind = EFFECT_DELETE, .id = 9, .collection = span_of("notes")};
    effect_encode(&effects, &absent);
    e.body = buf_span(&effects);
    e.effects = 2;
    assert_does_not_fit(p, e);
    assert_record(p, "/notes/1", "{\"id\":1}");
    buf_finish(&effects);
}

static void a_backup_forgets_the_keys_that_the_primary_forgot(void **state)
{
    struct primary *p = *state;
    struct place backup = {0};
    assert_int_equal(place_open(&backup), 0);
    WRITE(p, "POST /notes {}", .key = "key-0001");
    assert_int_equal(apply_to(backup.s, p), 0);
    p->now_us += 10;
    WRITE(p, "POST /notes {}", .key = "key-0002");
    assert_int_equal(apply_to(backup.s, p), 0);
    p->now_us += KEY_WINDOW_US - 10;
    WRITE(p, "POST /notes {}");
    assert_int_equal(p->entry.keys_forgotten, 1);
    assert_int_equal(apply_to(backup.s, p), 0);
    struct store_txn *txn = snapshot(backup.s);
    struct store_key k;
    assert_int_equal(store_key_get(txn, span_of("key-0001"), &k), ERR_NOT_FOUND);
    assert_int_equal(store_key_get(txn, span_of("key-0002"), &k), 0);
    store_reader_destroy(txn);
    place_close(&backup);
}

static void an_entry_is_applied_once(void **state)
{
    struct primary *p = *state;
    struct place backup = {0};
    assert_int_equal(place_open(&backup), 0);
    WRITE(p, "POST /notes {}");
    assert_int_equal(apply_to(backup.s, p), 0);
    assert_int_equal(apply_to(backup.s, p), ERR_CORRUPT);
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /notes {}");
    assert_int_equal(apply_to(backup.s, p), ERR_CORRUPT); /* one is missing */
    place_close(&backup);
}

#define RULES(X)                                                                                   \
    X(the_state_after_an_entry_is_its_position)                                                    \
    X(an_entry_of_the_log_s_own_says_who_is_in_sync)                                               \
    X(an_entry_of_the_log_s_own_with_another_body_is_corrupt)                                      \
    X(an_entry_that_is_not_the_next_one_is_corrupt)                                                \
    X(an_effect_that_does_not_fit_the_storage_is_corrupt)                                          \
    X(a_backup_forgets_the_keys_that_the_primary_forgot)                                           \
    X(an_entry_is_applied_once)

int main(void)
{
    const struct CMUnitTest bytes[] = {
        cmocka_unit_test(the_head_is_that_of_the_header),
        cmocka_unit_test(an_entry_decodes_to_what_was_sealed),
        cmocka_unit_test(the_chain_depends_on_every_entry_before),
        cmocka_unit_test(an_entry_with_any_bit_flipped_is_never_taken),
        cmocka_unit_test(an_entry_cut_anywhere_needs_more),
        cmocka_unit_test(a_newer_version_is_told_from_damage),
    };
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {RULES(IN_LMDB)};
    return cmocka_run_group_tests(bytes, NULL, NULL) +
           cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
