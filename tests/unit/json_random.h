/* Random JSON texts from a seed, and texts that nearly are, for comparison with other parsers. */
#ifndef TESTS_JSON_RANDOM_H
#define TESTS_JSON_RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"

struct dice {
    uint64_t state;
};

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline unsigned dice_below(struct dice *d, unsigned limit)
{
    return (unsigned)(dice_roll(d) % limit);
}

/* NOTED_SEED where it is set. */
static inline uint64_t dice_seed(uint64_t usual)
{
    const char *text = getenv("NOTED_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : usual;
}

struct random_json {
    struct dice dice;
    unsigned depth_max;
    bool spaced;   /* with white space between tokens */
    bool distinct; /* no object has two names that read the same */
    bool nulls;    /* many */
};

static inline void random_space(struct random_json *r, struct buf *to)
{
    while (r->spaced && dice_below(&r->dice, 4) == 0)
        buf_add_char(to, " \n\r\t"[dice_below(&r->dice, 4)]);
}

static inline void random_string_body(struct random_json *r, struct buf *to)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "name",
                                         "a longer piece of ordinary text",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u0061",
                                         "\\u00e9",
                                         "\xc3\xa9",
                                         "\\u0000",
                                         "\\ud83d\\ude00",
                                         "\xf0\x9f\x98\x80",
                                         "\xec\x9a\xb0",
                                         "\\uC6B0",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         ":",
                                         ",",
                                         " ",
                                         "\x7f"};
    for (unsigned n = dice_below(&r->dice, 5); n > 0; n--)
        buf_add_text(to, pieces[dice_below(&r->dice, sizeof pieces / sizeof *pieces)]);
}

static inline void random_number(struct random_json *r, struct buf *to)
{
    static const char *const heads[] = {"", "", "-", "7777777777777777777", "-"};
    static const char *const tails[] = {"", "", "", ".5", ".050", "e5", "E-5", "e+0", "e400"};
    unsigned digits = dice_below(&r->dice, 31);
    buf_add_text(to, heads[dice_below(&r->dice, 5)]);
    buf_add_u64(to, dice_below(&r->dice, 1U << digits));
    buf_add_text(to, tails[dice_below(&r->dice, 9)]);
}

static inline void random_name(struct random_json *r, struct buf *to, unsigned n)
{
    /* one letter of few, spelt in two ways; with `distinct` the next one each time */
    unsigned letter = r->distinct ? n : dice_below(&r->dice, 24);
    buf_printf(to, dice_below(&r->dice, 4) == 0 ? "\"\\u%04x" : "\"%c", 'a' + letter % 24);
    if (letter >= 24)
        buf_printf(to, "%u", letter);
    if (!r->distinct && dice_below(&r->dice, 2) == 0)
        random_string_body(r, to);
    buf_add_char(to, '"');
}

static inline void random_json_value(struct random_json *r, struct buf *to, unsigned depth,
                                     bool object)
{
    static const char *const words[] = {"true", "false", "null", "\"\"", "{}", "[]", "0"};
    unsigned kind = object ? 0 : dice_below(&r->dice, r->nulls ? 12 : 10);
    bool array = kind >= 3 && kind <= 4;
    random_space(r, to);
    if (kind <= 4 && depth < r->depth_max) {
        unsigned count = dice_below(&r->dice, dice_below(&r->dice, 16) == 0 ? 40 : 5);
        unsigned name = 0;
        buf_add_char(to, array ? '[' : '{');
        random_space(r, to);
        for (unsigned i = 0; i < count; i++) {
            buf_add_text(to, i == 0 ? "" : ",");
            random_space(r, to);
            if (!array) {
                name += 1 + dice_below(&r->dice, 3);
                random_name(r, to, name);
                random_space(r, to);
                buf_add_char(to, ':');
            }
            random_json_value(r, to, depth + 1, false);
        }
        buf_add_char(to, array ? ']' : '}');
    } else if (kind <= 6) {
        buf_add_char(to, '"');
        random_string_body(r, to);
        buf_add_char(to, '"');
    } else if (kind <= 8) {
        random_number(r, to);
    } else {
        buf_add_text(to, kind > 9 ? "null" : words[dice_below(&r->dice, 7)]);
    }
    random_space(r, to);
}

/* A change of a few bytes, as slips of the keyboard and of programs make them. */
static inline void random_damage(struct random_json *r, struct buf *text)
{
    static const char odd[] = "{}[],:\"\\/ \t\n\r0123456789-+.eEtfnul\x00\x01\x1f\x7f\x80\xa0\xc0"
                              "\xc3\xe0\xed\xf0\xf4\xf5\xffuDd8cC";
    char c = odd[dice_below(&r->dice, sizeof odd - 1)];
    size_t at = text->bytes == 0 ? 0 : dice_roll(&r->dice) % text->bytes;
    size_t behind = text->bytes - at;
    switch (dice_below(&r->dice, 5)) {
    case 0: /* one more */
        buf_add_char(text, c);
        memmove(text->at + at + 1, text->at + at, behind);
        text->at[at] = c;
        break;
    case 1: /* one less */
        if (behind != 0)
            memmove(text->at + at, text->at + at + 1, --text->bytes - at);
        break;
    case 2: /* the end is lost */
        text->bytes = at;
        break;
    case 3: /* a piece comes twice */
        behind = behind > 16 ? 16 : behind;
        if (buf_room(text, behind) != NULL) {
            memmove(text->at + at + behind, text->at + at, text->bytes - at);
            text->bytes += behind;
        }
        break;
    default: /* another one */
        if (behind != 0)
            text->at[at] = c;
    }
}

#endif
