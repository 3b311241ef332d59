/* JSON strings and UTF-8. */
#include "base/json_text.h"

#include <stdbool.h>
#include <stdint.h>

size_t utf8_char_bytes(struct span text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    if (text.bytes == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    size_t bytes = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (text.bytes < bytes)
        return 0;
    /* RFC 3629 section 4: only the second byte's range depends on the first */
    uint8_t low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return bytes;
}

size_t utf8_printable_bytes(struct span text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t bytes = utf8_char_bytes(text);
    bool control = (bytes == 1 && (at[0] < 0x20 || at[0] == 0x7f)) ||
                   (bytes == 2 && at[0] == 0xc2 && at[1] < 0xa0);
    return control ? 0 : bytes;
}

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

static void add_escaped(struct buf *b, char c)
{
    switch (c) {
    case '"':
        buf_add_text(b, "\\\"");
        break;
    case '\\':
        buf_add_text(b, "\\\\");
        break;
    case '\n':
        buf_add_text(b, "\\n");
        break;
    case '\r':
        buf_add_text(b, "\\r");
        break;
    case '\t':
        buf_add_text(b, "\\t");
        break;
    default:
        buf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

void buf_add_json(struct buf *b, struct span text)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < text.bytes;) {
        size_t plain = i;
        while (i < text.bytes && is_plain(text.at[i]))
            i++;
        buf_add(b, text.at + plain, i - plain);
        if (i == text.bytes)
            break;
        size_t bytes = utf8_char_bytes(span(text.at + i, text.bytes - i));
        if (bytes > 1)
            buf_add(b, text.at + i, bytes);
        else if (bytes == 1)
            add_escaped(b, text.at[i]);
        else
            buf_add_text(b, TEXT_REPLACEMENT);
        i += bytes == 0 ? 1 : bytes;
    }
    buf_add_char(b, '"');
}
