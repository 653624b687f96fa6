# SPDX-License-Identifier: Apache-2.0
"""Containers from create to removal: names, stop, kill, rm, exec, and errors that help."""

import concurrent.futures
import json
import time

from harness import CayTestCase, processes, wait_until


class Commands(CayTestCase):
    def test_an_unknown_command_fails_and_frees_the_name(self):
        done = self.run_cay("run", "--rm", "--name", "typo", "busybox", "nonesuch")
        self.assertEqual(done.returncode, 127)
        self.assertIn("nonesuch", done.stderr)
        self.assertIn("not found", done.stderr)
        done = self.run_cay("run", "--name", "typo", "busybox", "/etc/passwd")
        self.assertEqual(done.returncode, 126)
        self.assertEqual(self.cay("run", "--rm", "--name", "typo", "busybox", "echo", "again"), "again")

    def test_errors_of_cay_itself_are_125(self):
        for arguments in (("run", "--nonesuch", "busybox"), ("run", "--memory", "lots", "busybox", "true"),
                          ("run", "--pull", "never", "no/such/image", "true")):
            done = self.run_cay(*arguments)
            self.assertEqual(done.returncode, 125, done.stderr)
            self.assertTrue(done.stderr.strip())

    def test_no_such_container(self):
        for verb in ("start", "stop", "kill", "rm", "logs", "attach", "wait", "inspect"):
            done = self.run_cay(verb, "ghost")
            self.assertNotEqual(done.returncode, 0, verb)
            self.assertIn("ghost", done.stderr, verb)

    def test_options_reach_the_process(self):
        def run(*arguments):
            return self.cay("run", "--rm", *arguments)

        self.assertEqual(run("-e", "A=1 2", "-w", "/tmp/new/dir", "busybox", "sh", "-c", "echo $A; pwd"),
                         "1 2\n/tmp/new/dir")
        self.assertEqual(run("-u", "user", "--group-add", "staff", "busybox", "id"),
                         "uid=1000(user) gid=1000(user) groups=4(adm),50(staff),1000(user)")
        self.assertEqual(run("-u", "12345:54321", "busybox", "sh", "-c", "id -u; id -g"), "12345\n54321")
        self.assertEqual(run("--hostname", "island", "busybox", "hostname"), "island")
        self.assertEqual(run("--entrypoint", "echo", "busybox", "hi"), "hi")
        self.assertEqual(run("--ulimit", "nofile=123:456", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn"), "123\n456")
        self.assertIn("Read-only", self.run_cay("run", "--rm", "--read-only", "busybox", "touch", "/x").stderr)
        self.assertEqual(run("--read-only", "--tmpfs", "/scratch:size=1m", "busybox", "sh", "-c",
                             "touch /scratch/x && df -k /scratch | tail -1 | awk '{print $2}'"), "1024")
        self.assertEqual(run("--shm-size", "16m", "busybox", "sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"),
                         "16384")

    def test_capabilities(self):
        def effective(*arguments):
            out = self.cay("run", "--rm", *arguments, "busybox", "grep", "CapEff", "/proc/self/status")
            return int(out.split()[1], 16)

        self.assertEqual(effective("--cap-drop", "ALL"), 0)
        self.assertEqual(effective("--cap-drop", "ALL", "--cap-add", "NET_ADMIN"), 1 << 12)
        self.assertEqual(effective(), 0xa80425fb)
        self.assertGreater(effective("--privileged"), 0xffffffff)

    def test_proc_is_masked_and_read_only(self):
        script = ("cat /proc/kcore | wc -c; (echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null || echo kept; "
                  "ls /proc/1/root >/dev/null && cat /proc/1/comm; true")
        self.assertEqual(self.cay("run", "--rm", "busybox", "sh", "-c", script).split(), ["0", "kept", "sh"])

    def test_init_reaps_and_keeps_the_exit_code(self):
        script = "(sleep 0.1 & exec true) & sleep 0.5; ps -o stat,comm | grep -c ^Z; exit 7"
        self.assertEqual(self.cay("run", "--rm", "--init", "busybox", "sh", "-c", script, code=7), "0")
        self.cay("run", "-d", "--init", "--name", "forwards", "busybox", "sh", "-c",
                 "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
        wait_until(lambda: self.cay("logs", "forwards") == "ready", "the trap to be set")
        self.cay("stop", "forwards")
        self.assertEqual(self.inspect("forwards")["State"]["ExitCode"], 5)


class StopAndRemove(CayTestCase):
    def test_stop_sends_the_stop_signal(self):
        self.cay("run", "-d", "--name", "polite", "--stop-signal", "USR1", "busybox", "sh", "-c",
                 "trap 'exit 11' USR1; echo ready; while :; do sleep 0.1; done")
        wait_until(lambda: self.cay("logs", "polite") == "ready", "the trap to be set")
        self.assertEqual(self.cay("stop", "polite"), "polite")
        self.assertEqual(self.inspect("polite")["State"]["ExitCode"], 11)
        self.cay("stop", "polite")  # a second time is no error

    def test_stop_kills_after_its_time(self):
        self.cay("run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
        began = time.monotonic()
        self.cay("stop", "-t", "1", "deaf")
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(self.inspect("deaf")["State"]["ExitCode"], 137)

    def test_stop_racing_rm(self):
        for turn in range(3):
            name = f"race{turn}"
            self.cay("run", "-d", "--name", name, "busybox", "sleep", "1000")
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                done = list(pool.map(lambda arguments: self.run_cay(*arguments),
                                     [("stop", "-t", "0", name), ("rm", "-f", name), ("stop", "-t", "0", name),
                                      ("rm", "-f", name)]))
            self.assertIn(0, [d.returncode for d in done])
            self.assertNotIn(name, self.names())
        self.assertEqual(self.cay("run", "--rm", "--name", "race0", "busybox", "echo", "free"), "free")

    def test_removed_before_its_vm_is_gone(self):
        """Who waits for a removal does not wait for the VM, of which nothing stays either."""
        identity = self.cay("run", "-d", "--rm", "--name", "ahead", "busybox", "sleep", "1000")
        self.cay("kill", "ahead")
        wait_until(lambda: "ahead" not in self.names(), "it to be removed")
        self.cay("run", "--rm", "--name", "ahead", "busybox", "true")
        wait_until(lambda: not processes(identity), "its VM to end")
        wait_until(lambda: [entry.name for entry in self.daemon.run.iterdir()] == ["cayd.pid"], "its files to go")
        self.assertFalse((self.daemon.root / "containers" / identity).exists())

    def test_forced_removal_of_one_that_goes_with_its_end(self):
        """Who asks for it first is told that it was removed, although its end would have done that."""
        for _ in range(5):
            identity = self.cay("run", "-d", "--rm", "busybox", "sleep", "1000")
            self.assertEqual(self.api("DELETE", f"/containers/{identity}?force=1"), (204, b""))
            self.assertEqual(self.api("DELETE", f"/containers/{identity}?force=1")[0], 404)

    def test_removed_by_many_at_once(self):
        for options in ([], ["--rm"]):
            identity = self.cay("run", "-d", *options, "busybox", "sleep", "1000")
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: self.api("DELETE", f"/containers/{identity}?force=1"), range(4)))
            self.assertEqual([status for status, _ in answers].count(204), 1, answers)
            for status, answer in answers:
                self.assertIn(status, (204, 404, 409))
                if status == 409:
                    self.assertIn("is already in progress", answer["message"])

    def test_rm_refuses_a_running_container(self):
        self.cay("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
        done = self.run_cay("rm", "busy")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("running", done.stderr)
        self.assertEqual(self.cay("rm", "-f", "busy"), "busy")
        self.assertNotIn("busy", self.names())

    def test_prune_by_labels(self):
        for name, label in (("pruned-a", "keep=no"), ("pruned-b", "keep=yes"), ("pruned-c", "other=1")):
            self.addCleanup(self.run_cay, "rm", "-f", name)
            self.cay("create", "--name", name, "--label", label, "busybox", "true")
        for filters, left in ((("label=keep", "label!=keep=yes"), {"pruned-b", "pruned-c"}),
                              (("label!=other", "label=keep=yes"), {"pruned-c"})):
            self.cay("container", "prune", "-f", *(word for text in filters for word in ("--filter", text)))
            self.assertEqual(self.names() & {"pruned-a", "pruned-b", "pruned-c"}, left)

    def test_rm_option_removes_on_every_kind_of_exit(self):
        self.cay("run", "--rm", "--name", "done", "busybox", "true")
        self.cay("run", "--rm", "--name", "failed", "busybox", "false", code=1)
        self.cay("run", "-d", "--rm", "--name", "killed", "busybox", "sleep", "1000")
        self.cay("kill", "killed")
        self.cay("run", "--rm", "--name", "missing", "busybox", "nonesuch", code=127)
        wait_until(lambda: not {"done", "failed", "killed", "missing"} & self.names(), "all of them to be gone")

    def test_restart_and_the_writable_layer(self):
        self.cay("run", "--name", "writes", "busybox", "sh", "-c", "cat /n 2>/dev/null; date +%s%N >> /n; wc -l < /n")
        self.assertEqual(self.cay("logs", "writes"), "1")
        self.cay("start", "-a", "writes")
        self.assertEqual(self.cay("start", "-a", "writes").splitlines()[-1], "3")

    def test_names_are_unique(self):
        self.cay("create", "--name", "only", "busybox", "true")
        done = self.run_cay("create", "--name", "only", "busybox", "true")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("only", done.stderr)
        self.cay("rename", "only", "other")
        self.cay("create", "--name", "only", "busybox", "true")

    def test_events_tell_the_story(self):
        since = time.time()
        self.cay("run", "--rm", "--name", "story", "busybox", "sh", "-c", "exit 3", code=3)
        wait_until(lambda: self.cay("ps", "-aq", "--filter", "name=story") == "", "removal")
        status, body = self.api("GET", f"/events?since={since:.6f}&until={time.time():.6f}"
                                       '&filters={"container":["story"]}')
        self.assertEqual(status, 200)
        lines = body.decode().splitlines() if isinstance(body, bytes) else [json.dumps(body)]
        events = [json.loads(line) for line in lines]
        actions = [event["Action"] for event in events]
        for action in ("create", "start", "die", "destroy"):
            self.assertIn(action, actions)
        die = next(event for event in events if event["Action"] == "die")
        self.assertEqual(die["Actor"]["Attributes"]["exitCode"], "3")


class Exec(CayTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_cay("run", "-d", "--name", "box", "busybox", "sleep", "10000")

    def test_exit_codes(self):
        for code in (0, 3, 255):
            self.cay("exec", "box", "sh", "-c", f"exit {code}", code=code)
        self.cay("exec", "box", "sh", "-c", "kill -TERM $$", code=143)
        self.assertIn("nonesuch", self.run_cay("exec", "box", "nonesuch").stderr)
        self.cay("exec", "box", "nonesuch", code=127)
        self.cay("exec", "box", "/etc/passwd", code=126)

    def test_streams(self):
        data = b"x" * (3 << 20)
        done = self.run_cay("exec", "-i", "box", "sh", "-c", "cat; echo err >&2", input=data, binary=True)
        self.assertEqual((done.stdout, done.stderr), (data, b"err\n"))

    def test_it_shares_the_container(self):
        self.assertIn("sleep 10000", self.cay("exec", "box", "ps"))
        self.cay("exec", "box", "sh", "-c", "echo here > /tmp/mark")
        self.assertEqual(self.cay("exec", "-w", "/tmp", "-e", "X=y", "box", "sh", "-c", "cat mark; echo $X"), "here\ny")
        self.assertEqual(self.cay("exec", "-u", "user", "box", "id", "-un"), "user")

    def test_detached_returns_at_once(self):
        began = time.monotonic()
        self.cay("exec", "-d", "box", "sh", "-c", "sleep 30")
        self.assertLess(time.monotonic() - began, 20)

    def test_many_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            outputs = list(pool.map(lambda n: self.cay("exec", "box", "sh", "-c", f"echo {n}"), range(30)))
        self.assertEqual(outputs, [str(n) for n in range(30)])

    def test_in_a_container_that_is_not_running(self):
        self.cay("create", "--name", "still", "busybox", "true")
        done = self.run_cay("exec", "still", "true")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("not running", done.stderr)

    def test_while_the_container_ends(self):
        """Whatever the moment, exec works or says why; it never hangs."""
        for turn in range(3):
            name = f"ending{turn}"
            self.cay("run", "-d", "--name", name, "busybox", "sleep", "1000")
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                execs = [pool.submit(self.run_cay, "exec", name, "sleep", "20") for _ in range(5)]
                self.cay("kill", name)
                for future in execs:
                    done = future.result()
                    self.assertNotEqual(done.returncode, 0)


class Resources(CayTestCase):
    def test_memory_is_seen_and_enforced(self):
        out = self.cay("run", "--rm", "-m", "64m", "busybox", "sh", "-c",
                       "cat /sys/fs/cgroup/memory.max; awk '/MemTotal/ {print $2}' /proc/meminfo")
        limit, total = map(int, out.split())
        self.assertEqual(limit, 64 << 20)
        self.assertLess(total, 256 << 10)

    def test_a_process_over_the_limit_is_killed(self):
        since = time.time()
        self.cay("run", "--name", "greedy", "-m", "64m", "busybox", "tail", "-c", "200m", "/dev/zero", code=137)
        state = self.inspect("greedy")["State"]
        self.assertEqual(state["ExitCode"], 137)
        self.assertTrue(state["OOMKilled"])
        _, body = self.api("GET", f"/events?since={since:.6f}&until={time.time():.6f}"
                                  '&filters={"event":["oom"]}')
        self.assertIn(b"greedy", body if isinstance(body, bytes) else json.dumps(body).encode())

    def test_cpus(self):
        self.assertEqual(self.cay("run", "--rm", "--cpus", "0.5", "busybox", "cat", "/sys/fs/cgroup/cpu.max"),
                         "50000 100000")
        out = self.cay("run", "--rm", "--cpus", "2", "busybox", "sh", "-c", "nproc; cat /sys/fs/cgroup/cpu.max")
        self.assertEqual(out.splitlines(), ["2", "200000 100000"])

    def test_pids_limit(self):
        out = self.run_cay("run", "--rm", "--pids-limit", "10", "busybox", "sh", "-c",
                           "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo never")
        self.assertIn("fork", out.stderr)
