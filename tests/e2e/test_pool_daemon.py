# SPDX-License-Identifier: Apache-2.0
"""The daemon's pool: filled when nobody waits, claimed by what fits, and nothing left of it."""

import os
import pathlib
import signal
import threading
import time

from harness import BUILD, CayTestCase, Daemon, alive, processes, wait_until

# Templates and members are made at the lowest priority: on a busy machine that takes its time.
MAKING = 400


class PoolTestCase(CayTestCase):
    size = 1

    @classmethod
    def make_daemon(cls):
        return Daemon("--log-level", "debug", "--templates", "on", "--pool", str(cls.size))

    def pool(self):
        status, pool = self.api("GET", "/cay/v1/pool")
        self.assertEqual(status, 200)
        return pool

    def wait_full(self, count=None):
        count = self.size if count is None else count
        return wait_until(lambda: (lambda pool: pool["Ready"] == count and pool)(self.pool()),
                          f"{count} VMs in the pool", MAKING)

    def log(self):
        return self.daemon.log.read_text(errors="replace")

    def run_and_tell(self, *options, command=("true",)):
        """Runs a container to its end; how its VM came to be."""
        name = f"p{time.monotonic_ns()}"
        self.cay("run", "--name", name, *options, "busybox", *command)
        start = self.inspect(name)["Cay"]["Start"]
        self.cay("rm", name)
        return start

    def member_names(self):
        return sorted(entry.name for entry in (self.daemon.root / "pool").iterdir() if len(entry.name) == 64)


class TestPool(PoolTestCase):
    def test_claimed_and_filled_again(self):
        member = self.wait_full()["Members"][0]
        self.assertGreater(member["Memory"], 1 << 20)
        self.assertEqual(self.member_names(), [member["Id"]])
        self.assertEqual(self.run_and_tell(), "pool")
        again = wait_until(lambda: [one for one in self.pool()["Members"] if one["Ready"]], "another", MAKING)[0]
        self.assertNotEqual(again["Id"], member["Id"])
        self.assertEqual(self.member_names(), [again["Id"]])
        self.assertGreaterEqual(self.pool()["Claims"], 1)

    def test_like_any_other(self):
        self.wait_full()
        self.cay("run", "-d", "--name", "like", "-e", "A=b", "--hostname", "mine", "-p", "8123", "busybox",
                 "sh", "-c", "echo out; echo err >&2; hostname; exec sleep 1000")
        self.assertEqual(self.inspect("like")["Cay"]["Start"], "pool")
        wait_until(lambda: "mine" in self.cay("logs", "like"), "its output")
        self.assertEqual(self.cay("exec", "like", "sh", "-c", "echo $A; cat /proc/1/comm"), "b\nsleep")
        address = self.inspect("like")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        self.assertIn(f"{address}/", self.cay("exec", "like", "ip", "addr", "show", "eth0"))
        self.assertRegex(self.cay("port", "like"), r"8123/tcp -> 0.0.0.0:\d+")
        self.cay("network", "create", "second")
        self.cay("network", "connect", "second", "like")
        self.assertIn("eth1", self.cay("exec", "like", "ip", "addr"))
        self.cay("rm", "-f", "like")
        self.cay("network", "rm", "second")

    def test_what_does_not_fit_starts_otherwise(self):
        self.wait_full()
        for options in (("-m", "200m"), ("--network", "none"), ("-v", "/tmp:/host")):
            self.assertNotEqual(self.run_and_tell(*options), "pool", options)
        self.assertEqual(self.run_and_tell(), "pool")

    def test_more_at_once_than_are_ready(self):
        self.wait_full()
        starts = []
        threads = [threading.Thread(target=lambda: starts.append(self.run_and_tell())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(starts), 4)
        self.assertIn("pool", starts)
        self.assertEqual(set(starts) - {"pool", "template"}, set())

    def test_killed_member_is_replaced(self):
        member = self.wait_full()["Members"][0]
        os.kill(member["Pid"], signal.SIGKILL)
        wait_until(lambda: member["Id"] not in self.member_names(), "its files to go")
        self.assertNotEqual(self.wait_full()["Members"][0]["Id"], member["Id"])
        self.assertIn("has ended by itself", self.log())

    def test_killed_vm_is_replaced(self):
        member = self.wait_full()["Members"][0]
        vm = wait_until(lambda: processes("qemu", member["Id"]), "its QEMU")[0]
        os.kill(vm, signal.SIGKILL)
        wait_until(lambda: member["Id"] not in self.member_names(), "its files to go")
        self.wait_full()

    def test_member_that_does_not_answer(self):
        # The start goes another way soon, with the same disks and addresses.
        member = self.wait_full()["Members"][0]
        os.kill(member["Pid"], signal.SIGSTOP)
        self.assertEqual(self.run_and_tell(command=("touch", "/written")), "template")
        self.assertIn("a VM of the pool could not be used", self.log())
        wait_until(lambda: member["Id"] not in self.member_names(), "its files to go")
        self.assertEqual(processes("qemu", member["Id"]), [])
        self.assertNotEqual(self.wait_full()["Members"][0]["Id"], member["Id"])

    def test_daemon_killed_with_members_and_a_claimed_one(self):
        self.wait_full()
        self.cay("run", "-d", "--name", "claimed", "busybox", "sh", "-c", "while sleep 0.2; do echo on; done")
        self.assertEqual(self.inspect("claimed")["Cay"]["Start"], "pool")
        member = self.wait_full()["Members"][0]
        self.daemon.restart()
        wait_until(lambda: not alive(member["Pid"]), "the member to end")
        self.assertNotIn(member["Id"], self.member_names())
        self.assertEqual(processes("qemu", member["Id"]), [])
        self.assertEqual(self.inspect("claimed")["State"]["Status"], "running")
        self.assertEqual(self.inspect("claimed")["Cay"]["Start"], "pool")
        self.assertEqual(self.cay("exec", "claimed", "echo", "here"), "here")
        # Once more, and the shim with it: what is left of the VM is found by the member's name.
        pid = processes("cay-shim", self.inspect("claimed")["Id"])[0]
        vm = self.inspect("claimed")["State"]["Pid"]
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.daemon.start()
        wait_until(lambda: self.inspect("claimed")["State"]["Status"] == "exited", "its end to be known")
        self.assertFalse(alive(vm))
        self.cay("rm", "claimed")
        self.wait_full()

    def test_stopped_daemon_ends_members(self):
        member = self.wait_full()["Members"][0]
        self.daemon.kill(signal.SIGTERM)
        self.assertFalse(alive(member["Pid"]))
        self.assertEqual(self.member_names(), [])
        self.assertEqual([entry.name for entry in self.daemon.run.iterdir()], ["cayd.pid"])
        self.daemon.start()

    def test_stopped_while_one_is_made(self):
        self.wait_full()
        self.run_and_tell()
        wait_until(lambda: self.pool()["Warming"] == 1 or self.pool()["Ready"] == 1, "a member", MAKING)
        begun = time.monotonic()
        self.daemon.kill(signal.SIGTERM)
        self.assertLess(time.monotonic() - begun, 20)
        self.assertEqual(self.member_names(), [])
        self.assertEqual(processes(str(self.daemon.root / "pool")), [])
        self.daemon.start()

    def test_removed_with_force_at_once(self):
        self.wait_full()
        self.cay("run", "-d", "--name", "brief", "busybox", "sleep", "1000")
        self.cay("rm", "-f", "brief")
        self.assertEqual(processes("qemu", "cay_brief"), [])
        identity = self.wait_full()["Members"][0]["Id"]
        wait_until(lambda: sorted(entry.name for entry in self.daemon.run.iterdir()) == sorted(["cayd.pid", identity]),
                   "its files to go")


class TestDamagedTemplate(PoolTestCase):
    def test_noticed_when_a_member_is_made(self):
        self.wait_full()
        template = self.api("GET", "/cay/v1/templates")[1][0]["Key"]
        os.truncate(self.daemon.root / "templates" / template / "machine", 1000)
        self.assertEqual(self.run_and_tell(), "pool")  # it was there before
        wait_until(lambda: f"error: the template {template[:12]} is damaged" in self.log(), "the damage to be told", MAKING)
        wait_until(lambda: [one for one in self.api("GET", "/cay/v1/templates")[1] if one["Ready"]], "another", MAKING)
        self.wait_full()
        self.assertEqual(self.run_and_tell(), "pool")


class TestTwo(PoolTestCase):
    size = 2

    def test_two_in_a_row(self):
        self.wait_full()
        self.assertEqual([self.run_and_tell(), self.run_and_tell()], ["pool", "pool"])
        self.wait_full()


class TestNone(PoolTestCase):
    size = 0

    def test_none(self):
        pool = self.pool()
        self.assertEqual((pool["Wanted"], pool["Ready"], pool["Members"]), (0, 0, []))
        self.assertNotEqual(self.run_and_tell(), "pool")
        self.assertEqual(self.member_names(), [])


class TestLittleMemory(PoolTestCase):
    size = 2

    @classmethod
    def make_daemon(cls):
        # Less than two take, and more than one.
        return Daemon("--log-level", "debug", "--templates", "on", "--pool", str(cls.size), "--pool-memory", "130m")

    def test_fewer_are_kept(self):
        pool = self.wait_full(1)
        self.assertEqual((pool["Wanted"], pool["Limit"]), (2, 1), pool)
        self.assertLessEqual(pool["Memory"], 130 << 20)
        self.assertIn("the pool keeps 1 VMs instead of 2", self.log())
        self.assertEqual(self.run_and_tell(), "pool")


class TestBadProgram(PoolTestCase):
    @classmethod
    def make_daemon(cls):
        return Daemon("--log-level", "debug", "--templates", "on", "--pool", str(cls.size), "--warm-program", "/nonexistent")

    def test_starts_go_on_without(self):
        wait_until(lambda: "the pool could not be filled" in self.log(), "the failure", MAKING)
        self.assertEqual(self.run_and_tell(), "template")
        self.assertEqual(self.log().count("the pool could not be filled"), 1)
        self.assertEqual(self.member_names(), [])
        self.assertIn("/nonexistent", self.log())
