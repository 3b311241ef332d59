/* The strict JSON scanner: RFC 8259 in UTF-8, one pass, no recursion, no tree. Knows nothing of
 * what the text means. */
#include "record/json.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "record/json_bytes.h"
#include "record/json_names.h"

/* Keeps what ends a scan out of the way of what goes on. */
#define COLD __attribute__((cold, noinline))

enum {
    DEPTH_MAX = 64,
    KEEP_BYTES = 64 * 1024,
    /* An object's names are compared pairwise up to here, hashed from here on. */
    PAIRWISE_NAMES_MAX = 16,
    PAIRWISE_BYTES_MAX = 64,
};

struct json {
    unsigned depth_max;
    struct names names;
};

/* An open array or object. */
struct level {
    uint64_t seen;  /* a bit for each length and first byte of its names: not there, so new */
    uint32_t first; /* where its names begin */
    bool object;
    bool hashed; /* its names are */
};

/*
 * One call of json_scan. The functions below take the byte that they are to look at and return the
 * byte behind what they accepted, or NULL with `result` set, for json_scan to return.
 */
struct scan {
    const uint8_t *start, *end;
    bool whole;
    bool spaced;    /* white space was seen since the value began */
    bool escaped;   /* the last string holds escapes */
    bool in_object; /* the innermost level is an object: a name comes first */
    unsigned depth, depth_max;
    struct names *names;
    struct json_found *found;
    long result;
    struct level levels[DEPTH_MAX];
};

int json_create(struct json **j, uint64_t seed, unsigned depth_max)
{
    assert(depth_max >= 1 && depth_max <= DEPTH_MAX);
    struct json *new = calloc(1, sizeof *new);
    if (new == NULL)
        return ERR_NO_MEMORY;
    new->depth_max = depth_max;
    new->names.seed = seed;
    *j = new;
    return 0;
}

unsigned json_depth_max(const struct json *j)
{
    return j->depth_max;
}

void json_destroy(struct json *j)
{
    if (j == NULL)
        return;
    names_finish(&j->names);
    free(j);
}

void json_trim(struct json *j)
{
    names_trim(&j->names, KEEP_BYTES);
}

struct names *json_names(struct json *j)
{
    return &j->names;
}

static COLD const uint8_t *bad(struct scan *s, const uint8_t *at, const char *why)
{
    s->found->bad_at = (size_t)(at - s->start);
    s->found->why = why;
    s->result = ERR_BAD_JSON;
    return NULL;
}

static COLD const uint8_t *ended(struct scan *s)
{
    if (s->whole)
        return bad(s, s->end, "the text ends too early");
    s->result = 0;
    return NULL;
}

/* RFC 8259 section 2. */
static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p != end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static const uint8_t *token_behind_space(struct scan *s, const uint8_t *p)
{
    const uint8_t *token = skip_space(p, s->end);
    s->spaced = true;
    return token != s->end ? token : ended(s);
}

/* Where the next token begins. */
static inline const uint8_t *token(struct scan *s, const uint8_t *p)
{
    return p != s->end && *p > ' ' ? p : token_behind_space(s, p);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool is_c_to_f(uint8_t c)
{
    return (c | 0x20) >= 'c' && (c | 0x20) <= 'f';
}

static const uint8_t *hex_4(struct scan *s, const uint8_t *p)
{
    for (int i = 0; i < 4; i++, p++) {
        if (p == s->end)
            return ended(s);
        if (!is_hex(*p))
            return bad(s, p, "four hexadecimal digits are expected after \\u");
    }
    return p;
}

/*
 * A \u escape, `p` at its backslash. Code units D800 to DBFF must be followed by an escape DC00 to
 * DFFF, which must not stand alone (RFC 8259 section 8.2 leaves it open; we refuse). Told by the
 * first two digits, so that it is found as soon as they are seen.
 */
static const uint8_t *unicode_escape(struct scan *s, const uint8_t *p)
{
    static const char lone[] = "half of a surrogate pair stands alone";
    const uint8_t *digits = p + 2;
    bool surrogate =
        s->end - digits >= 2 && (digits[0] | 0x20) == 'd' && digits[1] >= '8' && is_hex(digits[1]);
    if (surrogate && is_c_to_f(digits[1]))
        return bad(s, p, lone);
    const uint8_t *q = hex_4(s, digits);
    if (q == NULL || !surrogate)
        return q;
    static const char *const low[] = {"\\", "u", "dD", "cCdDeEfF"};
    for (int i = 0; i < 4; i++) {
        if (q + i == s->end)
            return ended(s);
        if (q[i] == 0 || strchr(low[i], q[i]) == NULL)
            return bad(s, p, lone);
    }
    return hex_4(s, q + 2);
}

static const uint8_t *escape(struct scan *s, const uint8_t *p)
{
    s->escaped = true;
    if (s->end - p < 2)
        return ended(s);
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        return unicode_escape(s, p);
    default:
        return bad(s, p + 1, "JSON has no such escape");
    }
}

/* Characters that are not ASCII, as many as follow each other. */
static const uint8_t *wide(struct scan *s, const uint8_t *p)
{
    do {
        int bytes = json_utf8(p, s->end);
        if (bytes == 0)
            return ended(s);
        if (bytes < 0)
            return bad(s, p, "the text is not UTF-8");
        p += bytes;
    } while (p != s->end && *p >= 0x80);
    return p;
}

/* The rest of a string from its first byte on that is not ordinary. */
static const uint8_t *string_rest(struct scan *s, const uint8_t *p)
{
    for (;;) {
        if (p == s->end)
            return ended(s);
        if (*p == '"')
            return p + 1;
        if (*p >= 0x80)
            p = wide(s, p);
        else if (*p == '\\')
            p = escape(s, p);
        else
            return bad(s, p, "a control character in a string must be escaped");
        if (p == NULL)
            return NULL;
        p = json_run(p, s->end, true);
    }
}

/* RFC 8259 section 7; `p` is behind the opening quote. */
static inline const uint8_t *string(struct scan *s, const uint8_t *p)
{
    s->escaped = false;
    p = json_run(p, s->end, true);
    return p != s->end && *p == '"' ? p + 1 : string_rest(s, p);
}

static inline const uint8_t *digits(const uint8_t *p, const uint8_t *end)
{
    while (p != end && is_digit(*p))
        p++;
    return p;
}

static const uint8_t *digits_1(struct scan *s, const uint8_t *p)
{
    if (p == s->end)
        return ended(s);
    if (!is_digit(*p))
        return bad(s, p, "a digit is expected");
    return digits(p, s->end);
}

/* RFC 8259 section 6. */
static const uint8_t *number(struct scan *s, const uint8_t *p)
{
    if (*p == '-')
        p++;
    if (p != s->end && *p == '0') {
        p++;
        if (p != s->end && is_digit(*p))
            return bad(s, p, "a number has no leading zeros");
    } else {
        p = digits_1(s, p);
    }
    if (p != NULL && p != s->end && *p == '.')
        p = digits_1(s, p + 1);
    if (p != NULL && p != s->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p != s->end && (*p == '+' || *p == '-'))
            p++;
        p = digits_1(s, p);
    }
    if (p == s->end && !s->whole) /* it may go on */
        return ended(s);
    return p;
}

static COLD const uint8_t *misspelt(struct scan *s, const uint8_t *p, const char *word)
{
    for (; p != s->end; word++, p++)
        if (*p != (uint8_t)*word)
            return bad(s, p, "true, false or null is misspelt");
    return ended(s);
}

static inline const uint8_t *literal(struct scan *s, const uint8_t *p, const char *word,
                                     size_t bytes)
{
    if ((size_t)(s->end - p) >= bytes && memcmp(p, word, bytes) == 0)
        return p + bytes;
    return misspelt(s, p, word);
}

static int take_hashed(struct scan *s, struct level *l, struct span raw)
{
    struct names *n = s->names;
    uint32_t same = NAMES_NONE;
    int err = l->hashed ? 0 : names_hash_from(n, l->first, l->first);
    l->hashed = true;
    if (err == 0)
        err = names_find_or_push(n, l->first, raw, &same);
    return err != 0 ? err : same == NAMES_NONE;
}

/*
 * The duplicate check (RFC 8259 section 4 only says SHOULD; we refuse): 1 where the name is new,
 * 0 where not, ERR_NO_MEMORY. Pairwise while names are few, short and without escapes; else by
 * hash, so that it stays linear.
 */
static inline int take_name(struct scan *s, struct span raw)
{
    struct names *n = s->names;
    struct level *l = &s->levels[s->depth - 1];
    if (l->hashed || s->escaped || raw.bytes > PAIRWISE_BYTES_MAX ||
        n->count - l->first == PAIRWISE_NAMES_MAX)
        return take_hashed(s, l, raw);
    uint64_t bit = (uint64_t)1 << ((8 * raw.bytes + (uint8_t)raw.at[0]) % 64);
    if ((l->seen & bit) != 0)
        for (uint32_t i = l->first; i < n->count; i++)
            if (span_eq(n->at[i].raw, raw))
                return 0;
    l->seen |= bit;
    int err = names_push(n, raw);
    return err != 0 ? err : 1;
}

/* A name and its colon, up to where the value begins. */
static inline const uint8_t *name(struct scan *s, const uint8_t *p)
{
    if (*p != '"')
        return bad(s, p, "a name in quotes is expected");
    const uint8_t *after = string(s, p + 1);
    if (after == NULL)
        return NULL;
    int new = take_name(s, span((const char *)p + 1, (size_t)(after - p - 2)));
    if (new == 0)
        return bad(s, p, "this name is already in the object");
    if (new < 0) {
        s->result = new;
        return NULL;
    }
    p = token(s, after);
    if (p == NULL)
        return NULL;
    if (*p != ':')
        return bad(s, p, "a colon is expected after the name");
    return token(s, p + 1);
}

static inline void leave(struct scan *s)
{
    const struct level *l = &s->levels[--s->depth];
    if (l->hashed)
        names_pop(s->names, l->first);
    else
        s->names->count = l->first;
    s->in_object = s->depth != 0 && s->levels[s->depth - 1].object;
}

/* Opens the array or object at `p`: up to its first value or name, or behind its end where it is
 * empty. */
static const uint8_t *enter(struct scan *s, const uint8_t *p, bool *empty)
{
    if (s->depth == s->depth_max)
        return bad(s, p, "arrays and objects are nested too deeply");
    s->in_object = *p == '{';
    s->levels[s->depth++] = (struct level){.first = s->names->count, .object = s->in_object};
    p = token(s, p + 1);
    if (p == NULL)
        return NULL;
    *empty = *p == (s->in_object ? '}' : ']');
    if (!*empty)
        return p;
    leave(s);
    return p + 1;
}

/* Behind a value: on to the next one or its name, or behind the outermost one. */
static inline const uint8_t *after_value(struct scan *s, const uint8_t *p)
{
    while (s->depth != 0) {
        p = token(s, p);
        if (p == NULL)
            return NULL;
        if (*p == ',')
            return token(s, p + 1);
        if (*p != (s->in_object ? '}' : ']'))
            return bad(s, p,
                       s->in_object ? "a comma or } is expected" : "a comma or ] is expected");
        leave(s);
        p++;
    }
    return p;
}

/* A value that is no array and no object. */
static inline const uint8_t *scalar(struct scan *s, const uint8_t *p)
{
    switch (*p) {
    case '"':
        return string(s, p + 1);
    case 't':
        return literal(s, p, "true", 4);
    case 'f':
        return literal(s, p, "false", 5);
    case 'n':
        return literal(s, p, "null", 4);
    default:
        if (*p != '-' && !is_digit(*p))
            return bad(s, p, "a value is expected");
        return number(s, p);
    }
}

/* The outermost value, from its first byte to behind its last. */
static const uint8_t *value(struct scan *s, const uint8_t *p)
{
    do {
        if (s->in_object)
            p = name(s, p);
        if (p == NULL)
            return NULL;
        bool closed = true;
        if (*p == '{' || *p == '[')
            p = enter(s, p, &closed);
        else
            p = scalar(s, p);
        if (p != NULL && closed)
            p = after_value(s, p);
    } while (p != NULL && s->depth != 0);
    return p;
}

long json_scan(struct json *j, struct span input, bool whole, struct json_found *found)
{
    struct scan s; /* not cleared: the levels are many and are written before they are read */
    s.start = (const uint8_t *)(input.bytes == 0 ? "" : input.at);
    s.end = s.start + input.bytes;
    s.whole = whole;
    s.in_object = false;
    s.depth = 0;
    s.depth_max = j->depth_max;
    s.names = &j->names;
    s.found = found;
    const uint8_t *from = token(&s, s.start);
    if (from == NULL)
        return s.result;
    s.spaced = false; /* white space before the value does not count */
    const uint8_t *to = value(&s, from);
    if (to != NULL && whole && skip_space(to, s.end) != s.end)
        to = bad(&s, skip_space(to, s.end), "there is something else behind the value");
    if (to == NULL) {
        names_pop(&j->names, 0);
        return s.result;
    }
    found->text = span((const char *)from, (size_t)(to - from));
    found->type = json_type_of(found->text);
    found->spaced = s.spaced;
    return (long)(to - s.start);
}
