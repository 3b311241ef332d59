/* A client of one request at a time, for each protocol: what the demo speaks. Blocking, with a time
 * limit. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum client_protocol { CLIENT_HTTP, CLIENT_TCP, CLIENT_UDP };

const char *client_protocol_word(enum client_protocol p); /* "HTTP" … */

struct client_request {
    const char *address; /* numeric IPv4 */
    uint16_t port;
    const char *method, *path;
    const char *body; /* NULL: none */
    const char *key;  /* NULL: none; a write over UDP needs one */
};

struct client_answer {
    int status;
    struct buf body; /* the record, or the error; buf_finish it */
};

/* 0; ERR_NO_PRIMARY-like failures are all ERR_IO: no connection, no answer in time, or one that
 * cannot be read. */
int client_ask(enum client_protocol p, const struct client_request *rq, struct client_answer *a);

#endif
