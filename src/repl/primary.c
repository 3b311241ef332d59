/* The step of a primary: entries, commits, and the time that its members take. Who they are, and
 * what becomes of them, is members.c's. */
#include <stdio.h>

#include "base/err.h"
#include "repl/inside.h"

static void append(struct repl *r, enum repl_entry entry, struct repl_actions *out)
{
    struct repl_action *a = repl_add(out, REPL_APPEND);
    a->entry = entry;
    a->epoch = r->epoch;
    a->index = ++r->last;
    a->set.count = 0;
    if (entry != REPL_ENTRY_WRITES)
        for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++)
            if (r->members[i].in_set)
                a->set.list[a->set.count++] = r->members[i].server;
    /* What is outstanding from here on has its time from here on. */
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        if (r->members[i].matched && r->members[i].durable + 1 == r->last)
            r->members[i].progress_us = r->now_us;
}

/* S2: a new epoch for each life, higher than all before. S7: the recovered log is the truth; the
 * epoch's first entry goes behind it, and writes are admitted once that is committed. */
static int start(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    if (r->epoch != 0 || e->epoch == 0 || (RULE(S2) && e->epoch <= r->hard.promised_epoch) ||
        e->committed > e->index)
        return ERR_BAD_REQUEST;
    r->epoch = r->hard.promised_epoch = e->epoch;
    r->hard.promised_life = r->o.life;
    r->last = r->durable = e->index;
    r->committed = e->committed;
    r->epoch_start = e->index + 1;
    members_start(r);
    append(r, REPL_ENTRY_EPOCH_START, out);
    r->admitting = !RULE(S7);
    members_consider(r, out);
    return 0;
}

/* S4: also where the primary is to commit alone: until the set without the others is durable. */
bool repl_required(const struct repl *r, const struct repl_member *m)
{
    return m == &r->members[0] || m->in_set || (RULE(S4) && m->joining);
}

/* S23: what clients have asked for in this life, and is then on too few disks because somebody was
 * dropped, waits until another server has joined. */
static uint64_t with_enough_copies(const struct repl *r, uint64_t index)
{
    unsigned copies = 0;
    for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++)
        copies += r->members[i].in_set;
    bool enough = !r->o.ack_all || copies >= r->o.min_copies;
    return RULE(S23) && !enough && index > r->epoch_start ? r->epoch_start : index;
}

/* S3: what every member of the required set has durable, is committed. */
static void commit(struct repl *r, struct repl_actions *out)
{
    uint64_t lowest = r->durable;
    for (unsigned i = 1; RULE(S3) && i < REPL_MEMBERS_MAX; i++)
        if (repl_required(r, &r->members[i]) && r->members[i].durable < lowest)
            lowest = r->members[i].durable;
    lowest = with_enough_copies(r, lowest);
    if (lowest > r->committed) {
        repl_commit(r, lowest, out);
        r->admitting = r->admitting || r->committed >= r->epoch_start;
        for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
            struct repl_member *m = &r->members[i];
            uint64_t has = m->durable < lowest ? m->durable : lowest;
            if (m->matched && has > m->acknowledged)
                m->acknowledged = has;
            if (m->matched && m->behind_since_us == 0)
                m->behind_since_us = r->now_us + (r->now_us == 0);
        }
    }
    if (r->config_due && r->admitting && !repl_busy(r)) {
        r->config_due = false;
        append(r, REPL_ENTRY_CONFIG, out);
    }
}

unsigned repl_copies(const struct repl *r, uint64_t index)
{
    unsigned copies = r->durable >= index;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        copies += r->members[i].matched && r->members[i].durable >= index;
    return copies;
}

/* S22: one without space is not waited for unless it is in the set, which it then leaves as any
 * that makes no progress; it is not let in again before it has space. */
static void told_space(const struct repl *r, struct repl_member *m, bool full,
                       struct repl_actions *out)
{
    if (full != m->full)
        snprintf(repl_add(out, REPL_SAY)->sentence, DETAIL_BYTES_MAX,
                 full ? "%s has no disk space: it acknowledges nothing until there is"
                      : "%s has disk space again",
                 m->server.name);
    if (!full && m->full)
        m->progress_us = r->now_us; /* from here on it can make some */
    m->full = full;
    if (full && !m->in_set) {
        m->caught_up = false;
        m->joining = m->joining && m->saving;
    }
}

/* S18: of this epoch and session, or it does not count. */
static void acknowledged(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    const struct peer_message *message = e->message;
    struct repl_member *m = repl_member_of(r, e->link);
    if (m == NULL || !m->matched)
        return;
    if (RULE(S18) && (message->epoch != r->epoch || message->session != m->session))
        return;
    /* It may have applied more than this life can prove committed. */
    if (message->ack.durable > r->last || message->ack.applied > r->last) {
        members_lose(r, m, "it acknowledged what it was never sent", out);
        return;
    }
    m->heard_us = r->now_us;
    m->acked = true;
    if (message->ack.durable > m->durable) {
        m->durable = message->ack.durable;
        m->progress_us = r->now_us;
        uint64_t has = m->durable < r->committed ? m->durable : r->committed;
        if (has > m->acknowledged)
            m->acknowledged = has;
    }
    told_space(r, m, message->ack.full, out);
    if (!m->full && m->durable + REPL_JOIN_LAG >= r->last)
        m->caught_up = true;
    if (!m->full && m->durable >= m->goal) {
        m->caught_up = m->caught_up || r->now_us <= m->goal_us + REPL_JOIN_LAG_US;
        m->goal = r->last;
        m->goal_us = r->now_us;
    }
    if (message->ack.applied > m->applied)
        m->applied = message->ack.applied;
    if (m->applied >= r->committed)
        m->behind_since_us = 0;
}

/* A gap between two looks at the clock is this server's own: nobody is late because of it. */
static void forgive(struct repl *r, uint64_t gap_us)
{
    if (r->now_us != 0) /* else it is the first look */
        r->heed_us = r->now_us + gap_us + REPL_HEED_US;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        struct repl_member *m = &r->members[i];
        m->heard_us += m->link == 0 ? 0 : gap_us;
        m->progress_us += m->link == 0 ? 0 : gap_us;
    }
}

static void beat(struct repl *r, struct repl_actions *out)
{
    r->beat_us = r->now_us;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        const struct repl_member *m = &r->members[i];
        if (!m->matched)
            continue;
        struct peer_message *message = repl_send(out, m->link, PEER_COMMIT, r->epoch, m->session);
        message->commit.commit = r->committed;
        message->commit.in_sync = repl_in_sync(r, m);
        message->commit.beat = true;
    }
}

/* A backup is lost after the time-out without progress while something is outstanding; an
 * unanswered heartbeat is something outstanding. */
static void passed(struct repl *r, uint64_t now_us, struct repl_actions *out)
{
    if (now_us < r->now_us)
        return;
    if (now_us - r->now_us > REPL_STALL_US)
        forgive(r, now_us - r->now_us);
    r->now_us = now_us;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        struct repl_member *m = &r->members[i];
        if (m->link == 0)
            continue;
        bool stuck = m->matched && m->durable < r->last &&
                     now_us > m->progress_us + r->o.timeout_us && (!m->full || repl_required(r, m));
        if (stuck || now_us > m->heard_us + r->o.timeout_us)
            members_lose(r, m, stuck ? "it made no progress" : "it did not answer", out);
    }
    uint64_t beat_us = r->o.timeout_us / 4 < REPL_BEAT_US ? r->o.timeout_us / 4 : REPL_BEAT_US;
    if (now_us >= r->beat_us + beat_us)
        beat(r, out);
}

static void message(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    switch (e->message->kind) {
    case PEER_HELLO:
        members_hello(r, e->link, e->message, out);
        break;
    case PEER_ACK:
        acknowledged(r, e, out);
        break;
    case PEER_REFUSE:
        repl_close(out, e->link, "it refuses: %s", e->message->refuse.sentence);
        break;
    default:
        repl_close(out, e->link, "it sent what no backup sends");
    }
}

int primary_step(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    if (e->kind != REPL_START && r->epoch == 0)
        return ERR_BAD_REQUEST;
    switch (e->kind) {
    case REPL_START:
        return start(r, e, out);
    case REPL_TIME:
        passed(r, e->now_us, out);
        break;
    case REPL_PROPOSE:
        if (repl_refusal(r) != 0 || repl_busy(r))
            return ERR_BAD_REQUEST;
        append(r, REPL_ENTRY_WRITES, out);
        return 0;
    case REPL_DURABLE:
        if (e->index > r->last)
            return ERR_BAD_REQUEST;
        r->durable = e->index > r->durable ? e->index : r->durable;
        break;
    case REPL_SAVED:
        members_saved(r, out);
        break;
    case REPL_LINK_DOWN: {
        struct repl_member *m = repl_member_of(r, e->link);
        if (m != NULL)
            members_lose(r, m, NULL, out);
        break;
    }
    case REPL_MESSAGE:
        message(r, e, out);
        break;
    case REPL_LOOKED_UP:
        members_looked_up(r, e, out);
        break;
    case REPL_DROP:
        if (members_drop(r, e->name, out) != 0)
            return ERR_NOT_FOUND;
        break;
    case REPL_CUT_DONE:
    case REPL_FORGOT:
    case REPL_LINK_UP:
        return ERR_BAD_REQUEST;
    }
    if (r->fenced) {
        members_fence(r, out);
    } else {
        members_consider(r, out);
        commit(r, out);
    }
    return 0;
}
