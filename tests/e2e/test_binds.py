# SPDX-License-Identifier: Apache-2.0
"""Binds and volumes in real VMs, by the clients of docker and by cay's own."""

import fcntl
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tarfile
import tempfile
import time
import unittest

from harness import BUILD, busybox_archive, cached, processes, wait_until
from net_images import archive, tar_entry
from test_volumes import CLIENTS, VolumeTestCase

ALL_CLIENTS = [str(BUILD / "cay"), *CLIENTS]


def filled_archive():
    """A docker archive of the image "filled": busybox with contents, owners and links in a declared volume."""
    config = {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sh"], "Volumes": {"/data": {}}}

    def make(path):
        with tempfile.TemporaryDirectory(prefix="cay-image-") as directory:
            base, own = pathlib.Path(directory, "base.tar"), pathlib.Path(directory, "own.tar")
            with tarfile.open(busybox_archive()) as tar:
                manifest, = json.load(tar.extractfile("manifest.json"))
                with open(base, "wb") as out:
                    shutil.copyfileobj(tar.extractfile(manifest["Layers"][0]), out)
            with tarfile.open(own, "w") as tar:
                for name, kind, mode, owner in (("data", tarfile.DIRTYPE, 0o2751, 70), ("data/sub", tarfile.DIRTYPE, 0o700, 71)):
                    entry = tarfile.TarInfo(name)
                    entry.type, entry.mode, entry.uid, entry.gid = kind, mode, owner, owner + 1
                    tar.addfile(entry)
                tar_entry(tar, "data/file", b"from the image\n", 0o640)
                link = tarfile.TarInfo("data/sub/link")
                link.type, link.linkname, link.uid = tarfile.SYMTYPE, "../file", 72
                tar.addfile(link)
            archive(path, "filled", (base, own), config)

    return cached("filled.tar", (str(busybox_archive()), config), make)


class BindTestCase(VolumeTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_cay("load", "-i", str(filled_archive()))
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def setUp(self):
        self.host = pathlib.Path(tempfile.mkdtemp(prefix="cay-binds-"))
        self.addCleanup(shutil.rmtree, self.host)

    def shell(self, script, *options, image="busybox", code=0):
        """What a script prints in a container of its own."""
        return self.cay("run", "--rm", *options, image, "sh", "-c", script, code=code)

    def start(self, name, *options, image="busybox", command=("sleep", "100000")):
        return self.cay("run", "-d", "--name", name, *options, image, *command)

    def inside(self, name, script, code=0):
        return self.cay("exec", name, "sh", "-c", script, code=code)


def serve_automount(path, ready):
    """Mounts a tmpfs on an autofs mount point when the kernel asks for it, in a process group of its own."""
    os.setpgrp()
    reader, writer = os.pipe()
    subprocess.run(["mount", "-i", "-t", "autofs", "-o", f"fd={writer},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct", "cay-test",
                    str(path)], check=True, pass_fds=[writer])
    os.close(writer)
    control = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    ready.set()
    while packet := os.read(reader, 4096):
        subprocess.run(["mount", "-t", "tmpfs", "cay-test", str(path)], check=True)
        (path / "file").write_text("mounted\n")
        fcntl.ioctl(control, 0x9360, struct.unpack_from("=I", packet, 8)[0])  # AUTOFS_IOC_READY


class Binds(BindTestCase):
    @unittest.skipUnless("autofs" in pathlib.Path("/proc/filesystems").read_text(), "this kernel has no autofs")
    def test_a_source_that_is_mounted_when_it_is_used(self):
        path = self.host / "auto"
        path.mkdir()
        context = multiprocessing.get_context("fork")
        ready = context.Event()
        server = context.Process(target=serve_automount, args=(path, ready), daemon=True)
        server.start()
        self.addCleanup(subprocess.run, ["umount", path], check=False, capture_output=True)
        self.addCleanup(subprocess.run, ["umount", path], check=False, capture_output=True)
        self.addCleanup(server.kill)
        self.assertTrue(ready.wait(10))
        self.assertEqual(self.shell("cat /auto/file", "-v", f"{path}:/auto"), "mounted")

    def test_a_directory_both_ways(self):
        (self.host / "file").write_text("host")
        self.start("user", "-v", f"{self.host}:/data")
        self.assertEqual(self.inside("user", "cat /data/file"), "host")
        self.inside("user", "echo guest >/data/new; mkdir -p /data/a/b; echo deep >/data/a/b/c; chown 12:34 /data/new; chmod 604 /data/new")
        status = (self.host / "new").stat()
        self.assertEqual((status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)), (12, 34, 0o604))
        self.assertEqual((self.host / "a" / "b" / "c").read_text(), "deep\n")
        for text in ("one", "another, longer", "x"):
            (self.host / "file").write_text(text)
            self.assertEqual(self.inside("user", "cat /data/file"), text, "a change on the host shows at once")
        (self.host / "later").write_text("made while it runs")
        self.assertEqual(self.inside("user", "cat /data/later"), "made while it runs")
        (self.host / "later").unlink()
        self.inside("user", "test -e /data/later", code=1)

    def test_read_only(self):
        (self.host / "file").write_text("host")
        for option in (("-v", f"{self.host}:/data:ro"), ("--mount", f"type=bind,src={self.host},dst=/data,readonly")):
            self.assertEqual(self.shell("cat /data/file; for c in 'echo x >/data/file' 'touch /data/new' 'rm -f /data/file' "
                                        "'mkdir /data/d' 'chmod 777 /data/file' 'mount -o remount,rw /data'; "
                                        "do sh -c \"$c\" 2>/dev/null && echo \"$c works\"; done; true", *option), "host")
        # Even a guest that may mount cannot write: the host says no.
        self.shell("mount -o remount,rw,bind /data && echo x >/data/file", "--privileged", "-v", f"{self.host}:/data:ro", code=1)
        self.assertEqual((self.host / "file").read_text(), "host")

    def test_a_file(self):
        source = self.host / "one.conf"
        source.write_text("setting\n")
        self.start("user", "-v", f"{source}:/etc/one.conf", "-v", f"{source}:/ro.conf:ro")
        self.assertEqual(self.inside("user", "cat /etc/one.conf /ro.conf"), "setting\nsetting")
        self.inside("user", "echo changed >/etc/one.conf")
        self.assertEqual(source.read_text(), "changed\n")
        self.assertEqual(self.inside("user", "cat /ro.conf"), "changed")
        self.inside("user", "echo x >/ro.conf", code=1)
        self.assertEqual(self.inside("user", "stat -c %F /etc/one.conf"), "regular file")

    def test_a_link_and_the_same_source_twice(self):
        (self.host / "real").mkdir()
        (self.host / "real" / "file").write_text("target")
        (self.host / "link").symlink_to("real")
        self.start("user", "-v", f"{self.host}/link:/link", "-v", f"{self.host}/real:/again", "-v", f"{self.host}/real:/ro:ro")
        self.inside("user", "echo via link >/link/new")
        self.assertEqual(self.inside("user", "cat /again/new /ro/new /ro/file"), "via link\nvia link\ntarget")
        self.inside("user", "echo x >/ro/new", code=1)
        self.assertTrue((self.host / "link").is_symlink())

    def test_the_host_s_proc_and_sys(self):
        """Files whose size says nothing, and whose contents change without a sign."""
        self.start("monitor", "-v", "/proc:/host/proc:ro", "-v", "/sys:/host/sys:ro")
        self.assertEqual(self.inside("monitor", "cat /host/proc/sys/kernel/random/boot_id"),
                         pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        self.assertEqual(self.inside("monitor", "cat /host/proc/1/status | grep ^Pid:"), "Pid:\t1")
        counter = pathlib.Path("/sys/class/net/lo/statistics/rx_packets")
        for _ in range(2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", 9))
            before = int(counter.read_text())
            self.assertGreaterEqual(int(self.inside("monitor", f"cat /host{counter}")), before)
            time.sleep(0.2)
        self.inside("monitor", "echo x >/host/proc/sys/kernel/hostname", code=1)

    def test_a_link_that_a_container_put_there(self):
        """What a container does to a tree that it may write can't lead a later start out of it."""
        shared, outside = self.host / "shared", self.host / "outside"
        for path in (shared / "sub", shared / "kept", outside):
            path.mkdir(parents=True)
        (shared / "link").symlink_to("kept")
        (shared / "own").symlink_to(outside)  # by whoever made the container
        self.start("user", "-v", f"{shared}:/shared", "-v", f"{shared}/sub:/sub", "-v", f"{shared}/link:/link",
                   "-v", f"{shared}/own:/own")
        self.cay("restart", "-t", "0", "user")
        self.inside("user", "touch /own/kept; mv /shared/sub /shared/moved; ln -s ../outside /shared/sub")
        done = self.run_cay("restart", "-t", "0", "user")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("leads elsewhere than when the container was made", done.stderr)
        (shared / "sub").unlink()
        (shared / "moved").rename(shared / "sub")
        self.cay("start", "user")
        self.inside("user", "echo fits >/link/file")
        self.assertEqual((shared / "kept" / "file").read_text(), "fits\n")

    def test_a_link_that_a_container_put_into_a_volume(self):
        """The same for a source below a volume, and for a directory that a volume binds."""
        self.cay("volume", "create", "data")
        directory, outside = pathlib.Path(self.directory("data")), self.host / "outside"
        outside.mkdir()
        for name in ("sub", "device"):
            (directory / name).mkdir()
        self.cay("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", f"device={directory}/device", "bound")
        self.start("writer", "-v", "data:/data")
        self.start("user", "-v", f"{directory}/sub:/sub")
        self.start("other", "-v", "bound:/bound")
        self.inside("other", "touch /bound/here")
        self.cay("stop", "-t", "0", "user", "other")
        for name in ("sub", "device"):
            self.inside("writer", f"mv /data/{name} /data/moved; ln -s {outside} /data/{name}")
            user = "user" if name == "sub" else "other"
            # It was one of its containers, whether that is still there or not.
            if name == "device":
                self.cay("rm", "-f", "writer")
            done = self.run_cay("start", user)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("leads elsewhere than when the", done.stderr)
            (directory / name).unlink()
            (directory / "moved").rename(directory / name)
            self.cay("start", user)
        self.assertEqual(self.inside("other", "ls /bound"), "here")
        # What its owner makes of a link elsewhere is the owner's affair.
        (self.host / "release").symlink_to(outside)
        self.start("current", "-v", f"{self.host}/release:/current")
        self.cay("stop", "-t", "0", "current")
        (self.host / "next").mkdir()
        (self.host / "release").unlink()
        (self.host / "release").symlink_to("next")
        self.cay("start", "current")
        self.inside("current", "touch /current/there")
        self.assertTrue((self.host / "next" / "there").exists())

    def test_a_path_that_led_nowhere(self):
        """What is only there since a container has put it there is not taken for what somebody named."""
        shared, outside = self.host / "shared", self.host / "outside"
        for path in (shared, outside):
            path.mkdir()
        self.cay("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", f"device={shared}/device", "later")
        self.cay("create", "--name", "served", "--publish-socket", f"{shared}/run/app.sock:/run/app.sock", "busybox", "true")
        self.start("writer", "-v", f"{shared}:/shared")
        self.inside("writer", f"ln -s {outside} /shared/device; ln -s {outside} /shared/run")
        self.cay("create", "--name", "bound", "-v", "later:/bound", "busybox", "touch", "/bound/file")
        for name in ("served", "bound"):
            done = self.run_cay("start", "-a", name)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("in a directory that a container can write to", done.stderr)
        self.assertEqual(list(outside.iterdir()), [])
        # Not once nobody can write there any more: then it is its owner's.
        self.cay("rm", "-f", "writer")
        self.cay("start", "-a", "bound")
        self.assertTrue((outside / "file").exists())

    def test_a_missing_source(self):
        missing = self.host / "a" / "b"
        self.assertEqual(self.shell("echo made >/data/file; cat /data/file", "-v", f"{missing}:/data"), "made")
        self.assertEqual((missing / "file").read_text(), "made\n")
        self.assertEqual(stat.S_IMODE(missing.stat().st_mode), 0o755)
        done = self.run_cay("run", "--rm", "--mount", f"type=bind,src={self.host}/no,dst=/data", "busybox", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn(f'invalid mount config for type "bind": bind source path does not exist: {self.host}/no', done.stderr)
        # One that goes between create and start.
        gone = self.host / "gone"
        gone.mkdir()
        self.cay("create", "--name", "later", "--mount", f"type=bind,src={gone},dst=/data", "busybox", "true")
        gone.rmdir()
        done = self.run_cay("start", "later")
        self.assertIn(f"bind source path does not exist: {gone}", done.stderr)
        self.assertEqual(self.inspect("later")["State"]["Status"], "created")
        gone.mkdir()
        self.cay("start", "-a", "later")

    def test_what_is_no_file(self):
        os.mkfifo(self.host / "pipe")
        for path in (self.host / "pipe", "/dev/null"):
            done = self.run_cay("run", "--rm", "-v", f"{path}:/x", "busybox", "true")
            self.assertIn("is no directory, file or socket", done.stderr)

    def test_order_and_cover(self):
        """Mounts below others, over the container's own, and over tmpfs."""
        for name in ("outer", "inner", "etc"):
            (self.host / name).mkdir()
            (self.host / name / name).write_text(name)
        (self.host / "hosts").write_text("1.2.3.4 mine\n")
        printed = self.shell("cat /a/outer /a/b/inner /t/inner/inner /etc/etc; ls /t; cat /etc/hosts; test -s /etc/resolv.conf || echo none",
                             "-v", f"{self.host}/inner:/a/b", "-v", f"{self.host}/outer:/a", "--tmpfs", "/t",
                             "-v", f"{self.host}/inner:/t/inner", "-v", f"{self.host}/etc:/etc", "-v", f"{self.host}/hosts:/etc/hosts")
        self.assertEqual(printed.replace("\nnone", ""), "outerinnerinneretcinner\n1.2.3.4 mine")

    def test_of_a_stopped_container(self):
        (self.host / "file").write_text("first")
        self.cay("run", "--name", "again", "-v", f"{self.host}:/data", "busybox", "cat", "/data/file")
        (self.host / "file").write_text("second")
        self.assertEqual(self.cay("start", "-a", "again"), "second")

    def test_other_mounts_of_the_host(self):
        (self.host / "plain").mkdir()
        for recursive, seen in (("enabled", "below"), ("disabled", "")):
            with self.subTest(recursive):
                self.mount_tmpfs(self.host / "plain")
                (self.host / "plain" / "below").write_text("")
                done = self.shell("ls /data/plain", "--mount", f"type=bind,src={self.host},dst=/data,bind-recursive={recursive}")
                self.assertEqual(done, seen)
                self.unmount(self.host / "plain")

    def mount_tmpfs(self, path):
        self.assertEqual(self.run_program("mount", "-t", "tmpfs", "tmpfs", path).returncode, 0)

    def unmount(self, path):
        self.assertEqual(self.run_program("umount", path).returncode, 0)

    def test_by_every_client(self):
        for client in ALL_CLIENTS:
            with self.subTest(client):
                source = self.host / pathlib.Path(client).name / str(len(client))
                printed = self.docker(client, "run", "--rm", "-v", f"{source}:/bind", "-v", "data:/volume", "-v", "/nameless",
                                      "--mount", "type=volume,src=other,dst=/other", "busybox", "sh", "-c",
                                      "echo b >/bind/f; echo v >>/volume/f; echo o >/other/f; touch /nameless/f; cat /bind/f /volume/f /other/f")
                self.assertEqual(printed.split()[0], "b")
                self.assertEqual((source / "f").read_text(), "b\n")
        self.assertEqual(self.volumes(), ["data", "other"], "--rm takes the nameless ones")
        self.assertEqual((self.directory("data") / "f").read_text(), "v\n" * len(ALL_CLIENTS))


class Filled(BindTestCase):
    LISTING = "cd /data && stat -c '%n %F %a %u:%g' . file sub sub/link && cat sub/link"
    EXPECTED = (". directory 2751 70:71\nfile regular file 640 0:0\nsub directory 700 71:72\nsub/link symbolic link 777 72:0\nfrom the image")

    def test_from_the_image(self):
        self.assertEqual(self.shell(self.LISTING, "-v", "data:/data", image="filled"), self.EXPECTED)
        status = self.directory("data").stat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid), (0o2751, 70, 71), "owner and mode of the root too")
        self.assertEqual((self.directory("data") / "file").read_text(), "from the image\n")
        # What is there stays as it is.
        (self.directory("data") / "file").write_text("mine\n")
        self.assertEqual(self.shell("cat /data/file", "-v", "data:/data", image="filled"), "mine")

    def test_nameless_and_rm(self):
        self.assertEqual(self.shell(self.LISTING, image="filled"), self.EXPECTED)
        self.assertEqual(self.volumes(), [], "--rm takes it")
        self.cay("run", "--name", "keeper", "filled", "true")
        self.assertEqual(len(self.volumes()), 1)
        self.cay("rm", "keeper")
        self.assertEqual(len(self.volumes()), 1)

    def test_nocopy_and_other_places(self):
        self.assertEqual(self.shell("ls -A /data", "-v", "data:/data:nocopy", image="filled"), "")
        self.assertEqual(self.shell("ls -A /data", "--mount", "type=volume,src=more,dst=/data,volume-nocopy", image="filled"), "")
        self.assertEqual(self.shell("ls -A /elsewhere", "-v", "data:/elsewhere", image="filled"), "")
        self.assertEqual(self.shell("ls -A /data", "-v", f"{self.host}:/data", image="filled"), "", "a bind is never filled")

    def test_read_only(self):
        self.assertEqual(self.shell("cat /data/file; touch /data/new 2>/dev/null || echo refused", "-v", "data:/data:ro", image="filled"),
                         "from the image\nrefused")

    def test_read_only_from_the_second_start_on(self):
        """What a guest leaves in a volume while that is filled does not get it another start to write."""
        self.start("reader", "-v", "once:/data:ro", image="filled")
        data = self.daemon.root / "volumes" / "once" / "_data"
        (data / ".cay-fill.lock").touch()
        self.cay("restart", "-t", "0", "reader")
        pid, = processes("cay-files", str(data))
        self.assertIn(b"\0ro,", pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())

    def test_only_at_first(self):
        """What a container has emptied itself stays empty when it starts again."""
        self.cay("run", "--name", "cleaner", "-v", "data:/data", "filled", "sh", "-c", "ls -A /data; rm -rf /data/file /data/sub")
        self.assertEqual(self.cay("start", "-a", "cleaner"), "")

    def test_subpath(self):
        self.shell("mkdir -p /v/in/deep; echo found >/v/in/deep/file; ln -s deep /v/in/link; ln -s /etc /v/out; ln -s ../.. /v/up", "-v", "data:/v")
        for path, works in (("in/deep", True), ("in/link", True), ("out", False), ("up", False), ("none", False)):
            with self.subTest(path):
                body = {"Mounts": [{"Type": "volume", "Source": "data", "Target": "/s", "VolumeOptions": {"Subpath": path}}]}
                name = self.create(f"sub-{path.replace('/', '-')}", body, {"Cmd": ["cat", "/s/file"]})
                done = self.run_cay("start", "-a", name)
                self.assertEqual(done.stdout.strip(), "found" if works else "", done.stderr)
                if not works:
                    self.assertIn("cannot access path", done.stderr)


class Shared(BindTestCase):
    def test_two_at_once(self):
        """Each sees the other's writes at once."""
        for name in ("one", "two"):
            self.start(name, "-v", "data:/data")
        for number in range(5):
            self.inside("one", f"echo {number} from one >/data/one; mkdir /data/d{number}")
            self.assertEqual(self.inside("two", f"cat /data/one; test -d /data/d{number} && mv /data/d{number} /data/e{number}"), f"{number} from one")
            self.inside("two", f"echo {number} from two >/data/two")
            self.assertEqual(self.inside("one", f"cat /data/two; ls -d /data/e{number}"), f"{number} from two\n/data/e{number}")
        self.assertIn("volume is in use", self.run_cay("volume", "rm", "data").stderr)

    def test_volumes_from(self):
        self.start("lender", "-v", "data:/data", "-v", "/own", "-v", f"{self.host}:/bind:ro")
        self.inside("lender", "echo own >/own/file; echo data >/data/file")
        (self.host / "file").write_text("bind\n")
        self.assertEqual(self.shell("cat /own/file /data/file /bind/file; echo x >/bind/new 2>/dev/null || echo no", "--volumes-from", "lender"),
                         "own\ndata\nbind\nno")
        self.assertEqual(self.shell("echo x >/own/new 2>/dev/null || echo no", "--volumes-from", "lender:ro"), "no")
        self.assertEqual(self.inside("lender", "cat /own/file"), "own", "--rm of a borrower takes nothing")

    def test_survives(self):
        """The daemon's death leaves a container its files."""
        self.start("user", "-v", "data:/data", "-v", f"{self.host}:/bind")
        self.inside("user", "echo before >/data/file")
        self.daemon.restart()
        self.inside("user", "echo after >>/data/file; cp /data/file /bind/file")
        self.assertEqual((self.host / "file").read_text(), "before\nafter\n")
        self.assertEqual(self.api("DELETE", "/volumes/data")[0], 409)
        self.cay("kill", "user")
        self.cay("start", "user")
        self.assertEqual(self.inside("user", "cat /data/file"), "before\nafter")

    def test_events(self):
        identity = self.start("user", "-v", "data:/data:ro")
        self.cay("rm", "-f", "user")
        events = self.past_events()
        self.assertEqual([event["Action"] for event in events if event["Actor"]["ID"] == "data"][-3:], ["create", "mount", "unmount"])
        mount = [event for event in events if event["Action"] == "mount"][-1]
        self.assertEqual(mount["Actor"]["Attributes"], {"container": identity, "destination": "/data", "driver": "local",
                                                        "propagation": "", "read/write": "false"})

    def past_events(self):
        until = int(time.time()) + 1
        text = self.api("GET", f"/events?since={until - 100}&until={until}&filters=%7B%22type%22%3A%5B%22volume%22%5D%7D")[1]
        text = text if isinstance(text, (bytes, str)) else json.dumps(text)
        return [json.loads(line) for line in (text.decode() if isinstance(text, bytes) else text).splitlines() if line]


class Mounted(BindTestCase):
    """Volumes that the host mounts something on while they are in use."""

    def mounts(self):
        return [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(self.daemon.root) in line]

    def make(self, name, **options):
        status, body = self.api("POST", "/volumes/create", {"Name": name, "DriverOpts": options})
        self.assertEqual(status, 201, body)

    def daemon_mounts(self):
        text = pathlib.Path(f"/proc/{self.daemon.process.pid}/mountinfo").read_text()
        return [line.split()[4] for line in text.splitlines() if str(self.daemon.root) in line]

    def test_bind(self):
        (self.host / "file").write_text("host")
        self.make("data", type="none", o="bind", device=str(self.host))
        self.start("user", "-v", "data:/data")
        self.assertEqual(self.inside("user", "cat /data/file; echo guest >/data/new"), "host")
        self.assertEqual((self.host / "new").read_text(), "guest\n")
        self.assertEqual(self.daemon_mounts(), [str(self.directory("data"))])
        self.cay("rm", "-f", "user")
        wait_until(lambda: not self.daemon_mounts(), "the mount to go")
        self.assertEqual(self.api("DELETE", "/volumes/data")[0], 204)
        self.assertEqual((self.host / "file").read_text(), "host", "the volume's removal leaves what it showed")

    def test_read_only_bind(self):
        (self.host / "file").write_text("host")
        self.make("data", type="none", o="bind,ro", device=str(self.host))
        self.assertEqual(self.shell("cat /data/file; echo x >/data/file 2>/dev/null || echo no", "-v", "data:/data"), "hostno")

    def test_tmpfs(self):
        """Shared while somebody has it, gone after, as docker's."""
        self.make("data", type="tmpfs", device="tmpfs", o="size=1m,mode=700,uid=5")
        self.start("one", "-v", "data:/data")
        self.start("two", "-v", "data:/data")
        self.inside("one", "echo here >/data/file")
        self.assertEqual(self.inside("two", "cat /data/file; stat -c '%a %u' /data"), "here\n700 5")
        self.inside("two", "dd if=/dev/zero of=/data/big bs=1024 count=2000 2>/dev/null", code=1)
        self.daemon.restart()
        self.assertEqual(self.inside("one", "cat /data/file"), "here")
        self.cay("rm", "-f", "one")
        self.assertEqual(self.inside("two", "cat /data/file"), "here")
        self.cay("rm", "-f", "two")
        wait_until(lambda: not self.daemon_mounts(), "the mount to go")
        self.assertEqual(self.shell("ls /data", "-v", "data:/data"), "")

    def test_killed_daemon(self):
        """What a daemon that died had mounted goes when nobody uses it any more."""
        self.make("data", type="tmpfs", device="tmpfs")
        self.start("user", "-v", "data:/data")
        self.daemon.kill()
        self.end_containers()
        self.assertNotEqual(self.mounts(), [])
        self.daemon.start()
        self.assertEqual(self.daemon_mounts(), [])

    def end_containers(self):
        for pid in processes("cay-shim", str(self.daemon.directory)):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not processes("qemu", str(self.daemon.directory)), "the VM to end")

    def test_failures(self):
        self.make("data", type="none", o="bind", device="/no/such/place")
        done = self.run_cay("run", "--rm", "-v", "data:/data", "busybox", "true")
        self.assertIn(f"error while mounting volume '{self.directory('data')}': failed to mount local volume: mount "
                      f"/no/such/place:{self.directory('data')}, flags: 0x1000: No such file or directory".lower(), done.stderr.lower())
        self.make("far", type="nfs", o="addr=no-such-host.invalid", device=":/export")
        done = self.run_cay("run", "--rm", "-v", "far:/data", "busybox", "true")
        self.assertIn("error resolving passed in network volume address", done.stderr)
        self.assertEqual(self.daemon_mounts(), [])
