/* Tests of datagrams over real sockets: batches, sizes, and from which address an answer leaves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "base/limits.h"
#include "support/net_server.h"

static void echo_datagram(void *context, const struct net_peer *peer, struct span bytes)
{
    struct server *s = context;
    net_reply(s->loop, peer, bytes);
}

static struct net_loop_options
answering(void (*datagram)(void *context, const struct net_peer *peer, struct span bytes))
{
    return (struct net_loop_options){.handler = {.received = swallow, .datagram = datagram}};
}

/* Asks at an address through an unconnected socket: the answer's sender must be that address. */
static void ask(const struct server *s, int family, const char *address)
{
    union any_address to = loopback(family, s->port), from = {0};
    socklen_t bytes = sizeof from;
    char heard[8] = "", sender[INET6_ADDRSTRLEN] = "";
    void *at = family == AF_INET ? (void *)&to.v4.sin_addr : (void *)&to.v6.sin6_addr;
    assert_int_equal(inet_pton(family, address, at), 1);
    int fd = client_socket(family, SOCK_DGRAM);
    assert_int_equal(
        sendto(fd, "who?", 4, 0, &to.any, family == AF_INET ? sizeof to.v4 : sizeof to.v6), 4);
    assert_int_equal(recvfrom(fd, heard, sizeof heard, 0, &from.any, &bytes), 4);
    assert_string_equal(heard, "who?");
    at = family == AF_INET ? (void *)&from.v4.sin_addr : (void *)&from.v6.sin6_addr;
    inet_ntop(family, at, sender, sizeof sender);
    assert_string_equal(sender, address);
    assert_int_equal(from.v4.sin_port, htons(s->port));
    close(fd);
}

static void an_answer_leaves_from_the_address_that_was_asked(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "0.0.0.0", answering(echo_datagram));
    ask(&s, AF_INET, "127.0.0.1");
    ask(&s, AF_INET, "127.0.0.2");
    ask(&s, AF_INET, "127.1.2.3");
    server_stop(&s);
}

static void the_ipv6_wildcard_answers_both_families(void **state)
{
    (void)state;
    if (!ipv6_is_here())
        skip();
    struct server s = {0};
    server_start(&s, "::", answering(echo_datagram));
    ask(&s, AF_INET6, "::1");
    ask(&s, AF_INET, "127.0.0.2");
    ask(&s, AF_INET6, "::ffff:127.0.0.3");
    server_stop(&s);
}

static void one_loop_has_a_socket_of_each_family(void **state)
{
    (void)state;
    if (!ipv6_is_here())
        skip();
    char why[200] = "";
    int udp = -1;
    uint16_t chosen;
    struct server s = {0};
    server_start(&s, "127.0.0.1", answering(echo_datagram));
    server_join(&s);
    const struct net_port v6 = {.address = "::1", .port = s.port, .udp = true, .loops = 1};
    assert_int_equal(net_port_bind(&v6, NULL, &udp, &chosen, why, sizeof why), 0);
    assert_int_equal(net_datagrams(s.loop, udp), 0);
    assert_int_equal(pthread_create(&s.thread, NULL, server_thread, &s), 0);
    ask(&s, AF_INET, "127.0.0.1");
    ask(&s, AF_INET6, "::1");
    server_stop(&s);
}

static int connected(const struct server *s)
{
    union any_address to = loopback(AF_INET, s->port);
    int fd = client_socket(AF_INET, SOCK_DGRAM);
    assert_int_equal(connect(fd, &to.any, sizeof to.v4), 0);
    return fd;
}

static void hear_datagram(int fd, const char *text)
{
    char heard[64] = "";
    assert_int_equal(recv(fd, heard, sizeof heard - 1, 0), strlen(text));
    assert_string_equal(heard, text);
}

static void hang(struct server *s)
{
    s->total = 1;
    for (int waited_ms = 0; waited_ms < DEADLINE_MS && s->noted == 0; waited_ms++)
        poll(NULL, 0, 1);
}

static void echo_twice(void *context, const struct net_peer *peer, struct span bytes)
{
    echo_datagram(context, peer, bytes);
    echo_datagram(context, peer, bytes);
}

static void many_at_once_are_all_answered_in_order(void **state)
{
    (void)state;
    enum { MANY = 3 * DATAGRAM_BATCH + 1 };
    struct server s = {0};
    server_start(&s, "127.0.0.1", answering(echo_twice));
    int fd = connected(&s);
    server_post(&s, hang);
    EVENTUALLY(s.total == 1);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(send(fd, &i, sizeof i, 0), sizeof i);
    s.noted = 1;
    server_wait(&s);
    for (unsigned i = 0, heard; i < 2 * MANY; i++) {
        assert_int_equal(recv(fd, &heard, sizeof heard, 0), sizeof heard);
        assert_int_equal(heard, i / 2);
    }
    assert_int_equal(s.datagrams, MANY);
    close(fd);
    server_stop(&s);
}

static void datagrams_of_all_sizes_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1200, 1201, 40000, 65507, 3};
    static char sent[65536], heard[65536];
    struct server s = {0};
    server_start(&s, "127.0.0.1", answering(echo_datagram));
    int fd = connected(&s);
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = stream_byte(i);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(send(fd, sent, sizes[i], 0), sizes[i]);
        assert_int_equal(recv(fd, heard, sizeof heard, 0), sizes[i]);
        assert_memory_equal(heard, sent, sizes[i]);
    }
    close(fd);
    server_stop(&s);
}

/* What cannot be sent, before and after what can. */
static void answer_among_impossible(void *context, const struct net_peer *peer, struct span bytes)
{
    static char too_long[DATAGRAM_BYTES_MAX + 1];
    struct server *s = context;
    struct net_peer forged = *peer;
    forged.from.v4.sin_port = 0;
    net_reply(s->loop, peer, span(too_long, sizeof too_long));
    net_reply(s->loop, &forged, bytes);
    net_reply(s->loop, peer, bytes);
    net_reply(s->loop, &forged, bytes);
    net_reply(s->loop, peer, bytes);
    net_reply(s->loop, peer, span(too_long, DATAGRAM_BYTES_MAX));
}

static void what_cannot_be_sent_does_not_stop_the_others(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", answering(answer_among_impossible));
    int fd = connected(&s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send(fd, "who?", 4, 0), 4);
        hear_datagram(fd, "who?");
        hear_datagram(fd, "who?");
    }
    close(fd);
    server_stop(&s);
}

/* Answers later, from the next task. */
static struct net_peer *asked_by(struct server *s)
{
    return (struct net_peer *)(void *)s->kept.at;
}

static void keep_peer(void *context, const struct net_peer *peer, struct span bytes)
{
    struct server *s = context;
    (void)bytes;
    buf_reset(&s->kept, 0);
    buf_add(&s->kept, peer, sizeof *peer);
}

static void stop_and_answer(struct server *s)
{
    net_stop_datagrams(s->loop);
    net_stop_datagrams(s->loop);
    net_reply(s->loop, asked_by(s), span_of("late"));
}

static void after_the_stop_answers_still_leave_but_nothing_comes_in(void **state)
{
    (void)state;
    struct server s = {0};
    server_start(&s, "127.0.0.1", answering(keep_peer));
    int fd = connected(&s);
    assert_int_equal(send(fd, "who?", 4, 0), 4);
    EVENTUALLY(s.datagrams == 1);
    server_do(&s, stop_and_answer);
    hear_datagram(fd, "late");
    assert_int_equal(send(fd, "still?", 6, 0), 6);
    assert_true(turns_of_ticks(&s, 5) < 15); /* without spinning */
    assert_int_equal(s.datagrams, 1);
    close(fd);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_leaves_from_the_address_that_was_asked),
        cmocka_unit_test(the_ipv6_wildcard_answers_both_families),
        cmocka_unit_test(one_loop_has_a_socket_of_each_family),
        cmocka_unit_test(many_at_once_are_all_answered_in_order),
        cmocka_unit_test(datagrams_of_all_sizes_come_back),
        cmocka_unit_test(what_cannot_be_sent_does_not_stop_the_others),
        cmocka_unit_test(after_the_stop_answers_still_leave_but_nothing_comes_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
