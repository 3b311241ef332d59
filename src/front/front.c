/* One front-end thread: its loop's events, its clients, and its end. */
#include "front/front.h"

#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "front/inside.h"

enum {
    TICK_MS = 50,
    TRIM_US = 500 * 1000,
    INPUT_SMALL_BYTES = 4 * 1024, /* of each client, whatever all have */
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

void client_hold(struct client *c, enum hold why)
{
    c->hold = (uint8_t)why;
    net_pause(c->conn);
}

bool client_has_room(struct client *c)
{
    return c->in_flight <= IN_FLIGHT_REQUESTS_MAX / 2 &&
           c->in_flight_bytes <= IN_FLIGHT_BYTES_MAX / 2 &&
           net_unsent(c->conn) < client_output_max(c);
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

/* --- Memory for those who do not send or read on --- */

static size_t input_bytes(const struct front *f)
{
    return net_kept_input(f->loop) + f->decoded_bytes;
}

bool front_input_room(const struct front *f, size_t bytes)
{
    return bytes <= INPUT_SMALL_BYTES || input_bytes(f) < INPUT_ALL_BYTES_MAX;
}

size_t client_output_max(const struct client *c)
{
    return net_output_full(c->front->loop) ? 1 : OUTPUT_PAUSE_BYTES;
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

/* An error after which nothing more is read, where no request tells how to answer. */
static void say_last(struct client *c, const struct answer *a)
{
    if (c->protocol == PROTOCOL_JSON)
        json_answer(net_out(c->conn), a, span(NULL, 0), true);
    else
        http_answer(c->front, net_out(c->conn), a, (struct http_style){.minor_1 = true});
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
    say_last(c, &a);
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
    c->end_heard = end;
    if (c->last)
        used = input.bytes;
    else if (c->protocol == PROTOCOL_HTTP)
        used = http_received(c, input);
    else if (c->protocol == PROTOCOL_JSON)
        used = json_received(c, input);
    bool partial = used < input.bytes || c->decoded != NULL;
    if (!partial || c->hold != HOLD_NOTHING)
        c->begun_us = 0;
    else if (c->begun_us == 0)
        c->begun_us = front_now_us(f);
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
    if (c->hold == HOLD_LIST)
        list_more(c);
    else if (c->hold == HOLD_ROOM && client_has_room(c))
        client_release(c);
}

static void closed(void *context, struct net_conn *conn)
{
    struct client *c = net_conn_user(conn);
    (void)context;
    c->closing = true;
    client_unlist(c);
    http_drop_decoded(c);
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
    waiting_wake(f);
    start_drain(f);
}

/* Ends a client that waits for nothing; later, whatever it waits for but its writes, whose fate
 * comes in a bounded time. */
static void drain_one(void *context, struct net_conn *conn)
{
    struct front *f = context;
    struct client *c = net_conn_user(conn);
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

/* A request that does not come whole must end some time: each holds memory. */
static void too_slow(struct client *c)
{
    struct answer a;
    answer_error(&a, ERR_REQUEST_TIMEOUT, NULL);
    say_last(c, &a);
    c->closing = true;
    net_linger(c->conn);
}

/* Has this client been given all the time there is? Not while it is us that it waits for; and who
 * does not take its answers is the loop's business. */
static void look(void *context, struct net_conn *conn)
{
    struct front *f = context;
    struct client *c = net_conn_user(conn);
    const struct settings *set = f->o.settings;
    if (f->draining || c->in_flight != 0 || c->hold != HOLD_NOTHING || net_unsent(conn) != 0)
        return;
    bool json = c->protocol == PROTOCOL_JSON, begun = c->begun_us != 0;
    uint64_t since_us = begun ? c->begun_us : net_conn_active_us(conn);
    uint64_t limit_ms = begun  ? set->request_timeout_ms
                        : json ? set->tcp_idle_timeout_ms
                               : set->idle_timeout_ms;
    if (begun)
        limit_ms = net_patience_ms(limit_ms, input_bytes(f), INPUT_ALL_BYTES_MAX);
    if (limit_ms == 0 || since_us + limit_ms * 1000 > front_now_us(f))
        return;
    if (begun)
        too_slow(c);
    else
        net_close(conn);
}

static void tick(void *context, uint64_t mono_us)
{
    struct front *f = context;
    f->now_us = mono_us;
    message_tick(f->o.ring, mono_us);
    batch_submit(f);
    batches_give_up(f);
    waiting_wake(f);
    waiting_wake_late(f);
    events_more(f);
    if (f->draining)
        net_conn_each(f->loop, drain_one, f);
    if (f->trimmed_us + TRIM_US < mono_us) {
        f->trimmed_us = mono_us;
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
    waiting_next_turn(f);
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
                    .look = look,
                    .datagram = datagram,
                    .woken = woken,
                    .tick = tick,
                    .turn_end = turn_end},
        .clock = f->o.clock,
        .user_bytes = sizeof(struct client),
        .connections_max = set->connections_max,
        .connections_own = set->connections_max / (2 * set->threads),
        .connections = f->o.connections,
        .sharers = set->threads,
        .input_bytes_max = set->head_bytes_max + set->record_bytes_max + 2 * BODY_SLACK_BYTES,
        .tick_ms = TICK_MS,
        .stall_ms = set->answer_timeout_ms,
        .output_bytes_max = OUTPUT_ALL_BYTES_MAX,
        .keep_alive_s = set->keep_alive_s,
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
    f->turns_end = &f->turns;
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
