/* Reading the durable part of the log: whole frames from any index, in order, beside the appender
 * and across cuts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "log/frame.h"
#include "support/log_case.h"

enum {
    SMALL = 100,                    /* one block */
    MEDIUM = DISK_BLOCK_BYTES,      /* two */
    LARGE = CASE_PAYLOAD_BYTES_MAX, /* three */
    FRAMES = 12,                    /* of `fill` */
    ANY = 1 << 30,                  /* more than there is */
    TOGETHER = 400,                 /* frames appended beside a reader */
    CUTS = 200,
    DEADLINE_S = 60,
};

struct reading {
    struct log_case c;
    struct log_reader *reader;
    struct buf to;
    uint64_t last;
};

static void begin(struct reading *r, bool real)
{
    memset(r, 0, sizeof *r);
    case_begin(&r->c, real, 3);
    assert_int_equal(case_open(&r->c, 1, 0), 0);
    assert_int_equal(log_reader_create(&r->reader, r->c.log), 0);
}

static void end(struct reading *r)
{
    log_reader_destroy(r->reader);
    buf_finish(&r->to);
    case_end(&r->c);
}

/* In four segments, of one to three entries, or one of a hundred. */
static void fill(struct reading *r)
{
    static const size_t bytes[FRAMES] = {SMALL, LARGE,  MEDIUM, LARGE, LARGE, SMALL,
                                         SMALL, MEDIUM, LARGE,  LARGE, 0,     MEDIUM};
    for (uint32_t i = 0; i < FRAMES; i++)
        case_append_frames(&r->c, 1, bytes[i], i == 4 ? 100 : i % 3 + 1);
    assert_int_equal(log_bytes(r->c.log), 4 * CASE_SEGMENT_BYTES);
}

static uint64_t last_of(const struct log_case *c, size_t frame)
{
    const struct log_position *p = &c->frames[frame].position;
    return p->first_index + p->entries - 1;
}

static size_t frame_of(const struct log_case *c, uint64_t index)
{
    size_t frame = 0;
    while (last_of(c, frame) < index)
        frame++;
    return frame;
}

/* Frame i as it was built: what log_case.c fills in. */
static bool same_payload(const struct log_case *c, size_t frame, const char *at)
{
    uint64_t first = c->frames[frame].position.first_index;
    for (size_t i = 0; i < c->frames[frame].payload_bytes; i++)
        if (at[i] != (char)((first * 31 + i * 7 + i / 256) & 0xff))
            return false;
    return true;
}

/* Reads from `index`, and compares with what a limit of bytes_max allows. The next index. */
static uint64_t reads(struct reading *r, uint64_t index, size_t bytes_max)
{
    struct log_case *c = &r->c;
    buf_reset(&r->to, SIZE_MAX);
    buf_add_text(&r->to, "before");
    int code = log_read(r->reader, index, bytes_max, &r->to, &r->last);
    if (code != 0)
        print_error("index %lu, at most %zu bytes: %d\n", (unsigned long)index, bytes_max, code);
    assert_int_equal(code, 0);
    size_t frame = frame_of(c, index), bytes = 0;
    const char *at = r->to.at + 6;
    assert_memory_equal(r->to.at, "before", 6);
    do {
        assert_true(bytes + c->frames[frame].payload_bytes <= r->to.bytes - 6);
        assert_true(same_payload(c, frame, at + bytes));
        bytes += c->frames[frame].payload_bytes;
        frame++;
    } while (frame < c->count && bytes < bytes_max &&
             bytes + c->frames[frame].payload_bytes <= bytes_max);
    assert_int_equal(r->to.bytes, 6 + bytes);
    assert_int_equal(r->last, last_of(c, frame - 1));
    return r->last + 1;
}

static void gives(struct reading *r, uint64_t index, int code)
{
    buf_reset(&r->to, SIZE_MAX);
    buf_add_text(&r->to, "before");
    assert_int_equal(log_read(r->reader, index, ANY, &r->to, &r->last), code);
    assert_int_equal(r->to.bytes, 6);
}

static void frames_are_read_from_every_index(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 1, SMALL, MEDIUM, LARGE, LARGE + MEDIUM, 30000, ANY};
    for (int real = 0; real < 2; real++) {
        struct reading r;
        begin(&r, real != 0);
        fill(&r);
        uint64_t last = case_last_index(&r.c);
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            for (uint64_t index = 1; index <= last; index++)
                reads(&r, index, limits[i]);
            for (uint64_t index = last; index != 0; index--)
                reads(&r, index, limits[i]);
            for (uint64_t index = 1; index <= last;)
                index = reads(&r, index, limits[i]);
        }
        end(&r);
    }
}

static void what_recovery_found_is_read_as_what_was_appended(void **state)
{
    (void)state;
    for (int prepared = 0; prepared < 2; prepared++) {
        struct reading r;
        begin(&r, false);
        fill(&r);
        if (prepared != 0)
            assert_int_equal(log_prepare(r.c.log), 0);
        log_reader_destroy(r.reader);
        case_close(&r.c);
        /* the earlier segments are not followed, and known all the same */
        assert_int_equal(case_open(&r.c, case_last_index(&r.c), 1), 0);
        assert_int_equal(log_reader_create(&r.reader, r.c.log), 0);
        for (uint64_t index = case_last_index(&r.c); index != 0; index--)
            reads(&r, index, ANY);
        case_append_frames(&r.c, 100, LARGE, 2);
        for (uint64_t index = 1; index <= case_last_index(&r.c); index++)
            reads(&r, index, 1);
        end(&r);
    }
}

static void above_the_end_and_below_the_beginning_nothing_is_found(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, false);
    gives(&r, 0, ERR_NOT_FOUND);
    gives(&r, 1, ERR_NOT_FOUND);
    fill(&r);
    uint64_t last = case_last_index(&r.c);
    gives(&r, 0, ERR_NOT_FOUND);
    gives(&r, last + 1, ERR_NOT_FOUND);
    gives(&r, UINT64_MAX, ERR_NOT_FOUND);
    reads(&r, last, ANY);
    log_reader_destroy(NULL);
    end(&r);
}

/* As if the first segment had been trimmed. */
static void a_log_that_begins_later_is_read_from_there(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, false);
    fill(&r);
    log_reader_destroy(r.reader);
    case_close(&r.c);
    assert_int_equal(r.c.disk.remove(r.c.disk.context, case_path(&r.c, 1)), 0);
    uint64_t first = r.c.frames[3].position.first_index;
    assert_int_equal(case_open(&r.c, first, first - 1), 0);
    assert_int_equal(log_reader_create(&r.reader, r.c.log), 0);
    gives(&r, first - 1, ERR_NOT_FOUND);
    for (uint64_t index = first; index <= case_last_index(&r.c);)
        index = reads(&r, index, 1);
    end(&r);
}

/* Only the head and the payload of what is given, in the one file that stays open. */
static void to_read_on_costs_two_reads_for_each_frame(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, false);
    fill(&r);
    for (uint64_t index = 1; index <= case_last_index(&r.c);) {
        bool first = frame_of(&r.c, index) == 0 || frame_of(&r.c, index) == 3 ||
                     frame_of(&r.c, index) == 6 || frame_of(&r.c, index) == 9;
        uint64_t before = disk_fake_count(r.c.fake, FAKE_ALL);
        index = reads(&r, index, 0);
        /* and to open the next file */
        assert_int_equal(disk_fake_count(r.c.fake, FAKE_ALL) - before, 2 + first);
    }
    uint64_t before = disk_fake_count(r.c.fake, FAKE_ALL);
    gives(&r, case_last_index(&r.c) + 1, ERR_NOT_FOUND);
    assert_int_equal(disk_fake_count(r.c.fake, FAKE_ALL), before);
    case_append_frames(&r.c, 1, SMALL, 1);
    before = disk_fake_count(r.c.fake, FAKE_ALL);
    reads(&r, case_last_index(&r.c), ANY);
    assert_int_equal(disk_fake_count(r.c.fake, FAKE_ALL) - before, 2);
    end(&r);
}

static void what_was_cut_is_not_read_and_what_follows_it_is(void **state)
{
    (void)state;
    for (size_t kept = 1; kept < FRAMES; kept++) {
        for (size_t read = 1; read <= FRAMES; read++) {
            struct reading r;
            begin(&r, false);
            fill(&r);
            /* the place that it remembers is anywhere, also in a file that is removed */
            reads(&r, last_of(&r.c, read - 1), 0);
            uint64_t last = last_of(&r.c, kept - 1);
            assert_int_equal(log_cut(r.c.log, last, r.c.frames[kept - 1].position.chain), 0);
            r.c.count = kept;
            gives(&r, last + 1, ERR_NOT_FOUND);
            case_append_frames(&r.c, 12, read % 2 == 0 ? MEDIUM : LARGE, 2);
            reads(&r, last + 1, 0);
            for (uint64_t index = 1; index <= case_last_index(&r.c);)
                index = reads(&r, index, 20000);
            end(&r);
        }
    }
}

static void a_damaged_frame_is_told_and_what_stands_before_it_can_be_read(void **state)
{
    (void)state;
    /* in the payload, its length, its magic */
    static const uint64_t places[] = {FRAME_HEAD_BYTES + 40, 16, 0, 24, FRAME_HEAD_BYTES - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct reading r;
        begin(&r, false);
        fill(&r);
        disk_fake_flip(r.c.fake, case_path(&r.c, 2), 4 * DISK_BLOCK_BYTES + places[i], 0x40);
        uint64_t bad = r.c.frames[4].position.first_index;
        reads(&r, bad - 1, 0);
        gives(&r, bad, ERR_CORRUPT);
        buf_reset(&r.to, SIZE_MAX);
        assert_int_equal(log_read(r.reader, 1, ANY, &r.to, &r.last), 0);
        assert_int_equal(r.last, bad - 1);
        assert_int_equal(r.to.bytes, SMALL + LARGE + MEDIUM + LARGE);
        gives(&r, last_of(&r.c, 4), ERR_CORRUPT);
        reads(&r, r.c.frames[6].position.first_index, ANY);
        disk_fake_flip(r.c.fake, case_path(&r.c, 2), 4 * DISK_BLOCK_BYTES + places[i], 0x40);
        reads(&r, bad, ANY);
        end(&r);
    }
}

static void a_missing_segment_is_damage(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, false);
    fill(&r);
    assert_int_equal(r.c.disk.remove(r.c.disk.context, case_path(&r.c, 3)), 0);
    reads(&r, r.c.frames[9].position.first_index, ANY);
    gives(&r, r.c.frames[6].position.first_index, ERR_CORRUPT);
    end(&r);
}

static void
what_stands_before_a_read_that_fails_is_given_and_the_rest_can_be_tried_again(void **state)
{
    (void)state;
    static const int codes[] = {ERR_IO, ERR_SYSTEM, ERR_NO_MEMORY};
    struct reading r;
    begin(&r, false);
    fill(&r);
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        disk_fake_fail(r.c.fake, FAKE_READ, nth, codes[nth % 3], false);
        buf_reset(&r.to, SIZE_MAX);
        int code = log_read(r.reader, 1, ANY, &r.to, &r.last);
        failed = disk_fake_has_failed(r.c.fake);
        disk_fake_fail(r.c.fake, 0, 0, 0, false);
        assert_int_equal(code, r.last == 0 ? codes[nth % 3] : 0);
        size_t bytes = 0;
        for (size_t frame = 0; frame < FRAMES && last_of(&r.c, frame) <= r.last; frame++)
            bytes += r.c.frames[frame].payload_bytes;
        assert_int_equal(r.to.bytes, bytes);
        assert_int_equal(r.last < case_last_index(&r.c), failed);
        if (failed)
            reads(&r, r.last + 1, ANY);
        log_reader_destroy(r.reader);
        assert_int_equal(log_reader_create(&r.reader, r.c.log), 0);
    }
    /* the log itself takes no harm */
    case_append_frames(&r.c, 1, SMALL, 1);
    end(&r);
}

static void a_buffer_that_is_too_small_is_no_memory(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, false);
    fill(&r);
    struct buf to = {.bytes_max = SMALL + LARGE};
    assert_int_equal(log_read(r.reader, 1, ANY, &to, &r.last), ERR_NO_MEMORY);
    assert_true(to.failed);
    assert_int_equal(to.bytes, 0);
    buf_reset(&to, SIZE_MAX);
    assert_int_equal(log_read(r.reader, 1, SMALL + LARGE, &to, &r.last), 0);
    assert_int_equal(to.bytes, SMALL + LARGE);
    buf_finish(&to);
    end(&r);
}

/* A reader on a thread of its own, which follows the end. */
struct follower {
    struct log *log;
    struct log_reader *reader;
    uint64_t seen, stop; /* entries */
    bool good;
    pthread_mutex_t mutex; /* of `safe` */
    uint64_t safe;         /* as if committed: no cut goes below */
};

static bool late(time_t begun)
{
    return time(NULL) - begun > DEADLINE_S;
}

static uint64_t payload_bytes_of(uint64_t index)
{
    return 1 + index * 1237 % CASE_PAYLOAD_BYTES_MAX;
}

/* Each frame has one entry, whose bytes tell its index. */
static bool expected(struct follower *f, struct span payloads, uint64_t last)
{
    size_t at = 0;
    while (f->seen < last) {
        uint64_t index = ++f->seen;
        size_t bytes = (size_t)payload_bytes_of(index);
        if (bytes > payloads.bytes - at)
            return false;
        for (size_t i = 0; i < bytes; i++)
            if (payloads.at[at + i] != (char)(index + i))
                return false;
        at += bytes;
    }
    return at == payloads.bytes;
}

static void *follow(void *arg)
{
    struct follower *f = arg;
    struct buf to = {.at = NULL};
    uint64_t last;
    time_t begun = time(NULL);
    f->good = true;
    while (f->good && f->seen < f->stop && !late(begun)) {
        uint64_t durable = log_last_index(f->log);
        buf_reset(&to, SIZE_MAX);
        int code = log_read(f->reader, f->seen + 1, 20000, &to, &last);
        if (code == ERR_NOT_FOUND)
            f->good = f->seen >= durable;
        else
            f->good = code == 0 && expected(f, buf_span(&to), last);
        if (!f->good)
            print_error("behind index %lu: %d\n", (unsigned long)f->seen, code);
    }
    buf_finish(&to);
    return NULL;
}

/* What nobody reads above: `junk` is what a cut will remove. */
static int append_one(struct log *log, uint64_t index, bool junk)
{
    size_t bytes = (size_t)payload_bytes_of(index);
    struct log_position p = {.first_index = index, .entries = 1, .chain = index};
    char *to = log_frame_begin(log, bytes);
    if (to == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < bytes; i++)
        to[i] = junk ? 0x55 : (char)(index + i);
    int code = log_has_room(log, bytes) ? 0 : log_prepare(log);
    return code == 0 ? log_append(log, log_frame_end(log, &p, bytes)) : code;
}

static void a_reader_follows_the_appender(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, true);
    struct follower f = {.log = r.c.log, .reader = r.reader, .stop = TOGETHER};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, follow, &f), 0);
    int code = 0;
    for (uint64_t index = 1; index <= TOGETHER && code == 0; index++)
        code = append_one(r.c.log, index, false);
    pthread_join(thread, NULL);
    assert_int_equal(code, 0);
    assert_true(f.good);
    assert_int_equal(f.seen, TOGETHER);
    end(&r);
}

static uint64_t safe(struct follower *f, uint64_t more)
{
    pthread_mutex_lock(&f->mutex);
    f->safe += more;
    uint64_t now = f->safe;
    pthread_mutex_unlock(&f->mutex);
    return now;
}

/* It asks only for what is not going to be cut, and uses no more of what it gets. */
static void *follow_safe(void *arg)
{
    struct follower *f = arg;
    struct buf to = {.at = NULL};
    uint64_t last;
    time_t begun = time(NULL);
    f->good = true;
    while (f->good && f->seen < f->stop && !late(begun)) {
        uint64_t limit = safe(f, 0), bytes = 0, used;
        if (f->seen == limit)
            continue;
        buf_reset(&to, SIZE_MAX);
        int code = log_read(f->reader, f->seen + 1, 60000, &to, &last);
        used = last < limit ? last : limit;
        for (uint64_t index = f->seen + 1; code == 0 && index <= used; index++)
            bytes += payload_bytes_of(index);
        f->good = code == 0 && bytes <= to.bytes && expected(f, span(to.at, (size_t)bytes), used);
        if (!f->good)
            print_error("behind index %lu: %d\n", (unsigned long)f->seen, code);
    }
    buf_finish(&to);
    return NULL;
}

static void a_reader_below_a_cut_is_not_disturbed_by_it(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, true);
    struct follower f = {.log = r.c.log, .reader = r.reader, .stop = TOGETHER};
    pthread_mutex_init(&f.mutex, NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, follow_safe, &f), 0);
    int code = 0;
    for (uint64_t index = 1; index <= TOGETHER && code == 0; index++) {
        code = append_one(r.c.log, index, false);
        if (code != 0 || index % 4 != 0)
            continue;
        safe(&f, 4);
        for (uint64_t more = 1; more <= index % 13 && code == 0; more++)
            code = append_one(r.c.log, index + more, true);
        if (code == 0)
            code = log_cut(r.c.log, index, index);
    }
    if (code != 0)
        safe(&f, TOGETHER); /* so that it ends */
    pthread_join(thread, NULL);
    pthread_mutex_destroy(&f.mutex);
    assert_int_equal(code, 0);
    assert_true(f.good);
    assert_int_equal(f.seen, TOGETHER);
    end(&r);
}

/* Reads the end again and again, where cuts are. */
static void *read_the_end(void *arg)
{
    struct follower *f = arg;
    struct buf to = {.at = NULL};
    uint64_t last;
    time_t begun = time(NULL);
    f->good = true;
    while (f->good && safe(f, 0) == 0 && !late(begun)) {
        buf_reset(&to, SIZE_MAX);
        uint64_t index = log_last_index(f->log);
        int code = log_read(f->reader, index, ANY, &to, &last);
        f->good = code == ERR_NOT_FOUND || (code == 0 && last >= index);
        if (!f->good)
            print_error("index %lu: %d\n", (unsigned long)index, code);
    }
    buf_finish(&to);
    return NULL;
}

static void a_cut_is_not_taken_for_damage(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, true);
    struct follower f = {.log = r.c.log, .reader = r.reader};
    pthread_mutex_init(&f.mutex, NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_the_end, &f), 0);
    int code = 0;
    for (uint64_t round = 0; round < CUTS && code == 0; round++) {
        for (uint64_t index = 1; index <= 6 && code == 0; index++)
            code = append_one(r.c.log, index, false);
        if (code == 0)
            code = log_cut(r.c.log, 0, 0);
    }
    safe(&f, 1); /* so that it ends */
    pthread_join(thread, NULL);
    pthread_mutex_destroy(&f.mutex);
    assert_int_equal(code, 0);
    assert_true(f.good);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read_from_every_index),
        cmocka_unit_test(what_recovery_found_is_read_as_what_was_appended),
        cmocka_unit_test(above_the_end_and_below_the_beginning_nothing_is_found),
        cmocka_unit_test(a_log_that_begins_later_is_read_from_there),
        cmocka_unit_test(to_read_on_costs_two_reads_for_each_frame),
        cmocka_unit_test(what_was_cut_is_not_read_and_what_follows_it_is),
        cmocka_unit_test(a_damaged_frame_is_told_and_what_stands_before_it_can_be_read),
        cmocka_unit_test(a_missing_segment_is_damage),
        cmocka_unit_test(
            what_stands_before_a_read_that_fails_is_given_and_the_rest_can_be_tried_again),
        cmocka_unit_test(a_buffer_that_is_too_small_is_no_memory),
        cmocka_unit_test(a_reader_follows_the_appender),
        cmocka_unit_test(a_reader_below_a_cut_is_not_disturbed_by_it),
        cmocka_unit_test(a_cut_is_not_taken_for_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
