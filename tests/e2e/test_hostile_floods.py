"""Floods of connections, requests and datagrams cost bounded memory and time, and all others are served meanwhile."""

import json
import os
import re
import resource
import select
import signal
import socket
import threading
import time

from bystander import Bystander, Memory, connections, cpu_s
from cluster import Cluster
from harness import (Failed, Http, Late, Server, Suite, Tcp, Udp, Wire, ask, check, collection, equal, json_answer,
                     new_key, request, serves, together, wait_until)

suite = Suite("--threads", "2")
RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: on, no time


def until(seconds, function):
    """Calls it again and again; how often it did."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        function(count)
        count += 1
    return count


def late_answer(http, wait_ms):
    """Asks for what does not come, and is told so after that time: the server's own clock has gone on by it."""
    equal(http.ask("GET", "/notes/1", min_seq=1 << 40, wait_ms=wait_ms).status, 503, "status")


# --- connections ---

@suite.test
def connections_that_come_and_go_cost_nothing_that_stays(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")

    def once(number):
        with Wire(server) as wire:
            if number % 3 == 0:
                wire.send(request("GET", path + "/1", None, [("Connection", "close")]))
                check(wire.rest().startswith(b"HTTP/1.1 200 "), "not answered")
            elif number % 3 == 1:
                wire.send(request("GET", path + "/1")[:number % 40])
            if number % 2:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    before = connections(server)
    with Memory(server, 8), Bystander(server):
        counts = together(*[lambda: until(1, once)] * 2)
        check(sum(counts) > 100, f"{sum(counts)} connections in a second")
    wait_until(lambda: connections(server) <= before, "all are closed")


@suite.own("--threads", "2", "--connections-max", "60")
def each_place_there_is_for_a_connection_can_be_had(server):
    clients = [Http(server) for _ in range(60)]
    for http in clients:
        equal(http.ask("GET", "/_health").status, 200, "status")
    more = [Http(server) for _ in range(10)]
    for http in more:
        http.send(request("GET", "/_health"))
    late_answer(clients[0], 200)  # ticks have passed, at which they might have been let in
    check(sum(answered(http) for http in more) <= 1, "there are 60 places")  # the two threads do not wait for each other
    for http in clients[:10]:
        http.close()
    wait_until(lambda: all(answered(http) for http in more), "the others get the places of those who go")


@suite.test
def without_descriptors_accepting_pauses_and_does_not_spin(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")
    held = [Http(server) for _ in range(4)]
    for http in held:
        equal(http.ask("GET", path + "/1").status, 200, "status")
    pid, old = server.process.pid, resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, old[1]))
    try:
        with Memory(server, 4):
            fillers = [Http(server) for _ in range(50)]  # those between take what is left below the highest
            for http in fillers:
                http.send(request("GET", path + "/1"))
            wait_until(lambda: serves_all(held, path), "established ones are served")
            before, started = cpu_s(server), time.monotonic()
            late_answer(held[0], 1000)
            used = (cpu_s(server) - before) / (time.monotonic() - started)
            check(used < 0.25, f"{used:.2f} of a processor used while there is nothing to do")
            check(serves_all(held, path), "established ones are served")
            held.pop().close()
            wait_until(lambda: sum(answered(http) for http in fillers) > 0, "one of the waiting gets the place", 5)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    wait_until(lambda: sum(answered(http) for http in fillers) == len(fillers), "all are accepted")
    serves(server)


@suite.alone
def with_few_descriptors_all_connections_taken_leave_enough_for_the_log():
    for most, threads in ((10, 1), (30, 1), (40, 1), (60, 1), (60, 8), (320, 64)):
        server = Server("--threads", str(threads), "--record-bytes-max", "1MiB", start=False)
        server.command = ["sh", "-c", f'ulimit -n {most}; exec "$0" "$@"', *server.command]
        try:
            server.start()
        except Failed:
            equal(server.process.wait(), 1, f"exit code with {most} descriptors for {threads} threads")
            check(f"allows {most} open files" in server.err(), f"it says why: {server.err()!r}")
            continue
        with server:
            allowed = int(re.search(r"at most (\d+) connections", server.err())[1])
            clients = []
            for _ in range(allowed):
                clients.append(Http(server))
                equal(clients[-1].ask("GET", "/_health").status, 200, f"status of {allowed} connections")
            late = Http(server)
            late.send(request("GET", "/_health"))
            for _ in range(70):  # more than two segments
                equal(clients[0].ask("POST", "/notes", '{"a":"%s"}' % ("x" * 1000000)).status, 201, "status of a POST")
            clients[-1].close()
            wait_until(lambda: answered(late), "the next one gets the place of one who goes")
        del clients


@suite.own("--threads", "1")
def a_log_that_finds_no_descriptor_is_prepared_once_there_is_one(server):
    def write(http):
        return http.ask("POST", "/notes", '{"a":"%s"}' % ("x" * 1000000)).status
    pid, old = server.process.pid, resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    http = Http(server)
    equal(write(http), 201, "status")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, old[1]))
    try:
        wait_until(lambda: write(http) != 201 or "no memory or file descriptor is left" in server.err(), "it says so")
        equal(http.ask("GET", "/notes/1").status, 200, "status of a read")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    for _ in range(70):
        equal(write(http), 201, "status")
    check(server.err().count("descriptor is left") == 1, f"it says so once: {server.err()!r}")


def serves_all(clients, path):
    return [http.ask("GET", path + "/1").status for http in clients] == [200] * len(clients)


def answered(http):
    """Whether this one's answer has come, now or before."""
    http.socket.settimeout(0.001)
    try:
        return bool(http.kept) or http.more()
    except Late:
        return False


# --- requests ---

@suite.test
def floods_of_lists_are_answered_in_bounded_memory(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        for _ in range(20):
            tcp.ask("POST", path, {"t": "x" * 40000})
    expected = ask(server, "GET", path).text

    def flood():
        with Tcp(server) as tcp:
            for _ in range(4):
                tcp.send(f'{{"method":"GET","pattern":"{path}"}}'.encode() * 10)
                for _ in range(10):
                    equal(tcp.answer().text, expected, "list")
    with Memory(server, 64), Bystander(server):
        together(*[flood] * 6)


@suite.own("--threads", "1")
def a_short_answer_does_not_wait_behind_many_long_ones(server):
    path = "/" + collection()
    with Tcp(server) as tcp:
        for _ in range(10):
            tcp.ask("POST", path, {"t": "x" * 100000})
    greedy, short = [Http(server, receive_bytes=4096) for _ in range(40)], Http(server)
    for http in (*greedy, short):
        equal(http.ask("GET", "/_health").status, 200, "status")
    server.process.send_signal(signal.SIGSTOP)  # so that it finds all requests at once
    for http in greedy:
        http.send(request("GET", path))
    short.send(request("GET", path + "/1", None, [("If-None-Match", "*")]))
    server.process.send_signal(signal.SIGCONT)
    equal(short.answer("HEAD").status, 304, "status")
    begun = len(select.select([http.socket for http in greedy], [], [], 0)[0])
    check(begun < 20, f"{begun} of 40 long answers were begun before the short one")
    for http in greedy:
        equal(http.answer().status, 200, "status of a list")


@suite.test
def a_payload_in_many_pieces_behind_a_long_head_costs_little(server):
    blank = b" " * (1 << 20)
    with Memory(server, 16), Tcp(server) as tcp:
        tcp.send(b'{"method":"POST",' + blank + b'"pattern":"/notes"}')
        before = cpu_s(server)
        for byte in b'{"a":' + b" " * 1000 + b"1}":
            tcp.send(bytes([byte]))
            time.sleep(0.001)
        answer = tcp.answer()
        used = cpu_s(server) - before
    equal(answer.code, "head_too_large", "code")
    check(used < 0.3, f"{used:.2f} s of processor time for 1000 bytes")


@suite.test
def a_thousand_readers_that_wait_for_positions_get_each_its_own(server):
    path, count = "/" + collection(), 1000
    start = ask(server, "POST", path, "{}").seq
    waiting = [Tcp(server) for _ in range(count)]
    with Memory(server, 16), Tcp(server) as writer:
        for place, tcp in enumerate(waiting):
            tcp.send(f'{{"method":"GET","pattern":"{path}/1","min_seq":{start + 1 + place},"wait_ms":20000}}'.encode())
        for place in range(0, count, 50):
            check(not answered(waiting[place + 49]), "a reader is answered before its position is there")
            writer.send(f'{{"method":"PATCH","pattern":"{path}/1"}}{{"n":{place}}}'.encode() * 50)
            for _ in range(50):
                equal(writer.answer().status, 200, "status of a write")
            for tcp in waiting[place:place + 50]:
                equal(tcp.answer().status, 200, "status of a read")
    for tcp in waiting:
        tcp.close()


# --- datagrams ---

def udp_socket(server):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((server.address, server.port))
    return sock


@suite.test
def a_flood_of_datagrams_holds_up_nobody_and_takes_no_memory(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")
    over = threading.Event()
    datagrams = [f'{{"method":"GET","pattern":"{path}/1"}}'.encode(), b"\0" * 60000, b'{"method":"GET"',
                 f'{{"method":"GET","pattern":"{path}","min_seq":99999999,"wait_ms":60000}}'.encode(),
                 f'{{"method":"POST","pattern":"{path}","key":"{new_key()}"}}{{}}'.encode()]

    def flood():
        with udp_socket(server) as sock:
            sock.setblocking(False)
            while not over.is_set():
                for datagram in datagrams:
                    try:
                        sock.send(datagram)
                    except OSError:  # its own buffer is full
                        pass
    with Memory(server, 16):
        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        try:
            with Bystander(server) as other:
                wait_until(lambda: len(other.times) >= 50 or other.errors, "others are served")
        finally:
            over.set()
            thread.join()
    equal(len(ask(server, "GET", path).json()), 2, "records: one was there, and one key makes one")


@suite.test
def a_write_repeated_from_many_ports_happens_once_and_each_port_gets_the_answer(server):
    path, key = "/" + collection(), new_key()
    datagram = f'{{"method":"POST","pattern":"{path}","key":"{key}","rid":"r1"}}{{"a":1}}'.encode()
    sockets = [udp_socket(server) for _ in range(100)]
    for sock in sockets:
        sock.settimeout(0.5)
        sock.send(datagram)
    for sock in sockets:
        with sock:
            for _ in range(20):
                try:
                    answer = json_answer(sock.recv(65536))
                    break
                except TimeoutError:  # lost, or refused by a full socket
                    sock.send(datagram)
            equal((answer.status, answer.text, answer.rid), (201, '{"id":1,"a":1}', "r1"), "answer")
    equal(ask(server, "GET", path).text, '[{"id":1,"a":1}]', "records")


@suite.test
def no_datagram_gets_more_than_one_small_answer(server):
    path = "/" + collection()
    for size in (1, 1000, 5000, 900000):
        ask(server, "POST", path, {"t": "x" * size})
    for target in (path, path + "/1", path + "/2", path + "/3", path + "/4", "/_messages", "/_status", "/nowhere", "/_backup",
                   "/_changes"):
        with udp_socket(server) as sock:
            sock.settimeout(5)
            sock.send(json.dumps({"method": "GET", "pattern": target}).encode())
            answer = sock.recv(65536)
            check(len(answer) <= 1200, f"{len(answer)} bytes for a GET of {target}")
            sock.settimeout(0.02)
            try:
                raise AssertionError(f"a second answer for a GET of {target}: {sock.recv(65536)[:80]!r}")
            except TimeoutError:
                pass
    with udp_socket(server) as sock:  # what is no request gets none, and whoever did not send it least of all
        sock.settimeout(0.2)
        for rubbish in (b"", b"x", b"GET / HTTP/1.1\r\n\r\n", b'{"method":"GET","pattern":"/notes"', b"[]"):
            sock.send(rubbish)
        try:
            raise AssertionError(f"an answer to rubbish: {sock.recv(65536)[:80]!r}")
        except TimeoutError:
            pass
    equal(Udp(server).ask("GET", path + "/1").status, 200, "status of a good one")


# --- through a backup ---

@suite.alone
def what_a_backup_forwards_is_bounded_while_the_primary_stands_still():
    with Cluster(1, "--backup-timeout-ms", "30000") as cluster:
        seoul, busan = cluster.servers
        busan.ask("POST", "/notes", "{}")
        seoul.pause()
        body = b'{"t":"' + b"x" * 100000 + b'"}'
        write = request("POST", "/flood", body)
        clients = []
        with Memory(busan, 160):
            for _ in range(120):  # 240 MB of writes, of which each front end takes a part
                clients.append(Http(busan, seconds=30))
                clients[-1].socket.settimeout(0.02)
                try:
                    for _ in range(20):
                        clients[-1].send(write)
                except OSError:
                    pass
            for _ in range(20):
                with Http(busan, seconds=5) as reader:
                    equal(reader.ask("GET", "/notes/1").status, 200, "status of a read meanwhile")
            with Http(busan, seconds=5) as another:
                equal(another.ask("POST", "/notes", "{}").code, "busy", "code of one write more")
        seoul.go_on()
        statuses = set()
        for client in clients:
            client.socket.settimeout(30)
            statuses.add(client.answer().status)
            client.close()
        check(statuses <= {201, 503}, f"statuses {statuses}")
        wait_until(lambda: busan.ask("POST", "/notes", "{}").status == 201, "writes are taken again")
        cluster.wait_equal()


if __name__ == "__main__":
    suite.main()
