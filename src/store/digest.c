/* The hash of one record. */
#include "store/digest.h"

#include "base/hash.h"
#include "store/bytes.h"

uint64_t digest_record(uint32_t collection, const struct store_record *r)
{
    char head[20];
    u32_write(head, collection);
    u64_write(head + 4, r->id);
    u64_write(head + 12, r->seq);
    return hash64(hash64(0, head, sizeof head), r->text.at, r->text.bytes);
}
