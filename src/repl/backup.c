/* The step of a backup: it greets its primary, gives up what the primary does not have, then
 * appends, acknowledges and applies what it is told. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "repl/inside.h"

/* At most one is on its way; what changed meanwhile is written after it. */
static void save(struct repl *r, struct repl_actions *out)
{
    r->save_due = r->saving;
    if (!r->saving)
        repl_add(out, REPL_SAVE);
    r->saving = true;
}

/* S10: only what is the primary's in this session, durable here, and committed there. */
static void commit(struct repl *r, struct repl_actions *out)
{
    uint64_t index = r->commit_known;
    if (r->durable < index)
        index = r->durable;
    if (RULE(S10) && r->matched < index)
        index = r->matched;
    if (index > r->committed)
        repl_commit(r, index, out);
    if (!r->hard.complete && r->stage == REPL_FOLLOWING && r->committed >= r->goal) {
        r->hard.complete = true;
        save(r, out);
    }
}

/* S8: what matched and is durable, never "the end of my log". */
static void acknowledge(const struct repl *r, bool beat, struct repl_actions *out)
{
    struct peer_message *m = repl_send(out, r->link, PEER_ACK, r->epoch, r->session);
    m->ack.durable = !RULE(S8) || r->durable < r->matched ? r->durable : r->matched;
    m->ack.beat = beat;
}

static void end_session(struct repl *r)
{
    if (r->stage != REPL_ALARMED)
        r->stage = REPL_ALONE;
    r->link = 0;
    r->in_sync = r->cut_due = false;
    r->matched = 0;
    r->commit_known = 0;
}

static void leave(struct repl *r, struct repl_actions *out, const char *why)
{
    repl_close(out, r->link, "%s", why);
    end_session(r);
}

static int start(struct repl *r, const struct repl_event *e)
{
    if (e->committed > e->index || r->last != 0)
        return ERR_BAD_REQUEST;
    r->last = r->durable = e->index;
    r->committed = e->committed;
    return 0;
}

static int link_up(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    if (r->o.suspect || r->stage != REPL_ALONE || r->durable != r->last || r->cutting ||
        e->points_count == 0 || e->points_count > PEER_POINTS_MAX)
        return ERR_BAD_REQUEST;
    r->stage = REPL_GREETED;
    r->link = e->link;
    r->heard_us = r->now_us;
    /* S18: the session is named by who asks for it, so that an answer to an older hello is known as
     * such. */
    r->session = r->o.life + ++r->sessions;
    struct peer_hello *h = &repl_send(out, e->link, PEER_HELLO, 0, r->session)->hello;
    memcpy(h->cluster, r->hard.cluster, PEER_ID_BYTES);
    h->group = r->o.group;
    h->generation = repl_generation(r);
    h->server = r->o.self;
    memcpy(h->address, r->o.address, sizeof h->address);
    h->life = r->o.life;
    h->promised_epoch = r->hard.promised_epoch;
    h->promised_life = r->hard.promised_life;
    h->points_count = e->points_count;
    memcpy(h->points, e->points, e->points_count * sizeof e->points[0]);
    return 0;
}

/* S9: what is committed here is never cut: the files are kept as they are for people to look at. */
static void alarm(struct repl *r, struct repl_actions *out, uint64_t index)
{
    repl_refuse(r, out, r->link, REFUSE_MISMATCH,
                "%s has committed up to entry %" PRIu64 ", and its log differs at or before it",
                r->o.self.name, r->committed);
    end_session(r);
    r->stage = REPL_ALARMED;
    snprintf(repl_add(out, REPL_ALARM)->sentence, DETAIL_BYTES_MAX,
             "the primary's log differs from this one at entry %" PRIu64 ", and %" PRIu64
             " are committed here: nothing was changed; compare the two data directories",
             index, r->committed);
}

/* After what had to be made durable first. */
static void settle(struct repl *r, struct repl_actions *out)
{
    if (r->saving || r->cutting)
        return;
    if (r->cut_due) {
        r->cut_due = false;
        r->cutting = true;
        r->last = r->durable = r->matched;
        repl_add(out, REPL_CUT)->index = r->matched;
        return;
    }
    r->stage = REPL_FOLLOWING;
    acknowledge(r, false, out);
    commit(r, out);
}

static void welcomed(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    const struct peer_welcome *w = &e->message->welcome;
    uint64_t epoch = e->message->epoch;
    bool stranger = repl_no_id(r->hard.cluster);
    if (r->stage != REPL_GREETED || (RULE(S18) && e->message->session != r->session)) {
        leave(r, out, "it sent a welcome that was not asked for");
        return;
    }
    if (!stranger && !repl_same_id(r->hard.cluster, w->cluster)) {
        repl_refuse(r, out, r->link, REFUSE_CLUSTER, "%s belongs to another cluster",
                    r->o.self.name);
        end_session(r);
        return;
    }
    if (RULE(S1) && (epoch < r->hard.promised_epoch || w->generation < r->o.generation ||
                     (epoch == r->hard.promised_epoch && w->life != r->hard.promised_life))) {
        repl_refuse(r, out, r->link, REFUSE_EPOCH,
                    "%s has promised epoch %" PRIu64 ", this primary has %" PRIu64, r->o.self.name,
                    r->hard.promised_epoch, epoch);
        end_session(r);
        return;
    }
    if (w->match.index > r->last || repl_no_id(w->cluster) || epoch == 0) {
        leave(r, out, "its welcome cannot be right");
        return;
    }
    bool same = e->point.index == w->match.index && e->point.epoch == w->match.epoch &&
                e->point.chain == w->match.chain;
    if ((RULE(S9) && w->match.index < r->committed) || (RULE(S8) && !same)) {
        alarm(r, out, w->match.index);
        return;
    }
    r->epoch = epoch;
    r->primary = w->server;
    r->refusal_sentence[0] = '\0';
    r->matched = w->match.index;
    r->cut_due = w->match.index < r->last;
    r->commit_known = w->commit;
    r->goal = w->goal;
    r->stage = REPL_SETTLING;
    /* S1, over the link that this server opened to its own primary only. */
    if (epoch != r->hard.promised_epoch || stranger) {
        memcpy(r->hard.cluster, w->cluster, PEER_ID_BYTES);
        r->hard.promised_epoch = epoch;
        r->hard.promised_life = w->life;
        save(r, out);
    }
    commit(r, out);
    settle(r, out);
}

static void updated(struct repl *r, const struct peer_update *u, struct repl_actions *out)
{
    if (u->first != r->last + 1 || u->last < u->first || u->last - u->first >= u->entries.bytes) {
        leave(r, out, "it sent entries that do not follow");
        return;
    }
    struct repl_action *a = repl_add(out, REPL_ACCEPT);
    a->index = u->last;
    r->last = r->matched = u->last;
    if (u->commit > r->commit_known)
        r->commit_known = u->commit;
    r->in_sync = u->in_sync;
    commit(r, out);
}

/* What matched may be applied while promise and cut are not durable yet; nothing is acknowledged
 * then. */
static void told_commit(struct repl *r, const struct peer_commit *c, struct repl_actions *out)
{
    if (c->commit > r->commit_known)
        r->commit_known = c->commit;
    r->in_sync = c->in_sync;
    commit(r, out);
    if (c->beat && r->stage == REPL_FOLLOWING)
        acknowledge(r, true, out);
}

static void refused(struct repl *r, const struct peer_refuse *refuse, struct repl_actions *out)
{
    r->refusal = refuse->code;
    memcpy(r->refusal_sentence, refuse->sentence, sizeof r->refusal_sentence);
    leave(r, out, "it refuses");
}

static void message(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    const struct peer_message *m = e->message;
    if (m->kind == PEER_HELLO) {
        repl_refuse(r, out, e->link, REFUSE_NOT_PRIMARY, "%s is itself a backup", r->o.self.name);
        return;
    }
    if (e->link != r->link || r->stage == REPL_ALONE || r->stage == REPL_ALARMED)
        return;
    r->heard_us = r->now_us;
    bool of_session = m->epoch == r->epoch && m->session == r->session;
    if (m->kind == PEER_WELCOME)
        welcomed(r, e, out);
    else if (m->kind == PEER_REFUSE)
        refused(r, &m->refuse, out);
    else if (r->stage == REPL_GREETED || (RULE(S18) && !of_session))
        leave(r, out, "it sent what has no place here");
    else if (m->kind == PEER_UPDATE && r->stage == REPL_FOLLOWING)
        updated(r, &m->update, out);
    else if (m->kind == PEER_COMMIT)
        told_commit(r, &m->commit, out);
    else
        leave(r, out, "it sent what no primary sends");
}

/* A silent primary is called again; not so where this server itself stood still. */
static void passed(struct repl *r, uint64_t now_us, struct repl_actions *out)
{
    if (now_us < r->now_us)
        return;
    if (now_us - r->now_us > REPL_STALL_US)
        r->heard_us += now_us - r->now_us;
    r->now_us = now_us;
    if (r->link != 0 && now_us > r->heard_us + r->o.timeout_us)
        leave(r, out, "the primary is silent");
}

int backup_step(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    switch (e->kind) {
    case REPL_START:
        return start(r, e);
    case REPL_TIME:
        passed(r, e->now_us, out);
        return 0;
    case REPL_DURABLE:
        if (e->index > r->last)
            return ERR_BAD_REQUEST;
        r->durable = e->index > r->durable ? e->index : r->durable;
        if (r->stage == REPL_FOLLOWING) {
            acknowledge(r, false, out);
            commit(r, out);
        }
        return 0;
    case REPL_SAVED:
        r->saving = false;
        if (r->save_due)
            save(r, out);
        if (r->stage == REPL_SETTLING)
            settle(r, out);
        return 0;
    case REPL_CUT_DONE:
        r->cutting = false;
        if (r->stage == REPL_SETTLING)
            settle(r, out);
        return 0;
    case REPL_FORGOT:
        if (r->link != 0)
            return ERR_BAD_REQUEST;
        r->last = r->durable;
        return 0;
    case REPL_LINK_UP:
        return link_up(r, e, out);
    case REPL_LINK_DOWN:
        if (e->link == r->link && r->link != 0)
            end_session(r);
        return 0;
    case REPL_MESSAGE:
        message(r, e, out);
        return 0;
    case REPL_PROPOSE:
    case REPL_LOOKED_UP:
    case REPL_DROP:
        break;
    }
    return ERR_BAD_REQUEST;
}
