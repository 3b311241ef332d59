/*
 * A copy of local storage in a file of its own, made while the store is in use: what a backup that
 * lags too far gets, and what is kept in place of an old log. Knows neither who sends it nor how.
 *
 * A copy is a store file, which store_open opens, and behind it a seal: how long the file is and a
 * hash of all of it. LMDB believes what it reads, and a damaged page can end the process; so a copy
 * that was sent or kept is compared with its seal before it is opened.
 */
#ifndef STORE_COPY_H
#define STORE_COPY_H

#include <stddef.h>

#include "store/store.h"

/*
 * Writes a copy of what was committed at one moment, compacted, to a file or a pipe, which must
 * block. Readers and the writer go on meanwhile; but pages that writes free are not used again
 * before it ends, so the store's file grows by what is written while the copy is made. How fast it
 * goes is decided by who reads the pipe. Blocks; from any thread but the writer's, also of several;
 * two threads of its own live as long as it does, and inherit the caller's priority. Syncs nothing.
 *
 * ERR_SYSTEM: also, nobody reads the pipe any more. The process must ignore SIGPIPE.
 *
 * ERR_DISK_FULL, ERR_IO, ERR_NO_MEMORY.
 *
 * ERR_CORRUPT: a page of the store is not what it should be.
 *
 * ERR_NOT_IMPLEMENTED: the store is in memory; it could not open what was written.
 *
 * On an error what was written so far is not a copy, and is told from one.
 */
int store_copy(struct store *s, int fd);

/*
 * Checks a copy in a file that nobody has open: first the bytes by the seal, then the records by
 * digest and number. 0: it is whole, and this is its state. Reads the file twice; needs little
 * memory; changes nothing and makes no file. Once the copy was opened and written to as a store, it
 * is no copy any more. `why` as in store_open; `pace` is asked in both readings, and may be NULL.
 *
 * ERR_CORRUPT: it is cut short, damaged, or was none; ERR_NEWER; ERR_NO_MEMORY, ERR_IO, ERR_SYSTEM.
 */
int store_copy_check(const char *path, const struct store_pace *pace, struct store_state *state,
                     char *why, size_t why_bytes);

/* The hash in the seal of a file that was checked: no two copies have the same. ERR_CORRUPT: there
 * is no seal. */
int store_copy_seal(int fd, uint64_t *seal);

#endif
