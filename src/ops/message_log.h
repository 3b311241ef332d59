/*
 * The message log: what an operator sees of each step (W1..W5, R1, R2). Binary records in one ring
 * per thread, formatted when read; bounded, and never slows a request: a writer takes no lock and
 * never waits. Knows nothing of requests beyond the words that it is given.
 */
#ifndef OPS_MESSAGE_LOG_H
#define OPS_MESSAGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"

enum message_step {
    MESSAGE_W1,
    MESSAGE_W2,
    MESSAGE_W3,
    MESSAGE_W4,
    MESSAGE_W5,
    MESSAGE_R1,
    MESSAGE_R2
};
enum message_actor { MESSAGE_CLIENT, MESSAGE_REPLICA };
enum message_kind { MESSAGE_REQUEST, MESSAGE_REPLY };

struct message_log;
struct message_ring; /* one writing thread's */

struct message_log_options {
    const char *app_name; /* copied, as is the clock */
    unsigned rings;       /* how many threads write; 1 to 256 */
    unsigned slots;       /* messages kept per ring, a power of two; 4096 */
    unsigned
        reads_per_second_max; /* above it a ring counts reads instead of keeping each; 10 000 */
    const struct clock *clock;
};

/* ERR_USAGE for options outside their bounds, ERR_NO_MEMORY. */
int message_log_create(struct message_log **log, const struct message_log_options *o);
void message_log_destroy(struct message_log *log); /* accepts NULL; no writer, no reader is left */
struct message_ring *message_log_ring(struct message_log *log, unsigned ring);

/*
 * One message: "words[ target][ status][ payload]". Kept are at most 88 bytes of the words, 120 of
 * the target and 200 of the payload, each cut at the end of a character and then followed by "…".
 */
struct message {
    enum message_step step;
    enum message_actor actor;
    enum message_kind kind;
    struct span words; /* "POST", or a text such as "Tell backups to update" */
    struct span target;
    int status; /* 0: none */
    struct span payload;
};
/* Keeps a copy. Only by the ring's thread. */
void message_add(struct message_ring *ring, const struct message *m);

/*
 * Asks before building a read's message: false when this second's share is used up, and then the
 * read has been counted. The count becomes a message of its own ("R1 12345 more reads this second
 * were counted, not logged") once the second is over, written by the next message_reads_admit or
 * message_tick of the ring.
 */
bool message_reads_admit(struct message_ring *ring, uint64_t now_us);
void message_tick(struct message_ring *ring, uint64_t now_us); /* call about every 100 ms */

/* --- Reading: any thread, any time, without disturbing the writers --- */

/* Number of the newest message that can be read; they count 1, 2, 3 … over all rings. A message
 * that is just being written holds back those behind it, so that a reader who goes on from here
 * misses none. */
uint64_t message_log_last(const struct message_log *log);

enum message_format {
    /* [2026-11-22 19:10:00.123456] seoul CLIENT [REQUEST] W1 POST /notes {"title":"a"} (UTC), each
     * with its line feed */
    MESSAGE_LINES,
    /* {"n":1,"time":"2026-11-22 19:10:00.123456","app_name":…,"actor":"CLIENT","kind":"REQUEST",
     * "step":"W1","text":"POST /notes {…}","line":the line}, one after another with commas between
     */
    MESSAGE_JSON,
    MESSAGE_EVENTS, /* server-sent events: "id: n\ndata: <the JSON object>\n\n" */
};
/*
 * Appends the messages numbered above `after`, oldest first, as far as they are still kept, until
 * `out` has grown by bytes_max: the last one, of at most 6 KiB, may pass it. Returns the number of
 * the last one appended (`after` where there was none). A message that a writer is just overwriting
 * is left out. *lost (may be NULL) gets how many numbers were passed over. Where `out` takes no
 * more (out->failed), what is there ends with a whole message.
 *
 * No format lets a message break its line: control characters are written as \u001b, a line feed as
 * \n, and each byte that is not UTF-8 becomes U+FFFD.
 */
uint64_t message_log_read(struct message_log *log, uint64_t after, size_t bytes_max,
                          enum message_format format, struct buf *out, uint64_t *lost);

#endif
