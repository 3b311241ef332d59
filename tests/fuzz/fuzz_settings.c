/* The settings file: any bytes give settings that are all in range, or a printable sentence that
 * names the line; and settings written out as a file are read back the same. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/settings.h"

static int file_of(const void *bytes, size_t size, char path[32])
{
    int fd = memfd_create("settings", 0);
    assert(fd >= 0);
    assert(write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static int read_file(struct settings *s, const void *bytes, size_t size, char *why,
                     size_t why_bytes)
{
    char path[32];
    int fd = file_of(bytes, size, path);
    int result =
        settings_read(s, 2, (char *[]){"--config", path, NULL}, (char *[]){NULL}, why, why_bytes);
    close(fd);
    if (result != 0) {
        assert(result == ERR_USAGE);
        assert(strstr(why, path) != NULL);
    }
    return result;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings first, second;
    char why[300], once[32 * 1024], again[32 * 1024];
    if (read_file(&first, data, size, why, sizeof(why)) != 0) {
        assert(strlen(why) < sizeof(why));
        for (const char *c = why; *c != '\0'; c++)
            assert((unsigned char)*c >= ' ' && *c != 0x7f);
        assert(size > 64 * 1024 || strchr(why, ':') != NULL);
        return 0;
    }
    FILE *to = fmemopen(once, sizeof(once), "w");
    assert(to != NULL);
    write_file(to, &first);
    assert(fclose(to) == 0);
    settings_finish(&first);

    assert(read_file(&second, once, strlen(once), why, sizeof(why)) == 0);
    to = fmemopen(again, sizeof(again), "w");
    assert(to != NULL);
    write_file(to, &second);
    assert(fclose(to) == 0);
    settings_finish(&second);
    assert(strcmp(once, again) == 0);
    return 0;
}
