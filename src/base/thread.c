/* Naming a thread, and how it takes turns with others. */
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NICE = 10, SLICE_NS = 100 * 1000 /* the shortest that Linux takes */ };

/* A short slice is an early deadline (sched(7), EEVDF; since Linux 6.12): whoever works long waits
 * for a thread that answers clients, not it for them. Systems without it refuse or ignore it. The
 * call sets policy and nice value, too: these stay as the process was given them. */
static void be_prompt(void)
{
    struct { /* the first version of struct sched_attr, which the C library lacks: sched_setattr(2)
              */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = sizeof a, .nice = getpriority(PRIO_PROCESS, 0), .runtime = SLICE_NS};
    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void thread_begin(const char *name, enum thread_turn turn)
{
    pthread_setname_np(pthread_self(), name);
    if (turn == THREAD_PROMPT)
        be_prompt();
    else if (turn == THREAD_BACK) /* of this thread alone, on Linux */
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE);
}
