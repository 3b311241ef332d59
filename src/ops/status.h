/*
 * What a server says of itself on /_status, /_health and /_ready: numbers that each thread keeps
 * for the others to look at. Every one is written by one thread; a reader gets each whole, not all
 * of one moment.
 */
#ifndef OPS_STATUS_H
#define OPS_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NOTED_VERSION "0.1.0"

struct status {
    /* set before the threads start */
    const char *app_name;
    char address[80];    /* ADDRESS:PORT */
    uint64_t started_us; /* monotonic */

    /* by the order thread */
    _Atomic uint64_t epoch, durable, committed; /* durable, committed: indexes */
    atomic_bool admitting;                      /* writes are taken */
    atomic_bool disk_full;                      /* also by the log thread */
    atomic_bool ready;                          /* local reads are served */

    /* by the front-end threads, each adding */
    _Atomic uint64_t datagrams_dropped;
};

#endif
