"""Servers that stand still and links that carry nothing: others go on, nothing is acknowledged that is not safe."""

import time

from cluster import Cluster, Load, Relay, Write, repeat, sentence, verify
from harness import (PROTOCOLS, Http, Late, Suite, Tcp, as_bytes, ask, check, equal, head_of, json_answer,
                     pipelined, refused, together, wait_until)
from promotion import identity

SOON = ("--backup-timeout-ms", "1000")
suite = Suite()


# --- backups ---

@suite.alone
def a_stopped_backup_is_dropped_under_load_and_comes_back():
    with Cluster(2, primary=SOON) as cluster:
        seoul, busan, jeju = cluster.servers
        load = Load(cluster.servers)
        load.progress()
        busan.pause()
        cluster.wait(lambda: sorted(seoul.status()["in_sync"]) == ["jeju", "seoul"], "busan is dropped", 10)
        load.progress(servers=[seoul, jeju])
        busan.go_on()
        cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)


@suite.alone
def a_backup_stopped_for_a_moment_is_not_dropped():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        before = cluster.wait_equal()[0]["durable"]
        busan.pause()
        with Tcp(jeju) as client:
            write = Write("POST", "/notes", '{"a":1}')
            client.send(as_bytes(head_of("POST", "/notes", key=write.key)) + b'{"a":1}')
            wait_until(lambda: seoul.status()["durable"] > before, "the entry is durable at the primary")
            client.socket.settimeout(0.5)
            try:
                check(False, f"a write was acknowledged that one server in sync cannot have: {client.answer().text}")
            except Late:
                pass
            for server in (seoul, jeju):  # not acknowledged, so nowhere to be seen
                refused(ask(server, "GET", "/notes/1"), 404, "not_found")
            client.socket.settimeout(10)
            busan.go_on()
            answer = client.answer()
        equal((answer.status, answer.text, answer.copies), (201, '{"id":1,"a":1}', 3), "its answer")
        cluster.wait_in_sync()


@suite.alone
def a_stopped_backup_costs_the_primary_no_memory():
    with Cluster(1, primary=SOON) as cluster:
        seoul, busan = cluster.servers
        body = as_bytes({"text": "x" * 500_000})
        seoul.ask("POST", "/notes", "{}")
        seoul.ask("PUT", "/notes/1", body)
        before = seoul.memory_mb()
        busan.pause()
        put = [as_bytes(head_of("PUT", "/notes/1")) + body] * 20
        for _ in range(8):
            for raw in pipelined(seoul, put):
                equal(json_answer(raw).status, 200, "status of a PUT")
        grown = seoul.memory_mb() - before
        check(grown < 64, f"the primary has grown by {grown} MB while 80 MB were written")
        busan.go_on()
        cluster.wait_in_sync()
        cluster.wait_equal()


@suite.alone
def with_ack_primary_writes_go_on_with_a_stopped_backup():
    with Cluster(1, primary=("--ack", "primary")) as cluster:
        seoul, busan = cluster.servers
        equal(seoul.status()["ack"], "primary", "ack")
        made = busan.ask("POST", "/notes", '{"a":1}')
        equal((made.status, busan.ask("GET", "/notes/1").text), (201, made.text), "a write through it, read at once")
        busan.pause()
        started = time.monotonic()
        with Http(seoul) as http:
            for n in range(50):
                equal(http.ask("POST", "/notes", {"n": n}).status, 201, "status of a write")
            equal(http.ask("GET", "/notes/51").status, 200, "status of its read")
        took = time.monotonic() - started
        check(took < 3, f"50 writes took {took} s, and did not wait for the backup's 5 s")
        busan.go_on()
        cluster.wait_in_sync()
        cluster.wait_equal()
        equal(busan.ask("GET", "/notes").text, seoul.ask("GET", "/notes").text, "the lists")


@suite.alone
def with_ack_primary_nothing_acknowledged_is_lost_by_kills_of_processes():
    with Cluster(2, primary=("--ack", "primary")) as cluster:
        load = Load(cluster.servers)
        for server in (cluster.primary, cluster.backups[0]):
            load.progress()
            server.kill()
            server.start()
            cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)


# --- the primary ---

@suite.alone
def while_the_primary_stands_still_backups_read_and_acknowledge_nothing():
    with Cluster(2, primary=SOON) as cluster:
        seoul, busan, jeju = cluster.servers
        made = busan.ask("POST", "/kept", '{"a":1}')
        writes = [Write("POST", f"/w{n}", '{"a":1}') for n in range(3)]
        wait_until(lambda: busan.ask("GET", "/_ready?max_lag_ms=1000").status == 200, "a lag below 1 s")
        seoul.pause()

        def ask_it(write, server, protocol):
            with protocol(server, seconds=25) as client:
                return write.send(client)

        def read():
            for server in (busan, jeju):
                for protocol in PROTOCOLS:
                    with protocol(server) as client:
                        equal(client.ask("GET", "/kept/1", min_seq=made.seq).text, made.text, "a read meanwhile")
            wait_until(lambda: busan.ask("GET", "/_ready?max_lag_ms=500").status == 503, "a lag above 0.5 s")
        started = time.monotonic()
        answers = together(*(lambda a=a: ask_it(*a) for a in zip(writes, (busan, jeju, jeju), PROTOCOLS)), read)[:3]
        took = time.monotonic() - started
        for answer in answers:
            refused(answer, 503, "outcome_unknown", "no_primary")
        check(took < 14, f"the answers came after {took} s, expected about 10 s at most")
        seoul.go_on()
        cluster.wait_in_sync()
        for write in writes:
            first = repeat(cluster, write, cluster.servers)
            equal(first.text, '{"id":1,"a":1}', "the repeat")
            equal(seoul.ask("GET", write.path).text, f"[{first.text}]", "the list")
        cluster.wait_equal()


@suite.alone
def a_primary_drops_nobody_for_its_own_stall():
    with Cluster(2, primary=SOON) as cluster:
        seoul, busan, jeju = cluster.servers
        before, set_before = cluster.wait_equal()[0], identity(seoul)
        load = Load([busan, jeju], each=1, protocols=(Tcp,))
        load.progress(5)
        for _ in range(2):
            seoul.pause()
            silent = time.monotonic() + 2.5  # more than twice the time after which a backup is dropped
            wait_until(lambda: time.monotonic() > silent, "2.5 s of stall")
            seoul.go_on()
            load.progress(5)
        load.end()
        after = cluster.wait_equal()[0]
        # Entries tell less: one has several writes, and that of the last change of the set may come after `before`.
        check(identity(seoul) == set_before, f"the in-sync set on the primary's disk was changed: {sentence(seoul)}")
        equal(sorted(after["in_sync"]), ["busan", "jeju", "seoul"], "in_sync")
        equal(after["epoch"], before["epoch"], "epoch")
        verify(cluster, load)


@suite.alone
def a_stopped_primary_under_load_goes_on_where_it_was():
    with Cluster(2, primary=SOON) as cluster:
        load = Load(cluster.servers)
        for _ in range(3):
            load.progress(10)
            cluster.primary.pause()
            silent = time.monotonic() + 1.2
            wait_until(lambda: time.monotonic() > silent, "1.2 s of stall")
            cluster.primary.go_on()
        load.progress()
        verify(cluster, load)


# --- links ---

@suite.alone
def a_link_that_is_cut_again_and_again_loses_nothing():
    with Cluster(1) as cluster:
        relay = Relay(cluster.primary)
        try:
            jeju = cluster.join("jeju", through=relay)
            cluster.wait_in_sync()
            load = Load(cluster.servers)
            for _ in range(4):
                load.progress(10, servers=cluster.servers[:2])
                relay.cut()
            cluster.wait_in_sync(seconds=30)  # readmission is put off longer after each drop
            load.progress()
            verify(cluster, load)
            relay.cut(open=False)
            cluster.wait(lambda: jeju.ask("POST", "/no", "{}").code == "no_primary", "a write without a link")
            cluster.wait(lambda: cluster.primary.status()["in_sync"] == ["seoul", "busan"], "jeju is dropped")
            equal(jeju.ask("GET", "/notes").text, cluster.primary.ask("GET", "/notes").text, "its reads go on")
        finally:
            relay.close()


@suite.alone
def what_a_held_link_carries_late_does_no_harm():
    """Delayed messages of an old session arrive after the new one has begun."""
    with Cluster(1, primary=SOON) as cluster:
        relay = Relay(cluster.primary)
        try:
            jeju = cluster.join("jeju", through=relay)
            cluster.wait_in_sync()
            load = Load(cluster.servers)
            load.progress(10)
            relay.hold()
            cluster.wait(lambda: "jeju" not in cluster.primary.status()["in_sync"], "jeju is dropped", 10)
            write = Write("POST", "/held", '{"a":1}')
            with Http(jeju, seconds=25) as http:
                answer, _ = together(lambda: write.send(http),
                                     lambda: load.progress(10, servers=cluster.servers[:2]))
            refused(answer, 503, "outcome_unknown", "no_primary", "not_in_sync")
            relay.let_go()
            cluster.wait_in_sync(seconds=30)
            equal(repeat(cluster, write, cluster.servers).text, '{"id":1,"a":1}', "its repeat")
            equal(jeju.ask("GET", "/held").text, '[{"id":1,"a":1}]', "the list")
            load.progress(10)
            verify(cluster, load)
        finally:
            relay.close()


if __name__ == "__main__":
    suite.main()
