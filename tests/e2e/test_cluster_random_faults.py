"""Servers killed, stopped and paused, links cut and held, all at random under load, while others read everything."""

import os
import random
import threading
import time

from cluster import Cluster, Load, Relay, verify
from harness import Failed, Gone, Http, Late, Suite, Tcp, Udp, as_bytes, check, equal

SEED = int(os.environ.get("E2E_SEED", time.time_ns() % 1000000))
SECONDS = float(os.environ.get("E2E_SECONDS", 8))  # of faults in each test
suite = Suite()


class Reader(threading.Thread):
    """Reads records of all writers at one server, over all protocols, and keeps what it saw."""

    def __init__(self, server, load, seed):
        super().__init__(daemon=True)
        self.server, self.load, self.rng = server, load, random.Random(seed)
        self.saw, self.ended, self.failure = [], threading.Event(), None

    def run(self):
        try:
            while not self.ended.is_set():
                try:
                    with self.rng.choice((Http, Tcp, Udp))(self.server, seconds=3) as client:
                        for _ in range(self.rng.randrange(1, 200)):
                            if self.ended.is_set():
                                return
                            self.one(client)
                except (OSError, Gone, Late):
                    self.ended.wait(0.02)
        except Exception as error:  # raised again by who ends this thread
            self.failure = error

    def one(self, client):
        done = [w for w in self.rng.choice(self.load.writers).writes[-20:] if w.answer is not None]
        self.ended.wait(0.001)
        if not done:
            return
        id = self.rng.choice(done).answer.json()["id"]
        answer = client.ask("GET", f"/notes/{id}")
        if answer.status == 503:
            check(answer.code == "not_ready", f"a read at {self.server.name} was answered {answer.text}")
            return
        seq = answer.seq if answer.seq is not None else answer.json()["seq"]
        check(answer.status in (200, 404), f"a read at {self.server.name} was answered {answer.text}")
        self.saw.append((id, seq, answer.etag, answer.text if answer.status == 200 else None))

    def end(self):
        self.ended.set()
        self.join(20)
        if self.failure:
            raise self.failure

    def judge(self, expected):
        """Positions never go back; what was read is what was written, and was never taken back."""
        at, name = 0, self.server.name
        for id, seq, etag, text in self.saw:
            check(seq >= at, f"reads at {name} were at seq {at}, then at {seq}")
            at = seq
            if text is None:
                kept = id in expected.records and expected.ids[id].answer.etag <= seq
                check(not kept, f"record {id} was absent at {name} at seq {seq}, after it was made")
            else:
                check(etag in expected.seqs, f"record {id} was read at {name} with seq {etag}, which no write has: {text}")
                equal(text, expected.seqs[etag].answer.text, f"record {id} of seq {etag} at {name}")


class Faults:
    """One after another, each healed before the next, or not yet."""

    def __init__(self, rng, cluster, relays):
        self.rng, self.cluster, self.relays, self.done = rng, cluster, relays, []

    def wait_s(self, most):
        threading.Event().wait(self.rng.random() * most)  # faults come at random times: there is nothing to wait for

    def kill(self, server):
        server.kill()
        self.wait_s(0.5)
        server.start()

    def stop(self, server):
        server.stop()
        self.wait_s(0.3)
        server.start()

    def pause(self, server):
        server.pause()
        self.wait_s(1.5)
        server.go_on()

    def kill_all(self, _):
        self.cluster.kill()
        for server in self.rng.sample(self.cluster.servers, len(self.cluster.servers)):
            server.begin()

    def kill_while_starting(self, server):
        server.kill()
        server.begin()
        self.wait_s(0.1)
        server.kill()
        server.start()

    def cut(self, _):
        self.rng.choice(self.relays).cut()

    def hold(self, _):
        relay = self.rng.choice(self.relays)
        relay.hold()
        self.wait_s(1.5)
        relay.let_go()

    def cut_while_held(self, _):
        relay = self.rng.choice(self.relays)
        relay.hold()
        self.wait_s(0.3)
        relay.cut()
        relay.let_go()

    def any_two(self, _):
        """A backup goes while another is paused."""
        first, second = self.rng.sample(self.cluster.servers, 2)
        first.pause()
        second.kill()
        self.wait_s(0.5)
        first.go_on()
        second.start()

    def one(self):
        kind = self.rng.choice((self.kill, self.kill, self.stop, self.pause, self.pause, self.kill_all, self.cut, self.hold,
                                self.kill_while_starting, self.cut_while_held, self.any_two))
        server = self.rng.choice(self.cluster.servers)
        self.done.append(f"{kind.__name__} {server.name}")
        kind(server)


def bulk(server, ended):
    """Overwrites one large record, so that the log grows and local storage does not."""
    body = as_bytes({"a": "x" * 400_000})
    while not ended.is_set():
        try:
            with Http(server, seconds=3) as http:
                if http.ask("GET", "/bulk/1").status != 200:
                    http.ask("POST", "/bulk", "{}")
                while not ended.is_set() and http.ask("PUT", "/bulk/1", body).status == 200:
                    pass
        except (OSError, Gone, Late):
            pass
        ended.wait(0.05)


def under_faults(rng, *flags, large=False):
    with Cluster(0, *flags, primary=("--backup-timeout-ms", "700")) as cluster:
        relays = []
        try:
            for name in ("busan", "jeju"):
                relays.append(Relay(cluster.primary))
                cluster.join(name, through=relays[-1])
            cluster.wait_in_sync()
            load, ended = Load(cluster.servers), threading.Event()
            bulky = [threading.Thread(target=bulk, args=(s, ended), daemon=True) for s in cluster.servers if large]
            for thread in bulky:
                thread.start()
            readers = [Reader(server, load, rng.random()) for server in cluster.servers]
            for reader in readers:
                reader.start()
            faults, end = Faults(rng, cluster, relays), time.monotonic() + SECONDS
            while time.monotonic() < end:
                faults.one()
                faults.wait_s(0.6)
            ended.set()
            for thread in bulky:
                thread.join(20)
            # Readmission is put off longer after each drop; a new life of the primary forgets that.
            cluster.primary.stop()
            cluster.primary.start()
            cluster.wait_in_sync()
            load.progress(5)
            for reader in readers:
                reader.end()
            expected = verify(cluster, load)
            for reader in readers:
                check(len(reader.saw) > 20, f"{len(reader.saw)} reads at {reader.server.name}")
                reader.judge(expected)
            if os.environ.get("E2E_TIMES"):
                print(f"# {len(expected.firsts)} writes, {sum(len(r.saw) for r in readers)} reads; "
                      f"{', '.join(faults.done)}", flush=True)
        except Failed as reason:
            raise Failed(f"seed {SEED}: {reason}; after {', '.join(faults.done)}") from None
        finally:
            for relay in relays:
                relay.close()


@suite.alone
def under_random_faults_nothing_acknowledged_is_lost_and_nothing_read_is_taken_back():
    under_faults(random.Random(SEED))


@suite.alone
def with_min_copies_faults_lose_nothing_either():
    under_faults(random.Random(SEED + 1), "--min-copies", "2")


@suite.alone
def where_the_log_is_short_and_copies_are_needed_they_lose_nothing_either():
    under_faults(random.Random(SEED + 2), "--log-bytes", "1MiB", "--checkpoint-bytes", "1MiB", large=True)


if __name__ == "__main__":
    print(f"# seed {SEED}")
    suite.main()
