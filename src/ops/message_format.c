/* Messages as lines, JSON and server-sent events. Knows nothing of rings and threads. */
#include "ops/message_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "base/json_text.h"

static const char *const steps[] = {"W1", "W2", "W3", "W4", "W5", "R1", "R2"};
static const char *const actors[] = {"CLIENT", "REPLICA"};
static const char *const kinds[] = {"REQUEST", "REPLY"};

void message_scratch_finish(struct message_scratch *s)
{
    buf_finish(&s->text);
    buf_finish(&s->line);
}

/* The code point of a character that would break a line or steer a terminal: C0, DEL, C1 and the
 * two separators of Unicode; 0 for any other (NUL is told by its byte). */
static unsigned unprintable(const char *at, size_t bytes)
{
    const unsigned char *c = (const unsigned char *)at;
    if (bytes == 1)
        return c[0] < 0x20 || c[0] == 0x7f ? c[0] : 0;
    if (bytes == 2 && c[0] == 0xc2 && c[1] < 0xa0)
        return c[1];
    if (bytes == 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9))
        return 0x2000U + c[2] - 0x80;
    return 0;
}

/* Appends text that stays on its line: what is unprintable is written as JSON would escape it. A
 * backslash stays one, so that JSON in a payload reads as it was sent. */
static void add_printable(struct buf *b, struct span text)
{
    size_t plain = 0, i = 0;
    while (i < text.bytes) {
        size_t bytes = utf8_char_bytes(span(text.at + i, text.bytes - i));
        unsigned code = unprintable(text.at + i, bytes);
        if (code == 0 && bytes != 0 && text.at[i] != '\0') {
            i += bytes;
            continue;
        }
        buf_add(b, text.at + plain, i - plain);
        if (bytes == 0)
            buf_add_text(b, TEXT_REPLACEMENT);
        else if (code == '\n')
            buf_add_text(b, "\\n");
        else
            buf_printf(b, "\\u%04x", code);
        plain = i += bytes == 0 ? 1 : bytes;
    }
    buf_add(b, text.at + plain, i - plain);
}

static void add_part(struct buf *b, const struct message_kept *k, enum message_part part)
{
    const char *at = k->text;
    for (enum message_part p = 0; p < part; p++)
        at += k->bytes[p];
    if (k->bytes[part] == 0)
        return;
    if (b->bytes != 0)
        buf_add_char(b, ' ');
    buf_add(b, at, k->bytes[part]);
    if ((k->cut >> part & 1) != 0)
        buf_add_text(b, "…");
}

static void add_text(struct buf *b, const struct message_kept *k)
{
    add_part(b, k, MESSAGE_WORDS);
    add_part(b, k, MESSAGE_TARGET);
    if (k->status != 0)
        buf_printf(b, b->bytes == 0 ? "%d" : " %d", k->status);
    add_part(b, k, MESSAGE_PAYLOAD);
}

static void add_time(struct buf *b, uint64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm t;
    gmtime_r(&seconds, &t);
    buf_printf(b, "%04d-%02d-%02d %02d:%02d:%02d.%06u", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
               t.tm_hour, t.tm_min, t.tm_sec, (unsigned)(wall_us % 1000000));
}

static void add_line(struct buf *b, const struct message_kept *k, const char *app_name,
                     struct span text)
{
    buf_add_char(b, '[');
    add_time(b, k->wall_us);
    buf_add_text(b, "] ");
    add_printable(b, span_of(app_name));
    buf_printf(b, " %s [%s] %s ", actors[k->actor], kinds[k->kind], steps[k->step]);
    add_printable(b, text);
}

static void add_object(struct buf *b, const struct message_kept *k, const char *app_name,
                       struct span text, struct span line)
{
    buf_add_text(b, "{\"n\":");
    buf_add_u64(b, k->number);
    buf_add_text(b, ",\"time\":\"");
    add_time(b, k->wall_us);
    buf_add_text(b, "\",\"app_name\":");
    buf_add_json(b, span_of(app_name));
    buf_printf(b, ",\"actor\":\"%s\",\"kind\":\"%s\",\"step\":\"%s\",\"text\":", actors[k->actor],
               kinds[k->kind], steps[k->step]);
    buf_add_json(b, text);
    buf_add_text(b, ",\"line\":");
    buf_add_json(b, line);
    buf_add_char(b, '}');
}

void message_format(struct buf *b, const struct message_kept *k, const char *app_name,
                    enum message_format format, struct message_scratch *s)
{
    s->text.bytes = 0;
    s->line.bytes = 0;
    add_text(&s->text, k);
    add_line(&s->line, k, app_name, buf_span(&s->text));
    b->failed |= s->text.failed || s->line.failed;
    switch (format) {
    case MESSAGE_LINES:
        buf_add_span(b, buf_span(&s->line));
        buf_add_char(b, '\n');
        break;
    case MESSAGE_EVENTS:
        buf_add_text(b, "id: ");
        buf_add_u64(b, k->number);
        buf_add_text(b, "\ndata: ");
        add_object(b, k, app_name, buf_span(&s->text), buf_span(&s->line));
        buf_add_text(b, "\n\n");
        break;
    case MESSAGE_JSON:
        add_object(b, k, app_name, buf_span(&s->text), buf_span(&s->line));
        break;
    }
}
