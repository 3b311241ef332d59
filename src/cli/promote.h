/* noted promote: makes a stopped backup's data directory that of the primary. Asks the other
 * servers, shows what was found, and what follows; the verdict is repl/promote.h's. What is in a
 * data directory is unknown here: who calls says how it is looked at, and changed. */
#ifndef CLI_PROMOTE_H
#define CLI_PROMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "repl/promote.h"

/* Each 0, or an error and a sentence. `close` after an `open` that gave 0. */
struct promote_steps {
    void *context;
    int (*open)(void *context, const char *data, const char *old_state, struct promote_case *c,
                char *why, size_t why_bytes);
    int (*promote)(void *context, uint32_t generation, struct span untold, char *why,
                   size_t why_bytes);
    void (*close)(void *context);
};

/* The arguments are those behind the command. The exit code: 0 done, 1 refused, 2 usage. */
int promote_main(int argc, char **argv, const struct promote_steps *steps);

#endif
