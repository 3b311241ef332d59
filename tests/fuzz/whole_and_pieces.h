/*
 * One client's bytes, said to a front end twice: all at once, with everything else at once; and cut
 * in pieces, with answers that come late and are taken in pieces. Both must be answered the same.
 *
 * Input: a byte of enum circumstances; a count and so many bytes, the choices of the second time;
 * the stream, in which 0xff N C is 64 * N times the byte C.
 */
#ifndef WHOLE_AND_PIECES_H
#define WHOLE_AND_PIECES_H

#include "support/front_world.h"

enum { STREAM_BYTES_MAX = 160 * 1024 };

enum circumstances {
    LARGE_LIMITS = 1,
    ORDER_LATE = 2,  /* writes are answered too late */
    BREAKS = 4,      /* the connection does, the second time */
    DRAINS = 8,      /* the front end is told to end, the second time */
    REFUSED = 16,    /* no write is taken */
    NOT_READY = 32,  /* and no read served */
    NOT_SERVED = 64, /* the protocol is not among those served */
    LONG_LIST = 128, /* there is one, /l */
};

struct script {
    unsigned how;
    struct choices choices;
    struct buf stream;
    bool stays;
};

static void script_of(struct script *s, const uint8_t *data, size_t size)
{
    *s = (struct script){.how = size == 0 ? 0 : data[0]};
    size_t count = size < 2 ? 0 : data[1], at = size < 2 ? size : 2;
    count = count < size - at ? count : size - at;
    s->choices = (struct choices){data + at, count, 0};
    expand(&s->stream, data + at + count, size - at - count, STREAM_BYTES_MAX);
    s->stays = s->stream.bytes != 0 && (uint8_t)s->stream.at[s->stream.bytes - 1] == 0xfd;
    s->stream.bytes -= s->stays;
}

/* Without what depends on when something came: 100 Continue, times, a stream's signs of life. */
static void forget_time(struct buf *heard)
{
    static const char *const passing[] = {"HTTP/1.1 100 Continue\r\n\r\n", "3\r\n:\n\n\r\n"};
    static const char *const uptimes[] = {"\"uptime_ms\":", "uptime_seconds "};
    for (size_t i = 0; i < 2; i++) {
        size_t bytes = strlen(passing[i]);
        for (char *at; heard->bytes != 0 &&
                       (at = memmem(heard->at, heard->bytes, passing[i], bytes)) != NULL;) {
            memmove(at, at + bytes, (size_t)(heard->at + heard->bytes - at) - bytes);
            heard->bytes -= bytes;
        }
    }
    while (heard->bytes >= 3 && memcmp(heard->at + heard->bytes - 3, ":\n\n", 3) == 0)
        heard->bytes -= 3;
    if (heard->bytes == 0)
        return;
    const char *end = heard->at + heard->bytes;
    for (size_t i = 0; i < 2; i++) {
        size_t bytes = strlen(uptimes[i]);
        for (char *at = heard->at;
             (at = memmem(at, (size_t)(end - at), uptimes[i], bytes)) != NULL;)
            for (at += bytes; at < end && (*at == '.' || (*at >= '0' && *at <= '9')); at++)
                *at = '1';
    }
}

/* Says it; the world is then there to be looked at, and to be closed. */
static struct line *say(struct world *w, const struct script *s, bool whole, unsigned not_served)
{
    world_init(w);
    if ((s->how & LARGE_LIMITS) != 0) {
        w->settings.head_bytes_max = 16 * KIB;
        w->settings.uri_bytes_max = 2 * KIB;
        w->settings.record_bytes_max = 16 * KIB;
    }
    if ((s->how & NOT_SERVED) != 0)
        w->settings.serve &= ~not_served;
    w->has_long_list = (s->how & LONG_LIST) != 0;
    w->order_late = (s->how & ORDER_LATE) != 0;
    w->status.ready = (s->how & NOT_READY) == 0;
    w->status.refusal = (s->how & REFUSED) != 0 ? ERR_TOO_FEW_COPIES : 0;
    if (!whole) {
        w->choices = s->choices;
        w->drains = (s->how & DRAINS) != 0;
    }
    world_open(w);
    struct line *l = world_connect(w, buf_span(&s->stream));
    l->stays = s->stays;
    if (!whole && (s->how & BREAKS) != 0)
        l->break_after = s->stream.bytes - s->stream.bytes / (2 + s->choices.count);
    world_run(w);
    forget_time(&l->heard);
    return l;
}

/* What is no object is told from what is no JSON by as much of it as is there. Both end a
 * connection of JSON: without that last line, where it is one of the two. */
static struct span without_judgement(struct span heard)
{
    static const char *const ends[] = {"{\"msg\":\"ERROR\",\"status\":400,\"code\":\"not_object\"",
                                       "{\"msg\":\"ERROR\",\"status\":400,\"code\":\"bad_json\""};
    const char *feed = heard.bytes < 2 ? NULL : memrchr(heard.at, '\n', heard.bytes - 1);
    size_t at = feed == NULL ? 0 : (size_t)(feed + 1 - heard.at);
    for (size_t i = 0; i < 2; i++)
        if (heard.bytes - at > strlen(ends[i]) &&
            memcmp(heard.at + at, ends[i], strlen(ends[i])) == 0)
            return span(heard.at, at);
    return heard;
}

/* Whether the answers may be compared; if so, they are. */
static void compare(const struct script *s, const struct line *whole, const struct line *pieces)
{
    struct span a = buf_span(&whole->heard), b = buf_span(&pieces->heard);
    struct span c = without_judgement(a), d = without_judgement(b);
    if ((s->how & (ORDER_LATE | DRAINS)) != 0)
        return;
    if ((s->how & BREAKS) != 0 || s->stays) {
        size_t both = b.bytes < c.bytes ? b.bytes : c.bytes;
        assert(both == 0 || memcmp(a.at, b.at, both) == 0);
        assert(b.bytes <= a.bytes || c.bytes != a.bytes);
        return;
    }
    assert(span_eq(a, b) || (c.bytes != a.bytes && d.bytes != b.bytes && span_eq(c, d)));
    assert(whole->reset == pieces->reset && whole->released == pieces->released &&
           whole->given_to_peer == pieces->given_to_peer);
}

#endif
