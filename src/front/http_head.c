/* The head of a request: a raw pass, http-parser, and the judgement of the fields. Knows nothing of
 * sockets, bodies and what a request means. The only file that knows http-parser. */
#include "front/http_head.h"

#include <http_parser.h>
#include <string.h>

#include "base/err.h"

enum {
    METHOD_BYTES_MAX = 32, /* registered ones are up to 17 */
    EMPTY_LINES_MAX = 8,   /* before the request line */
    VERSION_BYTES = 8,     /* HTTP/1.1 */
    LINE_END_BYTES = 2,    /* CRLF */
    BYTE_TOKEN = 1 << 0,   /* RFC 9110 section 5.6.2 */
    BYTE_TARGET = 1 << 1,  /* visible ASCII but '#': a target has no fragment (RFC 9112 3.2) */
    BYTE_HOST = 1 << 2,    /* of uri-host [ ":" port ], RFC 3986 section 3.2.2 */
    BYTE_CONTROL = 1 << 3, /* never inside a line; HTAB is not one (RFC 9110 section 5.5) */
};

/* clang-format off */
#define C BYTE_CONTROL
#define A (BYTE_TOKEN | BYTE_TARGET | BYTE_HOST)
#define G (BYTE_TARGET | BYTE_HOST)
#define K (BYTE_TOKEN | BYTE_TARGET)
#define U BYTE_TARGET
#define T BYTE_TOKEN
static const unsigned char classes[256] = {
    C, C, C, C, C, C, C, C, C, 0, C, C, C, C, C, C,
    C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    0, A, U, T, A, A, A, A, G, G, A, A, G, A, A, U, /*   ! " # $ % & ' ( ) * + , - . / */
    A, A, A, A, A, A, A, A, A, A, G, G, U, G, U, U, /* 0 1 2 3 4 5 6 7 8 9 : ; < = > ? */
    U, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, /* @ A B C D E F G H I J K L M N O */
    A, A, A, A, A, A, A, A, A, A, A, G, U, G, K, A, /* P Q R S T U V W X Y Z [ \ ] ^ _ */
    K, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, /* ` a b c d e f g h i j k l m n o */
    A, A, A, A, A, A, A, A, A, A, A, U, K, U, A, C, /* p q r s t u v w x y z { | } ~   */
};
#undef C
#undef A
#undef G
#undef K
#undef U
#undef T
/* clang-format on */

enum field {
    FIELD_OTHER,
    FIELD_HOST,
    FIELD_ACCEPT,
    FIELD_EXPECT,
    FIELD_ORIGIN,
    FIELD_IF_MATCH,
    FIELD_CONNECTION,
    FIELD_CONTENT_TYPE,
    FIELD_IF_NONE_MATCH,
    FIELD_NOTED_MIN_SEQ,
    FIELD_NOTED_WAIT_MS,
    FIELD_LAST_EVENT_ID,
    FIELD_CONTENT_LENGTH,
    FIELD_IDEMPOTENCY_KEY,
    FIELD_TRANSFER_ENCODING,
    FIELD_COUNT
};

struct parse {
    struct http_head *out;
    struct span target;    /* as sent */
    struct span authority; /* of an absolute target */
    size_t rest_at;        /* behind the method, where the library reads on */
    size_t version_at;     /* 0: the request line is not there up to its version */
    enum field field;      /* whose value comes next */
    struct span value[FIELD_COUNT];
    bool says_close, says_keep_alive;
    int err;
    const char *why;
};

static int refuse(struct parse *p, int err, const char *why)
{
    p->err = err;
    p->why = why;
    return err;
}

static int refuse_bad(struct parse *p, const char *why)
{
    return refuse(p, ERR_BAD_REQUEST, why);
}

static bool is(char c, unsigned char_class)
{
    return (classes[(unsigned char)c] & char_class) != 0;
}

static bool all(struct span s, unsigned char_class)
{
    for (size_t i = 0; i < s.bytes; i++)
        if (!is(s.at[i], char_class))
            return false;
    return true;
}

/* Without regard to case. `lower` has letters, digits and '-' only, and `s` no control bytes:
 * then only a letter's other case is folded onto them. */
static bool same_word(struct span s, const char *lower)
{
    if (s.bytes != strlen(lower))
        return false;
    for (size_t i = 0; i < s.bytes; i++)
        if ((s.at[i] | 0x20) != lower[i])
            return false;
    return true;
}

static struct span trim(struct span s)
{
    while (s.bytes != 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = span(s.at + 1, s.bytes - 1);
    while (s.bytes != 0 && (s.at[s.bytes - 1] == ' ' || s.at[s.bytes - 1] == '\t'))
        s.bytes--;
    return s;
}

/* Takes the next item of a comma-separated list; false at its end. A list has at least one item. */
static bool next_item(struct span *list, struct span *item)
{
    if (list->at == NULL)
        return false;
    const char *comma = memchr(list->at, ',', list->bytes);
    size_t bytes = comma == NULL ? list->bytes : (size_t)(comma - list->at);
    *item = trim(span(list->at, bytes));
    *list = comma == NULL ? (struct span){0} : span(comma + 1, list->bytes - bytes - 1);
    return true;
}

/* --- The raw pass --- */

/* The request line up to its version, judged as far as it is there. */
static int request_line(struct parse *p, const char *at, size_t n, size_t uri_bytes_max)
{
    size_t i = 0;
    while (i + 1 < n && i < EMPTY_LINES_MAX * LINE_END_BYTES && at[i] == '\r' && at[i + 1] == '\n')
        i += LINE_END_BYTES;
    if (i == n || (i + 1 == n && at[i] == '\r'))
        return 0;

    struct span word = {at + i, 0};
    while (i < n && word.bytes <= METHOD_BYTES_MAX && is(at[i], BYTE_TOKEN)) {
        i++;
        word.bytes++;
    }
    if (word.bytes > METHOD_BYTES_MAX)
        return refuse(p, ERR_NOT_IMPLEMENTED, "no method is that long");
    if (i == n)
        return 0;
    if (word.bytes == 0 || at[i] != ' ')
        return refuse_bad(p, "a request begins with a method and one space");
    p->rest_at = i;
    p->out->method = method_of(word);
    if (span_is(word, "CONNECT"))
        return refuse(p, ERR_NOT_IMPLEMENTED, "this is no proxy: CONNECT is not done");

    p->target = span(at + ++i, 0);
    while (i < n && p->target.bytes <= uri_bytes_max && is(at[i], BYTE_TARGET)) {
        i++;
        p->target.bytes++;
    }
    if (p->target.bytes > uri_bytes_max)
        return refuse(p, ERR_URI_TOO_LONG, "the URL is longer than the limit");
    if (i == n)
        return 0;
    if (at[i] == ' ' && p->target.bytes == 0)
        return refuse_bad(p, "two spaces in the request line");
    if (at[i] == '\r' || at[i] == '\n')
        return refuse_bad(p, "the request line has no HTTP version");
    if (at[i] != ' ')
        return refuse_bad(p, "a byte in the URL that must be percent-encoded");
    p->version_at = i + 1;
    return 0;
}

/* The first control byte from `i` on, or n. Eight bytes at a time as long as none of them is below
 * 0x20 or is 0x7f: the high bit of each byte of `stop` says so. */
static size_t to_control(const char *at, size_t i, size_t n)
{
    const uint64_t ones = 0x0101010101010101;
    for (uint64_t w; n - i >= sizeof w; i += sizeof w) {
        memcpy(&w, at + i, sizeof w);
        uint64_t low = w & ones * 0x7f;
        uint64_t stop = (~(low + ones * 0x60) | (low + ones)) & ~w & ones * 0x80;
        if (stop != 0)
            break;
    }
    while (i < n && !is(at[i], BYTE_CONTROL))
        i++;
    return i;
}

/* Searches the lines for the empty one that ends the head, and refuses what no line may hold:
 * obs-fold (RFC 9112 section 5.2), bare CR or LF (section 2.2), control bytes. */
static long lines(struct parse *p, const char *at, size_t n, size_t *scanned)
{
    size_t i = *scanned > p->version_at ? *scanned : p->version_at;
    for (;;) {
        if (i < n && at[i - 1] == '\n' && (at[i] == ' ' || at[i] == '\t'))
            return refuse_bad(p, "a folded header line");
        *scanned = i = to_control(at, i, n);
        if (i == n || (at[i] == '\r' && i + 1 == n))
            return 0;
        if (at[i] == '\n')
            return refuse_bad(p, "a line that ends in LF without CR");
        if (at[i] != '\r')
            return refuse_bad(p, "a control byte in the head");
        if (at[i + 1] != '\n')
            return refuse_bad(p, "a CR without LF");
        if (at[i - 1] == '\n')
            return (long)(i + LINE_END_BYTES);
        i += LINE_END_BYTES;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int version(struct parse *p, const char *at, size_t n)
{
    const char *v = at + p->version_at;
    if (n - p->version_at <= VERSION_BYTES || memcmp(v, "HTTP/", 5) != 0 || !is_digit(v[5]) ||
        v[6] != '.' || !is_digit(v[7]) || v[VERSION_BYTES] != '\r')
        return refuse_bad(p, "the request line does not end in one space and HTTP/1.1");
    if (v[5] != '1' || v[7] > '1')
        return refuse(p, ERR_BAD_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    p->out->minor = (uint8_t)(v[7] - '0');
    return 0;
}

/* RFC 9112 section 3.2: the forms of a target. */
static int target(struct parse *p)
{
    struct span t = p->target;
    p->out->target = t;
    if (t.at[0] == '/')
        return 0;
    if (span_is(t, "*"))
        return p->out->method == METHOD_OPTIONS ? 0
                                                : refuse_bad(p, "the URL * is for OPTIONS only");

    const char *colon = memchr(t.at, ':', t.bytes);
    struct span scheme = span(t.at, colon == NULL ? 0 : (size_t)(colon - t.at));
    size_t from = scheme.bytes + 3;
    if ((!same_word(scheme, "http") && !same_word(scheme, "https")) || t.bytes < from ||
        memcmp(colon, "://", 3) != 0)
        return refuse_bad(p, "the URL begins neither with / nor with http://");
    const char *slash = memchr(t.at + from, '/', t.bytes - from);
    size_t to = slash == NULL ? t.bytes : (size_t)(slash - t.at);
    p->authority = span(t.at + from, to - from);
    if (p->authority.bytes == 0 || !all(p->authority, BYTE_HOST))
        return refuse_bad(p, "the URL's host is malformed");
    /* an empty path is "/" (RFC 9110 section 4.2.3): there is one right before the host */
    p->out->target = slash == NULL ? span(p->authority.at - 1, 1) : span(slash, t.bytes - to);
    return 0;
}

/* --- The fields, as the library finds them --- */

static enum field field_by(struct span name, enum field candidate, const char *lower)
{
    return same_word(name, lower) ? candidate : FIELD_OTHER;
}

/* No two candidates share length and distinguishing byte, so that one comparison decides. */
static enum field field_of(struct span name)
{
    switch (name.bytes) {
    case 4:
        return field_by(name, FIELD_HOST, "host");
    case 6:
        switch (name.at[0] | 0x20) {
        case 'a':
            return field_by(name, FIELD_ACCEPT, "accept");
        case 'e':
            return field_by(name, FIELD_EXPECT, "expect");
        default:
            return field_by(name, FIELD_ORIGIN, "origin");
        }
    case 8:
        return field_by(name, FIELD_IF_MATCH, "if-match");
    case 10:
        return field_by(name, FIELD_CONNECTION, "connection");
    case 12:
        return field_by(name, FIELD_CONTENT_TYPE, "content-type");
    case 13:
        switch (name.at[6] | 0x20) {
        case 'e':
            return field_by(name, FIELD_IF_NONE_MATCH, "if-none-match");
        case 'm':
            return field_by(name, FIELD_NOTED_MIN_SEQ, "noted-min-seq");
        case 'v':
            return field_by(name, FIELD_LAST_EVENT_ID, "last-event-id");
        default:
            return field_by(name, FIELD_NOTED_WAIT_MS, "noted-wait-ms");
        }
    case 14:
        return field_by(name, FIELD_CONTENT_LENGTH, "content-length");
    case 15:
        return field_by(name, FIELD_IDEMPOTENCY_KEY, "idempotency-key");
    case 17:
        return field_by(name, FIELD_TRANSFER_ENCODING, "transfer-encoding");
    default:
        return FIELD_OTHER;
    }
}

/* The library's packaged build takes spaces in and behind a name. */
static int on_field(http_parser *parser, const char *at, size_t bytes)
{
    struct parse *p = parser->data;
    p->field = field_of(span(at, bytes));
    if (p->field == FIELD_OTHER && !all(span(at, bytes), BYTE_TOKEN))
        return refuse_bad(p, "a space in or behind a header's name");
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t bytes)
{
    struct parse *p = parser->data;
    struct span value = trim(span(at, bytes)), item;
    switch (p->field) {
    case FIELD_OTHER:
        return 0;
    case FIELD_CONNECTION:
        while (next_item(&value, &item)) {
            p->says_close |= same_word(item, "close");
            p->says_keep_alive |= same_word(item, "keep-alive");
        }
        return 0;
    case FIELD_EXPECT: /* in HTTP/1.0 it must be ignored, RFC 9110 section 10.1.1 */
        p->out->expect_continue |= p->out->minor == 1 && same_word(value, "100-continue");
        return 0;
    default:
        if (p->value[p->field].at != NULL)
            return refuse_bad(p, p->field == FIELD_HOST ? "two Host headers"
                                                        : "a header that may come once came twice");
        p->value[p->field] = value;
        return 0;
    }
}

static int on_complete(http_parser *parser)
{
    http_parser_pause(parser, 1);
    return 0;
}

/*
 * The library is shown GET whatever the method is: it refuses methods that it does not know, and
 * has rules of its own for some that it does (SOURCE may come with ICE/1.0). Nothing goes on after
 * the head, so that what it makes of Upgrade does not matter.
 */
static int library(struct parse *p, const char *at, size_t n, uint64_t *length)
{
    static const http_parser_settings callbacks = {
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_headers_complete = on_complete,
    };
    http_parser parser = {.data = p};
    http_parser_init(&parser, HTTP_REQUEST);
    http_parser_execute(&parser, &callbacks, "GET", 3);
    size_t used = http_parser_execute(&parser, &callbacks, at + p->rest_at, n - p->rest_at);
    if (p->err != 0)
        return p->err;
    enum http_errno e = HTTP_PARSER_ERRNO(&parser);
    if (e == HPE_HEADER_OVERFLOW) /* its own limit, HTTP_MAX_HEADER_SIZE */
        return refuse(p, ERR_HEAD_TOO_LARGE, "the head is longer than the limit");
    if (e != HPE_PAUSED)
        return refuse_bad(p, http_errno_description(e));
    if (p->rest_at + used + 1 != n) /* it stops at the last LF */
        return refuse_bad(p, "the end of the head is in doubt");
    *length = parser.content_length;
    return 0;
}

/* --- The judgement --- */

static bool is_compression(struct span coding)
{
    static const char *const words[] = {"gzip", "x-gzip", "deflate", "compress", "x-compress"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (same_word(coding, words[i]))
            return true;
    return false;
}

/* RFC 9112 sections 6.1 and 6.3: what is not just "chunked" is refused, as a coding that we do not
 * have where the framing at least is sound. */
static int transfer_coding(struct parse *p)
{
    struct span list = p->value[FIELD_TRANSFER_ENCODING], item;
    if (p->out->minor == 0)
        return refuse_bad(p, "Transfer-Encoding in HTTP/1.0");
    if (p->value[FIELD_CONTENT_LENGTH].at != NULL)
        return refuse_bad(p, "Content-Length and Transfer-Encoding");
    p->out->chunked = same_word(list, "chunked");
    if (p->out->chunked)
        return 0;
    while (next_item(&list, &item)) {
        if (is_compression(item))
            continue;
        if (list.at == NULL && same_word(item, "chunked"))
            return refuse(p, ERR_NOT_IMPLEMENTED, "no transfer coding but chunked is done");
        break;
    }
    return refuse_bad(p, "a Transfer-Encoding that is not chunked");
}

static int judge(struct parse *p, uint64_t length)
{
    struct http_head *out = p->out;
    const struct span *v = p->value;
    out->keep_alive = !p->says_close && (out->minor == 1 || p->says_keep_alive);
    out->host = v[FIELD_HOST];
    out->accept = v[FIELD_ACCEPT];
    out->origin = v[FIELD_ORIGIN];
    out->if_match = v[FIELD_IF_MATCH];
    out->if_none_match = v[FIELD_IF_NONE_MATCH];
    out->content_type = v[FIELD_CONTENT_TYPE];
    out->noted_min_seq = v[FIELD_NOTED_MIN_SEQ];
    out->noted_wait_ms = v[FIELD_NOTED_WAIT_MS];
    out->last_event_id = v[FIELD_LAST_EVENT_ID];
    out->idempotency_key = v[FIELD_IDEMPOTENCY_KEY];

    if (out->host.at == NULL && out->minor == 1)
        return refuse_bad(p, "no Host header");
    if (!all(out->host, BYTE_HOST))
        return refuse_bad(p, "the Host header is malformed");
    if (p->authority.at != NULL) /* it stands in for Host, RFC 9112 section 3.2.2 */
        out->host = p->authority;
    if (v[FIELD_TRANSFER_ENCODING].at != NULL)
        return transfer_coding(p);
    if (v[FIELD_CONTENT_LENGTH].at != NULL) {
        out->has_length = true;
        out->body_bytes = length;
    }
    return 0;
}

static long parse(struct parse *p, const char *at, size_t n, size_t uri_bytes_max, size_t *scanned)
{
    int err = request_line(p, at, n, uri_bytes_max);
    if (err != 0 || p->version_at == 0)
        return err;
    long bytes = lines(p, at, n, scanned);
    if (bytes <= 0)
        return bytes;
    uint64_t length;
    n = (size_t)bytes;
    if ((err = version(p, at, n)) != 0 || (err = target(p)) != 0 ||
        (err = library(p, at, n, &length)) != 0 || (err = judge(p, length)) != 0)
        return err;
    return bytes;
}

long http_head_parse(struct span input, size_t head_bytes_max, size_t uri_bytes_max,
                     size_t *scanned, struct http_head *out, const char **why)
{
    *out = (struct http_head){.method = METHOD_OTHER};
    struct parse p = {.out = out};
    size_t n = input.bytes < head_bytes_max ? input.bytes : head_bytes_max;
    long bytes = parse(&p, input.at, n, uri_bytes_max, scanned);
    if (bytes == 0 && n == head_bytes_max)
        bytes = refuse(&p, ERR_HEAD_TOO_LARGE, "the head is longer than the limit");
    *why = p.why;
    return bytes;
}
