/* Rules of the byte buffer, of the list of errors, and of the clock. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

/* An allocation that cannot be is an answer here, not the end of the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void assert_text(const struct buf *b, const char *expected)
{
    assert_int_equal(b->bytes, strlen(expected));
    assert_memory_equal(b->at, expected, b->bytes);
}

/* --- Appending --- */

static void appends_stand_one_behind_the_other(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_add_text(&b, "seq ");
    buf_add_u64(&b, 42);
    buf_add_char(&b, ',');
    buf_add(&b, "\0x", 2);
    buf_add_span(&b, span("abcdef", 3));
    buf_printf(&b, "-%d-%s", 7, "z");
    assert_false(b.failed);
    assert_int_equal(b.bytes, strlen("seq 42,") + 2 + strlen("abc-7-z"));
    assert_memory_equal(b.at, "seq 42,\0xabc-7-z", b.bytes);
    assert_true(span_eq(buf_span(&b), span(b.at, b.bytes)));
    buf_finish(&b);
    assert_null(b.at);
}

static void appending_nothing_is_no_failure(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_add(&b, NULL, 0);
    buf_add_span(&b, span(NULL, 0));
    buf_add_text(&b, "");
    buf_printf(&b, "%s", "");
    assert_int_equal(b.bytes, 0);
    assert_false(b.failed);
    buf_finish(&b);
}

static void content_outlives_growth(void **state)
{
    (void)state;
    struct buf b = {0};
    for (unsigned i = 0; i < 10000; i++)
        buf_add_char(&b, (char)(i * 31));
    assert_int_equal(b.bytes, 10000);
    assert_true(b.size >= b.bytes && b.size < 4 * b.bytes);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(b.at[i], (char)(i * 31));
    buf_finish(&b);
}

static void room_is_there_before_it_is_used(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_add_text(&b, "head");
    char *to = buf_room(&b, 5000);
    assert_non_null(to);
    assert_ptr_equal(to, b.at + 4);
    assert_int_equal(b.bytes, 4);
    memset(to, 'x', 5000);
    b.bytes += 5000;
    buf_add_char(&b, '!');
    assert_memory_equal(b.at, "headxx", 6);
    assert_memory_equal(b.at + 5002, "xx!", 3);
    buf_finish(&b);
}

/* --- Failing --- */

static void the_ceiling_is_reached_but_not_passed(void **state)
{
    (void)state;
    struct buf b = {.bytes_max = 10};
    buf_add(&b, "0123456789", 10);
    assert_false(b.failed);
    buf_add(&b, NULL, 0);
    assert_false(b.failed);
    buf_add_char(&b, 'x');
    assert_true(b.failed);
    assert_text(&b, "0123456789");
    buf_finish(&b);
    assert_int_equal(b.bytes_max, 10);
}

static void after_a_failure_every_append_is_ignored(void **state)
{
    (void)state;
    struct buf b = {.bytes_max = 10};
    buf_add_text(&b, "before");
    buf_add_text(&b, "too long");
    assert_true(b.failed);
    buf_add_char(&b, 'x');
    buf_add_u64(&b, 1);
    buf_printf(&b, "x");
    assert_null(buf_room(&b, 0));
    assert_text(&b, "before");
    buf_finish(&b);
}

static void what_finds_no_memory_appends_nothing(void **state)
{
    (void)state;
    const size_t too_much[] = {SIZE_MAX, SIZE_MAX - 6, SIZE_MAX / 2, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof too_much / sizeof *too_much; i++) {
        struct buf b = {0};
        buf_add_text(&b, "before");
        assert_null(buf_room(&b, too_much[i]));
        assert_true(b.failed);
        assert_text(&b, "before");
        buf_finish(&b);
    }
}

static void a_format_that_cannot_be_printed_is_a_failure(void **state)
{
    (void)state;
    static const wchar_t no_character[] = {0x7fffffff, 0};
    struct buf b = {0};
    buf_add_text(&b, "before");
    buf_printf(&b, "%ls", no_character);
    assert_true(b.failed);
    assert_text(&b, "before");
    buf_finish(&b);
}

static void memory_of_others_is_filled_to_its_last_byte_and_never_moved(void **state)
{
    (void)state;
    char lent[16];
    struct buf b = {.at = lent, .size = sizeof lent, .bytes_max = sizeof lent};
    for (int i = 0; i < 20; i++)
        buf_add_char(&b, (char)('a' + i));
    assert_ptr_equal(b.at, lent);
    assert_true(b.failed);
    assert_text(&b, "abcdefghijklmnop");
}

/* --- Taking away --- */

static void consuming_drops_the_first_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_add_text(&b, "abcdef");
    buf_consume(&b, 0);
    assert_text(&b, "abcdef");
    buf_consume(&b, 4);
    assert_text(&b, "ef");
    buf_add_text(&b, "gh");
    assert_text(&b, "efgh");
    buf_consume(&b, 4);
    assert_text(&b, "");
    buf_finish(&b);
}

static void a_reset_forgets_content_and_failure_and_keeps_little_memory(void **state)
{
    (void)state;
    struct buf b = {.bytes_max = 2000};
    buf_add_text(&b, "abc");
    assert_null(buf_room(&b, 2000));
    const char *before = b.at;
    buf_reset(&b, b.size);
    assert_text(&b, "");
    assert_false(b.failed);
    assert_ptr_equal(b.at, before);
    assert_non_null(buf_room(&b, 1500));
    buf_reset(&b, 1000);
    assert_null(b.at);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.bytes_max, 2000);
    buf_add_text(&b, "usable");
    assert_text(&b, "usable");
    buf_finish(&b);
}

/* --- Numbers --- */

static void digits_are_those_of_printf_and_read_back_the_same(void **state)
{
    (void)state;
    const uint64_t edges[] = {0, 1, 9, 10, 99, 100, 4294967295U, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        char expected[32], digits[20];
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)edges[i]);
        size_t bytes = u64_digits(edges[i], digits);
        assert_int_equal(bytes, strlen(expected));
        assert_memory_equal(digits, expected, bytes);
        uint64_t value = 1;
        assert_true(u64_parse(span(digits, bytes), &value));
        assert_true(value == edges[i]);
    }
}

static void only_whole_spans_of_digits_without_leading_zeros_are_numbers(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",
        "00",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1a",
        "a",
        "1.0",
        "1e0",
        "0x1",
        "\xc2\xb9",
        "18446744073709551616",
        "99999999999999999999",
        "100000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t value = 77;
        assert_false(u64_parse(span_of(bad[i]), &value));
        assert_int_equal(value, 77);
    }
    uint64_t value;
    assert_false(u64_parse(span("1\0", 2), &value));
    assert_false(u64_parse(span(NULL, 0), &value));
}

/* --- Errors --- */

static const struct {
    int code, status;
    const char *word;
} contract[] = {
    {ERR_BAD_REQUEST, 400, "bad_request"},
    {ERR_BAD_JSON, 400, "bad_json"},
    {ERR_NOT_OBJECT, 400, "not_object"},
    {ERR_ID_NOT_ALLOWED, 400, "id_not_allowed"},
    {ERR_BAD_ID, 400, "bad_id"},
    {ERR_BAD_KEY, 400, "bad_key"},
    {ERR_KEY_REQUIRED, 400, "key_required"},
    {ERR_BAD_PARAMETER, 400, "bad_parameter"},
    {ERR_FOREIGN_ORIGIN, 403, "foreign_origin"},
    {ERR_NOT_FOUND, 404, "not_found"},
    {ERR_METHOD_NOT_ALLOWED, 405, "method_not_allowed"},
    {ERR_REQUEST_TIMEOUT, 408, "request_timeout"},
    {ERR_ID_MISMATCH, 409, "id_mismatch"},
    {ERR_LENGTH_REQUIRED, 411, "length_required"},
    {ERR_PRECONDITION_FAILED, 412, "precondition_failed"},
    {ERR_TOO_LARGE, 413, "too_large"},
    {ERR_USE_TCP, 413, "use_tcp"},
    {ERR_URI_TOO_LONG, 414, "uri_too_long"},
    {ERR_UNSUPPORTED_TYPE, 415, "unsupported_type"},
    {ERR_KEY_REUSED, 422, "key_reused"},
    {ERR_HEAD_TOO_LARGE, 431, "head_too_large"},
    {ERR_INTERNAL, 500, "internal"},
    {ERR_NOT_IMPLEMENTED, 501, "not_implemented"},
    {ERR_BUSY, 503, "busy"},
    {ERR_LAGGING, 503, "lagging"},
    {ERR_NOT_READY, 503, "not_ready"},
    {ERR_NOT_IN_SYNC, 503, "not_in_sync"},
    {ERR_NO_PRIMARY, 503, "no_primary"},
    {ERR_WAITING_FOR_MEMBERS, 503, "waiting_for_members"},
    {ERR_TOO_FEW_COPIES, 503, "too_few_copies"},
    {ERR_OUTCOME_UNKNOWN, 503, "outcome_unknown"},
    {ERR_BAD_VERSION, 505, "bad_version"},
    {ERR_DISK_FULL, 507, "disk_full"},
};

static void each_error_has_the_contracts_status_and_word(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof contract / sizeof *contract; i++) {
        const struct err_info *info = err_info(contract[i].code);
        assert_true(contract[i].code < 0);
        assert_int_equal(info->status, contract[i].status);
        assert_string_equal(info->word, contract[i].word);
        assert_true(strlen(info->sentence) > 0);
    }
}

static void what_is_for_the_inside_or_unknown_reads_internal(void **state)
{
    (void)state;
    const int codes[] = {ERR_NO_MEMORY, ERR_IO, ERR_CORRUPT, ERR_NEWER, ERR_LOCKED, ERR_SYSTEM,
                         ERR_USAGE,     0,      -ERR_COUNT_, 1,         INT32_MAX,  INT32_MIN};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(err_info(codes[i])->status, 500);
        assert_string_equal(err_info(codes[i])->word, "internal");
    }
}

/* --- Clock --- */

static void the_real_clock_tells_microseconds_since_1970_and_never_goes_back(void **state)
{
    (void)state;
    struct clock c = clock_real();
    uint64_t before = (uint64_t)time(NULL);
    uint64_t wall_us = clock_wall_us(&c);
    assert_in_range(wall_us / 1000000, before - 1, before + 60);
    uint64_t last = clock_mono_us(&c);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_us(&c);
        assert_true(now >= last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_stand_one_behind_the_other),
        cmocka_unit_test(appending_nothing_is_no_failure),
        cmocka_unit_test(content_outlives_growth),
        cmocka_unit_test(room_is_there_before_it_is_used),
        cmocka_unit_test(the_ceiling_is_reached_but_not_passed),
        cmocka_unit_test(after_a_failure_every_append_is_ignored),
        cmocka_unit_test(what_finds_no_memory_appends_nothing),
        cmocka_unit_test(a_format_that_cannot_be_printed_is_a_failure),
        cmocka_unit_test(memory_of_others_is_filled_to_its_last_byte_and_never_moved),
        cmocka_unit_test(consuming_drops_the_first_bytes),
        cmocka_unit_test(a_reset_forgets_content_and_failure_and_keeps_little_memory),
        cmocka_unit_test(digits_are_those_of_printf_and_read_back_the_same),
        cmocka_unit_test(only_whole_spans_of_digits_without_leading_zeros_are_numbers),
        cmocka_unit_test(each_error_has_the_contracts_status_and_word),
        cmocka_unit_test(what_is_for_the_inside_or_unknown_reads_internal),
        cmocka_unit_test(the_real_clock_tells_microseconds_since_1970_and_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
