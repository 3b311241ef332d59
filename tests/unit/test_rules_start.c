/* S11 and S12 in the log and at the start of a server: what they hold, and that leaving them out
 * shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/rules.h"
#include "repl/course.h"
#include "support/log_case.h"

bool repl_rules[RULES];

static int all_rules(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RULES; i++)
        repl_rules[i] = true;
    return 0;
}

static int count(void *context, const struct log_position *p, struct span payload)
{
    (void)payload;
    *(uint64_t *)context = p->first_index + p->entries - 1;
    return 0;
}

/* Opens a log of five entries, of which so many are known to be committed: the last entry found, or
 * 0 where it is refused. */
static uint64_t found(struct log_case *c, uint64_t committed)
{
    uint64_t last = 0;
    int code = log_open(&c->log, &c->options, 1, committed, count, &last, c->why, sizeof c->why);
    assert_true(code == 0 || code == ERR_CORRUPT);
    if (code != 0)
        c->log = NULL;
    case_close(c);
    return code == 0 ? last : 0;
}

static void five_entries(struct log_case *c)
{
    case_begin(c, false, 1);
    assert_int_equal(case_open(c, 1, 0), 0);
    case_append_frames(c, 5, 100, 1);
    case_close(c);
}

static void S12_a_log_is_cut_after_its_last_frame_only(void **state)
{
    (void)state;
    struct log_case c;
    five_entries(&c);
    disk_fake_flip(c.fake, case_path(&c, 1), 3 * DISK_BLOCK_BYTES + 60, 1); /* entry 3 */
    assert_int_equal(found(&c, 0), 0);
    repl_rules[S12] = false;
    assert_int_equal(found(&c, 0), 2); /* three acknowledged entries are gone */
    case_end(&c);
}

static void S12_a_log_is_cut_above_what_is_committed_only(void **state)
{
    (void)state;
    struct log_case c;
    five_entries(&c);
    disk_fake_flip(c.fake, case_path(&c, 1), 5 * DISK_BLOCK_BYTES + 60, 1); /* entry 5 */
    assert_int_equal(found(&c, 5), 0);
    repl_rules[S12] = false;
    assert_int_equal(found(&c, 5), 4); /* an acknowledged entry is gone */
    case_end(&c);
    all_rules(state);
    five_entries(&c);
    disk_fake_flip(c.fake, case_path(&c, 1), 5 * DISK_BLOCK_BYTES + 60, 1);
    assert_int_equal(found(&c, 4), 4); /* a torn tail */
    case_end(&c);
}

static void S11_a_failed_write_is_the_last_one(void **state)
{
    (void)state;
    for (int with = 1; with >= 0; with--) {
        struct log_case c;
        repl_rules[S11] = with != 0;
        case_begin(&c, false, 1);
        assert_int_equal(case_open(&c, 1, 0), 0);
        disk_fake_fail(c.fake, FAKE_WRITE, 1, ERR_IO, false);
        assert_int_equal(case_append(&c, 100, 1), ERR_IO);
        assert_int_equal(case_retry(&c), with ? ERR_IO : 0);
        case_end(&c);
    }
}

static void a_suspect_server_does_not_go_on_with_what_it_finds(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        const struct repl_found f = {.primary = bits & 1,
                                     .marked = (bits & 2) != 0,
                                     .damaged = (bits & 4) != 0,
                                     .accept_loss = (bits & 8) != 0};
        enum repl_course expected = !f.marked && !f.damaged ? COURSE_GO_ON
                                    : !f.primary            ? COURSE_COPY
                                    : f.accept_loss         ? COURSE_GIVE_UP
                                                            : COURSE_REFUSE;
        all_rules(state);
        assert_int_equal(repl_course(&f), expected);
        repl_rules[S11] = false;
        assert_int_equal(repl_course(&f), f.damaged ? expected : COURSE_GO_ON);
        all_rules(state);
        repl_rules[S12] = false;
        assert_int_equal(repl_course(&f), f.marked ? expected : COURSE_GO_ON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(S12_a_log_is_cut_after_its_last_frame_only, all_rules),
        cmocka_unit_test_setup(S12_a_log_is_cut_above_what_is_committed_only, all_rules),
        cmocka_unit_test_setup(S11_a_failed_write_is_the_last_one, all_rules),
        cmocka_unit_test_setup(a_suspect_server_does_not_go_on_with_what_it_finds, all_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
