/* One frame of the log as bytes in memory: sealed and checked. Knows no file and no segment. */
#ifndef LOG_FRAME_H
#define LOG_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "log/log.h"

enum { FRAME_HEAD_BYTES = 48 };

struct frame {
    struct log_position position;
    struct span payload;
    uint64_t bytes; /* what it takes in the segment */
};

/* What a frame takes in a segment: a multiple of DISK_BLOCK_BYTES. */
uint64_t frame_bytes(size_t payload_bytes);

/* Puts the head before the payload, which stands at `at` + FRAME_HEAD_BYTES, and zeros behind it:
 * `at` has room for frame_bytes. */
void frame_seal(char *at, uint64_t serial, const struct log_position *p, size_t payload_bytes);

/* Whether a frame of this segment life begins in this block; it need not be whole. */
bool frame_begins(const char *block, uint64_t serial);

/* Reads a head alone, of which nothing is proved yet: false where it is none of this serial, or its
 * frame would be longer than `left`. The payload is taken to follow the head. */
bool frame_peek(const char *head, uint64_t left, uint64_t serial, struct frame *f);

/* Whether head and payload, which need not stand together, are as they were sealed. */
bool frame_whole(const char *head, struct span payload);

/* False: no whole frame of this serial stands at `at`, where `left` bytes can be read. */
bool frame_read(const char *at, uint64_t left, uint64_t serial, struct frame *f);

#endif
