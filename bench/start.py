# SPDX-License-Identifier: Apache-2.0
"""The time of "run --rm busybox true" and of "exec": cay from its pool, from a template, cold, and as it
is the first time on a host (cold, with no translations), beside docker, in alternation in one run; and where each
kind of start spends it.

Every engine runs the container on its default bridge network, docker without a network as well. No round
begins before every template is made and the pool is full again, which is work of the background.
"""

import calendar
import json
import re
import statistics
import subprocess
import time

from common import BUILD, Cay, Docker, alone, alternate, milliseconds, number, title, wait_until

# Options of a daemon whose containers start in one way. The log has the times of each step.
COLD = ("--pool", "0", "--templates", "off")
WAYS = {"pool": (), "template": ("--pool", "0"), "cold": COLD, "first": (*COLD, "--translations", "off")}
# Of docker's time at most, by the way of starting; and in milliseconds for a cold start.
GOALS = {"pool": 0.5, "template": 1.0}
GOAL_COLD = 600
TIMES = re.compile(r"times in us: ready (\d+), VM spawned (\d+), guest ready (\d+), created (\d+), "
                   r"started (\d+), exited (\d+), VM gone (\d+)")
STEPS = ("client, create", "API start, shim", "QEMU spawned", "QEMU, kernel, vminitd up", "container prepared",
         "process executed", "process, its output, exit", "teardown of the VM", "exit reported, client ends")


def nanoseconds(text):
    """RFC 3339 with nine digits as nanoseconds since the epoch."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int((fraction or "0").ljust(9, "0")[:9])


def run(program, environment, *arguments):
    subprocess.run([program, *arguments], env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def steps_of(cay, name):
    """One run from the client's start to its end, as the nanoseconds of each step."""
    began = time.time_ns()
    run(BUILD / "cay", cay.environment, "run", "--name", name, "busybox", "true")
    ended = time.time_ns()
    info = json.loads(cay("inspect", name))[0]
    log = cay.daemon.root / "containers" / info["Id"] / "shim.log"
    line = wait_until(lambda: next((line for line in log.read_text().splitlines() if TIMES.search(line)), None),
                      "the shim's times", 10)
    steps = [int(number) * 1000 for number in TIMES.search(line).groups()]
    # The line is written when the VM is gone: that places the shim's own clock among the others.
    shim = nanoseconds(line.split()[0]) - steps[-1]
    moments = [began, nanoseconds(info["Created"]), *(shim + step for step in steps), ended]
    cay("rm", name)
    return [after - before for before, after in zip(moments, moments[1:])]


def breakdown(engines, rounds):
    """Medians of each step, one column a way of starting, in milliseconds."""
    title("where the time goes: medians in ms; a step that ran beside another may be negative")
    columns = {}
    for way, cay in engines.items():
        rows = []
        for turn in range(rounds):
            cay.wait_warm()
            rows.append(steps_of(cay, f"steps{turn}"))
        columns[way] = [statistics.median(column) / 1e6 for column in zip(*rows)]
        columns[way].append(statistics.median(map(sum, rows)) / 1e6)
    print(f"  {'':28}" + "".join(f"{way:>10}" for way in columns))
    for number, name in enumerate((*STEPS, "in all")):
        print(f"  {name:28}" + "".join(f"{column[number]:10.1f}" for column in columns.values()))


def compare(engines, docker, rounds, arguments, extra=()):
    """Medians of the client's command, by engine; docker's with other arguments too."""
    functions = {way: lambda cay=cay: run(BUILD / "cay", cay.environment, *arguments) for way, cay in engines.items()}
    if docker:
        functions["docker"] = lambda: run(docker.program, docker.environment, *arguments)
        for name, other in extra:
            functions[name] = lambda other=other: run(docker.program, docker.environment, *other)

    def settle():
        for cay in engines.values():
            cay.wait_warm()

    samples = alternate(rounds, settle, **functions)
    for name, seconds in samples.items():
        print(f"{name:20} {milliseconds(seconds)}")
    return {name: statistics.median(seconds) * 1000 for name, seconds in samples.items()}


def compare_runs(engines, docker, rounds):
    title("run --rm busybox true")
    medians = compare(engines, docker, rounds, ("run", "--rm", "busybox", "true"),
                      (("docker, no network", ("run", "--rm", "--network", "none", "busybox", "true")),))
    for way, goal in GOALS.items():
        for other in [name for name in medians if name.startswith("docker")]:
            wanted = f" (goal: {goal})" if other == "docker" else ""
            print(f"ratio: from the {way} cay takes {medians[way] / medians[other]:.2f} of the time of {other}{wanted}")
    print(f"cold: {medians['cold']:.0f} ms (goal: {GOAL_COLD}); the first one on a host: {medians['first']:.0f} ms")


def compare_execs(engines, docker, rounds):
    title("exec CONTAINER true")
    for engine in [*engines.values(), docker]:
        if engine:
            engine("run", "-d", "--name", "bench", "busybox", "sleep", "10000")
    medians = compare(engines, docker, rounds, ("exec", "bench", "true"))
    if docker:
        for way in engines:
            print(f"ratio: {way}: cay takes {medians[way] / medians['docker']:.2f} of docker's time (goal: 1.0)")
        docker("rm", "-f", "bench")


def main(arguments):
    rounds = arguments.rounds
    engines, docker = {}, None
    try:
        for way, options in WAYS.items():
            engines[way] = Cay("--log-level", "debug", *options)
            engines[way].warm_up()
        docker = Docker.try_start()
        compare_runs(engines, docker, rounds)
        breakdown(engines, rounds)
        compare_execs(engines, docker, rounds)
    finally:
        for engine in engines.values():
            engine.close()
        if docker:
            docker.close()


if __name__ == "__main__":
    alone(main, lambda parser: parser.add_argument(
        "rounds", metavar="ROUNDS", nargs="?", type=number, default=20, help="how many (default: %(default)s)"))
