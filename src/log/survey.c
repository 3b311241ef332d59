/* What a damaged log still has, and what it lacks. Writes nothing, and knows no payload. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "log/frame.h"
#include "log/load.h"
#include "log/log.h"

struct survey {
    const struct disk *disk;
    const char *folder;
    log_frame_fn *frame;
    log_gap_fn *gap;
    void *context;
    struct segment *segments;
    size_t count, first; /* the first one to be read */
    struct segment_content content;
    uint64_t next;       /* entry that should come */
    struct log_gap open; /* with last 0, while nothing behind it was found */
    bool is_open;
    uint64_t end_segment, end_byte; /* of the last frame */
};

static void open_gap(struct survey *s, enum log_gap_kind kind, uint64_t segment, uint64_t byte)
{
    if (!s->is_open)
        s->open = (struct log_gap){.segment = segment, .byte = byte, .first = s->next};
    if (!s->is_open)
        s->open.kind = kind;
    s->is_open = true;
}

/* An entry stands here: what lies between is lost. */
static void close_gap(struct survey *s, uint64_t index)
{
    if (index > s->next) {
        open_gap(s, GAP_DAMAGED, s->end_segment, s->end_byte);
        s->open.last = index - 1;
        s->gap(s->context, &s->open);
        s->next = index;
    }
    s->is_open = false;
}

static bool zeros(const char *block)
{
    return block[0] == 0 && memcmp(block, block + 1, DISK_BLOCK_BYTES - 1) == 0;
}

/* No frame can be read here. Zeros are what stands behind the last one. */
static void judge_block(struct survey *s, const struct segment *segment, uint64_t at)
{
    struct frame f = {.bytes = DISK_BLOCK_BYTES};
    const char *block = s->content.at + at;
    if (!frame_peek(block, segment->bytes - at, segment->serial, &f))
        f.bytes = DISK_BLOCK_BYTES;
    uint64_t bad = s->content.unreadable;
    if (bad >= at && bad - at < f.bytes)
        open_gap(s, GAP_UNREADABLE, segment->number, bad);
    else if (!zeros(block))
        open_gap(s, GAP_DAMAGED, segment->number, at);
}

static int take(struct survey *s, const struct frame *f)
{
    uint64_t end = f->position.first_index + f->position.entries;
    if (end <= s->next)
        return 0;
    close_gap(s, f->position.first_index);
    s->next = end;
    return s->frame(s->context, &f->position, f->payload);
}

static int follow(struct survey *s, const struct segment *segment)
{
    uint64_t at = DISK_BLOCK_BYTES;
    while (at < segment->bytes) {
        struct frame f;
        bool whole = frame_read(s->content.at + at, segment->bytes - at, segment->serial, &f) &&
                     f.position.entries != 0;
        if (!whole) {
            judge_block(s, segment, at);
            at += DISK_BLOCK_BYTES;
            continue;
        }
        at += f.bytes;
        int code = take(s, &f);
        if (code != 0)
            return code;
        s->end_segment = segment->number;
        s->end_byte = at;
    }
    return 0;
}

/* Whether it is a segment that was only made ready. */
static bool prepared(const struct survey *s, size_t i)
{
    if (i + 1 != s->count || s->content.unreadable != UINT64_MAX)
        return false;
    for (uint64_t at = DISK_BLOCK_BYTES; at + DISK_BLOCK_BYTES <= s->content.bytes;
         at += DISK_BLOCK_BYTES)
        if (!zeros(s->content.at + at))
            return false;
    return true;
}

static bool has_head(const struct survey *s, struct segment *segment)
{
    uint64_t number = segment->number, bytes = segment->bytes;
    uint32_t version;
    return bytes >= 2 * DISK_BLOCK_BYTES && bytes % DISK_BLOCK_BYTES == 0 &&
           segment_read(s->content.at, segment, &version) == 0 && segment->number == number &&
           segment->bytes == bytes && segment->first_index != 0;
}

static int look_at(struct survey *s, size_t i)
{
    struct segment segment = {.number = s->segments[i].number};
    if (i > s->first && segment.number != s->segments[i - 1].number + 1)
        open_gap(s, GAP_MISSING, s->segments[i - 1].number + 1, 0);
    int code = segment_load(s->disk, s->folder, &segment, UINT64_MAX, &s->content);
    if (code == ERR_IO)
        open_gap(s, GAP_UNREADABLE, segment.number, 0);
    if (code != 0)
        return code == ERR_IO ? 0 : code;
    if (has_head(s, &segment)) {
        if (s->end_segment == 0 && segment.first_index > s->next)
            open_gap(s, GAP_MISSING, segment.number - 1, 0);
        return follow(s, &segment);
    }
    if (!prepared(s, i))
        open_gap(s, s->content.unreadable == 0 ? GAP_UNREADABLE : GAP_DAMAGED,
                 s->segments[i].number, 0);
    return 0;
}

/* The last segment that is known to begin at or before the entry, or else the first there is. */
static int find_first(struct survey *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct segment segment = {.number = s->segments[i].number};
        int code = segment_load(s->disk, s->folder, &segment, DISK_BLOCK_BYTES, &s->content);
        if (code != 0 && code != ERR_IO)
            return code;
        if (code == 0 && has_head(s, &segment) && segment.first_index <= s->next)
            s->first = i;
    }
    return 0;
}

int log_survey(const struct disk *disk, const char *folder, uint64_t from, log_frame_fn *frame,
               log_gap_fn *gap, void *context)
{
    struct survey s = {.disk = disk,
                       .folder = folder,
                       .frame = frame,
                       .gap = gap,
                       .context = context,
                       .next = from == 0 ? 1 : from};
    int code = segment_list(disk, folder, segment_named, &s.segments, &s.count);
    if (code == 0)
        code = find_first(&s);
    for (size_t i = s.first; i < s.count && code == 0; i++)
        code = look_at(&s, i);
    if (code == 0 && s.is_open)
        gap(context, &s.open);
    free(s.segments);
    free(s.content.at);
    return code;
}

uint64_t log_folder_bytes(const struct disk *disk, const char *folder)
{
    struct segment *segments;
    size_t count;
    uint64_t sum = 0;
    if (segment_list(disk, folder, segment_named, &segments, &count) != 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        struct disk_file *file;
        uint64_t bytes = 0;
        if (segment_open(disk, folder, segments[i].number, DISK_READ_ONLY, &file) != 0)
            continue;
        if (disk->size(file, &bytes) == 0)
            sum += bytes;
        disk->close(file);
    }
    free(segments);
    return sum;
}
