/*
 * Several servers in one process: each a real `struct repl`, real entries and a real store, with a
 * driver that does what the header of the step says, over a simulated log, network and clock; and
 * clients that ask them. One seed decides everything, so one seed replays a run. Nothing here knows
 * the rules of the step, but for those that are the driver's in whole or in part (S2, S11, S13);
 * checks.c and history.c hold the invariants against what is on the disks and what was told.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "chance.h"
#include "drive.h"
#include "history.h"
#include "record/execute.h"
#include "repl/fates.h"
#include "repl/full_copy.h"
#include "repl/promote.h"
#include "repl/step.h"

enum {
    SERVERS_MAX = 6,
    CLIENTS_MAX = 48,   /* that ask at random, */
    CLIENTS_NAMED = 24, /* and, behind them, those of a scenario */
    CLIENTS_ALL = CLIENTS_MAX + CLIENTS_NAMED,
    WIRES_MAX = 64,
    STALE_MAX = 96,
    HEARD_MAX = 32,
    PROMOTIONS_MAX = 32,
    COMPLAINT_BYTES = 300,
    MS = 1000, /* all times are in microseconds */
    S = 1000 * 1000,
    FIRST = 0, /* the one that is the primary to begin with */
};

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
    bool telling;                      /* it says that the caller was promoted, and nothing else */
    bool tainted;                      /* a message of another connection was given to one end */
    uint64_t slow_us;                  /* each message takes so much longer */
    /* the primary's driver's */
    bool streaming;
    uint64_t next;
    bool copying; /* and the backup's: a full copy goes over it, and nothing else */
    struct image *copy;
    uint64_t copy_at, active_us;
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
struct wire *wire_open(struct world *w, unsigned caller, unsigned called);
struct wire *wire_of(struct world *w, unsigned server, unsigned link);
void wire_send(struct world *w, struct wire *wire, unsigned side, const struct peer_message *m);
void wire_close(struct world *w, struct wire *wire, unsigned side); /* by this side */
void wire_lost(struct world *w, unsigned server, unsigned link); /* this end is told nothing more */
void wire_arrived(struct world *w, unsigned number, unsigned side); /* at this side */
void wires_of_dead(struct world *w, unsigned server, bool machine);
void wires_stale(struct world *w); /* gives somebody a message of an old connection */
bool wires_kept(struct world *w);  /* gives the one that was kept. False: it cannot */
void wires_finish(struct world *w);

/* --- server.c: a process; driver.c: what it does with events and actions --- */

/* The entry that a primary has made and not applied. */
struct flight {
    bool any;
    bool open; /* its effects are in the open transaction; else they are applied from its bytes */
    struct entry entry;
    struct write_batch *batches; /* to be given back once it is applied */
};

/* What a disk does, any of which may fail. */
enum disk_work {
    DISK_FLUSH = 1, /* of the log, */
    DISK_SAVE = 2,  /* of the small file, */
    DISK_CUT = 4,
    DISK_TRIM = 8,
    DISK_CHECKPOINT = 16,
    DISK_PART = 32, /* a piece of a copy that comes, */
    DISK_INSTALL = 64,
    DISK_ALL = 127,
};

struct server {
    unsigned number, follows; /* itself: it is the primary */
    char name[8];
    struct drive disk, old_copy;
    bool has_old_copy;
    bool accepts_loss; /* the operator's word for its next start */
    bool up, stays_down, alarmed;
    bool held;                     /* the operator has it stopped */
    bool told;                     /* an old primary: in this life somebody told it so */
    bool astray;                   /* what it has applied was given up by a promotion */
    uint64_t life;                 /* counted over all servers; 0: never */
    uint64_t stopped_us, clock_us; /* SIGSTOP until then; its clock is ahead by so much */
    uint64_t wall_us;              /* and people have set the time of day so far ahead */
    uint64_t slow_us;              /* its disk is slow until then */
    uint64_t full_us;              /* and full until then */
    uint64_t disk_us;              /* when the writes asked for so far are done */
    uint64_t wait_us;              /* before the next call */
    uint64_t blocked_us;           /* no call gets through until then */
    struct failing {
        unsigned work;         /* the next of these is an error; 0: none */
        unsigned kept_percent; /* of what it was for, that is there all the same */
        bool unmarked;         /* nor can it be noted that it failed */
        bool machine;          /* which goes down then */
        uint64_t back_us;      /* after which it is started again; 0: nobody does */
    } failing;
    unsigned links, crashes; /* it will crash so often, soon after each start */
    struct repl r;

    /* of its process */
    struct execution x;
    struct buf effects, scratch;
    struct flight flight;
    struct write_batch *asked; /* being filled with what clients ask */
    struct write_batch *pending, **pending_end;
    struct fates fates;
    bool turning;     /* a turn is on its way */
    bool proved;      /* local storage has all that was acknowledged, as far as it knows */
    bool copy_wanted; /* a backup: the log does not reach it */
    bool checking;    /* the copy that has come */
    struct full_copy in;
    struct buf part; /* of it, what has come */
    uint64_t hold_us;

    struct heard { /* a primary: from whom, in its last session here; for I6 */
        unsigned char id[PEER_ID_BYTES];
        uint64_t session, durable;
    } heard[HEARD_MAX];
    unsigned heard_next;
    uint64_t seen_committed, seen_applied, seen_promised; /* in this life, for I5 */
    uint64_t seen_read;       /* the highest seq that a read was answered with, on this disk */
    uint64_t checked_durable; /* entries of the log that checks.c has seen durable */
    uint64_t checked_applied; /* the last one that checks.c has compared */
};

static inline bool server_leads(const struct server *s)
{
    return s->follows == s->number;
}

void server_make(struct world *w, unsigned number, const char *name); /* which is down */
void server_start(struct world *w, struct server *s);
void server_stop(struct world *w, struct server *s, bool machine);
void server_wipe(struct world *w, struct server *s);    /* of a stopped one */
void server_restore(struct world *w, struct server *s); /* likewise: its old copy */
void server_finish(struct server *s);
void server_give_up(struct world *w, struct server *s, const char *why);
/* The step begins with what the disk has; again after a full copy was installed. */
void server_begin(struct world *w, struct server *s);
struct server *server_by_id(struct world *w, const unsigned char *id);
uint64_t server_wall_us(const struct world *w, const struct server *s);

void driver_step(struct world *w, struct server *s, struct repl_event *e);
void driver_received(struct world *w, struct server *s, struct wire *wire, unsigned side,
                     const struct peer_message *m);
bool driver_must_wait(const struct world *w, const struct server *s, const struct peer_message *m);
void driver_call(struct world *w, struct server *s);
void driver_ship(struct world *w, struct server *s); /* to all who stream */
void driver_tell_commit(struct world *w, struct server *s, struct wire *wire);
uint64_t driver_disk_us(struct world *w, const struct server *s);
void driver_write_log(struct world *w, struct server *s);

/* --- order.c: writes, from the clients to entries and back --- */

/* The batch that the next write of a client is put into; a turn comes soon. */
struct write_batch *order_batch(struct world *w, struct server *s);
void order_turn(struct world *w, struct server *s);
void order_soon(struct world *w, struct server *s);
void order_append(struct world *w, struct server *s, const struct repl_action *a);
int order_apply_flight(struct world *w, struct server *s);
void order_give_back(struct world *w, struct server *s, struct write_batch *list);
void order_reached(struct world *w, struct server *s); /* a backup's storage is further */
void order_lost(struct world *w, struct server *s);    /* its link is gone */
bool order_forwarded(struct world *w, struct server *s, struct wire *wire,
                     const struct peer_message *m);
bool order_answered(struct world *w, struct server *s, const struct peer_message *m);
void order_stop(struct world *w, struct server *s);

/* --- copy.c: full copies, checkpoints and trimming --- */

void copy_ask(struct world *w, struct server *s, struct wire *wire);
void copy_asked(struct world *w, struct server *s, struct wire *wire, const struct peer_message *m);
void copy_pump(struct world *w, struct server *s, unsigned link);
void copy_told(struct world *w, struct server *s, struct wire *wire, const struct peer_message *m);
void copy_checked(struct world *w, struct server *s);
void copy_installed(struct world *w, struct server *s);
void copy_forget(struct server *s);
void copy_tick(struct world *w, struct server *s);
void checkpoint_make(struct world *w, struct server *s);

/* --- clients.c --- */

struct client {
    unsigned number, server; /* that it talks to */
    bool busy;
    uint64_t asked;                /* operations begun, repeats among them */
    uint64_t seen;                 /* the highest seq that it was told of */
    uint64_t reads_from, read_seq; /* the life that it read from last, and what it saw there */
    struct operation {
        enum method method;
        bool list;
        unsigned collection;
        uint64_t id, min_seq;
        uint64_t write; /* number of it; 0: a read */
        unsigned tries;
        uint64_t life; /* that it was sent to */
    } op;
    int code;              /* of the answer that is on its way, */
    uint64_t code_of, seq; /* to that operation */
    bool unknown;          /* the connection broke */
};

void clients_next(struct world *w); /* one of them */
/* A client of a scenario asks for a new record, or the same once more, with its key. */
void client_writes(struct world *w, struct client *c, struct server *s);
void client_repeats(struct world *w, struct client *c, struct server *s);
void client_asks(struct world *w, struct server *s, unsigned number, uint64_t asked, uint64_t life,
                 bool waited);
void client_hears(struct world *w, unsigned number, uint64_t asked);
void client_gives_up(struct world *w, unsigned number, uint64_t asked);
void client_answered(struct world *w, struct server *s, const struct write_batch *b,
                     const struct write *write);
void clients_of_dead(struct world *w, const struct server *s);

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
    DO_TURN,
    DO_CALL,
    DO_CRASH,
    DO_CHUNK,
    DO_CHECKED,
    DO_INSTALLED,
    DO_CHECKPOINT,
    DO_REQUEST, /* of a client, at a server */
    DO_READ,    /* likewise, which waited */
    DO_CLIENT,  /* for a client */
    DO_ANSWER,
    DO_GIVE_UP,
    DO_STALE,
    DO_START,  /* by itself */
    DO_ACCEPT, /* likewise, where people give up what is lost */
    DO_FAIL,   /* a disk will */
    DO_FAULT,
    DO_TELL, /* again a process's */
    DO_OPERATOR,
};

struct happening {
    uint64_t at_us, number;
    enum event_kind kind;
    unsigned server, link;
    uint64_t life, index;
};

/* What this run is like. */
struct plan {
    bool scripted; /* nothing goes wrong by chance, but delays differ */
    unsigned min_copies;
    bool ack_mixed;    /* each life of the primary acknowledges in its own way */
    bool hold_all;     /* a settling backup reads nothing; else only no entries */
    bool primary_lost; /* the primary's disk may be an old copy: only each server's own sanity */
    bool promotes;     /* somebody else is made primary now and then */
    bool twin;         /* a server with the name of another comes and goes */
    bool real_log;     /* src/log, on a disk in memory */
    bool lmdb;         /* local storage is LMDB's, in files */
    uint64_t timeout_us, net_us, disk_us, fault_us, length_us;
    uint64_t op_us;         /* between two operations of clients; 0: they rest */
    uint64_t checkpoint_us; /* between checkpoints; 0: there are none */
    uint64_t log_entries;   /* that a checkpoint leaves in the log */
    uint64_t key_window_us;
    uint64_t failing_us;    /* between disks that fail; 0: none does */
    unsigned stale_percent; /* of entries made, after which an old message comes late */
    unsigned weights[48];
};

struct counts {
    uint64_t events, faults, messages, operations, reads, acknowledged, unknown, repeats;
    uint64_t simulated_us, stale, starts, cuts, drops, copies, checkpoints, failures;
    uint64_t promotions, accepted, refused, given_up;
};

struct truth {
    struct canon {
        uint64_t chain, digest; /* after it, from whoever applied it first; digest 0: not known */
        uint64_t seq;
    } * canon;
    uint64_t canon_count, canon_size;
    uint64_t acked, acked_by_all, committed;
    struct born {
        uint64_t epoch, index, chain;
    } * born; /* I4: a table by hash */
    uint64_t born_count, born_size;
    struct history history;
    struct lineage {
        uint64_t generation; /* of the last promotion; 0: there was none */
        struct promoted {
            uint64_t generation;
            unsigned char id[PEER_ID_BYTES];
        } promoted[PROMOTIONS_MAX];
        unsigned promoted_count;
        /* What was in the log of the server that was promoted, and applied nowhere; behind it is
         * what this generation adds. */
        uint64_t first, last, *chains;
        struct lost {
            uint64_t index, chain;
        } * lost; /* what was given up, and what old primaries have added to it */
        size_t lost_count, lost_size;
    } line;
    char complaint[COMPLAINT_BYTES]; /* "": none */
};

struct options {
    bool trace;
    void (*line)(struct world *w, const char *text); /* gets the trace; NULL: it is printed */
    void *of_line;
    bool strict;        /* alarms, refusals and nonsense are complaints, too */
    bool memory;        /* no LMDB, whatever the seed says */
    const char *folder; /* for its files */
};

struct world {
    uint64_t seed;
    struct options o;
    struct chance chance, failing; /* of disks that fail, and all that comes of it */
    uint64_t now_us, happened, lives;
    struct happening *queue;
    unsigned queue_count, queue_size;
    unsigned servers_count;
    struct server servers[SERVERS_MAX];
    struct client clients[CLIENTS_ALL];
    unsigned char cluster[PEER_ID_BYTES];
    unsigned primary; /* the server that is it to the checks */
    struct wire wires[WIRES_MAX];
    unsigned wires_counted;
    struct stale stale[STALE_MAX];
    unsigned stale_next;
    unsigned keep_of;  /* the next acknowledgement of the server of this number - 1 is kept */
    struct stale kept; /* and here it is */
    struct storage storage;
    struct json *json;
    struct write_batch *spare;
    struct plan plan;
    struct truth truth;
    struct counts counts;
    bool healing, quiet; /* no more faults; no more writes */
    uint64_t healed_acked;
    struct affair {
        struct chance chance;
        bool lost;                      /* the primary, */
        bool disk_lost;                 /* with its disk: should another one be promoted */
        bool halfway;                   /* the promotion was killed, and had written */
        unsigned tries, before;         /* to promote somebody; who was primary before */
        uint64_t next_us;               /* something is done */
        uint64_t back_us;               /* the one that was lost may be back */
        uint64_t point_us[SERVERS_MAX]; /* each is pointed at the primary */
    } affair;
    uint64_t harmed; /* of entries up to here a fault may have taken a copy away */
    struct repl_actions actions;
};

/* Nothing has begun yet. plan: of a scenario, which makes its servers; NULL: drawn from the seed.
 */
void world_make(struct world *w, uint64_t seed, const struct options *o, const struct plan *plan);
/* What happens next; and when, UINT64_MAX: nothing does. */
void world_step(struct world *w);
uint64_t world_next_us(const struct world *w);
/* A whole run: "" or what broke, in w->truth.complaint. */
void world_run(struct world *w, uint64_t seed, const struct options *o);
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

/* --- failing_disk.c --- */

void failing_plan(struct world *w);
void failing_do(struct world *w); /* somebody's disk, soon */
/* Whether the disk fails at this now. */
bool failing_at(struct world *w, struct server *s, enum disk_work work);
/* The process ends of it; marks: after an attempt to note that it is suspect. */
void failing_end(struct world *w, struct server *s, const char *what, bool marks);
/* DO_FLUSH, DO_SAVE, DO_CUT. False: the disk does not fail. */
bool failing_work(struct world *w, struct server *s, const struct happening *h);

/* --- operator.c --- */

void operator_plan(struct world *w);
void operator_step(struct world *w);
void operator_heal(struct world *w);

/* --- checks.c --- */

void complain(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_all(struct world *w);
/* On the disk for sure; what is trimmed is in the checkpoint. */
bool check_has(const struct world *w, const struct drive *d, uint64_t index);
void check_applied(struct world *w, struct server *s); /* at once, before answers tell of it */
void check_shipped(struct world *w, const struct entry *e);
void check_committed(struct world *w, const struct server *s, const struct entry *e);
void check_heard(struct server *s, const struct wire *wire, const struct peer_message *m);
void check_commits(struct world *w, const struct server *s, uint64_t index);
void check_sent(struct world *w, struct wire *wire, unsigned side, const struct peer_message *m);
bool check_healed(struct world *w);
void checks_finish(struct world *w);

/* --- promote.c: `noted promote`, with the real verdict --- */

/* Of a stopped server, which asks all others. */
struct promotion {
    struct server *self;
    const struct server *old; /* whose directory is --old-state; NULL: there is none */
    bool accept_data_loss;
    /* the verdict: */
    enum promote_reason reason;
    uint32_t generation, answered, untold; /* the last two: a bit for each server */
    uint64_t promised;                     /* the highest that it was told of */
    char why[COMPLAINT_BYTES];
};

void promote_ask(struct world *w, struct promotion *p);
void promote_do(struct world *w, const struct promotion *p); /* PROMOTE_YES */
/* Whether the two can reach each other. */
bool promote_reaches(const struct world *w, const struct server *a, const struct server *b);
/* A promoted primary calls who was not asked; what comes back. */
void promote_tell(struct world *w, struct server *s);
void promote_told(struct world *w, struct server *s, struct wire *wire);

/* --- line.c --- */

/* Whether the entry is, or may become, the next of the line that counts. */
bool line_has(const struct world *w, const struct entry *e);
/* False: what the server has applied is neither that line's nor what was given up. */
bool line_follows(struct world *w, struct server *s);
/* accepted: the operator's word that writes may be lost; answered: a bit for each server that
 * answered, and so has no more. */
void line_promoted(struct world *w, struct server *s, bool accepted, uint32_t answered);
void line_finish(struct world *w);

/* --- text.c --- */

void text_message(const struct peer_message *m, char *to, size_t bytes);

#endif
