/* The head of a request: the answer does not depend on how the bytes are cut, and what is accepted
 * is so by a naive reading too, above all in its framing. */
#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "front/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct naive {
    unsigned hosts, lengths, codings;
    struct span length, coding;
};

static void value_of(struct span line, const char *name, unsigned *count, struct span *value)
{
    size_t n = strlen(name);
    if (line.bytes <= n || strncasecmp(line.at, name, n) != 0 || line.at[n] != ':')
        return;
    ++*count;
    *value = span(line.at + n + 1, line.bytes - n - 1);
    while (value->bytes != 0 && isblank((unsigned char)value->at[0]))
        *value = span(value->at + 1, value->bytes - 1);
    while (value->bytes != 0 && isblank((unsigned char)value->at[value->bytes - 1]))
        value->bytes--;
}

/* Line by line; every line ends in CRLF, has a name of no white space, and the last one is empty.
 */
static struct naive read_naively(struct span head)
{
    struct naive found = {0};
    const char *at = head.at, *end = head.at + head.bytes;
    while (at[0] == '\r')
        at += 2;
    for (bool first = true;; first = false) {
        const char *cr = memchr(at, '\r', (size_t)(end - at));
        assert(cr != NULL && cr + 1 < end && cr[1] == '\n');
        struct span line = span(at, (size_t)(cr - at)), ignored;
        at = cr + 2;
        if (line.bytes == 0) {
            assert(!first && at == end);
            return found;
        }
        for (size_t i = 0; i < line.bytes; i++)
            assert(!iscntrl((unsigned char)line.at[i]) || line.at[i] == '\t');
        if (first)
            continue;
        const char *colon = memchr(line.at, ':', line.bytes);
        assert(colon != NULL && colon != line.at);
        for (const char *c = line.at; c < colon; c++)
            assert((unsigned char)*c > ' ' && (unsigned char)*c < 0x7f);
        value_of(line, "host", &found.hosts, &ignored);
        value_of(line, "content-length", &found.lengths, &found.length);
        value_of(line, "transfer-encoding", &found.codings, &found.coding);
    }
}

static void check_inside(struct span part, struct span whole)
{
    assert(part.at == NULL ||
           (part.at >= whole.at && part.at + part.bytes <= whole.at + whole.bytes));
}

static void check_accepted(const struct http_head *h, struct span head)
{
    const struct span parts[] = {
        h->target,        h->host,          h->content_type,  h->accept,          h->if_match,
        h->if_none_match, h->noted_min_seq, h->noted_wait_ms, h->idempotency_key, h->origin};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        check_inside(parts[i], head);
    assert(h->target.bytes != 0 && memchr(h->target.at, ' ', h->target.bytes) == NULL);
    assert(h->target.at[0] == '/' || (h->method == METHOD_OPTIONS && span_is(h->target, "*")));

    struct naive n = read_naively(head);
    assert(h->minor <= 1 && n.hosts <= 1 && (h->minor == 0 || n.hosts == 1));
    assert(n.lengths + n.codings <= 1);
    assert(h->has_length == (n.lengths == 1));
    assert(h->chunked == (n.codings == 1));
    if (h->chunked)
        assert(h->minor == 1 && n.coding.bytes == 7 && strncasecmp(n.coding.at, "chunked", 7) == 0);
    uint64_t length = 0;
    assert(!h->has_length || n.length.bytes != 0);
    for (size_t i = 0; i < n.length.bytes; i++) {
        assert(isdigit((unsigned char)n.length.at[i]));
        length = length * 10 + (uint64_t)(n.length.at[i] - '0');
    }
    assert(h->body_bytes == length);
}

static bool same_head(const struct http_head *a, const struct http_head *b)
{
    return a->method == b->method && a->minor == b->minor && a->keep_alive == b->keep_alive &&
           a->chunked == b->chunked && a->has_length == b->has_length &&
           a->expect_continue == b->expect_continue && a->body_bytes == b->body_bytes &&
           a->target.at == b->target.at && a->target.bytes == b->target.bytes &&
           a->host.at == b->host.at && a->accept.at == b->accept.at &&
           a->idempotency_key.at == b->idempotency_key.at;
}

static void check(struct span input, size_t head_max, size_t uri_max)
{
    struct http_head whole, slow;
    const char *why;
    size_t scanned = 0;
    long bytes = http_head_parse(input, head_max, uri_max, &scanned, &whole, &why);
    assert((bytes < 0) == (why != NULL));
    assert(bytes >= 0 || bytes == ERR_BAD_REQUEST || bytes == ERR_BAD_VERSION ||
           bytes == ERR_HEAD_TOO_LARGE || bytes == ERR_URI_TOO_LONG ||
           bytes == ERR_NOT_IMPLEMENTED);
    assert(bytes != 0 || input.bytes < head_max);
    if (bytes > 0) {
        assert((size_t)bytes <= input.bytes && (size_t)bytes <= head_max);
        check_accepted(&whole, span(input.at, (size_t)bytes));
        assert(whole.target.bytes <= uri_max);
    }

    long slowly = 0;
    scanned = 0;
    for (size_t have = 0; have <= input.bytes && slowly == 0; have++) {
        slowly = http_head_parse(span(input.at, have), head_max, uri_max, &scanned, &slow, &why);
        assert(slowly <= 0 || (size_t)slowly == have);
        assert(scanned <= have);
    }
    assert(slowly == bytes);
    assert(bytes <= 0 || same_head(&whole, &slow));
    assert(bytes >= 0 || whole.method == slow.method);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size); /* of exactly the size, so that a byte too far is seen */
    assert(exact != NULL);
    if (size != 0)
        memcpy(exact, data, size);
    check(span(exact, size), 16 * 1024, 2 * 1024);
    check(span(exact, size), 100, 16);
    free(exact);
    return 0;
}
