# SPDX-License-Identifier: Apache-2.0
"""Names: containers find each other and what the host can resolve, and an internal network tells nobody."""

import contextlib
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tempfile

import lab
from harness import wait_until
from net_harness import IN_OUTSIDE, NetworkTestCase

A, PTR, TXT, AAAA = 1, 12, 16, 28
NO_ERROR, NO_SUCH_NAME = 0, 3


def query(name, kind=A, identity=0x1234):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack("!HHHHHH", identity, 0x100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def skip_name(message, at):
    while message[at] and message[at] < 0xc0:
        at += 1 + message[at]
    return at + (2 if message[at] else 1)


def read_name(message, at):
    labels = []
    while message[at]:
        if message[at] >= 0xc0:
            at = struct.unpack_from("!H", message, at)[0] & 0x3fff
            continue
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels)


def parse(message):
    """(response code, whether truncated, answers as texts)."""
    _, flags, _, count, _, _ = struct.unpack_from("!HHHHHH", message)
    at = skip_name(message, 12) + 4
    answers = []
    for _ in range(count):
        at = skip_name(message, at)
        kind, _, _, length = struct.unpack_from("!HHIH", message, at)
        at += 10
        data = message[at:at + length]
        if kind in (A, AAAA):
            answers.append(socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data))
        elif kind == PTR:
            answers.append(read_name(message, at))
        else:
            answers.append(data)
        at += length
    return flags & 15, bool(flags & 0x200), answers


def resolve(server, name, kind=A, tcp=False, timeout=5):
    """Asks a DNS server as the host."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((server, 53))
        message = query(name, kind)
        client.sendall(struct.pack("!H", len(message)) + message if tcp else message)
        answer = client.recv(65535)
        if tcp:
            while len(answer) < 2 or len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
                answer += client.recv(65535)
            answer = answer[2:]
        return parse(answer)


class Upstream:
    """A real DNS server on the machine outside: dnsmasq, whose log tells what it was asked."""

    def __init__(self, *options):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-dns-"))
        self.log = self.directory / "log"
        self.log.touch()
        self.process = subprocess.Popen(
            [*IN_OUTSIDE, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
             "--user=root", "--log-queries", f"--log-facility={self.log}", "--pid-file=", "--cache-size=0",
             "--edns-packet-max=4096", "--local=/example/", *options], stdin=subprocess.DEVNULL)
        wait_until(lambda: "started" in self.log.read_text(), "dnsmasq to start", 10)

    def asked(self, word):
        return sum(1 for line in self.log.read_text().splitlines() if "query[" in line and word in line)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()


@contextlib.contextmanager
def own_etc():
    """Changes to /etc stay with this class's host, whose mounts are its own."""
    with tempfile.TemporaryDirectory(prefix="cay-etc-") as directory:
        lab.mount("tmpfs", directory, "tmpfs")
        for name in ("upper", "work"):
            os.mkdir(f"{directory}/{name}")
        lab.run("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir=/etc,upperdir={directory}/upper,workdir={directory}/work", "/etc")
        try:
            yield
        finally:
            lab.unmount("/etc")
            lab.unmount(directory)


@contextlib.contextmanager
def host_resolver(text):
    """Another /etc/resolv.conf, put there and back as programs do: by renaming."""
    path = pathlib.Path("/etc/resolv.conf")
    before = path.read_text()

    def replace(content):
        path.with_suffix(".new").write_text(content)
        path.with_suffix(".new").rename(path)

    replace(text)
    try:
        yield
    finally:
        replace(before)


class Names(NetworkTestCase):
    @classmethod
    def setUpClass(cls):
        big = ",".join("x" * 200 for _ in range(10))
        cls.upstream = Upstream(f"--listen-address={lab.OUTSIDE_ADDRESS}", "--bind-interfaces", "--address=/up.example/198.51.100.7", "--address=/up.example/2001:db8::7",
                                f"--txt-record=big.example,{big}", "--local=/secret.test/")
        cls.addClassCleanup(cls.upstream.close)
        cls.enterClassContext(own_etc())
        cls.enterClassContext(host_resolver(f"nameserver {lab.OUTSIDE_ADDRESS}\nsearch lab.example\n"))
        super().setUpClass()

    def lookup(self, container, name):
        """The addresses that a container finds under the name."""
        # busybox's nslookup tries a name without a dot below the search domains only.
        done = self.run_cay("exec", container, "nslookup", name if "." in name else f"{name}.")
        lines = done.stdout.splitlines()
        # The first two lines name the server.
        return {line.split()[-1] for line in lines[2:] if line.startswith("Address")} if done.returncode == 0 else set()

    def gateways(self, network="bridge"):
        return [config["Gateway"] for config in self.inspect_network(network)["IPAM"]["Config"]]

    def test_containers_find_each_other(self):
        self.network("team")
        self.peer("db", "--network", "team", "--network-alias", "database", "--hostname", "db-host")
        self.peer("web", "--network", "team")
        self.peer("stranger")
        expected = set(self.addresses("db"))
        for name in ("db", "database", "db.team", "DB", self.inspect("db")["Id"][:12]):
            self.assertEqual(self.lookup("web", name), expected, name)
        self.assertEqual(self.lookup("stranger", "db"), set(), "another network's names")
        self.cay("exec", "web", "ping", "-c", "1", "-W", "5", "db")
        self.assertIn(f"nameserver {self.gateways('team')[0]}", self.cay("exec", "web", "cat", "/etc/resolv.conf"))

    def test_names_come_and_go(self):
        self.network("changing")
        self.peer("asker", "--network", "changing")
        self.peer("guest1", "--network", "changing")
        self.assertEqual(self.lookup("asker", "guest1"), set(self.addresses("guest1")))
        self.cay("rename", "guest1", "guest2")
        self.addCleanup(self.run_cay, "rm", "-f", "guest2")
        self.assertEqual(self.lookup("asker", "guest1"), set())
        self.assertEqual(self.lookup("asker", "guest2"), set(self.addresses("guest2")))
        self.cay("stop", "-t", "1", "guest2")
        wait_until(lambda: not self.lookup("asker", "guest2"), "a stopped one's name to vanish", 10)

    def test_one_alias_for_several(self):
        self.network("pool")
        for name in ("w1", "w2"):
            self.peer(name, "--network", "pool", "--network-alias", "worker")
        self.peer("boss", "--network", "pool")
        self.assertEqual(self.lookup("boss", "worker"), {*self.addresses("w1"), *self.addresses("w2")})

    def test_the_default_network_too(self):
        self.peer("here")
        self.peer("there")
        self.assertEqual(self.lookup("here", "there"), set(self.addresses("there")))

    def test_the_host_asks(self):
        self.network("shown")
        self.peer("plain")
        self.peer("named", "--network", "shown")
        for name, container, server in (("plain.cay", "plain", self.gateways()),
                                        ("named.shown.cay", "named", self.gateways("shown"))):
            address, address6 = self.addresses(container)
            for gateway in server:
                for tcp in (False, True):
                    self.assertEqual(resolve(gateway, name, A, tcp), (NO_ERROR, False, [address]))
                    self.assertEqual(resolve(gateway, name, AAAA, tcp), (NO_ERROR, False, [address6]))
        # One line of configuration is enough for the host: the default network's server knows all.
        self.assertEqual(resolve(self.gateways()[0], "named.shown.cay")[2], [self.addresses("named")[0]])
        with host_resolver(f"nameserver {self.gateways()[0]}\n"):
            shown = lab.run("getent", "hosts", "plain.cay")
        self.assertIn(self.addresses("plain")[1], shown)
        self.assertEqual(resolve(self.gateways()[0], "nobody.cay")[0], NO_SUCH_NAME)
        self.assertEqual(resolve(self.gateways()[0], "plain.cay", TXT), (NO_ERROR, False, []))

    def test_reverse_names(self):
        self.network("back")
        self.peer("mirror", "--network", "back")
        address, address6 = self.addresses("mirror")
        reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
        digits = socket.inet_pton(socket.AF_INET6, address6).hex()
        reverse6 = ".".join(reversed(digits)) + ".ip6.arpa"
        for name in (reverse, reverse6):
            status, _, answers = resolve(self.gateways("back")[0], name, PTR)
            self.assertEqual(status, NO_ERROR)
            self.assertEqual(len(answers), 1)
            self.assertEqual(answers[0].split(".")[0], "mirror")

    def test_upstream(self):
        self.peer("surfer")
        self.assertEqual(self.lookup("surfer", "up.example"), {"198.51.100.7", "2001:db8::7"})
        self.assertEqual(self.lookup("surfer", "none.example"), set())
        shown = self.cay("exec", "surfer", "cat", "/etc/resolv.conf")
        self.assertIn("search lab.example", shown)

    def test_a_large_answer_comes_by_tcp(self):
        self.network("wide")
        self.peer("reader", "--network", "wide")
        before = self.upstream.asked("big.example")
        message = query("big.example", TXT)
        # busybox's nslookup knows no TCP, so the query goes by nc.
        text = (struct.pack("!H", len(message)) + message).hex()
        out = self.cay("exec", "reader", "sh", "-c",
                       f"(echo {text} | xxd -r -p; sleep 3) | nc {self.gateways('wide')[0]} 53 | xxd -p | tr -d '\\n'")
        answer = bytes.fromhex(out)
        self.assertEqual(struct.unpack("!H", answer[:2])[0], len(answer) - 2)
        status, truncated, answers = parse(answer[2:])
        self.assertEqual((status, truncated), (NO_ERROR, False))
        self.assertGreater(sum(map(len, answers)), 2000)
        self.assertGreater(self.upstream.asked("big.example"), before)

    def test_the_host_s_resolver_changes(self):
        self.peer("follower")
        self.add_outside_address("192.0.2.253")
        other = Upstream("--listen-address=192.0.2.253", "--bind-interfaces", "--host-record=up.example,203.0.113.9")
        self.addCleanup(other.close)
        self.assertIn("198.51.100.7", self.lookup("follower", "up.example"))
        with host_resolver("nameserver 192.0.2.253\n"):
            wait_until(lambda: "203.0.113.9" in self.lookup("follower", "up.example"), "the new server to be asked", 30)
        wait_until(lambda: "198.51.100.7" in self.lookup("follower", "up.example"), "the old one to be asked again", 30)

    def add_outside_address(self, address):
        lab.run("ip", "-n", lab.OUTSIDE, "address", "add", f"{address}/24", "dev", "eth0")
        self.addCleanup(lab.run, "ip", "-n", lab.OUTSIDE, "address", "del", f"{address}/24", "dev", "eth0")

    def test_an_internal_network_s_queries_never_leave(self):
        self.network("vault", "--internal")
        self.peer("safe", "--network", "vault")
        self.peer("near", "--network", "vault")
        name = f"leak{random.getrandbits(32):08x}.secret.test"
        self.assertEqual(self.lookup("safe", name), set())
        self.assertEqual(self.lookup("safe", "near"), set(self.addresses("near")))
        self.assertEqual(self.upstream.asked("leak"), 0)
        # What is looked up elsewhere does get there, so its absence means something.
        self.peer("open")
        self.lookup("open", name)
        self.assertGreater(self.upstream.asked("leak"), 0)

    def test_a_container_s_own_servers_and_options(self):
        self.add_outside_address("192.0.2.252")
        own = Upstream("--listen-address=192.0.2.252", "--bind-interfaces", "--host-record=own.example,203.0.113.44")
        self.addCleanup(own.close)
        self.peer("particular", "--dns", "192.0.2.252", "--dns-search", "a.example", "--dns-search", "b.example",
                  "--dns-option", "ndots:2")
        shown = self.cay("exec", "particular", "cat", "/etc/resolv.conf")
        self.assertIn("search a.example b.example", shown)
        self.assertIn("ndots:2", shown)
        self.assertEqual(self.lookup("particular", "own.example"), {"203.0.113.44"})

    def test_added_hosts(self):
        self.peer("extra", "--add-host", "friend:203.0.113.5", "--add-host", "boss:host-gateway")
        hosts = self.cay("exec", "extra", "cat", "/etc/hosts")
        self.assertRegex(hosts, r"203\.0\.113\.5\s+friend")
        self.assertRegex(hosts, rf"{self.gateways()[0]}\s+boss")

    def test_the_host_s_names(self):
        self.peer("looks")
        for name in ("host.docker.internal", "host.container.internal", "gateway.docker.internal"):
            self.assertEqual(self.lookup("looks", name), set(self.gateways()), name)

    def test_malformed_queries_are_dropped(self):
        """Each is sent, then a good one must still be answered."""
        gateway = self.gateways()[0]
        self.peer("still")
        good = query("still.cay")
        random.seed(18)
        broken = [b"", b"\0", good[:11], good[:-1], good[:12] + b"\xc0\x0c\0\1\0\1", good[:12] + b"\xff" * 300,
                  good[:4] + b"\xff\xff" + good[6:], good[:2] + b"\x81\x80" + good[4:], good[:12] + b"\x40" * 200,
                  os.urandom(512), good[:12] + b"\x3f" + b"a" * 63 * 5]
        broken += [bytes(byte ^ (random.random() < 0.1) * random.randrange(256) for byte in good) for _ in range(200)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for message in broken:
                client.sendto(message, (gateway, 53))
        for size in (0, 1, 11, 0xffff):
            with socket.create_connection((gateway, 53), timeout=5) as client:
                client.sendall(struct.pack("!H", size) + b"\xff" * min(size, 20))
        self.assertEqual(resolve(gateway, "still.cay"), (NO_ERROR, False, [self.addresses("still")[0]]))
        self.assertEqual(resolve(gateway, "still.cay", tcp=True)[0], NO_ERROR)
