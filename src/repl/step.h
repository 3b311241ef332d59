/*
 * Replication as a pure step: an event in, actions out, no input or output of its own, no clock, no
 * memory beyond its own struct. It knows positions (epoch, index) and who must have them durable;
 * entries' bytes, log, store and network are the driver's. Rules are named as in the design: S2,
 * S3, S7, S10.
 *
 * The driver does each action in the order given, before the next event:
 *   REPL_APPEND   make the entry of this epoch and index durable here, then report REPL_DURABLE
 *   REPL_COMMIT   apply everything up to this index to local storage, make it visible, then answer
 * its writes REPL_ADMIT    from now on REPL_PROPOSE may come
 */
#ifndef REPL_STEP_H
#define REPL_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* A rule that can be left out, to see that a test catches it. Always true in what is installed. */
#define RULE(name) true

enum { REPL_MEMBERS_MAX = 16, REPL_ACTIONS_MAX = 4 };

/* A server whose durable position a commit waits for. Member 0 is this server. */
struct repl_member {
    uint64_t durable; /* reported in this epoch and session (S3) */
};

struct repl {
    uint64_t epoch;       /* of this process's life (S2); 0: not started */
    uint64_t last;        /* index of the last entry given out to be appended */
    uint64_t committed;   /* lowest durable index over the required set */
    uint64_t epoch_start; /* index of this epoch's first entry */
    bool admitting;
    unsigned required; /* members in use: the required set */
    struct repl_member members[REPL_MEMBERS_MAX];
};

enum repl_event_kind {
    REPL_START,   /* epoch, index: a new epoch, and the end of the log that was recovered, all of
                     which is the truth (S7) */
    REPL_PROPOSE, /* an entry with writes is wanted */
    REPL_DURABLE, /* index: durable on this server */
};

struct repl_event {
    enum repl_event_kind kind;
    uint64_t epoch, index;
};

enum repl_action_kind { REPL_APPEND, REPL_COMMIT, REPL_ADMIT };

struct repl_action {
    enum repl_action_kind kind;
    bool epoch_start; /* APPEND: the entry that opens the epoch, without writes */
    uint64_t epoch, index;
};

struct repl_actions {
    unsigned count;
    struct repl_action list[REPL_ACTIONS_MAX];
};

void repl_init(struct repl *r); /* the required set is this server alone */

/* 0, or ERR_BAD_REQUEST for an event that has no place now (nothing happened): not admitting yet,
 * an entry under way, an epoch that is not higher, an index that was never given out. */
int repl_step(struct repl *r, const struct repl_event *e, struct repl_actions *out);

/* An entry was given out and is not committed. */
bool repl_busy(const struct repl *r);

#endif
