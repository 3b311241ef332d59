/* Values that an input is made of, one behind another. */
#ifndef FUZZ_COMPACT_INPUT_H
#define FUZZ_COMPACT_INPUT_H

#include <assert.h>
#include <stdlib.h>

#include "record/json.h"

/* The compact value of this type that the input begins with, in memory of its own, to be freed;
 * takes it off the input. False: it does not begin with one. */
static inline bool take_value(struct json *j, struct span *input, struct span *value,
                              enum json_type type)
{
    struct json_found found;
    long bytes = json_scan(j, *input, false, &found);
    if (bytes <= 0 || found.type != type)
        return false;
    char *squeezed = malloc(found.text.bytes);
    assert(squeezed != NULL);
    size_t kept = json_compact(found.text, squeezed);
    squeezed = realloc(squeezed, kept); /* no byte more, so that a sanitizer sees reads outside */
    assert(squeezed != NULL);
    *value = span(squeezed, kept);
    *input = span(input->at + bytes, input->bytes - (size_t)bytes);
    return true;
}

#endif
