# SPDX-License-Identifier: Apache-2.0
"""The time of "run --rm busybox true" and of "exec", cay beside docker in alternation, and where it goes.

Both are shown on their default bridge networks, docker without a network as well.
"""

import calendar
import json
import re
import statistics
import subprocess
import time

from common import BUILD, Cay, Docker, alone, alternate, milliseconds, title, wait_until

ROUNDS = 20
TIMES = re.compile(r"times in us: ready (\d+), VM spawned (\d+), guest ready (\d+), created (\d+), "
                   r"started (\d+), exited (\d+), VM gone (\d+)")


def nanoseconds(text):
    """RFC 3339 with nine digits as nanoseconds since the epoch."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int((fraction or "0").ljust(9, "0")[:9])


def shares(cay, rounds):
    """Medians of each step of a run, from the client's start to its end, in milliseconds."""
    rows = []
    for turn in range(rounds):
        name = f"steps{turn}"
        began = time.time_ns()
        subprocess.run([BUILD / "cay", "run", "--name", name, "busybox", "true"], env=cay.environment, check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)
        ended = time.time_ns()
        info = json.loads(cay("inspect", name))[0]
        log = cay.daemon.root / "containers" / info["Id"] / "shim.log"
        line = wait_until(lambda: next((line for line in log.read_text().splitlines() if TIMES.search(line)), None),
                          "the shim's times", 10)
        steps = [int(number) * 1000 for number in TIMES.search(line).groups()]
        # The line is written when the VM is gone: that places the shim's own clock among the others.
        shim = nanoseconds(line.split()[0]) - steps[-1]
        created = nanoseconds(info["Created"])
        ready, spawned, guest, made, started, exited, gone = (shim + step for step in steps)
        rows.append([created - began, ready - created, spawned - ready, guest - spawned, made - guest, started - made,
                     exited - started, gone - exited, ended - gone])
        cay("rm", name)
    names = ("client, create", "API start, shim", "QEMU spawned", "QEMU, kernel, vminitd up", "container prepared",
             "process executed", "process, its output, exit", "teardown of the VM", "exit reported, client ends")
    for name, column in zip(names, zip(*rows)):
        print(f"  {name:28} {statistics.median(column) / 1e6:7.1f} ms")
    print(f"  {'in all':28} {statistics.median([sum(row) for row in rows]) / 1e6:7.1f} ms")


def main():
    title("run --rm busybox true")
    cay, docker = Cay("--log-level", "debug"), Docker.try_start()

    def run(program, environment, *arguments):
        subprocess.run([program, *arguments], env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    try:
        functions = {"cay": lambda: run(BUILD / "cay", cay.environment, "run", "--rm", "busybox", "true")}
        if docker:
            functions["docker"] = lambda: run(docker.program, docker.environment, "run", "--rm", "busybox", "true")
            functions["docker, no network"] = lambda: run(docker.program, docker.environment, "run", "--rm",
                                                          "--network", "none", "busybox", "true")
        samples = alternate(ROUNDS, **functions)
        for name, seconds in samples.items():
            print(f"{name:20} {milliseconds(seconds)}")
        for name in list(samples)[1:]:
            print(f"ratio: cay takes {statistics.median(samples['cay']) / statistics.median(samples[name]):.2f} of the time of {name}")
        title("where the time goes (medians)")
        shares(cay, ROUNDS)
        title("exec CONTAINER true")
        cay("run", "-d", "--name", "bench", "busybox", "sleep", "10000")
        functions = {"cay": lambda: run(BUILD / "cay", cay.environment, "exec", "bench", "true")}
        if docker:
            docker("run", "-d", "--name", "bench", "busybox", "sleep", "10000")
            functions["docker"] = lambda: run(docker.program, docker.environment, "exec", "bench", "true")
        samples = alternate(ROUNDS, **functions)
        for name, seconds in samples.items():
            print(f"{name:20} {milliseconds(seconds)}")
        if docker:
            print(f"ratio: cay takes {statistics.median(samples['cay']) / statistics.median(samples['docker']):.2f} of docker's time")
            docker("rm", "-f", "bench")
    finally:
        cay.close()
        if docker:
            docker.close()


if __name__ == "__main__":
    alone(main)
