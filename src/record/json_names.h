/*
 * The names of JSON objects that are being looked at, and a seeded hash to find them by: for the
 * scanner (open objects) and the merge (the whole patch). Knows names only, not what they name.
 *
 * Names are kept in the order in which they came and forgotten last first. The text that they point
 * into must live as long as they are here.
 */
#ifndef RECORD_JSON_NAMES_H
#define RECORD_JSON_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

#define NAMES_NONE UINT32_MAX

struct name {
    struct span raw; /* between the quotes, escapes as sent */
    uint32_t owner;  /* of a hashed name: the object that it belongs to */
    uint32_t hash;   /* of a hashed name: of what it reads */
    uint32_t next;   /* of a hashed name: an earlier one in the same slot, or NAMES_NONE */
    bool hashed;
};

struct names {
    uint64_t seed;
    struct name *at;
    uint32_t count, size;
    uint32_t *slots; /* a power of two of them, each the latest name with this hash */
    uint32_t slots_size;
    struct buf decoded; /* what a name with escapes reads */
    struct buf lent;    /* memory for who uses the names */
};

struct json;
struct names *json_names(struct json *j); /* the names of a scratch; empty between calls */

void names_finish(struct names *n);
void names_trim(struct names *n, size_t keep_bytes); /* only while empty */

int names_grow(struct names *n); /* room for more; ERR_NO_MEMORY */

/* A name that is not hashed; ERR_NO_MEMORY. */
static inline int names_push(struct names *n, struct span raw)
{
    int err = n->count == n->size ? names_grow(n) : 0;
    if (err == 0) {
        struct name *name = &n->at[n->count++];
        name->raw = raw;
        name->hashed = false;
    }
    return err;
}

/* Hashes the names from `first` on, which are not yet and hold no escapes; ERR_NO_MEMORY. */
int names_hash_from(struct names *n, uint32_t first, uint32_t owner);

/* Looks for a hashed name of `owner` that reads like `raw`: *index is it or NAMES_NONE;
 * ERR_NO_MEMORY. */
int names_find(struct names *n, uint32_t owner, struct span raw, uint32_t *index);

/* The same; and where there is none, pushes it, hashed. */
int names_find_or_push(struct names *n, uint32_t owner, struct span raw, uint32_t *index);

void names_pop(struct names *n, uint32_t count); /* until `count` are left */

#endif
