/*
 * Files as a parameter: what the log and the small durable files need of a disk. One real
 * implementation, which alone makes the system calls; tests and the simulator hand in disks that
 * fail, fill, tear and forget.
 */
#ifndef BASE_DISK_H
#define BASE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_BLOCK_BYTES = 4096 }; /* alignment of memory, offset and length for direct files */

struct disk_file;

enum disk_flags {
    DISK_CREATE = 1, /* must not be there yet */
    DISK_DIRECT = 2, /* past the page cache, each write durable when it returns (O_DIRECT|O_DSYNC);
                        where the file system refuses, buffered writes each followed by fdatasync:
                        the caller sees no difference */
    DISK_READ_ONLY = 4, /* with DISK_DIRECT: what is read is what is on the disk, also after a
                           failed flush, of which the page cache may show what never got there */
};

/* All return 0 or ERR_IO, ERR_DISK_FULL, ERR_NOT_FOUND, ERR_NO_MEMORY, ERR_SYSTEM. `context` is the
 * disk's own. */
struct disk {
    void *context;
    int (*open)(void *context, const char *path, unsigned flags, struct disk_file **file);
    void (*close)(struct disk_file *file);
    /* Reads up to `bytes` at `offset`; *got is less at the end of the file. */
    int (*read)(struct disk_file *file, uint64_t offset, void *to, size_t bytes, size_t *got);
    /* Writes all of it or fails. Durable on return for DISK_DIRECT files, else after sync. */
    int (*write)(struct disk_file *file, uint64_t offset, const void *from, size_t bytes);
    int (*sync)(struct disk_file *file);
    int (*size)(struct disk_file *file, uint64_t *bytes);
    int (*rename)(void *context, const char *from, const char *to); /* durable after sync_folder */
    int (*remove)(void *context, const char *path);
    int (*sync_folder)(void *context, const char *path);
    int (*make_folder)(void *context, const char *path); /* 0 where it is there already */
    /* Calls `name` for each entry of a folder, in no order; a non-zero return ends the listing and
     * is returned. */
    int (*list)(void *context, const char *path, int (*name)(void *arg, const char *name),
                void *arg);
    int (*space)(void *context, const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
};

struct disk disk_real(void);

/* All bytes of one file to the start of another. Syncs nothing. */
int disk_copy(const struct disk *disk, struct disk_file *from, struct disk_file *to);

/* sync_folder for the folder that `path` is in. */
int disk_sync_parent(const struct disk *disk, const char *path);

#endif
