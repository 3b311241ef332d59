/* The head of a request: what is refused, above all where the framing would be in doubt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "http_heads.h"

/* --- What is refused --- */

static void a_bare_lf_is_refused(void **state)
{
    (void)state;
    bad("GET / HTTP/1.1\nHost: a\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a\r\n\n");
    bad("GET / HTTP/1.1\r\n\nHost: a\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 5\r\n\r\n");
    bad("GET / HTTP/1.1\n"); /* at once: nothing else may ever come */
}

static void a_bare_cr_is_refused(void **state)
{
    (void)state;
    bad("GET / HTTP/1.1\rHost: a\r\n\r\n");
    bad_lines("X: a\rb\r\n");
    bad_lines("X: a\r\r\n");
    bad("GET / HTTP/1.1\r\nHost: a\r\n\rX: a\r\n\r\n");
}

static void a_folded_line_is_refused(void **state)
{
    (void)state;
    bad_lines("X: a\r\n b\r\n");
    bad_lines("X: a\r\n\tb\r\n");
    bad_lines("X: a\r\n \r\n");
    bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n");
}

static void white_space_in_a_name_is_refused(void **state)
{
    (void)state;
    bad_lines("Content-Length : 5\r\n");
    bad_lines("Content-Length\t: 5\r\n");
    bad_lines("X Y: 5\r\n");
    bad("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
}

static void a_line_without_name_or_colon_is_refused(void **state)
{
    (void)state;
    bad_lines(": a\r\n");
    bad_lines("X\r\n");
    bad_lines("X(: a\r\n");
    bad_lines("X\xc3\xa9: a\r\n");
    bad_lines("\"X\": a\r\n");
}

static void a_control_byte_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    const char *text = "GET /a HTTP/1.1\r\nHost: a\r\nX: 0123456789abcdef 0123456789abcdef\r\n\r\n";
    size_t n = strlen(text);
    char copy[128];
    for (size_t i = 0; i < n; i++)
        for (unsigned c = 0; c < 0x80; c = c == 0x1f ? 0x7f : c + 1) {
            if (c == '\t')
                continue;
            memcpy(copy, text, n);
            copy[i] = (char)c;
            if (copy[i] != text[i])
                refused_bytes(ERR_BAD_REQUEST, copy, n);
        }
}

static void a_tab_stands_in_values_only(void **state)
{
    (void)state;
    accepted_lines("X:\ta\tb\t\r\n");
    bad("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/1.1\t\r\nHost: a\r\n\r\n");
}

static void spaces_in_the_request_line_are_exactly_two(void **state)
{
    (void)state;
    bad(" GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad(" / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET  HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /  HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/1.1 \r\nHost: a\r\n\r\n");
    bad("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET/ HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /\r\nHost: a\r\n\r\n"); /* HTTP/0.9 */
    bad("GET \r\n\r\n");
    bad("GET\r\n\r\n");
}

static void what_does_not_begin_with_a_method_is_refused_at_once(void **state)
{
    (void)state;
    bad("\x16\x03\x01\x02"); /* TLS */
    bad("{\"method\"");
    bad("@");
    bad("G(T / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET\\ / HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("\x80");
}

static void a_url_is_visible_ascii_without_fragment(void **state)
{
    (void)state;
    accepted("GET /%ED%95%9C?a=b&c[]={d}|\"<e>^`~\\ HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /\xed\x95\x9c HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET /n#f HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET #f HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void only_1_0_and_1_1_are_spoken(void **state)
{
    (void)state;
    refused(ERR_BAD_VERSION, "GET / HTTP/1.2\r\nHost: a\r\n\r\n");
    refused(ERR_BAD_VERSION, "GET / HTTP/0.9\r\nHost: a\r\n\r\n");
    refused(ERR_BAD_VERSION, "GET / HTTP/2.0\r\nHost: a\r\n\r\n");
    refused(ERR_BAD_VERSION, "GET / HTTP/9.1\r\nHost: a\r\n\r\n");
    refused(ERR_BAD_VERSION, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); /* RFC 9113 section 3.4 */
    bad("GET / HTTP/1.10\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/11.1\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/1\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/1.\r\n\r\n");
    bad("GET / HTTP/1.x\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/x.1\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/1,1\r\nHost: a\r\n\r\n");
    bad("GET / http/1.1\r\nHost: a\r\n\r\n");
    bad("GET / HTTX/1.1\r\nHost: a\r\n\r\n");
    bad("GET / \r\n\r\n");
    bad("SOURCE / ICE/1.0\r\nHost: a\r\n\r\n");
}

static void connect_is_not_implemented(void **state)
{
    (void)state;
    refused(ERR_NOT_IMPLEMENTED, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
}

static void http_1_1_needs_exactly_one_well_formed_host(void **state)
{
    (void)state;
    bad("GET / HTTP/1.1\r\n\r\n");
    bad("GET / HTTP/1.1\r\nX: a\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n");
    bad("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: a#b\r\n\r\n");
    bad("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n");
    is_text(accepted("GET / HTTP/1.1\r\nHost:\r\n\r\n").host, "");
}

static void a_field_of_ours_comes_once(void **state)
{
    (void)state;
    static const char *const names[] = {"Accept",        "Origin",          "If-Match",
                                        "If-None-Match", "Content-Type",    "Noted-Min-Seq",
                                        "Noted-Wait-Ms", "Idempotency-Key", "Content-Length"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char twice[128];
        snprintf(twice, sizeof twice, "%s: 5\r\n", names[i]);
        accepted_lines(twice);
        snprintf(twice, sizeof twice, "%s: 5\r\n%s: 5\r\n", names[i], names[i]);
        bad_lines(twice);
    }
    bad_lines("Accept:\r\nAccept:\r\n");
    accepted_lines("X: a\r\nX: b\r\n");
}

/* --- Framing (RFC 9112 section 6): in doubt, refused --- */

static void a_length_is_digits_that_fit(void **state)
{
    (void)state;
    assert_int_equal(accepted_lines("Content-Length: 0\r\n").body_bytes, 0);
    assert_true(accepted_lines("Content-Length: 0\r\n").has_length);
    assert_int_equal(accepted_lines("Content-Length: 007\r\n").body_bytes, 7);
    assert_true(accepted_lines("Content-Length: 18446744073709551599\r\n").body_bytes ==
                18446744073709551599u);
    bad_lines("Content-Length: 18446744073709551616\r\n");
    bad_lines("Content-Length: 99999999999999999999999\r\n");
    bad_lines("Content-Length:\r\n");
    bad_lines("Content-Length: \t\r\n");
    bad_lines("Content-Length: +5\r\n");
    bad_lines("Content-Length: -5\r\n");
    bad_lines("Content-Length: 0x5\r\n");
    bad_lines("Content-Length: 5a\r\n");
    bad_lines("Content-Length: 5.0\r\n");
    bad_lines("Content-Length: 5 5\r\n");
    bad_lines("Content-Length: 5, 5\r\n");
    bad_lines("Content-Length: 5,\r\n");
    bad_lines("Content-Length: \"5\"\r\n");
}

static void two_lengths_are_refused_even_when_they_agree(void **state)
{
    (void)state;
    bad_lines("Content-Length: 5\r\nContent-Length: 5\r\n");
    bad_lines("Content-Length: 5\r\nContent-Length: 6\r\n");
    bad_lines("Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n");
}

static void chunked_is_the_one_transfer_coding(void **state)
{
    (void)state;
    struct http_head h = accepted_lines("Transfer-Encoding: chunked\r\n");
    assert_true(h.chunked);
    assert_false(h.has_length);
    assert_int_equal(h.body_bytes, 0);
    assert_true(accepted_lines("transfer-encoding:CHUNKED \r\n").chunked);
    refused(ERR_NOT_IMPLEMENTED,
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
    refused(ERR_NOT_IMPLEMENTED,
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: deflate,GZip ,chunked\r\n\r\n");
}

static void any_other_transfer_coding_is_refused(void **state)
{
    (void)state;
    bad_lines("Transfer-Encoding: gzip\r\n");
    bad_lines("Transfer-Encoding: identity\r\n");
    bad_lines("Transfer-Encoding: identity, chunked\r\n");
    bad_lines("Transfer-Encoding: chunked, chunked\r\n");
    bad_lines("Transfer-Encoding: chunked, identity\r\n");
    bad_lines("Transfer-Encoding: gzip, chunked, gzip\r\n");
    bad_lines("Transfer-Encoding: gzip, chunked, chunked\r\n");
    bad_lines("Transfer-Encoding: xchunked\r\n");
    bad_lines("Transfer-Encoding: chunkedx\r\n");
    bad_lines("Transfer-Encoding: chunked;q=1\r\n");
    bad_lines("Transfer-Encoding: \"chunked\"\r\n");
    bad_lines("Transfer-Encoding: ,chunked\r\n");
    bad_lines("Transfer-Encoding: chunked,\r\n");
    bad_lines("Transfer-Encoding: chunked chunked\r\n");
    bad_lines("Transfer-Encoding: chunk\xe4\r\n");
    bad_lines("Transfer-Encoding:\r\n");
    bad_lines("Transfer-Encoding:\x0b"
              "chunked\r\n");
    bad_lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    bad_lines("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n");
    bad_lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n");
}

static void length_and_transfer_coding_together_are_refused(void **state)
{
    (void)state;
    bad_lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
    bad_lines("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
    bad_lines("Transfer-Encoding: gzip, chunked\r\nContent-Length: 0\r\n");
    bad_lines("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n");
}

static void a_transfer_coding_in_1_0_is_refused(void **state)
{
    (void)state;
    bad("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    bad("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_lf_is_refused),
        cmocka_unit_test(a_bare_cr_is_refused),
        cmocka_unit_test(a_folded_line_is_refused),
        cmocka_unit_test(white_space_in_a_name_is_refused),
        cmocka_unit_test(a_line_without_name_or_colon_is_refused),
        cmocka_unit_test(a_control_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(a_tab_stands_in_values_only),
        cmocka_unit_test(spaces_in_the_request_line_are_exactly_two),
        cmocka_unit_test(what_does_not_begin_with_a_method_is_refused_at_once),
        cmocka_unit_test(a_url_is_visible_ascii_without_fragment),
        cmocka_unit_test(only_1_0_and_1_1_are_spoken),
        cmocka_unit_test(connect_is_not_implemented),
        cmocka_unit_test(http_1_1_needs_exactly_one_well_formed_host),
        cmocka_unit_test(a_field_of_ours_comes_once),
        cmocka_unit_test(a_length_is_digits_that_fit),
        cmocka_unit_test(two_lengths_are_refused_even_when_they_agree),
        cmocka_unit_test(chunked_is_the_one_transfer_coding),
        cmocka_unit_test(any_other_transfer_coding_is_refused),
        cmocka_unit_test(length_and_transfer_coding_together_are_refused),
        cmocka_unit_test(a_transfer_coding_in_1_0_is_refused),
    };
    return cmocka_run_group_tests(tests, map_guard, unmap_guard);
}
