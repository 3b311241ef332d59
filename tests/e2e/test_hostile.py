"""Clients that send rubbish, lie, stall or never read get an answer or are closed, and all others are served."""

import json
import random
import socket
import threading
import time

from harness import (Failed, Http, Suite, Tcp, Udp, Wire, among, ask, check, collection, equal, json_answer, new_key,
                     refused, request, sanitized, serves, together, wait_until)

suite = Suite()
SEED = random.randrange(1 << 32)


def seeded():
    """Random bytes that a failure can be repeated with."""
    return random.Random(SEED)


def throw(server, raw):
    """Sends the bytes, ends sending, and takes what comes until the server closes."""
    with Wire(server) as wire:
        try:
            wire.send(raw)
            wire.end_sending()
        except OSError:  # it may close before it has read all
            pass
        return wire.rest()


def whole_answers(raw):
    """What came back is nothing, HTTP, or lines of JSON: never anything half."""
    if raw.startswith(b"HTTP/1."):
        check(b"\r\n\r\n" in raw, f"half an answer: {raw[:200]!r}")
    elif raw:
        check(raw.endswith(b"\n"), f"half a line: {raw[-200:]!r}")
        for line in raw.splitlines():
            json_answer(line)


@suite.test
def rubbish_of_any_first_byte_gets_an_error_or_a_closed_connection(server):
    rng = seeded()
    for first in range(256):
        whole_answers(throw(server, bytes([first]) + rng.randbytes(200)))
        if first % 32 == 31:
            serves(server)


@suite.test
def rubbish_of_any_length_gets_an_error_or_a_closed_connection(server):
    rng = seeded()
    for size in (1, 2, 3, 7, 8, 63, 1000, 4096, 65536, 1 << 20):
        for start in (b"", b"{", b"GET ", b" \n", b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n",
                      b'{"method":"POST","pattern":"/notes"}', b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            whole_answers(throw(server, start + rng.randbytes(size)))
    serves(server)


@suite.test
def a_good_request_with_one_byte_changed_harms_nothing(server):
    rng, path = seeded(), "/" + collection()
    http = request("POST", path, '{"a":1}', [("Content-Type", "application/json"), ("Idempotency-Key", "12345678")])
    lines = f'{{"method":"POST","pattern":"{path}","key":"12345678"}}{{"a":[1,"\\u00e9"]}}\n'.encode()
    for raw in (http, lines):
        for at in range(len(raw)):
            changed = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1:]
            whole_answers(throw(server, changed))
    serves(server)


@suite.test
def a_request_cut_at_any_byte_harms_nothing(server):
    path = "/" + collection()
    for raw in (request("POST", path, '{"a":1}')[:-1],
                request("POST", path, b'7\r\n{"a":1}\r\n0\r\n\r\n', [("Transfer-Encoding", "chunked")])[:-1],
                f'{{"method":"POST","pattern":"{path}"}}{{"a":1'.encode()):
        for at in range(0, len(raw) + 1, 2):
            whole_answers(throw(server, raw[:at]))
    equal(ask(server, "GET", path).text, "[]", "nothing was created by half a request")
    serves(server)


@suite.test
def a_head_that_never_ends_is_431(server):
    for line in (b"X: y\r\n", b"X", b"GET ", b"\0" * 10 + b"\r\n"):
        with Http(server) as http:
            def send(http=http, line=line):
                try:
                    http.send(b"GET /notes HTTP/1.1\r\nHost: x\r\n")
                    for _ in range(200):
                        http.send(line * 5000)
                except OSError:  # closed while it was sending
                    pass
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            answer = http.answer()
            refused(answer, answer.status, "head_too_large", "bad_request")
            among(answer.status, (431,) if line[:1] == b"X" else (400, 431), f"status for lines of {line[:8]!r}")
            sender.join(20)
            check(not sender.is_alive(), "the sender is still held after 20 s")
    serves(server)


@suite.test
def a_url_that_never_ends_is_414(server):
    with Http(server) as http:
        http.send(b"GET /" + b"a" * 16000)
        refused(http.answer(), 414, "uri_too_long")


@suite.test
def a_json_text_that_never_ends_is_refused(server):
    for start in (b'{"method":"GET","pattern":"', b'{"method":"POST","pattern":"/notes"}{"a":"', b" ", b'{"a":[',
                  b'{"method":"POST","pattern":"/notes","body":{"a":"'):
        with Tcp(server) as tcp:
            def send(tcp=tcp, start=start):
                try:
                    tcp.send(start)
                    for _ in range(64):
                        tcp.send((b" " if start == b" " else b"1,") * 65536)
                except OSError:  # closed while it was sending
                    pass
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            if start != b" ":
                among(tcp.answer().status, (400, 413, 431), f"status after {start!r}")
            sender.join(20)  # white space may be skipped for ever, or refused
            check(not sender.is_alive(), "the sender is still held after 20 s")
    serves(server)


@suite.own("--request-timeout-ms", "2000")
def slow_heads_hold_up_nobody_and_are_ended(server):
    slow = [Http(server) for _ in range(100)]
    for number, http in enumerate(slow):
        http.send(b"GET /_health HTTP/1.1\r\nHost: x\r\nX: y"[:1 + number % 38])
    serves(server)
    for http in slow[:10]:
        for byte in b"GET /_health HTTP/1.1\r\nHost: x\r\n\r\n"[1 + slow.index(http) % 38:]:
            http.send(bytes([byte]))
        equal(http.answer().status, 200, "status of a slow but whole request")
    for http in slow[10:]:
        whole_answers(http.rest())
    serves(server)


@suite.test
def chunks_that_lie_are_refused_or_closed(server):
    head = request("POST", "/notes", None, [("Transfer-Encoding", "chunked")])
    before = ask(server, "GET", "/notes").text
    for body in (b"5\r\n{}\r\n0\r\n\r\n", b"1\r\n{}\r\n0\r\n\r\n", b"0\r\n\r\n", b"7fffffffffffffff\r\n{}",
                 b"ffffffffffffffff\r\n{}",
                 b"fffffffffffffffff\r\n{}", b"2\r\n{}", b"2\r\n{}\r\n", b"2\r\n{}\r\n0\r\n", b"2\r\n{}\r\n0\r\n\r",
                 b"80000000\r\n" + b"{" * 100000,
                 b"0" * 30000, b"1" + b"0" * 15, b";" * 30000):
        raw = throw(server, head + body)
        whole_answers(raw)
        check(b" 20" not in raw[:13], f"{body[:40]!r}: got {raw[:80]!r}, expected no success")
    equal(ask(server, "GET", "/notes").text, before, "the list")
    raw = throw(server, head + b"10\r\n                \r\n" * 100000)
    check(raw.startswith(b"HTTP/1.1 413 "), f"a body of chunks without end: got {raw[:80]!r}")
    serves(server)


@suite.test
def lengths_that_overflow_are_refused(server):
    for length in (b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616",
                   b"4294967296", b"4294967298", b"340282366920938463463374607431768211458", b"9" * 1000):
        with Http(server) as http:
            http.send(b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n{}")
            answer = http.answer()
            refused(answer, answer.status, "bad_request", "too_large")
            among(answer.status, (400, 413), f"status with length {length[:40]!r}")
    for number in ("9223372036854775808", "18446744073709551616", "1e400", "-9223372036854775809", "9" * 500):
        for members, statuses in ((f'"wait_ms":0,"min_seq":{number}', (400, 503)), (f'"wait_ms":{number}', (200, 400))):
            with Tcp(server) as tcp:
                tcp.send(f'{{"method":"GET","pattern":"/notes",{members}}}'.encode())
                among(tcp.answer().status, statuses, f"status with {members[:60]}")
    serves(server)


@suite.test
def a_million_nested_arrays_are_refused_at_once(server):
    started = time.monotonic()
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        count = 1000000 if opening == b"[" else 150000
        for body in (b'{"a":' + opening * count, b'{"a":' + opening * count + b"1" + closing * count + b"}",
                     opening * count):
            with Http(server) as http:
                answer = http.ask("POST", "/notes", body)
                refused(answer, answer.status, "bad_json", "too_large")
            with Tcp(server) as tcp:
                def send(tcp=tcp, body=body):
                    try:
                        tcp.send(b'{"method":"POST","pattern":"/notes"}' + body)
                        tcp.end_sending()
                    except OSError:  # closed while it was sending
                        pass
                threading.Thread(target=send, daemon=True).start()
                whole_answers(tcp.rest())
    check(time.monotonic() - started < 20, f"it took {time.monotonic() - started:.1f} s")
    serves(server)


@suite.test
def a_hundred_thousand_names_in_one_object_are_taken_in_bounded_time(server):
    path, names = "/" + collection(), [f"{n:x}" for n in range(100000)]
    body = "{" + ",".join(f'"{name}":1' for name in names) + "}"
    check(len(body) < 1 << 20, f"the body has {len(body)} bytes")
    patch = {name: 2 if place % 2 else None for place, name in enumerate(names[:70000])}
    started = time.monotonic()
    with Http(server) as http:
        made = http.ask("POST", path, body)
        equal((made.status, len(made.text)), (201, len(body) + len('"id":1,')), "status and length")
        refused(http.ask("POST", path, body[:-1] + ',"309":1}'), 400, "bad_json")
        merged = http.ask("PATCH", path + "/1", patch)
        result = {"id": 1, **{name: 2 for name in names[1:70000:2]}, **{name: 1 for name in names[70000:]}}
        equal((merged.status, merged.json() == result), (200, True), "status of the merge, and whether it is right")
    check(time.monotonic() - started < 6, f"it took {time.monotonic() - started:.1f} s")


@suite.test
def one_who_asks_and_never_reads_costs_bounded_memory(server):
    path = "/" + collection()
    ask(server, "POST", path, {"t": "x" * 100000})
    before, stuck = server.memory_mb(), []
    body = '{"a":"' + "x" * 4000 + '"}'
    for raw in (request("GET", path + "/1"), f'{{"method":"GET","pattern":"{path}/1"}}'.encode(),
                request("POST", path, body), f'{{"method":"POST","pattern":"{path}"}}{body}'.encode()) * 3:
        wire = Wire(server, receive_bytes=4096)
        wire.socket.settimeout(0.3)  # how long sending must stand still to count as stuck
        stuck.append(wire)
        try:
            for _ in range(64):  # more than all socket buffers on the way hold
                wire.send(raw * ((1 << 20) // len(raw)))
        except socket.timeout:
            continue
        raise Failed("the server took 64 MiB from a client that does not read")
    for _ in range(20):
        serves(server)
    grown, limit = server.memory_mb() - before, 200 if sanitized() else 100
    check(grown < limit, f"{grown:.0f} MB more memory for 12 clients that do not read, expected less than {limit}")
    for wire in stuck:
        wire.close()
    serves(server)


@suite.test
def half_closed_clients_get_their_answers(server):
    path = "/" + collection()
    raw = throw(server, request("POST", path, '{"n":1}') * 50 + request("GET", path + "/50"))
    equal(raw.count(b"HTTP/1.1 201 "), 50, "answers to POST")
    equal(raw.count(b"HTTP/1.1 200 "), 1, "answers to GET")
    raw = throw(server, f'{{"method":"POST","pattern":"{path}"}}{{"n":2}}'.encode() * 50
                + f'{{"method":"GET","pattern":"{path}"}}'.encode())
    statuses = [json.loads(line)["status"] for line in raw.splitlines()]
    equal(statuses, [201] * 50 + [200], "statuses over TCP")
    equal(throw(server, b""), b"", "what a client gets that sends nothing")


@suite.test
def five_hundred_connections_are_served_at_once(server):
    path = "/" + collection()
    ask(server, "POST", path, '{"a":1}')
    clients = [(Http if n % 2 else Tcp)(server) for n in range(500)]
    for _ in range(3):
        for client in clients:  # all ask before anyone reads
            client.send(request("GET", path + "/1") if isinstance(client, Http)
                        else f'{{"method":"GET","pattern":"{path}/1"}}'.encode())
        for client in clients:
            equal(client.answer().text, '{"id":1,"a":1}', "record")
    for number, client in enumerate(clients):
        if number % 3 == 0:  # a reset, not an orderly end
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    serves(server)


@suite.test
def connections_that_come_and_go_at_once_leave_nothing_behind(server):
    def churn():
        for n in range(300):
            with Wire(server) as wire:
                if n % 3:
                    wire.send((b"", request("GET", "/notes"), b'{"method":"POST","pattern":"/churn"}{}')[n % 3])
                if n % 2:
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    before = server.memory_mb()
    together(*[churn] * 4)
    serves(server)
    check(server.memory_mb() - before < 100, f"{server.memory_mb() - before:.0f} MB more memory after 1200 connections")


@suite.test
def datagrams_of_any_size_and_bytes_harm_nothing(server):
    rng = seeded()
    before = ask(server, "GET", "/_status").json()["datagrams_dropped"]
    good = b'{"method":"GET","pattern":"/_health"}'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server.address, server.port))
        for size in (0, 1, 2, 100, 1199, 1200, 1201, 1472, 9000, 65000, 65507):
            for raw in (b"\0" * size, rng.randbytes(size), b"{" * size, b"[" * size, b" " * size, good[:size],
                        (b'{"method":"POST","pattern":"/notes","body":{"a":"' + b"x" * size)[:size]):
                sock.send(raw)
        for n in range(300):
            sock.send(good[:n % len(good)] + rng.randbytes(n))
    equal(json_answer(Udp(server).exchange(good)).status, 200, "status of a good datagram after them")
    wait_until(lambda: ask(server, "GET", "/_status").json()["datagrams_dropped"] > before + 20,
               "dropped datagrams are counted")
    serves(server)


@suite.test
def a_flood_of_datagrams_holds_up_no_other_protocol(server):
    stop = threading.Event()

    def flood():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((server.address, server.port))
            sock.setblocking(False)
            while not stop.is_set():
                try:
                    sock.send(b'{"method":"GET","pattern":"/notes/1"}')
                except OSError:  # its own buffer is full
                    pass

    def others():
        try:
            for _ in range(20):
                serves(server)
        finally:
            stop.set()
    together(flood, others)
    equal(Udp(server).ask("POST", "/notes", "{}", key=new_key()).status, 201, "status of a write over UDP afterwards")


@suite.test
def reads_that_wait_for_a_far_position_hold_up_nobody(server):
    waiting = [Tcp(server) for _ in range(100)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server.address, server.port))
        for client in waiting:
            client.send(b'{"method":"GET","pattern":"/notes","min_seq":1000000000,"wait_ms":2000}' * 5)
            sock.send(b'{"method":"GET","pattern":"/notes","min_seq":1000000000,"wait_ms":10000}')
        for _ in range(10):
            serves(server)
    with Tcp(server, seconds=30) as last:
        last.send(b'{"method":"GET","pattern":"/notes","min_seq":1000000000,"wait_ms":1}')
        refused(last.answer(), 503, "lagging")
    for client in waiting[:50]:
        client.close()
    refused(waiting[99].answer(), 503, "lagging")
    serves(server)


if __name__ == "__main__":
    print(f"# seed {SEED}")
    suite.main()
