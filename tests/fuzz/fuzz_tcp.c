/*
 * JSON over TCP, from the bytes of a connection to those of its answers: cut in pieces they are
 * answered as they are in one, each answer is a line with a JSON object, and the connection ends.
 *
 * Input: as whole_and_pieces.h says.
 */
#include "record/json.h"
#include "whole_and_pieces.h"

static bool begins_json(char c)
{
    return c == '{' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void check_line(struct world *w, struct span line)
{
    struct json_found found;
    struct json_member first;
    assert(json_scan(w->x.json, line, true, &found) > 0 && found.type == JSON_OBJECT);
    struct json_walk walk = json_walk(found.text);
    assert(json_next(&walk, &first));
    assert(span_is(first.name, "status") || span_is(first.value, "\"ERROR\""));
}

static void check(struct world *w, const struct script *s, const struct line *l)
{
    struct span rest = buf_span(&l->heard);
    const char *end;
    /* One that drains does not wait for ever, and one that says nothing may stay. */
    assert(l->conn == NULL || (s->how & DRAINS) != 0 || s->stays);
    assert(!l->released && !l->given_to_peer);
    while (rest.bytes != 0 && (end = memchr(rest.at, '\n', rest.bytes)) != NULL) {
        check_line(w, span(rest.at, (size_t)(end - rest.at)));
        rest = span(end + 1, rest.bytes - (size_t)(end - rest.at) - 1);
    }
    assert(rest.bytes == 0 || (s->how & (BREAKS | DRAINS)) != 0);
    assert(!l->reset || (s->how & (BREAKS | DRAINS)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world once, again;
    struct script s;
    script_of(&s, data, size);
    if (s.stream.bytes != 0 && !begins_json(s.stream.at[0]))
        s.stream.at[0] = ' ';
    struct line *whole = say(&once, &s, true, SERVE_TCP);
    check(&once, &s, whole);
    struct line *pieces = say(&again, &s, false, SERVE_TCP);
    check(&again, &s, pieces);
    compare(&s, whole, pieces);
    world_close(&once);
    world_close(&again);
    buf_finish(&s.stream);
    return 0;
}
