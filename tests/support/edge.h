/* Memory that ends where the next page may not be touched, so that a parser that reads a byte too
 * far is caught. Included behind cmocka.h. */
#ifndef SUPPORT_EDGE_H
#define SUPPORT_EDGE_H

#include <string.h>
#include <sys/mman.h>

#include "base/span.h"

enum { EDGE_BYTES = 256 * 1024 };

static char *edge; /* the page here may not be touched, those before it may */

static inline int map_edge(void **state)
{
    (void)state;
    char *at =
        mmap(NULL, EDGE_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + EDGE_BYTES, 4096, PROT_NONE) != 0)
        return -1;
    edge = at + EDGE_BYTES;
    return 0;
}

/* A copy that ends where the forbidden page begins. */
static inline struct span at_edge(const char *bytes, size_t n)
{
    assert_true(n <= EDGE_BYTES);
    memcpy(edge - n, bytes, n);
    return span(edge - n, n);
}

static inline void is_text(struct span s, const char *text)
{
    assert_non_null(s.at);
    assert_int_equal(s.bytes, strlen(text));
    assert_memory_equal(s.at, text, s.bytes);
}

#endif
