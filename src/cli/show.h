/* How the demo looks: lines made of cells, colours where a terminal takes them, nothing wider than
 * the terminal. Knows nothing of servers. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdbool.h>

#include "cli/heard.h"

enum show_style { SHOW_PLAIN, SHOW_DIM, SHOW_BOLD, SHOW_GOOD, SHOW_BAD, SHOW_SERVER };

struct show {
    bool terminal, colour, narrow;
    unsigned left; /* columns of this line */
};

void show_begin(struct show *s);

/*
 * A cell, filled with spaces up to `columns` (0: as it is); what passes the end of the line is cut,
 * and "…" says so. From SHOW_SERVER on styles are those of the first server, the second …
 */
void show(struct show *s, enum show_style style, unsigned columns, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void show_end(struct show *s); /* of the line */

/* A whole line of prose, never cut. */
void show_say(struct show *s, enum show_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The first cell of a line about a server. */
void show_name(struct show *s, unsigned server, const char *name);

/* One message with the name of its server. `since_us` is what its time is counted from, or 0 for
 * the time of day. Not on a terminal, programs may read it: the line is given as its server printed
 * it, without words above. */
void show_message(struct show *s, const char *name, const struct heard_message *m,
                  uint64_t since_us);
void show_message_head(struct show *s, bool since); /* the words above them */

#endif
