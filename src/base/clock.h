/* Time as a parameter: whoever needs the time is handed a clock, so that tests and simulation can
 * hand in theirs. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*wall_us)(void *context); /* microseconds since 1970, UTC; may jump */
    uint64_t (*mono_us)(void *context); /* microseconds since some start; never goes back */
    void *context;
};

/* The machine's clock: the one implementation that makes system calls. */
struct clock clock_real(void);

static inline uint64_t clock_wall_us(const struct clock *c)
{
    return c->wall_us(c->context);
}

static inline uint64_t clock_mono_us(const struct clock *c)
{
    return c->mono_us(c->context);
}

#endif
