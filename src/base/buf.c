/* The growing byte buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES = 256 };

void buf_finish(struct buf *b)
{
    free(b->at);
    *b = (struct buf){.bytes_max = b->bytes_max};
}

static bool grow(struct buf *b, size_t need)
{
    if (need < b->bytes || (b->bytes_max != 0 && need > b->bytes_max))
        return false;
    size_t size = b->size < FIRST_BYTES ? FIRST_BYTES : b->size;
    while (size < need)
        size = size > SIZE_MAX / 2 ? need : size * 2;
    char *at = realloc(b->at, size);
    if (at == NULL)
        return false;
    b->at = at;
    b->size = size;
    return true;
}

char *buf_room(struct buf *b, size_t bytes)
{
    if (b->failed)
        return NULL;
    if ((bytes > b->size - b->bytes || b->at == NULL ||
         (b->bytes_max != 0 && b->bytes + bytes > b->bytes_max)) &&
        !grow(b, b->bytes + bytes)) {
        b->failed = true;
        return NULL;
    }
    return b->at + b->bytes;
}

void buf_add(struct buf *b, const void *from, size_t bytes)
{
    char *to = buf_room(b, bytes);
    if (to != NULL && bytes != 0) {
        memcpy(to, from, bytes);
        b->bytes += bytes;
    }
}

void buf_add_span(struct buf *b, struct span s)
{
    buf_add(b, s.at, s.bytes);
}

void buf_add_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    buf_add(b, digits, u64_digits(value, digits));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    b->failed = b->failed || bytes < 0;
    char *to = buf_room(b, (size_t)bytes + 1);
    if (to != NULL) {
        vsnprintf(to, (size_t)bytes + 1, format, again);
        b->bytes += (size_t)bytes;
    }
    va_end(again);
    va_end(args);
}

void buf_consume(struct buf *b, size_t bytes)
{
    b->bytes -= bytes;
    if (b->bytes != 0 && bytes != 0)
        memmove(b->at, b->at + bytes, b->bytes);
}

void buf_reset(struct buf *b, size_t keep_bytes)
{
    if (b->size > keep_bytes)
        buf_finish(b);
    b->bytes = 0;
    b->failed = false;
}

size_t u64_digits(uint64_t value, char *to)
{
    char reversed[20];
    size_t n = 0;
    do {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < n; i++)
        to[i] = reversed[n - 1 - i];
    return n;
}

bool u64_parse(struct span digits, uint64_t *value)
{
    if (digits.bytes == 0 || digits.bytes > 20 || (digits.at[0] == '0' && digits.bytes > 1))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < digits.bytes; i++) {
        unsigned d = (unsigned char)digits.at[i] - (unsigned)'0';
        if (d > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
            return false;
    }
    *value = v;
    return true;
}
