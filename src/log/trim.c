/*
 * Removes segments that nobody needs any more: the oldest of an open log, or all of a closed one.
 * Knows no frames.
 *
 * Recovery refuses a log with a gap, and a file system promises no order between two removals. So
 * they go one after another from one end, each durable before the next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "log/inside.h"

/* Takes the oldest segment from the log where all of it is at or below `index`: before its file
 * goes, so that a reader who misses the file finds its entry below the first. */
static bool take_oldest(struct log *log, uint64_t index, struct segment *s)
{
    log_lock(log);
    struct segment *all = log->segments;
    bool taken = log->segments_count > 1 && all[1].first_index - 1 <= index;
    if (taken) {
        *s = all[0];
        log->segments_count--;
        memmove(all, all + 1, log->segments_count * sizeof *all);
        log->first_index = all[0].first_index;
        log->bytes -= s->bytes;
    }
    log_unlock(log);
    return taken;
}

/* There is room for it: what was reserved for a prepared segment is beside it. */
static void put_back(struct log *log, const struct segment *s)
{
    log_lock(log);
    struct segment *all = log->segments;
    memmove(all + 1, all, log->segments_count * sizeof *all);
    all[0] = *s;
    log->segments_count++;
    log->first_index = s->first_index;
    log->bytes += s->bytes;
    log_unlock(log);
}

static int sync_names(struct log *log)
{
    int code = log->unsynced ? log->disk.sync_folder(log->disk.context, log->folder) : 0;
    if (code == 0)
        log->unsynced = false;
    return code;
}

/* Removes one segment, if there is one to be removed. */
static int trim_one(struct log *log, uint64_t index, bool *removed)
{
    struct segment s;
    *removed = false;
    log_lock(log);
    bool failed = log->failed;
    log_unlock(log);
    int code = failed ? ERR_IO : sync_names(log); /* of an earlier call that could not */
    if (code == 0 && take_oldest(log, index, &s)) {
        code = segment_unlink(&log->disk, log->folder, s.number);
        if (code == 0 || code == ERR_NOT_FOUND) {
            log->unsynced = *removed = true;
            code = sync_names(log);
        } else {
            put_back(log, &s);
        }
    }
    if (code == ERR_IO) {
        log_lock(log);
        log->failed = true;
        log_unlock(log);
    }
    return code;
}

int log_trim(struct log *log, uint64_t index)
{
    int code = 0;
    for (bool more = true; more && code == 0;) {
        /* Let go between two, since a cut may be waiting, and a client for it. */
        pthread_mutex_lock(&log->making);
        code = trim_one(log, index, &more);
        pthread_mutex_unlock(&log->making);
    }
    return code;
}

uint64_t log_index_beyond(const struct log *log, uint64_t bytes)
{
    uint64_t index = 0;
    log_lock(log);
    for (size_t i = log->segments_count; i-- > 0;) {
        const struct segment *s = &log->segments[i];
        if (s->bytes > bytes) {
            index = s->first_index - 1;
            break;
        }
        bytes -= s->bytes;
    }
    if (index != 0 && index < log->first_index)
        index = 0;
    log_unlock(log);
    return index;
}

struct file_name {
    char at[32];
};

struct names {
    struct file_name *names;
    size_t count, room;
};

static int add_name(void *arg, const char *name)
{
    struct names *n = arg;
    uint64_t number;
    if (!segment_named(name, &number) && !segment_draft_named(name))
        return 0;
    if (n->count == n->room) {
        size_t room = n->room == 0 ? 64 : n->room * 2;
        struct file_name *more = realloc(n->names, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        n->names = more;
        n->room = room;
    }
    snprintf(n->names[n->count].at, sizeof n->names->at, "%s", name);
    n->count++;
    return 0;
}

/* Their numbers have all the same digits. */
static int newest_first(const void *a, const void *b)
{
    const struct file_name *s = a, *t = b;
    return strcmp(t->at, s->at);
}

static int remove_file(const struct disk *disk, const char *folder, const struct file_name *name)
{
    size_t bytes = strlen(folder) + 1 + sizeof name->at;
    char *path = malloc(bytes);
    if (path == NULL)
        return ERR_NO_MEMORY;
    snprintf(path, bytes, "%s/%s", folder, name->at);
    int code = disk->remove(disk->context, path);
    free(path);
    return code == 0 || code == ERR_NOT_FOUND ? disk->sync_folder(disk->context, folder) : code;
}

int log_remove_all(const struct disk *disk, const char *folder)
{
    struct names n = {.names = NULL};
    int code = disk->list(disk->context, folder, add_name, &n);
    bool there = code != ERR_NOT_FOUND;
    /* What was removed by a process that was killed may come back, but not behind a gap. */
    if (code == 0)
        code = disk->sync_folder(disk->context, folder);
    if (n.count != 0)
        qsort(n.names, n.count, sizeof *n.names, newest_first);
    for (size_t i = 0; i < n.count && code == 0; i++)
        code = remove_file(disk, folder, &n.names[i]);
    free(n.names);
    return there ? code : 0;
}
