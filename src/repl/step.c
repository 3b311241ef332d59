/* The step of a primary with a required set that is this server alone. */
#include "repl/step.h"

#include "base/err.h"

void repl_init(struct repl *r)
{
    *r = (struct repl){.required = 1};
}

bool repl_busy(const struct repl *r)
{
    return r->committed < r->last;
}

static struct repl_action *add(struct repl_actions *out, enum repl_action_kind kind)
{
    struct repl_action *a = &out->list[out->count++];
    *a = (struct repl_action){.kind = kind};
    return a;
}

static void append(struct repl *r, bool epoch_start, struct repl_actions *out)
{
    struct repl_action *a = add(out, REPL_APPEND);
    a->epoch_start = epoch_start;
    a->epoch = r->epoch;
    a->index = ++r->last;
}

static void admit(struct repl *r, struct repl_actions *out)
{
    r->admitting = true;
    add(out, REPL_ADMIT);
}

/* S2: a new epoch for each life, higher than all before. S7: the recovered log is the truth; the
 * epoch's first entry goes behind it, and writes are admitted once that is committed. */
static int start(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    if (RULE(S2) && e->epoch <= r->epoch)
        return ERR_BAD_REQUEST;
    r->epoch = e->epoch;
    r->last = e->index;
    r->committed = e->index;
    for (unsigned i = 0; i < r->required; i++)
        r->members[i].durable = e->index;
    r->epoch_start = e->index + 1;
    r->admitting = false;
    append(r, true, out);
    if (!RULE(S7))
        admit(r, out);
    return 0;
}

/* S3: what every member of the required set has durable, is committed. */
static uint64_t lowest_durable(const struct repl *r)
{
    uint64_t lowest = r->members[0].durable;
    for (unsigned i = 1; RULE(S3) && i < r->required; i++)
        if (r->members[i].durable < lowest)
            lowest = r->members[i].durable;
    return lowest;
}

static int durable(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    if (e->index > r->last)
        return ERR_BAD_REQUEST;
    if (e->index > r->members[0].durable)
        r->members[0].durable = e->index;
    uint64_t lowest = lowest_durable(r);
    if (lowest <= r->committed)
        return 0;
    r->committed = lowest;
    struct repl_action *commit = add(out, REPL_COMMIT);
    commit->epoch = r->epoch;
    commit->index = lowest;
    if (!r->admitting && r->committed >= r->epoch_start)
        admit(r, out);
    return 0;
}

int repl_step(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    out->count = 0;
    switch (e->kind) {
    case REPL_START:
        return start(r, e, out);
    case REPL_PROPOSE:
        if (!r->admitting || repl_busy(r))
            return ERR_BAD_REQUEST;
        append(r, false, out);
        return 0;
    case REPL_DURABLE:
        return durable(r, e, out);
    }
    return ERR_BAD_REQUEST;
}
