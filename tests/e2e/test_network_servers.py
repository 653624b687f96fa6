# SPDX-License-Identifier: Apache-2.0
"""Real servers from Debian's packages, used by real clients from the host, from containers and from another machine."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import lab
from harness import wait_until
from net_harness import IN_OUTSIDE, NetworkTestCase, peer_archive
from net_images import servers_archive

FETCH = (servers_archive,)
POSTGRES = "/usr/lib/postgresql/15/bin"
SERVERS = {
    "web": ("nginx -g 'daemon off;'", "tcp", 80),
    "sql": (f"exec setpriv --reuid postgres --regid postgres --clear-groups {POSTGRES}/postgres "
            "-D /var/lib/postgresql/15/main -c config_file=/etc/postgresql/15/main/postgresql.conf "
            "-c shared_buffers=16MB -c unix_socket_directories=/tmp", "tcp", 5432),
    "cache": ("exec redis-server --protected-mode no --bind '*' -::* --save ''", "tcp", 6379),
    "shell": ("mkdir -p /run/sshd /root/.ssh && printenv KEY >/root/.ssh/authorized_keys && exec /usr/sbin/sshd -D -e",
              "tcp", 22),
}


class Clients:
    """The same packages' clients, on the host: a tree of files that programs are run in, on the host's network."""

    def __init__(self):
        self.tree = pathlib.Path(tempfile.mkdtemp(prefix="cay-clients-"))
        with tarfile.open(servers_archive()) as archive:
            manifest, = json.load(archive.extractfile("manifest.json"))
            unpack = subprocess.Popen(["tar", "-x", "-C", self.tree, "--exclude=./dev/*", "--exclude=./var/lib"],
                                      stdin=subprocess.PIPE)
            with unpack.stdin:
                shutil.copyfileobj(archive.extractfile(manifest["Layers"][0]), unpack.stdin)
            if unpack.wait() != 0:
                raise AssertionError("the clients' tree can't be unpacked")
        lab.mount("/dev", self.tree / "dev", flags=lab.MS_BIND | lab.MS_REC)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.tree / "root" / "key"], check=True)
        self.key = (self.tree / "root" / "key.pub").read_text().strip()

    def resolve_by(self, gateway):
        (self.tree / "etc" / "resolv.conf").write_text(f"nameserver {gateway}\n")

    def command(self, *arguments, where=()):
        return [*where, "chroot", str(self.tree), *map(str, arguments)]

    def close(self):
        with contextlib.suppress(OSError):
            lab.unmount(self.tree / "dev")
        shutil.rmtree(self.tree)


SSH = ("ssh", "-i", "/root/key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=30")


class Servers(NetworkTestCase):
    archives = (peer_archive, servers_archive)

    @classmethod
    def setUpClass(cls):
        cls.clients = Clients()
        cls.addClassCleanup(cls.clients.close)
        super().setUpClass()
        cls.serve()

    @classmethod
    def serve(cls):
        for name, (command, _, port) in SERVERS.items():
            options = ("-p", "8080:80") if name == "web" else ()
            done = cls.run_cay("run", "-d", "--name", name, "-m", "256m", "-e", f"KEY={cls.clients.key}", *options,
                               "servers", "sh", "-c", command)
            assert done.returncode == 0, done.stderr
        networks = {}
        for name in SERVERS:
            networks[name] = json.loads(cls.run_cay("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]["bridge"]
        cls.address = {name: place["IPAddress"] for name, place in networks.items()}
        cls.address6 = {name: place["GlobalIPv6Address"] for name, place in networks.items()}
        cls.clients.resolve_by(networks["web"]["Gateway"])

    def client(self, *arguments, timeout=60, where=()):
        """What a client prints on the host; None when it fails."""
        done = subprocess.run(self.clients.command(*arguments, where=where), stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, check=False, timeout=timeout)
        self.trouble = done.stderr
        return done.stdout.strip() if done.returncode == 0 else None

    def once_ready(self, *arguments):
        """The same, as soon as the server answers."""
        self.trouble = ""
        try:
            return wait_until(lambda: self.client(*arguments), arguments, 60)
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {self.trouble}") from None

    def places(self, name):
        """How the host says where a server is."""
        return self.address[name], self.address6[name], f"{name}.cay"

    def test_nginx(self):
        for place in self.places("web"):
            host = f"[{place}]" if ":" in place else place
            self.assertEqual(self.once_ready("curl", "-sS", "-g", f"http://{host}/"), "served by nginx")

    def test_nginx_from_another_machine(self):
        self.once_ready("curl", "-sS", f"http://{self.address['web']}/")
        for host in (lab.HOST_ADDRESS, f"[{lab.HOST_ADDRESS6}]"):
            self.assertEqual(self.client("curl", "-sS", "-g", f"http://{host}:8080/", where=IN_OUTSIDE), "served by nginx")
        log = self.cay("exec", "web", "cat", "/var/log/nginx/access.log")
        self.assertIn(f"{lab.OUTSIDE_ADDRESS} - -", log, "nginx sees who asked")

    def test_postgresql(self):
        for place in self.places("sql"):
            self.assertEqual(self.once_ready(f"{POSTGRES}/psql", "-h", place, "-U", "postgres", "-tAc", "select 6*7"), "42")
        place = self.places("sql")[2]
        self.assertIsNotNone(self.client(f"{POSTGRES}/pgbench", "-i", "-q", "-h", place, "-U", "postgres", "postgres"))
        report = self.client(f"{POSTGRES}/pgbench", "-c", "2", "-t", "20", "-h", place, "-U", "postgres", "postgres")
        self.assertIn("number of transactions actually processed: 40/40", report)

    def test_redis(self):
        for number, place in enumerate(self.places("cache")):
            self.assertEqual(self.once_ready("redis-cli", "-h", place, "set", "key", f"value {number}"), "OK")
            self.assertEqual(self.client("redis-cli", "-h", place, "get", "key"), f"value {number}")

    def test_ssh(self):
        for place in self.places("shell"):
            self.assertEqual(self.once_ready(*SSH, f"root@{place}", "hostname"), self.inspect("shell")["Config"]["Hostname"])
        text = "x" * 100000
        self.assertEqual(len(self.client(*SSH, f"root@{place}", f"head -c {len(text)} /dev/zero | tr '\\0' x")), len(text))

    def test_from_another_container_by_name(self):
        """The clients in a container of their own."""
        for name, (_, _, port) in SERVERS.items():
            wait_until(lambda name=name, port=port: self.client(
                "python3", "-c", f"import socket; socket.create_connection(('{self.address[name]}', {port}), 5)") is not None,
                f"{name} to listen", 60)
        self.peer("user", image="servers", command=("sleep", "1000"), ready="")

        def inside(*arguments):
            return self.cay("exec", "user", *arguments)

        self.assertEqual(inside("curl", "-sS", "http://web/"), "served by nginx")
        self.assertEqual(inside(f"{POSTGRES}/psql", "-h", "sql", "-U", "postgres", "-tAc", "select 6*7"), "42")
        self.assertEqual(inside("redis-cli", "-h", "cache", "ping"), "PONG")
        self.cay("exec", "-i", "user", "sh", "-c", "umask 77; cat >/root/key", input=(self.clients.tree / "root" / "key").read_text())
        self.assertEqual(inside(*SSH, "root@shell", "hostname"), self.inspect("shell")["Config"]["Hostname"])
