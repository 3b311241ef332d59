/*
 * A promotion by hand (fixed mode): whether a stopped backup may become the primary, given what its
 * own data directory says, the other servers' statuses and, where there is one, the old primary's
 * directory. A pure function; how all that is got, and how the generation is raised, is unknown
 * here.
 *
 * What it rests on: a primary commits nothing that a server of the in-sync set on its disk does not
 * have durable (S3, S4). So a server of the set that the old primary left has every acknowledged
 * write, and nothing else proves that: what backups know of the set may be older, since a primary
 * goes on alone once it has dropped them.
 *
 * That set stands beside the log, not in it, and is on the disk before any commit rests on it: so
 * it proves the same where the log is damaged or gone. The log only shows whether a directory is an
 * older copy than it is taken for, here or there. One of the two copies of the set may be damaged
 * with it, and the other be of an earlier set; the log would tell, so without it both are needed.
 */
#ifndef REPL_PROMOTE_H
#define REPL_PROMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "repl/peer.h"

enum { PROMOTE_SERVERS_MAX = 32, PROMOTE_DAMAGE_BYTES = 512 };

/* A data directory that no server runs on. */
struct promote_dir {
    struct peer_server server;
    unsigned char cluster[PEER_ID_BYTES];
    uint64_t own_epoch; /* the last that was taken here as primary; lower half 0: none since its
                           promotion, or ever */
    uint64_t promised_epoch;
    bool complete;          /* it had all that was committed, once */
    bool installing;        /* a copy is half installed, or was restored and never started */
    struct peer_point last; /* of its log */
    uint64_t committed;     /* at least */
    struct peer_set set;    /* in sync: the last that its log tells of; count 0: not known */
    struct peer_set own;    /* in sync: as it made it durable itself, as primary */
    /* of the old primary's: */
    char damage[PROMOTE_DAMAGE_BYTES]; /* what is wrong with its log; "": nothing. Of a damaged one
                                          last and committed are what is left of it, at least */
    bool own_is_last;                  /* no later set can have been written and be damaged now */
};

enum promote_reach {
    PROMOTE_ANSWERED,
    PROMOTE_SILENT, /* something listens there, and gives no answer */
    PROMOTE_CLOSED, /* nothing listens there */
    PROMOTE_AWAY,   /* not even that can be told */
};

/* A server that was asked. */
struct promote_server {
    char address[PEER_ADDRESS_BYTES_MAX + 1];
    enum promote_reach reach;
    /* of one that answered: */
    struct peer_server server;
    unsigned char cluster[PEER_ID_BYTES];
    bool primary;                         /* else a backup */
    bool connected;                       /* a backup: in session with its primary, */
    char follows[APP_NAME_BYTES_MAX + 1]; /* of this name; "": not known */
    uint32_t generation;                  /* the highest that it has seen */
    uint64_t epoch, promised_epoch;       /* epoch: a primary's own */
    uint64_t last_epoch, last, committed;
};

struct promote_case {
    struct promote_dir self;
    bool has_old; /* the old primary's directory */
    struct promote_dir old;
    uint64_t compared;              /* an index that both logs have; 0: none but the beginning */
    uint64_t chain_self, chain_old; /* after that entry */
    bool accept_data_loss;
    unsigned count;
    struct promote_server servers[PROMOTE_SERVERS_MAX];
};

enum promote_reason {
    PROMOTE_YES,
    PROMOTE_HALF_INSTALLED,
    PROMOTE_NEVER_FOLLOWED, /* it has followed nobody: it can simply start as the primary */
    PROMOTE_IS_PRIMARY,     /* its directory is a primary's, */
    PROMOTE_DONE,           /* or was promoted, and has not started since */
    PROMOTE_OTHER_CLUSTER,
    PROMOTE_RUNS_ELSEWHERE, /* a copy of its directory */
    PROMOTE_PRIMARY_LIVES,
    PROMOTE_OTHER_IS_AHEAD,
    PROMOTE_LOGS_DIFFER,
    PROMOTE_OLD_WRONG,     /* the old primary's directory is not that, or an older copy */
    PROMOTE_ROLLED_BACK,   /* this one lacks what the old primary's set says that it has */
    PROMOTE_SILENT_SERVER, /* it may be the old primary; as the next: not with accept_data_loss */
    PROMOTE_DATA_LOSS,     /* nothing proves that all acknowledged writes are here */
    PROMOTE_LAST_GENERATION,
};

struct promote_verdict {
    enum promote_reason reason;
    uint32_t generation;                /* to be taken; higher than any that was seen */
    bool proven;                        /* no acknowledged write is lost */
    struct buf known, unknown, refusal; /* sentences, each a line; promote_forget */
};

/* Whether a primary that answers takes no writes any more, since it knows of a later promotion. */
bool promote_fenced(const struct promote_server *s);

void promote_judge(const struct promote_case *c, struct promote_verdict *v);
void promote_forget(struct promote_verdict *v);

#endif
