/*
 * What json_scan accepts, compared with jansson and yajl over random texts, and with the public
 * cases of JSONTestSuite where they are at hand. Each allowed difference is a predicate below.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <yajl/yajl_parse.h>

#include "base/err.h"
#include "guard.h"
#include "json_oracle.h"
#include "json_random.h"
#include "record/json.h"

enum { DEPTH = 64, TEXTS = 40000, TEXT_BYTES_MAX = 256 * 1024 };

static bool we_accept(struct json *j, struct span text)
{
    struct json_found found;
    long result = json_scan(j, text, true, &found);
    assert_true(result == (long)text.bytes || result == ERR_BAD_JSON ||
                (result > 0 && result < (long)text.bytes));
    return result > 0;
}

static bool yajl_accepts(struct span text)
{
    yajl_handle h = yajl_alloc(NULL, NULL, NULL);
    assert_non_null(h);
    bool accepted = yajl_parse(h, (const unsigned char *)text.at, text.bytes) == yajl_status_ok &&
                    yajl_complete_parse(h) == yajl_status_ok;
    yajl_free(h);
    return accepted;
}

/* Levels of brackets outside strings. */
static unsigned depth_of(struct span text)
{
    unsigned depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.at[i];
        if (c == '"')
            in_string = !in_string;
        else if (c == '\\')
            i++;
        else if (!in_string && (c == '[' || c == '{'))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_string && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return deepest;
}

/* jansson keeps numbers in 64 bits, and names without NUL. */
static bool jansson_cannot_hold(enum json_error_code why)
{
    return why == json_error_numeric_overflow || why == json_error_null_byte_in_key;
}

/* jansson swallows a NUL byte behind a number or a word. */
static bool jansson_misses_a_nul(struct span text)
{
    for (size_t i = 1; i < text.bytes; i++)
        if (text.at[i] == '\0' && isalnum((unsigned char)text.at[i - 1]))
            return true;
    return false;
}

static bool holds(struct span text, const char *word)
{
    return memmem(text.at, text.bytes, word, strlen(word)) != NULL;
}

/* yajl takes duplicate names, each half of a surrogate pair, and UTF-8 that is not the shortest or
 * encodes a surrogate or what is above U+10FFFF. jansson sees the first and the last. */
static bool yajl_is_lenient(struct span text, enum json_error_code jansson_why)
{
    return jansson_why == json_error_duplicate_key || jansson_why == json_error_invalid_utf8 ||
           jansson_cannot_hold(jansson_why) || holds(text, "\\ud") || holds(text, "\\uD");
}

/* yajl takes the beginning of a string behind the value, as if nothing were there. */
static bool yajl_misses_an_open_string(struct span text)
{
    size_t at = oracle_value_bytes(text);
    while (at < text.bytes && memchr(" \t\r\n", text.at[at], 4) != NULL)
        at++;
    return at > 0 && at < text.bytes && text.at[at] == '"';
}

static void print_text(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned c = (unsigned char)text.at[i];
        if (c >= 0x20 && c < 0x7f)
            putchar((int)c);
        else
            printf("<%02x>", c);
    }
    putchar('\n');
}

/* Returns whether the text is JSON. */
static bool compare(struct json *j, struct span text)
{
    enum json_error_code why;
    json_t *value = oracle_reads(text, &why);
    bool ours = we_accept(j, text);
    bool jansson = value != NULL;
    bool yajl = yajl_accepts(text);
    json_decref(value);
    bool deep = depth_of(text) > DEPTH;
    bool jansson_fits = ours == jansson || (ours && jansson_cannot_hold(why)) ||
                        (!ours && (deep || jansson_misses_a_nul(text)));
    bool yajl_fits =
        ours == yajl ||
        (!ours && (deep || yajl_is_lenient(text, why) || yajl_misses_an_open_string(text)));
    if (!jansson_fits || !yajl_fits) {
        print_text(text);
        fail_msg("accepted: ours %d, jansson %d (%d), yajl %d", ours, jansson, why, yajl);
    }
    return ours;
}

static void others_accept_and_refuse_the_same_texts(void **state)
{
    (void)state;
    uint64_t seed = dice_seed(8259);
    printf("NOTED_SEED=%llu\n", (unsigned long long)seed);
    struct json *j;
    assert_int_equal(json_create(&j, seed, DEPTH), 0);
    struct guard guard = guard_create(TEXT_BYTES_MAX);
    struct buf text = {.bytes_max = TEXT_BYTES_MAX};
    struct random_json r = {.dice = {seed}, .depth_max = 5};
    unsigned accepted = 0;
    for (unsigned i = 0; i < TEXTS; i++) {
        buf_reset(&text, SIZE_MAX);
        r.spaced = dice_below(&r.dice, 2) == 0;
        r.distinct = dice_below(&r.dice, 2) == 0;
        unsigned deeper = dice_below(&r.dice, 64) == 0 ? 60 + dice_below(&r.dice, 6) : 0;
        for (unsigned k = 0; k < deeper; k++)
            buf_add_char(&text, '[');
        random_json_value(&r, &text, 0, dice_below(&r.dice, 2) == 0);
        for (unsigned k = 0; k < deeper; k++)
            buf_add_char(&text, ']');
        for (unsigned k = dice_below(&r.dice, 3); k > 0; k--)
            random_damage(&r, &text);
        assert_false(text.failed);
        accepted += compare(j, guard_copy(&guard, buf_span(&text)));
    }
    printf("%u of %u are JSON\n", accepted, TEXTS);
    assert_in_range(accepted, TEXTS / 5, TEXTS * 4 / 5);
    buf_finish(&text);
    guard_destroy(&guard);
    json_destroy(j);
}

static void expect_same_string(struct span raw, const json_t *theirs)
{
    struct span word = span(json_string_value(theirs), json_string_length(theirs));
    char *decoded = malloc(raw.bytes + 1);
    assert_non_null(decoded);
    if (!json_string_is(raw, word) ||
        !span_eq(span(decoded, json_string_decode(raw, decoded)), word))
        fail_msg("\"%.*s\" is not %.*s", SPAN_ARGS(raw), SPAN_ARGS(word));
    free(decoded);
}

/* Every member is there, once; strings read the same. */
static void expect_same(struct span value, const json_t *theirs)
{
    const char type = oracle_type(theirs);
    assert_int_equal(json_type_of(value), json_type_of(span(&type, 1)));
    if (type == '"')
        expect_same_string(span(value.at + 1, value.bytes - 2), theirs);
    if (type != '{')
        return;
    struct json_walk w = json_walk(value);
    struct json_member m;
    size_t count = 0;
    for (; json_next(&w, &m); count++) {
        char name[4096];
        assert_true(m.name.bytes < sizeof name);
        name[json_string_decode(m.name, name)] = '\0';
        json_t *member = json_object_get(theirs, name);
        assert_non_null(member);
        expect_same(m.value, member);
    }
    assert_int_equal(count, json_object_size(theirs));
}

static void others_read_the_same_members(void **state)
{
    (void)state;
    uint64_t seed = dice_seed(7159);
    struct buf text = {0};
    struct random_json r = {.dice = {seed}, .depth_max = 5, .spaced = true};
    unsigned compared = 0;
    for (unsigned i = 0; i < TEXTS / 4; i++) {
        buf_reset(&text, SIZE_MAX);
        r.distinct = dice_below(&r.dice, 2) == 0;
        random_json_value(&r, &text, 0, true);
        enum json_error_code why;
        json_t *theirs = oracle_reads(buf_span(&text), &why);
        struct span value = buf_span(&text);
        while (value.bytes > 0 && value.at[0] != '{')
            value = span(value.at + 1, value.bytes - 1);
        if (theirs != NULL)
            expect_same(value, theirs);
        compared += theirs != NULL;
        json_decref(theirs);
    }
    assert_true(compared > TEXTS / 16);
    buf_finish(&text);
}

/* What the suite leaves open (i_): any number, but strict UTF-8 without a byte-order mark, whole
 * surrogate pairs and DEPTH levels. What it accepts (y_) is JSON but for duplicate names. */
static bool is_json(const char *name)
{
    if (name[0] == 'i')
        return strncmp(name, "i_number_", 9) == 0;
    return name[0] == 'y' && strstr(name, "duplicated_key") == NULL;
}

static void check_file(struct json *j, const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(TEXT_BYTES_MAX);
    assert_non_null(text);
    size_t bytes = fread(text, 1, TEXT_BYTES_MAX, file);
    assert_true(bytes < TEXT_BYTES_MAX);
    fclose(file);
    struct guard guard = guard_create(bytes);
    if (we_accept(j, guard_copy(&guard, span(text, bytes))) != is_json(name))
        fail_msg("%s: accepted %d", name, !is_json(name));
    guard_destroy(&guard);
    free(text);
}

static void the_public_cases_are_judged_as_documented(void **state)
{
    (void)state;
    const char *shared = getenv("NOTED_SHARED");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/json-parsing/test_parsing",
             shared != NULL ? shared : "../shared/data");
    DIR *d = opendir(folder);
    if (d == NULL) {
        printf("no public cases at %s: not run\n", folder);
        return;
    }
    struct json *j;
    assert_int_equal(json_create(&j, 1, DEPTH), 0);
    unsigned count = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        check_file(j, folder, e->d_name);
        count++;
    }
    printf("%u public cases\n", count);
    assert_true(count > 0);
    closedir(d);
    json_destroy(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_accept_and_refuse_the_same_texts),
        cmocka_unit_test(others_read_the_same_members),
        cmocka_unit_test(the_public_cases_are_judged_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
