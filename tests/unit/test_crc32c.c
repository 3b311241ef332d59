/* CRC32C against the published examples, by instruction and by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/crc32c.h"

static void both_give(const void *bytes, size_t count, uint32_t expected)
{
    assert_int_equal(crc32c(0, bytes, count), expected);
    assert_int_equal(crc32c_by_table(0, bytes, count), expected);
}

static void the_examples_of_rfc_3720_b_4_hold(void **state)
{
    (void)state;
    unsigned char bytes[32];
    memset(bytes, 0, sizeof bytes);
    both_give(bytes, sizeof bytes, 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    both_give(bytes, sizeof bytes, 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    both_give(bytes, sizeof bytes, 0x46dd794e);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(31 - i);
    both_give(bytes, sizeof bytes, 0x113fdb5c);
    static const unsigned char read_command[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
    };
    both_give(read_command, sizeof read_command, 0xd9963a56);
    both_give("123456789", 9, 0xe3069283); /* the check value of the CRC catalogues */
    both_give("", 0, 0);
}

static void instruction_and_table_agree_at_every_length_and_place(void **state)
{
    (void)state;
    char bytes[160];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37 + i / 7);
    for (size_t from = 0; from < 16; from++)
        for (size_t count = 0; count <= sizeof bytes - 16; count++)
            assert_int_equal(crc32c(7, bytes + from, count),
                             crc32c_by_table(7, bytes + from, count));
}

static void pieces_give_the_checksum_of_the_whole(void **state)
{
    (void)state;
    const char text[] = "a record in two checksummed copies";
    uint32_t whole = crc32c(0, text, sizeof text);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        uint32_t first = crc32c(0, text, cut), table = crc32c_by_table(0, text, cut);
        assert_int_equal(crc32c(first, text + cut, sizeof text - cut), whole);
        assert_int_equal(crc32c_by_table(table, text + cut, sizeof text - cut), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_3720_b_4_hold),
        cmocka_unit_test(instruction_and_table_agree_at_every_length_and_place),
        cmocka_unit_test(pieces_give_the_checksum_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
