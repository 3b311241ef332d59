/*
 * Replication as a pure step: an event in, actions out, no input or output of its own, no clock, no
 * memory beyond its own struct. It knows positions (epoch, index), sessions and sets of servers;
 * the bytes of entries, log, store, sockets and clients are the driver's (src/node, and the
 * simulator in tests/sim). Rules S1, S2 … are named as in ARCHITECTURE.md.
 *
 * One server is either the primary or a backup for the life of its process. The driver does each
 * action in the order given, before the next event, and reports as each action says. Links are the
 * driver's numbers for connections, from 1, never used twice in one life.
 */
#ifndef REPL_STEP_H
#define REPL_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rules.h"
#include "repl/peer.h"

enum {
    REPL_MEMBERS_MAX = PEER_SET_MAX,
    REPL_ACTIONS_MAX = 4 * REPL_MEMBERS_MAX,
    REPL_BEAT_US = 250 * 1000,  /* between heartbeats; sooner with a short time-out */
    REPL_STALL_US = 500 * 1000, /* no REPL_TIME for so long: this server itself stood still */
    REPL_JOIN_LAG = 8, /* a backup is admitted when it is at most so many entries behind, */
    REPL_JOIN_LAG_US =
        200 * 1000, /* or has what was there so long ago: commits wait for the rest */
    /* After such a stall nobody is dropped for so long: a primary that was made meanwhile gets a
       chance to say so first. */
    REPL_HEED_US = 1000 * 1000,
    REPL_DROPS_WINDOW_US = 600 * 1000 * 1000,
    REPL_BACK_OFF_US =
        1000 * 1000, /* before the second readmission in that window; then doubling */
    REPL_BACK_OFF_MAX_US = 60 * 1000 * 1000,
};

struct repl_options {
    struct peer_server self;
    char address[PEER_ADDRESS_BYTES_MAX + 1];
    uint64_t life;     /* random, of this process */
    uint64_t sessions; /* that it has asked for before it began again with a full copy (S18) */
    uint32_t group, generation;
    bool primary;
    bool suspect; /* a backup whose log is not to be trusted (S11, S12): it says no hello, serves
                     nothing, and asks for a full copy, with which it begins again */
    bool ack_all; /* else a commit needs the primary alone */
    uint32_t min_copies; /* S23 */
    uint64_t timeout_us; /* --backup-timeout-ms */
};

/* What must survive the process; small. */
struct repl_hard {
    unsigned char cluster[PEER_ID_BYTES];   /* zeros: none yet */
    uint64_t promised_epoch, promised_life; /* S1; a primary's own, or what it was fenced by */
    bool complete;                          /* a backup: it had all that was committed, once */
    struct peer_set set;                    /* a primary: the in-sync set, itself among them */
};

/* A server as the primary sees it. Member 0 is the primary itself. */
struct repl_member {
    struct peer_server server; /* id all zeros: the place is free */
    char address[PEER_ADDRESS_BYTES_MAX + 1];
    bool in_set;    /* of the set that is on the disk */
    bool joining;   /* in the required set, and not yet in the one on the disk (S5) */
    bool leaving;   /* is to be taken from it */
    bool saving;    /* the set being written differs from the one on the disk in it */
    bool seen;      /* has matched in this life */
    bool matched;   /* in this session, as the next two */
    bool acked;     /* has reported what it has durable */
    bool caught_up; /* has been near enough to the end */
    bool full;      /* its disk is, as it said last (S22): not let in, and not lost for it */
    unsigned link;  /* 0: not connected */
    uint64_t life, session;
    uint64_t look_up;   /* index whose entry is being looked up for the match; with !matched */
    unsigned point;     /* the hello's point that it is for, */
    uint64_t low, high; /* and the indexes that are left for its match */
    unsigned points_count;
    struct peer_point points[PEER_POINTS_MAX];
    uint64_t durable, applied; /* reported in this epoch and session (S18) */
    uint64_t acknowledged;     /* S15: highest committed index it acknowledged in this life */
    uint64_t goal, goal_us;    /* this log's end, and when: it is caught up if it gets there soon */
    uint64_t heard_us, progress_us;
    uint64_t behind_since_us; /* 0: it has applied all that was committed when last heard */
    unsigned drops;
    uint64_t drops_since_us, readmit_us;
};

enum repl_stage {                /* of a backup */
                  REPL_ALONE,    /* no link */
                  REPL_GREETED,  /* hello was sent */
                  REPL_SETTLING, /* promise and cut are being made durable; updates must wait */
                  REPL_FOLLOWING,
                  REPL_ALARMED, /* S9: for good */
};

struct repl {
    struct repl_options o;
    struct repl_hard hard;
    uint64_t now_us;
    uint64_t epoch;     /* primary: of this life (S2); backup: of the session */
    uint64_t last;      /* index of the last entry given out to be appended */
    uint64_t durable;   /* on this server */
    uint64_t committed; /* never decreases */
    bool saving;        /* `hard` is being written */

    /* a primary */
    uint64_t epoch_start; /* index of this epoch's first entry */
    uint64_t beat_us;     /* when the last heartbeat was sent */
    bool admitting;
    bool fenced;          /* a higher generation was seen: no writes any more */
    uint64_t heed_us;     /* nobody is dropped before this */
    uint64_t fence_epoch; /* fenced: to be promised, so that it stays so in later lives */
    bool config_due;      /* the set on the disk has changed since the last CONFIG entry */
    struct repl_member members[REPL_MEMBERS_MAX];

    /* a backup */
    enum repl_stage stage;
    unsigned link;
    bool cut_due, cutting; /* wanted in this session; on its way */
    bool save_due;         /* once what is being written is */
    bool in_sync;          /* the primary said so in this session */
    uint64_t sessions;     /* asked for in this life */
    uint64_t session;      /* the last that was asked for: no message of an older one counts */
    uint64_t matched;      /* highest index known to be the primary's too, in this session (S10) */
    uint64_t commit_known; /* the primary's */
    uint64_t goal;         /* what was acknowledged before the session began is up to here */
    uint64_t heard_us;
    struct peer_server primary;
    enum peer_refusal refusal;               /* the last one, */
    char refusal_sentence[DETAIL_BYTES_MAX]; /* until a welcome; "" without */
};

enum repl_event_kind {
    /* Once. primary: `epoch` is new and on the disk (S2), `index` the end of the log, all of which
     * is the truth (S7), `committed` what local storage proves. backup: `index`, `committed`. */
    REPL_START,
    REPL_TIME,    /* now_us; about every 50 ms */
    REPL_PROPOSE, /* primary: an entry with writes is wanted */
    REPL_DURABLE, /* index: all up to it is durable here */
    REPL_SAVED,   /* the last REPL_SAVE is durable */
    REPL_CUT_DONE,
    REPL_FORGOT,  /* backup without a link: what was accepted and is not durable is given up, since
                     there is no space for it (S22) */
    REPL_LINK_UP, /* backup: a link to the primary is there, all that was accepted is durable and
                     no cut is on its way; `points` for the hello */
    REPL_LINK_DOWN, /* link: it is gone, whoever closed it; also after REPL_CLOSE */
    REPL_MESSAGE,   /* link, message; with WELCOME also `point`: this log's entry at match.index, or
                       the point 0 where there is none such above the committed. An UPDATE whose
                       entries do not follow from this log is not given, nor are FORWARD and ANSWER
                     */
    REPL_LOOKED_UP, /* link, point: this log's entry there; rc: 0 or why it cannot be told */
    REPL_DROP,      /* primary: the operator takes `name` from the set */
};

struct repl_event {
    enum repl_event_kind kind;
    int rc;
    unsigned link, points_count;
    uint64_t epoch, index, committed, now_us;
    struct peer_point point;
    const struct peer_point *points;
    const struct peer_message *message;
    const char *name;
};

enum repl_action_kind {
    REPL_APPEND, /* primary: make the entry of this kind, epoch and index, append it (REPL_DURABLE),
                    ship it to the links that stream */
    REPL_ACCEPT, /* backup: append the entries of the message (REPL_DURABLE) */
    REPL_COMMIT, /* apply everything up to index to local storage, then answer */
    REPL_SAVE,   /* write r->hard, with `set` as its set on a primary; then REPL_SAVED. At most one
                    is on its way */
    REPL_CUT,    /* backup: remove the entries above index from the log, then REPL_CUT_DONE */
    REPL_SEND,   /* message; the driver fills digest, applied and seqs */
    REPL_STREAM, /* primary: from now on ship all entries from index on over the link */
    REPL_CLOSE,  /* the link, after what was sent before; `sentence` is for the operator */
    REPL_LOOK_UP, /* primary: the log's entry `index`, also one that is not durable yet; then
                     REPL_LOOKED_UP; more of them may follow for one link */
    REPL_SAY,     /* `sentence` is for the operator */
    REPL_ALARM,   /* likewise; this server must stop to serve and to write (S9) */
};

enum repl_entry { REPL_ENTRY_WRITES, REPL_ENTRY_EPOCH_START, REPL_ENTRY_CONFIG };

struct repl_action {
    enum repl_action_kind kind;
    enum repl_entry entry;
    unsigned link;
    uint64_t epoch, index;
    char sentence[DETAIL_BYTES_MAX];
    struct peer_message message;
    struct peer_set set; /* SAVE on a primary; APPEND of EPOCH_START and CONFIG */
};

struct repl_actions {
    unsigned count;
    struct repl_action list[REPL_ACTIONS_MAX];
};

void repl_init(struct repl *r, const struct repl_options *o, const struct repl_hard *hard);

/* 0, or ERR_BAD_REQUEST for an event that has no place now, ERR_NOT_FOUND for a DROP of somebody
 * who is not in the set: then nothing happened. What a peer sends is never an error here: it is
 * ignored, or answered by REPL_CLOSE. */
int repl_step(struct repl *r, const struct repl_event *e, struct repl_actions *out);

/* The highest generation that this server has seen: an epoch is (generation, start). What fenced a
 * primary counts once it is on its disk: a later promotion calls nobody who knows of one. */
uint32_t repl_generation(const struct repl *r);

/* An entry was given out and is not committed. */
bool repl_busy(const struct repl *r);

/* Why no write can be taken now: 0, or NOT_READY, WAITING_FOR_MEMBERS, TOO_FEW_COPIES, NO_PRIMARY,
 * NOT_IN_SYNC. */
int repl_refusal(const struct repl *r);

/* Whether local storage may be read: it was whole once, and is not known to be wrong, or to lack
 * what was acknowledged. `proved`: what is in it was not only rebuilt from a checkpoint and the log
 * behind it, which may lack the newest, or this was true before in this life. */
bool repl_may_read(const struct repl *r, bool proved);

/* Of a primary's member: it is in the set to stay, and not in session: nothing is committed until
 * it comes or the operator drops it; commits wait for it; what people are told. */
bool repl_awaited(const struct repl *r, const struct repl_member *m);
bool repl_required(const struct repl *r, const struct repl_member *m);
bool repl_in_sync(const struct repl *r, const struct repl_member *m);
/* Servers that are known to have this entry on their disk. */
unsigned repl_copies(const struct repl *r, uint64_t index);
/* Servers in the set and in session, this one among them. */
unsigned repl_live(const struct repl *r);
/* The member of a link in session; NULL: none. */
struct repl_member *repl_member_of(struct repl *r, unsigned link);

#endif
