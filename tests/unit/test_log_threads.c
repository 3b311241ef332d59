/* The log with a builder, an appender and a preparer, each on a thread of its own, on the real
 * disk. Meant for the thread sanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "support/log_case.h"

enum { FRAMES = 300, DEADLINE_S = 60 };

struct house {
    struct log *log;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct log_frame *frame; /* handed over and not yet taken up */
    bool idle;               /* the appender has returned */
    bool low;                /* a segment is wanted */
    bool stop;
    int append_code, prepare_code;
};

static void *append(void *arg)
{
    struct house *h = arg;
    pthread_mutex_lock(&h->mutex);
    for (;;) {
        while (h->frame == NULL && !h->stop)
            pthread_cond_wait(&h->changed, &h->mutex);
        if (h->frame == NULL)
            break;
        struct log_frame *f = h->frame;
        h->frame = NULL;
        pthread_mutex_unlock(&h->mutex);
        int code = log_append(h->log, f);
        pthread_mutex_lock(&h->mutex);
        h->idle = true;
        h->append_code = code;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->mutex);
    return NULL;
}

static void *prepare(void *arg)
{
    struct house *h = arg;
    pthread_mutex_lock(&h->mutex);
    for (;;) {
        while (!h->low && !h->stop)
            pthread_cond_wait(&h->changed, &h->mutex);
        if (h->stop)
            break;
        h->low = false;
        pthread_mutex_unlock(&h->mutex);
        int code = log_prepare(h->log);
        pthread_mutex_lock(&h->mutex);
        if (code != 0)
            h->prepare_code = code;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->mutex);
    return NULL;
}

static bool room_or_failed(struct house *h, size_t bytes)
{
    return log_has_room(h->log, bytes) || h->prepare_code != 0;
}

/* Waits until the frame before is durable and the next one has room, then hands it over. */
static bool hand_over(struct house *h, const struct log_position *p, size_t bytes)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    int late = 0;
    pthread_mutex_lock(&h->mutex);
    while (late == 0 && (!h->idle || !room_or_failed(h, bytes)))
        late = pthread_cond_timedwait(&h->changed, &h->mutex, &deadline);
    bool good = late == 0 && h->append_code == 0 && h->prepare_code == 0;
    if (good) {
        h->frame = log_frame_end(h->log, p, bytes);
        h->idle = false;
        h->low = true;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->mutex);
    return good;
}

/* Builds each frame while the one before is on its way. */
static bool build(struct house *h)
{
    uint64_t last = 0;
    for (uint64_t index = 1; index <= FRAMES; index++) {
        size_t bytes = (size_t)(index * 1237 % CASE_PAYLOAD_BYTES_MAX);
        char *to = log_frame_begin(h->log, bytes);
        if (to == NULL)
            return false;
        memset(to, (int)index, bytes);
        uint64_t durable = log_last_index(h->log);
        if (durable < last || durable + 2 < index || log_bytes(h->log) == 0)
            return false;
        last = durable;
        struct log_position p = {
            .first_index = index, .entries = 1, .chain = index, .commit = last};
        if (!hand_over(h, &p, bytes))
            return false;
        (void)log_has_room(h->log, CASE_PAYLOAD_BYTES_MAX);
        (void)log_last_chain(h->log);
    }
    return true;
}

static int check(void *context, const struct log_position *p, struct span payload)
{
    uint64_t *index = context;
    ++*index;
    bool good = p->first_index == *index && p->chain == *index &&
                payload.bytes == *index * 1237 % CASE_PAYLOAD_BYTES_MAX;
    for (size_t at = 0; at < payload.bytes; at++)
        good = good && payload.at[at] == (char)*index;
    return good ? 0 : ERR_CORRUPT;
}

static void three_threads_use_one_log(void **state)
{
    (void)state;
    struct log_case c;
    struct house h = {.idle = true};
    case_begin(&c, true, 5);
    assert_int_equal(case_open(&c, 1, 0), 0);
    h.log = c.log;
    pthread_mutex_init(&h.mutex, NULL);
    pthread_cond_init(&h.changed, NULL);
    pthread_t appender, preparer;
    assert_int_equal(pthread_create(&appender, NULL, append, &h), 0);
    assert_int_equal(pthread_create(&preparer, NULL, prepare, &h), 0);
    bool built = build(&h);
    pthread_mutex_lock(&h.mutex);
    h.stop = true;
    pthread_cond_broadcast(&h.changed);
    pthread_mutex_unlock(&h.mutex);
    pthread_join(appender, NULL);
    pthread_join(preparer, NULL);
    pthread_cond_destroy(&h.changed);
    pthread_mutex_destroy(&h.mutex);
    assert_true(built);
    assert_int_equal(h.append_code, 0);
    assert_int_equal(log_last_index(c.log), FRAMES);
    case_close(&c);
    uint64_t index = 0;
    assert_int_equal(log_open(&c.log, &c.options, 1, FRAMES, check, &index, c.why, sizeof c.why),
                     0);
    assert_int_equal(index, FRAMES);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(three_threads_use_one_log)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
