# SPDX-License-Identifier: Apache-2.0
"""Published ports: from the host, from another machine and from containers."""

import socket
import threading

import lab
from harness import wait_until
from net_harness import ECHO, IN_OUTSIDE, NetworkTestCase, ask


class Ports(NetworkTestCase):
    def published(self, name):
        """A container's ports as inspect has them: {"7/tcp": {("0.0.0.0", 8000), …}}."""
        ports = self.inspect(name)["NetworkSettings"]["Ports"]
        return {port: {(row["HostIp"], int(row["HostPort"])) for row in rows or []} for port, rows in ports.items()}

    def test_tcp_and_udp(self):
        self.peer("both", "-p", f"8007:{ECHO}", "-p", f"8007:{ECHO}/udp")
        everywhere = {("0.0.0.0", 8007), ("::", 8007)}
        self.assertEqual(self.published("both"), {f"{ECHO}/tcp": everywhere, f"{ECHO}/udp": everywhere})
        for address in ("127.0.0.1", "::1", lab.HOST_ADDRESS, lab.HOST_ADDRESS6):
            self.reached(address, 8007)
        # Another machine is seen under its own address.
        self.assertEqual(self.reached(lab.HOST_ADDRESS, 8007, IN_OUTSIDE), lab.OUTSIDE_ADDRESS)
        self.assertEqual(self.reached(lab.HOST_ADDRESS6, 8007, IN_OUTSIDE), lab.OUTSIDE_ADDRESS6)

    def test_from_other_containers(self):
        """By the host's address, on the same network, on another one, and the container itself."""
        self.network("elsewhere")
        self.peer("target", "-p", f"8008:{ECHO}", "-p", f"8008:{ECHO}/udp")
        self.peer("near")
        self.peer("far", "--network", "elsewhere")
        for name in ("near", "far", "target"):
            for address in (lab.HOST_ADDRESS, lab.HOST_ADDRESS6):
                self.reached_from(name, address, 8008)

    def test_closed_again_when_it_stops(self):
        self.peer("ends", "-p", f"8009:{ECHO}")
        self.assertIsNotNone(ask("tcp", "127.0.0.1", 8009))
        self.cay("stop", "-t", "1", "ends")
        self.assertIsNone(ask("tcp", "127.0.0.1", 8009))
        self.assertIsNone(ask("tcp", lab.HOST_ADDRESS, 8009, where=IN_OUTSIDE))
        with socket.create_server(("127.0.0.1", 8009)):
            pass
        self.cay("start", "ends")
        self.assertIsNotNone(wait_until(lambda: ask("tcp", lab.HOST_ADDRESS, 8009, where=IN_OUTSIDE), "the server"))

    def test_a_host_address_of_one_s_choice(self):
        self.peer("local", "-p", f"127.0.0.1:8010:{ECHO}", "-p", f"[::1]:8010:{ECHO}", "-p", f"{lab.HOST_ADDRESS}:8011:{ECHO}")
        self.assertIsNotNone(ask("tcp", "127.0.0.1", 8010))
        self.assertIsNotNone(ask("tcp", "::1", 8010))
        self.assertIsNone(ask("tcp", lab.HOST_ADDRESS, 8010))
        self.assertIsNone(ask("tcp", lab.HOST_ADDRESS, 8010, where=IN_OUTSIDE))
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8011, where=IN_OUTSIDE))
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8011))
        self.assertIsNone(ask("tcp", "127.0.0.1", 8011))

    def test_loopback_is_not_reached_from_outside(self):
        """Not even by a neighbour that routes the host's 127.0.0.1 to it."""
        self.peer("hidden", "-p", f"127.0.0.1:8012:{ECHO}")
        lab.run(*IN_OUTSIDE, "sysctl", "-q", "-w", "net.ipv4.conf.eth0.route_localnet=1")
        self.addCleanup(lab.run, *IN_OUTSIDE, "sysctl", "-q", "-w", "net.ipv4.conf.eth0.route_localnet=0")
        lab.run("ip", "-n", lab.OUTSIDE, "route", "add", "127.0.0.1/32", "via", lab.HOST_ADDRESS, "table", "77")
        self.addCleanup(lab.run, "ip", "-n", lab.OUTSIDE, "route", "flush", "table", "77")
        lab.run("ip", "-n", lab.OUTSIDE, "rule", "add", "from", lab.OUTSIDE_ADDRESS, "table", "77", "priority", "0")
        self.addCleanup(lab.run, "ip", "-n", lab.OUTSIDE, "rule", "del", "priority", "0", "table", "77")
        self.assertIsNone(ask("tcp", "127.0.0.1", 8012, where=IN_OUTSIDE))

    def test_ranges(self):
        self.peer("range", "-p", f"8020-8022:{ECHO}-{ECHO + 2}", "-p", f"8030-8035:{ECHO}/udp")
        ports = self.published("range")
        self.assertEqual({port: {number for _, number in rows} for port, rows in ports.items() if "tcp" in port},
                         {f"{ECHO}/tcp": {8020}, f"{ECHO + 1}/tcp": {8021}, f"{ECHO + 2}/tcp": {8022}})
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8020))
        chosen, = {number for _, number in ports[f"{ECHO}/udp"]}
        self.assertIn(chosen, range(8030, 8036))
        self.assertIsNotNone(ask("udp", lab.HOST_ADDRESS, chosen))

    def test_a_port_of_the_host_s_choice(self):
        self.peer("any", "-p", f"{ECHO}", "-p", f"0:{ECHO}/udp", "-p", f"127.0.0.1::{ECHO + 1}")
        ports = self.published("any")
        for port in (f"{ECHO}/tcp", f"{ECHO}/udp"):
            numbers = {number for _, number in ports[port]}
            self.assertEqual(len(numbers), 1, "the same for both families")
            self.assertGreaterEqual(min(numbers), 1024)
        number, = {number for _, number in ports[f"{ECHO}/tcp"]}
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, number, where=IN_OUTSIDE))
        (address, _), = ports[f"{ECHO + 1}/tcp"]
        self.assertEqual(address, "127.0.0.1")

    def test_publish_all(self):
        self.peer("all", "-P", "--expose", f"{ECHO}", "--expose", f"{ECHO}/udp")
        ports = self.published("all")
        self.assertEqual(set(ports), {f"{ECHO}/tcp", f"{ECHO}/udp"})
        for kind in ("tcp", "udp"):
            number = next(iter(ports[f"{ECHO}/{kind}"]))[1]
            self.assertIsNotNone(ask(kind, lab.HOST_ADDRESS, number))

    def test_exposed_is_not_published(self):
        self.peer("shy", "--expose", f"{ECHO}")
        self.assertEqual(self.published("shy"), {f"{ECHO}/tcp": set()})
        self.assertEqual(self.cay("port", "shy"), "")

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 8040)):
            done = self.run_cay("run", "-d", "--name", "late", "-p", f"127.0.0.1:8040:{ECHO}", "peer")
        self.addCleanup(self.run_cay, "rm", "-f", "late")
        self.assertEqual(done.returncode, 125)
        self.assertIn("127.0.0.1:8040", done.stderr)
        self.assertIn("port is already allocated", done.stderr)
        self.peer("owner", "-p", f"8041:{ECHO}")
        self.addCleanup(self.run_cay, "rm", "-f", "second")
        self.cay("create", "--name", "second", "-p", f"8041:{ECHO}", "peer")
        done = self.run_cay("start", "second")
        self.assertEqual(done.returncode, 1)
        self.assertIn("8041", done.stderr)
        self.assertIn("port is already allocated", done.stderr)
        self.assertEqual(ask("tcp", "127.0.0.1", 8041)[2], "hello", "the first one keeps it")
        # The one that lost gets it when it is free.
        self.cay("rm", "-f", "owner")
        self.cay("start", "second")
        self.assertIsNotNone(wait_until(lambda: ask("tcp", "127.0.0.1", 8041), "the second"))

    def test_the_name_server_s_port(self):
        self.addCleanup(self.run_cay, "rm", "-f", "names")
        done = self.run_cay("run", "-d", "--name", "names", "-p", f"53:{ECHO}/udp", "peer")
        self.assertEqual(done.returncode, 125)
        self.assertIn("port is already allocated: cay's name server", done.stderr)
        self.assertIn(f"-p 192.0.2.1:53:{ECHO}/udp", done.stderr)
        self.cay("rm", "-f", "names")
        self.peer("names", "-p", f"{lab.HOST_ADDRESS}:53:{ECHO}/udp")
        self.assertIsNotNone(ask("udp", lab.HOST_ADDRESS, 53))

    def test_they_follow_the_container(self):
        """Off its network they lead nowhere, not to who gets its address next; then to where it is connected."""
        self.network("left", "--subnet", "10.77.0.0/24")
        self.network("joined")
        self.peer("moves", "--network", "left", "-p", f"8049:{ECHO}", "-p", f"8049:{ECHO}/udp")
        address = self.addresses("moves")[0]
        self.reached("127.0.0.1", 8049)
        self.cay("network", "disconnect", "left", "moves")
        self.peer("heir", "--network", "left", "--ip", address)
        for where in ({}, {"where": IN_OUTSIDE}):
            for protocol in ("tcp", "udp"):
                self.assertIsNone(ask(protocol, lab.HOST_ADDRESS, 8049, **where))
        self.assertFalse(any(self.published("moves").values()))
        self.cay("network", "connect", "joined", "moves")
        for target in ("127.0.0.1", "::1", lab.HOST_ADDRESS):
            self.reached(target, 8049)
        self.assertEqual(self.reached(lab.HOST_ADDRESS, 8049, IN_OUTSIDE), lab.OUTSIDE_ADDRESS)
        self.daemon.restart()
        self.assertEqual(self.reached(lab.HOST_ADDRESS, 8049, IN_OUTSIDE), lab.OUTSIDE_ADDRESS)
        self.assertIn(f"{ECHO}/tcp", self.published("moves"))

    def test_they_are_listed(self):
        self.peer("listed", "-p", f"8050:{ECHO}", "-p", f"127.0.0.1:8051:{ECHO}/udp")
        self.assertEqual(sorted(self.cay("port", "listed").splitlines()),
                         [f"{ECHO}/tcp -> 0.0.0.0:8050", f"{ECHO}/tcp -> [::]:8050", f"{ECHO}/udp -> 127.0.0.1:8051"])
        self.assertEqual(self.cay("port", "listed", f"{ECHO}/udp"), "127.0.0.1:8051")
        shown = self.cay("ps", "--filter", "name=listed", "--format", "{{.Ports}}")
        self.assertIn(f"0.0.0.0:8050->{ECHO}/tcp", shown)
        done = self.run_cay("port", "listed", "99")
        self.assertNotEqual(done.returncode, 0)

    def test_they_work_without_the_daemon(self):
        self.peer("steady", "-p", f"8060:{ECHO}")
        self.daemon.kill()
        try:
            self.assertIsNotNone(ask("tcp", "127.0.0.1", 8060))
            self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8060, where=IN_OUTSIDE))
        finally:
            self.daemon.start()
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8060, where=IN_OUTSIDE))
        self.assertIsNotNone(ask("tcp", "::1", 8060))

    def test_much_through_the_relay(self):
        """8 MiB there and back by way of loopback, where no rule but only the relay carries it."""
        self.peer("copy", "-p", f"127.0.0.1:8070:{ECHO}", command=("nc", "-l", "-p", ECHO, "-e", "cat"), ready="")
        data = bytes(number * 31 % 253 for number in range(1 << 16)) * 128

        def echoes():
            """Whether the server is there: until it is, the relay accepts and hangs up."""
            try:
                peer = socket.create_connection(("127.0.0.1", 8070), timeout=60)
            except ConnectionResetError:  # it has hung up before the connection was looked at
                return None
            try:
                peer.sendall(b"?")
                if peer.recv(1) == b"?":
                    return peer
            except ConnectionError:
                pass
            peer.close()
            return None

        with wait_until(echoes, "the server", 30) as peer:
            sender = threading.Thread(target=peer.sendall, args=(data,))
            sender.start()
            received = bytearray()
            while len(received) < len(data):
                part = peer.recv(1 << 16)
                self.assertTrue(part, f"closed after {len(received)} bytes")
                received += part
            sender.join()
            self.assertEqual(bytes(received), data)
