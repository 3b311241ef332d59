"""noted backup and noted restore, as an operator uses them; must not know what is in the file."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time

from cluster import Cluster, Member
from harness import (NOTED, SANITIZER_REPORT, Http, NotRun, Server, Suite, Tcp, Udp, as_bytes, ask, check, environment,
                     equal, folder, head_of, new_key, pipelined, refused, request, run, running, shortened, together,
                     wait_until)

FACTS = re.compile(r"^noted: (\S+) has (\d+) records, up to write (\d+) \(digest ([0-9a-f]{16})\)\n$")
suite = Suite()


class Facts:
    """What noted backup and noted restore say of a file."""

    def __init__(self, done, what):
        code, out, err = done
        equal((code, err), (0, ""), f"exit code and stderr of {what}")
        said = FACTS.match(out)
        check(said, f"{what} said {out!r}")
        self.file, self.records, self.seq, self.digest = said[1], int(said[2]), int(said[3]), said[4]

    def pair(self):
        return self.records, self.seq, self.digest


def backup(server, file=None, *args):
    file = file or folder("backup")
    return Facts(run("backup", file, "--server", server.host, *args), "backup")


def restore(file, data=None):
    """The data directory, and what was said."""
    data = data or folder()
    facts = Facts(run("restore", file, "--data", data), "restore")
    equal(facts.file, file, "the file named")
    return data, facts


def fails(*args):
    """Its sentence; it exits with 1 and says nothing else."""
    code, out, err = run(*args)
    equal((code, out), (1, ""), f"exit code and stdout of {args} (stderr {err!r})")
    check(re.fullmatch(r"noted: [^\n]{10,}\n", err), f"one sentence: {err!r}")
    return err


def nothing_left(file):
    equal([p for p in (file, file + ".part") if os.path.lexists(p)], [], "files left behind")


def fill(server, megabytes):
    heads = [as_bytes(head_of("POST", "/large")) + as_bytes({"t": "x" * 500000}) for _ in range(2 * megabytes)]
    for raw in pipelined(server, heads):
        check(raw.startswith(b'{"status":201'), f"a large record: {shortened(raw)}")


# --- what is in it ---

def order(number):
    """The write with this seq: records are made by the odd ones, the first is replaced by the even ones."""
    if number % 2:
        return as_bytes(head_of("POST", "/counter")) + as_bytes({"n": number})
    return as_bytes(head_of("PUT", "/counter/1")) + as_bytes({"n": number})


class Counting(threading.Thread):
    """Writes in one order, as fast as the server takes them, until told to end."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.done, self.ended, self.failure = server, 0, threading.Event(), None

    def run(self):
        try:
            with Tcp(self.server) as tcp:
                while not self.ended.is_set():
                    tcp.send(b"".join(order(self.done + i) for i in range(1, 101)))
                    for _ in range(100):
                        status = tcp.answer().status
                        check(status in (200, 201), f"a write was answered {status}")
                        self.done += 1
        except BaseException as error:  # raised again below
            self.failure = error

    def end(self):
        self.ended.set()
        self.join(30)
        if self.failure:
            raise self.failure


def is_prefix(server, facts):
    """Exactly the writes up to the one it names; and its digest is that of a server that got those."""
    status = ask(server, "GET", "/_status").json()
    equal((status["records"], status["seq"], status["digest"]), facts.pair(), "what the restored server says")
    listed = {r["id"]: r["n"] for r in ask(server, "GET", "/counter").json()}
    expected = {(n + 1) // 2: n for n in range(1, facts.seq + 1, 2)}
    expected[1] = facts.seq // 2 * 2 or 1
    equal(listed, expected, f"records of the writes up to {facts.seq}")
    with Server() as other:
        pipelined(other, [order(n) for n in range(1, facts.seq + 1)])
        equal(ask(other, "GET", "/_status").json()["digest"], facts.digest, f"digest after {facts.seq} writes")


@suite.alone
def a_copy_from_the_primary_or_a_backup_is_a_prefix_of_the_one_order_while_writes_go_on():
    with Cluster(1) as cluster:
        writer = Counting(cluster.primary)
        writer.start()
        wait_until(lambda: writer.done > 500 or writer.failure, "writes")
        before = writer.done
        copies = together(*(lambda s=s: backup(s) for s in cluster.servers))
        after = writer.done
        writer.end()
        for facts in copies:
            check(before <= facts.seq <= after + 200, f"a copy up to {facts.seq}, taken between {before} and {after}")
        cluster.wait_equal()
    for facts in copies:
        data, said = restore(facts.file)
        equal(said.pair(), facts.pair(), "what restore says, and backup")
        with Server(data=data) as restored:
            is_prefix(restored, facts)


@suite.alone
def a_restored_server_goes_on_where_the_copy_ended():
    with Server() as server:
        for protocol in (Http, Tcp, Udp):
            with protocol(server) as client:
                client.ask("POST", "/notes", '{"n":1.10}')
        ask(server, "DELETE", "/notes/3")
        key = new_key()
        first = ask(server, "PUT", "/notes/2", '{"n":2}', key=key)
        facts = backup(server)
        texts = ask(server, "GET", "/notes").text
        ask(server, "POST", "/notes", '{"later":true}')
    equal(facts.seq, 5, "seq")
    data, _ = restore(facts.file)
    restored = Server(data=data, name="jeju", start=False)
    with restored:
        restored.start()
        equal(ask(restored, "GET", "/notes").text, texts, "the list")
        restored.kill()
        restored.start()
        again = ask(restored, "PUT", "/notes/2", '{"n":2}', key=key)
        equal((again.status, again.text, again.etag), (first.status, first.text, first.etag), "repeat of the key")
        refused(ask(restored, "PUT", "/notes/2", '{"n":3}', key=key), 422, "key_reused")
        refused(ask(restored, "PUT", "/notes/2", "{}", if_match=2), 412, "precondition_failed")
        changed = ask(restored, "PUT", "/notes/2", "{}", if_match=first.etag)
        equal((changed.status, changed.seq), (200, 6), "a write on the condition of the old ETag")
        made = ask(restored, "POST", "/notes", "{}")
        equal((made.json()["id"], made.seq), (4, 7), "next id and seq")
        epoch = ask(restored, "GET", "/_status").json()["epoch"]
        restored.stop()
        restored.start()
        equal(ask(restored, "GET", "/notes/4").text, made.text, "the record after another start")
        check(ask(restored, "GET", "/_status").json()["epoch"] > epoch > 1, "epochs grow")


@suite.alone
def a_copy_of_an_empty_server_restores_an_empty_server():
    with Server() as server:
        facts = backup(server)
    equal((facts.records, facts.seq), (0, 0), "records and seq")
    with Server(data=restore(facts.file)[0]) as restored:
        equal(ask(restored, "POST", "/notes", "{}").json()["id"], 1, "first id")


@suite.alone
def a_copy_of_a_restored_server_can_be_restored():
    with Server() as server:
        ask(server, "POST", "/notes", '{"a":1}')
        facts = backup(server)
    for _ in range(3):
        with Server(data=restore(facts.file)[0]) as server:
            ask(server, "POST", "/notes", '{"a":1}')
            facts = backup(server)
    equal((facts.records, facts.seq), (4, 4), "records and seq")


@suite.alone
def new_backups_join_a_restored_primary_and_those_of_the_old_cluster_do_not():
    with Cluster(1) as cluster:
        for n in range(20):
            ask(cluster.primary, "POST", "/notes", {"n": n})
        cluster.wait_equal()
        facts = backup(cluster.backups[0])
        cluster.stop()
        data, _ = restore(facts.file)
        shutil.rmtree(cluster.primary.data)
        cluster.primary = Member("seoul", "--threads", "2", data=data)
        old = cluster.backups.pop()
        cluster.join("jeju")
        cluster.wait_in_sync()
        equal(ask(cluster.primary, "POST", "/notes", "{}").copies, 2, "copies of a write")
        cluster.wait_equal()
        stranger = Member("busan", "--threads", "2", primary=cluster.primary.host, data=old.data, start=False)
        try:
            stranger.begin()
            wait_until(lambda: "belongs to another cluster: start it with an empty" in stranger.err(), "it is refused")
        finally:
            stranger.give_up()
            shutil.rmtree(old.data)


# --- taking one ---

@suite.test
def only_http_gives_one_and_a_HEAD_gives_its_head(server):
    for protocol in (Tcp, Udp):
        with protocol(server) as client:
            refused(client.ask("GET", "/_backup"), 501, "not_implemented")
    with Http(server) as http:
        head = http.ask("HEAD", "/_backup")
        equal((head.status, head.header("Content-Type"), head.raw), (200, "application/octet-stream", b""), "HEAD")
    refused(ask(server, "DELETE", "/_backup"), 405, "method_not_allowed")
    refused(ask(server, "GET", "/_backup?a=1"), 400, "bad_parameter")


def copy_of(answer):
    """The bytes of an answer, as a file that restores."""
    file = folder("got")
    with open(file, "wb") as out:
        out.write(answer)
    return restore(file)[1]


@suite.test
def a_copy_comes_behind_what_was_asked_before_on_its_connection(server):
    ask(server, "POST", "/notes", "{}")
    with Http(server) as http:
        http.send(request("POST", "/notes", "{}") + request("GET", "/notes/1") + request("GET", "/_backup")
                  + request("GET", "/notes/1"))
        made, read = http.answer(), http.answer()
        equal((made.status, read.status), (201, 200), "answers before it")
        status, headers = http.head()
        equal((status, dict(headers)["Connection"]), (200, "close"), "the head of the copy")
        facts = copy_of(b"".join(http.chunks()))
        equal(http.rest(), b"", "what follows the copy")
    check(facts.seq >= made.seq, f"the copy is up to {facts.seq}, the write before it was {made.seq}")
    with Http(server) as http:  # without chunks its end is that of the connection
        http.send(request("GET", "/_backup", version="1.0"))
        _, headers = http.head()
        check(not {"Transfer-Encoding", "Content-Length"} & {n for n, _ in headers}, f"HTTP/1.0: {headers}")
        equal(copy_of(http.rest()).pair(), facts.pair(), "the same copy over HTTP/1.0")


@suite.test
def a_file_that_is_there_stays_unless_forced(server):
    file = folder("backup")
    with open(file, "w", encoding="ascii") as out:
        out.write("mine")
    check("is there already" in fails("backup", file, "--server", server.host), "it says why")
    with open(file, encoding="ascii") as kept:
        equal(kept.read(), "mine", "the file")
    check(not os.path.exists(file + ".part"), "a part was left")
    facts = backup(server, file, "--force")
    equal(restore(file)[1].pair(), facts.pair(), "the file that took its place")


@suite.test
def what_cannot_be_asked_or_written_is_said(server):
    file = folder("backup")
    fails("backup", file, "--local-port", "1")
    nothing_left(file)
    fails("backup", folder() + "/no/such/folder", "--server", server.host)
    for args in ((), (file, file), (file, "--server", "nowhere"), (file, "--local-port", "0"), ("--force",), (file, "-x")):
        code, out, err = run("backup", *args)
        equal((code, out, err[:20]), (2, "", "usage: noted backup "), f"backup {args}")
    for args in ((), (file,), ("--data", folder()), (file, "--data"), (file, "--data", folder(), "--app-name", "a b")):
        code, out, err = run("restore", *args)
        equal((code, out, err[:21]), (2, "", "usage: noted restore "), f"restore {args}")
    for command in ("backup", "restore"):
        code, out, err = run(command, "--help")
        equal((code, err, out[:13]), (0, "", "usage: noted "), f"{command} --help")
    nothing_left(file)


@suite.alone
def a_server_that_is_not_ready_gives_none():
    with Cluster(0) as cluster:
        backup_of_nobody = Member("busan", "--threads", "2", primary="127.0.0.1:1", start=False)
        try:
            backup_of_nobody.begin()
            refused(ask(backup_of_nobody, "GET", "/_backup"), 503, "not_ready")
            file = folder("backup")
            check("copy is not complete" in fails("backup", file, "--server", backup_of_nobody.host), "it says why")
            nothing_left(file)
        finally:
            backup_of_nobody.give_up()
            shutil.rmtree(backup_of_nobody.data)


@suite.own("--threads", "2")
def two_at_once_and_a_third_is_told_so_while_writes_go_on(server):
    fill(server, 24)
    with Http(server, receive_bytes=65536) as one, Http(server, receive_bytes=65536) as two:
        for http in (one, two):
            http.send(request("GET", "/_backup"))
            equal(http.head()[0], 200, "status")
        pieces = [http.chunks() for http in (one, two)]
        begun = [next(p) for p in pieces]
        with Http(server) as third:  # which stays good for other requests
            refused(third.ask("GET", "/_backup"), 503, "busy")
            started = time.monotonic()
            for n in range(50):
                equal(third.ask("POST", "/notes", {"n": n}).status, 201, "a write while nobody reads the copies")
            check(time.monotonic() - started < 10, f"50 writes took {time.monotonic() - started:.1f} s")
        file = folder("backup")
        check("other backups are being taken" in fails("backup", file, "--server", server.host), "it says why")
        nothing_left(file)
        one.close()
        facts = wait_until(lambda: (done := run("backup", file, "--server", server.host))[0] == 0
                           and Facts(done, "backup"), "a place for another one")
        equal((facts.records, facts.seq), (98, 98), "records and seq of the later one")
        equal(copy_of(begun[1] + b"".join(pieces[1])).seq, 48, "the copy of who read late is of its beginning")


class Taking:
    """A noted backup that is under way."""

    def __init__(self, server):
        self.file = folder("backup")
        self.process = subprocess.Popen([NOTED, "backup", self.file, "--server", server.host], env=environment(),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.add(self.process)
        part = self.file + ".part"
        wait_until(lambda: os.path.exists(part) and os.path.getsize(part) > 1 << 20, "the copy begins to come")

    def failed(self):
        """What it said."""
        out, err = self.process.communicate(timeout=20)
        running.discard(self.process)
        err = err.decode()
        check(not SANITIZER_REPORT.search(err), f"a sanitizer reports: {err}")
        equal((self.process.returncode, out), (1, b""), f"exit code and stdout ({err!r})")
        nothing_left(self.file)
        return err


SLOW = ("--threads", "2", "--copy-bytes-per-s", "3MiB")


@suite.own(*SLOW)
def a_server_that_dies_leaves_no_file(server):
    fill(server, 24)
    taking = Taking(server)
    server.kill()
    said = taking.failed()
    check("before it was whole" in said or "broke" in said, f"it said {said!r}")
    server.start()


@suite.own(*SLOW)
def an_interrupted_backup_leaves_no_file_and_its_place_is_free(server):
    fill(server, 24)
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        taking = Taking(server)
        taking.process.send_signal(how)
        check("interrupted" in taking.failed(), "it says why")


@suite.own(*SLOW)
def a_server_that_is_stopped_ends_what_is_under_way(server):
    fill(server, 24)
    with Http(server, receive_bytes=65536) as asleep:
        asleep.send(request("GET", "/_backup"))
        equal(asleep.head()[0], 200, "status")
        taking = Taking(server)
        started = time.monotonic()
        server.stop()
        took = time.monotonic() - started
        check(took < 5, f"the stop took {took:.1f} s")
        check("before it was whole" in (said := taking.failed()) or "broke" in said, f"it said {said!r}")
    server.start()


@suite.test
def a_full_disk_leaves_no_file(server):
    fill(server, 4)
    mount = folder("small")
    os.makedirs(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", mount], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise NotRun("mount makes no small tmpfs here")
    try:
        said = fails("backup", mount + "/backup", "--server", server.host)
        check("No space left" in said, f"it said {said!r}")
        equal(os.listdir(mount), [], "files left behind")
        file = backup(server).file
        said = fails("restore", file, "--data", mount)
        check("the disk is full" in said, f"it said {said!r}")
        equal(os.listdir(mount), [], "files left behind")
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


# --- restoring one ---

@suite.test
def what_is_no_whole_copy_is_refused_and_makes_nothing(server):
    ask(server, "POST", "/notes", '{"a":1}')
    good = open(backup(server).file, "rb").read()
    middle = len(good) // 2
    bad = {"cut": good[:-1], "cut in the middle": good[:middle], "longer": good + b"\0", "empty": b"",
           "changed": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:],
           "changed at its end": good[:-1] + bytes([good[-1] ^ 1]), "rubbish": os.urandom(100000), "text": b"hello\n"}
    for what, content in bad.items():
        file, data = folder("bad"), folder()
        with open(file, "wb") as out:
            out.write(content)
        said = fails("restore", file, "--data", data)
        check(file in said and "is not a whole copy" in said, f"{what}: {said!r}")
        check(not os.path.exists(data), f"{what}: the folder was made")
    fails("restore", folder("nothing"), "--data", folder())
    fails("restore", folder("nothing") + "/", "--data", folder())


@suite.test
def a_folder_that_has_anything_in_it_is_refused_and_left_as_it_is(server):
    file = backup(server).file
    for name in ("lock", "something", ".hidden"):
        data = folder()
        os.makedirs(data)
        with open(f"{data}/{name}", "w", encoding="ascii"):
            pass
        check("is not empty" in fails("restore", file, "--data", data), "it says why")
        equal(os.listdir(data), [name], "what is in the folder")
    check("is not empty" in fails("restore", file, "--data", server.data), "a server's own folder")
    fails("restore", file, "--data", file)
    data = folder()
    os.makedirs(data)
    restore(file, data)
    deep = folder() + "/not/there/yet/"
    restore(file, deep)
    check("is not empty" in fails("restore", file, "--data", data), "a second time")


@suite.test
def a_restored_copy_that_was_damaged_before_the_first_start_is_no_empty_server(server):
    ask(server, "POST", "/notes", '{"a":1}')
    data, _ = restore(backup(server).file)
    with open(data + "/copy.part", "r+b") as file:
        file.seek(9000)
        file.write(b"rubbish")
    for _ in range(2):
        code, out, err = run("serve", "--local-port", "0", "--data", data, "--app-name", "jeju")
        equal((code, out), (1, ""), "exit code and stdout")
        check("is not a whole copy" in err, f"it said {err!r}")
    data, _ = restore(backup(server).file)
    os.remove(data + "/copy.part")
    code, out, err = run("serve", "--local-port", "0", "--data", data, "--app-name", "jeju")
    equal((code, out), (1, ""), "exit code and stdout")
    check("restore into an empty folder again" in err, f"it said {err!r}")


if __name__ == "__main__":
    suite.main()
