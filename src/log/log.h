/*
 * The write-ahead log: frames appended to segments, each durable before the call returns, and found
 * again after any crash. It carries opaque payloads numbered by index; what an entry means is
 * unknown here.
 *
 * Folder: one file per segment, named by its number (%016x.log). A segment begins with a head
 * block (format version, number, size, serial: a random number new with each life of the file,
 * first index, chain before it), durable before the first frame behind it. Then frames, each padded
 * to DISK_BLOCK_BYTES and written by one write, never two in flight. A frame: magic, serial, bytes,
 * first index, number of entries, commit position, chain after its last entry, CRC32C over all of
 * it (polynomial of RFC 3720, Castagnoli). The space ahead is written with zeros, so that a flush
 * changes data only and no metadata.
 *
 * Threads, each group one thread at a time, the groups beside each other:
 *   the builder    log_frame_begin, log_frame_end
 *   the appender   log_append, log_cut
 *   the preparer   log_prepare, log_trim
 *   a reader       log_read; each reader is a group of its own
 *   any            log_has_room, log_is_prepared, log_first_index, log_last_index, log_last_chain,
 *                  log_bytes, log_reader_create, log_reader_destroy
 * The frame goes from builder to appender, and the word that it is done comes back, by the callers'
 * own means (a queue). log_cut stands in the place of a frame there: none is handed over before it
 * has returned. It waits for a log_prepare that is at work, or for the segment that a log_trim is
 * removing. log_open and log_close: no other call beside them, and no reader is left.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/disk.h"
#include "base/span.h"

struct log;

struct log_options {
    const struct disk *disk;  /* copied, as is the folder's name */
    const char *folder;       /* made where it is not there; the folder it is in must be */
    uint64_t segment_bytes;   /* of new segments; a multiple of DISK_BLOCK_BYTES; existing ones keep
                                 theirs */
    size_t payload_bytes_max; /* of one frame; a segment holds at least one such frame */
    uint64_t seed;            /* of the serials; random, told to nobody: who knew a serial could
                                 write a payload that looks like frames */
    uint64_t first_index; /* of an empty log, and the chain before it, from where its owner has */
    uint64_t first_chain; /* what comes before; 0, 0: it begins with index 1 and chain 0. Not
                             kept on the disk before the first frame, so to be given again at
                             each start; without a meaning where a segment is in use */
};

/* Where a frame stands in the one order. */
struct log_position {
    uint64_t first_index; /* of its entries */
    uint32_t entries;     /* how many: at least 1 */
    uint64_t chain;       /* chained checksum after its last entry; kept, not computed, here */
    uint64_t commit;      /* commit position known when it was written; one beyond the frame's
                             last entry is kept as that */
};

/* Called at recovery for each frame that holds an entry >= the index asked for, in order. The
 * payload is dead after the call. Non-zero ends the recovery and is returned by log_open. Until
 * log_open has returned 0 nothing may be concluded from the frames but that they are valid; where
 * the log is damaged they are those before the damage. */
typedef int log_frame_fn(void *context, const struct log_position *p, struct span payload);

/*
 * Opens the log, or makes an empty one that begins as the options say, with room, and recovers its
 * end. It is empty where no segment is in use: the folder has none, or one that is only prepared.
 * `from`: the first index that the caller lacks (so those before it are known to be committed);
 * earlier segments are not read but for their heads. `committed`: an index known to be committed.
 *
 * Recovery (rule S12): in the last segment frames are followed to the first that is not valid. If
 * the beginning of another frame of the same serial stands anywhere behind it, or the log would end
 * below `committed` or `from` - 1, or an earlier segment is not whole up to the next one's first
 * index and chain, or a segment is missing, or index `from` is no longer there: ERR_CORRUPT and
 * nothing is changed. Otherwise the rest is a torn write: it is overwritten with zeros, durably,
 * and the log goes on there. What was found is durable when it returns, wherever a killed process
 * or a failed flush had left it: the last frame is written anew, and those before it were durable
 * before it was written. ERR_IO may so have cost what was known to be whole.
 *
 * ERR_CORRUPT, ERR_NEWER, ERR_IO, ERR_DISK_FULL, ERR_NO_MEMORY, ERR_SYSTEM; `why` gets a sentence
 * that names file and byte and says what to do. Needs the memory of one segment while it runs.
 */
int log_open(struct log **log, const struct log_options *o, uint64_t from, uint64_t committed,
             log_frame_fn *frame, void *context, char *why, size_t why_bytes);
void log_close(struct log *log); /* accepts NULL */

/* What stands in a log that is not open: where it begins and ends, and the chain at both ends. */
struct log_ends {
    uint64_t first_index, chain_before; /* the oldest entry that it has */
    uint64_t last_index, last_chain;    /* first_index - 1: none */
};

/*
 * Looks at a log that nobody has open; nothing is changed, so that it may be on a disk that is
 * mounted to be read only. Frames are handed out as by log_open: from entry `from` on, or, where it
 * is 0, of the newest few segments. Only these are read. ERR_NOT_FOUND: no segment is in use, and
 * there are no ends; else as log_open.
 */
int log_look(const struct disk *disk, const char *folder, uint64_t from, log_frame_fn *frame,
             void *context, struct log_ends *ends, char *why, size_t why_bytes);

/* A place where a log does not go on as it should. */
struct log_gap {
    uint64_t segment, byte; /* where it begins */
    enum log_gap_kind { GAP_DAMAGED, GAP_UNREADABLE, GAP_MISSING } kind;
    uint64_t first, last; /* entries that are lost by it; last 0: all from `first` on */
};
typedef void log_gap_fn(void *context, const struct log_gap *g);

/*
 * Reads a log that log_open refused, past the page cache and to its very end, to say what it still
 * has: whole frames with entries >= `from`, in order, and between them the gaps. Changes nothing;
 * nothing is open. The frames behind a gap are not chained to those before. ERR_IO and so on where
 * the folder or a whole file cannot be read, or what `frame` returned.
 */
int log_survey(const struct disk *disk, const char *folder, uint64_t from, log_frame_fn *frame,
               log_gap_fn *gap, void *context);

/* What the files of a log take on the disk; 0 where that cannot be told. */
uint64_t log_folder_bytes(const struct disk *disk, const char *folder);

uint64_t log_first_index(const struct log *log); /* the oldest that it still has; empty: the next
                                                    one; rises at the beginning of log_trim */
uint64_t log_last_index(const struct log *log);  /* the newest that is durable; empty: the one
                                                    before the first; falls at the beginning of
                                                    log_cut */
uint64_t log_last_chain(const struct log *log);
uint64_t log_bytes(const struct log *log); /* disk that all segments take */

/*
 * The buffer of the next frame, in which the payload is built in place. log_frame_begin gives room
 * for `bytes` of payload (up to payload_bytes_max), keeping what was written before; the pointer is
 * good until the next log_frame_begin or log_frame_end. Two buffers are used in turn, so that one
 * can be filled while the other is on its way to disk. They grow as needed and are kept.
 */
char *log_frame_begin(struct log *log, size_t bytes); /* NULL: no memory or too large */

/* Whether a frame with `bytes` of payload can be written now, after the one that is outstanding: it
 * fits what is left of this segment, or the next one is prepared. */
bool log_has_room(const struct log *log, size_t bytes);

/* Takes the filled buffer as the next frame to write: a handle for log_append, which may run on
 * another thread while the next frame is being built. At most one is outstanding: log_append has
 * returned before the next call. It is good until then. */
struct log_frame;
struct log_frame *log_frame_end(struct log *log, const struct log_position *p,
                                size_t payload_bytes);

/*
 * Writes the frame: durable when it returns 0.
 * ERR_DISK_FULL  no room: the next segment is not prepared, or the file system itself had none (one
 *                that copies on write). The same frame is to be tried again, not dropped: in the
 *                second case a recovery may find it.
 * ERR_IO         the disk failed: final (rule S11). The log takes nothing more; every later append
 *                and prepare gives ERR_IO.
 */
int log_append(struct log *log, struct log_frame *f);

/*
 * Removes all entries above `index`, durably (rule S8). `chain`, the chained checksum after entry
 * `index`, is the log's then; appends go on behind it. No frame is outstanding: log_append has
 * returned 0 for the last one that was built. `index` is the last entry of a frame, or the one
 * before the log's first: then all goes. Nothing is done where the log has nothing above it. At a
 * crash on the way the log keeps all up to `index`, and of the rest what comes first, or nothing.
 * Segments that become empty are removed, and then a prepared one too: log_prepare is to be called.
 *
 * ERR_BAD_REQUEST  `index` is inside a frame or below the log, or `chain` is not what stands there
 * ERR_CORRUPT      a frame or a segment is not what it should be
 * ERR_NO_MEMORY, ERR_SYSTEM: as the two before: nothing is changed
 * ERR_IO           final, as for log_append
 * ERR_DISK_FULL    of a file system that copies on write: final too, but the disk is not broken:
 *                  the log can be opened and cut again
 */
int log_cut(struct log *log, uint64_t index, uint64_t chain);

/*
 * Removes the oldest segments, each durably before the next: those of which no entry is above
 * `index`. All up to `index` is durable elsewhere (in a checkpoint). The segment in use stays, and
 * so do the prepared one and the end of the log. 0 at once where there is nothing to remove. At a
 * crash on the way the log begins somewhere between, without a gap. The space of a segment that a
 * reader stands in is free when that reader has left it.
 *
 * ERR_IO           final, as for log_append
 * ERR_DISK_FULL, ERR_NO_MEMORY, ERR_SYSTEM: the segment that could not be removed is the log's
 *                  first as before, and what was removed before it stays so; to be tried again
 */
int log_trim(struct log *log, uint64_t index);

/* The last entry of the segments that lie further back than `bytes` from the end; 0: none does. */
uint64_t log_index_beyond(const struct log *log, uint64_t bytes);

/* Removes all segments of a log that is not open, durably, the newest first; the folder stays. 0
 * where it is not there. After a failure or a crash on the way a part of the log is left, which is
 * to be removed by another call: it may end with what the whole log did not have.
 * ERR_IO, ERR_DISK_FULL, ERR_NO_MEMORY, ERR_SYSTEM. */
int log_remove_all(const struct disk *disk, const char *folder);

/* Makes the next segment ready (created, zero-written, synced, renamed in) if it is not; slow.
 * ERR_IO is final, as above; another failure, such as ERR_DISK_FULL, leaves nothing behind. Returns
 * 0 at once where there is nothing to do. */
int log_prepare(struct log *log);

/* Whether it is: a call of log_prepare would return at once. By any thread. */
bool log_is_prepared(const struct log *log);

/* Reads what is durable, beside the appender, through the page cache. It remembers where it
 * stopped, with one file open: reading on from there is cheap; to begin elsewhere in a segment the
 * heads of the frames before are read. */
struct log_reader;
int log_reader_create(struct log_reader **r, struct log *log); /* ERR_NO_MEMORY */
void log_reader_destroy(struct log_reader *r);                 /* accepts NULL */

/*
 * Appends to `to` the payloads of whole frames, one after the other, beginning with the frame that
 * holds entry `index`: as many as fit bytes_max, but at least one. That one may begin with entries
 * before `index`, which are to be skipped. None is given that log_last_index did not call durable.
 * `last`: the last entry given. A failure behind the first frame ends what is given before it, and
 * comes with the next call. Beside log_cut it gives what is there after the cut, also where the cut
 * begins on the way; a cut that begins later can take back what was given. Beside log_trim a read
 * that has begun may still give what is being removed.
 *
 * ERR_NOT_FOUND  index is above the last durable entry, or below the first; costs no input, but
 *                where the segment is removed on the way
 * ERR_CORRUPT    a frame or a segment that should be there is damaged or missing
 * ERR_NO_MEMORY  also at the buffer's ceiling; to->failed is set
 * ERR_IO, ERR_SYSTEM; with each of these nothing was appended
 */
int log_read(struct log_reader *r, uint64_t index, size_t bytes_max, struct buf *to,
             uint64_t *last);

#endif
