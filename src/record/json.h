/*
 * JSON text, looked at but never turned into a tree: a strict scanner (RFC 8259 in UTF-8), and
 * walks over text that it accepted. Knows nothing of records, requests or sockets.
 *
 * Stricter than the RFC: no duplicate names in an object (compared after escapes are decoded), no
 * lone surrogates in \u escapes, no byte-order mark, at most depth_max nested arrays and objects.
 * Overlong UTF-8, encoded surrogates and code points above U+10FFFF are refused (RFC 3629). Any
 * number text that the grammar allows is accepted.
 */
#ifndef RECORD_JSON_H
#define RECORD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/*
 * The scratch memory of one thread: names of open objects, for the duplicate check. It grows with
 * the texts that it sees (bounded by a small multiple of the largest text) and is given back by
 * json_trim. `seed` seeds the hash of names, so that nobody can prepare collisions.
 */
struct json;

int json_create(struct json **j, uint64_t seed,
                unsigned depth_max); /* ERR_NO_MEMORY; depth_max 1 to 64 */
unsigned json_depth_max(const struct json *j);
void json_destroy(struct json *j);
void json_trim(struct json *j); /* gives back scratch memory beyond 64 KiB */

enum json_type {
    JSON_OBJECT = 1,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

struct json_found {
    struct span text;    /* the value, without white space around it */
    enum json_type type; /* of the value */
    bool spaced;         /* there is white space between tokens inside `text` */
    size_t bad_at;       /* after ERR_BAD_JSON: offset from the start of the input */
    const char *why;     /* after ERR_BAD_JSON: what is wrong there, a phrase in static memory */
};

/*
 * Scans one JSON value at the start of `input`, with white space before it. Returns
 * - above 0: the bytes up to and including the value's last one; white space or other text behind
 *   it is untouched;
 * - 0: the input ends before the value does (a number at the very end may go on, so it needs one
 *   byte more; see `whole`);
 * - ERR_BAD_JSON: found->bad_at and found->why say where and why, as soon as the byte is seen that
 *   no JSON text goes on with. Where a sequence is wrong as a whole, they name its first byte: of a
 *   UTF-8 sequence, of the escape of half a surrogate pair, of a duplicate name (its quote);
 * - ERR_NO_MEMORY.
 *
 * With `whole`, the input is one value and nothing else but white space: then the end of the input
 * ends a number, an end too early is ERR_BAD_JSON, and so is anything but white space behind the
 * value. Never reads a byte outside `input`, never modifies it. Time is linear in the input, in the
 * duplicate check too.
 */
long json_scan(struct json *j, struct span input, bool whole, struct json_found *found);

/*
 * Finds the end of an object or array without judging it: the resumable companion of json_scan for
 * input that comes in pieces, so that a slow sender never makes us scan from the start each time.
 * Zero is a new one. Feed it each byte once. Returns the bytes of this piece up to and including
 * the brace or bracket that closes the outermost one, or 0 where it is not in this piece. What it
 * finds is then judged by json_scan.
 */
struct json_frame {
    uint32_t depth;
    bool in_string, escaped;
};
size_t json_frame(struct json_frame *f, struct span piece);

/* --- Walks over accepted text. They trust it: never call them with text that json_scan has not
 * accepted. --- */

/* Copies `text` without the white space between tokens; `to` has room for text.bytes. Returns the
 * bytes written. */
size_t json_compact(struct span text, char *to);

/* The members of an object, or the elements of an array, in their order. White space may stand
 * between tokens. Behind the last one, `at` is where the text ends that holds them. */
struct json_walk {
    const char *at, *end;
};
struct json_member {
    struct span name;  /* between the quotes, escapes as sent */
    struct span value; /* the whole value */
    struct span whole; /* from the name's opening quote to the value's end */
};
struct json_walk json_walk(struct span value);
bool json_next(struct json_walk *w, struct json_member *m); /* false: no more */
bool json_next_element(struct json_walk *w, struct span *element);

/* The bytes of the value that begins at the start of `text` (no white space before it). */
size_t json_value_bytes(struct span text);

enum json_type json_type_of(struct span value); /* by its first byte */

/* Whether a name or string (between its quotes, escapes as sent) reads `word` once decoded. */
bool json_string_is(struct span raw, struct span word);

/* Decodes what stands between the quotes into UTF-8; `to` has room for raw.bytes. Returns the bytes
 * written. */
size_t json_string_decode(struct span raw, char *to);

/*
 * Appends `text` as a JSON string with its quotes. Text is meant to be UTF-8; each byte that is not
 * part of valid UTF-8 becomes U+FFFD, so the result is always JSON.
 */
void json_quote(struct buf *to, struct span text);

#endif
