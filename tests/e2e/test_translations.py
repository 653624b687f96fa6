# SPDX-License-Identifier: Apache-2.0
"""Translations: what QEMU has translated is recorded once, used by the VMs that follow, and never needed."""

import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import time

from harness import BUILD, CayTestCase, Daemon, alive, processes, wait_until

# Made at the lowest priority: on a busy machine that takes its time.
MAKING = 300
HEAD = 64  # bytes that are looked at before the file is used


class TranslationsTestCase(CayTestCase):
    """A daemon of its own. With the start "template" it has translations, with "none" it makes them."""

    start_with = "none"
    options = ()

    @classmethod
    def make_daemon(cls):
        return Daemon("--log-level", "debug", *cls.options, start=cls.start_with)

    def forget(self):
        wait_until(lambda: not self.makers(), "what is being made", MAKING)
        for path in self.daemon.translations():
            path.unlink()

    def names_on_disk(self):
        return sorted(entry.name for entry in (self.daemon.root / "translations").iterdir())

    def makers(self):
        """The shims, and what they have started, of VMs that are being recorded."""
        return processes(str(self.daemon.root / "translations"))

    def wait_made(self):
        """The one finished file, with nothing else beside it."""
        wait_until(self.daemon.translations, "translations", MAKING)
        wait_until(lambda: len(self.names_on_disk()) == 1, "nothing else")
        return self.daemon.translations()[0]

    def make(self):
        if not self.daemon.translations():
            self.run_one()
        return self.wait_made()

    def run_one(self, *options):
        self.assertEqual(self.cay("run", "--rm", *options, "busybox", "sh", "-c", "echo hello | md5sum"),
                         "b1946ac92492d2347c6235b4d2611184  -")

    def path(self, name, file):
        return self.daemon.root / "containers" / self.inspect(name)["Id"] / file

    def start(self, name, *options):
        """A container that runs on; its QEMU's process."""
        self.cay("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")
        self.addCleanup(self.cay, "rm", "-f", name)
        return json.loads(self.path(name, "state.json").read_text())["vm_pid"]

    def blocks(self, name):
        """How many blocks of code its QEMU has taken, and how many it had to translate, when it was looked at first."""
        told = re.compile(r"(\d+) blocks of code were translated ahead, (\d+) by its QEMU")
        log = self.path(name, "shim.log")
        return tuple(map(int, wait_until(lambda: told.search(log.read_text()), "a look at it").groups()))

    def uses(self, pid, path):
        return str(path) in pathlib.Path(f"/proc/{pid}/maps").read_text()

    def log(self):
        return self.daemon.log.read_text(errors="replace")


class TestTranslations(TranslationsTestCase):
    def test_made_after_the_first_start_and_used_by_the_next(self):
        self.forget()
        path = self.make()
        self.assertEqual(path.stat().st_mode & 0o7777, 0o400)
        self.assertEqual(path.stat().st_uid, os.geteuid())
        self.assertEqual(path.parent.stat().st_mode & 0o7777, 0o700)
        self.assertGreater(path.stat().st_size, 1 << 20)
        self.assertIn(f"made the translations {path.name[:12]}", self.log())
        self.assertTrue(self.uses(self.start("cold", "-m", "100m", "-v", "data:/data"), path))
        self.assertTrue(self.uses(self.start("plain"), path))
        taken, translated = self.blocks("cold")
        self.assertGreater(taken, 20000)
        self.assertLess(translated, taken / 10)
        self.assertEqual(self.daemon.translations(), [path])

    def test_containers_run_on_without_their_file(self):
        path = self.make()
        pid = self.start("holder")
        path.unlink()
        self.assertTrue(self.uses(pid, path))
        self.cay("exec", "holder", "sh", "-c", "find / -xdev | md5sum; ls -lR /etc | wc -l")
        self.run_one()
        self.assertEqual(self.wait_made(), path)

    def test_fifty_starts_at_once_make_one(self):
        self.forget()
        before = self.log().count("made the translations")
        threads = [threading.Thread(target=self.run_cay, args=("run", "--rm", "-m", "64m", "busybox", "true"),
                                    kwargs={"timeout": MAKING}) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.wait_made()
        self.assertEqual(self.log().count("made the translations"), before + 1)
        self.assertEqual(len(self.names_on_disk()), 1)

    def test_templates_are_made_with_them(self):
        path = self.make()
        for template in self.api("GET", "/cay/v1/templates")[1]:
            self.api("DELETE", f"/cay/v1/templates/{template['Key']}")
        made = []
        thread = threading.Thread(target=lambda: made.append(self.api("POST", "/cay/v1/templates", {}, timeout=MAKING)))
        thread.start()
        wait_until(lambda: [pid for pid in processes("qemu-system") if self.is_user(pid, path)], "its QEMU")
        thread.join()
        self.assertEqual(made[0][0], 201)
        pid = self.start("clone")
        self.assertEqual(self.inspect("clone")["Cay"]["Start"], "template")
        self.assertTrue(self.uses(pid, path))

    def is_user(self, pid, path):
        try:
            return self.uses(pid, path)
        except OSError:  # it has ended
            return False


class TestDamage(TranslationsTestCase):
    """Whatever is in the file, containers start and do what they do."""

    start_with = "template"
    whole = {}

    def setUp(self):
        if not self.whole:
            path = self.daemon.translations()[0]
            self.whole.update(path=path, content=path.read_bytes())
        self.replace(self.whole["content"])
        self.began = len(self.log())

    def replace(self, content, mode=0o400):
        """Not in place: the file is also others'."""
        new = self.daemon.directory / "damaged"
        new.write_bytes(content)
        new.chmod(mode)
        new.rename(self.whole["path"])

    def damage_and_run(self, damage):
        self.replace(damage(self.whole["content"]))
        self.run_one()
        self.run_one("-v", "data:/data")  # which boots
        return self.whole["path"]

    def assert_refused(self):
        told = f"the translations {self.whole['path'].name[:12]} are damaged and removed"
        self.assertEqual(self.log()[self.began:].count(told), 1)

    def refused(self, damage):
        self.damage_and_run(damage)
        self.assert_refused()
        self.daemon.restart(signal.SIGTERM)  # which others need not wait for

    @staticmethod
    def flip(content, start, step):
        damaged = bytearray(content)
        for at in range(start, len(damaged), step):
            damaged[at] ^= 1 << at % 8
        return bytes(damaged)

    def test_damaged_everywhere(self):
        self.damage_and_run(lambda content: self.flip(content, HEAD, 61))

    def test_damaged_here_and_there(self):
        path = self.damage_and_run(lambda content: self.flip(content, HEAD, 4099))
        self.assertTrue(self.uses(self.start("user", "-v", "data:/data"), path))
        taken, translated = self.blocks("user")  # what is damaged, and all else
        self.assertGreater(taken, 10000)
        self.assertGreater(translated, 1000)

    def test_nothing_but_noise(self):
        self.damage_and_run(lambda content: content[:HEAD] + os.urandom(len(content) - HEAD))

    def test_damaged_head(self):
        path = self.damage_and_run(lambda content: self.flip(content[:16], 3, 16) + content[16:])
        self.assert_refused()
        self.assertEqual(self.wait_made(), path)
        self.assertTrue(self.uses(self.start("again"), path))

    def test_truncated(self):
        self.refused(lambda content: content[:len(content) // 2])

    def test_truncated_head(self):
        self.refused(lambda content: content[:HEAD - 1])

    def test_empty(self):
        self.refused(lambda content: b"")

    def test_readable_by_others(self):
        self.replace(self.whole["content"], 0o444)
        self.run_one()
        self.assert_refused()
        self.daemon.restart(signal.SIGTERM)

    def test_found_at_the_daemons_start(self):
        self.replace(b"nonsense")
        self.daemon.restart()
        self.assertEqual(self.names_on_disk(), [])
        self.assert_refused()


class TestLives(TranslationsTestCase):
    """Another kernel, another life of the daemon."""

    @classmethod
    def make_daemon(cls):
        cls.parts = pathlib.Path(tempfile.mkdtemp(prefix="cay-parts-"))
        cls.addClassCleanup(shutil.rmtree, cls.parts, ignore_errors=True)
        shutil.copy2(os.path.realpath(BUILD / "vmlinux"), cls.parts / "vmlinux")
        return Daemon("--log-level", "debug", "--kernel", cls.parts / "vmlinux", start="none")

    def test_stays_for_the_next_daemon(self):
        path = self.make()
        made = path.stat().st_ino
        self.daemon.restart()
        self.assertTrue(self.uses(self.start("next"), path))
        self.assertEqual(path.stat().st_ino, made)

    def test_changed_kernel(self):
        old = self.make()
        times = (self.parts / "vmlinux").stat()
        self.addCleanup(os.utime, self.parts / "vmlinux", ns=(times.st_atime_ns, times.st_mtime_ns))
        os.utime(self.parts / "vmlinux")
        self.assertFalse(self.uses(self.start("early"), old))
        wait_until(lambda: self.daemon.translations() not in ([], [old]), "others", MAKING)
        new = self.wait_made()
        self.assertNotEqual(new, old)
        self.assertTrue(self.uses(self.start("late"), new))

    def interrupt(self, number):
        self.forget()
        self.run_one()
        makers = wait_until(self.makers, "a VM that is recorded")
        begun = time.monotonic()
        self.daemon.kill(number)
        self.assertLess(time.monotonic() - begun, 20)
        return makers

    def test_daemon_killed_while_they_are_made(self):
        makers = self.interrupt(signal.SIGKILL)
        self.daemon.start()
        self.assertEqual([pid for pid in makers if alive(pid)], [])
        self.assertEqual(self.names_on_disk(), [])
        wait_until(lambda: sorted(entry.name for entry in self.daemon.run.iterdir()) == ["cayd.pid"], "rests to go")

    def test_stopped_while_they_are_made(self):
        makers = self.interrupt(signal.SIGTERM)
        self.assertEqual([pid for pid in makers if alive(pid)], [])
        self.assertEqual(self.names_on_disk(), [])
        self.daemon.start()

    def test_killed_maker_is_tried_again(self):
        self.forget()
        before = self.log().count("there are no translations yet")
        self.run_one()
        os.kill(wait_until(self.makers, "a VM that is recorded")[0], signal.SIGKILL)
        wait_until(lambda: self.log().count("there are no translations yet") > before, "the log to tell")
        self.assertEqual(self.names_on_disk(), [])
        self.daemon.restart()  # else it is tried after a minute
        self.make()

    def test_what_does_not_belong_there_goes(self):
        path = self.make()
        self.daemon.kill()
        folder = self.daemon.root / "translations"
        (folder / ".new-left").mkdir()
        (folder / ".new-left" / "first").write_text("half")
        (folder / ("a" * 64)).mkdir()
        (folder / "notes").write_text("mine")
        self.daemon.start()
        self.assertEqual(self.names_on_disk(), [path.name])
        self.assertTrue(self.uses(self.start("next"), path))


class TestPool(TranslationsTestCase):
    start_with = "template"
    options = ("--pool", "1")

    def test_members_have_them(self):
        path = self.daemon.translations()[0]
        self.daemon.wait_warm()
        pid = self.start("claimer")
        self.assertEqual(self.inspect("claimer")["Cay"]["Start"], "pool")
        self.assertTrue(self.uses(pid, path))


class TestOff(TranslationsTestCase):
    options = ("--translations", "off")

    def test_none_are_made(self):
        self.run_one()
        self.assertEqual(self.api("POST", "/cay/v1/templates", {}, timeout=MAKING)[0], 201)
        self.run_one()
        self.assertEqual(self.makers(), [])
        self.assertEqual(self.names_on_disk(), [])
