/* Rules of a backup's step, by their names in the design: events in, actions out. */
#include "step_case.h"

/* Follows the primary of epoch 1, life 99, with all up to `index`. */
static void follow(struct step_case *c, uint64_t index, uint64_t committed)
{
    make_backup(c, index, committed);
    after(c, link_up(c, 1));
    after(c, welcome(c, 1, 99, point_of(1, index), committed));
    if (c->r.saving)
        after(c, plain(REPL_SAVED));
    assert_int_equal(c->r.stage, REPL_FOLLOWING);
    assert_false(c->r.saving);
}

static void S1_a_promise_is_durable_before_anything_is_acknowledged(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 0, 0);
    expect(&c, link_up(&c, 1), "to 1: hello b promised 0 0/0");
    expect(&c, welcome(&c, 3, 99, point_of(0, 0), 0), "save promise 3");
    assert_int_equal(c.r.stage, REPL_SETTLING);
    expect(&c, commit(&c, 0, true), "");
    expect(&c, plain(REPL_SAVED), "to 1: ack 0, save promise 3 complete");
    expect(&c, plain(REPL_SAVED), "");
    expect(&c, update(&c, 1, 4, 2), "accept 4");
    expect(&c, durable(2), "to 1: ack 2, commit 2");
    expect(&c, durable(4), "to 1: ack 4");
    expect(&c, commit(&c, 4, false), "commit 4");
}

static void S1_a_lower_epoch_or_another_life_of_it_is_refused(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 5, 5);
    c.r.hard.promised_epoch = 4;
    expect(&c, link_up(&c, 1), "to 1: hello b promised 4 1/5");
    expect(&c, welcome(&c, 3, 99, point_of(1, 5), 5), "to 1: refuse epoch, close 1");
    after(&c, link_up(&c, 2));
    expect(&c, welcome(&c, 4, 98, point_of(1, 5), 5), "to 2: refuse epoch, close 2");
    after(&c, link_up(&c, 3));
    struct repl_event e = welcome(&c, 4, 99, point_of(1, 5), 5);
    c.message.welcome.generation = 0;
    expect(&c, e, "to 3: refuse epoch, close 3");
    after(&c, link_up(&c, 4));
    expect(&c, welcome(&c, 4, 99, point_of(1, 5), 5), "to 4: ack 5, save promise 4 complete");
    assert_int_equal(c.r.hard.promised_epoch, 4);
}

static void a_primary_of_another_cluster_is_refused(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 5, 5);
    after(&c, link_up(&c, 1));
    struct repl_event e = welcome(&c, 1, 99, point_of(1, 5), 5);
    c.message.welcome.cluster[3] = 'x';
    expect(&c, e, "to 1: refuse cluster, close 1");
    assert_int_equal(c.r.stage, REPL_ALONE);
}

static void a_backup_that_is_asked_as_primary_says_that_it_is_none(void **state)
{
    (void)state;
    struct step_case c;
    follow(&c, 5, 5);
    expect(&c, hello(&c, 9, "a", 1), "to 9: refuse not primary, close 9");
    assert_int_equal(c.r.stage, REPL_FOLLOWING);
    /* S1: nor does it promise anything to who calls */
    expect(&c, message(&c, 9, PEER_WELCOME, 8, 1), "");
    assert_int_equal(c.r.hard.promised_epoch, 1);
}

static void
S8_what_the_primary_does_not_have_is_cut_and_only_what_matched_is_acknowledged(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 9, 5);
    expect(&c, link_up(&c, 1), "to 1: hello b promised 1 1/5 1/9");
    /* first the promise, then the cut, then the word */
    expect(&c, welcome(&c, 2, 98, point_of(1, 7), 6), "save promise 2, commit 6");
    expect(&c, plain(REPL_SAVED), "cut above 7");
    expect(&c, plain(REPL_CUT_DONE), "to 1: ack 7, save promise 2 complete");
    expect(&c, update(&c, 8, 8, 8), "accept 8, commit 7");
    expect(&c, durable(8), "to 1: ack 8, commit 8");
}

static void S8_entries_that_do_not_follow_end_the_session(void **state)
{
    (void)state;
    static const uint64_t wrong[][2] = {{7, 7}, {5, 5}, {6, 5}, {6, UINT64_MAX}, {0, 0}, {6, 99}};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct step_case c;
        follow(&c, 5, 5);
        expect(&c, update(&c, wrong[i][0], wrong[i][1], 9), "close 1");
        assert_int_equal(c.r.last, 5);
    }
}

static void S9_what_is_committed_is_never_cut(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 9, 5);
    after(&c, link_up(&c, 1));
    expect(&c, welcome(&c, 1, 99, point_of(1, 4), 4), "to 1: refuse mismatch, close 1, alarm");
    assert_int_equal(c.r.stage, REPL_ALARMED);
    expect(&c, link_up(&c, 2), "no place");
    /* nor where the chains differ at the match */
    make_backup(&c, 9, 5);
    after(&c, link_up(&c, 1));
    struct repl_event e = welcome(&c, 1, 99, point_of(1, 7), 4);
    e.point.chain++;
    expect(&c, e, "to 1: refuse mismatch, close 1, alarm");
    assert_int_equal(c.r.last, 9);
    assert_int_equal(c.r.hard.promised_epoch, 1);
}

static void S10_only_what_matched_and_is_durable_here_is_committed(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 9, 5);
    after(&c, link_up(&c, 1));
    /* All up to 20 is committed there, and 8 and 9 here are not what they are there. */
    expect(&c, welcome(&c, 1, 99, point_of(1, 7), 20), "commit 7, cut above 7");
    expect(&c, commit(&c, 21, false), "");
    expect(&c, plain(REPL_CUT_DONE), "to 1: ack 7");
    expect(&c, update(&c, 8, 12, 20), "accept 12");
    expect(&c, durable(10), "to 1: ack 10, commit 10");
    expect(&c, commit(&c, 3, false), ""); /* nothing goes back */
    assert_int_equal(c.r.committed, 10);
}

static void S18_messages_of_another_session_end_this_one(void **state)
{
    (void)state;
    struct step_case c;
    follow(&c, 5, 5);
    struct repl_event e = update(&c, 6, 6, 6);
    c.message.session--;
    expect(&c, e, "close 1");
    follow(&c, 5, 5);
    e = commit(&c, 5, true);
    c.message.epoch++;
    expect(&c, e, "close 1");
    follow(&c, 5, 5);
    expect(&c, welcome(&c, 1, 99, point_of(1, 5), 5), "close 1");
}

static void S18_a_welcome_answers_the_last_hello_or_none(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 5, 5);
    after(&c, link_up(&c, 1));
    struct repl_event old = welcome(&c, 1, 99, point_of(0, 0), 0);
    struct peer_message late = c.message;
    after(&c, down(1));
    after(&c, link_up(&c, 2));
    old.link = 2;
    old.message = &late;
    expect(&c, old, "close 2");
    assert_int_equal(c.r.stage, REPL_ALONE);
    after(&c, link_up(&c, 3));
    expect(&c, welcome(&c, 1, 99, point_of(1, 5), 5), "to 3: ack 5, save promise 1 complete");
}

/* The process, and so its life, is the same: its sessions are counted on. */
static void S18_who_begins_again_with_a_full_copy_hears_no_older_session(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 5, 5);
    after(&c, link_up(&c, 1));
    struct repl_event old = welcome(&c, 1, 99, point_of(1, 9), 9);
    struct peer_message late = c.message;
    after(&c, down(1));
    struct repl_options o = c.r.o;
    struct repl_hard hard = c.r.hard;
    o.sessions = c.r.sessions;
    repl_init(&c.r, &o, &hard);
    after(&c, start(0, 9, 9));
    after(&c, link_up(&c, 2));
    old.link = 2;
    old.message = &late;
    expect(&c, old, "close 2");
    assert_int_equal(c.r.stage, REPL_ALONE);
}

static void a_link_may_end_while_the_promise_is_written(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 5, 5);
    after(&c, link_up(&c, 1));
    expect(&c, welcome(&c, 2, 98, point_of(1, 5), 5), "save promise 2");
    expect(&c, down(1), "");
    expect(&c, link_up(&c, 2), "to 2: hello b promised 2 1/5");
    /* the same primary: nothing new to write, and still nothing to say */
    expect(&c, welcome(&c, 2, 98, point_of(1, 5), 5), "");
    expect(&c, plain(REPL_SAVED), "to 2: ack 5, save promise 2 complete");
    /* a newer one: written after what is on its way */
    expect(&c, down(2), "");
    after(&c, link_up(&c, 3));
    expect(&c, welcome(&c, 4, 97, point_of(1, 5), 5), "");
    expect(&c, plain(REPL_SAVED), "save promise 4 complete");
    expect(&c, plain(REPL_SAVED), "to 3: ack 5");
}

static void a_link_may_end_while_entries_are_cut(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 9, 5);
    after(&c, link_up(&c, 1));
    expect(&c, welcome(&c, 1, 99, point_of(1, 7), 5), "cut above 7");
    expect(&c, down(1), "");
    expect(&c, link_up(&c, 2), "no place");
    expect(&c, plain(REPL_CUT_DONE), "");
    expect(&c, link_up(&c, 2), "to 2: hello b promised 1 1/5 1/7");
    /* and before they are */
    make_backup(&c, 9, 5);
    after(&c, link_up(&c, 1));
    expect(&c, welcome(&c, 2, 98, point_of(1, 7), 5), "save promise 2");
    expect(&c, down(1), "");
    expect(&c, plain(REPL_SAVED), "");
    expect(&c, link_up(&c, 2), "to 2: hello b promised 2 1/5 1/9");
}

static void a_call_waits_until_what_was_accepted_is_durable(void **state)
{
    (void)state;
    struct step_case c;
    follow(&c, 5, 5);
    expect(&c, update(&c, 6, 8, 5), "accept 8");
    expect(&c, down(1), "");
    expect(&c, link_up(&c, 2), "no place");
    expect(&c, durable(8), "");
    expect(&c, link_up(&c, 2), "to 2: hello b promised 1 1/5 1/8");
    expect(&c, durable(9), "no place");
}

static void S22_what_there_is_no_space_for_is_forgotten_and_never_acknowledged(void **state)
{
    (void)state;
    struct step_case c;
    follow(&c, 5, 5);
    expect(&c, update(&c, 6, 8, 5), "accept 8");
    expect(&c, durable(6), "to 1: ack 6");
    expect(&c, plain(REPL_FORGOT), "no place"); /* while it may still be written in this session */
    expect(&c, down(1), "");
    expect(&c, link_up(&c, 2), "no place");
    expect(&c, plain(REPL_FORGOT), "");
    expect(&c, link_up(&c, 2), "to 2: hello b promised 1 1/5 1/6");
    expect(&c, welcome(&c, 1, 99, point_of(1, 6), 5), "to 2: ack 6");
}

static void a_refusal_is_kept_until_a_welcome(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 5, 5);
    assert_int_equal(repl_refusal(&c.r), ERR_NO_PRIMARY);
    after(&c, link_up(&c, 1));
    struct repl_event e = message(&c, 1, PEER_REFUSE, 1, 0);
    c.message.refuse.code = REFUSE_NAME;
    snprintf(c.message.refuse.sentence, sizeof c.message.refuse.sentence, "no");
    expect(&c, e, "close 1");
    assert_int_equal(c.r.refusal, REFUSE_NAME);
    assert_string_equal(c.r.refusal_sentence, "no");
    after(&c, link_up(&c, 2));
    after(&c, welcome(&c, 1, 99, point_of(1, 5), 5));
    assert_string_equal(c.r.refusal_sentence, "");
}

static void what_is_acknowledged_may_be_more_than_what_a_starting_primary_can_prove(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 7, 5);
    c.r.hard.complete = true;
    after(&c, link_up(&c, 1));
    struct repl_event e = welcome(&c, 1, 99, point_of(1, 7), 5);
    c.message.welcome.goal = 8; /* its EPOCH-START, which it has not committed */
    after(&c, e);
    after(&c, plain(REPL_SAVED));
    assert_int_equal(c.r.stage, REPL_FOLLOWING);
    assert_false(repl_may_read(&c.r, false));
    after(&c, update(&c, 8, 8, 5));
    after(&c, durable(8));
    assert_false(repl_may_read(&c.r, false));
    e = message(&c, 1, PEER_COMMIT, 1, c.r.session);
    c.message.commit.commit = 8;
    after(&c, e);
    assert_true(repl_may_read(&c.r, false));
}

static void writes_are_refused_until_the_primary_says_that_it_is_in_sync(void **state)
{
    (void)state;
    struct step_case c;
    follow(&c, 5, 5);
    assert_int_equal(repl_refusal(&c.r), ERR_NOT_IN_SYNC);
    expect(&c, update(&c, 6, 6, 5), "accept 6");
    assert_int_equal(repl_refusal(&c.r), 0);
    expect(&c, down(1), "");
    assert_int_equal(repl_refusal(&c.r), ERR_NO_PRIMARY);
}

static void a_silent_primary_is_called_again_but_not_after_an_own_stall(void **state)
{
    (void)state;
    struct step_case c;
    make_backup(&c, 0, 0);
    c.r.now_us = 0; /* a call before the first look at the clock */
    after(&c, link_up(&c, 1));
    expect(&c, at_ms(50000), "");
    after(&c, down(1));
    follow(&c, 5, 5);
    for (uint64_t ms = 1100; ms <= 3000; ms += 100)
        expect(&c, at_ms(ms), "");
    expect(&c, at_ms(90000), "");
    expect(&c, at_ms(90001), "close 1");
    assert_int_equal(c.r.stage, REPL_ALONE);
    expect(&c, at_ms(10), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(S1_a_promise_is_durable_before_anything_is_acknowledged),
        cmocka_unit_test(S1_a_lower_epoch_or_another_life_of_it_is_refused),
        cmocka_unit_test(a_primary_of_another_cluster_is_refused),
        cmocka_unit_test(a_backup_that_is_asked_as_primary_says_that_it_is_none),
        cmocka_unit_test(
            S8_what_the_primary_does_not_have_is_cut_and_only_what_matched_is_acknowledged),
        cmocka_unit_test(S8_entries_that_do_not_follow_end_the_session),
        cmocka_unit_test(S9_what_is_committed_is_never_cut),
        cmocka_unit_test(S10_only_what_matched_and_is_durable_here_is_committed),
        cmocka_unit_test(S18_messages_of_another_session_end_this_one),
        cmocka_unit_test(S18_a_welcome_answers_the_last_hello_or_none),
        cmocka_unit_test(S18_who_begins_again_with_a_full_copy_hears_no_older_session),
        cmocka_unit_test(a_link_may_end_while_the_promise_is_written),
        cmocka_unit_test(a_link_may_end_while_entries_are_cut),
        cmocka_unit_test(a_call_waits_until_what_was_accepted_is_durable),
        cmocka_unit_test(S22_what_there_is_no_space_for_is_forgotten_and_never_acknowledged),
        cmocka_unit_test(a_refusal_is_kept_until_a_welcome),
        cmocka_unit_test(what_is_acknowledged_may_be_more_than_what_a_starting_primary_can_prove),
        cmocka_unit_test(writes_are_refused_until_the_primary_says_that_it_is_in_sync),
        cmocka_unit_test(a_silent_primary_is_called_again_but_not_after_an_own_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
