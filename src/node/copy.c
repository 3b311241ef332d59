/*
 * Full copies (S13): a primary sends its newest checkpoint, in chunks, to a backup that the log
 * does not reach; the backup keeps what comes, also over its own end, until it has all of it. What
 * may follow what is repl/full_copy's; files are part.c's; what is done with a whole copy is
 * install.c's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "node/inside.h"

enum {
    CHUNK_BYTES_MAX = 64 * 1024,
    CHUNKS_PER_S = 4, /* at a low rate: whoever waits for one sees that it comes */
    HOLD_US = 60 * 1000 * 1000,
    AGAIN_US = 1000 * 1000, /* after a failure here; then doubling */
    AGAIN_MAX_US = 60 * 1000 * 1000,
};

/* --- A primary --- */

static void refuse(struct node *n, struct link *l, enum peer_refusal code, const char *sentence)
{
    struct peer_message m = {.kind = PEER_REFUSE, .epoch = n->repl.epoch, .refuse = {.code = code}};
    snprintf(m.refuse.sentence, sizeof m.refuse.sentence, "%s", sentence);
    links_send(n, l, &m);
    link_say(n, l, sentence);
    links_end(n, l, true);
}

void copy_asked(struct node *n, struct link *l, const struct peer_copy_ask *ask)
{
    const char *why;
    struct checkpoint c = checkpoint_dup(n);
    struct peer_message m = {.kind = PEER_COPY_HEAD, .epoch = n->repl.epoch};
    memcpy(l->name, ask->server.name, sizeof l->name);
    l->copy_fd = c.fd; /* closed with the link */
    m.copy_head.seal = c.seal;
    enum peer_refusal code = full_copy_offer(&n->repl, ask, &c.at, c.bytes, &m.copy_head, &why);
    if (why != NULL && code == REFUSE_OTHER) {
        if (atomic_load_explicit(&n->checkpoint_known, memory_order_acquire))
            checkpoint_want(n);
        else
            why = "the checkpoint that an earlier life left is read through first";
    } else if (why == NULL && c.fd < 0) {
        why = "no file descriptor is left for a copy";
    }
    if (why != NULL) {
        refuse(n, l, code, why);
        return;
    }
    l->known = l->copying = true;
    l->copy_at = l->copy_start = m.copy_head.offset;
    l->copy_bytes = c.bytes;
    l->copy_us = n->repl.now_us;
    links_send(n, l, &m);
    order_say(n, "%s gets a full copy of %" PRIu64 " MB%s", l->name, c.bytes / 1000000,
              l->copy_at != 0 ? ", from where it was cut off" : "");
    if (n->copy_hold_us == 0) /* asking again and again prolongs nothing, */
        copy_hold(n);
}

/* Neither checkpoint nor log are changed under a backup that is on its way, nor while it checks
 * what it got; for a while only, so that one that never comes pins nothing. It is prolonged by what
 * is taken, and that shows once more was sent than waits on the way (copy_chunk_read). */
void copy_hold(struct node *n)
{
    uint64_t check_us = 2 * checkpoint_now(n).bytes * 1000000 / CHECK_BYTES_PER_S;
    uint64_t shown_us = LINK_UNSENT_MAX * UINT64_C(1000000) / n->o.settings->copy_bytes_per_s;
    n->copy_hold_us = n->repl.now_us + HOLD_US + check_us + shown_us;
    atomic_store_explicit(&n->copying, true, memory_order_release);
}

void copy_tick(struct node *n)
{
    if (n->copy_hold_us != 0 && n->repl.now_us > n->copy_hold_us) {
        n->copy_hold_us = 0;
        atomic_store_explicit(&n->copying, false, memory_order_release);
        bell_ring(&n->prepare_bell);
        checkpoint_look(n);
    }
}

static bool slow_enough(const struct node *n, const struct link *l)
{
    uint64_t sent = l->copy_at - l->copy_start;
    return sent * 1000000 / n->o.settings->copy_bytes_per_s <= n->repl.now_us - l->copy_us;
}

void copy_pump(struct node *n, struct link *l)
{
    if (l->reading || l->copy_at == l->copy_bytes || net_unsent(l->conn) > LINK_UNSENT_MAX ||
        !slow_enough(n, l))
        return;
    struct help_job *job = help_job_create();
    if (job == NULL)
        return;
    job->kind = HELP_CHUNK;
    job->link = l->number;
    job->index = l->copy_at;
    job->fd = dup(l->copy_fd); /* the link may be gone before it is read */
    l->reading = true;
    help_ask(n, job, false);
}

/* By the helper. */
void copy_read(struct node *n, struct help_job *job)
{
    uint64_t bytes = n->o.settings->copy_bytes_per_s / CHUNKS_PER_S;
    if (bytes > CHUNK_BYTES_MAX)
        bytes = CHUNK_BYTES_MAX;
    char *to = buf_room(&job->bytes, bytes);
    ssize_t got = to != NULL ? pread(job->fd, to, bytes, (off_t)job->index) : -1;
    if (got > 0)
        job->bytes.bytes += (size_t)got;
    job->rc = got > 0 ? 0 : ERR_IO;
}

void copy_chunk_read(struct node *n, struct help_job *job)
{
    struct link *l = links_find(n, job->link);
    if (l == NULL)
        return;
    l->reading = false;
    if (job->rc != 0) {
        link_say(n, l, "the checkpoint cannot be read for it");
        links_end(n, l, false);
        return;
    }
    struct peer_message m = {.kind = PEER_COPY_CHUNK, .epoch = n->repl.epoch};
    m.copy_chunk.offset = l->copy_at;
    m.copy_chunk.bytes = buf_span(&job->bytes);
    links_send(n, l, &m);
    l->copy_at += job->bytes.bytes;
    if (l->copy_at - l->copy_start > LINK_UNSENT_MAX) /* but what is taken does */
        copy_hold(n);
    copy_pump(n, l);
}

/* --- A backup --- */

/* Each that fails here is followed by another later, and later each time. */
static void back_off(struct node *n)
{
    struct copy *c = &n->copy;
    c->wait_us = c->wait_us == 0 ? AGAIN_US : c->wait_us;
    c->again_us = n->repl.now_us + c->wait_us;
    c->wait_us = c->wait_us * 2 < AGAIN_MAX_US ? c->wait_us * 2 : AGAIN_MAX_US;
}

bool copy_may_call(const struct node *n)
{
    const struct copy *c = &n->copy;
    return !n->install.any && !c->due && c->jobs == 0 &&
           (!c->wanted || n->repl.now_us >= c->again_us);
}

void copy_ask(struct node *n, struct link *l)
{
    struct peer_message m = {.kind = PEER_COPY_ASK};
    full_copy_ask(&n->repl, &n->copy.part, &m.copy_ask);
    l->copying = true;
    links_send(n, l, &m);
}

static void ask_helper(struct node *n, enum help_kind kind, struct span bytes)
{
    struct help_job *job = help_job_create();
    if (job != NULL)
        buf_add_span(&job->bytes, bytes);
    if (job == NULL || job->bytes.failed)
        n->o.fatal("out of memory");
    job->kind = kind;
    job->part = n->copy.part;
    job->index = bytes.bytes;
    n->copy.jobs++;
    n->copy.bytes += bytes.bytes;
    help_ask(n, job, false);
}

static const char *begin_part(struct node *n, const struct peer_copy_head *h)
{
    struct copy *c = &n->copy;
    const char *why = full_copy_begin(&c->part, &n->repl, h);
    if (why != NULL)
        return why;
    n->up->known = true;
    c->start_us = n->repl.now_us;
    c->start_at = h->offset;
    c->said = (unsigned)(h->offset * 10 / h->bytes);
    if (h->offset != 0)
        order_say(n,
                  "a full copy of %" PRIu64
                  " MB comes from the primary, from where it was cut off, at %" PRIu64 " %%",
                  h->bytes / 1000000, h->offset * 100 / h->bytes);
    else
        order_say(n, "a full copy of %" PRIu64 " MB comes from the primary", h->bytes / 1000000);
    ask_helper(n, HELP_PART_BEGIN, span(NULL, 0));
    return NULL;
}

uint64_t copy_rate(const struct node *n)
{
    const struct copy *c = &n->copy;
    uint64_t passed_us = n->repl.now_us - c->start_us;
    bool comes = c->part.open && passed_us != 0;
    return comes ? (c->part.got - c->start_at) * 1000000 / passed_us : 0;
}

static void say_share(struct node *n, unsigned tenths)
{
    const struct full_copy *part = &n->copy.part;
    char rate[40] = "";
    if (copy_rate(n) != 0) /* else it has just begun */
        snprintf(rate, sizeof rate, ", at %.1f MB/s", (double)copy_rate(n) / 1e6);
    order_say(n, "%u %% of the copy are here, %.1f of %.1f MB%s", tenths * 10,
              (double)part->got / 1e6, (double)part->bytes / 1e6, rate);
}

static const char *add_to_part(struct node *n, const struct peer_copy_chunk *chunk)
{
    struct copy *c = &n->copy;
    const char *why = full_copy_take(&c->part, chunk);
    if (why != NULL)
        return why;
    ask_helper(n, HELP_PART_ADD, chunk->bytes);
    unsigned tenths = (unsigned)(c->part.got * 10 / c->part.bytes);
    if (tenths > c->said && tenths < 10)
        say_share(n, tenths);
    c->said = tenths;
    return NULL;
}

void copy_told(struct node *n, struct link *l, const struct peer_message *m)
{
    const char *why = "it sent what has no place in a copy";
    if (m->kind == PEER_REFUSE)
        why = m->refuse.sentence;
    else if (m->kind == PEER_COPY_HEAD)
        why = begin_part(n, &m->copy_head);
    else if (m->kind == PEER_COPY_CHUNK)
        why = add_to_part(n, &m->copy_chunk);
    /* Another primary's log may reach: the next call says hello again, but for a suspect backup,
     * which wants nothing but a copy (S11). */
    if (m->kind == PEER_COPY_HEAD && why != NULL)
        n->copy.wanted = n->repl.o.suspect;
    if (why != NULL)
        link_say(n, l, why);
    if (why != NULL || full_copy_whole(&n->copy.part))
        links_end(n, l, false);
}

/* It is durable, or not here: then nothing that came behind it is, either. */
void copy_written(struct node *n, struct help_job *job)
{
    struct copy *c = &n->copy;
    struct link *l = n->up;
    c->jobs--;
    c->bytes -= job->index;
    if (job->kind == HELP_PART_FORGET)
        return;
    if (job->rc != 0) {
        c->part = job->part;
        if (l != NULL && l->copying) {
            buf_add_char(&job->bytes, '\0');
            link_say(n, l, job->bytes.failed ? "out of memory" : job->bytes.at);
            links_end(n, l, false);
        }
        if (n->repl.now_us >= c->again_us) /* once for all that was under way */
            back_off(n);
    }
    c->due = c->jobs == 0 && full_copy_whole(&c->part);
}

void copy_forget(struct node *n, bool wanted)
{
    bool any = n->copy.part.at.index != 0;
    n->copy.part = (struct full_copy){0};
    n->copy.wanted = wanted;
    if (wanted)
        back_off(n);
    else
        n->copy.wait_us = 0;
    if (any)
        ask_helper(n, HELP_PART_FORGET, span(NULL, 0));
}
