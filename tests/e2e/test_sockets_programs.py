# SPDX-License-Identifier: Apache-2.0
"""Programs that live on a socket of the host: docker's client on the very daemon that runs it, a reaper
as test frameworks start one, the agent of ssh."""

import contextlib
import os
import socket
import subprocess

from harness import BUILD, wait_until
from socket_images import client_archive, tool_archive
from test_sockets import BoundCase

# What a reaper does: told by TCP which labels are its, it removes what has them when the client has left.
REAPER = r"""
import http.client, json, os, socket, sys, urllib.parse

class Docker(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")

docker = Docker("localhost")

def call(method, path):
    docker.request(method, path)
    answer = docker.getresponse()
    body = answer.read()
    return json.loads(body) if body else None

docker.connect()  # one connection, held from the start
server = socket.create_server(("0.0.0.0", 8080))
print("started", flush=True)
client, _ = server.accept()
filters = []
for line in client.makefile("rb"):
    filters.append(urllib.parse.parse_qs(line.decode().strip()))
    client.sendall(b"ACK\n")
print("client left", flush=True)
for one in filters:
    wanted = urllib.parse.quote(json.dumps({key: {value: True for value in values} for key, values in one.items()}))
    for found in call("GET", "/containers/json?all=1&filters=" + wanted):
        call("DELETE", f"/containers/{found['Id']}?force=1&v=1")
        print("removed", found["Names"][0], flush=True)
print("done", flush=True)
"""


class Programs(BoundCase):
    archives = (tool_archive, client_archive)

    @property
    def docker_socket(self):
        return ("-v", f"{self.daemon.socket}:/var/run/docker.sock")

    def docker(self, name, *arguments, **options):
        """docker's client in the container `name`."""
        return self.cay("exec", *(("-i",) if "input" in options else ()), name, "docker", *arguments, **options)

    def test_docker_in_a_container(self):
        self.cay("run", "-d", "--name", "inside", *self.docker_socket, "client", "sleep", "10000", timeout=200)
        self.addCleanup(self.run_cay, "rm", "-f", "inside")
        self.assertEqual(self.docker("inside", "ps", "--format", "{{.Names}}"), "inside")
        # One is run, its output streamed back through the wall of the one that asked.
        self.assertEqual(self.docker("inside", "run", "--rm", "tool", "echo", "from a sibling"), "from a sibling")
        self.docker("inside", "run", "-d", "--name", "sibling", "tool", "sh", "-c",
                    "i=0; while [ $i -lt 5 ]; do echo line $i; i=$((i+1)); sleep 0.2; done; sleep 10000")
        self.addCleanup(self.run_cay, "rm", "-f", "sibling")
        follow = self.start_cay("exec", "inside", "docker", "logs", "-f", "sibling")
        lines = [follow.stdout.readline().decode() for _ in range(5)]
        self.assertEqual(lines, [f"line {i}\n" for i in range(5)])
        # A hijacked connection, with the end of its input crossing both walls.
        self.assertEqual(self.docker("inside", "exec", "-i", "sibling", "sh", "-c", "cat; echo end",
                                     input="question\n"), "question\nend")
        self.docker("inside", "rm", "-f", "sibling")
        wait_until(lambda: follow.poll() is not None, "the stream to end")
        self.assertEqual(self.docker("inside", "ps", "-aq", "--filter", "name=sibling"), "")

    def test_reaper(self):
        self.cay("run", "-d", "--name", "reaper", *self.docker_socket, "-p", "127.0.0.1::8080", "client", "python3", "-c",
                 REAPER, timeout=200)
        self.addCleanup(self.run_cay, "rm", "-f", "reaper")
        for name, label in (("mine", "org.testcontainers.session-id=1"), ("gone", "org.testcontainers.session-id=1"),
                            ("theirs", "org.testcontainers.session-id=2")):
            self.cay("run", "-d", "--name", name, "--label", "org.testcontainers=true", "--label", label, "tool",
                     "sleep", "10000")
            self.addCleanup(self.run_cay, "rm", "-f", name)
        wait_until(lambda: "started" in self.cay("logs", "reaper"), "the reaper")
        host, _, port = self.cay("port", "reaper", "8080/tcp").splitlines()[0].rpartition(":")
        with contextlib.closing(socket.create_connection((host, int(port)), timeout=30)) as client:
            client.sendall(b"label=org.testcontainers%3Dtrue&label=org.testcontainers.session-id%3D1\n")
            self.assertEqual(client.recv(16), b"ACK\n")
            self.assertLessEqual({"mine", "gone", "theirs"}, self.names())
        wait_until(lambda: "done" in self.cay("logs", "reaper"), "the reaper to act")
        self.assertEqual(self.names() & {"mine", "gone", "theirs"}, {"theirs"})

    def test_agent(self):
        agent = self.sockets / "agent.sock"
        key = self.sockets / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the key", "-f", key], check=True)
        process = subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(agent.exists, "the agent")
        environment = dict(os.environ, SSH_AUTH_SOCK=str(agent))
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, capture_output=True)
        listed = subprocess.run(["ssh-add", "-l"], check=True, env=environment, capture_output=True, text=True).stdout
        self.assertIn("the key", listed)
        inside = self.cay("run", "--rm", "-v", f"{agent}:/agent", "-e", "SSH_AUTH_SOCK=/agent", "client", "ssh-add", "-l",
                          timeout=200)
        self.assertEqual(inside, listed.strip())
        done = subprocess.run([BUILD / "cay", "run", "--rm", "--ssh", "client", "sh", "-c",
                               "echo $SSH_AUTH_SOCK; ssh-add -l"], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=200,
                              env=dict(self.environment(), SSH_AUTH_SOCK=str(agent)))
        self.assertEqual(done.stdout, f"/run/host-services/ssh-auth.sock\n{listed}", done.stderr)
