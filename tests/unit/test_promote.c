/* The verdict on a promotion by hand, case by case. The case that all begin with: seoul was the
 * primary (epoch 0.2), busan is to be promoted, jeju answers; all three were in sync, up to entry
 * 40. */
#include "step_case.h"

#include "repl/promote.h"

enum { SECOND = 2, LAST = 40 };

static struct promote_case c;
static struct promote_verdict v;

static struct peer_set set_of(const char *const names[])
{
    struct peer_set set = {0};
    for (; *names != NULL; names++)
        set.list[set.count++] = server_of(*names, 1);
    return set;
}

#define SET(...) set_of((const char *const[]){__VA_ARGS__, NULL})

static struct promote_dir directory(const char *name, uint64_t own_epoch)
{
    struct promote_dir d = {.server = server_of(name, 1),
                            .own_epoch = own_epoch,
                            .promised_epoch = SECOND,
                            .complete = true,
                            .last = point_of(SECOND, LAST),
                            .committed = LAST - 1,
                            .set = SET("seoul", "busan", "jeju")};
    memcpy(d.cluster, case_cluster, PEER_ID_BYTES);
    return d;
}

static struct promote_server *answering(const char *name)
{
    struct promote_server *s = &c.servers[c.count++];
    *s = (struct promote_server){.reach = PROMOTE_ANSWERED,
                                 .server = server_of(name, 1),
                                 .promised_epoch = SECOND,
                                 .last_epoch = SECOND,
                                 .last = LAST,
                                 .committed = LAST};
    snprintf(s->address, sizeof s->address, "%s:5000", name);
    memcpy(s->cluster, case_cluster, PEER_ID_BYTES);
    return s;
}

static struct promote_server *asked(const char *address, enum promote_reach reach)
{
    struct promote_server *s = &c.servers[c.count++];
    *s = (struct promote_server){.reach = reach};
    snprintf(s->address, sizeof s->address, "%s", address);
    return s;
}

static int setup(void **state)
{
    (void)state;
    c = (struct promote_case){.self = directory("busan", 0)};
    answering("jeju");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    promote_forget(&v);
    return 0;
}

static void with_old(void)
{
    c.has_old = true;
    c.old = directory("seoul", SECOND);
    c.old.own = c.old.set;
    c.compared = LAST - 1;
}

static bool says(const struct buf *lines, const char *text)
{
    return lines->bytes != 0 && memmem(lines->at, lines->bytes, text, strlen(text)) != NULL;
}

/* A refusal says why, in one line; nothing else is said to be done. */
static void refused_for(enum promote_reason reason, const char *text)
{
    promote_forget(&v);
    promote_judge(&c, &v);
    assert_int_equal(v.reason, reason);
    assert_true(says(&v.refusal, text));
    assert_ptr_equal(memchr(v.refusal.at, '\n', v.refusal.bytes),
                     v.refusal.at + v.refusal.bytes - 1);
}

/* Also where the operator accepts a loss. */
static void refused_always(enum promote_reason reason, const char *text)
{
    refused_for(reason, text);
    c.accept_data_loss = true;
    refused_for(reason, text);
}

static void allowed(bool proven, uint32_t generation)
{
    promote_forget(&v);
    promote_judge(&c, &v);
    assert_int_equal(v.reason, PROMOTE_YES);
    assert_int_equal(v.proven, proven);
    assert_int_equal(v.generation, generation);
    assert_int_equal(v.refusal.bytes, 0);
}

/* --- Without the old primary's directory --- */

static void what_cannot_be_known_needs_the_operators_word(void **state)
{
    (void)state;
    refused_for(PROMOTE_DATA_LOSS, "--old-state");
    assert_true(says(&v.known, "seoul, busan, jeju"));
    assert_true(says(&v.unknown, "after it had dropped busan"));
    assert_true(says(&v.unknown, "what seoul has"));
    assert_false(says(&v.unknown, "what jeju has")); /* it answers */
    c.accept_data_loss = true;
    allowed(false, 1);
}

static void each_member_that_does_not_answer_is_named(void **state)
{
    (void)state;
    c.count = 0;
    asked("jeju:5000", PROMOTE_AWAY);
    refused_for(PROMOTE_DATA_LOSS, "");
    assert_true(says(&v.unknown, "what jeju has") && says(&v.unknown, "what runs at jeju:5000"));
}

static void one_that_was_not_in_sync_or_never_complete_says_so(void **state)
{
    (void)state;
    c.self.set = SET("seoul", "jeju");
    c.self.complete = false;
    refused_for(PROMOTE_DATA_LOSS, "");
    assert_true(says(&v.unknown, "while busan was not in sync"));
    assert_true(says(&v.unknown, "first copy was never complete"));
    c.self.set.count = 0;
    refused_for(PROMOTE_DATA_LOSS, "");
    assert_false(says(&v.known, "heard of"));
}

/* --- With it --- */

static void a_member_of_the_set_that_the_primary_left_has_all(void **state)
{
    (void)state;
    with_old();
    allowed(true, 1);
    assert_true(says(&v.known, "every acknowledged write is here"));
    assert_true(says(&v.unknown, "an older copy"));
    c.count = 0; /* whoever else may be away */
    asked("jeju:5000", PROMOTE_AWAY);
    asked("seoul:5000", PROMOTE_CLOSED);
    allowed(true, 1);
}

static void one_that_the_primary_had_dropped_may_lack_writes(void **state)
{
    (void)state;
    with_old();
    c.old.own = SET("seoul", "jeju");
    refused_for(PROMOTE_DATA_LOSS, "--accept-data-loss");
    assert_true(says(&v.known, "without busan"));
    c.self.last.index = LAST - 9;
    c.self.committed = LAST - 10;
    c.compared = LAST - 9;
    c.servers[0].last = LAST - 9;
    refused_for(PROMOTE_DATA_LOSS, "--accept-data-loss");
    c.accept_data_loss = true;
    allowed(false, 1);
}

static void one_entry_more_than_the_primary_kept_is_what_was_on_its_way(void **state)
{
    (void)state;
    with_old();
    c.old.last = point_of(SECOND, LAST - 1);
    allowed(true, 1);
    c.old.last = point_of(SECOND, LAST - 2);
    refused_always(PROMOTE_OLD_WRONG, "older copy");
}

static void a_directory_of_an_earlier_life_proves_nothing(void **state)
{
    (void)state;
    with_old();
    c.old.own_epoch = c.old.promised_epoch = SECOND - 1;
    refused_always(PROMOTE_OLD_WRONG, "older copy");
    setup(NULL);
    with_old();
    c.servers[0].promised_epoch = SECOND + 1; /* jeju has followed a newer one */
    refused_always(PROMOTE_OLD_WRONG, "epoch 0.3 was followed since");
}

static void a_later_life_that_this_one_never_met_still_counts(void **state)
{
    (void)state;
    with_old();
    c.old.own_epoch = c.old.promised_epoch = SECOND + 1;
    allowed(true, 1);
}

static void a_directory_that_is_no_primarys_proves_nothing(void **state)
{
    (void)state;
    with_old();
    c.old.own_epoch = 0;
    refused_always(PROMOTE_OLD_WRONG, "not that of the last primary");
    setup(NULL);
    with_old();
    c.old.promised_epoch = 1ULL << 32; /* it was told of a promotion */
    refused_always(PROMOTE_OLD_WRONG, "epoch 1.0");
    setup(NULL);
    with_old();
    c.old.installing = true;
    refused_always(PROMOTE_OLD_WRONG, "not that of the last primary");
    setup(NULL);
    with_old();
    c.old.server = c.self.server;
    refused_always(PROMOTE_OLD_WRONG, "copy of this one's");
    setup(NULL);
    with_old();
    c.old.cluster[0] = 'd';
    refused_always(PROMOTE_OTHER_CLUSTER, "another cluster");
}

static void one_that_has_lost_what_it_had_is_refused(void **state)
{
    (void)state;
    with_old();
    c.self.last.index = c.servers[0].last = LAST - 5;
    refused_always(PROMOTE_ROLLED_BACK, "lacks entries");
}

static void logs_that_differ_where_both_are_committed_are_refused(void **state)
{
    (void)state;
    with_old();
    c.chain_old = 1;
    refused_always(PROMOTE_LOGS_DIFFER, "differ at or before entry 39");
}

/* --- With it, and its log damaged --- */

static void with_damaged_log(void)
{
    with_old();
    snprintf(c.old.damage, sizeof c.old.damage, "log/1, byte 4096: a frame is damaged");
    c.old.own_is_last = true;
    c.old.last = point_of(SECOND, LAST / 2); /* what is left of it */
    c.old.committed = c.compared = LAST / 2 - 1;
}

static void the_set_proves_it_also_beside_a_damaged_log(void **state)
{
    (void)state;
    with_damaged_log();
    allowed(true, 1);
    assert_true(says(&v.known, "every acknowledged write is here"));
    assert_true(says(&v.known, "the log of seoul is damaged (log/1, byte 4096"));
    assert_true(says(&v.unknown, "their logs agree at entry 19"));
    c.old.last = (struct peer_point){0}; /* nothing is left */
    c.old.committed = c.compared = 0;
    allowed(true, 1);
    assert_true(says(&v.unknown, "nothing left to compare"));
    c.old.own = SET("seoul", "jeju");
    refused_for(PROMOTE_DATA_LOSS, "--accept-data-loss");
    assert_true(says(&v.known, "without busan"));
}

/* The older copy of the set may name who was dropped by the newer, and the log cannot say so. */
static void a_set_that_may_not_be_the_last_proves_nothing_without_the_log(void **state)
{
    (void)state;
    with_damaged_log();
    c.old.own_is_last = false;
    refused_for(PROMOTE_DATA_LOSS, "--accept-data-loss");
    assert_true(says(&v.unknown, "identity.0 and identity.1") && says(&v.unknown, "whole copy"));
    assert_false(says(&v.known, "every acknowledged write is here"));
    c.accept_data_loss = true;
    allowed(false, 1);
    setup(NULL);
    with_old(); /* the log is whole, and would show it */
    allowed(true, 1);
}

static void what_is_left_of_a_damaged_log_can_still_refuse(void **state)
{
    (void)state;
    with_damaged_log();
    c.chain_old = 1;
    refused_always(PROMOTE_LOGS_DIFFER, "differ at or before entry 19");
    setup(NULL);
    with_damaged_log();
    c.self.last.index = c.servers[0].last = LAST / 2 - 2;
    refused_always(PROMOTE_ROLLED_BACK, "lacks entries");
    setup(NULL);
    with_damaged_log();
    c.servers[0].promised_epoch = SECOND + 1;
    refused_always(PROMOTE_OLD_WRONG, "epoch 0.3 was followed since");
}

/* --- The others --- */

static void whoever_has_more_is_to_be_promoted_instead(void **state)
{
    (void)state;
    c.servers[0].last = LAST + 1;
    refused_always(PROMOTE_OTHER_IS_AHEAD, "jeju at jeju:5000 has more");
    setup(NULL);
    with_old();
    c.servers[0].last = 3; /* a later epoch counts before a longer log */
    c.servers[0].last_epoch = SECOND + 1;
    refused_always(PROMOTE_OTHER_IS_AHEAD, "jeju at jeju:5000 has more");
}

static void a_primary_that_lives_is_not_replaced(void **state)
{
    (void)state;
    struct promote_server *s = answering("seoul");
    s->primary = true;
    s->epoch = SECOND;
    refused_always(PROMOTE_PRIMARY_LIVES, "seoul at seoul:5000 is a primary, and answers");
    setup(NULL);
    c.servers[0].connected = true;
    snprintf(c.servers[0].follows, sizeof c.servers[0].follows, "seoul");
    refused_always(PROMOTE_PRIMARY_LIVES, "jeju at jeju:5000 is connected to its primary, seoul");
}

/* It was told of an earlier promotion, whose server is lost since. */
static void a_primary_that_was_retired_is_none(void **state)
{
    (void)state;
    struct promote_server *s = answering("seoul");
    s->primary = true;
    s->epoch = SECOND;
    s->generation = 1;
    c.accept_data_loss = true;
    allowed(false, 2);
}

static void what_listens_and_gives_no_answer_may_be_the_primary(void **state)
{
    (void)state;
    with_old();
    asked("seoul:5000", PROMOTE_SILENT);
    refused_for(PROMOTE_SILENT_SERVER, "seoul:5000");
    c.accept_data_loss = true;
    allowed(true, 1);
    assert_true(says(&v.unknown, "whether the old primary lives at seoul:5000"));
}

static void servers_that_are_not_of_this_cluster_or_are_this_one_are_refused(void **state)
{
    (void)state;
    c.servers[0].cluster[0] = 'd';
    refused_always(PROMOTE_OTHER_CLUSTER, "another cluster");
    setup(NULL);
    c.servers[0].server = c.self.server;
    refused_always(PROMOTE_RUNS_ELSEWHERE, "copy of this data directory");
}

static void a_new_server_that_has_no_cluster_yet_is_nobody(void **state)
{
    (void)state;
    struct promote_server *s = answering("daegu");
    memset(s->cluster, 0, sizeof s->cluster);
    s->last = s->last_epoch = s->promised_epoch = 0;
    with_old();
    allowed(true, 1);
}

/* --- This one --- */

static void directories_that_need_no_promotion_are_told_what_to_do(void **state)
{
    (void)state;
    c.self.installing = true;
    refused_always(PROMOTE_HALF_INSTALLED, "half installed");
    setup(NULL);
    memset(c.self.cluster, 0, sizeof c.self.cluster);
    refused_always(PROMOTE_NEVER_FOLLOWED, "never followed");
    setup(NULL);
    c.self.own_epoch = SECOND;
    refused_always(PROMOTE_IS_PRIMARY, "was the primary itself");
    setup(NULL);
    c.self.own_epoch = 1ULL << 32;
    refused_always(PROMOTE_DONE, "already, to generation 1");
}

/* --- The generation --- */

static void the_generation_is_higher_than_any_that_was_seen(void **state)
{
    (void)state;
    c.accept_data_loss = true;
    c.self.promised_epoch = (4ULL << 32) + 1;
    allowed(false, 5);
    c.servers[0].generation = 9;
    allowed(false, 10);
    c.servers[0].promised_epoch = 11ULL << 32;
    allowed(false, 12);
    asked("gone:1", PROMOTE_CLOSED)->generation = 99; /* nobody said so */
    allowed(false, 12);
    c.servers[0].generation = UINT32_MAX;
    refused_for(PROMOTE_LAST_GENERATION, "no higher generation");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_known_needs_the_operators_word),
        TEST(each_member_that_does_not_answer_is_named),
        TEST(one_that_was_not_in_sync_or_never_complete_says_so),
        TEST(a_member_of_the_set_that_the_primary_left_has_all),
        TEST(one_that_the_primary_had_dropped_may_lack_writes),
        TEST(one_entry_more_than_the_primary_kept_is_what_was_on_its_way),
        TEST(a_directory_of_an_earlier_life_proves_nothing),
        TEST(a_later_life_that_this_one_never_met_still_counts),
        TEST(a_directory_that_is_no_primarys_proves_nothing),
        TEST(one_that_has_lost_what_it_had_is_refused),
        TEST(the_set_proves_it_also_beside_a_damaged_log),
        TEST(a_set_that_may_not_be_the_last_proves_nothing_without_the_log),
        TEST(what_is_left_of_a_damaged_log_can_still_refuse),
        TEST(logs_that_differ_where_both_are_committed_are_refused),
        TEST(whoever_has_more_is_to_be_promoted_instead),
        TEST(a_primary_that_lives_is_not_replaced),
        TEST(a_primary_that_was_retired_is_none),
        TEST(what_listens_and_gives_no_answer_may_be_the_primary),
        TEST(servers_that_are_not_of_this_cluster_or_are_this_one_are_refused),
        TEST(a_new_server_that_has_no_cluster_yet_is_nobody),
        TEST(directories_that_need_no_promotion_are_told_what_to_do),
        TEST(the_generation_is_higher_than_any_that_was_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
