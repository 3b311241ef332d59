/* The one layer that answers: a request free of transport becomes an answer, a write under way, or
 * a wait. */
#include <inttypes.h>

#include "base/err.h"
#include "front/inside.h"

static int fail(struct answer *a, int code, const char *detail)
{
    if (detail == NULL)
        answer_error(a, code, NULL);
    else
        answer_error(a, code, "%s", detail);
    return code;
}

static bool method_allowed(const struct target *t, enum method m)
{
    struct span name;
    if (m == METHOD_GET || m == METHOD_HEAD || m == METHOD_OPTIONS)
        return true;
    if (t->kind == TARGET_COLLECTION)
        return m == METHOD_POST;
    if (t->kind == TARGET_OWN)
        return m == METHOD_DELETE && own_path_drops(t->path, &name);
    return t->kind == TARGET_RECORD && m != METHOD_POST;
}

static enum answer_allow allow_of(enum target_kind kind)
{
    return kind == TARGET_COLLECTION ? ALLOW_COLLECTION
           : kind == TARGET_RECORD   ? ALLOW_RECORD
                                     : ALLOW_OWN;
}

int serve_check(const struct request *rq, struct served *s)
{
    struct answer *a = &s->answer;
    struct target *t = &s->target;
    target_parse(rq->target, t);
    if (rq->method == METHOD_OTHER)
        return fail(a, ERR_NOT_IMPLEMENTED, "this method is unknown here");
    if (rq->method == METHOD_OPTIONS && span_is(rq->target, "*"))
        return 0;
    if (t->kind == TARGET_NOWHERE)
        return fail(a, ERR_NOT_FOUND,
                    "no such path: a collection is /[a-z][a-z0-9_-]*, a record /collection/id");
    if (t->kind == TARGET_BAD_ID)
        return fail(a, ERR_BAD_ID, NULL);
    if (t->kind == TARGET_OWN && !own_path_known(t->path)) {
        answer_error(a, ERR_NOT_FOUND, "the server has no path %.*s", SPAN_ARGS(t->path));
        return a->code;
    }
    if (!method_allowed(t, rq->method)) {
        fail(a, ERR_METHOD_NOT_ALLOWED, NULL);
        a->allow = allow_of(t->kind);
        return a->code;
    }
    static const char *const none[] = {NULL};
    if (t->kind != TARGET_OWN && !query_only(t->query, none))
        return fail(a, ERR_BAD_PARAMETER, "a record path takes no parameters");
    if (!method_takes_payload(rq->method))
        return 0;
    if (rq->media == MEDIA_OTHER)
        return fail(a, ERR_UNSUPPORTED_TYPE,
                    "send application/json, for example curl --json '{\"title\":\"a\"}'");
    return 0;
}

static int payload_check(struct front *f, const struct request *rq, struct answer *a)
{
    struct json_found found;
    if (!rq->has_payload)
        return fail(a, ERR_LENGTH_REQUIRED, NULL);
    if (rq->payload_judged) {
        found.type = json_type_of(rq->payload);
    } else {
        long rc = json_scan(f->json, rq->payload, true, &found);
        if (rc == ERR_BAD_JSON)
            answer_error(a, ERR_BAD_JSON, "byte %zu: %s", found.bad_at, found.why);
        else if (rc < 0)
            answer_error(a, (int)rc, NULL);
        if (rc < 0)
            return (int)rc;
    }
    if (payload_is_json_patch(rq->method, rq->media))
        return found.type == JSON_ARRAY
                   ? 0
                   : fail(a, ERR_BAD_REQUEST, "a JSON Patch is an array of operations");
    return found.type == JSON_OBJECT ? 0 : fail(a, ERR_NOT_OBJECT, NULL);
}

/* What the answer will take, as far as it can be told: the payload, and the record as it is now. */
static size_t weight_of(struct front *f, const struct request *rq, const struct target *t)
{
    struct record record;
    size_t bytes = rq->payload.bytes + 256;
    if (rq->method == METHOD_PATCH || rq->method == METHOD_DELETE)
        if (reader_fresh(f->o.reader) == 0 &&
            reader_get(f->o.reader, t->collection, t->id, &record) == 0)
            bytes += record.text.bytes;
    return bytes;
}

static void write_error(struct front *f, int code, struct answer *a)
{
    if (code == ERR_TOO_LARGE)
        answer_error(a, code, "a record has at most %" PRIu64 " bytes (--record-bytes-max)",
                     f->o.settings->record_bytes_max);
    else
        answer_error(a, code, NULL);
}

/* Whether writes are taken now, as the order thread said last. */
static int refusal(struct front *f, struct answer *a)
{
    struct status *status = f->o.status;
    int code = atomic_load_explicit(&status->refusal, memory_order_acquire);
    if (code == 0)
        return 0;
    if (code == ERR_NOT_READY && atomic_load_explicit(&status->disk_full, memory_order_acquire))
        return fail(a, ERR_DISK_FULL, NULL);
    const struct status_view view = status_view(status);
    return fail(a, code, view.reason[0] != '\0' ? view.reason : NULL);
}

static enum serve_result serve_write(struct front *f, const struct request *rq, unsigned in_flight,
                                     struct served *s)
{
    struct answer *a = &s->answer;
    int code = rq->method == METHOD_DELETE ? 0 : payload_check(f, rq, a);
    if (code == 0)
        code = refusal(f, a);
    struct write_batch *batch = NULL;
    size_t weight = 0;
    if (code == 0) {
        weight = weight_of(f, rq, &s->target);
        batch = batch_open(f, weight);
        if (batch == NULL)
            code = fail(a, ERR_BUSY, NULL);
    }
    if (code == 0) {
        code = write_ask(batch, rq, &s->target, f->o.settings->record_bytes_max, &s->write);
        if (code != 0)
            write_error(f, code, a);
    }
    if (code != 0)
        return in_flight != 0 ? SERVE_WAIT_WRITES : SERVE_ANSWER;
    s->write->rid = piece_add(&batch->asked, rq->rid);
    s->write->target = piece_add(&batch->asked, rq->target);
    s->write->weight = (uint32_t)weight;
    batch->weight += weight;
    f->weight += weight;
    messages_write_asked(f, rq);
    return SERVE_WRITE;
}

static void serve_record(struct front *f, const struct request *rq, struct served *s)
{
    struct answer *a = &s->answer;
    struct record record;
    int code = reader_get(f->o.reader, s->target.collection, s->target.id, &record);
    if (code == ERR_NOT_FOUND)
        answer_error(a, code, "%.*s/%" PRIu64 " does not exist", SPAN_ARGS(s->target.collection),
                     s->target.id);
    else if (code != 0)
        answer_error(a, code, NULL);
    else if ((code = conditions_check(&rq->conditions, true, record.seq)) ==
             ERR_PRECONDITION_FAILED)
        answer_error(a, code, "%.*s/%" PRIu64 " was last changed by %" PRIu64,
                     SPAN_ARGS(s->target.collection), s->target.id, record.seq);
    else {
        answer_ok(a, code == CONDITIONS_NOT_MODIFIED ? 304 : 200);
        a->etag = record.seq;
        a->body = record.text;
        a->has_body = code != CONDITIONS_NOT_MODIFIED;
    }
}

/* A list that is short enough is a snapshot, and a plain answer; else the caller streams it. */
static enum serve_result serve_list(struct front *f, bool short_answer, struct served *s)
{
    struct answer *a = &s->answer;
    size_t most = LIST_SNAPSHOT_BYTES_MAX;
    if (short_answer)
        most = DATAGRAM_ANSWER_BYTES_MAX;
    else if (net_output_full(f->loop) || f->turn_bytes >= TURN_BYTES_MAX)
        most = ANSWER_SHORT_BYTES; /* a longer one is not begun now: see serve_read */
    buf_reset(&f->scratch, 2 * LIST_SNAPSHOT_BYTES_MAX);
    int code = reader_list_begin(f->o.reader, s->target.collection, &s->cursor);
    if (code == 0)
        code = reader_list_more(f->o.reader, &s->cursor, most, &f->scratch);
    if (code != 0) {
        answer_error(a, code, NULL);
        return SERVE_ANSWER;
    }
    answer_ok(a, 200);
    a->has_body = true;
    a->body = buf_span(&f->scratch);
    return s->cursor.done ? SERVE_ANSWER : SERVE_LIST;
}

static enum serve_result serve_read(struct front *f, struct request *rq, bool late,
                                    struct served *s)
{
    struct answer *a = &s->answer;
    enum serve_result result = SERVE_ANSWER;
    int code = reader_fresh(f->o.reader);
    if (code == 0 && !atomic_load_explicit(&f->o.status->ready, memory_order_acquire))
        code = ERR_NOT_READY;
    if (code != 0) {
        answer_error(a, code, code == ERR_NOT_READY ? "this server's copy is not complete" : NULL);
        return SERVE_ANSWER;
    }
    struct reader_position at = reader_position(f->o.reader);
    if (at.seq < rq->min_seq && !late)
        return SERVE_WAIT_POSITION;
    if (at.seq < rq->min_seq)
        answer_error(a, ERR_LAGGING, "local storage is at %" PRIu64 ", asked for %" PRIu64, at.seq,
                     rq->min_seq);
    else if (s->target.kind == TARGET_RECORD)
        serve_record(f, rq, s);
    else
        result = serve_list(f, rq->short_answer, s);
    bool is_long = result == SERVE_LIST || (a->has_body && a->body.bytes > ANSWER_SHORT_BYTES);
    if (is_long && !rq->short_answer) {
        if (net_output_full(f->loop)) {
            answer_error(a, ERR_BUSY, "too much output waits for slow readers: try again");
            result = SERVE_ANSWER;
        } else if (f->turn_bytes >= TURN_BYTES_MAX) {
            return SERVE_WAIT_TURN;
        } else {
            f->turn_bytes += a->body.bytes;
        }
    }
    a->has_seq = true;
    a->seq = at.seq;
    messages_read(f, rq, a);
    return result;
}

/* A write that carries min_seq waits as a read does; then it is decided on the ordered state, which
 * is newer still. */
static bool position_reached(struct front *f, const struct request *rq)
{
    return rq->min_seq == 0 ||
           atomic_load_explicit(&f->o.visible->seq, memory_order_acquire) >= rq->min_seq;
}

enum serve_result serve(struct front *f, struct request *rq, unsigned in_flight, bool late,
                        struct served *s)
{
    int code = serve_check(rq, s);
    if (code == 0 && method_writes(rq->method) && s->target.kind != TARGET_OWN &&
        position_reached(f, rq))
        return serve_write(f, rq, in_flight, s);
    if (in_flight != 0)
        return SERVE_WAIT_WRITES;
    if (code != 0)
        return SERVE_ANSWER;
    if (rq->method == METHOD_OPTIONS) {
        answer_ok(&s->answer, 204);
        s->answer.allow = span_is(rq->target, "*") ? ALLOW_RECORD : allow_of(s->target.kind);
        return SERVE_ANSWER;
    }
    if (s->target.kind == TARGET_OWN)
        return own_path(f, rq, s);
    if (!method_writes(rq->method))
        return serve_read(f, rq, late, s);
    if (!late)
        return SERVE_WAIT_POSITION;
    answer_error(&s->answer, ERR_LAGGING, "local storage has not reached %" PRIu64, rq->min_seq);
    return SERVE_ANSWER;
}

void serve_answer_of(const struct write_batch *b, const struct write *w, struct answer *a)
{
    struct span text = piece_span(&b->answers, w->body);
    if (w->code != 0) {
        answer_error(a, w->code, w->body.bytes != 0 ? "%.*s" : NULL, SPAN_ARGS(text));
        a->has_seq = w->has_seq;
        a->seq = w->seq;
        return;
    }
    answer_ok(a, w->method == METHOD_POST ? 201 : 200);
    a->has_seq = true;
    a->seq = w->seq;
    a->etag = w->method == METHOD_DELETE ? 0 : w->seq;
    a->copies = w->copies;
    a->id = w->answered_id;
    if (w->method == METHOD_POST)
        a->location = piece_span(&b->asked, w->collection);
    a->has_body = true;
    a->body = text;
}
