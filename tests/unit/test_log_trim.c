/* Trimming: the oldest segments go, safe wherever the machine stops, and beside whoever appends,
 * cuts and reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "log_fill.h"

enum { ANY = 1 << 30 /* more than there is */ };

static void begin(struct log_case *c, bool real, bool prepared, uint64_t seed)
{
    case_begin(c, real, seed);
    opened(c, 1, 0);
    fill(c, prepared);
}

/* The first index of segment 1 … SEGMENTS. */
static uint64_t first_of(const struct log_case *c, uint64_t segment)
{
    return c->frames[(segment - 1) * FRAMES / SEGMENTS].position.first_index;
}

/* The first segment that is left. */
static uint64_t left_by(const struct log_case *c, uint64_t index)
{
    uint64_t segment = 1;
    while (segment < SEGMENTS && first_of(c, segment + 1) - 1 <= index)
        segment++;
    return segment;
}

static bool is_there(struct log_case *c, uint64_t segment)
{
    struct disk_file *file;
    int code = c->disk.open(c->disk.context, case_path(c, segment), DISK_READ_ONLY, &file);
    if (code == 0)
        c->disk.close(file);
    assert_true(code == 0 || code == ERR_NOT_FOUND);
    return code == 0;
}

/* All from its first index on is read as it was built (log_case.c says how), and nothing below. */
static void reads_all(struct log_case *c)
{
    struct log_reader *reader;
    struct buf to = {.at = NULL};
    uint64_t first = log_first_index(c->log), last = 0;
    size_t at = 0;
    assert_int_equal(log_reader_create(&reader, c->log), 0);
    buf_reset(&to, SIZE_MAX);
    assert_int_equal(log_read(reader, first - 1, ANY, &to, &last), ERR_NOT_FOUND);
    assert_int_equal(log_read(reader, first, ANY, &to, &last), 0);
    assert_int_equal(last, case_last_index(c));
    for (size_t frame = 0; frame < c->count; frame++) {
        uint64_t index = c->frames[frame].position.first_index;
        size_t bytes = index < first ? 0 : c->frames[frame].payload_bytes;
        assert_true(bytes <= to.bytes - at);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(to.at[at + i], (char)((index * 31 + i * 7 + i / 256) & 0xff));
        at += bytes;
    }
    assert_int_equal(at, to.bytes);
    buf_finish(&to);
    log_reader_destroy(reader);
}

/* `fill`, of which this is the first segment that is left. */
static void begins_with(struct log_case *c, uint64_t segment, bool prepared)
{
    assert_int_equal(log_first_index(c->log), first_of(c, segment));
    assert_int_equal(log_last_index(c->log), case_last_index(c));
    assert_int_equal(log_last_chain(c->log), c->frames[c->count - 1].position.chain);
    assert_int_equal(log_bytes(c->log), (SEGMENTS + 1 - segment + prepared) * CASE_SEGMENT_BYTES);
    assert_int_equal(log_is_prepared(c->log), prepared);
    for (uint64_t number = 1; number <= (prepared ? SEGMENTS + 1 : SEGMENTS); number++)
        assert_int_equal(is_there(c, number), number >= segment);
    reads_all(c);
}

static void trim_at(uint64_t index, bool real, bool prepared)
{
    struct log_case c;
    begin(&c, real, prepared, index);
    uint64_t segment = left_by(&c, index), first = first_of(&c, segment);
    assert_int_equal(log_trim(c.log, index), 0);
    begins_with(&c, segment, prepared);
    case_close(&c);
    if (segment != 1)
        assert_int_equal(case_open(&c, first - 1, 0), ERR_CORRUPT);
    opened(&c, first, case_last_index(&c));
    begins_with(&c, segment, prepared);
    case_append_frames(&c, 10, MEDIUM, 2);
    case_close(&c);
    opened(&c, first, case_last_index(&c));
    assert_int_equal(log_first_index(c.log), first);
    reads_all(&c);
    /* and what recovery found is trimmed in the same way */
    assert_int_equal(log_trim(c.log, first_of(&c, SEGMENTS) - 1), 0);
    assert_int_equal(log_first_index(c.log), first_of(&c, SEGMENTS));
    reads_all(&c);
    case_end(&c);
}

static void whole_segments_at_or_below_the_index_are_removed_and_nothing_else(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        for (uint64_t index = 0; index <= FRAMES * 2 + 2; index++)
            trim_at(index, i / 2 != 0, i % 2 != 0);
        trim_at(UINT64_MAX, i / 2 != 0, i % 2 != 0);
    }
}

static void where_nothing_is_to_be_removed_the_disk_is_not_touched(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    uint64_t all = disk_fake_count(c.fake, FAKE_ALL);
    assert_int_equal(log_trim(c.log, UINT64_MAX), 0);
    assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all);
    assert_int_equal(log_first_index(c.log), 1);
    fill(&c, true);
    all = disk_fake_count(c.fake, FAKE_ALL);
    for (uint64_t index = 0; index < first_of(&c, 2) - 1; index++)
        assert_int_equal(log_trim(c.log, index), 0);
    assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all);
    assert_int_equal(log_trim(c.log, first_of(&c, 3) - 1), 0);
    assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all + 4); /* two removed, each synced */
    assert_int_equal(log_trim(c.log, first_of(&c, 3) - 1), 0);
    assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all + 4);
    begins_with(&c, 3, true);
    case_end(&c);
}

static void a_log_that_is_trimmed_as_it_grows_stays_small(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    for (uint64_t i = 0; i < 300; i++) {
        case_append_frames(&c, 1, i % 2 == 0 ? LARGE : SMALL, 1);
        assert_int_equal(log_trim(c.log, i < 5 ? 0 : i - 5), 0);
        assert_in_range(log_bytes(c.log), 0, 5 * CASE_SEGMENT_BYTES);
        assert_in_range(disk_fake_files(c.fake), 1, 5);
        if (i % 50 == 49) {
            case_close(&c);
            disk_fake_start(c.fake);
            opened(&c, i - 3, i);
            reads_all(&c);
        }
    }
    case_end(&c);
}

static void a_trimmed_log_can_be_cut_to_its_beginning_and_not_below(void **state)
{
    (void)state;
    for (uint64_t segment = 2; segment <= SEGMENTS; segment++) {
        struct log_case c;
        begin(&c, false, segment % 2 == 0, segment);
        uint64_t first = first_of(&c, segment);
        assert_int_equal(log_trim(c.log, first - 1), 0);
        c.count = (segment - 1) * FRAMES / SEGMENTS;
        uint64_t chain = c.frames[c.count - 1].position.chain;
        assert_int_equal(log_cut(c.log, first - 2, chain), ERR_BAD_REQUEST);
        assert_int_equal(log_cut(c.log, first - 1, chain), 0);
        assert_int_equal(log_last_index(c.log), first - 1);
        assert_int_equal(log_last_chain(c.log), chain);
        assert_int_equal(log_trim(c.log, first - 1), 0);
        case_close(&c);
        opened(&c, first, first - 1);
        case_append_frames(&c, 9, LARGE, 2);
        case_close(&c);
        opened(&c, first, case_last_index(&c));
        reads_all(&c);
        case_end(&c);
    }
}

/* The disk is there again: the log has all that was not to be trimmed, and begins with a whole
 * segment. */
static void come_back(struct log_case *c, uint64_t index, uint64_t nth)
{
    case_close(c);
    disk_fake_start(c->fake);
    int code = case_open(c, index + 1, case_last_index(c));
    if (code != 0)
        print_error("trimmed to %lu, stopped at change %lu: %d: %s\n", (unsigned long)index,
                    (unsigned long)nth, code, c->why);
    assert_int_equal(code, 0);
    uint64_t segment = left_by(c, log_first_index(c->log) - 1);
    assert_int_equal(log_first_index(c->log), first_of(c, segment));
    assert_in_range(segment, 1, left_by(c, index));
    for (uint64_t number = 1; number <= SEGMENTS; number++)
        assert_int_equal(is_there(c, number), number >= segment);
    reads_all(c);
}

/* Stops at the nth change of a trim, comes back, stops at another of the next, comes back, trims in
 * peace. Whether the first came to its end. */
static bool stop_at(uint64_t index, bool prepared, enum disk_fake_end end, uint64_t nth)
{
    struct log_case c;
    begin(&c, false, prepared, index * 100 + nth);
    disk_fake_end_at(c.fake, nth, end, FAKE_TORN_SECTORS);
    int code = log_trim(c.log, index);
    bool ended = disk_fake_has_ended(c.fake);
    assert_int_equal(code, ended ? ERR_IO : 0);
    come_back(&c, index, nth);
    disk_fake_end_at(c.fake, nth / 2 + 1, end, FAKE_TORN_SECTORS);
    code = log_trim(c.log, index);
    assert_int_equal(code, disk_fake_has_ended(c.fake) ? ERR_IO : 0);
    come_back(&c, index, nth);
    assert_int_equal(log_trim(c.log, index), 0);
    begins_with(&c, left_by(&c, index), prepared);
    case_append_frames(&c, 5, LARGE, 2);
    come_back(&c, index, nth);
    case_end(&c);
    return !ended;
}

static void stop_everywhere(enum disk_fake_end end)
{
    for (int prepared = 0; prepared < 2; prepared++) {
        for (uint64_t index = 0; index <= FRAMES * 2; index++) {
            uint64_t nth = 1;
            while (!stop_at(index, prepared != 0, end, nth))
                nth++;
        }
    }
}

static void a_power_failure_in_a_trim_keeps_what_is_above_without_a_gap(void **state)
{
    (void)state;
    stop_everywhere(FAKE_POWER);
}

static void the_same_where_some_of_what_was_not_synced_is_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        stop_everywhere(FAKE_POWER_LOSE_SOME);
}

static void the_same_where_the_process_is_killed(void **state)
{
    (void)state;
    stop_everywhere(FAKE_KILL);
}

/* Appends, prepares and trims until the disk ends, or for so many steps. `trimmed`: index up to
 * which a trim began. */
static void grow(struct log_case *c, uint64_t seed, uint64_t *trimmed)
{
    for (uint64_t step = 0; step < 24 && !disk_fake_has_ended(c->fake); step++) {
        uint64_t last = case_last_index(c), keep = (seed + step) % 7;
        if (step % 3 == 2 && last > *trimmed + keep) {
            *trimmed = last - keep;
            (void)log_trim(c->log, *trimmed);
        } else if (log_has_room(c->log, LARGE) || log_prepare(c->log) == 0) {
            (void)case_append(c, LARGE, 2);
        }
    }
}

static bool stop_growing_at(uint64_t nth, uint64_t seed, enum disk_fake_end end)
{
    struct log_case c;
    uint64_t trimmed = 0;
    bool ended = false;
    case_begin(&c, false, seed * 1000 + nth);
    opened(&c, 1, 0);
    for (int life = 0; life < 3; life++) {
        disk_fake_end_at(c.fake, life == 0 ? nth : (nth * 7 + seed) % 40 + 1, end,
                         FAKE_TORN_SECTORS);
        grow(&c, seed, &trimmed);
        if (life == 0)
            ended = disk_fake_has_ended(c.fake);
        case_close(&c);
        disk_fake_start(c.fake);
        opened(&c, trimmed + 1, case_last_index(&c));
        assert_in_range(log_first_index(c.log), 1, trimmed + 1);
        if (log_last_index(c.log) >= log_first_index(c.log))
            reads_all(&c);
    }
    case_end(&c);
    return !ended;
}

static void a_crash_anywhere_in_a_life_of_appends_and_trims_loses_nothing(void **state)
{
    (void)state;
    static const enum disk_fake_end ends[] = {FAKE_POWER, FAKE_POWER_LOSE_SOME, FAKE_KILL};
    for (uint64_t seed = 0; seed < 12; seed++) {
        uint64_t nth = 1;
        while (!stop_growing_at(nth, seed, ends[seed % 3]))
            nth++;
        assert_true(nth > 40);
    }
}

static void a_disk_that_fails_in_a_trim_is_final(void **state)
{
    (void)state;
    bool failed = true;
    uint64_t nth = 1;
    for (; failed; nth++) {
        struct log_case c;
        begin(&c, false, true, nth);
        uint64_t index = first_of(&c, SEGMENTS) - 1;
        disk_fake_fail(c.fake, FAKE_ALL, nth, ERR_IO, false);
        int code = log_trim(c.log, index);
        failed = disk_fake_has_failed(c.fake);
        disk_fake_fail(c.fake, 0, 0, 0, false);
        assert_int_equal(code, failed ? ERR_IO : 0);
        if (failed) {
            uint64_t all = disk_fake_count(c.fake, FAKE_ALL);
            assert_int_equal(log_trim(c.log, index), ERR_IO);
            assert_int_equal(log_prepare(c.log), ERR_IO);
            assert_int_equal(case_append(&c, SMALL, 1), ERR_IO);
            assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all);
            c.flying = false;
        }
        come_back(&c, index, nth);
        case_end(&c);
    }
    assert_int_equal(nth - 1, 7); /* three segments removed and synced, and the trim that was not
                                     disturbed */
}

/* Fails at the nth operation, goes on, and stops at a change of the next trim. Whether it failed.
 */
static bool go_on_after(uint64_t nth, uint64_t stop, int expected)
{
    struct log_case c;
    begin(&c, false, true, nth * 10 + stop);
    uint64_t index = first_of(&c, SEGMENTS) - 1;
    disk_fake_fail(c.fake, FAKE_ALL, nth, expected, false);
    int code = log_trim(c.log, index);
    bool failed = disk_fake_has_failed(c.fake);
    disk_fake_fail(c.fake, 0, 0, 0, false);
    assert_int_equal(code, failed ? expected : 0);
    uint64_t segment = left_by(&c, log_first_index(c.log) - 1);
    begins_with(&c, segment, true);
    assert_int_equal(segment, failed ? 1 + nth / 2 : SEGMENTS);
    case_append_frames(&c, 1, LARGE, 1);
    assert_int_equal(log_prepare(c.log), 0);
    disk_fake_end_at(c.fake, stop, FAKE_POWER_LOSE_SOME, 0);
    code = log_trim(c.log, index);
    assert_int_equal(code, disk_fake_has_ended(c.fake) ? ERR_IO : 0);
    if (code == 0)
        assert_int_equal(log_first_index(c.log), first_of(&c, SEGMENTS));
    come_back(&c, index, nth);
    case_end(&c);
    return failed;
}

static void what_could_not_be_removed_stays_in_the_log_and_can_be_tried_again(void **state)
{
    (void)state;
    static const int codes[] = {ERR_SYSTEM, ERR_NO_MEMORY, ERR_DISK_FULL};
    for (uint64_t stop = 1; stop < 9; stop++) {
        for (size_t i = 0; i < 3 * sizeof codes / sizeof *codes; i++) {
            uint64_t nth = 1;
            while (go_on_after(nth, stop, codes[i % 3]))
                nth++;
            assert_int_equal(nth, 7);
        }
    }
}

static void a_reader_that_stands_in_what_was_trimmed_is_told_that_it_is_gone(void **state)
{
    (void)state;
    for (uint64_t segment = 2; segment <= SEGMENTS; segment++) {
        for (uint64_t place = 1; place <= FRAMES * 2; place++) {
            struct log_case c;
            begin(&c, false, true, place);
            struct log_reader *reader;
            struct buf to = {.at = NULL};
            uint64_t last, first = first_of(&c, segment);
            buf_reset(&to, SIZE_MAX);
            assert_int_equal(log_reader_create(&reader, c.log), 0);
            assert_int_equal(log_read(reader, place, 0, &to, &last), 0);
            assert_int_equal(log_trim(c.log, first - 1), 0);
            uint64_t all = disk_fake_count(c.fake, FAKE_ALL);
            for (uint64_t index = 0; index < first; index++)
                assert_int_equal(log_read(reader, index, 0, &to, &last), ERR_NOT_FOUND);
            assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all);
            buf_reset(&to, SIZE_MAX);
            assert_int_equal(log_read(reader, first, ANY, &to, &last), 0);
            assert_int_equal(last, case_last_index(&c));
            log_reader_destroy(reader);
            buf_finish(&to);
            case_end(&c);
        }
    }
}

static int count_one(void *arg, const char *name)
{
    (void)name;
    ++*(size_t *)arg;
    return 0;
}

static size_t open_files(const struct log_case *c)
{
    size_t count = 0;
    assert_int_equal(c->disk.list(c->disk.context, "/proc/self/fd", count_one, &count), 0);
    return count;
}

/* Else the space of the file would not be free. */
static void a_reader_that_is_told_so_has_left_the_file(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, true, true, 1);
    struct log_reader *reader;
    struct buf to = {.at = NULL};
    uint64_t last;
    size_t files = open_files(&c);
    buf_reset(&to, SIZE_MAX);
    assert_int_equal(log_reader_create(&reader, c.log), 0);
    assert_int_equal(log_read(reader, 1, 0, &to, &last), 0);
    assert_int_equal(open_files(&c), files + 1);
    assert_int_equal(log_trim(c.log, first_of(&c, 2) - 1), 0);
    assert_int_equal(log_read(reader, 2, 0, &to, &last), ERR_NOT_FOUND);
    assert_int_equal(open_files(&c), files);
    log_reader_destroy(reader);
    buf_finish(&to);
    case_end(&c);
}

/* That in which the bytes end stays, too, and so does the one in use; the prepared one counts for
 * nothing. */
static void what_lies_further_back_than_some_bytes_is_told(void **state)
{
    (void)state;
    for (int prepared = 0; prepared < 2; prepared++) {
        struct log_case c;
        begin(&c, false, prepared != 0, 1);
        for (uint64_t fit = 0; fit < SEGMENTS; fit++) {
            uint64_t index = first_of(&c, SEGMENTS - fit) - 1, bytes = fit * CASE_SEGMENT_BYTES;
            assert_int_equal(log_index_beyond(c.log, bytes), index);
            assert_int_equal(log_index_beyond(c.log, bytes + CASE_SEGMENT_BYTES - 1), index);
        }
        assert_int_equal(log_index_beyond(c.log, SEGMENTS * CASE_SEGMENT_BYTES), 0);
        assert_int_equal(log_index_beyond(c.log, UINT64_MAX), 0);
        assert_int_equal(log_trim(c.log, log_index_beyond(c.log, CASE_SEGMENT_BYTES)), 0);
        assert_int_equal(log_first_index(c.log), first_of(&c, 3));
        assert_int_equal(log_index_beyond(c.log, CASE_SEGMENT_BYTES), 0);
        assert_int_equal(log_index_beyond(c.log, 0), first_of(&c, 4) - 1);
        case_end(&c);
    }
}

static void an_empty_log_has_nothing_that_lies_further_back(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    assert_int_equal(log_index_beyond(c.log, 0), 0);
    case_end(&c);
}

static void damage_in_what_is_left_is_told_as_before(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false, true, 1);
    struct log_reader *reader;
    struct buf to = {.at = NULL};
    uint64_t last, first = first_of(&c, 2);
    buf_reset(&to, SIZE_MAX);
    assert_int_equal(log_trim(c.log, first - 1), 0);
    assert_int_equal(log_reader_create(&reader, c.log), 0);
    disk_fake_flip(c.fake, case_path(&c, 2), DISK_BLOCK_BYTES + 100, 1);
    assert_int_equal(log_read(reader, first, ANY, &to, &last), ERR_CORRUPT);
    log_reader_destroy(reader);
    buf_finish(&to);
    case_close(&c);
    assert_int_equal(case_open(&c, first, 0), ERR_CORRUPT);
    assert_non_null(strstr(c.why, "0002.log, byte 4096: a frame is damaged"));
    disk_fake_flip(c.fake, case_path(&c, 2), DISK_BLOCK_BYTES + 100, 1);
    assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 3)), 0);
    assert_int_equal(case_open(&c, first, 0), ERR_CORRUPT);
    assert_non_null(strstr(c.why, "0003.log, byte 0: this segment is missing"));
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_segments_at_or_below_the_index_are_removed_and_nothing_else),
        cmocka_unit_test(where_nothing_is_to_be_removed_the_disk_is_not_touched),
        cmocka_unit_test(a_log_that_is_trimmed_as_it_grows_stays_small),
        cmocka_unit_test(a_trimmed_log_can_be_cut_to_its_beginning_and_not_below),
        cmocka_unit_test(a_power_failure_in_a_trim_keeps_what_is_above_without_a_gap),
        cmocka_unit_test(the_same_where_some_of_what_was_not_synced_is_kept),
        cmocka_unit_test(the_same_where_the_process_is_killed),
        cmocka_unit_test(a_crash_anywhere_in_a_life_of_appends_and_trims_loses_nothing),
        cmocka_unit_test(a_disk_that_fails_in_a_trim_is_final),
        cmocka_unit_test(what_could_not_be_removed_stays_in_the_log_and_can_be_tried_again),
        cmocka_unit_test(a_reader_that_stands_in_what_was_trimmed_is_told_that_it_is_gone),
        cmocka_unit_test(a_reader_that_is_told_so_has_left_the_file),
        cmocka_unit_test(what_lies_further_back_than_some_bytes_is_told),
        cmocka_unit_test(an_empty_log_has_nothing_that_lies_further_back),
        cmocka_unit_test(damage_in_what_is_left_is_told_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
