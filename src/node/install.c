/*
 * A full copy that is all here is checked and takes the place of what this server has (S13), by a
 * niced thread of its own: clients go on being answered meanwhile from what was there before. The
 * order thread begins it, and at the end moves over to what was opened. It may be cut off anywhere:
 * what was begun durably (data_dir_begin_install) is done by the next start, anything before it is
 * as it was.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/thread.h"
#include "node/inside.h"
#include "store/copy.h"

enum { AGAIN_S_MAX = 60 };

static bool stopping(struct node *n)
{
    return atomic_load_explicit(&n->install.stop, memory_order_acquire);
}

/* --- By its thread --- */

/* It is the very one that was sent. All of it is durable already. */
static int check(struct node *n, struct store_state *state)
{
    struct pace p = pace_begin(n, pace_of_checks(n), &n->install.stop);
    const struct store_pace pace = pace_of(&p);
    char path[PATH_BYTES_MAX], why[256];
    uint64_t seal = 0;
    const struct full_copy *sent = &n->copy.part;
    data_dir_path(&n->dir, "copy.part", path);
    int rc = store_copy_check(path, &pace, state, why, sizeof why);
    if (rc != 0)
        return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    rc = fd < 0 ? ERR_SYSTEM : store_copy_seal(fd, &seal);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && seal != sent->seal)
        rc = ERR_CORRUPT;
    const struct peer_point is = {
        .epoch = state->epoch, .index = state->applied, .chain = state->chain};
    return full_copy_good(sent, rc, &is) ? 0 : rc == 0 ? ERR_CORRUPT : rc;
}

/* A node of its own, so that the one there is stays as it is until all was opened. */
static struct node *begin_instead(const struct node *n, const struct store_state *state)
{
    struct node *instead = calloc(1, sizeof *instead);
    if (instead == NULL)
        n->o.fatal("out of memory");
    instead->o = n->o;
    instead->dir = n->dir;
    instead->checked = state;
    instead->segment_bytes = n->segment_bytes;
    instead->reserve_bytes = n->reserve_bytes;
    instead->entry_bytes_max = n->entry_bytes_max;
    return instead;
}

static void close_instead(struct node *instead)
{
    tail_free(instead->tail);
    log_close(instead->log);
    store_close(instead->store);
    instead->tail = NULL;
    instead->log = NULL;
    instead->store = NULL;
}

/* Where there is no space, as soon as there is; reads go on. */
static int open_instead(struct node *n, struct node *instead)
{
    char why[512], sentence[600];
    unsigned wait_s = 1;
    for (;;) {
        why[0] = '\0';
        instead->tail_end = &instead->tail;
        int rc = recover_again(instead, why, sizeof why);
        atomic_store_explicit(&n->install.no_space, rc == ERR_DISK_FULL, memory_order_relaxed);
        if (rc == 0)
            return 0;
        close_instead(instead);
        if (stopping(n))
            return ERR_BUSY;
        snprintf(sentence, sizeof sentence, "the full copy cannot be taken over%s: %s",
                 rc == ERR_DISK_FULL ? " yet" : "", why);
        if (rc != ERR_DISK_FULL)
            n->o.fatal(sentence);
        n->o.say(sentence);
        const struct timespec tick = {.tv_nsec = 50 * 1000 * 1000};
        for (unsigned ticks = wait_s * 20; ticks != 0 && !stopping(n); ticks--)
            nanosleep(&tick, NULL);
        wait_s = wait_s * 2 < AGAIN_S_MAX ? wait_s * 2 : AGAIN_S_MAX;
    }
}

static struct node *take_place(struct node *n, const struct store_state *state)
{
    node_stop_workers(n);
    checkpoint_forget(n);
    log_close(n->log);
    n->log = NULL;
    struct node *instead = begin_instead(n, state);
    if (data_dir_begin_install(&instead->dir) != 0)
        n->o.fatal(
            "the full copy cannot be taken over: identity.0 or identity.1 cannot be written");
    if (open_instead(n, instead) == 0)
        return instead;
    free(instead);
    return NULL;
}

static void *install_run(void *node)
{
    struct node *n = node;
    struct install *i = &n->install;
    struct store_state state;
    thread_begin("install", THREAD_BACK);
    int rc = check(n, &state);
    i->whole = rc == 0;
    atomic_store_explicit(&i->checked, i->whole, memory_order_release);
    if (i->whole)
        i->instead = take_place(n, &state);
    atomic_store_explicit(&i->over, true, memory_order_release);
    order_wake(n);
    return NULL;
}

/* --- By the order thread --- */

static void begin(struct node *n)
{
    struct install *i = &n->install;
    n->copy.due = false;
    i->any = true;
    i->whole = false;
    i->instead = NULL;
    atomic_store(&i->checked, false);
    atomic_store(&i->no_space, false);
    atomic_store(&i->over, false);
    order_say(n, "all of the copy is here, and is checked");
    if (pthread_create(&i->thread, NULL, install_run, n) != 0)
        n->o.fatal("cannot start threads");
}

/* What was opened is this server's from here on. */
static void move_over(struct node *n, struct node *instead)
{
    tail_free(n->tail);
    n->log = instead->log;
    n->dir = instead->dir;
    n->state = instead->state;
    n->chain = instead->chain;
    n->time_us = instead->time_us;
    n->seq = instead->seq;
    n->last_epoch = instead->last_epoch;
    n->tail = instead->tail;
    n->tail_end = n->tail == NULL ? &n->tail : instead->tail_end;
    n->tail_bytes = instead->tail_bytes;
    n->unwritten = NULL;
    n->retry_us = 0;
    n->known_set = instead->known_set;
    n->since_checkpoint = instead->since_checkpoint;
    n->checkpoint_bytes = instead->checkpoint_bytes;
    n->suspect = instead->suspect;
    n->proved = n->proved || instead->proved; /* what could be read before is older */
    atomic_store(&n->rotten, false);
    n->store = instead->store;
    store_slot_swap(&n->slot, n->store);
    recover_tell(n);
    n->frame_wanted = n->save_wanted = n->cut_wanted = false;
    free(instead);
}

static void end(struct node *n)
{
    struct install *i = &n->install;
    pthread_join(i->thread, NULL);
    i->any = false;
    if (i->instead == NULL)
        return;
    move_over(n, i->instead);
    i->instead = NULL;
    node_make_step(n);
}

void install_if_due(struct node *n)
{
    struct install *i = &n->install;
    if (n->copy.due && !n->job_asked && !n->install.any)
        begin(n);
    if (!i->any || !atomic_load_explicit(&i->over, memory_order_acquire))
        return;
    end(n);
    if (!i->whole) {
        order_say(n, "the copy is not whole, and is asked for once more");
        copy_forget(n, true);
        return;
    }
    n->published_us = 0;
    if (node_start_workers(n) != 0)
        n->o.fatal("cannot start threads");
    copy_forget(n, false);
    order_begin(n);
}

void install_stop(struct node *n)
{
    atomic_store_explicit(&n->install.stop, true, memory_order_release);
    if (n->install.any)
        end(n);
}
