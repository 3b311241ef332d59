/* The message log's part of the order thread: the steps between servers, W2 to W5. Each is logged
 * at both ends; the texts are the contract's. */
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "node/inside.h"

static void say(struct node *n, enum message_step step, enum message_kind kind, const char *text,
                struct span target, int status, struct span payload)
{
    const struct message m = {
        .step = step,
        .actor = MESSAGE_REPLICA,
        .kind = kind,
        .words = span_of(text),
        .target = target,
        .status = status,
        .payload = payload,
    };
    message_add(n->o.ring, &m);
}

/* "POST /notes, from busan" */
static struct span what(const struct write_batch *b, const struct write *w, const char *peer,
                        char *to, size_t bytes)
{
    struct span target = piece_span(&b->asked, w->target);
    int used = snprintf(to, bytes, "%s %.*s%s%s", method_word(w->method), SPAN_ARGS(target),
                        peer != NULL ? ", from " : "", peer != NULL ? peer : "");
    return span(to, (size_t)used < bytes ? (size_t)used : bytes - 1);
}

void say_forward(struct node *n, const char *peer, const struct write_batch *b)
{
    char text[128];
    for (unsigned i = 0; i < b->count; i++)
        say(n, MESSAGE_W2, MESSAGE_REQUEST, "Forward request to primary",
            what(b, &b->writes[i], peer, text, sizeof text), 0,
            piece_span(&b->asked, b->writes[i].payload));
}

static int status_of(const struct write *w)
{
    return w->code != 0 ? err_info(w->code)->status : w->method == METHOD_POST ? 201 : 200;
}

void say_completed(struct node *n, const char *peer, const struct write_batch *b)
{
    char text[128];
    for (unsigned i = 0; i < b->count; i++)
        say(n, MESSAGE_W5, MESSAGE_REPLY, "Acknowledge write completed",
            what(b, &b->writes[i], n->primary ? peer : NULL, text, sizeof text),
            status_of(&b->writes[i]), piece_span(&b->answers, b->writes[i].body));
}

static void say_range(struct node *n, enum message_step step, enum message_kind kind,
                      const char *text, const char *peer, uint64_t first, uint64_t last)
{
    char range[128];
    if (last < first || first == 0) /* an entry of the log's own */
        return;
    int used = first == last ? snprintf(range, sizeof range, "(%s, seq %" PRIu64 ")", peer, first)
                             : snprintf(range, sizeof range, "(%s, seq %" PRIu64 " to %" PRIu64 ")",
                                        peer, first, last);
    say(n, step, kind, text, span(range, (size_t)used), 0, span(NULL, 0));
}

void say_update(struct node *n, const char *peer, uint64_t first_seq, uint64_t last_seq)
{
    say_range(n, MESSAGE_W3, MESSAGE_REQUEST, "Tell backups to update", peer, first_seq, last_seq);
}

void say_acknowledged(struct node *n, const char *peer, uint64_t first_seq, uint64_t last_seq)
{
    say_range(n, MESSAGE_W4, MESSAGE_REPLY, "Acknowledge update", peer, first_seq, last_seq);
}
