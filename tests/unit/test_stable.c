/* The small durable record: what is read after any crash, fault or damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/stable.h"
#include "support/disk_fake.h"

static const char path[] = "epoch";

/* The record's content, or NULL and the code. */
static const char *content(const struct disk *disk, const char *where, int *code)
{
    static char text[64], why[256];
    size_t bytes = 0;
    *code = stable_read(disk, where, text, sizeof text - 1, &bytes, why, sizeof why);
    text[bytes] = 0;
    if (*code != 0)
        assert_true(strstr(why, where) != NULL);
    return *code == 0 ? text : NULL;
}

static void expect(const struct disk *disk, const char *text)
{
    int code;
    const char *got = content(disk, path, &code);
    assert_int_equal(code, 0);
    assert_string_equal(got, text);
}

static int put(const struct disk *disk, const char *text)
{
    return stable_write(disk, path, text, strlen(text));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char folder[] = "/tmp/noted-test-stable-XXXXXX", name[64], copy[80];
    assert_non_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/set", folder);
    struct disk disk = disk_real();
    int code;
    assert_null(content(&disk, name, &code));
    assert_int_equal(code, ERR_NOT_FOUND);
    static const char *const texts[] = {"a", "", "a longer one than before", "short", "e"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(stable_write(&disk, name, texts[i], strlen(texts[i])), 0);
        const char *got = content(&disk, name, &code);
        assert_int_equal(code, 0);
        assert_string_equal(got, texts[i]);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(copy, sizeof copy, "%s.%d", name, i);
        assert_int_equal(unlink(copy), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    struct disk_fake *f = disk_fake_create(1);
    struct disk disk = disk_fake_disk(f);
    char *much = calloc(1, STABLE_BYTES_MAX + 1), why[256];
    size_t bytes;
    assert_non_null(much);
    assert_int_equal(stable_write(&disk, path, much, STABLE_BYTES_MAX + 1), ERR_TOO_LARGE);
    assert_int_equal(disk_fake_files(f), 0);
    assert_int_equal(stable_write(&disk, path, much, STABLE_BYTES_MAX), 0);
    assert_int_equal(stable_read(&disk, path, much, STABLE_BYTES_MAX, &bytes, why, sizeof why), 0);
    assert_int_equal(bytes, STABLE_BYTES_MAX);
    assert_int_equal(stable_read(&disk, path, much, STABLE_BYTES_MAX - 1, &bytes, why, sizeof why),
                     ERR_TOO_LARGE);
    free(much);
    disk_fake_destroy(f);
}

/* Writes 1, 2, 3 … until the disk ends; the number of the last acknowledged, and of the last tried.
 */
static void write_numbers(const struct disk *disk, int first, int *acknowledged, int *tried)
{
    char text[16];
    for (int n = first; n < first + 5; n++) {
        snprintf(text, sizeof text, "%d", n);
        *tried = n;
        if (put(disk, text) != 0)
            return;
        *acknowledged = n;
    }
}

/* The number that is there now (0: none) is one of these, and stays through a power failure: who
 * read it may have acted on it. */
static int number_there(struct disk_fake *f, const struct disk *disk, const int allowed[3])
{
    int code;
    const char *text = content(disk, path, &code);
    int number = text == NULL ? 0 : atoi(text);
    assert_true(code == 0 || code == ERR_NOT_FOUND);
    assert_true(number == allowed[0] || number == allowed[1] || number == allowed[2]);
    disk_fake_start(f);
    text = content(disk, path, &code);
    assert_int_equal(text == NULL ? 0 : atoi(text), number);
    return number;
}

/* Two crashes, the second on what the first left, read in between or not. */
static bool crash_twice(uint64_t seed, uint64_t nth)
{
    static const enum disk_fake_end ends[] = {FAKE_POWER, FAKE_POWER_LOSE_SOME, FAKE_KILL};
    struct disk_fake *f = disk_fake_create(seed);
    struct disk disk = disk_fake_disk(f);
    uint64_t torn = seed % 4 < 2 ? FAKE_TORN_SECTORS : seed * 2;
    int allowed[3] = {0, 0,
                      0}; /* acknowledged, tried before the first crash, and before the second */
    disk_fake_end_at(f, nth, ends[seed % 3], torn);
    write_numbers(&disk, 1, &allowed[0], &allowed[1]);
    bool ended = disk_fake_has_ended(f);
    disk_fake_start(f);
    if (seed % 2 == 0)
        allowed[0] = allowed[1] = number_there(f, &disk, allowed);
    disk_fake_end_at(f, 1 + (nth + seed) % 9, ends[nth % 3], torn);
    int acknowledged = 0;
    write_numbers(&disk, 100, &acknowledged, &allowed[2]);
    if (acknowledged != 0)
        allowed[0] = allowed[1] = acknowledged;
    disk_fake_start(f);
    number_there(f, &disk, allowed);
    disk_fake_destroy(f);
    return ended;
}

static void a_crash_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++)
        for (uint64_t nth = 1; crash_twice(seed, nth); nth++) {
        }
}

static void a_fault_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    static const int codes[] = {ERR_IO, ERR_DISK_FULL};
    for (int old = 0; old < 4; old++) {
        for (uint64_t nth = 1;; nth++) {
            struct disk_fake *f = disk_fake_create(nth);
            struct disk disk = disk_fake_disk(f);
            int code;
            char text[16];
            for (int n = 1; n <= old; n++) {
                snprintf(text, sizeof text, "%d", n);
                assert_int_equal(put(&disk, text), 0);
            }
            disk_fake_fail(f, FAKE_ALL, nth, codes[nth % 2], nth % 3 == 0);
            code = put(&disk, "99");
            bool failed = disk_fake_has_failed(f);
            disk_fake_fail(f, 0, 0, 0, false);
            int allowed[3] = {code == 0 ? 99 : old, 99, 99};
            assert_true(failed ? code != 0 : code == 0);
            if (code == ERR_DISK_FULL) { /* not final: it may be tried again */
                assert_int_equal(put(&disk, "99"), 0);
                allowed[0] = 99;
            }
            disk_fake_start(f);
            number_there(f, &disk, allowed);
            disk_fake_destroy(f);
            if (!failed)
                break;
        }
    }
}

/* The page cache shows what a failed sync has left there, and the next sync succeeds: who reads
 * that in the next life would act on what the disk does not have. */
static void what_is_read_after_a_failed_sync_is_durable(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 70; seed++) {
        struct disk_fake *f = disk_fake_create(seed);
        struct disk disk = disk_fake_disk(f);
        int allowed[3] = {0, 0, 0};
        disk_fake_fail(f, FAKE_SYNC, 1 + seed % 14, ERR_IO, false);
        write_numbers(&disk, 1, &allowed[0], &allowed[1]);
        assert_true(disk_fake_has_failed(f));
        disk_fake_fail(f, 0, 0, 0, false);
        number_there(f, &disk, allowed);
        disk_fake_destroy(f);
    }
}

static void a_damaged_copy_may_have_been_the_last(void **state)
{
    (void)state;
    struct disk_fake *f = disk_fake_create(1);
    struct disk disk = disk_fake_disk(f);
    assert_false(stable_is_last(&disk, path));
    assert_int_equal(put(&disk, "one"), 0);
    assert_false(stable_is_last(&disk, path));
    assert_int_equal(put(&disk, "two"), 0);
    assert_true(stable_is_last(&disk, path));
    for (char copy = '0'; copy <= '1'; copy++) {
        char name[] = {'e', 'p', 'o', 'c', 'h', '.', copy, '\0'};
        disk_fake_flip(f, name, 30, 1);
        assert_false(stable_is_last(&disk, path));
        disk_fake_flip(f, name, 30, 1);
        assert_true(stable_is_last(&disk, path));
    }
    assert_int_equal(put(&disk, "three"), 0);
    assert_true(stable_is_last(&disk, path));
    disk_fake_destroy(f);
}

static void a_damaged_copy_is_passed_over(void **state)
{
    (void)state;
    size_t bytes = 0;
    for (size_t byte = 0; byte == 0 || byte < bytes; byte++) {
        struct disk_fake *f = disk_fake_create(1);
        struct disk disk = disk_fake_disk(f);
        assert_int_equal(put(&disk, "one"), 0);
        assert_int_equal(put(&disk, "two"), 0);
        disk_fake_look(f, "epoch.1", &bytes);
        disk_fake_flip(f, "epoch.1", byte, 0x10);
        expect(&disk, "one");
        assert_int_equal(put(&disk, "three"), 0); /* over the damaged one */
        expect(&disk, "three");
        disk_fake_flip(f, "epoch.1", byte, 0x10);
        expect(&disk, "one");
        disk_fake_destroy(f);
    }
    assert_int_equal(bytes, 28 + 3);
}

static void two_damaged_copies_are_refused_and_kept(void **state)
{
    (void)state;
    struct disk_fake *f = disk_fake_create(1);
    struct disk disk = disk_fake_disk(f);
    int code;
    assert_int_equal(put(&disk, "one"), 0);
    disk_fake_flip(f, "epoch.0", 30, 1);
    assert_null(content(&disk, path, &code));
    assert_int_equal(code, ERR_CORRUPT);
    assert_int_equal(put(&disk, "two"), ERR_CORRUPT);
    disk_fake_flip(f, "epoch.0", 30, 1);
    expect(&disk, "one");
    assert_int_equal(put(&disk, "two"), 0);
    disk_fake_flip(f, "epoch.0", 30, 1);
    disk_fake_put(f, "epoch.1", "", 0);
    assert_null(content(&disk, path, &code));
    assert_int_equal(code, ERR_CORRUPT);
    disk_fake_destroy(f);
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    struct disk_fake *f = disk_fake_create(1);
    struct disk disk = disk_fake_disk(f);
    assert_int_equal(put(&disk, "one"), 0);
    assert_int_equal(put(&disk, "two"), 0);
    char copy[64];
    size_t bytes;
    const char *seen = disk_fake_look(f, "epoch.0", &bytes);
    assert_int_equal(bytes, 31);
    memcpy(copy, seen, bytes);
    put_u32(copy + 8, 2);
    put_u32(copy + 24, crc32c(crc32c(0, copy, 24), copy + 28, 3));
    disk_fake_put(f, "epoch.0", copy, bytes);
    int code;
    assert_null(content(&disk, path, &code));
    assert_int_equal(code, ERR_NEWER);
    assert_int_equal(put(&disk, "three"), ERR_NEWER);
    assert_memory_equal(disk_fake_look(f, "epoch.0", &bytes), copy, 31);
    disk_fake_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(a_crash_leaves_the_old_or_the_new),
        cmocka_unit_test(a_fault_leaves_the_old_or_the_new),
        cmocka_unit_test(what_is_read_after_a_failed_sync_is_durable),
        cmocka_unit_test(a_damaged_copy_may_have_been_the_last),
        cmocka_unit_test(a_damaged_copy_is_passed_over),
        cmocka_unit_test(two_damaged_copies_are_refused_and_kept),
        cmocka_unit_test(a_newer_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
