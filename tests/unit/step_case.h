/* For tests of the step: events by short names, actions as a text such as "append 3/1 start {p},
 * commit 3". The chain after entry epoch/index is made from both, so equal places mean equal logs.
 */
#ifndef TESTS_STEP_CASE_H
#define TESTS_STEP_CASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "repl/step.h"

enum { SAID_BYTES = 4000, CASE_MS = 1000 };

typedef unsigned long long u;

struct step_case {
    struct repl r;
    struct repl_actions out;
    struct peer_message message;
    struct peer_point points[PEER_POINTS_MAX];
    char said[SAID_BYTES];
};

static const unsigned char case_cluster[PEER_ID_BYTES] = {'c'};

/* The identity of a name is its text, and what else is given. */
static inline struct peer_server server_of(const char *name, unsigned char directory)
{
    struct peer_server s = {0};
    snprintf(s.name, sizeof s.name, "%s", name);
    memcpy(s.id, name, strnlen(name, PEER_ID_BYTES - 1));
    s.id[PEER_ID_BYTES - 1] = directory;
    return s;
}

static inline struct peer_point point_of(uint64_t epoch, uint64_t index)
{
    uint64_t chain = index == 0 ? 0 : epoch * 1000003 + index;
    return (struct peer_point){.epoch = epoch, .index = index, .chain = chain};
}

/* --- What is said --- */

struct said {
    char *to;
    size_t used, bytes;
};

__attribute__((format(printf, 2, 3))) static inline void say(struct said *s, const char *format,
                                                             ...)
{
    va_list args;
    va_start(args, format);
    int count = vsnprintf(s->to + s->used, s->bytes - s->used, format, args);
    va_end(args);
    s->used += (size_t)count;
    assert_true(s->used < s->bytes);
}

static inline void say_set(struct said *s, const struct peer_set *set)
{
    say(s, " {");
    for (unsigned i = 0; i < set->count; i++)
        say(s, "%s%s", i == 0 ? "" : " ", set->list[i].name);
    say(s, "}");
}

static inline void say_message(struct said *s, const struct peer_message *m)
{
    static const char *const refusals[] = {"other",       "version",  "cluster",     "group",
                                           "self",        "name",     "not primary", "epoch",
                                           "rolled back", "mismatch", "no log",      "full"};
    if (m->kind == PEER_HELLO) {
        say(s, "hello %s promised %llu", m->hello.server.name, (u)m->hello.promised_epoch);
        for (unsigned i = 0; i < m->hello.points_count; i++)
            say(s, " %llu/%llu", (u)m->hello.points[i].epoch, (u)m->hello.points[i].index);
    } else if (m->kind == PEER_WELCOME)
        say(s, "welcome %llu/%llu commit %llu", (u)m->welcome.match.epoch,
            (u)m->welcome.match.index, (u)m->welcome.commit);
    else if (m->kind == PEER_REFUSE)
        say(s, "refuse %s", refusals[m->refuse.code]);
    else if (m->kind == PEER_ACK)
        say(s, "ack %llu%s", (u)m->ack.durable, m->ack.beat ? " beat" : "");
    else
        say(s, "commit %llu%s%s", (u)m->commit.commit, m->commit.in_sync ? " in sync" : "",
            m->commit.beat ? " beat" : "");
}

static inline void say_action(struct said *s, const struct repl *r, const struct repl_action *a)
{
    static const char *const kinds[] = {"", " start", " config"};
    switch (a->kind) {
    case REPL_APPEND:
        say(s, "append %llu/%llu%s", (u)a->epoch, (u)a->index, kinds[a->entry]);
        if (a->entry != REPL_ENTRY_WRITES)
            say_set(s, &a->set);
        break;
    case REPL_ACCEPT:
        say(s, "accept %llu", (u)a->index);
        break;
    case REPL_COMMIT:
        say(s, "commit %llu", (u)a->index);
        break;
    case REPL_SAVE:
        say(s, "save");
        if (r->o.primary)
            say_set(s, &a->set);
        else
            say(s, " promise %llu%s", (u)r->hard.promised_epoch,
                r->hard.complete ? " complete" : "");
        break;
    case REPL_CUT:
        say(s, "cut above %llu", (u)a->index);
        break;
    case REPL_SEND:
        say(s, "to %u: ", a->link);
        say_message(s, &a->message);
        break;
    case REPL_STREAM:
        say(s, "stream %u from %llu", a->link, (u)a->index);
        break;
    case REPL_CLOSE:
        say(s, "close %u", a->link);
        break;
    case REPL_LOOK_UP:
        say(s, "look up %llu for %u", (u)a->index, a->link);
        break;
    case REPL_SAY:
        say(s, "say");
        break;
    case REPL_ALARM:
        say(s, "alarm");
        break;
    }
}

/* Gives the event to the step: what it says. "no place": ERR_BAD_REQUEST, and "unknown" for
 * ERR_NOT_FOUND, after which nothing has happened. */
static inline const char *after(struct step_case *c, struct repl_event e)
{
    static struct repl before;
    memcpy(&before, &c->r, sizeof before);
    int rc = repl_step(&c->r, &e, &c->out);
    struct said s = {.to = c->said, .bytes = sizeof c->said};
    assert_true(c->out.count <= REPL_ACTIONS_MAX);
    if (rc != 0) {
        assert_int_equal(c->out.count, 0);
        assert_memory_equal(&before, &c->r, sizeof before);
        return rc == ERR_NOT_FOUND ? "unknown" : rc == ERR_BAD_REQUEST ? "no place" : "?";
    }
    c->said[0] = '\0';
    for (unsigned i = 0; i < c->out.count; i++) {
        say(&s, "%s", i == 0 ? "" : ", ");
        say_action(&s, &c->r, &c->out.list[i]);
    }
    return c->said;
}

#define expect(c, event, text) assert_string_equal(after(c, event), text)

/* --- Events --- */

static inline struct repl_event at_ms(uint64_t ms)
{
    return (struct repl_event){.kind = REPL_TIME, .now_us = ms * CASE_MS};
}

static inline struct repl_event plain(enum repl_event_kind kind)
{
    return (struct repl_event){.kind = kind};
}

static inline struct repl_event durable(uint64_t index)
{
    return (struct repl_event){.kind = REPL_DURABLE, .index = index};
}

static inline struct repl_event down(unsigned link)
{
    return (struct repl_event){.kind = REPL_LINK_DOWN, .link = link};
}

static inline struct repl_event drop(const char *name)
{
    return (struct repl_event){.kind = REPL_DROP, .name = name};
}

static inline struct repl_event looked_up(unsigned link, uint64_t epoch, uint64_t index)
{
    return (struct repl_event){
        .kind = REPL_LOOKED_UP, .link = link, .point = point_of(epoch, index)};
}

static inline struct repl_event message(struct step_case *c, unsigned link, enum peer_kind kind,
                                        uint64_t epoch, uint64_t session)
{
    memset(&c->message, 0, sizeof c->message);
    c->message.kind = kind;
    c->message.epoch = epoch;
    c->message.session = session;
    return (struct repl_event){.kind = REPL_MESSAGE, .link = link, .message = &c->message};
}

static inline struct repl_event ack(struct step_case *c, unsigned link, uint64_t session,
                                    uint64_t index)
{
    struct repl_event e = message(c, link, PEER_ACK, c->r.epoch, session);
    c->message.ack.durable = index;
    return e;
}

/* A hello of a server whose log is empty, of this cluster, or with more points added. */
static inline struct repl_event hello(struct step_case *c, unsigned link, const char *name,
                                      uint64_t session)
{
    struct repl_event e = message(c, link, PEER_HELLO, 0, session);
    memcpy(c->message.hello.cluster, case_cluster, PEER_ID_BYTES);
    c->message.hello.server = server_of(name, 1);
    c->message.hello.life = 7;
    c->message.hello.points_count = 1;
    return e;
}

static inline struct repl_event hello_at(struct step_case *c, unsigned link, const char *name,
                                         uint64_t session, uint64_t epoch, uint64_t index)
{
    struct repl_event e = hello(c, link, name, session);
    c->message.hello.points[0] = point_of(epoch, index);
    return e;
}

static inline void add_point(struct step_case *c, uint64_t epoch, uint64_t index)
{
    struct peer_hello *h = &c->message.hello;
    h->points[h->points_count++] = point_of(epoch, index);
}

static inline struct repl_event start(uint64_t epoch, uint64_t index, uint64_t committed)
{
    return (struct repl_event){
        .kind = REPL_START, .epoch = epoch, .index = index, .committed = committed};
}

/* --- Servers --- */

static inline void make_primary(struct step_case *c, unsigned min_copies, const char *set)
{
    struct repl_options o = {.self = server_of("p", 1),
                             .life = 99,
                             .generation = 1,
                             .primary = true,
                             .ack_all = true,
                             .min_copies = min_copies,
                             .timeout_us = 2000 * CASE_MS};
    struct repl_hard hard = {0};
    memcpy(hard.cluster, case_cluster, PEER_ID_BYTES);
    for (; *set != '\0'; set++)
        hard.set.list[hard.set.count++] = server_of((char[2]){*set, '\0'}, 1);
    memset(c, 0, sizeof *c);
    repl_init(&c->r, &o, &hard);
}

/* A primary that admits writes: epoch 1, entry 1 committed, at 1 s. */
static inline void begin(struct step_case *c, unsigned min_copies)
{
    make_primary(c, min_copies, "");
    expect(c, start(1, 0, 0), "append 1/1 start {p}");
    expect(c, at_ms(1000), "");
    expect(c, durable(1), "commit 1");
}

/* A backup comes whose log ends at epoch/index, as all that the primary has, and gets into the
 * set. */
static inline void join(struct step_case *c, const char *name, unsigned link, uint64_t session,
                        uint64_t epoch, uint64_t index)
{
    after(c, hello_at(c, link, name, session, epoch, index));
    after(c, looked_up(link, epoch, index));
    after(c, ack(c, link, session, index));
    assert_true(c->r.saving);
    after(c, plain(REPL_SAVED));
    after(c, durable(c->r.last));
    for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++) {
        const struct repl_member *m = &c->r.members[i];
        if (m->link != 0)
            after(c, ack(c, m->link, m->session, c->r.last));
    }
    assert_int_equal(c->r.committed, c->r.last);
    assert_true(repl_in_sync(&c->r, repl_member_of(&c->r, link)));
}

static inline void make_backup(struct step_case *c, uint64_t index, uint64_t committed)
{
    struct repl_options o = {
        .self = server_of("b", 1), .life = 500, .generation = 1, .timeout_us = 2000 * CASE_MS};
    struct repl_hard hard = {0};
    if (index != 0) {
        memcpy(hard.cluster, case_cluster, PEER_ID_BYTES);
        hard.promised_epoch = 1;
        hard.promised_life = 99;
    }
    memset(c, 0, sizeof *c);
    repl_init(&c->r, &o, &hard);
    expect(c, start(0, index, committed), "");
    expect(c, at_ms(1000), "");
}

/* With the log up to here in epoch 1. */
static inline struct repl_event link_up(struct step_case *c, unsigned link)
{
    unsigned count = 0;
    c->points[count++] = point_of(c->r.committed == 0 ? 0 : 1, c->r.committed);
    if (c->r.last > c->r.committed)
        c->points[count++] = point_of(1, c->r.last);
    return (struct repl_event){
        .kind = REPL_LINK_UP, .link = link, .points = c->points, .points_count = count};
}

static inline struct repl_event welcome(struct step_case *c, uint64_t epoch, uint64_t life,
                                        struct peer_point match, uint64_t commit)
{
    struct repl_event e = message(c, c->r.link, PEER_WELCOME, epoch, c->r.session);
    memcpy(c->message.welcome.cluster, case_cluster, PEER_ID_BYTES);
    c->message.welcome.generation = 1;
    c->message.welcome.server = server_of("p", 1);
    c->message.welcome.life = life;
    c->message.welcome.match = match;
    c->message.welcome.commit = c->message.welcome.goal = commit;
    e.point = match;
    return e;
}

static inline struct repl_event update(struct step_case *c, uint64_t first, uint64_t last,
                                       uint64_t commit)
{
    struct repl_event e = message(c, c->r.link, PEER_UPDATE, c->r.epoch, c->r.session);
    c->message.update.first = first;
    c->message.update.last = last;
    c->message.update.commit = commit;
    c->message.update.in_sync = true;
    c->message.update.entries = span("entries, as the driver knows", 28);
    return e;
}

static inline struct repl_event commit(struct step_case *c, uint64_t index, bool beat)
{
    struct repl_event e = message(c, c->r.link, PEER_COMMIT, c->r.epoch, c->r.session);
    c->message.commit.commit = index;
    c->message.commit.beat = beat;
    return e;
}

#endif
