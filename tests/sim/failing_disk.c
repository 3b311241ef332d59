/* Disks that fail (S11): one write or flush is an error, and what it was for is on the disk, in
 * part, or not. What its server does then is what src/node does: it ends without another try, and
 * comes back suspect, if the disk at least took the mark. Draws from a stream of its own. */
#include "sim.h"

enum { SHARE = 25, BACK_MS = 500, ACCEPT_MS = 2000 };

void failing_plan(struct world *w)
{
    struct chance *c = &w->failing;
    c->state = w->seed ^ 0x6469736b;
    chance_next(c);
    if (chance_percent(c, SHARE))
        w->plan.failing_us = chance_between(c, 500, 5000) * MS;
}

/* What fails: often whatever comes next, else this or that alone. */
static unsigned some_work(struct chance *c)
{
    static const unsigned of[] = {DISK_FLUSH, DISK_FLUSH,      DISK_FLUSH, DISK_SAVE,   DISK_CUT,
                                  DISK_TRIM,  DISK_CHECKPOINT, DISK_PART,  DISK_INSTALL};
    unsigned count = sizeof of / sizeof of[0];
    return chance_percent(c, 30) ? DISK_ALL : of[chance_below(c, count)];
}

void failing_do(struct world *w)
{
    struct chance *c = &w->failing;
    if (w->healing)
        return;
    unsigned backups = w->servers_count - 1 - w->plan.twin;
    struct server *s = &w->servers[w->primary];
    if (chance_percent(c, 60)) {
        unsigned number = 1 + (unsigned)chance_below(c, backups);
        s = &w->servers[number != w->primary ? number : FIRST];
    }
    s->failing = (struct failing){
        .work = some_work(c),
        .kept_percent = chance_percent(c, 50)   ? 0
                        : chance_percent(c, 50) ? 100
                                                : (unsigned)chance_below(c, 100),
        .unmarked = chance_percent(c, 25),
        .machine = chance_percent(c, 30),
        .back_us = chance_between(c, 1, BACK_MS) * MS,
    };
    tell(w, "%s's disk is about to fail (%x)", s->name, s->failing.work);
    later(w, chance_skewed(c, 3 * w->plan.failing_us), DO_FAIL, NULL, 0, 0);
}

/* Once: the disk is well again, which is the more dangerous for who tries again. */
bool failing_at(struct world *w, struct server *s, enum disk_work work)
{
    bool retried = work == DISK_FLUSH || work == DISK_SAVE;
    bool fails = (s->failing.work & work) != 0 && (RULE(S11) || retried);
    if (!fails)
        return false;
    s->failing.work = 0;
    w->counts.failures++;
    return true;
}

void failing_end(struct world *w, struct server *s, const char *what, bool marks)
{
    struct failing f = s->failing;
    bool marked = marks && !f.unmarked;
    tell(w, "%s ends: the disk failed at %s%s", s->name, what, marked ? "" : ", without a mark");
    s->disk.suspect = s->disk.suspect || marked;
    server_stop(w, s, f.machine);
    if (f.back_us == 0)
        return;
    later(w, f.back_us, DO_START, s, 0, 0);
    /* People look into it: nothing that was acknowledged is lost, so no check forgives anything. */
    later(w, f.back_us + chance_between(&w->failing, 1, ACCEPT_MS) * MS, DO_ACCEPT, s, 0, 0);
}

/* --- What is asked of the log and the small file --- */

/* The disk says that all is done; it has what it had. */
static void try_again(struct world *w, struct server *s, const struct happening *h)
{
    bool flush = h->kind == DO_FLUSH;
    tell(w, "%s tries the flush again, and is told that it is done", s->name);
    if (flush)
        drive_flush_again(&s->disk, h->index, s->failing.kept_percent);
    else
        s->disk.saving = false;
    later(w, chance_below(&w->failing, MS), flush ? DO_DURABLE : DO_SAVED, s, 0, h->index);
}

bool failing_work(struct world *w, struct server *s, const struct happening *h)
{
    static const struct {
        enum disk_work work;
        const char *name;
    } of[] = {[DO_FLUSH] = {DISK_FLUSH, "a flush"},
              [DO_SAVE] = {DISK_SAVE, "a save"},
              [DO_CUT] = {DISK_CUT, "a cut"}};
    unsigned percent = s->failing.kept_percent;
    if (!failing_at(w, s, of[h->kind].work))
        return false;
    if (!RULE(S11)) {
        try_again(w, s, h);
        return true;
    }
    if (h->kind == DO_FLUSH)
        drive_flush_fails(&s->disk, h->index, percent);
    else if (h->kind == DO_CUT)
        drive_cut_fails(&s->disk, percent);
    else
        drive_save_fails(&s->disk, percent);
    failing_end(w, s, of[h->kind].name, true);
    return true;
}
