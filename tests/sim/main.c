/* The simulator: `sim SEED` replays one run, `sim --trace SEED` prints what happens in it,
 * `sim --seeds N [--from S]` runs N seeds, from S on. Each run is decided by its seed alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { BLOCK = 50 };

static bool run(uint64_t seed, bool trace, struct counts *sum)
{
    static struct world w;
    world_run(&w, seed, trace, true);
    bool fine = w.truth.complaint[0] == '\0';
    if (!fine)
        printf("not ok sim_seed_%llu: seed %llu: %s\n", (unsigned long long)seed,
               (unsigned long long)seed, w.truth.complaint);
    sum->events += w.counts.events;
    sum->faults += w.counts.faults;
    sum->messages += w.counts.messages;
    sum->acknowledged += w.counts.acknowledged;
    sum->simulated_us += w.counts.simulated_us;
    sum->stale += w.counts.stale;
    sum->starts += w.counts.starts;
    sum->cuts += w.counts.cuts;
    sum->drops += w.counts.drops;
    world_finish(&w);
    fflush(stdout);
    return fine;
}

static void figures(const struct counts *c)
{
    printf(
        "# %.1f s simulated, %llu events, %llu messages, %llu late ones, %llu faults, %llu starts, "
        "%llu cuts, %llu drops, %llu writes acknowledged\n",
        (double)c->simulated_us / 1e6, (unsigned long long)c->events,
        (unsigned long long)c->messages, (unsigned long long)c->stale,
        (unsigned long long)c->faults, (unsigned long long)c->starts, (unsigned long long)c->cuts,
        (unsigned long long)c->drops, (unsigned long long)c->acknowledged);
}

static int seeds(uint64_t from, uint64_t count)
{
    struct counts sum = {0};
    unsigned failed = 0;
    for (uint64_t i = 0; i < count;) {
        uint64_t first = from + i;
        bool fine = true;
        for (; i < count && from + i < first + BLOCK; i++)
            if (!run(from + i, false, &sum)) {
                fine = false;
                failed++;
            }
        if (fine)
            printf("ok sim_seeds_%llu_to_%llu\n", (unsigned long long)first,
                   (unsigned long long)(from + i - 1));
        fflush(stdout);
    }
    figures(&sum);
    return failed != 0;
}

int main(int argc, char **argv)
{
    struct counts sum = {0};
    uint64_t from = 1;
    bool trace = argc == 3 && strcmp(argv[1], "--trace") == 0;
    if (argc == 5 && strcmp(argv[3], "--from") == 0)
        from = strtoull(argv[4], NULL, 10);
    if ((argc == 3 || argc == 5) && strcmp(argv[1], "--seeds") == 0)
        return seeds(from, strtoull(argv[2], NULL, 10));
    if (argc != 2 && !trace) {
        fprintf(stderr, "usage: sim [--trace] SEED | sim --seeds N [--from SEED]\n");
        return 2;
    }
    uint64_t seed = strtoull(argv[argc - 1], NULL, 10);
    printf("seed %llu\n", (unsigned long long)seed);
    bool fine = run(seed, trace, &sum);
    if (fine)
        printf("ok sim_seed_%llu\n", (unsigned long long)seed);
    figures(&sum);
    return fine ? 0 : 1;
}
