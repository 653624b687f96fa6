# SPDX-License-Identifier: Apache-2.0
"""The docker client's networks and ports, against cay's socket."""

import json
import unittest

import lab
from net_harness import ECHO, IN_OUTSIDE, NetworkTestCase, ask, wait_until
from test_docker_client import DOCKER


@unittest.skipUnless(DOCKER, "no docker client is installed")
class Docker(NetworkTestCase):
    def docker(self, *arguments, code=0):
        done = self.run_program(DOCKER, *arguments)
        self.assertEqual(done.returncode, code, f"docker {' '.join(map(str, arguments))}:\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def run_peer(self, name, *options):
        self.addCleanup(self.run_program, DOCKER, "rm", "-f", name)
        self.docker("run", "-d", "--name", name, *options, "peer")
        self.wait_served(name)
        return name

    def wait_served(self, name):
        wait_until(lambda: "serving" in self.docker("logs", name), f"{name} to be ready")

    def look(self, name, template):
        return self.docker("inspect", "--format", template, name)

    def test_networks(self):
        identity = self.docker("network", "create", "--subnet", "10.66.0.0/24", "--gateway", "10.66.0.3", "--label", "k=v", "mesh")
        self.addCleanup(self.run_program, DOCKER, "network", "rm", "mesh")
        self.assertRegex(identity, "^[0-9a-f]{64}$")
        rows = self.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines()
        self.assertLessEqual({"bridge bridge local", "none null local", "mesh bridge local"}, set(rows))
        info = json.loads(self.docker("network", "inspect", "mesh"))[0]
        self.assertEqual(info["IPAM"]["Config"][0], {"Subnet": "10.66.0.0/24", "Gateway": "10.66.0.3"})
        self.assertEqual(info["Labels"], {"k": "v"})
        self.run_peer("member", "--network", "mesh", "--network-alias", "alias", "--ip", "10.66.0.66")
        self.assertEqual(self.look("member", "{{.NetworkSettings.Networks.mesh.IPAddress}}"), "10.66.0.66")
        self.run_peer("friend", "--network", "mesh")
        for name in ("member", "alias"):
            self.assertIn("10.66.0.66", self.docker("exec", "friend", "nslookup", name))
        self.docker("exec", "friend", "ping", "-c", "1", "-W", "5", "member")
        self.reached("10.66.0.66")
        self.docker("network", "rm", "mesh", code=1)
        self.docker("rm", "-f", "member", "friend")
        self.assertEqual(self.docker("network", "rm", "mesh"), "mesh")

    def test_connect_and_disconnect(self):
        self.docker("network", "create", "--subnet", "10.67.0.0/24", "extra")
        self.addCleanup(self.run_program, DOCKER, "network", "rm", "extra")
        self.addCleanup(self.run_program, DOCKER, "rm", "-f", "joins")
        self.docker("create", "--name", "joins", "peer")
        self.docker("network", "connect", "--ip", "10.67.0.67", "--alias", "nick", "extra", "joins")
        self.docker("start", "joins")
        self.wait_served("joins")
        self.assertEqual(self.look("joins", "{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{end}}").split(),
                         ["bridge", "extra"])
        self.reached("10.67.0.67")
        self.docker("stop", "-t", "1", "joins")
        self.docker("network", "disconnect", "extra", "joins")
        self.assertEqual(self.look("joins", "{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{end}}"), "bridge")

    def test_prune(self):
        self.docker("network", "create", "unused")
        self.assertIn("unused", self.docker("network", "prune", "-f"))
        self.assertNotIn("unused", self.docker("network", "ls", "--format", "{{.Name}}").split())

    def test_publish(self):
        self.run_peer("open", "-p", f"8300:{ECHO}", "-p", f"127.0.0.1:8301:{ECHO}/udp", "-p", f"{ECHO + 1}")
        lines = self.docker("port", "open").splitlines()
        self.assertIn(f"{ECHO}/tcp -> 0.0.0.0:8300", lines)
        self.assertIn(f"{ECHO}/udp -> 127.0.0.1:8301", lines)
        self.assertTrue(any(line.startswith(f"{ECHO + 1}/tcp -> 0.0.0.0:") for line in lines), lines)
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, 8300, where=IN_OUTSIDE))
        self.assertIsNotNone(ask("udp", "127.0.0.1", 8301))
        self.assertIn(f"0.0.0.0:8300->{ECHO}/tcp", self.docker("ps", "--filter", "name=open", "--format", "{{.Ports}}"))
        done = self.run_program(DOCKER, "run", "-d", "--name", "late", "-p", f"8300:{ECHO}", "peer")
        self.addCleanup(self.run_program, DOCKER, "rm", "-f", "late")
        self.assertEqual(done.returncode, 125)
        self.assertIn("port is already allocated", done.stderr)

    def test_publish_all(self):
        self.run_peer("every", "-P", "--expose", str(ECHO))
        number = self.docker("port", "every", f"{ECHO}/tcp").splitlines()[0].rpartition(":")[2]
        self.assertIsNotNone(ask("tcp", lab.HOST_ADDRESS, number, where=IN_OUTSIDE))

    def test_options_of_a_run(self):
        self.run_peer("opted", "--mac-address", "02:00:00:00:00:42", "--dns-search", "some.example", "--add-host",
                      "boss:host-gateway", "--hostname", "me")
        self.assertEqual(self.look("opted", "{{.NetworkSettings.Networks.bridge.MacAddress}}"), "02:00:00:00:00:42")
        self.assertIn("some.example", self.docker("exec", "opted", "cat", "/etc/resolv.conf"))
        gateway = self.look("opted", "{{.NetworkSettings.Gateway}}")
        self.assertRegex(self.docker("exec", "opted", "cat", "/etc/hosts"), rf"{gateway}\s+boss")
        self.assertEqual(self.docker("run", "--rm", "--network", "none", "peer", "ls", "/sys/class/net"), "lo")
