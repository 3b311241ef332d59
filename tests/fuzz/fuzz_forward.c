/*
 * Forwarded writes and their answers from any bytes. What decodes to writes is what a client could
 * have asked, and goes on its way again as the same writes with the same fingerprints; what decodes
 * to answers encodes to the same bytes.
 *
 * Input: the number of writes, the limit of a record in units of 16 bytes, then writes or answers.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "repl/forward.h"

static bool same_piece(const struct write_batch *a, struct piece in_a, const struct write_batch *b,
                       struct piece in_b)
{
    return span_eq(piece_span(&a->asked, in_a), piece_span(&b->asked, in_b));
}

static void check_payload(struct json *json, struct span payload, size_t bytes_max)
{
    struct json_found found;
    assert(payload.bytes <= bytes_max);
    assert(json_scan(json, payload, true, &found) == (long)payload.bytes);
    assert(found.type == JSON_OBJECT && !found.spaced && found.text.at == payload.at);
    struct json_walk walk = json_walk(payload);
    for (struct json_member m; json_next(&walk, &m);)
        assert(!json_string_is(m.name, span_of("id")));
}

static void check_write(struct json *json, const struct write_batch *b, const struct write *w,
                        size_t bytes_max)
{
    struct target t;
    struct span key = piece_span(&b->asked, w->key);
    bool makes = w->method == METHOD_POST;
    assert(method_writes(w->method));
    target_parse(piece_span(&b->asked, w->target), &t);
    assert(t.kind == (makes ? TARGET_COLLECTION : TARGET_RECORD) && t.id == w->id);
    assert(span_eq(t.collection, piece_span(&b->asked, w->collection)) && t.query.bytes == 0);
    assert(key.bytes == 0 || key_check(key) == 0);
    if (w->method == METHOD_DELETE)
        assert(w->payload.bytes == 0);
    else
        check_payload(json, piece_span(&b->asked, w->payload), bytes_max);
    if (!w->has_conditions)
        return;
    struct conditions c;
    memcpy(&c, b->asked.at + w->conditions_at, sizeof c);
    assert(c.match.kind != CONDITION_ABSENT || c.none_match.kind != CONDITION_ABSENT);
    assert(c.match.kind <= CONDITION_TAGS && c.none_match.kind <= CONDITION_TAGS);
    assert(c.match.count <= CONDITION_TAGS_MAX && c.none_match.count <= CONDITION_TAGS_MAX);
}

static void forward_again(struct json *json, const struct write_batch *b, size_t bytes_max)
{
    struct write_batch *other = write_batch_create();
    struct buf bytes = {0}, again = {0};
    assert(other != NULL);
    forward_encode(&bytes, b);
    int rc = forward_decode(buf_span(&bytes), b->count, json, bytes_max, other);
    assert(rc == 0 && other->count == b->count);
    for (unsigned i = 0; i < b->count; i++) {
        const struct write *x = &b->writes[i], *y = &other->writes[i];
        assert(x->method == y->method && x->media == y->media && x->id == y->id);
        assert(same_piece(b, x->collection, other, y->collection));
        assert(same_piece(b, x->key, other, y->key));
        assert(same_piece(b, x->payload, other, y->payload));
        assert(memcmp(x->fingerprint, y->fingerprint, sizeof x->fingerprint) == 0);
        assert(x->has_conditions == y->has_conditions);
    }
    forward_encode(&again, other);
    assert(span_eq(buf_span(&again), buf_span(&bytes)));
    buf_finish(&again);
    buf_finish(&bytes);
    write_batch_destroy(other);
}

static void decode_writes(struct span from, uint32_t count, size_t bytes_max)
{
    struct write_batch *b = write_batch_create();
    struct json *json;
    int rc = json_create(&json, 1, 64);
    assert(rc == 0 && b != NULL);
    rc = forward_decode(from, count, json, bytes_max, b);
    assert(rc == 0 || rc == ERR_BAD_REQUEST);
    if (rc == 0) {
        assert(b->count == count && count >= 1 && count <= BATCH_WRITES_MAX);
        for (unsigned i = 0; i < count; i++)
            check_write(json, b, &b->writes[i], bytes_max);
        forward_again(json, b, bytes_max);
    }
    json_destroy(json);
    write_batch_destroy(b);
}

static void decode_answers(struct span from, uint32_t count)
{
    struct write_batch *b = write_batch_create();
    assert(b != NULL);
    b->count = count <= BATCH_WRITES_MAX ? count : BATCH_WRITES_MAX;
    int rc = answers_decode(from, count, b);
    assert(rc == 0 || rc == ERR_BAD_REQUEST);
    if (rc == 0) {
        struct buf again = {0};
        for (unsigned i = 0; i < count; i++)
            assert(b->writes[i].code <= 0 && b->writes[i].code > -(int)ERR_COUNT_);
        answers_encode(&again, b);
        assert(span_eq(buf_span(&again), from));
        buf_finish(&again);
    }
    write_batch_destroy(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct span rest = {(const char *)data + 2, size - 2};
    decode_writes(rest, data[0], data[1] * 16U);
    decode_answers(rest, data[0]);
    return 0;
}
