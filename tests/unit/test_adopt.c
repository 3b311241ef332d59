/* Tests of connections that a loop did not accept: adopted, with what was already read of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/err.h"
#include "support/net_server.h"

#define RECEIVED(function) ((struct net_loop_options){.handler.received = (function)})

enum { MANY = 200, LONG_BYTES = 3 << 20 };

/* --- A connected pair, and its adoption --- */

struct pair {
    int ours, theirs; /* ours is adopted */
};

static struct pair connected(void)
{
    struct pair p = {.theirs = client_socket(AF_INET, SOCK_STREAM)};
    union any_address a = loopback(AF_INET, 0);
    socklen_t bytes = sizeof a.v4;
    int listener = client_socket(AF_INET, SOCK_STREAM);
    assert_int_equal(bind(listener, &a.any, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, &a.any, &bytes), 0);
    assert_int_equal(connect(p.theirs, &a.any, bytes), 0);
    p.ours = accept(listener, NULL, NULL); /* blocking, and not close-on-exec */
    assert_true(p.ours >= 0);
    close(listener);
    return p;
}

/* What the loop's thread is to adopt: s->noted is the descriptor (0: none), s->kept the unread
 * bytes; s->total counts the connections adopted. */
static void adopt_noted(struct server *s)
{
    struct net_conn *c;
    int fd = (int)atomic_exchange(&s->noted, 0);
    if (fd == 0)
        return;
    s->wrong += net_adopt(s->loop, fd, buf_span(&s->kept), &c) != 0;
    buf_reset(&s->kept, 0); /* a copy was taken */
    s->conn = c;
    s->total++;
}

static void adopt_noted_paused(struct server *s)
{
    adopt_noted(s);
    net_pause(s->conn);
}

static void resume_last(struct server *s)
{
    net_resume(s->conn);
}

/* For server_destroy, which counts those accepted. */
static void stop(struct server *s)
{
    server_join(s);
    s->accepted += s->total;
    server_destroy(s);
}

/* Answers with what it is given, in brackets, and a $ for the end: so the calls can be counted. */
static size_t bracket(void *context, struct net_conn *c, struct span input, bool end)
{
    (void)context;
    struct buf *out = net_out(c);
    buf_add_char(out, '[');
    buf_add_span(out, input);
    buf_add_text(out, end ? "]$" : "]");
    return input.bytes;
}

/* The same, and takes the first byte only. */
static size_t bracket_and_nibble(void *context, struct net_conn *c, struct span input, bool end)
{
    return bracket(context, c, input, end) != 0;
}

/* --- What is unread --- */

static void unread_bytes_come_first_and_in_order(void **state)
{
    (void)state;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket_and_nibble));
    client_say(p.theirs, "cd"); /* in the socket before it is adopted */
    buf_add_text(&s.kept, "ab");
    s.noted = (unsigned long)p.ours;
    server_do(&s, adopt_noted);
    client_hear(p.theirs, "[ab][bcd]");
    client_say(p.theirs, "ef");
    client_hear(p.theirs, "[cdef]");
    assert_int_equal(s.accepted, 0); /* nobody said that it was */
    close(p.theirs);
    stop(&s);
}

static void without_unread_bytes_nothing_is_received_until_some_come(void **state)
{
    (void)state;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    s.noted = (unsigned long)p.ours;
    server_do(&s, adopt_noted);
    assert_true(turns_of_ticks(&s, 5) < 15); /* without spinning */
    assert_int_equal(s.received, 0);
    client_say(p.theirs, "hello");
    client_hear(p.theirs, "[hello]");
    assert_int_equal(s.accepted, 0);
    close(p.theirs);
    stop(&s);
}

static void note_tick(void *context, uint64_t mono_us)
{
    (void)mono_us;
    adopt_noted(context);
}

static void note_turn_end(void *context)
{
    adopt_noted(context);
}

static void note_closed(void *context, struct net_conn *c)
{
    (void)c;
    adopt_noted(context);
}

/* Adopts what is noted in the midst of its own call. */
static size_t bracket_and_adopt(void *context, struct net_conn *c, struct span input, bool end)
{
    adopt_noted(context);
    bracket(context, c, input, end);
    if (end)
        net_close(c);
    return input.bytes;
}

/* Where the handler adopts, and what it hears then: from turn_end on, the socket may be asked
 * first. */
static void adopt_in(struct net_handler handler, const char *heard, const char *then)
{
    struct server s = {0};
    struct net_loop_options o = {.handler = handler};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", o);
    int other = client_connect(&s);
    client_say(other, "x");
    client_hear(other, "[x]");
    client_say(p.theirs, "cd");
    buf_add_text(&s.kept, "ab");
    s.noted = (unsigned long)p.ours;
    client_say(other, "y");
    client_hear(other, "[y]");
    close(other);
    client_hear(p.theirs, heard);
    client_say(p.theirs, "e");
    client_hear(p.theirs, then); /* and no call was one too many */
    close(p.theirs);
    stop(&s);
}

static void every_callback_may_adopt(void **state)
{
    (void)state;
    adopt_in((struct net_handler){.received = bracket_and_adopt}, "[ab][cd]", "[e]");
    adopt_in((struct net_handler){.received = bracket_and_adopt, .tick = note_tick}, "[ab][cd]",
             "[e]");
    adopt_in((struct net_handler){.received = bracket, .tick = note_tick}, "[ab][cd]", "[e]");
}

static void what_the_socket_brings_first_follows_the_unread_bytes_once(void **state)
{
    (void)state;
    adopt_in((struct net_handler){.received = bracket, .turn_end = note_turn_end}, "[abcd]", "[e]");
    adopt_in((struct net_handler){.received = bracket_and_nibble, .turn_end = note_turn_end},
             "[abcd]", "[bcde]");
}

static size_t bracket_and_close(void *context, struct net_conn *c, struct span input, bool end)
{
    bracket(context, c, input, end);
    if (end)
        net_close(c);
    return input.bytes;
}

static void a_closing_callback_may_adopt(void **state)
{
    (void)state;
    adopt_in((struct net_handler){.received = bracket_and_close, .closed = note_closed}, "[abcd]",
             "[e]");
}

static void before_the_loop_runs_it_may_be_given_connections(void **state)
{
    (void)state;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    server_join(&s);
    client_say(p.theirs, "cd");
    buf_add_text(&s.kept, "ab");
    s.noted = (unsigned long)p.ours;
    adopt_noted(&s);
    assert_int_equal(pthread_create(&s.thread, NULL, server_thread, &s), 0);
    client_hear(p.theirs, "[abcd]");
    close(p.theirs);
    stop(&s);
}

static void what_was_never_received_is_freed_with_the_loop(void **state)
{
    (void)state;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    server_join(&s);
    buf_add_text(&s.kept, "ab");
    s.noted = (unsigned long)p.ours;
    adopt_noted(&s);
    s.accepted += s.total;
    server_destroy(&s);
    client_hear_end(p.theirs);
    close(p.theirs);
}

static void while_paused_unread_bytes_wait(void **state)
{
    (void)state;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    client_say(p.theirs, "cd");
    buf_add_text(&s.kept, "ab");
    s.noted = (unsigned long)p.ours;
    server_do(&s, adopt_noted_paused);
    assert_true(turns_of_ticks(&s, 5) < 15); /* without spinning */
    assert_int_equal(s.received, 0);
    server_do(&s, resume_last);
    client_hear(p.theirs, "[ab][cd]");
    close(p.theirs);
    stop(&s);
}

static void unread_bytes_beyond_the_limit_of_input_come_whole(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_loop_options o = RECEIVED(echo);
    struct pair p = connected();
    o.input_bytes_max = 1000;
    server_start(&s, "127.0.0.1", o);
    char more[100];
    for (size_t i = 0; i < sizeof more; i++)
        more[i] = stream_byte(LONG_BYTES + i);
    client_send(p.theirs, more, sizeof more);
    add_stream(&s.kept, 0, LONG_BYTES);
    s.noted = (unsigned long)p.ours;
    server_do(&s, adopt_noted);
    client_hear_stream(p.theirs, LONG_BYTES + sizeof more);
    close(p.theirs);
    stop(&s);
}

/* --- Whose peer is gone --- */

static void a_peer_that_had_closed_is_noticed_after_what_it_sent(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(bracket_and_close));
    static const struct {
        const char *unread, *sent, *heard;
    } cases[] = {
        {"", "", "[]$"}, {"ab", "", "[ab][]$"}, {"", "cd", "[cd][]$"}, {"ab", "cd", "[ab][cd][]$"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p = connected();
        client_say(p.theirs, cases[i].sent);
        shutdown(p.theirs, SHUT_WR);
        buf_add_text(&s.kept, cases[i].unread);
        s.noted = (unsigned long)p.ours;
        server_do(&s, adopt_noted);
        client_hear(p.theirs, cases[i].heard);
        client_hear_end(p.theirs);
        close(p.theirs);
        EVENTUALLY(s.closed == i + 1);
    }
    stop(&s);
}

static void a_peer_that_had_reset_is_noticed(void **state)
{
    (void)state;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    client_reset(p.theirs);
    s.noted = (unsigned long)p.ours;
    server_do(&s, adopt_noted);
    EVENTUALLY(s.closed == 1);
    stop(&s);
}

/* --- From loop to loop --- */

/* Echoes the first line and gives the connection up once more has come. */
static size_t release_after_a_line(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    if (input.bytes != 0 && input.at[input.bytes - 1] == '\n')
        return echo(s, c, input, end);
    int fd = net_release(c, &s->kept);
    if (fd < 0)
        return 0;
    s->noted = (unsigned long)fd;
    return 0;
}

static void a_connection_goes_from_loop_to_loop_amid_a_request(void **state)
{
    (void)state;
    struct server from = {0}, to = {0};
    server_start(&from, "127.0.0.1", RECEIVED(release_after_a_line));
    server_start(&to, "127.0.0.1", RECEIVED(echo_lines));
    int fd = client_connect(&from);
    client_say(fd, "first line\n");
    client_hear(fd, "first line\n");
    client_say(fd, "sec");
    EVENTUALLY(from.closed == 1);
    client_say(fd, "ond");
    buf_add_span(&to.kept, buf_span(&from.kept));
    to.noted = from.noted;
    server_do(&to, adopt_noted);
    client_say(fd, " line\n");
    client_hear(fd, "second line\n");
    server_stop(&from);
    client_say(fd, "third\n");
    client_hear(fd, "third\n");
    close(fd);
    stop(&to);
}

/* Released and adopted at once, which must not mix up two connections of one descriptor. */
static size_t adopt_again(void *context, struct net_conn *c, struct span input, bool end)
{
    struct server *s = context;
    struct net_conn *again;
    if (input.at[0] == 'a' && input.bytes < 9)
        return 0;
    if (input.at[0] != 'a' || s->total == 3)
        return echo(s, c, input, end);
    struct buf unread = {0};
    int fd = net_release(c, &unread);
    s->wrong += fd < 0 || net_adopt(s->loop, fd, buf_span(&unread), &again) != 0;
    s->total++;
    buf_finish(&unread);
    return 0;
}

static void a_loop_may_adopt_what_it_has_just_released(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", RECEIVED(adopt_again));
    int fd = client_connect(&s);
    client_say(fd, "again");
    EVENTUALLY(s.received == 1);
    client_say(fd, "bbbb");
    client_hear(fd, "againbbbb");
    EVENTUALLY(s.closed == 3);
    assert_int_equal(net_conn_count(s.loop), 1);
    client_say(fd, "c");
    client_hear(fd, "c");
    close(fd);
    stop(&s);
}

/* --- Many, and what they are like --- */

struct crowd {
    struct server s;
    struct pair pairs[MANY];
};

static void adopt_crowd(struct server *s)
{
    struct crowd *crowd = (struct crowd *)s;
    for (size_t i = 0; i < MANY; i++) {
        char unread[32];
        struct net_conn *c;
        snprintf(unread, sizeof unread, "line %zu", i);
        s->wrong += net_adopt(s->loop, crowd->pairs[i].ours, span_of(unread), &c) != 0;
        const char *user = net_conn_user(c);
        for (size_t at = 0; at < s->bytes; at++)
            s->wrong += user[at] != 0;
        s->total++;
    }
}

static void many_are_adopted_at_once_past_the_limit_of_connections(void **state)
{
    (void)state;
    struct crowd crowd = {0};
    struct server *s = &crowd.s;
    struct net_loop_options o = RECEIVED(echo_lines);
    o.connections_max = 1;
    o.user_bytes = 100;
    server_start(s, "127.0.0.1", o);
    for (size_t i = 0; i < MANY; i++) {
        crowd.pairs[i] = connected();
        client_say(crowd.pairs[i].theirs, ", and more\n");
    }
    s->bytes = o.user_bytes;
    server_do(s, adopt_crowd);
    for (size_t i = 0; i < MANY; i++) {
        char line[64];
        snprintf(line, sizeof line, "line %zu, and more\n", i);
        client_hear(crowd.pairs[i].theirs, line);
        close(crowd.pairs[i].theirs);
    }
    EVENTUALLY(s->closed == MANY);
    int fd = client_connect(s); /* there is room again */
    client_say(fd, "accepted\n");
    client_hear(fd, "accepted\n");
    close(fd);
    stop(s);
}

static void an_adopted_socket_is_as_an_accepted_one(void **state)
{
    (void)state;
    int on = 0;
    socklen_t bytes = sizeof on;
    struct server s = {0};
    struct pair p = connected();
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    s.noted = (unsigned long)p.ours;
    server_do(&s, adopt_noted);
    assert_int_equal(fcntl(p.ours, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(p.ours, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(getsockopt(p.ours, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    assert_int_equal(on, 1);
    close(p.theirs);
    stop(&s);
}

static void what_cannot_be_adopted_stays_the_callers(void **state)
{
    (void)state;
    struct server s = {0};
    struct net_conn *c = NULL;
    server_start(&s, "127.0.0.1", RECEIVED(bracket));
    server_join(&s);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(net_adopt(s.loop, fd, span_of("unread"), &c), ERR_SYSTEM);
    assert_int_equal(net_adopt(s.loop, -1, span_of("unread"), &c), ERR_SYSTEM);
    assert_null(c);
    assert_int_equal(net_conn_count(s.loop), 0);
    assert_int_equal(close(fd), 0);

    struct pair p = connected(); /* one that the loop has already */
    assert_int_equal(net_adopt(s.loop, p.ours, span_of(""), &c), 0);
    struct net_conn *twice = NULL;
    assert_int_equal(net_adopt(s.loop, p.ours, span_of("unread"), &twice), ERR_SYSTEM);
    assert_null(twice);
    assert_int_equal(net_conn_count(s.loop), 1);
    s.accepted++;
    server_destroy(&s);
    client_hear_end(p.theirs);
    close(p.theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unread_bytes_come_first_and_in_order),
        cmocka_unit_test(without_unread_bytes_nothing_is_received_until_some_come),
        cmocka_unit_test(every_callback_may_adopt),
        cmocka_unit_test(what_the_socket_brings_first_follows_the_unread_bytes_once),
        cmocka_unit_test(a_closing_callback_may_adopt),
        cmocka_unit_test(before_the_loop_runs_it_may_be_given_connections),
        cmocka_unit_test(what_was_never_received_is_freed_with_the_loop),
        cmocka_unit_test(while_paused_unread_bytes_wait),
        cmocka_unit_test(unread_bytes_beyond_the_limit_of_input_come_whole),
        cmocka_unit_test(a_peer_that_had_closed_is_noticed_after_what_it_sent),
        cmocka_unit_test(a_peer_that_had_reset_is_noticed),
        cmocka_unit_test(a_connection_goes_from_loop_to_loop_amid_a_request),
        cmocka_unit_test(a_loop_may_adopt_what_it_has_just_released),
        cmocka_unit_test(many_are_adopted_at_once_past_the_limit_of_connections),
        cmocka_unit_test(an_adopted_socket_is_as_an_accepted_one),
        cmocka_unit_test(what_cannot_be_adopted_stays_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
