/* Tests of binding a server's port: taken ports are seen, free ones are found, loops share. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/err.h"
#include "net/host.h"
#include "support/net_server.h"

enum { LOOPS = 3 };

struct group {
    struct net_port port;
    int tcp[LOOPS], udp[LOOPS];
    uint16_t chosen;
    char why[200];
};

static struct group group_of(const char *address, uint16_t port, bool tcp, bool udp)
{
    return (struct group){
        .port = {.address = address, .port = port, .tcp = tcp, .udp = udp, .loops = LOOPS}};
}

static int group_bind(struct group *g)
{
    return net_port_bind(&g->port, g->tcp, g->udp, &g->chosen, g->why, sizeof g->why);
}

static void group_close(struct group *g)
{
    for (int i = 0; i < LOOPS; i++) {
        if (g->port.tcp)
            close(g->tcp[i]);
        if (g->port.udp)
            close(g->udp[i]);
    }
}

static uint16_t port_of(int fd)
{
    union any_address a;
    socklen_t bytes = sizeof a;
    assert_int_equal(getsockname(fd, &a.any, &bytes), 0);
    return ntohs(a.v4.sin_port);
}

static void the_sockets_are_ready_for_a_loop(int fd, bool listening, uint16_t port)
{
    int value = -1;
    socklen_t bytes = sizeof value;
    assert_int_equal(port_of(fd), port);
    assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &bytes), 0);
    assert_int_equal(value, listening);
}

static void port_0_of(const char *address)
{
    struct group g = group_of(address, 0, true, true);
    assert_int_equal(group_bind(&g), 0);
    assert_int_not_equal(g.chosen, 0);
    for (int i = 0; i < LOOPS; i++) {
        the_sockets_are_ready_for_a_loop(g.tcp[i], true, g.chosen);
        the_sockets_are_ready_for_a_loop(g.udp[i], false, g.chosen);
    }
    group_close(&g);
}

static void port_0_gives_one_free_number_for_both(void **state)
{
    (void)state;
    port_0_of("127.0.0.1");
}

static void port_0_of_ipv6_too(void **state)
{
    (void)state;
    if (!ipv6_is_here())
        skip();
    port_0_of("::1");
    port_0_of("::");
}

static void only_what_is_wanted_is_bound(void **state)
{
    (void)state;
    struct group tcp = group_of("127.0.0.1", 0, true, false);
    assert_int_equal(group_bind(&tcp), 0);
    struct group udp = group_of("127.0.0.1", tcp.chosen, false, true);
    assert_int_equal(group_bind(&udp), 0);
    group_close(&tcp);
    group_close(&udp);
    udp = group_of("127.0.0.1", 0, false, true);
    assert_int_equal(group_bind(&udp), 0);
    assert_int_not_equal(udp.chosen, 0);
    assert_int_equal(port_of(udp.udp[LOOPS - 1]), udp.chosen);
    group_close(&udp);
}

static void refused(const char *address, uint16_t port, bool tcp, bool udp)
{
    struct group g = group_of(address, port, tcp, udp);
    assert_int_equal(group_bind(&g), ERR_LOCKED);
    assert_non_null(strstr(g.why, "in use"));
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(tcp ? g.tcp[i] : -1, -1); /* nothing is left behind */
        assert_int_equal(udp ? g.udp[i] : -1, -1);
    }
}

static void a_port_that_has_a_server_is_refused(void **state)
{
    (void)state;
    struct group first = group_of("127.0.0.1", 0, true, true);
    assert_int_equal(group_bind(&first), 0);
    refused("127.0.0.1", first.chosen, true, true);
    refused("127.0.0.1", first.chosen, true, false);
    refused("127.0.0.1", first.chosen, false, true);
    refused("0.0.0.0", first.chosen, true, true);
    if (ipv6_is_here())
        refused("::", first.chosen, true, true); /* it takes IPv4 too */
    struct group other = group_of("127.0.0.2", first.chosen, true, true);
    assert_int_equal(group_bind(&other), 0);
    group_close(&other);
    group_close(&first);
}

static void a_port_half_taken_is_refused_as_a_whole(void **state)
{
    (void)state;
    struct group half = group_of("127.0.0.1", 0, false, true);
    assert_int_equal(group_bind(&half), 0);
    refused("127.0.0.1", half.chosen, true, true);
    group_close(&half);
    half = group_of("127.0.0.1", 0, true, false);
    assert_int_equal(group_bind(&half), 0);
    refused("127.0.0.1", half.chosen, true, true);
    group_close(&half);
}

static void a_port_is_free_again_after_its_server(void **state)
{
    (void)state;
    struct group g = group_of("127.0.0.1", 0, true, true);
    assert_int_equal(group_bind(&g), 0);
    union any_address to = loopback(AF_INET, g.chosen);
    int fd = client_socket(AF_INET, SOCK_STREAM);
    assert_int_equal(connect(fd, &to.any, sizeof to.v4), 0);
    group_close(&g); /* its end of the connection stays behind in the kernel */
    struct group again = group_of("127.0.0.1", g.chosen, true, true);
    assert_int_equal(group_bind(&again), 0);
    assert_int_equal(again.chosen, g.chosen);
    group_close(&again);
    close(fd);
}

static void an_address_that_is_none_of_ours_is_named(void **state)
{
    (void)state;
    static const char *const addresses[] = {"localhost", "", "127.1", "192.0.2.1", "2001:db8::1"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct group g = group_of(addresses[i], 0, true, true);
        assert_int_equal(group_bind(&g), ERR_BAD_PARAMETER);
        assert_non_null(strstr(g.why, addresses[i]));
    }
}

static void ends_of(int family, const char *address, const char *expected)
{
    char host[NET_HOST_BYTES];
    struct group g = group_of(address, 0, true, false);
    assert_int_equal(group_bind(&g), 0);
    union any_address a = loopback(family, g.chosen);
    int fd = client_socket(family, SOCK_STREAM);
    assert_int_equal(connect(fd, &a.any, family == AF_INET ? sizeof a.v4 : sizeof a.v6), 0);
    for (int far = 0; far < 2; far++) {
        net_host(fd, far != 0, host);
        assert_string_equal(host, expected);
    }
    close(fd);
    group_close(&g);
}

static void a_connection_tells_the_machines_at_its_ends(void **state)
{
    (void)state;
    char host[NET_HOST_BYTES];
    ends_of(AF_INET, "127.0.0.1", "127.0.0.1");
    ends_of(AF_INET, "0.0.0.0", "127.0.0.1");
    if (ipv6_is_here())
        ends_of(AF_INET6, "::", "[::1]");
    net_host(-1, true, host);
    assert_string_equal(host, "");
}

static void instead(const char *address, const char *host, const char *expected)
{
    char text[64];
    snprintf(text, sizeof text, "%s", address);
    net_host_instead(text, sizeof text, host);
    assert_string_equal(text, expected);
}

static void only_every_address_is_told_otherwise(void **state)
{
    (void)state;
    instead("0.0.0.0:5001", "10.0.0.7", "10.0.0.7:5001");
    instead("[::]:5001", "[fd00::7]", "[fd00::7]:5001");
    instead("[::]:5001", "10.0.0.7", "10.0.0.7:5001");
    instead("0.0.0.0:5001", "", "0.0.0.0:5001");
    instead("127.0.0.1:5001", "10.0.0.7", "127.0.0.1:5001");
    instead("[::1]:5001", "10.0.0.7", "[::1]:5001");
    instead("10.0.0.0:5001", "10.0.0.7", "10.0.0.0:5001");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_0_gives_one_free_number_for_both),
        cmocka_unit_test(port_0_of_ipv6_too),
        cmocka_unit_test(only_what_is_wanted_is_bound),
        cmocka_unit_test(a_port_that_has_a_server_is_refused),
        cmocka_unit_test(a_port_half_taken_is_refused_as_a_whole),
        cmocka_unit_test(a_port_is_free_again_after_its_server),
        cmocka_unit_test(an_address_that_is_none_of_ours_is_named),
        cmocka_unit_test(a_connection_tells_the_machines_at_its_ends),
        cmocka_unit_test(only_every_address_is_told_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
