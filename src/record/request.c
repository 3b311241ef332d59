/* Words of requests: methods, media types, conditions, targets. */
#include "record/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"

static const char *const method_words[] = {"GET",   "HEAD",   "POST",    "PUT",
                                           "PATCH", "DELETE", "OPTIONS", "?"};

const char *method_word(enum method m)
{
    return method_words[m];
}

enum method method_of(struct span word)
{
    for (int m = METHOD_GET; m < METHOD_OTHER; m++)
        if (span_is(word, method_words[m]))
            return (enum method)m;
    return METHOD_OTHER;
}

bool method_takes_payload(enum method m)
{
    return m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;
}

bool method_writes(enum method m)
{
    return method_takes_payload(m) || m == METHOD_DELETE;
}

static bool is_word(struct span s, const char *word)
{
    return s.bytes == strlen(word) && strncasecmp(s.at, word, s.bytes) == 0;
}

static struct span trim(struct span s)
{
    while (s.bytes != 0 && (*s.at == ' ' || *s.at == '\t')) {
        s.at++;
        s.bytes--;
    }
    while (s.bytes != 0 && (s.at[s.bytes - 1] == ' ' || s.at[s.bytes - 1] == '\t'))
        s.bytes--;
    return s;
}

enum media media_of(struct span content_type)
{
    const char *semicolon =
        content_type.bytes == 0 ? NULL : memchr(content_type.at, ';', content_type.bytes);
    if (semicolon != NULL)
        content_type.bytes = (size_t)(semicolon - content_type.at);
    struct span type = trim(content_type);
    if (type.bytes == 0 || is_word(type, "application/json"))
        return MEDIA_JSON;
    if (is_word(type, "application/merge-patch+json"))
        return MEDIA_MERGE_PATCH;
    if (is_word(type, "application/json-patch+json"))
        return MEDIA_JSON_PATCH;
    if (type.bytes > 5 && memchr(type.at, '/', type.bytes) != NULL &&
        strncasecmp(type.at + type.bytes - 5, "+json", 5) == 0)
        return MEDIA_JSON;
    return MEDIA_OTHER;
}

bool payload_is_json_patch(enum method m, enum media media)
{
    return m == METHOD_PATCH && media == MEDIA_JSON_PATCH;
}

/* One entity tag at the start of *rest: 0 and *tag, or an error. */
static int tag_parse(struct span *rest, bool weak, uint64_t *tag)
{
    bool is_weak = rest->bytes >= 2 && rest->at[0] == 'W' && rest->at[1] == '/';
    if (is_weak)
        *rest = span(rest->at + 2, rest->bytes - 2);
    bool quoted = rest->bytes != 0 && rest->at[0] == '"';
    struct span text = *rest;
    size_t used;
    if (quoted) {
        const char *end = memchr(rest->at + 1, '"', rest->bytes - 1);
        if (end == NULL)
            return ERR_BAD_REQUEST;
        text = span(rest->at + 1, (size_t)(end - rest->at) - 1);
        used = text.bytes + 2;
    } else {
        for (used = 0; used < text.bytes && text.at[used] >= '0' && text.at[used] <= '9'; used++) {
        }
        if (used == 0)
            return ERR_BAD_REQUEST;
        text.bytes = used;
    }
    if (!u64_parse(text, tag) || (is_weak && !weak))
        *tag = 0;
    *rest = span(rest->at + used, rest->bytes - used);
    return 0;
}

int condition_parse(struct span value, bool weak, struct condition *c)
{
    struct span rest = trim(value);
    c->count = 0;
    c->kind = CONDITION_TAGS;
    if (span_is(rest, "*")) {
        c->kind = CONDITION_ANY;
        return 0;
    }
    for (;;) {
        while (rest.bytes != 0 && rest.at[0] == ',') /* empty elements: RFC 9110 section 5.6.1.2 */
            rest = trim(span(rest.at + 1, rest.bytes - 1));
        if (rest.bytes == 0)
            return c->count != 0 ? 0 : ERR_BAD_REQUEST;
        if (c->count == CONDITION_TAGS_MAX || tag_parse(&rest, weak, &c->tags[c->count]) != 0)
            return ERR_BAD_REQUEST;
        c->count++;
        rest = trim(rest);
        if (rest.bytes != 0 && rest.at[0] != ',')
            return ERR_BAD_REQUEST;
    }
}

static bool holds(const struct condition *c, uint64_t seq)
{
    if (c->kind == CONDITION_ANY)
        return true;
    for (unsigned i = 0; i < c->count; i++)
        if (c->tags[i] == seq && seq != 0)
            return true;
    return false;
}

int conditions_check(const struct conditions *c, bool read, uint64_t seq)
{
    if (c->match.kind != CONDITION_ABSENT && !holds(&c->match, seq))
        return ERR_PRECONDITION_FAILED;
    if (c->none_match.kind != CONDITION_ABSENT && holds(&c->none_match, seq))
        return read ? CONDITIONS_NOT_MODIFIED : ERR_PRECONDITION_FAILED;
    return 0;
}

void request_init(struct request *rq)
{
    memset(rq, 0, offsetof(struct request, conditions));
    rq->wait_ms = WAIT_MS_DEFAULT;
    rq->conditions.match.kind = CONDITION_ABSENT;
    rq->conditions.none_match.kind = CONDITION_ABSENT;
}

int key_check(struct span key)
{
    if (key.bytes < KEY_BYTES_MIN || key.bytes > KEY_BYTES_MAX)
        return ERR_BAD_KEY;
    for (size_t i = 0; i < key.bytes; i++)
        if ((unsigned char)key.at[i] < 0x20 || key.at[i] == 0x7f)
            return ERR_BAD_KEY;
    return 0;
}

/* The bytes of a collection's name at the start of `s`: [a-z][a-z0-9_-]{0,62}; 0: none. */
static size_t collection_bytes(struct span s)
{
    size_t n = 0;
    while (n < s.bytes) {
        char c = s.at[n];
        bool letter = c >= 'a' && c <= 'z';
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!letter && !(other && n != 0))
            break;
        n++;
    }
    return n <= COLLECTION_NAME_BYTES_MAX ? n : 0;
}

void target_parse(struct span text, struct target *t)
{
    *t = (struct target){.kind = TARGET_NOWHERE, .path = text};
    const char *question = text.bytes == 0 ? NULL : memchr(text.at, '?', text.bytes);
    if (question != NULL) {
        t->path.bytes = (size_t)(question - text.at);
        t->query = span(question + 1, text.bytes - t->path.bytes - 1);
    }
    if (t->path.bytes < 2 || t->path.at[0] != '/')
        return;
    if (t->path.at[1] == '_') {
        t->kind = TARGET_OWN;
        return;
    }
    struct span rest = span(t->path.at + 1, t->path.bytes - 1);
    size_t name = collection_bytes(rest);
    if (name == 0 || (name < rest.bytes && rest.at[name] != '/'))
        return;
    t->collection = span(rest.at, name);
    if (name == rest.bytes) {
        t->kind = TARGET_COLLECTION;
        return;
    }
    rest = span(rest.at + name + 1, rest.bytes - name - 1);
    if (rest.bytes != 0 && memchr(rest.at, '/', rest.bytes) != NULL)
        return;
    bool good = u64_parse(rest, &t->id) && t->id != 0 && t->id <= ID_MAX;
    t->kind = good ? TARGET_RECORD : TARGET_BAD_ID;
}

static bool query_next(struct span *query, struct span *name, struct span *value)
{
    if (query->bytes == 0)
        return false;
    const char *ampersand = memchr(query->at, '&', query->bytes);
    struct span pair = *query;
    if (ampersand != NULL)
        pair.bytes = (size_t)(ampersand - query->at);
    size_t used = pair.bytes + (ampersand != NULL);
    *query = span(query->at + used, query->bytes - used);
    const char *equals = pair.bytes == 0 ? NULL : memchr(pair.at, '=', pair.bytes);
    *name = pair;
    *value = span(pair.at + pair.bytes, 0);
    if (equals != NULL) {
        name->bytes = (size_t)(equals - pair.at);
        *value = span(equals + 1, pair.bytes - name->bytes - 1);
    }
    return true;
}

bool query_get(struct span query, const char *name, struct span *value)
{
    struct span word;
    while (query_next(&query, &word, value))
        if (span_is(word, name))
            return true;
    return false;
}

bool query_only(struct span query, const char *const *names)
{
    struct span word, value;
    while (query_next(&query, &word, &value)) {
        bool known = false;
        for (const char *const *n = names; *n != NULL; n++)
            known = known || span_is(word, *n);
        if (!known)
            return false;
    }
    return true;
}

void answer_ok(struct answer *a, int status)
{
    memset(a, 0, offsetof(struct answer, detail));
    a->detail[0] = '\0';
    a->status = status;
}

void answer_error(struct answer *a, int code, const char *format, ...)
{
    answer_ok(a, err_info(code)->status);
    a->code = code;
    if (format == NULL)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(a->detail, sizeof a->detail, format, args);
    va_end(args);
}
