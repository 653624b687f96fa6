# SPDX-License-Identifier: Apache-2.0
"""What idle containers cost in memory, beside Docker's engine; fifty of them up at once; memory that a
guest frees and the host has back.

Sizes are proportional (PSS): a page that several processes map counts in parts for each, so that the
sums are what the machine has lost. A pool of VMs that wait for a container is listed apart.
"""

import collections
import concurrent.futures
import json
import pathlib
import re
import statistics
import time
import urllib.request

from common import Cay, Docker, alone, children, processes, pss_kib, title, wait_until

IDLE, MANY = 5, 50
FREED_MIB, BACK, BACK_SECONDS = 512, 0.9, 10
# About what a VM that boots cold takes: no more are started than the machine's memory holds.
CONTAINER_MIB = 160
# Idle memory is looked at when it has changed by less than this within so many seconds, after so many looks at most.
SETTLED, SETTLE_SECONDS, SETTLE_STEPS = 0.01, 20, 6
PAGES = ("the guest's memory, written", "the guest's memory, the template's")


def mappings(pid):
    """A process's mappings; sizes in KiB. "own" is what it has written of a private mapping of a file."""
    rows = []
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        header = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)", line)
        if header:
            size = (int(header[2], 16) - int(header[1], 16)) // 1024
            rows.append({"size": size, "mode": header[3], "name": header[4], "pss": 0, "own": 0})
        elif line.startswith("Pss:"):
            rows[-1]["pss"] = int(line.split()[1])
        elif line.startswith("Anonymous:"):
            rows[-1]["own"] = int(line.split()[1])
    return rows


def parts_of_vm(pid):
    """What a QEMU's memory is made of, in KiB."""
    rows, sums = mappings(pid), collections.Counter()
    anonymous = [row for row in rows if not row["name"] and row["mode"].startswith("rw-")]
    guest = [row for row in rows if "/templates/" in row["name"] or row["name"].startswith("/memfd:")]
    guest = guest or [max(anonymous, key=lambda row: row["size"])]
    for row in rows:
        if row in guest and "/templates/" in row["name"]:
            sums[PAGES[0]] += row["own"]
            sums[PAGES[1]] += max(row["pss"] - row["own"], 0)
        elif row in guest:
            sums[PAGES[0]] += row["pss"]
        elif row["mode"].startswith("rwx"):
            sums["translated code"] += row["pss"]
        elif row["name"].endswith(("initramfs.cpio", "vmlinux")):
            sums["kernel and initramfs, as files"] += row["pss"]
        elif row["name"].startswith("/"):
            sums["QEMU's program and libraries"] += row["pss"]
        else:
            sums["QEMU's heap, tables and stacks"] += row["pss"]
    return sums


def available_kib():
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(re.search(r"MemAvailable: *(\d+)", text)[1])


def mib(kib):
    return f"{kib / 1024:7.1f} MiB"


class Sizes:
    """The processes of a cay daemon and what each kind of them takes, in KiB."""

    def __init__(self, cay):
        root = str(cay.daemon.root)
        shims = processes("cay-shim", root)
        self.pool_shims = [pid for pid in shims if pid in processes(f"{root}/pool/")]
        self.shims = [pid for pid in shims if pid not in self.pool_shims]
        self.rows = collections.Counter({"cayd": pss_kib(cay.daemon.process.pid)})
        self.vms, self.pool, self.pool_size = [], 0, len(self.pool_shims)
        for pid in self.shims:
            self.rows["shims"] += pss_kib(pid)
            for child in children(pid):
                if "qemu" in pathlib.Path(f"/proc/{child}/comm").read_text():
                    self.vms.append(child)
                    self.rows += parts_of_vm(child)
                else:
                    self.rows["file servers"] += pss_kib(child)
        for pid in self.pool_shims:
            self.pool += pss_kib(pid) + sum(pss_kib(child) for child in children(pid))

    def total(self):
        return sum(self.rows.values())

    def show(self):
        for name, kib in self.rows.most_common():
            each = f"   {mib(kib / max(len(self.vms), 1))} a container" if name != "cayd" else ""
            print(f"  {name:36} {mib(kib)}{each}")
        print(f"  {'in all':36} {mib(self.total())}")
        print(f"  {'pool, apart (' + str(self.pool_size) + ' VMs)':36} {mib(self.pool)}")


def settled(cay):
    """The sizes when the containers have been idle for a while and no longer change."""
    before, sizes = None, Sizes(cay)
    for _ in range(SETTLE_STEPS):
        if before and abs(before.total() - sizes.total()) < SETTLED * sizes.total():
            break
        time.sleep(SETTLE_SECONDS)  # it is idleness that is measured
        before, sizes = sizes, Sizes(cay)
    return sizes


def docker_size(docker, ids):
    pids = set(processes(str(docker.directory)))
    for identity in ids:
        pids |= set(processes("containerd-shim", identity))
        pids.add(int(docker("inspect", "-f", "{{.State.Pid}}", identity)))
    rows = collections.Counter()
    for pid in pids:
        rows[pathlib.Path(f"/proc/{pid}/comm").read_text().strip()] += pss_kib(pid)
    for name, kib in rows.most_common():
        print(f"  {name:36} {mib(kib)}")
    print(f"  {'in all':36} {mib(sum(rows.values()))}")
    return sum(rows.values())


def idle(cay):
    title(f"memory of the engine and {IDLE} idle containers")
    before = available_kib()
    ids = [cay("run", "-d", "busybox", "sleep", "100000") for _ in range(IDLE)]
    cay.wait_warm()
    sizes = settled(cay)
    print("cay:")
    sizes.show()
    print(f"  the machine has {mib(before - available_kib())} less available than before them")
    cay("rm", "-f", *ids)
    docker = Docker.try_start()
    if not docker:
        return
    try:
        ids = [docker("run", "-d", "busybox", "sleep", "100000") for _ in range(IDLE)]
        print("docker:")
        theirs = docker_size(docker, ids)
        docker("rm", "-f", *ids)
    finally:
        docker.close()
    print(f"ratio: cay takes {sizes.total() / theirs:.2f} of docker's memory (goal: 1.2),"
          f" with the pool {(sizes.total() + sizes.pool) / theirs:.2f}")


def answers(cay, identity):
    """The container is asked over the network and by exec."""
    networks = json.loads(cay("inspect", identity))[0]["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    with urllib.request.urlopen(f"http://{address}:8080/id", timeout=60) as answer:
        page = answer.read().decode().strip()
    return page == identity[:12] == cay("exec", identity, "hostname")


def many(cay):
    count = min(MANY, available_kib() // 1024 // CONTAINER_MIB)
    title(f"{count} containers up at once")
    if count < MANY:
        print(f"the machine's memory holds no more than {count} for certain")
    ids, times = [], []
    try:
        for _ in range(count):
            cay.wait_warm()  # so that each start finds what the first has found
            began = time.perf_counter()
            ids.append(cay("run", "-d", "busybox", "sh", "-c",
                           "mkdir /www; hostname >/www/id; exec httpd -f -p 8080 -h /www"))
            times.append(time.perf_counter() - began)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            good = sum(pool.map(lambda identity: answers(cay, identity), ids))
        print(f"{good} of {count} answer over TCP and exec")
        first, last = statistics.median(times[:5]), statistics.median(times[-5:])
        print(f"run -d: the first {times[0] * 1000:.0f} ms, the last {times[-1] * 1000:.0f};"
              f" medians of the first and last five {first * 1000:.0f} and {last * 1000:.0f}")
        print(f"ratio: the last starts take {last / first:.2f} of the first ones' time (goal: 1.5)")
        sizes = settled(cay)
        sizes.show()
        cayd = sizes.rows["cayd"]
        print(f"each container takes {mib((sizes.total() - cayd) / count).strip()}")
    finally:
        if ids:
            cay("rm", "-f", *ids)
    return good == count


def returned(cay):
    title(f"a guest frees {FREED_MIB} MiB")
    cay.wait_warm()
    identity = cay("run", "-d", "-m", "1g", "--tmpfs", f"/big:size={FREED_MIB + 64}m", "busybox", "sleep", "100000")

    def size():
        shim = processes("cay-shim", identity)[0]
        return pss_kib(shim) + sum(pss_kib(child) for child in children(shim))

    try:
        start = size()
        cay("exec", identity, "dd", "if=/dev/zero", "of=/big/file", "bs=1M", f"count={FREED_MIB}")
        full = size()
        cay("exec", identity, "rm", "/big/file")
        began = time.monotonic()
        wanted = BACK * FREED_MIB * 1024
        try:
            wait_until(lambda: full - size() >= wanted, "the memory", 60)
            seconds = time.monotonic() - began
            print(f"{mib(start)} before, {mib(full)} full, {mib(size())} after {seconds:.1f} s:"
                  f" {(full - size()) / 1024 / FREED_MIB:.0%} of it is back (goal: {BACK:.0%} within {BACK_SECONDS} s)")
            return seconds <= BACK_SECONDS
        except AssertionError:
            print(f"{mib(start)} before, {mib(full)} full, {mib(size())} after a minute: it did not come back")
            return False
    finally:
        cay("rm", "-f", identity)


STEPS = {"idle": idle, "many": many, "returned": returned}


def step(name):
    if name not in STEPS:
        raise ValueError
    return name


def main(arguments):
    cay = Cay()
    try:
        cay.warm_up()
        good = [STEPS[name](cay) is not False for name in arguments.steps or STEPS]
    finally:
        cay.close()
    return 0 if all(good) else 1


if __name__ == "__main__":
    alone(main, lambda parser: parser.add_argument(
        "steps", metavar="STEP", nargs="*", type=step, help="idle, many or returned (default: all three)"))
