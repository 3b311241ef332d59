/* From the head of JSON over TCP or UDP to a request. Knows nothing of sockets. */
#include "base/err.h"
#include "front/inside.h"

/* The text between the quotes, decoded; it stays where it is when there is nothing to decode. */
static struct span decoded(struct front *f, struct span string)
{
    struct span raw = span(string.at + 1, string.bytes - 2);
    if (raw.bytes == 0 || memchr(raw.at, '\\', raw.bytes) == NULL)
        return raw;
    char *to =
        f->decoded.at + f->decoded.bytes; /* the head's bytes were reserved, so this one's fit */
    size_t bytes = json_string_decode(raw, to);
    f->decoded.bytes += bytes;
    return span(to, bytes);
}

struct heading { /* what is being made of one head */
    struct front *f;
    struct request *rq;
    bool has_method, has_pattern;
    const char *detail;
};

static int fault(struct heading *h, int code, const char *detail)
{
    h->detail = detail;
    return code;
}

static int text_member(struct heading *h, struct span value, struct span *text)
{
    if (json_type_of(value) != JSON_STRING)
        return fault(h, ERR_BAD_REQUEST, "this member of the head takes a string");
    *text = decoded(h->f, value);
    return 0;
}

static int number_member(struct heading *h, struct span value, uint64_t *number)
{
    return u64_parse(value, number)
               ? 0
               : fault(h, ERR_BAD_PARAMETER, "min_seq and wait_ms take whole numbers");
}

static int match_member(struct heading *h, struct span value)
{
    struct span text = value; /* a bare number is good, too */
    int code = json_type_of(value) == JSON_STRING ? text_member(h, value, &text) : 0;
    if (code == 0 && condition_parse(text, false, &h->rq->conditions.match) != 0)
        code = fault(h, ERR_BAD_REQUEST, "if_match takes \"*\" or up to 16 entity tags");
    return code;
}

static int member(struct heading *h, const struct json_member *m)
{
    struct request *rq = h->rq;
    struct span text = {0};
    uint64_t number = 0;
    int code;
    if (json_string_is(m->name, span_of("method"))) {
        code = text_member(h, m->value, &text);
        rq->method = code == 0 ? method_of(text) : METHOD_OTHER;
        h->has_method = code == 0;
    } else if (json_string_is(m->name, span_of("pattern"))) {
        code = text_member(h, m->value, &rq->target);
        h->has_pattern = code == 0;
    } else if (json_string_is(m->name, span_of("body"))) {
        rq->payload = m->value;
        rq->has_payload = rq->payload_judged = true;
        code = 0;
    } else if (json_string_is(m->name, span_of("rid"))) {
        code = text_member(h, m->value, &text);
        if (code == 0 && text.bytes > RID_BYTES_MAX)
            return fault(h, ERR_BAD_REQUEST, "a rid has at most 64 bytes");
        rq->rid = text;
    } else if (json_string_is(m->name, span_of("key"))) {
        code = text_member(h, m->value, &rq->key);
        if (code == 0)
            code = key_check(rq->key);
    } else if (json_string_is(m->name, span_of("min_seq"))) {
        code = number_member(h, m->value, &rq->min_seq);
    } else if (json_string_is(m->name, span_of("wait_ms"))) {
        code = number_member(h, m->value, &number);
        rq->wait_ms = (uint32_t)(number < WAIT_MS_MAX ? number : WAIT_MS_MAX);
    } else if (json_string_is(m->name, span_of("if_match"))) {
        code = match_member(h, m->value);
    } else if (json_string_is(m->name, span_of("type"))) {
        code = text_member(h, m->value, &text);
        rq->media = media_of(text);
    } else {
        code = fault(
            h, ERR_BAD_REQUEST,
            "a head has method, pattern, body, rid, key, min_seq, wait_ms, if_match and type only");
    }
    return code;
}

int json_request(struct front *f, struct span head, struct request *rq, const char **detail)
{
    const struct settings *set = f->o.settings;
    struct heading h = {.f = f, .rq = rq};
    struct json_member m;
    int code = 0;
    request_init(rq);
    rq->method = METHOD_OTHER;
    buf_reset(&f->decoded, BATCH_BYTES_MAX);
    if (buf_room(&f->decoded, head.bytes) == NULL)
        code = ERR_NO_MEMORY;
    /* After a fault the rest is read on: the method says whether a payload follows, the rid marks
     * the answer. */
    for (struct json_walk walk = json_walk(head); code != ERR_NO_MEMORY && json_next(&walk, &m);) {
        int fresh = member(&h, &m);
        code = code != 0 ? code : fresh;
    }
    *detail = h.detail;
    if (code == 0 && (!h.has_method || !h.has_pattern)) {
        *detail = "a head needs method and pattern";
        code = ERR_BAD_REQUEST;
    }
    if (code == 0 && (rq->method == METHOD_HEAD || rq->method == METHOD_OPTIONS)) {
        *detail = "HEAD and OPTIONS are for HTTP";
        code = ERR_NOT_IMPLEMENTED;
    }
    if (code == 0 && head.bytes - rq->payload.bytes > set->head_bytes_max)
        code = ERR_HEAD_TOO_LARGE;
    return code == 0 && rq->target.bytes > set->uri_bytes_max ? ERR_URI_TOO_LONG : code;
}
