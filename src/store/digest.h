/* The hash of one record, whose sum over all records is the store's digest. Knows no tables. */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include <stdint.h>

#include "store/store.h"

/*
 * XXH3 (64 bits) of the text, seeded with XXH3 of collection number, id and seq as big-endian
 * bytes. Servers compare sums of it, so it is part of the peers' format: never change it without a
 * new version of that.
 */
uint64_t digest_record(uint32_t collection, const struct store_record *r);

#endif
