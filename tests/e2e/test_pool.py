# SPDX-License-Identifier: Apache-2.0
"""A sandbox that waits for its container: claims that succeed and fail, what is seen inside and outside."""

import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess

import grpc_judge
import harness
from harness import alive, processes, wait_until
from pool_harness import SHIM, Member, PoolTestCase, warm_archive

FETCH = (harness.busybox_archive, grpc_judge.installed, warm_archive)
OK, CONFLICT = 0, 9


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def nice_value(pid):
    return os.getpriority(os.PRIO_PROCESS, pid)


class Claims(PoolTestCase):
    subnet = "10.211"

    def test_claim(self):
        """Inside and outside all is the container's: streams, exit code, network, paths, state."""
        member = self.warm_member()
        before, vm = member.socket, member.vm_pid()
        container = self.container("sh", "-c", f"echo said; echo wrong >&2; ping -c 1 -W 20 {self.gateway} >/dev/null"
                                   " && echo reached; ip addr show eth0; exec sleep 1000")
        lowered = nice_value(vm) - nice_value(0)
        self.assertEqual(member.claim(container)["code"], OK)
        self.assertEqual(lowered, 10 if os.geteuid() == 0 else 0)
        self.assertEqual(nice_value(vm), nice_value(0))
        self.assertFalse(before.exists())
        self.assertEqual([word for word in command_line(member.process.pid)[1:] if word],
                         [b"--config", str(container.config_path).encode(), b"--debug"])
        wait_until(lambda: container.identity in pathlib.Path(f"/proc/{vm}/cgroup").read_text()
                   or "/cay/" not in pathlib.Path(f"/proc/{vm}/cgroup").read_text(), "QEMU to change its cgroup")
        member.answer("Start", {"container_id": container.identity})
        state = member.answer("State")
        self.assertEqual((state["sandbox_id"], state["start"], state["vm_pid"]), (container.identity, "pool", vm))
        self.assertEqual([(one["id"], one["status"]) for one in state["containers"]],
                         [(container.identity, "RUNNING")])
        member.close_leash()  # it is no member any more
        wait_until(lambda: "permaddr" in container.output() or "link/ether" in container.output(), "its output")
        self.assertEqual(container.state()["status"], "running")
        member.answer("Kill", {"container_id": container.identity, "signal": 9})
        member.wait_gone()
        self.assertEqual(container.output("stderr"), "wrong\n")
        self.assertIn("said\nreached\n", container.output("stdout"))
        self.assertIn(f"inet {container.address}/16 ", container.output())
        self.assertIn(container.config["interfaces"][0]["mac"], container.output())
        self.assertEqual((container.state()["status"], container.state()["exit_code"]), ("exited", 137))
        self.assertIn("Linux version", (container.directory / "boot.log").read_text(errors="replace"))
        self.assertFalse(alive(vm))
        self.assertEqual(list(pathlib.Path("/sys/fs/cgroup").glob(f"**/cay/{container.identity}")), [])
        self.assertEqual(list(pathlib.Path("/sys/fs/cgroup").glob(f"**/cay/{member.directory.name}")), [])

    def test_twenty_in_turn(self):
        """What any has on its disks is its own: nothing of an earlier disk is in the guest's caches."""
        wanted = hashlib.sha256(pathlib.Path("/bin/busybox").read_bytes()).hexdigest()
        following = self.member(warm_rounds=1)
        for number in range(20):
            member, following = following, self.member(warm_rounds=1) if number < 19 else None
            member.wait_warm()
            container = self.container(
                "sh", "-c", "test -e /mark || test -e /warm || test -e /cay-warm && exit 1;"
                f" seq 1 20000 >/numbers; echo {number} >/mark; ls / | sort >/list; sync; echo 3"
                " 2>/dev/null >/proc/sys/vm/drop_caches; cat /mark /bin/busybox | tail -c +"
                f"{len(str(number)) + 2} | sha256sum; sha256sum </numbers; cat /mark; ls /cay-warm 2>&1")
            self.assertNotEqual(self.run_claimed(member, container), 0)  # of the last one
            member.wait_gone()
            numbers = "".join(f"{n}\n" for n in range(1, 20001)).encode()
            self.assertEqual(container.output().splitlines()[:3],
                             [f"{wanted}  -", f"{hashlib.sha256(numbers).hexdigest()}  -", str(number)])
            scratch = container.config["disks"][1]["extents"][0]["path"]
            for name, content in (("mark", f"{number}\n".encode()), ("numbers", numbers)):
                seen = subprocess.run(["debugfs", "-R", f"cat /upper/{name}", scratch], capture_output=True,
                                      check=True).stdout
                self.assertEqual(seen, content)
            self.assertEqual(subprocess.run(["e2fsck", "-fn", scratch], capture_output=True, check=False).returncode
                             & ~1, 0)  # 1: the journal is to be replayed

    def test_like_a_fresh_one(self):
        """What a container can look at is as in a VM that was booted for it."""
        # Processes are looked at first: a loop takes as many pids as it takes turns. The card has its own address
        # when the kernel has said so.
        script = ("ps; until ip -6 route | grep -q ^fe80::; do sleep 0.05; done; cat /proc/mounts /proc/partitions /proc/self/cgroup /proc/self/limits /etc/hostname; env | sort;"
                  " for disk in /sys/block/vd*; do cat $disk/size $disk/ro; done; ls -an / /dev /run /tmp;"
                  " cat /proc/net/dev | cut -d: -f1; ip route; ip -6 route; ip neigh; ls /proc/self/fd;"
                  " cat /proc/sys/net/ipv6/conf/eth0/accept_ra; cat /proc/sys/net/ipv4/ip_forward")
        seen = []
        for purpose in ("pool", "containers"):
            container = self.container("sh", "-c", script, cards=2)
            if purpose == "pool":
                member = self.warm_member(cards=2)
                self.assertEqual(self.run_claimed(member, container), 0)
            else:
                member = self.run_booted(container)
            member.wait_gone()
            lines = container.output().replace(container.identity, "ID").replace(container.address, "ADDRESS")
            # Link counts, of which /proc's is the guest's number of processes, and times are not compared.
            seen.append([" ".join(line.split()[:1] + line.split()[2:4] + line.split()[-1:])
                         if line[:1] in "dlc-" and line[1:2] in "r-" else line for line in lines.splitlines()])
        self.assertEqual(*seen)

    def test_nothing_left_in_the_guest(self):
        """With the guest's own eyes: no mount, no cgroup, no process of the warm-up."""
        member = self.warm_member()
        container = self.container("sh", "-c", "cat /proc/1/mountinfo; find /sys/fs/cgroup -type d; ps;"
                                   " cat /proc/sys/kernel/random/boot_id")
        oci = json.loads(container.config["containers"][0]["oci_config"])
        oci["linux"]["namespaces"] = [namespace for namespace in oci["linux"]["namespaces"]
                                      if namespace["type"] not in ("pid", "cgroup")]
        for some in oci["process"]["capabilities"].values():
            some.append("CAP_SYS_PTRACE")
        container.config["containers"][0]["oci_config"] = json.dumps(oci)
        container.write()
        self.assertEqual(self.run_claimed(member, container), 0, container.output())
        member.wait_gone()
        output = container.output()
        self.assertIn(container.identity, output)
        self.assertNotIn(member.directory.name, output)
        self.assertNotIn("cay-warm", output)
        self.assertNotIn("warm", container.log_path.read_text())

    def test_boot_ids(self):
        seen = set()
        for _ in range(2):
            container = self.container("cat", "/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/random/uuid")
            member = self.warm_member(warm_rounds=1)
            self.assertEqual(self.run_claimed(member, container), 0)
            seen.update(container.output().split())
        self.assertEqual(len(seen), 4)

    def run_booted(self, container):
        """The same without a pool: the container's shim boots its VM. No leash is looked at."""
        member = Member.__new__(Member)
        member.pool, member.directory, member.config_path = self, container.directory, container.config_path
        member.socket, member.log, member.leash = container.socket, container.directory / "shim.log", -1
        with open(member.log, "wb") as log:
            member.process = subprocess.Popen([harness.BUILD / "cay-shim", "--config", container.config_path],
                                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.members.append(member)
        wait_until(member.socket.exists, "the shim's socket", 20)
        names = {"container_id": container.identity}
        results = grpc_judge.call(member.socket, "shim.proto", [
            {"service": SHIM, "method": method, "request": names} for method in ("Start", "Wait")], timeout=120)
        self.assertEqual([result["code"] for result in results], [OK, OK], results)
        self.assertEqual(results[1]["responses"][0]["exit_code"], 0)
        return member


class Refusals(PoolTestCase):
    subnet = "10.212"

    def assert_ended(self, member, vm=None):
        """Nothing of it is left, and nothing that it has begun for a container."""
        member.wait_gone()
        self.assertFalse(member.socket.exists())
        self.assertEqual(processes(member.directory.name), [])
        self.assertTrue(vm is None or not alive(vm))
        self.assertEqual(list(pathlib.Path("/sys/fs/cgroup").glob(f"**/cay/{member.directory.name}")), [])

    def refuse(self, container, words, member=None):
        member = member or self.warm_member(warm_rounds=1)
        result = member.claim(container)
        self.assertNotEqual(result["code"], OK)
        self.assertIn(words, result["details"])
        self.assert_ended(member)
        self.assertFalse(container.socket.exists())
        self.assertFalse(container.state_path.exists())
        self.assertEqual(list(pathlib.Path("/sys/fs/cgroup").glob(f"**/cay/{container.identity}")), [])

    def test_another_machine(self):
        self.refuse(self.container("true", memory_bytes=256 << 20), "other processors or memory")
        self.refuse(self.container("true", cards=2), "another number of network cards")

    def test_a_configuration_that_is_none(self):
        container = self.container("true")
        container.config_path.write_text("{")
        self.refuse(container, "configuration")
        container = self.container("true")
        container.config_path.unlink()
        self.refuse(container, "No such file")

    def test_a_disk_that_is_missing(self):
        container = self.container("true")
        os.unlink(container.config["disks"][1]["extents"][0]["path"])
        self.refuse(container, "scratch.ext4")

    def test_a_bridge_that_is_missing(self):
        container = self.container("true")
        container.config["interfaces"][0]["parent"] = "brnone"
        container.write()
        self.refuse(container, "brnone")

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            container = self.container("true")
            container.config["ports"] = [{"protocol": "tcp", "host_address": "127.0.0.1", "host_port": port, "container_port": 80,
                                          "container_address": container.address}]
            container.write()
            self.refuse(container, str(port))

    def test_not_warm_yet(self):
        member = self.member(warm_rounds=50)
        self.refuse(self.container("true"), "can't be claimed now", member)

    def test_claimed_already(self):
        member = self.warm_member(warm_rounds=1)
        container = self.container("sleep", "1000")
        self.assertEqual(member.claim(container)["code"], OK)
        again = member.claim(self.container("true"))
        self.assertEqual(again["code"], CONFLICT, again)
        self.assertEqual(member.call("WaitWarm")["code"], CONFLICT)
        self.assertEqual(member.socket, container.socket)
        self.assertEqual(member.answer("State")["sandbox_id"], container.identity)

    def test_qemu_killed(self):
        member = self.member(warm_rounds=50)
        vm = wait_until(member.vm_pid, "its QEMU")
        waiting = subprocess.Popen(["sleep", "0.5"])
        waiting.wait()
        os.kill(vm, signal.SIGKILL)
        result = member.call("WaitWarm") if member.socket.exists() else {"code": 14}
        self.assertNotEqual(result["code"], OK)
        self.assert_ended(member, vm)

    def test_qemu_killed_when_warm(self):
        member = self.warm_member(warm_rounds=1)
        vm = member.vm_pid()
        os.kill(vm, signal.SIGKILL)
        self.assert_ended(member, vm)

    def test_leash(self):
        for rounds in (50, 1):  # while it warms up, and afterwards
            member = self.member(warm_rounds=rounds)
            vm = wait_until(member.vm_pid, "its QEMU")
            if rounds == 1:
                member.wait_warm()
            member.close_leash()
            self.assert_ended(member, vm)

    def test_the_program_fails(self):
        """A warm-up that does not do what it should makes no member."""
        member = self.member()
        config = json.loads(member.config_path.read_text())
        member.end()
        oci = json.loads(config["containers"][0]["oci_config"])
        oci["process"]["args"] = ["/none"]
        config["containers"][0]["oci_config"] = json.dumps(oci)
        member = Member(self, config)
        self.members.append(member)
        result = member.call("WaitWarm")
        self.assertIn("/none", result["details"])
        self.assert_ended(member)
