/* A long answer of HTTP, piece by piece, to whoever takes it. Knows not what it is of. */
#ifndef CLI_DOWNLOAD_H
#define CLI_DOWNLOAD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct download {
    const char *host;
    uint16_t port;
    const char *path;
    const sigset_t *waiting; /* the signal mask while it waits: a signal that it lets through, and
                                that has a handler, ends it */
    int (*take)(void *context, struct span piece); /* 0, or an error, which ends it */
    void *context;
};

/* Answer 200, to its end. 0; an error with a sentence in `why`; or that of `take`, with none. */
int download(const struct download *d, char *why, size_t why_bytes);
/* The same from a connection on which it was asked for, which stays open. */
int download_from(const struct download *d, int fd, char *why, size_t why_bytes);

#endif
