/* Entries on their way from a primary to its backups (W3): those that are just made from memory,
 * older ones from the log. What waits for one backup is bounded, and holds up no other. */
#include "base/err.h"
#include "node/inside.h"

static void send_entries(struct node *n, struct link *l, const struct repl_member *m,
                         struct peer_update *u)
{
    struct peer_message message = {
        .kind = PEER_UPDATE, .epoch = n->repl.epoch, .session = m->session, .update = *u};
    message.update.commit = n->state.applied;
    message.update.in_sync = repl_in_sync(&n->repl, m);
    links_send(n, l, &message);
    l->told = n->state.applied;
    l->next = u->last + 1;
}

/* S22: what has no space would only be kept in memory there. */
static bool takes(const struct node *n, const struct repl_member *m)
{
    return !m->full || repl_required(&n->repl, m);
}

static void ship_to(struct node *n, struct link *l, const struct repl_member *m)
{
    const struct entry *e = &n->flight.entry;
    if (!n->flight.any || !takes(n, m) || l->next != e->index ||
        net_unsent(l->conn) > LINK_UNSENT_MAX)
        return;
    struct peer_update u = {
        .first = e->index,
        .last = e->index,
        .entries = span(e->body.at - ENTRY_HEAD_BYTES, ENTRY_HEAD_BYTES + e->body.bytes),
    };
    send_entries(n, l, m, &u);
    say_update(n, l->name, e->first_seq, e->first_seq + e->effects - 1);
}

/* A piece of the log, as far as it is durable here. */
static void read_for(struct node *n, struct link *l, const struct repl_member *m)
{
    if (l->reading || !takes(n, m) || l->next > n->repl.durable ||
        net_unsent(l->conn) > LINK_UNSENT_MAX)
        return;
    struct help_job *job = help_job_create();
    if (job == NULL)
        return; /* the next turn tries again */
    job->kind = HELP_READ;
    job->link = l->number;
    job->index = l->next;
    l->reading = true;
    help_ask(n, job, false);
}

static void tell_commit(struct node *n, struct link *l, const struct repl_member *m)
{
    if (l->told >= n->state.applied) /* S10: it is in this server's storage first */
        return;
    struct peer_message message = {
        .kind = PEER_COMMIT, .epoch = n->repl.epoch, .session = m->session};
    message.commit.commit = n->state.applied;
    message.commit.in_sync = repl_in_sync(&n->repl, m);
    links_send(n, l, &message);
    l->told = n->state.applied;
}

void ship_commit(struct node *n, struct link *l)
{
    const struct repl_member *m = repl_member_of(&n->repl, l->number);
    if (l->streaming && m != NULL)
        tell_commit(n, l, m);
}

static void each_link(struct node *n, bool all)
{
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        struct link *l = &n->links[i];
        if (l->number == 0 || l->ending)
            continue;
        if (l->copying && all)
            copy_pump(n, l);
        if (!l->streaming)
            continue;
        const struct repl_member *m = repl_member_of(&n->repl, l->number);
        if (m == NULL)
            continue;
        ship_to(n, l, m);
        if (!all)
            continue;
        if (!n->flight.any || l->next != n->flight.entry.index)
            read_for(n, l, m);
        tell_commit(n, l, m);
    }
}

void ship_flight(struct node *n)
{
    each_link(n, false);
}

void ship_all(struct node *n)
{
    if (n->primary)
        each_link(n, true);
}

void ship_read(struct node *n, struct help_job *job)
{
    struct link *l = links_find(n, job->link);
    const struct repl_member *m = repl_member_of(&n->repl, job->link);
    if (l == NULL || m == NULL)
        return;
    l->reading = false;
    if (job->rc != 0) {
        order_say(n, "the log cannot be read at entry %llu: %s cannot catch up",
                  (unsigned long long)job->index, l->name);
        links_give_up(n, l, false);
        return;
    }
    if (job->index != l->next) /* meanwhile it was sent from memory */
        return;
    struct peer_update u = {
        .first = job->index, .last = job->last, .entries = buf_span(&job->bytes)};
    send_entries(n, l, m, &u);
    say_update(n, l->name, job->first_seq, job->seq);
}
