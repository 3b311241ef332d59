/*
 * Messages between servers: structs to bytes and back, pure functions. What they mean is the step's
 * (step.h); what stands in entries, and in the writes that are forwarded, is unknown here.
 *
 * Little endian. Every message begins with a head of PEER_HEAD_BYTES: the three bytes of the magic
 * (0xd5 'n' 't'), version (1), kind (1), zero (3), bytes of the body (4), CRC32C over the head
 * without these four bytes and the body (4), epoch (8), session (8). The body has the fields of the
 * kind's struct in their order: numbers as wide as there, but codes, booleans and the number of
 * points one byte; names, sentences and addresses as one byte with their length and their bytes; a
 * span is the rest of the body.
 */
#ifndef REPL_PEER_H
#define REPL_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/span.h"

enum {
    PEER_VERSION = 1,
    PEER_HEAD_BYTES = 32,
    /* Of UPDATE, FORWARD and ANSWER. The longest is the ANSWER to a full batch: as much as was
       asked, BATCH_SURPLUS_BYTES_MAX, and the one record that passes these. */
    PEER_BODY_BYTES_MAX = 12 * 1024 * 1024,
    PEER_SMALL_BYTES_MAX = 4096, /* of the other kinds */
    PEER_POINTS_MAX = 32,
    PEER_ADDRESS_BYTES_MAX = 79,
    PEER_ID_BYTES = 16,
};

enum peer_kind {
    PEER_HELLO = 1,    /* backup to primary: who I am, and where my log ends */
    PEER_WELCOME = 2,  /* primary to backup: up to where our logs agree */
    PEER_REFUSE = 3,   /* either way: why not, and the sender closes */
    PEER_UPDATE = 4,   /* W3, primary to backup: entries */
    PEER_ACK = 5,      /* W4, backup to primary: what is durable */
    PEER_COMMIT = 6,   /* primary to backup: what is committed; also the heartbeat */
    PEER_FORWARD = 7,  /* W2, backup to primary: writes */
    PEER_ANSWER = 8,   /* primary to backup: what became of them */
    PEER_COPY_ASK = 9, /* instead of a hello, from whom the log does not reach: a full copy (S13) */
    PEER_COPY_HEAD = 10, /* what is going to be sent */
    PEER_COPY_CHUNK = 11,
};

/* One server: the name that people know it by, and the random identity of its data directory
 * (rule S14). */
struct peer_server {
    char name[APP_NAME_BYTES_MAX + 1];
    unsigned char id[PEER_ID_BYTES];
};

/* A place in a log: the entry `index`, its epoch, and the chained checksum after it. Index 0 is the
 * beginning of every log. */
struct peer_point {
    uint64_t epoch, index, chain;
};

struct peer_hello {
    unsigned char cluster[PEER_ID_BYTES]; /* zeros: none yet */
    uint32_t group;                       /* replication group; 0 so far */
    uint32_t generation;                  /* highest that it has seen */
    struct peer_server server;
    char address[PEER_ADDRESS_BYTES_MAX + 1];  /* where clients find it */
    uint64_t life;                             /* random, of this process */
    uint64_t promised_epoch, promised_life;    /* rule S1; the life of the primary that got it */
    unsigned points_count;                     /* 1 to PEER_POINTS_MAX */
    struct peer_point points[PEER_POINTS_MAX]; /* the committed end, then the last entry of each
                                                  epoch above it, ascending */
};

struct peer_welcome {
    unsigned char cluster[PEER_ID_BYTES];
    uint32_t generation;
    struct peer_server server;
    uint64_t life;
    struct peer_point match; /* highest entry that both have */
    uint64_t commit;
    uint64_t goal; /* whoever has applied that lacks nothing that was acknowledged before */
};

enum peer_refusal {
    REFUSE_OTHER = 0,
    REFUSE_VERSION,
    REFUSE_CLUSTER,
    REFUSE_GROUP,
    REFUSE_SELF,        /* a server as its own primary */
    REFUSE_NAME,        /* a server of this name is connected */
    REFUSE_NOT_PRIMARY, /* the server asked is a backup itself */
    REFUSE_EPOCH,       /* a higher epoch was promised */
    REFUSE_ROLLED_BACK, /* it has lost what it had acknowledged */
    REFUSE_MISMATCH,    /* the logs differ where they must not */
    REFUSE_NO_LOG,      /* the log no longer reaches back so far */
    REFUSE_FULL,        /* too many servers */
    REFUSE_COUNT
};

struct peer_refuse {
    enum peer_refusal code;
    uint64_t promised_epoch; /* REFUSE_EPOCH */
    char sentence[DETAIL_BYTES_MAX];
};

struct peer_update {
    uint64_t first, last; /* indexes of the entries */
    uint64_t commit;      /* of the primary */
    bool in_sync;         /* the receiver is in the set */
    struct span entries;  /* one or more, as in entry.h */
};

struct peer_ack {
    uint64_t durable, applied;
    uint64_t digest;              /* of local storage at `applied` */
    uint64_t first_seq, last_seq; /* for the message log: what became durable; last < first: none */
    bool beat;                    /* answers a heartbeat */
    bool full; /* the sender's disk: nothing more becomes durable until there is space (S22) */
};

struct peer_commit {
    uint64_t commit;
    uint64_t digest; /* of local storage at `commit`; 0 with !beat */
    bool in_sync;
    bool beat; /* to be answered by an ACK */
};

struct peer_forward {
    uint64_t id;        /* of the sender, counting */
    uint32_t count;     /* writes */
    struct span writes; /* as in forward.h */
};

struct peer_answer {
    uint64_t id;
    uint64_t index; /* local storage must be here before it is given to the clients; 0: any */
    uint32_t count;
    struct span answers; /* as in forward.h */
};

struct peer_copy_ask {
    unsigned char cluster[PEER_ID_BYTES]; /* zeros: none yet */
    uint32_t group;
    struct peer_server server;
    struct peer_point have; /* of the copy that it has a part of; index 0: none */
    uint64_t seal;          /* of that copy: the hash that it ends with */
    uint64_t offset;        /* of that part's end */
};

struct peer_copy_head {
    unsigned char cluster[PEER_ID_BYTES];
    struct peer_point at; /* the state that the copy is of */
    uint64_t bytes;       /* of the whole file */
    uint64_t seal;        /* the hash that it ends with: no other copy has the same */
    uint64_t offset;      /* of the first chunk: where the part ends, or 0 */
};

struct peer_copy_chunk {
    uint64_t offset;
    struct span bytes; /* at least one */
};

struct peer_message {
    enum peer_kind kind;
    uint64_t epoch, session;
    union {
        struct peer_hello hello;
        struct peer_welcome welcome;
        struct peer_refuse refuse;
        struct peer_update update;
        struct peer_ack ack;
        struct peer_commit commit;
        struct peer_forward forward;
        struct peer_answer answer;
        struct peer_copy_ask copy_ask;
        struct peer_copy_head copy_head;
        struct peer_copy_chunk copy_chunk;
    };
};

/* Appends the message. The spans of UPDATE, FORWARD and ANSWER are copied. Without memory, and for
 * a body longer than its kind may have, nothing is appended and `to` has failed. In sentences and
 * addresses what is not printable becomes "?". */
void peer_encode(struct buf *to, const struct peer_message *m);

/*
 * Decodes and checks the message at the start of `from`: its bytes; 0: need more (*need, if not
 * NULL, gets how many bytes the message has, at least PEER_HEAD_BYTES). ERR_BAD_REQUEST: no
 * message: magic, lengths, checksum or content are wrong. ERR_NEWER: another version, told by its
 * first four bytes. After an error *m is of no use. Spans point into `from`; names, addresses and
 * sentences are checked to be printable and end in NUL. A length beyond what the kind may have is
 * told from the head alone, so that nobody waits for it.
 */
long peer_decode(struct span from, struct peer_message *m, size_t *need);

/* A set of servers, as it stands in a CONFIG entry and in the primary's data directory: their
 * number (1), then each name and id. No name and no id is there twice. */
enum { PEER_SET_MAX = 16 };
struct peer_set {
    unsigned count;
    struct peer_server list[PEER_SET_MAX];
};
bool peer_set_has(const struct peer_set *set, const unsigned char id[PEER_ID_BYTES]);
void peer_set_encode(struct buf *to, const struct peer_set *set);
int peer_set_decode(struct span from,
                    struct peer_set *set); /* ERR_CORRUPT; exactly the whole span */

#endif
