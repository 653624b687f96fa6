# SPDX-License-Identifier: Apache-2.0
"""cay's and docker's commands about files against a daemon: what one client does, the other finds, and both
make the same of the same words."""

import io
import json
import os
import pathlib
import shutil
import tarfile
import tempfile

from cli_recorder import DOCKER
from harness import BUILD, CayTestCase

# Run by each client in a directory of its own against a container of its own that prepare() has filled.
COPIES = """
file C:/fresh/
file C:/new-name
file C:/dir/existing
file C:/to-dir
file C:/to-file
file C:/none/new
tree C:/fresh
tree C:/new-tree
tree/. C:/new-tree
tree/. C:/fresh
tree C:/file
link C:/fresh
-L link C:/fresh
-a file C:/fresh
C:/file out
C:/file none/out
C:/dir out
C:/dir .
C:/dir/. out
C:/dir file
C:/to-dir .
-L C:/to-file out
C:/dir/existing/ out
C:/missing out
C:relative out
"""

PREPARE = """
mkdir -p /dir/sub /fresh /relative.d
echo text > /file; echo there > /dir/existing; ln /dir/existing /dir/sub/same; ln -s ../existing /dir/sub/link
ln -s /dir /to-dir; ln -s file /to-file; ln -s ../../../../etc/hostname /up; echo r > /relative
mkfifo /dir/pipe; chmod 4711 /file; chmod 750 /dir
chown 12:34 /dir/existing
"""

# What a copy has left there; then all is as before it.
LOOK = """
find /new* /fresh* /dir /file /to-* /none /relative* 2>/dev/null | sort | while read -r f; do
	stat -c '%n %f %u:%g' "$f"; readlink "$f"; [ -f "$f" ] && md5sum "$f" && stat -c %h "$f"
	[ "$(stat -c %Y "$f")" = 1000000000 ] && echo "from here"
done
rm -rf /dir /fresh* /new* /file /to-* /up /none /relative*
""" + PREPARE


def tree(top):
    """All there is below a directory, with owners, modes and contents."""
    rows = []
    for path in sorted(pathlib.Path(top).rglob("*")):
        status = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        rows.append((str(path.relative_to(top)), oct(status.st_mode), status.st_uid, status.st_gid, what))
    return rows


class Commands(CayTestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="cay-cli-copy-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)

    def tearDown(self):
        super().tearDown()
        for container in self.cay("ps", "-aq").split():
            self.cay("rm", "-fv", container)
        self.cay("volume", "prune", "-af")

    def start(self, name, *options):
        self.cay("run", "-d", "--name", name, "--network", "none", *options, "busybox", "sleep", "600")
        return name

    def in_container(self, name, script):
        return self.cay("exec", name, "sh", "-c", script)

    def make_local(self, top):
        (top / "tree" / "sub").mkdir(parents=True)
        (top / "file").write_text("from here\n")
        (top / "file").chmod(0o4750)
        (top / "tree" / "a").write_text("a\n")
        os.link(top / "tree" / "a", top / "tree" / "sub" / "b")
        os.symlink("../a", top / "tree" / "sub" / "c")
        os.symlink("file", top / "link")
        for path in [*top.rglob("*")]:
            os.utime(path, (1000000000, 1000000000), follow_symlinks=False)

    def test_copies_as_docker_does(self):
        """Both clients, each with a container and a directory of its own."""
        for client in ("docker", "cay"):
            self.start(client)
            self.in_container(client, PREPARE)
        for line in COPIES.strip().splitlines():
            with self.subTest(line):
                seen = []
                for name, program in (("docker", DOCKER), ("cay", BUILD / "cay")):
                    top = self.work / name
                    shutil.rmtree(top, ignore_errors=True)
                    top.mkdir()
                    self.make_local(top)
                    done = self.run_program(program, "cp", "--quiet=false", *line.replace("C:", f"{name}:").split(), cwd=top)
                    said = [row.replace(str(top), "HERE").replace(name + ":", "C:") for row in done.stderr.splitlines()
                            if row.startswith("Success")] if done.returncode == 0 else []
                    seen.append((done.returncode, done.stdout, said, tree(top), self.in_container(name, LOOK)))
                    if done.returncode and name == "cay":
                        self.assertTrue(done.stderr.startswith("cay: "), done.stderr)
                for theirs, ours in zip(*seen):
                    self.assertEqual(ours, theirs)

    def test_a_stopped_container(self):
        self.cay("create", "--name", "still", "--network", "none", "busybox", "cat", "/in")
        (self.work / "in").write_text("copied in\n")
        self.cay("cp", self.work / "in", "still:/in")
        self.assertEqual(self.cay("start", "-a", "still"), "copied in")
        self.cay("cp", "still:/in", self.work / "out")
        self.assertEqual((self.work / "out").read_text(), "copied in\n")
        self.assertEqual(self.cay("diff", "still"), "A /in")
        self.assertEqual(self.run_program(DOCKER, "diff", "still").stdout.strip(), "A /in")

    def test_streams(self):
        name = self.start("streams")
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            member = tarfile.TarInfo("made/of/parts")
            member.size = 5
            tar.addfile(member, io.BytesIO(b"parts"))
        done = self.run_cay("cp", "-", f"{name}:/tmp", input=data.getvalue(), binary=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.in_container(name, "cat /tmp/made/of/parts"), "parts")
        done = self.run_cay("cp", f"{name}:/tmp/made", "-", binary=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            self.assertEqual([member.name.rstrip("/") for member in tar], ["made", "made/of", "made/of/parts"])

    def test_a_hostile_container(self):
        """Links that lead out of the copied tree lead nowhere while it is unpacked."""
        name = self.start("hostile")
        secret = self.work / "secret"
        secret.write_text("kept")
        top = self.work / "top"
        top.mkdir()
        self.in_container(name, f"mkdir -p /t/d; ln -s {self.work} /t/d/away; ln -s ../../../secret /t/d/up; ln -s {secret} /t/d/file; "
                          "mknod /t/d/node c 1 3; mkfifo /t/d/pipe; chmod 6777 /t/d")
        for _ in range(2):  # over what is there, too
            done = self.run_cay("cp", f"{name}:/t", top)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("t/d/node is a device, which is not copied", done.stderr)
        self.assertEqual((secret.read_text(), secret.stat().st_nlink), ("kept", 1))
        self.assertEqual(os.readlink(top / "t" / "d" / "file"), str(secret))
        self.assertFalse((top / "t" / "d" / "node").exists())
        # A directory becomes a link to outside, and a file is copied "into" it.
        self.in_container(name, "rm -rf /t/d; mkdir /t/d; echo bad > /t/d/secret")
        done = self.run_cay("cp", f"{name}:/t/d", top / "t" / "d" / "away")
        self.assertEqual(secret.read_text(), "kept")

    def test_export_import_commit(self):
        name = self.start("source", "--label", "a=b")
        self.in_container(name, "echo kept > /kept; rm /etc/hostname; mkdir /empty")
        self.cay("export", "-o", self.work / "x.tar", name)
        with tarfile.open(self.work / "x.tar") as tar:
            names = {member.name.removeprefix("./").rstrip("/") for member in tar}
        self.assertLessEqual({"kept", "empty", "bin/busybox"}, names)
        self.assertEqual(self.run_cay("export", name, binary=True).stdout[257:262], b"ustar")
        identity = self.cay("import", "-c", "CMD [\"cat\", \"/kept\"]", "-m", "note", self.work / "x.tar", "imported:one")
        self.assertRegex(identity, "^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.cay("run", "--rm", "--network", "none", "imported:one"), "kept")
        identity = self.cay("commit", "-a", "me", "-m", "why", "-c", "ENV A=b", "-c", "CMD cat /kept && echo $A", name, "made")
        self.assertRegex(identity, "^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.cay("run", "--rm", "--network", "none", "made"), "kept\nb")
        image = json.loads(self.cay("image", "inspect", "made"))[0]
        self.assertEqual((image["Author"], image["Comment"]), ("me", "why"))
        self.cay("rmi", "imported:one", "made")

    def test_life_of_a_volume(self):
        self.assertEqual(self.cay("volume", "create", "--label", "a=b", "mine"), "mine")
        self.assertRegex(self.cay("volume", "create"), "^[0-9a-f]{64}$")
        self.assertEqual(self.cay("volume", "ls", "-q", "-f", "label=a"), "mine")
        self.assertEqual(self.run_program(DOCKER, "volume", "ls").stdout, self.run_cay("volume", "ls").stdout)
        self.assertEqual(self.run_program(DOCKER, "volume", "inspect", "mine").stdout, self.run_cay("volume", "inspect", "mine").stdout)
        self.assertEqual(json.loads(self.cay("inspect", "mine"))[0]["Labels"], {"a": "b"})
        name = self.start("user", "-v", "mine:/m", "--mount", "type=volume,target=/anonymous")
        self.in_container(name, "echo kept > /m/file")
        self.assertEqual(self.cay("ps", "-qf", "volume=mine"), self.cay("ps", "-q"))
        self.assertEqual(self.cay("ps", "--format", "{{.LocalVolumes}}"), "2")
        done = self.run_cay("volume", "rm", "mine")
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use", done.stderr)
        self.assertIn("mine", self.cay("system", "df", "-v"))
        other = self.start("heir", "--volumes-from", "user:ro")
        self.assertEqual(self.in_container(other, "cat /m/file"), "kept")
        self.cay("cp", f"{other}:/m/file", self.work / "out")
        self.assertEqual((self.work / "out").read_text(), "kept\n")
        self.cay("rm", "-fv", name, other)
        self.assertEqual(self.cay("run", "--rm", "--network", "none", "-v", "mine:/m", "busybox", "cat", "/m/file"), "kept")
        self.assertIn("Total reclaimed space", self.cay("volume", "prune", "-f"))
        self.assertEqual(self.cay("volume", "ls", "-q"), "mine")
        self.assertIn("mine", self.cay("volume", "prune", "-af"))
        self.assertEqual(self.cay("volume", "ls", "-q"), "")
        self.assertEqual(self.run_cay("volume", "rm", "mine").returncode, 1)
        self.assertEqual(self.cay("volume", "rm", "-f", "mine"), "mine")

    def test_names_are_completed(self):
        self.cay("volume", "create", "completed")
        self.cay("create", "--name", "completing", "--network", "none", "busybox")
        self.assertEqual(self.cay("__complete", "volume", "rm", "compl"), "completed")
        self.assertEqual(self.cay("__complete", "cp", "compl"), "completing:")
        self.assertEqual(self.cay("__complete", "run", "--volumes-from", "compl"), "completing")
