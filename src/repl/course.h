/* What a server that starts does about its log (rules S11, S12): a pure decision on what was found.
 * Files and sentences are the driver's. */
#ifndef REPL_COURSE_H
#define REPL_COURSE_H

#include <stdbool.h>

struct repl_found {
    bool primary;
    bool marked;  /* the disk failed in an earlier life, and nothing has mended that since */
    bool damaged; /* the log is not whole, beyond a torn tail, or does not reach what is known to
                     be committed */
    bool accept_loss; /* the operator's word */
};

enum repl_course {
    COURSE_GO_ON,   /* with what is there */
    COURSE_COPY,    /* suspect, and others have it all: begin again with a full copy */
    COURSE_REFUSE,  /* suspect, and nobody to ask: say what is missing, and change nothing */
    COURSE_GIVE_UP, /* suspect: go on with what is whole; the rest is kept aside */
};

enum repl_course repl_course(const struct repl_found *f);

#endif
