/* Checkpoints, trimming of the log, and full copies (S13) between simulated servers, as
 * node/checkpoint.c and node/copy.c do them. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

enum { CHUNK_BYTES = 4096, CHECK_US = 100 * MS, HOLD_US = 20 * S, SILENT_US = 15 * S };

/* --- Checkpoints --- */

void checkpoint_make(struct world *w, struct server *s)
{
    struct drive *d = &s->disk;
    uint64_t applied = drive_applied(d), keep = chance_below(&w->chance, w->plan.log_entries + 1);
    if (applied == 0 || d->installing || d->cutting || s->alarmed || w->now_us < s->hold_us)
        return;
    if (failing_at(w, s, DISK_CHECKPOINT)) {
        tell(w, "%s: no checkpoint could be made", s->name);
        return;
    }
    /* The first one also while an entry waits for backups that wait for a copy. */
    if (d->checkpoint == NULL || (d->local.txn == NULL && d->checkpoint->state.applied < applied)) {
        image_drop(d->checkpoint);
        d->checkpoint = image_of(&d->local, &w->storage);
        w->counts.checkpoints++;
    }
    if (d->checkpoint == NULL)
        return;
    /* Its own entry stays: a backup that has the copy is matched by it. */
    uint64_t to = d->checkpoint->state.applied - 1;
    uint64_t kept = d->durable > keep ? d->durable - keep : 0;
    if (to > kept)
        to = kept;
    if (to < d->first || to >= d->durable)
        return;
    tell(w, "%s trims its log up to %llu; its checkpoint is of %llu", s->name,
         (unsigned long long)to, (unsigned long long)d->checkpoint->state.applied);
    if (failing_at(w, s, DISK_TRIM))
        failing_end(w, s, "trimming its log", true);
    else
        drive_trim(d, to);
}

/* --- A primary --- */

static void refuse(struct world *w, struct wire *wire, enum peer_refusal code, const char *why)
{
    struct peer_message m = {.kind = PEER_REFUSE, .refuse = {.code = code}};
    snprintf(m.refuse.sentence, sizeof m.refuse.sentence, "%s", why);
    wire_send(w, wire, CALLED, &m);
    wire_close(w, wire, CALLED);
}

void copy_asked(struct world *w, struct server *s, struct wire *wire, const struct peer_message *m)
{
    struct image *c = s->disk.checkpoint;
    struct peer_point at = {0};
    struct peer_message head = {.kind = PEER_COPY_HEAD, .epoch = s->r.epoch};
    const char *why;
    if (c != NULL)
        at = (struct peer_point){
            .epoch = c->state.epoch, .index = c->state.applied, .chain = c->state.chain};
    enum peer_refusal code =
        full_copy_offer(&s->r, &m->copy_ask, &at, c == NULL ? 0 : c->bytes, &head.copy_head, &why);
    if (why != NULL) {
        refuse(w, wire, code, why);
        return;
    }
    wire->copying = true;
    image_drop(wire->copy);
    wire->copy = image_hold(c);
    wire->copy_at = head.copy_head.offset;
    wire_send(w, wire, CALLED, &head);
    if (s->hold_us < w->now_us)
        s->hold_us = w->now_us + HOLD_US;
    later(w, driver_disk_us(w, s), DO_CHUNK, s, wire->link[CALLED], 0);
}

void copy_pump(struct world *w, struct server *s, unsigned link)
{
    struct wire *wire = wire_of(w, s->number, link);
    if (wire == NULL || wire->copy == NULL || wire->copy_at == wire->copy->bytes)
        return;
    uint64_t bytes = wire->copy->bytes - wire->copy_at;
    if (bytes > CHUNK_BYTES)
        bytes = CHUNK_BYTES;
    struct peer_message m = {.kind = PEER_COPY_CHUNK, .epoch = s->r.epoch};
    m.copy_chunk.offset = wire->copy_at;
    m.copy_chunk.bytes = span(wire->copy->at + wire->copy_at, bytes);
    wire_send(w, wire, CALLED, &m);
    wire->copy_at += bytes;
    later(w, driver_disk_us(w, s), DO_CHUNK, s, link, 0);
}

/* --- A backup --- */

void copy_forget(struct server *s)
{
    s->in = (struct full_copy){0};
    buf_reset(&s->part, SIZE_MAX);
}

void copy_ask(struct world *w, struct server *s, struct wire *wire)
{
    struct peer_message m = {.kind = PEER_COPY_ASK};
    full_copy_ask(&s->r, &s->in, &m.copy_ask);
    wire->copying = true;
    wire_send(w, wire, CALLER, &m);
}

static const char *take_chunk(struct world *w, struct server *s, const struct peer_copy_chunk *c)
{
    const char *why = full_copy_take(&s->in, c);
    if (why == NULL && failing_at(w, s, DISK_PART)) {
        copy_forget(s);
        why = "what comes of the copy cannot be written";
    }
    if (why == NULL)
        buf_add_span(&s->part, c->bytes);
    return why;
}

void copy_told(struct world *w, struct server *s, struct wire *wire, const struct peer_message *m)
{
    const char *why = "it sent what has no place in a copy";
    if (m->kind == PEER_REFUSE)
        why = m->refuse.sentence;
    else if (m->kind == PEER_COPY_HEAD)
        why = full_copy_begin(&s->in, &s->r, &m->copy_head);
    else if (m->kind == PEER_COPY_CHUNK)
        why = take_chunk(w, s, &m->copy_chunk);
    if (m->kind == PEER_COPY_HEAD && why == NULL)
        s->part.bytes = s->in.got;
    else if (m->kind == PEER_COPY_HEAD)
        s->copy_wanted = s->r.o.suspect;
    if (why != NULL)
        tell(w, "%s: %s", s->name, why);
    if (why != NULL || s->in.got == s->in.bytes)
        wire_close(w, wire, CALLER);
    if (why == NULL && s->in.got == s->in.bytes) {
        s->checking = true;
        later(w, chance_skewed(&w->chance, CHECK_US), DO_CHECKED, s, 0, 0);
    }
}

/* What has come is synced, checked, and, if it is whole, durably noted with a new identity: from
 * there on it takes the place of all that was. */
void copy_checked(struct world *w, struct server *s)
{
    struct image *i = image_from(buf_span(&s->part), w->storage.lmdb);
    int rc = image_check(i, &w->storage);
    struct peer_point is = {
        .epoch = i->state.epoch, .index = i->state.applied, .chain = i->state.chain};
    bool good = full_copy_good(&s->in, rc, &is);
    if (!RULE(S13)) {
        i->state.applied = s->in.at.index;
        i->state.epoch = s->in.at.epoch;
        i->state.chain = s->in.at.chain;
    }
    copy_forget(s);
    if (!good) {
        tell(w, "%s: the copy is not whole", s->name);
        s->checking = false;
        image_drop(i);
        return;
    }
    bool fails = failing_at(w, s, DISK_INSTALL);
    if (fails && s->failing.kept_percent < 50) {
        image_drop(i);
        failing_end(w, s, "the note of an install", false);
        return;
    }
    s->copy_wanted = false;
    s->alarmed = true; /* nothing comes to the step until it begins again */
    s->disk.installing = true;
    image_drop(s->disk.checkpoint);
    s->disk.checkpoint = i;
    for (unsigned n = 0; n < PEER_ID_BYTES; n++)
        s->disk.id[n] = (unsigned char)(chance_next(&w->chance) | 1);
    w->counts.copies++;
    tell(w, "%s installs a copy of %llu", s->name, (unsigned long long)i->state.applied);
    if (fails)
        failing_end(w, s, "the note of an install", false);
    else
        later(w, driver_disk_us(w, s), DO_INSTALLED, s, 0, 0);
}

void copy_installed(struct world *w, struct server *s)
{
    bool proved = s->proved, now;
    s->checking = s->alarmed = false;
    local_close(&s->disk.local, &w->storage);
    char why[WHY_BYTES];
    if (drive_recover(&s->disk, &w->storage, &now, why) != 0)
        complain(w, "S13: %s cannot begin with the copy that it has installed: %s", s->name, why);
    s->proved = proved || now;
    s->checked_durable = s->disk.durable;
    server_begin(w, s);
}

/* A link whose copy has come to a halt is given up, by whoever notices. */
void copy_tick(struct world *w, struct server *s)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        if (wire->number == 0 || !wire->copying || w->now_us < wire->active_us + SILENT_US)
            continue;
        for (unsigned side = 0; side < 2; side++)
            if (wire->server[side] == s->number && wire->life[side] == s->life)
                wire_close(w, wire, side);
    }
}
