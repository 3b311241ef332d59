/*
 * A primary on the table: its local storage, and what the order thread does to make an entry, but
 * no log and no network. For tests of writes, entries and reads, over both implementations of
 * storage.
 */
#ifndef PRIMARY_H
#define PRIMARY_H

#include "record/execute.h"
#include "record/read.h"
#include "repl/entry.h"
#include "store_place.h"

enum { RECORD_BYTES_MAX = 1000, COLLECTIONS_MAX = 4, KEYS_MAX = 2000, KEYS_BYTES_MAX = 1 << 20 };
#define KEY_WINDOW_US (300 * 1000000ULL)
#define START_US      1700000000000000ULL

struct primary {
    struct store *s;
    struct json *json;
    struct write_batch *batch;
    struct execution x;
    uint64_t now_us; /* the wall clock */
    struct visible visible;
    struct reader *reader;

    struct store_txn *txn; /* NULL: no entry is open */
    struct entry entry;
    struct buf bytes; /* of the entry: room for its head, then effects */
};

/* What a client asks: "METHOD /path", or "METHOD /path PAYLOAD"; what is NULL is not there. */
struct asking {
    const char *what, *payload, *key, *match, *none_match, *type;
};

static inline void primary_init(struct primary *p, struct store *s)
{
    *p = (struct primary){.s = s, .now_us = START_US};
    p->batch = write_batch_create();
    assert_non_null(p->batch);
    assert_int_equal(json_create(&p->json, 1, 64), 0);
    assert_int_equal(reader_create(&p->reader, s, &p->visible), 0);
    p->x = (struct execution){
        .json = p->json,
        .record_bytes_max = RECORD_BYTES_MAX,
        .collections_max = COLLECTIONS_MAX,
        .keys_max = KEYS_MAX,
        .keys_bytes_max = KEYS_BYTES_MAX,
        .key_window_us = KEY_WINDOW_US,
    };
}

static inline void primary_finish(struct primary *p)
{
    store_write_abort(p->txn);
    reader_destroy(p->reader);
    json_destroy(p->json);
    write_batch_destroy(p->batch);
    buf_finish(&p->x.scratch);
    buf_finish(&p->bytes);
}

/* --- One entry --- */

static inline void entry_open(struct primary *p)
{
    static const char head[ENTRY_HEAD_BYTES];
    write_batch_reset(p->batch);
    buf_reset(&p->bytes, SIZE_MAX);
    buf_add(&p->bytes, head, sizeof head);
    assert_int_equal(store_write_begin(p->s, &p->txn), 0);
    const struct store_state *state = store_state(p->txn);
    p->entry = (struct entry){
        .kind = ENTRY_WRITES,
        .epoch = 1,
        .index = state->applied + 1,
        .first_seq = state->seq + 1,
        .time_us = p->now_us > state->time_us ? p->now_us : state->time_us,
    };
    p->x.txn = p->txn;
    p->x.effects = &p->bytes;
    p->x.time_us = p->entry.time_us;
    p->x.first_seq = p->x.seq = p->entry.first_seq;
    p->x.copies = 3;
    p->x.answer_bytes = p->x.patch_work = 0;
    assert_int_equal(keys_expired(&p->x, &p->entry.keys_forgotten), 0);
    if (p->entry.keys_forgotten != 0)
        assert_int_equal(store_keys_forget(p->txn, p->entry.keys_forgotten), 0);
}

static inline void entry_drop(struct primary *p)
{
    store_write_abort(p->txn);
    p->txn = NULL;
}

static inline void entry_seal_and_set(struct primary *p)
{
    struct entry *e = &p->entry;
    e->effects = (uint32_t)(p->x.seq - e->first_seq);
    e->body = span(p->bytes.at + ENTRY_HEAD_BYTES, p->bytes.bytes - ENTRY_HEAD_BYTES);
    entry_seal(e, store_state(p->txn)->chain, p->bytes.at);
    entry_set_state(p->txn, e);
}

/* Commits what was executed, as the next entry; its bytes are then in p->bytes. */
static inline void entry_close(struct primary *p)
{
    entry_seal_and_set(p);
    assert_int_equal(store_write_commit(p->txn), 0);
    p->txn = NULL;
    atomic_store(&p->visible.seq, p->x.seq - 1);
    atomic_store(&p->visible.applied, p->entry.index);
}

/* --- Writes --- */

/* The words of the request but its payload, which begins where *rest says. */
static inline void words_of(const struct asking *a, struct request *rq, struct target *t,
                            const char **rest)
{
    size_t method = strcspn(a->what, " "), path = strcspn(a->what + method + 1, " ");
    request_init(rq);
    rq->method = method_of(span(a->what, method));
    rq->target = span(a->what + method + 1, path);
    rq->media = media_of(span_of(a->type == NULL ? "" : a->type));
    if (a->key != NULL)
        rq->key = span_of(a->key);
    if (a->match != NULL)
        assert_int_equal(condition_parse(span_of(a->match), false, &rq->conditions.match), 0);
    if (a->none_match != NULL)
        assert_int_equal(condition_parse(span_of(a->none_match), true, &rq->conditions.none_match),
                         0);
    target_parse(rq->target, t);
    *rest = a->what + method + 1 + path;
}

/* What the front-end thread does. */
static inline int ask(struct primary *p, const struct asking *a, struct write **w)
{
    struct request rq;
    struct target t;
    const char *payload;
    words_of(a, &rq, &t, &payload);
    if (method_takes_payload(rq.method)) {
        struct json_found found;
        rq.payload = span_of(a->payload != NULL ? a->payload : payload + 1);
        rq.has_payload = true;
        assert_true(json_scan(p->json, rq.payload, true, &found) > 0);
        assert_true(found.type == JSON_OBJECT || payload_is_json_patch(rq.method, rq.media));
    }
    return write_ask(p->batch, &rq, &t, RECORD_BYTES_MAX, w);
}

/* One write of the open entry. */
static inline struct write *execute(struct primary *p, const struct asking *a)
{
    struct write *w;
    assert_int_equal(ask(p, a, &w), 0);
    assert_int_equal(write_execute(&p->x, p->batch, w), 0);
    return w;
}

/* One write that is an entry of its own, if it is not refused. */
static inline struct write *write_alone(struct primary *p, const struct asking *a)
{
    entry_open(p);
    struct write *w = execute(p, a);
    if (p->x.seq != p->entry.first_seq)
        entry_close(p);
    else
        entry_drop(p);
    return w;
}

#define EXECUTE(p, ...) execute(p, &(struct asking){.what = __VA_ARGS__})
#define WRITE(p, ...)   write_alone(p, &(struct asking){.what = __VA_ARGS__})

static inline struct span answer_of(struct primary *p, const struct write *w)
{
    return piece_span(&p->batch->answers, w->body);
}

static inline void assert_answer(struct primary *p, const struct write *w, const char *expected)
{
    struct span answer = answer_of(p, w);
    if (w->code != 0)
        fail_msg("refused: %s, %.*s", err_info(w->code)->word, SPAN_ARGS(answer));
    if (!span_is(answer, expected))
        fail_msg("answered %.*s, expected %s", SPAN_ARGS(answer), expected);
}

/* `detail` NULL: the code's own sentence. */
static inline void assert_refused(struct primary *p, const struct write *w, int code,
                                  const char *detail)
{
    struct span answer = answer_of(p, w);
    if (w->code != code)
        fail_msg("code %d (%s), expected %s", w->code, err_info(w->code)->word,
                 err_info(code)->word);
    if (!span_is(answer, detail == NULL ? "" : detail))
        fail_msg("detail \"%.*s\", expected \"%s\"", SPAN_ARGS(answer),
                 detail == NULL ? "" : detail);
}

/* --- Reads --- */

/* What a reader finds at /name/id: the text, or NULL for nothing. */
static inline void assert_record(struct primary *p, const char *path, const char *expected)
{
    struct target t;
    struct record r = {0};
    target_parse(span_of(path), &t);
    assert_int_equal(t.kind, TARGET_RECORD);
    assert_int_equal(reader_fresh(p->reader), 0);
    int rc = reader_get(p->reader, t.collection, t.id, &r);
    assert_int_equal(rc, expected == NULL ? ERR_NOT_FOUND : 0);
    if (expected != NULL && !span_is(r.text, expected))
        fail_msg("%s is %.*s, expected %s", path, SPAN_ARGS(r.text), expected);
    reader_rest(p->reader);
}

static inline void assert_list(struct primary *p, const char *name, const char *expected)
{
    struct list_cursor c;
    struct buf list = {0};
    assert_int_equal(reader_fresh(p->reader), 0);
    assert_int_equal(reader_list_begin(p->reader, span_of(name), &c), 0);
    assert_int_equal(reader_list_more(p->reader, &c, MIB, &list), 0);
    assert_true(c.done);
    if (!span_is(buf_span(&list), expected))
        fail_msg("list of %s is %.*s, expected %s", name, SPAN_ARGS(buf_span(&list)), expected);
    reader_rest(p->reader);
    buf_finish(&list);
}

/* Position, counters and digest, as committed. */
static inline struct store_state state_of(struct primary *p)
{
    struct store_txn *txn = snapshot(p->s);
    struct store_state state = *store_state(txn);
    store_reader_destroy(txn);
    return state;
}

static inline void assert_unchanged(struct primary *p, const struct store_state *before)
{
    struct store_state now = state_of(p);
    assert_memory_equal(&now, before, sizeof now);
}

/* --- One body of tests for both implementations --- */

struct fixture {
    struct primary primary; /* first: what the tests see */
    void *place;
};

static inline int primary_setup_in(void **state, int (*place_setup)(void **))
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || place_setup(&f->place) != 0)
        return -1;
    primary_init(&f->primary, ((struct place *)f->place)->s);
    *state = f;
    return 0;
}

static inline int primary_in_memory(void **state)
{
    return primary_setup_in(state, memory_setup);
}

static inline int primary_in_lmdb(void **state)
{
    return primary_setup_in(state, lmdb_setup);
}

static inline int primary_teardown(void **state)
{
    struct fixture *f = *state;
    primary_finish(&f->primary);
    teardown(&f->place);
    free(f);
    return 0;
}

#define IN_MEMORY(rule) cmocka_unit_test_setup_teardown(rule, primary_in_memory, primary_teardown),
#define IN_LMDB(rule)   cmocka_unit_test_setup_teardown(rule, primary_in_lmdb, primary_teardown),

#endif
