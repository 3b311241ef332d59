/* What a front end spends on input that comes in small pieces: it looks at each byte a bounded
 * number of times, so that a patient sender does not keep it busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "support/front_world.h"

/* It takes some hundredths of a second, and 1 to 30 s with a look at what came before for each
 * piece. */
enum { PIECE_BYTES = 32 };
#define CPU_S_MAX 0.5

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Says begin, one byte over and over again, end; the answers begin as expected. */
static void say(const char *begin, char byte, size_t times, const char *end, const char *expected)
{
    static struct world w;
    struct buf all = {0};
    buf_add_text(&all, begin);
    char *at = buf_room(&all, times);
    assert_non_null(at);
    memset(at, byte, times);
    all.bytes += times;
    buf_add_text(&all, end);

    world_init(&w);
    w.settings.record_bytes_max = MIB;
    w.settings.head_bytes_max = 16 * KIB;
    world_open(&w);
    double before = cpu_s();
    struct line *l = world_connect(&w, buf_span(&all));
    l->piece_bytes = PIECE_BYTES;
    world_run(&w);
    double spent = cpu_s() - before;
    if (l->heard.bytes < strlen(expected) || memcmp(l->heard.at, expected, strlen(expected)) != 0)
        fail_msg("answered %.*s", SPAN_ARGS(buf_span(&l->heard)));
    if (spent > CPU_S_MAX)
        fail_msg("it took %.1f s", spent);
    world_close(&w);
    buf_finish(&all);
}

static void a_payload_is_judged_once(void **state)
{
    (void)state;
    say("{\"method\":\"POST\",\"pattern\":\"/a\"}{\"a\":\"", 'x', MIB - 100, "\"}",
        "{\"status\":201");
}

static void blanks_before_a_payload_are_passed_once(void **state)
{
    (void)state;
    say("{\"method\":\"POST\",\"pattern\":\"/a\"}", ' ', MIB - 100, "{\"a\":1}", "{\"status\":201");
}

static void a_head_is_not_read_again_for_each_piece_of_its_payload(void **state)
{
    char head[512 * KIB];
    (void)state;
    snprintf(head, sizeof head, "{\"method\":\"POST\",\"pattern\":\"/a\"%*s", (int)sizeof head - 60,
             "}{\"a\":\"");
    say(head, 'x', 512 * KIB, "\"}", "{\"msg\":\"ERROR\",\"status\":431");
}

static void a_head_is_not_read_again_for_each_piece_of_a_chunked_body(void **state)
{
    char head[16 * KIB];
    (void)state;
    snprintf(head, sizeof head,
             "POST /a HTTP/1.1\r\nHost: h\r\nX: %*s\r\nTransfer-Encoding: chunked\r\n\r\nffff0\r\n"
             "{\"a\":\"",
             (int)sizeof head - 200, "x");
    say(head, 'x', 0xffff0 - 8, "\"}\r\n0\r\n\r\n", "HTTP/1.1 201");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payload_is_judged_once),
        cmocka_unit_test(blanks_before_a_payload_are_passed_once),
        cmocka_unit_test(a_head_is_not_read_again_for_each_piece_of_its_payload),
        cmocka_unit_test(a_head_is_not_read_again_for_each_piece_of_a_chunked_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
