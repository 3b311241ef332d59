/*
 * Cuts the end of the log off (rule S8), so that it can be recovered whenever the machine stops.
 * Knows no payload.
 *
 * Recovery takes the beginning of a frame that stands behind a broken one of the same serial as
 * proof of damage. So all is removed from the end backwards, each step durable before the next:
 * whole segments, the newest first, then frames, the last first. At any time the log then ends with
 * a whole frame or with one that is broken and has nothing behind it: a torn tail. For the same
 * reason it does not matter in which order the blocks of one frame go, since no payload can hold
 * what looks like a frame's beginning.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "log/inside.h"
#include "log/walk.h"

struct cut {
    struct log *log;
    uint64_t index, chain;
    size_t keep;            /* segments in use that stay */
    struct segment segment; /* the last of them */
    uint64_t last;          /* entry in it */
    bool in_use;            /* it is the one in use, so that no segment is removed */
    struct disk_file *file; /* if it is not: opened to be written, then log->file, and
                               the old one here; to be closed */
    uint64_t at;            /* where those of its frames that stay end */
    uint64_t end;           /* where the others end */
    uint64_t *frames;       /* where each frame between these two begins */
    size_t count, room;
};

static int remember(struct cut *c, uint64_t at)
{
    if (c->count == c->room) {
        size_t room = c->room == 0 ? 64 : c->room * 2;
        uint64_t *more = realloc(c->frames, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        c->frames = more;
        c->room = room;
    }
    c->frames[c->count++] = at;
    return 0;
}

/* Finds the boundary, and the frames behind it. */
static int follow(struct cut *c, struct walk *w)
{
    uint64_t chain = c->segment.chain;
    while (w->next <= c->last) {
        char head[FRAME_HEAD_BYTES];
        struct frame f;
        int code = walk_peek(w, c->last, head, &f);
        if (code == 0 && w->next <= c->index && w->next + f.position.entries - 1 > c->index)
            code = ERR_BAD_REQUEST;
        if (code == 0 && w->next > c->index)
            code = remember(c, w->at);
        if (code != 0)
            return code;
        if (w->next <= c->index)
            chain = f.position.chain;
        walk_pass(w, &f);
    }
    c->end = w->at;
    c->at = c->count == 0 ? c->end : c->frames[0];
    return chain == c->chain ? 0 : ERR_BAD_REQUEST;
}

/* Finds out what is to be done, and opens what is needed for it. Changes nothing. */
static int plan(struct cut *c)
{
    struct log *log = c->log;
    log_lock(log);
    if (c->index + 1 < log->first_index) { /* always so where the log is empty */
        log_unlock(log);
        return ERR_BAD_REQUEST;
    }
    size_t i = log_segment_of(log, c->index);
    c->keep = i + 1;
    c->segment = log->segments[i];
    c->in_use = c->keep == log->segments_count;
    c->last = c->in_use ? log->last_index : log->segments[c->keep].first_index - 1;
    log_unlock(log);
    struct walk w = {.disk = &log->disk};
    int code = walk_open(&w, log->folder, &c->segment);
    if (code == 0)
        code = follow(c, &w);
    walk_close(&w);
    if (code == 0 && !c->in_use)
        code = segment_open(&log->disk, log->folder, c->segment.number, DISK_DIRECT, &c->file);
    return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
}

/* From here on the log ends where it will end, for whoever reads it. */
static void announce(const struct cut *c)
{
    struct log *log = c->log;
    log_lock(log);
    log->cuts++;
    log->last_index = c->index;
    log->last_chain = c->chain;
    log_unlock(log);
}

static int remove_newest(struct log *log, uint64_t bytes)
{
    int code = segment_remove(&log->disk, log->folder, log->number);
    log_lock(log);
    log->number--;
    log->bytes -= bytes;
    log_unlock(log);
    return code;
}

/* The prepared one too: its number is not the next one any more. */
static int remove_prepared(struct log *log)
{
    log_lock(log);
    struct disk_file *next = log->next;
    log->next = NULL;
    log_unlock(log);
    if (next == NULL)
        return 0;
    log->disk.close(next);
    return remove_newest(log, log->segment_bytes);
}

/* Removes the segments behind the one that stays, which is then the one in use. */
static int remove_segments(struct cut *c)
{
    struct log *log = c->log;
    /* A frame that found the disk full, and was given up for one that went to the next segment, may
     * stand behind the last frame. */
    int code = segment_zero(&log->disk, c->file, c->end, c->segment.bytes);
    if (code == 0)
        code = remove_prepared(log);
    while (code == 0 && log->segments_count > c->keep) {
        log_lock(log);
        uint64_t bytes = log->segments[--log->segments_count].bytes;
        log_unlock(log);
        code = remove_newest(log, bytes);
    }
    struct disk_file *old = log->file;
    log->file = c->file;
    log->serial = c->segment.serial;
    c->file = old;
    return code;
}

/* Removes what `plan` found. */
static int carry_out(struct cut *c)
{
    struct log *log = c->log;
    announce(c);
    int code = c->in_use ? 0 : remove_segments(c);
    while (code == 0 && c->count != 0) {
        uint64_t from = c->frames[--c->count];
        code = segment_zero(&log->disk, log->file, from, c->end);
        c->end = from;
    }
    log_lock(log);
    log->at = c->at;
    log->left = c->segment.bytes - c->at;
    log->failed = code != 0;
    log_unlock(log);
    return code == 0 || code == ERR_DISK_FULL ? code : ERR_IO;
}

static int cut(struct cut *c)
{
    struct log *log = c->log;
    log_lock(log);
    assert(!log->writing && log->flying_bytes == 0);
    bool failed = log->failed, nothing = c->index >= log->last_index;
    log_unlock(log);
    if (failed || nothing)
        return failed ? ERR_IO : 0;
    int code = plan(c);
    if (code == 0)
        return carry_out(c);
    log_lock(log);
    log->failed = code == ERR_IO;
    log_unlock(log);
    return code;
}

int log_cut(struct log *log, uint64_t index, uint64_t chain)
{
    struct cut c = {.log = log, .index = index, .chain = chain};
    pthread_mutex_lock(&log->making);
    int code = cut(&c);
    pthread_mutex_unlock(&log->making);
    if (c.file != NULL)
        log->disk.close(c.file);
    free(c.frames);
    return code;
}
