/* The blocking client: one connection or datagram, one request, one answer. */
#include "cli/client.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "record/json.h"

enum { ANSWER_BYTES_MAX = 4 * 1024 * 1024, TIME_LIMIT_S = 2, UDP_TRIES = 3, UDP_WAIT_MS = 500 };

const char *client_protocol_word(enum client_protocol p)
{
    static const char *const words[] = {"HTTP", "TCP", "UDP"};
    return words[p];
}

static int connect_to(const struct client_request *rq, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rq->port)};
    struct timeval limit = {.tv_sec = TIME_LIMIT_S};
    if (type == SOCK_DGRAM)
        limit = (struct timeval){.tv_usec = UDP_WAIT_MS * 1000};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (inet_pton(AF_INET, rq->address, &to.sin_addr) == 1 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void write_http(const struct client_request *rq, struct buf *out)
{
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n", rq->method, rq->path,
               rq->address, rq->port);
    if (rq->key != NULL)
        buf_printf(out, "Idempotency-Key: %s\r\n", rq->key);
    if (rq->body != NULL)
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   strlen(rq->body));
    buf_printf(out, "\r\n%s", rq->body != NULL ? rq->body : "");
}

static void write_json(const struct client_request *rq, struct buf *out)
{
    buf_printf(out, "{\"method\":\"%s\",\"pattern\":\"%s\"", rq->method, rq->path);
    if (rq->key != NULL)
        buf_printf(out, ",\"key\":\"%s\"", rq->key);
    buf_printf(out, "}%s\n", rq->body != NULL ? rq->body : "");
}

static bool send_all(int fd, struct span bytes)
{
    while (bytes.bytes != 0) {
        ssize_t n = send(fd, bytes.at, bytes.bytes, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes = span(bytes.at + n, bytes.bytes - (size_t)n);
    }
    return true;
}

/* Until the peer closes, or, with `line`, the first line is there. */
static bool receive(int fd, bool line, struct buf *in)
{
    for (;;) {
        char *to = buf_room(in, 64 * 1024);
        ssize_t n = to == NULL ? -1 : recv(fd, to, 64 * 1024, 0);
        if (n <= 0)
            return n == 0 && !line;
        in->bytes += (size_t)n;
        if (line && memchr(to, '\n', (size_t)n) != NULL)
            return true;
    }
}

/* HTTP/1.1 200 OK … empty line, body to the end: the connection is closed behind it. */
static bool read_http(struct span in, struct client_answer *a)
{
    const char *body = memmem(in.at, in.bytes, "\r\n\r\n", 4);
    if (in.bytes < 12 || memcmp(in.at, "HTTP/1.1 ", 9) != 0 || body == NULL)
        return false;
    a->status = atoi(in.at + 9);
    body += 4;
    buf_add(&a->body, body, (size_t)(in.at + in.bytes - body));
    return true;
}

/* {"status":…,"body":…}, or the error object, which has a status, too. */
static bool read_json(struct span in, struct client_answer *a)
{
    struct json *j;
    struct json_found found;
    struct json_member m;
    if (json_create(&j, 0, 64) != 0)
        return false;
    long n = json_scan(j, in, true, &found);
    json_destroy(j);
    if (n <= 0 || found.type != JSON_OBJECT)
        return false;
    struct span body = found.text;
    for (struct json_walk walk = json_walk(found.text); json_next(&walk, &m);) {
        if (span_is(m.name, "status"))
            a->status = atoi(m.value.at);
        else if (span_is(m.name, "body"))
            body = m.value;
    }
    buf_add_span(&a->body, body);
    return true;
}

int client_ask(enum client_protocol p, const struct client_request *rq, struct client_answer *a)
{
    struct buf out = {0}, in = {.bytes_max = ANSWER_BYTES_MAX};
    bool good = false;
    *a = (struct client_answer){0};
    int fd = connect_to(rq, p == CLIENT_UDP ? SOCK_DGRAM : SOCK_STREAM);
    if (p == CLIENT_HTTP)
        write_http(rq, &out);
    else
        write_json(rq, &out);
    for (int tries = p == CLIENT_UDP ? UDP_TRIES : 1; fd >= 0 && !good && tries > 0; tries--)
        good = send_all(fd, buf_span(&out)) && receive(fd, p != CLIENT_HTTP, &in);
    if (good)
        good = p == CLIENT_HTTP ? read_http(buf_span(&in), a) : read_json(buf_span(&in), a);
    if (fd >= 0)
        close(fd);
    buf_finish(&out);
    buf_finish(&in);
    return good ? 0 : ERR_IO;
}
