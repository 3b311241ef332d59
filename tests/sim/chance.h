/* Random numbers from one seed (splitmix64), the same on every machine. */
#ifndef SIM_CHANCE_H
#define SIM_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
    uint64_t z = c->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static inline uint64_t chance_below(struct chance *c, uint64_t limit)
{
    return limit == 0 ? 0 : chance_next(c) % limit;
}

static inline uint64_t chance_between(struct chance *c, uint64_t low, uint64_t high)
{
    return low + chance_below(c, high - low + 1);
}

static inline bool chance_percent(struct chance *c, unsigned percent)
{
    return chance_below(c, 100) < percent;
}

/* Mostly small, now and then up to `high`: as delays are. */
static inline uint64_t chance_skewed(struct chance *c, uint64_t high)
{
    uint64_t part = chance_percent(c, 70) ? high / 20 : chance_percent(c, 70) ? high / 4 : high;
    return 1 + chance_below(c, part + 1);
}

#endif
