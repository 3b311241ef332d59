/* The blocking download: one request, an answer in chunks (RFC 9112 section 7.1), as this program
 * gives it. */
#include "cli/download.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "cli/client.h"

enum { SILENT_S = 30, PIECE_BYTES = 256 * 1024, HEAD_BYTES_MAX = 64 * 1024, SIZE_DIGITS_MAX = 8 };

struct chunks {
    enum { CHUNK_SIZE, CHUNK_BYTES, CHUNK_END, CHUNKS_LAST, CHUNKS_DONE } state;
    uint64_t left;
    unsigned digits;
};

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One byte of what is around the chunks. False: it has no place there. */
static bool around(struct chunks *c, char byte)
{
    if (byte == '\r')
        return true;
    if (byte != '\n') {
        if (c->state != CHUNK_SIZE || hex(byte) < 0 || c->digits++ == SIZE_DIGITS_MAX)
            return false;
        c->left = c->left * 16 + (uint64_t)hex(byte);
        return true;
    }
    if (c->state == CHUNK_SIZE && c->digits == 0)
        return false;
    c->state = c->state == CHUNK_END     ? CHUNK_SIZE
               : c->state == CHUNKS_LAST ? CHUNKS_DONE
               : c->left != 0            ? CHUNK_BYTES
                                         : CHUNKS_LAST;
    c->digits = 0;
    return true;
}

static int chunks_take(struct chunks *c, const struct download *d, struct span in)
{
    int rc = 0;
    while (rc == 0 && in.bytes != 0 && c->state != CHUNKS_DONE) {
        size_t used = 1;
        if (c->state != CHUNK_BYTES) {
            rc = around(c, *in.at) ? 0 : ERR_BAD_REQUEST;
        } else {
            used = in.bytes < c->left ? in.bytes : (size_t)c->left;
            rc = d->take(d->context, span(in.at, used));
            c->left -= used;
            if (c->left == 0)
                c->state = CHUNK_END;
        }
        in = span(in.at + used, in.bytes - used);
    }
    return rc;
}

/* More bytes; 0 at the end; -1, and said. */
static ssize_t more(const struct download *d, int fd, char *to, size_t bytes, char *why,
                    size_t why_bytes)
{
    const struct timespec silent = {.tv_sec = SILENT_S};
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready = ppoll(&wait, 1, &silent, d->waiting);
    ssize_t got = ready > 0 ? recv(fd, to, bytes, 0) : -1;
    if (ready < 0 && errno == EINTR)
        snprintf(why, why_bytes, "interrupted");
    else if (ready == 0)
        snprintf(why, why_bytes, "%s:%u has sent nothing for %d s", d->host, d->port, SILENT_S);
    else if (got < 0)
        snprintf(why, why_bytes, "the connection to %s:%u broke", d->host, d->port);
    return got;
}

/* Until the head is whole; returns its bytes, 0: it never is. */
static size_t read_head(const struct download *d, int fd, struct buf *in, char *why,
                        size_t why_bytes)
{
    for (;;) {
        const char *end = in->bytes == 0 ? NULL : memmem(in->at, in->bytes, "\r\n\r\n", 4);
        if (end != NULL)
            return (size_t)(end - in->at) + 4;
        char *to = in->bytes < HEAD_BYTES_MAX ? buf_room(in, PIECE_BYTES) : NULL;
        ssize_t got = to == NULL ? 0 : more(d, fd, to, PIECE_BYTES, why, why_bytes);
        if (got == 0)
            snprintf(why, why_bytes, "%s:%u does not answer as noted does", d->host, d->port);
        if (got <= 0)
            return 0;
        in->bytes += (size_t)got;
    }
}

/* What it says instead; all of it is there once the server closes. */
static int refused(const struct download *d, int fd, struct buf *in, char *why, size_t why_bytes)
{
    struct client_answer a = {0};
    struct span value;
    char *to;
    ssize_t got = 1;
    while (got > 0 && in->bytes < HEAD_BYTES_MAX && (to = buf_room(in, PIECE_BYTES)) != NULL) {
        got = more(d, fd, to, PIECE_BYTES, why, why_bytes);
        in->bytes += got > 0 ? (size_t)got : 0;
    }
    if (client_read_http(buf_span(in), &a) && client_member(&a, "detail", &value)) {
        char detail[DETAIL_BYTES_MAX];
        client_text(value, detail, sizeof detail);
        snprintf(why, why_bytes, "%s:%u refuses: %s", d->host, d->port, detail);
    } else {
        snprintf(why, why_bytes, "%s:%u does not answer as noted does", d->host, d->port);
    }
    buf_finish(&a.body);
    return ERR_SYSTEM;
}

static int body(const struct download *d, int fd, struct buf *in, size_t head, char *why,
                size_t why_bytes)
{
    struct chunks c = {0};
    int rc = chunks_take(&c, d, span(in->at + head, in->bytes - head));
    in->bytes = 0;
    char *to = buf_room(in, PIECE_BYTES);
    while (rc == 0 && c.state != CHUNKS_DONE && to != NULL) {
        ssize_t got = more(d, fd, to, PIECE_BYTES, why, why_bytes);
        if (got == 0)
            snprintf(why, why_bytes, "%s:%u ended it before it was whole", d->host, d->port);
        rc = got > 0 ? chunks_take(&c, d, span(to, (size_t)got)) : ERR_SYSTEM;
    }
    if (rc == ERR_BAD_REQUEST)
        snprintf(why, why_bytes, "%s:%u does not answer as noted does", d->host, d->port);
    return to == NULL ? ERR_NO_MEMORY : rc;
}

static void request(const struct download *d, struct buf *out)
{
    bool v6 = strchr(d->host, ':') != NULL;
    buf_printf(out, "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nConnection: close\r\n\r\n", d->path,
               v6 ? "[" : "", d->host, v6 ? "]" : "", d->port);
}

int download_from(const struct download *d, int fd, char *why, size_t why_bytes)
{
    struct buf in = {0};
    int rc = ERR_SYSTEM;
    why[0] = '\0';
    size_t head = read_head(d, fd, &in, why, why_bytes);
    struct span start = span(in.at, head);
    bool good = head > 12 && memcmp(start.at, "HTTP/1.1 200", 12) == 0 &&
                memmem(start.at, head, "\r\nTransfer-Encoding: chunked\r\n", 30) != NULL;
    if (good)
        rc = body(d, fd, &in, head, why, why_bytes);
    else if (head != 0)
        rc = refused(d, fd, &in, why, why_bytes);
    buf_finish(&in);
    return rc;
}

int download(const struct download *d, char *why, size_t why_bytes)
{
    struct buf out = {0};
    int rc = ERR_SYSTEM, fd = client_connect(d->host, d->port);
    request(d, &out);
    if (fd >= 0 && client_send(fd, buf_span(&out)))
        rc = download_from(d, fd, why, why_bytes);
    else
        snprintf(why, why_bytes, "%s:%u does not answer", d->host, d->port);
    if (fd >= 0)
        close(fd);
    buf_finish(&out);
    return rc;
}
