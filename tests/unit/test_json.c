/* The rules of json_scan, one by one. Every input ends at a guarded page. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/limits.h"
#include "guard.h"
#include "json_samples.h"
#include "record/json_names.h"

enum { DEPTH = 64, GUARDED_BYTES = 64 * 1024 };

struct fixture {
    struct json *j;
    struct guard guard;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(json_create(&f->j, 20261122, DEPTH), 0);
    f->guard = guard_create(GUARDED_BYTES);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    json_destroy(f->j);
    guard_destroy(&f->guard);
    free(f);
    return 0;
}

static long scan(struct fixture *f, struct span text, bool whole, struct json_found *found)
{
    *found = (struct json_found){.bad_at = SIZE_MAX};
    long result = json_scan(f->j, guard_copy(&f->guard, text), whole, found);
    assert_int_equal(json_names(f->j)->count, 0);
    return result;
}

static void expect_accepted(struct fixture *f, struct span text)
{
    struct json_found found;
    long result = scan(f, text, true, &found);
    if (result != (long)text.bytes)
        fail_msg("%.*s: %ld at %zu", SPAN_ARGS(text), result, found.bad_at);
}

static void expect_refused(struct fixture *f, struct span text, size_t bad_at)
{
    struct json_found found;
    long result = scan(f, text, true, &found);
    if (result != ERR_BAD_JSON || found.bad_at != bad_at || found.why == NULL)
        fail_msg("%.*s: %ld at %zu, not at %zu", SPAN_ARGS(text), result, found.bad_at, bad_at);
}

static void json_is_accepted_and_described(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        const struct json_sample *sample = &json_samples[i];
        struct json_found found;
        long result = scan(*state, sample->text, true, &found);
        if (result != (long)sample->text.bytes)
            fail_msg("%.*s: %ld at %zu", SPAN_ARGS(sample->text), result, found.bad_at);
        assert_true(span_eq(found.text, sample->text));
        assert_int_equal(found.type, sample->type);
        assert_int_equal(found.spaced, sample->spaced);
    }
}

static void a_strict_prefix_needs_more(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        struct span text = json_samples[i].text;
        struct json_found found;
        for (size_t cut = 0; cut < text.bytes; cut++) {
            long result = scan(*state, span(text.at, cut), false, &found);
            if (result != 0)
                fail_msg("%.*s: %ld at %zu", (int)cut, text.at, result, found.bad_at);
        }
        long bytes = json_samples[i].type == JSON_NUMBER ? 0 : (long)text.bytes;
        assert_int_equal(scan(*state, text, false, &found), bytes);
    }
}

static void an_end_too_early_is_refused_in_a_whole_text(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        struct span text = json_samples[i].text;
        if (json_samples[i].type != JSON_NUMBER)
            for (size_t cut = 0; cut < text.bytes; cut++)
                expect_refused(*state, span(text.at, cut), cut);
    }
    expect_refused(*state, span_of("-"), 1);
    expect_refused(*state, span_of("0."), 2);
    expect_refused(*state, span_of("1e"), 2);
    expect_refused(*state, span_of("1e-"), 3);
    expect_refused(*state, span_of(" \n"), 2);
    expect_refused(*state, span(NULL, 0), 0);
}

static void white_space_around_the_value_is_not_part_of_it(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        struct span text = json_samples[i].text;
        char padded[1024];
        int bytes = snprintf(padded, sizeof padded, "\t\r\n %.*s \n\r\t", SPAN_ARGS(text));
        struct json_found found;
        assert_int_equal(scan(*state, span(padded, (size_t)bytes), true, &found), text.bytes + 4);
        assert_true(span_eq(found.text, text));
        assert_int_equal(found.spaced, json_samples[i].spaced);
        assert_int_equal(scan(*state, span(padded, (size_t)bytes), false, &found), text.bytes + 4);
    }
}

static void text_behind_the_value_is_left_or_refused(void **state)
{
    for (size_t i = 0; i < JSON_SAMPLES; i++) {
        struct span text = json_samples[i].text;
        static const char *const behind[] = {"}", "]", ",1", "\"", "{\"a\":1}", "\xff", "/**/"};
        for (size_t k = 0; k < sizeof behind / sizeof *behind; k++) {
            char longer[1024];
            int bytes = snprintf(longer, sizeof longer, "%.*s%s", SPAN_ARGS(text), behind[k]);
            struct span both = span(longer, (size_t)bytes);
            struct json_found found;
            assert_int_equal(scan(*state, both, false, &found), text.bytes);
            assert_true(span_eq(found.text, text));
            expect_refused(*state, both, text.bytes);
        }
    }
}

/* Not JSON. `seen` is the byte that tells, where that is not the one that is named. */
struct refused {
    struct span text;
    size_t bad_at, seen;
};

static const struct refused refused[] = {
    /* structure */
    {TEXT("}"), 0, 0},
    {TEXT("]"), 0, 0},
    {TEXT(","), 0, 0},
    {TEXT(":"), 0, 0},
    {TEXT("[1}"), 2, 0},
    {TEXT("{\"a\":1]"), 6, 0},
    {TEXT("{]"), 1, 0},
    {TEXT("[}"), 1, 0},
    {TEXT("[,1]"), 1, 0},
    {TEXT("[1,]"), 3, 0},
    {TEXT("[1,,2]"), 3, 0},
    {TEXT("[1 2]"), 3, 0},
    {TEXT("[\"a\" \"b\"]"), 5, 0},
    {TEXT("[1:2]"), 2, 0},
    {TEXT("{,}"), 1, 0},
    {TEXT("{\"a\":1,}"), 7, 0},
    {TEXT("{\"a\":1,,\"b\":2}"), 7, 0},
    {TEXT("{\"a\":1 \"b\":2}"), 7, 0},
    {TEXT("{\"a\",1}"), 4, 0},
    {TEXT("{\"a\"}"), 4, 0},
    {TEXT("{\"a\":}"), 5, 0},
    {TEXT("{\"a\"::1}"), 5, 0},
    {TEXT("{\"a\" 1}"), 5, 0},
    {TEXT("{a:1}"), 1, 0},
    {TEXT("{1:1}"), 1, 0},
    {TEXT("{null:1}"), 1, 0},
    {TEXT("{'a':1}"), 1, 0},
    {TEXT("{{}:1}"), 1, 0},
    {TEXT("{\"a\":'b'}"), 5, 0},
    {TEXT("[\"a\",\n4\n,1,,"), 11, 0},
    /* no JSON at all, comments, other white space, byte-order marks, NUL */
    {TEXT("<a>"), 0, 0},
    {TEXT("abc"), 0, 0},
    {TEXT("'a'"), 0, 0},
    {TEXT("/**/1"), 0, 0},
    {TEXT("{\"a\":1/**/}"), 6, 0},
    {TEXT("[1#\n]"), 2, 0},
    {TEXT("\v1"), 0, 0},
    {TEXT("[\f]"), 1, 0},
    {TEXT("\xc2\xa0[]"), 0, 0},
    {TEXT("[\xe2\x81\xa0]"), 1, 0},
    {TEXT("\xef\xbb\xbf{}"), 0, 0},
    {TEXT("\xff\xfe{\0}\0"), 0, 0},
    {TEXT("\0"), 0, 0},
    {TEXT("{\0}"), 1, 0},
    {TEXT("[1\0]"), 2, 0},
    /* words */
    {TEXT("tru]"), 3, 0},
    {TEXT("True"), 0, 0},
    {TEXT("[trUe]"), 3, 0},
    {TEXT("[truex]"), 5, 0},
    {TEXT("[fals\0]"), 5, 0},
    {TEXT("[nul]"), 4, 0},
    {TEXT("nil"), 1, 0},
    {TEXT("[NaN]"), 1, 0},
    {TEXT("[Infinity]"), 1, 0},
    {TEXT("[-Infinity]"), 2, 0},
    /* numbers */
    {TEXT("[+1]"), 1, 0},
    {TEXT("[.5]"), 1, 0},
    {TEXT("[-.5]"), 2, 0},
    {TEXT("[1.]"), 3, 0},
    {TEXT("[1.e1]"), 3, 0},
    {TEXT("[1.2.3]"), 4, 0},
    {TEXT("[01]"), 2, 0},
    {TEXT("[-00]"), 3, 0},
    {TEXT("012"), 1, 0},
    {TEXT("[0x1]"), 2, 0},
    {TEXT("[1e]"), 3, 0},
    {TEXT("[1e+]"), 4, 0},
    {TEXT("[1e+-1]"), 4, 0},
    {TEXT("[1e1.5]"), 4, 0},
    {TEXT("[1e1e1]"), 4, 0},
    {TEXT("[--1]"), 2, 0},
    {TEXT("[-]"), 2, 0},
    {TEXT("[1-2]"), 2, 0},
    {TEXT("[1_000]"), 2, 0},
    {TEXT("[1 000]"), 3, 0},
    {TEXT("[\xef\xbc\x91]"), 1, 0},
    /* strings */
    {TEXT("\"\n\""), 1, 0},
    {TEXT("\"a\0b\""), 2, 0},
    {TEXT("\"sixteen bytes and \x1f more\""), 19, 0},
    {TEXT("\"\\a\""), 2, 0},
    {TEXT("\"\\x41\""), 2, 0},
    {TEXT("\"\\\n\""), 2, 0},
    {TEXT("\"\\U0041\""), 2, 0},
    {TEXT("\"\\u\""), 3, 0},
    {TEXT("\"\\u004\""), 6, 0},
    {TEXT("\"\\u004g\""), 6, 0},
    {TEXT("\"\\u+041\""), 3, 0},
    {TEXT("\"\\u00\xc3\xa9\""), 5, 0},
    /* halves of surrogate pairs */
    {TEXT("\"\\udc00\""), 1, 4},
    {TEXT("\"\\uDFFF\\ud800\""), 1, 4},
    {TEXT("\"\\ud800\""), 1, 7},
    {TEXT("\"\\ud800a\""), 1, 7},
    {TEXT("\"\\ud800\\n\""), 1, 8},
    {TEXT("\"\\ud800\\u0041\""), 1, 9},
    {TEXT("\"\\ud800\\ud800\""), 1, 10},
    {TEXT("\"\\ud800\\u\""), 1, 9},
    {TEXT("\"\\ud800\\ud\0\""), 1, 10},
    {TEXT("\"\\ud800\\udc0g\""), 12, 0},
    {TEXT("{\"\\udead\":1}"), 2, 5},
    /* UTF-8 (RFC 3629) */
    {TEXT("\"\x80\""), 1, 0},
    {TEXT("\"\xbf\""), 1, 0},
    {TEXT("\"\xc0\x80\""), 1, 0},
    {TEXT("\"\xc1\xbf\""), 1, 0},
    {TEXT("\"\xc3\""), 1, 2},
    {TEXT("\"\xc3\xc3\xa9\""), 1, 2},
    {TEXT("\"\xe0\x9f\xbf\""), 1, 2},
    {TEXT("\"\xed\xa0\x80\""), 1, 2},
    {TEXT("\"\xe2\x82\""), 1, 3},
    {TEXT("\"\xf0\x8f\xbf\xbf\""), 1, 2},
    {TEXT("\"\xf4\x90\x80\x80\""), 1, 2},
    {TEXT("\"\xf0\x90\x80\""), 1, 4},
    {TEXT("\"\xf5\x80\x80\x80\""), 1, 0},
    {TEXT("\"\xff\""), 1, 0},
    {TEXT("\"\xfc\x83\xbf\xbf\xbf\xbf\""), 1, 0},
    {TEXT("{\"\xe9\":1}"), 2, 3},
    {TEXT("\"more than sixteen bytes before \xc3\xa9 and then \xe9\""), 44, 45},
    /* duplicate names */
    {TEXT("{\"a\":1,\"a\":1}"), 7, 9},
    {TEXT("{\"\":1,\"\":2}"), 6, 7},
    {TEXT("{\"a\":1,\"b\":2,\"a\":3}"), 13, 15},
    {TEXT("{\"a\":1,\"\\u0061\":2}"), 7, 14},
    {TEXT("{\"\\u0061\":1,\"a\":2}"), 12, 14},
    {TEXT("{\"\\u00e9\":1,\"\xc3\xa9\":2}"), 12, 15},
    {TEXT("{\"\\n\":1,\"\\u000A\":2}"), 8, 15},
    {TEXT("{\"\\/\":1,\"/\":2}"), 8, 10},
    {TEXT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), 18, 23},
    {TEXT("[{\"x\":{\"a\":{\"b\":1},\"a\":1}}]"), 19, 21},
    {TEXT("{\"a\":{\"b\":1},\"a\":{}}"), 13, 15},
};

static void what_is_not_json_is_refused_at_its_byte_as_soon_as_seen(void **state)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct refused *r = &refused[i];
        size_t seen = r->seen == 0 ? r->bad_at : r->seen;
        assert_true(seen < r->text.bytes);
        for (size_t cut = 0; cut <= r->text.bytes; cut++) {
            struct json_found found;
            long result = scan(*state, span(r->text.at, cut), false, &found);
            bool right =
                cut <= seen ? result == 0 : result == ERR_BAD_JSON && found.bad_at == r->bad_at;
            if (!right)
                fail_msg("%.*s: %ld at %zu", (int)cut, r->text.at, result, found.bad_at);
        }
        expect_refused(*state, r->text, r->bad_at);
    }
}

static void a_string_holds_every_byte_that_rfc_8259_allows(void **state)
{
    static const char frame[] = "\"0123456789abcdef0123456789abcdef012345\"";
    for (size_t at = 1; at < sizeof frame - 2; at++) {
        for (unsigned c = 0; c < 128; c++) {
            char text[sizeof frame];
            memcpy(text, frame, sizeof frame);
            text[at] = (char)c;
            if (c >= 0x20 && c != '"' && c != '\\')
                expect_accepted(*state, span(text, sizeof frame - 1));
            else if (c < 0x20)
                expect_refused(*state, span(text, sizeof frame - 1), at);
        }
    }
}

static size_t encode(uint32_t code, char *to)
{
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

static void every_code_point_but_surrogates_is_utf_8(void **state)
{
    for (uint32_t code = 0x80; code < 0x120000; code += code < 0x11000 ? 1 : 61) {
        char text[6] = "\"";
        size_t bytes = encode(code, text + 1) + 1;
        text[bytes++] = '"';
        if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            expect_refused(*state, span(text, bytes), 1);
        else
            expect_accepted(*state, span(text, bytes));
    }
}

/* All pairs of first and second byte, RFC 3629 section 4 written as the code points they are for.
 */
static void a_sequence_that_is_not_the_shortest_is_refused(void **state)
{
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0x00; second < 0x100; second++) {
            size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
            static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
            uint32_t code = bytes == 2   ? (first & 0x1f) << 6 | (second & 0x3f)
                            : bytes == 3 ? (first & 0x0f) << 12 | (second & 0x3f) << 6
                                         : (first & 0x07) << 18 | (second & 0x3f) << 12;
            bool valid = first >= 0xc0 && first < 0xf8 && (second & 0xc0) == 0x80 &&
                         code >= least[bytes] && code <= 0x10ffff &&
                         (code < 0xd800 || code > 0xdfff);
            char text[] = "\"____\"";
            text[1] = (char)first;
            text[2] = (char)second;
            memset(text + 3, 0x80, bytes - 2);
            text[1 + bytes] = '"';
            if (valid)
                expect_accepted(*state, span(text, bytes + 2));
            else
                expect_refused(*state, span(text, bytes + 2), 1);
        }
    }
}

static void every_unicode_escape_but_half_a_pair_is_accepted(void **state)
{
    for (unsigned unit = 0; unit <= 0xffff; unit++) {
        char text[32];
        snprintf(text, sizeof text, unit % 2 ? "\"\\u%04x\"" : "\"\\u%04X\"", unit);
        if (unit >= 0xd800 && unit <= 0xdfff)
            expect_refused(*state, span_of(text), 1);
        else
            expect_accepted(*state, span_of(text));
        snprintf(text, sizeof text, "\"\\udbff\\u%04x\"", unit);
        if (unit >= 0xdc00 && unit <= 0xdfff)
            expect_accepted(*state, span_of(text));
        else
            expect_refused(*state, span_of(text), 1);
    }
}

/* An object of `count` names of one length, the last but one of them `again` times as the last. */
static struct span object_of(struct buf *text, unsigned count, unsigned name_bytes, bool escaped)
{
    buf_reset(text, SIZE_MAX);
    buf_add_char(text, '{');
    for (unsigned i = 0; i < count; i++)
        buf_printf(text, "%s\"%s%0*u\":%u", i == 0 ? "" : ",",
                   escaped && i % 2 == 0 ? "\\u006e" : "n", (int)name_bytes - 1, i, i);
    buf_add_char(text, '}');
    return buf_span(text);
}

static void a_duplicate_is_found_among_any_number_of_names(void **state)
{
    static const unsigned lengths[] = {4, 63, 64, 65, 66, 300};
    struct buf text = {0};
    for (unsigned count = 1; count < 80; count++) {
        for (size_t k = 0; k < 2 * sizeof lengths / sizeof *lengths; k++) {
            unsigned name_bytes = lengths[k / 2];
            bool escaped = k % 2 == 1;
            expect_accepted(*state, object_of(&text, count, name_bytes, escaped));
            for (unsigned same = 0; same < count; same += 1 + count / 8) {
                object_of(&text, count, name_bytes, escaped);
                size_t second = text.bytes;
                text.at[text.bytes - 1] = ',';
                buf_printf(&text, "\"%s%0*u\":0}", same % 3 == 0 ? "\\u006E" : "n",
                           (int)name_bytes - 1, same);
                expect_refused(*state, buf_span(&text), second);
            }
        }
    }
    buf_finish(&text);
}

static void names_of_other_objects_are_no_duplicates(void **state)
{
    struct buf text = {0}, inner = {0};
    object_of(&inner, 40, 4, true);
    buf_add_char(&text, '{');
    for (unsigned i = 0; i < 40; i++) {
        buf_printf(&text, "%s\"n%03u\":", i == 0 ? "" : ",", i);
        if (i % 2 == 0)
            buf_printf(&text, "[%.*s,%.*s]", SPAN_ARGS(buf_span(&inner)),
                       SPAN_ARGS(buf_span(&inner)));
        else
            buf_printf(&text, "{\"n000\":{\"n000\":{\"n%03u\":1}}}", i);
    }
    size_t before = text.bytes;
    buf_add_char(&text, '}');
    expect_accepted(*state, buf_span(&text));
    text.bytes = before;
    buf_add_text(&text, ",\"n\\u003001\":1}"); /* names are still known behind inner objects */
    expect_refused(*state, buf_span(&text), before + 1);
    buf_finish(&text);
    buf_finish(&inner);
}

static void depth_is_bounded(void **state)
{
    static const unsigned limits[] = {1, 2, 63, 64};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        unsigned limit = limits[i];
        struct json *usual = f->j;
        assert_int_equal(json_create(&f->j, 1, limit), 0);
        char text[2 * DEPTH + 3];
        memset(text, '[', limit);
        memset(text + limit, ']', limit);
        expect_accepted(f, span(text, (size_t)2 * limit));
        memset(text, '[', limit + 1);
        memset(text + limit + 1, ']', limit + 1);
        expect_refused(f, span(text, (size_t)2 * limit + 2), limit);
        text[limit] = '{';
        expect_refused(f, span(text, (size_t)2 * limit + 2), limit);
        json_destroy(f->j);
        f->j = usual;
    }
    struct span million = {malloc(1000000), 1000000};
    assert_non_null(million.at);
    memset((char *)million.at, '[', million.bytes);
    struct json_found found;
    assert_int_equal(json_scan(f->j, million, true, &found), ERR_BAD_JSON);
    assert_int_equal(found.bad_at, DEPTH);
    free((char *)million.at);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* 3 to 10 ms as released. The bound leaves room for sanitizers and busy machines, and none for a
 * check of each name against each. */
static void a_hundred_thousand_names_take_linear_time(void **state)
{
    struct fixture *f = *state;
    struct buf text = {0};
    for (int escaped = 0; escaped < 2; escaped++) {
        struct span object = object_of(&text, 100000, 12, escaped != 0);
        struct json_found found;
        double start = now_ms();
        assert_int_equal(json_scan(f->j, object, true, &found), object.bytes);
        double took = now_ms() - start;
        if (took > 1000)
            fail_msg("%.0f ms", took);
    }
    buf_finish(&text);
}

static void the_scratch_is_reused_and_given_back(void **state)
{
    struct fixture *f = *state;
    struct names *names = json_names(f->j);
    struct buf text = {0};
    json_trim(f->j);
    struct span ordinary = object_of(&text, 60, 12, true);
    expect_accepted(f, ordinary);
    json_trim(f->j);
    const struct names before = *names;
    assert_true(before.size > 0);
    for (int i = 0; i < 100; i++)
        expect_accepted(f, ordinary);
    assert_memory_equal(names, &before, sizeof before);

    struct json_found found;
    struct span big = object_of(&text, 100000, 12, false);
    assert_int_equal(json_scan(f->j, big, true, &found), big.bytes);
    assert_true(names->size >= 100000);
    json_trim(f->j);
    assert_true(names->size * sizeof *names->at + names->slots_size * sizeof *names->slots <=
                64 * KIB);
    assert_int_equal(names->seed, before.seed);
    expect_accepted(f, object_of(&text, 60, 12, true));
    buf_finish(&text);
}

static void without_memory_a_scan_fails_and_the_next_works(void **state)
{
    struct fixture *f = *state;
    struct json_found found;
    json_names(f->j)->decoded.bytes_max = 4;
    assert_int_equal(scan(f, span_of("{\"a\":{\"long \\n name\":1}}"), true, &found),
                     ERR_NO_MEMORY);
    json_names(f->j)->decoded.bytes_max = 0;
    expect_accepted(f, span_of("{\"a\":{\"long \\n name\":1}}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_accepted_and_described),
        cmocka_unit_test(a_strict_prefix_needs_more),
        cmocka_unit_test(an_end_too_early_is_refused_in_a_whole_text),
        cmocka_unit_test(white_space_around_the_value_is_not_part_of_it),
        cmocka_unit_test(text_behind_the_value_is_left_or_refused),
        cmocka_unit_test(what_is_not_json_is_refused_at_its_byte_as_soon_as_seen),
        cmocka_unit_test(a_string_holds_every_byte_that_rfc_8259_allows),
        cmocka_unit_test(every_code_point_but_surrogates_is_utf_8),
        cmocka_unit_test(a_sequence_that_is_not_the_shortest_is_refused),
        cmocka_unit_test(every_unicode_escape_but_half_a_pair_is_accepted),
        cmocka_unit_test(a_duplicate_is_found_among_any_number_of_names),
        cmocka_unit_test(names_of_other_objects_are_no_duplicates),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_hundred_thousand_names_take_linear_time),
        cmocka_unit_test(the_scratch_is_reused_and_given_back),
        cmocka_unit_test(without_memory_a_scan_fails_and_the_next_works),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
