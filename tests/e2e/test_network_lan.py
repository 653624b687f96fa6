# SPDX-License-Identifier: Apache-2.0
"""A LAN: a router with dnsmasq, another machine, and containers that are machines among them.

            lan0 (the host's link) ── switch ─┬─ the router: 10.44.0.1, DHCP, router advertisements
                                              └─ "mate": 10.44.0.3, another machine
"""

import contextlib
import ipaddress
import pathlib
import signal
import socket
import subprocess
import tempfile

import lab
from harness import wait_until
from net_harness import ECHO, IN_OUTSIDE, NetworkTestCase, ask, links, peer_archive, rules, serving
from net_images import servers_archive
from test_network_servers import SSH, Clients

FETCH = (servers_archive,)
ROUTER, MATE = "router", "mate"
IN_MATE = ("ip", "netns", "exec", MATE)
SUBNET, SUBNET6 = ipaddress.ip_network("10.44.0.0/24"), ipaddress.ip_network("fd44::/64")


class Lan:
    """The machines and the link lan0 to them."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-lan-"))
        self.log, self.leases = self.directory / "log", self.directory / "leases"
        self.log.touch()
        for name in (ROUTER, MATE):
            lab.run("ip", "netns", "add", name)
            lab.run("ip", "-n", name, "link", "set", "lo", "up")
        router = ("ip", "-n", ROUTER)
        lab.run(*router, "link", "add", "switch", "type", "bridge")
        for link, peer, namespace in (("port1", "lan0", None), ("port2", "eth0", MATE)):
            lab.run(*router, "link", "add", link, "type", "veth", "peer", "name", peer,
                    "netns", namespace or str(pathlib.Path("/proc/self").resolve().name))
            lab.run(*router, "link", "set", link, "master", "switch", "up")
        lab.run("ip", "link", "set", "lan0", "up")
        for namespace, link, number in ((ROUTER, "switch", 1), (MATE, "eth0", 3)):
            lab.run("ip", "-n", namespace, "link", "set", link, "up")
            lab.run("ip", "-n", namespace, "address", "add", f"{SUBNET[number]}/24", "dev", link)
            lab.run("ip", "-n", namespace, "address", "add", f"{SUBNET6[number]}/64", "dev", link, "nodad")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", ROUTER, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root",
             "--port=0", "--pid-file=", "--log-dhcp", f"--log-facility={self.log}", f"--dhcp-leasefile={self.leases}",
             f"--dhcp-range={SUBNET[100]},{SUBNET[150]},120s", "--dhcp-option=option:T1,5", "--dhcp-option=option:T2,60",
             f"--dhcp-option=option:dns-server,{SUBNET[1]}",
             "--dhcp-authoritative", "--enable-ra", "--dhcp-range=fd44::,ra-only", "--interface=switch"],
            stdin=subprocess.DEVNULL)
        wait_until(lambda: "DHCP" in self.log.read_text(), "dnsmasq to start", 10)

    def told(self, *words):
        """How many lines of the router's log have all the words."""
        return sum(1 for line in self.log.read_text().splitlines() if all(word in line for word in words))

    def lease(self, mac):
        """(address, hostname) of the lease that a MAC has; None without one."""
        for line in self.leases.read_text().splitlines() if self.leases.exists() else []:
            words = line.split()
            if len(words) > 3 and words[1] == mac:
                return words[2], words[3]
        return None

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)
        with contextlib.suppress(AssertionError):
            lab.run("ip", "link", "del", "lan0")
        for name in (ROUTER, MATE):
            lab.run("ip", "netns", "del", name)
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()


class LanTestCase(NetworkTestCase):
    """A daemon with the LAN network "home"."""

    network_options = ()

    @classmethod
    def setUpClass(cls):
        cls.lan = Lan()
        cls.addClassCleanup(cls.lan.close)
        super().setUpClass()
        done = cls.run_cay("network", "create", "--driver", "lan", "--opt", "parent=lan0", *cls.network_options, "home")
        assert done.returncode == 0, done.stderr


class StaticLan(LanTestCase):
    """The addresses are this host's to give, from a part of the LAN that its DHCP server leaves alone."""

    network_options = ("--subnet", str(SUBNET), "--gateway", str(SUBNET[1]), "--ip-range", f"{SUBNET[200]}/29")

    def test_addresses(self):
        self.peer("chosen", "--network", "home")
        self.peer("named", "--network", "home", "--ip", str(SUBNET[222]))
        chosen, named = (self.endpoint(name)["IPAddress"] for name in ("chosen", "named"))
        self.assertIn(ipaddress.ip_address(chosen), ipaddress.ip_network(f"{SUBNET[200]}/29"))
        self.assertEqual(named, str(SUBNET[222]))
        for address in (chosen, named):
            self.assertEqual(self.reached(address, where=IN_MATE), str(SUBNET[3]))
        self.reached_from("chosen", named)
        self.assertIn(f"default via {SUBNET[1]} ", self.cay("exec", "chosen", "ip", "route"))
        self.assertIsNone(self.lan.lease(self.endpoint("chosen")["MacAddress"]))

    def test_another_address_is_dropped(self):
        self.peer("liar", "--network", "home", "--privileged")
        address = self.endpoint("liar")["IPAddress"]
        self.cay("exec", "liar", "ip", "address", "add", f"{SUBNET[230]}/24", "dev", "eth0")
        self.assertIsNone(ask("tcp", str(SUBNET[230]), where=IN_MATE))
        self.assertIsNotNone(ask("tcp", address, where=IN_MATE))


class LanNetwork(LanTestCase):
    archives = (peer_archive, servers_archive)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clients = Clients()
        cls.addClassCleanup(cls.clients.close)

    def lease_of(self, name):
        """The address that it got and its name there; who gave the lease has it first, the machine a moment later."""
        mac = self.endpoint(name, "home")["MacAddress"]
        lease = wait_until(lambda: self.lan.lease(mac), f"a lease for {mac}", 30)
        wait_until(lambda: self.endpoint(name, "home")["IPAddress"] == lease[0], "inspect to show the lease", 30)
        return lease

    def test_a_lease_renewed_and_released(self):
        before = links(), rules()
        self.peer("guest", "--network", "home", "--hostname", "visitor")
        mac = self.endpoint("guest")["MacAddress"]
        address, hostname = self.lease_of("guest")
        self.assertIn(ipaddress.ip_address(address), SUBNET)
        self.assertEqual(hostname, "visitor")
        self.assertEqual(self.endpoint("guest")["Gateway"], str(SUBNET[1]))
        # A machine of the LAN, as it is seen from another one, and the other way round.
        self.assertEqual(self.reached(address, where=IN_MATE), str(SUBNET[3]))
        with serving(ECHO, IN_MATE):
            self.assertEqual(self.reached_from("guest", str(SUBNET[3])), address)
        # By IPv6, at the address that router advertisements and the MAC make.
        shown = wait_until(lambda: [line.split()[1].split("/")[0] for line in
                                    self.cay("exec", "guest", "ip", "-6", "address", "show", "eth0").splitlines()
                                    if "inet6 fd44" in line and "tentative" not in line], "an address of the router's prefix", 30)
        self.reached(shown[0], where=IN_MATE)
        requests = self.lan.told("DHCPACK", address)
        wait_until(lambda: self.lan.told("DHCPACK", address) > requests, "the lease to be renewed", 30)
        self.reached(address, where=IN_MATE)
        self.cay("stop", "-t", "2", "guest")
        wait_until(lambda: self.lan.told("DHCPRELEASE", mac), "the lease to be released", 10)
        self.assertIsNone(self.lan.lease(mac))
        # The same card gets the same address again.
        self.cay("start", "guest")
        self.assertEqual(self.lease_of("guest")[0], address)
        self.assertEqual(self.endpoint("guest")["MacAddress"], mac)
        self.cay("rm", "-f", "guest")
        wait_until(lambda: (links(), rules()) == before, "links and rules to be as before", 20)

    def test_ssh_from_the_lan(self):
        self.peer("box", "--network", "home", "-e", f"KEY={self.clients.key}", image="servers", ready="Server listening", command=(
            "sh", "-c", "mkdir -p /run/sshd /root/.ssh && printenv KEY >/root/.ssh/authorized_keys && exec /usr/sbin/sshd -D -e 2>&1"))
        address, _ = self.lease_of("box")
        done = subprocess.run(self.clients.command(*SSH, f"root@{address}", "hostname", where=IN_MATE), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assertEqual(done.stdout.strip(), self.inspect("box")["Config"]["Hostname"], done.stderr)

    def test_neighbours_on_the_lan(self):
        self.peer("one", "--network", "home")
        self.peer("two", "--network", "home")
        (first, _), (second, _) = self.lease_of("one"), self.lease_of("two")
        self.assertNotEqual(first, second)
        self.assertEqual(self.reached_from("one", second), first)

    def test_a_name_server_of_the_lan_s(self):
        """What the lease says is what the container asks: here the router, which serves no names."""
        self.peer("asks", "--network", "home")
        self.lease_of("asks")
        wait_until(lambda: f"nameserver {SUBNET[1]}" in self.cay("exec", "asks", "cat", "/etc/resolv.conf"), "resolv.conf", 10)

    def test_another_mac_and_address_are_dropped(self):
        self.peer("liar", "--network", "home", "--privileged")
        address, _ = self.lease_of("liar")
        self.assertIsNotNone(ask("tcp", address, where=IN_MATE))
        self.cay("exec", "liar", "sh", "-c", "ip link set eth0 down; ip link set eth0 address 02:66:66:66:66:66; ip link set eth0 up")
        self.assertIsNone(ask("tcp", address, where=IN_MATE))

    def test_a_parent_in_use_or_gone(self):
        for options in (("--opt", "parent=gone0"), ("--opt", "parent=lo"), ()):
            before = links(), rules()
            done = self.run_cay("network", "create", "--driver", "lan", *options, "wrong")
            self.assertNotEqual(done.returncode, 0, options)
            self.assertTrue(done.stderr)
            self.assertEqual((links(), rules()), before)

    def test_a_parent_has_one_network(self):
        """A second one would be the same to the firewall, and take the first one's rules along when it goes."""
        for driver, option in (("lan", "parent"), ("bridge", "com.docker.network.bridge.name")):
            before = links(), rules()
            done = self.run_cay("network", "create", "--driver", driver, "--opt", f"{option}=lan0", "second")
            self.assertNotEqual(done.returncode, 0, driver)
            for name in ("lan0", "home", "second"):
                self.assertIn(name, done.stderr)
            self.assertEqual((links(), rules()), before)

    def test_ports_lead_to_the_bridge(self):
        """The host doesn't reach the LAN's side of a container; its relay reaches the other one."""
        before = rules()
        self.peer("both", "--network", "home", "--network", "bridge", "-p", f"8300:{ECHO}", "-p", f"8300:{ECHO}/udp")
        address, _ = self.lease_of("both")
        for host in ("127.0.0.1", "::1", lab.HOST_ADDRESS):
            self.reached(host, 8300)
        self.reached(lab.HOST_ADDRESS, 8300, IN_OUTSIDE)
        self.reached(address, where=IN_MATE)
        running = rules()
        self.daemon.restart()
        self.assertEqual(rules(), running)
        self.reached(lab.HOST_ADDRESS, 8300, IN_OUTSIDE)
        self.cay("rm", "-f", "both")
        wait_until(lambda: rules() == before, "rules to be as before", 20)

    def test_ports_of_a_machine_on_the_lan(self):
        """They lead nowhere, hold no port of the host's, and the client is told."""
        self.addCleanup(self.run_cay, "rm", "-f", "machine")
        done = self.run_cay("create", "--name", "machine", "--network", "home", "-p", f"8301:{ECHO}", "peer")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Published ports are discarded", done.stderr)
        self.assertIn("home", done.stderr)
        self.cay("start", "machine")
        self.lease_of("machine")
        with socket.create_server(("", 8301)):
            pass
        self.assertEqual(self.cay("port", "machine"), "")
