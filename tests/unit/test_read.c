/* Rules of reads: how fresh a snapshot is, records, and lists in pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <pthread.h>

#include "primary.h"

static void assert_text(struct primary *p, const char *name, uint64_t id, const char *expected)
{
    struct record r = {0};
    assert_int_equal(reader_get(p->reader, span_of(name), id, &r),
                     expected == NULL ? ERR_NOT_FOUND : 0);
    if (expected == NULL)
        return;
    if (!span_is(r.text, expected))
        fail_msg("%s/%d is %.*s, expected %s", name, (int)id, SPAN_ARGS(r.text), expected);
    assert_int_equal(r.id, id);
}

/* --- Snapshots --- */

static void a_read_after_applied_was_raised_sees_the_commit(void **state)
{
    struct primary *p = *state;
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, NULL);
    entry_open(p);
    EXECUTE(p, "POST /notes {\"a\":1}");
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, NULL); /* not committed */
    entry_close(p);
    assert_text(p, "notes", 1, NULL); /* still the snapshot from before */
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, "{\"id\":1,\"a\":1}");
    assert_int_equal(reader_position(p->reader).seq, 1);
}

static void a_snapshot_is_kept_while_nothing_new_is_visible(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    assert_int_equal(reader_fresh(p->reader), 0);
    WRITE(p, "PUT /notes/1 {\"a\":2}");
    atomic_store(&p->visible.applied, 1); /* as before the order thread has told */
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, "{\"id\":1}");
    atomic_store(&p->visible.applied, 2);
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, "{\"id\":1,\"a\":2}");
}

static void after_a_rest_the_snapshot_is_of_now(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, "{\"id\":1}");
    reader_rest(p->reader);
    reader_rest(p->reader);
    WRITE(p, "PUT /notes/1 {\"a\":2}");
    atomic_store(&p->visible.applied, 1);
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_text(p, "notes", 1, "{\"id\":1,\"a\":2}");
}

static void the_position_is_that_of_the_snapshot(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}", .key = "key-0001");
    entry_open(p);
    EXECUTE(p, "POST /tags {}");
    EXECUTE(p, "POST /tags {}");
    entry_close(p);
    assert_int_equal(reader_fresh(p->reader), 0);
    struct reader_position at = reader_position(p->reader);
    struct store_state s = state_of(p);
    assert_int_equal(at.applied, 2);
    assert_int_equal(at.seq, 3);
    assert_int_equal(at.epoch, 1);
    assert_int_equal(at.records, 3);
    assert_int_equal(at.keys, 1);
    assert_int_equal(at.collections, 2);
    assert_true(at.digest == s.digest && s.digest != 0);
}

static void readers_past_the_limit_are_busy(void **state)
{
    struct primary *p = *state;
    struct reader *more[READERS_MAX];
    for (int i = 1; i < READERS_MAX; i++)
        assert_int_equal(reader_create(&more[i], p->s, &p->visible), 0);
    assert_int_equal(reader_create(&more[0], p->s, &p->visible), ERR_BUSY);
    reader_destroy(more[1]);
    assert_int_equal(reader_create(&more[1], p->s, &p->visible), 0);
    for (int i = 1; i < READERS_MAX; i++)
        reader_destroy(more[i]);
    reader_destroy(NULL);
}

/* --- Records --- */

static void a_record_is_found_in_its_own_collection_only(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /a {\"in\":\"a\"}");
    WRITE(p, "POST /ab {\"in\":\"ab\"}");
    WRITE(p, "POST /a {\"in\":\"a\"}");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(reader_fresh(p->reader), 0);
        assert_text(p, "a", 1, "{\"id\":1,\"in\":\"a\"}");
        assert_text(p, "ab", 1, "{\"id\":1,\"in\":\"ab\"}");
        assert_text(p, "abc", 1, NULL);
        assert_text(p, "a", 2, "{\"id\":2,\"in\":\"a\"}");
        assert_text(p, "ab", 2, NULL);
        assert_text(p, "a", 3, NULL);
        assert_text(p, "a", ID_MAX, NULL);
        reader_rest(p->reader);
    }
    assert_int_equal(reader_fresh(p->reader), 0);
    struct record r;
    assert_int_equal(reader_get(p->reader, span_of("ab"), 1, &r), 0);
    assert_int_equal(r.seq, 2);
}

/* --- Lists --- */

static void an_unknown_collection_is_an_empty_list(void **state)
{
    struct primary *p = *state;
    assert_list(p, "notes", "[]");
    WRITE(p, "POST /notes {}");
    WRITE(p, "DELETE /notes/1");
    assert_list(p, "notes", "[]");
    assert_list(p, "tags", "[]");
}

/* Gives a whole list in pieces of so many bytes; returns how many there were. */
static int list_in_pieces(struct primary *p, const char *name, size_t bytes_max, struct buf *list)
{
    struct list_cursor c;
    int pieces = 0;
    buf_reset(list, SIZE_MAX);
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_int_equal(reader_list_begin(p->reader, span_of(name), &c), 0);
    while (!c.done) {
        size_t before = list->bytes;
        assert_int_equal(reader_list_more(p->reader, &c, bytes_max, list), 0);
        assert_true(list->bytes >= before + (c.done ? 1 : bytes_max));
        assert_true(list->bytes < before + bytes_max + 100); /* by one record at most */
        reader_rest(p->reader);
        assert_int_equal(reader_fresh(p->reader), 0);
        pieces++;
    }
    size_t whole = list->bytes;
    assert_int_equal(reader_list_more(p->reader, &c, bytes_max, list), 0);
    assert_int_equal(list->bytes, whole);
    reader_rest(p->reader);
    return pieces;
}

static void a_list_in_pieces_is_the_list_in_one(void **state)
{
    struct primary *p = *state;
    struct buf one = {0}, pieces = {0};
    for (int i = 0; i < 40; i++)
        WRITE(p, "POST /notes {\"text\":\"0123456789012345678901234567890123456789\"}");
    WRITE(p, "DELETE /notes/1");
    WRITE(p, "DELETE /notes/17");
    WRITE(p, "DELETE /notes/40");
    WRITE(p, "POST /zzz {\"another\":\"collection\"}");
    assert_int_equal(list_in_pieces(p, "notes", MIB, &one), 1);
    assert_true(span_is(span(one.at, 9), "[{\"id\":2,"));
    assert_true(span_is(span(one.at + one.bytes - 2, 2), "}]"));
    for (size_t bytes = 1; bytes <= 200; bytes++) {
        list_in_pieces(p, "notes", bytes, &pieces);
        assert_true(span_eq(buf_span(&pieces), buf_span(&one)));
    }
    assert_int_equal(list_in_pieces(p, "unknown", 1, &pieces), 2);
    assert_true(span_is(buf_span(&pieces), "[]"));
    buf_finish(&one);
    buf_finish(&pieces);
}

static void a_list_goes_on_over_what_was_changed_meanwhile(void **state)
{
    struct primary *p = *state;
    struct list_cursor c;
    struct buf list = {0};
    for (int i = 0; i < 6; i++)
        WRITE(p, "POST /notes {}");
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_int_equal(reader_list_begin(p->reader, span_of("notes"), &c), 0);
    assert_int_equal(reader_list_more(p->reader, &c, strlen("[{\"id\":1},{\"id\":2}"), &list), 0);
    assert_true(span_is(buf_span(&list), "[{\"id\":1},{\"id\":2}"));
    WRITE(p, "DELETE /notes/2"); /* the last one given */
    WRITE(p, "DELETE /notes/3"); /* the one that would be next */
    WRITE(p, "PUT /notes/1 {\"late\":1}");
    WRITE(p, "PUT /notes/4 {\"new\":1}");
    WRITE(p, "DELETE /notes/6"); /* the last of all */
    WRITE(p, "POST /notes {}");
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_int_equal(reader_list_more(p->reader, &c, 1, &list), 0);
    assert_true(span_is(buf_span(&list), "[{\"id\":1},{\"id\":2},{\"id\":4,\"new\":1}"));
    WRITE(p, "DELETE /notes/5");
    WRITE(p, "DELETE /notes/7");
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_int_equal(reader_list_more(p->reader, &c, 100, &list), 0);
    assert_true(c.done);
    assert_true(span_is(buf_span(&list), "[{\"id\":1},{\"id\":2},{\"id\":4,\"new\":1}]"));
    buf_finish(&list);
}

static void a_list_without_memory_fails(void **state)
{
    struct primary *p = *state;
    struct list_cursor c;
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /notes {}");
    assert_int_equal(reader_fresh(p->reader), 0);
    const size_t whole = strlen("[{\"id\":1},{\"id\":2}]");
    for (size_t bytes = 1; bytes <= whole; bytes++) {
        struct buf list = {.bytes_max = bytes};
        assert_int_equal(reader_list_begin(p->reader, span_of("notes"), &c), 0);
        assert_int_equal(reader_list_more(p->reader, &c, MIB, &list),
                         bytes < whole ? ERR_NO_MEMORY : 0);
        buf_finish(&list);
    }
}

/* --- With threads, in LMDB only: the store in memory is for one thread --- */

enum { READING_THREADS = 2, COMMITS = 1000 };

struct watch {
    struct primary *p;
    struct reader *reader;
    uint64_t reads, stale, back; /* back: a snapshot older than the one before */
};

/* Each entry adds one record: what is visible says which must be there. */
static void *watch(void *arg)
{
    struct watch *w = arg;
    uint64_t last = 0, told;
    do {
        told = atomic_load_explicit(&w->p->visible.applied, memory_order_acquire);
        struct record r;
        if (reader_fresh(w->reader) != 0)
            break;
        uint64_t at = reader_position(w->reader).applied;
        w->stale += at < told || (told != 0 && reader_get(w->reader, span_of("notes"), told, &r));
        w->back += at < last;
        w->reads++;
        last = at;
        if (w->reads % 7 == 0)
            reader_rest(w->reader);
    } while (told < COMMITS);
    reader_rest(w->reader);
    return NULL;
}

static void every_thread_sees_what_was_told_before_it_read(void **state)
{
    struct primary *p = *state;
    struct watch watches[READING_THREADS] = {0};
    pthread_t threads[READING_THREADS];
    for (int i = 0; i < READING_THREADS; i++) {
        watches[i].p = p;
        assert_int_equal(reader_create(&watches[i].reader, p->s, &p->visible), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, watch, &watches[i]), 0);
    }
    for (int i = 0; i < COMMITS; i++)
        WRITE(p, "POST /notes {\"some\":\"text\"}");
    for (int i = 0; i < READING_THREADS; i++) {
        pthread_join(threads[i], NULL);
        reader_destroy(watches[i].reader);
        assert_int_equal(watches[i].stale, 0);
        assert_int_equal(watches[i].back, 0);
        assert_true(watches[i].reads > 0);
    }
}

#define RULES(X)                                                                                   \
    X(a_read_after_applied_was_raised_sees_the_commit)                                             \
    X(a_snapshot_is_kept_while_nothing_new_is_visible)                                             \
    X(after_a_rest_the_snapshot_is_of_now)                                                         \
    X(the_position_is_that_of_the_snapshot)                                                        \
    X(readers_past_the_limit_are_busy)                                                             \
    X(a_record_is_found_in_its_own_collection_only)                                                \
    X(an_unknown_collection_is_an_empty_list)                                                      \
    X(a_list_in_pieces_is_the_list_in_one)                                                         \
    X(a_list_goes_on_over_what_was_changed_meanwhile)                                              \
    X(a_list_without_memory_fails)

int main(void)
{
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {
        RULES(IN_LMDB) IN_LMDB(every_thread_sees_what_was_told_before_it_read)};
    return cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
