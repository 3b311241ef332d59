/* Random histories of writes: two primaries and two backups, in memory and in LMDB, against a naive
 * model of the contract. All must tell the same after every entry. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <time.h>

#include "primary.h"

enum { NAMES = 3, IDS = 600, KEYS = 12, KEYS_AT_ONCE = 8, ENTRIES = 400, STORES = 2 };

static const char *const names[NAMES] = {"b", "a", "ab"};

struct op {
    enum method method;
    int name;
    uint64_t id; /* 0 with POST */
    int number;
    uint64_t match; /* 0: none */
};

/* {"id":ID,"n":N,"m":M}, M only where it is not 0. */
struct thing {
    uint64_t seq; /* 0: there is none */
    int n, m;
};

struct model {
    uint64_t next_id[NAMES];
    struct thing things[NAMES][IDS + 1];
    struct model_key {
        uint64_t seq, time_us; /* seq 0: not there */
        struct op op;
        char text[80];
    } keys[KEYS];
    int keys_count;
    uint64_t seq;
};

struct expected {
    int code;
    uint64_t seq;
    char text[80];
};

struct trial {
    struct primary primaries[STORES];
    struct store *backups[STORES];
    struct model now, committed;
    uint64_t now_us;
    uint64_t random;
};

/* xorshift64* (Vigna 2016) */
static uint64_t draw(struct trial *t, uint64_t below)
{
    t->random ^= t->random >> 12;
    t->random ^= t->random << 25;
    t->random ^= t->random >> 27;
    return (t->random * 0x2545f4914f6cdd1dU >> 33) % below;
}

/* --- The model: what the contract says, in the simplest way --- */

static void text_of(char to[80], uint64_t id, const struct thing *r)
{
    int used = snprintf(to, 80, "{\"id\":%d,\"n\":%d", (int)id, r->n);
    if (r->m != 0)
        used += snprintf(to + used, 80 - (size_t)used, ",\"m\":%d", r->m);
    snprintf(to + used, 80 - (size_t)used, "}");
}

static bool same_op(const struct op *a, const struct op *b)
{
    return a->method == b->method && a->name == b->name && a->id == b->id &&
           a->number == b->number && a->match == b->match;
}

static void change(struct model *m, const struct op *op, struct expected *e)
{
    uint64_t id = op->method == METHOD_POST ? m->next_id[op->name] : op->id;
    struct thing *r = &m->things[op->name][id];
    e->seq = ++m->seq;
    if (op->method == METHOD_DELETE) {
        text_of(e->text, id, r);
        *r = (struct thing){0};
        return;
    }
    if (op->method == METHOD_PATCH)
        r->m = op->number;
    else
        *r = (struct thing){.n = op->number};
    r->seq = e->seq;
    text_of(e->text, id, r);
    if (op->method == METHOD_POST)
        m->next_id[op->name]++;
}

static struct expected expect(struct trial *t, const struct op *op, int key)
{
    struct model *m = &t->now;
    struct model_key *k = key < 0 ? NULL : &m->keys[key];
    struct expected e = {.seq = m->seq};
    if (k != NULL && k->seq != 0 && !same_op(&k->op, op)) {
        e.code = ERR_KEY_REUSED;
    } else if (k != NULL && k->seq != 0) {
        e.seq = k->seq;
        memcpy(e.text, k->text, sizeof e.text);
    } else if (k != NULL && m->keys_count >= KEYS_AT_ONCE) {
        e.code = ERR_BUSY;
    } else if (op->method != METHOD_POST && m->things[op->name][op->id].seq == 0) {
        e.code = ERR_NOT_FOUND;
    } else if (op->match != 0 && m->things[op->name][op->id].seq != op->match) {
        e.code = ERR_PRECONDITION_FAILED;
    } else {
        change(m, op, &e);
        if (k != NULL) {
            *k = (struct model_key){.seq = e.seq, .time_us = t->now_us, .op = *op};
            memcpy(k->text, e.text, sizeof k->text);
            m->keys_count++;
        }
    }
    return e;
}

static void forget_expired(struct trial *t)
{
    for (int i = 0; i < KEYS; i++) {
        struct model_key *k = &t->now.keys[i];
        if (k->seq != 0 && k->time_us + KEY_WINDOW_US <= t->now_us) {
            k->seq = 0;
            t->now.keys_count--;
        }
    }
}

/* --- One write --- */

static struct op random_op(struct trial *t)
{
    static const enum method methods[] = {METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE};
    struct op op = {.method = methods[draw(t, 4)], .name = (int)draw(t, NAMES)};
    uint64_t next = t->now.next_id[op.name];
    if (next > IDS && op.method == METHOD_POST)
        op.method = METHOD_PUT;
    if (op.method != METHOD_POST) {
        op.id = next > 5 && draw(t, 2) == 0 ? next - draw(t, 5) : 1 + draw(t, next);
        op.id = op.id > IDS ? IDS : op.id;
        if (draw(t, 4) == 0)
            op.match = draw(t, 3) != 0 ? t->now.things[op.name][op.id].seq : 1 + draw(t, 50);
    }
    if (op.method != METHOD_DELETE)
        op.number = (int)draw(t, 1000) - 100;
    return op;
}

static void write_once(struct trial *t)
{
    struct op op = random_op(t);
    int key = draw(t, 3) == 0 ? (int)draw(t, KEYS) : -1;
    if (key >= 0 && t->now.keys[key].seq != 0 && draw(t, 3) != 0)
        op = t->now.keys[key].op; /* a repeat */
    struct expected e = expect(t, &op, key);

    char what[100], match[24], key_text[24];
    int used = snprintf(what, sizeof what, "%s /%s", method_word(op.method), names[op.name]);
    if (op.id != 0)
        used += snprintf(what + used, sizeof what - (size_t)used, "/%d", (int)op.id);
    if (op.method == METHOD_PATCH && op.number == 0)
        snprintf(what + used, sizeof what - (size_t)used, " {\"m\":null}");
    else if (op.method != METHOD_DELETE)
        snprintf(what + used, sizeof what - (size_t)used, " {\"%s\":%d}",
                 op.method == METHOD_PATCH ? "m" : "n", op.number);
    snprintf(match, sizeof match, "\"%d\"", (int)op.match);
    snprintf(key_text, sizeof key_text, "key-%04d", key);
    const struct asking a = {
        .what = what, .match = op.match != 0 ? match : NULL, .key = key >= 0 ? key_text : NULL};
    for (int i = 0; i < STORES; i++) {
        struct primary *p = &t->primaries[i];
        struct write *w = execute(p, &a);
        struct span text = answer_of(p, w);
        if (w->code != e.code || w->seq != e.seq || (e.code == 0 && !span_is(text, e.text)))
            fail_msg("%s, key %d, match %s: code %d, seq %d, %.*s; expected %d, %d, %s", what, key,
                     match, w->code, (int)w->seq, SPAN_ARGS(text), e.code, (int)e.seq, e.text);
    }
}

/* --- Comparing --- */

static void same_states(struct trial *t)
{
    struct store_state first = state_of(&t->primaries[0]);
    assert_int_equal(first.seq, t->committed.seq);
    assert_int_equal(first.keys, t->committed.keys_count);
    assert_unchanged(&t->primaries[1], &first);
    for (int i = 0; i < STORES; i++) {
        struct store_txn *txn = snapshot(t->backups[i]);
        assert_memory_equal(store_state(txn), &first, sizeof first);
        store_reader_destroy(txn);
    }
}

static void same_records(struct trial *t, struct store_txn *txn)
{
    const struct model *m = &t->committed;
    uint64_t count = 0;
    for (int name = 0; name < NAMES; name++) {
        struct store_collection c = {.next_id = 1};
        struct store_record r = {0};
        store_collection_get(txn, span_of(names[name]), &c);
        assert_int_equal(c.next_id, m->next_id[name]);
        for (uint64_t id = 1; id < m->next_id[name]; id++) {
            char text[80];
            if (m->things[name][id].seq == 0)
                continue;
            count++;
            text_of(text, id, &m->things[name][id]);
            assert_int_equal(store_record_next(txn, c.number, r.id, &r), 0);
            assert_int_equal(r.id, id);
            assert_int_equal(r.seq, m->things[name][id].seq);
            assert_true(span_is(r.text, text));
        }
        assert_int_equal(store_record_next(txn, c.number, r.id, &r), ERR_NOT_FOUND);
    }
    assert_counted(txn, count);
}

static void same_keys(struct trial *t, struct store_txn *txn)
{
    for (int i = 0; i < KEYS; i++) {
        const struct model_key *m = &t->committed.keys[i];
        struct store_key k;
        char key[24];
        snprintf(key, sizeof key, "key-%04d", i);
        int rc = store_key_get(txn, span_of(key), &k);
        assert_int_equal(rc, m->seq == 0 ? ERR_NOT_FOUND : 0);
        if (rc != 0)
            continue;
        assert_int_equal(k.seq, m->seq);
        assert_true(k.time_us == m->time_us);
        assert_int_equal(k.method, m->op.method);
        assert_true(span_is(k.collection, names[m->op.name]));
        assert_true(span_is(k.text, m->text));
    }
}

static void same_content(struct trial *t)
{
    for (int i = 0; i < 2 * STORES; i++) {
        struct store *s = i < STORES ? t->primaries[i].s : t->backups[i - STORES];
        struct store_txn *txn = snapshot(s);
        same_records(t, txn);
        same_keys(t, txn);
        store_reader_destroy(txn);
    }
}

/* --- The trial --- */

static void apply_to_backups(struct trial *t)
{
    struct span bytes = buf_span(&t->primaries[0].bytes);
    for (int i = 0; i < STORES; i++) {
        struct store_txn *txn = begin(t->backups[i]);
        struct entry e;
        assert_int_equal(entry_decode(bytes, store_state(txn)->chain, &e), bytes.bytes);
        assert_int_equal(entry_apply(txn, &e), 0);
        commit(txn);
    }
}

static void one_entry(struct trial *t)
{
    bool abort = draw(t, 8) == 0;
    t->now_us += draw(t, KEY_WINDOW_US / 20);
    forget_expired(t);
    for (int i = 0; i < STORES; i++) {
        t->primaries[i].now_us = t->now_us;
        entry_open(&t->primaries[i]);
    }
    for (uint64_t left = draw(t, 20); left > 0; left--)
        write_once(t);
    for (int i = 0; i < STORES; i++)
        if (abort)
            entry_drop(&t->primaries[i]);
        else
            entry_close(&t->primaries[i]);
    if (abort) {
        t->now = t->committed;
        return;
    }
    t->committed = t->now;
    assert_true(span_eq(buf_span(&t->primaries[0].bytes), buf_span(&t->primaries[1].bytes)));
    apply_to_backups(t);
}

static void primaries_backups_and_a_naive_model_tell_the_same(void **state)
{
    struct trial *t = *state;
    for (int n = 0; n < ENTRIES; n++) {
        one_entry(t);
        same_states(t);
        if (n % 10 == 0)
            same_content(t);
    }
    same_content(t);
    assert_true(t->committed.seq > ENTRIES);
}

struct history {
    struct trial trial; /* first: what the test sees */
    void *places[2 * STORES];
};

static int setup(void **state)
{
    struct history *h = calloc(1, sizeof *h);
    struct trial *t = &h->trial;
    for (int i = 0; i < 2 * STORES; i++) {
        if ((i % STORES == 0 ? memory_setup : lmdb_setup)(&h->places[i]) != 0)
            return -1;
        struct store *s = ((struct place *)h->places[i])->s;
        if (i < STORES) {
            primary_init(&t->primaries[i], s);
            t->primaries[i].x.keys_max = KEYS_AT_ONCE;
        } else {
            t->backups[i - STORES] = s;
        }
    }
    for (int i = 0; i < NAMES; i++)
        t->now.next_id[i] = 1;
    t->committed = t->now;
    t->now_us = START_US;
    const char *seed = getenv("NOTED_TEST_SEED");
    t->random = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761U;
    print_message("NOTED_TEST_SEED=%llu\n", (unsigned long long)t->random);
    t->random |= 1; /* never 0 */
    *state = h;
    return 0;
}

static int finish(void **state)
{
    struct history *h = *state;
    for (int i = 0; i < STORES; i++)
        primary_finish(&h->trial.primaries[i]);
    for (int i = 0; i < 2 * STORES; i++)
        teardown(&h->places[i]);
    free(h);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(primaries_backups_and_a_naive_model_tell_the_same, setup,
                                        finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
