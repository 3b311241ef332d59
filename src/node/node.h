/*
 * One server's storage side: local storage and log opened and brought together, the threads that
 * order writes and make them durable, and the links to other servers. Clients and their protocols
 * are unknown here: writes come and go through ports.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/disk.h"
#include "base/queue.h"
#include "base/settings.h"
#include "base/span.h"
#include "ops/message_log.h"
#include "ops/status.h"
#include "record/read.h"
#include "record/write.h"

struct node;
struct store_slot;

struct node_options { /* all pointers are borrowed and outlive the node */
    const struct settings *settings;
    const struct clock *clock;
    const struct disk *disk;
    struct status *status;
    struct visible *visible;
    struct message_ring *ring;           /* the order thread's */
    uint64_t seed;                       /* random; of this life of the process */
    void (*say)(const char *sentence);   /* something that the operator should know */
    void (*fatal)(const char *sentence); /* the disk failed (rule S11): must not return */
};

/*
 * Locks the data directory, recovers the log, brings local storage up to what is known to be
 * committed, takes a new epoch on a primary. Slow where storage must be rebuilt. 0, or an error and
 * a sentence in `why`; nothing is left open then.
 */
int node_open(struct node **node, const struct node_options *o, char *why, size_t why_bytes);
/* Where the front ends' readers find local storage, which a full copy may replace. */
struct store_slot *node_slot(struct node *node);
/* For the ports: wakes the order thread. From any thread. */
void node_wake(void *node);

/* Starts the threads. The ports are all there and outlive the node. status->started says when the
 * ready line may be printed: a primary takes writes, or waits for members of its set; a backup is
 * in sync; or reads are served and that did not come about soon. */
int node_start(struct node *node, struct write_port *ports, unsigned ports_count);

/* A connection that began as peers do, and what was read from it. Owns the descriptor. From any
 * thread, while the node runs. */
void node_take_peer(void *node, int fd, struct span unread);

/* Asks for a server to be taken from the in-sync set (the operator's word). From any thread. 0;
 * ERR_BUSY: another one is asked for; ERR_NO_PRIMARY: this is not the primary. What became of it is
 * in the status. */
int node_drop(void *node, struct span name);

/*
 * A copy of local storage for a client, while writes go on; from any thread, while the node runs.
 * First a place is asked for: 0, or ERR_BUSY: two are under way. Then the connection is handed
 * over, a (blocking) descriptor that is owned from then on, or -1: the place is given back. `head`
 * goes first; it is dead after the call. What follows is in chunks, or ends with the connection. A
 * copy that fails ends without the last chunk, by a reset.
 */
int node_backup_reserve(void *node);
void node_backup_start(void *node, int fd, struct span head, bool chunked);

/* Ends the threads when every batch that was handed over has been given back, and backups at once,
 * whole or not; syncs local storage, marks it clean. The front ends have ended, or will hand over
 * nothing more. 0, or ERR_IO. */
int node_stop(struct node *node);
void node_close(struct node *node); /* after node_stop, or node_open without node_start; readers are
                                       gone; accepts NULL */

#endif
