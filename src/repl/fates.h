/*
 * Batches of writes that a backup has sent to its primary, and what becomes of them: answered, to
 * be given back once local storage has what the answer tells of, or unknown for ever (rule S19).
 * They are given back in the order in which clients asked. Pure; links and clients are the
 * driver's.
 */
#ifndef REPL_FATES_H
#define REPL_FATES_H

#include "record/write.h"
#include "repl/peer.h"

struct fates {
    struct write_batch *first, **end; /* end: set by fates_init */
    unsigned sent;                    /* FATE_SENT */
    size_t sent_bytes;
    uint64_t id; /* of the last one sent */
};

void fates_init(struct fates *f);
/* Behind all others: sent now, in so many bytes, under the new id f->id; */
void fates_sent(struct fates *f, struct write_batch *b, size_t bytes);
/* or answered already, by whoever could not send it. */
void fates_done(struct fates *f, struct write_batch *b);

/* Answers of the primary: those to the oldest batch that has none; NULL: they are not. The batch
 * stays here. */
struct write_batch *fates_answered(struct fates *f, const struct peer_answer *a);

/* The link is gone, with local storage at this position. */
void fates_lost(struct fates *f, uint64_t applied);

/* Takes the next batch that can be given back, with local storage there; NULL: none. */
struct write_batch *fates_take(struct fates *f, uint64_t applied);

#endif
