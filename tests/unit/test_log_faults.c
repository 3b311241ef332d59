/* The log on a disk that is full, fails, or fails half way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "support/log_case.h"

enum { SMALL = 100 };

static void begin(struct log_case *c, uint64_t seed)
{
    case_begin(c, false, seed);
    assert_int_equal(case_open(c, 1, 0), 0);
}

/* One frame in the first segment, and the second prepared. */
static void begin_with_room(struct log_case *c, uint64_t seed)
{
    begin(c, seed);
    case_append_frames(c, 1, SMALL, 1);
    assert_int_equal(log_prepare(c->log), 0);
}

/* After a power failure all that was acknowledged is there. */
static void survives(struct log_case *c)
{
    case_close(c);
    disk_fake_fail(c->fake, 0, 0, 0, false);
    disk_fake_limit(c->fake, 0);
    disk_fake_start(c->fake);
    int code = case_open(c, 1, case_last_index(c));
    if (code != 0)
        print_error("%d: %s\n", code, c->why);
    assert_int_equal(code, 0);
    case_append_frames(c, 3, SMALL, 1);
}

static void a_full_disk_refuses_and_goes_on_without_reopening(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, 1);
    disk_fake_limit(c.fake, CASE_SEGMENT_BYTES + DISK_BLOCK_BYTES);
    assert_int_equal(case_append(&c, SMALL, 1), 0);
    assert_int_equal(log_prepare(c.log), ERR_DISK_FULL);
    while (log_has_room(c.log, SMALL))
        assert_int_equal(case_append(&c, SMALL, 1), 0);
    assert_int_equal(c.count, CASE_SEGMENT_BYTES / DISK_BLOCK_BYTES - 1);
    assert_int_equal(case_append(&c, SMALL, 1), ERR_DISK_FULL);
    assert_int_equal(log_prepare(c.log), ERR_DISK_FULL);
    assert_int_equal(case_retry(&c), ERR_DISK_FULL);
    assert_int_equal(disk_fake_files(c.fake), 1);
    assert_int_equal(log_bytes(c.log), CASE_SEGMENT_BYTES);
    disk_fake_limit(c.fake, 4 * CASE_SEGMENT_BYTES);
    assert_false(log_has_room(c.log, SMALL));
    assert_int_equal(log_prepare(c.log), 0);
    assert_true(log_has_room(c.log, SMALL));
    assert_int_equal(case_retry(&c), 0);
    survives(&c);
    case_end(&c);
}

/* On a file system that copies on write also an overwriting write can find the disk full. */
static void a_write_that_finds_the_disk_full_can_be_tried_again(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        for (uint64_t seed = 0; seed < 10; seed++) {
            struct log_case c;
            begin_with_room(&c, seed);
            disk_fake_fail(c.fake, FAKE_WRITE, nth, ERR_DISK_FULL, false);
            for (int i = 0; i < 12; i++) {
                int code = case_append(&c, SMALL, 1);
                if (code != 0) {
                    assert_int_equal(code, ERR_DISK_FULL);
                    assert_int_equal(case_retry(&c), 0);
                }
            }
            assert_true(disk_fake_has_failed(c.fake));
            survives(&c);
            case_end(&c);
        }
    }
}

/* What was written of a frame in a place that was then given up must not be taken for a frame. */
static void a_larger_frame_may_follow_a_failed_one_in_the_next_segment(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct log_case c;
        begin(&c, seed);
        case_append_frames(&c, 6, SMALL, 1); /* leaves one block */
        assert_int_equal(log_prepare(c.log), 0);
        disk_fake_fail(c.fake, FAKE_WRITE, 1, ERR_DISK_FULL, false);
        assert_int_equal(case_append(&c, SMALL, 1), ERR_DISK_FULL);
        assert_int_equal(case_append(&c, CASE_PAYLOAD_BYTES_MAX, 2), 0);
        survives(&c);
        case_end(&c);
    }
}

static void a_failed_write_is_final(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 10; nth++) {
        struct log_case c;
        begin_with_room(&c, nth);
        disk_fake_fail(c.fake, FAKE_WRITE, nth, ERR_IO, false);
        int code = 0;
        while (code == 0)
            code = case_append(&c, SMALL, 1);
        assert_int_equal(code, ERR_IO);
        assert_true(disk_fake_has_failed(c.fake));
        /* the disk is well again, the log takes nothing more */
        uint64_t writes = disk_fake_count(c.fake, FAKE_ALL);
        assert_int_equal(case_retry(&c), ERR_IO);
        assert_int_equal(log_prepare(c.log), ERR_IO);
        assert_int_equal(case_retry(&c), ERR_IO);
        assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), writes);
        assert_int_equal(log_last_index(c.log), case_last_index(&c));
        survives(&c);
        case_end(&c);
    }
}

/* A write that failed may have left its frame in the disk's own cache, where it can be read: who
 * finds it at the next start acts on it, so it stays through a power failure then. */
static void what_is_found_after_a_failed_write_is_durable(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct log_case c;
        bool large = seed % 3 == 0;
        begin_with_room(&c, seed);
        disk_fake_fail(c.fake, FAKE_WRITE, 1 + seed % (large ? 5 : 10), ERR_IO, false);
        int code = 0;
        while (code == 0)
            code = case_append(&c, large ? CASE_PAYLOAD_BYTES_MAX : SMALL, 1);
        assert_int_equal(code, ERR_IO);
        size_t acknowledged = c.count;
        case_close(&c);
        assert_int_equal(case_open(&c, 1, case_last_index(&c)), 0);
        found += c.count > acknowledged;
        survives(&c);
        case_end(&c);
    }
    assert_true(found > 10);
}

/* Another failure of a write than a full disk is no better. */
static void an_unknown_failure_of_a_write_is_final(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, 1);
    disk_fake_fail(c.fake, FAKE_WRITE, 1, ERR_SYSTEM, false);
    assert_int_equal(case_append(&c, SMALL, 1), ERR_IO);
    assert_int_equal(case_retry(&c), ERR_IO);
    case_end(&c);
}

/* Every operation that a prepare makes fails once; what is tried next must find no obstacle. */
static void prepare_leaves_nothing_behind_wherever_it_fails(void **state)
{
    (void)state;
    static const int codes[] = {ERR_DISK_FULL, ERR_SYSTEM, ERR_NO_MEMORY};
    for (uint64_t nth = 1;; nth++) {
        struct log_case c;
        begin(&c, nth);
        case_append_frames(&c, 1, SMALL, 1);
        int expected = codes[nth % 3];
        disk_fake_fail(c.fake, FAKE_ALL, nth, expected, false);
        int code = log_prepare(c.log);
        if (!disk_fake_has_failed(c.fake)) {
            assert_int_equal(code, 0);
            assert_true(nth > 5); /* remove, create, write, sync, rename, sync */
            case_end(&c);
            break;
        }
        assert_int_equal(code, expected);
        assert_int_equal(disk_fake_files(c.fake), 1);
        assert_int_equal(log_bytes(c.log), CASE_SEGMENT_BYTES);
        assert_int_equal(log_prepare(c.log), 0);
        assert_int_equal(disk_fake_files(c.fake), 2);
        survives(&c);
        case_end(&c);
    }
}

static void prepare_that_meets_a_broken_disk_is_final(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct log_case c;
        begin(&c, nth);
        case_append_frames(&c, 1, SMALL, 1);
        disk_fake_fail(c.fake, FAKE_ALL, nth, ERR_IO, true);
        int code = log_prepare(c.log);
        bool failed = disk_fake_has_failed(c.fake);
        disk_fake_fail(c.fake, 0, 0, 0, false);
        assert_int_equal(code, failed ? ERR_IO : 0);
        assert_int_equal(case_append(&c, SMALL, 1), failed ? ERR_IO : 0);
        survives(&c);
        case_end(&c);
        if (!failed)
            break;
    }
}

static void a_log_that_cannot_be_opened_says_why_and_can_be_tried_again(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct log_case c;
        begin(&c, nth);
        case_append_frames(&c, 9, SMALL, 1);
        assert_int_equal(log_prepare(c.log), 0);
        case_close(&c);
        disk_fake_fail(c.fake, FAKE_ALL, nth, ERR_IO, false);
        int code = case_open(&c, 1, 9);
        bool failed = disk_fake_has_failed(c.fake);
        assert_int_equal(code, failed ? ERR_IO : 0);
        assert_true((strstr(c.why, "the disk failed") != NULL) == failed);
        survives(&c);
        case_end(&c);
        if (!failed)
            break;
    }
}

static void a_full_disk_at_the_first_start_is_an_answer(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    disk_fake_limit(c.fake, CASE_SEGMENT_BYTES - 1);
    assert_int_equal(case_open(&c, 1, 0), ERR_DISK_FULL);
    assert_int_equal(disk_fake_files(c.fake), 0);
    disk_fake_limit(c.fake, 0);
    assert_int_equal(case_open(&c, 1, 0), 0);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_and_goes_on_without_reopening),
        cmocka_unit_test(a_write_that_finds_the_disk_full_can_be_tried_again),
        cmocka_unit_test(a_larger_frame_may_follow_a_failed_one_in_the_next_segment),
        cmocka_unit_test(a_failed_write_is_final),
        cmocka_unit_test(what_is_found_after_a_failed_write_is_durable),
        cmocka_unit_test(an_unknown_failure_of_a_write_is_final),
        cmocka_unit_test(prepare_leaves_nothing_behind_wherever_it_fails),
        cmocka_unit_test(prepare_that_meets_a_broken_disk_is_final),
        cmocka_unit_test(a_log_that_cannot_be_opened_says_why_and_can_be_tried_again),
        cmocka_unit_test(a_full_disk_at_the_first_start_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
