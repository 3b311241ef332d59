/* Tests of what a loop bears from peers that take nothing, are silent, or are gone. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <netinet/tcp.h>

#include "net/engine.h"
#include "support/net_server.h"

enum { MUCH_BYTES = 24 << 20, STALL_MS = 10 * 1000 };

static size_t answer_much(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)end;
    add_stream(net_out(c), 0, MUCH_BYTES);
    return input.bytes;
}

static void start(struct server *s, size_t output_bytes_max)
{
    server_start(s, "127.0.0.1",
                 (struct net_loop_options){.handler.received = answer_much,
                                           .stall_ms = STALL_MS,
                                           .output_bytes_max = output_bytes_max});
}

static void pass_ms(struct server *s, unsigned ms)
{
    s->ahead_us += ms * UINT64_C(1000);
    turns_of_ticks(s, 3);
}

static void take(int fd, size_t bytes)
{
    char taken[4096];
    for (size_t got = 0; got < bytes;) {
        ssize_t n = recv(fd, taken, bytes - got < sizeof taken ? bytes - got : sizeof taken, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
}

static void ask_kept(struct server *s)
{
    s->noted = s->loop->kept_output;
    s->total = s->loop->kept_input;
}

static unsigned long kept_output(struct server *s)
{
    server_do(s, ask_kept);
    return s->noted;
}

static void who_takes_nothing_is_cut_off_and_who_takes_enough_is_not(void **state)
{
    (void)state;
    struct server s = {0};
    start(&s, 0);
    int idle = client_connect(&s), slow = client_connect(&s), good = client_connect(&s);
    EVENTUALLY(s.accepted == 3);
    client_say(slow, "go");
    client_say(good, "go");
    EVENTUALLY(s.received == 2);
    for (int i = 0; i < 4; i++) {
        take(good, 4 << 20); /* more than the socket's buffers hold, so that the loop notices */
        pass_ms(&s, STALL_MS * 9 / 10);
    }
    EVENTUALLY(s.closed == 1); /* the slow one, and not who waits for nothing */
    take(good, 1 << 20);
    client_say(idle, "go");
    EVENTUALLY(s.received == 3);
    close(idle);
    close(slow);
    close(good);
    server_stop(&s);
}

static void who_takes_a_trickle_is_cut_off(void **state)
{
    (void)state;
    struct server s = {0};
    start(&s, 0);
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.received == 1);
    for (int i = 0; i < 20 && s.closed == 0; i++) {
        take(fd, 1000);
        pass_ms(&s, STALL_MS / 10);
    }
    EVENTUALLY(s.closed == 1);
    close(fd);
    server_stop(&s);
}

static void without_a_limit_an_open_one_may_take_its_time(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", (struct net_loop_options){.handler.received = answer_much});
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.received == 1);
    pass_ms(&s, 3600 * 1000);
    assert_int_equal(s.closed, 0);
    close(fd);
    server_stop(&s);
}

static void output_that_waits_is_counted_and_shortens_the_patience(void **state)
{
    (void)state;
    struct server s = {0};
    start(&s, 2 * (size_t)MUCH_BYTES);
    int first = client_connect(&s);
    client_say(first, "go");
    EVENTUALLY(s.received == 1);
    assert_true(kept_output(&s) >= MUCH_BYTES / 2 && kept_output(&s) < 2 * MUCH_BYTES);
    pass_ms(&s, STALL_MS / 5);
    assert_int_equal(s.closed, 0);
    int more[2] = {client_connect(&s), client_connect(&s)};
    client_say(more[0], "go");
    client_say(more[1], "go");
    EVENTUALLY(s.received == 3);
    pass_ms(&s, STALL_MS / 5); /* now it is too much, and two seconds are too long */
    EVENTUALLY(s.closed >= 1);
    EVENTUALLY(kept_output(&s) < 2 * (unsigned long)MUCH_BYTES);
    close(first);
    close(more[0]);
    close(more[1]);
    EVENTUALLY(s.closed == 3);
    assert_int_equal(kept_output(&s), 0);
    server_stop(&s);
}

static size_t leave_it(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)c, (void)input, (void)end;
    return 0;
}

static void input_that_is_kept_is_counted(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", (struct net_loop_options){.handler.received = leave_it});
    int fd = client_connect(&s);
    client_say(fd, "half a request");
    EVENTUALLY(s.received == 1);
    kept_output(&s);
    assert_true(s.total >= strlen("half a request"));
    client_reset(fd);
    EVENTUALLY(s.closed == 1);
    kept_output(&s);
    assert_int_equal(s.total, 0);
    server_stop(&s);
}

static size_t close_at_end(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context;
    if (end)
        net_close(c);
    return input.bytes;
}

static void connect_many(struct server *s, int *fds, int count)
{
    for (int i = 0; i < count; i++)
        fds[i] = client_connect(s);
}

/* Else those in one loop's backlog could wait for ever, while those of another take each place. */
static void of_loops_that_share_a_limit_each_has_places_of_its_own(void **state)
{
    (void)state;
    enum { MAX = 8, OWN = 2, SHARED = MAX - 2 * OWN };
    atomic_size_t taken = 0;
    const struct net_loop_options o = {.handler.received = close_at_end,
                                       .connections_max = MAX,
                                       .connections_own = OWN,
                                       .connections = &taken,
                                       .sharers = 2};
    struct server a = {0}, b = {0};
    int of_a[MAX], of_b[OWN + 1];
    server_start(&a, "127.0.0.1", o);
    server_start(&b, "127.0.0.1", o);
    connect_many(&a, of_a, MAX);
    EVENTUALLY(a.accepted == OWN + SHARED);
    connect_many(&b, of_b, OWN + 1);
    EVENTUALLY(b.accepted == OWN);
    turns_of_ticks(&a, 3);
    turns_of_ticks(&b, 3);
    assert_int_equal(a.accepted, OWN + SHARED);
    assert_int_equal(b.accepted, OWN);
    close(of_b[0]);
    EVENTUALLY(b.accepted == OWN + 1);
    close(of_a[0]);
    EVENTUALLY(a.accepted == OWN + SHARED + 1);
    server_stop(&a);
    server_stop(&b);
    assert_int_equal(taken, 0);
    for (int i = 1; i < MAX; i++)
        close(of_a[i]);
    for (int i = 1; i < OWN + 1; i++)
        close(of_b[i]);
}

static void count_look(void *context, struct net_conn *c)
{
    unsigned *looks = net_conn_user(c);
    struct server *s = context;
    s->noted += ++*looks == 1; /* another one has had its look */
}

static void every_connection_is_looked_at_in_a_round(void **state)
{
    (void)state;
    enum { COUNT = 90 };
    int fds[COUNT];
    struct server s = {0};
    server_start(&s, "127.0.0.1",
                 (struct net_loop_options){.handler = {.received = leave_it, .look = count_look},
                                           .user_bytes = sizeof(unsigned)});
    for (size_t i = 0; i < COUNT; i++)
        fds[i] = client_connect(&s);
    EVENTUALLY(s.accepted == COUNT);
    unsigned long looks = s.looks, ticks = s.ticks;
    EVENTUALLY(s.noted == COUNT);
    assert_true(s.looks - looks <= 2 * (s.ticks - ticks + 1)); /* and in no tick at all of them */
    for (size_t i = 0; i < COUNT; i++)
        close(fds[i]);
    server_stop(&s);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

static void read_options(struct server *s)
{
    int fd = s->conn->source.fd;
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 20);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 120 * 1000);
    s->noted = (unsigned long)net_release(s->conn, &s->kept);
}

static void accepted_connections_are_kept_alive_until_they_are_released(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1",
                 (struct net_loop_options){.handler.received = leave_it, .keep_alive_s = 60});
    int fd = client_connect(&s);
    EVENTUALLY(s.accepted == 1);
    server_do(&s, read_options);
    assert_int_equal(option((int)s.noted, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(option((int)s.noted, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    close((int)s.noted);
    close(fd);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_nothing_is_cut_off_and_who_takes_enough_is_not),
        cmocka_unit_test(who_takes_a_trickle_is_cut_off),
        cmocka_unit_test(without_a_limit_an_open_one_may_take_its_time),
        cmocka_unit_test(output_that_waits_is_counted_and_shortens_the_patience),
        cmocka_unit_test(input_that_is_kept_is_counted),
        cmocka_unit_test(of_loops_that_share_a_limit_each_has_places_of_its_own),
        cmocka_unit_test(every_connection_is_looked_at_in_a_round),
        cmocka_unit_test(accepted_connections_are_kept_alive_until_they_are_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
