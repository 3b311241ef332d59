/* Rules of keys: a write that is repeated under its key is executed once and answered the same. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "primary.h"

/* The write was answered as the one of that seq, and nothing was executed. */
static void assert_repeat(struct primary *p, const struct write *w, uint64_t seq, uint64_t id,
                          const char *text)
{
    assert_answer(p, w, text);
    assert_int_equal(w->seq, seq);
    assert_int_equal(w->answered_id, id);
    assert_int_equal(w->copies, 3);
}

static void a_repeat_gets_the_first_answer_and_is_not_executed(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    struct write *w = WRITE(p, "POST /notes {\"a\":1}", .key = "key-0001");
    assert_repeat(p, w, 2, 2, "{\"id\":2,\"a\":1}");
    const struct store_state before = state_of(p);
    for (int i = 0; i < 3; i++)
        assert_repeat(p, WRITE(p, "POST /notes {\"a\":1}", .key = "key-0001"), 2, 2,
                      "{\"id\":2,\"a\":1}");
    assert_unchanged(p, &before);
    assert_list(p, "notes", "[{\"id\":1},{\"id\":2,\"a\":1}]");
}

static void a_repeat_gets_the_first_answer_after_the_record_changed_or_went(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1}", .key = "key-post");
    WRITE(p, "PUT /notes/1 {\"a\":2}", .key = "key-put.");
    WRITE(p, "PATCH /notes/1 {\"b\":3}", .key = "key-patc");
    WRITE(p, "DELETE /notes/1", .key = "key-dele");
    assert_record(p, "/notes/1", NULL);
    const struct store_state before = state_of(p);
    assert_repeat(p, WRITE(p, "POST /notes {\"a\":1}", .key = "key-post"), 1, 1,
                  "{\"id\":1,\"a\":1}");
    assert_repeat(p, WRITE(p, "PUT /notes/1 {\"a\":2}", .key = "key-put."), 2, 1,
                  "{\"id\":1,\"a\":2}");
    assert_repeat(p, WRITE(p, "PATCH /notes/1 {\"b\":3}", .key = "key-patc"), 3, 1,
                  "{\"id\":1,\"a\":2,\"b\":3}");
    assert_repeat(p, WRITE(p, "DELETE /notes/1", .key = "key-dele"), 4, 1,
                  "{\"id\":1,\"a\":2,\"b\":3}");
    assert_unchanged(p, &before);
    assert_answer(p, WRITE(p, "POST /notes {}"), "{\"id\":2}");
}

static void a_repeat_in_the_same_entry_gets_the_first_answer(void **state)
{
    struct primary *p = *state;
    entry_open(p);
    assert_repeat(p, EXECUTE(p, "POST /notes {}", .key = "key-0001"), 1, 1, "{\"id\":1}");
    assert_repeat(p, EXECUTE(p, "POST /notes {}", .key = "key-0001"), 1, 1, "{\"id\":1}");
    assert_repeat(p, EXECUTE(p, "DELETE /notes/1", .key = "key-0002"), 2, 1, "{\"id\":1}");
    assert_repeat(p, EXECUTE(p, "DELETE /notes/1", .key = "key-0002"), 2, 1, "{\"id\":1}");
    assert_repeat(p, EXECUTE(p, "POST /notes {}", .key = "key-0001"), 1, 1, "{\"id\":1}");
    entry_close(p);
    assert_int_equal(p->entry.effects, 2);
    assert_list(p, "notes", "[]");
}

static void a_conditional_write_is_repeated_whatever_the_state_is_now(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    WRITE(p, "PUT /notes/1 {\"a\":1}", .key = "key-0001", .match = "1");
    assert_repeat(p, WRITE(p, "PUT /notes/1 {\"a\":1}", .key = "key-0001", .match = "\"1\""), 2, 1,
                  "{\"id\":1,\"a\":1}");
}

static void the_same_content_in_another_spelling_is_a_repeat(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    WRITE(p, "PUT /notes/1 {\"a\":[1,2]}", .key = "key-0001");
    static const char *const same[] = {
        "PUT /notes/1  { \"a\" : [ 1 , 2 ] } ",
        "PUT /notes/1 {\"id\":1,\"a\":[1,2]}",
        "PUT /notes/1 {\"a\":[1,2],\"id\":1}",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_repeat(p, WRITE(p, same[i], .key = "key-0001", .type = "application/x+json"), 2, 1,
                      "{\"id\":1,\"a\":[1,2]}");
}

static void other_content_under_a_key_is_refused(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /tags {}");
    WRITE(p, "PUT /notes/1 {\"a\":1}", .key = "key-0001", .match = "1");
    const struct store_state before = state_of(p);
    static const struct asking others[] = {
        {.what = "PUT /notes/1 {\"a\":2}", .match = "1"},
        {.what = "PUT /notes/1 {\"a\": 1,\"b\":2}", .match = "1"},
        {.what = "PUT /notes/1 {\"a\":1}"},
        {.what = "PUT /notes/1 {\"a\":1}", .match = "4"},
        {.what = "PUT /notes/1 {\"a\":1}", .match = "*"},
        {.what = "PUT /notes/1 {\"a\":1}", .none_match = "1"},
        {.what = "PUT /notes/1 {\"a\":1}", .match = "1", .none_match = "9"},
        {.what = "PATCH /notes/1 {\"a\":1}", .match = "1"},
        {.what = "POST /notes {\"a\":1}", .match = "1"},
        {.what = "DELETE /notes/1", .match = "1"},
        {.what = "PUT /notes/2 {\"a\":1}", .match = "1"},
        {.what = "PUT /tags/1 {\"a\":1}", .match = "1"},
        {.what = "PUT /notes/99 {\"a\":1}", .match = "1"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct asking a = others[i];
        a.key = "key-0001";
        struct write *w = write_alone(p, &a);
        assert_refused(p, w, ERR_KEY_REUSED, NULL);
        assert_int_equal(w->seq, 4);
    }
    assert_unchanged(p, &before);
    assert_repeat(p, WRITE(p, "PUT /notes/1 {\"a\":1}", .key = "key-0001", .match = "1"), 4, 1,
                  "{\"id\":1,\"a\":1}");
}

static void the_whole_fingerprint_counts(void **state)
{
    struct primary *p = *state;
    const struct asking a = {.what = "POST /notes {}", .key = "key-0001"};
    write_alone(p, &a);
    for (int half = 0; half < 2; half++) {
        struct write *w;
        entry_open(p);
        assert_int_equal(ask(p, &a, &w), 0);
        w->fingerprint[half] ^= 1;
        assert_int_equal(write_execute(&p->x, p->batch, w), 0);
        assert_refused(p, w, ERR_KEY_REUSED, NULL);
        entry_drop(p);
    }
}

static void refused_requests_are_not_remembered(void **state)
{
    struct primary *p = *state;
    assert_int_equal(WRITE(p, "PUT /notes/1 {\"a\":1}", .key = "key-0001")->code, ERR_NOT_FOUND);
    assert_int_equal(state_of(p).keys, 0);
    WRITE(p, "POST /notes {}");
    assert_int_equal(WRITE(p, "PUT /notes/1 {}", .key = "key-0001", .match = "9")->code,
                     ERR_PRECONDITION_FAILED);
    assert_repeat(p, WRITE(p, "PUT /notes/1 {\"a\":1}", .key = "key-0001"), 2, 1,
                  "{\"id\":1,\"a\":1}");
    assert_int_equal(state_of(p).keys, 1);
}

/* --- The window --- */

static void a_key_is_remembered_for_its_window_and_then_executed_anew(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}", .key = "key-0001");
    p->now_us += KEY_WINDOW_US - 1;
    assert_repeat(p, WRITE(p, "POST /notes {}", .key = "key-0001"), 1, 1, "{\"id\":1}");
    p->now_us += 1;
    assert_repeat(p, WRITE(p, "POST /notes {}", .key = "key-0001"), 2, 2, "{\"id\":2}");
    assert_int_equal(p->entry.keys_forgotten, 1);
    /* its window began anew, and other content may have it after that */
    p->now_us += KEY_WINDOW_US - 1;
    assert_repeat(p, WRITE(p, "POST /notes {}", .key = "key-0001"), 2, 2, "{\"id\":2}");
    p->now_us += 1;
    assert_repeat(p, WRITE(p, "DELETE /notes/2", .key = "key-0001"), 3, 2, "{\"id\":2}");
    assert_int_equal(state_of(p).keys, 1);
}

static uint64_t expired(struct primary *p, uint64_t now_us)
{
    uint64_t seq = 77;
    p->x.time_us = now_us;
    assert_int_equal(keys_expired(&p->x, &seq), 0);
    return seq;
}

static void expired_keys_are_named_by_the_last_of_their_seqs(void **state)
{
    struct primary *p = *state;
    entry_open(p);
    assert_int_equal(expired(p, UINT64_MAX / 2), 0); /* there is none */
    entry_drop(p);
    WRITE(p, "POST /notes {}", .key = "key-0001"); /* seq 1 */
    WRITE(p, "POST /notes {}");
    entry_open(p);
    EXECUTE(p, "POST /notes {}", .key = "key-0003");
    EXECUTE(p, "POST /notes {}", .key = "key-0004");
    entry_close(p);
    p->now_us += 10;
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /notes {}", .key = "key-0006");
    WRITE(p, "POST /notes {}");
    entry_open(p);
    assert_int_equal(expired(p, START_US), 0);
    assert_int_equal(expired(p, START_US + KEY_WINDOW_US - 1), 0);
    assert_int_equal(expired(p, START_US + KEY_WINDOW_US), 4);
    assert_int_equal(expired(p, START_US + KEY_WINDOW_US + 9), 4);
    assert_int_equal(expired(p, START_US + KEY_WINDOW_US + 10), 6);
    entry_drop(p);
}

static const char *nth_key(int n, char to[16])
{
    snprintf(to, 16, "key-%06d", n);
    return to;
}

static void an_entry_forgets_so_many_keys_at_most_and_the_others_do_not_count(void **state)
{
    struct primary *p = *state;
    enum { MORE = KEYS_EXPIRED_PER_ENTRY_MAX + 5 };
    char key[16];
    for (int i = 1; i <= MORE; i++)
        WRITE(p, "POST /notes {}", .key = nth_key(i, key));
    assert_int_equal(state_of(p).keys, MORE);
    p->now_us += KEY_WINDOW_US;
    /* the last key is still there, but its time is over: other content may have it */
    entry_open(p);
    assert_int_equal(p->entry.keys_forgotten, KEYS_EXPIRED_PER_ENTRY_MAX);
    assert_int_equal(store_state(p->txn)->keys, 5);
    assert_repeat(p, EXECUTE(p, "DELETE /notes/1", .key = nth_key(MORE, key)), MORE + 1, 1,
                  "{\"id\":1}");
    assert_int_equal(store_state(p->txn)->keys, 5);
    entry_close(p);
    entry_open(p);
    assert_int_equal(p->entry.keys_forgotten, MORE - 1);
    assert_int_equal(store_state(p->txn)->keys, 1);
    assert_repeat(p, EXECUTE(p, "DELETE /notes/1", .key = nth_key(MORE, key)), MORE + 1, 1,
                  "{\"id\":1}");
    entry_drop(p);
}

/* --- A full table --- */

static void a_full_table_is_busy_and_forgets_nothing_early(void **state)
{
    struct primary *p = *state;
    p->x.keys_max = 2;
    WRITE(p, "POST /notes {\"a\":1}", .key = "key-0001");
    WRITE(p, "POST /notes {\"a\":2}", .key = "key-0002");
    const struct store_state before = state_of(p);
    assert_refused(p, WRITE(p, "POST /notes {}", .key = "key-0003"), ERR_BUSY,
                   "the table of keys is full: try again when older keys have expired");
    assert_refused(p, WRITE(p, "DELETE /notes/1", .key = "key-0003"), ERR_BUSY,
                   "the table of keys is full: try again when older keys have expired");
    assert_unchanged(p, &before);
    assert_repeat(p, WRITE(p, "POST /notes {\"a\":1}", .key = "key-0001"), 1, 1,
                  "{\"id\":1,\"a\":1}");
    assert_int_equal(WRITE(p, "POST /notes {}", .key = "key-0002")->code, ERR_KEY_REUSED);
    assert_answer(p, WRITE(p, "POST /notes {}"), "{\"id\":3}");
    p->now_us += KEY_WINDOW_US;
    assert_answer(p, WRITE(p, "POST /notes {}", .key = "key-0003"), "{\"id\":4}");
    assert_int_equal(state_of(p).keys, 1);
}

static void the_bytes_of_a_full_table_count_too(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1}", .key = "key-0001");
    uint64_t one = state_of(p).keys_bytes;
    assert_true(one > strlen("key-0001"
                             "notes"
                             "{\"id\":1,\"a\":1}"));
    p->x.keys_bytes_max = 2 * one;
    assert_int_equal(WRITE(p, "POST /notes {\"a\":1}", .key = "key-0002")->code, 0);
    assert_int_equal(state_of(p).keys_bytes, 2 * one);
    assert_int_equal(WRITE(p, "POST /notes {\"a\":1}", .key = "key-0003")->code, ERR_BUSY);
    p->x.keys_bytes_max = 2 * one + 1;
    assert_int_equal(WRITE(p, "POST /notes {\"a\":1}", .key = "key-0003")->code, 0);
}

#define RULES(X)                                                                                   \
    X(a_repeat_gets_the_first_answer_and_is_not_executed)                                          \
    X(a_repeat_gets_the_first_answer_after_the_record_changed_or_went)                             \
    X(a_repeat_in_the_same_entry_gets_the_first_answer)                                            \
    X(a_conditional_write_is_repeated_whatever_the_state_is_now)                                   \
    X(the_same_content_in_another_spelling_is_a_repeat)                                            \
    X(other_content_under_a_key_is_refused)                                                        \
    X(the_whole_fingerprint_counts)                                                                \
    X(refused_requests_are_not_remembered)                                                         \
    X(a_key_is_remembered_for_its_window_and_then_executed_anew)                                   \
    X(expired_keys_are_named_by_the_last_of_their_seqs)                                            \
    X(an_entry_forgets_so_many_keys_at_most_and_the_others_do_not_count)                           \
    X(a_full_table_is_busy_and_forgets_nothing_early)                                              \
    X(the_bytes_of_a_full_table_count_too)

int main(void)
{
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {RULES(IN_LMDB)};
    return cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
