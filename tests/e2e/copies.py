"""Servers whose log is trimmed soon, and a data directory of one: for tests of checkpoints and full copies."""

import itertools
import os
import shutil

from cluster import Cluster
from harness import (Server, as_bytes, check, equal, folder, head_of, json_answer, pipelined, scratch, shortened,
                     wait_until)

FLAGS = ("--checkpoint-bytes", "1MiB", "--log-bytes", "1MiB")
NO_CHECKPOINTS = ("--log-bytes", "1MiB")  # but those that are asked for by something else than writes
RECORD_BYTES, BASE_RECORDS = 100_000, 60
SEGMENT_MB = 32  # at most
numbers = itertools.count(1)


def text_of(number, size=RECORD_BYTES):
    return f'{{"n":{number},"text":"{"x" * size}"}}'


def ask_all(server, method, paths, size=RECORD_BYTES):
    """One write for each path, on one connection."""
    for raw in pipelined(server, [as_bytes(head_of(method, path)) + as_bytes(text_of(next(numbers), size))
                                  for path in paths]):
        answer = json_answer(raw)
        check(answer.status in (200, 201), f"{method} was answered {shortened(answer.text)}")


def fill_base(server):
    ask_all(server, "POST", ["/base"] * BASE_RECORDS)
    ask_all(server, "POST", ["/big"] * 4)


def grow(server, mb):
    """The log grows, and local storage does not."""
    ask_all(server, "PUT", [f"/big/{n % 4 + 1}" for n in range(mb * 10)])


def segments(server):
    return sorted(name for name in os.listdir(os.path.join(server.data, "log")) if name.endswith(".log"))


def log_mb(server):
    sizes = []
    for name in segments(server):
        try:
            sizes.append(os.path.getsize(os.path.join(server.data, "log", name)))
        except FileNotFoundError:
            pass
    return sum(sizes) / 2**20


def has(server, name):
    return os.path.exists(os.path.join(server.data, name))


def trim(server, seconds=30):
    """Writes until there is a checkpoint, and the log has lost the segment that was its first."""
    first = segments(server)[0]

    def gone():
        grow(server, 4)
        return has(server, "checkpoint.mdb") and segments(server)[0] > first
    wait_until(gone, f"a checkpoint of {server.name}, and that its log no longer begins with {first}", seconds)


def trimmed_data(make=[]):
    """A stopped primary's data directory, whose log does not begin at the beginning: a copy of it."""
    if not make:
        make.append(os.path.join(scratch, "trimmed"))
        server = Server(*FLAGS, data=make[0])
        fill_base(server)
        trim(server)
        server.stop()
    copy = folder()
    shutil.copytree(make[0], copy)
    return copy


class Trimmed(Cluster):
    """A cluster of a primary whose log is trimmed, so that whoever joins gets a full copy."""

    def __init__(self, *primary, flags=FLAGS):
        super().__init__(0, *flags, primary=primary, start=False)
        shutil.copytree(trimmed_data(), self.primary.data)
        try:
            self.primary.start()
            self.known = self.primary.ask("GET", "/base/1").text
        except BaseException:
            self.__exit__(Exception, None, None)
            raise

    def whole(self, *servers):
        """In sync, equal, and with every record of before."""
        servers = servers or self.servers
        self.wait_in_sync(*servers, seconds=40)
        self.wait_equal(*servers)
        for server in servers:
            equal(server.ask("GET", "/base/1").text, self.known, f"/base/1 at {server.name}")
            equal(server.ask("POST", "/whole", "{}").copies, len(servers), f"copies of a write through {server.name}")


def copied(server):
    """How much of a copy is there, and of how much, as the server says; (0, 0): none comes."""
    copy = server.status().get("copy", {"here": 0, "bytes": 0})
    return copy["here"], copy["bytes"]


def in_the_middle(cluster, server, share=0.25):
    """Waits until so much of the copy has come."""
    def some():
        here, size = copied(server)
        return size and here >= size * share and (here, size)
    here, size = cluster.wait(some, f"a part of a copy at {server.name}")
    check(here < size, f"all of the copy was there at once: {here} of {size}")
    return here, size
