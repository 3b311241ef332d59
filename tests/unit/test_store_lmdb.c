/* Rules of the store in a file: opening, damage, a full disk, killed processes, threads. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/kv.h"
#include "store_place.h"

static void reopen(struct place *p)
{
    place_close(p);
    assert_int_equal(place_open(p), 0);
}

/* Records 1 to `records` of 150 bytes, in transactions of ten. */
static void fill(struct store *s, uint64_t records)
{
    struct store_txn *w = begin(s);
    for (uint64_t id = 1; id <= records; id++) {
        put_text(w, "notes", id, id, 150);
        if (id % 10 == 0) {
            commit(w);
            w = begin(s);
        }
    }
    store_state(w)->seq = records;
    commit(w);
}

static void assert_filled(struct store *s, uint64_t records)
{
    struct store_txn *r = snapshot(s);
    assert_counted(r, records);
    store_reader_destroy(r);
}

/* --- The file --- */

static char *file_read(const char *path, size_t *bytes)
{
    struct stat st;
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *content = malloc((size_t)st.st_size);
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

static void assert_refused(struct place *p, int expected)
{
    struct stat before, after;
    assert_int_equal(stat(p->path, &before), 0);
    assert_int_equal(place_open(p), expected);
    assert_true(strlen(p->why) > 10);
    assert_int_equal(stat(p->path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void a_store_reopened_without_sync_keeps_everything(void **state)
{
    struct place *p = *state;
    fill(p->s, 500);
    struct store_txn *w = begin(p->s);
    put(w, "tags", 3, 501, "tag");
    const struct store_key k = {.seq = 501, .time_us = 9, .text = span_of("answer")};
    assert_int_equal(store_key_put(w, span_of("key of it"), &k), 0);
    store_state(w)->applied = 77;
    const struct store_state expected = *store_state(w);
    commit(w);
    reopen(p);
    struct store_txn *r = snapshot(p->s);
    struct store_key found;
    struct store_collection c;
    assert_counted(r, 501);
    assert_int_equal(store_state(r)->applied, 77);
    assert_int_equal(store_state(r)->digest, expected.digest);
    assert_int_equal(store_key_get(r, span_of("key of it"), &found), 0);
    assert_true(span_is(found.text, "answer"));
    assert_int_equal(store_collection_get(r, span_of("tags"), &c), 0);
    assert_int_equal(c.number, 2);
    assert_int_equal(c.next_id, 4);
    store_reader_destroy(r);
    w = begin(p->s);
    assert_int_equal(collection(w, "lists").number, 3);
    commit(w);
    assert_int_equal(store_sync(p->s), 0);
}

static void a_killed_process_loses_no_commit_and_keeps_nothing_else(void **state)
{
    struct place *p = *state;
    place_close(p);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store_txn *w;
        if (place_open(p) == 0) {
            fill(p->s, 200);
            if (store_write_begin(p->s, &w) == 0) {
                put_text(w, "notes", 201, 201, 3000);
            }
        }
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(place_open(p), 0);
    assert_filled(p->s, 200);
    fill(p->s, 210);
    assert_filled(p->s, 210);
}

static void a_truncated_file_is_refused_at_every_page(void **state)
{
    struct place *p = *state;
    fill(p->s, 600);
    struct store_txn *w = begin(p->s);
    put_text(w, "notes", 601, 601, 20000);
    commit(w);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), used = store_bytes(p->s);
    place_close(p);
    size_t bytes;
    char *content = file_read(p->path, &bytes);
    assert_true(used > 30 * page && bytes >= used);
    for (size_t cut = page; cut < used; cut += page) {
        file_write(p->path, content, cut);
        assert_refused(p, ERR_CORRUPT);
        file_write(p->path, content, cut - 100);
        assert_refused(p, ERR_CORRUPT);
    }
    file_write(p->path, content, used); /* and none of it was too much */
    free(content);
    assert_int_equal(place_open(p), 0);
    assert_filled(p->s, 601);
}

static void a_file_without_bytes_is_a_new_store(void **state)
{
    struct place *p = *state;
    fill(p->s, 10);
    place_close(p);
    file_write(p->path, "", 0);
    assert_int_equal(place_open(p), 0);
    assert_filled(p->s, 0);
    fill(p->s, 10);
    assert_filled(p->s, 10);
}

static void garbage_is_refused(void **state)
{
    struct place *p = *state;
    place_close(p);
    char garbage[3 * 4096];
    for (size_t i = 0; i < sizeof garbage; i++) {
        garbage[i] = (char)(i * 2654435761U >> 13);
    }
    static const size_t sizes[] = {1, 100, 4096, 5000, sizeof garbage};
    for (int i = 0; i < 5; i++) {
        file_write(p->path, garbage, sizes[i]);
        assert_refused(p, ERR_CORRUPT);
    }
    memset(garbage, 0, sizeof garbage);
    file_write(p->path, garbage, sizeof garbage);
    assert_refused(p, ERR_CORRUPT);
}

/* The file of another program that keeps its data in LMDB. */
static void a_file_with_other_tables_is_refused(void **state)
{
    struct place *p = *state;
    fill(p->s, 10);
    place_close(p);
    size_t bytes;
    char *content = file_read(p->path, &bytes);
    for (char *at = content; (at = memmem(at, bytes - (size_t)(at - content), "key-ages", 8));) {
        memcpy(at, "key-xxxx", 8);
    }
    file_write(p->path, content, bytes);
    free(content);
    assert_refused(p, ERR_CORRUPT);
    assert_non_null(strstr(p->why, p->path));
}

/* Puts this row in the place of the state row. */
static void state_row_write(struct place *p, struct span row)
{
    place_close(p);
    const struct store_options o = {.path = p->path, .map_bytes = GIB, .readers_max = 2};
    struct kv *kv;
    struct kv_txn *t;
    assert_int_equal(kv_lmdb.open(&kv, &o, p->why, sizeof p->why), 0);
    assert_int_equal(kv_lmdb.write_begin(kv, &t), 0);
    if (row.bytes > 0) {
        assert_int_equal(kv_lmdb.put(t, KV_STATE, span_of("state"), row, span(NULL, 0), false), 0);
    } else {
        assert_int_equal(kv_lmdb.del(t, KV_STATE, span_of("state")), 0);
    }
    assert_int_equal(kv_lmdb.write_commit(t), 0);
    kv_lmdb.close(kv);
}

static void a_newer_format_is_refused_as_such(void **state)
{
    struct place *p = *state;
    state_row_write(p, span("\0\0\0\2and more", 12));
    assert_refused(p, ERR_NEWER);
}

static void a_store_without_a_sound_state_row_is_refused(void **state)
{
    struct place *p = *state;
    fill(p->s, 10);
    state_row_write(p, span("\0\0\0\1short", 9));
    assert_refused(p, ERR_CORRUPT);
    state_row_write(p, span(NULL, 0));
    assert_refused(p, ERR_CORRUPT);
}

static void a_path_that_cannot_be_opened_is_said(void **state)
{
    struct place *p = *state;
    place_close(p);
    struct place no = *p;
    snprintf(no.path, sizeof no.path, "%.60s/no/data", p->folder);
    assert_int_equal(place_open(&no), ERR_SYSTEM);
    assert_non_null(strstr(no.why, "No such file"));
    no = *p;
    snprintf(no.path, sizeof no.path, "%.60s", p->folder);
    assert_int_equal(place_open(&no), ERR_SYSTEM);
    char lock[128];
    snprintf(lock, sizeof lock, "%s-lock", no.path);
    unlink(lock);
}

/* LMDB does not write a page that was made and freed in one transaction; were it the last one, the
 * file would be shorter than its last page says, and refused when next opened. */
static void pages_freed_where_they_were_made_do_not_cut_the_file_short(void **state)
{
    struct place *p = *state;
    for (uint64_t i = 1; i < 40; i++) {
        struct store_txn *w = begin(p->s);
        put_text(w, "notes", 2 * i, i, 150);
        put_text(w, "notes", 2 * i + 1, i,
                 i * 60000); /* more than freed pages can hold, so at the end */
        del(w, "notes", 2 * i + 1);
        commit(w);
        struct stat st;
        assert_int_equal(stat(p->path, &st), 0);
        assert_true((uint64_t)st.st_size >= store_bytes(p->s));
    }
    reopen(p);
    assert_filled(p->s, 39);
}

/* --- A full disk --- */

static void file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A limit on the file's size fails its writes as a full disk does, and needs no root. The first
 * write past it is a short one or none at all: both must be told apart from a broken disk. */
static void a_commit_on_a_full_disk_fails_and_the_store_lives_on(void **state)
{
    struct place *p = *state;
    signal(SIGXFSZ, SIG_IGN);
    fill(p->s, 500);
    for (uint64_t room = 0; room < 40; room++) {
        file_limit(store_bytes(p->s) + room * 1500);
        struct store_txn *w = begin(p->s);
        put_text(w, "notes", 501 + room, 1000 + room, 200 * 1000);
        put(w, "tags", 1, 1, "lost");
        const int rc = store_write_commit(w);
        struct store_txn *r = snapshot(p->s);
        const bool same = store_state(r)->records == 500 + room;
        store_reader_destroy(r);
        file_limit(RLIM_INFINITY);
        assert_int_equal(rc, ERR_DISK_FULL);
        assert_true(same);
        assert_filled(p->s, 500 + room);

        w = begin(p->s); /* the same again, with space */
        put_text(w, "notes", 501 + room, 1000 + room, 200 * 1000);
        commit(w);
        assert_filled(p->s, 501 + room);
    }
    reopen(p);
    assert_filled(p->s, 540);
}

static void pages_in_the_file_are_used_where_the_disk_has_none_left(void **state)
{
    struct place *p = *state;
    signal(SIGXFSZ, SIG_IGN);
    struct store_txn *w = begin(p->s);
    put_text(w, "notes", 1, 1, 4 * MIB);
    commit(w);
    w = begin(p->s);
    del(w, "notes", 1);
    commit(w);
    commit(begin(p->s)); /* only now nobody can see the freed pages */
    file_limit(store_bytes(p->s));
    for (uint64_t id = 2; id < 100; id++) {
        w = begin(p->s);
        put_text(w, "notes", id, id, 10000);
        const int rc = store_write_commit(w);
        if (rc != 0) {
            file_limit(RLIM_INFINITY);
            assert_int_equal(rc, 0);
        }
    }
    file_limit(RLIM_INFINITY);
    assert_filled(p->s, 98);
}

static void a_full_map_is_a_full_disk(void **state)
{
    struct place *p = *state;
    place_close(p);
    const struct store_options small = {.path = p->path, .map_bytes = 2 * MIB, .readers_max = 2};
    assert_int_equal(store_open(&p->s, &small, p->why, sizeof p->why), 0);
    fill(p->s, 100);
    struct store_txn *w = begin(p->s);
    char *text = calloc(1, 3 * MIB);
    assert_non_null(text);
    const struct store_record r = {101, 101, span(text, 3 * MIB)};
    collection(w, "notes");
    assert_int_equal(store_record_put(w, span_of("notes"), 1, &r), ERR_DISK_FULL);
    free(text);
    const struct store_record small_one = {101, 101, span_of("text")};
    assert_int_equal(store_record_put(w, span_of("notes"), 1, &small_one), ERR_DISK_FULL);
    assert_int_equal(store_write_commit(w), ERR_DISK_FULL);
    assert_filled(p->s, 100);
    fill(p->s, 110);
    assert_filled(p->s, 110);
}

/* --- Threads --- */

struct watch {
    struct store *s;
    atomic_bool stop;
    atomic_uint snapshots;
    atomic_uint wrong;
};

static void *watch(void *arg)
{
    struct watch *w = arg;
    struct store_txn *r;
    if (store_reader_create(w->s, &r) != 0) {
        w->wrong++;
        return NULL;
    }
    while (!w->stop) {
        uint64_t digest, records;
        if (store_reader_renew(r) != 0 || store_digest_recompute(r, NULL, &digest, &records) != 0 ||
            digest != store_state(r)->digest || records != store_state(r)->records ||
            records % 7 != 0) {
            w->wrong++;
        }
        store_reader_reset(r);
        w->snapshots++;
    }
    store_reader_destroy(r);
    return NULL;
}

static void a_reading_thread_sees_whole_transactions(void **state)
{
    struct place *p = *state;
    struct watch shared = {.s = p->s};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, watch, &shared), 0);
    }
    uint64_t seq = 0;
    for (int n = 0; n < 200 || (shared.snapshots < 200 && n < 20000); n++) {
        struct store_txn *w = begin(p->s);
        for (int i = 0; i < 7; i++) {
            seq++;
            put_text(w, "notes", n < 100 ? seq : 1 + seq * 31 % 700, seq, 50 + seq % 3000);
        }
        commit(w);
    }
    shared.stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(shared.wrong, 0);
    assert_true(shared.snapshots >= 200);
}

#define RULE(rule) cmocka_unit_test_setup_teardown(rule, lmdb_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(a_store_reopened_without_sync_keeps_everything),
        RULE(a_killed_process_loses_no_commit_and_keeps_nothing_else),
        RULE(a_truncated_file_is_refused_at_every_page),
        RULE(a_file_without_bytes_is_a_new_store),
        RULE(garbage_is_refused),
        RULE(a_file_with_other_tables_is_refused),
        RULE(a_newer_format_is_refused_as_such),
        RULE(a_store_without_a_sound_state_row_is_refused),
        RULE(a_path_that_cannot_be_opened_is_said),
        RULE(pages_freed_where_they_were_made_do_not_cut_the_file_short),
        RULE(a_commit_on_a_full_disk_fails_and_the_store_lives_on),
        RULE(pages_in_the_file_are_used_where_the_disk_has_none_left),
        RULE(a_full_map_is_a_full_disk),
        RULE(a_reading_thread_sees_whole_transactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
