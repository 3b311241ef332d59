/* The data directory on a disk that ends, fails and forgets; only its lock is a real file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/stable.h"
#include "node/data_dir.h"
#include "support/disk_fake.h"

struct place {
    struct disk_fake *fake;
    struct disk disk;
    char folder[64], data[80], why[512];
};

/* The disk in memory has no root. */
static int sync_folder(void *context, const char *path)
{
    return strcmp(path, "/") == 0 ? 0 : disk_fake_disk(context).sync_folder(context, path);
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->folder, sizeof p->folder, "/tmp/test_data_dir_XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->data, sizeof p->data, "%s/data", p->folder);
    disk_real().make_folder(NULL, p->data);
    p->fake = disk_fake_create(1);
    p->disk = disk_fake_disk(p->fake);
    p->disk.sync_folder = sync_folder;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char lock[100];
    snprintf(lock, sizeof lock, "%s/lock", p->data);
    unlink(lock);
    rmdir(p->data);
    rmdir(p->folder);
    disk_fake_destroy(p->fake);
    free(p);
    return 0;
}

static int open_dir(struct place *p, struct data_dir *d)
{
    return data_dir_open(d, &p->disk, p->data, "t", "/proc/sys/kernel/random/boot_id", true, p->why,
                         sizeof p->why);
}

static void a_new_directory_outlives_a_power_failure(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    assert_int_equal(open_dir(p, &d), 0);
    const struct identity made = d.identity;
    data_dir_close(&d);
    disk_fake_start(p->fake);
    assert_int_equal(open_dir(p, &d), 0);
    assert_memory_equal(d.identity.server.id, made.server.id, sizeof made.server.id);
    data_dir_close(&d);
}

static void an_epoch_is_never_given_twice(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t last = 0, epoch;
    for (uint64_t nth = 1; nth < 40; nth++) {
        disk_fake_end_at(p->fake, nth, FAKE_POWER_LOSE_SOME, FAKE_TORN_SECTORS);
        if (open_dir(p, &d) == 0) {
            while (data_dir_next_epoch(&d, 0, 9, &epoch) == 0) {
                assert_true(epoch > last);
                last = epoch;
            }
            data_dir_close(&d);
        }
        assert_true(disk_fake_has_ended(p->fake));
        disk_fake_start(p->fake);
    }
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), 0);
    assert_true(epoch > last);
    data_dir_close(&d);
}

static void an_epoch_below_the_log_s_is_refused_however_often(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(open_dir(p, &d), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(data_dir_next_epoch(&d, 2, 9, &epoch), ERR_CORRUPT);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), 0);
    assert_int_equal(epoch, 1);
    data_dir_close(&d);
}

static void an_epoch_is_promised_to_this_life_and_the_server_is_in_its_own_set(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 77, &epoch), 0);
    data_dir_close(&d);
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(d.identity.hard.promised_epoch, epoch);
    assert_int_equal(d.identity.hard.promised_life, 77);
    assert_int_equal(d.identity.hard.set.count, 1);
    assert_string_equal(d.identity.hard.set.list[0].name, "t");
    assert_memory_equal(d.identity.hard.set.list[0].id, d.identity.server.id, PEER_ID_BYTES);
    data_dir_close(&d);
}

static void an_epoch_below_what_was_promised_to_another_is_refused(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(open_dir(p, &d), 0);
    struct repl_hard hard = d.identity.hard;
    hard.promised_epoch = 5;
    assert_int_equal(data_dir_save(&d, &hard), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), ERR_CORRUPT);
    data_dir_close(&d);
}

static void what_is_saved_is_there_after_a_power_failure(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    struct repl_hard hard = {.promised_epoch = 3, .promised_life = 4, .complete = true};
    assert_int_equal(open_dir(p, &d), 0);
    memset(hard.cluster, 'c', sizeof hard.cluster);
    for (unsigned i = 0; i < PEER_SET_MAX; i++) {
        snprintf(hard.set.list[i].name, sizeof hard.set.list[i].name, "server%u", i);
        hard.set.list[i].id[0] = (unsigned char)(i + 1);
        hard.set.count++;
    }
    assert_int_equal(data_dir_save(&d, &hard), 0);
    data_dir_close(&d);
    disk_fake_start(p->fake);
    assert_int_equal(open_dir(p, &d), 0);
    assert_memory_equal(&d.identity.hard, &hard, sizeof hard);
    data_dir_close(&d);
}

static void a_backup_begins_no_cluster(void **state)
{
    static const unsigned char none[PEER_ID_BYTES];
    struct place *p = *state;
    struct data_dir d;
    assert_int_equal(
        data_dir_open(&d, &p->disk, p->data, "t", "/dev/null", false, p->why, sizeof p->why), 0);
    assert_memory_equal(d.identity.hard.cluster, none, sizeof none);
    assert_memory_not_equal(d.identity.server.id, none, sizeof none);
    data_dir_close(&d);
}

/* As the version before replication wrote it. */
static void an_identity_of_format_1_is_read(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    char path[100], bytes[108] = {1};
    memset(bytes + 4, 'c', 16);
    memset(bytes + 20, 'i', 16);
    bytes[40] = 7;
    bytes[44] = 's';
    snprintf(path, sizeof path, "%s/identity", p->data);
    assert_int_equal(p->disk.make_folder(p->disk.context, p->data), 0);
    assert_int_equal(stable_write(&p->disk, path, bytes, sizeof bytes), 0);
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(d.identity.starts, 7);
    assert_int_equal(d.identity.hard.cluster[0], 'c');
    assert_int_equal(d.identity.server.id[15], 'i');
    assert_int_equal(d.identity.hard.set.count, 0);
    data_dir_close(&d);
}

static void an_install_is_begun_and_ended_durably_with_a_new_identity(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    assert_int_equal(open_dir(p, &d), 0);
    const struct identity before = d.identity;
    assert_false(before.installing);
    assert_int_equal(data_dir_begin_install(&d), 0);
    data_dir_close(&d);
    disk_fake_start(p->fake);
    assert_int_equal(open_dir(p, &d), 0);
    const struct identity begun = d.identity;
    assert_true(begun.installing);
    assert_memory_not_equal(begun.server.id, before.server.id, PEER_ID_BYTES);
    assert_string_equal(begun.server.name, before.server.name);
    assert_memory_equal(&begun.hard, &before.hard, sizeof before.hard);
    assert_int_equal(data_dir_end_install(&d), 0);
    data_dir_close(&d);
    disk_fake_start(p->fake);
    assert_int_equal(open_dir(p, &d), 0);
    assert_false(d.identity.installing);
    assert_memory_equal(d.identity.server.id, begun.server.id, PEER_ID_BYTES);
    assert_int_equal(data_dir_begin_install(&d), 0);
    assert_memory_not_equal(d.identity.server.id, begun.server.id, PEER_ID_BYTES);
    data_dir_close(&d);
}

/* The old identity without it, or the new one with it: at every change on the way, and back. */
static void an_install_is_never_half_begun(void **state)
{
    struct place *p = *state;
    bool more = true;
    for (uint64_t nth = 1; more; nth++) {
        struct data_dir d;
        assert_int_equal(open_dir(p, &d), 0);
        const struct identity before = d.identity;
        disk_fake_end_at(p->fake, nth, FAKE_POWER_LOSE_SOME, FAKE_TORN_SECTORS);
        int begun = data_dir_begin_install(&d);
        int ended = begun == 0 ? data_dir_end_install(&d) : begun;
        more = disk_fake_has_ended(p->fake);
        data_dir_close(&d);
        disk_fake_start(p->fake);
        assert_int_equal(open_dir(p, &d), 0);
        bool is_new = memcmp(d.identity.server.id, before.server.id, PEER_ID_BYTES) != 0;
        assert_true(begun != 0 || is_new);
        if (ended == 0)
            assert_false(d.identity.installing);
        else
            assert_true(d.identity.installing == is_new || begun == 0);
        assert_int_equal(data_dir_end_install(&d), 0);
        data_dir_close(&d);
    }
}

static void storage_is_trusted_after_a_kill_but_not_after_a_failed_sync(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    assert_int_equal(open_dir(p, &d), 0);
    assert_false(data_dir_trusted(&d));
    assert_int_equal(data_dir_mark(&d, false), 0);
    assert_true(data_dir_trusted(&d));
    data_dir_distrust(&d);
    data_dir_close(&d);
    assert_int_equal(open_dir(p, &d), 0);
    assert_false(data_dir_trusted(&d));
    assert_int_equal(data_dir_mark(&d, true), 0);
    assert_true(data_dir_trusted(&d));
    data_dir_close(&d);
}

static void storage_that_is_behind_is_not_trusted_until_it_is_marked(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_mark(&d, true), 0);
    assert_int_equal(data_dir_mark_behind(&d), 0);
    assert_false(data_dir_trusted(&d));
    data_dir_close(&d);
    disk_fake_start(p->fake);
    assert_int_equal(open_dir(p, &d), 0);
    assert_false(data_dir_trusted(&d));
    assert_int_equal(data_dir_mark(&d, false), 0);
    assert_true(data_dir_trusted(&d));
    data_dir_close(&d);
}

static void what_was_written_once_needs_no_space_to_be_written_again(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_mark(&d, false), 0);
    size_t files = disk_fake_files(p->fake);
    assert_int_equal(data_dir_mark(&d, true), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), 0);
    assert_int_equal(disk_fake_files(p->fake), files);
    data_dir_close(&d);
}

static void a_directory_has_one_server(void **state)
{
    struct place *p = *state;
    struct data_dir d, second;
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(open_dir(p, &second), ERR_LOCKED);
    assert_non_null(strstr(p->why, p->data));
    data_dir_close(&d);
}

static int look(struct place *p, struct data_dir *d, bool read_only)
{
    return data_dir_look(d, &p->disk, p->data, read_only, "/proc/sys/kernel/random/boot_id", p->why,
                         sizeof p->why);
}

static void a_look_makes_nothing_and_is_not_taken_at_what_somebody_runs_on(void **state)
{
    struct place *p = *state;
    struct data_dir d, second;
    char lock[100];
    snprintf(lock, sizeof lock, "%s/lock", p->data);
    assert_int_equal(look(p, &d, true), ERR_NOT_FOUND);
    assert_int_not_equal(access(lock, F_OK), 0);
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(look(p, &second, true), ERR_LOCKED);
    assert_int_equal(look(p, &second, false), ERR_LOCKED);
    const struct identity made = d.identity;
    data_dir_close(&d);
    assert_int_equal(look(p, &d, true), 0);
    assert_memory_equal(d.identity.server.id, made.server.id, PEER_ID_BYTES);
    assert_string_equal(d.identity.server.name, "t");
    assert_int_equal(open_dir(p, &second), ERR_LOCKED);
    data_dir_close(&d);
}

static void a_promotion_gives_epochs_above_all_before_and_a_set_of_its_own(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), 0); /* it was a primary once, */
    struct repl_hard hard = d.identity.hard;
    hard.promised_epoch = 5; /* and a backup since */
    hard.set.count = 2;
    memset(&hard.set.list[1], 1, PEER_ID_BYTES);
    snprintf(hard.set.list[1].name, sizeof hard.set.list[1].name, "other");
    assert_int_equal(data_dir_save(&d, &hard), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), ERR_CORRUPT);
    data_dir_close(&d);
    assert_int_equal(look(p, &d, false), 0);
    assert_int_equal(data_dir_promote(&d, 3), 0);
    data_dir_close(&d);
    disk_fake_start(p->fake);
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_own_epoch(&d), 3ULL << 32);
    assert_int_equal(data_dir_next_epoch(&d, 5, 9, &epoch), 0);
    assert_int_equal(epoch, (3ULL << 32) + 1);
    assert_int_equal(d.identity.hard.set.count, 1);
    assert_string_equal(d.identity.hard.set.list[0].name, "t");
    data_dir_close(&d);
}

static void a_promotion_happens_whole_or_not(void **state)
{
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), 0);
    data_dir_close(&d);
    uint32_t least = 0;
    for (uint64_t nth = 1; nth < 30; nth++) {
        disk_fake_end_at(p->fake, nth, FAKE_POWER_LOSE_SOME, FAKE_TORN_SECTORS);
        if (look(p, &d, false) == 0) {
            uint32_t generation = d.identity.generation;
            assert_true(generation >= least);
            while (data_dir_promote(&d, ++generation) == 0)
                least = generation;
            data_dir_close(&d);
        }
        disk_fake_start(p->fake);
        assert_int_equal(look(p, &d, false), 0);
        assert_true(d.identity.generation >= least);
        data_dir_close(&d);
    }
}

static void a_backups_directory_that_followed_nobody_begins_a_cluster(void **state)
{
    static const unsigned char none[PEER_ID_BYTES];
    struct place *p = *state;
    struct data_dir d;
    uint64_t epoch;
    assert_int_equal(
        data_dir_open(&d, &p->disk, p->data, "t", "/dev/null", false, p->why, sizeof p->why), 0);
    assert_memory_equal(d.identity.hard.cluster, none, sizeof none);
    data_dir_close(&d);
    assert_int_equal(open_dir(p, &d), 0);
    assert_int_equal(data_dir_next_epoch(&d, 0, 9, &epoch), 0);
    assert_memory_not_equal(d.identity.hard.cluster, none, sizeof none);
    data_dir_close(&d);
}

#define DIR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(a_new_directory_outlives_a_power_failure),
        DIR_TEST(an_epoch_is_never_given_twice),
        DIR_TEST(an_epoch_is_promised_to_this_life_and_the_server_is_in_its_own_set),
        DIR_TEST(an_epoch_below_what_was_promised_to_another_is_refused),
        DIR_TEST(what_is_saved_is_there_after_a_power_failure),
        DIR_TEST(a_backup_begins_no_cluster),
        DIR_TEST(an_identity_of_format_1_is_read),
        DIR_TEST(an_epoch_below_the_log_s_is_refused_however_often),
        DIR_TEST(an_install_is_begun_and_ended_durably_with_a_new_identity),
        DIR_TEST(an_install_is_never_half_begun),
        DIR_TEST(storage_is_trusted_after_a_kill_but_not_after_a_failed_sync),
        DIR_TEST(storage_that_is_behind_is_not_trusted_until_it_is_marked),
        DIR_TEST(what_was_written_once_needs_no_space_to_be_written_again),
        DIR_TEST(a_directory_has_one_server),
        DIR_TEST(a_look_makes_nothing_and_is_not_taken_at_what_somebody_runs_on),
        DIR_TEST(a_promotion_gives_epochs_above_all_before_and_a_set_of_its_own),
        DIR_TEST(a_promotion_happens_whole_or_not),
        DIR_TEST(a_backups_directory_that_followed_nobody_begins_a_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
