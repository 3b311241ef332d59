/* A log under test, on the fake disk or on the real one in a folder of its own, and the frames that
 * it must give back. */
#ifndef TESTS_LOG_CASE_H
#define TESTS_LOG_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "log/log.h"
#include "support/disk_fake.h"

enum {
    CASE_FRAMES_MAX = 1024,
    CASE_SEGMENT_BYTES = 8 * DISK_BLOCK_BYTES,
    CASE_PAYLOAD_BYTES_MAX = 3 * DISK_BLOCK_BYTES - 48, /* with its head three whole blocks */
};

struct log_case {
    struct disk_fake *fake; /* NULL: the real disk */
    struct disk disk;
    char folder[64];
    struct log_options options;
    struct log *log;
    struct {
        struct log_position position;
        size_t payload_bytes;
    } frames[CASE_FRAMES_MAX];
    size_t count; /* acknowledged */
    bool flying;  /* frames[count] was handed to log_append and not acknowledged */
    struct log_frame *handle;
    size_t given;   /* by recovery, since case_open */
    size_t next;    /* frame that recovery must give next */
    bool wrong;     /* it gave another */
    char path[128]; /* of case_path */
    char why[512];
};

void case_begin(struct log_case *c, bool real, uint64_t seed);
void case_end(struct log_case *c); /* closes, and removes what is on the real disk */

/*
 * Opens the log. Where that gives 0 it asserts that exactly the acknowledged frames with an entry
 * >= from came back, and perhaps the flying one, which then counts as acknowledged.
 */
int case_open(struct log_case *c, uint64_t from, uint64_t committed);
void case_close(struct log_case *c);

/* Builds and appends the next frame; case_retry appends the same one again. */
int case_append(struct log_case *c, size_t payload_bytes, uint32_t entries);
int case_retry(struct log_case *c);
/* Appends, preparing segments as needed; asserts that all goes well. */
void case_append_frames(struct log_case *c, size_t count, size_t payload_bytes, uint32_t entries);

uint64_t case_last_index(const struct log_case *c);
/* "FOLDER/NUMBER.log"; good until the next call. */
const char *case_path(struct log_case *c, uint64_t number);

#endif
