/* Finds the end of a log again and hands out its frames (rule S12). It only reads: what is to be
 * mended is told to the caller. */
#ifndef LOG_RECOVER_H
#define LOG_RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log.h"
#include "log/segment.h"

struct recovery {
    /* in: as for log_open */
    const struct disk *disk;
    const char *folder;
    uint64_t from, committed;          /* from 0: of the newest few segments */
    uint64_t empty_index, empty_chain; /* where a log without a segment in use begins */
    log_frame_fn *frame;
    void *context;
    char *why;
    size_t why_bytes;

    /* out */
    uint64_t first_index; /* oldest that is still there */
    uint64_t next_index;  /* of the next entry */
    uint64_t chain;       /* before it */
    uint64_t bytes;       /* that all segments take */
    uint64_t newest;      /* highest segment number, prepared or in use; 0: none */
    struct segment *used; /* those in use, by number, to be freed; NULL: none */
    size_t used_count, used_room;
    char *content;     /* all of the last one's, to be freed; NULL: none */
    uint64_t last;     /* where its last frame begins; 0: its head is all that was written */
    uint64_t end;      /* where its frames end */
    uint64_t torn_end; /* where what is not zero behind `end` ends; `end`: nothing is torn */
    bool prepared;     /* segment `newest` is prepared */
    uint64_t prepared_bytes;
};

/* ERR_CORRUPT, ERR_NEWER, ERR_IO, ERR_SYSTEM, ERR_NO_MEMORY, or what `frame` returned. Needs the
 * memory of one whole segment while it runs. */
int recovery_run(struct recovery *r);

#endif
