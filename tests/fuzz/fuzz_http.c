/*
 * A connection whose first byte is any: its protocol is chosen as the contract says; over HTTP, cut
 * in pieces, it is answered as it is in one; the answers are whole messages of HTTP/1.1, one after
 * another; and the connection ends.
 *
 * Input: as whole_and_pieces.h says.
 */
#include "whole_and_pieces.h"

static bool says(struct span in, const char *word)
{
    return in.bytes != 0 && memmem(in.at, in.bytes, word, strlen(word)) != NULL;
}

/* The value of a field of a head, read as a client would; no bytes: it is not there. */
static struct span field(struct span head, const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = memmem(head.at, head.bytes, line, strlen(line));
    if (at == NULL)
        return span(NULL, 0);
    at += strlen(line);
    const char *end = memmem(at, (size_t)(head.at + head.bytes - at), "\r\n", 2);
    assert(end != NULL);
    return span(at, (size_t)(end - at));
}

static bool begins_answer(struct span in)
{
    return in.bytes >= 9 && memcmp(in.at, "HTTP/1.1 ", 9) == 0;
}

/* The bytes of a body in chunks; 0: it is not whole. */
static size_t chunks_bytes(struct span in)
{
    for (size_t at = 0;;) {
        const char *line = in.at + at;
        const char *end = at < in.bytes ? memmem(line, in.bytes - at, "\r\n", 2) : NULL;
        if (end == NULL)
            return 0;
        char *digits_end;
        size_t bytes = strtoul(line, &digits_end, 16);
        assert(digits_end == end && end != line);
        at = (size_t)(end - in.at) + 2 + bytes + 2;
        if (at > in.bytes)
            return 0;
        assert(memcmp(in.at + at - 2, "\r\n", 2) == 0);
        if (bytes == 0)
            return at;
    }
}

/* The bytes of one answer at the start of `in`; 0: it is not whole. One to HEAD has no body, and by
 * that it is told: no body of ours begins as an answer does. */
static size_t answer_bytes(struct span in)
{
    assert(begins_answer(in));
    const char *end = memmem(in.at, in.bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head_bytes = (size_t)(end - in.at) + 4, bytes = 0;
    struct span head = span(in.at, head_bytes), rest = span(end + 4, in.bytes - head_bytes);
    struct span length = field(head, "Content-Length");
    if (length.bytes != 0) {
        uint64_t body;
        assert(u64_parse(length, &body) && field(head, "Transfer-Encoding").bytes == 0);
        bytes = (size_t)body;
    } else if (field(head, "Transfer-Encoding").bytes != 0 && !begins_answer(rest)) {
        bytes = rest.bytes == 0 ? 0 : chunks_bytes(rest);
    } else if (field(head, "Content-Type").bytes != 0) {
        bytes = rest.bytes; /* in HTTP/1.0 the close is its end */
    }
    if (rest.bytes == 0 || begins_answer(rest))
        return head_bytes;
    return bytes <= rest.bytes ? head_bytes + bytes : 0;
}

static void check_answers(const struct script *s, const struct line *l)
{
    struct span rest = buf_span(&l->heard);
    bool cut = (s->how & (BREAKS | DRAINS)) != 0, close = false;
    bool stream = says(rest, "\r\nContent-Type: text/event-stream\r\n");
    while (rest.bytes != 0 && (!cut || begins_answer(rest))) {
        size_t bytes = answer_bytes(rest);
        assert(!close); /* nothing follows an answer that says so */
        assert(bytes != 0 || cut || stream || l->released);
        if (bytes == 0)
            return;
        close = says(span(rest.at, bytes), "\r\nConnection: close\r\n");
        rest = span(rest.at + bytes, rest.bytes - bytes);
    }
}

static void check(const struct script *s, const struct line *l)
{
    struct span heard = buf_span(&l->heard);
    unsigned char first = s->stream.bytes == 0 ? 0 : (unsigned char)s->stream.at[0];
    bool stream = says(heard, "\r\nContent-Type: text/event-stream\r\n");
    /* One that drains does not wait for ever, and one of JSON that says nothing may stay. */
    assert(l->conn == NULL || stream || (s->how & DRAINS) != 0 || s->stays);
    assert(!l->reset || (s->how & (BREAKS | DRAINS)) != 0);
    bool peer = s->stream.bytes != 0 && first == PEER_FIRST_BYTE;
    assert(peer == l->given_to_peer || l->said == 0);
    if (peer) {
        assert(heard.bytes == 0 && l->unread.bytes == l->said);
        assert(l->said == 0 || memcmp(l->unread.at, s->stream.at, l->said) == 0);
    } else if (first != 0 && strchr("{ \t\r\n", first) != NULL) {
        assert(heard.bytes == 0 || heard.at[0] == '{');
    } else {
        check_answers(s, l);
    }
}

/* Where a client waits for 100 Continue, an answer may come before the body, or behind it. */
static bool depends_on_time(struct span stream)
{
    for (size_t i = 0; i + 6 <= stream.bytes; i++)
        if (strncasecmp(stream.at + i, "expect", 6) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world once, again;
    struct script s;
    script_of(&s, data, size);
    struct line *whole = say(&once, &s, true, SERVE_HTTP);
    check(&s, whole);
    struct line *pieces = say(&again, &s, false, SERVE_HTTP);
    check(&s, pieces);
    if (!depends_on_time(buf_span(&s.stream)))
        compare(&s, whole, pieces);
    world_close(&once);
    world_close(&again);
    buf_finish(&s.stream);
    return 0;
}
