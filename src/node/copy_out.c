/* A copy of the store in use, made while writes go on, for whoever takes it piece by piece: a
 * checkpoint's file, a client's connection. Knows neither. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "node/inside.h"
#include "store/copy.h"

enum { PIECE_BYTES = 256 * 1024 };

struct source {
    struct store *store;
    int fd; /* of the pipe, to write to */
    int rc;
};

static void *source_run(void *arg)
{
    struct source *s = arg;
    s->rc = store_copy(s->store, s->fd);
    close(s->fd);
    return NULL;
}

/* From the pipe to the taker, no faster than the rate. */
static int pump(struct node *n, int from, const struct copy_out *o)
{
    struct pace pace = pace_begin(n, n->o.settings->copy_bytes_per_s, o->stop);
    char *piece = malloc(PIECE_BYTES);
    int rc = piece == NULL ? ERR_NO_MEMORY : 0;
    while (rc == 0) {
        ssize_t got = read(from, piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        rc = o->take(o->context, span(piece, (size_t)got));
        if (rc == 0)
            rc = pace_passed(&pace, (uint64_t)got);
    }
    free(piece);
    return rc;
}

int copy_out(struct node *n, const struct copy_out *o)
{
    int ends[2], rc;
    pthread_t thread;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return ERR_SYSTEM;
    struct source s = {.store = store_slot_hold(&n->slot), .fd = ends[1]};
    bool started = pthread_create(&thread, NULL, source_run, &s) == 0;
    if (started) {
        rc = pump(n, ends[0], o);
    } else {
        close(ends[1]);
        rc = ERR_SYSTEM;
    }
    close(ends[0]); /* where it was given up, the copy ends */
    if (started) {
        pthread_join(thread, NULL);
        rc = rc == 0 ? s.rc : rc;
    }
    store_slot_release(&n->slot, s.store);
    return rc;
}
