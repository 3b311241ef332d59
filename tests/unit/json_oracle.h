/* jansson, which judges our JSON: the one file that includes it. Its words for the types, which are
 * ours too, are kept inside. */
#ifndef TESTS_JSON_ORACLE_H
#define TESTS_JSON_ORACLE_H

#include "base/span.h"

#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_TRUE   JANSSON_TRUE
#define JSON_FALSE  JANSSON_FALSE
#define JSON_NULL   JANSSON_NULL
#include <jansson.h>

/* A byte that a value of this type may begin with: { [ " 0 t f n */
static inline char oracle_type(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return '{';
    case JSON_ARRAY:
        return '[';
    case JSON_STRING:
        return '"';
    case JSON_TRUE:
        return 't';
    case JSON_FALSE:
        return 'f';
    case JSON_NULL:
        return 'n';
    default:
        return '0';
    }
}

#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

/* NULL and why: refused. Values may hold NUL, names not. */
static inline json_t *oracle_reads(struct span text, enum json_error_code *why)
{
    json_error_t error;
    json_t *value = json_loadb(text.at, text.bytes,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    *why = value == NULL ? json_error_code(&error) : json_error_unknown;
    return value;
}

/* The bytes of the value that the text begins with, whatever comes behind; 0: none. */
static inline size_t oracle_value_bytes(struct span text)
{
    json_error_t error;
    json_t *value = json_loadb(text.at, text.bytes,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &error);
    size_t bytes = value == NULL ? 0 : (size_t)error.position;
    json_decref(value);
    return bytes;
}

#endif
