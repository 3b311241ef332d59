/* A damaged log: what is whole before the damage is given, and what is lost is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "support/log_case.h"

enum { SMALL = 100, MEDIUM = DISK_BLOCK_BYTES, LARGE = CASE_PAYLOAD_BYTES_MAX };

/* Segment 1: small small large, and two blocks left; segment 2: large large, and one block left;
 * segment 3: medium small. Each frame has one entry. */
static void fill(struct log_case *c)
{
    case_begin(c, false, 11);
    assert_int_equal(case_open(c, 1, 0), 0);
    case_append_frames(c, 2, SMALL, 1);
    case_append_frames(c, 3, LARGE, 1);
    case_append_frames(c, 1, MEDIUM, 1);
    case_append_frames(c, 1, SMALL, 1);
    case_close(c);
}

struct surveyed {
    char text[512];
};

static void add(struct surveyed *s, const char *format, ...)
{
    va_list args;
    size_t used = strlen(s->text);
    va_start(args, format);
    vsnprintf(s->text + used, sizeof s->text - used, format, args);
    va_end(args);
}

static int see_frame(void *context, const struct log_position *p, struct span payload)
{
    assert_true(payload.bytes != 0);
    add(context, "%u ", (unsigned)p->first_index);
    return 0;
}

static void see_gap(void *context, const struct log_gap *g)
{
    static const char *const kinds[] = {"damaged", "unreadable", "missing"};
    add(context, "[%s %u:%u, %u-%u] ", kinds[g->kind], (unsigned)g->segment, (unsigned)g->byte,
        (unsigned)g->first, (unsigned)g->last);
}

static void surveys(struct log_case *c, uint64_t from, const char *expected)
{
    struct surveyed s = {""};
    assert_int_equal(log_survey(&c->disk, c->folder, from, see_frame, see_gap, &s), 0);
    assert_string_equal(s.text, expected);
}

/* log_open refuses, after it gave the frames before the damage. */
static void refused_after(struct log_case *c, size_t given, const char *where)
{
    assert_int_equal(case_open(c, 1, 0), ERR_CORRUPT);
    assert_int_equal(c->given, given);
    if (strstr(c->why, where) == NULL)
        fail_msg("%s", c->why);
}

static void a_whole_log_has_no_gaps(void **state)
{
    (void)state;
    struct log_case c;
    fill(&c);
    surveys(&c, 1, "1 2 3 4 5 6 7 ");
    surveys(&c, 5, "5 6 7 ");
    surveys(&c, 8, "");
    case_end(&c);
}

static void damage_in_the_middle_is_named_and_what_is_before_it_is_given(void **state)
{
    (void)state;
    struct log_case c;
    fill(&c);
    disk_fake_flip(c.fake, case_path(&c, 1), 8192 + 60, 1);
    refused_after(&c, 1, "0001.log, byte 8192:");
    surveys(&c, 1, "1 [damaged 1:8192, 2-2] 3 4 5 6 7 ");
    disk_fake_flip(c.fake, case_path(&c, 2), 16384 + 9000, 1);
    surveys(&c, 1, "1 [damaged 1:8192, 2-2] 3 4 [damaged 2:16384, 5-5] 6 7 ");
    disk_fake_flip(c.fake, case_path(&c, 3), 12288 + 10, 1);
    surveys(&c, 3, "3 4 [damaged 2:16384, 5-5] 6 [damaged 3:12288, 7-0] ");
    case_end(&c);
}

static void what_the_disk_cannot_read_is_named_by_its_byte(void **state)
{
    (void)state;
    struct log_case c;
    fill(&c);
    disk_fake_spoil(c.fake, case_path(&c, 2), 16384 + 5000);
    refused_after(&c, 4, "0002.log, byte 20480: the disk cannot read this");
    surveys(&c, 1, "1 2 3 4 [unreadable 2:20480, 5-5] 6 7 ");
    case_end(&c);
    fill(&c);
    disk_fake_spoil(c.fake, case_path(&c, 2), 100);
    refused_after(&c, 3, "0002.log, byte 0:");
    surveys(&c, 1, "1 2 3 [unreadable 2:0, 4-5] 6 7 ");
    case_end(&c);
}

/* Also behind the last frame: a disk that fails is none to go on with. */
static void what_cannot_be_read_behind_the_end_is_refused_too(void **state)
{
    (void)state;
    struct log_case c;
    fill(&c);
    disk_fake_spoil(c.fake, case_path(&c, 3), 20480);
    refused_after(&c, 7, "0003.log, byte 20480: the disk cannot read this");
    surveys(&c, 1, "1 2 3 4 5 6 7 [unreadable 3:20480, 8-0] ");
    case_end(&c);
}

static void a_missing_segment_is_named(void **state)
{
    (void)state;
    struct log_case c;
    fill(&c);
    assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 2)), 0);
    refused_after(&c, 3, "0002.log, byte 0: this segment is missing");
    surveys(&c, 1, "1 2 3 [missing 2:0, 4-5] 6 7 ");
    assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 1)), 0);
    refused_after(&c, 0, "the log begins with index 6, but index 1 is needed");
    surveys(&c, 1, "[missing 2:0, 1-5] 6 7 ");
    case_end(&c);
}

static void a_damaged_head_takes_its_segment_with_it(void **state)
{
    (void)state;
    struct log_case c;
    fill(&c);
    disk_fake_flip(c.fake, case_path(&c, 2), 100, 1);
    refused_after(&c, 3, "0002.log, byte 0: the head of this segment is damaged");
    surveys(&c, 1, "1 2 3 [damaged 2:0, 4-5] 6 7 ");
    disk_fake_flip(c.fake, case_path(&c, 3), 100, 1);
    surveys(&c, 1, "1 2 3 [damaged 2:0, 4-0] ");
    case_end(&c);
}

/* Zeros where frames were are what a disk gives that has lost a write. */
static void frames_that_became_zeros_are_named_where_the_log_goes_on(void **state)
{
    (void)state;
    struct log_case c;
    static const char zeros[3 * DISK_BLOCK_BYTES];
    struct disk_file *file;
    fill(&c);
    assert_int_equal(c.disk.open(c.disk.context, case_path(&c, 2), 0, &file), 0);
    assert_int_equal(c.disk.write(file, 16384, zeros, sizeof zeros), 0);
    c.disk.close(file);
    surveys(&c, 1, "1 2 3 4 [damaged 2:16384, 5-5] 6 7 ");
    case_end(&c);
}

/* A failed sync leaves pages that say what the disk does not have (S11). */
static void recovery_reads_what_is_on_the_disk_and_not_what_the_page_cache_shows(void **state)
{
    (void)state;
    unsigned differed = 0;
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct log_case c;
        struct disk_file *file;
        char seen[2 * DISK_BLOCK_BYTES];
        size_t bytes;
        fill(&c);
        const char *all = disk_fake_look(c.fake, case_path(&c, 3), &bytes);
        memcpy(seen, all + 4096, sizeof seen);
        memset(seen + 100, (int)seed, 8000);
        assert_int_equal(c.disk.open(c.disk.context, case_path(&c, 3), 0, &file), 0);
        assert_int_equal(c.disk.write(file, 4096, seen, sizeof seen), 0);
        disk_fake_fail(c.fake, FAKE_SYNC, 1, ERR_IO, false);
        assert_int_equal(c.disk.sync(file), ERR_IO);
        c.disk.close(file);
        int code = case_open(&c, 1, 0);
        case_close(&c);
        disk_fake_start(c.fake); /* now the page cache is gone, and the same is found */
        assert_int_equal(case_open(&c, 1, 0), code);
        differed += code == ERR_CORRUPT;
        case_end(&c);
    }
    assert_true(differed != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_log_has_no_gaps),
        cmocka_unit_test(damage_in_the_middle_is_named_and_what_is_before_it_is_given),
        cmocka_unit_test(what_the_disk_cannot_read_is_named_by_its_byte),
        cmocka_unit_test(what_cannot_be_read_behind_the_end_is_refused_too),
        cmocka_unit_test(a_missing_segment_is_named),
        cmocka_unit_test(a_damaged_head_takes_its_segment_with_it),
        cmocka_unit_test(frames_that_became_zeros_are_named_where_the_log_goes_on),
        cmocka_unit_test(recovery_reads_what_is_on_the_disk_and_not_what_the_page_cache_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
