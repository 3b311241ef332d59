"""The primary is lost, and the operator promotes a backup: nothing acknowledged is lost unknown to anybody, and the old
primary, whenever it is back, takes no writes."""

import shutil

from cluster import Cluster, Load, Member, Relay, Write, sentence, verify
from failing_disk import FailingDisk
from harness import Http, Late, Suite, Tcp, as_bytes, check, equal, folder, head_of, refused, run, together
from promotion import not_promoted, posts, promote, promoted, set_primary, start_as_backup, start_as_primary

suite = Suite()


# --- the whole way ---

@suite.alone
def the_primary_is_killed_under_load_and_the_better_backup_takes_over():
    with Cluster(2) as cluster:
        seoul, busan, jeju = cluster.servers
        load = Load(cluster.servers)
        load.progress(10)
        seoul.kill()
        best, other = busan, jeju
        best.stop()
        code, said = promote(best, asks=[seoul, other], old=seoul)
        if code != 0:  # the other one got the entry that was on its way
            check("jeju at" in said and "has more" in said and "Promote that one" in said, f"refusal: {said}")
            best, other = jeju, busan
            other.begin()
            best.stop()
            said = promoted(best, asks=[seoul, other], old=seoul)
        check("every acknowledged write is here" in said, f"the proof: {said}")
        start_as_primary(cluster, best)
        load.progress(5, servers=[best])
        other.stop()
        start_as_backup(other, best)
        load.progress(5, servers=[best, other])
        start_as_backup(seoul, best)
        cluster.wait_in_sync()
        load.progress(5)
        verify(cluster, load)
        equal({s.status()["epoch"] for s in cluster.servers}, {(1 << 32) + 1}, "epochs")
        equal(best.status()["generation"], 1, "generation")


@suite.alone
def what_was_under_way_is_found_by_its_key_and_ids_go_on():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        relay = Relay(seoul)
        jeju = cluster.join("jeju", through=relay)
        cluster.wait_in_sync()
        posts(jeju, 3)
        write = Write("POST", "/notes", '{"kept":1}')
        relay.hold()
        with Http(seoul, seconds=1) as client:  # on the disks of seoul and busan: acknowledged to nobody
            try:
                check(False, f"it was answered without jeju: {write.send(client).text}")
            except Late:
                pass
        cluster.wait(lambda: busan.status()["last"] == seoul.status()["last"], "busan has the entry")
        seoul.kill()
        jeju.stop()
        relay.close()
        not_promoted(jeju, "busan at", asks=[busan], old=seoul)
        busan.stop()
        promoted(busan, asks=[jeju], old=seoul)
        start_as_primary(cluster, busan)
        start_as_backup(jeju, busan)
        first = jeju.ask("POST", "/notes", write.body, key=write.key)
        equal((first.status, first.text), (201, '{"id":4,"kept":1}'), "the first answer to the key")
        equal(busan.ask("POST", "/notes", "{}").json()["id"], 5, "the next id")
        start_as_backup(seoul, busan)
        cluster.wait_in_sync()
        equal(seoul.ask("POST", "/notes", write.body, key=write.key).text, first.text, "the repeat at seoul")
        equal(len(seoul.ask("GET", "/notes").json()), 5, "records at seoul")
        cluster.wait_equal()


# --- primaries that were not dead ---

@suite.alone
def a_primary_that_stands_still_is_not_replaced_without_the_operators_word_and_is_told():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        relay = Relay(seoul)
        jeju = cluster.join("jeju", through=relay)
        cluster.wait_in_sync()
        posts(busan, 3)
        relay.hold()  # so that a write is under way when seoul stands still
        with Tcp(seoul, seconds=30) as client:
            client.send(as_bytes(head_of("POST", "/notes", key="under-way-1")) + b'{"a":1}')
            cluster.wait(lambda: busan.status()["last"] == seoul.status()["last"] > seoul.status()["committed"],
                         "the entry is on busan's disk")
            seoul.pause()
            jeju.stop()
            busan.stop()
            spare = Member("busan", data=folder("copy"), start=False)
            shutil.copytree(busan.data, spare.data)
            together(lambda: not_promoted(spare, "gives no answer", asks=[seoul]),
                     lambda: promoted(busan, "--accept-data-loss", asks=[seoul]))
            not_promoted(spare, "stands still on it", old=seoul)
            start_as_primary(cluster, busan)
            start_as_backup(jeju, busan)
            posts(jeju, 2)
            seoul.go_on()
            answer = client.answer()
        relay.close()
        equal((answer.status, answer.code), (503, "outcome_unknown"), f"what was under way ({answer.text})")
        cluster.wait(lambda: "knows that this is the primary" in sentence(busan), "seoul was told")
        refused(seoul.ask("POST", "/notes", "{}"), 503, "no_primary")
        refused(seoul.ask("GET", "/_ready"), 503, "no_primary")
        check("promoted" in seoul.status()["reason"] and not seoul.status()["writable"], "what /_status says")
        seoul.stop()
        code, _, err = run(*seoul.command[1:])  # not even by mistake
        check(code == 1 and "is a backup's data directory" in err and "noted promote" in err, f"{code}, {err}")
        start_as_backup(seoul, busan)
        cluster.wait_in_sync()
        again = seoul.ask("POST", "/notes", '{"a":1}', key="under-way-1")
        equal((again.status, again.json()["id"]), (201, 4), "the repeat, which busan had")
        equal([r["id"] for r in jeju.ask("GET", "/notes").json()], [1, 2, 3, 4, 5, 6], "ids")
        cluster.wait_equal()


@suite.alone
def a_primary_that_went_on_alone_is_told_and_nothing_of_it_is_thrown_away():
    with Cluster(1) as cluster:
        seoul, busan = cluster.servers
        posts(busan, 2)
        busan.stop()
        cluster.wait(lambda: seoul.status()["in_sync"] == ["seoul"], "busan is dropped")
        posts(seoul, 2)  # acknowledged, and nowhere else
        seoul.kill()
        said = not_promoted(busan, "--accept-data-loss", asks=[seoul], old=seoul)
        check("without busan" in said and "{seoul}" in said, f"what is known: {said}")
        said = not_promoted(busan, "--old-state", asks=[seoul])
        check("after it had dropped busan" in said and "what seoul has" in said, f"what is not known: {said}")
        promoted(busan, "--accept-data-loss", asks=[seoul])
        start_as_primary(cluster, busan)
        posts(busan, 1)
        seoul.start()  # as primary, by mistake
        cluster.wait(lambda: not seoul.status()["writable"], "seoul was told")
        refused(seoul.ask("POST", "/notes", "{}"), 503, "no_primary")
        equal(len(seoul.ask("GET", "/notes").json()), 4, "its records are there to be looked at")
        seoul.stop()
        set_primary(seoul, busan)
        seoul.begin()
        cluster.wait(lambda: "differ" in sentence(seoul), "it says why it is not taken")
        refused(seoul.ask("GET", "/notes"), 503, "not_ready")
        seoul.stop()
        shutil.rmtree(seoul.data)
        seoul.start()
        cluster.wait_in_sync()
        equal(len(seoul.ask("GET", "/notes").json()), 3, "records of the new history")


@suite.alone
def a_primary_says_that_it_is_retired_when_it_is_for_any_later_life():
    """A later promotion calls no primary that said so: it has to know in its next life, too."""
    disk = FailingDisk()
    with Cluster(2, start=False) as cluster:
        seoul = cluster.primary
        disk.start(seoul)
        busan, jeju = cluster.join("busan"), cluster.join("jeju")
        cluster.wait_in_sync()
        seoul.pause()
        jeju.stop()
        busan.stop()
        promoted(busan, "--accept-data-loss", asks=[seoul])
        disk.hold_writes("/identity.")
        seoul.go_on()
        start_as_primary(cluster, busan)
        cluster.wait(lambda: "promoted" in seoul.status().get("reason", ""), "seoul was told")
        busan.stop()
        said = not_promoted(jeju, "it lives", "--accept-data-loss", asks=[seoul])
        check("retired" not in said, f"what is said of seoul: {said}")
        disk.mend()
        cluster.wait(lambda: seoul.status()["generation"] == 1, "it is on seoul's disk")
        said = promoted(jeju, "--accept-data-loss", asks=[seoul])
        check("retired" in said and "generation 2" in said, f"what is said of seoul: {said}")


if __name__ == "__main__":
    suite.main()
