# SPDX-License-Identifier: Apache-2.0
"""--publish-socket: sockets of containers that programs of the host reach."""

import contextlib
import os
import socket
import stat
import subprocess
import unittest

from harness import CayTestCase, alive, processes, wait_until
from socket_images import SOCKET_TOOL, tool_archive

ECHO = ("socket-tool", "echo", "/srv/echo.sock")


class PublishedCase(CayTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_cay("load", "-i", str(tool_archive()))
        if done.returncode != 0:
            cls.daemon.stop()
            raise AssertionError(done.stderr)
        cls.sockets = cls.daemon.directory / "sockets"
        cls.sockets.mkdir(mode=0o755)

    def serve(self, name, *options, command=ECHO, at="/srv/echo.sock"):
        """A container with a server on a socket that is published; the host's path."""
        path = self.sockets / f"{name}.sock"
        self.cay("run", "-d", "--name", name, "--publish-socket", f"{path}:{at}", *options, "tool",
                 "sh", "-c", f"mkdir -p /srv; exec {' '.join(command)}")
        self.addCleanup(self.run_cay, "rm", "-f", name)
        wait_until(lambda: "listening" in self.cay("logs", name), "the server to listen")
        return path

    def connect(self, path, timeout=60):
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.settimeout(timeout)
        connection.connect(str(path))
        return connection

    def shim_of(self, name):
        pid, = processes("cay-shim", self.inspect(name)["Id"])
        return pid

    def exchange(self, connection, data=b"hello"):
        connection.sendall(data)
        received = b""
        while len(received) < len(data):
            part = connection.recv(65536)
            self.assertTrue(part, f"the end after {received!r}")
            received += part
        self.assertEqual(received, data)


class Published(PublishedCase):
    def test_server_in_container(self):
        path = self.serve("one")
        mode = path.lstat().st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        connection = self.connect(path)
        self.exchange(connection)
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(1), b"")
        tool = [SOCKET_TOOL, "verify", str(path), "50", "20000"]
        self.assertEqual(subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False).stdout,
                         "50 of 50\n")
        self.assertEqual(self.inspect("one")["HostConfig"]["PublishSockets"], [f"{path}:/srv/echo.sock"])
        self.cay("rm", "-f", "one")
        self.assertFalse(path.exists())

    def test_survives_daemon(self):
        path = self.serve("lasting")
        connection = self.connect(path)
        self.exchange(connection)
        self.daemon.kill()
        self.exchange(connection)  # the relay is the shim's
        self.exchange(self.connect(path))
        self.daemon.start()
        self.exchange(connection)
        self.exchange(self.connect(path))
        self.cay("stop", "-t", "0", "lasting")
        self.assertFalse(path.exists())
        self.cay("start", "lasting")
        wait_until(lambda: self.cay("logs", "lasting").count("listening") == 2, "the server to listen again")
        self.exchange(self.connect(path))

    def test_killed_shim(self):
        path = self.serve("killed")
        connection = self.connect(path)
        self.exchange(connection)
        os.kill(self.shim_of("killed"), 9)
        self.assertEqual(connection.recv(1), b"")
        self.wait_state("killed", "exited")
        wait_until(lambda: not path.exists(), "the socket to be removed")

    def test_killed_shim_while_daemon_is_away(self):
        path = self.serve("orphan")
        shim = self.shim_of("orphan")
        self.daemon.kill()
        os.kill(shim, 9)
        wait_until(lambda: not alive(shim), "the shim to end")
        self.assertTrue(path.exists())
        self.daemon.start()
        self.assertEqual(self.inspect("orphan")["State"]["Status"], "exited")
        self.assertFalse(path.exists())

    def test_in_use(self):
        path = self.serve("first")
        done = self.run_cay("run", "--name", "second", "--publish-socket", f"{path}:/x", "tool", "true")
        self.addCleanup(self.run_cay, "rm", "-f", "second")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(str(path), done.stderr)
        self.assertIn("another program listens on it", done.stderr)
        self.exchange(self.connect(path))  # the first one's is untouched

    def test_stale_and_foreign_files(self):
        path = self.sockets / "stale.sock"
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as old:
            old.bind(str(path))
        self.exchange(self.connect(self.serve("stale")))
        file = self.sockets / "file.sock"
        file.write_text("mine")
        done = self.run_cay("run", "--rm", "--publish-socket", f"{file}:/x", "tool", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("something else is there already", done.stderr)
        self.assertEqual(file.read_text(), "mine")
        done = self.run_cay("run", "--rm", "--publish-socket", "/nowhere/at/all.sock:/x", "tool", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("/nowhere/at/all.sock: its directory does not exist", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs another user's directory")
    def test_owner_of_the_directory(self):
        directory = self.sockets / "theirs"
        directory.mkdir()
        os.chown(directory, 1234, 2345)
        theirs = directory / "s.sock"
        self.cay("run", "-d", "--name", "owned", "--publish-socket", f"{theirs}:/srv/s", "tool", "sleep", "1000")
        self.addCleanup(self.run_cay, "rm", "-f", "owned")
        status = theirs.lstat()
        self.assertEqual((status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)), (1234, 2345, 0o600))
        self.cay("rm", "-f", "owned")
        self.assertFalse(theirs.exists())

    def test_no_server(self):
        path = self.sockets / "none.sock"
        self.cay("run", "-d", "--name", "none", "--publish-socket", f"{path}:/srv/s", "tool", "sleep", "1000")
        self.addCleanup(self.run_cay, "rm", "-f", "none")
        for _ in range(3):
            self.assertEqual(self.connect(path).recv(1), b"")
        # And once there is one, it is reached.
        self.cay("exec", "-d", "none", "sh", "-c", "mkdir -p /srv; exec socket-tool echo /srv/s")
        wait_until(lambda: self.run_cay("exec", "none", "test", "-S", "/srv/s").returncode == 0, "the server")
        self.exchange(self.connect(path))

    def test_mounts_of_the_container(self):
        """A tmpfs is a mount of the container's own name space."""
        path = self.serve("inner", "--tmpfs", "/srv")
        self.exchange(self.connect(path))

    def test_long_path(self):
        path = self.sockets / "long.sock"
        deep = "/" + "/".join(["d" * 100] * 3)
        self.cay("run", "-d", "--name", "long", "--publish-socket", f"{path}:{deep}/s", "tool",
                 "sh", "-c", f"mkdir -p {deep}; cd {deep}; exec socket-tool echo s")
        self.addCleanup(self.run_cay, "rm", "-f", "long")
        wait_until(lambda: "listening" in self.cay("logs", "long"), "the server to listen")
        self.exchange(self.connect(path))

    def test_links_stay_inside(self):
        """What the guest's own tree has by the same names is out of reach: a root's links begin there."""
        name = self.serve("links", command=("sh", "-c", "'ln -s /proc/1/root/run /srv/out;"
                                            " ln -s ../../../../run/cay /srv/up; mkdir -p /run/cay;"
                                            " ln -s /run/cay/real /srv/abs; socket-tool echo /run/cay/real'"),
                          at="/srv/abs")
        self.exchange(self.connect(name))
        for link in ("/srv/out/cay/real", "/srv/up/real"):
            self.cay("exec", "links", "test", "-S", link)
        outer = self.sockets / "outer.sock"
        self.cay("run", "-d", "--name", "outer", "--publish-socket", f"{outer}:/proc/self/root/run/cay/real",
                 "tool", "sh", "-c", "mkdir -p /run/cay; exec socket-tool echo /run/cay/real")
        self.addCleanup(self.run_cay, "rm", "-f", "outer")
        wait_until(lambda: "listening" in self.cay("logs", "outer"), "the server to listen")
        self.assertEqual(self.connect(outer).recv(1), b"")  # magic links are not followed at all

    def test_a_directory_that_a_container_leads_elsewhere(self):
        """A link in a tree that a container may write to makes no socket anywhere else."""
        shared, outside = self.sockets / "shared", self.sockets / "outside"
        for path in (shared / "sub", outside):
            path.mkdir(parents=True)
        self.cay("run", "-d", "--name", "linker", "-v", f"{shared}:/shared", "tool", "sh", "-c", "sleep 1000")
        self.addCleanup(self.run_cay, "rm", "-f", "linker")
        path = self.serve("led", "--publish-socket", f"{shared}/sub/led.sock:/srv/echo.sock")
        self.exchange(self.connect(shared / "sub" / "led.sock"))
        self.cay("stop", "-t", "0", "led")
        self.cay("exec", "linker", "sh", "-c", f"mv /shared/sub /shared/moved; ln -s {outside} /shared/sub")
        done = self.run_cay("start", "led")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("leads elsewhere than when the container was made", done.stderr)
        self.assertEqual([*outside.iterdir()], [])
        (shared / "sub").unlink()
        (shared / "moved").rename(shared / "sub")
        self.cay("start", "led")
        wait_until(lambda: self.cay("logs", "led").count("listening") == 2, "the server to listen again")
        self.exchange(self.connect(path))
        # An owner's own link is followed.
        (self.sockets / "current").symlink_to(outside)
        self.serve("owned", "--publish-socket", f"{self.sockets}/current/owned.sock:/srv/echo.sock")
        self.exchange(self.connect(outside / "owned.sock"))

    def test_churn(self):
        path = self.sockets / "churn.sock"
        status, made = self.api("POST", "/containers/create?name=churn", {
            "Image": "tool", "Cmd": ["sh", "-c", f"mkdir -p /srv; exec {' '.join(ECHO)}"],
            "HostConfig": {"PidMode": "host", "Privileged": True, "PublishSockets": [f"{path}:/srv/echo.sock"]}})
        self.assertEqual(status, 201, made)
        self.addCleanup(self.run_cay, "rm", "-f", "churn")
        self.cay("start", "churn")
        wait_until(lambda: "listening" in self.cay("logs", "churn"), "the server to listen")
        shim = self.shim_of("churn")

        def counts():
            with self.connect(path) as connection:  # each look must not leave one more behind
                self.exchange(connection)
            return (len(os.listdir(f"/proc/{shim}/fd")),
                    int(self.cay("exec", "churn", "sh", "-c", "ls /proc/1/fd | wc -l")))

        before = counts()
        done = subprocess.run([SOCKET_TOOL, "churn", str(path), "1000"], capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual(done.stdout, "1000\n", done.stderr)
        wait_until(lambda: all(now <= then + 2 for now, then in zip(counts(), before)),
                   f"descriptors to be as many as before, {before}")

    def test_end_of_the_container(self):
        """A client hears of it, and the socket goes."""
        path = self.serve("ending")
        connection = self.connect(path)
        self.exchange(connection)
        self.cay("kill", "ending")
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(connection.recv(65536), b"")
        wait_until(lambda: not path.exists(), "the socket to be removed")
