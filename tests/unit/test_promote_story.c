/* Promotions by hand as stories: real steps before and after, the real verdict between them. What
 * an operator does is all that is done by hand here. */
#include "story.h"

#include "repl/promote.h"

/* --- What the directories and statuses say --- */

static struct peer_point end_of(const struct node *n)
{
    return n->count == 0 ? (struct peer_point){0} : n->log[n->count - 1];
}

static struct promote_dir dir_of(const struct node *n)
{
    struct promote_dir d = {.server = server_of(n->name, 1),
                            .own_epoch = n->epoch,
                            .promised_epoch = n->disk.promised_epoch,
                            .complete = n->disk.complete,
                            .last = end_of(n),
                            .committed = n->applied,
                            .own = n->disk.set};
    memcpy(d.cluster, n->disk.cluster, PEER_ID_BYTES);
    return d;
}

static struct promote_server status_of(const struct node *n)
{
    const struct repl *r = &n->c.r;
    struct promote_server s = {.reach = n->up ? PROMOTE_ANSWERED : PROMOTE_CLOSED,
                               .server = server_of(n->name, 1),
                               .primary = r->o.primary,
                               .connected = r->stage == REPL_FOLLOWING,
                               .generation = repl_generation(r),
                               .epoch = r->epoch,
                               .promised_epoch = r->hard.promised_epoch,
                               .last_epoch = end_of(n).epoch,
                               .last = end_of(n).index,
                               .committed = r->committed};
    memcpy(s.cluster, r->hard.cluster, PEER_ID_BYTES);
    return s;
}

/* The verdict on node i, with the old primary's directory or without; all others are asked. */
static enum promote_reason judge(struct story *s, unsigned i, const struct node *old,
                                 bool accept_data_loss, struct promote_verdict *v)
{
    const struct node *n = &s->nodes[i];
    struct promote_case c = {
        .self = dir_of(n), .has_old = old != NULL, .accept_data_loss = accept_data_loss};
    if (old != NULL) {
        c.old = dir_of(old);
        c.compared = old->applied < n->count ? old->applied : n->count;
        c.chain_self = c.compared == 0 ? 0 : n->log[c.compared - 1].chain;
        c.chain_old = c.compared == 0 ? 0 : old->log[c.compared - 1].chain;
    }
    for (unsigned k = 0; k < NODES; k++)
        if (k != i)
            c.servers[c.count++] = status_of(&s->nodes[k]);
    promote_judge(&c, v);
    enum promote_reason reason = v->reason;
    promote_forget(v);
    return reason;
}

static void stop(struct story *s, unsigned i)
{
    struct node *n = &s->nodes[i];
    n->up = false;
    if (n->link != 0)
        end_link(s, n->link);
}

/* Node i is stopped, judged, and starts as the primary. */
static void promote(struct story *s, unsigned i, const struct node *old, bool accept_data_loss)
{
    struct node *n = &s->nodes[i];
    struct promote_verdict v;
    stop(s, i);
    assert_int_equal(judge(s, i, old, accept_data_loss, &v), PROMOTE_YES);
    assert_int_equal(v.proven, old != NULL);
    n->disk.set.count = 0;
    s->primary = n;
    run(s, n, ((uint64_t)v.generation << 32) + 1);
}

/* As a backup of the primary of now. */
static void follow(struct story *s, unsigned i, unsigned link)
{
    if (s->nodes[i].link != 0)
        end_link(s, s->nodes[i].link);
    run(s, &s->nodes[i], 0);
    call(s, i, link);
}

/* --- What must hold at the end --- */

static void all_are_equal(struct story *s)
{
    write_entry(s);
    const struct node *p = s->primary;
    assert_int_equal(p->applied, p->count);
    for (unsigned i = 0; i < NODES; i++) {
        const struct node *n = &s->nodes[i];
        assert_int_equal(n->count, p->count);
        assert_memory_equal(n->log, p->log, p->count * sizeof p->log[0]);
        assert_true(n == p ||
                    repl_in_sync(&p->c.r, repl_member_of((struct repl *)&p->c.r, n->link)));
    }
}

static void begins_with(const struct node *n, const struct peer_point *log, uint64_t count)
{
    assert_true(n->count >= count);
    assert_memory_equal(n->log, log, count * sizeof log[0]);
}

/* p, and a and b in sync, one write on all of them: what p has acknowledged. */
static struct story s;
static struct node *const p = &s.nodes[0], *const a = &s.nodes[1], *const b = &s.nodes[2];

static void begin_three(void)
{
    make(&s);
    call(&s, 1, 1);
    call(&s, 2, 2);
    write_entry(&s);
    assert_int_equal(p->applied, p->count);
    assert_int_equal(p->disk.set.count, 3);
}

/* --- Stories --- */

static void the_promoted_has_all_that_was_acknowledged_and_the_others_follow(void **state)
{
    (void)state;
    begin_three();
    uint64_t acknowledged = p->applied;
    struct peer_point log[LOG_MAX];
    char cut[40];
    snprintf(cut, sizeof cut, "p: cut above %llu\n", (u)acknowledged);
    memcpy(log, p->log, sizeof log);
    a->cut_off = true;
    b->slow = true;
    write_entry(&s); /* durable on p alone, on its way to b: acknowledged to nobody */
    crash(&s, 0);
    a->cut_off = b->slow = false;
    crash(&s, 2);
    run(&s, b, 0);
    promote(&s, 1, p, false);
    follow(&s, 2, 11);
    begins_with(a, log, acknowledged);
    from_here(&s);
    follow(&s, 0, 12); /* the old primary: its tail goes */
    assert_non_null(strstr(s.text, cut));
    all_are_equal(&s);
    begins_with(p, log, acknowledged);
}

static void a_tail_that_was_on_its_way_is_kept_when_the_one_that_has_it_is_promoted(void **state)
{
    (void)state;
    begin_three();
    p->slow = true;
    a->cut_off = true;
    write_entry(&s); /* b has it; p and a do not */
    uint64_t tail = b->count;
    assert_int_equal(tail, a->count + 1);
    crash(&s, 0);
    p->slow = a->cut_off = false;
    stop(&s, 1);
    stop(&s, 2);
    struct promote_verdict v;
    run(&s, b, 0);
    assert_int_equal(judge(&s, 1, p, false, &v), PROMOTE_OTHER_IS_AHEAD);
    assert_int_equal(judge(&s, 1, NULL, true, &v), PROMOTE_OTHER_IS_AHEAD);
    promote(&s, 2, p, false);
    follow(&s, 1, 11);
    follow(&s, 0, 12);
    assert_int_equal(p->log[tail - 1].epoch, 1);
    all_are_equal(&s);
}

/* The old primary's last set says whom it had gone on without; nobody else can know. */
static void who_was_dropped_before_the_primary_ended_needs_the_operators_word(void **state)
{
    (void)state;
    begin_three();
    stop(&s, 1);
    deliver(&s);
    write_entry(&s); /* acknowledged by p and b */
    assert_int_equal(p->disk.set.count, 2);
    assert_true(p->applied > a->count);
    crash(&s, 0);
    stop(&s, 2);
    struct promote_verdict v;
    assert_int_equal(judge(&s, 1, p, false, &v), PROMOTE_DATA_LOSS);
    assert_int_equal(judge(&s, 1, NULL, false, &v), PROMOTE_DATA_LOSS);
    assert_int_equal(judge(&s, 2, NULL, false, &v), PROMOTE_DATA_LOSS);
    promote(&s, 2, p, false);
    follow(&s, 1, 11);
    follow(&s, 0, 12);
    all_are_equal(&s);
}

/* p stands still while a is promoted, and goes on: it is told before it drops anybody, and
 * acknowledges nothing that the new history lacks. */
static void a_primary_that_stood_still_and_is_told_acknowledges_nothing_more(void **state)
{
    (void)state;
    begin_three();
    a->cut_off = b->cut_off = true;
    write_entry(&s); /* on p's disk */
    uint64_t committed = p->applied;
    p->up = false; /* it hears nothing */
    stop(&s, 2);
    promote(&s, 1, NULL, true);
    a->cut_off = b->cut_off = false;
    follow(&s, 2, 11);
    p->up = true;
    give(&s, p, at_ms(60000));
    give(&s, p, down(1));
    give(&s, p, down(2));
    struct peer_message hello = {.kind = PEER_HELLO, .session = 1};
    memcpy(hello.hello.cluster, case_cluster, PEER_ID_BYTES);
    hello.hello.server = server_of("a", 1);
    hello.hello.generation = 1;
    hello.hello.points_count = 1;
    give(&s, p, (struct repl_event){.kind = REPL_MESSAGE, .link = 99, .message = &hello});
    for (uint64_t ms = 60050; ms < 70000; ms += 50)
        give(&s, p, at_ms(ms));
    assert_int_equal(p->applied, committed);
    assert_int_equal(repl_refusal(&p->c.r), ERR_NO_PRIMARY);
    /* and so for good */
    assert_int_equal(p->disk.promised_epoch, 1ULL << 32);
    follow(&s, 0, 12);
    all_are_equal(&s);
}

/* What cannot be helped in fixed mode: p goes on alone. But then nobody's records are thrown away
 * quietly: it is refused as a backup, and its files are kept. */
static void a_primary_that_went_on_alone_is_refused_and_keeps_its_files(void **state)
{
    (void)state;
    begin_three();
    p->up = false;
    stop(&s, 2);
    promote(&s, 1, NULL, true);
    follow(&s, 2, 11);
    write_entry(&s);
    p->up = true;
    give(&s, p, down(1));
    give(&s, p, down(2));
    give(&s, p, plain(REPL_PROPOSE));
    assert_true(p->applied == p->count && p->count > 5);
    struct peer_point log[LOG_MAX];
    uint64_t count = p->count;
    memcpy(log, p->log, sizeof log);
    from_here(&s);
    follow(&s, 0, 12);
    assert_non_null(strstr(s.text, "a: to 12: refuse mismatch, close 12\n"));
    assert_null(strstr(s.text, "cut"));
    assert_int_equal(p->count, count);
    assert_memory_equal(p->log, log, count * sizeof log[0]);
}

/* Started without --primary after a promotion, the old primary waits for its set. */
static void an_old_primary_that_starts_as_one_takes_no_writes(void **state)
{
    (void)state;
    begin_three();
    crash(&s, 0);
    promote(&s, 1, p, false);
    follow(&s, 2, 11);
    s.primary = p;
    run(&s, p, 2);
    assert_int_equal(repl_refusal(&p->c.r), ERR_WAITING_FOR_MEMBERS);
    for (uint64_t ms = 1050; ms < 20000; ms += 50)
        give(&s, p, at_ms(ms));
    assert_int_equal(repl_refusal(&p->c.r), ERR_WAITING_FOR_MEMBERS);
    s.primary = a;
    follow(&s, 0, 12);
    all_are_equal(&s);
}

/* A second promotion follows the same rules: now a's directory is the old primary's. */
static void a_promoted_primary_that_is_lost_is_followed_by_another(void **state)
{
    (void)state;
    begin_three();
    crash(&s, 0);
    promote(&s, 1, p, false);
    follow(&s, 2, 11);
    follow(&s, 0, 12);
    write_entry(&s);
    crash(&s, 1);
    struct promote_verdict v;
    stop(&s, 0);
    stop(&s, 2);
    assert_int_equal(judge(&s, 2, p, false, &v), PROMOTE_OLD_WRONG);
    promote(&s, 2, a, false);
    assert_int_equal(b->epoch >> 32, 2);
    follow(&s, 1, 21);
    follow(&s, 0, 22);
    all_are_equal(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_promoted_has_all_that_was_acknowledged_and_the_others_follow),
        cmocka_unit_test(a_tail_that_was_on_its_way_is_kept_when_the_one_that_has_it_is_promoted),
        cmocka_unit_test(who_was_dropped_before_the_primary_ended_needs_the_operators_word),
        cmocka_unit_test(a_primary_that_stood_still_and_is_told_acknowledges_nothing_more),
        cmocka_unit_test(a_primary_that_went_on_alone_is_refused_and_keeps_its_files),
        cmocka_unit_test(an_old_primary_that_starts_as_one_takes_no_writes),
        cmocka_unit_test(a_promoted_primary_that_is_lost_is_followed_by_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
