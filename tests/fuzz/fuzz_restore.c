/*
 * A backup as it comes back: a copy's seal, and the rows behind it. A copy that is as it was made
 * is accepted, one with any byte changed, added or missing is refused; and whatever stands in the
 * rows of one that is sealed, it is judged without harm, and accepted only with the very records
 * that its digest is of.
 *
 * Input: acts, each of four bytes and, for a new row, its key and value. Those on rows are done
 * first; then the copy is made and sealed; then those on its bytes.
 */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/copy.h"
#include "store/kv.h"

enum {
    RECORDS = 6,
    KEYS = 2,
    ROWS = 8, /* of a table, that acts can meet */
    ROW_BYTES_MAX = 512,
    GROWTH_MAX = 512,
    MAP_BYTES = 4 * 1024 * 1024,
    FILE_BYTES_MAX = 1024 * 1024,
    ACTS_MAX = 64,
    /* The seal once more, on its own. */
    SEAL_WORD = 8,
    SEAL = 24,
    SEALED_AT_ONCE = 256 * 1024,
};
static const char seal_word[SEAL_WORD] = "nCOPY\r\n\1";

struct input {
    const uint8_t *at;
    size_t bytes;
};

struct act {
    enum { ROW_PUT, ROW_CHANGE, ROW_CUT, ROW_GROW, ROW_DEL, CHANGE, CUT, GROW, KINDS } kind;
    unsigned which, much, with;
    struct span key, value; /* ROW_PUT */
};

struct bytes {
    char *at;
    size_t count;
};

/* Made once. */
static struct {
    char folder[64], store[96], copy[96];
    struct bytes genuine; /* a store */
    struct store_state state;
} made;

static unsigned next(struct input *in)
{
    if (in->bytes == 0)
        return 0;
    in->bytes--;
    return *in->at++;
}

static struct span take(struct input *in, size_t bytes_max)
{
    size_t bytes = next(in) % (bytes_max + 1);
    bytes = bytes < in->bytes ? bytes : in->bytes;
    struct span taken = span((const char *)in->at, bytes);
    in->at += bytes;
    in->bytes -= bytes;
    return taken;
}

static bool next_act(struct input *in, struct act *act)
{
    bool there = in->bytes != 0;
    act->kind = next(in) % KINDS;
    act->which = next(in);
    act->much = next(in);
    act->with = next(in);
    if (act->kind == ROW_PUT) {
        act->key = take(in, KEY_BYTES_MAX);
        act->value = take(in, UINT8_MAX);
    }
    return there;
}

/* --- Files --- */

static struct bytes read_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert(fd >= 0 && fstat(fd, &st) == 0);
    struct bytes b = {malloc((size_t)st.st_size + SEAL + GROWTH_MAX), (size_t)st.st_size};
    assert(b.at != NULL && read(fd, b.at, b.count) == st.st_size);
    close(fd);
    return b;
}

static void write_file(const char *path, struct bytes b)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && write(fd, b.at, b.count) == (ssize_t)b.count);
    close(fd);
}

/* Storage makes room in its file before it needs it, which takes longer than all the rest: here it
 * does without. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void remove_all(void)
{
    char lock[104];
    snprintf(lock, sizeof lock, "%s-lock", made.store);
    unlink(lock);
    unlink(made.store);
    unlink(made.copy);
    rmdir(made.folder);
    free(made.genuine.at);
}

/* --- A store --- */

static const char *const names[] = {"notes", "tags"};

static struct span text_of(uint64_t id, char to[64])
{
    return span(to, (size_t)snprintf(to, 64, "{\"id\":%u,\"text\":\"number %u\"}", (unsigned)id,
                                     (unsigned)id));
}

static void fill(struct store_txn *w)
{
    char text[64], key[16];
    for (uint64_t id = 1; id <= RECORDS; id++) {
        struct span name = span_of(names[id % 2]);
        struct store_collection c;
        const struct store_record r = {id, id, text_of(id, text)};
        assert(store_collection_make(w, name, &c) == 0);
        assert(store_record_put(w, name, c.number, &r) == 0);
    }
    for (uint64_t seq = 1; seq <= KEYS; seq++) {
        const struct store_key k = {
            .seq = seq, .id = seq, .collection = span_of("notes"), .text = text_of(seq, text)};
        snprintf(key, sizeof key, "the key %u", (unsigned)seq);
        assert(store_key_put(w, span_of(key), &k) == 0);
    }
    assert(store_set_put(w, span_of("a set")) == 0);
    struct store_state *state = store_state(w);
    state->seq = state->applied = RECORDS;
    state->epoch = 3;
    made.state = *state;
}

static void make(void)
{
    char why[256];
    struct store *s;
    struct store_txn *w;
    snprintf(made.folder, sizeof made.folder, "%s/fuzz_restore_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert(mkdtemp(made.folder) != NULL);
    snprintf(made.store, sizeof made.store, "%s/store", made.folder);
    snprintf(made.copy, sizeof made.copy, "%s/copy", made.folder);
    atexit(remove_all);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(FILE_BYTES_MAX);
    const struct store_options o = {.path = made.store, .map_bytes = MAP_BYTES, .readers_max = 2};
    assert(store_open(&s, &o, why, sizeof why) == 0);
    assert(store_write_begin(s, &w) == 0);
    fill(w);
    assert(store_write_commit(w) == 0);
    store_close(s);
    limit_files(RLIM_INFINITY);
    made.genuine = read_file(made.store);
}

/* --- Acts on rows --- */

/* A row's key and value; false: there are not so many. */
static bool find_row(struct kv_txn *t, enum kv_table table, unsigned number, struct span *key,
                     struct span *value)
{
    char from[ROW_BYTES_MAX] = "";
    size_t bytes = 1;
    for (;;) {
        if (kv_lmdb.seek(t, table, span(from, bytes), key, value) != 0)
            return false;
        if (number-- == 0)
            return true;
        memcpy(from, key->at, key->bytes);
        from[key->bytes] = '\0'; /* what comes behind it */
        bytes = key->bytes + 1;
    }
}

static bool change_row(struct kv_txn *t, const struct act *act)
{
    char key[ROW_BYTES_MAX], value[ROW_BYTES_MAX + UINT8_MAX] = "";
    enum kv_table table = (enum kv_table)(act->which % KV_TABLES);
    struct span found, row;
    if (act->kind == ROW_PUT)
        return act->key.bytes != 0 &&
               kv_lmdb.put(t, table, act->key, act->value, span(NULL, 0), false) == 0;
    if (!find_row(t, table, act->which / KV_TABLES % ROWS, &found, &row) ||
        row.bytes > ROW_BYTES_MAX)
        return false;
    size_t bytes = row.bytes;
    memcpy(key, found.at, found.bytes); /* the spans die with the change */
    memcpy(value, row.at, bytes);
    found.at = key;
    if (act->kind == ROW_DEL)
        return kv_lmdb.del(t, table, found) == 0;
    if (act->kind == ROW_CHANGE && bytes != 0)
        value[act->much % bytes] = (char)(value[act->much % bytes] ^ (int)(act->with | 1));
    else if (act->kind == ROW_CUT)
        bytes -= act->much < bytes ? act->much : bytes;
    else if (act->kind == ROW_GROW)
        bytes += act->much;
    return kv_lmdb.put(t, table, found, span(value, bytes), span(NULL, 0), false) == 0;
}

/* A file that LMDB has written, of the genuine rows with these acts done to them. */
static struct bytes rows_with(struct input in, bool *changed)
{
    char why[256];
    struct kv *kv;
    struct kv_txn *t;
    struct act act;
    const struct store_options o = {.path = made.store, .map_bytes = MAP_BYTES, .readers_max = 2};
    write_file(made.store, made.genuine);
    limit_files(FILE_BYTES_MAX);
    assert(kv_lmdb.open(&kv, &o, why, sizeof why) == 0);
    assert(kv_lmdb.write_begin(kv, &t) == 0);
    for (unsigned acts = 0; acts < ACTS_MAX && next_act(&in, &act); acts++)
        *changed = (act.kind < CHANGE && change_row(t, &act)) || *changed;
    assert(kv_lmdb.write_commit(t) == 0);
    int fd = open(made.copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && kv_lmdb.copy(kv, fd) == 0);
    close(fd);
    kv_lmdb.close(kv);
    limit_files(RLIM_INFINITY);
    return read_file(made.copy);
}

/* --- The seal, and acts on bytes --- */

static void seal(struct bytes *b)
{
    uint64_t hash = 0;
    for (size_t at = 0; at < b->count; at += SEALED_AT_ONCE) {
        size_t left = b->count - at;
        hash = hash64(hash, b->at + at, left < SEALED_AT_ONCE ? left : SEALED_AT_ONCE);
    }
    char *to = b->at + b->count;
    memcpy(to, seal_word, SEAL_WORD);
    put_u64_be(to + SEAL_WORD, b->count);
    put_u64_be(to + SEAL_WORD + 8, hash);
    b->count += SEAL;
}

/* Half of the places are near the end, so that the seal is met, too. */
static size_t place(const struct bytes *b, const struct act *act)
{
    size_t at = (act->which / 2 * 256 + act->much) % b->count;
    return act->which & 1 ? b->count - 1 - act->much % b->count : at;
}

static void change_bytes(struct bytes *b, struct input in)
{
    const size_t bytes_max = b->count + GROWTH_MAX;
    struct act act;
    for (unsigned acts = 0; acts < ACTS_MAX && next_act(&in, &act); acts++) {
        if (act.kind == CHANGE && b->count != 0) {
            char *at = b->at + place(b, &act);
            *at = (char)(*at ^ (int)(act.with | 1));
        } else if (act.kind == CUT) {
            b->count -= act.much < b->count ? act.much : b->count;
        } else if (act.kind == GROW && b->count + act.much <= bytes_max) {
            memset(b->at + b->count, (int)act.with, act.much);
            b->count += act.much;
        }
    }
}

/* --- What is accepted --- */

/* Every record that was made, as a server gives it. */
static void expect_genuine_records(struct store_txn *reader)
{
    struct store_record r;
    char text[64];
    for (uint64_t id = 1; id <= RECORDS; id++) {
        uint32_t collection = id % 2 == 1 ? 1 : 2; /* in the order of their making */
        assert(store_record_get(reader, collection, id, &r) == 0);
        assert(r.seq == id && span_eq(r.text, text_of(id, text)));
    }
}

/* Rows of which the digest does not tell are judged when they are read. */
static void read_the_rest(struct store_txn *reader)
{
    struct store_collection c;
    struct store_key k;
    struct span set;
    uint64_t seq = 0, time_us;
    char key[16];
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)store_collection_get(reader, span_of(names[i]), &c);
    for (unsigned i = 1; i <= KEYS; i++) {
        snprintf(key, sizeof key, "the key %u", i);
        if (store_key_get(reader, span_of(key), &k) == 0)
            assert(k.collection.bytes + k.text.bytes <= ROW_BYTES_MAX + UINT8_MAX);
    }
    while (store_key_oldest(reader, seq, &seq, &time_us) == 0) {
    }
    (void)store_set_get(reader, &set);
}

static void read_accepted(void)
{
    char why[256];
    struct store *s;
    struct store_txn *reader;
    const struct store_options o = {
        .path = made.copy, .map_bytes = MAP_BYTES, .readers_max = 1, .read_only = true};
    assert(store_open(&s, &o, why, sizeof why) == 0);
    assert(store_reader_create(s, &reader) == 0 && store_reader_renew(reader) == 0);
    expect_genuine_records(reader);
    read_the_rest(reader);
    store_reader_destroy(reader);
    store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes)
{
    const struct input in = {at, bytes};
    struct store_state state;
    char why[512] = "";
    bool changed = false;
    if (made.genuine.at == NULL)
        make();
    struct bytes b = rows_with(in, &changed);
    seal(&b);
    struct bytes sealed = {malloc(b.count), b.count};
    assert(sealed.at != NULL);
    memcpy(sealed.at, b.at, b.count);
    change_bytes(&b, in);
    bool same = b.count == sealed.count && memcmp(b.at, sealed.at, b.count) == 0;
    write_file(made.copy, b);

    int rc = store_copy_check(made.copy, NULL, &state, why, sizeof why);
    assert(rc == 0 || (strstr(why, made.copy) != NULL));
    if (!same)
        assert(rc == ERR_CORRUPT);
    else if (!changed)
        assert(rc == 0 && memcmp(&state, &made.state, sizeof state) == 0);
    else
        assert(rc == 0 || rc == ERR_CORRUPT || rc == ERR_NEWER);
    if (rc == 0)
        read_accepted();
    free(sealed.at);
    free(b.at);
    return 0;
}
