# SPDX-License-Identifier: Apache-2.0
"""stats: what the guest says a container uses, and what the container costs this host."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil

from harness import CayTestCase, processes, wait_until

CLIENTS = sorted({path for path in (shutil.which("docker"), "/usr/bin/docker") if path and os.path.exists(path)})
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def size(text):
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text.strip()).groups()
    return float(number) * UNITS[unit]


def memory(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name} for process {pid}")


def proportional(pid):
    return memory(pid, "Pss")


class Stats(CayTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_cay("run", "-d", "--name", "idle", "-m", "256m", "busybox", "sleep", "100000")
        assert done.returncode == 0, done.stderr

    def one(self, name, query="stream=0&one-shot=1"):
        status, stats = self.api("GET", f"/containers/{name}/stats?{query}")
        self.assertEqual(status, 200, stats)
        return stats

    def host(self, name):
        return self.one(name)["cay_host"]

    def test_the_hosts_side_is_the_processes_of_the_container(self):
        identity = self.inspect("idle")["Id"]
        pids = set(processes("cay-shim", identity) + processes("qemu", identity))
        self.assertEqual(len(pids), 2, pids)
        host, expected = self.host("idle"), sum(proportional(pid) for pid in pids)
        self.assertEqual(host["processes"], len(pids))
        self.assertAlmostEqual(host["memory"] / expected, 1, delta=0.25)  # others start and end beside it
        self.assertGreaterEqual(host["resident"], host["memory"])

    def test_what_a_guest_takes_the_host_sees(self):
        self.cay("run", "-d", "--name", "grows", "-m", "512m", "--tmpfs", "/big:size=200m", "busybox", "sleep", "100000")
        before = self.one("grows")
        self.cay("exec", "grows", "dd", "if=/dev/zero", "of=/big/file", "bs=1M", "count=150")
        after = self.one("grows")
        self.assertGreater(after["memory_stats"]["usage"] - before["memory_stats"]["usage"], 140 << 20)
        grown = {name: after["cay_host"][name] - before["cay_host"][name] for name in ("resident", "memory")}
        self.assertGreater(grown["resident"], 140 << 20)
        # Its part of what it shares with other VMs becomes smaller with each that starts meanwhile.
        self.assertGreater(grown["memory"], 100 << 20)
        self.assertGreater(after["cpu_stats"]["cpu_usage"]["total_usage"], before["cpu_stats"]["cpu_usage"]["total_usage"])
        self.cay("exec", "grows", "rm", "/big/file")
        wait_until(lambda: self.host("grows")["memory"] - before["cay_host"]["memory"] < 50 << 20,
                   "the memory to come back to the host", 30)
        self.cay("rm", "-f", "grows")

    def test_an_idle_guest_gives_back_its_translated_code(self):
        self.cay("run", "-d", "--name", "rests", "busybox", "sleep", "100000")
        vm = processes("qemu", self.inspect("rests")["Id"])[0]
        if "accel=kvm" in pathlib.Path(f"/proc/{vm}/cmdline").read_text():
            self.skipTest("KVM translates nothing")
        # What it shares is not looked at: its part of that grows when other clones of its template end.
        before = memory(vm, "Anonymous")
        # The guest is left alone meanwhile: asking it for its numbers would be work.
        wait_until(lambda: before - memory(vm, "Anonymous") > 10 << 20, "translated code to be given back", 60)
        self.assertEqual(self.cay("exec", "rests", "echo", "still here"), "still here")
        self.cay("rm", "-f", "rests")

    def test_a_file_server_is_counted(self):
        self.cay("run", "-d", "--name", "shares", "-v", f"{self.daemon.directory}:/here:ro", "busybox", "sleep", "100000")
        self.assertEqual(self.host("shares")["processes"], 3)
        self.cay("rm", "-f", "shares")

    def test_the_table(self):
        row = json.loads(self.cay("stats", "--no-stream", "--format", "json", "idle"))
        self.assertEqual(row["Name"], "idle")
        self.assertGreater(size(row["HostMem"]), 5 << 20)
        self.assertGreater(size(row["HostMem"]), size(row["MemUsage"].split("/")[0]))
        header, line = self.cay("stats", "--no-stream", "idle").splitlines()
        self.assertRegex(header, r"^CONTAINER ID +NAME +CPU % +MEM USAGE / LIMIT +MEM % +HOST MEM +NET I/O +BLOCK I/O +PIDS$")
        self.assertIn("idle", line)

    def test_docker_clients(self):
        for client in CLIENTS:
            with self.subTest(client):
                done = self.run_program(client, "stats", "--no-stream", "--format", "{{json .}}", "idle")
                self.assertEqual(done.returncode, 0, done.stderr)
                row = json.loads(done.stdout)
                self.assertEqual((row["Name"], row["PIDs"]), ("idle", "1"))
                self.assertLessEqual(size(row["MemUsage"].split("/")[1]), 256 << 20)
                self.assertGreater(size(row["MemUsage"].split("/")[0]), 0)

    def test_a_stream_goes_on_and_carries_the_sample_before(self):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = self.daemon.connect(60)
        with contextlib.closing(connection):
            connection.request("GET", "/containers/idle/stats")
            answer = connection.getresponse()
            first, second = (json.loads(answer.readline()) for _ in range(2))
        self.assertEqual(second["precpu_stats"]["cpu_usage"], first["cpu_stats"]["cpu_usage"])
        self.assertEqual(second["preread"], first["read"])
        self.assertLess(first["read"], second["read"])

    def test_one_that_does_not_run(self):
        self.cay("create", "--name", "waits", "busybox", "true")
        stats = self.one("waits")
        self.assertEqual((stats["memory_stats"], stats["cpu_stats"]["cpu_usage"]["total_usage"]), ({}, 0))
        self.assertNotIn("cay_host", stats)
        self.assertEqual(self.api("GET", "/containers/nonesuch/stats?stream=0")[0], 404)
        self.cay("rm", "waits")
