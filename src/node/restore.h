/* Backups as files: whether one is whole, and a data directory made from one. Needs no node. */
#ifndef NODE_RESTORE_H
#define NODE_RESTORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"

struct restored { /* what is in a backup */
    uint64_t records;
    uint64_t seq; /* of the last write in it */
    uint64_t digest;
};

/* Reads all of it. 0, or an error and a sentence in `why`. */
int node_check_backup(const char *file, struct restored *what, char *why, size_t why_bytes);

/*
 * Makes a data directory, in a folder that is empty or not there, with the records of a backup, and
 * a new cluster and identity; durable when it returns 0. A server that starts on it as primary goes
 * on with the next seq and the next ids. An error, with a sentence in `why`: what was made is
 * removed again.
 */
int node_restore(const struct disk *disk, const char *file, const char *data, const char *app_name,
                 struct restored *what, char *why, size_t why_bytes);

#endif
