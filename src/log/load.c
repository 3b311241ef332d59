/* Segments as they are on the disk. */
#include "log/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct listing {
    segment_naming *named;
    struct segment *at;
    size_t count, room;
};

static int add(void *arg, const char *name)
{
    struct listing *l = arg;
    uint64_t number;
    if (!l->named(name, &number))
        return 0;
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 64 : l->room * 2;
        struct segment *more = realloc(l->at, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        l->at = more;
        l->room = room;
    }
    l->at[l->count++] = (struct segment){.number = number};
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const struct segment *s = a, *t = b;
    return s->number < t->number ? -1 : s->number > t->number;
}

int segment_list(const struct disk *disk, const char *folder, segment_naming *named,
                 struct segment **list, size_t *count)
{
    struct listing l = {.named = named};
    int code = disk->list(disk->context, folder, add, &l);
    if (code == ERR_NOT_FOUND)
        code = 0;
    if (code != 0) {
        free(l.at);
        l = (struct listing){0};
    }
    if (l.count != 0)
        qsort(l.at, l.count, sizeof *l.at, by_number);
    *list = l.at;
    *count = l.count;
    return code;
}

static int make_room(struct segment_content *c, uint64_t bytes)
{
    if (bytes <= c->room)
        return 0;
    free(c->at);
    c->at = aligned_alloc(DISK_BLOCK_BYTES, (size_t)bytes);
    c->room = c->at == NULL ? 0 : bytes;
    return c->at == NULL ? ERR_NO_MEMORY : 0;
}

/* After a failed read of the whole: where. ERR_IO: nowhere, now. */
static int read_blocks(const struct disk *disk, struct disk_file *file, struct segment_content *c)
{
    int code = 0;
    for (uint64_t at = 0; at < c->bytes && (code == 0 || code == ERR_IO); at += DISK_BLOCK_BYTES) {
        size_t got = 0;
        code = disk->read(file, at, c->at + at, DISK_BLOCK_BYTES, &got);
        if (code != ERR_IO)
            continue;
        memset(c->at + at, 0, DISK_BLOCK_BYTES);
        if (c->unreadable == UINT64_MAX)
            c->unreadable = at;
    }
    if (code == ERR_IO)
        code = 0;
    return code == 0 && c->unreadable == UINT64_MAX ? ERR_IO : code;
}

static int read_all(const struct disk *disk, struct disk_file *file, struct segment_content *c)
{
    uint64_t blocks = (c->bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    size_t got = 0;
    int code = make_room(c, blocks);
    if (code != 0)
        return code;
    code = disk->read(file, 0, c->at, (size_t)blocks, &got);
    if (code == ERR_IO)
        return read_blocks(disk, file, c);
    return code == 0 && got < c->bytes ? ERR_IO : code;
}

int segment_load(const struct disk *disk, const char *folder, struct segment *s, uint64_t bytes_max,
                 struct segment_content *c)
{
    struct disk_file *file;
    int code = segment_open(disk, folder, s->number, DISK_READ_ONLY | DISK_DIRECT, &file);
    if (code != 0)
        return code;
    code = disk->size(file, &s->bytes);
    c->bytes = s->bytes < bytes_max ? s->bytes : bytes_max;
    c->unreadable = UINT64_MAX;
    if (code == 0)
        code = read_all(disk, file, c);
    disk->close(file);
    return code;
}
