"""Servers that do not belong to the cluster, and bytes that no server sent: refused with a sentence, harming nobody."""

import os
import random
import shutil
import socket
import struct
import threading
import time

from cluster import Cluster, Load, Member, Relay, Stranger, is_refused, unharmed, verify
from harness import (Http, Suite, Tcp, check, equal, folder, run, sanitized, serves, together)

MAGIC = b"\xd5"
SEED = int(os.environ.get("E2E_SEED", time.time_ns() % 1000000))
# What a write may take beside an attack; sanitizers make the machine slow.
SOON_S = 3.0 if sanitized() else 1.0
suite = Suite()


# --- servers in the wrong place ---

@suite.alone
def a_data_directory_of_another_cluster_is_refused():
    with Cluster(1) as cluster, Cluster(1) as other:
        cluster.primary.ask("POST", "/notes", '{"of":"one"}')
        other.primary.ask("POST", "/notes", '{"of":"other"}')
        other.wait_equal()
        other.stop()
        for server, name in ((other.backups[0], "busan"), (other.backups[0], "jeju"), (other.primary, "daegu")):
            copy = folder()
            shutil.copytree(server.data, copy)
            with Stranger(name, data=copy, primary=cluster.primary.host) as stranger:
                is_refused(stranger, "cluster", empty=False)
            unharmed(cluster)
        equal(cluster.primary.ask("GET", "/notes").text, '[{"id":1,"of":"one"}]', "the records of the first cluster")
        for server in other.servers:  # nothing was done to the other
            server.start()
        other.wait_in_sync()
        equal(other.backups[0].ask("GET", "/notes").text, '[{"id":1,"of":"other"}]', "the records of the other")


@suite.alone
def the_second_server_of_a_name_is_refused_while_the_first_lives():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        made = seoul.ask("POST", "/notes", '{"a":1}')
        with Stranger("busan", primary=seoul.host) as second:
            is_refused(second, "busan")
            unharmed(cluster)
            equal(busan.ask("GET", "/notes/1").text, made.text, "the first goes on")
        with Stranger("seoul", primary=seoul.host) as second:
            is_refused(second, "seoul")
            unharmed(cluster)
        busan.kill()
        third = Member("busan", *cluster.args, primary=seoul.host)  # an empty one takes the place of the dead
        cluster.backups[0] = third
        cluster.wait_in_sync()
        equal(third.ask("GET", "/notes/1").text, made.text, "the record at the new one")
        unharmed(cluster)


@suite.alone
def a_server_cannot_be_its_own_primary():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        with Stranger("seoul", primary=f"{host}:{port}", port=port) as server:
            is_refused(server, "itself|own|seoul", exit_codes=(1, 2))


@suite.alone
def a_backup_is_no_primary():
    with Cluster(1) as cluster:
        cluster.primary.ask("POST", "/notes", "{}")
        with Stranger("jeju", primary=cluster.backups[0].host) as stranger:
            is_refused(stranger, "primary")
        unharmed(cluster)


@suite.alone
def a_backups_data_directory_is_not_started_as_a_primary():
    with Cluster(1) as cluster:
        cluster.primary.ask("POST", "/notes", "{}")
        busan = cluster.backups[0]
        busan.stop()
        code, out, err = run("serve", "--app-name", "busan", "--local-port", "0", "--data", busan.data)
        equal((code, out), (1, ""), f"exit code and stdout ({err!r})")
        check("backup" in err and "--primary" in err, f"it says why: {err!r}")
        busan.start()
        unharmed(cluster)


class Impostor:
    """Another program on the address of a primary: it says something and closes, or is silent."""

    def __init__(self, said):
        self.said, self.kept = said, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        try:
            while True:
                self.kept.append(self.listener.accept()[0])
                if self.said is not None:
                    self.kept[-1].sendall(self.said)
                    self.kept.pop().close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for connection in self.kept:
            connection.close()


def tries_on(said):
    with Impostor(said) as impostor, Stranger("busan", primary=impostor.host) as stranger:
        is_refused(stranger, "primary", seconds=12)
        check(stranger.alive(), "it goes on trying")


@suite.alone
def an_address_where_a_program_closes_is_no_primary():
    tries_on(b"")


@suite.alone
def an_address_where_a_web_server_answers_is_no_primary():
    tries_on(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@suite.alone
def an_address_where_rubbish_is_said_is_no_primary():
    tries_on(MAGIC + os.urandom(4000))


@suite.alone
def an_address_where_nothing_is_said_is_no_primary():
    tries_on(None)


# --- rubbish ---

def hello_of_a_server(cluster):
    """The bytes that a real server begins with, and what follows."""
    relay = Relay(cluster.primary)
    try:
        cluster.join("daegu", through=relay)
        cluster.wait_in_sync()
        daegu = cluster.backups.pop()
        daegu.stop()
    finally:
        relay.close()
    cluster.wait_in_sync()
    said = bytes(relay.said[0])
    check(said[:1] == MAGIC, f"peers begin with {said[:16]!r}, expected 0xd5")
    return said


def rubbish(rng, real):
    """One thing that no server says."""
    kind = rng.randrange(8)
    if kind == 0:
        return MAGIC
    if kind == 1:
        return MAGIC + rng.randbytes(rng.choice((1, 7, 30, 500, 5000)))
    if kind == 2:  # cut in the middle
        return real[:rng.randint(1, min(len(real), 400) - 1)]
    if kind == 3:  # a huge number somewhere in the head
        at = rng.randrange(1, 40)
        big = rng.choice((struct.pack("<I", 0xFFFFFFFF), struct.pack("<I", 0x7FFFFFFF), struct.pack(">I", 0x7FFFFFFF),
                          struct.pack("<Q", 1 << 62), struct.pack("<I", 1 << 30)))
        return real[:at] + big + real[at + len(big):]
    if kind == 4:  # one bit
        at = rng.randrange(1, min(len(real), 300))
        return real[:at] + bytes([real[at] ^ 1 << rng.randrange(8)]) + real[at + 1:]
    if kind == 5:  # twice, and the rest
        return real[:200] + real
    if kind == 6:
        return MAGIC * rng.randint(2, 3000)
    start = rng.randrange(1, len(real))
    return MAGIC + real[start:start + 2000]


def attack(rng, server, real, count, hold):
    """Connections that say rubbish, each then closed, half-closed, reset, or held open in silence."""
    held = []
    for _ in range(count):
        try:
            connection = socket.create_connection((server.address, server.port), timeout=5)
            connection.sendall(rubbish(rng, real))
            how = rng.randrange(4)
            if how == 0 and len(held) < hold:
                held.append(connection)
                continue
            if how == 1:
                connection.shutdown(socket.SHUT_WR)
            if how == 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        except OSError:  # it was closed before all was sent, as it may be
            pass
    return held


def the_rubbish_of(count, cluster, real, load):
    rng = random.Random(SEED)
    seeds = [random.Random(rng.random()) for _ in cluster.servers]
    held = together(*(lambda s=s, r=r: attack(r, s, real, count, 200) for s, r in zip(cluster.servers, seeds)))
    load.progress(10)
    return [connection for of_one in held for connection in of_one]


@suite.alone
def rubbish_from_thousands_of_connections_harms_nobody():
    with Cluster(2) as cluster:
        real = hello_of_a_server(cluster)
        load = Load(cluster.servers, protocols=(Http, Tcp))
        load.progress()
        before = {s.name: s.status() for s in cluster.servers}
        held = the_rubbish_of(300, cluster, real, load)
        memory = [s.memory_mb() for s in cluster.servers]
        held += the_rubbish_of(1000, cluster, real, load)
        for server, was in zip(cluster.servers, memory):
            grown = server.memory_mb() - was
            check(grown < (96 if sanitized() else 32), f"{server.name} has grown from {was} by {grown} MB")
        after = {s.name: s.status() for s in cluster.servers}
        for name in after:
            counted = after[name]["peers_refused"] - before[name]["peers_refused"]
            check(counted >= 500, f"{name} has counted {counted} peers refused, of about 1300")
            equal(after[name]["epoch"], before[name]["epoch"], f"epoch of {name}")
        equal(sorted(after["seoul"]["in_sync"]), ["busan", "jeju", "seoul"], f"in_sync (seed {SEED})")
        slowest = max(load.writers, key=lambda w: w.longest_s)
        check(slowest.longest_s < SOON_S, f"a write at {slowest.server.name} took {slowest.longest_s} s (seed {SEED})")
        for connection in held:
            connection.close()
        verify(cluster, load)
        for server in cluster.servers:
            serves(server)


@suite.alone
def what_a_server_said_once_cannot_be_said_again_by_another():
    """A whole session, recorded and sent again while the server lives, and after it has gone."""
    with Cluster(1) as cluster:
        relay = Relay(cluster.primary)
        try:
            jeju = cluster.join("jeju", through=relay)
            cluster.wait_in_sync()
            for n in range(30):
                cluster.primary.ask("POST", "/notes", {"n": n})
            said = bytes(relay.said[0])
            for _ in range(5):
                with socket.create_connection((cluster.primary.address, cluster.primary.port), timeout=5) as replay:
                    replay.sendall(said)
            unharmed(cluster)  # the true one is back
            jeju.kill()
            cluster.wait(lambda: "jeju" not in cluster.primary.status()["in_sync"], "jeju is dropped")
            with socket.create_connection((cluster.primary.address, cluster.primary.port), timeout=5) as replay:
                replay.sendall(said)
                for _ in range(20):
                    made = cluster.primary.ask("POST", "/notes", "{}")
                    equal(made.copies, 2, "copies while one only says that it is there")
                equal(sorted(cluster.primary.status()["in_sync"]), ["busan", "seoul"], "in_sync")
            jeju.start()
            unharmed(cluster)
        finally:
            relay.close()


@suite.alone
def connections_of_silent_peers_are_bounded():
    """Half a hello and silence, from many: clients and true servers still find a place."""
    with Cluster(1) as cluster:
        real = hello_of_a_server(cluster)
        held = []
        for n in range(1500):
            for server in cluster.servers:
                held.append(socket.create_connection((server.address, server.port), timeout=5))
                held[-1].sendall(real[:1 + n % 60])
        for server in cluster.servers:
            serves(server, seconds=SOON_S)
        cluster.join("jeju")
        unharmed(cluster)

        def closed():
            """Those that are silent do not stay for ever."""
            count = 0
            for connection in held:
                connection.setblocking(False)
                try:
                    count += connection.recv(4096) == b""
                except BlockingIOError:
                    continue
                except OSError:
                    count += 1
            return count > len(held) * 9 // 10
        cluster.wait(closed, "silent connections are closed", 30)
        for connection in held:
            connection.close()
        unharmed(cluster)


if __name__ == "__main__":
    print(f"# seed {SEED}")
    suite.main()
