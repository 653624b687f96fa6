# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon, the shim and QEMU: what runs goes on, what ended is known, nothing is left."""

import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import time

from harness import CayTestCase, Daemon, BUILD, alive, processes, wait_until


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Faults(CayTestCase):
    def shim_of(self, identity):
        return wait_until(lambda: processes("cay-shim", identity), "the shim")[0]

    def assert_nothing_left(self, identity):
        wait_until(lambda: not processes(identity), f"every process of {identity[:12]} to end")
        wait_until(lambda: not (self.daemon.run / identity).exists(), "its run directory to go")
        self.assertNotIn(identity, pathlib.Path("/proc/self/mountinfo").read_text())
        self.assertFalse([path for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/cay/{identity}*") if path.is_dir()])


class DaemonKilled(Faults):
    def test_containers_run_on(self):
        identity = self.cay("run", "-d", "--name", "steady", "busybox", "sh", "-c",
                            "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done")
        shim = self.shim_of(identity)
        wait_until(lambda: self.cay("logs", "steady"), "the first lines")
        self.daemon.kill()
        self.assertTrue(alive(shim))
        self.daemon.start()
        self.assertIn("steady", self.names())
        self.assertEqual(self.shim_of(identity), shim)
        count = len(self.cay("logs", "steady").splitlines())
        wait_until(lambda: len(self.cay("logs", "steady").splitlines()) > count + 1, "more lines")
        lines = [int(line) for line in self.cay("logs", "steady").split()]
        self.assertEqual(lines, list(range(1, len(lines) + 1)))
        self.assertEqual(self.cay("exec", "steady", "echo", "hello"), "hello")
        self.cay("rm", "-f", "steady")
        self.assert_nothing_left(identity)

    def test_what_ended_meanwhile_is_known(self):
        identity = self.cay("run", "-di", "--name", "ends", "busybox", "sh", "-c", "sleep 5; echo last words; exit 17")
        shims = [self.shim_of(identity)]
        gone = self.cay("run", "-d", "--rm", "--name", "vanishes", "busybox", "sleep", "2")
        shims.append(self.shim_of(gone))
        self.daemon.kill()
        wait_until(lambda: not any(map(alive, shims)), "the shims to end by themselves")
        self.daemon.start()
        state = self.inspect("ends")["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 17))
        self.assertEqual(self.cay("logs", "ends"), "last words")
        wait_until(lambda: "vanishes" not in self.names(), "the --rm container to be removed")
        self.assert_nothing_left(identity)
        self.assert_nothing_left(gone)
        self.assertEqual(self.cay("start", "-a", "ends", code=17), "last words")

    def test_killed_at_any_moment_of_a_run(self):
        """Whatever the daemon was doing, the next one starts, and the name can be used again."""
        for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8):
            client = self.start_cay("run", "--rm", "--name", "moment", "busybox", "sleep", "0.3")
            time.sleep(delay)  # the moment itself is what varies here
            self.daemon.kill()
            client.communicate(timeout=60)
            self.daemon.start()
            wait_until(lambda: self.run_cay("rm", "-f", "moment").returncode is not None
                       and "moment" not in self.names(), "the container to be gone")
        self.assertEqual(self.cay("run", "--rm", "--name", "moment", "busybox", "echo", "fine"), "fine")

    def test_a_shim_that_had_just_been_started(self):
        """It neither answers yet nor has written anything, and must not keep the container's disks."""
        identity = self.cay("create", "--name", "young", "busybox", "true")
        run = self.daemon.run / identity
        self.cay("run", "--rm", "busybox", "true")  # what the first start of a daemon does is done
        client = self.start_cay("start", "-a", "young")
        while not run.exists() or not (shims := processes("cay-shim", identity)):
            self.assertIsNone(client.poll())
        os.kill(shims[0], signal.SIGSTOP)
        self.addCleanup(lambda: alive(shims[0]) and os.kill(shims[0], signal.SIGKILL))
        self.daemon.kill()
        client.wait(timeout=30)
        self.assertFalse((self.daemon.root / "containers" / identity / "state.json").exists())
        (run / "shim.sock").unlink(missing_ok=True)
        self.daemon.start()
        self.assert_nothing_left(identity)
        self.cay("start", "-a", "young")
        self.cay("rm", "young")

    def test_a_row_that_is_damaged_keeps_its_disk(self):
        """What this daemon can't read may be another version's: nothing of it is cleared away."""
        identity = self.cay("create", "--name", "odd", "busybox")
        scratch = self.daemon.root / "containers" / identity / "scratch.ext4"
        query = "UPDATE containers SET request = ? WHERE id = ?"
        self.daemon.kill()
        with contextlib.closing(sqlite3.connect(self.daemon.root / "cay.db")) as database, database:
            request = database.execute("SELECT request FROM containers WHERE id = ?", (identity,)).fetchone()[0]
            database.execute(query, ("{", identity))
        self.daemon.start()
        self.assertNotIn("odd", self.names())
        self.assertTrue(scratch.exists())
        self.cay("create", "--name", "even", "busybox")
        self.cay("rm", "even")
        self.daemon.kill()
        with contextlib.closing(sqlite3.connect(self.daemon.root / "cay.db")) as database, database:
            database.execute(query, (request, identity))
        self.daemon.start()
        self.assertIn("odd", self.names())
        self.cay("rm", "odd")

    def test_a_row_that_is_damaged_runs_no_more(self):
        """Nothing is known of its addresses any more: its VM ends, its files stay."""
        identity = self.cay("run", "-d", "--name", "stray", "busybox", "sleep", "1000")
        vm = self.inspect("stray")["State"]["Pid"]
        query = "UPDATE containers SET request = ? WHERE id = ?"
        self.daemon.kill()
        with contextlib.closing(sqlite3.connect(self.daemon.root / "cay.db")) as database, database:
            database.execute(query, ("{", identity))
        self.assertTrue(alive(vm))
        self.daemon.start()
        wait_until(lambda: not alive(vm), "its VM to end")
        self.assertTrue((self.daemon.root / "containers" / identity / "scratch.ext4").exists())
        self.cay("rm", "-f", identity[:12])
        self.assert_nothing_left(identity)

    def test_a_fleeting_one_whose_start_was_forgotten(self):
        """A power cut may leave of a --rm container's start no more than the file its shim had read."""
        started, fresh = (self.cay("create", "--rm", "--name", name, "busybox", "true") for name in ("started", "fresh"))
        self.daemon.kill()
        (self.daemon.root / "containers" / started / "shim.json").touch()
        self.daemon.start()
        self.assertEqual([name for name in self.names() if name in ("started", "fresh")], ["fresh"])
        self.assert_nothing_left(started)
        self.cay("rm", fresh)

    def test_a_row_that_is_damaged_keeps_what_it_may_have(self):
        """Its image, its volumes, its name; all of it goes when a person says so."""
        self.cay("volume", "create", "other")
        self.cay("tag", "busybox", "lost:image")
        identity = self.cay("create", "--name", "lost", "-v", "kept:/kept", "-v", "/anonymous", "lost:image", "true")
        image = self.inspect("lost")["Image"]
        self.daemon.kill(signal.SIGTERM)
        with contextlib.closing(sqlite3.connect(self.daemon.root / "cay.db")) as database, database:
            database.execute("UPDATE containers SET request = replace(request, '\"HostConfig\":{', '\"HostConfig\":[') "
                             "WHERE id = ?", (identity,))
        self.daemon.start()
        self.assertNotIn("lost", self.names())
        self.assertIn(f"container {identity[:12]} (lost) in the database is damaged", self.daemon.log.read_text())
        volumes = set(self.cay("volume", "ls", "-q").split())
        for arguments in (("-f",), ("-f", "-a")):
            done = self.run_cay("volume", "prune", *arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"container {identity[:12]} (lost) is damaged", done.stderr)
        self.assertEqual(set(self.cay("volume", "ls", "-q").split()), volumes)
        done = self.run_cay("volume", "rm", *(volumes - {"other"}))
        self.assertEqual(done.stderr.count("volume is in use"), 2, done.stderr)
        self.cay("volume", "rm", "other")
        self.cay("image", "prune", "-af")
        self.assertEqual(self.cay("image", "inspect", "lost:image", "--format", "{{.Id}}"), image)
        done = self.run_cay("create", "--name", "lost", "busybox", "true")
        self.assertIn(f"is already in use by container \"{identity}\"", done.stderr)
        done = self.run_cay("rm", "lost")
        self.assertIn("force its removal", done.stderr)
        self.cay("rm", "-f", identity[:12])
        self.assertFalse((self.daemon.root / "containers" / identity).exists())
        self.assertEqual(set(self.cay("volume", "prune", "-af").splitlines()[1:-1]) & volumes, volumes - {"other"})
        self.cay("create", "--name", "lost", "busybox", "true")
        self.cay("rm", "lost")

    def test_a_row_whose_image_is_unknown(self):
        """Nor are images pruned then."""
        identity = self.cay("create", "--name", "unknown", "busybox", "true")
        self.daemon.kill(signal.SIGTERM)
        with contextlib.closing(sqlite3.connect(self.daemon.root / "cay.db")) as database, database:
            database.execute("UPDATE containers SET image_id = 'x', status = 'x' WHERE id = ?", (identity,))
        self.daemon.start()
        done = self.run_cay("image", "prune", "-af")
        self.assertIn("which image it has is not known", done.stderr)
        self.assertIn("busybox", self.cay("images"))
        self.cay("rm", "-f", "unknown")
        self.cay("image", "prune", "-f")

    def test_a_second_daemon_on_the_same_root_refuses(self):
        other = subprocess.run([BUILD / "cayd", "--root", self.daemon.root, "--run", self.daemon.directory / "run2",
                                "--host", f"unix://{self.daemon.directory}/second.sock"],
                               capture_output=True, text=True, timeout=30, check=False)
        self.assertNotEqual(other.returncode, 0)
        self.assertIn(str(self.daemon.root), other.stderr)
        self.assertIn("Server:", self.cay("version"))


class ShimOrVmKilled(Faults):
    def check(self, name, kill):
        identity = self.cay("run", "-d", "--name", name, "busybox", "sh", "-c", "echo up; sleep 10000")
        wait_until(lambda: self.cay("logs", name) == "up", "the container to run")
        kill(self.shim_of(identity))
        state = wait_until(lambda: (lambda s: s if s["Status"] == "exited" else None)(self.inspect(name)["State"]),
                           "the container to be exited")
        self.assertEqual(state["ExitCode"], 137)
        self.assert_nothing_left(identity)
        self.assertEqual(self.cay("logs", name), "up")
        self.cay("start", name)
        wait_until(lambda: self.cay("logs", name) == "up\nup", "it to run again")
        self.cay("rm", "-f", name)
        self.assert_nothing_left(identity)

    def test_shim(self):
        self.check("noshim", lambda shim: os.kill(shim, signal.SIGKILL))

    def test_qemu(self):
        self.check("noqemu", lambda shim: os.kill(children(shim)[0], signal.SIGKILL))

    def test_everything_at_once(self):
        identity = self.cay("run", "-d", "--name", "all", "busybox", "sleep", "10000")
        shim = self.shim_of(identity)
        for pid in (self.daemon.process.pid, *children(shim), shim):
            os.kill(pid, signal.SIGKILL)
        self.daemon.process.wait()
        self.daemon.start()
        state = self.inspect("all")["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 137))
        self.assert_nothing_left(identity)
        self.cay("start", "all")
        self.cay("rm", "-f", "all")


class Attachments(Faults):
    def test_a_thousand_that_vanish(self):
        """1,000 attaches that vanish leave the same number of descriptors and threads."""
        identity = self.cay("run", "-di", "--name", "target", "busybox", "cat")
        shim = self.shim_of(identity)
        pid = self.daemon.process.pid

        def counts():
            return (len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")),
                    len(os.listdir(f"/proc/{shim}/fd")))

        request = (f"POST /containers/{identity}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
                   "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n").encode()

        def attach_and_vanish(wait):
            with self.daemon.connect() as connection:
                connection.sendall(request)
                if wait:
                    self.assertIn(b"101", connection.recv(4096))

        attach_and_vanish(True)
        before = wait_until(self.settled(counts), "counts to settle")
        for turn in range(1000):
            attach_and_vanish(turn % 2 == 0)
        wait_until(lambda: all(now <= then + 2 for now, then in zip(counts(), before)),
                   f"descriptors and threads to be as before, {before}")
        self.assertEqual(self.inspect("target")["State"]["Status"], "running")
        self.cay("rm", "-f", "target")

    def settled(self, counts):
        seen = []

        def check():
            seen.append(counts())
            return seen[-1] if len(seen) > 3 and len(set(seen[-3:])) == 1 else None

        return check

    def test_a_reader_that_never_reads_slows_nobody_for_ever(self):
        identity = self.cay("create", "--name", "flood", "busybox", "sh", "-c", "head -c 50000000 /dev/zero; exit 6")
        stuck = self.daemon.connect()
        self.addCleanup(stuck.close)
        stuck.sendall((f"POST /containers/{identity}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
                       "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n").encode())
        self.cay("start", "flood")
        self.assertEqual(self.cay("wait", "flood", timeout=180), "6")


class OwnDirectories(CayTestCase):
    def test_two_daemons_side_by_side(self):
        other = Daemon().start()
        try:
            self.cay("create", "--name", "mine", "busybox", "true")
            status, rows = other.request("GET", "/containers/json?all=1")
            self.assertEqual((status, rows), (200, []))
        finally:
            self.assertEqual(other.stop(), [])

    def test_modes(self):
        self.assertEqual(os.stat(self.daemon.socket).st_mode & 0o777, 0o600)
        for directory in (self.daemon.root, self.daemon.run):
            self.assertEqual(os.stat(directory).st_mode & 0o077, 0)
