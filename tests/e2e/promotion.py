"""What an operator does where the primary is lost: promotes a backup, and starts servers in their new roles."""

import glob

from harness import check, equal, run


def promote(server, *args, asks=(), old=None):
    """noted promote on its directory: (exit code, what it said)."""
    flags = [flag for s in asks for flag in ("--server", s.host)] + (["--old-state", old.data] if old else [])
    code, out, err = run("promote", "--data", server.data, *flags, *args)
    return code, out + err


def promoted(server, *args, **rest):
    code, said = promote(server, *args, **rest)
    equal(code, 0, f"exit code of the promotion of {server.name} ({said})")
    check("promoted: " in said and said.count("next: ") == 3, f"what was said: {said}")
    return said


def not_promoted(server, text, *args, **rest):
    """Refused with this text, and nothing in the directory is another than before."""
    before = identity(server)
    code, said = promote(server, *args, **rest)
    equal((code, identity(server)), (1, before), f"exit code and identity after a refusal ({said})")
    check(text in said, f"expected {text!r} in {said!r}")
    return said


def identity(server):
    return [open(path, "rb").read() for path in sorted(glob.glob(server.data + "/identity.*"))]


def set_primary(server, primary):
    """Its --primary from the next start on."""
    if server.primary_host:
        at = server.command.index("--primary")
        del server.command[at:at + 2]
    server.primary_host = primary and primary.host
    if primary:
        server.command += ["--primary", primary.host]


def start_as_primary(cluster, server):
    cluster.backups = [s for s in cluster.servers if s is not server]
    cluster.primary = server
    set_primary(server, None)
    server.start()


def start_as_backup(server, primary):
    set_primary(server, primary)
    server.start()


def posts(server, count, path="/notes"):
    for n in range(count):
        equal(server.ask("POST", path, {"n": n}).status, 201, "status of a POST")
