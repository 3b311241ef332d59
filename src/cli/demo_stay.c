/* The demo after its story: addresses to try, and messages as they happen, until it is to end. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/inside.h"

enum {
    HOLD_US = 60 * 1000,  /* servers print every 20 ms: so long a line waits for earlier ones */
    REST_US = 400 * 1000, /* reads are grouped by such pauses */
    LOOK_US = 1000 * 1000,
};

/* How this program can be called from here: "build/noted". */
static void own_name(char *to, size_t bytes)
{
    char self[PATH_MAX], here[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    const char *name = n > 0 ? self : "noted";
    if (getcwd(here, sizeof here) != NULL && strncmp(self, here, strlen(here)) == 0 &&
        self[strlen(here)] == '/' && strchr(self + strlen(here) + 1, '/') != NULL)
        name = self + strlen(here) + 1;
    snprintf(to, bytes, "%s", name);
}

static void command(struct demo *d, const char *what, const char *text)
{
    show_say(&d->show, SHOW_DIM, "  # %s", what);
    show_say(&d->show, SHOW_PLAIN, "  %s", text);
}

static void say_backup_commands(struct demo *d)
{
    const struct cluster_server *list = d->cluster.servers, *last = &list[d->cluster.count - 1],
                                *other = d->cluster.count > 2 ? last - 1 : last;
    char text[PATH_MAX + 128], self[PATH_MAX], port[32] = "";
    snprintf(text, sizeof text, "kill -9 %ld", (long)last->pid);
    command(d, "end a backup: reads go on at once, writes as soon as the primary notices", text);
    own_name(self, sizeof self);
    if (list[0].port != 5000)
        snprintf(port, sizeof port, " --local-port %u", list[0].port);
    snprintf(text, sizeof text, "kill -STOP %ld\n  %s drop %s%s\n  kill -CONT %ld",
             (long)other->pid, self, other->name, port, (long)other->pid);
    command(d, "freeze one: writes wait for it, up to 5 s or until it is dropped; thaw it", text);
}

static void say_commands(struct demo *d)
{
    const struct cluster_server *list = d->cluster.servers;
    unsigned http = list[demo_speaker(d, CLIENT_HTTP)].port,
             tcp = list[demo_speaker(d, CLIENT_TCP)].port,
             udp = list[demo_speaker(d, CLIENT_UDP)].port;
    char text[256];
    snprintf(text, sizeof text, "curl --json '{\"title\":\"a\"}' http://127.0.0.1:%u/notes", http);
    command(d, "write over HTTP", text);
    snprintf(text, sizeof text,
             "echo '{\"method\":\"POST\",\"pattern\":\"/notes\"} {\"title\":\"b\"}' |\n"
             "      nc -N 127.0.0.1 %u",
             tcp);
    command(d, "write over TCP", text);
    snprintf(text, sizeof text,
             "echo '{\"method\":\"GET\",\"pattern\":\"/notes/1\"}' | nc -u -w 1 127.0.0.1 %u", udp);
    command(d, "read over UDP", text);
    snprintf(text, sizeof text, "curl http://127.0.0.1:%u/_status", list[0].port);
    command(d, "the primary's view: who is in sync, positions, digest", text);
    if (d->cluster.count > 1)
        say_backup_commands(d);
}

/* What is on the screen already. */
struct shown {
    uint64_t at_us;
    bool answered; /* the last was a client's answer */
};

/* Shows those that have waited for earlier ones; all of them where room runs out. */
static void show_due(struct demo *d, struct shown *shown)
{
    uint64_t now_us = cluster_now_us();
    bool full = d->heard.count == HEARD_MAX;
    unsigned n = 0;
    for (; n < d->heard.count; n++) {
        const struct heard_message *m = &d->heard.list[n];
        if (!full && m->heard_us + HOLD_US > now_us)
            break;
        if ((span_is(m->step, "W1") && shown->answered) ||
            (span_is(m->step, "R1") && now_us > shown->at_us + REST_US))
            putchar('\n');
        show_message(&d->show, d->cluster.servers[m->server].name, m, 0);
        shown->at_us = now_us;
        shown->answered = span_is(m->actor, "CLIENT") && span_is(m->kind, "[REPLY]");
    }
    heard_drop(&d->heard, n);
    if (n != 0)
        fflush(stdout);
}

bool demo_stay(struct demo *d)
{
    struct shown shown = {.at_us = cluster_now_us()};
    show_say(&d->show, SHOW_BOLD,
             "\nThe servers stay up until Ctrl-C. To try, in another terminal\n");
    say_commands(d);
    show_say(&d->show, SHOW_BOLD, "\nMessages as they happen\n");
    show_message_head(&d->show, false);
    fflush(stdout);
    while (!demo_interrupted(d) && cluster_live(&d->cluster) != 0) {
        uint64_t until_us =
            d->heard.count != 0 ? d->heard.list[0].heard_us + HOLD_US : cluster_now_us() + LOOK_US;
        if (demo_listen(d, until_us))
            fflush(stdout);
        show_due(d, &shown);
    }
    if (demo_interrupted(d)) {
        puts("\nThe servers stop.");
        return true;
    }
    fflush(stdout);
    fputs("demo: no server is left\n", stderr);
    return false;
}
