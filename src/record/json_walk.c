/* Walks over JSON text that the scanner accepted, and the framing before it. Judges nothing. */
#include "record/json.h"

#include "base/json_text.h"
#include "record/json_bytes.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* [ { become {, and ] } become }: the two differ from their pair in one bit. */
static bool opens(char c)
{
    return (c | 0x20) == '{';
}

static bool closes(char c)
{
    return (c | 0x20) == '}';
}

static const char *run(const char *p, const char *end)
{
    return (const char *)json_run((const uint8_t *)p, (const uint8_t *)end, false);
}

/* Behind the closing quote of the string whose opening quote is at `p`. */
static const char *skip_string(const char *p, const char *end)
{
    p = run(p + 1, end);
    while (p < end && *p == '\\')
        p = run(p + 2, end);
    return p < end ? p + 1 : end;
}

size_t json_frame(struct json_frame *f, struct span piece)
{
    if (piece.bytes == 0)
        return 0;
    const char *p = piece.at, *end = piece.at + piece.bytes;
    while (p != end) {
        if (f->escaped) {
            f->escaped = false;
        } else if (f->in_string) {
            p = run(p, end);
            if (p == end)
                break;
            f->escaped = *p == '\\';
            f->in_string = f->escaped;
        } else if (*p == '"') {
            f->in_string = true;
        } else if (opens(*p)) {
            f->depth++;
        } else if (closes(*p) && (f->depth == 0 || --f->depth == 0)) {
            return (size_t)(p + 1 - piece.at);
        }
        p++;
    }
    return 0;
}

size_t json_compact(struct span text, char *to)
{
    const char *p = text.at, *end = text.at + text.bytes;
    char *start = to;
    while (p != end) {
        if (*p == '"') {
            const char *after = skip_string(p, end);
            memcpy(to, p, (size_t)(after - p));
            to += after - p;
            p = after;
        } else {
            if (!is_space(*p))
                *to++ = *p;
            p++;
        }
    }
    return (size_t)(to - start);
}

size_t json_value_bytes(struct span text)
{
    const char *p = text.at, *end = text.at + text.bytes;
    if (*p == '"')
        return (size_t)(skip_string(p, end) - text.at);
    if (!opens(*p)) {
        while (p != end && *p != ',' && !closes(*p) && !is_space(*p))
            p++;
        return (size_t)(p - text.at);
    }
    size_t depth = 0;
    do {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (opens(*p))
            depth++;
        else if (closes(*p))
            depth--;
        p++;
    } while (depth != 0 && p != end);
    return (size_t)(p - text.at);
}

struct json_walk json_walk(struct span value)
{
    return (struct json_walk){value.at + 1, value.at + value.bytes};
}

static const char *skip_space(const char *p, const char *end)
{
    while (p != end && is_space(*p))
        p++;
    return p;
}

/* To what comes next; false: to the end. */
static bool go_on(struct json_walk *w)
{
    w->at = skip_space(w->at, w->end);
    if (w->at != w->end && *w->at == ',')
        w->at = skip_space(w->at + 1, w->end);
    return w->at != w->end && *w->at != '}' && *w->at != ']';
}

bool json_next_element(struct json_walk *w, struct span *element)
{
    if (!go_on(w))
        return false;
    *element = span(w->at, json_value_bytes(span(w->at, (size_t)(w->end - w->at))));
    w->at += element->bytes;
    return true;
}

bool json_next(struct json_walk *w, struct json_member *m)
{
    if (!go_on(w))
        return false;
    const char *p = w->at;
    const char *after = skip_string(p, w->end);
    m->name = span(p + 1, (size_t)(after - p - 2));
    const char *value = skip_space(skip_space(after, w->end) + 1, w->end);
    m->value = span(value, json_value_bytes(span(value, (size_t)(w->end - value))));
    w->at = value + m->value.bytes;
    m->whole = span(p, (size_t)(w->at - p));
    return true;
}

enum json_type json_type_of(struct span value)
{
    switch (value.at[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

static uint32_t hex_4(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t c = (uint8_t)p[i];
        value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static size_t encode_utf8(uint32_t code, char *to)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--, code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3f));
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(lead[bytes] | code);
    return bytes;
}

/* The escape at *p (RFC 8259 section 7) in UTF-8: the bytes written, at most 4; *p goes behind it.
 */
static size_t decode_escape(const char **p, char *to)
{
    char c = (*p)[1];
    *p += 2;
    switch (c) {
    case 'b':
        *to = '\b';
        return 1;
    case 'f':
        *to = '\f';
        return 1;
    case 'n':
        *to = '\n';
        return 1;
    case 'r':
        *to = '\r';
        return 1;
    case 't':
        *to = '\t';
        return 1;
    case 'u':
        break;
    default: /* a quote, a backslash or a slash */
        *to = c;
        return 1;
    }
    uint32_t code = hex_4(*p);
    *p += 4;
    if (code >= 0xd800 && code <= 0xdbff) { /* its other half follows: "\u" and four digits */
        code = 0x10000 + ((code - 0xd800) << 10) + (hex_4(*p + 2) - 0xdc00);
        *p += 6;
    }
    return encode_utf8(code, to);
}

bool json_string_is(struct span raw, struct span word)
{
    const char *p = raw.at, *end = raw.at + raw.bytes;
    size_t same = 0; /* bytes of `word` */
    while (p != end) {
        char one[4];
        size_t bytes = 1;
        if (*p == '\\')
            bytes = decode_escape(&p, one);
        else
            one[0] = *p++;
        if (word.bytes - same < bytes || memcmp(word.at + same, one, bytes) != 0)
            return false;
        same += bytes;
    }
    return same == word.bytes;
}

size_t json_string_decode(struct span raw, char *to)
{
    const char *p = raw.at, *end = raw.at + raw.bytes;
    char *start = to;
    while (p != end) {
        if (*p == '\\')
            to += decode_escape(&p, to);
        else
            *to++ = *p++;
    }
    return (size_t)(to - start);
}

void json_quote(struct buf *to, struct span text)
{
    buf_add_json(to, text);
}
