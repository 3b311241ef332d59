/* noted promote: arguments, questions to the other servers, and what the operator gets to read. */
#include "cli/promote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "cli/client.h"
#include "cli/place.h"

enum { WHY_BYTES = 1024 };

struct asked {
    const char *data, *old_state;
    struct promote_case c;
};

static int usage(FILE *to)
{
    fputs("usage: noted promote --data DIR [--server HOST:PORT]... [--old-state DIR]\n"
          "                     [--accept-data-loss]\n"
          "  --data DIR           the data directory of the stopped backup that is to be the "
          "primary\n"
          "  --server HOST:PORT   another server of the cluster, to be asked; name each, the old\n"
          "                       primary too\n"
          "  --old-state DIR      the old primary's data directory, as it left it; only read\n"
          "  --accept-data-loss   go on although acknowledged writes may be lost\n"
          "exit code: 0 promoted, 1 refused and nothing changed, 2 bad usage\n",
          to);
    return to == stdout ? 0 : 2;
}

/* --- Arguments --- */

static bool add_server(struct promote_case *c, const char *address)
{
    struct place place;
    if (c->count == PROMOTE_SERVERS_MAX || strlen(address) > PEER_ADDRESS_BYTES_MAX ||
        !place_read_server(&place, address))
        return false;
    for (unsigned i = 0; i < c->count; i++)
        if (strcmp(c->servers[i].address, address) == 0)
            return true;
    snprintf(c->servers[c->count++].address, sizeof c->servers[0].address, "%s", address);
    return true;
}

static bool read_arguments(int argc, char **argv, struct asked *to)
{
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--accept-data-loss") == 0) {
            to->c.accept_data_loss = true;
            continue;
        }
        if (value == NULL || value[0] == '\0')
            return false;
        if (strcmp(argv[i], "--data") == 0)
            to->data = value;
        else if (strcmp(argv[i], "--old-state") == 0)
            to->old_state = value;
        else if (strcmp(argv[i], "--server") != 0 || !add_server(&to->c, value))
            return false;
        i++;
    }
    return to->data != NULL;
}

/* --- Asking --- */

static bool get_number(const struct client_answer *a, const char *name, uint64_t *value)
{
    struct span text;
    return client_member(a, name, &text) && u64_parse(text, value);
}

static void get_text(const struct client_answer *a, const char *name, char *to, size_t bytes)
{
    struct span text;
    to[0] = '\0';
    if (client_member(a, name, &text))
        client_text(text, to, bytes);
}

static bool get_id(const struct client_answer *a, const char *name, unsigned char *id)
{
    char text[2 * PEER_ID_BYTES + 2];
    get_text(a, name, text, sizeof text);
    if (strlen(text) != (size_t)2 * PEER_ID_BYTES)
        return false;
    for (unsigned i = 0; i < PEER_ID_BYTES; i++)
        if (sscanf(text + (size_t)2 * i, "%2hhx", &id[i]) != 1)
            return false;
    return true;
}

static bool get_true(const struct client_answer *a, const char *name)
{
    struct span text;
    return client_member(a, name, &text) && span_is(text, "true");
}

/* A status, where it is one; `primary_at` gets the address that it knows the primary by. */
static bool read_status(const struct client_answer *a, struct promote_server *s, char *primary_at,
                        size_t bytes)
{
    uint64_t generation;
    char role[16];
    struct span primary;
    if (a->status != 200 || !get_id(a, "id", s->server.id) || !get_id(a, "cluster", s->cluster) ||
        !get_number(a, "generation", &generation) || generation > UINT32_MAX ||
        !get_number(a, "epoch", &s->epoch) ||
        !get_number(a, "promised_epoch", &s->promised_epoch) ||
        !get_number(a, "last_epoch", &s->last_epoch) || !get_number(a, "last", &s->last) ||
        !get_number(a, "committed", &s->committed) || !client_member(a, "primary", &primary))
        return false;
    s->generation = (uint32_t)generation;
    get_text(a, "app_name", s->server.name, sizeof s->server.name);
    get_text(a, "role", role, sizeof role);
    s->primary = strcmp(role, "primary") == 0;
    s->connected = get_true(a, "connected");
    const struct client_answer inner = {.body = {.at = (char *)primary.at, .bytes = primary.bytes}};
    get_text(&inner, "name", s->follows, sizeof s->follows);
    get_text(&inner, "address", primary_at, bytes);
    /* They go to a terminal as they are. */
    return place_is_app_name(s->server.name) &&
           (s->follows[0] == '\0' || place_is_app_name(s->follows));
}

/* Who takes a connection and gives no answer lives, perhaps; that is more than nothing. */
static void ask(struct promote_server *s, char *primary_at, size_t bytes)
{
    struct place place;
    struct client_answer a;
    (void)place_read_server(&place, s->address);
    const struct client_request rq = {
        .host = place.host, .port = place.port, .method = "GET", .path = "/_status"};
    errno = 0;
    int fd = client_connect(place.host, place.port);
    s->reach = fd >= 0 ? PROMOTE_SILENT : errno == ECONNREFUSED ? PROMOTE_CLOSED : PROMOTE_AWAY;
    if (fd < 0)
        return;
    close(fd);
    bool next = true;
    for (int p = 0; p < CLIENT_PROTOCOLS && next; p++) {
        bool heard = client_ask((enum client_protocol)p, &rq, &a) == 0;
        next = heard && a.status == 501; /* it does not speak that one */
        if (heard && read_status(&a, s, primary_at, bytes))
            s->reach = PROMOTE_ANSWERED;
        buf_finish(&a.body);
    }
}

/* Also whom the others call their primary, named or not. */
static void ask_all(struct promote_case *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        char primary_at[PEER_ADDRESS_BYTES_MAX + 1] = "";
        ask(&c->servers[i], primary_at, sizeof primary_at);
        if (c->servers[i].reach == PROMOTE_ANSWERED && !c->servers[i].primary)
            (void)add_server(c, primary_at);
    }
}

/* --- What is shown --- */

static void show_row(const char *name, const char *at, const char *role, uint64_t promised,
                     uint64_t epoch, uint64_t last, uint64_t committed)
{
    char promise[48], end[72];
    snprintf(promise, sizeof promise, "%" PRIu64 ".%" PRIu64, promised >> 32,
             promised & UINT32_MAX);
    snprintf(end, sizeof end, "%" PRIu64 " (%" PRIu64 ".%" PRIu64 ")", last, epoch >> 32,
             epoch & UINT32_MAX);
    printf("%-12s %-10s %-9s %-16s %-10" PRIu64 " %s\n", name, role, promise, end, committed, at);
}

static void show_set(const char *name, const struct peer_set *set)
{
    printf("in sync, as %s has it:", name);
    for (unsigned i = 0; i < set->count; i++)
        printf(" %s", set->list[i].name);
    puts(set->count == 0 ? " not known" : "");
}

static void show(const struct asked *a)
{
    static const char *const not_there[] = {"", "silent", "closed", "away"};
    const struct promote_dir *d = &a->c.self, *old = &a->c.old;
    printf("%-12s %-10s %-9s %-16s %-10s %s\n", "server", "role", "promised", "last entry",
           "committed", "where");
    show_row(d->server.name, a->data, "this", d->promised_epoch, d->last.epoch, d->last.index,
             d->committed);
    if (a->c.has_old)
        show_row(old->server.name, a->old_state, "old", old->promised_epoch, old->last.epoch,
                 old->last.index, old->committed);
    for (unsigned i = 0; i < a->c.count; i++) {
        const struct promote_server *s = &a->c.servers[i];
        if (s->reach != PROMOTE_ANSWERED)
            printf("%-12s %-10s %-9s %-16s %-10s %s\n", "?", not_there[s->reach], "", "", "",
                   s->address);
        else
            show_row(s->server.name, s->address,
                     promote_fenced(s) ? "retired"
                     : s->primary      ? "primary"
                                       : "backup",
                     s->promised_epoch, s->last_epoch, s->last, s->committed);
    }
    show_set(d->server.name, &d->set);
    if (a->c.has_old)
        show_set(old->server.name, &old->own);
    fflush(stdout);
}

/* Each line behind its heading. */
static void show_lines(FILE *to, const char *heading, const struct buf *lines)
{
    for (size_t at = 0; at < lines->bytes;) {
        const char *line = lines->at + at;
        const char *end = memchr(line, '\n', lines->bytes - at);
        size_t bytes = end == NULL ? lines->bytes - at : (size_t)(end - line);
        fprintf(to, "%s%.*s\n", heading, (int)bytes, line);
        at += bytes + 1;
    }
}

static void show_next(const struct asked *a, const struct promote_verdict *v, bool calls)
{
    printf(
        "promoted: %s is the primary of generation %" PRIu32 "\n"
        "next: start it as before, but without --primary: noted serve --app-name %s --data %s\n"
        "next: start every other server with --primary HOST:PORT of this one\n"
        "next: the old primary, if it comes back, becomes a backup likewise; without --primary it "
        "takes no writes once it has heard of this one%s\n",
        a->c.self.server.name, v->generation, a->c.self.server.name, a->data,
        calls ? "" : ", and nobody tells it: no --server named who does not answer");
}

/* --- The command --- */

/* Who did not answer is told by the new primary, as soon as it can be. */
static void list_untold(const struct promote_case *c, struct buf *to)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->servers[i].reach != PROMOTE_ANSWERED)
            buf_printf(to, "%s\n", c->servers[i].address);
}

static int judge(const struct asked *a, const struct promote_steps *steps)
{
    char why[WHY_BYTES] = "out of memory";
    struct promote_verdict v;
    struct buf untold = {0};
    promote_judge(&a->c, &v);
    show_lines(stdout, "known: ", &v.known);
    show_lines(stdout, "not known: ", &v.unknown);
    fflush(stdout);
    bool yes = v.reason == PROMOTE_YES;
    if (!yes) {
        show_lines(stderr, "noted: not promoted: ", &v.refusal);
    } else {
        list_untold(&a->c, &untold);
        yes = !untold.failed &&
              steps->promote(steps->context, v.generation, buf_span(&untold), why, sizeof why) == 0;
        if (yes)
            show_next(a, &v, untold.bytes != 0);
        else
            fprintf(stderr, "noted: %s\n", why);
    }
    buf_finish(&untold);
    promote_forget(&v);
    return yes ? 0 : 1;
}

int promote_main(int argc, char **argv, const struct promote_steps *steps)
{
    struct asked a = {0};
    char why[WHY_BYTES] = "";
    if (argc == 1 && strcmp(argv[0], "--help") == 0)
        return usage(stdout);
    if (!read_arguments(argc, argv, &a))
        return usage(stderr);
    if (steps->open(steps->context, a.data, a.old_state, &a.c, why, sizeof why) != 0) {
        fprintf(stderr, "noted: not promoted: %s\n", why);
        return 1;
    }
    ask_all(&a.c);
    show(&a);
    int code = judge(&a, steps);
    steps->close(steps->context);
    return code;
}
