/* noted drop: asks the primary over whatever protocol it answers, then looks what became of it. */
#include "cli/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/client.h"
#include "cli/place.h"

enum { OUT_MS = 5000, LOOK_MS = 10, DETAIL_BYTES = 2 * DETAIL_BYTES_MAX };

struct asked {
    struct place place;
    int via; /* a client_protocol; -1: whichever the server answers */
};

static int usage(FILE *to)
{
    fputs("usage: noted drop NAME [--server HOST:PORT] [--via http|tcp|udp]\n"
          "  NAME                the backup that writes must not wait for any more\n"
          "  --server HOST:PORT  the primary, 127.0.0.1:LOCAL_PORT without it; also --primary\n"
          "  --local-port N      the primary is at 127.0.0.1:N\n"
          "  --via PROTOCOL      asks over this one only; else HTTP, TCP and UDP are tried\n",
          to);
    return to == stdout ? 0 : 2;
}

/* --- Arguments --- */

static bool read_via(struct asked *to, const char *word)
{
    for (int p = 0; p < CLIENT_PROTOCOLS; p++)
        if (strcasecmp(word, client_protocol_word((enum client_protocol)p)) == 0) {
            to->via = p;
            return true;
        }
    return false;
}

static bool read_server(struct asked *to, const char *text)
{
    return place_read_server(&to->place, text);
}

static bool read_local_port(struct asked *to, const char *digits)
{
    return place_read_local_port(&to->place, digits);
}

static bool read_arguments(int argc, char **argv, struct asked *to, const char **name)
{
    static const struct {
        const char *flag;
        bool (*read)(struct asked *to, const char *value);
    } flags[] = {{"--server", read_server},
                 {"--primary", read_server},
                 {"--local-port", read_local_port},
                 {"--via", read_via}};
    enum { FLAGS = sizeof flags / sizeof flags[0] };
    for (int i = 0; i < argc; i++) {
        unsigned flag = 0;
        while (flag < FLAGS && strcmp(argv[i], flags[flag].flag) != 0)
            flag++;
        if (flag < FLAGS) {
            if (i + 1 == argc || !flags[flag].read(to, argv[i + 1]))
                return false;
            i++;
        } else if (*name != NULL || !place_is_app_name(argv[i])) {
            return false;
        } else {
            *name = argv[i];
        }
    }
    return *name != NULL;
}

/* --- Asking --- */

/* Over the first protocol that the server answers in, which is then kept: a server that does not
 * speak one says 501, or nothing. */
static bool ask(struct asked *to, const char *method, const char *path, const char *key,
                struct client_answer *a)
{
    const struct client_request rq = {
        .host = to->place.host, .port = to->place.port, .method = method, .path = path, .key = key};
    *a = (struct client_answer){0};
    for (int p = to->via < 0 ? 0 : to->via; p < (to->via < 0 ? CLIENT_PROTOCOLS : to->via + 1);
         p++) {
        buf_finish(&a->body);
        if (client_ask((enum client_protocol)p, &rq, a) == 0 &&
            (a->status != 501 || to->via >= 0)) {
            to->via = p;
            return true;
        }
    }
    return false;
}

static void say_detail(const struct asked *to, const char *name, const struct client_answer *a)
{
    char detail[DETAIL_BYTES] = "";
    struct span value;
    if (client_member(a, "detail", &value))
        client_text(value, detail, sizeof detail);
    if (detail[0] != '\0')
        fprintf(stderr, "noted: %s\n", detail);
    else
        fprintf(stderr, "noted: %s:%u answered %d, and %s is not dropped\n", to->place.host,
                to->place.port, a->status, name);
}

/* True: it is not in the in-sync set. */
static bool wait_out(struct asked *to, const char *name)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000 * 1000};
    struct clock clock = clock_real();
    uint64_t until_us = clock_mono_us(&clock) + OUT_MS * 1000UL;
    for (;;) {
        struct client_answer a;
        struct span set;
        bool out = ask(to, "GET", "/_status", NULL, &a) && client_member(&a, "in_sync", &set) &&
                   !client_array_has(set, name);
        buf_finish(&a.body);
        if (out || clock_mono_us(&clock) >= until_us)
            return out;
        nanosleep(&pause, NULL);
    }
}

int operator_drop(int argc, char **argv)
{
    struct asked to = {.via = -1};
    const char *name = NULL;
    struct client_answer a;
    char path[APP_NAME_BYTES_MAX + 16], key[64];
    if (argc == 1 && strcmp(argv[0], "--help") == 0)
        return usage(stdout);
    bool known = place_default(&to.place);
    if (!read_arguments(argc, argv, &to, &name))
        return usage(stderr);
    if (!known && to.place.port == 0) {
        fprintf(stderr, "noted: LOCAL_PORT is %s, and no port\n", getenv("LOCAL_PORT"));
        return 2;
    }
    snprintf(path, sizeof path, "/_servers/%s", name);
    snprintf(key, sizeof key, "drop-%ld-%lld", (long)getpid(), (long long)time(NULL));
    if (!ask(&to, "DELETE", path, key, &a)) {
        fprintf(stderr, "noted: %s:%u does not answer\n", to.place.host, to.place.port);
        buf_finish(&a.body);
        return 1;
    }
    bool accepted = a.status == 202;
    if (!accepted)
        say_detail(&to, name, &a);
    buf_finish(&a.body);
    if (!accepted)
        return 1;
    if (!wait_out(&to, name)) {
        fprintf(
            stderr,
            "noted: %s is in sync still, or again: a backup that lives comes back by itself, so "
            "stop it first\n",
            name);
        return 1;
    }
    printf("noted: %s is not in sync any more, writes do not wait for it\n", name);
    return 0;
}
