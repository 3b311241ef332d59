/* Rules of copies of a store: that they have everything, of one moment, and are told from damage.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "store/copy.h"
#include "store/kv.h"
#include "store_place.h"

enum { RECORDS = 100 * 1000, TEXT_BYTES = 150 };

/* --- A store with something of everything, and a place for its copy --- */

struct both {
    struct place *p;
    struct place copy;
};

/* The copy lies in the folder of the store. */
static struct both both(void **state)
{
    struct both b = {.p = *state, .copy = *(struct place *)*state};
    b.copy.s = NULL;
    snprintf(b.copy.path, sizeof b.copy.path, "%.60s/copy", b.p->folder);
    return b;
}

static void both_finish(struct both *b)
{
    char lock[128];
    place_close(&b->copy);
    snprintf(lock, sizeof lock, "%s-lock", b->copy.path);
    unlink(b->copy.path);
    unlink(lock);
}

/* Records over two collections, some of many pages, some removed, keys, epochs and a set. */
static void fill(struct store *s, uint64_t records)
{
    struct store_txn *w = begin(s);
    for (uint64_t seq = 1; seq <= records; seq++) {
        const uint64_t id = (seq + 1) / 2;
        put_text(w, seq % 2 ? "notes" : "tags", id, seq, seq % 997 ? TEXT_BYTES : 20 * 1000);
        if (seq % 10 == 0) {
            del(w, "tags", id);
        }
        if (seq % 3 == 0) {
            char key[32];
            snprintf(key, sizeof key, "key %llu", (unsigned long long)seq);
            const struct store_key k = {.seq = seq, .id = id, .text = span_of(key)};
            assert_int_equal(store_key_put(w, span_of(key), &k), 0);
        }
        if (seq % 100 == 0) {
            commit(w);
            w = begin(s);
        }
    }
    struct store_state *state = store_state(w);
    state->seq = records;
    state->applied = records + 7;
    state->chain = 1234567;
    state->epoch = 3;
    state->time_us = 99;
    assert_int_equal(store_set_put(w, span_of("seoul, busan")), 0);
    commit(w);
}

static struct store_state state_now(struct store *s)
{
    struct store_txn *r = snapshot(s);
    const struct store_state state = *store_state(r);
    store_reader_destroy(r);
    return state;
}

static int copy_to(struct store *s, const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    const int rc = store_copy(s, fd);
    close(fd);
    return rc;
}

static int check(struct both *b, struct store_state *state)
{
    b->copy.why[0] = '\0';
    const int rc = store_copy_check(b->copy.path, NULL, state, b->copy.why, sizeof b->copy.why);
    assert_true(rc == 0 || strstr(b->copy.why, b->copy.path) != NULL);
    return rc;
}

static void assert_no_copy(struct both *b)
{
    struct store_state state;
    assert_int_equal(check(b, &state), ERR_CORRUPT);
}

static char *file_read(const char *path, size_t *bytes)
{
    struct stat st;
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *content = malloc((size_t)st.st_size + 1);
    assert_non_null(content);
    assert_int_equal(read(fd, content, (size_t)st.st_size), st.st_size);
    close(fd);
    *bytes = (size_t)st.st_size;
    return content;
}

static void file_write(const char *path, const char *content, size_t bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, bytes), (ssize_t)bytes);
    close(fd);
}

static int entries_of(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

/* --- What a copy has --- */

static void assert_same_keys(struct store_txn *a, struct store_txn *b, uint64_t records)
{
    for (uint64_t seq = 3; seq <= records; seq += 3) {
        char key[32];
        struct store_key of_a, of_b;
        uint64_t oldest_a, oldest_b, time_us;
        snprintf(key, sizeof key, "key %llu", (unsigned long long)seq);
        assert_int_equal(store_key_get(a, span_of(key), &of_a), 0);
        assert_int_equal(store_key_get(b, span_of(key), &of_b), 0);
        assert_true(span_eq(of_a.text, of_b.text) && of_a.seq == of_b.seq && of_a.id == of_b.id);
        assert_int_equal(store_key_oldest(a, seq - 1, &oldest_a, &time_us), 0);
        assert_int_equal(store_key_oldest(b, seq - 1, &oldest_b, &time_us), 0);
        assert_int_equal(oldest_a, oldest_b);
    }
}

static void assert_same(struct store *of_a, struct store *of_b, uint64_t records)
{
    struct store_txn *a = snapshot(of_a), *b = snapshot(of_b);
    assert_memory_equal(store_state(a), store_state(b), sizeof(struct store_state));
    assert_counted(b, store_state(a)->records);
    static const char *const names[] = {"notes", "tags"};
    for (int i = 0; i < 2; i++) {
        struct store_collection in_a, in_b;
        assert_int_equal(store_collection_get(a, span_of(names[i]), &in_a), 0);
        assert_int_equal(store_collection_get(b, span_of(names[i]), &in_b), 0);
        assert_int_equal(in_a.number, in_b.number);
        assert_int_equal(in_a.next_id, in_b.next_id);
        assert_int_equal(in_a.records, in_b.records);
    }
    struct span set;
    assert_int_equal(store_set_get(b, &set), 0);
    assert_true(span_is(set, "seoul, busan"));
    assert_same_keys(a, b, records);
    store_reader_destroy(a);
    store_reader_destroy(b);
}

static void a_copy_has_all_that_the_store_has_and_goes_on_as_one(void **state)
{
    struct both b = both(state);
    fill(b.p->s, RECORDS);
    const struct store_state expected = state_now(b.p->s);
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    struct store_state found;
    assert_int_equal(check(&b, &found), 0);
    assert_memory_equal(&found, &expected, sizeof found);
    assert_int_equal(place_open(&b.copy), 0);
    assert_same(b.p->s, b.copy.s, RECORDS);
    assert_true(store_bytes(b.copy.s) < store_bytes(b.p->s)); /* compacted */

    struct store_txn *w = begin(b.copy.s);
    assert_int_equal(collection(w, "lists").number, 3);
    del(w, "notes", 1);
    commit(w);
    for (uint64_t id = 1; id <= 30; id++) {
        w = begin(b.copy.s);
        put_text(w, "lists", id, RECORDS + id, 200 * 1000);
        commit(w);
    }
    struct stat st;
    assert_int_equal(stat(b.copy.path, &st), 0);
    assert_true((uint64_t)st.st_size >= store_bytes(b.copy.s) + 10 * MIB);
    place_close(&b.copy);
    assert_no_copy(&b); /* any more */
    assert_int_equal(place_open(&b.copy), 0);
    struct store_txn *r = snapshot(b.copy.s);
    assert_counted(r, expected.records - 1 + 30);
    store_reader_destroy(r);
    both_finish(&b);
}

static void a_copy_of_an_empty_store_is_an_empty_store(void **state)
{
    struct both b = both(state);
    struct store_state found;
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    assert_int_equal(check(&b, &found), 0);
    assert_int_equal(found.applied, 0);
    assert_int_equal(found.records, 0);
    assert_int_equal(place_open(&b.copy), 0);
    fill(b.copy.s, 100);
    fill(b.p->s, 100);
    assert_same(b.p->s, b.copy.s, 100);
    both_finish(&b);
}

/* Pages that were made and freed within a transaction must not confuse LMDB's counting of what a
 * compacted copy will have. */
static void a_store_whose_pages_were_freed_and_used_again_is_copied(void **state)
{
    struct both b = both(state);
    struct store_txn *old = NULL;
    for (uint64_t i = 1; i < 300; i++) {
        struct store_txn *w = begin(b.p->s);
        put_text(w, "notes", 1 + i * 31 % 50, i, 1 + i * 7919 % 30000);
        put_text(w, "tags", i, i, 1 + i * 104729 % 60000);
        del(w, "tags", i);
        if (i % 7 == 0) {
            store_write_abort(w);
        } else {
            commit(w);
        }
        if (i % 20 == 0) { /* a reader that keeps pages */
            store_reader_destroy(old);
            old = snapshot(b.p->s);
        }
        struct store_state found;
        assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
        assert_int_equal(check(&b, &found), 0);
        const struct store_state expected = state_now(b.p->s);
        assert_memory_equal(&found, &expected, sizeof found);
    }
    store_reader_destroy(old);
    both_finish(&b);
}

static void a_store_in_memory_is_not_copied(void **state)
{
    struct place *p = *state;
    fill(p->s, 10);
    assert_int_equal(store_copy(p->s, STDOUT_FILENO), ERR_NOT_IMPLEMENTED);
}

/* --- While others go on --- */

enum { IDS = 700, COMMIT_RECORDS = 7 };

struct writing {
    struct store *s;
    atomic_bool stop;
    _Atomic uint64_t commits;
};

/* No assertion in a thread: cmocka's leave through the main one. */
static int write_some(struct store_txn *txn, uint64_t n)
{
    static const char text[3000];
    struct store_collection c;
    int rc = store_collection_make(txn, span_of("notes"), &c);
    for (uint64_t seq = COMMIT_RECORDS * (n - 1); rc == 0 && seq < COMMIT_RECORDS * n; seq++) {
        const struct store_record r = {1 + seq % IDS, seq, span(text, seq * 31 % sizeof text)};
        rc = store_record_put(txn, span_of("notes"), c.number, &r);
    }
    return rc;
}

/* Each commit has its number as position, and changes seven records. */
static void *write_on(void *arg)
{
    struct writing *w = arg;
    int rc = 0;
    for (uint64_t n = 1; rc == 0 && !w->stop; n++) {
        struct store_txn *txn;
        rc = store_write_begin(w->s, &txn);
        if (rc == 0) {
            rc = write_some(txn, n);
            store_state(txn)->applied = n;
            const int committed = store_write_commit(txn);
            rc = rc == 0 ? committed : rc;
        }
        if (rc == 0) {
            w->commits = n;
        }
        usleep(200); /* the file grows by what is written while a copy is made */
    }
    return NULL;
}

struct copying {
    struct store *s;
    int fd, rc;
};

static void *copy_on(void *arg)
{
    struct copying *c = arg;
    c->rc = store_copy(c->s, c->fd);
    close(c->fd);
    return NULL;
}

static void wait_for_commits(struct writing *w, uint64_t commits)
{
    for (int i = 0; w->commits < commits && i < 30000; i++) {
        usleep(1000);
    }
    assert_true(w->commits >= commits);
}

/* Reads the pipe to the end into the file; waits after the first bytes until there were so many
 * commits more. */
static void receive(int from, const char *path, struct writing *w, uint64_t commits)
{
    char bytes[10000];
    const int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t got;
    while ((got = read(from, bytes, sizeof bytes)) > 0) {
        assert_int_equal(write(to, bytes, (size_t)got), got);
        if (commits > 0) {
            wait_for_commits(w, w->commits + commits);
            commits = 0;
        }
    }
    assert_int_equal(got, 0);
    close(to);
    close(from);
}

static void a_copy_is_of_one_moment_and_the_writer_goes_on_meanwhile(void **state)
{
    struct both b = both(state);
    struct writing writing = {.s = b.p->s};
    pthread_t writer, copier;
    assert_int_equal(pthread_create(&writer, NULL, write_on, &writing), 0);
    wait_for_commits(&writing, 100); /* more than fits into pipes and buffers */
    for (int i = 0; i < 15; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        struct copying copying = {.s = b.p->s, .fd = ends[1]};
        const uint64_t before = writing.commits;
        assert_int_equal(pthread_create(&copier, NULL, copy_on, &copying), 0);
        receive(ends[0], b.copy.path, &writing, 20);
        pthread_join(copier, NULL);
        assert_int_equal(copying.rc, 0);
        struct store_state found;
        assert_int_equal(check(&b, &found), 0);
        assert_in_range(found.applied, before, writing.commits);
        assert_int_equal(found.records, IDS);
    }
    writing.stop = true;
    pthread_join(writer, NULL);
    both_finish(&b);
}

/* --- Copies that fail --- */

static void a_copy_ends_when_nobody_reads_it_any_more(void **state)
{
    struct place *p = *state;
    static const size_t amounts[] = {0, 1, 4096, 100 * 1000, 400 * 1000};
    signal(SIGPIPE, SIG_IGN);
    fill(p->s, 10 * 1000);
    assert_true(store_bytes(p->s) > 1000 * 1000);
    const int descriptors = entries_of("/proc/self/fd");
    for (int i = 0; i < 5; i++) {
        int ends[2];
        pthread_t copier;
        assert_int_equal(pipe(ends), 0);
        struct copying copying = {.s = p->s, .fd = ends[1]};
        assert_int_equal(pthread_create(&copier, NULL, copy_on, &copying), 0);
        char byte;
        for (size_t n = 0; n < amounts[i]; n++) {
            assert_int_equal(read(ends[0], &byte, 1), 1);
        }
        close(ends[0]);
        pthread_join(copier, NULL);
        assert_int_equal(copying.rc, ERR_SYSTEM);
    }
    assert_int_equal(entries_of("/proc/self/fd"), descriptors);
    struct store_txn *r = snapshot(p->s); /* nor is a snapshot left behind */
    assert_counted(r, 9000);
    store_reader_destroy(r);
}

static void file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_copy_onto_a_full_disk_says_so_and_is_none(void **state)
{
    struct both b = both(state);
    signal(SIGXFSZ, SIG_IGN);
    fill(b.p->s, 3000);
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    struct stat whole;
    struct store_state found;
    assert_int_equal(stat(b.copy.path, &whole), 0);
    const rlim_t bytes = (rlim_t)whole.st_size;
    const rlim_t limits[] = {0, 1, 8192, 8193, bytes / 2, bytes - 25, bytes - 24, bytes - 1};
    for (int i = 0; i < 8; i++) {
        file_limit(limits[i]);
        const int rc = copy_to(b.p->s, b.copy.path);
        file_limit(RLIM_INFINITY);
        assert_int_equal(rc, ERR_DISK_FULL);
        assert_no_copy(&b);
    }
    assert_int_equal(copy_to(b.p->s, "/dev/full"), ERR_DISK_FULL);
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    assert_int_equal(check(&b, &found), 0);
    const int closed = open(b.copy.path, O_RDONLY);
    assert_int_equal(store_copy(b.p->s, closed), ERR_SYSTEM); /* not to be written to */
    close(closed);
    both_finish(&b);
}

/* --- Copies that are none --- */

static void a_copy_cut_short_is_refused(void **state)
{
    struct both b = both(state);
    fill(b.p->s, 500);
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    size_t bytes;
    char *content = file_read(b.copy.path, &bytes);
    for (size_t cut = 0; cut < bytes; cut += cut + 30 < bytes ? 1 + bytes / 200 : 1) {
        file_write(b.copy.path, content, cut);
        assert_no_copy(&b);
    }
    content[bytes] = 0;
    file_write(b.copy.path, content, bytes + 1); /* nor may it be longer */
    assert_no_copy(&b);
    file_write(b.copy.path, content, bytes);
    struct store_state found;
    assert_int_equal(check(&b, &found), 0);
    free(content);
    both_finish(&b);
}

static void one_byte_changed_anywhere_is_found(void **state)
{
    struct both b = both(state);
    fill(b.p->s, 500);
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    size_t bytes;
    char *content = file_read(b.copy.path, &bytes);
    free(content);
    const int fd = open(b.copy.path, O_RDWR);
    for (size_t at = 0; at < bytes; at += at + 24 < bytes ? 131 : 1) {
        char byte, changed;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        changed = (char)(byte ^ (1 << at % 8));
        assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
        assert_no_copy(&b);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    close(fd);
    struct store_state found;
    assert_int_equal(check(&b, &found), 0);
    both_finish(&b);
}

/* Changes a row of the store without telling its digest, as a bad memory would. */
static void row_change(struct place *p, enum kv_table table, struct span key, struct span row)
{
    place_close(p);
    const struct store_options o = {.path = p->path, .map_bytes = GIB, .readers_max = 2};
    struct kv *kv;
    struct kv_txn *t;
    assert_int_equal(kv_lmdb.open(&kv, &o, p->why, sizeof p->why), 0);
    assert_int_equal(kv_lmdb.write_begin(kv, &t), 0);
    assert_int_equal(kv_lmdb.put(t, table, key, row, span(NULL, 0), false), 0);
    assert_int_equal(kv_lmdb.write_commit(t), 0);
    kv_lmdb.close(kv);
    assert_int_equal(place_open(p), 0);
}

static void records_that_the_digest_does_not_know_are_found(void **state)
{
    struct both b = both(state);
    fill(b.p->s, 50);
    row_change(b.p, KV_RECORDS, span("\0\0\0\1\0\0\0\0\0\0\0\7", 12),
               span("\0\0\0\0\0\0\0\15x", 9));
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    assert_no_copy(&b);
    assert_non_null(strstr(b.copy.why, "records"));
    row_change(b.p, KV_RECORDS, span("\0\0\0\1\0\0\0\0\0\0\0\7", 12), span("short", 5));
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    assert_no_copy(&b);
    both_finish(&b);
}

static void what_is_no_copy_is_refused(void **state)
{
    struct both b = both(state);
    struct store_state found;
    assert_int_equal(check(&b, &found), ERR_SYSTEM); /* not there */
    assert_non_null(strstr(b.copy.why, "No such file"));
    file_write(b.copy.path, "", 0);
    assert_no_copy(&b);
    file_write(b.copy.path, "a file of somebody else, of more than a seal", 44);
    assert_no_copy(&b);
    fill(b.p->s, 10);
    place_close(b.p);
    size_t bytes;
    char *content = file_read(b.p->path, &bytes);
    file_write(b.copy.path, content, bytes); /* a store, but no copy */
    free(content);
    assert_no_copy(&b);
    both_finish(&b);
}

static void a_check_changes_nothing_and_makes_no_file(void **state)
{
    struct both b = both(state);
    struct store_state found;
    struct stat before, after;
    fill(b.p->s, 100);
    assert_int_equal(copy_to(b.p->s, b.copy.path), 0);
    assert_int_equal(chmod(b.copy.path, 0400), 0);
    const int files = entries_of(b.p->folder), descriptors = entries_of("/proc/self/fd");
    assert_int_equal(stat(b.copy.path, &before), 0);
    assert_int_equal(check(&b, &found), 0);
    assert_int_equal(stat(b.copy.path, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(entries_of(b.p->folder), files);
    assert_int_equal(entries_of("/proc/self/fd"), descriptors);
    both_finish(&b);
}

static void a_store_is_opened_to_read_only_where_there_is_one(void **state)
{
    struct both b = both(state);
    struct store_options o = {
        .path = b.copy.path, .map_bytes = GIB, .readers_max = 2, .read_only = true};
    struct store *s;
    assert_int_equal(store_open(&s, &o, b.copy.why, sizeof b.copy.why), ERR_SYSTEM);
    assert_int_equal(access(b.copy.path, F_OK), -1);
    file_write(b.copy.path, "", 0);
    assert_int_not_equal(store_open(&s, &o, b.copy.why, sizeof b.copy.why), 0);
    fill(b.p->s, 100);
    place_close(b.p);
    o.path = b.p->path;
    const int files = entries_of(b.p->folder);
    assert_int_equal(store_open(&s, &o, b.copy.why, sizeof b.copy.why), 0);
    struct store_txn *r = snapshot(s);
    assert_counted(r, 90);
    store_reader_destroy(r);
    store_close(s);
    assert_int_equal(entries_of(b.p->folder), files);
    both_finish(&b);
}

#define IN_MEMORY(rule) cmocka_unit_test_setup_teardown(rule, memory_setup, teardown)
#define IN_LMDB(rule)   cmocka_unit_test_setup_teardown(rule, lmdb_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(a_store_in_memory_is_not_copied),
        IN_LMDB(a_copy_has_all_that_the_store_has_and_goes_on_as_one),
        IN_LMDB(a_copy_of_an_empty_store_is_an_empty_store),
        IN_LMDB(a_store_whose_pages_were_freed_and_used_again_is_copied),
        IN_LMDB(a_copy_is_of_one_moment_and_the_writer_goes_on_meanwhile),
        IN_LMDB(a_copy_ends_when_nobody_reads_it_any_more),
        IN_LMDB(a_copy_onto_a_full_disk_says_so_and_is_none),
        IN_LMDB(a_copy_cut_short_is_refused),
        IN_LMDB(one_byte_changed_anywhere_is_found),
        IN_LMDB(records_that_the_digest_does_not_know_are_found),
        IN_LMDB(what_is_no_copy_is_refused),
        IN_LMDB(a_check_changes_nothing_and_makes_no_file),
        IN_LMDB(a_store_is_opened_to_read_only_where_there_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
