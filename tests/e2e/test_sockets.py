# SPDX-License-Identifier: Apache-2.0
"""Unix sockets of the host in containers: bytes, ends, many at once, and what becomes of them when
either side goes away."""

import contextlib
import hashlib
import os
import pathlib
import re
import socket
import threading
import time

from harness import CayTestCase, processes, wait_until
from socket_images import tool_archive


class HostServer:
    """A server on a unix socket; handle(connection) runs in a thread for each client."""

    def __init__(self, path, handle=None, backlog=64):
        self.path = pathlib.Path(path)
        self.handle = handle or self.echo
        self.backlog = backlog
        self.connections = []
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.path.unlink(missing_ok=True)
        self.listener.bind(str(self.path))
        self.listener.listen(self.backlog)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def serve(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        with contextlib.suppress(OSError):
            self.handle(connection)
        connection.close()

    @staticmethod
    def echo(connection):
        while data := connection.recv(65536):
            connection.sendall(data)

    def close(self):
        """As if its program had died: the listening socket and the connections, not the file."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class BoundCase(CayTestCase):
    archives = (tool_archive,)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for archive in cls.archives:
            done = cls.run_cay("load", "-i", str(archive()), timeout=300)
            if done.returncode != 0:
                cls.daemon.stop()
                raise AssertionError(done.stderr)
        cls.sockets = cls.daemon.directory / "sockets"
        cls.sockets.mkdir(mode=0o755)

    def server(self, name, **options):
        server = HostServer(self.sockets / f"{name}.sock", **options)
        self.addCleanup(server.close)
        return server

    def keep(self, name, server, *options, image="tool", at="/s"):
        """A container that stays, with the server's socket in it."""
        self.cay("run", "-d", "--name", name, "-v", f"{server.path}:{at}", *options, image, "sleep", "10000")
        self.addCleanup(self.run_cay, "rm", "-f", name)
        return name

    def shim_of(self, name):
        pid, = processes("cay-shim", self.inspect(name)["Id"])
        return pid

    def resident(self, pid):
        """KiB that the process has in memory."""
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status).group(1))

    def shim_log(self):
        return self.daemon.log.read_text(errors="replace") + "".join(
            path.read_text(errors="replace") for path in (self.daemon.root / "containers").glob("*/*.log"))


class Bound(BoundCase):
    def test_both_ways(self):
        """The answer comes after the end of the question, so both half-closes crossed."""
        def answer(connection):
            data = b""
            while part := connection.recv(65536):
                data += part
            connection.sendall(b"got " + data)

        server = self.server("both", handle=answer)
        done = self.run_cay("run", "--rm", "-i", "-v", f"{server.path}:/run/there/s.sock", "tool", "socket-tool", "cat",
                            "/run/there/s.sock", input="question")
        self.assertEqual((done.stdout, done.returncode), ("got question", 0), done.stderr)

    def test_mount_forms(self):
        server = self.server("forms")
        os.chmod(server.path, 0o640)
        if os.geteuid() == 0:
            os.chown(server.path, 1234, 2345)
        status = server.path.stat()
        look = "stat -c '%a %u %g %F' /s; echo -n x | socket-tool cat /s"
        wanted = f"640 {status.st_uid} {status.st_gid} socket\nx"
        for options in (("-v", f"{server.path}:/s:ro"), ("--mount", f"type=bind,src={server.path},dst=/s"),
                        ("--mount", f"type=bind,src={server.path},dst=/s,readonly"), ("--read-only", "-v", f"{server.path}:/s")):
            with self.subTest(options):
                self.assertEqual(self.cay("run", "--rm", *options, "tool", "sh", "-c", look), wanted)
        link = self.sockets / "link.sock"
        link.symlink_to(server.path)
        self.assertEqual(self.cay("run", "--rm", "-v", f"{link}:/s", "tool", "sh", "-c", look), wanted)
        # The socket's mode counts inside as outside.
        done = self.run_cay("run", "--rm", "-u", "999:999", "-v", f"{server.path}:/s", "tool", "sh", "-c", look)
        self.assertIn("Permission denied", done.stderr)
        self.assertEqual(self.cay("run", "--rm", "-u", "1234:7" if os.geteuid() == 0 else "0", "-v",
                                  f"{server.path}:/s", "tool", "sh", "-c", look), wanted)

    def test_a_link_in_the_socket_s_place(self):
        """Who may write to the socket's directory can't lead the shim to another server."""
        shared = self.sockets / "shared"
        shared.mkdir()
        secret = HostServer(self.sockets / "secret.sock", handle=lambda connection: connection.sendall(b"secret"))
        self.addCleanup(secret.close)
        server = HostServer(shared / "app.sock")
        self.addCleanup(server.close)
        name = self.keep("linker", server, "-v", f"{shared}:/shared")
        ask = ("exec", name, "sh", "-c", "echo -n x | socket-tool cat /s")
        self.assertEqual(self.cay(*ask), "x")
        self.cay("exec", name, "sh", "-c", "rm /shared/app.sock; ln -s ../secret.sock /shared/app.sock")
        self.assertNotIn("secret", self.run_cay(*ask).stdout)
        self.assertFalse(secret.connections)
        server.close()
        server.open()
        self.assertEqual(self.cay(*ask), "x")

    def test_inspect(self):
        server = self.server("shown")
        self.keep("shown", server, at="/srv/s.sock")
        mount, = self.inspect("shown")["Mounts"]
        self.assertEqual((mount["Type"], mount["Source"], mount["Destination"], mount["RW"]),
                         ("bind", str(server.path), "/srv/s.sock", True))

    def test_many_at_once(self):
        server = self.server("many", backlog=5)  # a short queue is waited for
        self.keep("many", server)
        self.assertEqual(self.cay("exec", "many", "socket-tool", "verify", "/s", "50", "50000"), "50 of 50")

    def test_large(self):
        """100 MB each way through one connection, at the same time."""
        server = self.server("large")
        self.keep("large", server)
        began = time.monotonic()
        self.assertEqual(self.cay("exec", "large", "socket-tool", "verify", "/s", "1", str(100 * 1000 * 1000),
                                  timeout=600), "1 of 1")
        print(f"200 MB in {time.monotonic() - began:.1f} s")

    def test_slow_reader(self):
        """A server that doesn't read holds the writer back, and nothing in between grows."""
        go = threading.Event()
        sums = []

        def slow(connection):
            connection.sendall(b"ready")
            go.wait(120)
            digest = hashlib.sha256()
            while part := connection.recv(65536):
                digest.update(part)
            sums.append(digest.hexdigest())

        server = self.server("slow", handle=slow)
        self.addCleanup(go.set)
        self.keep("slow", server)
        shim = self.shim_of("slow")
        before = self.resident(shim)
        size = 20 * 1000 * 1000
        writer = self.start_cay("exec", "slow", "sh", "-c",
                                f"head -c {size} /dev/zero | socket-tool cat /s >/out; echo done")
        wait_until(lambda: self.run_cay("exec", "slow", "cat", "/out").stdout == "ready", "the connection")
        last = []

        def settled():
            """The writer's process has been asleep in a write for a second."""
            position = self.cay("exec", "slow", "sh", "-c", "cat /proc/$(pidof head)/io 2>/dev/null | grep wchar")
            last.append(position)
            return len(last) > 5 and len(set(last[-5:])) == 1 and position

        wait_until(settled, "the writer to be held back")
        self.assertLess(self.resident(shim) - before, 4096)
        go.set()
        out, _ = writer.communicate(timeout=60)
        self.assertEqual(out.decode().strip(), "done")
        wait_until(lambda: sums, "the server to have everything")
        self.assertEqual(sums[0], hashlib.sha256(bytes(size)).hexdigest())

    def test_server_away_and_back(self):
        server = self.server("away")
        self.keep("away", server)
        ask = ("exec", "-i", "away", "socket-tool", "cat", "/s")
        self.assertEqual(self.cay(*ask, input="one"), "one")
        server.close()
        for _ in range(3):  # closed at once, and no hang
            self.assertEqual(self.run_cay(*ask, input="two").stdout, "")
        said = f"socket {server.path}: connecting to {server.path}"
        self.assertEqual(self.shim_log().count(said), 1, self.shim_log())
        server.open()  # a new file at the same path
        self.assertEqual(self.cay(*ask, input="three"), "three")
        server.close()
        server.path.unlink()
        self.assertEqual(self.run_cay(*ask, input="four").stdout, "")
        server.open()
        self.assertEqual(self.cay(*ask, input="five"), "five")

    def test_vanished_peers(self):
        seen = []

        def wait_for_end(connection):
            connection.sendall(b"hello")
            seen.append("begun")
            while connection.recv(65536):
                pass
            seen.append("end")
            try:
                while True:
                    connection.sendall(b"x")
            except OSError:
                seen.append("broken")

        server = self.server("vanish", handle=wait_for_end)
        self.keep("vanish", server)
        self.cay("exec", "-d", "vanish", "sh", "-c", "sleep 1000 | socket-tool cat /s")
        wait_until(lambda: "begun" in seen, "the connection")
        self.cay("exec", "vanish", "killall", "-9", "socket-tool")
        wait_until(lambda: seen == ["begun", "end", "broken"], f"the server to notice: {seen}", 20)
        # And the other way: the server's program dies.
        client = self.start_cay("exec", "vanish", "sh", "-c", "sleep 1000 | socket-tool cat /s; echo over")
        wait_until(lambda: seen.count("begun") == 2, "the connection")
        for connection in server.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: self.run_cay("exec", "vanish", "pidof", "socket-tool").returncode != 0,
                   "the client to notice", 20)
        self.assertIsNotNone(client)

    def test_last_words(self):
        """What a container says and at once ends reaches the server."""
        received = []

        def collect(connection):
            data = b""
            while part := connection.recv(65536):
                data += part
            received.append(len(data))

        server = self.server("last", handle=collect)
        for _ in range(3):
            received.clear()
            self.cay("run", "--rm", "-v", f"{server.path}:/s", "tool", "sh", "-c",
                     "head -c 150000 /dev/zero | socket-tool cat /s >/dev/null")
            wait_until(lambda: received, "the server to be told")
            self.assertEqual(received, [150000])

    def test_survives_daemon(self):
        server = self.server("lasting")
        self.keep("lasting", server)
        self.cay("exec", "-d", "lasting", "sh", "-c",
                 "mkfifo /in; socket-tool cat /s </in >/out & exec 3>/in; while ! [ -e /stop ]; do echo tick >&3; sleep 0.2; done")
        wait_until(lambda: server.connections, "the connection")

        def ticks():
            return int(self.cay("exec", "lasting", "sh", "-c", "wc -l </out"))

        wait_until(lambda: ticks() > 0, "the first line")
        before = ticks()
        self.daemon.restart()
        wait_until(lambda: ticks() > before + 2, "the connection to go on")
        self.assertEqual(len(server.connections), 1)
        self.assertEqual(self.cay("exec", "-i", "lasting", "socket-tool", "cat", "/s", input="new"), "new")

    def test_churn(self):
        server = self.server("churn")
        status, made = self.api("POST", "/containers/create?name=churn", {
            "Image": "tool", "Cmd": ["sleep", "10000"],
            "HostConfig": {"PidMode": "host", "Privileged": True, "Binds": [f"{server.path}:/s"]}})
        self.assertEqual(status, 201, made)
        self.addCleanup(self.run_cay, "rm", "-f", "churn")
        self.cay("start", "churn")
        shim = self.shim_of("churn")

        def counts():
            self.assertEqual(self.cay("exec", "-i", "churn", "socket-tool", "cat", "/s", input="x"), "x")
            return (len(os.listdir(f"/proc/{shim}/fd")),
                    int(self.cay("exec", "churn", "sh", "-c", "ls /proc/1/fd | wc -l")))

        before = counts()
        self.assertEqual(self.cay("exec", "churn", "socket-tool", "churn", "/s", "1000"), "1000")
        wait_until(lambda: all(now <= then + 2 for now, then in zip(counts(), before)),
                   f"descriptors to be as many as before, {before}")

    def test_no_socket_no_trace(self):
        """A container without sockets has none of it."""
        self.cay("run", "-d", "--name", "plain", "tool", "sleep", "1000")
        self.addCleanup(self.run_cay, "rm", "-f", "plain")
        self.assertEqual(self.cay("exec", "plain", "sh", "-c", "grep -c socket /proc/mounts || true"), "0")

    def test_flood(self):
        """A guest that opens all it can and reads nothing: its own sandbox waits, and no more."""
        def blast(connection):
            while True:
                connection.sendall(bytes(65536))

        server = self.server("flood", handle=blast, backlog=4096)
        self.keep("flood", server, "--ulimit", "nofile=4096:4096")
        shim = self.shim_of("flood")
        before = self.resident(shim)
        flood = self.start_cay("exec", "flood", "socket-tool", "flood", "/s", "3000")
        line = flood.stdout.readline().decode()
        print(f"flood: {line.strip()}; the shim: {before} KiB, then {self.resident(shim)} KiB")
        self.assertIn("connections", line)
        self.assertLess(self.resident(shim) - before, 128 * 1024)
        self.assertLessEqual(len(os.listdir(f"/proc/{shim}/fd")), 200)
        # The sandbox still answers, and another one is not held up.
        self.assertEqual(self.cay("exec", "flood", "echo", "still"), "still")
        other = self.server("other")
        done = self.run_cay("run", "--rm", "-i", "-v", f"{other.path}:/s", "tool", "socket-tool", "cat", "/s", input="x")
        self.assertEqual(done.stdout, "x")
        flood.kill()
        self.cay("exec", "flood", "killall", "-9", "socket-tool")
        wait_until(lambda: self.run_cay("exec", "-i", "flood", "sh", "-c", "echo x | socket-tool cat /s | head -c 1 | wc -c",
                                        timeout=60).stdout.strip() == "1", "room for a connection again")
