/* The chunked coding: the outcome does not depend on how the bytes are cut, a naive decoder agrees,
 * and what an encoder writes is decoded to what it was. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "front/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    long used; /* or the error */
    bool done;
    size_t bytes;
    char *body;
};

/* Fed in pieces of `piece` bytes; 0: all at once. */
static struct outcome decode(struct span input, size_t piece)
{
    struct http_chunks c = {0};
    struct outcome o = {.body = malloc(input.bytes + 1)};
    assert(o.body != NULL);
    size_t at = 0;
    do {
        size_t n = piece == 0 || piece > input.bytes - at ? input.bytes - at : piece, decoded;
        char *exact = malloc(n), *to = malloc(n);
        assert(exact != NULL && to != NULL);
        if (n != 0)
            memcpy(exact, input.at + at, n);
        long used = http_chunks_decode(&c, span(exact, n), to, &decoded);
        assert(used == ERR_BAD_REQUEST || (used >= 0 && (size_t)used <= n));
        assert(decoded <= n);
        if (decoded != 0)
            memcpy(o.body + o.bytes, to, decoded);
        free(exact);
        free(to);
        if (used < 0) {
            o.used = used;
            return o;
        }
        assert(c.done || (size_t)used == n);
        o.bytes += decoded;
        at += (size_t)used;
    } while (!c.done && at < input.bytes);
    o.used = (long)at;
    o.done = c.done;
    return o;
}

/* Reads a whole accepted body again, with the library's own number and line searches. */
static void check_naively(struct span input, const struct outcome *o)
{
    const char *at = input.at, *end = input.at + o->used;
    size_t bytes = 0;
    for (;;) {
        const char *crlf = memmem(at, (size_t)(end - at), "\r\n", 2);
        assert(crlf != NULL);
        char *behind;
        unsigned long size = strtoul(at, &behind, 16);
        assert(behind > at &&
               (*behind == '\r' || *behind == ';' || *behind == ' ' || *behind == '\t'));
        at = crlf + 2;
        if (size == 0)
            break;
        assert(size + 2 <= (size_t)(end - at));
        assert(bytes + size <= o->bytes && memcmp(o->body + bytes, at, size) == 0);
        bytes += size;
        at += size;
        assert(at[0] == '\r' && at[1] == '\n');
        at += 2;
    }
    assert(bytes == o->bytes);
    assert(end - at >= 2 && memcmp(end - 2, "\r\n", 2) == 0);
    assert(end - at == 2 || memcmp(end - 4, "\r\n\r\n", 4) == 0);
}

static void check_round_trip(const uint8_t *data, size_t size)
{
    struct buf coded = {0};
    for (size_t at = 0; at < size;) {
        size_t n = 1 + data[at] % 40;
        if (n > size - at)
            n = size - at;
        buf_printf(&coded, data[at] % 2 == 0 ? "%zx%s\r\n" : "%zX%s\r\n", n,
                   data[at] % 3 == 0 ? ";x=y" : "");
        buf_add(&coded, data + at, n);
        buf_add_text(&coded, "\r\n");
        at += n;
    }
    buf_add_text(&coded, size % 2 == 0 ? "0\r\n\r\n" : "0\r\nX: y\r\n\r\n");
    assert(!coded.failed);
    size_t whole = coded.bytes;
    buf_add_text(&coded, "GET");
    struct outcome o = decode(buf_span(&coded), 0);
    /* extensions of a long body may pass their limit */
    if (size < 4000) {
        assert(o.done && (size_t)o.used == whole);
        assert(o.bytes == size && (size == 0 || memcmp(o.body, data, size) == 0));
    }
    free(o.body);
    buf_finish(&coded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = {(const char *)data, size};
    struct outcome whole = decode(input, 0);
    if (whole.done)
        check_naively(input, &whole);
    for (size_t piece = 1; piece <= 3; piece++) {
        struct outcome o = decode(input, piece);
        assert(o.used == whole.used && o.done == whole.done);
        assert(o.used < 0 || (o.bytes == whole.bytes && memcmp(o.body, whole.body, o.bytes) == 0));
        free(o.body);
    }
    free(whole.body);
    check_round_trip(data, size);
    return 0;
}
