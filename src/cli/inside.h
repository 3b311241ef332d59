/* What the parts of the demo share. Nobody outside includes it. */
#ifndef CLI_INSIDE_H
#define CLI_INSIDE_H

#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/heard.h"
#include "cli/show.h"

struct demo {
    bool once;
    unsigned mistakes;
    struct buf differed; /* a line for each, said again at the end */
    bool ready[CLUSTER_SERVERS_MAX];
    struct cluster cluster;
    struct heard heard;
    struct show show;
};

__attribute__((format(printf, 2, 3))) void demo_differs(struct demo *d, const char *format, ...);

/* Takes in what happens, at most until `until_us`; says aloud what is no message. False: nothing
 * more happened, or the demo is to end. */
bool demo_listen(struct demo *d, uint64_t until_us);

bool demo_interrupted(const struct demo *d); /* somebody, or nobody any more, wants it to end */

/* Whether a server answers clients in this protocol; one that each does answer in. */
bool demo_speaks(const struct demo *d, unsigned server, enum client_protocol p);
enum client_protocol demo_tongue(const struct demo *d, unsigned server, enum client_protocol p);
unsigned demo_speaker(const struct demo *d, enum client_protocol p); /* the server to ask */

int demo_ask(const struct demo *d, unsigned server, enum client_protocol p, const char *method,
             const char *path, uint64_t min_seq, struct client_answer *a);

/* A write through the server that speaks the protocol, the messages of it, and its record as every
 * server has it (demo_write.c). */
void demo_write(struct demo *d, enum client_protocol p);

/* What each server says of itself, once they all say the same (demo_state.c). */
bool demo_wait_in_sync(struct demo *d);
void demo_state(struct demo *d);

/* Stays until it is to end, or no server is left (demo_stay.c). False: none was. */
bool demo_stay(struct demo *d);

#endif
