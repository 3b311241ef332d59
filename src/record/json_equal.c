/* Equality of JSON values, on their text. Knows nothing of patches. */
#include "record/json_equal.h"

#include "base/err.h"

enum { EXPONENT_DIGITS_MAX = 15 };

struct comparison {
    size_t work; /* what is left of it */
    struct buf *scratch;
};

static int spend(struct comparison *c, size_t bytes)
{
    if (c->work < bytes)
        return ERR_TOO_LARGE;
    c->work -= bytes;
    return 0;
}

/* What the text of a number says: 0.DIGITS times ten to the power of `exponent`. */
struct number {
    bool negative;
    struct span digits; /* from the first to the last that is not 0, perhaps with the point
                           between; none: it is zero */
    int64_t exponent;
    bool far; /* its exponent has too many digits to be reckoned with */
};

static int64_t exponent_of(struct span text, bool *far)
{
    bool negative = text.at[0] == '-';
    int64_t value = 0;
    size_t i = text.at[0] == '-' || text.at[0] == '+';
    while (i < text.bytes && text.at[i] == '0')
        i++;
    *far = text.bytes - i > EXPONENT_DIGITS_MAX;
    for (; !*far && i < text.bytes; i++)
        value = value * 10 + (text.at[i] - '0');
    return negative ? -value : value;
}

static struct number number_of(struct span text)
{
    struct number n = {.negative = text.at[0] == '-'};
    size_t end = n.negative, first = 0, last = 0, point = 0;
    bool any = false, has_point = false;
    for (; end < text.bytes && (text.at[end] | 0x20) != 'e'; end++) {
        if (text.at[end] == '.') {
            point = end;
            has_point = true;
        } else if (text.at[end] != '0') {
            first = any ? first : end;
            last = end;
            any = true;
        }
    }
    if (!any)
        return (struct number){.negative = false};
    if (!has_point)
        point = end;
    n.digits = span(text.at + first, last - first + 1);
    if (end < text.bytes)
        n.exponent = exponent_of(span(text.at + end + 1, text.bytes - end - 1), &n.far);
    n.exponent += first < point ? (int64_t)(point - first) : -(int64_t)(first - point - 1);
    return n;
}

static bool same_digits(struct span a, struct span b)
{
    size_t i = 0, k = 0;
    for (;;) {
        i += i < a.bytes && a.at[i] == '.';
        k += k < b.bytes && b.at[k] == '.';
        if (i == a.bytes || k == b.bytes)
            return i == a.bytes && k == b.bytes;
        if (a.at[i++] != b.at[k++])
            return false;
    }
}

static bool same_number(struct span a, struct span b)
{
    struct number n = number_of(a), m = number_of(b);
    if (n.digits.bytes == 0 || m.digits.bytes == 0)
        return n.digits.bytes == m.digits.bytes;
    return !n.far && !m.far && n.negative == m.negative && n.exponent == m.exponent &&
           same_digits(n.digits, m.digits);
}

/* What a string says, between its quotes; lives until the next one. */
static int decoded(struct comparison *c, struct span raw, struct span *text)
{
    *text = raw;
    if (memchr(raw.at, '\\', raw.bytes) == NULL)
        return 0;
    buf_reset(c->scratch, SIZE_MAX);
    char *to = buf_room(c->scratch, raw.bytes);
    if (to == NULL)
        return ERR_NO_MEMORY;
    *text = span(to, json_string_decode(raw, to));
    return 0;
}

/* Of two strings, between their quotes. */
static int same_string(struct comparison *c, struct span a, struct span b)
{
    struct span text;
    if (span_eq(a, b))
        return 1;
    int rc = decoded(c, b, &text);
    return rc != 0 ? rc : json_string_is(a, text);
}

static int same(struct comparison *c, struct span a, struct span b);

static int same_array(struct comparison *c, struct span a, struct span b)
{
    struct json_walk w = json_walk(a), v = json_walk(b);
    struct span one, other;
    for (;;) {
        bool more = json_next_element(&w, &one);
        if (json_next_element(&v, &other) != more)
            return 0;
        int rc = more ? same(c, one, other) : 1;
        if (!more || rc != 1)
            return rc;
    }
}

/* The member of this name from *from on; *from is then behind it. 1, 0 or an error. The name is
 * decoded once: others are left at the first byte that differs, however long it is. */
static int find(struct comparison *c, struct json_walk *from, struct span name,
                struct json_member *m)
{
    const char *start = from->at;
    struct span text;
    bool found = false;
    int rc = decoded(c, name, &text);
    while (rc == 0 && !found && json_next(from, m))
        found = json_string_is(m->name, text);
    if (rc == 0)
        rc = spend(c, (size_t)(from->at - start));
    return rc != 0 ? rc : found;
}

static size_t members(struct span object)
{
    struct json_walk w = json_walk(object);
    struct json_member m;
    size_t count = 0;
    while (json_next(&w, &m))
        count++;
    return count;
}

/* Each is looked for where the one before was found first: mostly they come in the same order. */
static int same_object(struct comparison *c, struct span a, struct span b)
{
    struct json_walk w = json_walk(a), next = json_walk(b);
    struct json_member one, other;
    if (members(a) != members(b))
        return 0;
    while (json_next(&w, &one)) {
        int rc = find(c, &next, one.name, &other);
        if (rc == 0) {
            next = json_walk(b);
            rc = find(c, &next, one.name, &other);
        }
        if (rc == 1)
            rc = same(c, one.value, other.value);
        if (rc != 1)
            return rc;
    }
    return 1;
}

static int same(struct comparison *c, struct span a, struct span b)
{
    enum json_type type = json_type_of(a);
    int rc = spend(c, a.bytes + b.bytes);
    if (rc != 0)
        return rc;
    if (type != json_type_of(b))
        return 0;
    switch (type) {
    case JSON_OBJECT:
        return same_object(c, a, b);
    case JSON_ARRAY:
        return same_array(c, a, b);
    case JSON_STRING:
        return same_string(c, span(a.at + 1, a.bytes - 2), span(b.at + 1, b.bytes - 2));
    case JSON_NUMBER:
        return span_eq(a, b) || same_number(a, b);
    default:
        return 1;
    }
}

int json_equal(struct span a, struct span b, size_t *work, struct buf *scratch)
{
    struct comparison c = {.work = *work, .scratch = scratch};
    int rc = same(&c, a, b);
    *work = c.work;
    return rc;
}
