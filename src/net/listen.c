/* Binding the one port of a server. Knows addresses and sockets, not who will come. */
#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

enum { TRIES = 50, PAUSE_MS = 20 }; /* one second */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse(const struct net_port *port, union address *a)
{
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, port->address, &a->v4.sin_addr) == 1)
        a->any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, port->address, &a->v6.sin6_addr) == 1)
        a->any.sa_family = AF_INET6;
    else
        return false;
    a->v4.sin_port = htons(port->port); /* sin6_port is at the same place */
    return true;
}

static int error_of(int system_error)
{
    if (system_error == EADDRINUSE)
        return ERR_LOCKED;
    return system_error == EADDRNOTAVAIL ? ERR_BAD_PARAMETER : ERR_SYSTEM;
}

/* A bound socket, with SO_REUSEPORT where it is to be one of a group; -1 and errno. */
static int bound(const union address *a, int type, bool group)
{
    const int on = 1, off = 0;
    int fd = socket(a->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if ((type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) ||
        (group && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        (a->any.sa_family == AF_INET6 && /* "::" takes IPv4 too */
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
        bind(fd, &a->any, a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4) != 0) {
        int kept = errno;
        close(fd);
        errno = kept;
        return -1;
    }
    return fd;
}

/* Takes over the number that the kernel chose. */
static int learn_port(int fd, union address *a)
{
    socklen_t bytes = sizeof *a;
    return getsockname(fd, &a->any, &bytes);
}

static int bind_groups(const struct net_port *port, const union address *a, int *tcp_fds,
                       int *udp_fds)
{
    for (unsigned i = 0; i < port->loops; i++) {
        if (port->tcp) {
            tcp_fds[i] = bound(a, SOCK_STREAM, true);
            if (tcp_fds[i] < 0 || listen(tcp_fds[i], SOMAXCONN) != 0)
                return -1;
        }
        if (port->udp) {
            udp_fds[i] = bound(a, SOCK_DGRAM, true);
            if (udp_fds[i] < 0)
                return -1;
        }
    }
    return 0;
}

static int probe_udp(union address *a)
{
    int fd = bound(a, SOCK_DGRAM, false);
    if (fd < 0)
        return -1;
    int rc = learn_port(fd, a);
    close(fd);
    return rc;
}

/* The probe of TCP stays bound while the group is, so that a number chosen by the kernel is given
 * to nobody else meanwhile; it does not listen, and so does not stand in the group's way. Another
 * UDP socket would: that probe ends before. */
static int probe_and_bind(const struct net_port *port, union address *a, int *tcp_fds, int *udp_fds)
{
    int probe = -1, rc = -1;
    if (port->tcp && (probe = bound(a, SOCK_STREAM, false)) < 0)
        return -1;
    if ((probe < 0 || learn_port(probe, a) == 0) && (!port->udp || probe_udp(a) == 0))
        rc = bind_groups(port, a, tcp_fds, udp_fds);
    if (probe >= 0) {
        int kept = errno;
        close(probe);
        errno = kept;
    }
    return rc;
}

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

int net_port_bind(const struct net_port *port, int *tcp_fds, int *udp_fds, uint16_t *chosen,
                  char *why, size_t why_bytes)
{
    union address a;
    int error = 0;
    for (unsigned i = 0; i < port->loops; i++) {
        if (port->tcp)
            tcp_fds[i] = -1;
        if (port->udp)
            udp_fds[i] = -1;
    }
    for (int i = 0; i < TRIES; i++) {
        if (!parse(port, &a)) {
            snprintf(why, why_bytes, "%s is no numeric address", port->address);
            return ERR_BAD_PARAMETER;
        }
        if (probe_and_bind(port, &a, tcp_fds, udp_fds) == 0) {
            *chosen = ntohs(a.v4.sin_port);
            return 0;
        }
        error = errno;
        if (port->tcp)
            close_all(tcp_fds, port->loops);
        if (port->udp)
            close_all(udp_fds, port->loops);
        if (error != EADDRINUSE)
            break;
        if (port->port != 0)
            poll(NULL, 0, PAUSE_MS);
    }
    snprintf(why, why_bytes, "%s port %u: %s", port->address, port->port, strerror(error));
    return error_of(error);
}
