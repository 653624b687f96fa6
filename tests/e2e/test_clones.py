# SPDX-License-Identifier: Apache-2.0
"""A hundred clones of one template, and some VMs out of the pool: what no two of them may share, clocks that are
right, and a template that is not changed by them."""

import concurrent.futures
import hashlib
import itertools
import json
import subprocess
import time

from harness import BUILD, CayTestCase, Daemon, busybox_archive, cached, wait_until
from net_images import with_files

TOOL = BUILD / "tests" / "clone-tool"
CLONES, FROM_POOL, AT_ONCE = 100, 4, 4
# Each is drawn anew by a guest; addresses are drawn from few bits, so that some may meet.
DISTINCT = ("random", "at_random", "boot_id", "uuid", "hostname")
# Differences of numbers of 32 bits below this are seen by chance in one pair of 65536.
NEAR = 1 << 15
NS = 1_000_000_000
# How far a guest's clock may be from the host's: it is set by a message, which takes its time on a busy machine.
CLOCK_SLACK = 0.06


def clones_archive():
    """A docker archive of the image "clones"."""
    base, files = busybox_archive(), {"usr/bin/clone-tool": TOOL}
    config = {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["clone-tool"]}
    return cached("clones.tar", (str(base), hashlib.sha256(TOOL.read_bytes()).hexdigest(), config),
                  lambda path: with_files(path, base, "clones", config, files))


def near_pairs(numbers):
    return sum(min((a - b) % (1 << 32), (b - a) % (1 << 32)) < NEAR for a, b in itertools.combinations(numbers, 2))


class CloneCase(CayTestCase):
    start: str

    @classmethod
    def make_daemon(cls):
        return Daemon(start=cls.start)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_cay("load", "-q", "-i", str(clones_archive()))
        assert done.returncode == 0, done.stderr

    def digests(self):
        files = sorted((self.daemon.root / "templates").glob("*/*"))
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def look(self, number):
        """What the tool says in one more clone."""
        name = f"clone{number}"
        before = time.time_ns()
        seen = json.loads(self.cay("run", "--name", name, "--cap-add", "NET_ADMIN", "clones"))
        self.assertEqual(self.inspect(name)["Cay"]["Start"], self.start)
        self.cay("rm", name)
        # The clocks themselves are compared below.
        self.assertLess(before - CLOCK_SLACK * NS, seen["real"])
        self.assertLess(seen["real"], time.time_ns() + CLOCK_SLACK * NS)
        self.assertEqual(seen["steps_back"], 0)
        return seen

    def compare(self, clones):
        for name in DISTINCT:
            with self.subTest(name):
                self.assertEqual(len({clone[name] for clone in clones}), len(clones))
        for name in ("stack", "heap"):
            with self.subTest(name):
                self.assertGreater(len({clone[name] for clone in clones}), 0.9 * len(clones))
        for name in ("tcp_sequence", "tcp_stamp"):
            with self.subTest(name):
                self.assertLessEqual(near_pairs([clone[name] for clone in clones]), 2)

    def ask(self, process, milliseconds):
        """Has the guest sleep and tell its clocks: the host's times around it, the guest's two."""
        began = time.time_ns()
        process.stdin.write(b"%d\n" % milliseconds)
        process.stdin.flush()
        real, monotonic = map(int, process.stdout.readline().split())
        return began, time.time_ns(), real, monotonic

    def ask_quickly(self, process):
        """The answer, of twenty, that says most exactly when it was given."""
        return min((self.ask(process, 0) for _ in range(20)), key=lambda row: row[1] - row[0])

    def check_clocks(self):
        """The guest's clock is the host's to the time of a question, and its seconds are as long."""
        process = self.start_cay("run", "-i", "--rm", "clones", "clone-tool", "clock", stderr=subprocess.DEVNULL)
        began, ended, real, first = self.ask_quickly(process)
        self.assertLess(began - real, CLOCK_SLACK * NS, "the guest's clock is behind")
        self.assertLess(real - ended, CLOCK_SLACK * NS, "the guest's clock is ahead")
        asked, answered, _, _ = self.ask(process, 700)
        self.assertGreaterEqual(answered - asked, 0.7 * NS)
        # From one quick answer to the other, on both sides.
        asked, answered, _, last = self.ask_quickly(process)
        self.assertLess(abs((last - first) - (answered - ended)), 0.05 * NS + max(ended - began, answered - asked))
        process.stdin.close()
        self.assertEqual(process.wait(timeout=60), 0)


class FromTemplate(CloneCase):
    start = "template"

    def test_a_hundred_have_nothing_in_common(self):
        before = self.digests()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            clones = list(pool.map(self.look, range(CLONES)))
        self.compare(clones)
        self.assertEqual(self.digests(), before, "clones have changed their template")

    def test_clocks(self):
        for _ in range(5):
            self.check_clocks()


class FromPool(CloneCase):
    start = "pool"

    def test_they_have_nothing_in_common(self):
        before, clones = self.digests(), []
        for number in range(FROM_POOL):
            self.daemon.wait_warm()
            clones.append(self.look(number))
        self.compare(clones)
        self.assertEqual(self.digests(), before, "clones have changed their template")

    def test_clocks(self):
        for _ in range(3):
            self.daemon.wait_warm()
            self.check_clocks()
