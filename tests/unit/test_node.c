/* The storage side as a whole: lives that end anywhere, as node_life.h has them, after others of
 * which nothing is missing. */
#include "node_life.h"

static void what_is_acknowledged_is_there_once_after_a_kill(void **state)
{
    each_change(*state, NULL, KILL);
}

static void what_is_acknowledged_is_there_once_after_the_disk_failed(void **state)
{
    each_change(*state, NULL, IO);
}

/* S11: a disk that fails once is not gone on with, though it is well again; but for what is not the
 * log's, which may be tried again. */
static void after_a_disk_that_failed_once_the_operator_is_asked(void **state)
{
    struct place *p = *state;
    unsigned asked = 0;
    for (uint64_t nth = 1, hit = 1; hit; nth++) {
        char when[100];
        struct life l;
        snprintf(when, sizeof when, "a failure at change %u", (unsigned)nth);
        run_shell("rm -rf %s%s", p->data, "");
        int status = in_process(p, live, IO_ONCE, nth);
        hit = p->seen->hit;
        bool suspect = strstr(p->seen->why, "suspect from now on") != NULL;
        if (suspect != (open_life(&l, p, NO_FAULT, 0) != 0))
            fail_msg("%s: %d \"%s\", then \"%s\"", when, status, p->seen->why, l.why);
        if (suspect && strstr(l.why, "failed in an earlier life") == NULL)
            fail_msg("%s: refused with \"%s\"", when, l.why);
        if (suspect) {
            message_log_destroy(l.messages);
            settings_finish(&l.settings);
        } else {
            close_life(&l);
        }
        asked += suspect;
        p->accept_loss = true;
        expect_each_once(p, when);
        p->accept_loss = false;
    }
    assert_true(asked > WRITES);
}

static void what_is_refused_on_a_full_disk_is_not_there(void **state)
{
    each_change(*state, NULL, FULL_ONCE);
    each_change(*state, NULL, FULL_FOR_EVER);
}

static void a_life_after_a_kill_may_end_anywhere(void **state)
{
    struct place *p = *state;
    const char *template = make_template(p);
    each_change(p, template, KILL);
    each_change(p, template, FULL_ONCE);
}

static void a_rebuild_after_a_crash_of_the_machine_may_end_anywhere(void **state)
{
    struct place *p = *state;
    const char *template = make_template(p);
    set_boot(p, "next-boot\n");
    each_change(p, template, KILL);
    each_change(p, template, IO);
    each_change(p, template, FULL_ONCE);
}

/* A limit on the size of files, above the log's segments, is a full disk to local storage alone. */
static void fill_storage(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        abort();
}

/* Each entry is durable, but at some write local storage has no space; what waits is answered once
 * there is space again, or (nth: 1) the server is stopped before. */
static int live_without_space(struct place *p, enum fault fault, uint64_t nth)
{
    struct life l;
    start_life(&l, p, fault, 0);
    struct write_batch *b = write_batch_create(), *back = b;
    fill_storage(MIB + MIB + MIB / 4);
    unsigned n = 0;
    for (; n < WRITES && back != NULL; n++) {
        ask(&l, b, n, p->first);
        back = answered(&l, 2 * STUCK_MS);
        if (back != NULL)
            note(back, n);
    }
    p->seen->hit = back == NULL && atomic_load(&l.status.disk_full);
    if (nth == 0) {
        fill_storage(RLIM_INFINITY);
        back = answered(&l, DEADLINE_MS);
        if (back == NULL)
            fatal("no answer");
        note(back, n - 1);
    }
    int rc = node_stop(l.node);
    close_life(&l);
    write_batch_destroy(b);
    return rc;
}

static void an_entry_that_storage_has_no_space_for_is_applied_later(void **state)
{
    struct place *p = *state;
    run_shell("mv %s %s", make_template(p), p->data);
    int status = in_process(p, live_without_space, NO_FAULT, 0);
    if (status != 0)
        fail_msg("%s", p->seen->why);
    assert_true(p->seen->hit);
    for (unsigned n = 0; n < WRITES; n++)
        assert_int_not_equal(p->seen->fate[n], REFUSED);
    expect_each_once(p, "storage had no space for a while");
}

static void a_stop_without_space_loses_nothing(void **state)
{
    struct place *p = *state;
    run_shell("mv %s %s", make_template(p), p->data);
    assert_int_equal(in_process(p, live_without_space, NO_FAULT, 1), 0);
    assert_true(p->seen->hit);
    expect_each_once(p, "stopped while storage had no space");
}

/* What the log prepares next is slow to come, but is no full disk. */
static int live_fast(struct place *p, enum fault fault, uint64_t nth)
{
    enum { ROUNDS = 12 };
    struct life l;
    start_life(&l, p, fault, nth);
    struct write_batch *b = write_batch_create();
    for (unsigned n = 0; n < ROUNDS; n++) {
        ask(&l, b, 0, n);
        struct write_batch *back = answered(&l, DEADLINE_MS);
        if (back == NULL || back->writes[0].code != 0)
            fatal(back == NULL ? "no answer" : err_info(back->writes[0].code)->sentence);
    }
    int rc = node_stop(l.node);
    close_life(&l);
    write_batch_destroy(b);
    return rc;
}

static void a_segment_that_is_not_ready_yet_is_waited_for(void **state)
{
    struct place *p = *state;
    int status = in_process(p, live_fast, SLOW, 0);
    if (status != 0)
        fail_msg("%s", p->seen->why);
}

/* --- What was taken out of the directory, or put into it --- */

static void expect_refusal(struct place *p, const char *names, const char *advises)
{
    struct life l;
    assert_int_not_equal(open_life(&l, p, NO_FAULT, 0), 0);
    message_log_destroy(l.messages);
    settings_finish(&l.settings);
    if (strstr(l.why, names) == NULL || strstr(l.why, advises) == NULL)
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", l.why, names, advises);
}

static void a_log_that_is_gone_is_refused_also_after_a_crash(void **state)
{
    struct place *p = *state;
    const char *template = make_template(p);
    set_boot(p, "next-boot\n");
    run_shell("cp -r %s %s", template, p->data);
    run_shell("mv %s/log %s/log", p->data, p->folder);
    expect_refusal(p, "/log has no segment", "put back the log");
    run_shell("mv %s/log %s/log", p->folder, p->data);
    *p->seen = (struct seen){0};
    expect_each_once(p, "the log was put back");
}

static void an_identity_that_is_gone_or_too_old_is_refused(void **state)
{
    struct place *p = *state;
    const char *template = make_template(p);
    run_shell("cp -r %s %s", template, p->data);
    run_shell("mkdir %s/old%s", p->folder, "");
    run_shell("mv %s/identity.* %s/old", p->data, p->folder);
    expect_refusal(p, "identity", "restore");
    run_shell("cp %s/old/* %s", p->folder, p->data);
    for (unsigned starts = 0; starts < 2; starts++)
        assert_int_equal(in_process(p, live_fast, NO_FAULT, 0), 0);
    run_shell("cp %s/old/* %s", p->folder, p->data);
    for (unsigned tries = 0; tries < 4; tries++) /* nor does trying on help */
        expect_refusal(p, "identity.0 and identity.1", "restore");
}

static void trust_that_is_damaged_is_healed_from_the_log(void **state)
{
    struct place *p = *state;
    run_shell("mv %s %s", make_template(p), p->data);
    run_shell("for i in 0 1; do echo damage > %s/trust.$i%s; done", p->data, "");
    *p->seen = (struct seen){0};
    expect_each_once(p, "trust was damaged");
    assert_non_null(strstr(p->seen->said, "trust.0"));
    *p->seen = (struct seen){0};
    expect_each_once(p, "and healed");
    assert_string_equal(p->seen->said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(what_is_acknowledged_is_there_once_after_a_kill),
        NODE_TEST(what_is_acknowledged_is_there_once_after_the_disk_failed),
        NODE_TEST(after_a_disk_that_failed_once_the_operator_is_asked),
        NODE_TEST(what_is_refused_on_a_full_disk_is_not_there),
        NODE_TEST(a_life_after_a_kill_may_end_anywhere),
        NODE_TEST(a_rebuild_after_a_crash_of_the_machine_may_end_anywhere),
        NODE_TEST(an_entry_that_storage_has_no_space_for_is_applied_later),
        NODE_TEST(a_stop_without_space_loses_nothing),
        NODE_TEST(a_segment_that_is_not_ready_yet_is_waited_for),
        NODE_TEST(a_log_that_is_gone_is_refused_also_after_a_crash),
        NODE_TEST(an_identity_that_is_gone_or_too_old_is_refused),
        NODE_TEST(trust_that_is_damaged_is_healed_from_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
