/* The directories of a promotion by hand: what they say, and the raise of the generation. Whether
 * it may be is decided elsewhere (repl/promote.h). Needs no node. */
#ifndef NODE_PROMOTE_H
#define NODE_PROMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/span.h"
#include "node/data_dir.h"
#include "repl/promote.h"

struct promotion {
    struct data_dir dir, old; /* held; old: only where it was given */
};

/* Takes the directory, which no server may run on, and the old primary's (NULL: not given), of
 * which nothing is made or changed; tells what is in them. Reads the end of each log. 0, or an
 * error and a sentence in `why`: then nothing is held. */
int promotion_open(struct promotion *p, const struct disk *disk, const char *data,
                   const char *old_state, const char *boot_id_file, struct promote_case *c,
                   char *why, size_t why_bytes);

/* Makes the directory that of a primary of this generation, durably; `untold`: addresses, each a
 * line, that the primary is to tell of itself. */
int promotion_do(struct promotion *p, uint32_t generation, struct span untold, char *why,
                 size_t why_bytes);

void promotion_close(struct promotion *p);

#endif
