/* The chunked coding: decoded however it is cut, refused where its framing is bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_heads.h"

/* Decodes `bytes` in two pieces; the whole outcome in one number and a text. */
static long decode_cut(const char *bytes, size_t n, size_t cut, char *to, size_t *decoded,
                       struct http_chunks *c)
{
    *c = (struct http_chunks){0};
    size_t first, second = 0;
    long used = http_chunks_decode(c, at_edge(bytes, cut), to, &first);
    *decoded = first;
    if (used < 0 || c->done)
        return used;
    assert_int_equal(used, cut);
    long more = http_chunks_decode(c, at_edge(bytes + cut, n - cut), to + first, &second);
    *decoded += second;
    return more < 0 ? more : used + more;
}

static void chunks_are(const char *text, const char *body)
{
    size_t n = strlen(text);
    char with_more[512], to[512];
    snprintf(with_more, sizeof with_more, "%sGET / HTTP", text);
    for (size_t cut = 0; cut <= n; cut++) {
        struct http_chunks c;
        size_t decoded;
        assert_int_equal(decode_cut(with_more, strlen(with_more), cut, to, &decoded, &c), n);
        assert_true(c.done);
        is_text(span(to, decoded), body);
        assert_int_equal(decode_cut(text, cut, cut / 2, to, &decoded, &c), cut);
        assert_int_equal(c.done, cut == n);
    }
    struct http_chunks c = {0};
    size_t all = 0, decoded;
    for (size_t i = 0; i < n; i++) {
        assert_false(c.done);
        assert_int_equal(http_chunks_decode(&c, at_edge(text + i, 1), to + all, &decoded), 1);
        all += decoded;
    }
    assert_true(c.done);
    is_text(span(to, all), body);
    assert_int_equal(http_chunks_decode(&c, span("x", 1), to, &decoded), 0);
    assert_int_equal(decoded, 0);
}

static void chunks_bad_bytes(const char *bytes, size_t n)
{
    for (size_t cut = 0; cut <= n; cut++) {
        struct http_chunks c;
        char to[512];
        size_t decoded;
        long used = decode_cut(bytes, n, cut, to, &decoded, &c);
        if (used != ERR_BAD_REQUEST)
            print_error("%ld at cut %zu: %.*s\n", used, cut, (int)n, bytes);
        assert_int_equal(used, ERR_BAD_REQUEST);
        assert_int_equal(http_chunks_decode(&c, span("\r\n\r\n", 4), to, &decoded), used);
        assert_int_equal(http_chunks_decode(&c, span("0\r\n\r\n", 5), to, &decoded), used);
        assert_false(c.done);
    }
}

static void chunks_bad(const char *text)
{
    chunks_bad_bytes(text, strlen(text));
}

static void chunks_decode_however_they_are_cut(void **state)
{
    (void)state;
    chunks_are("0\r\n\r\n", "");
    chunks_are("5\r\nhello\r\n0\r\n\r\n", "hello");
    chunks_are("5\r\nhello\r\n1\r\n \r\n05\r\nworld\r\n000\r\n\r\n", "hello world");
    chunks_are("A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n0\r\n\r\n");
    chunks_are("00b\r\nhello world\r\n0\r\n\r\n", "hello world");
    chunks_are("1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", "abcdefghijklmnopqrstuvwxyz");
}

static void extensions_and_trailers_are_dropped(void **state)
{
    (void)state;
    chunks_are("5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n", "hello");
    chunks_are("5 \t;\ta\r\nhello\r\n0\r\n\r\n", "hello");
    chunks_are("5;\r\nhello\r\n0\r\nX-Sum: 5\r\nY:\tz\xff\r\n\r\n", "hello");
}

static void bad_chunk_framing_is_refused(void **state)
{
    (void)state;
    chunks_bad("\r\n");
    chunks_bad("x\r\n");
    chunks_bad(" 5\r\nhello\r\n");
    chunks_bad("5 \r\nhello\r\n");
    chunks_bad("5 5\r\nhello\r\n");
    chunks_bad("-5\r\nhello\r\n");
    chunks_bad("+5\r\nhello\r\n");
    chunks_bad("0x5\r\nhello\r\n");
    chunks_bad(";a\r\nhello\r\n");
    chunks_bad("5g\r\nhello\r\n");
    chunks_bad("5\r\nhelloo\r\n");
    chunks_bad("5\r\nhello0\r\n\r\n");
    chunks_bad("5\r\nhello\r\r\n");
    chunks_bad("5\r\nhello\r0\r\n");
    chunks_bad("5\rXhello\r\n");
    chunks_bad("5\r\nhelloX\n0\r\n\r\n");
    chunks_bad("5\r\nhello\rX0\r\n\r\n");
}

static void a_bare_lf_in_chunks_is_refused(void **state)
{
    (void)state;
    chunks_bad("5\nhello\r\n0\r\n\r\n");
    chunks_bad("5;a\nhello\r\n0\r\n\r\n");
    chunks_bad("5\r\nhello\n0\r\n\r\n");
    chunks_bad("0\n\r\n");
    chunks_bad("0\r\n\n");
    chunks_bad("0\r\nX: a\n\r\n");
    chunks_bad("0\r\nX: a\r\n\n");
    chunks_bad("0\r\n\rX");
    chunks_bad("0\r\nX: a\rb\r\n\r\n");
}

static void control_bytes_in_extensions_and_trailers_are_refused(void **state)
{
    (void)state;
    chunks_bad_bytes("5;\0\r\nhello\r\n", 13);
    chunks_bad_bytes("0\r\n\0\r\n\r\n", 8);
    chunks_bad("0\r\nX: \x7f\r\n\r\n");
}

static void a_chunk_size_that_overflows_is_refused(void **state)
{
    (void)state;
    struct http_chunks c = {0};
    size_t decoded;
    char to[64];
    assert_int_equal(http_chunks_decode(&c, span_of("ffffffffffffffff\r\nab"), to, &decoded), 20);
    is_text(span(to, decoded), "ab");
    assert_true(c.left == UINT64_MAX - 2);
    chunks_bad("10000000000000000\r\nab");
    chunks_bad("ffffffffffffffff0\r\nab");
}

/* One more byte than fits is refused; `before` and `byte` repeated are what counts. */
static void aside_limit(const char *before, char byte, size_t counted, const char *after)
{
    size_t start = strlen(before), rest = strlen(after);
    for (size_t extra = 0; extra < 2; extra++) {
        size_t repeated = 16 * 1024 - counted + extra, n = start + repeated + rest;
        char *text = malloc(n), *to = malloc(n);
        assert_non_null(text);
        assert_non_null(to);
        memcpy(text, before, start);
        memset(text + start, byte, repeated);
        memcpy(text + start + repeated, after, rest);
        struct http_chunks c = {0};
        size_t decoded;
        long used = http_chunks_decode(&c, span(text, n), to, &decoded);
        assert_int_equal(used, extra == 0 ? (long)n : ERR_BAD_REQUEST);
        assert_int_equal(c.done, extra == 0);
        free(text);
        free(to);
    }
}

static void what_is_dropped_is_bounded(void **state)
{
    (void)state;
    aside_limit("1;", 'e', 2, "\r\na\r\n0\r\n\r\n");          /* the ; and the last 0 */
    aside_limit("0\r\n", 't', 1, "\r\n\r\n");                 /* the 0 */
    aside_limit("", '0', 0, "\r\n\r\n");                      /* zeros alone */
    aside_limit("1;ab\r\nx\r\n0\r\nT: ", 't', 7, "\r\n\r\n"); /* together */
}

static void a_body_is_decoded_in_place(void **state)
{
    (void)state;
    char text[] = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    struct http_chunks c = {0};
    size_t decoded;
    assert_int_equal(http_chunks_decode(&c, span_of(text), text, &decoded), sizeof text - 1);
    is_text(span(text, decoded), "hello world");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_decode_however_they_are_cut),
        cmocka_unit_test(extensions_and_trailers_are_dropped),
        cmocka_unit_test(bad_chunk_framing_is_refused),
        cmocka_unit_test(a_bare_lf_in_chunks_is_refused),
        cmocka_unit_test(control_bytes_in_extensions_and_trailers_are_refused),
        cmocka_unit_test(a_chunk_size_that_overflows_is_refused),
        cmocka_unit_test(what_is_dropped_is_bounded),
        cmocka_unit_test(a_body_is_decoded_in_place),
    };
    return cmocka_run_group_tests(tests, map_guard, unmap_guard);
}
