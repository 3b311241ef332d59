/* Looking at data directories that no server runs on, and making one a primary's. */
#include "node/promote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "log/log.h"
#include "node/untold.h"
#include "repl/entry.h"
#include "store/copy.h"
#include "store/store.h"

/* --- The end of a log --- */

struct look {
    struct peer_point last; /* index 0: no entry was seen */
    uint64_t commit;
    struct peer_set set; /* as the last entry about it says; count 0: none was seen */
    uint64_t wanted;     /* its chain is */
    uint64_t chain;
    bool found;
};

static int see_frame(void *context, const struct log_position *p, struct span payload)
{
    struct look *l = context;
    struct entry e;
    for (struct span rest = payload; rest.bytes != 0;) {
        size_t bytes = entry_peek(rest, &e);
        if (bytes == 0)
            return ERR_CORRUPT;
        if (e.kind != ENTRY_WRITES && e.body.bytes != 0 && peer_set_decode(e.body, &l->set) != 0)
            return ERR_CORRUPT;
        l->last = (struct peer_point){.epoch = e.epoch, .index = e.index, .chain = e.chain};
        if (e.index == l->wanted) {
            l->chain = e.chain;
            l->found = true;
        }
        rest = span(rest.at + bytes, rest.bytes - bytes);
    }
    if (p->commit > l->commit)
        l->commit = p->commit;
    return 0;
}

static int look_at_log(const struct data_dir *d, uint64_t from, struct look *l,
                       struct log_ends *ends, char *why, size_t why_bytes)
{
    char folder[PATH_BYTES_MAX];
    why[0] = '\0';
    int rc = log_look(d->disk, data_dir_path(d, "log", folder), from, see_frame, l, ends, why,
                      why_bytes);
    if (rc != 0 && rc != ERR_NOT_FOUND && why[0] == '\0')
        snprintf(why, why_bytes, "the log in %s cannot be read: %s; nothing was changed", folder,
                 start_sentence(rc));
    return rc;
}

/* A log without an entry: it begins behind a full copy, which is then the checkpoint; or nothing
 * was ever written. */
static int look_at_checkpoint(const struct data_dir *d, struct look *l, struct log_ends *ends,
                              char *why, size_t why_bytes)
{
    char path[PATH_BYTES_MAX];
    struct store_state state = {0};
    struct disk_file *file;
    int rc = d->disk->open(d->disk->context, data_dir_path(d, "checkpoint.mdb", path),
                           DISK_READ_ONLY, &file);
    if (rc == 0) {
        d->disk->close(file);
        rc = store_copy_check(path, NULL, &state, why, why_bytes);
    } else if (rc == ERR_NOT_FOUND && data_dir_has_log(d)) {
        rc = 0;
    } else {
        snprintf(why, why_bytes, "%s has no log and no checkpoint; nothing was changed", d->path);
        return ERR_CORRUPT;
    }
    l->last =
        (struct peer_point){.epoch = state.epoch, .index = state.applied, .chain = state.chain};
    l->commit = state.applied;
    *ends = (struct log_ends){.first_index = state.applied + 1,
                              .chain_before = state.chain,
                              .last_index = state.applied,
                              .last_chain = state.chain};
    return rc;
}

/* --- A directory --- */

/* The set in local storage, if that can be trusted to be whole: what LMDB reads it believes. */
static void look_at_set(struct data_dir *d, struct peer_set *set)
{
    char path[PATH_BYTES_MAX], why[256];
    const struct store_options o = {.path = data_dir_path(d, "records.mdb", path),
                                    .map_bytes = STORE_MAP_BYTES,
                                    .readers_max = 1,
                                    .read_only = true};
    struct store *store;
    struct store_txn *reader = NULL;
    struct span bytes;
    if (!data_dir_trusted(d) || store_open(&store, &o, why, sizeof why) != 0)
        return;
    if (store_reader_create(store, &reader) == 0 && store_reader_renew(reader) == 0 &&
        store_set_get(reader, &bytes) == 0 && peer_set_decode(bytes, set) != 0)
        set->count = 0;
    store_reader_destroy(reader);
    store_close(store);
}

static void take_identity(const struct data_dir *d, struct promote_dir *to)
{
    const struct identity *i = &d->identity;
    to->server = i->server;
    memcpy(to->cluster, i->hard.cluster, sizeof to->cluster);
    to->own_epoch = data_dir_own_epoch(d);
    to->promised_epoch = i->hard.promised_epoch;
    to->complete = i->hard.complete;
    to->installing = i->installing;
    to->own = i->hard.set;
}

static int look_at(struct data_dir *d, struct promote_dir *to, struct log_ends *ends, char *why,
                   size_t why_bytes)
{
    struct look l = {0};
    take_identity(d, to);
    if (to->installing)
        return 0; /* what is in it is not yet anybody's */
    int rc = look_at_log(d, 0, &l, ends, why, why_bytes);
    if (rc == ERR_NOT_FOUND || (rc == 0 && l.last.index == 0))
        rc = look_at_checkpoint(d, &l, ends, why, why_bytes);
    if (rc != 0)
        return rc;
    to->last = l.last;
    to->committed = l.commit > ends->first_index - 1 ? l.commit : ends->first_index - 1;
    to->set = l.set;
    if (to->set.count == 0)
        look_at_set(d, &to->set);
    return 0;
}

static void pass_gap(void *context, const struct log_gap *g)
{
    (void)context;
    (void)g;
}

/* What is left of a damaged log, and `why` without what it advises to who starts a server on it. */
static int look_at_rest(const struct data_dir *d, struct promote_dir *to, const char *why)
{
    char folder[PATH_BYTES_MAX];
    struct look l = {0};
    const char *advice = strstr(why, ": restore this server");
    int bytes = advice == NULL ? (int)strlen(why) : (int)(advice - why);
    snprintf(to->damage, sizeof to->damage, "%.*s", bytes, why);
    int rc = log_survey(d->disk, data_dir_path(d, "log", folder), 0, see_frame, pass_gap, &l);
    to->last = l.last;
    to->committed = l.commit;
    to->set = l.set;
    return rc;
}

/* The old primary's: with a damaged log, or none, it may be proof all the same (repl/promote.h). */
static int look_at_old(struct data_dir *d, struct promote_dir *to, struct log_ends *ends, char *why,
                       size_t why_bytes)
{
    int rc = ERR_CORRUPT;
    take_identity(d, to);
    to->own_is_last = data_dir_is_last(d);
    if (to->installing || data_dir_has_log(d))
        rc = look_at(d, to, ends, why, why_bytes);
    else
        snprintf(why, why_bytes, "%s/log has no segment", d->path);
    if (rc == ERR_CORRUPT) {
        rc = look_at_rest(d, to, why);
        if (rc != 0)
            snprintf(why, why_bytes, "the log in %s cannot be read: %s; nothing was changed",
                     d->path, start_sentence(rc));
    }
    return rc;
}

/* The chain after entry `index`, which the log has, or begins behind. */
static int chain_at(const struct data_dir *d, const struct log_ends *ends, uint64_t index,
                    uint64_t *chain, char *why, size_t why_bytes)
{
    struct look l = {.wanted = index};
    struct log_ends unused;
    *chain = ends->chain_before;
    if (index < ends->first_index)
        return 0;
    int rc = look_at_log(d, index, &l, &unused, why, why_bytes);
    *chain = l.chain;
    return rc;
}

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* At an entry that one of the two has committed, and both have: so it must be the same. */
static int compare(const struct promotion *p, struct promote_case *c, const struct log_ends *here,
                   const struct log_ends *there, char *why, size_t why_bytes)
{
    uint64_t begin = higher(here->first_index, there->first_index) - 1;
    uint64_t at =
        lower(higher(begin, c->old.committed), lower(here->last_index, there->last_index));
    if (at < begin)
        return 0;
    c->compared = at;
    int rc = chain_at(&p->dir, here, at, &c->chain_self, why, why_bytes);
    return rc == 0 ? chain_at(&p->old, there, at, &c->chain_old, why, why_bytes) : rc;
}

/* The same with what is left of the old primary's log, if that entry is. */
static int compare_rest(const struct promotion *p, struct promote_case *c,
                        const struct log_ends *here, char *why, size_t why_bytes)
{
    char folder[PATH_BYTES_MAX];
    struct look l = {.wanted = lower(c->old.committed, here->last_index)};
    if (l.wanted == 0 || l.wanted + 1 < here->first_index)
        return 0;
    int rc = log_survey(p->old.disk, data_dir_path(&p->old, "log", folder), l.wanted, see_frame,
                        pass_gap, &l);
    if (rc != 0 || !l.found)
        return rc;
    c->compared = l.wanted;
    c->chain_old = l.chain;
    return chain_at(&p->dir, here, l.wanted, &c->chain_self, why, why_bytes);
}

int promotion_open(struct promotion *p, const struct disk *disk, const char *data,
                   const char *old_state, const char *boot_id_file, struct promote_case *c,
                   char *why, size_t why_bytes)
{
    struct log_ends here, there;
    p->old.lock_fd = -1;
    c->has_old = old_state != NULL;
    struct suspicion s;
    int rc = data_dir_look(&p->dir, disk, data, false, boot_id_file, why, why_bytes);
    if (rc == 0 && data_dir_suspected(&p->dir, &s)) { /* S11, S12 */
        snprintf(why, why_bytes,
                 "%s is suspect: its disk failed, or its log was found damaged; promote another "
                 "backup; nothing was changed",
                 p->dir.identity.server.name);
        rc = ERR_CORRUPT;
    }
    if (rc == 0)
        rc = look_at(&p->dir, &c->self, &here, why, why_bytes);
    if (rc == 0 && c->has_old)
        rc = data_dir_look(&p->old, disk, old_state, true, boot_id_file, why, why_bytes);
    if (rc == 0 && c->has_old)
        rc = look_at_old(&p->old, &c->old, &there, why, why_bytes);
    if (rc == 0 && c->has_old && !c->self.installing && !c->old.installing)
        rc = c->old.damage[0] != '\0' ? compare_rest(p, c, &here, why, why_bytes)
                                      : compare(p, c, &here, &there, why, why_bytes);
    if (rc != 0)
        promotion_close(p);
    return rc;
}

int promotion_do(struct promotion *p, uint32_t generation, struct span untold, char *why,
                 size_t why_bytes)
{
    int rc = untold_write(&p->dir, untold);
    if (rc == 0)
        rc = data_dir_promote(&p->dir, generation);
    if (rc != 0)
        snprintf(why, why_bytes, "cannot write to the data directory %s: %s", p->dir.path,
                 start_sentence(rc));
    return rc;
}

void promotion_close(struct promotion *p)
{
    data_dir_close(&p->dir);
    data_dir_close(&p->old);
}
