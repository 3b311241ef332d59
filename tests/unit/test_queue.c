/* Rules of the queue between two threads and of the bell. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/queue.h"

enum { DEADLINE_MS = 20 * 1000 };

/* Something to put that is not NULL. */
static void *item(uintptr_t n)
{
    return (void *)(n + 1);
}

/* --- The queue --- */

static void items_come_out_in_the_order_in_which_they_were_put(void **state)
{
    (void)state;
    struct queue q;
    assert_int_equal(queue_init(&q, 8), 0);
    assert_true(queue_empty(&q));
    for (uintptr_t i = 0; i < 5; i++)
        assert_true(queue_put(&q, item(i)));
    assert_false(queue_empty(&q));
    for (uintptr_t i = 0; i < 5; i++)
        assert_ptr_equal(queue_take(&q), item(i));
    assert_true(queue_empty(&q));
    assert_null(queue_take(&q));
    queue_finish(&q);
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    for (size_t slots = 1; slots <= 16; slots *= 2) {
        struct queue q;
        assert_int_equal(queue_init(&q, slots), 0);
        uintptr_t put = 0, taken = 0;
        for (int round = 0; round < 100; round++) {
            while (queue_put(&q, item(put)))
                put++;
            assert_int_equal(put - taken, slots);
            assert_false(queue_put(&q, item(999)));
            for (int i = 0; i <= round % (int)slots; i++)
                assert_ptr_equal(queue_take(&q), item(taken++));
        }
        queue_finish(&q);
    }
}

enum { ITEMS = 200 * 1000 };

static void *put_all(void *queue)
{
    for (uintptr_t i = 0; i < ITEMS; i++)
        while (!queue_put(queue, item(i)))
            sched_yield();
    return NULL;
}

static void between_two_threads_every_item_arrives_once_and_in_order(void **state)
{
    (void)state;
    struct queue q;
    pthread_t sender;
    assert_int_equal(queue_init(&q, 64), 0);
    assert_int_equal(pthread_create(&sender, NULL, put_all, &q), 0);
    for (uintptr_t i = 0; i < ITEMS; i++) {
        void *got;
        while ((got = queue_take(&q)) == NULL)
            sched_yield();
        assert_ptr_equal(got, item(i));
    }
    pthread_join(sender, NULL);
    assert_true(queue_empty(&q));
    queue_finish(&q);
}

/* --- The bell --- */

static bool is_readable(const struct bell *b)
{
    struct pollfd p = {.fd = b->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static uint64_t now_ms(void)
{
    struct clock c = clock_real();
    return clock_mono_us(&c) / 1000;
}

/* How long one sleep takes, in all. */
static uint64_t rest_ms(struct bell *b, int timeout_ms)
{
    uint64_t before = now_ms();
    bell_rest(b);
    bell_wait(b, timeout_ms);
    bell_awake(b);
    return now_ms() - before;
}

static int bell_setup(void **state)
{
    *state = calloc(1, sizeof(struct bell));
    return *state == NULL ? -1 : bell_init(*state);
}

static int bell_teardown(void **state)
{
    bell_finish(*state);
    bell_finish(*state); /* of a finished one: nothing */
    free(*state);
    return 0;
}

static void ringing_for_one_who_is_awake_makes_no_system_call(void **state)
{
    struct bell *b = *state;
    bell_ring(b);
    assert_false(is_readable(b));
    bell_rest(b);
    bell_awake(b);
    bell_ring(b);
    assert_false(is_readable(b));
}

static void a_ring_between_rest_and_wait_is_not_lost(void **state)
{
    struct bell *b = *state;
    bell_rest(b);
    bell_ring(b);
    assert_true(is_readable(b));
    uint64_t before = now_ms();
    bell_wait(b, DEADLINE_MS);
    assert_true(now_ms() - before < DEADLINE_MS);
    bell_awake(b);
    assert_false(is_readable(b));
}

static void a_second_ring_in_one_rest_adds_nothing(void **state)
{
    struct bell *b = *state;
    bell_rest(b);
    for (int i = 0; i < 3; i++)
        bell_ring(b);
    uint64_t rung = 0;
    assert_int_equal(read(b->fd, &rung, sizeof rung), sizeof rung);
    assert_int_equal(rung, 1);
    bell_awake(b);
}

static void a_wait_without_a_ring_ends_at_its_time(void **state)
{
    struct bell *b = *state;
    assert_true(rest_ms(b, 30) >= 29);
    assert_false(is_readable(b));
}

/* Who rings may be stopped between seeing the sleeper and writing, until the sleeper is up again:
 * what is written then belongs to no rest. */
static void a_ring_that_comes_late_disturbs_one_sleep_at_most(void **state)
{
    struct bell *b = *state;
    const uint64_t one = 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(b->fd, &one, sizeof one), sizeof one);
        rest_ms(b, 0);
        assert_false(is_readable(b));
        assert_true(rest_ms(b, 30) >= 29);
    }
    /* and a true ring after it is heard */
    assert_int_equal(write(b->fd, &one, sizeof one), sizeof one);
    bell_rest(b);
    bell_ring(b);
    bell_wait(b, DEADLINE_MS);
    bell_awake(b);
    assert_false(is_readable(b));
}

/* --- Both: the loop that the header shows --- */

enum { SENDERS = 3, ROUNDS = 5000 };

/* A sender puts its next item only when the one before came back, so that both sides fall asleep
 * again and again. */
struct sender {
    struct queue there, back;
    struct bell *receiver;
    struct bell bell;
    bool overslept;
};

/* False: nothing within the deadline, which is a wake-up that was lost. */
static bool sleep_until(struct bell *b, struct queue *const *queues, int count)
{
    bool empty = true;
    bell_rest(b);
    for (int i = 0; i < count; i++)
        empty = empty && queue_empty(queues[i]);
    uint64_t before = now_ms();
    if (empty)
        bell_wait(b, DEADLINE_MS);
    bell_awake(b);
    return now_ms() - before < DEADLINE_MS;
}

static void *send_and_wait(void *sender)
{
    struct sender *s = sender;
    struct queue *const back = &s->back;
    for (uintptr_t i = 0; i < ROUNDS && !s->overslept; i++) {
        queue_put(&s->there, item(i));
        bell_ring(s->receiver);
        while (queue_take(&s->back) == NULL && !s->overslept)
            s->overslept = !sleep_until(&s->bell, &back, 1);
    }
    return NULL;
}

/* Returns how many items came, and in which of them the order was wrong. */
static int receive(struct bell *b, struct sender *senders, int *disorder)
{
    struct queue *there[SENDERS];
    uintptr_t next[SENDERS] = {0};
    int received = 0;
    bool overslept = false;
    for (int i = 0; i < SENDERS; i++)
        there[i] = &senders[i].there;
    while (received < SENDERS * ROUNDS && !overslept) {
        bool any = false;
        for (int i = 0; i < SENDERS; i++) {
            void *got = queue_take(there[i]);
            if (got == NULL)
                continue;
            any = true;
            received++;
            *disorder += got != item(next[i]++);
            queue_put(&senders[i].back, got);
            bell_ring(&senders[i].bell);
        }
        if (!any)
            overslept = !sleep_until(b, there, SENDERS);
    }
    return received;
}

static void no_wake_up_is_lost_between_threads_that_sleep_again_and_again(void **state)
{
    struct bell *b = *state;
    struct sender senders[SENDERS] = {0};
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        struct sender *s = &senders[i];
        s->receiver = b;
        assert_int_equal(queue_init(&s->there, 2), 0);
        assert_int_equal(queue_init(&s->back, 2), 0);
        assert_int_equal(bell_init(&s->bell), 0);
    }
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_and_wait, &senders[i]), 0);
    int disorder = 0, received = receive(b, senders, &disorder);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(received, SENDERS * ROUNDS);
    assert_int_equal(disorder, 0);
    for (int i = 0; i < SENDERS; i++) {
        assert_false(senders[i].overslept);
        queue_finish(&senders[i].there);
        queue_finish(&senders[i].back);
        bell_finish(&senders[i].bell);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_in_which_they_were_put),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_what_it_has),
        cmocka_unit_test(between_two_threads_every_item_arrives_once_and_in_order),
        cmocka_unit_test_setup_teardown(ringing_for_one_who_is_awake_makes_no_system_call,
                                        bell_setup, bell_teardown),
        cmocka_unit_test_setup_teardown(a_ring_between_rest_and_wait_is_not_lost, bell_setup,
                                        bell_teardown),
        cmocka_unit_test_setup_teardown(a_second_ring_in_one_rest_adds_nothing, bell_setup,
                                        bell_teardown),
        cmocka_unit_test_setup_teardown(a_wait_without_a_ring_ends_at_its_time, bell_setup,
                                        bell_teardown),
        cmocka_unit_test_setup_teardown(a_ring_that_comes_late_disturbs_one_sleep_at_most,
                                        bell_setup, bell_teardown),
        cmocka_unit_test_setup_teardown(
            no_wake_up_is_lost_between_threads_that_sleep_again_and_again, bell_setup,
            bell_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
