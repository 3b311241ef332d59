/* The line of entries that counts, across promotions. A promotion that accepts data loss gives up
 * the end of it: what that end was is kept, so that nothing else is forgiven. Asks no step. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

typedef unsigned long long u;

void line_finish(struct world *w)
{
    free(w->truth.line.chains);
    free(w->truth.line.lost);
}

bool line_has(const struct world *w, const struct entry *e)
{
    const struct lineage *l = &w->truth.line;
    if (e->index >= l->first && e->index <= l->last)
        return l->chains[e->index - l->first] == e->chain;
    return e->index < l->first || e->epoch >> 32 >= l->generation;
}

/* --- What was given up --- */

static bool is_lost(const struct lineage *l, uint64_t index, uint64_t chain)
{
    for (size_t i = l->lost_count; i > 0; i--)
        if (l->lost[i - 1].index == index && l->lost[i - 1].chain == chain)
            return true;
    return false;
}

static void add_lost(struct lineage *l, uint64_t index, uint64_t chain)
{
    if (l->lost_count == l->lost_size) {
        l->lost_size = l->lost_size == 0 ? 64 : 2 * l->lost_size;
        l->lost = realloc(l->lost, l->lost_size * sizeof *l->lost);
        assert(l->lost != NULL);
    }
    l->lost[l->lost_count++] = (struct lost){.index = index, .chain = chain};
}

/* Whether this server may commit what no promotion knows of: it is an old primary, nobody has told
 * it so in this life, it has not said in any that it knows, and it waits for nobody who was
 * promoted since (S7). So never after a proven promotion, but where it is to acknowledge alone. */
static bool may_stray(const struct world *w, const struct server *s)
{
    const struct lineage *l = &w->truth.line;
    bool waits = false;
    for (unsigned i = 0; i < l->promoted_count; i++)
        waits = waits || (l->promoted[i].generation > s->disk.generation &&
                          peer_set_has(&s->disk.hard.set, l->promoted[i].id));
    return server_leads(s) && s->disk.generation < l->generation && !s->told &&
           s->disk.told <= s->disk.generation && !waits;
}

static bool on_line(const struct truth *t, uint64_t index, uint64_t chain)
{
    return index <= t->canon_count && t->canon[index - 1].chain == chain;
}

/* It has what was given up no more. What was read from it meanwhile was of a line that is gone. */
static void comes_back(struct world *w, struct server *s)
{
    s->astray = false;
    s->seen_read = 0;
    for (unsigned i = 0; i < CLIENTS_ALL; i++)
        if (w->clients[i].reads_from == s->life)
            w->clients[i].reads_from = 0;
}

bool line_follows(struct world *w, struct server *s)
{
    struct truth *t = &w->truth;
    const struct drive *d = &s->disk;
    const struct store_state *state = &d->local.state;
    if (on_line(t, state->applied, state->chain)) {
        if (s->astray)
            comes_back(w, s);
        return true;
    }
    if (!is_lost(&t->line, state->applied, state->chain)) {
        if (!may_stray(w, s))
            return false;
        for (uint64_t i = state->applied; i >= d->first; i--) {
            uint64_t chain = drive_at(d, i)->e.chain;
            if (on_line(t, i, chain) || is_lost(&t->line, i, chain))
                break;
            add_lost(&t->line, i, chain);
        }
    }
    if (!s->astray)
        tell(w, "%s has what was given up: entry %llu", s->name, (u)state->applied);
    s->astray = true;
    return true;
}

/* --- Promotions --- */

/* Who has it still, comes back later. Who began again with a full copy, and had not caught up, has
 * none of it any more, and may have shown it before: its reads go back to where the line ends now,
 * and no further. */
static void take_back_reads(struct world *w, uint64_t seq)
{
    for (unsigned i = 0; i < w->servers_count; i++) {
        struct server *s = &w->servers[i];
        const struct store_state *state = &s->disk.local.state;
        bool has_none = state->applied == 0 || s->disk.installing ||
                        on_line(&w->truth, state->applied, state->chain);
        if (has_none && s->seen_read > seq)
            s->seen_read = seq;
    }
}

/* What the promoted server lacks is given up: nobody who was asked may have it. */
static void give_up(struct world *w, const struct server *s, uint64_t has, uint32_t answered)
{
    struct truth *t = &w->truth;
    for (unsigned i = 0; i < w->servers_count; i++)
        if ((answered >> i & 1) != 0 && check_has(w, &w->servers[i].disk, has + 1))
            complain(w,
                     "I3: the promotion of %s gives up entry %llu, and %s, who was asked, has it",
                     s->name, (u)has + 1, w->servers[i].name);
    tell(w, "entries %llu to %llu are given up", (u)has + 1, (u)t->canon_count);
    w->counts.given_up += t->canon_count - has;
    for (uint64_t i = has + 1; i <= t->canon_count; i++)
        add_lost(&t->line, i, t->canon[i - 1].chain);
    uint64_t seq = has == 0 ? 0 : t->canon[has - 1].seq;
    history_back(&t->history, seq);
    t->canon_count = has;
    take_back_reads(w, seq);
    t->acked = t->acked < has ? t->acked : has;
    t->acked_by_all = t->acked_by_all < has ? t->acked_by_all : has;
    t->committed = t->committed < has ? t->committed : has;
}

/* From here on its log is the truth, and what it adds. */
static void lead(struct world *w, const struct server *s, uint64_t has)
{
    struct lineage *l = &w->truth.line;
    const struct drive *d = &s->disk;
    assert(l->promoted_count < PROMOTIONS_MAX);
    struct promoted *p = &l->promoted[l->promoted_count++];
    p->generation = l->generation = d->generation;
    memcpy(p->id, d->id, PEER_ID_BYTES);
    l->first = has + 1 > d->first ? has + 1 : d->first;
    l->last = d->durable;
    free(l->chains);
    l->chains = NULL;
    if (l->last < l->first)
        return;
    l->chains = malloc((l->last - l->first + 1) * sizeof *l->chains);
    assert(l->chains != NULL);
    for (uint64_t i = l->first; i <= l->last; i++)
        l->chains[i - l->first] = drive_at(d, i)->e.chain;
}

void line_promoted(struct world *w, struct server *s, bool accepted, uint32_t answered)
{
    struct truth *t = &w->truth;
    uint64_t has = t->canon_count;
    while (has > 0 && !check_has(w, &s->disk, has))
        has--;
    if (accepted && has < t->canon_count)
        give_up(w, s, has, answered);
    lead(w, s, has);
    w->primary = s->number;
    w->harmed = s->disk.count; /* it commits them alone */
    s->disk.damaged = false;   /* what it has is what there is */
    for (unsigned i = 0; i < w->servers_count; i++)
        w->servers[i].checked_applied = 0;
}
