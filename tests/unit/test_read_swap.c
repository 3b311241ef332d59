/* Rules of swapping the store under those who read it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

#include "record/read.h"
#include "store/copy.h"
#include "store/slot.h"
#include "store_place.h"

/* A slot and the stores that are made for it; the first one is the place's. */
struct swaps {
    struct place *p;
    struct store_slot slot;
    struct visible visible;
    unsigned made;
};

static void init(struct swaps *x, void **state)
{
    *x = (struct swaps){.p = *state};
    store_slot_init(&x->slot, x->p->s);
    x->p->s = NULL; /* the slot's */
}

static void path_of(const struct swaps *x, unsigned n, const char *end, char to[160])
{
    snprintf(to, 160, "%.60s/store%u%s", x->p->folder, n, end);
}

static void finish(struct swaps *x)
{
    char path[160];
    store_slot_finish(&x->slot);
    for (unsigned n = 1; n <= x->made && x->p->folder[0]; n++) {
        path_of(x, n, "", path);
        unlink(path);
        path_of(x, n, "-lock", path);
        unlink(path);
    }
}

static struct store *store_at(struct swaps *x, unsigned n)
{
    char path[160];
    struct store *s = NULL;
    path_of(x, n, "", path);
    const struct store_options o = {
        .path = x->p->folder[0] ? path : NULL,
        .map_bytes = GIB,
        .readers_max = READERS_MAX,
    };
    assert_int_equal(store_open(&s, &o, x->p->why, sizeof x->p->why), 0);
    return s;
}

static struct store *new_store(struct swaps *x)
{
    return store_at(x, ++x->made);
}

/* One entry: this record; not visible before it is told. */
static void write_one(struct store *s, const char *name, uint64_t id, const char *text)
{
    struct store_txn *w = begin(s);
    const uint64_t n = ++store_state(w)->applied;
    store_state(w)->seq = n;
    put(w, name, id, n, text);
    commit(w);
}

static void tell(struct swaps *x, uint64_t applied)
{
    atomic_store_explicit(&x->visible.applied, applied, memory_order_release);
}

static struct reader *reader_of(struct swaps *x)
{
    struct reader *r;
    assert_int_equal(reader_create_in(&r, &x->slot, &x->visible), 0);
    return r;
}

static void assert_text(struct reader *r, const char *name, uint64_t id, const char *expected)
{
    struct record record = {0};
    assert_int_equal(reader_get(r, span_of(name), id, &record), 0);
    if (!span_is(record.text, expected)) {
        fail_msg("%.*s, expected %s", SPAN_ARGS(record.text), expected);
    }
}

/* Stores of the place's folder that are open: each has its lock file open, under whatever name. */
static int stores_open(const struct swaps *x)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        char target[256] = "";
        if (readlinkat(dirfd(folder), e->d_name, target, sizeof target - 1) > 0) {
            count += strstr(target, x->p->folder) && strstr(target, "-lock");
        }
    }
    closedir(folder);
    return count;
}

/* In memory there is nothing to count: there the sanitizers hold that each store is closed once. */
static void assert_open(const struct swaps *x, int stores)
{
    if (x->p->folder[0]) {
        assert_int_equal(stores_open(x), stores);
    }
}

/* --- Holding --- */

static void a_store_that_nobody_holds_is_closed_by_the_swap(void **state)
{
    struct swaps x;
    init(&x, state);
    struct store *s = store_slot_hold(&x.slot);
    store_slot_release(&x.slot, s);
    struct store *next = new_store(&x);
    assert_open(&x, 2);
    store_slot_swap(&x.slot, next);
    assert_open(&x, 1);
    assert_ptr_equal(store_slot_now(&x.slot), next);
    finish(&x);
    assert_open(&x, 0);
}

static void the_last_one_who_lets_go_closes_the_old_store(void **state)
{
    struct swaps x;
    init(&x, state);
    struct store *first = store_slot_hold(&x.slot);
    assert_ptr_equal(store_slot_hold(&x.slot), first);
    store_slot_swap(&x.slot, new_store(&x));
    struct store *second = store_slot_hold(&x.slot);
    assert_ptr_not_equal(second, first);
    store_slot_swap(&x.slot, new_store(&x));
    assert_open(&x, 3);
    store_slot_release(&x.slot, first);
    assert_open(&x, 3);
    store_reader_destroy(snapshot(first));
    store_slot_release(&x.slot, first);
    assert_open(&x, 2);
    store_slot_release(&x.slot, second);
    assert_open(&x, 1);
    finish(&x);
}

/* --- Readers --- */

static void a_reader_moves_over_before_the_next_request(void **state)
{
    struct swaps x;
    init(&x, state);
    write_one(store_slot_now(&x.slot), "notes", 1, "old");
    tell(&x, 1);
    struct reader *r = reader_of(&x);
    assert_int_equal(reader_fresh(r), 0);
    struct store *next = new_store(&x);
    for (uint64_t id = 1; id <= 5; id++) {
        write_one(next, "notes", id, "new");
    }
    store_slot_swap(&x.slot, next);
    assert_text(r, "notes", 1, "old"); /* what was read lives until then */
    assert_open(&x, 2);
    assert_int_equal(reader_fresh(r), 0);
    assert_text(r, "notes", 1, "new"); /* before anything is told, too */
    assert_text(r, "notes", 5, "new");
    assert_int_equal(reader_position(r).applied, 5);
    assert_open(&x, 1);
    tell(&x, 5);
    assert_int_equal(reader_fresh(r), 0);
    assert_int_equal(reader_position(r).applied, 5);
    write_one(next, "notes", 6, "newer");
    tell(&x, 6);
    assert_int_equal(reader_fresh(r), 0);
    assert_text(r, "notes", 6, "newer");
    reader_destroy(r);
    finish(&x);
}

static void a_reader_moves_over_where_the_positions_are_equal_or_lower(void **state)
{
    struct swaps x;
    init(&x, state);
    write_one(store_slot_now(&x.slot), "notes", 1, "first");
    write_one(store_slot_now(&x.slot), "notes", 1, "old");
    tell(&x, 2);
    struct reader *r = reader_of(&x);
    assert_int_equal(reader_fresh(r), 0);
    struct store *same = new_store(&x), *lower = new_store(&x);
    write_one(same, "notes", 1, "first");
    write_one(same, "notes", 1, "same");
    write_one(lower, "notes", 1, "lower");
    store_slot_swap(&x.slot, same);
    assert_int_equal(reader_fresh(r), 0);
    assert_text(r, "notes", 1, "same");
    store_slot_swap(&x.slot, lower);
    assert_int_equal(reader_fresh(r), 0);
    assert_text(r, "notes", 1, "lower");
    assert_int_equal(reader_position(r).applied, 1);
    assert_open(&x, 1);
    reader_destroy(r);
    finish(&x);
}

static void a_resting_reader_lets_the_old_store_go(void **state)
{
    struct swaps x;
    init(&x, state);
    struct reader *idle = reader_of(&x), *busy = reader_of(&x);
    assert_int_equal(reader_fresh(busy), 0);
    store_slot_swap(&x.slot, new_store(&x));
    assert_open(&x, 2);
    reader_rest(idle);
    reader_rest(idle);
    assert_open(&x, 2);
    reader_rest(busy);
    assert_open(&x, 1);
    store_slot_swap(&x.slot, new_store(&x)); /* twice without a request between */
    reader_rest(idle);
    assert_open(&x, 1);
    write_one(store_slot_now(&x.slot), "notes", 1, "new");
    assert_int_equal(reader_fresh(idle), 0);
    assert_text(idle, "notes", 1, "new");
    reader_destroy(idle);
    reader_destroy(busy);
    finish(&x);
}

static void a_reader_that_is_destroyed_lets_the_old_store_go(void **state)
{
    struct swaps x;
    init(&x, state);
    struct reader *r = reader_of(&x);
    assert_int_equal(reader_fresh(r), 0);
    store_slot_swap(&x.slot, new_store(&x));
    reader_destroy(r);
    assert_open(&x, 1);
    finish(&x);
}

static void numbers_of_collections_are_forgotten(void **state)
{
    struct swaps x;
    init(&x, state);
    write_one(store_slot_now(&x.slot), "notes", 1, "note");
    struct reader *r = reader_of(&x);
    assert_int_equal(reader_fresh(r), 0);
    assert_text(r, "notes", 1, "note");
    struct store *next = new_store(&x);
    write_one(next, "tags", 1, "tag");
    write_one(next, "notes", 1, "new note");
    store_slot_swap(&x.slot, next);
    assert_int_equal(reader_fresh(r), 0);
    assert_text(r, "notes", 1, "new note");
    reader_destroy(r);
    finish(&x);
}

static void a_reader_that_finds_no_place_tries_again(void **state)
{
    struct swaps x;
    init(&x, state);
    struct reader *r = reader_of(&x);
    assert_int_equal(reader_fresh(r), 0);
    struct store *next = new_store(&x);
    struct store_txn *others[READERS_MAX];
    for (int i = 0; i < READERS_MAX; i++) {
        others[i] = snapshot(next);
    }
    store_slot_swap(&x.slot, next);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(reader_fresh(r), ERR_BUSY);
        reader_rest(r);
    }
    struct reader *more;
    assert_int_equal(reader_create_in(&more, &x.slot, &x.visible), ERR_BUSY);
    assert_open(&x, 1);
    store_reader_destroy(others[0]);
    assert_int_equal(reader_fresh(r), 0);
    for (int i = 1; i < READERS_MAX; i++) {
        store_reader_destroy(others[i]);
    }
    reader_destroy(r);
    finish(&x);
}

/* A list that began in one store goes on in its copy with more in it. */
static void a_list_goes_on_over_a_swap(void **state)
{
    struct swaps x;
    init(&x, state);
    struct store *next = new_store(&x);
    for (uint64_t id = 1; id <= 3; id++) {
        write_one(store_slot_now(&x.slot), "notes", id, "old");
        write_one(next, "notes", id, "new");
    }
    write_one(next, "notes", 4, "new");
    struct reader *r = reader_of(&x);
    struct list_cursor c;
    struct buf list = {0};
    assert_int_equal(reader_fresh(r), 0);
    assert_int_equal(reader_list_begin(r, span_of("notes"), &c), 0);
    assert_int_equal(reader_list_more(r, &c, strlen("[old,old"), &list), 0);
    reader_rest(r);
    store_slot_swap(&x.slot, next);
    assert_int_equal(reader_fresh(r), 0);
    assert_int_equal(reader_list_more(r, &c, 100, &list), 0);
    assert_true(span_is(buf_span(&list), "[old,old,new,new]"));
    buf_finish(&list);
    reader_destroy(r);
    finish(&x);
}

/* --- With threads, in LMDB only: copies, put in place of what they were copied from --- */

enum { READING_THREADS = 3, SWAPS = 60, COMMITS_BETWEEN = 5 };

struct watch {
    struct swaps *x;
    struct reader *reader;
    uint64_t last; /* the position at which it ends */
    uint64_t reads, stale, back, failed;
};

/* Each entry adds one record: what is visible says which must be there. */
static void *watch(void *arg)
{
    struct watch *w = arg;
    uint64_t before = 0, told;
    do {
        told = atomic_load_explicit(&w->x->visible.applied, memory_order_acquire);
        struct record r;
        if (reader_fresh(w->reader) != 0) {
            w->failed++;
            break;
        }
        const uint64_t at = reader_position(w->reader).applied;
        w->stale += at < told || (told != 0 && (reader_get(w->reader, span_of("notes"), told, &r) ||
                                                r.seq != told || !span_is(r.text, "text")));
        w->back += at < before;
        w->reads++;
        before = at;
        if (w->reads % 7 == 0) {
            reader_rest(w->reader);
        }
    } while (told < w->last);
    reader_rest(w->reader);
    return NULL;
}

/* Makes a copy, checks and opens it, adds an entry to it, and gives it the name of the one in use,
 * as a backup does with a copy that it got. */
static uint64_t swap_for_copy(struct swaps *x, uint64_t applied)
{
    char path[160], name[160];
    struct store_state found;
    path_of(x, 1, "", path);
    path_of(x, 2, "", name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(store_copy(store_slot_now(&x->slot), fd), 0);
    close(fd);
    assert_int_equal(store_copy_check(path, NULL, &found, x->p->why, sizeof x->p->why), 0);
    assert_int_equal(found.applied, applied);
    struct store *next = store_at(x, 1);
    write_one(next, "notes", applied + 1, "text");
    assert_int_equal(rename(path, name), 0); /* over the old one, which is in use */
    store_slot_swap(&x->slot, next);
    return applied + 1;
}

static void reading_threads_move_over_and_see_what_was_told(void **state)
{
    struct swaps x;
    init(&x, state);
    x.made = 2;
    struct watch watches[READING_THREADS];
    pthread_t threads[READING_THREADS];
    const uint64_t last = SWAPS * (COMMITS_BETWEEN + 1);
    for (int i = 0; i < READING_THREADS; i++) {
        watches[i] = (struct watch){.x = &x, .reader = reader_of(&x), .last = last};
        assert_int_equal(pthread_create(&threads[i], NULL, watch, &watches[i]), 0);
    }
    struct reader *idle = reader_of(&x);
    uint64_t applied = 0;
    for (int i = 0; i < SWAPS; i++) {
        for (int n = 0; n < COMMITS_BETWEEN; n++) {
            write_one(store_slot_now(&x.slot), "notes", ++applied, "text");
            tell(&x, applied);
        }
        applied = swap_for_copy(&x, applied);
        tell(&x, applied);
        reader_rest(idle);
    }
    for (int i = 0; i < READING_THREADS; i++) {
        pthread_join(threads[i], NULL);
        reader_destroy(watches[i].reader);
        assert_int_equal(watches[i].failed, 0);
        assert_int_equal(watches[i].stale, 0);
        assert_int_equal(watches[i].back, 0);
        assert_true(watches[i].reads > 0);
    }
    assert_open(&x, 1);
    reader_destroy(idle);
    struct store_txn *r = snapshot(store_slot_now(&x.slot));
    assert_counted(r, last);
    store_reader_destroy(r);
    finish(&x);
}

#define RULES(X)                                                                                   \
    X(a_store_that_nobody_holds_is_closed_by_the_swap)                                             \
    X(the_last_one_who_lets_go_closes_the_old_store)                                               \
    X(a_reader_moves_over_before_the_next_request)                                                 \
    X(a_reader_moves_over_where_the_positions_are_equal_or_lower)                                  \
    X(a_resting_reader_lets_the_old_store_go)                                                      \
    X(a_reader_that_is_destroyed_lets_the_old_store_go)                                            \
    X(numbers_of_collections_are_forgotten)                                                        \
    X(a_reader_that_finds_no_place_tries_again)                                                    \
    X(a_list_goes_on_over_a_swap)

#define IN_MEMORY(rule) cmocka_unit_test_setup_teardown(rule, memory_setup, teardown),
#define IN_LMDB(rule)   cmocka_unit_test_setup_teardown(rule, lmdb_setup, teardown),

int main(void)
{
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {
        RULES(IN_LMDB) IN_LMDB(reading_threads_move_over_and_see_what_was_told)};
    return cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
