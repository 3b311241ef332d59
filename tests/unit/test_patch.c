/* The rules of json_patch: RFC 6902 on objects, its limits, and what it leaves open: spelling and
 * place. */
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
#include "record/json_equal.h"
#include "record/patch.h"

enum { GUARDED_BYTES = 256 * 1024 };

struct fixture {
    struct json *j;
    struct guard target, patch; /* each text ends at a guarded page */
    struct buf out, scratch;
    struct patch_limits limits;
    struct patch_fault fault;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(json_create(&f->j, 6902, 64), 0);
    f->target = guard_create(GUARDED_BYTES);
    f->patch = guard_create(GUARDED_BYTES);
    f->limits = (struct patch_limits){.bytes_max = 100000, .depth_max = 64, .work_max = 1000000};
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
    buf_finish(&f->scratch);
    free(f);
    return 0;
}

static int patched(struct fixture *f, struct span target, struct span patch)
{
    struct json_found found;
    int rc = json_patch(&f->limits, guard_copy(&f->target, target), guard_copy(&f->patch, patch),
                        &f->out, &f->fault);
    if (rc == 0) {
        assert_true(json_scan(f->j, buf_span(&f->out), true, &found) > 0);
        assert_int_equal(found.type, JSON_OBJECT);
        assert_false(found.spaced);
    } else {
        assert_true(rc == ERR_NO_MEMORY || f->fault.why != NULL);
    }
    return rc;
}

static void expect(struct fixture *f, const char *target, const char *patch, const char *wanted)
{
    int rc = patched(f, span_of(target), span_of(patch));
    if (rc != 0)
        fail_msg("%s with %s: %s", target, patch, f->fault.why);
    if (!span_is(buf_span(&f->out), wanted))
        fail_msg("%s with %s: %.*s, not %s", target, patch, SPAN_ARGS(buf_span(&f->out)), wanted);
}

static void expect_refusal(struct fixture *f, int code, unsigned operation, const char *target,
                           const char *patch)
{
    int rc = patched(f, span_of(target), span_of(patch));
    if (rc != code || f->fault.operation != operation)
        fail_msg("%s with %s: %d at operation %u (%s), expected %d at %u", target, patch, rc,
                 f->fault.operation, f->fault.why, code, operation);
}

#define ADD(path, value)     "{\"op\":\"add\",\"path\":\"" path "\",\"value\":" value "}"
#define REPLACE(path, value) "{\"op\":\"replace\",\"path\":\"" path "\",\"value\":" value "}"
#define TEST(path, value)    "{\"op\":\"test\",\"path\":\"" path "\",\"value\":" value "}"
#define REMOVE(path)         "{\"op\":\"remove\",\"path\":\"" path "\"}"
#define MOVE(from, path)     "{\"op\":\"move\",\"from\":\"" from "\",\"path\":\"" path "\"}"
#define COPY(from, path)     "{\"op\":\"copy\",\"from\":\"" from "\",\"path\":\"" path "\"}"

static void the_examples_of_rfc_6902_hold(void **state)
{
    struct fixture *f = *state;
    expect(f, "{\"foo\":\"bar\"}", "[" ADD("/baz", "\"qux\"") "]",
           "{\"foo\":\"bar\",\"baz\":\"qux\"}");
    expect(f, "{\"foo\":[\"bar\",\"baz\"]}", "[" ADD("/foo/1", "\"qux\"") "]",
           "{\"foo\":[\"bar\",\"qux\",\"baz\"]}");
    expect(f, "{\"baz\":\"qux\",\"foo\":\"bar\"}", "[" REMOVE("/baz") "]", "{\"foo\":\"bar\"}");
    expect(f, "{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[" REMOVE("/foo/1") "]",
           "{\"foo\":[\"bar\",\"baz\"]}");
    expect(f, "{\"baz\":\"qux\",\"foo\":\"bar\"}", "[" REPLACE("/baz", "\"boo\"") "]",
           "{\"baz\":\"boo\",\"foo\":\"bar\"}");
    expect(f, "{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
           "[" MOVE("/foo/waldo", "/qux/thud") "]",
           "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}");
    expect(f, "{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}", "[" MOVE("/foo/1", "/foo/3") "]",
           "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}");
    expect(f, "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
           "[" TEST("/baz", "\"qux\"") "," TEST("/foo/1", "2") "]",
           "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}");
    expect_refusal(f, ERR_PRECONDITION_FAILED, 1, "{\"baz\":\"qux\"}",
                   "[" TEST("/baz", "\"bar\"") "]");
    expect(f, "{\"foo\":\"bar\"}", "[" ADD("/child", "{\"grandchild\":{}}") "]",
           "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}");
    expect_refusal(f, ERR_PRECONDITION_FAILED, 1, "{\"foo\":\"bar\"}",
                   "[" ADD("/baz/bat", "\"qux\"") "]");
    expect(f, "{\"/\":9,\"~1\":10}", "[" TEST("/~01", "10") "]", "{\"/\":9,\"~1\":10}");
    expect_refusal(f, ERR_PRECONDITION_FAILED, 1, "{\"/\":9,\"~1\":10}",
                   "[" TEST("/~01", "\"10\"") "]");
    expect(f, "{\"foo\":[\"bar\"]}", "[" ADD("/foo/-", "[\"abc\",\"def\"]") "]",
           "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}");
}

static void what_is_not_touched_keeps_spelling_and_place(void **state)
{
    struct fixture *f = *state;
    expect(f, "{\"\\u0061\":1.0,\"b\":1e2,\"c\":\"\\u00e9\"}", "[" REPLACE("/a", "2") "]",
           "{\"\\u0061\":2,\"b\":1e2,\"c\":\"\\u00e9\"}");
    expect(f, "{\"a\":1,\"b\":2,\"c\":3}", "[" ADD("/b", "[]") "]", "{\"a\":1,\"b\":[],\"c\":3}");
    expect(f, "{\"a\":1,\"b\":2,\"c\":3}", "[" REMOVE("/c") "," REMOVE("/a") "]", "{\"b\":2}");
    expect(f, "{\"a\":1}", "[" REMOVE("/a") "]", "{}");
    expect(f, "{\"a\":1}", "[" REMOVE("/a") "," ADD("/\\ud55c\\uae00", "1") "]", "{\"한글\":1}");
    expect(f, "{\"한글\":{\"값\":[1]}}",
           "[" ADD("/한글/값/0", "\"둘\"") "," TEST("/\\ud55c글/값/1", "1") "]",
           "{\"한글\":{\"값\":[\"둘\",1]}}");
    expect(f, "{\"a\":1}", "[" MOVE("/a", "/a") "," COPY("/a", "/a") "]", "{\"a\":1}");
    expect(f, "{}", "[" ADD("/", "1") "," ADD("/\\u0000\\\"", "2") "]",
           "{\"\":1,\"\\u0000\\\"\":2}");
    expect(f, "{\"a\":1}", "[" ADD("", "{\"b\":2}") "," REPLACE("", "{\"c\":3}") "]", "{\"c\":3}");
    expect(f, "{\"a\":1}", "[" COPY("", "/b") "," TEST("/b", "{\"a\":1}") "]",
           "{\"a\":1,\"b\":{\"a\":1}}");
    expect(f, "{\"a\":[]}", "[" ADD("/a/0", "1") "," ADD("/a/1", "2") "," ADD("/a/0", "0") "]",
           "{\"a\":[0,1,2]}");
    expect(f, "{\"a\":{}}", "[{\"value\":1,\"x\":[{}],\"path\":\"/a/b\",\"\\u006fp\":\"add\"}]",
           "{\"a\":{\"b\":1}}");
    expect(f, "{\"a\":1}", "[]", "{\"a\":1}");
}

static void what_is_not_there_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const patches[] = {
        "[" TEST("", "{\"a\":[1,2],\"b\":\"x\"}") "," REMOVE("/c") "]",
        "[" TEST("/a/1", "2") "," REMOVE("/a/2") "]",
        "[" TEST("/a/1", "2") "," REMOVE("/a/-") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/3", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/01", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/-1", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/1e0", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/18446744073709551615", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/18446744073709551616", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/a/", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/b/0", "1") "]",
        "[" TEST("/a/1", "2") "," ADD("/c/d", "1") "]",
        "[" TEST("/a/1", "2") "," REPLACE("/c", "1") "]",
        "[" TEST("/a/1", "2") "," MOVE("/c", "/d") "]",
        "[" TEST("/a/1", "2") "," COPY("/c", "/d") "]",
        "[" TEST("/a/1", "2") "," TEST("/c", "null") "]",
        "[" TEST("/a/1", "2") "," MOVE("/a", "/a2/x") "]",
    };
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++)
        expect_refusal(f, ERR_PRECONDITION_FAILED, 2, "{\"a\":[1,2],\"b\":\"x\"}", patches[i]);
}

static void what_is_no_patch_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const patches[] = {
        "[1]",
        "[[]]",
        "[{}]",
        "[{\"op\":\"add\",\"value\":1}]",
        "[{\"path\":\"/a\",\"value\":1}]",
        "[{\"op\":\"spam\",\"path\":\"/a\",\"value\":1}]",
        "[{\"op\":1,\"path\":\"/a\"}]",
        "[{\"op\":\"Add\",\"path\":\"/a\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":null,\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/a\"}]",
        "[{\"op\":\"test\",\"path\":\"/a\"}]",
        "[{\"op\":\"replace\",\"path\":\"/a\"}]",
        "[{\"op\":\"move\",\"path\":\"/a\"}]",
        "[{\"op\":\"copy\",\"path\":\"/a\",\"from\":1}]",
        "[" ADD("a", "1") "]",
        "[" ADD("/a~", "1") "]",
        "[" ADD("/a~2", "1") "]",
        "[" COPY("a", "/b") "]",
        "[" MOVE("/a", "/a/b") "]",
        "[" MOVE("", "/a") "]",
    };
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++)
        expect_refusal(f, ERR_BAD_REQUEST, 1, "{\"a\":{}}", patches[i]);
    expect_refusal(f, ERR_BAD_REQUEST, 0, "{}", "{}");
    expect_refusal(f, ERR_NOT_OBJECT, 1, "{}", "[" REMOVE("") "]");
    expect_refusal(f, ERR_NOT_OBJECT, 1, "{}", "[" ADD("", "[]") "]");
    expect_refusal(f, ERR_NOT_OBJECT, 1, "{\"a\":1}", "[" COPY("/a", "") "]");
}

static void limits_hold_after_each_operation(void **state)
{
    struct fixture *f = *state;
    f->limits.bytes_max = 20;
    expect(f, "{\"a\":1}", "[" ADD("/b", "12345678") "]", "{\"a\":1,\"b\":12345678}");
    expect_refusal(f, ERR_TOO_LARGE, 1, "{\"a\":1}",
                   "[" ADD("/b", "123456789") "," REMOVE("/b") "]");
    f->limits.bytes_max = 100000;
    f->limits.depth_max = 3;
    expect(f, "{\"a\":{}}", "[" ADD("/a/b", "[1,\"[\\\"{\"]") "]",
           "{\"a\":{\"b\":[1,\"[\\\"{\"]}}");
    expect_refusal(f, ERR_BAD_JSON, 1, "{\"a\":{}}", "[" ADD("/a/b", "[[]]") "]");
    expect_refusal(f, ERR_BAD_JSON, 1, "{\"a\":{\"b\":{}}}", "[" COPY("", "/a/b/c") "]");
    expect_refusal(f, ERR_BAD_JSON, 2, "{\"a\":{}}", "[" COPY("", "/b") "," COPY("/b", "/b/b") "]");
}

/* A patch may name the same large value many times. */
static void the_work_is_bounded(void **state)
{
    struct fixture *f = *state;
    static char target[20001], patch[200000];
    char *to = target + sprintf(target, "{\"a\":\"");
    memset(to, 'x', 15000);
    strcpy(to + 15000, "\",\"b\":1}");
    to = patch + sprintf(patch, "[" TEST("/b", "1"));
    for (int i = 0; i < 1000; i++)
        to += sprintf(to, "," TEST("/b", "1"));
    strcpy(to, "]");
    assert_int_equal(patched(f, span_of(target), span_of(patch)), ERR_TOO_LARGE);
    f->limits.work_max = 20 * 1000 * 1000;
    assert_int_equal(patched(f, span_of(target), span_of(patch)), 0);

    to = target + sprintf(target, "{\"a\":{\"n\":0"); /* the same members, in the opposite order */
    for (int i = 0; i < 1000; i++)
        to += sprintf(to, ",\"m%04d\":0", i);
    strcpy(to, "}}");
    to = patch + sprintf(patch, "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{");
    for (int i = 1000; i-- > 0;)
        to += sprintf(to, "\"m%04d\":0,", i);
    strcpy(to, "\"n\":0}}]");
    assert_int_equal(patched(f, span_of(target), span_of(patch)), 0);
    f->limits.work_max = 1000 * 1000;
    assert_int_equal(patched(f, span_of(target), span_of(patch)), ERR_TOO_LARGE);
}

/* Who counts it would else let pass what costs as much as the record is long. */
static void the_work_of_a_refused_patch_is_told(void **state)
{
    static const char *const patches[] = {"[" REMOVE("/c") "]", "[" REMOVE("/b/c") "]",
                                          "[" REMOVE("/a/7/x") "]", "[{}]", "{}"};
    struct fixture *f = *state;
    static const char target[] = "{\"a\":[1,2,3],\"b\":1}";
    for (unsigned i = 0; i < sizeof patches / sizeof *patches; i++) {
        size_t work = 5;
        f->limits.work = &work;
        assert_int_not_equal(patched(f, span_of(target), span_of(patches[i])), 0);
        assert_in_range(work, 5 + sizeof target - 1, 5 + 4 * sizeof target);
    }
}

static void values_are_compared_by_what_they_mean(void **state)
{
    struct fixture *f = *state;
    static const char *const same[][2] = {
        {"1", "1.0"},
        {"1", "1e0"},
        {"10", "1e1"},
        {"100", "1E+2"},
        {"0.01", "1e-2"},
        {"-0", "0"},
        {"0e9", "0.00"},
        {"1.50", "15e-1"},
        {"12.34", "0.1234e2"},
        {"120", "1.2e2"},
        {"1e999999999999999999", "1e999999999999999999"},
        {"123456789012345678901234567890", "123456789012345678901234567890.0"},
        {"1e007", "1e7"},
        {"\"a\"", "\"\\u0061\""},
        {"\"\\ud83d\\ude00\"", "\"😀\""},
        {"\"/\"", "\"\\/\""},
        {"[]", "[]"},
        {"[1,[2]]", "[1.0,[2]]"},
        {"{}", "{}"},
        {"{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"\\u0061\":1.0}"},
        {"null", "null"},
    };
    static const char *const different[][2] = {
        {"1", "2"},
        {"1", "-1"},
        {"1", "10"},
        {"1", "1.1"},
        {"0.1", "0.01"},
        {"1", "\"1\""},
        {"1e15", "1e16"},
        {"123456789012345678901234567890", "123456789012345678901234567891"},
        {"0", "1e-999"},
        {"\"a\"", "\"A\""},
        {"\"a\"", "\"ab\""},
        {"\"\"", "\"\\u0000\""},
        {"[]", "{}"},
        {"[1]", "[1,2]"},
        {"[1,2]", "[1]"},
        {"[1,2]", "[2,1]"},
        {"{}", "{\"a\":1}"},
        {"{\"a\":1}", "{\"b\":1}"},
        {"{\"a\":1}", "{\"a\":2}"},
        {"{\"a\":1,\"b\":2}", "{\"a\":1}"},
        {"null", "false"},
        {"true", "false"},
        {"null", "0"},
    };
    for (int swap = 0; swap < 2; swap++) {
        size_t work = 100000;
        for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
            if (json_equal(span_of(same[i][swap]), span_of(same[i][!swap]), &work, &f->scratch) !=
                1)
                fail_msg("%s is not %s", same[i][swap], same[i][!swap]);
        for (size_t i = 0; i < sizeof different / sizeof different[0]; i++)
            if (json_equal(span_of(different[i][swap]), span_of(different[i][!swap]), &work,
                           &f->scratch) != 0)
                fail_msg("%s is %s", different[i][swap], different[i][!swap]);
    }
}

/* A long name with an escape, which is looked for among many others and is not there. */
static void names_are_decoded_once_for_all_that_they_are_compared_with(void **state)
{
    enum { MEMBERS = 20000, LONG_BYTES = 200000, CPU_S_MAX = 2 };
    struct fixture *f = *state;
    struct buf a = {0}, b = {0};
    size_t work = 64 * 1024 * 1024;
    buf_add_text(&a, "{\"\\n");
    for (int i = 0; i < LONG_BYTES; i++)
        buf_add_char(&a, 'x');
    buf_add_text(&a, "\":1");
    buf_add_text(&b, "{\"y\":1");
    for (int i = 1; i < MEMBERS; i++) {
        buf_printf(&a, ",\"%d\":1", i);
        buf_printf(&b, ",\"%d\":1", i);
    }
    buf_add_char(&a, '}');
    buf_add_char(&b, '}');
    clock_t began = clock();
    int rc = json_equal(buf_span(&a), buf_span(&b), &work, &f->scratch);
    double cpu_s = (double)(clock() - began) / CLOCKS_PER_SEC;
    buf_finish(&a);
    buf_finish(&b);
    assert_int_equal(rc, 0);
    if (cpu_s > CPU_S_MAX)
        fail_msg("%.3f s of a processor, and not %d", cpu_s, CPU_S_MAX);
}

static void expect_id(struct fixture *f, const char *record, int code, const char *wanted)
{
    buf_reset(&f->out, SIZE_MAX);
    buf_add_text(&f->out, record);
    int rc = patch_id_first(&f->out, span_of("7"));
    if (rc != code || (rc == 0 && !span_is(buf_span(&f->out), wanted)))
        fail_msg("%s: %d, %.*s", record, rc, SPAN_ARGS(buf_span(&f->out)));
}

static void the_id_is_the_first_member_again(void **state)
{
    struct fixture *f = *state;
    expect_id(f, "{\"id\":7}", 0, "{\"id\":7}");
    expect_id(f, "{\"id\":7,\"a\":1}", 0, "{\"id\":7,\"a\":1}");
    expect_id(f, "{\"a\":1,\"id\":7}", 0, "{\"id\":7,\"a\":1}");
    expect_id(f, "{\"a\":1,\"b\":2,\"id\":7,\"c\":3}", 0, "{\"id\":7,\"a\":1,\"b\":2,\"c\":3}");
    expect_id(f, "{\"\\u0069d\":7,\"a\":1}", 0, "{\"id\":7,\"a\":1}");
    expect_id(f, "{\"\\u0069d\":7}", 0, "{\"id\":7}");
    expect_id(f, "{}", ERR_ID_MISMATCH, NULL);
    expect_id(f, "{\"a\":7}", ERR_ID_MISMATCH, NULL);
    expect_id(f, "{\"id\":8}", ERR_ID_MISMATCH, NULL);
    expect_id(f, "{\"id\":7.0}", ERR_ID_MISMATCH, NULL);
    expect_id(f, "{\"id\":\"7\"}", ERR_ID_MISMATCH, NULL);
}

int main(void)
{
#define RULE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(the_examples_of_rfc_6902_hold),
        RULE(what_is_not_touched_keeps_spelling_and_place),
        RULE(what_is_not_there_is_refused),
        RULE(what_is_no_patch_is_refused),
        RULE(limits_hold_after_each_operation),
        RULE(the_work_is_bounded),
        RULE(the_work_of_a_refused_patch_is_told),
        RULE(values_are_compared_by_what_they_mean),
        RULE(names_are_decoded_once_for_all_that_they_are_compared_with),
        RULE(the_id_is_the_first_member_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
