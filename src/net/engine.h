/*
 * Between the event loop (loop.c, conn.c, udp.c) and an engine, which is one way of making its
 * system calls. An engine knows descriptors and what the kernel said about them; it does not know
 * what a connection is for, nor any handler. Private to src/net.
 *
 * The shape is that of completions: the loop says "send this" and is told later, or before the call
 * returns, how much was sent. epoll.c is the one engine there is.
 */
#ifndef NET_ENGINE_H
#define NET_ENGINE_H

#include <stdatomic.h>

#include "base/limits.h"
#include "base/queue.h"
#include "net/loop.h"

enum {
    NET_RECEIVE_BYTES = 64 * 1024, /* at most so much of one connection in one turn */
    NET_OUT_BYTES = 16 * 1024,     /* an output buffer as it comes from the spare ones */
    NET_SPARES_MAX = 1024,         /* output buffers kept for reuse: 16 MiB */
    NET_KERNEL_BYTES = 128 * 1024, /* unsent output of one connection that the kernel takes: else
                                      it is megabytes, which nobody counts */
    NET_ACCEPTS_MAX = 64,          /* connections accepted in one turn from one socket */
    NET_SOCKETS_MAX = 8,           /* listening and datagram sockets of one loop */
    NET_LOOK_MS = 1000,            /* every connection is looked at about once in so long */
    NET_TAKE_BYTES = 64 * 1024,    /* who takes so much of its output within the time is no stall */
    NET_CLOSING_STALL_MS = 30 * 1000, /* that time of a closing connection */
};

/* What an engine's event is about; the first member of whatever it is. */
struct net_source {
    enum { NET_CONNECTION, NET_LISTENER, NET_DATAGRAMS, NET_BELL } kind;
    int fd; /* -1: closed; events that still come for it are stale */
};

/* A listening or datagram socket. */
struct net_socket {
    struct net_source source;
    struct net_udp *udp; /* of a datagram socket */
};

enum net_state {
    NET_OPEN,
    NET_CLOSING,   /* what was handed over is sent, then it is closed */
    NET_LINGERING, /* the same, then our side is shut down and the peer's waited for */
    NET_GONE,      /* the descriptor is closed, `closed` not yet called */
    NET_CLOSED,    /* `closed` was called */
    NET_BURIED,    /* as before, and no list knows it any more: the last unhold frees it */
};

enum net_todo { NET_FLUSH = 1, NET_RESUME = 2, NET_DRAINED = 4, NET_ADOPTED = 8 };

struct net_conn {
    struct net_source source;
    struct net_loop *loop;
    uint8_t state; /* enum net_state */
    uint8_t todo;  /* enum net_todo, or-ed; on the loop's list where not 0 */
    bool paused;
    bool ended;    /* the peer sends nothing more */
    bool handed;   /* output was handed over since `drained` was last called */
    bool shut;     /* our side was shut down */
    bool unheard;  /* it was adopted with input that `received` has not been given */
    bool deaf;     /* the engine's: it stopped to receive and needs engine->receive */
    uint8_t armed; /* the engine's */
    unsigned holds;
    uint32_t discarded; /* bytes thrown away while lingering */
    uint32_t taken;     /* bytes of output taken since taking_us */
    size_t in_at;       /* where in `in` the unconsumed input begins */
    struct buf in;      /* unconsumed input; owns memory only while there is some */
    struct buf out;     /* what the handler appends to */
    struct buf sending; /* handed to the engine, which reads it from `sent` on */
    size_t sent;
    size_t counted_in, counted_out; /* of its buffers, in the loop's sums */
    uint64_t active_us;
    uint64_t taking_us; /* when output began to wait, or the last NET_TAKE_BYTES of it were taken */
    uint64_t ending_us; /* when closing or lingering began, or our side was shut down */
    struct net_conn *previous, *next; /* in the loop's list of those alive, gone or closed */
    struct net_conn *todo_next;
    _Alignas(max_align_t) char user[]; /* the handler's, options.user_bytes */
};

struct net_conn_list {
    struct net_conn *first;
};

struct net_loop {
    struct net_loop_options options;
    const struct net_engine *engine;
    void *engine_state;
    struct bell bell;
    struct net_source bell_source;
    atomic_bool told;     /* net_loop_wake was called, `woken` not yet */
    atomic_bool stopping; /* net_loop_stop was called */
    bool quiet;           /* after turn_end: the handler is not called until the next turn */
    bool accepting_paused, accepting_ends;
    uint64_t now_us, tick_us;                 /* the turn's time; when the next tick is due */
    size_t count;                             /* connections whose `closed` has not been called */
    size_t kept_input, kept_output;           /* memory of input and output that connections keep */
    struct net_conn_list alive, gone, closed; /* alive: open or ending */
    struct net_conn *look_next;               /* of those alive; NULL: the first */
    struct net_conn *todo, *todo_last;        /* first in, first out */
    struct net_conn *current;                 /* whose `received` is being called, with `input` */
    struct span input;
    struct spare_buffer *spares; /* last in, first out: the hottest memory is used next */
    size_t spares_count;
    struct buf nowhere; /* takes appends to connections that are gone */
    struct net_socket sockets[NET_SOCKETS_MAX];
};

/* Functions that return int return 0 or a negative ERR_ code, but where said. */
struct net_engine {
    int (*create)(struct net_loop *loop); /* sets engine_state; watches the bell */
    void (*destroy)(struct net_loop *loop);
    /* Sleeps until something happens, timeout_ms at most (0: not at all); calls net_loop_awake once
     * and then reports what happened. */
    int (*turn)(struct net_loop *loop, int timeout_ms);
    int (*watch)(struct net_loop *loop, struct net_source *socket); /* accept, or take datagrams */
    void (*unwatch)(struct net_loop *loop, struct net_source *socket);
    bool (*accept)(struct net_loop *loop, const struct net_source *socket); /* those who wait,
                          NET_ACCEPTS_MAX of them; false: there are no more, or no room */
    int (*adopt)(int fd);                 /* makes a connected socket as those accepted are */
    int (*open)(struct net_conn *c);      /* begins to receive on source.fd */
    void (*receive)(struct net_conn *c);  /* it is wanted again: ends `deaf` */
    void (*send)(struct net_conn *c);     /* all of c->sending from c->sent on, however long */
    void (*shutdown)(struct net_conn *c); /* of our side */
    void (*close)(struct net_conn *c, bool reset);
    int (*release)(struct net_conn *c); /* the descriptor, blocking, no longer watched */
};

extern const struct net_engine net_epoll;

/* --- What an engine reports (loop.c, conn.c) --- */

void net_loop_awake(struct net_loop *loop);      /* the sleep is over */
void net_count(struct net_loop *loop, int more); /* connections come or go */
bool net_accepting(const struct net_loop *loop); /* there is room for one more connection */
void net_accepted(struct net_loop *loop, int fd);
void net_pause_accepting(struct net_loop *loop); /* no room, no descriptors, or no memory */

/* Whether bytes of this connection are wanted now. If not, the engine does not report any: it
 * leaves them in the kernel (and may become `deaf`). */
bool net_conn_wants(const struct net_conn *c);
void net_conn_received(struct net_conn *c, struct span bytes); /* none: the peer ended its side */
void net_conn_sent(struct net_conn *c, size_t bytes); /* may hand over more, by engine->send */
void net_conn_failed(struct net_conn *c);             /* it is broken, in both directions */

/* --- conn.c for loop.c --- */

int net_conn_create(struct net_loop *loop, int fd, struct net_conn **c); /* owns fd after 0 */
void net_conn_work(struct net_conn *c, unsigned todo);                   /* does what was put off */
void net_conn_add_todo(struct net_conn *c, unsigned todo);
void net_conn_look(struct net_conn *c);               /* its time may be over */
void net_conn_let_go(struct net_conn *c, bool reset); /* closes the descriptor; any state */
void net_conn_bury(struct net_conn *c); /* gives its buffers back, frees it where nobody holds it */
void net_list_add(struct net_conn_list *list, struct net_conn *c);
void net_list_remove(struct net_conn_list *list, struct net_conn *c);
void net_spares_finish(struct net_loop *loop);

/* --- udp.c --- */

int net_udp_create(struct net_udp **udp, int fd); /* does not own fd */
void net_udp_destroy(struct net_udp *udp);        /* accepts NULL */
bool net_udp_speaks(const struct net_udp *udp, int family);
void net_udp_receive(struct net_udp *udp, struct net_loop *loop); /* one batch */
void net_udp_add(struct net_udp *udp, const struct net_peer *peer, struct span bytes);
void net_udp_flush(struct net_udp *udp);

#endif
