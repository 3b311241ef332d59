"""HTTP/1.1 as bytes on a connection: what the server takes, in which order it answers, what it refuses and how."""

import threading

from harness import Http, Suite, among, ask, check, collection, equal, refused, request, serves

suite = Suite()


def exchange(server, raw, method="GET"):
    """Sends the bytes; the answer, and what comes after it until the server closes."""
    with Http(server) as http:
        http.send(raw)
        answer = http.answer(method)
        return answer, http.rest()


def closed_after(server, raw, status, *codes):
    """The bytes get this error as their only answer, and the connection is closed."""
    answer, rest = exchange(server, raw)
    refused(answer, status, *codes)
    equal(rest, b"", f"what follows the {status} to {raw[:80]!r}")
    return answer


# --- connections ---

@suite.test
def a_connection_carries_request_after_request(server):
    path = "/" + collection()
    with Http(server) as http:
        for n in range(1, 20):
            equal(http.ask("POST", path, "{}").json(), {"id": n}, "record")
            equal(http.ask("GET", f"{path}/{n}").status, 200, "status of GET")
        refused(http.ask("GET", path + "/99"), 404, "not_found")
        refused(http.ask("PUT", path + "/1", "{}", if_match="9999999"), 412, "precondition_failed")
        refused(http.ask("POST", path, '{"a":}'), 400, "bad_json")
        equal(http.ask("GET", path + "/1").status, 200, "status after the errors")


@suite.test
def connection_close_ends_it_after_the_answer(server):
    path = "/" + collection()
    raw = request("POST", path, "{}", [("Connection", "close")]) + request("POST", path, "{}")
    answer, rest = exchange(server, raw)
    equal((answer.status, rest), (201, b""), "status, and what follows the answer")
    equal((answer.header("Connection") or "").lower(), "close", "Connection")
    equal(ask(server, "GET", path).text, '[{"id":1}]', "the list")


@suite.test
def http_1_0_closes_and_needs_no_host(server):
    path = "/" + collection()
    answer, rest = exchange(server, f"POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    equal((answer.status, answer.text, rest), (201, '{"id":1}', b""), "POST")
    answer, rest = exchange(server, f"GET {path}/1 HTTP/1.0\r\n\r\n".encode())
    equal((answer.status, answer.text, rest), (200, '{"id":1}', b""), "GET")


@suite.test
def pipelined_requests_take_effect_and_are_answered_in_order(server):
    path = "/" + collection()
    steps = (("GET", path, None, 200, "[]"), ("POST", path, '{"v":1}', 201, '{"id":1,"v":1}'),
             ("GET", path + "/1", None, 200, '{"id":1,"v":1}'), ("PUT", path + "/1", '{"v":2}', 200, '{"id":1,"v":2}'),
             ("GET", path, None, 200, '[{"id":1,"v":2}]'),
             ("PATCH", path + "/1", '{"w":3}', 200, '{"id":1,"v":2,"w":3}'),
             ("GET", path + "/1", None, 200, '{"id":1,"v":2,"w":3}'), ("HEAD", path + "/1", None, 200, ""),
             ("DELETE", path + "/1", None, 200, '{"id":1,"v":2,"w":3}'), ("GET", path + "/1", None, 404, None),
             ("POST", path, "{}", 201, '{"id":2}'), ("GET", path, None, 200, '[{"id":2}]'))
    with Http(server) as http:
        http.send(b"".join(request(method, target, body) for method, target, body, _, _ in steps))
        for method, target, _, status, text in steps:
            answer = http.answer(method)
            equal(answer.status, status, f"status of {method} {target}")
            equal(answer.text, answer.text if text is None else text, f"body of {method} {target}")


@suite.test
def thousands_of_pipelined_requests_are_all_answered_in_order(server):
    path, count = "/" + collection(), 3000
    with Http(server) as http:
        raw = b"".join(request("POST", path, f'{{"n":{n}}}') + request("GET", f"{path}/{n}")
                       for n in range(1, count + 1))
        sender = threading.Thread(target=lambda: http.send(raw), daemon=True)
        sender.start()
        for n in range(1, count + 1):
            for status in (201, 200):
                answer = http.answer()
                equal((answer.status, answer.text), (status, f'{{"id":{n},"n":{n}}}'), f"answer {n}")
        sender.join()


@suite.test
def a_request_may_come_byte_by_byte(server):
    path = "/" + collection()
    plain = request("POST", path, '{"title":"\\u00e9 é"}', [("Content-Type", "application/json"), ("X", "y")])
    chunked = request("PUT", path + "/1", b"5;x=y\r\n{\"a\":\r\n2\r\n1}\r\n0\r\nT: v\r\n\r\n",
                      [("Transfer-Encoding", "chunked")])
    with Http(server) as http:
        for raw, text in ((plain, '{"id":1,"title":"\\u00e9 é"}'), (chunked, '{"id":1,"a":1}')):
            for byte in raw:
                http.send(bytes([byte]))
            equal(http.answer().text, text, "body of the answer")


@suite.test
def empty_lines_before_a_later_request_are_skipped(server):
    with Http(server) as http:
        http.send(request("GET", "/_health") + b"\r\n\r\n" + request("GET", "/_health"))
        equal([http.answer().status, http.answer().status], [200, 200], "statuses")


@suite.test
def an_absolute_target_means_its_path(server):
    path = "/" + collection()
    with Http(server) as http:
        equal(http.ask("POST", f"http://localhost{path}", "{}").header("Location"), path + "/1", "Location")
        equal(http.ask("GET", f"http://localhost{path}/1").text, '{"id":1}', "record")


@suite.test
def an_upgrade_is_not_taken_up(server):
    with Http(server) as http:
        headers = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]
        equal(http.ask("GET", "/_health", headers=headers).status, 200, "status of the request with Upgrade")
        equal(http.ask("GET", "/_health").status, 200, "status of the next")


# --- bodies ---

@suite.test
def chunked_bodies_are_put_together(server):
    path = "/" + collection()
    forms = (b'9\r\n{"a":"b"}\r\n0\r\n\r\n', b'1\r\n{\r\n8\r\n"a":"b"}\r\n0\r\n\r\n',
             b'0009;name=value;q="x"\r\n{"a":"b"}\r\n000\r\n\r\n',
             b"".join(b"1\r\n%c\r\n" % c for c in b'{"a":"b"}') + b"0\r\n\r\n",
             b'A\r\n{"a": "b"}\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n', b'a\r\n{"a": "b"}\r\n0\r\n\r\n')
    with Http(server) as http:
        for id, form in enumerate(forms, 1):
            answer = http.ask("POST", path, form, headers=[("Transfer-Encoding", "Chunked")])
            equal((answer.status, answer.text), (201, f'{{"id":{id},"a":"b"}}'), f"POST of {form!r}")
            equal(http.ask("GET", f"{path}/{id}").text, answer.text, "the next request on the connection")


@suite.test
def expect_100_continue_is_answered_before_the_body(server):
    path = "/" + collection()
    with Http(server) as http:
        for headers, body in (([("Content-Length", "2")], b"{}"),
                              ([("Transfer-Encoding", "chunked")], b"2\r\n{}\r\n0\r\n\r\n")):
            http.send(request("POST", path, None, [("Expect", "100-continue"), *headers]))
            equal(http.answer().status, 100, "status before the body")
            http.send(body)
            equal(http.answer().status, 201, "status after the body")


@suite.test
def expect_100_continue_is_not_given_to_a_body_that_is_refused(server):
    headers = [("Expect", "100-continue"), ("Content-Length", str(8 << 20))]
    with Http(server) as http:
        http.send(request("POST", "/" + collection(), None, headers))
        refused(http.answer(), 413, "too_large")


@suite.test
def a_write_without_a_length_is_411(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")
    for method, target in (("POST", path), ("PUT", path + "/1"), ("PATCH", path + "/1")):
        with Http(server) as http:
            refused(http.ask(method, target), 411, "length_required")
    equal(ask(server, "GET", path).text, '[{"id":1}]', "the list")


@suite.test
def an_empty_body_is_no_json(server):
    with Http(server) as http:
        for body in ("", "  \r\n"):
            refused(http.ask("POST", "/" + collection(), body), 400, "bad_json")


@suite.test
def a_body_over_the_limit_is_413_and_can_be_read_while_sending(server):
    path, piece, pieces = "/" + collection(), b"x" * 65536, (8 << 20) // 65536

    def send_all(http, headers, piece):
        try:
            http.send(request("POST", path, None, headers))
            for _ in range(pieces):
                http.send(piece)
        except OSError:  # the server need not take it all
            pass
    for headers, part in (([("Content-Length", pieces * len(piece))], piece),
                          ([("Transfer-Encoding", "chunked")], b"10000\r\n" + piece + b"\r\n")):
        with Http(server) as http:
            sender = threading.Thread(target=send_all, args=(http, headers, part), daemon=True)
            sender.start()
            refused(http.answer(), 413, "too_large")
            sender.join(20)
            check(not sender.is_alive(), "the sender is still held after 20 s")
    equal(ask(server, "GET", path).text, "[]", "the list")


@suite.test
def an_early_answer_can_be_read_after_all_was_sent(server):
    with Http(server) as http:
        http.send(request("POST", "/" + collection(), b'{"a":"' + b"x" * (4 << 20) + b'"}'))
        refused(http.answer(), 413, "too_large")
        equal(http.rest(), b"", "what follows")


# --- heads ---

@suite.test
def a_head_over_16_kib_is_431(server):
    with Http(server) as http:
        equal(http.ask("GET", "/_health", headers=[("X", "y" * 15000)]).status, 200, "status of a head of 15 KiB")
    closed_after(server, request("GET", "/_health", None, [("X", "y" * 17000)]), 431, "head_too_large")
    many = [(f"X-{n}", "y" * 100) for n in range(200)]
    closed_after(server, request("GET", "/_health", None, many), 431, "head_too_large")
    with Http(server) as http:
        http.send(b"GET /_health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (1 << 20))
        refused(http.answer(), 431, "head_too_large")


@suite.test
def a_url_over_2_kib_is_414(server):
    with Http(server) as http:
        refused(http.ask("GET", "/" + "a" * 2000), 404, "not_found")
    for length in (2049, 10000):
        with Http(server) as http:
            refused(http.ask("GET", "/" + "a" * length), 414, "uri_too_long")


@suite.test
def an_unknown_method_is_501(server):
    for method in ("BREW", "TRACE", "get", "PROPFIND"):
        with Http(server) as http:
            refused(http.ask(method, "/notes"), 501, "not_implemented")
    with Http(server) as http:
        http.send(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused(http.answer(), 501, "not_implemented")


@suite.test
def an_unknown_transfer_coding_is_501(server):
    for coding in ("gzip", "gzip, chunked"):
        raw = request("POST", "/notes", b"2\r\n{}\r\n0\r\n\r\n", [("Transfer-Encoding", coding)])
        answer, rest = exchange(server, raw)
        refused(answer, answer.status, "not_implemented", "bad_request")
        among(answer.status, (400, 501), f"status with Transfer-Encoding {coding}")
        equal(rest, b"", "what follows")


@suite.test
def other_versions_are_505(server):
    for version in ("2.0", "1.2", "0.9", "3.0"):
        with Http(server) as http:
            refused(http.ask("GET", "/notes", version=version), 505, "bad_version")


@suite.test
def framing_in_doubt_is_400_and_closed(server):
    path = "/" + collection()
    post, after = f"POST {path} HTTP/1.1\r\nHost: x\r\n", request("POST", path, "{}")
    heads = (
        post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        post + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
        post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
        post + "Content-Length: 2, 2\r\n\r\n",
        post + "Content-Length: -2\r\n\r\n",
        post + "Content-Length: +2\r\n\r\n",
        post + "Content-Length: 0x2\r\n\r\n",
        post + "Content-Length: 2 2\r\n\r\n",
        post + "Content-Length:\r\n\r\n",
        post + "Transfer-Encoding: chunked, chunked\r\n\r\n",
        post + "Transfer-Encoding: identity, chunked\r\n\r\n",
        post + "Transfer-Encoding: xchunked\r\n\r\n",
        post + "Content-Length : 2\r\n\r\n",
        post + "X: a\r\n Content-Length: 2\r\n\r\n",
        post + "Content-Length: 2\n\r\n",
        post + "X: y\n\r\n",
        post + "X: y\n\n",
        f"POST {path} HTTP/1.1\nHost: x\nContent-Length: 2\n\n",
        post + "X: a\rb\r\n\r\n",
        post + "X: a\0b\r\n\r\n",
    )
    for head in heads:
        answer, rest = exchange(server, head.encode() + b"{}" + after)
        refused(answer, answer.status, "bad_request", "not_implemented")
        among(answer.status, (400, 501) if "coding" in head and "Length" not in head else (400,),
              f"status after {head!r}")
        equal(rest, b"", f"what follows the answer to {head!r}")
    equal(ask(server, "GET", path).text, "[]", "nothing was created")


@suite.test
def a_length_that_overflows_is_refused(server):
    for length in ("18446744073709551616", "18446744073709551618", "99999999999999999999999999"):
        raw = f"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{{}}".encode()
        answer, rest = exchange(server, raw)
        refused(answer, answer.status, "bad_request", "too_large")
        among(answer.status, (400, 413), f"status with length {length}")
        equal(rest, b"", "what follows")


@suite.test
def bad_chunks_are_400_and_closed(server):
    path = "/" + collection()
    bodies = (b"x\r\n{}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"2\n{}\n0\n\n", b"-2\r\n{}\r\n0\r\n\r\n",
              b"2\r\n{}xx0\r\n\r\n",
              b"10000000000000002\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffffff\r\n{}", b"\r\n{}\r\n0\r\n\r\n",
              b"0x2\r\n{}\r\n0\r\n\r\n", b"2;" + b"x" * 20000 + b"\r\n{}\r\n0\r\n\r\n",
              b"2\r\n{}\r\n0\r\n" + b"T: x\r\n" * 5000 + b"\r\n")
    for body in bodies:
        raw = request("POST", path, body, [("Transfer-Encoding", "chunked")]) + request("POST", path, "{}")
        answer, rest = exchange(server, raw)
        refused(answer, answer.status, "bad_request", "too_large", "head_too_large")
        among(answer.status, (400, 413, 431), f"status after {body[:60]!r}")
        equal(rest, b"", f"what follows after {body[:60]!r}")
    equal(ask(server, "GET", path).text, "[]", "nothing was created")


@suite.test
def a_head_that_is_not_http_is_400(server):
    host = b"Host: x\r\n\r\n"
    for raw in (b"GET /notes\r\n" + host, b"GET notes HTTP/1.1\r\n" + host, b"GET  /notes HTTP/1.1\r\n" + host,
                b"GET /notes  HTTP/1.1\r\n" + host, b"GET /no tes HTTP/1.1\r\n" + host, b"GET /notes HTTP/x.y\r\n"
                + host,
                b"GET /notes HTTP/1.1\r\n\r\n", b"GET /notes HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                b"GET /notes HTTP/1.1\r\nno colon\r\n" + host, b"GET /notes HTTP/1.1\r\n: v\r\n" + host,
                b"GET /notes HTTP/1.1\r\nb(d: v\r\n" + host, b"GE(T /notes HTTP/1.1\r\n" + host,
                b"GET /\x01notes HTTP/1.1\r\n" + host):
        with Http(server) as http:
            http.send(raw)
            http.end_sending()  # where a request line is only begun, nothing follows
            answer = http.answer()
            refused(answer, answer.status, "bad_request", "bad_version", "not_implemented")
            among(answer.status, (400,) if b"HTTP/1.1" in raw and b"GE(T" not in raw else (400, 501, 505),
                  f"status after {raw!r}")
            equal(http.rest(), b"", "what follows")
    serves(server)


# --- what headers mean ---

@suite.test
def a_body_must_be_said_to_be_json(server):
    path = "/" + collection()
    with Http(server) as http:
        made = 0
        for type in ("application/json", "application/json; charset=utf-8", "Application/JSON",
                     "application/vnd.api+json",
                     "application/merge-patch+json", None):
            equal(http.ask("POST", path, "{}", type=type).status, 201, f"status of POST with {type}")
            made += 1
        for type in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "json", "application/jsonx",
                     "multipart/form-data; boundary=x"):
            for method, target in (("POST", path), ("PUT", path + "/1"), ("PATCH", path + "/1")):
                answer = refused(http.ask(method, target, "{}", type=type), 415, "unsupported_type")
                check("curl --json" in answer.json()["detail"], f"the detail shows curl --json: {answer.text}")
        for type in ("application/merge-patch+json", "application/json", "application/merge-patch+json; charset=utf-8"):
            equal(http.ask("PATCH", path + "/1", '{"p":1}', type=type).status, 200, f"status of PATCH with {type}")
        equal(len(http.ask("GET", path).json()), made, "how many records")


@suite.test
def a_patch_of_unknown_type_is_told_what_is_accepted(server):
    path = "/" + collection()
    with Http(server) as http:
        http.ask("POST", path, "{}")
        for type, body in (("application/xml", "<a/>"), ("text/plain", "{}")):
            answer = refused(http.ask("PATCH", path + "/1", body, type=type), 415, "unsupported_type")
            for accepted in ("application/merge-patch+json", "application/json-patch+json"):
                check(accepted in (answer.header("Accept-Patch") or ""), f"Accept-Patch: {answer.headers}")
        equal(http.ask("GET", path + "/1").text, '{"id":1}', "the record")


@suite.test
def an_error_is_problem_json_where_asked(server):
    path = "/" + collection()
    with Http(server) as http:
        plain = refused(http.ask("GET", path + "/1"), 404, "not_found")
        problem = refused(http.ask("GET", path + "/1", headers=[("Accept", "application/problem+json")]), 404,
                          "not_found")
        listed = http.ask("GET", path + "/1", headers=[("Accept", "application/json;q=0.5, application/problem+json")])
    equal(plain.header("Content-Type"), "application/json", "Content-Type without Accept")
    equal(problem.header("Content-Type"), "application/problem+json", "Content-Type")
    equal(listed.header("Content-Type"), "application/problem+json", "Content-Type with two types")
    equal(problem.text, plain.text, "body")


@suite.test
def no_web_page_of_another_host_may_write(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")
    writes = (("POST", path, "{}"), ("PUT", path + "/1", "{}"), ("PATCH", path + "/1", "{}"),
              ("DELETE", path + "/1", None))
    with Http(server) as http:
        for origin in ("http://evil.example", "null", f"http://{server.address}:1",
                       f"http://{server.host}.evil.example"):
            for method, target, body in writes:
                headers = [("Host", server.host), ("Origin", origin)]
                refused(http.ask(method, target, body, headers=headers), 403, "foreign_origin")
            equal(http.ask("GET", path, headers=[("Host", server.host), ("Origin", origin)]).status, 200,
                  "status of a read")
        equal(http.ask("GET", path).text, '[{"id":1}]', "the list")
        headers = [("Host", server.host), ("Origin", f"http://{server.host}")]
        for method, target, body in writes:
            among(http.ask(method, target, body, headers=headers).status, (200, 201),
                  f"status of {method} from its own page")


@suite.own("--head-bytes-max", "2KiB", "--uri-bytes-max", "200")
def the_limits_of_a_head_are_settings(server):
    with Http(server) as http:
        equal(http.ask("GET", "/_health", headers=[("X", "y" * 1500)]).status, 200, "status within the limits")
        refused(http.ask("GET", "/" + "a" * 201), 414, "uri_too_long")
    closed_after(server, request("GET", "/_health", None, [("X", "y" * 2100)]), 431, "head_too_large")


if __name__ == "__main__":
    suite.main()
