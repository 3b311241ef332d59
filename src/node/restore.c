/* A data directory made from a backup: a new cluster that begins with its records. The first start
 * as primary does the rest (recovery.c). */
#include "node/restore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "node/data_dir.h"
#include "store/copy.h"

static int fill(const struct disk *disk, const char *file, struct disk_file *to)
{
    struct disk_file *from;
    int rc = disk->open(disk->context, file, DISK_READ_ONLY, &from);
    if (rc != 0)
        return rc;
    rc = disk_copy(disk, from, to);
    disk->close(from);
    return rc == 0 ? disk->sync(to) : rc;
}

static bool same(const struct store_state *a, const struct store_state *b)
{
    return a->applied == b->applied && a->chain == b->chain && a->digest == b->digest;
}

/* The records as they are in the file. */
static int install(struct data_dir *d, const char *file, const struct store_state *state,
                   const char *app_name, char *why, size_t why_bytes)
{
    char part[PATH_BYTES_MAX];
    struct disk_file *to;
    struct store_state copied;
    const struct disk *disk = d->disk;
    int rc = disk->open(disk->context, data_dir_path(d, "copy.part", part), DISK_CREATE, &to);
    if (rc != 0)
        return rc;
    rc = fill(disk, file, to);
    disk->close(to);
    if (rc == 0)
        rc = store_copy_check(part, NULL, &copied, why, why_bytes);
    if (rc == 0 && !same(state, &copied)) {
        snprintf(why, why_bytes, "%s was changed while it was read", file);
        rc = ERR_CORRUPT;
    }
    if (rc == 0)
        rc = disk->sync_folder(disk->context, d->path);
    if (rc == 0)
        rc = data_dir_begin_restored(d, app_name, state->epoch);
    return rc == 0 ? data_dir_end_restored(d) : rc;
}

int node_restore(const struct disk *disk, const char *file, const char *data, const char *app_name,
                 struct restored *what, char *why, size_t why_bytes)
{
    struct store_state state;
    struct data_dir d;
    why[0] = '\0';
    int rc = store_copy_check(file, NULL, &state, why, why_bytes);
    if (rc == 0)
        rc = data_dir_claim(&d, disk, data, why, why_bytes);
    if (rc != 0)
        return rc;
    rc = install(&d, file, &state, app_name, why, why_bytes);
    if (rc != 0) {
        if (why[0] == '\0')
            snprintf(why, why_bytes, "cannot write the records into %s: %s", data,
                     start_sentence(rc));
        data_dir_forget(&d);
        return rc;
    }
    data_dir_close(&d);
    *what = (struct restored){state.records, state.seq, state.digest};
    return 0;
}

int node_check_backup(const char *file, struct restored *what, char *why, size_t why_bytes)
{
    struct store_state state;
    int rc = store_copy_check(file, NULL, &state, why, why_bytes);
    if (rc == 0)
        *what = (struct restored){state.records, state.seq, state.digest};
    return rc;
}
