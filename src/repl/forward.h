/*
 * Writes on their way from a backup to the primary, and what became of them on the way back:
 * batches (record/write.h) as bytes. Pure functions; the primary judges what comes as it judges a
 * client's.
 *
 * A write: method (1), media (1), bytes of the collection's name (1), of the key (1), of the
 * payload (4), id (8), If-Match and If-None-Match: each kind (1), number of tags (1), tags (8
 * each); then name, key, payload. An answer: code as the place in the list of errors (2), flags (1:
 * has_seq), zero (1), bytes of the body (4), seq (8), id (8), copies (4); then the body. So another
 * order in the list of errors is another PEER_VERSION.
 */
#ifndef REPL_FORWARD_H
#define REPL_FORWARD_H

#include "base/buf.h"
#include "base/span.h"
#include "record/json.h"
#include "record/write.h"

/* Appends all writes of a batch. They are as write_ask left them: without "id", compact. */
void forward_encode(struct buf *to, const struct write_batch *b);

/*
 * Sets up `count` writes in an empty batch through write_ask, so that nothing is taken on trust:
 * payloads are scanned, names and keys judged. 0; ERR_BAD_REQUEST: the bytes are no writes, or a
 * write is one that no server forwards (the batch is then of no use); ERR_NO_MEMORY.
 * Each write's `target` is set ("/notes", "/notes/7").
 */
int forward_decode(struct span from, uint32_t count, struct json *json, size_t record_bytes_max,
                   struct write_batch *b);

/* Appends what became of the writes of a batch. */
void answers_encode(struct buf *to, const struct write_batch *b);

/* Fills the answered part of all writes of a batch, in their order. 0; ERR_BAD_REQUEST: not the
 * answers of this batch (the batch may be half filled); ERR_NO_MEMORY. */
int answers_decode(struct span from, uint32_t count, struct write_batch *b);

#endif
