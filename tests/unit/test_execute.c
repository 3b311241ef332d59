/* Rules of writes: ids, replacing, merging, deleting, conditions, limits; what a refusal leaves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "primary.h"

/* {"a":"xxx…"} of so many bytes. */
static const char *object_of(size_t bytes, char *to)
{
    memset(to, 'x', bytes);
    memcpy(to, "{\"a\":\"", 6);
    memcpy(to + bytes - 2, "\"}", 3);
    return to;
}

/* --- Ids and seqs --- */

static void ids_are_1_2_3_in_each_collection(void **state)
{
    struct primary *p = *state;
    assert_answer(p, WRITE(p, "POST /notes {\"a\":1}"), "{\"id\":1,\"a\":1}");
    assert_answer(p, WRITE(p, "POST /tags {}"), "{\"id\":1}");
    assert_answer(p, WRITE(p, "POST /notes {}"), "{\"id\":2}");
    entry_open(p);
    assert_answer(p, EXECUTE(p, "POST /notes {}"), "{\"id\":3}");
    assert_answer(p, EXECUTE(p, "POST /tags {}"), "{\"id\":2}");
    struct write *w = EXECUTE(p, "POST /notes {}");
    assert_answer(p, w, "{\"id\":4}");
    assert_int_equal(w->answered_id, 4);
    entry_close(p);
    assert_list(p, "notes", "[{\"id\":1,\"a\":1},{\"id\":2},{\"id\":3},{\"id\":4}]");
    assert_list(p, "tags", "[{\"id\":1},{\"id\":2}]");
}

static void an_id_is_never_used_twice_even_after_its_record_was_deleted(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    WRITE(p, "POST /notes {}");
    WRITE(p, "DELETE /notes/2");
    WRITE(p, "DELETE /notes/1");
    assert_answer(p, WRITE(p, "POST /notes {}"), "{\"id\":3}");
    entry_open(p);
    assert_answer(p, EXECUTE(p, "DELETE /notes/3"), "{\"id\":3}");
    assert_answer(p, EXECUTE(p, "POST /notes {}"), "{\"id\":4}");
    entry_close(p);
    assert_list(p, "notes", "[{\"id\":4}]");
}

static void an_aborted_entry_leaves_everything_as_it_was(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1}");
    WRITE(p, "POST /notes {\"a\":2}");
    const struct store_state before = state_of(p);
    entry_open(p);
    assert_answer(p, EXECUTE(p, "POST /notes {}", .key = "key-0001"), "{\"id\":3}");
    EXECUTE(p, "POST /tags {}");
    EXECUTE(p, "PUT /notes/1 {}");
    EXECUTE(p, "DELETE /notes/2");
    entry_drop(p);
    assert_unchanged(p, &before);
    assert_list(p, "notes", "[{\"id\":1,\"a\":1},{\"id\":2,\"a\":2}]");
    assert_list(p, "tags", "[]");
    /* nobody was told of id 3, nor of what the key did */
    struct write *w = WRITE(p, "POST /notes {\"b\":1}", .key = "key-0001");
    assert_answer(p, w, "{\"id\":3,\"b\":1}");
    assert_int_equal(w->seq, 3);
}

static void each_executed_write_takes_the_next_seq(void **state)
{
    struct primary *p = *state;
    assert_int_equal(WRITE(p, "POST /notes {}")->seq, 1);
    entry_open(p);
    assert_int_equal(EXECUTE(p, "PUT /notes/1 {}")->seq, 2);
    assert_int_equal(EXECUTE(p, "PATCH /notes/1 {}")->seq, 3);
    /* a refusal tells the seq of the state that it was decided on */
    assert_int_equal(EXECUTE(p, "PUT /notes/9 {}")->seq, 3);
    struct write *w = EXECUTE(p, "DELETE /notes/1");
    assert_int_equal(w->seq, 4);
    assert_int_equal(w->copies, 3);
    assert_int_equal(p->x.answer_bytes, 3 * strlen("{\"id\":1}"));
    entry_close(p);
    assert_int_equal(state_of(p).seq, 4);
}

static void a_refused_write_uses_no_id_no_seq_and_no_effect(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1}");
    const struct store_state before = state_of(p);
    entry_open(p);
    size_t bytes = p->bytes.bytes;
    assert_refused(p, EXECUTE(p, "PUT /notes/2 {}"), ERR_NOT_FOUND, "notes/2 does not exist");
    assert_refused(p, EXECUTE(p, "PUT /notes/1 {}", .match = "9"), ERR_PRECONDITION_FAILED,
                   "notes/1 was last changed by 1");
    assert_refused(p, EXECUTE(p, "POST /notes {}", .match = "1"), ERR_PRECONDITION_FAILED, NULL);
    assert_refused(p, EXECUTE(p, "POST /tags {}", .none_match = "*"), ERR_PRECONDITION_FAILED,
                   NULL);
    assert_int_equal(p->bytes.bytes, bytes);
    assert_int_equal(p->x.seq, 2);
    assert_memory_equal(store_state(p->txn), &before, sizeof before);
    entry_drop(p);
    struct write *w = WRITE(p, "POST /notes {}");
    assert_answer(p, w, "{\"id\":2}");
    assert_int_equal(w->seq, 2);
    assert_list(p, "tags", "[]");
}

static void a_collection_that_used_all_its_ids_is_full(void **state)
{
    struct primary *p = *state;
    struct store_txn *txn = begin(p->s);
    const struct store_record last_but_one = {.id = ID_MAX - 1, .seq = 1, .text = span_of("{}")};
    uint32_t number = collection(txn, "notes").number;
    assert_int_equal(store_record_put(txn, span_of("notes"), number, &last_but_one), 0);
    commit(txn);
    assert_answer(p, WRITE(p, "POST /notes {}"), "{\"id\":9223372036854775807}");
    assert_refused(p, WRITE(p, "POST /notes {}"), ERR_TOO_LARGE,
                   "the collection has used all its ids");
    assert_answer(p, WRITE(p, "PATCH /notes/9223372036854775807 {\"a\":1}"),
                  "{\"id\":9223372036854775807,\"a\":1}");
}

/* --- What each method does --- */

static void only_post_creates(void **state)
{
    struct primary *p = *state;
    static const char *const first[] = {"PUT /notes/1 {}", "PATCH /notes/1 {}", "DELETE /notes/1"};
    static const char *const second[] = {"PUT /notes/2 {}", "PATCH /notes/2 {}", "DELETE /notes/2"};
    for (int i = 0; i < 3; i++) {
        assert_refused(p, WRITE(p, first[i]), ERR_NOT_FOUND, "notes/1 does not exist");
        assert_refused(p, WRITE(p, first[i], .none_match = "*"), ERR_NOT_FOUND,
                       "notes/1 does not exist");
    }
    assert_int_equal(state_of(p).collections, 0);
    WRITE(p, "POST /notes {}");
    for (int i = 0; i < 3; i++)
        assert_refused(p, WRITE(p, second[i]), ERR_NOT_FOUND, "notes/2 does not exist");
    assert_list(p, "notes", "[{\"id\":1}]");
}

static void put_replaces_wholly(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1,\"b\":2}");
    assert_answer(p, WRITE(p, "PUT /notes/1 {\"c\":3}"), "{\"id\":1,\"c\":3}");
    assert_record(p, "/notes/1", "{\"id\":1,\"c\":3}");
    assert_answer(p, WRITE(p, "PUT /notes/1 {}"), "{\"id\":1}");
    assert_record(p, "/notes/1", "{\"id\":1}");
}

static void patch_merges_as_rfc_7396_says(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":\"b\",\"c\":{\"d\":\"e\",\"f\":\"g\"}}");
    assert_answer(p, WRITE(p, "PATCH /notes/1 {\"a\":\"z\",\"c\":{\"f\":null},\"h\":[null]}"),
                  "{\"id\":1,\"a\":\"z\",\"c\":{\"d\":\"e\"},\"h\":[null]}");
    assert_record(p, "/notes/1", "{\"id\":1,\"a\":\"z\",\"c\":{\"d\":\"e\"},\"h\":[null]}");
    assert_answer(p,
                  WRITE(p, "PATCH /notes/1 {\"id\":1,\"a\":null,\"c\":null,\"h\":null}",
                        .type = "application/merge-patch+json"),
                  "{\"id\":1}");
}

#define PATCH(p, operations)                                                                       \
    WRITE(p, "PATCH /notes/1", .payload = operations, .type = "application/json-patch+json")

static void patch_does_the_operations_of_rfc_6902(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1,\"b\":[1.0]}");
    assert_answer(p,
                  PATCH(p, "[{\"op\":\"test\",\"path\":\"/b/0\",\"value\":1},"
                           " {\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b/-\"}]"),
                  "{\"id\":1,\"b\":[1.0,1]}");
    assert_record(p, "/notes/1", "{\"id\":1,\"b\":[1.0,1]}");
    const struct store_state before = state_of(p);
    assert_refused(
        p, PATCH(p, "[{\"op\":\"remove\",\"path\":\"/b\"},{\"op\":\"remove\",\"path\":\"/b\"}]"),
        ERR_PRECONDITION_FAILED, "operation 2 of the patch: there is nothing there");
    assert_refused(p, PATCH(p, "{}"), ERR_BAD_REQUEST, "a JSON Patch is an array of operations");
    assert_refused(p, PATCH(p, "[{\"op\":\"replace\",\"path\":\"/id\",\"value\":2}]"),
                   ERR_ID_MISMATCH, "a patch cannot change the id of a record");
    assert_unchanged(p, &before);
    assert_answer(p, PATCH(p, "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"c\":1,\"id\":1}}]"),
                  "{\"id\":1,\"c\":1}");
}

/* Else who asks for little that is much work keeps everybody waiting for as long as it takes. */
static void work_on_patches_ends_an_entry_also_where_they_are_refused(void **state)
{
    struct primary *p = *state;
    struct write *refused, *next;
    const struct asking asking = {
        .what = "PATCH /notes/1",
        .payload =
            "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/c\"}]",
        .type = "application/json-patch+json"};
    WRITE(p, "POST /notes {\"a\":1}");
    entry_open(p);
    assert_int_equal(ask(p, &asking, &refused), 0);
    assert_int_equal(ask(p, &asking, &next), 0);
    p->x.patch_work = ENTRY_PATCH_WORK_MAX - 1;
    assert_int_equal(execution_run(&p->x, p->batch), 0);
    assert_int_equal(p->batch->done, 1);
    assert_true(p->x.patch_work > ENTRY_PATCH_WORK_MAX);
    p->x.patch_work = 0; /* the next entry */
    assert_int_equal(execution_run(&p->x, p->batch), 0);
    assert_int_equal(p->batch->done, 2);
    entry_drop(p);
    assert_refused(p, refused, ERR_PRECONDITION_FAILED,
                   "operation 2 of the patch: there is nothing there");
    assert_refused(p, next, ERR_PRECONDITION_FAILED,
                   "operation 2 of the patch: there is nothing there");
}

static void delete_answers_the_record_that_was(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {\"a\":1}");
    struct write *w = WRITE(p, "DELETE /notes/1");
    assert_answer(p, w, "{\"id\":1,\"a\":1}");
    assert_int_equal(w->answered_id, 1);
    assert_int_equal(p->entry.body.bytes, 16 + strlen("notes")); /* the log need not carry it */
    assert_record(p, "/notes/1", NULL);
    assert_refused(p, WRITE(p, "DELETE /notes/1"), ERR_NOT_FOUND, "notes/1 does not exist");
}

static void each_write_works_on_the_state_that_the_one_before_left(void **state)
{
    struct primary *p = *state;
    entry_open(p);
    assert_answer(p, EXECUTE(p, "POST /notes {\"n\":1}"), "{\"id\":1,\"n\":1}");
    assert_answer(p, EXECUTE(p, "PATCH /notes/1 {\"m\":2}"), "{\"id\":1,\"n\":1,\"m\":2}");
    assert_answer(p, EXECUTE(p, "PUT /notes/1 {\"o\":3}", .match = "2"), "{\"id\":1,\"o\":3}");
    assert_answer(p, EXECUTE(p, "PATCH /notes/1 {\"p\":4}"), "{\"id\":1,\"o\":3,\"p\":4}");
    assert_answer(p, EXECUTE(p, "DELETE /notes/1"), "{\"id\":1,\"o\":3,\"p\":4}");
    assert_refused(p, EXECUTE(p, "PATCH /notes/1 {}"), ERR_NOT_FOUND, "notes/1 does not exist");
    assert_answer(p, EXECUTE(p, "POST /notes {}"), "{\"id\":2}");
    entry_close(p);
    assert_list(p, "notes", "[{\"id\":2}]");
}

static void a_record_keeps_its_text_as_sent_but_for_white_space(void **state)
{
    struct primary *p = *state;
    const char *sent = " { \"z\" : 1.10 , \"a\":\t[ 1e400, -0 ,\"\\u00e9 \\/ x\" ]\r\n,"
                       "\"\\u0062\": {\"id\" : 5 } } \n";
    const char *stored = "{\"id\":1,\"z\":1.10,\"a\":[1e400,-0,\"\\u00e9 \\/ x\"],"
                         "\"\\u0062\":{\"id\":5}}";
    assert_answer(p, WRITE(p, "POST /notes", .payload = sent), stored);
    assert_answer(p, WRITE(p, "PUT /notes/1", .payload = sent), stored);
    assert_answer(p, WRITE(p, "PATCH /notes/1 { \"\\u0061\" : null }"),
                  "{\"id\":1,\"z\":1.10,\"\\u0062\":{\"id\":5}}");
}

/* --- Conditions --- */

static void conditions_are_decided_on_the_ordered_state(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}"); /* seq 1 */
    WRITE(p, "POST /notes {}"); /* seq 2 */
    static const char *const writes[] = {"PUT /notes/1 {\"a\":1}", "PATCH /notes/1 {\"a\":1}",
                                         "DELETE /notes/1"};
    for (int i = 0; i < 3; i++) {
        const char *is_1 = "notes/1 was last changed by 1", *what = writes[i];
        assert_refused(p, WRITE(p, what, .match = "2, 9"), ERR_PRECONDITION_FAILED, is_1);
        assert_refused(p, WRITE(p, what, .match = "W/\"1\""), ERR_PRECONDITION_FAILED, is_1);
        assert_refused(p, WRITE(p, what, .none_match = "W/\"1\""), ERR_PRECONDITION_FAILED, is_1);
        assert_refused(p, WRITE(p, what, .none_match = "*"), ERR_PRECONDITION_FAILED, is_1);
        assert_refused(p, WRITE(p, what, .match = "1", .none_match = "1"), ERR_PRECONDITION_FAILED,
                       is_1);
    }
    struct write *w = WRITE(p, "PUT /notes/1 {\"a\":1}", .match = "\"1\"");
    assert_answer(p, w, "{\"id\":1,\"a\":1}");
    entry_open(p);
    w = EXECUTE(p, "PATCH /notes/1 {\"b\":1}", .match = "3", .none_match = "2");
    assert_answer(p, w, "{\"id\":1,\"a\":1,\"b\":1}");
    assert_refused(p, EXECUTE(p, "DELETE /notes/1", .match = "3"), ERR_PRECONDITION_FAILED,
                   "notes/1 was last changed by 4");
    assert_answer(p, EXECUTE(p, "DELETE /notes/1", .match = "*"), "{\"id\":1,\"a\":1,\"b\":1}");
    entry_close(p);
}

/* --- Limits --- */

static void the_record_limit_does_not_count_the_id(void **state)
{
    struct primary *p = *state;
    char text[2 * RECORD_BYTES_MAX], with_id[3 * RECORD_BYTES_MAX];
    struct write *w;
    entry_open(p);
    object_of(RECORD_BYTES_MAX + 1, text);
    assert_int_equal(ask(p, &(struct asking){.what = "POST /notes", .payload = text}, &w),
                     ERR_TOO_LARGE);
    entry_drop(p);
    object_of(RECORD_BYTES_MAX, text);
    w = WRITE(p, "POST /notes", .payload = text);
    assert_int_equal(w->code, 0);
    assert_int_equal(answer_of(p, w).bytes, RECORD_BYTES_MAX + strlen("\"id\":1,"));
    snprintf(with_id, sizeof with_id, " { \"id\" : 1 , %s", text + 1);
    assert_int_equal(WRITE(p, "PUT /notes/1", .payload = with_id)->code, 0);
    assert_int_equal(WRITE(p, "PATCH /notes/1", .payload = with_id)->code, 0);
    assert_int_equal(WRITE(p, "PATCH /notes/1 {}")->code, 0);
}

static void a_merge_over_the_limit_is_too_large_and_changes_nothing(void **state)
{
    struct primary *p = *state;
    char text[2 * RECORD_BYTES_MAX];
    WRITE(p, "POST /notes", .payload = object_of(RECORD_BYTES_MAX - 6, text));
    const struct store_state before = state_of(p);
    assert_refused(p, WRITE(p, "PATCH /notes/1 {\"b\":12}"), ERR_TOO_LARGE,
                   "the merged record would have 1001 bytes, the limit is 1000");
    assert_unchanged(p, &before);
    struct write *w = WRITE(p, "PATCH /notes/1 {\"b\":1}");
    assert_int_equal(w->code, 0);
    assert_int_equal(answer_of(p, w).bytes, RECORD_BYTES_MAX + strlen("\"id\":1,"));
    assert_answer(p, WRITE(p, "PATCH /notes/1 {\"a\":null}"), "{\"id\":1,\"b\":1}");
}

static void no_collection_is_made_past_the_limit(void **state)
{
    struct primary *p = *state;
    static const char *const writes[COLLECTIONS_MAX] = {"POST /a {}", "POST /b {}", "POST /c {}",
                                                        "POST /d {}"};
    for (int i = 0; i < COLLECTIONS_MAX; i++)
        assert_answer(p, WRITE(p, writes[i]), "{\"id\":1}");
    const struct store_state before = state_of(p);
    assert_refused(p, WRITE(p, "POST /e {}"), ERR_TOO_LARGE,
                   "there are 4 collections, and no more are allowed");
    assert_refused(p, WRITE(p, "PUT /e/1 {}"), ERR_NOT_FOUND, "e/1 does not exist");
    assert_unchanged(p, &before);
    assert_answer(p, WRITE(p, "POST /d {}"), "{\"id\":2}");
    WRITE(p, "DELETE /a/1"); /* an empty collection stays one: its ids are used */
    assert_int_equal(WRITE(p, "POST /e {}")->code, ERR_TOO_LARGE);
}

/* --- Without memory --- */

static void an_answer_without_memory_is_outcome_unknown(void **state)
{
    struct primary *p = *state;
    entry_open(p);
    p->batch->answers.bytes_max = 10;
    struct write *w = EXECUTE(p, "POST /notes {\"a\":1234567}");
    assert_refused(p, w, ERR_OUTCOME_UNKNOWN, NULL);
    /* a refusal keeps its code, and says it in the code's own sentence */
    assert_refused(p, EXECUTE(p, "PUT /notes/7 {}"), ERR_NOT_FOUND, NULL);
    entry_close(p);
    p->batch->answers.bytes_max = 0;
    assert_record(p, "/notes/1", "{\"id\":1,\"a\":1234567}");
}

static void a_write_without_room_waits_for_the_next_entry(void **state)
{
    struct primary *p = *state;
    struct write *w;
    entry_open(p);
    EXECUTE(p, "POST /notes {}");
    p->bytes.bytes_max = p->bytes.bytes + 20;
    assert_int_equal(ask(p, &(struct asking){.what = "POST /notes {}"}, &w), 0);
    assert_int_equal(write_execute(&p->x, p->batch, w), WRITE_ENTRY_FULL);
    /* nothing of it has happened: a shorter one still finds its place, and its id */
    assert_int_equal(write_execute(&p->x, p->batch, w), WRITE_ENTRY_FULL);
    p->bytes.bytes_max = 0;
    assert_int_equal(write_execute(&p->x, p->batch, w), 0);
    assert_answer(p, w, "{\"id\":2}");
    entry_close(p);
    assert_record(p, "/notes/2", "{\"id\":2}");
}

static void a_write_that_no_entry_can_hold_is_too_large(void **state)
{
    struct primary *p = *state;
    WRITE(p, "POST /notes {}");
    const struct store_state before = state_of(p);
    entry_open(p);
    p->bytes.bytes_max = p->bytes.bytes + 20;
    assert_refused(p, EXECUTE(p, "POST /notes {}"), ERR_TOO_LARGE,
                   "no entry of the log can hold this");
    p->bytes.bytes_max = 0;
    entry_drop(p);
    assert_unchanged(p, &before);
}

static void on_a_full_disk_only_a_repeat_gets_what_it_asks_for(void **state)
{
    struct primary *p = *state;
    const struct asking keyed = {.what = "POST /notes {\"a\":1}", .key = "key-0001"};
    assert_answer(p, write_alone(p, &keyed), "{\"id\":1,\"a\":1}");
    p->x.disk_full = true;
    assert_answer(p, write_alone(p, &keyed), "{\"id\":1,\"a\":1}");
    assert_refused(p, WRITE(p, "POST /notes {}"), ERR_DISK_FULL, NULL);
    p->x.disk_full = false;
    assert_answer(p, WRITE(p, "POST /notes {}"), "{\"id\":2}");
}

/* --- Without space: in LMDB only, whose map is then too small --- */

static int full_setup(void **state)
{
    if (primary_in_lmdb(state) != 0)
        return -1;
    struct fixture *f = *state;
    struct place *place = f->place;
    const struct store_options o = {
        .path = place->path, .map_bytes = 256 * KIB, .readers_max = READERS_MAX};
    primary_finish(&f->primary);
    place_close(place);
    int rc = store_open(&place->s, &o, place->why, sizeof place->why);
    if (rc == 0)
        primary_init(&f->primary, place->s);
    return rc;
}

/* An entry with one write: 0, or where it ended. */
static int try_write(struct primary *p, const struct asking *a)
{
    struct write *w;
    entry_open(p);
    assert_int_equal(ask(p, a, &w), 0);
    int rc = write_execute(&p->x, p->batch, w);
    if (rc != 0) {
        entry_drop(p);
        return rc;
    }
    entry_seal_and_set(p);
    rc = store_write_commit(p->txn);
    p->txn = NULL;
    return rc;
}

static void without_space_an_entry_fails_and_leaves_everything_as_it_was(void **state)
{
    struct primary *p = *state;
    char text[2 * RECORD_BYTES_MAX], path[64];
    const struct asking a = {.what = "POST /notes", .payload = object_of(RECORD_BYTES_MAX, text)};
    struct store_state before;
    int rc, written = -1;
    do {
        before = state_of(p);
        rc = try_write(p, &a);
        assert_true(++written < 1000);
    } while (rc == 0);
    assert_int_equal(rc, ERR_DISK_FULL);
    assert_true(written > 10);
    assert_unchanged(p, &before);
    assert_int_equal(before.records, written);
    snprintf(path, sizeof path, "/notes/%d", written + 1);
    assert_record(p, path, NULL);
}

#define RULES(X)                                                                                   \
    X(ids_are_1_2_3_in_each_collection)                                                            \
    X(an_id_is_never_used_twice_even_after_its_record_was_deleted)                                 \
    X(an_aborted_entry_leaves_everything_as_it_was)                                                \
    X(each_executed_write_takes_the_next_seq)                                                      \
    X(a_refused_write_uses_no_id_no_seq_and_no_effect)                                             \
    X(a_collection_that_used_all_its_ids_is_full)                                                  \
    X(only_post_creates)                                                                           \
    X(put_replaces_wholly)                                                                         \
    X(patch_merges_as_rfc_7396_says)                                                               \
    X(patch_does_the_operations_of_rfc_6902)                                                       \
    X(work_on_patches_ends_an_entry_also_where_they_are_refused)                                   \
    X(delete_answers_the_record_that_was)                                                          \
    X(each_write_works_on_the_state_that_the_one_before_left)                                      \
    X(a_record_keeps_its_text_as_sent_but_for_white_space)                                         \
    X(conditions_are_decided_on_the_ordered_state)                                                 \
    X(the_record_limit_does_not_count_the_id)                                                      \
    X(a_merge_over_the_limit_is_too_large_and_changes_nothing)                                     \
    X(no_collection_is_made_past_the_limit)                                                        \
    X(an_answer_without_memory_is_outcome_unknown)                                                 \
    X(a_write_without_room_waits_for_the_next_entry)                                               \
    X(a_write_that_no_entry_can_hold_is_too_large)                                                 \
    X(on_a_full_disk_only_a_repeat_gets_what_it_asks_for)

int main(void)
{
    const struct CMUnitTest in_memory[] = {RULES(IN_MEMORY)};
    const struct CMUnitTest in_lmdb[] = {RULES(IN_LMDB) cmocka_unit_test_setup_teardown(
        without_space_an_entry_fails_and_leaves_everything_as_it_was, full_setup,
        primary_teardown)};
    return cmocka_run_group_tests(in_memory, NULL, NULL) +
           cmocka_run_group_tests(in_lmdb, NULL, NULL);
}
