/* The inner loops over JSON text: runs of ordinary string bytes, and UTF-8. Knows no grammar. */
#ifndef RECORD_JSON_BYTES_H
#define RECORD_JSON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The byte `b` eight times. */
#define JSON_EIGHT(b) (0x0101010101010101u * (uint64_t)(b))

/*
 * The high bit of each byte of `w` that ends a run: a quote or a backslash, and with `strict` also
 * a control character or a byte that is not ASCII. Exact for every byte: with the high bits masked
 * away no addition carries into the next byte.
 */
static inline uint64_t json_stops_8(uint64_t w, bool strict)
{
    uint64_t low = w & JSON_EIGHT(0x7f);
    uint64_t ordinary = ((low ^ JSON_EIGHT('"')) + JSON_EIGHT(0x7f)) &
                        ((low ^ JSON_EIGHT('\\')) + JSON_EIGHT(0x7f));
    if (strict)
        return (~(ordinary & (low + JSON_EIGHT(0x80 - 0x20))) | w) & JSON_EIGHT(0x80);
    return ~(ordinary | w) & JSON_EIGHT(0x80);
}

static inline bool json_stops_1(uint8_t c, bool strict)
{
    return c == '"' || c == '\\' || (strict && (c < 0x20 || c >= 0x80));
}

/* The first byte from `p` on that ends a run, or `end`. Reads nothing at or behind `end`. Eight
 * bytes at a time: strings are short, so that wider registers gain nothing. */
static inline const uint8_t *json_run(const uint8_t *p, const uint8_t *end, bool strict)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, sizeof w);
        uint64_t stops = json_stops_8(w, strict);
        if (stops != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return p + ((unsigned)__builtin_ctzll(stops) >> 3);
#else
            return p + ((unsigned)__builtin_clzll(stops) >> 3);
#endif
        }
        p += 8;
    }
    while (p < end && !json_stops_1(*p, strict))
        p++;
    return p;
}

/*
 * The sequence at `p`, whose first byte is not ASCII: its bytes (2 to 4), 0 where the input ends
 * inside a sequence that is valid so far, or -1 where no valid text goes on like this.
 * RFC 3629 section 4: the second byte's range excludes overlong forms, surrogates and what is above
 * U+10FFFF.
 */
static inline int json_utf8(const uint8_t *p, const uint8_t *end)
{
    uint8_t lead = p[0];
    if (lead < 0xc2 || lead > 0xf4)
        return -1;
    int bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (end - p < 2)
        return 0;
    if (p[1] < low || p[1] > high)
        return -1;
    for (int i = 2; i < bytes; i++) {
        if (end - p <= i)
            return 0;
        if ((p[i] & 0xc0) != 0x80)
            return -1;
    }
    return bytes;
}

#endif
