/*
 * Recovery of a log from any bytes: it gives only whole frames that stand there, in order; what it
 * refuses it leaves as it is; what it opens it opens again to the same, and can be added to. Then
 * what the open log does with those frames: it reads, cuts and trims them, and after a bit of them
 * has turned it gives none that was not written.
 *
 * Input: four bytes (bit 0: mend the checksums, bits 1 to 3: what is done after it was opened, bits
 * 4 to 7: at which frame; index asked for; index known to be committed; blocks of the first
 * segment), then for each block a count and so many bytes; zeros fill the block.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "log/log.h"
#include "support/disk_fake.h"

/* The format once more, on its own. */
enum {
    BLOCK = DISK_BLOCK_BYTES,
    BLOCKS_MAX = 24,
    HEAD_CRC = 12,
    HEAD_SERIAL = 32,
    FRAME_HEAD = 48,
    FRAME_CRC = 4,
    FRAME_SERIAL = 8,
    FRAME_BYTES = 16,
};
enum { MEND = 1, CUT = 2, TRIM = 4, DAMAGE = 8 }; /* of the first byte */
static const char *const paths[2] = {"log/0000000000000001.log", "log/0000000000000002.log"};

struct input {
    char at[BLOCKS_MAX * BLOCK];
    size_t blocks[2]; /* of each segment */
};

/* What recovery gave. */
struct given {
    const struct input *input; /* NULL: not compared */
    size_t segment, block;     /* where the next frame is looked for */
    uint64_t next_index;       /* 0: the first one */
    uint64_t frames, from;
    uint32_t crc;
    struct log_position positions[BLOCKS_MAX];
    size_t ends[BLOCKS_MAX]; /* of each frame's payload, in: */
    struct buf payloads;
};

static const char *segment_at(const struct input *in, size_t segment)
{
    return in->at + (segment == 0 ? 0 : in->blocks[0] * BLOCK);
}

/* The bytes of the frame's payload, where a frame's head stands and it would fit. */
static bool frame_like(const char *at, size_t left, size_t *payload_bytes)
{
    *payload_bytes = get_u32(at + FRAME_BYTES);
    return memcmp(at, "frme", 4) == 0 && *payload_bytes <= left - FRAME_HEAD;
}

static uint32_t frame_crc(const char *at, size_t payload_bytes)
{
    return crc32c_by_table(0, at + FRAME_SERIAL, FRAME_HEAD - FRAME_SERIAL + payload_bytes);
}

static void mend(struct input *in)
{
    for (size_t s = 0; s < 2; s++) {
        char *at = (char *)segment_at(in, s);
        if (in->blocks[s] == 0)
            continue;
        put_u32(at + HEAD_CRC, 0);
        if (memcmp(at, "notedlog", 8) == 0)
            put_u32(at + HEAD_CRC, crc32c_by_table(0, at, BLOCK));
        for (size_t b = 1; b < in->blocks[s]; b++) {
            size_t payload_bytes;
            if (frame_like(at + b * BLOCK, (in->blocks[s] - b) * BLOCK, &payload_bytes))
                put_u32(at + b * BLOCK + FRAME_CRC, frame_crc(at + b * BLOCK, payload_bytes));
        }
    }
}

static void decode(struct input *in, const uint8_t *data, size_t size)
{
    memset(in, 0, sizeof *in);
    size_t blocks = 0;
    for (size_t i = 4; i < size && blocks < BLOCKS_MAX; blocks++) {
        size_t bytes = data[i++];
        if (bytes > size - i)
            bytes = size - i;
        if (bytes != 0)
            memcpy(in->at + blocks * BLOCK, data + i, bytes);
        i += bytes;
    }
    in->blocks[0] = data[3] < blocks ? data[3] : blocks;
    in->blocks[1] = blocks - in->blocks[0];
    if ((data[0] & MEND) != 0)
        mend(in);
}

static bool is_frame(const struct input *in, size_t segment, size_t block,
                     const struct log_position *p, struct span payload)
{
    const char *head = segment_at(in, segment), *at = head + block * BLOCK;
    size_t payload_bytes;
    return frame_like(at, (in->blocks[segment] - block) * BLOCK, &payload_bytes) &&
           payload_bytes == payload.bytes &&
           get_u64(at + FRAME_SERIAL) == get_u64(head + HEAD_SERIAL) &&
           frame_crc(at, payload_bytes) == get_u32(at + FRAME_CRC) &&
           get_u32(at + 20) == p->entries && get_u64(at + 24) == p->first_index &&
           get_u64(at + 32) == p->commit && get_u64(at + 40) == p->chain &&
           memcmp(at + FRAME_HEAD, payload.at, payload.bytes) == 0;
}

static int take(void *context, const struct log_position *p, struct span payload)
{
    struct given *g = context;
    assert(p->entries >= 1 && p->first_index + p->entries > p->first_index);
    assert(p->first_index + p->entries > g->from);
    assert(g->next_index == 0 || p->first_index == g->next_index);
    g->next_index = p->first_index + p->entries;
    assert(g->frames < BLOCKS_MAX);
    g->positions[g->frames] = *p;
    buf_add_span(&g->payloads, payload);
    g->ends[g->frames++] = g->payloads.bytes;
    const uint64_t fields[] = {p->first_index, p->entries, p->chain, p->commit, payload.bytes};
    g->crc = crc32c(crc32c(g->crc, fields, sizeof fields), payload.at, payload.bytes);
    for (; g->input != NULL && g->segment < 2; g->segment++, g->block = 1) {
        for (; g->block < g->input->blocks[g->segment]; g->block++) {
            if (is_frame(g->input, g->segment, g->block, p, payload)) {
                g->block++;
                return 0;
            }
        }
    }
    assert(g->input == NULL); /* it stands nowhere */
    return 0;
}

static bool unchanged(const struct disk_fake *f, const struct input *in)
{
    for (size_t s = 0; s < 2; s++) {
        size_t bytes = 0;
        const char *seen = disk_fake_look(f, paths[s], &bytes);
        if (bytes != in->blocks[s] * BLOCK ||
            (seen != NULL && memcmp(seen, segment_at(in, s), bytes) != 0))
            return false;
    }
    return true;
}

static void remember(const struct disk_fake *f, struct input *in)
{
    size_t bytes[2] = {0, 0}, at = 0;
    for (size_t s = 0; s < 2; s++) {
        const char *seen = disk_fake_look(f, paths[s], &bytes[s]);
        assert(at + bytes[s] <= sizeof in->at);
        if (seen != NULL)
            memcpy(in->at + at, seen, bytes[s]);
        at += bytes[s];
        in->blocks[s] = bytes[s] / BLOCK;
    }
}

static void append_one(struct log *log)
{
    struct log_position p = {.first_index = log_last_index(log) + 1, .entries = 2};
    while (!log_has_room(log, 5000))
        assert(log_prepare(log) == 0);
    char *to = log_frame_begin(log, 5000);
    assert(to != NULL);
    memset(to, 'f', 5000);
    assert(log_append(log, log_frame_end(log, &p, 5000)) == 0);
}

/* The log was opened: once more it is the same, and then it can be added to. */
static void open_again(struct disk_fake *f, const struct log_options *o, uint64_t from,
                       uint64_t committed, const struct given *first)
{
    struct log *log;
    char why[256];
    static struct input now;
    remember(f, &now);
    struct given second = {.from = from};
    assert(log_open(&log, o, from, committed, take, &second, why, sizeof why) == 0);
    assert(unchanged(f, &now));
    assert(second.frames == first->frames && second.crc == first->crc);
    buf_finish(&second.payloads);
    uint64_t last = log_last_index(log);
    if (last < UINT64_MAX / 2) {
        append_one(log);
        assert(log_last_index(log) == last + 2);
        log_close(log);
        struct given third = {.from = from};
        assert(log_open(&log, o, from, last + 2, take, &third, why, sizeof why) == 0);
        assert(third.frames == first->frames + 1 && log_last_index(log) == last + 2);
        buf_finish(&third.payloads);
    }
    log_close(log);
}

/* A survey goes through the entries in order, each in a frame or in a gap. */
static int survey_frame(void *context, const struct log_position *p, struct span payload)
{
    uint64_t *next = context;
    (void)payload;
    assert(p->first_index <= *next && p->first_index + p->entries > *next);
    *next = p->first_index + p->entries;
    return 0;
}

static void survey_gap(void *context, const struct log_gap *g)
{
    uint64_t *next = context;
    assert(g->first == *next && (g->last == 0 || g->last >= g->first));
    if (g->last != 0)
        *next = g->last + 1;
}

/* --- What an open log does with the frames that it has --- */

static uint64_t last_of(const struct log_position *p)
{
    return p->first_index + p->entries - 1;
}

static bool same_position(const struct log_position *a, const struct log_position *b)
{
    return a->first_index == b->first_index && a->entries == b->entries && a->chain == b->chain &&
           a->commit == b->commit;
}

/* Reads frames `begin` up to `end` of those given. False: the log calls them damaged, after a part
 * of them. */
static bool read_frames(struct log *log, const struct given *g, size_t begin, size_t end,
                        size_t bytes_max)
{
    struct log_reader *r;
    struct buf out = {0};
    int code = 0;
    size_t before = begin == 0 ? 0 : g->ends[begin - 1], frames = begin;
    assert(log_reader_create(&r, log) == 0);
    while (frames < end && code == 0) {
        uint64_t last = 0, index = g->positions[frames].first_index;
        code = log_read(r, index > g->from ? index : g->from, bytes_max, &out, &last);
        while (code == 0 && frames < end && last_of(&g->positions[frames]) <= last)
            frames++;
        assert(code != 0 || (frames > begin && last_of(&g->positions[frames - 1]) == last));
    }
    size_t given = frames == 0 ? 0 : g->ends[frames - 1];
    assert(span_eq(buf_span(&out), span(g->payloads.at + before, given - before)));
    assert(code == 0 || code == ERR_CORRUPT);
    buf_finish(&out);
    log_reader_destroy(r);
    return code == 0;
}

/* Cuts behind the first `keep` frames; not anywhere else. */
static void cut(struct log *log, const struct given *g, size_t keep)
{
    const struct log_position *p = &g->positions[keep - 1];
    uint64_t last = log_last_index(log);
    if (keep < g->frames)
        assert(log_cut(log, last_of(p), p->chain + 1) == ERR_BAD_REQUEST);
    if (p->entries > 1)
        assert(log_cut(log, last_of(p) - 1, p->chain) == ERR_BAD_REQUEST);
    assert(log_last_index(log) == last);
    assert(log_cut(log, last_of(p), p->chain) == 0);
    assert(log_last_index(log) == last_of(p) && log_last_chain(log) == p->chain);
    assert(read_frames(log, g, 0, keep, 1));
}

/* Trims up to a frame; returns the first one that is still whole. */
static size_t trim(struct log *log, const struct given *g, size_t up_to)
{
    uint64_t index = last_of(&g->positions[up_to]), before = log_first_index(log);
    assert(log_trim(log, index) == 0);
    uint64_t first = log_first_index(log);
    assert(first >= before && first <= index + 1);
    size_t begin = 0;
    while (begin < g->frames && g->positions[begin].first_index < first)
        begin++;
    assert(begin == 0 || begin == g->frames || g->positions[begin].first_index == first);
    assert(read_frames(log, g, begin, g->frames, 3 * BLOCK));
    return begin;
}

/* Recovery of what is left gives frames from `begin` on, up to `end` or, damaged, fewer. */
static void recover_left(const struct log_options *o, const struct given *g, size_t begin,
                         size_t end, bool damaged)
{
    char why[256];
    struct log *log;
    if (begin == end)
        return;
    uint64_t index = g->positions[begin].first_index;
    struct given left = {.from = index > g->from ? index : g->from};
    int code = log_open(&log, o, left.from, 0, take, &left, why, sizeof why);
    assert(damaged ? code == 0 || code == ERR_CORRUPT || code == ERR_NEWER : code == 0);
    if (code == 0)
        log_close(log);
    assert(damaged ? left.frames <= end - begin : left.frames == end - begin);
    for (size_t i = 0; i < left.frames; i++)
        assert(same_position(&left.positions[i], &g->positions[begin + i]));
    size_t before = begin == 0 ? 0 : g->ends[begin - 1];
    assert(left.payloads.bytes <= g->payloads.bytes - before &&
           (left.payloads.bytes == 0 ||
            memcmp(left.payloads.at, g->payloads.at + before, left.payloads.bytes) == 0));
    buf_finish(&left.payloads);
}

static void flip_one(struct disk_fake *f, unsigned place)
{
    size_t bytes;
    const char *path = paths[place % 2];
    if (disk_fake_look(f, path, &bytes) != NULL && bytes > BLOCK)
        disk_fake_flip(f, path, BLOCK + place * 131 % (bytes - BLOCK),
                       (unsigned char)(1U << place % 8));
}

static void use(struct disk_fake *f, const struct log_options *o, struct log *log,
                const struct given *g, unsigned how, unsigned place)
{
    size_t begin = 0, end = g->frames;
    bool damage = (how & DAMAGE) != 0;
    assert(read_frames(log, g, 0, end, 1) && read_frames(log, g, 0, end, SIZE_MAX));
    if ((how & CUT) != 0) {
        end = 1 + (how >> 4) % end;
        cut(log, g, end);
    }
    if ((how & TRIM) != 0 && end == g->frames)
        begin = trim(log, g, (how >> 4) % end);
    if (damage) {
        flip_one(f, place);
        read_frames(log, g, begin, end, 1);
    }
    log_close(log);
    recover_left(o, g, begin, end, damage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct input in;
    if (size < 4)
        return 0;
    decode(&in, data, size);
    struct disk_fake *f = disk_fake_create(1);
    struct disk disk = disk_fake_disk(f);
    assert(disk.make_folder(f, "log") == 0);
    for (size_t s = 0; s < 2; s++)
        if (in.blocks[s] != 0)
            disk_fake_put(f, paths[s], segment_at(&in, s), in.blocks[s] * BLOCK);
    struct log_options o = {
        .disk = &disk,
        .folder = "log",
        .segment_bytes = 4 * BLOCK,
        .payload_bytes_max = 2 * BLOCK,
        .seed = 3,
    };
    uint64_t from = data[1] == 0 ? 1 : data[1], committed = data[2];
    struct log *log;
    char why[256];
    struct given first = {.input = &in, .block = 1, .from = from};
    int code = log_open(&log, &o, from, committed, take, &first, why, sizeof why);
    if (code == 0) {
        uint64_t last = log_last_index(log);
        assert(last >= committed && last >= from - 1);
        assert(first.frames == 0 ? last == from - 1 : last == first.next_index - 1);
        if ((data[0] & (CUT | TRIM | DAMAGE)) != 0 && first.frames != 0) {
            use(f, &o, log, &first, data[0], (unsigned)(size * 7 + data[size - 1]));
        } else {
            log_close(log);
            open_again(f, &o, from, committed, &first);
        }
    } else {
        assert((code == ERR_CORRUPT || code == ERR_NEWER) && why[0] != 0);
        uint64_t next = from;
        assert(log_survey(&disk, "log", from, survey_frame, survey_gap, &next) == 0);
        assert(unchanged(f, &in));
    }
    buf_finish(&first.payloads);
    disk_fake_destroy(f);
    return 0;
}
