/* The decoder of chunked bodies (RFC 9112 section 7.1), one byte of framing at a time, bodies in
 * pieces. Knows nothing of heads and sockets. */
#include <string.h>

#include "base/err.h"
#include "front/http_head.h"

enum { ASIDE_BYTES_MAX = 16 * 1024 };

enum state {
    SIZE_FIRST, /* at least one digit; the state of a zeroed struct */
    SIZE,
    SIZE_SPACE, /* "bad" white space, only before an extension (RFC 9112 section 7.1.1) */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST, /* at a line's first byte */
    TRAILER,
    TRAILER_LF,
    END_LF,
    BROKEN, /* for good: who asks again gets the same error */
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes that are read and dropped, leading zeros of a size among them, so that no sender can go on
 * for ever without ever sending body. */
static int aside(struct http_chunks *c, char byte, enum state next)
{
    if (((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f || c->aside == ASIDE_BYTES_MAX)
        return ERR_BAD_REQUEST;
    c->aside++;
    c->state = (uint8_t)next;
    return 0;
}

static int step(struct http_chunks *c, bool as_expected, enum state next)
{
    c->state = (uint8_t)next;
    return as_expected ? 0 : ERR_BAD_REQUEST;
}

static int size_digit(struct http_chunks *c, char byte)
{
    int digit = hex(byte);
    if (digit < 0 || c->left > UINT64_MAX >> 4)
        return ERR_BAD_REQUEST;
    c->left = c->left << 4 | (unsigned)digit;
    c->state = SIZE;
    return c->left == 0 ? aside(c, byte, SIZE) : 0;
}

/* One byte that is not body. */
static int framing(struct http_chunks *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE_FIRST:
        return size_digit(c, byte);
    case SIZE:
        if (byte == '\r')
            return step(c, true, SIZE_LF);
        if (byte == ';')
            return aside(c, byte, EXTENSION);
        if (byte == ' ' || byte == '\t')
            return aside(c, byte, SIZE_SPACE);
        return size_digit(c, byte);
    case SIZE_SPACE:
        if (byte == ' ' || byte == '\t')
            return aside(c, byte, SIZE_SPACE);
        return byte == ';' ? aside(c, byte, EXTENSION) : ERR_BAD_REQUEST;
    case EXTENSION:
        if (byte == '\r')
            return step(c, true, SIZE_LF);
        return aside(c, byte, EXTENSION);
    case SIZE_LF:
        return step(c, byte == '\n', c->left == 0 ? TRAILER_FIRST : DATA);
    case DATA_CR:
        return step(c, byte == '\r', DATA_LF);
    case DATA_LF:
        return step(c, byte == '\n', SIZE_FIRST);
    case TRAILER_FIRST:
        if (byte == '\r')
            return step(c, true, END_LF);
        return aside(c, byte, TRAILER);
    case TRAILER:
        if (byte == '\r')
            return step(c, true, TRAILER_LF);
        return aside(c, byte, TRAILER);
    case TRAILER_LF:
        return step(c, byte == '\n', TRAILER_FIRST);
    case END_LF:
        c->done = byte == '\n';
        return step(c, c->done, END_LF);
    case DATA:
    case BROKEN:
        break;
    }
    return ERR_BAD_REQUEST;
}

long http_chunks_decode(struct http_chunks *c, struct span input, char *to, size_t *decoded)
{
    size_t i = 0;
    *decoded = 0;
    while (i < input.bytes && !c->done) {
        if (c->state != DATA) {
            int err = framing(c, input.at[i++]);
            if (err != 0) {
                c->state = BROKEN;
                return err;
            }
            continue;
        }
        size_t piece = input.bytes - i;
        if (piece > c->left)
            piece = (size_t)c->left;
        memmove(to + *decoded, input.at + i, piece);
        *decoded += piece;
        i += piece;
        c->left -= piece;
        if (c->left == 0)
            c->state = DATA_CR;
    }
    return (long)i;
}
