/* The machine's clock. */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t wall_us(void *context)
{
    (void)context;
    return read_us(CLOCK_REALTIME);
}

static uint64_t mono_us(void *context)
{
    (void)context;
    return read_us(CLOCK_MONOTONIC);
}

struct clock clock_real(void)
{
    return (struct clock){wall_us, mono_us, NULL};
}
