/* What the log thread is asked to do, one thing at a time: entries, the small durable state, a cut.
 */
#include "base/err.h"
#include "node/inside.h"

/* How many entries at the front of what the log lacks go into one frame. Several only where all are
 * committed, so that a cut never falls inside a frame. */
static unsigned frame_of_tail(const struct node *n, size_t *bytes)
{
    unsigned count = 0;
    *bytes = 0;
    for (const struct tail_entry *t = n->unwritten; t != NULL; t = t->next) {
        bool committed = t->e.index <= n->repl.commit_known;
        if (count != 0 && (!committed || *bytes + t->bytes > n->entry_bytes_max))
            break;
        *bytes += t->bytes;
        count++;
        if (!committed)
            break;
    }
    return count;
}

/* The entries that a backup has accepted and the log does not have. */
static void append_tail(struct node *n)
{
    size_t bytes;
    unsigned count = frame_of_tail(n, &bytes);
    if (count == 0)
        return;
    if (space_find(n) != 0) /* comes back when there is */
        return;
    char *to = log_frame_begin(n->log, bytes);
    if (to == NULL)
        n->o.fatal("out of memory for an entry, or one that is longer than --record-bytes-max "
                   "here allows");
    const struct entry *last = NULL;
    n->written_first_seq = n->unwritten->e.first_seq;
    struct log_position p = {
        .first_index = n->unwritten->e.index,
        .entries = count,
        .commit = n->repl.commit_known,
    };
    for (unsigned i = 0; i < count; i++) {
        memcpy(to, n->unwritten->at, n->unwritten->bytes);
        to += n->unwritten->bytes;
        last = &n->unwritten->e;
        n->unwritten = n->unwritten->next;
    }
    n->written_seq = last->first_seq + last->effects - 1;
    p.chain = last->chain;
    n->append = (struct log_job){
        .kind = LOG_APPEND,
        .frame = log_frame_end(n->log, &p, bytes),
        .index = last->index,
        .chain = last->chain,
        .bytes = bytes,
    };
    n->frame_wanted = true;
}

/* S22: it was not acknowledged, and the primary has it. Else a backup could not say hello, and why
 * it does not follow. */
void jobs_forget(struct node *n)
{
    if (n->unwritten == NULL || n->frame_wanted || n->job_asked || space_find(n) != ERR_DISK_FULL)
        return;
    tail_cut(n, n->unwritten->e.index - 1);
    step(n, &(struct repl_event){.kind = REPL_FORGOT});
}

void jobs_ask(struct node *n)
{
    if (n->job_asked || n->install.any)
        return;
    if (!n->primary && !n->frame_wanted && !n->cut_wanted)
        append_tail(n);
    if (n->save_wanted) {
        n->job = (struct log_job){.kind = LOG_SAVE, .hard = n->repl.hard};
        n->save_wanted = false;
    } else if (n->frame_wanted) {
        n->job = n->append;
        n->frame_wanted = false;
    } else if (n->cut_wanted) {
        n->job = (struct log_job){.kind = LOG_CUT, .index = n->cut_index, .chain = n->cut_chain};
        n->cut_wanted = false;
    } else {
        return;
    }
    n->job_asked = true;
    atomic_store_explicit(&n->to_log, true, memory_order_release);
    bell_ring(&n->log_bell);
}

void jobs_done(struct node *n)
{
    if (!atomic_load_explicit(&n->logged, memory_order_acquire))
        return;
    atomic_store_explicit(&n->logged, false, memory_order_relaxed);
    n->job_asked = false;
    struct repl_event e = {.kind = REPL_SAVED, .index = n->job.index};
    if (n->job.kind == LOG_APPEND) {
        e.kind = REPL_DURABLE;
        n->since_checkpoint += (n->job.bytes / DISK_BLOCK_BYTES + 1) * DISK_BLOCK_BYTES;
    } else if (n->job.kind == LOG_CUT) {
        e.kind = REPL_CUT_DONE;
    } else {
        n->published_us = 0; /* the set may have changed: that is told at once */
    }
    step(n, &e);
    links_resume(n);
}
