/* A growing byte buffer with a ceiling and a sticky failure, so that writers append freely and
 * check once. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/*
 * Zero is an empty buffer without a ceiling. An append that finds no memory, or would pass
 * bytes_max, appends nothing and sets `failed`; every later append is then ignored, so that what is
 * there is never a text with a hole. Not for two threads at once.
 */
struct buf {
    char *at;
    size_t bytes;     /* in use */
    size_t size;      /* allocated */
    size_t bytes_max; /* 0: none */
    bool failed;
};

void buf_finish(struct buf *b); /* frees; the buffer is then zero but for its ceiling */

/* Room for `bytes` more: a pointer to where they go (then add to b->bytes), or NULL and b->failed.
 */
char *buf_room(struct buf *b, size_t bytes);

void buf_add(struct buf *b, const void *from, size_t bytes);
void buf_add_span(struct buf *b, struct span s);
void buf_add_text(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t value); /* decimal digits */
/* Needs room for one byte more than it appends. */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first bytes. */
void buf_consume(struct buf *b, size_t bytes);

/* Forgets content and failure; keeps the memory unless it is more than keep_bytes. */
void buf_reset(struct buf *b, size_t keep_bytes);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->at, b->bytes};
}

/* Writes decimal digits (at most 20, no NUL) and returns how many. */
size_t u64_digits(uint64_t value, char *to);

/* Reads a whole span of decimal digits without leading zeros; false where it is none or does not
 * fit. */
bool u64_parse(struct span digits, uint64_t *value);

#endif
