/* Local storage of simulated servers: real stores, in memory or of LMDB, and copies of them as
 * bytes. Knows nothing of logs and servers. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "drive.h"
#include "store/copy.h"
#include "store/kv.h"
#include "store/txn.h" /* for copies of stores in memory, which only exist here */

enum { PATH_BYTES = 300, MAP_BYTES = 64 * 1024 * 1024, SEAL_BYTES = 8, READERS = 4 };

static const char *path_of(const struct local *l, const struct storage *where, char to[PATH_BYTES])
{
    snprintf(to, PATH_BYTES, "%s/%u.mdb", where->folder, l->number);
    return to;
}

static void open_store(struct local *l, const struct storage *where)
{
    char path[PATH_BYTES], why[300] = "";
    struct store_options o = {.readers_max = READERS, .map_bytes = MAP_BYTES};
    o.path = l->lmdb ? path_of(l, where, path) : NULL;
    if (store_open(&l->store, &o, why, sizeof why) != 0) {
        fprintf(stderr, "a store cannot be opened: %s\n", why);
        abort();
    }
}

static void take_state(struct local *l)
{
    struct store_txn *txn;
    int rc = store_write_begin(l->store, &txn);
    assert(rc == 0);
    l->state = *store_state(txn);
    store_write_abort(txn);
    atomic_store(&l->visible.seq, l->state.seq);
    atomic_store(&l->visible.applied, l->state.applied);
}

static void open_reader(struct local *l)
{
    int rc = reader_create(&l->reader, l->store, &l->visible);
    assert(rc == 0);
}

/* --- Copies: of a store in memory all rows of all tables, with a hash behind them as a seal --- */

static void add_rows(struct buf *to, struct store_txn *txn, enum kv_table table)
{
    static const char lowest[1];
    char from[256];
    struct span at = span(lowest, 1), key, value;
    while (txn->ops->seek(txn->kv, table, at, &key, &value) == 0) {
        char head[6] = {(char)table, (char)key.bytes};
        put_u32(head + 2, (uint32_t)value.bytes);
        buf_add(to, head, sizeof head);
        buf_add_span(to, key);
        buf_add_span(to, value);
        memcpy(from, key.at, key.bytes);
        from[key.bytes] = '\0';
        at = span(from, key.bytes + 1);
    }
}

static void copy_memory(struct store *s, struct buf *to)
{
    struct store_txn *reader;
    int rc = store_reader_create(s, &reader);
    assert(rc == 0);
    rc = store_reader_renew(reader);
    assert(rc == 0);
    for (int table = 0; table < KV_TABLES; table++)
        add_rows(to, reader, (enum kv_table)table);
    store_reader_destroy(reader);
    char seal[SEAL_BYTES];
    put_u64(seal, hash64(0, to->at, to->bytes));
    buf_add(to, seal, sizeof seal);
}

/* What is no row ends it: rules that are left out bring anything here. */
static void fill_memory(struct store *s, struct span rest)
{
    struct kv_txn *txn;
    int rc = s->ops->write_begin(s->kv, &txn);
    assert(rc == 0);
    rest.bytes -= rest.bytes < SEAL_BYTES ? rest.bytes : SEAL_BYTES;
    while (rest.bytes > 6) {
        size_t key = (uint8_t)rest.at[1], value = get_u32(rest.at + 2);
        if ((uint8_t)rest.at[0] >= KV_TABLES || key == 0 || 6 + key + value > rest.bytes)
            break;
        s->ops->put(txn, (enum kv_table)rest.at[0], span(rest.at + 6, key),
                    span(rest.at + 6 + key, value), span(NULL, 0), true);
        rest = span(rest.at + 6 + key + value, rest.bytes - 6 - key - value);
    }
    rc = s->ops->write_commit(txn);
    assert(rc == 0);
}

static void copy_lmdb(struct store *s, struct buf *to)
{
    int fd = memfd_create("copy", MFD_CLOEXEC);
    int rc = fd < 0 ? ERR_SYSTEM : store_copy(s, fd);
    assert(rc == 0);
    off_t bytes = lseek(fd, 0, SEEK_END);
    char *at = buf_room(to, (size_t)bytes);
    assert(at != NULL && pread(fd, at, (size_t)bytes, 0) == bytes);
    to->bytes += (size_t)bytes;
    close(fd);
}

static void write_file(const char *path, struct span bytes)
{
    FILE *f = fopen(path, "w");
    assert(f != NULL && fwrite(bytes.at, 1, bytes.bytes, f) == bytes.bytes);
    fclose(f);
}

struct image *image_from(struct span bytes, bool lmdb)
{
    struct image *i = malloc(sizeof *i + bytes.bytes);
    assert(i != NULL);
    *i = (struct image){.holders = 1, .lmdb = lmdb, .bytes = bytes.bytes};
    memcpy(i->at, bytes.at, bytes.bytes);
    return i;
}

struct image *image_of(const struct local *l, const struct storage *where)
{
    struct buf bytes = {0};
    (void)where;
    if (l->lmdb)
        copy_lmdb(l->store, &bytes);
    else
        copy_memory(l->store, &bytes);
    struct image *i = image_from(buf_span(&bytes), l->lmdb);
    i->state = l->state;
    buf_finish(&bytes);
    return i;
}

static int check_memory(struct image *i)
{
    struct local l = {0};
    struct storage none = {0};
    if (i->bytes < SEAL_BYTES ||
        get_u64(i->at + i->bytes - SEAL_BYTES) != hash64(0, i->at, i->bytes - SEAL_BYTES))
        return ERR_CORRUPT;
    if (!local_make(&l, &none, i))
        return ERR_CORRUPT;
    struct store_txn *txn;
    uint64_t digest, records;
    int rc = store_write_begin(l.store, &txn);
    assert(rc == 0);
    rc = store_digest_recompute(txn, NULL, &digest, &records);
    store_write_abort(txn);
    i->state = l.state;
    local_remove(&l, &none);
    return rc == 0 && (digest != i->state.digest || records != i->state.records) ? ERR_CORRUPT : rc;
}

int image_check(struct image *i, struct storage *where)
{
    char path[PATH_BYTES], why[300];
    if (!i->lmdb)
        return check_memory(i);
    snprintf(path, sizeof path, "%s/check.mdb", where->folder);
    write_file(path, span(i->at, i->bytes));
    int rc = store_copy_check(path, NULL, &i->state, why, sizeof why);
    unlink(path);
    return rc;
}

struct image *image_hold(struct image *i)
{
    if (i != NULL)
        i->holders++;
    return i;
}

void image_drop(struct image *i)
{
    if (i != NULL && --i->holders == 0)
        free(i);
}

/* --- Stores --- */

/* In memory a store begins with a state row of its own, which the image's replaces. */
bool local_make(struct local *l, struct storage *where, const struct image *from)
{
    char path[PATH_BYTES];
    *l = (struct local){.number = ++where->made, .lmdb = from != NULL ? from->lmdb : where->lmdb};
    if (l->lmdb && from != NULL)
        write_file(path_of(l, where, path), span(from->at, from->bytes));
    open_store(l, where);
    if (!l->lmdb && from != NULL)
        fill_memory(l->store, span(from->at, from->bytes));
    take_state(l);
    open_reader(l);
    return true;
}

void local_close(struct local *l, const struct storage *where)
{
    (void)where;
    if (l->store == NULL)
        return;
    local_abort(l);
    reader_destroy(l->reader);
    l->reader = NULL;
    if (l->lmdb) {
        store_close(l->store);
        l->store = NULL;
    }
}

void local_open(struct local *l, const struct storage *where)
{
    if (l->store == NULL)
        open_store(l, where);
    take_state(l);
    if (l->reader == NULL)
        open_reader(l);
}

void local_remove(struct local *l, const struct storage *where)
{
    char path[PATH_BYTES], lock[PATH_BYTES + 8];
    if (l->number == 0)
        return;
    local_close(l, where);
    store_close(l->store);
    if (l->lmdb) {
        unlink(path_of(l, where, path));
        snprintf(lock, sizeof lock, "%s-lock", path);
        unlink(lock);
    }
    *l = (struct local){0};
}

int local_begin(struct local *l)
{
    return store_write_begin(l->store, &l->txn);
}

int local_commit(struct local *l)
{
    struct store_state state = *store_state(l->txn);
    int rc = store_write_commit(l->txn);
    l->txn = NULL;
    if (rc != 0)
        return rc;
    /* The commit itself counts in what it flushes, but not in what is told here. */
    l->state = state;
    atomic_store(&l->visible.seq, state.seq);
    atomic_store(&l->visible.applied, state.applied);
    return 0;
}

void local_abort(struct local *l)
{
    store_write_abort(l->txn);
    l->txn = NULL;
}
