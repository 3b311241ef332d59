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

static uint32_t checksum(const char *head, struct span payload)
{
    uint32_t crc = crc32c(0, head + AT_SERIAL, FRAME_HEAD_BYTES - AT_SERIAL);
    return crc32c(crc, payload.at, payload.bytes);
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
    put_u32(at + AT_CRC, checksum(at, span(at + FRAME_HEAD_BYTES, payload_bytes)));
}

bool frame_begins(const char *block, uint64_t serial)
{
    return memcmp(block, magic, sizeof magic) == 0 && get_u64(block + AT_SERIAL) == serial;
}

bool frame_peek(const char *head, uint64_t left, uint64_t serial, struct frame *f)
{
    if (left < DISK_BLOCK_BYTES || !frame_begins(head, serial))
        return false;
    f->payload = span(head + FRAME_HEAD_BYTES, get_u32(head + AT_BYTES));
    f->bytes = frame_bytes(f->payload.bytes);
    f->position = (struct log_position){
        .first_index = get_u64(head + AT_FIRST_INDEX),
        .entries = get_u32(head + AT_ENTRIES),
        .chain = get_u64(head + AT_CHAIN),
        .commit = get_u64(head + AT_COMMIT),
    };
    return f->bytes <= left;
}

bool frame_whole(const char *head, struct span payload)
{
    return checksum(head, payload) == get_u32(head + AT_CRC);
}

bool frame_read(const char *at, uint64_t left, uint64_t serial, struct frame *f)
{
    return frame_peek(at, left, serial, f) && frame_whole(at, f->payload);
}
