/* Answers as HTTP/1.1 (RFC 9112). Knows nothing of connections. */
#include "base/err.h"
#include "front/inside.h"

#define PATCH_TYPES "application/merge-patch+json, application/json-patch+json, application/json"

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Content";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

static char *put(char *to, const char *text, size_t bytes)
{
    memcpy(to, text, bytes);
    return to + bytes;
}
#define PUT(to, text) put(to, text, sizeof(text) - 1)

static char *put_text(char *to, const char *text)
{
    return put(to, text, strlen(text));
}

static char *put_number(char *to, const char *before, uint64_t number, const char *after)
{
    to = put_text(to, before);
    to += u64_digits(number, to);
    return put_text(to, after);
}

static char *put_status(struct front *f, char *to, int status)
{
    if (status == 200)
        to = PUT(to, "HTTP/1.1 200 OK\r\nDate: ");
    else {
        to = put_number(to, "HTTP/1.1 ", (uint64_t)status, " ");
        to = put_text(to, reason(status));
        to = PUT(to, "\r\nDate: ");
    }
    to = put_text(to, front_date(f));
    return PUT(to, "\r\n");
}

static const char *allow_text(enum answer_allow allow)
{
    switch (allow) {
    case ALLOW_COLLECTION:
        return "Allow: GET, HEAD, POST, OPTIONS\r\n";
    case ALLOW_RECORD:
        return "Allow: GET, HEAD, PUT, PATCH, DELETE, OPTIONS\r\n";
    case ALLOW_OWN:
        return "Allow: GET, HEAD, OPTIONS\r\n";
    }
    return "";
}

static char *put_fields(char *to, const struct answer *a)
{
    if (a->etag != 0)
        to = put_number(to, "ETag: \"", a->etag, "\"\r\n");
    if (a->has_seq)
        to = put_number(to, "Noted-Seq: ", a->seq, "\r\n");
    if (a->copies != 0)
        to = put_number(to, "Noted-Copies: ", a->copies, "\r\n");
    if (a->location.bytes != 0) {
        to = PUT(to, "Location: /");
        to = put(to, a->location.at, a->location.bytes);
        to = put_number(to, "/", a->id, "\r\n");
    }
    if (a->allow != 0)
        to = put_text(to, allow_text(a->allow));
    if (a->allow == ALLOW_RECORD || a->code == ERR_UNSUPPORTED_TYPE)
        to = PUT(to, "Accept-Patch: " PATCH_TYPES "\r\n");
    if (a->status == 503)
        to = PUT(to, "Retry-After: 1\r\n");
    return to;
}

static char *put_connection(char *to, struct http_style style)
{
    if (!style.keep_alive)
        return PUT(to, "Connection: close\r\n");
    return style.minor_1 ? to : PUT(to, "Connection: keep-alive\r\n");
}

enum { FIELDS_BYTES_MAX = 768 };

void http_answer(struct front *f, struct buf *out, const struct answer *a, struct http_style style)
{
    struct span body = a->body;
    struct buf error = {0};
    bool has_body = a->has_body;
    if (a->code != 0) {
        json_error(&error, a);
        body = buf_span(&error);
        has_body = true;
    }
    char *start = buf_room(out, FIELDS_BYTES_MAX + body.bytes);
    if (start != NULL) {
        char *to = put_status(f, start, a->status);
        if (has_body) {
            to = a->code != 0 && style.problem
                     ? PUT(to, "Content-Type: application/problem+json\r\n")
                 : a->metrics
                     ? PUT(to, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
                     : PUT(to, "Content-Type: application/json\r\n");
            to = put_number(to, "Content-Length: ", body.bytes, "\r\n");
        }
        to = put_fields(to, a);
        to = put_connection(to, style);
        to = PUT(to, "\r\n");
        if (has_body && !style.head_only && body.bytes != 0)
            to = put(to, body.at, body.bytes);
        out->bytes += (size_t)(to - start);
    }
    buf_finish(&error);
}

void http_stream_head(struct front *f, struct buf *out, const struct answer *a,
                      struct http_style style)
{
    char *start = buf_room(out, FIELDS_BYTES_MAX);
    if (start == NULL)
        return;
    char *to = put_status(f, start, a->status);
    if (a->event_stream)
        to = PUT(to, "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n");
    else if (a->octets)
        to = PUT(to, "Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n");
    else
        to = PUT(to, "Content-Type: application/json\r\n");
    to = put_fields(to, a);
    if (style.minor_1)
        to = PUT(to, "Transfer-Encoding: chunked\r\n");
    style.keep_alive = style.keep_alive && style.minor_1;
    to = put_connection(to, style);
    to = PUT(to, "\r\n");
    out->bytes += (size_t)(to - start);
}

void http_chunk(struct buf *out, struct span bytes)
{
    buf_printf(out, "%zx\r\n", bytes.bytes);
    buf_add_span(out, bytes);
    buf_add_text(out, "\r\n");
}
