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

static void add_number(struct buf *to, const char *member, uint64_t value)
{
    buf_printf(to, ",\"%s\":%" PRIu64, member, value);
}

static void add_bool(struct buf *to, const char *member, bool value)
{
    buf_printf(to, ",\"%s\":%s", member, value ? "true" : "false");
}

static void add_id(struct buf *to, const char *member, const unsigned char id[STATUS_ID_BYTES])
{
    buf_printf(to, ",\"%s\":\"", member);
    for (unsigned i = 0; i < STATUS_ID_BYTES; i++)
        buf_printf(to, "%02x", id[i]);
    buf_add_char(to, '"');
}

static void add_text(struct buf *to, const char *before, const char *text)
{
    buf_add_text(to, before);
    json_quote(to, span_of(text));
}

static void add_backup(struct buf *to, const struct status_backup *b)
{
    add_text(to, "{\"app_name\":", b->app_name);
    add_text(to, ",\"address\":", b->address);
    add_bool(to, "in_sync", b->in_sync);
    add_number(to, "durable", b->durable);
    add_number(to, "applied", b->applied);
    add_number(to, "lag_ms", b->lag_ms);
    buf_printf(to, ",\"state\":\"%s\"}", b->state);
}

static void add_cluster(struct buf *to, const struct status_view *v)
{
    buf_add_text(to, ",\"in_sync\":[");
    for (unsigned i = 0; i < v->set_count; i++)
        add_text(to, i == 0 ? "" : ",", v->set[i]);
    buf_add_text(to, "],\"backups\":[");
    for (unsigned i = 0; i < v->backups_count; i++) {
        if (i != 0)
            buf_add_char(to, ',');
        add_backup(to, &v->backups[i]);
    }
    buf_add_char(to, ']');
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
    const struct status_view view = status_view(status);
    struct reader_position at = reader_position(f->o.reader);
    bool writable = atomic_load(&status->refusal) == 0 && !atomic_load(&status->disk_full);
    add_text(to, "{\"app_name\":", status->app_name);
    buf_printf(to, ",\"role\":\"%s\"", status->backup ? "backup" : "primary");
    add_bool(to, "writable", writable);
    add_text(to, ",\"primary\":{\"name\":", view.primary_name);
    add_text(to, ",\"address\":", view.primary_address);
    buf_add_char(to, '}');
    add_number(to, "epoch", atomic_load(&status->epoch));
    add_number(to, "seq", at.seq);
    add_number(to, "durable", atomic_load(&status->durable));
    add_number(to, "committed", atomic_load(&status->committed));
    add_number(to, "applied", at.applied);
    add_id(to, "id", view.id);
    add_id(to, "cluster", view.cluster);
    add_number(to, "generation", view.generation);
    add_number(to, "promised_epoch", view.promised_epoch);
    add_number(to, "last_epoch", view.last_epoch);
    add_number(to, "last", view.last);
    add_cluster(to, &view);
    buf_printf(to, ",\"digest\":\"%016" PRIx64 "\"", at.digest);
    buf_printf(to, ",\"ack\":\"%s\"", status->ack_primary ? "primary" : "all");
    if (status->ack_primary)
        buf_add_text(to, ",\"warning\":\"acknowledged writes are lost if the primary is lost\"");
    if (status->backup) {
        add_bool(to, "connected", view.connected);
        add_number(to, "lag_ms", view.lag_ms);
        if (view.copy_bytes != 0)
            buf_printf(to,
                       ",\"copy\":{\"state\":\"%s\",\"bytes\":%" PRIu64 ",\"here\":%" PRIu64
                       ",\"percent\":%" PRIu64 ",\"bytes_per_s\":%" PRIu64 "}",
                       view.copy_state, view.copy_bytes, view.copy_got,
                       view.copy_got * 100 / view.copy_bytes, view.copy_bytes_per_s);
    }
    if (view.reason[0] != '\0')
        add_text(to, ",\"reason\":", view.reason);
    add_number(to, "uptime_ms", (front_now_us(f) - status->started_us) / 1000);
    add_number(to, "records", at.records);
    add_number(to, "collections", at.collections);
    add_number(to, "keys", at.keys);
    add_bool(to, "disk_full", atomic_load(&status->disk_full));
    add_number(to, "datagrams_dropped", atomic_load(&status->datagrams_dropped));
    add_number(to, "peers_refused", atomic_load(&status->peers_refused));
    buf_add_text(to, ",\"version\":\"" NOTED_VERSION "\"}");
    s->answer.has_seq = true;
    s->answer.seq = at.seq;
    body(s, to);
}

/* Local reads are served, and a backup is in sync and not further behind than asked. */
static void give_ready(struct front *f, struct served *s)
{
    struct status *status = f->o.status;
    struct span lag;
    uint64_t lag_ms = UINT64_MAX;
    if (query_get(s->target.query, "max_lag_ms", &lag) && !u64_parse(lag, &lag_ms)) {
        answer_error(&s->answer, ERR_BAD_PARAMETER, "max_lag_ms takes a whole number");
        return;
    }
    const struct status_view view = status_view(status);
    if (!atomic_load(&status->ready)) {
        answer_error(&s->answer, ERR_NOT_READY, "this server's copy is not complete");
    } else if (status->backup && !view.in_sync) {
        bool alone = atomic_load(&status->refusal) == ERR_NO_PRIMARY;
        answer_error(&s->answer, alone ? ERR_NO_PRIMARY : ERR_NOT_IN_SYNC, "%s",
                     view.reason[0] != '\0' ? view.reason : "this backup is not in sync");
    } else if (!status->backup && atomic_load(&status->refusal) == ERR_NO_PRIMARY) {
        answer_error(&s->answer, ERR_NO_PRIMARY, "%s", view.reason);
    } else if (view.lag_ms > lag_ms) {
        answer_error(&s->answer, ERR_LAGGING, "this backup is %" PRIu64 " ms behind", view.lag_ms);
    } else {
        buf_printf(&f->scratch, "{\"status\":\"ready\",\"role\":\"%s\"}",
                   status->backup ? "backup" : "primary");
        body(s, &f->scratch);
    }
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
        if (f->events_count == EVENT_STREAMS_MAX) {
            answer_error(&s->answer, ERR_BUSY, "too many follow the messages already");
            return SERVE_ANSWER;
        }
        s->answer.event_stream = true;
        return SERVE_EVENTS;
    }
    if (net_output_full(f->loop)) {
        answer_error(&s->answer, ERR_BUSY, "too much output waits for slow readers: try again");
        return SERVE_ANSWER;
    }
    buf_add_char(&f->scratch, '[');
    size_t most = rq->short_answer ? 2 * DATAGRAM_ANSWER_BYTES_MAX : MESSAGES_BYTES_MAX;
    message_log_read(f->o.messages, s->after, most, MESSAGE_JSON, &f->scratch, NULL);
    buf_add_char(&f->scratch, ']');
    body(s, &f->scratch);
    return SERVE_ANSWER;
}

static void give_metrics(struct front *f, struct served *s)
{
    int code = metrics_write(f, &f->scratch);
    if (code != 0) {
        answer_error(&s->answer, code, NULL);
        return;
    }
    s->answer.metrics = true;
    body(s, &f->scratch);
}

/* Also one that is being taken from it already: who asks again gets the same answer. */
static bool in_set(const struct status_view *v, struct span name)
{
    bool there = false;
    for (unsigned i = 0; i < v->set_count; i++)
        there = there || span_is(name, v->set[i]);
    for (unsigned i = 0; i < v->backups_count; i++)
        there = there || (v->backups[i].leaving && span_is(name, v->backups[i].app_name));
    return there;
}

/* The operator takes a server from the in-sync set. What became of it is in /_status. */
static void drop_server(struct front *f, struct served *s, struct span name)
{
    const struct status_view view = status_view(f->o.status);
    if (f->o.status->backup)
        answer_error(&s->answer, ERR_NO_PRIMARY, "this is a backup: ask the primary, %s",
                     view.primary_address);
    else if (span_is(name, f->o.status->app_name))
        answer_error(&s->answer, ERR_BAD_PARAMETER, "a primary cannot drop itself");
    else if (!in_set(&view, name))
        answer_error(&s->answer, ERR_NOT_FOUND, "%.*s is not in the in-sync set", SPAN_ARGS(name));
    else if (f->o.drop == NULL || f->o.drop(f->o.node, name) != 0)
        answer_error(&s->answer, ERR_BUSY, "another server is being dropped");
    else {
        s->answer.status = 202;
        buf_add_text(&f->scratch, "{\"dropping\":");
        json_quote(&f->scratch, name);
        buf_add_char(&f->scratch, '}');
        body(s, &f->scratch);
    }
}

/* A copy of local storage, which only a transport with a stream of its own can give. */
static enum serve_result give_backup(struct front *f, struct served *s)
{
    if (f->o.backup_reserve == NULL) {
        answer_error(&s->answer, ERR_NOT_IMPLEMENTED, NULL);
    } else if (!atomic_load(&f->o.status->ready)) {
        answer_error(&s->answer, ERR_NOT_READY, "this server's copy is not complete");
    } else {
        s->answer.octets = true;
        return SERVE_BACKUP;
    }
    return SERVE_ANSWER;
}

bool own_path_drops(struct span path, struct span *name)
{
    static const char prefix[] = "/_servers/";
    if (path.bytes < sizeof prefix || memcmp(path.at, prefix, sizeof prefix - 1) != 0)
        return false;
    *name = span(path.at + sizeof prefix - 1, path.bytes - (sizeof prefix - 1));
    return true;
}

enum own { STATUS, HEALTH, READY, MESSAGES, METRICS, BACKUP, UNKNOWN };

static enum own own_of(struct span path)
{
    static const char *const paths[] = {"/_status",   "/_health",  "/_ready",
                                        "/_messages", "/_metrics", "/_backup"};
    for (unsigned i = 0; i < UNKNOWN; i++)
        if (span_is(path, paths[i]))
            return (enum own)i;
    return UNKNOWN;
}

bool own_path_known(struct span path)
{
    struct span name;
    return own_of(path) != UNKNOWN || own_path_drops(path, &name);
}

enum serve_result own_path(struct front *f, const struct request *rq, struct served *s)
{
    static const char *const none[] = {NULL}, *const ready[] = {"max_lag_ms", NULL},
                             *const messages[] = {"after", NULL};
    struct span path = s->target.path, query = s->target.query;
    enum own own = own_of(path);
    const char *const *known = own == READY ? ready : own == MESSAGES ? messages : none;
    buf_reset(&f->scratch, 2 * LIST_SNAPSHOT_BYTES_MAX);
    answer_ok(&s->answer, 200);
    struct span name;
    if (rq->method == METHOD_DELETE && own_path_drops(path, &name)) {
        drop_server(f, s, name);
    } else if (own == UNKNOWN) {
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
    } else if (own == METRICS) {
        give_metrics(f, s);
    } else if (own == BACKUP) {
        return give_backup(f, s);
    } else {
        return give_messages(f, rq, s);
    }
    return SERVE_ANSWER;
}
