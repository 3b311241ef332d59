/* The event loop: the order of a turn, ticks, wakes, sockets, and who is let in. It does not know
 * how the kernel is asked (an engine does), nor what travels over its connections. */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/engine.h"

enum { PROBES = 3, /* of TCP keep-alive */ PATIENCE_MS_MIN = 1000 };

int net_loop_create(struct net_loop **created, const struct net_loop_options *o)
{
    assert(o->handler.received != NULL && o->tick_ms > 0 && o->connections_max > 0);
    struct net_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return ERR_NO_MEMORY;
    loop->options = *o;
    loop->engine = &net_epoll;
    loop->bell_source.kind = NET_BELL;
    loop->now_us = clock_mono_us(o->clock);
    loop->tick_us = loop->now_us + o->tick_ms * UINT64_C(1000);
    atomic_init(&loop->told, false);
    atomic_init(&loop->stopping, false);
    for (size_t i = 0; i < NET_SOCKETS_MAX; i++)
        loop->sockets[i].source.fd = -1;
    int rc = bell_init(&loop->bell);
    if (rc == 0) {
        loop->bell_source.fd = loop->bell.fd;
        rc = loop->engine->create(loop);
    }
    if (rc != 0) {
        bell_finish(&loop->bell);
        free(loop);
        return rc;
    }
    *created = loop;
    return 0;
}

/* --- Sockets --- */

static int add_socket(struct net_loop *loop, struct net_source source, struct net_udp *udp)
{
    struct net_socket *s = loop->sockets;
    while (s < loop->sockets + NET_SOCKETS_MAX && s->source.fd >= 0)
        s++;
    assert(s < loop->sockets + NET_SOCKETS_MAX);
    *s = (struct net_socket){source, udp};
    int rc = loop->engine->watch(loop, &s->source);
    if (rc != 0)
        s->source.fd = -1;
    return rc;
}

static void shut_socket(struct net_loop *loop, struct net_socket *s)
{
    (void)loop;
    close(s->source.fd);
    s->source.fd = -1;
    net_udp_destroy(s->udp);
    s->udp = NULL;
}

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/*
 * A peer that is gone without a word (its machine, or the way to it) is found out by probes while
 * all is quiet, and by TCP_USER_TIMEOUT (RFC 5482) while something is unacknowledged, for which the
 * kernel else tries for a quarter of an hour. With both, Linux counts the probes by the latter.
 */
static bool keep_alive(int fd, int seconds)
{
    int interval_s = (seconds + PROBES - 1) / PROBES;
    return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES) &&
           set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (seconds + PROBES * interval_s) * 1000);
}

int net_listen(struct net_loop *loop, int fd)
{
    /* The connections accepted inherit these: no system call for each. */
    int keep_alive_s = (int)loop->options.keep_alive_s;
    if (!set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
        !set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NET_KERNEL_BYTES) ||
        (keep_alive_s != 0 && !keep_alive(fd, keep_alive_s)))
        return ERR_SYSTEM;
    return add_socket(loop, (struct net_source){NET_LISTENER, fd}, NULL);
}

int net_datagrams(struct net_loop *loop, int fd)
{
    struct net_udp *udp;
    int rc = net_udp_create(&udp, fd);
    if (rc != 0)
        return rc;
    rc = add_socket(loop, (struct net_source){NET_DATAGRAMS, fd}, udp);
    if (rc != 0)
        net_udp_destroy(udp);
    return rc;
}

/* Calls `each` for the sockets of one kind that are there. */
static void each_socket(struct net_loop *loop, int kind,
                        void (*each)(struct net_loop *loop, struct net_socket *s))
{
    for (struct net_socket *s = loop->sockets; s < loop->sockets + NET_SOCKETS_MAX; s++) {
        if (s->source.fd >= 0 && (int)s->source.kind == kind)
            each(loop, s);
    }
}

static void unwatch(struct net_loop *loop, struct net_socket *s)
{
    loop->engine->unwatch(loop, &s->source);
}

static void watch(struct net_loop *loop, struct net_socket *s)
{
    /* Where it fails, accepting stays paused until the next tick. */
    if (loop->engine->watch(loop, &s->source) != 0)
        loop->accepting_paused = true;
}

static void send_replies(struct net_loop *loop, struct net_socket *s)
{
    (void)loop;
    net_udp_flush(s->udp);
}

/* Who has connected and was not accepted yet would be reset by the system. No more than can have
 * waited: whoever goes on to come does not keep the server. */
static void accept_the_last(struct net_loop *loop, struct net_socket *s)
{
    unsigned rounds = SOMAXCONN / NET_ACCEPTS_MAX + 1;
    while (rounds-- > 0 && loop->engine->accept(loop, &s->source)) {
    }
    shut_socket(loop, s);
}

void net_stop_accepting(struct net_loop *loop)
{
    loop->accepting_ends = true;
}

void net_stop_datagrams(struct net_loop *loop)
{
    each_socket(loop, NET_DATAGRAMS, unwatch);
}

void net_reply(struct net_loop *loop, const struct net_peer *peer, struct span bytes)
{
    for (struct net_socket *s = loop->sockets; s < loop->sockets + NET_SOCKETS_MAX; s++) {
        if (s->udp != NULL && net_udp_speaks(s->udp, peer->from.any.sa_family)) {
            net_udp_add(s->udp, peer, bytes);
            return;
        }
    }
}

/* --- Who is let in --- */

void net_count(struct net_loop *loop, int more)
{
    const struct net_loop_options *o = &loop->options;
    bool shared = more > 0 ? loop->count >= o->connections_own : loop->count > o->connections_own;
    loop->count += (size_t)more;
    if (o->connections != NULL && shared)
        atomic_fetch_add_explicit(o->connections, (size_t)more, memory_order_relaxed);
}

bool net_accepting(const struct net_loop *loop)
{
    const struct net_loop_options *o = &loop->options;
    if (o->connections == NULL)
        return loop->count < o->connections_max;
    return loop->count < o->connections_own ||
           atomic_load_explicit(o->connections, memory_order_relaxed) <
               o->connections_max - o->sharers * o->connections_own;
}

void net_pause_accepting(struct net_loop *loop)
{
    loop->accepting_paused = true;
    each_socket(loop, NET_LISTENER, unwatch);
}

static void resume_accepting(struct net_loop *loop)
{
    if (!loop->accepting_paused || !net_accepting(loop))
        return;
    loop->accepting_paused = false;
    each_socket(loop, NET_LISTENER, watch);
}

void net_accepted(struct net_loop *loop, int fd)
{
    struct net_conn *c;
    if (net_conn_create(loop, fd, &c) != 0) {
        close(fd);
        net_pause_accepting(loop);
        return;
    }
    if (loop->options.handler.accepted != NULL)
        loop->options.handler.accepted(loop->options.handler.context, c);
}

size_t net_conn_count(const struct net_loop *loop)
{
    return loop->count;
}

void net_conn_each(struct net_loop *loop, void (*each)(void *context, struct net_conn *c),
                   void *context)
{
    for (struct net_conn *c = loop->alive.first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->state == NET_OPEN)
            each(context, c);
    }
}

uint64_t net_patience_ms(uint64_t limit_ms, size_t used, size_t used_max)
{
    if (used_max == 0 || (limit_ms == 0 && used < used_max))
        return limit_ms;
    size_t left = used < used_max ? used_max - used : 0;
    uint64_t scaled_ms = (uint64_t)((double)limit_ms * (double)left / (double)used_max);
    if (scaled_ms < PATIENCE_MS_MIN)
        scaled_ms = PATIENCE_MS_MIN;
    return limit_ms != 0 && limit_ms < scaled_ms ? limit_ms : scaled_ms;
}

size_t net_kept_input(const struct net_loop *loop)
{
    return loop->kept_input;
}

bool net_output_full(const struct net_loop *loop)
{
    size_t bytes_max = loop->options.output_bytes_max;
    return bytes_max != 0 && loop->kept_output >= bytes_max;
}

/* --- One turn --- */

void net_loop_wake(struct net_loop *loop)
{
    if (atomic_exchange(&loop->told, true))
        return;
    int kept = errno; /* this may be a signal handler */
    bell_ring(&loop->bell);
    errno = kept;
}

void net_loop_stop(struct net_loop *loop)
{
    int kept = errno;
    atomic_store(&loop->stopping, true);
    bell_ring(&loop->bell);
    errno = kept;
}

/* How long the loop may sleep. Before this, bell_rest: whoever tells us something from now on rings
 * the bell, whoever did before is seen here. */
static int sleep_ms(struct net_loop *loop)
{
    if (loop->todo != NULL || loop->gone.first != NULL || atomic_load(&loop->told) ||
        atomic_load(&loop->stopping) || loop->tick_us <= loop->now_us)
        return 0;
    return (int)((loop->tick_us - loop->now_us + 999) / 1000);
}

void net_loop_awake(struct net_loop *loop)
{
    bell_awake(&loop->bell);
    loop->now_us = clock_mono_us(loop->options.clock);
}

/* A share of the connections, so that all get their look in a round and no turn is long. */
static void look(struct net_loop *loop)
{
    size_t share = loop->count * loop->options.tick_ms / NET_LOOK_MS + 1;
    for (size_t i = share < loop->count ? share : loop->count; i != 0; i--) {
        struct net_conn *c = loop->look_next != NULL ? loop->look_next : loop->alive.first;
        if (c == NULL)
            return;
        loop->look_next = c->next;
        net_conn_look(c);
    }
}

static void tick(struct net_loop *loop)
{
    loop->tick_us = loop->now_us + loop->options.tick_ms * UINT64_C(1000);
    look(loop);
    resume_accepting(loop);
    if (loop->options.handler.tick != NULL)
        loop->options.handler.tick(loop->options.handler.context, loop->now_us);
}

/* Does what the list holds now, of the kinds in `mask`. What is put off meanwhile, or is of another
 * kind, stays for the next time: so nobody keeps the loop busy with one connection. */
static void work(struct net_loop *loop, unsigned mask)
{
    struct net_conn *c = loop->todo;
    loop->todo = NULL;
    for (struct net_conn *next; c != NULL; c = next) {
        next = c->todo_next;
        unsigned todo = c->todo;
        c->todo = 0;
        net_conn_work(c, todo & mask);
        if (c->state == NET_OPEN && (todo & ~mask) != 0)
            net_conn_add_todo(c, todo & ~mask);
    }
}

static void say_closed(struct net_loop *loop)
{
    struct net_conn *c = loop->gone.first;
    loop->gone.first = NULL;
    for (struct net_conn *next; c != NULL; c = next) {
        next = c->next;
        c->state = NET_CLOSED;
        net_count(loop, -1);
        net_list_add(&loop->closed, c);
        if (loop->options.handler.closed != NULL)
            loop->options.handler.closed(loop->options.handler.context, c);
    }
}

/* Only now can no event of this turn, and no list, lead to a connection closed in it. */
static void bury_closed(struct net_loop *loop)
{
    struct net_conn *c = loop->closed.first;
    if (c == NULL)
        return;
    loop->closed.first = NULL;
    for (struct net_conn *next; c != NULL; c = next) {
        next = c->next;
        net_conn_bury(c);
    }
    resume_accepting(loop);
}

static int turn(struct net_loop *loop)
{
    const struct net_handler *h = &loop->options.handler;
    bell_rest(&loop->bell);
    int rc = loop->engine->turn(loop, sleep_ms(loop));
    if (rc != 0)
        return rc;
    /* Cleared before the handler looks at what it was told. */
    if (atomic_load(&loop->told) && atomic_exchange(&loop->told, false) && h->woken != NULL)
        h->woken(h->context);
    if (loop->accepting_ends)
        each_socket(loop, NET_LISTENER, accept_the_last);
    if (loop->now_us >= loop->tick_us)
        tick(loop);
    work(loop, NET_RESUME | NET_FLUSH | NET_DRAINED | NET_ADOPTED);
    say_closed(loop);
    if (h->turn_end != NULL)
        h->turn_end(h->context);
    loop->quiet = true;
    work(loop, NET_FLUSH);
    loop->quiet = false;
    each_socket(loop, NET_DATAGRAMS, send_replies);
    bury_closed(loop);
    return 0;
}

int net_loop_run(struct net_loop *loop)
{
    int rc = 0;
    do
        rc = turn(loop);
    while (rc == 0 && !atomic_load(&loop->stopping));
    atomic_store(&loop->stopping, false);
    return rc;
}

void net_loop_destroy(struct net_loop *loop)
{
    if (loop == NULL)
        return;
    each_socket(loop, NET_LISTENER, shut_socket);
    each_socket(loop, NET_DATAGRAMS, shut_socket);
    while (loop->alive.first != NULL)
        net_conn_let_go(loop->alive.first, false);
    say_closed(loop);
    bury_closed(loop);
    loop->engine->destroy(loop);
    bell_finish(&loop->bell);
    net_spares_finish(loop);
    buf_finish(&loop->nowhere);
    free(loop);
}
