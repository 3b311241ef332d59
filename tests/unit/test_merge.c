/* The rules of merge_patch: RFC 7396 on objects, and what it leaves open: spelling and place. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "guard.h"
#include "json_oracle.h"
#include "json_random.h"
#include "record/json_names.h"
#include "record/merge.h"

enum { RANDOM_MERGES = 10000, GUARDED_BYTES = 256 * 1024 };

struct fixture {
    struct json *j;
    struct guard target, patch; /* each text ends at a guarded page */
    struct buf out;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(json_create(&f->j, 7396, 64), 0);
    f->target = guard_create(GUARDED_BYTES);
    f->patch = guard_create(GUARDED_BYTES);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    json_destroy(f->j);
    guard_destroy(&f->target);
    guard_destroy(&f->patch);
    buf_finish(&f->out);
    free(f);
    return 0;
}

/* The result, which lives until the next merge. */
static struct span merged(struct fixture *f, struct span target, struct span patch)
{
    buf_reset(&f->out, SIZE_MAX);
    int err =
        merge_patch(f->j, guard_copy(&f->target, target), guard_copy(&f->patch, patch), &f->out);
    assert_int_equal(err, 0);
    assert_int_equal(json_names(f->j)->count, 0);
    return buf_span(&f->out);
}

static void expect_merge(struct fixture *f, const char *target, const char *patch,
                         const char *wanted)
{
    struct span got = merged(f, span_of(target), span_of(patch));
    if (!span_is(got, wanted))
        fail_msg("%s with %s: %.*s, not %s", target, patch, SPAN_ARGS(got), wanted);
}

static void the_cases_of_rfc_7396_on_objects_hold(void **state)
{
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        /* section 3 */
        {"{\"title\":\"Goodbye!\",\"author\":{\"givenName\":\"John\",\"familyName\":\"Doe\"},"
         "\"tags\":[\"example\",\"sample\"],\"content\":\"This will be unchanged\"}",
         "{\"title\":\"Hello!\",\"phoneNumber\":\"+01-123-456-7890\","
         "\"author\":{\"familyName\":null},\"tags\":[\"example\"]}",
         "{\"title\":\"Hello!\",\"author\":{\"givenName\":\"John\"},\"tags\":[\"example\"],"
         "\"content\":\"This will be unchanged\",\"phoneNumber\":\"+01-123-456-7890\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_merge(*state, cases[i][0], cases[i][1], cases[i][2]);
}

static void what_is_not_touched_keeps_spelling_and_place(void **state)
{
    expect_merge(*state, "{}", "{}", "{}");
    expect_merge(*state, "{\"a\":1.10,\"\\u0062\":\"\\u00e9\\/\",\"c\":1e400}", "{}",
                 "{\"a\":1.10,\"\\u0062\":\"\\u00e9\\/\",\"c\":1e400}");
    expect_merge(*state, "{\"a\":1.10,\"b\":-0,\"c\":[ 1]}", "{\"b\":null}",
                 "{\"a\":1.10,\"c\":[ 1]}");
    expect_merge(*state, "{\"a\":{\"x\":1.0,\"y\":2.0},\"b\":3.0}", "{\"a\":{\"y\":9}}",
                 "{\"a\":{\"x\":1.0,\"y\":9},\"b\":3.0}");
}

static void a_replaced_member_keeps_its_name_and_place(void **state)
{
    expect_merge(*state, "{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":{\"d\":1}}",
                 "{\"a\":1,\"b\":{\"d\":1},\"c\":3}");
    expect_merge(*state, "{\"\\u0061\":1,\"b\":2}", "{\"b\":1.50,\"a\":\"\\n\"}",
                 "{\"\\u0061\":\"\\n\",\"b\":1.50}");
    expect_merge(*state, "{\"a\":{\"b\":1}}", "{\"a\":[null]}", "{\"a\":[null]}");
}

static void new_members_follow_in_the_order_of_the_patch(void **state)
{
    expect_merge(*state, "{\"m\":1}", "{\"z\":1,\"m\":2,\"a\":3,\"\\u0062\":4,\"n\":null}",
                 "{\"m\":2,\"z\":1,\"a\":3,\"\\u0062\":4}");
    expect_merge(*state, "{\"o\":{\"m\":1},\"p\":0}", "{\"o\":{\"z\":1,\"a\":2},\"c\":3}",
                 "{\"o\":{\"m\":1,\"z\":1,\"a\":2},\"p\":0,\"c\":3}");
}

static void names_are_compared_as_they_read(void **state)
{
    expect_merge(*state, "{\"a\":1}", "{\"\\u0061\":2}", "{\"a\":2}");
    expect_merge(*state, "{\"\\u00E9\":1}", "{\"\xc3\xa9\":null}", "{}");
    expect_merge(*state, "{\"\\ud83d\\ude00\":{\"\\n\":1}}",
                 "{\"\xf0\x9f\x98\x80\":{\"\\u000a\":2}}", "{\"\\ud83d\\ude00\":{\"\\n\":2}}");
    expect_merge(*state, "{\"a\\u0000b\":1,\"a\\u0000c\":2,\"a\":3,\"\":4}",
                 "{\"a\\u0000c\":null,\"\":null}", "{\"a\\u0000b\":1,\"a\":3}");
    expect_merge(*state, "{\"\\\\u0061\":1,\"a\":2}", "{\"a\":null}", "{\"\\\\u0061\":1}");
}

static void nulls_are_stripped_from_new_objects_at_every_depth(void **state)
{
    expect_merge(*state, "{}", "{\"a\":{\"b\":null,\"c\":{\"d\":null,\"e\":1,\"f\":null}}}",
                 "{\"a\":{\"c\":{\"e\":1}}}");
    expect_merge(*state, "{\"a\":\"text\"}", "{\"a\":{\"b\":null}}", "{\"a\":{}}");
    expect_merge(*state, "{\"a\":[{}]}", "{\"a\":{\"b\":{\"c\":null}}}", "{\"a\":{\"b\":{}}}");
    expect_merge(*state, "{\"a\":{\"b\":1}}", "{\"a\":{\"c\":{\"d\":null}}}",
                 "{\"a\":{\"b\":1,\"c\":{}}}");
    expect_merge(*state, "{\"a\":null,\"b\":null}", "{\"a\":null}", "{\"b\":null}");
}

static void nulls_in_arrays_are_kept(void **state)
{
    expect_merge(*state, "{}", "{\"a\":[null,{\"b\":null},[null]]}",
                 "{\"a\":[null,{\"b\":null},[null]]}");
    expect_merge(*state, "{\"a\":[1]}", "{\"a\":[{\"a\":null}],\"b\":{\"c\":[null],\"d\":null}}",
                 "{\"a\":[{\"a\":null}],\"b\":{\"c\":[null]}}");
}

static void a_name_belongs_to_its_own_object(void **state)
{
    expect_merge(*state, "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}", "{\"a\":{\"a\":{\"b\":1}}}",
                 "{\"a\":{\"a\":{\"a\":1,\"b\":1}},\"b\":{\"a\":1}}");
    expect_merge(*state, "{\"b\":1,\"a\":{\"b\":1}}", "{\"a\":{},\"b\":null}", "{\"a\":{\"b\":1}}");
    expect_merge(*state, "{\"a\":{\"b\":1},\"c\":{\"b\":1}}", "{\"c\":{\"b\":null},\"a\":{}}",
                 "{\"a\":{\"b\":1},\"c\":{}}");
}

static void the_result_is_appended(void **state)
{
    struct fixture *f = *state;
    struct buf out = {0};
    buf_add_text(&out, "before{");
    assert_int_equal(merge_patch(f->j, span_of("{\"a\":1}"), span_of("{\"b\":2}"), &out), 0);
    assert_true(span_is(buf_span(&out), "before{{\"a\":1,\"b\":2}"));
    buf_finish(&out);
}

static void past_a_limit_it_fails_and_the_next_works(void **state)
{
    struct fixture *f = *state;
    struct names *names = json_names(f->j);
    struct span target = span_of("{\"a\":\"0123456789\"}"), patch = span_of("{\"\\u0062\":1}");
    struct buf out = {.bytes_max = 29};
    assert_int_equal(merge_patch(f->j, target, patch, &out), 0);
    assert_int_equal(out.bytes, 29);
    buf_finish(&out);
    out.bytes_max = 28;
    assert_int_equal(merge_patch(f->j, target, patch, &out), ERR_NO_MEMORY);
    assert_true(out.failed);
    buf_finish(&out);
    names->decoded.bytes_max = 1; /* the name in the patch, then the one in the target */
    out.bytes_max = 0;
    assert_int_equal(merge_patch(f->j, target, patch, &out), ERR_NO_MEMORY);
    assert_int_equal(merge_patch(f->j, patch, target, &out), ERR_NO_MEMORY);
    names->decoded.bytes_max = 0;
    json_trim(f->j);
    buf_finish(&names->lent);
    names->lent.bytes_max = 1;
    assert_int_equal(merge_patch(f->j, target, patch, &out), ERR_NO_MEMORY);
    names->lent.bytes_max = 0;
    buf_finish(&out);
    expect_merge(f, "{\"a\":1}", "{\"\\u0062\":1}", "{\"a\":1,\"\\u0062\":1}");
}

/* RFC 7396 section 2, as it stands there. Takes over `target`. */
static json_t *oracle_merge(json_t *target, json_t *patch)
{
    if (oracle_type(patch) != '{') {
        json_decref(target);
        return json_incref(patch);
    }
    if (target == NULL || oracle_type(target) != '{') {
        json_decref(target);
        target = json_object();
    }
    const char *name;
    json_t *value;
    json_object_foreach(patch, name, value)
    {
        if (oracle_type(value) == 'n') {
            json_object_del(target, name);
        } else {
            json_t *old = json_incref(json_object_get(target, name));
            json_object_set_new(target, name, oracle_merge(old, value));
        }
    }
    return target;
}

/* jansson keeps the order of members, so texts compare places as well. */
static void compare_with_oracle(struct fixture *f, struct span target, struct span patch)
{
    enum json_error_code why;
    json_t *theirs = oracle_reads(target, &why), *change = oracle_reads(patch, &why);
    if (theirs != NULL && change != NULL) {
        theirs = oracle_merge(theirs, change);
        json_t *ours = oracle_reads(merged(f, target, patch), &why);
        assert_non_null(ours);
        char *our_text = json_dumps(ours, JSON_COMPACT), *text = json_dumps(theirs, JSON_COMPACT);
        if (strcmp(our_text, text) != 0)
            fail_msg("%.*s with %.*s: %s, not %s", SPAN_ARGS(target), SPAN_ARGS(patch), our_text,
                     text);
        free(our_text);
        free(text);
        json_decref(ours);
    }
    json_decref(theirs);
    json_decref(change);
}

/* One random object in `to`, compact. */
static struct span random_object(struct random_json *r, struct buf *to)
{
    buf_reset(to, SIZE_MAX);
    random_json_value(r, to, 0, true);
    return buf_span(to);
}

static void random_objects_merge_as_rfc_7396_says(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = dice_seed(7396);
    printf("NOTED_SEED=%llu\n", (unsigned long long)seed);
    struct random_json r = {.dice = {seed}, .depth_max = 5, .distinct = true, .nulls = true};
    struct buf one = {0}, two = {0}, first = {0};
    for (unsigned i = 0; i < RANDOM_MERGES; i++) {
        struct span target = random_object(&r, &one), patch = random_object(&r, &two);
        compare_with_oracle(f, target, patch);
        struct span result = merged(f, target, patch);
        buf_reset(&first, SIZE_MAX);
        buf_add_span(&first, result);
        struct json_found found;
        if (json_scan(f->j, buf_span(&first), true, &found) != (long)first.bytes)
            fail_msg("%.*s with %.*s: %.*s at %zu: %s", SPAN_ARGS(target), SPAN_ARGS(patch),
                     SPAN_ARGS(buf_span(&first)), found.bad_at, found.why);
        assert_int_equal(found.type, JSON_OBJECT);
        assert_false(found.spaced);
        result = merged(f, buf_span(&first), patch);
        assert_true(span_eq(result, buf_span(&first)));
    }
    buf_finish(&one);
    buf_finish(&two);
    buf_finish(&first);
}

static double merge_ms(struct json *j, struct span target, struct span patch, struct buf *out)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(merge_patch(j, target, patch, out), 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static struct span many(struct buf *text, const char *member, unsigned first)
{
    buf_reset(text, SIZE_MAX);
    for (unsigned i = 0; i < 100000; i++)
        buf_printf(text, "%c\"%s%u\":%s", i == 0 ? '{' : ',', i % 8 == 0 ? "\\u006e" : "n",
                   first + i, member);
    buf_add_char(text, '}');
    return buf_span(text);
}

/* 15 to 30 ms as released. The bound leaves room for sanitizers and busy machines, and none for a
 * search of each name among all. */
static void a_hundred_thousand_names_take_linear_time(void **state)
{
    struct fixture *f = *state;
    static const char *const members[] = {"1", "null", "{\"x\":1}", "{\"x\":{}}"};
    struct buf one = {0}, two = {0}, out = {0};
    for (unsigned i = 0; i < 4; i++) {
        buf_reset(&out, SIZE_MAX);
        struct span target = many(&one, i % 2 == 0 ? "{\"x\":0}" : "1", 50000);
        double took = merge_ms(f->j, target, many(&two, members[i], 0), &out);
        if (took > 2000)
            fail_msg("%s: %.0f ms", members[i], took);
    }
    json_trim(f->j);
    buf_finish(&one);
    buf_finish(&two);
    buf_finish(&out);
}

/* The best of three merges with itself of `inner` at the bottom of `depth` objects. */
static double nested_ms(struct fixture *f, unsigned depth, struct span inner)
{
    struct buf text = {0}, out = {0};
    for (unsigned i = 0; i < depth; i++)
        buf_add_text(&text, "{\"a\":");
    buf_add_span(&text, inner);
    for (unsigned i = 0; i < depth; i++)
        buf_add_char(&text, '}');
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        buf_reset(&out, SIZE_MAX);
        double took = merge_ms(f->j, buf_span(&text), buf_span(&text), &out);
        best = took < best ? took : best;
        assert_true(span_eq(buf_span(&out), buf_span(&text)));
    }
    buf_finish(&text);
    buf_finish(&out);
    return best;
}

/* Were each level to look through its inner ones once more, this would take 60 times as long. */
static void depth_does_not_multiply_the_time(void **state)
{
    struct buf inner = {0};
    buf_add_char(&inner, '[');
    for (unsigned i = 0; i < 1000000; i++)
        buf_add_text(&inner, "1,");
    buf_add_text(&inner, "1]");
    double flat = nested_ms(*state, 1, buf_span(&inner));
    double deep = nested_ms(*state, 63, buf_span(&inner));
    if (deep > 10 * flat + 20)
        fail_msg("%.0f ms, flat %.0f ms", deep, flat);
    buf_finish(&inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cases_of_rfc_7396_on_objects_hold),
        cmocka_unit_test(what_is_not_touched_keeps_spelling_and_place),
        cmocka_unit_test(a_replaced_member_keeps_its_name_and_place),
        cmocka_unit_test(new_members_follow_in_the_order_of_the_patch),
        cmocka_unit_test(names_are_compared_as_they_read),
        cmocka_unit_test(nulls_are_stripped_from_new_objects_at_every_depth),
        cmocka_unit_test(nulls_in_arrays_are_kept),
        cmocka_unit_test(a_name_belongs_to_its_own_object),
        cmocka_unit_test(the_result_is_appended),
        cmocka_unit_test(past_a_limit_it_fails_and_the_next_works),
        cmocka_unit_test(random_objects_merge_as_rfc_7396_says),
        cmocka_unit_test(a_hundred_thousand_names_take_linear_time),
        cmocka_unit_test(depth_does_not_multiply_the_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
