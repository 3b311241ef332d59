/* Cells, colours and the width of characters. */
#include "cli/show.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/json_text.h"

enum {
    CELL_BYTES_MAX = 8192,
    NARROW = 100, /* a terminal below this is */
    NAME_COLUMNS = 8,
    SINCE_COLUMNS = sizeof "12.34 " - 1,
    SHORT_TIME_COLUMNS = sizeof "10:00.123 " - 1,
    TIME_COLUMNS = sizeof "19:10:00.123 " - 1,
};

/* It may have changed its size since the last line. */
static void begin_line(struct show *s)
{
    struct winsize size;
    s->left = UINT_MAX;
    if (s->terminal)
        s->left =
            ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
    s->narrow = s->left < NARROW;
}

void show_begin(struct show *s)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM"); /* https://no-color.org */
    s->terminal = isatty(STDOUT_FILENO) != 0;
    s->colour = s->terminal && (no_color == NULL || no_color[0] == '\0') &&
                (term == NULL || strcmp(term, "dumb") != 0);
    begin_line(s);
}

static void begin_style(const struct show *s, enum show_style style)
{
    static const char *const fixed[SHOW_SERVER] = {"0", "2", "1", "32", "1;31"};
    static const char *const servers[] = {"1;36", "32", "33", "35", "34", "36", "92", "93", "95"};
    enum { SERVERS = sizeof servers / sizeof servers[0] };
    if (s->colour && style != SHOW_PLAIN)
        printf("\033[%sm",
               style < SHOW_SERVER ? fixed[style] : servers[(style - SHOW_SERVER) % SERVERS]);
}

static void end_style(const struct show *s, enum show_style style)
{
    if (s->colour && style != SHOW_PLAIN)
        fputs("\033[0m", stdout);
}

/* Columns of one character as terminals have it (Unicode's East Asian Width: W and F are two);
 * what we print is known, so ranges in the rough will do. */
static unsigned columns_of(const char *at, size_t bytes)
{
    static const unsigned wide[][2] = {
        {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},
        {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
    };
    const unsigned char *c = (const unsigned char *)at;
    unsigned code = bytes < 2 ? c[0] : c[0] & (0x7fU >> bytes);
    for (size_t i = 1; i < bytes; i++)
        code = code << 6 | (c[i] & 0x3fU);
    if (code >= 0x300 && code <= 0x36f) /* it stands on the one before */
        return 0;
    for (unsigned i = 0; i < sizeof wide / sizeof wide[0]; i++)
        if (code >= wide[i][0] && code <= wide[i][1])
            return 2;
    return 1;
}

/* The bytes of the text that go into `columns`; *used gets how many columns they take. */
static size_t fit(struct span text, unsigned columns, unsigned *used)
{
    size_t i = 0;
    *used = 0;
    while (i < text.bytes) {
        size_t bytes = utf8_char_bytes(span(text.at + i, text.bytes - i));
        unsigned wide = bytes == 0 ? 1 : columns_of(text.at + i, bytes);
        if (*used + wide > columns)
            break;
        *used += wide;
        i += bytes == 0 ? 1 : bytes;
    }
    return i;
}

static void cell(struct show *s, enum show_style style, unsigned columns, struct span text)
{
    unsigned used;
    size_t bytes = fit(text, s->left, &used);
    bool cut = bytes < text.bytes;
    if (s->left == 0)
        return;
    if (cut)
        bytes = fit(text, s->left - 1, &used);
    begin_style(s, style);
    printf("%.*s%s", (int)bytes, text.at, cut ? "…" : "");
    end_style(s, style);
    s->left = cut ? 0 : s->left - used;
    for (; used < columns && s->left > 0; used++) {
        putchar(' ');
        s->left--;
    }
}

void show(struct show *s, enum show_style style, unsigned columns, const char *format, ...)
{
    char text[CELL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cell(s, style, columns, span_of(text));
}

void show_end(struct show *s)
{
    putchar('\n');
    begin_line(s);
}

void show_say(struct show *s, enum show_style style, const char *format, ...)
{
    va_list args;
    begin_style(s, style);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    end_style(s, style);
    show_end(s);
}

void show_name(struct show *s, unsigned server, const char *name)
{
    cell(s, SHOW_PLAIN, 2, span_of(""));
    cell(s, (enum show_style)(SHOW_SERVER + server), NAME_COLUMNS, span_of(name));
}

/* The time of day, to the millisecond; without the hour where that leaves too little for the rest.
 */
static struct span time_of(const struct show *s, struct span time)
{
    const size_t hour = sizeof "19:" - 1, below_ms = sizeof "456" - 1;
    size_t skip = s->narrow ? hour : 0;
    if (time.bytes < hour + below_ms)
        return time;
    return span(time.at + skip, time.bytes - skip - below_ms);
}

void show_message_head(struct show *s, bool since)
{
    if (!s->terminal)
        return;
    show(s, SHOW_DIM, 0, "  %-*s%-*s%-8s%-10s%s", NAME_COLUMNS, "server",
         since       ? SINCE_COLUMNS
         : s->narrow ? SHORT_TIME_COLUMNS
                     : TIME_COLUMNS,
         since ? "   ms" : "time, UTC", "actor", "kind", "step");
    show_end(s);
}

void show_message(struct show *s, const char *name, const struct heard_message *m,
                  uint64_t since_us)
{
    if (!s->terminal) {
        puts(m->line);
        return;
    }
    show_name(s, m->server, name);
    if (since_us != 0)
        show(s, SHOW_DIM, 0, "%*.2f ", SINCE_COLUMNS - 1,
             (double)(int64_t)(m->at_us - since_us) / 1000);
    else
        cell(s, SHOW_DIM, s->narrow ? SHORT_TIME_COLUMNS : TIME_COLUMNS, time_of(s, m->time));
    cell(s, SHOW_PLAIN, 8, m->actor);
    cell(s, SHOW_PLAIN, 10, m->kind);
    cell(s, SHOW_BOLD, 3, m->step);
    cell(s, SHOW_PLAIN, 0, m->text);
    show_end(s);
}
