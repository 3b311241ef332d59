/* The helper thread: reads log and checkpoint for backups that are behind, calls the primary,
 * writes a copy that comes. All may take long, and none is the log thread's own work. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/thread.h"
#include "node/inside.h"

enum { CONNECT_MS = 1000 };

struct help_job *help_job_create(void)
{
    struct help_job *job = calloc(1, sizeof *job);
    if (job != NULL)
        job->fd = -1;
    return job;
}

void help_job_destroy(struct help_job *job)
{
    if (job == NULL)
        return;
    if (job->fd >= 0)
        close(job->fd);
    buf_finish(&job->bytes);
    free(job);
}

static void put_done(struct node *n, struct help_job *job)
{
    job->next = NULL;
    *n->help_done_end = job;
    n->help_done_end = &job->next;
}

void help_ask(struct node *n, struct help_job *job, bool done)
{
    pthread_mutex_lock(&n->lock);
    if (done) {
        put_done(n, job);
    } else {
        job->next = NULL;
        *n->help_todo_end = job;
        n->help_todo_end = &job->next;
        pthread_cond_signal(&n->help_wanted);
    }
    pthread_mutex_unlock(&n->lock);
    if (done)
        order_wake(n);
}

struct help_job *help_take(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    struct help_job *job = n->help_done;
    if (job != NULL)
        n->help_done = job->next;
    if (n->help_done == NULL)
        n->help_done_end = &n->help_done;
    pthread_mutex_unlock(&n->lock);
    return job;
}

/* --- The log --- */

/* Cuts what was read to the entries from job->index on, and says what they are. */
static int trim(struct help_job *job)
{
    size_t at = 0, skip = 0;
    bool found = false;
    while (at < job->bytes.bytes) {
        struct span rest = span(job->bytes.at + at, job->bytes.bytes - at);
        struct entry e;
        size_t bytes = entry_peek(rest, &e);
        if (bytes == 0)
            return ERR_CORRUPT;
        if (e.index == job->index) {
            found = true;
            skip = at;
            job->first_seq = e.first_seq;
            job->point = (struct peer_point){e.epoch, e.index, e.chain};
        }
        job->last = e.index;
        job->seq = e.first_seq + e.effects - 1;
        at += bytes;
    }
    if (found)
        buf_consume(&job->bytes, skip);
    return found ? 0 : ERR_CORRUPT;
}

static void read_log(struct log_reader *reader, struct help_job *job)
{
    if (job->kind == HELP_LOOK_UP && job->index == 0)
        return; /* the beginning of every log */
    size_t bytes_max = job->kind == HELP_READ ? SHIP_BYTES : 1;
    job->rc = log_read(reader, job->index, bytes_max, &job->bytes, &job->last);
    if (job->rc == 0)
        job->rc = trim(job);
}

/* --- Other servers --- */

static bool connected(int fd, const struct addrinfo *to)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return true;
    return errno == EINPROGRESS && poll(&p, 1, CONNECT_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0;
}

/* HOST:PORT, or [HOST]:PORT. */
static int resolve(const char *address, struct addrinfo **found)
{
    char host[SETTINGS_PEER_BYTES_MAX + 1];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    const char *colon = strrchr(address, ':');
    bool bracket = address[0] == '[' && colon - address > 1 && colon[-1] == ']';
    size_t bytes = (size_t)(colon - address) - 2 * bracket;
    if (bytes >= sizeof host)
        return EAI_NONAME;
    memcpy(host, address + bracket, bytes);
    host[bytes] = '\0';
    return getaddrinfo(host, colon + 1, &hints, found);
}

int help_dial(const char *address)
{
    struct addrinfo *found = NULL;
    int fd = -1;
    if (resolve(address, &found) != 0)
        return -1;
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && !connected(fd, a)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* --- The thread --- */

static struct help_job *wait_todo(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    while (n->help_todo == NULL && !n->help_stop)
        pthread_cond_wait(&n->help_wanted, &n->lock);
    struct help_job *job = n->help_stop ? NULL : n->help_todo;
    if (job != NULL)
        n->help_todo = job->next;
    if (n->help_todo == NULL)
        n->help_todo_end = &n->help_todo;
    pthread_mutex_unlock(&n->lock);
    return job;
}

void *help_run(void *node)
{
    struct node *n = node;
    struct log_reader *reader = NULL;
    struct help_job *job;
    thread_begin("helper", THREAD_BACK);
    if (log_reader_create(&reader, n->log) != 0)
        n->o.fatal("out of memory");
    while ((job = wait_todo(n)) != NULL) {
        if (job->kind == HELP_CONNECT)
            job->fd = help_dial(n->o.settings->primary);
        else if (job->kind == HELP_CHUNK)
            copy_read(n, job);
        else if (job->kind >= HELP_PART_BEGIN)
            part_do(n, job);
        else
            read_log(reader, job);
        pthread_mutex_lock(&n->lock);
        put_done(n, job);
        pthread_mutex_unlock(&n->lock);
        order_wake(n);
    }
    part_finish(n);
    log_reader_destroy(reader);
    return NULL;
}
