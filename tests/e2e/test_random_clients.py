"""Random pipelines over HTTP and TCP, valid and broken, cut at random places, against a model of one collection."""

import os
import random
import threading
import time

from harness import Failed, Http, Suite, Tcp, among, as_bytes, ask, collection, equal, head_of, request, shortened

SEED = int(os.environ.get("E2E_SEED", time.time_ns() % 1000000))
SECONDS = float(os.environ.get("E2E_SECONDS", 4))  # for each protocol
suite = Suite("--threads", "2")


def text_of(value):
    return "" if value is None else as_bytes(value).decode()


def merged(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class Model:
    """One collection: what each request answers, as (status, code or text, seq or None)."""

    def __init__(self, name, seq):
        self.path, self.seq, self.next_id, self.records, self.keys = "/" + name, seq, 1, {}, {}

    def answers(self, method, target, body, key=None, if_match=None):
        if method not in ("GET", "HEAD") and key in self.keys:
            asked, answer = self.keys[key]
            return answer if asked == (method, target, text_of(body), if_match) else (422, "key_reused", self.seq)
        if method in ("GET", "HEAD") and target == "":
            return 200, text_of(list(r for _, r in sorted(self.records.values(), key=lambda r: r[1]["id"]))), self.seq
        seq, record = self.records.get(target, (0, None))
        if method != "POST" and record is None:
            return 404, "not_found", self.seq
        if if_match is not None and if_match != seq:
            return 412, "precondition_failed", self.seq
        if method in ("GET", "HEAD"):
            return 200, text_of(record), self.seq
        return self.write(method, target, body, key, if_match, record)

    def write(self, method, target, body, key, if_match, record):
        self.seq += 1
        place = target
        if method == "POST":
            record, place = {"id": self.next_id, **body}, str(self.next_id)
            self.next_id += 1
        elif method == "PUT":
            record = {"id": int(target), **body}
        elif method == "PATCH":
            record = merged(record, body)
        self.records[place] = (self.seq, record)
        if method == "DELETE":
            del self.records[place]
        answer = (201 if method == "POST" else 200, text_of(record), self.seq)
        if key is not None:
            self.keys[key] = ((method, target, text_of(body), if_match), answer)
        return answer


def some_value(rng, depth=2):
    kind = rng.randrange(7 if depth else 4)
    if kind < 4:
        return (rng.randrange(-10**9, 10**9), True, "x" * rng.choice((0, 3, 40, 3000)), "눈 {[\"\\\n")[kind]
    if kind == 4:
        return [some_value(rng, 0), None]
    return {rng.choice("abc"): some_value(rng, depth - 1) for _ in range(3)}


def some_body(rng, patch):
    body = {name: some_value(rng) for name in rng.sample("abcdefgh", rng.randrange(5))}
    if patch and rng.random() < 0.5:
        body[rng.choice("abcdefgh")] = None
        body["n"] = {"x": None, "y": {"z": None}, "w": 1}
    return body


class Pipeline:
    """Requests one after another, and what they must be answered with."""

    def __init__(self, rng, model):
        self.rng, self.model, self.raw, self.expected, self.used = rng, model, [], [], []

    def add(self, raw, method, answer):
        self.raw.append(raw)
        self.expected.append((method, *answer))

    def valid(self, encode):
        rng, model = self.rng, self.model
        method = rng.choice(("POST",) * 4 + ("GET",) * 4 + ("PUT", "PUT", "PATCH", "PATCH", "DELETE"))
        target = "" if method == "POST" or method == "GET" and rng.random() < 0.2 else str(rng.randint(1, model.next_id))
        body = some_body(rng, method == "PATCH") if method in ("POST", "PUT", "PATCH") else None
        writes = method != "GET"
        key = f"{model.path}-key-{rng.randrange(10**6)}" if writes and rng.random() < 0.4 else None
        if_match = None
        if target and rng.random() < 0.2:
            if_match = rng.choice((model.records.get(target, (1,))[0], max(1, model.seq - 3)))
        asked = [method, target, body, key, if_match]
        if writes and self.used and rng.random() < 0.15:  # a repeat, or another write under its key
            asked = list(rng.choice(self.used))
            if rng.random() < 0.3:
                asked[0:3] = "POST", "", {"other": rng.random() < 0.5}
        elif key:
            self.used.append(asked)
        shown, raw = encode(rng, model.path + ("/" + asked[1] if asked[1] else ""), *asked)
        self.add(raw, shown, model.answers(*asked))


# --- HTTP ---

def chunked(rng, body):
    pieces = []
    while body:
        size = rng.randint(1, len(body))
        pieces.append(b"%x%s\r\n%s\r\n" % (size, rng.choice((b"", b";a=b", b" ; q")), body[:size]))
        body = body[size:]
    return b"".join(pieces) + b"0\r\n" + rng.choice((b"", b"Trailer: x\r\n")) + b"\r\n"


def http_request(rng, path, method, target, body, key, if_match):
    if method == "GET" and rng.random() < 0.2:
        method = "HEAD"
    fields = [("Idempotency-Key", key), ("If-Match", if_match and f'"{if_match}"')]
    headers = [(name, value) for name, value in fields if value is not None]
    if body is None or rng.random() < 0.6:
        return method, request(method, path, body, headers)
    if rng.random() < 0.2:
        headers.append(("Expect", "100-continue"))
    return method, request(method, path, None, [*headers, ("Transfer-Encoding", "chunked")]) + chunked(rng, as_bytes(body))


def http_mistakes(path):
    """Those after which the connection goes on."""
    te = [("Transfer-Encoding", "chunked")]
    return [(request("POST", path, "{x}"), 400, "bad_json"), (request("POST", path, "[1]"), 400, "not_object"),
            (request("POST", path, ""), 400, "bad_json"), (request("POST", path), 411, "length_required"),
            (request("POST", path, None, te) + b"3\r\n[1]\r\n0\r\n\r\n", 400, "not_object"),
            (request("POST", path, '{"id":1}'), 400, "id_not_allowed"),
            (request("PUT", path + "/1", '{"id":2}'), 409, "id_mismatch"),
            (request("PUT", path + "/01", "{}"), 400, "bad_id"), (request("PUT", path, "{}"), 405, "method_not_allowed"),
            (request("POST", path, "{}", [("Idempotency-Key", "short")]), 400, "bad_key"),
            (request("POST", path, "{}", [("Content-Type", "text/plain")]), 415, "unsupported_type"),
            (request("POST", path, "{}", [("Origin", "http://evil.example")]), 403, "foreign_origin"),
            (request("GET", path + "?x=1"), 400, "bad_parameter"), (request("BREW", path, "{}"), 501, "not_implemented"),
            (request("GET", path, None, [("Noted-Min-Seq", "999999999"), ("Noted-Wait-Ms", "1")]), 503, "lagging"),
            (request("POST", path, None, te + [("Noted-Min-Seq", "999999999"), ("Noted-Wait-Ms", "1")])
             + b"2\r\n{}\r\n0\r\n\r\n", 503, "lagging")]


def http_ends(path):
    """Those after which nothing is answered any more."""
    te = [("Transfer-Encoding", "chunked")]
    return [(request("GET", path)[:-2] + b"X : y\r\n\r\n", 400, "bad_request"), (b"GET / HTTP/1.1\n\n", 400, "bad_request"),
            (request("POST", path, "{}", te + [("Content-Length", "2")]), 400, "bad_request"),
            (request("POST", path, None, te) + b"2\r\r\n0\r\n\r\n", 400, "bad_request"),
            (request("POST", path, None, te) + b"2\r\n{}0\r\n\r\n", 400, "bad_request"),
            (request("POST", path, None, [("Content-Length", "9999999")]), 413, "too_large"),
            (request("GET", path, version="3.0"), 505, "bad_version"),
            (request("GET", path + "/" + "1" * 3000), 414, "uri_too_long"),
            (request("GET", path + "/0", None, [("Connection", "close")]), 400, "bad_id")]


# --- TCP ---

def tcp_request(rng, path, method, target, body, key, if_match):
    head = head_of(method, path, key=key, if_match=if_match if if_match is None else str(if_match))
    between = rng.choice((b"", b" ", b"\r\n\t"))
    if body is None:
        return method, as_bytes(head) + between
    if rng.random() < 0.3:
        return method, as_bytes({**head, "body": body}) + between
    return method, as_bytes(head) + between + as_bytes(body) + between


def tcp_mistakes(path):
    far = {"min_seq": 999999999, "wait_ms": 1}
    return [(as_bytes({**head_of("POST", path), "body": [1]}), 400, "not_object"),
            (as_bytes(head_of("POST", path)) + b"[]", 400, "not_object"),
            (as_bytes(head_of("POST", path)) + b'{"id":1}', 400, "id_not_allowed"),
            (as_bytes(head_of("PUT", path + "/1")) + b'{"id":2}', 409, "id_mismatch"),
            (as_bytes(head_of("DELETE", path + "/01")), 400, "bad_id"),
            (as_bytes(head_of("PUT", path)) + b"{}", 405, "method_not_allowed"),
            (as_bytes(head_of("POST", path, key="short")) + b"{}", 400, "bad_key"),
            (as_bytes(head_of("POST", path, type="text/plain")) + b"{}", 415, "unsupported_type"),
            (as_bytes(head_of("GET", path, nonsense=1)), 400, "bad_request"), (b'{"pattern":"/a"}', 400, "bad_request"),
            (as_bytes(head_of("BREW", path)), 501, "not_implemented"),
            (as_bytes(head_of("GET", path, **far)), 503, "lagging"),
            (as_bytes(head_of("POST", path, **far)) + b"{}", 503, "lagging")]


def tcp_ends(path):
    post = as_bytes(head_of("POST", path))
    return [(b"]", 400, "bad_json"), (b"1 ", 400, "not_object"), (b'{"a":1,}', 400, "bad_json"),
            (post + b'""', 400, "not_object"), (post + b'{"a":01}', 400, "bad_json"), (post + b'{"a":1,"a":2}', 400, "bad_json"),
            (post + b'{"a":"\xff"}', 400, "bad_json")]


# --- both ---

def send_cut(rng, wire, raw):
    """In pieces, most of them at once, some a moment apart."""
    cuts = sorted(rng.randrange(len(raw)) for _ in range(rng.choice((0, 1, 5, 40))))
    try:
        for start, end in zip([0, *cuts], [*cuts, len(raw)]):
            wire.send(raw[start:end])
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.003)
    except OSError:  # the server closed behind an error, as it may
        pass


def next_answer(wire, method):
    if isinstance(wire, Tcp):
        return wire.answer()
    while (answer := wire.answer(method)).status == 100:
        pass
    return answer


def check_answers(wire, expected):
    for place, (method, status, said, seq) in enumerate(expected):
        answer = next_answer(wire, method)
        what = f"answer {place} of {len(expected)}, to {method}"
        equal(answer.status, status, f"status of {what} ({shortened(answer.text)}; expected {shortened(said)})")
        if method != "HEAD":
            equal(answer.code if status >= 400 else answer.text, said, what)
        if seq:  # a refusal on the state of a new server, 0, does not name it
            equal(answer.seq or answer.json().get("seq"), seq, f"seq of {what}")


def one_round(server, rng, kind, encode, mistakes, ends):
    model = Model(collection(), ask(server, "GET", "/_status").json()["seq"])
    line = Pipeline(rng, model)
    for _ in range(rng.choice((3, 20, 120))):
        if rng.random() < 0.12:
            raw, status, code = rng.choice(mistakes(model.path))
            line.add(raw, "POST", (status, code, None))
        else:
            line.valid(encode)
    ended = rng.random() < 0.5
    if ended:
        raw, status, code = rng.choice(ends(model.path))
        line.add(raw, "GET", (status, code, None))
        line.raw.append(line.raw[0] * rng.randrange(3))  # nobody may look at it
    with kind(server) as wire:
        sender = threading.Thread(target=send_cut, args=(rng, wire, b"".join(line.raw)), daemon=True)
        sender.start()
        check_answers(wire, line.expected)
        sender.join()
        if not ended and rng.random() < 0.5:
            wire.end_sending()
            ended = True
        if ended:
            equal(wire.rest(), b"", "what follows the last answer")
    equal(ask(server, "GET", model.path).text, model.answers("GET", "", None)[1], "the list at the end")


def rounds(server, *how):
    end, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        try:
            one_round(server, random.Random(f"{SEED} {number}"), *how)
        except Failed as reason:
            raise Failed(f"seed {SEED}, round {number}: {reason}") from None
        number += 1
    among(number > 5, (True,), f"rounds enough ({number})")


@suite.test
def http_pipelines_are_answered_as_the_model_says(server):
    rounds(server, Http, http_request, http_mistakes, http_ends)


@suite.test
def tcp_pipelines_are_answered_as_the_model_says(server):
    rounds(server, Tcp, tcp_request, tcp_mistakes, tcp_ends)


if __name__ == "__main__":
    print(f"# seed {SEED}")
    suite.main()
