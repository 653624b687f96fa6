# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests, a class a process and a few processes at a time, and prints one JSON
object a test. Afterwards it checks that the machine is as it was: no link, rule, namespace, mount,
control group or process was left behind, which counts as one more test.
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

# VMs spend their time in the CPU; a third process fills the gaps in which two of them wait.
PARALLEL = int(os.environ.get("CAY_TEST_JOBS", "3"))
CLASS_TIMEOUT = 900


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
    suite.run(Recorder(out))


def chosen(name, patterns):
    return not patterns or any(pattern in name for pattern in patterns)


def start_class(name, patterns):
    """Parent: runs one class; yields nothing, prints its rows whole."""
    began = time.monotonic()
    try:
        done = subprocess.run([sys.executable, __file__, "--class", name, *patterns], stdin=subprocess.DEVNULL,
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


def machine_state():
    """Everything the tests could leave behind, each thing as one line."""
    state = set()
    for line in output_of("ip", "-o", "link"):
        state.add("link " + line.split(": ")[1])
    for line in output_of("nft", "list", "tables"):
        state.add("nft " + line)
    for line in output_of("ip", "netns", "list"):
        state.add("netns " + line)
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
                if program in ("cayd", "cay-shim", "cay-layer", "cay", "docker-registry") or program.startswith("qemu"):
                    state.add(f"process {entry.name} {b' '.join(words)[:120].decode(errors='replace')}")
    return state


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--class", dest="one")
    parser.add_argument("patterns", nargs="*")
    arguments = parser.parse_args()
    # What a shell starts in the background ignores it, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if arguments.one:
        run_class(arguments.one, arguments.patterns)
        return 0
    before = machine_state()
    with contextlib.redirect_stdout(io.StringIO()):
        found = list(all_tests(unittest.defaultTestLoader.discover(str(HERE), pattern="test_*.py")))
    names = []
    for test in found:
        if chosen(test.id(), arguments.patterns):
            name = test.id() if "_FailedTest" in test.id() else f"{type(test).__module__}.{type(test).__name__}"
            if name not in names:
                names.append(name)
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        pending = [pool.submit(start_class, name, arguments.patterns) for name in names]
        for future in concurrent.futures.as_completed(pending):
            for row in future.result():
                print(json.dumps(row), flush=True)
    left = sorted(machine_state() - before)
    print(json.dumps({"name": "nothing is left behind", "result": "failed" if left else "ok",
                      "output": "\n".join(left), "seconds": 0}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
