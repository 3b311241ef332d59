/* The demo: a server as a child process, a client of each protocol, and the server's messages as
 * they happen. */
#include "cli/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/client.h"

enum { READY_MS = 10 * 1000, LINE_MS = 2000, LINE_BYTES_MAX = 4096 };

struct demo {
    bool once;
    uint16_t port;
    char folder[64];
    int signals; /* a signalfd */
    pid_t server;
    int lines;         /* the server's stdout */
    struct buf unread; /* of it */
    unsigned mistakes;
};

/* Whether Ctrl-C was pressed, or the demo was asked to end. */
static bool interrupted(const struct demo *d)
{
    struct pollfd p = {.fd = d->signals, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

/* --- The server --- */

static void run_server(const struct demo *d, int out)
{
    char port[8], data[80];
    snprintf(port, sizeof port, "%u", d->port);
    snprintf(data, sizeof data, "%s/demo", d->folder);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it does not outlive the demo */
    dup2(out, STDOUT_FILENO);
    execl("/proc/self/exe", "noted", "serve", "--app-name", "demo", "--local-port", port, "--data",
          data, "--messages", "stdout", (char *)NULL);
    fprintf(stderr, "demo: cannot run the server: %s\n", strerror(errno));
    _exit(1);
}

static bool start_server(struct demo *d)
{
    int ends[2];
    const char *tmp = getenv("TMPDIR");
    int n =
        snprintf(d->folder, sizeof d->folder, "%s/noted-demo-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (n >= (int)sizeof d->folder || mkdtemp(d->folder) == NULL || pipe2(ends, O_CLOEXEC) != 0) {
        fprintf(stderr, "demo: cannot make a folder for the data: %s\n", strerror(errno));
        d->folder[0] = '\0';
        return false;
    }
    fflush(stdout);
    d->server = fork();
    if (d->server == 0)
        run_server(d, ends[1]);
    close(ends[1]);
    d->lines = ends[0];
    return d->server > 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static bool stop_server(struct demo *d)
{
    int status = 0;
    if (d->server > 0) {
        close(d->lines); /* it must not wait for us to read */
        kill(d->server, SIGTERM);
        while (waitpid(d->server, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (d->folder[0] != '\0')
        nftw(d->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    buf_finish(&d->unread);
    return status == 0;
}

/* Takes one line of the server's, waiting at most until `until_us`. False: none came. */
static bool take_line(struct demo *d, uint64_t until_us, char *line)
{
    struct clock clock = clock_real();
    for (;;) {
        const char *end = d->unread.bytes == 0 ? NULL : memchr(d->unread.at, '\n', d->unread.bytes);
        if (end != NULL) {
            size_t bytes = (size_t)(end - d->unread.at);
            snprintf(line, LINE_BYTES_MAX, "%.*s", (int)bytes, d->unread.at);
            buf_consume(&d->unread, bytes + 1);
            return true;
        }
        uint64_t now_us = clock_mono_us(&clock);
        struct pollfd p[] = {{.fd = d->lines, .events = POLLIN},
                             {.fd = d->signals, .events = POLLIN}};
        if (now_us >= until_us || poll(p, 2, (int)((until_us - now_us) / 1000) + 1) <= 0 ||
            p[1].revents != 0)
            return false;
        char *to = buf_room(&d->unread, LINE_BYTES_MAX);
        ssize_t n = to == NULL ? -1 : read(d->lines, to, LINE_BYTES_MAX);
        if (n <= 0)
            return false; /* the server has ended */
        d->unread.bytes += (size_t)n;
    }
}

/* Prints the server's lines up to the one that has `word`. False: it did not come. */
static bool show_lines(struct demo *d, const char *word, int limit_ms)
{
    struct clock clock = clock_real();
    uint64_t until_us = clock_mono_us(&clock) + (uint64_t)limit_ms * 1000;
    char line[LINE_BYTES_MAX];
    while (take_line(d, until_us, line)) {
        printf("    %s\n", line);
        if (strstr(line, word) != NULL)
            return true;
    }
    return false;
}

/* --- What it shows --- */

static void mistake(struct demo *d, const char *what, const struct client_answer *a,
                    const char *expected)
{
    d->mistakes++;
    printf("demo: %s differs: got %d %.*s, expected %s\n", what, a->status,
           SPAN_ARGS(buf_span(&a->body)), expected);
}

static struct client_request request(const struct demo *d, const char *method, const char *path)
{
    return (struct client_request){
        .address = "127.0.0.1", .port = d->port, .method = method, .path = path};
}

static void read_back(struct demo *d, enum client_protocol p, const char *path,
                      const char *expected)
{
    struct client_answer a;
    struct client_request rq = request(d, "GET", path);
    int rc = client_ask(p, &rq, &a);
    bool same = rc == 0 && a.status == 200 && span_is(buf_span(&a.body), expected);
    printf("  %-4s GET %s: %s\n", client_protocol_word(p), path,
           same ? "the same record" : "NOT the same record");
    if (!same)
        mistake(d, path, &a, expected);
    show_lines(d, "] R2 ", LINE_MS);
    buf_finish(&a.body);
}

static void write_and_read(struct demo *d, enum client_protocol p, unsigned id)
{
    static const char *const titles[] = {"written over HTTP", "TCP로 쓴 메모",
                                         "escrito por UDP: ¡hola!"};
    struct client_answer a;
    struct client_request rq = request(d, "POST", "/notes");
    char body[128], expected[160], path[32], key[64];
    snprintf(body, sizeof body, "{\"title\":\"%s\"}", titles[p]);
    snprintf(expected, sizeof expected, "{\"id\":%u,\"title\":\"%s\"}", id, titles[p]);
    snprintf(path, sizeof path, "/notes/%u", id);
    snprintf(key, sizeof key, "demo-%ld-%u", (long)getpid(), id);
    rq.body = body;
    rq.key = key;
    printf("\n%s POST /notes %s\n", client_protocol_word(p), body);
    int rc = client_ask(p, &rq, &a);
    show_lines(d, "] W5 ", LINE_MS);
    if (rc != 0 || a.status != 201 || !span_is(buf_span(&a.body), expected))
        mistake(d, "the answer", &a, expected);
    else
        printf("  acknowledged, on the disk: %s\n", expected);
    buf_finish(&a.body);
    for (enum client_protocol reader = CLIENT_HTTP; reader <= CLIENT_UDP; reader++)
        read_back(d, reader, path, expected);
}

static void stay(struct demo *d)
{
    char line[LINE_BYTES_MAX];
    struct clock clock = clock_real();
    printf("\nThe server stays up on port %u until Ctrl-C. In another terminal:\n"
           "  curl --json '{\"title\":\"a\"}' http://127.0.0.1:%u/notes\n"
           "  echo '{\"method\":\"GET\",\"pattern\":\"/notes/1\"}' | nc -N 127.0.0.1 %u\n"
           "  echo '{\"method\":\"GET\",\"pattern\":\"/notes/1\"}' | nc -u -w 1 127.0.0.1 %u\n\n",
           d->port, d->port, d->port, d->port);
    fflush(stdout);
    while (!interrupted(d) && waitpid(d->server, NULL, WNOHANG) == 0)
        while (take_line(d, clock_mono_us(&clock) + 200 * 1000, line)) {
            printf("    %s\n", line);
            fflush(stdout);
        }
}

static int usage(void)
{
    fputs("usage: noted demo [--once] [--local-port N]\n", stderr);
    return 2;
}

static int run(struct demo *d)
{
    printf("demo: one server on 127.0.0.1:%u, HTTP, JSON over TCP and JSON over UDP on that one "
           "port\n",
           d->port);
    if (!start_server(d) || !show_lines(d, " ready on ", READY_MS)) {
        fprintf(stderr, "demo: the server did not start; --local-port names another port\n");
        return 1;
    }
    for (enum client_protocol p = CLIENT_HTTP; p <= CLIENT_UDP && !interrupted(d); p++)
        write_and_read(d, p, (unsigned)p + 1);
    if (d->mistakes == 0 && !d->once && !interrupted(d))
        stay(d);
    return d->mistakes == 0 ? 0 : 1;
}

int demo_main(int argc, char **argv)
{
    struct demo d = {.port = 5000};
    sigset_t signals;
    for (int i = 0; i < argc; i++) {
        uint64_t port;
        if (strcmp(argv[i], "--once") == 0)
            d.once = true;
        else if (strcmp(argv[i], "--local-port") == 0 && i + 1 < argc &&
                 u64_parse(span_of(argv[i + 1]), &port) && port > 0 && port < 65536) {
            d.port = (uint16_t)port;
            i++;
        } else
            return usage();
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    d.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    int code = run(&d);
    if (!stop_server(&d) && code == 0) {
        fprintf(stderr, "demo: the server did not end well\n");
        code = 1;
    }
    if (d.once && code == 0 && !interrupted(&d))
        printf("demo: ok\n");
    return code;
}
