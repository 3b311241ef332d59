/* What both roles of the step share. */
#include "repl/step.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "repl/inside.h"

void repl_init(struct repl *r, const struct repl_options *o, const struct repl_hard *hard)
{
    memset(r, 0, sizeof *r);
    r->o = *o;
    r->hard = *hard;
    r->sessions = o->sessions;
}

uint32_t repl_generation(const struct repl *r)
{
    uint32_t promised = (uint32_t)(r->hard.promised_epoch >> 32);
    return repl_fence_noted(r) && promised > r->o.generation ? promised : r->o.generation;
}

bool repl_fence_noted(const struct repl *r)
{
    return !r->fenced || (!r->saving && r->hard.promised_epoch >= r->fence_epoch);
}

bool repl_busy(const struct repl *r)
{
    return r->committed < r->last;
}

/* The bound holds for one event of the most members there can be: each gets two actions, and a few
 * are this server's own. */
struct repl_action *repl_add(struct repl_actions *out, enum repl_action_kind kind)
{
    assert(out->count < REPL_ACTIONS_MAX);
    struct repl_action *a = &out->list[out->count++];
    a->kind = kind;
    a->entry = REPL_ENTRY_WRITES;
    a->link = 0;
    a->epoch = a->index = 0;
    a->sentence[0] = '\0';
    return a;
}

struct peer_message *repl_send(struct repl_actions *out, unsigned link, enum peer_kind kind,
                               uint64_t epoch, uint64_t session)
{
    struct repl_action *a = repl_add(out, REPL_SEND);
    a->link = link;
    memset(&a->message, 0, sizeof a->message);
    a->message.kind = kind;
    a->message.epoch = epoch;
    a->message.session = session;
    return &a->message;
}

void repl_commit(struct repl *r, uint64_t index, struct repl_actions *out)
{
    r->committed = index;
    struct repl_action *a = repl_add(out, REPL_COMMIT);
    a->epoch = r->epoch;
    a->index = index;
}

void repl_close(struct repl_actions *out, unsigned link, const char *format, ...)
{
    struct repl_action *a = repl_add(out, REPL_CLOSE);
    a->link = link;
    va_list args;
    va_start(args, format);
    vsnprintf(a->sentence, sizeof a->sentence, format, args);
    va_end(args);
}

void repl_refuse(struct repl *r, struct repl_actions *out, unsigned link, enum peer_refusal code,
                 const char *format, ...)
{
    struct peer_message *m = repl_send(out, link, PEER_REFUSE, r->epoch, 0);
    m->refuse.code = code;
    m->refuse.promised_epoch = r->hard.promised_epoch;
    va_list args;
    va_start(args, format);
    vsnprintf(m->refuse.sentence, sizeof m->refuse.sentence, format, args);
    va_end(args);
    repl_close(out, link, "%s", m->refuse.sentence);
}

bool repl_same_id(const unsigned char *a, const unsigned char *b)
{
    return memcmp(a, b, PEER_ID_BYTES) == 0;
}

bool repl_no_id(const unsigned char *id)
{
    static const unsigned char none[PEER_ID_BYTES];
    return repl_same_id(id, none);
}

int repl_step(struct repl *r, const struct repl_event *e, struct repl_actions *out)
{
    out->count = 0;
    return r->o.primary ? primary_step(r, e, out) : backup_step(r, e, out);
}

int repl_refusal(const struct repl *r)
{
    if (!r->o.primary)
        return r->stage < REPL_SETTLING ? ERR_NO_PRIMARY : r->in_sync ? 0 : ERR_NOT_IN_SYNC;
    if (r->fenced)
        return ERR_NO_PRIMARY;
    if (!r->admitting) {
        for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++)
            if (repl_awaited(r, &r->members[i]))
                return ERR_WAITING_FOR_MEMBERS;
        return ERR_NOT_READY;
    }
    return RULE(S23) && repl_live(r) < r->o.min_copies ? ERR_TOO_FEW_COPIES : 0;
}

/* The primary has said that what this server has is not the primary's, or may not be. */
static bool disowned(const struct repl *r)
{
    if (r->refusal_sentence[0] == '\0')
        return false;
    switch (r->refusal) {
    case REFUSE_CLUSTER:
    case REFUSE_GROUP:
    case REFUSE_SELF:
    case REFUSE_EPOCH:
    case REFUSE_ROLLED_BACK:
    case REFUSE_MISMATCH:
        return true;
    default:
        return false;
    }
}

bool repl_may_read(const struct repl *r, bool proved)
{
    if (r->o.primary)
        return proved || r->admitting;
    bool session = r->stage == REPL_FOLLOWING && r->committed >= r->goal;
    return !disowned(r) && !r->o.suspect && r->hard.complete && (proved || session);
}
