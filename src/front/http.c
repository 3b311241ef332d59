/* One HTTP/1.1 connection: bytes to requests, one after another. What a request means is serve.c's.
 */
#include <stdlib.h>

#include "base/err.h"
#include "front/inside.h"

enum write_flags { FLAG_MINOR_1 = 1, FLAG_KEEP_ALIVE = 2, FLAG_PROBLEM = 4 };

static bool contains(struct span in, const char *word)
{
    return in.bytes != 0 && memmem(in.at, in.bytes, word, strlen(word)) != NULL;
}

static struct http_style style_of(const struct client *c, const struct http_head *head)
{
    return (struct http_style){
        .minor_1 = head->minor == 1,
        .keep_alive = head->keep_alive && !c->last,
        .head_only = head->method == METHOD_HEAD,
        .problem = contains(head->accept, "application/problem+json"),
    };
}

/* A write whose Origin names another host than Host does comes from a web page of that other host.
 */
static bool foreign_origin(const struct http_head *head)
{
    struct span origin = head->origin;
    if (origin.at == NULL)
        return false;
    const char *host = origin.bytes == 0 ? NULL : memmem(origin.at, origin.bytes, "://", 3);
    if (host == NULL)
        return true; /* "null", too */
    host += 3;
    return !span_eq(span(host, (size_t)(origin.at + origin.bytes - host)), head->host);
}

static int number_field(struct span value, uint64_t *number)
{
    return value.at == NULL || u64_parse(value, number) ? 0 : ERR_BAD_PARAMETER;
}

static int key_field(struct span value, struct span *key)
{
    if (value.at == NULL)
        return 0;
    if (value.bytes >= 2 && value.at[0] == '"' && value.at[value.bytes - 1] == '"')
        value = span(value.at + 1, value.bytes - 2);
    *key = value;
    return key_check(value);
}

static int condition_field(struct span value, bool weak, struct condition *c)
{
    return value.at == NULL ? 0 : condition_parse(value, weak, c);
}

/* From head to request. 0, or the code, and a detail where the code's own sentence does not do. */
static int request_of(const struct http_head *head, struct request *rq, const char **detail)
{
    uint64_t wait_ms = WAIT_MS_DEFAULT;
    request_init(rq);
    rq->method = head->method;
    rq->target = head->target;
    rq->media = media_of(head->content_type);
    rq->has_payload = head->has_length || head->chunked;
    rq->event_stream = contains(head->accept, "text/event-stream");
    if (!u64_parse(head->last_event_id, &rq->last_event))
        rq->last_event = 0;
    *detail = "If-Match and If-None-Match take * or up to 16 entity tags";
    int code = condition_field(head->if_match, false, &rq->conditions.match);
    if (code == 0)
        code = condition_field(head->if_none_match, true, &rq->conditions.none_match);
    if (code != 0)
        return code;
    *detail = "Noted-Min-Seq and Noted-Wait-Ms take whole numbers";
    code = number_field(head->noted_min_seq, &rq->min_seq);
    if (code == 0)
        code = number_field(head->noted_wait_ms, &wait_ms);
    rq->wait_ms = (uint32_t)(wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX);
    if (code != 0)
        return code;
    *detail = NULL;
    code = key_field(head->idempotency_key, &rq->key);
    return code == 0 && method_writes(rq->method) && foreign_origin(head) ? ERR_FOREIGN_ORIGIN
                                                                          : code;
}

void http_drop_decoded(struct client *c)
{
    if (c->decoded == NULL)
        return;
    c->front->decoded_bytes -= c->decoded->size;
    buf_finish(c->decoded);
    free(c->decoded);
    c->decoded = NULL;
}

/* The request is dealt with: the next one starts afresh. */
static void request_done(struct client *c)
{
    c->scanned = c->need = 0;
    c->continued = false;
    c->begun_us = c->wait_until_us = 0;
    http_drop_decoded(c);
}

static void answer_now(struct client *c, const struct answer *a, struct http_style style)
{
    if (!style.keep_alive)
        c->last = true;
    http_answer(c->front, net_out(c->conn), a, style);
}

/* An answer before the whole request was read: the rest of it is thrown away, and the connection
 * with it. */
static size_t answer_early(struct client *c, struct span input, const struct answer *a,
                           struct http_style style)
{
    style.keep_alive = false;
    answer_now(c, a, style);
    request_done(c);
    c->closing = true;
    net_linger(c->conn);
    return input.bytes;
}

static size_t refuse_early(struct client *c, struct span input, const struct http_head *head,
                           int code, const char *detail)
{
    struct answer a;
    if (c->in_flight != 0) {
        c->scanned = 0;
        client_hold(c, HOLD_WRITES);
        return 0;
    }
    answer_error(&a, code, detail != NULL ? "%s" : NULL, detail);
    return answer_early(c, input, &a, style_of(c, head));
}

static void start_write(struct client *c, struct write *w, struct http_style style)
{
    w->flags =
        (uint8_t)((style.minor_1 ? FLAG_MINOR_1 : 0) | (style.keep_alive ? FLAG_KEEP_ALIVE : 0) |
                  (style.problem ? FLAG_PROBLEM : 0));
    c->last = c->last || !style.keep_alive;
    client_write_started(c, w);
}

void http_write_answered(struct client *c, const struct write *w, const struct answer *a)
{
    struct http_style style = {
        .minor_1 = (w->flags & FLAG_MINOR_1) != 0,
        .keep_alive = (w->flags & FLAG_KEEP_ALIVE) != 0,
        .problem = (w->flags & FLAG_PROBLEM) != 0,
    };
    http_answer(c->front, net_out(c->conn), a, style);
}

/* The connection leaves this loop, and what follows is a copy of local storage. False: it is held
 * until what was answered before is sent. */
static bool give_backup(struct client *c, struct served *s, struct http_style style)
{
    struct front *f = c->front;
    struct buf head = {0}, unread = {0};
    struct http_style last = style;
    last.keep_alive = false;
    if (style.head_only) {
        c->last = true;
        http_stream_head(f, net_out(c->conn), &s->answer, last);
        return true;
    }
    if (net_unsent(c->conn) != 0) {
        client_hold(c, HOLD_ROOM);
        return false;
    }
    int code = f->o.backup_reserve(f->o.node);
    if (code != 0) {
        answer_error(&s->answer, code,
                     "other backups are being taken: try again when they are done");
        answer_now(c, &s->answer, style);
        return true;
    }
    http_stream_head(f, &head, &s->answer, last);
    int fd = head.failed ? -1 : net_release(c->conn, &unread);
    f->o.backup(f->o.node, fd, buf_span(&head), style.minor_1);
    buf_finish(&head);
    buf_finish(&unread);
    if (fd < 0)
        net_abort(c->conn);
    c->closing = true;
    return true;
}

/* One whole request. False: it is held, and will be seen again. */
static bool whole_request(struct client *c, const struct http_head *head, struct span body)
{
    struct served s;
    struct request rq;
    const char *detail;
    struct http_style style = style_of(c, head);
    int code = request_of(head, &rq, &detail);
    if (code != 0) {
        if (c->in_flight != 0) {
            client_hold(c, HOLD_WRITES);
            return false;
        }
        answer_error(&s.answer, code, detail != NULL ? "%s" : NULL, detail);
        answer_now(c, &s.answer, style);
        return true;
    }
    rq.payload = body;
    switch (serve(c->front, &rq, c->in_flight, client_late(c), &s)) {
    case SERVE_ANSWER:
        answer_now(c, &s.answer, style);
        return true;
    case SERVE_WRITE:
        start_write(c, s.write, style);
        return true;
    case SERVE_LIST:
        list_start(c, &s, span(NULL, 0), style);
        return true;
    case SERVE_EVENTS:
        events_start(c, &s, style);
        return true;
    case SERVE_BACKUP:
        return give_backup(c, &s, style);
    case SERVE_WAIT_TURN:
        client_hold_turn(c);
        return false;
    case SERVE_WAIT_POSITION:
        client_hold_position(c, &rq);
        return false;
    case SERVE_WAIT_WRITES:
        break;
    }
    client_hold(c, HOLD_WRITES);
    return false;
}

static int parse_head(struct client *c, struct span input, size_t *scanned, struct http_head *head,
                      long *bytes, const char **why)
{
    const struct settings *set = c->front->o.settings;
    *bytes = http_head_parse(input, set->head_bytes_max, set->uri_bytes_max, scanned, head, why);
    return *bytes < 0 ? (int)*bytes : 0;
}

/* Expect: 100-continue (RFC 9110 section 10.1.1): go on, unless the answer is an error whatever the
 * body is. */
static bool expectation(struct client *c, const struct http_head *head, struct answer *refusal)
{
    struct request rq;
    struct served s;
    const char *detail;
    int code = request_of(head, &rq, &detail);
    if (code != 0)
        answer_error(refusal, code, detail != NULL ? "%s" : NULL, detail);
    else if ((code = serve_check(&rq, &s)) != 0)
        *refusal = s.answer;
    if (code != 0)
        return false;
    buf_add_text(net_out(c->conn), "HTTP/1.1 100 Continue\r\n\r\n");
    c->continued = true;
    return true;
}

static size_t body_bytes_max(const struct client *c)
{
    return c->front->o.settings->record_bytes_max + BODY_SLACK_BYTES;
}

static size_t too_large(struct client *c, struct span input, const struct http_head *head)
{
    char detail[80];
    snprintf(detail, sizeof detail, "a record has at most %llu bytes (--record-bytes-max)",
             (unsigned long long)c->front->o.settings->record_bytes_max);
    return refuse_early(c, input, head, ERR_TOO_LARGE, detail);
}

static size_t too_many(struct client *c, struct span input, const struct http_head *head)
{
    return refuse_early(c, input, head, ERR_BUSY, "too many requests arrive at once: try again");
}

static char *decoded_room(struct client *c, size_t bytes)
{
    size_t before = c->decoded->size;
    char *room = buf_room(c->decoded, bytes);
    c->front->decoded_bytes += c->decoded->size - before;
    return room;
}

/*
 * More of a chunked body; its head and what is decoded so far stand in c->decoded. Returns the
 * bytes used. Of a whole body whose request is held, the last byte stays in the input: without any
 * nobody would call again.
 */
static size_t chunked_more(struct client *c, struct span input)
{
    struct http_head head;
    const char *why;
    long head_bytes, used = 1;
    size_t decoded = 0, scanned = 0;
    struct buf *d = c->decoded;
    size_t most = c->decoded_head + body_bytes_max(c);
    if (!c->chunks.done && d->bytes <= most) { /* beyond it, a refusal was held */
        char *to = decoded_room(c, input.bytes);
        used = to == NULL ? ERR_NO_MEMORY : http_chunks_decode(&c->chunks, input, to, &decoded);
        d->bytes += decoded;
    }
    bool room = c->chunks.done || front_input_room(c->front, d->bytes);
    if (used >= 0 && d->bytes <= most && room && !c->chunks.done)
        return (size_t)used;
    /* The head stood in front of a complete request once, so it parses again; its spans point into
     * `d` now. */
    parse_head(c, span(d->at, c->decoded_head), &scanned, &head, &head_bytes, &why);
    if (used < 0)
        return refuse_early(c, input, &head, (int)used, "the chunked body is malformed");
    if (d->bytes > most)
        return too_large(c, input, &head);
    if (!room)
        return too_many(c, input, &head);
    if (!whole_request(c, &head, span(d->at + c->decoded_head, d->bytes - c->decoded_head)))
        return (size_t)used - 1;
    request_done(c);
    return (size_t)used;
}

static size_t chunked_start(struct client *c, struct span input, const struct http_head *head,
                            size_t head_bytes)
{
    c->decoded = calloc(1, sizeof *c->decoded);
    if (c->decoded != NULL && decoded_room(c, head_bytes) != NULL)
        buf_add(c->decoded, input.at, head_bytes);
    if (c->decoded == NULL || c->decoded->failed)
        return refuse_early(c, input, head, ERR_NO_MEMORY, NULL);
    c->chunks = (struct http_chunks){0};
    c->decoded_head = head_bytes;
    c->scanned = 0;
    return head_bytes;
}

/* Uses one request at the start of the input, or as much of it as can be used now; 0: nothing. */
static size_t one_request(struct client *c, struct span input)
{
    struct http_head head;
    struct answer refusal;
    const char *why = NULL;
    long head_bytes;
    if (c->decoded != NULL)
        return chunked_more(c, input);
    bool room = front_input_room(c->front, input.bytes);
    if (c->need > input.bytes && room)
        return 0;
    int code = parse_head(c, input, &c->scanned, &head, &head_bytes, &why);
    if (code != 0)
        return refuse_early(c, input, &head, code, why);
    if (head_bytes == 0)
        return room ? 0 : too_many(c, input, &head);
    c->scanned = 0;
    size_t body = (size_t)head_bytes;
    if (head.body_bytes > body_bytes_max(c))
        return too_large(c, input, &head);
    c->need = body + head.body_bytes;
    bool whole = !head.chunked && c->need <= input.bytes;
    if (!whole && !room)
        return too_many(c, input, &head);
    if (!whole && head.expect_continue && head.minor == 1 && !c->continued) {
        if (c->in_flight != 0) {
            client_hold(c, HOLD_WRITES);
            return 0;
        }
        if (!expectation(c, &head, &refusal))
            return answer_early(c, input, &refusal, style_of(c, &head));
    }
    if (head.chunked)
        return chunked_start(c, input, &head, body);
    if (!whole || !whole_request(c, &head, span(input.at + body, head.body_bytes)))
        return 0;
    size_t used = c->need;
    request_done(c);
    return used;
}

size_t http_received(struct client *c, struct span input)
{
    size_t used = 0;
    while (c->hold == HOLD_NOTHING && !c->last && !c->closing) {
        struct span rest = span(input.at + used, input.bytes - used);
        size_t n = rest.bytes == 0 ? 0 : one_request(c, rest);
        if (n == 0)
            break;
        used += n;
        if (c->hold == HOLD_NOTHING && net_unsent(c->conn) >= client_output_max(c))
            client_hold(c, HOLD_ROOM);
    }
    return c->last ? input.bytes : used;
}
