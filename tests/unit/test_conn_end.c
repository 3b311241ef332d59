/* Tests of how connections end: closed, lingering, aborted, held, released, destroyed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>

#include "base/limits.h"
#include "support/net_server.h"

#define RECEIVED(function) ((struct net_loop_options){.handler.received = (function)})

enum { MUCH_BYTES = 24 << 20 };

/* --- Closing --- */

static size_t answer_much_and_close(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)end;
    struct buf *out = net_out(c);
    add_stream(out, 0, MUCH_BYTES);
    net_close(c);
    net_linger(c);                    /* changes nothing any more */
    buf_add_text(net_out(c), "late"); /* nor does this */
    return input.bytes / 2;
}

static void what_was_handed_over_is_sent_before_closing(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_much_and_close));
    int fd = client_connect(&s);
    client_say(fd, "go");
    client_hear_stream(fd, MUCH_BYTES);
    client_hear_end(fd);
    EVENTUALLY(s.closed == 1);
    assert_int_equal(s.drained, 0);
    assert_int_equal(s.received, 1);
    close(fd);
    server_stop(&s);
}

static void a_closing_connection_whose_peer_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_much_and_close));
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.received == 1);
    turns_of_ticks(&s, 5);
    client_say(fd, "unwanted");
    assert_true(turns_of_ticks(&s, 5) < 30); /* without spinning */
    s.ahead_us += 25 * UINT64_C(1000000);
    turns_of_ticks(&s, 3);
    assert_int_equal(s.closed, 0);
    s.ahead_us += 6 * UINT64_C(1000000);
    EVENTUALLY(s.closed == 1);
    close(fd);
    server_stop(&s);
}

static size_t answer_later(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)c, (void)end;
    return input.bytes;
}

static void answer_and_close(struct server *s)
{
    buf_add_text(net_out(s->conn), "answer");
    net_close(s->conn);
}

static void a_half_closed_client_gets_its_answer(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_later));
    int fd = client_connect(&s);
    client_say(fd, "question");
    shutdown(fd, SHUT_WR);
    EVENTUALLY(s.ends == 1);
    assert_true(turns_of_ticks(&s, 5) < 15); /* without spinning */
    assert_int_equal(s.ends, 1);
    server_do(&s, answer_and_close);
    client_hear(fd, "answer");
    client_hear_end(fd);
    close(fd);
    server_stop(&s);
}

static void a_reset_after_the_end_is_noticed(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_later));
    int fd = client_connect(&s);
    shutdown(fd, SHUT_WR);
    EVENTUALLY(s.ends == 1);
    client_reset(fd);
    EVENTUALLY(s.closed == 1);
    server_stop(&s);
}

static void a_reset_under_unsent_output_is_noticed(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_much_and_close));
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.received == 1);
    client_reset(fd);
    EVENTUALLY(s.closed == 1);
    server_stop(&s);
}

static void close_it(void *context, struct net_conn *c)
{
    struct server *s = context;
    s->noted++;
    net_close(c);
}

static void close_each(struct server *s)
{
    net_conn_each(s->loop, close_it, s);
    net_conn_each(s->loop, close_it, s); /* those closing are passed over */
}

static void each_open_connection_can_be_closed(void **state)
{
    (void)state;
    int fds[3];
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(echo));
    for (size_t i = 0; i < 3; i++) {
        fds[i] = client_connect(&s);
        client_say(fds[i], "hello");
        client_hear(fds[i], "hello");
    }
    server_do(&s, close_each);
    assert_int_equal(s.noted, 3);
    for (size_t i = 0; i < 3; i++) {
        client_hear_end(fds[i]);
        close(fds[i]);
    }
    server_stop(&s);
}

/* --- Lingering --- */

static size_t refuse_and_pause(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)input, (void)end;
    net_pause(c);
    return 1;
}

static size_t refuse_early(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)input, (void)end;
    net_pause(c); /* does not keep what comes from being thrown away */
    buf_add_text(net_out(c), "too large");
    net_linger(c);
    return 0;
}

static void an_early_answer_is_read_by_who_still_sends(void **state)
{
    (void)state;
    static const char much[4 << 20];
    struct server s = {0};
    struct net_loop_options o = RECEIVED(refuse_early);
    o.tick_ms = 3600 * 1000; /* however slow this machine is, the time is not over */
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    client_send(fd, much, sizeof much);
    client_hear(fd, "too large");
    client_hear_end(fd);
    assert_int_equal(s.closed, 0);
    close(fd);
    EVENTUALLY(s.closed == 1);
    server_stop(&s);
}

static void refuse_late(struct server *s)
{
    refuse_early(s, s->conn, span("", 0), false);
}

static void a_paused_connection_that_lingers_is_read_again(void **state)
{
    (void)state;
    static const char much[4 << 20];
    struct server s = {0};
    const int small = 1 << 16; /* so that who is not read cannot send all */
    server_start(&s, "127.0.0.1", RECEIVED(refuse_and_pause));
    int fd = client_connect(&s);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    client_say(fd, "much");
    EVENTUALLY(s.received == 1);
    client_say(fd, "more");
    turns_of_ticks(&s, 2);
    server_do(&s, refuse_late);
    client_send(fd, much, sizeof much);
    client_hear(fd, "too large");
    client_hear_end(fd);
    close(fd);
    server_stop(&s);
}

static size_t answer_much_and_linger(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context, (void)end;
    add_stream(net_out(c), 0, MUCH_BYTES);
    net_linger(c);
    return input.bytes;
}

static void lingering_is_timed_from_when_all_is_sent(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_much_and_linger));
    int fd = client_connect(&s);
    client_say(fd, "go");
    EVENTUALLY(s.received == 1);
    s.ahead_us += 2 * LINGER_MS * UINT64_C(1000);
    turns_of_ticks(&s, 3);
    client_hear_stream(fd, MUCH_BYTES);
    client_hear_end(fd);
    turns_of_ticks(&s, 3);
    assert_int_equal(s.closed, 0);
    s.ahead_us += LINGER_MS * UINT64_C(1000);
    EVENTUALLY(s.closed == 1);
    close(fd);
    server_stop(&s);
}

static void lingering_ends_after_its_time(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(refuse_early));
    int fd = client_connect(&s);
    client_say(fd, "much");
    client_hear(fd, "too large");
    client_hear_end(fd);
    turns_of_ticks(&s, 5);
    assert_int_equal(s.closed, 0);
    s.ahead_us += LINGER_MS * UINT64_C(1000);
    EVENTUALLY(s.closed == 1);
    close(fd);
    server_stop(&s);
}

static void lingering_ends_after_so_many_bytes(void **state)
{
    (void)state;
    static const char much[1 << 16];
    size_t sent = 0;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(refuse_early);
    o.tick_ms = 3600 * 1000; /* its time is not over */
    server_start(&s, "127.0.0.1", o);
    int fd = client_connect(&s);
    for (ssize_t n; (n = send(fd, much, sizeof much, MSG_NOSIGNAL)) > 0;)
        sent += (size_t)n;
    assert_true(errno == ECONNRESET || errno == EPIPE);
    assert_true(sent >= LINGER_BYTES_MAX);
    EVENTUALLY(s.closed == 1);
    close(fd);
    server_stop(&s);
}

static void who_has_ended_is_not_waited_for(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(refuse_early));
    int fd = client_connect(&s);
    shutdown(fd, SHUT_WR);
    client_hear(fd, "too large");
    client_hear_end(fd);
    EVENTUALLY(s.closed == 1);
    close(fd);
    server_stop(&s);
}

/* --- Aborting --- */

static size_t answer_and_abort(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    struct buf *out = net_out(c);
    (void)end;
    buf_add_text(out, "lost");
    net_abort(c);
    net_abort(c);
    net_close(c);
    net_resume(c);
    buf_add_span(out, input); /* the pointer is good until we return */
    s->wrong += s->closed != 0 || net_is_closed(c) || net_unsent(c) != 0;
    return 0;
}

static void abort_last(struct server *s)
{
    net_abort(s->conn);
}

static void an_abort_is_a_reset_and_loses_output(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(answer_and_abort));
    int fd = client_connect(&s);
    client_say(fd, "hello");
    client_hear_reset(fd);
    close(fd);
    EVENTUALLY(s.closed == 1);
    fd = client_connect(&s);
    EVENTUALLY(s.accepted == 2);
    server_do(&s, abort_last);
    client_hear_reset(fd);
    close(fd);
    EVENTUALLY(s.closed == 2);
    server_stop(&s);
}

/* The first two connections abort each other; whoever comes later is left alone. */
static void mark(void *context, struct net_conn *c)
{
    struct server *s = context;
    *(bool *)net_conn_user(c) = s->accepted < 2;
}

static void abort_other(void *context, struct net_conn *c)
{
    if (c != context && *(bool *)net_conn_user(c))
        net_abort(c);
}

static size_t abort_others(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    net_conn_each(s->loop, abort_other, c);
    return echo(s, c, input, end);
}

/* Keeps the loop busy until told, so that what happens meanwhile is all found in one turn. */
static void hang(struct server *s)
{
    s->total = 1;
    for (int waited_ms = 0; waited_ms < DEADLINE_MS && s->noted == 0; waited_ms++)
        poll(NULL, 0, 1);
}

static void an_event_for_what_was_aborted_in_the_same_turn_is_ignored(void **state)
{
    (void)state;
    char heard[4];
    struct server s = {0};
    struct net_loop_options o = RECEIVED(abort_others);
    o.handler.accepted = mark;
    o.user_bytes = sizeof(bool);
    server_start(&s, "127.0.0.1", o);
    int one = client_connect(&s), two = client_connect(&s);
    EVENTUALLY(s.accepted == 2);
    server_post(&s, hang);
    EVENTUALLY(s.total == 1);
    client_say(one, "one");
    client_say(two, "two");
    int late = client_connect(&s);
    client_say(late, "late");
    s.noted = 1;
    server_wait(&s);
    client_hear(late, "late");
    ssize_t first = recv(one, heard, sizeof heard, 0), second = recv(two, heard, sizeof heard, 0);
    assert_int_equal(first + second, 3 - 1); /* one answer, one reset */
    close(one);
    close(two);
    close(late);
    server_stop(&s);
}

/* --- Holding --- */

static void hold_twice(void *context, struct net_conn *c)
{
    struct server *s = context;
    (void)s;
    *(uint32_t *)net_conn_user(c) = 0x600df00d;
    net_hold(c);
    net_hold(c);
}

static void look_at_what_is_held(struct server *s)
{
    struct net_conn *c = s->conn;
    s->wrong += !net_is_closed(c) || *(uint32_t *)net_conn_user(c) != 0x600df00d;
    buf_add_text(net_out(c), "leads nowhere");
    s->wrong += net_unsent(c) != 0;
    net_pause(c);
    net_resume(c);
    net_close(c);
    net_abort(c);
    net_unhold(c);
}

static void what_is_held_outlives_its_end(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(echo);
    o.handler.accepted = hold_twice;
    o.user_bytes = sizeof(uint32_t);
    server_start(&s, "127.0.0.1", o);
    close(client_connect(&s));
    EVENTUALLY(s.closed == 1);
    turns_of_ticks(&s, 3);
    server_do(&s, look_at_what_is_held);
    turns_of_ticks(&s, 3);
    server_do(&s, look_at_what_is_held); /* the last hold is gone: so is the memory */

    close(client_connect(&s));
    EVENTUALLY(s.closed == 2);
    server_stop(&s);
    net_unhold(s.conn); /* outlives even the loop */
    net_unhold(s.conn);
}

/* --- Releasing --- */

static size_t release_it(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    if (input.bytes != 0 && input.at[0] == 'e')
        echo(s, c, input, end);
    int fd = net_release(c, &s->kept);
    if (fd < 0)
        return input.bytes;
    s->noted = (unsigned long)fd;
    return 0;
}

static void a_released_connection_is_a_plain_descriptor(void **state)
{
    (void)state;
    int on = 0;
    socklen_t bytes = sizeof on;
    char heard[5] = "";
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(release_it));
    int fd = client_connect(&s);
    client_say(fd, "echo"); /* not while output is unsent */
    client_hear(fd, "echo");
    assert_int_equal(s.closed, 0);
    client_say(fd, "peer");
    EVENTUALLY(s.closed == 1);
    client_say(fd, "more");
    assert_true(turns_of_ticks(&s, 5) < 15); /* the loop no longer hears of it */
    server_join(&s);
    assert_int_equal(s.kept.bytes, 4);
    assert_memory_equal(s.kept.at, "peer", 4);
    server_destroy(&s);

    int released = (int)s.noted;
    assert_int_equal(fcntl(released, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(getsockopt(released, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    assert_int_equal(on, 1);
    client_say(released, "yes?");
    client_hear(fd, "yes?");
    assert_int_equal(recv(released, heard, 4, MSG_WAITALL), 4);
    assert_string_equal(heard, "more");
    close(released);
    close(fd);
}

static void release_last(struct server *s)
{
    struct buf full = {.bytes_max = 1};
    s->wrong += net_release(s->conn, &full) != -1; /* it could not take them */
    s->noted = (unsigned long)net_release(s->conn, &s->kept);
    buf_add_char(&s->kept, '\0');
    s->wrong += strcmp(s->kept.at, "before ept") != 0;
}

static void release_idle(struct server *s)
{
    struct buf none = {0};
    s->noted = (unsigned long)net_release(s->conn, &none);
    s->wrong += none.bytes != 0;
    buf_finish(&none);
}

static void unread_bytes_go_with_what_is_released(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(refuse_and_pause));
    int fd = client_connect(&s);
    client_say(fd, "kept");
    EVENTUALLY(s.received == 1);
    buf_add_text(&s.kept, "before ");
    server_do(&s, release_last);
    close((int)s.noted);
    client_hear_end(fd);
    close(fd);

    fd = client_connect(&s);
    EVENTUALLY(s.accepted == 2);
    server_do(&s, release_idle);
    close((int)s.noted);
    client_hear_end(fd);
    close(fd);
    server_stop(&s);
}

/* --- Destroying --- */

static void destroying_a_loop_closes_all_that_is_open(void **state)
{
    (void)state;
    int fds[3];
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(refuse_early));
    for (int i = 0; i < 3; i++)
        fds[i] = client_connect(&s);
    client_say(fds[0], "hello"); /* this one lingers */
    client_hear(fds[0], "too large");
    EVENTUALLY(s.accepted == 3);
    server_join(&s);
    assert_int_equal(net_conn_count(s.loop), 3);
    server_destroy(&s);
    for (int i = 0; i < 3; i++) {
        client_hear_end(fds[i]);
        close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_handed_over_is_sent_before_closing),
        cmocka_unit_test(a_closing_connection_whose_peer_takes_nothing_is_cut_off),
        cmocka_unit_test(a_half_closed_client_gets_its_answer),
        cmocka_unit_test(a_reset_after_the_end_is_noticed),
        cmocka_unit_test(a_reset_under_unsent_output_is_noticed),
        cmocka_unit_test(each_open_connection_can_be_closed),
        cmocka_unit_test(an_early_answer_is_read_by_who_still_sends),
        cmocka_unit_test(a_paused_connection_that_lingers_is_read_again),
        cmocka_unit_test(lingering_is_timed_from_when_all_is_sent),
        cmocka_unit_test(lingering_ends_after_its_time),
        cmocka_unit_test(lingering_ends_after_so_many_bytes),
        cmocka_unit_test(who_has_ended_is_not_waited_for),
        cmocka_unit_test(an_abort_is_a_reset_and_loses_output),
        cmocka_unit_test(an_event_for_what_was_aborted_in_the_same_turn_is_ignored),
        cmocka_unit_test(what_is_held_outlives_its_end),
        cmocka_unit_test(a_released_connection_is_a_plain_descriptor),
        cmocka_unit_test(unread_bytes_go_with_what_is_released),
        cmocka_unit_test(destroying_a_loop_closes_all_that_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
