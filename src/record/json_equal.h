/* Whether two JSON values are the same to RFC 6902: strings by what they read, numbers by their
 * value, objects whatever the order of their members. */
#ifndef RECORD_JSON_EQUAL_H
#define RECORD_JSON_EQUAL_H

#include "base/buf.h"
#include "record/json.h"

/*
 * Both are compact, accepted by json_scan. 1: the same; 0: not; ERR_TOO_LARGE: more than *work
 * bytes would have to be looked at (what was is taken off); ERR_NO_MEMORY. `scratch` is for strings
 * with escapes. Numbers whose exponent has more than 15 digits are the same only as text.
 */
int json_equal(struct span a, struct span b, size_t *work, struct buf *scratch);

#endif
