/* Datagrams of one socket: received and sent in batches, each answer from the address that was
 * asked (ip(7) IP_PKTINFO, RFC 3542 section 6). Does not know what they say. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/err.h"
#include "net/engine.h"

enum {
    /* Not a power of two, or all messages of a batch would compete for the same cache lines. */
    SLOT_BYTES = DATAGRAM_BYTES_MAX + 5 * 64,
    REPLIES_BYTES = DATAGRAM_BYTES_MAX,
};

union control {
    struct cmsghdr align;
    char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
    char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct batch {
    struct mmsghdr messages[DATAGRAM_BATCH];
    struct iovec parts[DATAGRAM_BATCH];
    struct sockaddr_in6 peers[DATAGRAM_BATCH];
    union control controls[DATAGRAM_BATCH];
};

struct net_udp {
    int fd;
    int family;
    struct batch in, out;
    unsigned replies; /* waiting in `out` */
    size_t replies_bytes;
    char replies_at[REPLIES_BYTES];
    char slots[DATAGRAM_BATCH * (size_t)SLOT_BYTES]; /* touched only as far as datagrams are long */
};

static void init_batch(struct batch *b)
{
    for (size_t i = 0; i < DATAGRAM_BATCH; i++) {
        struct msghdr *m = &b->messages[i].msg_hdr;
        m->msg_name = &b->peers[i];
        m->msg_iov = &b->parts[i];
        m->msg_iovlen = 1;
        m->msg_control = &b->controls[i];
    }
}

/* The kernel wrote the lengths that it used over those that are there. */
static void init_slot(struct net_udp *udp, size_t i)
{
    struct msghdr *m = &udp->in.messages[i].msg_hdr;
    m->msg_namelen = sizeof udp->in.peers[i];
    m->msg_controllen = sizeof udp->in.controls[i];
}

int net_udp_create(struct net_udp **created, int fd)
{
    const int on = 1;
    int family;
    socklen_t bytes = sizeof family;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) != 0)
        return ERR_SYSTEM;
    if ((family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on)
                            : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on)) != 0)
        return ERR_SYSTEM;
    struct net_udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL)
        return ERR_NO_MEMORY;
    udp->fd = fd;
    udp->family = family;
    init_batch(&udp->in);
    init_batch(&udp->out);
    for (size_t i = 0; i < DATAGRAM_BATCH; i++) {
        udp->in.parts[i] = (struct iovec){udp->slots + i * SLOT_BYTES, DATAGRAM_BYTES_MAX};
        init_slot(udp, i);
    }
    *created = udp;
    return 0;
}

void net_udp_destroy(struct net_udp *udp)
{
    free(udp);
}

bool net_udp_speaks(const struct net_udp *udp, int family)
{
    return udp->family == family;
}

/* Where the datagram arrived, in the form in which an answer is to leave: from that address, by
 * whichever interface leads to the peer. */
static void read_arrival(struct msghdr *m, struct net_peer *peer)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&peer->at.v4, CMSG_DATA(c), sizeof peer->at.v4);
            peer->at.v4.ipi_ifindex = 0;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&peer->at.v6, CMSG_DATA(c), sizeof peer->at.v6);
            peer->at.v6.ipi6_ifindex = 0;
        }
    }
}

void net_udp_receive(struct net_udp *udp, struct net_loop *loop)
{
    const struct net_handler *h = &loop->options.handler;
    int count = recvmmsg(udp->fd, udp->in.messages, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        struct mmsghdr *m = &udp->in.messages[i];
        struct net_peer peer = {0};
        if (udp->family == AF_INET6)
            peer.from.v6 = udp->in.peers[i];
        else
            memcpy(&peer.from.v4, &udp->in.peers[i], sizeof peer.from.v4);
        read_arrival(&m->msg_hdr, &peer);
        if (h->datagram != NULL)
            h->datagram(h->context, &peer, span(udp->in.parts[i].iov_base, m->msg_len));
        init_slot(udp, (size_t)i);
    }
}

static void write_departure(struct msghdr *m, const struct net_peer *peer, int family)
{
    bool v6 = family == AF_INET6;
    m->msg_controllen = v6 ? sizeof((union control *)0)->v6 : sizeof((union control *)0)->v4;
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    c->cmsg_type = v6 ? IPV6_PKTINFO : IP_PKTINFO;
    c->cmsg_len = v6 ? CMSG_LEN(sizeof peer->at.v6) : CMSG_LEN(sizeof peer->at.v4);
    memcpy(CMSG_DATA(c), &peer->at, v6 ? sizeof peer->at.v6 : sizeof peer->at.v4);
}

void net_udp_add(struct net_udp *udp, const struct net_peer *peer, struct span bytes)
{
    if (bytes.bytes > REPLIES_BYTES)
        return;
    if (udp->replies == DATAGRAM_BATCH || bytes.bytes > REPLIES_BYTES - udp->replies_bytes)
        net_udp_flush(udp);
    size_t i = udp->replies++;
    char *at = udp->replies_at + udp->replies_bytes;
    if (bytes.bytes != 0)
        memcpy(at, bytes.at, bytes.bytes);
    udp->replies_bytes += bytes.bytes;
    udp->out.parts[i] = (struct iovec){at, bytes.bytes};
    struct msghdr *m = &udp->out.messages[i].msg_hdr;
    m->msg_namelen = udp->family == AF_INET6 ? sizeof peer->from.v6 : sizeof peer->from.v4;
    memcpy(&udp->out.peers[i], &peer->from, m->msg_namelen);
    write_departure(m, peer, udp->family);
}

void net_udp_flush(struct net_udp *udp)
{
    for (unsigned at = 0; at < udp->replies;) {
        int sent = sendmmsg(udp->fd, udp->out.messages + at, udp->replies - at, MSG_DONTWAIT);
        if (sent > 0)
            at += (unsigned)sent;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break; /* the socket is full */
        else if (errno != EINTR)
            at++; /* this one cannot be sent, as to an address that was forged */
    }
    udp->replies = 0;
    udp->replies_bytes = 0;
}
