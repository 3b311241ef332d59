"""Checkpoints: the log is trimmed behind them, and after a crash of the machine records begin with the newest."""

import os
import re
import time

from cluster import Cluster, Load, Member, sentence, verify
from copies import FLAGS, NO_CHECKPOINTS, SEGMENT_MB, ask_all, fill_base, grow, has, log_mb, trim, trimmed_data
from harness import Server, Suite, ask, check, equal, folder, refused, wait_until

suite = Suite()


def boot_file(words="boot-1\n"):
    path = folder("boot")
    with open(path, "w", encoding="ascii") as file:
        file.write(words)
    return path


def change(path, offset):
    """One byte of it; and back, when it is called again."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x01]))


def position(server):
    status = ask(server, "GET", "/_status").json()
    return {name: status[name] for name in ("seq", "digest")}


def crash(server, boot):
    """As far as files show: what the page cache had is kept, but need not have been."""
    server.kill()
    next_boot(boot)


def next_boot(boot):
    with open(boot, "a", encoding="ascii") as file:
        file.write("another\n")
    with open(boot, "r", encoding="ascii") as file:
        lines = file.read().split()
    with open(boot, "w", encoding="ascii") as file:
        file.write(f"boot-{len(lines)}-{time.monotonic()}\n")


def refuses_to_start(server, *words):
    """It ends with 1 before it is ready, and says these words."""
    member = Member(server.name, *server.command[8:], data=server.data, start=False)
    member.begin()
    equal(member.ended_with(), 1, f"exit code ({member.err()!r})")
    check("ready" not in member.out(), f"it said {member.out()!r}")
    for word in words:
        check(re.search(word, sentence(member)), f"stderr, expected to say {word!r}: {member.err()!r}")


@suite.alone
def the_log_is_trimmed_while_writes_go_on_and_stays_small():
    with Server(*FLAGS) as server:
        fill_base(server)
        trim(server)
        most = 0
        for _ in range(6):
            grow(server, 20)
            most = max(most, log_mb(server))
        check(most <= 5 * SEGMENT_MB, f"the log had {most} MiB, of 160 MiB written")
        wait_until(lambda: log_mb(server) <= 4 * SEGMENT_MB, "the log is trimmed to the newest checkpoint")
        before = position(server)
        server.kill()
        server.start()
        equal(position(server), before, "position and digest after a kill")


@suite.alone
def a_store_that_only_grows_gets_checkpoints_too():
    """Its size and the log's growth are about the same, so that neither ever passes the other by itself."""
    with Server(*FLAGS) as server:
        path, made = os.path.join(server.data, "checkpoint.mdb"), set()
        for _ in range(40):
            ask_all(server, "POST", ["/grown"] * 20)
            made |= {os.stat(path).st_mtime_ns} if os.path.exists(path) else set()
        check(3 <= len(made) <= 12, f"80 MB written were copied {len(made)} times")


@suite.alone
def a_checkpoint_that_was_replaced_is_let_go_but_not_where_it_has_another_name():
    with Server(*FLAGS) as server:
        fill_base(server)
        wait_until(lambda: grow(server, 4) or has(server, "checkpoint.mdb"), "a checkpoint", 30)
        path, other = os.path.join(server.data, "checkpoint.mdb"), os.path.join(server.data, "kept")
        with open(path, "rb") as file:
            os.link(path, other)
            kept = file.read()

        def replaced():
            grow(server, 8)
            return not os.path.samefile(path, other)
        wait_until(replaced, "another checkpoint", 30)
        wait_until(lambda: replaced() and not held(server, "kept") and not held(server, "(deleted)"),
                   "the server holds no checkpoint but the newest", 30)
        with open(other, "rb") as file:
            check(file.read() == kept, "the one with another name is as it was")


def held(server, name):
    """Whether the server has a file open under this name."""
    files = f"/proc/{server.process.pid}/fd"
    for fd in os.listdir(files):
        try:
            if os.readlink(os.path.join(files, fd)).endswith(name):
                return True
        except FileNotFoundError:
            pass
    return False


@suite.alone
def after_a_crash_of_the_machine_all_is_there_from_checkpoint_and_log():
    boot = boot_file()
    with Server(*FLAGS, "--boot-id-file", boot, data=trimmed_data()) as server:
        for _ in range(2):
            ask_all(server, "POST", ["/after"] * 30)
            listed, before = ask(server, "GET", "/after").text, position(server)
            crash(server, boot)
            server.start()
            check("local storage begins with the checkpoint" in server.err(), f"it says so: {server.err()!r}")
            equal(position(server), before, "position and digest")
            equal(ask(server, "GET", "/after").text, listed, "the records behind the checkpoint")
            check(not has(server, "records.mdb.untrusted"), "what was put aside is removed")


@suite.alone
def logs_stay_small_on_every_server_of_a_cluster():
    with Cluster(1, *FLAGS) as cluster:
        fill_base(cluster.primary)
        for _ in range(2):
            trim(cluster.primary)
        for server in cluster.servers:
            cluster.wait(lambda server=server: log_mb(server) <= 5 * SEGMENT_MB, f"the log of {server.name} is small")
        cluster.wait_equal()


@suite.alone
def after_crashes_of_all_machines_a_cluster_with_trimmed_logs_has_all():
    boot = boot_file()
    with Cluster(1, *FLAGS, "--boot-id-file", boot) as cluster:
        load = Load(cluster.servers)
        load.progress()
        fill_base(cluster.primary)
        trim(cluster.primary)
        for _ in range(2):
            load.progress(5)
            cluster.kill()
            next_boot(boot)
            for server in cluster.servers:
                server.begin()
            cluster.wait_in_sync()
        load.progress(5)
        verify(cluster, load)


@suite.alone
def what_records_mdb_became_in_the_crash_does_not_matter():
    boot = boot_file()
    with Server(*FLAGS, "--boot-id-file", boot, data=trimmed_data()) as server:
        before, path = position(server), os.path.join(server.data, "records.mdb")
        for harm in (lambda: os.truncate(path, 0), lambda: os.remove(path), lambda: os.truncate(path, 50_000)):
            crash(server, boot)
            harm()
            server.start()
            equal(position(server), before, "position and digest")


@suite.alone
def a_damaged_checkpoint_is_never_begun_with():
    """The log does not reach back: refused, again and again, until the operator has the whole one again."""
    boot, data = boot_file(), trimmed_data()
    path = os.path.join(data, "checkpoint.mdb")
    with Server(*FLAGS, "--boot-id-file", boot, data=data) as server:
        before = position(server)
        for offset in (0, 40_000, os.path.getsize(path) // 2, os.path.getsize(path) - 1):
            crash(server, boot)
            change(path, offset)
            refuses_to_start(server, "checkpoint.mdb is not a whole copy", "log")
            refuses_to_start(server, "log")
            damaged = path + ".damaged"
            change(damaged, offset)
            os.rename(damaged, path)
            os.remove(os.path.join(data, "records.mdb"))
            server.start()
            equal(position(server), before, "position and digest from the whole checkpoint")


@suite.alone
def a_damaged_checkpoint_costs_nothing_where_the_log_reaches_back():
    boot = boot_file()
    with Server("--checkpoint-bytes", "1MiB", "--boot-id-file", boot) as server:
        fill_base(server)
        wait_until(lambda: grow(server, 4) or has(server, "checkpoint.mdb"), "a checkpoint", 30)
        before = position(server)
        crash(server, boot)
        change(os.path.join(server.data, "checkpoint.mdb"), 100_000)
        server.start()
        check("it is kept as checkpoint.mdb.damaged" in server.err(), f"it says so: {server.err()!r}")
        equal(position(server), before, "position and digest")


@suite.alone
def a_damaged_checkpoint_is_told_and_made_anew_before_it_is_needed():
    data = trimmed_data()
    path = os.path.join(data, "checkpoint.mdb")
    change(path, 100_000)
    with open(path, "rb") as file:
        damaged = file.read()
    with Server(*NO_CHECKPOINTS, data=data) as server:
        wait_until(lambda: "checkpoint.mdb" in server.err(), "it says so")

        def other():
            with open(path, "rb") as file:
                return file.read() != damaged
        wait_until(other, "another checkpoint, without a write")


@suite.alone
def a_kill_while_a_checkpoint_is_made_is_harmless():
    boot = boot_file()
    slow = ("--copy-bytes-per-s", "1MiB")
    with Server(*FLAGS, *slow, "--boot-id-file", boot) as server:
        fill_base(server)
        for crashed in (False, True):
            wait_until(lambda: grow(server, 4) or has(server, "checkpoint.new"), "a checkpoint is being made", 30)
            before = position(server)
            check(has(server, "checkpoint.new"), "it is not whole yet")
            crash(server, boot) if crashed else server.kill()
            server.start()
            equal(position(server), before, "position and digest")
        wait_until(lambda: has(server, "checkpoint.mdb"), "a checkpoint is made")
        ask_all(server, "POST", ["/after"] * 3)
        before = position(server)
        crash(server, boot)
        server.start()
        equal(position(server), before, "position and digest after another crash")


@suite.alone
def what_was_left_by_an_earlier_life_is_removed():
    left = ("checkpoint.new", "copy.part", "records.new", "records.mdb.untrusted")
    with Server() as server:
        ask_all(server, "POST", ["/notes"])
        before = position(server)
        server.stop()
        for name in left:
            with open(os.path.join(server.data, name), "wb") as file:
                file.write(b"rubbish" * 1000)
        server.start()
        equal(position(server), before, "position and digest")
        equal([name for name in left if has(server, name)], [], "what is left")


def is_not_denied(ending):
    """What a server has acknowledged, and cannot prove after a crash of the machine, it does not deny, however often
    it is started."""
    boot = boot_file()
    with Cluster(1, "--boot-id-file", boot) as cluster:
        seoul, busan = cluster.servers
        made = [seoul.ask("POST", "/notes", '{"a":1}') for _ in range(5)][-1]
        path = f"/notes/{made.json()['id']}"
        equal(busan.ask("GET", path, min_seq=made.seq, wait_ms=5000).text, made.text, "the record at busan")
        cluster.kill()
        for server in (seoul, busan):
            with open(boot, "w", encoding="ascii") as file:
                file.write(f"after the crash, {server.name}\n")
            for start in ("first", "second"):
                server.begin()
                answer = server.ask("GET", path)
                check(answer.status == 503 or answer.text == made.text,
                      f"{path} at {server.name} after its {start} start was answered {answer.text}")
                ending(server)
        for server in (seoul, busan):
            server.begin()
        cluster.wait_in_sync()
        for server in (seoul, busan):
            equal(server.ask("GET", path).text, made.text, f"{path} at {server.name}")


@suite.alone
def a_record_that_cannot_be_served_after_a_crash_is_not_denied_after_a_kill():
    is_not_denied(Member.kill)


@suite.alone
def a_record_that_cannot_be_served_after_a_crash_is_not_denied_after_a_clean_stop():
    is_not_denied(Member.stop)


@suite.alone
def a_checkpoint_that_rots_is_found_by_the_scrub_and_made_anew():
    data = trimmed_data()
    path = os.path.join(data, "checkpoint.mdb")
    with Server(*NO_CHECKPOINTS, "--scrub-s", "1", data=data) as server:
        change(path, 100_000)
        changed = os.stat(path).st_mtime_ns
        wait_until(lambda: os.stat(path).st_mtime_ns != changed, "another checkpoint")
        os.remove(path)
        wait_until(lambda: has(server, "checkpoint.mdb"), "another checkpoint where there was none")
        check("another one is made" in server.err(), f"it says so: {server.err()!r}")


def rot(server, words):
    """Changes one letter of a record of a stopped server wherever it stands in its storage."""
    path = os.path.join(server.data, "records.mdb")
    with open(path, "rb") as file:
        at = [found.start() for found in re.finditer(re.escape(words), file.read())]
    check(at, f"{words!r} is in {path}")
    for offset in at:
        change(path, offset)


@suite.alone
def rot_at_a_backup_is_found_by_the_scrub_and_no_longer_served():
    with Cluster(1, "--scrub-s", "1") as cluster:
        seoul, busan = cluster.servers
        made = seoul.ask("POST", "/notes", '{"text":"what was written"}')
        cluster.wait_equal()
        busan.stop()
        rot(busan, b"what was written")
        busan.begin()
        wait_until(lambda: "not what was written to it" in busan.err(), "it says so")
        wait_until(lambda: busan.ask("GET", "/notes/1").status == 503, "it does not serve it any more")
        refused(busan.ask("GET", "/notes/1"), 503, "not_ready")
        refused(busan.ask("GET", "/notes"), 503, "not_ready")
        equal(busan.ask("GET", "/_ready").status, 503, "status of /_ready")
        check(busan.ask("POST", "/notes", "{}").status == 503, "it takes no write")
        wait_until(lambda: seoul.status()["in_sync"] == ["seoul"], "it has left the set")
        equal(seoul.ask("GET", "/notes/1").text, made.text, "the record at the primary")
        for ending in (busan.kill, busan.stop):
            ending()
            busan.start()
            cluster.wait_in_sync()
            equal(busan.ask("GET", "/notes/1").text, made.text, "the record, rebuilt")
        cluster.wait_equal()


@suite.alone
def rot_at_a_primary_is_found_by_the_scrub_and_mended_by_the_next_start():
    member = Member("seoul", *FLAGS, "--scrub-s", "1", data=trimmed_data())
    with member as server:
        made = server.ask("POST", "/notes", '{"text":"what was written"}')
        before = position(server)
        server.stop()
        rot(server, b"what was written")
        server.begin()
        check(server.ended_with() != 0, "it ends")
        check("not what was written to it" in server.err(), f"it says so: {server.err()!r}")
        server.start()
        equal(server.ask("GET", "/notes/1").text, made.text, "the record")
        equal(position(server), before, "position and digest")


if __name__ == "__main__":
    suite.main()
