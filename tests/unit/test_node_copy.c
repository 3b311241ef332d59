/* A full copy that comes from a primary, which is this test: a backup that is killed, or whose disk
 * fails or fills, at the first change of a file, the second … asks for the rest in its next life,
 * and ends with the records of the copy. */
#include "node_life.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "repl/peer.h"
#include "store/copy.h"

enum { CHUNK_BYTES = 100 * 1000, ANSWER_MS = 10 * 1000 };

static const char NO_COPY[] = "no copy in time";

/* What the primary has. */
struct source {
    char *at;
    size_t bytes;
    struct peer_copy_head head; /* from the beginning */
    int listener;
    bool breaks;     /* each link after a few chunks */
    unsigned copies; /* begun from the beginning */
    unsigned rests;
};

static void make_source(struct source *s, struct place *p)
{
    char path[100], copy[100], why[256];
    struct store *store;
    struct store_state state;
    struct stat file;
    *s = (struct source){.head = {.cluster = {1}}};
    p->killed = true;
    assert_int_equal(in_process(p, live, NO_FAULT, 0), KILLED);
    p->killed = false;
    snprintf(path, sizeof path, "%s/records.mdb", p->data);
    snprintf(copy, sizeof copy, "%s/copy", p->folder);
    const struct store_options o = {.path = path, .map_bytes = 64 * MIB, .readers_max = 2};
    assert_int_equal(store_open(&store, &o, why, sizeof why), 0);
    int fd = open(copy, O_RDWR | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(store_copy(store, fd), 0);
    store_close(store);
    assert_int_equal(store_copy_check(copy, NULL, &state, why, sizeof why), 0);
    assert_int_equal(store_copy_seal(fd, &s->head.seal), 0);
    assert_int_equal(fstat(fd, &file), 0);
    s->bytes = (size_t)file.st_size;
    s->at = malloc(s->bytes);
    assert_non_null(s->at);
    assert_int_equal(pread(fd, s->at, s->bytes, 0), (ssize_t)s->bytes);
    close(fd);
    s->head.bytes = s->bytes;
    s->head.at = (struct peer_point){state.epoch, state.applied, state.chain};
    run_shell("rm -rf %s %s", p->data, copy);
}

/* --- The primary --- */

static void listen_on(struct source *s, struct place *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof a;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &bytes), 0);
    p->backup = true;
    p->primary_port = ntohs(a.sin_port);
}

static void begin_source(struct source *s, struct place *p)
{
    make_source(s, p);
    listen_on(s, p);
    p->expected_index = s->head.at.index;
}

static void end_source(struct source *s)
{
    close(s->listener);
    free(s->at);
}

/* False: it is gone. */
static bool send_message(int fd, const struct peer_message *m)
{
    struct buf out = {0};
    peer_encode(&out, m);
    assert_false(out.failed);
    size_t sent = 0;
    while (sent < out.bytes) {
        ssize_t n = send(fd, out.at + sent, out.bytes - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    bool all = sent == out.bytes;
    buf_finish(&out);
    return all;
}

static void give(struct source *s, int fd, const struct peer_copy_ask *ask)
{
    struct peer_message m = {.kind = PEER_COPY_HEAD, .epoch = 1, .copy_head = s->head};
    bool same = ask->have.index == s->head.at.index && ask->seal == s->head.seal;
    if (same)
        m.copy_head.offset = ask->offset;
    s->copies += m.copy_head.offset == 0;
    s->rests += m.copy_head.offset != 0;
    uint64_t at = m.copy_head.offset, end = s->bytes;
    if (s->breaks && end - at > 3 * CHUNK_BYTES)
        end = at + 3 * CHUNK_BYTES;
    for (bool goes = send_message(fd, &m); goes && at < end;) {
        uint64_t bytes = end - at < CHUNK_BYTES ? end - at : CHUNK_BYTES;
        m = (struct peer_message){.kind = PEER_COPY_CHUNK, .epoch = 1};
        m.copy_chunk.offset = at;
        m.copy_chunk.bytes = span(s->at + at, bytes);
        goes = send_message(fd, &m);
        at += bytes;
    }
}

static void answer(struct source *s, int fd)
{
    char in[16 * 1024];
    size_t have = 0;
    struct peer_message m;
    long used = 0;
    while (used == 0 && have < sizeof in) {
        ssize_t n = recv(fd, in + have, sizeof in - have, 0);
        if (n <= 0)
            return;
        have += (size_t)n;
        used = peer_decode(span(in, have), &m, NULL);
    }
    struct peer_message no = {.kind = PEER_REFUSE, .epoch = 1, .refuse = {.code = REFUSE_NO_LOG}};
    snprintf(no.refuse.sentence, sizeof no.refuse.sentence, "the log begins later");
    if (used > 0 && m.kind == PEER_HELLO && m.hello.points[0].index < s->head.at.index)
        send_message(fd, &no);
    else if (used > 0 && m.kind == PEER_COPY_ASK)
        give(s, fd, &m.copy_ask);
}

/* --- The backup --- */

/* Until local storage is that of the copy. */
static int follow(struct place *p, enum fault fault, uint64_t nth)
{
    struct life l;
    begin_life(&l, p, fault, nth);
    const struct timespec short_time = {.tv_nsec = 1000 * 1000};
    for (uint64_t until = now_ms() + DEADLINE_MS;
         atomic_load(&l.visible.applied) < p->expected_index; nanosleep(&short_time, NULL)) {
        if (fault == IO && watcher->hit && until > now_ms() + STUCK_MS)
            until = now_ms() + STUCK_MS; /* the disk fails for good */
        if (now_ms() > until)
            fatal(NO_COPY);
    }
    int rc = node_stop(l.node);
    close_life(&l);
    return rc;
}

/* A life, with its primary; its exit code. */
static int live_with(struct source *s, struct place *p, enum fault fault, uint64_t nth)
{
    *p->seen = (struct seen){0};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(s->listener);
        alarm(DEADLINE_MS / 1000 + 20);
        is_life = true;
        _exit(follow(p, fault, nth));
    }
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd listener = {.fd = s->listener, .events = POLLIN};
        if (poll(&listener, 1, 5) != 1)
            continue;
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        answer(s, fd);
        shutdown(fd, SHUT_WR);
        struct pollfd end = {.fd = fd, .events = POLLIN};
        poll(&end, 1, ANSWER_MS); /* it closes when it has what it takes */
        close(fd);
    }
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_copy(struct place *p, const char *when)
{
    static const char *const gone[] = {"copy.part", "copy.0", "copy.1"};
    expect_records(p, WRITES, when);
    for (unsigned i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", p->data, gone[i]);
        if (access(path, F_OK) == 0)
            fail_msg("%s: %s is left", when, gone[i]);
    }
}

/* At every `stride`th change: there are more than a hundred, and each is a life or two. */
static void each_fault(struct place *p, struct source *s, enum fault fault, unsigned stride)
{
    bool hit = true;
    for (uint64_t nth = 1; hit; nth += stride) {
        char when[100];
        snprintf(when, sizeof when, "fault %d at change %u", (int)fault, (unsigned)nth);
        run_shell("rm -rf %s%s", p->data, "");
        int status = live_with(s, p, fault, nth);
        hit = p->seen->hit;
        bool late = strcmp(p->seen->why, NO_COPY) == 0 && fault == FULL_ONCE;
        if (status != 0 && (!hit || late || (status == 1 && p->seen->why[0] == '\0')))
            fail_msg("%s: %d \"%s\"", when, status, p->seen->why);
        if (status != 0 && live_with(s, p, NO_FAULT, 0) != 0)
            fail_msg("%s, in the next life: \"%s\"", when, p->seen->why);
        expect_copy(p, when);
    }
}

static void a_copy_comes_whatever_change_its_backup_is_killed_at(void **state)
{
    struct place *p = *state;
    struct source s;
    begin_source(&s, p);
    each_fault(p, &s, KILL, 5);
    assert_true(s.rests > 0);
    end_source(&s);
}

/* One that has no space for a moment asks again soon, however much of the copy was under way. */
static void a_copy_comes_soon_after_a_moment_without_space(void **state)
{
    struct place *p = *state;
    struct source s;
    begin_source(&s, p);
    each_fault(p, &s, FULL_ONCE, 11);
    end_source(&s);
}

static void a_copy_comes_after_a_disk_that_failed(void **state)
{
    struct place *p = *state;
    struct source s;
    begin_source(&s, p);
    each_fault(p, &s, IO, 11);
    end_source(&s);
}

static void a_copy_comes_over_links_that_break(void **state)
{
    struct place *p = *state;
    struct source s;
    begin_source(&s, p);
    s.breaks = true;
    assert_int_equal(live_with(&s, p, NO_FAULT, 0), 0);
    expect_copy(p, "over many links");
    assert_int_equal(s.copies, 1);
    assert_true(s.rests >= s.bytes / (3 * CHUNK_BYTES) - 1);
    end_source(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(a_copy_comes_over_links_that_break),
        NODE_TEST(a_copy_comes_whatever_change_its_backup_is_killed_at),
        NODE_TEST(a_copy_comes_soon_after_a_moment_without_space),
        NODE_TEST(a_copy_comes_after_a_disk_that_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
