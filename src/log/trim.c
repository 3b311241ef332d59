/*
 * Removes segments that nobody needs any more: the oldest of an open log, or all of a closed one.
 * Knows no frames.
 *
 * Recovery refuses a log with a gap, and a file system promises no order between two removals. So
 * they go one after another from one end, each durable before the next.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "log/inside.h"
#include "log/load.h"

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

/* Newest first, each durably. */
static int remove_named(const struct disk *disk, const char *folder, segment_naming *named,
                        int (*remove_one)(const struct disk *disk, const char *folder,
                                          uint64_t number))
{
    struct segment *list;
    size_t count;
    int code = segment_list(disk, folder, named, &list, &count);
    while (count-- > 0 && code == 0) {
        code = remove_one(disk, folder, list[count].number);
        if (code == ERR_NOT_FOUND)
            code = 0;
    }
    free(list);
    return code;
}

int log_remove_all(const struct disk *disk, const char *folder)
{
    /* What was removed by a process that was killed may come back, but not behind a gap. */
    int code = disk->sync_folder(disk->context, folder);
    if (code == 0)
        code = remove_named(disk, folder, segment_draft_named, segment_draft_remove);
    if (code == 0)
        code = remove_named(disk, folder, segment_named, segment_remove);
    return code == ERR_NOT_FOUND ? 0 : code;
}
