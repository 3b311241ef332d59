/* One kept message as text. Private to the message log: knows what is kept of a message, not where.
 */
#ifndef OPS_MESSAGE_FORMAT_H
#define OPS_MESSAGE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ops/message_log.h"

enum message_part { MESSAGE_WORDS, MESSAGE_TARGET, MESSAGE_PAYLOAD, MESSAGE_PARTS };

enum {
    MESSAGE_WORDS_BYTES_MAX = 88,
    MESSAGE_TARGET_BYTES_MAX = 120,
    MESSAGE_PAYLOAD_BYTES_MAX = 200,
    MESSAGE_TEXT_BYTES =
        MESSAGE_WORDS_BYTES_MAX + MESSAGE_TARGET_BYTES_MAX + MESSAGE_PAYLOAD_BYTES_MAX,
};

/* A whole number of 64-bit words, as which the ring copies it. */
struct message_kept {
    uint64_t number;
    uint64_t wall_us;
    int32_t status;
    uint8_t step, actor, kind;
    uint8_t cut; /* bit p: part p went on */
    uint8_t bytes[MESSAGE_PARTS];
    char text[MESSAGE_TEXT_BYTES + 5]; /* the parts, one behind the other */
};
_Static_assert(sizeof(struct message_kept) % sizeof(uint64_t) == 0, "copied by words");

/* Memory that is used again from message to message; zero is empty. */
struct message_scratch {
    struct buf text, line;
};
void message_scratch_finish(struct message_scratch *s);

/* Appends one message; b->failed says that memory was missing. */
void message_format(struct buf *b, const struct message_kept *k, const char *app_name,
                    enum message_format format, struct message_scratch *s);

#endif
