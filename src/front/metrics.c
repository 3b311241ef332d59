/* /_metrics: what the server says of itself, as Prometheus reads it (text format 0.0.4). Knows
 * nothing of transports. */
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "front/inside.h"

struct metrics { /* all of one moment, as far as there is one */
    const struct status *status;
    const struct status_view *view;
    struct reader_position at;
    uint64_t uptime_ms, connections;
};

/* X(name, type, help, value): the one list of those that a server has one of. Values are whole;
 * those in seconds are given in milliseconds. */
#define METRICS_LIST(X)                                                                            \
    X(primary, "gauge", "1: this server is the primary, 0: a backup", !m->status->backup)          \
    X(ready, "gauge", "1: local reads are served", atomic_load(&m->status->ready))                 \
    X(writable, "gauge", "1: writes are taken",                                                    \
      atomic_load(&m->status->refusal) == 0 && !atomic_load(&m->status->disk_full))                \
    X(in_sync, "gauge", "1: this server is in the in-sync set", m->view->in_sync)                  \
    X(in_sync_servers, "gauge", "servers in the in-sync set, the primary among them",              \
      m->view->set_count)                                                                          \
    X(disk_full, "gauge", "1: the disk is too full to take writes",                                \
      atomic_load(&m->status->disk_full))                                                          \
    X(epoch, "counter", "number of the present reign of a primary",                                \
      atomic_load(&m->status->epoch))                                                              \
    X(seq, "counter", "the newest write in local storage", m->at.seq)                              \
    X(durable_index, "counter", "the newest entry on this disk", atomic_load(&m->status->durable)) \
    X(committed_index, "counter", "the newest entry on the disk of every server in sync",          \
      atomic_load(&m->status->committed))                                                          \
    X(applied_index, "counter", "the newest entry in local storage", m->at.applied)                \
    X(records, "gauge", "records in local storage", m->at.records)                                 \
    X(collections, "gauge", "collections in local storage", m->at.collections)                     \
    X(keys, "gauge", "keys of writes that are remembered", m->at.keys)                             \
    X(connections, "gauge", "connections of clients", m->connections)                              \
    X(datagrams_dropped_total, "counter", "datagrams that were no JSON object",                    \
      atomic_load(&m->status->datagrams_dropped))                                                  \
    X(peers_refused_total, "counter", "connections of servers that were turned away",              \
      atomic_load(&m->status->peers_refused))

#define METRICS_OF_TIME(X)                                                                         \
    X(lag_seconds, "gauge", "how long a backup has not applied all that is committed",             \
      m->view->lag_ms)                                                                             \
    X(uptime_seconds, "counter", "how long the process has run", m->uptime_ms)

static void head(struct buf *to, const char *name, const char *type, const char *help)
{
    buf_printf(to, "# HELP noted_%s %s\n# TYPE noted_%s %s\n", name, help, name, type);
}

static void add_seconds(struct buf *to, uint64_t ms)
{
    buf_printf(to, " %" PRIu64 ".%03u\n", ms / 1000, (unsigned)(ms % 1000));
}

static void add_all(struct buf *to, const struct metrics *m)
{
#define X(name, type, help, value)                                                                 \
    head(to, #name, type, help);                                                                   \
    buf_printf(to, "noted_" #name " %" PRIu64 "\n", (uint64_t)(value));
    METRICS_LIST(X)
#undef X
#define X(name, type, help, value)                                                                 \
    head(to, #name, type, help);                                                                   \
    buf_add_text(to, "noted_" #name);                                                              \
    add_seconds(to, value);
    METRICS_OF_TIME(X)
#undef X
}

/* One whose directory was lost comes back as another server of the same name, while what it was is
 * still in the set; but each series is there once. */
static bool told_already(const struct status_view *v, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (strcmp(v->backups[k].app_name, v->backups[i].app_name) == 0)
            return true;
    return false;
}

static void add_of_each(struct buf *to, const struct status_view *v, const char *name,
                        void (*add)(struct buf *to, const struct status_backup *b))
{
    for (unsigned i = 0; i < v->backups_count; i++) {
        const struct status_backup *b = &v->backups[i];
        if (told_already(v, i))
            continue;
        buf_printf(to, "noted_%s{app_name=\"%s\"}", name, b->app_name);
        add(to, b);
    }
}

static void add_in_sync(struct buf *to, const struct status_backup *b)
{
    buf_printf(to, " %d\n", b->in_sync);
}

static void add_durable(struct buf *to, const struct status_backup *b)
{
    buf_printf(to, " %" PRIu64 "\n", b->durable);
}

static void add_lag(struct buf *to, const struct status_backup *b)
{
    add_seconds(to, b->lag_ms);
}

/* Names of servers are letters, digits, '.', '_' and '-': no label needs an escape. */
static void add_backups(struct buf *to, const struct status_view *v)
{
    head(to, "backup_in_sync", "gauge", "1: this backup is in the in-sync set");
    add_of_each(to, v, "backup_in_sync", add_in_sync);
    head(to, "backup_durable_index", "counter", "the newest entry on this backup's disk");
    add_of_each(to, v, "backup_durable_index", add_durable);
    head(to, "backup_lag_seconds", "gauge",
         "how long this backup has not had all that is committed");
    add_of_each(to, v, "backup_lag_seconds", add_lag);
}

int metrics_write(struct front *f, struct buf *to)
{
    int rc = reader_fresh(f->o.reader);
    if (rc != 0)
        return rc;
    const struct status_view view = status_view(f->o.status);
    const struct metrics m = {
        .status = f->o.status,
        .view = &view,
        .at = reader_position(f->o.reader),
        .uptime_ms = (front_now_us(f) - f->o.status->started_us) / 1000,
        .connections = atomic_load(f->o.connections),
    };
    head(to, "info", "gauge", "the server's name and version");
    buf_printf(to, "noted_info{app_name=\"%s\",version=\"" NOTED_VERSION "\"} 1\n",
               f->o.status->app_name);
    add_all(to, &m);
    if (!f->o.status->backup)
        add_backups(to, &view);
    return to->failed ? ERR_NO_MEMORY : 0;
}
