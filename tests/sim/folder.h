/* A folder for stores of LMDB, in memory where there is such a place; gone afterwards. */
#ifndef SIM_FOLDER_H
#define SIM_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FOLDER_BYTES = 200 };

static inline const char *folder_make(char to[FOLDER_BYTES])
{
    const char *in = getenv("TMPDIR");
    if (in == NULL || in[0] == '\0')
        in = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(to, FOLDER_BYTES, "%s/noted-sim-XXXXXX", in);
    if (mkdtemp(to) == NULL) {
        perror(to);
        exit(1);
    }
    return to;
}

/* Runs remove their files. */
static inline void folder_remove(const char *folder)
{
    if (rmdir(folder) != 0)
        perror(folder);
}

#endif
