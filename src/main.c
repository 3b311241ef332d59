/* noted: its subcommands, and the wiring of a server. The only file that names every module. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/settings.h"
#include "base/thread.h"
#include "cli/backup.h"
#include "cli/demo.h"
#include "cli/operator.h"
#include "cli/promote.h"
#include "front/front.h"
#include "net/listen.h"
#include "node/node.h"
#include "node/promote.h"
#include "node/restore.h"
#include "ops/message_log.h"
#include "ops/message_printer.h"
#include "ops/status.h"
#include "record/read.h"
#include "record/write.h"

#ifdef REPL_RULES_VARY
#error "a server always keeps all rules"
#endif

enum {
    EXIT_OK = 0,
    EXIT_CANNOT_RUN = 1,
    EXIT_USAGE = 2,
    WHY_BYTES = 1024,
    FILES_LEAST = 32,     /* log, storage, and what is open for a while */
    FILES_PER_THREAD = 4, /* of a front end: event loop, bell, sockets */
    FILES_SPARE = 96,     /* servers, copies, backups */
    MESSAGE_SLOTS = 4096,
    READS_LOGGED_PER_SECOND = 10000,
    READY_LOOK_MS = 5,
};

static void say(const char *sentence)
{
    fprintf(stderr, "noted: %s\n", sentence);
}

static void fatal(const char *sentence)
{
    say(sentence);
    _exit(EXIT_CANNOT_RUN);
}

/* --- One server --- */

struct server {
    struct settings settings;
    struct clock clock;
    struct disk disk;
    struct status status;
    struct visible visible;
    atomic_size_t connections; /* of all front ends */
    struct message_log *messages;
    struct message_printer *printer;
    struct node *node;
    unsigned fronts_count; /* made so far */
    struct front *fronts[THREADS_MAX];
    struct reader *readers[THREADS_MAX];
    struct write_port ports[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    int tcp_fds[THREADS_MAX], udp_fds[THREADS_MAX];
};

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        fatal("the system gives no random numbers");
    return seed;
}

/* Raises the file limit to what the connections need; where that is refused, lowers the connections
 * and says so: a log that finds no descriptor would end the server. */
static void fit_connections(struct settings *set)
{
    struct rlimit files;
    rlim_t least = FILES_LEAST + (rlim_t)FILES_PER_THREAD * set->threads;
    rlim_t need = set->connections_max + least + FILES_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= need)
        return;
    struct rlimit raised = {need, files.rlim_max > need ? files.rlim_max : need};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return;
    raised = (struct rlimit){files.rlim_max < need ? files.rlim_max : need, files.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        files.rlim_cur = raised.rlim_cur;
    if (files.rlim_cur >= need)
        return;
    if (files.rlim_cur <= least + 1) {
        fprintf(stderr,
                "noted: the system allows %llu open files: a server with --threads %u needs %llu "
                "(ulimit -n)\n",
                (unsigned long long)files.rlim_cur, set->threads, (unsigned long long)least + 2);
        _exit(EXIT_CANNOT_RUN);
    }
    rlim_t left = files.rlim_cur - least;
    left -= left / 2 < FILES_SPARE ? left / 2 : FILES_SPARE;
    if (set->connections_max <= left)
        return;
    set->connections_max = (uint32_t)left;
    fprintf(stderr,
            "noted: the system allows %llu open files, so there are at most %u connections\n",
            (unsigned long long)files.rlim_cur, set->connections_max);
}

static int bind_port(struct server *s, char *why)
{
    const struct settings *set = &s->settings;
    const struct net_port port = {
        .address = set->listen,
        .port = (uint16_t)set->local_port,
        .tcp = true, /* peers come over it, whatever clients may speak */
        .udp = (set->serve & SERVE_UDP) != 0,
        .loops = set->threads,
    };
    uint16_t chosen = 0;
    for (unsigned i = 0; i < THREADS_MAX; i++)
        s->tcp_fds[i] = s->udp_fds[i] = -1;
    int rc = net_port_bind(&port, s->tcp_fds, s->udp_fds, &chosen, why, WHY_BYTES);
    bool v6 = strchr(set->listen, ':') != NULL;
    snprintf(s->status.address, sizeof s->status.address, v6 ? "[%s]:%u" : "%s:%u", set->listen,
             chosen);
    return rc;
}

static int open_front(struct server *s, unsigned i)
{
    int rc = reader_create_in(&s->readers[i], node_slot(s->node), &s->visible);
    if (rc == 0)
        rc = write_port_init(&s->ports[i], node_wake, s->node);
    if (rc != 0)
        return rc;
    const struct front_options o = {
        .settings = &s->settings,
        .clock = &s->clock,
        .visible = &s->visible,
        .reader = s->readers[i],
        .port = &s->ports[i],
        .messages = s->messages,
        .ring = message_log_ring(s->messages, i),
        .status = &s->status,
        .seed = random_seed(),
        .connections = &s->connections,
        .tcp_fd = s->tcp_fds[i],
        .udp_fd = s->udp_fds[i],
        .peer = node_take_peer,
        .drop = node_drop,
        .backup_reserve = node_backup_reserve,
        .backup = node_backup_start,
        .node = s->node,
    };
    rc = front_create(&s->fronts[i], &o);
    s->fronts_count += rc == 0;
    return rc;
}

static int open_server(struct server *s, char *why)
{
    const struct message_log_options messages = {
        .app_name = s->settings.app_name,
        .rings = s->settings.threads + 1, /* the order thread's is the last */
        .slots = MESSAGE_SLOTS,
        .reads_per_second_max = READS_LOGGED_PER_SECOND,
        .clock = &s->clock,
    };
    snprintf(why, WHY_BYTES, "cannot start: out of memory, threads or file descriptors");
    int rc = message_log_create(&s->messages, &messages);
    if (rc != 0)
        return rc;
    const struct node_options node = {
        .settings = &s->settings,
        .clock = &s->clock,
        .disk = &s->disk,
        .status = &s->status,
        .visible = &s->visible,
        .ring = message_log_ring(s->messages, s->settings.threads),
        .seed = random_seed(),
        .say = say,
        .fatal = fatal,
    };
    rc = bind_port(s, why);
    if (rc == 0)
        rc = node_open(&s->node, &node, why, WHY_BYTES);
    if (rc != 0)
        return rc;
    snprintf(why, WHY_BYTES, "cannot start: out of memory, threads or file descriptors");
    for (unsigned i = 0; rc == 0 && i < s->settings.threads; i++)
        rc = open_front(s, i);
    if (rc == 0 && s->settings.messages == MESSAGES_STDOUT)
        rc = message_printer_start(&s->printer, s->messages, stdout);
    if (rc == 0)
        rc = node_start(s->node, s->ports, s->settings.threads);
    return rc;
}

static void *run_front(void *front)
{
    thread_begin("front", THREAD_PROMPT);
    if (front_run(front) != 0)
        fatal("an event loop failed");
    return NULL;
}

/* Waits until the node says that the ready line is true; false: the server is to stop. */
static bool wait_started(struct server *s, const sigset_t *signals)
{
    const struct timespec pause = {.tv_nsec = READY_LOOK_MS * 1000 * 1000};
    while (!atomic_load_explicit(&s->status.started, memory_order_acquire))
        if (sigtimedwait(signals, NULL, &pause) > 0)
            return false;
    return true;
}

static void say_ready(const struct server *s)
{
    const char *primary = s->settings.primary;
    printf("noted: %s ready on %s (%s%s)\n", s->settings.app_name, s->status.address,
           primary == NULL ? "primary" : "backup of ", primary == NULL ? "" : primary);
    fflush(stdout);
}

/* Serves until SIGTERM or SIGINT. */
static void serve(struct server *s, const sigset_t *signals)
{
    int signal;
    for (unsigned i = 0; i < s->fronts_count; i++)
        if (pthread_create(&s->threads[i], NULL, run_front, s->fronts[i]) != 0)
            fatal("cannot start a thread");
    if (wait_started(s, signals)) {
        say_ready(s);
        while (sigwait(signals, &signal) != 0) {
        }
    }
    for (unsigned i = 0; i < s->fronts_count; i++)
        front_drain(s->fronts[i]);
    for (unsigned i = 0; i < s->fronts_count; i++)
        pthread_join(s->threads[i], NULL);
}

static void close_server(struct server *s)
{
    message_printer_stop(s->printer);
    for (unsigned i = 0; i < s->fronts_count; i++) {
        front_destroy(s->fronts[i]);
        reader_destroy(s->readers[i]);
        write_port_finish(&s->ports[i]);
    }
    message_log_destroy(s->messages);
    node_close(s->node);
    settings_finish(&s->settings);
    free(s);
}

static void warn_of_address(const struct settings *set)
{
    if (strncmp(set->listen, "127.", 4) != 0 && strcmp(set->listen, "::1") != 0)
        fprintf(stderr,
                "noted: listening on %s: whoever reaches this address can read and write every "
                "record, for there is no "
                "authentication\n",
                set->listen);
}

static int serve_main(int argc, char **argv, char **environment)
{
    char why[WHY_BYTES] = "";
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        fatal("out of memory");
    int rc = settings_read(&s->settings, argc, argv, environment, why, sizeof why);
    if (rc != 0) {
        free(s);
        if (rc == SETTINGS_HELP)
            settings_help(stdout);
        else
            say(why);
        return rc == SETTINGS_HELP ? EXIT_OK : EXIT_USAGE;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk */

    s->clock = clock_real();
    s->disk = disk_real();
    s->status.app_name = s->settings.app_name;
    s->status.backup = s->settings.primary != NULL;
    s->status.ack_primary = s->settings.ack == ACK_PRIMARY;
    pthread_mutex_init(&s->status.lock, NULL);
    atomic_store(&s->status.refusal, ERR_NOT_READY);
    s->status.started_us = clock_mono_us(&s->clock);
    fit_connections(&s->settings);
    warn_of_address(&s->settings);
    if (open_server(s, why) != 0)
        fatal(why);
    serve(s, &signals);
    if (node_stop(s->node) != 0)
        fatal("local storage could not be synced: the log has every acknowledged write");
    close_server(s);
    return EXIT_OK;
}

/* --- Subcommands --- */

static struct backup_facts facts_of(const struct restored *what)
{
    return (struct backup_facts){
        .records = what->records, .seq = what->seq, .digest = what->digest};
}

static int check_backup(const char *file, struct backup_facts *facts, char *why, size_t why_bytes)
{
    struct restored what = {0};
    int rc = node_check_backup(file, &what, why, why_bytes);
    *facts = facts_of(&what);
    return rc;
}

static int restore(const char *file, const char *data, const char *app_name,
                   struct backup_facts *facts, char *why, size_t why_bytes)
{
    struct disk disk = disk_real();
    struct restored what = {0};
    int rc = node_restore(&disk, file, data, app_name, &what, why, why_bytes);
    *facts = facts_of(&what);
    return rc;
}

struct promoting {
    struct disk disk;
    struct promotion promotion;
};

static int open_promotion(void *context, const char *data, const char *old_state,
                          struct promote_case *c, char *why, size_t why_bytes)
{
    struct promoting *p = context;
    const char *boot_id_file = getenv("NOTED_BOOT_ID_FILE");
    return promotion_open(&p->promotion, &p->disk, data, old_state,
                          boot_id_file != NULL ? boot_id_file : SETTINGS_BOOT_ID_FILE, c, why,
                          why_bytes);
}

static int do_promotion(void *context, uint32_t generation, struct span untold, char *why,
                        size_t why_bytes)
{
    struct promoting *p = context;
    return promotion_do(&p->promotion, generation, untold, why, why_bytes);
}

static void close_promotion(void *context)
{
    struct promoting *p = context;
    promotion_close(&p->promotion);
}

static int promote(int argc, char **argv)
{
    struct promoting p = {.disk = disk_real()};
    const struct promote_steps steps = {
        .context = &p, .open = open_promotion, .promote = do_promotion, .close = close_promotion};
    return promote_main(argc, argv, &steps);
}

static int usage(FILE *to)
{
    fputs("usage: noted serve [--app-name NAME] [--local-port N] [--primary HOST:PORT] …\n"
          "           one server; noted serve --help lists its settings\n"
          "       noted demo [--once] [--servers N] [--local-port P]\n"
          "           starts servers and shows what happens between them\n"
          "       noted drop NAME [--server HOST:PORT] [--via http|tcp|udp]\n"
          "           tells the primary to go on without this backup\n"
          "       noted promote --data DIR [--server HOST:PORT]... [--old-state DIR]\n"
          "           makes a stopped backup the primary, where the old one is lost\n"
          "       noted backup FILE [--server HOST:PORT] [--force]\n"
          "           a copy of a running server's records, while writes go on\n"
          "       noted restore FILE --data FOLDER [--app-name NAME]\n"
          "           a new primary's data directory from such a copy\n"
          "       noted version\n",
          to);
    return to == stdout ? EXIT_OK : EXIT_USAGE;
}

int main(int argc, char **argv, char **environment)
{
    const char *command = argc < 2 ? "" : argv[1];
    if (strcmp(command, "serve") == 0)
        return serve_main(argc - 2, argv + 2, environment);
    if (strcmp(command, "demo") == 0)
        return demo_main(argc - 2, argv + 2);
    if (strcmp(command, "drop") == 0)
        return operator_drop(argc - 2, argv + 2);
    if (strcmp(command, "promote") == 0)
        return promote(argc - 2, argv + 2);
    if (strcmp(command, "backup") == 0)
        return backup_main(argc - 2, argv + 2, check_backup);
    if (strcmp(command, "restore") == 0)
        return restore_main(argc - 2, argv + 2, restore);
    if ((strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) && argc == 2) {
        puts("noted " NOTED_VERSION);
        return EXIT_OK;
    }
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0)
        return usage(stdout);
    if (argc >= 2)
        fprintf(stderr, "noted: there is no command %s\n", command);
    return usage(stderr);
}
