/* Each rule of the step is left out in turn, and some seed must show it: a rule that no run needs
 * is either no rule or not tested. `sim_rules` tries the seeds that are known, then others;
 * `sim_rules NAME N` tells which of the first N seeds show one rule. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "sim.h"
#include "sim_version.h"

enum { KNOWN_MAX = 3, TRIES = 2000 };

bool repl_rules[RULES];

struct known {
    enum repl_rule rule;
    const char *name;
    uint64_t seeds[KNOWN_MAX];
};

static const struct known list[] = {
    {S1, "S1", {30}},   {S2, "S2", {11}},       {S3, "S3", {2}},         {S4, "S4", {2}},
    {S5, "S5", {1}},    {S7, "S7", {15}},       {S8, "S8", {23}},        {S9, "S9", {12}},
    {S10, "S10", {23}}, {S11, "S11", {44, 10}}, {S12, "S12", {136}},     {S13, "S13", {38}},
    {S14, "S14", {14}}, {S15, "S15", {42}},     {S18, "S18", {224}},     {S19, "S19", {2}},
    {S23, "S23", {3}},  {PROOF, "PROOF", {18}}, {FENCE, "FENCE", {233}},
};

_Static_assert(sizeof list / sizeof list[0] == RULES, "every rule is tried");

/* What an invariant says; that a run does not heal, or that drivers notice, does not count. */
static bool breaks(uint64_t seed, char complaint[COMPLAINT_BYTES])
{
    static struct world w;
    world_run(&w, seed, &(struct options){.memory = true});
    memcpy(complaint, w.truth.complaint, COMPLAINT_BYTES);
    world_finish(&w);
    return complaint[0] == 'I' || complaint[0] == 'S';
}

static void all_rules(void)
{
    for (unsigned i = 0; i < RULES; i++)
        repl_rules[i] = true;
}

/* That it is the rule's absence: with all rules the same seed is fine. */
static bool catches(enum repl_rule rule, uint64_t seed, char complaint[COMPLAINT_BYTES])
{
    char none[COMPLAINT_BYTES];
    all_rules();
    repl_rules[rule] = false;
    bool caught = breaks(seed, complaint);
    all_rules();
    return caught && !breaks(seed, none);
}

static bool show(const struct known *k)
{
    char complaint[COMPLAINT_BYTES];
    for (uint64_t i = 0; i < KNOWN_MAX + TRIES; i++) {
        uint64_t seed = i < KNOWN_MAX ? k->seeds[i] : i - KNOWN_MAX + 1;
        if (seed == 0 || !catches(k->rule, seed, complaint))
            continue;
        printf("ok rule_%s_is_caught_by_seed_%llu\n# %s%s\n", k->name, (unsigned long long)seed,
               complaint, i < KNOWN_MAX ? "" : " (none of the known seeds; put this one there)");
        fflush(stdout);
        return true;
    }
    printf("not ok rule_%s_is_caught_by_no_seed\n", k->name);
    fflush(stdout);
    return false;
}

static void tell_all(const struct known *k, uint64_t count)
{
    for (uint64_t seed = 1; seed <= count; seed++) {
        char complaint[COMPLAINT_BYTES];
        if (!catches(k->rule, seed, complaint))
            continue;
        printf("%s %llu: %s\n", k->name, (unsigned long long)seed, complaint);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    bool fine = true;
    printf("# version %s\n", SIM_VERSION);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (argc == 3 && strcmp(argv[1], list[i].name) == 0)
            tell_all(&list[i], strtoull(argv[2], NULL, 10));
        else if (argc == 1)
            fine = show(&list[i]) && fine;
    return fine ? 0 : 1;
}
