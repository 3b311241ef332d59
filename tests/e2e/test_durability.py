"""What was acknowledged stays, through kill -9, stop and crash under load; must not know the files of a server."""

import itertools
import json
import threading

from harness import (PROTOCOLS, Gone, Http, Server, Suite, Tcp, Udp, among, as_bytes, ask, check, equal, folder,
                     head_of,
                     json_answer, new_key, pipelined, request, together, wait_until)

ANSWERS_A_ROUND = 600
suite = Suite()


class Writer(threading.Thread):
    """Writes one after another until the server is gone, and keeps what was answered and what was not."""

    def __init__(self, server, protocol, mark):
        super().__init__(daemon=True)
        self.server, self.protocol, self.mark = server, protocol, mark
        self.done, self.doubtful, self.own, self.failure = [], [], [], None

    def next_writes(self, number):
        text = f'{{"mark":"{self.mark}-{number}","text":"가나다 1.10"}}'
        if self.own and number % 4 == 1:
            return [("PATCH", f"/notes/{self.own[-1]}", f'{{"patched":"{number}"}}', new_key())]
        if self.own and number % 4 == 2:
            return [("PUT", f"/notes/{self.own[-1]}", text, new_key())]
        if self.own and number % 8 == 3:
            return [("DELETE", f"/notes/{self.own.pop()}", None, new_key())]
        return [("POST", "/notes", text, new_key())]

    def take(self, write, answer):
        among(answer.status, (200, 201), f"status of {write[:2]} ({answer.text})")
        self.done.append((write, answer))
        if write[0] == "POST":
            self.own.append(answer.json()["id"])

    def exchange(self, client, writes):
        for method, path, body, key in writes:
            yield client.ask(method, path, body, key=key)

    def connect(self):
        return Udp(self.server, seconds=3) if self.protocol is Udp else self.protocol(self.server)

    def run(self):
        try:
            with self.connect() as client:
                for number in itertools.count():
                    self.doubtful = self.next_writes(number)
                    for answer in self.exchange(client, list(self.doubtful)):
                        self.take(self.doubtful[0], answer)
                        self.doubtful.pop(0)
        except (OSError, Gone):  # the server is gone, perhaps in the middle of an answer
            pass
        except Exception as error:  # raised again by who started this thread
            self.failure = error


class Burst(Writer):
    """Fifty new records at a time on one TCP connection."""

    def next_writes(self, number):
        return [("POST", "/notes", f'{{"mark":"{self.mark}-{number}-{n}"}}', new_key()) for n in range(50)]

    def exchange(self, client, writes):
        client.send(b"".join(as_bytes(head_of(m, p, key=k)) + as_bytes(b) for m, p, b, k in writes))
        for _ in writes:
            yield client.answer()


class Expected:
    """What the store must hold: built from the answers of all writers."""

    def __init__(self):
        self.records, self.ids, self.firsts = {}, set(), []

    def take(self, write, answer):
        method, path, _, _ = write
        if method == "POST":
            id = answer.json()["id"]
            check(id not in self.ids, f"id {id} was handed out twice")
            self.ids.add(id)
        id = answer.json()["id"]
        if method == "DELETE":
            self.records.pop(id, None)
        else:
            self.records[id] = (answer.text, answer.etag)
        self.firsts.append((write, answer))


def load(server, mark, end):
    """Writers over all protocols at once; after enough answers the server is ended under them."""
    kinds = [*PROTOCOLS, *PROTOCOLS]
    writers = [Writer(server, kind, f"{mark}-{n}") for n,
               kind in enumerate(kinds)] + [Burst(server, Tcp, f"{mark}-burst")]
    for writer in writers:
        writer.start()
    wait_until(lambda: min(len(w.done) for w in writers) > 5 and sum(len(w.done) for w in writers) > ANSWERS_A_ROUND,
               "answers from every writer")
    end()
    for writer in writers:
        writer.join(20)
        check(not writer.is_alive(), "a writer is still waiting 20 s after the server has ended")
        if writer.failure:
            raise writer.failure
    return writers


def settle(server, writers, expected):
    """Repeats what was in doubt: each is executed exactly once, now or before."""
    with Http(server) as http:
        for writer in writers:
            for write, answer in writer.done:
                expected.take(write, answer)
            for method, path, body, key in writer.doubtful:
                answer = http.ask(method, path, body, key=key)
                among(answer.status, (200, 201), f"status of the repeat of {method} {path} ({answer.text})")
                expected.take((method, path, body, key), answer)


def verify(server, expected):
    """The server holds exactly what it must, and remembers its answers."""
    records = json.loads(ask(server, "GET", "/notes").text)
    found = {r["id"] for r in records}
    equal(sorted(set(expected.records) - found)[:5], [], "acknowledged records that are lost")
    equal(sorted(found - set(expected.records))[:5], [], "records that should not be there")
    marks = [r["mark"] for r in records if "mark" in r]
    equal(len(marks), len(set(marks)), "marks, and different marks: a write was executed twice")
    ids = sorted(expected.records)
    answers = pipelined(server, [as_bytes(head_of("GET", f"/notes/{id}")) for id in ids])
    for id, raw in zip(ids, answers):
        answer = json_answer(raw)
        equal((answer.text, answer.etag), expected.records[id], f"text and etag of record {id}")
    with Http(server) as http, Tcp(server) as tcp:
        sample = expected.firsts[:20] + expected.firsts[::len(expected.firsts) // 60 + 1] + expected.firsts[-40:]
        for number, ((method, path, body, key), first) in enumerate(sample):
            repeat = (http, tcp)[number % 2].ask(method, path, body, key=key)
            equal((repeat.status, repeat.text, repeat.etag), (first.status, first.text, first.etag),
                  f"repeat of {method} {path}")
    equal(len(json.loads(ask(server, "GET", "/notes").text)), len(ids), "records after the repeats")


def next_id_is_new(server, expected):
    write = ("POST", "/notes", '{"mark":"' + new_key() + '"}', new_key())
    answer = ask(server, *write[:3], key=write[3])
    check(answer.json()["id"] > max(expected.ids), f"id {answer.json()['id']} after {max(expected.ids)}")
    check(answer.etag > max(etag for _, etag in expected.records.values()), f"seq {answer.etag} is not the highest")
    expected.take(write, answer)


@suite.alone
def every_acknowledged_write_outlives_kill_9_under_load():
    expected = Expected()
    with Server() as server:
        for number in range(3):
            writers = load(server, f"kill{number}", server.kill)
            server.start()
            settle(server, writers, expected)
            verify(server, expected)
            next_id_is_new(server, expected)
        check(sum(w.done != [] for w in writers) == 7, "every writer got answers")


@suite.alone
def a_stop_under_load_ends_with_0_and_loses_nothing():
    expected = Expected()
    with Server() as server:
        for number in range(2):
            writers = load(server, f"stop{number}", server.stop)
            server.start()
            settle(server, writers, expected)
            verify(server, expected)
            next_id_is_new(server, expected)


@suite.alone
def a_stop_answers_what_it_has_executed():
    """No write is executed and its answer kept back: as many answers as records."""
    with Server() as server:
        clients = [Tcp(server), Http(server), Tcp(server)]
        for client in clients:
            http = request("POST", "/notes", "{}")
            client.send((http if isinstance(client, Http) else b'{"method":"POST","pattern":"/notes"}{}') * 3000)
        for client in clients:
            equal(client.answer().status, 201, "status of the first")

        def count(client):
            raw = client.rest()
            return 1 + raw.count(b"HTTP/1.1 201 ") + raw.count(b'{"status":201,')
        answers = together(server.stop, *(lambda c=c: count(c) for c in clients))[1:]
        server.start()
        equal(len(ask(server, "GET", "/notes").json()), sum(answers), f"records, and answers {answers} to their writes")


@suite.alone
def a_restart_keeps_positions_ids_and_digest():
    with Server() as server, Http(server) as http:
        for n in range(30):
            http.ask("POST", "/notes", {"n": n})
        http.ask("DELETE", "/notes/30")
        http.ask("POST", "/other", "{}")
        before = http.ask("GET", "/_status").json()
        listed = http.ask("GET", "/notes").text
        for ending in (server.stop, server.kill, server.stop):
            ending()
            server.start()
            status = ask(server, "GET", "/_status").json()
            equal((status["seq"], status["digest"]), (32, before["digest"]), "seq and digest")
            check(status["epoch"] > before["epoch"], f"epoch {status['epoch']} after {before['epoch']}")
            check(status["applied"] >= before["applied"], f"applied {status['applied']} after {before['applied']}")
            answer = ask(server, "GET", "/notes")
            equal((answer.text, answer.seq), (listed, 32), "list and its position")
            before = status
        made = ask(server, "POST", "/notes", "{}")
        equal((made.text, made.seq, made.etag), ('{"id":31}', 33, 33), "the next write")


@suite.alone
def a_server_killed_while_it_starts_loses_nothing():
    with Server() as server:
        with Http(server) as http:
            for n in range(200):
                http.ask("POST", "/notes", {"n": n, "t": "x" * 2000})
            listed = http.ask("GET", "/notes").text
        server.kill()
        for attempt in range(8):
            started = Server(data=server.data, start=False)
            try:
                started.start(seconds=attempt * 0.02)  # too short, on purpose
            except Exception as reason:
                check("ready line" in str(reason), f"the start failed: {reason}")
            started.kill()
        server.start()
        equal(ask(server, "GET", "/notes").text, listed, "the list")


@suite.alone
def all_records_are_there_after_a_crash_of_the_machine():
    """Another boot's storage is not trusted: it is made again from the log."""
    boot = folder("boot")

    def boots(identity):
        with open(boot, "w", encoding="ascii") as file:
            file.write(identity + "\n")
    boots("11111111-2222-3333-4444-555555555555")
    with Server("--boot-id-file", boot) as server:
        keys = [new_key() for _ in range(300)]
        with Http(server) as http:
            first = [http.ask("POST", "/notes", {"n": n}, key=key) for n, key in enumerate(keys)]
            http.ask("DELETE", "/notes/300")
            before, listed = http.ask("GET", "/_status").json(), http.ask("GET", "/notes").text
        for number, ending in enumerate((server.kill, server.kill, server.stop)):
            ending()
            boots(f"99999999-2222-3333-4444-{number:012d}")
            server.start()
            status = ask(server, "GET", "/_status").json()
            equal((status["seq"], status["digest"]), (before["seq"], before["digest"]), "seq and digest")
            equal(ask(server, "GET", "/notes").text, listed, "the list")
            repeat = ask(server, "POST", "/notes", {"n": 7}, key=keys[7])
            equal((repeat.text, repeat.etag), (first[7].text, first[7].etag), "a repeat")
        equal(ask(server, "POST", "/notes", "{}").json()["id"], 301, "the next id")


if __name__ == "__main__":
    suite.main()
