/* The frame: head, payload, zeros up to the block. Knows only bytes. */
#include "log/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"

enum {
    AT_CRC = 4, /* over all behind it, to the end of the payload */
    AT_SERIAL = 8,
    AT_BYTES = 16,
    AT_ENTRIES = 20,
    AT_FIRST_INDEX = 24,
    AT_COMMIT = 32,
    AT_CHAIN = 40,
};
static const char magic[AT_CRC] = "frme";

uint64_t frame_bytes(size_t payload_bytes)
{
    uint64_t bytes = (uint64_t)payload_bytes + FRAME_HEAD_BYTES + DISK_BLOCK_BYTES - 1;
    return bytes - bytes % DISK_BLOCK_BYTES;
}

static uint32_t checksum(const char *at, size_t payload_bytes)
{
    return crc32c(0, at + AT_SERIAL, FRAME_HEAD_BYTES - AT_SERIAL + payload_bytes);
}

void frame_seal(char *at, uint64_t serial, const struct log_position *p, size_t payload_bytes)
{
    size_t used = FRAME_HEAD_BYTES + payload_bytes;
    memset(at + used, 0, (size_t)frame_bytes(payload_bytes) - used);
    memcpy(at, magic, sizeof magic);
    put_u64(at + AT_SERIAL, serial);
    put_u32(at + AT_BYTES, (uint32_t)payload_bytes);
    put_u32(at + AT_ENTRIES, p->entries);
    put_u64(at + AT_FIRST_INDEX, p->first_index);
    put_u64(at + AT_COMMIT, p->commit);
    put_u64(at + AT_CHAIN, p->chain);
    put_u32(at + AT_CRC, checksum(at, payload_bytes));
}

bool frame_begins(const char *block, uint64_t serial)
{
    return memcmp(block, magic, sizeof magic) == 0 && get_u64(block + AT_SERIAL) == serial;
}

bool frame_read(const char *at, uint64_t left, uint64_t serial, struct frame *f)
{
    if (left < DISK_BLOCK_BYTES || !frame_begins(at, serial))
        return false;
    size_t payload_bytes = get_u32(at + AT_BYTES);
    f->bytes = frame_bytes(payload_bytes);
    if (f->bytes > left || checksum(at, payload_bytes) != get_u32(at + AT_CRC))
        return false;
    f->payload = span(at + FRAME_HEAD_BYTES, payload_bytes);
    f->position = (struct log_position){
        .first_index = get_u64(at + AT_FIRST_INDEX),
        .entries = get_u32(at + AT_ENTRIES),
        .chain = get_u64(at + AT_CHAIN),
        .commit = get_u64(at + AT_COMMIT),
    };
    return true;
}
