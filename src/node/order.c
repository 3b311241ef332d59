/*
 * The order thread: an event loop for the links to other servers, which also gathers what clients
 * ask, has entries made of it, and gives the answers back. It never waits for the disk but for
 * local storage's page cache.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/thread.h"
#include "node/inside.h"

enum {
    TICK_MS = 20,
    STOP_US = 2 * 1000 * 1000, /* for what is under way at a stop */
    START_US = 2 * 1000 * 1000,
    SAYING_US = 10 * 1000 * 1000,
    SAID_MAX = 30, /* sentences in that time */
};

void order_wake(void *node)
{
    struct node *n = node;
    net_loop_wake(n->loop);
}

/* Whoever calls again and again must not fill a disk with what is said of it: what repeats itself
 * is left out, and so is what comes beyond a number in a while, but for a count of it. */
static bool may_say(struct node *n, const char *sentence)
{
    char left_out[64];
    uint64_t now_us = clock_mono_us(n->o.clock);
    if (strcmp(sentence, n->said) == 0)
        return false;
    snprintf(n->said, sizeof n->said, "%s", sentence);
    if (now_us > n->saying_us + SAYING_US) {
        if (n->said_count > SAID_MAX) {
            snprintf(left_out, sizeof left_out, "%u more sentences were left out",
                     n->said_count - SAID_MAX);
            n->o.say(left_out);
        }
        n->saying_us = now_us;
        n->said_count = 0;
    }
    return ++n->said_count <= SAID_MAX;
}

void order_say(struct node *n, const char *format, ...)
{
    char sentence[DETAIL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (may_say(n, sentence))
        n->o.say(sentence);
}

/* --- Batches --- */

static void take_asked(struct node *n)
{
    struct write_batch *b;
    for (unsigned i = 0; i < n->ports_count; i++)
        while ((b = queue_take(&n->ports[i].asked)) != NULL) {
            b->next = NULL;
            *n->pending_end = b;
            n->pending_end = &b->next;
        }
}

void order_give_back(struct node *n, struct write_batch *list)
{
    for (struct write_batch *b = list, *next; b != NULL; b = next) {
        struct write_port *port = b->port;
        next = b->next;
        if (port == NULL) {
            forward_answer(n, b);
            continue;
        }
        queue_put(&port->answered, b); /* has room for all there are */
        port->wake(port->front);
    }
}

/* --- The loop's events --- */

static void drop_asked(struct node *n)
{
    char name[APP_NAME_BYTES_MAX + 1];
    pthread_mutex_lock(&n->lock);
    memcpy(name, n->drop, sizeof name);
    n->drop[0] = '\0';
    pthread_mutex_unlock(&n->lock);
    if (name[0] != '\0' && n->primary)
        step(n, &(struct repl_event){.kind = REPL_DROP, .name = name});
}

static void help_done(struct node *n)
{
    struct help_job *job;
    while ((job = help_take(n)) != NULL) {
        if (job->kind == HELP_CONNECT)
            links_called(n, job);
        else if (job->kind == HELP_CHUNK)
            copy_chunk_read(n, job);
        else if (job->kind >= HELP_PART_BEGIN)
            copy_written(n, job);
        else if (job->kind == HELP_READ)
            ship_read(n, job);
        else
            step(n, &(struct repl_event){.kind = REPL_LOOKED_UP,
                                         .link = job->link,
                                         .point = job->point,
                                         .rc = job->rc});
        help_job_destroy(job);
    }
}

static bool idle(const struct node *n)
{
    bool flies = n->flight.any && !n->repl.fenced;
    return n->pending == NULL && n->fates.first == NULL && !flies && !n->job_asked &&
           !n->frame_wanted && !n->save_wanted;
}

static void stop_if_due(struct node *n)
{
    if (!atomic_load_explicit(&n->stop_order, memory_order_acquire))
        return;
    uint64_t now_us = clock_mono_us(n->o.clock);
    if (n->stop_us == 0)
        n->stop_us = now_us;
    bool stuck = n->retry_us != 0 || atomic_load_explicit(&n->gave_up, memory_order_acquire);
    if (idle(n) || stuck || now_us > n->stop_us + STOP_US)
        net_loop_stop(n->loop);
}

/* Whether what the ready line says is true, or will not become so soon. */
static void announce(struct node *n)
{
    struct status *status = n->o.status;
    if (atomic_load_explicit(&status->started, memory_order_relaxed))
        return;
    int refusal = atomic_load_explicit(&status->refusal, memory_order_relaxed);
    bool ready = atomic_load_explicit(&status->ready, memory_order_relaxed);
    bool late = n->repl.now_us > n->start_us + START_US;
    bool full = atomic_load_explicit(&status->disk_full, memory_order_relaxed);
    bool settled = refusal == 0 || (n->primary && (refusal != ERR_NOT_READY || full));
    if (ready && (settled || late))
        atomic_store_explicit(&status->started, true, memory_order_release);
}

/* All that this thread can do without waiting, after whatever came. */
static void turn_end(void *node)
{
    struct node *n = node;
    links_arrived(n);
    drop_asked(n);
    help_done(n);
    jobs_done(n);
    install_if_due(n);
    if (n->retry_us != 0 && !n->install.any && clock_mono_us(n->o.clock) >= n->retry_us)
        apply(n);
    if (n->own_wanted && !n->flight.any) {
        n->own_wanted = false;
        entries_append(n, &n->own);
    }
    if (n->repl.fenced)
        entries_give_up(n);
    take_asked(n);
    if (!n->primary)
        forward_pending(n);
    else
        while (n->pending != NULL && entries_make(n)) {
        }
    links_resume(n);
    jobs_ask(n);
    ship_all(n);
    view_publish(n);
    announce(n);
    stop_if_due(n);
}

/* The next start begins again from checkpoint and log. A backup goes on without serving, so that it
 * can be looked at; a primary's word is what others have, so it ends. */
static void judge_scrub(struct node *n)
{
    if (!atomic_load_explicit(&n->rotten, memory_order_acquire) || n->diverged || n->install.any)
        return;
    data_dir_distrust(&n->dir);
    if (n->primary)
        n->o.fatal("local storage is not what was written to it: look at the disk; the next start "
                   "rebuilds it from checkpoint and log");
    links_diverge(n,
                  "local storage is not what was written to it: this server stops to serve; look "
                  "at the disk; the next start rebuilds it from checkpoint and log");
}

static void tick(void *node, uint64_t mono_us)
{
    struct node *n = node;
    step(n, &(struct repl_event){.kind = REPL_TIME, .now_us = mono_us});
    links_tick(n);
    copy_tick(n);
    if (!n->install.any)
        (void)space_find(n); /* it comes back also where nobody writes */
    checkpoint_if_due(n);
    judge_scrub(n);
    if (!n->primary)
        links_call(n);
    message_tick(n->o.ring, mono_us);
}

int order_open_loop(struct node *n)
{
    const struct net_loop_options o = {
        .handler = {.context = n,
                    .received = links_received,
                    .closed = links_closed,
                    .tick = tick,
                    .turn_end = turn_end},
        .clock = n->o.clock,
        .user_bytes = sizeof(struct link *),
        .connections_max = LINKS_MAX,
        .input_bytes_max = PEER_HEAD_BYTES + PEER_BODY_BYTES_MAX,
        .tick_ms = TICK_MS,
    };
    return net_loop_create(&n->loop, &o);
}

void order_begin(struct node *n)
{
    const struct repl_event e = {
        .kind = REPL_START,
        .epoch = n->epoch,
        .index = log_last_index(n->log),
        .committed = n->state.applied,
    };
    n->start_us = clock_mono_us(n->o.clock);
    step(n, &e);
    step(n, &(struct repl_event){.kind = REPL_TIME, .now_us = n->start_us});
    view_publish(n);
}

void *order_run(void *node)
{
    struct node *n = node;
    thread_begin("order", THREAD_USUAL);
    order_begin(n);
    net_loop_wake(n->loop);
    if (net_loop_run(n->loop) != 0)
        n->o.fatal("the event loop between servers failed");
    return NULL;
}
