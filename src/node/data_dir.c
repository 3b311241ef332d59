/* The data directory: lock, identity, trust. */
#include "node/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/stable.h"

enum {
    /* format, cluster, id, generation, starts, name; of format 1 that is all */
    IDENTITY_FIXED_BYTES = 4 + 16 + 16 + 4 + 4 + APP_NAME_BYTES_MAX + 1,
    /* promised epoch and life, complete, installing; then the set */
    IDENTITY_HARD_BYTES = 8 + 8 + 1 + 1,
    IDENTITY_BYTES_MAX = 4096,
    TRUST_BYTES = BOOT_ID_BYTES_MAX + 8 + 1,
    SUSPICION_BYTES = 1 + 8 + 8,
};

const char *start_sentence(int code)
{
    return code == ERR_DISK_FULL ? "the disk is full: make space, then start again"
                                 : err_info(code)->sentence;
}

const char *data_dir_path(const struct data_dir *d, const char *name, char *to)
{
    snprintf(to, PATH_BYTES_MAX, "%s/%s", d->path, name);
    return to;
}

/* Durable, since all that is written into it would be lost with its name. A folder above that may
 * not be read, and so not be synced, was not made by us. */
static int make_folder(struct data_dir *d, const char *path)
{
    int rc = d->disk->make_folder(d->disk->context, path);
    if (rc == 0)
        rc = disk_sync_parent(d->disk, path);
    return rc == ERR_SYSTEM && errno == EACCES && access(path, X_OK) == 0 ? 0 : rc;
}

static int make_parents(struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    size_t bytes = (size_t)snprintf(path, sizeof path, "%s", d->path);
    while (bytes > 1 && path[bytes - 1] == '/')
        path[--bytes] = '\0';
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        int rc = make_folder(d, path);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int make_folders(struct data_dir *d)
{
    int rc = make_parents(d);
    return rc == 0 ? make_folder(d, d->path) : rc;
}

static int lock(struct data_dir *d, bool read_only, char *why, size_t why_bytes)
{
    char path[PATH_BYTES_MAX];
    int flags = read_only ? O_RDONLY : O_RDWR | O_CREAT;
    d->lock_fd = open(data_dir_path(d, "lock", path), flags | O_CLOEXEC, 0644);
    if (d->lock_fd < 0 && read_only && errno == ENOENT)
        return 0; /* whoever runs on it has made one */
    if (d->lock_fd < 0) {
        snprintf(why, why_bytes, "cannot open %s: %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0 && read_only) {
        snprintf(why, why_bytes,
                 "a server runs on %s, or stands still on it: end that process first", d->path);
        return ERR_LOCKED;
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(
            why, why_bytes,
            "the data directory %s is in use by another server: stop that one, or name another "
            "directory with --data",
            d->path);
        return ERR_LOCKED;
    }
    return 0;
}

static void encode(const struct identity *i, struct buf *to)
{
    char at[IDENTITY_FIXED_BYTES + IDENTITY_HARD_BYTES] = {0};
    put_u32(at, i->format);
    memcpy(at + 4, i->hard.cluster, 16);
    memcpy(at + 20, i->server.id, 16);
    put_u32(at + 36, i->generation);
    put_u32(at + 40, i->starts);
    memcpy(at + 44, i->server.name, strlen(i->server.name));
    put_u64(at + IDENTITY_FIXED_BYTES, i->hard.promised_epoch);
    put_u64(at + IDENTITY_FIXED_BYTES + 8, i->hard.promised_life);
    at[IDENTITY_FIXED_BYTES + 16] = i->hard.complete;
    at[IDENTITY_FIXED_BYTES + 17] = i->installing;
    buf_add(to, at, sizeof at);
    peer_set_encode(to, &i->hard.set);
}

static int decode(struct span from, struct identity *i)
{
    if (from.bytes < IDENTITY_FIXED_BYTES)
        return ERR_CORRUPT;
    *i = (struct identity){.format = DATA_FORMAT};
    memcpy(i->hard.cluster, from.at + 4, 16);
    memcpy(i->server.id, from.at + 20, 16);
    i->generation = get_u32(from.at + 36);
    i->starts = get_u32(from.at + 40);
    snprintf(i->server.name, sizeof i->server.name, "%.*s", APP_NAME_BYTES_MAX, from.at + 44);
    if (get_u32(from.at) == 1)
        return from.bytes == IDENTITY_FIXED_BYTES ? 0 : ERR_CORRUPT;
    if (from.bytes < IDENTITY_FIXED_BYTES + IDENTITY_HARD_BYTES)
        return ERR_CORRUPT;
    const char *hard = from.at + IDENTITY_FIXED_BYTES;
    i->hard.promised_epoch = get_u64(hard);
    i->hard.promised_life = get_u64(hard + 8);
    i->hard.complete = hard[16] != 0;
    i->installing = hard[17] != 0;
    from =
        span(hard + IDENTITY_HARD_BYTES, from.bytes - IDENTITY_FIXED_BYTES - IDENTITY_HARD_BYTES);
    return peer_set_decode(from, &i->hard.set);
}

/* The first write makes both copies, so that a later one needs no space of a full disk. */
static int write_record(struct data_dir *d, const char *name, const char *bytes, size_t count)
{
    char path[PATH_BYTES_MAX], old[IDENTITY_BYTES_MAX], why[256];
    size_t got;
    data_dir_path(d, name, path);
    bool first =
        stable_read(d->disk, path, old, sizeof old, &got, why, sizeof why) == ERR_NOT_FOUND;
    int rc = stable_write(d->disk, path, bytes, count);
    return rc == 0 && first ? stable_write(d->disk, path, bytes, count) : rc;
}

static int write_identity(struct data_dir *d)
{
    struct buf bytes = {.bytes_max = IDENTITY_BYTES_MAX};
    encode(&d->identity, &bytes);
    int rc = bytes.failed ? ERR_NO_MEMORY : write_record(d, "identity", bytes.at, bytes.bytes);
    buf_finish(&bytes);
    return rc;
}

static int make_identity(struct data_dir *d, const char *app_name, bool primary)
{
    d->identity = (struct identity){.format = DATA_FORMAT};
    snprintf(d->identity.server.name, sizeof d->identity.server.name, "%s", app_name);
    if ((primary && getrandom(d->identity.hard.cluster, 16, 0) != 16) ||
        getrandom(d->identity.server.id, 16, 0) != 16)
        return ERR_SYSTEM;
    return write_identity(d);
}

int data_dir_save(struct data_dir *d, const struct repl_hard *hard)
{
    d->identity.hard = *hard;
    return write_identity(d);
}

int data_dir_begin_install(struct data_dir *d)
{
    if (getrandom(d->identity.server.id, 16, 0) != 16)
        return ERR_SYSTEM;
    d->identity.installing = true;
    return write_identity(d);
}

int data_dir_end_install(struct data_dir *d)
{
    d->identity.installing = false;
    return write_identity(d);
}

/* --- Restoring --- */

/* What a restore puts into the folder, the mark that it is not done apart. */
static const char *const restored_names[] = {"lock",           "copy.part",  "identity.0",
                                             "identity.0.new", "identity.1", "identity.1.new"};
enum { RESTORED_NAMES = sizeof restored_names / sizeof restored_names[0] };
static const char restoring[] = "restoring";

static bool is_restoring(const struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    return access(data_dir_path(d, restoring, path), F_OK) == 0;
}

static int remove_mark(struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    return d->disk->remove(d->disk->context, data_dir_path(d, restoring, path));
}

static int is_foreign(void *arg, const char *name)
{
    const bool *marked = arg;
    for (unsigned i = 0; *marked && i < RESTORED_NAMES; i++)
        if (strcmp(name, restored_names[i]) == 0)
            return 0;
    return strcmp(name, restoring) != 0;
}

/* 1: there is something in it that no restore has left. */
static int is_occupied(const struct data_dir *d)
{
    bool marked = is_restoring(d);
    return d->disk->list(d->disk->context, d->path, is_foreign, &marked);
}

/* Durable. */
static int add_mark(struct data_dir *d, const char *folder)
{
    char path[PATH_BYTES_MAX];
    struct disk_file *mark;
    snprintf(path, sizeof path, "%.*s/%s", PATH_BYTES_MAX - 32, folder, restoring);
    if (access(path, F_OK) == 0)
        return 0;
    int rc = d->disk->open(d->disk->context, path, DISK_CREATE, &mark);
    if (rc != 0)
        return rc;
    d->disk->close(mark);
    return d->disk->sync_folder(d->disk->context, folder);
}

/* A folder that is not there appears with the mark in it: no server takes it for a new one. */
static int make_marked(struct data_dir *d)
{
    char draft[PATH_BYTES_MAX];
    size_t bytes = strlen(d->path);
    while (bytes > 1 && d->path[bytes - 1] == '/')
        bytes--;
    snprintf(draft, sizeof draft, "%.*s.%s", (int)bytes, d->path, restoring);
    int rc = make_parents(d);
    if (rc == 0)
        rc = d->disk->make_folder(d->disk->context, draft);
    if (rc == 0)
        rc = add_mark(d, draft);
    if (rc == 0)
        rc = d->disk->rename(d->disk->context, draft, d->path);
    return rc == 0 ? make_folder(d, d->path) : rc;
}

/* But the lock, which is held. */
static void remove_restored(struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    for (unsigned i = 1; i < RESTORED_NAMES; i++)
        d->disk->remove(d->disk->context, data_dir_path(d, restored_names[i], path));
}

int data_dir_claim(struct data_dir *d, const struct disk *disk, const char *path, char *why,
                   size_t why_bytes)
{
    *d = (struct data_dir){.disk = disk, .path = path, .lock_fd = -1};
    bool marked = is_restoring(d);
    int rc = is_occupied(d);
    bool free = rc == 0 || rc == ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND)
        rc = make_marked(d);
    else if (rc == 0)
        rc = add_mark(d, path);
    if (rc < 0)
        snprintf(why, why_bytes, "cannot make the data directory %s: %s", path, strerror(errno));
    if (rc == 0)
        rc = lock(d, false, why, why_bytes);
    if (rc == 0)
        rc = is_occupied(d); /* somebody may have been faster */
    if (rc > 0) {
        snprintf(why, why_bytes,
                 "%s is not empty: name a folder that is, or is not there; nothing was changed",
                 path);
        rc = ERR_LOCKED;
    }
    if (rc == 0)
        remove_restored(d); /* of a restore that was cut off */
    else if (free && !marked)
        remove_mark(d);
    if (rc != 0)
        data_dir_close(d);
    return rc;
}

int data_dir_end_restored(struct data_dir *d)
{
    int rc = remove_mark(d);
    return rc == 0 ? d->disk->sync_folder(d->disk->context, d->path) : rc;
}

int data_dir_begin_restored(struct data_dir *d, const char *app_name, uint64_t epoch)
{
    bool next = (uint32_t)epoch == UINT32_MAX; /* starts cannot go on */
    struct identity *i = &d->identity;
    *i = (struct identity){.format = DATA_FORMAT, .installing = true};
    i->generation = (uint32_t)(epoch >> 32) + next;
    i->starts = next ? 0 : (uint32_t)epoch;
    i->hard.complete = true;
    snprintf(i->server.name, sizeof i->server.name, "%s", app_name);
    if (getrandom(i->hard.cluster, 16, 0) != 16 || getrandom(i->server.id, 16, 0) != 16)
        return ERR_SYSTEM;
    return write_identity(d);
}

void data_dir_forget(struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    remove_restored(d);
    remove_mark(d);
    d->disk->remove(d->disk->context, data_dir_path(d, "lock", path));
    data_dir_close(d);
}

/* --- Opening --- */

static int is_segment(void *arg, const char *name)
{
    (void)arg;
    const char *ending = strrchr(name, '.');
    return ending != NULL && strcmp(ending, ".log") == 0;
}

bool data_dir_has_log(const struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    return d->disk->list(d->disk->context, data_dir_path(d, "log", path), is_segment, NULL) == 1;
}

static int read_identity(struct data_dir *d, char *why, size_t why_bytes)
{
    char path[PATH_BYTES_MAX], bytes[IDENTITY_BYTES_MAX];
    size_t got = 0;
    if (is_restoring(d)) {
        snprintf(why, why_bytes,
                 "%s is of a noted restore that was cut off: run that again, with the same folder",
                 d->path);
        return ERR_CORRUPT;
    }
    int rc = stable_read(d->disk, data_dir_path(d, "identity", path), bytes, sizeof bytes, &got,
                         why, why_bytes);
    /* Not ours to begin anew: something was taken out of the directory. */
    if (rc == ERR_NOT_FOUND && data_dir_has_log(d)) {
        snprintf(why, why_bytes,
                 "%s has a log but no identity: restore identity.0 and identity.1 from a copy; "
                 "nothing was "
                 "changed",
                 d->path);
        return ERR_CORRUPT;
    }
    if (rc != 0)
        return rc;
    if (got >= 4 && get_u32(bytes) > DATA_FORMAT) {
        snprintf(why, why_bytes,
                 "the data directory %s was written by a newer version (format %u, this one knows "
                 "%u): run "
                 "that version; nothing was changed",
                 d->path, get_u32(bytes), (unsigned)DATA_FORMAT);
        return ERR_NEWER;
    }
    if (decode(span(bytes, got), &d->identity) != 0) {
        snprintf(why, why_bytes,
                 "%s.0 and .1 are damaged: restore them from a copy; nothing was changed", path);
        return ERR_CORRUPT;
    }
    return 0;
}

bool data_dir_is_last(const struct data_dir *d)
{
    char path[PATH_BYTES_MAX];
    return stable_is_last(d->disk, data_dir_path(d, "identity", path));
}

static int open_identity(struct data_dir *d, const char *app_name, bool primary, char *why,
                         size_t why_bytes)
{
    int rc = read_identity(d, why, why_bytes);
    if (rc == ERR_NOT_FOUND) {
        rc = make_identity(d, app_name, primary);
        if (rc != 0)
            snprintf(why, why_bytes, "cannot write to the data directory %s: %s", d->path,
                     start_sentence(rc));
    }
    snprintf(d->identity.server.name, sizeof d->identity.server.name, "%s", app_name);
    return rc;
}

static void read_boot_id(struct data_dir *d, const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, d->boot_id, sizeof d->boot_id - 1);
    if (fd >= 0)
        close(fd);
    memset(d->boot_id + (n > 0 ? n : 0), 0, sizeof d->boot_id - (size_t)(n > 0 ? n : 0));
    d->boot_id[strcspn(d->boot_id, "\n")] = '\0';
}

int data_dir_open(struct data_dir *d, const struct disk *disk, const char *path,
                  const char *app_name, const char *boot_id_file, bool primary, char *why,
                  size_t why_bytes)
{
    struct stat st;
    *d = (struct data_dir){.disk = disk, .path = path, .lock_fd = -1};
    int rc = make_folders(d);
    if (rc != 0 || stat(path, &st) != 0) {
        snprintf(why, why_bytes, "cannot make the data directory %s: %s", path, strerror(errno));
        return rc != 0 ? rc : ERR_SYSTEM;
    }
    d->device = (uint64_t)st.st_dev;
    read_boot_id(d, boot_id_file);
    rc = lock(d, false, why, why_bytes);
    if (rc == 0)
        rc = open_identity(d, app_name, primary, why, why_bytes);
    if (rc != 0)
        data_dir_close(d);
    return rc;
}

int data_dir_look(struct data_dir *d, const struct disk *disk, const char *path, bool read_only,
                  const char *boot_id_file, char *why, size_t why_bytes)
{
    struct stat st;
    *d = (struct data_dir){.disk = disk, .path = path, .lock_fd = -1};
    if (stat(path, &st) != 0) {
        snprintf(why, why_bytes, "cannot read the data directory %s: %s", path, strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    }
    d->device = (uint64_t)st.st_dev;
    read_boot_id(d, boot_id_file);
    int rc = lock(d, read_only, why, why_bytes);
    if (rc == 0)
        rc = read_identity(d, why, why_bytes);
    if (rc == ERR_NOT_FOUND)
        snprintf(why, why_bytes, "%s is no data directory: no server has run on it", path);
    if (rc != 0)
        data_dir_close(d);
    return rc;
}

void data_dir_close(struct data_dir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->lock_fd = -1;
}

/* Puts this server into its own set, under the name that it has now. */
static void join_own_set(struct identity *i)
{
    struct peer_set *set = &i->hard.set;
    for (unsigned n = 0; n < set->count; n++)
        if (memcmp(set->list[n].id, i->server.id, PEER_ID_BYTES) == 0) {
            set->list[n] = i->server;
            return;
        }
    set->count = 1;
    set->list[0] = i->server;
}

uint64_t data_dir_own_epoch(const struct data_dir *d)
{
    return ((uint64_t)d->identity.generation << 32) + d->identity.starts;
}

int data_dir_promote(struct data_dir *d, uint32_t generation)
{
    struct identity *i = &d->identity;
    i->generation = generation;
    i->starts = 0;
    i->hard.set.count = 0; /* of the time when this was the primary before */
    return write_identity(d);
}

int data_dir_next_epoch(struct data_dir *d, uint64_t last, uint64_t life, uint64_t *epoch)
{
    static const unsigned char none[PEER_ID_BYTES];
    struct identity *i = &d->identity;
    *epoch = data_dir_own_epoch(d) + 1;
    if (*epoch <= last || *epoch <= i->hard.promised_epoch || i->starts == UINT32_MAX)
        return ERR_CORRUPT;
    /* It was to be a backup, and has found no primary: it begins a cluster like any first one. */
    if (memcmp(i->hard.cluster, none, sizeof none) == 0 &&
        getrandom(i->hard.cluster, sizeof none, 0) != sizeof none)
        return ERR_SYSTEM;
    i->starts++;
    i->hard.promised_epoch = *epoch;
    i->hard.promised_life = life;
    i->hard.complete = true;
    join_own_set(i);
    return write_identity(d);
}

bool data_dir_trusted(struct data_dir *d)
{
    char path[PATH_BYTES_MAX], bytes[TRUST_BYTES], why[256];
    size_t got = 0;
    int rc = stable_read(d->disk, data_dir_path(d, "trust", path), bytes, sizeof bytes, &got, why,
                         sizeof why);
    if (rc != 0 || got != sizeof bytes)
        return false;
    bool clean = bytes[BOOT_ID_BYTES_MAX + 8] != 0;
    bool same_boot = d->boot_id[0] != '\0' && memcmp(bytes, d->boot_id, BOOT_ID_BYTES_MAX) == 0;
    return clean || (same_boot && get_u64(bytes + BOOT_ID_BYTES_MAX) == d->device);
}

static int write_trust(struct data_dir *d, const char boot_id[BOOT_ID_BYTES_MAX], bool clean)
{
    char path[PATH_BYTES_MAX], bytes[TRUST_BYTES];
    memcpy(bytes, boot_id, BOOT_ID_BYTES_MAX);
    put_u64(bytes + BOOT_ID_BYTES_MAX, d->device);
    bytes[BOOT_ID_BYTES_MAX + 8] = clean;
    int rc = write_record(d, "trust", bytes, sizeof bytes);
    if (rc != ERR_CORRUPT)
        return rc;
    /* Both are damaged, and records.mdb was not trusted for that: nothing is lost with them. */
    d->disk->remove(d->disk->context, data_dir_path(d, "trust.0", path));
    d->disk->remove(d->disk->context, data_dir_path(d, "trust.1", path));
    return write_record(d, "trust", bytes, sizeof bytes);
}

int data_dir_mark(struct data_dir *d, bool clean)
{
    return write_trust(d, d->boot_id, clean);
}

int data_dir_mark_behind(struct data_dir *d)
{
    static const char unknown[BOOT_ID_BYTES_MAX];
    return write_trust(d, unknown, false);
}

void data_dir_distrust(struct data_dir *d)
{
    memset(d->boot_id, 0, sizeof d->boot_id);
    (void)data_dir_mark(d, false);
}

void data_dir_suspect(struct data_dir *d, const struct suspicion *s)
{
    char bytes[SUSPICION_BYTES];
    bytes[0] = s->disk;
    put_u64(bytes + 1, s->index);
    put_u64(bytes + 9, s->seq);
    (void)write_record(d, "suspect", bytes, sizeof bytes);
}

bool data_dir_suspected(struct data_dir *d, struct suspicion *s)
{
    char path[PATH_BYTES_MAX], bytes[SUSPICION_BYTES], why[256];
    size_t got = 0;
    int rc = stable_read(d->disk, data_dir_path(d, "suspect", path), bytes, sizeof bytes, &got, why,
                         sizeof why);
    *s = (struct suspicion){.disk = rc != ERR_NOT_FOUND};
    if (rc == 0 && got == sizeof bytes)
        *s = (struct suspicion){
            .disk = bytes[0] != 0, .index = get_u64(bytes + 1), .seq = get_u64(bytes + 9)};
    return rc != ERR_NOT_FOUND;
}

int data_dir_clear_suspicion(struct data_dir *d)
{
    static const char *const names[] = {"suspect.0", "suspect.1"};
    char path[PATH_BYTES_MAX];
    int rc = 0;
    for (unsigned i = 0; i < 2 && (rc == 0 || rc == ERR_NOT_FOUND); i++)
        rc = d->disk->remove(d->disk->context, data_dir_path(d, names[i], path));
    return rc == 0 || rc == ERR_NOT_FOUND ? d->disk->sync_folder(d->disk->context, d->path) : rc;
}
