/* CRC32C, the checksum of RFC 3720 section 12.1 (Castagnoli's polynomial), by the processor's
 * instruction where it has one. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what came before (`crc`, 0 at the beginning) and these bytes. */
uint32_t crc32c(uint32_t crc, const void *from, size_t bytes);

/* The same by table, for any processor; what crc32c falls back to. */
uint32_t crc32c_by_table(uint32_t crc, const void *from, size_t bytes);

#endif
