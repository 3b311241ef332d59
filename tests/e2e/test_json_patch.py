"""JSON Patch (RFC 6902) over every protocol and through every server; must not know how it is executed."""

import json
import os

from cluster import Cluster
from harness import Http, PROTOCOLS, Suite, Tcp, ask, check, collection, equal, new_key, refused

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/data/json-patch")
TYPE = "application/json-patch+json"

suite = Suite()


def patch(client, path, operations, **rest):
    text = operations if isinstance(operations, str) else json.dumps(operations, ensure_ascii=False)
    return client.ask("PATCH", path, text, type=TYPE, **rest)


def same(a, b):
    """Whether two values are equal as JSON: Python takes true for 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


@suite.test
def all_operations_work_over_every_protocol(server):
    for protocol in PROTOCOLS:
        path = "/" + collection()
        with protocol(server) as client:
            client.ask("POST", path, '{"title":"우유","tags":["a","b"],"n":1.0}')
            answer = patch(client, path + "/1", [
                {"op": "test", "path": "/title", "value": "우유"},
                {"op": "test", "path": "/n", "value": 1},
                {"op": "add", "path": "/tags/1", "value": "둘"},
                {"op": "remove", "path": "/tags/0"},
                {"op": "replace", "path": "/title", "value": "두유"},
                {"op": "copy", "from": "/tags/0", "path": "/첫째"},
                {"op": "move", "from": "/tags", "path": "/표"}])
            record = '{"id":1,"title":"두유","n":1.0,"첫째":"둘","표":["둘","b"]}'
            equal((answer.status, answer.text), (200, record), f"PATCH over {protocol.__name__}")
            equal(client.ask("GET", path + "/1").text, record, "the record")
            equal(answer.etag, answer.seq, "etag")


@suite.test
def over_tcp_the_operations_may_follow_the_head_or_stand_in_it(server):
    path = "/" + collection()
    head = f'{{"method":"PATCH","pattern":"{path}/1","type":"{TYPE}"'
    operations = '[{"op":"add","path":"/a","value":[1,{"b":"]}"}]}]'
    with Tcp(server) as tcp:
        tcp.ask("POST", path, "{}")
        tcp.send(f'{head}}}{operations}{head},"body":{operations}}}'.encode())
        for _ in range(2):
            equal(tcp.answer().text, '{"id":1,"a":[1,{"b":"]}"}]}', "body")
        for byte in f"{head}}} {operations}\n".encode():
            tcp.send(bytes([byte]))
        equal(tcp.answer().status, 200, "status, byte by byte")
        refused(tcp.ask("PATCH", path + "/1", "[]"), 400, "not_object")
        equal(tcp.ask("GET", path + "/1").status, 200, "status, on the same connection")


@suite.test
def a_patch_is_done_wholly_or_not_at_all(server):
    path = "/" + collection()
    add = {"op": "add", "path": "/b", "value": 1}
    with Http(server) as http:
        made = http.ask("POST", path, '{"a":1}')
        for operations, status, code in (
                ([add, {"op": "test", "path": "/a", "value": 2}], 412, "precondition_failed"),
                ([add, {"op": "remove", "path": "/c"}], 412, "precondition_failed"),
                ([add, {"op": "jump", "path": "/c"}], 400, "bad_request"),
                ([add, {"op": "replace", "path": "", "value": []}], 400, "not_object"),
                ([add, {"op": "replace", "path": "/id", "value": 2}], 409, "id_mismatch"),
                ([add, {"op": "remove", "path": "/id"}], 409, "id_mismatch"),
                ({"op": "add"}, 400, "bad_request"),
                ('[{"op":"add"', 400, "bad_json"),
                ([{"op": "add", "path": "/x", "value": "y" * 1048560}], 413, "too_large")):
            answer = refused(patch(http, path + "/1", operations), status, code)
            if isinstance(operations, list) and operations[0] == add:
                check("operation 2" in answer.json()["detail"] or code == "id_mismatch", f"detail: {answer.text}")
        refused(patch(http, path + "/2", [add]), 404, "not_found")
        read = http.ask("GET", path + "/1")
        equal((read.text, read.etag), (made.text, made.etag), "the record")
        equal(patch(http, path + "/1", []).text, made.text, "an empty patch")


@suite.test
def the_id_stays_the_first_member(server):
    path = "/" + collection()
    with Http(server) as http:
        http.ask("POST", path, '{"a":1}')
        answer = patch(http, path + "/1", [{"op": "test", "path": "/id", "value": 1}, {"op": "remove", "path": "/id"},
                                           {"op": "add", "path": "/id", "value": 1}])
        equal(answer.text, '{"id":1,"a":1}', "removed and added")
        answer = patch(http, path + "/1", [{"op": "replace", "path": "", "value": {"b": 2, "id": 1}}])
        equal(answer.text, '{"id":1,"b":2}', "all replaced")


@suite.test
def conditions_and_keys_work_as_with_other_writes(server):
    path = "/" + collection()
    key, operations = new_key(), [{"op": "add", "path": "/list/-", "value": 1}]
    with Http(server) as http:
        made = http.ask("POST", path, '{"list":[]}')
        refused(patch(http, path + "/1", operations, if_match=made.etag + 1), 412, "precondition_failed")
        first = patch(http, path + "/1", operations, if_match=made.etag, key=key)
        equal((first.status, first.text), (200, '{"id":1,"list":[1]}'), "the first")
        again = patch(http, path + "/1", operations, if_match=made.etag, key=key)
        equal((again.status, again.text, again.seq), (200, first.text, first.seq), "its repeat")
        refused(patch(http, path + "/1", [], if_match=made.etag, key=key), 422, "key_reused")
        refused(http.ask("PATCH", path + "/1", '{"list":[1]}', if_match=made.etag, key=key), 422, "key_reused")


@suite.test
def a_patch_that_is_too_much_work_keeps_nobody_waiting(server):
    path = "/" + collection()
    test = '{"op":"test","path":"/b","value":1}'
    with Http(server) as http:
        http.ask("POST", path, json.dumps({"a": "x" * 1000000, "b": 1}))
        refused(patch(http, path + "/1", "[" + ",".join([test] * 25000) + "]"), 413, "too_large")
        http.ask("POST", path, "{}")
        refused(patch(http, path + "/2", [{"op": "copy", "from": "", "path": "/c"}] * 100), 400, "bad_json")
        copies = [{"op": "copy", "from": "", "path": f"/c{i}"} for i in range(50)]
        refused(patch(http, path + "/2", copies), 413, "too_large")


@suite.alone
def a_backup_forwards_a_patch():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        with Http(busan) as http:
            http.ask("POST", "/notes", '{"list":[]}')
            answer = patch(http, "/notes/1", [{"op": "add", "path": "/list/0", "value": "하나"}])
            equal((answer.status, answer.text, answer.copies), (200, '{"id":1,"list":["하나"]}', 2), "PATCH")
            refused(patch(http, "/notes/1", [{"op": "remove", "path": "/x"}]), 412, "precondition_failed")
        equal(ask(seoul, "GET", "/notes/1").text, answer.text, "the record at the primary")
        cluster.wait_equal()


@suite.test
def the_public_cases_hold(server):
    """json-patch-tests: those on objects, since a record is one."""
    done = 0
    if not os.path.isdir(CASES):
        print(f"# there is no {CASES}: the public cases are not run", flush=True)
        return
    for name in ("spec_tests.json", "tests.json"):
        with open(os.path.join(CASES, name), encoding="utf-8") as file:
            cases = json.load(file)
        with Http(server) as http:
            path = "/" + collection()
            for case in cases:
                if case.get("disabled") or not isinstance(case["doc"], dict) or \
                        not isinstance(case.get("expected", {}), dict):
                    continue
                made = http.ask("POST", path, json.dumps(case["doc"]))
                whole = [o.get("path") == "" and o["op"] != "test" for o in case["patch"] if isinstance(o, dict)]
                if any(whole):  # the record's id would go with it
                    continue
                answer = patch(http, made.header("Location"), case["patch"])
                if "error" in case:
                    check(answer.status in (400, 412), f"{case['error']}: {answer.status} {answer.text}")
                elif [o for o in case["patch"] if o["op"] == "test" and o["path"] == ""]:
                    check(answer.status in (200, 412), f"{case}: {answer.text}")  # the whole has an id, too
                else:
                    equal(answer.status, 200, f"status of {case}")
                    got = answer.json()
                    check(got.pop("id") == made.json()["id"] and same(got, case["expected"]), f"{case}: {answer.text}")
                done += 1
    check(done > 50, f"only {done} cases")


if __name__ == "__main__":
    suite.main()
