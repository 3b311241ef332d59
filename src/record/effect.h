/*
 * The effect of one write: what an entry of the log carries, and how it is applied to local
 * storage. Effects are results, not questions (rule S21): applying one cannot fail for a logical
 * reason.
 */
#ifndef RECORD_EFFECT_H
#define RECORD_EFFECT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "store/store.h"

enum effect_kind { EFFECT_PUT = 1, EFFECT_DELETE = 2 };

struct effect {
    enum effect_kind kind;
    uint8_t method; /* enum method of the write, for the answer to a repeat */
    uint64_t id;
    struct span collection;
    struct span text; /* PUT: the whole record */
    struct span key;  /* no bytes: none */
    uint64_t fingerprint[2];
};

/* Appends the encoding: kind, method, bytes of collection and key (1 byte each), bytes of text (4),
 * id (8), with a key its fingerprint (16), then collection, key and text. Little endian. */
void effect_encode(struct buf *to, const struct effect *e);

/* Decodes the effect at the start of `from`: its bytes, or ERR_CORRUPT (also for lengths or ids
 * beyond the limits). Spans point into `from`. */
long effect_decode(struct span from, struct effect *e);

/* Applies it as write number `seq` of an entry with this time: record, id counter and key. The
 * store's errors only. */
int effect_apply(struct store_txn *txn, const struct effect *e, uint64_t seq, uint64_t time_us);

#endif
