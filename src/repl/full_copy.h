/*
 * Full copies (rule S13), what both sides decide of them: what a primary sends to whom, which
 * pieces a backup takes, and with what it goes on. Pure; files, their checking and links are the
 * driver's.
 */
#ifndef REPL_FULL_COPY_H
#define REPL_FULL_COPY_H

#include "repl/step.h"

/* A copy that comes: what is here of it. at.index 0: none. */
struct full_copy {
    unsigned char cluster[PEER_ID_BYTES];
    struct peer_point at; /* the state that it is of */
    uint64_t bytes, got;  /* of the whole; of them here, from the beginning on */
    uint64_t seal;        /* the hash that the file ends with: no two have the same */
    bool open;            /* its head came over this link: pieces may follow */
};

bool full_copy_whole(const struct full_copy *c);

/* A primary, with its newest checkpoint, whose seal stands in the head already: 0 and the head of
 * what is going to be sent, which goes on where the backup's part ends; or why not, with a
 * sentence.
 */
enum peer_refusal full_copy_offer(const struct repl *r, const struct peer_copy_ask *ask,
                                  const struct peer_point *at, uint64_t bytes,
                                  struct peer_copy_head *head, const char **why);

/* A backup: what it asks over a new link, */
void full_copy_ask(const struct repl *r, struct full_copy *c, struct peer_copy_ask *ask);
/* and what it is told. NULL, or why not, a phrase: then nothing has changed, and the link must end.
 * After a head c->got bytes are kept of what was here; each piece goes behind those that are here.
 */
const char *full_copy_begin(struct full_copy *c, const struct repl *r,
                            const struct peer_copy_head *head);
const char *full_copy_take(struct full_copy *c, const struct peer_copy_chunk *chunk);

/* Whether the whole copy may be installed: `rc` is what checking its seal and its digest gave, `is`
 * the state that it holds. */
bool full_copy_good(const struct full_copy *c, int rc, const struct peer_point *is);

/* As bytes, for the note beside it. ERR_CORRUPT; exactly the whole span. */
enum { FULL_COPY_BYTES = PEER_ID_BYTES + 6 * 8 };
void full_copy_encode(const struct full_copy *c, char to[FULL_COPY_BYTES]);
int full_copy_decode(struct span from, struct full_copy *c);

#endif
