/* JSON Merge Patch (RFC 7396) on text: what is not touched keeps its spelling and its place. */
#ifndef RECORD_MERGE_H
#define RECORD_MERGE_H

#include "base/buf.h"
#include "record/json.h"

/*
 * Appends to `out` the result of merging `patch` into `target`. Both are objects, accepted by
 * json_scan and compact (json_compact); so is the result. Names are compared decoded. A kept member
 * keeps its spelling and place, a replaced one keeps its name's spelling and place, new ones follow
 * in the patch's order; a null removes; nulls inside new objects are stripped at every depth, those
 * in arrays are kept. Linear in target and patch together (objects with many names are matched by a
 * seeded hash). `j` lends its scratch. 0; ERR_NO_MEMORY (also when out->bytes_max is passed:
 * out->failed).
 */
int merge_patch(struct json *j, struct span target, struct span patch, struct buf *out);

#endif
