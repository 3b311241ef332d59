/* Clients: what they ask, of whom, and what they make of the answers. Reads are answered here, as
 * front/serve.c does it; writes go through order.c. What was told is held against history.c. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "sim.h"

enum {
    PATIENCE_US = 3000 * MS,
    WAIT_US = 100 * MS, /* of a read for its min_seq, */
    WAITS = 8,          /* so often looked at */
    TRIES = 12,
    TEXT_BYTES = 2000,
    PAYLOAD_BYTES = TEXT_BYTES + 100,
    KEY_DIGITS = 12,
};

typedef unsigned long long u;

static uint64_t way_us(struct world *w)
{
    return chance_skewed(&w->chance, 2 * MS);
}

static void judge(struct world *w, const struct server *s, const struct client *c,
                  const char why[WHY_BYTES])
{
    if (why[0] != '\0')
        complain(w, "%s: client %u at %s", why, c->number, s->name);
}

/* --- Asking --- */

static enum method method_drawn(struct world *w)
{
    uint64_t drawn = chance_below(&w->chance, 100);
    return drawn < 40   ? METHOD_POST
           : drawn < 65 ? METHOD_PUT
           : drawn < 85 ? METHOD_PATCH
                        : METHOD_DELETE;
}

static uint64_t an_id(struct world *w, unsigned collection)
{
    uint64_t count = w->truth.history.collections[collection].count;
    uint64_t back = chance_skewed(&w->chance, count < 200 ? count : 200);
    return back > count ? 1 : count + 1 - back + (count == 0);
}

/* Mostly what it is now; so many of these hold. */
static uint64_t an_if_match(struct world *w, unsigned collection, uint64_t id)
{
    const struct version *v = history_newest(&w->truth.history, collection, id);
    if (!chance_percent(&w->chance, 40))
        return 0;
    return v == NULL || chance_percent(&w->chance, 10) ? 1 + chance_below(&w->chance, 500) : v->seq;
}

static void draw_operation(struct world *w, struct client *c)
{
    struct operation *op = &c->op;
    *op = (struct operation){.method = METHOD_GET};
    op->collection = (unsigned)chance_below(&w->chance, COLLECTIONS);
    op->id = an_id(w, op->collection);
    op->min_seq = chance_percent(&w->chance, 60) ? c->seen : 0;
    if (chance_percent(&w->chance, 40) || w->quiet) {
        op->list = chance_percent(&w->chance, 5);
        return;
    }
    op->method = method_drawn(w);
    op->min_seq = 0;
    if (op->method == METHOD_POST)
        op->id = 0;
    struct written asked = {.method = op->method,
                            .collection = op->collection,
                            .asked_id = op->id,
                            .has_key =
                                op->method == METHOD_DELETE || chance_percent(&w->chance, 70)};
    if (op->id != 0)
        asked.if_match = an_if_match(w, op->collection, op->id);
    op->write = history_ask(&w->truth.history, &asked);
}

static struct server *a_server(struct world *w, struct client *c)
{
    if (chance_percent(&w->chance, 10) || c->server >= w->servers_count)
        c->server = (unsigned)chance_below(&w->chance, w->servers_count);
    return &w->servers[c->server];
}

static bool lost(struct world *w)
{
    return !chance_percent(&w->chance, 99) && !w->plan.scripted;
}

static void send(struct world *w, struct client *c, struct server *s)
{
    struct written *asked = history_write(&w->truth.history, c->op.write);
    c->busy = true;
    c->asked++;
    c->op.life = s->life;
    if (asked != NULL)
        asked->attempts++;
    w->counts.operations++;
    if (lost(w)) /* with its connection */
        later(w, way_us(w), DO_GIVE_UP, NULL, c->number, c->asked);
    else
        later(w, way_us(w), DO_REQUEST, s, c->number, c->asked);
    later(w, PATIENCE_US, DO_GIVE_UP, NULL, c->number, c->asked);
}

void clients_next(struct world *w)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        struct client *c = &w->clients[chance_below(&w->chance, CLIENTS_MAX)];
        if (c->busy)
            continue;
        draw_operation(w, c);
        send(w, c, a_server(w, c));
        return;
    }
}

void client_writes(struct world *w, struct client *c, struct server *s)
{
    c->op = (struct operation){.method = METHOD_POST};
    c->op.write =
        history_ask(&w->truth.history, &(struct written){.method = METHOD_POST, .has_key = true});
    send(w, c, s);
}

void client_repeats(struct world *w, struct client *c, struct server *s)
{
    c->op.tries++;
    send(w, c, s);
}

/* --- Answering: what the server tells is kept with the client until it hears it --- */

static void answer(struct world *w, struct client *c, int code, bool unknown, uint64_t seq)
{
    if (c->code_of == c->asked) /* it is on its way already */
        return;
    c->code_of = c->asked;
    c->code = code;
    c->unknown = unknown;
    c->seq = seq;
    if (!lost(w))
        later(w, way_us(w), DO_ANSWER, NULL, c->number, c->asked);
}

void client_answered(struct world *w, struct server *s, const struct write_batch *b,
                     const struct write *write)
{
    char why[WHY_BYTES];
    struct client *c = &w->clients[(uintptr_t)write->client - 1];
    uint64_t number = write->peer_at;
    if (!s->astray) {
        history_answer(&w->truth.history, number, write->code, write->has_seq, write->seq,
                       write->answered_id, piece_span(&b->answers, write->body), why);
        judge(w, s, c, why);
    }
    if (w->o.trace)
        tell(w, "%s answers write %llu: %d, seq %llu id %llu", s->name, (u)number, write->code,
             (u)write->seq, (u)write->answered_id);
    w->counts.acknowledged += write->code == 0;
    if (c->busy && c->op.write == number && write->rid.at == (uint32_t)c->asked)
        answer(w, c, write->code, write->code == ERR_OUTCOME_UNKNOWN,
               write->code == 0 ? write->seq : 0);
}

static size_t write_payload(struct world *w, const struct client *c, char to[PAYLOAD_BYTES])
{
    u number = c->op.write;
    uint64_t bytes = number * 2654435761U % (number % 50 == 0 ? TEXT_BYTES : 60);
    (void)w;
    if (c->op.method == METHOD_PATCH)
        return (size_t)snprintf(to, PAYLOAD_BYTES, "{\"n\":%llu}", number);
    return (size_t)snprintf(to, PAYLOAD_BYTES, "{\"n\":%llu,\"b\":%llu,\"t\":\"%0*d\"}", number,
                            number, (int)bytes + 1, 0);
}

static void ask_write(struct world *w, struct server *s, struct client *c)
{
    char payload[PAYLOAD_BYTES], key[KEY_DIGITS + 2], path[40];
    const struct written *asked = history_write(&w->truth.history, c->op.write);
    struct request rq;
    struct target t;
    struct write *write;
    int code = s->alarmed ? ERR_NOT_IN_SYNC : repl_refusal(&s->r);
    struct write_batch *b = code == 0 ? order_batch(w, s) : NULL;
    if (code == 0 && b->count == BATCH_WRITES_MAX)
        code = ERR_BUSY;
    if (code != 0) {
        answer(w, c, code, false, 0);
        return;
    }
    request_init(&rq);
    rq.method = c->op.method;
    snprintf(path, sizeof path, c->op.id != 0 ? "/%s/%llu" : "/%s",
             collection_names[c->op.collection], (u)c->op.id);
    target_parse(span_of(path), &t);
    if (asked->has_key) {
        snprintf(key, sizeof key, "k%0*llu", KEY_DIGITS, (u)c->op.write);
        rq.key = span_of(key);
    }
    if (method_takes_payload(rq.method)) {
        rq.has_payload = rq.payload_judged = true;
        rq.payload = span(payload, write_payload(w, c, payload));
    }
    if (asked->if_match != 0)
        rq.conditions.match =
            (struct condition){.kind = CONDITION_TAGS, .count = 1, .tags = {asked->if_match}};
    int rc = write_ask(b, &rq, &t, RECORD_BYTES_HIGHEST, &write);
    assert(rc == 0);
    write->client = (void *)(uintptr_t)(c->number + 1); /* never followed */
    write->peer_at = (uint32_t)c->op.write;
    write->rid.at = (uint32_t)c->asked;
}

/* I7: on one server a session never goes back; on all of them with min_seq, which is honoured. */
static void judge_position(struct world *w, struct server *s, struct client *c, uint64_t seq)
{
    if (w->plan.primary_lost)
        return;
    if (seq < c->op.min_seq)
        complain(w, "I7: %s reads after seq %llu, %llu was asked for", s->name, (u)seq,
                 (u)c->op.min_seq);
    if (c->reads_from == s->life && seq < c->read_seq)
        complain(w, "I7: client %u sees %s go back from seq %llu to %llu", c->number, s->name,
                 (u)c->read_seq, (u)seq);
    if (seq < s->seen_read)
        complain(w, "I7: reads at %s go back from seq %llu to %llu", s->name, (u)s->seen_read,
                 (u)seq);
    c->reads_from = s->life;
    c->read_seq = s->seen_read = seq;
}

static void read_list(struct world *w, struct server *s, struct client *c, uint64_t seq)
{
    struct reader *r = s->disk.local.reader;
    struct list_cursor cursor;
    char why[WHY_BYTES];
    struct span name = span_of(collection_names[c->op.collection]);
    buf_reset(&s->scratch, SIZE_MAX);
    int rc = reader_list_begin(r, name, &cursor);
    while (rc == 0 && !cursor.done)
        rc = reader_list_more(r, &cursor, 64 * KIB, &s->scratch);
    assert(rc == 0);
    if (s->astray)
        return;
    history_list(&w->truth.history, c->op.collection, seq, buf_span(&s->scratch), why);
    judge(w, s, c, why);
}

static void read_record(struct world *w, struct server *s, struct client *c, uint64_t seq)
{
    struct record record = {.text = {NULL, 0}};
    char why[WHY_BYTES];
    struct span name = span_of(collection_names[c->op.collection]);
    int rc = reader_get(s->disk.local.reader, name, c->op.id, &record);
    assert(rc == 0 || rc == ERR_NOT_FOUND);
    if (s->astray)
        return;
    history_read(&w->truth.history, c->op.collection, c->op.id, seq, record.seq, record.text, why);
    judge(w, s, c, why);
}

static void ask_read(struct world *w, struct server *s, struct client *c)
{
    struct reader *r = s->disk.local.reader;
    int rc = reader_fresh(r);
    assert(rc == 0);
    uint64_t seq = reader_position(r).seq;
    if (s->alarmed || !repl_may_read(&s->r, s->proved)) {
        answer(w, c, ERR_NOT_READY, false, 0);
    } else if (seq < c->op.min_seq) {
        if (c->op.tries++ < WAITS)
            later(w, WAIT_US / WAITS, DO_READ, s, c->number, c->asked);
        else
            answer(w, c, ERR_LAGGING, false, 0);
    } else {
        judge_position(w, s, c, seq);
        if (c->op.list)
            read_list(w, s, c, seq);
        else
            read_record(w, s, c, seq);
        w->counts.reads++;
        answer(w, c, 0, false, seq);
    }
    reader_rest(r);
}

void client_asks(struct world *w, struct server *s, unsigned number, uint64_t asked, uint64_t life,
                 bool waited)
{
    struct client *c = &w->clients[number];
    bool there = s->up && s->life == life;
    if (!c->busy || c->asked != asked || c->code_of == asked)
        return;
    if (!there)
        answer(w, c, ERR_NO_PRIMARY, waited, 0); /* nobody takes the connection */
    else if (c->op.write != 0)
        ask_write(w, s, c);
    else
        ask_read(w, s, c);
}

/* --- Hearing --- */

static void settle(struct world *w, struct client *c, int code, bool unknown)
{
    struct written *asked = history_write(&w->truth.history, c->op.write);
    if (asked == NULL)
        return;
    asked->attempts--;
    asked->doubt = asked->doubt || unknown;
    w->counts.unknown += unknown;
    if (unknown || code == 0)
        return;
    asked->refused = true;
    if (!asked->doubt && !asked->acked && asked->attempts == 0 && asked->effects != 0 &&
        !w->plan.primary_lost)
        complain(w, "S19: client %u was told %d, and write %llu was done", c->number, code,
                 (u)c->op.write);
}

/* A write in doubt is repeated with its key until its fate is known; one that was refused, now and
 * then. */
static bool repeats(struct world *w, const struct client *c, int code, bool unknown)
{
    const struct written *asked = history_write(&w->truth.history, c->op.write);
    if (asked == NULL || !asked->has_key || c->op.tries >= TRIES || w->quiet ||
        c->number >= CLIENTS_MAX)
        return false;
    bool again = unknown || (asked->doubt && code != 0);
    return again || chance_percent(&w->chance, 3);
}

static void heard(struct world *w, struct client *c, int code, bool unknown, uint64_t seq)
{
    if (seq > c->seen)
        c->seen = seq;
    settle(w, c, code, unknown);
    if (!repeats(w, c, code, unknown)) {
        c->busy = false;
        return;
    }
    c->op.tries++;
    w->counts.repeats++;
    if (chance_percent(&w->chance, 50))
        c->server = (unsigned)chance_below(&w->chance, w->servers_count);
    send(w, c, a_server(w, c));
}

void client_hears(struct world *w, unsigned number, uint64_t asked)
{
    struct client *c = &w->clients[number];
    if (c->busy && c->asked == asked && c->code_of == asked)
        heard(w, c, c->code, c->unknown, c->seq);
}

void client_gives_up(struct world *w, unsigned number, uint64_t asked)
{
    struct client *c = &w->clients[number];
    if (!c->busy || c->asked != asked)
        return;
    c->code_of = asked;
    c->code = ERR_OUTCOME_UNKNOWN;
    heard(w, c, ERR_OUTCOME_UNKNOWN, true, 0);
}

/* The kernel closes the connections that it had. */
void clients_of_dead(struct world *w, const struct server *s)
{
    for (unsigned i = 0; i < CLIENTS_ALL; i++)
        if (w->clients[i].busy && w->clients[i].op.life == s->life)
            answer(w, &w->clients[i], ERR_OUTCOME_UNKNOWN, true, 0);
}
