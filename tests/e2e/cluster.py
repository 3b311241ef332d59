"""Clusters of real servers, writers that remember what they asked, and what must be there at the end.

Must not know how servers replicate: everything is asked from outside.
"""

import json
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import (PROTOCOLS, START_S, STOP_S, Failed, Gone, Http, Late, Server, Tcp, Udp, as_bytes, check,
                     environment, equal, folder, head_of, json_answer, new_key, pipelined, refused, running,
                     shortened, together, wait_until, SANITIZER_REPORT)

NAMES = ("seoul", "busan", "jeju", "daegu", "gunsan")
KINDS = {"http": Http, "tcp": Tcp, "udp": Udp}
# A write answered with one of these was not executed, and never will be.
REFUSALS = ("busy", "not_ready", "not_in_sync", "no_primary", "waiting_for_members", "too_few_copies")


# --- servers ---

class Member(Server):
    """A server of a cluster. It comes back on its port, and can be paused."""

    def __init__(self, name, *args, primary=None, data=None, start=True):
        self.primary_host = primary
        extra = ("--primary", primary) if primary else ()
        self.kinds = [KINDS[k] for k in (args[args.index("--serve") + 1].split(",") if "--serve" in args else KINDS)]
        super().__init__(*extra, *args, name=name, data=data, start=start)

    def start(self, seconds=START_S):
        super().start(seconds)
        self.command[self.command.index("--local-port") + 1] = str(self.port)
        equal(self.role, f"backup of {self.primary_host}" if self.primary_host else "primary", f"role of {self.name}")

    def begin(self):
        """Starts it on a port that is free just now, and waits until it answers or ends: it may not become ready."""
        at = self.command.index("--local-port") + 1
        if self.command[at] == "0":
            with socket.create_server(("127.0.0.1", 0)) as taken:
                self.command[at] = str(taken.getsockname()[1])
        self.address, self.port = "127.0.0.1", int(self.command[at])
        self.host = f"{self.address}:{self.port}"
        self.out_path, self.err_path = folder("out"), folder("err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(self.command, env=environment(self.env), stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err)
        running.add(self.process)

        def there():
            try:
                return self.process.poll() is not None or self.ask("GET", "/_health").status == 200
            except OSError:
                return False
        wait_until(there, f"{self.name} answers or ends", START_S)

    def ended_with(self, seconds=START_S):
        """Waits for its end: the exit code."""
        process, self.process = self.process, None
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process = process
            raise Failed(f"{self.name} is still there after {seconds} s; it said {self.err()!r}") from None
        finally:
            if self.process is None:
                running.discard(process)
                check(not SANITIZER_REPORT.search(self.err()), f"a sanitizer reports: {self.err()[:3000]}")

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self.state() == "T", f"{self.name} is stopped")

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def state(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]

    def ask(self, method, path, body=None, seconds=15, **rest):
        """One request in the first protocol that it serves."""
        with self.kinds[0](self, seconds=seconds) as client:
            return client.ask(method, path, body, **rest)

    def status(self):
        return self.ask("GET", "/_status").json()

    def ready(self):
        return self.ask("GET", "/_ready").status == 200

    def texts(self, path):
        """A list, as the texts of its records: over UDP it may not fit, over HTTP it does."""
        answer = self.ask("GET", path)
        equal(answer.status, 200, f"status of the list at {self.name} ({shortened(answer.text)})")
        return answer.text


class Cluster:
    """One primary and some backups, on free ports, each with its own data directory."""

    def __init__(self, backups=2, *args, primary=(), start=True):
        """`args` are flags of all servers, `primary` those of the primary."""
        self.args, self.backups, self.old = ("--threads", "2", *args), [], []
        self.primary = Member(NAMES[0], *self.args, *primary, start=False)
        try:
            if start:
                self.primary.start()
                for name in NAMES[1:backups + 1]:
                    self.join(name)
                if backups:
                    self.wait_in_sync()
        except BaseException:
            self.__exit__(Failed, None, None)
            raise

    def join(self, name, *args, through=None, data=None, host=None):
        """A new backup."""
        host = host or (through or self.primary).host
        self.backups.append(Member(name, *self.args, *args, primary=host, data=data, start=False))
        self.backups[-1].start()
        return self.backups[-1]

    def join_without_waiting(self, name, *args, through=None):
        self.backups.append(Member(name, *self.args, *args, primary=(through or self.primary).host, start=False))
        self.backups[-1].begin()
        return self.backups[-1]

    @property
    def servers(self):
        return [self.primary, *self.backups]

    def state(self):
        """What each says of itself, for a failed test."""
        def of(server):
            if not server.alive():
                return f"{server.name}: not running; stderr {shortened(server.err())}"
            try:
                said = server.ask("GET", "/_status", seconds=2).text + " " + server.ask("GET", "/_ready", seconds=2).text
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            return f"{server.name}: {said}; stderr {server.err()[-300:]!r}"
        return "\n".join(of(server) for server in self.servers)

    def wait(self, condition, what, seconds=20):
        """As wait_until, and says what all servers say where it fails."""
        try:
            return wait_until(condition, what, seconds)
        except Failed as reason:
            raise Failed(f"{reason}\n{self.state()}") from None

    def wait_in_sync(self, *servers, seconds=20):
        """These, or all, are the in-sync set, and each says that it is ready and takes writes."""
        servers = servers or self.servers
        names = sorted(s.name for s in servers)
        self.wait(lambda: sorted(self.primary.status()["in_sync"]) == names
                  and all(s.status()["writable"] and s.ready() for s in servers), f"in sync: {names}", seconds)

    def wait_writable(self, server=None):
        """It takes writes again."""
        self.wait(lambda: (server or self.primary).ask("POST", "/writable", "{}").status == 201, "a write is taken")

    def wait_equal(self, *servers):
        """All are at one seq, and have one digest: the statuses."""
        servers = servers or self.servers

        def one_seq():
            seen = [s.status() for s in servers]
            return len({s["seq"] for s in seen}) == 1 and seen
        seen = self.wait(one_seq, "one seq on all servers")
        digests = {s["app_name"]: s["digest"] for s in seen}
        equal(len(set(digests.values())), 1, f"different digests at seq {seen[0]['seq']}: {digests}")
        return seen

    def alive(self):
        return all(server.alive() for server in self.servers)

    def err(self):
        return " ".join(f"{s.name}: {s.err()[-300:]!r}" for s in self.servers)

    def kill(self):
        """All at once."""
        for server in self.servers:
            server.process.kill()
        for server in self.servers:
            server.process.wait()
            running.discard(server.process)
            check(not SANITIZER_REPORT.search(server.err()), f"a sanitizer reports: {server.err()[:3000]}")
            server.process = None

    def stop(self):
        """All at once; each ends with 0."""
        together(*(server.stop for server in self.servers if server.process is not None), seconds=2 * STOP_S)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.stop()
            elif self.backups:
                print("# " + self.state().replace("\n", "\n# "), flush=True)
        finally:
            for server in self.servers:
                server.give_up()
                shutil.rmtree(server.data, ignore_errors=True)


class Relay:
    """Carries a link to the primary: keeps what the backup said, can be cut, and can hold or change what is sent."""

    def __init__(self, server, change=lambda piece: piece):
        self.change, self.target, self.flowing, self.open = change, (server.address, server.port), threading.Event(), True
        self.pairs, self.said = [], []  # sockets; the bytes that came from the calling side, for each connection
        self.flowing.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                if not self.open:
                    raise OSError
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs.append((near, far))
            self.said.append(bytearray())
            for source, sink, kept in ((near, far, self.said[-1]), (far, near, None)):
                threading.Thread(target=self.carry, args=(source, sink, kept), daemon=True).start()

    def carry(self, source, sink, kept):
        try:
            while piece := source.recv(65536):
                self.flowing.wait()
                if kept is not None and len(kept) < 1 << 20:
                    kept += piece
                sink.sendall(self.change(piece))
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, open=True):
        """Ends the links there are; with open=False no new ones are let through either."""
        self.open = open
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def hold(self):
        self.flowing.clear()

    def let_go(self):
        self.flowing.set()

    def close(self):
        self.listener.close()
        self.let_go()
        self.cut(open=False)
        for near, far in self.pairs:
            near.close()
            far.close()


# --- writers ---

class Write:
    """One write, and what became of it: answered, refused (with that code), or neither, which is unknown."""

    def __init__(self, method, path, body):
        self.method, self.path, self.body, self.key = method, path, body, new_key()
        self.answer = self.refused = None

    def send(self, client):
        return client.ask(self.method, self.path, self.body, key=self.key)

    def __str__(self):
        return f"{self.method} {self.path} {self.body} key {self.key}"


class Writer(threading.Thread):
    """Writes through one server until told to end, whatever happens to the server; changes only its own records."""

    def __init__(self, server, protocol, mark, seconds=4):
        super().__init__(daemon=True)
        self.server, self.protocol, self.mark, self.seconds = server, protocol, mark, seconds
        self.writes, self.own, self.done, self.longest_s = [], [], 0, 0.0
        self.ended, self.failure = threading.Event(), None

    def run(self):
        try:
            while not self.ended.is_set():
                try:
                    with self.protocol(self.server, seconds=self.seconds) as client:
                        while not self.ended.is_set():
                            self.one(client)
                except (OSError, Gone, Late):  # no answer: unknown
                    self.ended.wait(0.02)
        except Exception as error:  # raised again by who ends this thread
            self.failure = error

    def next_write(self):
        number = len(self.writes)
        text = f'{{"mark":"{self.mark}-{number}","text":"가나다 1.10"}}'
        if self.own and number % 4 == 1:
            return Write("PATCH", f"/notes/{self.own[-1]}", f'{{"patched":"{self.mark}-{number}"}}')
        if self.own and number % 4 == 2:
            return Write("PUT", f"/notes/{self.own[-1]}", text)
        if self.own and number % 8 == 3:
            return Write("DELETE", f"/notes/{self.own[-1]}", None)
        return Write("POST", "/notes", text)

    def one(self, client):
        write = self.next_write()
        self.writes.append(write)
        if write.method != "POST" or len(self.own) > 50:
            kept = self.own.pop()  # of an unknown fate until it is answered: left alone
        started = time.monotonic()
        answer = write.send(client)
        self.longest_s = max(self.longest_s, time.monotonic() - started)
        if answer.status in (200, 201):
            write.answer = answer
            if write.method == "POST":
                self.own.append(answer.json()["id"])
            elif write.method != "DELETE":
                self.own.append(kept)
            self.done += 1
            self.ended.wait(0.001)  # leaves others a turn
            return
        check(answer.status == 503 and answer.code in (*REFUSALS, "outcome_unknown"),
              f"{write} through {self.server.name} over {self.protocol.__name__} was answered {answer.text}")
        # A datagram may have been sent more than once: what holds for one need not hold for the other.
        if answer.code != "outcome_unknown" and self.protocol is not Udp:
            write.refused = answer.code
        self.ended.wait(0.02)


class Load:
    """Writers through servers and protocols, at once."""

    marks = 0

    def __init__(self, servers, protocols=PROTOCOLS, each=1):
        Load.marks += 1
        self.writers = [Writer(server, protocol, f"m{Load.marks}-{server.name}-{protocol.__name__}-{n}")
                        for server in servers for protocol in protocols if protocol in server.kinds
                        for n in range(each)]
        for writer in self.writers:
            writer.start()

    def through(self, servers):
        return [w for w in self.writers if w.server in servers]

    def progress(self, count=20, servers=None, seconds=20):
        """Every writer, or those of some servers, gets that many answers more."""
        writers = self.writers if servers is None else self.through(servers)
        before = [w.done for w in writers]

        def more():
            failures = [w.failure for w in self.writers if w.failure]
            if failures:
                raise failures[0]
            return all(w.done >= b + count for w, b in zip(writers, before))
        try:
            wait_until(more, f"{count} more writes of every writer", seconds)
        except Failed as reason:
            if not str(reason).endswith(f"after {seconds} s"):
                raise
            got = {f"{w.server.name}/{w.protocol.__name__}": w.done - b for w, b in zip(writers, before)}
            last = {w.writes[-2].refused for w in writers if len(w.writes) > 1}
            raise Failed(f"{reason}: they got {got}; refusals just now: {last}") from None

    def end(self):
        for writer in self.writers:
            writer.ended.set()
        for writer in self.writers:
            writer.join(30)
            check(not writer.is_alive(), f"a writer through {writer.server.name} is still waiting")
        for writer in self.writers:
            if writer.failure:
                raise writer.failure
        return self

    def writes(self):
        return [write for writer in self.writers for write in writer.writes]


# --- what must be there ---

def repeat(cluster, write, servers):
    """Asks again under its key, wherever, until it is answered."""
    def asked():
        server = random.choice(servers)
        answer = server.ask(write.method, write.path, write.body, key=write.key)
        if answer.status in (200, 201):
            return answer
        check(answer.status == 503, f"repeat of {write} through {server.name} was answered {answer.text}")
        return None
    return cluster.wait(asked, f"an answer to the repeat of {write}")


class Expected:
    """What /notes must hold: made from the answers of all writers."""

    def __init__(self):
        self.records, self.ids, self.firsts, self.seqs = {}, {}, [], {}

    def take(self, write):
        id = write.answer.json()["id"]
        if write.method == "POST":
            check(id not in self.ids, f"id {id} was handed out twice: {write} and {self.ids.get(id)}")
            self.ids[id] = write
        if write.method == "DELETE":
            self.records.pop(id, None)
        else:
            etag = write.answer.etag
            check(etag not in self.seqs, f"seq {etag} was given twice: {write} and {self.seqs.get(etag)}")
            self.seqs[etag] = write
            self.records[id] = (write.answer.text, etag)
        self.firsts.append(write)


def holds(server, expected, refused):
    """The server has exactly what it must."""
    listed = json.loads(server.texts("/notes"))
    found = {r["id"] for r in listed}
    equal(sorted(set(expected.records) - found)[:5], [], f"acknowledged records that {server.name} has lost")
    equal(sorted(found - set(expected.records))[:5], [], f"records that {server.name} should not have")
    marks = [r["mark"] for r in listed if "mark" in r]
    equal(len(marks), len(set(marks)), f"marks and different marks at {server.name}: a write was executed twice")
    equal(sorted(set(marks) & refused)[:5], [], f"refused writes that {server.name} has executed")
    ids = sorted(expected.records)
    if Tcp in server.kinds:
        answers = pipelined(server, [as_bytes(head_of("GET", f"/notes/{id}")) for id in ids])
        for id, raw in zip(ids, answers):
            answer = json_answer(raw)
            equal((answer.text, answer.etag), expected.records[id], f"text and etag of record {id} at {server.name}")
    else:
        for record in listed:
            equal(record, json.loads(expected.records[record["id"]][0]), f"record at {server.name}")


def verify(cluster, *loads):
    """Ends the loads; then: every acknowledged write is there exactly once, with its id and content, on every server;
    ids are unique and without a gap; unknown ones, repeated with their keys, give one record each; refused ones none;
    all servers are equal. The cluster is whole again when this is called."""
    writes = [write for load in loads for write in load.end().writes()]
    cluster.wait_in_sync()
    unknown = [w for w in writes if w.answer is None and w.refused is None]
    for write in unknown:
        write.answer = repeat(cluster, write, cluster.servers)
    expected = Expected()
    for write in writes:
        if write.answer is not None:
            expected.take(write)
    refused = {json.loads(w.body).get("mark") for w in writes if w.refused and w.body}
    equal(sorted(expected.ids), list(range(1, len(expected.ids) + 1)), "ids of all records ever made")
    repeats = random.sample(expected.firsts, min(60, len(expected.firsts))) + unknown[-20:]
    for write in repeats:
        again = repeat(cluster, write, cluster.servers)
        equal((again.status, again.text, again.etag), (write.answer.status, write.answer.text, write.answer.etag),
              f"repeat of {write}")
    cluster.wait_equal()
    for server in cluster.servers:
        holds(server, expected, refused)
    return expected


def no_answer_as_if_empty(server, record, text):
    """A read of a record that the cluster has: the record, or not ready; never 404. Whether it was the record."""
    answer = server.ask("GET", record)
    if answer.status == 200:
        equal(answer.text, text, f"{record} at {server.name}")
        return True
    check(answer.status == 503 and answer.code in ("not_ready", "lagging"),
          f"{record} at {server.name}, which cannot know it yet, was answered {answer.text}")
    return False


def listed_messages(server, after):
    return server.ask("GET", f"/_messages?after={after}").json()


def last_message(server):
    return max([m["n"] for m in server.ask("GET", "/_messages").json()], default=0)


def numbers_in(text):
    return [int(n) for n in re.findall(r"\d+", text)]


# --- those that do not belong ---

def sentence(server):
    """What it says on stderr beside the usual."""
    lines = [line for line in server.err().splitlines() if line.startswith("noted: ") and "the system allows" not in line]
    return "\n".join(line for line in lines if " " in line)


def is_refused(server, *words, exit_codes=(1,), seconds=20, empty=True):
    """It has ended with an exit code, or lives and is not ready; either way it says why, with these words. One that is
    not empty may have served what it has before it was refused."""
    def said():
        return all(re.search(word, sentence(server)) for word in words)
    try:
        wait_until(lambda: said() or server.process.poll() is not None, "a sentence", seconds)
        if server.process.poll() is None:
            wait_until(lambda: server.process.poll() is not None, "its end", 0.5)
    except Failed:
        pass
    check(said(), f"stderr of {server.name}, expected to say {words}: {server.err()!r}")
    if server.process.poll() is not None:
        check(server.process.returncode in exit_codes, f"exit code {server.process.returncode}: {server.err()!r}")
        server.ended_with()
        check(not empty or "ready" not in server.out(), f"it had said {server.out()!r}")
        return
    if not empty:
        wait_until(lambda: server.ask("GET", "/notes").status == 503,
                   f"{server.name}, refused, answers no reads as if its records were the cluster's", 3)
    for path in ("/notes", "/notes/1", "/nothing/1"):
        refused(server.ask("GET", path), 503, "not_ready")
    equal(server.ask("GET", "/_ready").status, 503, "status of /_ready")
    check(server.ask("POST", "/notes", "{}").status == 503, "it takes no write")
    check(not empty or "ready" not in server.out(), f"it said {server.out()!r}")


class Stranger:
    """A server that the cluster does not want, ended whatever happens."""

    def __init__(self, name, data=None, primary=None, port=None):
        self.server = Member(name, "--threads", "2", data=data, primary=primary, start=False)
        if port:
            self.server.command[self.server.command.index("--local-port") + 1] = str(port)

    def __enter__(self):
        self.server.begin()
        return self.server

    def __exit__(self, kind, error, trace):
        try:
            if kind is None and self.server.process is not None:
                self.server.stop()
        finally:
            self.server.give_up()


def unharmed(cluster):
    """As it was: all in sync and equal, and a write has all copies."""
    cluster.wait_in_sync()
    for server in cluster.servers:
        equal(server.ask("POST", "/unharmed", "{}").copies, len(cluster.servers), f"copies of a write at {server.name}")
    cluster.wait_equal()
