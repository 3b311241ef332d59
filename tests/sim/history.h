/*
 * What clients asked and were told, and what the one order of writes makes of it: a model of its
 * own, filled from the entries that were applied first anywhere, against which every answer is
 * held. Knows nothing of servers but their bytes.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "record/request.h"
#include "repl/entry.h"

enum { COLLECTIONS = 3, WHY_BYTES = 200 };

extern const char *const collection_names[COLLECTIONS];

/* A write as its client asked it; repeats are the same write. */
struct written {
    enum method method;
    unsigned collection, attempts;
    uint64_t asked_id, if_match; /* 0: none */
    bool has_key;
    bool doubt;   /* an attempt's outcome is unknown */
    bool refused; /* an attempt was told that nothing happened */
    bool acked;
    unsigned effects;       /* how often it is in the order */
    uint64_t seq, id, hash; /* of the effect; of the text that it is answered with */
};

struct version {
    uint64_t seq, hash;
    uint64_t base; /* the write that last replaced the whole */
    bool gone;
};

struct history {
    struct written *writes; /* write n is [n - 1] */
    uint64_t writes_count, writes_size;
    uint64_t *order; /* [seq - 1]: the number of the write; 0: none that is known */
    uint64_t seq, order_size;
    struct past {
        struct versions {
            struct version *list;
            unsigned count, size;
        } * records; /* [id - 1] */
        uint64_t count, size;
    } collections[COLLECTIONS];
    bool keys_expire; /* so a repeat may be executed once more */
    bool off;         /* the primary's disk goes back: nothing is claimed */
};

/* A new write's number; its payload, which tells it. */
uint64_t history_ask(struct history *h, const struct written *w);
struct written *history_write(struct history *h, uint64_t number);

/* Each of these says in `why` what is wrong; "" where all is well. */
/* The next entry of the one order. */
void history_entry(struct history *h, const struct entry *e, char why[WHY_BYTES]);
/* A write was answered: code, seq, id, text. */
void history_answer(struct history *h, uint64_t number, int code, bool has_seq, uint64_t seq,
                    uint64_t id, struct span text, char why[WHY_BYTES]);
/* A record was read in the state after `seq`: what it was, or no bytes. */
void history_read(const struct history *h, unsigned collection, uint64_t id, uint64_t seq,
                  uint64_t etag, struct span text, char why[WHY_BYTES]);
void history_list(const struct history *h, unsigned collection, uint64_t seq, struct span text,
                  char why[WHY_BYTES]);
/* What is behind `seq` was given up: it may be done again, and its ids are free. */
void history_back(struct history *h, uint64_t seq);
/* The newest version of a record; NULL: there never was one. */
const struct version *history_newest(const struct history *h, unsigned collection, uint64_t id);
void history_finish(struct history *h);

#endif
