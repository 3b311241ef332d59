"""Answers that are under way when servers stop, links end or clients leave; and how much a server keeps for them."""

import json
import random
import socket
import struct
import threading
import time

from cluster import Cluster, Write, repeat
from harness import (Failed, Gone, Http, Suite, Tcp, Wire, as_bytes, check, equal, head_of,
                     json_answer, new_key, pipelined, request, sanitized, together, wait_until)

suite = Suite()


def statuses(client, count):
    """Of the answers on one connection, until it ends: (status, code) each."""
    found = []
    try:
        for _ in range(count):
            answer = client.answer()
            found.append((answer.status, answer.code))
    except (Gone, ConnectionResetError):
        pass
    return found


def fits(found, records, asked):
    """Each executed write was answered with 201, or said to be unknown; none that was refused was executed."""
    done = sum(status == 201 for status, _ in found)
    unknown = sum(code == "outcome_unknown" for _, code in found)
    codes = {code for _, code in found if code}
    check(codes <= {"outcome_unknown", "no_primary", "not_in_sync", "busy", "not_ready"}, f"codes {codes}")
    check(done <= records <= done + unknown,
          f"{records} records; of {asked} writes {done} were acknowledged, {unknown} unknown, {len(found)} answered")


def posts_under_way(server, count, path):
    """Connections with many writes each, the first of each answered."""
    clients = [Tcp(server), Http(server), Tcp(server)]
    for client in clients:
        client.send((request("POST", path, "{}") if isinstance(client, Http) else as_bytes(head_of("POST", path)) + b"{}")
                    * count)
    for client in clients:
        equal(client.answer().status, 201, "status of the first")
    return clients


@suite.alone
def a_stop_of_any_server_answers_what_it_has_executed():
    with Cluster(2) as cluster:
        for number, server in enumerate((cluster.backups[0], cluster.primary, cluster.backups[1])):
            path = f"/stop{number}"
            clients = posts_under_way(server, 2000, path)
            found = together(server.stop, *(lambda c=c: statuses(c, 2000) for c in clients))[1:]
            server.start()
            cluster.wait_in_sync()
            found = [(201, None)] * 3 + [one for of_one in found for one in of_one]
            fits(found, len(json.loads(cluster.primary.texts(path))), 6000)
        cluster.wait_equal()


@suite.alone
def when_the_primary_goes_each_write_at_a_backup_gets_its_answer_in_order_and_soon():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        for number, end in enumerate((seoul.stop, *[seoul.kill] * 5)):
            path = f"/line{number}"
            requests = [as_bytes(head_of("POST", path, rid=str(n), key=new_key())) + b"{}" for n in range(3000)]
            with Tcp(busan) as client:
                sender = threading.Thread(target=client.send, args=(b"".join(requests),), daemon=True)
                sender.start()
                answers = [client.answer()]
                ending = threading.Thread(target=end, daemon=True)
                ending.start()
                if end == seoul.kill:
                    ending.join(20)
                started = time.monotonic()
                answers += [client.answer() for _ in range(2999)]
                took = time.monotonic() - started
                check(end == seoul.stop or took < 5, f"the last answer came {took} s after the primary was killed")
                ending.join(20)
                sender.join(20)
                equal([a.rid for a in answers], [str(n) for n in range(3000)], "rids of all answers")
                equal(client.ask("GET", path + "/99999").status, 404, "the connection goes on")
            seoul.start()
            cluster.wait_in_sync()
            fits([(a.status, a.code) for a in answers], len(json.loads(seoul.texts(path))), 3000)
            repeats = [json_answer(raw) for raw in pipelined(jeju, requests)]
            equal({a.status for a in repeats}, {201}, "statuses of the repeats")
            for first, again in zip(answers, repeats):
                check(first.status != 201 or (first.text, first.etag) == (again.text, again.etag),
                      f"a repeat got {again.text}, the first {first.text}")
            equal(sorted(a.json()["id"] for a in repeats), list(range(1, 3001)), "ids of the repeats")
        cluster.wait_equal()


@suite.alone
def a_server_stops_though_another_stands_still():
    for paused, stopped in ((1, 0), (0, 1)):
        with Cluster(2, primary=("--backup-timeout-ms", "1000")) as cluster:
            still, server = cluster.servers[paused], cluster.servers[stopped]
            still.pause()
            write = Write("POST", "/notes", '{"a":1}')
            with Tcp(server) as client:
                client.send(as_bytes(head_of("POST", "/notes", key=write.key)) + b'{"a":1}')
                wait_until(lambda: any(m["step"] == "W1" for m in server.ask("GET", "/_messages").json()), "W1")
                started = time.monotonic()
                server.stop()
                took = time.monotonic() - started
                check(took < 16, f"{server.name} stopped after {took} s")
                found = statuses(client, 1)
                # 201 where the one that stands still was dropped meanwhile
                check(found in ([], [(503, "outcome_unknown")]) or still is not cluster.primary and found == [(201, None)],
                      f"a write that cannot be committed was answered {found}")
            still.go_on()
            server.start()
            cluster.wait_in_sync()
            first = repeat(cluster, write, cluster.servers)
            equal(cluster.primary.texts("/notes"), f"[{first.text}]", "the list after the repeat")


@suite.alone
def clients_that_leave_before_the_answer_harm_nobody():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        keys = [new_key() for _ in range(400)]

        def leave(server, rng):
            for key in keys:
                how = rng.randrange(4)
                with socket.create_connection((server.address, server.port), timeout=10) as sock:
                    if how < 2:
                        sock.sendall(request("POST", "/left", '{"a":1}', [("Idempotency-Key", key)]) * rng.choice((1, 5)))
                    else:
                        sock.sendall(as_bytes(head_of("POST", "/left", key=key)) + b'{"a":1}')
                    if how % 2:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def datagrams(server):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for key in keys:
                    sock.sendto(as_bytes(head_of("POST", "/left", key=key)) + b'{"a":1}', (server.address, server.port))

        def cut():
            for _ in range(3):
                jeju.kill()
                jeju.start()
        together(*(lambda s=s, n=n: leave(s, random.Random(n)) for n, s in enumerate((seoul, busan, busan))),
                 lambda: datagrams(busan), cut)
        cluster.wait_in_sync()
        for number, key in enumerate(keys):
            server = cluster.servers[number % 3]
            equal(server.ask("POST", "/left", '{"a":1}', key=key).status, 201, "status of a repeat")
        equal(sorted(r["id"] for r in json.loads(seoul.texts("/left"))), list(range(1, 401)), "ids of the records")
        cluster.wait_equal()


# --- what is kept ---

@suite.alone
def a_backup_whose_primary_stands_still_takes_bounded_writes():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        busan.ask("POST", "/notes", "{}")
        before, raw = busan.memory_mb(), request("POST", "/notes", '{"a":"' + "x" * 100_000 + '"}')
        seoul.pause()

        def fill():
            sent = 0
            with Wire(busan, receive_bytes=4096) as wire:
                wire.socket.settimeout(1)  # how long sending must stand still to count as stuck
                try:
                    while sent < 32 << 20:
                        wire.send(raw)
                        sent += len(raw)
                except socket.timeout:
                    grown = busan.memory_mb() - before
                    return grown
            raise Failed("the backup took 32 MiB of writes of one connection while its primary stood still")
        grown = max(together(*[fill] * 10))
        check(grown < (200 if sanitized() else 80), f"ten connections made it grow by {grown} MB")
        equal(busan.ask("GET", "/notes/1").text, '{"id":1}', "its reads go on")
        seoul.go_on()
        cluster.wait_in_sync()
        cluster.wait_writable(busan)
        cluster.wait_equal()


@suite.alone
def many_large_writes_at_once_through_backups_are_all_executed():
    with Cluster(2) as cluster:
        busan, jeju = cluster.backups
        before = [s.memory_mb() for s in cluster.servers]
        body = {"a": "x" * 900_000}

        def write(server, protocol, mark):
            with protocol(server) as client:
                for n in range(6):
                    made = client.ask("POST", "/large", {"mark": f"{mark}-{n}", **body})
                    equal((made.status, made.copies), (201, 3), f"status and copies ({made.text[:200]})")
        together(*(lambda n=n: write((busan, jeju)[n % 2], (Http, Tcp)[n // 2 % 2], n) for n in range(8)))
        for server, was in zip(cluster.servers, before):
            grown = server.memory_mb() - was
            check(grown < 160, f"{server.name} has grown by {grown} MB")
        cluster.wait_equal()
        with Http(jeju) as http:
            records = http.ask("GET", "/large").json()
        equal(len({r["mark"] for r in records}), 48, "different marks")


@suite.alone
def a_backup_far_behind_catches_up_in_bounded_memory_while_writes_go_on():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        busan.stop()
        put = [as_bytes(head_of("POST", "/big")) + as_bytes({"a": "x" * 500_000})] * 20
        for _ in range(5):
            for raw in pipelined(seoul, put):
                equal(json_answer(raw).status, 201, "status of a POST")
        before, ended, most = seoul.memory_mb(), threading.Event(), [0.0]

        def watch():
            while not ended.is_set():
                most[0] = max(most[0], seoul.memory_mb())
                ended.wait(0.02)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        busan.start()
        slowest = 0.0
        with Http(jeju) as http:
            while sorted(seoul.status()["in_sync"]) != ["busan", "jeju", "seoul"]:
                started = time.monotonic()
                equal(http.ask("POST", "/small", "{}").status, 201, "status of a write meanwhile")
                slowest = max(slowest, time.monotonic() - started)
        ended.set()
        watcher.join(5)
        check(most[0] - before < 64, f"the primary grew from {before} to {most[0]} MB")
        check(slowest < (4 if sanitized() else 2), f"a write meanwhile took {slowest} s")
        cluster.wait_in_sync()
        cluster.wait_equal()
        equal(len(busan.ask("GET", "/big").json()), 100, "records at busan")


if __name__ == "__main__":
    suite.main()
