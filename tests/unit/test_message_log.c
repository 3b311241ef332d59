/* The message log: its three forms, its bounds, and readers beside writers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/message_log.h"

#define NOON 1795374600123456 /* 2026-11-22 19:10:00.123456 UTC */
#define TIME "2026-11-22 19:10:00.123456"

static uint64_t at_noon(void *context)
{
    (void)context;
    return NOON;
}

static struct message_log *new_log(unsigned rings, unsigned slots, unsigned reads_max)
{
    struct clock clock = {at_noon, at_noon, NULL};
    struct message_log *log = NULL;
    assert_int_equal(
        message_log_create(&log, &(struct message_log_options){.app_name = "seoul",
                                                               .rings = rings,
                                                               .slots = slots,
                                                               .reads_per_second_max = reads_max,
                                                               .clock = &clock}),
        0);
    return log;
}

static void say(struct message_log *log, unsigned ring, const char *words)
{
    message_add(message_log_ring(log, ring), &(struct message){.words = span_of(words)});
}

/* What is read behind `after`, as a text of the caller's. */
static char *read_text(struct message_log *log, uint64_t after, enum message_format format)
{
    struct buf b = {0};
    message_log_read(log, after, 1 << 20, format, &b, NULL);
    buf_add_char(&b, '\0');
    assert_false(b.failed);
    return b.at;
}

static void reads(struct message_log *log, uint64_t after, enum message_format format,
                  const char *expected)
{
    char *text = read_text(log, after, format);
    assert_string_equal(text, expected);
    free(text);
}

#define START "[" TIME "] seoul CLIENT [REQUEST] W1 "

/* --- Form --- */

static void a_line_reads_as_the_contract_shows(void **state)
{
    (void)state;
    struct message_log *log = new_log(1, 4, 0);
    message_add(message_log_ring(log, 0),
                &(struct message){.step = MESSAGE_W1,
                                  .actor = MESSAGE_CLIENT,
                                  .kind = MESSAGE_REQUEST,
                                  .words = span_of("POST"),
                                  .target = span_of("/notes"),
                                  .payload = span_of("{\"title\":\"a\"}")});
    message_add(message_log_ring(log, 0), &(struct message){.step = MESSAGE_R2,
                                                            .actor = MESSAGE_REPLICA,
                                                            .kind = MESSAGE_REPLY,
                                                            .words = span_of("GET"),
                                                            .target = span_of("/n/1"),
                                                            .status = 200,
                                                            .payload = span_of("{}")});
    reads(log, 0, MESSAGE_LINES,
          "[" TIME "] seoul CLIENT [REQUEST] W1 POST /notes {\"title\":\"a\"}\n"
          "[" TIME "] seoul REPLICA [REPLY] R2 GET /n/1 200 {}\n");
    message_log_destroy(log);
}

static void every_step_has_its_word(void **state)
{
    (void)state;
    static const char *const words[] = {"W1", "W2", "W3", "W4", "W5", "R1", "R2"};
    for (unsigned i = 0; i < 7; i++) {
        struct message_log *log = new_log(1, 4, 0);
        message_add(message_log_ring(log, 0),
                    &(struct message){.step = (enum message_step)i, .words = span_of("x")});
        char expected[128];
        snprintf(expected, sizeof expected, "[" TIME "] seoul CLIENT [REQUEST] %s x\n", words[i]);
        reads(log, 0, MESSAGE_LINES, expected);
        message_log_destroy(log);
    }
}

static void parts_that_are_absent_leave_no_space(void **state)
{
    (void)state;
    struct message_log *log = new_log(1, 8, 0);
    struct message_ring *ring = message_log_ring(log, 0);
    message_add(ring, &(struct message){.words = span_of("Acknowledge update")});
    message_add(ring, &(struct message){.words = span_of("DELETE"), .status = 404});
    message_add(ring, &(struct message){.status = 404});
    message_add(ring, &(struct message){.payload = span_of("{}")});
    reads(log, 0, MESSAGE_LINES,
          START "Acknowledge update\n" START "DELETE 404\n" START "404\n" START "{}\n");
    message_log_destroy(log);
}

#define OBJECT(n)                                                                                  \
    "{\"n\":" n ",\"time\":\"" TIME "\",\"app_name\":\"seoul\",\"actor\":\"CLIENT\","              \
    "\"kind\":\"REQUEST\",\"step\":\"W1\",\"text\":\"PUT 200 {\\\"a\\\":\\\"\\\\n\\\"}\","         \
    "\"line\":\"" START "PUT 200 {\\\"a\\\":\\\"\\\\n\\\"}\"}"

static void json_objects_have_commas_between_and_events_their_numbers(void **state)
{
    (void)state;
    struct message_log *log = new_log(1, 4, 0);
    for (int i = 0; i < 2; i++)
        message_add(message_log_ring(log, 0),
                    &(struct message){.words = span_of("PUT"),
                                      .status = 200,
                                      .payload = span_of("{\"a\":\"\\n\"}")});
    reads(log, 0, MESSAGE_JSON, OBJECT("1") "," OBJECT("2"));
    reads(log, 1, MESSAGE_JSON, OBJECT("2"));
    reads(log, 0, MESSAGE_EVENTS,
          "id: 1\ndata: " OBJECT("1") "\n\nid: 2\ndata: " OBJECT("2") "\n\n");
    reads(log, 2, MESSAGE_EVENTS, "");
    message_log_destroy(log);
}

/* --- Text --- */

/* Adds one message with `text` as its payload and gives what its line holds behind the words. */
static char *line_of_payload(struct span text)
{
    struct message_log *log = new_log(1, 1, 0);
    message_add(message_log_ring(log, 0),
                &(struct message){.words = span_of("x"), .payload = text});
    char *line = read_text(log, 0, MESSAGE_LINES);
    size_t start = strlen(START "x "), n = strlen(line);
    assert_true(n > start && line[n - 1] == '\n');
    line[n - 1] = '\0';
    memmove(line, line + start, n - start);
    message_log_destroy(log);
    return line;
}

static void cut_payload(const char *end, size_t fill, const char *kept_end)
{
    char text[512], expected[512];
    memset(text, 'x', fill);
    memset(expected, 'x', fill);
    strcpy(text + fill, end);
    strcpy(expected + fill, kept_end);
    char *line = line_of_payload(span_of(text));
    assert_string_equal(line, expected);
    free(line);
}

static void a_payload_is_cut_at_a_characters_boundary(void **state)
{
    (void)state;
    cut_payload("", 199, "");
    cut_payload("", 200, "");
    cut_payload("x", 200, "…");
    cut_payload("é", 198, "é");
    cut_payload("é", 199, "…");
    cut_payload("éy", 198, "é…");
    cut_payload("한", 198, "…");
    cut_payload("한", 199, "…");
    cut_payload("한y", 197, "한…");
    cut_payload("😀", 197, "…");
    cut_payload("😀", 199, "…");
    cut_payload("😀y", 196, "😀…");
    cut_payload("yy", 199, "y…");
}

static void a_payload_that_is_not_utf_8_is_cut_anywhere(void **state)
{
    (void)state;
    char text[300];
    memset(text, 0x80, sizeof text);
    char *line = line_of_payload(span(text, sizeof text));
    assert_int_equal(strlen(line), 200 * strlen("\xef\xbf\xbd") + strlen("…"));
    free(line);
}

static void long_words_and_targets_are_cut_too(void **state)
{
    (void)state;
    char text[300], expected[600];
    memset(text, 'w', sizeof text);
    struct message_log *log = new_log(1, 2, 0);
    message_add(message_log_ring(log, 0), &(struct message){.words = span(text, 300),
                                                            .target = span(text, 300),
                                                            .status = 414,
                                                            .payload = span(text, 300)});
    snprintf(expected, sizeof expected, START "%.88s… %.120s… 414 %.200s…\n", text, text, text);
    reads(log, 0, MESSAGE_LINES, expected);
    message_log_destroy(log);
}

static void nothing_in_a_message_breaks_its_line(void **state)
{
    (void)state;
    static const char payload[] = "\0\t\x7f\xc2\x9b\xe2\x80\xa8|\xc2\xa0|한|\\n";
    struct message_log *log = new_log(1, 2, 0);
    message_add(message_log_ring(log, 0),
                &(struct message){.words = span_of("A\nB"),
                                  .target = span_of("/\r\n\x1b[2J"),
                                  .payload = span(payload, sizeof payload - 1)});
    reads(log, 0, MESSAGE_LINES,
          START
          "A\\nB /\\u000d\\n\\u001b[2J \\u0000\\u0009\\u007f\\u009b\\u2028|\xc2\xa0|한|\\n\n");
    char *text = read_text(log, 0, MESSAGE_JSON);
    assert_null(strpbrk(text, "\r\n\x1b"));
    assert_non_null(strstr(text, "\"text\":\"A\\nB /\\r\\n\\u001b[2J \\u0000\\t"));
    free(text);
    text = read_text(log, 0, MESSAGE_EVENTS);
    size_t n = strlen(text);
    assert_string_equal(text + n - 3, "}\n\n");
    assert_ptr_equal(strchr(strchr(text, '\n') + 1, '\n'), text + n - 2);
    free(text);
    message_log_destroy(log);
}

static void bytes_that_are_not_utf_8_are_replaced(void **state)
{
    (void)state;
    char *line = line_of_payload(span("a\xff"
                                      "b\xc3",
                                      4));
    assert_string_equal(line, "a\xef\xbf\xbd"
                              "b\xef\xbf\xbd");
    free(line);
}

/* --- Order and bounds --- */

static void numbers_count_over_all_rings_and_are_read_in_order(void **state)
{
    (void)state;
    struct message_log *log = new_log(3, 4, 0);
    assert_int_equal(message_log_last(log), 0);
    reads(log, 0, MESSAGE_LINES, "");
    say(log, 2, "one");
    say(log, 0, "two");
    say(log, 2, "three");
    say(log, 1, "four");
    assert_int_equal(message_log_last(log), 4);
    reads(log, 0, MESSAGE_LINES, START "one\n" START "two\n" START "three\n" START "four\n");
    reads(log, 2, MESSAGE_LINES, START "three\n" START "four\n");
    message_log_destroy(log);
}

static void reading_says_how_far_it_came_and_what_was_lost(void **state)
{
    (void)state;
    struct message_log *log = new_log(2, 4, 0);
    struct buf b = {0};
    uint64_t lost = 7;
    assert_int_equal(message_log_read(log, 0, 1000, MESSAGE_LINES, &b, &lost), 0);
    assert_int_equal(lost, 0);
    for (int i = 0; i < 10; i++)
        say(log, 0, "x"); /* 7 to 10 are kept */
    say(log, 1, "y");     /* 11 */
    assert_int_equal(message_log_read(log, 0, 1000, MESSAGE_LINES, &b, &lost), 11);
    assert_int_equal(lost, 6);
    assert_int_equal(message_log_read(log, 8, 1000, MESSAGE_LINES, &b, &lost), 11);
    assert_int_equal(lost, 0);
    assert_int_equal(message_log_read(log, 11, 1000, MESSAGE_LINES, &b, &lost), 11);
    assert_int_equal(message_log_read(log, 99, 1000, MESSAGE_LINES, &b, &lost), 99);
    assert_int_equal(lost, 0);
    buf_finish(&b);
    message_log_destroy(log);
}

static void a_ring_keeps_its_newest_messages(void **state)
{
    (void)state;
    struct message_log *log = new_log(2, 4, 0);
    say(log, 1, "old but kept");
    for (int i = 0; i < 1000; i++) {
        char words[16];
        snprintf(words, sizeof words, "%d", i);
        say(log, 0, words);
    }
    reads(log, 0, MESSAGE_LINES,
          START "old but kept\n" START "996\n" START "997\n" START "998\n" START "999\n");
    message_log_destroy(log);
}

static void reading_stops_behind_the_message_that_passes_bytes_max(void **state)
{
    (void)state;
    struct message_log *log = new_log(1, 8, 0);
    size_t line = strlen(START "x\n");
    for (int i = 0; i < 5; i++)
        say(log, 0, "x");
    struct buf b = {0};
    buf_add_text(&b, "before");
    assert_int_equal(message_log_read(log, 0, 0, MESSAGE_LINES, &b, NULL), 0);
    assert_int_equal(message_log_read(log, 0, 1, MESSAGE_LINES, &b, NULL), 1);
    assert_int_equal(b.bytes, 6 + line);
    assert_int_equal(message_log_read(log, 1, line, MESSAGE_LINES, &b, NULL), 2);
    assert_int_equal(message_log_read(log, 2, line + 1, MESSAGE_LINES, &b, NULL), 4);
    assert_int_equal(message_log_read(log, 4, 1000, MESSAGE_LINES, &b, NULL), 5);
    assert_int_equal(b.bytes, 6 + 5 * line);
    buf_finish(&b);
    message_log_destroy(log);
}

static void a_full_buffer_ends_with_a_whole_message(void **state)
{
    (void)state;
    struct message_log *log = new_log(1, 8, 0);
    for (int i = 0; i < 5; i++)
        say(log, 0, "x");
    size_t object = strlen(OBJECT("1")); /* about as long */
    for (size_t room = 0; room < 3 * object; room++) {
        struct buf b = {.bytes_max = room + 1};
        uint64_t lost;
        uint64_t last = message_log_read(log, 0, 10 * object, MESSAGE_JSON, &b, &lost);
        assert_true(b.failed);
        assert_true(last <= 3);
        assert_int_equal(lost, 0);
        assert_true((last == 0) == (b.bytes == 0));
        assert_true(b.bytes == 0 || b.at[b.bytes - 1] == '}');
        buf_finish(&b);
    }
    message_log_destroy(log);
}

static void impossible_options_are_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned rings, slots;
    } list[] = {{0, 4}, {257, 4}, {1, 0}, {1, 3}, {1, 4095}};
    struct clock clock = clock_real();
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct message_log *log = NULL;
        struct message_log_options o = {
            .app_name = "a", .rings = list[i].rings, .slots = list[i].slots, .clock = &clock};
        assert_int_equal(message_log_create(&log, &o), ERR_USAGE);
        assert_null(log);
    }
    message_log_destroy(new_log(256, 1, 0));
    message_log_destroy(NULL);
}

/* A clock that is asked while message 1 is being written, its number drawn; meanwhile another ring
 * gets message 2. */
static uint64_t add_in_between(void *context)
{
    struct message_log **log = context, *l = *log;
    *log = NULL; /* once */
    if (l != NULL) {
        say(l, 1, "two");
        assert_int_equal(message_log_last(l), 0);
        reads(l, 0, MESSAGE_LINES, "");
    }
    return NOON;
}

static void a_message_being_written_holds_back_those_behind_it(void **state)
{
    (void)state;
    struct message_log *log = NULL, *unfinished = NULL;
    struct clock clock = {add_in_between, add_in_between, &unfinished};
    struct message_log_options o = {.app_name = "seoul", .rings = 2, .slots = 4, .clock = &clock};
    assert_int_equal(message_log_create(&log, &o), 0);
    unfinished = log;
    say(log, 0, "one");
    assert_null(unfinished);
    assert_int_equal(message_log_last(log), 2);
    reads(log, 0, MESSAGE_LINES, START "one\n" START "two\n");
    message_log_destroy(log);
}

/* --- Reads --- */

static void reads_past_their_share_of_a_second_are_counted(void **state)
{
    (void)state;
    struct message_log *log = new_log(2, 8, 3);
    struct message_ring *ring = message_log_ring(log, 0);
    const uint64_t s = 1000000;
    for (int i = 0; i < 3; i++)
        assert_true(message_reads_admit(ring, 5 * s));
    assert_false(message_reads_admit(ring, 5 * s + 1));
    assert_false(message_reads_admit(ring, 6 * s - 1));
    assert_true(message_reads_admit(message_log_ring(log, 1), 5 * s)); /* its own share */
    message_tick(ring, 6 * s - 1);
    assert_int_equal(message_log_last(log), 0);

    assert_true(message_reads_admit(ring, 6 * s));
    reads(log, 0, MESSAGE_LINES,
          "[" TIME "] seoul CLIENT [REQUEST] R1 2 more reads this second were counted, not "
          "logged\n");
    assert_true(message_reads_admit(ring, 6 * s));
    assert_true(message_reads_admit(ring, 6 * s));
    assert_false(message_reads_admit(ring, 6 * s));
    message_tick(ring, 9 * s);
    message_tick(ring, 9 * s);
    message_tick(ring, 10 * s);
    reads(log, 1, MESSAGE_LINES,
          "[" TIME "] seoul CLIENT [REQUEST] R1 1 more reads this second were counted, not "
          "logged\n");
    message_log_destroy(log);
}

static void a_second_without_too_many_reads_is_not_spoken_of(void **state)
{
    (void)state;
    struct message_log *log = new_log(1, 8, 3);
    struct message_ring *ring = message_log_ring(log, 0);
    for (uint64_t us = 0; us < 5000000; us += 500000)
        assert_true(message_reads_admit(ring, us));
    message_tick(ring, 9000000);
    assert_int_equal(message_log_last(log), 0);
    message_log_destroy(log);
}

/* --- Threads --- */

enum { WRITERS = 3, READERS = 2 };

/* cmocka's assertions say nothing outside the thread of the test. */
static void equal(uint64_t a, uint64_t b, int line)
{
    if (a == b)
        return;
    fprintf(stderr, "%s:%d: %llu != %llu\n", __FILE__, line, (unsigned long long)a,
            (unsigned long long)b);
    abort();
}
#define EQUAL(a, b) equal((uint64_t)(a), (uint64_t)(b), __LINE__)
#define HOLDS(what) equal((what) ? 1 : 0, 1, __LINE__)

struct race {
    struct message_log *log;
    unsigned slots;
    uint64_t passes;      /* each reader makes at least so many that find something, ... */
    bool nothing_is_lost; /* ... while writers wait for them before they overwrite */
    _Atomic unsigned next_writer, next_reader, readers_left, writers_left;
    _Atomic uint64_t added, seen[READERS];
};

static void wait_for_readers(struct race *r)
{
    for (int i = 0; i < READERS; i++)
        while (atomic_load(&r->readers_left) != 0 &&
               atomic_load(&r->added) > atomic_load(&r->seen[i]) + r->slots / 2)
            sched_yield();
}

/* Message i of a ring is one unit again and again, so that a torn one is seen. */
static void *write_many(void *arg)
{
    struct race *r = arg;
    unsigned ring = atomic_fetch_add(&r->next_writer, 1);
    for (unsigned long i = 0; atomic_load(&r->readers_left) != 0; i++) {
        char payload[200], unit[32];
        size_t n = (size_t)snprintf(unit, sizeof unit, "<%u,%lu>", ring, i), used = 0;
        for (unsigned long k = 0; k <= i % 6; k++, used += n)
            memcpy(payload + used, unit, n);
        struct message m = {.words = span_of("x"), .payload = span(payload, used)};
        atomic_fetch_add(&r->added, 1);
        message_add(message_log_ring(r->log, ring), &m);
        if (r->nothing_is_lost && i % 16 == 0)
            wait_for_readers(r);
    }
    atomic_fetch_sub(&r->writers_left, 1);
    return NULL;
}

struct seen {
    uint64_t number, count;
    long last[WRITERS]; /* message of each ring */
};

static void check_event(struct seen *s, const char *event)
{
    uint64_t number = strtoull(event + strlen("id: "), NULL, 10);
    HOLDS(number > s->number);
    s->number = number;
    const char *text = strstr(event, "\"text\":\"x ");
    HOLDS(text != NULL);
    text += strlen("\"text\":\"x ");
    char *comma, *end;
    unsigned long ring = strtoul(text + 1, &comma, 10), i = strtoul(comma + 1, &end, 10);
    HOLDS(text[0] == '<' && *comma == ',' && *end == '>');
    size_t n = (size_t)(end + 1 - text);
    HOLDS(ring < WRITERS && (long)i > s->last[ring]);
    s->last[ring] = (long)i;
    for (size_t k = 0; k <= i % 6; k++)
        HOLDS(memcmp(text + n * k, text, n) == 0);
    EQUAL(text[n * (i % 6 + 1)], '"');
    s->count++;
}

static void check_events(struct seen *s, char *events)
{
    for (char *event = events, *end; *event != '\0'; event = end + 2) {
        for (end = event; end[0] != '\n' || end[1] != '\n'; end++) {
        }
        *end = '\0';
        check_event(s, event);
    }
}

static void *read_all(void *arg)
{
    struct race *r = arg;
    unsigned reader = atomic_fetch_add(&r->next_reader, 1);
    struct seen s = {.last = {-1, -1, -1}};
    uint64_t after = 0, lost_all = 0, passes = 0;
    struct buf b = {0};
    for (bool over = false; !over;) {
        over = atomic_load(&r->writers_left) == 0;
        uint64_t lost, before = after;
        b.bytes = 0;
        after = message_log_read(r->log, after, SIZE_MAX, MESSAGE_EVENTS, &b, &lost);
        atomic_store(&r->seen[reader], after);
        lost_all += lost;
        buf_add_char(&b, '\0');
        HOLDS(!b.failed);
        check_events(&s, b.at);
        HOLDS(after == before || after == s.number);
        if (after != before && ++passes == r->passes)
            atomic_fetch_sub(&r->readers_left, 1);
    }
    EQUAL(after, message_log_last(r->log));
    EQUAL(s.count + lost_all, after);
    if (r->nothing_is_lost)
        EQUAL(lost_all, 0);
    buf_finish(&b);
    return NULL;
}

static void race(unsigned slots, bool nothing_is_lost, uint64_t passes)
{
    struct race r = {.log = new_log(WRITERS, slots, 0),
                     .slots = slots,
                     .passes = passes,
                     .nothing_is_lost = nothing_is_lost};
    atomic_init(&r.writers_left, WRITERS);
    atomic_init(&r.readers_left, READERS);
    pthread_t threads[WRITERS + READERS];
    alarm(120);
    for (int i = 0; i < WRITERS + READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < WRITERS ? write_many : read_all, &r),
                         0);
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    alarm(0);
    message_log_destroy(r.log);
}

static void readers_beside_writers_see_whole_messages_in_order(void **state)
{
    (void)state;
    race(4, false, 500);
    race(16, false, 100);
}

static void a_reader_who_follows_misses_no_message_that_is_kept(void **state)
{
    (void)state;
    race(64, true, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_reads_as_the_contract_shows),
        cmocka_unit_test(every_step_has_its_word),
        cmocka_unit_test(parts_that_are_absent_leave_no_space),
        cmocka_unit_test(json_objects_have_commas_between_and_events_their_numbers),
        cmocka_unit_test(a_payload_is_cut_at_a_characters_boundary),
        cmocka_unit_test(a_payload_that_is_not_utf_8_is_cut_anywhere),
        cmocka_unit_test(long_words_and_targets_are_cut_too),
        cmocka_unit_test(nothing_in_a_message_breaks_its_line),
        cmocka_unit_test(bytes_that_are_not_utf_8_are_replaced),
        cmocka_unit_test(numbers_count_over_all_rings_and_are_read_in_order),
        cmocka_unit_test(reading_says_how_far_it_came_and_what_was_lost),
        cmocka_unit_test(a_ring_keeps_its_newest_messages),
        cmocka_unit_test(reading_stops_behind_the_message_that_passes_bytes_max),
        cmocka_unit_test(a_full_buffer_ends_with_a_whole_message),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(a_message_being_written_holds_back_those_behind_it),
        cmocka_unit_test(reads_past_their_share_of_a_second_are_counted),
        cmocka_unit_test(a_second_without_too_many_reads_is_not_spoken_of),
        cmocka_unit_test(readers_beside_writers_see_whole_messages_in_order),
        cmocka_unit_test(a_reader_who_follows_misses_no_message_that_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
