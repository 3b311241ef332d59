"""Entity tags, conditions and positions: who may change what he saw, and who reads what he wrote."""

import time

from harness import PROTOCOLS, Http, Suite, Tcp, Udp, among, ask, check, collection, equal, refused, together

suite = Suite()


def one(http, body='{"a":1}'):
    """A new record: its path and the answer that made it."""
    made = http.ask("POST", "/" + collection(), body)
    equal(made.status, 201, "status of the POST")
    return made.header("Location"), made


@suite.test
def the_etag_is_the_seq_of_the_last_change(server):
    with Http(server) as http:
        path, made = one(http)
        equal(made.etag, made.seq, "ETag of a POST")
        other, _ = one(http)
        equal(http.ask("GET", path).etag, made.etag, "ETag after another record changed")
        put = http.ask("PUT", path, "{}")
        equal(put.etag, put.seq, "ETag of a PUT")
        patched = http.ask("PATCH", path, '{"b":1}')
        equal(patched.etag, patched.seq, "ETag of a PATCH")
        equal(http.ask("GET", path).etag, patched.etag, "ETag of a GET")
        check(made.etag < put.etag < patched.etag, f"ETags grow: {made.etag}, {put.etag}, {patched.etag}")
        check(http.ask("GET", other).seq >= patched.seq, "a later read reflects the later seq")


@suite.own()
def each_write_takes_the_next_seq(server):
    with Http(server) as http:
        path, made = one(http)
        answers = [made, http.ask("PUT", path, "{}"), http.ask("PATCH", path, '{"a":2}'),
                   http.ask("DELETE", path), one(http)[1]]
        equal([a.seq for a in answers], [1, 2, 3, 4, 5], "Noted-Seq of the writes")
        equal(http.ask("GET", "/other").seq, 5, "Noted-Seq of a read")


@suite.test
def every_answer_to_a_read_or_write_carries_its_position(server):
    with Http(server) as http:
        path, made = one(http)
        name = path.rsplit("/", 1)[0]
        asked = (("GET", path, None, 200), ("GET", name, None, 200), ("GET", name + "/99", None, 404),
                 ("HEAD", path, None, 200), ("PUT", path, "{}", 200), ("PATCH", path, "{}", 200),
                 ("PUT", name + "/99", "{}", 404), ("DELETE", path, None, 200), ("DELETE", path, None, 404))
        last = made.seq
        for method, target, body, status in asked:
            answer = http.ask(method, target, body)
            equal(answer.status, status, f"status of {method} {target}")
            check(isinstance(answer.seq, int) and answer.seq >= last,
                  f"Noted-Seq of {method}: {answer.seq}, before {last}")
            if status == 200 and method in ("PUT", "PATCH", "DELETE"):
                equal(answer.copies, 1, f"Noted-Copies of {method}")
            last = answer.seq


@suite.test
def if_match_lets_only_the_seen_state_be_changed(server):
    with Http(server) as http:
        path, made = one(http)
        for method, body in (("PUT", '{"x":1}'), ("PATCH", '{"x":1}'), ("DELETE", None)):
            answer = refused(http.ask(method, path, body, if_match=made.etag + 1000), 412, "precondition_failed")
            check(answer.seq is not None, "a 412 carries Noted-Seq")
        equal(http.ask("GET", path).text, made.text, "the record after three refusals")
        put = http.ask("PUT", path, '{"x":1}', if_match=made.etag)
        equal(put.status, 200, "status of PUT with the right tag")
        refused(http.ask("PUT", path, '{"x":2}', if_match=made.etag), 412, "precondition_failed")
        equal(http.ask("PATCH", path, '{"x":3}', if_match="*").status, 200, "status of PATCH with *")
        last = http.ask("PATCH", path, '{"x":4}', headers=[("If-Match", f'"1", "{put.etag + 1}" , "77777"')])
        equal((last.status, last.json()["x"]), (200, 4), "PATCH with a list of tags")
        weak = [("If-Match", f'W/"{last.etag}"')]
        refused(http.ask("DELETE", path, headers=weak), 412, "precondition_failed")
        equal(http.ask("DELETE", path, if_match=last.etag).status, 200, "status of DELETE with the right tag")


@suite.test
def an_absent_record_is_404_whatever_the_condition(server):
    path = f"/{collection()}/1"
    with Http(server) as http:
        for method, body in (("PUT", "{}"), ("PATCH", "{}"), ("DELETE", None)):
            refused(http.ask(method, path, body, if_match="5"), 404, "not_found")
            refused(http.ask(method, path, body, if_match="*"), 404, "not_found")
            refused(http.ask(method, path, body, headers=[("If-None-Match", "*")]), 404, "not_found")


@suite.test
def if_none_match_keeps_a_write_from_the_named_state(server):
    with Http(server) as http:
        path, made = one(http)
        refused(http.ask("PUT", path, "{}", headers=[("If-None-Match", "*")]), 412, "precondition_failed")
        refused(http.ask("PATCH", path, "{}", headers=[("If-None-Match", f'"{made.etag}"')]), 412,
                "precondition_failed")
        refused(http.ask("DELETE", path, headers=[("If-None-Match", f'W/"{made.etag}"')]), 412, "precondition_failed")
        equal(http.ask("GET", path).text, made.text, "the record")
        answer = http.ask("PUT", path, "{}", headers=[("If-None-Match", '"99999999"')])
        equal(answer.status, 200, "status with another tag")


@suite.test
def a_read_of_what_the_client_has_is_304(server):
    with Http(server) as http:
        path, made = one(http)
        for tag in (f'"{made.etag}"', f'W/"{made.etag}"', "*", f'"1234567", "{made.etag}"', f'"x","{made.etag}"'):
            for method in ("GET", "HEAD"):
                answer = http.ask(method, path, headers=[("If-None-Match", tag)])
                equal((answer.status, answer.raw, answer.etag), (304, b"", made.etag), f"{method} with {tag}")
                check(answer.seq is not None, "a 304 carries Noted-Seq")
        for tag in ('"1234567"', f'"{made.etag}0"', '"x"'):
            answer = http.ask("GET", path, headers=[("If-None-Match", tag)])
            equal((answer.status, answer.text), (200, made.text), f"GET with {tag}")
        http.ask("PUT", path, "{}")
        equal(http.ask("GET", path, headers=[("If-None-Match", f'"{made.etag}"')]).status, 200, "status after a change")
        refused(http.ask("GET", path + "9", headers=[("If-None-Match", "*")]), 404, "not_found")


@suite.test
def if_match_over_tcp_and_udp_takes_digits_quoted_or_not(server):
    for protocol in (Tcp, Udp):
        with protocol(server) as client:
            path = "/" + collection()
            etag = client.ask("POST", path, '{"a":0}').etag
            refused(client.ask("PUT", path + "/1", '{"a":1}', if_match=str(etag + 9)), 412, "precondition_failed")
            for form in ("{}", '"{}"', "*"):
                answer = client.ask("PUT", path + "/1", '{"a":2}', if_match=form.format(etag))
                equal(answer.status, 200, f"status over {protocol.__name__} with if_match {form}")
                check(answer.etag > etag, f"etag {answer.etag} after {etag}")
                etag = answer.etag


@suite.test
def of_concurrent_changes_under_one_tag_one_wins(server):
    with Http(server) as http:
        path, _ = one(http, '{"n":0}')

    def add(protocol, times=15):
        lost = 0
        with protocol(server) as client:
            while times:
                seen = client.ask("GET", path)
                answer = client.ask("PUT", path, {"n": seen.json()["n"] + 1}, if_match=str(seen.etag))
                among(answer.status, (200, 412), "status of a conditional PUT")
                times -= answer.status == 200
                lost += answer.status == 412
        return lost
    together(*(lambda p=p: add(p) for p in PROTOCOLS * 2))
    equal(ask(server, "GET", path).json()["n"], 90, "the counter after 6 times 15 additions")


@suite.test
def who_wrote_reads_it_at_once_on_any_connection(server):
    path = "/" + collection()
    with Http(server) as http, Tcp(server) as tcp:
        udp = Udp(server)
        for n in range(1, 60):
            writer = (http, tcp, udp)[n % 3]
            made = writer.ask("POST", path, {"n": n})
            equal(made.status, 201, "status of the POST")
            for reader in (http, tcp, udp):
                read = reader.ask("GET", f"{path}/{n}")
                equal((read.status, read.text, read.etag), (200, made.text, made.etag), f"record {n}")
                check(read.seq >= made.seq, f"position of a later read: {read.seq}, of the write {made.seq}")


@suite.test
def a_position_already_reached_answers_at_once(server):
    with Http(server) as http:
        path, made = one(http)
        started = time.monotonic()
        answer = http.ask("GET", path, min_seq=made.seq, wait_ms=30000)
        equal((answer.status, answer.text), (200, made.text), "GET at its own position")
        equal(http.ask("GET", path, min_seq=0).status, 200, "status at position 0")
        check(time.monotonic() - started < 10, f"it took {time.monotonic() - started} s, expected no wait")


@suite.test
def a_position_not_reached_in_time_is_lagging(server):
    for protocol in PROTOCOLS:
        with protocol(server) as client:
            ahead = ask(server, "GET", "/any").seq + 1000000
            started = time.monotonic()
            answer = refused(client.ask("GET", "/any", min_seq=ahead, wait_ms=80), 503, "lagging")
            took = time.monotonic() - started
            check(0.05 <= took < 5, f"it answered after {took} s, expected to wait about 0.08 s")
            if protocol is Http:
                check(answer.header("Retry-After"), f"a 503 has Retry-After: {answer.headers}")


@suite.test
def a_wait_for_a_position_ends_after_a_second_unless_told(server):
    with Http(server) as http:
        started = time.monotonic()
        refused(http.ask("GET", "/any", min_seq=1 << 40), 503, "lagging")
        took = time.monotonic() - started
        check(0.9 <= took < 6, f"it answered after {took} s, expected about 1 s")
        started = time.monotonic()
        refused(http.ask("GET", "/any", min_seq=1 << 40, wait_ms=0), 503, "lagging")
        check(time.monotonic() - started < 0.9, f"with no wait it took {time.monotonic() - started} s")


@suite.test
def a_waiting_read_goes_on_when_its_position_comes(server):
    path = "/" + collection()
    with Http(server) as http, Tcp(server) as tcp, Http(server) as writer:
        made = writer.ask("POST", path, "{}")
        head = [("Noted-Min-Seq", made.seq + 3), ("Noted-Wait-Ms", 20000)]
        results = together(
            lambda: http.ask("GET", path, headers=head),
                           lambda: tcp.ask("GET", path, min_seq=made.seq + 3, wait_ms=20000),
            lambda: Udp(server).ask("GET", path, min_seq=made.seq + 3, wait_ms=20000),
            lambda: [writer.ask("POST", path, "{}") for _ in range(3)])
    for answer in results[:3]:
        equal(answer.status, 200, f"status of the waiting read ({answer.text})")
        check(answer.seq >= made.seq + 3, f"position {answer.seq}, expected at least {made.seq + 3}")
        equal(len(answer.json()), 4, "records in the list")


@suite.test
def a_write_whose_position_is_not_reached_is_not_executed(server):
    path = "/" + collection()
    for protocol in PROTOCOLS:
        with protocol(server) as client:
            refused(client.ask("POST", path, "{}", min_seq=1 << 40, wait_ms=20), 503, "lagging")
    equal(ask(server, "GET", path).text, "[]", "the list")


@suite.test
def a_position_that_is_no_number_is_refused(server):
    with Http(server) as http:
        for name in ("Noted-Min-Seq", "Noted-Wait-Ms"):
            for value in ("x", "-1", "1.5", "99999999999999999999999"):
                answer = http.ask("GET", "/any", headers=[("Noted-Min-Seq", "0")] * (name != "Noted-Min-Seq")
                                  + [(name, value)])
                refused(answer, 400, "bad_parameter", "bad_request")


if __name__ == "__main__":
    suite.main()
