/* Bytes of HTTP as the tests feed them: always against a guarded page, and heads both whole and
 * byte by byte, checked to come out alike. Included behind cmocka.h. */
#ifndef TESTS_HTTP_HEADS_H
#define TESTS_HTTP_HEADS_H

#include <stdio.h>

#include "base/err.h"
#include "front/http_head.h"
#include "guard.h"

enum { HEAD_MAX = 16 * 1024, URI_MAX = 2 * 1024 };

static struct guard guard;

static inline int map_guard(void **state)
{
    (void)state;
    guard = guard_create(256 * 1024);
    return 0;
}

static inline int unmap_guard(void **state)
{
    (void)state;
    guard_destroy(&guard);
    return 0;
}

static inline struct span at_edge(const char *bytes, size_t n)
{
    return guard_copy(&guard, span(bytes, n));
}

static inline void is_text(struct span s, const char *text)
{
    assert_non_null(s.at);
    assert_int_equal(s.bytes, strlen(text));
    assert_memory_equal(s.at, text, s.bytes);
}

struct outcome {
    long bytes;
    struct http_head head;
    const char *why;
};

static inline struct outcome parse_whole(const char *bytes, size_t n, size_t head_max,
                                         size_t uri_max)
{
    struct outcome o = {.why = "never set"};
    size_t scanned = 0;
    o.bytes = http_head_parse(at_edge(bytes, n), head_max, uri_max, &scanned, &o.head, &o.why);
    assert_true((o.bytes < 0) == (o.why != NULL));
    return o;
}

/* Byte by byte, as a slow client sends: the first answer that is not "need more". */
static inline struct outcome parse_slowly(const char *bytes, size_t n, size_t head_max,
                                          size_t uri_max)
{
    struct outcome o = {.why = NULL};
    size_t scanned = 0;
    for (size_t have = 0; have <= n && o.bytes == 0; have++) {
        o.bytes =
            http_head_parse(at_edge(bytes, have), head_max, uri_max, &scanned, &o.head, &o.why);
        assert_true(scanned <= have);
    }
    return o;
}

static inline void refused_bytes(int err, const char *bytes, size_t n)
{
    struct outcome whole = parse_whole(bytes, n, HEAD_MAX, URI_MAX);
    if (whole.bytes != err)
        print_error("%ld, not %d, for: %.*s\n", whole.bytes, err, (int)n, bytes);
    assert_int_equal(whole.bytes, err);
    struct outcome slow = parse_slowly(bytes, n, HEAD_MAX, URI_MAX);
    assert_int_equal(slow.bytes, err);
}

static inline void refused(int err, const char *text)
{
    refused_bytes(err, text, strlen(text));
}

static inline void bad(const char *text)
{
    refused(ERR_BAD_REQUEST, text);
}

/* A request with these lines (each with its CRLF) behind a good start is refused. */
static inline void bad_lines(const char *text)
{
    char head[1024];
    snprintf(head, sizeof head, "POST /notes HTTP/1.1\r\nHost: a\r\n%s\r\n", text);
    bad(head);
}

/* Accepted, whole and byte by byte, with more behind it untouched. Spans point to static memory. */
static inline struct http_head accepted(const char *text)
{
    size_t n = strlen(text);
    size_t scanned = 0;
    struct outcome o = {.why = NULL};
    for (size_t have = 0; have < n; have++) {
        o.bytes =
            http_head_parse(at_edge(text, have), HEAD_MAX, URI_MAX, &scanned, &o.head, &o.why);
        if (o.bytes != 0)
            print_error("%ld (%s) after %zu bytes of: %s\n", o.bytes, o.why, have, text);
        assert_int_equal(o.bytes, 0);
    }
    o.bytes = http_head_parse(at_edge(text, n), HEAD_MAX, URI_MAX, &scanned, &o.head, &o.why);
    assert_int_equal(o.bytes, n);

    static char more[8 * 1024];
    snprintf(more, sizeof more, "%s{}GET / \n", text);
    scanned = 0;
    o.bytes = http_head_parse(span_of(more), HEAD_MAX, URI_MAX, &scanned, &o.head, &o.why);
    if (o.bytes < 0)
        print_error("%s: %s\n", o.why, text);
    assert_int_equal(o.bytes, n);
    assert_null(o.why);
    return o.head;
}

/* The same with these lines behind a good start. */
static inline struct http_head accepted_lines(const char *text)
{
    char head[1024];
    snprintf(head, sizeof head, "POST /notes HTTP/1.1\r\nHost: a\r\n%s\r\n", text);
    return accepted(head);
}

#endif
