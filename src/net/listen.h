/* Sockets that wait for clients: the one port of a server, claimed once and then shared by its
 * loops. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_port {
    const char *address; /* numeric IPv4 or IPv6 */
    uint16_t port;       /* 0: a free one is chosen, the same for TCP and UDP */
    bool tcp, udp;       /* which are wanted */
    unsigned loops;      /* how many sockets of each: one per loop, SO_REUSEPORT */
};

/*
 * Binds. Before the SO_REUSEPORT group is bound, a probe bind without it must succeed (TCP with
 * SO_REUSEADDR, which on Linux does not let two listeners share a port), since otherwise a second
 * server would silently share the port; it is tried for a second. With port 0 a number free for
 * both is found. tcp_fds and udp_fds have room for port->loops each and get non-blocking,
 * close-on-exec descriptors (the caller's) where wanted. *chosen gets the port. ERR_LOCKED: the
 * port is taken; ERR_BAD_PARAMETER: no such address; ERR_SYSTEM. `why` gets a sentence.
 */
int net_port_bind(const struct net_port *port, int *tcp_fds, int *udp_fds, uint16_t *chosen,
                  char *why, size_t why_bytes);

#endif
