/* From frame to frame of one segment by heads alone. Writes nothing. */
#include "log/walk.h"

#include "base/err.h"

void walk_rewind(struct walk *w)
{
    w->at = DISK_BLOCK_BYTES;
    w->next = w->segment.first_index;
}

int walk_open(struct walk *w, const char *folder, const struct segment *s)
{
    int code = segment_open(w->disk, folder, s->number, DISK_READ_ONLY, &w->file);
    if (code != 0) {
        w->file = NULL;
        return code;
    }
    w->segment = *s;
    walk_rewind(w);
    return 0;
}

void walk_close(struct walk *w)
{
    if (w->file != NULL)
        w->disk->close(w->file);
    w->file = NULL;
}

int walk_peek(const struct walk *w, uint64_t last, char *head, struct frame *f)
{
    size_t got;
    int code = w->disk->read(w->file, w->at, head, FRAME_HEAD_BYTES, &got);
    if (code != 0)
        return code;
    const struct log_position *p = &f->position;
    bool good = got == FRAME_HEAD_BYTES &&
                frame_peek(head, w->segment.bytes - w->at, w->segment.serial, f) &&
                p->first_index == w->next && p->entries != 0 && p->entries <= last - w->next + 1;
    return good ? 0 : ERR_CORRUPT;
}

void walk_pass(struct walk *w, const struct frame *f)
{
    w->at += f->bytes;
    w->next += f->position.entries;
}
