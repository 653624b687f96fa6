# SPDX-License-Identifier: Apache-2.0
"""The command line's part of volumes, mounts and copies: what it asks for and prints, beside what docker's
client does with the same words."""

import json
import os
import socket
import unittest
from urllib.parse import parse_qsl

from cli_recorder import BesideDocker, plain
from harness import BUILD

# Both ask for the same mounts.
SAME_CONTAINERS = """
img
-v /a:/b:ro -v vol:/c -v /anon -v ./rel:/r -v .:/dot -v ~/x:/h -v ../../y/./z:/z img
-v a:/b img
-v aa:/b img
-v rel img
-v a::b img
-v /a:/b:c:d img
-v /a:/b:bogus img
-v aa:bb img
-v x1 -v y -v :x img
-v /a:/b:rslave,ro,cached -v vol:/b:nocopy,z img
-v /a:/b -v /c:/d:delegated img
--volume-driver foo -v vol:/b img
--volumes-from a --volumes-from b:ro img
--tmpfs /u:size=1m,exec --tmpfs /t:a:b img
--shm-size 64m img
--storage-opt size=1G --storage-opt a=b img
--read-only img
--mount type=bind,src=/s,dst=/d,readonly img
--mount type=bind,source=./s,target=/d,ro=1,bind-propagation=RSLAVE img
--mount type=bind,src=/s,dst=/d,bind-nonrecursive img
--mount type=bind,src=/s,dst=/d,bind-nonrecursive=true img
--mount type=bind,src=/s,dst=/d,bind-recursive=disabled img
--mount type=bind,src=/s,dst=/d,bind-recursive=enabled img
--mount type=bind,src=/s,dst=/d,bind-recursive=writable,ro img
--mount type=bind,src=/s,dst=/d,bind-recursive=readonly,ro,bind-propagation=rprivate img
--mount type=volume,src=v,dst=/d,volume-label=a=b,volume-label=c,volume-label==x,volume-driver=local,volume-opt=type=tmpfs,volume-opt=o=size=1m img
--mount 'type=volume,src=v,dst=/d,"volume-opt=o=addr=1,rw",volume-nocopy,volume-subpath=a/b' img
--mount dst=/d,volume-nocopy=0 img
--mount type=tmpfs,dst=/d,tmpfs-size=1m,tmpfs-mode=1777 img
--mount type=tmpfs,dst=/d,tmpfs-mode=7777777777 img
--mount type=tmpfs,src=/x,dst=/d img
--mount type=bind,src=/s,dst=/d,consistency=Cached img
--mount type=bind,dst=/s img
--mount 'dst=/s,"src=a""b"' img
--mount TYPE=BIND,SRC=/s,DST=/d,READONLY img
--mount type=image,src=i,dst=/d,image-subpath=x img
--mount type=npipe,src=i,dst=/d --mount type=cluster,src=i,dst=/e img
--mount type=bind,src=~/s,dst=/d img
--mount type=bind,src=.,dst=d img
--mount src=a,dst=/d,src=b,readonly,readonly=false img
--mount type=volume,dst=/d,volume-opt==x,volume-opt=k img
--mount type=bind,src=/a,dst=/d,bind-propagation=bogus img
"""

# Both refuse these before any request, and in docker's words.
REFUSED_CONTAINERS = """
-v '' img
-v :/b img
-v /a: img
-v /a:/b:cc:d img
--mount type=bind,src=/s,dst=/d,bind-recursive=writable img
--mount type=bind,src=/s,dst=/d,bind-recursive=readonly,ro img
--mount type=bind,src=/s,dst=/d,bind-recursive=readonly img
--mount type=bind,src=/s,dst=/d,bind-recursive=x img
--mount type=volume,dst=/d,volume-nocopy=maybe img
--mount type=tmpfs,dst=/d,tmpfs-size=x img
--mount type=tmpfs,dst=/d,tmpfs-mode=9 img
--mount type=tmpfs,dst=/d,tmpfs-mode= img
--mount type=tmpfs,dst=/d,tmpfs-mode=77777777777 img
--mount type=bind,src=/s,dst=/d,volume-nocopy img
--mount type=volume,src=/s,dst=/d,bind-propagation=rslave img
--mount type=volume,dst=/d,bind-propagation= img
--mount type=volume,src=s,dst=/d,tmpfs-size=1 img
--mount type=image,src=i,dst=/d,volume-nocopy img
--mount type=,dst=/d img
--mount '' img
--mount type=bind,src=/s img
--mount type=bind,src=/s,dst= img
--mount dst=/s,readonly=maybe img
--mount dst=/s,ro= img
--mount dst=/s,colour=red img
--mount dst=/s,colour img
--mount dst img
--mount 'dst=/s,"a' img
--mount 'dst=/s,"a"b' img
--mount 'dst=/s,a"b"' img
--mount ' type=bind,src=/a, dst=/d' img
--mount ,dst=/d img
--mount dst=/d, img
"""

# Refused by both, each in its own words.
REFUSED_OTHERWISE = """
--shm-size x img
--storage-opt a img
"""

VOLUME = {"CreatedAt": "2026-01-01T00:00:00Z", "Driver": "local", "Labels": {"com.example.my-key": "yes"},
          "Mountpoint": "/m", "Name": "v", "Options": None, "Scope": "local"}
MISSING = (404, {"message": "get missing: no such volume"})
ANSWERS = {
    "/volumes": (200, {"Volumes": [VOLUME, dict(VOLUME, Name="v10", Labels=None), dict(VOLUME, Name="v9")], "Warnings": None}),
    "/volumes/create": (201, VOLUME), "/volumes/v": (200, VOLUME), "/volumes/missing": MISSING,
    "/volumes/busy": (409, {"message": "remove busy: volume is in use - [abc]"}),
    "/volumes/prune": (200, {"VolumesDeleted": ["v1", "v2"], "SpaceReclaimed": 1234567}),
    "/containers/prune": (200, {"ContainersDeleted": ["c" * 64], "SpaceReclaimed": 10}),
    "/networks/prune": (200, {"NetworksDeleted": ["n"]}),
    "/images/prune": (200, {"ImagesDeleted": [{"Untagged": "a:b"}, {"Deleted": "sha256:11"}], "SpaceReclaimed": 5}),
    "/containers/json": (200, [{"Id": "c" * 64, "Names": ["/c"], "Image": "i", "Command": "c", "Created": 1, "Ports": [],
                                "State": "running", "Status": "Up", "SizeRw": 1000, "SizeRootFs": 5000000,
                                "Mounts": [{"Type": "volume", "Name": "f" * 64, "Driver": "local", "Destination": "/v"},
                                           {"Type": "bind", "Source": "/some/long/path/of/the/host", "Destination": "/b"}]}]),
    "/system/df": (200, {"LayersSize": 100, "Images": [], "Containers": [], "BuildCache": [],
                         "Volumes": [dict(VOLUME, UsageData={"RefCount": 1, "Size": 4096}),
                                     dict(VOLUME, Name="v2", UsageData={"RefCount": 0, "Size": 1234567})]}),
}

# Requests and what is printed are docker's to the letter.
SAME_COMMANDS = """
volume create
volume create v
volume create --name v
volume create -d local -o type=tmpfs -o device=tmpfs -o o=size=1m --label a=b --label c v
volume create --opt novalue v
volume create -d other v
volume ls
volume list -q
volume ls --format json
volume ls --format '{{.Name}}|{{.Driver}}|{{.Scope}}|{{.Mountpoint}}|{{.Labels}}|{{.Links}}|{{.Size}}|{{.Availability}}|{{.Group}}|{{.Status}}'
volume ls --format 'table {{.Name}}\\t{{.Driver}}\\t{{.Scope}}\\t{{.Mountpoint}}\\t{{.Labels}}\\t{{.Links}}\\t{{.Size}}\\t{{.Availability}}\\t{{.Group}}\\t{{.Status}}'
volume ls --format 'table {{.Label "com.example.my-key"}}\\t{{.Name}}'
volume ls -f dangling=true -f name=x -f label=a=b -f driver=local
volume inspect v
volume inspect -f '{{.Mountpoint}}' v v
volume inspect --format json v
inspect --type volume --format '{{.Name}}' v
volume rm v
volume rm -f v v
volume remove v
volume prune -f
volume prune -a -f
volume prune -f --filter all=1
volume prune -f --filter label=x --filter label!=y
volume prune
volume prune -a
container prune
image prune
image prune -a
network prune
rm -v c
rm -fv c
ps -s -f volume=v -a
ps --format '{{.Mounts}}|{{.LocalVolumes}}|{{.Size}}'
ps --no-trunc --format '{{.Mounts}}'
system df
system df --format '{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}'
system df -v
"""

# The same failure at the same place.
SAME_FAILURES = """
volume create a b
volume create --name v w
volume ls x
volume ls -f bad
volume inspect
volume inspect v missing
volume rm
volume rm missing v
volume rm -f missing
volume rm busy
volume prune -a -f --filter all=1
system prune --volumes -f --filter until=1h
inspect --type volume missing
"""


def mounts_part(body):
    """What a create request says about files."""
    host = plain(body["HostConfig"])
    return {"volumes": sorted(body.get("Volumes") or {}), "binds": sorted(host.get("Binds", [])),
            **{key: host.get(key) for key in ("Mounts", "Tmpfs", "VolumesFrom", "VolumeDriver", "ShmSize", "StorageOpt",
                                              "ReadonlyRootfs")}}


def request_part(request):
    """A request with its query taken apart, and the filters' two spellings as one."""
    verb, path, body = request
    path, _, query = path.partition("?")
    words = []
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "filters":
            value = {name: sorted(values) for name, values in json.loads(value).items()}
        if value != "":
            words.append((key, value))
    return verb, path, sorted(words, key=str), plain(body)


def first_line(text):
    """Of an error, without the program's name."""
    return text.partition("\n")[0].removeprefix("docker: ").removeprefix("cay: ")


class FilesBesideDocker(BesideDocker):
    def setUp(self):
        super().setUp()
        self.server.answers = dict(ANSWERS)
        self.work = self.directory / "work"
        self.work.mkdir()

    def test_containers(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
            self.assertEqual(mounts_part(cay[3][0][2]), mounts_part(docker[3][0][2]))

        self.compare(SAME_CONTAINERS, "create ", check, cwd=self.work)

    def test_containers_refused(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (125, 125), docker[2] + cay[2])
            self.assertEqual((docker[3], cay[3]), ([], []))
            self.assertEqual(first_line(cay[2]), first_line(docker[2]))

        self.compare(REFUSED_CONTAINERS, "create ", check)

    def test_containers_refused_otherwise(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (125, 125), docker[2] + cay[2])
            self.assertEqual((docker[3], cay[3]), ([], []))

        self.compare(REFUSED_OTHERWISE, "create ", check)

    def test_commands(self):
        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
            self.assertEqual([request_part(request) for request in cay[3]], [request_part(request) for request in docker[3]])
            self.assertEqual(cay[1], docker[1])

        self.compare(SAME_COMMANDS, "", check)

    def test_failures(self):
        def check(docker, cay):
            self.assertEqual([request_part(request) for request in cay[3]], [request_part(request) for request in docker[3]])
            self.assertNotIn(0, (docker[0], cay[0]))
            self.assertEqual(cay[1], docker[1])
            self.assertTrue(cay[2])

        self.compare(SAME_FAILURES, "", check)

    def test_system_prune(self):
        """The same but for build caches, which cay has not."""
        def without_builds(text):
            return "\n".join(line for line in text.splitlines() if "build cache" not in line)

        def check(docker, cay):
            self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
            requests = [request_part(request) for request in docker[3] if not request[1].startswith("/build/")]
            self.assertEqual([request_part(request) for request in cay[3]], requests)
            self.assertEqual(without_builds(cay[1]), without_builds(docker[1]))

        self.compare("system prune\nsystem prune -f\nsystem prune -a -f\nsystem prune -a --volumes\n"
                     "system prune -a --volumes -f --filter label=x\nsystem prune --volumes --filter label=x --filter label!=y\n"
                     "system prune -f --filter until=24h", "", check)

    def test_prune_asks(self):
        for answer, asked in ((b"y\n", True), (b" Y \n", True), (b"yes\n", False), (b"n\n", False), (b"\n", False)):
            with self.subTest(answer):
                docker, cay = self.both("volume prune", data=answer)
                self.assertEqual((len(docker[3]), len(cay[3])), (asked, asked))
                self.assertEqual(cay[1], docker[1])


class OwnOptions(BesideDocker):
    """What docker has not."""

    def create(self, line, **how):
        return self.run_client(BUILD / "cay", "create " + line, **how)

    def test_published_sockets(self):
        status, _, said, requests = self.create("--publish-socket /a.sock:/b.sock --publish-socket ./c:/d img", cwd=self.directory)
        self.assertEqual(status, 0, said)
        self.assertEqual(requests[0][2]["HostConfig"]["PublishSockets"], ["/a.sock:/b.sock", f"{os.path.realpath(self.directory)}/c:/d"])
        for wrong in ("a", "/a:", ":/b", "/a:b", "/a:/b:/c"):
            status, _, said, requests = self.create(f"--publish-socket {wrong} img")
            self.assertEqual((status, requests), (125, []))
            self.assertIn("HOST:CONTAINER", said)

    def test_agent(self):
        path = self.directory / "agent"
        with socket.socket(socket.AF_UNIX) as agent:
            agent.bind(str(path))
            status, _, said, requests = self.create("--ssh -e A=b img", environment={"SSH_AUTH_SOCK": str(path)})
        self.assertEqual(status, 0, said)
        target = "/run/host-services/ssh-auth.sock"
        self.assertEqual(requests[0][2]["Env"], [f"SSH_AUTH_SOCK={target}", "A=b"])
        self.assertEqual(requests[0][2]["HostConfig"]["Mounts"], [{"Type": "bind", "Source": str(path), "Target": target}])

    def test_no_agent(self):
        plain_file = self.directory / "file"
        plain_file.touch()
        for value, words in (("", "SSH_AUTH_SOCK is not set"), (str(self.directory / "none"), "No such file"), (str(plain_file), "no socket")):
            status, _, said, requests = self.create("--ssh img", environment={"SSH_AUTH_SOCK": value})
            self.assertEqual((status, requests), (125, []))
            self.assertIn(words, said)
            self.assertIn("--ssh", said)


if __name__ == "__main__":
    unittest.main()
