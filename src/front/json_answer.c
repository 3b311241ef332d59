/* Answers as JSON: the error object of every protocol, and the lines of TCP and UDP. */
#include "base/err.h"
#include "front/inside.h"

static void number(struct buf *out, const char *before, uint64_t value)
{
    buf_add_text(out, before);
    buf_add_u64(out, value);
}

static void positions(struct buf *out, const struct answer *a)
{
    if (a->has_seq)
        number(out, ",\"seq\":", a->seq);
    if (a->etag != 0) {
        number(out, ",\"etag\":\"", a->etag);
        buf_add_char(out, '"');
    }
    if (a->copies != 0)
        number(out, ",\"copies\":", a->copies);
}

static void mark(struct buf *out, struct span rid)
{
    if (rid.bytes == 0)
        return;
    buf_add_text(out, ",\"rid\":");
    json_quote(out, rid);
}

static void error_members(struct buf *out, const struct answer *a)
{
    const struct err_info *info = err_info(a->code);
    number(out, "{\"msg\":\"ERROR\",\"status\":", (uint64_t)a->status);
    buf_add_text(out, ",\"code\":\"");
    buf_add_text(out, info->word);
    buf_add_text(out, "\",\"detail\":");
    json_quote(out, span_of(a->detail[0] != '\0' ? a->detail : info->sentence));
}

void json_error(struct buf *out, const struct answer *a)
{
    error_members(out, a);
    buf_add_char(out, '}');
}

void json_answer(struct buf *out, const struct answer *a, struct span rid, bool with_body)
{
    if (a->code != 0) {
        error_members(out, a);
        if (a->has_seq)
            number(out, ",\"seq\":", a->seq);
        mark(out, rid);
    } else {
        number(out, "{\"status\":", (uint64_t)a->status);
        positions(out, a);
        mark(out, rid);
        if (!with_body && a->id != 0)
            number(out, ",\"id\":", a->id);
        if (with_body && a->has_body) {
            buf_add_text(out, ",\"body\":");
            if (a->metrics)
                json_quote(out, a->body);
            else
                buf_add_span(out, a->body);
        }
    }
    buf_add_text(out, "}\n");
}

void json_stream_head(struct buf *out, const struct answer *a, struct span rid)
{
    number(out, "{\"status\":", (uint64_t)a->status);
    positions(out, a);
    mark(out, rid);
    buf_add_text(out, ",\"body\":");
}
