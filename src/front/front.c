/* One front-end thread: its loop's events, its clients, and its end. */
#include "front/front.h"

#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "front/inside.h"

enum {
    TICK_MS = 50,
    SWEEP_US = 500 * 1000,
    OWED_BYTES = 64 * 1024,
    DRAIN_US = 5 * 1000 * 1000,
    SCRATCH_KEEP_BYTES = 2 * LIST_SNAPSHOT_BYTES_MAX,
};

uint64_t front_now_us(struct front *f)
{
    if (f->now_us == 0)
        f->now_us = clock_mono_us(f->o.clock);
    return f->now_us;
}

/* IMF-fixdate (RFC 9110 section 5.6.7), made once a second. */
const char *front_date(struct front *f)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t now_s = clock_wall_us(f->o.clock) / 1000000;
    if (now_s != f->date_s) {
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        snprintf(f->date, sizeof f->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                 days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100U, months + 3 * tm.tm_mon,
                 (unsigned)(tm.tm_year + 1900) % 10000U, (unsigned)tm.tm_hour % 100U,
                 (unsigned)tm.tm_min % 100U, (unsigned)tm.tm_sec % 100U);
        f->date_s = now_s;
    }
    return f->date;
}

/* --- Clients --- */

static void watch(struct front *f)
{
    atomic_store_explicit(&f->o.port->watching, f->waiting != NULL || f->datagrams != NULL,
                          memory_order_seq_cst);
}

void client_hold(struct client *c, enum hold why)
{
    c->hold = (uint8_t)why;
    net_pause(c->conn);
}

void client_hold_position(struct client *c, const struct request *rq)
{
    if (c->wait_until_us == 0)
        c->wait_until_us = front_now_us(c->front) + (uint64_t)rq->wait_ms * 1000 + 1;
    c->wait_seq = rq->min_seq;
    c->wait_next = c->front->waiting;
    c->front->waiting = c;
    client_hold(c, HOLD_POSITION);
    watch(c->front);
}

bool client_late(struct client *c)
{
    return c->wait_until_us != 0 && front_now_us(c->front) >= c->wait_until_us;
}

bool client_has_room(struct client *c)
{
    return c->in_flight <= IN_FLIGHT_REQUESTS_MAX / 2 &&
           c->in_flight_bytes <= IN_FLIGHT_BYTES_MAX / 2 &&
           net_unsent(c->conn) < OUTPUT_PAUSE_BYTES;
}

void client_release(struct client *c)
{
    c->hold = HOLD_NOTHING;
    net_resume(c->conn);
}

void client_write_started(struct client *c, struct write *w)
{
    w->client = c;
    c->in_flight++;
    c->in_flight_bytes += w->weight;
    net_hold(c->conn);
    if (c->in_flight >= IN_FLIGHT_REQUESTS_MAX || c->in_flight_bytes >= IN_FLIGHT_BYTES_MAX)
        client_hold(c, HOLD_ROOM);
}

void client_finish(struct client *c)
{
    if (c->closing || c->in_flight != 0 || c->hold == HOLD_LIST || c->hold == HOLD_EVENTS)
        return;
    if (c->ended && c->hold == HOLD_NOTHING) {
        c->closing = true;
        net_close(c->conn);
    } else if (c->last) {
        c->closing = true;
        net_linger(c->conn);
    }
}

static void forget_waiting(struct client *c)
{
    for (struct client **at = &c->front->waiting; *at != NULL; at = &(*at)->wait_next)
        if (*at == c) {
            *at = c->wait_next;
            return;
        }
}

/* Looks again at the requests that wait for a position: those for which it is there, and those for
 * which it is late. */
static void wake_waiting(struct front *f)
{
    uint64_t seq = atomic_load_explicit(&f->o.visible->seq, memory_order_acquire);
    uint64_t now_us = f->waiting != NULL ? front_now_us(f) : 0;
    for (struct client **at = &f->waiting, *c; (c = *at) != NULL;) {
        if (seq < c->wait_seq && now_us < c->wait_until_us) {
            at = &c->wait_next;
            continue;
        }
        *at = c->wait_next;
        client_release(c);
    }
    udp_waiting(f, false);
    watch(f);
}

/* --- Memory for those who do not read: large answers are counted while they are unsent --- */

static void owes_no_more(struct client *c)
{
    if (c->owing_at == NULL)
        return;
    *c->owing_at = c->owing_next;
    if (c->owing_next != NULL)
        c->owing_next->owing_at = c->owing_at;
    c->owing_at = NULL;
}

void client_owes(struct client *c)
{
    struct front *f = c->front;
    size_t unsent = net_unsent(c->conn);
    if (unsent < OWED_BYTES)
        return;
    f->owed_bytes += unsent;
    if (c->owing_at != NULL)
        return;
    c->owing_next = f->owing;
    c->owing_at = &f->owing;
    if (f->owing != NULL)
        f->owing->owing_at = &c->owing_next;
    f->owing = c;
}

bool front_owed_too_much(struct front *f)
{
    if (f->owed_bytes < LISTS_BYTES_MAX)
        return false;
    f->owed_bytes = 0; /* it only grew since it was counted last */
    for (struct client *c = f->owing, *next; c != NULL; c = next) {
        next = c->owing_next;
        size_t unsent = net_unsent(c->conn);
        if (unsent < OWED_BYTES)
            owes_no_more(c);
        else
            f->owed_bytes += unsent;
    }
    return f->owed_bytes >= LISTS_BYTES_MAX;
}

/* --- Events of the loop --- */

static void accepted(void *context, struct net_conn *conn)
{
    struct client *c = net_conn_user(conn);
    c->front = context;
    c->conn = conn;
}

/* Another server, no client: its connection leaves this loop. */
static void give_up_peer(struct client *c)
{
    const struct front_options *o = &c->front->o;
    struct buf unread = {0};
    int fd = o->peer == NULL ? -1 : net_release(c->conn, &unread);
    c->closing = true;
    if (fd >= 0)
        o->peer(o->node, fd, buf_span(&unread));
    else
        net_abort(c->conn);
    buf_finish(&unread);
}

/* The contract's choice by the first byte: `{` or white space is JSON, anything else (but a peer's)
 * is HTTP. */
static void choose_protocol(struct client *c, char first)
{
    bool json = first == '{' || first == ' ' || first == '\t' || first == '\r' || first == '\n';
    uint32_t serve = c->front->o.settings->serve;
    c->protocol = json ? PROTOCOL_JSON : PROTOCOL_HTTP;
    if ((serve & (json ? SERVE_TCP : SERVE_HTTP)) != 0)
        return;
    struct answer a;
    answer_error(&a, ERR_NOT_IMPLEMENTED,
                 json ? "this server does not answer JSON over TCP (--serve)"
                      : "this server does not answer HTTP (--serve)");
    if (json)
        json_answer(net_out(c->conn), &a, span(NULL, 0), true);
    else
        http_answer(c->front, net_out(c->conn), &a, (struct http_style){.minor_1 = true});
    c->last = true;
}

static size_t received(void *context, struct net_conn *conn, struct span input, bool end)
{
    struct client *c = net_conn_user(conn);
    struct front *f = context;
    size_t used = 0;
    if (c->protocol == PROTOCOL_UNKNOWN && input.bytes != 0 &&
        (unsigned char)input.at[0] == PEER_FIRST_BYTE) {
        give_up_peer(c);
        return 0;
    }
    if (c->protocol == PROTOCOL_UNKNOWN && input.bytes != 0)
        choose_protocol(c, input.at[0]);
    if (c->last)
        used = input.bytes;
    else if (c->protocol == PROTOCOL_HTTP)
        used = http_received(c, input);
    else if (c->protocol == PROTOCOL_JSON)
        used = json_received(c, input);
    if (c->hold == HOLD_NOTHING) {
        c->ended = c->ended || end;
        c->last = c->last || f->draining;
    }
    client_finish(c);
    return used;
}

static void drained(void *context, struct net_conn *conn)
{
    struct client *c = net_conn_user(conn);
    (void)context;
    owes_no_more(c);
    if (c->hold == HOLD_LIST)
        list_more(c);
    else if (c->hold == HOLD_ROOM && client_has_room(c))
        client_release(c);
}

static void closed(void *context, struct net_conn *conn)
{
    struct client *c = net_conn_user(conn);
    struct front *f = context;
    c->closing = true;
    if (c->hold == HOLD_POSITION)
        forget_waiting(c);
    if (c->hold == HOLD_EVENTS)
        f->event_streams--;
    owes_no_more(c);
    if (c->decoded != NULL)
        buf_finish(c->decoded);
    free(c->decoded);
    c->decoded = NULL;
    c->hold = HOLD_NOTHING;
}

static void datagram(void *context, const struct net_peer *peer, struct span bytes)
{
    udp_received(context, peer, bytes);
}

static void start_drain(struct front *f)
{
    if (f->draining || !atomic_load_explicit(&f->drain_asked, memory_order_acquire))
        return;
    f->draining = true;
    f->drain_since_us = front_now_us(f);
    net_stop_accepting(f->loop);
    net_stop_datagrams(f->loop);
}

static void woken(void *context)
{
    struct front *f = context;
    batches_answered(f);
    wake_waiting(f);
    start_drain(f);
}

/* Ends a client that waits for nothing; later, whatever it waits for but its writes, whose fate
 * comes in a bounded time. */
static void drain_one(struct front *f, struct client *c)
{
    bool late = f->drain_since_us + DRAIN_US < front_now_us(f);
    c->last = c->last || late;
    if (c->in_flight != 0 || (!late && c->hold != HOLD_NOTHING && c->hold != HOLD_EVENTS))
        return;
    c->closing = true;
    /* What it has just sent, unread here, must not reset the answers that it has yet to read. */
    if (net_conn_active_us(c->conn) + LINGER_MS * UINT64_C(1000) > front_now_us(f))
        net_linger(c->conn);
    else
        net_close(c->conn);
}

static void sweep_one(void *context, struct net_conn *conn)
{
    struct front *f = context;
    struct client *c = net_conn_user(conn);
    uint64_t idle_us = (uint64_t)f->o.settings->idle_timeout_ms * 1000;
    if (f->draining) {
        drain_one(f, c);
        return;
    }
    if (net_conn_active_us(conn) + idle_us > front_now_us(f) || c->in_flight != 0)
        return;
    if (net_unsent(conn) != 0)
        net_abort(conn); /* it does not take its answer */
    else if (c->hold == HOLD_NOTHING && (c->protocol != PROTOCOL_JSON || net_conn_partial(conn)))
        net_close(conn);
}

static void events_one(void *context, struct net_conn *conn)
{
    (void)context;
    events_more(net_conn_user(conn));
}

static void tick(void *context, uint64_t mono_us)
{
    struct front *f = context;
    f->now_us = mono_us;
    message_tick(f->o.ring, mono_us);
    batch_submit(f);
    batches_give_up(f);
    wake_waiting(f);
    if (f->event_streams != 0)
        net_conn_each(f->loop, events_one, f);
    if (f->draining || f->swept_us + SWEEP_US < mono_us) {
        f->swept_us = mono_us;
        net_conn_each(f->loop, sweep_one, f);
        buf_reset(&f->scratch, SCRATCH_KEEP_BYTES);
        json_trim(f->json);
    }
    bool late = f->drain_since_us + 2 * DRAIN_US < mono_us;
    bool answered = f->weight == 0; /* or given up, though a batch may still be away */
    if (f->draining && answered && (net_conn_count(f->loop) == 0 || late))
        net_loop_stop(f->loop);
}

static void turn_end(void *context)
{
    struct front *f = context;
    batch_turn_end(f);
    reader_rest(f->o.reader);
    f->now_us = 0;
}

/* --- Life --- */

static void wake(void *front)
{
    net_loop_wake(((struct front *)front)->loop);
}

static int open_loop(struct front *f)
{
    const struct settings *set = f->o.settings;
    const struct net_loop_options o = {
        .handler = {.context = f,
                    .accepted = accepted,
                    .received = received,
                    .drained = drained,
                    .closed = closed,
                    .datagram = datagram,
                    .woken = woken,
                    .tick = tick,
                    .turn_end = turn_end},
        .clock = f->o.clock,
        .user_bytes = sizeof(struct client),
        .connections_max = (set->connections_max + set->threads - 1) / set->threads,
        .input_bytes_max = set->head_bytes_max + set->record_bytes_max + 2 * BODY_SLACK_BYTES,
        .tick_ms = TICK_MS,
    };
    int rc = net_loop_create(&f->loop, &o);
    if (rc == 0 && f->o.tcp_fd >= 0)
        rc = net_listen(f->loop, f->o.tcp_fd);
    if (rc == 0 && f->o.udp_fd >= 0)
        rc = net_datagrams(f->loop, f->o.udp_fd);
    return rc;
}

int front_create(struct front **out, const struct front_options *o)
{
    struct front *f = calloc(1, sizeof *f);
    if (f == NULL)
        return ERR_NO_MEMORY;
    f->o = *o;
    f->flying_end = &f->flying;
    o->port->wake = wake;
    o->port->front = f;
    int rc = json_create(&f->json, o->seed, o->settings->json_depth_max);
    if (rc == 0)
        rc = open_loop(f);
    if (rc != 0) {
        front_destroy(f);
        return rc;
    }
    *out = f;
    return 0;
}

int front_run(struct front *f)
{
    return net_loop_run(f->loop);
}

void front_drain(struct front *f)
{
    atomic_store_explicit(&f->drain_asked, true, memory_order_release);
    net_loop_wake(f->loop);
}

void front_destroy(struct front *f)
{
    if (f == NULL)
        return;
    net_loop_destroy(f->loop);
    json_destroy(f->json);
    for (struct write_batch *b = f->spare, *next; b != NULL; b = next) {
        next = b->next;
        write_batch_destroy(b);
    }
    for (struct write_batch *b = f->flying, *next; b != NULL; b = next) {
        next = b->flying_next;
        write_batch_destroy(b);
    }
    write_batch_destroy(f->open);
    buf_finish(&f->scratch);
    buf_finish(&f->line);
    buf_finish(&f->decoded);
    udp_waiting(f, true);
    free(f);
}
