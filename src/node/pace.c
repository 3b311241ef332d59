/* How fast a thread reads or writes what nobody waits for. Knows not what. */
#include <time.h>

#include "base/err.h"
#include "node/inside.h"

enum { LOOK_US = 50 * 1000 /* whoever sleeps looks so often whether it should end */ };

struct pace pace_begin(const struct node *n, uint64_t bytes_per_s, const atomic_bool *stop)
{
    return (struct pace){.clock = n->o.clock,
                         .stop = stop,
                         .bytes_per_s = bytes_per_s,
                         .start_us = clock_mono_us(n->o.clock)};
}

int pace_passed(void *pace, uint64_t bytes)
{
    struct pace *p = pace;
    p->bytes += bytes;
    uint64_t until_us = p->start_us + p->bytes * 1000000 / p->bytes_per_s;
    for (;;) {
        if (atomic_load_explicit(p->stop, memory_order_acquire))
            return ERR_BUSY;
        uint64_t now_us = clock_mono_us(p->clock);
        if (now_us >= until_us)
            return 0;
        uint64_t wait_us = until_us - now_us < LOOK_US ? until_us - now_us : LOOK_US;
        const struct timespec wait = {.tv_nsec = (long)wait_us * 1000};
        nanosleep(&wait, NULL);
    }
}

struct store_pace pace_of(struct pace *p)
{
    return (struct store_pace){.passed = pace_passed, .context = p};
}

/* A primary keeps its log for a backup that checks a copy, so a check has a lowest rate, too. */
uint64_t pace_of_checks(const struct node *n)
{
    uint64_t rate = n->o.settings->copy_bytes_per_s;
    return rate > CHECK_BYTES_PER_S ? rate : CHECK_BYTES_PER_S;
}
