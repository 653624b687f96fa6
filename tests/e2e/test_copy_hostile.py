# SPDX-License-Identifier: Apache-2.0
"""A guest that lies about a container's files. What it sends meets docker's clients, which unpack whatever comes
from their daemon, so the daemon must stop it."""

import base64
import contextlib
import http.client
import io
import os
import pathlib
import shutil
import stat
import tarfile

import grpc_judge
import harness
from harness import CayTestCase

FETCH = (harness.busybox_archive, grpc_judge.installed)
CLIENTS = [path for path in ("/usr/local/bin/docker", "/usr/bin/docker") if os.access(path, os.X_OK)]
REFUSED = "what the container's VM sent is refused"
DIRECTORY = ("dir", tarfile.DIRTYPE, "")


def archive(*members, format=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o777 if kind != tarfile.REGTYPE else 0o666
            data = b""
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = text
            elif kind == tarfile.REGTYPE:
                data = text.encode()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        end = tar.offset
    return out.getvalue()[:end] + bytes(1024)  # as vminitd ends them


def link(name, target):
    return (name, tarfile.SYMTYPE, target)


def hard(name, target):
    return (name, tarfile.LNKTYPE, target)


def file(name, text="bad"):
    return (name, tarfile.REGTYPE, text)


class HostileGuest(CayTestCase):
    def setUp(self):
        super().setUp()
        grpc_judge.installed()
        self.work = pathlib.Path(self.daemon.directory / f"work-{self._testMethodName}")
        self.work.mkdir()
        self.container = self.cay("run", "-d", "--network", "none", "busybox", "sleep", "1000")
        self.addCleanup(self.run_cay, "rm", "-f", self.container)
        self.socket = self.daemon.run / self.container / "shim.sock"

    @contextlib.contextmanager
    def guest(self, data, directory=True, method="CopyOut"):
        """The container's guest says that this is what is at any path."""
        pieces = [{"data": base64.b64encode(data[at:at + 65536]).decode()} for at in range(0, len(data), 65536)]
        mode = (stat.S_IFDIR if directory else stat.S_IFREG) | 0o755
        real = self.socket.with_name("real.sock")
        self.socket.rename(real)
        try:
            with grpc_judge.serve(self.socket, "vminitd.proto", "cay.vminitd.v1.Vminitd",
                                  {"StatPath": [{"name": "dir", "mode": mode, "size": "1"}], method: pieces}):
                yield
        finally:
            self.socket.unlink(missing_ok=True)
            real.rename(self.socket)

    def fetch(self, path):
        """(status, body); a body of None is one that was cut off."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.daemon.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        except http.client.IncompleteRead:
            return answer.status, None
        finally:
            connection.close()

    def test_nothing_gets_out(self):
        secret, outside, home = self.work / "secret", self.work / "outside", self.work / "home"
        outside.mkdir()
        cases = {
            "through a link": [DIRECTORY, link("dir/out", str(outside)), file("dir/out/new")],
            "through an old link": [DIRECTORY, file("dir/old/new")],
            "through an old link, with its directory behind": [DIRECTORY, file("dir/old/new"), ("dir/old", tarfile.DIRTYPE, "")],
            "through a link in place of a directory": [DIRECTORY, ("dir/a", tarfile.DIRTYPE, ""), link("dir/a", str(outside)),
                                                       file("dir/a/new")],
            "all of it is a link": [link("dir", str(outside)), file("dir/new")],
            "a hard link through a link": [DIRECTORY, link("dir/l", str(self.work)), hard("dir/mine", "dir/l/secret")],
            "a hard link through an old link": [DIRECTORY, hard("dir/mine", "dir/old/../secret")],
            "a hard link's mode": [DIRECTORY, link("dir/l", str(secret)), hard("dir/mine", "dir/l")],
            "beside": [file(".profile")],
            "a name with ..": [DIRECTORY, file("dir/../../outside/new")],
            "an absolute name": [DIRECTORY, file(str(outside / "new"))],
        }
        for name, members in cases.items():
            data = archive(*members)
            with self.guest(data):
                for client in CLIENTS:
                    with self.subTest(name, client=client):
                        shutil.rmtree(home, ignore_errors=True)
                        (home / "dir").mkdir(parents=True)
                        (home / "dir/old").symlink_to(outside)  # as an earlier copy may have made it
                        secret.unlink(missing_ok=True)
                        secret.write_text("kept")
                        secret.chmod(0o600)
                        done = self.run_program(client, "cp", f"{self.container}:/dir", home, cwd=home)
                        self.assertNotEqual(done.returncode, 0)
                        state = secret.stat()
                        self.assertEqual((secret.read_text(), state.st_nlink, stat.S_IMODE(state.st_mode)), ("kept", 1, 0o600))
                        self.assertEqual([*outside.iterdir()], [])
                        self.assertEqual({path.name for path in home.iterdir()}, {"dir"})

    def test_what_clients_hear(self):
        """What is wrong at once has a status, what is wrong later is cut off; an honest archive comes as it is."""
        honest = [DIRECTORY, file("dir/a", "x" * 200000), hard("dir/b", "dir/a"), link("dir/c", "/etc")]
        path = f"/containers/{self.container}/archive?path=/dir"
        with self.guest(archive(*honest)):
            status, body = self.fetch(path)
            with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                self.assertEqual([(member.name, member.type) for member in tar], [member[:2] for member in honest])
                self.assertEqual(tar.extractfile("dir/b").read(), b"x" * 200000)
        for name, data, cut in (("at once", archive(file("other")), False),
                                ("late", archive(*honest, file("dir/../e")), True),
                                ("cut short", archive(*honest)[:100000], False), ("cut short later", archive(*honest)[:-1024 - 700], True),
                                ("more behind it", archive(*honest) + b"more", True),
                                ("nothing", b"", False), ("rubbish", b"x" * 5000, False),
                                ("out of order", archive(*honest, file("dir/ba")), True)):
            with self.subTest(name), self.guest(data):
                status, body = self.fetch(path)
                if cut:
                    self.assertEqual(status, 200)
                    self.assertIsNone(body)
                else:
                    self.assertEqual(status, 500)
                    self.assertIn(REFUSED.encode(), body)
        self.assertIn(REFUSED, self.daemon.log.read_text())

    def test_long_names(self):
        """Names are bounded, whatever form of tar they come in."""
        path = f"/containers/{self.container}/archive?path=/dir"
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            for name in ("n" * 256, "n" * 200000, "/".join(["n" * 200] * 21)):
                with self.subTest(form=form, length=len(name)), \
                        self.guest(archive(DIRECTORY, file(f"dir/{name}"), format=form)):
                    self.assertEqual(self.fetch(path)[0], 500)
            name = "n" * 255
            with self.subTest(form=form), self.guest(archive(DIRECTORY, file(f"dir/{name}"), format=form)):
                status, body = self.fetch(path)
                with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                    self.assertEqual(tar.getnames(), ["dir", f"dir/{name}"])

    def test_export(self):
        path = f"/containers/{self.container}/export"
        with self.guest(archive(("bin", tarfile.DIRTYPE, ""), file("bin/sh")), method="ExportRoot"):
            status, body = self.fetch(path)
            with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                self.assertEqual(tar.getnames(), ["bin", "bin/sh"])
        for members in ([file("../sh")], [file("/sh")], [link("bin", "/etc"), file("bin/sh")], [hard("sh", "/etc/passwd")]):
            with self.subTest(members), self.guest(archive(*members), method="ExportRoot"):
                status, body = self.fetch(path)
                self.assertEqual(status, 500)
