"""The rules of the house that a compiler does not hold: includes, sizes, formatting, lint.

Prints a line `ok RULE` or `not ok RULE` with what breaks it above. Knows nothing of what the code does.
"""
import ast
import collections
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_BYTES_MAX = 25_000
FUNCTION_LINES_MAX = 70
JOBS = 2


def path_of(file):
    return str(file.relative_to(ROOT))


def files_of(*patterns):
    return sorted(file for pattern in patterns for file in ROOT.glob(pattern))


SOURCES = files_of("src/*.[ch]", "src/*/*.[ch]")
TESTS = files_of("tests/*/*.[ch]")


def meson_list(file, name):
    """A list of a meson.build file: its literals read the same in Python."""
    text = (ROOT / file).read_text()
    start = text.index(f"\n{name} = [") + len(f"\n{name} = ")
    return ast.literal_eval(text[start : text.index("]\n\n", start) + 1])


def modules():
    return {name: (uses, files) for name, uses, _, files in meson_list("src/meson.build", "modules")}


def includes_follow_the_arrows():
    allowed = {name: {name, *uses} for name, (uses, _) in modules().items()}
    for file in SOURCES:
        folder = file.parent.name
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if found is None:
                continue
            of, slash, _ = found[1].partition("/")
            if not slash or not (ROOT / "src" / found[1]).is_file():
                yield f'{path_of(file)}:{number}: "{found[1]}" is no file relative to src/'
            elif folder != "src" and of not in allowed.get(folder, {folder}):
                yield f"{path_of(file)}:{number}: {folder} may not include {of} (src/meson.build has the arrows)"


def a_foreign_header_is_in_one_file():
    foreign = {"lmdb.h", "http_parser.h", "xxhash.h", "liburing.h", "curl/curl.h", "openssl/ssl.h"}
    users = collections.defaultdict(list)
    for file in SOURCES:
        for header in re.findall(r"^\s*#\s*include\s*<([^>]+)>", file.read_text(), re.M):
            if header in foreign:
                users[header].append(path_of(file))
    for header, files in users.items():
        if len(files) > 1:
            yield f"<{header}> is in {', '.join(files)}"


def every_file_is_built():
    listed = {f"src/{name}/{file}" for name, (_, files) in modules().items() for file in files} | {"src/main.c"}
    there = {path_of(file) for file in SOURCES if file.suffix == ".c"}
    listed |= {f"tests/unit/{row[0]}.c" for row in meson_list("tests/meson.build", "units")}
    listed |= {f"tests/unit/{row[0]}.c" for row in meson_list("tests/meson.build", "rule_tests")}
    listed |= {f"tests/fuzz/{row[0]}.c" for row in meson_list("tests/meson.build", "fuzz_targets")}
    listed |= {f"tests/sim/{file}" for file in meson_list("tests/meson.build", "sim_files")}
    listed |= {f"tests/sim/{file}" for row in meson_list("tests/meson.build", "sims") for file in row[1]}
    there |= {path_of(file) for file in files_of("tests/unit/test_*.c", "tests/fuzz/fuzz_*.c", "tests/sim/*.c")}
    yield from (f"{file} is in no meson.build" for file in sorted(there - listed))
    yield from (f"{file} is in a meson.build, but not there" for file in sorted(listed - there))


def a_file_says_what_it_does_and_stays_small():
    for file in SOURCES:
        text = file.read_text()
        if not text.startswith("/*"):
            yield f"{path_of(file)}:1: does not say what the file does"
        if len(text.encode()) >= FILE_BYTES_MAX:
            yield f"{path_of(file)}: {len(text.encode())} bytes; fewer than {FILE_BYTES_MAX} are allowed"
    for folder in files_of("src/*/*/", "tests/*/*/"):
        if folder.is_dir() and "fuzz/corpus" not in str(folder) and folder.name != "__pycache__":
            yield f"{path_of(folder)}: a third level of folders"


def a_function_stays_short():
    """clang-format puts the braces of functions, and of nothing else, alone into the first column."""
    for file in SOURCES:
        start = None
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start + 1 >= FUNCTION_LINES_MAX:
                    yield f"{path_of(file)}:{start}: {number - start + 1} lines; fewer than {FUNCTION_LINES_MAX} are allowed"
                start = None


def a_server_cannot_be_built_with_rules_left_out():
    """Only the tests' programs can, which are not installed: base/rules.h."""
    def compile_main(*flags):
        command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-Isrc", "-fsyntax-only", *flags, "src/main.c"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    if compile_main().returncode != 0:
        yield "src/main.c cannot be compiled at all"
    varied = compile_main("-DREPL_RULES_VARY")
    if varied.returncode == 0 or "keeps all rules" not in varied.stderr:
        yield "src/main.c: can be compiled with REPL_RULES_VARY"
    for file in files_of("meson.build", "*/meson.build"):
        if "install: true" in file.read_text():
            yield f"{path_of(file)}: installs something"


def complaints(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines()


def clang_format_would_change_nothing():
    yield from complaints("clang-format", "--dry-run", "-Werror", *map(path_of, SOURCES + TESTS))


def clang_tidy_finds_nothing():
    def look_at(file):
        return complaints("clang-tidy", "--quiet", path_of(file), "--", "-std=c11", "-D_GNU_SOURCE", "-Isrc")

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for lines in pool.map(look_at, [file for file in SOURCES if file.suffix == ".c"]):
            yield from (line for line in lines if not re.match(r"\d+ warnings? generated|Suppressed \d+", line))


RULES = [includes_follow_the_arrows, a_foreign_header_is_in_one_file, every_file_is_built,
         a_file_says_what_it_does_and_stays_small, a_function_stays_short, a_server_cannot_be_built_with_rules_left_out,
         clang_format_would_change_nothing, clang_tidy_finds_nothing]


def main():
    broken = 0
    for rule in RULES:
        lines = list(rule())
        broken += bool(lines)
        for line in lines:
            print("# " + line)
        print(("not ok " if lines else "ok ") + rule.__name__, flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
