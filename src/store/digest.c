/* The hash of one record. */
#include "store/digest.h"

#include "base/bytes.h"
#include "base/hash.h"

uint64_t digest_record(uint32_t collection, const struct store_record *r)
{
    char head[20];
    put_u32_be(head, collection);
    put_u64_be(head + 4, r->id);
    put_u64_be(head + 12, r->seq);
    return hash64(hash64(0, head, sizeof head), r->text.at, r->text.bytes);
}
