/*
 * The data directory of one server: who it belongs to, whether another process has it, and whether
 * its local storage can be trusted after the last stop. What log and storage hold is unknown here.
 *
 *   lock           held while a server runs (rule S17)
 *   identity.0 .1  format of the directory, cluster, identity, epoch, promise, in-sync set (rules
 * S1, S2, S4, S14)
 *   trust.0 .1     boot of the machine and device that records.mdb was last written on; whether it
 * was stopped cleanly
 *   suspect.0 .1   the disk has failed, or the log was found damaged, and nothing mended it yet
 *   records.mdb    local storage
 *   checkpoint.mdb a durable copy of it, with which it begins again after a crash of the machine
 *   checkpoint.new, copy.part   such copies while they are made, or come from a primary
 *   copy.0 .1      what copy.part is a part of, and how much of it is durable
 *   restoring      the directory is being made by a restore
 *   log/           the write-ahead log
 *   log.spare/     an empty one, while a suspect backup waits for a full copy
 */
#ifndef NODE_DATA_DIR_H
#define NODE_DATA_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/limits.h"
#include "repl/step.h"

enum { DATA_FORMAT = 2, PATH_BYTES_MAX = 4096, BOOT_ID_BYTES_MAX = 64 };

struct identity {
    uint32_t format;
    uint32_t generation;       /* raised by a promotion */
    uint32_t starts;           /* as primary */
    struct peer_server server; /* its id is random, made with the directory */
    struct repl_hard hard;     /* its cluster is random, made by the first primary */
    bool installing;           /* copy.part is whole, and takes the place of log and records.mdb */
};

struct data_dir {
    const struct disk *disk;
    const char *path;
    int lock_fd; /* -1: none */
    struct identity identity;
    char boot_id[BOOT_ID_BYTES_MAX]; /* of now; empty: not known */
    uint64_t device;
};

/* Makes the directory where it is not there, locks it, reads or makes the identity; that of a
 * primary begins a cluster. ERR_LOCKED: another server runs on it; ERR_NEWER, ERR_CORRUPT, ERR_IO,
 * ERR_DISK_FULL, ERR_SYSTEM. `why` gets a sentence. */
int data_dir_open(struct data_dir *d, const struct disk *disk, const char *path,
                  const char *app_name, const char *boot_id_file, bool primary, char *why,
                  size_t why_bytes);
void data_dir_close(struct data_dir *d);

/* Takes a directory on which a server has run, and locks it as above; nothing in it is made or
 * changed, with `read_only` not even the lock, where there is none. ERR_NOT_FOUND: no server has
 * run on it; else as above. */
int data_dir_look(struct data_dir *d, const struct disk *disk, const char *path, bool read_only,
                  const char *boot_id_file, char *why, size_t why_bytes);

/* The last epoch that was taken here; its lower half is 0 after a promotion. */
uint64_t data_dir_own_epoch(const struct data_dir *d);

/* Whether its identity is certainly what was written last: no damaged copy may be newer. */
bool data_dir_is_last(const struct data_dir *d);

/* A backup's becomes that of the primary of this generation, alone in its in-sync set, from its
 * next start on. Durable when it returns 0. */
int data_dir_promote(struct data_dir *d, uint32_t generation);

/* Why the server cannot start: as in the list of errors, but for a full disk. */
const char *start_sentence(int code);

/* "path/name" into `to` (PATH_BYTES_MAX). */
const char *data_dir_path(const struct data_dir *d, const char *name, char *to);

/* Whether a segment of the log is there. */
bool data_dir_has_log(const struct data_dir *d);

/* A primary's new epoch, durable when it returns 0: higher than all before in this directory (rule
 * S2), and promised to this life of the process; this server is in its in-sync set. ERR_CORRUPT:
 * not above `last`, the newest in log and storage, or not above what was promised; nothing was
 * changed. */
int data_dir_next_epoch(struct data_dir *d, uint64_t last, uint64_t life, uint64_t *epoch);

/* From here on copy.part takes the place of all that was: durably noted, with a new identity (S13,
 * S14), before anything is removed. And the end of that. */
int data_dir_begin_install(struct data_dir *d);
int data_dir_end_install(struct data_dir *d);

/*
 * Makes the directory, or takes one that is empty, or one of a restore that was cut off, marks it
 * and locks it: for a restored cluster, whose copy is then put into copy.part. begin_restored notes
 * a new cluster and identity, that the copy is to be installed, and that epochs follow `epoch`. No
 * server starts on it before end_restored has removed the mark. ERR_LOCKED: it is not empty, or in
 * use; ERR_IO, ERR_DISK_FULL, ERR_SYSTEM. data_dir_forget removes what these have made.
 */
int data_dir_claim(struct data_dir *d, const struct disk *disk, const char *path, char *why,
                   size_t why_bytes);
int data_dir_begin_restored(struct data_dir *d, const char *app_name, uint64_t epoch);
int data_dir_end_restored(struct data_dir *d);
void data_dir_forget(struct data_dir *d); /* and closes */

/* Durable when it returns 0. By one thread at a time. */
int data_dir_save(struct data_dir *d, const struct repl_hard *hard);

/*
 * Whether records.mdb holds what was committed to it: it was stopped cleanly, or only its process
 * ended since, since then the page cache had it. Not so after a crash of the machine, or when the
 * directory was copied to another device.
 */
bool data_dir_trusted(struct data_dir *d);
/* Before the first commit of a life: durable note of boot and device, clean mark removed. After the
 * last: the mark. */
int data_dir_mark(struct data_dir *d, bool clean);
/* Instead of the first, while records.mdb does not have yet all that was acknowledged: whatever
 * ends this life, the next one must not take it for whole. */
int data_dir_mark_behind(struct data_dir *d);
/* Why a server is suspect, and what was acknowledged before. */
struct suspicion {
    bool disk; /* it failed (rule S11); else the log was found damaged (S12), which shows each time
                */
    uint64_t index, seq;
};
/* From here on it is suspect, as far as the disk still lets that be written. */
void data_dir_suspect(struct data_dir *d, const struct suspicion *s);
/* Whether it is. A mark that cannot be read is one, of a disk that failed. */
bool data_dir_suspected(struct data_dir *d, struct suspicion *s);
int data_dir_clear_suspicion(struct data_dir *d);
/* The next start must not trust records.mdb: a failed sync may have dropped what was committed, and
 * the page cache would not show it (rule S11). As far as the disk still lets it. */
void data_dir_distrust(struct data_dir *d);

#endif
