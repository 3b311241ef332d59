/* The rules of thread_begin: how a thread takes turns begins with what its process was given. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "base/thread.h"

struct thread_case {
    int nice, policy; /* as the thread finds them; its own alone, on Linux */
    enum thread_turn turn;
    int nice_then, policy_then;
};

static void *run(void *arg)
{
    struct thread_case *c = arg;
    const struct sched_param none = {0};
    sched_setscheduler(0, c->policy, &none);
    setpriority(PRIO_PROCESS, 0, c->nice);
    thread_begin("thread", c->turn);
    c->nice_then = getpriority(PRIO_PROCESS, 0);
    c->policy_then = sched_getscheduler(0);
    return NULL;
}

static struct thread_case begun(int nice, int policy, enum thread_turn turn)
{
    struct thread_case c = {.nice = nice, .policy = policy, .turn = turn};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, &c), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return c;
}

static void a_prompt_thread_keeps_nice_value_and_policy(void **state)
{
    (void)state;
    assert_int_equal(begun(0, SCHED_OTHER, THREAD_PROMPT).nice_then, 0);
    assert_int_equal(begun(5, SCHED_OTHER, THREAD_PROMPT).nice_then, 5);
    assert_int_equal(begun(5, SCHED_BATCH, THREAD_PROMPT).policy_then, SCHED_BATCH);
}

static void a_thread_stands_back_behind_the_others_of_its_process(void **state)
{
    (void)state;
    assert_int_equal(begun(0, SCHED_OTHER, THREAD_BACK).nice_then, 10);
    assert_int_equal(begun(5, SCHED_OTHER, THREAD_BACK).nice_then, 15);
    assert_int_equal(begun(15, SCHED_OTHER, THREAD_BACK).nice_then, 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_thread_keeps_nice_value_and_policy),
        cmocka_unit_test(a_thread_stands_back_behind_the_others_of_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
