/* Messages as people read them in a trace. */
#include <stdio.h>

#include "sim.h"

typedef unsigned long long u;

/* Generation and start, as in "%u.%u". */
#define EPOCH(e) (unsigned)((e) >> 32), (unsigned)(e)

static void hello(const struct peer_hello *h, char *to, size_t bytes)
{
    int used = snprintf(to, bytes, "hello %s promised %u.%u, log", h->server.name,
                        EPOCH(h->promised_epoch));
    for (unsigned i = 0; i < h->points_count && (size_t)used < bytes; i++)
        used += snprintf(to + used, bytes - (size_t)used, " %u.%u/%llu", EPOCH(h->points[i].epoch),
                         (u)h->points[i].index);
}

void text_message(const struct peer_message *m, char *to, size_t bytes)
{
    u session = m->session;
    switch (m->kind) {
    case PEER_HELLO:
        hello(&m->hello, to, bytes);
        break;
    case PEER_WELCOME:
        snprintf(to, bytes, "welcome, match %u.%u/%llu commit %llu goal %llu in %u.%u/%llx",
                 EPOCH(m->welcome.match.epoch), (u)m->welcome.match.index, (u)m->welcome.commit,
                 (u)m->welcome.goal, EPOCH(m->epoch), session);
        break;
    case PEER_REFUSE:
        snprintf(to, bytes, "refuse %d: %s", (int)m->refuse.code, m->refuse.sentence);
        break;
    case PEER_UPDATE:
        snprintf(to, bytes, "update %llu..%llu commit %llu in %u.%u/%llx%s", (u)m->update.first,
                 (u)m->update.last, (u)m->update.commit, EPOCH(m->epoch), session,
                 m->update.in_sync ? " in sync" : "");
        break;
    case PEER_ACK:
        snprintf(to, bytes, "ack %llu applied %llu in %u.%u/%llx%s", (u)m->ack.durable,
                 (u)m->ack.applied, EPOCH(m->epoch), session, m->ack.beat ? " beat" : "");
        break;
    case PEER_COMMIT:
        snprintf(to, bytes, "commit %llu in %u.%u/%llx%s%s", (u)m->commit.commit, EPOCH(m->epoch),
                 session, m->commit.in_sync ? " in sync" : "", m->commit.beat ? " beat" : "");
        break;
    case PEER_FORWARD:
        snprintf(to, bytes, "forward %llu: %u writes in %u.%u/%llx", (u)m->forward.id,
                 m->forward.count, EPOCH(m->epoch), session);
        break;
    case PEER_ANSWER:
        snprintf(to, bytes, "answer %llu, from entry %llu on, in %u.%u/%llx", (u)m->answer.id,
                 (u)m->answer.index, EPOCH(m->epoch), session);
        break;
    case PEER_COPY_ASK:
        snprintf(to, bytes, "copy ask, has %llu bytes of %llu", (u)m->copy_ask.offset,
                 (u)m->copy_ask.have.index);
        break;
    case PEER_COPY_HEAD:
        snprintf(to, bytes, "copy of %llu, %llu bytes from %llu on", (u)m->copy_head.at.index,
                 (u)m->copy_head.bytes, (u)m->copy_head.offset);
        break;
    case PEER_COPY_CHUNK:
        snprintf(to, bytes, "copy chunk at %llu, %zu bytes", (u)m->copy_chunk.offset,
                 m->copy_chunk.bytes.bytes);
        break;
    }
}
