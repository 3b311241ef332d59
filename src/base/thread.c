/* Naming a thread, and letting it stand back. */
#include "base/thread.h"

#include <pthread.h>
#include <sys/resource.h>

void thread_begin(const char *name, int nice)
{
    pthread_setname_np(pthread_self(), name);
    if (nice != 0)
        setpriority(PRIO_PROCESS, 0, nice); /* of this thread alone, on Linux */
}
