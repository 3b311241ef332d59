/*
 * What a server says of itself on /_status, /_health and /_ready: numbers that each thread keeps
 * for the others to look at. Every one is written by one thread; a reader gets each whole, not all
 * of one moment. Of the cluster there is one view, which is of one moment.
 */
#ifndef OPS_STATUS_H
#define OPS_STATUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

#define NOTED_VERSION "0.1.0"

enum { STATUS_BACKUPS_MAX = 16, STATUS_ADDRESS_BYTES = 80, STATUS_ID_BYTES = 16 };

struct status_backup {
    char app_name[APP_NAME_BYTES_MAX + 1], address[STATUS_ADDRESS_BYTES];
    const char *state; /* a word that stays: "in_sync" … */
    bool in_sync;
    bool leaving; /* the set without it is not durable yet */
    uint64_t durable, applied, lag_ms;
};

/* How the order thread sees the cluster. */
struct status_view {
    char primary_name[APP_NAME_BYTES_MAX + 1]; /* "": not known */
    char primary_address[STATUS_ADDRESS_BYTES];
    /* What a promotion asks for: whose data directory this is, what it has promised, where its log
       ends. */
    unsigned char id[STATUS_ID_BYTES], cluster[STATUS_ID_BYTES];
    uint32_t generation; /* the highest that it has seen */
    uint64_t promised_epoch, last_epoch, last;
    bool connected;                /* a backup: in session with its primary */
    bool in_sync;                  /* this server is */
    uint64_t copy_bytes, copy_got; /* a backup: of a full copy that comes; 0: none does */
    uint64_t copy_bytes_per_s;
    const char *copy_state;
    uint64_t lag_ms; /* a backup: since when it has not applied what is committed */
    unsigned set_count;
    char set[STATUS_BACKUPS_MAX][APP_NAME_BYTES_MAX + 1]; /* names of those in sync */
    unsigned backups_count;
    struct status_backup backups[STATUS_BACKUPS_MAX]; /* a primary's */
    char reason[DETAIL_BYTES_MAX]; /* why no write, or no read, can be served; "": no reason */
};

struct status {
    /* set before the threads start */
    const char *app_name;
    char address[STATUS_ADDRESS_BYTES]; /* ADDRESS:PORT */
    uint64_t started_us;                /* monotonic */
    bool backup, ack_primary;

    /* by the order thread */
    _Atomic uint64_t epoch, durable, committed; /* durable, committed: indexes */
    atomic_int refusal;                         /* why no write is taken: 0, or the error */
    atomic_bool disk_full;                      /* also by the log thread */
    atomic_bool ready;                          /* local reads are served */
    atomic_bool started;                        /* what the ready line says is true */
    _Atomic uint64_t peers_refused;             /* connections of servers that were turned away */
    pthread_mutex_t lock;                       /* of the view; not on the way of a request */
    struct status_view view;

    /* by the front-end threads, each adding */
    _Atomic uint64_t datagrams_dropped;
};

/* A copy of the view. */
static inline struct status_view status_view(struct status *s)
{
    pthread_mutex_lock(&s->lock);
    struct status_view view = s->view;
    pthread_mutex_unlock(&s->lock);
    return view;
}

#endif
