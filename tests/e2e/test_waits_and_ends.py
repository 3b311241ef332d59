"""Requests that are held, clients that do not read, servers that are stopped: nobody waits for ever, nothing is lost."""

import resource
import shutil
import signal
import socket
import subprocess
import threading

from harness import (Failed, Http, Server, Suite, Tcp, Wire, among, as_bytes, ask, check, collection, equal, head_of,
                     json_answer, refused, request, wait_until)

suite = Suite("--threads", "1")
CHUNKED = ("Transfer-Encoding", "chunked")


@suite.test
def a_whole_chunked_request_behind_a_write_is_answered(server):
    path = "/" + collection()
    for chunks, status, code in ((b"3\r\n{x}\r\n0\r\n\r\n", 400, "bad_json"), (b"2\r\n[]\r\n0\r\n\r\n", 400, "not_object")):
        with Http(server) as http:
            http.send(request("POST", path, "{}") + request("POST", path, None, [CHUNKED]) + chunks)
            equal(http.answer().status, 201, "status of the write")
            refused(http.answer(), status, code)
            equal(http.ask("GET", path + "/1").status, 200, "status of what follows")


@suite.test
def a_chunked_write_that_waits_for_a_position_is_answered(server):
    with Http(server) as http:
        http.send(request("POST", "/" + collection(), None,
                          [CHUNKED, ("Noted-Min-Seq", "1000000000"), ("Noted-Wait-Ms", "50")]) + b"2\r\n{}\r\n0\r\n\r\n")
        refused(http.answer(), 503, "lagging")


@suite.test
def chunks_that_were_refused_once_are_refused_when_looked_at_again(server):
    path = "/" + collection()
    with Http(server) as http:  # a CR where LF must be, which a second look must not take for data
        http.send(request("POST", path, "{}") + request("POST", path, None, [CHUNKED]) + b"2\r\r\n0\r\n\r\n"
                  + request("GET", path))
        equal(http.answer().status, 201, "status of the write")
        refused(http.answer(), 400, "bad_request")
        equal(http.rest(), b"", "what comes behind broken framing")


@suite.test
def writes_of_one_who_never_reads_are_bounded(server):
    raw, sent = request("POST", "/" + collection(), '{"a":"' + "x" * 100000 + '"}'), 0
    with Wire(server, receive_bytes=4096) as wire:
        wire.socket.settimeout(2)  # how long sending must stand still to count as stuck
        try:
            while sent < 64 << 20:
                wire.send(raw)
                sent += len(raw)
        except socket.timeout:
            return
    raise Failed("the server took 64 MiB of writes from a client that reads no answer")


@suite.test
def head_of_a_long_list_ends_the_connection_that_it_says_it_ends(server):
    path = "/" + collection()
    for _ in range(11):
        ask(server, "POST", path, {"a": "x" * 100000})
    for version, headers in (("1.0", [("Connection", "keep-alive")]), ("1.1", [("Connection", "close")])):
        for method in ("HEAD", "GET"):
            with Http(server) as http:
                http.send(request(method, path, None, headers, version))
                answer = http.answer(method)
                equal((answer.status, answer.header("Connection")), (200, "close"), f"{method} in HTTP/{version}")
                equal(http.rest(), b"", "what follows")


@suite.test
def a_datagram_without_its_payload_waits_and_is_refused(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server.address, server.port))
        sock.settimeout(10)
        for spaces in range(8):  # so that some end where their memory does
            seq = ask(server, "GET", path).seq
            sock.send(as_bytes(head_of("POST", path, key="12345678", min_seq=seq + 1, wait_ms=10000)) + b" " * spaces)
            ask(server, "POST", path, "{}")
            refused(json_answer(sock.recv(65536)), 411, "length_required")


@suite.own()
def sigterm_answers_a_write_that_storage_cannot_take(server):
    ask(server, "POST", "/notes", "{}")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))  # local storage cannot grow any more
    with Http(server, seconds=18) as http:
        http.send(request("POST", "/notes", {"b": "x" * 500000}))
        wait_until(lambda: '{\\"b\\":' in ask(server, "GET", "/_messages").text, "the write is under way")
        server.process.send_signal(signal.SIGTERM)
        refused(http.answer(), 503, "outcome_unknown")
    try:
        server.process.wait(10)
    except subprocess.TimeoutExpired:
        raise Failed("the server is still there 10 s after its last answer") from None
    server.start()
    among(len(ask(server, "GET", "/notes").json()), (1, 2), "records: nobody was told which")


def write_until_closed(server, results):
    """Pipelines writes, 4000 ahead of the answers; the answers that came, and how the connection ended.

    No further ahead: the server throws away what follows its end for a bounded time and number of bytes only.
    """
    with Tcp(server) as tcp:
        room, ending = threading.Semaphore(200), None  # of 20 writes each

        def send():
            try:
                while room.acquire() and ending is None:
                    tcp.send(b'{"method":"POST","pattern":"/notes","body":{"a":1}}' * 20)
            except OSError:  # closed
                pass
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        seen = answered = 0
        try:
            while tcp.more():
                before, answered = answered, answered + tcp.kept.count(b"\n", seen)
                seen = len(tcp.kept)
                for _ in range(before // 20, answered // 20):
                    room.release()
            ending = "end"
        except ConnectionResetError:
            ending = "reset"
        room.release()
        results.append((tcp.kept.count(b'"status":201'), ending))


@suite.alone
def sigterm_answers_all_that_it_executed_and_resets_nobody():
    for _ in range(12):
        server, results = Server("--threads", "1"), []
        clients = [threading.Thread(target=write_until_closed, args=(server, results)) for _ in range(3)]
        for client in clients:
            client.start()
        while ask(server, "GET", "/_status").json()["records"] < 500:
            pass
        server.stop()
        for client in clients:
            client.join(10)
        equal([ending for _, ending in results], ["end"] * 3, "how the connections ended")
        server.start()
        records = ask(server, "GET", "/_status").json()["records"]
        server.stop()
        equal(sum(count for count, _ in results), records, "answers, against records")
        shutil.rmtree(server.data)
    check(records >= 500, "too few writes to tell anything")


if __name__ == "__main__":
    suite.main()
