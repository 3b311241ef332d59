"""Promotions that are refused: each says why, and changes nothing in any directory."""

import glob
import os
import shutil
import struct

from cluster import Cluster, Member
from harness import Suite, check, equal, folder, run
from promotion import not_promoted, posts, promoted, set_primary, start_as_backup, start_as_primary

suite = Suite()


@suite.alone
def what_is_no_case_for_a_promotion_is_refused_with_the_reason():
    with Cluster(1) as cluster, Cluster(0) as other:
        seoul, busan = cluster.servers
        posts(busan, 2)
        not_promoted(busan, "in use by another server")
        busan.stop()
        not_promoted(busan, "is a primary, and answers", "--accept-data-loss", asks=[seoul])
        not_promoted(busan, "belongs to another cluster", "--accept-data-loss", asks=[other.primary])
        nothing = Member("nothing", start=False)
        not_promoted(nothing, "No such file")
        os.mkdir(nothing.data)
        not_promoted(nothing, "no data directory")
        new = Member("new", "--threads", "2", primary="127.0.0.1:1", start=False)
        new.begin()
        new.stop()
        not_promoted(new, "never followed a primary", "--accept-data-loss")
        set_primary(new, None)
        new.start()  # and so it simply starts, as the primary of a cluster with an identity
        check(int(new.status()["cluster"], 16) != 0, "the cluster of a first primary")
        new.stop()
        not_promoted(new, "was the primary itself", "--accept-data-loss")
        file = folder("backup")
        equal(run("backup", file, "--server", seoul.host)[0], 0, "exit code of a backup")
        restored = Member("restored", start=False)
        equal(run("restore", file, "--data", restored.data)[0], 0, "exit code of a restore")
        not_promoted(restored, "half installed", "--accept-data-loss")
        for args in ((), ("--data",), ("--data", busan.data, "--server", "busan"), ("--data", busan.data, "--yes")):
            equal(run("promote", *args)[0], 2, f"exit code of noted promote {args}")
        busan.start()
        cluster.wait_in_sync()


@suite.alone
def an_old_primarys_directory_is_only_read_and_must_be_the_last():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        posts(busan, 2)
        seoul.stop()
        older = Member("older", data=folder("older"), start=False)
        shutil.copytree(seoul.data, older.data)
        seoul.start()
        cluster.wait_in_sync()
        posts(busan, 2)
        seoul.kill()
        busan.stop()
        not_promoted(busan, "older copy", old=older)
        not_promoted(busan, "is a copy of this one's", old=busan_copy(busan))
        damaged = Member("damaged", data=folder("damaged"), start=False)
        shutil.copytree(busan.data, damaged.data)
        damage(damaged)
        not_promoted(damaged, "damaged", "--accept-data-loss")
        before = contents(seoul.data)
        promoted(busan, old=seoul)
        equal(contents(seoul.data) == before, True, "the old primary's directory is as it was")
        not_promoted(busan, "already, to generation 1", old=seoul)
        start_as_primary(cluster, busan)
        start_as_backup(seoul, busan)
        cluster.wait_in_sync()
        cluster.wait_equal()


@suite.alone
def a_damaged_log_of_the_old_primary_leaves_the_proof_that_stands_beside_it():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        posts(busan, 20)
        cluster.wait_equal()
        listed = busan.texts("/notes")
        seoul.kill()
        busan.stop()
        gone = copy_of(seoul, "gone")
        shutil.rmtree(gone.data + "/log")
        before = contents(gone.data)
        said = promoted(copy_of(busan, "another"), old=gone, asks=[jeju])
        check("every acknowledged write is here" in said and "nothing left to compare" in said, said)
        equal(contents(gone.data) == before, True, "the directory without a log is as it was")
        damage(seoul)
        doubtful = copy_of(seoul, "doubtful")
        damage_older_identity(doubtful)
        said = not_promoted(busan, "nothing proves", old=doubtful, asks=[jeju])
        check("identity.0 and identity.1" in said and "may have been the newer" in said, said)
        said = promoted(busan, old=seoul, asks=[jeju])
        check("every acknowledged write is here" in said, said)
        check("the log of seoul is damaged" in said and ".log, byte 4096" in said and "logs agree at entry" in said, said)
        start_as_primary(cluster, busan)
        jeju.stop()
        start_as_backup(jeju, busan)
        cluster.backups = [jeju]
        cluster.wait_in_sync()
        equal(busan.texts("/notes"), listed, "the list")


def copy_of(server, name):
    copy = Member(server.name, data=folder(name), start=False)
    shutil.copytree(server.data, copy.data)
    return copy


def busan_copy(busan):
    copy = Member("busan", data=folder("copy"), start=False)
    shutil.copytree(busan.data, copy.data)
    return copy


def damage(server):
    """One byte of the log's first frame, which others follow."""
    with open(sorted(glob.glob(server.data + "/log/*.log"))[0], "r+b") as file:
        file.seek(4096 + 100)
        byte = file.read(1)
        file.seek(4096 + 100)
        file.write(bytes([byte[0] ^ 1]))


def damage_older_identity(server):
    """Which of the two copies is the older is not to be seen once one cannot be read."""
    def count(path):
        with open(path, "rb") as file:
            return struct.unpack("<Q", file.read()[16:24])[0]
    path = min((f"{server.data}/identity.{n}" for n in (0, 1)), key=count)
    with open(path, "r+b") as file:
        file.seek(50)
        byte = file.read(1)
        file.seek(50)
        file.write(bytes([byte[0] ^ 1]))


def contents(data):
    return {path: (open(path, "rb").read(), os.stat(path).st_mtime_ns)
            for path in glob.glob(data + "/**", recursive=True) if os.path.isfile(path)}


if __name__ == "__main__":
    suite.main()
