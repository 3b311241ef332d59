/*
 * Full copies (S13): a primary sends its newest checkpoint, in chunks, to a backup that the log
 * does not reach; the backup checks it and begins anew with it, under a new identity. A copy that
 * is not whole never takes the place of anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "node/inside.h"
#include "store/copy.h"

enum { CHUNK_BYTES = 256 * 1024, HOLD_US = 60 * 1000 * 1000, CHECK_BYTES_PER_US = 20 };

/* --- A primary --- */

static void refuse(struct node *n, struct link *l, enum peer_refusal code, const char *sentence)
{
    struct peer_message m = {.kind = PEER_REFUSE, .epoch = n->repl.epoch, .refuse = {.code = code}};
    snprintf(m.refuse.sentence, sizeof m.refuse.sentence, "%s", sentence);
    links_send(n, l, &m);
    link_say(n, l, sentence);
    links_end(n, l, true);
}

/* The file stays the same one to who has it open, whatever is renamed over it. */
static bool open_checkpoint(const struct node *n, struct link *l)
{
    char path[PATH_BYTES_MAX];
    l->copy_fd = open(data_dir_path(&n->dir, "checkpoint.mdb", path), O_RDONLY | O_CLOEXEC);
    return l->copy_fd >= 0;
}

void copy_asked(struct node *n, struct link *l, const struct peer_copy_ask *ask)
{
    const char *why;
    struct checkpoint c = checkpoint_now(n);
    struct peer_message m = {.kind = PEER_COPY_HEAD, .epoch = n->repl.epoch};
    memcpy(l->name, ask->server.name, sizeof l->name);
    enum peer_refusal code = full_copy_offer(&n->repl, ask, &c.at, c.bytes, &m.copy_head, &why);
    if (why == NULL && !open_checkpoint(n, l))
        why = "there is no checkpoint yet: one is made";
    if (why != NULL) {
        if (code == REFUSE_OTHER)
            checkpoint_want(n);
        refuse(n, l, code, why);
        return;
    }
    l->known = l->copying = true;
    l->copy_at = l->copy_start = m.copy_head.offset;
    l->copy_bytes = c.bytes;
    l->copy_us = n->repl.now_us;
    links_send(n, l, &m);
    order_say(n, "%s gets a full copy of %" PRIu64 " MB", l->name, c.bytes / 1000000);
    if (n->copy_hold_us == 0) /* asking again and again prolongs nothing, */
        copy_hold(n);
}

/* Neither checkpoint nor log are changed under a backup that is on its way, nor while it checks
 * what it got; for a while only, so that one that never comes pins nothing. */
void copy_hold(struct node *n)
{
    uint64_t check_us = checkpoint_now(n).bytes / CHECK_BYTES_PER_US;
    n->copy_hold_us = n->repl.now_us + HOLD_US + check_us;
    atomic_store_explicit(&n->copying, true, memory_order_release);
}

void copy_tick(struct node *n)
{
    if (n->copy_hold_us != 0 && n->repl.now_us > n->copy_hold_us) {
        n->copy_hold_us = 0;
        atomic_store_explicit(&n->copying, false, memory_order_release);
        bell_ring(&n->prepare_bell);
    }
}

static bool slow_enough(const struct node *n, const struct link *l)
{
    uint64_t passed_us = n->repl.now_us - l->copy_us + 1000;
    return (l->copy_at - l->copy_start) / (passed_us / 1000) <=
           n->o.settings->copy_bytes_per_s / 1000;
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
void copy_read(struct help_job *job)
{
    char *to = buf_room(&job->bytes, CHUNK_BYTES);
    ssize_t got = to != NULL ? pread(job->fd, to, CHUNK_BYTES, (off_t)job->index) : -1;
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

static char *part_path(const struct node *n, char *to)
{
    data_dir_path(&n->dir, "copy.part", to);
    return to;
}

void copy_ask(struct node *n, struct link *l)
{
    struct peer_message m = {.kind = PEER_COPY_ASK};
    full_copy_ask(&n->repl, &n->copy.in, &m.copy_ask);
    l->copying = true;
    links_send(n, l, &m);
}

/* For what is still to come, and local storage and log that begin with it; the log that is here
 * goes. */
static bool has_space(const struct node *n, const struct peer_copy_head *h)
{
    char path[PATH_BYTES_MAX];
    uint64_t free_bytes = 0, total_bytes = 0, goes = log_bytes(n->log);
    if (n->suspect) /* that one is its spare one */
        goes += log_folder_bytes(n->o.disk, data_dir_path(&n->dir, "log", path));
    uint64_t needs = h->bytes - h->offset + h->bytes + 2 * n->segment_bytes + n->reserve_bytes;
    return n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes) == 0 &&
           free_bytes + goes >= needs;
}

static const char *begin_part(struct node *n, const struct peer_copy_head *h)
{
    char path[PATH_BYTES_MAX];
    struct full_copy in = n->copy.in;
    const char *why = full_copy_begin(&in, &n->repl, h);
    if (why != NULL)
        return why;
    if (!has_space(n, h))
        return "the disk has no space for its copy";
    if (n->copy.fd < 0)
        n->copy.fd = open(part_path(n, path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (n->copy.fd < 0 || ftruncate(n->copy.fd, (off_t)h->offset) != 0)
        return "there is no place for its copy here";
    n->up->known = true;
    n->copy.in = in;
    n->copy.said = 0;
    order_say(n, "a full copy of %" PRIu64 " MB comes from the primary%s", h->bytes / 1000000,
              h->offset != 0 ? ", from where it was cut off" : "");
    return NULL;
}

/* Into the page cache; it is synced before it is checked. */
static const char *write_part(struct node *n, const struct peer_copy_chunk *c)
{
    struct full_copy in = n->copy.in;
    const char *why = n->copy.fd < 0 ? "it sent no head of a copy" : full_copy_take(&in, c);
    if (why != NULL)
        return why;
    for (uint64_t at = c->offset, done = 0; done < c->bytes.bytes;) {
        ssize_t wrote =
            pwrite(n->copy.fd, c->bytes.at + done, c->bytes.bytes - done, (off_t)(at + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return "the disk has no space for its copy";
        done += (uint64_t)wrote;
    }
    n->copy.in = in;
    unsigned tenths = (unsigned)(in.got * 10 / in.bytes);
    if (tenths > n->copy.said && tenths < 10)
        order_say(n, "%u %% of the copy are here", tenths * 10);
    n->copy.said = tenths;
    return NULL;
}

static void check_part(struct node *n)
{
    struct help_job *job = help_job_create();
    if (job == NULL)
        n->o.fatal("out of memory");
    job->kind = HELP_CHECK;
    n->copy.checking = true;
    help_ask(n, job, false);
}

void copy_told(struct node *n, struct link *l, const struct peer_message *m)
{
    const char *why = "it sent what has no place in a copy";
    if (m->kind == PEER_REFUSE)
        why = m->refuse.sentence;
    else if (m->kind == PEER_COPY_HEAD)
        why = begin_part(n, &m->copy_head);
    else if (m->kind == PEER_COPY_CHUNK)
        why = write_part(n, &m->copy_chunk);
    /* Another primary's log may reach: the next call says hello again. */
    if (m->kind == PEER_COPY_HEAD && why != NULL)
        n->copy_wanted = false;
    if (why != NULL) {
        link_say(n, l, why);
        links_end(n, l, false);
    } else if (n->copy.in.got == n->copy.in.bytes) {
        links_end(n, l, false);
        check_part(n);
    }
}

/* By the helper. */
void copy_check(const struct node *n, struct help_job *job)
{
    char path[PATH_BYTES_MAX], why[256];
    struct store_state state;
    job->rc = fsync(n->copy.fd) == 0 ? 0 : ERR_IO;
    if (job->rc == 0) /* its name, too, before it is noted that it takes the place of the rest */
        job->rc = n->o.disk->sync_folder(n->o.disk->context, n->dir.path);
    if (job->rc == 0)
        job->rc = store_copy_check(part_path(n, path), &state, why, sizeof why);
    if (job->rc == 0)
        job->point =
            (struct peer_point){.epoch = state.epoch, .index = state.applied, .chain = state.chain};
}

static void forget_part(struct node *n)
{
    char path[PATH_BYTES_MAX];
    if (n->copy.fd >= 0)
        close(n->copy.fd);
    n->copy = (struct copy){.fd = -1};
    unlink(part_path(n, path));
}

void copy_checked(struct node *n, struct help_job *job)
{
    bool good = full_copy_good(&n->copy.in, job->rc, &job->point);
    n->copy.checking = false;
    if (!good) {
        order_say(n, "the copy is not whole, and is asked for once more");
        forget_part(n);
        return;
    }
    close(n->copy.fd);
    n->copy = (struct copy){.fd = -1};
    n->copy_wanted = false;
    node_install(n);
}

void copy_finish(struct node *n)
{
    if (n->copy.fd >= 0)
        close(n->copy.fd);
    n->copy.fd = -1;
}
