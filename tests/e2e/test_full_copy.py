"""Full copies: who joins where the log does not begin at the beginning gets one, and serves nothing before it is whole."""

import os
import re
import shutil

from cluster import Cluster, Load, Member, no_answer_as_if_empty, verify
from copies import FLAGS, NO_CHECKPOINTS, Trimmed, copied, has, in_the_middle, trim
from failing_disk import FailingDisk
from harness import Suite, check, equal, refused, wait_until
from test_cluster_disk import OnDisk, on_disk

SLOW = ("--copy-bytes-per-s", "2MiB")  # about three seconds for what there is
suite = Suite()


def begin(cluster, name, *args):
    return cluster.join_without_waiting(name, *args)


@suite.alone
def an_empty_server_gets_a_full_copy_while_writes_go_on():
    with Trimmed() as cluster:
        load = Load(cluster.servers)
        load.progress()
        busan = begin(cluster, "busan")
        for path in ("/base", "/nothing/1"):
            answer = busan.ask("GET", path)
            check(answer.status == 503 or busan.ready(), f"{path} of a server that is not ready: {answer.text[:100]}")
        cluster.wait(lambda: no_answer_as_if_empty(busan, "/base/1", cluster.known), "its copy")
        check("a full copy" in busan.err() and "gets a full copy" in cluster.primary.err(), f"they say so: {cluster.err()}")
        cluster.wait_in_sync()
        load.progress()
        late = Load([busan])
        late.progress()
        verify(cluster, load, late)
        cluster.whole()
        equal(has(busan, "copy.part"), False, "the part is left")
        busan.kill()
        busan.start()
        cluster.whole()


@suite.alone
def while_a_copy_comes_the_status_says_how_much_is_there():
    with Trimmed(*SLOW) as cluster:
        busan = begin(cluster, "busan")
        here, size = in_the_middle(cluster, busan, 0.1)
        check(size > 60 * 100_000, f"bytes of the copy: {size}")
        backups = cluster.primary.status()["backups"]
        equal([(b["app_name"], b["state"], b["in_sync"]) for b in backups], [("busan", "copying", False)], "backups")
        refused(busan.ask("GET", "/base/1"), 503, "not_ready")
        refused(busan.ask("GET", "/base"), 503, "not_ready")
        equal(busan.ask("GET", "/_ready").status, 503, "status of /_ready")
        write = refused(busan.ask("POST", "/notes", "{}"), 503, "not_in_sync")  # there is a primary
        check("full copy" in write.json()["detail"], f"it says why it takes no write: {write.text}")
        equal(busan.status()["reason"], write.json()["detail"], "reason in the status")
        cluster.wait(lambda: copied(busan)[0] > here, "more of it")
        cluster.whole()
        equal(copied(busan), (0, 0), "a copy that comes, afterwards")


@suite.alone
def who_comes_back_with_an_empty_directory_is_in_the_metrics_once():
    """What it was before is still in the set then; and Prometheus takes no series twice."""
    with Trimmed(*SLOW, "--min-copies", "2") as cluster:
        busan = begin(cluster, "busan")
        cluster.wait_in_sync()
        busan.kill()
        shutil.rmtree(busan.data)
        busan.begin()
        in_the_middle(cluster, busan, 0.1)
        backups = cluster.primary.status()["backups"]
        equal([(b["app_name"], b["in_sync"]) for b in backups], [("busan", True), ("busan", False)], "backups")
        lines = cluster.primary.ask("GET", "/_metrics").text.split("\n")
        of_busan = [line for line in lines if line.startswith('noted_backup_in_sync{app_name="busan"}')]
        equal(of_busan, ['noted_backup_in_sync{app_name="busan"} 1'], "whether it is in sync")


def identities(server):
    """What stands before the name in both copies of the identity."""
    found = set()
    for name in ("identity.0", "identity.1"):
        with open(os.path.join(server.data, name), "rb") as file:
            data = file.read()
        at = data.index(server.name.encode() + b"\0")
        found.add(data[at - 24:at - 8])
    return found


@suite.alone
def a_backup_that_was_away_for_too_long_gets_one_and_reads_go_on_meanwhile():
    with Cluster(1, *FLAGS) as cluster:
        seoul, busan = cluster.servers
        made = [seoul.ask("POST", "/kept", f'{{"n":{n}}}') for n in range(3)]
        cluster.wait_equal()
        before = identities(busan)
        busan.stop()
        for n in range(60):
            seoul.ask("POST", "/base", f'{{"n":{n},"text":"{"x" * 100_000}"}}')
        seoul.ask("PUT", "/kept/2", '{"n":"changed"}')
        for _ in range(4):
            seoul.ask("POST", "/big", "{}")
        trim(seoul)
        seoul.stop()
        seoul.command += SLOW
        seoul.start()
        busan.begin()
        in_the_middle(cluster, busan, 0.1)
        for n, answer in enumerate(made, 1):
            equal(busan.ask("GET", f"/kept/{n}").text, answer.text, f"/kept/{n} at busan, while its copy comes")
        equal(busan.status()["writable"], False, "writable")
        at = [0]

        def changed():
            answer, seq = busan.ask("GET", "/kept/2"), busan.status()["seq"]
            check(seq >= at[0], f"busan was at seq {at[0]}, and is at {seq}")
            at[0] = seq
            check(answer.status in (200, 503), f"/kept/2 at busan was answered {answer.text}")
            check(answer.status == 503 or answer.text in (made[1].text, '{"id":2,"n":"changed"}'), f"{answer.text}")
            return "changed" in answer.text
        cluster.wait(changed, "what was written meanwhile")
        cluster.wait_in_sync()
        cluster.wait_equal()
        check(not before & identities(busan), "it has a new identity")
        equal(busan.ask("POST", "/kept", "{}").copies, 2, "copies of a write through it")
        equal([b["app_name"] for b in seoul.status()["backups"]], ["busan"], "backups: the new one has replaced the old")


@suite.alone
def a_copy_that_finds_no_space_to_be_taken_over_is_as_soon_as_there_is():
    """Whatever of it has none; the server stays up meanwhile, and says why."""
    disk = FailingDisk()
    with Trimmed() as cluster:
        busan = Member("busan", *cluster.args, primary=cluster.primary.host, start=False)
        cluster.backups.append(busan)
        busan.env = disk.env
        disk.fill("records.new")
        busan.begin()
        cluster.wait(lambda: "cannot be taken over yet" in busan.err(), "local storage has no space")
        cluster.wait(lambda: "no space to take it over" in busan.status()["reason"], "its status says so")
        equal(busan.status()["copy"]["state"], "installing", "what becomes of the copy")
        refused(busan.ask("GET", "/base/1"), 503, "not_ready")
        equal(cluster.primary.ask("POST", "/notes", "{}").status, 201, "a write at the primary")
        disk.fill("/log/")
        cluster.wait(lambda: re.search("cannot be taken over yet.*log", busan.err()), "then the log has none")
        disk.mend()
        cluster.whole()
        equal(busan.status().get("reason", ""), "", "its reason")


@suite.alone
def two_get_copies_at_once():
    with Trimmed() as cluster:
        load = Load(cluster.servers)
        load.progress()
        for name in ("busan", "jeju"):
            begin(cluster, name)
        for server in cluster.backups:
            cluster.wait(lambda server=server: no_answer_as_if_empty(server, "/base/1", cluster.known), "its copy")
        load.progress()
        verify(cluster, load)
        cluster.whole()
        for server in cluster.backups:
            check("a full copy" in server.err(), f"stderr of {server.name}: {server.err()!r}")


@suite.alone
def a_copy_holds_up_no_write():
    with Trimmed("--copy-bytes-per-s", "3MiB") as cluster:
        busan = begin(cluster, "busan")
        cluster.whole()
        load = Load([cluster.primary, busan])
        load.progress()
        jeju = begin(cluster, "jeju")
        in_the_middle(cluster, jeju)
        load.progress()
        cluster.wait(lambda: no_answer_as_if_empty(jeju, "/base/1", cluster.known), "its copy")
        cluster.wait_in_sync()
        load.progress()
        longest = {f"{w.server.name}/{w.protocol.__name__}": round(w.longest_s, 2) for w in load.writers}
        check(max(longest.values()) < 1.0, f"the longest waits for an answer: {longest} s")
        verify(cluster, load)
        cluster.whole()


@suite.alone
def a_checkpoint_that_rots_under_a_backup_is_replaced_and_the_copy_comes_anew():
    with Trimmed("--scrub-s", "1", flags=NO_CHECKPOINTS) as cluster:
        seoul = cluster.primary
        path = os.path.join(seoul.data, "checkpoint.mdb")
        seoul.pause()
        with open(path, "r+b") as file:
            file.seek(3_000_000)
            byte = file.read(1)[0]
            file.seek(3_000_000)
            file.write(bytes([byte ^ 1]))
        seoul.go_on()
        busan = begin(cluster, "busan")
        cluster.whole()
        check("another one is made" in seoul.err(), f"the primary says so: {seoul.err()!r}")


@suite.alone
def the_rate_is_kept():
    with Trimmed("--copy-bytes-per-s", "1MiB") as cluster:
        busan = begin(cluster, "busan")
        load = Load(cluster.servers[:1])
        here, size = in_the_middle(cluster, busan, 0.01)
        started = busan.status()["uptime_ms"]
        cluster.wait(lambda: copied(busan)[0] == 0, "its end", 30)
        took_s = (busan.status()["uptime_ms"] - started) / 1000
        expected_s = (size - here) / 2**20
        check(took_s > 0.8 * expected_s - 0.5, f"{size - here} bytes came in {took_s} s, at 1 MiB/s")
        load.progress()
        verify(cluster, load)
        cluster.whole()


@suite.alone
def at_the_lowest_rate_a_copy_comes_little_by_little():
    with Trimmed("--copy-bytes-per-s", "1KiB") as cluster:
        busan = begin(cluster, "busan")
        here = [copied(busan)[0]]
        for _ in range(8):
            cluster.wait(lambda: copied(busan)[0] > here[-1], "more of it", 3)
            here.append(copied(busan)[0])
        check(here[-1] < 20_000, f"bytes of the copy: {here}")
        status = busan.status()["copy"]
        check(status["state"] == "coming" and status["percent"] == 0 and 0 < status["bytes_per_s"] < 3000, f"{status}")


@suite.alone
def a_copy_that_finds_no_space_comes_once_there_is():
    disk = OnDisk()
    try:
        with Trimmed() as cluster:
            busan = on_disk(disk, "busan", "--threads", "2", primary=cluster.primary.host)
            cluster.backups.append(busan)
            shutil.rmtree(disk.mount + "/data")
            cluster.primary.pause()
            busan.begin()
            disk.fill()
            cluster.primary.go_on()
            cluster.wait(lambda: re.search("disk|space", busan.err()), "busan says why")
            load = Load([cluster.primary])
            load.progress()
            check(busan.alive(), f"busan has ended: {busan.err()!r}")
            equal(busan.ask("GET", "/base/1").status, 503, "status of a read")
            equal(busan.ask("GET", "/_health").status, 200, "its health")
            disk.free()
            cluster.wait_in_sync()
            verify(cluster, load)
            cluster.whole()
    finally:
        disk.close()


@suite.alone
def who_belongs_to_another_cluster_gets_none():
    with Trimmed() as cluster:
        other = Member("jeju", "--threads", "2")
        with other as jeju:
            jeju.ask("POST", "/mine", "{}")
            jeju.stop()
            jeju.command += ["--primary", cluster.primary.host]
            jeju.begin()
            wait_until(lambda: re.search("another cluster", jeju.err()), "it is refused")
            refused(jeju.ask("GET", "/base/1"), 503, "not_ready")
            check(not has(jeju, "copy.part"), "it has got nothing")
        equal(cluster.primary.status()["in_sync"], ["seoul"], "in_sync")


if __name__ == "__main__":
    suite.main()
