"""Lists of many records: streamed, complete, in order, in bounded memory; must not know how they are cut."""

import json
import socket
import threading

from harness import (Http, Suite, Tcp, Udp, ask, check, collection, equal, json_answer, pipelined, refused, request,
                     sanitized, serves, together)

COUNT = 100000
suite = Suite()


def fill(server, path, count, text="x"):
    """Creates `count` records; checks every answer."""
    payloads = (f'{{"n":{n},"t":"{text}"}}' for n in range(1, count + 1))
    head = f'{{"method":"POST","pattern":"{path}"}}'
    answers = pipelined(server, [(head + payload + "\n").encode() for payload in payloads])
    refusals = [a for a in answers if not a.startswith(b'{"status":201')]
    equal(refusals[:3], [], "answers that are no 201")
    equal(json_answer(answers[-1]).json(), {"id": count, "n": count, "t": text}, "the last record")


def expected(count, text="x"):
    return "[" + ",".join(f'{{"id":{n},"n":{n},"t":"{text}"}}' for n in range(1, count + 1)) + "]"


def whole(text, count=COUNT):
    """The text is the list of all records, exactly."""
    if text != expected(count):
        records = json.loads(text)
        check(False, f"{len(records)} records in {len(text)} bytes, expected {count} in {len(expected(count))}")


@suite.test
def a_hundred_thousand_records_are_listed_in_order(server):
    fill(server, "/many", COUNT)
    with Http(server) as http:
        answer = http.ask("GET", "/many")
        equal(answer.status, 200, "status")
        whole(answer.text)
        check(answer.seq >= COUNT, f"position {answer.seq}, expected at least {COUNT}")
        equal(answer.header("Transfer-Encoding"), "chunked", "Transfer-Encoding")
        equal(http.ask("GET", "/many/99999").json()["n"], 99999, "the next request on the connection")


@suite.test
def a_list_has_no_etag_and_head_of_it_no_body(server):
    with Http(server) as http:
        answer = http.ask("HEAD", "/many")
        equal((answer.status, answer.raw), (200, b""), "HEAD")
        equal(http.ask("GET", "/many/1").status, 200, "status of the next request")


@suite.test
def http_1_0_gets_a_list_without_chunks(server):
    with Http(server) as http:
        answer = http.ask("GET", "/many", version="1.0")
        equal(answer.header("Transfer-Encoding"), None, "Transfer-Encoding")
        whole(answer.text)
        equal(http.rest(), b"", "what follows")


@suite.test
def over_tcp_a_list_is_one_line(server):
    with Tcp(server) as tcp:
        answer = tcp.ask("GET", "/many", rid="list")
        equal((answer.raw.count(b"\n"), answer.rid), (1, "list"), "line ends and rid")
        whole(answer.text)
        equal(tcp.ask("GET", "/many/1").status, 200, "status of the next request")


@suite.test
def over_udp_a_list_is_use_tcp(server):
    refused(Udp(server).ask("GET", "/many"), 413, "use_tcp")


@suite.test
def pipelined_lists_and_reads_are_answered_in_order(server):
    path = "/" + collection()
    with Http(server) as http:
        http.send(request("GET", "/many") + request("POST", path, "{}") + request("GET", path + "/1")
                  + request("GET", "/many") + request("GET", "/_health"))
        whole(http.answer().text)
        equal([http.answer().status, http.answer().text], [201, '{"id":1}'], "the write and the read between")
        whole(http.answer().text)
        equal(http.answer().status, 200, "status of the last")
    with Tcp(server) as tcp:
        tcp.send(b'{"method":"GET","pattern":"/many","rid":"1"}{"method":"GET","pattern":"/many/5","rid":"2"}')
        first, second = tcp.answer(), tcp.answer()
        equal((first.rid, second.rid, second.json()["n"]), ("1", "2", 5), "rids and record")
        whole(first.text)


@suite.test
def a_slow_reader_gets_it_all_and_holds_nobody_up(server):
    with Http(server, receive_bytes=4096) as slow, Http(server) as other:
        slow.send(request("GET", "/many"))
        status, _ = slow.head()
        equal(status, 200, "status")
        pieces = []
        for number, piece in enumerate(slow.chunks()):
            pieces.append(piece)
            if number % 4 == 0:  # others are served between any two pieces
                equal(other.ask("GET", "/many/7").json()["n"], 7, "a read while the list is under way")
        whole(b"".join(pieces).decode().removesuffix("\n"))


@suite.test
def a_list_under_way_while_records_come_and_go_holds_each_lasting_one_once(server):
    path, stop = "/" + collection(), threading.Event()
    fill(server, path, 30000, "y" * 60)

    def change():
        """Deletes every tenth record from the end, and creates as many."""
        with Tcp(server) as tcp:
            for id in range(30000, 0, -10):
                if stop.is_set():
                    break
                tcp.ask("DELETE", f"{path}/{id}")
                tcp.ask("POST", path, '{"new":true}')

    def lists():
        try:
            for protocol in (Http, Tcp, Http):
                with protocol(server, receive_bytes=16384) as client:
                    answer = client.ask("GET", path)
                    ids = [r["id"] for r in answer.json()]
                    equal(ids, sorted(set(ids)), "ids of the list")
                    missing = {n for n in range(1, 30001) if n % 10} - set(ids)
                    equal(sorted(missing)[:5], [], "lasting records that the list lacks")
        finally:
            stop.set()
    together(change, lists)


@suite.test
def clients_that_go_away_in_the_middle_leave_nothing_behind(server):
    for _ in range(30):
        with Http(server, receive_bytes=4096) as http:
            http.send(request("GET", "/many") * 3)
            http.exactly(100)
        with Tcp(server, receive_bytes=4096) as tcp:
            tcp.send(b'{"method":"GET","pattern":"/many"}' * 3)
            tcp.exactly(100)
    serves(server)
    whole(ask(server, "GET", "/many").text)


@suite.test
def lists_that_nobody_reads_take_bounded_memory(server):
    before, clients = server.memory_mb(), []
    for n in range(60):
        client = Http(server, receive_bytes=4096) if n % 2 else Tcp(server, receive_bytes=4096)
        raw = request("GET", "/many") if n % 2 else b'{"method":"GET","pattern":"/many"}\n'
        client.socket.settimeout(0.1)
        try:
            client.send(raw * 50)
        except socket.timeout:
            pass
        clients.append(client)
    for _ in range(20):
        serves(server)
    grown, limit = server.memory_mb() - before, 400 if sanitized() else 200
    check(grown < limit, f"{grown:.0f} MB more memory for 60 clients that do not read, expected less than {limit}")
    for client in clients:
        client.close()
    serves(server)


@suite.test
def many_readers_of_a_list_all_get_it_all(server):
    def read():
        with Http(server) as http:
            return http.ask("GET", "/many").text
    for text in together(*[read] * 8):
        whole(text)


@suite.test
def a_list_is_as_new_as_the_write_before_it(server):
    path = "/" + collection()
    with Http(server) as http:
        for n in range(1, 200):
            made = http.ask("POST", path, "{}")
            answer = http.ask("GET", path)
            equal(len(answer.json()), n, "how many records")
            check(answer.seq >= made.seq, f"position of the list {answer.seq}, of the write {made.seq}")


if __name__ == "__main__":
    suite.main()
