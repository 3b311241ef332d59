/* The thread that prints messages. */
#include "ops/message_printer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/queue.h"
#include "base/thread.h"

enum { PERIOD_MS = 20, PIECE_BYTES = 256 * 1024 };

struct message_printer {
    struct message_log *log;
    FILE *to;
    struct bell bell;
    atomic_bool stop;
    pthread_t thread;
};

static uint64_t print(struct message_printer *p, uint64_t after, struct buf *text)
{
    for (;;) {
        uint64_t lost = 0;
        buf_reset(text, 2 * PIECE_BYTES);
        uint64_t last = message_log_read(p->log, after, PIECE_BYTES, MESSAGE_LINES, text, &lost);
        if (lost != 0)
            fprintf(p->to, "(%" PRIu64 " messages came faster than they could be printed)\n", lost);
        if (last == after)
            break;
        fwrite(text->at, 1, text->bytes, p->to);
        after = last;
    }
    fflush(p->to);
    return after;
}

static void *run(void *printer)
{
    struct message_printer *p = printer;
    struct buf text = {0};
    uint64_t after = 0;
    thread_begin("printer", THREAD_USUAL);
    for (bool stop = false; !stop;) {
        stop = atomic_load_explicit(&p->stop, memory_order_acquire); /* before the last look */
        after = print(p, after, &text);
        bell_rest(&p->bell);
        if (!stop && !atomic_load_explicit(&p->stop, memory_order_acquire))
            bell_wait(&p->bell, PERIOD_MS);
        bell_awake(&p->bell);
    }
    buf_finish(&text);
    return NULL;
}

int message_printer_start(struct message_printer **out, struct message_log *log, FILE *to)
{
    struct message_printer *p = calloc(1, sizeof *p);
    if (p == NULL)
        return ERR_NO_MEMORY;
    p->log = log;
    p->to = to;
    int rc = bell_init(&p->bell);
    if (rc == 0 && pthread_create(&p->thread, NULL, run, p) != 0) {
        bell_finish(&p->bell);
        rc = ERR_SYSTEM;
    }
    if (rc != 0) {
        free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void message_printer_stop(struct message_printer *p)
{
    if (p == NULL)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_release);
    bell_ring(&p->bell);
    pthread_join(p->thread, NULL);
    bell_finish(&p->bell);
    free(p);
}
