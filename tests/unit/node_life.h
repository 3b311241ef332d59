/*
 * Lives of the storage side as a whole, driven through a port, on real files: each is a process of
 * its own, which is killed, or whose disk fails or fills, at the first change of a file, the
 * second, the third … After each: what was acknowledged is there once, what was refused is not.
 */
#ifndef NODE_LIFE_H
#define NODE_LIFE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "node/node.h"

enum {
    WRITES = 5,
    TEXT_BYTES = 300 * 1000, /* so that a life goes through more than one segment */
    DEADLINE_MS = 20 * 1000,
    STUCK_MS = 300, /* for answers that are not to come */
    KILLED = 42,
};

enum fault { NO_FAULT, KILL, IO, IO_ONCE, FULL_ONCE, FULL_FOR_EVER, SLOW /* to make new files */ };

/* What became of a write, as its process saw it. */
enum fate { NEVER_ASKED, ASKED, REFUSED, ACKNOWLEDGED };

/* Shared between a life and who looks at it afterwards. */
struct seen {
    bool hit; /* the fault came */
    char why[1024], said[1024];
    enum fate fate[WRITES];
    uint64_t id[WRITES];
};

/* --- A disk with one fault --- */

static struct {
    struct disk real;
    pthread_mutex_t mutex;
    enum fault fault;
    uint64_t nth, count;
    struct seen *seen;
} faults = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Of a change, before it is done. `takes_space`: it can find the disk full. */
static inline int fault_now(bool takes_space)
{
    pthread_mutex_lock(&faults.mutex);
    bool counts =
        takes_space || faults.fault == KILL || faults.fault == IO || faults.fault == IO_ONCE;
    uint64_t n = counts ? ++faults.count : 0;
    bool first = faults.nth != 0 && n == faults.nth, later = faults.nth != 0 && n > faults.nth;
    if (first)
        faults.seen->hit = true;
    if (first && faults.fault == KILL)
        _exit(KILLED);
    pthread_mutex_unlock(&faults.mutex);
    if (faults.fault == IO || faults.fault == IO_ONCE)
        return first || (later && faults.fault == IO) ? ERR_IO : 0;
    return first || (later && faults.fault == FULL_FOR_EVER) ? ERR_DISK_FULL : 0;
}

static inline int faulty_open(void *context, const char *path, unsigned flags,
                              struct disk_file **file)
{
    const struct timespec slow = {.tv_nsec = 400 * 1000 * 1000};
    if ((flags & DISK_CREATE) != 0 && faults.fault == SLOW)
        nanosleep(&slow, NULL);
    int rc = (flags & DISK_CREATE) != 0 ? fault_now(true) : 0;
    return rc != 0 ? rc : faults.real.open(context, path, flags, file);
}

static inline int faulty_write(struct disk_file *file, uint64_t offset, const void *from,
                               size_t bytes)
{
    int rc = fault_now(true);
    if (rc != 0 && bytes > DISK_BLOCK_BYTES) /* torn */
        faults.real.write(file, offset, from, DISK_BLOCK_BYTES);
    return rc != 0 ? rc : faults.real.write(file, offset, from, bytes);
}

static inline int faulty_sync(struct disk_file *file)
{
    int rc = fault_now(false);
    return rc != 0 ? rc : faults.real.sync(file);
}

static inline int faulty_rename(void *context, const char *from, const char *to)
{
    int rc = fault_now(false);
    return rc != 0 ? rc : faults.real.rename(context, from, to);
}

static inline int faulty_remove(void *context, const char *path)
{
    int rc = fault_now(false);
    return rc != 0 ? rc : faults.real.remove(context, path);
}

static inline int faulty_sync_folder(void *context, const char *path)
{
    int rc = fault_now(false);
    return rc != 0 ? rc : faults.real.sync_folder(context, path);
}

/* A small one, so that segments are. */
static inline int faulty_space(void *context, const char *path, uint64_t *free_bytes,
                               uint64_t *total_bytes)
{
    (void)context;
    (void)path;
    *free_bytes = 16 * MIB;
    *total_bytes = 32 * MIB;
    return 0;
}

static inline struct disk faulty_disk(enum fault fault, uint64_t nth, struct seen *seen)
{
    faults.real = disk_real();
    faults.fault = fault;
    faults.nth = fault == NO_FAULT || fault == SLOW ? 0 : nth;
    faults.count = 0;
    faults.seen = seen;
    struct disk d = faults.real;
    d.open = faulty_open;
    d.write = faulty_write;
    d.sync = faulty_sync;
    d.rename = faulty_rename;
    d.remove = faulty_remove;
    d.sync_folder = faulty_sync_folder;
    d.space = faulty_space;
    return d;
}

/* --- A life --- */

struct place {
    char folder[64], data[80], boot[80];
    bool backup; /* of a primary at this port of 127.0.0.1; 1: none answers */
    unsigned primary_port;
    uint64_t expected_index;
    struct seen *seen;
    unsigned
        first;   /* of the writes of a life, so that they are told from those of an earlier one */
    bool killed; /* instead of stopped */
    bool accept_loss;
};

struct life {
    struct settings settings;
    struct clock clock;
    struct disk disk;
    struct status status;
    struct visible visible;
    struct write_port port;
    struct message_log *messages;
    struct node *node;
    char why[1024];
};

static struct seen *watcher; /* of this process's life */
static bool is_life;         /* this process, else it is the test's own */

static inline void say(const char *sentence)
{
    size_t used = strlen(watcher->said);
    snprintf(watcher->said + used, sizeof watcher->said - used, "%s\n", sentence);
}

static inline void fatal(const char *sentence)
{
    pthread_mutex_lock(&faults.mutex); /* several threads may see the disk fail */
    snprintf(watcher->why, sizeof watcher->why, "%s", sentence);
    if (!is_life)
        print_error("%s\n", sentence);
    _exit(1);
}

static inline void wake(void *front)
{
    (void)front;
}

static inline int open_life(struct life *l, struct place *p, enum fault fault, uint64_t nth)
{
    char primary[40];
    snprintf(primary, sizeof primary, "--primary=127.0.0.1:%u", p->primary_port);
    char *flags[] = {"--app-name",
                     "t",
                     "--data",
                     p->data,
                     "--record-bytes-max",
                     "512KiB",
                     "--boot-id-file",
                     p->boot,
                     "--threads",
                     "1",
                     "--log-bytes",
                     "1MiB",
                     p->backup ? primary : "--ack=all",
                     p->accept_loss ? "--accept-data-loss" : "--scrub-s=3600",
                     NULL};
    char *environment[] = {NULL};
    *l = (struct life){.clock = clock_real(), .disk = faulty_disk(fault, nth, p->seen)};
    watcher = p->seen;
    int rc = settings_read(&l->settings, 14, flags, environment, l->why, sizeof l->why);
    const struct message_log_options messages = {
        .app_name = "t", .rings = 1, .slots = 64, .clock = &l->clock};
    if (rc != 0 || message_log_create(&l->messages, &messages) != 0)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&l->status.lock, NULL);
    atomic_store(&l->status.refusal, ERR_NOT_READY);
    const struct node_options o = {
        .settings = &l->settings,
        .clock = &l->clock,
        .disk = &l->disk,
        .status = &l->status,
        .visible = &l->visible,
        .ring = message_log_ring(l->messages, 0),
        .seed = 7,
        .say = say,
        .fatal = fatal,
    };
    return node_open(&l->node, &o, l->why, sizeof l->why);
}

static inline void close_life(struct life *l)
{
    node_close(l->node);
    message_log_destroy(l->messages);
    write_port_finish(&l->port);
    settings_finish(&l->settings);
}

static inline uint64_t now_ms(void)
{
    struct clock c = clock_real();
    return clock_mono_us(&c) / 1000;
}

/* POST /notes with {"n":N,…}: handed over as a front end does. */
static inline void ask(struct life *l, struct write_batch *b, unsigned n, unsigned first)
{
    static char payload[TEXT_BYTES];
    struct request rq;
    struct target t;
    struct write *w;
    request_init(&rq);
    rq.method = METHOD_POST;
    rq.target = span_of("/notes");
    target_parse(rq.target, &t);
    memset(payload, 'x', sizeof payload);
    payload[snprintf(payload, sizeof payload, "{\"n\":%u,\"text\":\"", first + n)] = 'x';
    memcpy(payload + sizeof payload - 2, "\"}", 2);
    rq.payload = span(payload, sizeof payload);
    rq.has_payload = true;
    write_batch_reset(b);
    b->port = &l->port;
    if (write_ask(b, &rq, &t, l->settings.record_bytes_max, &w) != 0)
        abort();
    watcher->fate[n] = ASKED;
    queue_put(&l->port.asked, b);
    node_wake(l->node);
}

static inline struct write_batch *answered(struct life *l, uint64_t wait_ms)
{
    const struct timespec short_time = {.tv_nsec = 200 * 1000};
    uint64_t until = now_ms() + wait_ms;
    struct write_batch *b;
    while ((b = queue_take(&l->port.answered)) == NULL && now_ms() < until)
        nanosleep(&short_time, NULL);
    return b;
}

static inline void note(const struct write_batch *b, unsigned n)
{
    const struct write *w = &b->writes[0];
    watcher->fate[n] = w->code == 0 ? ACKNOWLEDGED : REFUSED;
    watcher->id[n] = w->answered_id;
}

static inline void begin_life(struct life *l, struct place *p, enum fault fault, uint64_t nth)
{
    if (open_life(l, p, fault, nth) != 0)
        fatal(l->why);
    if (write_port_init(&l->port, node_wake, l->node) != 0)
        abort();
    l->port.wake = wake;
    if (node_start(l->node, &l->port, 1) != 0)
        fatal("cannot start");
}

static inline void start_life(struct life *l, struct place *p, enum fault fault, uint64_t nth)
{
    begin_life(l, p, fault, nth);
    const struct timespec short_time = {.tv_nsec = 200 * 1000};
    uint64_t until = now_ms() + DEADLINE_MS;
    while (!atomic_load(&l->status.started)) {
        bool never = fault == FULL_FOR_EVER && atomic_load(&l->status.disk_full);
        if (never && until > now_ms() + STUCK_MS)
            until = now_ms() + STUCK_MS;
        if (now_ms() > until)
            fatal("not started in time");
        nanosleep(&short_time, NULL);
    }
}

/* Opens, starts, writes, stops. */
static inline int live(struct place *p, enum fault fault, uint64_t nth)
{
    struct life l;
    start_life(&l, p, fault, nth);
    bool full = fault == FULL_FOR_EVER;
    struct write_batch *b = write_batch_create(), *back = b;
    for (unsigned n = 0; n < WRITES && back != NULL; n++) {
        ask(&l, b, n, p->first);
        back = answered(&l, full ? STUCK_MS : DEADLINE_MS);
        if (back == NULL && !full)
            fatal("no answer");
        if (back != NULL)
            note(back, n);
    }
    if (p->killed)
        _exit(KILLED);
    int rc = node_stop(l.node);
    close_life(&l);
    write_batch_destroy(b);
    if (rc != 0)
        fatal("local storage could not be synced");
    return 0;
}

static inline int in_process(struct place *p, int (*body)(struct place *, enum fault, uint64_t),
                             enum fault fault, uint64_t nth)
{
    *p->seen = (struct seen){0};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(DEADLINE_MS / 1000 + 20);
        is_life = true;
        _exit(body(p, fault, nth));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        fail_msg("fault %d at %llu: ended by signal %d", (int)fault, (unsigned long long)nth,
                 WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* --- What is there afterwards --- */

static inline void expect_each_once(struct place *p, const char *when)
{
    struct life l;
    struct reader *r;
    const struct seen before = *p->seen;
    unsigned there[WRITES] = {0}, earlier = 0;
    /* Started, so that what the log has beyond what is known to be committed is applied, too. */
    start_life(&l, p, NO_FAULT, 0);
    assert_int_equal(reader_create_in(&r, node_slot(l.node), &l.visible), 0);
    assert_int_equal(reader_fresh(r), 0);
    struct record record;
    for (uint64_t id = 1; id <= 4 * WRITES; id++) {
        unsigned n;
        if (reader_get(r, span_of("notes"), id, &record) != 0)
            continue;
        assert_int_equal(sscanf(record.text.at, "{\"id\":%*u,\"n\":%u", &n), 1);
        if (n < p->first) {
            earlier++;
            continue;
        }
        n -= p->first;
        assert_in_range(n, 0, WRITES - 1);
        there[n]++;
        if (before.fate[n] == ACKNOWLEDGED && before.id[n] != id)
            fail_msg("%s: write %u got id %llu, but is at %llu", when, n,
                     (unsigned long long)before.id[n], (unsigned long long)id);
    }
    reader_destroy(r);
    assert_int_equal(node_stop(l.node), 0);
    close_life(&l);
    if (earlier != p->first)
        fail_msg("%s: %u of the %u writes of the life before are there", when, earlier, p->first);
    for (unsigned n = 0; n < WRITES; n++) {
        bool wrong =
            there[n] > 1 || (before.fate[n] == ACKNOWLEDGED && there[n] != 1) ||
            ((before.fate[n] == REFUSED || before.fate[n] == NEVER_ASKED) && there[n] != 0);
        if (wrong)
            fail_msg("%s: write %u, fate %d, is there %u times", when, n, (int)before.fate[n],
                     there[n]);
    }
}

/* How many of the records 1, 2, 3 … an opened life has, and none of them is missing. */
static inline unsigned records_in(struct life *l, const char *when)
{
    struct reader *r;
    struct record record;
    unsigned found = 0, last = 0;
    assert_int_equal(reader_create_in(&r, node_slot(l->node), &l->visible), 0);
    assert_int_equal(reader_fresh(r), 0);
    for (unsigned id = 1; id <= 4 * WRITES; id++) {
        int rc = reader_get(r, span_of("notes"), id, &record);
        if (rc != 0 && rc != ERR_NOT_FOUND)
            fail_msg("%s: record %u: %d", when, id, rc);
        found += rc == 0;
        last = rc == 0 ? id : last;
    }
    reader_destroy(r);
    if (found != last)
        fail_msg("%s: %u records up to record %u", when, found, last);
    return found;
}

/* They are there as soon as local storage is open. */
static inline void expect_records(struct place *p, unsigned count, const char *when)
{
    struct life l;
    if (open_life(&l, p, NO_FAULT, 0) != 0)
        fail_msg("%s: %s", when, l.why);
    unsigned found = records_in(&l, when);
    close_life(&l);
    if (found != count)
        fail_msg("%s: %u records, expected %u", when, found, count);
}

static inline void run_shell(const char *format, const char *a, const char *b)
{
    char command[400];
    snprintf(command, sizeof command, format, a, b);
    assert_int_equal(system(command), 0);
}

static inline void set_boot(struct place *p, const char *id)
{
    FILE *file = fopen(p->boot, "w");
    assert_non_null(file);
    fputs(id, file);
    fclose(file);
}

/* Every change of a life in turn, from `template` (NULL: from nothing). */
static inline void each_change(struct place *p, const char *template, enum fault fault)
{
    for (uint64_t nth = 1;; nth++) {
        char when[100];
        snprintf(when, sizeof when, "fault %d at change %llu%s", (int)fault,
                 (unsigned long long)nth, template == NULL ? "" : " of a later life");
        run_shell("rm -rf %s%s", p->data, "");
        if (template != NULL)
            run_shell("cp -r %s %s", template, p->data);
        int status = in_process(p, live, fault, nth);
        if (status != 0 && status != 1 && status != KILLED)
            fail_msg("%s: exit code %d", when, status);
        if (status == 1 && p->seen->why[0] == '\0')
            fail_msg("%s: refused without a sentence", when);
        if (status == 1 && !p->seen->hit)
            fail_msg("%s: refused without a fault: %s", when, p->seen->why);
        expect_each_once(p, when);
        if (!p->seen->hit)
            return;
    }
}

/* --- Where lives are --- */

static inline int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    /* In memory where that can be had: there are some hundred lives. */
    snprintf(p->folder, sizeof p->folder, "%s/test_node_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->data, sizeof p->data, "%s/data", p->folder);
    snprintf(p->boot, sizeof p->boot, "%s/boot", p->folder);
    p->primary_port = 1;
    p->seen =
        mmap(NULL, sizeof *p->seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p->seen, MAP_FAILED);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* as copies want it */
    set_boot(p, "this-boot\n");
    *state = p;
    return 0;
}

static inline int teardown(void **state)
{
    struct place *p = *state;
    run_shell("rm -rf %s%s", p->folder, "");
    munmap(p->seen, sizeof *p->seen);
    free(p);
    return 0;
}

/* The data directory moves there. Its zeros become holes: it is copied some hundred times, and
 * local storage keeps 32 MB of room. */
static inline const char *keep_as_template(struct place *p)
{
    static char template[100];
    snprintf(template, sizeof template, "%s/template", p->folder);
    run_shell("cp -r --sparse=always %s %s", p->data, template);
    run_shell("rm -r %s%s", p->data, "");
    return template;
}

/* A life that was killed when all its writes were acknowledged. */
static inline const char *make_template(struct place *p)
{
    p->first = 0;
    p->killed = true;
    assert_int_equal(in_process(p, live, NO_FAULT, 0), KILLED);
    p->first = WRITES;
    p->killed = false;
    return keep_as_template(p);
}

#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
