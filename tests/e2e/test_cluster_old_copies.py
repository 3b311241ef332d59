"""Data directories that are older than they should be, copied, emptied or of another boot: nothing is silently lost."""

import glob
import shutil
import time

from cluster import Cluster, Load, Member, Stranger, is_refused, sentence, unharmed, verify
from harness import Suite, check, equal, folder, wait_until

suite = Suite()


def posts(server, count, path="/notes"):
    for n in range(count):
        equal(server.ask("POST", path, {"n": n}).status, 201, "status of a POST")


def copy_of(server):
    copy = folder("copy")
    shutil.copytree(server.data, copy)
    return copy


def exchange(server, copy):
    """Puts the copy in its place; where the true one is now."""
    aside = folder("aside")
    shutil.move(server.data, aside)
    if copy is not None:
        shutil.copytree(copy, server.data)
    return aside


def back_in_place(server, aside):
    shutil.rmtree(server.data)
    shutil.move(aside, server.data)


def a_primary_that_lost(cluster, old):
    """Its directory is an older copy, or empty. Its backup keeps what it has; then the true one comes back."""
    seoul, busan = cluster.servers
    listed = busan.texts("/notes")
    cluster.stop()
    aside = exchange(seoul, old)
    seoul.start()
    busan.begin()
    usual = "connected to"
    wait_until(lambda: any(usual not in line and "does not answer" not in line for s in cluster.servers
                           for line in sentence(s).splitlines()), "one of them says what is wrong", 10)
    if old is not None:  # busan was in sync with it: without busan it takes no write
        answer = seoul.ask("POST", "/notes", '{"again":1}')
        equal((answer.status, answer.code), (503, "waiting_for_members"), f"a write there ({answer.text})")
    check(busan.alive() is False or busan.ask("POST", "/notes", "{}").status == 503, "busan takes no write")
    said = f"{sentence(seoul)} / {sentence(busan)}"
    seoul.stop()
    if busan.alive():
        busan.stop()
    elif busan.process is not None:
        busan.ended_with()
    back_in_place(seoul, aside)
    seoul.start()
    busan.start()
    cluster.wait_in_sync()
    cluster.wait_equal()
    for server in cluster.servers:
        equal(server.texts("/notes"), listed, f"the list at {server.name} when the true primary is back ({said})")
    unharmed(cluster)


@suite.alone
def a_primary_with_an_older_directory_makes_its_backup_forget_nothing():
    with Cluster(1) as cluster:
        posts(cluster.backups[0], 5)
        cluster.primary.stop()  # first, so that its set holds busan
        cluster.backups[0].stop()
        old = copy_of(cluster.primary)
        cluster.primary.start()
        cluster.backups[0].start()
        cluster.wait_in_sync()
        posts(cluster.backups[0], 5)
        a_primary_that_lost(cluster, old)


@suite.alone
def a_primary_with_an_empty_directory_makes_its_backup_forget_nothing():
    with Cluster(1) as cluster:
        posts(cluster.backups[0], 10)
        a_primary_that_lost(cluster, None)


@suite.alone
def a_backup_with_an_older_directory_is_refused_until_it_is_emptied():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        posts(seoul, 5)
        busan.stop()
        old = copy_of(busan)
        busan.start()
        cluster.wait_in_sync()
        posts(busan, 20)
        busan.stop()
        exchange(busan, old)
        busan.begin()
        is_refused(busan, "lost|less|older", empty=False)
        equal(jeju.ask("POST", "/notes", "{}").copies, 2, "copies while it is refused")
        if busan.alive():
            busan.stop()
        exchange(busan, None)
        busan.start()
        unharmed(cluster)
        equal(busan.texts("/notes"), seoul.texts("/notes"), "the lists")


@suite.alone
def a_copied_server_beside_the_true_one_harms_nobody():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        posts(seoul, 5, "/before")
        busan.stop()
        copy = copy_of(busan)
        busan.start()
        cluster.wait_in_sync()
        load = Load(cluster.servers)
        load.progress(10)
        said = seoul.err().count("\n")
        with Stranger("busan", data=copy, primary=seoul.host) as clone:
            for _ in range(5):
                load.progress(10)
            quiet = time.monotonic() + 2
            wait_until(lambda: time.monotonic() > quiet, "two seconds of both")
            lines = seoul.err().splitlines()[said:]
            check(len(lines) < 8, f"the two take turns: in 2 s the primary said {len(lines)} lines, {lines[:6]}")
            check([sentence(s) for s in (clone, busan) if "busan" in sentence(s)], "the refused one says why")
            load.progress(10)
        verify(cluster, load)


@suite.alone
def a_backup_that_followed_another_primary_of_the_same_directory_is_never_mixed():
    """An operator starts a copy of the primary, and the backup follows it for a while: two histories of one cluster."""
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        posts(busan, 5)
        seoul.stop()  # first, so that its set holds busan
        busan.stop()
        copy = copy_of(seoul)
        with Stranger("seoul", data=copy) as other:
            away = Member("busan", *cluster.args, primary=other.host, data=busan.data, start=False)
            away.begin()
            cluster.wait(lambda: other.status()["writable"], "the copy is a primary")
            posts(other, 3)
            wait_until(lambda: away.status()["seq"] == 8, "the backup has what the copy took")
            away.stop()
        seoul.start()  # its next life has perhaps the number of the copy's
        busan.begin()
        wait_until(lambda: sentence(busan), "it says what became of it")
        quiet = time.monotonic() + 2
        wait_until(lambda: time.monotonic() > quiet, "two seconds of both")
        answer = seoul.ask("POST", "/notes", '{"n":"other"}')
        equal((answer.status, answer.code), (503, "waiting_for_members"), f"a write at the first ({answer.text})")
        if busan.alive():
            check(busan.ask("GET", "/_ready").status == 503, "the backup is not ready")
            status = busan.status()
            check(status["seq"] >= 8, f"the backup has cut off what was acknowledged: {status}")
            busan.stop()
        else:
            busan.ended_with()
        check(sentence(busan), "the backup says why")
        away = Member("busan", *cluster.args, primary=other.host, data=busan.data, start=False)
        with Stranger("seoul", data=copy, port=other.port) as other:
            away.begin()
            cluster.wait(lambda: other.status()["writable"], "the copy is a primary again, with the backup")
            wait_until(lambda: away.ask("GET", "/notes").status == 200, "the backup, just started, serves reads")
            equal(len(away.ask("GET", "/notes").json()), 8, "records of both")
            away.stop()


def lose_the_end(server):
    """Of its log, as by a disk that had promised more than it kept."""
    for segment in sorted(glob.glob(server.data + "/log/*.log"), reverse=True):
        with open(segment, "r+b") as file:
            kept = len(file.read().rstrip(b"\0"))
            if kept > 20_000:  # not one that is only prepared
                file.seek(kept - 6000)
                file.write(b"\0" * 6000)
                return
    check(False, "there is no segment with entries")


@suite.alone
def a_backup_whose_log_has_lost_its_end_gets_a_full_copy_by_itself():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        for ending in (busan.kill, busan.stop):
            posts(seoul, 40)
            cluster.wait_equal()
            ending()
            lose_the_end(busan)
            busan.start()
            check("suspect" in sentence(busan), f"it says why: {busan.err()!r}")
            unharmed(cluster)
            equal(busan.texts("/notes"), seoul.texts("/notes"), "the lists")


@suite.alone
def after_a_crash_of_the_machines_nothing_acknowledged_is_lost():
    """Another boot's storage is not trusted: it is made again from the log."""
    boot = folder("boot")

    def boots(number):
        with open(boot, "w", encoding="ascii") as file:
            file.write(f"11111111-2222-3333-4444-{number:012d}\n")
    boots(0)
    with Cluster(2, "--boot-id-file", boot) as cluster:
        seoul, busan, jeju = cluster.servers
        load = Load(cluster.servers)
        load.progress()
        for number, order in enumerate(([seoul, busan, jeju], [jeju, busan, seoul], [busan, seoul, jeju]), 1):
            made = seoul.ask("POST", "/kept", {"n": number})
            cluster.kill()
            boots(number)
            for server in order:
                server.begin()
                answer = server.ask("GET", f"/kept/{number}")
                check((answer.status, answer.text) == (200, made.text) or answer.code == "not_ready",
                      f"{server.name} answered {answer.text} for a record that was acknowledged")
            cluster.wait_in_sync()
            load.progress(10)
        verify(cluster, load)


@suite.alone
def after_a_crash_of_the_primarys_machine_alone_nothing_acknowledged_is_lost():
    boot = folder("boot")
    with Cluster(0, primary=("--boot-id-file", boot), start=False) as cluster:
        def boots(number):
            with open(boot, "w", encoding="ascii") as file:
                file.write(f"99999999-2222-3333-4444-{number:012d}\n")
        boots(0)
        cluster.primary.start()
        cluster.join("busan")
        cluster.wait_in_sync()
        load = Load(cluster.servers)
        for number in (1, 2):
            load.progress()
            cluster.primary.kill()
            boots(number)
            cluster.primary.start()
            cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)


@suite.alone
def a_server_under_a_new_name_with_its_old_directory_is_one_server():
    """It may be refused or taken, but never counted twice."""
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        posts(seoul, 3)
        jeju.stop()
        with Stranger("daegu", data=jeju.data, primary=seoul.host) as renamed:
            wait_until(lambda: len(sentence(renamed).splitlines()) > 0, "it says what became of it")
            made = busan.ask("POST", "/notes", "{}")
            names = seoul.status()["in_sync"]
            check("jeju" not in names and made.copies <= 3, f"in_sync {names}, copies {made.copies}")
        cluster.backups[1] = Member("jeju", *cluster.args, primary=seoul.host, data=jeju.data, start=False)
        cluster.backups[1].start()
        cluster.wait(lambda: "daegu" not in seoul.status()["in_sync"], "the other name is gone")
        unharmed(cluster)


if __name__ == "__main__":
    suite.main()
