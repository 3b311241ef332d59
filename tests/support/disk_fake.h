/*
 * A disk in memory that fails, fills, tears and forgets. It keeps what programs see (the page
 * cache) apart from what is durable, for content by sectors and for names by folder. Which of two
 * allowed outcomes happens is drawn from the seed. One thread at a time.
 */
#ifndef TESTS_DISK_FAKE_H
#define TESTS_DISK_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"

enum { DISK_FAKE_SECTOR_BYTES = 512 }; /* written whole or not at all, but for a cut at a byte */

/* Kinds of operation. */
enum {
    FAKE_OPEN = 1, /* and make_folder */
    FAKE_READ = 2, /* and size, list and space */
    FAKE_WRITE = 4,
    FAKE_SYNC = 8,  /* and sync_folder */
    FAKE_NAME = 16, /* rename and remove */
    FAKE_CHANGES = FAKE_OPEN | FAKE_WRITE | FAKE_SYNC | FAKE_NAME,
    FAKE_ALL = 31,
};

struct disk_fake;

struct disk_fake *disk_fake_create(uint64_t seed);
void disk_fake_destroy(struct disk_fake *f); /* after all files are closed */
struct disk disk_fake_disk(struct disk_fake *f);

uint64_t disk_fake_count(const struct disk_fake *f, unsigned kinds); /* done so far */

/* The nth operation of these kinds from now on (1: the next) gives `code`, and with for_ever all
 * behind it. A write that fails leaves some of its sectors; past the page cache they may be
 * durable, or only in the disk's own cache, which shows them to every read and to no flush. A sync
 * that fails makes some of what it should durable, and forgets that the rest is not. nth 0: no
 * fault. */
void disk_fake_fail(struct disk_fake *f, unsigned kinds, uint64_t nth, int code, bool for_ever);
bool disk_fake_has_failed(const struct disk_fake *f); /* since disk_fake_fail */

/* Bytes that all files may have together; 0: any. */
void disk_fake_limit(struct disk_fake *f, uint64_t bytes);

/*
 * At the nth operation of FAKE_CHANGES from now on all ends: that one and every other gives ERR_IO
 * until disk_fake_start. Of a write `torn_bytes` are done, or with FAKE_TORN_SECTORS any of its
 * sectors, all and none among them; nothing of another operation. Power: what is not durable is
 * lost, or with lose_some any part of it. Kill (of the process): nothing is lost, nor is it made
 * durable: also not the write past the page cache that was in flight.
 */
#define FAKE_TORN_SECTORS UINT64_MAX
enum disk_fake_end { FAKE_POWER, FAKE_POWER_LOSE_SOME, FAKE_KILL };
void disk_fake_end_at(struct disk_fake *f, uint64_t nth, enum disk_fake_end end,
                      uint64_t torn_bytes);
bool disk_fake_has_ended(const struct disk_fake *f);
/* The machine or process is there again. Files opened before can only be closed. Without an end
 * before it: a power failure now, between two operations. */
void disk_fake_start(struct disk_fake *f);

/* What programs see of a file; NULL: not there. Good until the next change. */
const char *disk_fake_look(const struct disk_fake *f, const char *path, size_t *bytes);
/* Makes or replaces a durable file. */
void disk_fake_put(struct disk_fake *f, const char *path, const void *from, size_t bytes);
void disk_fake_flip(struct disk_fake *f, const char *path, uint64_t byte, unsigned char bits);
/* That byte of a file cannot be read any more. */
void disk_fake_spoil(struct disk_fake *f, const char *path, size_t byte);
size_t disk_fake_files(const struct disk_fake *f); /* without folders */

#endif
