/* What disk.h promises, one body for the real disk and for the fake one; and the fake one's faults,
 * on which other tests rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "support/disk_fake.h"

struct place {
    struct disk_fake *fake;
    struct disk disk;
    char folder[64];
    char path[128];
    char *block; /* aligned */
};

static void place_begin(struct place *p, bool real)
{
    memset(p, 0, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/noted-test-disk-XXXXXX");
    if (real) {
        p->disk = disk_real();
        assert_non_null(mkdtemp(p->folder));
    } else {
        p->fake = disk_fake_create(1);
        p->disk = disk_fake_disk(p->fake);
        assert_int_equal(p->disk.make_folder(p->fake, p->folder), 0);
    }
    p->block = aligned_alloc(DISK_BLOCK_BYTES, 2 * DISK_BLOCK_BYTES);
    assert_non_null(p->block);
    memset(p->block, 'x', 2 * DISK_BLOCK_BYTES);
}

static const char *at(struct place *p, const char *name)
{
    snprintf(p->path, sizeof p->path, "%s/%s", p->folder, name);
    return p->path;
}

static int remove_one(void *arg, const char *name)
{
    struct place *p = arg;
    return p->disk.remove(p->disk.context, at(p, name));
}

static void place_end(struct place *p)
{
    free(p->block);
    if (p->fake != NULL) {
        disk_fake_destroy(p->fake);
        return;
    }
    assert_int_equal(p->disk.list(p->disk.context, p->folder, remove_one, p), 0);
    assert_int_equal(rmdir(p->folder), 0);
}

static struct disk_file *open_file(struct place *p, const char *name, unsigned flags)
{
    struct disk_file *file;
    assert_int_equal(p->disk.open(p->disk.context, at(p, name), flags, &file), 0);
    return file;
}

static void files_are_made_written_read_and_sized(struct place *p)
{
    struct disk_file *file;
    void *context = p->disk.context;
    assert_int_equal(p->disk.open(context, at(p, "a"), 0, &file), ERR_NOT_FOUND);
    file = open_file(p, "a", DISK_CREATE);
    assert_int_equal(p->disk.write(file, 3, "hello", 5), 0);
    assert_int_equal(p->disk.sync(file), 0);
    p->disk.close(file);
    assert_int_equal(p->disk.open(context, at(p, "a"), DISK_CREATE, &file), ERR_SYSTEM);
    file = open_file(p, "a", DISK_READ_ONLY);
    char got[16] = "................";
    size_t bytes;
    assert_int_equal(p->disk.read(file, 1, got, sizeof got, &bytes), 0);
    assert_int_equal(bytes, 7);
    assert_memory_equal(got, "\0\0hello...", 10);
    assert_int_equal(p->disk.read(file, 100, got, sizeof got, &bytes), 0);
    assert_int_equal(bytes, 0);
    uint64_t size;
    assert_int_equal(p->disk.size(file, &size), 0);
    assert_int_equal(size, 8);
    assert_int_equal(p->disk.sync(file), 0);
    p->disk.close(file);
}

static void direct_files_are_written_and_read_by_blocks(struct place *p)
{
    struct disk_file *file = open_file(p, "direct", DISK_CREATE | DISK_DIRECT);
    assert_int_equal(p->disk.write(file, DISK_BLOCK_BYTES, p->block, DISK_BLOCK_BYTES), 0);
    size_t bytes;
    assert_int_equal(p->disk.read(file, 0, p->block, 2 * DISK_BLOCK_BYTES, &bytes), 0);
    assert_int_equal(bytes, 2 * DISK_BLOCK_BYTES);
    assert_int_equal(p->block[DISK_BLOCK_BYTES - 1], 0);
    assert_int_equal(p->block[DISK_BLOCK_BYTES], 'x');
    p->disk.close(file);
}

static int count_one(void *arg, const char *name)
{
    size_t *count = arg;
    ++*count;
    return strcmp(name, "stop") == 0 ? 42 : 0;
}

static void names_are_moved_removed_and_listed(struct place *p)
{
    const struct disk *d = &p->disk;
    char other[128];
    snprintf(other, sizeof other, "%s", at(p, "b"));
    assert_int_equal(d->rename(d->context, at(p, "a"), other), ERR_NOT_FOUND);
    d->close(open_file(p, "a", DISK_CREATE));
    d->close(open_file(p, "b", DISK_CREATE));
    assert_int_equal(d->rename(d->context, at(p, "a"), other), 0);
    assert_int_equal(d->sync_folder(d->context, p->folder), 0);
    assert_int_equal(disk_sync_parent(d, other), 0);
    assert_int_equal(d->make_folder(d->context, p->folder), 0);
    size_t count = 0;
    assert_int_equal(d->list(d->context, p->folder, count_one, &count), 0);
    assert_int_equal(count, 1);
    d->close(open_file(p, "stop", DISK_CREATE));
    assert_int_equal(d->list(d->context, p->folder, count_one, &count), 42);
    assert_int_equal(d->remove(d->context, other), 0);
    assert_int_equal(d->remove(d->context, other), ERR_NOT_FOUND);
    assert_int_equal(d->list(d->context, at(p, "none"), count_one, &count), ERR_NOT_FOUND);
    assert_int_equal(d->sync_folder(d->context, at(p, "none")), ERR_NOT_FOUND);
    uint64_t free_bytes = 1, total_bytes = 0;
    assert_int_equal(d->space(d->context, p->folder, &free_bytes, &total_bytes), 0);
    assert_true(total_bytes != 0 && free_bytes <= total_bytes);
}

static void on_both(void (*body)(struct place *p))
{
    for (int real = 0; real < 2; real++) {
        struct place p;
        place_begin(&p, real != 0);
        body(&p);
        place_end(&p);
    }
}

static void files_keep_what_is_written(void **state)
{
    (void)state;
    on_both(files_are_made_written_read_and_sized);
    on_both(direct_files_are_written_and_read_by_blocks);
    on_both(names_are_moved_removed_and_listed);
}

/* The limit on file sizes stands for a full disk: both end a write short. */
static void a_full_disk_is_told_apart_from_a_broken_one(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p, true);
    struct disk_file *file = open_file(&p, "full", DISK_CREATE | DISK_DIRECT);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = DISK_BLOCK_BYTES;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int code = p.disk.write(file, 0, p.block, 2 * DISK_BLOCK_BYTES);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(code, ERR_DISK_FULL);
    assert_int_equal(p.disk.write(file, 0, p.block, 2 * DISK_BLOCK_BYTES), 0);
    p.disk.close(file);
    place_end(&p);
}

static void the_fake_forgets_what_was_not_synced(void **state)
{
    (void)state;
    struct place p;
    size_t bytes;
    place_begin(&p, false);
    assert_int_equal(disk_sync_parent(&p.disk, p.folder), ERR_NOT_FOUND); /* "/tmp" */
    snprintf(p.folder, sizeof p.folder, "top");
    assert_int_equal(p.disk.make_folder(p.fake, "top"), 0);
    assert_int_equal(disk_sync_parent(&p.disk, "top"), 0);
    struct disk_file *file = open_file(&p, "a", DISK_CREATE);
    assert_int_equal(p.disk.write(file, 0, "old", 3), 0);
    assert_int_equal(p.disk.sync(file), 0);
    assert_int_equal(p.disk.sync_folder(p.fake, "top"), 0);
    assert_int_equal(p.disk.write(file, 0, "new!", 4), 0);
    char moved[128];
    snprintf(moved, sizeof moved, "%s", at(&p, "moved"));
    assert_int_equal(p.disk.rename(p.fake, at(&p, "a"), moved), 0);
    p.disk.close(open_file(&p, "b", DISK_CREATE));
    disk_fake_start(p.fake);
    assert_int_equal(p.disk.write(file, 0, "dead", 4), ERR_IO);
    p.disk.close(file);
    assert_memory_equal(disk_fake_look(p.fake, at(&p, "a"), &bytes), "old", 3);
    assert_int_equal(bytes, 3);
    assert_int_equal(disk_fake_files(p.fake), 1);
    place_end(&p);
}

static void the_fake_fails_when_told(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p, false);
    struct disk_file *file = open_file(&p, "a", DISK_CREATE);
    disk_fake_fail(p.fake, FAKE_WRITE, 2, ERR_DISK_FULL, false);
    assert_int_equal(p.disk.write(file, 0, "1", 1), 0);
    assert_int_equal(p.disk.write(file, 0, "2", 1), ERR_DISK_FULL);
    assert_true(disk_fake_has_failed(p.fake));
    assert_int_equal(p.disk.write(file, 0, "3", 1), 0);
    disk_fake_fail(p.fake, FAKE_SYNC, 1, ERR_IO, true);
    assert_int_equal(p.disk.sync(file), ERR_IO);
    assert_int_equal(p.disk.write(file, 0, "4", 1), 0);
    assert_int_equal(p.disk.sync(file), ERR_IO);
    disk_fake_fail(p.fake, 0, 0, 0, false);
    disk_fake_limit(p.fake, 10);
    assert_int_equal(p.disk.write(file, 4, "1234567", 7), ERR_DISK_FULL);
    assert_int_equal(p.disk.write(file, 4, "123456", 6), 0);
    disk_fake_end_at(p.fake, 1, FAKE_KILL, 2);
    assert_int_equal(p.disk.write(file, 0, "abcd", 4), ERR_IO);
    assert_true(disk_fake_has_ended(p.fake));
    assert_int_equal(p.disk.sync(file), ERR_IO);
    disk_fake_start(p.fake);
    size_t bytes;
    assert_memory_equal(disk_fake_look(p.fake, at(&p, "a"), &bytes), "ab\0\000123456", 10);
    p.disk.close(file);
    place_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_keep_what_is_written),
        cmocka_unit_test(a_full_disk_is_told_apart_from_a_broken_one),
        cmocka_unit_test(the_fake_forgets_what_was_not_synced),
        cmocka_unit_test(the_fake_fails_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
