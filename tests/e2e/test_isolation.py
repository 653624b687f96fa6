# SPDX-License-Identifier: Apache-2.0
"""The walls: a kernel of its own for each container, and QEMU behind a wall of its own."""

import concurrent.futures
import os
import pathlib
import time

from harness import BUILD, CayTestCase, processes


class Kernels(CayTestCase):
    def test_each_container_has_a_kernel_of_its_own(self):
        def boot_id(_):
            return self.cay("run", "--rm", "busybox", "sh", "-c", "uname -r; cat /proc/sys/kernel/random/boot_id").split()

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            seen = list(pool.map(boot_id, range(3)))
        host = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.assertEqual(len({identity for _, identity in seen} | {host}), 4)
        self.assertNotEqual(seen[0][0], os.uname().release)

    def test_ten_at_once(self):
        names = [f"ten{n}" for n in range(10)]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda name: self.cay("run", "-d", "--name", name, "busybox", "sleep", "10000"), names))
        self.assertEqual(len(self.cay("ps", "-q").split()), 10)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda name: self.cay("exec", name, "hostname"), names))
        self.assertEqual(len(set(answers)), 10)

    def test_the_clock_is_the_host_s(self):
        before = time.time()
        guest = int(self.cay("run", "--rm", "busybox", "date", "+%s"))
        self.assertGreaterEqual(guest, int(before))
        self.assertLessEqual(guest, time.time() + 1)


class Jail(CayTestCase):
    def test_qemu_has_no_privileges(self):
        identity = self.cay("run", "-d", "busybox", "sleep", "10000")
        qemu = self.children_of_shim(identity)
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{qemu[0]}/status").read_text().splitlines()
                      if ":\t" in line)
        self.assertNotIn("0", status["Uid"].split())
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16), 0)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(status["Groups"].strip(), "")
        for name in ("mnt", "net", "pid", "ipc"):
            self.assertNotEqual(os.readlink(f"/proc/{qemu[0]}/ns/{name}"), os.readlink(f"/proc/self/ns/{name}"), name)
        # Nothing of the host's own files but what QEMU is made of.
        root = pathlib.Path(f"/proc/{qemu[0]}/root")
        inside = {"/" + str(path.relative_to(root)) for top in root.iterdir()
                  if top.name not in ("usr", "lib", "lib64", "dev") for path in top.rglob("*") if not path.is_dir()}
        files = {"/etc/ld.so.cache"}
        if self.inspect(identity)["Cay"]["Start"] == "cold":  # a clone's kernel is in its memory
            files |= {str(BUILD / "vmlinux"), str(BUILD / "initramfs.cpio")}
        self.assertEqual(inside, files)
        self.assertEqual({path.name for path in (root / "dev").iterdir()}, {"null", "urandom"})
        self.assertLessEqual({path.name for path in (root / "usr").iterdir()}, {"bin", "lib", "lib64", "share"})
        self.assertEqual(len(list((root / "usr" / "bin").iterdir())), 1)

    def children_of_shim(self, identity):
        shim = processes("cay-shim", identity)[0]
        return [int(pid) for pid in pathlib.Path(f"/proc/{shim}/task/{shim}/children").read_text().split()]

    def test_two_vms_have_two_users(self):
        ids = [self.cay("run", "-d", "busybox", "sleep", "10000") for _ in range(2)]
        users = {os.stat(f"/proc/{self.children_of_shim(identity)[0]}").st_uid for identity in ids}
        self.assertEqual(len(users), 2)
        self.assertNotIn(0, users)
