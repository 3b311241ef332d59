/* The blocking client: one connection or datagram, one request, one answer. */
#include "cli/client.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json_text.h"
#include "record/json.h"

enum {
    ANSWER_BYTES_MAX = 4 * 1024 * 1024,
    TIME_LIMIT_S = 5,
    UDP_TRIES = 3,
    UDP_WAIT_MS = 500,
    STATUS_MAX = 999
};

const char *client_protocol_word(enum client_protocol p)
{
    static const char *const words[] = {"HTTP", "TCP", "UDP"};
    return words[p];
}

/* --- Requests --- */

static void write_http(const struct client_request *rq, struct buf *out)
{
    bool v6 = strchr(rq->host, ':') != NULL;
    buf_printf(out,
               v6 ? "%s %s HTTP/1.1\r\nHost: [%s]:%u\r\n" : "%s %s HTTP/1.1\r\nHost: %s:%u\r\n",
               rq->method, rq->path, rq->host, rq->port);
    buf_add_text(out, "Connection: close\r\n");
    if (rq->key != NULL)
        buf_printf(out, "Idempotency-Key: %s\r\n", rq->key);
    if (rq->min_seq != 0)
        buf_printf(out, "Noted-Min-Seq: %llu\r\n", (unsigned long long)rq->min_seq);
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
    if (rq->min_seq != 0)
        buf_printf(out, ",\"min_seq\":%llu", (unsigned long long)rq->min_seq);
    buf_printf(out, "}%s\n", rq->body != NULL ? rq->body : "");
}

/* --- Answers --- */

/* Whether it is one JSON value and nothing else: the walks below trust it. */
static bool is_json(struct span text, struct json_found *found)
{
    struct json *j;
    if (json_create(&j, 0, 64) != 0)
        return false;
    long n = json_scan(j, text, true, found);
    json_destroy(j);
    return n > 0;
}

/* The number at the start of a text, up to `most`; else 0. */
static uint64_t number_of(struct span text, uint64_t most)
{
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < text.bytes && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    return u64_parse(span(text.at, digits), &number) && number <= most ? number : 0;
}

/* The server's own spelling of the field is known, so it is looked for as it stands. */
static uint64_t field(struct span head, const char *name, uint64_t most)
{
    const char *at = memmem(head.at, head.bytes, name, strlen(name));
    if (at == NULL)
        return 0;
    at += strlen(name);
    return number_of(span(at, (size_t)(head.at + head.bytes - at)), most);
}

/* HTTP/1.1 200 OK … empty line, body to the end: the connection is closed behind it. */
bool client_read_http(struct span in, struct client_answer *a)
{
    struct json_found found;
    const char *end = memmem(in.at, in.bytes, "\r\n\r\n", 4);
    if (in.bytes < 12 || memcmp(in.at, "HTTP/1.1 ", 9) != 0 || end == NULL)
        return false;
    struct span head = span(in.at, (size_t)(end - in.at) + 2);
    struct span body = span(end + 4, in.bytes - head.bytes - 2);
    a->status = (int)number_of(span(head.at + 9, head.bytes - 9), STATUS_MAX);
    a->seq = field(head, "\r\nNoted-Seq: ", UINT64_MAX);
    a->copies = (unsigned)field(head, "\r\nNoted-Copies: ", UINT32_MAX);
    if (!is_json(body, &found))
        return false;
    buf_add_span(&a->body, found.text);
    return true;
}

/* {"status":…,"body":…}, or the error object, which has a status, too. */
bool client_read_json(struct span in, struct client_answer *a)
{
    struct json_found found;
    struct json_member m;
    if (!is_json(in, &found) || found.type != JSON_OBJECT)
        return false;
    struct span body = found.text;
    for (struct json_walk walk = json_walk(found.text); json_next(&walk, &m);) {
        if (span_is(m.name, "status"))
            a->status = (int)number_of(m.value, STATUS_MAX);
        else if (span_is(m.name, "seq"))
            a->seq = number_of(m.value, UINT64_MAX);
        else if (span_is(m.name, "copies"))
            a->copies = (unsigned)number_of(m.value, UINT32_MAX);
        else if (span_is(m.name, "body"))
            body = m.value;
    }
    buf_add_span(&a->body, body);
    return true;
}

bool client_member(const struct client_answer *a, const char *name, struct span *value)
{
    struct json_member m;
    struct span body = buf_span(&a->body);
    if (body.bytes == 0 || json_type_of(body) != JSON_OBJECT)
        return false;
    for (struct json_walk walk = json_walk(body); json_next(&walk, &m);) {
        if (!json_string_is(m.name, span_of(name)))
            continue;
        *value = m.value;
        return true;
    }
    return false;
}

bool client_array_has(struct span array, const char *text)
{
    size_t i = 1; /* behind the bracket */
    while (json_type_of(array) == JSON_ARRAY && i < array.bytes) {
        struct span rest = span(array.at + i, array.bytes - i);
        if (strchr(" \t\r\n,]", *rest.at) != NULL) {
            i++;
            continue;
        }
        size_t bytes = json_value_bytes(rest);
        if (*rest.at == '"' && json_string_is(span(rest.at + 1, bytes - 2), span_of(text)))
            return true;
        i += bytes;
    }
    return false;
}

void client_text(struct span value, char *to, size_t bytes)
{
    struct buf text = {0};
    if (value.bytes >= 2 && *value.at == '"') {
        char *at = buf_room(&text, value.bytes);
        if (at != NULL)
            text.bytes = json_string_decode(span(value.at + 1, value.bytes - 2), at);
    } else if (value.bytes != 0) {
        buf_add_span(&text, value);
    }
    for (size_t i = 0, step; i < text.bytes; i += step) {
        step = utf8_printable_bytes(span(text.at + i, text.bytes - i));
        if (step == 0)
            text.at[i] = '?';
        step += step == 0;
    }
    snprintf(to, bytes, "%.*s", SPAN_ARGS(buf_span(&text)));
    buf_finish(&text);
}

/* --- The way there and back --- */

static int connect_to(const struct addrinfo *to)
{
    struct timeval limit = {.tv_sec = TIME_LIMIT_S};
    if (to->ai_socktype == SOCK_DGRAM)
        limit = (struct timeval){.tv_usec = UDP_WAIT_MS * 1000};
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return fd;
    close(fd);
    return -1;
}

int client_connect(const char *host, uint16_t port)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    char digits[8];
    int fd = -1;
    snprintf(digits, sizeof digits, "%u", port);
    if (getaddrinfo(host, digits, &hints, &all) != 0)
        return -1;
    for (const struct addrinfo *to = all; to != NULL && fd < 0; to = to->ai_next)
        fd = connect_to(to);
    freeaddrinfo(all);
    return fd;
}

bool client_send(int fd, struct span bytes)
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

/* Over UDP nothing says that a server is there, so the next address of a name is tried when one
 * does not answer; over TCP only when there is no connection, lest a write happen twice. */
static bool exchange(enum client_protocol p, const struct addrinfo *to, struct span out,
                     struct buf *in)
{
    bool good = false;
    int fd = -1;
    for (; to != NULL && !good && fd < 0; to = to->ai_next) {
        fd = connect_to(to);
        for (int tries = p == CLIENT_UDP ? UDP_TRIES : 1; fd >= 0 && !good && tries > 0; tries--)
            good = client_send(fd, out) && receive(fd, p != CLIENT_HTTP, in);
        if (fd >= 0)
            close(fd);
        if (p == CLIENT_UDP)
            fd = -1;
    }
    return good;
}

int client_ask(enum client_protocol p, const struct client_request *rq, struct client_answer *a)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = p == CLIENT_UDP ? SOCK_DGRAM : SOCK_STREAM};
    struct buf out = {0}, in = {.bytes_max = ANSWER_BYTES_MAX};
    struct addrinfo *to = NULL;
    char port[8];
    *a = (struct client_answer){0};
    snprintf(port, sizeof port, "%u", rq->port);
    if (p == CLIENT_HTTP)
        write_http(rq, &out);
    else
        write_json(rq, &out);
    bool good = !out.failed && getaddrinfo(rq->host, port, &hints, &to) == 0 &&
                exchange(p, to, buf_span(&out), &in);
    if (good)
        good = p == CLIENT_HTTP ? client_read_http(buf_span(&in), a)
                                : client_read_json(buf_span(&in), a);
    if (to != NULL)
        freeaddrinfo(to);
    buf_finish(&out);
    buf_finish(&in);
    return good && !a->body.failed ? 0 : ERR_IO;
}
