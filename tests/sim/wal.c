/* The real log on a disk in memory. */
#include "wal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "log/log.h"
#include "support/disk_fake.h"

enum { SEGMENT_BYTES = 192 * 1024, PAYLOAD_BYTES = 64 * 1024, CRASH_OPERATIONS = 8 };

static const char folder[] = "log";

struct wal {
    struct disk_fake *fake;
    struct disk disk;
    struct log *log;
    uint64_t seed, last_frame;
    bool failed; /* in this life */
};

struct wal *wal_make(struct chance *c)
{
    struct wal *w = calloc(1, sizeof *w);
    assert(w != NULL);
    w->fake = disk_fake_create(chance_next(c));
    w->disk = disk_fake_disk(w->fake);
    w->seed = chance_next(c);
    return w;
}

void wal_finish(struct wal *w)
{
    if (w == NULL)
        return;
    log_close(w->log);
    disk_fake_destroy(w->fake);
    free(w);
}

struct files {
    const struct wal *from;
    struct wal *to;
};

static int copy_file(void *context, const char *name)
{
    struct files *f = context;
    char path[300];
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const char *at = disk_fake_look(f->from->fake, path, &bytes);
    if (at != NULL)
        disk_fake_put(f->to->fake, path, at, bytes);
    return 0;
}

struct wal *wal_copy(const struct wal *from, struct chance *c)
{
    struct files f = {.from = from, .to = wal_make(c)};
    f.to->disk.make_folder(f.to->disk.context, folder);
    f.to->disk.sync_folder(f.to->disk.context, ".");
    from->disk.list(from->disk.context, folder, copy_file, &f);
    return f.to;
}

/* --- Opening --- */

struct opening {
    uint64_t commit;
};

static int take_frame(void *context, const struct log_position *p, struct span payload)
{
    struct opening *o = context;
    (void)payload;
    if (p->commit > o->commit)
        o->commit = p->commit;
    return 0;
}

/* All that is there, as a reader of the log gets it; the list begins with what it begins with. */
static int fill(struct wal *w, struct drive *d)
{
    struct log_reader *reader;
    struct buf bytes = {0};
    uint64_t last = log_last_index(w->log), next = log_first_index(w->log), chain = 0;
    bool known = next == 1;
    int rc = log_reader_create(&reader, w->log);
    drive_forget(d, next);
    while (rc == 0 && next <= last) {
        uint64_t to;
        buf_reset(&bytes, SIZE_MAX);
        rc = log_read(reader, next, PAYLOAD_BYTES, &bytes, &to);
        for (struct span rest = buf_span(&bytes); rc == 0 && rest.bytes != 0;) {
            struct entry e = {0};
            struct entry checked;
            size_t one = entry_peek(rest, &e);
            if (one == 0 || e.index != next ||
                (known && entry_decode(rest, chain, &checked) != (long)one))
                rc = ERR_CORRUPT;
            else
                drive_append(d, &e, 0);
            chain = e.chain;
            known = true;
            next++;
            rest = span(rest.at + one, rest.bytes - one);
        }
    }
    log_reader_destroy(reader);
    buf_finish(&bytes);
    return rc;
}

int wal_open(struct wal *w, struct drive *d, bool may_begin, char *why, size_t why_bytes)
{
    const struct store_state *state = &d->local.state;
    struct opening o = {.commit = state->applied};
    struct log_options options = {
        .disk = &w->disk,
        .folder = folder,
        .segment_bytes = SEGMENT_BYTES,
        .payload_bytes_max = PAYLOAD_BYTES,
        .seed = ++w->seed,
    };
    if (may_begin) {
        options.first_index = state->applied + 1;
        options.first_chain = state->chain;
    }
    assert(w->log == NULL);
    w->failed = false;
    int rc = log_open(&w->log, &options, state->applied + 1, state->applied, take_frame, &o, why,
                      why_bytes);
    if (rc != 0) {
        w->log = NULL;
        return rc;
    }
    rc = fill(w, d);
    d->durable = d->asked = d->count;
    d->commit = o.commit;
    return rc;
}

uint64_t wal_last_frame(const struct wal *w)
{
    return w->last_frame;
}

bool wal_has(const struct wal *w)
{
    return w->log != NULL;
}

/* --- Writing, as node/jobs.c does it --- */

/* The next frame behind `index`: several entries only where all are committed. */
static unsigned entries_of_frame(const struct drive *d, uint64_t index, uint64_t to, size_t *bytes)
{
    unsigned count = 0;
    for (*bytes = 0; index < to; index++, count++) {
        const struct logged *l = drive_at(d, index + 1);
        bool committed = l->commit >= l->e.index;
        if (count != 0 && (!committed || *bytes + l->bytes > PAYLOAD_BYTES))
            break;
        *bytes += l->bytes;
        if (!committed) {
            count++;
            break;
        }
    }
    return count;
}

static int write_frame(struct wal *w, const struct drive *d, uint64_t after, unsigned count,
                       size_t bytes)
{
    char *to = log_frame_begin(w->log, bytes);
    struct log_position p = {.first_index = after + 1, .entries = count};
    for (unsigned i = 0; i < count; i++) {
        const struct logged *l = drive_at(d, after + 1 + i);
        memcpy(to, l->at, l->bytes);
        to += l->bytes;
        p.chain = l->e.chain;
        p.commit = l->commit > p.commit ? l->commit : p.commit;
    }
    int rc = log_append(w->log, log_frame_end(w->log, &p, bytes));
    if (rc == 0)
        w->last_frame = after + 1;
    return rc;
}

int wal_write(struct wal *w, const struct drive *d, uint64_t index)
{
    int rc = 0;
    for (uint64_t at = log_last_index(w->log); rc == 0 && at < index;) {
        size_t bytes;
        unsigned count = entries_of_frame(d, at, index, &bytes);
        while (rc == 0 && !log_has_room(w->log, bytes))
            rc = log_prepare(w->log);
        if (rc == 0)
            rc = write_frame(w, d, at, count, bytes);
        at += count;
    }
    return rc;
}

int wal_cut(struct wal *w, const struct drive *d, uint64_t index)
{
    return log_cut(w->log, index, drive_point(d, index).chain);
}

static void fail(struct wal *w)
{
    disk_fake_fail(w->fake, FAKE_CHANGES, 1, ERR_IO, false);
    w->failed = true;
}

void wal_write_fails(struct wal *w, const struct drive *d, uint64_t index)
{
    fail(w);
    int rc = wal_write(w, d, index);
    assert(rc != 0);
}

void wal_cut_fails(struct wal *w, const struct drive *d, uint64_t index)
{
    fail(w);
    int rc = wal_cut(w, d, index);
    assert(rc != 0);
}

uint64_t wal_trim(struct wal *w, uint64_t index)
{
    int rc = log_trim(w->log, index);
    assert(rc == 0);
    return log_first_index(w->log);
}

int wal_remove(struct wal *w)
{
    log_close(w->log);
    w->log = NULL;
    return log_remove_all(&w->disk, folder);
}

/* --- The end of a process, and of the disk's word --- */

/* At one of the next operations all ends, if there is one at all. */
static void end_soon(struct wal *w, bool machine, struct chance *c)
{
    uint64_t torn = chance_percent(c, 70) ? FAKE_TORN_SECTORS : chance_below(c, PAYLOAD_BYTES);
    disk_fake_end_at(w->fake, chance_between(c, 1, CRASH_OPERATIONS),
                     !machine                ? FAKE_KILL
                     : chance_percent(c, 50) ? FAKE_POWER
                                             : FAKE_POWER_LOSE_SOME,
                     torn);
}

void wal_crash(struct wal *w, struct drive *d, bool machine, struct chance *c)
{
    if (w->log == NULL)
        return;
    uint64_t to = d->cutting ? d->durable : chance_between(c, d->durable, d->count);
    int rc = d->cutting || w->failed ? 0 : wal_write(w, d, to);
    assert(rc == 0);
    end_soon(w, machine, c);
    if (d->cutting && !w->failed)
        wal_cut(w, d, d->cut_to);
    else if (!w->failed)
        wal_write(w, d, d->count);
    d->durable = d->cutting ? d->cut_to : log_last_index(w->log);
    if (d->durable > d->count)
        d->durable = d->count;
    while (!disk_fake_has_ended(w->fake)) /* the rest of it was of no use */
        w->disk.make_folder(w->disk.context, folder);
    log_close(w->log);
    w->log = NULL;
    disk_fake_start(w->fake);
}

static int find_file(void *context, const char *name)
{
    snprintf(context, 300, "%s/%s", folder, name);
    return 0;
}

bool wal_rot(struct wal *w, struct chance *c)
{
    char path[300] = "";
    size_t bytes;
    w->disk.list(w->disk.context, folder, find_file, path);
    const char *at = disk_fake_look(w->fake, path, &bytes);
    if (at == NULL)
        return false;
    disk_fake_flip(w->fake, path, chance_below(c, bytes), (unsigned char)(1 << chance_below(c, 8)));
    return true;
}

bool wal_rot_middle(struct wal *w)
{
    char path[300] = "";
    size_t bytes;
    w->disk.list(w->disk.context, folder, find_file, path);
    const char *at = disk_fake_look(w->fake, path, &bytes);
    while (at != NULL && bytes != 0 && at[bytes - 1] == '\0')
        bytes--;
    size_t middle = bytes / 2;
    while (middle < bytes && at[middle] == '\0')
        middle++;
    if (at == NULL || middle == bytes)
        return false;
    disk_fake_flip(w->fake, path, middle, 1);
    return true;
}
