"""Many clients at once through all servers and protocols: one order of all writes, and every answer fits into it."""

import json
import os
import random
import threading
import time

from cluster import Cluster, Load, verify
from harness import (PROTOCOLS, Failed, Suite, among, as_bytes, ask, check, collection, equal, head_of,
                     json_answer, new_key, pipelined, together)
from test_random_clients import merged, some_body, text_of

SEED = int(os.environ.get("E2E_SEED", time.time_ns() % 1000000))
SECONDS = 5  # of random clients
LIST_SNAPSHOT_BYTES_MAX = 1 << 20  # a longer list is told in parts, each of its own time
suite = Suite(2, make=Cluster)


def everywhere(cluster):
    return [(server, protocol) for server in cluster.servers for protocol in PROTOCOLS]


@suite.test
def ids_are_unique_and_without_a_gap(cluster):
    path, each = "/" + collection(), 40

    def one_by_one(server, protocol):
        with protocol(server) as client:
            return [client.ask("POST", path, "{}") for _ in range(each)]

    def at_once(server):
        return [json_answer(raw) for raw in pipelined(server, [as_bytes(head_of("POST", path)) + b"{}"] * 200)]
    answers = together(*(lambda a=a: one_by_one(*a) for a in everywhere(cluster)),
                       *(lambda s=s: at_once(s) for s in cluster.servers))
    answers = [answer for of_one in answers for answer in of_one]
    equal({a.status for a in answers}, {201}, "statuses")
    total = 9 * each + 3 * 200
    equal(sorted(a.json()["id"] for a in answers), list(range(1, total + 1)), "ids")
    equal(len({a.seq for a in answers}), total, "different seqs")
    in_order = [a.json()["id"] for a in sorted(answers, key=lambda a: a.seq)]
    equal(in_order, list(range(1, total + 1)), "ids in the order of seqs")
    for server in cluster.servers:
        listed = ask(server, "GET", path, min_seq=max(a.seq for a in answers), wait_ms=5000).json()
        equal([r["id"] for r in listed], list(range(1, total + 1)), f"the list at {server.name}")


@suite.test
def no_increment_is_lost(cluster):
    path, each = "/" + collection(), 8
    ask(cluster.primary, "POST", path, '{"n":0}')

    def add(server, protocol):
        done, lost = [], 0
        with protocol(server) as client:
            while len(done) < each:
                seen = client.ask("GET", path + "/1", min_seq=done[-1].seq if done else None)
                if seen.status == 404:  # not here yet
                    continue
                answer = client.ask("PUT", path + "/1", {"n": seen.json()["n"] + 1}, if_match=str(seen.etag))
                among(answer.status, (200, 412), f"status of a conditional PUT ({answer.text})")
                if answer.status == 200:
                    done.append(answer)
                lost += answer.status == 412
        return done
    answers = [a for of_one in together(*(lambda a=a: add(*a) for a in everywhere(cluster))) for a in of_one]
    in_order = [a.json()["n"] for a in sorted(answers, key=lambda a: a.seq)]
    equal(in_order, list(range(1, 9 * each + 1)), "what the increments made, in the order of seqs")
    for server in cluster.servers:
        read = ask(server, "GET", path + "/1", min_seq=max(a.seq for a in answers), wait_ms=5000)
        equal(read.json()["n"], 9 * each, f"the counter at {server.name}")


@suite.test
def of_keys_raced_through_servers_each_is_executed_once(cluster):
    path, keys = "/" + collection(), [new_key() for _ in range(40)]
    gates = [threading.Barrier(9) for _ in keys]

    def race(server, protocol):
        with protocol(server) as client:
            answers = []
            for key, gate in zip(keys, gates):
                gate.wait(20)
                answer = client.ask("POST", path, '{"a":1}', key=key)
                answers.append((answer.status, answer.text, answer.etag))
            return answers
    racers = everywhere(cluster)
    for (server, protocol), answers in zip(racers, together(*(lambda a=a: race(*a) for a in racers))):
        equal({a[0] for a in answers}, {201}, f"statuses at {server.name}")
        if (server, protocol) == racers[0]:
            first = answers
        equal(answers, first, f"answers at {server.name} over {protocol.__name__}, and of the first")
    equal([r["id"] for r in ask(cluster.primary, "GET", path).json()], list(range(1, 41)), "ids of the records")


@suite.test
def of_different_writes_raced_under_one_key_one_wins(cluster):
    path, keys = "/" + collection(), [new_key() for _ in range(25)]
    gates = [threading.Barrier(9) for _ in keys]

    def race(number, server, protocol):
        with protocol(server) as client:
            answers = []
            for key, gate in zip(keys, gates):
                gate.wait(20)
                answers.append(client.ask("POST", path, {"by": number % 3}, key=key))
            return answers
    racers = everywhere(cluster)
    columns = together(*(lambda n=n, a=a: race(n, *a) for n, a in enumerate(racers)))
    for id, answers in enumerate(zip(*columns), 1):
        won = {a.text for a in answers if a.status == 201}
        equal(len(won), 1, f"answers to the winners of key {id}: {won}")
        winner = json.loads(won.pop())["by"]
        for number, answer in enumerate(answers):
            expected = (201, None) if number % 3 == winner else (422, "key_reused")
            equal((answer.status, answer.code), expected, f"status and code of racer {number}, while {winner} won")
    equal(len(ask(cluster.primary, "GET", path).json()), 25, "how many records")


@suite.alone
def what_writers_at_every_server_were_told_is_what_every_server_has():
    with Cluster(2) as cluster:
        load = Load(cluster.servers, each=2)
        load.progress(40)
        expected = verify(cluster, load)
        equal(cluster.primary.status()["seq"], len(expected.firsts), "seq, and writes that were answered")


# --- random clients, and one order that explains all their answers ---

class Client:
    """Random requests on the records of one collection, through a random server and protocol each time."""

    def __init__(self, rng, cluster, path, everyone):
        self.rng, self.path, self.everyone, self.said = rng, path, everyone, []
        self.clients = [protocol(server) for server, protocol in everywhere(cluster)]
        self.names = [f"{server.name}/{protocol.__name__}" for server, protocol in everywhere(cluster)]
        self.etags, self.used, self.newest = {}, [], 0

    def request(self):
        rng = self.rng
        method = rng.choice(("POST",) * 3 + ("GET",) * 6 + ("PUT", "PUT", "PATCH", "PATCH", "PATCH", "DELETE"))
        target = "" if method == "POST" or method == "GET" and rng.random() < 0.2 else str(rng.randint(1, 25))
        body = text_of(some_body(rng, method == "PATCH")) if method in ("POST", "PUT", "PATCH") else None
        if_match = str(self.etags[target]) if rng.random() < 0.4 and target in self.etags else None
        if method == "GET":
            return method, target, None, None, None
        if self.everyone and rng.random() < 0.1:  # a repeat, perhaps of another client's write
            return rng.choice(self.everyone)
        asked = (method, target, body, new_key() if rng.random() < 0.6 else None, if_match)
        if asked[3]:
            self.everyone.append(asked)
        return asked

    def run(self, end):
        while time.monotonic() < end:
            method, target, body, key, if_match = self.request()
            place = self.rng.randrange(len(self.clients))
            wanted = self.newest if method == "GET" and self.rng.random() < 0.5 else None
            answer = self.clients[place].ask(method, self.path + ("/" + target if target else ""), body, key=key,
                                             if_match=if_match, min_seq=wanted)
            among(answer.status, (200, 201, 404, 412, 413, 422), f"status of {method} ({answer.text})")
            seq = answer.seq if answer.seq is not None else answer.json().get("seq")
            check(wanted is None or answer.status == 413 or seq >= wanted, f"read at {seq}, though {wanted} was asked")
            if method != "GET" and answer.status < 300:
                self.newest = max(self.newest, answer.etag or seq)
            if target and answer.etag:
                self.etags[target] = answer.etag
            self.said.append((self.names[place], method, target, body, key, if_match, answer, seq))
        for client in self.clients:
            client.close()


class Replay:
    """The writes in the order of their seqs, on a model: each state of each record."""

    def __init__(self):
        self.states, self.next_id, self.keys = {}, 1, {}

    def at(self, target, seq):
        """Its (seq of the last change, record) as of seq."""
        found = (0, None)
        for changed, record in self.states.get(target, ()):
            if changed <= seq:
                found = (changed, record)
        return found

    def everything(self, seq):
        return [self.at(t, seq)[1] for t in sorted(self.states, key=int) if self.at(t, seq)[1] is not None]

    def long_list(self, seq, text, what):
        """Over 1 MiB a list is no snapshot: each record is as it was at `seq`, or at some time after."""
        listed = {str(record["id"]): record for record in json.loads(text)}
        equal(list(listed), sorted(listed, key=int), f"{what}: the order of ids")
        for target in listed.keys() - self.states.keys():
            check(False, f"{what}: {listed[target]}, which nobody wrote")
        for target, states in self.states.items():
            allowed = [self.at(target, seq)[1], *(record for changed, record in states if changed > seq)]
            check(listed.get(target) in allowed, f"{what}: got {listed.get(target)}, expected one of {allowed}")

    def execute(self, seq, method, target, body, if_match):
        """The text of the answer."""
        changed, record = self.at(target, seq) if target else (0, None)
        check(method == "POST" or record is not None, f"{method} of {target} at {seq}, where it is not")
        check(if_match in (None, str(changed)), f"{method} of {target} under {if_match} at {seq}, where it is {changed}")
        if method == "POST":
            target, record = str(self.next_id), {"id": self.next_id, **json.loads(body)}
            self.next_id += 1
        elif method == "PUT":
            record = {"id": int(target), **json.loads(body)}
        elif method == "PATCH":
            record = merged(record, json.loads(body))
        self.states.setdefault(target, []).append((seq, None if method == "DELETE" else record))
        return text_of(record)


def explained(said, start):
    """One order explains all answers, or what does not fit."""
    replay, written = Replay(), {}
    repeats = []
    for line in sorted((s for s in said if s[1] != "GET" and s[6].status < 300), key=lambda s: s[7]):
        via, method, target, body, key, if_match, answer, seq = line
        first = replay.keys.get(key) if key else None
        if first is not None:
            repeats.append((first, line))
            continue
        check(seq not in written, f"seq {seq} was given to {written.get(seq)} and {line[:6]}")
        written[seq] = line[:6]
        text = replay.execute(seq, method, target, body, if_match)
        check(answer.text in (text, None), f"{method} {target} at {seq} by {via}: got {answer.text}, expected {text}")
        if key:
            replay.keys[key] = line
    equal(sorted(written), list(range(start + 1, start + len(written) + 1)), "seqs of all writes")
    for first, again in repeats:
        equal((again[1:6], again[6].status, again[6].etag), (first[1:6], first[6].status, first[6].etag),
              f"a repeat by {again[0]} and the first by {first[0]}")
        check(None in (again[6].text, first[6].text) or again[6].text == first[6].text,  # None: too long for UDP
              f"a repeat by {again[0]} got {again[6].text}, the first {first[6].text}")
    for via, method, target, body, key, if_match, answer, seq in said:
        what = f"{method} {target} at {seq} by {via}"
        if answer.status == 422:
            check(False, f"{what}: no key was used for different writes ({answer.text})")
        elif answer.status == 404:
            equal(replay.at(target, seq)[1], None, f"404 to {what}: the record there")
        elif answer.status == 412:
            check(if_match != str(replay.at(target, seq)[0]), f"412 to {what} under {if_match}, which it was")
        elif method == "GET" and answer.status == 200:
            if not target and len(answer.text.encode()) > LIST_SNAPSHOT_BYTES_MAX:
                replay.long_list(seq, answer.text, what)
            else:
                equal(answer.text, text_of(replay.at(target, seq)[1] if target else replay.everything(seq)), what)
    return len(written), len(said)


@suite.alone
def one_order_of_writes_explains_all_answers_of_random_clients():
    try:
        with Cluster(2) as cluster:
            everyone, end = [], time.monotonic() + SECONDS
            clients = [Client(random.Random(f"{SEED} {n}"), cluster, "/notes", everyone) for n in range(6)]
            together(*(lambda c=c: c.run(end) for c in clients))
            writes, all_of_them = explained([line for client in clients for line in client.said], 0)
            check(writes > 100 and all_of_them > 200, f"only {writes} writes in {all_of_them} requests")
            for client in clients:  # on one server reads never go back, nor behind own writes
                last = {}
                for via, method, *_, answer, seq in client.said:
                    name = via.split("/")[0]
                    if method == "GET" and seq is not None:
                        check(seq >= last.get(name, 0), f"a read at {via} is at {seq}, before it was {last.get(name)}")
                    if seq is not None and answer.status < 300:
                        last[name] = max(seq, last.get(name, 0))
            cluster.wait_equal()
            equal(len({s.texts("/notes") for s in cluster.servers}), 1, "different lists")
    except Failed as reason:
        raise Failed(f"seed {SEED}: {reason}") from None


if __name__ == "__main__":
    print(f"# seed {SEED}")
    suite.main()
