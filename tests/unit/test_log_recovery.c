/* Recovery (rule S12): a torn tail is cut, damage is refused and nothing is changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "log/frame.h"
#include "log/segment.h"
#include "support/log_case.h"

enum {
    SMALL = 100,                    /* one block */
    MEDIUM = DISK_BLOCK_BYTES,      /* two */
    LARGE = CASE_PAYLOAD_BYTES_MAX, /* three */
    LAST = 3 * DISK_BLOCK_BYTES,    /* where the last frame of `fill` stands */
    FILE_BYTES_MAX = 2 * CASE_SEGMENT_BYTES,
};

static size_t read_file(struct log_case *c, uint64_t number, char *to)
{
    struct disk_file *file;
    size_t bytes;
    if (c->disk.open(c->disk.context, case_path(c, number), DISK_READ_ONLY, &file) != 0)
        return 0;
    assert_int_equal(c->disk.read(file, 0, to, FILE_BYTES_MAX, &bytes), 0);
    c->disk.close(file);
    return bytes;
}

static void overwrite(struct log_case *c, uint64_t number, uint64_t at, const void *from,
                      size_t bytes)
{
    struct disk_file *file;
    assert_int_equal(c->disk.open(c->disk.context, case_path(c, number), 0, &file), 0);
    assert_int_equal(c->disk.write(file, at, from, bytes), 0);
    assert_int_equal(c->disk.sync(file), 0);
    c->disk.close(file);
}

static void flip(struct log_case *c, uint64_t number, uint64_t at)
{
    char content[FILE_BYTES_MAX];
    assert_true(read_file(c, number, content) > at);
    content[at] ^= 0x20;
    overwrite(c, number, at, content + at, 1);
}

/* A checksum over all segments. */
static uint32_t all_files(struct log_case *c)
{
    char content[FILE_BYTES_MAX];
    uint32_t crc = 0;
    for (uint64_t number = 1; number < 10; number++) {
        size_t bytes = read_file(c, number, content);
        crc = crc32c(crc, &bytes, sizeof bytes);
        crc = crc32c(crc, content, bytes);
    }
    return crc;
}

/* It is not opened, nothing is changed, and the sentence says where and what to do. */
static void refused_with(struct log_case *c, uint64_t from, uint64_t committed, int code,
                         const char *where)
{
    uint32_t before = all_files(c);
    int got = case_open(c, from, committed);
    if (got != code || strstr(c->why, where) == NULL)
        print_error("%d: %s\n", got, c->why);
    assert_int_equal(got, code);
    assert_non_null(strstr(c->why, where));
    assert_non_null(strstr(c->why, "nothing was changed"));
    assert_int_equal(all_files(c), before);
}

static void refused(struct log_case *c, uint64_t from, uint64_t committed, const char *where)
{
    refused_with(c, from, committed, ERR_CORRUPT, where);
    assert_non_null(strstr(c->why, "restore this server's data directory from a copy"));
}

static void opened(struct log_case *c, uint64_t from, uint64_t committed)
{
    int code = case_open(c, from, committed);
    if (code != 0)
        print_error("%d: %s\n", code, c->why);
    assert_int_equal(code, 0);
}

/* Behind the end all is zero, and frames can follow. */
static void goes_on(struct log_case *c, uint64_t number, uint64_t end)
{
    char content[FILE_BYTES_MAX];
    size_t bytes = read_file(c, number, content);
    assert_true(bytes >= end);
    for (size_t at = end; at < bytes; at++)
        assert_int_equal(content[at], 0);
    case_append_frames(c, 4, SMALL, 2);
    case_close(c);
    opened(c, 1, case_last_index(c));
}

static void begin(struct log_case *c, bool real)
{
    case_begin(c, real, 11);
    opened(c, 1, 0);
}

/* Segment 1: small small large, and two blocks left; segment 2: large large, and one block left;
 * segment 3: medium small. Each frame has one entry. */
static void fill(struct log_case *c)
{
    case_append_frames(c, 2, SMALL, 1);
    case_append_frames(c, 3, LARGE, 1);
    case_append_frames(c, 1, MEDIUM, 1);
    case_append_frames(c, 1, SMALL, 1);
    case_close(c);
}

static void a_torn_tail_is_cut_wherever_the_write_ended(void **state)
{
    (void)state;
    uint64_t frame = frame_bytes(LARGE);
    for (uint64_t torn = 0; torn <= frame; torn += torn % DISK_FAKE_SECTOR_BYTES == 0 ? 40 : 472) {
        struct log_case c;
        begin(&c, false);
        case_append_frames(&c, 3, SMALL, 1);
        disk_fake_end_at(c.fake, 1, FAKE_POWER, torn);
        assert_int_equal(case_append(&c, LARGE, 1), ERR_IO);
        case_close(&c);
        disk_fake_start(c.fake);
        opened(&c, 1, 3);
        bool whole = torn >= FRAME_HEAD_BYTES + LARGE;
        assert_int_equal(c.count, whole ? 4 : 3);
        goes_on(&c, 1, 4 * DISK_BLOCK_BYTES + (whole ? frame : 0));
        case_end(&c);
    }
}

static void cut_at_every_block(struct log_case *c)
{
    static const char zeros[3 * DISK_BLOCK_BYTES];
    opened(c, 1, 0);
    case_append_frames(c, 2, SMALL, 1);
    for (uint64_t kept = 0; kept < 3; kept++) {
        case_append_frames(c, 1, LARGE, 1);
        uint64_t end = 3 * DISK_BLOCK_BYTES;
        case_close(c);
        overwrite(c, 1, end + kept * DISK_BLOCK_BYTES, zeros,
                  (size_t)(3 - kept) * DISK_BLOCK_BYTES);
        c->count--; /* as if it had not been acknowledged */
        opened(c, 1, 2);
        assert_int_equal(c->given, 2);
        assert_int_equal(log_last_index(c->log), 2);
    }
    goes_on(c, 1, 3 * DISK_BLOCK_BYTES);
}

static void a_torn_tail_is_cut_on_both_disks(void **state)
{
    (void)state;
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        case_begin(&c, real != 0, 3);
        cut_at_every_block(&c);
        case_end(&c);
    }
}

static void a_torn_head_of_a_segment_is_a_prepared_segment(void **state)
{
    (void)state;
    for (uint64_t torn = 0; torn <= DISK_BLOCK_BYTES; torn += 8) {
        struct log_case c;
        begin(&c, false);
        case_append_frames(&c, 2, LARGE, 1);
        assert_int_equal(log_prepare(c.log), 0);
        disk_fake_end_at(c.fake, 1, FAKE_POWER, torn);
        assert_int_equal(case_append(&c, LARGE, 1), ERR_IO);
        case_close(&c);
        disk_fake_start(c.fake);
        opened(&c, 1, 2);
        assert_int_equal(c.count, 2);
        assert_true(log_has_room(c.log, LARGE));
        assert_int_equal(log_bytes(c.log), 2 * CASE_SEGMENT_BYTES);
        case_append_frames(&c, 2, LARGE, 1);
        case_close(&c);
        opened(&c, 1, 4);
        case_end(&c);
    }
}

static void damage_before_the_last_frame_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t segment, byte;
        const char *where;
    } places[] = {
        {1, 4096, "0001.log, byte 4096:"},
        {1, 8192 + 60, "0001.log, byte 8192:"},
        {1, 12288 + 9000, "0001.log, byte 12288"},
        {2, 4096 + 8, "0002.log, byte 4096:"},
        {2, 16384 + 20, "0002.log, byte 16384:"},
        {3, 4096 + 20, "0003.log, byte 4096:"},
        {1, 20, "0001.log, byte 0:"},
        {2, 100, "0002.log, byte 0:"},
        {3, 4000, "0003.log, byte 0:"},
    };
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        begin(&c, real != 0);
        fill(&c);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            flip(&c, places[i].segment, places[i].byte);
            refused(&c, 1, 0, places[i].where);
            flip(&c, places[i].segment, places[i].byte);
        }
        opened(&c, 1, 7);
        case_end(&c);
    }
}

/* Whether a byte of what `fill` wrote belongs to a head or a frame, and not to the zeros. */
static bool matters(uint64_t number, uint64_t byte)
{
    static const struct {
        uint64_t segment, at, payload_bytes;
    } frames[] = {{1, 4096, SMALL},  {1, 8192, SMALL},  {1, 12288, LARGE}, {2, 4096, LARGE},
                  {2, 16384, LARGE}, {3, 4096, MEDIUM}, {3, LAST, SMALL}};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
        if (number == frames[i].segment && byte >= frames[i].at &&
            byte < frames[i].at + FRAME_HEAD_BYTES + frames[i].payload_bytes)
            return true;
    return byte < DISK_BLOCK_BYTES;
}

static void any_damage_is_refused_but_in_the_last_frame(void **state)
{
    (void)state;
    struct log_case c;
    char content[FILE_BYTES_MAX];
    begin(&c, false);
    fill(&c);
    size_t count = c.count;
    for (uint64_t number = 1; number <= 3; number++) {
        size_t bytes = read_file(&c, number, content);
        for (uint64_t at = 0; at < bytes; at += at % DISK_BLOCK_BYTES < 160 ? 1 : 61) {
            flip(&c, number, at);
            bool cut = number == 3 && at >= LAST && matters(number, at);
            if (matters(number, at) && !cut) {
                refused(&c, 1, 0, ".log, byte ");
            } else {
                c.count = cut ? count - 1 : count;
                opened(&c, 1, c.count);
                assert_int_equal(c.given, cut ? count - 1 : count);
                case_close(&c);
                c.count = count;
            }
            overwrite(&c, number, 0, content, bytes);
        }
    }
    case_end(&c);
}

static void damage_in_the_last_frame_is_refused_when_it_is_committed(void **state)
{
    (void)state;
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        begin(&c, real != 0);
        fill(&c);
        flip(&c, 3, LAST + 70);
        refused(&c, 1, 7, "0003.log, byte 12288: the log ends with index 6");
        refused(&c, 8, 0, "0003.log, byte 12288: the log ends with index 6, but index 7");
        flip(&c, 3, LAST + 70);
        opened(&c, 1, 7);
        case_close(&c);
        refused(&c, 1, 8, "the log ends with index 7, but index 8");
        flip(&c, 3, LAST + 70);
        c.count--;
        opened(&c, 7, 6);
        goes_on(&c, 3, LAST);
        case_end(&c);
    }
}

/* The write that was torn began after all before it was durable. */
static void damage_before_a_torn_frame_is_refused(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    case_append_frames(&c, 2, SMALL, 1);
    disk_fake_end_at(c.fake, 1, FAKE_POWER, 512);
    assert_int_equal(case_append(&c, LARGE, 1), ERR_IO);
    case_close(&c);
    disk_fake_start(c.fake);
    flip(&c, 1, 8192 + 50);
    refused(&c, 1, 0, "0001.log, byte 8192: a frame is damaged, and later frames follow");
    case_end(&c);
}

static void a_missing_segment_is_refused(void **state)
{
    (void)state;
    for (int real = 0; real < 2; real++) {
        struct log_case c;
        begin(&c, real != 0);
        fill(&c);
        assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 2)), 0);
        refused(&c, 1, 0, "0002.log, byte 0: this segment is missing");
        refused(&c, 7, 0, "0002.log, byte 0: this segment is missing");
        assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 3)), 0);
        assert_int_equal(case_open(&c, 1, 4), ERR_CORRUPT);
        assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 1)), 0);
        assert_int_equal(case_open(&c, 1, 1), ERR_CORRUPT);
        assert_non_null(strstr(c.why, "has no entries, but index 1 is known to be committed"));
        case_end(&c);
    }
}

static void an_index_that_is_gone_is_refused(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 1)), 0);
    refused(&c, 1, 0, "0002.log, byte 0: the log begins with index 4, but index 1 is needed");
    refused(&c, 3, 0, "index 3 is needed");
    opened(&c, 4, 7);
    assert_int_equal(log_first_index(c.log), 4);
    case_close(&c);
    assert_int_equal(c.disk.remove(c.disk.context, case_path(&c, 2)), 0);
    char zeros[DISK_BLOCK_BYTES * 2] = {0};
    for (uint64_t at = 0; at < CASE_SEGMENT_BYTES; at += sizeof zeros)
        overwrite(&c, 3, at, zeros, sizeof zeros);
    refused(&c, 1, 0, "0002.log, byte 0: this segment is missing");
    case_end(&c);
}

static void segments_before_the_index_asked_for_are_not_read(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    flip(&c, 1, 8192 + 60);
    flip(&c, 2, 4096 + 60);
    refused(&c, 5, 0, "0002.log, byte 4096:");
    opened(&c, 6, 7);
    assert_int_equal(c.given, 2);
    case_end(&c);
}

/* Rewrites a field of a segment's head, checksum and all. */
static void set_head(struct log_case *c, uint64_t number, size_t at, uint64_t value, size_t bytes)
{
    char head[FILE_BYTES_MAX], field[8];
    read_file(c, number, head);
    put_u64(field, value);
    memcpy(head + at, field, bytes);
    put_u32(head + 12, 0);
    put_u32(head + 12, crc32c(0, head, DISK_BLOCK_BYTES));
    overwrite(c, number, 0, head, DISK_BLOCK_BYTES);
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    set_head(&c, 3, 8, 2, 4);
    refused_with(&c, 1, 0, ERR_NEWER, "0003.log, byte 8: its format is version 2");
    assert_non_null(strstr(c.why, "start a newer program"));
    set_head(&c, 3, 8, 1, 4);
    opened(&c, 1, 7);
    case_end(&c);
}

static void a_head_that_does_not_fit_its_file_is_refused(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    set_head(&c, 2, 16, 3, 8);
    refused(&c, 1, 0, "0002.log, byte 0: this is the head of another segment");
    set_head(&c, 2, 16, 2, 8);
    set_head(&c, 3, 24, CASE_SEGMENT_BYTES + DISK_BLOCK_BYTES, 8);
    refused(&c, 1, 0, "0003.log, byte 32768: the file ends here, and not where its head says");
    set_head(&c, 3, 24, CASE_SEGMENT_BYTES, 8);
    char head[FILE_BYTES_MAX];
    read_file(&c, 3, head);
    uint64_t chain = get_u64(head + 48);
    set_head(&c, 3, 48, chain ^ 1, 8); /* the frames end with another chain */
    refused(&c, 1, 0, "0002.log, byte 28672: ");
    set_head(&c, 3, 48, chain, 8);
    set_head(&c, 2, 40, 3, 8); /* its frames begin with 4, and those of segment 1 end behind 3 */
    refused(&c, 1, 0, "0001.log, byte 12288: ");
    set_head(&c, 2, 40, 4, 8);
    opened(&c, 1, 7);
    case_end(&c);
}

static void a_segment_that_begins_before_an_earlier_one_is_refused(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    set_head(&c, 1, 40, 5, 8);
    refused(&c, 6, 7, "0001.log, byte 4096: this frame is out of its order"); /* its head lies */
    set_head(&c, 1, 40, 1, 8);
    opened(&c, 6, 7);
    case_end(&c);
}

static void a_file_that_was_cut_short_is_refused(void **state)
{
    (void)state;
    static const size_t kept[] = {0, 100, DISK_BLOCK_BYTES, 2 * DISK_BLOCK_BYTES, 5000};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        struct log_case c;
        begin(&c, false);
        fill(&c);
        size_t bytes;
        char content[FILE_BYTES_MAX];
        const char *seen = disk_fake_look(c.fake, case_path(&c, 3), &bytes);
        memcpy(content, seen, kept[i]);
        disk_fake_put(c.fake, case_path(&c, 3), content, kept[i]);
        refused(&c, 1, 0, "0003.log, byte ");
        case_end(&c);
    }
}

static void two_segments_without_a_head_are_refused(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    char *zeros = calloc(1, CASE_SEGMENT_BYTES);
    disk_fake_put(c.fake, case_path(&c, 4), zeros, CASE_SEGMENT_BYTES);
    opened(&c, 1, 7); /* one is a prepared segment */
    case_close(&c);
    disk_fake_put(c.fake, case_path(&c, 5), zeros, CASE_SEGMENT_BYTES);
    refused(&c, 1, 0, "0004.log, byte 0: the head of this segment is damaged");
    free(zeros);
    case_end(&c);
}

/* Frames in the payload of a torn frame: they have another serial, since nobody knows this one. */
static void what_a_client_writes_never_looks_like_a_frame(void **state)
{
    (void)state;
    for (uint64_t torn = 0; torn < 3 * DISK_BLOCK_BYTES; torn += DISK_BLOCK_BYTES) {
        struct log_case c;
        begin(&c, false);
        case_append_frames(&c, 2, SMALL, 1);
        char *payload = log_frame_begin(c.log, LARGE);
        struct log_position inner = {.first_index = 3, .entries = 1};
        for (size_t at = DISK_BLOCK_BYTES; at < 3 * DISK_BLOCK_BYTES; at += DISK_BLOCK_BYTES)
            frame_seal(payload + at - FRAME_HEAD_BYTES, 0x123456789abcdef, &inner, SMALL);
        struct log_position p = {.first_index = 3, .entries = 1};
        struct log_frame *f = log_frame_end(c.log, &p, LARGE);
        disk_fake_end_at(c.fake, 1, FAKE_POWER, torn);
        assert_int_equal(log_append(c.log, f), ERR_IO);
        case_close(&c);
        disk_fake_start(c.fake);
        opened(&c, 1, 2);
        assert_int_equal(c.given, 2);
        goes_on(&c, 1, 3 * DISK_BLOCK_BYTES);
        case_end(&c);
    }
}

static int count_frame(void *context, const struct log_position *p, struct span payload)
{
    size_t *given = context;
    assert_true(p->first_index == ++*given && payload.bytes != 0);
    return 0;
}

/* Inside a valid frame nothing is looked for, even with the right serial. */
static void the_inside_of_a_valid_frame_is_not_looked_at(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    case_append_frames(&c, 1, SMALL, 1);
    char head[FILE_BYTES_MAX];
    read_file(&c, 1, head);
    uint64_t serial = get_u64(head + 32);
    char *payload = log_frame_begin(c.log, LARGE);
    struct log_position inner = {.first_index = 3, .entries = 1},
                        p = {.first_index = 2, .entries = 1};
    for (size_t at = DISK_BLOCK_BYTES; at < 3 * DISK_BLOCK_BYTES; at += DISK_BLOCK_BYTES)
        frame_seal(payload + at - FRAME_HEAD_BYTES, serial, &inner, SMALL);
    assert_int_equal(log_append(c.log, log_frame_end(c.log, &p, LARGE)), 0);
    case_close(&c);
    size_t given = 0;
    assert_int_equal(log_open(&c.log, &c.options, 1, 2, count_frame, &given, c.why, sizeof c.why),
                     0);
    assert_int_equal(given, 2);
    assert_int_equal(log_last_index(c.log), 2);
    case_end(&c);
}

/* Else frames of an earlier life of a file, or of a torn write, could be taken for new ones. */
static void each_segment_has_a_serial_of_its_own(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    fill(&c);
    c.options.seed++;
    opened(&c, 1, 7);
    case_append_frames(&c, 3, LARGE, 1);
    uint64_t serials[4];
    for (uint64_t number = 1; number <= 4; number++) {
        char content[FILE_BYTES_MAX];
        assert_int_equal(read_file(&c, number, content), CASE_SEGMENT_BYTES);
        serials[number - 1] = get_u64(content + 32);
        for (uint64_t other = 1; other < number; other++)
            assert_true(serials[other - 1] != serials[number - 1]);
    }
    case_end(&c);
}

static void a_short_frame_carries_nothing_of_a_longer_one(void **state)
{
    (void)state;
    struct log_case c;
    begin(&c, false);
    case_append_frames(&c, 2, LARGE, 1);
    case_append_frames(&c, 2, SMALL, 1);
    char content[FILE_BYTES_MAX];
    size_t bytes = read_file(&c, 1, content);
    for (size_t at = 7 * DISK_BLOCK_BYTES + FRAME_HEAD_BYTES + SMALL; at < bytes; at++)
        assert_int_equal(content[at], 0);
    case_end(&c);
}

struct seen {
    uint64_t first, entries;
};

static int see(void *context, const struct log_position *p, struct span payload)
{
    struct seen *s = context;
    (void)payload;
    if (s->entries == 0)
        s->first = p->first_index;
    s->entries += p->entries;
    return 0;
}

/* It finds the same end as a recovery, of a torn log too, and leaves all as it is. */
static void a_look_finds_the_ends_and_changes_nothing(void **state)
{
    (void)state;
    struct log_case c;
    struct log_ends ends;
    struct seen seen = {0};
    case_begin(&c, false, 7);
    assert_int_equal(case_open(&c, 1, 0), 0);
    case_append_frames(&c, 40, MEDIUM, 2);
    uint64_t last = case_last_index(&c), chain = log_last_chain(c.log);
    case_close(&c);
    assert_int_equal(last, 80);
    uint32_t before = all_files(&c);
    assert_int_equal(log_look(&c.disk, c.folder, 0, see, &seen, &ends, c.why, sizeof c.why), 0);
    assert_true(ends.first_index == 1 && ends.chain_before == 0 && ends.last_index == last &&
                ends.last_chain == chain);
    assert_true(seen.first > 1 && seen.first + seen.entries == last + 1); /* the newest few */
    seen = (struct seen){0};
    assert_int_equal(log_look(&c.disk, c.folder, 5, see, &seen, &ends, c.why, sizeof c.why), 0);
    assert_true(seen.first == 5 && seen.entries == 76);
    assert_int_equal(log_look(&c.disk, c.folder, 82, see, &seen, &ends, c.why, sizeof c.why),
                     ERR_CORRUPT);
    assert_int_equal(all_files(&c), before);
    assert_int_equal(log_look(&c.disk, "/nothing", 0, see, &seen, &ends, c.why, sizeof c.why),
                     ERR_NOT_FOUND);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_tail_is_cut_wherever_the_write_ended),
        cmocka_unit_test(a_torn_tail_is_cut_on_both_disks),
        cmocka_unit_test(a_torn_head_of_a_segment_is_a_prepared_segment),
        cmocka_unit_test(damage_before_the_last_frame_is_refused),
        cmocka_unit_test(any_damage_is_refused_but_in_the_last_frame),
        cmocka_unit_test(damage_in_the_last_frame_is_refused_when_it_is_committed),
        cmocka_unit_test(damage_before_a_torn_frame_is_refused),
        cmocka_unit_test(a_missing_segment_is_refused),
        cmocka_unit_test(an_index_that_is_gone_is_refused),
        cmocka_unit_test(segments_before_the_index_asked_for_are_not_read),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_head_that_does_not_fit_its_file_is_refused),
        cmocka_unit_test(a_segment_that_begins_before_an_earlier_one_is_refused),
        cmocka_unit_test(a_file_that_was_cut_short_is_refused),
        cmocka_unit_test(two_segments_without_a_head_are_refused),
        cmocka_unit_test(what_a_client_writes_never_looks_like_a_frame),
        cmocka_unit_test(each_segment_has_a_serial_of_its_own),
        cmocka_unit_test(a_short_frame_carries_nothing_of_a_longer_one),
        cmocka_unit_test(the_inside_of_a_valid_frame_is_not_looked_at),
        cmocka_unit_test(a_look_finds_the_ends_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
