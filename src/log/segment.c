/* A segment's name, head and making. Knows no frames. */
#include "log/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"

/* Magic, version and checksum keep their places in every version, so that a newer one is told from
 * a damaged one. */
enum {
    VERSION = 1,
    AT_VERSION = 8,
    AT_CRC = 12, /* over the whole block with zeros here */
    AT_NUMBER = 16,
    AT_BYTES = 24,
    AT_SERIAL = 32,
    AT_FIRST_INDEX = 40,
    AT_CHAIN = 48,

    NAME_DIGITS = 16,
    ZERO_BYTES = 1024 * 1024, /* one write of zeros: short, so that flushes of frames get between */
};
static const char magic[AT_VERSION] = "notedlog";
static const char ending[] = ".log";
static const char draft_ending[] = ".new"; /* behind it */

/* FOLDER/NUMBER.log and what is behind it, to be freed; NULL: no memory. */
static char *path_of(const char *folder, uint64_t number, const char *behind)
{
    size_t bytes = strlen(folder) + 1 + NAME_DIGITS + sizeof ending + strlen(behind);
    char *path = malloc(bytes);
    if (path != NULL)
        snprintf(path, bytes, "%s/%016" PRIx64 "%s%s", folder, number, ending, behind);
    return path;
}

int segment_open(const struct disk *disk, const char *folder, uint64_t number, unsigned flags,
                 struct disk_file **file)
{
    char *path = path_of(folder, number, "");
    int code = path == NULL ? ERR_NO_MEMORY : disk->open(disk->context, path, flags, file);
    free(path);
    return code;
}

static int unlink_one(const struct disk *disk, const char *folder, uint64_t number,
                      const char *behind)
{
    char *path = path_of(folder, number, behind);
    int code = path == NULL ? ERR_NO_MEMORY : disk->remove(disk->context, path);
    free(path);
    return code;
}

int segment_unlink(const struct disk *disk, const char *folder, uint64_t number)
{
    return unlink_one(disk, folder, number, "");
}

int segment_remove(const struct disk *disk, const char *folder, uint64_t number)
{
    int code = unlink_one(disk, folder, number, "");
    return code == 0 ? disk->sync_folder(disk->context, folder) : code;
}

int segment_draft_remove(const struct disk *disk, const char *folder, uint64_t number)
{
    int code = unlink_one(disk, folder, number, draft_ending);
    return code == 0 ? disk->sync_folder(disk->context, folder) : code;
}

/* The number in a name; false: it ends in something else. */
static bool named(const char *name, const char *behind, uint64_t *number)
{
    const char *end = name + NAME_DIGITS;
    if (strspn(name, "0123456789abcdef") != NAME_DIGITS ||
        strncmp(end, ending, sizeof ending - 1) != 0 ||
        strcmp(end + sizeof ending - 1, behind) != 0)
        return false;
    *number = strtoull(name, NULL, 16);
    return true;
}

bool segment_named(const char *name, uint64_t *number)
{
    return named(name, "", number);
}

bool segment_draft_named(const char *name, uint64_t *number)
{
    return named(name, draft_ending, number);
}

static uint32_t checksum(const char *block)
{
    static const char zeros[4];
    uint32_t crc = crc32c(0, block, AT_CRC);
    crc = crc32c(crc, zeros, sizeof zeros);
    return crc32c(crc, block + AT_NUMBER, DISK_BLOCK_BYTES - AT_NUMBER);
}

void segment_seal(char *block, const struct segment *s)
{
    memset(block, 0, DISK_BLOCK_BYTES);
    memcpy(block, magic, sizeof magic);
    put_u32(block + AT_VERSION, VERSION);
    put_u64(block + AT_NUMBER, s->number);
    put_u64(block + AT_BYTES, s->bytes);
    put_u64(block + AT_SERIAL, s->serial);
    put_u64(block + AT_FIRST_INDEX, s->first_index);
    put_u64(block + AT_CHAIN, s->chain);
    put_u32(block + AT_CRC, checksum(block));
}

int segment_read(const char *block, struct segment *s, uint32_t *version)
{
    if (memcmp(block, magic, sizeof magic) != 0 || checksum(block) != get_u32(block + AT_CRC))
        return ERR_CORRUPT;
    *version = get_u32(block + AT_VERSION);
    if (*version != VERSION)
        return *version > VERSION ? ERR_NEWER : ERR_CORRUPT;
    *s = (struct segment){
        .number = get_u64(block + AT_NUMBER),
        .bytes = get_u64(block + AT_BYTES),
        .serial = get_u64(block + AT_SERIAL),
        .first_index = get_u64(block + AT_FIRST_INDEX),
        .chain = get_u64(block + AT_CHAIN),
    };
    return 0;
}

int segment_zero(const struct disk *disk, struct disk_file *file, uint64_t from, uint64_t to)
{
    size_t bytes = to - from < ZERO_BYTES ? (size_t)(to - from) : ZERO_BYTES;
    if (bytes == 0)
        return 0;
    char *zeros = aligned_alloc(DISK_BLOCK_BYTES, bytes);
    if (zeros == NULL)
        return ERR_NO_MEMORY;
    memset(zeros, 0, bytes);
    int code = 0;
    for (; from < to && code == 0; from += bytes) {
        if (to - from < bytes)
            bytes = (size_t)(to - from);
        code = disk->write(file, from, zeros, bytes);
    }
    free(zeros);
    return code;
}

/* The file under its first name, written and synced. */
static int make_draft(const struct disk *disk, const char *draft, uint64_t bytes,
                      struct disk_file **file)
{
    int code = disk->remove(disk->context, draft); /* of an attempt that was cut short */
    if (code != 0 && code != ERR_NOT_FOUND)
        return code;
    code = disk->open(disk->context, draft, DISK_CREATE | DISK_DIRECT, file);
    if (code != 0)
        return code;
    code = segment_zero(disk, *file, 0, bytes);
    if (code == 0)
        code = disk->sync(*file);
    if (code != 0) {
        disk->close(*file);
        disk->remove(disk->context, draft);
    }
    return code;
}

int segment_make(const struct disk *disk, const char *folder, uint64_t number, uint64_t bytes,
                 struct disk_file **file)
{
    char *path = path_of(folder, number, ""), *draft = path_of(folder, number, draft_ending);
    int code = path == NULL || draft == NULL ? ERR_NO_MEMORY : 0;
    if (code == 0)
        code = make_draft(disk, draft, bytes, file);
    if (code == 0) {
        code = disk->rename(disk->context, draft, path);
        if (code == 0)
            code = disk->sync_folder(disk->context, folder);
        if (code != 0) {
            disk->close(*file);
            disk->remove(disk->context, draft);
            disk->remove(disk->context, path);
        }
    }
    free(draft);
    free(path);
    return code;
}
