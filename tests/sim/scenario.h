/*
 * A scenario: a story over simulated servers that somebody has written down as a text file, with
 * what must be seen in its trace. scenario.c reads the files and runs them; story.c knows what each
 * line does.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "sim.h"

enum { LINES_MAX = 200, WITHOUT_MAX = 4, NAME_BYTES = 8, TEXT_BYTES = 200, TOLD_BYTES = 240 };

/* What the words in capitals of a pattern stand for. */
struct args {
    unsigned servers, server[SERVERS_MAX]; /* SERVER, NAMES */
    unsigned client;                       /* LABEL, NEW: the one who writes it */
    uint64_t us;                           /* TIME */
    unsigned numbers;
    uint64_t number[2]; /* NUMBER */
    unsigned rule;      /* RULE */
    char text[TEXT_BYTES];
};

struct story;

/* One kind of line. run: false, with st->why, where the scenario fails. */
struct command {
    const char *pattern; /* words, and in capitals what stands for something */
    bool (*run)(struct story *st, const struct args *a);
    enum {
        LINE_SETUP,
        LINE_SERVERS,
        LINE_DOES,
        LINE_WAITS,
        LINE_EXPECTS,
        LINE_LEAVES_OUT,
        LINE_WITHOUT
    } kind;
};

extern const struct command commands[]; /* the first one that fits counts; ends with NULLs */

struct line {
    unsigned number; /* in the file */
    const struct command *command;
    struct args a;
};

struct story {
    const char *path;
    bool made;           /* there is a line with its servers */
    unsigned leaves_out; /* behind this line a rule is left out: that one, or a later one */
    unsigned count, without_count;
    struct line lines[LINES_MAX], without[WITHOUT_MAX];
    unsigned names_count, labels_count;
    char names[SERVERS_MAX][NAME_BYTES], labels[CLIENTS_NAMED][NAME_BYTES];

    /* a run */
    struct world *w;
    struct options o;
    struct plan plan;
    uint64_t seed, seeds_from, seeds_to;
    enum repl_rule left_out; /* behind the line `leaves_out`; RULES: none */
    struct told {
        uint64_t at_us;
        char text[TOLD_BYTES];
    } * told; /* the trace */
    size_t told_count, told_size;
    size_t since;             /* of it, where the last thing was done */
    size_t seen[SERVERS_MAX]; /* and up to the last line of each server that was expected */
    char why[COMPLAINT_BYTES + TEXT_BYTES];
};

void story_begin(struct story *st); /* before the first line of a run */
void story_end(struct story *st);
/* Whether a line of the trace, or a sentence, begins as it should: whole words, * for anything. */
bool text_begins(const char *text, const char *wanted);

#endif
