/* Rules of the words of a request: methods, media types, conditions, keys, targets, queries. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "record/request.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define SIXTY_THREE "abcdefghijklmnopqrstuvwxyz-0123456789_abcdefghijklmnopqrstuvwxy"

static void assert_span(struct span s, const char *expected)
{
    if (!span_is(s, expected))
        fail_msg("found \"%.*s\", expected \"%s\"", SPAN_ARGS(s), expected);
}

/* --- Methods and media types --- */

static void a_method_is_its_word_and_case_counts(void **state)
{
    (void)state;
    static const char *const words[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < COUNT(words); i++) {
        assert_int_equal(method_of(span_of(words[i])), i);
        assert_string_equal(method_word((enum method)i), words[i]);
        assert_int_equal(method_of(span(words[i], strlen(words[i]) - 1)), METHOD_OTHER);
    }
    static const char *const others[] = {"", "get", "Get", "GETT", "CONNECT", "TRACE", "?", " GET"};
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(method_of(span_of(others[i])), METHOD_OTHER);
    assert_string_equal(method_word(METHOD_OTHER), "?");
}

static void post_put_patch_carry_a_payload_and_write_as_delete_does(void **state)
{
    (void)state;
    for (int m = METHOD_GET; m <= METHOD_OTHER; m++) {
        bool payload = m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;
        assert_int_equal(method_takes_payload((enum method)m), payload);
        assert_int_equal(method_writes((enum method)m), payload || m == METHOD_DELETE);
    }
}

static void a_media_type_counts_without_its_case_and_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum media media;
    } cases[] = {
        {"", MEDIA_JSON},
        {"application/json", MEDIA_JSON},
        {"Application/JSON", MEDIA_JSON},
        {"application/json;charset=utf-8", MEDIA_JSON},
        {" \tapplication/json \t; charset=\"utf-8\"", MEDIA_JSON},
        {"application/vnd.example.note+json", MEDIA_JSON},
        {"application/problem+JSON; x=y", MEDIA_JSON},
        {"application/merge-patch+json", MEDIA_MERGE_PATCH},
        {"APPLICATION/merge-patch+json;x", MEDIA_MERGE_PATCH},
        {"application/json-patch+json", MEDIA_JSON_PATCH},
        {"text/plain", MEDIA_OTHER},
        {"application/x-www-form-urlencoded", MEDIA_OTHER},
        {"application/jsonx", MEDIA_OTHER},
        {"application/xjson", MEDIA_OTHER},
        {"text/json", MEDIA_OTHER},
        {"application/xml; a=application/json", MEDIA_OTHER},
        {"application/json, text/plain", MEDIA_OTHER},
        {"+json", MEDIA_OTHER},
        {"note+json", MEDIA_OTHER},
        {"application/note+jso", MEDIA_OTHER},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (media_of(span_of(cases[i].type)) != cases[i].media)
            fail_msg("\"%s\" is media %d, expected %d", cases[i].type,
                     media_of(span_of(cases[i].type)), cases[i].media);
    assert_int_equal(media_of(span(NULL, 0)), MEDIA_JSON);
}

/* --- Conditions --- */

static struct condition parsed(const char *value, bool weak)
{
    struct condition c;
    if (condition_parse(span_of(value), weak, &c) != 0)
        fail_msg("\"%s\" was refused", value);
    return c;
}

static void assert_tags(const char *value, bool weak, unsigned count, const uint64_t *tags)
{
    struct condition c = parsed(value, weak);
    assert_int_equal(c.kind, CONDITION_TAGS);
    assert_int_equal(c.count, count);
    for (unsigned i = 0; i < count; i++)
        if (c.tags[i] != tags[i])
            fail_msg("tag %u of \"%s\" is %llu", i, value, (unsigned long long)c.tags[i]);
}

static void a_condition_is_a_star_or_a_list_of_entity_tags(void **state)
{
    (void)state;
    assert_int_equal(parsed("*", false).kind, CONDITION_ANY);
    assert_int_equal(parsed(" * ", true).kind, CONDITION_ANY);
    assert_tags("\"7\"", false, 1, (uint64_t[]){7});
    assert_tags("7", false, 1, (uint64_t[]){7});
    assert_tags(" \"1\" ,\"22\",\t\"333\" ", false, 3, (uint64_t[]){1, 22, 333});
    assert_tags("1, \"2\",3", false, 3, (uint64_t[]){1, 2, 3});
    assert_tags("\"18446744073709551615\"", false, 1, (uint64_t[]){UINT64_MAX});
}

static void an_entity_tag_that_no_record_has_is_kept_as_0(void **state)
{
    (void)state;
    assert_tags("\"\"", false, 1, (uint64_t[]){0});
    assert_tags("\"abc\", \"7\"", false, 2, (uint64_t[]){0, 7});
    assert_tags("\"07\", 07", false, 2, (uint64_t[]){0, 0});
    assert_tags("\"a, b\",\"7\"", false, 2, (uint64_t[]){0, 7});
    assert_tags("\"18446744073709551616\"", false, 1, (uint64_t[]){0});
    assert_tags("\"*\"", false, 1, (uint64_t[]){0});
}

static void a_weak_tag_counts_only_where_weak_ones_do(void **state)
{
    (void)state;
    assert_tags("W/\"7\", \"8\"", true, 2, (uint64_t[]){7, 8});
    assert_tags("W/\"7\", \"8\"", false, 2, (uint64_t[]){0, 8});
}

/* RFC 9110 section 5.6.1.2: empty elements of a list are ignored, but it needs one that is not. */
static void nothing_between_commas_is_ignored(void **state)
{
    (void)state;
    assert_tags(", \"1\",, ,\"2\" ,", false, 2, (uint64_t[]){1, 2});
}

static void what_is_no_list_of_entity_tags_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        " ",          ",",        ", ,",     "\"",           "\"7",      "abc",
        "7abc",    "\"7\"\"8\"", "7 8",      "\"7\" 8", "*, \"7\"",     "\"7\", *", "**",
        "w/\"7\"", "W/",         "W /\"7\"", "-1",      "\"7\"; \"8\"", "W/\"7",    "'7'",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct condition c;
        if (condition_parse(span_of(bad[i]), true, &c) != ERR_BAD_REQUEST)
            fail_msg("\"%s\" was accepted", bad[i]);
    }
    struct condition c;
    assert_int_equal(condition_parse(span(NULL, 0), false, &c), ERR_BAD_REQUEST);
}

static void up_to_16_tags_are_taken(void **state)
{
    (void)state;
    char list[256];
    int used = 0;
    for (int i = 1; i <= CONDITION_TAGS_MAX; i++)
        used += sprintf(list + used, "\"%d\", ", i);
    struct condition c = parsed(list, false);
    assert_int_equal(c.count, CONDITION_TAGS_MAX);
    assert_int_equal(c.tags[CONDITION_TAGS_MAX - 1], CONDITION_TAGS_MAX);
    sprintf(list + used, "\"17\"");
    assert_int_equal(condition_parse(span_of(list), false, &c), ERR_BAD_REQUEST);
}

/* What a read and a write of a record last changed by `seq` get. */
static void assert_checked(const char *match, const char *none_match, uint64_t seq, int read,
                           int write)
{
    struct conditions c = {{.kind = CONDITION_ABSENT}, {.kind = CONDITION_ABSENT}};
    if (match != NULL)
        c.match = parsed(match, false);
    if (none_match != NULL)
        c.none_match = parsed(none_match, true);
    assert_int_equal(conditions_check(&c, true, seq), read);
    assert_int_equal(conditions_check(&c, false, seq), write);
}

static void conditions_are_decided_by_the_seq_of_the_last_change(void **state)
{
    (void)state;
    enum { FAILED = ERR_PRECONDITION_FAILED, SAME = CONDITIONS_NOT_MODIFIED };
    assert_checked(NULL, NULL, 7, 0, 0);
    assert_checked("7", NULL, 7, 0, 0);
    assert_checked("5, 6, 7", NULL, 7, 0, 0);
    assert_checked("*", NULL, 7, 0, 0);
    assert_checked("5, 6", NULL, 7, FAILED, FAILED);
    assert_checked("W/\"7\"", NULL, 7, FAILED, FAILED);
    assert_checked(NULL, "5, 6", 7, 0, 0);
    assert_checked(NULL, "5, 7", 7, SAME, FAILED);
    assert_checked(NULL, "W/\"7\"", 7, SAME, FAILED);
    assert_checked(NULL, "*", 7, SAME, FAILED);
    /* RFC 9110 section 13.2.2: If-Match comes first */
    assert_checked("6", "7", 7, FAILED, FAILED);
    assert_checked("7", "7", 7, SAME, FAILED);
    assert_checked("7", "6", 7, 0, 0);
    /* a tag that no record has never matches */
    assert_checked("\"abc\"", NULL, 0, FAILED, FAILED);
    assert_checked(NULL, "\"abc\"", 0, 0, 0);
}

/* --- Keys --- */

static void a_key_has_8_to_64_bytes_and_no_control_characters(void **state)
{
    (void)state;
    char key[80];
    memset(key, 'k', sizeof key);
    for (size_t bytes = 0; bytes < sizeof key; bytes++)
        assert_int_equal(key_check(span(key, bytes)), bytes >= 8 && bytes <= 64 ? 0 : ERR_BAD_KEY);
    for (unsigned byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < 8; at += 7) {
            memset(key, 'k', 8);
            key[at] = (char)byte;
            int expected = byte < 0x20 || byte == 0x7f ? ERR_BAD_KEY : 0;
            assert_int_equal(key_check(span(key, 8)), expected);
        }
    assert_int_equal(key_check(span(NULL, 0)), ERR_BAD_KEY);
}

/* --- Targets --- */

static struct target target(const char *text)
{
    struct target t;
    target_parse(span_of(text), &t);
    return t;
}

static void assert_kinds(const char *const *texts, size_t count, enum target_kind kind)
{
    for (size_t i = 0; i < count; i++)
        if (target(texts[i]).kind != kind)
            fail_msg("\"%s\" is of kind %d, expected %d", texts[i], target(texts[i]).kind, kind);
}

static void a_collection_is_one_name(void **state)
{
    (void)state;
    static const char *const good[] = {"/a",      "/notes",         "/n0", "/n_", "/n-",
                                       "/a-b_c9", ("/" SIXTY_THREE)};
    assert_int_equal(strlen(SIXTY_THREE), COLLECTION_NAME_BYTES_MAX);
    assert_kinds(good, COUNT(good), TARGET_COLLECTION);
    for (size_t i = 0; i < COUNT(good); i++)
        assert_span(target(good[i]).collection, good[i] + 1);
}

static void a_name_of_other_characters_or_too_long_leads_nowhere(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "/",
        "notes",
        "//",
        "//notes",
        "/0",
        "/-a",
        "/Notes",
        "/nOtes",
        "/n.s",
        "/n s",
        "/n%6ftes",
        "/n+s",
        "/\xc3\xa9t\xc3\xa9",
        "/not\xc3\xa9s",
        "/\xeb\xa9\x94\xeb\xaa\xa8",
        "/notes\xff",
        "/n\x80",
        "/n\xe1/1",
        ("/" SIXTY_THREE "z"),
        ("/" SIXTY_THREE "z/1"),
        "/notes/1/2",
        "/notes/1/",
        "/notes//",
        "/notes//1",
        "http://h/notes",
        "*",
        "/notes\n",
        "/no\\tes",
        "/notes#x",
    };
    assert_kinds(bad, COUNT(bad), TARGET_NOWHERE);
    struct target t;
    target_parse(span("/no\0es", 6), &t);
    assert_int_equal(t.kind, TARGET_NOWHERE);
    target_parse(span(NULL, 0), &t);
    assert_int_equal(t.kind, TARGET_NOWHERE);
}

static void a_record_is_a_name_and_a_whole_number_from_1(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t id;
    } good[] = {
        {"/notes/1", 1},
        {"/notes/10", 10},
        {"/notes/9223372036854775807", ID_MAX},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct target t = target(good[i].text);
        assert_int_equal(t.kind, TARGET_RECORD);
        assert_true(t.id == good[i].id);
        assert_span(t.collection, "notes");
    }
    static const char *const bad[] = {
        "/notes/",
        "/notes/0",
        "/notes/01",
        "/notes/-1",
        "/notes/+1",
        "/notes/1.0",
        "/notes/1e3",
        "/notes/abc",
        "/notes/0x1",
        "/notes/ 1",
        "/notes/1 ",
        "/notes/%31",
        "/notes/9223372036854775808",
        "/notes/18446744073709551617",
        "/notes/\xd9\xa1",
    };
    assert_kinds(bad, COUNT(bad), TARGET_BAD_ID);
}

static void paths_that_begin_with_an_underscore_are_the_servers_own(void **state)
{
    (void)state;
    static const char *const own[] = {"/_",   "/_status", "/_status/1",
                                      "/_X%", "/_a/b/c",  "/_messages?after=1"};
    assert_kinds(own, COUNT(own), TARGET_OWN);
    assert_span(target("/_messages?after=1").path, "/_messages");
    assert_span(target("/_messages?after=1").query, "after=1");
}

static void a_query_begins_at_the_first_question_mark(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path, *query;
    } cases[] = {
        {"/notes/7?a=1?b", "/notes/7", "a=1?b"},
        {"/notes?", "/notes", ""},
        {"/notes", "/notes", ""},
        {"?a=/notes", "", "a=/notes"},
        {"/?a", "/", "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target t = target(cases[i].text);
        assert_span(t.path, cases[i].path);
        assert_span(t.query, cases[i].query);
    }
    assert_int_equal(target("/notes/7?a=1").kind, TARGET_RECORD);
    assert_int_equal(target("/notes?a=1").kind, TARGET_COLLECTION);
}

/* --- Queries --- */

static void assert_value(const char *query, const char *name, const char *expected)
{
    struct span value;
    bool found = query_get(span_of(query), name, &value);
    assert_int_equal(found, expected != NULL);
    if (found)
        assert_span(value, expected);
}

static void a_parameter_has_the_value_behind_its_first_equals_sign(void **state)
{
    (void)state;
    assert_value("after=7", "after", "7");
    assert_value("a=1&after=7&b=2", "after", "7");
    assert_value("after=7&after=8", "after", "7");
    assert_value("after", "after", "");
    assert_value("after&x=1", "after", "");
    assert_value("after=", "after", "");
    assert_value("after=a=b", "after", "a=b");
    assert_value("&&after=7", "after", "7");
    assert_value("after=7", "afte", NULL);
    assert_value("afte=7", "after", NULL);
    assert_value("x=after=7", "after", NULL);
    assert_value("After=7", "after", NULL);
    assert_value("", "after", NULL);
    struct span value;
    assert_false(query_get(span(NULL, 0), "after", &value));
}

static void a_parameter_that_is_not_known_is_seen(void **state)
{
    (void)state;
    static const char *const names[] = {"after", "since", NULL}, *const none[] = {NULL};
    assert_true(query_only(span_of("after=1&since=2&after"), names));
    assert_true(query_only(span_of("since"), names));
    assert_false(query_only(span_of("after=1&x=2"), names));
    assert_false(query_only(span_of("After=1"), names));
    assert_false(query_only(span_of("=1"), names));
    assert_false(query_only(span_of("after&&since"), names));
    assert_true(query_only(span_of(""), names));
    assert_true(query_only(span(NULL, 0), none));
    assert_false(query_only(span_of("x"), none));
}

/* --- Requests and answers --- */

static void a_new_request_has_nothing_but_the_default_wait(void **state)
{
    (void)state;
    struct request rq;
    memset(&rq, 0xa5, sizeof rq);
    request_init(&rq);
    assert_int_equal(rq.method, METHOD_GET);
    assert_int_equal(rq.target.bytes + rq.rid.bytes + rq.key.bytes + rq.payload.bytes, 0);
    assert_int_equal(rq.min_seq, 0);
    assert_int_equal(rq.wait_ms, WAIT_MS_DEFAULT);
    assert_int_equal(rq.media, MEDIA_JSON);
    assert_false(rq.event_stream || rq.has_payload || rq.payload_judged);
    assert_int_equal(conditions_check(&rq.conditions, true, 7), 0);
    assert_int_equal(conditions_check(&rq.conditions, false, 0), 0);
}

static void a_new_answer_has_only_its_status(void **state)
{
    (void)state;
    struct answer a;
    memset(&a, 0xa5, sizeof a);
    answer_ok(&a, 201);
    assert_int_equal(a.status, 201);
    assert_int_equal(a.code, 0);
    assert_false(a.has_seq || a.has_body || a.event_stream);
    assert_int_equal(a.etag + a.seq + a.copies + a.id + a.location.bytes + a.body.bytes, 0);
    assert_int_equal(a.allow, 0);
    assert_string_equal(a.detail, "");
}

static void an_error_has_its_status_and_a_detail_that_is_cut_to_fit(void **state)
{
    (void)state;
    struct answer a;
    char long_text[2 * DETAIL_BYTES_MAX];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    memset(&a, 0xa5, sizeof a);
    answer_error(&a, ERR_NOT_FOUND, "%s/%d does not exist", "notes", 7);
    assert_int_equal(a.code, ERR_NOT_FOUND);
    assert_int_equal(a.status, 404);
    assert_string_equal(a.detail, "notes/7 does not exist");
    assert_false(a.has_seq || a.has_body);
    answer_error(&a, ERR_BUSY, NULL);
    assert_int_equal(a.status, 503);
    assert_string_equal(a.detail, "");
    answer_error(&a, ERR_BUSY, "%s", long_text);
    assert_int_equal(strlen(a.detail), DETAIL_BYTES_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_is_its_word_and_case_counts),
        cmocka_unit_test(post_put_patch_carry_a_payload_and_write_as_delete_does),
        cmocka_unit_test(a_media_type_counts_without_its_case_and_parameters),
        cmocka_unit_test(a_condition_is_a_star_or_a_list_of_entity_tags),
        cmocka_unit_test(an_entity_tag_that_no_record_has_is_kept_as_0),
        cmocka_unit_test(a_weak_tag_counts_only_where_weak_ones_do),
        cmocka_unit_test(nothing_between_commas_is_ignored),
        cmocka_unit_test(what_is_no_list_of_entity_tags_is_refused),
        cmocka_unit_test(up_to_16_tags_are_taken),
        cmocka_unit_test(conditions_are_decided_by_the_seq_of_the_last_change),
        cmocka_unit_test(a_key_has_8_to_64_bytes_and_no_control_characters),
        cmocka_unit_test(a_collection_is_one_name),
        cmocka_unit_test(a_name_of_other_characters_or_too_long_leads_nowhere),
        cmocka_unit_test(a_record_is_a_name_and_a_whole_number_from_1),
        cmocka_unit_test(paths_that_begin_with_an_underscore_are_the_servers_own),
        cmocka_unit_test(a_query_begins_at_the_first_question_mark),
        cmocka_unit_test(a_parameter_has_the_value_behind_its_first_equals_sign),
        cmocka_unit_test(a_parameter_that_is_not_known_is_seen),
        cmocka_unit_test(a_new_request_has_nothing_but_the_default_wait),
        cmocka_unit_test(a_new_answer_has_only_its_status),
        cmocka_unit_test(an_error_has_its_status_and_a_detail_that_is_cut_to_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
