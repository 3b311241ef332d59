/*
 * One server's storage side: local storage and log opened and brought together, and the threads
 * that order writes and make them durable. Clients, protocols and sockets are unknown here: writes
 * come and go through ports.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/disk.h"
#include "base/queue.h"
#include "base/settings.h"
#include "ops/status.h"
#include "record/read.h"
#include "record/write.h"

struct node;
struct store;

struct node_options { /* all pointers are borrowed and outlive the node */
    const struct settings *settings;
    const struct clock *clock;
    const struct disk *disk;
    struct status *status;
    struct visible *visible;
    uint64_t seed;
    void (*say)(const char *sentence);   /* something that the operator should know */
    void (*fatal)(const char *sentence); /* the disk failed (rule S11): must not return */
};

/*
 * Locks the data directory, recovers the log, brings local storage up to its end, takes a new
 * epoch. Slow where storage must be rebuilt. 0, or an error and a sentence in `why`; nothing is
 * left open then.
 */
int node_open(struct node **node, const struct node_options *o, char *why, size_t why_bytes);
struct store *node_store(struct node *node);
/* The bell of the order thread, for the ports. */
struct bell *node_bell(struct node *node);

/* Starts the threads; returns once the epoch's first entry is committed, so that writes are taken.
 * The ports are all there and outlive the node. A full disk is no failure here: reads are served,
 * writes refused until there is space. */
int node_start(struct node *node, struct write_port *ports, unsigned ports_count);

/* Ends the threads when every batch that was handed over has been given back, syncs local storage,
 * marks it clean. The front ends have ended, or will hand over nothing more. 0, or ERR_IO. */
int node_stop(struct node *node);
void node_close(struct node *node); /* after node_stop, or node_open without node_start; readers are
                                       gone; accepts NULL */

#endif
