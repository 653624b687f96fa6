# SPDX-License-Identifier: Apache-2.0
"""The writable layer's disk: its size, the space it gives back, and what becomes of it in faults."""

import os
import select
import signal
import subprocess
import time
import unittest

from harness import PATIENCE, CayTestCase, Daemon, alive, busybox_archive, processes, wait_until

MIB = 1024 * 1024


def blocks(path):
    """Bytes that a file takes on the host's disk."""
    return os.stat(path).st_blocks * 512


class DiskCase(CayTestCase):
    def scratch(self, container):
        return self.daemon.root / "containers" / self.inspect(container)["Id"] / "scratch.ext4"

    def kill_vm(self, container):
        """As a crash of QEMU, or the host's out-of-memory killer."""
        pid = self.inspect(container)["State"]["Pid"]
        os.kill(pid, signal.SIGKILL)
        self.wait_state(container, "exited")
        wait_until(lambda: not alive(pid), "the VM to be gone")

    def ended(self, container):
        """Waits until its VM is gone, which is a moment after its end is told; the disk is free then."""
        self.wait_state(container, "exited")
        wait_until(lambda: not processes("qemu", self.inspect(container)["Id"]), "the VM to be gone")
        return self.scratch(container)

    def create(self, name, size, *command):
        status, answer = self.api("POST", f"/containers/create?name={name}", {
            "Image": "busybox", "Cmd": command, "HostConfig": {"StorageOpt": {"size": size}}})
        self.assertEqual(status, 201, answer)

    def debugfs(self, disk, command):
        """Changes the file system behind the kernel's back, its journal replayed before."""
        subprocess.run(["e2fsck", "-fy", str(disk)], check=False, capture_output=True)
        subprocess.run(["debugfs", "-w", "-R", command, str(disk)], check=True, capture_output=True)

    def log(self):
        return self.daemon.log.read_text(errors="replace")


class Size(DiskCase):
    def test_the_limit_is_met(self):
        """A full file system is the program's ordinary error, and room comes back with what is removed."""
        script = ("dd if=/dev/zero of=/big bs=1M count=200 2>&1 | head -1; df -m / | tail -1 | awk '{print $2}';"
                  "rm /big; sync; dd if=/dev/zero of=/again bs=1M count=20 2>/dev/null && echo fits")
        self.create("limited", "64m", "sh", "-c", script)
        done = self.run_cay("start", "-a", "limited")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.split("\n")
        self.assertIn("No space left on device", done.stdout)
        self.assertIn("fits", lines)
        self.assertTrue(any(line.isdigit() and 30 <= int(line) <= 64 for line in lines), lines)

    def test_the_default(self):
        out = self.cay("run", "--rm", "busybox", "sh", "-c", "df -m / | tail -1 | awk '{print $2}'")
        self.assertGreater(int(out), 60000)

    def test_inspect_shows_what_was_asked_for(self):
        self.create("sized", "10g", "true")
        self.assertEqual(self.inspect("sized")["HostConfig"]["StorageOpt"], {"size": "10g"})
        self.assertLess(blocks(self.scratch("sized")), MIB)

    def test_errors(self):
        def create(options):
            return self.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"StorageOpt": options}})

        for options, words in (({"size": "x"}, "invalid size: 'x'"), ({"size": "1m"}, "between"),
                               ({"size": "2t"}, "between"), ({"size": "-5g"}, "invalid size"),
                               ({"dm.basesize": "10g"}, "Unknown option dm.basesize")):
            status, answer = create(options)
            self.assertEqual(status, 400, options)
            self.assertIn(words, answer["message"])
        self.assertEqual(create({"size": 5})[0], 400)
        self.assertEqual(create({"SIZE": "1.5g"})[0], 201)

    def test_sizes_are_told(self):
        self.cay("run", "--name", "told", "busybox", "dd", "if=/dev/urandom", "of=/x", "bs=1M", "count=8")
        self.ended("told")
        status, answer = self.api("GET", "/containers/told/json?size=1")
        self.assertEqual(status, 200)
        self.assertGreaterEqual(answer["SizeRw"], 8 * MIB)
        self.assertLess(answer["SizeRw"], 12 * MIB)
        self.assertGreater(answer["SizeRootFs"], answer["SizeRw"])
        self.cay("create", "--name", "untouched", "busybox", "true")
        self.assertLess(self.api("GET", "/containers/untouched/json?size=1")[1]["SizeRw"], MIB // 4)


class Space(DiskCase):
    def test_deleted_files_give_their_space_back(self):
        """While the container runs, and nothing of it comes again when it stops."""
        self.cay("run", "-d", "--name", "writer", "busybox", "sh", "-c",
                 "dd if=/dev/urandom of=/big bs=1M count=96 2>/dev/null; sync; echo written;"
                 "while [ ! -e /go ]; do sleep 0.1; done; rm /big; sync; echo removed; sleep 1000")
        disk = self.scratch("writer")
        wait_until(lambda: "written" in self.cay("logs", "writer"), "the file to be written")
        full = blocks(disk)
        self.assertGreaterEqual(full, 96 * MIB)
        self.cay("exec", "writer", "touch", "/go")
        wait_until(lambda: "removed" in self.cay("logs", "writer"), "the file to be removed")
        wait_until(lambda: blocks(disk) < full - 90 * MIB, "the space to be given back", 30)
        self.cay("stop", "-t", "0", "writer")
        self.assertLess(blocks(disk), full - 90 * MIB)

    def test_zeroes_take_no_space(self):
        self.cay("run", "--name", "zeroes", "busybox", "sh", "-c", "dd if=/dev/zero of=/zero bs=1M count=64; sync")
        self.assertLess(blocks(self.ended("zeroes")), 8 * MIB)


class Faults(DiskCase):
    def test_what_was_synced_survives_the_vm(self):
        """QEMU is killed in the middle of writing: the journal brings back all that was synced."""
        self.cay("run", "-d", "--name", "victim", "busybox", "sh", "-c",
                 "[ -e /begun ] && exec sleep 1000; touch /begun; i=0; while :; do i=$((i+1));"
                 " echo line $i >> /log; sync; echo $i; dd if=/dev/urandom of=/noise bs=64k count=4 2>/dev/null; done")
        wait_until(lambda: len(self.cay("logs", "victim").split()) > 20, "some lines to be written")
        checks = self.log().count("checking")
        self.kill_vm("victim")
        told = int(self.cay("logs", "victim").split()[-1])
        self.cay("start", "victim")
        lines = self.cay("exec", "victim", "cat", "/log").split("\n")
        self.assertEqual(lines[:told], [f"line {i}" for i in range(1, told + 1)])
        self.assertEqual(self.log().count("checking"), checks)  # a journal is nothing to check

    def test_a_marked_disk_is_checked(self):
        self.cay("run", "--name", "marked", "busybox", "sh", "-c", "[ -e /kept ] && exec cat /kept; echo yes >/kept")
        self.debugfs(self.ended("marked"), "set_super_value state 3")
        self.assertEqual(self.cay("start", "-a", "marked"), "yes")
        log = self.log()
        self.assertIn("checking the writable layer of container", log)
        self.assertIn("was checked", log)
        told = log.count("was checked")
        self.assertEqual(self.cay("start", "-a", "marked"), "yes")
        self.assertEqual(self.log().count("was checked"), told)  # once was enough

    def test_a_disk_that_cannot_be_mounted_is_repaired(self):
        """The guest refuses it, says so, and the next start checks it with e2fsck."""
        self.cay("run", "--name", "broken", "busybox", "sh", "-c", "[ -e /kept ] && exec cat /kept; echo yes >/kept")
        disk = self.ended("broken")
        self.debugfs(disk, "clri <8>")  # there is no journal any more
        first = self.run_cay("start", "-a", "broken")
        self.assertNotEqual(first.returncode, 0)
        self.assertIn("the next start will check it", first.stderr)
        self.assertEqual(self.cay("start", "-a", "broken"), "yes")
        self.assertFalse(disk.with_name(disk.name + ".check").exists())

    def test_what_cannot_be_repaired_is_kept(self):
        self.cay("run", "--name", "lost", "busybox", "sh", "-c", "echo precious >/kept; sync")
        disk = self.ended("lost")
        self.debugfs(disk, "set_super_value state 3")
        subprocess.run(["debugfs", "-w", "-R", "set_inode_field <2> mode 0100644", str(disk)], check=True,
                       capture_output=True)
        before = disk.stat()
        done = self.run_cay("start", "lost")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("could not be repaired", done.stderr)
        self.assertIn(str(disk), done.stderr)
        self.assertEqual(disk.stat().st_ino, before.st_ino)
        self.cay("rm", "lost")

    def test_a_disk_that_a_power_cut_took_begins_anew(self):
        """It was never synced when the container was made, which the database says it was."""
        self.create("cut", "1g", "sh", "-c", "df -m / | tail -1")
        disk = self.scratch("cut")
        os.truncate(disk, 0)
        self.assertRegex(self.cay("start", "-a", "cut"), r"overlay +9\d\d ")
        self.assertIn("begins anew", self.log())

    def test_a_disk_of_an_earlier_version_is_extended(self):
        self.create("old", "1g", "true")
        self.cay("start", "-a", "old")
        disk = self.ended("old")
        size = disk.stat().st_size
        os.truncate(disk, 64 << 30)
        self.cay("start", "-a", "old")
        self.assertEqual(disk.stat().st_size, size)


class Memory(DiskCase):
    """File systems in memory."""

    def mounts(self, *options, script="cat /proc/mounts"):
        out = self.cay("run", "--rm", *options, "busybox", "sh", "-c", script)
        return {line.split()[1]: line.split()[2:4] for line in out.split("\n") if len(line.split()) == 6}

    def test_tmpfs(self):
        mounts = self.mounts("--tmpfs", "/plain", "--tmpfs", "/own:exec,size=2m,mode=1770,uid=7",
                             "--mount", "type=tmpfs,target=/mount,tmpfs-size=1m,tmpfs-mode=700,readonly")
        for path, flags, missing in (("/plain", {"rw", "nosuid", "nodev", "noexec"}, {"exec"}),
                                     ("/own", {"nosuid", "nodev", "size=2048k", "mode=1770", "uid=7"}, {"noexec"}),
                                     ("/mount", {"ro", "size=1024k", "mode=700", "noexec"}, {"rw"})):
            kind, options = mounts[path]
            self.assertEqual(kind, "tmpfs")
            self.assertLessEqual(flags, set(options.split(",")))
            self.assertFalse(missing & set(options.split(",")))

    def test_shm(self):
        flags = set(self.mounts()["/dev/shm"][1].split(","))
        self.assertLessEqual({"nosuid", "nodev", "noexec", "size=65536k"}, flags)
        self.assertIn("size=1048576k", self.mounts("--shm-size", "1g")["/dev/shm"][1].split(","))
        status, answer = self.api("POST", "/containers/create?name=none", {
            "Image": "busybox", "Cmd": ["cat", "/proc/mounts"], "HostConfig": {"IpcMode": "none"}})
        self.assertEqual(status, 201, answer)
        self.assertNotIn("/dev/shm", self.cay("start", "-a", "none"))

    def test_a_read_only_root_beside_writable_mounts(self):
        self.cay("volume", "create", "writable")
        self.addCleanup(self.run_cay, "volume", "rm", "-f", "writable")
        script = ("for d in / /etc /tmp /own /vol /dev/shm; do (: >$d/x) 2>/dev/null && echo $d; done; true")
        self.assertEqual(self.cay("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/own", "-v", "writable:/vol",
                                  "busybox", "sh", "-c", script).split(), ["/tmp", "/own", "/vol", "/dev/shm"])


@unittest.skipUnless(os.geteuid() == 0, "a file system of its own takes root")
class FullHost(DiskCase):
    """The host's disk fills up in the middle of a container's write."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.daemon.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "cay-test", cls.daemon.root], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", cls.daemon.root], check=False, capture_output=True)
        cls.daemon.start()
        done = cls.run_cay("load", "-i", str(busybox_archive()))
        if done.returncode != 0:
            cls.daemon.stop()
            raise AssertionError(done.stderr)

    @classmethod
    def tearDownClass(cls):
        """The file system is the test's own, all else is the daemon's."""
        left = [line for line in cls.daemon.stop() if line != f"mount {cls.daemon.root}"]
        if left:
            raise AssertionError(f"left behind: {', '.join(left)}")

    def test_the_guest_gets_an_error_and_goes_on(self):
        """Not an endless wait: the program sees an error, the VM lives, and with room all is well again."""
        script = ("[ -e /kept ] || echo safe >/kept; sync; cat /kept;"
                  "dd if=/dev/urandom of=/big bs=1M count=200 conv=fsync 2>&1; echo ended $?; exec sleep 1000")
        # Its output is read from the container itself: the log's file system is as full as the disk's.
        first = self.start_cay("run", "--name", "eater", "busybox", "sh", "-c", script)
        lines = self.lines_until(first, "ended")
        self.assertEqual(lines[-1], "ended 1", lines)
        self.assertRegex(lines[-2], "Input/output error|No space left on device|Read-only file system")
        self.assertEqual(self.cay("inspect", "-f", "{{.State.Running}}", "eater"), "true")
        self.cay("kill", "eater")
        self.ended("eater")
        subprocess.run(["mount", "-o", "remount,size=1g", self.daemon.root], check=True)
        again = self.start_cay("start", "-a", "eater")
        lines = self.lines_until(again, "ended")
        self.assertEqual(lines[0], "safe", lines)
        self.assertEqual(lines[-1], "ended 0", lines)

    def lines_until(self, process, word):
        """The lines of a program's output up to the one that begins with the word."""
        lines, deadline = [], time.monotonic() + PATIENCE
        os.set_blocking(process.stdout.fileno(), False)
        text = b""
        while not any(line.startswith(word) for line in lines):
            self.assertLess(time.monotonic(), deadline, f"waiting for {word!r}: {text!r}")
            if select.select([process.stdout], [], [], 1)[0]:
                data = process.stdout.read()
                self.assertNotEqual(data, b"", f"it ended: {text!r}")
                text += data or b""
                lines = text.decode(errors="replace").split("\n")[:-1]
        return lines


if __name__ == "__main__":
    unittest.main()
