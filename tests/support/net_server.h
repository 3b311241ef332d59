/* For the tests of the event loop: a loop in a thread of its own with a scripted handler, and plain
 * blocking clients. Knows no protocol. Every wait has a deadline. */
#ifndef TESTS_NET_SERVER_H
#define TESTS_NET_SERVER_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "net/listen.h"
#include "net/loop.h"

enum { DEADLINE_MS = 30 * 1000 };

/* Waits until a condition holds. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        for (int waited_ms_ = 0; waited_ms_ < DEADLINE_MS && !(condition); waited_ms_++)           \
            poll(NULL, 0, 1);                                                                      \
        assert_true(condition);                                                                    \
    } while (0)

struct server {
    struct net_loop *loop;
    struct net_handler script; /* the test's own; its functions get the server as context */
    pthread_t thread;
    sem_t done;
    struct clock clock;
    uint16_t port;
    int tcp, udp;           /* the loop's own descriptors */
    int rc;                 /* of net_loop_run */
    atomic_ullong ahead_us; /* added to the machine's clock */
    _Atomic(void (*)(struct server *s)) task;
    /* What was called how often. */
    atomic_ulong accepted, received, bytes, ends, drained, closed, looks, datagrams, woken, ticks,
        turns;
    /* For the test. */
    _Atomic(struct net_conn *) conn; /* accepted last */
    atomic_ulong noted, wrong;
    atomic_ulong total;
    struct buf kept;
};

static inline void server_accepted(void *context, struct net_conn *c)
{
    struct server *s = context;
    s->conn = c;
    if (s->script.accepted != NULL)
        s->script.accepted(s, c);
    s->accepted++;
}

static inline size_t server_received(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    size_t used = s->script.received(s, c, input, end);
    s->ends += end;
    s->bytes += used;
    s->received++;
    return used;
}

static inline void server_drained(void *context, struct net_conn *c)
{
    struct server *s = context;
    if (s->script.drained != NULL)
        s->script.drained(s, c);
    s->drained++;
}

static inline void server_closed(void *context, struct net_conn *c)
{
    struct server *s = context;
    s->wrong += net_is_closed(c) ? 0 : 1;
    if (s->script.closed != NULL)
        s->script.closed(s, c);
    s->closed++;
}

static inline void server_look(void *context, struct net_conn *c)
{
    struct server *s = context;
    if (s->script.look != NULL)
        s->script.look(s, c);
    s->looks++;
}

static inline void server_datagram(void *context, const struct net_peer *peer, struct span bytes)
{
    struct server *s = context;
    if (s->script.datagram != NULL)
        s->script.datagram(s, peer, bytes);
    s->datagrams++;
}

static inline void server_woken(void *context)
{
    struct server *s = context;
    void (*task)(struct server *) = atomic_exchange(&s->task, NULL);
    s->woken++;
    if (s->script.woken != NULL)
        s->script.woken(s);
    if (task != NULL) {
        task(s);
        sem_post(&s->done);
    }
}

static inline void server_tick(void *context, uint64_t mono_us)
{
    struct server *s = context;
    if (s->script.tick != NULL)
        s->script.tick(s, mono_us);
    s->ticks++;
}

static inline void server_turn_end(void *context)
{
    struct server *s = context;
    if (s->script.turn_end != NULL)
        s->script.turn_end(s);
    s->turns++;
}

static inline uint64_t server_mono_us(void *context)
{
    struct server *s = context;
    struct clock real = clock_real();
    return clock_mono_us(&real) + s->ahead_us;
}

static inline void *server_thread(void *context)
{
    struct server *s = context;
    s->rc = net_loop_run(s->loop);
    return NULL;
}

/* Runs a task in the loop's thread, without waiting for it. */
static inline void server_post(struct server *s, void (*task)(struct server *s))
{
    s->task = task;
    net_loop_wake(s->loop);
}

static inline void server_wait(struct server *s)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_MS / 1000;
    int rc;
    while ((rc = sem_timedwait(&s->done, &deadline)) != 0 && errno == EINTR) {
    }
    assert_int_equal(rc, 0);
}

static inline void server_do(struct server *s, void (*task)(struct server *s))
{
    server_post(s, task);
    server_wait(s);
}

/* Zero options get plain values. */
static inline void server_start(struct server *s, const char *address, struct net_loop_options o)
{
    char why[200] = "";
    s->script = o.handler;
    o.handler = (struct net_handler){.context = s,
                                     .accepted = server_accepted,
                                     .received = server_received,
                                     .drained = server_drained,
                                     .closed = server_closed,
                                     .look = server_look,
                                     .datagram = server_datagram,
                                     .woken = server_woken,
                                     .tick = server_tick,
                                     .turn_end = server_turn_end};
    s->clock = (struct clock){clock_real().wall_us, server_mono_us, s};
    o.clock = &s->clock;
    o.connections_max = o.connections_max != 0 ? o.connections_max : 100;
    o.input_bytes_max = o.input_bytes_max != 0 ? o.input_bytes_max : 1 << 20;
    o.tick_ms = o.tick_ms != 0 ? o.tick_ms : 10;
    sem_init(&s->done, 0, 0);
    const struct net_port port = {.address = address, .tcp = true, .udp = true, .loops = 1};
    if (net_port_bind(&port, &s->tcp, &s->udp, &s->port, why, sizeof why) != 0)
        fail_msg("%s", why);
    assert_int_equal(net_loop_create(&s->loop, &o), 0);
    assert_int_equal(net_listen(s->loop, s->tcp), 0);
    assert_int_equal(net_datagrams(s->loop, s->udp), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, server_thread, s), 0);
}

/* Ends the loop's thread; the loop is still there. */
static inline void server_join(struct server *s)
{
    net_loop_stop(s->loop);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    assert_int_equal(s->rc, 0);
}

static inline void server_destroy(struct server *s)
{
    net_loop_destroy(s->loop);
    sem_destroy(&s->done);
    buf_finish(&s->kept);
    assert_int_equal(s->closed, s->accepted);
    assert_int_equal(s->wrong, 0);
}

static inline void server_stop(struct server *s)
{
    server_join(s);
    server_destroy(s);
}

/* Lets some ticks pass, and returns how many turns they took. */
static inline unsigned long turns_of_ticks(struct server *s, unsigned long ticks)
{
    unsigned long turns = s->turns, until = s->ticks + ticks;
    EVENTUALLY(s->ticks >= until);
    return s->turns - turns;
}

/* --- Clients --- */

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static inline union any_address loopback(int family, uint16_t port)
{
    union any_address a = {0};
    a.any.sa_family = (sa_family_t)family;
    a.v4.sin_port = htons(port);
    if (family == AF_INET)
        a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        a.v6.sin6_addr = in6addr_loopback;
    return a;
}

static inline int client_socket(int family, int type)
{
    const struct timeval deadline = {.tv_sec = DEADLINE_MS / 1000};
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    return fd;
}

/* Containers often have no IPv6. */
static inline bool ipv6_is_here(void)
{
    union any_address a = loopback(AF_INET6, 0);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool here = fd >= 0 && bind(fd, &a.any, sizeof a.v6) == 0;
    if (fd >= 0)
        close(fd);
    return here;
}

static inline int client_try(const struct server *s, int fd)
{
    union any_address a = loopback(AF_INET, s->port);
    return connect(fd, &a.any, sizeof a.v4);
}

static inline int client_connect(const struct server *s)
{
    const int on = 1;
    int fd = client_socket(AF_INET, SOCK_STREAM);
    assert_int_equal(client_try(s, fd), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline void client_send(int fd, const void *from, size_t bytes)
{
    while (bytes != 0) {
        ssize_t sent = send(fd, from, bytes, MSG_NOSIGNAL);
        assert_true(sent > 0);
        from = (const char *)from + sent;
        bytes -= (size_t)sent;
    }
}

static inline void client_say(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

static inline void client_hear(int fd, const char *text)
{
    char heard[512] = "";
    size_t got = 0, bytes = strlen(text);
    assert_true(bytes < sizeof heard);
    while (got < bytes) {
        ssize_t n = recv(fd, heard + got, bytes - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_string_equal(heard, text);
}

static inline void client_hear_end(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static inline void client_hear_reset(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
}

/* Closes so that the server sees a reset. */
static inline void client_reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

/* Byte n of a long stream, so that a lost or doubled piece shows. */
static inline char stream_byte(size_t n)
{
    return (char)(n * 31 + n / 251 + n / 65521);
}

static inline void client_hear_stream(int fd, size_t bytes)
{
    static char piece[1 << 16];
    size_t at = 0, wrong = 0;
    while (at < bytes) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            wrong += piece[i] != stream_byte(at++);
    }
    assert_int_equal(at, bytes);
    assert_int_equal(wrong, 0);
}

static inline void add_stream(struct buf *out, size_t from, size_t bytes)
{
    char *at = buf_room(out, bytes);
    for (size_t i = 0; i < bytes; i++)
        at[i] = stream_byte(from + i);
    out->bytes += bytes;
}

/* --- Handlers that several tests use --- */

static inline size_t echo(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context;
    buf_add_span(net_out(c), input);
    if (end)
        net_close(c);
    return input.bytes;
}

/* Echoes whole lines. */
static inline size_t echo_lines(void *context, struct net_conn *c, struct span input, bool end)
{
    size_t bytes = input.bytes;
    while (bytes != 0 && input.at[bytes - 1] != '\n')
        bytes--;
    echo(context, c, span(input.at, bytes), end);
    return bytes;
}

static inline size_t swallow(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context;
    if (end)
        net_close(c);
    return input.bytes;
}

#endif
