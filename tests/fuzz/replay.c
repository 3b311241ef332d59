/*
 * Drives a fuzz target without libFuzzer: replay CORPUS [SEED COUNT] runs it on every file of the
 * corpus, then on COUNT inputs mutated from them, the same ones for the same seed. An input that
 * kills the target is left in the current folder. What the target tests is unknown here.
 */
#include <assert.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 4096, MUTATED_BYTES_MAX = 16 * 1024 };

struct input {
    uint8_t *at;
    size_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* Global, because a death callback takes no argument. */
static struct input running;
static const char *program;

static void leave_input(void)
{
    char path[256];
    snprintf(path, sizeof(path), "crash-%s", program);
    FILE *file = fopen(path, "w");
    if (file != NULL) {
        fwrite(running.at, 1, running.bytes, file);
        fclose(file);
        fprintf(stderr, "%s: died on the %zu bytes in %s\n", program, running.bytes, path);
    }
}

static void run(const uint8_t *at, size_t bytes)
{
    /* Its own allocation, so that a read past its end is seen. */
    running = (struct input){malloc(bytes == 0 ? 1 : bytes), bytes};
    assert(running.at != NULL);
    if (bytes != 0)
        memcpy(running.at, at, bytes);
    LLVMFuzzerTestOneInput(running.at, bytes);
    free(running.at);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dot(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool read_input(const char *path, struct input *input)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    long bytes = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    bool ok = bytes >= 0 && fseek(file, 0, SEEK_SET) == 0;
    if (ok) {
        *input = (struct input){malloc((size_t)bytes + 1), (size_t)bytes};
        ok = input->at != NULL && fread(input->at, 1, input->bytes, file) == input->bytes;
    }
    fclose(file);
    return ok;
}

static size_t read_corpus(const char *folder, struct input *inputs)
{
    struct dirent **names;
    int count = scandir(folder, &names, no_dot, by_name);
    size_t inputs_count = 0;
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        if (inputs_count == FILES_MAX || !read_input(path, &inputs[inputs_count++])) {
            fprintf(stderr, "cannot read %s\n", path);
            exit(1);
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return inputs_count;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t limit)
{
    return limit == 0 ? 0 : (size_t)(next_random(state) % limit);
}

/* Puts bytes of another input (or of the same) in at a random place. */
static size_t splice(uint64_t *state, uint8_t *to, size_t bytes, struct input other)
{
    size_t from = below(state, other.bytes);
    size_t count = below(state, other.bytes - from + 1);
    size_t at = below(state, bytes + 1);
    if (count > MUTATED_BYTES_MAX - bytes)
        count = MUTATED_BYTES_MAX - bytes;
    if (count != 0) {
        memmove(to + at + count, to + at, bytes - at);
        memcpy(to + at, other.at + from, count);
    }
    return bytes + count;
}

static size_t mutate_once(uint64_t *state, uint8_t *to, size_t bytes, struct input other)
{
    static const uint8_t edges[] = "\0\xff\x7f\x80\x01 \t\r\n\"\\{}[]:,=#/%;-+.0129eE";
    size_t at = below(state, bytes), count;
    switch (below(state, 7)) {
    case 0: /* flip a bit */
        if (bytes != 0)
            to[at] = (uint8_t)(to[at] ^ 1U << below(state, 8));
        return bytes;
    case 1: /* any byte */
        if (bytes != 0)
            to[at] = (uint8_t)next_random(state);
        return bytes;
    case 2: /* a byte that means something to parsers */
        if (bytes != 0)
            to[at] = edges[below(state, sizeof(edges) - 1)];
        return bytes;
    case 3: /* insert such a byte */
        if (bytes == MUTATED_BYTES_MAX)
            return bytes;
        memmove(to + at + 1, to + at, bytes - at);
        to[at] = edges[below(state, sizeof(edges) - 1)];
        return bytes + 1;
    case 4: /* cut a piece out */
        count = below(state, bytes - at + 1);
        memmove(to + at, to + at + count, bytes - at - count);
        return bytes - count;
    case 5: /* cut the end off */
        return at;
    default:
        return splice(state, to, bytes, other);
    }
}

static void run_mutated(const struct input *inputs, size_t inputs_count, uint64_t seed,
                        unsigned long count)
{
    static uint8_t text[MUTATED_BYTES_MAX + 1];
    for (unsigned long i = 0; i < count; i++) {
        uint64_t state = seed ^ i << 20;
        struct input base = inputs[below(&state, inputs_count)];
        size_t bytes = base.bytes < MUTATED_BYTES_MAX ? base.bytes : MUTATED_BYTES_MAX;
        memcpy(text, base.at, bytes);
        for (size_t times = 1 + below(&state, 4); times > 0; times--)
            bytes = mutate_once(&state, text, bytes, inputs[below(&state, inputs_count)]);
        run(text, bytes);
    }
}

int main(int argc, char **argv)
{
    static struct input inputs[FILES_MAX];
    program = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: %s CORPUS [SEED COUNT]\n", program);
        return 2;
    }
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(leave_input);

    size_t inputs_count = read_corpus(argv[1], inputs);
    unsigned long mutated = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    for (size_t i = 0; i < inputs_count; i++)
        run(inputs[i].at, inputs[i].bytes);
    if (inputs_count != 0 && argc == 4)
        run_mutated(inputs, inputs_count, strtoul(argv[2], NULL, 10), mutated);
    for (size_t i = 0; i < inputs_count; i++)
        free(inputs[i].at);
    printf("%s %s holds on %zu files and %lu mutations of them\n",
           inputs_count == 0 ? "not ok" : "ok", program, inputs_count, mutated);
    return inputs_count == 0;
}
