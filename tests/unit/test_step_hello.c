/* Whom a primary lets in, up to where the logs agree, and for how long it waits for whom. */
#include "step_case.h"

/* --- Who is refused --- */

static void a_hello_of_another_cluster_group_or_time_is_refused(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    struct repl_event e = hello(&c, 1, "a", 11);
    c.message.hello.cluster[0] = 'x';
    expect(&c, e, "to 1: refuse cluster, close 1");
    e = hello(&c, 2, "a", 12);
    c.message.hello.group = 3;
    expect(&c, e, "to 2: refuse group, close 2");
    /* S1: it has promised more than this primary is */
    e = hello(&c, 3, "a", 13);
    c.message.hello.promised_epoch = 2;
    expect(&c, e, "to 3: refuse epoch, close 3");
    e = hello(&c, 4, "a", 14);
    c.message.hello.promised_epoch = 1;
    c.message.hello.promised_life = 98;
    expect(&c, e, "to 4: refuse epoch, close 4");
    c.message.hello.promised_life = 99;
    expect(&c, e, "look up 0 for 4");
}

static void a_server_is_not_its_own_backup_by_directory_or_by_name(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    struct repl_event e = hello(&c, 1, "x", 11);
    c.message.hello.server = server_of("p", 1);
    expect(&c, e, "to 1: refuse self, close 1");
    c.message.hello.server = server_of("p", 2);
    expect(&c, e, "to 1: refuse name, close 1");
}

static void a_server_of_no_cluster_yet_is_let_in(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    struct repl_event e = hello(&c, 1, "a", 11);
    memset(c.message.hello.cluster, 0, PEER_ID_BYTES);
    expect(&c, e, "look up 0 for 1");
    expect(&c, looked_up(1, 0, 0), "to 1: welcome 0/0 commit 1, stream 1 from 1");
}

static void S14_the_second_of_a_name_is_refused_while_the_first_lives_then_replaces_it(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 2);
    join(&c, "a", 1, 11, 1, 1);
    struct repl_event e = hello(&c, 2, "a", 21);
    c.message.hello.server = server_of("a", 2);
    expect(&c, e, "to 2: refuse name, close 2");
    expect(&c, down(1), ""); /* it is waited for */
    e = hello(&c, 3, "a", 22);
    c.message.hello.server = server_of("a", 2);
    expect(&c, e, "look up 0 for 3");
    expect(&c, looked_up(3, 0, 0), "to 3: welcome 0/0 commit 2, stream 3 from 1");
    expect(&c, ack(&c, 3, 22, 1), "");
    /* one change: the set never has two of one name, nor fewer than it should */
    expect(&c, ack(&c, 3, 22, 2), "save {p a}");
    assert_int_equal(c.r.hard.set.list[1].id[PEER_ID_BYTES - 1], 2);
    e = hello_at(&c, 4, "a", 12, 1, 2);
    expect(&c, e, "to 4: refuse name, close 4");
    expect(&c, plain(REPL_SAVED), "say, say, append 1/3 config {p a}");
}

static void S14_a_member_does_not_take_the_name_of_another(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 2);
    join(&c, "a", 1, 11, 1, 1);
    join(&c, "b", 2, 21, 1, c.r.last);
    expect(&c, down(1), "save {p b}"); /* and is in the set until that is done */
    expect(&c, down(2), "");
    struct repl_event e = hello_at(&c, 3, "b", 22, 1, 3);
    memcpy(c.message.hello.server.name, "a", 2);
    expect(&c, e, "to 3: refuse name, close 3");
}

static void S15_one_that_has_lost_what_it_acknowledged_is_refused(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    for (uint64_t i = 3; i <= 5; i++) {
        after(&c, plain(REPL_PROPOSE));
        after(&c, durable(i));
        after(&c, ack(&c, 1, 11, i));
    }
    assert_int_equal(c.r.committed, 5);
    after(&c, down(1));
    after(&c, plain(REPL_SAVED));
    after(&c, hello_at(&c, 2, "a", 12, 1, 4));
    expect(&c, looked_up(2, 1, 4), "to 2: refuse rolled back, close 2");
    /* what it has acknowledged and was never committed, it may lack */
    after(&c, hello_at(&c, 3, "a", 13, 1, 5));
    expect(&c, looked_up(3, 1, 5), "to 3: welcome 1/5 commit 5, stream 3 from 6");
}

static void S15_counts_what_matches_not_what_the_log_is_long(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "pa");
    after(&c, start(3, 8, 8));
    /* entries up to 20, of an epoch whose entries this log has up to 5 only */
    expect(&c, hello_at(&c, 1, "a", 11, 1, 5), "look up 5 for 1");
    struct repl_event e = hello_at(&c, 2, "a", 12, 1, 5);
    add_point(&c, 2, 20);
    expect(&c, e, "close 1, look up 9 for 2");
    expect(&c, looked_up(2, 3, 9), "look up 7 for 2");
    expect(&c, looked_up(2, 3, 7), "look up 6 for 2");
    expect(&c, looked_up(2, 3, 6), "look up 5 for 2");
    expect(&c, looked_up(2, 1, 5), "to 2: refuse rolled back, close 2");
}

static void S17_a_newer_call_of_the_same_process_takes_the_place_of_the_older_one(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 2);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, hello_at(&c, 2, "a", 12, 1, 2), "close 1, look up 2 for 2");
    expect(&c, looked_up(2, 1, 2), "to 2: welcome 1/2 commit 2, stream 2 from 3");
    expect(&c, down(1), ""); /* long gone */
    assert_non_null(repl_member_of(&c.r, 2));
    /* an older hello comes late, over a connection that nobody listens to any more */
    expect(&c, hello_at(&c, 3, "a", 11, 1, 1), "close 3");
    expect(&c, hello_at(&c, 2, "a", 13, 1, 1), "close 2");
    /* another process of this identity while this one is here */
    struct repl_event e = hello_at(&c, 4, "a", 14, 1, 2);
    c.message.hello.life = 8;
    expect(&c, e, "to 4: refuse name, close 4");
    assert_non_null(repl_member_of(&c.r, 2));
}

static void there_is_room_for_so_many_servers(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        char name[] = {'s', (char)('a' + i), '\0'};
        after(&c, hello(&c, i, name, i));
        assert_non_null(repl_member_of(&c.r, i));
    }
    expect(&c, hello(&c, 99, "x", 1), "to 99: refuse full, close 99");
    after(&c, down(3));
    expect(&c, hello(&c, 100, "x", 1), "look up 0 for 100");
}

static void an_event_of_the_most_members_fits_the_list_of_actions(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        char name[] = {'s', (char)('a' + i), '\0'};
        after(&c, hello_at(&c, i, name, i, 1, 1));
        after(&c, looked_up(i, 1, 1));
        after(&c, ack(&c, i, i, 1));
    }
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t last = c.r.last; c.r.saving || c.r.committed < last;) {
            after(&c, plain(REPL_SAVED));
            after(&c, durable(c.r.last));
            for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
                after(&c, ack(&c, i, i, c.r.last));
        }
    assert_int_equal(c.r.hard.set.count, REPL_MEMBERS_MAX);
    after(&c, at_ms(1300));
    assert_int_equal(c.out.count, REPL_MEMBERS_MAX - 1);
    for (uint64_t ms = 1300; ms <= 3400; ms += 50)
        after(&c, at_ms(ms));
    assert_true(c.r.saving);
    after(&c, plain(REPL_SAVED));
    assert_int_equal(c.out.count, REPL_MEMBERS_MAX);
}

/* --- S8: the match --- */

static void S8_the_match_is_found_in_the_middle_of_an_epoch(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    after(&c, start(3, 30, 30)); /* epoch 1 up to 12, 2 up to 30, then 3/31 */
    struct repl_event e = hello_at(&c, 1, "a", 11, 1, 5);
    add_point(&c, 1, 12);
    add_point(&c, 2, 20);
    expect(&c, e, "look up 20 for 1");
    expect(&c, looked_up(1, 2, 20), "to 1: welcome 2/20 commit 30, stream 1 from 21");
    /* it has more of epoch 1 than there is here */
    e = hello_at(&c, 2, "b", 21, 1, 5);
    add_point(&c, 1, 17);
    expect(&c, e, "look up 17 for 2");
    expect(&c, looked_up(2, 2, 17), "look up 11 for 2");
    expect(&c, looked_up(2, 1, 11), "look up 14 for 2");
    expect(&c, looked_up(2, 2, 14), "look up 12 for 2");
    expect(&c, looked_up(2, 1, 12), "look up 13 for 2");
    expect(&c, looked_up(2, 2, 13), "look up 12 for 2");
    expect(&c, looked_up(2, 1, 12), "to 2: welcome 1/12 commit 30, stream 2 from 13");
}

static void S8_an_entry_under_way_here_may_be_durable_there_already(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, plain(REPL_PROPOSE), "append 1/3");
    struct repl_event e = hello_at(&c, 2, "a", 12, 1, 2);
    add_point(&c, 1, 3);
    expect(&c, e, "close 1, look up 3 for 2");
    expect(&c, looked_up(2, 1, 3), "to 2: welcome 1/3 commit 2, stream 2 from 4");
    expect(&c, ack(&c, 2, 12, 3), "");
    expect(&c, durable(3), "commit 3");
}

static void S8_a_tail_that_this_log_does_not_have_is_passed_over(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    after(&c, start(9, 6, 6)); /* all of epoch 1, then 9/7 */
    struct repl_event e = hello_at(&c, 1, "a", 11, 1, 4);
    add_point(&c, 1, 6);
    add_point(&c, 3, 7);
    add_point(&c, 5, 12);
    add_point(&c, 8, 13);
    expect(&c, e, "look up 7 for 1");
    expect(&c, looked_up(1, 9, 7), "look up 6 for 1");
    expect(&c, looked_up(1, 1, 6), "to 1: welcome 1/6 commit 6, stream 1 from 7");
}

static void S8_what_the_end_of_an_old_epoch_is_needs_no_table(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "pa");
    /* A hundred lives of this primary since the backup was here: epoch e begins at entry e + 10,
     * but for epoch 1. All up to 11 is committed; the backup knows so of 5 only. */
    expect(&c, start(101, 110, 11), "append 101/111 start {p a}");
    struct repl_event e = hello_at(&c, 1, "a", 11, 1, 5);
    add_point(&c, 1, 11);
    expect(&c, e, "look up 11 for 1");
    expect(&c, looked_up(1, 1, 11), "to 1: welcome 1/11 commit 11, stream 1 from 12");
    /* and one with a tail that is not here */
    e = hello_at(&c, 2, "b", 12, 1, 5);
    add_point(&c, 1, 13);
    expect(&c, e, "look up 13 for 2");
    expect(&c, looked_up(2, 3, 13), "look up 9 for 2");
    expect(&c, looked_up(2, 1, 9), "look up 11 for 2");
    expect(&c, looked_up(2, 1, 11), "look up 12 for 2");
    expect(&c, looked_up(2, 2, 12), "look up 11 for 2");
    expect(&c, looked_up(2, 1, 11), "to 2: welcome 1/11 commit 11, stream 2 from 12");
}

static void S9_what_is_committed_there_and_not_here_is_a_mismatch(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    after(&c, start(3, 8, 8));
    expect(&c, hello_at(&c, 1, "a", 11, 1, 20), "to 1: refuse mismatch, close 1");
    expect(&c, hello_at(&c, 2, "a", 12, 2, 5), "look up 5 for 2");
    expect(&c, looked_up(2, 1, 5), "to 2: refuse mismatch, close 2");
    expect(&c, hello_at(&c, 3, "a", 13, 1, 5), "look up 5 for 3");
    struct repl_event e = looked_up(3, 1, 5);
    e.point.chain++;
    expect(&c, e, "to 3: refuse mismatch, close 3");
    expect(&c, looked_up(3, 1, 5), ""); /* nobody is there any more */
}

static void a_log_that_does_not_reach_back_is_told(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    after(&c, hello(&c, 1, "a", 11));
    struct repl_event e = looked_up(1, 0, 0);
    e.rc = ERR_NOT_FOUND;
    expect(&c, e, "to 1: refuse no log, close 1");
    after(&c, hello(&c, 2, "a", 12));
    e = looked_up(2, 0, 0);
    e.rc = ERR_IO;
    expect(&c, e, "close 2");
    expect(&c, looked_up(2, 0, 0), "");
}

/* --- Time --- */

static void one_without_an_answer_is_lost_after_the_time_out(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, at_ms(1300), "to 1: commit 2 in sync beat");
    for (uint64_t ms = 1350; ms <= 3000; ms += 50)
        after(&c, at_ms(ms));
    assert_non_null(repl_member_of(&c.r, 1));
    expect(&c, at_ms(3001), "close 1, save {p}");
}

static void the_time_that_this_server_itself_stood_still_is_not_counted(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, at_ms(1400), "to 1: commit 2 in sync beat");
    expect(&c, at_ms(60000), "to 1: commit 2 in sync beat");
    expect(&c, at_ms(60100), "");
    assert_non_null(repl_member_of(&c.r, 1));
    expect(&c, at_ms(200), ""); /* time does not go back */
    for (uint64_t ms = 60150; ms <= 61600; ms += 50)
        after(&c, at_ms(ms));
    expect(&c, at_ms(61601), "close 1, save {p}");
}

static void a_hello_before_the_first_look_at_the_clock_is_not_late(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    after(&c, start(1, 0, 0));
    expect(&c, hello(&c, 1, "a", 11), "look up 0 for 1");
    expect(&c, at_ms(123456), "");
    assert_non_null(repl_member_of(&c.r, 1));
}

static void one_that_answers_and_makes_no_progress_is_lost(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    after(&c, plain(REPL_PROPOSE));
    for (uint64_t ms = 1050; ms <= 3000; ms += 50) {
        after(&c, at_ms(ms));
        assert_string_equal(after(&c, ack(&c, 1, 11, 2)), "");
    }
    expect(&c, at_ms(3050), "close 1, save {p}");
}

static void heartbeats_keep_up_with_a_short_time_out(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    c.r.o.timeout_us = 100 * CASE_MS;
    join(&c, "a", 1, 11, 1, 1);
    for (uint64_t ms = 1050; ms <= 5000; ms += 50) {
        expect(&c, at_ms(ms), "to 1: commit 2 in sync beat");
        after(&c, ack(&c, 1, 11, 2));
    }
}

static void readmission_is_at_once_the_first_time_then_later_and_later(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    uint64_t ms = 1000;
    static const uint64_t waits_ms[] = {0, 0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (unsigned i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        uint64_t session = 11 + i, until_ms = ms + waits_ms[i];
        after(&c, hello_at(&c, i + 1, "a", session, 1, c.r.last));
        after(&c, looked_up(i + 1, 1, c.r.last));
        after(&c, ack(&c, i + 1, session, c.r.last));
        for (; ms < until_ms; ms += 50) {
            assert_false(c.r.saving);
            after(&c, at_ms(ms));
            after(&c, ack(&c, i + 1, session, c.r.last));
        }
        after(&c, at_ms(ms));
        assert_true(c.r.saving);
        after(&c, plain(REPL_SAVED));
        after(&c, durable(c.r.last));
        after(&c, ack(&c, i + 1, session, c.r.last));
        expect(&c, down(i + 1), "save {p}");
        after(&c, plain(REPL_SAVED));
        after(&c, durable(c.r.last));
    }
}

static void one_that_lags_by_many_entries_but_little_time_is_admitted(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    after(&c, hello_at(&c, 1, "a", 11, 1, 1));
    after(&c, looked_up(1, 1, 1));
    uint64_t ms = 1000;
    /* the primary makes a hundred entries in the time that one takes to come and go */
    for (unsigned round = 0; round < 20 && !c.r.saving; round++) {
        uint64_t reached = c.r.last;
        for (unsigned i = 0; i < 100; i++) {
            after(&c, plain(REPL_PROPOSE));
            after(&c, durable(c.r.last));
        }
        after(&c, at_ms(ms += 50));
        after(&c, ack(&c, 1, 11, reached));
        if (repl_required(&c.r, repl_member_of(&c.r, 1)))
            break;
    }
    assert_true(repl_required(&c.r, repl_member_of(&c.r, 1)));
    expect(&c, ack(&c, 1, 11, c.r.last), "save {p a}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_of_another_cluster_group_or_time_is_refused),
        cmocka_unit_test(a_server_is_not_its_own_backup_by_directory_or_by_name),
        cmocka_unit_test(a_server_of_no_cluster_yet_is_let_in),
        cmocka_unit_test(
            S14_the_second_of_a_name_is_refused_while_the_first_lives_then_replaces_it),
        cmocka_unit_test(S14_a_member_does_not_take_the_name_of_another),
        cmocka_unit_test(S15_one_that_has_lost_what_it_acknowledged_is_refused),
        cmocka_unit_test(S15_counts_what_matches_not_what_the_log_is_long),
        cmocka_unit_test(S17_a_newer_call_of_the_same_process_takes_the_place_of_the_older_one),
        cmocka_unit_test(there_is_room_for_so_many_servers),
        cmocka_unit_test(an_event_of_the_most_members_fits_the_list_of_actions),
        cmocka_unit_test(S8_the_match_is_found_in_the_middle_of_an_epoch),
        cmocka_unit_test(S8_an_entry_under_way_here_may_be_durable_there_already),
        cmocka_unit_test(S8_a_tail_that_this_log_does_not_have_is_passed_over),
        cmocka_unit_test(S8_what_the_end_of_an_old_epoch_is_needs_no_table),
        cmocka_unit_test(S9_what_is_committed_there_and_not_here_is_a_mismatch),
        cmocka_unit_test(a_log_that_does_not_reach_back_is_told),
        cmocka_unit_test(one_without_an_answer_is_lost_after_the_time_out),
        cmocka_unit_test(the_time_that_this_server_itself_stood_still_is_not_counted),
        cmocka_unit_test(a_hello_before_the_first_look_at_the_clock_is_not_late),
        cmocka_unit_test(one_that_answers_and_makes_no_progress_is_lost),
        cmocka_unit_test(heartbeats_keep_up_with_a_short_time_out),
        cmocka_unit_test(readmission_is_at_once_the_first_time_then_later_and_later),
        cmocka_unit_test(one_that_lags_by_many_entries_but_little_time_is_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
