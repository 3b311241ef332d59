/* Bringing local storage and log together at start: replay, and rebuilding what cannot be trusted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "node/inside.h"
#include "store/copy.h"

enum { TXN_BYTES = 16 * 1024 * 1024, READERS_BESIDE_FRONTS = 8 };

/* Entries of the log on their way into local storage, many in one transaction: those that are known
 * to be committed, by the position that each frame keeps. The others stay in the tail, until this
 * server's role says what becomes of them. */
struct replay {
    struct node *node;
    struct store_txn *txn;
    size_t bytes; /* in the open transaction */
    uint64_t entries;
    uint64_t commit; /* highest known */
    const char *why; /* a phrase, after a failure */
};

static int replay_commit(struct replay *r)
{
    int rc = r->txn != NULL ? store_write_commit(r->txn) : 0;
    r->txn = NULL;
    r->bytes = 0;
    return rc;
}

/* What is committed, from the front of the tail. */
static int replay_tail(struct replay *r)
{
    struct node *n = r->node;
    while (n->tail != NULL && n->tail->e.index <= r->commit) {
        struct tail_entry *t = n->tail;
        int rc = r->txn == NULL ? store_write_begin(n->store, &r->txn) : 0;
        if (rc == 0)
            rc = entry_apply(r->txn, &t->e);
        if (rc == ERR_CORRUPT)
            r->why = "an entry does not fit local storage";
        if (rc != 0)
            return rc;
        r->bytes += t->bytes;
        r->entries++;
        n->tail = t->next;
        if (n->tail == NULL)
            n->tail_end = &n->tail;
        n->tail_bytes -= t->bytes;
        free(t);
        if (r->bytes >= TXN_BYTES && (rc = replay_commit(r)) != 0)
            return rc;
    }
    return 0;
}

static int replay_frame(void *context, const struct log_position *p, struct span payload)
{
    struct replay *r = context;
    struct node *n = r->node;
    for (struct span rest = payload; rest.bytes != 0;) {
        struct entry e;
        size_t bytes = entry_peek(rest, &e);
        if (bytes != 0 && e.index <= n->state.applied) {
            /* applied before; it shares a frame with one that is not */
            rest = span(rest.at + bytes, rest.bytes - bytes);
            continue;
        }
        long used = entry_decode(rest, n->chain, &e);
        if (used <= 0) {
            r->why = used == ERR_NEWER ? "an entry was written by a newer version"
                                       : "an entry does not follow from the one before";
            return used == 0 ? ERR_CORRUPT : (int)used;
        }
        struct tail_entry *t = tail_copy(&e);
        if (t == NULL)
            return ERR_NO_MEMORY;
        tail_add(n, t);
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    if (p->commit > r->commit)
        r->commit = p->commit;
    return replay_tail(r);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Segments and reserve in proportion to the disk, so that a small one is not taken whole by the
 * first segment. */
static int choose_sizes(struct node *n, char *why, size_t why_bytes)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    int rc = n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes);
    if (rc != 0) {
        snprintf(why, why_bytes, "cannot tell how much space %s has", n->dir.path);
        return rc;
    }
    uint64_t one_record = n->o.settings->record_bytes_max + MIB / 2;
    n->segment_bytes =
        clamp(total_bytes / 16 / MIB * MIB, (2 * one_record + MIB - 1) / MIB * MIB, 32 * MIB);
    n->reserve_bytes = clamp(total_bytes / 16, 2 * MIB, 64 * MIB);
    n->entry_bytes_max = clamp(n->segment_bytes / 2, one_record, ENTRY_BYTES_MAX) /
                             DISK_BLOCK_BYTES * DISK_BLOCK_BYTES -
                         DISK_BLOCK_BYTES;
    return 0;
}

/* Puts a file aside, so that it is made anew. */
static int put_aside(struct node *n, const char *name, const char *as)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    int rc = disk->rename(disk->context, data_dir_path(&n->dir, name, from),
                          data_dir_path(&n->dir, as, to));
    if (rc == 0)
        rc = disk->sync_folder(disk->context, n->dir.path);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static bool there(struct node *n, const char *name)
{
    char path[PATH_BYTES_MAX];
    struct disk_file *file;
    if (n->o.disk->open(n->o.disk->context, data_dir_path(&n->dir, name, path), DISK_READ_ONLY,
                        &file) != 0)
        return false;
    n->o.disk->close(file);
    return true;
}

/* --- Where local storage begins --- */

/* The copy stays what it is: local storage goes on from a copy of it. Under another name first, so
 * that half of one is never taken for local storage. */
static int copy_checkpoint(struct node *n, const char *checkpoint)
{
    char draft[PATH_BYTES_MAX], path[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    struct disk_file *from, *to;
    data_dir_path(&n->dir, "records.new", draft);
    disk->remove(disk->context, draft);
    int rc = disk->open(disk->context, checkpoint, DISK_READ_ONLY, &from);
    if (rc != 0)
        return rc;
    rc = disk->open(disk->context, draft, DISK_CREATE, &to);
    if (rc == 0) {
        rc = disk_copy(disk, from, to);
        disk->close(to);
    }
    disk->close(from);
    return rc == 0 ? disk->rename(disk->context, draft, data_dir_path(&n->dir, "records.mdb", path))
                   : rc;
}

/* It has taken or promised an epoch. */
static bool has_run(const struct node *n)
{
    const struct identity *i = &n->dir.identity;
    return i->starts != 0 || i->hard.promised_epoch != 0;
}

/* Where there is no local storage, or none that can be trusted, it begins with the checkpoint. */
static int begin_with_checkpoint(struct node *n, char *why, size_t why_bytes)
{
    char path[PATH_BYTES_MAX], sentence[512];
    struct store_state state;
    if (there(n, "records.mdb") || !there(n, "checkpoint.mdb"))
        return 0;
    data_dir_path(&n->dir, "checkpoint.mdb", path);
    int rc = 0;
    if (n->checked != NULL)
        state = *n->checked;
    else
        rc = store_copy_check(path, NULL, &state, why, why_bytes);
    /* A primary was restored from it, and there is nothing else to begin with. */
    if (rc != 0 && n->primary && n->dir.identity.installing)
        return rc;
    if (rc == ERR_CORRUPT || rc == ERR_NEWER) {
        snprintf(sentence, sizeof sentence,
                 "%s; it is kept as checkpoint.mdb.damaged, and all of the log is needed", why);
        n->o.say(sentence);
        why[0] = '\0';
        return put_aside(n, "checkpoint.mdb", "checkpoint.mdb.damaged");
    }
    if (rc == 0)
        rc = copy_checkpoint(n, path);
    if (rc == 0) {
        snprintf(sentence, sizeof sentence,
                 "local storage begins with the checkpoint at entry %" PRIu64 ", %" PRIu64
                 " records",
                 state.applied, state.records);
        n->o.say(sentence);
    }
    return rc;
}

static int open_store(struct node *n, struct store **store, char *why, size_t why_bytes)
{
    char path[PATH_BYTES_MAX], sentence[512];
    const struct store_options o = {
        .path = data_dir_path(&n->dir, "records.mdb", path),
        .map_bytes = STORE_MAP_BYTES,
        .readers_max = n->o.settings->threads + READERS_BESIDE_FRONTS,
    };
    int rc = begin_with_checkpoint(n, why, why_bytes);
    if (rc != 0)
        return rc;
    rc = store_open(store, &o, why, why_bytes);
    if (rc == ERR_DISK_FULL)
        why[0] = '\0'; /* recover has a better sentence */
    if (rc != ERR_CORRUPT)
        return rc;
    snprintf(sentence, sizeof sentence,
             "%s; it is kept as records.mdb.damaged and rebuilt from the log", why);
    n->o.say(sentence);
    n->proved = false;
    rc = data_dir_mark_behind(&n->dir);
    if (rc == 0)
        rc = put_aside(n, "records.mdb", "records.mdb.damaged");
    if (rc == 0)
        rc = begin_with_checkpoint(n, why, why_bytes);
    return rc == 0 ? store_open(store, &o, why, why_bytes) : rc;
}

static int open_trusted_store(struct node *n, struct store **store, char *why, size_t why_bytes)
{
    int rc = 0;
    n->proved = data_dir_trusted(&n->dir) && there(n, "records.mdb");
    if (!n->proved && there(n, "records.mdb")) {
        n->o.say("records.mdb may not be whole (the machine stopped before it was written out, or "
                 "the data directory was moved, or trust.0 and trust.1 are lost): it is rebuilt "
                 "from the log");
        rc = put_aside(n, "records.mdb", "records.mdb.untrusted");
    }
    if (rc == 0)
        rc = !n->proved && has_run(n) ? data_dir_mark_behind(&n->dir)
                                      : data_dir_mark(&n->dir, false);
    if (rc != 0) {
        snprintf(why, why_bytes, "cannot write trust.0, trust.1 or records.mdb in %s: %s",
                 n->dir.path, start_sentence(rc));
        return rc;
    }
    return open_store(n, store, why, why_bytes);
}

/* The state of local storage as the last transaction left it. */
static int stored_state(struct node *n, struct store_state *state)
{
    struct store_txn *txn;
    int rc = store_write_begin(n->store, &txn);
    if (rc == 0) {
        *state = *store_state(txn);
        store_write_abort(txn);
    }
    return rc;
}

/* Local storage was empty and the log was not: whatever took it away, the operator should know. */
static void say_rebuilt(struct node *n, uint64_t entries)
{
    char path[PATH_BYTES_MAX], sentence[PATH_BYTES_MAX + 128];
    snprintf(sentence, sizeof sentence,
             "%s had no records: it was rebuilt from %" PRIu64 " entries of the log",
             data_dir_path(&n->dir, "records.mdb", path), entries);
    n->o.say(sentence);
}

/* Where this server's own storage ends; entries are then added behind it. */
int recovery_take_state(struct node *n)
{
    int rc = stored_state(n, &n->state);
    n->chain = n->state.chain;
    n->time_us = n->state.time_us;
    n->seq = n->state.seq;
    n->last_epoch = n->state.epoch;
    return rc;
}

int recovery_open_log(struct node *n, const char *name, uint64_t committed, struct log_troubles *t,
                      char *why, size_t why_bytes)
{
    char folder[PATH_BYTES_MAX];
    struct log_options o = {
        .disk = n->o.disk,
        .folder = data_dir_path(&n->dir, name, folder),
        .segment_bytes = n->segment_bytes,
        .payload_bytes_max = n->entry_bytes_max,
        .seed = n->o.seed,
    };
    if (n->suspect || there(n, "checkpoint.mdb")) { /* the log may begin behind it */
        o.first_index = n->state.applied + 1;
        o.first_chain = n->state.chain;
    }
    struct replay r = {.node = n, .commit = n->state.applied};
    bool empty = n->state.applied == 0;
    if (committed < n->state.applied)
        committed = n->state.applied;
    int rc =
        log_open(&n->log, &o, n->state.applied + 1, committed, replay_frame, &r, why, why_bytes);
    *t = (struct log_troubles){.damaged = rc == ERR_CORRUPT && r.why == NULL,
                               .mixed_up = rc == ERR_CORRUPT && r.why != NULL};
    if (rc == 0 || t->damaged) { /* also what stands before damage was valid, and committed */
        int replayed = replay_commit(&r);
        rc = rc == 0 ? replayed : rc;
    }
    if (rc == 0 && empty && r.entries != 0)
        say_rebuilt(n, r.entries);
    store_write_abort(r.txn);
    if (rc != 0 && r.why != NULL)
        snprintf(why, why_bytes,
                 "the log in %s cannot be replayed into local storage: %s; restore the data "
                 "directory from a "
                 "copy; the log was not changed",
                 folder, r.why);
    else if (rc == ERR_DISK_FULL || (rc != 0 && why[0] == '\0'))
        snprintf(why, why_bytes, "the log in %s cannot be made ready or replayed: %s", folder,
                 start_sentence(rc));
    return rc;
}

/* All of the tail into local storage, committed or not. */
int recovery_apply_tail(struct node *n)
{
    struct replay r = {.node = n, .commit = UINT64_MAX};
    int rc = replay_tail(&r);
    if (rc == 0)
        rc = replay_commit(&r);
    store_write_abort(r.txn);
    return rc == 0 ? recovery_take_state(n) : rc;
}

int recovery_check(const struct node *n, char *why, size_t why_bytes)
{
    if (log_last_chain(n->log) == n->chain &&
        (n->tail != NULL || log_last_index(n->log) == n->state.applied))
        return 0;
    snprintf(why, why_bytes,
             "log and local storage in %s do not belong together (log ends at %" PRIu64
             ", storage at %" PRIu64
             "): restore the data directory from a copy; nothing was changed",
             n->dir.path, log_last_index(n->log), n->state.applied);
    return ERR_CORRUPT;
}

/* A primary's. */
static int next_epoch(struct node *n, char *why, size_t why_bytes)
{
    const struct identity *i = &n->dir.identity;
    uint64_t last = n->state.epoch;
    for (const struct tail_entry *t = n->tail; t != NULL; t = t->next)
        last = t->e.epoch;
    int rc = data_dir_next_epoch(&n->dir, last, n->o.seed, &n->epoch);
    if (rc == ERR_CORRUPT && i->hard.promised_epoch > data_dir_own_epoch(&n->dir))
        snprintf(why, why_bytes,
                 "%s is a backup's data directory (its primary's epoch is %" PRIu64 ".%" PRIu64
                 "): name its primary with --primary, or, if that is lost for good, make this the "
                 "primary with noted promote; nothing was changed",
                 n->dir.path, i->hard.promised_epoch >> 32, i->hard.promised_epoch & UINT32_MAX);
    else if (rc == ERR_CORRUPT)
        snprintf(why, why_bytes,
                 "identity.0 and identity.1 in %s are older than its log: restore the data "
                 "directory from a copy; nothing was changed",
                 n->dir.path);
    else if (rc != 0)
        snprintf(why, why_bytes, "cannot write identity.0 or identity.1 in %s: %s", n->dir.path,
                 start_sentence(rc));
    return rc;
}

/* The first start makes a segment before it takes or promises an epoch. So it was there, and going
 * on without it would begin an empty log beside the records. */
bool recovery_lacks_log(const struct node *n, char *why, size_t why_bytes)
{
    if (!has_run(n) || data_dir_has_log(&n->dir))
        return false;
    snprintf(why, why_bytes,
             "%s/log has no segment, but this server has run before: mount or put back the log, or "
             "restore the data directory from a copy; nothing was changed",
             n->dir.path);
    return true;
}

/* The set as local storage has it, for the status. */
static int known_set(struct node *n)
{
    struct store_txn *txn;
    struct span set;
    int rc = store_write_begin(n->store, &txn);
    if (rc != 0)
        return rc;
    rc = store_set_get(txn, &set);
    if (rc == 0)
        rc = peer_set_decode(set, &n->known_set);
    store_write_abort(txn);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* What was begun by data_dir_begin_install, from wherever it was cut off. */
static int install_files(struct node *n, char *why, size_t why_bytes)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    int rc = log_remove_all(disk, data_dir_path(&n->dir, "log", to));
    if (rc == 0)
        rc = log_remove_all(disk, data_dir_path(&n->dir, "log.spare", to));
    if (rc == 0 && there(n, "copy.part"))
        rc = disk->rename(disk->context, data_dir_path(&n->dir, "copy.part", from),
                          data_dir_path(&n->dir, "checkpoint.mdb", to));
    if (rc == 0)
        rc = disk->sync_folder(disk->context, n->dir.path);
    if (rc == 0 && n->primary && !there(n, "checkpoint.mdb")) {
        snprintf(why, why_bytes,
                 "%s was to begin with a copy, and has none: restore into an empty folder again",
                 n->dir.path);
        rc = ERR_CORRUPT;
    }
    if (rc == 0 && there(n, "records.mdb"))
        rc = disk->remove(disk->context, data_dir_path(&n->dir, "records.mdb", to));
    return rc == 0 ? disk->sync_folder(disk->context, n->dir.path) : rc;
}

/* All of the log is more than there is behind a checkpoint. */
static void count_since_checkpoint(struct node *n)
{
    char path[PATH_BYTES_MAX];
    struct stat file;
    if (stat(data_dir_path(&n->dir, "checkpoint.mdb", path), &file) == 0)
        n->checkpoint_bytes = (uint64_t)file.st_size;
    if (n->log != NULL && log_bytes(n->log) > n->segment_bytes) /* the last one has room */
        n->since_checkpoint = log_bytes(n->log) - n->segment_bytes;
}

/* Local storage and log, opened and brought together. */
static int open_both(struct node *n, struct store **store, char *why, size_t why_bytes)
{
    bool installing = n->dir.identity.installing;
    int rc = installing ? install_files(n, why, why_bytes) : 0;
    n->suspect = false;
    if (rc == 0)
        rc = open_trusted_store(n, store, why, why_bytes);
    if (rc != 0)
        return rc;
    n->store = *store;
    rc = recovery_take_state(n);
    if (rc == 0)
        rc = suspect_open_log(n, installing, why, why_bytes);
    if (rc == 0)
        rc = stored_state(n, &n->state);
    if (rc == 0)
        rc = known_set(n);
    if (rc == 0 && installing)
        rc = data_dir_end_install(&n->dir);
    if (rc == 0 && !n->proved && !n->suspect && n->tail == NULL && n->state.applied != 0)
        rc = data_dir_mark(&n->dir, false); /* it has caught up with all of the log */
    count_since_checkpoint(n);
    return rc;
}

void recover_tell(struct node *n)
{
    atomic_store(&n->o.visible->seq, n->state.seq);
    atomic_store(&n->o.visible->applied, n->state.applied);
}

/* What was begun in an earlier life, and is of no use to this one. Of a suspect server all is kept
 * until the copy is here. */
static void remove_leftovers(struct node *n)
{
    if (n->suspect)
        return;
    static const char *const names[] = {"records.mdb.untrusted", "records.new", "checkpoint.new"};
    char path[PATH_BYTES_MAX];
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        n->o.disk->remove(n->o.disk->context, data_dir_path(&n->dir, names[i], path));
    (void)log_remove_all(n->o.disk, data_dir_path(&n->dir, "log.spare", path));
    (void)rmdir(path);
}

int recover(struct node *n, char *why, size_t why_bytes)
{
    struct store *store = NULL;
    why[0] = '\0';
    int rc = choose_sizes(n, why, why_bytes);
    if (rc == 0)
        rc = open_both(n, &store, why, why_bytes);
    if (store != NULL)
        store_slot_init(&n->slot, store);
    if (rc == 0 && n->primary)
        rc = next_epoch(n, why, why_bytes);
    if (rc != 0) {
        if (why[0] == '\0')
            snprintf(why, why_bytes, "cannot open records.mdb in %s: %s", n->dir.path,
                     start_sentence(rc));
        return rc;
    }
    remove_leftovers(n);
    part_load(n);
    recover_tell(n);
    return 0;
}

int recover_again(struct node *n, char *why, size_t why_bytes)
{
    struct store *store = NULL;
    int rc = open_both(n, &store, why, why_bytes);
    if (rc != 0 && why[0] == '\0')
        snprintf(why, why_bytes, "%s", start_sentence(rc));
    return rc;
}
