/*
 * Checkpoints: durable copies of local storage, made by a niced thread while writes go on. After a
 * crash of the machine local storage begins with the newest and the log behind it, so what the log
 * has before it can be trimmed; a backup that the log no longer reaches gets the same file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/thread.h"
#include "node/inside.h"
#include "store/copy.h"

enum {
    SYNC_BYTES = 4 * 1024 * 1024, /* written out so often, so that no flush of the log waits long */
    LET_GO_BYTES = 4 * 1024 * 1024,
    AGAIN_US = 30 * 1000 * 1000, /* after a failure */
};

/* --- Making one --- */

static int error_of(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG ? ERR_DISK_FULL
           : error == EIO                                       ? ERR_IO
                                                                : ERR_SYSTEM;
}

static int write_all(int fd, const char *at, size_t bytes)
{
    while (bytes != 0) {
        ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_of(errno);
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static bool stopping(struct node *n)
{
    return atomic_load_explicit(&n->keep_stop, memory_order_acquire);
}

struct draft {
    int fd;
    uint64_t unsynced;
};

/* Written out as it goes. */
static int take_piece(void *context, struct span piece)
{
    struct draft *d = context;
    int rc = write_all(d->fd, piece.at, piece.bytes);
    d->unsynced += piece.bytes;
    if (rc == 0 && d->unsynced >= SYNC_BYTES) {
        rc = fdatasync(d->fd) == 0 ? 0 : error_of(errno);
        d->unsynced = 0;
    }
    return rc;
}

/* A copy of the store in use into a new file, durable. */
static int copy_to(struct node *n, const char *path)
{
    struct draft d = {.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    const struct copy_out o = {.stop = &n->keep_stop, .take = take_piece, .context = &d};
    if (d.fd < 0)
        return error_of(errno);
    int rc = copy_out(n, &o);
    if (rc == 0 && fsync(d.fd) != 0)
        rc = error_of(errno);
    close(d.fd);
    return rc;
}

/* Reads all of one. */
static int check(struct node *n, const char *path, struct store_state *state, char *why,
                 size_t why_bytes)
{
    struct pace p = pace_begin(n, pace_of_checks(n), &n->keep_stop);
    const struct store_pace pace = pace_of(&p);
    return store_copy_check(path, &pace, state, why, why_bytes);
}

/* Room for it, and for what writes take meanwhile (S22). */
static bool has_space(struct node *n, uint64_t bytes)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    return n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes) == 0 &&
           free_bytes > bytes + 2 * n->reserve_bytes;
}

/* What was written to the draft is the checkpoint, if it is whole. */
static int take_draft(struct node *n, const char *draft, struct store_state *state)
{
    char path[PATH_BYTES_MAX], why[256] = "";
    const struct disk *disk = n->o.disk;
    int rc = check(n, draft, state, why, sizeof why);
    if (rc == 0)
        rc = disk->rename(disk->context, draft, data_dir_path(&n->dir, "checkpoint.mdb", path));
    return rc == 0 ? disk->sync_folder(disk->context, n->dir.path) : rc;
}

static void forget_old(struct node *n)
{
    if (n->old_checkpoint >= 0)
        close(n->old_checkpoint);
    n->old_checkpoint = -1;
}

/* The one that was replaced. A large file that is deleted at once keeps the disk from everybody
 * else meanwhile (0.1 s for 200 MB, where the file system discards), so it is shortened bit by bit
 * before. Not while a backup may still be reading it, nor where it has another name. */
static void let_go(struct node *n)
{
    struct stat file;
    struct pace p = pace_begin(n, pace_of_checks(n), &n->keep_stop);
    if (n->old_checkpoint < 0 || atomic_load_explicit(&n->copying, memory_order_acquire))
        return;
    off_t bytes = fstat(n->old_checkpoint, &file) == 0 && file.st_nlink == 0 ? file.st_size : 0;
    while (bytes > LET_GO_BYTES && pace_passed(&p, LET_GO_BYTES) == 0) {
        bytes -= LET_GO_BYTES;
        if (ftruncate(n->old_checkpoint, bytes) != 0)
            break;
    }
    forget_old(n);
}

static int make(struct node *n, struct store_state *state)
{
    char draft[PATH_BYTES_MAX], path[PATH_BYTES_MAX];
    data_dir_path(&n->dir, "checkpoint.new", draft);
    int old = open(data_dir_path(&n->dir, "checkpoint.mdb", path), O_WRONLY | O_CLOEXEC);
    struct store *store = store_slot_hold(&n->slot);
    uint64_t bytes = store_bytes(store);
    store_slot_release(&n->slot, store);
    int rc = has_space(n, bytes) ? copy_to(n, draft) : ERR_DISK_FULL;
    if (rc == 0)
        rc = take_draft(n, draft, state);
    if (rc != 0)
        n->o.disk->remove(n->o.disk->context, draft);
    forget_old(n);
    n->old_checkpoint = old; /* also where it was not replaced, and keeps its name */
    return rc;
}

/* At a start, before there are threads: it may take long. */
int checkpoint_at_start(struct node *n)
{
    char draft[PATH_BYTES_MAX];
    struct store_state state;
    int fd = open(data_dir_path(&n->dir, "checkpoint.new", draft),
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_of(errno);
    int rc = store_copy(n->store, fd);
    if (rc == 0 && fsync(fd) != 0)
        rc = error_of(errno);
    close(fd);
    return rc == 0 ? take_draft(n, draft, &state) : rc;
}

/* --- What is known of the one there is --- */

void checkpoint_forget(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    if (n->checkpoint.fd >= 0)
        close(n->checkpoint.fd);
    n->checkpoint = (struct checkpoint){.fd = -1};
    pthread_mutex_unlock(&n->lock);
}

static void set_checkpoint(struct node *n, const struct store_state *state)
{
    char path[PATH_BYTES_MAX];
    struct stat st;
    struct checkpoint c = {
        .at = {.epoch = state->epoch, .index = state->applied, .chain = state->chain},
        .fd = open(data_dir_path(&n->dir, "checkpoint.mdb", path), O_RDONLY | O_CLOEXEC),
    };
    checkpoint_forget(n);
    if (c.fd < 0 || fstat(c.fd, &st) != 0 || store_copy_seal(c.fd, &c.seal) != 0) {
        if (c.fd >= 0)
            close(c.fd);
        return;
    }
    c.bytes = (uint64_t)st.st_size;
    pthread_mutex_lock(&n->lock);
    n->checkpoint = c;
    pthread_mutex_unlock(&n->lock);
    bell_ring(&n->prepare_bell); /* it trims the log */
    order_wake(n);
}

struct checkpoint checkpoint_now(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    struct checkpoint c = n->checkpoint;
    pthread_mutex_unlock(&n->lock);
    return c;
}

struct checkpoint checkpoint_dup(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    struct checkpoint c = n->checkpoint;
    if (c.fd >= 0)
        c.fd = fcntl(c.fd, F_DUPFD_CLOEXEC, 0);
    pthread_mutex_unlock(&n->lock);
    return c;
}

/* The one that an earlier life left, and what the disk has made of it since: nothing is trimmed for
 * it, and nobody gets it, before all of it was read. Where it is not whole, or is gone and the log
 * needs it, another one is made at once. */
static void look_at_it(struct node *n)
{
    char path[PATH_BYTES_MAX], why[256], sentence[512];
    struct store_state state;
    data_dir_path(&n->dir, "checkpoint.mdb", path);
    bool there = access(path, F_OK) == 0;
    int rc = there ? check(n, path, &state, why, sizeof why) : 0;
    if (there && rc == 0)
        set_checkpoint(n, &state);
    else if (!there || rc == ERR_CORRUPT)
        checkpoint_forget(n);
    if (rc == ERR_CORRUPT) {
        snprintf(sentence, sizeof sentence, "%s; another one is made", why);
        n->o.say(sentence);
    }
    if (rc == ERR_CORRUPT || (!there && log_first_index(n->log) > 1))
        atomic_store_explicit(&n->checkpoint_wanted, true, memory_order_release);
    atomic_store_explicit(&n->checkpoint_known, true, memory_order_release);
}

/* --- The thread --- */

/* Where it fails it is still wanted. */
static int make_one(struct node *n)
{
    struct store_state state;
    int rc = make(n, &state);
    if (rc == 0) {
        set_checkpoint(n, &state);
        atomic_store_explicit(&n->checkpoint_wanted, false, memory_order_release);
    } else if (!stopping(n)) {
        char sentence[160];
        snprintf(sentence, sizeof sentence, "no checkpoint could be made: %s; the log is kept",
                 rc == ERR_DISK_FULL ? "the disk is full" : err_info(rc)->sentence);
        n->o.say(sentence);
    }
    return rc;
}

/* Compares local storage with the digest that is counted along. The one snapshot that this needs
 * keeps old pages from being used again, as a checkpoint does: so it goes as fast as one, and over
 * before the next is due. */
static void scrub(struct node *n)
{
    struct store_txn *reader;
    uint64_t digest = 0, records = 0, rate = n->o.settings->copy_bytes_per_s;
    struct store *store = store_slot_hold(&n->slot);
    if (rate < store_bytes(store) / n->o.settings->scrub_s)
        rate = store_bytes(store) / n->o.settings->scrub_s;
    struct pace p = pace_begin(n, rate, &n->keep_stop);
    const struct store_pace pace = pace_of(&p);
    int rc = store_reader_create(store, &reader);
    if (rc == 0 && (rc = store_reader_renew(reader)) == 0) {
        rc = store_digest_recompute(reader, &pace, &digest, &records);
        const struct store_state *state = store_state(reader);
        if (rc == ERR_CORRUPT ||
            (rc == 0 && (digest != state->digest || records != state->records)))
            atomic_store_explicit(&n->rotten, true, memory_order_release);
        store_reader_destroy(reader);
    }
    store_slot_release(&n->slot, store);
    order_wake(n);
}

/* Until a scrub is due, or a checkpoint that is wanted, but not before `again_us`. */
static void wait_wanted(struct node *n, uint64_t scrub_us, uint64_t again_us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t now_us = clock_mono_us(n->o.clock), until_us = scrub_us;
    pthread_mutex_lock(&n->lock);
    if (atomic_load_explicit(&n->checkpoint_wanted, memory_order_acquire) && again_us < until_us)
        until_us = again_us;
    until.tv_sec += until_us > now_us ? (time_t)((until_us - now_us) / 1000000 + 1) : 0;
    if (!stopping(n) && until_us > now_us)
        pthread_cond_timedwait(&n->keep_wanted, &n->lock, &until);
    pthread_mutex_unlock(&n->lock);
}

void *keep_run(void *node)
{
    struct node *n = node;
    uint64_t every_us = (uint64_t)n->o.settings->scrub_s * 1000000;
    uint64_t scrub_us = clock_mono_us(n->o.clock) + every_us, again_us = 0;
    thread_begin("keep", THREAD_BACK);
    look_at_it(n);
    while (!stopping(n)) {
        bool wanted = atomic_load_explicit(&n->checkpoint_wanted, memory_order_acquire);
        int rc = wanted && clock_mono_us(n->o.clock) >= again_us ? make_one(n) : 0;
        if (rc != 0)
            again_us = clock_mono_us(n->o.clock) + AGAIN_US;
        if (rc == ERR_CORRUPT) /* perhaps it is what was copied */
            scrub_us = 0;
        if (clock_mono_us(n->o.clock) >= scrub_us) {
            scrub(n);
            look_at_it(n);
            scrub_us = clock_mono_us(n->o.clock) + every_us;
        }
        let_go(n);
        wait_wanted(n, scrub_us, again_us);
    }
    forget_old(n);
    return NULL;
}

/* By the order thread: whether the log has grown enough for another one, by the size of the last at
 * least: then copies cost no more than writes, and a store that only grows, as fast as its log,
 * gets one whenever it has doubled. Not while a backup gets the one there is, and the log behind
 * it. */
void checkpoint_if_due(struct node *n)
{
    uint64_t due = n->o.settings->checkpoint_bytes;
    if (n->checkpoint_bytes > due)
        due = n->checkpoint_bytes;
    if (n->since_checkpoint < due || n->repl.now_us < n->copy_hold_us ||
        atomic_load_explicit(&n->checkpoint_wanted, memory_order_relaxed))
        return;
    n->since_checkpoint = 0;
    n->checkpoint_bytes = store_bytes(n->store);
    checkpoint_want(n);
}

void checkpoint_look(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    pthread_cond_signal(&n->keep_wanted);
    pthread_mutex_unlock(&n->lock);
}

void checkpoint_want(struct node *n)
{
    atomic_store_explicit(&n->checkpoint_wanted, true, memory_order_release);
    checkpoint_look(n);
}

/* By the preparer: what recovery does not need and --log-bytes does not keep. */
void checkpoint_trim(struct node *n)
{
    struct checkpoint c = checkpoint_now(n);
    uint64_t index = log_index_beyond(n->log, n->o.settings->log_bytes);
    if (c.at.index == 0)
        return;
    if (index >= c.at.index) /* whose entry a backup that has the copy is matched by */
        index = c.at.index - 1;
    if (index == 0 || atomic_load_explicit(&n->copying, memory_order_acquire))
        return;
    if (log_trim(n->log, index) == ERR_IO)
        suspect_fail(n, ERR_IO, "trimming the log failed");
}
