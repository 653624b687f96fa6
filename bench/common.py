# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: a cay daemon, Debian's dockerd beside it, medians and tables.

Each benchmark runs in a network namespace of its own, and dockerd in one more,
so that neither engine pays for the other's bridges and rules and all of them
vanish at the end. Both engines start from the same archive.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))

import lab  # noqa: E402
from harness import (  # noqa: E402,F401
    BUILD, Daemon, Registry, busybox_archive, cached, has_off, processes, wait_until)


class Cay:
    """A cay daemon with the image busybox."""

    def __init__(self, *options):
        self.daemon = Daemon(*options, start="none")
        self.daemon.options = list(options)  # the daemon's own defaults hold
        self.daemon.start()
        self.environment = dict(os.environ, CAY_HOST=self.daemon.host)
        self("load", "-q", "-i", str(busybox_archive()))

    def __call__(self, *arguments, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([str(BUILD / "cay"), *map(str, arguments)], env=self.environment, check=True,
                              capture_output=True, text=True, **options).stdout.strip()

    def warm_up(self):
        """A first start, after which translations and the template are made, and the pool is filled."""
        self("run", "--rm", "busybox", "true")
        if not has_off("--translations", self.daemon.options):
            wait_until(self.daemon.has_translations, "translations", 300)
        self.wait_warm()

    def wait_warm(self):
        """Waits until nothing is on its way that would make the next start faster."""
        self.daemon.wait_warm()

    def close(self):
        left = self.daemon.stop()
        if left:
            print(f"left behind: {left}")


class Docker:
    """Debian's dockerd with the image busybox. Without a network of its own it sees the host's loopback."""

    def __init__(self, *options, network=True):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-bench-docker-"))
        self.socket = self.directory / "docker.sock"
        command = ("ip link set lo up; exec dockerd --data-root {0}/root --exec-root {0}/exec --pidfile {0}/pid "
                   "-H unix://{0}/docker.sock {1}").format(self.directory, " ".join(options))
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(["unshare", *["--net"] * network, "--mount", "sh", "-c", command],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.program = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
        self.environment = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}")
        wait_until(self.answers, "dockerd to answer", 60)
        self("load", "-q", "-i", str(busybox_archive()))

    @classmethod
    def try_start(cls, *options, **settings):
        """A Docker, or None with the reason printed: the comparison is then left out, not made up."""
        if not shutil.which("dockerd"):
            print("dockerd is not installed (scripts/setup bench): nothing to compare with")
            return None
        try:
            return cls(*options, **settings)
        except (AssertionError, subprocess.CalledProcessError) as failure:
            print(f"dockerd does not work here: {failure}")
            return None

    def answers(self):
        return subprocess.run([self.program, "version"], env=self.environment, capture_output=True,
                              check=False).returncode == 0

    def __call__(self, *arguments, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([self.program, *map(str, arguments)], env=self.environment, check=True,
                              capture_output=True, text=True, **options).stdout.strip()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)
        for pid in processes(str(self.directory)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        for folder in pathlib.Path("/sys/fs/cgroup").glob("*/docker"):
            with contextlib.suppress(OSError):
                folder.rmdir()


def timed(function, *arguments):
    """Seconds that the call took."""
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def alternate(count, before=None, /, **functions):
    """Runs the functions in turn, `count` rounds, after one round that is not counted; seconds by name.
    `before` is called before each, outside of its time."""
    samples = {name: [] for name in functions}
    for turn in range(count + 1):
        for name, function in functions.items():
            if before:
                before()
            seconds = timed(function)
            if turn:
                samples[name].append(seconds)
    return samples


def milliseconds(samples):
    ordered = sorted(samples)
    return (f"median {statistics.median(ordered) * 1000:7.0f} ms   min {ordered[0] * 1000:7.0f}   "
            f"90% {ordered[int(len(ordered) * 0.9) - 1] * 1000:7.0f}")


def pss_kib(pid):
    """Proportional set size of a process; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def rss_kib(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def children(pid):
    """Processes that a process has started, of all its threads."""
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]


def arguments(add=lambda parser: None):
    """The command line, of which `add` names what may stand there; the rest ends the program with its usage."""
    parser = argparse.ArgumentParser(prog="bench/" + os.path.basename(sys.argv[0]), allow_abbrev=False,
                                     description=sys.modules["__main__"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add(parser)
    return parser.parse_args()


def number(text):
    """An argument that says how many."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def alone(main, add=lambda parser: None):
    """Runs a benchmark's main() with its arguments, in namespaces of its own, which takes starting the program anew."""
    is_inside = sys.argv[1:2] == ["--inside"]
    if is_inside:
        del sys.argv[1]
    given = arguments(add)
    if is_inside:
        sys.exit(main(given))
    command = lab.inside([sys.executable, os.path.abspath(sys.argv[0]), "--inside", *sys.argv[1:]])
    sys.exit(subprocess.run(command, check=False).returncode)


def title(text):
    print(f"\n== {text}", flush=True)
