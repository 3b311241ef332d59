/* Trimming on the preparer's thread, beside a thread that appends and cuts, and readers, on the
 * real disk. Meant for the thread sanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/err.h"
#include "support/log_case.h"

enum {
    TOGETHER = 600, /* frames, of one entry each */
    READERS = 2,    /* of each kind */
    DEADLINE_S = 50,
};

struct house {
    struct log *log;
    _Atomic uint64_t safe; /* no cut goes below, and no trim above */
    atomic_bool stop;
    int prepare_code;
    uint64_t trims; /* that removed something */
    time_t begun;
};

/* A reader on a thread of its own. */
struct guest {
    struct house *house;
    pthread_t thread;
    bool good;
    uint64_t seen;        /* entries that were given, or are gone */
    uint64_t given, gone; /* times */
};

static bool late(const struct house *h)
{
    return time(NULL) - h->begun > DEADLINE_S;
}

static void wait_a_little(void)
{
    const struct timespec t = {.tv_nsec = 50000};
    nanosleep(&t, NULL);
}

static size_t payload_bytes_of(uint64_t index)
{
    return (size_t)(1 + index * 1237 % CASE_PAYLOAD_BYTES_MAX);
}

/* The bytes of an entry tell its index; `junk` is one that a cut will remove. */
static int append_one(struct house *h, uint64_t index, bool junk)
{
    size_t bytes = payload_bytes_of(index);
    struct log_position p = {.first_index = index, .entries = 1, .chain = index};
    char *to = log_frame_begin(h->log, bytes);
    if (to == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < bytes; i++)
        to[i] = junk ? 0x55 : (char)(index + i);
    while (!log_has_room(h->log, bytes)) {
        if (late(h))
            return ERR_DISK_FULL;
        wait_a_little();
    }
    return log_append(h->log, log_frame_end(h->log, &p, bytes));
}

static void *prepare_and_trim(void *arg)
{
    struct house *h = arg;
    uint64_t before = 1;
    while (h->prepare_code == 0 && !h->stop) {
        h->prepare_code = log_prepare(h->log);
        uint64_t safe = h->safe, keep = safe % 23;
        if (h->prepare_code == 0)
            h->prepare_code = log_trim(h->log, safe < keep ? 0 : safe - keep);
        h->trims += log_first_index(h->log) != before;
        before = log_first_index(h->log);
        wait_a_little();
    }
    return NULL;
}

/* Whether these are the payloads of entries first … last, perhaps with more behind them. */
static bool expected(struct span payloads, uint64_t first, uint64_t last)
{
    size_t at = 0;
    for (uint64_t index = first; index <= last; index++) {
        size_t bytes = payload_bytes_of(index);
        if (bytes > payloads.bytes - at)
            return false;
        for (size_t i = 0; i < bytes; i++)
            if (payloads.at[at + i] != (char)(index + i))
                return false;
        at += bytes;
    }
    return true;
}

/* Reads what is not going to be cut, from `index` on: it is given as it was written, or is below
 * the log's first. The last one given; 0: gone. */
static uint64_t read_one(struct guest *g, struct log_reader *reader, uint64_t index,
                         size_t bytes_max, struct buf *to)
{
    uint64_t safe = g->house->safe, last = 0;
    buf_reset(to, SIZE_MAX);
    int code = log_read(reader, index, bytes_max, to, &last);
    if (code == ERR_NOT_FOUND && log_first_index(g->house->log) > index) {
        g->gone++;
        return 0;
    }
    last = last < safe ? last : safe;
    g->good = code == 0 && last >= index && expected(buf_span(to), index, last);
    g->given++;
    if (!g->good)
        print_error("index %lu to %lu, safe %lu, first %lu: %d\n", (unsigned long)index,
                    (unsigned long)last, (unsigned long)safe,
                    (unsigned long)log_first_index(g->house->log), code);
    return last;
}

/* Follows the end; where it was too slow it goes on with the first that is left. */
static void *follow(void *arg)
{
    struct guest *g = arg;
    struct log_reader *reader;
    struct buf to = {.at = NULL};
    g->good = log_reader_create(&reader, g->house->log) == 0;
    while (g->good && g->seen < TOGETHER && !late(g->house)) {
        if (g->seen == g->house->safe) {
            wait_a_little();
            continue;
        }
        uint64_t last = read_one(g, reader, g->seen + 1, 20000, &to);
        g->seen = last == 0 ? log_first_index(g->house->log) - 1 : last;
    }
    buf_finish(&to);
    log_reader_destroy(reader);
    return NULL;
}

/* Reads the very first, and then another far from it, so that the file is opened anew. */
static void *read_the_first(void *arg)
{
    struct guest *g = arg;
    struct log_reader *reader;
    struct buf to = {.at = NULL};
    g->good = log_reader_create(&reader, g->house->log) == 0;
    while (g->good && g->seen < TOGETHER && !late(g->house)) {
        g->seen = g->house->safe;
        uint64_t first = log_first_index(g->house->log);
        if (first > g->seen)
            continue;
        read_one(g, reader, first, 0, &to);
        if (g->good)
            read_one(g, reader, g->seen, 0, &to);
    }
    buf_finish(&to);
    log_reader_destroy(reader);
    return NULL;
}

/* Appends all, with cuts now and then. */
static int live(struct house *h)
{
    int code = 0;
    for (uint64_t index = 1; index <= TOGETHER && code == 0; index++) {
        code = append_one(h, index, false);
        if (code != 0 || index % 4 != 0)
            continue;
        h->safe = index;
        for (uint64_t more = 1; more <= index % 13 && code == 0; more++)
            code = append_one(h, index + more, true);
        if (code == 0)
            code = log_cut(h->log, index, index);
    }
    return code;
}

static int check(void *context, const struct log_position *p, struct span payload)
{
    uint64_t *index = context;
    bool good = (*index == 0 || p->first_index == *index + 1) && p->chain == p->first_index &&
                payload.bytes == payload_bytes_of(p->first_index) &&
                expected(payload, p->first_index, p->first_index);
    *index = p->first_index;
    return good ? 0 : ERR_CORRUPT;
}

static void trims_disturb_nobody(void **state)
{
    (void)state;
    struct log_case c;
    case_begin(&c, true, 5);
    assert_int_equal(case_open(&c, 1, 0), 0);
    struct house h = {.log = c.log, .begun = time(NULL)};
    struct guest guests[2 * READERS] = {{NULL}};
    pthread_t preparer;
    assert_int_equal(pthread_create(&preparer, NULL, prepare_and_trim, &h), 0);
    for (size_t i = 0; i < 2 * READERS; i++) {
        guests[i].house = &h;
        assert_int_equal(pthread_create(&guests[i].thread, NULL,
                                        i < READERS ? follow : read_the_first, &guests[i]),
                         0);
    }
    int code = live(&h);
    if (code != 0)
        h.safe = TOGETHER; /* so that they end */
    for (size_t i = 0; i < 2 * READERS; i++)
        pthread_join(guests[i].thread, NULL);
    h.stop = true;
    pthread_join(preparer, NULL);
    assert_int_equal(code, 0);
    assert_int_equal(h.prepare_code, 0);
    assert_true(h.trims > 10);
    for (size_t i = 0; i < 2 * READERS; i++) {
        print_message("reader %zu: %lu given, %lu gone\n", i, (unsigned long)guests[i].given,
                      (unsigned long)guests[i].gone);
        assert_true(guests[i].good);
        assert_int_equal(guests[i].seen, TOGETHER);
        assert_true(guests[i].given != 0);
    }
    uint64_t first = log_first_index(c.log), last = 0;
    assert_true(first > TOGETHER / 2);
    case_close(&c);
    assert_int_equal(
        log_open(&c.log, &c.options, first, TOGETHER, check, &last, c.why, sizeof c.why), 0);
    assert_int_equal(last, TOGETHER);
    assert_int_equal(log_first_index(c.log), first);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(trims_disturb_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
