"""Full disks in a cluster: a backup without space is left behind and says why, a primary without space refuses writes."""

import os
import time

from cluster import Cluster, Load, Member, verify
from copies import FLAGS, RECORD_BYTES, ask_all, grow, has, segments
from failing_disk import FailingDisk
from harness import Http, NotRun, Suite, check, equal, refused, wait_until
from test_damage import SmallDisk
from test_suspect import posts, rot

suite = Suite()


class OnDisk(SmallDisk):
    """A small disk that gets the data of a cluster's server."""

    def __init__(self):
        super().__init__()
        self.server.stop()
        if not self.mounted:
            self.close()
            raise NotRun("without root the small disk goes with its server")


    def leave(self, mb):
        """So many MiB are free, as the system counts them."""
        free = os.statvfs(self.mount)
        with open(self.ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (mb << 20))


def on_disk(disk, name, *args, primary=None):
    return Member(name, *args, primary=primary, data=f"{disk.mount}/{name}", start=False)


@suite.alone
def a_backup_without_space_is_left_behind_and_comes_back_without_a_restart():
    disk = OnDisk()
    try:
        with Cluster(1, primary=("--backup-timeout-ms", "1000")) as cluster:
            seoul, busan = cluster.servers
            jeju = on_disk(disk, "jeju", "--threads", "2", primary=seoul.host)
            cluster.backups.append(jeju)
            jeju.start()
            cluster.wait_in_sync()
            load = Load(cluster.servers)
            equal(seoul.ask("POST", "/large", "{}").status, 201, "status of a POST")
            load.progress()
            disk.fill()
            cluster.wait(lambda: sorted(seoul.status()["in_sync"]) == ["busan", "seoul"], "jeju is left behind")
            load.progress(servers=[seoul, busan])
            cluster.wait(lambda: state_of(seoul, "jeju") == "disk_full", "the primary's status says why")
            check("jeju has no disk space" in seoul.err(), f"and so does its log: {seoul.err()!r}")
            cluster.wait(lambda: "disk is full" in jeju.status().get("reason", ""), "its own status says why")
            check("this backup acknowledges nothing" in jeju.err(), f"and so does its log: {jeju.err()!r}")
            equal(jeju.ask("GET", "/_health").status, 200, "its health")
            check(jeju.ask("GET", "/_ready").status == 503, "it is not ready")
            equal(jeju.ask("GET", "/large/1").status, 200, "its reads go on")
            longest_wait(seoul, seconds=4)
            equal(state_of(seoul, "jeju"), "disk_full", "it is connected, and not let in")
            disk.free()
            cluster.wait_in_sync()
            load.progress()
            verify(cluster, load)
    finally:
        disk.close()


@suite.alone
def a_primary_without_space_refuses_writes_through_every_server():
    disk = OnDisk()
    try:
        with Cluster(0, start=False) as cluster:
            cluster.primary = on_disk(disk, "seoul", *cluster.args)
            cluster.primary.start()
            seoul, busan = cluster.primary, cluster.join("busan")
            cluster.wait_in_sync()
            load = Load(cluster.servers, protocols=(Http,))
            load.progress()
            load.end()
            seoul.ask("POST", "/fill", "{}")
            disk.fill()
            with Http(busan) as http:
                refused(post_until_full_of(http), 507, "disk_full")
                refused(http.ask("PUT", "/notes/1", {"t": "x" * 500_000}), 507, "disk_full")
                equal(http.ask("GET", "/fill/1").status, 200, "reads go on at the backup")
            equal(seoul.ask("GET", "/fill/1").status, 200, "reads go on at the primary")
            equal(sorted(seoul.status()["in_sync"]), ["busan", "seoul"], "in_sync")
            disk.free()
            cluster.wait_writable(busan)
            verify(cluster, load)
    finally:
        disk.close()


@suite.alone
def a_full_copy_without_space_is_named_and_comes_when_there_is_some():
    disk = OnDisk()
    try:
        with Cluster(0) as cluster:
            seoul = cluster.primary
            jeju = on_disk(disk, "jeju", "--threads", "2", primary=seoul.host)
            cluster.backups.append(jeju)
            jeju.start()
            cluster.wait_in_sync()
            posts(seoul, 60)
            cluster.wait_equal()
            jeju.stop()
            rot(jeju, b"marker-30-")
            seoul.stop()
            jeju.begin()  # it needs a full copy, and there is nobody to ask yet
            disk.fill()
            seoul.start()
            cluster.wait(lambda: "no space for its copy" in jeju.err(), "it says what it lacks")
            cluster.wait(lambda: "no space for its copy" in jeju.status().get("reason", ""), "its status says so, too")
            equal(seoul.ask("POST", "/notes", "{}").status, 201, "a write at the primary")
            refused(jeju.ask("GET", "/notes/1"), 503, "not_ready")
            disk.free()
            cluster.wait_in_sync()
            cluster.wait_equal()
            equal(jeju.texts("/notes"), seoul.texts("/notes"), "the lists")
    finally:
        disk.close()


@suite.alone
def a_checkpoint_without_space_is_made_later_by_itself():
    """Writes go on meanwhile, and the log is kept."""
    disk = OnDisk()
    try:
        with Cluster(0, start=False) as cluster:
            cluster.primary = on_disk(disk, "seoul", *FLAGS)
            seoul = cluster.primary
            seoul.start()
            ask_all(seoul, "POST", ["/big"] * 4)
            disk.leave(mb=14)  # more than the reserve of 8, and less than the two that a checkpoint wants left
            grow(seoul, 1)  # then one is due; no more, or a slow machine has filled the disk before it says so
            wait_until(lambda: "no checkpoint could be made: the disk is full" in seoul.err(), "it says so")
            before = segments(seoul)
            equal(seoul.ask("POST", "/notes", "{}").status, 201, "a write meanwhile")
            equal(seoul.status()["writable"], True, "writable")
            check(not has(seoul, "checkpoint.mdb") and not has(seoul, "checkpoint.new"), "nothing of it is left")
            equal(segments(seoul)[0], before[0], "the log's first segment")
            disk.free()
            wait_until(lambda: has(seoul, "checkpoint.mdb"), "a checkpoint, without a write or a restart", 60)
            equal(seoul.err().count("no checkpoint could be made"), 1, "it was tried again when there was time to make space")
    finally:
        disk.close()


def state_of(primary, name):
    return {b["app_name"]: b["state"] for b in primary.status()["backups"]}.get(name)


def longest_wait(server, seconds):
    """Nobody waits for the one that is full: not even every now and then, as for one that comes and goes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        equal(server.ask("POST", "/large", "{}").status, 201, "status of a POST")
        check(time.monotonic() - started < 0.9, f"a write took {time.monotonic() - started:.2f} s")


def post_until_full_of(http):
    for n in range(400):
        answer = http.ask("POST", "/fill", {"n": n, "t": "x" * 500_000})
        if answer.status != 201:
            return answer
    return answer


@suite.alone
def a_backup_on_a_slow_disk_that_loses_its_primary_while_it_catches_up_comes_in_sync():
    """It has then more in hand than it reads on with, and nobody yet who says that it is committed."""
    disk = FailingDisk()
    with Cluster(0) as cluster:
        seoul = cluster.primary
        for _ in range(400):  # an entry each
            ask_all(seoul, "POST", ["/notes"])
        busan = Member("busan", *cluster.args, primary=seoul.host, start=False)
        busan.env = disk.env
        cluster.backups.append(busan)
        disk.slow_writes()
        busan.begin()

        def full():
            status = busan.status()
            return status["last"] - status["applied"] > 16 * 2**20 / RECORD_BYTES
        cluster.wait(full, "it waits for its disk")
        seoul.kill()
        disk.mend()
        cluster.wait(lambda: busan.status()["durable"] == busan.status()["last"], "all is on its disk")
        seoul.start()
        cluster.wait_in_sync()
        cluster.wait_equal()
        for again in ("once more, from its own log", "and again"):
            busan.kill()
            busan.start()
            cluster.wait_in_sync()
            equal(seoul.ask("POST", "/notes", "{}").copies, 2, f"copies, {again}")


if __name__ == "__main__":
    suite.main()
