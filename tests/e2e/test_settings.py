"""Settings from flags, environment, file and defaults, and what is refused at start; knows little of what they do."""

import os
import re
import signal
import socket

from harness import (Http, Server, Suite, Tcp, as_bytes, ask, check, equal, folder, head_of, json_answer, refused,
                     request,
                     run, serves, wait_until)

FLAGS = {"--app-name": "host name", "--local-port": "5000", "--listen": "127.0.0.1", "--serve": "http,tcp,udp",
         "--data": "./data/", "--primary": "(none)", "--ack": "all", "--min-copies": "1",
         "--backup-timeout-ms": "5000 ms",
         "--threads": "CPUs", "--log-bytes": "4", "--key-window-s": "300", "--keys-max": "1000000", "--keys-bytes": "1",
         "--messages": "off", "--checkpoint-bytes": "1", "--copy-bytes-per-s": "200", "--scrub-s": "3600 s"}
suite = Suite()


def file_of(text):
    path = folder("settings")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def name_of(server):
    return ask(server, "GET", "/_status").json()["app_name"]


@suite.alone
def help_lists_every_setting_with_its_default():
    code, out, err = run("serve", "--help")
    equal((code, err), (0, ""), "exit code and stderr")
    for flag, default in FLAGS.items():
        at = out.find(flag + " ")
        check(at >= 0, f"{flag} is not in the help: {out}")
        entry = out[at:at + 400]
        check(default in entry, f"the default {default} of {flag} is not in {entry!r}")
    for variable in ("APP_NAME", "LOCAL_PORT", "NOTED_SERVE", "NOTED_KEYS_MAX"):
        check(variable in out, f"{variable} is not in the help")


@suite.alone
def the_flag_beats_the_environment_beats_the_file_beats_the_default():
    path = file_of("app-name = from-file\nserve = http\n")
    cases = (((), {}, ["--config", path], "from-file"), ((), {"APP_NAME": "from-env"}, ["--config", path], "from-env"),
             (("--app-name", "from-flag"), {"APP_NAME": "from-env"}, ["--config", path], "from-flag"),
             ((), {"APP_NAME": "from-env", "NOTED_CONFIG": path}, [], "from-env"), ((), {}, [], socket.gethostname()))
    for flags, env, config, expected in cases:
        with Server(*flags, *config, env={"LOCAL_PORT": "0", "NOTED_DATA": folder(), **env}, bare=True) as server:
            equal((server.ready_name, name_of(server)), (expected, expected), f"name with {flags}, {env}, {config}")


@suite.alone
def a_file_gives_settings_one_a_line():
    data = folder()
    path = file_of(f"  local-port=0\n\napp-name   =   busan  \ndata = {data}\nkeys-max = 1\nmessages = stdout\n")
    with Server("--config", path, bare=True) as server:
        equal(server.ready_name, "busan", "name")
        check(os.path.isdir(data), f"{data} is there")
        with Http(server) as http:
            equal(http.ask("POST", "/notes", "{}", key="12345678").status, 201, "status under the first key")
            refused(http.ask("POST", "/notes", "{}", key="12345679"), 503, "busy")
        wait_until(lambda: "W1 POST /notes" in server.out(), "a message on stdout")


@suite.alone
def environment_variables_set_every_other_flag():
    env = {"NOTED_SERVE": "http", "NOTED_KEYS_MAX": "1", "NOTED_THREADS": "1", "NOTED_MESSAGES": "stdout"}
    with Server(env=env) as server:
        with Http(server) as http:
            equal(http.ask("POST", "/notes", "{}", key="12345678").status, 201, "status under the first key")
            refused(http.ask("POST", "/notes", "{}", key="12345679"), 503, "busy")
        with Tcp(server) as tcp:
            refused(tcp.ask("GET", "/notes"), 501, "not_implemented")
        wait_until(lambda: "W1 POST /notes" in server.out(), "a message on stdout")


@suite.alone
def the_default_data_folder_is_named_after_the_server():
    work = folder("work")
    os.makedirs(work)
    with Server("--app-name", "jeju", "--local-port", "0", bare=True, cwd=work) as server:
        ask(server, "POST", "/notes", "{}")
        check(os.listdir(os.path.join(work, "data", "jeju")), "./data/jeju holds something")


@suite.alone
def what_is_unknown_or_impossible_is_refused_by_name():
    wrong = (("--colour", "red"), ("--local-port", "65536"), ("--local-port", "abc"), ("--local-port", "-1"),
             ("--local-port", ""),
             ("--serve", "ftp"), ("--serve", ""), ("--serve", "http,,udp"), ("--threads", "0"), ("--threads", "x"),
             ("--threads", "1000000"), ("--key-window-s", "0"), ("--key-window-s", "5 minutes"), ("--keys-max", "-5"),
             ("--keys-max", "99999999999999999999"), ("--keys-bytes", "1 pound"), ("--log-bytes", "1"),
             ("--log-bytes", "1023KiB"), ("--checkpoint-bytes", "1"), ("--copy-bytes-per-s", "1 byte"),
             ("--scrub-s", "0"),
             ("--messages", "loud"), ("--primary", ""), ("--primary", "nowhere"), ("--primary", "127.0.0.1:0"),
             ("--primary", "::1:5000"), ("--ack", "some"), ("--min-copies", "0"), ("--backup-timeout-ms", "1"),
             ("--listen", "nowhere"), ("--listen", "300.1.1.1"), ("--app-name", ""), ("--app-name", "a b"),
             ("--app-name", "../x"),
             ("--data", ""))
    for flag, value in wrong:
        data = ("--data", folder()) if flag != "--data" else ()
        code, out, err = run("serve", "--local-port=0" if flag != "--local-port" else "--app-name=x", *data, flag,
                             value)
        equal((code, out), (2, ""), f"exit code and stdout with {flag} {value!r} ({err!r})")
        check(flag[2:] in err, f"{flag} {value!r}: {err!r} does not name the setting")
    for arguments, word in ((("--keys-max",), "keys-max"), (("word",), "word"),
                            (("--config", "/does/not/exist"), "/does/not/exist")):
        code, out, err = run("serve", *arguments)
        equal((code, out), (2, ""), f"exit code and stdout with {arguments} ({err!r})")
        check(word in err, f"{arguments}: {err!r} does not name {word}")


@suite.alone
def a_bad_value_is_named_wherever_it_stands():
    for variable, value in (("LOCAL_PORT", "x"), ("NOTED_KEYS_MAX", "many"), ("NOTED_SERVE", "gopher"),
                            ("APP_NAME", "")):
        code, out, err = run("serve", "--data", folder(), env={"LOCAL_PORT": "0", variable: value})
        equal((code, out), (2, ""), f"exit code and stdout with {variable}={value!r} ({err!r})")
        check(variable in err, f"{err!r} does not name {variable}")
    for text, word in (("colour = red\n", "colour"), ("keys-max = x\n", "keys-max"), ("keys-max\n", "name = value"),
                       ("\n\nthreads = 0\n", "threads")):
        path = file_of(text)
        code, out, err = run("serve", "--local-port", "0", "--data", folder(), "--config", path)
        equal((code, out), (2, ""), f"exit code and stdout with a file of {text!r} ({err!r})")
        check(word in err and path in err, f"{err!r} does not name {word} and the file")


@suite.alone
def a_subcommand_that_is_unknown_is_bad_usage():
    for arguments in ((), ("dance",), ("bench",), ("get", "/notes"), ("--help-me",)):
        code, out, err = run(*arguments)
        equal((code, out), (2, ""), f"exit code and stdout of noted {arguments}")
        check("serve" in err, f"stderr {err!r} shows what there is")


@suite.alone
def version_is_the_one_in_the_status():
    code, out, err = run("version")
    equal(run("--version"), (code, out, err), "the usual flag")
    equal((code, err), (0, ""), "exit code and stderr")
    with Server() as server:
        version = ask(server, "GET", "/_status").json()["version"]
    check(version in out, f"noted version says {out!r}, /_status {version!r}")


# --- starting and ending ---

@suite.test
def ready_is_one_line_with_name_address_and_port(server):
    equal((server.ready_name, server.address, server.role), ("seoul", "127.0.0.1", "primary"), "name, address, role")
    check(server.port > 0, f"port {server.port}")
    equal(server.out(), f"noted: seoul ready on 127.0.0.1:{server.port} (primary)\n", "stdout")


@suite.test
def a_second_server_on_the_port_is_refused(server):
    for serve in ("http,tcp,udp", "http", "udp"):
        code, out, err = run("serve", "--app-name", "other", "--local-port", str(server.port), "--data", folder(),
                             "--serve", serve)
        equal((code, out), (1, ""), f"exit code and stdout ({err!r})")
        check(str(server.port) in err, f"{err!r} does not name the port {server.port}")
    serves(server)


@suite.test
def a_second_server_on_the_data_folder_is_refused(server):
    code, out, err = run("serve", "--app-name", "other", "--local-port", "0", "--data", server.data)
    equal((code, out), (1, ""), f"exit code and stdout ({err!r})")
    check(server.data in err, f"{err!r} does not name the folder {server.data}")
    serves(server)


@suite.alone
def a_folder_that_cannot_be_made_is_said():
    path = file_of("a file, no folder")
    for data in (path, path + "/data"):
        code, out, err = run("serve", "--app-name", "x", "--local-port", "0", "--data", data)
        equal((code, out), (1, ""), f"exit code and stdout ({err!r})")
        check(path in err, f"{err!r} does not name {path}")


@suite.alone
def both_term_and_int_end_it_with_0():
    server = Server()
    for how in (signal.SIGTERM, signal.SIGINT):
        with Http(server) as idle, Tcp(server) as half:
            idle.ask("GET", "/_health")
            half.send(b'{"method":"GET","pat')
            server.stop(how)
            equal((idle.rest(), half.rest()), (b"", b""), "what open connections got")
        server.start()
    server.stop()


@suite.alone
def another_address_is_bound_and_said_aloud():
    with Server("--listen", "0.0.0.0") as server:
        equal(server.address, "0.0.0.0", "address of the ready line")
        check("authentication" in server.err(), f"stderr warns that there is no authentication: {server.err()!r}")
        server.address = "127.0.0.1"
        serves(server)
    with Server() as server:
        check("authentication" not in server.err(), f"stderr on the default address: {server.err()!r}")


# --- protocols ---

def udp_answer(server):
    """An answer over UDP, or None where nobody listens or answers within a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect((server.address, server.port))
        try:
            sock.send(as_bytes(head_of("GET", "/_health")))
            return json_answer(sock.recv(65536))
        except OSError:
            return None


def tcp_answer(server, raw):
    """The answer's bytes until the server closes."""
    with Tcp(server) as tcp:
        tcp.send(raw)
        return tcp.rest()


HTTP_REQUEST = request("GET", "/_health", None, [("Connection", "close")])
TCP_REQUEST = b'{"method":"GET","pattern":"/_health"}\n'


def refuses_http(server):
    raw = tcp_answer(server, HTTP_REQUEST)
    check(raw.startswith(b"HTTP/1.1 501 ") and b'"code":"not_implemented"' in raw, f"HTTP got {raw!r}, expected a 501")


def refuses_tcp(server):
    raw = tcp_answer(server, TCP_REQUEST * 3)
    refused(json_answer(raw), 501, "not_implemented")
    equal(raw.count(b"\n"), 1, f"answers in {raw!r}")


@suite.own("--serve", "http")
def an_api_server_answers_http_only(server):
    serves(server)
    refuses_tcp(server)
    equal(udp_answer(server), None, "answer over UDP")


@suite.own("--serve", "tcp")
def a_tcp_server_answers_json_over_tcp_only(server):
    with Tcp(server) as tcp:
        equal(tcp.ask("POST", "/notes", "{}").text, '{"id":1}', "POST")
        equal(tcp.ask("GET", "/_status").json()["app_name"], "seoul", "status")
    refuses_http(server)
    equal(udp_answer(server), None, "answer over UDP")


@suite.own("--serve", "udp")
def a_udp_server_answers_datagrams_only(server):
    equal(wait_until(lambda: udp_answer(server), "an answer over UDP").status, 200, "status over UDP")
    refuses_http(server)  # other servers come over TCP, so it is listened on
    refuses_tcp(server)


@suite.own("--serve", "udp,http")
def two_protocols_leave_out_the_third(server):
    serves(server)
    equal(wait_until(lambda: udp_answer(server), "an answer over UDP").status, 200, "status over UDP")
    refuses_tcp(server)


@suite.alone
def any_number_of_threads_serves_alike():
    for threads in ("1", "3", "8"):
        with Server("--threads", threads) as server:
            for _ in range(10):
                serves(server)
            equal([r["id"] for r in ask(server, "GET", "/alive").json()], list(range(1, 11)), "ids")


@suite.own("--connections-max", "8")
def connections_past_their_limit_wait_for_a_place(server):
    open_ones = [Http(server) for _ in range(40)]
    answered = 0
    for http in open_ones:  # each closes after its answer, so that the next gets its place
        answered += http.ask("GET", "/_health").status == 200
        http.close()
    equal(answered, 40, "answers")
    equal(re.findall("error|fail", server.err()), [], "complaints")


if __name__ == "__main__":
    suite.main()
