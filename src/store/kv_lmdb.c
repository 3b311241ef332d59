/* Tables in one file, by LMDB: all that is known of that library stands here. Knows no records. */
#include "store/kv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

/*
 * NOSYNC: the write-ahead log makes writes durable, and rebuilds this file after a crash of the
 * machine. NOTLS: readers belong to their transaction, not to a thread. NORDAHEAD: reads are of
 * single records; a store larger than memory must not read 128 KiB for each. Not NOMEMINIT: this
 * file is copied to other servers, and what malloc left in a page is not theirs to see. Never
 * WRITEMAP: a stray pointer could then write into the store, and a full disk would be SIGBUS.
 */
enum { ENV_FLAGS = MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD };

/* NOLOCK: there is no writer whose pages a snapshot must keep. With readahead: who opens a store
 * like this walks through all of it. */
enum { READ_ONLY_FLAGS = MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS };

/*
 * Allocated file kept beyond the last page used: more than a transaction of one log entry takes.
 * So the disk is asked for space between transactions and not by the commit's many writes; and the
 * file never is shorter than its last page says, although LMDB does not write a new page that was
 * freed in the same transaction.
 */
#define ROOM_BYTES (16 * MIB)

static const char *const table_names[KV_TABLES] = {"state", "collections", "records", "keys",
                                                   "key-ages"};

enum cursor_state {
    CURSOR_NONE,
    CURSOR_STALE,  /* made for an earlier snapshot */
    CURSOR_LOOSE,  /* of this snapshot, position not to be relied on */
    CURSOR_PLACED, /* stands on the row that the last seek gave */
};

struct kv_txn {
    struct kv *kv;
    MDB_txn *txn;
    MDB_cursor *cursors[KV_TABLES];
    enum cursor_state states[KV_TABLES];
    int failed; /* first error of a put or del */
};

struct kv {
    MDB_env *env;
    bool read_only;
    MDB_dbi tables[KV_TABLES];
    uint64_t file_bytes; /* the file's length, as last seen or made by the writer */
    struct kv_txn writer;
};

/* The one place where LMDB's and the system's errors become ours. */
static int error_of(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case MDB_MAP_FULL:
        return ERR_DISK_FULL;
    case ENOMEM:
    case MDB_TXN_FULL:
        return ERR_NO_MEMORY;
    case MDB_READERS_FULL:
        return ERR_BUSY;
    case MDB_VERSION_MISMATCH:
        return ERR_NEWER;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
        return ERR_CORRUPT;
    case EIO:
    case MDB_PANIC:
        return ERR_IO;
    default:
        return ERR_SYSTEM;
    }
}

static uint64_t used_bytes(const struct kv *kv)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(kv->env, &info);
    mdb_env_stat(kv->env, &stat);
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

static int file_descriptor(const struct kv *kv)
{
    int fd = -1;
    mdb_env_get_fd(kv->env, &fd);
    return fd;
}

/* --- Opening --- */

/* A page beyond the end of the file is SIGBUS when read through the map. LMDB itself reads only the
 * two meta pages while it opens, and with pread. */
static int length_check(struct kv *kv, const char *path, char *why, size_t why_bytes)
{
    struct stat file;
    if (fstat(file_descriptor(kv), &file) != 0) {
        snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
        return error_of(errno);
    }
    kv->file_bytes = (uint64_t)file.st_size;
    if (kv->file_bytes >= used_bytes(kv)) {
        return 0;
    }
    snprintf(why, why_bytes, "%s has %llu bytes, but its last page ends at %llu", path,
             (unsigned long long)kv->file_bytes, (unsigned long long)used_bytes(kv));
    return ERR_CORRUPT;
}

/* Makes the tables in an empty environment; in any other they must be there. */
static int tables_open(struct kv *kv, const char *path, char *why, size_t why_bytes)
{
    MDB_stat stat;
    mdb_env_stat(kv->env, &stat);
    const bool empty = stat.ms_entries == 0 && !kv->read_only;

    MDB_txn *txn;
    int rc = mdb_txn_begin(kv->env, NULL, empty ? 0 : MDB_RDONLY, &txn);
    if (rc == 0) {
        for (int i = 0; rc == 0 && i < KV_TABLES; i++) {
            rc = mdb_dbi_open(txn, table_names[i], empty ? MDB_CREATE : 0, &kv->tables[i]);
        }
        if (rc == 0) {
            rc = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        snprintf(why, why_bytes, "%s is an LMDB file, but not of this program", path);
        return ERR_CORRUPT;
    }
    if (rc != 0) {
        snprintf(why, why_bytes, "%s: %s", path, mdb_strerror(rc));
    }
    return error_of(rc);
}

/*
 * Allocates LMDB's lock file, which it only sets the length of and then writes through a map: on a
 * full disk that would be SIGBUS. Its head and each reader take no more than READER_BYTES.
 *
 * Always a new file: one that lies there may be the lock file of another open store whose data file
 * was renamed since, and LMDB would take that one's table of readers for this one's.
 */
static int lock_file_make(const struct store_options *o)
{
    enum { READER_BYTES = 64, HEAD_READERS = 16 };
    const size_t path_bytes = strlen(o->path) + sizeof "-lock";
    char *path = malloc(path_bytes);
    if (!path) {
        return ENOMEM;
    }
    snprintf(path, path_bytes, "%s-lock", o->path);
    int rc = unlink(path) == 0 || errno == ENOENT ? 0 : errno;
    const int fd = rc == 0 ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (rc == 0 && fd < 0) {
        rc = errno;
    }
    free(path);
    if (fd < 0) {
        return rc;
    }
    rc = posix_fallocate(fd, 0, (off_t)(o->readers_max + HEAD_READERS) * READER_BYTES);
    close(fd);
    return rc;
}

static int open_env(struct kv *kv, const struct store_options *o, char *why, size_t why_bytes)
{
    int rc = mdb_env_create(&kv->env);
    if (rc == 0) {
        rc = mdb_env_set_mapsize(kv->env, o->map_bytes);
    }
    if (rc == 0) {
        /* one more for copies of the environment, which make their own read transaction */
        rc = mdb_env_set_maxreaders(kv->env, o->readers_max + 1);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(kv->env, KV_TABLES);
    }
    if (rc == 0 && !o->read_only) {
        rc = lock_file_make(o);
    }
    if (rc == 0) {
        const unsigned flags = o->read_only ? READ_ONLY_FLAGS : ENV_FLAGS;
        rc = mdb_env_open(kv->env, o->path, flags, 0600);
    }
    if (rc != 0) {
        snprintf(why, why_bytes, "%s: %s", o->path, mdb_strerror(rc));
    }
    return error_of(rc);
}

static void close_file(struct kv *kv)
{
    mdb_env_close(kv->env);
    free(kv);
}

static int open_file(struct kv **to, const struct store_options *o, char *why, size_t why_bytes)
{
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_NO_MEMORY;
    }
    kv->writer.kv = kv;
    kv->read_only = o->read_only;
    int rc = open_env(kv, o, why, why_bytes);
    if (rc == 0) {
        rc = length_check(kv, o->path, why, why_bytes);
    }
    if (rc == 0) {
        rc = tables_open(kv, o->path, why, why_bytes);
    }
    if (rc != 0) {
        close_file(kv);
        return rc;
    }
    *to = kv;
    return 0;
}

static int sync_file(struct kv *kv)
{
    return mdb_env_sync(kv->env, 1) == 0 ? 0 : ERR_IO;
}

/* COMPACT: without it the copy would be made under the writer's lock. */
static int copy_file(struct kv *kv, int fd)
{
    return error_of(mdb_env_copyfd2(kv->env, fd, MDB_CP_COMPACT));
}

/* --- Room --- */

/* Allocates room beyond the last page where it runs low. Failing is no error yet: freed pages may
 * do; what does not find its page fails in the commit. */
static void room_make(struct kv *kv)
{
    const uint64_t used = used_bytes(kv);
    if (kv->file_bytes >= used + ROOM_BYTES) {
        return;
    }
    const uint64_t end = used + 2 * ROOM_BYTES;
    const int fd = file_descriptor(kv);
    if (fallocate(fd, 0, (off_t)kv->file_bytes, (off_t)(end - kv->file_bytes)) == 0 ||
        (errno == EOPNOTSUPP && ftruncate(fd, (off_t)end) == 0)) {
        kv->file_bytes = end;
    }
}

/* LMDB reports a short write, as by a full disk, as EIO. Whether it was one is told by room that
 * cannot be made (there may be holes before the end of the file), or by a write to the last page of
 * the room, which nothing refers to. */
static bool disk_is_full(struct kv *kv)
{
    static const char page[4096];
    room_make(kv);
    if (kv->file_bytes < used_bytes(kv) + ROOM_BYTES) {
        return true;
    }
    const off_t at = (off_t)(kv->file_bytes - sizeof page);
    return pwrite(file_descriptor(kv), page, sizeof page, at) < 0 &&
           error_of(errno) == ERR_DISK_FULL;
}

/* --- Transactions --- */

static int reader_create(struct kv *kv, struct kv_txn **to)
{
    struct kv_txn *t = calloc(1, sizeof *t);
    if (!t) {
        return ERR_NO_MEMORY;
    }
    t->kv = kv;
    int rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &t->txn);
    if (rc != 0) {
        free(t);
        return error_of(rc);
    }
    mdb_txn_reset(t->txn);
    *to = t;
    return 0;
}

static void reader_destroy(struct kv_txn *t)
{
    for (int i = 0; i < KV_TABLES; i++) {
        if (t->cursors[i]) {
            mdb_cursor_close(t->cursors[i]);
        }
    }
    mdb_txn_abort(t->txn);
    free(t);
}

static int reader_renew(struct kv_txn *t)
{
    for (int i = 0; i < KV_TABLES; i++) {
        t->states[i] = t->cursors[i] ? CURSOR_STALE : CURSOR_NONE;
    }
    return error_of(mdb_txn_renew(t->txn));
}

static void reader_reset(struct kv_txn *t)
{
    mdb_txn_reset(t->txn);
}

static int write_begin(struct kv *kv, struct kv_txn **to)
{
    room_make(kv);
    struct kv_txn *t = &kv->writer;
    int rc = mdb_txn_begin(kv->env, NULL, 0, &t->txn);
    if (rc != 0) {
        return error_of(rc);
    }
    /* cursors of a write transaction were closed with it */
    memset(t->cursors, 0, sizeof t->cursors);
    memset(t->states, 0, sizeof t->states);
    t->failed = 0;
    *to = t;
    return 0;
}

static void write_abort(struct kv_txn *t)
{
    mdb_txn_abort(t->txn);
}

static int write_commit(struct kv_txn *t)
{
    if (t->failed != 0) {
        write_abort(t);
        return t->failed;
    }
    int rc = mdb_txn_commit(t->txn);
    if (rc == EIO && disk_is_full(t->kv)) {
        return ERR_DISK_FULL;
    }
    return error_of(rc);
}

/* --- Rows --- */

static MDB_val val_of(struct span s)
{
    assert(s.bytes >= 1 && s.bytes <= 255);
    return (MDB_val){s.bytes, (void *)(uintptr_t)s.at};
}

static struct span span_of_val(const MDB_val *v)
{
    return span(v->mv_data, v->mv_size);
}

/* After a failed change LMDB answers MDB_BAD_TXN to everything; the caller gets what failed. */
static int error_in(const struct kv_txn *t, int rc)
{
    return rc == MDB_BAD_TXN && t->failed != 0 ? t->failed : error_of(rc);
}

static int get(struct kv_txn *t, enum kv_table table, struct span key, struct span *value)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->txn, t->kv->tables[table], &k, &v);
    if (rc == 0) {
        *value = span_of_val(&v);
    }
    return error_in(t, rc);
}

static int cursor_ready(struct kv_txn *t, enum kv_table table)
{
    int rc = 0;
    if (t->states[table] == CURSOR_NONE) {
        rc = mdb_cursor_open(t->txn, t->kv->tables[table], &t->cursors[table]);
    } else if (t->states[table] == CURSOR_STALE) {
        rc = mdb_cursor_renew(t->txn, t->cursors[table]);
    } else {
        return 0;
    }
    if (rc == 0) {
        t->states[table] = CURSOR_LOOSE;
    }
    return rc;
}

static int compare(const MDB_val *a, const MDB_val *b)
{
    int order = memcmp(a->mv_data, b->mv_data, a->mv_size < b->mv_size ? a->mv_size : b->mv_size);
    return order != 0 ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/* One step forward, where the row searched for can only be the next one or the end. */
static bool step(MDB_cursor *c, const MDB_val *from, MDB_val *k, MDB_val *v, int *rc)
{
    MDB_val at;
    if (mdb_cursor_get(c, &at, NULL, MDB_GET_CURRENT) != 0 || compare(&at, from) >= 0) {
        return false;
    }
    *rc = mdb_cursor_get(c, k, v, MDB_NEXT);
    return *rc != 0 || compare(k, from) >= 0;
}

static int seek(struct kv_txn *t, enum kv_table table, struct span from, struct span *key,
                struct span *value)
{
    int rc = cursor_ready(t, table);
    if (rc != 0) {
        return error_in(t, rc);
    }
    MDB_cursor *c = t->cursors[table];
    const MDB_val first = val_of(from);
    MDB_val k, v;
    if (t->states[table] != CURSOR_PLACED || !step(c, &first, &k, &v, &rc)) {
        k = first;
        rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    }
    t->states[table] = rc == 0 ? CURSOR_PLACED : CURSOR_LOOSE;
    if (rc == 0) {
        *key = span_of_val(&k);
        *value = span_of_val(&v);
    }
    return error_in(t, rc);
}

/* What a put or del leaves behind: its table's cursor may have been moved, its error stays. */
static int changed(struct kv_txn *t, enum kv_table table, int rc)
{
    if (t->states[table] == CURSOR_PLACED) {
        t->states[table] = CURSOR_LOOSE;
    }
    int err = error_in(t, rc);
    if (err != 0 && err != ERR_NOT_FOUND && t->failed == 0) {
        t->failed = err;
    }
    return err;
}

static int put(struct kv_txn *t, enum kv_table table, struct span key, struct span head,
               struct span rest, bool last)
{
    const MDB_dbi dbi = t->kv->tables[table];
    const size_t bytes = head.bytes + rest.bytes;
    MDB_val k = val_of(key), v = {bytes, NULL};
    int rc = MDB_KEYEXIST;
    if (last) {
        rc = mdb_put(t->txn, dbi, &k, &v, MDB_RESERVE | MDB_APPEND);
    }
    if (rc == MDB_KEYEXIST) { /* not the last key after all */
        v = (MDB_val){bytes, NULL};
        rc = mdb_put(t->txn, dbi, &k, &v, MDB_RESERVE);
    }
    if (rc == 0 && head.bytes > 0) {
        memcpy(v.mv_data, head.at, head.bytes);
    }
    if (rc == 0 && rest.bytes > 0) {
        memcpy((char *)v.mv_data + head.bytes, rest.at, rest.bytes);
    }
    return changed(t, table, rc);
}

static int del(struct kv_txn *t, enum kv_table table, struct span key)
{
    MDB_val k = val_of(key);
    return changed(t, table, mdb_del(t->txn, t->kv->tables[table], &k, NULL));
}

const struct kv_ops kv_lmdb = {
    .open = open_file,
    .close = close_file,
    .sync = sync_file,
    .bytes = used_bytes,
    .copy = copy_file,
    .reader_create = reader_create,
    .reader_destroy = reader_destroy,
    .reader_renew = reader_renew,
    .reader_reset = reader_reset,
    .write_begin = write_begin,
    .write_commit = write_commit,
    .write_abort = write_abort,
    .get = get,
    .seek = seek,
    .put = put,
    .del = del,
};
