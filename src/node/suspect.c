/*
 * A server whose disk failed, or whose log is not whole (rules S11, S12). What is lost is named. A
 * backup keeps what it has, serves nothing, and begins again with a full copy (copy.c); a primary
 * starts only where the operator gives up what is lost. Which of these is the step's word
 * (repl/course.h); links to other servers are unknown here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "node/inside.h"
#include "repl/course.h"

enum { GAPS_SAID_MAX = 8, ASIDE_MAX = 1000, WHAT_BYTES = 1024 };

/* --- S11: the end of a life --- */

void suspect_fail(struct node *n, int code, const char *what)
{
    char sentence[256];
    /* Who fails second waits for the end that the first brings. */
    while (atomic_flag_test_and_set(&n->failing))
        pause();
    bool disk = code == ERR_IO || code == ERR_CORRUPT;
    const struct suspicion s = {.disk = true,
                                .index = atomic_load(&n->o.visible->applied),
                                .seq = atomic_load(&n->o.visible->seq)};
    if (disk)
        data_dir_suspect(&n->dir, &s);
    snprintf(sentence, sizeof sentence, "%s (%s): nothing more is acknowledged%s; look at the disk",
             what, err_info(code)->sentence,
             disk ? ", and this server is suspect from now on" : "");
    n->o.fatal(sentence);
    abort();
}

/* --- What is lost, in words --- */

/* What the log has, and lacks, as far as it was read. */
struct loss {
    struct node *n;
    uint64_t whole, whole_seq; /* local storage, and the log without a gap behind it, end here */
    uint64_t last, seq;        /* entry seen last, and the number of its last write */
    struct log_gap gap;
    bool pending; /* the gap was not said yet */
    unsigned gaps;
};

/* "N", or "N to M". */
static const char *span_of_numbers(char to[64], uint64_t first, uint64_t last)
{
    int bytes = snprintf(to, 64, "%" PRIu64, first);
    if (last > first)
        snprintf(to + bytes, 64 - (size_t)bytes, " to %" PRIu64, last);
    return to;
}

static void say_range(char *to, size_t bytes, uint64_t first, uint64_t last, uint64_t first_seq,
                      uint64_t last_seq)
{
    char indexes[64], seqs[64];
    if (last == 0)
        snprintf(to, bytes, "entries from %" PRIu64 " (seq %" PRIu64 ") on, if there were any",
                 first, first_seq);
    else if (last_seq < first_seq)
        snprintf(to, bytes, "entry %s (no seq)", span_of_numbers(indexes, first, last));
    else
        snprintf(to, bytes, "entry %s (seq %s)", span_of_numbers(indexes, first, last),
                 span_of_numbers(seqs, first_seq, last_seq));
}

/* Once it is known where the log goes on: with `next_seq`; 0: nowhere. */
static void say_gap(struct loss *l, uint64_t next_seq)
{
    static const char *const kinds[] = {
        [GAP_DAMAGED] = "is damaged",
        [GAP_UNREADABLE] = "cannot be read",
        [GAP_MISSING] = "is missing",
    };
    char range[160], sentence[PATH_BYTES_MAX + 400];
    const struct log_gap *g = &l->gap;
    if (!l->pending)
        return;
    l->pending = false;
    if (++l->gaps > GAPS_SAID_MAX)
        return;
    say_range(range, sizeof range, g->first, g->last, l->seq + 1, next_seq - 1);
    snprintf(sentence, sizeof sentence,
             "%s/log/%016" PRIx64 ".log %s at byte %" PRIu64 ": the log lacks %s%s", l->n->dir.path,
             g->segment, kinds[g->kind], g->byte, range,
             g->last != 0 && g->last <= l->whole ? "; local storage has them" : "");
    l->n->o.say(sentence);
}

static void see_gap(void *context, const struct log_gap *g)
{
    struct loss *l = context;
    l->gap = *g;
    l->pending = true;
}

static int see_frame(void *context, const struct log_position *p, struct span payload)
{
    struct loss *l = context;
    struct entry e;
    size_t bytes;
    while ((bytes = entry_peek(payload, &e)) != 0) {
        say_gap(l, e.first_seq);
        l->seq = e.first_seq + e.effects - 1;
        payload = span(payload.at + bytes, payload.bytes - bytes);
    }
    l->last = p->first_index + p->entries - 1;
    return 0;
}

/* How far all is there: what a failed opening of the log has left in the tail, or in storage. */
static int find_whole(struct loss *l)
{
    struct node *n = l->n;
    l->whole_seq = n->seq;
    for (const struct tail_entry *t = n->tail; t != NULL; t = t->next)
        l->whole = t->e.index;
    if (n->tail != NULL)
        return 0;
    int rc = recovery_take_state(n);
    l->whole = n->state.applied;
    l->whole_seq = n->state.seq;
    return rc;
}

/* Says where the log is not whole, and what of it is lost. */
static int say_losses(struct loss *l, const struct suspicion *known)
{
    struct node *n = l->n;
    char folder[PATH_BYTES_MAX], range[160], sentence[400];
    int rc = find_whole(l);
    uint64_t from = n->log != NULL ? log_first_index(n->log) : 0;
    if (rc == 0)
        rc = log_survey(n->o.disk, data_dir_path(&n->dir, "log", folder), from, see_frame, see_gap,
                        l);
    if (rc != 0)
        return rc;
    say_gap(l, 0);
    if (l->gaps > GAPS_SAID_MAX) {
        snprintf(sentence, sizeof sentence, "and %u more such places", l->gaps - GAPS_SAID_MAX);
        n->o.say(sentence);
    }
    bool later = l->last > known->index;
    uint64_t last = later ? l->last : known->index, seq = later ? l->seq : known->seq;
    say_range(range, sizeof range, l->whole + 1, last, l->whole_seq + 1, seq);
    if (last > l->whole)
        snprintf(sentence, sizeof sentence,
                 "all up to entry %" PRIu64 " (seq %" PRIu64 ") is whole; %s is lost here",
                 l->whole, l->whole_seq, range);
    else
        snprintf(sentence, sizeof sentence,
                 "all up to entry %" PRIu64 " (seq %" PRIu64
                 ") is whole, and no acknowledged write is known to be missing",
                 l->whole, l->whole_seq);
    n->o.say(sentence);
    return 0;
}

/* Local storage may know better than the log what was acknowledged, and is not trusted any more
 * after a crash of the machine: then it would look as a torn tail does. */
static void remember(struct node *n, const struct suspicion *known)
{
    struct suspicion s = {.disk = known->disk, .index = n->state.applied, .seq = n->state.seq};
    if (s.index < known->index)
        s = *known;
    data_dir_suspect(&n->dir, &s);
}

/* The log was read, and could not be made ready: what was read is to be there the next time. */
static void remember_end(struct node *n, const struct suspicion *known)
{
    struct suspicion s = {.disk = known->disk, .index = n->state.applied, .seq = n->state.seq};
    for (const struct tail_entry *t = n->tail; t != NULL; t = t->next) {
        s.index = t->e.index;
        s.seq = t->e.first_seq + t->e.effects - 1;
    }
    if (s.index < known->index)
        s = *known;
    data_dir_suspect(&n->dir, &s);
}

static void close_log(struct node *n)
{
    log_close(n->log);
    n->log = NULL;
}

/* --- A primary --- */

static void say_ways(struct node *n)
{
    char names[400] = "", sentence[800];
    size_t used = 0;
    const struct peer_set *set = &n->dir.identity.hard.set;
    for (unsigned i = 0; i < set->count && used < sizeof names; i++)
        if (memcmp(set->list[i].id, n->dir.identity.server.id, PEER_ID_BYTES) != 0)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     used == 0 ? "" : ", ", set->list[i].name);
    if (used != 0)
        snprintf(sentence, sizeof sentence,
                 "better than to start this server: %s had every acknowledged write when it "
                 "stopped; make one of them the primary (noted promote), and start this one with "
                 "an empty data directory as its backup",
                 names);
    else
        snprintf(sentence, sizeof sentence, "no backup was in sync when this server stopped");
    n->o.say(sentence);
    n->o.say("to go on with what is whole here, start once with --accept-data-loss");
}

static int refuse(struct node *n, const struct repl_found *f, const struct suspicion *known,
                  char *why, size_t why_bytes)
{
    struct loss l = {.n = n};
    int rc = say_losses(&l, known);
    if (rc == 0)
        say_ways(n);
    close_log(n);
    remember(n, known);
    if (!f->damaged)
        snprintf(why, why_bytes,
                 "the disk failed in an earlier life of this server, which is suspect since then; "
                 "nothing was changed");
    return ERR_CORRUPT;
}

static int is_there(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return 1;
}

/* The folder, with all that is in it, under a name that none has. */
static int put_log_aside(struct node *n)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX], name[32], sentence[2 * PATH_BYTES_MAX];
    const struct disk *disk = n->o.disk;
    int rc = 1;
    for (unsigned i = 1; i < ASIDE_MAX && rc >= 0; i++) {
        snprintf(name, sizeof name, i == 1 ? "log.damaged" : "log.damaged.%u", i);
        rc = disk->list(disk->context, data_dir_path(&n->dir, name, to), is_there, NULL);
    }
    if (rc != ERR_NOT_FOUND)
        return rc < 0 ? rc : ERR_SYSTEM;
    rc = disk->rename(disk->context, data_dir_path(&n->dir, "log", from), to);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc == 0)
        rc = disk->sync_folder(disk->context, n->dir.path);
    if (rc == 0) {
        snprintf(sentence, sizeof sentence, "the damaged log is kept as %s", to);
        n->o.say(sentence);
    }
    return rc;
}

/* What is whole goes into a checkpoint, and a new log begins behind it. */
static int begin_anew(struct node *n, char *why, size_t why_bytes)
{
    struct log_troubles t;
    close_log(n);
    int rc = recovery_apply_tail(n);
    if (rc == 0)
        rc = checkpoint_at_start(n);
    if (rc == 0)
        rc = put_log_aside(n);
    if (rc != 0) {
        snprintf(why, why_bytes, "what is whole cannot be kept in %s: %s", n->dir.path,
                 start_sentence(rc));
        return rc;
    }
    return recovery_open_log(n, "log", 0, &t, why, why_bytes);
}

/*
 * With the mark alone the log goes on, since all of it counts as durable rightly: log_open has read
 * its end past the page cache, and has written anew, in this life and with success, the one frame
 * whose write may have failed; what stands before that was durable before. What recovery had no
 * need to read is read here, and where it is not whole, the log is left as a damaged one is. The
 * mark goes last, so that it stays through every failure on the way.
 */
static int give_up(struct node *n, const struct repl_found *f, const struct suspicion *known,
                   char *why, size_t why_bytes)
{
    struct loss l = {.n = n};
    int rc = say_losses(&l, known);
    if (rc == 0 && (f->damaged || l.gaps != 0))
        rc = begin_anew(n, why, why_bytes);
    if (rc == 0)
        rc = data_dir_clear_suspicion(&n->dir);
    if (rc == 0)
        n->o.say("--accept-data-loss: this server goes on with what is whole");
    return rc;
}

/* --- A backup --- */

/* All that is here stays as it is until the copy has come, since it may be all that is left; what
 * runs meanwhile has an empty log of its own. */
static int await_copy(struct node *n, const struct suspicion *known, char *why, size_t why_bytes)
{
    struct log_troubles t;
    char path[PATH_BYTES_MAX];
    n->o.say(why[0] != '\0' ? why : "the disk failed in an earlier life of this server");
    n->o.say(
        "this backup is suspect: it serves nothing, and asks the primary for a full copy; what "
        "it has is kept until that is here");
    close_log(n);
    remember(n, known);
    tail_free(n->tail);
    n->tail = NULL;
    n->tail_end = &n->tail;
    n->tail_bytes = 0;
    int rc = recovery_take_state(n);
    if (rc == 0)
        rc = log_remove_all(n->o.disk, data_dir_path(&n->dir, "log.spare", path));
    n->suspect = n->copy.wanted = true;
    n->dir.identity.hard.complete = false; /* written with the new identity */
    why[0] = '\0';
    return rc == 0 ? recovery_open_log(n, "log.spare", 0, &t, why, why_bytes) : rc;
}

/* --- The start --- */

/* The log, unless this server is suspect. With what was installed another life begins. */
int suspect_open_log(struct node *n, bool installing, char *why, size_t why_bytes)
{
    struct suspicion known = {0};
    struct log_troubles t = {0};
    struct repl_found f = {.primary = n->primary,
                           .accept_loss = n->o.settings->accept_data_loss != 0};
    bool mark = data_dir_suspected(&n->dir, &known);
    if (installing)
        known = (struct suspicion){0};
    f.marked = known.disk;
    bool gone = !installing && recovery_lacks_log(n, why, why_bytes);
    int rc = gone ? ERR_CORRUPT : recovery_open_log(n, "log", known.index, &t, why, why_bytes);
    if (rc == 0 && recovery_check(n, why, why_bytes) != 0) {
        t.mixed_up = true;
        rc = ERR_CORRUPT;
    }
    /* What cannot be this server's log is no loss to be given up, but a mistake to be mended. */
    f.damaged = gone || t.damaged || (!f.primary && (t.mixed_up || rc == ERR_IO));
    if (rc == ERR_IO && f.primary && !installing)
        remember_end(n, &known);
    if (rc != 0 && (!f.damaged || installing))
        return rc;
    switch (repl_course(&f)) {
    case COURSE_GO_ON:
        if (f.primary && f.accept_loss)
            n->o.say("there was nothing to give up: start without --accept-data-loss");
        return rc == 0 && mark ? data_dir_clear_suspicion(&n->dir) : rc;
    case COURSE_COPY:
        return await_copy(n, &known, why, why_bytes);
    case COURSE_REFUSE:
        return refuse(n, &f, &known, why, why_bytes);
    case COURSE_GIVE_UP:
        return give_up(n, &f, &known, why, why_bytes);
    }
    return ERR_INTERNAL;
}
