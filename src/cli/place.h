/* Which server a command asks: HOST:PORT, a port of this machine, or the usual one. */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"

struct place {
    char host[SETTINGS_HOST_BYTES_MAX + 1];
    uint16_t port;
};

/* HOST:PORT; an IPv6 address stands in []. */
bool place_read_server(struct place *to, const char *text);
bool place_read_local_port(struct place *to, const char *digits);

/* Where nothing is said: 127.0.0.1 at LOCAL_PORT, or at 5000. False: LOCAL_PORT is no port, and the
 * place has none. */
bool place_default(struct place *to);

/* As --app-name takes it; so it also stands in a path as it is. */
bool place_is_app_name(const char *name);

#endif
