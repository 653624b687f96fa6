# SPDX-License-Identifier: Apache-2.0
"""Templates: made in the background, used by the next start, and what becomes of bad ones."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from harness import BUILD, CayTestCase, Daemon, alive, busybox_archive, processes, wait_until

# Made at the lowest priority: on a busy machine that takes its time.
MAKING = 300


class TemplateTestCase(CayTestCase):
    """A daemon whose templates are its own, made from nothing."""

    daemon_options = ("--log-level", "debug", "--templates", "on")

    def setUp(self):
        self.remove_all()

    def remove_all(self):
        for template in self.templates():
            self.api("DELETE", f"/cay/v1/templates/{template['Key']}")
        wait_until(lambda: not self.templates(), "templates to be gone")

    def templates(self):
        status, templates = self.api("GET", "/cay/v1/templates")
        self.assertEqual(status, 200)
        return templates

    def ready(self):
        return [template for template in self.templates() if template["Ready"]]

    def make(self, **shape):
        status, answer = self.api("POST", "/cay/v1/templates", shape, timeout=MAKING)
        self.assertEqual(status, 201, answer)
        return answer["Key"]

    def path(self, key):
        return self.daemon.root / "templates" / key

    def names_on_disk(self):
        return sorted(entry.name for entry in (self.daemon.root / "templates").iterdir())

    def run_and_tell(self, *options, image="busybox", command=("true",)):
        """Runs a container to its end; how its VM came to be."""
        name = f"t{time.monotonic_ns()}"
        self.cay("run", "--name", name, *options, image, *command)
        start = self.inspect(name)["Cay"]["Start"]
        self.cay("rm", name)
        return start

    def log(self):
        return self.daemon.log.read_text(errors="replace")

    def wait_log(self, text, timeout=90):
        wait_until(lambda: text in self.log(), f"the log to say {text!r}", timeout)


class TestTemplates(TemplateTestCase):
    def test_made_after_the_first_start_and_used_by_the_next(self):
        self.assertEqual(self.run_and_tell(), "cold")
        template = wait_until(self.ready, "a template", MAKING)[0]
        self.assertEqual(self.run_and_tell(), "template")
        self.assertEqual(self.run_and_tell("-v", "data:/data"), "cold")  # its shares want a device
        self.assertEqual([one["Key"] for one in self.ready()], [template["Key"]])
        template = self.ready()[0]
        self.assertGreaterEqual(template["Starts"], 1)
        self.assertGreater(template["Size"], 1 << 20)
        self.assertEqual((template["Cpus"], template["Disks"], len(template["Cards"])), (1, 2, 2))
        self.cay("volume", "rm", "data")

    def test_each_shape_has_its_own(self):
        keys = {self.make(), self.make(Network="none"), self.make(Memory=256 << 20, Cpus=2)}
        self.assertEqual(len(keys), 3)
        self.assertEqual(self.make(), self.make())
        self.assertEqual(self.run_and_tell("--network", "none"), "template")
        self.assertEqual(self.run_and_tell("-m", "256m", "--cpus", "2"), "template")
        self.assertEqual(self.run_and_tell("-m", "200m"), "cold")

    def test_files_belong_to_the_daemon_alone(self):
        path = self.path(self.make())
        self.assertEqual(path.stat().st_mode & 0o7777, 0o700)
        self.assertEqual(path.parent.stat().st_mode & 0o7777, 0o700)
        for entry in path.iterdir():
            self.assertEqual(entry.stat().st_mode & 0o077, 0, entry)
            self.assertEqual(entry.stat().st_uid, os.geteuid(), entry)
        self.assertEqual(self.names_on_disk(), [path.name])

    def test_holds_nothing_of_a_container(self):
        secret = "Rosebud-7411-" + os.urandom(8).hex()
        self.assertEqual(self.run_and_tell("-e", f"SECRET={secret}", command=("sh", "-c", "echo $SECRET >/x")), "cold")
        path = self.path(wait_until(self.ready, "a template", MAKING)[0]["Key"])
        done = subprocess.run(["grep", "-rlF", secret, path], capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, "")

    def test_copies_of_stopped_containers_files_too(self):
        self.cay("create", "--name", "stopped", "busybox", "true")
        self.cay("cp", "stopped:/etc/passwd", str(self.daemon.directory / "first"))
        wait_until(self.ready, "a template", MAKING)
        wait_until(lambda: not processes(str(self.daemon.root), "files.json"), "the files' VM to end")
        self.cay("cp", "stopped:/etc/passwd", str(self.daemon.directory / "second"))
        self.assertEqual(self.ready()[0]["Starts"], 1)
        self.cay("rm", "stopped")

    def test_twelve_starts_at_once_make_one(self):
        # Nobody waits for it: all of them start cold.
        starts = []

        def run():
            starts.append(self.run_and_tell("-m", "128m"))

        threads = [threading.Thread(target=run) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(starts, ["cold"] * 12)
        wait_until(self.ready, "a template", MAKING)
        self.assertEqual(len(self.templates()), 1)
        self.assertEqual(len(self.names_on_disk()), 1)
        self.assertEqual(self.run_and_tell("-m", "128m"), "template")

    def test_removed_while_clones_run(self):
        key = self.make()
        self.cay("run", "-d", "--name", "clone", "busybox", "sleep", "1000")
        self.assertEqual(self.inspect("clone")["Cay"]["Start"], "template")
        self.cay("template", "rm", key[:12])
        self.assertEqual(self.names_on_disk(), [])
        # Pages that the clone has not touched yet are still those of the removed file.
        self.cay("exec", "clone", "sh", "-c", "find / -xdev | wc -l; head -c 30m /dev/zero | md5sum")
        self.assertEqual(self.run_and_tell(), "cold")
        self.cay("rm", "-f", "clone")

    def test_removed_while_it_is_made(self):
        made = []
        thread = threading.Thread(target=lambda: made.append(self.api("POST", "/cay/v1/templates", {"Memory": 300 << 20},
                                                                      timeout=MAKING)))
        thread.start()
        key = wait_until(lambda: [one for one in self.templates() if one["State"] == "making"], "a maker")[0]["Key"]
        self.assertEqual(self.api("DELETE", f"/cay/v1/templates/{key}")[0], 204)
        thread.join()
        self.assertEqual(made[0][0], 409, made)
        wait_until(lambda: self.names_on_disk() == [], "its files to be gone")
        self.assertEqual(processes(str(self.daemon.root), ".new-"), [])

    def test_asked_for_again_while_it_is_given_up(self):
        thread = threading.Thread(target=self.api, args=("POST", "/cay/v1/templates", {"Memory": 300 << 20}),
                                  kwargs={"timeout": MAKING})
        thread.start()
        key = wait_until(lambda: [one for one in self.templates() if one["State"] == "making"], "a maker")[0]["Key"]
        self.assertEqual(self.api("DELETE", f"/cay/v1/templates/{key}")[0], 204)
        self.assertEqual(self.make(Memory=300 << 20), key)
        thread.join()

    def test_killed_maker_is_tried_again(self):
        made = []
        thread = threading.Thread(target=lambda: made.append(self.api("POST", "/cay/v1/templates", {"Memory": 300 << 20},
                                                                      timeout=MAKING)))
        thread.start()
        pid = wait_until(lambda: processes(str(self.daemon.root), ".new-"), "a maker")[0]
        os.kill(pid, signal.SIGKILL)
        thread.join()
        self.assertEqual(made[0][0], 500, made)
        self.assertEqual(self.names_on_disk(), [])
        template = self.templates()[0]
        self.assertEqual((template["State"], template["Ready"]), ("waiting", False))
        self.assertNotEqual(template["Error"], "")
        self.assertEqual(self.make(Memory=300 << 20), template["Key"])

    def test_api_of_people(self):
        key = self.cay("template", "create", timeout=MAKING)
        self.assertEqual(self.cay("template", "ls", "-q", "--no-trunc"), key)
        row = json.loads(self.cay("template", "ls", "--format", "json"))
        self.assertEqual((row["Key"], row["State"], row["Cpus"]), (key[:12], "ready", "1"))
        whole = json.loads(self.cay("template", "inspect", key[:10]))[0]
        self.assertEqual(pathlib.Path(whole["Path"]), self.path(key))
        self.assertEqual(whole["Shape"]["vcpus"], 1)
        self.assertIn(f"Templates\t1\t", self.cay("system", "df", "--format",
                                                  "{{.Type}}\t{{.TotalCount}}\t{{.Size}}"))
        self.assertIn(key[:12], self.cay("system", "df", "-v"))
        status, usage = self.api("GET", "/system/df?type=template")
        self.assertEqual((status, [one["Key"] for one in usage["Cay"]["Templates"]]), (200, [key]))
        info = self.api("GET", "/info")[1]
        self.assertEqual((info["Cay"]["Templates"]["Enabled"], info["Cay"]["Templates"]["Ready"]), (True, 1))
        self.assertIn("Templates", self.cay("info"))
        self.assertEqual(self.cay("template", "rm", key[:12]), key[:12])
        self.cay("template", "rm", key, code=1)
        self.assertEqual(self.cay("template", "rm", "-f", key), "")

    def test_bad_requests(self):
        for body in ({"Cpus": 0}, {"Cpus": 1 << 20}, {"Memory": 1}, {"Memory": "1g"}, {"Disks": 9},
                     {"Network": "lan"}, {"Memory": 1 << 62}):
            self.assertEqual(self.api("POST", "/cay/v1/templates", body)[0], 400, body)
        for key in ("nothing", "..", "%2e%2e", "0" * 64):
            self.assertIn(self.api("GET", f"/cay/v1/templates/{key}")[0], (400, 404), key)
            self.assertIn(self.api("DELETE", f"/cay/v1/templates/{key}")[0], (400, 404), key)


class TestDamage(TemplateTestCase):
    """What is wrong with a template costs a cold start and a line in the log, and it is made again."""

    def damage_and_run(self, damage):
        path = self.path(self.make())
        damage(path)
        before = len(self.log())
        self.assertEqual(self.run_and_tell(), "cold")
        wait_until(lambda: f"error: the template {path.name[:12]} is damaged" in self.log()[before:], "the log to tell")
        wait_until(self.ready, "another template", MAKING)
        self.assertEqual(self.run_and_tell(), "template")

    def test_truncated_memory(self):
        self.damage_and_run(lambda path: os.truncate(path / "memory", 1 << 20))

    def test_truncated_machine(self):
        self.damage_and_run(lambda path: os.truncate(path / "machine", 1000))

    def test_tampered_machine(self):
        def damage(path):
            with open(path / "machine", "r+b") as file:
                file.seek(5000)
                file.write(b"\xff" * 64)

        self.damage_and_run(damage)

    def test_no_document(self):
        self.damage_and_run(lambda path: os.unlink(path / "template.json"))

    def test_document_of_nonsense(self):
        self.damage_and_run(lambda path: (path / "template.json").write_text('{"format": 1, "shape": []}'))

    def test_removed_behind_the_daemons_back(self):
        self.damage_and_run(shutil.rmtree)

    def test_found_at_the_daemons_start(self):
        whole, damaged = self.make(), self.make(Network="none")
        times = (self.path(damaged) / "memory").stat()
        with open(self.path(damaged) / "memory", "r+b") as file:
            file.seek(8 << 20)
            file.write(b"damage" * 1000)
        os.utime(self.path(damaged) / "memory", ns=(times.st_atime_ns, times.st_mtime_ns))
        self.daemon.restart()
        self.wait_log(f"the template {damaged[:12]} is damaged")
        wait_until(lambda: self.names_on_disk() == [whole], "the damaged one to be gone")
        self.assertEqual(self.run_and_tell(), "template")


class TestOtherHost(TemplateTestCase):
    """Another kernel, initramfs or QEMU, another life of the daemon."""

    # They would be made as well, and have makers of their own.
    daemon_options = (*TemplateTestCase.daemon_options, "--translations", "off")

    @classmethod
    def make_daemon(cls):
        cls.parts = pathlib.Path(tempfile.mkdtemp(prefix="cay-parts-"))
        cls.addClassCleanup(shutil.rmtree, cls.parts, ignore_errors=True)
        for name in ("vmlinux", "initramfs.cpio"):
            shutil.copy2(os.path.realpath(BUILD / name), cls.parts / name)
        return Daemon(*cls.daemon_options, "--kernel", cls.parts / "vmlinux", "--initramfs",
                      cls.parts / "initramfs.cpio")

    def test_changed_kernel_while_the_daemon_runs(self):
        old = self.make()
        os.utime(self.parts / "vmlinux")
        self.assertEqual(self.run_and_tell(), "cold")
        wait_until(lambda: len(self.ready()) == 2, "a second template", MAKING)
        self.assertEqual(self.run_and_tell(), "template")
        self.daemon.restart()
        wait_until(lambda: old not in self.names_on_disk(), "the old one to go")
        self.assertEqual(self.run_and_tell(), "template")

    def test_changed_initramfs_between_daemons(self):
        old = self.make()
        self.daemon.kill()
        os.utime(self.parts / "initramfs.cpio")
        self.daemon.start()
        self.assertEqual(self.run_and_tell(), "cold")
        wait_until(lambda: old not in self.names_on_disk(), "the old one to go")
        wait_until(self.ready, "a new one", MAKING)

    def test_all_shapes_outlive_the_daemon(self):
        shapes = ({}, {"Network": "none"}, {"Disks": 3}, {"Memory": 128 << 20}, {"Cpus": 2})
        keys = {self.make(**shape) for shape in shapes}
        self.daemon.restart()
        other = self.make(Memory=300 << 20)  # begun when those that were there have been looked at
        self.assertEqual(set(self.names_on_disk()), {*keys, other})
        self.assertEqual(self.run_and_tell("--network", "none"), "template")

    def test_daemon_killed_while_one_is_made(self):
        thread = threading.Thread(target=self.try_make, daemon=True)
        thread.start()
        maker = wait_until(lambda: processes(str(self.daemon.root), ".new-"), "a maker")[0]
        self.daemon.restart()
        self.assertFalse(alive(maker))
        self.assertEqual([name for name in self.names_on_disk() if name.startswith(".")], [])
        thread.join()
        wait_until(lambda: sorted(entry.name for entry in self.daemon.run.iterdir()) == ["cayd.pid"], "rests to go")
        self.make()

    def try_make(self):
        try:
            self.api("POST", "/cay/v1/templates", {}, timeout=MAKING)
        except OSError:
            pass

    def test_stopped_while_one_is_made(self):
        thread = threading.Thread(target=self.try_make, daemon=True)
        thread.start()
        maker = wait_until(lambda: processes(str(self.daemon.root), ".new-"), "a maker")[0]
        begun = time.monotonic()
        self.daemon.kill(signal.SIGTERM)
        self.assertLess(time.monotonic() - begun, 20)
        self.assertFalse(alive(maker))
        self.assertEqual([name for name in self.names_on_disk() if name.startswith(".")], [])
        thread.join()
        self.daemon.start()

    def test_what_does_not_belong_there_goes(self):
        key = self.make()
        self.daemon.kill()
        root = self.daemon.root / "templates"
        (root / ".new-left").mkdir()
        (root / ".new-left.json").write_text("{}")
        (root / ".old-left").mkdir()
        (root / ("a" * 64)).mkdir()
        (root / "notes").write_text("mine")
        self.daemon.start()
        self.assertEqual(self.names_on_disk(), [key])
        self.assertEqual(self.run_and_tell(), "template")


class TestOff(TemplateTestCase):
    daemon_options = ("--templates", "off")

    def test_none_are_made(self):
        self.assertEqual(self.run_and_tell(), "cold")
        self.assertEqual(self.templates(), [])
        status, answer = self.api("POST", "/cay/v1/templates", {})
        self.assertEqual(status, 503, answer)
        self.assertIn("--templates off", answer["message"])


class TestFullDisk(TemplateTestCase):
    """On a file system that is almost full none is made: told once, tried again later."""

    @classmethod
    def make_daemon(cls):
        daemon = super().make_daemon()
        daemon.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m,mode=700", "cay", daemon.root], check=True)
        return daemon

    @classmethod
    def stop_daemon(cls):
        # The mount is this test's own.
        left = [one for one in cls.daemon.stop() if one != f"mount {cls.daemon.root}"]
        if left:
            raise AssertionError(f"left behind: {', '.join(left)}")

    def test_told_once(self):
        for _ in range(3):
            self.assertEqual(self.run_and_tell(), "cold")
        wait_until(lambda: [one for one in self.templates() if one["Error"]], "the failure")
        self.assertEqual(self.run_and_tell(), "cold")
        status, answer = self.api("POST", "/cay/v1/templates", {})
        self.assertEqual(status, 500)
        self.assertIn("almost full", answer["message"])
        self.assertEqual(self.log().count("could not be made"), 1)
        self.assertEqual(self.names_on_disk(), [])
