/*
 * Servers that a promotion by hand did not hear from: one of them may be the old primary, alive or
 * to be started again. The primary that was promoted calls each until it has told it that there is
 * a newer one, upon which that takes no writes any more (members.c). No safety rests on it: who
 * cannot be called cannot be told.
 */
#ifndef NODE_UNTOLD_H
#define NODE_UNTOLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/queue.h"
#include "base/span.h"
#include "node/data_dir.h"

struct node;

struct untold {
    struct buf addresses; /* each a line */
    struct buf hello;     /* what is said */
    uint64_t epoch;
    struct bell bell;
    atomic_bool stop;
    bool runs;
    pthread_t thread;
};

/* The addresses, each a line, durably. */
int untold_write(struct data_dir *d, struct span addresses);

int untold_init(struct untold *u);
void untold_finish(struct untold *u);

/* Begins to call, on a primary that has somebody to call; before the other threads begin. 0, or
 * ERR_SYSTEM. */
int untold_start(struct node *n);
void untold_stop(struct node *n);

#endif
