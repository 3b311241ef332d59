"""Every server of a cluster answers what the one server would, whichever a client asks, in whatever protocol."""

import json

from cluster import Cluster, last_message, listed_messages, numbers_in
from harness import (PROTOCOLS, Gone, Http, Suite, Tcp, Udp, among, as_bytes, ask, check, collection, equal, head_of,
                     json_answer, new_key, pipelined, refused, request, shortened, together, wait_until)

RECORD_BYTES_MAX = 1 << 20
suite = Suite(2, make=Cluster)


def everywhere(cluster):
    return [(server, protocol) for server in cluster.servers for protocol in PROTOCOLS]


def same(answer, first, what):
    equal((answer.status, answer.text, answer.etag), (first.status, first.text, first.etag), what)


def seen_by_all(cluster, made, path):
    """Every server has the record as it was answered, once it has the write."""
    for server in cluster.servers:
        with Http(server) as http:
            read = http.ask("GET", path, min_seq=made.seq, wait_ms=5000)
            same(read, Expect(200, made), f"{path} at {server.name}")
            check(read.seq >= made.seq, f"position {read.seq} of a read that asked for {made.seq}")


class Expect:
    def __init__(self, status, like):
        self.status, self.text, self.etag = status, like.text, like.etag


# --- starting ---

@suite.test
def the_ready_line_says_whose_backup_it_is(cluster):
    seoul, busan, jeju = cluster.servers
    equal(seoul.out(), f"noted: seoul ready on 127.0.0.1:{seoul.port} (primary)\n", "stdout of the primary")
    for server in (busan, jeju):
        equal(server.out(), f"noted: {server.name} ready on 127.0.0.1:{server.port} (backup of {seoul.host})\n",
              f"stdout of {server.name}")


@suite.alone
def the_primary_may_be_given_by_a_host_name():
    with Cluster(0) as cluster:
        busan = cluster.join("busan", host=f"localhost:{cluster.primary.port}")
        cluster.wait_in_sync()
        made = busan.ask("POST", "/notes", '{"a":1}')
        equal((made.status, made.text, made.copies), (201, '{"id":1,"a":1}', 2), "a write through it")
        cluster.wait_equal()


# --- records ---

@suite.test
def every_operation_is_answered_alike_through_every_server_and_protocol(cluster):
    for server, protocol in everywhere(cluster):
        path, what = "/" + collection(), f"through {server.name} over {protocol.__name__}"
        with protocol(server) as client:
            made = client.ask("POST", path, '{ "제목": "우유 \\u0041", "n" : 1.10 , "a":[1, 2] }')
            equal((made.status, made.text), (201, '{"id":1,"제목":"우유 \\u0041","n":1.10,"a":[1,2]}'), f"POST {what}")
            if protocol is Http:
                equal(made.header("Location"), path + "/1", f"Location {what}")
            seen_by_all(cluster, made, path + "/1")
            put = client.ask("PUT", path + "/1", '{"x":{"y":null},"z":2}')
            equal((put.status, put.text), (200, '{"id":1,"x":{"y":null},"z":2}'), f"PUT {what}")
            seen_by_all(cluster, put, path + "/1")
            patched = client.ask("PATCH", path + "/1", '{"z":null,"w":"가"}')
            equal((patched.status, patched.text), (200, '{"id":1,"x":{"y":null},"w":"가"}'), f"PATCH {what}")
            seen_by_all(cluster, patched, path + "/1")
            second = client.ask("POST", path, "{}")
            equal(second.text, '{"id":2}', f"the next POST {what}")
            listed = f"[{patched.text},{second.text}]"
            for other in cluster.servers:
                read = ask(other, "GET", path, min_seq=second.seq, wait_ms=5000)
                equal((read.status, read.text), (200, listed), f"the list at {other.name}, written {what}")
            gone = client.ask("DELETE", path + "/1")
            equal((gone.status, gone.text), (200, patched.text), f"DELETE {what}")
            seqs = [a.seq for a in (made, put, patched, second, gone)]
            equal(seqs, list(range(made.seq, made.seq + 5)), f"seqs {what}")
            for other in cluster.servers:
                refused(ask(other, "GET", path + "/1", min_seq=gone.seq, wait_ms=5000), 404, "not_found")


@suite.test
def copies_are_the_servers_in_sync(cluster):
    for server, protocol in everywhere(cluster):
        path, what = "/" + collection(), f"through {server.name} over {protocol.__name__}"
        with protocol(server) as client:
            copies = [client.ask("POST", path, "{}").copies, client.ask("PUT", path + "/1", "{}").copies,
                      client.ask("PATCH", path + "/1", "{}").copies, client.ask("DELETE", path + "/1").copies]
        equal(copies, [3] * 4, f"copies of POST, PUT, PATCH, DELETE {what}")


@suite.test
def errors_are_alike_through_every_server(cluster):
    path = "/" + collection()
    made = ask(cluster.primary, "POST", path, '{"a":1}')
    key = new_key()
    ask(cluster.primary, "PATCH", path + "/1", '{"b":1}', key=key)
    cases = (("PUT", path + "/99", "{}", {}, 404, "not_found"), ("PATCH", path + "/99", "{}", {}, 404, "not_found"),
             ("DELETE", path + "/99", None, {}, 404, "not_found"), ("GET", path + "/99", None, {}, 404, "not_found"),
             ("PUT", path + "/1", "{}", {"if_match": str(made.etag)}, 412, "precondition_failed"),
             ("DELETE", path + "/1", None, {"if_match": str(made.etag)}, 412, "precondition_failed"),
             ("PUT", path + "/1", "{}", {"key": key}, 422, "key_reused"),
             ("PUT", path + "/1", '{"id":2}', {}, 409, "id_mismatch"), ("PUT", path + "/01", "{}", {}, 400, "bad_id"),
             ("POST", path, '{"id":1}', {}, 400, "id_not_allowed"), ("POST", path, "{}", {"key": "x"}, 400, "bad_key"),
             ("PUT", path, "{}", {}, 405, "method_not_allowed"),
             ("POST", path, "{}", {"type": "text/plain"}, 415, "unsupported_type"))
    for server, protocol in everywhere(cluster):
        with protocol(server) as client:
            for method, target, body, rest, status, code in cases:
                answer = refused(client.ask(method, target, body, **rest), status, code)
                with protocol(cluster.primary) as other:
                    there = other.ask(method, target, body, **rest)
                equal(answer.json()["detail"], there.json()["detail"],
                      f"{method} {target} through {server.name}, and through the primary")
    for server in cluster.servers:
        for body, code in (("{x}", "bad_json"), ("[1]", "not_object"), ('{"a":1,"a":2}', "bad_json")):
            refused(ask(server, "POST", path, body), 400, code)
    equal(ask(cluster.primary, "GET", path).text, '[{"id":1,"a":1,"b":1}]', "the list after all refusals")
    equal(ask(cluster.backups[0], "POST", path, "{}").json()["id"], 2, "the next id: refused writes used none")


@suite.test
def conditions_are_decided_on_the_ordered_state(cluster):
    """What one server has not yet seen counts all the same."""
    seoul, busan, jeju = cluster.servers
    path = "/" + collection()
    with Tcp(busan) as near, Http(jeju) as far:
        for _ in range(50):
            made = near.ask("POST", path, '{"n":0}')
            record = f"{path}/{made.json()['id']}"
            put = far.ask("PUT", record, '{"n":1}', if_match=made.etag)
            equal(put.status, 200, f"PUT through {jeju.name} under the ETag got at {busan.name} ({put.text})")
            refused(near.ask("PATCH", record, '{"n":2}', if_match=str(made.etag)), 412, "precondition_failed")
            equal(near.ask("PATCH", record, '{"n":2}', if_match=str(put.etag)).status, 200, "status under the new ETag")


@suite.test
def who_wrote_through_a_server_reads_it_there_at_once(cluster):
    path, number = "/" + collection(), 0
    with Http(cluster.backups[0]) as http, Tcp(cluster.backups[0]) as tcp:
        clients = (http, tcp, Udp(cluster.backups[0]))
        for _ in range(20):
            for writer in clients:
                number += 1
                made = writer.ask("POST", path, {"n": number})
                equal((made.status, made.json()["id"]), (201, number), "status and id")
                for reader in clients:
                    same(reader.ask("GET", f"{path}/{number}"), Expect(200, made), f"record {number} at once")


@suite.test
def min_seq_of_a_write_elsewhere_never_reads_older(cluster):
    path = "/" + collection()
    ask(cluster.primary, "POST", path, '{"n":0}')
    clients = [[protocol(server) for protocol in PROTOCOLS] for server in cluster.servers]
    for n in range(1, 90):
        writer, reader = clients[n % 3][n // 3 % 3], clients[(n + 1 + n // 9 % 2) % 3][n // 2 % 3]
        put = writer.ask("PUT", path + "/1", {"n": n})
        read = reader.ask("GET", path + "/1", min_seq=put.seq, wait_ms=10000)
        same(read, Expect(200, put), f"read {n} elsewhere with min_seq")
        check(read.seq >= put.seq, f"position {read.seq} of a read that asked for {put.seq}")
    for group in clients:
        for client in group:
            client.close()


@suite.test
def a_position_that_is_not_reached_is_lagging_on_a_backup(cluster):
    for protocol in PROTOCOLS:
        with protocol(cluster.backups[0]) as client:
            refused(client.ask("GET", "/any", min_seq=1 << 40, wait_ms=50), 503, "lagging")
            refused(client.ask("POST", "/any", "{}", min_seq=1 << 40, wait_ms=50), 503, "lagging")
    equal(ask(cluster.primary, "GET", "/any").text, "[]", "the list")


@suite.test
def a_read_that_waits_for_a_position_goes_on_when_it_is_written_elsewhere(cluster):
    seoul, busan, jeju = cluster.servers
    path = "/" + collection()
    made = ask(busan, "POST", path, "{}")

    def wait_at(server, protocol):
        with protocol(server, seconds=25) as client:
            return client.ask("GET", path, min_seq=made.seq + 3, wait_ms=20000)

    def write():
        with Http(busan) as http:
            return [http.ask("POST", path, "{}") for _ in range(3)]
    for answer in together(*(lambda a=a: wait_at(*a) for a in everywhere(cluster)), write)[:9]:
        equal((answer.status, len(answer.json())), (200, 4), f"status and records ({answer.text})")
        check(answer.seq >= made.seq + 3, f"position {answer.seq}")


@suite.test
def a_key_is_one_key_through_all_servers_and_protocols(cluster):
    for first_server, first_protocol in everywhere(cluster):
        path, key = "/" + collection(), new_key()
        with first_protocol(first_server) as client:
            first = client.ask("POST", path, '{"a":"가"}', key=key)
            equal((first.status, first.text), (201, '{"id":1,"a":"가"}'), "the first")
        for server, protocol in everywhere(cluster):
            what = f"through {server.name}/{protocol.__name__}, first {first_server.name}/{first_protocol.__name__}"
            with protocol(server) as client:
                again = client.ask("POST", path, '{"a":"가"}', key=key)
                same(again, first, f"a repeat {what}")
                if protocol is Http:
                    equal(again.header("Location"), path + "/1", f"Location of a repeat {what}")
                refused(client.ask("POST", path, '{"a":"나"}', key=key), 422, "key_reused")
        read = ask(cluster.primary, "GET", path)
        equal(read.text, f"[{first.text}]", "the list")


@suite.test
def records_of_almost_a_mebibyte_go_through_every_server(cluster):
    path = "/" + collection()
    body = '{"a":"' + "x" * (RECORD_BYTES_MAX - 30) + '"}'
    for id, (server, protocol) in enumerate([(s, p) for s, p in everywhere(cluster) if p is not Udp], 1):
        with protocol(server) as client:
            made = client.ask("POST", path, body)
            equal((made.status, made.text), (201, f'{{"id":{id},' + body[1:]), f"POST through {server.name}")
            patched = client.ask("PATCH", f"{path}/{id}", '{"b":1}')
            equal(patched.status, 200, "status of a small PATCH of it")
            refused(client.ask("PATCH", f"{path}/{id}", {"c": "y" * 100}), 413, "too_large")
            refused(client.ask("POST", path, '{"a":"' + "x" * RECORD_BYTES_MAX + '"}'), 413, "too_large")
        seen_by_all(cluster, patched, f"{path}/{id}")
    for server in cluster.servers:
        large = [as_bytes(head_of("PUT", path + "/1", rid=str(n))) + as_bytes(body) for n in range(10)]
        answers = [json_answer(raw) for raw in pipelined(server, large)]
        equal([(a.status, a.rid) for a in answers], [(200, str(n)) for n in range(10)], f"a pipeline at {server.name}")
        patched = answers[-1]
    for server in cluster.servers:
        read = ask(server, "GET", path, min_seq=patched.seq, wait_ms=5000)
        equal([len(r["a"]) for r in read.json()], [RECORD_BYTES_MAX - 30] * 6, f"the list at {server.name}")


@suite.test
def a_pipeline_on_a_backup_is_answered_in_order(cluster):
    for server in cluster.servers:
        path, requests = "/" + collection(), []
        for n in range(150):
            requests.append(as_bytes(head_of("POST", path, rid=f"w{n}")) + as_bytes({"n": n}))
            requests.append(as_bytes(head_of("GET", f"{path}/{n + 1}", rid=f"r{n}")))
        answers = [json_answer(raw) for raw in pipelined(server, requests)]
        for n in range(150):
            written, read = answers[2 * n:2 * n + 2]
            expected = f'{{"id":{n + 1},"n":{n}}}'
            equal((written.rid, written.status, written.text), (f"w{n}", 201, expected), f"write {n} at {server.name}")
            equal((read.rid, read.status, read.text), (f"r{n}", 200, expected), f"the read behind it at {server.name}")
        with Http(server) as http:
            path = "/" + collection()
            http.send(b"".join(request("POST", path, {"n": n}) + request("GET", f"{path}/{n + 1}") for n in range(100)))
            for n in range(100):
                expected = f'{{"id":{n + 1},"n":{n}}}'
                equal([http.answer().text, http.answer().text], [expected] * 2, f"HTTP pair {n} at {server.name}")


@suite.test
def a_write_over_udp_whose_answer_is_long_carries_the_id(cluster):
    body = {"a": "가" * 600}
    for server in cluster.servers:
        path = "/" + collection()
        answer = json_answer(Udp(server).exchange(
            as_bytes(head_of("POST", path, key=new_key())) + as_bytes(body)))
        value = json.loads(answer.raw)
        equal((answer.status, value.get("id"), "body" in value, answer.copies), (201, 1, False, 3),
              f"answer at {server.name}: {shortened(answer.raw)}")


@suite.alone
def servers_of_one_protocol_make_one_cluster():
    """An API server, a TCP server and a UDP server, behind a primary that serves clients none of what peers use."""
    with Cluster(0, primary=("--serve", "udp")) as cluster:
        api, tcp, udp = (cluster.join(n, "--serve", k) for n, k in (("busan", "http"), ("jeju", "tcp"), ("daegu", "udp")))
        cluster.wait(lambda: all(s.ready() for s in cluster.servers), "all are ready")
        cluster.wait(lambda: api.ask("POST", "/warm", "{}").copies == 4, "four copies of a write")
        texts = []
        for id, writer in enumerate(cluster.servers, 1):
            made = writer.ask("POST", "/notes", {"via": writer.name}, key=new_key())
            equal((made.status, made.text), (201, f'{{"id":{id},"via":"{writer.name}"}}'), f"POST at {writer.name}")
            texts.append(made.text)
            for reader in cluster.servers:
                same(reader.ask("GET", f"/notes/{id}", min_seq=made.seq, wait_ms=5000), Expect(200, made),
                     f"record {id} at {reader.name}")
        for reader in cluster.servers:
            equal(reader.ask("GET", "/notes", min_seq=made.seq, wait_ms=5000).text, f"[{','.join(texts)}]",
                  f"the list at {reader.name}")
        with Tcp(api) as other:
            refused(other.ask("GET", "/notes"), 501, "not_implemented")
        for server in (api, tcp):
            try:
                Udp(server, seconds=0.6).ask("GET", "/notes/1")
            except (Gone, ConnectionRefusedError):
                continue
            check(False, f"{server.name} answered a datagram")


# --- the server's own paths ---

@suite.alone
def servers_that_listen_everywhere_are_told_by_an_address_that_can_be_called():
    with Cluster(1, "--listen", "0.0.0.0") as cluster:
        seoul, busan = cluster.servers
        equal((seoul.address, busan.address), ("0.0.0.0", "0.0.0.0"), "addresses in the ready lines")
        status = seoul.status()
        equal(status["backups"][0]["address"], f"127.0.0.1:{busan.port}", "the backup, as its primary was called by it")
        equal(status["primary"]["address"], f"127.0.0.1:{seoul.port}", "the primary, as its backup has called it")


@suite.test
def status_says_who_is_what_and_where(cluster):
    made = ask(cluster.backups[0], "POST", "/" + collection(), "{}")
    seen = cluster.wait_equal()
    seoul = seen[0]
    equal({n: seoul[n] for n in ("app_name", "role", "writable", "ack")},
          {"app_name": "seoul", "role": "primary", "writable": True, "ack": "all"}, "members of the primary's status")
    equal(sorted(seoul["in_sync"]), ["busan", "jeju", "seoul"], "in_sync")
    equal(sorted(b["app_name"] for b in seoul["backups"]), ["busan", "jeju"], "names of backups")
    for backup in seoul["backups"]:
        server = next(s for s in cluster.backups if s.name == backup["app_name"])
        equal((backup["address"], backup["in_sync"]), (server.host, True), f"address and in_sync of {backup}")
        for name in ("durable", "applied", "lag_ms"):
            check(type(backup[name]) is int and backup[name] >= 0, f"{name}: {backup[name]!r} is no number")
        check(isinstance(backup["state"], str) and backup["state"], f"state: {backup['state']!r}")
        check(backup["durable"] <= seoul["durable"] and backup["applied"] <= backup["durable"], f"positions: {backup}")
    for status, server in zip(seen, cluster.servers):
        equal((status["app_name"], status["epoch"], status["seq"]), (server.name, seoul["epoch"], made.seq),
              f"name, epoch and seq of {server.name}")
        primary = status["primary"]
        check(primary.get("address") == cluster.primary.host and "seoul" in primary.values(),
              f"primary at {server.name}: {primary}")
        check(0 < status["applied"] <= status["committed"] <= status["durable"], f"positions: {status}")
        equal(sorted(status["in_sync"]), ["busan", "jeju", "seoul"], f"in_sync at {server.name}")
    for status in seen[1:]:
        equal((status["role"], status["writable"], status["backups"]), ("backup", True, []), "role, writable, backups")


@suite.test
def positions_of_all_servers_meet_when_nothing_is_written(cluster):
    ask(cluster.backups[0], "POST", "/" + collection(), "{}")

    def met():
        seen = [s.status() for s in cluster.servers]
        places = {s[n] for s in seen for n in ("applied", "committed", "durable")}
        places |= {b[n] for b in seen[0]["backups"] for n in ("durable", "applied")}
        return len(places) == 1
    cluster.wait(met, "applied, committed and durable are one on all servers, as they and the primary say")


@suite.test
def a_backup_in_sync_is_ready_on_every_protocol(cluster):
    for server, protocol in everywhere(cluster):
        with protocol(server) as client:
            for path in ("/_health", "/_ready"):
                equal(client.ask("GET", path).status, 200, f"status of {path} at {server.name}")
            wait_until(lambda: client.ask("GET", "/_ready?max_lag_ms=2000").status == 200, "a lag below 2 s")
            for value in ("x", "-1", ""):
                refused(client.ask("GET", f"/_ready?max_lag_ms={value}"), 400, "bad_parameter")


def steps(server, before, seq, path):
    """The messages of one write that came alone: (step, actor, kind, text)."""
    found = [m for m in listed_messages(server, before)
             if path in m["text"] or m["step"] in ("W2", "W3", "W4", "W5")]
    mine = [(m["step"], m["actor"], m["kind"], m["text"]) for m in found
            if path in m["text"] or m["actor"] == "REPLICA" and (seq in numbers_in(m["text"]) or m["step"] in ("W2", "W5"))]
    return [(s, a, k, t.split(" {")[0] if a == "REPLICA" else t) for s, a, k, t in mine]


TEXTS = {"W2": ("REQUEST", "Forward request to primary"), "W3": ("REQUEST", "Tell backups to update"),
         "W4": ("REPLY", "Acknowledge update"), "W5": ("REPLY", "Acknowledge write completed")}


def count(found, step, actor="REPLICA"):
    return sum(s == step and a == actor for s, a, _, _ in found)


@suite.test
def the_steps_of_a_write_through_a_backup_are_in_the_messages_of_each_server(cluster):
    seoul, busan, jeju = cluster.servers
    last = {s.name: last_message(s) for s in cluster.servers}
    path = "/" + collection()
    made = ask(busan, "POST", path, '{"n":1}')
    # For each server, how many of W1 and W5 with clients, and of W2 to W5 with servers.
    expected = {"seoul": (0, 0, 1, 2, 2, 1), "busan": (1, 1, 1, 1, 1, 1), "jeju": (0, 0, 0, 1, 1, 0)}

    def counted(server):
        found = steps(server, last[server.name], made.seq, path)
        return (count(found, "W1", "CLIENT"), count(found, "W5", "CLIENT"),
                *(count(found, step) for step in ("W2", "W3", "W4", "W5")))
    for server in cluster.servers:
        try:
            wait_until(lambda: counted(server) == expected[server.name], "messages", 5)
        finally:
            found = steps(server, last[server.name], made.seq, path)
            equal(counted(server), expected[server.name],
                  f"W1, W5 of clients and W2..W5 at {server.name}: {shortened(found)}")
        for step, actor, kind, text in found:
            if actor == "REPLICA":
                equal((kind, text[:len(TEXTS[step][1])]), TEXTS[step], f"kind and text of {step} at {server.name}")
        order = [s for s, a, _, _ in found if a == "REPLICA"]
        equal(order, sorted(order), f"order of the steps at {server.name}")


@suite.test
def a_write_through_the_primary_is_not_forwarded(cluster):
    last = {s.name: last_message(s) for s in cluster.servers}
    path = "/" + collection()
    made = ask(cluster.primary, "POST", path, '{"n":1}')
    expected = {"seoul": (0, 2, 2), "busan": (0, 1, 1), "jeju": (0, 1, 1)}
    for server in cluster.servers:
        def counted():
            found = steps(server, last[server.name], made.seq, path)
            return tuple(count(found, step) for step in ("W2", "W3", "W4"))
        wait_until(lambda: counted()[1:] == expected[server.name][1:], f"W3, W4 at {server.name}: {counted()}")
        equal(counted(), expected[server.name], f"W2, W3, W4 at {server.name}")


@suite.test
def messages_of_servers_have_the_form_of_all_messages(cluster):
    for server in cluster.servers:
        ask(server, "POST", "/" + collection(), '{"n":"한"}')
    for server in cluster.servers:
        for m in listed_messages(server, 0):
            among(m["actor"], ("CLIENT", "REPLICA"), "actor")
            equal(m["line"], f"[{m['time']}] {server.name} {m['actor']} [{m['kind']}] {m['step']} {m['text']}", "line")


if __name__ == "__main__":
    suite.main()
