/* What the message log gets from the front ends: W1, W5, R1, R2. */
#include "front/inside.h"

static void add(struct front *f, enum message_step step, enum message_kind kind, enum method method,
                struct span target, int status, struct span payload)
{
    const struct message m = {
        .step = step,
        .actor = MESSAGE_CLIENT,
        .kind = kind,
        .words = span_of(method_word(method)),
        .target = target,
        .status = status,
        .payload = payload,
    };
    message_add(f->o.ring, &m);
}

static struct span body_of(const struct answer *a)
{
    return a->code != 0 ? span_of(a->detail) : a->has_body ? a->body : span(NULL, 0);
}

void messages_read(struct front *f, const struct request *rq, const struct answer *a)
{
    if (!message_reads_admit(f->o.ring, front_now_us(f)))
        return;
    add(f, MESSAGE_R1, MESSAGE_REQUEST, rq->method, rq->target, 0, span(NULL, 0));
    add(f, MESSAGE_R2, MESSAGE_REPLY, rq->method, rq->target, a->status, body_of(a));
}

void messages_write_asked(struct front *f, const struct request *rq)
{
    add(f, MESSAGE_W1, MESSAGE_REQUEST, rq->method, rq->target, 0, rq->payload);
}

void messages_write_answered(struct front *f, const struct write_batch *b, const struct write *w,
                             const struct answer *a)
{
    add(f, MESSAGE_W5, MESSAGE_REPLY, w->method, piece_span(&b->asked, w->target), a->status,
        body_of(a));
}
