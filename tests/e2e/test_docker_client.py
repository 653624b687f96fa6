# SPDX-License-Identifier: Apache-2.0
"""The docker client, pointed at cay's socket, finds what it knows."""

import json
import shutil
import time
import unittest

from harness import CayTestCase, Registry, Terminal, busybox_archive, wait_until

DOCKER = shutil.which("docker")


@unittest.skipUnless(DOCKER, "no docker client is installed")
class Docker(CayTestCase):
    def docker(self, *arguments, code=0, **options):
        done = self.run_program(DOCKER, *arguments, **options)
        self.assertEqual(done.returncode, code, f"docker {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def test_version_and_info(self):
        self.assertIn("Server", self.docker("version"))
        info = json.loads(self.docker("info", "--format", "{{json .}}"))
        self.assertEqual(info["OSType"], "linux")
        self.assertGreater(info["NCPU"], 0)

    def test_run_and_exit_codes(self):
        self.assertEqual(self.docker("run", "--rm", "busybox", "echo", "from docker"), "from docker")
        self.docker("run", "--rm", "busybox", "sh", "-c", "exit 7", code=7)
        self.docker("run", "--rm", "busybox", "nonesuch", code=127)
        self.docker("run", "--rm", "busybox", "/etc/passwd", code=126)
        self.docker("run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$", code=137)
        done = self.run_program(DOCKER, "run", "--rm", "-i", "busybox", "cat", input="in and out")
        self.assertEqual(done.stdout, "in and out")

    def test_terminal(self):
        terminal = Terminal([DOCKER, "run", "--rm", "-it", "busybox", "sh"], self.environment(), columns=99, rows=31)
        self.addCleanup(terminal.close)
        terminal.expect("# ")
        terminal.type("while [ \"$(stty size)\" != '31 99' ]; do :; done; echo si''zed; exit 5\n")
        terminal.expect("sized")
        self.assertEqual(terminal.wait(), 5)

    def test_attach_and_exec_on_terminals(self):
        self.docker("run", "-dit", "--name", "shell", "busybox", "sh")
        for command in (["attach", "shell"], ["exec", "-it", "shell", "sh"]):
            with self.subTest(command[0]):
                terminal = Terminal([DOCKER, *command], self.environment())
                self.addCleanup(terminal.close)
                terminal.type("\n")
                terminal.expect("# ")
                terminal.type("echo he''re\n")
                terminal.expect("here")
                terminal.type("\x10\x11")
                terminal.wait()
        self.assertEqual(self.docker("rm", "-f", "shell"), "shell")

    def test_events(self):
        began = self.docker("system", "info", "--format", "{{.SystemTime}}")
        self.docker("run", "--rm", "--name", "eventful", "busybox", "true")
        # The past, then what comes until a whole second that is not over yet.
        actions = self.docker("events", "--since", began, "--until", str(int(time.time()) + 2),
                              "--filter", "container=eventful", "--format", "{{.Action}}").split()
        self.assertEqual(actions, ["create", "attach", "start", "die", "destroy"])

    def test_ps_exec_logs_kill_rm(self):
        identity = self.docker("run", "-d", "--name", "life", "busybox", "sh", "-c", "echo one; echo two >&2; exec sleep 10000")
        self.assertIn("life", self.docker("ps"))
        self.assertEqual(self.docker("ps", "-q", "--no-trunc"), identity)
        self.assertEqual(self.docker("exec", "life", "echo", "inside"), "inside")
        self.docker("exec", "life", "sh", "-c", "exit 9", code=9)
        wait_until(lambda: self.docker("logs", "life") == "one", "the log")
        self.assertEqual(json.loads(self.docker("inspect", "life"))[0]["State"]["Status"], "running")
        self.assertEqual(self.docker("kill", "life"), "life")
        self.assertEqual(self.docker("wait", "life"), "137")
        self.assertIn("Exited (137)", self.docker("ps", "-a"))
        self.assertEqual(self.docker("rm", "life"), "life")

    def test_logs_follow(self):
        self.docker("run", "-d", "--name", "follow", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done")
        self.assertEqual(self.docker("logs", "-f", "follow").split(), ["1", "2", "3"])
        self.docker("rm", "follow")

    def test_images(self):
        self.assertIn("busybox", self.docker("images"))
        self.assertIn("Loaded image: busybox:latest", self.docker("load", "-i", str(busybox_archive())))
        self.assertTrue(json.loads(self.docker("image", "inspect", "busybox"))[0]["Id"].startswith("sha256:"))
        registry = Registry()
        self.addCleanup(registry.close)
        name = registry.push(f"docker-archive:{busybox_archive()}", "team/busybox:1")
        out = self.docker("pull", name)
        self.assertIn("Digest: sha256:", out)
        self.assertEqual(self.docker("run", "--rm", name, "echo", "pulled"), "pulled")
        self.docker("rmi", name)

    def test_errors_are_docker_s(self):
        done = self.run_program(DOCKER, "start", "ghost")
        self.assertIn("No such container: ghost", done.stderr)
        done = self.run_program(DOCKER, "run", "--rm", "--device", "/dev/null", "busybox", "true")
        if done.returncode != 0:
            self.assertEqual(done.returncode, 125)
            self.assertIn("not supported", done.stderr)
