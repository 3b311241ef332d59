/* Reading of the settings. Its only system calls read the file, the host name and the number of
 * CPUs. */
#include "base/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum { FILE_BYTES_MAX = 64 * 1024, HELP_COLUMNS = 100 };

enum kind { NAME, ADDRESS, PEER, PATH, /* up to here text */ NUMBER, BYTES, CHOICE, SET, SWITCH };

enum setting {
#define X(kind, member, ...) SETTING_##member,
    SETTINGS_LIST(X)
#undef X
        SETTING_COUNT
};

static const struct row {
    enum kind kind;
    size_t offset; /* in struct settings */
    const char *name, *variable, *fallback;
    uint64_t lowest, highest;
    const char *words, *meaning;
} rows[] = {
#define X(kind, member, name, variable, fallback, lowest, highest, words, meaning)                 \
    {kind,   offsetof(struct settings, member), name, variable, fallback, lowest, highest, words,  \
     meaning},
    SETTINGS_LIST(X)
#undef X
};

/* Sources are read from the strongest to the weakest. */
enum source { FLAG = 1, VARIABLE = 2, LINE = 4, DEFAULT = 8 };

struct reader {
    struct settings *to;
    unsigned seen[SETTING_COUNT]; /* bits of sources */
    enum source source;
    char place[SETTINGS_PATH_BYTES_MAX + 64]; /* where the value being read stands */
    char *why;
    size_t why_bytes;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, r->why_bytes, format, args);
    va_end(args);
    for (char *c = r->why; *c != '\0'; c++) /* it may quote anything, and goes to a terminal */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return ERR_USAGE;
}

struct text {
    char at[96];
};

static uint64_t unit_of(uint64_t bytes)
{
    return bytes % GIB == 0 ? GIB : bytes % MIB == 0 ? MIB : bytes % KIB == 0 ? KIB : 1;
}

static const char *unit_word(uint64_t unit)
{
    return unit == GIB ? "GiB" : unit == MIB ? "MiB" : unit == KIB ? "KiB" : "";
}

static struct text allowed(const struct row *row)
{
    struct text t = {""};
    switch (row->kind) {
    case NAME:
        snprintf(t.at, sizeof(t.at), "%" PRIu64 " to %" PRIu64 " letters, digits, '.', '_' and '-'",
                 row->lowest, row->highest);
        break;
    case ADDRESS:
        snprintf(t.at, sizeof(t.at), "a numeric IPv4 or IPv6 address");
        break;
    case PEER:
        snprintf(t.at, sizeof(t.at), "HOST:PORT, for example 127.0.0.1:5000");
        break;
    case PATH:
        snprintf(t.at, sizeof(t.at), "a path of at most %" PRIu64 " bytes", row->highest);
        break;
    case NUMBER:
        snprintf(t.at, sizeof(t.at), "%" PRIu64 " to %" PRIu64 "%s%s", row->lowest, row->highest,
                 row->words[0] == '\0' ? "" : " ", row->words);
        break;
    case BYTES:
        snprintf(t.at, sizeof(t.at), "%" PRIu64 "%s to %" PRIu64 "%s",
                 row->lowest / unit_of(row->lowest), unit_word(unit_of(row->lowest)),
                 row->highest / unit_of(row->highest), unit_word(unit_of(row->highest)));
        break;
    case SWITCH:
    case CHOICE:
        snprintf(t.at, sizeof(t.at), "one of %s", row->words);
        break;
    case SET:
        snprintf(t.at, sizeof(t.at), "one or more of %s", row->words);
        break;
    }
    return t;
}

/* --- One value --- */

/* Letters, digits, '.', '_' and '-'. */
static bool is_word(struct span s)
{
    for (size_t i = 0; i < s.bytes; i++) {
        char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return s.bytes != 0;
}

static bool is_address(int family, struct span s)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char binary[sizeof(struct in6_addr)];
    if (s.bytes >= sizeof(text))
        return false;
    memcpy(text, s.at, s.bytes);
    text[s.bytes] = '\0';
    return inet_pton(family, text, binary) == 1;
}

/* A name or, which is made of the same letters, an IPv4 address; or an IPv6 address. */
static bool is_host(struct span s)
{
    if (s.bytes > 2 && s.at[0] == '[' && s.at[s.bytes - 1] == ']')
        return is_address(AF_INET6, span(s.at + 1, s.bytes - 2));
    return s.bytes <= SETTINGS_HOST_BYTES_MAX && is_word(s);
}

static bool is_peer(struct span s)
{
    uint64_t port;
    const char *colon = memrchr(s.at, ':', s.bytes);
    if (colon == NULL)
        return false;
    size_t host = (size_t)(colon - s.at);
    return is_host(span(s.at, host)) && u64_parse(span(colon + 1, s.bytes - host - 1), &port) &&
           port >= 1 && port <= UINT16_MAX;
}

static bool text_possible(const struct row *row, struct span value)
{
    if (value.bytes < row->lowest || value.bytes > row->highest)
        return false;
    for (size_t i = 0; i < value.bytes; i++)
        if ((unsigned char)value.at[i] < ' ' || value.at[i] == 0x7f)
            return false;
    switch (row->kind) {
    case NAME: /* it becomes the name of a folder */
        return is_word(value) && !span_is(value, ".") && !span_is(value, "..");
    case ADDRESS:
        return is_address(AF_INET, value) || is_address(AF_INET6, value);
    case PEER:
        return is_peer(value);
    default:
        return true;
    }
}

static bool bytes_parse(struct span value, uint64_t *bytes)
{
    static const struct {
        const char *word;
        uint64_t bytes;
    } units[] = {{"", 1},  {"K", KIB},   {"M", MIB},   {"G", GIB},
                 {"B", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}};
    size_t digits = 0;
    while (digits < value.bytes && value.at[digits] >= '0' && value.at[digits] <= '9')
        digits++;
    size_t unit = digits;
    while (unit < value.bytes && value.at[unit] == ' ')
        unit++;
    uint64_t count;
    if (!u64_parse(span(value.at, digits), &count))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (span_is(span(value.at + unit, value.bytes - unit), units[i].word))
            return !__builtin_mul_overflow(count, units[i].bytes, bytes);
    return false;
}

/* The place of a word among words, or -1. */
static int word_find(const char *words, struct span value)
{
    for (int place = 0;; place++) {
        size_t bytes = strcspn(words, ",");
        if (span_eq(span(words, bytes), value))
            return place;
        if (words[bytes] == '\0')
            return -1;
        words += bytes + 1;
    }
}

static bool set_parse(const char *words, struct span value, uint64_t *bits)
{
    *bits = 0;
    for (size_t at = 0; at <= value.bytes;) {
        size_t end = at;
        while (end < value.bytes && value.at[end] != ',')
            end++;
        int place = word_find(words, span(value.at + at, end - at));
        if (place < 0 || (*bits & 1ULL << place) != 0)
            return false;
        *bits |= 1ULL << place;
        at = end + 1;
    }
    return true;
}

static bool number_possible(const struct row *row, struct span value, uint64_t *number)
{
    switch (row->kind) {
    case NUMBER:
        return u64_parse(value, number) && *number >= row->lowest && *number <= row->highest;
    case BYTES:
        return bytes_parse(value, number) && *number >= row->lowest && *number <= row->highest;
    case SWITCH:
    case CHOICE: {
        int place = word_find(row->words, value);
        *number = (uint64_t)place;
        return place >= 0;
    }
    default:
        return set_parse(row->words, value, number);
    }
}

/* Takes the value of a setting from the source being read, unless a stronger one gave it. */
static int take(struct reader *r, size_t setting, struct span value)
{
    const struct row *row = &rows[setting];
    unsigned seen = r->seen[setting];
    r->seen[setting] |= r->source;
    if (seen & r->source)
        return refuse(r, "%s: %s is given twice", r->place, row->name);
    uint64_t number = 0;
    bool is_text = row->kind <= PATH;
    if (is_text ? !text_possible(row, value) : !number_possible(row, value, &number)) {
        int shown = value.bytes < 80 ? (int)value.bytes : 80;
        return refuse(r, "%s: %s cannot be \"%.*s\"; allowed: %s", r->place, row->name, shown,
                      value.at, allowed(row).at);
    }
    if (seen != 0)
        return 0;
    void *member = (char *)r->to + row->offset;
    if (is_text) {
        *(char **)member = strndup(value.at, value.bytes);
        return *(char **)member == NULL ? ERR_NO_MEMORY : 0;
    }
    if (row->kind == BYTES)
        *(uint64_t *)member = number;
    else
        *(uint32_t *)member = (uint32_t)number;
    return 0;
}

/* --- The sources --- */

static int find(struct span name, bool as_variable)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (span_is(name, as_variable ? rows[i].variable : rows[i].name))
            return i;
    return -1;
}

static int read_flags(struct reader *r, int argc, char **argv)
{
    r->source = FLAG;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return SETTINGS_HELP;
        if (strncmp(argv[i], "--", 2) != 0)
            return refuse(r, "\"%.80s\" is no flag: a setting is given as --name value", argv[i]);
        struct span name = span(argv[i] + 2, strcspn(argv[i] + 2, "="));
        int setting = find(name, false);
        if (setting < 0)
            return refuse(r, "flag --%.80s is unknown; --help lists them all", name.at);
        snprintf(r->place, sizeof(r->place), "flag --%s", rows[setting].name);
        const char *value = name.at + name.bytes;
        if (*value == '=')
            value++;
        else if (++i < argc && strncmp(argv[i], "--", 2) != 0)
            value = argv[i];
        else if (rows[setting].kind == SWITCH) {
            value = "yes";
            i--;
        } else
            return refuse(r, "%s lacks its value; allowed: %s", r->place,
                          allowed(&rows[setting]).at);
        int err = take(r, (size_t)setting, span_of(value));
        if (err != 0)
            return err;
    }
    return 0;
}

static int read_variables(struct reader *r, char **environment)
{
    r->source = VARIABLE;
    for (; *environment != NULL; environment++) {
        struct span name = span(*environment, strcspn(*environment, "="));
        const char *value = name.at + name.bytes;
        int setting = find(name, true);
        if (setting < 0) {
            if (strncmp(name.at, "NOTED_", 6) != 0 || span_is(name, "NOTED_SHARED") ||
                strncmp(name.at, "NOTED_TEST_", 11) == 0)
                continue;
            return refuse(r, "environment variable %.*s is unknown; --help lists the settings",
                          name.bytes < 80 ? (int)name.bytes : 80, name.at);
        }
        snprintf(r->place, sizeof(r->place), "environment variable %s", rows[setting].variable);
        int err = take(r, (size_t)setting, span_of(*value == '=' ? value + 1 : value));
        if (err != 0)
            return err;
    }
    return 0;
}

static struct span trim(struct span s)
{
    static const char white[] = " \t\r";
    while (s.bytes != 0 && memchr(white, s.at[s.bytes - 1], 3) != NULL)
        s.bytes--;
    while (s.bytes != 0 && memchr(white, s.at[0], 3) != NULL) {
        s.at++;
        s.bytes--;
    }
    return s;
}

/* What stands before a comment: a # at the start or behind white space. */
static struct span without_comment(struct span line)
{
    for (size_t i = 0; i < line.bytes; i++)
        if (line.at[i] == '#' && (i == 0 || line.at[i - 1] == ' ' || line.at[i - 1] == '\t'))
            return span(line.at, i);
    return line;
}

static int read_line(struct reader *r, struct span line)
{
    line = trim(without_comment(line));
    if (line.bytes == 0)
        return 0;
    const char *equals = memchr(line.at, '=', line.bytes);
    if (equals == NULL)
        return refuse(r, "%s: a setting is given as `name = value`", r->place);
    size_t before = (size_t)(equals - line.at);
    struct span name = trim(span(line.at, before));
    int setting = find(name, false);
    if (setting < 0 || setting == SETTING_config)
        return refuse(r, "%s: \"%.*s\" is no setting of a file; --help lists them all", r->place,
                      name.bytes < 80 ? (int)name.bytes : 80, name.at);
    return take(r, (size_t)setting, trim(span(equals + 1, line.bytes - before - 1)));
}

static int read_file(struct reader *r, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return refuse(r, "the settings file %s cannot be read: %s", path, strerror(errno));
    struct buf text = {0};
    char *to = buf_room(&text, FILE_BYTES_MAX + 1);
    text.bytes = to == NULL ? 0 : fread(to, 1, FILE_BYTES_MAX + 1, file);
    int err = to == NULL ? ERR_NO_MEMORY : 0;
    if (ferror(file))
        err = refuse(r, "the settings file %s cannot be read: %s", path, strerror(errno));
    else if (text.bytes > FILE_BYTES_MAX)
        err = refuse(r, "the settings file %s has more than %d bytes", path, FILE_BYTES_MAX);
    fclose(file);

    r->source = LINE;
    struct span rest = buf_span(&text);
    for (unsigned number = 1; err == 0 && rest.bytes != 0; number++) {
        const char *end = memchr(rest.at, '\n', rest.bytes);
        size_t bytes = end == NULL ? rest.bytes : (size_t)(end - rest.at);
        snprintf(r->place, sizeof(r->place), "%s:%u", path, number);
        err = read_line(r, span(rest.at, bytes));
        bytes += end != NULL;
        rest = span(rest.at + bytes, rest.bytes - bytes);
    }
    buf_finish(&text);
    return err;
}

static int read_default(struct reader *r, size_t setting)
{
    char text[HOST_NAME_MAX + 1 + sizeof("./data/")];
    cpu_set_t cpus;
    int count =
        THREADS_MAX; /* sched_getaffinity fails where there are more CPUs than a cpu_set_t */
    snprintf(r->place, sizeof(r->place), "the default, %s", rows[setting].fallback);
    switch (setting) {
    case SETTING_config:
    case SETTING_primary:
        return 0;
    case SETTING_app_name:
        if (gethostname(text, sizeof(text)) != 0)
            return refuse(r, "the host name cannot be read; give --app-name");
        return take(r, setting, span_of(text));
    case SETTING_data:
        snprintf(text, sizeof(text), "./data/%s", r->to->app_name);
        return take(r, setting, span_of(text));
    case SETTING_threads:
        if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < THREADS_MAX)
            count = CPU_COUNT(&cpus);
        snprintf(text, sizeof(text), "%d", count);
        return take(r, setting, span_of(text));
    default:
        return take(r, setting, span_of(rows[setting].fallback));
    }
}

int settings_read(struct settings *s, int argc, char **argv, char **environment, char *why,
                  size_t why_bytes)
{
    *s = (struct settings){0};
    struct reader r = {.to = s, .why = why, .why_bytes = why_bytes};
    int result = read_flags(&r, argc, argv);
    if (result == 0)
        result = read_variables(&r, environment);
    if (result == 0 && s->config != NULL)
        result = read_file(&r, s->config);
    r.source = DEFAULT;
    for (size_t i = 0; result == 0 && i < SETTING_COUNT; i++) /* data comes after app_name */
        result = r.seen[i] == 0 ? read_default(&r, i) : 0;
    if (result == ERR_NO_MEMORY)
        snprintf(why, why_bytes, "out of memory");
    if (result != 0)
        settings_finish(s);
    return result;
}

void settings_finish(struct settings *s)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (rows[i].kind <= PATH)
            free(*(char **)((char *)s + rows[i].offset));
    *s = (struct settings){0};
}

/* One indented paragraph. */
static void help_words(FILE *to, const char *words)
{
    static const char indent[] = "      ";
    size_t column = 0;
    while (*words != '\0') {
        size_t bytes = strcspn(words, " ");
        if (column != 0 && column + 1 + bytes <= HELP_COLUMNS) {
            fputc(' ', to);
            column++;
        } else {
            fprintf(to, "%s%s", column == 0 ? "" : "\n", indent);
            column = sizeof(indent) - 1;
        }
        fwrite(words, 1, bytes, to);
        column += bytes;
        words += bytes + (words[bytes] == ' ');
    }
    fputc('\n', to);
}

void settings_help(FILE *to)
{
    static const char *const values[] = {
        [NUMBER] = "N", [BYTES] = "BYTES", [CHOICE] = "WORD", [SET] = "WORD,WORD", [SWITCH] = ""};
    fputs(
        "usage: noted serve [--NAME VALUE | --NAME=VALUE]...\n\n"
        "Runs one server until SIGTERM or SIGINT. A setting is taken from its flag, else from its\n"
        "environment variable, else from the file that --config names (`local-port = 5001`; a #\n"
        "begins a comment), else it is the default. BYTES: 65536, 64KiB, 512MiB, 4GiB (or K, M, "
        "G).\n",
        to);
    fprintf(to, "\n  %-27s %-25s %s\n", "flag", "environment", "default");
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct row *row = &rows[i];
        bool unit = row->kind == NUMBER && row->words[0] != '\0';
        fprintf(to, "\n  --%s %-*s %-25s %s%s%s\n", row->name, 24 - (int)strlen(row->name),
                row->kind <= PATH ? row->words : values[row->kind], row->variable, row->fallback,
                unit ? " " : "", unit ? row->words : "");
        char words[400];
        snprintf(words, sizeof(words), "%s (%s)", row->meaning, allowed(row).at);
        help_words(to, words);
    }
}
