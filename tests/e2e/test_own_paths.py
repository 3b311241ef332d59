"""The server's own paths and the message log, as an operator sees them; must not know how messages are kept."""

import datetime
import json
import re

from harness import (PROTOCOLS, Http, Server, Suite, Tcp, Udp, ask, check, collection, equal, new_key, refused,
                     request, shortened, wait_until)

LINE = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})\] (\S+) (CLIENT|REPLICA) \[(REQUEST|REPLY)\] ([WR]\d) (.*)$")
suite = Suite()


@suite.test
def status_says_what_the_server_is_and_where_it_stands(server):
    made = ask(server, "POST", "/" + collection(), "{}")
    answer = ask(server, "GET", "/_status")
    equal((answer.status, answer.header("Content-Type")), (200, "application/json"), "status and Content-Type")
    status = answer.json()
    equal({n: status[n] for n in ("app_name", "role", "writable", "in_sync", "backups", "ack")},
          {"app_name": "seoul", "role": "primary", "writable": True, "in_sync": ["seoul"], "backups": [], "ack": "all"},
          "members")
    primary = status["primary"]
    check(primary.get("address") == server.host and "seoul" in primary.values(),
          f"primary: {primary}, expected seoul at {server.host}")
    for name in ("epoch", "seq", "durable", "committed", "applied", "uptime_ms", "datagrams_dropped"):
        check(type(status[name]) is int and status[name] >= 0, f"{name}: {status[name]!r} is no number")
    equal(status["seq"], made.seq, "seq")
    check(status["epoch"] >= 1, f"epoch {status['epoch']}")
    check(0 < status["applied"] <= status["committed"] <= status["durable"], f"positions: {status}")
    check(isinstance(status["version"], str) and status["version"], f"version: {status['version']!r}")
    check(status["digest"] not in (None, ""), "there is a digest")


@suite.test
def the_digest_is_of_the_records(server):
    path = "/" + collection()

    def digest():
        return ask(server, "GET", "/_status").json()["digest"]
    seen = [digest()]
    for method, target, body in (("POST", path, '{"a":1}'), ("PUT", path + "/1", '{"a":2}'), ("POST", path, '{"a":1}')):
        ask(server, method, target, body)
        seen.append(digest())
    equal(len(set(seen)), 4, f"different digests of {seen}")
    for id in (1, 2):
        ask(server, "DELETE", f"{path}/{id}")
    equal(digest(), seen[0], "digest after all new records are gone")


@suite.test
def positions_and_uptime_grow(server):
    before = ask(server, "GET", "/_status").json()
    ask(server, "POST", "/" + collection(), "{}")
    after = wait_until(lambda: (s := ask(server, "GET", "/_status").json())["uptime_ms"] > before["uptime_ms"] and s,
                       "uptime")
    for name in ("durable", "committed", "applied"):
        check(after[name] > before[name], f"{name}: {after[name]} after {before[name]}")
    equal((after["seq"], after["epoch"]), (before["seq"] + 1, before["epoch"]), "seq and epoch")


@suite.test
def a_live_server_is_healthy_and_ready_on_every_protocol(server):
    for protocol in PROTOCOLS:
        with protocol(server) as client:
            for path in ("/_health", "/_ready", "/_ready?max_lag_ms=100"):
                equal(client.ask("GET", path).status, 200, f"status of {path} over {protocol.__name__}")
            equal(client.ask("GET", "/_status").json()["app_name"], "seoul", f"status over {protocol.__name__}")
    for value in ("x", "-1", ""):
        refused(ask(server, "GET", f"/_ready?max_lag_ms={value}"), 400, "bad_parameter")


@suite.test
def what_is_not_there_yet_is_404_on_every_protocol(server):
    for protocol in PROTOCOLS:
        with protocol(server) as client:
            for path in ("/_changes", "/_changes?since=0", "/_openapi.json", "/", "/_nothing",
                         "/_status/x"):
                refused(client.ask("GET", path), 404, "not_found")


@suite.test
def an_unknown_own_path_is_404_whatever_the_method(server):
    with Http(server) as http:
        for method, body in (("POST", "{}"), ("PUT", "{}"), ("PATCH", "{}"), ("DELETE", None), ("OPTIONS", None)):
            refused(http.ask(method, "/_nothing", body), 404, "not_found")


@suite.test
def own_paths_are_only_read(server):
    for path in ("/_status", "/_health", "/_ready", "/_messages", "/_metrics"):
        for method in ("POST", "PUT", "DELETE"):
            with Http(server) as http:
                answer = refused(http.ask(method, path, None if method == "DELETE" else "{}"), 405,
                                 "method_not_allowed")
            equal({m.strip() for m in answer.header("Allow").split(",")}, {"GET", "HEAD", "OPTIONS"},
                  f"Allow of {path}")
        equal(ask(server, "HEAD", path).status, 200, f"status of HEAD {path}")
        equal(ask(server, "OPTIONS", path).status, 204, f"status of OPTIONS {path}")
    with Tcp(server) as tcp:
        refused(tcp.ask("DELETE", "/_status"), 405, "method_not_allowed")


# --- messages ---

def messages(server, after=0):
    return ask(server, "GET", f"/_messages?after={after}").json()


def last(server):
    return max([m["n"] for m in messages(server)], default=0)


@suite.test
def a_message_has_its_members_and_its_line(server):
    path, before = "/" + collection(), last(server)
    ask(server, "POST", path, '{"title":"a"}')
    ask(server, "GET", path + "/1")

    def four():
        found = {m["step"]: m for m in messages(server, before) if path in m["text"]}
        return len(found) == 4 and found
    found = wait_until(four, "messages of W1, W5, R1 and R2")
    for step, kind, start in (("W1", "REQUEST", f'POST {path} {{"title":"a"}}'), ("W5", "REPLY", ""),
                              ("R1", "REQUEST", f"GET {path}/1"), ("R2", "REPLY", "")):
        message = found[step]
        equal(set(message) >= {"n", "time", "app_name", "actor", "kind", "step", "text", "line"}, True,
              f"members of {message}")
        equal((message["app_name"], message["actor"], message["kind"]), ("seoul", "CLIENT", kind), f"{step}")
        check(message["text"].startswith(start), f"text of {step}: {message['text']!r}, expected {start!r}")
        equal(message["line"], f"[{message['time']}] seoul CLIENT [{kind}] {step} {message['text']}", f"line of {step}")
        check(LINE.match(message["line"]), f"line {message['line']!r}")
    check('{"id":1,"title":"a"}' in found["W5"]["text"] or "201" in found["W5"]["text"],
          f"W5 says the outcome: {found['W5']}")
    equal([found[s]["n"] for s in ("W1", "W5", "R1", "R2")], sorted(m["n"] for m in found.values()),
          "order of the numbers")
    at = datetime.datetime.strptime(found["W1"]["time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=datetime.timezone.utc)
    off = abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds())
    check(off < 120, f"time {found['W1']['time']} is {off} s from now in UTC")


@suite.test
def messages_are_numbered_and_asked_for_after_a_number(server):
    path = "/" + collection()
    for _ in range(5):
        ask(server, "POST", path, "{}")
    all_of_them = messages(server)
    ids = [m["n"] for m in all_of_them]
    equal(ids, sorted(set(ids)), "numbers")
    middle = ids[len(ids) // 2]
    later = messages(server, middle)
    equal([m for m in later if m["n"] <= ids[-1]], [m for m in all_of_them if m["n"] > middle],
          f"messages after {middle}")
    equal(messages(server, 1 << 60), [], "messages after a number that is not yet")
    check(ask(server, "GET", "/_messages").json()[:1], "without after= there are messages")
    for value in ("x", "-1", "1.5", ""):
        refused(ask(server, "GET", f"/_messages?after={value}"), 400, "bad_parameter")


@suite.test
def writes_over_every_protocol_are_in_the_messages(server):
    for protocol in PROTOCOLS:
        path, before = "/" + collection(), last(server)
        with protocol(server) as client:
            client.ask("POST", path, '{"n":1}', key=new_key())
        for step in ("W1", "W5"):
            wait_until(lambda: any(m["step"] == step and path in m["text"] for m in messages(server, before)),
                       f"{step} of a write over {protocol.__name__}")


@suite.test
def messages_are_there_over_tcp_and_udp(server):
    path, before = "/" + collection(), last(server)
    ask(server, "POST", path, "{}")
    with Tcp(server) as tcp:
        wait_until(lambda: any(path in m["text"] for m in tcp.ask("GET", f"/_messages?after={before}").json()),
                   "messages over TCP")
    answer = Udp(server).ask("GET", f"/_messages?after={1 << 60}")
    equal((answer.status, answer.text), (200, "[]"), "messages over UDP after a number that is not yet")


def events(http):
    """Server-sent events as they come: (id, message)."""
    text = b""
    for piece in http.chunks():
        text += piece
        while b"\n\n" in text:
            event, _, text = text.partition(b"\n\n")
            fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line and line[:1] != b":")
            if b"data" in fields:
                yield int(fields[b"id"]), json.loads(fields[b"data"])


@suite.test
def messages_come_as_server_sent_events_while_they_happen(server):
    path, before = "/" + collection(), last(server)
    ask(server, "POST", path, '{"n":"before"}')
    with Http(server) as http:
        http.send(request("GET", f"/_messages?after={before}", None, [("Accept", "text/event-stream")]))
        status, headers = http.head()
        headers = {n.lower(): v for n, v in headers}
        equal((status, headers.get("content-type", "").split(";")[0]), (200, "text/event-stream"),
              "status and Content-Type")
        numbers, wanted, sent_more = [], {("W1", "before"), ("W1", "while")}, False
        for number, message in events(http):
            equal(number, message["n"], "id of an event and number of its message")
            numbers.append(number)
            wanted -= {(step, word) for step, word in wanted if message["step"] == step
                       and f'"{word}"' in message["text"]}
            if not wanted:
                break
            if not sent_more:
                sent_more = True
                ask(server, "POST", path, '{"n":"while"}')
        equal(wanted, set(), "messages that did not come")
        equal(numbers, sorted(set(numbers)), "numbers of the events")
        check(numbers[0] > before, f"first number {numbers[0]}, expected above {before}")
    check(server.alive(), "the server goes on when the reader goes away")


@suite.test
def one_who_follows_the_messages_holds_up_nobody(server):
    with Http(server, receive_bytes=4096) as http:
        http.send(request("GET", "/_messages", None, [("Accept", "text/event-stream")]))
        http.head()
        path = "/" + collection()
        with Tcp(server) as tcp:
            for n in range(1, 1500):
                equal(tcp.ask("POST", path, '{"t":"' + "x" * 200 + '"}').json()["id"], n, "id")


@suite.alone
def messages_on_stdout_are_the_lines():
    with Server("--messages", "stdout", name="busan") as server:
        ask(server, "POST", "/notes", '{"title":"안녕"}')
        ask(server, "GET", "/notes/1")
        with Tcp(server) as tcp:
            tcp.ask("PATCH", "/notes/1", '{"b":2}')
        Udp(server).ask("GET", "/notes/1")

        def lines():
            found = [m.groups() for m in map(LINE.match, server.out().splitlines()) if m]
            steps = [f[4] for f in found]
            return steps.count("W5") >= 2 and steps.count("R2") >= 2 and found
        found = wait_until(lines, "two W5 and two R2 on stdout")
        first = found[0]
        equal(first[1:], ("busan", "CLIENT", "REQUEST", "W1", 'POST /notes {"title":"안녕"}'), "the first line")
        kinds = {(step, actor, kind) for _, _, actor, kind, step, _ in found}
        equal(kinds, {("W1", "CLIENT", "REQUEST"), ("W5", "CLIENT", "REPLY"), ("R1", "CLIENT", "REQUEST"),
                      ("R2", "CLIENT", "REPLY")}, "steps")
        texts = [m["line"] for m in ask(server, "GET", "/_messages").json()]
        check(texts[0] in server.out().splitlines(), f"the first of /_messages, {texts[0]!r}, is a line of stdout")


@suite.alone
def nothing_that_a_client_sends_breaks_a_line():
    with Server("--messages", "stdout") as server:
        fake = "[2026-11-22 19:10:00.123456] seoul CLIENT [REPLY] W5 fake"
        with Http(server) as http:
            http.ask("POST", "/notes", '{\n"a" :\n"b"\r\n}')
            http.ask("POST", "/notes", f'{{"a":"\n{fake}\n"}}')
            http.ask("POST", "/notes", f'{{"a":"\\n{fake}\\n"}}')
            http.ask("POST", "/notes", b'\xff\xfe\n\x1b[31m\x00')
            http.ask("PUT", "/notes/1", '{"long":"' + "가" * 5000 + '"}')
        with Tcp(server) as tcp:
            tcp.ask("GET", f"/notes\n{fake}\n/1\u0000\u001b[31m")
            tcp.ask("GET", "/notes/1", rid="\n" + "x")
        ask(server, "GET", "/the-end/1")
        wait_until(lambda: "/the-end/1" in server.out(), "the last message")
        lines = server.out().removesuffix("\n").split("\n")
        wrong = [line for line in lines[1:] if not LINE.match(line)]
        equal(wrong, [], "lines of stdout that are no messages")
        equal([line for line in lines if line.startswith(fake)], [], "lines that a client made")
        check(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", "".join(lines)), "no control characters on stdout")
        json.loads(ask(server, "GET", "/_messages").text)


@suite.alone
def without_the_flag_stdout_has_the_ready_line_only():
    with Server() as server:
        ask(server, "POST", "/notes", "{}")
        equal(server.out().count("\n"), 1, f"lines of stdout: {server.out()!r}")


@suite.test
def metrics_are_prometheus_text(server):
    path = "/" + collection()
    ask(server, "POST", path, "{}")
    answer = ask(server, "GET", "/_metrics")
    equal(answer.status, 200, "status")
    check(answer.header("Content-Type").startswith("text/plain; version=0.0.4"), f"Content-Type: {answer.headers}")
    values, typed = {}, set()
    for line in answer.text.split("\n"):
        comment = re.fullmatch(r"# (HELP|TYPE) (noted_[a-z_]+) (.+)", line)
        sample = re.fullmatch(r'(noted_[a-z_]+)(\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})? (\d+(?:\.\d+)?)', line)
        check(comment or sample, f"neither comment nor sample: {line!r}")
        if comment and comment[1] == "TYPE":
            check(comment[2] not in typed and comment[3] in ("gauge", "counter"), f"line {line!r}")
            typed.add(comment[2])
        elif sample:
            check(sample[1] in typed, f"{line!r} comes before its type")
            values[sample[1] + (sample[2] or "")] = float(sample[3])
    status = ask(server, "GET", "/_status").json()
    for metric, name in (("noted_seq", "seq"), ("noted_applied_index", "applied"), ("noted_records", "records")):
        equal(values[metric], status[name], metric)
    equal((values["noted_primary"], values["noted_writable"], values["noted_in_sync_servers"]), (1, 1, 1), "values")
    equal(values['noted_info{app_name="seoul",version="%s"}' % status["version"]], 1, "info")
    with Tcp(server) as tcp:
        over_tcp = tcp.ask("GET", "/_metrics")
        check(over_tcp.json().startswith("# HELP noted_info "), f"over TCP: {shortened(over_tcp.text)}")
    refused(Udp(server).ask("GET", "/_metrics"), 413, "use_tcp")


if __name__ == "__main__":
    suite.main()
