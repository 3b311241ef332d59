/* Whole clusters as a story: a primary and its backups, the messages between them in order, what
 * each does as a text. Disks are as slow as the story wants. */
#include <stdlib.h>

#include "step_case.h"

enum { NODES = 3, LOG_MAX = 64, MAIL_MAX = 64, STORY_BYTES = 8000, LINKS_EACH = 100 };

struct node {
    struct step_case c;
    const char *name;
    bool up, slow, cut_off; /* slow: nothing gets durable by itself */
    unsigned link;          /* a backup's, the same number at both ends */
    bool streaming;         /* to it */
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
    struct node nodes[NODES]; /* 0: the primary */
    struct mail mail[MAIL_MAX];
    unsigned mail_count;
    char text[STORY_BYTES];
    struct said said;
};

static void give(struct story *s, struct node *n, struct repl_event e);

static struct node *caller_of(struct story *s, unsigned link)
{
    for (unsigned i = 1; i < NODES; i++)
        if (s->nodes[i].link == link && link != 0)
            return &s->nodes[i];
    return NULL;
}

static void post(struct story *s, const struct node *from, unsigned link,
                 const struct peer_message *m)
{
    const struct node *caller = caller_of(s, link);
    if (caller == NULL || caller->cut_off)
        return;
    assert_true(s->mail_count < MAIL_MAX);
    unsigned to = from == &s->nodes[0] ? (unsigned)(caller - s->nodes) : 0;
    s->mail[s->mail_count++] = (struct mail){.to = to, .link = link, .m = *m};
}

/* One message with all that the backup lacks. */
static void ship(struct story *s, unsigned link, uint64_t from)
{
    struct node *p = &s->nodes[0];
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

static void flush(struct story *s, struct node *n)
{
    n->durable = n->count;
    give(s, n, durable(n->durable));
}

static void append(struct story *s, struct node *n, const struct repl_action *a)
{
    n->log[n->count++] = point_of(a->epoch, a->index);
    for (unsigned i = 1; i < NODES; i++)
        if (s->nodes[i].streaming)
            ship(s, s->nodes[i].link, n->count);
}

static void end_link(struct story *s, unsigned link)
{
    struct node *caller = caller_of(s, link);
    if (caller == NULL)
        return;
    caller->link = 0;
    caller->streaming = false;
    if (s->nodes[0].up)
        give(s, &s->nodes[0], down(link));
    if (caller->up)
        give(s, caller, down(link));
}

static void act(struct story *s, struct node *n, struct repl_action *a)
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
static void give(struct story *s, struct node *n, struct repl_event e)
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

static void deliver(struct story *s)
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

static void run(struct story *s, struct node *n, uint64_t epoch)
{
    bool primary = n == &s->nodes[0];
    struct repl_options o = {.self = server_of(n->name, 1),
                             .life = 500 + epoch,
                             .generation = 1,
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

static void make(struct story *s)
{
    static const char *const names[NODES] = {"p", "a", "b"};
    memset(s, 0, sizeof *s);
    s->said = (struct said){.to = s->text, .bytes = sizeof s->text};
    for (unsigned i = 0; i < NODES; i++) {
        s->nodes[i].name = names[i];
        run(s, &s->nodes[i], i == 0);
    }
}

static void call(struct story *s, unsigned i, unsigned link)
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
    give(s, n,
         (struct repl_event){
             .kind = REPL_LINK_UP, .link = link, .points = points, .points_count = count});
    deliver(s);
}

/* Power fails: what is not durable is lost; `applied` stays, as after a kill. */
static void crash(struct story *s, unsigned i)
{
    struct node *n = &s->nodes[i];
    say(&s->said, "-- %s crashes, with %llu of %llu entries\n", n->name, (u)n->durable,
        (u)n->count);
    n->up = false;
    n->count = n->durable;
    for (unsigned k = 1; k < NODES; k++)
        if (i == 0 || i == k)
            end_link(s, s->nodes[k].link);
}

static void write_entry(struct story *s)
{
    give(s, &s->nodes[0], plain(REPL_PROPOSE));
    deliver(s);
}

/* Forgets what was told so far. */
static void from_here(struct story *s)
{
    s->said.used = 0;
    s->text[0] = '\0';
}

static void a_backup_joins_and_a_write_is_on_both(void **state)
{
    (void)state;
    static struct story s;
    make(&s);
    call(&s, 1, 1);
    write_entry(&s);
    assert_string_equal(s.text, "p: append 1/1 start {p}\n"
                                "p: commit 1\n"
                                "a: to 1: hello a promised 0 0/0\n"
                                "p: look up 0 for 1\n"
                                "p: to 1: welcome 0/0 commit 1, stream 1 from 1\n"
                                "a: save promise 1\n"
                                "a: to 1: ack 0\n"
                                "a: accept 1\n"
                                "a: to 1: ack 1, commit 1, save promise 1 complete\n"
                                "p: save {p a}\n"
                                "p: say, append 1/2 config {p a}\n"
                                "a: accept 2\n"
                                "a: to 1: ack 2\n"
                                "p: commit 2\n"
                                "p: append 1/3\n"
                                "a: accept 3, commit 2\n"
                                "a: to 1: ack 3\n"
                                "p: commit 3\n");
}

/* The primary ends twice before its own disk has what it has shipped, each time to one backup. */
static void three_lives_of_a_primary_with_unshipped_and_unkept_tails(void **state)
{
    (void)state;
    static struct story s;
    make(&s);
    call(&s, 1, 1);
    call(&s, 2, 2);
    write_entry(&s);
    struct node *p = &s.nodes[0], *a = &s.nodes[1], *b = &s.nodes[2];
    assert_int_equal(p->applied, p->count);
    from_here(&s);

    p->slow = true;
    b->cut_off = true;
    write_entry(&s); /* 1/5: a has it, p and b do not */
    crash(&s, 0);
    run(&s, p, 2);
    call(&s, 1, 3); /* 2/5: a has it, p and b do not */
    crash(&s, 0);
    p->slow = false;
    b->cut_off = false;
    run(&s, p, 3);
    call(&s, 2, 4);
    call(&s, 1, 5);
    write_entry(&s);
    assert_string_equal(s.text, "p: append 1/5\n"
                                "a: accept 5, commit 4\n"
                                "a: to 1: ack 5\n"
                                "-- p crashes, with 4 of 5 entries\n"
                                "p: append 2/5 start {p a b}\n"
                                "a: to 3: hello a promised 1 1/4 1/5\n"
                                "p: look up 5 for 3\n"
                                "p: look up 4 for 3\n"
                                "p: to 3: welcome 1/4 commit 4, stream 3 from 5\n"
                                "a: save promise 2 complete\n"
                                "a: cut above 4\n"
                                "a: to 3: ack 4\n"
                                "a: accept 5\n"
                                "a: to 3: ack 5\n"
                                "-- p crashes, with 4 of 5 entries\n"
                                "p: append 3/5 start {p a b}\n"
                                "b: to 4: hello b promised 1 1/3 1/4\n"
                                "p: look up 4 for 4\n"
                                "p: to 4: welcome 1/4 commit 4, stream 4 from 5\n"
                                "b: save promise 3 complete, commit 4\n"
                                "b: to 4: ack 4\n"
                                "b: accept 5\n"
                                "b: to 4: ack 5\n"
                                "a: to 5: hello a promised 2 1/4 2/5\n"
                                "p: look up 5 for 5\n"
                                "p: look up 4 for 5\n"
                                "p: to 5: welcome 1/4 commit 4, stream 5 from 5\n"
                                "a: save promise 3 complete\n"
                                "a: cut above 4\n"
                                "a: to 5: ack 4\n"
                                "a: accept 5\n"
                                "a: to 5: ack 5\n"
                                "p: commit 5\n"
                                "p: append 3/6\n"
                                "a: accept 6, commit 5\n"
                                "a: to 5: ack 6\n"
                                "b: accept 6, commit 5\n"
                                "b: to 4: ack 6\n"
                                "p: commit 6\n");
    assert_int_equal(a->log[4].epoch, 3);
    assert_int_equal(b->log[4].epoch, 3);
}

/* The primary had no time to hear that the entry is on every disk: it was answered to nobody, is
 * the truth all the same, and gets committed with the next life's first entry. */
static void a_tail_that_every_disk_has_is_kept_with_the_tags_it_was_born_with(void **state)
{
    (void)state;
    static struct story s;
    make(&s);
    call(&s, 1, 1);
    from_here(&s);
    s.nodes[1].slow = true;
    write_entry(&s);
    s.nodes[1].cut_off = true;
    flush(&s, &s.nodes[1]);
    crash(&s, 0);
    s.nodes[1].slow = s.nodes[1].cut_off = false;
    run(&s, &s.nodes[0], 2);
    call(&s, 1, 2);
    assert_string_equal(s.text, "p: append 1/3\n"
                                "a: accept 3, commit 2\n"
                                "a: to 1: ack 3\n"
                                "-- p crashes, with 3 of 3 entries\n"
                                "p: append 2/4 start {p a}\n"
                                "a: to 2: hello a promised 1 1/2 1/3\n"
                                "p: look up 3 for 2\n"
                                "p: to 2: welcome 1/3 commit 2, stream 2 from 4\n"
                                "a: save promise 2 complete\n"
                                "a: to 2: ack 3\n"
                                "a: accept 4\n"
                                "a: to 2: ack 4\n"
                                "p: commit 3\n"
                                "p: commit 4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_joins_and_a_write_is_on_both),
        cmocka_unit_test(three_lives_of_a_primary_with_unshipped_and_unkept_tails),
        cmocka_unit_test(a_tail_that_every_disk_has_is_kept_with_the_tags_it_was_born_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
