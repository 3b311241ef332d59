/* The servers of a demo, as processes of this same program: their start, what they print, their
 * end. Knows nothing of what is asked of them. */
#ifndef CLI_CLUSTER_H
#define CLI_CLUSTER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum { CLUSTER_SERVERS_MAX = 9, CLUSTER_LINE_BYTES_MAX = 8192 /* a message has at most 6 KiB */ };

struct cluster_stream {
    int fd; /* -1: at its end, or never there */
    struct buf unread;
};

struct cluster_server {
    const char *name;
    const char *serve; /* as --serve takes it: "http,tcp,udp" */
    uint16_t port;
    pid_t pid;  /* 0: it was never started */
    bool live;  /* started, and its end not reported yet */
    bool ended; /* its end is known, and reported once its streams are at theirs */
    int status; /* of waitpid, once it has ended */
    struct cluster_stream out, err;
};

/* The first server is the primary, at `port`; the others follow it, each at the next port. */
struct cluster {
    struct cluster_server servers[CLUSTER_SERVERS_MAX];
    unsigned count;
    char folder[PATH_MAX];
    int signals;         /* a signalfd */
    unsigned interrupts; /* how often it was asked to end: Ctrl-C, SIGTERM, a closed terminal */
    char line[CLUSTER_LINE_BYTES_MAX];
};

/* Takes over SIGINT, SIGTERM, SIGHUP and SIGCHLD, and makes a folder for the data. False, and said
 * on stderr: it could not. cluster_close is due either way. */
bool cluster_open(struct cluster *c, unsigned count, uint16_t port);

/* Stops every server that lives, within some seconds, and removes the folder. False, and said on
 * stderr: one did not end well. */
bool cluster_close(struct cluster *c);

/* Names the ports that something else has, on stderr. */
bool cluster_ports_free(const struct cluster *c);

bool cluster_start(struct cluster *c, unsigned server);

unsigned cluster_live(const struct cluster *c);

enum cluster_event_kind {
    CLUSTER_LINE,  /* a line on stdout: a message, or that it is ready */
    CLUSTER_SAID,  /* a line on stderr */
    CLUSTER_ENDED, /* the last of a server */
};
struct cluster_event {
    enum cluster_event_kind kind;
    unsigned server;
    const char *line; /* until the next call */
};

/* The next thing that happens, at most until `until_us` (monotonic). False: nothing did, or
 * somebody wants the demo to end (c->interrupts has grown). */
bool cluster_next(struct cluster *c, uint64_t until_us, struct cluster_event *e);

uint64_t cluster_now_us(void); /* monotonic */

#endif
