/* What became of the writes that a backup has sent to its primary. */
#include "repl/fates.h"

#include "base/err.h"
#include "base/rules.h"
#include "repl/forward.h"

void fates_init(struct fates *f)
{
    *f = (struct fates){.end = &f->first};
}

static void add(struct fates *f, struct write_batch *b)
{
    b->next = NULL;
    *f->end = b;
    f->end = &b->next;
}

/* Until it is answered, b->index is what it counts in sent_bytes. */
void fates_sent(struct fates *f, struct write_batch *b, size_t bytes)
{
    b->forward_id = ++f->id;
    b->fate = FATE_SENT;
    b->index = bytes;
    f->sent++;
    f->sent_bytes += bytes;
    add(f, b);
}

void fates_done(struct fates *f, struct write_batch *b)
{
    b->fate = FATE_DONE;
    add(f, b);
}

static void no_longer_sent(struct fates *f, struct write_batch *b)
{
    f->sent--;
    f->sent_bytes -= (size_t)b->index;
}

struct write_batch *fates_answered(struct fates *f, const struct peer_answer *a)
{
    struct write_batch *b = f->first;
    while (b != NULL && b->fate != FATE_SENT)
        b = b->next;
    if (b == NULL || b->forward_id != a->id || answers_decode(a->answers, a->count, b) != 0)
        return NULL;
    no_longer_sent(f, b);
    b->fate = FATE_ANSWERED;
    b->index = a->index;
    return b;
}

static bool reached(const struct write_batch *b, uint64_t applied)
{
    return b->fate == FATE_ANSWERED && b->index <= applied;
}

/* S19: nobody knows what became of them; nor when local storage will have what was answered and has
 * not come yet, and others wait behind it. */
void fates_lost(struct fates *f, uint64_t applied)
{
    for (struct write_batch *b = f->first; b != NULL; b = b->next) {
        if (b->fate == FATE_DONE || reached(b, applied))
            continue;
        if (b->fate == FATE_SENT)
            no_longer_sent(f, b);
        buf_reset(&b->answers, SIZE_MAX);
        write_batch_fill(b, 0, RULE(S19) ? ERR_OUTCOME_UNKNOWN : ERR_NO_PRIMARY, "");
        b->fate = FATE_DONE;
    }
}

struct write_batch *fates_take(struct fates *f, uint64_t applied)
{
    struct write_batch *b = f->first;
    if (b == NULL || (b->fate != FATE_DONE && !reached(b, applied)))
        return NULL;
    f->first = b->next;
    if (f->first == NULL)
        f->end = &f->first;
    b->next = NULL;
    return b;
}
