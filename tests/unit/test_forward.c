/* Rules of writes on their way from a backup to the primary and of their answers: the primary gets
 * what the client asked of the backup, judges it again, and the backup gets what became of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "guard.h"
#include "primary.h"
#include "repl/forward.h"

static const struct asking askings[] = {
    {.what = "POST /notes {\"title\":\"a\"}"},
    {.what = "POST /notes { \"title\" : \"b\", \"n\":[1, 2.50] } ", .key = "key-0001"},
    {.what = "POST /n {}", .none_match = "*"},
    {.what = "PUT /notes/7 {\"id\":7,\"title\":\"제목 \\u00e9\"}", .key = "열쇠-한글-0002"},
    {.what = "PUT /notes/9223372036854775807 {}", .match = "1,22,333"},
    {.what = "PUT /notes/1 {\"a\":{\"b\":null}}", .type = "application/json-patch+json"},
    {.what = "PATCH /a-b_c9/12 {\"a\":null}",
     .type = "application/merge-patch+json",
     .key = "key-0003",
     .match = "*",
     .none_match = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,18446744073709551615"},
    {.what = "PATCH /notes/8 {\"이름\":\"값\"}", .match = "\"abc\"", .none_match = "W/\"5\""},
    {.what = "PATCH /notes/9 [{\"op\": \"remove\", \"path\": \"/값\"}]",
     .type = "application/json-patch+json"},
    {.what = "DELETE /notes/3",
     .key = "key 0004 with spaces, and \"quotes\" and at most 64 bytes....."},
    {.what = "DELETE /notes/4", .match = "5", .type = "text/plain"},
};
enum { ASKINGS = sizeof askings / sizeof *askings };

static void ask_all(struct primary *p)
{
    struct write *w;
    write_batch_reset(p->batch);
    for (size_t i = 0; i < ASKINGS; i++)
        assert_int_equal(ask(p, &askings[i], &w), 0);
}

static int decode(struct primary *p, struct span from, uint32_t count, struct write_batch *to)
{
    write_batch_reset(to);
    return forward_decode(from, count, p->json, RECORD_BYTES_MAX, to);
}

static void assert_same_piece(const struct write_batch *a, struct piece in_a,
                              const struct write_batch *b, struct piece in_b)
{
    struct span of_a = piece_span(&a->asked, in_a), of_b = piece_span(&b->asked, in_b);
    if (!span_eq(of_a, of_b))
        fail_msg("found %.*s, expected %.*s", SPAN_ARGS(of_b), SPAN_ARGS(of_a));
}

static void assert_same_condition(const struct condition *a, const struct condition *b)
{
    assert_int_equal(a->kind, b->kind);
    if (a->kind != CONDITION_TAGS)
        return;
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->tags, b->tags, a->count * sizeof *a->tags);
}

static void assert_same_write(const struct write_batch *a, const struct write_batch *b, unsigned i)
{
    const struct write *x = &a->writes[i], *y = &b->writes[i];
    assert_int_equal(x->method, y->method);
    assert_int_equal(x->media, y->media);
    assert_true(x->id == y->id);
    assert_same_piece(a, x->collection, b, y->collection);
    assert_same_piece(a, x->key, b, y->key);
    assert_same_piece(a, x->payload, b, y->payload);
    assert_true(x->fingerprint[0] == y->fingerprint[0] && x->fingerprint[1] == y->fingerprint[1]);
    assert_int_equal(x->has_conditions, y->has_conditions);
    if (!x->has_conditions)
        return;
    struct conditions of_x, of_y;
    memcpy(&of_x, a->asked.at + x->conditions_at, sizeof of_x);
    memcpy(&of_y, b->asked.at + y->conditions_at, sizeof of_y);
    assert_same_condition(&of_x.match, &of_y.match);
    assert_same_condition(&of_x.none_match, &of_y.none_match);
}

/* --- Writes --- */

static void a_write_has_the_bytes_of_the_header(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct write *w;
    static const char expected[] =
        "\x03\x00\x02\x08\x07\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00"
        "\x02\x02\x05\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00"
        "\x00\x00\x01\x00"
        "abkey-0001{\"a\":1}";
    const struct asking a = {
        .what = "PUT /ab/12 {\"a\":1}", .key = "key-0001", .match = "5,6", .none_match = "*"};
    assert_int_equal(ask(p, &a, &w), 0);
    forward_encode(&b, p->batch);
    assert_int_equal(b.bytes, sizeof expected - 1);
    assert_memory_equal(b.at, expected, b.bytes);
    buf_finish(&b);
}

static void the_primary_gets_what_was_asked_of_the_backup(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct write_batch *d = write_batch_create();
    ask_all(p);
    forward_encode(&b, p->batch);
    assert_int_equal(decode(p, buf_span(&b), ASKINGS, d), 0);
    assert_int_equal(d->count, ASKINGS);
    for (unsigned i = 0; i < ASKINGS; i++) {
        const char *path = strchr(askings[i].what, ' ') + 1;
        assert_same_write(p->batch, d, i);
        struct span target = piece_span(&d->asked, d->writes[i].target);
        assert_true(span_eq(target, span(path, strcspn(path, " "))));
        assert_true(askings[i].key == NULL || d->writes[i].fingerprint[0] != 0);
    }
    write_batch_destroy(d);
    buf_finish(&b);
}

static void a_full_batch_of_the_largest_writes_comes_through(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    char what[RECORD_BYTES_MAX + 200], tags[16 * 21 + 1] = "", key[KEY_BYTES_MAX + 1];
    struct write_batch *d = write_batch_create();
    for (int i = 0; i < 16; i++)
        strcat(tags, &",18446744073709551615"[i == 0]);
    memset(key, 'k', KEY_BYTES_MAX);
    key[KEY_BYTES_MAX] = '\0';
    snprintf(what, sizeof what, "PATCH /%063d/9223372036854775807 {\"a\":\"%0*d\"}", 0,
             RECORD_BYTES_MAX - 8, 0);
    memset(what + 7, 'n', 63);
    for (unsigned i = 0; i < BATCH_WRITES_MAX; i++) {
        struct write *w;
        const struct asking a = {.what = what, .key = key, .match = tags, .none_match = tags};
        assert_int_equal(ask(p, &a, &w), 0);
    }
    forward_encode(&b, p->batch);
    assert_int_equal(decode(p, buf_span(&b), BATCH_WRITES_MAX, d), 0);
    for (unsigned i = 0; i < BATCH_WRITES_MAX; i++)
        assert_same_write(p->batch, d, i);
    write_batch_destroy(d);
    buf_finish(&b);
}

static void writes_cut_anywhere_are_refused(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct guard g = guard_create(8000);
    struct write_batch *d = write_batch_create();
    ask_all(p);
    forward_encode(&b, p->batch);
    for (size_t bytes = 0; bytes < b.bytes; bytes++)
        assert_int_equal(decode(p, guard_copy(&g, span(b.at, bytes)), ASKINGS, d), ERR_BAD_REQUEST);
    assert_int_equal(decode(p, guard_copy(&g, buf_span(&b)), ASKINGS, d), 0);
    assert_int_equal(decode(p, span(NULL, 0), 1, d), ERR_BAD_REQUEST);
    guard_destroy(&g);
    write_batch_destroy(d);
    buf_finish(&b);
}

static void the_count_is_that_of_the_writes(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct write_batch *d = write_batch_create();
    ask_all(p);
    forward_encode(&b, p->batch);
    static const uint32_t bad[] = {
        0, 1, ASKINGS - 1, ASKINGS + 1, BATCH_WRITES_MAX, BATCH_WRITES_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(decode(p, buf_span(&b), bad[i], d), ERR_BAD_REQUEST);
    write_batch_destroy(d);
    buf_finish(&b);
}

/* Whatever byte is changed: the writes are refused, or what comes out would go on its way with the
 * same bytes, but for white space and "id" in a payload. */
static void a_changed_write_is_refused_or_another_write(void **state)
{
    struct primary *p = *state;
    struct buf b = {0}, again = {0};
    struct write_batch *d = write_batch_create(), *e = write_batch_create();
    ask_all(p);
    forward_encode(&b, p->batch);
    for (size_t i = 0; i < b.bytes; i++)
        for (int change = 1; change < 256; change++) {
            b.at[i] = (char)(b.at[i] ^ change);
            int rc = decode(p, buf_span(&b), ASKINGS, d);
            b.at[i] = (char)(b.at[i] ^ change);
            if (rc == ERR_BAD_REQUEST)
                continue;
            assert_int_equal(rc, 0);
            buf_reset(&again, SIZE_MAX);
            forward_encode(&again, d);
            assert_true(again.bytes <= b.bytes);
            assert_int_equal(decode(p, buf_span(&again), ASKINGS, e), 0);
            for (unsigned k = 0; k < ASKINGS; k++)
                assert_same_write(d, e, k);
        }
    write_batch_destroy(e);
    write_batch_destroy(d);
    buf_finish(&again);
    buf_finish(&b);
}

/* --- What no server forwards --- */

/* What is NULL: no conditions, "notes", no key, no payload. */
struct forged {
    unsigned method, media;
    uint64_t id;
    const char *conditions;
    size_t conditions_bytes;
    const char *name, *key, *payload;
};
#define FORGED(...)                                                                                \
    &(struct forged)                                                                               \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static int decode_forged(struct primary *p, const struct forged *f)
{
    struct span name = span_of(f->name == NULL ? "notes" : f->name);
    struct span key = span_of(f->key == NULL ? "" : f->key);
    struct span payload = span_of(f->payload == NULL ? "" : f->payload);
    char head[16] = {(char)f->method, (char)f->media, (char)name.bytes, (char)key.bytes};
    struct buf b = {0};
    struct write_batch *d = write_batch_create();
    put_u32(head + 4, (uint32_t)payload.bytes);
    put_u64(head + 8, f->id);
    buf_add(&b, head, sizeof head);
    buf_add(&b, f->conditions == NULL ? "\0\0\0" : f->conditions,
            f->conditions == NULL ? 4 : f->conditions_bytes);
    buf_add_span(&b, name);
    buf_add_span(&b, key);
    buf_add_span(&b, payload);
    int rc = decode(p, buf_span(&b), 1, d);
    write_batch_destroy(d);
    buf_finish(&b);
    return rc;
}

static void assert_forged(struct primary *p, int expected, const struct forged *f)
{
    int rc = decode_forged(p, f);
    if (rc != expected)
        fail_msg("method %u, media %u, name %s, id %llu, key %s, payload %s: %d, expected %d",
                 f->method, f->media, f->name, (unsigned long long)f->id, f->key, f->payload, rc,
                 expected);
}

static void only_methods_that_write_are_forwarded(void **state)
{
    struct primary *p = *state;
    for (unsigned method = 0; method < 256; method++) {
        bool writes = method >= METHOD_POST && method <= METHOD_DELETE;
        assert_forged(p, writes ? 0 : ERR_BAD_REQUEST,
                      FORGED(.method = method, .id = method != METHOD_POST,
                             .payload = method != METHOD_DELETE ? "{}" : ""));
    }
}

static void media_that_front_ends_refuse_are_not_forwarded(void **state)
{
    struct primary *p = *state;
    for (unsigned media = 0; media < 256; media++) {
        int known = media <= MEDIA_OTHER ? 0 : ERR_BAD_REQUEST;
        int json = media < MEDIA_OTHER ? 0 : ERR_BAD_REQUEST;
        int patch = media < MEDIA_JSON_PATCH ? 0 : ERR_BAD_REQUEST;
        assert_forged(p, known, FORGED(.method = METHOD_DELETE, .media = media, .id = 1));
        assert_forged(p, json, FORGED(.method = METHOD_POST, .media = media, .payload = "{}"));
        assert_forged(p, patch,
                      FORGED(.method = METHOD_PATCH, .media = media, .id = 1, .payload = "{}"));
        assert_forged(p, media == MEDIA_JSON_PATCH ? 0 : ERR_BAD_REQUEST,
                      FORGED(.method = METHOD_PATCH, .media = media, .id = 1, .payload = "[]"));
    }
}

static void a_new_record_has_no_id_and_others_have_one(void **state)
{
    struct primary *p = *state;
    static const uint64_t good[] = {1, 7, ID_MAX}, bad[] = {0, ID_MAX + 1, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        assert_forged(p, ERR_BAD_REQUEST,
                      FORGED(.method = METHOD_POST, .id = good[i], .payload = "{}"));
        assert_forged(p, 0, FORGED(.method = METHOD_PUT, .id = good[i], .payload = "{}"));
        assert_forged(p, ERR_BAD_REQUEST,
                      FORGED(.method = METHOD_PUT, .id = bad[i], .payload = "{}"));
        assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_DELETE, .id = bad[i]));
    }
}

static void a_collection_is_named_as_in_a_path(void **state)
{
    struct primary *p = *state;
    static const char *const bad[] = {
        "",        "Notes",
        "1",       "_status",
        "a/b",     "a/7",
        "notes/7", "a?",
        "a?b=c",   "/a",
        "/",       "?",
        "a ",      "a%20",
        "노트",    "a\x01",
        "a/",      "-a",
        ".",       "a1234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_forged(p, ERR_BAD_REQUEST,
                      FORGED(.method = METHOD_POST, .name = bad[i], .payload = "{}"));
        assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_DELETE, .name = bad[i], .id = 7));
    }
    assert_forged(
        p, 0,
        FORGED(.method = METHOD_DELETE, .id = 7,
               .name = "a12345678901234567890123456789012345678901234567890123456789012"));
}

static void a_key_is_one_that_a_client_may_send(void **state)
{
    struct primary *p = *state;
    static const char *const bad[] = {
        "1234567", "1234567\n", "12345678\x7f",
        "12345678901234567890123456789012345678901234567890123456789012345"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_DELETE, .id = 7, .key = bad[i]));
    assert_forged(p, 0, FORGED(.method = METHOD_DELETE, .id = 7, .key = "12345678"));
}

static void a_payload_is_an_object_within_the_limit(void **state)
{
    struct primary *p = *state;
    static const char *const bad[] = {"",
                                      " ",
                                      "[]",
                                      "1",
                                      "null",
                                      "\"{}\"",
                                      "{",
                                      "{}}",
                                      "{} {}",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"id\":8}",
                                      "{\"id\":\"7\"}"};
    char large[RECORD_BYTES_MAX + 2];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_PUT, .id = 7, .payload = bad[i]));
    snprintf(large, sizeof large, "{\"a\":\"%0*d\"}", RECORD_BYTES_MAX - 8, 0);
    assert_forged(p, 0, FORGED(.method = METHOD_PUT, .id = 7, .payload = large));
    snprintf(large, sizeof large, "{\"a\":\"%0*d\"}", RECORD_BYTES_MAX - 7, 0);
    assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_PUT, .id = 7, .payload = large));
    assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_POST, .payload = "{\"id\":1}"));
    assert_forged(p, ERR_BAD_REQUEST, FORGED(.method = METHOD_DELETE, .id = 7, .payload = "{}"));
}

static void a_condition_has_a_known_kind_and_as_many_tags_as_it_may(void **state)
{
    struct primary *p = *state;
    static const char zeros[2 + 8 * 17 + 2];
    for (int second = 0; second <= 1; second++)
        for (int kind = 0; kind <= 3; kind++)
            for (int count = 0; count <= 17; count++) {
                char bytes[sizeof zeros];
                memcpy(bytes, zeros, sizeof bytes);
                bytes[second * 2] = (char)kind;
                bytes[second * 2 + 1] = (char)count;
                bool good =
                    kind == CONDITION_TAGS ? count >= 1 && count <= 16 : kind < 2 && count == 0;
                assert_forged(p, good ? 0 : ERR_BAD_REQUEST,
                              FORGED(.method = METHOD_DELETE, .id = 7, .conditions = bytes,
                                     .conditions_bytes = 4 + 8 * (size_t)count));
            }
}

/* With every amount of room from nothing to enough. */
static void without_memory_writes_are_not_half_taken(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct write_batch *d = write_batch_create();
    ask_all(p);
    forward_encode(&b, p->batch);
    int rc = ERR_NO_MEMORY;
    for (size_t room = 1; rc != 0; room++) {
        d->asked.bytes_max = room;
        rc = decode(p, buf_span(&b), ASKINGS, d);
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
    }
    for (unsigned i = 0; i < ASKINGS; i++)
        assert_same_write(p->batch, d, i);
    write_batch_destroy(d);
    buf_finish(&b);
}

/* --- Answers --- */

/* As many writes as there are errors, each with another answer; the first is a success. */
static void answer_all(struct primary *p)
{
    struct write *w;
    write_batch_reset(p->batch);
    for (int i = 0; i < ERR_COUNT_; i++) {
        assert_int_equal(ask(p, &(struct asking){.what = "POST /notes {}"}, &w), 0);
        w->code = -i;
        w->has_seq = i % 2 == 0;
        w->seq = i % 2 == 0 ? UINT64_MAX - (uint64_t)i : 0;
        w->answered_id = (uint64_t)i * 1000;
        w->copies = (uint32_t)i;
        w->body = piece_add(&p->batch->answers, span("{\"id\":1,\"값\":2}", (size_t)i % 17));
    }
}

/* The same writes, unanswered. */
static struct write_batch *unanswered(struct primary *p)
{
    struct write_batch *d = write_batch_create();
    struct buf b = {0};
    forward_encode(&b, p->batch);
    assert_int_equal(decode(p, buf_span(&b), p->batch->count, d), 0);
    buf_finish(&b);
    return d;
}

static void an_answer_has_the_bytes_of_the_header(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct write *w;
    static const char expected[] =
        "\x0a\x00\x01\x00\x05\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00"
        "\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00"
        "where";
    assert_int_equal(ask(p, &(struct asking){.what = "POST /notes {}"}, &w), 0);
    w->code = ERR_NOT_FOUND;
    w->has_seq = true;
    w->seq = 258;
    w->answered_id = 3;
    w->copies = 4;
    w->body = piece_add(&p->batch->answers, span_of("where"));
    answers_encode(&b, p->batch);
    assert_int_equal(b.bytes, sizeof expected - 1);
    assert_memory_equal(b.at, expected, b.bytes);
    buf_finish(&b);
}

static void the_backup_gets_what_became_of_its_writes(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    answer_all(p);
    struct write_batch *d = unanswered(p);
    d->writes[3].given_up = true;
    answers_encode(&b, p->batch);
    assert_int_equal(answers_decode(buf_span(&b), d->count, d), 0);
    for (unsigned i = 0; i < d->count; i++) {
        const struct write *x = &p->batch->writes[i], *y = &d->writes[i];
        assert_int_equal(x->code, y->code);
        assert_int_equal(x->has_seq, y->has_seq);
        assert_true(x->seq == y->seq && x->answered_id == y->answered_id);
        assert_int_equal(x->copies, y->copies);
        assert_true(
            span_eq(piece_span(&p->batch->answers, x->body), piece_span(&d->answers, y->body)));
    }
    assert_true(d->writes[3].given_up); /* the front end's own is left alone */
    write_batch_destroy(d);
    buf_finish(&b);
}

static void answers_cut_anywhere_or_of_another_batch_are_refused(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct guard g = guard_create(8000);
    answer_all(p);
    struct write_batch *d = unanswered(p);
    answers_encode(&b, p->batch);
    for (size_t bytes = 0; bytes < b.bytes; bytes++)
        assert_int_equal(answers_decode(guard_copy(&g, span(b.at, bytes)), d->count, d),
                         ERR_BAD_REQUEST);
    assert_int_equal(answers_decode(guard_copy(&g, buf_span(&b)), d->count - 1, d),
                     ERR_BAD_REQUEST);
    assert_int_equal(answers_decode(guard_copy(&g, buf_span(&b)), d->count + 1, d),
                     ERR_BAD_REQUEST);
    d->count--;
    assert_int_equal(answers_decode(guard_copy(&g, buf_span(&b)), d->count + 1, d),
                     ERR_BAD_REQUEST);
    d->count++;
    buf_add_char(&b, '\0');
    assert_int_equal(answers_decode(guard_copy(&g, buf_span(&b)), d->count, d), ERR_BAD_REQUEST);
    guard_destroy(&g);
    write_batch_destroy(d);
    buf_finish(&b);
}

static void an_answer_with_an_unknown_code_or_flag_is_refused(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    struct write *w;
    assert_int_equal(ask(p, &(struct asking){.what = "POST /notes {}"}, &w), 0);
    struct write_batch *d = unanswered(p);
    answers_encode(&b, p->batch);
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        b.at[0] = (char)(code & 0xff);
        b.at[1] = (char)(code >> 8);
        assert_int_equal(answers_decode(buf_span(&b), 1, d),
                         code < ERR_COUNT_ ? 0 : ERR_BAD_REQUEST);
        assert_int_equal(d->writes[0].code, code < ERR_COUNT_ ? -(int)code : ERR_INTERNAL);
    }
    b.at[0] = b.at[1] = 0;
    for (int at = 2; at <= 3; at++)
        for (int byte = 0; byte < 256; byte++) {
            b.at[at] = (char)byte;
            assert_int_equal(answers_decode(buf_span(&b), 1, d),
                             byte == 0 || (byte == 1 && at == 2) ? 0 : ERR_BAD_REQUEST);
            b.at[at] = 0;
        }
    write_batch_destroy(d);
    buf_finish(&b);
}

static void answers_that_find_no_memory_say_so(void **state)
{
    struct primary *p = *state;
    struct buf b = {0};
    answer_all(p);
    struct write_batch *d = unanswered(p);
    answers_encode(&b, p->batch);
    for (size_t room = 1; room < p->batch->answers.bytes; room++) {
        write_batch_destroy(d);
        d = unanswered(p);
        d->answers.bytes_max = room;
        assert_int_equal(answers_decode(buf_span(&b), d->count, d), ERR_NO_MEMORY);
    }
    write_batch_destroy(d);
    buf_finish(&b);
}

#define RULES(X)                                                                                   \
    X(a_write_has_the_bytes_of_the_header)                                                         \
    X(the_primary_gets_what_was_asked_of_the_backup)                                               \
    X(a_full_batch_of_the_largest_writes_comes_through)                                            \
    X(writes_cut_anywhere_are_refused)                                                             \
    X(the_count_is_that_of_the_writes)                                                             \
    X(a_changed_write_is_refused_or_another_write)                                                 \
    X(only_methods_that_write_are_forwarded)                                                       \
    X(media_that_front_ends_refuse_are_not_forwarded)                                              \
    X(a_new_record_has_no_id_and_others_have_one)                                                  \
    X(a_collection_is_named_as_in_a_path)                                                          \
    X(a_key_is_one_that_a_client_may_send)                                                         \
    X(a_payload_is_an_object_within_the_limit)                                                     \
    X(a_condition_has_a_known_kind_and_as_many_tags_as_it_may)                                     \
    X(without_memory_writes_are_not_half_taken)                                                    \
    X(an_answer_has_the_bytes_of_the_header)                                                       \
    X(the_backup_gets_what_became_of_its_writes)                                                   \
    X(answers_cut_anywhere_or_of_another_batch_are_refused)                                        \
    X(an_answer_with_an_unknown_code_or_flag_is_refused)                                           \
    X(answers_that_find_no_memory_say_so)

int main(void)
{
    const struct CMUnitTest tests[] = {RULES(IN_MEMORY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
