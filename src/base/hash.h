/* Fast hashes of bytes (XXH3, xxhash): for tables, digests, chains and fingerprints. Not against
 * forgers. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(uint64_t seed, const void *bytes, size_t count);
void hash128(const void *bytes, size_t count, uint64_t hash[2]);

#endif
