/*
 * A write on its way: from a front-end thread to the order thread and back, in batches. Both
 * threads never hold a batch at the same time; the asked part is not changed after it was handed
 * over. Knows nothing of sockets and log.
 */
#ifndef RECORD_WRITE_H
#define RECORD_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/queue.h"
#include "record/request.h"

/* A piece of one of the batch's buffers, which may move while they grow. */
struct piece {
    uint32_t at, bytes;
};

struct write {
    /* asked */
    enum method method;
    enum media media;
    uint64_t id;                           /* 0 with POST */
    struct piece collection, key, payload; /* in `asked`; payload: a compact object without "id", or
                                              the compact array of a JSON Patch; none with DELETE */
    uint64_t fingerprint[2];               /* with a key */
    bool has_conditions;
    uint32_t conditions_at; /* struct conditions, in `asked`, unaligned */

    /* answered */
    int code;             /* 0, or the error */
    bool has_seq;         /* it was looked at */
    uint64_t seq;         /* of the write; of the state that it was refused on */
    uint64_t answered_id; /* of the record */
    uint32_t copies;      /* servers on whose disk the write is */
    struct piece body;    /* in `answers`: the record; with an error its detail, or nothing */

    /* the front end's own */
    void *client; /* whom to answer; NULL: the peer in `asked` at peer_at */
    uint32_t peer_at;
    struct piece rid;    /* in `asked` */
    struct piece target; /* in `asked`: for the message log */
    uint32_t weight;     /* of it in flight */
    uint8_t flags;
    bool given_up; /* answered outcome_unknown already */
};

/* Of a batch that a backup has sent to its primary. */
enum write_fate {
    FATE_ASKED,    /* not sent */
    FATE_SENT,     /* the primary has it, or not */
    FATE_ANSWERED, /* to be given back once local storage is at `index` */
    FATE_DONE,     /* to be given back */
};

struct write_batch {
    struct write_port *port;         /* where it came from and goes back to; NULL: to a link */
    struct write_batch *next;        /* of whoever holds it */
    struct write_batch *flying_next; /* of the front end, while the order thread holds it */
    uint64_t submitted_us;
    unsigned count; /* writes in it */
    unsigned done;  /* executed by the order thread */
    size_t weight;  /* bytes of answers that the front end expects, and counts */
    unsigned link;  /* of the order thread: where it came from, without a port */
    uint64_t forward_id, index;
    enum write_fate fate;
    struct buf asked, answers;
    struct write writes[BATCH_WRITES_MAX];
};

/* Between one front-end thread and the order thread: both queues have room for all batches there
 * are. */
struct write_port {
    struct queue asked, answered;
    atomic_bool watching;      /* the front end wants to be woken after each commit */
    void (*ring)(void *order); /* called after `asked` got something; from the front end's thread */
    void *order;
    void (*wake)(void *front); /* called after `answered` got something; from the order thread */
    void *front;
};
int write_port_init(struct write_port *p, void (*ring)(void *order),
                    void *order); /* ERR_NO_MEMORY */
void write_port_finish(struct write_port *p);

struct piece piece_add(struct buf *to, struct span s); /* without memory it has no bytes */
static inline struct span piece_span(const struct buf *in, struct piece p)
{
    return (struct span){p.bytes == 0 ? NULL : in->at + p.at, p.bytes};
}

struct write_batch *write_batch_create(void);    /* NULL: no memory */
void write_batch_destroy(struct write_batch *b); /* accepts NULL */
void write_batch_reset(struct write_batch *b);
/* Answers the writes from `first` on with an error; then the batch is done. "": without detail. */
void write_batch_fill(struct write_batch *b, unsigned first, int code, const char *detail);

/* Appends a condition as bytes: kind (1), number of tags (1), tags (8 each). */
void condition_add(struct buf *to, const struct condition *c);

/*
 * Sets up one write in the batch from a request whose target was parsed and whose payload json_scan
 * accepted as an object, or an array for a JSON Patch (white space around it included): takes "id"
 * out of it, compacts, fingerprints. The batch has a free place (count < BATCH_WRITES_MAX). 0 and
 * *w, counted in; ERR_ID_NOT_ALLOWED, ERR_ID_MISMATCH, ERR_TOO_LARGE (beyond record_bytes_max, not
 * counting "id"), ERR_NO_MEMORY: then the batch is as before.
 */
int write_ask(struct write_batch *b, const struct request *rq, const struct target *t,
              size_t record_bytes_max, struct write **w);

#endif
