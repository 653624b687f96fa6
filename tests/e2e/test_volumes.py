# SPDX-License-Identifier: Apache-2.0
"""Volumes as docker's API and its clients have them: made, listed, held, removed, and what a crash leaves."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest
import urllib.parse

from harness import CayTestCase, wait_until

CLIENTS = sorted({path for path in (shutil.which("docker"), "/usr/bin/docker") if path and pathlib.Path(path).exists()})


class VolumeTestCase(CayTestCase):
    """Ends each test without containers and volumes."""

    def tearDown(self):
        super().tearDown()
        for container in self.api("GET", "/containers/json?all=1")[1]:
            self.api("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in self.volumes():
            self.assertEqual(self.api("DELETE", f"/volumes/{volume}")[0], 204, f"volume {volume}")

    def volumes(self, **filters):
        query = urllib.parse.quote(json.dumps(filters))
        status, body = self.api("GET", f"/volumes?filters={query}")
        self.assertEqual(status, 200, body)
        return [volume["Name"] for volume in body["Volumes"]]

    def create(self, name="", host=None, config=None, code=201):
        status, body = self.api("POST", f"/containers/create?name={name}",
                                {"Image": "busybox", "Cmd": ["true"], **(config or {}), "HostConfig": host or {}})
        self.assertEqual(status, code, body)
        return body["Id"] if code == 201 else body["message"]

    def directory(self, volume):
        return self.daemon.root / "volumes" / volume / "_data"

    def docker(self, client, *arguments, code=0, **options):
        done = self.run_program(client, *arguments, **options)
        self.assertEqual(done.returncode, code, f"docker {' '.join(map(str, arguments))}:\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip() if code == 0 else done.stderr.strip()


class Volumes(VolumeTestCase):
    def test_create_and_inspect(self):
        status, made = self.api("POST", "/volumes/create", {"Name": "data", "Labels": {"a": "b"}})
        self.assertEqual(status, 201)
        self.assertEqual({key: made[key] for key in ("Driver", "Labels", "Mountpoint", "Name", "Options", "Scope")},
                         {"Driver": "local", "Labels": {"a": "b"}, "Mountpoint": str(self.directory("data")),
                          "Name": "data", "Options": None, "Scope": "local"})
        self.assertRegex(made["CreatedAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(self.api("GET", "/volumes/data"), (200, made))
        self.assertEqual(self.api("POST", "/volumes/create", {"Name": "data"}), (201, made), "the second time is the first")
        status, nameless = self.api("POST", "/volumes/create")
        self.assertEqual((status, len(nameless["Name"])), (201, 64))
        self.assertEqual(nameless["Labels"], {"com.docker.volume.anonymous": ""})
        self.assertEqual(self.api("GET", "/volumes/none"), (404, {"message": "get none: no such volume"}))

    def test_refusals(self):
        for body, code, words in (
                ({"Name": "a/b"}, 400, 'create a/b: "a/b" includes invalid characters for a local volume name, only '
                                       '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'),
                ({"Name": "x"}, 400, "create x: volume name is too short, names should be at least two alphanumeric characters"),
                ({"Name": ".."}, 400, "invalid characters"),
                ({"Name": "vv", "Driver": "flocker"}, 404, 'create vv: error looking up volume plugin flocker: plugin "flocker" not found'),
                ({"Name": "vv", "DriverOpts": {"size": "1"}}, 400, 'invalid option: "size"'),
                ({"Name": "vv", "DriverOpts": {"type": "tmpfs"}}, 400, 'create vv: missing required option: "device"'),
                ({"Name": "vv", "DriverOpts": {"type": "ext4", "device": "/dev/vda"}}, 501, "volume type ext4"),
                ({"Name": "vv", "Labels": {"a": 1}}, 400, "Labels")):
            with self.subTest(body):
                status, answer = self.api("POST", "/volumes/create", body)
                self.assertEqual(status, code, answer)
                self.assertIn(words, answer["message"])
        self.assertEqual(self.volumes(), [])

    def test_list_and_filters(self):
        self.api("POST", "/volumes/create", {"Name": "alpha", "Labels": {"tier": "db", "x": "1"}})
        self.api("POST", "/volumes/create", {"Name": "beta", "Labels": {"tier": "web"}})
        self.create("holder", {"Binds": ["beta:/data"]})
        self.assertEqual(self.volumes(), ["alpha", "beta"])
        self.assertEqual(self.volumes(name=["lph"]), ["alpha"])
        self.assertEqual(self.volumes(label=["tier"]), ["alpha", "beta"])
        self.assertEqual(self.volumes(label=["tier=db"]), ["alpha"])
        self.assertEqual(self.volumes(dangling=["true"]), ["alpha"])
        self.assertEqual(self.volumes(dangling=["false"]), ["beta"])
        self.assertEqual(self.volumes(driver=["local"]), ["alpha", "beta"])
        self.assertEqual(self.volumes(driver=["other"]), [])
        status, answer = self.api("GET", "/volumes?filters=%7B%22colour%22%3A%5B%22red%22%5D%7D")
        self.assertEqual((status, answer["message"]), (400, "invalid filter 'colour'"))

    def test_in_use(self):
        """A container has its volumes, running or not, until it is removed."""
        one = self.create("one", {"Binds": ["data:/data"]})
        two = self.create("two", {"Mounts": [{"Type": "volume", "Source": "data", "Target": "/d"}]})
        status, answer = self.api("DELETE", "/volumes/data?force=1")
        self.assertEqual((status, answer["message"]), (409, f"remove data: volume is in use - [{one}, {two}]"))
        self.daemon.restart()
        self.assertEqual(self.api("DELETE", "/volumes/data")[0], 409, "a daemon that comes later knows it")
        self.api("DELETE", f"/containers/{one}")
        self.assertEqual(self.api("DELETE", "/volumes/data")[0], 409)
        self.api("DELETE", f"/containers/{two}?v=1")
        self.assertEqual(self.volumes(), ["data"], "a named volume stays even then")
        self.assertEqual(self.api("DELETE", "/volumes/data")[0], 204)
        self.assertFalse((self.daemon.root / "volumes" / "data").exists())
        self.assertEqual(self.api("DELETE", "/volumes/data")[0], 404)
        self.assertEqual(self.api("DELETE", "/volumes/data?force=1")[0], 204)

    def test_anonymous(self):
        """They go with `rm -v`, unless another container has them too."""
        one = self.create("one", config={"Volumes": {"/a": {}, "/b": {}}})
        self.assertEqual(len(self.volumes()), 2)
        two = self.create("two", {"VolumesFrom": ["one"]})
        shared = {mount["Destination"]: mount["Name"] for mount in self.inspect("two")["Mounts"]}
        self.assertEqual(set(shared), {"/a", "/b"})
        self.api("DELETE", f"/containers/{one}?v=1")
        self.assertEqual(sorted(self.volumes()), sorted(shared.values()))
        self.api("DELETE", f"/containers/{two}?v=1")
        self.assertEqual(self.volumes(), [])
        kept = self.create("kept", config={"Volumes": {"/a": {}}})
        self.api("DELETE", f"/containers/{kept}")
        self.assertEqual(len(self.volumes()), 1, "without -v they stay")

    def test_failed_create(self):
        """What a create that fails has made goes, what was there before stays."""
        self.create("taken")
        message = self.create("new", {"Binds": ["named:/n"], "VolumesFrom": ["nobody"]}, {"Volumes": {"/a": {}}}, code=404)
        self.assertEqual(message, "No such container: nobody")
        self.assertEqual(self.volumes(), [])
        message = self.create("new", {"Binds": ["named:/n", "b@d:/x"]}, {"Volumes": {"/a": {}}}, code=400)
        self.assertIn("includes invalid characters for a local volume name", message)
        self.assertEqual(self.volumes(), ["named"], "docker leaves the named one")

    def test_volumes_from(self):
        self.create("lender", {"Binds": ["data:/data:nocopy", "/etc:/host:ro"]}, {"Volumes": {"/own": {}}})
        self.create("borrower", {"VolumesFrom": ["lender:ro"], "Binds": ["mine:/own"]})
        mounts = {mount["Destination"]: mount for mount in self.inspect("borrower")["Mounts"]}
        self.assertEqual(mounts["/own"]["Name"], "mine", "the client's own word stands")
        self.assertEqual((mounts["/data"]["Name"], mounts["/data"]["RW"]), ("data", False))
        self.assertEqual((mounts["/host"]["Source"], mounts["/host"]["RW"]), ("/etc", False))
        self.create("third", {"VolumesFrom": ["borrower"]})
        self.assertEqual(len(self.inspect("third")["Mounts"]), 3)
        self.assertEqual(self.create("xx", {"VolumesFrom": ["lender:nope"]}, code=400), "invalid mode: nope")

    def test_inspect_mounts(self):
        self.create("many", {
            "Binds": ["/etc:/one:ro,rslave", "data:/two"],
            "Mounts": [{"Type": "bind", "Source": "/usr", "Target": "/three", "ReadOnly": True},
                       {"Type": "volume", "Source": "data", "Target": "/four", "ReadOnly": True},
                       {"Type": "tmpfs", "Target": "/five"}],
            "Tmpfs": {"/six": ""}}, {"Volumes": {"/seven": {}}})
        mounts = {mount["Destination"]: mount for mount in self.inspect("many")["Mounts"]}
        source = str(self.directory("data"))
        self.assertEqual(set(mounts), {"/one", "/two", "/three", "/four", "/five", "/seven"}, "docker leaves --tmpfs out")
        self.assertEqual(mounts["/one"], {"Type": "bind", "Source": "/etc", "Destination": "/one", "Mode": "ro,rslave",
                                          "RW": False, "Propagation": "rslave"})
        self.assertEqual(mounts["/two"], {"Type": "volume", "Name": "data", "Source": source, "Destination": "/two",
                                          "Driver": "local", "Mode": "z", "RW": True, "Propagation": ""})
        self.assertEqual(mounts["/three"], {"Type": "bind", "Source": "/usr", "Destination": "/three", "Mode": "",
                                            "RW": False, "Propagation": "rprivate"})
        self.assertFalse(mounts["/four"]["RW"])
        self.assertEqual(mounts["/five"]["Type"], "tmpfs")
        self.assertEqual(mounts["/seven"]["Mode"], "")
        host = self.inspect("many")["HostConfig"]
        self.assertEqual(host["Binds"], ["/etc:/one:ro,rslave", "data:/two"])
        self.assertEqual(len(host["Mounts"]), 3)
        before = self.inspect("many")["Mounts"]
        self.daemon.restart()
        self.assertEqual(self.inspect("many")["Mounts"], before)
        for value, found in (("data", ["/many"]), ("/one", ["/many"]), ("/etc", ["/many"]), ("other", [])):
            query = urllib.parse.quote(json.dumps({"volume": [value]}))
            names = [name for row in self.api("GET", f"/containers/json?all=1&filters={query}")[1] for name in row["Names"]]
            self.assertEqual(names, found, value)

    def test_mount_options_make_volumes(self):
        self.create("maker", {"Mounts": [{"Type": "volume", "Source": "labelled", "Target": "/d", "VolumeOptions": {
            "Labels": {"a": "b"}, "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}}}}]})
        volume = self.api("GET", "/volumes/labelled")[1]
        self.assertEqual((volume["Labels"], volume["Options"]), ({"a": "b"}, {"type": "tmpfs", "device": "tmpfs"}))
        message = self.create("xx", {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/d"}]}, code=400)
        self.assertEqual(message, 'invalid mount config for type "bind": bind source path does not exist: /no/such')

    def test_prune(self):
        for name, labels in (("one", {"keep": "yes"}), ("two", {}), ("used", {})):
            self.api("POST", "/volumes/create", {"Name": name, "Labels": labels})
        nameless = self.api("POST", "/volumes/create")[1]["Name"]
        self.create("user", {"Binds": ["used:/data"]})
        (self.directory("two") / "file").write_bytes(b"x" * 5000)
        (self.directory(nameless) / "file").write_bytes(b"x" * 700)
        self.assertEqual(self.api("POST", "/v1.47/volumes/prune")[1], {"VolumesDeleted": [nameless], "SpaceReclaimed": 700})
        self.assertEqual(self.volumes(), ["one", "two", "used"])
        filters = urllib.parse.quote(json.dumps({"all": ["true"], "label!": ["keep"]}))
        self.assertEqual(self.api("POST", f"/v1.47/volumes/prune?filters={filters}")[1],
                         {"VolumesDeleted": ["two"], "SpaceReclaimed": 5000})
        self.assertEqual(self.api("POST", "/v1.41/volumes/prune")[1]["VolumesDeleted"], ["one"], "older clients mean all")
        self.assertEqual(self.api("POST", "/volumes/prune?filters=%7B%22all%22%3A%5B%22x%22%5D%7D")[0], 400)

    def test_usage(self):
        self.create("user", {"Binds": ["used:/data"]})
        self.api("POST", "/volumes/create", {"Name": "far", "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}})
        (self.directory("used") / "file").write_bytes(b"x" * 1234)
        usage = {row["Name"]: row["UsageData"] for row in self.api("GET", "/system/df?type=volume")[1]["Volumes"]}
        self.assertEqual(usage, {"used": {"RefCount": 1, "Size": 1234}, "far": {"RefCount": 0, "Size": -1}})

    def test_crash_while_making_and_removing(self):
        """Killed at any moment, the daemon comes back to whole volumes and usable names."""
        for number in range(12):
            writer = subprocess.Popen(
                ["sh", "-c", "i=0; while :; do \"$0\" volume create \"r$i\"; \"$0\" volume rm \"r$i\"; i=$((i + 1)); done",
                 str(pathlib.Path(os.environ.get("CAY_BUILD", "build")).resolve() / "cay")],
                env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
            for _ in range(number % 4 + 1):
                writer.stdout.readline()
            self.daemon.process.send_signal(signal.SIGKILL)
            os.killpg(writer.pid, signal.SIGKILL)
            writer.communicate()
            self.daemon.process.wait()
            self.daemon.start()
            directories = {path.name for path in (self.daemon.root / "volumes").iterdir()}
            self.assertEqual(directories, set(self.volumes()))
            for name in directories:
                self.assertTrue(self.directory(name).is_dir())
                self.assertEqual(self.api("DELETE", f"/volumes/{name}")[0], 204)

    def test_removals_finished_by_the_next_daemon(self):
        """A volume that containers share stays with those that are left, in whatever order they are recovered."""
        lender = self.create("lender", config={"Volumes": {"/own": {}}})
        volume = self.inspect("lender")["Mounts"][0]["Name"]
        doomed = [self.create(f"doomed{number}", {"VolumesFrom": ["lender"], "AutoRemove": True}) for number in range(3)]
        (self.directory(volume) / "file").write_text("precious")
        containers = self.daemon.root / "containers"
        self.daemon.kill()
        for identity in doomed:
            (containers / identity).rename(containers / f".removing-{identity}")
        self.daemon.start()
        self.assertEqual(self.names(), {"lender"})
        self.assertEqual(self.volumes(), [volume])
        self.assertEqual((self.directory(volume) / "file").read_text(), "precious")
        self.api("DELETE", f"/containers/{lender}?v=1")
        self.assertEqual(self.volumes(), [])

    def test_events(self):
        began = time.time()
        self.api("POST", "/volumes/create", {"Name": "seen"})
        self.api("DELETE", "/volumes/seen")
        self.api("POST", "/volumes/prune")
        filters = urllib.parse.quote(json.dumps({"type": ["volume"]}))
        text = self.api("GET", f"/events?since={began:.6f}&until={int(time.time()) + 1}&filters={filters}")[1]
        lines = text if isinstance(text, (bytes, str)) else json.dumps(text)
        lines = lines.decode() if isinstance(lines, bytes) else lines
        events = [json.loads(line) for line in lines.splitlines() if line]
        self.assertEqual([(event["Action"], event["Actor"]["ID"]) for event in events],
                         [("create", "seen"), ("destroy", "seen"), ("prune", "")])
        self.assertEqual(events[0]["Actor"]["Attributes"], {"driver": "local"})


@unittest.skipUnless(CLIENTS, "no docker client is installed")
class DockerClients(VolumeTestCase):
    def test_the_noun(self):
        for client in CLIENTS:
            with self.subTest(client):
                self.assertEqual(self.docker(client, "volume", "create", "--label", "a=b", "data"), "data")
                nameless = self.docker(client, "volume", "create")
                self.assertEqual(self.docker(client, "volume", "ls", "-q", "--filter", "label=a"), "data")
                self.assertEqual(json.loads(self.docker(client, "volume", "inspect", "data"))[0]["Labels"], {"a": "b"})
                self.assertIn("no such volume", self.docker(client, "volume", "inspect", "nope", code=1).lower())
                user = self.docker(client, "create", "-v", "data:/data", "-v", "/anonymous", "busybox")
                self.assertIn(f"volume is in use - [{user}]", self.docker(client, "volume", "rm", "data", code=1))
                self.assertEqual(self.docker(client, "ps", "-aq", "--no-trunc", "--filter", "volume=data"), user)
                self.assertIn("data", self.docker(client, "system", "df", "-v"))
                self.docker(client, "rm", "-v", user)
                self.assertEqual(sorted(self.docker(client, "volume", "ls", "-q").split()), sorted(["data", nameless]))
                self.docker(client, "volume", "prune", "-f", *(["-a"] if client == CLIENTS[-1] and len(CLIENTS) > 1 else []))
                self.assertEqual(self.docker(client, "volume", "rm", "-f", "data", nameless).split()[:1], ["data"])

    def test_refusals_in_words(self):
        for client in CLIENTS:
            for words, message in (
                    (("-v", "a/b:/c"), "includes invalid characters for a local volume name"),
                    (("-v", "/a:/b:nope"), "invalid mode: nope"),
                    (("-v", "/etc:/b", "-v", "/usr:/b"), "Duplicate mount point: /b"),
                    (("--mount", "type=bind,src=/no/such,dst=/d"),
                     'invalid mount config for type "bind": bind source path does not exist: /no/such'),
                    (("--mount", "type=volume,dst=/d,readonly"), "must not set ReadOnly mode when using anonymous volumes")):
                with self.subTest(f"{client} {words}"):
                    self.assertIn(message, self.docker(client, "create", *words, "busybox", code=1))
