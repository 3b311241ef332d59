/*
 * Reading numbers and pieces off bytes from outside, one after another: nothing is read behind the
 * end, and a mistake sticks, so that readers take freely and look once. Knows no message.
 */
#ifndef REPL_CURSOR_H
#define REPL_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/span.h"

struct cursor {
    struct span rest;
    bool bad; /* more was taken than there was, or what was taken is wrong */
};

/* The next bytes; none, and `bad`, where there are fewer. */
static inline struct span take(struct cursor *c, size_t bytes)
{
    if (c->bad || bytes > c->rest.bytes) {
        c->bad = true;
        return span(NULL, 0);
    }
    struct span part = span(c->rest.at, bytes);
    if (bytes != 0)
        c->rest = span(c->rest.at + bytes, c->rest.bytes - bytes);
    return part;
}

/* Numbers are 0 after a mistake. */
static inline uint8_t take_u8(struct cursor *c)
{
    struct span s = take(c, 1);
    return s.bytes == 0 ? 0 : (uint8_t)s.at[0];
}

static inline uint32_t take_u32(struct cursor *c)
{
    struct span s = take(c, 4);
    return s.bytes == 0 ? 0 : get_u32(s.at);
}

static inline uint64_t take_u64(struct cursor *c)
{
    struct span s = take(c, 8);
    return s.bytes == 0 ? 0 : get_u64(s.at);
}

/* A byte that is 0 or 1. */
static inline bool take_bool(struct cursor *c)
{
    uint8_t byte = take_u8(c);
    c->bad = c->bad || byte > 1;
    return byte == 1;
}

static inline struct span take_rest(struct cursor *c)
{
    return take(c, c->rest.bytes);
}

static inline bool taken_whole(const struct cursor *c)
{
    return !c->bad && c->rest.bytes == 0;
}

#endif
