# SPDX-License-Identifier: Apache-2.0
"""Images made of containers and of root file systems: commit, export and import, by docker's clients."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import unittest

from harness import Registry, wait_until
from test_copy import CLIENTS, CopyCase, tar_of

CHANGE = "mkdir -p /srv/new; echo one > /srv/new/file; ln -s file /srv/new/link; ln /srv/new/file /srv/new/hard; " \
         "chmod 4711 /srv/new/file; chown 12:34 /srv/new; mkfifo /srv/new/fifo; rm /etc/group; rm -r /etc/network 2>/dev/null; " \
         "echo changed >> /etc/passwd; rm -rf /home; mkdir /home; echo back > /home/back; mknod /srv/null c 1 3; touch -d @5 /srv/old"


def tree_of(path):
    """What a folder holds, as far as an unprivileged unpacking keeps it."""
    found = {}
    for folder, folders, names in os.walk(path):
        for name in folders + names:
            full = os.path.join(folder, name)
            stat = os.lstat(full)
            relative = os.path.relpath(full, path)
            if os.path.islink(full):
                found[relative] = ("link", os.readlink(full))
            elif os.path.isdir(full):
                found[relative] = ("directory", stat.st_mode & 0o7777)
            elif os.path.isfile(full):
                with open(full, "rb") as file:
                    found[relative] = ("file", stat.st_mode & 0o777, file.read())
            else:
                found[relative] = ("other",)
    return found


@unittest.skipUnless(CLIENTS, "no docker client is installed")
class Commits(CopyCase):
    def test_of_a_container_that_runs_or_not(self):
        for running in (False, True):
            for docker in CLIENTS:
                with self.subTest(client=docker, running=running):
                    self.container("source", running=True, command=("sh", "-c", f"{CHANGE}; echo done; sleep 100000"))
                    wait_until(lambda: "done" in self.cay("logs", "source"), "the changes")
                    if not running:
                        self.cay("stop", "-t", "0", "source")
                    identity = self.client(docker, "commit", "-a", "me", "-m", "why", "-c", "ENV A=b", "-c",
                                           'CMD ["sh","-c","cat /srv/new/link /home/back; echo $A"]', "source",
                                           "made:1").strip()
                    self.assertEqual(self.inspect("source")["State"]["Status"], "running" if running else "exited")
                    image = json.loads(self.docker("image", "inspect", "made:1"))[0]
                    self.assertEqual(image["Id"], identity)
                    self.assertEqual((image["Author"], image["Comment"]), ("me", "why"))
                    self.assertIn("A=b", image["Config"]["Env"])
                    base = json.loads(self.docker("image", "inspect", "busybox"))[0]
                    self.assertEqual(image["RootFS"]["Layers"][:-1], base["RootFS"]["Layers"])
                    history = self.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1")
                    self.assertIn("sleep 100000|why", history.splitlines()[0])
                    self.assertEqual(self.docker("run", "--rm", "made:1"), "one\nback\nb")
                    out = self.docker("run", "--rm", "made:1", "sh", "-c",
                                      "ls /etc/group; stat -c '%a %u %h' /srv/new/file; stat -c '%u:%g' /srv/new; "
                                      "stat -c %F /srv/new/fifo /srv/null; tail -1 /etc/passwd; ls /home; "
                                      "stat -c %Y /srv/old", code=0)
                    self.assertEqual(out.split("\n")[:8], ["4711 0 2", "12:34", "fifo", "character special file",
                                                           "changed", "back", "5"])
                    self.cay("rm", "-f", "source")

    def test_other_tools_read_it(self):
        """skopeo, umoci and a docker load take what was committed, path by path what the container has."""
        self.container("source", running=True, command=("sh", "-c", f"{CHANGE}; echo done; sleep 100000"))
        wait_until(lambda: "done" in self.cay("logs", "source"), "the changes")
        self.docker("commit", "source", "made:2")
        exported = self.docker("export", "source", binary=True)
        archive, layout, bundle = self.work / "made.tar", self.work / "layout", self.work / "bundle"
        self.docker("save", "-o", archive, "made:2")
        subprocess.run(["skopeo", "copy", "--quiet", f"docker-archive:{archive}:made:2", f"oci:{layout}:made"],
                       check=True, capture_output=True)
        subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{layout}:made", str(bundle)], check=True,
                       capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
            members = {member.name.rstrip("/"): member for member in tar}
        unpacked = tree_of(bundle / "rootfs")
        # Where docker mounts its own files and file systems, nothing is the container's.
        ignored = {"etc/hosts", "etc/hostname", "etc/resolv.conf"}
        inside = {name for name in members if name not in (".", "") and name not in ignored
                  and name.split("/")[0] not in ("dev", "proc", "sys")}
        self.assertEqual({name for name in unpacked if name not in ignored
                          and name.split("/")[0] not in ("dev", "proc", "sys")}, inside)
        for name in inside:
            if members[name].issym():
                self.assertEqual(unpacked[name], ("link", members[name].linkname), name)
        self.docker("rmi", "made:2")
        self.docker("load", "-i", archive)
        self.assertEqual(self.docker("run", "--rm", "made:2", "cat", "/srv/new/file"), "one")
        registry = Registry()
        self.addCleanup(registry.close)
        self.docker("tag", "made:2", f"{registry.address}/team/made:2")
        self.docker("push", f"{registry.address}/team/made:2")

    def test_what_changes_nothing(self):
        self.container("same")
        self.docker("commit", "same", "same:1")
        image = json.loads(self.docker("image", "inspect", "same:1"))[0]
        base = json.loads(self.docker("image", "inspect", "busybox"))[0]
        self.assertEqual(image["RootFS"]["Layers"], base["RootFS"]["Layers"])
        self.assertEqual(self.docker("run", "--rm", "same:1", "echo", "fine"), "fine")

    def test_commits_of_commits(self):
        name = "busybox"
        for i in range(3):
            self.docker("run", "--name", f"step{i}", name, "sh", "-c", f"echo {i} > /step{i}; rm -f /step{i - 1}")
            self.docker("commit", f"step{i}", f"chain:{i}")
            self.docker("rm", f"step{i}")
            name = f"chain:{i}"
        self.assertEqual(self.docker("run", "--rm", name, "sh", "-c", "echo /step*; cat /step2"), "/step2\n2")

    def test_errors(self):
        self.container("wrong")
        for changes, words in ((("-c", "RUN true"), "RUN is not a valid change command"),
                               (("-c", "EXPOSE 99999"), "invalid containerPort"),
                               (("-c", "ENV x"), "must have two arguments")):
            done = self.run_program(CLIENTS[0], "commit", *changes, "wrong", "never:1")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)
        done = self.run_program(CLIENTS[0], "commit", "ghost", "never:1")
        self.assertIn("No such container: ghost", done.stderr)
        self.assertEqual(self.api("POST", "/commit?container=wrong&repo=Bad..Name")[0], 400)
        self.assertNotIn("never", self.docker("images"))

    def test_the_body_is_the_configuration(self):
        self.container("base", "-e", "KEPT=1")
        status, answer = self.api("POST", "/commit?container=base&repo=body", {
            "Cmd": ["echo", "from the body"], "Labels": {"l": "v"}, "Env": ["NEW=2"]})
        self.assertEqual(status, 201, answer)
        config = json.loads(self.docker("image", "inspect", "body"))[0]["Config"]
        self.assertEqual(config["Cmd"], ["echo", "from the body"])
        self.assertEqual(config["Labels"], {"l": "v"})
        self.assertEqual(set(config["Env"]) & {"KEPT=1", "NEW=2"}, {"KEPT=1", "NEW=2"})

    def test_pause_and_events(self):
        self.container("stands", running=True)
        began = self.now()
        self.docker("commit", "stands", "told:1")
        self.docker("commit", "--pause=false", "stands", "told:2")
        out = self.events(began, "container=stands", "{{.Action}} {{.Actor.Attributes.imageRef}}")
        self.assertEqual([line.replace("<no value>", "").strip() for line in out],
                         ["pause", "unpause", "commit told:1", "commit told:2"])
        self.docker("pause", "stands")
        self.docker("commit", "stands", "told:3")
        self.assertEqual(self.inspect("stands")["State"]["Status"], "paused")

    def test_files_stand_still(self):
        """Two files that a program always changes together are never seen apart."""
        self.container("twins", running=True, command=(
            "sh", "-c", "i=0; while :; do i=$((i+1)); "
                        "echo $i > /t; mv /t /one; echo $i > /t; mv /t /two; done"))
        wait_until(lambda: "A /two" in self.docker("diff", "twins"), "the program to write")
        self.docker("commit", "twins", "twins:1")
        one, two = self.docker("run", "--rm", "twins:1", "cat", "/one", "/two").split()
        self.assertIn(int(one) - int(two), (0, 1))

    def test_a_client_that_leaves(self):
        self.container("leaves", running=True)
        self.cay("exec", "leaves", "dd", "if=/dev/urandom", "of=/noise", "bs=1M", "count=30")
        connection = self.daemon.connect()
        connection.sendall(b"POST /commit?container=leaves&repo=half HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: self.inspect("leaves")["State"]["Status"] == "paused", "the commit to begin")
        connection.close()
        self.wait_state("leaves", "running")
        self.assertNotIn("half", self.docker("images"))
        self.assertEqual(os.listdir(self.daemon.root / "images" / "tmp"), [])


    def test_a_daemon_killed_in_the_middle(self):
        """The container stands still, as it did, and can be told to go on; nothing is half-made."""
        self.container("caught", running=True)
        self.cay("exec", "caught", "dd", "if=/dev/urandom", "of=/noise", "bs=1M", "count=30")
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        connection.sendall(b"POST /commit?container=caught&repo=half HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: self.inspect("caught")["State"]["Status"] == "paused", "the commit to begin")
        self.daemon.restart()
        if self.inspect("caught")["State"]["Status"] == "paused":
            self.cay("unpause", "caught")
        self.assertEqual(self.cay("exec", "caught", "echo", "going on"), "going on")
        self.assertNotIn("half", self.docker("images"))
        self.assertEqual(os.listdir(self.daemon.root / "images" / "tmp"), [])


@unittest.skipUnless(CLIENTS, "no docker client is installed")
class Imports(CopyCase):
    def test_export_and_import(self):
        self.container("origin", running=True, command=("sh", "-c", f"{CHANGE}; echo done; sleep 100000"))
        wait_until(lambda: "done" in self.cay("logs", "origin"), "the changes")
        exported = self.docker("export", "origin", binary=True)
        for docker in CLIENTS:
            with self.subTest(docker):
                name = f"flat:{CLIENTS.index(docker)}"
                out = self.client(docker, "import", "-m", "flattened", "-c", 'CMD ["cat","/srv/new/file"]', "-", name,
                                  input=exported, binary=True)
                self.assertRegex(out.decode().strip(), r"^sha256:[0-9a-f]{64}$")
                self.assertEqual(self.docker("run", "--rm", name), "one")
                image = json.loads(self.docker("image", "inspect", name))[0]
                self.assertEqual(len(image["RootFS"]["Layers"]), 1)
                self.assertEqual(image["Comment"], "flattened")

    def test_compressed(self):
        plain = self.work / "root.tar"
        plain.write_bytes(tar_of(**{"etc/motd": b"hello\n"}))
        layers = set()
        for program, suffix in (("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")):
            if not shutil.which(program):
                continue
            with open(f"{plain}.{suffix}", "wb") as out:
                subprocess.run([program, "-c", str(plain)], stdout=out, check=True)
            self.docker("import", f"{plain}.{suffix}", f"packed:{suffix}")
            layers.add(json.loads(self.docker("image", "inspect", f"packed:{suffix}"))[0]["RootFS"]["Layers"][0])
        self.assertEqual(len(layers), 1)

    def test_errors(self):
        for data, words in ((b"no tar" * 999, "broken"), (b"", "nothing came"), (b"\x1f\x8bjunk" * 9, "gzip")):
            done = self.run_program(CLIENTS[0], "import", "-", "broken:1", input=data, binary=True)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr.decode())
        done = self.run_program(CLIENTS[0], "import", "http://127.0.0.1:1/root.tar")
        self.assertIn("does not fetch", done.stderr)
        self.assertNotIn("broken", self.docker("images"))
        self.assertEqual(os.listdir(self.daemon.root / "images" / "tmp"), [])

    def test_events(self):
        began = self.now()
        identity = self.docker("import", "-", "seen:1", input=tar_of(x=b"y"), binary=True).decode().strip()
        out = self.events(began, "type=image", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}")
        self.assertEqual(out, [f"import {identity} {identity}", f"tag {identity} seen:1"])
