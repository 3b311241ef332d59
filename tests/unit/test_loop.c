/* Tests of the event loop over real sockets: input, output, pausing, waking, who is let in. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>

#include "support/net_server.h"

#define RECEIVED(function) ((struct net_loop_options){.handler.received = (function)})

/* --- Input --- */

static void echo_cut_everywhere(int family, const char *address)
{
    static const char text[] = "first line\nsecond\n\nlast\n";
    struct server s = {0};
    server_start(&s, address, RECEIVED(echo_lines));
    union any_address a = loopback(family, s.port);
    int fd = client_socket(family, SOCK_STREAM);
    assert_int_equal(connect(fd, &a.any, family == AF_INET ? sizeof a.v4 : sizeof a.v6), 0);
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        unsigned long received = s.received;
        client_send(fd, text, cut);
        EVENTUALLY(s.received > received);
        client_send(fd, text + cut, sizeof text - 1 - cut);
        client_hear(fd, text);
    }
    close(fd);
    server_stop(&s);
}

static void bytes_cut_anywhere_come_back_whole(void **state)
{
    (void)state;
    echo_cut_everywhere(AF_INET, "127.0.0.1");
}

static void ipv6_is_served_as_well(void **state)
{
    (void)state;
    if (!ipv6_is_here())
        skip();
    echo_cut_everywhere(AF_INET6, "::1");
}

/* Writes down what it is given; consumes the first byte. */
static size_t nibble(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    buf_add_span(&s->kept, input);
    buf_add_text(&s->kept, end ? "$ " : " ");
    s->noted = net_conn_partial(c);
    if (end && input.bytes == 0)
        net_close(c);
    return input.bytes != 0;
}

static void resume_last(struct server *s)
{
    net_resume(s->conn);
}

static void unconsumed_input_comes_again(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(nibble));
    int fd = client_connect(&s);
    client_say(fd, "abcd");
    EVENTUALLY(s.received == 1);
    client_say(fd, "ef");
    EVENTUALLY(s.received == 2);
    assert_int_equal(s.noted, 1);
    server_do(&s, resume_last);
    EVENTUALLY(s.received == 3);
    shutdown(fd, SHUT_WR);
    EVENTUALLY(s.received == 4);
    turns_of_ticks(&s, 3);
    assert_int_equal(s.received, 4); /* the end is said once, */
    for (unsigned long n = 5; n <= 7; n++) {
        server_do(&s, resume_last); /* and again after a resume */
        EVENTUALLY(s.received == n);
    }
    client_hear_end(fd);
    close(fd);
    server_join(&s);
    buf_add_char(&s.kept, '\0');
    assert_string_equal(s.kept.at, "abcd bcdef cdef def$ ef$ f$ $ ");
    server_destroy(&s);
}

/* Consumes a byte a call, and asks for the next call at once. */
static size_t nibble_on(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    s->wrong += s->noted++ != 0; /* called from inside itself */
    if (input.bytes != 0)
        buf_add_char(net_out(c), input.at[0]);
    if (input.bytes > 1)
        net_resume(c);
    if (end)
        net_close(c);
    s->noted--;
    return input.bytes != 0;
}

static void a_resume_delivers_again_but_never_from_inside(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(nibble_on));
    int fd = client_connect(&s);
    client_say(fd, "abcdefghijklmnop");
    client_hear(fd, "abcdefghijklmnop");
    close(fd);
    server_stop(&s);
}

static size_t refuse_until_told(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    s->noted = input.bytes;
    return s->total == 0 ? 0 : swallow(s, c, input, end);
}

static void with_too_much_unconsumed_a_connection_is_not_read(void **state)
{
    (void)state;
    static char much[4 << 20];
    struct server s = {0};
    struct net_loop_options o = RECEIVED(refuse_until_told);
    o.input_bytes_max = 100 * 1000;
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    ssize_t sent = send(fd, much, sizeof much, MSG_DONTWAIT | MSG_NOSIGNAL);
    assert_true(sent > 200 * 1000);
    EVENTUALLY(s.noted >= o.input_bytes_max);
    assert_true(turns_of_ticks(&s, 5) < 15); /* without spinning */
    assert_true(s.noted < o.input_bytes_max + 64 * 1024);
    s.total = 1;
    server_do(&s, resume_last);
    EVENTUALLY(s.bytes == (unsigned long)sent);
    close(fd);
    server_stop(&s);
}

/* --- Pausing --- */

static size_t pause_once(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    if (s->noted++ != 0)
        return echo(s, c, input, end);
    net_pause(c);
    net_pause(c);
    return 0;
}

static void resume_and_pause_last(struct server *s)
{
    net_resume(s->conn);
    net_pause(s->conn);
}

static void a_paused_connection_is_not_read_until_resumed(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(pause_once));
    int fd = client_connect(&s);
    client_say(fd, "one");
    EVENTUALLY(s.received == 1);
    client_say(fd, "two");
    assert_true(turns_of_ticks(&s, 5) < 15);
    server_do(&s, resume_and_pause_last);
    turns_of_ticks(&s, 2);
    assert_int_equal(s.received, 1);
    server_do(&s, resume_last);
    client_hear(fd, "onetwo");
    client_say(fd, "three");
    client_hear(fd, "three");
    close(fd);
    server_stop(&s);
}

static void the_end_waits_while_paused_without_spinning(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(pause_once));
    int fd = client_connect(&s);
    client_say(fd, "one");
    EVENTUALLY(s.received == 1);
    shutdown(fd, SHUT_WR);
    assert_true(turns_of_ticks(&s, 5) < 15);
    assert_int_equal(s.received, 1);
    server_do(&s, resume_last);
    client_hear(fd, "one");
    client_hear_end(fd);
    assert_int_equal(s.ends, 1);
    close(fd);
    server_stop(&s);
}

static void a_reset_while_paused_is_noticed(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(pause_once));
    int fd = client_connect(&s);
    client_say(fd, "one");
    EVENTUALLY(s.received == 1);
    client_say(fd, "two");
    turns_of_ticks(&s, 2);
    client_reset(fd);
    EVENTUALLY(s.closed == 1);
    assert_true(turns_of_ticks(&s, 5) < 15);
    server_stop(&s);
}

/* --- Output --- */

static void greet(void *context, struct net_conn *c)
{
    (void)context;
    buf_add_text(net_out(c), "hello");
}

static void speak(struct server *s)
{
    buf_add_text(net_out(s->conn), "woken");
}

static void say_nothing(struct server *s)
{
    net_out(s->conn);
}

static void speak_in_tick(void *context, uint64_t mono_us)
{
    struct server *s = context;
    (void)mono_us;
    if (s->noted == 1)
        buf_add_text(net_out(s->conn), "tick");
    s->noted += s->noted == 1;
}

static void speak_at_turn_end(void *context)
{
    struct server *s = context;
    if (s->noted == 3)
        buf_add_text(net_out(s->conn), "turn end");
    s->noted += s->noted == 3;
}

static void output_made_anywhere_is_sent(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(echo);
    o.handler.accepted = greet;
    o.handler.tick = speak_in_tick;
    o.handler.turn_end = speak_at_turn_end;
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    client_hear(fd, "hello");
    server_do(&s, speak);
    client_hear(fd, "woken");
    s.noted = 1;
    client_hear(fd, "tick");
    s.noted = 3;
    client_hear(fd, "turn end");
    EVENTUALLY(s.drained == 4); /* once for each */
    server_do(&s, say_nothing);
    turns_of_ticks(&s, 3);
    assert_int_equal(s.drained, 4);
    close(fd);
    server_stop(&s);
}

enum { STREAM_BYTES = 24 << 20, FILL_BYTES = 256 << 10 };

static void fill(void *context, struct net_conn *c)
{
    struct server *s = context;
    s->wrong += net_unsent(c) != 0;
    if (s->total == STREAM_BYTES)
        return;
    add_stream(net_out(c), s->total, FILL_BYTES);
    s->total += FILL_BYTES;
    s->noted = net_unsent(c) > s->noted ? net_unsent(c) : s->noted;
}

static size_t begin_stream(void *context, struct net_conn *c, struct span input, bool end)
{
    if (!end)
        fill(context, c);
    return swallow(context, c, input, end);
}

static void who_does_not_read_holds_back_the_stream_and_gets_all_of_it_later(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(begin_stream);
    o.handler.drained = fill;
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.total != 0);
    for (unsigned long before = 0; before != s.total;) {
        before = s.total;
        assert_true(turns_of_ticks(&s, 10) < 500);
    }
    assert_true(s.total < STREAM_BYTES);
    assert_true(turns_of_ticks(&s, 5) < 15); /* without spinning */
    client_hear_stream(fd, STREAM_BYTES);
    assert_true(s.noted <= FILL_BYTES);
    assert_true(turns_of_ticks(&s, 5) < 15); /* nor after it */
    close(fd);
    server_stop(&s);
}

static size_t answer_a_stream(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    if (!end)
        add_stream(net_out(c), 0, STREAM_BYTES);
    s->noted = net_unsent(c);
    return swallow(s, c, input, end);
}

static void go_on_with_the_stream(struct server *s)
{
    s->noted = net_unsent(s->conn);
    add_stream(net_out(s->conn), STREAM_BYTES, FILL_BYTES);
    s->wrong += net_unsent(s->conn) != s->noted + FILL_BYTES;
}

static void output_added_to_unsent_output_follows_it(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_a_stream));
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.received == 1);
    assert_int_equal(s.noted, STREAM_BYTES);
    server_do(&s, go_on_with_the_stream);
    assert_true(s.noted > 0 && s.noted < STREAM_BYTES); /* some of it was sent */
    client_hear_stream(fd, STREAM_BYTES + FILL_BYTES);
    EVENTUALLY(s.drained == 1);
    close(fd);
    server_stop(&s);
}

static size_t answer_without_memory(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)end;
    net_out(c)->bytes_max = 8;
    buf_add_text(net_out(c), "answer, ");
    buf_add_text(net_out(c), "and a hole");
    return input.bytes;
}

static void an_answer_with_a_hole_is_not_sent(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_without_memory));
    int fd = client_connect(&s);
    client_say(fd, "go");
    client_hear_reset(fd);
    close(fd);
    EVENTUALLY(s.closed == 1);
    server_stop(&s);
}

static void a_stream_flows_to_who_reads(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(begin_stream);
    o.handler.drained = fill;
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    client_say(fd, "go");
    client_hear_stream(fd, STREAM_BYTES);
    EVENTUALLY(s.drained == STREAM_BYTES / FILL_BYTES);
    turns_of_ticks(&s, 3);
    assert_int_equal(s.drained, STREAM_BYTES / FILL_BYTES);
    close(fd);
    server_stop(&s);
}

/* --- Turns --- */

/* Connections that begin with 'p' are answered; all must be called once a turn at most. */
static size_t take_turns(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    unsigned long *turn = net_conn_user(c);
    s->wrong += *turn == s->turns + 1 || input.bytes > 64 * 1024;
    *turn = s->turns + 1;
    return (input.bytes != 0 && input.at[0] == 'p' ? echo : swallow)(s, c, input, end);
}

static void *flood(void *context)
{
    static const char much[256 << 10];
    struct server *s = context;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = client_try(s, fd) == 0;
    while (ok && s->noted == 0)
        ok = send(fd, much, sizeof much, MSG_NOSIGNAL) > 0;
    s->wrong += !ok;
    close(fd);
    return NULL;
}

static void a_flood_does_not_starve_others(void **state)
{
    (void)state;
    pthread_t thread;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(take_turns);
    o.user_bytes = sizeof(unsigned long);
    server_start(&s, "127.0.0.1", o);
    assert_int_equal(pthread_create(&thread, NULL, flood, &s), 0);
    int fd = client_connect(&s);
    EVENTUALLY(s.bytes > 1 << 20);
    for (int i = 0; i < 100; i++) {
        client_say(fd, "ping");
        client_hear(fd, "ping");
    }
    s.noted = 1;
    pthread_join(thread, NULL);
    close(fd);
    server_stop(&s);
}

/* Does something at the end of a turn that must begin the next one without sleep. */
static void ask_at_turn_end(void *context)
{
    struct server *s = context;
    unsigned long what = s->noted;
    if (what == 1)
        net_resume(s->conn);
    if (what == 2)
        buf_add_text(net_out(s->conn), "drained");
    if (what == 2 || what == 3)
        net_loop_wake(s->loop);
    if (what == 4)
        net_abort(s->conn);
    s->total = s->woken;
    s->noted = 0;
}

static void nothing(struct server *s)
{
    (void)s;
}

static void drained_in_a_new_turn(void *context, struct net_conn *c)
{
    struct server *s = context;
    (void)c;
    s->wrong += s->woken == s->total; /* a turn's wake comes first */
}

static size_t leave_it(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)c, (void)input, (void)end;
    return 0;
}

static void what_is_asked_at_the_end_of_a_turn_begins_the_next_one(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(leave_it);
    o.handler.turn_end = ask_at_turn_end;
    o.handler.drained = drained_in_a_new_turn;
    o.tick_ms = 3600 * 1000; /* who sleeps here sleeps too long */
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    client_say(fd, "xyz");
    EVENTUALLY(s.received == 1);
    s.noted = 1;
    server_do(&s, nothing);
    EVENTUALLY(s.received == 2);
    s.noted = 2;
    server_do(&s, nothing);
    EVENTUALLY(s.drained == 1);
    client_hear(fd, "drained");
    unsigned long woken = s.woken;
    s.noted = 3;
    server_do(&s, nothing);
    EVENTUALLY(s.woken == woken + 2);
    s.noted = 4;
    server_do(&s, nothing);
    EVENTUALLY(s.closed == 1);
    assert_int_equal(s.ticks, 0);
    close(fd);
    server_stop(&s);
}

static void note_activity(struct server *s)
{
    s->noted = net_conn_active_us(s->conn);
}

static unsigned long activity(struct server *s)
{
    server_do(s, note_activity);
    return s->noted;
}

static void a_connection_is_active_when_its_peer_sends_or_takes(void **state)
{
    (void)state;
    const uint64_t hour_us = UINT64_C(3600) * 1000000;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(swallow));
    int fd = client_connect(&s);
    EVENTUALLY(s.accepted == 1);
    unsigned long first = activity(&s);
    s.ahead_us += hour_us;
    turns_of_ticks(&s, 2);
    assert_int_equal(activity(&s), first);
    client_say(fd, "hello");
    EVENTUALLY(s.received == 1);
    unsigned long second = activity(&s);
    assert_true(second >= first + hour_us);
    s.ahead_us += hour_us;
    server_do(&s, speak);
    client_hear(fd, "woken");
    assert_true(activity(&s) >= second + hour_us);
    close(fd);
    server_stop(&s);
}

enum { WAKERS = 4, WAKES = 2000 };

static void *wake_often(void *context)
{
    struct server *s = context;
    for (int i = 0; i < WAKES; i++) {
        s->total++;
        net_loop_wake(s->loop);
        if (i % 16 == 0)
            poll(NULL, 0, 1); /* so that the loop goes to sleep in between */
    }
    return NULL;
}

static void note_total(void *context)
{
    struct server *s = context;
    s->noted = s->total;
}

static void no_wake_is_lost(void **state)
{
    (void)state;
    pthread_t threads[WAKERS];
    struct server s = {0};
    struct net_loop_options o = RECEIVED(echo);
    o.handler.woken = note_total;
    o.tick_ms = 3600 * 1000;
    server_start(&s, "127.0.0.1", o);
    for (int i = 0; i < WAKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wake_often, &s), 0);
    for (int i = 0; i < WAKERS; i++)
        pthread_join(threads[i], NULL);
    EVENTUALLY(s.noted == WAKERS * WAKES);
    assert_int_equal(s.ticks, 0);
    assert_true(s.woken <= WAKERS * WAKES);
    assert_true(s.turns <= s.woken + 2 * WAKERS * WAKES / 16); /* and none makes it spin */
    server_stop(&s);
}

/* --- Who is let in --- */

static void at_the_limit_of_connections_the_next_one_waits(void **state)
{
    (void)state;
    int fds[5];
    struct server s = {0};
    struct net_loop_options o = RECEIVED(echo);
    o.connections_max = 3;
    server_start(&s, "127.0.0.1", o);
    for (int i = 0; i < 5; i++) {
        fds[i] = client_connect(&s);
        client_say(fds[i], "hello");
    }
    assert_true(turns_of_ticks(&s, 5) < 30);
    assert_int_equal(s.accepted, 3);
    for (int i = 0; i < 5; i++) {
        client_hear(fds[i], "hello");
        close(fds[i]);
    }
    EVENTUALLY(s.closed == 5);
    server_stop(&s);
}

static void without_descriptors_accepting_waits_and_does_not_spin(void **state)
{
    (void)state;
    int fds[4];
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(echo));
    for (int i = 0; i < 4; i++)
        fds[i] = client_socket(AF_INET, SOCK_STREAM);
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest);
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)lowest, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(client_try(&s, fds[i]), 0);
    unsigned long turns = turns_of_ticks(&s, 10);
    unsigned long accepted = s.accepted;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(accepted, 0);
    assert_true(turns < 40);
    for (int i = 0; i < 4; i++) {
        client_say(fds[i], "hello");
        client_hear(fds[i], "hello");
        close(fds[i]);
    }
    server_stop(&s);
}

static void stop_accepting(struct server *s)
{
    net_stop_accepting(s->loop);
    net_stop_accepting(s->loop);
}

static void once_accepting_is_stopped_only_the_old_connections_go_on(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(echo));
    int old = client_connect(&s);
    client_say(old, "hello");
    client_hear(old, "hello");
    server_do(&s, stop_accepting);
    unsigned long turns = s.turns;
    EVENTUALLY(s.turns > turns);
    int new = client_socket(AF_INET, SOCK_STREAM);
    assert_int_equal(client_try(&s, new), -1);
    assert_int_equal(errno, ECONNREFUSED);
    client_say(old, "still there?");
    client_hear(old, "still there?");
    close(old);
    close(new);
    server_stop(&s);
}

enum { EARLY = 150 }; /* more than one turn accepts */

struct early {
    struct server server;
    int fds[EARLY];
};

/* Connected, and not accepted, for the loop is busy here. */
static void connect_and_stop_accepting(struct server *s)
{
    struct early *e = (struct early *)s;
    for (int i = 0; i < EARLY; i++)
        e->fds[i] = client_connect(s);
    net_stop_accepting(s->loop);
}

static void who_has_connected_before_accepting_is_stopped_is_served(void **state)
{
    (void)state;
    struct early e = {0};
    struct net_loop_options o = RECEIVED(echo);
    o.connections_max = EARLY;
    server_start(&e.server, "127.0.0.1", o);
    server_do(&e.server, connect_and_stop_accepting);
    for (int i = 0; i < EARLY; i++) {
        client_say(e.fds[i], "hello");
        client_hear(e.fds[i], "hello");
        close(e.fds[i]);
    }
    server_stop(&e.server);
}

enum { VISITORS = 4, VISITS = 500 };

/* Comes and goes in each of the ways in which clients do. */
static void *visit(void *context)
{
    struct server *s = context;
    char heard[5];
    for (int i = 0; i < VISITS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool ok = client_try(s, fd) == 0 && send(fd, "hello", 5, MSG_NOSIGNAL) == 5;
        if (i % 4 < 2)
            ok = ok && recv(fd, heard, 5, MSG_WAITALL) == 5 && memcmp(heard, "hello", 5) == 0;
        if (i % 4 == 1)
            ok = ok && shutdown(fd, SHUT_WR) == 0 && recv(fd, heard, 5, 0) == 0;
        if (i % 4 == 2)
            client_reset(fd);
        else
            close(fd);
        s->wrong += !ok;
    }
    return NULL;
}

static void two_thousand_connections_come_and_go(void **state)
{
    (void)state;
    pthread_t threads[VISITORS];
    struct server s = {0};
    struct net_loop_options o = RECEIVED(echo);
    o.connections_max = 50;
    server_start(&s, "127.0.0.1", o);
    for (int i = 0; i < VISITORS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &s), 0);
    for (int i = 0; i < VISITORS; i++)
        pthread_join(threads[i], NULL);
    EVENTUALLY(s.closed == VISITORS * VISITS);
    server_join(&s);
    assert_int_equal(net_conn_count(s.loop), 0);
    server_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_cut_anywhere_come_back_whole),
        cmocka_unit_test(ipv6_is_served_as_well),
        cmocka_unit_test(unconsumed_input_comes_again),
        cmocka_unit_test(a_resume_delivers_again_but_never_from_inside),
        cmocka_unit_test(with_too_much_unconsumed_a_connection_is_not_read),
        cmocka_unit_test(a_paused_connection_is_not_read_until_resumed),
        cmocka_unit_test(the_end_waits_while_paused_without_spinning),
        cmocka_unit_test(a_reset_while_paused_is_noticed),
        cmocka_unit_test(output_made_anywhere_is_sent),
        cmocka_unit_test(who_does_not_read_holds_back_the_stream_and_gets_all_of_it_later),
        cmocka_unit_test(a_stream_flows_to_who_reads),
        cmocka_unit_test(output_added_to_unsent_output_follows_it),
        cmocka_unit_test(an_answer_with_a_hole_is_not_sent),
        cmocka_unit_test(a_flood_does_not_starve_others),
        cmocka_unit_test(what_is_asked_at_the_end_of_a_turn_begins_the_next_one),
        cmocka_unit_test(a_connection_is_active_when_its_peer_sends_or_takes),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(at_the_limit_of_connections_the_next_one_waits),
        cmocka_unit_test(without_descriptors_accepting_waits_and_does_not_spin),
        cmocka_unit_test(once_accepting_is_stopped_only_the_old_connections_go_on),
        cmocka_unit_test(who_has_connected_before_accepting_is_stopped_is_served),
        cmocka_unit_test(two_thousand_connections_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
