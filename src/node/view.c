/* What people are told of the cluster: made by the order thread, looked at by the front ends. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "node/inside.h"

enum { PUBLISH_US = 50 * 1000 };

static void add_name(struct status_view *v, const struct peer_server *server)
{
    if (v->set_count < STATUS_BACKUPS_MAX)
        memcpy(v->set[v->set_count++], server->name, sizeof server->name);
}

static const char *state_of(const struct repl *r, const struct repl_member *m)
{
    if (m->matched && m->full)
        return "disk_full";
    if (m->matched && repl_in_sync(r, m))
        return "in_sync";
    if (m->matched)
        return m->caught_up ? "waiting" : "catching_up";
    return m->link != 0 ? "connecting" : repl_awaited(r, m) ? "awaited" : "lost";
}

static void add_backup(struct node *n, struct status_view *v, const struct repl_member *m)
{
    struct status_backup *b = &v->backups[v->backups_count++];
    snprintf(b->app_name, sizeof b->app_name, "%s", m->server.name);
    snprintf(b->address, sizeof b->address, "%s", m->address);
    b->state = state_of(&n->repl, m);
    b->in_sync = repl_in_sync(&n->repl, m);
    b->leaving = m->leaving;
    b->durable = m->durable;
    b->applied = m->applied;
    b->lag_ms = m->behind_since_us != 0 && n->repl.now_us > m->behind_since_us
                    ? (n->repl.now_us - m->behind_since_us) / 1000
                    : 0;
}

/* Who gets a full copy is no member yet. */
static void add_copying(struct status_view *v, const struct link *l)
{
    if (l->number == 0 || !l->copying || v->backups_count == STATUS_BACKUPS_MAX)
        return;
    struct status_backup *b = &v->backups[v->backups_count++];
    memcpy(b->app_name, l->name, sizeof b->app_name);
    b->state = "copying";
}

static void view_primary(struct node *n, struct status_view *v)
{
    const struct repl *r = &n->repl;
    snprintf(v->primary_name, sizeof v->primary_name, "%s", n->o.status->app_name);
    snprintf(v->primary_address, sizeof v->primary_address, "%s", n->o.status->address);
    net_host_instead(v->primary_address, sizeof v->primary_address, n->called_at);
    v->connected = v->in_sync = true;
    for (unsigned i = 0; i < REPL_MEMBERS_MAX; i++) {
        const struct repl_member *m = &r->members[i];
        if (m->server.name[0] == '\0')
            continue;
        if (i == 0 || repl_in_sync(r, m))
            add_name(v, &m->server);
        if (i != 0 && (m->link != 0 || m->in_set))
            add_backup(n, v, m);
    }
    for (unsigned i = 0; i < LINKS_MAX; i++)
        add_copying(v, &n->links[i]);
}

/* The set as the last entry about it said. */
static void view_set(struct node *n, struct status_view *v)
{
    for (unsigned i = 0; i < n->known_set.count; i++)
        add_name(v, &n->known_set.list[i]);
}

static void view_backup(struct node *n, struct status_view *v)
{
    const struct repl *r = &n->repl;
    snprintf(v->primary_name, sizeof v->primary_name, "%s", r->primary.name);
    snprintf(v->primary_address, sizeof v->primary_address, "%s", n->o.settings->primary);
    v->connected = r->stage == REPL_FOLLOWING;
    v->in_sync = v->connected && r->in_sync && !n->diverged;
    bool behind = !v->connected || r->commit_known > n->state.applied;
    if (!behind)
        n->behind_us = 0;
    else if (n->behind_us == 0)
        n->behind_us = r->now_us;
    v->copy_bytes = n->copy.part.bytes;
    v->copy_got = n->copy.part.got;
    v->copy_bytes_per_s = copy_rate(n);
    v->copy_state = n->install.any && atomic_load(&n->install.checked) ? "installing"
                    : n->install.any || n->copy.due                    ? "checking"
                    : n->copy.part.open && n->up != NULL               ? "coming"
                                                                       : "waiting";
    v->lag_ms = n->behind_us != 0 ? (r->now_us - n->behind_us) / 1000 : 0;
    view_set(n, v);
}

static void waiting_names(struct node *n, char *to, size_t bytes)
{
    size_t used = 0;
    to[0] = '\0';
    for (unsigned i = 1; i < REPL_MEMBERS_MAX; i++) {
        const struct repl_member *m = &n->repl.members[i];
        if (repl_awaited(&n->repl, m) && used < bytes)
            used += (size_t)snprintf(to + used, bytes - used, "%s%s", used == 0 ? "" : ", ",
                                     m->server.name);
    }
}

/* A full copy comes over a link of its own, which the step knows nothing of; and while it is
 * installed there is none. */
static bool copy_comes(const struct node *n)
{
    return (n->up != NULL && n->up->copying) || n->copy.due || n->install.any;
}

static void give_reason(struct node *n, int refusal, struct status_view *v)
{
    char names[128];
    if (n->install.any && atomic_load_explicit(&n->install.no_space, memory_order_relaxed)) {
        snprintf(v->reason, sizeof v->reason,
                 "the full copy is here, and the disk has no space to take it over: that is done "
                 "once it has");
        return;
    }
    if (n->suspect) {
        snprintf(v->reason, sizeof v->reason,
                 "this server is suspect, and waits for a full copy%s%.100s",
                 n->trouble[0] != '\0' ? "; " : "", n->trouble);
        return;
    }
    if (atomic_load_explicit(&n->o.status->disk_full, memory_order_relaxed) &&
        (refusal == 0 || refusal == ERR_NOT_IN_SYNC)) {
        snprintf(v->reason, sizeof v->reason,
                 n->primary ? "the disk is full: writes are refused until there is space"
                            : "the disk is full: this backup acknowledges nothing until there is "
                              "space");
        return;
    }
    switch (refusal) {
    case ERR_WAITING_FOR_MEMBERS:
        waiting_names(n, names, sizeof names);
        snprintf(v->reason, sizeof v->reason,
                 "waiting for %s, in sync when this primary stopped: start it, or give it up with "
                 "noted drop NAME",
                 names);
        break;
    case ERR_TOO_FEW_COPIES:
        snprintf(v->reason, sizeof v->reason,
                 "%u servers are in sync, --min-copies asks for %u: start more backups",
                 repl_live(&n->repl), n->o.settings->min_copies);
        break;
    case ERR_NO_PRIMARY:
        snprintf(v->reason, sizeof v->reason, "%s",
                 n->primary ? "another server was promoted: this one takes no writes any more; "
                              "start it as a backup of that one"
                 : n->trouble[0] != '\0' ? n->trouble
                                         : "there is no connection to the primary");
        break;
    case ERR_NOT_IN_SYNC:
        snprintf(v->reason, sizeof v->reason, "%s",
                 n->diverged ? "local storage differs from the primary's"
                 : copy_comes(n)
                     ? "a full copy comes from the primary: this backup is in sync when "
                       "it has caught up with it"
                     : "this backup is catching up with its primary");
        break;
    case ERR_NOT_READY:
        snprintf(v->reason, sizeof v->reason, "the server does not take writes yet");
        break;
    default:
        break;
    }
}

static void view_log(const struct node *n, struct status_view *v)
{
    const struct repl *r = &n->repl;
    memcpy(v->id, r->o.self.id, sizeof v->id);
    memcpy(v->cluster, r->hard.cluster, sizeof v->cluster);
    v->generation = repl_generation(r);
    v->promised_epoch = r->hard.promised_epoch;
    v->last_epoch = n->last_epoch;
    v->last = r->last;
}

int view_refusal(const struct node *n)
{
    int refusal = repl_refusal(&n->repl);
    if (n->primary)
        return refusal;
    return n->diverged || (refusal == ERR_NO_PRIMARY && copy_comes(n)) ? ERR_NOT_IN_SYNC : refusal;
}

void view_publish(struct node *n)
{
    struct status *status = n->o.status;
    int refusal = view_refusal(n);
    bool ready = !n->diverged && repl_may_read(&n->repl, n->proved);
    bool changed = refusal != atomic_load_explicit(&status->refusal, memory_order_relaxed) ||
                   ready != atomic_load_explicit(&status->ready, memory_order_relaxed);
    if (!changed && n->repl.now_us < n->published_us + PUBLISH_US)
        return;
    n->published_us = n->repl.now_us;
    n->proved = n->proved || ready;
    static const struct status_view nothing;
    struct status_view *v = &n->view;
    *v = nothing;
    if (n->primary)
        view_primary(n, v);
    else
        view_backup(n, v);
    view_log(n, v);
    give_reason(n, refusal, v);
    pthread_mutex_lock(&status->lock);
    status->view = *v;
    pthread_mutex_unlock(&status->lock);
    atomic_store_explicit(&status->epoch, n->repl.epoch, memory_order_relaxed);
    atomic_store_explicit(&status->durable, n->repl.durable, memory_order_relaxed);
    atomic_store_explicit(&status->committed, n->repl.committed, memory_order_relaxed);
    atomic_store_explicit(&status->refusal, refusal, memory_order_release);
    atomic_store_explicit(&status->ready, ready, memory_order_release);
}
