# SPDX-License-Identifier: Apache-2.0
"""A guest that lies: what it sends in others' names ends at its own tap.

Root in a privileged container makes the frames itself, over a packet socket. A
listener on the bridge and a neighbour's eth0 see what gets through; each
test first sees an honest frame arrive, so that silence means something.
"""

import contextlib
import socket
import threading
import time

import lab
import packets
from harness import wait_until
from net_harness import ECHO, NetworkTestCase, ask, links, rules, serving

ALL_FRAMES = 3  # ETH_P_ALL
MARK = b"cay network test"
OUTGOING = 4  # PACKET_OUTGOING


class Listener:
    """Keeps the frames that come in by a link of the host's."""

    def __init__(self, link):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
        self.socket.bind((link, ALL_FRAMES))
        self.socket.settimeout(0.05)
        self.frames = []
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                data, address = self.socket.recvfrom(4096)
                if address[2] != OUTGOING:
                    self.frames.append(data)

    def close(self):
        self.ended = True
        self.thread.join()
        self.socket.close()


class Hostile(NetworkTestCase):
    """One hostile guest, "evil", and its neighbour, "victim", on one network."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        before = links()
        done = cls.run_cay("network", "create", "street")
        assert done.returncode == 0, done.stderr
        cls.bridge, = links() - before
        for name in ("evil", "victim"):
            done = cls.run_cay("run", "-d", "--privileged", "--network", "street", "--name", name, "peer")
            assert done.returncode == 0, done.stderr

    def setUp(self):
        for name in ("evil", "victim"):
            wait_until(lambda name=name: "serving" in self.cay("logs", name), name)
        self.evil, self.victim = self.endpoint("evil"), self.endpoint("victim")
        self.mac = self.evil["MacAddress"]
        # An address that nobody has: the one before the subnet's last.
        self.free = self.evil["IPAddress"].rsplit(".", 2)[0] + ".255.250" \
            if self.evil["IPPrefixLen"] == 16 else self.evil["IPAddress"].rsplit(".", 1)[0] + ".250"
        self.gateway_mac = lab.run("cat", f"/sys/class/net/{self.bridge}/address").strip()

    def send(self, *frames):
        lines = "\n".join(frame.hex() for frame in frames) + "\n"
        out = self.cay("exec", "-i", "evil", "net-tool", "send", "eth0", input=lines)
        self.assertEqual(out, f"{len(frames)} sent")

    def honest(self, number=0):
        """A frame that must get through: everybody's, from its own addresses."""
        data = MARK + bytes([number])
        source, target = self.evil["IPAddress"], self.broadcast()
        return packets.ipv4(self.mac, packets.BROADCAST, source, target, packets.udp(source, target, 9, 9, data))

    def broadcast(self):
        return self.free.rsplit(".", 1)[0] + ".255"

    def dropped(self, *frames):
        """Sends the frames between two honest ones: only those may arrive, on the bridge and at the neighbour."""
        on_bridge = Listener(self.bridge)
        at_victim = self.start_cay("exec", "victim", "net-tool", "listen", "eth0", "8")
        try:
            self.assertEqual(at_victim.stdout.readline(), b"listening\n")
            self.send(self.honest(1), *frames, self.honest(2))
            seen, deadline = [], time.monotonic() + 20
            while time.monotonic() < deadline:
                line = at_victim.stdout.readline()
                if not line:
                    break
                seen.append(bytes.fromhex(line.decode()))
                if MARK + b"\2" in seen[-1]:
                    break
            wait_until(lambda: any(MARK + b"\2" in frame for frame in on_bridge.frames), "the honest frame on the bridge", 10)
        finally:
            on_bridge.close()
        self.assertTrue(any(MARK + b"\2" in frame for frame in seen), "the honest frame at the neighbour")
        for where, arrived in (("the bridge", on_bridge.frames), ("the neighbour", seen)):
            for frame in frames:
                # The kernel may have padded it; nothing else starts with these bytes.
                self.assertFalse(any(other.startswith(frame) for other in arrived), f"{frame.hex()} reached {where}")

    def udp4(self, source_mac, source, target=None, target_mac=packets.BROADCAST):
        target = target or self.broadcast()
        return packets.ipv4(source_mac, target_mac, source, target, packets.udp(source, target, 9, 9, b"spoofed" + source.encode()))

    def udp6(self, source_mac, source, target=packets.ALL_NODES, target_mac=packets.ALL_NODES_MAC):
        return packets.ipv6(source_mac, target_mac, source, target, packets.udp(source, target, 9, 9, b"spoofed" + source.encode()))

    def link_local(self, mac=None):
        """The address that a MAC makes (RFC 4291, appendix A)."""
        octets = packets.mac(mac or self.mac)
        octets = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
        return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + octets)

    def test_another_mac(self):
        for mac in (self.victim["MacAddress"], self.gateway_mac, "02:12:34:56:78:9a"):
            self.dropped(self.udp4(mac, self.evil["IPAddress"]), self.udp6(mac, self.evil["GlobalIPv6Address"]),
                         packets.ethernet(mac, packets.BROADCAST, 0x88b5, b"anything at all" * 4))
        # The neighbour is still reached, so the bridge did not learn a wrong place for it.
        self.reached(self.victim["IPAddress"])

    def test_another_ipv4_address(self):
        self.dropped(*(self.udp4(self.mac, source) for source in
                       (self.victim["IPAddress"], self.evil["Gateway"], self.free, "198.51.100.1", "127.0.0.1",
                        "0.0.0.0", self.broadcast())))

    def test_another_ipv6_address(self):
        self.dropped(*(self.udp6(self.mac, source) for source in
                       (self.victim["GlobalIPv6Address"], self.evil["IPv6Gateway"], "2001:db8::bad", "::1", "::",
                        self.link_local(self.victim["MacAddress"]))))

    def test_arp(self):
        self.dropped(packets.arp(self.mac, self.mac, self.victim["IPAddress"], self.evil["Gateway"]),
                     packets.arp(self.mac, self.mac, self.evil["Gateway"], self.victim["IPAddress"]),
                     packets.arp(self.mac, self.mac, self.free, self.evil["Gateway"], operation=1),
                     packets.arp(self.mac, self.victim["MacAddress"], self.evil["IPAddress"], self.evil["Gateway"]))
        self.assertNotIn(self.mac, lab.run("ip", "neighbour", "show", self.victim["IPAddress"]))
        self.reached(self.victim["IPAddress"])

    def test_neighbour_advertisements(self):
        own, local = self.evil["GlobalIPv6Address"], self.link_local()
        self.dropped(*(packets.neighbour_advertisement(self.mac, source, target, self.mac)
                       for source in (own, local) for target in
                       (self.victim["GlobalIPv6Address"], self.evil["IPv6Gateway"], self.link_local(self.gateway_mac))))
        self.reached(self.victim["GlobalIPv6Address"])

    def test_router_advertisements_and_redirects(self):
        own, local = self.evil["GlobalIPv6Address"], self.link_local()
        self.dropped(*(packets.router_advertisement(self.mac, source, "2001:db8:bad::") for source in (own, local)),
                     packets.redirect(self.mac, local, self.victim["MacAddress"], self.victim["GlobalIPv6Address"],
                                      "2001:db8::1", local))
        self.assertNotIn("2001:db8:bad", self.cay("exec", "victim", "ip", "-6", "address"))
        self.assertNotIn("2001:db8:bad", lab.run("ip", "-6", "address"))

    def test_router_advertisements_behind_extension_headers(self):
        """Where a filter that looks at the first header alone does not see them (RFC 7113)."""
        local = self.link_local()
        plain = packets.router_advertisement(self.mac, local, "2001:db8:bad::")[54:]
        options = bytes([packets.ICMP6, 0, 1, 4, 0, 0, 0, 0])
        fragment = bytes([packets.ICMP6, 0, 0, 0, 0, 0, 0, 1])
        self.dropped(
            packets.ipv6(self.mac, packets.ALL_NODES_MAC, local, packets.ALL_NODES, options + plain, 60, 255),
            packets.ipv6(self.mac, packets.ALL_NODES_MAC, local, packets.ALL_NODES, fragment + plain, 44, 255))
        self.assertNotIn("2001:db8:bad", self.cay("exec", "victim", "ip", "-6", "address"))

    def test_dhcp_offers(self):
        self.dropped(packets.dhcp_offer(self.mac, self.evil["IPAddress"], self.free, self.evil["IPAddress"]))

    def test_vlans_and_other_protocols(self):
        """A tag must not carry a packet past the checks."""
        inner = self.udp4(self.mac, self.victim["IPAddress"])
        for tag in (b"\x81\x00\x00\x05", b"\x81\x00\x00\x00", b"\x88\xa8\x00\x05"):
            self.dropped(inner[:12] + tag + inner[12:])

    def test_new_addresses_that_root_gives_itself(self):
        """Not by frames but by the kernel: an address and a MAC set with the guest's own tools."""
        self.cay("exec", "evil", "ip", "address", "add", f"{self.free}/32", "dev", "eth0")
        try:
            self.assertIsNone(ask("tcp", self.free))
        finally:
            self.cay("exec", "evil", "ip", "address", "del", f"{self.free}/32", "dev", "eth0")
        self.cay("exec", "evil", "sh", "-c", "ip link set eth0 down; ip link set eth0 address 02:66:66:66:66:66; ip link set eth0 up")
        try:
            self.assertIsNone(ask("tcp", self.evil["IPAddress"]))
        finally:
            self.cay("exec", "evil", "sh", "-c", f"ip link set eth0 down; ip link set eth0 address {self.mac}; ip link set eth0 up")
        wait_until(lambda: ask("tcp", self.evil["IPAddress"]), "the honest address to answer again", 30)
        # What setting the link down took away.
        self.cay("restart", "-t", "1", "evil")

    def test_the_host_s_services(self):
        """Nothing of the host's but names and echoes, by none of its addresses."""
        with serving(5000):
            self.assertEqual(ask("tcp", "127.0.0.1", 5000)[2], "hello")
            self.unreached_from("evil", self.evil["Gateway"], self.evil["IPv6Gateway"], lab.HOST_ADDRESS, lab.HOST_ADDRESS6,
                                self.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"], port=5000)
        self.cay("exec", "evil", "ping", "-c", "1", "-W", "5", self.evil["Gateway"])
        self.cay("exec", "evil", "nslookup", "victim", self.evil["Gateway"])

    def test_the_host_s_loopback(self):
        """A packet to 127.0.0.1 with the gateway's MAC."""
        with serving(5001):
            on_loopback = Listener("lo")
            try:
                self.send(self.udp4(self.mac, self.evil["IPAddress"], "127.0.0.1", self.gateway_mac), self.honest(3))
                time.sleep(0.2)
            finally:
                on_loopback.close()
        self.assertFalse([frame for frame in on_loopback.frames if b"spoofed" in frame])

    def test_frames_that_no_bridge_forwards(self):
        """The kernel hands those to the tap itself, past what is checked on the bridge."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("", 9))
            server.settimeout(0.5)
            for last in ("03", "0e", "0f"):
                self.send(*(self.udp4(mac, source, lab.HOST_ADDRESS, f"01:80:c2:00:00:{last}")
                            for mac, source in ((self.mac, self.evil["IPAddress"]), ("02:12:34:56:78:9a", self.free))))
            self.assertRaises(TimeoutError, server.recv, 4096)

    def test_host_gateway_opens_the_host(self):
        with serving(5002):
            self.peer("trusted", "--network", "street", "--add-host", "boss:host-gateway")
            self.reached_from("trusted", self.evil["Gateway"], 5002)
            self.unreached_from("evil", self.evil["Gateway"], port=5002)

    def test_the_metadata_address(self):
        """169.254.169.254 stands behind the host's uplink, as in a cloud."""
        lab.run("ip", "-n", lab.OUTSIDE, "address", "add", "169.254.169.254/32", "dev", "eth0")
        self.addCleanup(lab.run, "ip", "-n", lab.OUTSIDE, "address", "del", "169.254.169.254/32", "dev", "eth0")
        lab.run("ip", "route", "add", "169.254.169.254/32", "via", lab.OUTSIDE_ADDRESS)
        self.addCleanup(lab.run, "ip", "route", "del", "169.254.169.254/32")
        self.network("cloudy", "--opt", "cay.network.metadata=true")
        self.peer("asks", "--network", "cloudy")
        with serving(80, ("ip", "netns", "exec", lab.OUTSIDE)):
            self.assertIsNotNone(ask("tcp", "169.254.169.254", 80), "the host reaches it")
            self.unreached_from("evil", "169.254.169.254", port=80)
            self.assertIsNotNone(self.ask_from("asks", "tcp", "169.254.169.254", 80))


class Flushed(NetworkTestCase):
    """Another program empties the machine's rules, as a reload of a firewall does."""

    def test_isolation_and_ports_come_back(self):
        self.network("one")
        self.network("two")
        self.peer("ina", "--network", "one", "--privileged", "-p", f"8100:{ECHO}")
        self.peer("inb", "--network", "two")
        target = self.addresses("inb")[0]
        before = rules()
        self.assertTrue(before)
        for _ in range(3):
            lab.run("nft", "flush", "ruleset")
            wait_until(lambda: rules() == before, "the rules to be as they were", 15)
        for table in [line for line in lab.run("nft", "list", "tables").splitlines() if "cay_" in line]:
            lab.run("nft", "delete", *table.split())
            wait_until(lambda: rules() == before, f"{table} to be as it was", 15)
        self.unreached_from("ina", target)
        self.reached(target)
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8100, where=("ip", "netns", "exec", lab.OUTSIDE)))

    def test_beside_others_that_drop(self):
        """As Docker, ufw and firewalld leave it: whatever is forwarded and not theirs is dropped."""
        for program in ("iptables", "ip6tables"):
            lab.run(program, "-P", "FORWARD", "DROP")
            self.addCleanup(lab.run, program, "-P", "FORWARD", "ACCEPT")
        self.daemon.restart()
        self.peer("works", "-p", f"8101:{ECHO}")
        self.peer("other")
        outside = ("ip", "netns", "exec", lab.OUTSIDE)
        self.reached_from("other", self.addresses("works")[0])
        with serving(ECHO, outside):
            self.reached_from("works", lab.OUTSIDE_ADDRESS)
            self.reached_from("works", lab.OUTSIDE_ADDRESS6)
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8101, where=outside))
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS6, 8101, where=outside))
