# SPDX-License-Identifier: Apache-2.0
"""Machines that are frozen, and those that are made of them: what a clone has of its own, and that whatever is
wrong with a template costs its container nothing but time. The daemon's own templates are off here: the program
that it takes for cay-shim adds the one that a test has made.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from harness import BUILD, CayTestCase, Daemon, processes, wait_until

WRAPPER = """#!/usr/bin/env python3
import json, os, pathlib, sys
config = pathlib.Path(sys.argv[sys.argv.index("--config") + 1])
choice = pathlib.Path({choice!r})
if choice.exists():
    whole = json.loads(config.read_text())
    whole["template"] = choice.read_text()
    config.write_text(json.dumps(whole))
os.execv({shim!r}, ["cay-shim", *sys.argv[1:]])
"""


def checksum(data):
    """As src/vmm/template.c takes it of the machine."""
    total = 0xcbf29ce484222325
    for at in range(0, len(data), 8):
        total = (total ^ int.from_bytes(data[at:at + 8], "little")) * 0x100000001b3 % (1 << 64)
    return total


def try_remove(directory):
    with contextlib.suppress(OSError):
        directory.rmdir()
    return not directory.exists()


def stop_within(shim, path):
    """Stops the shim when QEMU has written some of the file. Between two looks it runs too short to get further."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shim.send_signal(signal.SIGSTOP)
        if path.exists() and path.stat().st_blocks > 0:
            return
        shim.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    raise AssertionError(f"there is nothing in {path}")


class TemplateCase(CayTestCase):
    @classmethod
    def make_daemon(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-e2e-template-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.choice = cls.directory / "choice"
        wrapper = cls.directory / "shim"
        wrapper.write_text(WRAPPER.format(choice=str(cls.choice), shim=str(BUILD / "cay-shim")))
        wrapper.chmod(0o755)
        return Daemon("--templates", "off", "--shim", str(wrapper), "--memory-default", "256m")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # What the daemon describes for any container is what a template must be made for.
        done = cls.run_cay("run", "--name", "model", "busybox", "true")
        assert done.returncode == 0, done.stderr
        cls.model = json.loads(cls.container_file("model", "shim.json").read_text())
        cls.template = cls.directory / "template"
        done = cls.freeze(cls.template)
        assert done.returncode == 0, done.stderr

    @classmethod
    def container_file(cls, name, file):
        done = cls.run_cay("inspect", "--format", "{{.Id}}", name)
        return cls.daemon.root / "containers" / done.stdout.strip() / file

    @classmethod
    def describe(cls, output):
        """The configuration of a shim that makes a template for containers like the model."""
        output.mkdir(mode=0o700, exist_ok=True)
        run = cls.directory / f"{output.name}-run"
        run.mkdir(mode=0o700, exist_ok=True)
        kept = ("kernel", "initramfs", "qemu", "acceleration", "tsc_khz", "stock_kernel", "vcpus", "memory_bytes")
        config = {key: cls.model[key] for key in kept if key in cls.model}
        config.update(id=output.name, purpose="template", template_output=str(output), run_directory=str(run),
                      boot_log_path=str(run / "boot.log"), vm_uid=54321,
                      disks=[{"read_only": disk["read_only"], "extents": []} for disk in cls.model["disks"]],
                      interfaces=[{"kind": card["kind"], "device": f"caym{os.getpid():x}.{i}", "mac": f"02:00:00:00:00:0{i}",
                                   "mtu": card["mtu"], "queues": card["queues"]}
                                  for i, card in enumerate(cls.model["interfaces"])])
        path = run / "config.json"
        path.write_text(json.dumps(config))
        return path

    @classmethod
    def freeze(cls, output):
        return subprocess.run([str(BUILD / "cay-shim"), "--config", str(cls.describe(output))], capture_output=True,
                              text=True, timeout=120, check=False)

    def copy(self):
        """Another template, to be spoiled."""
        copy = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        subprocess.run(["cp", "-a", "--sparse=always", f"{self.template}/.", copy], check=True)
        for file in copy.iterdir():
            file.chmod(0o600)
        return copy

    @contextlib.contextmanager
    def using(self, template):
        self.choice.write_text(str(template))
        try:
            yield
        finally:
            self.choice.unlink()

    def start_of(self, *arguments):
        """How a container's machine came to be."""
        self.cay("run", "--name", "asked", *arguments)
        try:
            return self.inspect("asked")["Cay"]["Start"]
        finally:
            self.cay("rm", "asked")

    def run_from(self, template, *command, options=()):
        with self.using(template):
            return self.cay("run", "--rm", *options, "busybox", *command)


class Clones(TemplateCase):
    def test_how_it_was_started(self):
        with self.using(self.template):
            self.assertEqual(self.start_of("busybox", "true"), "template")
            # Shared directories are a device that QEMU takes up no state beside.
            self.assertEqual(self.start_of("-v", "/usr:/host:ro", "busybox", "ls", "/host/bin"), "cold")
        self.assertEqual(self.start_of("busybox", "true"), "cold")

    def test_what_each_has_of_its_own(self):
        script = ("cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid;"
                  "head -c 16 /dev/urandom | od -An -tx1; cat /sys/class/net/eth0/address; hostname;"
                  "ip -6 addr show dev eth0 scope link | grep -o 'fe80[^ ]*'; grep -o '.*\\[stack' /proc/self/maps")
        runs = [self.run_from(self.template, "sh", "-c", script).split("\n") for _ in range(3)]
        for lines in zip(*runs):
            if lines[0]:
                self.assertEqual(len(set(lines)), len(lines), lines)

    def test_its_time_is_right(self):
        for _ in range(2):
            before = time.time()
            words = self.run_from(self.template, "sh", "-c", "date +%s; cut -d' ' -f1 /proc/uptime").split()
            self.assertLess(before - 1, int(words[0]) + 1)
            self.assertLess(int(words[0]), time.time() + 1)

    def test_its_network(self):
        with self.using(self.template):
            self.cay("run", "-d", "--name", "peer", "busybox", "sleep", "600")
            mac = self.inspect("peer")["NetworkSettings"]["MacAddress"]
            self.assertEqual(self.cay("exec", "peer", "cat", "/sys/class/net/eth0/address").strip(), mac)
            address = self.inspect("peer")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
            self.cay("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", address)
            # The spare card was frozen too.
            self.cay("network", "create", "second")
            self.cay("network", "connect", "second", "peer")
            second = self.inspect("peer")["NetworkSettings"]["Networks"]["second"]
            shown = self.cay("exec", "peer", "ip", "addr")
            self.assertIn(second["IPAddress"], shown)
            self.assertIn(second["MacAddress"], shown)
            self.cay("rm", "-f", "peer")
            self.cay("network", "rm", "second")

    def test_its_disks(self):
        with self.using(self.template):
            self.cay("run", "--name", "disk", "busybox", "sh", "-c", "echo kept > /file; dd if=/dev/zero of=/big bs=1M"
                     " count=20 && md5sum /bin/busybox")
            sum_there = self.cay("logs", "disk").split()[0]
            self.cay("cp", "disk:/file", self.directory / "file")
            self.assertEqual((self.directory / "file").read_text(), "kept\n")
            self.assertEqual(self.cay("run", "--rm", "busybox", "md5sum", "/bin/busybox").split()[0], sum_there)
            self.cay("rm", "disk")
        self.assertEqual(self.cay("run", "--rm", "busybox", "md5sum", "/bin/busybox").split()[0], sum_there)

    def test_clones_leave_the_template_as_it_was(self):
        before = (self.template / "memory").stat()
        sums = subprocess.run(["sha256sum", *sorted(self.template.iterdir())], capture_output=True, check=True).stdout
        with self.using(self.template):
            self.cay("run", "-d", "--name", "eater", "busybox", "sh", "-c",
                     "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; rm /dev/shm/x; sleep 600")
            time.sleep(6)  # in which the guest tells what it has freed, twice
            self.cay("rm", "-f", "eater")
        after = (self.template / "memory").stat()
        self.assertEqual((before.st_mtime_ns, before.st_blocks), (after.st_mtime_ns, after.st_blocks))
        self.assertEqual(subprocess.run(["sha256sum", *sorted(self.template.iterdir())], capture_output=True,
                                        check=True).stdout, sums)

    def test_a_clone_that_is_killed(self):
        with self.using(self.template):
            self.cay("run", "-d", "--name", "victim", "busybox", "sleep", "600")
        for pid in processes("--config", self.inspect("victim")["Id"]):
            os.kill(pid, signal.SIGKILL)
        self.wait_state("victim", "exited")
        self.cay("rm", "victim")


class Faults(TemplateCase):
    def expect_cold(self, template, *words):
        with self.using(template):
            self.cay("run", "--name", "cold", "busybox", "true")
        try:
            self.assertEqual(self.inspect("cold")["Cay"]["Start"], "cold")
            log = self.container_file("cold", "shim.log").read_text()
            self.assertIn("starting from a template", log)
            for word in words:
                self.assertIn(word, log)
        finally:
            self.cay("rm", "cold")

    def rewrite(self, template, change):
        path = template / "template.json"
        whole = json.loads(path.read_text())
        change(whole)
        path.write_text(json.dumps(whole))

    def test_none(self):
        self.expect_cold(self.directory / "absent", "No such file")

    def test_unfinished(self):
        copy = self.copy()
        (copy / "template.json").unlink()
        self.expect_cold(copy, "no finished template")

    def test_truncated(self):
        for name in ("memory", "machine", "template.json"):
            with self.subTest(name):
                copy = self.copy()
                os.truncate(copy / name, 100)
                self.expect_cold(copy, "damaged")

    def test_tampered_machine(self):
        copy = self.copy()
        data = bytearray((copy / "machine").read_bytes())
        data[1000] ^= 1
        (copy / "machine").write_bytes(data)
        self.expect_cold(copy, "its machine is not what was frozen")

    def test_a_machine_that_qemu_refuses(self):
        copy = self.copy()
        data = os.urandom((copy / "machine").stat().st_size)
        (copy / "machine").write_bytes(data)
        self.rewrite(copy, lambda whole: whole.update(machine_sum=f"{checksum(data):016x}"))
        self.expect_cold(copy, "the VM ended")

    def test_a_memory_without_a_guest(self):
        copy = self.copy()
        memory = (copy / "memory").stat()
        os.truncate(copy / "memory", 0)
        os.truncate(copy / "memory", memory.st_size)
        os.utime(copy / "memory", ns=(memory.st_atime_ns, memory.st_mtime_ns))
        self.expect_cold(copy)

    def test_another_shape(self):
        for key, value in (("vcpus", 7), ("kernel", {}), ("qemu", {}), ("cards", []), ("format", 2)):
            with self.subTest(key):
                copy = self.copy()
                self.rewrite(copy, lambda whole, key=key, value=value: whole["shape"].update({key: value}))
                self.expect_cold(copy, f'its "{key}" differs')

    def test_nobody_else_may_have_written_it(self):
        copy = self.copy()
        (copy / "memory").chmod(0o666)
        self.expect_cold(copy, "damaged")

    def test_a_freeze_that_is_killed(self):
        output = self.directory / "killed"
        config = self.describe(output)
        for name in ("memory", "machine"):
            with self.subTest(name):
                with subprocess.Popen([str(BUILD / "cay-shim"), "--config", str(config)], stderr=subprocess.PIPE,
                                      text=True) as shim:
                    try:
                        stop_within(shim, output / name)
                    finally:
                        shim.kill()
                    self.assertEqual(shim.communicate()[1], "")
                wait_until(lambda: not processes("qemu", "-name killed"), "QEMU to end")
                cgroups = pathlib.Path("/sys/fs/cgroup").glob("**/cay/killed")
                wait_until(lambda cgroups=list(cgroups): all(try_remove(group) for group in cgroups), "cgroups to empty")
                self.assertFalse((output / "template.json").exists())
                for file in output.iterdir():
                    file.unlink()

    def test_a_full_disk(self):
        for size in ("8m", "35m"):
            with self.subTest(size):
                output = self.directory / f"full-{size}"
                output.mkdir()
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", output], check=True)
                self.addCleanup(subprocess.run, ["umount", output], check=True)
                done = self.freeze(output)
                self.assertNotEqual(done.returncode, 0)
                self.assertFalse((output / "template.json").exists())
                self.assertIn("no room left", done.stderr)

    def test_over_what_is_there(self):
        done = self.freeze(self.template)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("File exists", done.stderr)
        with self.using(self.template):
            self.assertEqual(self.start_of("busybox", "true"), "template")
