/* Which segments there are, and what stands in them on the disk, for whoever judges it. Knows no
 * frame, and judges nothing. */
#ifndef LOG_LOAD_H
#define LOG_LOAD_H

#include "base/disk.h"
#include "log/segment.h"

/* Zero before the first use. */
struct segment_content {
    char *at; /* to be freed */
    uint64_t room;
    uint64_t bytes;      /* of the file, where it is shorter than what was asked for */
    uint64_t unreadable; /* the first byte that the disk cannot read; UINT64_MAX: it can read all */
};

/* All of a folder's files that are `named` so, by number, of each only that; to be freed; NULL:
 * none.
 */
int segment_list(const struct disk *disk, const char *folder, segment_naming *named,
                 struct segment **list, size_t *count);

/* Reads its first bytes past the page cache, and its size into s->bytes. Blocks that the disk
 * cannot read are zeros. */
int segment_load(const struct disk *disk, const char *folder, struct segment *s, uint64_t bytes_max,
                 struct segment_content *c);

#endif
