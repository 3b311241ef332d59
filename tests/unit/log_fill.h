/* A log of four segments with frames of all sizes, for tests that take something away from it. */
#ifndef LOG_FILL_H
#define LOG_FILL_H

#include "base/disk.h"
#include "support/log_case.h"

enum {
    SMALL = 100,                    /* one block */
    MEDIUM = DISK_BLOCK_BYTES,      /* two */
    LARGE = CASE_PAYLOAD_BYTES_MAX, /* three */
    FRAMES = 12,                    /* of `fill`, three in each segment */
    SEGMENTS = 4,
};

/* Where each frame of `fill` stands, and its size. A block is left over in the first and the third
 * segment. */
static const struct {
    uint64_t segment, block;
    size_t payload_bytes;
} layout[FRAMES] = {
    {1, 1, SMALL}, {1, 2, LARGE},  {1, 5, MEDIUM}, {2, 1, LARGE}, {2, 4, LARGE}, {2, 7, SMALL},
    {3, 1, SMALL}, {3, 2, MEDIUM}, {3, 4, LARGE},  {4, 1, LARGE}, {4, 4, SMALL}, {4, 5, MEDIUM},
};

static inline void opened(struct log_case *c, uint64_t from, uint64_t committed)
{
    int code = case_open(c, from, committed);
    if (code != 0)
        print_error("%d: %s\n", code, c->why);
    assert_int_equal(code, 0);
}

/* Frames of one to three entries in four segments, and perhaps a fifth that is prepared. */
static inline void fill(struct log_case *c, bool prepared)
{
    for (uint32_t i = 0; i < FRAMES; i++)
        case_append_frames(c, 1, layout[i].payload_bytes, i % 3 + 1);
    if (prepared)
        assert_int_equal(log_prepare(c->log), 0);
    assert_int_equal(log_bytes(c->log), (SEGMENTS + prepared) * CASE_SEGMENT_BYTES);
}

#endif
