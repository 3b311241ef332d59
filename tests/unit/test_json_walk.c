/* The rules of framing and of the walks over accepted text. Every text ends at a guarded page. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "guard.h"
#include "json_samples.h"

enum { GUARDED_BYTES = 64 * 1024 };

static int set_up(void **state)
{
    struct guard *g = malloc(sizeof *g);
    assert_non_null(g);
    *g = guard_create(GUARDED_BYTES);
    *state = g;
    return 0;
}

static int tear_down(void **state)
{
    guard_destroy(*state);
    free(*state);
    return 0;
}

static void expect_text(struct span got, struct span wanted)
{
    if (!span_eq(got, wanted))
        fail_msg("%.*s, not %.*s", SPAN_ARGS(got), SPAN_ARGS(wanted));
}

static void expect_json(struct span text)
{
    struct json *j;
    struct json_found found;
    assert_int_equal(json_create(&j, 7, 64), 0);
    long result = json_scan(j, text, true, &found);
    if (result != (long)text.bytes)
        fail_msg("%.*s: %ld at %zu", SPAN_ARGS(text), result, found.bad_at);
    json_destroy(j);
}

/* Where the frame of `text` ends when it comes in pieces, cut at the two places; 0: nowhere. */
static size_t frame_in_pieces(struct guard *g, struct span text, size_t first, size_t second)
{
    struct json_frame f = {0};
    const size_t cuts[] = {0, first, second, text.bytes};
    for (int i = 0; i < 3; i++) {
        size_t bytes = cuts[i + 1] - cuts[i];
        size_t end = json_frame(&f, guard_copy(g, span(text.at + cuts[i], bytes)));
        assert_true(end <= bytes);
        if (end != 0)
            return cuts[i] + end;
    }
    return 0;
}

static void a_frame_ends_where_the_object_does_however_it_is_cut(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        if (json_samples[i].type != JSON_OBJECT)
            continue;
        struct span text = json_samples[i].text;
        char longer[1024];
        int bytes = snprintf(longer, sizeof longer, " \r\n%.*s}{\"\":\"", SPAN_ARGS(text));
        struct span both = span(longer, (size_t)bytes);
        for (size_t a = 0; a <= both.bytes; a++)
            for (size_t b = a; b <= both.bytes; b += 1 + (b - a) / 8)
                assert_int_equal(frame_in_pieces(*state, both, a, b), text.bytes + 3);
        for (size_t cut = 0; cut < text.bytes; cut++)
            assert_int_equal(frame_in_pieces(*state, span(text.at, cut), cut / 3, cut / 2), 0);
    }
}

static void a_frame_starts_anew_behind_its_object(void **state)
{
    struct json_frame f = {0};
    struct span text = guard_copy(*state, span_of("{\"a\":\"{\"}{} {\"b\":{}}"));
    static const size_t ends[] = {9, 2, 9};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(json_frame(&f, text), ends[i]);
        text = span(text.at + ends[i], text.bytes - ends[i]);
    }
    assert_int_equal(text.bytes, 0);
    assert_int_equal(json_frame(&f, span(NULL, 0)), 0);
    assert_int_equal(json_frame(&f, span_of("}")), 1); /* not an object: for json_scan to refuse */
    assert_int_equal(json_frame(&f, span_of("{}")), 2);
}

/* White space as the grammar has it, told by a scanner of one state. */
static size_t squeeze(struct span text, char *to)
{
    size_t bytes = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.at[i];
        if (c == '"')
            in_string = !in_string;
        if (in_string || strchr(" \t\r\n", c) == NULL || c == '\0')
            to[bytes++] = c;
        if (in_string && c == '\\')
            to[bytes++] = text.at[++i];
    }
    return bytes;
}

static void compact_text_has_no_space_but_in_strings(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        struct span text = guard_copy(*state, json_samples[i].text);
        char compact[1024], squeezed[1024], again[1024];
        struct span got = span(compact, json_compact(text, compact));
        expect_text(got, span(squeezed, squeeze(text, squeezed)));
        expect_text(span(again, json_compact(got, again)), got);
        assert_int_equal(got.bytes == text.bytes, !json_samples[i].spaced);
        expect_json(got);
    }
}

static void a_walk_yields_each_member_in_order(void **state)
{
    static const char text[] =
        "{ \"a\" : 1 ,\n\"b\\n\":[ {\"x\":1}, \"]\" ],\"\":{\"a\":2 } , \"d\""
        ":\"}\\\"\",\"e\":-1.5e3\t,\"f\":null}";
    static const char *const wanted[][3] = {
        {"a", "1", "\"a\" : 1"},
        {"b\\n", "[ {\"x\":1}, \"]\" ]", "\"b\\n\":[ {\"x\":1}, \"]\" ]"},
        {"", "{\"a\":2 }", "\"\":{\"a\":2 }"},
        {"d", "\"}\\\"\"", "\"d\":\"}\\\"\""},
        {"e", "-1.5e3", "\"e\":-1.5e3"},
        {"f", "null", "\"f\":null"},
    };
    expect_json(span_of(text));
    char compact[sizeof text];
    size_t bytes = json_compact(span_of(text), compact);
    struct json_walk w = json_walk(guard_copy(*state, span_of(text)));
    struct json_member m;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_true(json_next(&w, &m));
        expect_text(m.name, span_of(wanted[i][0]));
        expect_text(m.value, span_of(wanted[i][1]));
        expect_text(m.whole, span_of(wanted[i][2]));
    }
    assert_false(json_next(&w, &m));
    assert_false(json_next(&w, &m));

    size_t covered = 1; /* braces and commas are what lies between the members of compact text */
    for (w = json_walk(guard_copy(*state, span(compact, bytes))); json_next(&w, &m);)
        covered += m.whole.bytes + 1;
    assert_int_equal(covered, bytes);
}

static void a_walk_yields_each_element_in_order(void **state)
{
    static const char text[] = "[ 1 ,{\"a\":[2]} ,\n\"가]\",[ ] , null]";
    static const char *const wanted[] = {"1", "{\"a\":[2]}", "\"가]\"", "[ ]", "null"};
    expect_json(span_of(text));
    struct json_walk w = json_walk(guard_copy(*state, span_of(text)));
    struct span element;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_true(json_next_element(&w, &element));
        expect_text(element, span_of(wanted[i]));
    }
    assert_false(json_next_element(&w, &element));
    assert_int_equal(*w.at, ']');
    w = json_walk(guard_copy(*state, span_of("[ \n]")));
    assert_false(json_next_element(&w, &element));
}

static void an_empty_object_has_no_members(void **state)
{
    struct json_member m;
    struct json_walk w = json_walk(guard_copy(*state, span_of("{}")));
    assert_false(json_next(&w, &m));
    w = json_walk(guard_copy(*state, span_of("{ \n}")));
    assert_false(json_next(&w, &m));
}

static void a_value_is_measured_and_told_by_its_first_byte(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        struct span text = json_samples[i].text;
        struct span alone = guard_copy(*state, text);
        assert_int_equal(json_value_bytes(alone), text.bytes);
        assert_int_equal(json_type_of(alone), json_samples[i].type);
        static const char *const behind[] = {",\"a\":1}", "}", "]", " ", "\n]"};
        for (size_t k = 0; k < sizeof behind / sizeof *behind; k++) {
            char longer[1024];
            int bytes = snprintf(longer, sizeof longer, "%.*s%s", SPAN_ARGS(text), behind[k]);
            assert_int_equal(json_value_bytes(guard_copy(*state, span(longer, (size_t)bytes))),
                             text.bytes);
        }
    }
}

/* What stands between the quotes, and what it reads. */
static const struct {
    struct span raw, word;
} strings[] = {
    {TEXT(""), TEXT("")},
    {TEXT("a"), TEXT("a")},
    {TEXT("\\\"\\\\\\/\\b\\f\\n\\r\\t"), TEXT("\"\\/\b\f\n\r\t")},
    {TEXT("\\u0000\\u0041\\u007f"), TEXT("\0A\x7f")},
    {TEXT("\\u0080\\u07ff\\u0800\\uffff"), TEXT("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
    {TEXT("\\uD800\\uDC00\\udbff\\udfff"), TEXT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
    {TEXT("x\\ud83d\\ude00y\xf0\x9f\x98\x80"), TEXT("x\xf0\x9f\x98\x80y\xf0\x9f\x98\x80")},
    {TEXT("\\\\u0041"), TEXT("\\u0041")},
    {TEXT("\xec\x9a\xb0\\uc6b0"), TEXT("\xec\x9a\xb0\xec\x9a\xb0")},
};

static void a_string_is_what_it_decodes_to(void **state)
{
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        struct span raw = guard_copy(*state, strings[i].raw), word = strings[i].word;
        char decoded[128];
        assert_true(raw.bytes <= sizeof decoded);
        expect_text(span(decoded, json_string_decode(raw, decoded)), word);
        for (size_t k = 0; k < sizeof strings / sizeof *strings; k++)
            assert_int_equal(json_string_is(raw, strings[k].word), k == i);
        if (word.bytes != 0)
            assert_false(json_string_is(raw, span(word.at, word.bytes - 1)));
        assert_false(json_string_is(raw, span(decoded, word.bytes + 1)));
    }
    assert_true(json_string_is(span_of(""), span(NULL, 0)));
    assert_false(json_string_is(span_of("\\n"), span_of("\\n")));
}

static void a_quoted_text_is_json_and_reads_the_same(void **state)
{
    struct buf out = {0};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        buf_reset(&out, SIZE_MAX);
        json_quote(&out, guard_copy(*state, strings[i].word));
        expect_json(buf_span(&out));
        assert_true(json_string_is(span(out.at + 1, out.bytes - 2), strings[i].word));
    }
    for (unsigned c = 0; c < 0x80; c++) {
        char text[3] = {'a', (char)c, 'b'};
        buf_reset(&out, SIZE_MAX);
        json_quote(&out, span(text, 3));
        expect_json(buf_span(&out));
        assert_true(json_string_is(span(out.at + 1, out.bytes - 2), span(text, 3)));
        assert_int_equal(out.bytes == 5, c >= 0x20 && c != '"' && c != '\\');
    }
    buf_reset(&out, SIZE_MAX);
    json_quote(&out, span(NULL, 0));
    expect_text(buf_span(&out), span_of("\"\""));
    buf_finish(&out);
}

static void a_byte_that_is_no_utf_8_is_quoted_as_the_replacement_character(void **state)
{
#define FFFD "\xef\xbf\xbd"
    static const char *const texts[][2] = {
        {"a\x80z", "\"a" FFFD "z\""},
        {"\xc3\xa9\xc3", "\"\xc3\xa9" FFFD "\""},
        {"\xed\xa0\x80", "\"" FFFD FFFD FFFD "\""},
        {"\xf0\x9f\x98", "\"" FFFD FFFD FFFD "\""},
        {"\xff\"\n\x01", "\"" FFFD "\\\"\\n\\u0001\""},
        {"0123456789abcdef\xe2\x82\xac\xe2\x82", "\"0123456789abcdef\xe2\x82\xac" FFFD FFFD "\""},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buf_reset(&out, SIZE_MAX);
        json_quote(&out, guard_copy(*state, span_of(texts[i][0])));
        expect_text(buf_span(&out), span_of(texts[i][1]));
        expect_json(buf_span(&out));
    }
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_ends_where_the_object_does_however_it_is_cut),
        cmocka_unit_test(a_frame_starts_anew_behind_its_object),
        cmocka_unit_test(compact_text_has_no_space_but_in_strings),
        cmocka_unit_test(a_walk_yields_each_member_in_order),
        cmocka_unit_test(a_walk_yields_each_element_in_order),
        cmocka_unit_test(an_empty_object_has_no_members),
        cmocka_unit_test(a_value_is_measured_and_told_by_its_first_byte),
        cmocka_unit_test(a_string_is_what_it_decodes_to),
        cmocka_unit_test(a_quoted_text_is_json_and_reads_the_same),
        cmocka_unit_test(a_byte_that_is_no_utf_8_is_quoted_as_the_replacement_character),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
