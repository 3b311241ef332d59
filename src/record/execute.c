/* What each write does: create, replace, merge, delete; conditions and keys decided on the ordered
 * state. */
#include "record/execute.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "record/effect.h"
#include "record/merge.h"
#include "record/patch.h"

static int refuse(struct execution *x, struct write_batch *b, struct write *w, int code,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A refusal is an answer: always returns 0. */
static int refuse(struct execution *x, struct write_batch *b, struct write *w, int code,
                  const char *format, ...)
{
    char detail[DETAIL_BYTES_MAX];
    w->code = code;
    w->has_seq = true;
    w->seq = x->seq - 1;
    w->body = (struct piece){0, 0};
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
        w->body = piece_add(&b->answers, span_of(detail));
    }
    return 0;
}

/* The record as a client gets it. An answer that found no memory leaves the client in doubt, and
 * says so. */
static void answer(struct execution *x, struct write_batch *b, struct write *w, uint64_t seq,
                   uint64_t id, struct span text)
{
    w->code = 0;
    w->has_seq = true;
    w->seq = seq;
    w->answered_id = id;
    w->copies = x->copies;
    w->body = piece_add(&b->answers, text);
    x->answer_bytes += text.bytes;
    if (b->answers.failed) {
        w->code = ERR_OUTCOME_UNKNOWN;
        w->has_seq = false;
        w->body = (struct piece){0, 0};
    }
}

/* Makes the write an effect of the entry: encoded, applied, answered. */
static int emit(struct execution *x, struct write_batch *b, struct write *w, enum effect_kind kind,
                uint64_t id, struct span text)
{
    struct effect e = {
        .kind = kind,
        .method = (uint8_t)w->method,
        .id = id,
        .collection = piece_span(&b->asked, w->collection),
        .text = kind == EFFECT_PUT || w->key.bytes != 0 ? text : span(NULL, 0),
        .key = piece_span(&b->asked, w->key),
        .fingerprint = {w->fingerprint[0], w->fingerprint[1]},
    };
    size_t before = x->effects->bytes;
    effect_encode(x->effects, &e);
    if (x->effects->failed) { /* it has found no room: nothing has happened yet */
        x->effects->bytes = before;
        x->effects->failed = false;
        return x->seq != x->first_seq
                   ? WRITE_ENTRY_FULL
                   : refuse(x, b, w, ERR_TOO_LARGE, "no entry of the log can hold this");
    }
    answer(x, b, w, x->seq, id, text);
    /* Applied from its bytes, as a backup does: `text` may be in a page that the apply changes. */
    struct effect encoded;
    long used = effect_decode(span(x->effects->at + before, x->effects->bytes - before), &encoded);
    int rc = used < 0 ? (int)used : effect_apply(x->txn, &encoded, x->seq, x->time_us);
    if (rc == 0)
        x->seq++;
    return rc;
}

/* {"id":N, and the members of a compact object. */
static int with_id(struct buf *to, uint64_t id, struct span object)
{
    buf_reset(to, MIB);
    buf_add_text(to, "{\"id\":");
    buf_add_u64(to, id);
    if (object.bytes > 2)
        buf_add_char(to, ',');
    buf_add(to, object.at + 1, object.bytes - 1);
    return to->failed ? ERR_NO_MEMORY : 0;
}

static int create(struct execution *x, struct write_batch *b, struct write *w,
                  const struct store_collection *c)
{
    if (c->next_id > ID_MAX)
        return refuse(x, b, w, ERR_TOO_LARGE, "the collection has used all its ids");
    int rc = with_id(&x->scratch, c->next_id, piece_span(&b->asked, w->payload));
    return rc != 0 ? rc : emit(x, b, w, EFFECT_PUT, c->next_id, buf_span(&x->scratch));
}

static int merge(struct execution *x, struct write_batch *b, struct write *w, struct span target)
{
    buf_reset(&x->scratch, MIB);
    int rc = merge_patch(x->json, target, piece_span(&b->asked, w->payload), &x->scratch);
    if (rc != 0)
        return rc;
    char digits[20];
    size_t id_bytes = strlen("\"id\":,") + u64_digits(w->id, digits);
    if (x->scratch.bytes > x->record_bytes_max + id_bytes)
        return refuse(x, b, w, ERR_TOO_LARGE,
                      "the merged record would have %zu bytes, the limit is %zu",
                      x->scratch.bytes - id_bytes, x->record_bytes_max);
    return emit(x, b, w, EFFECT_PUT, w->id, buf_span(&x->scratch));
}

/* RFC 6902: the operations see "id" as any member, and must leave it as it is. */
static int patch(struct execution *x, struct write_batch *b, struct write *w, struct span target)
{
    char digits[20];
    struct span id = span(digits, u64_digits(w->id, digits));
    struct patch_fault fault;
    const struct patch_limits limits = {
        .bytes_max = x->record_bytes_max + strlen("\"id\":,") + id.bytes,
        .depth_max = json_depth_max(x->json),
        .work_max = PATCH_WORK_BYTES_MAX,
        .work = &x->patch_work,
    };
    buf_reset(&x->scratch, MIB);
    int rc = json_patch(&limits, target, piece_span(&b->asked, w->payload), &x->scratch, &fault);
    if (rc == 0)
        rc = patch_id_first(&x->scratch, id);
    if (rc == ERR_NO_MEMORY)
        return rc;
    if (rc == ERR_ID_MISMATCH)
        return refuse(x, b, w, rc, "a patch cannot change the id of a record");
    if (rc != 0 && fault.operation == 0)
        return refuse(x, b, w, rc, "%s", fault.why);
    if (rc != 0)
        return refuse(x, b, w, rc, "operation %u of the patch: %s", fault.operation, fault.why);
    return emit(x, b, w, EFFECT_PUT, w->id, buf_span(&x->scratch));
}

static int change(struct execution *x, struct write_batch *b, struct write *w,
                  const struct store_record *old)
{
    switch (w->method) {
    case METHOD_PUT: {
        int rc = with_id(&x->scratch, w->id, piece_span(&b->asked, w->payload));
        return rc != 0 ? rc : emit(x, b, w, EFFECT_PUT, w->id, buf_span(&x->scratch));
    }
    case METHOD_PATCH:
        return w->media == MEDIA_JSON_PATCH ? patch(x, b, w, old->text) : merge(x, b, w, old->text);
    default:
        return emit(x, b, w, EFFECT_DELETE, w->id, old->text);
    }
}

/* 1: this is a repeat, and has its answer. 0: it is to be executed. */
static int repeat(struct execution *x, struct write_batch *b, struct write *w)
{
    struct store_key k;
    int rc = store_key_get(x->txn, piece_span(&b->asked, w->key), &k);
    if (rc == ERR_NOT_FOUND || (rc == 0 && k.time_us + x->key_window_us <= x->time_us))
        return 0;
    if (rc != 0)
        return rc;
    if (k.fingerprint[0] != w->fingerprint[0] || k.fingerprint[1] != w->fingerprint[1])
        refuse(x, b, w, ERR_KEY_REUSED, NULL);
    else
        answer(x, b, w, k.seq, k.id, k.text);
    return 1;
}

/* Whether the table has room for one more key; its answer is not known yet, so a whole record is
 * assumed to fit. */
static bool keys_full(struct execution *x)
{
    const struct store_state *s = store_state(x->txn);
    return s->keys >= x->keys_max || s->keys_bytes >= x->keys_bytes_max;
}

/* Many small writes to one record can be asked while it is small, and find it large: their answers
 * must not take memory that nobody has counted. */
static bool answers_too_much(const struct write_batch *b)
{
    return b->answers.bytes > b->weight + BATCH_SURPLUS_BYTES_MAX;
}

int write_execute(struct execution *x, struct write_batch *b, struct write *w)
{
    struct span name = piece_span(&b->asked, w->collection);
    if (answers_too_much(b))
        return refuse(x, b, w, ERR_BUSY, NULL);
    int rc = w->key.bytes != 0 ? repeat(x, b, w) : 0;
    if (rc != 0)
        return rc > 0 ? 0 : rc;
    if (w->payload.bytes > x->record_bytes_max) /* a backup may have been given another limit */
        return refuse(x, b, w, ERR_TOO_LARGE, "a record has at most %zu bytes on the primary",
                      x->record_bytes_max);
    if (x->disk_full)
        return refuse(x, b, w, ERR_DISK_FULL, NULL);
    if (w->key.bytes != 0 && keys_full(x))
        return refuse(x, b, w, ERR_BUSY,
                      "the table of keys is full: try again when older keys have expired");
    struct store_collection c = {.next_id = 1};
    rc = store_collection_get(x->txn, name, &c);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (rc == ERR_NOT_FOUND && w->method == METHOD_POST &&
        store_state(x->txn)->collections >= x->collections_max)
        return refuse(x, b, w, ERR_TOO_LARGE, "there are %u collections, and no more are allowed",
                      x->collections_max);

    struct store_record old = {0};
    if (w->method != METHOD_POST) {
        rc = rc == 0 ? store_record_get(x->txn, c.number, w->id, &old) : rc;
        if (rc == ERR_NOT_FOUND)
            return refuse(x, b, w, ERR_NOT_FOUND, "%.*s/%llu does not exist", SPAN_ARGS(name),
                          (unsigned long long)w->id);
        if (rc != 0)
            return rc;
    }
    if (w->has_conditions) {
        struct conditions conditions;
        memcpy(&conditions, b->asked.at + w->conditions_at, sizeof conditions);
        if (conditions_check(&conditions, false, old.seq) != 0)
            return refuse(x, b, w, ERR_PRECONDITION_FAILED,
                          old.seq == 0 ? NULL : "%.*s/%llu was last changed by %llu",
                          SPAN_ARGS(name), (unsigned long long)w->id, (unsigned long long)old.seq);
    }
    return w->method == METHOD_POST ? create(x, b, w, &c) : change(x, b, w, &old);
}

int keys_expired(struct execution *x, uint64_t *seq)
{
    *seq = 0;
    for (unsigned n = 0; n < KEYS_EXPIRED_PER_ENTRY_MAX; n++) {
        uint64_t next, time_us;
        int rc = store_key_oldest(x->txn, *seq, &next, &time_us);
        if (rc == ERR_NOT_FOUND || (rc == 0 && time_us + x->key_window_us > x->time_us))
            return 0;
        if (rc != 0)
            return rc;
        *seq = next;
    }
    return 0;
}

int execution_begin(struct execution *x, struct store_txn *txn, struct buf *effects,
                    uint64_t time_us, uint32_t copies, uint64_t *keys_forgotten)
{
    x->txn = txn;
    x->effects = effects;
    x->time_us = time_us;
    x->first_seq = x->seq = store_state(txn)->seq + 1;
    x->copies = copies;
    x->answer_bytes = x->patch_work = 0;
    int rc = keys_expired(x, keys_forgotten);
    return rc == 0 && *keys_forgotten != 0 ? store_keys_forget(txn, *keys_forgotten) : rc;
}

/* Beyond these an entry is closed, whatever room its frame has. */
static bool entry_is_long(const struct execution *x)
{
    return x->answer_bytes >= ENTRY_BYTES_MAX || x->seq - x->first_seq >= ENTRY_WRITES_MAX ||
           x->patch_work >= ENTRY_PATCH_WORK_MAX;
}

int execution_run(struct execution *x, struct write_batch *list)
{
    for (struct write_batch *b = list; b != NULL; b = b->next)
        for (; b->done < b->count; b->done++) {
            int rc = entry_is_long(x) ? WRITE_ENTRY_FULL : write_execute(x, b, &b->writes[b->done]);
            if (rc != 0)
                return rc == WRITE_ENTRY_FULL ? 0 : rc;
        }
    return 0;
}
