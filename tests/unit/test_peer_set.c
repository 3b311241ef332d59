/* Rules of sets of servers: their bytes, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "guard.h"
#include "peer_samples.h"

static int set_again(const struct peer_set *set, struct peer_set *d)
{
    struct buf b = {0};
    peer_set_encode(&b, set);
    int rc = peer_set_decode(buf_span(&b), d);
    buf_finish(&b);
    return rc;
}

static void a_set_of_0_to_16_servers_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= PEER_SET_MAX; count++) {
        struct peer_set set = set_of(count), d;
        memset(&d, 0xee, sizeof d);
        assert_int_equal(set_again(&set, &d), 0);
        assert_memory_equal(&d, &set, sizeof d);
    }
}

static void no_name_and_no_id_is_in_a_set_twice(void **state)
{
    (void)state;
    struct peer_set set = set_of(PEER_SET_MAX), d;
    memcpy(set.list[15].name, set.list[3].name, sizeof set.list[3].name);
    assert_int_equal(set_again(&set, &d), ERR_CORRUPT);
    set = set_of(PEER_SET_MAX);
    memcpy(set.list[15].id, set.list[0].id, PEER_ID_BYTES);
    assert_int_equal(set_again(&set, &d), ERR_CORRUPT);
    set = set_of(2);
    memset(set.list[1].name, 0, sizeof set.list[1].name);
    assert_int_equal(set_again(&set, &d), ERR_CORRUPT);
}

static void a_name_in_a_set_is_bounded(void **state)
{
    (void)state;
    struct peer_set d;
    char bytes[2 + 64 + PEER_ID_BYTES];
    memset(bytes, 'x', sizeof bytes);
    bytes[0] = 1;
    bytes[1] = 63;
    assert_int_equal(peer_set_decode(span(bytes, sizeof bytes - 1), &d), 0);
    bytes[1] = 64;
    assert_int_equal(peer_set_decode(span(bytes, sizeof bytes), &d), ERR_CORRUPT);
}

static void a_set_is_the_whole_of_its_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    struct guard g = guard_create(2000);
    struct peer_set set = set_of(PEER_SET_MAX), d;
    peer_set_encode(&b, &set);
    for (size_t bytes = 0; bytes < b.bytes; bytes++)
        assert_int_equal(peer_set_decode(guard_copy(&g, span(b.at, bytes)), &d), ERR_CORRUPT);
    assert_int_equal(peer_set_decode(guard_copy(&g, buf_span(&b)), &d), 0);
    assert_int_equal(peer_set_decode(span(NULL, 0), &d), ERR_CORRUPT);
    buf_add(&b, "\x01q1234567890123456", 18);
    assert_int_equal(peer_set_decode(buf_span(&b), &d), ERR_CORRUPT);
    b.at[0] = PEER_SET_MAX + 1;
    assert_int_equal(peer_set_decode(buf_span(&b), &d), ERR_CORRUPT);
    guard_destroy(&g);
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_of_0_to_16_servers_decodes_to_what_was_encoded),
        cmocka_unit_test(no_name_and_no_id_is_in_a_set_twice),
        cmocka_unit_test(a_name_in_a_set_is_bounded),
        cmocka_unit_test(a_set_is_the_whole_of_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
