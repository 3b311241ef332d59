/* Rules of messages between servers: their bytes, what is refused, and how early. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/err.h"
#include "guard.h"
#include "peer_samples.h"

static void assert_taken(const struct peer_message *m, long expected)
{
    struct buf b = {0};
    struct peer_message d;
    peer_encode(&b, m);
    long rc = peer_decode(buf_span(&b), &d, NULL);
    if (expected != 0 ? rc != expected : rc != (long)b.bytes)
        fail_msg("%ld, expected %ld of %zu bytes", rc, expected, b.bytes);
    buf_finish(&b);
}

static void assert_good(const struct peer_message *m)
{
    assert_taken(m, 0);
}

static void assert_bad(const struct peer_message *m)
{
    assert_taken(m, ERR_BAD_REQUEST);
}

/* --- There and back --- */

static void the_bytes_are_those_of_the_header(void **state)
{
    (void)state;
    static const char expected[] =
        "\xd5nt\x01\x05\x00\x00\x00\x2a\x00\x00\x00....."
        "\x07\x06\x05\x04\x03\x02\x01\x12\x11\x00\x00\x00\x00\x00\x00"
        "\x02\x01\x01\x01\x01\x01\x01\x01\x04\x03\x03\x03\x03\x03\x03\x03"
        "\x06\x05\x05\x05\x05\x05\x05\x05\x08\x07\x07\x07\x07\x07\x07\x07"
        "\x0a\x09\x09\x09\x09\x09\x09\x09\x01\x00";
    struct buf b = {0};
    encode_sample(&b, PEER_ACK);
    assert_int_equal(b.bytes, sizeof expected - 1);
    assert_memory_equal(b.at, expected, 12);
    assert_int_equal(get_u32(b.at + 12), crc32c(crc32c(0, b.at, 12), b.at + 16, b.bytes - 16));
    assert_true(get_u64(b.at + 16) == 0x0102030405060708);
    assert_memory_equal(b.at + 17, expected + 17, b.bytes - 17);

    encode_sample(&b, PEER_WELCOME);
    static const char welcome[] =
        "\x01\x02\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\x01"
        "a\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08"
        "\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0"
        "\x08\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0";
    assert_int_equal(b.bytes, PEER_HEAD_BYTES + sizeof welcome - 1);
    assert_memory_equal(b.at + PEER_HEAD_BYTES, welcome, sizeof welcome - 1);
    buf_finish(&b);
}

static void assert_same_point(struct peer_point a, struct peer_point b)
{
    assert_true(a.epoch == b.epoch && a.index == b.index && a.chain == b.chain);
}

static void assert_same_server(const struct peer_server *a, const struct peer_server *b)
{
    assert_memory_equal(a, b, sizeof *a); /* zeros behind the name, too */
}

static void assert_same_hello(const struct peer_hello *a, const struct peer_hello *b)
{
    assert_memory_equal(a->cluster, b->cluster, PEER_ID_BYTES);
    assert_true(a->group == b->group && a->generation == b->generation && a->life == b->life);
    assert_same_server(&a->server, &b->server);
    assert_string_equal(a->address, b->address);
    assert_true(a->promised_epoch == b->promised_epoch && a->promised_life == b->promised_life);
    assert_int_equal(a->points_count, b->points_count);
    for (unsigned i = 0; i < a->points_count; i++)
        assert_same_point(a->points[i], b->points[i]);
}

static void assert_same_copy(const struct peer_message *a, const struct peer_message *b)
{
    if (a->kind == PEER_COPY_ASK) {
        assert_memory_equal(a->copy_ask.cluster, b->copy_ask.cluster, PEER_ID_BYTES);
        assert_same_server(&a->copy_ask.server, &b->copy_ask.server);
        assert_same_point(a->copy_ask.have, b->copy_ask.have);
        assert_true(a->copy_ask.group == b->copy_ask.group &&
                    a->copy_ask.seal == b->copy_ask.seal &&
                    a->copy_ask.offset == b->copy_ask.offset);
    } else if (a->kind == PEER_COPY_HEAD) {
        assert_memory_equal(a->copy_head.cluster, b->copy_head.cluster, PEER_ID_BYTES);
        assert_same_point(a->copy_head.at, b->copy_head.at);
        assert_true(a->copy_head.bytes == b->copy_head.bytes &&
                    a->copy_head.seal == b->copy_head.seal &&
                    a->copy_head.offset == b->copy_head.offset);
    } else {
        assert_int_equal(a->kind, PEER_COPY_CHUNK);
        assert_true(a->copy_chunk.offset == b->copy_chunk.offset &&
                    span_eq(a->copy_chunk.bytes, b->copy_chunk.bytes));
    }
}

static void assert_same(const struct peer_message *a, const struct peer_message *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(a->epoch == b->epoch && a->session == b->session);
    switch (a->kind) {
    case PEER_HELLO:
        assert_same_hello(&a->hello, &b->hello);
        break;
    case PEER_WELCOME:
        assert_memory_equal(a->welcome.cluster, b->welcome.cluster, PEER_ID_BYTES);
        assert_same_server(&a->welcome.server, &b->welcome.server);
        assert_same_point(a->welcome.match, b->welcome.match);
        assert_true(a->welcome.generation == b->welcome.generation &&
                    a->welcome.life == b->welcome.life && a->welcome.commit == b->welcome.commit &&
                    a->welcome.goal == b->welcome.goal);
        break;
    case PEER_REFUSE:
        assert_int_equal(a->refuse.code, b->refuse.code);
        assert_true(a->refuse.promised_epoch == b->refuse.promised_epoch);
        assert_string_equal(a->refuse.sentence, b->refuse.sentence);
        break;
    case PEER_UPDATE:
        assert_true(a->update.first == b->update.first && a->update.last == b->update.last);
        assert_true(a->update.commit == b->update.commit && a->update.in_sync == b->update.in_sync);
        assert_true(span_eq(a->update.entries, b->update.entries));
        break;
    case PEER_ACK:
        assert_true(a->ack.durable == b->ack.durable && a->ack.applied == b->ack.applied);
        assert_true(a->ack.digest == b->ack.digest && a->ack.first_seq == b->ack.first_seq);
        assert_true(a->ack.last_seq == b->ack.last_seq && a->ack.beat == b->ack.beat &&
                    a->ack.full == b->ack.full);
        break;
    case PEER_COMMIT:
        assert_true(a->commit.commit == b->commit.commit && a->commit.digest == b->commit.digest);
        assert_true(a->commit.in_sync == b->commit.in_sync && a->commit.beat == b->commit.beat);
        break;
    case PEER_FORWARD:
        assert_true(a->forward.id == b->forward.id && a->forward.count == b->forward.count);
        assert_true(span_eq(a->forward.writes, b->forward.writes));
        break;
    case PEER_ANSWER:
        assert_true(a->answer.id == b->answer.id && a->answer.index == b->answer.index);
        assert_int_equal(a->answer.count, b->answer.count);
        assert_true(span_eq(a->answer.answers, b->answer.answers));
        break;
    default:
        assert_same_copy(a, b);
    }
}

static void every_kind_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int kind = 1; kind <= KINDS; kind++) {
        struct peer_message m = sample((enum peer_kind)kind), d;
        size_t need;
        memset(&d, 0xee, sizeof d);
        encode_sample(&b, (enum peer_kind)kind);
        size_t bytes = b.bytes;
        buf_add_text(&b, "what follows");
        assert_int_equal(peer_decode(buf_span(&b), &d, &need), bytes);
        assert_int_equal(need, bytes);
        assert_same(&m, &d);
        if (kind == PEER_UPDATE)
            assert_ptr_equal(d.update.entries.at, b.at + bytes - strlen("entries"));
    }
    buf_finish(&b);
}

static void messages_are_appended_one_behind_the_other(void **state)
{
    (void)state;
    struct buf b = {0};
    struct peer_message d;
    for (int kind = 1; kind <= KINDS; kind++) {
        struct peer_message m = sample((enum peer_kind)kind);
        peer_encode(&b, &m);
    }
    struct span rest = buf_span(&b);
    for (int kind = 1; kind <= KINDS; kind++) {
        long used = peer_decode(rest, &d, NULL);
        assert_true(used > 0);
        assert_int_equal(d.kind, kind);
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    assert_int_equal(rest.bytes, 0);
    buf_finish(&b);
}

static void nothing_is_appended_of_what_finds_no_room_or_is_too_long(void **state)
{
    (void)state;
    struct buf b = {0}, entries = {0}, whole = {0};
    encode_sample(&whole, PEER_HELLO);
    struct peer_message m = sample(PEER_HELLO);
    for (size_t room = 1; room < whole.bytes; room++) {
        b = (struct buf){.bytes_max = 4 + room};
        buf_add_text(&b, "what");
        peer_encode(&b, &m);
        assert_true(b.failed && b.bytes == 4);
        buf_finish(&b);
    }
    b = (struct buf){0};
    m = sample(PEER_UPDATE);
    size_t most = PEER_BODY_BYTES_MAX - 25;
    assert_non_null(buf_room(&entries, most + 1));
    memset(entries.at, 'e', most + 1);
    m.update.entries = span(entries.at, most);
    assert_good(&m);
    m.update.entries.bytes++;
    peer_encode(&b, &m);
    assert_true(b.failed && b.bytes == 0);
    buf_finish(&entries);
    buf_finish(&whole);
    buf_finish(&b);
}

/* --- Damage --- */

static void a_message_cut_anywhere_needs_more(void **state)
{
    (void)state;
    struct buf b = {0};
    struct guard g = guard_create(PEER_HEAD_BYTES + PEER_SMALL_BYTES_MAX);
    for (int kind = 1; kind <= KINDS; kind++) {
        struct peer_message d;
        size_t need;
        encode_sample(&b, (enum peer_kind)kind);
        for (size_t bytes = 0; bytes < b.bytes; bytes++) {
            assert_int_equal(peer_decode(guard_copy(&g, span(b.at, bytes)), &d, &need), 0);
            assert_int_equal(need, bytes < PEER_HEAD_BYTES ? PEER_HEAD_BYTES : b.bytes);
        }
        assert_int_equal(peer_decode(guard_copy(&g, buf_span(&b)), &d, &need), b.bytes);
    }
    struct peer_message d;
    assert_int_equal(peer_decode(span(NULL, 0), &d, NULL), 0);
    guard_destroy(&g);
    buf_finish(&b);
}

/* The version says that another program wrote it, the length that more is needed; all else is
 * caught by the checksum. */
static void a_message_with_any_byte_changed_is_never_taken(void **state)
{
    (void)state;
    struct buf b = {0};
    struct guard g = guard_create(PEER_HEAD_BYTES + PEER_SMALL_BYTES_MAX);
    for (int kind = 1; kind <= KINDS; kind++) {
        encode_sample(&b, (enum peer_kind)kind);
        struct span copy = guard_copy(&g, buf_span(&b));
        char *at = g.at + g.bytes - copy.bytes;
        for (size_t i = 0; i < b.bytes; i++)
            for (int change = 1; change < 256; change++) {
                struct peer_message d;
                at[i] = (char)(b.at[i] ^ change);
                long rc = peer_decode(copy, &d, NULL);
                at[i] = b.at[i];
                bool length = i >= 8 && i < 12, version = i == 3;
                if (rc != ERR_BAD_REQUEST && !(length && rc == 0) && !(version && rc == ERR_NEWER))
                    fail_msg("kind %d, byte %zu changed by %d: %ld", kind, i, change, rc);
            }
    }
    guard_destroy(&g);
    buf_finish(&b);
}

/* The checksum is right, so each field is on its own: whatever it is changed to, the message is
 * refused or encodes to the same bytes. */
static void what_is_taken_has_one_encoding(void **state)
{
    (void)state;
    struct buf b = {0}, again = {0};
    for (int kind = 1; kind <= KINDS; kind++) {
        encode_sample(&b, (enum peer_kind)kind);
        for (size_t i = 0; i < b.bytes; i++)
            for (int change = 1; change < 256; change += i < 200 ? 1 : 37) {
                struct peer_message d;
                b.at[i] = (char)(b.at[i] ^ change);
                fix_head(&b);
                if (peer_decode(buf_span(&b), &d, NULL) == (long)b.bytes) {
                    buf_reset(&again, SIZE_MAX);
                    peer_encode(&again, &d);
                    assert_true(span_eq(buf_span(&again), buf_span(&b)));
                }
                b.at[i] = (char)(b.at[i] ^ change);
            }
    }
    buf_finish(&again);
    buf_finish(&b);
}

static void a_body_must_be_used_up(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int kind = 1; kind <= KINDS; kind++) {
        struct peer_message d;
        const char *rest = rest_of((enum peer_kind)kind);
        encode_sample(&b, (enum peer_kind)kind);
        buf_add_char(&b, '\0');
        fix_head(&b);
        assert_int_equal(peer_decode(buf_span(&b), &d, NULL),
                         rest[0] != '\0' ? (long)b.bytes : ERR_BAD_REQUEST);
        /* without its last bytes; or without any of the rest, and then some */
        size_t most = b.bytes - 2 - strlen(rest);
        for (size_t bytes = PEER_HEAD_BYTES; bytes <= most; bytes++) {
            encode_sample(&b, (enum peer_kind)kind);
            b.bytes = bytes;
            fix_head(&b);
            assert_int_equal(peer_decode(buf_span(&b), &d, NULL), ERR_BAD_REQUEST);
        }
    }
    buf_finish(&b);
}

static void a_length_beyond_the_limit_is_told_from_the_head(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int kind = 1; kind <= KINDS; kind++) {
        struct peer_message d;
        size_t need;
        bool carries = rest_of((enum peer_kind)kind)[0] != '\0';
        uint32_t most = carries ? PEER_BODY_BYTES_MAX : PEER_SMALL_BYTES_MAX;
        encode_sample(&b, (enum peer_kind)kind);
        struct span head = span(b.at, PEER_HEAD_BYTES);
        put_u32(b.at + 8, most);
        assert_int_equal(peer_decode(head, &d, &need), 0);
        assert_int_equal(need, PEER_HEAD_BYTES + most);
        put_u32(b.at + 8, most + 1);
        assert_int_equal(peer_decode(head, &d, &need), ERR_BAD_REQUEST);
        put_u32(b.at + 8, UINT32_MAX);
        assert_int_equal(peer_decode(head, &d, &need), ERR_BAD_REQUEST);
    }
    buf_finish(&b);
}

static void another_version_is_told_by_four_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    struct peer_message d;
    size_t need;
    encode_sample(&b, PEER_HELLO);
    for (int version = 0; version < 256; version++) {
        b.at[3] = (char)version;
        long expected = version == PEER_VERSION ? 0 : ERR_NEWER;
        assert_int_equal(peer_decode(span(b.at, 4), &d, &need), expected);
        assert_int_equal(peer_decode(span(b.at, 3), &d, &need), 0);
        assert_int_equal(need, PEER_HEAD_BYTES);
    }
    buf_finish(&b);
}

static void what_is_no_message_is_told_by_its_first_bytes(void **state)
{
    (void)state;
    static const char *const bad[] = {"G", "{", "\xd5N", "\xd5no", "\xd5nTx", "\xd6nt\x01"};
    struct peer_message d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(peer_decode(span_of(bad[i]), &d, NULL), ERR_BAD_REQUEST);
}

static void an_unknown_kind_is_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    struct peer_message d;
    encode_sample(&b, PEER_ACK);
    for (int kind = 0; kind < 256; kind++) {
        b.at[4] = (char)kind;
        fix_head(&b);
        if (kind == 0 || kind > KINDS)
            assert_int_equal(peer_decode(buf_span(&b), &d, NULL), ERR_BAD_REQUEST);
    }
    buf_finish(&b);
}

/* --- What the fields may be --- */

static void a_name_is_as_app_name_takes_it(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a",
        "Z",
        "0",
        "-",
        "_",
        "...",
        "node-1.example_x",
        "123456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {"",     ".",     "..",          "a b",  "a/b", "a\n",
                                      "\x7f", "\x80z", "caf\xc3\xa9", "서버", "a,b", "a:1"};
    struct peer_message m = sample(PEER_HELLO);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        m.hello.server = server(good[i], 1);
        assert_good(&m);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        m.hello.server = server(bad[i], 1);
        assert_bad(&m);
    }
}

/* The sample with other bytes for the sentence of a REFUSE. */
static long decode_sentence(struct span sentence, struct peer_message *d)
{
    struct buf b = {0};
    encode_sample(&b, PEER_REFUSE);
    b.bytes = PEER_HEAD_BYTES + 9;
    buf_add_char(&b, (char)sentence.bytes);
    buf_add_span(&b, sentence);
    fix_head(&b);
    long rc = peer_decode(buf_span(&b), d, NULL);
    bool taken = rc == (long)b.bytes;
    buf_finish(&b);
    return taken ? 0 : rc;
}

static void a_sentence_is_printable_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"\n",       "a\x1b[2J",   "\x7f",
                                      "\xc2\x9b", "\xc2\x80",   "\xc0\x80",
                                      "\xff",     "ab\xe2\x82", "\xed\xa0\x80"};
    char most[UINT8_MAX];
    struct peer_message d;
    memset(most, 'x', sizeof most);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(decode_sentence(span_of(bad[i]), &d), ERR_BAD_REQUEST);
    assert_int_equal(decode_sentence(span("a\0b", 3), &d), ERR_BAD_REQUEST);
    assert_int_equal(decode_sentence(span_of("\xc2\xa0 ~ 한글 \xf0\x9f\x98\x80"), &d), 0);
    assert_string_equal(d.refuse.sentence, "\xc2\xa0 ~ 한글 \xf0\x9f\x98\x80");
    assert_int_equal(decode_sentence(span(most, 0), &d), 0);
    assert_int_equal(decode_sentence(span(most, DETAIL_BYTES_MAX - 1), &d), 0);
    assert_int_equal(strlen(d.refuse.sentence), DETAIL_BYTES_MAX - 1);
    assert_int_equal(decode_sentence(span(most, DETAIL_BYTES_MAX), &d), ERR_BAD_REQUEST);
}

static void an_address_is_printable_and_bounded(void **state)
{
    (void)state;
    struct buf b = {0}, longer = {0};
    struct peer_message m = sample(PEER_HELLO), d;
    memset(m.hello.address, 'x', PEER_ADDRESS_BYTES_MAX);
    assert_good(&m);
    peer_encode(&b, &m);
    size_t at = PEER_HEAD_BYTES + 16 + 4 + 4 + 1 + strlen(m.hello.server.name) + PEER_ID_BYTES;
    assert_int_equal(b.at[at], PEER_ADDRESS_BYTES_MAX);
    b.at[at]++;
    buf_add(&longer, b.at, at + 1);
    buf_add_char(&longer, 'x');
    buf_add(&longer, b.at + at + 1, b.bytes - at - 1);
    fix_head(&longer);
    assert_int_equal(peer_decode(buf_span(&longer), &d, NULL), ERR_BAD_REQUEST);
    b.at[at]--;
    b.at[at + 1] = '\r';
    fix_head(&b);
    assert_int_equal(peer_decode(buf_span(&b), &d, NULL), ERR_BAD_REQUEST);
    memset(m.hello.address, 0, sizeof m.hello.address);
    assert_good(&m);
    buf_finish(&longer);
    buf_finish(&b);
}

static void what_is_not_printable_is_replaced_before_it_is_sent(void **state)
{
    (void)state;
    struct buf b = {0};
    struct peer_message m = sample(PEER_REFUSE), d;
    strcpy(m.refuse.sentence, "a\nb\xe2\x82");
    peer_encode(&b, &m);
    assert_int_equal(peer_decode(buf_span(&b), &d, NULL), b.bytes);
    assert_string_equal(d.refuse.sentence, "a?b??");
    buf_finish(&b);
}

static void points_ascend(void **state)
{
    (void)state;
    struct peer_message m = sample(PEER_HELLO);
    m.hello.points_count = 2;
    m.hello.points[0] = (struct peer_point){.epoch = 3, .index = 7};
    m.hello.points[1] = (struct peer_point){.epoch = 3, .index = 8};
    assert_good(&m);
    m.hello.points[1].index = 7;
    assert_bad(&m);
    m.hello.points[1].index = 6;
    assert_bad(&m);
    m.hello.points[1] = (struct peer_point){.epoch = 2, .index = 8};
    assert_bad(&m);
    m.hello.points[1] = (struct peer_point){.epoch = UINT64_MAX, .index = UINT64_MAX};
    assert_good(&m);
    m.hello.points_count = 1;
    m.hello.points[0] = (struct peer_point){0};
    assert_good(&m);
}

static void there_are_1_to_32_points(void **state)
{
    (void)state;
    struct buf b = {0};
    struct peer_message m = sample(PEER_HELLO), d;
    peer_encode(&b, &m);
    size_t at = b.bytes - 24 * PEER_POINTS_MAX - 1;
    assert_int_equal(b.at[at], PEER_POINTS_MAX);
    for (unsigned i = 0; i < 24; i++)
        buf_add_char(&b, (char)0x7f);
    b.at[at]++;
    fix_head(&b);
    assert_int_equal(peer_decode(buf_span(&b), &d, NULL), ERR_BAD_REQUEST);
    b.at[at] = 0;
    b.bytes = at + 1;
    fix_head(&b);
    assert_int_equal(peer_decode(buf_span(&b), &d, NULL), ERR_BAD_REQUEST);
    buf_finish(&b);
}

static void a_refusal_has_a_known_code(void **state)
{
    (void)state;
    struct peer_message m = sample(PEER_REFUSE);
    for (int code = 0; code < REFUSE_COUNT; code++) {
        m.refuse.code = (enum peer_refusal)code;
        assert_good(&m);
    }
    m.refuse.code = REFUSE_COUNT;
    assert_bad(&m);
}

static void an_update_has_entries_with_indexes(void **state)
{
    (void)state;
    struct peer_message m = sample(PEER_UPDATE);
    m.update.first = 0;
    assert_bad(&m);
    m.update.first = 6;
    assert_good(&m);
    m.update.first = 7;
    assert_bad(&m);
    m = sample(PEER_UPDATE);
    m.update.entries.bytes = 0;
    assert_bad(&m);
}

static void a_copy_has_an_entry_and_bytes_and_begins_within_them(void **state)
{
    (void)state;
    struct peer_message m = sample(PEER_COPY_HEAD);
    m.copy_head.offset = m.copy_head.bytes;
    assert_good(&m);
    m.copy_head.offset++;
    assert_bad(&m);
    m.copy_head.offset = m.copy_head.bytes = 0;
    assert_bad(&m);
    m = sample(PEER_COPY_HEAD);
    m.copy_head.at.index = 0;
    assert_bad(&m);
    m = sample(PEER_COPY_CHUNK);
    m.copy_chunk.bytes.bytes = 0;
    assert_bad(&m);
    m = sample(PEER_COPY_ASK); /* of no copy yet, by a server of no cluster yet */
    m.copy_ask.have = (struct peer_point){0};
    m.copy_ask.offset = 0;
    memset(m.copy_ask.cluster, 0, PEER_ID_BYTES);
    assert_good(&m);
}

static void there_are_1_to_128_writes(void **state)
{
    (void)state;
    struct peer_message forward = sample(PEER_FORWARD), answer = sample(PEER_ANSWER);
    static const uint32_t bad[] = {0, BATCH_WRITES_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        forward.forward.count = answer.answer.count = bad[i];
        assert_bad(&forward);
        assert_bad(&answer);
    }
    forward.forward.count = answer.answer.count = BATCH_WRITES_MAX;
    assert_good(&forward);
    assert_good(&answer);
}

static void a_boolean_is_0_or_1(void **state)
{
    (void)state;
    static const struct {
        enum peer_kind kind;
        size_t at;
    } all[] = {{PEER_UPDATE, 24}, {PEER_ACK, 40}, {PEER_COMMIT, 16}, {PEER_COMMIT, 17}};
    struct buf b = {0};
    struct peer_message d;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        encode_sample(&b, all[i].kind);
        for (int byte = 0; byte < 256; byte++) {
            b.at[PEER_HEAD_BYTES + all[i].at] = (char)byte;
            fix_head(&b);
            assert_int_equal(peer_decode(buf_span(&b), &d, NULL),
                             byte <= 1 ? (long)b.bytes : ERR_BAD_REQUEST);
        }
    }
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_those_of_the_header),
        cmocka_unit_test(every_kind_decodes_to_what_was_encoded),
        cmocka_unit_test(messages_are_appended_one_behind_the_other),
        cmocka_unit_test(nothing_is_appended_of_what_finds_no_room_or_is_too_long),
        cmocka_unit_test(a_message_cut_anywhere_needs_more),
        cmocka_unit_test(a_message_with_any_byte_changed_is_never_taken),
        cmocka_unit_test(what_is_taken_has_one_encoding),
        cmocka_unit_test(a_body_must_be_used_up),
        cmocka_unit_test(a_length_beyond_the_limit_is_told_from_the_head),
        cmocka_unit_test(another_version_is_told_by_four_bytes),
        cmocka_unit_test(what_is_no_message_is_told_by_its_first_bytes),
        cmocka_unit_test(an_unknown_kind_is_refused),
        cmocka_unit_test(a_name_is_as_app_name_takes_it),
        cmocka_unit_test(a_sentence_is_printable_text),
        cmocka_unit_test(an_address_is_printable_and_bounded),
        cmocka_unit_test(what_is_not_printable_is_replaced_before_it_is_sent),
        cmocka_unit_test(points_ascend),
        cmocka_unit_test(there_are_1_to_32_points),
        cmocka_unit_test(a_refusal_has_a_known_code),
        cmocka_unit_test(an_update_has_entries_with_indexes),
        cmocka_unit_test(a_copy_has_an_entry_and_bytes_and_begins_within_them),
        cmocka_unit_test(there_are_1_to_128_writes),
        cmocka_unit_test(a_boolean_is_0_or_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
