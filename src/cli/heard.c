/* Message lines: [2026-11-22 19:10:00.123456] seoul CLIENT [REQUEST] W1 POST /notes {"title":"a"}
 */
#include "cli/heard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The next word, and what is behind the space after it. */
static struct span word(struct span *rest)
{
    const char *end = rest->bytes == 0 ? NULL : memchr(rest->at, ' ', rest->bytes);
    size_t bytes = end != NULL ? (size_t)(end - rest->at) : rest->bytes;
    struct span found = span(rest->at, bytes);
    *rest = span(rest->at + bytes + (end != NULL), rest->bytes - bytes - (end != NULL));
    return found;
}

static bool read_time(const char *line, uint64_t *at_us)
{
    struct tm t = {0};
    unsigned us;
    int used = 0;
    if (sscanf(line, "[%d-%d-%d %d:%d:%d.%6u]%n", /* NOLINT(cert-err34-c): the form is checked */
               &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &us,
               &used) != 7 ||
        used != 28)
        return false;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    *at_us = (uint64_t)timegm(&t) * 1000000 + us;
    return true;
}

static bool read_line(struct heard_message *m)
{
    if (!read_time(m->line, &m->at_us))
        return false;
    struct span rest = span_of(m->line + 12); /* behind the date */
    m->time = word(&rest);
    if (m->time.bytes != 0)
        m->time.bytes--; /* the bracket */
    word(&rest);         /* the name: who printed it is known */
    m->actor = word(&rest);
    m->kind = word(&rest);
    m->step = word(&rest);
    m->text = rest;
    return m->step.bytes == 2;
}

bool heard_add(struct heard *h, unsigned server, uint64_t now_us, const char *line)
{
    struct heard_message m = {.server = server, .heard_us = now_us, .line = strdup(line)};
    if (m.line == NULL || h->count == HEARD_MAX || !read_line(&m)) {
        free(m.line);
        return false;
    }
    unsigned place = h->count++; /* of one time, those of one server stay in their order */
    for (; place > 0 && h->list[place - 1].at_us > m.at_us; place--)
        h->list[place] = h->list[place - 1];
    h->list[place] = m;
    return true;
}

void heard_drop(struct heard *h, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(h->list[i].line);
    h->count -= count;
    memmove(h->list, h->list + count, h->count * sizeof h->list[0]);
}

bool heard_has(const struct heard *h, const struct heard_wish *wish)
{
    for (unsigned i = 0; i < h->count; i++) {
        const struct heard_message *m = &h->list[i];
        if (m->server == wish->server && span_is(m->actor, wish->actor) &&
            span_is(m->step, wish->step) && strstr(m->text.at, wish->words) != NULL)
            return true;
    }
    return false;
}
