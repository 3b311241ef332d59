/* The real disk: the one place that makes the system calls of files. Knows no format. */
#include "base/disk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"

struct disk_file {
    int fd;
    bool direct;
};

static int code_of(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_DISK_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    case ENOMEM:
    case EMFILE: /* what the process or the machine lacks now, and the disk does not */
    case ENFILE:
        return ERR_NO_MEMORY;
    case EIO:
    case EROFS: /* what ext4 becomes after an error */
    case ENXIO:
    case ENODEV:
        return ERR_IO;
    default:
        return ERR_SYSTEM;
    }
}

/* Clean pages are dropped, and read from the disk again; those that a failed flush has left are
 * clean (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). */
static void forget_pages(const struct disk_file *file)
{
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int file_open(void *context, const char *path, unsigned flags, struct disk_file **file)
{
    (void)context;
    bool direct = (flags & DISK_DIRECT) != 0;
    int mode = (flags & DISK_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    if ((flags & DISK_CREATE) != 0)
        mode |= O_CREAT | O_EXCL;
    if (direct)
        mode |= O_DSYNC;
    struct disk_file *f = malloc(sizeof *f);
    if (f == NULL)
        return ERR_NO_MEMORY;
    f->direct = direct;
    f->fd = open(path, mode | O_CLOEXEC, 0600);
    if (f->fd < 0) {
        int code = code_of(errno);
        free(f);
        return code;
    }
    /* Asked for once the file is open: open(O_CREAT|O_DIRECT) makes the file before it refuses.
     * Where it is refused, O_DSYNC alone is a buffered write followed by fdatasync. */
    if (direct && fcntl(f->fd, F_SETFL, O_DIRECT) != 0)
        forget_pages(f);
    *file = f;
    return 0;
}

static void file_close(struct disk_file *file)
{
    if (file != NULL)
        close(file->fd);
    free(file);
}

static bool aligned(const struct disk_file *file, uint64_t offset, const void *at, size_t bytes)
{
    return !file->direct || ((offset | (uintptr_t)at | bytes) % DISK_BLOCK_BYTES) == 0;
}

/* Some file systems refuse only the transfer (open(2), NOTES on O_DIRECT): true where the failed
 * call is to be repeated, buffered from now on. */
static bool gave_up_direct(struct disk_file *file)
{
    int mode = errno == EINVAL ? fcntl(file->fd, F_GETFL) : -1;
    if (mode < 0 || (mode & O_DIRECT) == 0 || fcntl(file->fd, F_SETFL, mode & ~O_DIRECT) != 0)
        return false;
    forget_pages(file);
    return true;
}

static int file_read(struct disk_file *file, uint64_t offset, void *to, size_t bytes, size_t *got)
{
    assert(aligned(file, offset, to, bytes));
    for (*got = 0; *got < bytes;) {
        ssize_t n = pread(file->fd, (char *)to + *got, bytes - *got, (off_t)(offset + *got));
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR && !gave_up_direct(file))
            return code_of(errno);
    }
    return 0;
}

static int file_write(struct disk_file *file, uint64_t offset, const void *from, size_t bytes)
{
    assert(aligned(file, offset, from, bytes));
    for (size_t done = 0; done < bytes;) {
        ssize_t n =
            pwrite(file->fd, (const char *)from + done, bytes - done, (off_t)(offset + done));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR && !gave_up_direct(file))
            return code_of(errno);
    }
    return 0;
}

static int file_sync(struct disk_file *file)
{
    return fdatasync(file->fd) == 0 ? 0 : code_of(errno);
}

static int file_size(struct disk_file *file, uint64_t *bytes)
{
    struct stat s;
    if (fstat(file->fd, &s) != 0)
        return code_of(errno);
    *bytes = (uint64_t)s.st_size;
    return 0;
}

static int path_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) == 0 ? 0 : code_of(errno);
}

static int path_remove(void *context, const char *path)
{
    (void)context;
    return unlink(path) == 0 ? 0 : code_of(errno);
}

static int folder_sync(void *context, const char *path)
{
    (void)context;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return code_of(errno);
    /* EINVAL: this file system has nothing to sync there (fsync(2)). */
    int code = fsync(fd) == 0 || errno == EINVAL ? 0 : code_of(errno);
    close(fd);
    return code;
}

static int folder_make(void *context, const char *path)
{
    (void)context;
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : code_of(errno);
}

static int folder_list(void *context, const char *path, int (*name)(void *arg, const char *name),
                       void *arg)
{
    (void)context;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return code_of(errno);
    int code = 0;
    while (code == 0) {
        errno = 0;
        const struct dirent *e = readdir(folder);
        if (e == NULL) {
            code = errno == 0 ? 0 : code_of(errno);
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            code = name(arg, e->d_name);
    }
    closedir(folder);
    return code;
}

static int folder_space(void *context, const char *path, uint64_t *free_bytes,
                        uint64_t *total_bytes)
{
    (void)context;
    struct statvfs s;
    if (statvfs(path, &s) != 0)
        return code_of(errno);
    *free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    *total_bytes = (uint64_t)s.f_blocks * s.f_frsize;
    return 0;
}

struct disk disk_real(void)
{
    return (struct disk){
        .open = file_open,
        .close = file_close,
        .read = file_read,
        .write = file_write,
        .sync = file_sync,
        .size = file_size,
        .rename = path_rename,
        .remove = path_remove,
        .sync_folder = folder_sync,
        .make_folder = folder_make,
        .list = folder_list,
        .space = folder_space,
    };
}

int disk_sync_parent(const struct disk *disk, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return disk->sync_folder(disk->context, ".");
    char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (parent == NULL)
        return ERR_NO_MEMORY;
    int code = disk->sync_folder(disk->context, parent);
    free(parent);
    return code;
}

int disk_copy(const struct disk *disk, struct disk_file *from, struct disk_file *to)
{
    enum { PIECE_BYTES = 1024 * 1024 };
    char *piece = malloc(PIECE_BYTES);
    int code = piece == NULL ? ERR_NO_MEMORY : 0;
    size_t got = 1;
    for (uint64_t at = 0; code == 0 && got != 0; at += got) {
        code = disk->read(from, at, piece, PIECE_BYTES, &got);
        if (code == 0 && got != 0)
            code = disk->write(to, at, piece, got);
    }
    free(piece);
    return code;
}
