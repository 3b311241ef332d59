/* JSON Patch (RFC 6902) on text: what is not touched keeps its spelling and its place. */
#ifndef RECORD_PATCH_H
#define RECORD_PATCH_H

#include "base/buf.h"
#include "record/json.h"

struct patch_limits {
    size_t bytes_max;   /* of the text, after each operation */
    unsigned depth_max; /* of nested arrays and objects */
    size_t work_max;    /* bytes that all operations may look at or move */
    size_t *work;       /* what they did is added to it, also after an error; NULL: nobody asks */
};

struct patch_fault {
    unsigned operation; /* counted from 1; 0: the patch as a whole */
    const char *why;    /* a phrase in static memory */
};

/*
 * Puts into `out` (which is emptied) what becomes of the object `target` by the operations of
 * `patch`, one after another. Both are compact and accepted by json_scan, and so is the result,
 * which is an object again. All or nothing: after an error `out` is of no use.
 * - ERR_BAD_REQUEST: the patch is no array of operations as RFC 6902 has them;
 * - ERR_PRECONDITION_FAILED: a test fails, or a location is not there;
 * - ERR_NOT_OBJECT: the result, or what an operation would leave, is no object;
 * - ERR_BAD_JSON, ERR_TOO_LARGE: a limit, of depth or of the others;
 * - ERR_NO_MEMORY.
 * Names and strings compare decoded, numbers as numbers. What is added to an object comes last.
 * Recursion ends with the depth of accepted text.
 */
int json_patch(const struct patch_limits *limits, struct span target, struct span patch,
               struct buf *out, struct patch_fault *fault);

/* Makes "id" the first member of a patched record again. ERR_ID_MISMATCH: it is not there, or is
 * another; ERR_NO_MEMORY. */
int patch_id_first(struct buf *record, struct span id);

#endif
