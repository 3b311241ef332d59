/* Merging any object into any other: the result is compact JSON, merging again changes nothing,
 * and each member of both is where RFC 7396 puts it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "compact_input.h"
#include "record/merge.h"

enum { MEMBERS_MAX = 64 };

static struct span merged(struct json *j, struct span target, struct span patch, struct buf *out)
{
    buf_reset(out, SIZE_MAX);
    assert(merge_patch(j, target, patch, out) == 0);
    return buf_span(out);
}

static bool same_name(struct span a, struct span b)
{
    char *decoded = malloc(b.bytes + 1);
    assert(decoded != NULL);
    bool same = json_string_is(a, span(decoded, json_string_decode(b, decoded)));
    free(decoded);
    return same;
}

/* By looking at one after the other. */
static bool find(struct span object, struct span name, struct json_member *m)
{
    struct json_walk w = json_walk(object);
    while (json_next(&w, m))
        if (same_name(m->name, name))
            return true;
    return false;
}

static size_t members(struct span object)
{
    struct json_walk w = json_walk(object);
    struct json_member m;
    size_t count = 0;
    while (json_next(&w, &m))
        count++;
    return count;
}

static void check_merge(struct span target, struct span patch, struct span result);

/* A value that is set where none was, or none that is an object. */
static void check_new(struct span value, struct span result)
{
    if (json_type_of(value) == JSON_OBJECT)
        check_merge(span_of("{}"), value, result);
    else
        assert(span_eq(value, result));
}

/* First the target's members but for those that are removed, then the patch's that are new. */
static void check_merge(struct span target, struct span patch, struct span result)
{
    assert(json_type_of(result) == JSON_OBJECT);
    if (members(target) > MEMBERS_MAX || members(patch) > MEMBERS_MAX)
        return;
    struct json_walk w = json_walk(target), r = json_walk(result);
    struct json_member old, new, is;
    while (json_next(&w, &old)) {
        bool touched = find(patch, old.name, &new);
        if (touched && json_type_of(new.value) == JSON_NULL)
            continue;
        assert(json_next(&r, &is) && span_eq(is.name, old.name));
        if (!touched)
            assert(span_eq(is.whole, old.whole));
        else if (json_type_of(old.value) == JSON_OBJECT && json_type_of(new.value) == JSON_OBJECT)
            check_merge(old.value, new.value, is.value);
        else
            check_new(new.value, is.value);
    }
    for (w = json_walk(patch); json_next(&w, &new);) {
        if (json_type_of(new.value) == JSON_NULL || find(target, new.name, &old))
            continue;
        assert(json_next(&r, &is) && span_eq(is.name, new.name));
        check_new(new.value, is.value);
    }
    assert(!json_next(&r, &is));
}

static void check(struct json *j, struct span target, struct span patch)
{
    struct buf out = {0}, again = {0};
    struct json_found found;
    struct span result = merged(j, target, patch, &out);
    assert(json_scan(j, result, true, &found) == (long)result.bytes);
    assert(!found.spaced);
    check_merge(target, patch, result);
    assert(span_eq(merged(j, result, patch, &again), result));
    assert(span_eq(merged(j, result, span_of("{}"), &again), result));

    again.bytes_max = result.bytes; /* just enough, and one too few */
    assert(span_eq(merged(j, target, patch, &again), result));
    buf_finish(&again);
    again.bytes_max = result.bytes - 1;
    assert(merge_patch(j, target, patch, &again) == ERR_NO_MEMORY && again.failed);
    buf_finish(&again);
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span((const char *)data, size), target = {0}, patch = {0};
    struct json *j;
    if (json_create(&j, size, 64) != 0)
        return 0;
    if (take_value(j, &input, &target, JSON_OBJECT) && take_value(j, &input, &patch, JSON_OBJECT)) {
        check(j, target, patch);
        check(j, patch, target);
    }
    free((char *)target.at);
    free((char *)patch.at);
    json_destroy(j);
    return 0;
}
