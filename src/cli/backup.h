/* noted backup, noted restore: the records of a server as a file, and a new server from one. What a
 * backup is made of is unknown here: who calls says how one is checked and restored. */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include <stddef.h>
#include <stdint.h>

struct backup_facts { /* what is in a backup */
    uint64_t records, seq, digest;
};

/* Whether a file is a whole backup; a data directory from one. 0, or an error and a sentence. */
typedef int backup_check(const char *file, struct backup_facts *facts, char *why, size_t why_bytes);
typedef int backup_restore(const char *file, const char *data, const char *app_name,
                           struct backup_facts *facts, char *why, size_t why_bytes);

/* The arguments are those behind the command; the exit code. */
int backup_main(int argc, char **argv, backup_check *check);
int restore_main(int argc, char **argv, backup_restore *restore);

#endif
