# SPDX-License-Identifier: Apache-2.0
"""The network: throughput, round trips, and what it adds to a start.

cay's containers stand beside docker's, and beside the same QEMU started by
hand with a bare tap: the same machine and kernel, nothing of cay's around it.
Host to container goes by the bridge, by hand by the tap itself; container to
container by a bridge everywhere.
"""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from common import BUILD, Cay, Docker, alone, alternate, children, milliseconds, processes, title, wait_until
from net_images import NET_TOOL, SERVERS_CONFIG, servers_archive, with_files
from test_network_servers import Clients

ROUNDS = 3
SECONDS = 2
ROUND_TRIPS = 2000
START_ROUNDS = 10
MANY = 100
ECHO, SHELL = 7, 9
SERVE = f"net-tool serve {ECHO} & exec iperf3 -s"
INIT = f"""#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/null >/dev/null 2>&1
set -- $(/bin/busybox sed -n 's/.*address=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
/bin/busybox ip link set lo up
/bin/busybox ip address add $1 dev eth0
/bin/busybox ip link set eth0 up
/bin/net-tool serve {ECHO} &
/bin/busybox nc -ll -p {SHELL} -e /bin/sh &
exec /usr/bin/iperf3 -s
"""


def output(*command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return done.stdout


class Engine:
    """Where two machines of an engine are: `first` from the host by host(), `second` from another by inside()."""

    def __init__(self, name, host, inside, first, second):
        self.name, self.host, self.inside, self.first, self.second = name, host, inside, first, second

    def rounds(self):
        """One round of each measurement."""
        def throughput(call, *arguments):
            """In Mbit/s. Between two tests iperf3's server is away for a moment."""
            def report():
                found = json.loads(call("iperf3", "-J", "-O", 1, "-t", SECONDS, "-c", *arguments))
                return found if "error" not in found else None

            return wait_until(report, f"iperf3 at {arguments[0]}", 30)["end"]["sum_received"]["bits_per_second"] / 1e6

        return {
            "host to container, Mbit/s": throughput(self.host, self.first),
            "container to host, Mbit/s": throughput(self.host, self.first, "-R"),
            "container to container, Mbit/s": throughput(self.inside, self.second),
            "host and container, round trip in us": float(self.host(NET_TOOL, "round", self.first, ECHO, ROUND_TRIPS)),
            "two containers, round trip in us": float(self.inside("net-tool", "round", self.second, ECHO, ROUND_TRIPS)),
        }


def wait_for(host, address):
    """Until both servers there answer."""
    def answers():
        try:
            host(NET_TOOL, "ask", "tcp", address, ECHO, "?")
            host("iperf3", "-c", address, "-n", "1")
        except AssertionError:
            return False
        return True

    wait_until(answers, f"{address} to serve", 60)


def containers(name, engine, host):
    """An engine's two containers."""
    addresses = []
    for container in ("first", "second"):
        engine("run", "-d", "--name", container, "bench", "sh", "-c", SERVE)
        info = json.loads(engine("inspect", container))[0]
        addresses.append(info["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])
    for address in addresses:
        wait_for(host, address)
    return Engine(name, host, lambda *words: engine("exec", "first", *words), addresses[0], addresses[1])


class ByHand:
    """VMs as the one of cay's container "first", but with an initramfs of their own and nothing around them."""

    def __init__(self, directory, cay):
        self.directory = directory
        self.processes = []
        shim = processes("cay-shim", json.loads(cay("inspect", "first"))[0]["Id"])[0]
        qemu, = children(shim)
        self.words = pathlib.Path(f"/proc/{qemu}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
        self.program = os.readlink(f"/proc/{qemu}/exe")
        self.make_initramfs()

    def make_initramfs(self):
        tree = self.directory / "tree"
        for name in ("bin", "proc", "dev", "tmp"):
            (tree / name).mkdir(parents=True)
        clients = Clients()
        try:
            linked = output("chroot", clients.tree, "ldd", "/usr/bin/iperf3").split()
            for name in ("/usr/bin/iperf3", *(word for word in linked if word.startswith("/"))):
                (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clients.tree / name[1:], tree / name[1:])
        finally:
            clients.close()
        shutil.copy("/bin/busybox", tree / "bin")
        shutil.copy(NET_TOOL, tree / "bin")
        (tree / "bin" / "sh").symlink_to("busybox")
        (tree / "init").write_text(INIT)
        (tree / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        with open(self.directory / "initramfs", "wb") as out:
            subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=tree, input=names.encode(), stdout=out,
                           stderr=subprocess.DEVNULL, check=True)

    def start(self, number, address):
        """A VM with this address; its tap."""
        tap = f"bare{number}"
        output("ip", "tuntap", "add", tap, "mode", "tap", "vnet_hdr")
        output("ip", "link", "set", tap, "up")
        machine = [word for option in ("-M", "-cpu", "-smp", "-m", "-global")
                   for word in (option, self.words[self.words.index(option) + 1])]
        kernel = self.words[self.words.index("-append") + 1]
        self.processes.append(subprocess.Popen(
            [self.program, *machine, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
             "-kernel", BUILD / "vmlinux", "-initrd", self.directory / "initramfs",
             "-append", f"{kernel} address={address}/24", "-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no",
             "-device", f"virtio-net-device,netdev=net0,mac=02:00:00:00:99:0{number}"], stdin=subprocess.DEVNULL))
        return tap

    def engine(self):
        """One VM at a bare tap, and two at a bare bridge."""
        output("ip", "address", "add", "10.250.0.1/24", "dev", self.start(1, "10.250.0.2"))
        output("ip", "link", "add", "bare", "type", "bridge")
        output("ip", "address", "add", "10.251.0.1/24", "dev", "bare")
        output("ip", "link", "set", "bare", "up")
        for number in (2, 3):
            output("ip", "link", "set", self.start(number, f"10.251.0.{number}"), "master", "bare")
        for address in ("10.250.0.2", "10.251.0.2", "10.251.0.3"):
            wait_for(output, address)
        return Engine("by hand", output, self.inside, "10.250.0.2", "10.251.0.3")

    @staticmethod
    def inside(*words):
        return subprocess.run(["busybox", "nc", "10.251.0.2", str(SHELL)], input=f"exec {' '.join(map(str, words))}\n",
                              text=True, capture_output=True, check=True, timeout=60).stdout

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


def transport(engines):
    title(f"throughput and round trips (medians of {ROUNDS} rounds in turn)")
    samples = {engine.name: [] for engine in engines}
    for _ in range(ROUNDS):
        for engine in engines:
            samples[engine.name].append(engine.rounds())
    names = list(samples)
    print(f"{'':38}" + "".join(f"{name:>10}" for name in names) + "".join(f"{'cay/' + name:>14}" for name in names[1:]))
    for measure in samples[names[0]][0]:
        medians = [statistics.median(row[measure] for row in samples[name]) for name in names]
        print(f"{measure:38}" + "".join(f"{median:10.1f}" for median in medians)
              + "".join(f"{medians[0] / median:14.2f}" for median in medians[1:]))


def starts(cay, docker):
    title("run --rm busybox true, with and without a network")

    def run(program, environment, *arguments):
        subprocess.run([program, "run", "--rm", *arguments, "busybox", "true"], env=environment, check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)

    functions = {}
    for name, engine, program in (("cay", cay, BUILD / "cay"), ("docker", docker, docker and docker.program)):
        if engine:
            functions[name] = lambda engine=engine, program=program: run(program, engine.environment)
            functions[f"{name}, none"] = lambda engine=engine, program=program: run(program, engine.environment,
                                                                                    "--network", "none")
    for known in (1, MANY):
        if known > 1:
            began = time.perf_counter()
            for number in range(known):
                cay("network", "create", f"many{number}")
                cay("create", "--network", f"many{number}", "--name", f"many{number}", "busybox", "true")
            print(f"({known} networks with a container each made in {time.perf_counter() - began:.1f} s)")
            functions = {name: function for name, function in functions.items() if name.startswith("cay")}
        samples = alternate(START_ROUNDS, **functions)
        for name, seconds in samples.items():
            print(f"{known:4} known  {name:14} {milliseconds(seconds)}")
        for name in ("cay", "docker"):
            if name in samples:
                added = [with_one - without for with_one, without in zip(samples[name], samples[f"{name}, none"])]
                print(f"{known:4} known  {name}: the network adds {statistics.median(added) * 1000:.1f} ms "
                      f"(median of the pairs' differences)")


def main(_arguments):
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cay-bench-network-")))
        archive = directory / "bench.tar"
        with_files(archive, servers_archive(), "bench", SERVERS_CONFIG, {"usr/bin/net-tool": NET_TOOL})
        cay, docker = Cay(), Docker.try_start()
        stack.callback(cay.close)
        cay("load", "-q", "-i", archive)
        engines = [containers("cay", cay, output)]
        hand = ByHand(directory, cay)
        stack.callback(hand.close)
        engines.append(hand.engine())
        if docker:
            stack.callback(docker.close)
            docker("load", "-q", "-i", archive)
            inside = ("nsenter", f"--net=/proc/{docker.process.pid}/ns/net")
            engines.append(containers("docker", docker, lambda *words: output(*inside, *words)))
        transport(engines)
        for engine in filter(None, (cay, docker)):
            engine("rm", "-f", "second")
        starts(cay, docker)


if __name__ == "__main__":
    alone(main)
