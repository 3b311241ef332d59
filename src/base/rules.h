/* Rules that can be left out, one at a time, to see that a test catches it. In what is installed
 * each is the constant true. */
#ifndef BASE_RULES_H
#define BASE_RULES_H

#ifdef REPL_RULES_VARY
#include <stdbool.h>
enum repl_rule {
    S1,
    S2,
    S3,
    S4,
    S5,
    S7,
    S8,
    S9,
    S10,
    S11,
    S12,
    S13,
    S14,
    S15,
    S18,
    S19,
    S23,
    PROOF, /* a promotion needs it, or the operator's word */
    FENCE, /* an old primary takes no writes once it has heard of a promotion */
    RULES
};
extern bool repl_rules[]; /* defined by the test, as long as the rules that it varies */
#define RULE(name) (repl_rules[name])
#else
#define RULE(name) true
#endif

#endif
