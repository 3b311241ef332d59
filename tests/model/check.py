"""Runs spin over replication.pml: true, with each of its mistakes, and to each of its places.

Prints a line `ok CASE` or `not ok CASE` each, with what there is to know. Knows no rule; the tables are the model's.
Usage: check.py [--quick | NAME], where NAME is a mistake or a place: then the shortest way to it.
"""
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import time

MODEL = pathlib.Path(__file__).with_name("replication.pml")
TABLES = pathlib.Path(__file__).with_name("properties.pml")
AT_ONCE = 2
MEGABYTES_MAX = 1400  # of each of the two
DEPTH_MAX = 50_000

# A mistake, or a place, is looked for with one backup, and where that does not show it, with two.
SMALL = [
    {"BACKUPS": 1, "ENTRIES": 3, "LIVES": 3, "POWER": 1, "LATE": 1},
    {"BACKUPS": 2, "ENTRIES": 2, "LIVES": 2, "POWER": 1, "LATE": 0},
]
QUICK = [{"BACKUPS": 1, "ENTRIES": 4, "LIVES": 3, "POWER": 1, "LATE": 1}, SMALL[1]]
FULL = [
    {"BACKUPS": 2, "ENTRIES": 4, "LIVES": 3, "POWER": 0, "LATE": 0},
    {"BACKUPS": 2, "ENTRIES": 3, "LIVES": 2, "POWER": 1, "LATE": 1},
    {"BACKUPS": 1, "ENTRIES": 6, "LIVES": 4, "POWER": 1, "LATE": 1},
]


def table(heading):
    """The rows `#define NAME number /* text */` under the comment that begins with the heading."""
    rows = TABLES.read_text().split(f"/* {heading}: ")[1].split("\n\n")[0]
    return re.findall(r"^#define (\w+) \d+\s+/\* (.*) \*/$", rows, re.M)


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def look(defines, optimize, *, trace=False):
    """What pan prints, or, with `trace`, the shortest way to what fails."""
    spin = ["spin", *(f"-D{name}={value}" for name, value in defines.items())]
    pan = ["./pan", f"-m{DEPTH_MAX}", "-w20", *(["-i"] if trace else [])]
    with tempfile.TemporaryDirectory(prefix="noted-model-") as folder:
        for command in ([*spin, "-a", str(MODEL)],
                        ["gcc", "-w", optimize, "-DSAFETY", "-DNOFAIR", f"-DMEMLIM={MEGABYTES_MAX}",
                         *(["-DREACH"] if trace else []), "-o", "pan", "pan.c"]):
            status, output = run(command, folder)
            if status != 0:
                return f"{command[0]} failed: {output[:2000]}"
        output = run(pan, folder)[1]
        if trace and "assertion violated" in output:
            return run([*spin, "-p", "-k", f"{MODEL.name}.trail", str(MODEL)], folder)[1]
        return output


def violated(change):
    """The property that fails with the change, or what was printed where none did."""
    for bounds in SMALL:
        output = look({**bounds, "MISTAKE": 0, "PLACE": 0, **change}, "-O0")
        found = re.search(r"assertion violated (\w+) \(at depth", output)
        if found:
            return found[1]
    return output


def true_model(bounds):
    name = "true model, " + ", ".join(f"{value} {key.lower()}" for key, value in bounds.items())
    begin = time.monotonic()
    text = look({**bounds, "MISTAKE": 0, "PLACE": 0}, "-O2")
    states = re.search(r"(\d+) states, stored", text)
    cut_short = re.search(r"max search depth too small|reached -DMEMLIM|out of memory|Search not completed", text)
    right = states is not None and "errors: 0" in text and cut_short is None
    memory = re.search(r"([\d.]+)\s+total actual memory", text)
    note = f"{states[1]} states, {memory[1]} MB, {time.monotonic() - begin:.0f} s" if right else text
    return right, name, note


def mistake(name, text):
    expected, _, says = text.partition(": ")
    found = violated({"MISTAKE": name})
    return found == expected, f"mistake {name}", f"breaks {found}: {says}"


def place(name, says):
    found = violated({"PLACE": name})
    return found == "unreached", f"place {name}", f"reached: {says}" if found == "unreached" else found


def cases(quick):
    yield from ((true_model, bounds) for bounds in (QUICK if quick else FULL))
    yield from ((mistake, *row) for row in table("Mistakes"))
    yield from ((place, *row) for row in table("Places"))


def way(name):
    """Prints the events, each as the model's line, that lead to a mistake's harm or to a place."""
    which = "MISTAKE" if name in dict(table("Mistakes")) else "PLACE"
    for bounds in SMALL:
        output = look({**bounds, "MISTAKE": 0, "PLACE": 0, which: name}, "-O1", trace=True)
        if "assertion violated" in output:
            break
    lines = MODEL.read_text().splitlines()
    steps = {}
    for step, process, line in re.findall(rf"^ *(\d+):\tproc +\d+ \((\w+:\d)\) \S*{MODEL.name}:(\d+)", output, re.M):
        steps.setdefault(int(step), (process, int(line)))
    for step, (process, line) in steps.items():
        text = lines[line - 1].strip(" :")
        print(f"{step:3} {process:10} {text if len(text) > 10 else lines[line].strip()}")
    print(*re.findall(r"assertion violated|text of failed assertion: (.*)", output))
    return 0


def main():
    if sys.argv[1:] not in ([], ["--quick"]):
        known = dict(table("Mistakes") + table("Places"))
        return way(sys.argv[1]) if sys.argv[1] in known else f"{sys.argv[1]} is none of {', '.join(known)}"
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for ended in [pool.submit(*case) for case in cases(sys.argv[1:] == ["--quick"])]:
            right, name, note = ended.result()
            failed += not right
            for line in ([] if right else note.splitlines()):
                print("# " + line)
            print(f"ok {name}: {note}" if right else f"not ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
