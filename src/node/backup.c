/*
 * Backups that clients take: a copy of local storage into a connection that a front end gave up,
 * by a thread of its own. Knows of HTTP only the chunks of RFC 9112 section 7.1; the head comes
 * from who gave it up.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/thread.h"
#include "node/inside.h"

enum {
    LOOK_S = 1,                  /* a send that waits looks so often whether it should */
    STALL_US = 30 * 1000 * 1000, /* for a piece to be taken: who reads slower pins old pages */
};

static bool stopping(const struct node *n)
{
    return atomic_load_explicit(&n->backups_stop, memory_order_acquire);
}

static int send_all(const struct backup *b, struct span bytes, int flags)
{
    const struct node *n = b->node;
    uint64_t until_us = clock_mono_us(n->o.clock) + STALL_US;
    while (bytes.bytes != 0) {
        ssize_t sent = send(b->fd, bytes.at, bytes.bytes, MSG_NOSIGNAL | flags);
        if (sent < 0 && errno != EINTR && errno != EAGAIN)
            return ERR_SYSTEM;
        if (sent > 0)
            bytes = span(bytes.at + sent, bytes.bytes - (size_t)sent);
        if (bytes.bytes != 0 && (stopping(n) || clock_mono_us(n->o.clock) > until_us))
            return ERR_SYSTEM;
    }
    return 0;
}

static int give_piece(void *context, struct span piece)
{
    const struct backup *b = context;
    char size[32];
    if (!b->chunked)
        return send_all(b, piece, 0);
    snprintf(size, sizeof size, "%zx\r\n", piece.bytes);
    int rc = send_all(b, span_of(size), MSG_MORE);
    if (rc == 0)
        rc = send_all(b, piece, MSG_MORE);
    return rc == 0 ? send_all(b, span_of("\r\n"), 0) : rc;
}

/* What the client has sent meanwhile is thrown away, so that it does not reset what it has yet to
 * read (RFC 9112 section 9.6). */
static void linger(const struct backup *b)
{
    char thrown[4096];
    const struct node *n = b->node;
    uint64_t until_us = clock_mono_us(n->o.clock) + LINGER_MS * UINT64_C(1000);
    shutdown(b->fd, SHUT_WR);
    while (!stopping(n) && clock_mono_us(n->o.clock) < until_us) {
        ssize_t got = recv(b->fd, thrown, sizeof thrown, 0);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return;
    }
}

/* A copy that is not whole ends with a reset, and without the last chunk: nobody takes it for one.
 */
static void end(struct backup *b, bool whole)
{
    static const struct linger reset = {.l_onoff = 1};
    if (whole)
        linger(b);
    else
        setsockopt(b->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    buf_finish(&b->head);
    pthread_mutex_lock(&b->node->lock);
    close(b->fd);
    b->fd = -1;
    b->state = BACKUP_OVER;
    pthread_mutex_unlock(&b->node->lock);
}

static void *backup_run(void *arg)
{
    static const struct timeval look = {.tv_sec = LOOK_S};
    struct backup *b = arg;
    struct node *n = b->node;
    const struct copy_out o = {.stop = &n->backups_stop, .take = give_piece, .context = b};
    thread_begin("backup", THREAD_BACK);
    setsockopt(b->fd, SOL_SOCKET, SO_SNDTIMEO, &look, sizeof look);
    setsockopt(b->fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof look);
    int rc = send_all(b, buf_span(&b->head), 0);
    if (rc == 0)
        rc = copy_out(n, &o);
    if (rc == 0 && b->chunked)
        rc = send_all(b, span_of("0\r\n\r\n"), 0);
    end(b, rc == 0);
    return NULL;
}

/* The first place in this state; under the lock. */
static struct backup *place(struct node *n, int state)
{
    for (unsigned i = 0; i < BACKUPS_MAX; i++)
        if ((int)n->backups[i].state == state)
            return &n->backups[i];
    return NULL;
}

int node_backup_reserve(void *node)
{
    struct node *n = node;
    struct backup *b;
    pthread_mutex_lock(&n->lock);
    while ((b = place(n, BACKUP_OVER)) != NULL) {
        pthread_join(b->thread, NULL); /* it has nothing left to do */
        b->state = BACKUP_NONE;
    }
    b = stopping(n) ? NULL : place(n, BACKUP_NONE);
    if (b != NULL)
        b->state = BACKUP_RESERVED;
    pthread_mutex_unlock(&n->lock);
    return b != NULL ? 0 : ERR_BUSY;
}

void node_backup_start(void *node, int fd, struct span head, bool chunked)
{
    struct node *n = node;
    pthread_mutex_lock(&n->lock);
    struct backup *b = place(n, BACKUP_RESERVED);
    assert(b != NULL);
    *b = (struct backup){.node = n, .fd = fd, .chunked = chunked};
    buf_add_span(&b->head, head);
    bool runs = fd >= 0 && !stopping(n) && !b->head.failed &&
                pthread_create(&b->thread, NULL, backup_run, b) == 0;
    b->state = runs ? BACKUP_RUNNING : BACKUP_NONE;
    if (!runs) {
        buf_finish(&b->head);
        if (fd >= 0)
            close(fd);
    }
    pthread_mutex_unlock(&n->lock);
}

void backups_end(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    atomic_store_explicit(&n->backups_stop, true, memory_order_release);
    for (unsigned i = 0; i < BACKUPS_MAX; i++)
        if (n->backups[i].state == BACKUP_RUNNING)
            shutdown(n->backups[i].fd, SHUT_RDWR); /* a send that waits returns */
    pthread_mutex_unlock(&n->lock);
    /* Their states may still change, but not whether they have a thread. */
    for (unsigned i = 0; i < BACKUPS_MAX; i++) {
        pthread_mutex_lock(&n->lock);
        bool runs = n->backups[i].state == BACKUP_RUNNING || n->backups[i].state == BACKUP_OVER;
        pthread_mutex_unlock(&n->lock);
        if (runs)
            pthread_join(n->backups[i].thread, NULL);
        n->backups[i].state = BACKUP_NONE;
    }
}
