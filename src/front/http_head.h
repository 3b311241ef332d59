/*
 * The head of an HTTP/1.1 request (RFC 9110, RFC 9112): bytes in, fields out. Never reads a socket,
 * keeps nothing between calls. Parsing proper is http-parser's; a raw pass before it refuses what
 * that library lets through. Also the decoder of chunked bodies. What a request means is unknown
 * here.
 */
#ifndef FRONT_HTTP_HEAD_H
#define FRONT_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "record/request.h"

struct http_head {
    enum method method;
    uint8_t minor;   /* HTTP/1.minor: 0 or 1 */
    bool keep_alive; /* as version and Connection say */
    bool chunked;
    bool has_length;
    bool expect_continue;
    uint64_t body_bytes; /* Content-Length; 0 without */
    struct span target; /* as sent: path and query; "*" only with OPTIONS; of an absolute target the
                           part from the path on ("/" where empty), and `host` is then the target's
                           (RFC 9112 section 3.2.2) */
    /* Values without white space around them; at == NULL where the field is absent. Fields that may
     * be repeated (Accept, If-Match, If-None-Match) are refused here when they are: nobody sends
     * them so. */
    struct span host, content_type, accept, if_match, if_none_match, idempotency_key, noted_min_seq,
        noted_wait_ms, origin, last_event_id;
};

/*
 * Parses the head at the start of `input`. Up to 8 empty lines (CRLF) before the request line are
 * skipped. `scanned` (in and out, 0 at first): bytes already searched for the head's end, so that a
 * head that comes byte by byte is searched once. Returns
 *
 *   > 0: the head's bytes, the empty line included; spans point into `input`
 *   0: need more
 *   ERR_BAD_REQUEST: also bare LF or CR, folded header, space before a colon, doubled space in the
 *     request line, control bytes (HTAB is none), a URL with '#', with bytes that must be
 *     percent-encoded or of another form than /..., http(s)://host/... and *, no Host in 1.1,
 *     several or a malformed one, any field of struct http_head twice, Content-Length twice or with
 *     Transfer-Encoding, a length that is no number or overflows, Transfer-Encoding in 1.0 or where
 *     chunked is not its last coding or comes twice
 *   ERR_BAD_VERSION: an HTTP version other than 1.0 and 1.1
 *   ERR_HEAD_TOO_LARGE: no end within head_bytes_max (80 KiB where that is more: the library's own
 *     limit)
 *   ERR_URI_TOO_LONG: target longer than uri_bytes_max, found as soon as it is
 *   ERR_NOT_IMPLEMENTED: CONNECT, a method of over 32 bytes, chunked over gzip and the like
 *
 * `why` gets a phrase in static memory on failure, else NULL. `out` is always initialised; after an
 * error `method` is right where it could be told (so that an answer to HEAD has no body), else
 * METHOD_OTHER. Where the input goes on after an error is not known: the connection must be closed.
 */
long http_head_parse(struct span input, size_t head_bytes_max, size_t uri_bytes_max,
                     size_t *scanned, struct http_head *out, const char **why);

/*
 * The chunked coding (RFC 9112 section 7.1), fed piece by piece. Zero is the start of a body.
 * Decodes from `input` into `to` (room for input.bytes; it may be input.at), sets *decoded. Returns
 * the bytes of input consumed: all of them until `done` is set, then those up to the end of the
 * body (trailers are read and dropped; they, chunk extensions and leading zeros of sizes count
 * against 16 KiB together); ERR_BAD_REQUEST on bad framing (also a bare LF, a size that overflows),
 * and from then on.
 */
struct http_chunks {
    uint64_t left;  /* of the chunk being read */
    uint32_t aside; /* bytes of extensions, trailers and leading zeros so far */
    uint8_t state;
    bool done;
};
long http_chunks_decode(struct http_chunks *c, struct span input, char *to, size_t *decoded);

#endif
