/* The servers that follow a primary: who is let in (S14, S15, S17), up to where the logs agree
 * (S8), and the in-sync set with its changes (S4, S5, S23). Commits are primary.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "repl/inside.h"

void members_start(struct repl *r)
{
    unsigned count = 1;
    r->members[0].server = r->o.self;
    r->members[0].in_set = true;
    for (unsigned i = 0; i < r->hard.set.count && count < REPL_MEMBERS_MAX; i++) {
        const struct peer_server *server = &r->hard.set.list[i];
        if (repl_same_id(server->id, r->o.self.id))
            continue;
        /* Who commits alone waits for nobody, and claims nothing of the others. */
        r->members[count].server = *server;
        r->members[count].in_set = true;
        r->members[count].leaving = !r->o.ack_all;
        count++;
    }
}

struct repl_member *repl_member_of(struct repl *r, unsigned link)
{
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        if (r->members[i].link == link && link != 0)
            return &r->members[i];
    return NULL;
}

bool repl_awaited(const struct repl *r, const struct repl_member *m)
{
    return m->in_set && !m->leaving && !m->matched && m != &r->members[0];
}

bool repl_in_sync(const struct repl *r, const struct repl_member *m)
{
    return m->in_set ? !m->leaving : !r->o.ack_all && m->matched && m->caught_up;
}

unsigned repl_live(const struct repl *r)
{
    unsigned live = 1;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        live += r->members[i].matched && repl_in_sync(r, &r->members[i]);
    return live;
}

/* --- The end of a session --- */

/* Forgets drops that were long ago. */
static void look_back(const struct repl *r, struct repl_member *m)
{
    if (m->drops == 0 || r->now_us > m->drops_since_us + REPL_DROPS_WINDOW_US) {
        m->drops = 0;
        m->drops_since_us = r->now_us;
    }
}

static void count_drop(struct repl *r, struct repl_member *m)
{
    look_back(r, m);
    uint64_t wait_us = REPL_BACK_OFF_US;
    for (unsigned i = 1; i < m->drops && wait_us < REPL_BACK_OFF_MAX_US; i++)
        wait_us *= 2;
    if (wait_us > REPL_BACK_OFF_MAX_US)
        wait_us = REPL_BACK_OFF_MAX_US;
    m->readmit_us = m->drops == 0 ? 0 : r->now_us + wait_us;
    m->drops++;
}

void members_lose(struct repl *r, struct repl_member *m, const char *why, struct repl_actions *out)
{
    if (why != NULL)
        repl_close(out, m->link, "%s", why);
    if (m->matched && (m->in_set || m->joining || m->caught_up))
        count_drop(r, m);
    m->link = 0;
    m->matched = m->acked = m->caught_up = false;
    m->behind_since_us = 0;
    if (m->joining && !m->saving)
        m->joining = false;
}

/* --- Hello --- */

static struct repl_member *place_of(struct repl *r, const struct peer_server *server)
{
    struct repl_member *found = NULL;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        struct repl_member *m = &r->members[i];
        bool used = m->in_set || m->joining || m->link != 0 || m->saving;
        if (repl_same_id(m->server.id, server->id))
            return m;
        if (!used && (found == NULL || m->heard_us < found->heard_us))
            found = m;
    }
    if (found != NULL)
        *found = (struct repl_member){.server = *server};
    return found;
}

/* Another server of this name that is connected (S14); or both would be in the set, after one has
 * got the other's name. */
static bool name_taken(const struct repl *r, const struct peer_server *server)
{
    bool member = false;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        member =
            member || (r->members[i].in_set && repl_same_id(r->members[i].server.id, server->id));
    for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++) {
        const struct repl_member *m = &r->members[i];
        if ((i == 0 || m->link != 0 || (m->in_set && member)) &&
            strcmp(m->server.name, server->name) == 0 && !repl_same_id(m->server.id, server->id))
            return true;
    }
    return false;
}

/* Whether it may be anybody's backup here; says why not. */
static bool welcome(struct repl *r, unsigned link, const struct peer_hello *h,
                    struct repl_actions *out)
{
    const char *name = h->server.name;
    bool stranger = repl_no_id(h->cluster);
    if (h->group != r->o.group)
        repl_refuse(r, out, link, REFUSE_GROUP, "%s is of replication group %u, this primary of %u",
                    name, h->group, r->o.group);
    else if (!stranger && !repl_same_id(h->cluster, r->hard.cluster))
        repl_refuse(r, out, link, REFUSE_CLUSTER,
                    "the data directory of %s belongs to another cluster: start it with an empty "
                    "one",
                    name);
    else if (repl_same_id(h->server.id, r->o.self.id))
        repl_refuse(r, out, link, REFUSE_SELF, "%s is named as its own primary", name);
    else if (RULE(S14) && name_taken(r, &h->server))
        repl_refuse(r, out, link, REFUSE_NAME,
                    "a server of the name %s is here already: give this one another name", name);
    else if (!stranger && h->generation > r->o.generation)
        repl_refuse(r, out, link, REFUSE_EPOCH, "%s has seen a newer primary than this one", name);
    else if (RULE(S1) && (h->promised_epoch > r->epoch ||
                          (h->promised_epoch == r->epoch && h->promised_life != r->o.life)))
        repl_refuse(r, out, link, REFUSE_EPOCH,
                    "%s has promised epoch %" PRIu64 ", this primary has %" PRIu64
                    ": the data directory of one of them is an old copy",
                    name, h->promised_epoch, r->epoch);
    else
        return true;
    return false;
}

/* --- S8: up to where the logs agree --- */

/*
 * The match is the highest (epoch, index) that both logs have. An epoch is one primary's life (S2),
 * so its entries begin at the same index wherever there are any: the logs part where the shorter
 * one's last entry of an epoch is. The other has told those of its log, from what it has committed
 * on; they are tried from the newest down. Sets the next entry of this log to be looked at; false:
 * there is no match, since what is committed is never cut (S9).
 */
static bool look_at_point(const struct repl *r, struct repl_member *m)
{
    for (; m->point != 0; m->point--) {
        uint64_t end = m->points[m->point].index;
        m->low = m->points[m->point - 1].index;
        m->high = end < r->last ? end : r->last;
        m->look_up = m->high;
        if (m->high > m->low)
            return true;
    }
    m->look_up = RULE(S9) || m->points[0].index <= r->last ? m->points[0].index : 0;
    return m->look_up <= r->last;
}

enum verdict { MATCH, NO_MATCH, LOOK_ON };

/* Looks for this log's last entry of the point's epoch or an older one, between the point before
 * and this one: epochs ascend, so by halves. Where both have the end of the epoch the chains are
 * compared here, and by the other always. */
static enum verdict judge(const struct repl *r, struct repl_member *m,
                          const struct peer_point *here)
{
    const struct peer_point *there = &m->points[m->point];
    bool same =
        here->epoch == there->epoch && (here->index != there->index || here->chain == there->chain);
    if (!RULE(S8) || (m->point == 0 && same))
        return MATCH;
    if (m->point == 0 && (RULE(S9) || here->index == 0))
        return here->index == 0 ? MATCH : NO_MATCH;
    if (m->point == 0) {
        m->look_up = 0;
        return LOOK_ON;
    }
    if (here->epoch > there->epoch)
        m->high = here->index - 1;
    else
        m->low = here->index;
    if (m->low < m->high)
        m->look_up = m->low + (m->high - m->low + 1) / 2;
    else if (m->low == here->index && here->epoch == there->epoch)
        return same ? MATCH : NO_MATCH;
    else if (m->low > m->points[m->point - 1].index && m->low != here->index)
        m->look_up = m->low; /* seen before, and passed over */
    else {
        m->point--;
        return look_at_point(r, m) ? LOOK_ON : NO_MATCH;
    }
    return LOOK_ON;
}

/* --- Hello, and the session that comes of it --- */

static void look_up(const struct repl_member *m, struct repl_actions *out)
{
    struct repl_action *a = repl_add(out, REPL_LOOK_UP);
    a->link = m->link;
    a->index = m->look_up;
}

static void refuse_match(struct repl *r, const struct repl_member *m, unsigned link,
                         struct repl_actions *out)
{
    repl_refuse(r, out, link, REFUSE_MISMATCH,
                "the logs of %s and this primary differ at or before entry %" PRIu64
                ", which %s has committed: one of them is damaged",
                m->server.name, m->points[m->point].index, m->server.name);
}

static void begin_session(struct repl *r, struct repl_member *m, const struct peer_point *match,
                          struct repl_actions *out)
{
    m->matched = m->seen = true;
    m->durable = m->applied = 0; /* until it says so in this session */
    m->goal = r->last;
    m->goal_us = m->heard_us = m->progress_us = r->now_us;
    struct peer_message *message = repl_send(out, m->link, PEER_WELCOME, r->epoch, m->session);
    memcpy(message->welcome.cluster, r->hard.cluster, PEER_ID_BYTES);
    message->welcome.generation = r->o.generation;
    message->welcome.server = r->o.self;
    message->welcome.life = r->o.life;
    message->welcome.match = *match;
    message->welcome.commit = r->committed;
    /* What this primary can prove committed may be less than its last life acknowledged. */
    message->welcome.goal = r->admitting ? r->committed : r->epoch_start;
    struct repl_action *stream = repl_add(out, REPL_STREAM);
    stream->link = m->link;
    stream->index = match->index + 1;
}

/* Whether the caller may have the member's one session (S17); an older link of the same process
 * gives way to a newer one. */
static bool take_over(struct repl *r, struct repl_member *m, unsigned link,
                      const struct peer_message *message, struct repl_actions *out)
{
    bool same_life = m->life == message->hello.life;
    if (same_life && (int64_t)(message->session - m->session) <= 0)
        repl_close(out, link, "it has called again since");
    else if (m->link != 0 && !same_life)
        repl_refuse(r, out, link, REFUSE_NAME, "%s is connected already", m->server.name);
    else {
        if (m->link != 0)
            members_lose(r, m, "it has called again", out);
        return true;
    }
    return false;
}

/* Another server was promoted: nothing more is committed here, in this life and, once that is
 * durable, in any later one. Who called gets no answer before: it would not call again. */
static void heed_generation(struct repl *r, const struct peer_hello *h, struct repl_actions *out)
{
    if (!RULE(FENCE) || r->fenced || repl_no_id(h->cluster) ||
        !repl_same_id(h->cluster, r->hard.cluster) || h->group != r->o.group ||
        h->generation <= r->o.generation)
        return;
    r->fenced = true;
    r->fence_epoch = (uint64_t)h->generation << 32;
    snprintf(repl_add(out, REPL_SAY)->sentence, DETAIL_BYTES_MAX,
             "%s has seen a newer primary (generation %" PRIu32
             "): this one takes no writes any more; start it as a backup of that one",
             h->server.name, h->generation);
}

void members_hello(struct repl *r, unsigned link, const struct peer_message *message,
                   struct repl_actions *out)
{
    const struct peer_hello *h = &message->hello;
    if (repl_member_of(r, link) != NULL || repl_no_id(h->server.id) || h->points_count == 0 ||
        h->points_count > PEER_POINTS_MAX) {
        repl_close(out, link, "its hello cannot be right, or is the second one");
        return;
    }
    heed_generation(r, h, out);
    if (!repl_fence_noted(r)) {
        repl_close(out, link, "the newer primary is not noted on this server's disk yet");
        return;
    }
    if (!welcome(r, link, h, out))
        return;
    struct repl_member *m = place_of(r, &h->server);
    if (m == NULL) {
        repl_refuse(r, out, link, REFUSE_FULL, "there are %d servers, and no more are allowed",
                    REPL_MEMBERS_MAX);
        return;
    }
    if (!take_over(r, m, link, message, out))
        return;
    m->server = h->server;
    memcpy(m->address, h->address, sizeof m->address);
    m->life = h->life;
    m->session = message->session;
    m->points_count = h->points_count;
    memcpy(m->points, h->points, h->points_count * sizeof h->points[0]);
    m->point = m->points_count - 1;
    if (!look_at_point(r, m)) {
        refuse_match(r, m, link, out);
        return;
    }
    m->link = link;
    m->heard_us = m->progress_us = r->now_us;
    look_up(m, out);
}

void members_looked_up(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    struct repl_member *m = repl_member_of(r, e->link);
    if (m == NULL || m->matched || m->look_up != e->point.index)
        return;
    enum verdict verdict = e->rc == 0 ? judge(r, m, &e->point) : NO_MATCH;
    if (verdict == LOOK_ON) {
        look_up(m, out);
        return;
    }
    bool lost = m->acknowledged > e->point.index || (m->in_set && r->committed > e->point.index);
    if (verdict == MATCH && !(RULE(S15) && lost)) {
        begin_session(r, m, &e->point, out);
        return;
    }
    m->link = 0;
    if (e->rc == ERR_NOT_FOUND)
        repl_refuse(r, out, e->link, REFUSE_NO_LOG,
                    "the log no longer reaches back to entry %" PRIu64 ", where %s stands",
                    e->point.index, m->server.name);
    else if (e->rc != 0)
        repl_close(out, e->link, "the log cannot be read at entry %" PRIu64, e->point.index);
    else if (verdict == MATCH)
        repl_refuse(r, out, e->link, REFUSE_ROLLED_BACK,
                    "%s has lost entries that it had acknowledged: start it with an empty data "
                    "directory",
                    m->server.name);
    else
        refuse_match(r, m, e->link, out);
}

/* --- The set --- */

static unsigned staying(const struct repl *r)
{
    unsigned count = 0;
    for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++)
        count += r->members[i].in_set && !r->members[i].leaving;
    return count;
}

int members_drop(struct repl *r, const char *name, struct repl_actions *out)
{
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        struct repl_member *m = &r->members[i];
        if (!m->in_set || m->leaving || strcmp(m->server.name, name) != 0)
            continue;
        if (m->link != 0) { /* one that lives does not come back at once */
            look_back(r, m);
            m->drops += m->drops == 0;
            members_lose(r, m, "the operator has dropped it", out);
        }
        m->leaving = true;
        return 0;
    }
    return ERR_NOT_FOUND;
}

static void mark(struct repl *r, struct repl_member *m)
{
    /* S23: the set is never made smaller than that; who is lost then is waited for. */
    bool lost = m->in_set && m->seen && m->link == 0 && !m->leaving;
    if (lost && r->now_us >= r->heed_us && (!RULE(S23) || staying(r) > r->o.min_copies))
        m->leaving = true;
    if (r->o.ack_all && !m->in_set && !m->joining && m->caught_up && r->admitting && !r->fenced &&
        r->now_us >= m->readmit_us)
        m->joining = true;
    if (!RULE(S4) && m->leaving)
        m->in_set = m->leaving = false;
}

/* S5: it has all that is committed, and from here on nothing is committed without it. */
static bool may_join(const struct repl *r, const struct repl_member *m)
{
    return m->joining && (m->acked && (!RULE(S5) || m->durable >= r->committed));
}

/* S14: a new identity takes the place of the old one of its name, in one change of the set. */
static bool replaced(const struct repl *r, const struct repl_member *m)
{
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        if (&r->members[i] != m && may_join(r, &r->members[i]) &&
            strcmp(r->members[i].server.name, m->server.name) == 0)
            return true;
    return false;
}

/* Writes `hard` with the set of which everybody is in_set, but for those that are being changed. */
static void save(struct repl *r, struct repl_actions *out)
{
    r->saving = true;
    struct repl_action *a = repl_add(out, REPL_SAVE);
    a->set.count = 0;
    for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++)
        if (r->members[i].in_set != r->members[i].saving)
            a->set.list[a->set.count++] = r->members[i].server;
    r->hard.set = a->set;
}

void members_fence(struct repl *r, struct repl_actions *out)
{
    if (r->saving || r->hard.promised_epoch >= r->fence_epoch)
        return;
    r->hard.promised_epoch = r->fence_epoch;
    r->hard.promised_life = 0;
    save(r, out);
}

/* S4: the set is changed on the disk; one change at a time, of all who are due. */
void members_consider(struct repl *r, struct repl_actions *out)
{
    bool due = false;
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
        mark(r, &r->members[i]);
    for (unsigned i = 1; i < REPL_MEMBERS_MAX && !r->saving; i++) {
        struct repl_member *m = &r->members[i];
        m->saving = m->in_set ? m->leaving || replaced(r, m) : may_join(r, m);
        due = due || m->saving;
    }
    if (due)
        save(r, out);
}

void members_saved(struct repl *r, struct repl_actions *out)
{
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        struct repl_member *m = &r->members[i];
        if (!m->saving)
            continue;
        m->saving = false;
        m->in_set = !m->in_set;
        m->leaving = m->joining = false; /* who was lost meanwhile is looked at again */
        struct repl_action *a = repl_add(out, REPL_SAY);
        snprintf(a->sentence, sizeof a->sentence, "%s %s", m->server.name,
                 m->in_set ? "is in sync" : "is not in sync any more");
    }
    r->config_due = r->config_due || (r->saving && !r->fenced);
    r->saving = false;
}
