/* Rules of a primary's step, by their names in the design: events in, actions out. */
#include "step_case.h"

static void S2_each_life_of_the_process_has_a_higher_epoch(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    c.r.hard.promised_epoch = 5;
    expect(&c, start(0, 0, 0), "no place");
    expect(&c, start(5, 0, 0), "no place");
    expect(&c, plain(REPL_PROPOSE), "no place");
    expect(&c, start(6, 3, 2), "append 6/4 start {p}");
    expect(&c, start(7, 4, 4), "no place");
}

static void
S7_the_whole_recovered_log_is_the_truth_and_writes_wait_for_the_epochs_start(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    expect(&c, start(5, 41, 30), "append 5/42 start {p}");
    assert_true(repl_busy(&c.r));
    assert_int_equal(repl_refusal(&c.r), ERR_NOT_READY);
    expect(&c, plain(REPL_PROPOSE), "no place");
    expect(&c, durable(41), "commit 41");
    assert_int_equal(repl_refusal(&c.r), ERR_NOT_READY);
    expect(&c, durable(42), "commit 42");
    assert_int_equal(repl_refusal(&c.r), 0);
    expect(&c, plain(REPL_PROPOSE), "append 5/43");
    expect(&c, plain(REPL_PROPOSE), "no place");
    expect(&c, durable(44), "no place");
    expect(&c, durable(43), "commit 43");
    expect(&c, durable(7), "");
}

static void S3_an_index_is_committed_when_the_whole_required_set_has_it_durable(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    join(&c, "b", 2, 12, 1, c.r.last);
    uint64_t i = c.r.last + 1;
    after(&c, plain(REPL_PROPOSE));
    expect(&c, ack(&c, 1, 11, i), "");
    expect(&c, durable(i), "");
    assert_int_equal(repl_copies(&c.r, i), 2);
    expect(&c, ack(&c, 2, 12, i), "commit 4");
    /* the others first: this server counts, too */
    after(&c, plain(REPL_PROPOSE));
    expect(&c, ack(&c, 1, 11, i + 1), "");
    expect(&c, ack(&c, 2, 12, i + 1), "");
    expect(&c, durable(i + 1), "commit 5");
}

static void S4_S5_a_backup_is_required_before_the_set_with_it_is_written(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    expect(&c, hello_at(&c, 1, "a", 11, 1, 1), "look up 1 for 1");
    expect(&c, looked_up(1, 1, 1), "to 1: welcome 1/1 commit 1, stream 1 from 2");
    expect(&c, plain(REPL_PROPOSE), "append 1/2");
    /* It has all that is committed: the set is written, and nothing is committed without it. */
    expect(&c, ack(&c, 1, 11, 1), "save {p a}");
    expect(&c, durable(2), "");
    expect(&c, plain(REPL_SAVED), "say");
    assert_false(repl_copies(&c.r, 2) == 2);
    expect(&c, ack(&c, 1, 11, 2), "commit 2, append 1/3 config {p a}");
}

static void S5_the_set_is_not_written_before_the_backup_has_all_that_is_committed(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    for (uint64_t i = 2; i <= 4; i++) {
        after(&c, plain(REPL_PROPOSE));
        after(&c, durable(i));
    }
    after(&c, hello_at(&c, 1, "a", 11, 1, 1));
    expect(&c, looked_up(1, 1, 1), "to 1: welcome 1/1 commit 4, stream 1 from 2");
    expect(&c, ack(&c, 1, 11, 3), ""); /* near enough to be waited for */
    assert_true(repl_required(&c.r, repl_member_of(&c.r, 1)));
    expect(&c, plain(REPL_PROPOSE), "append 1/5");
    expect(&c, durable(5), "");
    expect(&c, ack(&c, 1, 11, 4), "save {p a}");
}

static void S4_one_is_required_until_the_set_without_it_is_durable(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, plain(REPL_PROPOSE), "append 1/3");
    expect(&c, durable(3), "");
    expect(&c, down(1), "save {p}");
    assert_true(repl_busy(&c.r));
    expect(&c, plain(REPL_SAVED), "say, commit 3, append 1/4 config {p}");
}

static void
S4_one_that_is_lost_while_its_joining_is_written_is_required_until_it_is_out(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    after(&c, hello_at(&c, 1, "a", 11, 1, 1));
    after(&c, looked_up(1, 1, 1));
    expect(&c, ack(&c, 1, 11, 1), "save {p a}");
    expect(&c, plain(REPL_PROPOSE), "append 1/2");
    expect(&c, durable(2), "");
    expect(&c, down(1), "");
    /* back in time: it has to say again what it has */
    expect(&c, hello_at(&c, 2, "a", 12, 1, 1), "look up 1 for 2");
    after(&c, looked_up(2, 1, 1));
    expect(&c, down(2), "");
    expect(&c, plain(REPL_SAVED), "say, save {p}");
    expect(&c, plain(REPL_SAVED), "say, commit 2, append 1/3 config {p}");
}

static void S18_an_acknowledgement_of_another_session_or_epoch_does_not_count(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    after(&c, plain(REPL_PROPOSE));
    after(&c, durable(3));
    expect(&c, ack(&c, 1, 10, 3), "");
    struct repl_event e = ack(&c, 1, 11, 3);
    c.message.epoch = 9;
    expect(&c, e, "");
    expect(&c, ack(&c, 5, 11, 3), ""); /* of a link that nobody knows */
    expect(&c, ack(&c, 1, 11, 3), "commit 3");
    expect(&c, ack(&c, 1, 11, 2), ""); /* nothing goes back */
    assert_int_equal(repl_copies(&c.r, 3), 2);
}

static void S18_in_a_new_session_counts_only_what_is_acknowledged_in_it(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 2);
    join(&c, "a", 1, 11, 1, 1);
    after(&c, plain(REPL_PROPOSE));
    expect(&c, ack(&c, 1, 11, 3), "");
    expect(&c, down(1), "");
    expect(&c, hello_at(&c, 2, "a", 12, 1, 2), "look up 2 for 2");
    expect(&c, looked_up(2, 1, 2), "to 2: welcome 1/2 commit 2, stream 2 from 3");
    expect(&c, durable(3), "");
    expect(&c, ack(&c, 2, 11, 3), "");
    expect(&c, ack(&c, 2, 12, 3), "commit 3");
}

static void an_acknowledgement_of_what_was_never_sent_ends_the_session(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, ack(&c, 1, 11, 3), "close 1, save {p}");
}

static void a_backup_may_have_applied_more_than_this_life_can_prove_committed(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "pa");
    expect(&c, start(3, 8, 4), "append 3/9 start {p a}");
    after(&c, hello_at(&c, 1, "a", 11, 2, 7));
    expect(&c, looked_up(1, 2, 7), "to 1: welcome 2/7 commit 4, stream 1 from 8");
    struct repl_event e = ack(&c, 1, 11, 7);
    c.message.ack.applied = 7;
    expect(&c, e, "commit 7");
}

static void S23_writes_are_refused_below_the_floor_and_the_set_never_gets_smaller(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 2);
    assert_int_equal(repl_refusal(&c.r), ERR_TOO_FEW_COPIES);
    expect(&c, plain(REPL_PROPOSE), "no place");
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, plain(REPL_PROPOSE), "append 1/3");
    expect(&c, durable(3), "");
    expect(&c, down(1), ""); /* it is waited for */
    assert_int_equal(repl_refusal(&c.r), ERR_TOO_FEW_COPIES);
    expect(&c, hello_at(&c, 2, "a", 12, 1, 2), "look up 2 for 2");
    after(&c, looked_up(2, 1, 2));
    expect(&c, ack(&c, 2, 12, 3), "commit 3"); /* and counts again at once */
    assert_int_equal(repl_refusal(&c.r), 0);
    /* with a third one, the lost one may go */
    join(&c, "b", 3, 13, 1, 3);
    expect(&c, down(2), "save {p b}");
}

static void S23_a_write_under_way_is_not_answered_with_too_few_copies_after_a_drop(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 2);
    join(&c, "a", 1, 11, 1, 1);
    after(&c, plain(REPL_PROPOSE));
    expect(&c, durable(3), "");
    expect(&c, drop("a"), "close 1, save {p}");
    expect(&c, plain(REPL_SAVED), "say");
    assert_int_equal(repl_refusal(&c.r), ERR_TOO_FEW_COPIES);
    after(&c, hello_at(&c, 2, "b", 21, 1, 2));
    after(&c, looked_up(2, 1, 2));
    expect(&c, ack(&c, 2, 21, 3), "save {p b}");
    expect(&c, plain(REPL_SAVED), "say, commit 3, append 1/4 config {p b}");
}

static void a_restarted_primary_waits_for_every_member_or_for_the_operator(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "pab");
    expect(&c, start(2, 5, 5), "append 2/6 start {p a b}");
    expect(&c, at_ms(1000), "");
    expect(&c, durable(6), "");
    assert_int_equal(repl_refusal(&c.r), ERR_WAITING_FOR_MEMBERS);
    assert_true(repl_awaited(&c.r, &c.r.members[1]) && repl_awaited(&c.r, &c.r.members[2]));
    expect(&c, at_ms(60000), "");
    after(&c, hello_at(&c, 1, "a", 11, 1, 5));
    after(&c, looked_up(1, 1, 5));
    expect(&c, ack(&c, 1, 11, 6), "");
    assert_int_equal(repl_refusal(&c.r), ERR_WAITING_FOR_MEMBERS);
    expect(&c, drop("c"), "unknown");
    expect(&c, drop("b"), "save {p a}");
    expect(&c, drop("b"), "unknown");
    assert_int_equal(repl_refusal(&c.r), ERR_NOT_READY);
    expect(&c, plain(REPL_SAVED), "say, commit 6, append 2/7 config {p a}");
    assert_int_equal(repl_refusal(&c.r), 0);
}

static void
one_that_the_operator_drops_stays_out_for_a_second_whenever_it_was_lost_before(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, drop("a"), "close 1, save {p}"); /* the first time */
    expect(&c, plain(REPL_SAVED), "say, append 1/3 config {p}");
    expect(&c, durable(3), "commit 3");
    unsigned later_ms = 2 * (unsigned)(REPL_DROPS_WINDOW_US / 1000);
    expect(&c, at_ms(later_ms), "");
    join(&c, "a", 2, 12, 1, 3);
    expect(&c, drop("a"), "close 2, save {p}"); /* and long after that */
    expect(&c, plain(REPL_SAVED), "say, append 1/5 config {p}");
    expect(&c, durable(5), "commit 5");
    assert_true(c.r.members[1].readmit_us >= (later_ms + 1000) * 1000ull);
}

static void a_drop_of_nobody_does_nothing_even_when_something_is_due(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "");
    expect(&c, start(2, 5, 3), "append 2/6 start {p}");
    expect(&c, drop("b"), "unknown");
    expect(&c, durable(6), "commit 6");
}

static void members_that_were_seen_may_be_lost_before_the_epochs_start_is_committed(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "pa");
    after(&c, start(2, 5, 5));
    after(&c, at_ms(1000));
    expect(&c, durable(6), "");
    after(&c, hello_at(&c, 1, "a", 11, 1, 5));
    after(&c, looked_up(1, 1, 5));
    expect(&c, ack(&c, 1, 11, 5), "");
    expect(&c, down(1), "save {p}");
    expect(&c, hello_at(&c, 2, "a", 12, 1, 5), "look up 5 for 2");
    after(&c, looked_up(2, 1, 5));
    expect(&c, ack(&c, 2, 12, 5), ""); /* nobody joins before that */
    expect(&c, plain(REPL_SAVED), "say, commit 6, append 2/7 config {p}");
    expect(&c, ack(&c, 2, 12, 6), "save {p a}");
}

static void who_acknowledges_alone_commits_once_the_set_without_the_others_is_durable(void **state)
{
    (void)state;
    struct step_case c;
    make_primary(&c, 1, "pa");
    c.r.o.ack_all = false;
    expect(&c, start(2, 5, 5), "append 2/6 start {p a}, save {p}");
    expect(&c, durable(6), ""); /* the next life may find the others in the set, and trust them */
    expect(&c, plain(REPL_SAVED), "say, commit 6, append 2/7 config {p}");
    expect(&c, durable(7), "commit 7");
    after(&c, hello_at(&c, 1, "a", 11, 1, 5));
    after(&c, looked_up(1, 1, 5));
    expect(&c, ack(&c, 1, 11, 7), "");
    assert_true(repl_in_sync(&c.r, repl_member_of(&c.r, 1)));
    expect(&c, plain(REPL_PROPOSE), "append 2/8");
    expect(&c, durable(8), "commit 8");
}

static void changes_of_the_set_follow_each_other_while_writes_go_on(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, plain(REPL_PROPOSE), "append 1/3");
    after(&c, hello_at(&c, 2, "b", 21, 1, 2));
    after(&c, looked_up(2, 1, 2));
    expect(&c, ack(&c, 2, 21, 2), "save {p a b}");
    expect(&c, down(1), ""); /* one change at a time */
    expect(&c, durable(3), "");
    expect(&c, ack(&c, 2, 21, 3), "");
    expect(&c, plain(REPL_SAVED), "say, save {p b}");
    expect(&c, plain(REPL_SAVED), "say, commit 3, append 1/4 config {p b}");
    expect(&c, plain(REPL_PROPOSE), "no place");
    expect(&c, durable(4), "");
    expect(&c, ack(&c, 2, 21, 4), "commit 4");
    expect(&c, plain(REPL_PROPOSE), "append 1/5");
}

static struct repl_event full(struct step_case *c, unsigned link, uint64_t session, uint64_t index)
{
    struct repl_event e = ack(c, link, session, index);
    c->message.ack.full = true;
    return e;
}

static void S22_a_backup_without_space_is_not_let_in_before_it_has_some(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    after(&c, hello_at(&c, 1, "a", 11, 1, 1));
    expect(&c, looked_up(1, 1, 1), "to 1: welcome 1/1 commit 1, stream 1 from 2");
    expect(&c, full(&c, 1, 11, 1), "say");
    expect(&c, plain(REPL_PROPOSE), "append 1/2");
    expect(&c, durable(2), "commit 2"); /* nobody waits for it, */
    assert_false(repl_required(&c.r, repl_member_of(&c.r, 1)));
    for (uint64_t ms = 1200; ms < 20000; ms += 200) { /* nor is it lost while it answers */
        after(&c, at_ms(ms));
        expect(&c, full(&c, 1, 11, 1), "");
    }
    expect(&c, ack(&c, 1, 11, 1), "say");
    expect(&c, ack(&c, 1, 11, 2), "save {p a}");
}

static void S22_a_backup_in_the_set_without_space_leaves_it_after_the_time_out(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    expect(&c, plain(REPL_PROPOSE), "append 1/3");
    expect(&c, durable(3), "");
    expect(&c, full(&c, 1, 11, 2), "say");
    bool lost = false;
    for (uint64_t ms = 1200; ms < 5000 && !lost; ms += 200) {
        assert_true(ms < 3400);
        after(&c, at_ms(ms));
        lost = strstr(c.said, "close 1, save {p}") != NULL;
        if (!lost)
            expect(&c, full(&c, 1, 11, 2), "");
    }
    assert_true(lost);
    expect(&c, plain(REPL_SAVED), "say, commit 3, append 1/4 config {p}");
}

static void a_newer_generation_seen_ends_writes_for_good(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    after(&c, plain(REPL_PROPOSE));
    after(&c, durable(3));
    struct repl_event e = hello(&c, 2, "b", 21);
    c.message.hello.generation = 2;
    expect(&c, e, "say, close 2, save {p a}");
    assert_int_equal(repl_refusal(&c.r), ERR_NO_PRIMARY);
    assert_int_equal(c.r.hard.promised_epoch, 2ULL << 32);
    /* who has an answer does not tell it again: none before it is durable */
    e = hello(&c, 3, "b", 22);
    c.message.hello.generation = 2;
    expect(&c, e, "close 3");
    expect(&c, plain(REPL_SAVED), "");
    e = hello(&c, 4, "b", 23);
    c.message.hello.generation = 2;
    expect(&c, e, "to 4: refuse epoch, close 4");
    /* what is under way is never committed by dropping those who may follow the newer one */
    expect(&c, down(1), "");
    expect(&c, at_ms(99000), "");
    assert_int_equal(c.r.committed, 2);
}

/* The set that is just being written is finished first: it may hold who is required. */
static void a_newer_generation_seen_while_the_set_is_written_is_made_durable_after_it(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    after(&c, hello(&c, 1, "a", 11));
    after(&c, looked_up(1, 0, 0));
    expect(&c, ack(&c, 1, 11, 1), "save {p a}");
    struct repl_event e = hello(&c, 2, "b", 21);
    c.message.hello.generation = 3;
    expect(&c, e, "say, close 2");
    expect(&c, plain(REPL_SAVED), "say, save {p a}");
    assert_int_equal(c.r.hard.promised_epoch, 3ULL << 32);
    e = hello(&c, 3, "b", 22);
    c.message.hello.generation = 3;
    expect(&c, e, "close 3");
    expect(&c, plain(REPL_SAVED), "");
    expect(&c, plain(REPL_PROPOSE), "no place");
}

/* A primary that was stopped (SIGSTOP) finds its links closed when it goes on. Whoever was promoted
 * meanwhile has a second to say so, before those who are lost are dropped and writes go on. */
static void a_primary_that_stood_still_drops_nobody_before_it_has_listened(void **state)
{
    (void)state;
    struct step_case c;
    begin(&c, 1);
    join(&c, "a", 1, 11, 1, 1);
    after(&c, plain(REPL_PROPOSE));
    after(&c, durable(3));
    expect(&c, at_ms(60000), "to 1: commit 2 in sync beat");
    expect(&c, down(1), "");
    expect(&c, at_ms(60400), "");
    expect(&c, at_ms(60800), "");
    struct step_case told = c;
    struct repl_event e = hello(&told, 2, "b", 21);
    told.message.hello.generation = 2;
    expect(&told, e, "say, close 2, save {p a}");
    expect(&told, plain(REPL_SAVED), "");
    expect(&told, at_ms(61200), "");
    assert_int_equal(told.r.committed, 2);
    expect(&c, at_ms(61200), "save {p}");
    expect(&c, plain(REPL_SAVED), "say, commit 3, append 1/4 config {p}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(S2_each_life_of_the_process_has_a_higher_epoch),
        cmocka_unit_test(
            S7_the_whole_recovered_log_is_the_truth_and_writes_wait_for_the_epochs_start),
        cmocka_unit_test(S3_an_index_is_committed_when_the_whole_required_set_has_it_durable),
        cmocka_unit_test(S4_S5_a_backup_is_required_before_the_set_with_it_is_written),
        cmocka_unit_test(S5_the_set_is_not_written_before_the_backup_has_all_that_is_committed),
        cmocka_unit_test(S4_one_is_required_until_the_set_without_it_is_durable),
        cmocka_unit_test(
            S4_one_that_is_lost_while_its_joining_is_written_is_required_until_it_is_out),
        cmocka_unit_test(S18_an_acknowledgement_of_another_session_or_epoch_does_not_count),
        cmocka_unit_test(S18_in_a_new_session_counts_only_what_is_acknowledged_in_it),
        cmocka_unit_test(an_acknowledgement_of_what_was_never_sent_ends_the_session),
        cmocka_unit_test(a_backup_may_have_applied_more_than_this_life_can_prove_committed),
        cmocka_unit_test(S23_writes_are_refused_below_the_floor_and_the_set_never_gets_smaller),
        cmocka_unit_test(S23_a_write_under_way_is_not_answered_with_too_few_copies_after_a_drop),
        cmocka_unit_test(a_restarted_primary_waits_for_every_member_or_for_the_operator),
        cmocka_unit_test(
            one_that_the_operator_drops_stays_out_for_a_second_whenever_it_was_lost_before),
        cmocka_unit_test(a_drop_of_nobody_does_nothing_even_when_something_is_due),
        cmocka_unit_test(members_that_were_seen_may_be_lost_before_the_epochs_start_is_committed),
        cmocka_unit_test(who_acknowledges_alone_commits_once_the_set_without_the_others_is_durable),
        cmocka_unit_test(changes_of_the_set_follow_each_other_while_writes_go_on),
        cmocka_unit_test(S22_a_backup_without_space_is_not_let_in_before_it_has_some),
        cmocka_unit_test(S22_a_backup_in_the_set_without_space_leaves_it_after_the_time_out),
        cmocka_unit_test(a_newer_generation_seen_ends_writes_for_good),
        cmocka_unit_test(a_newer_generation_seen_while_the_set_is_written_is_made_durable_after_it),
        cmocka_unit_test(a_primary_that_stood_still_drops_nobody_before_it_has_listened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
