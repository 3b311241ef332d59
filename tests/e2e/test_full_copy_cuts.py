"""Full copies that are cut off: whoever dies or stands still in the middle, it goes on, and no half is served."""

import os
import shutil

from cluster import Load, Relay, verify
from copies import Trimmed, copied, fill_base, has, in_the_middle, trim
from harness import Failed, Suite, check, equal, wait_until

SLOW = ("--copy-bytes-per-s", "2MiB")  # about three seconds for what there is
suite = Suite()


def serves_no_half(server, known):
    """A server that had nothing: not ready, or all of it."""
    try:
        answers = [server.ask("GET", path) for path in ("/base/1", "/base/60", "/base")]
    except OSError:
        return
    for answer in answers:
        check(answer.status in (200, 503), f"{server.name}, which gets a copy, answered {answer.text[:200]}")
    check(answers[0].status == 503 or answers[0].text == known, f"/base/1 at {server.name}: {answers[0].text[:200]}")
    check(answers[2].status == 503 or len(answers[2].json()) == 60, f"/base at {server.name} is not whole")


@suite.alone
def after_each_kill_of_the_primary_a_copy_goes_on_where_it_was():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        last = 0
        for share in (0.1, 0.4, 0.7):
            here, _ = in_the_middle(cluster, busan, share)
            check(here > last, f"{here} bytes, after {last}")
            last = here
            cluster.primary.kill()
            serves_no_half(busan, cluster.known)
            cluster.primary.start()
            cluster.wait(lambda: copied(busan)[0] >= last or busan.ready(), "it goes on from where it was")
        cluster.whole()
        check("from where it was cut off" in busan.err(), f"it says so: {busan.err()!r}")
        check("no checkpoint yet" not in busan.err(), f"the one there is, is read first: {busan.err()!r}")
        load = Load(cluster.servers)
        load.progress()
        verify(cluster, load)


@suite.alone
def after_a_stand_still_of_the_primary_a_copy_goes_on():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        in_the_middle(cluster, busan)
        cluster.primary.pause()
        wait_until(lambda: "has come to a halt" in busan.err(), "busan says that nothing comes", 25)
        serves_no_half(busan, cluster.known)
        cluster.primary.go_on()
        cluster.whole()


def goes_on(cluster, server, least=1):
    """After a start: with what was here, and says so."""
    cluster.wait(lambda: "from where it was cut off" in server.err(), f"{server.name} goes on")
    here, _ = copied(server)
    check(here == 0 or here >= least, f"{here} bytes of the copy are here, of at least {least}")


@suite.alone
def a_backup_that_is_killed_or_stopped_in_the_middle_of_its_copy_goes_on_after_its_start():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        load = Load([cluster.primary])
        for share, end in ((0.3, busan.kill), (0.6, busan.stop)):
            in_the_middle(cluster, busan, share)
            end()
            busan.begin()
            serves_no_half(busan, cluster.known)
            goes_on(cluster, busan)
        load.progress()
        verify(cluster, load)
        cluster.whole()
        check(not has(busan, "copy.0") and not has(busan, "copy.part"), "nothing of the copy is left")


@suite.alone
def a_backup_and_its_primary_that_are_killed_go_on_with_the_copy():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        in_the_middle(cluster, busan, 0.4)
        busan.kill()
        cluster.primary.kill()
        busan.begin()
        serves_no_half(busan, cluster.known)
        cluster.wait(lambda: copied(busan)[0] > 0, "it knows what it has")
        equal(busan.status()["copy"]["state"], "waiting", "state of the copy without a primary")
        cluster.primary.start()
        goes_on(cluster, busan)
        cluster.whole()


@suite.alone
def another_checkpoint_meanwhile_and_the_copy_begins_anew():
    with Trimmed(*SLOW) as cluster:
        seoul = cluster.primary
        busan = cluster.join_without_waiting("busan")
        in_the_middle(cluster, busan, 0.4)
        busan.kill()
        seoul.stop()
        shutil.rmtree(seoul.data)
        seoul.command = [word for word in seoul.command if word not in SLOW]
        seoul.start()  # another cluster, with other records
        fill_base(seoul)
        trim(seoul)
        cluster.known = seoul.ask("GET", "/base/1").text
        busan.begin()
        cluster.whole()
        check("from where it was cut off" not in busan.err(), f"it begins anew: {busan.err()!r}")


@suite.alone
def a_copy_over_a_link_that_breaks_again_and_again_comes_whole():
    with Trimmed(*SLOW) as cluster:
        relay = Relay(cluster.primary)
        try:
            busan = cluster.join_without_waiting("busan", through=relay)
            for share in (0.1, 0.3, 0.5, 0.7):
                in_the_middle(cluster, busan, share)
                relay.cut()
                serves_no_half(busan, cluster.known)
            cluster.whole()
        finally:
            relay.close()


@suite.alone
def a_note_of_a_part_that_is_damaged_or_is_of_no_part_is_of_no_use():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        for harm in ("copy.part", "copy.0"):
            in_the_middle(cluster, busan, 0.4)
            busan.kill()
            for name in ("copy.0", "copy.1") if harm == "copy.0" else (harm,):
                with open(os.path.join(busan.data, name), "r+b") as file:
                    file.truncate(30)
            busan.begin()
            cluster.wait(lambda: "a full copy of" in busan.err(), "a copy comes")
            check("from where it was cut off" not in busan.err(), f"it begins anew: {busan.err()!r}")
        cluster.whole()


@suite.alone
def a_part_that_was_changed_on_the_disk_is_found_out_and_comes_anew():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        in_the_middle(cluster, busan, 0.5)
        busan.kill()
        with open(os.path.join(busan.data, "copy.part"), "r+b") as file:
            file.seek(300_000)
            file.write(b"rubbish")
        busan.begin()
        goes_on(cluster, busan)
        cluster.wait(lambda: "is not whole, and is asked for once more" in busan.err(), "it is found out")
        serves_no_half(busan, cluster.known)
        cluster.whole()


@suite.alone
def a_backup_that_is_killed_while_its_copy_is_installed_ends_in_sync():
    with Trimmed() as cluster:
        load = Load([cluster.primary])
        load.progress()
        for number, name in enumerate(("busan", "jeju", "daegu", "gunsan")):
            server = cluster.join_without_waiting(name)
            try:
                part = os.path.join(server.data, "copy.part")
                when = (lambda: has(server, "copy.part") and os.path.getsize(part) > 6_000_000,
                        lambda: has(server, "checkpoint.mdb"),
                        lambda: has(server, "checkpoint.mdb") and not has(server, "records.mdb"),
                        lambda: has(server, "checkpoint.mdb") and has(server, "records.mdb"))[number]
                wait_until(when, f"a file that says that {name} installs", 2)
            except (Failed, OSError):
                check(server.ready() or server.alive(), f"{name} has ended: {server.err()!r}")
            server.kill()
            server.begin()
            serves_no_half(server, cluster.known)
            cluster.wait(lambda server=server: server.ready(), f"{name} is ready")
            serves_no_half(server, cluster.known)
        cluster.wait_in_sync()
        load.progress()
        verify(cluster, load)
        cluster.whole()


if __name__ == "__main__":
    suite.main()
