/* What each server of the demo says on /_status, and that they all have the same. */
#include <stdio.h>
#include <string.h>

#include "cli/inside.h"

enum { SETTLE_MS = 10 * 1000, LOOK_MS = 20, TEXT_BYTES = 512 };

struct state {
    bool known;
    char role[16], seq[24], digest[32];
    char in_sync[TEXT_BYTES]; /* the array as it came */
    unsigned in_sync_count;   /* how many of the demo's servers are in it */
};

static void member(const struct client_answer *a, const char *name, char *to, size_t bytes)
{
    struct span value = {0};
    if (client_member(a, name, &value))
        client_text(value, to, bytes);
}

static struct state state_of(const struct demo *d, unsigned server)
{
    struct state s = {0};
    struct client_answer a;
    struct span set;
    enum client_protocol p = demo_tongue(d, server, CLIENT_HTTP);
    s.known = demo_ask(d, server, p, "GET", "/_status", 0, &a) == 0 && a.status == 200;
    member(&a, "role", s.role, sizeof s.role);
    member(&a, "seq", s.seq, sizeof s.seq);
    member(&a, "digest", s.digest, sizeof s.digest);
    member(&a, "in_sync", s.in_sync, sizeof s.in_sync);
    if (client_member(&a, "in_sync", &set))
        for (unsigned i = 0; i < d->cluster.count; i++)
            s.in_sync_count += client_array_has(set, d->cluster.servers[i].name);
    buf_finish(&a.body);
    return s;
}

static bool same(const struct state *a, const struct state *b)
{
    return a->known && b->known && strcmp(a->seq, b->seq) == 0 && strcmp(a->digest, b->digest) == 0;
}

/* Asks all, again and again, until they agree; at last they are as they are. */
static bool settle(struct demo *d, struct state *states)
{
    uint64_t until_us = cluster_now_us() + SETTLE_MS * 1000UL;
    for (;;) {
        bool good = true;
        for (unsigned i = 0; i < d->cluster.count; i++) {
            states[i] = state_of(d, i);
            good =
                good && same(&states[i], &states[0]) && states[i].in_sync_count == d->cluster.count;
        }
        uint64_t now_us = cluster_now_us();
        if (good || now_us >= until_us || demo_interrupted(d))
            return good;
        while (demo_listen(d, now_us + LOOK_MS * 1000UL)) {
        }
    }
}

bool demo_wait_in_sync(struct demo *d)
{
    struct state states[CLUSTER_SERVERS_MAX];
    if (settle(d, states))
        return true;
    fflush(stdout);
    for (unsigned i = 0; i < d->cluster.count && !demo_interrupted(d); i++)
        fprintf(stderr, "demo: %s is at seq %s, digest %s, in sync: %s\n",
                d->cluster.servers[i].name, states[i].seq, states[i].digest, states[i].in_sync);
    return false;
}

void demo_state(struct demo *d)
{
    struct state states[CLUSTER_SERVERS_MAX];
    bool good = settle(d, states);
    show_say(&d->show, SHOW_BOLD, "\nWhat each server says of itself (GET /_status)\n");
    show_say(&d->show, SHOW_DIM, "  server  role      seq  digest             in_sync");
    for (unsigned i = 0; i < d->cluster.count; i++) {
        const struct state *s = &states[i];
        bool agrees = same(s, &states[0]);
        show_name(&d->show, i, d->cluster.servers[i].name);
        show(&d->show, SHOW_PLAIN, 10, "%s", s->known ? s->role : "no answer");
        show(&d->show, SHOW_PLAIN, 5, "%s", s->seq);
        show(&d->show, agrees ? SHOW_GOOD : SHOW_BAD, 19, "%s", s->digest);
        show(&d->show, SHOW_PLAIN, 0, "%s", s->in_sync);
        show_end(&d->show);
        if (!agrees || s->in_sync_count != d->cluster.count)
            demo_differs(d, "%s has seq %s, digest %s, in sync %s; %s has seq %s, digest %s",
                         d->cluster.servers[i].name, s->seq, s->digest, s->in_sync,
                         d->cluster.servers[0].name, states[0].seq, states[0].digest);
    }
    if (good && d->cluster.count > 1)
        show_say(&d->show, SHOW_GOOD,
                 "\n   All digests are equal: every server has the same records.");
    fflush(stdout);
}
