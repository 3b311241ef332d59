/* The one list of errors, as a table. */
#include "base/err.h"

static const struct err_info rows[] = {{500, "internal", "the server failed; its trace says how"},
#define X(name, status, word, sentence) {status, word, sentence},
                                       ERR_LIST(X)
#undef X
};

const struct err_info *err_info(int code)
{
    return code < 0 && code > -ERR_COUNT_ ? &rows[-code] : &rows[0];
}
