/* The small durable record: two copies with a counter and a checksum each. Knows no content. */
#include "base/stable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"

/* The head is the same in every version, so that a newer one is told from a damaged one. */
enum {
    VERSION = 1,
    AT_VERSION = 8,
    AT_BYTES = 12,
    AT_GENERATION = 16,
    AT_CRC = 24, /* over all before it and the payload */
    HEAD_BYTES = 28,
};
static const char magic[AT_VERSION] = "notedrec";

struct copy {
    bool there;
    bool valid;
    uint32_t version;
    uint64_t generation;
    char *at; /* head and payload */
    size_t payload_bytes;
};

/* PATH and an ending, to be freed. */
static char *path_with(const char *path, const char *ending)
{
    size_t bytes = strlen(path), more = strlen(ending) + 1;
    char *whole = malloc(bytes + more);
    if (whole != NULL) {
        memcpy(whole, path, bytes);
        memcpy(whole + bytes, ending, more);
    }
    return whole;
}

static const char *ending_of(size_t copy)
{
    return copy == 0 ? ".0" : ".1";
}

static uint32_t checksum(const char *at, size_t payload_bytes)
{
    return crc32c(crc32c(0, at, AT_CRC), at + HEAD_BYTES, payload_bytes);
}

static void check(struct copy *c, size_t bytes)
{
    if (bytes < HEAD_BYTES || memcmp(c->at, magic, sizeof magic) != 0)
        return;
    c->payload_bytes = get_u32(c->at + AT_BYTES);
    /* Behind a short record there may be the rest of a longer one. */
    if (c->payload_bytes > bytes - HEAD_BYTES ||
        checksum(c->at, c->payload_bytes) != get_u32(c->at + AT_CRC))
        return;
    c->version = get_u32(c->at + AT_VERSION);
    c->generation = get_u64(c->at + AT_GENERATION);
    c->valid = true;
}

/* Past the page cache, which may show what a failed flush has left there (S11). */
static int load(const struct disk *disk, const char *path, struct copy *c)
{
    enum {
        ROOM = (HEAD_BYTES + STABLE_BYTES_MAX + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES *
               DISK_BLOCK_BYTES
    };
    struct disk_file *file;
    int code = disk->open(disk->context, path, DISK_READ_ONLY | DISK_DIRECT, &file);
    if (code != 0)
        return code == ERR_NOT_FOUND ? 0 : code;
    c->there = true;
    size_t bytes = 0;
    c->at = aligned_alloc(DISK_BLOCK_BYTES, ROOM);
    code = c->at == NULL ? ERR_NO_MEMORY : disk->read(file, 0, c->at, ROOM, &bytes);
    disk->close(file);
    if (code == 0)
        check(c, bytes);
    return code;
}

static void forget(struct copy c[2])
{
    free(c[0].at);
    free(c[1].at);
}

/* Both copies; *newest is the one to read, 2 where there is none. */
static int load_both(const struct disk *disk, const char *path, struct copy c[2], size_t *newest)
{
    *newest = 2;
    for (size_t i = 0; i < 2; i++) {
        char *name = path_with(path, ending_of(i));
        int code = name == NULL ? ERR_NO_MEMORY : load(disk, name, &c[i]);
        free(name);
        if (code != 0)
            return code;
        if (c[i].valid && c[i].version > VERSION)
            return ERR_NEWER;
        if (c[i].valid && (*newest == 2 || c[i].generation > c[*newest].generation))
            *newest = i;
    }
    return *newest == 2 && (c[0].there || c[1].there) ? ERR_CORRUPT : 0;
}

/* What was read may have been in a cache only, left there by a process that was killed before its
 * sync: nobody may act on it, nor the other copy be overwritten, before it is durable. */
static int settle(const struct disk *disk, const char *path, size_t newest)
{
    char *name = path_with(path, ending_of(newest));
    struct disk_file *file;
    int code =
        name == NULL ? ERR_NO_MEMORY : disk->open(disk->context, name, DISK_READ_ONLY, &file);
    free(name);
    if (code != 0)
        return code;
    code = disk->sync(file);
    disk->close(file);
    return code == 0 ? disk_sync_parent(disk, path) : ERR_IO;
}

static void explain(char *why, size_t why_bytes, const char *path, int code)
{
    if (code == ERR_NOT_FOUND)
        snprintf(why, why_bytes, "%s.0 and %s.1 are not there", path, path);
    else if (code == ERR_CORRUPT)
        snprintf(why, why_bytes,
                 "%s.0 and %s.1 are damaged from byte 0 on: restore this server's data directory "
                 "from a copy; nothing was changed",
                 path, path);
    else
        snprintf(why, why_bytes, "%s.0 or %s.1 cannot be used: %s", path, path,
                 err_info(code)->sentence);
}

int stable_read(const struct disk *disk, const char *path, void *to, size_t bytes_max,
                size_t *bytes, char *why, size_t why_bytes)
{
    struct copy c[2] = {{0}, {0}};
    size_t newest;
    int code = load_both(disk, path, c, &newest);
    if (code == 0)
        code = newest == 2 ? ERR_NOT_FOUND : settle(disk, path, newest);
    if (code == 0 && c[newest].payload_bytes > bytes_max)
        code = ERR_TOO_LARGE;
    if (code == 0) {
        *bytes = c[newest].payload_bytes;
        if (*bytes != 0)
            memcpy(to, c[newest].at + HEAD_BYTES, *bytes);
    } else {
        explain(why, why_bytes, path, code);
    }
    forget(c);
    return code;
}

bool stable_is_last(const struct disk *disk, const char *path)
{
    struct copy c[2] = {{0}, {0}};
    size_t newest;
    bool last = load_both(disk, path, c, &newest) == 0 && c[0].valid && c[1].valid &&
                c[newest].generation == c[1 - newest].generation + 1;
    forget(c);
    return last;
}

static int write_synced(const struct disk *disk, const char *path, unsigned flags, const char *from,
                        size_t bytes)
{
    struct disk_file *file;
    int code = disk->open(disk->context, path, flags, &file);
    if (code != 0)
        return code;
    code = disk->write(file, 0, from, bytes);
    if (code == 0 && disk->sync(file) != 0)
        code = ERR_IO; /* whatever the reason: a second sync would succeed and mean nothing (S11) */
    disk->close(file);
    return code;
}

/* A copy that is not there yet appears whole, by rename: else a crash in the very first write would
 * leave files of which none is valid. */
static int write_new(const struct disk *disk, const char *path, const char *from, size_t bytes)
{
    char *draft = path_with(path, ".new");
    if (draft == NULL)
        return ERR_NO_MEMORY;
    int code = disk->remove(disk->context, draft); /* of an attempt that was cut short */
    if (code == ERR_NOT_FOUND)
        code = 0;
    if (code == 0)
        code = write_synced(disk, draft, DISK_CREATE, from, bytes);
    if (code == 0)
        code = disk->rename(disk->context, draft, path);
    free(draft);
    return code;
}

int stable_write(const struct disk *disk, const char *path, const void *from, size_t bytes)
{
    if (bytes > STABLE_BYTES_MAX)
        return ERR_TOO_LARGE;
    struct copy c[2] = {{0}, {0}};
    size_t newest;
    int code = load_both(disk, path, c, &newest);
    if (code == 0 && newest != 2)
        code = settle(disk, path, newest);
    size_t older = newest == 0 ? 1 : 0;
    char *name = path_with(path, ending_of(older));
    char *record = malloc(HEAD_BYTES + bytes);
    if (code == 0 && (name == NULL || record == NULL))
        code = ERR_NO_MEMORY;
    if (code == 0) {
        memcpy(record, magic, sizeof magic);
        put_u32(record + AT_VERSION, VERSION);
        put_u32(record + AT_BYTES, (uint32_t)bytes);
        put_u64(record + AT_GENERATION, newest == 2 ? 1 : c[newest].generation + 1);
        if (bytes != 0)
            memcpy(record + HEAD_BYTES, from, bytes);
        put_u32(record + AT_CRC, checksum(record, bytes));
        code = c[older].there ? write_synced(disk, name, 0, record, HEAD_BYTES + bytes)
                              : write_new(disk, name, record, HEAD_BYTES + bytes);
        if (code == 0 && !c[older].there)
            code = disk_sync_parent(disk, path);
    }
    free(record);
    free(name);
    forget(c);
    return code;
}
