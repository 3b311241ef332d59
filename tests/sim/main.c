/*
 * The simulator. `sim --seed N` runs one seed and prints what happens in it; N@VERSION is taken
 * only by the version that it is of. `sim --seeds N [--from S]` runs N seeds, from S on; `sim
 * --hours H [--from S]` runs seeds until so many hours were simulated. Each run is decided by its
 * seed alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "folder.h"
#include "sim.h"
#include "sim_version.h"

enum { BLOCK = 50 };

typedef unsigned long long u;

struct sum {
    struct counts c;
    uint64_t seeds, failed;
    double seconds; /* of this process */
};

static void add(struct counts *to, const struct counts *c)
{
    uint64_t *sum = (uint64_t *)to;
    const uint64_t *one = (const uint64_t *)c;
    for (size_t i = 0; i < sizeof *c / sizeof *one; i++)
        sum[i] += one[i];
}

static bool run(uint64_t seed, const struct options *o, struct sum *sum)
{
    static struct world w;
    world_run(&w, seed, o);
    bool fine = w.truth.complaint[0] == '\0';
    if (!fine)
        printf("not ok sim_seed_%llu: ./run sim --seed %llu@%s: %s\n", (u)seed, (u)seed,
               SIM_VERSION, w.truth.complaint);
    add(&sum->c, &w.counts);
    sum->seeds++;
    sum->failed += !fine;
    world_finish(&w);
    fflush(stdout);
    return fine;
}

static void figures(const struct sum *s)
{
    const struct counts *c = &s->c;
    double hours = (double)c->simulated_us / 3600e6;
    printf("# %llu seeds, %llu failed, version %s\n", (u)s->seeds, (u)s->failed, SIM_VERSION);
    printf("# %.2f hours simulated in %.0f s: %.1f s for each; %.0f operations of clients in a "
           "simulated second\n",
           hours, s->seconds, hours > 0 ? s->seconds / hours : 0,
           (double)c->operations / ((double)c->simulated_us / 1e6));
    printf("# %llu faults, %llu disks that fail, %llu starts, %llu late messages, %llu cuts, %llu "
           "drops, %llu full "
           "copies, %llu checkpoints\n",
           (u)c->faults, (u)c->failures, (u)c->starts, (u)c->stale, (u)c->cuts, (u)c->drops,
           (u)c->copies, (u)c->checkpoints);
    printf("# %llu promotions, %llu of them with data loss accepted, %llu entries given up; %llu "
           "refused\n",
           (u)c->promotions, (u)c->accepted, (u)c->given_up, (u)c->refused);
    printf("# %llu events, %llu messages, %llu operations: %llu reads, %llu writes acknowledged, "
           "%llu unknown, %llu repeats\n",
           (u)c->events, (u)c->messages, (u)c->operations, (u)c->reads, (u)c->acknowledged,
           (u)c->unknown, (u)c->repeats);
}

/* `until_us` of simulated time, or so many seeds. */
static int seeds(uint64_t from, uint64_t count, uint64_t until_us, const struct options *o)
{
    struct sum sum = {0};
    uint64_t failed = 0, first = from;
    clock_t began = clock();
    for (uint64_t i = 0; until_us != 0 ? sum.c.simulated_us < until_us : i < count; i++) {
        run(from + i, o, &sum);
        if ((i + 1) % BLOCK != 0 && i + 1 != count)
            continue;
        if (sum.failed == failed)
            printf("ok sim_seeds_%llu_to_%llu\n", (u)first, (u)(from + i));
        fflush(stdout);
        failed = sum.failed;
        first = from + i + 1;
    }
    sum.seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    figures(&sum);
    return sum.failed == 0 ? 0 : 1;
}

/* A seed, perhaps with the version that it was seen to fail in. */
static int one_seed(const char *text, const struct options *o)
{
    struct sum sum = {0};
    const char *version = strchr(text, '@');
    uint64_t seed = strtoull(text, NULL, 10);
    printf("seed %llu@%s\n", (u)seed, SIM_VERSION);
    if (version != NULL && strcmp(version + 1, SIM_VERSION) != 0) {
        printf("not replayed: that seed is of version %s of the simulator and the step, this is "
               "%s, where the seed is another run; check out the sources that it was found with\n",
               version + 1, SIM_VERSION);
        return 2;
    }
    bool fine = run(seed, o, &sum);
    if (fine)
        printf("ok sim_seed_%llu\n", (u)seed);
    return fine ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: sim --seed N[@VERSION] | --seeds N [--from S] | --hours H [--from S]\n");
    return 2;
}

static int choose(int argc, char **argv, struct options *o)
{
    uint64_t from = argc == 5 && strcmp(argv[3], "--from") == 0 ? strtoull(argv[4], NULL, 10) : 1;
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        o->trace = true;
        return one_seed(argv[2], o);
    }
    if (argc != 3 && argc != 5)
        return usage();
    if (strcmp(argv[1], "--seeds") == 0)
        return seeds(from, strtoull(argv[2], NULL, 10), 0, o);
    if (strcmp(argv[1], "--hours") != 0)
        return usage();
    printf("seed %llu and those that follow\n", (u)from);
    return seeds(from, 0, (uint64_t)(strtod(argv[2], NULL) * 3600e6), o);
}

int main(int argc, char **argv)
{
    char folder[FOLDER_BYTES];
    struct options o = {.strict = true, .folder = folder_make(folder)};
    int rc = choose(argc, argv, &o);
    folder_remove(folder);
    return rc;
}
