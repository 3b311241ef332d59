/* The operator of a run with promotions: the primary is lost, for a while or for good, somebody
 * else is promoted, rightly or not, and everybody is pointed at the new one. Draws from a stream of
 * its own, so that other runs stay as they are.
 *
 * What it does not do, as the documents say: promote who lost what it had (an old copy of its
 * directory was put back) as if it were proven; promote with the directory of a primary that is not
 * the last one; give two promotions one generation, where nobody has heard of the first; go back to
 * what a promotion gave up. */
#include <string.h>

#include "sim.h"

enum { STEP_US = 50 * MS, TRIES = 14, SHARE_PERCENT = 25 };

static uint64_t in_us(struct world *w, uint64_t low_ms, uint64_t high_ms)
{
    return w->now_us + chance_between(&w->affair.chance, low_ms, high_ms) * MS;
}

static bool percent(struct world *w, unsigned percent)
{
    return chance_percent(&w->affair.chance, percent);
}

void operator_plan(struct world *w)
{
    struct affair *a = &w->affair;
    a->chance.state = w->seed ^ 0x70726f6d6f746564;
    w->plan.promotes = percent(w, SHARE_PERCENT) && !w->plan.twin && !w->plan.primary_lost;
    if (!w->plan.promotes)
        return;
    a->next_us = in_us(w, 500, 3000);
    later(w, STEP_US, DO_OPERATOR, NULL, 0, 0);
}

/* --- The primary is lost --- */

static void cut_off(struct world *w, struct server *s, uint64_t until_us)
{
    s->blocked_us = until_us;
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        if (wire->number != 0 &&
            (wire->server[CALLER] == s->number || wire->server[CALLED] == s->number))
            wire->cut[CALLER] = wire->cut[CALLED] = true;
    }
}

static void lose(struct world *w, struct server *p)
{
    struct affair *a = &w->affair;
    uint64_t how = chance_below(&a->chance, 100);
    a->lost = true;
    a->disk_lost = how >= 68 && how < 78;
    a->tries = 0;
    a->back_us = in_us(w, 500, 8000);
    a->next_us = in_us(w, 50, 1500);
    p->crashes = 0;
    tell(w, "%s is lost%s", p->name, a->disk_lost ? ", and its disk" : "");
    if (how < 78) {
        server_stop(w, p, percent(w, 50));
        p->held = true;
    } else if (how < 91) {
        cut_off(w, p, a->back_us);
    } else {
        p->stopped_us = a->back_us;
    }
}

static void release(struct world *w, struct server *s, uint64_t most_ms)
{
    s->held = false;
    later(w, chance_between(&w->affair.chance, 1, most_ms) * MS, DO_START, s, 0, 0);
}

/* It is back before anybody else was made primary. */
static void over(struct world *w, struct server *p)
{
    w->affair.lost = false;
    w->affair.next_us = in_us(w, 300, 3000);
    if (p->held)
        release(w, p, 20);
}

/* --- Whom to promote --- */

static bool further(const struct server *a, const struct server *b)
{
    struct peer_point x = drive_point(&a->disk, a->disk.count);
    struct peer_point y = drive_point(&b->disk, b->disk.count);
    return x.epoch != y.epoch ? x.epoch > y.epoch : x.index > y.index;
}

/* The tool refuses it before it comes to a verdict; or see above. */
static bool out_of_question(const struct world *w, const struct server *s)
{
    return s->number == w->primary || s->disk.suspect || s->disk.rotten || s->astray ||
           s->blocked_us > w->now_us;
}

/* Anybody, or whom a look at all would choose. */
static struct server *candidate(struct world *w, const struct server *old, bool anybody)
{
    struct server *best = NULL;
    unsigned first = (unsigned)chance_below(&w->affair.chance, w->servers_count);
    for (unsigned i = 0; i < w->servers_count; i++) {
        struct server *s = &w->servers[(first + i) % w->servers_count];
        if (out_of_question(w, s) ||
            (!anybody && (s->disk.damaged || s->disk.hard.promised_epoch == 0)) ||
            (old != NULL && !anybody && !peer_set_has(&old->disk.hard.set, s->disk.id)))
            continue;
        if (best == NULL || (!anybody && further(s, best)))
            best = s;
    }
    return best;
}

/* A directory that proves nothing, and shows it: its server has itself followed somebody, or never
 * led. */
static const struct server *wrong_directory(struct world *w, const struct server *self)
{
    for (unsigned i = 0; i < w->servers_count; i++) {
        const struct server *s = &w->servers[i];
        if (s != self && !s->up &&
            (s->disk.starts == 0 || drive_own_epoch(&s->disk) < s->disk.hard.promised_epoch))
            return s;
    }
    return NULL;
}

/* --- The promotion --- */

/* What no verdict may allow, whatever is lost by it. */
static const char *forbidden(const struct world *w, const struct promotion *p)
{
    const struct server *s = p->self;
    if (p->old == NULL && !p->accept_data_loss)
        return "without proof";
    if (p->old != NULL &&
        (p->old->disk.starts == 0 || drive_own_epoch(&p->old->disk) < p->promised))
        return "with a directory that is not the last primary's";
    if (s->disk.starts != 0 && drive_own_epoch(&s->disk) >= s->disk.hard.promised_epoch)
        return "though it is a primary";
    for (unsigned i = 0; i < w->servers_count; i++) {
        const struct server *other = &w->servers[i];
        if ((p->answered >> i & 1) == 0 || other == s)
            continue;
        if (other->r.o.primary ? !other->r.fenced : other->r.stage == REPL_FOLLOWING)
            return "though the old primary lives";
        if (further(other, s))
            return "though another one has more";
    }
    return NULL;
}

/* From here on everybody is pointed at the new one, sooner or later. */
static void promoted(struct world *w, struct server *s, struct server *old)
{
    struct affair *a = &w->affair;
    a->lost = a->halfway = false;
    a->next_us = in_us(w, 300, 3000);
    s->crashes = percent(w, 25) ? (unsigned)chance_between(&a->chance, 1, 4) : 0;
    release(w, s, 400);
    for (unsigned i = 0; i < w->servers_count; i++)
        a->point_us[i] = in_us(w, 1, 2500);
    if (a->disk_lost && !old->up) {
        server_wipe(w, old);
        return;
    }
    if (old->up || percent(w, 50))
        a->point_us[old->number] = in_us(w, 500, 5000);
    if (old->held && a->point_us[old->number] > w->now_us + 2500 * MS) /* as the primary it was */
        release(w, old, 2000);
}

static void refused(struct world *w, const struct promotion *p, bool was_up)
{
    tell(w, "%s is not promoted: %s", p->self->name, p->why);
    w->counts.refused++;
    p->self->held = false;
    if (was_up)
        server_start(w, p->self);
    w->affair.next_us = in_us(w, 50, 700);
}

/* The tool runs to its end, or is killed before it has written or behind that. */
static void run_tool(struct world *w, struct promotion *p, struct server *last, bool was_up)
{
    struct affair *a = &w->affair;
    promote_ask(w, p);
    const char *why = p->reason == PROMOTE_YES ? forbidden(w, p) : NULL;
    if (p->reason == PROMOTE_YES && p->generation <= w->truth.line.generation)
        p->reason = PROMOTE_LAST_GENERATION; /* it knows better, and waits for who has heard */
    if (p->reason != PROMOTE_YES) {
        refused(w, p, was_up);
        return;
    }
    if (percent(w, 10)) {
        tell(w, "the promotion of %s is killed before it has written", p->self->name);
        a->next_us = in_us(w, 20, 300);
        p->self->held = false;
        if (was_up)
            server_start(w, p->self);
        return;
    }
    promote_do(w, p);
    check_all(w);
    if (why != NULL && w->o.strict)
        complain(w, "promotion: %s is promoted %s", p->self->name, why);
    a->halfway = percent(w, 10);
    if (a->halfway)
        tell(w, "the promotion of %s is killed once it has written", p->self->name);
    a->next_us = in_us(w, 20, 300);
    a->before = last->number;
    if (!a->halfway)
        promoted(w, p->self, last);
}

static void try(struct world *w)
{
    struct affair *a = &w->affair;
    struct server *last = &w->servers[w->primary];
    bool proof = !last->up && !a->disk_lost && percent(w, 85);
    bool anybody = percent(w, 25);
    struct promotion p = {.old = proof ? last : NULL};
    p.self = candidate(w, p.old, anybody);
    if (p.self == NULL)
        p.self = candidate(w, NULL, false);
    a->tries++;
    a->next_us = in_us(w, 50, 700);
    if (p.self == NULL)
        return;
    p.accept_data_loss = percent(w, proof ? 4 : 20);
    if (percent(w, 8))
        p.old = wrong_directory(w, p.self);
    /* What it has lost itself no directory shows for certain. */
    if (p.self->disk.damaged && p.old != NULL && p.self->disk.count >= p.old->disk.commit)
        p.accept_data_loss = true;
    bool was_up = p.self->up;
    server_stop(w, p.self, false);
    p.self->held = true;
    run_tool(w, &p, last, was_up);
}

/* The tool was killed once it had written: run again it says that all is done. */
static void go_on(struct world *w)
{
    struct promotion p = {.self = &w->servers[w->primary], .accept_data_loss = true};
    promote_ask(w, &p);
    if (p.reason != PROMOTE_DONE && w->o.strict)
        complain(w, "promotion: %s was promoted, and it says: %s", p.self->name, p.why);
    promoted(w, p.self, &w->servers[w->affair.before]);
}

/* --- What people do meanwhile --- */

static void point(struct world *w, struct server *s)
{
    bool cut = s->up && s->blocked_us > w->now_us;
    if (s->number == w->primary || s->follows == w->primary || w->affair.halfway || cut ||
        w->now_us < w->affair.point_us[s->number])
        return;
    tell(w, "%s is pointed at %s", s->name, w->servers[w->primary].name);
    bool was_up = s->up, held = s->held;
    server_stop(w, s, false);
    s->follows = w->primary;
    s->held = false;
    if (was_up || held)
        server_start(w, s);
    else
        later(w, 200 * MS, DO_START, s, 0, 0);
}

/* What was given up is nobody's: such a server is refused, and gets an empty disk. */
static void mend(struct world *w, struct server *s)
{
    bool refused = s->r.refusal_sentence[0] != '\0' &&
                   (s->r.refusal == REFUSE_MISMATCH || s->r.refusal == REFUSE_ROLLED_BACK);
    if (!s->up || !s->astray || server_leads(s) || s->follows != w->primary ||
        (!refused && !s->alarmed))
        return;
    server_stop(w, s, false);
    server_wipe(w, s);
    later(w, 100 * MS, DO_START, s, 0, 0);
}

void operator_step(struct world *w)
{
    struct affair *a = &w->affair;
    struct server *p = &w->servers[w->primary];
    later(w, STEP_US, DO_OPERATOR, NULL, 0, 0);
    for (unsigned i = 0; i < w->servers_count; i++) {
        point(w, &w->servers[i]);
        mend(w, &w->servers[i]);
    }
    if (w->now_us < a->next_us)
        return;
    bool back = p->up ? p->blocked_us <= w->now_us && p->stopped_us <= w->now_us
                      : !a->disk_lost && w->now_us >= a->back_us;
    if (a->halfway)
        go_on(w);
    else if (!a->lost && !w->healing && p->up)
        lose(w, p);
    else if (a->lost && (a->tries >= TRIES || (back && percent(w, 70))))
        over(w, p);
    else if (a->lost)
        try(w);
    else
        a->next_us = in_us(w, 100, 500);
}

/* The primary that there is comes back, and everybody is to be pointed at it. */
void operator_heal(struct world *w)
{
    struct affair *a = &w->affair;
    if (!w->plan.promotes)
        return;
    for (unsigned i = 0; i < w->servers_count; i++) {
        struct server *s = &w->servers[i];
        s->held = false;
        if (!s->up)
            s->follows = w->primary;
        a->point_us[i] = w->now_us;
    }
    a->lost = a->halfway = false;
}
