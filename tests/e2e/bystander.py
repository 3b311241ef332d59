"""A client among hostile ones, and what they cost the server: its memory, its time, its connections."""

import os
import re
import statistics
import threading
import time

from harness import Http, Tcp, check, collection, equal, sanitized

MIB = 1 << 20


class Bystander:
    """Writes and reads all the time meanwhile; each must be answered, and promptly."""

    def __init__(self, server):
        self.server, self.median_ms, self.longest_ms = server, 600 if sanitized() else 150, 5000
        self.times, self.errors, self.over = [], [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            with Http(self.server, seconds=self.longest_ms / 1000) as http:
                path = http.ask("POST", "/bystanders", "{}").header("Location")
                number = 0
                while not self.over.is_set():
                    number += 1
                    started = time.monotonic()
                    put = http.ask("PUT", path, {"n": number})
                    got = http.ask("GET", path)
                    self.times.append((time.monotonic() - started) * 1000)
                    check((put.status, got.status, got.text) == (200, 200, put.text),
                          f"a write and a read got {put.status} {put.text}, {got.status} {got.text}")
                    time.sleep(0.005)
        except Exception as error:  # handed to the test
            self.errors.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.over.set()
        self.thread.join(20)
        if kind is not None:
            return
        check(not self.errors, f"somebody else was not served: {self.errors}")
        check(len(self.times) >= 3, f"somebody else was served {len(self.times)} times only")
        median, longest = statistics.median(self.times), max(self.times)
        check(median < self.median_ms and longest < self.longest_ms,
              f"others waited {median:.1f} ms in the median of {len(self.times)}, {longest:.1f} ms at the longest")


class Memory:
    """What the server's own memory may grow by while something goes on; more under a sanitizer, whose blocks are
    larger and are kept for a while."""

    def __init__(self, server, limit_mb):
        self.server, self.limit_mb = server, limit_mb * 1.6 + 24 if sanitized() else limit_mb
        self.before, self.highest, self.over = server.memory_mb(), 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def grown(self):
        self.highest = max(self.highest, self.server.memory_mb() - self.before)
        return self.highest

    def run(self):
        while not self.over.wait(0.02):
            self.grown()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.over.set()
        self.thread.join(20)
        if kind is None:
            check(self.grown() <= self.limit_mb, f"{self.highest:.1f} MB more memory, at most {self.limit_mb} expected")


def cpu_s(server):
    """Processor time that the server has used."""
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connections(server):
    """Sockets that the server has open, those that listen among them."""
    folder, count = f"/proc/{server.process.pid}/fd", 0
    for name in os.listdir(folder):
        try:
            count += re.match("socket:", os.readlink(f"{folder}/{name}")) is not None
        except FileNotFoundError:  # closed meanwhile
            pass
    return count


def list_of(server, mib):
    """A collection whose list has about so many MiB."""
    path = "/" + collection()
    with Tcp(server) as tcp:
        for _ in range(2 * mib):
            equal(tcp.ask("POST", path, {"t": "x" * (MIB // 2)}).status, 201, "status of a record")
    return path
