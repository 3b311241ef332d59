/* Calling those who may not know of a promotion, on a thread of its own: most of them do not
 * answer. */
#include "node/untold.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/stable.h"
#include "base/thread.h"
#include "node/inside.h"

enum {
    AGAIN_MS = 1000,
    LOOK_MS = 100,
    LOOKS = 50, /* for an answer: who stands still finds the hello when it goes on */
    UNTOLD_BYTES_MAX = 4096,
};

int untold_write(struct data_dir *d, struct span addresses)
{
    char path[PATH_BYTES_MAX];
    return stable_write(d->disk, data_dir_path(d, "untold", path), addresses.at, addresses.bytes);
}

static void read_addresses(struct node *n)
{
    char path[PATH_BYTES_MAX], bytes[UNTOLD_BYTES_MAX], why[256];
    size_t got = 0;
    int rc = stable_read(n->o.disk, data_dir_path(&n->dir, "untold", path), bytes, sizeof bytes,
                         &got, why, sizeof why);
    if (rc == 0)
        buf_add(&n->untold.addresses, bytes, got);
    else if (rc != ERR_NOT_FOUND)
        n->o.say(why);
}

/* --- One call --- */

static void make_hello(struct node *n)
{
    const struct repl *r = &n->repl;
    struct peer_message m = {.kind = PEER_HELLO, .session = n->o.seed};
    struct peer_hello *h = &m.hello;
    memcpy(h->cluster, r->hard.cluster, sizeof h->cluster);
    h->group = r->o.group;
    h->generation = r->o.generation;
    h->server = r->o.self;
    memcpy(h->address, r->o.address, sizeof h->address);
    h->life = n->o.seed;
    h->promised_epoch = n->epoch;
    h->promised_life = n->o.seed;
    h->points_count = 1; /* the beginning: nothing is asked for */
    peer_encode(&n->untold.hello, &m);
}

static bool stopping(const struct untold *u)
{
    return atomic_load_explicit(&u->stop, memory_order_acquire);
}

/* The answer, whole. */
static bool listen_to(const struct untold *u, int fd, struct peer_message *m)
{
    char in[PEER_HEAD_BYTES + PEER_SMALL_BYTES_MAX];
    size_t got = 0;
    for (unsigned looks = 0; looks < LOOKS && !stopping(u);) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, LOOK_MS) != 1) {
            looks++;
            continue;
        }
        ssize_t more = recv(fd, in + got, sizeof in - got, 0);
        if (more <= 0)
            return false;
        got += (size_t)more;
        long used = peer_decode(span(in, got), m, NULL);
        if (used != 0 || got == sizeof in)
            return used > 0;
    }
    return false;
}

/* True: it knows now, or is none of those who would have to. */
static bool tell(struct node *n, const char *address)
{
    struct peer_message m;
    const struct untold *u = &n->untold;
    char sentence[DETAIL_BYTES_MAX];
    struct span hello = buf_span(&u->hello);
    int fd = help_dial(address);
    if (fd < 0)
        return false;
    bool heard = send(fd, hello.at, hello.bytes, MSG_NOSIGNAL) == (ssize_t)hello.bytes &&
                 listen_to(u, fd, &m);
    close(fd);
    if (!heard || (m.kind == PEER_REFUSE && m.refuse.code == REFUSE_VERSION))
        return false;
    if (m.epoch > u->epoch)
        snprintf(sentence, sizeof sentence,
                 "the server at %s knows of a newer primary than this one: stop this one, and "
                 "start it with --primary of that",
                 address);
    else
        snprintf(sentence, sizeof sentence, "the server at %s knows that this is the primary",
                 address);
    n->o.say(sentence);
    return true;
}

/* --- The thread --- */

/* Calls each once; those who were told are taken out. */
static void round_of_calls(struct node *n)
{
    struct untold *u = &n->untold;
    struct buf left = {0};
    char address[PEER_ADDRESS_BYTES_MAX + 1];
    for (size_t at = 0; at < u->addresses.bytes && !stopping(u);) {
        const char *line = u->addresses.at + at;
        const char *end = memchr(line, '\n', u->addresses.bytes - at);
        size_t bytes = end == NULL ? u->addresses.bytes - at : (size_t)(end - line);
        at += bytes + 1;
        snprintf(address, sizeof address, "%.*s", (int)bytes, line);
        if (strchr(address, ':') == NULL || !tell(n, address))
            buf_printf(&left, "%s\n", address);
    }
    if (stopping(u) || left.failed || left.bytes == u->addresses.bytes) {
        buf_finish(&left);
        return;
    }
    buf_finish(&u->addresses);
    u->addresses = left;
    (void)untold_write(&n->dir, buf_span(&left)); /* else they are told once more */
}

static void *untold_run(void *node)
{
    struct node *n = node;
    struct untold *u = &n->untold;
    thread_begin("untold", THREAD_USUAL);
    while (!stopping(u) && u->addresses.bytes != 0) {
        round_of_calls(n);
        bell_rest(&u->bell);
        if (!stopping(u) && u->addresses.bytes != 0)
            bell_wait(&u->bell, AGAIN_MS);
        bell_awake(&u->bell);
    }
    return NULL;
}

int untold_init(struct untold *u)
{
    u->addresses.bytes_max = u->hello.bytes_max = 2 * UNTOLD_BYTES_MAX;
    return bell_init(&u->bell);
}

int untold_start(struct node *n)
{
    struct untold *u = &n->untold;
    if (!n->primary)
        return 0;
    read_addresses(n);
    if (u->addresses.bytes == 0)
        return 0;
    u->epoch = n->epoch;
    make_hello(n);
    u->runs = !u->hello.failed && pthread_create(&u->thread, NULL, untold_run, n) == 0;
    return u->runs ? 0 : ERR_SYSTEM;
}

void untold_stop(struct node *n)
{
    struct untold *u = &n->untold;
    if (!u->runs)
        return;
    atomic_store_explicit(&u->stop, true, memory_order_release);
    bell_ring(&u->bell);
    pthread_join(u->thread, NULL);
}

void untold_finish(struct untold *u)
{
    buf_finish(&u->addresses);
    buf_finish(&u->hello);
    bell_finish(&u->bell);
}
