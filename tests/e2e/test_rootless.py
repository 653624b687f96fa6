# SPDX-License-Identifier: Apache-2.0
"""A daemon of an ordinary user: no taps, no rules, but passt."""

import os
import pathlib
import re
import shutil

import lab
from harness import BUILD, Daemon, alive, processes, wait_until
from net_harness import ECHO, IN_OUTSIDE, NetworkTestCase, ask, serving

USER = 65534
# A checkout may be in a folder that others can't look into.
PROGRAMS = ("cayd", "cay-shim", "cay-layer", "cay-files", "vmlinux", "initramfs.cpio")


class Rootless(NetworkTestCase):
    @classmethod
    def make_daemon(cls):
        daemon = Daemon()
        programs = daemon.directory / "programs"
        programs.mkdir()
        for name in PROGRAMS:
            shutil.copy(BUILD / name, programs)
        for path in (daemon.directory, daemon.root, daemon.run):
            path.mkdir(exist_ok=True)
            os.chown(path, USER, USER)
        daemon.command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all",
                          programs / "cayd"]
        return daemon

    def test_containers_are_root_inside_alone(self):
        self.peer("user")
        self.assertEqual(self.cay("exec", "user", "id", "-u"), "0")
        state = self.inspect("user")["State"]
        for pid in (state["Pid"], *processes(self.inspect("user")["Id"])):
            status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            self.assertEqual(re.search(r"^Uid:(.*)$", status, re.M)[1].split(), [str(USER)] * 4)
            self.assertEqual(int(re.search(r"^CapEff:\s*(.*)$", status, re.M)[1], 16), 0)

    def test_outbound(self):
        self.peer("goes")
        with serving(ECHO, IN_OUTSIDE):
            self.assertEqual(self.reached_from("goes", lab.OUTSIDE_ADDRESS), lab.HOST_ADDRESS)

    def test_published_ports(self):
        self.peer("serves", "-p", f"8107:{ECHO}", "-p", f"8107:{ECHO}/udp")
        # passt sends no answer to a datagram from the loopback, unless guests reach all that listens there.
        for kind, address in (("tcp", "127.0.0.1"), ("tcp", lab.HOST_ADDRESS), ("udp", lab.HOST_ADDRESS)):
            wait_until(lambda kind=kind, address=address: ask(kind, address, 8107), f"{kind} by {address}", 20)
        for kind in ("tcp", "udp"):
            self.assertEqual(ask(kind, lab.HOST_ADDRESS, 8107, where=IN_OUTSIDE)[0], lab.OUTSIDE_ADDRESS)
        self.assertIn(f"0.0.0.0:8107->{ECHO}/tcp", self.cay("ps", "--format", "{{.Ports}}"))
        done = self.run_cay("run", "--rm", "-p", f"8107:{ECHO}", "peer")
        self.assertIn("8107", done.stderr)
        self.assertIn("port is already allocated", done.stderr)
        self.cay("rm", "-f", "serves")
        wait_until(lambda: ask("tcp", "127.0.0.1", 8107) is None, "the port to be free", 10)

    def test_passt_ends_with_its_container(self):
        self.peer("short")
        here = os.readlink("/proc/self/ns/net")
        passt = [pid for pid in processes("passt -q") if os.readlink(f"/proc/{pid}/ns/net") == here]
        self.assertEqual(len(passt), 1)
        self.cay("rm", "-f", "short")
        wait_until(lambda: not alive(passt[0]), "passt to end", 10)

    def test_what_is_missing_is_told(self):
        self.assertIn("by passt", self.run_cay("info").stderr)
        done = self.run_cay("network", "create", "own")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("CAP_NET_ADMIN", done.stderr)
