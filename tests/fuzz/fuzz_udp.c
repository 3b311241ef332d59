/*
 * JSON over UDP, any datagram: it is dropped and counted, or has one answer of at most 1200 bytes
 * to the one who asked, with its rid. Sent once more it has the same answer; and over TCP, under
 * the same key, the same one again, but where that is too long for a datagram.
 *
 * Input: a byte (bit 0: larger limits; 1: writes are answered too late; 2: none is taken; 3: no
 * read is served; 4: there is a long list, /l); then, with 0xfe between two, datagrams, as expand()
 * reads them.
 */
#include "record/json.h"
#include "support/front_world.h"

enum { LARGE_LIMITS = 1, ORDER_LATE = 2, REFUSED = 4, NOT_READY = 8, LONG_LIST = 16 };
enum { DATAGRAMS_MAX = 16 };

/* The value of a member of an object that json_scan accepts; no bytes: it is not there. */
static struct span member(struct world *w, struct span object, const char *name)
{
    struct json_found found;
    struct json_member m;
    if (json_scan(w->x.json, object, false, &found) <= 0 || found.type != JSON_OBJECT)
        return span(NULL, 0);
    for (struct json_walk walk = json_walk(found.text); json_next(&walk, &m);)
        if (json_string_is(m.name, span_of(name)))
            return m.value;
    return span(NULL, 0);
}

/* The rid of a head as an answer is to have it. */
static void expect_rid(struct world *w, struct span datagram, struct buf *to)
{
    struct span rid = member(w, datagram, "rid");
    char *text = malloc(rid.bytes + 1);
    assert(text != NULL);
    size_t bytes = 0;
    if (rid.bytes > 2 && rid.at[0] == '"')
        bytes = json_string_decode(span(rid.at + 1, rid.bytes - 2), text);
    if (bytes != 0 && bytes <= RID_BYTES_MAX)
        json_quote(to, span(text, bytes));
    free(text);
}

/* One answer, or none and one more that was dropped. */
static void check_reply(struct world *w, struct span datagram, uint64_t dropped_before)
{
    struct buf rid = {0};
    struct json_found found;
    struct span reply = buf_span(&w->reply);
    uint64_t dropped = atomic_load(&w->status.datagrams_dropped) - dropped_before;
    assert(w->replies + dropped == 1);
    if (w->replies == 0)
        return;
    assert(reply.bytes <= DATAGRAM_ANSWER_BYTES_MAX && reply.bytes != 0);
    assert(memchr(reply.at, '\n', reply.bytes) == reply.at + reply.bytes - 1);
    assert(json_scan(w->x.json, reply, true, &found) > 0 && found.type == JSON_OBJECT);
    expect_rid(w, datagram, &rid);
    assert(span_eq(member(w, reply, "rid"), buf_span(&rid)));
    buf_finish(&rid);
}

static bool is(struct world *w, struct span object, const char *name, const char *value)
{
    return span_is(member(w, object, name), value);
}

/* What a connection says to the same bytes. `reply` is a datagram's answer; none: it was dropped.
 */
static void check_line(struct world *w, struct span reply, struct span line)
{
    static const char *const same[] = {"status", "seq", "etag", "copies", "rid"};
    if (reply.bytes == 0) {
        assert(line.bytes == 0 || is(w, line, "status", "400") || is(w, line, "status", "413"));
    } else if (is(w, reply, "code", "\"use_tcp\"")) {
        assert(line.bytes > DATAGRAM_ANSWER_BYTES_MAX);
    } else if (member(w, reply, "id").bytes != 0) {
        assert(line.bytes > DATAGRAM_ANSWER_BYTES_MAX && member(w, reply, "body").bytes == 0);
        for (size_t i = 0; i < sizeof same / sizeof *same; i++)
            assert(span_eq(member(w, reply, same[i]), member(w, line, same[i])));
        assert(span_eq(member(w, reply, "id"), member(w, member(w, line, "body"), "id")));
    } else if (member(w, reply, "seq").bytes != 0 && !is(w, reply, "code", "\"lagging\"")) {
        assert(span_eq(reply, line));
    }
}

/* Only what the order thread or local storage has said does not depend on time. */
static void check_again(struct world *w, struct span datagram)
{
    struct buf first = w->reply;
    w->reply = (struct buf){0};
    uint64_t dropped = atomic_load(&w->status.datagrams_dropped);
    world_send(w, datagram, 2);
    check_reply(w, datagram, dropped);
    struct span a = buf_span(&first), b = buf_span(&w->reply);
    bool status = a.bytes != 0 && memmem(a.at, a.bytes, "\"uptime_ms\":", 12) != NULL;
    assert(status || span_eq(a, b));

    if (memchr("{ \t\r\n", datagram.at[0], 5) ==
        NULL) { /* a connection would be taken for HTTP's */
        assert(a.bytes == 0);
        buf_finish(&first);
        return;
    }
    const struct line *l = world_connect(w, datagram);
    world_run(w);
    assert(l->conn == NULL);
    struct span line = buf_span(&l->heard);
    const char *end = line.bytes == 0 ? NULL : memchr(line.at, '\n', line.bytes);
    if (!status && (end != NULL || line.bytes == 0))
        check_line(w, a, span(line.at, end == NULL ? 0 : (size_t)(end + 1 - line.at)));
    world_forget_lines(w);
    buf_finish(&first);
}

static void send_one(struct world *w, struct span datagram, unsigned how)
{
    uint64_t dropped = atomic_load(&w->status.datagrams_dropped);
    if (datagram.bytes == 0 || datagram.bytes > DATAGRAM_BYTES_MAX)
        return;
    world_send(w, datagram, 1);
    check_reply(w, datagram, dropped);
    if ((how & ORDER_LATE) == 0)
        check_again(w, datagram);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct buf all = {0};
    unsigned how = size == 0 ? 0 : data[0];
    expand(&all, data + (size != 0), size - (size != 0), 2 * DATAGRAM_BYTES_MAX);
    world_init(&w);
    w.settings.record_bytes_max = (how & LARGE_LIMITS) != 0 ? 64 * KIB : KIB;
    w.settings.head_bytes_max = (how & LARGE_LIMITS) != 0 ? 16 * KIB : KIB;
    w.order_late = (how & ORDER_LATE) != 0;
    w.status.refusal = (how & REFUSED) != 0 ? ERR_TOO_FEW_COPIES : 0;
    w.status.ready = (how & NOT_READY) == 0;
    w.has_long_list = (how & LONG_LIST) != 0;
    world_open(&w);
    struct span rest = buf_span(&all);
    for (unsigned i = 0; i < DATAGRAMS_MAX && rest.bytes != 0; i++) {
        const char *end = memchr(rest.at, 0xfe, rest.bytes);
        size_t bytes = end == NULL ? rest.bytes : (size_t)(end - rest.at);
        send_one(&w, span(rest.at, bytes), how);
        bytes += end != NULL;
        rest = span(rest.at + bytes, rest.bytes - bytes);
    }
    world_close(&w);
    buf_finish(&all);
    return 0;
}
