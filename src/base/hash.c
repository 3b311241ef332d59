/* XXH3 behind our own names. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(uint64_t seed, const void *bytes, size_t count)
{
    return XXH3_64bits_withSeed(bytes, count, seed);
}

void hash128(const void *bytes, size_t count, uint64_t hash[2])
{
    XXH128_hash_t h = XXH3_128bits(bytes, count);
    hash[0] = h.low64;
    hash[1] = h.high64;
}
