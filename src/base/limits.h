/* Every fixed bound of the server in one list, with its unit. What an operator may change is in
 * settings.h instead. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define KIB (1024UL)
#define MIB (1024UL * KIB)
#define GIB (1024UL * MIB)

enum {
    /* words that clients choose */
    COLLECTION_NAME_BYTES_MAX = 63,
    KEY_BYTES_MIN = 8,
    KEY_BYTES_MAX = 64,
    RID_BYTES_MAX = 64,
    CONDITION_TAGS_MAX = 16, /* entity tags in one If-Match or If-None-Match */
    WAIT_MS_MAX = 60 * 1000, /* Noted-Wait-Ms */
    WAIT_MS_DEFAULT = 1000,
    DETAIL_BYTES_MAX = 240, /* the sentence of an error */
    APP_NAME_BYTES_MAX = 63,

    /* one connection */
    IN_FLIGHT_REQUESTS_MAX = 1024,
    IN_FLIGHT_BYTES_MAX = 1024 * 1024,
    OUTPUT_PAUSE_BYTES = 1024 * 1024,      /* unsent output past which a connection is not read */
    LIST_SNAPSHOT_BYTES_MAX = 1024 * 1024, /* a list up to here comes from one read transaction */
    LIST_PIECE_BYTES = 64 * 1024,          /* later pieces of a longer one */
    BODY_SLACK_BYTES =
        64 * 1024, /* white space and id that a body may have beyond the record limit */
    LINGER_MS = 2000,
    LINGER_BYTES_MAX = 8 * 1024 * 1024,

    /* UDP */
    DATAGRAM_ANSWER_BYTES_MAX = 1200,
    DATAGRAM_BYTES_MAX = 64 * 1024,
    DATAGRAM_BATCH = 32,
    DATAGRAMS_WAITING_MAX = 256, /* held for a min_seq, per front-end thread */

    /* from a front-end thread to the order thread */
    BATCH_WRITES_MAX = 128,
    BATCH_BYTES_MAX = 256 * 1024, /* a batch is closed once its payloads pass this */
    FRONT_BATCHES_MAX = 64,       /* batches under way per front-end thread */
    FRONT_ANSWER_BYTES_MAX =
        64 * 1024 * 1024, /* payloads and expected answers under way, per thread */
    BATCH_SURPLUS_BYTES_MAX =
        4 * 1024 * 1024, /* answers of a batch beyond what was expected, before it is too much */
    OUTPUT_ALL_BYTES_MAX = 64 * 1024 * 1024, /* unsent output of all clients, per thread */
    INPUT_ALL_BYTES_MAX = 64 * 1024 * 1024,  /* requests that have not come whole, per thread */
    TURN_BYTES_MAX = 1024 * 1024, /* long answers that one turn of a front-end thread begins */
    EVENT_STREAMS_MAX = 64,       /* per front-end thread */
    WRITE_FATE_MS = 10 * 1000,    /* a write without an answer for so long: outcome_unknown */

    /* First byte of every message between servers; not ASCII, so that it is told from HTTP and
       JSON. */
    PEER_FIRST_BYTE = 0xd5,

    RECORD_BYTES_HIGHEST = 3 * 1024 * 1024, /* that --record-bytes-max can be on any server */

    PATCH_WORK_BYTES_MAX = 16 * 1024 * 1024, /* that one JSON Patch may look at or move */

    /* one entry */
    ENTRY_BYTES_MAX = 4 * 1024 * 1024, /* or one record */
    ENTRY_WRITES_MAX = 1024,
    ENTRY_PATCH_WORK_MAX = 8 * 1024 * 1024, /* beyond it what else is to do has its turn first */
    KEYS_EXPIRED_PER_ENTRY_MAX = 1024,

    THREADS_MAX = 64,
};

#define ID_MAX          ((uint64_t)INT64_MAX)
#define STORE_MAP_BYTES (256 * GIB) /* address space of the local storage, reserved once */

#endif
