/*
 * Recovery of a log from any bytes: it gives only whole frames that stand there, in order; what it
 * refuses it leaves as it is; what it opens it opens again to the same, and can be added to.
 *
 * Input: four bytes (bit 0: mend the checksums; index asked for; index known to be committed;
 * blocks of the first segment), then for each block a count and so many bytes; zeros fill the
 * block.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
    if ((data[0] & 1) != 0)
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
    g->frames++;
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
    uint64_t last = log_last_index(log);
    if (last < UINT64_MAX / 2) {
        append_one(log);
        assert(log_last_index(log) == last + 2);
        log_close(log);
        struct given third = {.from = from};
        assert(log_open(&log, o, from, last + 2, take, &third, why, sizeof why) == 0);
        assert(third.frames == first->frames + 1 && log_last_index(log) == last + 2);
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
        log_close(log);
        open_again(f, &o, from, committed, &first);
    } else {
        assert((code == ERR_CORRUPT || code == ERR_NEWER) && why[0] != 0);
        uint64_t next = from;
        assert(log_survey(&disk, "log", from, survey_frame, survey_gap, &next) == 0);
        assert(unchanged(f, &in));
    }
    disk_fake_destroy(f);
    return 0;
}
