/* Recovery: which segments there are, and what stands in them up to which end. Writes nothing. */
#include "log/recover.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rules.h"
#include "log/frame.h"
#include "log/load.h"

#define ADVICE "restore this server's data directory from a copy; nothing was changed"

/* What it works with, beyond what it tells. */
struct work {
    struct recovery *r;
    struct segment *segments; /* by number; of a prepared one only number and bytes */
    size_t count;
    size_t used;                    /* those in use: all but a prepared one at the end */
    struct segment_content content; /* of the segment at hand */
    bool damaged; /* what follows the segments in use is not what it should be; `why` says it */
    int stopped;  /* what `frame` returned */
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct work *w, const char *format,
                                                        ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->r->why, w->r->why_bytes, format, args);
    va_end(args);
    return ERR_CORRUPT;
}

/* The same, naming a place. */
static int refuse_at(const struct work *w, uint64_t number, uint64_t byte, const char *what)
{
    return refuse(w, "%s/%016" PRIx64 ".log, byte %" PRIu64 ": %s: " ADVICE, w->r->folder, number,
                  byte, what);
}

static int list(struct work *w)
{
    int code = segment_list(w->r->disk, w->r->folder, segment_named, &w->segments, &w->count);
    if (code == 0 && w->count != 0)
        w->r->newest = w->segments[w->count - 1].number;
    return code;
}

static bool zeros(const char *block)
{
    return block[0] == 0 && memcmp(block, block + 1, DISK_BLOCK_BYTES - 1) == 0;
}

/* The end of the last block between these two boundaries that is not zero; `from`: all are. */
static uint64_t content_end(const char *at, uint64_t from, uint64_t to)
{
    while (to > from && zeros(at + to - DISK_BLOCK_BYTES))
        to -= DISK_BLOCK_BYTES;
    return to;
}

static int load(struct work *w, struct segment *s, uint64_t bytes_max)
{
    return segment_load(w->r->disk, w->r->folder, s, bytes_max, &w->content);
}

/* A segment without a valid head: the last may be a prepared one. */
static int take_prepared(struct work *w, struct segment *s)
{
    int code = load(w, s, UINT64_MAX);
    if (code != 0)
        return code;
    if (w->content.unreadable != UINT64_MAX)
        return refuse_at(w, s->number, w->content.unreadable, "the disk cannot read this");
    if (w->used + 1 != w->count ||
        content_end(w->content.at, DISK_BLOCK_BYTES, s->bytes) != DISK_BLOCK_BYTES)
        return refuse_at(w, s->number, 0, "the head of this segment is damaged");
    if (w->used == 0 && s->number != 1)
        return refuse_at(w, s->number - 1, 0, "this segment is missing");
    w->r->prepared = true;
    w->r->prepared_bytes = s->bytes;
    return 0;
}

static int read_head(struct work *w, struct segment *s)
{
    uint64_t number = s->number;
    int code = load(w, s, DISK_BLOCK_BYTES);
    if (code != 0)
        return code;
    uint64_t bytes = s->bytes;
    if (bytes < 2 * DISK_BLOCK_BYTES || bytes % DISK_BLOCK_BYTES != 0)
        return refuse_at(w, number, bytes, "the file ends here, where no segment does");
    w->r->bytes += bytes;
    uint32_t version;
    code = segment_read(w->content.at, s, &version);
    if (code == ERR_CORRUPT)
        return take_prepared(w, s);
    if (code == ERR_NEWER) {
        refuse(w,
               "%s/%016" PRIx64 ".log, byte 8: its format is version %" PRIu32
               ", newer than this program knows: start a newer program; nothing was changed",
               w->r->folder, number, version);
        return ERR_NEWER;
    }
    if (s->number != number || s->first_index == 0)
        return refuse_at(w, number, 0, "this is the head of another segment");
    if (s->bytes != bytes)
        return refuse_at(w, number, bytes, "the file ends here, and not where its head says");
    if (w->used != 0 && s->first_index < w->segments[w->used - 1].first_index)
        return refuse_at(w, number, 0, "this segment begins before the one before it");
    w->used++;
    return 0;
}

/* All heads, up to the first that is not what it should be, or is not there. */
static int read_heads(struct work *w)
{
    int code = 0;
    for (size_t i = 0; i < w->count && code == 0; i++) {
        uint64_t expected = i == 0 ? w->segments[0].number : w->segments[i - 1].number + 1;
        code = w->segments[i].number == expected
                   ? read_head(w, &w->segments[i])
                   : refuse_at(w, expected, 0, "this segment is missing");
    }
    w->damaged = code == ERR_CORRUPT;
    return w->damaged ? 0 : code;
}

/* Follows the frames of segment i; the index and chain where they end are in r. */
static int follow(struct work *w, size_t i)
{
    struct recovery *r = w->r;
    const struct segment *s = &w->segments[i];
    bool last = i + 1 == w->used;
    uint64_t stop = last ? UINT64_MAX : s[1].first_index;
    struct frame f;
    r->next_index = s->first_index;
    r->chain = s->chain;
    r->last = 0;
    r->end = DISK_BLOCK_BYTES;
    while (r->next_index < stop &&
           frame_read(w->content.at + r->end, s->bytes - r->end, s->serial, &f)) {
        const struct log_position *p = &f.position;
        if (p->first_index != r->next_index || p->entries == 0 ||
            p->entries > stop - r->next_index || p->commit >= p->first_index + p->entries)
            return refuse_at(w, s->number, r->end, "this frame is out of its order");
        r->last = r->end;
        r->end += f.bytes;
        r->next_index += p->entries;
        r->chain = p->chain;
        if (r->next_index > r->from && (w->stopped = r->frame(r->context, p, f.payload)) != 0)
            return w->stopped;
    }
    /* It may be a write that was torn, but a disk that fails is none to go on with (S11). */
    if (RULE(S12) && w->content.unreadable != UINT64_MAX)
        return refuse_at(w, s->number, w->content.unreadable, "the disk cannot read this");
    if (!last && (r->next_index != stop || r->chain != s[1].chain))
        return refuse_at(w, s->number, r->end, "a frame is damaged, and later segments follow");
    /* Even the beginning of a frame behind the end is proof: it was written only after all before
     * it was durable. Clients cannot forge one, since they never learn the serial. Without one, a
     * damaged last frame looks as a torn one does, if nothing else tells that it was committed
     * (Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). */
    for (uint64_t at = r->end + DISK_BLOCK_BYTES; last && at < s->bytes; at += DISK_BLOCK_BYTES)
        if (RULE(S12) && frame_begins(w->content.at + at, s->serial))
            return refuse_at(w, s->number, r->end, "a frame is damaged, and later frames follow");
    return 0;
}

enum { NEWEST = 4 };

/* Follows all segments from the one that holds r->from on. */
static int follow_all(struct work *w)
{
    struct recovery *r = w->r;
    r->first_index = w->segments[0].first_index;
    if (r->from == 0)
        r->from = w->segments[w->used > NEWEST ? w->used - NEWEST : 0].first_index;
    if (r->first_index > r->from)
        return refuse(w,
                      "%s/%016" PRIx64 ".log, byte 0: the log begins with index %" PRIu64
                      ", but index %" PRIu64 " is needed: " ADVICE,
                      r->folder, w->segments[0].number, r->first_index, r->from);
    size_t i = w->used - 1;
    while (w->segments[i].first_index > r->from)
        i--;
    for (; i < w->used; i++) {
        int code = load(w, &w->segments[i], UINT64_MAX);
        if (code == 0)
            code = follow(w, i);
        if (code != 0)
            return code;
    }
    r->torn_end = content_end(w->content.at, r->end, w->segments[w->used - 1].bytes);
    return 0;
}

/* Whether all is there that is known to be committed. */
static int reaches(const struct work *w)
{
    const struct recovery *r = w->r;
    uint64_t needed = r->committed < r->from - 1 ? r->from - 1 : r->committed;
    if (r->first_index > r->from && w->used == 0)
        return refuse(w,
                      "%s has no entries and is to begin with index %" PRIu64 ", but index %" PRIu64
                      " is needed: " ADVICE,
                      r->folder, r->first_index, r->from);
    if (!RULE(S12) || r->next_index - 1 >= needed)
        return 0;
    if (w->used == 0)
        return refuse(w,
                      "%s has no entries, but index %" PRIu64 " is known to be committed: " ADVICE,
                      r->folder, needed);
    return refuse(w,
                  "%s/%016" PRIx64 ".log, byte %" PRIu64 ": the log ends with index %" PRIu64
                  ", but index %" PRIu64 " is known to be committed: " ADVICE,
                  r->folder, w->segments[w->used - 1].number, r->end, r->next_index - 1, needed);
}

/* Also of a log that is damaged further behind the frames before that are given. */
static int run(struct work *w)
{
    int code = list(w);
    if (code == 0)
        code = read_heads(w);
    if (code == 0 && w->used != 0)
        code = follow_all(w);
    if (code == 0 && w->damaged)
        return ERR_CORRUPT;
    if (code == 0 && w->r->from == 0)
        w->r->from = w->r->first_index;
    return code == 0 ? reaches(w) : code;
}

int recovery_run(struct recovery *r)
{
    struct work w = {.r = r};
    r->first_index = r->next_index = r->empty_index;
    r->chain = r->empty_chain;
    snprintf(r->why, r->why_bytes, "%s", "");
    int code = run(&w);
    if (code != 0 && code != ERR_CORRUPT && code != ERR_NEWER && w.stopped == 0)
        snprintf(r->why, r->why_bytes, "%s cannot be read: %s; nothing was changed", r->folder,
                 err_info(code)->sentence);
    if (code == 0) {
        r->used = w.segments;
        r->used_count = w.used;
        r->used_room = w.count;
        r->content = w.used != 0 ? w.content.at : NULL;
    } else {
        free(w.segments);
    }
    if (r->content == NULL)
        free(w.content.at);
    return code;
}
