"""Damaged, newer and full disks: refused or mended with a sentence, nothing lost; knows the names of the files."""

import hashlib
import json
import os
import shutil
import struct
import subprocess

from harness import (Http, NotRun, Server, Suite, Tcp, ask, check, equal, folder, new_key, refused, run, serves,
                     wait_until)

suite = Suite()


def filled(server, count=300):
    """Writes records; the text of their list."""
    with Http(server) as http:
        for n in range(1, count + 1):
            equal(http.ask("POST", "/notes", {"marker": f"marker-{n}-", "text": "x" * 1000}).status, 201, "status")
        http.ask("DELETE", f"/notes/{count}")
        return http.ask("GET", "/notes").text


def segments(server):
    logs = os.path.join(server.data, "log")
    return [os.path.join(logs, name) for name in sorted(os.listdir(logs)) if name.endswith(".log")]


def store(server):
    return os.path.join(server.data, "records.mdb")


def contents(server):
    """A hash of each file that holds data."""
    found = {}
    for path in [*segments(server), store(server)]:
        if os.path.exists(path):
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


def patched(path, at, data):
    """Writes the bytes there; those that were there before."""
    with open(path, "r+b") as file:
        file.seek(at)
        before = file.read(len(data))
        file.seek(at)
        file.write(data)
    return before


def will_not_start(server, *words):
    """The server says why with these words, ends with 1, and changes nothing."""
    before = contents(server)
    code, out, err = run("serve", "--app-name", server.name, "--local-port", "0", "--data", server.data)
    equal((code, out), (1, ""), f"exit code and stdout ({err!r})")
    for word in words:
        check(word in err, f"{err!r} does not say {word!r}")
    equal(contents(server), before, "files after the refused start")
    return err


def starts_with(server, listed):
    """The server starts and has it all."""
    server.start()
    equal(ask(server, "GET", "/notes").text, listed, "the list")
    made = ask(server, "POST", "/notes", "{}")
    check(made.json()["id"] > len(json.loads(listed)) + 1, f"id {made.json()['id']} was used before")
    serves(server)


@suite.alone
def a_corrupted_segment_is_refused_by_name_and_left_alone():
    for ending in (Server.stop, Server.kill):
        with Server() as server:
            listed = filled(server)
            ending(server)
            path = segments(server)[0]
            with open(path, "rb") as file:
                at = file.read().find(b"marker-150-")
            check(at > 0, f"the text of record 150 is in {path}")
            was = patched(path, at, b"X")
            will_not_start(server, path)
            patched(path, at, was)
            starts_with(server, listed)


@suite.alone
def a_missing_segment_is_refused():
    with Server() as server:
        listed = filled(server)
        server.stop()
        path = segments(server)[0]
        os.rename(path, path + ".away")
        will_not_start(server, os.path.join(server.data, "log"))
        os.rename(path + ".away", path)
        starts_with(server, listed)


@suite.alone
def damaged_storage_is_made_again_from_the_log():
    def cut(path):  # well inside of what 300 records take
        os.truncate(path, 65536)

    def emptied(path):
        os.truncate(path, 0)

    def overwritten(path):
        patched(path, 0, b"x" * 8192)

    for damage, ending in ((cut, Server.stop), (cut, Server.kill), (emptied, Server.stop), (overwritten, Server.kill),
                           (os.remove, Server.stop)):
        with Server() as server:
            key = new_key()
            first = ask(server, "POST", "/others", '{"a":1}', key=key)
            listed = filled(server)
            before = ask(server, "GET", "/_status").json()
            ending(server)
            damage(store(server))
            server.start()
            if damage in (cut, overwritten):  # an empty or missing file is like a new one
                check(store(server) in server.err(), f"stderr names the file: {server.err()!r}")
            status = ask(server, "GET", "/_status").json()
            equal((status["seq"], status["digest"]), (before["seq"], before["digest"]), "seq and digest")
            repeat = ask(server, "POST", "/others", '{"a":1}', key=key)
            equal((repeat.text, repeat.etag), (first.text, first.etag), "a repeat of the first write")
            server.stop()
            starts_with(server, listed)


def crc32c(data):
    """RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@suite.alone
def data_of_a_newer_version_is_refused_and_left_alone():
    with Server() as server:
        listed = filled(server, 20)
        server.stop()
        path = segments(server)[0]
        with open(path, "rb") as file:
            block = bytearray(file.read(4096))
        version, crc = struct.unpack_from("<II", block, 8)
        struct.pack_into("<II", block, 8, version, 0)
        equal(crc32c(block), crc, "the checksum of a segment's head, as this test computes it")
        struct.pack_into("<I", block, 8, version + 1)
        struct.pack_into("<I", block, 12, crc32c(block))
        was = patched(path, 0, bytes(block))
        will_not_start(server, path, "newer")
        patched(path, 0, was)
        starts_with(server, listed)


@suite.alone
def a_segment_s_damaged_head_is_refused():
    with Server() as server:
        listed = filled(server, 20)
        server.kill()
        path = segments(server)[0]
        for at in (0, 8, 16, 33):
            with open(path, "rb") as file:
                file.seek(at)
                other = bytes([file.read(1)[0] ^ 0x40])
            was = patched(path, at, other)
            will_not_start(server, path)
            patched(path, at, was)
        starts_with(server, listed)


# --- a full disk ---

class SmallDisk:
    """A server whose data is on a small tmpfs: mounted here, or in a user namespace of the server's own."""

    SIZE_MB = 128

    def __init__(self):
        self.mount = folder("disk")
        os.makedirs(self.mount)
        size = f"size={self.SIZE_MB}m"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", self.mount], **quiet).returncode == 0
        inside = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {size} none "$0" && exec "$@"', self.mount]
        if not self.mounted and (not shutil.which("unshare")
                                 or subprocess.run([*inside, "true"], **quiet).returncode != 0):
            raise NotRun("neither mount nor unshare -rm makes a small tmpfs here")
        self.server = Server(data=self.mount + "/data", start=False)
        if not self.mounted:
            self.server.command = [*inside, *self.server.command]
        self.server.start()
        self.ballast = ("" if self.mounted else f"/proc/{self.server.process.pid}/root") + self.mount + "/ballast"

    def fill(self):
        """Leaves no free byte."""
        with open(self.ballast, "ab", buffering=0) as file:
            size = 1 << 20
            while size >= 4096:
                try:
                    if file.write(b"\0" * size) < size:
                        size //= 2
                except OSError:
                    size //= 2

    def free(self):
        os.remove(self.ballast)

    def close(self):
        self.server.give_up()
        if self.mounted:
            subprocess.run(["umount", "-l", self.mount], check=False)


def post_until_full(http, listed):
    """Posts large records until one is refused; the refusal. Keeps the texts of those acknowledged."""
    for n in range(400):
        answer = http.ask("POST", "/notes", {"n": n, "t": "x" * 500000})
        if answer.status != 201:
            return answer
        listed.append(answer.text)
    return answer


@suite.alone
def a_full_disk_refuses_writes_serves_reads_and_recovers_without_a_restart():
    disk = SmallDisk()
    try:
        server, listed = disk.server, []
        with Http(server) as http:
            for n in range(20):
                listed.append(http.ask("POST", "/notes", {"n": n}).text)
            for again in range(2):
                disk.fill()
                refused(post_until_full(http, listed), 507, "disk_full")
                with Tcp(server) as tcp:
                    refused(tcp.ask("POST", "/notes", {"t": "x" * 500000}), 507, "disk_full")
                equal(http.ask("GET", "/notes").text, "[" + ",".join(listed) + "]", "the list while the disk is full")
                equal(http.ask("GET", "/notes/7").text, listed[6], "a record while the disk is full")
                equal([http.ask("GET", p).status for p in ("/_health", "/_ready", "/_status")], [200] * 3, "own paths")
                disk.free()
                made = wait_until(lambda: (a := http.ask("POST", "/notes", f'{{"again":{again}}}')).status == 201 and a,
                                  "a write after space was freed")
                equal(made.json()["id"], len(listed) + 1, "the next id: refused writes used none")
                listed.append(made.text)
            equal(http.ask("GET", "/notes").text, "[" + ",".join(listed) + "]", "the list afterwards")
        if disk.mounted:
            server.kill()
            server.start()
            equal(ask(server, "GET", "/notes").text, "[" + ",".join(listed) + "]", "the list after kill -9")
        server.stop()
    finally:
        disk.close()


@suite.alone
def a_disk_that_is_full_at_the_start_is_said():
    disk = SmallDisk()
    try:
        if not disk.mounted:
            raise NotRun("without root the small disk goes with its server")
        server = disk.server
        listed = ask(server, "POST", "/notes", '{"a":1}').text
        server.stop()
        disk.fill()
        new = f"{disk.mount}/new"
        code, out, err = run("serve", "--app-name", "x", "--local-port", "0", "--data", new)
        equal((code, out), (1, ""), f"exit code and stdout on a full disk ({err!r})")
        check(new in err, f"{err!r} does not name {new}")
        disk.free()
        server.start()
        equal(ask(server, "GET", "/notes").text, f"[{listed}]", "the list")
        server.stop()
    finally:
        disk.close()


if __name__ == "__main__":
    suite.main()
