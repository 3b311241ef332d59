/* What the files of this folder share: the thread's state, a client's, and the one layer that
 * answers. */
#ifndef FRONT_INSIDE_H
#define FRONT_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "front/front.h"
#include "front/http_head.h"
#include "net/loop.h"
#include "record/json.h"
#include "record/read.h"
#include "record/request.h"
#include "record/write.h"

struct client;
struct datagram;

enum { WAITING_LISTS = 1024 }; /* a power of two */

struct front {
    struct front_options o;
    struct net_loop *loop;
    struct json *json;

    /* writes */
    struct write_batch *open;   /* being filled; NULL: none */
    struct write_batch *flying; /* handed over, oldest first */
    struct write_batch **flying_end;
    unsigned flying_count;
    struct write_batch *spare;
    unsigned batches; /* that there are, wherever */
    size_t weight;    /* of the writes in flight */

    /* requests held until local storage has reached a position */
    struct client *waiting[WAITING_LISTS]; /* by position */
    unsigned waiting_count;
    uint64_t woken_seq; /* whoever waits for no more has been woken */
    struct datagram *datagrams;
    unsigned datagrams_count;

    struct client *turns, **turns_end; /* who wants a long answer, first come first */
    size_t turn_bytes;                 /* of long answers that this turn has begun */
    struct client *events;             /* who gets messages as they happen */
    unsigned events_count;
    size_t decoded_bytes; /* memory of chunked bodies that have not come whole */

    struct buf scratch; /* a body on its way */
    struct buf line;    /* a UDP answer on its way */
    struct buf decoded; /* texts of a JSON head */
    uint64_t now_us;    /* monotonic; 0: ask the clock */
    uint64_t date_s;
    char date[32]; /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    uint64_t trimmed_us;
    atomic_bool drain_asked;
    bool draining;
    uint64_t drain_since_us;
};

enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_HTTP, PROTOCOL_JSON };

enum hold { /* why a client's next request is not looked at */
            HOLD_NOTHING,
            HOLD_WRITES,   /* until none of its writes is in flight */
            HOLD_ROOM,     /* until fewer are, or until its output was taken */
            HOLD_POSITION, /* until local storage is at min_seq */
            HOLD_TURN,     /* until others have had their long answers */
            HOLD_LIST,     /* until a list has been given */
            HOLD_EVENTS,   /* for ever: it gets messages as they happen */
};

/* One connection; memory that the loop keeps with it. */
struct client {
    struct front *front;
    struct net_conn *conn;
    uint8_t protocol, hold;
    bool last;      /* no request follows: close when all is answered */
    bool end_heard; /* nothing follows what is unread */
    bool ended;     /* the peer closed its side, and no request is left */
    bool closing;
    bool chunked_out;
    bool continued; /* 100 Continue was sent for this request */
    uint32_t in_flight, in_flight_bytes;
    size_t scanned; /* of an HTTP head or of a JSON head or payload */
    size_t need;    /* bytes that the request has at least; 0: not known */
    struct json_frame frame;
    size_t json_head; /* bytes of a JSON head whose payload is awaited, and of blanks behind it */
    struct http_chunks chunks;
    struct buf *decoded; /* head and body of a chunked request */
    size_t decoded_head;
    uint64_t begun_us;      /* when the request began that has not come whole; 0: none has */
    uint64_t wait_until_us; /* 0: the request does not wait */
    uint64_t wait_seq;
    struct client *held_next, **held_at; /* in the list of those held alike */
    struct list_cursor list;
    uint64_t events_after, events_us;
};

/* --- waiting.c: clients that are held in a list --- */
void client_hold_position(struct client *c, const struct request *rq);
void client_hold_turn(struct client *c);
void client_hold_events(struct client *c);
bool client_late(struct client *c);      /* its wait for a position is over */
void client_unlist(struct client *c);    /* out of its list, if it is in one */
void waiting_wake(struct front *f);      /* those whose position is there */
void waiting_next_turn(struct front *f); /* the next of those who want a long answer */
void waiting_wake_late(struct front *f); /* and those for whom it did not come in time */
void waiting_watch(struct front *f);     /* tells the order thread whether anybody waits */

/* --- front.c --- */
uint64_t front_now_us(struct front *f);
const char *front_date(struct front *f);
void client_hold(struct client *c, enum hold why);
void client_release(struct client *c);  /* look at its requests again */
bool client_has_room(struct client *c); /* whether what HOLD_ROOM is for is over */
void client_write_started(struct client *c, struct write *w);
size_t client_output_max(const struct client *c); /* past it, nothing more is read from it */
/* Whether a request of which so much is there may wait for the rest: else it is refused as busy. */
bool front_input_room(const struct front *f, size_t bytes);
/* A long answer may wait for its turn, or be refused while too much output waits. */
enum { ANSWER_SHORT_BYTES = 16 * 1024 };
void client_finish(
    struct client *c); /* if it is to be closed and nothing is under way: closes it */

/* --- serve.c: the one layer that answers --- */
enum serve_result {
    SERVE_ANSWER,        /* s->answer is complete */
    SERVE_WRITE,         /* s->write is in the open batch: fill in the front end's own part */
    SERVE_LIST,          /* s->cursor: stream it; answer has status and seq */
    SERVE_EVENTS,        /* stream the messages after s->after */
    SERVE_BACKUP,        /* give the connection up for a copy; answer has its head */
    SERVE_WAIT_WRITES,   /* not before the writes in flight are answered */
    SERVE_WAIT_POSITION, /* not before local storage is at rq->min_seq */
    SERVE_WAIT_TURN,     /* not in this turn, which has begun enough long answers */
};
struct served {
    struct answer answer;
    struct target target;
    struct list_cursor cursor;
    struct write *write;
    uint64_t after;
};
/* `late`: a wait for a position is over. Bodies are good until the next call. */
enum serve_result serve(struct front *f, struct request *rq, unsigned in_flight, bool late,
                        struct served *s);
/* Errors that can be told before the payload is there: 0 or the code, with the answer filled. */
int serve_check(const struct request *rq, struct served *s);
/* The answer of a write that came back. `target` for messages. */
void serve_answer_of(const struct write_batch *b, const struct write *w, struct answer *a);

/* --- metrics.c --- */
int metrics_write(struct front *f, struct buf *to);

/* --- own_paths.c --- */
enum serve_result own_path(struct front *f, const struct request *rq, struct served *s);
bool own_path_known(struct span path);
bool own_path_drops(struct span path, struct span *name); /* /_servers/NAME */

/* --- batches.c --- */
struct write_batch *batch_open(struct front *f, size_t weight); /* NULL: busy */
void batch_submit(struct front *f);                             /* hands the open one over */
void batch_turn_end(struct front *f);                           /* the same, unless many are */
void batches_answered(struct front *f);                         /* takes back what has come */
void batches_give_up(struct front *f); /* answers outcome_unknown where it took too long */

/* --- http.c, http_answer.c --- */
size_t http_received(struct client *c, struct span input);
void http_write_answered(struct client *c, const struct write *w, const struct answer *a);
void http_drop_decoded(struct client *c);

struct http_style {
    bool minor_1, keep_alive, head_only, problem;
};
void http_answer(struct front *f, struct buf *out, const struct answer *a, struct http_style style);
/* A head without length: chunked, or in HTTP/1.0 until the connection closes. */
void http_stream_head(struct front *f, struct buf *out, const struct answer *a,
                      struct http_style style);
void http_chunk(struct buf *out, struct span bytes);

/* --- json.c, json_request.c, json_answer.c --- */
size_t json_received(struct client *c, struct span input);
void json_write_answered(struct client *c, const struct write_batch *b, const struct write *w,
                         const struct answer *a);
/* From a head (accepted, an object) to a request, whose spans are good until the next call. 0, or
 * the code and perhaps a detail; method and rid are set after an error, too, where they are there.
 */
int json_request(struct front *f, struct span head, struct request *rq, const char **detail);
void json_error(struct buf *out, const struct answer *a); /* the error object, as HTTP gives it */
void json_answer(struct buf *out, const struct answer *a, struct span rid, bool with_body);
void json_stream_head(struct buf *out, const struct answer *a, struct span rid);

/* --- udp.c --- */
void udp_received(struct front *f, const struct net_peer *peer, struct span bytes);
void udp_write_answered(struct front *f, const struct write_batch *b, const struct write *w,
                        const struct answer *a);
void udp_waiting(struct front *f, bool all); /* looks at the held datagrams again */

/* --- lists.c: lists and event streams --- */
void list_start(struct client *c, const struct served *s, struct span rid, struct http_style style);
void list_more(struct client *c);
void events_start(struct client *c, const struct served *s, struct http_style style);
void events_more(struct front *f);

/* --- messages.c --- */
void messages_read(struct front *f, const struct request *rq, const struct answer *a);
void messages_write_asked(struct front *f, const struct request *rq);
void messages_write_answered(struct front *f, const struct write_batch *b, const struct write *w,
                             const struct answer *a);

#endif
