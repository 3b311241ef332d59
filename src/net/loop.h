/*
 * The event loop of one thread, completion-shaped: here are bytes, this buffer is sent, somebody
 * connected, a datagram came, time passed, you were woken. What the bytes mean is unknown here. The
 * shape fits io_uring as well as epoll: a caller never asks "is it readable", never sees EAGAIN or
 * a file descriptor, and never touches output that has been handed over. The implementation here is
 * epoll.
 *
 * One loop, one thread: every call but net_loop_wake and net_loop_stop is made by the thread in
 * net_loop_run (or before it starts).
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"

struct net_loop;
struct net_conn;

/* Whom a datagram came from and where it arrived, so that the answer leaves from the address that
 * was asked. */
struct net_peer {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } from;
    union {
        struct in_pktinfo v4;
        struct in6_pktinfo v6;
    } at;
};

/*
 * What is called when something happens; `received` is needed, the others may be NULL. None is ever
 * called from inside a call that the handler makes, so that no connection is gone before a callback
 * returns. In one turn: accepted, received, drained and datagram as things come; woken; tick; what
 * was put off (net_resume, drained); closed; turn_end. After turn_end nothing is called before the
 * loop has looked for new events, and so has perhaps slept.
 */
struct net_handler {
    void *context;
    /* A client connected. net_conn_user(c) is zeroed memory of user_bytes for the handler's own. */
    void (*accepted)(void *context, struct net_conn *c);
    /*
     * Here are bytes: all that is unread, from the first that was not consumed. Returns how many
     * are consumed now (<= input.bytes; ignored after net_close and its like); the rest is kept and
     * comes again, with what followed, at the next call. Called when more bytes came, at most
     * 64 KiB of them in one turn; when the peer ended its side (`end`: nothing follows; called once
     * with it even if no byte is left, and again after net_resume); and after net_resume. Not
     * called while paused or closing. The input may be modified by nobody; it is dead after the
     * call.
     */
    size_t (*received)(void *context, struct net_conn *c, struct span input, bool end);
    /*
     * All output that was handed over has been sent: once for each time that there was some and
     * none is left, also where the socket took all of it at once. So who streams something long
     * fills net_out up to a bound of its own, waits for this, and fills again: a few pieces in one
     * turn at most, so that others get theirs. Not called while closing.
     */
    void (*drained)(void *context, struct net_conn *c);
    /* The connection is gone (closed by either side, failed, or aborted): the last call for c,
     * exactly one for each accepted or adopted. While net_hold is in force the memory of c stays
     * (see there), but nothing can be sent any more. */
    void (*closed)(void *context, struct net_conn *c);
    /* About once a second, and at least so often as there are ticks where connections are few: is
     * it to go on? Open ones only. */
    void (*look)(void *context, struct net_conn *c);
    void (*datagram)(void *context, const struct net_peer *peer, struct span bytes);
    void (*woken)(void *context);                  /* after net_loop_wake; wakes may be merged */
    void (*tick)(void *context, uint64_t mono_us); /* about every tick_ms */
    void (*turn_end)(void *context); /* all events of this turn are handled; output is flushed after
                                        it, then the loop may sleep */
};

struct net_loop_options {
    struct net_handler handler;
    const struct clock *clock;
    size_t user_bytes;      /* of the handler's memory in each connection */
    size_t connections_max; /* from 1: at the limit accepting pauses until one of this loop's is
                               gone,     or the next tick (as it does without descriptors) */
    size_t connections_own; /* of these, places that no other loop can take: else connections that
                               wait in this one's backlog could wait for ever */
    atomic_size_t *connections; /* how many of the others are taken, by all loops that share the
                                   limit; NULL: this loop has it alone */
    unsigned sharers;           /* these loops; 0 or 1: alone */
    size_t input_bytes_max; /* unconsumed bytes of one connection; with so many kept (64 KiB more
                               may have come with the last) it is not read further, and the handler
                               is expected to have answered an error before */
    unsigned tick_ms;       /* from 1 */
    unsigned stall_ms;      /* whose peer takes in so long neither all of the output that waits, nor
                               64 KiB of it, is aborted; 0: not while it is open */
    size_t output_bytes_max; /* memory of output that waits for all peers: the more of it is used,
                                the shorter is stall_ms (net_patience_ms), and when all is,
                                net_output_full says so; 0: no bound */
    unsigned keep_alive_s;   /* TCP keep-alive of accepted connections: probes after so long without
                                a sign of the peer, its end after twice that; 0: none */
};

int net_loop_create(struct net_loop **loop,
                    const struct net_loop_options *o); /* ERR_SYSTEM, ERR_NO_MEMORY */
void net_loop_destroy(
    struct net_loop *loop); /* closes what is open, `closed` called for each; accepts NULL */
int net_loop_run(struct net_loop *loop);   /* until net_loop_stop: 0; ERR_SYSTEM */
void net_loop_stop(struct net_loop *loop); /* from any thread; takes effect at the end of a turn */
void net_loop_wake(struct net_loop *loop); /* from any thread; async-signal-safe; no system call
                                              while the loop is awake and already told */

/* Takes a bound listening socket, or a bound datagram socket (IP_PKTINFO is set on it here), both
 * non-blocking; owns the descriptor after 0. At most 8 in one loop, and one datagram socket of each
 * address family. ERR_SYSTEM, ERR_NO_MEMORY. */
int net_listen(struct net_loop *loop, int fd);
int net_datagrams(struct net_loop *loop, int fd);
/* In this turn, before `tick`, or in the next: who has connected already is accepted, and the
 * listening sockets are closed. Connections go on. */
void net_stop_accepting(struct net_loop *loop);
void net_stop_datagrams(struct net_loop *loop); /* receives no more; answers can still be sent */

/* --- Connections --- */

/*
 * Takes a connected TCP socket, as another loop gave it up (net_release) or as the caller has just
 * connected it, and makes it non-blocking, close-on-exec and TCP_NODELAY. Also from inside a
 * callback. `accepted` is not called for it. `unread` are bytes that were already read from it: a
 * copy comes to `received` in this turn or the next, before all that is still in the socket.
 * connections_max does not bind it, but it takes one of those places. Owns the descriptor after 0;
 * after ERR_NO_MEMORY or ERR_SYSTEM it is the caller's, though perhaps already non-blocking.
 */
int net_adopt(struct net_loop *loop, int fd, struct span unread, struct net_conn **c);

void *net_conn_user(struct net_conn *c);
size_t net_conn_count(const struct net_loop *loop);
/* Calls `each` for every open connection (not those closing). `each` may close or abort it. */
void net_conn_each(struct net_loop *loop, void (*each)(void *context, struct net_conn *c),
                   void *context);
/* When the peer last sent or took a byte. */
uint64_t net_conn_active_us(const struct net_conn *c);
bool net_conn_partial(const struct net_conn *c); /* unconsumed input is kept */
size_t
net_kept_input(const struct net_loop *loop); /* memory that the unconsumed input of all takes */
/* How long a peer is waited for that holds some of a bounded memory: limit_ms (0: for ever) while
 * none of that is used, and less and less, down to a second, until all is. So those who take the
 * most time make room for the next. */
uint64_t net_patience_ms(uint64_t limit_ms, size_t used, size_t used_max);
bool net_output_full(const struct net_loop *loop); /* more should not be made to wait */

/*
 * The output buffer of a connection: append to it; what is there at the end of the `received` call,
 * or of the turn, is sent, in one send where the socket takes it. The pointer is good until the
 * callback returns. After net_close and its like, and when the connection is gone, it is a buffer
 * that leads nowhere. An append that failed for want of memory (buf.failed) aborts the connection
 * at the flush.
 */
struct buf *net_out(struct net_conn *c);
size_t net_unsent(const struct net_conn *c); /* bytes handed over and not yet taken by the socket,
                                                and those in net_out */

/* Do not read it, do not call `received`; idempotent. That the peer ended its side is noticed after
 * net_resume; that it reset the connection is noticed at once, and what it sent before is lost. */
void net_pause(struct net_conn *c);
/* `received` is called again with what is kept (if any, or if the end was seen; also where it was
 * not paused), and reading goes on. Before the turn ends, or in the next one, which then begins
 * without sleep, if called in turn_end or while `received` is called for such a net_resume. Twice
 * before that is as once. */
void net_resume(struct net_conn *c);

/* Each of these ends reading; output handed over before is still sent. `received` is not called
 * again. A second one changes nothing, but for net_abort. A peer that takes too little of that
 * output (as under stall_ms) for 30 s is cut off. */
void net_close(struct net_conn *c);  /* then close */
void net_linger(struct net_conn *c); /* then shutdown of our side; what still comes is read and
                                        thrown away until the peer closes, LINGER_MS passed or
                                        LINGER_BYTES_MAX came (RFC 9112 section 9.6) */
void net_abort(struct net_conn *c);  /* at once, unsent output lost, the peer sees a reset */

/* Keeps the memory of c (and its user memory) from being freed after `closed`, while something
 * elsewhere still points to it. Counted: each hold needs one unhold. */
void net_hold(struct net_conn *c);
void net_unhold(struct net_conn *c);
bool net_is_closed(const struct net_conn *c); /* `closed` has been called */

/* Gives the connection up as a plain blocking file descriptor, without keep-alive, with its unread
 * bytes appended to `unread` (inside `received`: all of its input); c is gone (`closed` is called
 * later in the turn). -1 with the connection as it was while output is unsent, when closing, or
 * where `unread` failed.
 */
int net_release(struct net_conn *c, struct buf *unread);

/* --- Datagrams --- */

/* Queues an answer; sent in batches at the end of the turn. Dropped (as the network might) when the
 * socket is full. */
void net_reply(struct net_loop *loop, const struct net_peer *peer, struct span bytes);

#endif
