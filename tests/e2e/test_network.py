# SPDX-License-Identifier: Apache-2.0
"""Addresses and networks: who has which, who reaches whom."""

import concurrent.futures
import ipaddress
import json
import time
import urllib.parse

import lab
from net_harness import ECHO, IN_OUTSIDE, OTHER, NetworkTestCase, ask, links, ping, serving


class Addresses(NetworkTestCase):
    """On the default network."""

    def test_reached_from_the_host_and_by_neighbours(self):
        one, two = self.peer("one"), self.peer("two", command=("net-tool", "serve", OTHER))
        gateways = [config["Gateway"] for config in self.inspect_network("bridge")["IPAM"]["Config"]]
        for mine, its, gateway in zip(self.addresses(one), self.addresses(two), gateways):
            self.assertTrue(ping(mine), mine)
            self.assertEqual(self.reached(mine), gateway)
            self.assertEqual(self.reached(its, OTHER), gateway)
            self.assertEqual(self.reached_from(two, mine), its, "a neighbour is seen under its own address")
            self.assertEqual(self.reached_from(one, its, OTHER), mine)
            self.assertIsNone(ask("tcp", mine, OTHER), "a port that nobody serves")
            self.cay("exec", two, "ping", "-c", "1", "-W", "5", mine)

    def test_outbound(self):
        self.peer("out")
        with serving(ECHO, IN_OUTSIDE):
            self.assertEqual(self.reached_from("out", lab.OUTSIDE_ADDRESS), lab.HOST_ADDRESS)
            self.assertEqual(self.reached_from("out", lab.OUTSIDE_ADDRESS6), lab.HOST_ADDRESS6)
        for address in (lab.OUTSIDE_ADDRESS, lab.OUTSIDE_ADDRESS6):
            self.cay("exec", "out", "ping", "-c", "1", "-W", "5", address)

    def test_nobody_outside_reaches_one_that_publishes_nothing(self):
        self.peer("closed")
        for address, router in zip(self.addresses("closed"), (lab.HOST_ADDRESS, lab.HOST_ADDRESS6)):
            length = "32" if router == lab.HOST_ADDRESS else "128"
            lab.run("ip", "-n", lab.OUTSIDE, "route", "add", f"{address}/{length}", "via", router)
            self.addCleanup(lab.run, "ip", "-n", lab.OUTSIDE, "route", "del", f"{address}/{length}")
        self.unreached(*self.addresses("closed"), where=IN_OUTSIDE)

    def test_kept_across_stop_and_start_and_a_killed_daemon(self):
        self.peer("kept")
        before = self.endpoint("kept")
        self.cay("stop", "-t", "1", "kept")
        self.peer("meanwhile")
        self.daemon.restart()
        self.assertEqual(self.reached(self.addresses("meanwhile")[0]), before["Gateway"])
        self.cay("start", "kept")
        after = self.endpoint("kept")
        for key in ("IPAddress", "GlobalIPv6Address", "MacAddress"):
            self.assertEqual(after[key], before[key], key)
        self.assertTrue(ping(after["IPAddress"]))

    def test_several_at_once_have_different_ones(self):
        names = [f"many{number}" for number in range(4)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.peer, names))
        seen = [address for name in names for address in self.addresses(name)]
        self.assertEqual(len(set(seen)), 8, seen)
        self.assertEqual(len({self.endpoint(name)["MacAddress"] for name in names}), 4)

    def test_what_the_guest_sees(self):
        self.peer("seen", "--hostname", "somebody")
        place = self.endpoint("seen")
        shown = self.cay("exec", "seen", "ip", "address", "show", "eth0")
        self.assertIn(f"inet {place['IPAddress']}/{place['IPPrefixLen']}", shown)
        self.assertIn(f"inet6 {place['GlobalIPv6Address']}/{place['GlobalIPv6PrefixLen']}", shown)
        self.assertIn(f"link/ether {place['MacAddress']}", shown)
        # Nobody is asked whether an address is free that only this container can have.
        self.assertNotIn("tentative", shown)
        self.assertEqual(self.cay("exec", "seen", "cat", "/proc/sys/net/ipv6/conf/eth0/accept_dad").strip(), "0")
        self.assertIn(f"default via {place['Gateway']} dev eth0", self.cay("exec", "seen", "ip", "route"))
        self.assertIn(place["IPAddress"], self.cay("exec", "seen", "cat", "/etc/hosts"))
        self.assertIn("somebody", self.cay("exec", "seen", "cat", "/etc/hosts"))

    def test_none(self):
        self.peer("alone", "--network", "none")
        self.assertEqual(self.cay("exec", "alone", "ls", "/sys/class/net").split(), ["lo"])
        self.assertEqual(self.addresses("alone"), ("", ""))
        self.assertEqual(self.cay("exec", "alone", "net-tool", "ask", "tcp", "127.0.0.1", ECHO, "me").split()[0],
                         "127.0.0.1")

    def test_the_host_s_network_is_refused(self):
        done = self.run_cay("run", "--rm", "--network", "host", "peer", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("host", done.stderr)
        self.assertEqual(self.names(), set())

    def test_an_unknown_network(self):
        done = self.run_cay("run", "--rm", "--network", "nowhere", "peer", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("network nowhere not found", done.stderr)
        self.assertEqual(self.names(), set())


class Networks(NetworkTestCase):
    def subnets(self, name):
        return [ipaddress.ip_network(config["Subnet"]) for config in self.inspect_network(name)["IPAM"]["Config"]]

    def refused(self, words, *arguments):
        done = self.run_cay(*arguments)
        self.assertNotEqual(done.returncode, 0, arguments)
        self.assertIn(words, done.stderr)

    def test_create_list_inspect_remove(self):
        before = links()
        self.network("first", "--label", "a=b")
        made = links() - before
        self.assertEqual(len(made), 1, "one bridge")
        info = self.inspect_network("first")
        self.assertEqual((info["Driver"], info["Scope"], info["Labels"]), ("bridge", "local", {"a": "b"}))
        self.assertEqual([subnet.version for subnet in self.subnets("first")], [4, 6])
        listed = self.cay("network", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
        self.assertLessEqual({"first bridge", "bridge bridge", "none null"}, set(listed))
        self.assertEqual(self.cay("network", "ls", "-q", "--no-trunc", "--filter", "label=a=b"), info["Id"])
        self.refused("already exists", "network", "create", "first")
        self.cay("network", "rm", info["Id"][:12])
        self.assertEqual(links(), before)
        self.refused("network first not found", "network", "inspect", "first")
        self.refused("bridge", "network", "rm", "bridge")

    def test_given_addresses(self):
        self.network("given", "--subnet", "10.99.0.0/24", "--ip-range", "10.99.0.128/25", "--gateway", "10.99.0.9",
                     "--subnet", "fd99:1::/64", "--gateway", "fd99:1::9", "--opt", "com.docker.network.driver.mtu=1400")
        self.peer("in", "--network", "given")
        address, address6 = self.addresses("in")
        self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network("10.99.0.128/25"))
        self.assertIn(ipaddress.ip_address(address6), ipaddress.ip_network("fd99:1::/64"))
        self.assertEqual(self.reached(address), "10.99.0.9")
        self.assertEqual(self.reached(address6), "fd99:1::9")
        self.assertEqual(self.cay("exec", "in", "cat", "/sys/class/net/eth0/mtu"), "1400")

    def test_subnets_that_can_t_be(self):
        self.network("taken", "--subnet", "10.98.0.0/24")
        for words, options in (("overlap", ("--subnet", "10.98.0.0/16")), ("overlap", ("--subnet", "192.0.2.0/25")),
                               ("", ("--subnet", "10.97.0.0/24", "--gateway", "10.96.0.1")),
                               ("", ("--subnet", "10.97.0.0/24", "--ip-range", "10.96.0.0/25")),
                               ("", ("--subnet", "10.97.0.0/33")), ("", ("--subnet", "nonsense"))):
            before = links()
            self.refused(words, "network", "create", *options, "wrong")
            self.assertEqual(links(), before)
        self.refused("", "network", "create", "--driver", "overlay", "wrong")

    def test_automatic_ones_avoid_the_host_s(self):
        """What the default network's successor would be is taken by the host, once as an address, once as a route."""
        next_one = self.subnets(self.network("probe"))[0]
        self.cay("network", "rm", "probe")
        lab.run("ip", "address", "add", f"{next_one[5]}/{next_one.prefixlen}", "dev", "eth0")
        self.addCleanup(lab.run, "ip", "address", "del", f"{next_one[5]}/{next_one.prefixlen}", "dev", "eth0")
        second = self.subnets(self.network("second"))[0]
        self.assertFalse(second.overlaps(next_one), (second, next_one))
        self.cay("network", "rm", "second")
        lab.run("ip", "route", "add", str(second), "via", lab.OUTSIDE_ADDRESS)
        self.addCleanup(lab.run, "ip", "route", "del", str(second))
        third = self.subnets(self.network("third"))[0]
        self.assertFalse(third.overlaps(next_one) or third.overlaps(second), (third, second, next_one))

    def test_an_address_and_a_mac_of_one_s_choice(self):
        self.network("chosen", "--subnet", "10.95.0.0/24", "--subnet", "fd95::/64")
        self.peer("fixed", "--network", "chosen", "--ip", "10.95.0.77", "--ip6", "fd95::77",
                  "--mac-address", "02:00:00:00:00:77")
        self.assertEqual(self.addresses("fixed"), ("10.95.0.77", "fd95::77"))
        self.assertEqual(self.endpoint("fixed")["MacAddress"], "02:00:00:00:00:77")
        self.assertEqual(self.cay("exec", "fixed", "cat", "/sys/class/net/eth0/address"), "02:00:00:00:00:77")
        for address in ("10.95.0.77", "fd95::77"):
            self.reached(address)
        self.refused("already in use", "run", "--rm", "--network", "chosen", "--ip", "10.95.0.77", "peer", "true")
        self.refused("", "run", "--rm", "--network", "chosen", "--ip", "10.94.0.1", "peer", "true")
        self.assertEqual(self.names(), {"fixed"})

    def test_networks_can_t_reach_each_other(self):
        self.network("left")
        self.network("right")
        self.peer("lefty", "--network", "left")
        self.peer("righty", "--network", "right")
        self.peer("default")
        for address in self.addresses("righty"):
            self.reached(address)
            done = self.run_cay("exec", "lefty", "ping", "-c", "1", "-W", "1", address)
            self.assertNotEqual(done.returncode, 0)
        for name in ("lefty", "default"):
            self.unreached_from(name, *self.addresses("righty"))
        self.unreached_from("righty", *self.addresses("default"))
        # Nor what is the host's on another network: its gateway there.
        self.unreached_from("lefty", self.endpoint("righty")["Gateway"], port=53)

    def test_internal(self):
        self.network("inside", "--internal")
        self.peer("inner", "--network", "inside")
        self.peer("other", "--network", "inside")
        self.assertTrue(self.inspect_network("inside")["Internal"])
        with serving(ECHO, IN_OUTSIDE):
            self.unreached_from("inner", lab.OUTSIDE_ADDRESS, lab.OUTSIDE_ADDRESS6)
        for address in self.addresses("other"):
            self.reached_from("inner", address)
            self.reached(address)

    def test_in_use_it_is_not_removed(self):
        self.network("used")
        self.peer("user", "--network", "used")
        self.refused("active endpoints", "network", "rm", "used")
        self.cay("rm", "-f", "user")
        self.cay("network", "rm", "used")

    def test_prune(self):
        before = links()
        self.network("idle")
        self.network("busy")
        self.peer("keeps", "--network", "busy")
        self.cay("network", "prune", "-f")
        names = set(self.cay("network", "ls", "--format", "{{.Name}}").split())
        self.assertIn("busy", names)
        self.assertNotIn("idle", names)
        self.cay("rm", "-f", "keeps")
        self.cay("network", "prune", "-f")
        self.assertEqual(links(), before)

    def test_two_networks_from_the_start(self):
        self.network("front")
        self.network("back", "--internal")
        self.peer("both", "--network", "front", "--network", "back")
        self.peer("behind", "--network", "back")
        self.assertEqual(sorted(self.inspect("both")["NetworkSettings"]["Networks"]), ["back", "front"])
        self.assertEqual(self.cay("exec", "both", "ls", "/sys/class/net").split(), ["eth0", "eth1", "lo"])
        for network in ("front", "back"):
            for address in self.addresses("both", network):
                self.reached(address)
        for address in self.addresses("behind"):
            self.reached_from("both", address)
        with serving(ECHO, IN_OUTSIDE):
            self.reached_from("both", lab.OUTSIDE_ADDRESS)

    def test_a_pair_of_queues_for_each_processor(self):
        """A card of several can be moved to another network as any."""
        self.network("second")
        self.peer("wide", "--cpus", "2")
        self.assertEqual(self.cay("exec", "wide", "ls", "/sys/class/net/eth0/queues").split(),
                         ["rx-0", "rx-1", "tx-0", "tx-1"])
        for _ in range(4):  # from several ports, so by several queues
            self.reached(self.addresses("wide")[0])
        self.cay("network", "disconnect", "bridge", "wide")
        self.cay("network", "connect", "second", "wide")
        self.reached(self.addresses("wide", "second")[0])

    def test_connect_and_disconnect_a_stopped_one(self):
        self.network("later")
        self.peer("moves")
        self.peer("waits", "--network", "later")
        self.cay("stop", "-t", "1", "moves")
        self.cay("network", "connect", "later", "moves")
        self.cay("network", "disconnect", "bridge", "moves")
        self.cay("start", "moves")
        self.assertEqual(list(self.inspect("moves")["NetworkSettings"]["Networks"]), ["later"])
        self.reached_from("moves", self.addresses("waits")[0])

    def test_connect_and_disconnect_a_running_one(self):
        """It has one network card to spare; for more than that it must start again."""
        self.network("hot")
        self.network("too-many")
        self.peer("runs")
        self.peer("there", "--network", "hot")
        self.cay("network", "connect", "hot", "runs")
        self.refused("start it again", "network", "connect", "too-many", "runs")
        self.assertEqual(sorted(self.inspect("runs")["NetworkSettings"]["Networks"]), ["bridge", "hot"])
        self.reached_from("runs", self.addresses("there")[0])
        self.reached(self.addresses("runs", "hot")[1])
        self.cay("network", "disconnect", "hot", "runs")
        self.unreached_from("runs", self.addresses("there")[0])
        self.assertEqual(list(self.inspect("runs")["NetworkSettings"]["Networks"]), ["bridge"])
        self.reached(self.addresses("runs")[0])

    def test_events(self):
        """Each run of a container is on its networks, then off them; what a connect tells is told once."""
        self.network("told")
        since = time.time()
        self.peer("teller", "--network", "told")
        identity = self.inspect("teller")["Id"]
        self.cay("network", "connect", "bridge", "teller")
        self.daemon.restart()
        self.cay("network", "disconnect", "bridge", "teller")
        self.cay("rm", "-f", "teller")
        seen = self.events(since)
        self.assertEqual([(one["Actor"]["Attributes"]["name"], one["Action"]) for one in seen],
                         [("bridge", "disconnect"), ("told", "disconnect")], "since the daemon was started")
        self.assertEqual({one["Actor"]["Attributes"]["container"] for one in seen}, {identity})
        since = time.time()
        self.cay("run", "--rm", "--network", "told", "peer", "true")
        self.assertEqual([one["Action"] for one in self.events(since)], ["connect", "disconnect"])

    def events(self, since):
        query = urllib.parse.quote(json.dumps({"type": ["network"]}))
        status, body = self.api("GET", f"/events?since={since:.6f}&until={time.time():.6f}&filters={query}")
        self.assertEqual(status, 200)
        lines = [json.dumps(body)] if isinstance(body, dict) else body.decode().splitlines()
        return [json.loads(line) for line in lines]

    def test_list_refuses_types_that_there_are_not(self):
        for text, expected in (("custom", 200), ("builtin", 200), ("foo", 400)):
            query = urllib.parse.quote(json.dumps({"type": [text]}))
            self.assertEqual(self.api("GET", f"/networks?filters={query}")[0], expected, text)

    def test_inspect_lists_its_containers(self):
        self.network("listed")
        self.peer("member", "--network", "listed")
        (identity, row), = self.inspect_network("listed")["Containers"].items()
        self.assertEqual((identity, row["Name"]), (self.inspect("member")["Id"], "member"))
        self.assertEqual(row["IPv4Address"].split("/")[0], self.addresses("member")[0])
        self.cay("stop", "-t", "1", "member")
        self.assertEqual(self.inspect_network("listed")["Containers"], {})

    def test_networks_survive_the_daemon(self):
        self.network("lasts", "--label", "x=y", "--opt", "com.docker.network.driver.mtu=1300")
        before = self.inspect_network("lasts")
        self.daemon.restart()
        self.assertEqual(self.inspect_network("lasts"), before)
        self.assertEqual(json.loads(self.cay("network", "inspect", "lasts"))[0]["Id"], before["Id"])
        self.peer("after", "--network", "lasts")
        self.reached(self.addresses("after")[0])
