/*
 * A request and its answer, free of transport: what the three protocols are translated to and from.
 * Knows nothing of sockets, and nothing of how a write becomes durable.
 */
#ifndef RECORD_REQUEST_H
#define RECORD_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_OTHER, /* a word that is none of these */
};

const char *method_word(enum method m);   /* "GET" …; "?" for METHOD_OTHER */
enum method method_of(struct span word);  /* case counts, as in RFC 9110 */
bool method_takes_payload(enum method m); /* POST, PUT, PATCH */
bool method_writes(enum method m);        /* those and DELETE */

/* What a body is, by its media type. */
enum media { MEDIA_JSON, MEDIA_MERGE_PATCH, MEDIA_JSON_PATCH, MEDIA_OTHER };
enum media media_of(struct span content_type); /* absent (no bytes): MEDIA_JSON */
/* Whether the payload is an array of operations (RFC 6902), and not an object. */
bool payload_is_json_patch(enum method m, enum media media);

/* If-Match or If-None-Match (RFC 9110 section 13.1). An entity tag is the seq of a record's last
 * change; one that cannot be any is kept as 0, which no record has. */
struct condition {
    enum condition_kind { CONDITION_ABSENT, CONDITION_ANY, CONDITION_TAGS } kind;
    unsigned count;
    uint64_t tags[CONDITION_TAGS_MAX];
};
struct conditions {
    struct condition match, none_match;
};

/* Parses a field's value: "*", or entity tags with commas between; digits without quotes are taken
 * as a tag, and between commas there may be nothing. Weak tags count only with `weak`
 * (If-None-Match). ERR_BAD_REQUEST: not of that form, or more than CONDITION_TAGS_MAX. */
int condition_parse(struct span value, bool weak, struct condition *c);

/* 0: go on. ERR_PRECONDITION_FAILED. For a read whose answer would be what the client has:
 * CONDITIONS_NOT_MODIFIED. */
enum { CONDITIONS_NOT_MODIFIED = 1 };
int conditions_check(const struct conditions *c, bool read, uint64_t seq);

struct request {
    enum method method;
    struct span target; /* path and query, as sent */
    struct span rid;    /* decoded */
    struct span key;    /* decoded, without quotes */
    uint64_t min_seq;
    uint32_t wait_ms;
    enum media media;
    bool event_stream;   /* server-sent events are asked for */
    bool short_answer;   /* one of over 1200 bytes would not be given, so it is not made */
    uint64_t last_event; /* the last one that the client has; 0: none */
    bool has_payload;
    bool payload_judged; /* json_scan has accepted it already */
    struct span payload; /* JSON text */
    struct conditions conditions;
};

/* Sets everything to absent; cheaper than zeroing the whole. */
void request_init(struct request *rq);

/* 0, or ERR_BAD_KEY: length, or control characters. */
int key_check(struct span key);

/* Where a request goes. */
struct target {
    enum target_kind {
        TARGET_NOWHERE,
        TARGET_COLLECTION,
        TARGET_RECORD,
        TARGET_BAD_ID,
        TARGET_OWN
    } kind;
    struct span path, query; /* query without its "?" */
    struct span collection;
    uint64_t id;
};
void target_parse(struct span text, struct target *t);

/* The value of a parameter in a query: false where it is not there. Values are not percent-decoded:
 * ours are numbers. */
bool query_get(struct span query, const char *name, struct span *value);
/* Whether every parameter is one of `names` (ended by NULL). */
bool query_only(struct span query, const char *const *names);

enum answer_allow { ALLOW_COLLECTION = 1, ALLOW_RECORD, ALLOW_OWN };

struct answer {
    int code;   /* 0, or the error */
    int status; /* HTTP's number */
    bool has_seq;
    uint64_t seq;
    uint64_t etag;           /* 0: none */
    uint32_t copies;         /* 0: not a write's */
    uint64_t id;             /* of the record written; 0: none */
    struct span location;    /* the collection a record was created in; no bytes: none */
    enum answer_allow allow; /* 0: no Allow */
    bool has_body;
    bool event_stream; /* body is the start of a stream of server-sent events */
    bool metrics;      /* the body is Prometheus's text: over TCP and UDP a JSON string */
    bool octets;       /* the body is no text: it is a copy of local storage */
    struct span body;  /* JSON text */
    char detail[DETAIL_BYTES_MAX]; /* of an error; empty: the code's own sentence */
};

void answer_ok(struct answer *a, int status); /* nothing else in it yet */
/* An error; `format` NULL: the code's own sentence. */
void answer_error(struct answer *a, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
