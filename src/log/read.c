/* Reads the durable part of the log beside the thread that appends to it. Writes nothing, and knows
 * no payload. */
#include <stdlib.h>

#include "base/err.h"
#include "log/inside.h"
#include "log/walk.h"

struct log_reader {
    struct log *log;
    struct walk walk; /* stands behind the last frame given; closed: nowhere yet */
    uint64_t cuts;    /* of the log when it got there */
};

/* What one call gives. */
struct order {
    uint64_t index; /* the first entry that is still wanted */
    size_t bytes_max;
    struct buf *to;
    size_t given;   /* bytes so far */
    uint64_t *last; /* entry given so far; 0: none */
    bool full;
};

/* Of the log, at one moment. */
struct view {
    struct segment segment; /* that holds the entry asked for */
    uint64_t segment_last;  /* durable entry of it */
    uint64_t last;          /* durable entry of all */
};

int log_reader_create(struct log_reader **r, struct log *log)
{
    struct log_reader *made = calloc(1, sizeof *made);
    if (made == NULL)
        return ERR_NO_MEMORY;
    made->log = log;
    made->walk.disk = &log->disk;
    *r = made;
    return 0;
}

void log_reader_destroy(struct log_reader *r)
{
    if (r != NULL)
        walk_close(&r->walk);
    free(r);
}

static uint64_t cuts_now(const struct log *log)
{
    log_lock(log);
    uint64_t cuts = log->cuts;
    log_unlock(log);
    return cuts;
}

/* Whether this entry was trimmed. */
static bool is_gone(const struct log *log, uint64_t index)
{
    return index < log_first_index(log);
}

static int look(const struct log *log, uint64_t index, struct view *v)
{
    log_lock(log);
    v->last = log->last_index;
    bool there = index >= log->first_index && index <= v->last;
    if (there) {
        size_t i = log_segment_of(log, index);
        v->segment = log->segments[i];
        v->segment_last = v->last;
        if (i + 1 < log->segments_count && log->segments[i + 1].first_index <= v->last)
            v->segment_last = log->segments[i + 1].first_index - 1;
    }
    log_unlock(log);
    return there ? 0 : ERR_NOT_FOUND;
}

/* Stands at a frame of this segment that begins at or below `index`: where it stands now, if it
 * can, since who reads in order must not begin anew. */
static int stand(struct log_reader *r, const struct segment *s, uint64_t index)
{
    struct walk *w = &r->walk;
    if (w->file != NULL && w->segment.number == s->number) {
        if (w->next > index)
            walk_rewind(w);
        return 0;
    }
    walk_close(w);
    int code = walk_open(w, r->log->folder, s);
    return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
}

/* Gives the frame at which the walk stands. */
static int give_frame(const struct walk *w, const char *head, const struct frame *f,
                      struct order *o)
{
    size_t bytes = f->payload.bytes, got;
    char *at = buf_room(o->to, bytes);
    if (at == NULL)
        return ERR_NO_MEMORY;
    int code = w->disk->read(w->file, w->at + FRAME_HEAD_BYTES, at, bytes, &got);
    if (code != 0)
        return code;
    if (got != bytes || !frame_whole(head, span(at, bytes)))
        return ERR_CORRUPT;
    o->to->bytes += bytes;
    o->given += bytes;
    *o->last = f->position.first_index + f->position.entries - 1;
    o->full = o->given >= o->bytes_max;
    return 0;
}

/* Gives the frames of the segment at hand, up to entry `last`. */
static int give_segment(struct walk *w, uint64_t last, struct order *o)
{
    char head[FRAME_HEAD_BYTES];
    struct frame f;
    while (w->next <= last && !o->full) {
        int code = walk_peek(w, last, head, &f);
        if (code != 0)
            return code;
        if (*o->last != 0 && f.payload.bytes > o->bytes_max - o->given) {
            o->full = true;
            return 0;
        }
        if (o->index < w->next + f.position.entries)
            code = give_frame(w, head, &f, o);
        if (code != 0)
            return code;
        walk_pass(w, &f);
    }
    return 0;
}

static int give(struct log_reader *r, struct order *o)
{
    struct view v;
    do {
        int code = look(r->log, o->index, &v);
        if (code == 0)
            code = stand(r, &v.segment, o->index);
        if (code == 0)
            code = give_segment(&r->walk, v.segment_last, o);
        if (code != 0)
            return code;
        o->index = v.segment_last + 1;
    } while (!o->full && o->index <= v.last);
    return 0;
}

int log_read(struct log_reader *r, uint64_t index, size_t bytes_max, struct buf *to, uint64_t *last)
{
    size_t before = to->bytes;
    for (;;) {
        uint64_t cuts = cuts_now(r->log);
        if (r->cuts != cuts)
            walk_close(&r->walk);
        r->cuts = cuts;
        *last = 0;
        struct order o = {.index = index, .bytes_max = bytes_max, .to = to, .last = last};
        int code = give(r, &o);
        if (cuts_now(r->log) != cuts) {
            to->bytes = before;
            continue;
        }
        bool gone = code != 0 && is_gone(r->log, index);
        if (gone && code == ERR_CORRUPT)
            code = ERR_NOT_FOUND;
        /* Whoever waits at the end asks again and again: there the place is kept. */
        if (code != 0 && (gone || code != ERR_NOT_FOUND))
            walk_close(&r->walk);
        if (code == 0 || (*last != 0 && !to->failed))
            return 0;
        to->bytes = before;
        return code;
    }
}
