/* Whole clusters as a story: a primary and its backups, the messages between them in order, what
 * each does as a text. Disks are as slow as the story wants. */
#ifndef TESTS_STORY_H
#define TESTS_STORY_H

#include <stdlib.h>

#include "step_case.h"

enum { NODES = 3, LOG_MAX = 64, MAIL_MAX = 64, STORY_BYTES = 8000, LINKS_EACH = 100 };

struct node {
    struct step_case c;
    const char *name;
    bool up, slow, cut_off; /* slow: nothing gets durable by itself */
    unsigned link;          /* a backup's, the same number at both ends, */
    struct node *calls;     /* to this one */
    bool streaming;         /* to it */
    uint64_t epoch;         /* the last that it took as primary */
    struct peer_point log[LOG_MAX];
    uint64_t count, durable, applied;
    struct repl_hard disk;
};

struct mail {
    unsigned to; /* node */
    unsigned link;
    struct peer_message m;
};

struct story {
    struct node nodes[NODES];
    struct node *primary; /* 0 at first */
    struct mail mail[MAIL_MAX];
    unsigned mail_count;
    char text[STORY_BYTES];
    struct said said;
};

static inline void give(struct story *s, struct node *n, struct repl_event e);

static inline struct node *caller_of(struct story *s, unsigned link)
{
    for (unsigned i = 0; i < NODES; i++)
        if (s->nodes[i].link == link && link != 0)
            return &s->nodes[i];
    return NULL;
}

static inline void post(struct story *s, const struct node *from, unsigned link,
                        const struct peer_message *m)
{
    struct node *caller = caller_of(s, link);
    if (caller == NULL || caller->cut_off)
        return;
    assert_true(s->mail_count < MAIL_MAX);
    unsigned to = (unsigned)((from == caller ? caller->calls : caller) - s->nodes);
    s->mail[s->mail_count++] = (struct mail){.to = to, .link = link, .m = *m};
}

/* One message with all that the backup lacks. */
static inline void ship(struct story *s, unsigned link, uint64_t from)
{
    struct node *p = caller_of(s, link)->calls;
    const struct repl_member *m = repl_member_of(&p->c.r, link);
    if (m == NULL || from > p->count)
        return;
    struct peer_message message = {
        .kind = PEER_UPDATE, .epoch = p->c.r.epoch, .session = m->session};
    message.update.first = from;
    message.update.last = p->count;
    message.update.commit = p->applied;
    message.update.in_sync = repl_in_sync(&p->c.r, m);
    message.update.entries =
        span((const char *)&p->log[from - 1], (p->count - from + 1) * sizeof p->log[0]);
    post(s, p, link, &message);
}

static inline void flush(struct story *s, struct node *n)
{
    n->durable = n->count;
    give(s, n, durable(n->durable));
}

static inline void append(struct story *s, struct node *n, const struct repl_action *a)
{
    n->log[n->count++] = point_of(a->epoch, a->index);
    for (unsigned i = 0; i < NODES; i++)
        if (s->nodes[i].streaming && s->nodes[i].calls == n)
            ship(s, s->nodes[i].link, n->count);
}

static inline void end_link(struct story *s, unsigned link)
{
    struct node *caller = caller_of(s, link);
    if (caller == NULL)
        return;
    caller->link = 0;
    caller->streaming = false;
    if (caller->calls->up)
        give(s, caller->calls, down(link));
    if (caller->up)
        give(s, caller, down(link));
}

static inline void act(struct story *s, struct node *n, struct repl_action *a)
{
    switch (a->kind) {
    case REPL_APPEND:
        append(s, n, a);
        break;
    case REPL_COMMIT:
        n->applied = a->index;
        break;
    case REPL_SAVE:
        n->disk = n->c.r.hard;
        if (n->c.r.o.primary)
            n->disk.set = a->set;
        give(s, n, plain(REPL_SAVED));
        break;
    case REPL_CUT:
        n->count = n->durable = a->index;
        give(s, n, plain(REPL_CUT_DONE));
        break;
    case REPL_SEND:
        post(s, n, a->link, &a->message);
        break;
    case REPL_STREAM:
        caller_of(s, a->link)->streaming = true;
        ship(s, a->link, a->index);
        break;
    case REPL_CLOSE:
        end_link(s, a->link);
        break;
    case REPL_LOOK_UP:
        give(s, n,
             (struct repl_event){.kind = REPL_LOOKED_UP,
                                 .link = a->link,
                                 .point = a->index == 0 ? (struct peer_point){0}
                                                        : n->log[a->index - 1]});
        break;
    default:
        break;
    }
}

/* The event, what the server says to it, and all that comes of it at this server. */
static inline void give(struct story *s, struct node *n, struct repl_event e)
{
    struct repl_actions *out = malloc(sizeof *out);
    assert_non_null(out);
    const char *said = after(&n->c, e);
    memcpy(out, &n->c.out, sizeof *out);
    if (said[0] != '\0')
        say(&s->said, "%s: %s\n", n->name, said);
    uint64_t count = n->count;
    for (unsigned i = 0; i < out->count; i++)
        if (out->list[i].kind == REPL_ACCEPT)
            for (uint64_t k = e.message->update.first; k <= e.message->update.last; k++)
                memcpy(&n->log[n->count++],
                       e.message->update.entries.at +
                           (k - e.message->update.first) * sizeof n->log[0],
                       sizeof n->log[0]);
    for (unsigned i = 0; i < out->count; i++)
        act(s, n, &out->list[i]);
    free(out);
    if (n->count > count && !n->slow && n->durable < n->count)
        flush(s, n);
}

static inline void deliver(struct story *s)
{
    for (unsigned i = 0; i < s->mail_count; i++) {
        struct mail mail = s->mail[i];
        struct node *n = &s->nodes[mail.to];
        const struct node *caller = caller_of(s, mail.link);
        struct repl_event e = {.kind = REPL_MESSAGE, .link = mail.link, .message = &mail.m};
        if (!n->up || caller == NULL || caller->cut_off)
            continue;
        if (mail.m.kind == PEER_WELCOME && mail.m.welcome.match.index != 0)
            e.point = n->log[mail.m.welcome.match.index - 1];
        give(s, n, e);
    }
    s->mail_count = 0;
}

/* --- What the story does --- */

static inline void run(struct story *s, struct node *n, uint64_t epoch)
{
    bool primary = n == s->primary;
    if (primary)
        n->epoch = epoch;
    struct repl_options o = {.self = server_of(n->name, 1),
                             .life = 500 + epoch,
                             .generation = (uint32_t)(n->epoch >> 32),
                             .primary = primary,
                             .ack_all = true,
                             .min_copies = 1,
                             .timeout_us = 2000 * CASE_MS};
    memset(&n->c, 0, sizeof n->c);
    if (primary)
        memcpy(n->disk.cluster, case_cluster, PEER_ID_BYTES);
    repl_init(&n->c.r, &o, &n->disk);
    n->up = true;
    give(s, n, start(primary ? epoch : 0, n->count, n->applied));
    give(s, n, at_ms(1000));
}

static inline void make(struct story *s)
{
    static const char *const names[NODES] = {"p", "a", "b"};
    memset(s, 0, sizeof *s);
    s->primary = &s->nodes[0];
    s->said = (struct said){.to = s->text, .bytes = sizeof s->text};
    for (unsigned i = 0; i < NODES; i++) {
        s->nodes[i].name = names[i];
        run(s, &s->nodes[i], i == 0);
    }
}

static inline void call(struct story *s, unsigned i, unsigned link)
{
    struct node *n = &s->nodes[i];
    struct peer_point points[PEER_POINTS_MAX];
    unsigned count = 1;
    points[0] = n->applied == 0 ? (struct peer_point){0} : n->log[n->applied - 1];
    for (uint64_t k = n->applied; k < n->count; k++) {
        count -= count > 1 && points[count - 1].epoch == n->log[k].epoch;
        points[count++] = n->log[k];
    }
    n->link = link;
    n->calls = s->primary;
    give(s, n,
         (struct repl_event){
             .kind = REPL_LINK_UP, .link = link, .points = points, .points_count = count});
    deliver(s);
}

/* Power fails: what is not durable is lost; `applied` stays, as after a kill. */
static inline void crash(struct story *s, unsigned i)
{
    struct node *n = &s->nodes[i];
    say(&s->said, "-- %s crashes, with %llu of %llu entries\n", n->name, (u)n->durable,
        (u)n->count);
    n->up = false;
    n->count = n->durable;
    for (unsigned k = 0; k < NODES; k++)
        if (s->nodes[k].calls == n || i == k)
            end_link(s, s->nodes[k].link);
}

static inline void write_entry(struct story *s)
{
    give(s, s->primary, plain(REPL_PROPOSE));
    deliver(s);
}

/* Forgets what was told so far. */
static inline void from_here(struct story *s)
{
    s->said.used = 0;
    s->text[0] = '\0';
}

#endif
