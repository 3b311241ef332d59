"""Keys: a write that is repeated is executed once, through whatever protocol and across restarts."""

from harness import (PROTOCOLS, Http, Server, Suite, Tcp, Udp, ask, check, collection, equal, new_key, refused,
                     together, wait_until)

suite = Suite()


def same(repeat, first, what):
    """A repeat got the first answer."""
    equal((repeat.status, repeat.text, repeat.etag), (first.status, first.text, first.etag), what)


@suite.test
def a_repeat_gets_the_first_answer(server):
    path, key = "/" + collection(), new_key()
    with Http(server) as http:
        first = http.ask("POST", path, '{"a":1}', key=key)
        equal((first.status, first.text), (201, '{"id":1,"a":1}'), "the first")
        for _ in range(3):
            repeat = http.ask("POST", path, '{"a":1}', key=key)
            same(repeat, first, "a repeat")
            equal(repeat.header("Location"), path + "/1", "Location of a repeat")
        http.ask("PUT", path + "/1", '{"a":2}')
        same(http.ask("POST", path, '{"a":1}', key=key), first, "a repeat after the record changed")
        http.ask("DELETE", path + "/1")
        same(http.ask("POST", path, '{"a":1}', key=key), first, "a repeat after the record was deleted")
        equal(http.ask("GET", path).text, "[]", "the list")
        equal(http.ask("POST", path, "{}").json()["id"], 2, "the next id")


@suite.test
def every_kind_of_write_is_executed_once(server):
    path = "/" + collection()
    for method, payload in (("PUT", '{"n":1}'), ("PATCH", '{"n":2}'), ("DELETE", None)):
        for protocol in PROTOCOLS:
            key = new_key()
            with protocol(server) as client:
                target = client.ask("POST", path, '{"n":0}')
                record = f"{path}/{target.json()['id']}"
                first = client.ask(method, record, payload, key=key)
                equal(first.status, 200, f"status of {method}")
                if method != "DELETE":
                    between = client.ask("PUT", record, '{"between":1}')
                same(client.ask(method, record, payload, key=key), first,
                     f"a repeat of {method} over {protocol.__name__}")
                if method != "DELETE":
                    equal(client.ask("GET", record).text, between.text, "the record after the repeat")
                else:
                    refused(client.ask("GET", record), 404, "not_found")


@suite.test
def a_repeat_through_another_protocol_is_a_repeat(server):
    path = "/" + collection()
    with Http(server) as http, Tcp(server) as tcp:
        clients = (http, tcp, Udp(server))
        for number, first_client in enumerate(clients, 1):
            key = new_key()
            first = first_client.ask("POST", path, '{"a":"가"}', key=key)
            equal(first.json(), {"id": number, "a": "가"}, "the first")
            for client in clients:
                same(client.ask("POST", path, '{"a":"가"}', key=key), first, "a repeat")
        equal(len(http.ask("GET", path).json()), 3, "how many records")


@suite.test
def quotes_around_a_key_are_stripped(server):
    path, key = "/" + collection(), new_key()
    with Http(server) as http, Tcp(server) as tcp:
        first = http.ask("POST", path, "{}", key=f'"{key}"')
        same(http.ask("POST", path, "{}", key=key), first, "a repeat without quotes")
        same(tcp.ask("POST", path, "{}", key=key), first, "a repeat over TCP")


@suite.test
def other_content_under_a_key_is_422(server):
    path, key = "/" + collection(), new_key()
    with Http(server) as http, Tcp(server) as tcp:
        http.ask("POST", path, '{"n":1}')
        first = http.ask("PUT", path + "/1", '{"n":2}', key=key)
        equal(first.status, 200, "status of the first")
        http.ask("POST", path, '{"n":3}')
        for client in (http, tcp, Udp(server)):
            for method, target, payload, match in (("PUT", path + "/1", '{"n":9}', None),
                                                   ("PATCH", path + "/1", '{"n":2}', None),
                                                   ("PUT", path + "/2", '{"n":2}', None),
                                                   ("POST", path, '{"n":2}', None),
                                                   ("DELETE", path + "/1", None, None),
                                                   ("PUT", path + "/1", '{"n":2}', "*")):
                refused(client.ask(method, target, payload, key=key, if_match=match), 422, "key_reused")
        same(http.ask("PUT", path + "/1", '{"n":2}', key=key), first, "a true repeat")
        equal(http.ask("GET", path).text, '[{"id":1,"n":2},{"id":2,"n":3}]', "the list")


@suite.test
def a_repeat_of_a_conditional_write_is_not_judged_again(server):
    path, key = "/" + collection(), new_key()
    with Http(server) as http:
        made = http.ask("POST", path, "{}")
        first = http.ask("PUT", path + "/1", '{"n":1}', key=key, if_match=made.etag)
        equal(first.status, 200, "status of the first")
        same(http.ask("PUT", path + "/1", '{"n":1}', key=key, if_match=made.etag), first, "its repeat")


@suite.test
def a_key_has_8_to_64_bytes(server):
    path = "/" + collection()
    with Http(server) as http, Tcp(server) as tcp:
        for client in (http, tcp, Udp(server)):
            for key in ("x", "1234567", "x" * 65):
                refused(client.ask("POST", path, "{}", key=key), 400, "bad_key")
        refused(http.ask("POST", path, "{}", key='"1234567"'), 400, "bad_key")
        refused(tcp.ask("POST", path, "{}", key="가" * 22), 400, "bad_key")
        refused(tcp.ask("POST", path, "{}", key="12345678\n"), 400, "bad_key")
        for id, key in enumerate(("1234567" + "8", "x" * 64, "가나다"), 1):
            client = tcp if id == 3 else http
            equal(client.ask("POST", path, "{}", key=key).json(), {"id": id}, f"record under the key {key}")


@suite.test
def refused_requests_are_not_remembered(server):
    path, key = "/" + collection(), new_key()
    with Http(server) as http:
        refused(http.ask("PUT", path + "/1", '{"n":1}', key=key), 404, "not_found")
        refused(http.ask("POST", path, '{"n":}', key=key), 400, "bad_json")
        refused(http.ask("POST", path, '{"id":1}', key=key), 400, "id_not_allowed")
        made = http.ask("POST", path, '{"n":0}')
        refused(http.ask("PUT", path + "/1", '{"n":1}', key=key, if_match="999999"), 412, "precondition_failed")
        refused(http.ask("PUT", path + "/1", '{"id":2}', key=key), 409, "id_mismatch")
        first = http.ask("PUT", path + "/1", '{"n":1}', key=key)
        equal((first.status, first.text), (200, '{"id":1,"n":1}'), "the first that is executed")
        check(first.etag > made.etag, f"etag {first.etag} after {made.etag}")
        same(http.ask("PUT", path + "/1", '{"n":1}', key=key), first, "its repeat")


@suite.test
def concurrent_repeats_are_executed_once(server):
    path = "/" + collection()

    def write(protocol, keys):
        with protocol(server) as client:
            return [client.ask("POST", path, '{"a":1}', key=key).text for key in keys]
    keys = [new_key() for _ in range(25)]
    answers = together(*(lambda p=p: write(p, keys) for p in PROTOCOLS * 3))
    for each in answers:
        equal(each, answers[0], "answers of one client, and of another")
    equal(sorted(r["id"] for r in ask(server, "GET", path).json()), list(range(1, 26)), "ids of the records")


@suite.test
def repeats_in_one_pipeline_are_executed_once(server):
    path, key = "/" + collection(), new_key()
    with Tcp(server) as tcp:
        tcp.send(b"".join(b'{"method":"POST","pattern":"%s","key":"%s"}{"a":1}' % (path.encode(), key.encode())
                          for _ in range(50)))
        first = tcp.answer()
        equal(first.json(), {"id": 1, "a": 1}, "the first")
        for _ in range(49):
            same(tcp.answer(), first, "a repeat")
        equal(tcp.ask("GET", path).text, '[{"id":1,"a":1}]', "the list")


@suite.alone
def keys_outlive_a_stop_and_a_kill():
    writes = [("POST", "/notes", {"n": n}, new_key()) for n in range(20)] + [("DELETE", "/notes/3", None, new_key()),
              ("PATCH", "/notes/4", {"p": 1}, new_key()), ("PUT", "/notes/5", {"q": 1}, new_key())]
    with Server() as server:
        with Http(server) as http:
            first = [http.ask(m, p, b, key=k) for m, p, b, k in writes]
        equal({a.status for a in first}, {200, 201}, "statuses of the first")
        for ending in (server.stop, server.kill):
            ending()
            server.start()
            with Http(server) as http, Tcp(server) as tcp:
                for client in (http, tcp, Udp(server)):
                    for (method, path, payload, key), answer in zip(writes, first):
                        same(client.ask(method, path, payload, key=key), answer, f"a repeat of {method} {path}")
                refused(http.ask("POST", "/notes", {"n": -1}, key=writes[0][3]), 422, "key_reused")
                equal(len(http.ask("GET", "/notes").json()), 19, "how many records")


@suite.own("--key-window-s", "1")
def after_the_window_a_key_is_free_again(server):
    path, key = "/" + collection(), new_key()
    with Http(server) as http:
        equal(http.ask("POST", path, '{"a":1}', key=key).json()["id"], 1, "id of the first")

        def executed_again():
            http.ask("POST", "/others", "{}")
            return http.ask("POST", path, '{"a":1}', key=key).json()["id"] > 1
        wait_until(executed_again, "a write under a key that is past its window of 1 s")
        equal(http.ask("GET", path).text, '[{"id":1,"a":1},{"id":2,"a":1}]', "the list")


@suite.own("--keys-max", "3")
def a_full_table_is_busy_and_forgets_nothing(server):
    keys = [new_key() for _ in range(3)]
    with Http(server) as http:
        first = [http.ask("POST", "/notes", {"n": n}, key=key) for n, key in enumerate(keys)]
        answer = refused(http.ask("POST", "/notes", "{}", key=new_key()), 503, "busy")
        check(answer.header("Retry-After"), f"a 503 has Retry-After: {answer.headers}")
        refused(Udp(server).ask("POST", "/notes", "{}"), 503, "busy")
        for n, key in enumerate(keys):
            same(http.ask("POST", "/notes", {"n": n}, key=key), first[n], "a repeat")
        refused(http.ask("POST", "/notes", '{"n":9}', key=keys[0]), 422, "key_reused")
        equal(http.ask("POST", "/notes", '{"plain":1}').json()["id"], 4, "id of a write without a key")


@suite.own("--keys-max", "3", "--key-window-s", "1")
def a_full_table_takes_keys_again_after_the_window(server):
    with Http(server) as http:
        made = [http.ask("POST", "/notes", "{}", key=new_key()) for _ in range(3)]
        equal([a.status for a in made], [201] * 3, "statuses")
        for _ in range(2):
            wait_until(lambda: http.ask("POST", "/notes", "{}", key=new_key()).status == 201, "a write under a new key")


@suite.own("--keys-bytes", "64KiB")
def remembered_answers_have_a_limit_in_bytes(server):
    with Http(server) as http:
        keys, first = [new_key() for _ in range(40)], []
        for key in keys:
            answer = http.ask("POST", "/notes", {"a": "x" * 8000}, key=key)
            if answer.status != 201:
                break
            first.append(answer)
        refused(answer, 503, "busy")
        check(1 <= len(first) <= 9, f"{len(first)} answers of 8 KB were remembered in 64 KiB")  # the last may pass it
        for key, answer in zip(keys, first):
            same(http.ask("POST", "/notes", {"a": "x" * 8000}, key=key), answer, "a repeat")


if __name__ == "__main__":
    suite.main()
