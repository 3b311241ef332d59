"""A disk that fails under a whole server, by a library that is loaded before the C library; knows no server."""

import os

from harness import NOTED, NotRun, folder

LIBRARY = os.path.join(os.path.dirname(NOTED), "tests", "libfailing_disk.so")


class FailingDisk:
    """The environment of a server whose disk fails when told."""

    def __init__(self):
        if not os.path.exists(LIBRARY):
            raise NotRun(f"{LIBRARY} is not built")
        self.orders = folder("orders")
        # The sanitizers' library is not the first one then, and it does not see all memory at an early end.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:detect_leaks=0"
        self.env = {"LD_PRELOAD": LIBRARY, "NOTED_TEST_DISK": self.orders, "ASAN_OPTIONS": sanitizer.strip(":")}

    def start(self, server):
        """Starts it on this disk, anew where it runs."""
        if server.alive():
            server.stop()
        server.env = self.env
        server.start()

    def order(self, line):
        with open(self.orders + ".new", "a", encoding="ascii") as file:
            file.write(line + "\n")
        os.replace(self.orders + ".new", self.orders)

    def fail_writes(self, part="/log/"):
        """Writes and flushes of files with this in their path."""
        self.order(f"write {part}")

    def fail_read(self, part, byte):
        self.order(f"read {part} {byte}")

    def fail_flushes(self, part="/log/"):
        """Writes of such files arrive, can be read again, and fail all the same; flushes after them succeed."""
        self.order(f"flush {part}")

    def fill(self, part):
        """Writes of files with this in their path find no space."""
        self.order(f"full {part}")

    def slow_writes(self, part="/log/"):
        self.order(f"slow {part}")

    def hold_writes(self, part):
        """Writes and flushes of files with this in their path, until it is mended."""
        self.order(f"hold {part}")

    def mend(self):
        if os.path.exists(self.orders):
            os.remove(self.orders)
