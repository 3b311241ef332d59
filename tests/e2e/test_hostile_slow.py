"""Clients that send or read slowly, or stop amid it, cost bounded memory and end in their time; all others are served
meanwhile."""

import time

from bystander import MIB, Bystander, Memory, list_of
from harness import (Http, Late, Suite, Tcp, Wire, ask, check, equal, json_answer, refused, request, wait_until)

suite = Suite("--threads", "1")
POST = b'{"method":"POST","pattern":"/notes"}'


def tries(function):
    """Does it, and minds no closed connection."""
    try:
        return function()
    except OSError:
        return None


def late_answer(wire, status, code):
    """What the server says last: this error, over HTTP or JSON."""
    raw = wire.rest()
    if raw.startswith(b"HTTP/1.1 "):
        equal(int(raw[9:12]), status, "status")
        raw = raw.partition(b"\r\n\r\n")[2]
    refused(json_answer(raw), status, code)


# --- slow writers ---

@suite.own("--threads", "1", "--request-timeout-ms", "1000")
def a_trickled_request_is_refused_when_its_time_is_over(server):
    chunked = request("POST", "/notes", None, [("Transfer-Encoding", "chunked")])
    starts = (b"GET /notes HTTP/1.1\r\nHost: x\r\nX: ", request("POST", "/notes", "x" * 5000)[:-4990], chunked,
              b'{"method":"GET","pattern":"', POST + b"{", POST)
    wires = [Wire(server) for _ in starts]
    with Bystander(server), Memory(server, 4):
        started = time.monotonic()
        for wire, start in zip(wires, starts):
            wire.send(start)
        open_ones = list(wires)
        while open_ones and time.monotonic() < started + 10:
            time.sleep(0.1)
            for wire in list(open_ones):
                wire.socket.settimeout(0.001)
                try:
                    wire.send(b"1\r\n \r\n" if wire is wires[2] else b" ")
                    check(wire.more(), "closed without a word")
                    open_ones.remove(wire)
                except (TimeoutError, Late):
                    pass
        took = time.monotonic() - started
    check(0.9 < took < 6, f"they were refused after {took:.1f} s")
    for wire in wires:
        wire.socket.settimeout(10)
        late_answer(wire, 408, "request_timeout")
    equal(ask(server, "GET", "/notes").text, "[]", "what was made of it")


@suite.own("--threads", "1", "--request-timeout-ms", "1000")
def one_who_pipelines_slowly_is_not_refused(server):
    with Tcp(server) as tcp, Http(server) as http:
        until = time.monotonic() + 2
        while time.monotonic() < until:  # there is always a part of the next request
            tcp.send(b'{"method":"GET"')
            http.send(b"GET /_health HTTP/1.1\r\n")
            time.sleep(0.05)
            tcp.send(b',"pattern":"/_health"} {"method":"GET"')
            http.send(b"Host: x\r\n\r\nGET /_health HTTP/1.1\r\n")
            equal((tcp.answer().status, http.answer().status), (200, 200), "statuses")
            tcp.send(b',"pattern":"/_health"}')
            http.send(b"Host: x\r\n\r\n")
            equal((tcp.answer().status, http.answer().status), (200, 200), "statuses")


@suite.own("--threads", "1", "--request-timeout-ms", "3000")
def large_requests_that_never_end_take_bounded_memory_and_make_room_again(server):
    half = b'{"a":"' + b"x" * (MIB - 20000)
    starts = (request("POST", "/notes", half + b'"}' + b" " * 10)[:-12], POST + half,
              request("POST", "/notes", None, [("Transfer-Encoding", "chunked")]) + b"%x\r\n" % (2 * len(half)) + half)
    with Memory(server, 150), Bystander(server):
        wires = []
        for number in range(150):  # half of them would fit
            wires.append(Wire(server))
            tries(lambda n=number: wires[-1].send(starts[n % 3]))
        wait_until(lambda: ask(server, "POST", "/notes", half + b'"}').status == 201, "a large record is taken", 2.5)
        answers = [wire.rest() for wire in wires]
    codes = [b"busy" if b'"busy"' in raw else b"late" if b'"request_timeout"' in raw else raw for raw in answers]
    check(set(codes) == {b"busy", b"late"}, f"they got {sorted(set(codes))}")


# --- slow readers ---

@suite.own("--threads", "1", "--answer-timeout-ms", "4000")
def lists_that_are_not_read_take_bounded_memory_and_make_room_again(server):
    path = list_of(server, 1)
    with Memory(server, 150), Bystander(server), Http(server) as http:
        wires = [Wire(server, receive_bytes=4096) for _ in range(100)]
        for wire in wires:
            wire.send(request("GET", path) * 50)
        wait_until(lambda: http.ask("GET", path).status == 503, "it is too much")
        equal(ask(server, "GET", "/notes").text, "[]", "a short list meanwhile")
        wait_until(lambda: http.ask("GET", path).status == 200, "a list is given again", 8)
    for wire in wires:
        wire.close()


@suite.own("--threads", "1", "--answer-timeout-ms", "1200")
def who_reads_a_trickle_is_cut_off_and_who_reads_slowly_is_not(server):
    path = list_of(server, 12)
    with Memory(server, 24), Bystander(server), Http(server, receive_bytes=65536) as slow:
        stuck, trickle = [Wire(server, receive_bytes=4096) for _ in range(2)]
        for wire in (stuck, trickle, slow):
            wire.send(request("GET", path))
        status, _ = slow.head()
        received, started = 0, time.monotonic()
        for piece in slow.chunks():
            received += len(piece)
            while time.monotonic() < started + 3 * received / (12 * MIB):  # three seconds for all of it
                time.sleep(0.02)
                tries(lambda: trickle.socket.recv(512))
    check(status == 200 and received > 12 * MIB, f"the slow reader got {received} bytes")
    for wire in (stuck, trickle):
        with wire:
            check(len(wire.rest()) < received, "who did not read got all of it")


@suite.own("--threads", "1")
def followers_of_the_messages_are_a_bounded_number(server):
    follow = request("GET", "/_messages", None, [("Accept", "text/event-stream")])
    with Memory(server, 40), Bystander(server):
        streams = [Http(server, receive_bytes=4096) for _ in range(64)]
        for stream in streams:
            stream.send(follow)
            equal(stream.head()[0], 200, "status of a stream")
        with Http(server) as more:
            refused(more.ask("GET", "/_messages", headers=[("Accept", "text/event-stream")]), 503, "busy")
        with Tcp(server) as tcp:
            for _ in range(20):
                tcp.send(b'{"method":"POST","pattern":"/notes"}{"a":1}' * 500)
                for _ in range(500):
                    tcp.answer()
        streams.pop().close()
        wait_until(lambda: ask(server, "HEAD", "/_messages", headers=[("Accept", "text/event-stream")]).status == 200,
                   "there is a place again")
        for stream in streams:
            stream.close()


if __name__ == "__main__":
    suite.main()
