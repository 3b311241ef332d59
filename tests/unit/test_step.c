/* Rules of the replication step, by their names in the design: events in, actions out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "repl/step.h"

enum { SAID_BYTES = 200 };

/* What the step says to do, as "append 1/3 start, commit 3, admit". */
static const char *said(const struct repl_actions *out, char to[SAID_BYTES])
{
    int used = 0;
    to[0] = '\0';
    for (unsigned i = 0; i < out->count; i++) {
        const struct repl_action *a = &out->list[i];
        const char *comma = i == 0 ? "" : ", ";
        int room = SAID_BYTES - used;
        if (a->kind == REPL_APPEND)
            used += snprintf(to + used, (size_t)room, "%sappend %d/%d%s", comma, (int)a->epoch,
                             (int)a->index, a->epoch_start ? " start" : "");
        else if (a->kind == REPL_COMMIT)
            used += snprintf(to + used, (size_t)room, "%scommit %d", comma, (int)a->index);
        else
            used += snprintf(to + used, (size_t)room, "%sadmit", comma);
    }
    return to;
}

static void assert_step(struct repl *r, struct repl_event e, const char *expected)
{
    struct repl_actions out = {.count = 99};
    char found[SAID_BYTES];
    assert_int_equal(repl_step(r, &e, &out), 0);
    assert_string_equal(said(&out, found), expected);
}

/* The event has no place now: nothing is said and nothing happened. */
static void assert_no_place(struct repl *r, struct repl_event e)
{
    const struct repl before = *r;
    struct repl_actions out = {.count = 99};
    assert_int_equal(repl_step(r, &e, &out), ERR_BAD_REQUEST);
    assert_int_equal(out.count, 0);
    assert_memory_equal(r, &before, sizeof before);
}

static struct repl_event start(uint64_t epoch, uint64_t index)
{
    return (struct repl_event){.kind = REPL_START, .epoch = epoch, .index = index};
}

static struct repl_event durable(uint64_t index)
{
    return (struct repl_event){.kind = REPL_DURABLE, .index = index};
}

static const struct repl_event propose = {.kind = REPL_PROPOSE};

static void S2_each_life_of_the_process_has_a_higher_epoch(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_no_place(&r, start(0, 0));
    assert_step(&r, start(3, 0), "append 3/1 start");
    assert_step(&r, durable(1), "commit 1, admit");
    assert_no_place(&r, start(3, 1));
    assert_no_place(&r, start(2, 1));
    assert_step(&r, start(4, 1), "append 4/2 start");
    assert_step(&r, durable(2), "commit 2, admit");
    assert_step(&r, propose, "append 4/3");
}

static void S3_an_index_is_committed_when_the_whole_required_set_has_it_durable(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    r.required = 3;
    assert_step(&r, start(1, 10), "append 1/11 start");
    assert_step(&r, durable(11), "");
    assert_true(repl_busy(&r));
    r.members[1].durable = 11;
    assert_step(&r, durable(11), "");
    r.members[2].durable = 11;
    assert_step(&r, durable(11), "commit 11, admit");
    assert_false(repl_busy(&r));
    /* the others first: this server counts, too */
    assert_step(&r, propose, "append 1/12");
    r.members[1].durable = r.members[2].durable = 12;
    assert_step(&r, durable(11), "");
    assert_int_equal(r.committed, 11);
    assert_step(&r, durable(12), "commit 12");
    /* one that is ahead commits nothing */
    assert_step(&r, propose, "append 1/13");
    r.members[1].durable = 13;
    assert_step(&r, durable(13), "");
    assert_int_equal(r.committed, 12);
}

static void S7_the_whole_recovered_log_is_the_truth_and_the_epoch_begins_behind_it(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_step(&r, start(5, 41), "append 5/42 start");
    assert_int_equal(r.committed, 41);
    assert_int_equal(r.members[0].durable, 41);
    assert_int_equal(r.epoch, 5);
    assert_step(&r, durable(42), "commit 42, admit");
}

static void S7_writes_are_admitted_once_the_epochs_first_entry_is_committed(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_no_place(&r, propose);
    assert_step(&r, start(1, 0), "append 1/1 start");
    assert_no_place(&r, propose);
    assert_false(r.admitting);
    assert_step(&r, durable(0), "");
    assert_no_place(&r, propose);
    assert_step(&r, durable(1), "commit 1, admit");
    assert_step(&r, propose, "append 1/2");
    assert_step(&r, durable(2), "commit 2");
    /* a further epoch admits them anew */
    assert_step(&r, start(2, 2), "append 2/3 start");
    assert_false(r.admitting);
    assert_no_place(&r, propose);
    assert_step(&r, durable(3), "commit 3, admit");
}

static void one_entry_is_under_way_at_a_time(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_false(repl_busy(&r));
    assert_step(&r, start(1, 0), "append 1/1 start");
    assert_true(repl_busy(&r));
    assert_step(&r, durable(1), "commit 1, admit");
    assert_false(repl_busy(&r));
    assert_step(&r, propose, "append 1/2");
    assert_true(repl_busy(&r));
    assert_no_place(&r, propose);
    assert_step(&r, durable(2), "commit 2");
    assert_step(&r, propose, "append 1/3");
}

static void a_commit_is_said_once_and_never_goes_back(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_step(&r, start(1, 5), "append 1/6 start");
    assert_step(&r, durable(3), "");
    assert_step(&r, durable(5), "");
    assert_step(&r, durable(6), "commit 6, admit");
    assert_step(&r, durable(6), "");
    assert_step(&r, durable(2), "");
    assert_int_equal(r.committed, 6);
    assert_int_equal(r.members[0].durable, 6);
}

static void an_index_that_was_never_given_out_cannot_be_durable(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_no_place(&r, durable(1));
    assert_step(&r, start(1, 5), "append 1/6 start");
    assert_no_place(&r, durable(7));
    assert_no_place(&r, durable(UINT64_MAX));
    assert_step(&r, durable(6), "commit 6, admit");
    assert_no_place(&r, durable(7));
}

static void an_unknown_event_has_no_place(void **state)
{
    (void)state;
    struct repl r;
    repl_init(&r);
    assert_no_place(&r, (struct repl_event){.kind = (enum repl_event_kind)77});
}

/* --- Any order of events --- */

/* What the driver has been told, for the checks. */
struct driver {
    uint64_t epoch, appended, committed;
    bool admitted, start_committed;
};

static void take(struct driver *d, const struct repl_action *a)
{
    switch (a->kind) {
    case REPL_APPEND:
        assert_int_equal(a->index, d->appended + 1);
        assert_int_equal(a->epoch, d->epoch);
        assert_true(a->epoch_start || (d->admitted && d->committed == d->appended));
        d->appended = a->index;
        break;
    case REPL_COMMIT:
        assert_true(a->index > d->committed && a->index <= d->appended);
        assert_int_equal(a->epoch, d->epoch);
        d->committed = a->index;
        d->start_committed = true;
        break;
    case REPL_ADMIT:
        assert_true(d->start_committed && !d->admitted);
        d->admitted = true;
        break;
    }
}

static void in_any_order_of_events_indexes_follow_and_nothing_goes_back(void **state)
{
    (void)state;
    const char *given = getenv("NOTED_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("NOTED_TEST_SEED=%u\n", seed);
    struct repl r;
    struct driver d = {0};
    repl_init(&r);
    for (int i = 0; i < 20000; i++) {
        int kind = rand_r(&seed) % 20;
        struct repl_event e = propose;
        if (kind == 0)
            e = start(d.epoch + (uint64_t)rand_r(&seed) % 3, d.appended);
        else if (kind < 10)
            e = durable(d.appended - (uint64_t)rand_r(&seed) % 3 + (uint64_t)rand_r(&seed) % 3);
        struct repl_actions out;
        int rc = repl_step(&r, &e, &out);
        assert_true(rc == 0 || (rc == ERR_BAD_REQUEST && out.count == 0));
        assert_true(out.count <= REPL_ACTIONS_MAX);
        if (rc == 0 && e.kind == REPL_START) /* all that was given out has been recovered */
            d = (struct driver){.epoch = e.epoch, .appended = e.index, .committed = e.index};
        for (unsigned n = 0; n < out.count; n++)
            take(&d, &out.list[n]);
        assert_int_equal(r.committed, d.committed);
        assert_int_equal(repl_busy(&r), d.appended != d.committed);
        assert_int_equal(r.admitting, d.admitted);
    }
    assert_true(d.epoch > 100 && d.committed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(S2_each_life_of_the_process_has_a_higher_epoch),
        cmocka_unit_test(S3_an_index_is_committed_when_the_whole_required_set_has_it_durable),
        cmocka_unit_test(S7_the_whole_recovered_log_is_the_truth_and_the_epoch_begins_behind_it),
        cmocka_unit_test(S7_writes_are_admitted_once_the_epochs_first_entry_is_committed),
        cmocka_unit_test(one_entry_is_under_way_at_a_time),
        cmocka_unit_test(a_commit_is_said_once_and_never_goes_back),
        cmocka_unit_test(an_index_that_was_never_given_out_cannot_be_durable),
        cmocka_unit_test(an_unknown_event_has_no_place),
        cmocka_unit_test(in_any_order_of_events_indexes_follow_and_nothing_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
