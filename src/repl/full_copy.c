/* What both sides of a full copy decide of it. */
#include "repl/full_copy.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "repl/cursor.h"
#include "repl/inside.h"

/* Behind what local storage can be there is a seal only. */
static const uint64_t copy_bytes_max = STORE_MAP_BYTES + 4096;

static bool same_point(const struct peer_point *a, const struct peer_point *b)
{
    return a->index == b->index && a->epoch == b->epoch && a->chain == b->chain;
}

/* Who has none yet belongs to any. */
static bool foreign(const unsigned char *mine, const unsigned char *other)
{
    return !repl_no_id(mine) && !repl_same_id(mine, other);
}

bool full_copy_whole(const struct full_copy *c)
{
    return c->at.index != 0 && c->got == c->bytes;
}

enum peer_refusal full_copy_offer(const struct repl *r, const struct peer_copy_ask *ask,
                                  const struct peer_point *at, uint64_t bytes,
                                  struct peer_copy_head *head, const char **why)
{
    *why = NULL;
    if (!r->o.primary) {
        *why = "this server is itself a backup";
        return REFUSE_NOT_PRIMARY;
    }
    if (ask->group != r->o.group || foreign(ask->cluster, r->hard.cluster)) {
        *why = "the one that asks for a copy belongs to another cluster";
        return REFUSE_CLUSTER;
    }
    if (at->index == 0) {
        *why = "there is no checkpoint yet: one is made";
        return REFUSE_OTHER;
    }
    *head = (struct peer_copy_head){.at = *at, .bytes = bytes, .seal = head->seal};
    memcpy(head->cluster, r->hard.cluster, PEER_ID_BYTES);
    bool same = (same_point(&ask->have, at) && ask->seal == head->seal) ||
                (!RULE(S13) && ask->have.index != 0);
    if (same && ask->offset <= bytes)
        head->offset = ask->offset; /* it goes on where it was cut off */
    return REFUSE_OTHER;
}

void full_copy_ask(const struct repl *r, struct full_copy *c, struct peer_copy_ask *ask)
{
    c->open = false;
    *ask = (struct peer_copy_ask){.group = r->o.group, .server = r->o.self};
    memcpy(ask->cluster, r->hard.cluster, PEER_ID_BYTES);
    ask->have = c->at;
    ask->seal = c->seal;
    ask->offset = c->got;
}

const char *full_copy_begin(struct full_copy *c, const struct repl *r,
                            const struct peer_copy_head *head)
{
    bool same = same_point(&head->at, &c->at) && head->bytes == c->bytes && head->seal == c->seal &&
                repl_same_id(head->cluster, c->cluster);
    bool goes_on = same || !RULE(S13);
    if (c->open)
        return "it began a copy within a copy";
    if (foreign(r->hard.cluster, head->cluster))
        return "it belongs to another cluster";
    if (head->offset != 0 && (!goes_on || head->offset != c->got))
        return "it goes on with a copy that was not begun";
    if (head->at.index == 0 || head->bytes == 0 || head->bytes > copy_bytes_max ||
        head->offset > head->bytes)
        return "it sent what is no copy";
    if (RULE(S13) && head->at.index < r->committed && !r->o.suspect)
        return "its copy is older than what is committed here";
    *c = (struct full_copy){.at = head->at,
                            .bytes = head->bytes,
                            .got = head->offset,
                            .seal = head->seal,
                            .open = true};
    memcpy(c->cluster, head->cluster, PEER_ID_BYTES);
    return NULL;
}

const char *full_copy_take(struct full_copy *c, const struct peer_copy_chunk *chunk)
{
    if (!c->open || chunk->bytes.bytes == 0 || chunk->offset != c->got ||
        chunk->bytes.bytes > c->bytes - c->got)
        return "it sent a piece of a copy that does not follow";
    c->got += chunk->bytes.bytes;
    return NULL;
}

bool full_copy_good(const struct full_copy *c, int rc, const struct peer_point *is)
{
    return !RULE(S13) || (rc == 0 && same_point(is, &c->at));
}

void full_copy_encode(const struct full_copy *c, char to[FULL_COPY_BYTES])
{
    const uint64_t numbers[] = {c->at.epoch, c->at.index, c->at.chain, c->bytes, c->seal, c->got};
    memcpy(to, c->cluster, PEER_ID_BYTES);
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        put_u64(to + PEER_ID_BYTES + i * 8, numbers[i]);
}

int full_copy_decode(struct span from, struct full_copy *c)
{
    struct cursor in = {.rest = from};
    struct span cluster = take(&in, PEER_ID_BYTES);
    memset(c, 0, sizeof *c);
    if (cluster.bytes != 0)
        memcpy(c->cluster, cluster.at, PEER_ID_BYTES);
    c->at.epoch = take_u64(&in);
    c->at.index = take_u64(&in);
    c->at.chain = take_u64(&in);
    c->bytes = take_u64(&in);
    c->seal = take_u64(&in);
    c->got = take_u64(&in);
    bool possible =
        c->at.index != 0 && c->bytes != 0 && c->bytes <= copy_bytes_max && c->got <= c->bytes;
    return taken_whole(&in) && possible ? 0 : ERR_CORRUPT;
}
