/*
 * The settings, from any command line, environment and file: each gives values that are all in
 * range, or a printable sentence that names the place; together they are possible where each alone
 * is, and then the strongest that names a setting has its way; and settings written out as a file
 * are read back the same.
 *
 * Input: a file; behind a byte 0x1f flags, behind another variables, with 0x1e between two.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/settings.h"

enum { WORDS_MAX = 64, WHY_BYTES = 300, FILE_BYTES = 32 * 1024 };

struct sources {
    char path[32];
    int fd; /* of the file */
    char *text;
    char *flags[WORDS_MAX], *variables[WORDS_MAX]; /* each ended by NULL */
    int flags_count;
};

static int file_of(const void *bytes, size_t size, char path[32])
{
    int fd = memfd_create("settings", 0);
    assert(fd >= 0);
    assert(write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

/* Cuts a text into words. A file that it names is none of ours to open, and may be one that blocks.
 */
static int words_of(char *text, const char * not, char **words)
{
    int count = 0;
    for (char *word; count < WORDS_MAX - 1 && (word = strsep(&text, "\x1e")) != NULL;)
        if (*word != '\0' && strncmp(word, not, strlen(not )) != 0)
            words[count++] = word;
    words[count] = NULL;
    return count;
}

static void sources_of(struct sources *s, const uint8_t *data, size_t size)
{
    s->text = malloc(size + 1);
    assert(s->text != NULL);
    if (size != 0)
        memcpy(s->text, data, size);
    s->text[size] = '\0';
    char *flags = memchr(s->text, 0x1f, size), *rest = flags;
    s->fd = file_of(s->text, flags == NULL ? size : (size_t)(flags - s->text), s->path);
    strsep(&rest, "\x1f"); /* the file */
    flags = strsep(&rest, "\x1f");
    s->flags_count = words_of(flags, "--config", s->flags);
    words_of(rest, "NOTED_CONFIG", s->variables);
}

static void sources_finish(struct sources *s)
{
    close(s->fd);
    free(s->text);
}

static uint32_t words_count(const char *words)
{
    uint32_t count = 1;
    for (; *words != '\0'; words++)
        count += *words == ',';
    return count;
}

static void print_words(FILE *to, const char *words, uint32_t bits)
{
    for (const char *separator = ""; bits != 0; bits >>= 1) {
        int bytes = (int)strcspn(words, ",");
        if (bits & 1) {
            fprintf(to, "%s%.*s", separator, bytes, words);
            separator = ",";
        }
        words += bytes + (words[bytes] == ',');
    }
}

/* How a value of each kind is written, and what must hold of it. */
#define WRITE_TEXT(member, lowest, highest, words)                                                 \
    assert(strlen(s->member) >= lowest && strlen(s->member) <= highest);                           \
    fprintf(to, "%s", s->member)
#define WRITE_NAME    WRITE_TEXT
#define WRITE_ADDRESS WRITE_TEXT
#define WRITE_PEER    WRITE_TEXT
#define WRITE_PATH    WRITE_TEXT
#define WRITE_NUMBER(member, lowest, highest, words)                                               \
    assert(s->member >= (uint64_t)lowest && s->member <= highest);                                 \
    fprintf(to, "%llu", (unsigned long long)s->member)
#define WRITE_BYTES WRITE_NUMBER
#define WRITE_CHOICE(member, lowest, highest, words)                                               \
    assert(s->member < words_count(words));                                                        \
    print_words(to, words, 1U << s->member)
#define WRITE_SWITCH WRITE_CHOICE
#define WRITE_SET(member, lowest, highest, words)                                                  \
    assert(s->member >= 1 && s->member <= (SERVE_HTTP | SERVE_TCP | SERVE_UDP));                   \
    print_words(to, words, s->member)

static void write_file(FILE *to, const struct settings *s)
{
#define X(kind, member, name, variable, fallback, lowest, highest, words, meaning)                 \
    if (strcmp(name, "config") != 0 && (strcmp(name, "primary") != 0 || s->primary != NULL)) {     \
        fputs(name "=", to); /* a space would make a # behind it a comment */                      \
        WRITE_##kind(member, lowest, highest, words);                                              \
        fputc('\n', to);                                                                           \
    }
    SETTINGS_LIST(X)
#undef X
}

enum from { FLAGS = 1, VARIABLES = 2, A_FILE = 4 };

/* Reads from some of the sources; judges the sentence where that fails. */
static int read_from(const struct sources *from, unsigned which, struct settings *s, char *why)
{
    char *argv[WORDS_MAX + 3] = {NULL}, *none[] = {NULL};
    int argc = 0;
    if ((which & A_FILE) != 0) {
        argv[argc++] = "--config";
        argv[argc++] = (char *)from->path;
    }
    for (int i = 0; (which & FLAGS) != 0 && i < from->flags_count; i++)
        argv[argc++] = from->flags[i];
    memset(why, 'x', WHY_BYTES);
    int rc = settings_read(
        s, argc, argv, (which & VARIABLES) != 0 ? (char **)from->variables : none, why, WHY_BYTES);
    assert(rc == 0 || rc == ERR_USAGE || (rc == SETTINGS_HELP && (which & FLAGS) != 0));
    if (rc != ERR_USAGE)
        return rc;
    assert(memchr(why, '\0', WHY_BYTES) != NULL && *why != '\0');
    for (const char *c = why; *c != '\0'; c++)
        assert((unsigned char)*c >= ' ' && *c != 0x7f);
    assert(which != A_FILE || strstr(why, from->path) != NULL);
    return rc;
}

/* As a file; each value is judged on the way. */
static void print(const struct settings *s, char text[FILE_BYTES])
{
    FILE *to = fmemopen(text, FILE_BYTES, "w");
    assert(to != NULL);
    write_file(to, s);
    assert(fclose(to) == 0);
}

/* What a file has said is written out and read back the same. */
static void check_round(const struct settings *first)
{
    struct sources s = {0};
    struct settings second;
    char why[WHY_BYTES], once[FILE_BYTES], again[FILE_BYTES];
    print(first, once);
    s.fd = file_of(once, strlen(once), s.path);
    assert(read_from(&s, A_FILE, &second, why) == 0);
    sources_finish(&s);
    print(&second, again);
    settings_finish(&second);
    assert(strcmp(once, again) == 0);
}

/* Whether one of the words is this name, alone or with a value behind =. */
static bool names(char *const *words, const char *prefix, const char *name)
{
    size_t before = strlen(prefix), bytes = strlen(name);
    for (; *words != NULL; words++)
        if (strncmp(*words, prefix, before) == 0 && strncmp(*words + before, name, bytes) == 0 &&
            ((*words)[before + bytes] == '=' || (*words)[before + bytes] == '\0'))
            return true;
    return false;
}

#define SAME_NAME(a, b)   (a == NULL || b == NULL ? a == b : strcmp(a, b) == 0)
#define SAME_ADDRESS      SAME_NAME
#define SAME_PEER         SAME_NAME
#define SAME_PATH         SAME_NAME
#define SAME_NUMBER(a, b) (a == b)
#define SAME_BYTES        SAME_NUMBER
#define SAME_CHOICE       SAME_NUMBER
#define SAME_SWITCH       SAME_NUMBER
#define SAME_SET          SAME_NUMBER

/* Each setting of `all` is as the strongest source that names it says. The default of `data`
 * follows the name. */
static void check_strongest(const struct sources *from, const struct settings *all,
                            const struct settings alone[3])
{
    bool named = false; /* from the command line or the environment */
#define X(kind, member, name, variable, fallback, lowest, highest, words, meaning)                 \
    {                                                                                              \
        bool flag = names(from->flags, "--", name), other = names(from->variables, "", variable);  \
        const struct settings *by = flag ? &alone[0] : other ? &alone[1] : &alone[2];              \
        named = named || (strcmp(name, "app-name") == 0 && (flag || other));                       \
        bool follows = strcmp(name, "data") == 0 && named && !flag && !other;                      \
        bool is_config = strcmp(name, "config") == 0;                                              \
        assert(follows || is_config || SAME_##kind(all->member, by->member));                      \
    }
    SETTINGS_LIST(X)
#undef X
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sources from = {0};
    struct settings alone[3], all;
    char why[WHY_BYTES], why_all[WHY_BYTES], text[FILE_BYTES];
    sources_of(&from, data, size);
    int code = read_from(&from, FLAGS | VARIABLES | A_FILE, &all, why_all), rc = 0;
    for (unsigned i = 0; i < 3; i++) {
        int one = read_from(&from, 1U << i, &alone[i], why);
        if (rc == 0 && one == ERR_USAGE)
            assert(strcmp(why, why_all) == 0);
        rc = rc == 0 ? one : rc;
    }
    assert(code == rc); /* the strongest that is not possible is what is refused */
    if (code == 0) {
        check_strongest(&from, &all, alone);
        print(&all, text);
        check_round(&alone[2]); /* other sources can say what a file cannot: blanks at the end */
        settings_finish(&all);
    }
    for (unsigned i = 0; i < 3; i++)
        settings_finish(&alone[i]);
    sources_finish(&from);
    return 0;
}
