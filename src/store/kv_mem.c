/* Tables in memory, for tests and simulation; not for two threads at once. Knows no records. */
#include "store/kv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/*
 * Each table is a treap (Seidel and Aragon 1996): a search tree by key, a heap by a number drawn
 * per key, which keeps it shallow. The number is a hash of the key, so that the shape depends on
 * the content alone. A tree is never changed while a snapshot can see it: nodes count who points at
 * them, and a node with a second owner is copied before it changes (Driscoll et al. 1989, path
 * copying).
 */
struct row { /* never changes */
    size_t refs;
    uint64_t priority;
    size_t key_bytes;
    size_t value_bytes;
    char bytes[]; /* key, value */
};

struct node {
    size_t refs;
    struct row *row;
    struct node *left, *right;
};

struct kv_txn {
    struct kv *kv;
    struct node *roots[KV_TABLES];
    int failed; /* first error of a put or del */
};

struct kv {
    struct node *roots[KV_TABLES]; /* committed */
    struct kv_txn writer;
};

/* --- Rows and nodes --- */

/* FNV-1a, then the finishing steps of MurmurHash3, for FNV's upper bits hardly change from one key
 * to the next. */
static uint64_t priority_of(struct span key)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < key.bytes; i++) {
        h = (h ^ (uint8_t)key.at[i]) * 0x100000001b3U;
    }
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdU;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53U;
    return h ^ (h >> 33);
}

static struct row *row_create(struct span key, struct span head, struct span rest)
{
    struct row *row = malloc(sizeof *row + key.bytes + head.bytes + rest.bytes);
    if (!row) {
        return NULL;
    }
    *row = (struct row){1, priority_of(key), key.bytes, head.bytes + rest.bytes};
    char *at = row->bytes;
    const struct span parts[] = {key, head, rest};
    for (int i = 0; i < 3; i++) {
        if (parts[i].bytes > 0) {
            memcpy(at, parts[i].at, parts[i].bytes);
            at += parts[i].bytes;
        }
    }
    return row;
}

static struct span row_key(const struct row *row)
{
    return span(row->bytes, row->key_bytes);
}

static struct span row_value(const struct row *row)
{
    return span(row->bytes + row->key_bytes, row->value_bytes);
}

static void row_release(struct row *row)
{
    if (--row->refs == 0) {
        free(row);
    }
}

static int compare(struct span a, struct span b)
{
    int order = memcmp(a.at, b.at, a.bytes < b.bytes ? a.bytes : b.bytes);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static struct node *node_hold(struct node *n)
{
    if (n) {
        n->refs++;
    }
    return n;
}

static void node_release(struct node *n)
{
    if (n && --n->refs == 0) {
        node_release(n->left);
        node_release(n->right);
        row_release(n->row);
        free(n);
    }
}

/* Makes *at a node that nobody else points at. What leads to it must be owned alone already. */
static bool node_own(struct node **at)
{
    struct node *n = *at;
    if (n->refs == 1) {
        return true;
    }
    struct node *copy = malloc(sizeof *copy);
    if (!copy) {
        return false;
    }
    *copy = (struct node){1, n->row, node_hold(n->left), node_hold(n->right)};
    n->row->refs++;
    n->refs--;
    *at = copy;
    return true;
}

/* --- Changing a tree. Without memory rows may be lost on the way: the transaction has failed. ---
 */

/* Cuts a tree into what is below the key and what is above it. Owns the tree. */
static bool split(struct node *tree, struct span key, struct node **below, struct node **above)
{
    *below = *above = NULL;
    while (tree) {
        if (!node_own(&tree)) {
            node_release(tree);
            return false;
        }
        if (compare(row_key(tree->row), key) < 0) {
            *below = tree;
            below = &tree->right;
            tree = *below;
            *below = NULL;
        } else {
            *above = tree;
            above = &tree->left;
            tree = *above;
            *above = NULL;
        }
    }
    return true;
}

/* Joins two trees of which all of one is below all of the other. Owns both. */
static bool merge(struct node *below, struct node *above, struct node **to)
{
    *to = NULL;
    while (below && above) {
        const bool lower_on_top = below->row->priority >= above->row->priority;
        struct node **top = lower_on_top ? &below : &above;
        if (!node_own(top)) {
            node_release(below);
            node_release(above);
            return false;
        }
        *to = *top;
        to = lower_on_top ? &(*top)->right : &(*top)->left;
        *top = *to;
        *to = NULL;
    }
    *to = below ? below : above;
    return true;
}

static bool tree_put(struct node **at, struct row *row)
{
    const struct span key = row_key(row);
    /* a row with this key has this priority: it is met before one of a lower priority is */
    while (*at && (*at)->row->priority >= row->priority) {
        if (!node_own(at)) {
            return false;
        }
        int order = compare(key, row_key((*at)->row));
        if (order == 0) {
            row_release((*at)->row);
            (*at)->row = row;
            row->refs++;
            return true;
        }
        at = order < 0 ? &(*at)->left : &(*at)->right;
    }
    struct node *n = malloc(sizeof *n);
    if (!n) {
        return false;
    }
    *n = (struct node){1, row, NULL, NULL};
    row->refs++;
    struct node *tree = *at;
    *at = n;
    return split(tree, key, &n->left, &n->right);
}

/* The key must be there. */
static bool tree_del(struct node **at, struct span key)
{
    for (;;) {
        if (!node_own(at)) {
            return false;
        }
        int order = compare(key, row_key((*at)->row));
        if (order == 0) {
            break;
        }
        at = order < 0 ? &(*at)->left : &(*at)->right;
    }
    struct node *n = *at, *below = n->left, *above = n->right;
    n->left = n->right = NULL;
    node_release(n);
    return merge(below, above, at);
}

/* --- Opening --- */

static int open_empty(struct kv **to, const struct store_options *o, char *why, size_t why_bytes)
{
    (void)o;
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_NO_MEMORY;
    }
    kv->writer.kv = kv;
    *to = kv;
    return 0;
}

static void roots_release(struct node **roots)
{
    for (int i = 0; i < KV_TABLES; i++) {
        node_release(roots[i]);
        roots[i] = NULL;
    }
}

static void roots_hold(struct node **to, struct node *const *from)
{
    for (int i = 0; i < KV_TABLES; i++) {
        to[i] = node_hold(from[i]);
    }
}

static void close_all(struct kv *kv)
{
    roots_release(kv->roots);
    free(kv);
}

static int sync_nothing(struct kv *kv)
{
    (void)kv;
    return 0;
}

static uint64_t no_bytes(const struct kv *kv)
{
    (void)kv;
    return 0;
}

static int copy_nothing(struct kv *kv, int fd)
{
    (void)kv;
    (void)fd;
    return ERR_NOT_IMPLEMENTED;
}

/* --- Transactions --- */

static int reader_create(struct kv *kv, struct kv_txn **to)
{
    struct kv_txn *t = calloc(1, sizeof *t);
    if (!t) {
        return ERR_NO_MEMORY;
    }
    t->kv = kv;
    *to = t;
    return 0;
}

static void reader_destroy(struct kv_txn *t)
{
    roots_release(t->roots);
    free(t);
}

static int reader_renew(struct kv_txn *t)
{
    roots_hold(t->roots, t->kv->roots);
    return 0;
}

static void reader_reset(struct kv_txn *t)
{
    roots_release(t->roots);
}

static int write_begin(struct kv *kv, struct kv_txn **to)
{
    kv->writer.failed = 0;
    roots_hold(kv->writer.roots, kv->roots);
    *to = &kv->writer;
    return 0;
}

static void write_abort(struct kv_txn *t)
{
    roots_release(t->roots);
}

static int write_commit(struct kv_txn *t)
{
    if (t->failed != 0) {
        write_abort(t);
        return t->failed;
    }
    roots_release(t->kv->roots);
    memcpy(t->kv->roots, t->roots, sizeof t->roots);
    memset(t->roots, 0, sizeof t->roots);
    return 0;
}

/* --- Tables --- */

/* The first row with a key >= `from`, or NULL. */
static const struct row *find(const struct node *n, struct span from)
{
    const struct row *best = NULL;
    while (n) {
        int order = compare(from, row_key(n->row));
        if (order == 0) {
            return n->row;
        }
        if (order < 0) {
            best = n->row;
        }
        n = order < 0 ? n->left : n->right;
    }
    return best;
}

static int seek(struct kv_txn *t, enum kv_table table, struct span from, struct span *key,
                struct span *value)
{
    assert(from.bytes >= 1 && from.bytes <= 255);
    if (t->failed != 0) {
        return t->failed;
    }
    const struct row *row = find(t->roots[table], from);
    if (!row) {
        return ERR_NOT_FOUND;
    }
    *key = row_key(row);
    *value = row_value(row);
    return 0;
}

static int get(struct kv_txn *t, enum kv_table table, struct span key, struct span *value)
{
    struct span found;
    int rc = seek(t, table, key, &found, value);
    return rc == 0 && !span_eq(found, key) ? ERR_NOT_FOUND : rc;
}

static int put(struct kv_txn *t, enum kv_table table, struct span key, struct span head,
               struct span rest, bool last)
{
    (void)last;
    assert(key.bytes >= 1 && key.bytes <= 255);
    if (t->failed != 0) {
        return t->failed;
    }
    struct row *row = row_create(key, head, rest);
    if (!row || !tree_put(&t->roots[table], row)) {
        t->failed = ERR_NO_MEMORY;
    }
    if (row) {
        row_release(row);
    }
    return t->failed;
}

static int del(struct kv_txn *t, enum kv_table table, struct span key)
{
    struct span value;
    int rc = get(t, table, key, &value);
    if (rc == 0 && !tree_del(&t->roots[table], key)) {
        rc = t->failed = ERR_NO_MEMORY;
    }
    return rc;
}

const struct kv_ops kv_mem = {
    .open = open_empty,
    .close = close_all,
    .sync = sync_nothing,
    .bytes = no_bytes,
    .copy = copy_nothing,
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
