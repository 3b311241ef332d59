/* Connections to other servers: opened, adopted, read, closed. What their messages mean is the
 * step's, or ship.c's and forward.c's. */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/host.h"
#include "node/inside.h"

enum {
    CALL_WAIT_US = 50 * 1000,
    CALL_WAIT_MAX_US = 1000 * 1000,
    COPY_SILENT_US = 15 * 1000 * 1000,
};

struct link *links_find(struct node *n, unsigned number)
{
    for (unsigned i = 0; i < LINKS_MAX; i++)
        if (n->links[i].number == number && number != 0 && !n->links[i].ending)
            return &n->links[i];
    return NULL;
}

static struct link *link_of(struct net_conn *conn)
{
    return *(struct link **)net_conn_user(conn);
}

/* NULL: no place, or no memory; the descriptor stays the caller's. */
static struct link *open_link(struct node *n, int fd, struct span unread)
{
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        struct link *l = &n->links[i];
        if (l->number != 0)
            continue;
        *l = (struct link){.node = n, .copy_fd = -1, .opened_us = clock_mono_us(n->o.clock)};
        if (net_adopt(n->loop, fd, unread, &l->conn) != 0)
            return NULL;
        *(struct link **)net_conn_user(l->conn) = l;
        l->number = ++n->links_counted;
        net_host(fd, true, l->far);
        net_host(fd, false, l->near);
        return l;
    }
    return NULL;
}

void links_send(struct node *n, struct link *l, struct peer_message *m)
{
    (void)n;
    peer_encode(net_out(l->conn), m);
}

/* One that lasted is called again at once; else later each time. */
static void lost_primary(struct node *n, const struct link *l)
{
    n->up = NULL;
    if (l->known && clock_mono_us(n->o.clock) > l->opened_us + CALL_WAIT_MAX_US)
        n->call_wait_us = 0;
    forward_lost(n);
}

/* `refused`: a last message tells why, and the peer should get to read it. */
void links_end(struct node *n, struct link *l, bool refused)
{
    l->ending = true;
    if (refused)
        net_linger(l->conn);
    else
        net_abort(l->conn);
    if (l == n->up)
        lost_primary(n, l);
}

void link_say(struct node *n, const struct link *l, const char *what)
{
    const char *name = l->out               ? n->o.settings->primary
                       : l->name[0] != '\0' ? l->name
                                            : "a server that called";
    char sentence[DETAIL_BYTES_MAX];
    snprintf(sentence, sizeof sentence, "%s%.70s: %.150s", l->out ? "the primary at " : "", name,
             what);
    if (l->out)
        memcpy(n->trouble, sentence, sizeof n->trouble);
    order_say(n, "%s", sentence);
}

/* For a reason of the driver's, which the step learns. */
void links_give_up(struct node *n, struct link *l, bool refused)
{
    unsigned number = l->number;
    links_end(n, l, refused);
    step(n, &(struct repl_event){.kind = REPL_LINK_DOWN, .link = number});
}

/* It broke the protocol: that is counted, and costs nobody anything. */
static void rubbish(struct node *n, struct link *l, const char *what)
{
    if (!l->known)
        atomic_fetch_add_explicit(&n->o.status->peers_refused, 1, memory_order_relaxed);
    link_say(n, l, what);
    links_give_up(n, l, false);
}

/* A newer or older program: it is told, in the version that both may understand. */
static void other_version(struct node *n, struct link *l)
{
    struct peer_message m = {.kind = PEER_REFUSE, .refuse = {.code = REFUSE_VERSION}};
    snprintf(m.refuse.sentence, sizeof m.refuse.sentence,
             "%s speaks version %d of the servers' protocol", n->o.status->app_name, PEER_VERSION);
    links_send(n, l, &m);
    atomic_fetch_add_explicit(&n->o.status->peers_refused, 1, memory_order_relaxed);
    order_say(n, "a server of another version called, and was turned away");
    links_give_up(n, l, true);
}

/* --- Messages --- */

/* Judges the entries of an update before anybody counts on them: 0, or why not. */
static const char *judge_entries(struct node *n, const struct peer_update *u)
{
    struct span rest = u->entries;
    struct tail_entry **end = &n->arriving;
    uint64_t chain = n->chain, index = u->first, epoch = 0;
    while (rest.bytes != 0) {
        struct entry e;
        long used = entry_decode(rest, chain, &e);
        if (used == ERR_NEWER)
            return "it sent an entry of a newer version";
        if (used <= 0 || e.index != index || e.epoch < epoch || e.index > u->last)
            return "it sent an entry that does not follow from the one before";
        if ((size_t)used > n->entry_bytes_max)
            return "it sent an entry that is longer than this server's log takes: give it the "
                   "primary's --record-bytes-max";
        *end = tail_copy(&e);
        if (*end == NULL)
            return "there is no memory for its entries";
        end = &(*end)->next;
        chain = e.chain;
        epoch = e.epoch;
        index++;
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    return index == u->last + 1 ? NULL : "it sent fewer entries than it said";
}

static void said_update(struct node *n, struct link *l)
{
    const struct tail_entry *last = n->arriving;
    while (last->next != NULL)
        last = last->next;
    say_update(n, l->name, n->arriving->e.first_seq, last->e.first_seq + last->e.effects - 1);
}

/* What this server has is not what it should be: it serves nothing more, and leaves the set. */
void links_diverge(struct node *n, const char *sentence)
{
    struct link *l = n->up;
    n->diverged = true;
    order_say(n, "%s", sentence);
    if (l == NULL)
        return;
    links_give_up(n, l, false);
}

/* The same position, and other records. */
static void compare_digest(struct node *n, const struct peer_commit *c)
{
    if (c->beat && c->digest != 0 && c->commit == n->state.applied &&
        c->digest != n->state.digest && !n->diverged)
        links_diverge(n, "local storage differs from the primary's: this server stops to serve; "
                         "start it with an empty data directory");
}

static bool of_session(const struct node *n, const struct link *l, const struct peer_message *m)
{
    if (!n->primary)
        return l == n->up && n->repl.stage == REPL_FOLLOWING && m->epoch == n->repl.epoch &&
               m->session == n->repl.session;
    const struct repl_member *member = repl_member_of((struct repl *)&n->repl, l->number);
    return member != NULL && member->matched && m->epoch == n->repl.epoch &&
           m->session == member->session;
}

/* Where clients find it, as far as this end of the link can tell. */
static void said_hello(struct node *n, struct link *l, struct peer_hello *h)
{
    memcpy(l->name, h->server.name, sizeof l->name);
    net_host_instead(h->address, sizeof h->address, l->far);
    memcpy(n->called_at, l->near, sizeof n->called_at);
}

static void told(struct node *n, struct link *l, struct peer_message *m)
{
    struct repl_event e = {.kind = REPL_MESSAGE, .link = l->number, .message = m};
    if (m->kind == PEER_HELLO) {
        said_hello(n, l, &m->hello);
    } else if (m->kind == PEER_WELCOME) {
        memcpy(l->name, m->welcome.server.name, sizeof l->name);
        tail_point(n, m->welcome.match.index, &e.point);
    } else if (m->kind == PEER_ACK) {
        if (!m->ack.beat && of_session(n, l, m))
            say_acknowledged(n, l->name, m->ack.first_seq, m->ack.last_seq);
    }
    unsigned number = l->number;
    step(n, &e);
    if (m->kind == PEER_REFUSE && !n->primary && n->repl.refusal == REFUSE_NO_LOG &&
        n->repl.refusal_sentence[0] != '\0')
        n->copy.wanted = true;
    l = links_find(n, number);
    if (l == NULL)
        return;
    l->known = l->known || (n->primary ? repl_member_of(&n->repl, number) != NULL
                                       : n->repl.stage >= REPL_SETTLING);
    if (m->kind == PEER_WELCOME && l->known) {
        n->call_wait_us = 0;
        n->trouble[0] = '\0';
        copy_forget(n, false);
        order_say(n, "connected to the primary, %s", l->name);
    }
    if (m->kind == PEER_COMMIT)
        compare_digest(n, &m->commit);
}

static void updated(struct node *n, struct link *l, struct peer_message *m)
{
    const char *why = m->update.first == n->repl.last + 1 ? judge_entries(n, &m->update) : NULL;
    if (why == NULL && n->arriving != NULL)
        said_update(n, l);
    if (why == NULL)
        told(n, l, m);
    tail_free(n->arriving); /* where it was not accepted */
    n->arriving = NULL;
    if (why != NULL)
        rubbish(n, l, why);
}

static void handle(struct node *n, struct link *l, struct peer_message *m)
{
    bool write = m->kind == PEER_FORWARD || m->kind == PEER_ANSWER;
    if (l->out && l->copying)
        copy_told(n, l, m);
    else if (m->kind == PEER_COPY_ASK && !l->out && !l->known)
        copy_asked(n, l, &m->copy_ask);
    else if (l->copying || m->kind >= PEER_COPY_ASK)
        rubbish(n, l, "it sent what has no place here");
    else if (!l->out && !l->known && m->kind != PEER_HELLO)
        rubbish(n, l, "it did not say hello");
    else if (write && (!of_session(n, l, m) || n->primary != (m->kind == PEER_FORWARD)))
        rubbish(n, l, "it sent writes that have no place here");
    else if (m->kind == PEER_FORWARD)
        forward_received(n, l, m);
    else if (m->kind == PEER_ANSWER)
        forward_answered(n, l, &m->answer);
    else if (m->kind == PEER_UPDATE && of_session(n, l, m))
        updated(n, l, m);
    else
        told(n, l, m);
}

/* Whether the tail gets shorter, or durable, by what this server does itself. Where all of it is
 * durable and nothing says that it is committed, only the primary can: so that is read. */
static bool tail_moves(const struct node *n)
{
    bool writing = n->frame_wanted || (n->job_asked && n->job.kind == LOG_APPEND);
    return writing || n->unwritten != NULL ||
           (n->tail != NULL && n->tail->e.index <= n->repl.committed);
}

/* What has to wait: entries while promise or cut are not durable, or while too many are not
 * applied; pieces of a copy while too much is not written. */
static bool must_wait(const struct node *n, const struct link *l)
{
    return l->out &&
           (n->repl.stage == REPL_SETTLING || (n->tail_bytes > TAIL_BYTES_MAX && tail_moves(n)) ||
            n->copy.bytes > COPY_AHEAD_BYTES_MAX);
}

size_t links_received(void *node, struct net_conn *conn, struct span input, bool end)
{
    struct node *n = node;
    struct link *l = link_of(conn);
    size_t used = 0;
    if (l == NULL)
        return input.bytes;
    while (!l->ending) {
        struct peer_message m;
        size_t need;
        if (must_wait(n, l)) {
            l->paused = true;
            net_pause(conn);
            break;
        }
        long took = peer_decode(span(input.at + used, input.bytes - used), &m, &need);
        if (took == ERR_NEWER)
            other_version(n, l);
        else if (took < 0 ||
                 (took == 0 && !l->known && need > PEER_HEAD_BYTES + PEER_SMALL_BYTES_MAX))
            rubbish(n, l, "it sent what is no message");
        if (took <= 0)
            break;
        used += (size_t)took;
        handle(n, l, &m);
    }
    if (end && !l->ending && !l->paused)
        net_close(conn);
    return l->ending ? input.bytes : used;
}

void links_closed(void *node, struct net_conn *conn)
{
    struct node *n = node;
    struct link *l = link_of(conn);
    if (l == NULL || n->closing)
        return;
    unsigned number = l->number;
    bool told_before = l->ending;
    if (l == n->up) {
        link_say(n, l, "it has closed the connection");
        lost_primary(n, l);
    }
    if (l->copy_fd >= 0)
        close(l->copy_fd);
    *l = (struct link){0};
    if (!told_before)
        step(n, &(struct repl_event){.kind = REPL_LINK_DOWN, .link = number});
}

void links_resume(struct node *n)
{
    struct link *l = n->up;
    if (l == NULL || !l->paused || must_wait(n, l))
        return;
    l->paused = false;
    net_resume(l->conn);
}

/* --- Those who call, and calling --- */

void links_arrived(struct node *n)
{
    for (;;) {
        struct arrival a = {.fd = -1};
        pthread_mutex_lock(&n->lock);
        if (n->arrivals_count != 0)
            a = n->arrivals[--n->arrivals_count];
        pthread_mutex_unlock(&n->lock);
        if (a.fd < 0)
            return;
        if (open_link(n, a.fd, buf_span(&a.unread)) == NULL) {
            atomic_fetch_add_explicit(&n->o.status->peers_refused, 1, memory_order_relaxed);
            close(a.fd);
        }
        buf_finish(&a.unread);
    }
}

/* Whoever connects has to say who it is within a time. */
void links_tick(struct node *n)
{
    uint64_t now_us = clock_mono_us(n->o.clock);
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        struct link *l = &n->links[i];
        if (l->number != 0 && !l->ending && !l->out && !l->known &&
            now_us > l->opened_us + HELLO_US)
            rubbish(n, l, "it did not say hello in time");
        else if (l->number != 0 && !l->ending && l->copying && !l->paused &&
                 now_us > net_conn_active_us(l->conn) + COPY_SILENT_US) {
            link_say(n, l, "the full copy has come to a halt");
            links_end(n, l, false);
        }
    }
}

void links_call(struct node *n)
{
    if (n->up != NULL || n->calling || n->diverged || !copy_may_call(n) ||
        n->repl.stage != REPL_ALONE || clock_mono_us(n->o.clock) < n->call_us)
        return;
    struct help_job *job = help_job_create();
    if (job == NULL)
        return;
    n->calling = true;
    job->kind = HELP_CONNECT;
    help_ask(n, job, false);
}

/* The next attempt: later each time, until a primary has welcomed this server. */
static void call_later(struct node *n)
{
    if (n->call_wait_us == 0)
        n->call_wait_us = CALL_WAIT_US;
    n->call_us = clock_mono_us(n->o.clock) + n->call_wait_us;
    n->call_wait_us *= 2;
    if (n->call_wait_us > CALL_WAIT_MAX_US)
        n->call_wait_us = CALL_WAIT_MAX_US;
}

void links_called(struct node *n, struct help_job *job)
{
    struct peer_point points[PEER_POINTS_MAX];
    n->calling = false;
    call_later(n);
    if (job->fd < 0) {
        snprintf(n->trouble, sizeof n->trouble, "the primary at %s does not answer",
                 n->o.settings->primary);
        order_say(n, "%s", n->trouble);
        return;
    }
    jobs_forget(n);
    /* S8: what was accepted is on the disk first. */
    if (n->repl.durable != n->repl.last || n->repl.cutting)
        return;
    struct link *l = open_link(n, job->fd, span(NULL, 0));
    if (l == NULL)
        return;
    job->fd = -1;
    l->out = true;
    n->up = l;
    if (n->copy.wanted) {
        copy_ask(n, l);
        return;
    }
    step(n, &(struct repl_event){.kind = REPL_LINK_UP,
                                 .link = l->number,
                                 .points = points,
                                 .points_count = tail_points(n, points)});
}
