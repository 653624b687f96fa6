# SPDX-License-Identifier: Apache-2.0
"""Whatever is killed or fails half-way: no link, rule, address or process stays."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import sqlite3
import time

import lab
from harness import Daemon, alive, processes, wait_until
from net_harness import ECHO, NetworkTestCase, ask, links, ping, rules


def state():
    """Links and rules, as they can be compared."""
    return links(), rules()


class Killed(NetworkTestCase):
    def qemu_and_shim(self, name):
        shim = processes("cay-shim", self.inspect(name)["Id"])[0]
        children = pathlib.Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
        return [int(pid) for pid in children], shim

    def taps(self):
        return {link for link in links() if link.startswith("cayt")}

    def test_qemu_and_shim(self):
        before = state()
        for which in ("qemu", "shim", "both"):
            with self.subTest(killed=which):
                name = self.peer(f"dies-{which}", "-p", f"8200:{ECHO}")
                self.assertTrue(self.taps())
                qemu, shim = self.qemu_and_shim(name)
                for pid in {"qemu": qemu, "shim": [shim], "both": [*qemu, shim]}[which]:
                    os.kill(pid, signal.SIGKILL)
                self.wait_state(name, "exited")
                wait_until(lambda: not any(map(alive, [*qemu, shim])), "the processes to end")
                wait_until(lambda: state() == before, "links and rules to be as before", 20)
                self.cay("start", name)
                wait_until(lambda: ask("tcp", lab.HOST_ADDRESS, 8200), "it to answer again")
                self.cay("rm", "-f", name)
        wait_until(lambda: state() == before, "links and rules to be as before", 20)

    def test_everything_at_once(self):
        """The daemon too: the next one clears up."""
        before = state()
        name = self.peer("victim", "-p", f"8201:{ECHO}")
        qemu, shim = self.qemu_and_shim(name)
        for pid in (self.daemon.process.pid, *qemu, shim):
            os.kill(pid, signal.SIGKILL)
        self.daemon.process.wait()
        wait_until(lambda: not self.taps(), "the tap to vanish without anybody's help", 20)
        self.daemon.start()
        self.wait_state(name, "exited")
        wait_until(lambda: state() == before, "links and rules to be as before", 20)

    def test_the_daemon_alone(self):
        self.network("kept")
        name = self.peer("stays", "--network", "kept")
        running = state()
        self.daemon.restart()
        self.assertEqual(state(), running)
        self.reached(self.addresses(name)[0])
        # What was taken away while it was not there is made again.
        bridge = self.daemon_bridge("kept")
        self.daemon.kill()
        lab.run("ip", "link", "del", bridge)
        lab.run("nft", "flush", "ruleset")
        self.daemon.start()
        self.assertEqual(state(), running)
        self.reached(self.addresses(name)[0])
        self.peer("again", "--network", "kept")
        self.reached_from("again", self.addresses(name)[1])

    def test_taps_that_are_elsewhere(self):
        """As when the daemon is killed within a connect or disconnect."""
        self.network("kept")
        name = self.peer("stays", "--network", "kept")
        bound, spare = sorted(self.taps())
        bridge = self.daemon_bridge("kept")
        self.daemon.kill()
        lab.run("ip", "link", "set", bound, "nomaster")
        lab.run("ip", "link", "set", spare, "master", bridge)
        self.daemon.start()
        self.reached(self.addresses(name)[0])
        on_bridge = lab.run("ip", "-o", "link", "show", "master", bridge)
        self.assertIn(bound, on_bridge)
        self.assertNotIn(spare, on_bridge)

    def daemon_bridge(self, network):
        address = self.inspect_network(network)["IPAM"]["Config"][0]["Gateway"]
        for line in lab.run("ip", "-o", "-4", "address").splitlines():
            if f" {address}/" in line:
                return line.split()[1]
        raise AssertionError(f"nobody has {address}")

    def test_an_ordered_end_leaves_nothing(self):
        """A daemon that ends with no container running takes its bridges and rules along."""
        before = state()
        other = Daemon().start()
        try:
            self.assertNotEqual(state(), before)
        finally:
            left = other.stop()
        self.assertEqual(left, [])
        self.assertEqual(state(), before)

    def test_a_silent_guest_is_disconnected(self):
        """One that answers nothing, as a hostile one may, holds nobody up."""
        self.network("left")
        self.network("other")
        name = self.peer("silent", "--network", "left", "-p", f"8205:{ECHO}")
        (qemu, *_), _ = self.qemu_and_shim(name)
        tap, = (tap for tap in self.taps() if "master" in lab.run("ip", "link", "show", tap))
        os.kill(qemu, signal.SIGSTOP)
        self.addCleanup(os.kill, qemu, signal.SIGCONT)
        begun = time.monotonic()
        done = self.run_cay("network", "connect", "other", name)
        self.assertNotEqual(done.returncode, 0)
        self.cay("network", "disconnect", "left", name)
        self.assertLess(time.monotonic() - begun, 10)
        self.assertNotIn("master", lab.run("ip", "link", "show", tap))
        self.assertFalse([line for line in rules() if tap in line])
        self.assertEqual(self.inspect(name)["NetworkSettings"]["Networks"], {})
        self.assertEqual(self.cay("port", name), "")
        self.cay("network", "rm", "left")


class HalfWay(NetworkTestCase):
    def test_a_container_that_can_t_start(self):
        before = state()
        with socket.create_server(("127.0.0.1", 8210)):
            for options in (("-p", f"127.0.0.1:8210:{ECHO}"), ("-p", f"198.51.100.9:8211:{ECHO}")):
                self.cay("run", "--name", "never", *options, "peer", code=125)
                self.assertEqual(state(), before)
                self.cay("rm", "-f", "never")
        self.cay("run", "--rm", "peer", "/no/such/program", code=127)
        wait_until(lambda: state() == before, "links and rules to be as before", 20)
        self.assertEqual(processes("cay-shim", str(self.daemon.directory)), [])

    def test_a_network_whose_bridge_can_t_be(self):
        before = state()
        for options in (("--opt", "com.docker.network.bridge.name=eth0"),
                        ("--opt", "com.docker.network.bridge.name=a-name-that-is-too-long"),
                        ("--opt", "com.docker.network.bridge.name=../x"), ("--opt", "com.docker.network.driver.mtu=9"),
                        ("--driver", "lan", "--opt", "parent=nothing0"), ("--driver", "lan")):
            done = self.run_cay("network", "create", *options, "broken")
            self.assertNotEqual(done.returncode, 0, options)
            self.assertTrue(done.stderr.strip(), options)
            self.assertEqual(state(), before, options)
        self.assertNotIn("broken", self.cay("network", "ls", "--format", "{{.Name}}").split())

    def test_a_bridge_has_one_network(self):
        self.network("first", "--opt", "com.docker.network.bridge.name=shared0")
        self.peer("user", "--network", "first")
        before = state()
        for options in (("--opt", "com.docker.network.bridge.name=shared0"), ("--driver", "lan", "--opt", "parent=shared0")):
            done = self.run_cay("network", "create", *options, "second")
            self.assertNotEqual(done.returncode, 0, options)
            for name in ("shared0", "first", "second"):
                self.assertIn(name, done.stderr)
            self.assertEqual(state(), before, options)
        self.reached(self.addresses("user")[0])

    def test_addresses_run_out(self):
        """Of four addresses the router has one, and two are nobody's."""
        self.network("tiny", "--subnet", "10.77.0.0/30")
        self.peer("only", "--network", "tiny")
        before = state()
        done = self.run_cay("run", "--rm", "--network", "tiny", "peer", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("tiny", done.stderr)
        self.assertEqual(state(), before)
        self.cay("rm", "-f", "only")
        self.cay("run", "--rm", "--network", "tiny", "peer", "true")

    def test_disconnect_beside_a_start(self):
        """Whichever is first: the one that fails takes nothing of the other's along."""
        self.network("beside")
        with socket.create_server(("127.0.0.1", 8212)):
            self.cay("create", "--name", "torn", "--network", "beside", "-p", f"127.0.0.1:8212:{ECHO}", "peer")
            self.addCleanup(self.run_cay, "rm", "-f", "torn")
            before = state()
            for _ in range(8):
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    started = pool.submit(self.run_cay, "start", "torn")
                    gone = pool.submit(self.run_cay, "network", "disconnect", "beside", "torn")
                    self.assertIn(started.result().returncode, (0, 1))
                    self.assertEqual(gone.result().returncode, 0, gone.result().stderr)
                self.run_cay("stop", "-t", "0", "torn")  # without a network it has no port to be refused for
                wait_until(lambda: state() == before, "links and rules to be as before", 20)
                self.cay("network", "connect", "beside", "torn")
        self.cay("start", "torn")  # which is done before its server listens
        wait_until(lambda: ask("tcp", "127.0.0.1", 8212), "the container's server to answer", 20)

    def test_many_start_and_end(self):
        before = state()
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                for done in pool.map(lambda _: self.run_cay("run", "--rm", "-P", "--expose", ECHO, "peer", "true"), range(3)):
                    self.assertEqual(done.returncode, 0, done.stderr)
        wait_until(lambda: state() == before, "links and rules to be as before", 20)


class AnotherHost(NetworkTestCase):
    """The host is not what it was when the daemon last ran, or not what it expects."""

    def setUp(self):
        self.daemon.kill(signal.SIGTERM)

    def tearDown(self):
        super().tearDown()
        if self.daemon.process.poll() is not None:
            self.daemon.start()

    def subnet(self, name="bridge"):
        return self.inspect_network(name)["IPAM"]["Config"][0]["Subnet"]

    def usable(self, *options):
        name = self.peer("usable", *options)
        self.reached(self.addresses(name)[0])
        self.cay("rm", "-f", name)

    def take_away(self, *ranges):
        for one in ranges:
            lab.run("ip", "route", "add", one, "via", lab.OUTSIDE_ADDRESS)

    def give_back(self, *ranges):
        for one in ranges:
            lab.run("ip", "route", "del", one)

    def test_no_subnet_is_free(self):
        """As with a VPN that takes all private ranges: only what needs the default network waits."""
        ranges = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        self.take_away(*ranges)
        other = Daemon()
        try:
            other.start()
            self.assertEqual(other.request("GET", "/networks/bridge")[0], 200)
            self.assertIn("default network", str(other.request("GET", "/info")[1]["Warnings"]))
            self.daemon.start()
            self.network("apart", "--subnet", "198.18.0.0/24")
            self.usable("--network", "apart")
            self.cay("create", "--name", "waits", "peer")
            self.addCleanup(self.run_cay, "rm", "-f", "waits")
            done = self.run_cay("start", "waits")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("subnet", done.stderr)
        finally:
            self.give_back(*ranges)
            left = other.stop()
        self.assertEqual(left, [])
        self.cay("start", "waits")
        wait_until(lambda: ping(self.addresses("waits")[0]), "it to be reached")
        self.assertNotIn("default network", self.cay("info"))

    def test_no_ipv6(self):
        lab.mount("tmpfs", "/proc/sys/net/ipv6", "tmpfs")
        other = None
        try:
            other = Daemon().start()
            self.assertEqual(other.request("POST", "/networks/create", {"Name": "plain"})[0], 201)
            status, answer = other.request("POST", "/networks/create", {"Name": "wants", "EnableIPv6": True})
            self.assertGreaterEqual(status, 400)
            self.assertIn("the host has no IPv6", answer["message"])
            for name in ("bridge", "plain"):
                config = other.request("GET", f"/networks/{name}")[1]["IPAM"]["Config"]
                self.assertEqual(len(config), 1, config)
            # One that was made when there was IPv6.
            self.daemon.start()
            self.peer("usable")
            address, address6 = self.addresses("usable")
            self.assertEqual(address6, "")
            self.reached(address)
        finally:
            self.run_cay("rm", "-f", "usable")
            left = other.stop() if other else []
            self.daemon.kill(signal.SIGTERM)
            lab.unmount("/proc/sys/net/ipv6")
        self.assertEqual(left, [])

    def test_a_damaged_row(self):
        with contextlib.closing(sqlite3.connect(self.daemon.root / "cay.db")) as database, database:
            database.execute("UPDATE networks SET document = '{' WHERE name = 'bridge'")
        self.daemon.start()
        self.usable()
        before = self.inspect_network("bridge")
        self.daemon.restart()
        self.assertEqual(self.inspect_network("bridge"), before)

    def test_somebody_else_has_the_subnet_now(self):
        self.daemon.start()
        self.network("mine", "--subnet", "10.93.0.0/24")
        before = self.subnet()
        self.daemon.kill(signal.SIGTERM)
        lab.run("ip", "link", "add", "docker0", "type", "bridge")
        try:
            lab.run("ip", "address", "add", before.replace(".0.0/", ".0.1/"), "dev", "docker0")
            lab.run("ip", "address", "add", "10.93.0.1/24", "dev", "docker0")
            lab.run("ip", "link", "set", "docker0", "up")
            self.daemon.start()
            self.assertNotEqual(self.subnet(), before, "nobody is on it, so it can have another")
            self.usable()
            done = self.run_cay("run", "--rm", "--network", "mine", "peer", "true")
            self.assertEqual(done.returncode, 125)
            self.assertIn("overlap", done.stderr)
        finally:
            lab.run("ip", "link", "del", "docker0")
        self.usable("--network", "mine")


class SideBySide(NetworkTestCase):
    """Two daemons on one host know nothing of each other."""

    def test_two_daemons(self):
        other = Daemon().start()
        left = None
        try:
            mine = self.inspect_network("bridge")["IPAM"]["Config"]
            status, its = other.request("GET", "/networks/bridge")
            self.assertEqual(status, 200)
            self.assertFalse({row["Subnet"] for row in mine} & {row["Subnet"] for row in its["IPAM"]["Config"]})
            before = state()
            other.restart()
            self.assertEqual(state(), before)
            self.peer("mine")
            self.reached(self.addresses("mine")[0])
        finally:
            left = other.stop()
        self.assertEqual(left, [])
        self.reached(self.addresses("mine")[0])
