/* The life of the storage side: open, threads, stop. */
#include "node/node.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "node/inside.h"

enum { START_WAIT_S = 2 };

static int make_execution(struct node *n)
{
    const struct settings *set = n->o.settings;
    n->x = (struct execution){
        .record_bytes_max = set->record_bytes_max,
        .collections_max = set->collections_max,
        .keys_max = set->keys_max,
        .keys_bytes_max = set->keys_bytes,
        .key_window_us = (uint64_t)set->key_window_s * 1000000,
    };
    return json_create(&n->x.json, n->o.seed, set->json_depth_max);
}

static int make_bells(struct node *n)
{
    n->bell.fd = n->log_bell.fd = n->prepare_bell.fd = -1;
    int rc = bell_init(&n->bell);
    if (rc == 0)
        rc = bell_init(&n->log_bell);
    return rc == 0 ? bell_init(&n->prepare_bell) : rc;
}

int node_open(struct node **out, const struct node_options *o, char *why, size_t why_bytes)
{
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_NO_MEMORY;
    }
    n->o = *o;
    n->dir.lock_fd = -1;
    n->pending_end = &n->pending;
    repl_init(&n->repl);
    snprintf(why, why_bytes, "out of memory or file descriptors");
    int rc = make_bells(n);
    if (rc == 0)
        rc = make_execution(n);
    if (rc == 0)
        rc = data_dir_open(&n->dir, o->disk, o->settings->data, o->settings->app_name,
                           o->settings->boot_id_file, why, why_bytes);
    if (rc == 0)
        rc = recover(n, why, why_bytes);
    if (rc != 0) {
        node_close(n);
        return rc;
    }
    *out = n;
    return 0;
}

struct store *node_store(struct node *node)
{
    return node->store;
}

struct bell *node_bell(struct node *node)
{
    return &node->bell;
}

/* Waits for the epoch's first entry. It comes at once but on a full disk; then writes are refused
 * until it has come. */
static void wait_admitting(struct node *n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_WAIT_S;
    while (sem_timedwait(&n->admitting, &until) != 0 && errno == EINTR) {
    }
}

int node_start(struct node *n, struct write_port *ports, unsigned ports_count)
{
    n->ports = ports;
    n->ports_count = ports_count;
    if (sem_init(&n->admitting, 0, 0) != 0 ||
        pthread_create(&n->log_thread, NULL, log_run, n) != 0 ||
        pthread_create(&n->prepare_thread, NULL, prepare_run, n) != 0 ||
        pthread_create(&n->order_thread, NULL, order_run, n) != 0)
        return ERR_SYSTEM; /* the caller ends the process */
    wait_admitting(n);
    return 0;
}

int node_stop(struct node *n)
{
    atomic_store(&n->stop_order, true);
    bell_ring(&n->bell);
    bell_ring(&n->log_bell);
    pthread_join(n->order_thread, NULL);
    atomic_store(&n->stop_log, true);
    bell_ring(&n->log_bell);
    bell_ring(&n->prepare_bell);
    pthread_join(n->log_thread, NULL);
    pthread_join(n->prepare_thread, NULL);
    sem_destroy(&n->admitting);
    int rc = store_sync(n->store);
    if (rc != 0)
        data_dir_distrust(&n->dir);
    return rc == 0 ? data_dir_mark(&n->dir, true) : rc;
}

void node_close(struct node *n)
{
    if (n == NULL)
        return;
    store_write_abort(n->txn);
    log_close(n->log);
    store_close(n->store);
    json_destroy(n->x.json);
    buf_finish(&n->x.scratch);
    bell_finish(&n->bell);
    bell_finish(&n->log_bell);
    bell_finish(&n->prepare_bell);
    data_dir_close(&n->dir);
    free(n);
}
