/* The log thread, which alone waits for the disk, and the thread that prepares its next segment. */

#include "base/err.h"
#include "base/thread.h"
#include "node/inside.h"

enum { FULL_WAIT_MS = 100, PREPARE_WAIT_MS = 500 };

static int do_job(struct node *n)
{
    switch (n->job.kind) {
    case LOG_APPEND:
        return log_append(n->log, n->job.frame);
    case LOG_SAVE:
        return data_dir_save(&n->dir, &n->job.hard);
    case LOG_CUT:
        return log_cut(n->log, n->job.index, n->job.chain);
    }
    return ERR_INTERNAL;
}

/* Does one job; waits while there is no space for it, unless the server is being stopped. */
static bool work(struct node *n)
{
    for (;;) {
        int rc = do_job(n);
        atomic_store_explicit(&n->log_stuck, rc == ERR_DISK_FULL, memory_order_release);
        if (rc == 0)
            return true;
        if (rc != ERR_DISK_FULL)
            suspect_fail(n, rc, "writing the log failed");
        if (atomic_load_explicit(&n->stop_order, memory_order_acquire))
            return false;
        bell_ring(&n->prepare_bell);
        bell_rest(&n->log_bell);
        bell_wait(&n->log_bell, FULL_WAIT_MS);
        bell_awake(&n->log_bell);
    }
}

void *log_run(void *node)
{
    struct node *n = node;
    thread_begin("log", THREAD_USUAL);
    for (;;) {
        if (atomic_exchange_explicit(&n->to_log, false, memory_order_acq_rel)) {
            bool done = work(n);
            atomic_store_explicit(done ? &n->logged : &n->gave_up, true, memory_order_release);
            order_wake(n);
            if (!log_is_prepared(n->log))
                bell_ring(&n->prepare_bell);
            continue;
        }
        if (atomic_load_explicit(&n->stop_log, memory_order_acquire))
            return NULL;
        bell_rest(&n->log_bell);
        if (!atomic_load_explicit(&n->to_log, memory_order_acquire) &&
            !atomic_load_explicit(&n->stop_log, memory_order_acquire))
            bell_wait(&n->log_bell, -1);
        bell_awake(&n->log_bell);
    }
}

/* A segment is made only while the reserve stays free, so that the log never takes what local
 * storage needs (S22). */
static void prepare(struct node *n, bool *scarce_said)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    int rc = n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes);
    if (rc != 0 || free_bytes < n->segment_bytes + n->reserve_bytes)
        rc = ERR_DISK_FULL;
    else
        rc = log_prepare(n->log);
    if (rc != 0 && rc != ERR_DISK_FULL && rc != ERR_NO_MEMORY)
        suspect_fail(n, rc, "preparing the log failed");
    if (rc == ERR_NO_MEMORY && !*scarce_said)
        n->o.say("no memory or file descriptor is left to prepare the log: it is tried again, and "
                 "writes wait");
    *scarce_said = rc == ERR_NO_MEMORY;
    atomic_store_explicit(&n->no_space, rc == ERR_DISK_FULL, memory_order_release);
    order_wake(n);
}

void *prepare_run(void *node)
{
    struct node *n = node;
    bool scarce_said = false;
    thread_begin("prepare", THREAD_BACK);
    while (!atomic_load_explicit(&n->stop_log, memory_order_acquire)) {
        checkpoint_trim(n);
        if (!log_is_prepared(n->log))
            prepare(n, &scarce_said);
        bell_rest(&n->prepare_bell);
        if (!atomic_load_explicit(&n->stop_log, memory_order_acquire))
            bell_wait(&n->prepare_bell, log_is_prepared(n->log) ? -1 : PREPARE_WAIT_MS);
        bell_awake(&n->prepare_bell);
    }
    return NULL;
}
