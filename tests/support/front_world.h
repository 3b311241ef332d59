/*
 * A front end with nothing real around it: an engine whose clients, socket and time are a script,
 * the order thread's work in the same thread, local storage in memory. To be included by one file
 * of a program, whose definitions of the engine and of datagrams then stand in the place of those
 * of net/epoll.c and net/udp.c. What clients say is unknown here.
 */
#ifndef TESTS_FRONT_WORLD_H
#define TESTS_FRONT_WORLD_H

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "front/front.h"
#include "net/engine.h"
#include "record/execute.h"
#include "store/store.h"

enum { LINES_MAX = 4, COPIES = 3, IDLE_S_MAX = 75, SPINS_MAX = 1000, COMMENT_BYTES = 16 };
#define WORLD_START_US UINT64_C(1000000000000000) /* so that all times have the same digits */

/* Which choice the script makes next: bytes, over and over again. None: all at once, at once. */
struct choices {
    const uint8_t *at;
    size_t count, next;
};

/* A client's connection. */
struct line {
    struct net_conn *conn; /* NULL: not there (any more) */
    struct span say;       /* what the client has yet to say; then it ends its side */
    bool stays;            /* it does not end its side */
    bool said_end, reset, shut, released, given_to_peer;
    size_t piece_bytes;       /* said at a time; 0: the script's choice */
    size_t said, break_after; /* bytes after which the connection breaks; SIZE_MAX: never */
    struct buf heard, unread; /* unread: what a peer's connection was given up with */
};

struct world {
    struct clock clock;
    uint64_t now_us;
    struct settings settings;
    struct status status;
    atomic_size_t connections;
    struct store *store;
    struct reader *reader;
    struct visible visible;
    struct write_port port;
    struct message_log *messages, *log; /* shown; written: what is shown must not depend on time */
    struct execution x;
    struct buf effects;
    struct front *front;
    struct net_loop *loop;
    struct choices choices;
    struct line lines[LINES_MAX];
    size_t lines_count;
    bool has_long_list;   /* /l; before world_open */
    bool order_late;      /* the order thread answers only when it is too late */
    bool drains;          /* the front end is told to end on the way */
    bool answers;         /* something was sent, but for a stream's sign of life */
    unsigned idle_s;      /* nothing has happened for so long */
    unsigned turns_alone; /* without an event and without sleep */
    struct span datagram; /* that is about to come; no bytes: none */
    struct net_peer sender;
    struct buf reply; /* to the last one */
    unsigned replies;
};

/* The one there is: datagrams have no way to it. */
static struct world *world;

static inline unsigned choose(struct world *w)
{
    struct choices *c = &w->choices;
    return c->count == 0 ? 0xff : c->at[c->next++ % c->count];
}

/* Appends the bytes of an input, in which 0xff N C is 64 * N times the byte C. */
static inline void expand(struct buf *to, const uint8_t *from, size_t size, size_t bytes_max)
{
    assert(buf_room(to, 1) != NULL); /* so that there is a place even for nothing */
    for (size_t i = 0; i < size && to->bytes < bytes_max; i++) {
        size_t times = 1;
        if (from[i] == 0xff && size - i > 2) {
            times = from[i + 1] * 64U;
            i += 2;
        }
        char *at = buf_room(to, times);
        assert(at != NULL);
        memset(at, from[i], times);
        to->bytes += times;
    }
}

/* --- Clock --- */

static inline uint64_t world_wall_us(void *context)
{
    (void)context;
    return UINT64_C(1700000000000000);
}

static inline uint64_t world_mono_us(void *context)
{
    return ((struct world *)context)->now_us;
}

/* --- The order thread --- */

static inline void order_rung(void *order)
{
    (void)order; /* it looks at every turn */
}

/* Executes a batch as one entry or, where that is full, as several. */
static inline void execute(struct world *w, struct write_batch *b)
{
    struct execution *x = &w->x;
    while (b->done < b->count) {
        int rc = store_write_begin(w->store, &x->txn);
        assert(rc == 0);
        struct store_state *state = store_state(x->txn);
        buf_reset(&w->effects, SIZE_MAX);
        x->effects = &w->effects;
        x->time_us = world_wall_us(w);
        x->first_seq = x->seq = state->seq + 1;
        x->answer_bytes = 0;
        for (; b->done < b->count && rc == 0; b->done += rc == 0)
            rc = write_execute(x, b, &b->writes[b->done]);
        assert(rc == 0 || rc == WRITE_ENTRY_FULL);
        state = store_state(x->txn);
        state->seq = x->seq - 1;
        state->applied++;
        uint64_t seq = state->seq, applied = state->applied;
        assert(store_write_commit(x->txn) == 0);
        atomic_store(&w->visible.seq, seq);
        atomic_store(&w->visible.applied, applied);
    }
}

static inline bool order_works(struct world *w, bool idle)
{
    struct write_batch *b;
    bool did = false;
    if (w->order_late ? w->idle_s < 12 : !idle && (choose(w) & 1) == 0)
        return false;
    while ((b = queue_take(&w->port.asked)) != NULL) {
        execute(w, b);
        assert(queue_put(&w->port.answered, b));
        w->port.wake(w->port.front);
        did = true;
    }
    return did;
}

/* --- The engine --- */

static inline struct world *world_of(const struct net_loop *loop)
{
    return loop->options.clock->context;
}

static inline struct line *line_of(struct net_conn *c)
{
    return &world_of(c->loop)->lines[c->source.fd];
}

static inline int engine_create(struct net_loop *loop)
{
    world_of(loop)->loop = loop;
    return 0;
}

static inline void engine_destroy(struct net_loop *loop)
{
    world_of(loop)->loop = NULL;
}

static inline int engine_watch(struct net_loop *loop, struct net_source *s)
{
    (void)loop;
    (void)s;
    return 0;
}

static inline void engine_unwatch(struct net_loop *loop, struct net_source *s)
{
    (void)loop;
    (void)s;
}

static inline int engine_adopt(int fd)
{
    (void)fd;
    return ERR_SYSTEM; /* no front end does */
}

static inline int engine_open(struct net_conn *c)
{
    line_of(c)->conn = c;
    return 0;
}

static inline void engine_receive(struct net_conn *c)
{
    (void)c; /* it is asked at every turn whether it wants */
}

/* As much as the socket takes now: at least `least`. */
static inline void send_some(struct net_conn *c, size_t least)
{
    struct world *w = world_of(c->loop);
    size_t bytes = c->sending.bytes - c->sent;
    unsigned choice = choose(w);
    size_t most = least + choice * 8U + bytes / 32;
    if (choice < 0x80 && bytes > most)
        bytes = most;
    buf_add(&line_of(c)->heard, c->sending.at + c->sent, bytes);
    w->answers = w->answers || bytes > COMMENT_BYTES;
    if (bytes != 0)
        net_conn_sent(c, bytes);
}

static inline void engine_send(struct net_conn *c)
{
    send_some(c, 0);
}

static inline void engine_shutdown(struct net_conn *c)
{
    line_of(c)->shut = true;
}

static inline void engine_close(struct net_conn *c, bool reset)
{
    struct line *l = line_of(c);
    l->conn = NULL;
    l->reset = reset;
}

static inline int engine_release(struct net_conn *c)
{
    struct line *l = line_of(c);
    l->conn = NULL;
    l->released = true;
    return c->source.fd;
}

/* One thing that happens on a connection. False: nothing does. */
static inline bool line_moves(struct world *w, struct line *l)
{
    struct net_conn *c = l->conn;
    if (c == NULL)
        return false;
    assert(c->in.bytes - c->in_at <= c->loop->options.input_bytes_max + NET_RECEIVE_BYTES);
    if (l->said >= l->break_after) {
        net_conn_failed(c);
        return true;
    }
    if (c->sent < c->sending.bytes) {
        bool more_than_a_comment = c->sending.bytes - c->sent > COMMENT_BYTES;
        send_some(c, 1);
        return more_than_a_comment; /* else a stream whose comments go byte by byte has no end */
    }
    if (!net_conn_wants(c) || l->said_end || (l->stays && l->say.bytes == 0))
        return false;
    unsigned choice = choose(w);
    size_t bytes = choice < 0xc0 ? 1 + choice / 4 : choice * 16;
    bytes += l->say.bytes / 32; /* something long comes in a bounded number of pieces */
    if (choice == 0xff || bytes > NET_RECEIVE_BYTES)
        bytes = NET_RECEIVE_BYTES;
    bytes = l->piece_bytes != 0 ? l->piece_bytes : bytes;
    bytes = bytes < l->say.bytes ? bytes : l->say.bytes;
    struct span piece = span(l->say.at, bytes);
    l->say = span(l->say.at + bytes, l->say.bytes - bytes);
    l->said += bytes;
    l->said_end = bytes == 0;
    net_conn_received(c, piece);
    return true;
}

/* Nobody is there, and nothing is under way. */
static inline bool all_over(const struct world *w)
{
    for (size_t i = 0; i < w->lines_count; i++)
        if (w->lines[i].conn != NULL)
            return false;
    return w->loop->count == 0 && queue_empty(&w->port.asked) && queue_empty(&w->port.answered) &&
           !atomic_load(&w->port.watching);
}

static inline bool datagram_comes(struct world *w)
{
    const struct net_handler *h = &w->loop->options.handler;
    struct span bytes = w->datagram;
    if (bytes.bytes == 0)
        return false;
    w->datagram = span(NULL, 0);
    h->datagram(h->context, &w->sender, bytes);
    return true;
}

static inline int engine_turn(struct net_loop *loop, int timeout_ms)
{
    struct world *w = world_of(loop);
    bool asleep = timeout_ms > 0;
    net_loop_awake(loop);
    bool did = w->answers;
    w->answers = false;
    did = order_works(w, false) || did;
    did = datagram_comes(w) || did;
    if (w->drains && choose(w) == 0x7f)
        front_drain(w->front);
    for (size_t i = 0; i < w->lines_count; i++)
        did = line_moves(w, &w->lines[i]) || did;
    did = did || order_works(w, true);
    w->turns_alone = did || asleep ? 0 : w->turns_alone + 1;
    assert(w->turns_alone < SPINS_MAX);
    if (did) {
        w->idle_s = 0;
    } else if (asleep && !all_over(w) && ++w->idle_s < IDLE_S_MAX) {
        w->now_us += 1000 * 1000;
    } else if (asleep) {
        net_loop_stop(loop);
    }
    return 0;
}

const struct net_engine net_epoll = {
    .create = engine_create,
    .destroy = engine_destroy,
    .turn = engine_turn,
    .watch = engine_watch,
    .unwatch = engine_unwatch,
    .adopt = engine_adopt,
    .open = engine_open,
    .receive = engine_receive,
    .send = engine_send,
    .shutdown = engine_shutdown,
    .close = engine_close,
    .release = engine_release,
};

/* --- Datagrams --- */

int net_udp_create(struct net_udp **udp, int fd)
{
    (void)fd;
    *udp = (struct net_udp *)world;
    return 0;
}

void net_udp_destroy(struct net_udp *udp)
{
    (void)udp;
}

bool net_udp_speaks(const struct net_udp *udp, int family)
{
    (void)udp;
    return family == AF_INET;
}

void net_udp_add(struct net_udp *udp, const struct net_peer *peer, struct span bytes)
{
    struct world *w = (struct world *)udp;
    assert(memcmp(peer, &w->sender, sizeof *peer) == 0);
    w->replies++;
    buf_add_span(&w->reply, bytes);
}

void net_udp_flush(struct net_udp *udp)
{
    (void)udp;
}

/* --- Its life --- */

static inline void take_peer(void *node, int fd, struct span unread)
{
    struct line *l = &((struct world *)node)->lines[fd];
    l->given_to_peer = true;
    buf_add_span(&l->unread, unread);
}

static inline int reserve_backup(void *node)
{
    return atomic_load(&((struct world *)node)->status.refusal) == 0 ? 0 : ERR_BUSY;
}

static inline void take_backup(void *node, int fd, struct span head, bool chunked)
{
    (void)chunked;
    if (fd >= 0)
        buf_add_span(&((struct world *)node)->lines[fd].heard, head);
}

/* Some records, so that requests find something. */
static inline void fill(struct world *w)
{
    static const char *const texts[] = {"{\"id\":1}", "{\"id\":2,\"a\":[1,\"x\"]}"};
    struct store_txn *txn;
    struct store_collection c;
    assert(store_write_begin(w->store, &txn) == 0);
    assert(store_collection_make(txn, span_of("a"), &c) == 0);
    for (uint64_t id = 1; id <= 2; id++) {
        struct store_record r = {id, id, span_of(texts[id - 1])};
        assert(store_record_put(txn, span_of("a"), c.number, &r) == 0);
    }
    store_state(txn)->seq = 2;
    store_state(txn)->applied = 1;
    assert(store_write_commit(txn) == 0);
    atomic_init(&w->visible.seq, 2);
    atomic_init(&w->visible.applied, 1);
}

/* A collection whose list is longer than one answer has in a piece. */
static inline void fill_long(struct world *w)
{
    enum { RECORDS = 18, TEXT_BYTES = 64 * 1024 };
    struct store_txn *txn;
    struct store_collection c;
    char *text = malloc(TEXT_BYTES);
    assert(text != NULL && store_write_begin(w->store, &txn) == 0);
    assert(store_collection_make(txn, span_of("l"), &c) == 0);
    memset(text, 'l', TEXT_BYTES);
    for (uint64_t id = 1; id <= RECORDS; id++) {
        text[snprintf(text, 32, "{\"id\":%llu,\"l\":\"", (unsigned long long)id)] = 'l';
        memcpy(text + TEXT_BYTES - 2, "\"}", 2);
        struct store_record r = {id, 2, span(text, TEXT_BYTES)};
        assert(store_record_put(txn, span_of("l"), c.number, &r) == 0);
    }
    assert(store_write_commit(txn) == 0);
    free(text);
}

static inline struct message_log *make_messages(const struct clock *clock)
{
    struct message_log *log;
    const struct message_log_options o = {
        .app_name = "a", .rings = 1, .slots = 64, .reads_per_second_max = 10, .clock = clock};
    assert(message_log_create(&log, &o) == 0);
    return log;
}

/* The settings' own members are the caller's to change, before world_open. */
static inline void world_init(struct world *w)
{
    *w = (struct world){.now_us = WORLD_START_US};
    w->clock = (struct clock){world_wall_us, world_mono_us, w};
    w->settings = (struct settings){
        .serve = SERVE_HTTP | SERVE_TCP | SERVE_UDP,
        .threads = 1,
        .record_bytes_max = KIB,
        .head_bytes_max = KIB,
        .json_depth_max = 64,
        .uri_bytes_max = 128,
        .connections_max = LINES_MAX,
        .idle_timeout_ms = 60000,
    };
    w->status = (struct status){.app_name = "a", .ready = true};
    pthread_mutex_init(&w->status.lock, NULL);
    world = w;
}

static inline void world_open(struct world *w)
{
    const struct store_options store = {.readers_max = 2};
    char why[256];
    assert(store_open(&w->store, &store, why, sizeof why) == 0);
    fill(w);
    if (w->has_long_list)
        fill_long(w);
    assert(reader_create(&w->reader, w->store, &w->visible) == 0);
    assert(write_port_init(&w->port, order_rung, w) == 0);
    assert(json_create(&w->x.json, 1, w->settings.json_depth_max) == 0);
    w->x.record_bytes_max = w->settings.record_bytes_max;
    w->x.collections_max = 4;
    w->x.keys_max = 100;
    w->x.keys_bytes_max = MIB;
    w->x.key_window_us = 1000 * 1000;
    w->x.copies = COPIES;
    w->messages = make_messages(&w->clock);
    w->log = make_messages(&w->clock);
    const struct front_options o = {
        .settings = &w->settings,
        .clock = &w->clock,
        .visible = &w->visible,
        .reader = w->reader,
        .port = &w->port,
        .messages = w->messages,
        .ring = message_log_ring(w->log, 0),
        .status = &w->status,
        .connections = &w->connections,
        .seed = 1,
        .tcp_fd = -1,
        .udp_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
        .peer = take_peer,
        .backup_reserve = reserve_backup,
        .backup = take_backup,
        .node = w,
    };
    assert(front_create(&w->front, &o) == 0);
}

/* Somebody connects, says this, and then ends its side. */
static inline struct line *world_connect(struct world *w, struct span say)
{
    struct line *l = &w->lines[w->lines_count];
    *l = (struct line){.say = say, .break_after = SIZE_MAX};
    net_accepted(w->loop, (int)w->lines_count++);
    return l;
}

/* Until nothing has happened for longer than anybody waits. */
static inline void world_run(struct world *w)
{
    w->idle_s = 0;
    assert(front_run(w->front) == 0);
}

/* Somebody sends this; the answer, if there is one, is then in w->reply. */
static inline void world_send(struct world *w, struct span datagram, uint16_t port)
{
    w->datagram = datagram;
    w->sender = (struct net_peer){.from.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    w->replies = 0;
    buf_reset(&w->reply, SIZE_MAX);
    world_run(w);
}

static inline void line_finish(struct line *l)
{
    buf_finish(&l->heard);
    buf_finish(&l->unread);
}

/* The next connection is the first one again; all are closed. */
static inline void world_forget_lines(struct world *w)
{
    for (size_t i = 0; i < w->lines_count; i++)
        line_finish(&w->lines[i]);
    w->lines_count = 0;
}

static inline void world_close(struct world *w)
{
    for (size_t i = 0; i < w->lines_count; i++)
        if (w->lines[i].conn != NULL)
            net_conn_failed(w->lines[i].conn);
    w->order_late = false;
    world_run(w);
    assert(net_conn_count(w->loop) == 0);
    front_destroy(w->front);
    reader_destroy(w->reader);
    write_port_finish(&w->port);
    store_close(w->store);
    json_destroy(w->x.json);
    message_log_destroy(w->messages);
    message_log_destroy(w->log);
    pthread_mutex_destroy(&w->status.lock);
    buf_finish(&w->x.scratch);
    buf_finish(&w->effects);
    buf_finish(&w->reply);
    world_forget_lines(w);
}

#endif
