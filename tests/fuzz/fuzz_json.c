/* The JSON scanner, framing and walks: any bytes are judged the same however they are cut, and what
 * is accepted is walked, squeezed and quoted without loss. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "record/json.h"

enum { NAMES_COMPARED_MAX = 32 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *room(size_t bytes)
{
    char *at = malloc(bytes + 1);
    assert(at != NULL);
    return at;
}

/* A copy of its own, so that a sanitizer sees a read outside it. */
static struct span copy(struct span s)
{
    char *at = malloc(s.bytes);
    assert(at != NULL || s.bytes == 0);
    if (s.bytes != 0)
        memcpy(at, s.at, s.bytes);
    return span(at, s.bytes);
}

static void expect_accepted(struct json *j, struct span text, enum json_type type)
{
    struct json_found found;
    assert(json_scan(j, text, true, &found) == (long)text.bytes);
    assert(found.type == type && json_type_of(text) == type);
    assert(span_eq(found.text, text));
}

/* What is told of a piece from the start holds of the whole. */
static void check_cut(struct json *j, struct span input, size_t cut, long result,
                      const struct json_found *found)
{
    struct span piece = copy(span(input.at, cut));
    struct json_found of_piece;
    long so_far = json_scan(j, piece, false, &of_piece);
    if (so_far > 0)
        assert(result == so_far && of_piece.type == found->type);
    if (so_far < 0)
        assert(result == ERR_BAD_JSON && of_piece.bad_at == found->bad_at);
    if (result == 0 || (result > 0 && cut < (size_t)result) || (result < 0 && cut <= found->bad_at))
        assert(so_far == 0);
    free((char *)piece.at);
}

static void check_string(struct json *j, struct span raw)
{
    char *decoded = room(raw.bytes);
    struct span word = span(decoded, json_string_decode(raw, decoded));
    assert(word.bytes <= raw.bytes && json_string_is(raw, word));
    assert(word.bytes == 0 || !json_string_is(raw, span(word.at, word.bytes - 1)));
    struct buf quoted = {0};
    json_quote(&quoted, word);
    expect_accepted(j, buf_span(&quoted), JSON_STRING);
    assert(json_string_is(span(quoted.at + 1, quoted.bytes - 2), word));
    buf_finish(&quoted);
    free(decoded);
}

/* Members, commas and braces are all that there is, and no two names read the same. */
static void check_members(struct json *j, struct span compact)
{
    struct span names[NAMES_COMPARED_MAX];
    size_t count = 0;
    const char *at = compact.at + 1;
    struct json_walk w = json_walk(compact);
    for (struct json_member m; json_next(&w, &m); count++) {
        assert(count == 0 || *at++ == ',');
        assert(m.whole.at == at && m.name.at == at + 1);
        assert(m.value.at == m.name.at + m.name.bytes + 2);
        at = m.whole.at + m.whole.bytes;
        assert(at == m.value.at + m.value.bytes);
        expect_accepted(j, m.value, json_type_of(m.value));
        check_string(j, m.name);
        for (size_t i = 0; i < count && i < NAMES_COMPARED_MAX; i++) {
            char *decoded = room(m.name.bytes);
            assert(!json_string_is(names[i], span(decoded, json_string_decode(m.name, decoded))));
            free(decoded);
        }
        if (count < NAMES_COMPARED_MAX)
            names[count] = m.name;
        if (json_type_of(m.value) == JSON_OBJECT)
            check_members(j, m.value);
    }
    assert(*at == '}' && at + 1 == compact.at + compact.bytes);
}

static void check_frame(struct span object, size_t cut)
{
    struct json_frame f = {0};
    assert(json_frame(&f, object) == object.bytes);
    assert(f.depth == 0 && !f.in_string && !f.escaped);
    assert(json_frame(&f, span(object.at, cut)) == 0 || cut == object.bytes);
    if (cut != object.bytes)
        assert(json_frame(&f, span(object.at + cut, object.bytes - cut)) == object.bytes - cut);
}

static void check_accepted(struct json *j, const struct json_found *found, size_t cut)
{
    struct span text = copy(found->text);
    assert(!is_space(text.at[0]) && !is_space(text.at[text.bytes - 1]));
    expect_accepted(j, text, found->type);
    assert(json_value_bytes(text) == text.bytes);

    char *squeezed = room(text.bytes), *again = room(text.bytes);
    struct span compact = span(squeezed, json_compact(text, squeezed));
    assert(found->spaced == (compact.bytes != text.bytes));
    expect_accepted(j, compact, found->type);
    assert(span_eq(span(again, json_compact(compact, again)), compact));

    if (found->type == JSON_STRING)
        check_string(j, span(text.at + 1, text.bytes - 2));
    if (found->type == JSON_OBJECT) {
        check_members(j, compact);
        check_frame(text, cut % (text.bytes + 1));
    }
    free(squeezed);
    free(again);
    free((char *)text.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span((const char *)data, size);
    size_t cut = size == 0 ? 0 : (size * 31 + data[size / 2]) % (size + 1);
    struct json *j;
    struct json_found found = {0}, of_whole = {0};
    if (json_create(&j, size, 1 + (unsigned)size % 64) != 0)
        return 0;
    long result = json_scan(j, input, false, &found);
    assert(result == ERR_BAD_JSON || (result >= 0 && result <= (long)size));
    if (result < 0)
        assert(found.bad_at < size && found.why != NULL);
    check_cut(j, input, cut, result, &found);

    long whole = json_scan(j, input, true, &of_whole);
    if (whole > 0) {
        assert(result == whole || (result == 0 && of_whole.type == JSON_NUMBER));
        check_accepted(j, &of_whole, cut);
    } else {
        assert(whole == ERR_BAD_JSON && of_whole.why != NULL);
        assert(of_whole.bad_at >= (size_t)(result > 0 ? result : 0) && of_whole.bad_at <= size);
        if (result < 0)
            assert(of_whole.bad_at == found.bad_at);
    }
    if (result > 0)
        check_accepted(j, &found, cut);

    struct buf quoted = {0};
    json_quote(&quoted, input);
    expect_accepted(j, buf_span(&quoted), JSON_STRING);
    buf_finish(&quoted);
    json_trim(j);
    json_destroy(j);
    return 0;
}
