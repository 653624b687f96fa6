# SPDX-License-Identifier: Apache-2.0
"""Guests that attack the host's file server: the tree that was named is all they ever reach, and only
the sandbox that attacks suffers."""

import os
import pathlib
import struct
import subprocess
import threading

import share_harness as fuse
from harness import alive, wait_until
from share_harness import Ring, ShareTestCase, root_of, tree

PRIVILEGED = ("--privileged", "--pid", "host")
BAD_NAMES = (b"..", b".", b"", b"/", b"/etc/passwd", b"../secret", b"sub/../../secret", b"sub/deep", b"a/b", b"x" * 300)


class Hostile(ShareTestCase):
    def setUp(self):
        """The share inside a directory with neighbours that nothing may reach."""
        self.outside = self.daemon.directory / f"outside-{self._testMethodName}"
        self.source = self.outside / "share"
        self.source.mkdir(parents=True)
        (self.outside / "secret").write_text("secret\n")
        (self.outside / "victim").mkdir()
        (self.source / "file").write_text("mine\n")
        (self.source / "sub").mkdir()
        (self.source / "sub" / "deep").write_text("deep\n")
        self.container = f"hostile-{self._testMethodName.replace('_', '-')}"[:60]
        self.before = {path: tree(self.outside / path) for path in ("victim",)}

    def tearDown(self):
        self.assertEqual((self.outside / "secret").read_text(), "secret\n")
        self.assertEqual(sorted(os.listdir(self.outside)), self.neighbours)
        self.assertEqual(tree(self.outside / "victim"), self.before["victim"])
        super().tearDown()

    neighbours = ["secret", "share", "victim"]

    def attack(self, *options):
        shell = self.start(self.container, "-v", f"{self.source}:/mine", *options)
        shell("cat /mine/file")  # the share is in use
        return shell

    def own_share(self, flag="rw"):
        """The number of the share /mine, or of another of its source: docker sends -v options in any order."""
        words = pathlib.Path(f"/proc/{self.files_process(self.container)}/cmdline").read_bytes().decode().split("\0")
        shares = [(flags.split(",")[0], path) for flags, path in zip(words[2::3], words[3::3])]
        return shares.index((flag, str(self.source)))

    def take(self, flag="rw", options=()):
        """The device of a new container, and the node that is the root of its share."""
        self.attack(*PRIVILEGED, *options)
        return Ring(self, self.container).begin(), root_of(self.own_share(flag))

    def test_names_in_raw_messages(self):
        ring, root = self.take()
        for name in BAD_NAMES:
            error, node = ring.lookup(root, name)
            # "." and ".." are asked for by kernels that export file systems; the root has no parent.
            self.assertTrue(error is not None and error < 0 or node == root, (name, error, node))
            z = name + b"\0"
            for opcode, body in ((fuse.MKDIR, struct.pack("<II", 0o755, 0) + z),
                                 (fuse.MKNOD, struct.pack("<IIII", 0o100644, 0, 0, 0) + z),
                                 (fuse.CREATE, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, 0o100644, 0, 0) + z),
                                 (fuse.SYMLINK, z + b"target\0"),
                                 (fuse.UNLINK, z),
                                 (fuse.RENAME, struct.pack("<Q", root) + b"file\0" + z),
                                 (fuse.RENAME, struct.pack("<Q", root) + z + b"stolen\0"),
                                 (fuse.RENAME2, struct.pack("<QII", root, 0, 0) + b"file\0" + z)):
                error, _ = ring.ask(opcode, root, body)
                self.assertTrue(error is not None and error < 0, (name, opcode, error))
        self.assertEqual(sorted(os.listdir(self.source)), ["file", "sub"])

    def test_malformed_messages(self):
        """Wrong sizes, numbers and kinds: an error, or the end of this connection, never of another's."""
        witness = self.start("witness")
        ring, root = self.take()
        messages = (
            (fuse.LOOKUP, root, b"no-end"), (fuse.LOOKUP, root, b""), (fuse.LOOKUP, 12345678, b"file\0"),
            (fuse.GETATTR, 0, b""), (fuse.GETATTR, 2 ** 64 - 1, bytes(16)), (fuse.SETATTR, root, b"short"),
            (9999, root, b""), (0, 0, b""), (fuse.IOCTL, root, bytes(32)),
            (fuse.RENAME, root, struct.pack("<Q", 77) + b"file\0new\0"),
            (fuse.RENAME, root, struct.pack("<Q", root) + b"file\0"),
            (fuse.LINK, root, struct.pack("<Q", 77) + b"new\0"),
            (fuse.READ, root, struct.pack("<QQIIQII", 12345, 0, 4096, 0, 0, 0, 0)),
            (fuse.WRITE, root, struct.pack("<QQIIQII", 12345, 0, 2 ** 31, 0, 0, 0, 0)),
            (fuse.SETXATTR, root, struct.pack("<II", 2 ** 31, 0) + b"user.x\0"),
            (fuse.SYMLINK, root, b"name\0no-end"),
        )
        for opcode, node, body in messages:
            error, _ = ring.ask(opcode, node, body)
            self.assertTrue(error is not None and error < 0, (opcode, node, error))
        # Numbers of handles that were never given out, and offsets at the end of the world.
        error, node = ring.lookup(root, b"file")
        self.assertEqual(error, 0)
        error, body = ring.ask(fuse.OPEN, node, struct.pack("<II", os.O_RDWR, 0))
        self.assertEqual(error, 0)
        handle = struct.unpack_from("<Q", body)[0]
        for offset, size in ((2 ** 63 - 1, 4096), (2 ** 64 - 1, 1), (0, 2 ** 32 - 1)):
            error, body = ring.ask(fuse.READ, node, struct.pack("<QQIIQII", handle, offset, size, 0, 0, 0, 0))
            self.assertTrue(error is not None and (error < 0 or len(body) <= 5), (offset, size, error, len(body)))
            error, _ = ring.ask(fuse.WRITE, node, struct.pack("<QQIIQII", handle, offset, size, 0, 0, 0, 0) + b"x")
            self.assertTrue(error is not None and error < 0, (offset, size, error))
        self.assertEqual((self.source / "file").read_text(), "mine\n")
        self.assertEqual(witness("echo unharmed > /shared/witness; cat /shared/witness"), "unharmed")

    def test_broken_messages(self):
        """What is no message ends the connection at most: cay-files is gone, the machine goes on."""
        for number, data in enumerate((b"abc", bytes(39), bytes(40), struct.pack("<I", 2 ** 32 - 1) + bytes(100),
                                       struct.pack("<I", 4000) + bytes(56), bytes(70000))):
            with self.subTest(number):
                name = f"broken-{number}"
                shell = self.start(name, "-v", f"{self.source}:/mine", *PRIVILEGED)
                files = self.files_process(name)
                ring = Ring(self, name)
                ring.send(data)
                answer = ring.answer()
                self.assertTrue(answer is None or answer[1] < 0, answer)
                if answer is None:
                    wait_until(lambda: not alive(files), "cay-files to end")
                self.assertEqual(shell("echo alive"), "alive")
                self.cay("rm", "-f", name)

    def test_devices_and_ids(self):
        ring, root = self.take()
        for mode in (0o020666, 0o060666):
            error, _ = ring.ask(fuse.MKNOD, root, struct.pack("<IIII", mode, (1 << 8) | 3, 0, 0) + b"device\0")
            self.assertEqual(error, -1)
        error, node = ring.lookup(root, b"file")
        for ids in (2 ** 32 - 1, 2 ** 31, 2 ** 32 - 2):
            setattr_in = struct.pack("<IIQQQQQQIIIIIIIII", fuse.SET_UID | fuse.SET_GID, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     0, ids, ids, 0, 0)[:88].ljust(88, b"\0")
            error, _ = ring.ask(fuse.SETATTR, node, setattr_in)
            self.assertIsNotNone(error, ids)
            self.assertIn((self.source / "file").stat().st_uid, (0, ids))
        # A caller with an id that no one has: refused or as that id, and the server goes on.
        error, _ = ring.ask(fuse.MKDIR, root, struct.pack("<II", 0o755, 0) + b"odd\0", uid=2 ** 32 - 1)
        self.assertIsNotNone(error)
        self.assertEqual(ring.lookup(root, b"file")[0], 0)
        self.assertEqual([name for name in os.listdir(self.source) if name not in ("file", "sub", "odd")], [])

    def test_nodes_that_are_none_of_its_own(self):
        """Shares that are not there, ids that nobody was given, and the directory of all shares."""
        ring, root = self.take()
        for node in (root_of(3), root_of(100), root_of(127), root_of(2 ** 15 - 1), root + 1, root + 1000, 2 ** 64 - 1):
            self.assertLess(ring.ask(fuse.GETATTR, node, bytes(16))[0], 0, node)
        for opcode, body in ((fuse.MKDIR, struct.pack("<II", 0o755, 0) + b"new\0"), (fuse.UNLINK, b"0\0"),
                             (fuse.SYMLINK, b"new\0target\0"), (fuse.RENAME, struct.pack("<Q", root) + b"0\0new\0"),
                             (fuse.CREATE, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, 0o100644, 0, 0) + b"new\0"),
                             (fuse.LINK, struct.pack("<Q", root) + b"new\0"),
                             (fuse.SETATTR, struct.pack("<II", fuse.SET_UID, 0) + bytes(80))):
            self.assertLess(ring.ask(opcode, fuse.ROOT, body)[0], 0, opcode)
        for name in BAD_NAMES + (b"3", b"100", b"-1", b"00", b"0/..", b"0 "):
            error, node = ring.lookup(fuse.ROOT, name)
            self.assertTrue(error < 0 or node == fuse.ROOT, (name, error, node))
        # From one share into another, which may be read-only.
        self.assertEqual(ring.lookup(root, b"file")[0], 0)
        others = [other for other in map(root_of, range(3)) if other != root]
        for other in others:
            self.assertLess(ring.ask(fuse.RENAME, root, struct.pack("<Q", other) + b"file\0file\0")[0], 0)
            self.assertLess(ring.ask(fuse.LINK, other, struct.pack("<Q", ring.lookup(root, b"file")[1]) + b"link\0")[0], 0)
        self.assertEqual(sorted(os.listdir(self.source)), ["file", "sub"])

    def test_read_only_in_raw_messages(self):
        before = tree(self.source)
        ring, root = self.take("ro", options=("-v", f"{self.source}:/locked:ro"))
        error, node = ring.lookup(root, b"file")
        self.assertEqual(error, 0)
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            error, _ = ring.ask(fuse.OPEN, node, struct.pack("<II", flags, 0))
            self.assertEqual(error, -30, flags)
        error, body = ring.ask(fuse.OPEN, node, struct.pack("<II", os.O_RDONLY, 0))
        handle = struct.unpack_from("<Q", body)[0]
        write = struct.pack("<QQIIQII", handle, 0, 1, 0, 0, 0, 0) + b"x"
        for opcode, at, body in ((fuse.WRITE, node, write), (fuse.UNLINK, root, b"file\0"),
                                 (fuse.MKDIR, root, struct.pack("<II", 0o755, 0) + b"new\0"),
                                 (fuse.SYMLINK, root, b"new\0x\0"),
                                 (fuse.RENAME, root, struct.pack("<Q", root) + b"file\0new\0"),
                                 (fuse.LINK, root, struct.pack("<Q", node) + b"new\0"),
                                 (fuse.SETXATTR, node, struct.pack("<II", 1, 0) + b"user.x\0y"),
                                 (fuse.SETATTR, node, struct.pack("<II", fuse.SET_UID, 0) + bytes(80)),
                                 (fuse.CREATE, root, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, 0o100644, 0, 0) + b"new\0")):
            error, _ = ring.ask(opcode, at, body)
            self.assertTrue(error is not None and error < 0, opcode)
        self.assertEqual(tree(self.source), before)

    def test_links_that_lead_out(self):
        """A link that leads out on the host leads, in the guest, to the guest's own files."""
        shell = self.attack()
        os.symlink("../secret", self.source / "up")
        os.symlink(str(self.outside / "victim"), self.source / "victim")
        self.assertIn("No such file", shell("cat /mine/up /mine/victim/x 2>&1", code=1))
        shell(f"mkdir -p {self.outside}/victim; echo x > /mine/victim/x")
        port_target = self.outside / "victim" / "x"
        self.assertFalse(port_target.exists())

    def test_races_of_links_against_the_server(self):
        """A directory and a link to the outside change places all the time, while files are made below."""
        shell = self.attack()
        (self.source / "a").mkdir()
        os.symlink(str(self.outside / "victim"), self.source / "b")
        swapper = self.start_tool(self.container, "swap", "/mine", "15")
        # The guest's own "victim" takes what goes by the link.
        shell(f"mkdir -p {self.outside}/victim; n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo x > /mine/a/f$n; "
              "mkdir /mine/b/d$n; rm -f /mine/a/f$n; done 2>/dev/null; true")
        # The host's own renames race as well.
        stop = threading.Event()

        def exchange():
            while not stop.is_set():
                os.rename(self.source / "sub", self.outside / "share" / "gone")
                os.symlink("../victim", self.source / "sub")
                os.unlink(self.source / "sub")
                os.rename(self.source / "gone", self.source / "sub")

        thread = threading.Thread(target=exchange)
        thread.start()
        try:
            shell("n=0; while [ $n -lt 200 ]; do n=$((n+1)); echo x > /mine/sub/g$n; rm -rf /mine/sub/g$n; done 2>/dev/null; true")
        finally:
            stop.set()
            thread.join()
        output, _ = swapper.communicate()
        self.assertGreater(int(output or b"0"), 20)

    def test_a_source_that_is_moved_out_of_its_place(self):
        """A directory that the host moves away takes those who are in it along, and no further."""
        shell = self.attack()
        shell("cd /mine/sub")
        os.rename(self.source / "sub", self.outside / "victim" / "sub")
        shell("cat ../secret ../../secret 2>/dev/null; echo x > ../escaped 2>/dev/null; true")
        os.rename(self.outside / "victim" / "sub", self.source / "sub")
        self.assertFalse((self.outside / "escaped").exists() or (self.outside / "victim" / "escaped").exists())
        self.assertEqual(shell("cd /mine; cat sub/deep"), "deep")


RINGS = ("loop", "self", "next", "head", "index", "address", "answer-address", "wrap", "length", "answer-length", "empty",
         "order", "many", "table-loop", "table-nested", "table-odd", "table-length", "table-address", "table-chained",
         "nowhere", "in-device", "storm", "resets")


class Rings(ShareTestCase):
    """Queues that no driver would make, in memory that the server maps."""

    def attacker(self, name):
        shell = self.start(name, *PRIVILEGED)
        shell("cp /tools/share-ring /bin/")  # which is gone from there with the first attack
        return shell

    def test_rings(self):
        """Each ends the attacker's own file server, or is refused by it; all else goes on."""
        witness = self.start("witness")
        self.host("file").write_text("x\n")
        survived, name, shell = [], None, None
        for number, kind in enumerate(RINGS):
            with self.subTest(kind):
                if not name:
                    name = f"attacker-{number}"
                    shell = self.attacker(name)
                    files = self.files_process(name)
                attack = self.start_cay("exec", name, "/bin/share-ring", "ring", kind)
                wait_until(lambda: attack.poll() is not None or not alive(files), f"{kind} to be answered or its server to end")
                ended = not alive(files)
                if not ended:
                    self.assertEqual(attack.communicate()[0], b"answered\n")
                    survived.append(kind)
                self.assertEqual(shell("echo alive"), "alive")
                self.assertEqual(witness(f"echo {kind} > /shared/other; cat /shared/other /shared/file"), f"{kind}\nx")
                if ended:
                    self.cay("rm", "-f", name)
                    name = None
        # A server that is gone after everything would have been shown nothing.
        self.assertIn("storm", survived)
        self.assertIn("resets", survived)

    def test_messages_that_change_while_they_are_read(self):
        witness, before = self.start("calm"), tree(self.tools)
        answered = []
        # A server may end for what it reads, sooner or later: then the next one is attacked.
        while sum(answered) <= 100:
            name = f"changing-{len(answered)}"
            shell = self.attacker(name)
            words = pathlib.Path(f"/proc/{self.files_process(name)}/cmdline").read_bytes().decode().split("\0")
            answered.append(int(shell(f"/bin/share-ring race {root_of(words[3::3].index(str(self.tools)))} 15")))
            self.assertEqual(shell("echo alive"), "alive")
            self.assertLess(len(answered), 20, "hardly anything is answered")
            self.cay("rm", "-f", name)
        self.assertEqual(witness("echo y > /shared/other; cat /shared/other"), "y")
        # Some were read as others, which may have done what its shares allow: nothing to this one.
        self.assertEqual(tree(self.tools), before)


class Failing(ShareTestCase):
    """Sources that go away or fill up while they are in use."""

    def mount_small(self, name, size="1m"):
        path = self.daemon.directory / name
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "cay-test", path], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False, capture_output=True)
        return path

    def test_a_source_that_fills_up(self):
        small = self.mount_small("small")
        shell = self.start("full", "-v", f"{small}:/small")
        self.assertIn("No space left on device", shell("dd if=/dev/zero of=/small/big bs=64k count=100 2>&1", code=1))
        self.assertLessEqual((small / "big").stat().st_size, 1 << 20)
        self.assertIn("No space left", shell("echo x 2>&1 > /small/other || cat /small/other", code=None) +
                      shell("echo more 2>&1 >> /small/big", code=None) + "No space left")
        self.assertEqual(shell("rm /small/big; echo fits > /small/other; cat /small/other"), "fits")

    def test_a_source_that_disappears(self):
        gone = self.daemon.directory / "gone"
        (gone / "sub").mkdir(parents=True)
        (gone / "file").write_text("x\n")
        shell = self.start("gone", "-v", f"{gone}:/gone")
        shell("exec 5< /gone/file; cd /gone/sub")
        subprocess.run(["rm", "-rf", gone], check=True)
        self.assertEqual(shell("cat <&5"), "x")
        self.assertIn("No such file or directory", shell("ls /gone/file 2>&1; echo x 2>&1 > /gone/new", code=None))
        self.assertEqual(shell("cd /; ls -A /gone; echo alive"), "alive")
        # What comes in its place is another directory: a new start has that.
        gone.mkdir()
        (gone / "new").write_text("new\n")
        self.cay("restart", "-t", "0", "gone")
        self.assertEqual(self.cay("exec", "gone", "cat", "/gone/new"), "new")

    def test_a_source_that_is_unmounted(self):
        small = self.mount_small("unmounted")
        (small / "file").write_text("x\n")
        shell = self.start("unmounted", "-v", f"{small}:/small")
        shell("cat /small/file")
        subprocess.run(["umount", "-l", small], check=True)
        # It is the container's for as long as that runs, as with docker.
        self.assertEqual(shell("cat /small/file"), "x")
        self.assertEqual(list(small.iterdir()), [])


class Greedy(ShareTestCase):
    def test_a_million_opens(self):
        """A guest that has files opened without end is refused at some point; others don't notice."""
        witness = self.start("witness")
        self.host("file").write_text("x\n")
        self.start("greedy", *PRIVILEGED)("cat /shared/file")
        files = self.files_process("greedy")
        words = pathlib.Path(f"/proc/{files}/cmdline").read_bytes().decode().split("\0")
        root = root_of(words[3::3].index(str(self.shared)))
        opened, refused = map(int, self.cay("exec", "greedy", "/tools/share-ring", "flood", str(root), "1000000",
                                            timeout=600).split())
        self.assertEqual(opened + refused, 1000000)
        self.assertGreater(refused, 0)
        self.assertEqual(witness("echo y > /shared/other; cat /shared/other"), "y")
        memory = pathlib.Path(f"/proc/{files}/status").read_text().partition("VmRSS:")[2].split()[0]
        self.assertLess(int(memory), 512 * 1024, "KiB")
        self.cay("rm", "-f", "greedy")
        wait_until(lambda: not alive(files), "cay-files to end")

    def test_opens_through_the_kernel(self):
        shell = self.start("many")
        self.host("file").write_text("x\n")
        opened, error = map(int, shell("/tools/share-tool open /shared/file 20000").split())
        self.assertTrue(error in (0, 23, 24), error)
        self.assertGreater(opened, 1000)
        self.assertEqual(shell("cat /shared/file"), "x")
