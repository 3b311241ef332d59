/* The verdict on a promotion by hand: what is known, what cannot be, and whether that is enough. */
#include "repl/promote.h"

#include <inttypes.h>
#include <string.h>

#include "repl/inside.h"

/* An epoch as people read it: generation, and start in it. */
#define EPOCH             "%" PRIu64 ".%" PRIu64
#define EPOCH_ARGS(epoch) (epoch) >> 32, (epoch)&UINT32_MAX

static void add_names(struct buf *to, const struct peer_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        buf_printf(to, "%s%s", i == 0 ? "" : ", ", set->list[i].name);
}

bool promote_fenced(const struct promote_server *s)
{
    return s->primary && s->generation > s->epoch >> 32;
}

/* --- The directory that is to be promoted --- */

static enum promote_reason judge_self(const struct promote_case *c, struct buf *why)
{
    const struct promote_dir *d = &c->self;
    bool starts_here = (uint32_t)d->own_epoch != 0;
    if (d->installing) {
        buf_printf(why,
                   "a copy is only half installed in %s's directory: start it with --primary "
                   "to finish that, or without, if it was restored from a backup\n",
                   d->server.name);
        return PROMOTE_HALF_INSTALLED;
    }
    if (repl_no_id(d->cluster) || (d->promised_epoch == 0 && !starts_here)) {
        buf_printf(why,
                   "%s has never followed a primary: it needs no promotion, and starts as the "
                   "primary of a new cluster without --primary\n",
                   d->server.name);
        return PROMOTE_NEVER_FOLLOWED;
    }
    if (d->own_epoch < d->promised_epoch)
        return PROMOTE_YES;
    if (starts_here) {
        buf_printf(why, "%s was the primary itself when it stopped: start it without --primary\n",
                   d->server.name);
        return PROMOTE_IS_PRIMARY;
    }
    buf_printf(why,
               "%s has been promoted already, to generation %" PRIu64
               ", and did not start since: start it without --primary\n",
               d->server.name, d->own_epoch >> 32);
    return PROMOTE_DONE;
}

/* --- The servers that were asked --- */

static bool is_ahead(const struct promote_server *s, const struct promote_dir *d)
{
    return s->last_epoch != d->last.epoch ? s->last_epoch > d->last.epoch : s->last > d->last.index;
}

static enum promote_reason judge_answer(const struct promote_case *c,
                                        const struct promote_server *s, struct buf *why)
{
    const struct promote_dir *d = &c->self;
    const char *name = s->server.name;
    if (!repl_same_id(s->cluster, d->cluster) && !repl_no_id(s->cluster)) {
        buf_printf(why, "%s at %s belongs to another cluster than %s\n", name, s->address,
                   d->server.name);
        return PROMOTE_OTHER_CLUSTER;
    }
    if (repl_same_id(s->server.id, d->server.id)) {
        buf_printf(why,
                   "%s at %s runs on a copy of this data directory: stop it; one of the two "
                   "only may go on\n",
                   name, s->address);
        return PROMOTE_RUNS_ELSEWHERE;
    }
    if (s->primary && !promote_fenced(s)) {
        buf_printf(why,
                   "%s at %s is a primary, and answers: it lives. Use it (start %s with "
                   "--primary %s), or stop it first\n",
                   name, s->address, d->server.name, s->address);
        return PROMOTE_PRIMARY_LIVES;
    }
    if (s->connected && !s->primary) {
        buf_printf(why,
                   "%s at %s is connected to its primary%s%s: that lives. Use it, or stop it "
                   "first\n",
                   name, s->address, s->follows[0] == '\0' ? "" : ", ", s->follows);
        return PROMOTE_PRIMARY_LIVES;
    }
    if (is_ahead(s, d)) {
        buf_printf(why,
                   "%s at %s has more: its log ends with entry %" PRIu64 " of epoch " EPOCH
                   ", this one's with entry %" PRIu64 " of epoch " EPOCH ". Promote that one\n",
                   name, s->address, s->last, EPOCH_ARGS(s->last_epoch), d->last.index,
                   EPOCH_ARGS(d->last.epoch));
        return PROMOTE_OTHER_IS_AHEAD;
    }
    return PROMOTE_YES;
}

static enum promote_reason judge_servers(const struct promote_case *c, struct buf *why)
{
    enum promote_reason reason = PROMOTE_YES;
    for (unsigned i = 0; i < c->count && reason == PROMOTE_YES; i++)
        if (c->servers[i].reach == PROMOTE_ANSWERED)
            reason = judge_answer(c, &c->servers[i], why);
    for (unsigned i = 0; i < c->count && reason == PROMOTE_YES && !c->accept_data_loss; i++) {
        if (c->servers[i].reach != PROMOTE_SILENT)
            continue;
        buf_printf(why,
                   "something listens at %s and gives no answer. If it is the old primary, it "
                   "lives (stopped by a debugger or SIGSTOP, or overloaded), and may go on "
                   "taking writes that would be lost: end that process, then promote\n",
                   c->servers[i].address);
        reason = PROMOTE_SILENT_SERVER;
    }
    return reason;
}

/* --- The old primary's directory --- */

/* The highest epoch that anybody here has promised. */
static uint64_t highest_promise(const struct promote_case *c)
{
    uint64_t highest = c->self.promised_epoch;
    for (unsigned i = 0; i < c->count; i++)
        if (c->servers[i].reach == PROMOTE_ANSWERED && c->servers[i].promised_epoch > highest)
            highest = c->servers[i].promised_epoch;
    return highest;
}

static bool is_damaged(const struct promote_dir *d)
{
    return d->damage[0] != '\0';
}

/* Whether it can be what the last primary left; `proven` where it shows that nothing is lost. */
static enum promote_reason judge_old(const struct promote_case *c, bool *proven, struct buf *why)
{
    const struct promote_dir *d = &c->self, *old = &c->old;
    const char *name = old->server.name;
    if (!repl_same_id(old->cluster, d->cluster)) {
        buf_printf(why, "the old primary's directory belongs to another cluster\n");
        return PROMOTE_OTHER_CLUSTER;
    }
    if (repl_same_id(old->server.id, d->server.id))
        buf_printf(why, "the old primary's directory is a copy of this one's\n");
    else if (old->installing || (uint32_t)old->own_epoch == 0 ||
             old->own_epoch < old->promised_epoch)
        buf_printf(why,
                   "the directory of %s is not that of the last primary: it has itself "
                   "followed, or heard of, another one (epoch " EPOCH ")\n",
                   name, EPOCH_ARGS(old->promised_epoch));
    else if (highest_promise(c) > old->own_epoch)
        buf_printf(why,
                   "the directory of %s is an older copy, or not the last primary's: it ends "
                   "in epoch " EPOCH ", and epoch " EPOCH " was followed since\n",
                   name, EPOCH_ARGS(old->own_epoch), EPOCH_ARGS(highest_promise(c)));
    /* One entry at a time is under way, and may have been shipped before it was durable there. */
    else if (!is_damaged(old) && d->last.index > old->last.index + 1)
        buf_printf(why,
                   "the directory of %s is an older copy: its log ends with entry %" PRIu64
                   ", and %s got %" PRIu64 " from it\n",
                   name, old->last.index, d->server.name, d->last.index);
    else if (peer_set_has(&old->own, d->server.id) && d->last.index < old->committed) {
        buf_printf(why,
                   "%s was in sync when the old primary ended, and lacks entries that were "
                   "committed (it has %" PRIu64 " of %" PRIu64
                   "): its directory is an older copy. Promote another one\n",
                   d->server.name, d->last.index, old->committed);
        return PROMOTE_ROLLED_BACK;
    } else if (c->chain_self != c->chain_old) {
        buf_printf(why,
                   "the logs of %s and %s differ at or before entry %" PRIu64
                   ": one of them is damaged\n",
                   d->server.name, name, c->compared);
        return PROMOTE_LOGS_DIFFER;
    } else {
        *proven = peer_set_has(&old->own, d->server.id) && (!is_damaged(old) || old->own_is_last);
        return PROMOTE_YES;
    }
    return PROMOTE_OLD_WRONG;
}

/* --- What is known, and what cannot be --- */

/* A log is not needed for the proof, but for what would show that it is none. */
static void tell_damage(const struct promote_case *c, struct promote_verdict *v)
{
    const struct promote_dir *d = &c->self, *old = &c->old;
    const char *name = old->server.name;
    if (!is_damaged(old))
        return;
    buf_printf(&v->known,
               "the log of %s is damaged (%s). The set does not stand in it, and is on the disk "
               "before anything is acknowledged by it\n",
               name, old->damage);
    if (!old->own_is_last)
        buf_printf(&v->unknown,
                   "whether that is the last set of %s: one of identity.0 and identity.1 in its "
                   "directory is damaged, too, or gone, and may have been the newer; the log would "
                   "tell. A whole copy of the directory, taken after %s had stopped, would prove "
                   "it\n",
                   name, name);
    if (c->compared != 0)
        buf_printf(&v->unknown,
                   "whether the directory of %s or of %s is an older copy: their logs agree at "
                   "entry %" PRIu64 ", and what is left of the one goes no further\n",
                   d->server.name, name, c->compared);
    else
        buf_printf(
            &v->unknown,
            "whether the directory of %s or of %s is an older copy, or of another log: there "
            "is nothing left to compare\n",
            d->server.name, name);
}

static void tell_old(const struct promote_case *c, struct promote_verdict *v)
{
    const struct promote_dir *d = &c->self, *old = &c->old;
    const char *name = old->server.name;
    tell_damage(c, v);
    if (peer_set_has(&old->own, d->server.id) && !v->proven) {
        buf_printf(&v->known, "%s left, so far as can be told, the in-sync set {", name);
        add_names(&v->known, &old->own);
        buf_printf(&v->known, "}, and %s is in it\n", d->server.name);
        return;
    }
    if (v->proven) {
        buf_printf(&v->known, "%s left the in-sync set {", name);
        add_names(&v->known, &old->own);
        buf_printf(&v->known,
                   "}, and %s is in it. A primary acknowledges nothing that a server of the set on "
                   "its disk has not made durable, so every acknowledged write is here\n",
                   d->server.name);
        buf_printf(&v->unknown,
                   "whether the old primary's directory is as it left it: an older copy of it "
                   "would prove nothing\n");
        return;
    }
    buf_printf(&v->known, "%s left the in-sync set {", name);
    add_names(&v->known, &old->own);
    buf_printf(&v->known,
               "}, without %s: it had gone on without this server, and has committed "
               "entry %" PRIu64 " at least; here the log ends with %" PRIu64 "\n",
               d->server.name, old->committed, d->last.index);
    buf_printf(&v->unknown, "which acknowledged writes this server lacks: promote one of that set "
                            "instead, or start a server on the old primary's directory\n");
}

static bool answered(const struct promote_case *c, const struct peer_server *server)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->servers[i].reach == PROMOTE_ANSWERED &&
            repl_same_id(c->servers[i].server.id, server->id))
            return true;
    return false;
}

/* Without the old primary's directory: what this server has heard of the set. */
static void tell_set(const struct promote_case *c, struct promote_verdict *v)
{
    const struct promote_dir *d = &c->self;
    buf_printf(&v->unknown,
               "the in-sync set that the old primary had at its end: after it had "
               "dropped %s it may have acknowledged writes that only it, and who was "
               "in sync then, have\n",
               d->server.name);
    if (d->set.count == 0)
        return;
    buf_printf(&v->known, "the last in-sync set that %s heard of: ", d->server.name);
    add_names(&v->known, &d->set);
    buf_printf(&v->known, "\n");
    if (!peer_set_has(&d->set, d->server.id))
        buf_printf(&v->unknown,
                   "what was acknowledged while %s was not in sync, as it was not in "
                   "the last set that it heard of\n",
                   d->server.name);
    for (unsigned i = 0; i < d->set.count; i++) {
        const struct peer_server *s = &d->set.list[i];
        if (!repl_same_id(s->id, d->server.id) && !answered(c, s))
            buf_printf(&v->unknown, "what %s has, which was in that set and does not answer\n",
                       s->name);
    }
}

static void tell_rest(const struct promote_case *c, struct promote_verdict *v)
{
    const struct promote_dir *d = &c->self;
    if (!d->complete)
        buf_printf(&v->unknown,
                   "all that was written before %s came: its first copy was never "
                   "complete\n",
                   d->server.name);
    for (unsigned i = 0; i < c->count; i++) {
        const struct promote_server *s = &c->servers[i];
        if (s->reach == PROMOTE_SILENT)
            buf_printf(&v->unknown,
                       "whether the old primary lives at %s: if it does, it may "
                       "acknowledge writes, which will be lost, until it hears of "
                       "this promotion\n",
                       s->address);
        else if (s->reach == PROMOTE_AWAY)
            buf_printf(&v->unknown, "what runs at %s: it cannot be reached\n", s->address);
        else if (s->reach == PROMOTE_ANSWERED && s->promised_epoch > d->promised_epoch)
            buf_printf(&v->unknown,
                       "what happened in epoch " EPOCH ", which %s has heard of, and "
                       "%s has not\n",
                       EPOCH_ARGS(s->promised_epoch), s->server.name, d->server.name);
    }
}

/* --- The verdict --- */

static uint32_t higher(uint32_t a, uint64_t epoch)
{
    uint32_t b = (uint32_t)(epoch >> 32);
    return a > b ? a : b;
}

static uint32_t highest_generation(const struct promote_case *c)
{
    uint32_t g = higher(higher(0, c->self.own_epoch), highest_promise(c));
    if (c->has_old)
        g = higher(higher(g, c->old.own_epoch), c->old.promised_epoch);
    for (unsigned i = 0; i < c->count; i++)
        if (c->servers[i].reach == PROMOTE_ANSWERED)
            g = higher(g, (uint64_t)c->servers[i].generation << 32);
    return g;
}

void promote_judge(const struct promote_case *c, struct promote_verdict *v)
{
    *v = (struct promote_verdict){0};
    uint32_t highest = highest_generation(c);
    v->reason = judge_self(c, &v->refusal);
    if (v->reason == PROMOTE_YES)
        v->reason = judge_servers(c, &v->refusal);
    if (v->reason == PROMOTE_YES && c->has_old)
        v->reason = judge_old(c, &v->proven, &v->refusal);
    if (v->reason != PROMOTE_YES)
        return;
    if (highest == UINT32_MAX) {
        buf_printf(&v->refusal,
                   "there is no higher generation than %" PRIu32
                   ", which a server claims to have seen\n",
                   highest);
        v->reason = PROMOTE_LAST_GENERATION;
        return;
    }
    v->generation = highest + 1;
    if (c->has_old)
        tell_old(c, v);
    else
        tell_set(c, v);
    tell_rest(c, v);
    if (v->proven || c->accept_data_loss || !RULE(PROOF))
        return;
    buf_printf(&v->refusal, "nothing proves that every acknowledged write is here. %s\n",
               c->has_old ? "With --accept-data-loss it becomes the primary all the same"
                          : "The old primary's data directory would: give it with --old-state. "
                            "Without it, --accept-data-loss says that losing what cannot be known "
                            "is accepted");
    v->reason = PROMOTE_DATA_LOSS;
}

void promote_forget(struct promote_verdict *v)
{
    buf_finish(&v->known);
    buf_finish(&v->unknown);
    buf_finish(&v->refusal);
}
