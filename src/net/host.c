/* The ends of a connection in words. */
#include "net/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void net_host(int fd, bool far, char host[NET_HOST_BYTES])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {.any.sa_family = AF_UNSPEC};
    socklen_t bytes = sizeof a;
    char text[INET6_ADDRSTRLEN] = "";
    host[0] = '\0';
    if ((far ? getpeername(fd, &a.any, &bytes) : getsockname(fd, &a.any, &bytes)) != 0)
        return;
    if (a.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof text);
    else if (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr))
        inet_ntop(AF_INET, &a.v6.sin6_addr.s6_addr[12], text, sizeof text);
    else if (a.any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof text);
    bool v6 = strchr(text, ':') != NULL;
    snprintf(host, NET_HOST_BYTES, v6 ? "[%s]" : "%s", text);
}

void net_host_instead(char *address, size_t bytes, const char *host)
{
    static const char *const every[] = {"0.0.0.0:", "[::]:"};
    char port[8];
    for (unsigned i = 0; i < sizeof every / sizeof every[0] && host[0] != '\0'; i++) {
        size_t head = strlen(every[i]);
        if (strncmp(address, every[i], head) != 0)
            continue;
        snprintf(port, sizeof port, "%.5s", address + head);
        snprintf(address, bytes, "%s:%s", host, port);
        return;
    }
}
