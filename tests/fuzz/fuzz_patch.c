/* Any patch on any object: refused, or the result is a compact object within the limits, the same
 * as itself, and what it was where the patch is empty. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "compact_input.h"
#include "record/json_equal.h"
#include "record/patch.h"

enum { BYTES_MAX = 4096, DEPTH_MAX = 8, WORK_MAX = 1024 * 1024 };

static void check_refusal(int rc, const struct patch_fault *fault)
{
    assert(rc == ERR_BAD_REQUEST || rc == ERR_PRECONDITION_FAILED || rc == ERR_NOT_OBJECT ||
           rc == ERR_BAD_JSON || rc == ERR_TOO_LARGE);
    assert(fault->why != NULL);
}

static void check(struct json *j, struct span target, struct span patch)
{
    static const struct patch_limits limits = {
        .bytes_max = BYTES_MAX, .depth_max = DEPTH_MAX, .work_max = WORK_MAX};
    struct buf out = {0}, scratch = {0};
    struct patch_fault fault;
    struct json_found found;
    int rc = json_patch(&limits, target, patch, &out, &fault);
    if (rc != 0) {
        check_refusal(rc, &fault);
    } else {
        size_t work = WORK_MAX * (size_t)64;
        assert(json_scan(j, buf_span(&out), true, &found) == (long)out.bytes);
        assert(found.type == JSON_OBJECT && !found.spaced);
        assert(json_equal(buf_span(&out), buf_span(&out), &work, &scratch) == 1);
        assert(patch.bytes > 2 || span_eq(buf_span(&out), target));
        rc = patch_id_first(&out, span_of("1"));
        assert(rc == ERR_ID_MISMATCH ||
               (rc == 0 && json_scan(j, buf_span(&out), true, &found) == (long)out.bytes));
    }
    buf_finish(&out);
    buf_finish(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span((const char *)data, size), target = {0}, patch = {0};
    struct json *j;
    if (size > BYTES_MAX || json_create(&j, size, DEPTH_MAX) != 0)
        return 0;
    if (take_value(j, &input, &target, JSON_OBJECT) && take_value(j, &input, &patch, JSON_ARRAY))
        check(j, target, patch);
    free((char *)target.at);
    free((char *)patch.at);
    json_destroy(j);
    return 0;
}
