/* Random histories with a crash at every operation: no acknowledged frame is lost, none invented.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "support/log_case.h"

enum { HISTORIES = 4, STEPS = 24 };

/* What is drawn for a history depends on its seed only, so that each crash hits the same one. */
static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005 + 1442695040888963407; /* Knuth's MMIX */
    return (*state >> 33) % below;
}

/* Appends, prepares and reopens until all steps are done or the disk ends. */
static void live(struct log_case *c, uint64_t *random)
{
    for (int step = 0; step < STEPS && !disk_fake_has_ended(c->fake); step++) {
        uint64_t what = draw(random, 10);
        size_t payload_bytes = (size_t)draw(random, 3) * 4096 + (size_t)draw(random, 4096);
        if (payload_bytes > CASE_PAYLOAD_BYTES_MAX)
            payload_bytes = CASE_PAYLOAD_BYTES_MAX;
        uint32_t entries = (uint32_t)draw(random, 5) + 1;
        if (what == 0) {
            case_close(c);
            uint64_t from = 1 + draw(random, case_last_index(c) + 1);
            if (case_open(c, from, case_last_index(c)) != 0)
                return;
        } else if (what < 4) {
            log_prepare(c->log);
        } else if (case_append(c, payload_bytes, entries) == ERR_DISK_FULL) {
            if (log_prepare(c->log) == 0)
                case_retry(c);
        }
    }
}

/* The disk is there again: the log must open, and what it then has must stay, also when power
 * fails at once. */
static void come_back(struct log_case *c, uint64_t seed, uint64_t nth)
{
    for (int i = 0; i < 2; i++) {
        case_close(c);
        disk_fake_start(c->fake);
        int code = case_open(c, 1, case_last_index(c));
        if (code != 0)
            print_error("history %lu, crash at operation %lu: %d: %s\n", (unsigned long)seed,
                        (unsigned long)nth, code, c->why);
        assert_int_equal(code, 0);
    }
}

static void crash_at_every_operation(uint64_t seed, enum disk_fake_end end, uint64_t torn_bytes)
{
    for (uint64_t nth = 1;; nth++) {
        struct log_case c;
        uint64_t random = seed, again = seed + nth;
        case_begin(&c, false, seed + nth);
        disk_fake_end_at(c.fake, nth, end, torn_bytes);
        if (case_open(&c, 1, 0) == 0)
            live(&c, &random);
        bool ended = disk_fake_has_ended(c.fake);
        /* a second crash, perhaps in the recovery itself */
        case_close(&c);
        disk_fake_start(c.fake);
        disk_fake_end_at(c.fake, 1 + draw(&again, 20), end, torn_bytes);
        if (case_open(&c, 1, case_last_index(&c)) == 0)
            live(&c, &again);
        come_back(&c, seed, nth);
        live(&c, &again);
        come_back(&c, seed, nth);
        case_end(&c);
        if (!ended)
            return;
    }
}

static void each_history(enum disk_fake_end end)
{
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        print_message("history %lu\n", (unsigned long)seed);
        crash_at_every_operation(seed, end, FAKE_TORN_SECTORS);
        crash_at_every_operation(seed, end, seed * 1009); /* the first bytes of the write */
    }
}

static void a_power_failure_loses_no_acknowledged_frame_and_invents_none(void **state)
{
    (void)state;
    each_history(FAKE_POWER);
}

static void the_same_where_some_of_what_was_not_synced_is_kept(void **state)
{
    (void)state;
    each_history(FAKE_POWER_LOSE_SOME);
}

/* A killed process leaves in the page cache what is not durable; who then opens the log counts it
 * as durable, and the power may fail after that. */
static void a_kill_and_a_power_failure_after_it_lose_none(void **state)
{
    (void)state;
    each_history(FAKE_KILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_failure_loses_no_acknowledged_frame_and_invents_none),
        cmocka_unit_test(the_same_where_some_of_what_was_not_synced_is_kept),
        cmocka_unit_test(a_kill_and_a_power_failure_after_it_lose_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
