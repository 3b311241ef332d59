"""A log that no longer reaches back: who is too far behind gets a full copy, while writes go on, whatever is killed."""

import glob
import os
import time

from cluster import Cluster, Load, Relay, no_answer_as_if_empty, verify
from harness import Suite, as_bytes, check, equal, folder, head_of, json_answer, pipelined, wait_until

FLAGS = ("--log-bytes", "1MiB", "--checkpoint-bytes", "1MiB")
SLOW = ("--copy-bytes-per-s", "4MiB")
SEGMENT_BYTES = 32 << 20
suite = Suite()


def log_files(server):
    return set(os.path.basename(path) for path in glob.glob(server.data + "/log/*.log"))


def written_over(cluster):
    """Writes until the log of the primary no longer begins where it did; local storage stays small."""
    seoul, before = cluster.primary, min(log_files(cluster.primary))
    put = [as_bytes(head_of("PUT", "/big/1")) + as_bytes({"a": "x" * 500_000})] * 20
    seoul.ask("POST", "/big", "{}")
    for _ in range(40):
        for raw in pipelined(seoul, put):
            equal(json_answer(raw).status, 200, "status of a PUT")
        if min(log_files(seoul)) > before:
            break
    cluster.wait(lambda: min(log_files(seoul)) > before, f"the log does not begin with {before} any more")


def filled(cluster, count=8):
    """Records that make the copy large enough to be met in the middle."""
    put = [as_bytes(head_of("POST", "/kept")) + as_bytes({"a": "y" * 900_000})] * count
    for raw in pipelined(cluster.primary, put):
        equal(json_answer(raw).status, 201, "status of a POST")
    return cluster.primary.ask("GET", "/kept/1").text


@suite.alone
def an_empty_server_gets_a_full_copy_while_writes_go_on():
    with Cluster(1, *FLAGS, *SLOW) as cluster:
        load = Load(cluster.servers)
        load.progress()
        kept = filled(cluster)
        written_over(cluster)
        jeju = cluster.join_without_waiting("jeju")
        cluster.wait(lambda: no_answer_as_if_empty(jeju, "/kept/1", kept), "its copy", 30)
        cluster.wait_in_sync(seconds=30)
        load.progress()
        late = Load([jeju])
        late.progress()
        verify(cluster, load, late)
        equal(len(jeju.ask("GET", "/kept").json()), 8, "records in the copy")


@suite.alone
def a_backup_that_was_away_too_long_gets_a_full_copy_and_never_goes_back():
    with Cluster(2, *FLAGS) as cluster:
        seoul, busan, jeju = cluster.servers
        load = Load([seoul, jeju])
        load.progress()
        kept = filled(cluster)
        busan.ask("GET", "/kept/1", min_seq=seoul.status()["seq"], wait_ms=5000)
        busan.stop()
        written_over(cluster)
        busan.begin()
        at = [0]

        def in_sync():
            no_answer_as_if_empty(busan, "/kept/1", kept)
            status = busan.status()
            check(status["seq"] >= at[0], f"it was at seq {at[0]}, and is at {status['seq']}")
            at[0] = status["seq"]
            return "busan" in seoul.status()["in_sync"]
        cluster.wait(in_sync, "busan is in sync", 30)
        load.progress()
        verify(cluster, load)


@suite.alone
def whoever_is_killed_during_a_full_copy_the_copy_comes():
    with Cluster(1, *FLAGS, *SLOW) as cluster:
        seoul, busan = cluster.servers
        load = Load(cluster.servers)
        load.progress()
        kept = filled(cluster)
        written_over(cluster)
        jeju = cluster.join_without_waiting("jeju")
        for server in (jeju, seoul, jeju):
            cluster.wait(lambda: os.path.exists(jeju.data + "/copy.part") or jeju.ready(), "a copy is under way", 10)
            server.kill()
            server.begin()
            no_answer_as_if_empty(jeju, "/kept/1", kept)
        cluster.wait_in_sync(seconds=40)
        load.progress()
        verify(cluster, load)


@suite.alone
def a_full_copy_over_a_link_that_breaks_comes_whole():
    with Cluster(1, *FLAGS, *SLOW) as cluster:
        kept = filled(cluster)
        written_over(cluster)
        relay = Relay(cluster.primary)
        try:
            jeju = cluster.join_without_waiting("jeju", through=relay)
            for _ in range(4):
                cluster.wait(lambda: os.path.exists(jeju.data + "/copy.part") or jeju.ready(), "a copy is under way", 10)
                moment = time.monotonic() + 0.4
                wait_until(lambda: time.monotonic() > moment, "some of it has come")
                relay.cut()
                no_answer_as_if_empty(jeju, "/kept/1", kept)
            cluster.wait_in_sync(seconds=40)
            cluster.wait_equal()
            equal(jeju.texts("/kept"), cluster.primary.texts("/kept"), "the lists")
        finally:
            relay.close()


@suite.alone
def after_the_log_was_trimmed_all_is_there_after_crashes():
    boot = folder("boot")

    def boots(number):
        with open(boot, "w", encoding="ascii") as file:
            file.write(f"77777777-2222-3333-4444-{number:012d}\n")
    boots(0)
    with Cluster(1, *FLAGS, "--boot-id-file", boot) as cluster:
        load = Load(cluster.servers)
        load.progress()
        written_over(cluster)
        for number in (0, 1, 2):
            load.progress(5)
            cluster.kill()
            boots(number)
            for server in cluster.servers:
                server.begin()
            cluster.wait_in_sync()
        load.progress(5)
        verify(cluster, load)


@suite.alone
def logs_stay_small_on_every_server_while_writes_go_on():
    with Cluster(1, *FLAGS) as cluster:
        written_over(cluster)
        written_over(cluster)
        for server in cluster.servers:
            def size():
                return sum(os.path.getsize(path) for path in glob.glob(server.data + "/log/*.log"))
            cluster.wait(lambda: size() <= 5 * SEGMENT_BYTES, f"the log of {server.name} is small")
        cluster.wait_equal()


if __name__ == "__main__":
    suite.main()
