/*
 * The file that a full copy is written into while it comes, copy.part, and the durable note beside
 * it (copy.0, copy.1) of what it is a part of and how far: so it goes on where it was after any end
 * of the process. By the helper's thread, but for part_load. Knows no message.
 */
#include <inttypes.h>

#include "base/err.h"
#include "base/stable.h"
#include "node/inside.h"

enum {
    NOTE_BYTES = 16 * 1024 * 1024, /* what comes is synced and noted so often, */
    NOTE_US = 250 * 1000,          /* and with less so often */
};

static const char *path_of(const struct node *n, const char *name, char to[PATH_BYTES_MAX])
{
    return data_dir_path(&n->dir, name, to);
}

static void close_part(struct node *n)
{
    if (n->part.file != NULL)
        n->o.disk->close(n->part.file);
    n->part.file = NULL;
}

/* The note first: it must never speak of another file. */
void part_forget(struct node *n)
{
    static const char *const names[] = {"copy.0", "copy.1", "copy.part"};
    char path[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    close_part(n);
    n->part.noted = (struct full_copy){0};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        disk->remove(disk->context, path_of(n, names[i], path));
}

static bool has_bytes(const struct node *n, uint64_t bytes)
{
    char path[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    struct disk_file *file;
    uint64_t there = 0;
    if (disk->open(disk->context, path_of(n, "copy.part", path), DISK_READ_ONLY, &file) != 0)
        return false;
    int rc = disk->size(file, &there);
    disk->close(file);
    return rc == 0 && there >= bytes;
}

void part_load(struct node *n)
{
    char path[PATH_BYTES_MAX], bytes[FULL_COPY_BYTES], why[256];
    size_t got = 0;
    struct full_copy p;
    int rc = stable_read(n->o.disk, path_of(n, "copy", path), bytes, sizeof bytes, &got, why,
                         sizeof why);
    if (!n->primary && rc == 0 && full_copy_decode(span(bytes, got), &p) == 0 &&
        has_bytes(n, p.got))
        n->copy.part = n->part.noted = p;
    else
        part_forget(n);
}

void part_finish(struct node *n)
{
    close_part(n);
}

/* Everything up to here is durable before the note says so. */
static int note(struct node *n, const struct full_copy *p)
{
    char path[PATH_BYTES_MAX], bytes[FULL_COPY_BYTES];
    int rc = n->o.disk->sync(n->part.file);
    if (rc != 0) {
        part_forget(n); /* the page cache would show what the disk does not have (S11) */
        return rc;
    }
    full_copy_encode(p, bytes);
    rc = stable_write(n->o.disk, path_of(n, "copy", path), bytes, sizeof bytes);
    if (rc != 0)
        return rc;
    n->part.noted = *p;
    n->part.unsynced = 0;
    n->part.noted_us = clock_mono_us(n->o.clock);
    return 0;
}

/* For what is still to come, and local storage and log that begin with it; the log that is here
 * goes. */
static int expect_space(struct node *n, struct help_job *job)
{
    char path[PATH_BYTES_MAX];
    uint64_t free_bytes = 0, total_bytes = 0, bytes = job->part.bytes;
    uint64_t needs = bytes - job->part.got + bytes + 2 * n->segment_bytes + n->reserve_bytes;
    int rc = n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes);
    free_bytes += log_bytes(n->log);
    if (n->suspect) /* that one is its spare one */
        free_bytes += log_folder_bytes(n->o.disk, path_of(n, "log", path));
    if (rc == 0 && free_bytes < needs) {
        buf_printf(&job->bytes,
                   "the disk has no space for its copy: %" PRIu64 " MB are needed, %" PRIu64
                   " MB are free",
                   needs / 1000000 + 1, free_bytes / 1000000);
        rc = ERR_DISK_FULL;
    }
    return rc;
}

/* What is behind the noted bytes is written over. */
static int open_part(struct node *n, bool anew)
{
    char path[PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    int rc = disk->open(disk->context, path_of(n, "copy.part", path), anew ? DISK_CREATE : 0,
                        &n->part.file);
    if (rc == 0 && anew)
        rc = disk->sync_folder(disk->context, n->dir.path);
    return rc;
}

static void begin(struct node *n, struct help_job *job)
{
    bool anew = job->part.got == 0;
    if (anew)
        part_forget(n);
    close_part(n);
    job->rc = expect_space(n, job);
    if (job->rc == 0)
        job->rc = open_part(n, anew);
    if (job->rc == 0)
        job->rc = note(n, &job->part);
}

static void add(struct node *n, struct help_job *job)
{
    struct span bytes = buf_span(&job->bytes);
    uint64_t offset = job->part.got - bytes.bytes;
    job->rc = n->part.file == NULL ? ERR_DISK_FULL /* what was before it could not be written */
                                   : n->o.disk->write(n->part.file, offset, bytes.at, bytes.bytes);
    n->part.unsynced += bytes.bytes;
    bool due = n->part.unsynced >= NOTE_BYTES || full_copy_whole(&job->part) ||
               clock_mono_us(n->o.clock) >= n->part.noted_us + NOTE_US;
    if (job->rc == 0 && due)
        job->rc = note(n, &job->part);
}

void part_do(struct node *n, struct help_job *job)
{
    if (job->kind == HELP_PART_FORGET)
        part_forget(n);
    else if (job->kind == HELP_PART_BEGIN)
        begin(n, job);
    else
        add(n, job);
    if (job->rc == 0)
        return;
    if (job->kind == HELP_PART_ADD || job->bytes.bytes == 0) {
        buf_consume(&job->bytes, job->bytes.bytes);
        buf_add_text(&job->bytes, job->rc == ERR_DISK_FULL
                                      ? "the disk has no space for its copy"
                                      : "its copy cannot be written here: look at the disk");
    }
    close_part(n); /* nothing is written behind a gap */
    job->part = n->part.noted;
}
