/* Memory that ends at a page which may not be touched, so that a read behind the end is a crash. */
#ifndef TESTS_GUARD_H
#define TESTS_GUARD_H

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/span.h"

struct guard {
    char *at;
    size_t bytes; /* before the guarded page */
};

static inline struct guard guard_create(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guard g = {.bytes = (bytes / page + 1) * page};
    void *at =
        mmap(NULL, g.bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(at != MAP_FAILED);
    g.at = at;
    int err = mprotect(g.at + g.bytes, page, PROT_NONE);
    assert(err == 0);
    return g;
}

static inline void guard_destroy(struct guard *g)
{
    munmap(g->at, g->bytes + (size_t)sysconf(_SC_PAGESIZE));
}

/* A copy of `s` that ends where the guarded page begins; the next one takes its place. */
static inline struct span guard_copy(const struct guard *g, struct span s)
{
    assert(s.bytes <= g->bytes);
    char *to = g->at + g->bytes - s.bytes;
    if (s.bytes != 0)
        memcpy(to, s.at, s.bytes);
    return span(to, s.bytes);
}

#endif
