/*
 * What a server may send to this program's own client. A copy of local storage, in chunks: cut in
 * pieces it is taken as it is in one; what is well-formed is taken whole, and what is cut short is
 * not; the decoder of requests agrees. Single answers of each protocol. What is then shown on a
 * terminal has no control characters.
 *
 * Input: a byte of enum ways; a count and so many bytes, by which what comes is cut; what comes.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json_text.h"
#include "cli/client.h"
#include "cli/download.h"
#include "front/http_head.h"

enum ways {
    FRAMED = 1,    /* a head comes first */
    CHUNKED = 2,   /* and then chunks, each of a piece */
    CUT_SHORT = 4, /* but the last byte is missing */
    DISK_FULL = 8, /* of whoever takes it */
};
enum { PIECES_MAX = 64, COMES_BYTES_MAX = 32 * 1024, DISK_BYTES = 100 };
static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

struct taken {
    struct buf all;
    bool full;
};

static int take(void *context, struct span piece)
{
    struct taken *t = context;
    assert(piece.bytes != 0);
    if (t->full && t->all.bytes + piece.bytes > DISK_BYTES)
        return ERR_DISK_FULL;
    buf_add_span(&t->all, piece);
    return 0;
}

/* Bytes of the next piece of `left`. */
static size_t next_piece(const uint8_t *cuts, size_t count, size_t i, size_t left)
{
    size_t bytes = count == 0 || i >= PIECES_MAX ? left : 1U + cuts[i % count] * 3U;
    return bytes < left ? bytes : left;
}

static void add_chunks(struct buf *to, const uint8_t *cuts, size_t count, struct span comes)
{
    size_t at = 0;
    for (size_t i = 0; at < comes.bytes; i++) {
        size_t bytes = next_piece(cuts, count, i, comes.bytes - at);
        buf_printf(to, "%zx\r\n", bytes);
        buf_add(to, comes.at + at, bytes);
        buf_add_text(to, "\r\n");
        at += bytes;
    }
    buf_add_text(to, "0\r\n\r\n");
}

static void check_printable(const char *text)
{
    for (struct span rest = span_of(text); rest.bytes != 0;) {
        const unsigned char *at = (const unsigned char *)rest.at;
        size_t bytes = utf8_char_bytes(rest);
        assert(*at >= ' ' && *at != 0x7f && !(bytes == 2 && at[0] == 0xc2 && at[1] < 0xa0));
        bytes = bytes == 0 ? 1 : bytes;
        rest = span(rest.at + bytes, rest.bytes - bytes);
    }
}

/* Each packet is one receive. */
static int download_in(struct taken *t, struct span comes, const uint8_t *cuts, size_t count,
                       char why[400])
{
    const struct download d = {.host = "h", .port = 1, .path = "/", .take = take, .context = t};
    int fds[2];
    assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    size_t at = 0;
    for (size_t i = 0; at < comes.bytes; i++) {
        size_t bytes = next_piece(cuts, count, i, comes.bytes - at);
        assert(send(fds[0], comes.at + at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes);
        at += bytes;
    }
    close(fds[0]);
    int rc = download_from(&d, fds[1], why, 400);
    close(fds[1]);
    check_printable(why);
    assert((rc == 0) == (why[0] == '\0') || rc == ERR_DISK_FULL);
    return rc;
}

/* The other decoder allows more around the chunks, and less within a line's end; where both take
 * it, it says the same. */
static void check_decoder(struct span comes, struct span taken)
{
    const char *end = memmem(comes.at, comes.bytes, "\r\n\r\n", 4);
    assert(end != NULL);
    struct span body = span(end + 4, (size_t)(comes.at + comes.bytes - end) - 4);
    struct http_chunks c = {0};
    size_t decoded;
    char *to = malloc(body.bytes + 1);
    assert(to != NULL);
    if (http_chunks_decode(&c, body, to, &decoded) >= 0 && c.done)
        assert(span_eq(span(to, decoded), taken));
    free(to);
}

static void check_download(unsigned how, const uint8_t *cuts, size_t count, struct span comes)
{
    struct taken whole = {.full = (how & DISK_FULL) != 0}, pieces = whole;
    struct buf all = {0};
    char why[400] = "", other[400] = "";
    bool chunked = (how & FRAMED) != 0 && (how & CHUNKED) != 0, cut = (how & CUT_SHORT) != 0;
    buf_add_text(&all, (how & FRAMED) != 0 ? head : "");
    if (chunked)
        add_chunks(&all, cuts, count, comes);
    else
        buf_add_span(&all, comes);
    all.bytes -= cut && all.bytes != 0;
    int rc = download_in(&whole, buf_span(&all), NULL, 0, why);
    assert(download_in(&pieces, buf_span(&all), cuts, count, other) == rc);
    assert(strcmp(why, other) == 0);
    if (!whole.full)
        assert(span_eq(buf_span(&whole.all), buf_span(&pieces.all)));
    if (chunked && !whole.full)
        assert((rc != 0) == cut && span_eq(buf_span(&whole.all), comes));
    if (rc == 0)
        check_decoder(buf_span(&all), buf_span(&whole.all));
    buf_finish(&whole.all);
    buf_finish(&pieces.all);
    buf_finish(&all);
}

static void check_answer(bool (*read)(struct span in, struct client_answer *a), struct span in)
{
    static const char *const names[] = {"detail", "in_sync", "id"};
    struct client_answer a = {0};
    char text[40];
    if (read(in, &a)) {
        assert(a.body.bytes != 0);
        client_text(buf_span(&a.body), text, sizeof text);
        check_printable(text);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            struct span value;
            if (!client_member(&a, names[i], &value))
                continue;
            client_text(value, text, sizeof text);
            check_printable(text);
            client_array_has(value, "a");
        }
    }
    buf_finish(&a.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t count = data[1] < size - 2 ? data[1] : size - 2;
    size_t bytes = size - 2 - count < COMES_BYTES_MAX ? size - 2 - count : COMES_BYTES_MAX;
    char *text = malloc(bytes + (bytes == 0)); /* its own, so that a read past its end is seen */
    assert(text != NULL);
    memcpy(text, data + 2 + count, bytes);
    check_download(data[0], data + 2, count, span(text, bytes));
    check_answer(client_read_http, span(text, bytes));
    check_answer(client_read_json, span(text, bytes));
    free(text);
    return 0;
}
