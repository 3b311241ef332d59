/* JSON over TCP: a head, then its payload, one request after another. What a request means is
 * serve.c's. */
#include "base/err.h"
#include "front/inside.h"

enum { RESCAN_BYTES = 4096 };

static void value_done(struct client *c)
{
    c->scanned = 0;
    c->frame = (struct json_frame){0};
}

/* Says what is wrong and ends the connection: after input that is no JSON nobody knows where the
 * next request begins. */
static size_t refuse_stream(struct client *c, struct span input, int code, const char *detail)
{
    struct answer a;
    if (c->in_flight != 0) {
        value_done(c);
        client_hold(c, HOLD_WRITES);
        return 0;
    }
    answer_error(&a, code, detail != NULL ? "%s" : NULL, detail);
    json_answer(net_out(c->conn), &a, span(NULL, 0), true);
    c->closing = true;
    net_linger(c->conn);
    return input.bytes;
}

static size_t refuse_value(struct client *c, struct span input, const char *at, int code,
                           const struct json_found *found)
{
    char detail[DETAIL_BYTES_MAX];
    if (code != ERR_BAD_JSON)
        return refuse_stream(c, input, code, NULL);
    snprintf(detail, sizeof detail, "byte %zu: %s", (size_t)(at - input.at) + found->bad_at,
             found->why);
    return refuse_stream(c, input, code, detail);
}

static size_t blank_bytes(struct span s)
{
    size_t n = 0;
    while (n < s.bytes && (s.at[n] == ' ' || s.at[n] == '\t' || s.at[n] == '\r' || s.at[n] == '\n'))
        n++;
    return n;
}

/*
 * The JSON object or array at the start of `in`. 1: whole; 0: need more; negative: an error, and
 * `found` tells where and why. While it comes in pieces only the new bytes are looked at for its
 * end; it is judged once that is there or no more is waited for, and also before while it is short,
 * so that a mistake is told at once.
 */
static int value(struct client *c, struct span in, bool waits, struct json_found *found)
{
    if (c->scanned != 0) {
        struct span fresh = span(in.at + c->scanned, in.bytes - c->scanned);
        c->scanned = in.bytes;
        if (json_frame(&c->frame, fresh) != 0)
            value_done(c);
        else if (waits && in.bytes > RESCAN_BYTES)
            return 0;
    }
    long n = json_scan(c->front->json, in, false, found);
    if (n != 0)
        return n < 0 ? (int)n : 1;
    if (c->scanned == 0) {
        json_frame(&c->frame, in);
        c->scanned = in.bytes;
    }
    return 0;
}

/* How far it was looked at, for value()'s word on it. */
static const char *looked_at(struct span in, int got, const struct json_found *found)
{
    return got > 0               ? found->text.at + found->text.bytes
           : got == ERR_BAD_JSON ? in.at + found->bad_at
                                 : in.at + in.bytes;
}

/* Finds the head, or its payload, behind the blanks at *from, which it passes. 1: whole, in
 * found->text; 0: not yet, or refused: *used says. However the input was cut, only the first
 * bytes_max of it count. */
static int next_value(struct client *c, struct span input, size_t *from, struct json_found *found,
                      size_t *used)
{
    const struct settings *set = c->front->o.settings;
    size_t bytes_max = set->head_bytes_max + set->record_bytes_max + BODY_SLACK_BYTES;
    *from += blank_bytes(span(input.at + *from, input.bytes - *from));
    struct span rest = span(input.at + *from, input.bytes - *from);
    *used = 0;
    bool payload = c->json_head != 0; /* which may be the array of a JSON Patch */
    if (rest.bytes != 0 && rest.at[0] != '{' && !(payload && rest.at[0] == '[')) {
        /* What is neither has no end that could be trusted; a scan tells which of the two errors
         * it is. */
        long n = json_scan(c->front->json, rest, false, found);
        *used = n < 0 ? refuse_value(c, input, rest.at, (int)n, found)
                      : refuse_stream(c, input, ERR_NOT_OBJECT, NULL);
        return 0;
    }
    bool waits = !c->end_heard && input.bytes <= bytes_max;
    int got = rest.bytes == 0 ? 0 : value(c, rest, waits, found);
    if ((size_t)(looked_at(rest, got, found) - input.at) > bytes_max) {
        *used = refuse_stream(c, input, ERR_TOO_LARGE, NULL);
        return 0;
    }
    if (got < 0)
        *used = refuse_value(c, input, rest.at, got, found);
    else if (got == 0 && !front_input_room(c->front, input.bytes))
        *used = refuse_stream(c, input, ERR_BUSY, "too many requests arrive at once: try again");
    return got > 0;
}

/* False: the request is held, and will be seen again. */
static bool whole_request(struct client *c, struct request *rq, int code, const char *detail)
{
    struct served s;
    enum serve_result result = c->in_flight != 0 ? SERVE_WAIT_WRITES : SERVE_ANSWER;
    if (code != 0)
        answer_error(&s.answer, code, detail != NULL ? "%s" : NULL, detail);
    else
        result = serve(c->front, rq, c->in_flight, client_late(c), &s);
    if (result == SERVE_BACKUP)
        answer_error(&s.answer, ERR_NOT_IMPLEMENTED, "a backup is given over HTTP only");
    switch (result) {
    case SERVE_BACKUP:
    case SERVE_ANSWER:
        json_answer(net_out(c->conn), &s.answer, rq->rid, true);
        return true;
    case SERVE_WRITE:
        client_write_started(c, s.write);
        return true;
    case SERVE_LIST:
        list_start(c, &s, rq->rid, (struct http_style){.keep_alive = true});
        return true;
    case SERVE_WAIT_TURN:
        client_hold_turn(c);
        return false;
    case SERVE_WAIT_POSITION:
        client_hold_position(c, rq);
        return false;
    case SERVE_EVENTS: /* asked for by an HTTP header only */
    case SERVE_WAIT_WRITES:
        break;
    }
    client_hold(c, HOLD_WRITES);
    return false;
}

/* Uses one request at the start of the input; 0: nothing can be used now. */
static size_t one_request(struct client *c, struct span input)
{
    struct json_found head, payload;
    struct request rq;
    const char *detail;
    size_t used, start = 0;
    int code = 0;
    bool awaited = c->json_head != 0;
    if (!awaited) {
        if (!next_value(c, input, &start, &head, &used))
            return used;
        value_done(c);
        used = (size_t)(head.text.at + head.text.bytes - input.at);
        code = json_request(c->front, head.text, &rq, &detail);
        if (method_takes_payload(rq.method) && !rq.has_payload)
            c->json_head = used;
    }
    if (c->json_head != 0) {
        if (!next_value(c, input, &c->json_head, &payload, &used))
            return used;
        value_done(c);
        used = (size_t)(payload.text.at + payload.text.bytes - input.at);
        if (awaited) { /* only now, and not for each piece of the payload */
            json_scan(c->front->json, input, false, &head); /* it was whole and good before */
            code = json_request(c->front, head.text, &rq, &detail);
        }
        rq.payload = payload.text;
        rq.has_payload = rq.payload_judged = true;
    }
    if (!whole_request(c, &rq, code, detail))
        return 0;
    c->json_head = 0;
    c->begun_us = c->wait_until_us = 0;
    return used;
}

void json_write_answered(struct client *c, const struct write_batch *b, const struct write *w,
                         const struct answer *a)
{
    json_answer(net_out(c->conn), a, piece_span(&b->asked, w->rid), true);
}

size_t json_received(struct client *c, struct span input)
{
    size_t used = 0;
    while (c->hold == HOLD_NOTHING && !c->last && !c->closing) {
        struct span rest = span(input.at + used, input.bytes - used);
        if (c->json_head == 0 && c->scanned == 0) {
            size_t blank = blank_bytes(rest);
            rest = span(rest.at + blank, rest.bytes - blank);
            used += blank;
        }
        size_t n = rest.bytes == 0 ? 0 : one_request(c, rest);
        if (n == 0)
            break;
        used += n;
        if (c->hold == HOLD_NOTHING && net_unsent(c->conn) >= client_output_max(c))
            client_hold(c, HOLD_ROOM);
    }
    return used;
}
