/* Text on its way out: as a JSON string, and UTF-8 told from what is not. Knows nothing of JSON
 * values. */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

#define TEXT_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The bytes (1 to 4) of the UTF-8 character at the start of `text`; 0 where there is none
 * (RFC 3629: neither overlong forms, nor surrogates, nor code points above U+10FFFF). */
size_t utf8_char_bytes(struct span text);

/* The same where that character is no control character: what others say is shown on terminals,
 * which obey those of ASCII, and U+0080 to U+009F (ECMA-48 section 5.3). */
size_t utf8_printable_bytes(struct span text);

/* Appends `text` as a JSON string (RFC 8259) with its quotes. Each byte that is not part of valid
 * UTF-8 becomes U+FFFD, so that the result is always JSON. */
void buf_add_json(struct buf *b, struct span text);

#endif
