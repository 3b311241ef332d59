"""Disks that fail and logs that rot under a primary: what is lost is named, and given up only when told."""

import os
import re

from cluster import Cluster, Load, Member, sentence, verify
from failing_disk import FailingDisk
from harness import Failed, Http, Server, Suite, ask, check, equal, folder, run
from test_damage import patched, segments

suite = Suite()


def posts(server, count, text="x" * 1000):
    """Writes so many records; the text of their list."""
    with Http(server) as http:
        for n in range(count):
            equal(http.ask("POST", "/notes", {"marker": f"marker-{n}-", "text": text}).status, 201, "status of a POST")
        return http.ask("GET", "/notes").text


def says(err, *patterns):
    for pattern in patterns:
        check(re.search(pattern, err), f"stderr does not say {pattern!r}: {err!r}")


def will_not_start(server, *patterns, args=(), env=None):
    """It ends with 1 and says these, however often it is tried."""
    for _ in range(2):
        code, out, err = run("serve", "--app-name", server.name, "--local-port", "0", "--data", server.data, *args, env=env)
        equal((code, out), (1, ""), f"exit code and stdout ({err!r})")
        says(err, *patterns)
    return err


def start_with_loss(server):
    """Starts it once with --accept-data-loss: what it said."""
    server.command.append("--accept-data-loss")
    server.start()
    server.command.pop()
    return server.err()


def segment_with(server, marker):
    """The segment, and the place in it, where these bytes stand."""
    for path in segments(server):
        with open(path, "rb") as file:
            at = file.read().find(marker)
        if at > 0:
            return path, at
    check(False, f"{marker!r} is in no segment")


def rot(server, marker):
    """The bytes of this record change on the disk: the segment."""
    path, at = segment_with(server, marker)
    patched(path, at, b"X")
    return path


@suite.alone
def a_primary_whose_disk_fails_ends_and_is_suspect_until_the_operator_says_so():
    disk = FailingDisk()
    with Cluster(0, start=False) as cluster:
        seoul = cluster.primary
        disk.start(seoul)
        load = Load([seoul])
        load.progress()
        disk.fail_writes()
        equal(seoul.ended_with(), 1, "exit code")
        says(sentence(seoul), "writing the log failed", "nothing more is acknowledged", "suspect")
        load.end()
        disk.mend()
        will_not_start(seoul, r"all up to entry \d+ \(seq \d+\) is whole", "no acknowledged write is known to be missing",
                       "the disk failed in an earlier life", "--accept-data-loss")
        says(start_with_loss(seoul), r"all up to entry \d+", "goes on with what is whole")
        verify(cluster, load)
        seoul.stop()
        seoul.start()
        equal(sentence(seoul), "", "what it says at the next start")


@suite.alone
def what_was_never_flushed_is_written_anew_before_the_server_counts_it_as_durable():
    """The entry whose flush failed can be read, and the next flush succeeds: neither shows that the disk keeps it."""
    disk = FailingDisk()
    with Member("seoul", start=False) as server:
        disk.start(server)
        listed = posts(server, 10)
        disk.fail_flushes()
        check(ask_or_none(server, "POST", "/notes", '{"marker":"unknown"}') is None, "it ends without an answer")
        equal(server.ended_with(), 1, "exit code")
        for args in ((), ("--accept-data-loss",)):
            will_not_start(server, "cannot be made ready", "the disk failed", args=args, env=disk.env)
        check(os.path.exists(os.path.join(server.data, "suspect.0")), "the mark is still there")
        disk.mend()
        will_not_start(server, r"all up to entry 12 \(seq 11\) is whole", "no acknowledged write is known to be missing")
        start_with_loss(server)
        check(not os.path.exists(os.path.join(server.data, "suspect.0")), "the mark is gone")
        equal(ask(server, "GET", "/notes").text, listed[:-1] + ',{"id":11,"marker":"unknown"}]', "the list")
        server.kill()
        server.start()
        equal(len(ask(server, "GET", "/notes").json()), 11, "records")


@suite.alone
def the_mark_alone_has_all_of_the_log_looked_at():
    """Also what a start has no need to read, since local storage has it."""
    disk, boot = FailingDisk(), folder("boot")
    with open(boot, "w", encoding="ascii") as file:
        file.write("boot-1\n")
    with Member("seoul", "--boot-id-file", boot, start=False) as server:
        disk.start(server)
        listed = posts(server, 40, "x" * 1_000_000)
        check(len(segments(server)) > 2, "a segment that is full")
        disk.fail_writes()
        ask_or_none(server, "POST", "/notes", "{}")
        equal(server.ended_with(), 1, "exit code")
        disk.mend()
        path = rot(server, b"marker-3-")
        lost = rf"{re.escape(path)} is damaged at byte \d+: the log lacks entry 5 \(seq 4\); local storage has them"
        will_not_start(server, lost, "the disk failed in an earlier life", args=("--boot-id-file", boot))
        says(start_with_loss(server), lost, "kept as .*log.damaged", "goes on with what is whole")
        equal(ask(server, "GET", "/notes").text, listed, "the list")
        server.kill()
        with open(boot, "w", encoding="ascii") as file:
            file.write("boot-2\n")
        server.start()
        equal(ask(server, "GET", "/notes").text, listed, "the list after a crash of the machine")


def ask_or_none(server, *args):
    """Its answer; None: it has ended instead."""
    try:
        return ask(server, *args)
    except (OSError, Failed):
        return None


@suite.alone
def a_primary_whose_log_rots_names_what_is_lost_and_gives_it_up_when_told():
    boot = "/dev/null"  # no boot is known: local storage is never trusted after a kill
    with Server("--boot-id-file", boot) as server:
        posts(server, 60)
        server.kill()
        path = rot(server, b"marker-30-")
        # Its log began with entry 1; 31 writes stand before the damage, and the epoch's own entry.
        lost = rf"{re.escape(path)} is damaged at byte \d+: the log lacks entry 32 \(seq 31\)"
        whole = r"all up to entry 31 \(seq 30\) is whole; entry 32 to 61 \(seq 31 to 60\) is lost"
        will_not_start(server, lost, whole, "no backup was in sync", "--accept-data-loss")
        says(start_with_loss(server), lost, whole, "kept as .*log.damaged", "goes on with what is whole")
        equal([n["marker"] for n in ask(server, "GET", "/notes").json()], [f"marker-{n}-" for n in range(30)], "what is left")
        posts(server, 5)
        server.kill()
        server.start()  # it begins with the checkpoint of what was whole
        equal(len(ask(server, "GET", "/notes").json()), 35, "records after a crash of the machine")
        check(os.path.exists(os.path.join(server.data, "log.damaged", os.path.basename(path))), "the evidence is kept")


@suite.alone
def what_local_storage_still_has_is_no_loss():
    with Server() as server:
        listed = posts(server, 60)
        server.stop()
        rot(server, b"marker-30-")
        will_not_start(server, r"the log lacks entry 32 \(seq 31\); local storage has them",
                       "no acknowledged write is known to be missing")
        start_with_loss(server)
        equal(ask(server, "GET", "/notes").text, listed, "the list")
        equal(ask(server, "POST", "/notes", "{}").json()["id"], 61, "the next id")
        server.kill()
        server.start()
        equal(len(ask(server, "GET", "/notes").json()), 61, "records")


@suite.alone
def what_was_seen_to_be_lost_is_not_forgotten_when_the_machine_crashes():
    """The end of a log that rots looks like a torn write to who has only the log."""
    with Server() as server:
        posts(server, 10)
        server.kill()
        path, at = segment_with(server, b"marker-9-")
        was = patched(path, at, b"X")
        will_not_start(server, r"all up to entry 11 \(seq 10\) is whole")
        for name in ("trust.0", "trust.1"):
            os.remove(os.path.join(server.data, name))
        will_not_start(server, r"all up to entry 10 \(seq 9\) is whole; entry 11 \(seq 10\) is lost")
        patched(path, at, was)
        server.start()  # what was put back is whole again
        equal(len(ask(server, "GET", "/notes").json()), 10, "records")


if __name__ == "__main__":
    suite.main()
