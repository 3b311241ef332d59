"""Clients that are quiet are closed in their time or never, as the settings say, and found out when they are gone."""

import ctypes
import socket
import time

from bystander import Bystander, Memory, connections, list_of
from harness import (Gone, Http, Late, Suite, Tcp, Wire, check, equal, refused, request, serves, wait_until)

suite = Suite()


# --- idle ones ---

@suite.own("--threads", "1", "--idle-timeout-ms", "600")
def a_quiet_http_client_is_closed_and_a_quiet_json_client_is_not(server):
    silent, http, tcp = Wire(server), Http(server), Tcp(server)
    waiting, follower = Http(server), Http(server)
    equal((http.ask("GET", "/_health").status, tcp.ask("GET", "/_health").status), (200, 200), "statuses")
    follower.send(request("GET", "/_messages", None, [("Accept", "text/event-stream")]))
    waiting.send(request("GET", "/notes", None, [("Noted-Min-Seq", "1000000"), ("Noted-Wait-Ms", "2500")]))
    started = time.monotonic()
    equal((silent.rest(), http.rest()), (b"", b""), "what they got")
    check(0.4 < time.monotonic() - started < 5, f"closed after {time.monotonic() - started:.1f} s")
    refused(waiting.answer(), 503, "lagging")
    equal(follower.head()[0], 200, "status of a stream")
    equal(tcp.ask("GET", "/_health").status, 200, "status over JSON, much later")
    follower.socket.settimeout(0.05)
    try:
        while follower.more():
            pass
        raise Gone("the stream was closed")
    except Late:
        pass


@suite.own("--threads", "1", "--tcp-idle-timeout-ms", "600", "--idle-timeout-ms", "0")
def the_idle_times_of_json_and_http_are_two_settings(server):
    silent, http, tcp = Wire(server), Http(server), Tcp(server)
    equal((http.ask("GET", "/_health").status, tcp.ask("GET", "/_health").status), (200, 200), "statuses")
    started = time.monotonic()
    equal(tcp.rest(), b"", "what it got")
    check(0.4 < time.monotonic() - started < 5, f"closed after {time.monotonic() - started:.1f} s")
    equal(http.ask("GET", "/_health").status, 200, "status")
    silent.send(request("GET", "/_health", None, [("Connection", "close")]))
    check(b" 200 " in silent.rest()[:20], "who said nothing until now is not answered")


# --- gone without a word ---

class Filter(ctypes.Structure):
    """struct sock_fprog with one instruction: take no byte (BPF_RET | BPF_K, 0)."""
    _fields_ = [("count", ctypes.c_ushort), ("program", ctypes.c_char_p)]


def vanish(wire):
    """From now on this end hears nothing and says nothing, as if its machine were gone."""
    program = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\0\0", 8)
    drop_all = Filter(1, ctypes.cast(program, ctypes.c_char_p))
    wire.socket.setsockopt(socket.SOL_SOCKET, 26, bytes(drop_all))  # SO_ATTACH_FILTER


@suite.own("--threads", "1", "--keep-alive-s", "1")
def clients_that_are_gone_without_a_word_are_found_out(server):
    path = list_of(server, 1)
    there, gone = [Tcp(server) for _ in range(5)], [Tcp(server) for _ in range(10)]
    for client in there + gone:
        equal(client.ask("GET", "/_health").status, 200, "status")
    with Bystander(server), Memory(server, 16):
        wait_until(lambda: connections(server) >= 15, "all are there")
        before = connections(server)
        for number, client in enumerate(gone):
            if number % 2:  # with something on the way to it
                client.send(f'{{"method":"GET","pattern":"{path}"}}'.encode())
            vanish(client)
        wait_until(lambda: connections(server) <= before - len(gone), "their connections are closed", 20)
    for client in there:
        equal(client.ask("GET", "/_health").status, 200, "status of one who was only quiet")
    serves(server)


if __name__ == "__main__":
    suite.main()
