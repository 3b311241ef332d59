/* Which machine a connection's end is on, for telling people where a server is. Knows no server. */
#ifndef NET_HOST_H
#define NET_HOST_H

#include <stdbool.h>
#include <stddef.h>

enum { NET_HOST_BYTES = 64 };

/* The far or the near end of a connection, as HOST in HOST:PORT; "" where it has no such end. */
void net_host(int fd, bool far, char host[NET_HOST_BYTES]);

/* `address` is HOST:PORT. Where that is every address of a machine (0.0.0.0, ::), which can be
 * bound and not called from elsewhere, `host` takes its place; "" is none. */
void net_host_instead(char *address, size_t bytes, const char *host);

#endif
