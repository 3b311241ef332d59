/* The life of the storage side: open, threads, stop. */
#include "node/node.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "node/inside.h"

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
    n->log_bell.fd = n->prepare_bell.fd = n->untold.bell.fd = -1;
    int rc = bell_init(&n->log_bell);
    if (rc == 0)
        rc = bell_init(&n->prepare_bell);
    return rc == 0 ? untold_init(&n->untold) : rc;
}

void node_make_step(struct node *n)
{
    const struct settings *set = n->o.settings;
    const struct identity *i = &n->dir.identity;
    struct repl_options o = {
        .self = i->server,
        .life = n->o.seed,
        .sessions = n->repl.sessions,
        .generation = i->generation,
        .primary = n->primary,
        .suspect = n->suspect,
        .ack_all = set->ack == ACK_ALL,
        .min_copies = set->min_copies,
        .timeout_us = (uint64_t)set->backup_timeout_ms * 1000,
    };
    snprintf(o.address, sizeof o.address, "%s", n->o.status->address);
    struct repl_hard hard = i->hard;
    if (n->primary) /* the step takes the epoch as what is new */
        hard.promised_epoch = n->epoch - 1;
    repl_init(&n->repl, &o, &hard);
}

int node_open(struct node **out, const struct node_options *o, char *why, size_t why_bytes)
{
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_NO_MEMORY;
    }
    n->o = *o;
    n->primary = o->settings->primary == NULL;
    n->dir.lock_fd = -1;
    n->tail_end = &n->tail;
    n->pending_end = &n->pending;
    fates_init(&n->fates);
    n->help_todo_end = &n->help_todo;
    n->help_done_end = &n->help_done;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->help_wanted, NULL);
    pthread_cond_init(&n->keep_wanted, NULL);
    n->checkpoint.fd = n->old_checkpoint = -1;
    snprintf(why, why_bytes, "out of memory or file descriptors");
    int rc = make_bells(n);
    if (rc == 0)
        rc = make_execution(n);
    if (rc == 0)
        rc = order_open_loop(n);
    if (rc == 0)
        rc = data_dir_open(&n->dir, o->disk, o->settings->data, o->settings->app_name,
                           o->settings->boot_id_file, n->primary, why, why_bytes);
    if (rc == 0)
        rc = recover(n, why, why_bytes);
    if (rc != 0) {
        node_close(n);
        return rc;
    }
    node_make_step(n);
    *out = n;
    return 0;
}

struct store_slot *node_slot(struct node *node)
{
    return &node->slot;
}

void node_wake(void *node)
{
    order_wake(node);
}

void node_take_peer(void *node, int fd, struct span unread)
{
    struct node *n = node;
    struct arrival a = {.fd = fd};
    buf_add_span(&a.unread, unread);
    pthread_mutex_lock(&n->lock);
    bool room = n->arrivals_count < LINKS_MAX && !a.unread.failed;
    if (room)
        n->arrivals[n->arrivals_count++] = a;
    pthread_mutex_unlock(&n->lock);
    if (room) {
        order_wake(n);
        return;
    }
    atomic_fetch_add_explicit(&n->o.status->peers_refused, 1, memory_order_relaxed);
    buf_finish(&a.unread);
    close(fd);
}

int node_drop(void *node, struct span name)
{
    struct node *n = node;
    if (!n->primary)
        return ERR_NO_PRIMARY;
    pthread_mutex_lock(&n->lock);
    bool taken = n->drop[0] != '\0' && !span_is(name, n->drop);
    bool good = !taken && name.bytes != 0 && name.bytes <= APP_NAME_BYTES_MAX;
    if (good) {
        memcpy(n->drop, name.at, name.bytes);
        n->drop[name.bytes] = '\0';
    }
    pthread_mutex_unlock(&n->lock);
    order_wake(n);
    return good ? 0 : ERR_BUSY;
}

int node_start_workers(struct node *n)
{
    atomic_store(&n->stop_log, false);
    atomic_store(&n->keep_stop, false);
    n->help_stop = false;
    if (pthread_create(&n->log_thread, NULL, log_run, n) != 0 ||
        pthread_create(&n->prepare_thread, NULL, prepare_run, n) != 0 ||
        pthread_create(&n->keep_thread, NULL, keep_run, n) != 0 ||
        pthread_create(&n->help_thread, NULL, help_run, n) != 0)
        return ERR_SYSTEM;
    n->workers = true;
    return 0;
}

void node_stop_workers(struct node *n)
{
    if (!n->workers)
        return;
    n->workers = false;
    pthread_mutex_lock(&n->lock);
    n->help_stop = true;
    atomic_store(&n->keep_stop, true);
    pthread_cond_signal(&n->help_wanted);
    pthread_cond_signal(&n->keep_wanted);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->help_thread, NULL);
    pthread_join(n->keep_thread, NULL);
    atomic_store(&n->stop_log, true);
    bell_ring(&n->log_bell);
    bell_ring(&n->prepare_bell);
    pthread_join(n->log_thread, NULL);
    pthread_join(n->prepare_thread, NULL);
}

int node_start(struct node *n, struct write_port *ports, unsigned ports_count)
{
    n->ports = ports;
    n->ports_count = ports_count;
    int rc = untold_start(n);
    if (rc == 0)
        rc = node_start_workers(n); /* where it fails, the caller ends the process */
    return rc == 0 && pthread_create(&n->order_thread, NULL, order_run, n) != 0 ? ERR_SYSTEM : rc;
}

int node_stop(struct node *n)
{
    backups_end(n);
    untold_stop(n);
    atomic_store(&n->stop_order, true);
    order_wake(n);
    bell_ring(&n->log_bell);
    pthread_join(n->order_thread, NULL);
    install_stop(n);
    node_stop_workers(n);
    if (n->log == NULL) /* of an install that was begun: the next start does it */
        return 0;
    int rc = store_sync(n->store);
    if (rc != 0)
        data_dir_distrust(&n->dir);
    bool whole = n->proved && !n->diverged; /* else the next start begins with checkpoint and log */
    return rc == 0 && whole ? data_dir_mark(&n->dir, true) : rc;
}

/* Batches of backups; those of front ends are theirs. */
static void free_batches(struct write_batch *list)
{
    for (struct write_batch *b = list, *next; b != NULL; b = next) {
        next = b->next;
        if (b->port == NULL)
            write_batch_destroy(b);
    }
}

static void free_help(struct help_job *list)
{
    for (struct help_job *job = list, *next; job != NULL; job = next) {
        next = job->next;
        help_job_destroy(job);
    }
}

void node_close(struct node *n)
{
    if (n == NULL)
        return;
    n->closing = true;
    net_loop_destroy(n->loop);
    store_write_abort(n->txn);
    log_close(n->log);
    if (n->store != NULL)
        store_slot_finish(&n->slot);
    part_finish(n);
    checkpoint_forget(n);
    tail_free(n->tail);
    free_batches(n->pending);
    free_batches(n->flight.batches);
    free_batches(n->spare);
    free_help(n->help_todo);
    free_help(n->help_done);
    for (unsigned i = 0; i < n->arrivals_count; i++) {
        close(n->arrivals[i].fd);
        buf_finish(&n->arrivals[i].unread);
    }
    json_destroy(n->x.json);
    buf_finish(&n->x.scratch);
    buf_finish(&n->scratch);
    bell_finish(&n->log_bell);
    bell_finish(&n->prepare_bell);
    untold_finish(&n->untold);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->help_wanted);
    pthread_cond_destroy(&n->keep_wanted);
    data_dir_close(&n->dir);
    free(n);
}
