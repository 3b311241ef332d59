/* noted backup takes a copy from a server into a file, which is there only when it is whole;
 * noted restore hands one on. */
#include "cli/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "cli/download.h"
#include "cli/place.h"

enum { WHY_BYTES = 2 * PATH_MAX };

static int say(const char *sentence)
{
    fprintf(stderr, "noted: %s\n", sentence);
    return 1;
}

static int say_facts(const char *file, const struct backup_facts *facts)
{
    printf("noted: %s has %" PRIu64 " records, up to write %" PRIu64 " (digest %016" PRIx64 ")\n",
           file, facts->records, facts->seq, facts->digest);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* --- noted backup --- */

struct draft {
    const char *file;
    char part[PATH_MAX]; /* FILE.part */
    int fd;
    int error; /* errno, where it could not be written */
    bool force;
};

static int usage_backup(FILE *to)
{
    fputs("usage: noted backup FILE [--server HOST:PORT] [--force]\n"
          "  FILE                where the copy goes; it is there only once it is whole\n"
          "  --server HOST:PORT  which server gives it, primary or backup, 127.0.0.1:LOCAL_PORT\n"
          "                      without it\n"
          "  --local-port N      the server is at 127.0.0.1:N\n"
          "  --force             takes the place of a FILE that is there\n",
          to);
    return to == stdout ? 0 : 2;
}

static bool read_backup(int argc, char **argv, struct place *from, struct draft *d)
{
    for (int i = 0; i < argc; i++) {
        bool good = true;
        if (strcmp(argv[i], "--force") == 0)
            d->force = true;
        else if (strcmp(argv[i], "--server") == 0)
            good = ++i < argc && place_read_server(from, argv[i]);
        else if (strcmp(argv[i], "--local-port") == 0)
            good = ++i < argc && place_read_local_port(from, argv[i]);
        else if (d->file != NULL || argv[i][0] == '-' || argv[i][0] == '\0')
            good = false;
        else
            d->file = argv[i];
        if (!good)
            return false;
    }
    return d->file != NULL;
}

/* A part that a killed backup has left is begun again; one that another backup is writing is not.
 */
static int open_part(struct draft *d, char *why)
{
    struct stat st;
    int bytes = snprintf(d->part, sizeof d->part, "%s.part", d->file);
    errno = ENAMETOOLONG;
    if (!d->force && lstat(d->file, &st) == 0) {
        snprintf(why, WHY_BYTES, "%s is there already: name another file, or add --force", d->file);
        return ERR_SYSTEM;
    }
    if (bytes < (int)sizeof d->part)
        d->fd = open(d->part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (d->fd < 0) {
        snprintf(why, WHY_BYTES, "cannot write %s.part: %s", d->file, strerror(errno));
        return ERR_SYSTEM;
    }
    if (flock(d->fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(d->fd, 0) == 0)
        return 0;
    snprintf(why, WHY_BYTES, "another backup is writing %s", d->part);
    close(d->fd);
    d->fd = -1;
    return ERR_LOCKED;
}

static int take(void *context, struct span piece)
{
    struct draft *d = context;
    while (piece.bytes != 0) {
        ssize_t wrote = write(d->fd, piece.at, piece.bytes);
        if (wrote < 0 && errno != EINTR) {
            d->error = errno;
            return ERR_IO;
        }
        if (wrote > 0)
            piece = span(piece.at + wrote, piece.bytes - (size_t)wrote);
    }
    return 0;
}

static bool sync_folder_of(const char *file)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - file + 1),
             slash == NULL ? "." : file);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return synced;
}

/* From FILE.part to FILE; what has come to be there meanwhile is not overwritten, where the file
 * system can tell. */
static int finish(const struct draft *d, char *why)
{
    int rc = renameat2(AT_FDCWD, d->part, AT_FDCWD, d->file, d->force ? 0 : RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS))
        rc = rename(d->part, d->file);
    if (rc == 0 && sync_folder_of(d->file))
        return 0;
    snprintf(why, WHY_BYTES, "cannot write %s: %s", d->file, strerror(errno));
    return ERR_IO;
}

static void interrupted(int signal)
{
    (void)signal;
}

/* Signals that end it are let in only while it waits, so that no part is left behind. */
static void hold_signals(sigset_t *before)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = interrupted};
    sigset_t held;
    sigemptyset(&held);
    for (unsigned i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        sigaddset(&held, ending[i]);
        sigaction(ending[i], &act, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk */
    sigprocmask(SIG_BLOCK, &held, before);
}

/* All of it into the part, durable and whole. */
static int fetch(struct draft *d, const struct place *from, backup_check *check,
                 struct backup_facts *facts, char *why)
{
    sigset_t before;
    hold_signals(&before);
    const struct download o = {.host = from->host,
                               .port = from->port,
                               .path = "/_backup",
                               .waiting = &before,
                               .take = take,
                               .context = d};
    why[0] = '\0';
    int rc = download(&o, why, WHY_BYTES);
    if (rc == 0 && fsync(d->fd) != 0) {
        d->error = errno;
        rc = ERR_IO;
    }
    if (rc != 0 && why[0] == '\0')
        snprintf(why, WHY_BYTES, "cannot write %s: %s", d->part,
                 rc == ERR_NO_MEMORY ? "out of memory" : strerror(d->error));
    return rc == 0 ? check(d->part, facts, why, WHY_BYTES) : rc;
}

int backup_main(int argc, char **argv, backup_check *check)
{
    struct place from = {0};
    struct draft d = {.fd = -1};
    struct backup_facts facts;
    char why[WHY_BYTES] = "";
    if (argc == 1 && strcmp(argv[0], "--help") == 0)
        return usage_backup(stdout);
    bool known = place_default(&from);
    if (!read_backup(argc, argv, &from, &d))
        return usage_backup(stderr);
    if (!known && from.port == 0) {
        fprintf(stderr, "noted: LOCAL_PORT is %s, and no port\n", getenv("LOCAL_PORT"));
        return 2;
    }
    if (open_part(&d, why) != 0)
        return say(why);
    int rc = fetch(&d, &from, check, &facts, why);
    if (rc == 0)
        rc = finish(&d, why);
    if (rc != 0)
        unlink(d.part); /* before another one may have it */
    close(d.fd);
    return rc == 0 ? say_facts(d.file, &facts) : say(why);
}

/* --- noted restore --- */

static int usage_restore(FILE *to)
{
    fputs("usage: noted restore FILE --data FOLDER [--app-name NAME]\n"
          "  FILE             what noted backup has made\n"
          "  --data FOLDER    the data directory that is made from it: empty, or not there yet\n"
          "  --app-name NAME  the server's name, the host's without it\n"
          "then noted serve --data FOLDER starts as the primary of a new cluster\n",
          to);
    return to == stdout ? 0 : 2;
}

static bool read_value(int argc, char **argv, int *i, const char **value)
{
    *value = ++*i < argc ? argv[*i] : "";
    return (*value)[0] != '\0';
}

int restore_main(int argc, char **argv, backup_restore *restore)
{
    const char *file = NULL, *data = NULL, *name = NULL;
    char host[APP_NAME_BYTES_MAX + 1] = "", why[WHY_BYTES] = "";
    struct backup_facts facts;
    bool good = true;
    if (argc == 1 && strcmp(argv[0], "--help") == 0)
        return usage_restore(stdout);
    for (int i = 0; i < argc && good; i++) {
        if (strcmp(argv[i], "--data") == 0)
            good = read_value(argc, argv, &i, &data) && strlen(data) <= SETTINGS_PATH_BYTES_MAX;
        else if (strcmp(argv[i], "--app-name") == 0)
            good = read_value(argc, argv, &i, &name) && place_is_app_name(name);
        else if (file != NULL || argv[i][0] == '-' || argv[i][0] == '\0')
            good = false;
        else
            file = argv[i];
    }
    if (!good || file == NULL || data == NULL)
        return usage_restore(stderr);
    gethostname(host, sizeof host - 1); /* noted serve says it anew, whatever it is */
    return restore(file, data, name != NULL ? name : host, &facts, why, sizeof why) == 0
               ? say_facts(file, &facts)
               : say(why);
}
