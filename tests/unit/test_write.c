/* Rules of asking for a write: what is taken from the request into the batch, and what is refused
 * before any state is looked at. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "primary.h"

static int ask_for(struct primary *p, const char *what, struct write **w)
{
    return ask(p, &(struct asking){.what = what}, w);
}

static struct write *asked(struct primary *p, const char *what)
{
    struct write *w;
    int rc = ask_for(p, what, &w);
    if (rc != 0)
        fail_msg("%s is refused: %s", what, err_info(rc)->word);
    return w;
}

static void assert_piece(struct primary *p, struct piece piece, const char *expected)
{
    struct span found = piece_span(&p->batch->asked, piece);
    if (!span_is(found, expected))
        fail_msg("found %.*s, expected %s", SPAN_ARGS(found), expected);
}

static void assert_payload(struct primary *p, const char *what, const char *expected)
{
    assert_piece(p, asked(p, what)->payload, expected);
}

/* --- The id in the body --- */

static void a_new_record_may_not_bring_an_id(void **state)
{
    struct primary *p = *state;
    static const char *const bad[] = {
        "POST /notes {\"id\":1}",           "POST /notes {\"a\":1,\"id\":null}",
        "POST /notes {\"\\u0069d\":\"x\"}", "POST /notes { \"a\" : {} , \"i\\u0064\" : [] }",
        "POST /notes  {\"id\":1}",          "POST /notes \n\t {\"id\":1}\n",
    };
    struct write *w;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ask_for(p, bad[i], &w) != ERR_ID_NOT_ALLOWED)
            fail_msg("%s is accepted", bad[i]);
    static const char *const good[] = {
        "POST /notes {\"ID\":1}",
        "POST /notes {\"a\":{\"id\":1}}",
        "POST /notes {\"a\":\"id\",\"idx\":1,\"i\":2}",
        "POST /notes {\"\\\\u0069d\":1}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_payload(p, good[i], strchr(good[i], '{'));
}

static void the_id_in_a_put_or_patch_must_be_the_digits_of_the_path(void **state)
{
    struct primary *p = *state;
    static const char *const bad[] = {"\"7\"",
                                      "7.0",
                                      "8",
                                      "77",
                                      "7e0",
                                      "-7",
                                      "null",
                                      "{}",
                                      "[7]",
                                      "70e-1",
                                      "9223372036854775807"};
    char what[100];
    struct write *w;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int put = 0; put <= 1; put++) {
            snprintf(what, sizeof what, "%s /notes/7  {\"a\":1,\"id\":%s}", put ? "PUT" : "PATCH",
                     bad[i]);
            if (ask_for(p, what, &w) != ERR_ID_MISMATCH)
                fail_msg("%s is accepted", what);
        }
    assert_payload(p, "PUT /notes/7 {\"id\":7}", "{}");
    assert_payload(p, "PATCH /notes/7 {\"\\u0069d\":7,\"a\":1}", "{\"a\":1}");
    assert_payload(p, "PUT /notes/9223372036854775807 {\"id\":9223372036854775807}", "{}");
}

static void the_id_is_taken_out_wherever_it_stands(void **state)
{
    struct primary *p = *state;
    assert_payload(p, "PUT /notes/7 {\"id\":7,\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}");
    assert_payload(p, "PUT /notes/7 {\"a\":1,\"id\":7,\"b\":2}", "{\"a\":1,\"b\":2}");
    assert_payload(p, "PUT /notes/7 {\"a\":1,\"b\":2,\"id\":7}", "{\"a\":1,\"b\":2}");
    assert_payload(p, "PUT /notes/7 \r\n { \"a\" : [ 1, \" \" ] , \"id\" : 7 , \"b\":{ } } \t",
                   "{\"a\":[1,\" \"],\"b\":{}}");
    assert_payload(p, "PUT /notes/7 {\"a\":{\"id\":8},\"id\":7}", "{\"a\":{\"id\":8}}");
    assert_payload(p, "PUT /notes/7 {\"a\":\"{\\\"id\\\":8}\",\"id\":7}",
                   "{\"a\":\"{\\\"id\\\":8}\"}");
}

/* --- The rest of the request --- */

static void white_space_between_tokens_is_removed_and_the_rest_is_kept(void **state)
{
    struct primary *p = *state;
    assert_payload(p, "POST /notes { \"b\" :\t1.10,\n\"a\":\"\\u00e9 \\\" x\"\r} ",
                   "{\"b\":1.10,\"a\":\"\\u00e9 \\\" x\"}");
    assert_payload(p, "POST /notes   { } ", "{}");
}

static void a_write_has_method_media_id_collection_and_key_of_its_request(void **state)
{
    struct primary *p = *state;
    struct write *w;
    assert_int_equal(ask(p,
                         &(struct asking){.what = "PATCH /notes/12 {\"a\":1}",
                                          .key = "key-0001",
                                          .type = "application/merge-patch+json"},
                         &w),
                     0);
    assert_ptr_equal(w, &p->batch->writes[0]);
    assert_int_equal(p->batch->count, 1);
    assert_int_equal(w->method, METHOD_PATCH);
    assert_int_equal(w->media, MEDIA_MERGE_PATCH);
    assert_int_equal(w->id, 12);
    assert_false(w->has_conditions || w->given_up);
    assert_piece(p, w->collection, "notes");
    assert_piece(p, w->key, "key-0001");

    w = asked(p, "POST /tags {}");
    assert_ptr_equal(w, &p->batch->writes[1]);
    assert_int_equal(w->id, 0);
    assert_int_equal(w->key.bytes, 0);
    w = asked(p, "DELETE /tags/3");
    assert_int_equal(w->payload.bytes, 0);
    assert_int_equal(p->batch->count, 3);
    /* what was taken stays where it is, although the buffer grew */
    assert_piece(p, p->batch->writes[0].payload, "{\"a\":1}");
}

static void conditions_are_taken_whole(void **state)
{
    struct primary *p = *state;
    struct write *w;
    assert_int_equal(
        ask(p, &(struct asking){.what = "DELETE /a/1", .match = "1,22,333", .none_match = "*"}, &w),
        0);
    assert_true(w->has_conditions);
    struct conditions c;
    memcpy(&c, p->batch->asked.at + w->conditions_at, sizeof c);
    assert_int_equal(c.match.kind, CONDITION_TAGS);
    assert_int_equal(c.match.count, 3);
    assert_int_equal(c.match.tags[2], 333);
    assert_int_equal(c.none_match.kind, CONDITION_ANY);
}

/* --- The fingerprint --- */

struct fingerprint {
    uint64_t half[2];
};

static struct fingerprint fingerprint_of(struct primary *p, struct asking a)
{
    struct write *w;
    a.key = a.key == NULL ? "key-0001" : a.key;
    write_batch_reset(p->batch);
    assert_int_equal(ask(p, &a, &w), 0);
    return (struct fingerprint){{w->fingerprint[0], w->fingerprint[1]}};
}

static bool same(struct fingerprint a, struct fingerprint b)
{
    return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

static void the_fingerprint_is_the_same_for_the_same_content(void **state)
{
    struct primary *p = *state;
    const struct asking first = {
        .what = "PUT /notes/7 {\"a\":[1,2]}", .match = "\"1\", \"2\"", .none_match = "W/\"3\""};
    const struct asking others[] = {
        {.what = "PUT /notes/7  { \"a\" : [ 1, 2 ] } ", .match = "1,2", .none_match = "3"},
        {.what = "PUT /notes/7 {\"id\":7,\"a\":[1,2]}", .match = "1 ,2", .none_match = "3"},
        {.what = "PUT /notes/7 {\"a\":[1,2]}",
         .match = "1,2",
         .none_match = "3",
         .key = "another key"},
        {.what = "PUT /notes/7 {\"a\":[1,2]}",
         .match = "1,2",
         .none_match = "3",
         .type = "application/merge-patch+json"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(same(fingerprint_of(p, others[i]), fingerprint_of(p, first)));
    /* wherever it stands in the batch */
    const struct fingerprint expected = fingerprint_of(p, first);
    struct write *w;
    struct asking again = first;
    again.key = "key-0002";
    assert_int_equal(ask(p, &again, &w), 0);
    assert_ptr_equal(w, &p->batch->writes[1]);
    assert_true(same((struct fingerprint){{w->fingerprint[0], w->fingerprint[1]}}, expected));
}

static void the_fingerprint_differs_with_method_path_conditions_and_payload(void **state)
{
    struct primary *p = *state;
    const struct asking different[] = {
        {.what = "PUT /notes/7 {\"a\":1}"},
        {.what = "PATCH /notes/7 {\"a\":1}"},
        {.what = "PATCH /notes/7 {\"a\":1}", .type = "application/json-patch+json"},
        {.what = "DELETE /notes/7"},
        {.what = "PUT /notes/8 {\"a\":1}"},
        {.what = "PUT /note/7 {\"a\":1}"},
        {.what = "POST /notes {\"a\":1}"},
        {.what = "PUT /notes/7 {\"a\":2}"},
        {.what = "PUT /notes/7 {\"a\":1.0}"},
        {.what = "PUT /notes/7 {\"\\u0061\":1}"},
        {.what = "PUT /notes/7 {\"a\":1,\"b\":2}"},
        {.what = "PUT /notes/7 {\"b\":2,\"a\":1}"},
        {.what = "PUT /notes/7 {}"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "*"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "1"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "1,2"},
        {.what = "PUT /notes/7 {\"a\":1}", .none_match = "*"},
        {.what = "PUT /notes/7 {\"a\":1}", .none_match = "1"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "1", .none_match = "2"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "1,2", .none_match = "2"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "1", .none_match = "1,2"},
        {.what = "PUT /notes/7 {\"a\":1}", .match = "1", .none_match = "\"abc\""},
    };
    enum { COUNT = sizeof different / sizeof *different };
    struct fingerprint found[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        found[i] = fingerprint_of(p, different[i]);
        for (size_t j = 0; j < i; j++)
            if (same(found[i], found[j]))
                fail_msg("%s has the fingerprint of %s", different[i].what, different[j].what);
    }
}

/* --- Refusals --- */

static void what_is_refused_leaves_the_batch_as_it_was(void **state)
{
    struct primary *p = *state;
    char large[2 * RECORD_BYTES_MAX];
    memset(large, ' ', sizeof large);
    int used =
        snprintf(large, sizeof large, "PUT /notes/7 {\"a\":\"%0*d\"", RECORD_BYTES_MAX - 7, 0);
    memcpy(large + used, "}", 2);
    asked(p, "POST /notes {\"a\":1}");
    size_t bytes = p->batch->asked.bytes;
    struct write *w;
    assert_int_equal(ask_for(p, "POST /notes {\"id\":1,\"b\":2}", &w), ERR_ID_NOT_ALLOWED);
    assert_int_equal(ask_for(p, "PUT /notes/7 {\"id\":1,\"b\":2}", &w), ERR_ID_MISMATCH);
    assert_int_equal(ask(p, &(struct asking){.what = large, .match = "1", .key = "12345678"}, &w),
                     ERR_TOO_LARGE);
    assert_int_equal(p->batch->count, 1);
    assert_int_equal(p->batch->asked.bytes, bytes);
    assert_piece(p, asked(p, "PUT /notes/7 {}")->payload, "{}");
    assert_int_equal(p->batch->count, 2);
    assert_piece(p, p->batch->writes[0].payload, "{\"a\":1}");
}

/* The limit is of the record without its id and white space. */
static void spaces_and_id_do_not_count_for_the_record_limit(void **state)
{
    struct primary *p = *state;
    char text[2 * RECORD_BYTES_MAX];
    int zeros = RECORD_BYTES_MAX - (int)strlen("{\"a\":\"\"}");
    snprintf(text, sizeof text, "PUT /notes/7 {\"id\":7,  \"a\":  \"%0*d\"  }", zeros, 0);
    assert_int_equal(asked(p, text)->payload.bytes, RECORD_BYTES_MAX);
    snprintf(text, sizeof text, "PUT /notes/7 {\"id\":7,\"a\":\"%0*d\"}", zeros + 1, 0);
    struct write *w;
    assert_int_equal(ask_for(p, text, &w), ERR_TOO_LARGE);
}

/* With every amount of room from nothing to enough. */
static void ask_with_little_room(struct primary *p, const struct asking *a)
{
    const struct fingerprint expected = fingerprint_of(p, *a);
    for (bool taken = false; !taken;) {
        struct write *w;
        size_t room = p->batch->asked.bytes_max;
        write_batch_reset(p->batch);
        p->batch->asked.bytes_max = 0;
        asked(p, "POST /notes {}");
        size_t bytes = p->batch->asked.bytes;
        p->batch->asked.bytes_max = room < bytes ? bytes : room + 1;
        int rc = ask(p, a, &w);
        taken = rc == 0;
        assert_int_equal(rc, taken ? 0 : ERR_NO_MEMORY);
        assert_false(p->batch->asked.failed);
        assert_int_equal(p->batch->count, taken ? 2 : 1);
        if (!taken)
            assert_int_equal(p->batch->asked.bytes, bytes);
        else
            assert_true(
                same((struct fingerprint){{w->fingerprint[0], w->fingerprint[1]}}, expected));
        assert_true(room < 2000);
    }
    p->batch->asked.bytes_max = 0;
    asked(p, "POST /notes {}");
}

static void without_memory_a_write_is_refused_and_the_next_one_taken(void **state)
{
    ask_with_little_room(
        *state, &(struct asking){.what = "PUT /notes/7  { \"id\" : 7 , \"a\" : 1 , \"b\" : 2 }",
                                 .key = "key-0001",
                                 .match = "1,2"});
    ask_with_little_room(*state,
                         &(struct asking){.what = "POST /notes  { \"a\" : 1 }", .key = "key-0001"});
}

/* --- Batches and their way --- */

static void a_batch_holds_its_number_of_writes_and_is_empty_after_a_reset(void **state)
{
    struct primary *p = *state;
    for (int i = 0; i < BATCH_WRITES_MAX; i++)
        asked(p, "POST /notes {\"a\":1}");
    assert_int_equal(p->batch->count, BATCH_WRITES_MAX);
    assert_piece(p, p->batch->writes[BATCH_WRITES_MAX - 1].payload, "{\"a\":1}");
    p->batch->done = 3;
    write_batch_reset(p->batch);
    assert_int_equal(p->batch->count + p->batch->done, 0);
    assert_int_equal(p->batch->asked.bytes + p->batch->answers.bytes, 0);
    asked(p, "POST /notes {}");
    write_batch_destroy(NULL);
}

static void a_piece_without_memory_has_no_bytes(void **state)
{
    (void)state;
    struct buf b = {.bytes_max = 4};
    struct piece whole = piece_add(&b, span_of("abc"));
    struct piece none = piece_add(&b, span_of("de"));
    assert_true(span_is(piece_span(&b, whole), "abc"));
    assert_int_equal(piece_span(&b, none).bytes, 0);
    buf_finish(&b);
    assert_int_equal(piece_span(&b, (struct piece){0, 0}).bytes, 0);
}

static void ring(void *order)
{
    (void)order;
}

static void both_ways_have_room_for_all_batches_there_are(void **state)
{
    struct primary *p = *state;
    struct write_port port;
    assert_int_equal(write_port_init(&port, ring, p), 0);
    assert_ptr_equal(port.order, p);
    assert_false(atomic_load(&port.watching));
    for (int i = 0; i < FRONT_BATCHES_MAX; i++) {
        assert_true(queue_put(&port.asked, p->batch));
        assert_true(queue_put(&port.answered, p->batch));
    }
    write_port_finish(&port);
}

#define IN_A_BATCH(rule) cmocka_unit_test_setup_teardown(rule, primary_in_memory, primary_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_BATCH(a_new_record_may_not_bring_an_id),
        IN_A_BATCH(the_id_in_a_put_or_patch_must_be_the_digits_of_the_path),
        IN_A_BATCH(the_id_is_taken_out_wherever_it_stands),
        IN_A_BATCH(white_space_between_tokens_is_removed_and_the_rest_is_kept),
        IN_A_BATCH(a_write_has_method_media_id_collection_and_key_of_its_request),
        IN_A_BATCH(conditions_are_taken_whole),
        IN_A_BATCH(the_fingerprint_is_the_same_for_the_same_content),
        IN_A_BATCH(the_fingerprint_differs_with_method_path_conditions_and_payload),
        IN_A_BATCH(what_is_refused_leaves_the_batch_as_it_was),
        IN_A_BATCH(spaces_and_id_do_not_count_for_the_record_limit),
        IN_A_BATCH(without_memory_a_write_is_refused_and_the_next_one_taken),
        IN_A_BATCH(a_batch_holds_its_number_of_writes_and_is_empty_after_a_reset),
        IN_A_BATCH(a_piece_without_memory_has_no_bytes),
        IN_A_BATCH(both_ways_have_room_for_all_batches_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
