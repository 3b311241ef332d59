/*
 * One segment of the log: its file name, its head block, and how a new one is made. Frames are
 * unknown here.
 *
 * The life of a segment: made and named, all zeros (*prepared*); its head written, durable before
 * the first frame behind it (*in use*). So zeros with nothing behind them are a prepared segment, a
 * broken head with nothing behind it is a torn write of that head, and a broken head with anything
 * behind it is damage.
 */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"

struct segment {
    uint64_t number; /* in the file's name: without a gap, from 1 on until the log is trimmed */
    uint64_t bytes;  /* of the file */
    uint64_t serial; /* of this life of it, in each of its frames */
    uint64_t first_index;
    uint64_t chain; /* chained checksum before its first entry */
};

/* Opens its file; `flags` as for the disk. */
int segment_open(const struct disk *disk, const char *folder, uint64_t number, unsigned flags,
                 struct disk_file **file);

/* Removes its file; durable after sync_folder. */
int segment_unlink(const struct disk *disk, const char *folder, uint64_t number);

/* The same, durably. */
int segment_remove(const struct disk *disk, const char *folder, uint64_t number);
int segment_draft_remove(const struct disk *disk, const char *folder, uint64_t number);

/* Whether a file name is that of a segment; that of one whose making was cut short, and which is
 * none of the log's. */
typedef bool segment_naming(const char *name, uint64_t *number);
segment_naming segment_named, segment_draft_named;

void segment_seal(char *block, const struct segment *s);

/* Reads a head block. ERR_CORRUPT: it is none. ERR_NEWER: of a newer format; *version tells. */
int segment_read(const char *block, struct segment *s, uint32_t *version);

/* Writes zeros from one block boundary up to another; durable for direct files. */
int segment_zero(const struct disk *disk, struct disk_file *file, uint64_t from, uint64_t to);

/* Makes a prepared segment and opens it for direct writing. Leaves nothing behind where it fails,
 * as far as the disk lets it. */
int segment_make(const struct disk *disk, const char *folder, uint64_t number, uint64_t bytes,
                 struct disk_file **file);

#endif
