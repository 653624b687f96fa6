# SPDX-License-Identifier: Apache-2.0
"""cp, /archive, export and diff by docker's clients, against containers that run and that don't."""

import base64
import bz2
import contextlib
import gzip
import http.client
import io
import json
import lzma
import os
import pathlib
import signal
import tarfile
import threading
import time
import unittest
from urllib.parse import quote

from harness import CayTestCase, alive, processes, wait_until

CLIENTS = [path for path in ("/usr/local/bin/docker", "/usr/bin/docker") if os.access(path, os.X_OK)]


def tar_of(**files):
    """A tar of names and contents; a value that is a TarInfo stands for itself."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.mode = 0o640
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def files_in(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() if member.isfile() else None for member in tar}


class CopyCase(CayTestCase):
    """Containers of each kind, and what the tests say to them."""

    def setUp(self):
        super().setUp()
        self.work = pathlib.Path(self.daemon.directory / f"work-{self._testMethodName}")
        self.work.mkdir()

    def client(self, docker, *arguments, code=0, **options):
        done = self.run_program(docker, *arguments, **options)
        out = done.stdout if isinstance(done.stdout, str) else done.stdout[:300]
        self.assertEqual(done.returncode, code, f"{docker} {' '.join(map(str, arguments))}:\n{out}\n{done.stderr}")
        return done.stdout.strip() if isinstance(done.stdout, str) else done.stdout

    def docker(self, *arguments, **options):
        return self.client(CLIENTS[0], *arguments, **options)

    def now(self):
        return self.docker("system", "info", "--format", "{{.SystemTime}}")

    def events(self, began, only, form):
        """The lines of what has happened since, up to a whole second that is not over yet."""
        return self.docker("events", "--since", began, "--until", str(int(time.time()) + 2), "--filter", only,
                           "--format", form).splitlines()

    def container(self, name, *options, running=False, command=("sleep", "100000")):
        identity = self.cay("run", "-d", "--name", name, *options, "busybox", *command) if running else \
            self.cay("create", "--name", name, *options, "busybox", *command)
        self.addCleanup(self.run_cay, "rm", "-f", name)
        return identity

    def archive(self, method, container, path, body=None, **query):
        arguments = "".join(f"&{key}={value}" for key, value in query.items())
        return self.api(method, f"/containers/{container}/archive?path={quote(path)}{arguments}", body,
                        headers={"Content-Type": "application/x-tar"})

    def stat(self, container, path):
        """(status, the header's document)"""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.daemon.connect()
        connection.request("HEAD", f"/containers/{container}/archive?path={quote(path)}")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        header = answer.getheader("X-Docker-Container-Path-Stat")
        return answer.status, json.loads(base64.b64decode(header)) if header else None

    def shims(self, identity):
        return processes("cay-shim", identity)


@unittest.skipUnless(CLIENTS, "no docker client is installed")
class Copies(CopyCase):
    def each(self):
        """(client, container) for both clients, a container that runs and one that doesn't."""
        for running in (False, True):
            name = f"{'up' if running else 'down'}-{self._testMethodName.replace('_', '-')}"
            self.container(name, running=running)
            for docker in CLIENTS:
                with self.subTest(client=docker, running=running):
                    yield docker, name, self.work / f"{name}-{CLIENTS.index(docker)}"

    def test_in_and_out(self):
        """A file or a directory, to a destination that is there, that isn't, and with a slash."""
        source = self.work / "source"
        (source / "sub").mkdir(parents=True)
        (source / "a").write_text("one")
        (source / "sub/b").write_text("two")
        os.chmod(source / "a", 0o751)
        for docker, name, out in self.each():
            out.mkdir()
            top = f"/t{CLIENTS.index(docker)}"
            self.client(docker, "cp", source, f"{name}:{top}")  # it isn't there: becomes it
            self.client(docker, "cp", source, f"{name}:{top}")  # it is: goes into it
            self.client(docker, "cp", f"{source}/.", f"{name}:{top}/sub")  # its contents
            self.client(docker, "cp", source / "a", f"{name}:{top}/new")
            self.client(docker, "cp", source / "a", f"{name}:{top}/sub/")
            done = self.run_program(docker, "cp", source / "a", f"{name}:{top}/none/")
            self.assertNotEqual(done.returncode, 0)
            done = self.run_program(docker, "cp", source, f"{name}:{top}/a")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("cannot copy directory", done.stderr)
            # Out again, the same ways.
            self.client(docker, "cp", f"{name}:{top}", out / "whole")
            tree = {str(path.relative_to(out / "whole")) for path in (out / "whole").rglob("*")}
            self.assertEqual(tree, {"a", "new", "sub", "sub/a", "sub/b", "sub/sub", "sub/sub/b", "source", "source/a",
                                    "source/sub", "source/sub/b"})
            self.assertEqual((out / "whole/new").read_text(), "one")
            self.assertEqual((out / "whole/a").stat().st_mode & 0o777, 0o751)
            self.client(docker, "cp", f"{name}:{top}/sub/b", out)
            self.assertEqual((out / "b").read_text(), "two")
            self.client(docker, "cp", f"{name}:{top}/sub/b", out / "c")
            self.assertEqual((out / "c").read_text(), "two")
            (out / "there").mkdir()
            self.client(docker, "cp", f"{name}:{top}/sub/.", out / "there")
            self.assertEqual((out / "there/b").read_text(), "two")
            done = self.run_program(docker, "cp", f"{name}:{top}/absent", out)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, f"Could not find the file {top}/absent in container {name}|"
                                          f"No such container:path: {name}:{top}/absent")

    def test_tars_on_standard_streams(self):
        for docker, name, _ in self.each():
            data = tar_of(**{f"piped{CLIENTS.index(docker)}": b"by a pipe"})
            self.client(docker, "cp", "-", f"{name}:/tmp", input=data, binary=True)
            out = self.client(docker, "cp", f"{name}:/tmp/piped{CLIENTS.index(docker)}", "-", binary=True)
            self.assertEqual(files_in(out), {f"piped{CLIENTS.index(docker)}": b"by a pipe"})

    def test_owners(self):
        """-a keeps the owner, or takes the container's user where it has one."""
        (self.work / "mine").write_text("x")
        os.chown(self.work / "mine", 1234, 2345)
        for docker, name, _ in self.each():
            self.client(docker, "cp", "-a", self.work / "mine", f"{name}:/kept")
            status, data = self.archive("GET", name, "/kept")
            self.assertEqual(status, 200)
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                self.assertEqual([(member.uid, member.gid) for member in tar], [(1234, 2345)])
        self.container("somebody", "--user", "12:34")
        self.docker("cp", "-a", self.work / "mine", "somebody:/tmp/theirs")
        with tarfile.open(fileobj=io.BytesIO(self.archive("GET", "somebody", "/tmp/theirs")[1])) as tar:
            self.assertEqual([(member.uid, member.gid) for member in tar], [(12, 34)])

    def test_volumes_of_a_container_that_does_not_run(self):
        host = self.work / "host"
        host.mkdir()
        self.container("keeper", "-v", "kept:/data", "-v", f"{host}:/host", "-v", f"{host}:/sealed:ro")
        self.addCleanup(self.run_cay, "volume", "rm", "-f", "kept")
        self.assertEqual(self.archive("PUT", "keeper", "/data", tar_of(inside=b"volume"))[0], 200)
        self.assertEqual(self.archive("PUT", "keeper", "/host", tar_of(bound=b"host"))[0], 200)
        status, answer = self.archive("PUT", "keeper", "/sealed", tar_of(x=b"y"))
        self.assertEqual((status, answer["message"]), (400, "mounted volume is marked read-only"))
        for place in ("data", "host"):  # a file can't take a volume's place, nor what is in it
            status, answer = self.archive("PUT", "keeper", "/", tar_of(**{place: b"file"}))
            self.assertGreaterEqual(status, 400)
            self.assertIn(f"/{place}: removing what is mounted there", answer["message"])
        self.assertEqual((host / "bound").read_bytes(), b"host")
        self.assertEqual(self.docker("run", "--rm", "-v", "kept:/v", "busybox", "cat", "/v/inside"), "volume")
        self.assertEqual(files_in(self.archive("GET", "keeper", "/data/inside")[1]), {"inside": b"volume"})
        self.assertNotIn("data/inside", files_in(self.docker("export", "keeper", binary=True)))

    def test_links_are_resolved_inside(self):
        secret = self.work / "secret"
        secret.write_text("the host's")
        links = {
            "absolute": "/etc/passwd",
            "up": "../../../../../../../etc/passwd",
            "host": str(secret),
            "dir": "../../../../..//etc",
            "proc": "/proc/1/root/etc/passwd",
        }
        for docker, name, out in self.each():
            out.mkdir()
            members = {}
            for link, target in links.items():
                members[link] = tarfile.TarInfo(link)
                members[link].type = tarfile.SYMTYPE
                members[link].linkname = target
            self.assertEqual(self.archive("PUT", name, "/tmp", tar_of(**members))[0], 200)
            inside = files_in(self.archive("GET", name, "/etc/passwd")[1])["passwd"].decode()
            self.client(docker, "cp", "-L", f"{name}:/tmp/absolute", out / "absolute")
            self.client(docker, "cp", "-L", f"{name}:/tmp/up", out / "up")
            self.client(docker, "cp", f"{name}:/tmp/dir/passwd", out / "through")
            for path in ("absolute", "up", "through"):
                self.assertEqual((out / path).read_text(), inside)
            self.client(docker, "cp", f"{name}:/tmp/absolute", out / "link")
            self.assertEqual(os.readlink(out / "link"), "/etc/passwd")
            done = self.run_program(docker, "cp", "-L", f"{name}:/tmp/host", out / "stolen")
            self.assertNotEqual(done.returncode, 0)
            # A write through a link goes to the container's own file.
            (self.work / "new").write_text("written")
            self.client(docker, "cp", self.work / "new", f"{name}:/tmp/dir/written")
            self.assertEqual(files_in(self.archive("GET", name, "/etc/written")[1]), {"written": b"written"})
            self.assertEqual(secret.read_text(), "the host's")
            self.assertFalse(os.path.exists("/etc/written"))

    def test_special_files(self):
        for docker, name, out in self.each():
            out.mkdir()
            fifo = tarfile.TarInfo("special/fifo")
            fifo.type = tarfile.FIFOTYPE
            device = tarfile.TarInfo("special/null")
            device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
            hard = tarfile.TarInfo("special/hard")
            hard.type, hard.linkname = tarfile.LNKTYPE, "special/file"
            status, answer = self.archive("PUT", name, "/tmp", tar_of(**{
                "special/file": b"content", "special/hard": hard, "special/fifo": fifo, "special/null": device}))
            self.assertEqual(status, 200, answer)
            with tarfile.open(fileobj=io.BytesIO(self.archive("GET", name, "/tmp/special")[1])) as tar:
                kinds = {member.name: member.type for member in tar}
            self.assertEqual(kinds["special/fifo"], tarfile.FIFOTYPE)
            self.assertEqual(kinds["special/null"], tarfile.CHRTYPE)
            self.assertEqual(sorted([kinds["special/file"], kinds["special/hard"]]),
                             [tarfile.REGTYPE, tarfile.LNKTYPE])
            mode = self.stat(name, "/tmp/special/fifo")[1]["mode"]
            self.assertEqual(mode >> 25 & 1, 1, hex(mode))

    def test_stat(self):
        for _, name, _ in self.each():
            status, stat = self.stat(name, "/etc")
            self.assertEqual((status, stat["name"], stat["mode"] >> 31, stat["linkTarget"]), (200, "etc", 1, ""))
            status, stat = self.stat(name, "/etc/passwd")
            self.assertEqual((stat["name"], stat["mode"] & ~0o777), ("passwd", 0))
            self.assertGreater(stat["size"], 0)
            self.assertEqual(self.stat(name, "/none")[0], 404)
            status, answer = self.api("GET", f"/containers/{name}/archive")
            self.assertEqual((status, answer["message"]), (400, "bad parameter: path cannot be empty"))
            self.assertEqual(self.stat("ghost", "/etc")[0], 404)

    def test_what_is_refused(self):
        for _, name, _ in self.each():
            status, answer = self.archive("PUT", name, "/none", tar_of(x=b"y"))
            self.assertEqual((status, answer["message"]), (404, f"Could not find the file /none in container {name}"))
            status, answer = self.archive("PUT", name, "/etc/passwd", tar_of(x=b"y"))
            self.assertEqual((status, answer["message"]), (400, "extraction point is not a directory"))
            self.assertEqual(self.archive("PUT", name, "/tmp", b"no tar at all" * 100)[0], 400)
            for packed in (gzip.compress(tar_of(x=os.urandom(3000)))[:-1000], b"\x1f\x8b junk" * 9):
                self.assertEqual(self.archive("PUT", name, "/tmp", packed)[0], 400)
            status, answer = self.archive("PUT", name, "/tmp", tar_of(**{".": b"y"}))
            self.assertEqual((status, answer["message"]),
                             (400, "the archive has something else than a directory for /tmp"))
            owned = tarfile.TarInfo("owned")
            owned.uid = 2 ** 32 - 1
            status, answer = self.archive("PUT", name, "/tmp", tar_of(owned=owned))
            self.assertEqual(status, 400, answer)
            self.assertIn("an owner's number that no Linux has", answer["message"])
            status, answer = self.archive("PUT", name, "/", tar_of(etc=b"y"), noOverwriteDirNonDir="1")
            self.assertEqual(status, 400, answer)
            self.assertIn("cannot overwrite directory", answer["message"])
            self.assertEqual(self.stat(name, "/etc")[1]["mode"] >> 31, 1)

    def test_compressed(self):
        data = tar_of(packed=b"z" * 100000)
        for _, name, _ in self.each():
            for pack in (gzip.compress, bz2.compress, lzma.compress):
                status, answer = self.archive("PUT", name, "/tmp", pack(data))
                self.assertEqual(status, 200, (pack, answer))
                self.assertEqual(files_in(self.archive("GET", name, "/tmp/packed")[1]), {"packed": b"z" * 100000})

    def test_a_read_only_container(self):
        for running in (False, True):
            with self.subTest(running=running):
                self.container("sealed", "--read-only", running=running)
                status, answer = self.archive("PUT", "sealed", "/etc", tar_of(x=b"y"))
                self.assertEqual((status, answer["message"]), (400, "container rootfs is marked read-only"))
                self.assertEqual(self.archive("GET", "sealed", "/etc/passwd")[0], 200)
                self.cay("rm", "-f", "sealed")

    def test_big_files(self):
        """200 MB both ways; the daemon holds next to nothing of it."""
        size = 200 << 20
        big = self.work / "big"
        with open(big, "wb") as out:
            for _ in range(size >> 20):
                out.write(os.urandom(1 << 20))

        def resident():
            status = pathlib.Path(f"/proc/{self.daemon.process.pid}/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0])

        before = resident()
        for running in (False, True):
            with self.subTest(running=running):
                name = f"big-{running}".lower()
                self.container(name, running=running)
                self.docker("cp", big, f"{name}:/big", timeout=300)
                self.docker("cp", f"{name}:/big", self.work / "back", timeout=300)
                self.run_program("cmp", big, self.work / "back")
                self.assertEqual(self.run_program("cmp", big, self.work / "back").returncode, 0)
                self.cay("rm", "-f", name)
        self.assertLess(resident() - before, 32 << 10, "kB")

    def test_diff_and_export(self):
        for running in (False, True):
            with self.subTest(running=running):
                name = f"differs-{running}".lower()
                self.container(name, running=running)
                self.archive("PUT", name, "/", tar_of(**{"new/file": b"1", "etc/passwd": b"changed"}))
                self.assertEqual(set(self.docker("diff", name).splitlines()),
                                 {"A /new", "A /new/file", "C /etc", "C /etc/passwd"})
                whole = files_in(self.docker("export", name, binary=True))
                self.assertEqual(whole["new/file"], b"1")
                self.assertIn("bin/busybox", whole)
                if running:
                    self.cay("exec", name, "rm", "/etc/group")
                    self.assertIn("D /etc/group", self.docker("diff", name).splitlines())
                    self.assertNotIn("etc/group", files_in(self.docker("export", name, binary=True)))
                self.cay("rm", "-f", name)

    def test_a_guest_that_flips_links(self):
        """A path that is a directory one moment and a link out of the container the next."""
        target = self.work / "outside"
        target.mkdir()
        self.container("flips", running=True, command=(
            "sh", "-c", f"mkdir -p {target}; cd /; while :; do mkdir d; echo in > d/f; rm -r d; "
                        f"ln -s {target} d; rm d; ln -s ../../../../{target} d; rm d; done"))
        for i in range(30):
            status, answer = self.archive("PUT", "flips", "/d", tar_of(dropped=b"x"))
            self.assertIn(status, (200, 400, 404, 409, 500), answer)
            self.archive("GET", "flips", "/d")
        self.assertEqual(list(target.iterdir()), [])

    def test_a_client_that_vanishes(self):
        self.container("left", running=True)
        self.cay("exec", "left", "dd", "if=/dev/zero", "of=/zeros", "bs=1M", "count=64")
        for _ in range(5):
            connection = self.daemon.connect()
            connection.sendall(b"GET /containers/left/archive?path=/zeros HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(1000)
            connection.close()
            connection = self.daemon.connect()
            connection.sendall(b"PUT /containers/left/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n"
                               b"Content-Length: 1000000\r\n\r\n" + tar_of(part=b"x" * 9000)[:4000])
            connection.close()
        self.assertEqual(self.stat("left", "/etc")[0], 200)
        self.cay("stop", "-t", "0", "left")

    def test_events(self):
        began = self.now()
        self.container("told")
        self.archive("PUT", "told", "/tmp", tar_of(x=b"y"))
        self.archive("GET", "told", "/tmp/x")
        self.docker("export", "-o", self.work / "tar", "told")
        self.assertEqual(self.events(began, "container=told", "{{.Action}}"),
                         ["create", "extract-to-dir", "archive-path", "export"])


class FilesVm(CopyCase):
    """The VM in which a container's files are worked on while it does not run."""

    def test_it_does_not_show(self):
        identity = self.container("quiet", command=("sh", "-c", "echo ran; cat /tmp/x; exit 3"))
        before = self.inspect("quiet")
        self.assertEqual(self.archive("PUT", "quiet", "/tmp", tar_of(x=b"copied"))[0], 200)
        self.assertEqual(len(self.shims(identity)), 1)
        self.assertEqual(self.inspect("quiet"), before)
        self.assertNotIn("quiet", self.cay("ps", "--format", "{{.Names}}"))
        wait_until(lambda: not self.shims(identity), "the VM to end by itself")
        wait_until(lambda: not (self.daemon.run / identity).exists(), "its run directory to go")
        self.assertEqual(self.cay("start", "-a", "quiet", code=3), "ran\ncopied")
        ended = self.inspect("quiet")
        self.assertEqual(self.stat("quiet", "/tmp/x")[0], 200)
        self.assertEqual(self.inspect("quiet"), ended)
        self.assertEqual(self.cay("logs", "quiet"), "ran\ncopied")
        self.assertEqual(self.stat("quiet", "/tmp/x")[0], 200)

    def test_a_start_waits_for_it(self):
        for _ in range(3):
            self.container("busy", command=("cat", "/tmp/a", "/tmp/b"))
            self.assertEqual(self.archive("PUT", "busy", "/tmp", tar_of(a=b"1" * 100000))[0], 200)
            self.assertEqual(self.archive("PUT", "busy", "/tmp", tar_of(b=b"2"))[0], 200)
            self.assertEqual(self.cay("start", "-a", "busy"), "1" * 100000 + "2")
            self.cay("rm", "busy")

    def test_many_at_once(self):
        identity = self.container("crowd")
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(
            self.archive("PUT", "crowd", "/tmp", tar_of(**{f"f{i}": b"x" * 10000}))[0])) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [200] * 8)
        self.assertEqual(len(self.shims(identity)), 1)
        names = files_in(self.archive("GET", "crowd", "/tmp")[1])
        self.assertEqual({name for name in names if "/f" in name}, {f"tmp/f{i}" for i in range(8)})
        # Starts, stops and copies that cross each other.
        stop = threading.Event()

        def turn():
            while not stop.is_set():
                self.run_cay("start", "crowd")
                self.run_cay("stop", "-t", "0", "crowd")

        turner = threading.Thread(target=turn)
        turner.start()
        try:
            for _ in range(12):
                with contextlib.suppress(http.client.IncompleteRead):  # it may end in the middle
                    status, answer = self.archive("GET", "crowd", "/tmp/f0")
                    self.assertIn(status, (200, 409), answer)  # it may never stand still for long enough
        finally:
            stop.set()
            turner.join()
        self.assertEqual(self.stat("crowd", "/tmp/f7")[0], 200)

    def test_a_container_that_ends_meanwhile(self):
        """What was sent to it can't be had again, and the client is told."""
        identity = self.container("ending", running=True)
        data = tar_of(big=os.urandom(8 << 20))
        with self.daemon.connect() as connection:
            connection.sendall(f"PUT /containers/ending/archive?path=/tmp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}"
                               "\r\n\r\n".encode() + data[:4 << 20])
            self.cay("kill", "ending")
            wait_until(lambda: not self.shims(identity), "the shim to end")
            connection.sendall(data[4 << 20:])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            self.assertEqual(answer.status, 409)
            self.assertIn(b"has ended before all was copied", answer.read())

    def test_rename_and_removal(self):
        identity = self.container("old")
        self.assertEqual(self.stat("old", "/etc")[0], 200)
        self.cay("rename", "old", "young")
        self.assertEqual(self.stat("young", "/etc")[0], 200)
        self.assertEqual(len(self.shims(identity)), 1)
        self.cay("rm", "young")
        wait_until(lambda: not processes(identity), "its VM to be gone")
        self.assertFalse((self.daemon.run / identity).exists())

    def test_removal_while_a_client_reads(self):
        identity = self.container("read")
        data = tar_of(big=os.urandom(8 << 20))
        self.assertEqual(self.archive("PUT", "read", "/", data)[0], 200)
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        connection.sendall(b"GET /containers/read/archive?path=/big HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(connection.recv(100))
        self.cay("rm", "-f", "read")
        wait_until(lambda: not processes(identity), "its VM to be gone")

    def test_deaths(self):
        """Of the shim and of QEMU in the middle: what was answered is kept, the next call works."""
        identity = self.container("mortal")
        for who in ("cay-shim", "qemu-system"):
            with self.subTest(who=who):
                self.assertEqual(self.archive("PUT", "mortal", "/tmp", tar_of(**{who: b"kept"}))[0], 200)
                victims = processes(who, identity)
                self.assertTrue(victims)
                for victim in victims:
                    os.kill(victim, signal.SIGKILL)
                wait_until(lambda: not processes(identity), "all of it to end")
                self.assertEqual(files_in(self.archive("GET", "mortal", f"/tmp/{who}")[1]), {who: b"kept"})

    def test_a_daemon_killed(self):
        identity = self.container("orphan", command=("cat", "/tmp/x"))
        self.assertEqual(self.archive("PUT", "orphan", "/tmp", tar_of(x=b"kept"))[0], 200)
        shim = self.shims(identity)[0]
        self.daemon.restart()
        self.assertFalse(alive(shim))
        self.assertEqual(self.inspect("orphan")["State"]["Status"], "created")
        self.assertEqual(self.stat("orphan", "/tmp/x")[0], 200)
        self.daemon.restart(signal.SIGTERM)
        wait_until(lambda: not processes(identity), "nothing to be left of it")
        # A shim that does not answer any more.
        self.assertEqual(self.stat("orphan", "/tmp/x")[0], 200)
        shim = self.shims(identity)[0]
        self.daemon.kill()
        for pid in processes(identity):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.daemon.start()
        self.assertEqual(self.cay("start", "-a", "orphan"), "kept")
        self.assertFalse((self.daemon.root / "containers" / identity / "files-state.json").exists())


