# SPDX-License-Identifier: Apache-2.0
"""The command line's part of networks: what it asks for and prints, beside what docker's client does with the same words."""

import json
import random
import re
import unittest

from cli_recorder import DOCKER, BesideDocker, plain
from harness import BUILD, CayTestCase


def container_part(body):
    """What a create request says about networks and names, in one spelling."""
    host = body["HostConfig"]
    endpoints = {name: plain(settings or {}) for name, settings in
                 ((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}).items()}
    if len(endpoints) == 1 and not any(endpoints.values()):
        endpoints = {}
    return {"mode": host.get("NetworkMode") or "default", "endpoints": endpoints,
            "exposed": body.get("ExposedPorts") or {}, "bindings": host.get("PortBindings") or {},
            **{key: host.get(key) or None for key in ("Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "PublishAllPorts")},
            **{key: body.get(key) or "" for key in ("Hostname", "Domainname")}}


def network_part(body):
    """A network's create request with its subnets in order; docker's client has them in a map."""
    body = plain(body or {})
    body.get("IPAM", {}).get("Config", []).sort(key=lambda config: config["Subnet"])
    return body


SAME_CONTAINERS = """
img
--network n img
--net n img
--network n --network-alias a --ip 1.2.3.4 img
--network n --network-alias a --network-alias b --ip6 fd00::5 img
--ip 1.2.3.4 img
--network bridge --ip 1.2.3.4 img
--mac-address 02:00:00:00:00:01 img
--network n --mac-address 02:00:00:00:00:01 img
--network name=n,alias=a,alias=b,ip=1.2.3.4,ip6=fd00::1,mac-address=02:00:00:00:00:01 img
--network n --network m img
--network n --network m --ip 1.2.3.4 img
--network n --network name=m,ip=1.2.3.4,driver-opt=a=b,gw-priority=3 img
--network 'name=n,"driver-opt=a=b,c"' img
--network none img
--network host img
--network container:x img
-p 80 img
-p 8080:80 img
-p 8080:80/udp -p 127.0.0.1:53:53/udp -p [::1]::9 -p 7-8:17-18 img
-p 81-82 -p 9000-9010:90 img
-p ::1:80:80 img
-p :80 img
-p 127.0.0.1::80 img
-p 127.0.0.1:0:80 img
-p 0:80 img
-p 80:80/TCP img
-p 80:80/sctp img
-p 127.0.0.1:8000-8001:80-81 img
-p 127.0.0.1:8000-8010:80 img
-p target=80,published=8080,protocol=udp,mode=host img
-p 80:80 -p 81:80 img
--expose 80 --expose 90/udp --expose 100-102/tcp img
-P --expose 5 img
--dns 9.9.9.9 --dns ::1 --dns-search a.b --dns-search . --dns-option ndots:2 --dns-opt timeout:1 img
--hostname h --domainname d.e img
--add-host a:1.2.3.4 --add-host b=::1 --add-host c:::1 --add-host d=[::1] --add-host e:host-gateway --add-host f=host-gateway img
"""

# Both refuse these before any request.
REFUSED_CONTAINERS = """
--network name=n,alias=a --network-alias b img
--network name=n,ip=1.2.3.4 --ip 1.2.3.5 img
--network name=n,mac-address=02:00:00:00:00:01 --mac-address 02:00:00:00:00:02 img
--network n --network n img
--network name=n,bogus=1 img
--network name=n,gw-priority=x img
--network alias=a img
--network host --network n img
--network none --network n img
--network n --mac-address nonsense img
-p 80/icmp img
-p 1-2:1-3 img
-p 70000 img
-p 1.2.3:80:80 img
-p localhost:80:80 img
-p 80: img
-p '' img
-p 2-1 img
--expose 5-4 img
--expose 80:80 img
--dns nonsense img
--dns-search 'bad domain' img
--add-host a img
--add-host a:nonsense img
--add-host a: img
--add-host :1.2.3.4 img
"""

SAME_NETWORKS = """
create n
create -d lan -o parent=eth0 n
create --subnet 10.1.0.0/16 n
create --subnet 10.1.0.0/16 --subnet fd00:1::/64 --gateway 10.1.0.1 --gateway fd00:1::1 --ip-range 10.1.2.0/24 --ipv6 n
create --subnet 10.1.0.0/16,10.2.0.0/16 --gateway 10.2.0.1,10.1.0.1 n
create --subnet 10.1.0.0/16 --aux-address a=10.1.0.5 --aux-address b=10.1.0.6 n
create --internal --label a=b --label c -o x=y --opt z --attachable --scope local n
create --ipv4=false n
create --ipv6=false n
create --ipam-driver d --ipam-opt a=b n
connect n c
connect --ip 1.2.3.4 --ip6 fd00::1 --alias a --alias b,c --driver-opt a=b --gw-priority 2 n c
disconnect n c
disconnect -f n c
inspect -v n
prune -f
"""

REFUSED_NETWORKS = """
create
create a b
create --aux-address a=10.1.0.5 n
create --gateway 10.1.0.1 n
create --ip-range 10.1.0.0/24 n
create --subnet 10.1.0.0/16 --gateway 10.2.0.1 n
create --subnet 10.1.0.0/16 --subnet 10.1.2.0/24 n
create --subnet 10.1.0.0/16 --ip-range 10.2.0.0/24 n
create --subnet 10.1.0.0/16 --gateway nonsense n
create --subnet 10.1.0.0/16 --gateway 10.1.0.1 --gateway 10.1.0.2 n
create --subnet 10.1.0.0/16 --ip-range 10.1.0.0/24 --ip-range 10.1.1.0/24 n
connect n
disconnect n
rm
"""

NETWORKS = [
    {"Name": "net10", "Id": "1" * 64, "Created": "2026-01-02T03:04:05Z", "Scope": "local", "Driver": "bridge",
     "EnableIPv4": True, "EnableIPv6": False, "Internal": True, "Labels": {"com.example.my-key": "yes"}},
    {"Name": "net9", "Id": "2" * 64, "Created": "2026-01-02T03:04:05Z", "Scope": "local", "Driver": "lan",
     "EnableIPv4": True, "EnableIPv6": True, "Internal": False, "Labels": None},
]

CONTAINER = {"Id": "c" * 64, "Name": "/c", "NetworkSettings": {"Ports": {
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    "9/udp": [{"HostIp": "127.0.0.1", "HostPort": "9"}], "443/tcp": None,
    "100/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1"}]}}}

# Commands whose output must be docker's to the letter.
SAME_OUTPUT = """
network ls
network list -q
network ls --no-trunc
network ls --format '{{.ID}}|{{.Name}}|{{.Driver}}|{{.Scope}}|{{.IPv4}}|{{.IPv6}}|{{.Internal}}|{{.Labels}}|{{.CreatedAt}}'
network ls --format 'table {{.Name}}\\t{{.IPv4}}\\t{{.IPv6}}\\t{{.Internal}}\\t{{.Labels}}\\t{{.CreatedAt}}'
network ls --format json
network ls --format '{{.Name}} {{.Label "com.example.my-key"}}'
network ls --format 'table {{.Label "com.example.my-key"}}\\t{{.Name}}'
network inspect --format '{{.Driver}}' n
network inspect --format json n
network inspect n
network rm n
network rm -f missing
network prune -f
network prune
port c
port c 80
port c 80/tcp
port c 9/udp
"""


class NetworksBesideDocker(BesideDocker):
    def test_containers(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
            self.assertEqual(container_part(cay[3][0][2]), container_part(docker[3][0][2]))

        self.compare(SAME_CONTAINERS, "create ", check)

    def test_containers_refused(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (125, 125), docker[2] + cay[2])
            self.assertEqual((docker[3], cay[3]), ([], []))

        self.compare(REFUSED_CONTAINERS, "create ", check)

    def test_networks(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
            self.assertEqual([(verb, path, network_part(body)) for verb, path, body in cay[3]],
                             [(verb, path, network_part(body)) for verb, path, body in docker[3]])

        self.compare(SAME_NETWORKS, "network ", check)

    def test_networks_refused(self):
        def check(docker, cay):
            self.assertNotIn(0, (docker[0], cay[0]), docker[2] + cay[2])
            self.assertEqual((docker[3], cay[3]), ([], []))

        self.compare(REFUSED_NETWORKS, "network ", check)

    def test_output(self):
        missing = (404, {"message": "network missing not found"})
        self.server.answers = {"/networks": (200, NETWORKS), "/networks/n": (200, NETWORKS[0]),
                               "/networks/missing": missing, "/containers/c/json": (200, CONTAINER),
                               "/networks/prune": (200, {"NetworksDeleted": ["one", "two"]})}

        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
            self.assertEqual(cay[1], docker[1])

        self.compare(SAME_OUTPUT, "", check)

    def test_failures(self):
        busy = (403, {"message": "network busy has active endpoints"})
        self.server.answers = {"/networks/busy": busy, "/containers/c/json": (200, CONTAINER)}

        def check(docker, cay):
            self.assertEqual(cay[0], docker[0], docker[2] + cay[2])
            self.assertTrue(cay[2])

        self.compare("network rm busy\nnetwork inspect busy\nport c 443\nport c 9", "", check)

    def test_warnings(self):
        """What the host has not got for containers' networks is told."""
        self.server.answers = {"/info": (200, {"ServerVersion": "1", "Warnings": ["no networks, by want of rights"]})}
        for program in (DOCKER, BUILD / "cay"):
            self.assertIn("no networks, by want of rights", self.run_client(program, "info")[2])

    def test_ports_of_containers(self):
        """The Ports column for lists of ports that chance makes."""
        chance = random.Random(4)
        for number in range(40):
            ports = []
            for _ in range(chance.randrange(12)):
                port = {"PrivatePort": chance.choice([80, 81, 82, 83, 443, 9000]), "Type": chance.choice(["tcp", "tcp", "udp"])}
                address = chance.choice(["", "0.0.0.0", "::", "127.0.0.1"])
                if address:
                    port.update(IP=address, PublicPort=chance.choice([port["PrivatePort"]] * 3 + [8080]))
                if port not in ports:
                    ports.append(port)
            container = {"Id": "c" * 64, "Names": ["/c"], "Image": "i", "Command": "c", "Created": 1, "Ports": ports,
                         "State": "running", "Status": "Up"}
            self.server.answers = {"/containers/json": (200, [container])}
            with self.subTest(number, ports=ports):
                docker, cay = self.both("ps --format '{{.Ports}}'")
                self.assertEqual(cay[:2], docker[:2])


class Daemon(CayTestCase):
    """The commands against a daemon: what they say and leave."""

    def tearDown(self):
        super().tearDown()
        for container in self.cay("ps", "-aq").split():
            self.cay("rm", "-f", container)
        self.cay("network", "prune", "-f")

    def inspect(self, name, template):
        return self.cay("inspect", "--format", template, name)

    def test_life_of_a_network(self):
        identity = self.cay("network", "create", "--subnet", "10.88.0.0/16", "--gateway", "10.88.0.9", "--ip-range", "10.88.7.0/24",
                            "--aux-address", "printer=10.88.7.0", "--subnet", "fd88::/64", "--label", "a=b", "--internal", "mine")
        self.assertRegex(identity, "^[0-9a-f]{64}$")
        self.assertEqual(self.cay("network", "ls", "-q", "--no-trunc", "-f", "name=^mine$"), identity)
        self.assertEqual(self.cay("network", "ls", "-f", "label=a", "--format", "{{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} "
                                  "{{.IPv6}} {{.Internal}} {{.Labels}} {{.Label \"a\"}}"), "mine bridge local true true true a=b b")
        found = json.loads(self.cay("network", "inspect", "mine"))[0]
        self.assertEqual((found["Id"], found["Internal"], found["Labels"]), (identity, True, {"a": "b"}))
        self.assertEqual(found["IPAM"]["Config"][0], {"Subnet": "10.88.0.0/16", "IPRange": "10.88.7.0/24", "Gateway": "10.88.0.9",
                                                      "AuxiliaryAddresses": {"printer": "10.88.7.0"}})
        self.assertEqual(json.loads(self.cay("inspect", "--type", "network", "mine"))[0]["Id"], identity)
        done = self.run_cay("network", "create", "mine")
        self.assertEqual(done.returncode, 1)
        self.assertIn("mine", done.stderr)
        self.assertEqual(self.cay("network", "rm", "mine"), "mine")
        done = self.run_cay("network", "rm", "mine")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("mine", done.stderr)
        self.assertEqual(self.cay("network", "rm", "-f", "mine"), "")

    def test_list(self):
        lines = [line.split() for line in self.cay("network", "ls").splitlines()]
        self.assertEqual(lines[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"])
        self.assertEqual([line[1:] for line in lines[1:]],
                         [["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"]])
        self.assertTrue(all(re.fullmatch("[0-9a-f]{12}", line[0]) for line in lines[1:]))

    def test_in_use(self):
        self.cay("network", "create", "used")
        self.cay("run", "-d", "--name", "user", "--network", "used", "busybox", "sleep", "600")
        done = self.run_cay("network", "rm", "used")
        self.assertEqual(done.returncode, 1)
        self.assertIn("used", done.stderr)
        self.cay("network", "create", "idle")
        self.assertEqual(self.cay("network", "prune", "-f"), "Deleted Networks:\nidle")
        self.assertEqual(self.cay("network", "ls", "--format", "{{.Name}}", "-f", "type=custom"), "used")
        asked = self.run_cay("network", "prune", input="n\n")
        self.assertIn("all custom networks not used by at least one container", asked.stdout)
        self.cay("rm", "-f", "user")
        self.assertNotIn("Deleted", asked.stdout)
        self.assertIn("Deleted Networks:\nused", self.cay("network", "prune", input="y\n"))

    def test_options_of_run(self):
        self.cay("network", "create", "--subnet", "10.89.0.0/24", "--subnet", "fd89::/64", "one")
        self.cay("network", "create", "--subnet", "10.90.0.0/24", "two")
        self.cay("run", "-d", "--name", "box", "--network", "name=one,ip=10.89.0.77,ip6=fd89::77,mac-address=02-00-00-00-89-77,alias=it",
                 "--network", "two", "--hostname", "host", "--domainname", "example.org", "--dns-search", "example.net",
                 "--dns-opt", "ndots:3", "--add-host", "there=[fd00::9]", "--add-host", "gate:host-gateway",
                 "busybox", "sleep", "600")
        self.assertEqual(self.inspect("box", "{{.NetworkSettings.Networks.one.IPAddress}} {{.NetworkSettings.Networks.one."
                                      "GlobalIPv6Address}} {{.NetworkSettings.Networks.one.MacAddress}}"),
                         "10.89.0.77 fd89::77 02:00:00:00:89:77")
        links = self.cay("exec", "box", "ip", "address")
        for text in ("inet 10.89.0.77/24", "inet6 fd89::77/64", "02:00:00:00:89:77", "inet 10.90.0."):
            self.assertIn(text, links)
        self.assertEqual(self.cay("exec", "box", "hostname", "-f"), "host.example.org")
        hosts = self.cay("exec", "box", "cat", "/etc/hosts")
        self.assertRegex(hosts, r"(?m)^fd00::9\s+there$")
        self.assertRegex(hosts, r"(?m)^10\.89\.0\.1\s+gate$")
        resolv = self.cay("exec", "box", "cat", "/etc/resolv.conf")
        self.assertRegex(resolv, r"(?m)^search example\.net$")
        self.assertRegex(resolv, r"(?m)^options .*ndots:3")
        self.assertEqual(self.cay("run", "--rm", "--network", "one", "busybox", "nslookup", "it").count("10.89.0.77"), 1)
        self.assertEqual(sorted(self.cay("ps", "--format", "{{.Networks}}").split(",")), ["one", "two"])

    def test_refused_by_the_daemon(self):
        self.cay("network", "create", "--subnet", "10.91.0.0/24", "small")
        for arguments, words in ((("--network", "nonesuch"), "nonesuch"),
                                 (("--network", "small", "--ip", "10.92.0.1"), "no configured subnet"),
                                 (("--network", "host"), "host"),
                                 (("-p", "127.0.0.300:80:80"), "127.0.0.300"),
                                 (("--mac-address", "03:00:00:00:00:01"), "03:00:00:00:00:01")):
            with self.subTest(arguments):
                done = self.run_cay("run", "--rm", *arguments, "busybox", "true")
                self.assertEqual(done.returncode, 125, done.stderr)
                self.assertIn(words, done.stderr)
        self.assertEqual(self.cay("ps", "-aq"), "")

    def test_connect(self):
        self.cay("network", "create", "--subnet", "10.93.0.0/24", "other")
        self.cay("create", "--name", "later", "busybox", "sleep", "600")
        self.assertEqual(self.cay("network", "connect", "--ip", "10.93.0.50", "--alias", "second,third", "--mac-address",
                                  "02:00:00:00:93:50", "other", "later"), "")
        self.cay("start", "later")
        self.assertIn("inet 10.93.0.50/24", self.cay("exec", "later", "ip", "address"))
        self.assertEqual(self.cay("run", "--rm", "--network", "other", "busybox", "nslookup", "third").count("10.93.0.50"), 1)
        self.assertEqual(self.cay("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.MacAddress}}{{end}}",
                                  "other"), "later 10.93.0.50/24 02:00:00:00:93:50")
        self.assertEqual(self.cay("network", "disconnect", "other", "later"), "")
        self.assertEqual(self.cay("ps", "--format", "{{.Networks}}"), "bridge")
        done = self.run_cay("network", "disconnect", "other", "later")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not connected to network other", done.stderr)

    def test_ports(self):
        self.cay("run", "-d", "--name", "server", "-p", "127.0.0.1:8085:80", "-p", "8090-8092:8090-8092", "-p", "53/udp", "-P",
                 "--expose", "99", "busybox", "sleep", "600")
        self.assertEqual(self.cay("port", "server", "80"), "127.0.0.1:8085")
        lines = self.cay("port", "server").splitlines()
        self.assertEqual([line.partition(" ")[0] for line in lines[:5]], ["53/udp", "53/udp", "80/tcp", "99/tcp", "99/tcp"])
        self.assertEqual(lines[5:], [f"{port}/tcp -> {host}:{port}" for port in (8090, 8091, 8092) for host in ("0.0.0.0", "[::]")])
        self.assertIn("80/tcp -> 127.0.0.1:8085", lines)
        self.assertIn("8091/tcp -> [::]:8091", lines)
        chosen = self.cay("port", "server", "53/udp").splitlines()
        self.assertEqual(len(chosen), 2)
        self.assertRegex(chosen[0], r"^0\.0\.0\.0:\d+$")
        self.assertRegex(self.cay("port", "server", "99").splitlines()[0], r"^0\.0\.0\.0:\d+$")
        shown = self.cay("ps", "--format", "{{.Ports}}")
        self.assertIn("0.0.0.0:8090-8092->8090-8092/tcp", shown)
        self.assertIn("[::]:8090-8092->8090-8092/tcp", shown)
        self.assertIn("127.0.0.1:8085->80/tcp", shown)
        done = self.run_cay("port", "server", "1234")
        self.assertEqual(done.returncode, 1)
        done = self.run_cay("run", "--rm", "-p", "8085:1", "busybox", "true")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn("8085", done.stderr)

    def test_completion(self):
        self.cay("network", "create", "complete-me")
        self.assertEqual(self.cay("__complete", "network", "rm", "comp"), "complete-me")
        self.assertEqual(self.cay("__complete", "run", "--network", "comp"), "complete-me")
        self.cay("create", "--name", "c-container", "busybox")
        self.assertEqual(self.cay("__complete", "network", "connect", "complete-me", "c-"), "c-container")
        self.assertEqual(self.cay("__complete", "network", "connect", "complete-me", "c-container", "c"), "")


if __name__ == "__main__":
    unittest.main()
