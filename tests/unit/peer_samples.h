/* One message between servers of each kind, for tests of their bytes. */
#ifndef PEER_SAMPLES_H
#define PEER_SAMPLES_H

#include "base/bytes.h"
#include "base/crc32c.h"
#include "repl/peer.h"

enum { KINDS = PEER_COPY_CHUNK };

static inline struct peer_server server(const char *name, int id)
{
    struct peer_server s = {0};
    memcpy(s.name, name, strlen(name));
    memset(s.id, id, sizeof s.id);
    return s;
}

static inline struct peer_hello hello(void)
{
    struct peer_hello h = {
        .group = 1,
        .generation = 2,
        .server = server("node-B_2.example", 7),
        .address = "[::1]:5001",
        .life = 3,
        .promised_epoch = 4,
        .promised_life = UINT64_MAX,
        .points_count = PEER_POINTS_MAX,
    };
    memset(h.cluster, 9, sizeof h.cluster);
    for (unsigned i = 0; i < PEER_POINTS_MAX; i++)
        h.points[i] = (struct peer_point){.epoch = 5 + i / 2, .index = i * 10, .chain = 77 * i};
    return h;
}

/* One message of each kind, with every field set. */
static inline struct peer_message sample(enum peer_kind kind)
{
    struct peer_message m = {.kind = kind, .epoch = 0x0102030405060708, .session = 0x1112};
    switch (kind) {
    case PEER_HELLO:
        m.hello = hello();
        break;
    case PEER_WELCOME:
        m.welcome = (struct peer_welcome){.cluster = {1, 2, 3},
                                          .generation = 4,
                                          .server = server("a", 8),
                                          .life = 5,
                                          .match = {.epoch = 6, .index = 7, .chain = 8},
                                          .commit = 9,
                                          .goal = 10};
        break;
    case PEER_REFUSE:
        m.refuse = (struct peer_refuse){.code = REFUSE_FULL,
                                        .promised_epoch = 3,
                                        .sentence = "서버가 너무 많다: 16 servers, caf\xc3\xa9"};
        break;
    case PEER_UPDATE:
        m.update = (struct peer_update){
            .first = 4, .last = 6, .commit = 3, .in_sync = true, .entries = span_of("entries")};
        break;
    case PEER_ACK:
        m.ack = (struct peer_ack){.durable = 0x0101010101010102,
                                  .applied = 0x0303030303030304,
                                  .digest = 0x0505050505050506,
                                  .first_seq = 0x0707070707070708,
                                  .last_seq = 0x090909090909090a,
                                  .beat = true};
        break;
    case PEER_COMMIT:
        m.commit = (struct peer_commit){.commit = 1, .digest = 2, .in_sync = true, .beat = false};
        break;
    case PEER_FORWARD:
        m.forward = (struct peer_forward){.id = 1, .count = 2, .writes = span_of("writes")};
        break;
    case PEER_ANSWER:
        m.answer =
            (struct peer_answer){.id = 1, .index = 2, .count = 3, .answers = span_of("answers")};
        break;
    case PEER_COPY_ASK:
        m.copy_ask = (struct peer_copy_ask){.cluster = {1, 2},
                                            .group = 3,
                                            .server = server("b", 4),
                                            .have = {.epoch = 5, .index = 6, .chain = 7},
                                            .seal = 9,
                                            .offset = 8};
        break;
    case PEER_COPY_HEAD:
        m.copy_head = (struct peer_copy_head){.cluster = {1, 2},
                                              .at = {.epoch = 3, .index = 4, .chain = 5},
                                              .bytes = 7,
                                              .seal = 9,
                                              .offset = 6};
        break;
    case PEER_COPY_CHUNK:
        m.copy_chunk = (struct peer_copy_chunk){.offset = 1, .bytes = span_of("bytes")};
        break;
    }
    return m;
}

/* What stands at the end of the kinds whose last field is the rest of the body; the others: "". */
static inline const char *rest_of(enum peer_kind kind)
{
    static const char *const rests[KINDS + 1] = {[PEER_UPDATE] = "entries",
                                                 [PEER_FORWARD] = "writes",
                                                 [PEER_ANSWER] = "answers",
                                                 [PEER_COPY_CHUNK] = "bytes"};
    return rests[kind] != NULL ? rests[kind] : "";
}

static inline void encode_sample(struct buf *to, enum peer_kind kind)
{
    struct peer_message m = sample(kind);
    buf_reset(to, SIZE_MAX);
    peer_encode(to, &m);
}

/* Servers node-a, node-b, … */
static inline struct peer_set set_of(unsigned count)
{
    struct peer_set set = {.count = count};
    for (unsigned i = 0; i < count && i < PEER_SET_MAX; i++) {
        set.list[i] = server("node-a", (int)i + 1);
        set.list[i].name[5] = (char)('a' + i);
    }
    return set;
}

/* After a change, as a sender would have made it. */
static inline void fix_head(struct buf *b)
{
    put_u32(b->at + 8, (uint32_t)(b->bytes - PEER_HEAD_BYTES));
    uint32_t crc = crc32c(crc32c(0, b->at, 12), b->at + 16, b->bytes - 16);
    put_u32(b->at + 12, crc);
}

#endif
