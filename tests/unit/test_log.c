/* The log where nothing goes wrong, on the fake disk and on the real one: order, room, roll-over,
 * the two buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "support/log_case.h"

enum { SMALL = 100, BLOCKS_2 = DISK_BLOCK_BYTES };

static void on_both(void (*body)(struct log_case *c))
{
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        case_begin(&c, real != 0, 7);
        body(&c);
        case_end(&c);
    }
}

static void reopen(struct log_case *c, uint64_t from)
{
    case_close(c);
    int code = case_open(c, from, case_last_index(c));
    if (code != 0)
        print_error("%d: %s\n", code, c->why);
    assert_int_equal(code, 0);
}

static void begins_with_1(struct log_case *c)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(case_open(c, 1, 0), 0);
        assert_int_equal(log_first_index(c->log), 1);
        assert_int_equal(log_last_index(c->log), 0);
        assert_int_equal(log_bytes(c->log), CASE_SEGMENT_BYTES);
        assert_true(log_has_room(c->log, CASE_PAYLOAD_BYTES_MAX));
        case_close(c);
    }
}

static void an_empty_log_begins_with_index_1_and_has_room(void **state)
{
    (void)state;
    on_both(begins_with_1);
}

static void in_order(struct log_case *c)
{
    assert_int_equal(case_open(c, 1, 0), 0);
    for (uint32_t i = 1; i <= 20; i++)
        case_append_frames(c, 1, i * 577 % CASE_PAYLOAD_BYTES_MAX, i % 3 + 1);
    uint64_t last = case_last_index(c);
    for (uint64_t from = 0; from <= last + 1; from++) {
        reopen(c, from);
        assert_int_equal(log_first_index(c->log), 1);
        size_t expected = 0;
        for (size_t i = 0; i < c->count; i++)
            expected += c->frames[i].position.first_index + c->frames[i].position.entries > from;
        assert_int_equal(c->given, expected);
    }
    case_append_frames(c, 3, SMALL, 1);
    reopen(c, 1);
}

static void frames_come_back_in_order_from_any_index(void **state)
{
    (void)state;
    on_both(in_order);
}

static void rolls_over(struct log_case *c)
{
    assert_int_equal(case_open(c, 1, 0), 0);
    /* 7 blocks behind the head: 2 frames of 3 blocks, and one block is left over */
    case_append_frames(c, 8, CASE_PAYLOAD_BYTES_MAX, 1);
    assert_int_equal(log_bytes(c->log), 4 * CASE_SEGMENT_BYTES);
    assert_true(log_has_room(c->log, SMALL));
    assert_false(log_has_room(c->log, BLOCKS_2));
    assert_int_equal(case_append(c, BLOCKS_2, 1), ERR_DISK_FULL);
    assert_int_equal(log_prepare(c->log), 0);
    assert_int_equal(log_prepare(c->log), 0);
    assert_int_equal(log_bytes(c->log), 5 * CASE_SEGMENT_BYTES);
    assert_int_equal(case_retry(c), 0);
    reopen(c, 1);
    assert_int_equal(c->given, 9);
    assert_int_equal(log_bytes(c->log), 5 * CASE_SEGMENT_BYTES);
    reopen(c, 9);
    assert_int_equal(c->given, 1);
}

static void the_log_rolls_over_segments(void **state)
{
    (void)state;
    on_both(rolls_over);
}

/* A segment that is prepared and not yet in use is normal; one of a size that is not wanted any
 * more is made anew. */
static void keeps_prepared(struct log_case *c)
{
    assert_int_equal(case_open(c, 1, 0), 0);
    case_append_frames(c, 1, SMALL, 1);
    assert_int_equal(log_prepare(c->log), 0);
    reopen(c, 1);
    assert_int_equal(log_bytes(c->log), 2 * CASE_SEGMENT_BYTES);
    assert_int_equal(log_prepare(c->log), 0);
    assert_int_equal(log_bytes(c->log), 2 * CASE_SEGMENT_BYTES);
    c->options.segment_bytes *= 2;
    reopen(c, 1);
    assert_int_equal(log_bytes(c->log), CASE_SEGMENT_BYTES);
    assert_int_equal(log_prepare(c->log), 0);
    assert_int_equal(log_bytes(c->log), 3 * CASE_SEGMENT_BYTES);
    case_append_frames(c, 25, SMALL, 1);
    assert_int_equal(log_bytes(c->log), 5 * CASE_SEGMENT_BYTES);
    reopen(c, 1);
}

static void a_prepared_segment_is_kept_where_its_size_is_right(void **state)
{
    (void)state;
    on_both(keeps_prepared);
}

static void the_room_behind_an_outstanding_frame_is_told(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 7);
    assert_int_equal(case_open(&c, 1, 0), 0);
    case_append_frames(&c, 1, SMALL, 1); /* 6 blocks are left, and a segment is not prepared */
    struct log_position p = {.first_index = 2, .entries = 1};
    assert_non_null(log_frame_begin(c.log, CASE_PAYLOAD_BYTES_MAX));
    assert_true(log_has_room(c.log, CASE_PAYLOAD_BYTES_MAX));
    struct log_frame *f = log_frame_end(c.log, &p, CASE_PAYLOAD_BYTES_MAX);
    assert_true(log_has_room(c.log, CASE_PAYLOAD_BYTES_MAX));
    assert_int_equal(log_append(c.log, f), 0);
    p.first_index = 3;
    assert_non_null(log_frame_begin(c.log, SMALL));
    f = log_frame_end(c.log, &p, SMALL);
    assert_false(log_has_room(c.log, CASE_PAYLOAD_BYTES_MAX));
    assert_true(log_has_room(c.log, BLOCKS_2));
    assert_int_equal(log_prepare(c.log), 0);
    assert_true(log_has_room(c.log, CASE_PAYLOAD_BYTES_MAX));
    assert_int_equal(log_append(c.log, f), 0);
    p.first_index = 4; /* this one takes the prepared segment, and leaves 4 blocks of it */
    assert_non_null(log_frame_begin(c.log, CASE_PAYLOAD_BYTES_MAX));
    f = log_frame_end(c.log, &p, CASE_PAYLOAD_BYTES_MAX);
    assert_true(log_has_room(c.log, CASE_PAYLOAD_BYTES_MAX));
    assert_int_equal(log_append(c.log, f), 0);
    case_end(&c);
}

static void one_buffer_is_filled_while_the_other_is_written(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 7);
    assert_int_equal(case_open(&c, 1, 0), 0);
    assert_null(log_frame_begin(c.log, CASE_PAYLOAD_BYTES_MAX + 1));
    char *first = log_frame_begin(c.log, 10);
    assert_non_null(first);
    memcpy(first, "kept so far", 10);
    first = log_frame_begin(c.log, CASE_PAYLOAD_BYTES_MAX);
    assert_non_null(first);
    assert_memory_equal(first, "kept so far", 10);
    struct log_position p = {.first_index = 1, .entries = 1};
    struct log_frame *f = log_frame_end(c.log, &p, 10);
    char *second = log_frame_begin(c.log, 10);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    memcpy(second, "the second", 10);
    assert_int_equal(log_append(c.log, f), 0);
    assert_memory_equal(second, "the second", 10);
    p.first_index = 2;
    f = log_frame_end(c.log, &p, 10);
    assert_ptr_equal(log_frame_begin(c.log, 10), first);
    assert_int_equal(log_append(c.log, f), 0);
    assert_int_equal(log_last_index(c.log), 2);
    case_end(&c);
}

static int keep_commit(void *context, const struct log_position *p, struct span payload)
{
    (void)payload;
    *(uint64_t *)context = p->commit;
    return 0;
}

/* What a backup hears of the primary's commit may be far beyond its own log. */
static void a_commit_position_beyond_the_frame_is_kept_as_its_end(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 7);
    assert_int_equal(case_open(&c, 1, 0), 0);
    struct log_position p = {.first_index = 1, .entries = 3, .commit = 1000};
    assert_non_null(log_frame_begin(c.log, 0));
    assert_int_equal(log_append(c.log, log_frame_end(c.log, &p, 0)), 0);
    case_close(&c);
    uint64_t commit = 0;
    assert_int_equal(log_open(&c.log, &c.options, 1, 0, keep_commit, &commit, c.why, sizeof c.why),
                     0);
    assert_int_equal(commit, 3);
    case_end(&c);
}

static int stop_at_2(void *context, const struct log_position *p, struct span payload)
{
    (void)context;
    (void)payload;
    return p->first_index == 2 ? 4711 : 0;
}

static void who_takes_the_frames_can_end_the_recovery(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 7);
    assert_int_equal(case_open(&c, 1, 0), 0);
    case_append_frames(&c, 3, SMALL, 1);
    case_close(&c);
    assert_int_equal(log_open(&c.log, &c.options, 1, 0, stop_at_2, NULL, c.why, sizeof c.why),
                     4711);
    c.log = NULL;
    assert_int_equal(case_open(&c, 1, 3), 0);
    case_end(&c);
}

static void an_absent_parent_folder_is_an_answer(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, true, 7);
    c.options.folder = "/tmp/noted-test-log-none/log";
    assert_int_equal(case_open(&c, 1, 0), ERR_NOT_FOUND);
    assert_non_null(strstr(c.why, "/tmp/noted-test-log-none/log cannot be made ready"));
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_begins_with_index_1_and_has_room),
        cmocka_unit_test(frames_come_back_in_order_from_any_index),
        cmocka_unit_test(the_log_rolls_over_segments),
        cmocka_unit_test(a_prepared_segment_is_kept_where_its_size_is_right),
        cmocka_unit_test(the_room_behind_an_outstanding_frame_is_told),
        cmocka_unit_test(one_buffer_is_filled_while_the_other_is_written),
        cmocka_unit_test(a_commit_position_beyond_the_frame_is_kept_as_its_end),
        cmocka_unit_test(who_takes_the_frames_can_end_the_recovery),
        cmocka_unit_test(an_absent_parent_folder_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
