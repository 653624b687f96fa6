# SPDX-License-Identifier: Apache-2.0
"""Volumes that are disks of their own: contents, one user at a time, faults, and a database on one."""

import json
import os
import signal
import time

from cli_recorder import DOCKER
from harness import processes, wait_until
from net_images import servers_archive
from test_disks import MIB, DiskCase, blocks

FETCH = (servers_archive,)


class BlockCase(DiskCase):
    def volume(self, name, size="1g"):
        self.cay("volume", "create", "--opt", "type=block", "--opt", f"size={size}", name)
        self.addCleanup(self.run_cay, "volume", "rm", "-f", name)
        return self.disk(name)

    def disk(self, name):
        return self.daemon.root / "volumes" / name / "disk.ext4"

    def run_with(self, volume, *command, options=(), code=0):
        return self.cay("run", "--rm", "-v", f"{volume}:/data", *options, "busybox", *command, code=code)


class Volumes(BlockCase):
    def test_the_life_of_one(self):
        disk = self.volume("life", "2g")
        shown = json.loads(self.cay("volume", "inspect", "life"))[0]
        self.assertEqual(shown["Options"], {"type": "block", "size": "2g"})
        self.assertEqual(shown["Mountpoint"], str(disk))
        self.assertEqual(shown["Status"]["Size"], 2 << 30)
        self.assertLess(shown["Status"]["Used"], 8 * MIB)
        self.assertEqual(self.run_with("life", "sh", "-c", "ls -a /data; stat -c '%u %a' /data; echo kept >/data/file;"
                                                           "df -m /data | tail -1 | awk '{print $2}'").split()[:4],
                         [".", "..", "0", "755"])
        self.assertEqual(self.run_with("life", "cat", "/data/file"), "kept")
        usage = self.api("GET", "/system/df")[1]["Volumes"]
        self.assertEqual([volume["UsageData"]["Size"] for volume in usage if volume["Name"] == "life"], [blocks(disk)])
        self.cay("volume", "rm", "life")
        self.assertFalse(disk.parent.exists())

    def test_options(self):
        def create(options):
            return self.api("POST", "/volumes/create", {"Name": "wrong", "DriverOpts": options})

        for options, words in (({"type": "block", "size": "much"}, "invalid size: 'much'"),
                               ({"type": "block", "size": "1m"}, "between"),
                               ({"type": "block", "size": "9t"}, "between"),
                               ({"type": "block", "device": "/dev/sda"}, "invalid option: \"device\"")):
            status, answer = create(options)
            self.assertEqual(status, 400, answer)
            self.assertIn(words, answer["message"])
        self.assertEqual(self.api("GET", "/volumes/wrong")[0], 404)
        self.assertEqual(os.listdir(self.daemon.root / "volumes"), [])

    def test_it_is_filled_once(self):
        """As any volume: an empty one gets what the image has there, with owners and modes."""
        self.volume("filled")
        listing = "find /etc | sort | xargs stat -c '%n %u %g %a'"
        image = self.cay("run", "--rm", "busybox", "sh", "-c", listing)
        mounted = self.cay("run", "--rm", "-v", "filled:/etc", "busybox", "sh", "-c", f"{listing}; rm /etc/passwd")
        files = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")  # the container's own

        def rest(text):
            return [line for line in text.split("\n") if line.split()[0] not in files]

        self.assertEqual(rest(mounted), rest(image))
        self.assertNotIn("passwd", self.cay("run", "--rm", "-v", "filled:/mnt", "busybox", "ls", "/mnt"))

    def test_read_only(self):
        self.volume("still")
        self.run_with("still", "touch", "/data/file")
        done = self.run_cay("run", "--rm", "--read-only", "--tmpfs", "/run", "-v", "still:/data:ro", "busybox", "sh", "-c",
                            "ls /data; touch /run/x && touch /data/other")
        self.assertIn("file", done.stdout)
        self.assertIn("Read-only file system", done.stderr)

    def test_two_and_no_more(self):
        for name in ("one", "two", "three"):
            self.volume(name)
        self.assertEqual(self.cay("run", "--rm", "-v", "one:/a", "-v", "two:/b", "-v", "one:/c", "busybox", "sh", "-c",
                                  "echo x >/a/x; echo y >/b/y; ls /a /b /c").split(),
                         ["/a:", "x", "/b:", "y", "/c:", "x"])
        done = self.run_cay("run", "--rm", "-v", "one:/a", "-v", "two:/b", "-v", "three:/c", "busybox", "true")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("2 block volumes at most", done.stderr)

    def test_taken_in_one_order(self):
        """Whoever needs two, however it names them: so no two containers wait for each other."""
        for name in ("aa", "zz"):
            self.volume(name)
        began = self.run_program(DOCKER, "info", "--format", "{{.SystemTime}}").stdout.strip()
        self.cay("create", "--name", "both", "-v", "zz:/a", "-v", "aa:/z", "-v", "zz:/y", "busybox", "true")
        self.addCleanup(self.run_cay, "rm", "-f", "both")
        self.cay("start", "-a", "both")
        self.run_cay("cp", "both:/etc/passwd", "-")
        events = self.run_program(DOCKER, "events", "--since", began, "--until", str(int(time.time()) + 2), "--filter",
                                  "event=mount", "--format", "{{.Actor.ID}} {{.Actor.Attributes.destination}}").stdout
        self.assertEqual(events.splitlines(), ["aa /z", "zz /a", "zz /y"] * 2)

    def test_it_is_full(self):
        disk = self.volume("small", "64m")
        out = self.run_with("small", "sh", "-c", "dd if=/dev/urandom of=/data/big bs=1M count=200 2>&1 | head -1;"
                                                 "rm /data/big; sync; echo ok >/data/ok; cat /data/ok; df /data | tail -1")
        self.assertIn("No space left on device", out)
        self.assertIn("ok", out.split("\n"))
        wait_until(lambda: blocks(disk) < 16 * MIB, "the space to be given back", 30)

    def test_space_comes_back_while_it_runs(self):
        disk = self.volume("trimmed")
        self.cay("run", "-d", "--name", "trimmer", "-v", "trimmed:/data", "busybox", "sleep", "1000")
        self.cay("exec", "trimmer", "sh", "-c", "dd if=/dev/urandom of=/data/big bs=1M count=64 2>/dev/null; sync")
        full = blocks(disk)
        self.assertGreaterEqual(full, 64 * MIB)
        self.cay("exec", "trimmer", "sh", "-c", "rm /data/big; sync")
        wait_until(lambda: blocks(disk) < full - 60 * MIB, "the space to be given back", 30)
        self.cay("rm", "-f", "trimmer")


class OneAtATime(BlockCase):
    def refused(self, volume, holder):
        done = self.run_cay("run", "--rm", "-v", f"{volume}:/data", "busybox", "true")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"container {holder} has it", done.stderr)
        self.assertIn("in use by container", done.stderr)

    def test_a_second_container_is_refused(self):
        """Who has it is named; a daemon that was killed still knows; the end of the first frees it at once."""
        self.volume("lonely")
        self.cay("run", "-d", "--name", "holder", "-v", "lonely:/data", "busybox", "sleep", "1000")
        self.refused("lonely", "holder")
        done = self.run_cay("run", "--rm", "-v", "lonely:/data:ro", "busybox", "true")
        self.assertNotEqual(done.returncode, 0)
        self.daemon.restart(signal.SIGKILL)
        self.refused("lonely", "holder")
        self.assertEqual(self.run_cay("volume", "rm", "lonely").returncode, 1)
        for _ in range(3):
            self.cay("kill", "holder")
            self.assertEqual(self.run_with("lonely", "echo", "mine"), "mine")
            self.cay("start", "holder")
            self.refused("lonely", "holder")
        self.cay("rm", "-f", "holder")
        self.assertEqual(self.run_with("lonely", "echo", "mine"), "mine")

    def test_a_copy_gives_it_back(self):
        """The VM in which a stopped container's files are read has the volume for a while."""
        self.volume("copied")
        self.cay("run", "--name", "source", "-v", "copied:/data", "busybox", "sh", "-c", "echo kept >/data/file")
        self.cay("cp", "source:/data/file", str(self.daemon.directory / "file"))
        self.assertEqual((self.daemon.directory / "file").read_text(), "kept\n")
        self.assertEqual(self.run_with("copied", "cat", "/data/file"), "kept")
        self.cay("rm", "source")

    def test_all_is_killed(self):
        """Daemon, shim and VM: nobody holds it any more, and what was synced is there."""
        self.volume("orphan")
        self.cay("run", "-d", "--name", "dead", "-v", "orphan:/data", "busybox", "sh", "-c",
                 "i=0; while :; do i=$((i+1)); echo line $i >>/data/log; sync; echo $i; done")
        wait_until(lambda: len(self.cay("logs", "dead").split()) > 10, "some lines to be written")
        self.daemon.kill()
        for pid in [*processes("cay-shim", str(self.daemon.directory)), *processes("qemu", self.daemon_id("dead"))]:
            os.kill(pid, signal.SIGKILL)
        self.daemon.start()
        told = int(self.cay("logs", "dead").split()[-1])
        lines = self.run_with("orphan", "cat", "/data/log").split("\n")
        self.assertEqual(lines[:told], [f"line {i}" for i in range(1, told + 1)])

    def daemon_id(self, name):
        """A container's id without asking the daemon, which is gone."""
        found, = [path.name for path in (self.daemon.root / "containers").iterdir()
                  if json.loads((path / "shim.json").read_text())["disks"][-1]["extents"][0]["path"].endswith(
                      "/orphan/disk.ext4")]
        return found

    def test_a_marked_disk_is_checked(self):
        disk = self.volume("marked")
        self.run_with("marked", "sh", "-c", "echo kept >/data/file")
        wait_until(lambda: not processes("qemu", str(self.daemon.run)), "the VM to be gone")
        self.debugfs(disk, "set_super_value state 3")
        self.assertEqual(self.run_with("marked", "cat", "/data/file"), "kept")
        self.assertIn("the volume marked was checked", self.log())

    def test_networks_keep_their_slots(self):
        """Two disks more leave slots for two network cards: a third network is an error that says so."""
        for name in ("left", "right"):
            self.volume(name)
        for name in ("net1", "net2", "net3"):
            self.cay("network", "create", name)
            self.addCleanup(self.run_cay, "network", "rm", name)
        arguments = ("-v", "left:/a", "-v", "right:/b", "--network", "net1", "--network", "net2")
        self.assertEqual(self.cay("run", "--rm", *arguments, "busybox", "sh", "-c", "ls /sys/class/net | grep -c eth"), "2")
        done = self.run_cay("run", "--rm", *arguments, "--network", "net3", "busybox", "true")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("at most 2 networks at a time beside its block volumes", done.stderr)


class Database(BlockCase):
    """PostgreSQL with its data on a block volume."""

    # The image brings an empty database, with which the volume is filled.
    START = ("exec su postgres -c 'exec /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main"
             " -c config_file=/etc/postgresql/15/main/postgresql.conf -c listen_addresses= -k /tmp'")
    OPTIONS = ("-m", "512m", "-v", "pgdata:/var/lib/postgresql/15/main", "servers", "bash", "-c", START)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_cay("load", "-i", str(servers_archive()))
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def sql(self, text, container="db"):
        done = self.run_cay("exec", container, "psql", "-h", "/tmp", "-U", "postgres", "-Atc", text)
        return done.stdout.strip() if done.returncode == 0 else None

    def test_it_survives_the_end_of_its_machine(self):
        """Every transaction that was committed is there after QEMU is killed under pgbench."""
        self.volume("pgdata", "2g")
        self.cay("run", "-d", "--name", "db", *self.OPTIONS)
        wait_until(lambda: self.sql("select 1") == "1", "the database to start")
        self.cay("exec", "db", "/usr/lib/postgresql/15/bin/pgbench", "-h", "/tmp", "-U", "postgres", "-i", "-q", "postgres")
        self.sql("create table told (n serial)")
        bench = self.start_cay("exec", "db", "/usr/lib/postgresql/15/bin/pgbench", "-h", "/tmp", "-U", "postgres",
                               "-n", "-c", "2", "-T", "600", "postgres")
        before = int(self.sql("select count(*) from pgbench_history"))
        wait_until(lambda: int(self.sql("select count(*) from pgbench_history") or 0) > before + 20, "transactions")
        self.sql("insert into told default values")
        committed = int(self.sql("select count(*) from pgbench_history"))
        self.kill_vm("db")
        bench.communicate(timeout=60)
        self.cay("start", "db")
        wait_until(lambda: self.sql("select 1") == "1", "the database to recover")
        self.assertGreaterEqual(int(self.sql("select count(*) from pgbench_history")), committed)
        self.assertEqual(self.sql("select count(*) from told"), "1")
        self.assertEqual(self.sql("select sum(abalance) from pgbench_accounts"),
                         self.sql("select sum(delta) from pgbench_history"))
        self.cay("rm", "-f", "db")
        # Another container takes the volume over, with its own VM's user.
        self.cay("run", "-d", "--name", "db2", *self.OPTIONS)
        wait_until(lambda: self.sql("select 1", "db2") == "1", "the database to start")
        self.assertEqual(self.sql("select count(*) from told", "db2"), "1")
        self.cay("rm", "-f", "db2")
