# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests, a class a process and a few processes at a time, and prints one JSON
object a test. All of them run in a network and mount namespace made for them (lab.py); what their
modules name in FETCH is called before, where the internet can be reached. A class with the attribute
`alone` gets a namespace of its own. Afterwards each namespace and the machine must be as they were: no
link, rule, namespace, mount, control group or process is left behind, which counts as more tests.
"""

import argparse
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import lab  # noqa: E402

# VMs spend their time in the CPU; a third process fills the gaps in which two of them wait.
PARALLEL = int(os.environ.get("CAY_TEST_JOBS", "3"))
CLASS_TIMEOUT = 900
# What is looked for by name at the end.
PROGRAMS = ("cayd", "cay-shim", "cay-layer", "cay", "docker-registry", "passt", "dnsmasq")


class Recorder(unittest.TestResult):
    """Prints each test's outcome as it ends."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def tell(self, test, result, output=""):
        json.dump({"name": test.id(), "result": result, "output": output,
                   "seconds": time.monotonic() - self.began}, self.out)
        self.out.write("\n")
        self.out.flush()

    def addSuccess(self, test):
        self.tell(test, "ok")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell(test, "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(test, "failed", self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, "skipped", reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            rows = self.failures if issubclass(err[0], test.failureException) else self.errors
            self.tell(subtest, "failed", rows[-1][1])


def all_tests(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from all_tests(item)
        else:
            yield item


def run_class(name, patterns):
    """Child process: the tests of one class, results on standard output."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what tests print is for the reader of a failure, not for the parent
    suite = unittest.TestSuite(test for test in all_tests(unittest.defaultTestLoader.loadTestsFromName(name))
                               if chosen(test.id(), patterns))
    apart = any(alone(test) for test in suite)
    before = network_state()
    suite.run(Recorder(out))
    if apart:
        report_left(f"{name}: nothing is left behind", network_state() - before, out)


def alone(test):
    """Whether a test's class wants a namespace of its own, for it does what others would notice."""
    return getattr(test, "alone", False)


def chosen(name, patterns):
    return not patterns or any(pattern in name for pattern in patterns)


def start_class(name, apart, patterns):
    """Parent: runs one class; yields nothing, prints its rows whole."""
    began = time.monotonic()
    command = [sys.executable, __file__, "--class", name, *patterns]
    try:
        done = subprocess.run(lab.inside(command) if apart else command, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=CLASS_TIMEOUT, check=False)
        output, printed, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
        printed, status = f"not finished within {CLASS_TIMEOUT} s", 1
    rows = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    for row in rows:
        if row["result"] == "failed":
            row["output"] += "\n" + printed[-6000:]
    if status != 0 or not rows:
        rows.append({"name": name, "result": "failed", "output": f"the class's process ended with {status}\n{printed[-6000:]}",
                     "seconds": time.monotonic() - began})
    return rows


def output_of(*arguments):
    try:
        return subprocess.run(arguments, capture_output=True, text=True, check=False).stdout.splitlines()
    except OSError:
        return []


def network_state():
    """What the tests could leave behind in a network namespace, each thing as one line."""
    state = set()
    for line in output_of("ip", "-o", "link"):
        state.add("link " + line.split(": ")[1])
    for line in output_of("ip", "route", "show", "table", "all") + output_of("ip", "-6", "route", "show", "table", "all"):
        if not line.startswith("anycast"):  # the kernel's own, wherever IPv6 is forwarded
            state.add("route " + line)
    for line in output_of("nft", "list", "tables"):
        state.add("nft " + line)
    for line in output_of("ip", "netns", "list"):
        state.add("netns " + line)
    return state


def machine_state():
    """Everything the tests could leave behind."""
    state = network_state()
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        state.add("mount " + line.split()[4])
    for folder in pathlib.Path("/sys/fs/cgroup").glob("**/cay/*"):
        if folder.is_dir():
            state.add(f"cgroup {folder}")
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                program = os.path.basename(words[0]).decode(errors="replace")
                if program in PROGRAMS or program.startswith("qemu"):
                    state.add(f"process {entry.name} {b' '.join(words)[:120].decode(errors='replace')}")
    return state


def report_left(name, left, out=sys.stdout):
    """The row that says whether something is left."""
    json.dump({"name": name, "result": "failed" if left else "ok", "output": "\n".join(sorted(left)), "seconds": 0}, out)
    out.write("\n")
    out.flush()


def discover(patterns):
    """The chosen tests' classes: name to (module, whether it wants to be alone)."""
    with contextlib.redirect_stdout(io.StringIO()):
        found = list(all_tests(unittest.defaultTestLoader.discover(str(HERE), pattern="test_*.py")))
    return {test.id() if "_FailedTest" in test.id() else f"{type(test).__module__}.{type(test).__name__}":
            (sys.modules.get(type(test).__module__), alone(test))
            for test in found if chosen(test.id(), patterns)}


def fetch(classes):
    """Lets the tests' modules get what they need from outside; a row for what can't be had."""
    calls = {call for module, _ in classes.values() for call in getattr(module, "FETCH", ())}
    for call in calls:
        try:
            call()
        except unittest.SkipTest:
            pass  # each of the tests says so itself
        except (OSError, subprocess.SubprocessError) as error:
            print(json.dumps({"name": f"fetching: {call.__module__}.{call.__name__}", "result": "failed",
                              "output": str(error), "seconds": 0}), flush=True)


def run_all(patterns):
    """In the namespace of the tests: runs them."""
    before = machine_state()
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        pending = [pool.submit(start_class, name, apart, patterns) for name, (_, apart) in discover(patterns).items()]
        for future in concurrent.futures.as_completed(pending):
            for row in future.result():
                print(json.dumps(row), flush=True)
    report_left("nothing is left behind", machine_state() - before)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--class", dest="one")
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("patterns", nargs="*")
    arguments = parser.parse_args()
    # What a shell starts in the background ignores it, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if arguments.one:
        run_class(arguments.one, arguments.patterns)
        return 0
    if arguments.inside:
        run_all(arguments.patterns)
        return 0
    before = machine_state()
    fetch(discover(arguments.patterns))
    status = subprocess.run(lab.inside([sys.executable, __file__, "--inside", *arguments.patterns]), check=False).returncode
    report_left("nothing is left behind on the machine", machine_state() - before)
    return status


if __name__ == "__main__":
    sys.exit(main())
