# SPDX-License-Identifier: Apache-2.0
"""What the network tests stand on: containers that answer, and machines that ask them.

A class has a host of its own (lab.py): namespaces of the run, with a machine
"outside" behind the link eth0.
"""

import concurrent.futures
import contextlib
import json
import os
import socket
import struct
import subprocess
import time

import lab
from harness import BUILD, CayTestCase, Daemon, busybox_archive, wait_until  # noqa: F401
from net_images import NET_TOOL, peer_archive
from packets import checksum

# Ports that peers serve, two of them to see that no port is special.
ECHO, OTHER = 7, 4321
FAMILIES = ("IPAddress", "GlobalIPv6Address")
IN_OUTSIDE = ("ip", "netns", "exec", lab.OUTSIDE)


def ask(kind, address, port=ECHO, text="hello", where=()):
    """What the peer there answers, as (client's address, its port, text); None when it can't be reached."""
    done = subprocess.run([*map(str, where), str(NET_TOOL), "ask", kind, address, str(port), text],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return parse_answer(done.stdout) if done.returncode == 0 else None


def parse_answer(line):
    address, port, text = line.rstrip("\n").split(" ", 2)
    return address, int(port), text


def ping(address):
    """Whether the address answers an ICMP echo of the host's."""
    v6 = ":" in address
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW,
                       socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP) as raw:
        raw.settimeout(0.5)
        identity = os.getpid() & 0xffff
        for sequence in range(10):
            message = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, identity, sequence)
            raw.sendto(message[:2] + struct.pack("!H", checksum(message)) + message[4:], (address, 0))
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    data, peer = raw.recvfrom(2048)
                    data = data if v6 else data[20:]
                    if peer[0] == address and data[:1] == (b"\x81" if v6 else b"\0") and data[4:8] == message[4:8]:
                        return True
    return False


@contextlib.contextmanager
def serving(port, where=()):
    """A server like a peer's, in another namespace or on the host."""
    process = subprocess.Popen([*where, str(NET_TOOL), "serve", str(port)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "serving\n"
        yield
    finally:
        process.kill()
        process.communicate()


class NetworkTestCase(CayTestCase):
    """A daemon on a host of its own, with the image "peer"."""

    alone = True
    archives = (peer_archive,)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for archive in cls.archives:
            done = cls.run_cay("load", "-q", "-i", archive())
            if done.returncode != 0:
                raise AssertionError(f"loading {archive.__name__}: {done.stderr}")

    def peer(self, name, *options, image="peer", command=(), ready="serving"):
        """A running container that is ready, removed at the test's end; its name."""
        self.addCleanup(self.run_cay, "rm", "-f", "-v", name)
        self.cay("run", "-d", "--name", name, *options, image, *command)
        wait_until(lambda: not ready or ready in self.cay("logs", name), f"{name} to be ready")
        return name

    def network(self, name, *options):
        """A network, removed at the test's end after the containers; its name."""
        self.addCleanup(self.run_cay, "network", "rm", name)
        self.cay("network", "create", *options, name)
        return name

    def inspect_network(self, name):
        return json.loads(self.cay("network", "inspect", name))[0]

    def endpoint(self, container, network=None):
        """A container's place on a network, as inspect shows it; on its only one when none is named."""
        places = self.inspect(container)["NetworkSettings"]["Networks"]
        if network is None:
            self.assertEqual(len(places), 1, places)
            network, = places
        return places[network]

    def addresses(self, container, network=None):
        """Its IPv4 and its IPv6 address there."""
        place = self.endpoint(container, network)
        return tuple(place[family] for family in FAMILIES)

    def ask_from(self, container, kind, address, port=ECHO, text="hello"):
        done = self.run_cay("exec", container, "net-tool", "ask", kind, address, port, text)
        return parse_answer(done.stdout) if done.returncode == 0 else None

    def reached(self, address, port=ECHO, where=()):
        """Checks that TCP and UDP lead there; the client's address that both servers saw."""
        seen = set()
        for kind in ("tcp", "udp"):
            answer = ask(kind, address, port, where=where)
            self.assertIsNotNone(answer, f"{kind} to {address} port {port} from {where or 'the host'}")
            self.assertEqual(answer[2], "hello")
            seen.add(answer[0])
        self.assertEqual(len(seen), 1)
        return seen.pop()

    def reached_from(self, container, address, port=ECHO):
        """The same from a container."""
        seen = set()
        for kind in ("tcp", "udp"):
            answer = self.ask_from(container, kind, address, port)
            self.assertIsNotNone(answer, f"{kind} to {address} port {port} from {container}")
            seen.add(answer[0])
        self.assertEqual(len(seen), 1)
        return seen.pop()

    def unreached_from(self, container, *addresses, port=ECHO):
        """Checks that neither TCP nor UDP leads there, to all of the addresses at once: silence takes its time."""
        self.all_silent(addresses, port, container, lambda kind, address: self.ask_from(container, kind, address, port))

    def unreached(self, *addresses, port=ECHO, where=()):
        """The same from the host or another machine."""
        self.all_silent(addresses, port, where or "the host", lambda kind, address: ask(kind, address, port, where=where))

    def all_silent(self, addresses, port, where, ask_one):
        tries = [(kind, address) for address in addresses for kind in ("tcp", "udp")]
        with concurrent.futures.ThreadPoolExecutor(len(tries)) as pool:
            answers = list(pool.map(lambda one: ask_one(*one), tries))
        for (kind, address), answer in zip(tries, answers):
            self.assertIsNone(answer, f"{kind} to {address} port {port} from {where}")


def links():
    """The names of the host's links."""
    return {line.split(": ")[1].split("@")[0] for line in lab.run("ip", "-o", "link").splitlines()}


def rules():
    """The daemons' own tables, as lines in an order that does not depend on what was made first."""
    lines = []
    for table in sorted(lab.run("nft", "list", "tables").splitlines()):
        if " cay_" in table:
            lines += [line.strip() for line in lab.run("nft", "list", *table.split()).splitlines()]
    return sorted(line for line in lines if line not in ("", "}"))
