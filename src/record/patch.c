/* JSON Patch on text, one operation after another. Knows nothing of records but their "id". */
#include "record/patch.h"

#include <stdio.h>

#include "base/err.h"
#include "record/json_equal.h"

enum verb { ADD, REMOVE, REPLACE, MOVE, COPY, TEST, VERBS };

struct operation {
    enum verb verb;
    struct span path, from; /* pointers, between the quotes as sent */
    struct span value;
    bool has_path, has_from;
};

struct patching {
    const struct patch_limits *limits;
    struct buf *doc;
    size_t work; /* what is left of it */
    struct buf path, from, token, piece, held;
    struct patch_fault *fault;
};

/* Where a pointer (RFC 6901) leads. All places are offsets in the text, which moves as it grows. */
struct spot {
    bool there;
    enum json_type parent; /* 0: it is the whole text */
    size_t depth;          /* of arrays and objects around it */
    size_t whole_at;       /* there: of the value, or of its name; else: where it would stand */
    size_t at, bytes;      /* there: of the value */
    bool first;            /* nothing stands before it in its parent */
};

static int refuse(struct patching *p, int code, const char *why)
{
    p->fault->why = why;
    return code;
}

static int spend(struct patching *p, size_t bytes)
{
    if (p->work < bytes)
        return refuse(p, ERR_TOO_LARGE, "so many operations on so large a record are too much");
    p->work -= bytes;
    return 0;
}

/* --- Pointers --- */

/* Decodes a pointer from its JSON string. */
static int read_pointer(struct patching *p, struct span raw, struct buf *to)
{
    buf_reset(to, SIZE_MAX);
    char *room = buf_room(to, raw.bytes + 1);
    if (room == NULL)
        return ERR_NO_MEMORY;
    to->bytes = json_string_decode(raw, room);
    if (to->bytes != 0 && to->at[0] != '/')
        return refuse(p, ERR_BAD_REQUEST, "a pointer is empty or begins with /");
    for (size_t i = 0; i < to->bytes; i++)
        if (to->at[i] == '~' && (i + 1 == to->bytes || (to->at[i + 1] & ~1) != '0'))
            return refuse(p, ERR_BAD_REQUEST, "in a pointer ~ stands in ~0 and ~1 only");
    return 0;
}

/* The next token of a pointer, without its escapes; lives until the next one. */
static int next_token(struct patching *p, struct span *rest, struct span *token)
{
    buf_reset(&p->token, SIZE_MAX);
    char *to = buf_room(&p->token, rest->bytes);
    size_t i = 1, n = 0;
    if (to == NULL)
        return ERR_NO_MEMORY;
    for (; i < rest->bytes && rest->at[i] != '/'; i++) {
        char c = rest->at[i];
        if (c == '~')
            c = rest->at[++i] == '0' ? '~' : '/';
        to[n++] = c;
    }
    *rest = span(rest->at + i, rest->bytes - i);
    p->token.bytes = n;
    *token = span(to, n);
    return 0;
}

static struct span text_from(const struct patching *p, size_t at)
{
    return span(p->doc->at + at, p->doc->bytes - at);
}

static void find_member(const struct patching *p, size_t object, struct span name, struct spot *s)
{
    struct json_walk w = json_walk(text_from(p, object));
    struct json_member m;
    for (s->first = true; json_next(&w, &m); s->first = false) {
        if (!json_string_is(m.name, name))
            continue;
        s->there = true;
        s->whole_at = (size_t)(m.whole.at - p->doc->at);
        s->at = (size_t)(m.value.at - p->doc->at);
        s->bytes = m.value.bytes;
        return;
    }
    s->whole_at = (size_t)(w.at - p->doc->at); /* of the closing brace */
}

/* An index that is the number of elements, and "-", lead to where the next one would stand. */
static bool find_element(const struct patching *p, size_t array, struct span index, struct spot *s)
{
    struct json_walk w = json_walk(text_from(p, array));
    struct span element;
    uint64_t wanted = 0, i = 0;
    bool behind = span_is(index, "-");
    if (!behind && !u64_parse(index, &wanted))
        return false;
    for (s->first = true; json_next_element(&w, &element); s->first = false, i++) {
        if (behind || i != wanted)
            continue;
        s->there = true;
        s->whole_at = s->at = (size_t)(element.at - p->doc->at);
        s->bytes = element.bytes;
        return true;
    }
    s->whole_at = (size_t)(w.at - p->doc->at); /* of the closing bracket */
    return behind || i == wanted;
}

static int find(struct patching *p, struct span pointer, struct spot *s)
{
    *s = (struct spot){.there = true, .bytes = p->doc->bytes, .first = true};
    while (pointer.bytes != 0) {
        struct span token;
        bool leads = true;
        size_t around = s->at;
        enum json_type type = s->there ? json_type_of(text_from(p, around)) : JSON_NULL;
        int rc = next_token(p, &pointer, &token);
        if (rc != 0)
            return rc;
        *s = (struct spot){.parent = type, .depth = s->depth + 1, .whole_at = around};
        if (type == JSON_OBJECT)
            find_member(p, around, token, s);
        else
            leads = type == JSON_ARRAY && find_element(p, around, token, s);
        rc = spend(p, s->whole_at + s->bytes - around);
        if (rc != 0)
            return rc;
        if (!leads)
            return refuse(p, ERR_PRECONDITION_FAILED, "its path leads through what is not there");
    }
    return 0;
}

static int find_there(struct patching *p, struct span pointer, struct spot *s)
{
    int rc = find(p, pointer, s);
    return rc == 0 && !s->there ? refuse(p, ERR_PRECONDITION_FAILED, "there is nothing there") : rc;
}

/* --- Changing the text --- */

/* Puts `with` in the place of so many bytes. It is not part of the text. */
static int splice(struct patching *p, size_t at, size_t bytes, struct span with)
{
    struct buf *doc = p->doc;
    if (doc->bytes - bytes + with.bytes > p->limits->bytes_max)
        return refuse(p, ERR_TOO_LARGE, "the record would be longer than the limit");
    int rc = spend(p, doc->bytes - at + with.bytes);
    if (rc != 0)
        return rc;
    if (buf_room(doc, with.bytes) == NULL)
        return ERR_NO_MEMORY;
    memmove(doc->at + at + with.bytes, doc->at + at + bytes, doc->bytes - at - bytes);
    memcpy(doc->at + at, with.at, with.bytes);
    doc->bytes = doc->bytes - bytes + with.bytes;
    return 0;
}

/* How deep a value nests by itself. */
static size_t depth_of(struct span value)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < value.bytes; i++) {
        char c = value.at[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

static int fits(struct patching *p, const struct spot *s, struct span value)
{
    if (s->parent == 0 && json_type_of(value) != JSON_OBJECT)
        return refuse(p, ERR_NOT_OBJECT, "a record is an object");
    int rc = spend(p, value.bytes);
    return rc == 0 && s->depth + depth_of(value) > p->limits->depth_max
               ? refuse(p, ERR_BAD_JSON, "the record would be nested deeper than the limit")
               : rc;
}

static int set(struct patching *p, const struct spot *s, struct span value)
{
    int rc = fits(p, s, value);
    return rc == 0 ? splice(p, s->at, s->bytes, value) : rc;
}

/* At a spot that find() has left last: `token` is its name. */
static int insert(struct patching *p, const struct spot *s, struct span value)
{
    if (s->there && s->parent != JSON_ARRAY)
        return set(p, s, value);
    int rc = fits(p, s, value);
    if (rc != 0)
        return rc;
    buf_reset(&p->piece, SIZE_MAX);
    if (!s->there && !s->first)
        buf_add_char(&p->piece, ',');
    if (s->parent == JSON_OBJECT) {
        json_quote(&p->piece, buf_span(&p->token));
        buf_add_char(&p->piece, ':');
    }
    buf_add_span(&p->piece, value);
    if (s->there)
        buf_add_char(&p->piece, ',');
    return p->piece.failed ? ERR_NO_MEMORY : splice(p, s->whole_at, 0, buf_span(&p->piece));
}

static int take_out(struct patching *p, const struct spot *s)
{
    size_t from = s->whole_at, to = s->at + s->bytes;
    if (s->parent == 0)
        return refuse(p, ERR_NOT_OBJECT, "a record cannot be removed by a patch");
    if (p->doc->at[to] == ',')
        to++;
    else if (!s->first)
        from--;
    return splice(p, from, to - from, span("", 0));
}

/* --- Operations --- */

/* Copies the value at `from` out of the text, before that changes. */
static int hold(struct patching *p, struct spot *s)
{
    int rc = find_there(p, buf_span(&p->from), s);
    if (rc == 0)
        rc = spend(p, s->bytes);
    if (rc != 0)
        return rc;
    buf_reset(&p->held, SIZE_MAX);
    buf_add(&p->held, p->doc->at + s->at, s->bytes);
    return p->held.failed ? ERR_NO_MEMORY : 0;
}

static int add(struct patching *p, struct span value)
{
    struct spot s;
    int rc = find(p, buf_span(&p->path), &s);
    return rc == 0 ? insert(p, &s, value) : rc;
}

static int move(struct patching *p)
{
    struct span from = buf_span(&p->from), path = buf_span(&p->path);
    struct spot s;
    bool within = path.bytes >= from.bytes && span_eq(span(path.at, from.bytes), from);
    if (within && path.bytes > from.bytes && path.at[from.bytes] == '/')
        return refuse(p, ERR_BAD_REQUEST, "nothing can be moved into itself");
    int rc = hold(p, &s);
    if (rc != 0 || span_eq(from, path))
        return rc;
    rc = take_out(p, &s);
    return rc == 0 ? add(p, buf_span(&p->held)) : rc;
}

static int test(struct patching *p, struct span value)
{
    struct spot s;
    int rc = find_there(p, buf_span(&p->path), &s);
    if (rc == 0)
        rc = json_equal(span(p->doc->at + s.at, s.bytes), value, &p->work, &p->piece);
    if (rc == 0)
        return refuse(p, ERR_PRECONDITION_FAILED, "the value there is another");
    return rc == 1 ? 0 : rc == ERR_TOO_LARGE ? spend(p, SIZE_MAX) : rc;
}

static int run(struct patching *p, const struct operation *o)
{
    struct spot s;
    int rc = read_pointer(p, o->path, &p->path);
    if (rc == 0 && o->has_from)
        rc = read_pointer(p, o->from, &p->from);
    if (rc != 0)
        return rc;
    switch (o->verb) {
    case ADD:
        return add(p, o->value);
    case REMOVE:
        rc = find_there(p, buf_span(&p->path), &s);
        return rc == 0 ? take_out(p, &s) : rc;
    case REPLACE:
        rc = find_there(p, buf_span(&p->path), &s);
        return rc == 0 ? set(p, &s, o->value) : rc;
    case MOVE:
        return move(p);
    case COPY:
        rc = hold(p, &s);
        return rc == 0 ? add(p, buf_span(&p->held)) : rc;
    default:
        return test(p, o->value);
    }
}

/* --- The patch --- */

static bool take_text(struct span value, struct span *text)
{
    *text = span(value.at + 1, value.bytes - 2);
    return json_type_of(value) == JSON_STRING;
}

/* Members that RFC 6902 does not name, or not for this operation, are ignored (section 4). */
static int read_operation(struct patching *p, struct span object, struct operation *o)
{
    static const char *const verbs[VERBS] = {"add", "remove", "replace", "move", "copy", "test"};
    struct span verb = {0};
    struct json_member m;
    *o = (struct operation){.verb = VERBS};
    if (json_type_of(object) != JSON_OBJECT)
        return refuse(p, ERR_BAD_REQUEST, "an operation is an object");
    for (struct json_walk w = json_walk(object); json_next(&w, &m);) {
        if (json_string_is(m.name, span_of("op")) && !take_text(m.value, &verb))
            return refuse(p, ERR_BAD_REQUEST, "op is a string");
        if (json_string_is(m.name, span_of("path")))
            o->has_path = take_text(m.value, &o->path);
        if (json_string_is(m.name, span_of("from")))
            o->has_from = take_text(m.value, &o->from);
        if (json_string_is(m.name, span_of("value")))
            o->value = m.value;
    }
    for (int v = 0; verb.at != NULL && v < VERBS; v++)
        if (json_string_is(verb, span_of(verbs[v])))
            o->verb = (enum verb)v;
    bool moves = o->verb == MOVE || o->verb == COPY;
    if (o->verb == VERBS)
        return refuse(p, ERR_BAD_REQUEST, "op is add, remove, replace, move, copy or test");
    if (!o->has_path)
        return refuse(p, ERR_BAD_REQUEST, "an operation needs path, a string");
    if (moves && !o->has_from)
        return refuse(p, ERR_BAD_REQUEST, "move and copy need from, a string");
    if (!moves && o->verb != REMOVE && o->value.at == NULL)
        return refuse(p, ERR_BAD_REQUEST, "add, replace and test need value");
    o->has_from = moves; /* of others it is ignored */
    return 0;
}

static int run_all(struct patching *p, struct span patch)
{
    struct span object;
    int rc = 0;
    if (json_type_of(patch) != JSON_ARRAY)
        return refuse(p, ERR_BAD_REQUEST, "a JSON Patch is an array of operations");
    for (struct json_walk w = json_walk(patch); rc == 0 && json_next_element(&w, &object);) {
        struct operation o;
        p->fault->operation++;
        rc = read_operation(p, object, &o);
        if (rc == 0)
            rc = run(p, &o);
    }
    return rc;
}

int json_patch(const struct patch_limits *limits, struct span target, struct span patch,
               struct buf *out, struct patch_fault *fault)
{
    struct patching p = {.limits = limits, .doc = out, .work = limits->work_max, .fault = fault};
    *fault = (struct patch_fault){0};
    buf_reset(out, SIZE_MAX);
    buf_add_span(out, target);
    int rc = out->failed ? ERR_NO_MEMORY : spend(&p, target.bytes);
    if (rc == 0)
        rc = run_all(&p, patch);
    if (limits->work != NULL)
        *limits->work += limits->work_max - p.work;
    buf_finish(&p.path);
    buf_finish(&p.from);
    buf_finish(&p.token);
    buf_finish(&p.piece);
    buf_finish(&p.held);
    return rc;
}

int patch_id_first(struct buf *record, struct span id)
{
    struct json_walk w = json_walk(buf_span(record));
    struct json_member m;
    bool found = false, first = true;
    while (!found && json_next(&w, &m)) {
        found = json_string_is(m.name, span_of("id"));
        first = found && m.whole.at == record->at + 1;
    }
    if (!found || !span_eq(m.value, id))
        return ERR_ID_MISMATCH;
    if (first && span_is(m.name, "id"))
        return 0;
    /* What stood before it goes behind it: {A,"id":7,B} is {"id":7,A,B} then. */
    char head[64];
    size_t head_bytes =
        (size_t)snprintf(head, sizeof head, "{\"id\":%.*s", SPAN_ARGS(id)); /* at most 20 digits */
    size_t before = (size_t)(m.whole.at - record->at) - 1;
    size_t behind = (size_t)(m.whole.at - record->at) + m.whole.bytes;
    struct buf moved = {0};
    buf_add(&moved, head, head_bytes);
    if (before != 0) { /* it ends in a comma */
        buf_add_char(&moved, ',');
        buf_add(&moved, record->at + 1, before - 1);
    }
    buf_add(&moved, record->at + behind, record->bytes - behind);
    buf_reset(record, SIZE_MAX);
    buf_add_span(record, buf_span(&moved));
    bool failed = moved.failed || record->failed;
    buf_finish(&moved);
    return failed ? ERR_NO_MEMORY : 0;
}
