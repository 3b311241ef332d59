"""Records as JSON over TCP: two objects a request, one line an answer; must not know HTTP beyond reading back."""

import json
import threading

from harness import Http, Suite, Tcp, Udp, among, ask, check, collection, equal, head_of, json_answer, pipelined, refused

suite = Suite()


def line(method, path, payload="", **members):
    """One request's bytes."""
    head = json.dumps(head_of(method, path, **members), ensure_ascii=False)
    return f"{head} {payload}\n".encode()


@suite.own()
def the_first_session_of_a_user(server):
    with Tcp(server) as tcp:
        tcp.send(b'{"method":"POST","pattern":"/notes"} {"title":"a"}\n')
        made = tcp.answer()
        equal((made.status, made.seq, made.etag, made.copies), (201, 1, 1, 1), "status, seq, etag, copies")
        equal(made.text, '{"id":1,"title":"a"}', "body")
        read = tcp.ask("GET", "/notes/1")
        equal((read.status, read.seq, read.etag, read.text), (200, 1, 1, made.text), "GET")
        equal(tcp.ask("GET", "/notes").text, f"[{made.text}]", "list")
        equal(tcp.ask("PUT", "/notes/1", '{"b":1}').text, '{"id":1,"b":1}', "PUT")
        patched = tcp.ask("PATCH", "/notes/1", '{"c":2}')
        equal((patched.status, patched.text, patched.etag), (200, '{"id":1,"b":1,"c":2}', 3), "PATCH")
        equal(tcp.ask("DELETE", "/notes/1").text, patched.text, "DELETE")
        refused(tcp.ask("GET", "/notes/1"), 404, "not_found")


@suite.test
def an_answer_is_one_line_that_begins_with_its_status(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        for raw, start in ((line("POST", path, '{\n"a":\r\n"b"\t}'), b'{"status":201,"seq":'),
                           (line("GET", path), b'{"status":200,"seq":'),
                           (line("GET", path + "/9"), b'{"msg":"ERROR","status":404,"code":"not_found","detail":"'),
                           (line("DELETE", path + "/1"), b'{"status":200,"seq":')):
            tcp.send(raw)
            answer = tcp.answer()
            check(answer.raw.startswith(start), f"answer {answer.raw!r}, expected it to begin with {start!r}")
            equal(answer.raw.count(b"\n"), 1, f"line ends in {answer.raw!r}")
        equal(tcp.kept, b"", "what follows")


@suite.test
def an_absent_record_is_named_in_the_error(server):
    name = collection()
    with Tcp(server) as tcp:
        tcp.ask("POST", f"/{name}", "{}")
        answer = tcp.ask("GET", f"/{name}/7")
        start = f'{{"msg":"ERROR","status":404,"code":"not_found","detail":"{name}/7 does not exist"'
        check(answer.text.startswith(start), f"answer {answer.text}, expected it to begin with {start}")


@suite.test
def head_and_payload_are_separated_by_white_space_or_nothing(server):
    path = "/" + collection()
    head = json.dumps(head_of("POST", path))
    with Tcp(server) as tcp:
        for id, between in enumerate(("", " ", "\n", "\r\n", "\t \n\n "), 1):
            for after in ("", "\n"):
                tcp.send(f'{head}{between}{{"a":1}}{after}'.encode())
                equal(tcp.answer().status, 201, f"status with {between!r} between and {after!r} after")
        equal(len(tcp.ask("GET", path).json()), 10, "how many records")


@suite.test
def a_head_may_hold_the_payload_as_body(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        tcp.send(f'{{"method":"POST","pattern":"{path}","body":{{ "a" : 1.10 }}}}'.encode())
        equal(tcp.answer().text, '{"id":1,"a":1.10}', "POST")
        tcp.send(f'{{"body":{{"b":2}},"pattern":"{path}/1","method":"PATCH"}}'.encode())
        equal(tcp.answer().text, '{"id":1,"a":1.10,"b":2}', "PATCH with the body first")
        equal(tcp.ask("GET", path + "/1").status, 200, "status of the next request")


@suite.test
def a_connection_may_begin_with_white_space(server):
    for space in (b" ", b"\n", b"\r\n", b"\t"):
        with Tcp(server) as tcp:
            tcp.send(space + line("GET", "/_health"))
            equal(tcp.answer().status, 200, f"status after {space!r}")


@suite.test
def the_rid_is_echoed(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        for rid in ("r1", "한국어 표시", 'quote " and \\', "x" * 64, ""):
            made = tcp.ask("POST", path, "{}", rid=rid)
            equal((made.status, made.rid or ""), (201, rid), "rid of a write")
            equal(tcp.ask("GET", path, rid=rid).rid or "", rid, "rid of a read")
            error = refused(tcp.ask("GET", path + "/99", rid=rid), 404, "not_found")
            equal(error.rid or "", rid, "rid of an error")
        check("rid" not in json.loads(tcp.ask("GET", path).raw), "an answer to a request without rid has none")


@suite.test
def a_rid_is_a_string_of_up_to_64_bytes(server):
    for rid in ('"' + "x" * 65 + '"', "5", "null", '["a"]', '"' + "가" * 22 + '"'):
        with Tcp(server) as tcp:
            tcp.send(f'{{"method":"GET","pattern":"/notes","rid":{rid}}}\n'.encode())
            answer = tcp.answer()
            check(answer.status == 400, f"rid {rid}: got {answer.raw!r}, expected a 400")


@suite.test
def unknown_members_of_a_head_are_refused(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        for members in ('"x":1', '"Method":"GET"', '"if-match":"1"', '"seq":1'):
            tcp.send(f'{{"method":"GET","pattern":"{path}",{members}}}\n'.encode())
            answer = tcp.answer()
            refused(answer, 400, "bad_request", "bad_parameter")
        tcp.send(f'{{"method":"POST","pattern":"{path}","colour":"red","body":{{}}}}\n'.encode())
        refused(tcp.answer(), 400, "bad_request", "bad_parameter")
        equal(tcp.ask("GET", path).text, "[]", "the list")


@suite.test
def a_head_says_method_and_pattern_as_strings(server):
    for head in ("{}", '{"method":"GET"}', '{"pattern":"/notes"}', '{"method":1,"pattern":"/notes"}',
                 '{"method":"GET","pattern":["/notes"]}', '{"method":"GET","pattern":"/notes","min_seq":"x"}',
                 '{"method":"GET","pattern":"/notes","wait_ms":-1}',
                 '{"method":"GET","pattern":"/notes","min_seq":1.5}',
                 '{"method":"GET","pattern":"/notes","key":5}', '{"method":"GET","pattern":"/notes","if_match":[1]}',
                 '{"method":"GET","pattern":"/notes","type":{}}', '{"method":"GET","pattern":"notes"}'):
        with Tcp(server) as tcp:
            tcp.send(head.encode() + b"\n")
            answer = tcp.answer()
            check(answer.code is not None, f"{head}: got {answer.raw!r}, expected an error")
            among(answer.status, (400, 404), f"status for {head}")


@suite.test
def methods_and_paths_mean_what_they_mean_over_http(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        tcp.ask("POST", path, "{}")
        refused(tcp.ask("DELETE", path), 405, "method_not_allowed")
        refused(tcp.ask("POST", path + "/1", "{}"), 405, "method_not_allowed")
        answer = tcp.tell('{"method":"BREW","pattern":"/notes"}')
        refused(answer, answer.status, "not_implemented", "method_not_allowed")
        refused(tcp.ask("GET", "/Notes"), 404, "not_found")
        refused(tcp.ask("GET", path + "/01"), 400, "bad_id")
        refused(tcp.ask("GET", path + "?x=1"), 400, "bad_parameter")
        refused(tcp.ask("PUT", path + "/1", '{"id":2}'), 409, "id_mismatch")
        refused(tcp.ask("POST", path, '{"id":2}'), 400, "id_not_allowed")
        refused(tcp.ask("PUT", path + "/9", "{}"), 404, "not_found")
        refused(tcp.ask("POST", path, "{}", key="short"), 400, "bad_key")
        equal(tcp.ask("GET", path).text, '[{"id":1}]', "the list")


@suite.test
def the_type_of_a_payload_can_be_said(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        equal(tcp.ask("POST", path, "{}", type="application/json").status, 201, "status")
        equal(tcp.ask("PATCH", path + "/1", '{"a":1}', type="application/merge-patch+json").status, 200, "status")
        refused(tcp.ask("PATCH", path + "/1", '{"a":2}', type="text/plain"), 415, "unsupported_type")
        refused(tcp.ask("PATCH", path + "/1", '{"a":2}', type="application/json-patch+json"), 400, "bad_request")
        equal(tcp.ask("GET", path + "/1").text, '{"id":1,"a":1}', "the record")


@suite.test
def a_payload_must_be_an_object(server):
    path = "/" + collection()
    for payload in ("[1]", '"text"', "5", "null"):
        with Tcp(server) as tcp:
            tcp.send(f'{{"method":"POST","pattern":"{path}","body":{payload}}}\n'.encode())
            refused(tcp.answer(), 400, "not_object")
            equal(tcp.ask("GET", path).text, "[]", "the list, on the same connection")
        with Tcp(server) as tcp:
            tcp.send(line("POST", path, payload))
            refused(tcp.answer(), 400, "not_object", "bad_json")


@suite.test
def after_no_json_the_error_is_sent_and_the_connection_closed(server):
    path = "/" + collection()
    for bad in (b'{"method":"GET",}', b'{"method" "GET"}', b'{"method":"GET","method":"GET","pattern":"/notes"}',
                b'{"a":\xff}',
                b"{]", b'{"pattern":"\x01"}', line("POST", path, '{"a":1,}'), line("POST", path, '{"a":tru}')):
        with Tcp(server) as tcp:
            tcp.send(line("GET", path, rid="before") + bad + b"\n" + line("POST", path, '{"after":1}'))
            equal(tcp.answer().rid, "before", "rid of the answer before it")
            refused(tcp.answer(), 400, "bad_json")
            equal(tcp.rest(), b"", f"what follows after {bad!r}")
    equal(ask(server, "GET", path).text, "[]", "nothing was created")


@suite.test
def text_between_requests_is_no_json(server):
    for between in (b"x", b",", b"]", b"5", b"GET / HTTP/1.1\r\n\r\n", b"\0"):
        with Tcp(server) as tcp:
            tcp.send(line("GET", "/_health") + between + b"\n" + line("GET", "/_health"))
            equal(tcp.answer().status, 200, "status of the request before it")
            refused(tcp.answer(), 400, "bad_json", "bad_request", "not_object")
            equal(tcp.rest(), b"", f"what follows after {between!r}")


@suite.test
def pipelined_requests_take_effect_and_are_answered_in_order(server):
    path = "/" + collection()
    steps = (("GET", path, "", 200, "[]"), ("POST", path, '{"v":1}', 201, '{"id":1,"v":1}'),
             ("GET", path, "", 200, '[{"id":1,"v":1}]'), ("PUT", path + "/1", '{"v":2}', 200, '{"id":1,"v":2}'),
             ("GET", path + "/1", "", 200, '{"id":1,"v":2}'),
             ("PATCH", path + "/1", '{"w":3}', 200, '{"id":1,"v":2,"w":3}'),
             ("GET", path + "/1", "", 200, '{"id":1,"v":2,"w":3}'),
             ("DELETE", path + "/1", "", 200, '{"id":1,"v":2,"w":3}'),
             ("GET", path + "/1", "", 404, None), ("POST", path, "{}", 201, '{"id":2}'),
             ("GET", path, "", 200, '[{"id":2}]'))
    answers = pipelined(server, [line(m, p, body, rid=str(n)) for n, (m, p, body, _, _) in enumerate(steps)])
    for n, ((method, target, _, status, text), raw) in enumerate(zip(steps, answers)):
        answer = json_answer(raw)
        equal((answer.status, answer.rid), (status, str(n)), f"status and rid of {method} {target}")
        equal(answer.text, answer.text if text is None else text, f"body of {method} {target}")


@suite.test
def thousands_of_pipelined_requests_are_all_answered_in_order(server):
    path, count = "/" + collection(), 5000
    requests = []
    for n in range(1, count + 1):
        requests += [line("POST", path, f'{{"n":{n}}}', rid=f"w{n}"), line("GET", f"{path}/{n}", rid=f"r{n}")]
    answers = pipelined(server, requests)
    last = 0
    for n in range(1, count + 1):
        for raw, status, mark in ((answers[2 * n - 2], 201, "w"), (answers[2 * n - 1], 200, "r")):
            answer = json_answer(raw)
            equal((answer.status, answer.rid, answer.text), (status, f"{mark}{n}", f'{{"id":{n},"n":{n}}}'), "answer")
            check(answer.seq >= last, f"seq {answer.seq} after {last}")
            last = answer.seq


@suite.test
def a_request_may_come_byte_by_byte(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        for n in (1, 2):
            for byte in line("POST", path, '{"한":"\\"}{ \\u00e9","n":[{"}":1}]}', rid="r"):
                tcp.send(bytes([byte]))
            equal(tcp.answer().text, f'{{"id":{n},"한":"\\"}}{{ \\u00e9","n":[{{"}}":1}}]}}', "record")


@suite.test
def half_closed_the_connection_gets_all_its_answers(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        tcp.send(b"".join(line("POST", path, "{}") for _ in range(200)) + line("GET", path).rstrip(b"\n"))
        tcp.end_sending()
        lines = tcp.rest().splitlines()
    equal([json.loads(text)["status"] for text in lines], [201] * 200 + [200], "statuses")


@suite.test
def a_request_cut_by_the_end_of_the_connection_is_not_executed(server):
    path = "/" + collection()
    for cut in (line("POST", path, '{"a":1')[:-1], line("POST", path), b'{"method":"POST"'):
        with Tcp(server) as tcp:
            tcp.send(cut)
            tcp.end_sending()
            rest = tcp.rest()
            check(b'"status":201' not in rest, f"answer to a request cut short: {rest!r}")
    equal(ask(server, "GET", path).text, "[]", "the list")


@suite.test
def a_record_of_one_mebibyte_fits_and_a_longer_one_is_413(server):
    path, limit = "/" + collection(), 1 << 20
    with Tcp(server) as tcp:
        payload = '{"a":"' + "x" * (limit - 8) + '"}'
        equal(tcp.ask("POST", path, payload).text, '{"id":1,' + payload[1:], "record of 1 MiB")
        equal(tcp.ask("GET", path + "/1").text, '{"id":1,' + payload[1:], "read back")
        tcp.send(f'{{"method":"POST","pattern":"{path}","body":{payload}}}'.encode())
        equal(tcp.answer().status, 201, "status of a body of 1 MiB in the head")
    for size in (1, 300000, 8 << 20):
        with Tcp(server) as tcp:
            raw = line("POST", path, '{"a":"' + "x" * (limit - 8 + size) + '"}')

            def send():
                try:
                    tcp.send(raw)
                except OSError:  # the server need not take it all
                    pass
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            refused(tcp.answer(), 413, "too_large")
            sender.join(20)
    equal(len(ask(server, "HEAD", path).raw), 0, "body of a HEAD")
    refused(ask(server, "GET", path + "/3"), 404, "not_found")


@suite.test
def a_head_over_its_limit_is_refused(server):
    with Tcp(server) as tcp:
        tcp.send(b'{"method":"GET","pattern":"/notes","rid":"' + b"x" * 40000 + b'"}\n')
        among(tcp.answer().status, (400, 413, 431), "status")
    with Tcp(server) as tcp:
        refused(tcp.ask("GET", "/" + "a" * 3000), 414, "uri_too_long")


@suite.test
def every_protocol_reads_what_the_others_wrote(server):
    path = "/" + collection()
    with Http(server) as http, Tcp(server) as tcp:
        clients = (http, tcp, Udp(server))
        for n, writer in enumerate(clients, 1):
            made = writer.ask("POST", path, '{"t":"가 \\u00e9 1.10","n":1.10}')
            equal((made.status, made.text), (201, f'{{"id":{n},"t":"가 \\u00e9 1.10","n":1.10}}'), "POST")
            changed = writer.ask("PATCH", f"{path}/{n}", '{"n":-0.0}')
            for reader in clients:
                read = reader.ask("GET", f"{path}/{n}")
                equal((read.text, read.etag), (changed.text, changed.etag), f"record {n}")
        lists = [client.ask("GET", path).text for client in clients]
        equal(lists, [lists[0]] * 3, "the lists")


if __name__ == "__main__":
    suite.main()
