/* What the files of this folder share: the node and its threads. */
#ifndef NODE_INSIDE_H
#define NODE_INSIDE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "log/log.h"
#include "node/data_dir.h"
#include "node/node.h"
#include "record/execute.h"
#include "repl/entry.h"
#include "repl/step.h"
#include "store/store.h"

/* The entry on its way to the log and into local storage. */
struct flight {
    bool any;
    bool applied_here;  /* its effects are in the open transaction; else they are applied from its
                           bytes */
    struct entry entry; /* its body stands in the log's frame until the next one is begun */
    struct write_batch *batches; /* to be given back once it is committed and applied */
    uint64_t retry_us;           /* local storage had no space: when to apply it again; 0: not so */
};

struct node {
    struct node_options o;
    struct data_dir dir;
    struct store *store;
    struct log *log;
    uint64_t segment_bytes, reserve_bytes;
    size_t entry_bytes_max;
    uint64_t epoch;

    /* the order thread's */
    struct bell bell;
    struct write_port *ports;
    unsigned ports_count;
    struct repl repl;
    struct execution x;
    struct store_txn *txn; /* open while an entry is in flight */
    struct flight flight;
    uint64_t chain, time_us; /* of the last entry made */
    struct write_batch *pending, **pending_end;
    struct buf effects; /* in the log's frame */
    uint32_t effects_count;

    /* from and to the log thread */
    struct bell log_bell, prepare_bell;
    _Atomic(struct log_frame *) to_log;
    atomic_bool logged;   /* the frame is durable */
    atomic_bool gave_up;  /* it is not, and the server is being stopped */
    atomic_bool no_space; /* for the log's next segment, when it was last tried */
    atomic_bool stop_order, stop_log;
    sem_t admitting; /* posted once: writes are taken */
    pthread_t order_thread, log_thread, prepare_thread;
};

/* recovery.c */
int recover(struct node *n, char *why, size_t why_bytes);
/* order.c */
void *order_run(void *node);
/* log_threads.c */
void *log_run(void *node);
void *prepare_run(void *node);

#endif
