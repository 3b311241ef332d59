/* The server's own paths: what it says of itself. */
#include <inttypes.h>

#include "base/err.h"
#include "front/inside.h"

/* In one array: what fits, or without ?after= the newest. */
enum { MESSAGES_BYTES_MAX = 1024 * 1024, MESSAGES_NEWEST = 1000 };

static void body(struct served *s, struct buf *from)
{
    if (from->failed) {
        answer_error(&s->answer, ERR_NO_MEMORY, NULL);
        return;
    }
    s->answer.has_body = true;
    s->answer.body = buf_span(from);
}

static void add_server(struct buf *to, const struct status *status, const char *name_member)
{
    buf_printf(to, "{\"%s\":", name_member);
    json_quote(to, span_of(status->app_name));
    buf_add_text(to, ",\"address\":");
    json_quote(to, span_of(status->address));
    buf_add_char(to, '}');
}

static void add_number(struct buf *to, const char *member, uint64_t value)
{
    buf_printf(to, ",\"%s\":%" PRIu64, member, value);
}

static void add_bool(struct buf *to, const char *member, bool value)
{
    buf_printf(to, ",\"%s\":%s", member, value ? "true" : "false");
}

static void give_status(struct front *f, struct served *s)
{
    struct status *status = f->o.status;
    struct buf *to = &f->scratch;
    int code = reader_fresh(f->o.reader);
    if (code != 0) {
        answer_error(&s->answer, code, NULL);
        return;
    }
    struct reader_position at = reader_position(f->o.reader);
    bool writable = atomic_load(&status->admitting) && !atomic_load(&status->disk_full);
    buf_add_text(to, "{\"app_name\":");
    json_quote(to, span_of(status->app_name));
    buf_add_text(to, ",\"role\":\"primary\"");
    add_bool(to, "writable", writable);
    buf_add_text(to, ",\"primary\":");
    add_server(to, status, "name");
    add_number(to, "epoch", atomic_load(&status->epoch));
    add_number(to, "seq", at.seq);
    add_number(to, "durable", atomic_load(&status->durable));
    add_number(to, "committed", atomic_load(&status->committed));
    add_number(to, "applied", at.applied);
    buf_add_text(to, ",\"in_sync\":[");
    json_quote(to, span_of(status->app_name));
    buf_add_text(to, "],\"backups\":[]");
    buf_printf(to, ",\"digest\":\"%016" PRIx64 "\"", at.digest);
    buf_add_text(to, ",\"ack\":\"all\"");
    add_number(to, "uptime_ms", (front_now_us(f) - status->started_us) / 1000);
    add_number(to, "records", at.records);
    add_number(to, "collections", at.collections);
    add_number(to, "keys", at.keys);
    add_bool(to, "disk_full", atomic_load(&status->disk_full));
    add_number(to, "datagrams_dropped", atomic_load(&status->datagrams_dropped));
    buf_add_text(to, ",\"version\":\"" NOTED_VERSION "\"}");
    s->answer.has_seq = true;
    s->answer.seq = at.seq;
    body(s, to);
}

static void give_ready(struct front *f, struct served *s)
{
    struct span lag;
    uint64_t lag_ms;
    if (query_get(s->target.query, "max_lag_ms", &lag) && !u64_parse(lag, &lag_ms)) {
        answer_error(&s->answer, ERR_BAD_PARAMETER, "max_lag_ms takes a whole number");
        return;
    }
    if (!atomic_load(&f->o.status->ready)) {
        answer_error(&s->answer, ERR_NOT_READY, NULL);
        return;
    }
    buf_add_text(&f->scratch, "{\"status\":\"ready\",\"role\":\"primary\"}");
    body(s, &f->scratch);
}

static enum serve_result give_messages(struct front *f, const struct request *rq, struct served *s)
{
    struct span after;
    uint64_t last = message_log_last(f->o.messages);
    s->after = last > MESSAGES_NEWEST ? last - MESSAGES_NEWEST : 0;
    if (query_get(s->target.query, "after", &after) && !u64_parse(after, &s->after)) {
        answer_error(&s->answer, ERR_BAD_PARAMETER, "after takes the number of a message");
        return SERVE_ANSWER;
    }
    if (rq->event_stream) {
        if (rq->last_event > s->after) /* it was here before, and comes back for what it missed */
            s->after = rq->last_event;
        s->answer.event_stream = true;
        return SERVE_EVENTS;
    }
    buf_add_char(&f->scratch, '[');
    message_log_read(f->o.messages, s->after, MESSAGES_BYTES_MAX, MESSAGE_JSON, &f->scratch, NULL);
    buf_add_char(&f->scratch, ']');
    body(s, &f->scratch);
    return SERVE_ANSWER;
}

enum serve_result own_path(struct front *f, const struct request *rq, struct served *s)
{
    static const char *const none[] = {NULL}, *const ready[] = {"max_lag_ms", NULL},
                             *const messages[] = {"after", NULL};
    struct span path = s->target.path, query = s->target.query;
    enum own { STATUS, HEALTH, READY, MESSAGES, UNKNOWN } own = UNKNOWN;
    static const char *const paths[] = {"/_status", "/_health", "/_ready", "/_messages"};
    for (unsigned i = 0; i < UNKNOWN; i++)
        if (span_is(path, paths[i]))
            own = (enum own)i;
    const char *const *known = own == READY ? ready : own == MESSAGES ? messages : none;
    buf_reset(&f->scratch, 2 * LIST_SNAPSHOT_BYTES_MAX);
    answer_ok(&s->answer, 200);
    if (own == UNKNOWN) {
        answer_error(&s->answer, ERR_NOT_FOUND, "the server has no path %.*s", SPAN_ARGS(path));
    } else if (!query_only(query, known)) {
        answer_error(&s->answer, ERR_BAD_PARAMETER, "this path does not take that parameter");
    } else if (own == STATUS) {
        give_status(f, s);
    } else if (own == HEALTH) {
        buf_add_text(&f->scratch, "{\"status\":\"ok\"}");
        body(s, &f->scratch);
    } else if (own == READY) {
        give_ready(f, s);
    } else {
        return give_messages(f, rq, s);
    }
    return SERVE_ANSWER;
}
