/* Copies for clients: two at once, who does not read is cut, a stop ends them; and a data directory
 * made from one, cut off anywhere: it is whole, or it does not start, or it is not begun. */
#include "node_life.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "node/restore.h"

/* --- A clock that can be set forward --- */

static _Atomic(uint64_t) ahead_us;

static uint64_t later_us(void *context)
{
    (void)context;
    struct clock c = clock_real();
    return clock_mono_us(&c) + atomic_load(&ahead_us);
}

static void start(struct life *l, struct place *p)
{
    atomic_store(&ahead_us, 0);
    *p->seen = (struct seen){0};
    if (open_life(l, p, NO_FAULT, 0) != 0)
        fail_msg("%s", l->why);
    l->clock.mono_us = later_us;
    assert_int_equal(write_port_init(&l->port, node_wake, l->node), 0);
    l->port.wake = wake;
    assert_int_equal(node_start(l->node, &l->port, 1), 0);
    for (uint64_t until = now_ms() + DEADLINE_MS; !atomic_load(&l->status.started);)
        assert_true(now_ms() < until);
}

static void write_all(struct life *l)
{
    struct write_batch *b = write_batch_create();
    for (unsigned n = 0; n < WRITES; n++) {
        ask(l, b, n, 0);
        struct write_batch *back = answered(l, DEADLINE_MS);
        assert_ptr_equal(back, b);
        assert_int_equal(back->writes[0].code, 0);
    }
    write_batch_destroy(b);
}

/* --- Taking copies --- */

/* One that has just ended may have its place for a moment yet. */
static void reserve(struct life *l)
{
    for (uint64_t until = now_ms() + DEADLINE_MS; node_backup_reserve(l->node) != 0;)
        assert_true(now_ms() < until);
}

/* Begins one, and its first piece is under way; the end to read from. */
static int begin(struct life *l, bool chunked)
{
    int ends[2], little = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    reserve(l);
    node_backup_start(l->node, ends[1], span_of("head\n"), chunked);
    int here = 0;
    for (uint64_t until = now_ms() + DEADLINE_MS; here < 1000;) {
        assert_int_equal(ioctl(ends[0], FIONREAD, &here), 0);
        assert_true(now_ms() < until);
    }
    return ends[0];
}

/* All that comes, into a file; how much that is. */
static size_t read_all(int fd, const char *path, bool *reset)
{
    static char piece[64 * 1024];
    size_t bytes = 0;
    ssize_t got;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    char head[5];
    assert_int_equal(recv(fd, head, sizeof head, MSG_WAITALL), sizeof head);
    assert_memory_equal(head, "head\n", sizeof head);
    while ((got = read(fd, piece, sizeof piece)) > 0) {
        assert_int_equal(fwrite(piece, 1, (size_t)got, file), got);
        bytes += (size_t)got;
    }
    *reset = got < 0;
    fclose(file);
    close(fd);
    return bytes;
}

static void path_in(const struct place *p, const char *name, char to[100])
{
    snprintf(to, 100, "%s/%s", p->folder, name);
}

/* A life with all its writes, and where a copy of it goes. */
static void start_full(struct life *l, struct place *p, char path[100])
{
    path_in(p, "copy", path);
    start(l, p);
    write_all(l);
}

static void make_copy(struct place *p, char path[100])
{
    struct life l;
    struct restored what;
    bool reset;
    start_full(&l, p, path);
    read_all(begin(&l, false), path, &reset);
    assert_int_equal(node_check_backup(path, &what, l.why, sizeof l.why), 0);
    assert_int_equal(what.records, WRITES);
    assert_int_equal(what.seq, WRITES);
    assert_int_equal(node_stop(l.node), 0);
    close_life(&l);
}

static void two_are_given_at_once_and_a_place_can_be_given_back(void **state)
{
    struct place *p = *state;
    struct life l;
    char path[100];
    bool reset;
    start_full(&l, p, path);
    for (unsigned round = 0; round < 3; round++) {
        int one = begin(&l, false), two = begin(&l, false); /* chunks would be cut anywhere */
        assert_int_equal(node_backup_reserve(l.node), ERR_BUSY);
        size_t bytes = read_all(one, path, &reset);
        assert_true(bytes > (size_t)WRITES * TEXT_BYTES);
        reserve(&l);
        assert_int_equal(node_backup_reserve(l.node), ERR_BUSY);
        node_backup_start(l.node, -1, span_of(""), true);
        assert_int_equal(read_all(two, path, &reset), bytes);
        assert_false(reset);
    }
    reserve(&l);
    node_backup_start(l.node, -1, span_of(""), true);
    assert_int_equal(node_stop(l.node), 0);
    close_life(&l);
}

static void who_takes_nothing_for_30_s_is_cut(void **state)
{
    struct place *p = *state;
    struct life l;
    struct restored what;
    char path[100];
    bool reset;
    start_full(&l, p, path);
    int asleep = begin(&l, true);
    const struct timespec second = {.tv_sec = 1, .tv_nsec = 500 * 1000 * 1000};
    atomic_store(&ahead_us, UINT64_C(25) * 1000 * 1000);
    nanosleep(&second, NULL);
    int two = begin(&l, true);
    assert_int_equal(node_backup_reserve(l.node), ERR_BUSY);
    atomic_store(&ahead_us, UINT64_C(31) * 1000 * 1000);
    reserve(&l);
    node_backup_start(l.node, -1, span_of(""), true);
    size_t bytes = read_all(asleep, path, &reset);
    assert_true(bytes < (size_t)WRITES * TEXT_BYTES);
    assert_int_not_equal(node_check_backup(path, &what, l.why, sizeof l.why), 0);
    assert_true(read_all(two, path, &reset) > (size_t)WRITES * TEXT_BYTES);
    assert_int_equal(node_stop(l.node), 0);
    close_life(&l);
}

static void a_stop_ends_them_within_two_seconds(void **state)
{
    struct place *p = *state;
    struct life l;
    char path[100];
    bool reset;
    start_full(&l, p, path);
    int one = begin(&l, true), two = begin(&l, false);
    uint64_t before_ms = now_ms();
    assert_int_equal(node_stop(l.node), 0);
    assert_in_range(now_ms() - before_ms, 0, 2000);
    assert_int_equal(node_backup_reserve(l.node), ERR_BUSY);
    assert_true(read_all(one, path, &reset) < (size_t)WRITES * TEXT_BYTES);
    assert_true(read_all(two, path, &reset) < (size_t)WRITES * TEXT_BYTES);
    close_life(&l);
}

/* --- Restoring one --- */

static char copy_path[100];

static int restore(struct place *p, enum fault fault, uint64_t nth)
{
    struct disk disk = faulty_disk(fault, nth, p->seen);
    struct restored what = {0};
    int rc = node_restore(&disk, copy_path, p->data, "t", &what, p->seen->why, sizeof p->seen->why);
    return rc == 0 ? what.records != WRITES : 1;
}

/* Records of a life from it; -1: it does not start, and says why. */
static int records_of(struct place *p)
{
    struct life l;
    *p->seen = (struct seen){0};
    int rc = open_life(&l, p, NO_FAULT, 0);
    int found = rc == 0 ? (int)records_in(&l, "a life from a copy") : -1;
    if (rc != 0)
        assert_string_not_equal(l.why, "");
    close_life(&l);
    return found;
}

static bool there(const struct place *p, const char *name)
{
    char path[120];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->data, name);
    return stat(path, &st) == 0;
}

/* After an error nothing is left of it; after a kill there is no folder, or one on which no server
 * starts, and on which it can be done once more. */
static void each_restore(struct place *p, enum fault fault, bool in_empty_folder)
{
    bool hit = true;
    for (uint64_t nth = 1; hit; nth++) {
        run_shell("rm -rf %s %s.restoring", p->data, p->data);
        if (in_empty_folder)
            run_shell("mkdir %s%s", p->data, "");
        int status = in_process(p, restore, fault, nth);
        hit = p->seen->hit;
        if (status == 1 && p->seen->why[0] == '\0')
            fail_msg("failed without a sentence at change %d", (int)nth);
        if (hit ? fault != IO && status == 0 : status != 0)
            fail_msg("fault at change %d: %d %s", (int)nth, status, p->seen->why);
        bool anything = there(p, "lock") || there(p, "restoring") || there(p, "copy.part") ||
                        there(p, "identity.0") || there(p, "identity.1");
        if (fault == FULL_ONCE && hit && anything)
            fail_msg("full at change %d: something is left", (int)nth);
        if (!there(p, "") || (in_empty_folder && !anything))
            continue; /* it was not begun */
        int records = records_of(p);
        if (records != WRITES && records != -1 && fault != FULL_ONCE)
            fail_msg("fault at change %d: %d records", (int)nth, records);
        if (fault != KILL || records != -1)
            continue;
        if (in_process(p, restore, NO_FAULT, 0) != 0 || records_of(p) != WRITES)
            fail_msg("after a kill at change %d, once more: %s", (int)nth, p->seen->why);
    }
}

static void a_restore_is_whole_or_does_not_start_or_was_not_begun(void **state)
{
    struct place *p = *state;
    make_copy(p, copy_path);
    for (unsigned in_empty_folder = 0; in_empty_folder < 2; in_empty_folder++) {
        each_restore(p, FULL_ONCE, in_empty_folder);
        each_restore(p, KILL, in_empty_folder);
        each_restore(p, IO, in_empty_folder);
    }
}

static void the_first_start_after_a_restore_may_end_anywhere(void **state)
{
    struct place *p = *state;
    make_copy(p, copy_path);
    run_shell("rm -rf %s%s", p->data, "");
    assert_int_equal(in_process(p, restore, NO_FAULT, 0), 0);
    const char *template = keep_as_template(p);
    p->first = WRITES;
    each_change(p, template, KILL);
    each_change(p, template, IO);
    each_change(p, template, FULL_ONCE);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        NODE_TEST(two_are_given_at_once_and_a_place_can_be_given_back),
        NODE_TEST(who_takes_nothing_for_30_s_is_cut),
        NODE_TEST(a_stop_ends_them_within_two_seconds),
        NODE_TEST(a_restore_is_whole_or_does_not_start_or_was_not_begun),
        NODE_TEST(the_first_start_after_a_restore_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
