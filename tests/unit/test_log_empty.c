/* A log that begins empty: at the index that its owner names, and after all of it was removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "support/log_case.h"

enum {
    SMALL = 100,                    /* one block */
    LARGE = CASE_PAYLOAD_BYTES_MAX, /* three */
    FIRST = 100,                    /* index of the empty log */
    ANY = 1 << 30,                  /* more than there is */
};
static const uint64_t chain = 0xfedcba9876543210;

static void opened(struct log_case *c, uint64_t from, uint64_t committed)
{
    int code = case_open(c, from, committed);
    if (code != 0)
        print_error("%d: %s\n", code, c->why);
    assert_int_equal(code, 0);
}

/* What is before index FIRST is one frame for the case, which recovery never gives. */
static void begin(struct log_case *c, bool real, uint64_t seed)
{
    case_begin(c, real, seed);
    c->options.first_index = FIRST;
    c->options.first_chain = chain;
    c->frames[0].position =
        (struct log_position){.first_index = 1, .entries = FIRST - 1, .chain = chain};
    c->count = 1;
}

static void is_empty(struct log_case *c, uint64_t first, uint64_t before)
{
    struct log_reader *reader;
    struct buf to = {.at = NULL};
    uint64_t last;
    buf_reset(&to, SIZE_MAX);
    assert_int_equal(log_first_index(c->log), first);
    assert_int_equal(log_last_index(c->log), first - 1);
    assert_int_equal(log_last_chain(c->log), before);
    assert_int_equal(log_bytes(c->log), CASE_SEGMENT_BYTES);
    assert_true(log_has_room(c->log, LARGE));
    assert_int_equal(log_reader_create(&reader, c->log), 0);
    for (uint64_t index = first - 1; index <= first + 1; index++)
        assert_int_equal(log_read(reader, index, ANY, &to, &last), ERR_NOT_FOUND);
    assert_int_equal(to.bytes, 0);
    log_reader_destroy(reader);
    assert_int_equal(log_trim(c->log, first), 0);
    assert_int_equal(log_cut(c->log, first - 1, before), 0);
    if (first != 1) {
        assert_int_equal(log_cut(c->log, first - 2, before), ERR_BAD_REQUEST);
        assert_int_equal(log_cut(c->log, 0, 0), ERR_BAD_REQUEST);
    }
    assert_int_equal(log_last_index(c->log), first - 1);
}

static void an_empty_log_begins_where_its_owner_says_at_each_start(void **state)
{
    (void)state;
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        begin(&c, real != 0, 1);
        for (int i = 0; i < 3; i++) {
            opened(&c, FIRST, FIRST - 1);
            is_empty(&c, FIRST, chain);
            assert_true(log_is_prepared(c.log));
            case_close(&c);
        }
        opened(&c, FIRST, FIRST - 1);
        case_append_frames(&c, 20, LARGE, 3);
        assert_int_equal(log_first_index(c.log), FIRST);
        case_close(&c);
        for (uint64_t from = FIRST; from <= case_last_index(&c) + 1; from++) {
            opened(&c, from, case_last_index(&c));
            case_close(&c);
        }
        case_end(&c);
    }
}

/* Its owner may have taken over something else before the first frame. */
static void the_place_may_be_another_one_at_each_start_before_the_first_frame(void **state)
{
    (void)state;
    static const uint32_t places[] = {0, FIRST, 5, 1, UINT32_MAX, 0, 7};
    struct log_case c;
    case_begin(&c, false, 1);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        c.options.first_index = 1ull + places[i];
        c.options.first_chain = 3ull * places[i];
        c.frames[0].position = (struct log_position){
            .first_index = 1, .entries = places[i], .chain = 3ull * places[i]};
        c.count = places[i] == 0 ? 0 : 1;
        opened(&c, 1ull + places[i], places[i]);
        is_empty(&c, 1ull + places[i], 3ull * places[i]);
        case_close(&c);
    }
    case_end(&c);
}

static void a_prepared_segment_of_another_size_is_made_anew(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false, 1);
    c.options.segment_bytes *= 2;
    opened(&c, FIRST, FIRST - 1);
    assert_int_equal(log_bytes(c.log), 2 * CASE_SEGMENT_BYTES);
    case_close(&c);
    c.options.segment_bytes /= 2;
    opened(&c, FIRST, FIRST - 1);
    is_empty(&c, FIRST, chain);
    case_append_frames(&c, 4, LARGE, 1);
    case_close(&c);
    opened(&c, FIRST, case_last_index(&c));
    case_end(&c);
}

static void the_first_frame_puts_the_place_on_the_disk_and_it_is_not_asked_for_again(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false, 1);
    opened(&c, FIRST, FIRST - 1);
    size_t bytes;
    const char *head = disk_fake_look(c.fake, case_path(&c, 1), &bytes);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(head[i], 0);
    case_append_frames(&c, 1, SMALL, 2);
    head = disk_fake_look(c.fake, case_path(&c, 1), &bytes);
    assert_int_equal(get_u64(head + 40), FIRST);
    assert_true(get_u64(head + 48) == chain);
    for (uint64_t i = 0; i < 3; i++) {
        case_close(&c);
        c.options.first_index = i * 500;
        c.options.first_chain = i * 17;
        opened(&c, FIRST, case_last_index(&c));
        assert_int_equal(log_first_index(c.log), FIRST);
        case_append_frames(&c, 3, LARGE, 1);
    }
    case_close(&c);
    assert_int_equal(case_open(&c, FIRST - 1, 0), ERR_CORRUPT);
    assert_non_null(strstr(c.why, "the log begins with index 100, but index 99 is needed"));
    case_end(&c);
}

static void cut_to_its_beginning_it_is_at_the_same_place(void **state)
{
    (void)state;
    for (size_t frames = 1; frames < 10; frames++) {
        struct log_case c;
        begin(&c, false, 1);
        opened(&c, FIRST, FIRST - 1);
        case_append_frames(&c, frames, LARGE, 2);
        assert_int_equal(log_cut(c.log, FIRST - 2, chain), ERR_BAD_REQUEST);
        assert_int_equal(log_cut(c.log, FIRST - 1, chain), 0);
        is_empty(&c, FIRST, chain);
        c.count = 1;
        case_close(&c);
        c.options.first_index = c.options.first_chain = 0; /* its segment knows */
        opened(&c, FIRST, FIRST - 1);
        is_empty(&c, FIRST, chain);
        case_append_frames(&c, frames, SMALL, 3);
        case_close(&c);
        opened(&c, FIRST, case_last_index(&c));
        case_end(&c);
    }
}

static void what_an_empty_log_cannot_have_is_refused_and_nothing_is_changed(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false, 1);
    for (int prepared = 0; prepared < 2; prepared++) {
        uint64_t changes = disk_fake_count(c.fake, FAKE_CHANGES);
        assert_int_equal(case_open(&c, FIRST - 1, 0), ERR_CORRUPT);
        assert_non_null(strstr(c.why, "is to begin with index 100, but index 99 is needed"));
        assert_int_equal(case_open(&c, FIRST + 1, 0), ERR_CORRUPT);
        assert_non_null(strstr(c.why, "index 100 is known to be committed"));
        assert_int_equal(case_open(&c, FIRST, FIRST), ERR_CORRUPT);
        assert_non_null(strstr(c.why, "has no entries, but index 100"));
        assert_int_equal(disk_fake_count(c.fake, FAKE_CHANGES), changes);
        opened(&c, FIRST, FIRST - 1);
        case_close(&c);
    }
    case_end(&c);
}

/* Opens the empty log and appends to it until the nth change of the disk. Whether it came to an
 * end. */
static bool stop_at(uint64_t nth, enum disk_fake_end end)
{
    struct log_case c;
    begin(&c, false, nth);
    disk_fake_end_at(c.fake, nth, end, FAKE_TORN_SECTORS);
    if (case_open(&c, FIRST, FIRST - 1) == 0)
        for (int i = 0; i < 5 && !disk_fake_has_ended(c.fake); i++)
            if (log_has_room(c.log, LARGE) || log_prepare(c.log) == 0)
                case_append(&c, LARGE, 2);
    bool ended = disk_fake_has_ended(c.fake);
    for (uint64_t again = 1; again <= 3; again++) {
        case_close(&c);
        disk_fake_start(c.fake);
        disk_fake_end_at(c.fake, again == 3 ? 0 : nth % 7 + again, end, FAKE_TORN_SECTORS);
        if (again == 3)
            opened(&c, FIRST, case_last_index(&c));
        else
            (void)case_open(&c, FIRST, case_last_index(&c));
    }
    assert_int_equal(log_first_index(c.log), FIRST);
    case_append_frames(&c, 5, LARGE, 2);
    case_close(&c);
    opened(&c, FIRST, case_last_index(&c));
    case_end(&c);
    return !ended;
}

static void an_empty_log_survives_a_crash_at_any_change(void **state)
{
    (void)state;
    static const enum disk_fake_end ends[] = {FAKE_POWER, FAKE_POWER_LOSE_SOME, FAKE_KILL};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        uint64_t nth = 1;
        while (!stop_at(nth, ends[i]))
            nth++;
        assert_true(nth > 10);
    }
}

/* Three segments in use, the first of them trimmed, one prepared, and what is left of one whose
 * making was cut short. */
static void fill(struct log_case *c)
{
    begin(c, false, 1);
    opened(c, FIRST, FIRST - 1);
    case_append_frames(c, 8, LARGE, 1);
    assert_int_equal(log_trim(c->log, FIRST + 1), 0);
    assert_int_equal(log_first_index(c->log), FIRST + 2);
    assert_int_equal(log_prepare(c->log), 0);
    case_close(c);
    disk_fake_put(c->fake, "log/0000000000000006.log.new", "draft", 5);
    disk_fake_put(c->fake, "log/note", "kept", 4);
    disk_fake_put(c->fake, "log/0000000000000006.log.old", "kept", 4);
    assert_int_equal(disk_fake_files(c->fake), 4 + 3);
}

/* Segments 2 up to the one that this tells are there, and no other. */
static uint64_t newest_left(struct log_case *c)
{
    size_t bytes;
    uint64_t newest = 1;
    while (disk_fake_look(c->fake, case_path(c, newest + 1), &bytes) != NULL)
        newest++;
    for (uint64_t number = newest + 1; number < 10; number++)
        assert_null(disk_fake_look(c->fake, case_path(c, number), &bytes));
    return newest;
}

/* Nothing of the old log is left, not even after a power failure, and a new one begins. */
static void begins_anew(struct log_case *c)
{
    disk_fake_start(c->fake);
    assert_int_equal(disk_fake_files(c->fake), 2);
    c->options.first_index = 2 * FIRST;
    c->options.first_chain = ~chain;
    c->frames[0].position.entries = 2 * FIRST - 1;
    c->frames[0].position.chain = ~chain;
    c->count = 1;
    c->flying = false;
    opened(c, 2 * FIRST, 2 * FIRST - 1);
    is_empty(c, 2 * FIRST, ~chain);
    case_append_frames(c, 8, LARGE, 1);
    case_close(c);
    opened(c, 2 * FIRST, case_last_index(c));
}

static bool remove_until(uint64_t nth, uint64_t again, enum disk_fake_end end)
{
    struct log_case c;
    fill(&c);
    disk_fake_end_at(c.fake, nth, end, 0);
    int code = log_remove_all(&c.disk, c.folder);
    bool ended = disk_fake_has_ended(c.fake);
    assert_int_equal(code, ended ? ERR_IO : 0);
    disk_fake_start(c.fake);
    uint64_t before = newest_left(&c);
    disk_fake_end_at(c.fake, again, end, 0);
    code = log_remove_all(&c.disk, c.folder);
    assert_int_equal(code, disk_fake_has_ended(c.fake) ? ERR_IO : 0);
    disk_fake_start(c.fake);
    assert_in_range(newest_left(&c), 1, before);
    disk_fake_end_at(c.fake, 0, end, 0);
    assert_int_equal(log_remove_all(&c.disk, c.folder), 0);
    begins_anew(&c);
    case_end(&c);
    return !ended;
}

static void removing_all_goes_on_behind_a_crash_at_any_change(void **state)
{
    (void)state;
    static const enum disk_fake_end ends[] = {FAKE_POWER, FAKE_POWER_LOSE_SOME, FAKE_KILL};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        for (uint64_t again = 1; again < 12; again++) {
            uint64_t nth = 1;
            while (!remove_until(nth, again, ends[i]))
                nth++;
            assert_int_equal(nth, 1 + 2 * 5 + 1); /* each of five files is removed and synced */
        }
    }
}

static void removing_all_that_fails_can_be_tried_again(void **state)
{
    (void)state;
    static const int codes[] = {ERR_IO, ERR_SYSTEM, ERR_NO_MEMORY, ERR_DISK_FULL};
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct log_case c;
        fill(&c);
        disk_fake_fail(c.fake, FAKE_ALL, nth, codes[nth % 4], false);
        int code = log_remove_all(&c.disk, c.folder);
        failed = disk_fake_has_failed(c.fake);
        disk_fake_fail(c.fake, 0, 0, 0, false);
        assert_int_equal(code, failed ? codes[nth % 4] : 0);
        (void)newest_left(&c);
        assert_int_equal(log_remove_all(&c.disk, c.folder), 0);
        begins_anew(&c);
        case_end(&c);
    }
}

static void where_there_is_no_log_there_is_nothing_to_remove(void **state)
{
    (void)state;
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        case_begin(&c, real != 0, 1);
        assert_int_equal(log_remove_all(&c.disk, "/tmp/noted-test-log-none/log"), 0);
        opened(&c, 1, 0);
        case_append_frames(&c, 9, LARGE, 1);
        case_close(&c);
        for (int i = 0; i < 3; i++)
            assert_int_equal(log_remove_all(&c.disk, c.folder), 0);
        c.count = 0;
        opened(&c, 1, 0);
        is_empty(&c, 1, 0);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_begins_where_its_owner_says_at_each_start),
        cmocka_unit_test(the_place_may_be_another_one_at_each_start_before_the_first_frame),
        cmocka_unit_test(a_prepared_segment_of_another_size_is_made_anew),
        cmocka_unit_test(the_first_frame_puts_the_place_on_the_disk_and_it_is_not_asked_for_again),
        cmocka_unit_test(cut_to_its_beginning_it_is_at_the_same_place),
        cmocka_unit_test(what_an_empty_log_cannot_have_is_refused_and_nothing_is_changed),
        cmocka_unit_test(an_empty_log_survives_a_crash_at_any_change),
        cmocka_unit_test(removing_all_goes_on_behind_a_crash_at_any_change),
        cmocka_unit_test(removing_all_that_fails_can_be_tried_again),
        cmocka_unit_test(where_there_is_no_log_there_is_nothing_to_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
