/* What the files of this folder share: the node, its threads, and its links to other servers. */
#ifndef NODE_INSIDE_H
#define NODE_INSIDE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "log/log.h"
#include "net/host.h"
#include "net/loop.h"
#include "node/data_dir.h"
#include "node/node.h"
#include "node/untold.h"
#include "ops/status.h"
#include "record/execute.h"
#include "repl/entry.h"
#include "repl/fates.h"
#include "repl/full_copy.h"
#include "repl/peer.h"
#include "repl/step.h"
#include "store/slot.h"
#include "store/store.h"

enum {
    LINKS_MAX = 2 * REPL_MEMBERS_MAX, /* members, and those who say hello */
    LINK_UNSENT_MAX = 1024 * 1024,    /* beyond it a link gets no more entries */
    SHIP_BYTES = 1024 * 1024,         /* of the log, read at once for one link */
    FORWARDS_MAX = 64,                /* batches of one backup under way at the primary */
    FORWARD_BYTES_MAX = 16 * 1024 * 1024,
    COPY_AHEAD_BYTES_MAX = 1024 * 1024, /* of a copy: come and not written, likewise */
    TAIL_BYTES_MAX = 16 * 1024 * 1024,  /* accepted and not applied, before the link is not read */
    HELLO_US = 5 * 1000 * 1000,         /* for a peer to say hello */
    BACKUPS_MAX = 2,                    /* taken at once by clients */
    CHECK_BYTES_PER_S = 20 * 1000 * 1000, /* a copy is read at least so fast */
};

/* An entry that is in the log, or on its way there, and not applied. */
struct tail_entry {
    struct tail_entry *next;
    struct entry e; /* its body stands in `at` */
    size_t bytes;
    char at[];
};

/* The entry that this primary has made: it stands in the log's frame until the next one is begun.
 */
struct flight {
    bool any;
    bool open; /* its effects are in the open transaction; else they are applied from its bytes */
    struct entry entry;
    struct write_batch *batches; /* to be given back once it is applied */
};

/* What the log thread is to do; one thing at a time. */
struct log_job {
    enum { LOG_APPEND, LOG_SAVE, LOG_CUT } kind;
    struct log_frame *frame;
    uint64_t index; /* the last one of the frame; the last one that stays */
    uint64_t chain; /* after it */
    size_t bytes;   /* of the frame's payload */
    struct repl_hard hard;
};

/* What the helper thread is to do: what may take long and is not the log's own. */
struct help_job {
    enum help_kind {
        HELP_READ,
        HELP_LOOK_UP,
        HELP_CONNECT,
        HELP_CHUNK,
        HELP_PART_BEGIN, /* these, last, are part.c's */
        HELP_PART_ADD,
        HELP_PART_FORGET,
    } kind;
    struct help_job *next;
    unsigned link;
    uint64_t index; /* first entry wanted; CHUNK: offset */
    int rc;
    uint64_t last;           /* READ: of the entries in `bytes` */
    uint64_t first_seq, seq; /* READ: of the writes in them */
    struct buf bytes;        /* PART_BEGIN, PART_ADD: where it failed, why, in words */
    struct peer_point point; /* LOOK_UP */
    struct full_copy part;   /* PART_BEGIN, PART_ADD: after it; where it failed, what is there */
    int fd;                  /* CONNECT: the connection; CHUNK: the checkpoint; -1: none */
};

/* A connection to another server. */
struct link {
    struct node *node;
    struct net_conn *conn;
    unsigned number; /* 0: the place is free */
    bool out;        /* this server opened it, to its primary */
    bool known;      /* hello or welcome was said */
    bool ending;     /* nothing more is read from it or sent on it */
    bool paused;
    bool copying; /* a full copy is sent over it, and nothing else */
    int copy_fd;  /* a primary's: of the checkpoint; -1: none */
    uint64_t copy_at, copy_bytes, copy_start, copy_us; /* a primary's: offsets; since when */
    bool streaming, reading; /* a primary: entries are shipped; from the log, right now */
    uint64_t next, told;     /* a primary: next index to ship; commit position last told */
    unsigned forwards;       /* a primary: batches of it under way */
    size_t forward_bytes;
    uint64_t opened_us;
    char name[APP_NAME_BYTES_MAX + 1];
    char far[NET_HOST_BYTES], near[NET_HOST_BYTES]; /* the machines at its ends */
};

/* The newest durable copy of local storage, as far as it is known to be whole; index 0: none. */
struct checkpoint {
    struct peer_point at;
    uint64_t bytes; /* of the file */
    uint64_t seal;
    int fd; /* -1: none; the file stays the same one, whatever is renamed over it */
};

/* A full copy that comes: the order thread's. */
struct copy {
    bool wanted; /* the log does not reach this server */
    bool due;    /* all of it is here, and is to be checked and installed */
    struct full_copy part;
    unsigned jobs;               /* of the helper's under way for it, */
    size_t bytes;                /* and what they have to write */
    uint64_t start_us, start_at; /* of what came over this link */
    unsigned said;               /* tenths */
    uint64_t again_us, wait_us;  /* after a failure: when to ask again, */
};

/* Its file: the helper's. */
struct part_file {
    struct disk_file *file; /* NULL: not open */
    uint64_t unsynced, noted_us;
    struct full_copy noted; /* durable */
};

/* A full copy that is checked and takes the place of what is here. While there is one, log, data
 * directory and worker threads are its thread's. */
struct install {
    bool any; /* the order thread's */
    pthread_t thread;
    atomic_bool stop;     /* what is not done yet is left to the next start */
    atomic_bool checked;  /* for the status, */
    atomic_bool no_space; /* too: the disk is full, it is tried again */
    atomic_bool over;     /* the thread has nothing left to do, and says below what it did */
    bool whole;           /* the copy was */
    struct node *instead; /* what was opened, as a node of its own without threads; NULL: nothing */
};

/* How fast a thread reads or writes what nobody waits for. */
struct pace {
    const struct clock *clock;
    const atomic_bool *stop;
    uint64_t bytes_per_s, start_us, bytes;
};

/* A copy for a client, which has the connection; under the node's lock but for what its thread
 * alone uses. */
struct backup {
    struct node *node;
    enum { BACKUP_NONE, BACKUP_RESERVED, BACKUP_RUNNING, BACKUP_OVER } state;
    pthread_t thread; /* RUNNING, OVER: to be joined */
    int fd;
    bool chunked;
    struct buf head; /* goes first */
};

struct node {
    struct node_options o;
    struct data_dir dir;
    struct store_slot slot; /* for the front ends */
    struct store *store;    /* the one in it */
    struct log *log;
    uint64_t segment_bytes, reserve_bytes;
    size_t entry_bytes_max;
    uint64_t epoch;
    bool primary;
    bool proved;  /* local storage has all that was acknowledged, as far as this server knows */
    bool suspect; /* a backup: what is here is not to be trusted; a full copy is wanted */
    atomic_flag failing; /* a thread is ending this life */

    /* the order thread's */
    struct net_loop *loop;
    struct write_port *ports;
    unsigned ports_count;
    struct repl repl;
    struct repl_actions actions;
    bool stepping;
    struct execution x;
    struct store_txn *txn;    /* open while an entry's effects are in it */
    struct store_state state; /* of local storage, as last committed */
    struct flight flight;
    uint64_t chain, time_us, seq, last_epoch; /* after the last entry made or accepted */
    struct tail_entry *tail, **tail_end;
    struct tail_entry *unwritten; /* the first of the tail that the log does not have */
    struct tail_entry *arriving;  /* of the message that is being judged */
    size_t tail_bytes;
    uint64_t apply_to; /* committed */
    uint64_t retry_us; /* local storage had no space: when to apply again; 0: not so */
    uint64_t stop_us;  /* since when it is to stop */
    struct write_batch *pending, **pending_end; /* to be executed, or forwarded */
    struct fates fates;        /* a backup's: of what is with the primary, or answered */
    struct write_batch *spare; /* a primary: for what backups forward */
    unsigned spares;
    struct buf effects; /* in the log's frame */
    struct buf scratch;
    struct link links[LINKS_MAX];
    unsigned links_counted;
    struct link *up; /* a backup: to its primary; NULL: none */
    bool calling;
    uint64_t call_us, call_wait_us;
    uint64_t start_us;
    bool diverged;
    uint64_t since_checkpoint; /* bytes that the log has grown by */
    uint64_t checkpoint_bytes; /* about the last one's size; 0: none */
    uint64_t copy_hold_us;     /* a primary: until then checkpoint and log stay; 0: free */
    struct copy copy;          /* a backup: that comes */
    struct install install;
    bool full_said;
    bool closing;              /* links end, and that means nothing any more */
    struct peer_set known_set; /* as the last applied entry about it said */
    uint64_t behind_us;        /* a backup: since when it lacks what is committed; 0: it does not */
    struct status_view view;   /* as it was published last, */
    uint64_t published_us;     /* then */
    char said[DETAIL_BYTES_MAX]; /* last, */
    unsigned said_count;         /* and how much since then */
    uint64_t saying_us;
    char trouble[DETAIL_BYTES_MAX]; /* why there is no primary, in words */
    char called_at[NET_HOST_BYTES]; /* a primary: what a backup has called last, "": none has */

    /* between it and the log thread */
    struct log_job job;
    bool job_asked; /* the order thread waits for it */
    atomic_bool to_log, logged, gave_up;
    bool save_wanted, cut_wanted, frame_wanted;
    uint64_t cut_index, cut_chain;
    struct log_job append; /* made, and waiting for its turn */
    bool own_wanted;       /* an entry of the log's own, once the one before is applied */
    struct repl_action own;
    uint64_t written_first_seq, written_seq; /* of the frame being written, for the message log */
    struct bell log_bell, prepare_bell;
    struct untold untold;  /* a primary: those whom it tells of itself */
    atomic_bool no_space;  /* for the log's next segment, when it was last tried */
    atomic_bool log_stuck; /* the log thread's job finds none */
    atomic_bool stop_order, stop_log;
    pthread_t order_thread, log_thread, prepare_thread, help_thread, keep_thread;
    bool workers;                      /* all but the first of these run */
    const struct store_state *checked; /* what checkpoint.mdb is known to hold; NULL: not known */
    atomic_bool keep_stop, checkpoint_wanted, rotten;
    atomic_bool checkpoint_known; /* which there is, if any, of those that earlier lives left */
    struct part_file part;        /* the helper's */
    atomic_bool copying;          /* the log is not trimmed */

    /* between it and the helper thread, and those who bring connections; under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t help_wanted, keep_wanted;
    struct checkpoint checkpoint;
    int old_checkpoint; /* keep's: the one before, as long as it is read or let go; -1: none */
    bool help_stop;
    struct help_job *help_todo, **help_todo_end, *help_done, **help_done_end;
    struct arrival {
        int fd;
        struct buf unread;
    } arrivals[LINKS_MAX];
    unsigned arrivals_count;
    char drop[APP_NAME_BYTES_MAX + 1]; /* "": nobody */
    struct backup backups[BACKUPS_MAX];
    atomic_bool backups_stop;
};

/* node.c: all threads but the order thread, and the step */
int node_start_workers(struct node *n);
void node_stop_workers(struct node *n); /* where they run */
void node_make_step(struct node *n);

/* install.c: by the order thread of a backup without a link */
void install_if_due(struct node *n); /* begins, or ends what was begun */
void install_stop(struct node *n);   /* that thread is over: ends it, as far as it is, for a stop */

/* part.c: on the helper's thread; at the start; at the end */
void part_do(struct node *n, struct help_job *job);
void part_load(struct node *n);
void part_forget(struct node *n);
void part_finish(struct node *n);

/* pace.c */
struct pace pace_begin(const struct node *n, uint64_t bytes_per_s, const atomic_bool *stop);
int pace_passed(void *pace, uint64_t bytes); /* waits; ERR_BUSY: it is to stop */
struct store_pace pace_of(struct pace *p);
uint64_t pace_of_checks(const struct node *n);

/* checkpoint.c */
void *keep_run(void *node);
struct checkpoint checkpoint_now(struct node *n);
struct checkpoint checkpoint_dup(struct node *n); /* with an fd of the caller's, or none */
void checkpoint_forget(struct node *n);
void checkpoint_if_due(struct node *n);
void checkpoint_want(struct node *n);    /* another one, soon */
void checkpoint_look(struct node *n);    /* whether the one before can go */
int checkpoint_at_start(struct node *n); /* one, now */
void checkpoint_trim(struct node *n);

/* copy_out.c: a copy of the store in use, for whoever takes it. Blocks. 0, or an error: then what
 * was taken is no copy. */
struct copy_out {
    const atomic_bool *stop;                       /* set: it ends, with ERR_BUSY */
    int (*take)(void *context, struct span piece); /* 0, or an error, which ends it */
    void *context;
};
int copy_out(struct node *n, const struct copy_out *o);

/* backup.c */
void backups_end(struct node *n); /* all, soon; nobody asks for one any more */

/* copy.c: on a primary, on the helper's thread, on a backup */
void copy_asked(struct node *n, struct link *l, const struct peer_copy_ask *ask);
void copy_hold(struct node *n);
void copy_tick(struct node *n);
void copy_pump(struct node *n, struct link *l);
void copy_chunk_read(struct node *n, struct help_job *job);
void copy_read(struct node *n, struct help_job *job);
bool copy_may_call(const struct node *n);
void copy_ask(struct node *n, struct link *l);
void copy_told(struct node *n, struct link *l, const struct peer_message *m);
void copy_written(struct node *n, struct help_job *job);
uint64_t copy_rate(const struct node *n);      /* bytes per second over this link */
void copy_forget(struct node *n, bool wanted); /* what came of it is of no use */

/* recovery.c */
struct log_troubles {
    bool damaged;  /* it is not whole */
    bool mixed_up; /* it is, and cannot be this server's */
};
/* Opens the log of this name, which has to reach what is committed, and replays it; where it fails
 * what is valid before the damage is in the tail, or in local storage. */
int recovery_open_log(struct node *n, const char *name, uint64_t committed, struct log_troubles *t,
                      char *why, size_t why_bytes);
int recovery_apply_tail(struct node *n); /* all of it */
int recovery_take_state(struct node *n); /* where local storage ends */
int recovery_check(const struct node *n, char *why, size_t why_bytes);
bool recovery_lacks_log(const struct node *n, char *why, size_t why_bytes);
int recover(struct node *n, char *why, size_t why_bytes);
/* A backup's, once more, after data_dir_begin_install; n->store and n->log may be open after an
 * error, too. Nobody is told before recover_tell. */
int recover_again(struct node *n, char *why, size_t why_bytes);
void recover_tell(struct node *n); /* the front ends: where local storage is */

/* space.c: for one entry, in the log and behind local storage: 0, ERR_DISK_FULL, or ERR_BUSY while
 * the log's next segment is only not ready yet. Says, and puts into the status, what has changed.
 */
int space_find(struct node *n);

/* suspect.c */
int suspect_open_log(struct node *n, bool installing, char *why, size_t why_bytes);
/* The disk failed (S11), or did not give back what it had: this life ends, and the next is suspect.
 * From any thread; does not return. */
void suspect_fail(struct node *n, int code, const char *what) __attribute__((noreturn));

/* order.c: the thread, and what clients ask of it */
void *order_run(void *node);
int order_open_loop(struct node *n);
void order_begin(struct node *n); /* the step begins with what was recovered */
void order_wake(void *node);
void order_give_back(struct node *n, struct write_batch *list);
void order_say(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* entries.c: making them, on a primary */
bool entries_make(struct node *n);    /* false: nothing can be made now */
void entries_give_up(struct node *n); /* of a primary that is none any more: what is under way */
void entries_append(struct node *n, const struct repl_action *a);

/* apply.c: the tail, local storage */
struct tail_entry *tail_copy(const struct entry *e); /* NULL: no memory */
void tail_add(struct node *n, struct tail_entry *t);
void tail_free(struct tail_entry *list);
void tail_cut(struct node *n, uint64_t index);
bool tail_point(const struct node *n, uint64_t index, struct peer_point *p);
unsigned tail_points(const struct node *n, struct peer_point points[PEER_POINTS_MAX]);
void apply(struct node *n); /* what is committed and can be */

/* steps.c: the step's driver */
void step(struct node *n, const struct repl_event *e);

/* jobs.c: what the log thread is asked to do */
void jobs_ask(struct node *n);    /* the next one, if it does none */
void jobs_forget(struct node *n); /* what was accepted, where there is no space for it */
void jobs_done(struct node *n);   /* takes the report, if there is one */

/* links.c: connections and their messages */
void links_arrived(struct node *n);
void links_call(struct node *n); /* a backup: its primary, if it is time */
void links_called(struct node *n, struct help_job *job);
void links_tick(struct node *n);
struct link *links_find(struct node *n, unsigned number); /* NULL: gone or ending */
void links_end(struct node *n, struct link *l, bool refused);
void links_give_up(struct node *n, struct link *l, bool refused);
void links_diverge(struct node *n, const char *sentence);
void link_say(struct node *n, const struct link *l, const char *what); /* to the operator */
void links_resume(struct node *n);
void links_send(struct node *n, struct link *l, struct peer_message *m);
size_t links_received(void *node, struct net_conn *conn, struct span input, bool end);
void links_closed(void *node, struct net_conn *conn);

/* ship.c: entries on their way to backups */
void ship_flight(struct node *n);
void ship_all(struct node *n);
void ship_commit(struct node *n, struct link *l);
void ship_read(struct node *n, struct help_job *job);

/* forward.c: writes on their way from a backup to the primary and back */
void forward_pending(struct node *n);
void forward_received(struct node *n, struct link *l, const struct peer_message *m);
void forward_answer(struct node *n, struct write_batch *b);
void forward_answered(struct node *n, struct link *l, const struct peer_answer *a);
void forward_lost(struct node *n);      /* the link is gone */
void forward_give_back(struct node *n); /* what local storage has reached */

/* view.c: what people are told */
int view_refusal(const struct node *n); /* why no write is taken now: 0, or the error */
void view_publish(struct node *n);

/* say.c: the message log's part of the order thread */
void say_forward(struct node *n, const char *peer, const struct write_batch *b);
void say_completed(struct node *n, const char *peer, const struct write_batch *b);
void say_update(struct node *n, const char *peer, uint64_t first_seq, uint64_t last_seq);
void say_acknowledged(struct node *n, const char *peer, uint64_t first_seq, uint64_t last_seq);

/* log_threads.c, helper.c */
void *log_run(void *node);
void *prepare_run(void *node);
void *help_run(void *node);
/* Owns it; it comes back in help_take, at once where it is done already. */
void help_ask(struct node *n, struct help_job *job, bool done);
struct help_job *help_take(struct node *n);
/* A connection to HOST:PORT, which does not block; -1: none in a second. */
int help_dial(const char *address);
struct help_job *help_job_create(void);
void help_job_destroy(struct help_job *job);

#endif
