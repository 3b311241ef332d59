#!/usr/bin/env python3
"""Measures what a server meets in months: a full copy, a crash of the machine, a checkpoint, idle connections.

    ./run build && python3 bench/lasting.py [--records N] [copy] [boot] [checkpoint] [idle]

The clients share the processors with the servers, so figures are of both; the machine should have nothing else to do.
Prints one line a figure, and exits 1 where one misses what is asked of it.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import select
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))
from cluster import Member  # noqa: E402
from harness import folder, run, wait_until  # noqa: E402

TEXT = "한글 메모, 그리고 이것저것 적어 둔 것 "  # non-ASCII is everyday data
GAP_S = 0.02  # shorter ones are not noted
failures = []


def figure(name, value, unit, most=None):
    good = most is None or value <= most
    if not good:
        failures.append(name)
    asked = "" if most is None else f"   (asked: at most {most:g}{'' if good else ': MISSED'})"
    print(f"  {name:58} {value:10.3f} {unit}{asked}", flush=True)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# --- clients, each a process of its own ---

def wire(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def post(number):
    return b'{"method":"POST","pattern":"/notes"}' + json.dumps(
        {"title": TEXT, "number": number, "rest": "x" * 64}, ensure_ascii=False).encode() + b"\n"


class Answers:
    """Reads lines of answers, and counts those that do not say 201."""

    def __init__(self, s):
        self.socket, self.held, self.wrong = s, b"", 0

    def take(self):
        """How many came at once; waits for one at least."""
        self.held += self.socket.recv(1 << 20)
        *lines, self.held = self.held.split(b"\n")
        self.wrong += sum(not line.startswith(b'{"status":201') for line in lines)
        return len(lines)


def fill(port, records):
    s = wire(port)
    answers, sent, got = Answers(s), 0, 0
    while got < records:
        while sent < min(records, got + 900):
            count = min(100, records - sent)
            s.sendall(b"".join(post(n) for n in range(sent, sent + count)))
            sent += count
        got += answers.take()
    assert answers.wrong == 0, "a write was refused"


def write_paced(port, rate, stop, told):
    """`rate` writes a second, in bunches that wait for no answer: the longest wait of one, and how many were answered."""
    s = wire(port)
    answers, longest, turn = Answers(s), 0.0, 1 / 200
    size, under_way, sent_at, count = int(rate * turn), 0, [], 0
    bunch = b"".join(post(n) for n in range(size))
    begin = at = time.monotonic()
    while not stop.is_set() or sent_at:
        if not stop.is_set():
            s.sendall(bunch)
            sent_at.append(time.monotonic())
            under_way += size
            at += turn
        while sent_at and select.select([s], [], [], max(0.0, at - time.monotonic()))[0]:
            came = answers.take()
            under_way, count = under_way - came, count + came
            while len(sent_at) * size >= under_way + size:  # the last of the oldest bunch has come
                longest = max(longest, time.monotonic() - sent_at.pop(0))
        time.sleep(max(0.0, at - time.monotonic()))
    told.put((longest, count / (time.monotonic() - begin), answers.wrong))


def write_full(port, window, stop, told):
    """As fast as it goes with `window` writes under way: each moment between two answers that was long."""
    s = wire(port)
    one, answers, under_way, count = post(1), Answers(s), 0, 0
    gaps, last = [], time.monotonic()
    begin = last
    while not stop.is_set():
        s.sendall(one * (window - under_way))
        came = answers.take()
        now = time.monotonic()
        if now - last > GAP_S:
            gaps.append((last - begin, now - last))
        last, under_way, count = now, window - came, count + came
    told.put((gaps, count / (last - begin), answers.wrong))


def read(port, records, stop, told):
    """GET of random records over one HTTP connection, at 1000 a second: how long each took."""
    s = wire(port)
    took, at = [], time.monotonic()
    while not stop.is_set():
        start = time.monotonic()
        s.sendall(b"GET /notes/%d HTTP/1.1\r\nHost: x\r\n\r\n" % random.randint(1, records))
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            answer += s.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        took.append(time.monotonic() - start)
        at = max(at + 0.001, time.monotonic() - 0.05)
        time.sleep(max(0.0, at - time.monotonic()))
    told.put(took)


class Client:
    def __init__(self, function, *args):
        self.stop, self.told = multiprocessing.Event(), multiprocessing.Queue()
        self.process = multiprocessing.Process(target=function, args=(*args, self.stop, self.told), daemon=True)
        self.process.start()

    def end(self):
        self.stop.set()
        result = self.told.get(timeout=30)
        self.process.join()
        return result


def during(seconds, *clients):
    time.sleep(seconds)
    return [c.end() for c in clients]


# --- figures ---

def full_copy(primary, records):
    print(f"full copy of {records} records to an empty server, 5000 writes/s going on", flush=True)
    quiet, = during(4, Client(read, primary.port, records))
    writing, _ = during(4, Client(read, primary.port, records), Client(write_paced, primary.port, 5000))
    writer, start = Client(write_paced, primary.port, 5000), time.monotonic()
    reader = Client(read, primary.port, records)
    backup = Member("busan", primary=primary.host, start=False)
    backup.start(120)
    wait_until(lambda: "busan" in primary.status()["in_sync"], "busan is in sync", 120)
    took = time.monotonic() - start
    reads, (longest, rate, wrong) = reader.end(), writer.end()
    assert "all of the copy is here" in backup.err(), "it got the log, and no copy"
    wait_until(lambda: backup.status()["digest"] == primary.status()["digest"], "the digests are equal", 60)
    figure("from start to in sync", took, "s", 10)
    figure("writes a second meanwhile", rate, "/s")
    figure("writes refused", wrong, "", 0)
    figure("longest wait of a write", longest * 1000, "ms")
    figure("reads' p99 before, no writes", percentile(quiet, 0.99) * 1000, "ms")
    figure("reads' p99 before, with the writes", percentile(writing, 0.99) * 1000, "ms")
    figure("reads' p99 during the copy", percentile(reads, 0.99) * 1000, "ms")
    figure("  against that with no writes", percentile(reads, 0.99) / percentile(quiet, 0.99), "times", 3)
    figure("  against that with the writes", percentile(reads, 0.99) / percentile(writing, 0.99), "times", 3)
    backup.stop()
    run("drop", "busan", "--server", primary.host)


def boot(primary, records, boot_id):
    print(f"start with {records} records after a crash of the machine (another boot id)", flush=True)
    primary.kill()
    with open(boot_id, "w") as f:
        f.write("another boot\n")
    start = time.monotonic()
    primary.start(60)
    figure("from start to ready", time.monotonic() - start, "s", 10)


def checkpoint(primary, window=256):
    print(f"a checkpoint under full write load ({window} writes under way)", flush=True)
    new, path = (os.path.join(primary.data, name) for name in ("checkpoint.new", "checkpoint.mdb"))
    before = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
    client, begin, spans = Client(write_full, primary.port, window), time.monotonic(), []
    wait_until(lambda: os.path.exists(new), "a checkpoint begins", 180)
    start = time.monotonic() - begin
    wait_until(lambda: os.path.exists(path) and os.stat(path).st_mtime_ns != before, "a checkpoint is made", 180)
    end = time.monotonic() - begin
    time.sleep(2)
    gaps, rate, wrong = client.end()
    around = [(start - 0.5 <= at <= end + 1, took) for at, took in gaps]  # what was before is let go at the end
    inside, outside = ([took for within, took in around if within == side] for side in (True, False))
    figure("writes a second", rate, "/s")
    figure("writes refused", wrong, "", 0)
    figure("the checkpoint took", end - start, "s")
    figure("longest pause of acknowledgements during it", max(inside, default=GAP_S) * 1000, "ms", 100)
    figure("longest pause before and after it", max(outside, default=GAP_S) * 1000, "ms")


def own_memory(server):
    """Bytes that it alone has and has written to."""
    with open(f"/proc/{server.process.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Private_Dirty"))


def hold(port, count, stop, told):
    """So many connections that say nothing."""
    held = [wire(port) for _ in range(count)]
    told.put(len(held))
    stop.wait()
    told.put(0)


def idle(primary, records, count=19_600):
    print(f"{count} idle connections", flush=True)
    before = own_memory(primary)
    clients = [Client(hold, primary.port, count // 4) for _ in range(4)]
    for c in clients:
        c.told.get(timeout=60)
    figure("memory of the server for each", (own_memory(primary) - before) / count, "bytes", 1024)
    took, = during(5, Client(read, primary.port, records))
    figure("GET among them, median", statistics.median(took) * 1000, "ms", 2)
    figure("GET among them, p99", percentile(took, 0.99) * 1000, "ms")
    for c in clients:
        c.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("what", nargs="*", choices=[[], "copy", "boot", "checkpoint", "idle"])
    args = parser.parse_args()
    what = args.what or ["copy", "boot", "checkpoint", "idle"]
    if args.records < 500_000 and "copy" in what:
        parser.error("with fewer than 500000 records the log reaches back to the first: there is no full copy")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    boot_id = folder("boot")
    with open(boot_id, "w") as f:
        f.write("a boot\n")
    with Member("seoul", "--boot-id-file", boot_id, "--checkpoint-bytes", "64MiB", "--log-bytes", "64MiB") as primary:
        start = time.monotonic()
        fill(primary.port, args.records)
        figure(f"{args.records} records written", args.records / (time.monotonic() - start), "/s")
        figure("resident memory after it", primary.memory_mb(), "MB")
        draft = os.path.join(primary.data, "checkpoint.new")
        wait_until(lambda: not os.path.exists(draft), "no checkpoint is being made", 60)
        if "copy" in what:
            full_copy(primary, args.records)
        if "boot" in what:
            boot(primary, args.records, boot_id)
        if "checkpoint" in what:
            checkpoint(primary)
        if "idle" in what:
            idle(primary, args.records)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
