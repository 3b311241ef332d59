/* The scenarios of tests/scenarios: reads the files, runs each, and, for each line `without RULE it
 * fails`, runs it once more with that rule left out, to see that it does fail. Does not know what
 * the lines do: story.c. `scenarios FOLDER NAME` runs one and prints its trace. */
#include <assert.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "folder.h"
#include "scenario.h"

enum { WORDS_MAX = 40, FILES_MAX = 100, PATH_BYTES = 300, LINE_BYTES = 300, SHOWN = 20 };

bool repl_rules[RULES];

static const char *const rules[RULES] = {
    [S1] = "S1",   [S2] = "S2",   [S3] = "S3",       [S4] = "S4",       [S5] = "S5",
    [S7] = "S7",   [S8] = "S8",   [S9] = "S9",       [S10] = "S10",     [S12] = "S12",
    [S13] = "S13", [S14] = "S14", [S15] = "S15",     [S18] = "S18",     [S19] = "S19",
    [S23] = "S23", [S11] = "S11", [PROOF] = "PROOF", [FENCE] = "FENCE",
};

/* --- Reading: words against patterns --- */

static bool is_number(const char *word, uint64_t *number)
{
    char *end;
    *number = strtoull(word, &end, 10);
    return word[0] >= '0' && word[0] <= '9' && *end == '\0' && *number < 1000 * 1000;
}

static bool is_time(char **word, unsigned words, uint64_t *us)
{
    if (words < 2 || !is_number(word[0], us))
        return false;
    bool ms = strcmp(word[1], "ms") == 0;
    *us *= ms ? MS : S;
    return ms || strcmp(word[1], "s") == 0;
}

static bool is_error(const char *word)
{
    for (int code = -1; code > -ERR_COUNT_; code--)
        if (strcmp(err_info(code)->word, word) == 0)
            return true;
    return false;
}

static unsigned place(const char *word, char list[][NAME_BYTES], unsigned count)
{
    unsigned i = 0;
    while (i < count && strcmp(list[i], word) != 0)
        i++;
    return i;
}

/* A new one, which is kept once the whole line is understood. */
static bool add(const char *word, char list[][NAME_BYTES], unsigned *count, unsigned most)
{
    if (strlen(word) >= NAME_BYTES || *count == most || place(word, list, *count) != *count)
        return false;
    memcpy(list[(*count)++], word, strlen(word) + 1);
    return true;
}

static bool fits(struct story *st, const char *pattern, char **word, unsigned words,
                 struct args *a);

/* Any words, but what is expected in a trace begins with a server's name. */
static bool fits_text(struct story *st, const char *pattern, char **word, unsigned words,
                      struct args *a, bool trace)
{
    char text[TEXT_BYTES] = "";
    unsigned server = place(word[0], st->names, st->names_count);
    if (trace && server == st->names_count)
        return false;
    a->server[0] = server;
    for (unsigned i = 0; i < words && strlen(text) + strlen(word[i]) + 2 < sizeof text; i++) {
        if (i != 0)
            strcat(text, " ");
        strcat(text, word[i]);
        if (fits(st, pattern, word + i + 1, words - i - 1, a)) {
            memcpy(a->text, text, sizeof text);
            return true;
        }
    }
    return false;
}

/* How many words the slot takes; 0: they do not fit. */
static unsigned slot(struct story *st, const char *name, char **word, unsigned words,
                     struct args *a)
{
    unsigned i = 0;
    if (strcmp(name, "SERVER") == 0) {
        a->server[a->servers++] = i = place(word[0], st->names, st->names_count);
        return i != st->names_count;
    }
    if (strcmp(name, "NAME") == 0) {
        a->server[a->servers++] = st->names_count;
        return add(word[0], st->names, &st->names_count, SERVERS_MAX);
    }
    if (strcmp(name, "NAMES") == 0) {
        while (i < words && add(word[i], st->names, &st->names_count, SERVERS_MAX))
            a->server[a->servers++] = i++;
        return i == words ? i : 0;
    }
    if (strcmp(name, "LABEL") == 0) {
        i = place(word[0], st->labels, st->labels_count);
        a->client = CLIENTS_MAX + i;
        return i != st->labels_count;
    }
    if (strcmp(name, "NEW") == 0) {
        a->client = CLIENTS_MAX + st->labels_count;
        return add(word[0], st->labels, &st->labels_count, CLIENTS_NAMED);
    }
    if (strcmp(name, "NUMBER") == 0)
        return a->numbers < 2 && is_number(word[0], &a->number[a->numbers++]);
    if (strcmp(name, "TIME") == 0)
        return is_time(word, words, &a->us) ? 2 : 0;
    if (strcmp(name, "ERROR") == 0) {
        snprintf(a->text, sizeof a->text, "%s", word[0]);
        return is_error(word[0]);
    }
    if (strcmp(name, "RULE") == 0) {
        while (a->rule < RULES && strcmp(rules[a->rule], word[0]) != 0)
            a->rule++;
        return a->rule < RULES;
    }
    return strcmp(name, word[0]) == 0;
}

static bool fits(struct story *st, const char *pattern, char **word, unsigned words, struct args *a)
{
    char name[24];
    int used = 0;
    if (sscanf(pattern, " %23s%n", name, &used) != 1)
        return words == 0;
    pattern += used;
    bool trace = strcmp(name, "TRACE") == 0;
    if (words != 0 && (trace || strcmp(name, "TEXT") == 0))
        return fits_text(st, pattern, word, words, a, trace);
    unsigned taken = words != 0 ? slot(st, name, word, words, a) : 0;
    return taken != 0 && fits(st, pattern, word + taken, words - taken, a);
}

/* --- Reading: a file --- */

static bool wrong(struct story *st, unsigned line, const char *what)
{
    snprintf(st->why, sizeof st->why, "%s:%u: %s", st->path, line, what);
    return false;
}

static bool add_line(struct story *st, const struct line *l)
{
    bool servers = l->command->kind == LINE_SERVERS;
    if (l->command->kind == LINE_WITHOUT) {
        if (st->without_count == WITHOUT_MAX)
            return wrong(st, l->number, "too many rules are left out");
        st->without[st->without_count++] = *l;
        return true;
    }
    if ((l->command->kind == LINE_SETUP || servers) == st->made)
        return wrong(st, l->number, "first what is set, then the servers once, then the rest");
    if (st->count == LINES_MAX)
        return wrong(st, l->number, "too many lines");
    if (servers || l->command->kind == LINE_LEAVES_OUT)
        st->leaves_out = st->count;
    st->made = st->made || servers;
    st->lines[st->count++] = *l;
    return true;
}

static bool read_line(struct story *st, unsigned number, char *text)
{
    char *word[WORDS_MAX], *rest;
    unsigned words = 0;
    text[strcspn(text, "#\n")] = '\0';
    for (char *w = strtok_r(text, " \t", &rest); w != NULL; w = strtok_r(NULL, " \t", &rest)) {
        if (words == WORDS_MAX)
            return wrong(st, number, "too many words");
        word[words++] = w;
    }
    if (words == 0)
        return true;
    struct line l = {.number = number, .command = commands};
    for (; l.command->pattern != NULL; l.command++) {
        unsigned names = st->names_count, labels = st->labels_count;
        l.a = (struct args){0};
        if (fits(st, l.command->pattern, word, words, &l.a))
            return add_line(st, &l);
        st->names_count = names;
        st->labels_count = labels;
    }
    return wrong(st, number, "no such line, or a name, time or rule that is not known");
}

static bool read_story(struct story *st, const char *path, FILE *f)
{
    char text[LINE_BYTES];
    unsigned number = 0, expects = 0;
    *st = (struct story){
        .path = path, .w = st->w, .told = st->told, .told_size = st->told_size, .o = st->o};
    while (fgets(text, sizeof text, f) != NULL) {
        number++;
        if (strchr(text, '\n') == NULL)
            return wrong(st, number, "the line is too long, or has no end");
        if (!read_line(st, number, text))
            return false;
    }
    for (unsigned i = 0; i < st->count; i++)
        expects += st->lines[i].command->kind == LINE_EXPECTS;
    if (expects == 0)
        return wrong(st, number, "nothing is expected");
    if (st->without_count == 0)
        return wrong(st, number, "it says of no rule that it fails without it");
    return true;
}

/* --- Running --- */

/* With one seed. False: st->why says why, and *at where. */
static bool run_seed(struct story *st, unsigned *at)
{
    bool well = true;
    story_begin(st);
    for (unsigned i = 0; well && i < st->count; i++) {
        *at = st->lines[i].number;
        if (st->lines[i].command->kind == LINE_DOES) {
            st->since = st->told_count;
            memset(st->seen, 0, sizeof st->seen);
        }
        well = st->lines[i].command->run(st, &st->lines[i].a);
        if (i == st->leaves_out && st->left_out != RULES)
            repl_rules[st->left_out] = false;
    }
    if (st->left_out != RULES)
        repl_rules[st->left_out] = true;
    story_end(st);
    return well;
}

/* With each of its seeds until one fails. */
static bool run(struct story *st, enum repl_rule left_out, unsigned *at)
{
    bool well = true;
    st->left_out = left_out;
    st->o.strict = left_out == RULES; /* else what is strange is not yet wrong */
    st->seeds_from = st->seeds_to = 1;
    for (st->seed = 1; well && st->seed <= st->seeds_to; st->seed++)
        if (st->seed >= st->seeds_from)
            well = run_seed(st, at);
    st->seed--;
    return well;
}

/* Without heartbeats, of which there are many. */
static void show(const struct story *st, size_t first, size_t most)
{
    for (size_t i = first; i < st->told_count; i++) {
        if (strstr(st->told[i].text, " beat (") != NULL)
            continue;
        if (most-- == 0) {
            printf("# ...\n");
            return;
        }
        printf("# %11.6f %s\n", (double)st->told[i].at_us / 1e6, st->told[i].text);
    }
}

static void show_failure(const struct story *st, unsigned at)
{
    printf("# %s:%u: %s\n", st->path, at, st->why);
    if (st->seeds_to != 1)
        printf("# with seed %llu\n", (unsigned long long)st->seed);
    printf("# got, since the last thing was done:\n");
    show(st, st->since, SHOWN);
}

static bool run_without(struct story *st, const char *name, const struct line *l)
{
    unsigned at = 0;
    bool well = run(st, (enum repl_rule)l->a.rule, &at);
    bool expected = !well && text_begins(st->why, l->a.text);
    printf("%s scenario_%s_fails_without_%s\n", expected ? "ok" : "not ok", name, rules[l->a.rule]);
    if (expected)
        printf("# line %u: %s\n", at, st->why);
    else
        printf("# %s:%u: expected that it fails: %s\n", st->path, l->number, l->a.text);
    if (!expected && !well)
        show_failure(st, at);
    return expected;
}

static bool run_file(struct story *st, const char *path, const char *name, bool trace)
{
    unsigned at = 0;
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        printf("not ok scenario_%s: it cannot be opened\n", name);
        return false;
    }
    bool read = read_story(st, path, f);
    fclose(f);
    if (!read) {
        printf("not ok scenario_%s\n# %s\n", name, st->why);
        return false;
    }
    bool well = run(st, RULES, &at);
    if (trace)
        show(st, 0, SIZE_MAX);
    printf("%s scenario_%s\n", well ? "ok" : "not ok", name);
    if (!well)
        show_failure(st, at);
    for (unsigned i = 0; well && i < st->without_count; i++)
        well = run_without(st, name, &st->without[i]);
    fflush(stdout);
    return well;
}

/* --- That what is wrong in a file is an error --- */

static bool refuses(struct story *st, const char *text, const char *why)
{
    char copy[LINE_BYTES];
    snprintf(copy, sizeof copy, "%s", text);
    FILE *f = fmemopen(copy, strlen(copy), "r");
    assert(f != NULL);
    bool refused = !read_story(st, "text", f) && strstr(st->why, why) == st->why;
    fclose(f);
    if (!refused)
        printf("# expected \"%s\", got \"%s\"\n", why, st->why);
    return refused;
}

static bool refuses_wrong_files(struct story *st)
{
    static const struct {
        const char *text, *why;
    } list[] = {
        {"servers a b\nrun 1 s\nwithout S1 it fails: I1\n", "text:3: nothing is expected"},
        {"servers a b\nexpect all in sync\n", "text:2: it says of no rule"},
        {"servers a b\nrun fast\n", "text:2: no such line"},
        {"servers a b\nkill c\n", "text:2: no such line"},
        {"servers a a\n", "text:1: no such line"},
        {"# x\n\nservers a b\nwrite k via a\nwrite k via a\n", "text:5: no such line"},
        {"servers a b\nexpect acknowledged k\n", "text:2: no such line"},
        {"servers a b\nexpect c is killed\n", "text:2: no such line"},
        {"servers a b\nwithout S99 it fails: I1\n", "text:2: no such line"},
        {"servers a b\nwrite k via a\nexpect k answered nothing\n", "text:3: no such line"},
        {"kill a\n", "text:1: no such line"},
        {"run 1 s\nservers a b\n", "text:1: first what is set"},
        {"servers a b\nmin-copies 2\n", "text:2: first what is set"},
        {"servers a b\nservers c\n", "text:2: first what is set"},
        {"servers a b\nrun 1 s", "text:2: the line is too long, or has no end"},
    };
    bool well = true;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        well = refuses(st, list[i].text, list[i].why) && well;
    printf("%s a_wrong_line_of_a_scenario_is_an_error_with_its_number\n", well ? "ok" : "not ok");
    return well;
}

static int is_scenario(const struct dirent *d)
{
    size_t bytes = strlen(d->d_name);
    return bytes > 4 && strcmp(d->d_name + bytes - 4, ".txt") == 0;
}

static bool run_folder(struct story *st, const char *in, const char *only)
{
    struct dirent **list;
    int count = scandir(in, &list, is_scenario, alphasort);
    bool well = count > 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES], name[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", in, list[i]->d_name);
        snprintf(name, sizeof name, "%.*s", (int)strlen(list[i]->d_name) - 4, list[i]->d_name);
        if (only == NULL || strcmp(only, name) == 0)
            well = run_file(st, path, name, only != NULL) && well;
        free(list[i]);
    }
    if (count > 0)
        free(list);
    return well;
}

int main(int argc, char **argv)
{
    static struct world w;
    static struct story st;
    char folder[FOLDER_BYTES];
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: scenarios FOLDER [NAME]\n");
        return 2;
    }
    for (unsigned i = 0; i < RULES; i++)
        repl_rules[i] = true;
    st.w = &w;
    st.o = (struct options){.memory = true, .folder = folder_make(folder)};
    bool well = refuses_wrong_files(&st);
    well = run_folder(&st, argv[1], argc == 3 ? argv[2] : NULL) && well;
    folder_remove(folder);
    free(st.told);
    return well ? 0 : 1;
}
