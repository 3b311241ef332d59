"""Disks that fail and logs that rot in a cluster: a backup mends itself, a primary names who can take its place."""

import os
import re

from cluster import Cluster, Load, Member, sentence, verify
from failing_disk import FailingDisk
from harness import Suite, check, equal, refused, run
from test_suspect import posts, rot, says, segment_with, start_with_loss, will_not_start

suite = Suite()


@suite.alone
def a_primary_with_backups_names_them_as_the_better_way():
    disk = FailingDisk()
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        disk.start(seoul)
        cluster.wait_in_sync()
        load = Load(cluster.servers)
        load.progress()
        disk.fail_writes()
        equal(seoul.ended_with(), 1, "exit code")
        load.end()
        equal(busan.ask("GET", "/notes").status, 200, "reads go on at the backups")
        refused(busan.ask("POST", "/notes", "{}"), 503, "no_primary", "not_in_sync")
        disk.mend()
        will_not_start(seoul, "noted promote", "busan", "jeju")
        start_with_loss(seoul)
        cluster.wait_in_sync()
        verify(cluster, load)


@suite.alone
def a_backup_whose_disk_fails_under_load_comes_back_with_a_full_copy():
    disk = FailingDisk()
    with Cluster(1, primary=("--backup-timeout-ms", "1000")) as cluster:
        seoul, busan = cluster.servers
        jeju = Member("jeju", *cluster.args, primary=seoul.host, start=False)
        jeju.env = disk.env
        cluster.backups.append(jeju)
        jeju.start()
        cluster.wait_in_sync()
        load = Load([seoul, busan])
        load.progress()
        disk.fail_writes()
        equal(jeju.ended_with(), 1, "exit code")
        load.progress()
        disk.mend()
        jeju.start()
        says(sentence(jeju), "the disk failed in an earlier life", "suspect", "full copy")
        cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)
        jeju.stop()
        jeju.start()
        check("suspect" not in sentence(jeju), f"it is healthy again: {jeju.err()!r}")
        cluster.wait_in_sync()
        equal([n for n in os.listdir(jeju.data) if "suspect" in n or "spare" in n], [], "what is left of it")


@suite.alone
def a_backup_whose_log_rots_comes_back_with_a_full_copy():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        posts(seoul, 60)
        cluster.wait_equal()
        for ending, unreadable in ((busan.stop, False), (busan.kill, False), (busan.stop, True)):
            ending()
            if unreadable:
                disk = FailingDisk()
                path, at = segment_with(busan, b"marker-30-")
                disk.fail_read(os.path.basename(path), at)
                busan.env = disk.env
            else:
                path = rot(busan, b"marker-30-")
            equal(seoul.ask("POST", "/notes", "{}").status, 201, "a write while it is away")
            busan.start()
            says(sentence(busan), re.escape(path) + ", byte", "suspect")
            cluster.wait_in_sync()
            cluster.wait_equal()
            equal(busan.texts("/notes"), seoul.texts("/notes"), "the lists")
            posts(seoul, 60)
            cluster.wait_equal()


@suite.alone
def a_suspect_backup_serves_nothing_and_keeps_what_it_has_while_there_is_no_primary():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        posts(seoul, 60)
        cluster.wait_equal()
        seoul.stop()  # first, so that its set holds busan
        busan.stop()
        path = rot(busan, b"marker-30-")
        with open(path, "rb") as file:
            before = file.read()
        for _ in range(2):
            busan.begin()
            check(busan.alive(), f"it has ended: {busan.err()!r}")
            refused(busan.ask("GET", "/notes/1"), 503, "not_ready")
            refused(busan.ask("POST", "/notes", "{}"), 503, "no_primary")
            cluster.wait(lambda: "suspect" in busan.status()["reason"], "its status says so")
            busan.stop()
            with open(path, "rb") as file:
                check(file.read() == before, "the segment was changed")
        code, _, err = run("promote", "--data", busan.data, "--accept-data-loss")
        check(code == 1 and "suspect" in err, f"it cannot be promoted: {code}, {err!r}")
        seoul.start()
        busan.begin()  # not ready: it cannot know that it has all that was acknowledged before
        refused(seoul.ask("POST", "/notes", "{}"), 503, "waiting_for_members")
        seoul.ask("DELETE", "/_servers/busan")
        cluster.wait_in_sync()
        cluster.wait_equal()


if __name__ == "__main__":
    suite.main()
