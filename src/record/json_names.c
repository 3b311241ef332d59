/* The names of JSON objects and their hash. Knows names only, not what they name. */
#include "record/json_names.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/hash.h"
#include "record/json.h"

enum { FIRST_NAMES = 64, FIRST_SLOTS = 128 };

void names_finish(struct names *n)
{
    free(n->at);
    free(n->slots);
    buf_finish(&n->decoded);
    buf_finish(&n->lent);
    *n = (struct names){.seed = n->seed};
}

void names_trim(struct names *n, size_t keep_bytes)
{
    if (n->size * sizeof *n->at + n->slots_size * sizeof *n->slots + n->decoded.size +
            n->lent.size >
        keep_bytes)
        names_finish(n);
}

int names_grow(struct names *n)
{
    if (n->size > UINT32_MAX / 2)
        return ERR_NO_MEMORY;
    uint32_t size = n->size == 0 ? FIRST_NAMES : n->size * 2;
    struct name *at = realloc(n->at, size * sizeof *at);
    if (at == NULL)
        return ERR_NO_MEMORY;
    n->at = at;
    n->size = size;
    return 0;
}

static void enter(struct names *n, uint32_t index)
{
    uint32_t *slot = &n->slots[n->at[index].hash & (n->slots_size - 1)];
    n->at[index].next = *slot;
    *slot = index;
}

/* As many slots as names, so that a look-up meets few others. */
static int grow_slots(struct names *n)
{
    if (n->slots_size > UINT32_MAX / 2)
        return ERR_NO_MEMORY;
    uint32_t size = n->slots_size == 0 ? FIRST_SLOTS : n->slots_size;
    while (size < n->count)
        size *= 2;
    uint32_t *slots = malloc(size * sizeof *slots);
    if (slots == NULL)
        return ERR_NO_MEMORY;
    free(n->slots);
    n->slots = slots;
    n->slots_size = size;
    memset(slots, 0xff, size * sizeof *slots); /* NAMES_NONE */
    for (uint32_t i = 0; i < n->count; i++)
        if (n->at[i].hashed)
            enter(n, i);
    return 0;
}

static int hash_name(struct names *n, uint32_t index, uint32_t owner, uint32_t hash)
{
    if (n->count > n->slots_size) {
        int err = grow_slots(n);
        if (err != 0)
            return err;
    }
    struct name *name = &n->at[index];
    name->owner = owner;
    name->hash = hash;
    name->hashed = true;
    enter(n, index);
    return 0;
}

/* The owner is part of the seed: a million objects with one name each must not share a slot. */
static uint32_t hash_of(const struct names *n, uint32_t owner, struct span word)
{
    return (uint32_t)hash64(n->seed + owner, word.at, word.bytes);
}

int names_hash_from(struct names *n, uint32_t first, uint32_t owner)
{
    for (uint32_t i = first; i < n->count; i++) {
        int err = hash_name(n, i, owner, hash_of(n, owner, n->at[i].raw));
        if (err != 0)
            return err;
    }
    return 0;
}

/* What `raw` reads: itself, or decoded. */
static int read_name(struct names *n, struct span raw, struct span *word)
{
    *word = raw;
    if (raw.bytes == 0 || memchr(raw.at, '\\', raw.bytes) == NULL)
        return 0;
    buf_reset(&n->decoded, SIZE_MAX);
    char *to = buf_room(&n->decoded, raw.bytes);
    if (to == NULL)
        return ERR_NO_MEMORY;
    *word = span(to, json_string_decode(raw, to));
    return 0;
}

static uint32_t look_up(const struct names *n, uint32_t owner, struct span word, uint32_t hash)
{
    if (n->slots_size == 0)
        return NAMES_NONE;
    uint32_t i = n->slots[hash & (n->slots_size - 1)];
    while (i != NAMES_NONE && !(n->at[i].hash == hash && n->at[i].owner == owner &&
                                json_string_is(n->at[i].raw, word)))
        i = n->at[i].next;
    return i;
}

int names_find(struct names *n, uint32_t owner, struct span raw, uint32_t *index)
{
    struct span word;
    int err = read_name(n, raw, &word);
    if (err == 0)
        *index = look_up(n, owner, word, hash_of(n, owner, word));
    return err;
}

int names_find_or_push(struct names *n, uint32_t owner, struct span raw, uint32_t *index)
{
    struct span word;
    int err = read_name(n, raw, &word);
    if (err != 0)
        return err;
    uint32_t hash = hash_of(n, owner, word);
    *index = look_up(n, owner, word, hash);
    if (*index != NAMES_NONE)
        return 0;
    err = names_push(n, raw);
    return err != 0 ? err : hash_name(n, n->count - 1, owner, hash);
}

void names_pop(struct names *n, uint32_t count)
{
    while (n->count > count) {
        const struct name *name = &n->at[--n->count];
        if (name->hashed) /* the latest of its slot, since the last come go first */
            n->slots[name->hash & (n->slots_size - 1)] = name->next;
    }
}
