/* Cutting the end of the log off (rule S8): to any frame's boundary, safe wherever the machine
 * stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/err.h"
#include "log/frame.h"
#include "log_fill.h"

static uint64_t index_after(const struct log_case *c, size_t frames)
{
    const struct log_position *p = &c->frames[frames == 0 ? 0 : frames - 1].position;
    return frames == 0 ? 0 : p->first_index + p->entries - 1;
}

static uint64_t chain_after(const struct log_case *c, size_t frames)
{
    return frames == 0 ? 0 : c->frames[frames - 1].position.chain;
}

static int cut_to(struct log_case *c, size_t frames)
{
    return log_cut(c->log, index_after(c, frames), chain_after(c, frames));
}

/* The log ends with so many frames, and says so. */
static void ends_with(struct log_case *c, size_t frames)
{
    assert_int_equal(log_first_index(c->log), 1);
    assert_int_equal(log_last_index(c->log), index_after(c, frames));
    assert_int_equal(log_last_chain(c->log), chain_after(c, frames));
    c->count = frames;
    c->flying = false;
}

/* Nothing is left in the segments where the first `frames` frames end. */
static void holds_nothing_behind(struct log_case *c, size_t frames)
{
    size_t last = frames == 0 ? 0 : frames - 1, bytes;
    uint64_t at = (frames == 0 ? 1 : layout[last].block) * DISK_BLOCK_BYTES +
                  (frames == 0 ? 0 : frame_bytes(layout[last].payload_bytes));
    const char *content = disk_fake_look(c->fake, case_path(c, layout[last].segment), &bytes);
    assert_non_null(content);
    assert_int_equal(bytes, CASE_SEGMENT_BYTES);
    for (; at < bytes; at++)
        assert_int_equal(content[at], 0);
}

static void cut_everywhere(bool real, bool prepared, bool append)
{
    for (size_t frames = 0; frames <= FRAMES; frames++) {
        struct log_case c;
        case_begin(&c, real, frames);
        opened(&c, 1, 0);
        fill(&c, prepared);
        assert_int_equal(cut_to(&c, frames), 0);
        ends_with(&c, frames);
        uint64_t segments = frames == 0 ? 1 : layout[frames - 1].segment;
        bool next = prepared && segments == SEGMENTS;
        assert_int_equal(log_bytes(c.log), (segments + next) * CASE_SEGMENT_BYTES);
        assert_int_equal(log_is_prepared(c.log), next);
        if (!real)
            holds_nothing_behind(&c, frames);
        if (append)
            case_append_frames(&c, 10, MEDIUM, 2);
        uint64_t bytes = log_bytes(c.log);
        case_close(&c);
        opened(&c, 1, case_last_index(&c));
        assert_int_equal(c.given, frames + (append ? 10 : 0));
        assert_int_equal(log_bytes(c.log), bytes);
        case_append_frames(&c, 10, LARGE, 3);
        case_close(&c);
        opened(&c, 1, case_last_index(&c));
        case_end(&c);
    }
}

static void a_log_can_be_cut_to_any_boundary_of_its_frames(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        cut_everywhere(i / 2 != 0, i % 2 != 0, false);
}

static void appends_go_on_behind_a_cut(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        cut_everywhere(i / 2 != 0, i % 2 != 0, true);
}

static void the_room_behind_a_cut_is_told(void **state)
{
    (void)state;
    for (size_t frames = 0; frames <= FRAMES; frames++) {
        struct log_case c;
        case_begin(&c, false, frames);
        opened(&c, 1, 0);
        fill(&c, false);
        assert_int_equal(cut_to(&c, frames), 0);
        ends_with(&c, frames);
        uint64_t at = 1;
        if (frames != 0)
            at = layout[frames - 1].block +
                 frame_bytes(layout[frames - 1].payload_bytes) / DISK_BLOCK_BYTES;
        uint64_t left = CASE_SEGMENT_BYTES / DISK_BLOCK_BYTES - at;
        assert_int_equal(log_has_room(c.log, SMALL), left >= 1);
        assert_int_equal(log_has_room(c.log, MEDIUM), left >= 2);
        assert_int_equal(log_has_room(c.log, LARGE), left >= 3);
        for (; left != 0; left--)
            assert_int_equal(case_append(&c, SMALL, 1), 0);
        assert_false(log_has_room(c.log, SMALL));
        assert_int_equal(case_append(&c, SMALL, 1), ERR_DISK_FULL);
        assert_int_equal(log_prepare(c.log), 0);
        assert_int_equal(case_retry(&c), 0);
        case_close(&c);
        opened(&c, 1, case_last_index(&c));
        case_end(&c);
    }
}

static void what_is_no_boundary_is_refused_and_nothing_is_changed(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    fill(&c, true);
    uint64_t last = case_last_index(&c);
    uint64_t changes = disk_fake_count(c.fake, FAKE_CHANGES);
    size_t frames = 0;
    for (uint64_t index = 0; index < last; index++) {
        if (index == index_after(&c, frames)) {
            assert_int_equal(log_cut(c.log, index, chain_after(&c, frames) + 1), ERR_BAD_REQUEST);
            frames++;
        } else {
            assert_int_equal(log_cut(c.log, index, chain_after(&c, frames)), ERR_BAD_REQUEST);
        }
        ends_with(&c, FRAMES);
    }
    assert_int_equal(frames, FRAMES);
    assert_int_equal(disk_fake_count(c.fake, FAKE_CHANGES), changes);
    case_append_frames(&c, 3, SMALL, 1);
    case_close(&c);
    opened(&c, 1, case_last_index(&c));
    case_end(&c);
}

static void nothing_above_the_index_is_nothing_to_do(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    assert_int_equal(log_cut(c.log, 0, 0), 0);
    assert_int_equal(log_cut(c.log, 5, 0), 0);
    fill(&c, true);
    uint64_t all = disk_fake_count(c.fake, FAKE_ALL);
    assert_int_equal(cut_to(&c, FRAMES), 0);
    assert_int_equal(log_cut(c.log, case_last_index(&c) + 1, 0), 0);
    assert_int_equal(log_cut(c.log, UINT64_MAX, 0), 0);
    assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all);
    ends_with(&c, FRAMES);
    case_end(&c);
}

static int take(void *context, const struct log_position *p, struct span payload)
{
    uint64_t *first = context;
    (void)payload;
    if (*first == 0)
        *first = p->first_index;
    return 0;
}

/* As if the first segment had been trimmed. */
static void a_log_that_begins_later_can_be_cut_to_nothing(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    fill(&c, true);
    case_close(&c);
    assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 1)), 0);
    uint64_t first = c.frames[3].position.first_index, given = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            log_open(&c.log, &c.options, first, first - 1, take, &given, c.why, sizeof c.why), 0);
        assert_int_equal(given, i == 0 ? first : 0);
        assert_int_equal(log_first_index(c.log), first);
        assert_int_equal(log_cut(c.log, first - 2, chain_after(&c, 2)), ERR_BAD_REQUEST);
        assert_int_equal(log_cut(c.log, first - 1, chain_after(&c, 3)), 0);
        assert_int_equal(log_last_index(c.log), first - 1);
        assert_int_equal(log_last_chain(c.log), chain_after(&c, 3));
        assert_int_equal(log_bytes(c.log), CASE_SEGMENT_BYTES);
        given = 0;
        case_close(&c);
    }
    case_end(&c);
}

/* A frame that was given up, since the disk was full, for a larger one in the next segment: a cut
 * must not make it the end of the log. */
static void a_frame_that_was_given_up_does_not_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        for (size_t frames = 5; frames <= 6; frames++) {
            struct log_case c;
            case_begin(&c, false, seed);
            opened(&c, 1, 0);
            case_append_frames(&c, 6, SMALL, 1); /* leaves one block */
            assert_int_equal(log_prepare(c.log), 0);
            disk_fake_fail(c.fake, FAKE_WRITE, 1, ERR_DISK_FULL, false);
            assert_int_equal(case_append(&c, SMALL, 1), ERR_DISK_FULL);
            assert_int_equal(case_append(&c, LARGE, 2), 0);
            assert_int_equal(cut_to(&c, frames), 0);
            ends_with(&c, frames);
            case_close(&c);
            opened(&c, 1, frames);
            assert_int_equal(c.given, frames);
            case_end(&c);
        }
    }
}

static int count_one(void *context, const struct log_position *p, struct span payload)
{
    (void)p;
    (void)payload;
    ++*(size_t *)context;
    return 0;
}

/* The disk is there again: the log ends with some frame from `least` on, and stays so. */
static void come_back(struct log_case *c, size_t least, size_t nth)
{
    size_t most = c->count, count = 0;
    case_close(c);
    disk_fake_start(c->fake);
    int code = log_open(&c->log, &c->options, 1, index_after(c, least), count_one, &count, c->why,
                        sizeof c->why);
    if (code != 0) {
        c->log = NULL;
        print_error("cut to frame %zu, stopped at change %zu: %d: %s\n", least, nth, code, c->why);
    }
    assert_int_equal(code, 0);
    assert_in_range(count, least, most);
    ends_with(c, count);
    case_close(c);
    disk_fake_start(c->fake);
    opened(c, 1, index_after(c, least));
    assert_int_equal(c->given, count);
}

/* Stops at the nth change of a cut, comes back, stops at another of the cut that is tried again,
 * comes back, cuts in peace. Whether the first cut came to its end. */
static bool stop_at(size_t frames, bool prepared, enum disk_fake_end end, uint64_t torn_bytes,
                    uint64_t nth)
{
    struct log_case c;
    case_begin(&c, false, frames * 1000 + nth);
    opened(&c, 1, 0);
    fill(&c, prepared);
    disk_fake_end_at(c.fake, nth, end, torn_bytes);
    int code = cut_to(&c, frames);
    bool ended = disk_fake_has_ended(c.fake);
    assert_int_equal(code, ended ? ERR_IO : 0);
    if (!ended)
        c.count = frames;
    come_back(&c, frames, nth);
    size_t before = c.count;
    disk_fake_end_at(c.fake, nth / 2 + 1, end, torn_bytes);
    code = cut_to(&c, frames);
    assert_int_equal(code, disk_fake_has_ended(c.fake) ? ERR_IO : 0);
    c.count = code == 0 ? frames : before;
    come_back(&c, frames, nth);
    assert_int_equal(cut_to(&c, frames), 0);
    ends_with(&c, frames);
    holds_nothing_behind(&c, frames);
    case_append_frames(&c, 5, MEDIUM, 2);
    come_back(&c, c.count, nth);
    case_end(&c);
    return !ended;
}

static void stop_everywhere(enum disk_fake_end end)
{
    static const uint64_t torn[] = {FAKE_TORN_SECTORS,    512,  DISK_BLOCK_BYTES,
                                    2 * DISK_BLOCK_BYTES, 9000, 100};
    for (size_t t = 0; t < sizeof torn / sizeof *torn; t++) {
        for (size_t frames = 0; frames < FRAMES; frames++) {
            for (int prepared = 0; prepared < 2; prepared++) {
                uint64_t nth = 1;
                while (!stop_at(frames, prepared != 0, end, torn[t], nth))
                    nth++;
                assert_true(nth > 1);
            }
        }
    }
}

static void a_power_failure_in_a_cut_keeps_the_index_and_invents_nothing(void **state)
{
    (void)state;
    stop_everywhere(FAKE_POWER);
}

static void the_same_where_some_of_what_was_not_synced_is_kept(void **state)
{
    (void)state;
    stop_everywhere(FAKE_POWER_LOSE_SOME);
}

static void the_same_where_the_process_is_killed(void **state)
{
    (void)state;
    stop_everywhere(FAKE_KILL);
}

/* The nth operation of these kinds fails with `code`. Whether the cut came to its end. */
static bool fail_at(unsigned kinds, uint64_t nth, int code, int expected)
{
    enum { KEPT = 4 };
    struct log_case c;
    case_begin(&c, false, nth);
    opened(&c, 1, 0);
    fill(&c, true);
    disk_fake_fail(c.fake, kinds, nth, code, false);
    int got = cut_to(&c, KEPT);
    bool failed = disk_fake_has_failed(c.fake);
    disk_fake_fail(c.fake, 0, 0, 0, false);
    assert_int_equal(got, failed ? expected : 0);
    if (failed) {
        /* the disk is well again, the log takes nothing more */
        uint64_t all = disk_fake_count(c.fake, FAKE_ALL);
        assert_int_equal(cut_to(&c, KEPT), ERR_IO);
        assert_int_equal(cut_to(&c, KEPT - 1), ERR_IO);
        assert_int_equal(log_prepare(c.log), ERR_IO);
        c.count = log_last_index(c.log) == index_after(&c, KEPT) ? KEPT : FRAMES;
        size_t count = c.count;
        assert_int_equal(case_append(&c, SMALL, 1), ERR_IO);
        assert_int_equal(disk_fake_count(c.fake, FAKE_ALL), all);
        assert_int_equal(c.count, count);
        c.count = FRAMES;
    } else {
        c.count = KEPT;
    }
    c.flying = false;
    case_close(&c);
    case_end(&c);
    return !failed;
}

static void a_failed_cut_is_final(void **state)
{
    (void)state;
    uint64_t nth = 1;
    while (!fail_at(FAKE_ALL, nth, ERR_IO, ERR_IO))
        nth++;
    assert_true(nth > 10);
    for (nth = 1; !fail_at(FAKE_CHANGES, nth, ERR_SYSTEM, ERR_IO); nth++)
        continue;
    assert_true(nth > 8);
    for (nth = 1; !fail_at(FAKE_CHANGES, nth, ERR_DISK_FULL, ERR_DISK_FULL); nth++)
        continue;
    assert_true(nth > 8);
}

static void a_log_whose_cut_failed_can_be_opened_and_cut_again(void **state)
{
    (void)state;
    for (size_t frames = 0; frames < FRAMES; frames++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            struct log_case c;
            case_begin(&c, false, nth);
            opened(&c, 1, 0);
            fill(&c, nth % 2 == 0);
            disk_fake_fail(c.fake, FAKE_CHANGES, nth, ERR_IO, false);
            (void)cut_to(&c, frames);
            failed = disk_fake_has_failed(c.fake);
            disk_fake_fail(c.fake, 0, 0, 0, false);
            come_back(&c, frames, nth);
            assert_int_equal(cut_to(&c, frames), 0);
            ends_with(&c, frames);
            case_append_frames(&c, 3, LARGE, 1);
            case_close(&c);
            opened(&c, 1, case_last_index(&c));
            case_end(&c);
        }
    }
}

/* What only reads and fails has changed nothing. */
static void a_cut_that_could_not_begin_can_be_tried_again(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct log_case c;
        case_begin(&c, false, nth);
        opened(&c, 1, 0);
        fill(&c, true);
        uint64_t changes = disk_fake_count(c.fake, FAKE_CHANGES);
        disk_fake_fail(c.fake, FAKE_READ, nth, ERR_SYSTEM, false);
        int code = cut_to(&c, 4);
        failed = disk_fake_has_failed(c.fake);
        assert_int_equal(code, failed ? ERR_SYSTEM : 0);
        if (failed) {
            ends_with(&c, FRAMES);
            assert_int_equal(disk_fake_count(c.fake, FAKE_CHANGES), changes);
            assert_int_equal(cut_to(&c, 4), 0);
        }
        ends_with(&c, 4);
        case_end(&c);
    }
}

static void damage_in_the_segment_that_stays_is_told_and_nothing_is_changed(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, false, 1);
    opened(&c, 1, 0);
    fill(&c, true);
    uint64_t changes = disk_fake_count(c.fake, FAKE_CHANGES);
    disk_fake_flip(c.fake, case_path(&c, 3), layout[7].block * DISK_BLOCK_BYTES + 8, 1);
    for (size_t frames = 7; frames <= 8; frames++)
        assert_int_equal(cut_to(&c, frames), ERR_CORRUPT);
    assert_int_equal(disk_fake_count(c.fake, FAKE_CHANGES), changes);
    ends_with(&c, FRAMES);
    assert_int_equal(cut_to(&c, 4), 0);
    ends_with(&c, 4);
    case_end(&c);
}

struct preparer {
    struct log *log;
    pthread_mutex_t mutex;
    bool stop;
    int code;
};

static bool stopped(struct preparer *p)
{
    pthread_mutex_lock(&p->mutex);
    bool stop = p->stop;
    pthread_mutex_unlock(&p->mutex);
    return stop;
}

static void *prepare(void *arg)
{
    struct preparer *p = arg;
    while (p->code == 0 && !stopped(p))
        p->code = log_prepare(p->log);
    return NULL;
}

static void segments_are_made_beside_cuts(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, true, 1);
    opened(&c, 1, 0);
    struct preparer p = {.log = c.log};
    pthread_t thread;
    pthread_mutex_init(&p.mutex, NULL);
    assert_int_equal(pthread_create(&thread, NULL, prepare, &p), 0);
    int code = 0;
    for (size_t i = 0; i < 60 && code == 0; i++) {
        case_append_frames(&c, 12, i % 2 == 0 ? LARGE : MEDIUM, 1);
        size_t frames = i * 7 % (c.count + 1);
        code = cut_to(&c, frames);
        c.count = frames;
    }
    pthread_mutex_lock(&p.mutex);
    p.stop = true;
    pthread_mutex_unlock(&p.mutex);
    pthread_join(thread, NULL);
    pthread_mutex_destroy(&p.mutex);
    assert_int_equal(code, 0);
    assert_int_equal(p.code, 0);
    case_close(&c);
    opened(&c, 1, case_last_index(&c));
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_can_be_cut_to_any_boundary_of_its_frames),
        cmocka_unit_test(appends_go_on_behind_a_cut),
        cmocka_unit_test(the_room_behind_a_cut_is_told),
        cmocka_unit_test(what_is_no_boundary_is_refused_and_nothing_is_changed),
        cmocka_unit_test(nothing_above_the_index_is_nothing_to_do),
        cmocka_unit_test(a_log_that_begins_later_can_be_cut_to_nothing),
        cmocka_unit_test(a_frame_that_was_given_up_does_not_come_back),
        cmocka_unit_test(a_power_failure_in_a_cut_keeps_the_index_and_invents_nothing),
        cmocka_unit_test(the_same_where_some_of_what_was_not_synced_is_kept),
        cmocka_unit_test(the_same_where_the_process_is_killed),
        cmocka_unit_test(a_failed_cut_is_final),
        cmocka_unit_test(a_log_whose_cut_failed_can_be_opened_and_cut_again),
        cmocka_unit_test(a_cut_that_could_not_begin_can_be_tried_again),
        cmocka_unit_test(damage_in_the_segment_that_stays_is_told_and_nothing_is_changed),
        cmocka_unit_test(segments_are_made_beside_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
