/* The one list of errors: code, HTTP status, word and sentence. Knows nothing of who raises them.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * Functions return 0 or one of these, which are all negative. The first part is the contract's
 * list: what a client can be told. The last part stays inside the process; should one of them reach
 * a client after all, it reads "internal".
 */
#define ERR_LIST(X)                                                                                \
    X(BAD_REQUEST, 400, "bad_request", "the request cannot be understood")                         \
    X(BAD_JSON, 400, "bad_json", "the body is not JSON")                                           \
    X(NOT_OBJECT, 400, "not_object", "the body must be a JSON object")                             \
    X(ID_NOT_ALLOWED, 400, "id_not_allowed", "a new record gets its id from the server")           \
    X(BAD_ID, 400, "bad_id", "an id is a whole number from 1, without leading zeros")              \
    X(BAD_KEY, 400, "bad_key", "a key has 8 to 64 bytes and no control characters")                \
    X(KEY_REQUIRED, 400, "key_required", "a write over UDP must carry a key")                      \
    X(BAD_PARAMETER, 400, "bad_parameter", "a parameter is unknown or has an impossible value")    \
    X(FOREIGN_ORIGIN, 403, "foreign_origin", "a page of another host may not write here")          \
    X(NOT_FOUND, 404, "not_found", "there is nothing at this path")                                \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "this path does not answer this method")      \
    X(REQUEST_TIMEOUT, 408, "request_timeout", "the request took too long to arrive")              \
    X(ID_MISMATCH, 409, "id_mismatch", "the id in the body is not the id in the path")             \
    X(LENGTH_REQUIRED, 411, "length_required", "a write needs a body with a known length")         \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "the record is not the one asked for")      \
    X(TOO_LARGE, 413, "too_large", "this is larger than the limit")                                \
    X(USE_TCP, 413, "use_tcp", "the answer does not fit a datagram: ask over TCP or HTTP")         \
    X(URI_TOO_LONG, 414, "uri_too_long", "the URL is longer than the limit")                       \
    X(UNSUPPORTED_TYPE, 415, "unsupported_type", "send JSON, as curl --json does")                 \
    X(KEY_REUSED, 422, "key_reused", "this key was used for another write")                        \
    X(HEAD_TOO_LARGE, 431, "head_too_large", "the request head is larger than the limit")          \
    X(INTERNAL, 500, "internal", "the server failed; its trace says how")                          \
    X(NOT_IMPLEMENTED, 501, "not_implemented", "the server does not do this")                      \
    X(BUSY, 503, "busy", "too much is under way: try again")                                       \
    X(LAGGING, 503, "lagging", "the local storage has not reached the position asked for")         \
    X(NOT_READY, 503, "not_ready", "the server is not ready")                                      \
    X(NOT_IN_SYNC, 503, "not_in_sync", "this backup is not in sync")                               \
    X(NO_PRIMARY, 503, "no_primary", "the primary cannot be reached")                              \
    X(WAITING_FOR_MEMBERS, 503, "waiting_for_members", "members of the in-sync set are missing")   \
    X(TOO_FEW_COPIES, 503, "too_few_copies", "fewer servers are in sync than --min-copies")        \
    X(OUTCOME_UNKNOWN, 503, "outcome_unknown",                                                     \
      "the write may have happened: repeat it with its key")                                       \
    X(BAD_VERSION, 505, "bad_version", "only HTTP/1.0 and HTTP/1.1 are spoken here")               \
    X(DISK_FULL, 507, "disk_full", "the disk is too full to take writes; reads go on")             \
    /* inside only */                                                                              \
    X(NO_MEMORY, 500, "internal", "out of memory")                                                 \
    X(IO, 500, "internal", "the disk failed")                                                      \
    X(CORRUPT, 500, "internal", "stored data is damaged")                                          \
    X(NEWER, 500, "internal", "stored data was written by a newer version")                        \
    X(LOCKED, 500, "internal", "another process holds this")                                       \
    X(SYSTEM, 500, "internal", "a system call failed")                                             \
    X(USAGE, 500, "internal", "bad usage")

enum err_order {
    ERR_FIRST_ = 0,
#define X(name, status, word, sentence) ERR_ORDER_##name,
    ERR_LIST(X)
#undef X
        ERR_COUNT_
};

enum err {
    ERR_OK = 0,
#define X(name, status, word, sentence) ERR_##name = -ERR_ORDER_##name,
    ERR_LIST(X)
#undef X
};

struct err_info {
    int status;           /* HTTP status */
    const char *word;     /* the contract's code */
    const char *sentence; /* the detail where nothing better is known */
};

/* The row of a code; an unknown code (or 0) gets INTERNAL's. Never NULL. */
const struct err_info *err_info(int code);

#endif
