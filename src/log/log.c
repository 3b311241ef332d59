/* The write-ahead log: appends frames to the segment in use, moves to the next, makes new ones.
 * Knows no payload; what stands on the disk at the start is recover.c's. */
#include "log/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rules.h"
#include "log/frame.h"
#include "log/inside.h"
#include "log/recover.h"
#include "log/segment.h"

void log_lock(const struct log *log)
{
    pthread_mutex_lock((pthread_mutex_t *)&log->lock);
}

void log_unlock(const struct log *log)
{
    pthread_mutex_unlock((pthread_mutex_t *)&log->lock);
}

size_t log_segment_of(const struct log *log, uint64_t index)
{
    size_t low = 0, high = log->segments_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle].first_index <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static struct log *create(const struct log_options *o)
{
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return NULL;
    pthread_mutex_init(&log->lock, NULL);
    pthread_mutex_init(&log->making, NULL);
    log->disk = *o->disk;
    log->folder = strdup(o->folder);
    log->head = aligned_alloc(DISK_BLOCK_BYTES, DISK_BLOCK_BYTES);
    log->segment_bytes = o->segment_bytes;
    log->payload_bytes_max = o->payload_bytes_max;
    log->random = o->seed;
    if (log->folder != NULL && log->head != NULL)
        return log;
    log_close(log);
    return NULL;
}

/* Room in the table for the segment that is prepared next, so that no append needs memory. */
static bool reserve(struct log *log)
{
    bool reserved = true;
    log_lock(log);
    if (log->segments_count == log->segments_room) {
        size_t room = log->segments_room == 0 ? 16 : log->segments_room * 2;
        struct segment *more = realloc(log->segments, room * sizeof *more);
        reserved = more != NULL;
        if (reserved) {
            log->segments = more;
            log->segments_room = room;
        }
    }
    log_unlock(log);
    return reserved;
}

/* Makes durable what a process that was killed may have left in a cache: the names, and zeros. */
static int settle(struct log *log)
{
    const struct disk *disk = &log->disk;
    int code = disk->make_folder(disk->context, log->folder);
    if (code == 0)
        code = disk_sync_parent(disk, log->folder);
    if (code == 0)
        code = disk->sync_folder(disk->context, log->folder);
    return code == 0 && log->file != NULL ? disk->sync(log->file) : code;
}

/* The prepared segment; thrown away where its size is not what is wanted now. */
static int take_prepared(struct log *log, const struct recovery *r)
{
    const struct disk *disk = &log->disk;
    if (r->prepared_bytes != log->segment_bytes) {
        log->number--;
        log->bytes -= r->prepared_bytes;
        return segment_remove(disk, log->folder, r->newest);
    }
    if (!reserve(log))
        return ERR_NO_MEMORY;
    return segment_open(disk, log->folder, r->newest, DISK_DIRECT, &log->next);
}

/* The write of the last frame (or of the head, where none stands behind it) may have failed, or its
 * process may have been killed in it. That it was read past the page cache shows that the disk has
 * it, not that it keeps it: it may stand in a cache of the disk, or of a virtual disk's host, that
 * failed to write it out, and a flush that comes after that succeeds and means nothing (Rebello et
 * al., USENIX ATC 2020). All before it is durable, since nothing is written before the write ahead
 * of it has succeeded (S11). So this one is written anew, the very bytes that were found whole, and
 * counts for what that write says. */
static int write_anew(const struct log *log, const struct recovery *r)
{
    return log->disk.write(log->file, r->last, r->content + r->last, (size_t)(r->end - r->last));
}

static int take_over(struct log *log, struct recovery *r)
{
    log->segments = r->used;
    log->segments_count = r->used_count;
    log->segments_room = r->used_room;
    r->used = NULL;
    log->first_index = r->first_index;
    log->last_index = r->next_index - 1;
    log->last_chain = r->chain;
    log->bytes = r->bytes;
    log->number = r->newest;
    int code = 0;
    if (log->segments_count != 0) {
        const struct segment *last = &log->segments[log->segments_count - 1];
        log->serial = last->serial;
        log->at = r->end;
        log->left = last->bytes - r->end;
        code = segment_open(&log->disk, log->folder, last->number, DISK_DIRECT, &log->file);
        if (code == 0)
            code = write_anew(log, r);
        if (code == 0)
            code = segment_zero(&log->disk, log->file, r->end, r->torn_end);
    }
    if (code == 0 && r->prepared)
        code = take_prepared(log, r);
    if (code == 0)
        code = settle(log);
    return code == 0 && log->file == NULL ? log_prepare(log) : code;
}

int log_open(struct log **log, const struct log_options *o, uint64_t from, uint64_t committed,
             log_frame_fn *frame, void *context, char *why, size_t why_bytes)
{
    assert(o->segment_bytes % DISK_BLOCK_BYTES == 0 && o->payload_bytes_max <= UINT32_MAX &&
           o->segment_bytes >= DISK_BLOCK_BYTES + frame_bytes(o->payload_bytes_max));
    assert(o->first_index != 0 || o->first_chain == 0);
    struct recovery r = {
        .disk = o->disk,
        .folder = o->folder,
        .from = from == 0 ? 1 : from,
        .committed = committed,
        .empty_index = o->first_index == 0 ? 1 : o->first_index,
        .empty_chain = o->first_chain,
        .frame = frame,
        .context = context,
        .why = why,
        .why_bytes = why_bytes,
    };
    int code = recovery_run(&r);
    if (code != 0)
        return code;
    struct log *l = create(o);
    code = l == NULL ? ERR_NO_MEMORY : take_over(l, &r);
    free(r.content);
    if (code == 0) {
        *log = l;
        return 0;
    }
    snprintf(why, why_bytes, "%s cannot be made ready: %s", o->folder, err_info(code)->sentence);
    free(r.used);
    log_close(l);
    return code;
}

int log_look(const struct disk *disk, const char *folder, uint64_t from, log_frame_fn *frame,
             void *context, struct log_ends *ends, char *why, size_t why_bytes)
{
    struct recovery r = {
        .disk = disk,
        .folder = folder,
        .from = from,
        .empty_index = 1,
        .frame = frame,
        .context = context,
        .why = why,
        .why_bytes = why_bytes,
    };
    int code = recovery_run(&r);
    if (code == 0 && r.used_count == 0) {
        snprintf(why, why_bytes, "%s has no entries", folder);
        code = ERR_NOT_FOUND;
    }
    if (code == 0)
        *ends = (struct log_ends){.first_index = r.first_index,
                                  .chain_before = r.used[0].chain,
                                  .last_index = r.next_index - 1,
                                  .last_chain = r.chain};
    free(r.used);
    free(r.content);
    return code;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    if (log->file != NULL)
        log->disk.close(log->file);
    if (log->next != NULL)
        log->disk.close(log->next);
    pthread_mutex_destroy(&log->making);
    pthread_mutex_destroy(&log->lock);
    free(log->segments);
    free(log->frames[0].at);
    free(log->frames[1].at);
    free(log->head);
    free(log->folder);
    free(log);
}

static uint64_t shared(const struct log *log, const uint64_t *value)
{
    log_lock(log);
    uint64_t v = *value;
    log_unlock(log);
    return v;
}

uint64_t log_first_index(const struct log *log)
{
    return shared(log, &log->first_index);
}

uint64_t log_last_index(const struct log *log)
{
    return shared(log, &log->last_index);
}

uint64_t log_last_chain(const struct log *log)
{
    return shared(log, &log->last_chain);
}

uint64_t log_bytes(const struct log *log)
{
    return shared(log, &log->bytes);
}

char *log_frame_begin(struct log *log, size_t bytes)
{
    struct log_frame *f = &log->frames[log->building];
    if (bytes > log->payload_bytes_max)
        return NULL;
    size_t room = (size_t)frame_bytes(bytes);
    if (room > f->room) {
        size_t most = (size_t)frame_bytes(log->payload_bytes_max);
        if (room < 2 * f->room)
            room = 2 * f->room < most ? 2 * f->room : most;
        char *at = aligned_alloc(DISK_BLOCK_BYTES, room);
        if (at == NULL)
            return NULL;
        if (f->room != 0)
            memcpy(at, f->at, f->room);
        free(f->at);
        f->at = at;
        f->room = room;
    }
    return f->at + FRAME_HEAD_BYTES;
}

/* Takes `bytes` from what is left, going on to the prepared segment where they do not fit. */
static bool take_room(const struct log *log, uint64_t bytes, uint64_t *left, bool *next)
{
    if (bytes > *left) {
        if (!*next)
            return false;
        *next = false;
        *left = log->segment_bytes - DISK_BLOCK_BYTES;
    }
    *left -= bytes;
    return true;
}

bool log_is_prepared(const struct log *log)
{
    log_lock(log);
    bool prepared = log->next != NULL;
    log_unlock(log);
    return prepared;
}

bool log_has_room(const struct log *log, size_t bytes)
{
    log_lock(log);
    uint64_t left = log->left;
    bool next = log->next != NULL;
    bool room = take_room(log, log->flying_bytes, &left, &next) &&
                take_room(log, frame_bytes(bytes), &left, &next);
    log_unlock(log);
    return room;
}

struct log_frame *log_frame_end(struct log *log, const struct log_position *p, size_t payload_bytes)
{
    struct log_frame *f = &log->frames[log->building];
    assert(p->entries != 0 && frame_bytes(payload_bytes) <= f->room);
    uint64_t last = p->first_index + p->entries - 1;
    f->position = *p;
    if (f->position.commit > last)
        f->position.commit = last;
    f->payload_bytes = payload_bytes;
    log->building ^= 1;
    log_lock(log);
    assert(!log->writing);
    log->flying_bytes = frame_bytes(payload_bytes);
    log_unlock(log);
    return f;
}

/* Puts the prepared segment into use. It stays prepared until its head is durable, so that never
 * two segments without a head follow the one in use. */
static int move_on(struct log *log)
{
    log_lock(log);
    struct disk_file *next = log->next;
    uint64_t number = log->number;
    log_unlock(log);
    if (next == NULL)
        return ERR_DISK_FULL;
    struct segment s = {
        .number = number,
        .bytes = log->segment_bytes,
        .serial = random_next(&log->random),
        .first_index = log->last_index + 1,
        .chain = log->last_chain,
    };
    segment_seal(log->head, &s);
    int code = log->disk.write(next, 0, log->head, DISK_BLOCK_BYTES);
    if (code != 0)
        return code;
    if (log->file != NULL)
        log->disk.close(log->file);
    log->file = next;
    log->serial = s.serial;
    log_lock(log);
    log->next = NULL;
    log->segments[log->segments_count++] = s;
    log->at = DISK_BLOCK_BYTES;
    log->left = s.bytes - DISK_BLOCK_BYTES;
    log_unlock(log);
    return 0;
}

static int write_frame(struct log *log, struct log_frame *f, uint64_t bytes)
{
    assert(f->position.first_index == log->last_index + 1);
    if (bytes > log->left) {
        int code = move_on(log);
        if (code != 0)
            return code;
    }
    frame_seal(f->at, log->serial, &f->position, f->payload_bytes);
    return log->disk.write(log->file, log->at, f->at, (size_t)bytes);
}

int log_append(struct log *log, struct log_frame *f)
{
    log_lock(log);
    bool failed = log->failed;
    log->writing = !failed;
    log_unlock(log);
    if (failed)
        return ERR_IO;
    uint64_t bytes = frame_bytes(f->payload_bytes);
    int code = write_frame(log, f, bytes);
    log_lock(log);
    log->writing = false;
    if (code == 0) {
        log->at += bytes;
        log->left -= bytes;
        log->flying_bytes = 0;
        log->last_index += f->position.entries;
        log->last_chain = f->position.chain;
    } else if (code != ERR_DISK_FULL) {
        log->failed = RULE(S11);
        code = ERR_IO;
    }
    log_unlock(log);
    return code;
}

static int prepare(struct log *log)
{
    log_lock(log);
    bool failed = log->failed, ready = log->next != NULL;
    uint64_t number = log->number + 1;
    log_unlock(log);
    if (failed || ready)
        return failed ? ERR_IO : 0;
    if (!reserve(log))
        return ERR_NO_MEMORY;
    struct disk_file *file;
    int code = segment_make(&log->disk, log->folder, number, log->segment_bytes, &file);
    log_lock(log);
    if (code == 0) {
        log->next = file;
        log->number = number;
        log->bytes += log->segment_bytes;
    } else if (code == ERR_IO) {
        log->failed = true;
    }
    log_unlock(log);
    return code;
}

int log_prepare(struct log *log)
{
    pthread_mutex_lock(&log->making);
    int code = prepare(log);
    pthread_mutex_unlock(&log->making);
    return code;
}
