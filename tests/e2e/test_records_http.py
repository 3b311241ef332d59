"""Records over HTTP: what each method does to a collection and its records; must not know other protocols."""

import json

from harness import Http, Suite, among, ask, check, collection, equal, refused, request

suite = Suite()


def posted(http, path, *bodies):
    """Creates the records; their answers."""
    answers = [http.ask("POST", path, body) for body in bodies]
    for answer in answers:
        equal(answer.status, 201, f"status of a POST to {path} ({answer.text})")
    return answers


@suite.own()
def the_first_session_of_a_user(server):
    with Http(server) as http:
        made = http.ask("POST", "/notes", '{"title":"buy milk","done":false}')
        equal((made.status, made.text), (201, '{"id":1,"title":"buy milk","done":false}'), "POST")
        equal(made.header("Location"), "/notes/1", "Location")
        equal((made.seq, made.etag, made.copies), (1, 1, 1), "Noted-Seq, ETag, Noted-Copies")
        equal(made.header("Content-Type"), "application/json", "Content-Type")
        read = http.ask("GET", "/notes/1")
        equal((read.status, read.text, read.etag, read.seq), (200, made.text, 1, 1), "GET of the record")
        equal(read.header("Content-Type"), "application/json", "Content-Type")
        listed = http.ask("GET", "/notes")
        equal((listed.status, listed.text, listed.seq), (200, f"[{made.text}]", 1), "GET of the list")
        equal(listed.header("Content-Type"), "application/json", "Content-Type of a list")
        put = http.ask("PUT", "/notes/1", '{"title":"oat milk"}')
        equal((put.status, put.text, put.etag), (200, '{"id":1,"title":"oat milk"}', 2), "PUT")
        patched = http.ask("PATCH", "/notes/1", '{"done":true}')
        equal((patched.status, patched.text, patched.etag), (200, '{"id":1,"title":"oat milk","done":true}', 3),
              "PATCH")
        gone = http.ask("DELETE", "/notes/1")
        equal((gone.status, gone.text, gone.seq, gone.copies), (200, patched.text, 4, 1), "DELETE")
        refused(http.ask("GET", "/notes/1"), 404, "not_found")
        equal(http.ask("GET", "/notes").text, "[]", "the list after the delete")


@suite.test
def ids_count_from_one_in_each_collection(server):
    one, two = "/" + collection(), "/" + collection()
    with Http(server) as http:
        answers = posted(http, one, "{}", "{}") + posted(http, two, "{}") + posted(http, one, "{}")
    equal([a.header("Location") for a in answers], [one + "/1", one + "/2", two + "/1", one + "/3"], "Locations")
    equal([a.json() for a in answers], [{"id": 1}, {"id": 2}, {"id": 1}, {"id": 3}], "records")


@suite.test
def an_id_is_never_used_twice(server):
    path = "/" + collection()
    with Http(server) as http:
        posted(http, path, "{}", "{}", "{}")
        equal(http.ask("DELETE", path + "/3").status, 200, "status of the DELETE")
        equal(posted(http, path, "{}")[0].json()["id"], 4, "id after the last was deleted")
        for id in (1, 2, 4):
            equal(http.ask("DELETE", f"{path}/{id}").status, 200, "status of the DELETE")
        equal(http.ask("GET", path).text, "[]", "the empty list")
        equal(posted(http, path, "{}")[0].json()["id"], 5, "id after all were deleted")


@suite.test
def a_refused_write_uses_no_id(server):
    path = "/" + collection()
    with Http(server) as http:
        posted(http, path, "{}")
        refused(http.ask("POST", path, '{"a":}'), 400, "bad_json")
        refused(http.ask("POST", path, '{"id":9}'), 400, "id_not_allowed")
        refused(http.ask("POST", path, "[]"), 400, "not_object")
        refused(http.ask("POST", path, "{}", type="text/plain"), 415, "unsupported_type")
        refused(http.ask("POST", path, "{}", key="short"), 400, "bad_key")
        equal(posted(http, path, "{}")[0].json()["id"], 2, "the next id")


@suite.test
def an_unknown_collection_is_an_empty_list(server):
    name = collection()
    with Http(server) as http:
        answer = http.ask("GET", f"/{name}")
        equal((answer.status, answer.text), (200, "[]"), "GET")
        refused(http.ask("GET", f"/{name}/1"), 404, "not_found")


@suite.test
def an_absent_record_is_named_in_the_error(server):
    name = collection()
    with Http(server) as http:
        posted(http, f"/{name}", "{}")
        answer = http.ask("GET", f"/{name}/7")
        equal(answer.text, f'{{"msg":"ERROR","status":404,"code":"not_found","detail":"{name}/7 does not exist"}}',
              "body")
        equal(answer.header("Content-Type"), "application/json", "Content-Type")
        check(answer.seq is not None, "a 404 carries Noted-Seq")


@suite.test
def only_post_creates(server):
    path = "/" + collection()
    with Http(server) as http:
        for method, body in (("PUT", '{"a":1}'), ("PATCH", '{"a":1}'), ("DELETE", None)):
            answer = refused(http.ask(method, path + "/1", body), 404, "not_found")
            check(answer.seq is not None, f"a 404 of {method} carries Noted-Seq")
        equal(http.ask("GET", path).text, "[]", "the list")
        posted(http, path, "{}")
        refused(http.ask("PUT", path + "/2", '{"id":2}'), 404, "not_found")
        equal(http.ask("GET", path).text, '[{"id":1}]', "the list")


@suite.test
def the_id_is_the_first_member_wherever_it_was_sent(server):
    path = "/" + collection()
    with Http(server) as http:
        posted(http, path, '{"z":0}')
        for body, expected in (('{"a":1,"id":1,"b":2}', '{"id":1,"a":1,"b":2}'), ('{"b":2,"id":1}', '{"id":1,"b":2}'),
                               ('{"id":1}', '{"id":1}'), ("{}", '{"id":1}'), ('{"id": 1 , "c":3}', '{"id":1,"c":3}')):
            equal(http.ask("PUT", path + "/1", body).text, expected, f"PUT {body}")
            equal(http.ask("GET", path + "/1").text, expected, f"GET after PUT {body}")
        equal(http.ask("PATCH", path + "/1", '{"d":4,"id":1}').text, '{"id":1,"c":3,"d":4}', "PATCH with the id")
        equal(http.ask("PATCH", path + "/1", '{"id":1}').text, '{"id":1,"c":3,"d":4}', "PATCH with only the id")


@suite.test
def an_id_in_a_body_must_be_the_path_s_digits(server):
    path = "/" + collection()
    with Http(server) as http:
        posted(http, path, '{"a":1}', "{}")
        wrong = ('{"id":2}', '{"id":"1"}', '{"id":1.0}', '{"id":1e0}', '{"id":null}', '{"id":-1}', '{"id":[1]}',
                 '{"a":1,"id":11}', '{"\\u0069d":2}', '{"id":true}', '{"id":{}}')
        for method in ("PUT", "PATCH"):
            for body in wrong:
                refused(http.ask(method, path + "/1", body), 409, "id_mismatch")
        equal(http.ask("GET", path + "/1").text, '{"id":1,"a":1}', "the record")
        answer = http.ask("PUT", path + "/1", '{"\\u0069d":1,"b":2}')
        equal((answer.status, answer.json()), (200, {"id": 1, "b": 2}), "an id spelled with an escape")


@suite.test
def a_new_record_brings_no_id(server):
    path = "/" + collection()
    with Http(server) as http:
        for body in ('{"id":1}', '{"a":1,"id":null}', '{"id":"x"}', '{"\\u0069\\u0064":5}'):
            refused(http.ask("POST", path, body), 400, "id_not_allowed")
        equal(posted(http, path, '{"a":{"id":5},"ID":6,"id ":7}')[0].text, '{"id":1,"a":{"id":5},"ID":6,"id ":7}',
              "other names are free")


@suite.test
def a_list_is_in_id_order(server):
    path = "/" + collection()
    with Http(server) as http:
        posted(http, path, *(f'{{"n":{n}}}' for n in range(300)))
        for id in (256, 1, 77):
            http.ask("PUT", f"{path}/{id}", '{"n":"new"}')
        for id in (2, 255, 300):
            http.ask("DELETE", f"{path}/{id}")
        records = http.ask("GET", path).json()
    equal([r["id"] for r in records], [i for i in range(1, 301) if i not in (2, 255, 300)], "ids")
    equal([r["id"] for r in records if r["n"] == "new"], [1, 77, 256], "the replaced ones")


@suite.test
def a_record_is_one_line_of_the_list_s_text(server):
    path = "/" + collection()
    with Http(server) as http:
        texts = [a.text for a in posted(http, path, '{ "a" :\n[1, 2 ] }', "{}", '{"b":"x y"}')]
        answer = http.ask("GET", path)
    equal(texts[0], '{"id":1,"a":[1,2]}', "white space is removed")
    equal(answer.text, "[" + ",".join(texts) + "]", "the list")


@suite.test
def collection_names_are_small_letters_digits_dash_and_underscore(server):
    good = ("a", "a-b_c9", "z" * 63)
    bad = ("Notes", "1abc", "-a", "a.b", "a%20b", "z" * 64, "a+b", "a:b", "n%C3%B6te")
    with Http(server) as http:
        for name in good:
            equal(http.ask("POST", f"/{name}", "{}").status, 201, f"status of POST /{name}")
        for name in bad:
            refused(http.ask("GET", f"/{name}"), 404, "not_found")
            refused(http.ask("GET", f"/{name}/1"), 404, "not_found")
            refused(http.ask("POST", f"/{name}", "{}"), 404, "not_found")


@suite.test
def other_paths_do_not_exist(server):
    name = collection()
    with Http(server) as http:
        posted(http, f"/{name}", "{}")
        for path in ("/", f"/{name}/1/x", "/a/b/c", "/_nothing", "/_", f"//{name}", f"/{name}/1/"):
            refused(http.ask("GET", path), 404, "not_found")


@suite.test
def an_id_is_a_number_from_one_without_signs_or_zeros(server):
    name = collection()
    with Http(server) as http:
        posted(http, f"/{name}", "{}")
        for id in ("0", "01", "+1", "-1", "00", "18446744073709551616", "99999999999999999999999"):
            for method, body in (("GET", None), ("PUT", "{}"), ("PATCH", "{}"), ("DELETE", None)):
                refused(http.ask(method, f"/{name}/{id}", body), 400, "bad_id")
        for id in ("abc", "1x", "1.0", "%31"):
            among(http.ask("GET", f"/{name}/{id}").status, (400, 404), f"status of GET of id {id}")
        refused(http.ask("GET", f"/{name}/9223372036854775807"), 404, "not_found")


@suite.test
def unknown_query_parameters_are_refused(server):
    name = collection()
    with Http(server) as http:
        posted(http, f"/{name}", "{}")
        for path in (f"/{name}?x=1", f"/{name}/1?x=1", "/_messages?befor=1", "/_health?x=1"):
            refused(http.ask("GET", path), 400, "bad_parameter")
        refused(http.ask("POST", f"/{name}?x=1", "{}"), 400, "bad_parameter")
        equal(http.ask("GET", f"/{name}").text, '[{"id":1}]', "the list")


@suite.test
def head_answers_as_get_without_the_body(server):
    name = collection()
    with Http(server) as http:
        posted(http, f"/{name}", '{"a":"text"}')
        varying = ("date", "transfer-encoding")
        for path in (f"/{name}/1", f"/{name}", f"/{name}/9", "/_health"):
            get, head = http.ask("GET", path), http.ask("HEAD", path)
            equal(head.status, get.status, f"status of HEAD {path}")
            lists = [sorted((n, v) for n, v in a.headers if n.lower() not in varying) for a in (head, get)]
            equal(lists[0], lists[1], f"headers of HEAD {path}")
        equal(http.ask("GET", f"/{name}/1").status, 200, "the connection goes on")


@suite.test
def options_lists_the_methods(server):
    name = collection()
    expected = {f"/{name}": {"GET", "HEAD", "POST", "OPTIONS"},
                f"/{name}/1": {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}}
    with Http(server) as http:
        posted(http, f"/{name}", "{}")
        for path, methods in expected.items():
            answer = http.ask("OPTIONS", path)
            equal((answer.status, answer.raw), (204, b""), f"OPTIONS {path}")
            equal({m.strip() for m in answer.header("Allow").split(",")}, methods, f"Allow of {path}")
        among(http.ask("OPTIONS", "*").status, (200, 204), "status of OPTIONS *")
        equal(http.ask("GET", f"/{name}/1").status, 200, "the connection goes on")


@suite.test
def a_method_that_a_path_does_not_take_is_405_with_allow(server):
    name = collection()
    wrong = ((f"/{name}/1", "POST", "{}"), (f"/{name}", "PUT", "{}"), (f"/{name}", "PATCH", "{}"),
             (f"/{name}", "DELETE", None), ("/_status", "DELETE", None), ("/_health", "POST", "{}"))
    with Http(server) as http:
        posted(http, f"/{name}", "{}")
    for path, method, body in wrong:
        with Http(server) as http:
            answer = refused(http.ask(method, path, body), 405, "method_not_allowed")
        allowed = {m.strip() for m in (answer.header("Allow") or "").split(",")}
        check("GET" in allowed and method not in allowed, f"Allow of {path} after {method}: {allowed}")
    equal(ask(server, "GET", f"/{name}").text, '[{"id":1}]', "the list")


def object_of(size):
    """An object whose text has `size` bytes."""
    return '{"a":"' + "x" * (size - 8) + '"}'


@suite.test
def a_record_may_have_one_mebibyte_without_its_id(server):
    path, limit = "/" + collection(), 1 << 20
    with Http(server) as http:
        made = http.ask("POST", path, object_of(limit))
        equal((made.status, made.text), (201, '{"id":1,' + object_of(limit)[1:]), "a record of 1 MiB")
        spaced = "  " * 2000 + object_of(limit) + "\n" * 100
        equal(http.ask("POST", path, spaced).status, 201, "status with white space around 1 MiB")
        equal(http.ask("PUT", path + "/1", '{"id":1,' + object_of(limit)[1:]).status, 200, "status of PUT of 1 MiB")
        equal(http.ask("GET", path + "/1").text, made.text, "the record")
    for method, target in (("POST", path), ("PUT", path + "/1"), ("PATCH", path + "/1")):
        with Http(server) as http:
            refused(http.ask(method, target, object_of(limit + 1)), 413, "too_large")
    equal(len(ask(server, "GET", path).json()), 2, "how many records")


@suite.test
def a_merge_that_makes_a_record_too_large_is_refused(server):
    path, limit = "/" + collection(), 1 << 20
    with Http(server) as http:
        made = http.ask("POST", path, object_of(limit - 7))
        grown = http.ask("PATCH", path + "/1", '{"b":12}')
        equal((grown.status, len(grown.text)), (200, limit + len('"id":1,')), "a patch up to the limit")
        refused(http.ask("PATCH", path + "/1", '{"b":123}'), 413, "too_large")
        equal(http.ask("GET", path + "/1").text, made.text[:-1] + ',"b":12}', "the record")


@suite.test
def json_may_be_64_deep(server):
    path = "/" + collection()

    def nested(depth):
        return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    with Http(server) as http:
        made = posted(http, path, nested(64))[0]
        equal(made.text, '{"id":1,' + nested(64)[1:], "a record 64 deep")
        refused(http.ask("POST", path, nested(65)), 400, "bad_json")


@suite.own("--collections-max", "3")
def collections_have_a_limit_and_nothing_is_lost_at_it(server):
    with Http(server) as http:
        posted(http, "/one", "{}")
        posted(http, "/two", "{}")
        posted(http, "/three", "{}")
        answer = http.ask("POST", "/four", "{}")
        check(answer.status >= 400, f"a fourth collection: got status {answer.status}, expected an error")
        refused(answer, answer.status, answer.code)
        equal(posted(http, "/three", "{}")[0].json()["id"], 2, "the next id of an old collection")
        equal([http.ask("GET", p).text for p in ("/one", "/two", "/four")], ['[{"id":1}]', '[{"id":1}]', "[]"], "lists")


@suite.own("--record-bytes-max", "1KiB", "--json-depth-max", "5")
def the_limits_of_a_record_are_settings(server):
    with Http(server) as http:
        equal(http.ask("POST", "/notes", object_of(1024)).status, 201, "status at the limit")
        equal(http.ask("POST", "/notes", '{"a":[[[[]]]]}').status, 201, "status at the depth")
        refused(http.ask("POST", "/notes", '{"a":[[[[[]]]]]}'), 400, "bad_json")
        refused(http.ask("POST", "/notes", object_of(1025)), 413, "too_large")


@suite.test
def what_a_read_says_is_what_was_written_for_many_shapes(server):
    path = "/" + collection()
    bodies = [json.dumps({"n": n, "list": list(range(n)), "deep": {"x": {"y": "z" * n}}}, separators=(",", ":"))
              for n in range(0, 400, 7)]
    with Http(server) as http:
        http.send(b"".join(request("POST", path, body) for body in bodies))
        answers = [http.answer() for _ in bodies]
        for id, (body, answer) in enumerate(zip(bodies, answers), 1):
            equal(answer.text, f'{{"id":{id},' + body[1:], "the answer to a POST")
            equal(http.ask("GET", f"{path}/{id}").text, answer.text, "the record")


if __name__ == "__main__":
    suite.main()
