# SPDX-License-Identifier: Apache-2.0
"""What the tests of shared files have in common: a tree on the host, and a shell in a container that has it."""

import contextlib
import os
import pathlib
import shutil
import struct
import subprocess
import uuid

from harness import BUILD, CayTestCase, processes, wait_until

TOOLS = ("share-tool", "share-ring")


class Shell:
    """A shell that stays open in a container, so that a command costs no process of the host's."""

    def __init__(self, test, container):
        self.process = subprocess.Popen([str(BUILD / "cay"), "exec", "-i", container, "sh"], env=test.environment(),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        test.addCleanup(test.end_process, self.process)

    def __call__(self, command, code=0):
        """Runs the command, checks its exit code (None: any) and returns its output."""
        mark = uuid.uuid4().hex
        self.process.stdin.write(f"{command}\necho \"\" {mark} $?\n".encode())
        self.process.stdin.flush()
        output = b""
        for line in self.process.stdout:
            if mark.encode() in line:
                before, _, status = line.partition(b" " + mark.encode())
                output += before
                break
            output += line
        else:
            raise AssertionError(f"the shell ended: {output!r}")
        text = output.decode(errors="replace").strip()
        if code is not None and int(status) != code:
            raise AssertionError(f"{command}: {int(status)}: {text}")
        return text


class ShareTestCase(CayTestCase):
    """A class with a directory `shared` on the host, below the daemon's so that it goes with it."""

    shared: pathlib.Path

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = cls.daemon.directory / "shared"
        cls.shared.mkdir()
        tools = cls.daemon.directory / "tools"
        tools.mkdir()
        for name in TOOLS:
            shutil.copy(BUILD / "tests" / name, tools / name)
        cls.tools = tools

    def start(self, name, *options, shell=True):
        """A container that has the tree on /shared and the tools in /tools; a shell in it."""
        done = self.run_program("docker", "run", "-d", "--name", name, "-v", f"{self.shared}:/shared",
                                "-v", f"{self.tools}:/tools:ro", *options, "busybox", "sleep", "100000")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(self.run_cay, "rm", "-f", name)
        return Shell(self, name) if shell else None

    def files_process(self, container):
        """The pid of the container's cay-files."""
        shim = processes("cay-shim", self.inspect(container)["Id"])[0]
        return wait_until(lambda: [pid for pid in processes("cay-files", "--share") if parent(pid) == shim],
                          "cay-files")[0]

    def host(self, *path):
        return self.shared.joinpath(*path)

    def start_tool(self, container, *arguments):
        return self.start_cay("exec", "-i", container, "/tools/share-tool", *arguments)


def parent(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("PPid:"):
                return int(line.split()[1])
    return -1


# ---- FUSE as a guest may speak it (linux/fuse.h) ----

LOOKUP, GETATTR, SETATTR, SYMLINK, MKNOD, MKDIR = 1, 3, 4, 6, 8, 9
UNLINK, RENAME, LINK, OPEN, READ, WRITE = 10, 12, 13, 14, 15, 16
SETXATTR, INIT, CREATE, IOCTL, RENAME2 = 21, 26, 35, 39, 45
ROOT = 1 # of all shares
SET_UID, SET_GID = 1 << 1, 1 << 2


class Ring:
    """The device of the shared files, taken over from the guest's kernel: messages go to the host as they are."""

    def __init__(self, test, container):
        self.process = test.start_cay("exec", "-i", container, "/tools/share-ring", "speak")
        self.unique = 0
        line = self.process.stdout.readline()
        if line != b"ready\n":
            raise AssertionError(f"{line!r} {self.process.stderr.read()!r}")

    def send(self, data):
        self.process.stdin.write(data.hex().encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        """(unique, error, body), or None where the host answers no more."""
        line = self.process.stdout.readline().strip()
        if line in (b"", b"closed"):
            return None
        data = bytes.fromhex(line.decode())
        length, error, unique = struct.unpack_from("<IiQ", data)
        assert length == len(data), data
        return unique, error, data[16:]

    def message(self, opcode, node, body=b"", length=None, uid=0):
        self.unique += 2
        size = 40 + len(body)
        return struct.pack("<IIQQIIIHH", size if length is None else length, opcode, self.unique, node, uid, 0, 0, 0, 0) + body

    def ask(self, opcode, node, body=b"", **options):
        """The answer's error (0 or negative) and body; (None, b"") where there is no answer."""
        self.send(self.message(opcode, node, body, **options))
        answer = self.answer()
        if answer is None:
            return None, b""
        assert answer[0] == self.unique, (answer, self.unique)
        return answer[1], answer[2]

    def begin(self):
        error, _ = self.ask(INIT, 0, struct.pack("<IIII", 7, 38, 65536, 0) + bytes(48))
        if error != 0:
            raise AssertionError(f"INIT: {error}")
        return self

    def lookup(self, node, name):
        """(error, the node's number)."""
        error, body = self.ask(LOOKUP, node, name + b"\0")
        return error, struct.unpack_from("<Q", body)[0] if error == 0 else 0


def root_of(share):
    """The node that is a share's root."""
    return (share + 1) << 48 | 1


def tree(path):
    """All that is below a directory, with what tells whether it was changed."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            whole = os.path.join(folder, name)
            st = os.lstat(whole)
            found[os.path.relpath(whole, path)] = (st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns)
    return found
