/* What a peer sends reaches no assertion, no place out of bounds and no rule: messages of any kind
 * with any values, at any moment. */
#include <stdlib.h>
#include <time.h>

#include "step_case.h"

enum { ROUNDS = 1500, EVENTS = 400, LINKS = 6 };

static unsigned seed;

static uint64_t below(uint64_t limit)
{
    return (uint64_t)rand_r(&seed) % limit;
}

/* Small, near what is there, or the largest. */
static uint64_t any_number(const struct repl *r)
{
    switch (below(6)) {
    case 0:
        return UINT64_MAX - below(3);
    case 1:
        return r->last + below(3) - 1;
    case 2:
        return r->committed + below(3) - 1;
    case 3:
        return r->epoch + below(3) - 1;
    case 4:
        return (uint64_t)1 << below(64);
    default:
        return below(12);
    }
}

static struct peer_point any_point(const struct repl *r)
{
    struct peer_point p = point_of(below(3), any_number(r));
    if (below(3) == 0)
        p = (struct peer_point){any_number(r), any_number(r), any_number(r)};
    return p;
}

static struct peer_server any_server(void)
{
    struct peer_server s =
        server_of((const char *[]){"a", "b", "c", "p"}[below(4)], (unsigned char)below(3));
    if (below(10) == 0)
        memset(s.id, 0, sizeof s.id);
    return s;
}

static void any_hello(const struct repl *r, struct peer_hello *h)
{
    if (below(3) != 0)
        memcpy(h->cluster, case_cluster, PEER_ID_BYTES);
    h->group = below(20) == 0;
    h->generation = (uint32_t)(below(200) == 0 ? any_number(r) : 1);
    h->server = any_server();
    h->life = below(3);
    h->promised_epoch = below(3) == 0 ? any_number(r) : 0;
    h->promised_life = any_number(r);
    h->points_count = (unsigned)(below(8) == 0 ? any_number(r) : 1 + below(4));
    for (unsigned i = 0; i < PEER_POINTS_MAX; i++)
        h->points[i] = any_point(r);
    if (below(2) == 0)
        h->points[0] = (struct peer_point){0};
}

static void any_message(const struct repl *r, struct peer_message *m)
{
    memset(m, 0, sizeof *m);
    m->kind = (enum peer_kind)below(10);
    m->epoch = below(3) == 0 ? any_number(r) : r->epoch;
    const struct repl_member *member = &r->members[1 + below(3)];
    m->session = below(4) == 0 ? any_number(r) : r->o.primary ? member->session : r->session;
    if (m->kind == PEER_HELLO) {
        m->session = member->session + below(4);
        any_hello(r, &m->hello);
    } else if (m->kind == PEER_WELCOME) {
        memcpy(m->welcome.cluster, case_cluster, below(8) == 0 ? 0 : PEER_ID_BYTES);
        m->welcome.generation = (uint32_t)below(4);
        m->welcome.server = any_server();
        m->welcome.life = below(3);
        m->welcome.match = any_point(r);
        m->welcome.commit = any_number(r);
        m->epoch = r->hard.promised_epoch + below(3) - 1;
    } else if (m->kind == PEER_REFUSE) {
        m->refuse.code = (enum peer_refusal)below(REFUSE_COUNT);
        memset(m->refuse.sentence, 'x', sizeof m->refuse.sentence - 1);
    } else if (m->kind == PEER_UPDATE) {
        m->update.first = below(4) == 0 ? any_number(r) : r->last + 1;
        m->update.last = below(4) == 0 ? any_number(r) : r->last + 1 + below(3);
        m->update.commit = any_number(r);
        m->update.entries = span("1234", 4);
    } else if (m->kind == PEER_ACK) {
        m->ack.durable = any_number(r);
        m->ack.applied = below(2) == 0 ? 0 : any_number(r);
        m->ack.beat = below(2);
    } else if (m->kind == PEER_COMMIT) {
        m->commit.commit = any_number(r);
        m->commit.beat = below(2);
    }
}

/* What the driver owes, and what must hold after every event. */
struct duties {
    bool save, cut;
    unsigned look_ups[8], look_ups_count;
    uint64_t indexes[8];
    uint64_t committed, promised;
};

static void check(struct step_case *c, struct duties *d)
{
    const struct repl *r = &c->r;
    assert_true(c->out.count <= REPL_ACTIONS_MAX);
    for (unsigned i = 0; i < c->out.count; i++) {
        const struct repl_action *a = &c->out.list[i];
        if (a->kind == REPL_SAVE) {
            assert_false(d->save);
            d->save = true;
        } else if (a->kind == REPL_CUT) {
            assert_true(!d->cut && a->index >= r->committed);
            d->cut = true;
        } else if (a->kind == REPL_LOOK_UP && d->look_ups_count < 8) {
            assert_true(a->index <= r->last);
            d->look_ups[d->look_ups_count] = a->link;
            d->indexes[d->look_ups_count++] = a->index;
        } else if (a->kind == REPL_SEND || a->kind == REPL_CLOSE || a->kind == REPL_STREAM)
            assert_true(a->link != 0);
    }
    assert_true(r->committed <= r->durable && r->durable <= r->last);
    assert_true(r->committed >= d->committed && r->hard.promised_epoch >= d->promised);
    d->committed = r->committed;
    d->promised = r->hard.promised_epoch;
    assert_int_equal(r->saving, d->save);
    if (r->o.primary && r->hard.promised_epoch != r->epoch)
        assert_true(r->fenced && r->hard.promised_epoch == r->fence_epoch);
}

static struct repl_event an_own_event(struct step_case *c, struct duties *d, uint64_t *ms)
{
    struct repl *r = &c->r;
    switch (below(8)) {
    case 0:
        *ms += below(300);
        return at_ms(*ms);
    case 1:
        if (!d->save)
            return at_ms(*ms);
        d->save = false;
        return plain(REPL_SAVED);
    case 2:
        if (!d->cut)
            return down((unsigned)below(LINKS));
        d->cut = false;
        return plain(REPL_CUT_DONE);
    case 3:
        return plain(REPL_PROPOSE);
    case 4:
        return below(2) == 0 ? drop("a") : plain(REPL_FORGOT);
    case 5:
        return link_up(c, (unsigned)(1 + below(LINKS)));
    case 6:
        if (r->o.primary && d->look_ups_count > 0) {
            d->look_ups_count--;
            return (struct repl_event){.kind = REPL_LOOKED_UP,
                                       .link = d->look_ups[d->look_ups_count],
                                       .rc = below(10) == 0 ? ERR_IO : 0,
                                       .point = point_of(1, d->indexes[d->look_ups_count])};
        }
        return down((unsigned)below(LINKS));
    default:
        return durable(r->last);
    }
}

static void play(struct step_case *c)
{
    struct duties d = {.save = c->r.saving};
    uint64_t ms = 1000;
    for (unsigned i = 0; i < EVENTS; i++) {
        struct repl_event e;
        if (below(2) == 0) {
            e = an_own_event(c, &d, &ms);
        } else {
            any_message(&c->r, &c->message);
            e = (struct repl_event){.kind = REPL_MESSAGE,
                                    .link = (unsigned)(1 + below(LINKS)),
                                    .message = &c->message,
                                    .point = any_point(&c->r)};
            if (below(2) == 0 && c->message.kind == PEER_WELCOME)
                e.point = c->message.welcome.match;
        }
        int rc = repl_step(&c->r, &e, &c->out);
        assert_true(rc == 0 || e.kind != REPL_MESSAGE);
        assert_true(rc == 0 || c->out.count == 0);
        check(c, &d);
        /* Who says so much in one go holds the whole range of entries: begin again. */
        if (c->r.last > (uint64_t)1 << 62)
            return;
    }
}

static void nothing_that_a_backup_sends_breaks_the_primary(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct step_case c;
        make_primary(&c, (uint32_t)below(3), below(2) == 0 ? "" : "pab");
        c.r.o.ack_all = below(4) != 0;
        after(&c, start(3, 8, below(9)));
        play(&c);
    }
}

static void nothing_that_a_primary_sends_breaks_a_backup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct step_case c;
        make_backup(&c, 8, below(9));
        play(&c);
    }
}

int main(void)
{
    const char *given = getenv("NOTED_TEST_SEED");
    seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("NOTED_TEST_SEED=%u\n", seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_a_backup_sends_breaks_the_primary),
        cmocka_unit_test(nothing_that_a_primary_sends_breaks_a_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
