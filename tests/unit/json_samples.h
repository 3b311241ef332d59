/* Texts that the JSON scanner must accept, for the tests that cut and walk them. */
#ifndef TESTS_JSON_SAMPLES_H
#define TESTS_JSON_SAMPLES_H

#include "record/json.h"

/* A literal that may hold NUL bytes. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

struct json_sample {
    struct span text;
    enum json_type type;
    bool spaced; /* between its tokens */
};

static const struct json_sample json_samples[] = {
    /* objects */
    {TEXT("{}"), JSON_OBJECT, false},
    {TEXT("{ }"), JSON_OBJECT, true},
    {TEXT("{\"\":0}"), JSON_OBJECT, false},
    {TEXT("{\"a\":1}"), JSON_OBJECT, false},
    {TEXT("{\"a\" : 1}"), JSON_OBJECT, true},
    {TEXT("{\"a\":1\n}"), JSON_OBJECT, true},
    {TEXT("{\"a\":{\"a\":{\"a\":{}}},\"b\":{\"a\":[{\"a\":1},{\"a\":2}]}}"), JSON_OBJECT, false},
    {TEXT("{\"a\":\"}\",\"{\":\"\\\"}\",\"\\\\\":[\"]\"]}"), JSON_OBJECT, false},
    {TEXT("{\"a\\u0000b\":1,\"a\\u0000c\":2,\"a\":3,\"\\u0000\":4,\"\":5}"), JSON_OBJECT, false},
    {TEXT("{\"\\ud83d\\ude00\":1,\"\\ud83d\\ude01\":2,\"\xf0\x9f\x98\x82\":3}"), JSON_OBJECT,
     false},
    {TEXT("{\"title\":\"Buy milk and bread\",\"body\":\"Remember the lactose-free one\","
          "\"done\":false,\"priority\":3,\"created\":1700000000,\"tag\":null}"),
     JSON_OBJECT, false},
    {TEXT("{\r\n\t\"title\": \"\xec\x9a\xb0\xec\x9c\xa0\",\r\n\t\"tags\": [ \"a\" , true ]\r\n}"),
     JSON_OBJECT, true},
    {TEXT("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,"
          "\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":{\"a\":1},\"q\":1,\"r\":{\"q\":1}}"),
     JSON_OBJECT, false},
    /* arrays */
    {TEXT("[]"), JSON_ARRAY, false},
    {TEXT("[\t]"), JSON_ARRAY, true},
    {TEXT("[[],[[]],{}]"), JSON_ARRAY, false},
    {TEXT("[0,-0,1,-1,10,0.0,-0.5,1.25,1e5,1E+5,1e-5,0e0,1.5e007]"), JSON_ARRAY, false},
    {TEXT("[123456789012345678901234567890,1e400,-1e-400,1.10]"), JSON_ARRAY, false},
    {TEXT("[true,false,null]"), JSON_ARRAY, false},
    {TEXT("[1 ,2]"), JSON_ARRAY, true},
    {TEXT("[{\"a\":1},{\"a\":1}]"), JSON_ARRAY, false},
    /* strings */
    {TEXT("\"\""), JSON_STRING, false},
    {TEXT("\" \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0000 \\uAbCd \""), JSON_STRING, false},
    {TEXT("\"a string of more than sixteen bytes, then an escape \\n and thirty-two more\""),
     JSON_STRING, false},
    {TEXT("\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"" /* limits */),
     JSON_STRING, false},
    {TEXT("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), JSON_STRING, false},
    {TEXT("\"\\ud800\\udc00\\uDBFF\\uDFFF\\uffff\\ud7ff\\ue000\""), JSON_STRING, false},
    /* the others */
    {TEXT("true"), JSON_TRUE, false},
    {TEXT("false"), JSON_FALSE, false},
    {TEXT("null"), JSON_NULL, false},
    {TEXT("0"), JSON_NUMBER, false},
    {TEXT("-12.50e+3"), JSON_NUMBER, false},
};

enum { JSON_SAMPLES = sizeof json_samples / sizeof *json_samples };

#endif
