/* The demo's story: servers start, each protocol writes, every server is read, and it stays. */
#include "cli/demo.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/inside.h"

enum { READY_MS = 20 * 1000, SERVERS_DEFAULT = 4 };

/* --- What its parts share --- */

void demo_differs(struct demo *d, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->mistakes++;
    show_say(&d->show, SHOW_BAD, "  NOT AS IT SHOULD BE: %s", text);
    buf_printf(&d->differed, "demo: %s\n", text);
}

bool demo_interrupted(const struct demo *d)
{
    return d->cluster.interrupts != 0 || ferror(stdout) != 0;
}

static void say_ended(struct demo *d, unsigned server)
{
    const struct cluster_server *s = &d->cluster.servers[server];
    bool killed = WIFSIGNALED(s->status);
    show_name(&d->show, server, s->name);
    show_say(&d->show, SHOW_BAD, "%s %d (%u of %u live)%s",
             killed ? "ended by signal" : "ended with exit code",
             killed ? WTERMSIG(s->status) : WEXITSTATUS(s->status), cluster_live(&d->cluster),
             d->cluster.count, server == 0 ? "; reads go on, writes get no_primary" : "");
}

static void say_said(struct demo *d, unsigned server, const char *line)
{
    static const char prefix[] = "noted: ";
    if (strncmp(line, prefix, sizeof prefix - 1) == 0)
        line += sizeof prefix - 1;
    show_name(&d->show, server, d->cluster.servers[server].name);
    show_say(&d->show, SHOW_PLAIN, "says: %s", line);
}

bool demo_listen(struct demo *d, uint64_t until_us)
{
    struct cluster_event e;
    if (demo_interrupted(d) || !cluster_next(&d->cluster, until_us, &e))
        return false;
    if (e.kind == CLUSTER_ENDED)
        say_ended(d, e.server);
    else if (e.kind == CLUSTER_LINE && strstr(e.line, " ready on ") != NULL && e.line[0] != '[')
        d->ready[e.server] = true;
    else if (e.kind == CLUSTER_SAID || !heard_add(&d->heard, e.server, cluster_now_us(), e.line))
        say_said(d, e.server, e.line);
    return true;
}

bool demo_speaks(const struct demo *d, unsigned server, enum client_protocol p)
{
    static const char *const words[] = {"http", "tcp", "udp"};
    return strstr(d->cluster.servers[server].serve, words[p]) != NULL;
}

enum client_protocol demo_tongue(const struct demo *d, unsigned server, enum client_protocol p)
{
    for (int i = 0; !demo_speaks(d, server, p) && i < CLIENT_PROTOCOLS; i++)
        p = (enum client_protocol)i;
    return p;
}

unsigned demo_speaker(const struct demo *d, enum client_protocol p)
{
    unsigned server = (unsigned)p + 1; /* busan speaks HTTP, daegu TCP, jeju UDP */
    return server < d->cluster.count ? server : 0;
}

int demo_ask(const struct demo *d, unsigned server, enum client_protocol p, const char *method,
             const char *path, uint64_t min_seq, struct client_answer *a)
{
    const struct client_request rq = {
        .host = "127.0.0.1",
        .port = d->cluster.servers[server].port,
        .method = method,
        .path = path,
        .min_seq = min_seq,
    };
    return client_ask(p, &rq, a);
}

/* --- Start --- */

static bool wait_ready(struct demo *d, unsigned server)
{
    const struct cluster_server *s = &d->cluster.servers[server];
    uint64_t until_us = cluster_now_us() + READY_MS * 1000UL;
    while (!d->ready[server] && s->live && demo_listen(d, until_us)) {
    }
    fflush(stdout);
    if (!d->ready[server] && !demo_interrupted(d))
        fprintf(stderr, "demo: %s did not start on port %u%s\n", s->name, s->port,
                s->live ? " in time" : "");
    return d->ready[server];
}

static void show_servers(struct demo *d)
{
    static const char *const only[] = {"an API server", "a TCP server", "a UDP server"};
    show_say(&d->show, SHOW_DIM, "\n  server  address         role     answers");
    for (unsigned i = 0; i < d->cluster.count; i++) {
        const struct cluster_server *s = &d->cluster.servers[i];
        bool one_protocol = strchr(s->serve, ',') == NULL;
        show_name(&d->show, i, s->name);
        show(&d->show, SHOW_PLAIN, 16, "127.0.0.1:%u", s->port);
        show(&d->show, SHOW_PLAIN, 9, "%s", i == 0 ? "primary" : "backup");
        show(&d->show, SHOW_PLAIN, one_protocol || i == 0 ? 14 : 0, "%s", s->serve);
        if (one_protocol || i == 0)
            show(&d->show, SHOW_DIM, 0, "%s",
                 i == 0 ? "puts all writes in one order" : only[i - 1]);
        show_end(&d->show);
    }
    fflush(stdout);
}

static bool start(struct demo *d)
{
    struct cluster *c = &d->cluster;
    if (!cluster_ports_free(c))
        return false;
    show_say(&d->show, SHOW_BOLD, "%u server%s on 127.0.0.1%s\n", c->count,
             c->count == 1 ? "" : "s",
             c->count == 1 ? "" : ", each with its own copy of every record");
    for (unsigned i = 0; i < c->count; i++) {
        if (!cluster_start(c, i)) {
            fprintf(stderr, "demo: cannot start a process for %s\n", c->servers[i].name);
            return false;
        }
        if (i == 0 && !wait_ready(d, 0)) /* the others have somebody to call then */
            return false;
    }
    for (unsigned i = 1; i < c->count; i++)
        if (!wait_ready(d, i))
            return false;
    if (!demo_wait_in_sync(d))
        return false;
    show_servers(d);
    return true;
}

static int run(struct demo *d)
{
    if (!start(d))
        return d->once || !demo_interrupted(d) ? 1 : 0;
    for (int p = CLIENT_HTTP; p <= CLIENT_UDP && !demo_interrupted(d); p++)
        demo_write(d, (enum client_protocol)p);
    if (!demo_interrupted(d))
        demo_state(d);
    if (cluster_live(&d->cluster) != d->cluster.count && d->mistakes == 0)
        demo_differs(d, "a server has ended");
    bool left = d->once || demo_interrupted(d) || demo_stay(d);
    return d->mistakes != 0 || !left || (d->once && demo_interrupted(d)) ? 1 : 0;
}

/* --- The command --- */

static int usage(FILE *to)
{
    fprintf(
        to,
        "usage: noted demo [--once] [--servers N] [--local-port P]\n"
        "  --once           ends after it has shown and compared everything: exit 0 or 1\n"
        "  --servers N      1 to %d servers, %d without it\n"
        "  --local-port P   the primary's port, 5000 without it; the others take the next ones\n",
        CLUSTER_SERVERS_MAX, SERVERS_DEFAULT);
    return to == stdout ? 0 : 2;
}

static bool number_flag(int argc, char **argv, int *i, const char *flag, uint64_t *value)
{
    if (strcmp(argv[*i], flag) != 0 || *i + 1 >= argc || !u64_parse(span_of(argv[*i + 1]), value))
        return false;
    ++*i;
    return true;
}

int demo_main(int argc, char **argv)
{
    uint64_t servers = SERVERS_DEFAULT, port = 5000;
    bool once = false;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout);
        if (strcmp(argv[i], "--once") == 0)
            once = true;
        else if (!number_flag(argc, argv, &i, "--servers", &servers) &&
                 !number_flag(argc, argv, &i, "--local-port", &port))
            return usage(stderr);
    }
    if (servers < 1 || servers > CLUSTER_SERVERS_MAX || port < 1 || port + servers - 1 > 65535)
        return usage(stderr);
    struct demo *d = calloc(1, sizeof *d);
    if (d == NULL)
        return 1;
    d->once = once;
    show_begin(&d->show);
    int code = cluster_open(&d->cluster, (unsigned)servers, (uint16_t)port) ? run(d) : 1;
    fflush(stdout);
    if (!cluster_close(&d->cluster))
        code = 1;
    fprintf(stderr, "%.*s", SPAN_ARGS(buf_span(&d->differed)));
    if (once && code == 0)
        puts("demo: ok");
    heard_drop(&d->heard, d->heard.count);
    buf_finish(&d->differed);
    free(d);
    return code;
}
