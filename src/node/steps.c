/* The step's driver: gives it events and does what it says, in that order. */
#include <assert.h>

#include "base/err.h"
#include "node/inside.h"

/* The log's entry there: from memory, or else by the helper thread, which may have to read. */
static void look_up(struct node *n, const struct repl_action *a)
{
    struct help_job *job = help_job_create();
    if (job == NULL)
        n->o.fatal("out of memory");
    job->kind = HELP_LOOK_UP;
    job->link = a->link;
    job->index = a->index;
    bool known = tail_point(n, a->index, &job->point);
    job->point.index = a->index;
    /* A log that began behind a copy does not have the entry that the copy ends with. */
    struct checkpoint c = checkpoint_now(n);
    if (!known && a->index != 0 && a->index == c.at.index) {
        job->point = c.at;
        known = true;
    }
    if (a->index + 1 < log_first_index(n->log)) { /* what follows it is trimmed */
        job->rc = ERR_NOT_FOUND;
        known = true;
    }
    help_ask(n, job, known);
}

static void cut(struct node *n, uint64_t index)
{
    order_say(n, "the log's entries above %llu were not the primary's, and are removed",
              (unsigned long long)index);
    tail_cut(n, index);
    n->cut_wanted = true;
    n->cut_index = index;
    n->cut_chain = n->chain;
    jobs_ask(n);
}

static void close_link(struct node *n, const struct repl_actions *actions, unsigned i)
{
    const struct repl_action *a = &actions->list[i];
    struct link *l = links_find(n, a->link);
    bool refused = i > 0 && a[-1].kind == REPL_SEND && a[-1].link == a->link &&
                   a[-1].message.kind == PEER_REFUSE;
    if (l == NULL)
        return;
    if (refused && !l->known)
        atomic_fetch_add_explicit(&n->o.status->peers_refused, 1, memory_order_relaxed);
    bool told = l->out && n->repl.refusal_sentence[0] != '\0';
    link_say(n, l, told ? n->repl.refusal_sentence : a->sentence);
    links_end(n, l, refused);
}

static void send_message(struct node *n, struct repl_action *a)
{
    struct link *l = links_find(n, a->link);
    struct peer_message *m = &a->message;
    if (l == NULL)
        return;
    if (m->kind == PEER_ACK) {
        m->ack.applied = n->state.applied;
        m->ack.digest = n->state.digest;
        m->ack.full = atomic_load_explicit(&n->o.status->disk_full, memory_order_relaxed);
        m->ack.first_seq = n->written_first_seq;
        m->ack.last_seq = n->written_seq;
        if (!m->ack.beat) {
            say_acknowledged(n, l->name, m->ack.first_seq, m->ack.last_seq);
            n->written_first_seq = n->written_seq + 1;
        }
    } else if (m->kind == PEER_COMMIT) {
        m->commit.commit = n->state.applied;
        m->commit.digest = n->state.digest;
        l->told = n->state.applied;
    }
    links_send(n, l, m);
}

static void stream(struct node *n, const struct repl_action *a)
{
    struct link *l = links_find(n, a->link);
    if (l == NULL)
        return;
    l->streaming = true;
    l->next = a->index;
    l->told = 0;
}

/* What was judged when it came is now this log's. */
static void accept_entries(struct node *n)
{
    for (struct tail_entry *t = n->arriving, *next; t != NULL; t = next) {
        next = t->next;
        tail_add(n, t);
        if (n->unwritten == NULL)
            n->unwritten = t;
    }
    n->arriving = NULL;
}

static void do_action(struct node *n, struct repl_actions *actions, unsigned i)
{
    struct repl_action *a = &actions->list[i];
    switch (a->kind) {
    case REPL_APPEND:
        entries_append(n, a);
        break;
    case REPL_ACCEPT:
        accept_entries(n);
        jobs_ask(n);
        break;
    case REPL_COMMIT:
        n->apply_to = a->index;
        apply(n);
        break;
    case REPL_SAVE:
        n->save_wanted = true;
        jobs_ask(n);
        break;
    case REPL_CUT:
        cut(n, a->index);
        break;
    case REPL_SEND:
        send_message(n, a);
        break;
    case REPL_STREAM:
        stream(n, a);
        break;
    case REPL_CLOSE:
        close_link(n, actions, i);
        break;
    case REPL_LOOK_UP:
        look_up(n, a);
        break;
    case REPL_SAY:
        order_say(n, "%s", a->sentence);
        break;
    case REPL_ALARM:
        n->diverged = true;
        order_say(n, "%s", a->sentence);
        break;
    }
}

void step(struct node *n, const struct repl_event *e)
{
    assert(!n->stepping); /* actions do not lead to events but through the loop */
    n->stepping = true;
    int rc = repl_step(&n->repl, e, &n->actions);
    if (rc != 0 && e->kind != REPL_DROP && e->kind != REPL_LINK_UP)
        n->o.fatal("the order of writes is broken: this is a mistake in the program");
    for (unsigned i = 0; rc == 0 && i < n->actions.count; i++)
        do_action(n, &n->actions, i);
    n->stepping = false;
}
