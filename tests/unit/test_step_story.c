/* What a cluster does after crashes, as stories whose every step is told (story.h). */
#include "story.h"

static void a_backup_joins_and_a_write_is_on_both(void **state)
{
    (void)state;
    static struct story s;
    make(&s);
    call(&s, 1, 1);
    write_entry(&s);
    assert_string_equal(s.text, "p: append 1/1 start {p}\n"
                                "p: commit 1\n"
                                "a: to 1: hello a promised 0 0/0\n"
                                "p: look up 0 for 1\n"
                                "p: to 1: welcome 0/0 commit 1, stream 1 from 1\n"
                                "a: save promise 1\n"
                                "a: to 1: ack 0\n"
                                "a: accept 1\n"
                                "a: to 1: ack 1, commit 1, save promise 1 complete\n"
                                "p: save {p a}\n"
                                "p: say, append 1/2 config {p a}\n"
                                "a: accept 2\n"
                                "a: to 1: ack 2\n"
                                "p: commit 2\n"
                                "p: append 1/3\n"
                                "a: accept 3, commit 2\n"
                                "a: to 1: ack 3\n"
                                "p: commit 3\n");
}

/* The primary ends twice before its own disk has what it has shipped, each time to one backup. */
static void three_lives_of_a_primary_with_unshipped_and_unkept_tails(void **state)
{
    (void)state;
    static struct story s;
    make(&s);
    call(&s, 1, 1);
    call(&s, 2, 2);
    write_entry(&s);
    struct node *p = &s.nodes[0], *a = &s.nodes[1], *b = &s.nodes[2];
    assert_int_equal(p->applied, p->count);
    from_here(&s);

    p->slow = true;
    b->cut_off = true;
    write_entry(&s); /* 1/5: a has it, p and b do not */
    crash(&s, 0);
    run(&s, p, 2);
    call(&s, 1, 3); /* 2/5: a has it, p and b do not */
    crash(&s, 0);
    p->slow = false;
    b->cut_off = false;
    run(&s, p, 3);
    call(&s, 2, 4);
    call(&s, 1, 5);
    write_entry(&s);
    assert_string_equal(s.text, "p: append 1/5\n"
                                "a: accept 5, commit 4\n"
                                "a: to 1: ack 5\n"
                                "-- p crashes, with 4 of 5 entries\n"
                                "p: append 2/5 start {p a b}\n"
                                "a: to 3: hello a promised 1 1/4 1/5\n"
                                "p: look up 5 for 3\n"
                                "p: look up 4 for 3\n"
                                "p: to 3: welcome 1/4 commit 4, stream 3 from 5\n"
                                "a: save promise 2 complete\n"
                                "a: cut above 4\n"
                                "a: to 3: ack 4\n"
                                "a: accept 5\n"
                                "a: to 3: ack 5\n"
                                "-- p crashes, with 4 of 5 entries\n"
                                "p: append 3/5 start {p a b}\n"
                                "b: to 4: hello b promised 1 1/3 1/4\n"
                                "p: look up 4 for 4\n"
                                "p: to 4: welcome 1/4 commit 4, stream 4 from 5\n"
                                "b: save promise 3 complete, commit 4\n"
                                "b: to 4: ack 4\n"
                                "b: accept 5\n"
                                "b: to 4: ack 5\n"
                                "a: to 5: hello a promised 2 1/4 2/5\n"
                                "p: look up 5 for 5\n"
                                "p: look up 4 for 5\n"
                                "p: to 5: welcome 1/4 commit 4, stream 5 from 5\n"
                                "a: save promise 3 complete\n"
                                "a: cut above 4\n"
                                "a: to 5: ack 4\n"
                                "a: accept 5\n"
                                "a: to 5: ack 5\n"
                                "p: commit 5\n"
                                "p: append 3/6\n"
                                "a: accept 6, commit 5\n"
                                "a: to 5: ack 6\n"
                                "b: accept 6, commit 5\n"
                                "b: to 4: ack 6\n"
                                "p: commit 6\n");
    assert_int_equal(a->log[4].epoch, 3);
    assert_int_equal(b->log[4].epoch, 3);
}

/* The primary had no time to hear that the entry is on every disk: it was answered to nobody, is
 * the truth all the same, and gets committed with the next life's first entry. */
static void a_tail_that_every_disk_has_is_kept_with_the_tags_it_was_born_with(void **state)
{
    (void)state;
    static struct story s;
    make(&s);
    call(&s, 1, 1);
    from_here(&s);
    s.nodes[1].slow = true;
    write_entry(&s);
    s.nodes[1].cut_off = true;
    flush(&s, &s.nodes[1]);
    crash(&s, 0);
    s.nodes[1].slow = s.nodes[1].cut_off = false;
    run(&s, &s.nodes[0], 2);
    call(&s, 1, 2);
    assert_string_equal(s.text, "p: append 1/3\n"
                                "a: accept 3, commit 2\n"
                                "a: to 1: ack 3\n"
                                "-- p crashes, with 3 of 3 entries\n"
                                "p: append 2/4 start {p a}\n"
                                "a: to 2: hello a promised 1 1/2 1/3\n"
                                "p: look up 3 for 2\n"
                                "p: to 2: welcome 1/3 commit 2, stream 2 from 4\n"
                                "a: save promise 2 complete\n"
                                "a: to 2: ack 3\n"
                                "a: accept 4\n"
                                "a: to 2: ack 4\n"
                                "p: commit 3\n"
                                "p: commit 4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_joins_and_a_write_is_on_both),
        cmocka_unit_test(three_lives_of_a_primary_with_unshipped_and_unkept_tails),
        cmocka_unit_test(a_tail_that_every_disk_has_is_kept_with_the_tags_it_was_born_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
