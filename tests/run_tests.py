"""Builds everything with sanitizers, runs every test program, counts every case. Must not know what is tested.

A program prints a line `ok NAME` or `not ok NAME` per case (cmocka in its TAP form does). One that ends
otherwise than its lines say, prints no case, or takes too long, is one failed case more.
Usage: run_tests.py [PART_OF_A_PROGRAM_NAME]... ; the last line is `N passed, N failed`.
"""
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-test"
OUTPUT = BUILD / "output"
AT_ONCE = 3  # on two cores: the end-to-end ones mostly wait
HOUSE_S, MODEL_S, E2E_S, END_S = 300, 300, 300, 5
SHOWN_LINES = 200

SANITIZERS = {
    "ASAN_OPTIONS": "halt_on_error=1:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:"
                    # 2: cmocka's handlers may not stand before the report
                    "handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2:handle_abort=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


running = set()  # ids of processes not reaped yet, each the leader of its own session


def stop(number, _):
    for pid in running:
        os.killpg(pid, signal.SIGKILL)
    os._exit(128 + number)


class Program:
    def __init__(self, name, command, seconds):
        self.name, self.command, self.seconds = name, command, seconds
        self.passed = self.failed = 0
        self.took_s = 0.0
        self.trouble = None

    def output(self):
        return OUTPUT / f"{self.name.replace('/', '-')}.txt"


def build():
    if not (BUILD / "build.ninja").is_file():
        subprocess.run(["meson", "setup", BUILD, ROOT, "-Dtests=true", "-Db_sanitize=address,undefined"], check=True)
    subprocess.run(["ninja", "-C", BUILD, "--quiet"], check=True)


def programs():
    """Those that wait, and those that compute, by turns; the longest are not the last."""
    e2e = [Program("e2e/" + path.stem, [sys.executable, str(path)], E2E_S) for path in ROOT.glob("tests/e2e/test_*.py")]
    house = Program("house", [sys.executable, str(ROOT / "tests/house.py")], HOUSE_S)
    model = Program("model", [sys.executable, str(ROOT / "tests/model/check.py"), "--quick"], MODEL_S)
    listed = subprocess.run(["meson", "introspect", "--tests", BUILD], check=True, capture_output=True).stdout
    built = [Program(f"{test['suite'][0].split(':')[-1]}/{test['name']}", test["cmd"], test["timeout"])
             for test in json.loads(listed)]
    waiting, computing = sorted(e2e, key=lambda program: program.name), [house, model, *built]
    pairs = itertools.zip_longest(waiting, computing)
    return [program for pair in pairs for program in pair if program is not None]


def wait(process, seconds):
    """Whether it ended in time. It is not reaped here, so its id stays its own."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return True
        time.sleep(0.01)
    return False


def run(program):
    environment = {**os.environ, **SANITIZERS, "CMOCKA_MESSAGE_OUTPUT": "tap", "NOTED": str(BUILD / "noted")}
    start = time.monotonic()
    with open(program.output(), "wb") as output:
        # A session of its own: whatever it started and left behind is ended with it.
        process = subprocess.Popen(program.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   cwd=BUILD, env=environment, start_new_session=True)
        running.add(process.pid)
        in_time = wait(process, program.seconds)
        if not in_time:
            os.kill(process.pid, signal.SIGTERM)
            wait(process, END_S)
        running.discard(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    program.took_s = time.monotonic() - start
    judge(program, process.returncode, in_time)
    return program


def judge(program, status, in_time):
    text = program.output().read_text(errors="replace")
    cases = re.findall(r"^(ok|not ok)\b(?!.*# SKIP)", text, re.M)
    planned = re.search(r"^1\.\.(\d+)$", text, re.M)
    skipped = len(re.findall(r"^(?:ok|not ok)\b.*# SKIP", text, re.M))
    program.passed, program.failed = cases.count("ok"), cases.count("not ok")
    if not in_time:
        program.trouble = f"had not ended after {program.seconds} s"
    elif status < 0:
        program.trouble = f"was killed by {signal.Signals(-status).name}"
    elif planned and len(cases) + skipped < int(planned[1]):
        program.trouble = f"ended after {len(cases) + skipped} of {planned[1]} cases, with exit code {status}"
    elif status != 0 and program.failed == 0:
        program.trouble = f"exit code {status}, though no case failed"
    elif status == 0 and program.failed != 0:
        program.trouble = "exit code 0, though a case failed"
    elif not cases:
        program.trouble = "ran no case"
    if program.trouble:
        program.failed += 1


def show(program):
    verdict = "FAIL" if program.failed else "ok"
    failed = f", {program.failed} failed" if program.failed else ""
    print(f"{verdict:4} {program.name:32} {program.passed:4} passed{failed}  {program.took_s:6.1f} s", flush=True)
    if program.failed:
        lines = program.output().read_text(errors="replace").splitlines()
        if len(lines) > SHOWN_LINES:
            print(f"     | (the last {SHOWN_LINES} lines of {program.output()})")
        for line in lines[-SHOWN_LINES:]:
            print("     | " + line)
        if program.trouble:
            print(f"     {program.name} {program.trouble}")


def main():
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    wanted = sys.argv[1:]
    done = []
    try:
        build()
        OUTPUT.mkdir(exist_ok=True)
        chosen = [program for program in programs() if not wanted or any(part in program.name for part in wanted)]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for ended in concurrent.futures.as_completed([pool.submit(run, program) for program in chosen]):
                done.append(ended.result())
                show(done[-1])
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} failed")
        done.append(Program("build", [], 0))
        done[-1].failed = 1
    passed, failed = sum(program.passed for program in done), sum(program.failed for program in done)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
