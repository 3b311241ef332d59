/* The log's own state, for the files of this folder that append, cut and read. Nobody else looks
 * inside. */
#ifndef LOG_INSIDE_H
#define LOG_INSIDE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "log/log.h"
#include "log/segment.h"

struct log_frame {
    char *at; /* head and payload, aligned */
    size_t room;
    struct log_position position;
    size_t payload_bytes;
};

struct log {
    struct disk disk;
    char *folder;
    uint64_t segment_bytes;
    size_t payload_bytes_max;

    /* of the thread that builds frames */
    struct log_frame frames[2];
    unsigned building;

    /* of the thread that appends them */
    struct disk_file *file; /* the segment in use; NULL: none yet */
    uint64_t serial;
    uint64_t random;
    char *head; /* one block */

    /* Held while segment files are made or removed, so that their numbers never get a gap; taken
     * before `lock`. */
    pthread_mutex_t making;
    bool unsynced; /* under it: a trimmed segment's name is gone, perhaps not durably */

    /* of all, under `lock`, which is never held during input or output */
    pthread_mutex_t lock;
    bool failed;            /* the disk is not to be trusted any more (S11) */
    bool writing;           /* log_append is at work */
    uint64_t flying_bytes;  /* frame taken by log_frame_end and not yet durable; 0: none */
    uint64_t at, left;      /* in the segment in use: where the next frame goes, what is behind */
    uint64_t number;        /* of the newest segment */
    struct disk_file *next; /* the prepared segment, `number`; NULL: none */
    uint64_t first_index, last_index, last_chain, bytes;
    uint64_t cuts;            /* begun so far: what was read before one may be gone */
    struct segment *segments; /* those in use, by number; room for a prepared one is reserved */
    size_t segments_count, segments_room;
};

void log_lock(const struct log *log);
void log_unlock(const struct log *log);

/* Which segment in use holds this index or, above the end, would; the first one where it is below
 * all. There is at least one. Under `lock`. */
size_t log_segment_of(const struct log *log, uint64_t index);

#endif
