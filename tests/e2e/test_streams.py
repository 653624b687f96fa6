# SPDX-License-Identifier: Apache-2.0
"""Streams and exit codes: what goes into a container and comes out of it, to the last byte."""

import hashlib
import os
import signal
import subprocess

from harness import BUILD, CayTestCase, Terminal, wait_until


class Output(CayTestCase):
    def test_exit_code_is_the_process_s(self):
        for code in (0, 1, 42, 255):
            self.cay("run", "--rm", "busybox", "sh", "-c", f"exit {code}", code=code)

    def test_a_signal_gives_128_and_its_number(self):
        # The kernel shields the first process of a pid namespace from itself, so init stands there.
        self.cay("run", "--rm", "--init", "busybox", "sh", "-c", "kill -KILL $$", code=137)
        self.cay("run", "--rm", "--init", "busybox", "sh", "-c", "kill -USR2 $$", code=128 + signal.SIGUSR2)

    def test_8_mib_and_an_immediate_exit(self):
        """Both streams whole and apart, however fast the process ends."""
        script = ("head -c 8388608 /dev/zero | tr '\\0' o; "
                  "head -c 1048576 /dev/zero | tr '\\0' e >&2; exit 3")
        done = self.run_cay("run", "--rm", "busybox", "sh", "-c", script, binary=True)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(len(done.stdout), 8 << 20)
        self.assertEqual(done.stdout.count(b"o"), 8 << 20)
        self.assertEqual(len(done.stderr), 1 << 20)
        self.assertEqual(done.stderr.count(b"e"), 1 << 20)

    def test_20_mib_through_cat(self):
        data = os.urandom(20 << 20)
        done = self.run_cay("run", "--rm", "-i", "busybox", "cat", input=data, binary=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(data).hexdigest())

    def test_end_of_input_is_delivered(self):
        done = self.run_cay("run", "--rm", "-i", "busybox", "sh", "-c", "wc -c; echo after", input="12345")
        self.assertEqual(done.stdout.split(), ["5", "after"])

    def test_stdin_is_empty_without_i(self):
        done = self.run_cay("run", "--rm", "busybox", "sh", "-c", "wc -c", input="unseen")
        self.assertEqual(done.stdout.strip(), "0")

    def test_a_reader_that_leaves_does_not_hang_the_client(self):
        process = self.start_cay("run", "--rm", "busybox", "yes")
        process.stdout.read(100000)
        process.stdout.close()
        process.wait(timeout=60)


class OnATerminal(CayTestCase):
    def terminal(self, *arguments, **options):
        terminal = Terminal([BUILD / "cay", *arguments], self.environment(), **options)
        self.addCleanup(terminal.close)
        return terminal

    def test_shell_size_and_interrupt(self):
        terminal = self.terminal("run", "--rm", "-it", "busybox", "sh", columns=101, rows=33)
        terminal.expect("# ")
        terminal.type("stty size; tty\n")
        terminal.expect("33 101")
        terminal.expect("/dev/pts/")
        terminal.resize(77, 21)
        terminal.type("while [ \"$(stty size)\" != '21 77' ]; do :; done; echo re''sized\n")
        terminal.expect("resized")
        terminal.type("sleep 1000\n")
        terminal.expect("1000")
        # The foreground process must be there before the key is pressed.
        name = self.cay("ps", "-q")
        wait_until(lambda: "sleep 1000" in self.cay("exec", name, "ps"), "sleep to run")
        terminal.type("\x03")
        terminal.type("echo status $?\n")
        terminal.expect("status 130")
        terminal.type("exit 9\n")
        self.assertEqual(terminal.wait(), 9)
        self.assertEqual(terminal.settings_now(), terminal.settings)

    def test_terminal_is_restored_when_the_client_is_told_to_end(self):
        terminal = self.terminal("run", "--rm", "-it", "busybox", "sh")
        terminal.expect("# ")
        self.assertNotEqual(terminal.settings_now(), terminal.settings)
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait()
        self.assertEqual(terminal.settings_now(), terminal.settings)

    def test_terminal_is_restored_when_the_container_is_killed(self):
        terminal = self.terminal("run", "-it", "--name", "victim", "busybox", "sh")
        terminal.expect("# ")
        self.cay("kill", "victim")
        self.assertEqual(terminal.wait(), 137)
        self.assertEqual(terminal.settings_now(), terminal.settings)
        self.cay("rm", "victim")

    def test_detach_keys(self):
        terminal = self.terminal("run", "-it", "--name", "kept", "busybox", "sh")
        terminal.expect("# ")
        terminal.type("\x10\x11")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(self.inspect("kept")["State"]["Status"], "running")
        self.cay("rm", "-f", "kept")

    def test_exec_has_its_own_terminal(self):
        self.cay("run", "-d", "--name", "host", "busybox", "sleep", "1000")
        terminal = self.terminal("exec", "-it", "host", "sh", columns=90, rows=30)
        terminal.expect("# ")
        terminal.type("stty size\n")
        terminal.expect("30 90")
        terminal.type("exit 4\n")
        self.assertEqual(terminal.wait(), 4)
        self.cay("rm", "-f", "host")


class Attach(CayTestCase):
    def test_attach_to_a_running_container(self):
        """A client that comes and goes; the container's input stays open, as it was started with -d."""
        self.cay("run", "-di", "--name", "echo", "busybox", "cat")
        for words in (b"through the wall\n", b"and again\n"):
            process = self.start_cay("attach", "echo")
            process.stdin.write(words)
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), words)
            self.end_process(process)
        self.assertEqual(self.inspect("echo")["State"]["Status"], "running")
        self.assertEqual(self.cay("logs", "echo"), "through the wall\nand again")

    def test_two_clients_see_the_same(self):
        self.cay("create", "-i", "--name", "pair", "busybox", "sh", "-c", "read line; echo got $line")
        first = self.start_cay("start", "-ai", "pair")
        wait_until(lambda: self.inspect("pair")["State"]["Running"], "the container to run")
        second = self.start_cay("attach", "--no-stdin", "pair", stdin=subprocess.DEVNULL)
        # The second is attached when its request has been taken up; the container waits for input till then.
        wait_until(lambda: self.attach_events("pair") >= 2, "two attachments")
        first.stdin.write(b"it\n")
        first.stdin.flush()
        self.assertEqual(second.communicate(timeout=60)[0], b"got it\n")
        self.assertEqual(first.communicate(timeout=60)[0], b"got it\n")

    def attach_events(self, name):
        import time
        _, lines = self.api("GET", f"/events?until={time.time():.0f}&since=0")
        text = lines.decode() if isinstance(lines, bytes) else str(lines)
        return sum('"attach"' in line and f'"{name}"' in line for line in text.splitlines())

    def test_logs_follow_to_the_end(self):
        self.cay("run", "-d", "--name", "talk", "busybox", "sh", "-c",
                 "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done; echo bad >&2")
        done = self.run_cay("logs", "-f", "talk")
        self.assertEqual(done.stdout.splitlines(), [f"line {i}" for i in range(1, 6)])
        self.assertEqual(done.stderr.strip(), "bad")
        self.assertEqual(self.cay("logs", "--tail", "2", "talk"), "line 5")

    def test_logs_options(self):
        self.cay("run", "--name", "lines", "busybox", "seq", "1", "100")
        self.assertEqual(self.cay("logs", "--tail", "3", "lines").split(), ["98", "99", "100"])
        stamped = self.cay("logs", "-t", "--tail", "1", "lines")
        self.assertRegex(stamped, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z 100$")
        moment = stamped.split()[0]
        self.assertEqual(self.cay("logs", "--since", moment, "lines").split()[-1], "100")
        self.assertEqual(self.cay("logs", "--until", "2001-01-01T00:00:00Z", "lines"), "")

    def test_boot_log(self):
        self.cay("run", "--name", "booted", "busybox", "true")
        # It is fetched off the path of the start: for a short run, while the VM is taken down.
        wait_until(lambda: "Linux version" in self.cay("logs", "--boot", "booted"), "the boot log", 10)
