/* Text as JSON strings: always valid JSON, whatever the bytes are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/json_text.h"

static void quoted(const char *bytes, size_t n, const char *expected)
{
    struct buf b = {0};
    buf_add_json(&b, span(bytes, n));
    buf_add_char(&b, '\0');
    assert_string_equal(b.at, expected);
    buf_finish(&b);
}

static void plain_text_stands_between_quotes(void **state)
{
    (void)state;
    quoted("", 0, "\"\"");
    quoted("a/b 'c' \x7f", 9, "\"a/b 'c' \x7f\"");
    quoted("a한글\xf0\x9f\x98\x80z", 12, "\"a한글\xf0\x9f\x98\x80z\"");
}

static void quotes_backslashes_and_control_bytes_are_escaped(void **state)
{
    (void)state;
    quoted("\"a\\\n\r\t\0\x1b\x1f ", 10, "\"\\\"a\\\\\\n\\r\\t\\u0000\\u001b\\u001f \"");
}

static void each_byte_outside_utf_8_becomes_the_replacement_character(void **state)
{
    (void)state;
    quoted("a\xff\xc3", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    quoted("\x80z", 2, "\"\xef\xbf\xbdz\"");
    quoted("\xed\x95", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void a_character_is_what_rfc_3629_takes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n, expected;
    } list[] = {
        {"", 0, 0},
        {"\0", 1, 1},
        {"a", 1, 1},
        {"\x7f", 1, 1},
        {"\x80", 1, 0},
        {"\xc1\xbf", 2, 0}, /* overlong */
        {"\xc2\x80", 2, 2},
        {"\xc2\x7f", 2, 0},
        {"\xc2\xc0", 2, 0},
        {"\xdf\xbfz", 3, 2},
        {"\xe0\x9f\xbf", 3, 0}, /* overlong */
        {"\xe0\xa0\x80", 3, 3},
        {"\xed\x9f\xbf", 3, 3},
        {"\xed\xa0\x80", 3, 0}, /* surrogate */
        {"\xef\xbf\xbf", 3, 3},
        {"\xef\xbf", 2, 0},
        {"\xef\xbfz", 3, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
        {"\xf0\x90\x80\x80", 4, 4},
        {"\xf4\x8f\xbf\xbf", 4, 4},
        {"\xf4\x90\x80\x80", 4, 0}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xf0\x90\x80", 3, 0},
        {"\xf0\x90\x80\xc0", 4, 0},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        assert_int_equal(utf8_char_bytes(span(list[i].bytes, list[i].n)), list[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stands_between_quotes),
        cmocka_unit_test(quotes_backslashes_and_control_bytes_are_escaped),
        cmocka_unit_test(each_byte_outside_utf_8_becomes_the_replacement_character),
        cmocka_unit_test(a_character_is_what_rfc_3629_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
