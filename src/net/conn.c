/* A connection's life: input kept and delivered, output handed over and sent, closing, lingering,
 * holds. Makes no system call (an engine does) and does not know what the bytes mean. */
#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/engine.h"

/* --- Output buffers, used again and again --- */

struct spare_buffer {
    struct spare_buffer *next;
};

static void take_buffer(struct net_loop *loop, struct buf *b)
{
    struct spare_buffer *spare = loop->spares;
    if (spare == NULL) {
        buf_room(b, NET_OUT_BYTES);
        return;
    }
    loop->spares = spare->next;
    loop->spares_count--;
    b->at = (char *)spare;
    b->size = NET_OUT_BYTES;
}

static void give_buffer(struct net_loop *loop, struct buf *b)
{
    if (b->size == NET_OUT_BYTES && loop->spares_count < NET_SPARES_MAX) {
        struct spare_buffer *spare = (struct spare_buffer *)(void *)b->at;
        spare->next = loop->spares;
        loop->spares = spare;
        loop->spares_count++;
        *b = (struct buf){0};
    } else {
        buf_finish(b);
    }
}

void net_spares_finish(struct net_loop *loop)
{
    while (loop->spares != NULL) {
        struct spare_buffer *spare = loop->spares;
        loop->spares = spare->next;
        free(spare);
    }
}

/* --- Lists --- */

void net_list_add(struct net_conn_list *list, struct net_conn *c)
{
    c->previous = NULL;
    c->next = list->first;
    if (c->next != NULL)
        c->next->previous = c;
    list->first = c;
}

void net_list_remove(struct net_conn_list *list, struct net_conn *c)
{
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        list->first = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
}

void net_conn_add_todo(struct net_conn *c, unsigned todo)
{
    struct net_loop *loop = c->loop;
    if (c->todo == 0) {
        c->todo_next = NULL;
        if (loop->todo == NULL)
            loop->todo = c;
        else
            loop->todo_last->todo_next = c;
        loop->todo_last = c;
    }
    c->todo = (uint8_t)(c->todo | todo);
}

/* --- From birth to grave --- */

/* Brings the loop's sums up to date; called where a connection's buffers are left for a while. Who
 * is answered at once has none by then. */
static void count_memory(struct net_conn *c)
{
    struct net_loop *loop = c->loop;
    size_t in = c->in.size, out = c->sending.size + c->out.size;
    loop->kept_input += in - c->counted_in;
    loop->kept_output += out - c->counted_out;
    c->counted_in = in;
    c->counted_out = out;
}

int net_conn_create(struct net_loop *loop, int fd, struct net_conn **created)
{
    struct net_conn *c = calloc(1, sizeof *c + loop->options.user_bytes);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->source.kind = NET_CONNECTION;
    c->source.fd = fd;
    c->loop = loop;
    c->active_us = loop->now_us;
    int rc = loop->engine->open(c);
    if (rc != 0) {
        free(c);
        return rc;
    }
    net_list_add(&loop->alive, c);
    net_count(loop, 1);
    *created = c;
    return 0;
}

int net_adopt(struct net_loop *loop, int fd, struct span unread, struct net_conn **adopted)
{
    struct net_conn *c;
    struct buf in = {0};
    buf_add_span(&in, unread);
    int rc = in.failed ? ERR_NO_MEMORY : loop->engine->adopt(fd);
    if (rc == 0)
        rc = net_conn_create(loop, fd, &c);
    if (rc != 0) {
        buf_finish(&in);
        return rc;
    }
    c->in = in;
    count_memory(c);
    c->unheard = in.bytes != 0;
    if (c->unheard)
        net_conn_add_todo(c, NET_ADOPTED);
    *adopted = c;
    return 0;
}

/* Off the list of those that are alive, onto that of those whose `closed` is due. */
static void gone(struct net_conn *c)
{
    if (c->loop->look_next == c)
        c->loop->look_next = c->next;
    net_list_remove(&c->loop->alive, c);
    c->state = NET_GONE;
    c->source.fd = -1;
    net_list_add(&c->loop->gone, c);
}

void net_conn_let_go(struct net_conn *c, bool reset)
{
    if (c->state >= NET_GONE)
        return;
    c->loop->engine->close(c, reset);
    gone(c);
}

void net_conn_bury(struct net_conn *c)
{
    buf_finish(&c->in);
    give_buffer(c->loop, &c->out);
    give_buffer(c->loop, &c->sending);
    count_memory(c);
    c->state = NET_BURIED;
    if (c->holds == 0)
        free(c);
}

void net_hold(struct net_conn *c)
{
    c->holds++;
}

void net_unhold(struct net_conn *c)
{
    assert(c->holds > 0);
    if (--c->holds == 0 && c->state == NET_BURIED)
        free(c);
}

void *net_conn_user(struct net_conn *c)
{
    return c->user;
}

uint64_t net_conn_active_us(const struct net_conn *c)
{
    return c->active_us;
}

bool net_is_closed(const struct net_conn *c)
{
    return c->state >= NET_CLOSED;
}

/* --- Output --- */

struct buf *net_out(struct net_conn *c)
{
    struct net_loop *loop = c->loop;
    if (c->state != NET_OPEN) {
        buf_reset(&loop->nowhere, NET_OUT_BYTES);
        return &loop->nowhere;
    }
    if (c->out.at == NULL && !c->out.failed)
        take_buffer(loop, &c->out);
    if (c != loop->current)
        net_conn_add_todo(c, NET_FLUSH);
    return &c->out;
}

size_t net_unsent(const struct net_conn *c)
{
    return c->state >= NET_GONE ? 0 : c->sending.bytes - c->sent + c->out.bytes;
}

static void begin_taking(struct net_conn *c)
{
    c->taking_us = c->loop->now_us;
    c->taken = 0;
}

static void hand_over(struct net_conn *c)
{
    c->sending = c->out;
    c->out = (struct buf){0};
    c->sent = 0;
    c->handed = true;
    c->loop->engine->send(c);
}

/* All is sent: what was waiting for that? */
static void all_sent(struct net_conn *c)
{
    struct net_loop *loop = c->loop;
    if (c->state == NET_OPEN) {
        if (!c->handed || loop->options.handler.drained == NULL)
            return;
        if (loop->quiet) {
            net_conn_add_todo(c, NET_DRAINED);
            return;
        }
        c->handed = false;
        loop->options.handler.drained(loop->options.handler.context, c);
    } else if (c->state == NET_CLOSING || (c->state == NET_LINGERING && c->ended)) {
        net_conn_let_go(c, false);
    } else if (c->state == NET_LINGERING && !c->shut) {
        c->shut = true;
        c->ending_us = loop->now_us;
        loop->engine->shutdown(c);
    }
}

void net_conn_sent(struct net_conn *c, size_t bytes)
{
    c->sent += bytes;
    c->active_us = c->loop->now_us;
    c->taken += (uint32_t)bytes;
    if (c->taken >= NET_TAKE_BYTES)
        begin_taking(c);
    if (c->sent < c->sending.bytes)
        return;
    give_buffer(c->loop, &c->sending);
    c->sent = 0;
    if (c->out.bytes != 0 && !c->out.failed)
        hand_over(c);
    else
        all_sent(c);
    count_memory(c);
}

static void flush(struct net_conn *c)
{
    if (c->state >= NET_GONE)
        return;
    if (c->out.failed) {
        net_abort(c);
        return;
    }
    if (c->out.bytes == 0 && c->out.at != NULL)
        give_buffer(c->loop, &c->out);
    if (c->sending.bytes != 0) {
        ; /* the engine is at it; net_conn_sent goes on */
    } else if (c->out.bytes != 0) {
        begin_taking(c);
        hand_over(c);
    } else {
        all_sent(c);
    }
    count_memory(c);
}

/* --- Input --- */

bool net_conn_partial(const struct net_conn *c)
{
    return c->in.bytes != 0;
}

static struct span kept_input(const struct net_conn *c)
{
    return c->in.bytes == 0 ? span("", 0) : span(c->in.at + c->in_at, c->in.bytes - c->in_at);
}

static void forget_input(struct net_conn *c)
{
    buf_finish(&c->in);
    c->in_at = 0;
}

/* Keeps more. What was consumed is cut off only once it is the larger part, so that a long input
 * consumed in small pieces is not moved again for each. */
static void keep(struct net_conn *c, struct span bytes)
{
    if (c->in_at >= kept_input(c).bytes) {
        buf_consume(&c->in, c->in_at);
        c->in_at = 0;
    }
    buf_add_span(&c->in, bytes);
}

bool net_conn_wants(const struct net_conn *c)
{
    if (c->state == NET_OPEN)
        return !c->paused && !c->ended && kept_input(c).bytes < c->loop->options.input_bytes_max;
    return c->state == NET_LINGERING && !c->ended;
}

/* Calls `received` with what is kept and what came, keeps what it leaves, sends what it made. */
static void deliver(struct net_conn *c, struct span input)
{
    struct net_loop *loop = c->loop;
    bool kept = net_conn_partial(c);
    c->unheard = false;
    if (kept) {
        keep(c, input);
        if (c->in.failed) {
            net_abort(c);
            return;
        }
        input = kept_input(c);
    }
    loop->current = c;
    loop->input = input;
    size_t used = loop->options.handler.received(loop->options.handler.context, c, input, c->ended);
    loop->current = NULL;
    assert(used <= input.bytes || c->state != NET_OPEN);
    if (c->state != NET_OPEN || (kept && used == input.bytes))
        forget_input(c);
    else if (kept)
        c->in_at += used;
    else if (used < input.bytes)
        keep(c, span(input.at + used, input.bytes - used));
    if (c->in.failed)
        net_abort(c);
    flush(c);
}

void net_conn_received(struct net_conn *c, struct span bytes)
{
    c->active_us = c->loop->now_us;
    c->ended = bytes.bytes == 0;
    if (c->state == NET_OPEN) {
        deliver(c, bytes);
        return;
    }
    c->discarded += (uint32_t)bytes.bytes;
    if (c->discarded >= LINGER_BYTES_MAX || (c->ended && c->shut))
        net_conn_let_go(c, false);
}

void net_pause(struct net_conn *c)
{
    c->paused = true;
}

void net_resume(struct net_conn *c)
{
    c->paused = false;
    if (c->state == NET_OPEN)
        net_conn_add_todo(c, NET_RESUME);
}

static void resumed(struct net_conn *c)
{
    if (c->state != NET_OPEN || c->paused)
        return;
    if (net_conn_partial(c) || c->ended)
        deliver(c, span("", 0));
    if (c->deaf && net_conn_wants(c))
        c->loop->engine->receive(c);
}

void net_conn_work(struct net_conn *c, unsigned todo)
{
    /* Where the socket's event came first, it has brought what was unread as well. */
    if ((todo & NET_RESUME) != 0 || ((todo & NET_ADOPTED) != 0 && c->unheard))
        resumed(c);
    if ((todo & (NET_FLUSH | NET_DRAINED)) != 0)
        flush(c);
}

/* --- Endings --- */

/* Begins to close or to linger: at the end of this turn, or once all is sent. */
static void end(struct net_conn *c, enum net_state state)
{
    if (c->state != NET_OPEN)
        return;
    c->state = (uint8_t)state;
    c->ending_us = c->loop->now_us;
    if (c == c->loop->current)
        return; /* deliver does the rest */
    forget_input(c);
    net_conn_add_todo(c, NET_FLUSH); /* counts, too */
}

void net_close(struct net_conn *c)
{
    end(c, NET_CLOSING);
}

void net_linger(struct net_conn *c)
{
    end(c, NET_LINGERING);
    if (c->state == NET_LINGERING && c->deaf && net_conn_wants(c))
        c->loop->engine->receive(c);
}

void net_abort(struct net_conn *c)
{
    net_conn_let_go(c, true);
}

void net_conn_failed(struct net_conn *c)
{
    net_conn_let_go(c, false);
}

/* Its peer leaves output waiting: it takes none of it, or so little that it keeps us at it. */
static bool stalled(const struct net_conn *c)
{
    const struct net_loop *loop = c->loop;
    uint64_t since_us = c->taking_us, limit_ms = loop->options.stall_ms;
    if (c->state != NET_OPEN) {
        since_us = c->ending_us > since_us ? c->ending_us : since_us;
        limit_ms = NET_CLOSING_STALL_MS;
    }
    limit_ms = net_patience_ms(limit_ms, loop->kept_output, loop->options.output_bytes_max);
    return limit_ms != 0 && c->sending.bytes != 0 && since_us + limit_ms * 1000 <= loop->now_us;
}

void net_conn_look(struct net_conn *c)
{
    struct net_loop *loop = c->loop;
    if (stalled(c))
        net_conn_let_go(c, true);
    else if (c->shut && c->ending_us + LINGER_MS * UINT64_C(1000) <= loop->now_us)
        net_conn_let_go(c, false);
    else if (c->state == NET_OPEN && loop->options.handler.look != NULL)
        loop->options.handler.look(loop->options.handler.context, c);
}

int net_release(struct net_conn *c, struct buf *unread)
{
    struct net_loop *loop = c->loop;
    if (c->state != NET_OPEN || net_unsent(c) != 0)
        return -1;
    buf_add_span(unread, c == loop->current ? loop->input : kept_input(c));
    if (unread->failed)
        return -1;
    int fd = loop->engine->release(c);
    gone(c);
    return fd;
}
