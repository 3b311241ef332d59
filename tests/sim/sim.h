/*
 * Several servers in one process: each a real `struct repl` with a driver that does what the
 * header of the step says, over a simulated disk, network and clock. One seed decides everything,
 * so one seed replays a run. Nothing here knows the rules of the step, but for RULE(S2), half of
 * which is the driver's; checks.c holds the invariants against what is on the disks.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "chance.h"
#include "repl/step.h"

enum {
    SERVERS_MAX = 6,
    WIRES_MAX = 64,
    STALE_MAX = 96,
    COMPLAINT_BYTES = 300,
    MS = 1000, /* all times are in microseconds */
    S = 1000 * 1000,
    PRIMARY = 0,
};

/* --- disk.c: what is on a server's disk, and what is on its way to it --- */

struct entry {
    uint64_t epoch, index, kind, payload, set, chain;
};

struct record {
    struct entry e;
    uint64_t commit; /* known when it was written: the frame keeps it */
};

struct disk {
    unsigned char id[PEER_ID_BYTES];
    struct record *log; /* entry i + 1; the last may not be durable */
    uint64_t count, size, durable;
    bool cutting;
    uint64_t cut_to;
    bool saving;
    struct repl_hard hard, hard_next;
    uint64_t commit;  /* kept in the frames */
    uint64_t applied; /* local storage: survives the process, not the machine */
    uint64_t applied_chain;
    uint64_t promised_max; /* for I5 */
    uint64_t starts;       /* S2's counter */
    bool damaged;          /* an old copy was put back in its place, */
    bool restored;         /* once */
};

void disk_make(struct disk *d, struct chance *c);
void disk_finish(struct disk *d);
void disk_copy(struct disk *to, const struct disk *from);
void disk_append(struct disk *d, const struct entry *e, uint64_t commit);
void disk_flushed(struct disk *d, uint64_t index);
void disk_saved(struct disk *d);
void disk_cut_done(struct disk *d);
/* What was on its way is there or not; with the machine goes what was only in its memory. */
void disk_crash(struct disk *d, bool machine, struct chance *c);
/* The entry's place in a log; 0 is the beginning of all. */
struct peer_point disk_point(const struct disk *d, uint64_t index);
uint64_t entry_chain(const struct entry *e, uint64_t before);
/* The entries that will stay: not those that a cut is about to remove. */
uint64_t disk_kept(const struct disk *d);

/* --- net.c: connections, as TCP has them --- */

struct packet {
    bool end; /* the other side has closed */
    size_t bytes;
    struct packet *next;
    char at[];
};

enum { CALLER, CALLED }; /* the two ends: a backup and the primary */

struct wire {
    unsigned number; /* 0: free */
    unsigned server[2], link[2];
    uint64_t life[2];
    bool open[2];
    bool cut[2]; /* nothing that this side sends arrives */
    uint64_t frozen_us[2], last_us[2];
    struct packet *first[2], *last[2]; /* sent by this side */
    bool tainted;                      /* a message of another connection was given to one end */
    /* the primary's driver's */
    bool streaming;
    uint64_t next;
    /* for the checks */
    bool welcomed;
    struct peer_server hello;
};

struct stale {
    unsigned wire, from, to;
    size_t bytes;
    char *at;
};

struct world;
struct wire *wire_open(struct world *w, unsigned caller);
struct wire *wire_of(struct world *w, unsigned server, unsigned link);
void wire_send(struct world *w, struct wire *wire, unsigned side, const struct peer_message *m);
void wire_close(struct world *w, struct wire *wire, unsigned side); /* by this side */
void wire_lost(struct world *w, unsigned server, unsigned link); /* this end is told nothing more */
void wire_arrived(struct world *w, unsigned number, unsigned side); /* at this side */
void wires_of_dead(struct world *w, unsigned server, bool machine);
void wires_stale(struct world *w); /* gives somebody a message of an old connection */
void wires_finish(struct world *w);

/* --- server.c: a process; driver.c: what it does with events and actions --- */

struct server {
    unsigned number;
    char name[8];
    struct disk disk, old_copy;
    bool has_old_copy;
    bool up, stays_down, alarmed;
    uint64_t life;                 /* counted over all servers; 0: never */
    uint64_t stopped_us, clock_us; /* SIGSTOP until then; its clock is ahead by so much */
    uint64_t slow_us;              /* its disk is slow until then */
    uint64_t disk_us;              /* when the writes asked for so far are done */
    uint64_t wait_us;              /* before the next call */
    uint64_t blocked_us;           /* no call gets through until then */
    unsigned links, crashes;       /* it will crash so often, soon after each start */
    struct repl r;
    uint64_t seen_committed, seen_applied, seen_promised; /* in this life, for I5 */
    uint64_t checked_durable; /* entries of the log that checks.c has seen durable */
};

void server_start(struct world *w, struct server *s);
void server_stop(struct world *w, struct server *s, bool machine);
void server_wipe(struct world *w, struct server *s);    /* of a stopped one */
void server_restore(struct world *w, struct server *s); /* likewise: its old copy */
struct server *server_by_id(struct world *w, const unsigned char *id);

void driver_step(struct world *w, struct server *s, struct repl_event *e);
void driver_received(struct world *w, struct server *s, struct wire *wire, unsigned side,
                     const struct peer_message *m);
bool driver_must_wait(const struct world *w, const struct server *s, const struct peer_message *m);
void driver_propose(struct world *w, struct server *s);
void driver_call(struct world *w, struct server *s);

/* --- world.c: the queue of what happens, and a run --- */

enum event_kind {
    DO_FLUSH, /* the disk does it, whatever the process does */
    DO_SAVE,
    DO_CUT,
    DO_DELIVER, /* and the rest is for the process */
    DO_DOWN,
    DO_TICK,
    DO_DURABLE,
    DO_SAVED,
    DO_CUT_DONE,
    DO_LOOKED_UP,
    DO_PROPOSE,
    DO_CALL,
    DO_CRASH,
    DO_STALE,
    DO_START, /* by itself */
    DO_FAULT,
};

struct happening {
    uint64_t at_us, number;
    enum event_kind kind;
    unsigned server, link;
    uint64_t life, index;
};

/* What this run is like. */
struct plan {
    unsigned min_copies;
    bool ack_mixed;    /* each life of the primary acknowledges in its own way */
    bool hold_all;     /* a settling backup reads nothing; else only no entries */
    bool primary_lost; /* the primary's disk may be an old copy: only each server's own sanity */
    bool twin;         /* a server with the name of another comes and goes */
    uint64_t timeout_us, net_us, disk_us, write_us, fault_us, length_us;
    unsigned stale_percent; /* of entries made, after which an old message comes late */
    unsigned weights[32];
};

struct counts {
    uint64_t events, faults, messages, acknowledged, simulated_us, stale, starts, cuts, drops;
};

struct truth {
    uint64_t *canon; /* the chain at each index, from whoever applied it first */
    uint64_t canon_count, canon_size;
    uint64_t acked, acked_by_all, committed;
    struct born {
        uint64_t epoch, index, chain;
    } * born; /* I4: a table by hash */
    uint64_t born_count, born_size;
    char complaint[COMPLAINT_BYTES]; /* "": none */
};

struct world {
    uint64_t seed;
    bool trace, strict; /* strict: alarms, refusals and nonsense are complaints, too */
    struct chance chance;
    uint64_t now_us, happened, lives;
    struct happening *queue;
    unsigned queue_count, queue_size;
    unsigned servers_count;
    struct server servers[SERVERS_MAX];
    unsigned char cluster[PEER_ID_BYTES];
    uint32_t generation;
    struct wire wires[WIRES_MAX];
    unsigned wires_counted;
    struct stale stale[STALE_MAX];
    unsigned stale_next;
    struct plan plan;
    struct truth truth;
    struct counts counts;
    bool healing, quiet; /* no more faults; no more writes */
    uint64_t healed_acked;
    uint64_t harmed; /* of entries up to here a fault may have taken a copy away */
    struct repl_actions actions;
};

/* A whole run: "" or what broke, in w->truth.complaint. */
void world_run(struct world *w, uint64_t seed, bool trace, bool strict);
void world_finish(struct world *w);
void later(struct world *w, uint64_t in_us, enum event_kind kind, const struct server *s,
           unsigned link, uint64_t index);
/* A line of the trace. */
void tell(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- faults.c --- */

void faults_plan(struct world *w);
void faults_do(struct world *w);
void faults_heal(struct world *w);
void faults_operator(struct world *w); /* what people do once faults are over */

/* --- checks.c --- */

void complain(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_all(struct world *w);
void check_shipped(struct world *w, const struct entry *e);
void check_acknowledged(struct world *w, const struct server *s, const struct entry *e);
void check_sent(struct world *w, struct wire *wire, unsigned side, const struct peer_message *m);
bool check_healed(struct world *w);
void checks_finish(struct world *w);

/* --- text.c --- */

void text_message(const struct peer_message *m, char *to, size_t bytes);

#endif
