# SPDX-License-Identifier: Apache-2.0
"""The DNS responder under other people's resolvers: the C library's, busybox's, BIND's dig, and
systemd-resolved on the host; with dnsmasq as the server behind it. Most of it runs no VM: dns-serve
is the responder alone, with names hN for the addresses 10.9.x.y and fd00:9::x:y."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import BUILD, CACHE, CayTestCase, wait_until

import lab

CLIENT = "dns-client"
GATEWAY, GATEWAY6 = "172.30.0.1", "fd30::1"
UPSTREAM = "192.0.2.254"  # the machine outside
TEXTS = ["x" * 200 + str(number) for number in range(25)]  # far more than a datagram takes

RESOLVED = CACHE / "systemd-resolved"
BUS = """<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow send_type="method_call"/><allow receive_type="method_call"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>"""


def fetch_resolved():
    """Unpacks Debian's package: installed, it would take the machine's own resolv.conf over."""
    if RESOLVED.exists():
        return
    with tempfile.TemporaryDirectory() as directory:
        with contextlib.suppress(OSError):
            shutil.chown(directory, "_apt")
        subprocess.run(["apt-get", "-q", "download", "systemd-resolved"], cwd=directory, check=True,
                       capture_output=True)
        package = next(pathlib.Path(directory).glob("*.deb"))
        temporary = RESOLVED.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", package, temporary], check=True)
        temporary.rename(RESOLVED)


FETCH = (fetch_resolved,)


def answers(command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def started(*command, **options):
    process = subprocess.Popen([str(a) for a in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               **options)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextlib.contextmanager
def mounted(*arguments, **options):
    lab.mount(*arguments, **options)
    try:
        yield
    finally:
        lab.unmount(arguments[1])


@contextlib.contextmanager
def systemd_host(directory):
    """A host on which systemd-resolved could run: D-Bus and it insist on folders and a user of their own."""
    with contextlib.ExitStack() as stack:
        for path in ("/run/dbus", "/run/systemd"):
            os.makedirs(path, exist_ok=True)
            stack.enter_context(mounted("tmpfs", path, "tmpfs"))
        for path, line in (("/etc/passwd", "systemd-resolve:x:995:995::/:/bin/false\n"),
                           ("/etc/group", "systemd-resolve:x:995:\n"), ("/etc/resolv.conf", None)):
            copy = directory / path.strip("/").replace("/", "-")
            copy.write_text(pathlib.Path(path).read_text() + line if line else "nameserver 127.0.0.53\n")
            stack.enter_context(mounted(copy, path, flags=lab.MS_BIND))
        os.makedirs("/run/systemd/system")  # says that systemd runs
        yield


@contextlib.contextmanager
def systemd_resolved(directory):
    (directory / "bus.conf").write_text(BUS)
    with started("dbus-daemon", f"--config-file={directory}/bus.conf", "--nofork", "--nopidfile"):
        wait_until(lambda: os.path.exists("/run/dbus/system_bus_socket"), "the bus", 10)
        os.makedirs("/run/systemd/resolve")
        shutil.chown("/run/systemd/resolve", 995, 995)
        with started(RESOLVED / "lib" / "systemd" / "systemd-resolved"):
            wait_until(lambda: answers(["busctl", "--auto-start=no", "status", "org.freedesktop.resolve1"]),
                       "systemd-resolved", 10)
            yield


class Responder(unittest.TestCase):
    """A bridge with a client on it, dnsmasq outside, and dns-serve between them."""

    alone = True
    forward = "host"
    link = "-"

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-test-dns-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.make_links()
        self.start("ip", "netns", "exec", lab.OUTSIDE, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
                   "--no-resolv", "--no-hosts", "--user=root", "--bind-interfaces", f"--listen-address={UPSTREAM}",
                   "--pid-file=", "--host-record=up.example,198.51.100.7,2001:db8::7", "--local=/example/",
                   "--txt-record=big.example," + ",".join(TEXTS))
        wait_until(lambda: answers(["dig", f"@{UPSTREAM}", "up.example"]), "dnsmasq to answer", 10)
        (self.directory / "host.conf").write_text(f"nameserver {UPSTREAM}\n")
        (self.directory / "client.conf").write_text(f"nameserver {GATEWAY}\n")

    def make_links(self):
        lab.run("ip", "link", "add", "br0", "type", "bridge")
        self.addCleanup(lab.run, "ip", "link", "delete", "br0")
        lab.run("ip", "address", "add", f"{GATEWAY}/16", "dev", "br0")
        lab.run("ip", "address", "add", f"{GATEWAY6}/64", "dev", "br0", "nodad")
        lab.run("ip", "link", "set", "br0", "up")
        lab.run("ip", "netns", "add", CLIENT)
        self.addCleanup(lab.run, "ip", "netns", "delete", CLIENT)
        lab.run("ip", "link", "add", "client0", "type", "veth", "peer", "name", "eth0", "netns", CLIENT)
        # A namespace's links go some time after it.
        self.addCleanup(lab.run, "ip", "link", "delete", "client0")
        lab.run("ip", "link", "set", "client0", "master", "br0", "up")
        lab.run("ip", "-n", CLIENT, "address", "add", "172.30.0.2/16", "dev", "eth0")
        lab.run("ip", "-n", CLIENT, "address", "add", "fd30::2/64", "dev", "eth0", "nodad")
        lab.run("ip", "-n", CLIENT, "link", "set", "eth0", "up")

    def start(self, *command):
        return self.enterContext(started(*command))

    def serve(self):
        """Starts the responder; the lines it printed before it was ready."""
        process = self.start(BUILD / "tests" / "dns-serve", 53, self.forward, self.directory / "host.conf", self.link,
                             GATEWAY, GATEWAY6)
        lines = []
        while (line := process.stdout.readline().strip()) != "ready":
            self.assertTrue(line, "dns-serve ended")
            lines.append(line)
        return lines

    def client(self, *command):
        """The output of a program on the client, whatever it ends with."""
        script = 'mount --bind "$0" /etc/resolv.conf; exec ip netns exec "$@"'
        return subprocess.run(["unshare", "--mount", "sh", "-c", script, self.directory / "client.conf", CLIENT,
                               *command], capture_output=True, text=True, check=False).stdout


class ForeignClients(Responder):
    def setUp(self):
        super().setUp()
        self.serve()

    def test_c_library(self):
        self.assertIn("10.9.0.7 ", self.client("getent", "ahostsv4", "h7"))
        self.assertIn("fd00:9::7", self.client("getent", "ahostsv6", "h7"))
        self.assertIn("h258.net", self.client("getent", "hosts", "10.9.1.2"))
        self.assertIn("2001:db8::7", self.client("getent", "ahosts", "up.example"))
        self.assertEqual("", self.client("getent", "ahosts", "nobody.cay"))
        (self.directory / "client.conf").write_text(f"nameserver {GATEWAY6}\noptions use-vc\n")
        self.assertIn("10.9.0.8 ", self.client("getent", "ahostsv4", "h8"))

    def test_busybox(self):
        output = self.client("busybox", "nslookup", "h9")
        self.assertIn("Address: 10.9.0.9", output)
        self.assertIn("Address: fd00:9::9", output)
        self.assertIn("NXDOMAIN", self.client("busybox", "nslookup", "nope.example"))

    def test_dig(self):
        """dig checks what it gets more strictly than any resolver, and says so in its output."""
        for question in (["h3"], ["h3", "AAAA"], ["+tcp", "h3"], ["h3", "MX"], ["h3", "ANY", "+notcp"], ["-x", "10.9.0.3"],
                         ["up.example"], ["+tcp", "up.example"], ["+noedns", "up.example"], ["+dnssec", "up.example"],
                         ["+cookie", "h3"], ["+qr", "up.example", "+padding=468"]):
            output = self.client("dig", *question)
            self.assertIn("status: NOERROR", output, question)
            for word in ("WARNING", "malformed", "mismatch", "extra bytes", "Truncated"):
                self.assertNotIn(word, output, question)
        for question, status in ((["nobody.cay"], "NXDOMAIN"), (["nope.example"], "NXDOMAIN"),
                                 (["+edns=1", "+noednsnegotiation", "h1"], "BADVERS"),
                                 (["CH", "TXT", "version.bind"], "REFUSED"), (["+opcode=notify", "h1"], "NOTIMP")):
            self.assertIn(f"status: {status}", self.client("dig", *question), question)

    def test_long_answers(self):
        """What dnsmasq only gives by TCP comes whole by TCP, and is said to be cut by UDP."""
        self.assertIn(" tc ", self.client("dig", "+ignore", "TXT", "big.example"))
        for options in ([], ["+noedns"], ["+bufsize=4096"]):
            output = self.client("dig", *options, "TXT", "big.example")
            self.assertIn("Truncated, retrying in TCP", output)
            self.assertTrue(all(text in output for text in TEXTS))

    def test_resolv_conf_changes(self):
        self.assertIn("198.51.100.7", self.client("dig", "+short", "up.example"))
        conf = self.directory / "host.conf"
        conf.write_text("nameserver 192.0.2.250\n")  # nobody
        time.sleep(1.2)
        self.assertNotIn("198.51.100.7", self.client("dig", "+short", "+tries=1", "+timeout=2", "up.example"))
        (self.directory / "new.conf").write_text(f"# a comment\nsearch x.example\nnameserver {UPSTREAM}\n")
        (self.directory / "new.conf").rename(conf)
        time.sleep(1.2)
        self.assertIn("198.51.100.7", self.client("dig", "+short", "up.example"))

    def test_host(self):
        """The host asks for our names only, so that nothing can go round between it and us."""
        dig = ["dig", f"@{GATEWAY}"]
        self.assertEqual(lab.run(*dig, "+short", "h5.cay").strip(), "10.9.0.5")
        self.assertIn("status: REFUSED", lab.run(*dig, "up.example"))

    def test_host_without_systemd(self):
        """The lines that docs/networks.md has for resolv.conf and for dnsmasq."""
        conf = self.directory / "own.conf"
        conf.write_text(f"nameserver {GATEWAY}\nnameserver {UPSTREAM}\n")
        self.enterContext(mounted(conf, "/etc/resolv.conf", flags=lab.MS_BIND))
        self.assertIn("10.9.0.5 ", lab.run("getent", "ahostsv4", "h5.cay"))
        self.assertIn("198.51.100.7 ", lab.run("getent", "ahostsv4", "up.example"))
        self.start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                   "--pid-file=", "--bind-dynamic", "--except-interface=br*", f"--server=/cay/{GATEWAY}",
                   f"--server={UPSTREAM}")
        conf.write_text("nameserver 127.0.0.1\n")
        wait_until(lambda: answers(["dig", "@127.0.0.1", "+tries=1", "up.example"]), "dnsmasq to answer", 10)
        self.assertIn("10.9.0.5 ", lab.run("getent", "ahostsv4", "h5.cay"))
        self.assertIn("198.51.100.7 ", lab.run("getent", "ahostsv4", "up.example"))


class HostResolver(Responder):
    """systemd-resolved, of which the responder's link is made known over D-Bus."""

    link = "br0"
    forward = "never"

    def setUp(self):
        if not RESOLVED.exists():
            self.skipTest("systemd-resolved could not be fetched")
        super().setUp()
        self.enterContext(systemd_host(self.directory))

    def test_without(self):
        self.assertEqual(self.serve(), ["no systemd-resolved"])

    def test_names_and_addresses(self):
        self.enterContext(systemd_resolved(self.directory))
        self.assertEqual(self.serve(), ["told systemd-resolved"])
        wait_until(lambda: answers(["getent", "hosts", "h5.cay"]), "the host to know h5.cay", 10)
        self.assertIn("10.9.0.5", lab.run("getent", "ahostsv4", "h5.cay"))
        self.assertIn("h260.net", lab.run("getent", "hosts", "10.9.1.4"))
        self.assertFalse(answers(["getent", "hosts", "nobody.cay"]))
        status = lab.run(RESOLVED / "usr" / "bin" / "resolvectl", "status", "br0")
        self.assertIn("~cay", status)
        self.assertIn("-DefaultRoute", status)
        self.assertIn("-LLMNR -mDNS", status)


class NamesOnTheHost(CayTestCase):
    """Containers' names in the host's own resolver, with nothing set up by hand."""

    alone = True

    @classmethod
    def setUpClass(cls):
        if not RESOLVED.exists():
            raise unittest.SkipTest("systemd-resolved could not be fetched")
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-test-dns-")))
        cls.enterClassContext(systemd_host(directory))
        cls.enterClassContext(systemd_resolved(directory))
        super().setUpClass()

    def host_knows(self, name):
        """The IPv4 address that a program on the host finds."""
        done = subprocess.run(["getent", "ahostsv4", name], capture_output=True, text=True, check=False)
        return done.stdout.split()[0] if done.stdout else None

    def test_names(self):
        self.cay("network", "create", "dev")
        self.addCleanup(self.cay, "network", "rm", "dev")
        # Only there: the default network's bridge has no container, and is of no use to the resolver.
        self.cay("run", "-d", "--name", "db", "--network", "dev", "busybox", "sleep", "1000")
        address = self.cay("inspect", "-f", "{{.NetworkSettings.Networks.dev.IPAddress}}", "db")
        wait_until(lambda: self.host_knows("db.dev.cay") == address, "the host to know db.dev.cay", 20)
        self.assertIn("db.dev.cay", lab.run("getent", "hosts", address))
        self.cay("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        address = self.cay("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")
        wait_until(lambda: self.host_knows("web.cay") == address, "the host to know web.cay", 20)
        self.cay("rm", "-f", "db", "web")
        wait_until(lambda: self.host_knows("web.cay") is None, "the host to forget web.cay", 20)
