/* JSON over UDP: one datagram, one request; one datagram, one answer. What a request means is
 * serve.c's. */
#include <stdlib.h>

#include "base/err.h"
#include "front/inside.h"

/* A datagram whose request waits for a position. */
struct datagram {
    struct datagram *next;
    struct net_peer peer;
    uint64_t wait_until_us, wait_seq;
    size_t bytes;
    char text[];
};

static void reply(struct front *f, const struct net_peer *peer, const struct answer *a,
                  struct span rid)
{
    buf_reset(&f->line, MIB);
    json_answer(&f->line, a, rid, true);
    if (f->line.bytes > DATAGRAM_ANSWER_BYTES_MAX || f->line.failed) {
        struct answer small;
        buf_reset(&f->line, MIB);
        if (a->id != 0) { /* a write happened: that must be said, the record can be left out */
            json_answer(&f->line, a, rid, false);
        } else {
            answer_error(&small, ERR_USE_TCP, NULL);
            json_answer(&f->line, &small, rid, true);
        }
    }
    net_reply(f->loop, peer, buf_span(&f->line));
}

void udp_write_answered(struct front *f, const struct write_batch *b, const struct write *w,
                        const struct answer *a)
{
    struct net_peer peer;
    memcpy(&peer, b->asked.at + w->peer_at, sizeof peer);
    reply(f, &peer, a, piece_span(&b->asked, w->rid));
}

static void hold(struct front *f, const struct net_peer *peer, struct span text,
                 const struct request *rq)
{
    struct answer a;
    struct datagram *d =
        f->datagrams_count < DATAGRAMS_WAITING_MAX ? malloc(sizeof *d + text.bytes) : NULL;
    if (d == NULL) {
        answer_error(&a, ERR_BUSY, "too many datagrams wait for a position");
        reply(f, peer, &a, rq->rid);
        return;
    }
    *d = (struct datagram){
        .next = f->datagrams,
        .peer = *peer,
        .wait_until_us = front_now_us(f) + (uint64_t)rq->wait_ms * 1000,
        .wait_seq = rq->min_seq,
        .bytes = text.bytes,
    };
    memcpy(d->text, text.at, text.bytes);
    f->datagrams = d;
    f->datagrams_count++;
    waiting_watch(f);
}

static void drop(struct front *f)
{
    atomic_fetch_add_explicit(&f->o.status->datagrams_dropped, 1, memory_order_relaxed);
}

static struct span trim(struct span s)
{
    while (s.bytes != 0 && memchr(" \t\r\n", s.at[0], 4) != NULL)
        s = span(s.at + 1, s.bytes - 1);
    while (s.bytes != 0 && memchr(" \t\r\n", s.at[s.bytes - 1], 4) != NULL)
        s.bytes--;
    return s;
}

/* The payload behind the head, which serve() judges as a whole; what is there without being asked
 * for is an error. */
static int payload_of(struct request *rq, struct span rest, const char **detail)
{
    rest = trim(rest);
    if (method_takes_payload(rq->method) && !rq->has_payload) {
        rq->has_payload = rest.bytes != 0;
        rq->payload = rest;
        return 0;
    }
    if (rest.bytes == 0)
        return 0;
    *detail = "there is something behind the request";
    return ERR_BAD_REQUEST;
}

static void handle(struct front *f, const struct net_peer *peer, struct span text, bool late)
{
    struct json_found head;
    struct request rq;
    struct served s;
    const char *detail = NULL;
    long n = json_scan(f->json, text, false, &head);
    if (n <= 0 || head.type != JSON_OBJECT) {
        drop(f);
        return;
    }
    int code = json_request(f, head.text, &rq, &detail);
    rq.short_answer = true;
    if (code == 0)
        code = payload_of(&rq, span(text.at + n, text.bytes - (size_t)n), &detail);
    if (code == 0 && method_writes(rq.method) && rq.key.bytes == 0)
        code = ERR_KEY_REQUIRED;
    if (code != 0) {
        answer_error(&s.answer, code, detail != NULL ? "%s" : NULL, detail);
        reply(f, peer, &s.answer, rq.rid);
        return;
    }
    switch (serve(f, &rq, 0, late, &s)) {
    case SERVE_WRITE:
        s.write->client = NULL;
        s.write->peer_at = piece_add(&f->open->asked, span((const char *)peer, sizeof *peer)).at;
        return;
    case SERVE_WAIT_POSITION:
        hold(f, peer, text, &rq);
        return;
    case SERVE_LIST: /* longer than a datagram by far */
        answer_error(&s.answer, ERR_USE_TCP, NULL);
        break;
    case SERVE_BACKUP:
        answer_error(&s.answer, ERR_NOT_IMPLEMENTED, "a backup is given over HTTP only");
        break;
    case SERVE_ANSWER:
    case SERVE_EVENTS:
    case SERVE_WAIT_WRITES:
    case SERVE_WAIT_TURN: /* those two are for connections */
        break;
    }
    reply(f, peer, &s.answer, rq.rid);
}

void udp_received(struct front *f, const struct net_peer *peer, struct span bytes)
{
    handle(f, peer, bytes, false);
}

void udp_waiting(struct front *f, bool all)
{
    uint64_t seq = atomic_load_explicit(&f->o.visible->seq, memory_order_acquire);
    for (struct datagram **at = &f->datagrams, *d; (d = *at) != NULL;) {
        bool late = front_now_us(f) >= d->wait_until_us;
        if (!all && !late && seq < d->wait_seq) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        f->datagrams_count--;
        if (!all)
            handle(f, &d->peer, span(d->text, d->bytes), late);
        free(d);
    }
}
