/* Follows the frames of one segment by their heads, without reading what is in them. Knows no other
 * segment, and proves no checksum. */
#ifndef LOG_WALK_H
#define LOG_WALK_H

#include <stdint.h>

#include "base/disk.h"
#include "log/frame.h"
#include "log/segment.h"

/* Zero but for `disk` is closed. */
struct walk {
    const struct disk *disk;
    struct disk_file *file; /* opened to read only; NULL: closed */
    struct segment segment;
    uint64_t at;   /* where the next frame begins */
    uint64_t next; /* its first entry */
};

/* Opens the segment's file, and begins with its first frame. */
int walk_open(struct walk *w, const char *folder, const struct segment *s);
void walk_close(struct walk *w);

/* Goes back to the first frame. */
void walk_rewind(struct walk *w);

/* Reads the head of the next frame into `head`, FRAME_HEAD_BYTES of the caller's, and does not pass
 * it. ERR_CORRUPT: none stands there that begins with entry `next` and ends at or below `last`. */
int walk_peek(const struct walk *w, uint64_t last, char *head, struct frame *f);

/* Passes the frame that was peeked at. */
void walk_pass(struct walk *w, const struct frame *f);

#endif
