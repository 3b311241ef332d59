/* Numbers as bytes, little endian, at any alignment: for all that is stored or sent between
 * servers. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void put_u32(void *to, uint32_t v)
{
    v = htole32(v);
    memcpy(to, &v, sizeof v);
}

static inline void put_u64(void *to, uint64_t v)
{
    v = htole64(v);
    memcpy(to, &v, sizeof v);
}

static inline uint32_t get_u32(const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return le32toh(v);
}

static inline uint64_t get_u64(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return le64toh(v);
}

static inline void put_u32_be(void *to, uint32_t v)
{
    v = htobe32(v);
    memcpy(to, &v, sizeof v);
}

static inline void put_u64_be(void *to, uint64_t v)
{
    v = htobe64(v);
    memcpy(to, &v, sizeof v);
}

static inline uint32_t get_u32_be(const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return be32toh(v);
}

static inline uint64_t get_u64_be(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return be64toh(v);
}

#endif
