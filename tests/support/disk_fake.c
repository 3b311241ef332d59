/* The disk in memory. Knows no format of what is written to it. */
#include "support/disk_fake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Content, apart from its names. */
struct inode {
    char *seen, *safe; /* what programs see; what is durable */
    bool *dirty;       /* by sector: seen and not yet durable */
    bool *held;        /* seen, also past the page cache, and never durable: a flush of it failed */
    size_t seen_bytes, safe_bytes, room;
    size_t bad;    /* 1 + the place of a byte that cannot be read; 0: none */
    unsigned uses; /* by names and open files */
    bool folder;
};

struct name {
    char *path;
    struct inode *seen, *safe; /* NULL: not there */
};

struct disk_file {
    struct disk_fake *disk;
    struct inode *inode;
    unsigned flags;
    unsigned life;
};

struct disk_fake {
    struct name *names;
    size_t count;
    uint64_t random;
    uint64_t done[5]; /* by kind */
    uint64_t limit;

    unsigned fail_kinds;
    uint64_t fail_in;
    int fail_code;
    bool fail_for_ever, failed;

    uint64_t end_in;
    enum disk_fake_end end;
    uint64_t torn_bytes;
    bool ended;
    unsigned life;
};

/* splitmix64, as the numbers need no quality but to differ. */
static uint64_t draw(struct disk_fake *f)
{
    uint64_t z = f->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool coin(struct disk_fake *f)
{
    return (draw(f) & 1) != 0;
}

static void *must(void *memory)
{
    assert(memory != NULL);
    return memory;
}

static void use(struct inode **slot, struct inode *inode)
{
    if (inode != NULL)
        inode->uses++;
    struct inode *old = *slot;
    *slot = inode;
    if (old != NULL && --old->uses == 0) {
        free(old->seen);
        free(old->safe);
        free(old->dirty);
        free(old->held);
        free(old);
    }
}

static void make_room(struct inode *i, size_t bytes)
{
    if (bytes <= i->room)
        return;
    size_t room = bytes < 2 * i->room ? 2 * i->room : bytes;
    room += DISK_FAKE_SECTOR_BYTES - room % DISK_FAKE_SECTOR_BYTES;
    size_t sectors = i->room / DISK_FAKE_SECTOR_BYTES;
    i->seen = must(realloc(i->seen, room));
    i->safe = must(realloc(i->safe, room));
    i->dirty = must(realloc(i->dirty, room / DISK_FAKE_SECTOR_BYTES));
    i->held = must(realloc(i->held, room / DISK_FAKE_SECTOR_BYTES));
    memset(i->seen + i->room, 0, room - i->room);
    memset(i->safe + i->room, 0, room - i->room);
    memset(i->dirty + sectors, 0, room / DISK_FAKE_SECTOR_BYTES - sectors);
    memset(i->held + sectors, 0, room / DISK_FAKE_SECTOR_BYTES - sectors);
    i->room = room;
}

static struct name *find(const struct disk_fake *f, const char *path)
{
    for (size_t n = 0; n < f->count; n++)
        if (strcmp(f->names[n].path, path) == 0)
            return &f->names[n];
    return NULL;
}

static struct name *find_or_add(struct disk_fake *f, const char *path)
{
    struct name *n = find(f, path);
    if (n != NULL)
        return n;
    f->names = must(realloc(f->names, (f->count + 1) * sizeof *f->names));
    n = &f->names[f->count++];
    *n = (struct name){.path = must(strdup(path))};
    return n;
}

/* The name inside a folder, or NULL where the path is not directly in it. */
static const char *name_in(const char *folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strcmp(folder, ".") == 0 ? path : NULL;
    size_t bytes = (size_t)(slash - path);
    return strlen(folder) == bytes && memcmp(folder, path, bytes) == 0 ? slash + 1 : NULL;
}

static bool is_folder(const struct disk_fake *f, const char *path)
{
    const struct name *n = find(f, path);
    return strcmp(path, ".") == 0 || (n != NULL && n->seen != NULL && n->seen->folder);
}

/* One sector of a file becomes durable. */
static void save_sector(struct inode *i, size_t sector)
{
    size_t from = sector * DISK_FAKE_SECTOR_BYTES, to = from + DISK_FAKE_SECTOR_BYTES;
    memcpy(i->safe + from, i->seen + from, DISK_FAKE_SECTOR_BYTES);
    i->dirty[sector] = false;
    if (to > i->seen_bytes)
        to = i->seen_bytes;
    if (to > i->safe_bytes)
        i->safe_bytes = to;
}

static void save(struct disk_fake *f, struct inode *i, bool all)
{
    for (size_t s = 0; s * DISK_FAKE_SECTOR_BYTES < i->seen_bytes; s++)
        if (i->dirty[s] && (all || coin(f)))
            save_sector(i, s);
}

/* What the disk failed to write out: its own cache shows it, and forgets that it is to be written.
 */
static void hold(struct inode *i)
{
    for (size_t s = 0; s * DISK_FAKE_SECTOR_BYTES < i->seen_bytes; s++) {
        i->held[s] = i->held[s] || i->dirty[s];
        i->dirty[s] = false;
    }
}

/* What a read past the page cache gives of a byte's place. */
static void read_direct(const struct inode *i, size_t offset, char *to, size_t bytes)
{
    memcpy(to, i->safe + offset, bytes);
    for (size_t n = 0; n < bytes; n++)
        if (i->held[(offset + n) / DISK_FAKE_SECTOR_BYTES])
            to[n] = i->seen[offset + n];
}

/* Counts an operation; what it is to give instead of being done, 0: nothing. */
static int begin(struct disk_fake *f, unsigned kind)
{
    if (f->ended)
        return ERR_IO;
    for (unsigned k = 0; k < 5; k++)
        f->done[k] += (kind >> k) & 1;
    if ((kind & FAKE_CHANGES) != 0 && f->end_in != 0 && --f->end_in == 0) {
        f->ended = true;
        return ERR_IO;
    }
    if ((kind & f->fail_kinds) != 0 && f->fail_in != 0) {
        if (f->fail_in > 1) {
            f->fail_in--;
            return 0;
        }
        f->fail_in = f->fail_for_ever ? 1 : 0;
        f->failed = true;
        return f->fail_code;
    }
    return 0;
}

static int begin_file(struct disk_file *file, unsigned kind)
{
    return file->life != file->disk->life ? ERR_IO : begin(file->disk, kind);
}

static int fake_open(void *context, const char *path, unsigned flags, struct disk_file **file)
{
    struct disk_fake *f = context;
    int code = begin(f, (flags & DISK_CREATE) != 0 ? FAKE_OPEN : FAKE_READ);
    if (code != 0)
        return code;
    struct name *n = find(f, path);
    bool there = n != NULL && n->seen != NULL;
    if (there && (n->seen->folder || (flags & DISK_CREATE) != 0))
        return ERR_SYSTEM;
    if (!there && (flags & DISK_CREATE) == 0)
        return ERR_NOT_FOUND;
    if (!there) {
        n = find_or_add(f, path);
        use(&n->seen, must(calloc(1, sizeof(struct inode))));
    }
    *file = must(calloc(1, sizeof **file));
    **file = (struct disk_file){.disk = f, .flags = flags, .life = f->life};
    use(&(*file)->inode, n->seen);
    return 0;
}

static void fake_close(struct disk_file *file)
{
    if (file != NULL)
        use(&file->inode, NULL);
    free(file);
}

static int fake_read(struct disk_file *file, uint64_t offset, void *to, size_t bytes, size_t *got)
{
    int code = begin_file(file, FAKE_READ);
    if (code != 0)
        return code;
    struct inode *i = file->inode;
    bool direct = (file->flags & DISK_DIRECT) != 0;
    size_t left = offset < i->seen_bytes ? i->seen_bytes - (size_t)offset : 0;
    *got = bytes < left ? bytes : left;
    if (i->bad > offset && i->bad - offset <= *got)
        return ERR_IO;
    if (direct) /* the page cache is written out first, as far as it knows of anything */
        save(file->disk, i, true);
    if (*got != 0 && direct)
        read_direct(i, (size_t)offset, to, *got);
    else if (*got != 0)
        memcpy(to, i->seen + offset, *got);
    return 0;
}

static uint64_t used(const struct disk_fake *f)
{
    uint64_t bytes = 0;
    for (size_t n = 0; n < f->count; n++)
        if (f->names[n].seen != NULL)
            bytes += f->names[n].seen->seen_bytes;
    return bytes;
}

/* Bytes offset..end of a write reach the page cache. */
static void see(struct inode *i, size_t offset, const char *from, size_t bytes)
{
    if (bytes == 0)
        return;
    make_room(i, offset + bytes);
    memcpy(i->seen + offset, from, bytes);
    if (offset + bytes > i->seen_bytes)
        i->seen_bytes = offset + bytes;
    for (size_t s = offset / DISK_FAKE_SECTOR_BYTES;
         s <= (offset + bytes - 1) / DISK_FAKE_SECTOR_BYTES; s++) {
        i->dirty[s] = true;
        i->held[s] = false;
    }
}

/* A write that did not come to its end: a first part of it, or some of its sectors. */
static void tear(struct disk_file *file, size_t offset, const char *from, size_t bytes,
                 uint64_t torn_bytes)
{
    struct disk_fake *f = file->disk;
    if (torn_bytes != FAKE_TORN_SECTORS) {
        see(file->inode, offset, from, torn_bytes < bytes ? (size_t)torn_bytes : bytes);
        return;
    }
    uint64_t all = draw(f) % 8; /* 0: none; 1: all; else by sector */
    for (size_t done = 0; done < bytes;) {
        size_t piece = DISK_FAKE_SECTOR_BYTES - (offset + done) % DISK_FAKE_SECTOR_BYTES;
        if (piece > bytes - done)
            piece = bytes - done;
        if (all == 1 || (all != 0 && coin(f)))
            see(file->inode, offset + done, from + done, piece);
        done += piece;
    }
}

static int fake_write(struct disk_file *file, uint64_t at, const void *from, size_t bytes)
{
    struct disk_fake *f = file->disk;
    struct inode *i = file->inode;
    bool direct = (file->flags & DISK_DIRECT) != 0;
    assert((file->flags & DISK_READ_ONLY) == 0);
    assert(!direct || ((at | (uintptr_t)from | bytes) % DISK_BLOCK_BYTES) == 0);
    bool dead = file->life != f->life || f->ended;
    size_t offset = (size_t)at;
    int code = begin_file(file, FAKE_WRITE);
    if (dead)
        return code;
    if (code == 0 && f->limit != 0 && offset + bytes > i->seen_bytes) {
        uint64_t more = offset + bytes - i->seen_bytes, space = used(f);
        space = space < f->limit ? f->limit - space : 0;
        if (more > space) {
            tear(file, offset, from, bytes, bytes > more - space ? bytes - (more - space) : 0);
            return ERR_DISK_FULL;
        }
    }
    if (code == 0)
        see(i, offset, from, bytes);
    else
        tear(file, offset, from, bytes, f->ended ? f->torn_bytes : FAKE_TORN_SECTORS);
    if (direct && code != 0 && !f->ended && coin(f))
        hold(i);
    else if (direct && !(f->ended && f->end == FAKE_KILL))
        save(f, i, true);
    return code;
}

static int fake_sync(struct disk_file *file)
{
    struct disk_fake *f = file->disk;
    bool dead = file->life != f->life || f->ended;
    int code = begin_file(file, FAKE_SYNC);
    if (dead || f->ended)
        return code;
    struct inode *i = file->inode;
    save(f, i, code == 0);
    if (i->room != 0)
        memset(i->dirty, 0, i->room / DISK_FAKE_SECTOR_BYTES);
    return code;
}

static int fake_size(struct disk_file *file, uint64_t *bytes)
{
    int code = begin_file(file, FAKE_READ);
    *bytes = code == 0 ? file->inode->seen_bytes : 0;
    return code;
}

static int fake_rename(void *context, const char *from, const char *to)
{
    struct disk_fake *f = context;
    int code = begin(f, FAKE_NAME);
    struct name *n = find(f, from);
    if (code != 0)
        return code;
    if (n == NULL || n->seen == NULL)
        return ERR_NOT_FOUND;
    struct inode *i = n->seen;
    use(&find_or_add(f, to)->seen, i);
    use(&find(f, from)->seen, NULL);
    return 0;
}

static int fake_remove(void *context, const char *path)
{
    struct disk_fake *f = context;
    int code = begin(f, FAKE_NAME);
    struct name *n = find(f, path);
    if (code != 0)
        return code;
    if (n == NULL || n->seen == NULL)
        return ERR_NOT_FOUND;
    if (n->seen->folder)
        return ERR_SYSTEM;
    use(&n->seen, NULL);
    return 0;
}

static void save_names(struct disk_fake *f, const char *folder)
{
    for (size_t n = 0; n < f->count; n++)
        if (name_in(folder, f->names[n].path) != NULL)
            use(&f->names[n].safe, f->names[n].seen);
}

static int fake_sync_folder(void *context, const char *path)
{
    struct disk_fake *f = context;
    int code = begin(f, FAKE_SYNC);
    if (code != 0)
        return code;
    if (!is_folder(f, path))
        return ERR_NOT_FOUND;
    save_names(f, path);
    return 0;
}

static int fake_make_folder(void *context, const char *path)
{
    struct disk_fake *f = context;
    int code = begin(f, FAKE_OPEN);
    if (code != 0)
        return code;
    struct name *n = find_or_add(f, path);
    if (n->seen == NULL) {
        use(&n->seen, must(calloc(1, sizeof(struct inode))));
        n->seen->folder = true;
    }
    return 0;
}

static int fake_list(void *context, const char *path, int (*name)(void *arg, const char *name),
                     void *arg)
{
    struct disk_fake *f = context;
    int code = begin(f, FAKE_READ);
    if (code != 0)
        return code;
    if (!is_folder(f, path))
        return ERR_NOT_FOUND;
    for (size_t n = f->count; n-- > 0 && code == 0;) {
        const char *in = name_in(path, f->names[n].path);
        if (f->names[n].seen != NULL && in != NULL)
            code = name(arg, in);
    }
    return code;
}

static int fake_space(void *context, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct disk_fake *f = context;
    (void)path;
    int code = begin(f, FAKE_READ);
    uint64_t in_use = used(f);
    *total_bytes = f->limit != 0 ? f->limit : INT64_MAX;
    *free_bytes = in_use < *total_bytes ? *total_bytes - in_use : 0;
    return code;
}

struct disk_fake *disk_fake_create(uint64_t seed)
{
    struct disk_fake *f = must(calloc(1, sizeof *f));
    f->random = seed;
    return f;
}

void disk_fake_destroy(struct disk_fake *f)
{
    for (size_t n = 0; n < f->count; n++) {
        use(&f->names[n].seen, NULL);
        use(&f->names[n].safe, NULL);
        free(f->names[n].path);
    }
    free(f->names);
    free(f);
}

struct disk disk_fake_disk(struct disk_fake *f)
{
    return (struct disk){
        .context = f,
        .open = fake_open,
        .close = fake_close,
        .read = fake_read,
        .write = fake_write,
        .sync = fake_sync,
        .size = fake_size,
        .rename = fake_rename,
        .remove = fake_remove,
        .sync_folder = fake_sync_folder,
        .make_folder = fake_make_folder,
        .list = fake_list,
        .space = fake_space,
    };
}

uint64_t disk_fake_count(const struct disk_fake *f, unsigned kinds)
{
    uint64_t count = 0;
    for (unsigned k = 0; k < 5; k++)
        count += (kinds >> k & 1) != 0 ? f->done[k] : 0;
    return count;
}

void disk_fake_fail(struct disk_fake *f, unsigned kinds, uint64_t nth, int code, bool for_ever)
{
    f->fail_kinds = kinds;
    f->fail_in = nth;
    f->fail_code = code;
    f->fail_for_ever = for_ever;
    f->failed = false;
}

bool disk_fake_has_failed(const struct disk_fake *f)
{
    return f->failed;
}

void disk_fake_limit(struct disk_fake *f, uint64_t bytes)
{
    f->limit = bytes;
}

void disk_fake_end_at(struct disk_fake *f, uint64_t nth, enum disk_fake_end end,
                      uint64_t torn_bytes)
{
    f->end_in = nth;
    f->end = end;
    f->torn_bytes = torn_bytes;
}

bool disk_fake_has_ended(const struct disk_fake *f)
{
    return f->ended;
}

/* A file comes back as it was durable. */
static void lose(struct inode *i)
{
    if (i->room == 0)
        return;
    memset(i->safe + i->safe_bytes, 0, i->room - i->safe_bytes);
    memcpy(i->seen, i->safe, i->room);
    memset(i->dirty, 0, i->room / DISK_FAKE_SECTOR_BYTES);
    memset(i->held, 0, i->room / DISK_FAKE_SECTOR_BYTES);
    i->seen_bytes = i->safe_bytes;
}

void disk_fake_start(struct disk_fake *f)
{
    bool kill = f->ended && f->end == FAKE_KILL;
    bool some = f->ended && f->end == FAKE_POWER_LOSE_SOME;
    f->ended = false;
    f->end_in = 0;
    f->life++;
    for (size_t n = 0; n < f->count && !kill; n++)
        if (some && f->names[n].seen != NULL)
            save(f, f->names[n].seen, false);
    bool names = some && coin(f); /* of all folders at once: a rename is never half done */
    for (size_t n = 0; n < f->count && !kill; n++) {
        struct name *name = &f->names[n];
        if (names)
            use(&name->safe, name->seen);
        use(&name->seen, name->safe);
    }
    for (size_t n = 0; n < f->count && !kill; n++)
        if (f->names[n].seen != NULL)
            lose(f->names[n].seen);
}

const char *disk_fake_look(const struct disk_fake *f, const char *path, size_t *bytes)
{
    const struct name *n = find(f, path);
    if (n == NULL || n->seen == NULL || n->seen->folder)
        return NULL;
    *bytes = n->seen->seen_bytes;
    return n->seen->seen != NULL ? n->seen->seen : "";
}

void disk_fake_put(struct disk_fake *f, const char *path, const void *from, size_t bytes)
{
    struct name *n = find_or_add(f, path);
    use(&n->seen, must(calloc(1, sizeof(struct inode))));
    see(n->seen, 0, from, bytes);
    save(f, n->seen, true);
    use(&n->safe, n->seen);
}

void disk_fake_flip(struct disk_fake *f, const char *path, uint64_t byte, unsigned char bits)
{
    struct name *n = find(f, path);
    assert(n != NULL && n->seen != NULL && byte < n->seen->seen_bytes);
    n->seen->seen[byte] = (char)(n->seen->seen[byte] ^ bits);
    n->seen->safe[byte] = (char)(n->seen->safe[byte] ^ bits);
}

void disk_fake_spoil(struct disk_fake *f, const char *path, size_t byte)
{
    struct name *n = find(f, path);
    assert(n != NULL && n->seen != NULL && byte < n->seen->seen_bytes);
    n->seen->bad = byte + 1;
}

size_t disk_fake_files(const struct disk_fake *f)
{
    size_t files = 0;
    for (size_t n = 0; n < f->count; n++)
        files += f->names[n].seen != NULL && !f->names[n].seen->folder;
    return files;
}
