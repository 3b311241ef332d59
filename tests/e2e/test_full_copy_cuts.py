"""Full copies that are cut off: whoever dies or stands still in the middle, it ends in sync, and no half is served."""

import os

from cluster import Load, verify
from copies import Trimmed, copied, has, in_the_middle
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
def after_a_kill_of_the_primary_a_copy_goes_on():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        for share in (0.2, 0.6):
            in_the_middle(cluster, busan, share)
            cluster.primary.kill()
            serves_no_half(busan, cluster.known)
            cluster.primary.start()
        cluster.whole()
        check("from where it was cut off" in busan.err(), f"it says so: {busan.err()!r}")
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


@suite.alone
def a_backup_that_is_killed_in_the_middle_of_its_copy_gets_another():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        load = Load([cluster.primary])
        for share in (0.1, 0.5):
            in_the_middle(cluster, busan, share)
            busan.kill()
            busan.begin()
            serves_no_half(busan, cluster.known)
        load.progress()
        verify(cluster, load)
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


@suite.alone
def a_backup_that_is_stopped_cleanly_in_its_copy_gets_another():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        in_the_middle(cluster, busan)
        busan.stop()
        busan.begin()
        serves_no_half(busan, cluster.known)
        cluster.whole()
        equal(has(busan, "copy.part"), False, "a part is left")


@suite.alone
def a_copy_that_is_cut_again_and_again_makes_progress():
    with Trimmed(*SLOW) as cluster:
        busan = cluster.join_without_waiting("busan")
        last = 0
        for share in (0.1, 0.3, 0.5, 0.7):
            here, _ = in_the_middle(cluster, busan, share)
            check(here > last, f"{here} bytes, after {last}")
            last = here
            cluster.primary.kill()
            cluster.primary.start()
            cluster.wait(lambda: copied(busan)[0] >= last, "it goes on from where it was")
        cluster.whole()


if __name__ == "__main__":
    suite.main()
