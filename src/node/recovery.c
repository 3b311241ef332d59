/* Bringing local storage and log together at start: replay, and rebuilding what cannot be trusted.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "node/inside.h"

enum { TXN_BYTES = 16 * 1024 * 1024, READERS_BESIDE_FRONTS = 8 };

/* Entries of the log on their way into local storage, many in one transaction. */
struct replay {
    struct node *node;
    struct store_txn *txn;
    size_t bytes; /* in the open transaction */
    uint64_t entries;
    const char *why; /* a phrase, after a failure */
};

static int replay_commit(struct replay *r)
{
    int rc = r->txn != NULL ? store_write_commit(r->txn) : 0;
    r->txn = NULL;
    r->bytes = 0;
    return rc;
}

static int replay_entry(struct replay *r, const struct entry *e)
{
    int rc = entry_apply(r->txn, e);
    r->entries++;
    if (rc == ERR_CORRUPT)
        r->why = "an entry does not fit local storage";
    return rc;
}

static int replay_frame(void *context, const struct log_position *p, struct span payload)
{
    struct replay *r = context;
    int rc = r->txn == NULL ? store_write_begin(r->node->store, &r->txn) : 0;
    (void)p;
    for (struct span rest = payload; rc == 0 && rest.bytes != 0;) {
        struct entry e;
        long used = entry_decode(rest, store_state(r->txn)->chain, &e);
        if (used <= 0) {
            r->why = used == ERR_NEWER ? "an entry was written by a newer version"
                                       : "an entry does not follow from the one before";
            return used == 0 ? ERR_CORRUPT : (int)used;
        }
        rc = replay_entry(r, &e);
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    r->bytes += payload.bytes;
    return rc == 0 && r->bytes >= TXN_BYTES ? replay_commit(r) : rc;
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

/* Puts records.mdb aside, so that it is rebuilt from the log. */
static int put_aside(struct node *n, const char *as)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    int rc = disk->rename(disk->context, data_dir_path(&n->dir, "records.mdb", from),
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

static int open_store(struct node *n, char *why, size_t why_bytes)
{
    char path[PATH_BYTES_MAX], sentence[512];
    const struct store_options o = {
        .path = data_dir_path(&n->dir, "records.mdb", path),
        .map_bytes = STORE_MAP_BYTES,
        .readers_max = n->o.settings->threads + READERS_BESIDE_FRONTS,
    };
    int rc = store_open(&n->store, &o, why, why_bytes);
    if (rc == ERR_DISK_FULL)
        why[0] = '\0'; /* recover has a better sentence */
    if (rc != ERR_CORRUPT)
        return rc;
    snprintf(sentence, sizeof sentence,
             "%s; it is kept as records.mdb.damaged and rebuilt from the log", why);
    n->o.say(sentence);
    rc = put_aside(n, "records.mdb.damaged");
    return rc == 0 ? store_open(&n->store, &o, why, why_bytes) : rc;
}

static int open_trusted_store(struct node *n, char *why, size_t why_bytes)
{
    int rc = 0;
    if (!data_dir_trusted(&n->dir) && there(n, "records.mdb")) {
        n->o.say("records.mdb may not be whole (the machine stopped before it was written out, or "
                 "the data directory was moved, or trust.0 and trust.1 are lost): it is rebuilt "
                 "from the log");
        rc = put_aside(n, "records.mdb.untrusted");
    }
    if (rc == 0)
        rc = data_dir_mark(&n->dir, false);
    if (rc != 0) {
        snprintf(why, why_bytes, "cannot write trust.0, trust.1 or records.mdb in %s: %s",
                 n->dir.path, start_sentence(rc));
        return rc;
    }
    return open_store(n, why, why_bytes);
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

static int open_log(struct node *n, const struct store_state *state, char *why, size_t why_bytes)
{
    char folder[PATH_BYTES_MAX];
    const struct log_options o = {
        .disk = n->o.disk,
        .folder = data_dir_path(&n->dir, "log", folder),
        .segment_bytes = n->segment_bytes,
        .payload_bytes_max = n->entry_bytes_max,
        .seed = n->o.seed,
    };
    struct replay r = {.node = n};
    int rc =
        log_open(&n->log, &o, state->applied + 1, state->applied, replay_frame, &r, why, why_bytes);
    if (rc == 0)
        rc = replay_commit(&r);
    if (rc == 0 && state->applied == 0 && r.entries != 0)
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

static int check(struct node *n, const struct store_state *state, char *why, size_t why_bytes)
{
    if (log_last_index(n->log) == state->applied && log_last_chain(n->log) == state->chain)
        return 0;
    snprintf(why, why_bytes,
             "log and local storage in %s do not belong together (log ends at %" PRIu64
             ", storage at %" PRIu64
             "): restore the data directory from a copy; nothing was changed",
             n->dir.path, log_last_index(n->log), state->applied);
    return ERR_CORRUPT;
}

static int next_epoch(struct node *n, const struct store_state *state, char *why, size_t why_bytes)
{
    int rc = data_dir_next_epoch(&n->dir, state->epoch, &n->epoch);
    if (rc == ERR_CORRUPT)
        snprintf(why, why_bytes,
                 "identity.0 and identity.1 in %s are older than its log: restore the data "
                 "directory from a copy; nothing was changed",
                 n->dir.path);
    else if (rc != 0)
        snprintf(why, why_bytes, "cannot write identity.0 or identity.1 in %s: %s", n->dir.path,
                 start_sentence(rc));
    return rc;
}

/* The first start makes a segment before it takes an epoch. So it was there, and going on without
 * it would begin an empty log beside the records. */
static int expect_log(struct node *n, char *why, size_t why_bytes)
{
    if (n->dir.identity.starts == 0 || data_dir_has_log(&n->dir))
        return 0;
    snprintf(why, why_bytes,
             "%s/log has no segment, but this server has run before: mount or put back the log, or "
             "restore the data directory from a copy; nothing was changed",
             n->dir.path);
    return ERR_CORRUPT;
}

int recover(struct node *n, char *why, size_t why_bytes)
{
    struct store_state state = {0};
    why[0] = '\0';
    int rc = choose_sizes(n, why, why_bytes);
    if (rc == 0)
        rc = expect_log(n, why, why_bytes);
    if (rc == 0)
        rc = open_trusted_store(n, why, why_bytes);
    if (rc == 0)
        rc = stored_state(n, &state);
    if (rc == 0)
        rc = open_log(n, &state, why, why_bytes);
    if (rc == 0)
        rc = stored_state(n, &state);
    if (rc == 0)
        rc = check(n, &state, why, why_bytes);
    if (rc == 0)
        rc = next_epoch(n, &state, why, why_bytes);
    if (rc != 0) {
        if (why[0] == '\0')
            snprintf(why, why_bytes, "cannot open records.mdb in %s: %s", n->dir.path,
                     start_sentence(rc));
        return rc;
    }
    char path[PATH_BYTES_MAX];
    n->o.disk->remove(n->o.disk->context, data_dir_path(&n->dir, "records.mdb.untrusted", path));
    n->chain = state.chain;
    n->time_us = state.time_us;
    atomic_store(&n->o.visible->applied, state.applied);
    atomic_store(&n->o.visible->seq, state.seq);
    return 0;
}
