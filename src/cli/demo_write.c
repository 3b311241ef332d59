/* One write of the demo: asked through one server, seen on its way over all of them, read back from
 * each. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/inside.h"

enum {
    GATHER_MS = 5000,
    WISHES_MAX = 6 + 4 * (CLUSTER_SERVERS_MAX - 1),
    RECORD_BYTES_MAX = 160,
};

/* The steps of one write through a server (product.md's W1 to W5): what goes between servers is in
 * the log of both ends. */
static unsigned wish_write(const struct demo *d, unsigned through, struct heard_wish *list)
{
    unsigned n = 0;
    list[n++] = (struct heard_wish){through, "CLIENT", "W1", "POST /notes"};
    list[n++] = (struct heard_wish){through, "CLIENT", "W5", "POST /notes"};
    for (unsigned i = 0; i < 2 && through != 0; i++) {
        unsigned end = i == 0 ? through : 0;
        list[n++] = (struct heard_wish){end, "REPLICA", "W2", "Forward request to primary"};
        list[n++] = (struct heard_wish){end, "REPLICA", "W5", "Acknowledge write completed"};
    }
    for (unsigned i = 1; i < d->cluster.count; i++) {
        const char *name = d->cluster.servers[i].name; /* at the primary there is one for each */
        list[n++] = (struct heard_wish){0, "REPLICA", "W3", name};
        list[n++] = (struct heard_wish){i, "REPLICA", "W3", "Tell backups to update"};
        list[n++] = (struct heard_wish){i, "REPLICA", "W4", "Acknowledge update"};
        list[n++] = (struct heard_wish){0, "REPLICA", "W4", name};
    }
    return n;
}

/* The messages come a little later than the answers. */
static void gather(struct demo *d, const struct heard_wish *list, unsigned count)
{
    uint64_t until_us = cluster_now_us() + GATHER_MS * 1000UL;
    unsigned found = 0;
    do {
        while (found < count && heard_has(&d->heard, &list[found]))
            found++;
    } while (found < count && cluster_now_us() < until_us && demo_listen(d, until_us));
}

static void say_missing(struct demo *d, const struct heard_wish *list, unsigned count)
{
    for (unsigned i = 0; i < count && !demo_interrupted(d); i++)
        if (!heard_has(&d->heard, &list[i]))
            demo_differs(d, "%s did not log %s %s (%s)", d->cluster.servers[list[i].server].name,
                         list[i].actor, list[i].step, list[i].words);
}

static void show_gathered(struct demo *d)
{
    show_message_head(&d->show, true);
    for (unsigned i = 0; i < d->heard.count; i++) {
        const struct heard_message *m = &d->heard.list[i];
        show_message(&d->show, d->cluster.servers[m->server].name, m, d->heard.list[0].at_us);
    }
}

static void read_one(struct demo *d, unsigned server, enum client_protocol p, const char *path,
                     uint64_t seq, const char *expected)
{
    struct client_answer a;
    p = demo_tongue(d, server, p);
    int rc = demo_ask(d, server, p, "GET", path, seq, &a);
    bool same = rc == 0 && a.status == 200 && span_is(buf_span(&a.body), expected);
    show_name(&d->show, server, d->cluster.servers[server].name);
    show(&d->show, SHOW_PLAIN, 6, "%s", client_protocol_word(p));
    show(&d->show, same ? SHOW_GOOD : SHOW_BAD, 9, "%s", same ? "same" : "DIFFERS");
    show(&d->show, SHOW_PLAIN, 0, "%.*s", SPAN_ARGS(buf_span(&a.body)));
    show_end(&d->show);
    if (rc != 0)
        demo_differs(d, "%s did not answer GET %s over %s", d->cluster.servers[server].name, path,
                     client_protocol_word(p));
    else if (!same)
        demo_differs(d, "%s answered GET %s over %s with %d %.*s, expected %s",
                     d->cluster.servers[server].name, path, client_protocol_word(p), a.status,
                     SPAN_ARGS(buf_span(&a.body)), expected);
    buf_finish(&a.body);
}

/* min_seq: a server answers once its copy has the write, be it later than this answer. */
static void read_all(struct demo *d, enum client_protocol p, const char *path, uint64_t seq,
                     const char *expected)
{
    struct heard_wish wishes[CLUSTER_SERVERS_MAX];
    show_say(&d->show, SHOW_BOLD, "\n   Read back: GET %s of every server, from its own copy\n",
             path);
    for (unsigned i = 0; i < d->cluster.count && !demo_interrupted(d); i++) {
        read_one(d, i, p, path, seq, expected);
        wishes[i] = (struct heard_wish){i, "CLIENT", "R2", path};
    }
    if (!demo_interrupted(d)) {
        gather(d, wishes, d->cluster.count);
        say_missing(d, wishes, d->cluster.count);
    }
    heard_drop(&d->heard, d->heard.count);
}

static bool check_answer(struct demo *d, const struct client_answer *a, const char *expected)
{
    if (a->status != 201 || !span_is(buf_span(&a->body), expected)) {
        demo_differs(d, "the answer is %d %.*s, expected 201 %s", a->status,
                     SPAN_ARGS(buf_span(&a->body)), expected);
        return false;
    }
    show(&d->show, SHOW_PLAIN, 0, "   ");
    show(&d->show, SHOW_GOOD, 0, "acknowledged");
    show(&d->show, SHOW_PLAIN, 0, ": write %" PRIu64 " is on the disks of %u server%s", a->seq,
         a->copies, a->copies == 1 ? "" : "s");
    show_end(&d->show);
    if (a->copies != d->cluster.count)
        demo_differs(d, "write %" PRIu64 " was acknowledged with %u copies, expected %u", a->seq,
                     a->copies, d->cluster.count);
    return true;
}

void demo_write(struct demo *d, enum client_protocol p)
{
    static const char *const titles[] = {"via HTTP", "TCP 메모", "über UDP"};
    struct heard_wish wishes[WISHES_MAX];
    char body[RECORD_BYTES_MAX], expected[RECORD_BYTES_MAX], path[64], key[64], id[24];
    unsigned through = demo_speaker(d, p);
    const struct cluster_server *s = &d->cluster.servers[through];
    struct client_answer a;
    struct span value = {0};
    snprintf(body, sizeof body, "{\"title\":\"%s\"}", titles[p]);
    snprintf(key, sizeof key, "demo-%ld-%d", (long)getpid(), p);
    const struct client_request rq = {.host = "127.0.0.1",
                                      .port = s->port,
                                      .method = "POST",
                                      .path = "/notes",
                                      .body = body,
                                      .key = key};
    show_say(&d->show, SHOW_BOLD, "\n%d. A write over %s, through %s:%u\n", p + 1,
             client_protocol_word(p), s->name, s->port);
    heard_drop(&d->heard, d->heard.count);
    if (client_ask(p, &rq, &a) != 0) {
        demo_differs(d, "%s did not answer a write over %s", s->name, client_protocol_word(p));
    } else {
        client_member(&a, "id", &value);
        client_text(value, id, sizeof id);
        snprintf(path, sizeof path, "/notes/%s", id);
        snprintf(expected, sizeof expected, "{\"id\":%s,\"title\":\"%s\"}", id, titles[p]);
        unsigned count = wish_write(d, through, wishes);
        gather(d, wishes, count);
        show_gathered(d);
        say_missing(d, wishes, count);
        heard_drop(&d->heard, d->heard.count);
        putchar('\n');
        if (check_answer(d, &a, expected) && !demo_interrupted(d))
            read_all(d, p, path, a.seq, expected);
    }
    buf_finish(&a.body);
    fflush(stdout);
}
