"""Records as JSON over UDP: one datagram a request, one an answer; writes carry keys, since datagrams are repeated."""

import json
import socket

from harness import (Http, Suite, Tcp, Udp, ask, check, collection, equal, head_of, json_answer, new_key, refused,
                     together, wait_until)

suite = Suite()


def datagram(method, path, payload="", **members):
    return (json.dumps(head_of(method, path, **members), ensure_ascii=False) + payload).encode()


@suite.own()
def the_first_session_of_a_user(server):
    udp = Udp(server)
    made = udp.ask("POST", "/notes", '{"title":"a"}', key="first-key")
    equal((made.status, made.seq, made.etag, made.copies, made.text), (201, 1, 1, 1, '{"id":1,"title":"a"}'), "POST")
    read = udp.ask("GET", "/notes/1", rid="r")
    equal((read.status, read.seq, read.etag, read.rid, read.text), (200, 1, 1, "r", made.text), "GET")
    equal(udp.ask("GET", "/notes").text, f"[{made.text}]", "list")
    equal(udp.ask("PUT", "/notes/1", '{"b":1}').text, '{"id":1,"b":1}', "PUT")
    equal(udp.ask("PATCH", "/notes/1", '{"c":2}').text, '{"id":1,"b":1,"c":2}', "PATCH")
    equal(udp.ask("DELETE", "/notes/1").text, '{"id":1,"b":1,"c":2}', "DELETE")
    error = refused(udp.ask("GET", "/notes/1", rid="r2"), 404, "not_found")
    equal(error.rid, "r2", "rid of an error")


@suite.test
def head_and_payload_stand_in_one_datagram(server):
    path, udp = "/" + collection(), Udp(server)
    head = json.dumps(head_of("POST", path))[:-1]
    for id, between in enumerate(("", " ", "\n", "\r\n\t"), 1):
        raw = f'{head},"key":"{new_key()}"}}{between}{{"a": 1}}'.encode()
        equal(json_answer(udp.exchange(raw)).text, f'{{"id":{id},"a":1}}', f"record with {between!r} between")
    raw = f'{head},"key":"{new_key()}","body":{{"a": 1}}}}\n'.encode()
    equal(json_answer(udp.exchange(raw)).text, '{"id":5,"a":1}', "record with the payload as body")


@suite.test
def a_write_must_carry_a_key(server):
    path, udp = "/" + collection(), Udp(server)
    ask(server, "POST", path, "{}")
    for method, target, payload in (("POST", path, "{}"), ("PUT", path + "/1", "{}"), ("PATCH", path + "/1", "{}"),
                                    ("DELETE", path + "/1", "")):
        answer = json_answer(udp.exchange(datagram(method, target, payload, rid="r")))
        refused(answer, 400, "key_required")
        equal(answer.rid, "r", "rid")
    equal(udp.ask("GET", path).text, '[{"id":1}]', "the list")


@suite.test
def a_repeated_datagram_is_executed_once_and_answered_each_time(server):
    path = "/" + collection()
    raw = datagram("POST", path, '{"a":1}', key=new_key())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server.address, server.port))
        sock.settimeout(10)
        answers = set()
        for _ in range(20):
            sock.send(raw)
        for _ in range(20):
            answers.add(sock.recv(65536))
    equal(len(answers), 1, f"different answers: {answers}")
    equal(json_answer(answers.pop()).text, '{"id":1,"a":1}', "the answer")
    equal(ask(server, "GET", path).text, '[{"id":1,"a":1}]', "the list")


@suite.test
def each_datagram_has_one_answer_from_the_address_that_was_asked(server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        for n in range(50):
            sock.sendto(datagram("GET", "/_health", rid=str(n)), (server.address, server.port))
            raw, sender = sock.recvfrom(65536)
            equal((json.loads(raw)["rid"], sender), (str(n), (server.address, server.port)), "rid and sender")
        sock.setblocking(False)
        try:
            raw = sock.recv(65536)
        except BlockingIOError:
            return
    check(False, f"a second answer came: {raw!r}")


@suite.test
def a_read_s_answer_over_1200_bytes_is_use_tcp(server):
    path, udp = "/" + collection(), Udp(server)
    with Http(server) as http:
        http.ask("POST", path, {"a": "x" * 1000})
        http.ask("POST", path, {"a": "x" * 1300})
    raw = udp.exchange(datagram("GET", path + "/1"))
    equal(json_answer(raw).status, 200, "status of a read of 1000 bytes")
    check(len(raw) <= 1200, f"an answer of {len(raw)} bytes")
    for target in (path + "/2", path):
        answer = json_answer(udp.exchange(datagram("GET", target, rid="r")))
        refused(answer, 413, "use_tcp")
        equal(answer.rid, "r", "rid")


@suite.test
def no_answer_is_longer_than_1200_bytes(server):
    path, udp = "/" + collection(), Udp(server)
    with Http(server) as http:
        for id, size in enumerate(range(1100, 1201), 1):
            http.ask("POST", path, {"a": "x" * size})
    sizes, large = [], 0
    for id in range(1, 102):
        raw = udp.exchange(datagram("GET", f"{path}/{id}", rid="한" * 10))
        sizes.append(len(raw))
        large += json_answer(raw).status == 413
    check(max(sizes) <= 1200, f"the longest answer has {max(sizes)} bytes")
    check(0 < large < 101, f"{large} of 101 answers were use_tcp, expected the larger ones")


@suite.test
def a_write_s_answer_over_1200_bytes_carries_the_id_and_no_body(server):
    path, udp = "/" + collection(), Udp(server)
    for method, target, status in (("POST", path, 201), ("PUT", path + "/1", 200), ("PATCH", path + "/1", 200),
                                   ("DELETE", path + "/1", 200)):
        payload = "" if method == "DELETE" else '{"a":"' + "x" * 1500 + '"}'
        raw = udp.exchange(datagram(method, target, payload, key=new_key(), rid="r"))
        answer, value = json_answer(raw), json.loads(raw)
        equal((answer.status, answer.text, int(value["id"]), answer.rid), (status, None, 1, "r"), f"answer to {method}")
        check(len(raw) <= 1200, f"an answer of {len(raw)} bytes")
        check(value["seq"] > 0, "the answer carries seq")


@suite.test
def a_datagram_of_60_kb_is_taken(server):
    path, udp = "/" + collection(), Udp(server)
    payload = '{"a":"' + "x" * 60000 + '"}'
    answer = json.loads(udp.exchange(datagram("POST", path, payload, key=new_key())))
    equal((answer["status"], int(answer["id"])), (201, 1), "status and id")
    equal(ask(server, "GET", path + "/1").text, '{"id":1,' + payload[1:], "the record")


@suite.own("--threads", "1")
def what_is_no_json_object_is_dropped_and_counted(server):
    def dropped():
        return ask(server, "GET", "/_status").json()["datagrams_dropped"]
    before = dropped()
    bad = (b"hello", b"[1]", b'"x"', b"5", b"{", b'{"method":"GET"', b"\xff\xfe", b'{"method":"GET",}', b"\0" * 100,
           b"GET / HTTP/1.1\r\n\r\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server.address, server.port))
        sock.settimeout(10)
        for n, raw in enumerate(bad):
            sock.send(raw)
            sock.send(datagram("GET", "/_health", rid=str(n)))
            equal(json.loads(sock.recv(65536)).get("rid"), str(n), f"the first answer after {raw!r}")
    wait_until(lambda: dropped() - before == len(bad), f"{len(bad)} more datagrams dropped than {before}")


@suite.test
def a_request_that_is_wrong_is_answered(server):
    udp = Udp(server)
    for head in ("{}", '{"method":"GET"}', '{"method":"GET","pattern":"/notes","x":1}',
                 '{"method":"GET","pattern":"/notes/01"}'):
        answer = json_answer(udp.exchange(head.encode()))
        equal(answer.status, 400, f"status for {head}")
    path = "/" + collection()
    refused(udp.ask("POST", path, '{"id":1}'), 400, "id_not_allowed")
    refused(udp.ask("POST", path, "{}", key="short"), 400, "bad_key")
    refused(udp.ask("DELETE", path), 405, "method_not_allowed")
    refused(udp.ask("GET", "/a/b/c"), 404, "not_found")


@suite.test
def many_clients_at_once_are_all_answered(server):
    path = "/" + collection()

    def work(count=60):
        udp = Udp(server)
        return [udp.ask("POST", path, {"n": n}).json()["id"] for n in range(count)]
    ids = [id for part in together(*[work] * 8) for id in part]
    equal(sorted(ids), list(range(1, 481)), "the ids")
    equal([r["id"] for r in ask(server, "GET", path).json()], list(range(1, 481)), "the ids of the list")


@suite.test
def text_in_any_language_goes_through(server):
    path, udp = "/" + collection(), Udp(server)
    made = udp.ask("POST", path, '{"제목":"안녕하세요 🌏"}', rid="요청-1", key="열쇠-여덟-바이트")
    equal((made.status, made.text, made.rid), (201, '{"id":1,"제목":"안녕하세요 🌏"}', "요청-1"), "POST")
    with Tcp(server) as tcp:
        repeat = tcp.ask("POST", path, '{"제목":"안녕하세요 🌏"}', key="열쇠-여덟-바이트")
    equal((repeat.status, repeat.text), (201, made.text), "its repeat over TCP")


if __name__ == "__main__":
    suite.main()
