/* Making a copy of a store through a pipe that seals it, and checking one. */
#include "store/copy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/txn.h"

/* The seal: a word, bytes before it, hash of them. A copy's bytes are hashed in blocks, each seeded
 * with the hash of those before. */
enum { SEAL_BYTES = 24, BLOCK_BYTES = 256 * 1024 };

static const char seal_word[8] = "nCOPY\r\n\1";

struct seal {
    uint64_t bytes, hash;
};

static void seal_add(struct seal *seal, const char *block, size_t bytes)
{
    seal->hash = hash64(seal->hash, block, bytes);
    seal->bytes += bytes;
}

static void seal_encode(const struct seal *seal, char to[SEAL_BYTES])
{
    memcpy(to, seal_word, sizeof seal_word);
    put_u64_be(to + 8, seal->bytes);
    put_u64_be(to + 16, seal->hash);
}

static int error_of(int system_error)
{
    switch (system_error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_DISK_FULL;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case EIO:
        return ERR_IO;
    default: /* EPIPE, too */
        return ERR_SYSTEM;
    }
}

/* Reads until there is a block or the end; *got says which. */
static int read_block(int fd, char *block, size_t bytes, size_t *got)
{
    for (*got = 0; *got < bytes;) {
        const ssize_t n = read(fd, block + *got, bytes - *got);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return error_of(errno);
        }
        *got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        const ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno != EINTR) {
            return error_of(errno);
        }
        bytes += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* --- Making one --- */

/* The tables write into a pipe, from a thread; the caller's thread takes it from there. */
struct source {
    struct store *store;
    int fd; /* the pipe's end to write to */
    int rc;
};

static void *source_run(void *arg)
{
    struct source *source = arg;
    source->rc = source->store->ops->copy(source->store->kv, source->fd);
    close(source->fd);
    return NULL;
}

/* Without any signal: LMDB, which makes one more thread, would take an interrupted write for a
 * failed one. */
static int source_start(struct source *source, pthread_t *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int rc = pthread_create(thread, NULL, source_run, source);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : rc == EAGAIN ? ERR_NO_MEMORY : error_of(rc);
}

/* Gives on what comes, until the end. */
static int pump(int from, int to, char *block, struct seal *seal)
{
    size_t got = 0;
    int rc;
    do {
        rc = read_block(from, block, BLOCK_BYTES, &got);
        if (rc == 0 && got > 0) {
            seal_add(seal, block, got);
            rc = write_all(to, block, got);
        }
    } while (rc == 0 && got == BLOCK_BYTES);
    return rc;
}

static int copy_through(struct store *s, const int pipe_ends[2], int fd, char *block)
{
    struct source source = {.store = s, .fd = pipe_ends[1]};
    struct seal seal = {0};
    pthread_t thread;
    int rc = source_start(&source, &thread);
    if (rc != 0) {
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        return rc;
    }
    rc = pump(pipe_ends[0], fd, block, &seal);
    close(pipe_ends[0]); /* where the pump failed, this ends the source */
    pthread_join(thread, NULL);
    if (rc == 0) {
        rc = source.rc;
    }
    if (rc == 0) {
        char bytes[SEAL_BYTES];
        seal_encode(&seal, bytes);
        rc = write_all(fd, bytes, sizeof bytes);
    }
    return rc;
}

int store_copy(struct store *s, int fd)
{
    int pipe_ends[2];
    char *block = malloc(BLOCK_BYTES);
    if (!block) {
        return ERR_NO_MEMORY;
    }
    int rc = pipe2(pipe_ends, O_CLOEXEC) == 0 ? 0 : error_of(errno);
    if (rc == 0) {
        rc = copy_through(s, pipe_ends, fd, block);
    }
    free(block);
    return rc;
}

/* --- Checking one --- */

/* Compares the whole file with its seal. */
static int seal_check(int fd, uint64_t file_bytes, const struct store_pace *pace, char *block)
{
    struct seal seal = {0};
    size_t got;
    int rc;
    while (seal.bytes < file_bytes - SEAL_BYTES) {
        const uint64_t left = file_bytes - SEAL_BYTES - seal.bytes;
        const size_t bytes = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        rc = read_block(fd, block, bytes, &got);
        if (rc != 0 || got < bytes) {
            return rc == 0 ? ERR_CORRUPT : rc;
        }
        seal_add(&seal, block, bytes);
        rc = pace ? pace->passed(pace->context, bytes) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    char expected[SEAL_BYTES], found[SEAL_BYTES];
    seal_encode(&seal, expected);
    rc = read_block(fd, found, sizeof found, &got);
    if (rc == 0 && (got < sizeof found || memcmp(found, expected, sizeof found) != 0)) {
        return ERR_CORRUPT;
    }
    return rc;
}

static int bytes_check(const char *path, const struct store_pace *pace, uint64_t *file_bytes,
                       char *why, size_t why_bytes)
{
    struct stat file;
    char *block = malloc(BLOCK_BYTES);
    const int fd = block ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    int rc = ERR_CORRUPT;
    if (!block) {
        rc = ERR_NO_MEMORY;
    } else if (fd < 0 || fstat(fd, &file) != 0) {
        rc = error_of(errno);
    } else if (file.st_size > SEAL_BYTES) {
        *file_bytes = (uint64_t)file.st_size;
        rc = seal_check(fd, *file_bytes, pace, block);
    }
    if (rc == ERR_CORRUPT) {
        snprintf(why, why_bytes, "%s is not a whole copy: its bytes are not those of its seal",
                 path);
    } else if (rc != 0) {
        snprintf(why, why_bytes, "%s: %s", path,
                 rc == ERR_NO_MEMORY ? "out of memory"
                 : rc == ERR_BUSY    ? "it was not read to its end"
                                     : strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(block);
    return rc;
}

static int records_check(struct store_txn *reader, const struct store_pace *pace,
                         struct store_state *state)
{
    uint64_t digest, records;
    int rc = store_reader_renew(reader);
    if (rc == 0) {
        rc = store_digest_recompute(reader, pace, &digest, &records);
    }
    if (rc == 0) {
        *state = *store_state(reader);
        rc = digest == state->digest && records == state->records ? 0 : ERR_CORRUPT;
    }
    return rc;
}

int store_copy_check(const char *path, const struct store_pace *pace, struct store_state *state,
                     char *why, size_t why_bytes)
{
    uint64_t file_bytes = 0;
    int rc = bytes_check(path, pace, &file_bytes, why, why_bytes);
    if (rc != 0) {
        return rc;
    }
    const struct store_options o = {
        .path = path,
        .map_bytes = (size_t)file_bytes,
        .readers_max = 1,
        .read_only = true,
    };
    struct store *s;
    rc = store_open(&s, &o, why, why_bytes);
    if (rc != 0) {
        return rc;
    }
    struct store_txn *reader = NULL;
    rc = store_reader_create(s, &reader);
    if (rc == 0) {
        rc = records_check(reader, pace, state);
    }
    if (rc != 0) {
        snprintf(why, why_bytes, "%s: %s", path,
                 rc == ERR_CORRUPT ? "its records are not those that its digest and number are of"
                                   : err_info(rc)->sentence);
    }
    store_reader_destroy(reader);
    store_close(s);
    return rc;
}

int store_copy_seal(int fd, uint64_t *seal)
{
    struct stat file;
    char found[SEAL_BYTES];
    if (fstat(fd, &file) != 0)
        return error_of(errno);
    if (file.st_size <= SEAL_BYTES ||
        pread(fd, found, sizeof found, file.st_size - SEAL_BYTES) != SEAL_BYTES ||
        memcmp(found, seal_word, sizeof seal_word) != 0)
        return ERR_CORRUPT;
    *seal = get_u64_be(found + 16);
    return 0;
}
