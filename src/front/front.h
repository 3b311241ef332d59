/*
 * One front-end thread: an event loop with its own sockets, that turns bytes into requests, reads
 * local storage, hands writes to the order thread, and turns answers into bytes. How a write
 * becomes durable is unknown here.
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/settings.h"
#include "base/span.h"
#include "ops/message_log.h"
#include "ops/status.h"
#include "record/read.h"
#include "record/write.h"

struct front;

struct front_options { /* all pointers are borrowed and outlive the front end */
    const struct settings *settings;
    const struct clock *clock;
    const struct visible *visible;
    struct reader *reader;
    struct write_port *port; /* its `wake` and `front` are set here */
    struct message_log *messages;
    struct message_ring *ring;
    struct status *status;
    uint64_t seed;
    atomic_size_t *connections; /* that all front ends have */
    int tcp_fd, udp_fd;         /* -1: none; owned after front_create returned 0 */
    /* A connection whose first byte is PEER_FIRST_BYTE is given up to this, from the front end's
     * thread: the callee owns the (blocking) fd; the bytes, all that were read from it, are dead
     * after the call. NULL: such a connection is aborted. */
    void (*peer)(void *node, int fd, struct span unread);
    /* The operator's word: a server is to be taken from the in-sync set. 0 or an error; NULL: there
     * is nobody to ask. */
    int (*drop)(void *node, struct span name);
    /* A client takes a copy of local storage: first a place for it (0 or an error), then the
     * connection, as in `peer`, or -1, which gives the place back. `head` goes first and is dead
     * after the call; then the copy, in chunks where it says so. NULL: there is none. */
    int (*backup_reserve)(void *node);
    void (*backup)(void *node, int fd, struct span head, bool chunked);
    void *node; /* of all */
};

int front_create(struct front **f, const struct front_options *o);
int front_run(struct front *f); /* the thread's body: until front_drain has been called and
                                   everything is answered */
void front_drain(
    struct front *f); /* from any thread: accept no more, answer what is in flight, then end */
void front_destroy(struct front *f); /* after the order thread has ended; accepts NULL */

#endif
