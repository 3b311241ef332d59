/* The head of a request: what is taken, limits, and that it does not matter how the bytes are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_heads.h"

/* --- What is taken --- */

static void the_request_of_a_load_generator_is_taken(void **state)
{
    (void)state;
    struct http_head h = accepted("GET /notes/7 HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n\r\n");
    assert_int_equal(h.method, METHOD_GET);
    assert_int_equal(h.minor, 1);
    assert_true(h.keep_alive);
    assert_false(h.chunked || h.has_length || h.expect_continue);
    assert_int_equal(h.body_bytes, 0);
    is_text(h.target, "/notes/7");
    is_text(h.host, "127.0.0.1:5001");
    assert_null(h.content_type.at);
    assert_null(h.accept.at);
    assert_null(h.if_match.at);
    assert_null(h.if_none_match.at);
    assert_null(h.idempotency_key.at);
    assert_null(h.noted_min_seq.at);
    assert_null(h.noted_wait_ms.at);
    assert_null(h.origin.at);
}

static void every_field_of_the_contract_is_found(void **state)
{
    (void)state;
    struct http_head h = accepted("PATCH /notes/7?a=b HTTP/1.1\r\n"
                                  "hOST: [::1]:5001\r\n"
                                  "User-Agent: curl/8.5.0\r\n"
                                  "aCCEPT: application/problem+json\r\n"
                                  "Content-Type: application/merge-patch+json; charset=utf-8\r\n"
                                  "CONTENT-LENGTH: 13\r\n"
                                  "If-Match: \"12\"\r\n"
                                  "If-None-Match: *\r\n"
                                  "Idempotency-Key: \"0123456789\"\r\n"
                                  "noted-min-seq: 41\r\n"
                                  "Noted-Wait-Ms: 250\r\n"
                                  "Origin: http://localhost:5001\r\n"
                                  "Expect: 100-Continue\r\n"
                                  "\r\n");
    assert_int_equal(h.method, METHOD_PATCH);
    is_text(h.target, "/notes/7?a=b");
    is_text(h.host, "[::1]:5001");
    is_text(h.accept, "application/problem+json");
    is_text(h.content_type, "application/merge-patch+json; charset=utf-8");
    is_text(h.if_match, "\"12\"");
    is_text(h.if_none_match, "*");
    is_text(h.idempotency_key, "\"0123456789\"");
    is_text(h.noted_min_seq, "41");
    is_text(h.noted_wait_ms, "250");
    is_text(h.origin, "http://localhost:5001");
    assert_true(h.has_length && h.expect_continue);
    assert_int_equal(h.body_bytes, 13);
}

/* Each has the length of a known name and shares its first letter or more. */
static void a_name_that_is_nearly_a_known_one_is_another(void **state)
{
    (void)state;
    struct http_head h = accepted_lines(
        "hosd: x\r\naccepd: x\r\norigim: x\r\nAgency: x\r\nif-matcc: x\r\ncontent-typo: x\r\n"
        "if-none-matce: x\r\nnoted-min-sex: x\r\nnoted-wait-mx: x\r\ncontent-lengtt: 5\r\n"
        "idempotency-kee: x\r\ntransfer-encodinc: chunked\r\nexpecd: 100-continue\r\n"
        "connectiom: close\r\nproxy-connection: close\r\n");
    is_text(h.host, "a");
    assert_true(h.keep_alive);
    assert_false(h.chunked || h.has_length || h.expect_continue);
    assert_null(h.accept.at);
    assert_null(h.origin.at);
    assert_null(h.if_match.at);
    assert_null(h.content_type.at);
    assert_null(h.if_none_match.at);
    assert_null(h.noted_min_seq.at);
    assert_null(h.noted_wait_ms.at);
    assert_null(h.idempotency_key.at);
}

static void values_come_without_white_space_around_them(void **state)
{
    (void)state;
    struct http_head h = accepted_lines("Accept:\t \ta/b ,\tc \t \r\nOrigin:x\r\nIf-Match:\r\n"
                                        "If-None-Match:  \t\r\nContent-Length:   7  \r\n");
    is_text(h.accept, "a/b ,\tc");
    is_text(h.origin, "x");
    is_text(h.if_match, "");
    is_text(h.if_none_match, "");
    assert_int_equal(h.body_bytes, 7);
}

static void a_value_may_hold_bytes_beyond_ascii(void **state)
{
    (void)state;
    struct http_head h = accepted_lines("Idempotency-Key: \xed\x95\x9c\xff\r\n");
    is_text(h.idempotency_key, "\xed\x95\x9c\xff");
}

static void methods_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum method method;
    } list[] = {{"GET", METHOD_GET},         {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},
                {"PUT", METHOD_PUT},         {"PATCH", METHOD_PATCH},   {"DELETE", METHOD_DELETE},
                {"OPTIONS", METHOD_OPTIONS}, {"TRACE", METHOD_OTHER},   {"get", METHOD_OTHER},
                {"GETS", METHOD_OTHER},      {"QUERY", METHOD_OTHER},   {"M-SEARCH", METHOD_OTHER},
                {"SOURCE", METHOD_OTHER},    {"!#$%&'*", METHOD_OTHER}, {"PURGE", METHOD_OTHER},
                {"G", METHOD_OTHER}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char head[128];
        snprintf(head, sizeof head, "%s /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
                 list[i].word);
        struct http_head h = accepted(head);
        assert_int_equal(h.method, list[i].method);
        assert_int_equal(h.body_bytes, 3);
        is_text(h.target, "/x");
    }
}

static void the_method_is_told_after_an_error_too(void **state)
{
    (void)state;
    static const char *const late[] = {
        "HEAD / HTTP/1.1\r\n\r\n",
        "HEAD /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\n\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "HEAD / HTTP/3.0\r\nHost: a\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        struct outcome o = parse_whole(late[i], strlen(late[i]), HEAD_MAX, URI_MAX);
        assert_true(o.bytes < 0);
        assert_int_equal(o.head.method, METHOD_HEAD);
    }
    struct outcome o = parse_whole("\x16\x03\x01", 3, HEAD_MAX, URI_MAX);
    assert_int_equal(o.bytes, ERR_BAD_REQUEST);
    assert_int_equal(o.head.method, METHOD_OTHER);
}

static void empty_lines_before_a_request_are_skipped_up_to_eight(void **state)
{
    (void)state;
    struct http_head h = accepted("\r\n\r\nPUT /n/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(h.method, METHOD_PUT);
    is_text(h.target, "/n/1");
    accepted("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void connections_stay_as_version_and_connection_say(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool in_1_0, in_1_1;
    } list[] = {
        {"", false, true},
        {"Connection: close\r\n", false, false},
        {"Connection: CLOSE\r\n", false, false},
        {"Connection: Keep-Alive\r\n", true, true},
        {"Connection: keep-alive, close\r\n", false, false},
        {"Connection: close , keep-alive\r\n", false, false},
        {"Connection: keep-alive\r\nConnection: close\r\n", false, false},
        {"Connection: Upgrade,keep-alive\r\n", true, true},
        {"Connection: closed\r\n", false, true},
        {"Connection: ,,\tclose\t,\r\n", false, false},
        {"Connection:\r\n", false, true},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET / HTTP/1.0\r\n%s\r\n", list[i].lines);
        struct http_head h = accepted(head);
        assert_int_equal(h.minor, 0);
        assert_int_equal(h.keep_alive, list[i].in_1_0);
        assert_int_equal(accepted_lines(list[i].lines).keep_alive, list[i].in_1_1);
    }
}

static void an_upgrade_is_ignored(void **state)
{
    (void)state;
    struct http_head h = accepted_lines("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
                                        "Content-Length: 4\r\n");
    assert_true(h.keep_alive);
    assert_int_equal(h.body_bytes, 4);
}

static void an_expectation_counts_in_1_1_only(void **state)
{
    (void)state;
    assert_true(accepted_lines("Expect: 100-continue\r\n").expect_continue);
    assert_false(accepted_lines("Expect: 200-ok\r\n").expect_continue);
    assert_false(accepted("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
}

static void http_1_0_needs_no_host(void **state)
{
    (void)state;
    struct http_head h = accepted("GET / HTTP/1.0\r\n\r\n");
    assert_null(h.host.at);
    assert_false(h.keep_alive);
}

static void an_absolute_url_is_cut_to_its_path_and_names_the_host(void **state)
{
    (void)state;
    struct http_head h = accepted("GET http://b:1/n?x HTTP/1.1\r\nHost: a\r\n\r\n");
    is_text(h.target, "/n?x");
    is_text(h.host, "b:1");
    h = accepted("GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n");
    is_text(h.target, "/");
    is_text(h.host, "b");
    bad("GET http://b/ HTTP/1.1\r\n\r\n");
    bad("GET http:///n HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET http://u@b/n HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET http: HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET ftp://b/n HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET ://b/n HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET b/n HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void a_star_is_for_options(void **state)
{
    (void)state;
    is_text(accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target, "*");
    bad("GET * HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n");
}

/* --- Limits --- */

static void a_head_may_have_exactly_its_limit(void **state)
{
    (void)state;
    const char *text = "GET /notes HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t n = strlen(text);
    assert_int_equal(parse_whole(text, n, n, URI_MAX).bytes, n);
    assert_int_equal(parse_slowly(text, n, n, URI_MAX).bytes, n);
    assert_int_equal(parse_whole(text, n, n - 1, URI_MAX).bytes, ERR_HEAD_TOO_LARGE);
    assert_int_equal(parse_slowly(text, n, n - 1, URI_MAX).bytes, ERR_HEAD_TOO_LARGE);
    assert_int_equal(parse_whole(text, n - 2, n - 1, URI_MAX).bytes, 0);
    assert_int_equal(parse_whole(text, n - 1, n - 1, URI_MAX).bytes, ERR_HEAD_TOO_LARGE);
    assert_int_equal(parse_whole(text, 12, 12, URI_MAX).bytes, ERR_HEAD_TOO_LARGE);
    assert_int_equal(parse_whole("\r\n\r\n", 4, 4, URI_MAX).bytes, ERR_HEAD_TOO_LARGE);
}

static void a_url_may_have_exactly_its_limit(void **state)
{
    (void)state;
    const char *text = "HEAD /234567890 HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t n = strlen(text);
    assert_int_equal(parse_whole(text, n, HEAD_MAX, 10).bytes, n);
    assert_int_equal(parse_whole(text, n, HEAD_MAX, 9).bytes, ERR_URI_TOO_LONG);
    assert_int_equal(parse_slowly(text, n, HEAD_MAX, 9).bytes, ERR_URI_TOO_LONG);
    struct outcome early = parse_whole(text, strlen("HEAD /234567890"), HEAD_MAX, 9);
    assert_int_equal(early.bytes, ERR_URI_TOO_LONG);
    assert_int_equal(early.head.method, METHOD_HEAD);
    assert_int_equal(parse_whole(text, strlen("HEAD /23456789"), HEAD_MAX, 9).bytes, 0);
    assert_int_equal(parse_whole(text, strlen("HEAD /234567890"), 15, 9).bytes, ERR_URI_TOO_LONG);
}

static void a_method_has_at_most_32_bytes(void **state)
{
    (void)state;
    accepted("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(ERR_NOT_IMPLEMENTED, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(ERR_NOT_IMPLEMENTED, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456");
}

static char *long_head(size_t value_bytes, size_t *n)
{
    static const char start[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    char *text = malloc(sizeof start + value_bytes + 4);
    assert_non_null(text);
    memcpy(text, start, sizeof start - 1);
    memset(text + sizeof start - 1, 'x', value_bytes);
    memcpy(text + sizeof start - 1 + value_bytes, "\r\n\r\n", 4);
    *n = sizeof start - 1 + value_bytes + 4;
    return text;
}

static void a_limit_above_the_librarys_own_ends_there(void **state)
{
    (void)state;
    size_t n;
    char *text = long_head(79 * 1024, &n);
    assert_int_equal(parse_whole(text, n, 1 << 20, URI_MAX).bytes, n);
    free(text);
    text = long_head(81 * 1024, &n);
    assert_int_equal(parse_whole(text, n, 1 << 20, URI_MAX).bytes, ERR_HEAD_TOO_LARGE);
    free(text);
}

static void a_head_that_comes_slowly_is_searched_once(void **state)
{
    (void)state;
    size_t n, scanned = 0;
    char *text = long_head(8 * 1024, &n);
    struct http_head h;
    const char *why;
    assert_int_equal(http_head_parse(span(text, n - 3), HEAD_MAX, URI_MAX, &scanned, &h, &why), 0);
    assert_int_equal(scanned, n - 4); /* the CR without its LF */
    text[100] = '\n';                 /* not looked at again */
    assert_int_equal(http_head_parse(span(text, n - 2), HEAD_MAX, URI_MAX, &scanned, &h, &why), 0);
    assert_int_equal(scanned, n - 2);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_of_a_load_generator_is_taken),
        cmocka_unit_test(every_field_of_the_contract_is_found),
        cmocka_unit_test(a_name_that_is_nearly_a_known_one_is_another),
        cmocka_unit_test(values_come_without_white_space_around_them),
        cmocka_unit_test(a_value_may_hold_bytes_beyond_ascii),
        cmocka_unit_test(methods_are_told_apart),
        cmocka_unit_test(the_method_is_told_after_an_error_too),
        cmocka_unit_test(empty_lines_before_a_request_are_skipped_up_to_eight),
        cmocka_unit_test(connections_stay_as_version_and_connection_say),
        cmocka_unit_test(an_upgrade_is_ignored),
        cmocka_unit_test(an_expectation_counts_in_1_1_only),
        cmocka_unit_test(http_1_0_needs_no_host),
        cmocka_unit_test(an_absolute_url_is_cut_to_its_path_and_names_the_host),
        cmocka_unit_test(a_star_is_for_options),
        cmocka_unit_test(a_head_may_have_exactly_its_limit),
        cmocka_unit_test(a_url_may_have_exactly_its_limit),
        cmocka_unit_test(a_method_has_at_most_32_bytes),
        cmocka_unit_test(a_limit_above_the_librarys_own_ends_there),
        cmocka_unit_test(a_head_that_comes_slowly_is_searched_once),
    };
    return cmocka_run_group_tests(tests, map_guard, unmap_guard);
}
