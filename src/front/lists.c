/* Answers that do not come in one piece: long lists, and the messages as they happen. */
#include "base/err.h"
#include "front/inside.h"

enum { EVENTS_BYTES_MAX = 64 * 1024, EVENTS_QUIET_US = 15 * 1000 * 1000 };

static void give(struct client *c, struct span bytes)
{
    if (bytes.bytes == 0)
        return;
    if (c->chunked_out)
        http_chunk(net_out(c->conn), bytes);
    else
        buf_add_span(net_out(c->conn), bytes);
}

static void list_end(struct client *c)
{
    if (c->protocol == PROTOCOL_JSON)
        buf_add_text(net_out(c->conn), "}\n");
    else if (c->chunked_out)
        buf_add_text(net_out(c->conn), "0\r\n\r\n");
    client_release(c);
    client_finish(c);
}

void list_start(struct client *c, const struct served *s, struct span rid, struct http_style style)
{
    c->list = s->cursor;
    c->chunked_out = c->protocol == PROTOCOL_HTTP && style.minor_1;
    if (c->protocol == PROTOCOL_HTTP && (!style.keep_alive || !style.minor_1))
        c->last = true; /* in HTTP/1.0 the close is the end of the list */
    if (c->protocol == PROTOCOL_JSON)
        json_stream_head(net_out(c->conn), &s->answer, rid);
    else
        http_stream_head(c->front, net_out(c->conn), &s->answer, style);
    if (style.head_only)
        return;
    give(c, s->answer.body);
    client_hold(c, HOLD_LIST);
}

void list_more(struct client *c)
{
    struct front *f = c->front;
    if (c->hold != HOLD_LIST)
        return;
    buf_reset(&f->scratch, 2 * LIST_SNAPSHOT_BYTES_MAX);
    int code = reader_fresh(f->o.reader);
    if (code == 0)
        code = reader_list_more(f->o.reader, &c->list, LIST_PIECE_BYTES, &f->scratch);
    if (code != 0) {
        net_abort(c->conn); /* a cut stream is the only error that is left to tell */
        return;
    }
    give(c, buf_span(&f->scratch));
    if (c->list.done)
        list_end(c);
}

void events_start(struct client *c, const struct served *s, struct http_style style)
{
    style.keep_alive = false; /* nothing follows a stream that has no end */
    c->chunked_out = style.minor_1;
    http_stream_head(c->front, net_out(c->conn), &s->answer, style);
    c->last = true;
    if (style.head_only)
        return;
    c->events_after = s->after;
    c->events_us = front_now_us(c->front);
    client_hold_events(c);
}

/* Those who follow are mostly at the same message: what is next is made once for all of them. */
void events_more(struct front *f)
{
    uint64_t now_us = front_now_us(f), from = 0, to = 0;
    bool made = false;
    for (struct client *c = f->events; c != NULL; c = c->held_next) {
        if (net_unsent(c->conn) > EVENTS_BYTES_MAX)
            continue;
        if (!made || c->events_after != from) {
            made = true;
            from = c->events_after;
            buf_reset(&f->scratch, 2 * LIST_SNAPSHOT_BYTES_MAX);
            to = message_log_read(f->o.messages, from, EVENTS_BYTES_MAX, MESSAGE_EVENTS,
                                  &f->scratch, NULL);
        }
        struct span text = buf_span(&f->scratch);
        if (text.bytes == 0 && c->events_us + EVENTS_QUIET_US < now_us)
            text = span_of(":\n\n"); /* a comment, so that a dead peer is noticed */
        if (text.bytes != 0)
            c->events_us = now_us;
        c->events_after = to;
        give(c, text);
    }
}
