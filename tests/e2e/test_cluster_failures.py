"""Servers of a cluster that die, come late and come back: what was acknowledged is on every server, the rest is said."""

import random

from cluster import Cluster, Load, Member, Write, last_message, listed_messages, no_answer_as_if_empty, repeat, verify
from failing_disk import FailingDisk
from harness import (PROTOCOLS, Gone, Http, Suite, Tcp, Udp, among, as_bytes, ask, check, equal, head_of,
                     json_answer, new_key, pipelined, refused, request, run, together, wait_until)

suite = Suite()


def fill(server, count, path="/notes", size=200):
    """Records in one pipeline."""
    body = as_bytes({"text": "x" * size})
    for raw in pipelined(server, [as_bytes(head_of("POST", path)) + body] * count):
        equal(json_answer(raw).status, 201, "status of a POST")


# --- killed under load ---

@suite.alone
def a_killed_backup_is_dropped_and_comes_back_with_what_it_missed():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        load = Load(cluster.servers)
        load.progress()
        for _ in range(2):
            busan.kill()
            load.progress(servers=[seoul, jeju])
            cluster.wait(lambda: sorted(seoul.status()["in_sync"]) == ["jeju", "seoul"], "busan is dropped")
            equal(jeju.ask("POST", "/others", "{}").copies, 2, "copies while one is away")
            busan.start()
            cluster.wait_in_sync()
            load.progress()
        verify(cluster, load)


@suite.alone
def when_the_primary_is_killed_reads_go_on_and_nothing_acknowledged_is_lost():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        load = Load(cluster.servers)
        for _ in range(2):
            load.progress()
            made = seoul.ask("POST", "/kept", '{"a":1}')
            path = f"/kept/{made.json()['id']}"
            for server in (busan, jeju):  # what is written just before the end, they need not know to be committed
                equal(server.ask("GET", path, min_seq=made.seq, wait_ms=5000).text, made.text, f"{path} at {server.name}")
            seoul.kill()
            for server in (busan, jeju):
                for protocol in PROTOCOLS:
                    with protocol(server) as client:
                        read = client.ask("GET", path, min_seq=made.seq, wait_ms=5000)
                        equal((read.status, read.text), (200, made.text), f"{path} at {server.name}")

                        def refusal():
                            answer = client.ask("POST", "/no", "{}")
                            among(answer.code, ("no_primary", "outcome_unknown"), f"code of {answer.text}")
                            return answer.code == "no_primary"
                        wait_until(refusal, "a write without a primary is refused with no_primary")
                with Http(server) as http:
                    check(refused(http.ask("POST", "/no", "{}"), 503, "no_primary").header("Retry-After"), "Retry-After")
                equal(server.status()["writable"], False, f"writable at {server.name}")
                equal(server.ask("GET", "/_health").status, 200, f"health of {server.name}")
            seoul.start()
            cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)
        equal(seoul.ask("GET", "/no").text, "[]", "records that were refused")


@suite.alone
def after_all_are_killed_at_once_all_is_there_again():
    with Cluster(2) as cluster:
        load = Load(cluster.servers)
        for _ in range(2):
            load.progress()
            cluster.kill()
            for server in random.sample(cluster.servers, 3):
                server.begin()
            cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)


@suite.alone
def a_stop_of_any_server_under_load_ends_with_0_and_loses_nothing():
    with Cluster(2) as cluster:
        load = Load(cluster.servers)
        for server in (cluster.backups[0], cluster.primary, cluster.backups[1]):
            load.progress()
            server.stop()
            server.start()
            cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)


# --- late, and back again ---

@suite.alone
def an_empty_server_joins_while_writes_go_on():
    with Cluster(1) as cluster:
        fill(cluster.primary, 3000, "/before")
        known = cluster.primary.ask("GET", "/before/3000").text
        load = Load(cluster.servers)
        load.progress()
        jeju = cluster.join("jeju")
        cluster.wait(lambda: no_answer_as_if_empty(jeju, "/before/3000", known), "its first copy")
        cluster.wait_in_sync()
        load.progress()
        late = Load([jeju])
        late.progress()
        equal(jeju.ask("GET", "/before").json()[-1]["id"], 3000, "the last record of before at jeju")
        verify(cluster, load, late)


@suite.alone
def a_server_comes_back_on_another_port():
    with Cluster(2) as cluster:
        seoul, busan, _ = cluster.servers
        busan.stop()
        busan.command[busan.command.index("--local-port") + 1] = "0"
        busan.start()
        cluster.wait_in_sync()
        cluster.wait(lambda: {b["app_name"]: b["address"] for b in seoul.status()["backups"]}["busan"] == busan.host,
                     "its new address")
        equal(busan.ask("POST", "/notes", "{}").copies, 3, "copies of a write through it")


@suite.alone
def a_cleanly_stopped_cluster_goes_on_where_it_was():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        keys = [new_key() for _ in range(20)]
        first = [busan.ask("POST", "/notes", {"n": n}, key=key) for n, key in enumerate(keys)]
        for order in ((seoul, busan, jeju), (jeju, busan, seoul)):
            before = cluster.wait_equal()
            for server in order:
                server.stop()
            for server in reversed(order):
                server.begin()
            cluster.wait_in_sync()
            after = cluster.wait_equal()
            equal((after[0]["seq"], after[0]["digest"]), (before[0]["seq"], before[0]["digest"]), "seq and digest")
            check(after[0]["epoch"] > before[0]["epoch"], f"epoch {after[0]['epoch']} after {before[0]['epoch']}")
            for server in cluster.servers:
                equal(server.ask("POST", "/notes", {"n": 7}, key=keys[7]).text, first[7].text, "a repeat")
        equal(jeju.ask("POST", "/notes", "{}").text, '{"id":21}', "the next record")


@suite.alone
def a_backup_that_starts_before_its_primary_waits_for_it():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        made = busan.ask("POST", "/notes", "{}")
        cluster.stop()
        jeju = Member("jeju", *cluster.args, primary=seoul.host, start=False)
        cluster.backups.append(jeju)
        for server, kept in ((jeju, False), (busan, True)):
            server.begin()
            equal(server.status()["role"], "backup", "role")
            equal(server.ask("GET", "/_health").status, 200, "health")
            refused(server.ask("GET", "/_ready"), 503, "not_ready", "not_in_sync", "no_primary")
            refused(server.ask("POST", "/notes", "{}"), 503, "not_ready", "not_in_sync", "no_primary")
            if kept:
                equal(server.ask("GET", "/notes/1").text, made.text, "the record at a backup that has it")
            else:
                for path in ("/notes/1", "/notes", "/unknown/1"):
                    refused(server.ask("GET", path), 503, "not_ready")
        check("ready" not in jeju.out(), f"it does not say ready before it is: {jeju.out()}")
        seoul.start()
        cluster.wait_in_sync()
        equal(jeju.ask("GET", "/notes/1").text, made.text, "the record")
        for server in (busan, jeju):
            line = f"noted: {server.name} ready on {server.host} (backup of {seoul.host})\n"
            wait_until(lambda: server.out() == line, f"{line!r} on stdout")
        cluster.wait_writable()


# --- a write under way ---

def executed_once(cluster, write):
    """A write of unknown fate, repeated through all servers: one record, one answer."""
    first = repeat(cluster, write, cluster.servers)
    equal(first.status, 201, "status of the repeat")
    for server in cluster.servers:
        for protocol in PROTOCOLS:
            with protocol(server) as client:
                again = write.send(client)
                equal((again.status, again.text, again.etag), (201, first.text, first.etag), "a further repeat")
    equal(cluster.primary.ask("GET", write.path).text, f"[{first.text}]", "the list")


@suite.alone
def a_write_under_way_when_the_primary_dies_is_unknown_and_its_repeat_is_executed_once():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        for number, (server, protocol) in enumerate([(busan, Http), (busan, Tcp), (jeju, Udp)]):
            write = Write("POST", f"/w{number}", '{"a":1}')
            last = last_message(server)
            seoul.pause()

            def kill_it():
                wait_until(lambda: any(m["step"] == "W2" for m in listed_messages(server, last)), "W2 at the backup")
                seoul.kill()
            with protocol(server) as client:
                answer, _ = together(lambda: write.send(client), kill_it)
            refused(answer, 503, "outcome_unknown")
            seoul.start()
            cluster.wait_in_sync()
            executed_once(cluster, write)
        cluster.wait_equal()


@suite.alone
def a_write_that_is_only_on_the_primarys_disk_when_it_dies_is_executed_once():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        before = cluster.wait_equal()[0]["durable"]
        busan.pause()
        jeju.pause()
        write = Write("POST", "/notes", '{"a":1}')
        with Tcp(seoul) as client:
            client.send(as_bytes(head_of("POST", "/notes", key=write.key)) + b'{"a":1}')
            wait_until(lambda: seoul.status()["durable"] > before, "the entry is durable at the primary")
            refused(ask(seoul, "GET", "/notes/1"), 404, "not_found")  # not acknowledged, so not visible
            seoul.kill()
            try:
                check(False, f"it was acknowledged with the backups stopped: {client.answer().text}")
            except (Gone, ConnectionResetError):
                pass
        busan.go_on()
        jeju.go_on()
        seoul.start()
        cluster.wait_in_sync()
        executed_once(cluster, write)


# --- members missing ---

@suite.alone
def a_restarted_primary_waits_for_every_member_and_names_those_missing():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        fill(seoul, 20)
        listed = seoul.texts("/notes")
        for back_again in (lambda: jeju.start(), None):
            cluster.kill()
            seoul.start()
            equal(seoul.texts("/notes"), listed, "the list at once")
            equal(seoul.ask("GET", "/_ready").status, 200, "ready for reads")
            answer = refused(seoul.ask("POST", "/notes", "{}"), 503, "waiting_for_members")
            for name in ("busan", "jeju"):
                check(name in answer.json()["detail"], f"{answer.text} names {name}")
            busan.start()
            cluster.wait(lambda: "busan" not in seoul.ask("POST", "/notes", "{}").text, "it waits for jeju only")
            for server in (seoul, busan):
                answer = refused(server.ask("POST", "/notes", "{}"), 503, "waiting_for_members", "not_in_sync")
            answer = refused(seoul.ask("POST", "/notes", "{}"), 503, "waiting_for_members")
            check("jeju" in answer.json()["detail"], f"{answer.text} names jeju")
            equal(seoul.status()["writable"], False, "writable")
            if back_again:
                back_again()
                cluster.wait_in_sync()
            else:
                drops(cluster, seoul, busan)
        jeju.start()
        cluster.wait_in_sync()
        cluster.wait_equal()
        for server in cluster.servers:
            equal(len(server.ask("GET", "/notes").json()), 21, f"records at {server.name}")


def drops(cluster, seoul, busan):
    """The operator says that the missing one is gone."""
    code, _, err = run("drop", "nobody", "--server", seoul.host)
    check(code == 1 and "nobody" in err, f"drop of an unknown name: exit code {code}, {err!r}")
    refused(seoul.ask("POST", "/notes", "{}"), 503, "waiting_for_members")
    code, out, err = run("drop", "jeju", "--server", seoul.host)
    equal(code, 0, f"exit code of drop ({out!r}, {err!r})")
    cluster.wait_in_sync(seoul, busan)
    made = busan.ask("POST", "/notes", "{}")
    equal((made.text, made.copies), ('{"id":21}', 2), "the next write")


@suite.alone
def who_is_being_dropped_can_be_dropped_again():
    disk = FailingDisk()
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        disk.start(seoul)
        cluster.wait_in_sync()
        disk.hold_writes("/identity.")  # the set without it does not become durable
        jeju.kill()
        for _ in range(2):
            code, out, err = run("drop", "jeju", "--server", seoul.host)
            equal((code, err), (0, ""), f"exit code and stderr of drop, which said {out!r}")
        code, _, err = run("drop", "nobody", "--server", seoul.host)
        check(code == 1 and "nobody" in err, f"drop of an unknown name: exit code {code}, {err!r}")
        disk.mend()
        equal(busan.ask("POST", "/notes", "{}").copies, 2, "disks that the next write is on")
        code, _, err = run("drop", "jeju", "--server", seoul.host)
        check(code == 1 and "jeju is not in the in-sync set" in err, f"drop of who is out: exit code {code}, {err!r}")


@suite.alone
def a_live_backup_that_is_dropped_comes_back():
    with Cluster(2) as cluster:
        load = Load(cluster.servers)
        load.progress(5)
        code, _, err = run("drop", "busan", "--server", cluster.primary.host)
        equal((code, err), (0, ""), "exit code and stderr")
        code, _, err = run("drop", "seoul", "--server", cluster.primary.host)
        check(code == 1 and err, f"a primary cannot be dropped: exit code {code}, {err!r}")
        cluster.wait_in_sync()
        load.progress(5)
        verify(cluster, load)


@suite.alone
def drop_is_refused_with_a_sentence_where_it_cannot_be_done():
    for arguments, expected in ((("drop",), 2), (("drop", "jeju", "--server", "nowhere"), 2),
                                (("drop", "jeju", "--colour", "red"), 2), (("drop", "jeju", "busan"), 2),
                                (("drop", "jeju", "--server", "127.0.0.1:1"), 1)):
        code, out, err = run(*arguments)
        equal((code, out), (expected, ""), f"exit code and stdout of {arguments} ({err!r})")
        check(err.strip(), f"stderr of {arguments} says why")


@suite.alone
def a_web_page_cannot_drop_a_server():
    """Whatever way `noted drop` goes: a request with a foreign Origin changes nothing."""
    with Cluster(1) as cluster:
        for path in ("/_drop", "/_drop/busan", "/_drop?name=busan", "/_members/busan", "/_status"):
            for method, body in (("POST", '{"name":"busan"}'), ("POST", None), ("DELETE", None), ("GET", None)):
                headers = [("Origin", "http://evil.example"), ("Content-Type", "text/plain")]
                with Http(cluster.primary) as http:
                    http.send(request(method, path, body, headers + [("Connection", "close")]))
                    answer = http.answer()
                check(answer.status >= 400 or method == "GET", f"{method} {path} was answered {answer.text}")
        equal(sorted(cluster.primary.status()["in_sync"]), ["busan", "seoul"], "in_sync")


@suite.alone
def with_fewer_copies_than_asked_writes_are_refused_until_there_are_enough():
    with Cluster(0, primary=("--min-copies", "2")) as cluster:
        seoul = cluster.primary
        refused(seoul.ask("POST", "/notes", "{}"), 503, "too_few_copies")
        busan = cluster.join("busan")
        cluster.wait_in_sync()
        equal(busan.ask("POST", "/notes", "{}").text, '{"id":1}', "the first record")
        for ending in (busan.kill, busan.stop):
            ending()
            cluster.wait(lambda: seoul.ask("POST", "/x", "{}").code == "too_few_copies", "it is refused")
            for protocol in PROTOCOLS:
                with protocol(seoul) as client:
                    refused(client.ask("POST", "/notes", "{}"), 503, "too_few_copies")
                    equal(client.ask("GET", "/notes/1").text, '{"id":1}', "reads go on")
            equal(seoul.status()["writable"], False, "writable")
            busan.start()
            cluster.wait_in_sync()
            cluster.wait_writable()
            equal(seoul.status()["writable"], True, "writable")
        equal(seoul.ask("POST", "/notes", "{}").json()["id"], 2, "the next id: refused writes used none")
        cluster.wait_equal()


if __name__ == "__main__":
    suite.main()
