/* A piece of somebody else's memory: where it begins and how many bytes it has. Never owns, never
 * ends in NUL. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *at;
    size_t bytes;
};

/* For printf's "%.*s". */
#define SPAN_ARGS(s) (int)(s).bytes, (s).at

static inline struct span span(const char *at, size_t bytes)
{
    return (struct span){at, bytes};
}

static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return span_eq(a, span_of(text));
}

#endif
