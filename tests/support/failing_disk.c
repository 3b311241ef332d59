/*
 * A disk that fails, for a whole server: loaded before the C library (LD_PRELOAD), so that what is
 * tested is what is installed. The file that the environment's NOTED_TEST_DISK names says what
 * fails from now on; it is looked at before each call, and need not be there. Its lines:
 *
 *   write PART         writes and flushes of files with PART in their path give EIO,
 *   read PART BYTE     reads of that byte of such a file do,
 *   flush PART         writes of such files are done and give EIO, as where the disk has taken the
 *                      bytes and failed to keep them; a flush that comes after that succeeds,
 *   full PART          writes of such files give ENOSPC,
 *   slow PART          writes of such files take SLOW_MS longer,
 *   hold PART          writes and flushes of such files wait for as long as the line stands there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOW_MS = 300 };

typedef ssize_t read_fn(int fd, void *to, size_t bytes, off_t offset);
typedef ssize_t write_fn(int fd, const void *from, size_t bytes, off_t offset);
typedef int sync_fn(int fd);

/* Whether a line is about these bytes, from `offset` on; of what has none: 0 of them. */
static bool ordered(const char *verb, int fd, off_t offset, size_t bytes)
{
    char link[64], path[4096], word[16], part[256];
    const char *orders = getenv("NOTED_TEST_DISK");
    FILE *file = orders == NULL ? NULL : fopen(orders, "re");
    bool found = false;
    if (file == NULL)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    for (char line[512]; !found && fgets(line, sizeof line, file) != NULL;) {
        long byte = -1;
        if (sscanf(line, "%15s %255s %ld", word, part, &byte) < 2 || strcmp(word, verb) != 0)
            continue;
        bool here = byte < 0 || (byte >= offset && byte - offset < (off_t)bytes);
        found = here && strstr(path, part) != NULL;
    }
    fclose(file);
    return found;
}

static void wait_held(int fd)
{
    const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    while (ordered("hold", fd, 0, 0))
        nanosleep(&pause, NULL);
}

/* ISO C has no conversion from a pointer to an object to one to a function; POSIX has (dlsym). */
#define NEXT(type, name)                                                                           \
    type *next;                                                                                    \
    *(void **)&next = dlsym(RTLD_NEXT, name);                                                      \
    if (next == NULL)                                                                              \
    abort()

ssize_t pread(int fd, void *to, size_t bytes, off_t offset)
{
    NEXT(read_fn, "pread");
    if (!ordered("read", fd, offset, bytes))
        return next(fd, to, bytes, offset);
    errno = EIO;
    return -1;
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t offset)
{
    NEXT(write_fn, "pwrite");
    const struct timespec slow = {.tv_nsec = SLOW_MS * 1000 * 1000};
    if (ordered("slow", fd, offset, bytes))
        nanosleep(&slow, NULL);
    wait_held(fd);
    bool broken = ordered("write", fd, offset, bytes);
    if (ordered("flush", fd, offset, bytes)) {
        broken = true;
        next(fd, from, bytes, offset);
    }
    if (!broken && !ordered("full", fd, offset, bytes))
        return next(fd, from, bytes, offset);
    errno = broken ? EIO : ENOSPC;
    return -1;
}

int fdatasync(int fd)
{
    NEXT(sync_fn, "fdatasync");
    wait_held(fd);
    if (!ordered("write", fd, 0, 0))
        return next(fd);
    errno = EIO;
    return -1;
}
