/* Message lines that servers have printed, read apart and kept in order of time. Knows the form of
 * a line (ops/message_log.h), not where it came from nor how it is shown. */
#ifndef CLI_HEARD_H
#define CLI_HEARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum { HEARD_MAX = 1024 };

struct heard_message {
    unsigned server;
    uint64_t at_us;    /* when it happened, on the server's clock */
    uint64_t heard_us; /* when it was heard, on ours */
    char *line;        /* owned; the spans point into it */
    struct span time;  /* "19:10:00.123456" */
    struct span actor, kind, step;
    struct span text;
};

/* Zero is an empty one. */
struct heard {
    struct heard_message list[HEARD_MAX];
    unsigned count;
};

/* False: the line is no message, or there is no room for it. */
bool heard_add(struct heard *h, unsigned server, uint64_t now_us, const char *line);

/* Forgets the first ones. */
void heard_drop(struct heard *h, unsigned count);

/* What somebody waits for: a line that begins like this ("CLIENT", "W1"), with `words` in it. */
struct heard_wish {
    unsigned server;
    const char *actor, *step, *words;
};
bool heard_has(const struct heard *h, const struct heard_wish *wish);

#endif
