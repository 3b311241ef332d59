"""Links that change, lose, repeat or mix up what is sent: whatever arrives, no server ends, and all end up equal."""

import os
import random
import threading
import time

from cluster import Cluster, Load, Member, Relay, verify
from harness import Failed, Suite, Tcp, as_bytes, check, equal, head_of, json_answer, pipelined

SEED = int(os.environ.get("E2E_SEED", time.time_ns() % 1000000))
SECONDS = float(os.environ.get("E2E_SECONDS", 4))
suite = Suite()


class Mangler:
    """Changes one piece in so many."""

    def __init__(self, seed, every, kinds):
        self.rng, self.every, self.kinds = random.Random(seed), every, kinds
        self.on, self.count, self.kept = False, 0, b""

    def __call__(self, piece):
        if not self.on or self.rng.randrange(self.every):
            return piece
        self.count += 1
        return getattr(self, self.rng.choice(self.kinds))(piece)

    def flip(self, piece):
        at = self.rng.randrange(len(piece))
        return piece[:at] + bytes([piece[at] ^ 1 << self.rng.randrange(8)]) + piece[at + 1:]

    def overwrite(self, piece):
        at = self.rng.randrange(len(piece))
        junk = self.rng.choice((b"\xff", b"\0", self.rng.randbytes(1))) * self.rng.randrange(1, 9)
        return (piece[:at] + junk + piece[at + len(junk):])[:len(piece)]

    def cut_short(self, piece):
        return piece[:self.rng.randrange(len(piece))]

    def lose(self, piece):
        return b""

    def say_twice(self, piece):
        return piece + piece

    def insert(self, piece):
        return piece + self.rng.randbytes(self.rng.randrange(1, 200))

    def keep_for_later(self, piece):
        late, self.kept = self.kept, piece
        return late

    def add_something_old(self, piece):
        late, self.kept = self.kept, piece
        return piece + late


def under(kinds, every, what, content):
    """Load through servers behind such links; all is well when the links are well."""
    mangler = Mangler(SEED, every, kinds)
    with Cluster(0, primary=("--backup-timeout-ms", "700")) as cluster:
        relays = []
        try:
            for name in ("busan", "jeju"):
                relays.append(Relay(cluster.primary, mangler))
                cluster.join(name, through=relays[-1])
            cluster.wait_in_sync()
            load = Load(cluster.servers, each=2)
            load.progress(5)
            mangler.on = True
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                check(cluster.alive(), f"a server has ended: {cluster.err()}")
                threading.Event().wait(0.05)
            mangler.on = False
            check(mangler.count > 3, f"only {mangler.count} pieces were changed")
            cluster.primary.stop()  # a new life of the primary forgets how often it dropped them
            cluster.primary.start()
            for relay in relays:
                relay.cut()
            cluster.wait_in_sync(seconds=30)
            load.progress(5)
            if content:
                verify(cluster, load)
            else:
                load.end()
                cluster.wait_equal()
                equal(len({s.texts("/notes") for s in cluster.servers}), 1, "different lists")
            if os.environ.get("E2E_TIMES"):
                print(f"# {what}: {mangler.count} pieces changed", flush=True)
        except Failed as reason:
            raise Failed(f"seed {SEED}, {what}: {reason}") from None
        finally:
            for relay in relays:
                relay.close()


@suite.alone
def bits_that_are_changed_on_the_way_are_noticed():
    under(("flip", "overwrite"), 40, "changed bits", True)


@suite.alone
def a_stream_that_ends_in_the_middle_of_a_message_is_no_message():
    under(("cut_short", "insert"), 40, "cut and mixed with rubbish", True)


@suite.alone
def messages_lost_or_said_twice_end_no_server():
    """TCP does not do this: what is asked for is that nothing breaks, and that all servers are equal afterwards."""
    under(("lose", "say_twice", "keep_for_later", "add_something_old"), 30, "lost and repeated", False)


@suite.alone
def a_catch_up_over_a_link_that_changes_bits_ends_well():
    mangler = Mangler(SEED, 6, ("flip", "cut_short"))
    with Cluster(0) as cluster:
        put = [as_bytes(head_of("POST", "/big")) + as_bytes({"a": "x" * 20_000})] * 250
        for _ in range(2):
            for raw in pipelined(cluster.primary, put):
                equal(json_answer(raw).status, 201, "status of a POST")
        relay = Relay(cluster.primary, mangler)
        try:
            mangler.on = True
            busan = Member("busan", *cluster.args, primary=relay.host, start=False)
            cluster.backups.append(busan)
            busan.begin()
            end = time.monotonic() + SECONDS / 2
            while time.monotonic() < end:
                check(cluster.alive(), f"a server has ended: {cluster.err()}")
                with Tcp(busan) as tcp:
                    read = tcp.ask("GET", "/big/500")
                check(read.code == "not_ready" or read.json().get("id") == 500, f"a read got {read.text}")
            mangler.on = False
            cluster.wait_in_sync(seconds=40)
            cluster.wait_equal()
        finally:
            relay.close()


if __name__ == "__main__":
    print(f"# seed {SEED}")
    suite.main()
