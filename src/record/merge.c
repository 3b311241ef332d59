/* JSON Merge Patch on text. Knows nothing of records: any two objects. */
#include "record/merge.h"

#include "base/err.h"
#include "record/json_names.h"

/*
 * The patch is read once, into a list of its members: those of its objects at every depth, each
 * before its own members, arrays left whole. A member has the same number here and among the names,
 * where it is found by the object that it belongs to and what its name reads. An object is known by
 * the number of its first member, which is that of the member that it is the value of, plus one.
 *
 * Then target and list are walked side by side, each byte once. Recursion ends with the depth of
 * accepted text (at most 64).
 */
struct part {
    struct span value;
    uint32_t next; /* the first member behind this one's own */
    bool met;      /* the target has a member of this name */
};

struct merge {
    struct names *names;
    struct buf *parts;
    struct buf *out;
};

static struct part *part(const struct merge *m, uint32_t number)
{
    return (struct part *)(void *)m->parts->at + number;
}

static bool is_null(struct span value)
{
    return json_type_of(value) == JSON_NULL;
}

static bool is_object(struct span value)
{
    return json_type_of(value) == JSON_OBJECT;
}

/* The name whose opening quote is at *p, which then goes on to the value. */
static struct span take_name(const char **p, const char *end)
{
    size_t bytes = json_value_bytes(span(*p, (size_t)(end - *p)));
    struct span name = span(*p + 1, bytes - 2);
    *p += bytes + 1; /* the colon */
    return name;
}

/* Lists the object that begins at `p` and returns where it ends, or NULL where memory does. */
static const char *list_object(struct merge *m, const char *p, const char *end)
{
    uint32_t object = m->names->count, same;
    for (p++; *p != '}'; p += *p == ',') {
        uint32_t number = m->names->count;
        struct span name = take_name(&p, end);
        if (names_find_or_push(m->names, object, name, &same) != 0 ||
            buf_room(m->parts, sizeof(struct part)) == NULL)
            return NULL;
        m->parts->bytes += sizeof(struct part);
        const char *value = p;
        p = *p == '{' ? list_object(m, p, end) : p + json_value_bytes(span(p, (size_t)(end - p)));
        if (p == NULL)
            return NULL;
        *part(m, number) = (struct part){span(value, (size_t)(p - value)), m->names->count, false};
    }
    return p + 1;
}

/* A name with its quotes and colon, which stand around it in compact text. */
static void add_name(struct merge *m, struct span name)
{
    if (m->out->bytes != 0 && m->out->at[m->out->bytes - 1] != '{')
        buf_add_char(m->out, ',');
    buf_add(m->out, name.at - 1, name.bytes + 3);
}

static void add_new(struct merge *m, uint32_t number);

/* The members of a listed object that the target does not have. */
static void add_unmet(struct merge *m, uint32_t object, uint32_t behind)
{
    for (uint32_t i = object; i != behind; i = part(m, i)->next) {
        if (part(m, i)->met || is_null(part(m, i)->value))
            continue;
        add_name(m, m->names->at[i].raw);
        add_new(m, i);
    }
}

/* A value that replaces no object: nulls are stripped from the objects in it, since RFC 7396
 * section 2 merges it into an empty one. */
static void add_new(struct merge *m, uint32_t number)
{
    const struct part *new = part(m, number);
    if (!is_object(new->value)) {
        buf_add_span(m->out, new->value);
        return;
    }
    buf_add_char(m->out, '{');
    add_unmet(m, number + 1, new->next);
    buf_add_char(m->out, '}');
}

/* Merges a listed object into the object that begins at `p` and returns where that ends, or NULL
 * where memory does. */
static const char *merge_object(struct merge *m, const char *p, const char *end, uint32_t object,
                                uint32_t behind)
{
    buf_add_char(m->out, '{');
    for (p++; *p != '}'; p += *p == ',') {
        uint32_t number;
        struct span name = take_name(&p, end);
        if (names_find(m->names, object, name, &number) != 0)
            return NULL;
        struct part *new = number == NAMES_NONE ? NULL : part(m, number);
        if (new != NULL)
            new->met = true;
        if (new == NULL || !is_null(new->value))
            add_name(m, name);
        if (new != NULL && is_object(new->value) && *p == '{') {
            p = merge_object(m, p, end, number + 1, new->next);
            if (p == NULL)
                return NULL;
            continue;
        }
        struct span old = span(p, json_value_bytes(span(p, (size_t)(end - p))));
        if (new == NULL)
            buf_add_span(m->out, old);
        else if (!is_null(new->value))
            add_new(m, number);
        p += old.bytes;
    }
    add_unmet(m, object, behind);
    buf_add_char(m->out, '}');
    return p + 1;
}

int merge_patch(struct json *j, struct span target, struct span patch, struct buf *out)
{
    struct names *names = json_names(j);
    struct merge m = {.names = names, .parts = &names->lent, .out = out};
    buf_reset(m.parts, SIZE_MAX);
    bool done = list_object(&m, patch.at, patch.at + patch.bytes) != NULL &&
                merge_object(&m, target.at, target.at + target.bytes, 0, names->count) != NULL;
    names_pop(names, 0);
    return done && !out->failed ? 0 : ERR_NO_MEMORY;
}
