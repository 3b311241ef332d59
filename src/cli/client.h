/* A client of one request at a time, for each protocol: what the demo and the operator's commands
 * speak. Blocking, with a time limit. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum client_protocol { CLIENT_HTTP, CLIENT_TCP, CLIENT_UDP };
enum { CLIENT_PROTOCOLS = 3 };

const char *client_protocol_word(enum client_protocol p); /* "HTTP" … */

struct client_request {
    const char *host; /* a name or a numeric address */
    uint16_t port;
    const char *method, *path;
    const char *body; /* NULL: none */
    const char *key;  /* NULL: none; a write over UDP needs one */
    uint64_t min_seq; /* 0: any state will do */
};

struct client_answer {
    int status;
    uint64_t seq;    /* 0: it did not say */
    unsigned copies; /* of a write; 0: it did not say */
    struct buf body; /* the record, or the error: one JSON value; buf_finish it */
};

/* 0, or ERR_IO: the name is not known, no connection, no answer in time, or one that cannot be
 * read. *a is set either way. */
int client_ask(enum client_protocol p, const struct client_request *rq, struct client_answer *a);

/* For who reads an answer that is too long for that: a connection to the first of the host's
 * addresses that takes one, or -1. */
int client_connect(const char *host, uint16_t port);
bool client_send(int fd, struct span bytes);
/* A whole answer of HTTP, whose body is JSON. False: it cannot be read. */
bool client_read_http(struct span in, struct client_answer *a);
/* One of JSON over TCP or UDP. False: the same. */
bool client_read_json(struct span in, struct client_answer *a);

/* A member of an answer that is a JSON object, as a span of its body; false where it has none. */
bool client_member(const struct client_answer *a, const char *name, struct span *value);

/* Whether a JSON array (a member's value) has this string in it. */
bool client_array_has(struct span array, const char *text);

/* Copies what a JSON string (with its quotes) or any other value says, cut to the room there is, to
 * be shown on a terminal: what is not printable becomes '?'. */
void client_text(struct span value, char *to, size_t bytes);

#endif
