/*
 * The epoll engine: waits, accepts, receives, sends. It does not know what a connection is for.
 *
 * Level-triggered. For one request there is one recv, one send and a share of an epoll_wait: a
 * connection is registered once, and what it is registered for is changed only when it has to be.
 * An event that nobody wants (bytes for a paused connection, room where there is nothing to send)
 * is what takes its interest away; so pausing and resuming between two events costs nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/engine.h"

enum { EVENTS_MAX = 1024 };

/* net_conn.armed: what the connection is registered for. */
enum { ARMED_IN = 1, ARMED_OUT = 2 };

struct epoll {
    int fd;
    struct epoll_event events[EVENTS_MAX];
    char received[NET_RECEIVE_BYTES]; /* all connections' input passes through here */
};

static int control(struct net_loop *loop, int operation, struct net_source *s, uint32_t events)
{
    const struct epoll *e = loop->engine_state;
    struct epoll_event event = {.events = events, .data.ptr = s};
    return epoll_ctl(e->fd, operation, s->fd, &event);
}

static void epoll_destroy(struct net_loop *loop)
{
    struct epoll *e = loop->engine_state;
    close(e->fd);
    free(e);
}

static int epoll_create_engine(struct net_loop *loop)
{
    struct epoll *e = malloc(sizeof *e);
    if (e == NULL)
        return ERR_NO_MEMORY;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0) {
        free(e);
        return ERR_SYSTEM;
    }
    loop->engine_state = e;
    /* Edge-triggered: each ring is one event, and whether its count has been read by then does not
     * matter. */
    if (control(loop, EPOLL_CTL_ADD, &loop->bell_source, EPOLLIN | EPOLLET) != 0) {
        epoll_destroy(loop);
        return ERR_SYSTEM;
    }
    return 0;
}

static int watch(struct net_loop *loop, struct net_source *s)
{
    int rc = control(loop, EPOLL_CTL_ADD, s, EPOLLIN);
    return rc == 0 || errno == EEXIST ? 0 : ERR_SYSTEM;
}

static void unwatch(struct net_loop *loop, struct net_source *s)
{
    control(loop, EPOLL_CTL_DEL, s, 0);
}

/* --- Connections --- */

static int open_conn(struct net_conn *c)
{
    c->armed = ARMED_IN;
    return control(c->loop, EPOLL_CTL_ADD, &c->source, EPOLLIN) == 0 ? 0 : ERR_SYSTEM;
}

static void arm(struct net_conn *c, unsigned armed)
{
    if (armed == c->armed)
        return;
    uint32_t events =
        ((armed & ARMED_IN) != 0 ? EPOLLIN : 0U) | ((armed & ARMED_OUT) != 0 ? EPOLLOUT : 0U);
    /* Neither event is EPOLLERR nor EPOLLHUP: those come unasked, see conn_event. */
    if (control(c->loop, EPOLL_CTL_MOD, &c->source, events) != 0) {
        net_conn_failed(c);
        return;
    }
    c->armed = (uint8_t)armed;
    c->deaf = (armed & ARMED_IN) == 0;
}

static void receive_conn(struct net_conn *c)
{
    arm(c, c->armed | ARMED_IN);
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void send_conn(struct net_conn *c)
{
    size_t bytes = c->sending.bytes - c->sent;
    ssize_t sent = send(c->source.fd, c->sending.at + c->sent, bytes, MSG_NOSIGNAL);
    if (sent < 0 && !would_block()) {
        net_conn_failed(c);
        return;
    }
    if (sent < 0 || (size_t)sent < bytes)
        arm(c, c->armed | ARMED_OUT);
    if (sent > 0)
        net_conn_sent(c, (size_t)sent);
}

/* One recv: a short one has emptied the socket, after a full one the next turn's event comes. */
static void receive(struct net_conn *c)
{
    struct epoll *e = c->loop->engine_state;
    ssize_t received = recv(c->source.fd, e->received, sizeof e->received, 0);
    if (received >= 0)
        net_conn_received(c, span(e->received, (size_t)received));
    else if (!would_block())
        net_conn_failed(c);
}

/*
 * EPOLLERR and EPOLLHUP (reset, or shut down in both directions) are reported whatever a connection
 * is registered for, every time. So where a recv or a send does not find out, the connection is
 * given up here; else epoll_wait would return at once for ever.
 */
static void conn_event(struct net_conn *c, uint32_t events)
{
    const uint32_t broken = events & (EPOLLERR | EPOLLHUP);
    if (c->source.fd < 0)
        return;
    if ((events & EPOLLOUT) != 0) {
        if (c->sent < c->sending.bytes)
            send_conn(c);
        else
            arm(c, c->armed & ~(unsigned)ARMED_OUT);
    }
    if ((events & EPOLLIN) == 0 && broken == 0)
        return;
    if (net_conn_wants(c))
        receive(c);
    else if (broken != 0)
        net_conn_failed(c);
    else if (c->source.fd >= 0)
        arm(c, c->armed & ~(unsigned)ARMED_IN);
}

static void shutdown_conn(struct net_conn *c)
{
    shutdown(c->source.fd, SHUT_WR);
}

static void close_conn(struct net_conn *c, bool reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        setsockopt(c->source.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->source.fd);
}

static int adopt_fd(int fd)
{
    const int on = 1, flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return ERR_SYSTEM;
    return 0;
}

static int release_conn(struct net_conn *c)
{
    const int off = 0;
    int fd = c->source.fd;
    unwatch(c->loop, &c->source);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    /* Whoever takes it has its own opinion of how long a peer may be silent, and how much waits. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof off);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &off, sizeof off);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &off, sizeof off);
    return fd;
}

/* --- A turn --- */

static bool accept_conns(struct net_loop *loop, const struct net_source *s)
{
    for (int i = 0; i < NET_ACCEPTS_MAX && s->fd >= 0 && !loop->accepting_paused; i++) {
        if (!net_accepting(loop)) {
            net_pause_accepting(loop);
            return false;
        }
        int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            net_accepted(loop, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            net_pause_accepting(loop);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return false;
        /* Else it is the accepted connection's own error, accept(2): the next one. */
    }
    return s->fd >= 0 && !loop->accepting_paused;
}

static int turn(struct net_loop *loop, int timeout_ms)
{
    struct epoll *e = loop->engine_state;
    int count = epoll_wait(e->fd, e->events, EVENTS_MAX, timeout_ms);
    int error = errno;
    net_loop_awake(loop);
    if (count < 0)
        return error == EINTR ? 0 : ERR_SYSTEM;
    for (int i = 0; i < count; i++) {
        struct net_source *s = e->events[i].data.ptr;
        if (s->kind == NET_CONNECTION)
            conn_event((struct net_conn *)s, e->events[i].events);
        else if (s->kind == NET_LISTENER)
            accept_conns(loop, s);
        else if (s->kind == NET_DATAGRAMS && s->fd >= 0)
            net_udp_receive(((struct net_socket *)s)->udp, loop);
    }
    return 0;
}

const struct net_engine net_epoll = {
    .create = epoll_create_engine,
    .destroy = epoll_destroy,
    .turn = turn,
    .watch = watch,
    .unwatch = unwatch,
    .accept = accept_conns,
    .adopt = adopt_fd,
    .open = open_conn,
    .receive = receive_conn,
    .send = send_conn,
    .shutdown = shutdown_conn,
    .close = close_conn,
    .release = release_conn,
};
