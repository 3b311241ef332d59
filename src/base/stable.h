/*
 * A small durable record in two checksummed copies, PATH.0 and PATH.1: a write replaces the older
 * one, so that a crash at any point leaves the old content or the new. What the record means is
 * unknown here. One thread at a time.
 */
#ifndef BASE_STABLE_H
#define BASE_STABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/disk.h"

enum { STABLE_BYTES_MAX = 64 * 1024 };

/*
 * Reads the newest valid copy. ERR_NOT_FOUND: never written. ERR_CORRUPT: files are there, but none
 * is valid. ERR_NEWER: written by a newer version of this program. ERR_TOO_LARGE: it has more than
 * bytes_max. Else what the disk gives. `why` gets a sentence for the operator where it fails.
 */
int stable_read(const struct disk *disk, const char *path, void *to, size_t bytes_max,
                size_t *bytes, char *why, size_t why_bytes);

/* Whether what stable_read gives is certainly what was written last: both copies are whole, and of
 * two writes, one after the other. Else the damaged one may be the newer, or is of a write that was
 * cut off. */
bool stable_is_last(const struct disk *disk, const char *path);

/*
 * Durable when it returns 0. ERR_CORRUPT and ERR_NEWER, as above: nothing is overwritten. After
 * ERR_IO the disk is not to be trusted any more (rule S11); after another failure the old content
 * is still there, and it may be tried again. ERR_TOO_LARGE: over STABLE_BYTES_MAX.
 */
int stable_write(const struct disk *disk, const char *path, const void *from, size_t bytes);

#endif
