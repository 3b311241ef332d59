/* The words of a request, from any bytes: each parser against a second, simpler reading. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "record/request.h"

static bool within(struct span part, struct span whole)
{
    return part.bytes == 0 ||
           (part.at >= whole.at && part.at + part.bytes <= whole.at + whole.bytes);
}

/* A copy that ends in NUL; for readings that need one. */
static char *text_of(struct span s)
{
    char *text = malloc(s.bytes + 1);
    assert(text != NULL);
    if (s.bytes != 0)
        memcpy(text, s.at, s.bytes);
    text[s.bytes] = '\0';
    return text;
}

/* --- Targets --- */

#define NAME "[a-z][a-z0-9_-]{0,62}"

enum pattern { COLLECTION, RECORD, NAMED, NAME_ALONE, DIGITS, NUMBER, PATTERNS };

static bool matches(enum pattern pattern, struct span s)
{
    static const char *const patterns[PATTERNS] = {
        [COLLECTION] = "^/" NAME "$",     [RECORD] = "^/" NAME "/[1-9][0-9]*$",
        [NAMED] = "^/" NAME "(/[^/]*)?$", [NAME_ALONE] = "^" NAME "$",
        [DIGITS] = "^[1-9][0-9]*$",       [NUMBER] = "^(0|[1-9][0-9]{0,18})$",
    };
    static regex_t compiled[PATTERNS];
    static bool ready[PATTERNS];
    if (!ready[pattern])
        ready[pattern] =
            regcomp(&compiled[pattern], patterns[pattern], REG_EXTENDED | REG_NOSUB) == 0;
    assert(ready[pattern]);
    char *text = text_of(s);
    bool match = strlen(text) == s.bytes && regexec(&compiled[pattern], text, 0, NULL, 0) == 0;
    free(text);
    return match;
}

/* Whether `digits` are at most INT64_MAX, as their length and order tell. */
static bool is_id(struct span digits)
{
    static const char most[] = "9223372036854775807";
    return digits.bytes < 19 || (digits.bytes == 19 && memcmp(digits.at, most, 19) <= 0);
}

static void check_target(struct span text)
{
    struct target t;
    target_parse(text, &t);
    const char *question = text.bytes == 0 ? NULL : memchr(text.at, '?', text.bytes);
    assert(t.path.at == text.at);
    if (question == NULL) {
        assert(t.path.bytes == text.bytes && t.query.bytes == 0);
    } else {
        assert(t.path.at + t.path.bytes == question && t.query.at == question + 1);
        assert(t.path.bytes + 1 + t.query.bytes == text.bytes);
    }
    const char *slash = t.path.bytes < 2 ? NULL : memchr(t.path.at + 1, '/', t.path.bytes - 1);
    struct span id = {0};
    if (slash != NULL)
        id = span(slash + 1, (size_t)(t.path.at + t.path.bytes - slash) - 1);
    switch (t.kind) {
    case TARGET_OWN:
        assert(t.path.at[0] == '/' && t.path.at[1] == '_');
        break;
    case TARGET_COLLECTION:
        assert(matches(COLLECTION, t.path));
        assert(span_eq(t.collection, span(t.path.at + 1, t.path.bytes - 1)));
        break;
    case TARGET_RECORD: {
        char digits[20];
        assert(matches(RECORD, t.path) && is_id(id));
        assert(t.collection.at == t.path.at + 1 && t.collection.at + t.collection.bytes == slash);
        assert(span_eq(id, span(digits, u64_digits(t.id, digits))));
        break;
    }
    case TARGET_BAD_ID:
        assert(slash != NULL &&
               matches(NAME_ALONE, span(t.path.at + 1, (size_t)(slash - t.path.at) - 1)));
        assert(!matches(DIGITS, id) || !is_id(id));
        break;
    case TARGET_NOWHERE:
        assert(t.path.bytes < 2 || t.path.at[0] != '/' || t.path.at[1] != '_');
        assert(!matches(NAMED, t.path));
        break;
    }
}

/* --- Queries --- */

/* By cutting a copy into pieces. */
static void check_query(struct span query)
{
    static const char *const names[] = {"after", "a", NULL};
    struct span found[2] = {{0}}, value;
    bool there[2] = {false}, only = true;
    char *text = text_of(query), *rest = query.bytes == 0 ? NULL : text, *pair;
    if (strlen(text) != query.bytes) {
        free(text);
        return;
    }
    while ((pair = strsep(&rest, "&")) != NULL) {
        if (*pair == '\0' && rest == NULL)
            break; /* nothing behind the last & */
        char *begin = strchrnul(pair, '=');
        size_t name_bytes = (size_t)(begin - pair);
        bool known = false;
        for (int i = 0; i < 2; i++) {
            if (!span_eq(span(pair, name_bytes), span_of(names[i])))
                continue;
            known = true;
            if (!there[i])
                found[i] = span_of(*begin == '=' ? begin + 1 : begin);
            there[i] = true;
        }
        only = only && known;
    }
    for (int i = 0; i < 2; i++) {
        assert(query_get(query, names[i], &value) == there[i]);
        assert(!there[i] || (span_eq(value, found[i]) && within(value, query)));
    }
    assert(query_only(query, names) == only);
    free(text);
}

/* --- Conditions --- */

static void check_condition(struct span value)
{
    struct condition strong, weak, again;
    int rc = condition_parse(value, true, &weak);
    assert(rc == 0 || rc == ERR_BAD_REQUEST);
    assert(condition_parse(value, false, &strong) == rc);
    if (rc != 0)
        return;
    assert(strong.kind == weak.kind && strong.kind != CONDITION_ABSENT);
    if (weak.kind == CONDITION_ANY)
        return;
    assert(weak.count >= 1 && weak.count <= CONDITION_TAGS_MAX && strong.count == weak.count);

    /* written out plainly it is the same list */
    struct buf plain = {0};
    for (unsigned i = 0; i < weak.count; i++) {
        assert(strong.tags[i] == weak.tags[i] || strong.tags[i] == 0);
        buf_printf(&plain, "%s\"%llu\"", i == 0 ? "" : ", ", (unsigned long long)weak.tags[i]);
    }
    assert(condition_parse(buf_span(&plain), false, &again) == 0);
    assert(again.kind == weak.kind && again.count == weak.count);
    assert(memcmp(again.tags, weak.tags, weak.count * sizeof *weak.tags) == 0);
    buf_finish(&plain);

    for (unsigned i = 0; i < weak.count; i++) {
        uint64_t seq = weak.tags[i];
        const struct conditions match = {.match = weak}, none_match = {.none_match = weak};
        assert(conditions_check(&match, false, seq) == (seq != 0 ? 0 : ERR_PRECONDITION_FAILED));
        assert(conditions_check(&none_match, false, seq) ==
               (seq != 0 ? ERR_PRECONDITION_FAILED : 0));
        assert(conditions_check(&none_match, true, seq) ==
               (seq != 0 ? CONDITIONS_NOT_MODIFIED : 0));
    }
}

/* --- Single words --- */

static void check_media(struct span type)
{
    struct buf other = {0};
    buf_add_text(&other, " \t");
    for (size_t i = 0; i < type.bytes; i++)
        buf_add_char(&other, (char)(islower((unsigned char)type.at[i])
                                        ? toupper((unsigned char)type.at[i])
                                        : tolower((unsigned char)type.at[i])));
    buf_add_text(&other, "\t ;charset=utf-8");
    assert(media_of(buf_span(&other)) == media_of(type));
    buf_finish(&other);
}

static void check_words(struct span text)
{
    enum method m = method_of(text);
    assert(m == METHOD_OTHER || span_is(text, method_word(m)));

    bool control = false;
    for (size_t i = 0; i < text.bytes; i++)
        control = control || iscntrl((unsigned char)text.at[i]);
    bool good = text.bytes >= 8 && text.bytes <= 64 && !control;
    assert(key_check(text) == (good ? 0 : ERR_BAD_KEY));

    uint64_t number = 77;
    char *copy = text_of(text), digits[20];
    if (u64_parse(text, &number)) {
        errno = 0;
        assert(strtoull(copy, NULL, 10) == number && errno == 0);
        assert(span_eq(text, span(digits, u64_digits(number, digits))));
    } else {
        assert(number == 77);
        assert(!matches(NUMBER, text));
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    check_target(text);
    check_query(text);
    check_condition(text);
    check_media(text);
    check_words(text);
    return 0;
}
