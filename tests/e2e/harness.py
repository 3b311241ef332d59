"""Starts real servers, speaks to them byte by byte, runs tests; must not know how a server works inside."""

import atexit
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

NOTED = os.path.abspath(os.environ.get("NOTED", "build/noted"))
START_S, STOP_S, TEST_S, ANSWER_S = 20, 20, 60, 15
SANITIZER_REPORT = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed)")
READY = re.compile(r"^noted: (\S+) ready on (\S+):(\d+) \((primary|backup of \S+)\)$", re.M)

scratch = tempfile.mkdtemp(prefix="noted-e2e-")
running = set()
numbers = itertools.count(1)


class Failed(Exception):
    """What a test expected did not happen."""


class Gone(Failed):
    """The server closed the connection, or does not answer datagrams."""


class Late(Failed):
    """The server is silent."""


class NotRun(Exception):
    """This machine does not let the test run."""


# --- what tests say ---

def shortened(value):
    text = repr(value)
    return text if len(text) <= 400 else text[:300] + " … " + text[-80:]


def equal(actual, expected, what="value"):
    if actual != expected:
        raise Failed(f"{what}: got {shortened(actual)}, expected {shortened(expected)}")


def check(condition, reason):
    if not condition:
        raise Failed(reason)


def among(actual, choices, what="value"):
    if actual not in choices:
        raise Failed(f"{what}: got {shortened(actual)}, expected one of {shortened(choices)}")


def refused(answer, status, *codes):
    """The answer is the contract's error object with this status and one of these codes."""
    equal(answer.status, status, f"status of {shortened(answer.text)}")
    among(answer.code, codes, "code")
    head = f'{{"msg":"ERROR","status":{status},"code":"{answer.code}","detail":"'
    check(answer.text.startswith(head), f"got {shortened(answer.text)}, expected it to begin with {head}")
    check(answer.json()["detail"], "the detail is empty")
    return answer


def wait_until(condition, what, seconds=15.0):
    """Asks again until `condition` returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: still {shortened(value)} after {seconds} s")
        time.sleep(0.005)


def together(*functions, seconds=TEST_S):
    """Runs the functions at the same time; their results, or the first exception."""
    results, errors = [None] * len(functions), []

    def run(place, function):
        try:
            results[place] = function()
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    threads = [threading.Thread(target=run, args=a, daemon=True) for a in enumerate(functions)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if errors:
        raise errors[0]
    check(not any(thread.is_alive() for thread in threads), f"a thread is still at work after {seconds} s")
    return results


def collection():
    """A name that no other test of this file uses."""
    return f"c{next(numbers)}"


def new_key():
    return "key-" + uuid.uuid4().hex


# --- the server ---

def folder(name="data"):
    return os.path.join(scratch, f"{name}{next(numbers)}")


def environment(extra=None):
    """Ours, without what would set the server's settings by accident."""
    env = {k: v for k, v in os.environ.items() if k not in ("APP_NAME", "LOCAL_PORT") and not k.startswith("NOTED_")}
    # A small quarantine, so that resident memory means something under AddressSanitizer.
    env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"), "quarantine_size_mb=8"]))
    env.update(extra or {})
    return env


def run(*args, env=None, cwd=None, seconds=START_S):
    """Runs noted to its end: (exit code, stdout, stderr)."""
    process = subprocess.Popen([NOTED, *args], env=environment(env), cwd=cwd, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.add(process)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise Failed(f"noted {' '.join(args)} should have ended; it said {shortened((out, err))}") from None
    finally:
        running.discard(process)
    err = err.decode("utf-8", "replace")
    check(not SANITIZER_REPORT.search(err), f"a sanitizer reports: {err}")
    return process.returncode, out.decode("utf-8", "replace"), err


class Server:
    """One `noted serve` on a free port with its own data directory, which survives restarts."""

    def __init__(self, *args, data=None, env=None, cwd=None, name="seoul", bare=False, start=True):
        self.data, self.name, self.env, self.cwd = data or folder(), name, env, cwd
        usual = () if bare else ("--app-name", name, "--local-port", "0", "--data", self.data)
        self.command = [NOTED, "serve", *usual, *args]
        self.process = None
        if start:
            self.start()

    def start(self, seconds=START_S):
        self.out_path, self.err_path = folder("out"), folder("err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(self.command, env=environment(self.env), cwd=self.cwd,
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        running.add(self.process)
        wait_until(lambda: self.process.poll() is not None or READY.search(self.out()), "ready line", seconds)
        ready = READY.search(self.out())
        check(ready, f"ended with {self.process.poll()} before it was ready: {shortened(self.err())}")
        self.ready_name, self.address, self.port, self.role = ready[1], ready[2], int(ready[3]), ready[4]
        self.host = f"{self.address}:{self.port}"

    def out(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def end(self, how, expected):
        """Sends the signal and waits; the exit code must be the expected one."""
        process, self.process = self.process, None
        check(process.poll() is None, f"the server had ended with {process.returncode}: {shortened(self.err())}")
        process.send_signal(how)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"the server was still there {STOP_S} s after {how.name}: {shortened(self.err())}") from None
        finally:
            running.discard(process)
        check(not SANITIZER_REPORT.search(self.err()), f"a sanitizer reports: {self.err()[:3000]}")
        equal(process.returncode, expected, f"exit code after {how.name} ({shortened(self.err())})")

    def stop(self, how=signal.SIGTERM):
        self.end(how, 0)

    def kill(self):
        self.end(signal.SIGKILL, -signal.SIGKILL)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def memory_mb(self):
        """Resident memory that is not a mapped file."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1]) / 1024

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if self.process is not None and kind is None:
                self.stop()
        finally:
            self.give_up()
            shutil.rmtree(self.data, ignore_errors=True)

    def give_up(self):
        """Ends it whatever its state; nothing is checked."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            running.discard(self.process)
            self.process = None


def sanitized():
    with open(NOTED, "rb") as file:
        return b"__asan_init" in file.read()


# --- the wire ---

class Answer:
    """One answer of any protocol. `text` is the body exactly as it came, or the error object."""

    def __init__(self, status, text, seq=None, etag=None, copies=None, rid=None, headers=(), raw=b""):
        self.status, self.text, self.seq, self.etag, self.copies = status, text, seq, etag, copies
        self.rid, self.headers, self.raw = rid, headers, raw

    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json().get("code") if self.status >= 400 else None

    def header(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        check(len(values) <= 1, f"header {name} came more than once: {values}")
        return values[0] if values else None

    def number(self, name):
        value = self.header(name)
        return int(value) if value is not None and value.isdigit() else value


def connect(sock, server):
    """To the server. Where it is dead, the system may give a socket that server's port, connected with itself."""
    sock.connect((server.address, server.port))
    if sock.getsockname() == sock.getpeername():
        sock.close()
        raise ConnectionRefusedError(f"nothing listens at {server.host}")


class Wire:
    """A TCP connection that sees every byte."""

    def __init__(self, server, seconds=ANSWER_S, receive_bytes=None):
        self.host, self.seconds, self.kept = server.host, seconds, bytearray()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(seconds)
        connect(self.socket, server)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.sendall(data)

    def end_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def more(self):
        """Reads what has come; False at the end."""
        try:
            piece = self.socket.recv(262144)
        except socket.timeout:
            raise Late(f"nothing came for {self.seconds} s, after {shortened(bytes(self.kept))}") from None
        self.kept += piece
        return bool(piece)

    def exactly(self, size):
        while len(self.kept) < size:
            if not self.more():
                raise Gone(f"the connection ended after {len(self.kept)} of {size} bytes")
        piece = bytes(self.kept[:size])
        del self.kept[:size]
        return piece

    def until(self, mark):
        start = 0
        while (at := self.kept.find(mark, start)) < 0:
            start = max(0, len(self.kept) - len(mark))
            if not self.more():
                raise Gone(f"the connection ended after {shortened(bytes(self.kept))}, before {mark!r}")
        return self.exactly(at + len(mark))

    def rest(self):
        """Everything until the server closes; a reset counts as closed."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        piece = bytes(self.kept)
        self.kept.clear()
        return piece

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def as_bytes(body):
    if isinstance(body, (dict, list)):
        body = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return body.encode() if isinstance(body, str) else body


def request(method, path, body=None, headers=(), version="1.1"):
    """An HTTP request's bytes; Host and Content-Length are added where they are not given."""
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {path} HTTP/{version}"]
    if "host" not in names:
        lines.append("Host: localhost")
    lines += [f"{name}: {value}" for name, value in headers]
    body = as_bytes(body)
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


class Http(Wire):
    def ask(self, method, path, body=None, headers=(), key=None, if_match=None, min_seq=None, wait_ms=None,
            type=None, version="1.1"):
        extra = [("Idempotency-Key", key), ("Noted-Min-Seq", min_seq), ("Noted-Wait-Ms", wait_ms),
                 ("If-Match", if_match if if_match in (None, "*") else f'"{if_match}"'), ("Content-Type", type)]
        headers = [*headers, *((n, v) for n, v in extra if v is not None)]
        self.send(request(method, path, body, headers, version))
        return self.answer(method)

    def head(self):
        """The next answer's status and headers."""
        lines = self.until(b"\r\n\r\n")[:-4].decode("utf-8").split("\r\n")
        check(re.fullmatch(r"HTTP/1\.[01] \d\d\d( .*)?", lines[0]), f"no status line: {lines[0]!r}")
        check(not any("\n" in line or "\r" in line for line in lines), f"a bare line end in {lines!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            check(colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), f"no header line: {line!r}")
            headers.append((name, value.strip()))
        return int(lines[0][9:12]), headers

    def chunks(self):
        """The pieces of a chunked body, as they come."""
        while True:
            size = int(self.until(b"\r\n")[:-2].split(b";")[0], 16)
            if not size:
                while self.until(b"\r\n") != b"\r\n":
                    pass
                return
            yield self.exactly(size)
            equal(self.exactly(2), b"\r\n", "end of a chunk")

    def answer(self, method="GET"):
        status, headers = self.head()
        answer = Answer(status, None, headers=headers)
        coding, length = answer.header("Transfer-Encoding"), answer.header("Content-Length")
        check(not (coding and length), f"both Transfer-Encoding and Content-Length: {headers}")
        if method == "HEAD" or status in (204, 304) or status < 200:
            body = b""
        elif coding:
            equal(coding.lower(), "chunked", "Transfer-Encoding")
            body = b"".join(self.chunks())
        else:
            body = self.rest() if length is None else self.exactly(int(length))
        answer.raw = body
        answer.text = body.decode("utf-8").removesuffix("\n")
        answer.seq, answer.copies = answer.number("Noted-Seq"), answer.number("Noted-Copies")
        tag = answer.header("ETag")
        if tag is not None:
            check(re.fullmatch(r'"[1-9]\d*"', tag), f"ETag {tag!r} is no quoted seq")
            answer.etag = int(tag[1:-1])
        return answer


def member(text, name):
    """The exact text of one member of a JSON object."""
    decoder, at = json.JSONDecoder(), 1
    while at < len(text):
        while text[at] in " ,:\t\r\n":
            at += 1
        if text[at] == "}":
            return None
        found, at = decoder.raw_decode(text, at)
        while text[at] in " :\t\r\n":
            at += 1
        start = at
        _, at = decoder.raw_decode(text, at)
        if found == name:
            return text[start:at]
    return None


def head_of(method, path, **members):
    """The head of a JSON request."""
    return {"method": method, "pattern": path, **{n: v for n, v in members.items() if v is not None}}


def json_answer(raw):
    """What came over TCP or UDP, as an answer."""
    text = raw.decode("utf-8")
    value = json.loads(text)
    check(isinstance(value, dict) and isinstance(value.get("status"), int), f"no answer: {shortened(text)}")
    if value.get("msg") == "ERROR":
        return Answer(value["status"], text.removesuffix("\n"), rid=value.get("rid"), raw=raw)
    check(text.startswith('{"status":'), f"an answer begins with its status: {shortened(text)}")
    etag = value.get("etag")
    check(etag is None or isinstance(etag, str) and etag.isdigit(), f"etag {etag!r} is no string of digits")
    return Answer(value["status"], member(text, "body"), value.get("seq"), etag and int(etag), value.get("copies"),
                  value.get("rid"), raw=raw)


class Tcp(Wire):
    def answer(self):
        return json_answer(self.until(b"\n"))

    def tell(self, head, payload=None):
        self.send(as_bytes(head) + b" " + (as_bytes(payload) or b"") + b"\n")
        return self.answer()

    def ask(self, method, path, body=None, **members):
        return self.tell(head_of(method, path, **members), body)


class Udp:
    """Each request has its own socket, so that a late answer to a repeat disturbs nobody."""

    def __init__(self, server, seconds=ANSWER_S):
        self.address, self.port, self.host, self.seconds = server.address, server.port, server.host, seconds

    def exchange(self, datagram):
        """Sends until an answer comes from the address that was asked: its bytes."""
        end, wait_s = time.monotonic() + self.seconds, 0.5
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            connect(sock, self)
            while time.monotonic() < end:
                sock.send(datagram)
                sock.settimeout(wait_s)
                try:
                    return sock.recv(65536)
                except socket.timeout:
                    wait_s = min(2 * wait_s, 4)
        raise Gone(f"no answer to the datagram {shortened(datagram)} within {self.seconds} s")

    def tell(self, head, payload=None):
        return json_answer(self.exchange(as_bytes(head) + b" " + (as_bytes(payload) or b"")))

    def ask(self, method, path, body=None, key=None, **members):
        if key is None and method not in ("GET", "HEAD", "OPTIONS"):
            key = new_key()
        return self.tell(head_of(method, path, key=key, **members), body)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


PROTOCOLS = (Http, Tcp, Udp)


def ask(server, method, path, body=None, **rest):
    """One HTTP request on a connection of its own."""
    with Http(server) as http:
        return http.ask(method, path, body, **rest)


def pipelined(server, requests, end=b"\n"):
    """Sends all JSON requests on one connection while reading; the raw answers, one each."""
    with Tcp(server) as tcp:
        sender = threading.Thread(target=lambda: tcp.send(b"".join(requests)), daemon=True)
        sender.start()
        answers = [tcp.until(end) for _ in requests]
        sender.join(ANSWER_S)
    return answers


def serves(server, seconds=5.0):
    """The server is alive, and writes and reads within a deadline."""
    check(server.alive(), f"the server has ended: {shortened(server.err())}")
    with Http(server, seconds=seconds) as http:
        made = http.ask("POST", "/alive", '{"a":1}')
        equal(made.status, 201, f"POST after it ({shortened(made.text)})")
        equal(http.ask("GET", made.header("Location")).text, made.text, "the record just written")


# --- the tests of a file ---

class Suite:
    """Tests in their order. They share one server (or what `make` makes), except those that want their own or none."""

    def __init__(self, *args, make=Server):
        self.args, self.make, self.tests, self.server = args, make, [], None

    def test(self, function):
        """Gets the file's server."""
        self.tests.append((function, None))
        return function

    def own(self, *args):
        """Gets a server of its own with these flags, stopped after it."""
        return lambda function: self.tests.append((function, args)) or function

    def alone(self, function):
        """Gets nothing, and starts what it needs."""
        self.tests.append((function, False))
        return function

    def call(self, function, args):
        if args is False:
            function()
        elif args is not None:
            with self.make(*args) as server:
                function(server)
        else:
            if self.server is None or not self.server.alive():
                self.server = self.make(*self.args)
            function(self.server)
            check(self.server.alive(), f"the server ended during it: {shortened(self.server.err())}")

    def outcome(self, name, call):
        """Runs one test: 'ok', 'not ok' or '# not run', with its line."""
        signal.setitimer(signal.ITIMER_REAL, TEST_S)
        started = time.monotonic()
        try:
            call()
            verdict, line = "ok", f"ok {name}"
        except NotRun as reason:
            verdict, line = "# not run", f"# not run: {name}: {reason}"
        except Failed as reason:
            verdict, line = "not ok", f"not ok {name} - {reason}"
        except Exception as error:  # a broken connection, a wrong shape, the deadline: a failed test
            frames = []
            trace = error.__traceback__
            while trace:
                frames.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
                trace = trace.tb_next
            verdict, line = "not ok", f"not ok {name} - {type(error).__name__}: {error} ({' '.join(frames[-4:])})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if os.environ.get("E2E_TIMES"):
            line += f"  # {time.monotonic() - started:.2f} s"
        print(line.replace("\n", "\\n"), flush=True)
        return verdict

    def main(self):
        """Runs all, or those whose names hold one of the words given. Never returns."""
        check(os.access(NOTED, os.X_OK), f"there is no server at {NOTED}: set NOTED")
        words = sys.argv[1:]
        chosen = [(f, a) for f, a in self.tests if not words or any(w in f.__name__ for w in words)]
        verdicts = [self.outcome(f.__name__, lambda f=f, a=a: self.call(f, a)) for f, a in chosen]
        if self.server is not None:
            ending = self.server.stop if self.server.alive() else lambda: check(False, "it had ended before")
            verdicts.append(self.outcome("the_file's_server_stops_cleanly", ending))
        print(f"{verdicts.count('ok')} passed, {verdicts.count('not ok')} failed", flush=True)
        sys.exit(1 if "not ok" in verdicts else 0)


def clean_up():
    for process in list(running):
        if process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(scratch, ignore_errors=True)


def too_long(*_):
    raise Failed(f"it took longer than {TEST_S} s")


atexit.register(clean_up)
signal.signal(signal.SIGALRM, too_long)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
