/* Reading which server a command asks. Asks nothing. */
#include "cli/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/span.h"

static bool read_port(struct span digits, uint16_t *port)
{
    uint64_t n;
    if (!u64_parse(digits, &n) || n == 0 || n > 65535)
        return false;
    *port = (uint16_t)n;
    return true;
}

bool place_read_server(struct place *to, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !read_port(span_of(colon + 1), &to->port))
        return false;
    struct span host = span(text, (size_t)(colon - text));
    if (host.bytes > 2 && host.at[0] == '[' && host.at[host.bytes - 1] == ']')
        host = span(host.at + 1, host.bytes - 2);
    else if (memchr(host.at, ':', host.bytes) != NULL)
        return false;
    if (host.bytes == 0 || host.bytes >= sizeof to->host)
        return false;
    snprintf(to->host, sizeof to->host, "%.*s", SPAN_ARGS(host));
    return true;
}

bool place_read_local_port(struct place *to, const char *digits)
{
    snprintf(to->host, sizeof to->host, "127.0.0.1");
    return read_port(span_of(digits), &to->port);
}

bool place_is_app_name(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= APP_NAME_BYTES_MAX && strspn(name, letters) == bytes;
}

bool place_default(struct place *to)
{
    const char *port = getenv("LOCAL_PORT");
    return place_read_local_port(to, port != NULL ? port : "5000");
}
