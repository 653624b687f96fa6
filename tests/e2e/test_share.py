# SPDX-License-Identifier: Apache-2.0
"""Shared files: a directory or a file of the host's in a container, as a local file system would have it."""

import fcntl
import json
import os
import pathlib
import signal
import socket
import stat
import sqlite3
import subprocess
import tempfile
import threading
import time

from harness import PATIENCE, alive, processes, wait_until
from share_harness import Shell, ShareTestCase, parent, tree


class Tree(ShareTestCase):
    """One container for all of these: they leave each other alone."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.daemon.directory / "one").write_text("one\n")
        locked = cls.daemon.directory / "locked"
        locked.mkdir()
        (locked / "file").write_text("untouched\n")
        done = cls.run_cay("run", "-d", "--name", "tree", "--privileged", "-v", f"{cls.shared}:/shared",
                           "-v", f"{cls.tools}:/tools:ro", "-v", f"{cls.daemon.directory}/one:/one",
                           "-v", f"{locked}:/locked:ro", "-v", "/usr:/usr:ro",
                           "busybox", "sleep", "100000")
        if done.returncode != 0:
            log = cls.daemon.log.read_text(errors="replace")[-3000:]
            cls.daemon.stop()
            raise AssertionError(f"{done.stderr}\n{log}")

    def setUp(self):
        self.run_in = Shell(self, "tree")

    def test_a_change_shows_at_once_both_ways(self):
        for number in range(30):
            self.host("now").write_text(f"{number}\n" * (number + 1))
            self.assertEqual(self.run_in("cat /shared/now; wc -c < /shared/now"),
                             f"{number}\n" * (number + 1) + str(len(f"{number}\n") * (number + 1)))
            self.run_in(f"echo back {number} > /shared/then")
            self.assertEqual(self.host("then").read_text(), f"back {number}\n")
        # An editor's save: another file takes the name.
        self.host("new").write_text("saved\n")
        os.rename(self.host("new"), self.host("now"))
        self.assertEqual(self.run_in("cat /shared/now"), "saved")
        os.unlink(self.host("now"))
        self.assertEqual(self.run_in("cat /shared/now 2>&1", code=1), "cat: can't open '/shared/now': No such file or directory")

    def test_a_file_that_is_open_shows_what_the_host_appends(self):
        self.host("log").write_text("first\n")
        self.run_in("exec 5< /shared/log; cat <&5")
        with open(self.host("log"), "a") as log:
            log.write("second\n")
        time.sleep(0.2)  # what the guest knows of an open file may be two ticks of its clock old
        self.assertEqual(self.run_in("cat <&5; exec 5<&-"), "second")

    def test_a_single_file(self):
        self.assertEqual(self.run_in("cat /one"), "one")
        self.run_in("echo two >> /one")
        one = self.daemon.directory / "one"
        self.assertEqual(one.read_text(), "one\ntwo\n")
        one.write_text("three\n")
        self.assertEqual(self.run_in("cat /one; stat -c %F:%s /one"), "three\nregular file:6")

    def test_symbolic_links_are_the_container_s(self):
        self.host("target").write_text("inside\n")
        self.run_in("ln -sf target /shared/relative; ln -sf /shared/target /shared/absolute; ln -sf /etc/hostname /shared/out")
        self.assertEqual(os.readlink(self.host("absolute")), "/shared/target")
        self.assertEqual(self.run_in("cat /shared/relative /shared/absolute"), "inside\ninside")
        self.assertEqual(self.run_in("cat /shared/out"), self.run_in("hostname"))

    def test_owners_and_modes(self):
        self.run_in("cd /shared; touch owned; chown 12345:70000 owned; chmod 6751 owned; mkdir -m 1777 sticky")
        st = self.host("owned").stat()
        self.assertEqual((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), (12345, 70000, 0o6751))
        self.assertEqual(stat.S_IMODE(self.host("sticky").stat().st_mode), 0o1777)
        os.chown(self.host("owned"), 7, 8)
        self.assertEqual(self.run_in("stat -c %u:%g /shared/owned"), "7:8")
        # Another user: what it makes is its own, what is not its own it can't touch.
        self.run_in("mkdir -m 777 /shared/open; echo x > /shared/secret; chmod 600 /shared/secret")
        self.assertIn("Permission denied", self.cay("exec", "-u", "4321:4322", "tree", "sh", "-c",
                                                    "echo y > /shared/open/mine; cat /shared/secret 2>&1 || true"))
        st = self.host("open", "mine").stat()
        self.assertEqual((st.st_uid, st.st_gid), (4321, 4322))
        # A program for its owner runs with the owner's rights, as on any disk.
        self.run_in("cp /tools/share-tool /shared/who; chown 99:98 /shared/who; chmod 4755 /shared/who")
        self.assertEqual(self.cay("exec", "-u", "4321", "tree", "/shared/who", "who"), "4321 99")

    def test_times(self):
        self.run_in("touch -d '2001-02-03 04:05:06' /shared/old")
        self.assertEqual(self.run_in("stat -c %Y /shared/old"), str(int(self.host("old").stat().st_mtime)))
        self.assertEqual(self.host("old").stat().st_mtime, 981173106)

    def test_extended_attributes(self):
        self.run_in("touch /shared/marked; /tools/share-tool attribute set /shared/marked user.word value")
        self.assertEqual(os.getxattr(self.host("marked"), "user.word"), b"value")
        os.setxattr(self.host("marked"), "user.other", b"host")
        self.assertEqual(self.run_in("/tools/share-tool attribute get /shared/marked user.other"), "host")
        self.assertEqual(set(self.run_in("/tools/share-tool attribute list /shared/marked").split()),
                         {"user.word", "user.other"})
        self.run_in("/tools/share-tool attribute remove /shared/marked user.word")
        self.assertEqual(os.listxattr(self.host("marked")), ["user.other"])

    def test_hard_links(self):
        self.run_in("cd /shared; echo x > first; ln first second; echo y >> second")
        first, second = self.host("first").stat(), self.host("second").stat()
        self.assertEqual((first.st_ino, first.st_nlink), (second.st_ino, 2))
        self.assertEqual(self.run_in("cd /shared; [ first -ef second ] && stat -c %h first; rm first; stat -c %h second"), "2\n1")

    def test_special_files(self):
        self.assertEqual(self.run_in("mkfifo /shared/pipe && (echo through > /shared/pipe & cat /shared/pipe)"), "through")
        self.assertTrue(stat.S_ISFIFO(self.host("pipe").stat().st_mode))
        for kind in ("c", "b"):
            self.assertIn("Operation not permitted", self.run_in(f"mknod /shared/device {kind} 1 3 2>&1", code=1))
        self.assertFalse(self.host("device").exists())

    def test_rename_and_unlink_while_open(self):
        self.run_in("cd /shared; mkdir -p from to; echo a > from/file; echo b > to/file; mv from/file to/file")
        self.assertEqual(self.host("to", "file").read_text(), "a\n")
        self.run_in("cd /shared; mv to/file to/other; exec 6<> to/other; rm to/other; echo more >&6; rmdir to from")
        self.assertFalse(self.host("to").exists())
        self.assertEqual(self.run_in("/tools/share-tool unlinked /shared/short"), "0 gone")
        self.run_in("exec 6<&-")
        self.assertEqual([name for name in os.listdir(self.shared) if name.startswith(".")], [])

    def test_shared_mappings(self):
        self.host("mapped").write_text("before the change")
        self.run_in("/tools/share-tool map /shared/mapped 'from the guest'")
        self.assertEqual(self.host("mapped").read_text(), "from the guestnge")

    def test_sparse_and_large_files(self):
        self.run_in("cd /shared; truncate -s 5G large; printf end | dd of=large bs=1 seek=5368709117 conv=notrunc 2>/dev/null")
        st = self.host("large").stat()
        self.assertEqual(st.st_size, 5 << 30)
        self.assertLess(st.st_blocks, 1024)
        self.assertEqual(self.run_in("tail -c 3 /shared/large"), "end")

    def test_data_is_the_same_after_the_way_there_and_back(self):
        data = os.urandom(3 * 1024 * 1024 + 17)
        self.host("random").write_bytes(data)
        self.run_in("cp /shared/random /shared/copy; cp /shared/copy /tmp/copy; cp /tmp/copy /shared/again")
        self.assertEqual(self.host("copy").read_bytes(), data)
        self.assertEqual(self.host("again").read_bytes(), data)

    def test_many_entries_and_long_names(self):
        names = {f"{number:05}-" + "n" * (number % 200) for number in range(1000)}
        self.host("many").mkdir()
        for name in names:
            self.host("many", name).touch()
        self.assertEqual(set(self.run_in("ls -A /shared/many").split()), names)
        name = "ä" * 127
        self.run_in(f"touch /shared/many/{name}; rm -r /shared/many/000*")
        self.assertEqual({entry for entry in os.listdir(self.host("many"))},
                         {entry for entry in names if not entry.startswith("000")} | {name})

    def test_locks_hold_against_the_host(self):
        self.host("lock").touch()
        with open(self.host("lock"), "r+") as mine:
            for kind, take in (("flock", lambda how: fcntl.flock(mine, how)),
                               ("posix", lambda how: fcntl.lockf(mine, how))):
                take(fcntl.LOCK_EX)
                self.assertEqual(self.run_in(f"/tools/share-tool lock {kind} /shared/lock"), "busy")
                take(fcntl.LOCK_UN)
                theirs = self.start_tool("tree", "lock", kind, "/shared/lock")
                self.assertEqual(theirs.stdout.readline(), b"locked\n")
                with self.assertRaises(OSError, msg=kind):
                    take(fcntl.LOCK_EX | fcntl.LOCK_NB)
                theirs.communicate(timeout=PATIENCE)
                take(fcntl.LOCK_EX)  # soon: the guest's kernel tells of a close without waiting for an answer
                take(fcntl.LOCK_UN)

    def test_locks_of_open_files_go_with_them(self):
        self.assertEqual(self.run_in("/tools/share-tool close-locked /shared/ofd").split(), ["locked", "busy", "locked"])
        theirs = self.start_tool("tree", "lock", "ofd", "/shared/ofd")
        self.assertEqual(theirs.stdout.readline(), b"locked\n")
        with open(self.host("ofd"), "r+") as mine:
            with self.assertRaises(OSError):
                fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            theirs.communicate(timeout=PATIENCE)
            fcntl.lockf(mine, fcntl.LOCK_EX)

    def test_who_waits_for_a_lock_hears_signals(self):
        self.host("awaited").touch()
        with open(self.host("awaited"), "r+") as mine:
            for kind, take in (("flock", fcntl.flock), ("posix", fcntl.lockf)):
                take(mine, fcntl.LOCK_EX)
                self.assertEqual(self.run_in(f"/tools/share-tool await {kind} /shared/awaited 1"),
                                 "waiting\nInterrupted system call")
                self.assertEqual(self.run_in(f"mkfifo /tmp/{kind}; /tools/share-tool await {kind} /shared/awaited 1000 > "
                                             f"/tmp/{kind} & read line < /tmp/{kind}; kill -9 $!; wait $! 2>/dev/null; echo $line $?"),
                                 "waiting 137")
                # Who was interrupted does not get the lock either.
                patient = self.start_tool("tree", "await", kind, "/shared/awaited", "1000")
                self.assertEqual(patient.stdout.readline(), b"waiting\n")
                take(mine, fcntl.LOCK_UN)
                self.assertEqual(patient.stdout.readline(), b"locked\n")
                patient.communicate(timeout=PATIENCE)

    def test_inotify_tells_of_the_guest_s_own_changes(self):
        self.host("watched").mkdir()
        watch = self.start_tool("tree", "watch", "/shared/watched", "20")
        self.assertEqual(watch.stdout.readline(), b"watching\n")
        self.run_in("cd /shared/watched; echo x > file; mv file moved; rm moved")
        seen = [watch.stdout.readline().decode().strip() for _ in range(4)]
        self.assertEqual(seen, ["create file", "modify file", "moved-to moved", "delete moved"])

    def test_read_only(self):
        directory = self.daemon.directory / "locked"
        before = tree(directory)
        for command in ("echo x > /locked/file", "echo x > /locked/new", "rm /locked/file", "mkdir /locked/d",
                        "mv /locked/file /locked/g", "chmod 777 /locked/file", "chown 1 /locked/file",
                        "touch /locked/file", "ln -s x /locked/l", "ln /locked/file /locked/h",
                        "/tools/share-tool attribute set /locked/file user.x y"):
            self.assertIn("Read-only file system", self.run_in(f"({command}) 2>&1", code=None), command)
        # Root of the guest may lift the mark on its own side: the host still says no.
        self.run_in("mount -o remount,rw,bind /locked")
        for command in ("echo x > /locked/file", "echo x > /locked/new", "rm /locked/file", "mkdir /locked/d",
                        "mv /locked/file /locked/g", "chmod 777 /locked/file", "chown 1 /locked/file",
                        "touch /locked/file", "ln -s x /locked/l", "ln /locked/file /locked/h",
                        "/tools/share-tool attribute set /locked/file user.x y"):
            self.assertIn("Read-only file system", self.run_in(f"({command}) 2>&1", code=None), command)
        self.assertEqual(tree(directory), before)

    def test_sqlite_and_git(self):
        """Programs of the host's own, from its /usr, at work in a shared directory."""
        self.run_in("[ -e /lib64 ] || ln -s usr/lib64 /lib64; [ -e /lib ] || ln -s usr/lib /lib; "
                    "mkdir -p /lib64; [ -e /lib64/ld-linux-x86-64.so.2 ] || ln -s /usr/lib64/ld-linux-x86-64.so.2 /lib64/")
        script = ("import sqlite3\n"
                  "for mode in ('delete', 'wal'):\n"
                  "    base = sqlite3.connect('/shared/base-' + mode)\n"
                  "    base.execute('pragma journal_mode=' + mode)\n"
                  "    base.execute('create table t (n integer)')\n"
                  "    base.executemany('insert into t values (?)', [(n,) for n in range(1000)])\n"
                  "    base.commit()\n"
                  "    print(base.execute('pragma integrity_check').fetchone()[0])\n"
                  "    base.close()\n")
        self.host("script.py").write_text(script)
        libraries = "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu"
        self.assertEqual(self.run_in(f"{libraries} /usr/bin/python3 /shared/script.py"), "ok\nok")
        for mode in ("delete", "wal"):
            base = sqlite3.connect(self.host(f"base-{mode}"))
            self.assertEqual(base.execute("select count(*), sum(n) from t").fetchone(), (1000, 499500))
            base.close()
        self.run_in(f"export {libraries} HOME=/tmp; cd /shared; git() {{ /usr/bin/git -c safe.directory='*' -c user.name=a "
                    "-c user.email=a@b \"$@\"; }; mkdir repository; cd repository; git init -q .; "
                    "for n in 1 2 3; do echo $n > file$n; git add .; git commit -qm $n; done; git gc -q; git fsck --strict; "
                    "git checkout -q -b other HEAD~1; git status --porcelain; cd /")
        log = subprocess.run(["git", "-c", "safe.directory=*", "-C", self.host("repository"), "log", "--format=%s", "--all"],
                             capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(log, ["3", "2", "1"])


class Containers(ShareTestCase):
    def test_nothing_is_there_without_a_share(self):
        self.cay("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
        self.assertEqual([pid for pid in processes("cay-files", str(self.daemon.directory))], [])
        self.assertEqual(self.cay("exec", "plain", "sh", "-c", "cat /sys/class/virtio-ports/*/name; "
                                  "ls /sys/bus/virtio/drivers/virtiofs | grep -c virtio || true"), "cay.channel\n0")

    def test_two_containers_see_each_other(self):
        first, second = self.start("first"), self.start("second")
        for number in range(10):
            first(f"echo {number} > /shared/word")
            self.assertEqual(second("cat /shared/word"), str(number))
        for kind in ("flock", "posix"):
            holder = self.start_tool("first", "lock", kind, "/shared/lock")
            self.assertEqual(holder.stdout.readline(), b"locked\n")
            self.assertEqual(second(f"/tools/share-tool lock {kind} /shared/lock"), "busy")
            holder.kill()  # the tool's input ends with its client
            wait_until(lambda: second(f"/tools/share-tool lock {kind} /shared/lock < /dev/null") == "locked", "the lock")
        # A lock goes with the machine that holds it.
        holder = self.start_tool("first", "lock", "flock", "/shared/lock")
        self.assertEqual(holder.stdout.readline(), b"locked\n")
        self.cay("kill", "first")
        wait_until(lambda: second("/tools/share-tool lock flock /shared/lock < /dev/null") == "locked", "the lock")

    def test_nothing_written_is_lost_at_the_end(self):
        self.cay("run", "--rm", "-v", f"{self.shared}:/shared", "-v", f"{self.tools}:/tools:ro", "busybox", "sh", "-c",
                 "dd if=/dev/zero of=/shared/zeros bs=64k count=64 2>/dev/null; echo text > /shared/mapped; "
                 "/tools/share-tool map /shared/mapped TEXT; echo last > /shared/last; exit 7", code=7)
        self.assertEqual(self.host("zeros").stat().st_size, 64 * 65536)
        self.assertEqual(self.host("mapped").read_text(), "TEXT\n")
        self.assertEqual(self.host("last").read_text(), "last\n")

    def test_the_same_source_twice_and_inside_another(self):
        self.host("inner").mkdir()
        self.assertEqual(self.cay("run", "--rm", "-v", f"{self.shared}:/a", "-v", f"{self.shared}:/b:ro",
                                  "-v", f"{self.shared}/inner:/a/inner/deep", "busybox", "sh", "-c",
                                  "echo x > /a/twice; cat /b/twice; echo y > /a/inner/deep/z; cat /b/inner/z; "
                                  "echo n > /b/no 2>/dev/null || echo refused"), "x\ny\nrefused")

    def test_cay_files_killed(self):
        shell = self.start("orphan")
        shell("echo before > /shared/file; exec 5< /shared/file; cp /tools/share-tool /tmp/")
        self.host("held").touch()
        held = open(self.host("held"), "r+")
        self.addCleanup(held.close)
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = self.start_cay("exec", "-i", "orphan", "/tmp/share-tool", "await", "flock", "/shared/held", "1000")
        self.assertEqual(waiting.stdout.readline(), b"waiting\n")
        files = self.files_process("orphan")
        os.kill(files, signal.SIGKILL)
        message = "Transport endpoint is not connected"
        # Who waits for an answer is told, and everybody who comes later.
        self.assertIn(waiting.communicate(timeout=PATIENCE)[0].decode().strip(), ("Software caused connection abort", message))
        wait_until(lambda: message in shell("cat /shared/file 2>&1", code=None), "the share to be gone")
        for command in ("ls /shared", "cat <&5", "echo x > /shared/new", "ls /tools"):
            self.assertIn(message, shell(f"({command}) 2>&1", code=None))
        # All else goes on, and a new start has it back.
        self.assertEqual(shell("cat /etc/hostname; echo x > /tmp/x; cat /tmp/x"), shell("hostname") + "\nx")
        log = self.daemon.root / "containers" / self.inspect("orphan")["Id"] / "shim.log"
        wait_until(lambda: "ENOTCONN" in log.read_text(), "a line in the log")
        self.cay("restart", "-t", "0", "orphan")
        self.assertEqual(self.cay("exec", "orphan", "cat", "/shared/file"), "before")
        self.assertNotEqual(self.files_process("orphan"), files)

    def test_the_scheduler_takes_the_server_and_qemu_for_one(self):
        """One session, so that their turns are those of one; QEMU is a process group of its own in it."""
        self.start("session", shell=False)
        files = self.files_process("session")
        shim = parent(files)
        qemu = wait_until(lambda: [pid for pid in processes("qemu-system") if parent(pid) == shim], "QEMU")[0]
        self.assertEqual({os.getsid(pid) for pid in (files, qemu)}, {os.getsid(shim)})
        self.assertNotEqual(os.getpgid(qemu), os.getpgid(shim))

    def test_qemu_and_the_shim_killed(self):
        for victim in ("qemu", "shim"):
            self.start(f"dead-{victim}", shell=False)
            files = self.files_process(f"dead-{victim}")
            shim = processes("cay-shim", self.inspect(f"dead-{victim}")["Id"])[0]
            qemu = processes("qemu", self.inspect(f"dead-{victim}")["Id"])[0]
            os.kill(shim if victim == "shim" else qemu, signal.SIGKILL)
            self.wait_state(f"dead-{victim}", "exited")
            wait_until(lambda: not alive(files), "cay-files to end")

    def test_the_jail(self):
        self.start("jailed", shell=False)
        pid = self.files_process("jailed")
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                      if ":\t" in line)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID, SETFCAP and no more.
        allowed = sum(1 << bit for bit in (0, 1, 3, 4, 6, 7, 31))
        self.assertEqual(int(status["CapEff"], 16) & ~allowed, 0)
        for name in ("mnt", "net", "ipc", "uts", "cgroup"):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{name}"), os.readlink(f"/proc/self/ns/{name}"), name)
        mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
        for line in mounts.splitlines():
            self.assertTrue({"nosuid", "nodev"} <= set(line.split()[5].split(",")), line)

    def test_a_unix_socket_inside_does_not_connect(self):
        """Its name is there, its other end is on the host (docs/files.md); a socket itself can be bound."""
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.host("socket")))
        listener.listen()
        self.addCleanup(os.unlink, self.host("socket"))
        self.assertEqual(self.cay("run", "--rm", "-v", f"{self.shared}:/shared", "busybox", "stat", "-c", "%F",
                                  "/shared/socket"), "socket")


class Failures(ShareTestCase):
    """A file server that can't serve says why, and that is the start's error."""

    @classmethod
    def setUpClass(cls):
        descriptor, path = tempfile.mkstemp(prefix="cay-e2e-files-")
        os.close(descriptor)
        cls.program = pathlib.Path(path)
        cls.program.chmod(0o755)
        cls.daemon_options = ("--files", str(cls.program))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.program.unlink()

    def test_what_it_says(self):
        self.program.write_text("#!/bin/sh\necho \"sharing $3: it is broken\" >&4\nexit 1\n")
        done = self.run_cay("run", "--name", "broken", "-v", f"{self.shared}:/shared", "busybox", "true")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(f"sharing {self.shared}: it is broken", done.stderr)

    def test_its_silent_death(self):
        self.program.write_text("#!/bin/sh\nexit 3\n")
        done = self.run_cay("run", "--name", "silent", "-v", f"{self.shared}:/shared", "busybox", "true")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cay-files ended with status 3", done.stderr)


class Fills(ShareTestCase):
    def mountpoint(self, volume):
        return pathlib.Path(json.loads(self.cay("volume", "inspect", volume))[0]["Mountpoint"])

    def test_an_empty_volume_gets_what_the_image_has(self):
        inside = self.cay("run", "--rm", "-v", "filled:/etc", "busybox", "sh", "-c", "cd /etc; find . | sort; cat passwd")
        plain = self.cay("run", "--rm", "busybox", "sh", "-c", "cd /etc; find . | sort; cat passwd")
        self.assertEqual(inside, plain)
        self.assertTrue(self.mountpoint("filled").joinpath("passwd").exists())
        # Once: what is there stays, what was removed stays away.
        self.cay("run", "--rm", "-v", "filled:/etc", "busybox", "sh", "-c", "rm /etc/passwd; echo mine > /etc/group")
        self.assertEqual(self.cay("run", "--rm", "-v", "filled:/etc", "busybox", "sh", "-c",
                                  "ls /etc/passwd 2>/dev/null; cat /etc/group"), "mine")

    def test_the_directory_s_own_mode(self):
        self.cay("run", "--rm", "-v", "mode:/tmp", "busybox", "true")
        mode = self.cay("run", "--rm", "busybox", "stat", "-c", "%a", "/tmp")
        self.assertEqual(f"{stat.S_IMODE(self.mountpoint('mode').stat().st_mode):o}", mode)

    def test_two_containers_that_start_with_one_volume(self):
        plain = self.cay("run", "--rm", "busybox", "sh", "-c", "cd /bin; ls -A | sort | md5sum")
        outputs = []
        threads = [threading.Thread(target=lambda: outputs.append(self.cay(
            "run", "--rm", "-v", "both:/bin", "busybox", "sh", "-c", "cd /bin; ls -A | sort | md5sum"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(outputs, [plain, plain])

    def test_a_half_filled_volume_is_filled_anew(self):
        self.cay("volume", "create", "half")
        place = self.mountpoint("half")
        (place / ".cay-filling").mkdir()
        (place / ".cay-filling" / "passwd").write_text("half")
        (place / ".cay-fill.lock").touch()
        plain = self.cay("run", "--rm", "busybox", "sh", "-c", "cd /etc; find . | sort; cat passwd")
        self.assertEqual(self.cay("run", "--rm", "-v", "half:/etc", "busybox", "sh", "-c",
                                  "cd /etc; find . | sort; cat passwd"), plain)
