/* Where local storage begins with a copy of it: an install of one that came, and a start with the
 * checkpoint and what is left of the log, each cut off anywhere. */
#include "node_life.h"

#include <fcntl.h>
#include <glob.h>

#include "node/data_dir.h"
#include "store/copy.h"

enum { NEVER_THERE = 1000 /* numbers of writes that the copy does not have */ };

/* --- What there is before --- */

static void live_and_die(struct place *p, unsigned first)
{
    p->first = first;
    p->killed = true;
    assert_int_equal(in_process(p, live, NO_FAULT, 0), KILLED);
    p->killed = false;
}

/* Local storage as it is now, as data/`name`. */
static void copy_storage(struct place *p, const char *name)
{
    char from[100], to[100], why[256];
    struct store *store;
    snprintf(from, sizeof from, "%s/records.mdb", p->data);
    snprintf(to, sizeof to, "%s/%s", p->data, name);
    const struct store_options o = {.path = from, .map_bytes = 64 * MIB, .readers_max = 2};
    assert_int_equal(store_open(&store, &o, why, sizeof why), 0);
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(store_copy(store, fd), 0);
    close(fd);
    store_close(store);
}

/* A copy of one life is here whole, and its install was begun; the log and local storage that are
 * here, too, have another life behind it, which nobody is to see again. */
static const char *begun_install(struct place *p)
{
    struct disk disk = disk_real();
    struct data_dir d;
    char why[512];
    live_and_die(p, 0);
    copy_storage(p, "copy");
    live_and_die(p, NEVER_THERE);
    run_shell("mv %s/copy %s/copy.part", p->data, p->data);
    assert_int_equal(data_dir_open(&d, &disk, p->data, "t", p->boot, true, why, sizeof why), 0);
    assert_int_equal(data_dir_begin_install(&d), 0);
    data_dir_close(&d);
    p->first = WRITES;
    return keep_as_template(p);
}

/* Three lives; the checkpoint is of two, and the log has no longer the first of them whole. */
static const char *trimmed_log(struct place *p)
{
    char pattern[100];
    glob_t found;
    live_and_die(p, 0);
    live_and_die(p, WRITES);
    copy_storage(p, "checkpoint.mdb");
    snprintf(pattern, sizeof pattern, "%s/log/*.log", p->data);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 2);
    live_and_die(p, 2 * WRITES);
    unlink(found.gl_pathv[0]); /* unless it was trimmed */
    globfree(&found);
    p->first = 3 * WRITES;
    return keep_as_template(p);
}

/* --- Installs --- */

static void an_install_that_is_cut_off_ends_with_what_the_copy_has(void **state)
{
    struct place *p = *state;
    const char *template = begun_install(p);
    each_change(p, template, KILL);
    each_change(p, template, IO);
    each_change(p, template, FULL_ONCE);
}

/* Its primary is not there, so that it is opened and no more. */
static int open_as_backup(struct place *p, enum fault fault, uint64_t nth)
{
    struct life l;
    if (open_life(&l, p, fault, nth) != 0)
        fatal(l.why);
    close_life(&l);
    return 0;
}

static void an_install_at_a_backup_is_cut_off_and_goes_on(void **state)
{
    static const enum fault kinds[] = {KILL, IO, FULL_ONCE};
    struct place *p = *state;
    const char *template = begun_install(p);
    p->backup = true;
    for (unsigned kind = 0; kind < 3; kind++) {
        bool hit = true;
        for (uint64_t nth = 1; hit; nth++) {
            char when[100];
            snprintf(when, sizeof when, "fault %d at change %u of a backup's install",
                     (int)kinds[kind], (unsigned)nth);
            run_shell("rm -rf %s%s", p->data, "");
            run_shell("cp -r %s %s", template, p->data);
            int status = in_process(p, open_as_backup, kinds[kind], nth);
            hit = p->seen->hit;
            if (status != 0 && (!hit || (status == 1 && p->seen->why[0] == '\0')))
                fail_msg("%s: %d \"%s\"", when, status, p->seen->why);
            expect_records(p, WRITES, when);
        }
    }
}

static void an_install_after_which_the_machine_crashes_begins_with_the_copy_again(void **state)
{
    struct place *p = *state;
    run_shell("cp -r %s %s", begun_install(p), p->data);
    p->backup = true;
    assert_int_equal(in_process(p, open_as_backup, NO_FAULT, 0), 0);
    set_boot(p, "next-boot\n");
    run_shell("echo damage >> %s/records.mdb%s", p->data, "");
    assert_int_equal(in_process(p, open_as_backup, NO_FAULT, 0), 0);
    if (strstr(p->seen->said, "begins with the checkpoint") == NULL)
        fail_msg("it said \"%s\"", p->seen->said);
    expect_records(p, WRITES, "after a crash of the machine");
}

/* --- Checkpoints --- */

static void a_start_from_the_checkpoint_may_end_anywhere(void **state)
{
    struct place *p = *state;
    const char *template = trimmed_log(p);
    set_boot(p, "next-boot\n");
    each_change(p, template, KILL);
    each_change(p, template, IO);
    each_change(p, template, FULL_ONCE);
}

static void a_start_with_the_checkpoint_and_a_log_that_reaches_it_says_so(void **state)
{
    struct place *p = *state;
    run_shell("cp -r %s %s", trimmed_log(p), p->data);
    set_boot(p, "next-boot\n");
    *p->seen = (struct seen){0};
    expect_each_once(p, "after a crash of the machine");
    if (strstr(p->seen->said, "begins with the checkpoint at entry") == NULL)
        fail_msg("it said \"%s\"", p->seen->said);
}

static void a_damaged_checkpoint_is_refused_where_the_log_does_not_reach_back(void **state)
{
    struct place *p = *state;
    const char *template = trimmed_log(p);
    set_boot(p, "next-boot\n");
    for (unsigned byte = 100; byte < 200 * 1000; byte += 33333) {
        char position[20];
        struct life l;
        snprintf(position, sizeof position, "%u", byte);
        run_shell("rm -rf %s%s", p->data, "");
        run_shell("cp -r %s %s", template, p->data);
        run_shell(
            "printf '\\377\\376' | dd of=%s/checkpoint.mdb bs=1 seek=%s conv=notrunc status=none",
            p->data, position);
        for (unsigned tries = 0; tries < 3; tries++) {
            *p->seen = (struct seen){0};
            if (open_life(&l, p, NO_FAULT, 0) == 0)
                fail_msg("byte %u was changed, and the server starts", byte);
            message_log_destroy(l.messages);
            settings_finish(&l.settings);
            if (l.why[0] == '\0')
                fail_msg("refused without a sentence");
            if (tries == 0 && strstr(p->seen->said, "checkpoint.mdb is not a whole copy") == NULL)
                fail_msg("it said \"%s\"", p->seen->said);
        }
    }
}

static void a_damaged_checkpoint_is_not_needed_where_local_storage_can_be_trusted(void **state)
{
    struct place *p = *state;
    run_shell("cp -r %s %s", trimmed_log(p), p->data);
    run_shell(
        "printf '\\377\\376' | dd of=%s/checkpoint.mdb bs=1 seek=50000 conv=notrunc status=none%s",
        p->data, "");
    *p->seen = (struct seen){0};
    expect_each_once(p, "the checkpoint was damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(an_install_that_is_cut_off_ends_with_what_the_copy_has),
        NODE_TEST(an_install_at_a_backup_is_cut_off_and_goes_on),
        NODE_TEST(an_install_after_which_the_machine_crashes_begins_with_the_copy_again),
        NODE_TEST(a_start_from_the_checkpoint_may_end_anywhere),
        NODE_TEST(a_start_with_the_checkpoint_and_a_log_that_reaches_it_says_so),
        NODE_TEST(a_damaged_checkpoint_is_refused_where_the_log_does_not_reach_back),
        NODE_TEST(a_damaged_checkpoint_is_not_needed_where_local_storage_can_be_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
