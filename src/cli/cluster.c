/* Processes, pipes and signals of the demo's servers. What their lines mean is not known here. */
#include "cli/cluster.h"

#include <arpa/inet.h>
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    STOP_MS = 10 * 1000,
    KILL_MS = 2000,
    WAIT_MS_MAX = 60 * 1000,
    FOLDERS_OPEN_MAX = 16,
    SAID_BYTES_MAX = 64 * 1024
};

static const struct {
    const char *name, *serve;
} plan[CLUSTER_SERVERS_MAX] = {
    {"seoul", "http,tcp,udp"},
    {"busan", "http"},
    {"daegu", "tcp"},
    {"jeju", "udp"},
    {"incheon", "http,tcp,udp"},
    {"gwangju", "http,tcp,udp"},
    {"daejeon", "http,tcp,udp"},
    {"ulsan", "http,tcp,udp"},
    {"suwon", "http,tcp,udp"},
};

uint64_t cluster_now_us(void)
{
    struct clock clock = clock_real();
    return clock_mono_us(&clock);
}

bool cluster_open(struct cluster *c, unsigned count, uint16_t port)
{
    const char *tmp = getenv("TMPDIR");
    sigset_t signals;
    c->count = count;
    for (unsigned i = 0; i < count; i++)
        c->servers[i] = (struct cluster_server){
            .name = plan[i].name,
            .serve = plan[i].serve,
            .port = (uint16_t)(port + i),
            .out.fd = -1,
            .err.fd = -1,
        };
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of ours that goes away must not leave servers behind */
    c->signals = signalfd(-1, &signals, SFD_CLOEXEC);
    int n = snprintf(c->folder, sizeof c->folder, "%s/noted-demo-XXXXXX",
                     tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (c->signals >= 0 && n < (int)sizeof c->folder && mkdtemp(c->folder) != NULL)
        return true;
    fprintf(stderr, "demo: cannot make a folder for the data, %s: %s\n", c->folder,
            strerror(errno));
    c->folder[0] = '\0';
    return false;
}

/* --- Start --- */

static bool port_free(uint16_t port, int type)
{
    const int on = 1;
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;         /* the server will say more */
    if (type == SOCK_STREAM) /* what is left of closed connections does not count */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool free = bind(fd, (const struct sockaddr *)&to, sizeof to) == 0 || errno != EADDRINUSE;
    close(fd);
    return free;
}

bool cluster_ports_free(const struct cluster *c)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < c->count; i++) {
        const struct cluster_server *s = &c->servers[i];
        if (port_free(s->port, SOCK_STREAM) && port_free(s->port, SOCK_DGRAM))
            continue;
        fprintf(stderr, "demo: port %u, meant for %s, is taken by another program\n", s->port,
                s->name);
        taken++;
    }
    if (taken != 0)
        fprintf(stderr, "demo: %u ports in a row are needed; --local-port N takes those from N\n",
                c->count);
    return taken == 0;
}

/* Settings of the person's own servers do not belong to the demo's. */
static void forget_settings(void)
{
    unsigned kept = 0;
    for (char **v = environ; *v != NULL; v++)
        if (strncmp(*v, "NOTED_", 6) != 0 && strncmp(*v, "APP_NAME=", 9) != 0 &&
            strncmp(*v, "LOCAL_PORT=", 11) != 0)
            environ[kept++] = *v;
    environ[kept] = NULL;
}

static void become_server(const struct cluster *c, unsigned i, pid_t demo, int out, int err)
{
    const struct cluster_server *s = &c->servers[i];
    char port[8], data[PATH_MAX + 32], primary[32];
    sigset_t none;
    snprintf(port, sizeof port, "%u", s->port);
    snprintf(data, sizeof data, "%s/%s", c->folder, s->name);
    snprintf(primary, sizeof primary, "127.0.0.1:%u", c->servers[0].port);
    /* It does not outlive the demo, however that ends; and it may have ended already. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != demo)
        _exit(1);
    setpgid(0, 0); /* Ctrl-C is for the demo, which then ends its servers */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    forget_settings();
    const char *argv[] = {"noted",
                          "serve",
                          "--app-name",
                          s->name,
                          "--local-port",
                          port,
                          "--listen",
                          "127.0.0.1",
                          "--data",
                          data,
                          "--serve",
                          s->serve,
                          "--threads",
                          "1",
                          "--connections-max",
                          "4000",
                          "--messages",
                          "stdout",
                          i == 0 ? NULL : "--primary",
                          primary,
                          NULL};
    execv("/proc/self/exe", (char *const *)argv);
    fprintf(stderr, "cannot run: %s\n", strerror(errno));
    _exit(1);
}

bool cluster_start(struct cluster *c, unsigned server)
{
    struct cluster_server *s = &c->servers[server];
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return false;
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return false;
    }
    fflush(stdout);
    fflush(stderr);
    pid_t demo = getpid(), pid = fork();
    if (pid == 0)
        become_server(c, server, demo, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    s->out.fd = out[0];
    s->err.fd = err[0];
    s->live = pid > 0;
    s->pid = pid > 0 ? pid : 0;
    return s->live;
}

unsigned cluster_live(const struct cluster *c)
{
    unsigned live = 0;
    for (unsigned i = 0; i < c->count; i++)
        live += c->servers[i].live;
    return live;
}

/* --- What happens --- */

/* The next whole line; at the end of the stream, or when it is too long, what there is. */
static bool take_line(struct cluster *c, struct cluster_stream *s)
{
    struct buf *b = &s->unread;
    if (b->bytes == 0)
        return false;
    const char *end = memchr(b->at, '\n', b->bytes);
    size_t bytes = end != NULL ? (size_t)(end - b->at) : b->bytes;
    if (end == NULL && s->fd >= 0 && bytes < sizeof c->line)
        return false;
    if (bytes >= sizeof c->line) {
        bytes = sizeof c->line - 1;
        end = NULL;
    }
    memcpy(c->line, b->at, bytes);
    c->line[bytes] = '\0';
    buf_consume(b, bytes + (end != NULL));
    return true;
}

/* What is known already. */
static bool take(struct cluster *c, struct cluster_event *e)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct cluster_server *s = &c->servers[i];
        *e = (struct cluster_event){.kind = CLUSTER_LINE, .server = i, .line = c->line};
        if (take_line(c, &s->out))
            return true;
        e->kind = CLUSTER_SAID;
        if (take_line(c, &s->err))
            return true;
        e->kind = CLUSTER_ENDED;
        if (s->live && s->ended && s->out.fd < 0 && s->err.fd < 0) {
            s->live = false;
            return true;
        }
    }
    return false;
}

static void read_stream(struct cluster_stream *s)
{
    char *to = buf_room(&s->unread, 64 * 1024);
    ssize_t n = to == NULL ? 0 : read(s->fd, to, 64 * 1024);
    if (n > 0) {
        s->unread.bytes += (size_t)n;
    } else if (n == 0 || errno != EINTR) {
        close(s->fd);
        s->fd = -1;
    }
}

static void read_signal(struct cluster *c)
{
    struct signalfd_siginfo info;
    if (read(c->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo != SIGCHLD)
        c->interrupts++;
    for (unsigned i = 0; i < c->count; i++) { /* one signal may stand for several ends */
        struct cluster_server *s = &c->servers[i];
        if (s->live && !s->ended && waitpid(s->pid, &s->status, WNOHANG) == s->pid)
            s->ended = true;
    }
}

/* False: the time is over, or an interrupt came. */
static bool wait_for_more(struct cluster *c, uint64_t until_us)
{
    struct pollfd p[1 + 2 * CLUSTER_SERVERS_MAX] = {{.fd = c->signals, .events = POLLIN}};
    uint64_t now_us = cluster_now_us();
    unsigned interrupts = c->interrupts;
    for (unsigned i = 0; i < c->count; i++) { /* poll passes over what is -1 */
        p[1 + 2 * i] = (struct pollfd){.fd = c->servers[i].out.fd, .events = POLLIN};
        p[2 + 2 * i] = (struct pollfd){.fd = c->servers[i].err.fd, .events = POLLIN};
    }
    uint64_t wait_ms = now_us >= until_us ? 0 : (until_us - now_us) / 1000 + 1;
    if (poll(p, 1 + 2 * c->count, wait_ms < WAIT_MS_MAX ? (int)wait_ms : WAIT_MS_MAX) <= 0)
        return false;
    if (p[0].revents != 0)
        read_signal(c);
    for (unsigned i = 0; i < c->count; i++) {
        if (p[1 + 2 * i].revents != 0)
            read_stream(&c->servers[i].out);
        if (p[2 + 2 * i].revents != 0)
            read_stream(&c->servers[i].err);
    }
    return c->interrupts == interrupts;
}

bool cluster_next(struct cluster *c, uint64_t until_us, struct cluster_event *e)
{
    while (!take(c, e))
        if (!wait_for_more(c, until_us))
            return false;
    return true;
}

/* --- End --- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

/* Those that were started here and live. The backups first: they have no reason to complain of a
 * primary that left. */
static void signal_all(const struct cluster *c, int signal)
{
    for (unsigned i = c->count; i-- > 0;)
        if (c->servers[i].live && !c->servers[i].ended) {
            kill(c->servers[i].pid, signal);
            kill(c->servers[i].pid,
                 SIGCONT); /* somebody may have stopped it, to see what happens */
        }
}

/* Reads them to their end, so that none waits for us to read. What they say is of interest only
 * where one does not end well. True: all have ended. */
static bool watch_ends(struct cluster *c, uint64_t until_us, struct buf *said, bool *good)
{
    unsigned interrupts = c->interrupts;
    struct cluster_event e;
    while (cluster_live(c) != 0) {
        if (!cluster_next(c, until_us, &e)) {
            if (cluster_now_us() >= until_us || c->interrupts != interrupts)
                return false; /* too slow, or Ctrl-C was pressed again */
            continue;
        }
        const struct cluster_server *s = &c->servers[e.server];
        if (e.kind == CLUSTER_SAID) {
            buf_printf(&said[e.server], "  %s\n", e.line);
        } else if (e.kind == CLUSTER_ENDED && s->status != 0) {
            fprintf(stderr, "demo: %s did not end well\n%.*s", s->name,
                    SPAN_ARGS(buf_span(&said[e.server])));
            *good = false;
        }
    }
    return true;
}

bool cluster_close(struct cluster *c)
{
    bool good = true;
    struct buf said[CLUSTER_SERVERS_MAX];
    for (unsigned i = 0; i < CLUSTER_SERVERS_MAX; i++)
        said[i] = (struct buf){.bytes_max = SAID_BYTES_MAX};
    signal_all(c, SIGTERM);
    if (!watch_ends(c, cluster_now_us() + STOP_MS * 1000UL, said, &good)) {
        signal_all(c, SIGKILL);
        watch_ends(c, cluster_now_us() + KILL_MS * 1000UL, said, &good);
    }
    for (unsigned i = 0; i < c->count; i++) {
        buf_finish(&said[i]);
        buf_finish(&c->servers[i].out.unread);
        buf_finish(&c->servers[i].err.unread);
    }
    if (c->folder[0] != '\0')
        nftw(c->folder, remove_one, FOLDERS_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
    if (c->signals >= 0)
        close(c->signals);
    return good;
}
