/* S22: whether the disk has space for more, found out before anything is begun that could not be
 * ended. Knows what takes space, and not what for. */
#include "base/err.h"
#include "node/inside.h"

/* Whether the disk keeps its reserve: local storage grows into it by what the log has already. */
static bool has_reserve(const struct node *n)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    return n->o.disk->space(n->o.disk->context, n->dir.path, &free_bytes, &total_bytes) == 0 &&
           free_bytes >= n->reserve_bytes;
}

int space_find(struct node *n)
{
    struct status *status = n->o.status;
    /* Before the look at the log, which finds the segment that was made meanwhile. */
    bool no_space = atomic_load_explicit(&n->no_space, memory_order_acquire);
    bool room = log_has_room(n->log, n->entry_bytes_max);
    bool full = !has_reserve(n) || (!room && no_space) || n->retry_us != 0 ||
                atomic_load_explicit(&n->log_stuck, memory_order_acquire);
    atomic_store_explicit(&status->disk_full, full, memory_order_release);
    if (!room)
        bell_ring(&n->prepare_bell);
    if (full != n->full_said)
        order_say(n, !full ? "the disk has space again"
                     : n->primary
                         ? "the disk is full: writes are refused, reads go on"
                         : "the disk is full: this backup acknowledges nothing until there "
                           "is space");
    n->full_said = full;
    return full ? ERR_DISK_FULL : room ? 0 : ERR_BUSY;
}
