# SPDX-License-Identifier: Apache-2.0
"""The command line's part of volumes, mounts and copies: what it asks for and prints, beside what docker's
client does with the same words."""

import base64
import io
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tarfile
import unittest
from urllib.parse import parse_qsl

from cli_recorder import DOCKER, BesideDocker, plain
from harness import BUILD, Terminal

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
    "/containers/c/changes": (200, [{"Path": "/a", "Kind": 1}, {"Path": "/b", "Kind": 0}, {"Path": "/c d", "Kind": 2}]),
    "/containers/same/changes": (200, None),
    "/containers/missing/changes": (404, {"message": "No such container: missing"}),
    "/containers/c/export": (200, b"the archive"),
    "/containers/missing/export": (404, {"message": "No such container: missing"}),
    "/commit": (201, {"Id": "sha256:" + "a" * 64}),
    "/images/create": (200, {"status": "sha256:" + "a" * 64}),
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
diff c
diff same
container diff c
export c
container export c
commit c
commit c repo:tag
commit c repo
container commit c localhost:5000/a/repo
commit -a me -m msg -c 'CMD ["x"]' -c 'ENV a=b' -p=false c repo
commit --pause c repo
import http://x/y repo
import https://x/y
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
diff
diff c d
diff missing
export
export missing
export -o /nonexistent/out.tar missing
commit
commit c a b
commit c repo@sha256:1111111111111111111111111111111111111111111111111111111111111111
import
import nofile
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

    def test_imports(self):
        (self.work / "file").write_bytes(b"an archive" * 10000)
        for line in ("import file", "import file repo:tag", "import - repo", "image import file",
                     "import -m msg -c 'CMD x' -c 'ENV y=z' --platform linux/arm64 file repo"):
            with self.subTest(line):
                docker, cay = self.both(line, cwd=self.work, data=b"an archive" * 10000)
                self.assertEqual((docker[0], cay[0]), (0, 0), docker[2] + cay[2])
                self.assertEqual([request_part(request) for request in cay[3]], [request_part(request) for request in docker[3]])
                self.assertEqual(cay[1], docker[1])

    def test_exports_to_files(self):
        for line, code in (("export -o out c", 0), ("export -o out missing", 1), ("export -o . c", 1), ("export -o no/out c", 1)):
            with self.subTest(line):
                (self.work / "out").unlink(missing_ok=True)
                docker, cay = self.both(line, cwd=self.work)
                self.assertEqual((docker[0], cay[0]), (code, code), docker[2] + cay[2])
                self.assertEqual([path.name for path in self.work.iterdir()], [] if code else ["out"])
        self.assertEqual(self.both("export -o out c", cwd=self.work)[1][0], 0)
        self.assertEqual((self.work / "out").read_bytes(), b"the archive")

    def test_prune_asks(self):
        for answer, asked in ((b"y\n", True), (b" Y \n", True), (b"yes\n", False), (b"n\n", False), (b"\n", False)):
            with self.subTest(answer):
                docker, cay = self.both("volume prune", data=answer)
                self.assertEqual((len(docker[3]), len(cay[3])), (asked, asked))
                self.assertEqual(cay[1], docker[1])


# ---- cp ----

GO_MODES = {"file": 0o644, "dir": 1 << 31 | 0o755, "link": 1 << 27 | 0o777, "device": 1 << 26 | 1 << 21 | 0o666}


def path_stat(kind, target=""):
    """The header that tells what a path in a container is."""
    value = {"name": "x", "size": 1, "mode": GO_MODES[kind], "mtime": "2026-01-01T00:00:00Z", "linkTarget": target}
    return {"X-Docker-Container-Path-Stat": base64.b64encode(json.dumps(value).encode()).decode()}


def archive(*members):
    """A tar of (name, type, contents or link target)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = 0o755 if kind == "dir" else 0o640, 1000000000
            member.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
                           "device": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}[kind]
            if kind == "file":
                member.size = len(text)
            else:
                member.linkname = text
            tar.addfile(member, io.BytesIO(text.encode()) if kind == "file" else None)
    return data.getvalue()[:tar.offset]  # without tarfile's padding, which the API's archives have not


def listing(data):
    """What is in an archive, each member once, in the order of names."""
    rows = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            text = tar.extractfile(member).read() if member.isreg() else b""
            rows.append((member.name.rstrip("/") or "/", member.type, oct(member.mode), member.linkname, member.uid, member.gid,
                         member.mtime, text))
    return sorted(rows)


def tree(top):
    """All there is below a directory."""
    rows = []
    for path in sorted(pathlib.Path(top).rglob("*")):
        status = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        rows.append((str(path.relative_to(top)), oct(status.st_mode), status.st_uid, status.st_nlink if path.is_file() else 0,
                     int(status.st_mtime) if text else 0, text))
    return rows


# Paths of the container "c" in these tests.
REMOTE = {"/dir": ("dir",), "/dir/": ("dir",), "/dir/.": ("dir",), "/file": ("file",), "/device": ("device",), "/": ("dir",),
          "/to-dir": ("link", "/dir"), "/to-file": ("link", "file"), "/to-none": ("link", "none"), "/to-device": ("link", "/device")}
TREES = {
    "/file": archive(("file", "file", "text")),
    "/dir": archive(("dir/", "dir", ""), ("dir/a", "file", "aa"), ("dir/sub/", "dir", ""), ("dir/sub/b", "link", "../a"),
                    ("dir/sub/c", "hard", "dir/a"), ("dir/pipe", "fifo", "")),
    "/dir/.": archive(("./", "dir", ""), ("./a", "file", "aa"), ("./sub/", "dir", ""), ("./sub/c", "hard", "./a")),
    "/to-dir": archive(("to-dir", "link", "/dir")), "/to-file": archive(("to-file", "link", "file")),
}
TREES["/dir/"] = TREES["/dir"]

# From here into the container; each line runs in a directory that make_local() has filled.
COPIES_IN = """
file c:/dir
file c:/dir/
file c:/dir/.
file c:/new
file c:/new/
file c:/new/.
file c:/file
file c:/file/
file c:/to-dir
file c:/to-file
file c:/to-none
file c:/device
file c:/to-device
file c:/
file c:relative
file c:
./file c:/dir
empty c:/dir
none c:/dir
file/ c:/dir
dir c:/dir
dir/ c:/dir
dir/. c:/dir
dir c:/new
dir/ c:/new
dir/. c:/new
dir c:/new/
dir/. c:/new/
dir c:/file
dir/. c:/file
dir c:/to-dir
dir c:/to-none
dir/sub/../sub c:/new
link c:/dir
link c:/new
-L link c:/dir
-L link c:/new
-L link c:/file
link-dir c:/dir
link-dir/ c:/dir
link-dir/. c:/dir
link-dir/ c:/new
link-dir/. c:/new
-L link-dir c:/dir
-L link-dir c:/new
-L link-dir/. c:/new
-L dangling c:/dir
dangling c:/dir
link-dir/a c:/new
-a file c:/dir
odd c:/dir
. c:/new
./. c:/dir
with:colon c:/dir
./with:colon c:/dir
--quiet=false file c:/dir
--quiet=false dir c:/new
--quiet=false file c:/to-file
-q file c:/dir
c:/file d:/file
file other
:/file file
"""

COPIES_OUT = """
c:/file .
c:/file new
c:/file new/
c:/file file
c:/file link
c:/file dangling
c:/file dir
c:/file dir/
c:/file link-dir
c:/file none/new
c:/file file/new
c:/file dir/a
c:/dir .
c:/dir new
c:/dir new/
c:/dir dir
c:/dir dir/
c:/dir dir/.
c:/dir file
c:/dir link-dir
c:/dir dangling
c:/dir link
c:/dir/ new
c:/dir/. new
c:/dir/. new/
c:/dir/. dir
c:/dir/. file
c:/dir/. .
c:/to-dir new
c:/to-file new
c:/to-file .
-L c:/to-dir new
-L c:/to-dir .
-L c:/to-file new
-L c:/to-file .
-L c:/to-none new
c:/none new
c:/none none/new
c:/file /dev/null
--quiet=false c:/file new
--quiet=false c:/dir dir
"""


def successes(text):
    """What standard error says about what was copied, without warnings, which each words in its own way."""
    return [line for line in text.splitlines() if line.startswith("Success")]


class CopiesBesideDocker(BesideDocker):
    """cp into the container: the same requests with the same archives. Out of it: the same files here."""

    def setUp(self):
        super().setUp()
        self.answers = {}
        missing = (404, {"message": "Could not find the file in container c"})
        for path, what in REMOTE.items():
            self.answers["HEAD", path] = (200, b"", path_stat(*what))
            if path in TREES:
                self.answers["GET", path] = (200, TREES[path], path_stat(*what))
        outer = self

        class ByPath(dict):
            """Answers by the path in the container."""

            def get(self, key):
                verb, _, path = key.partition(" ")
                if not path.endswith("/archive"):
                    return None
                return (200, b"") if verb == "PUT" else outer.answers.get((verb, outer.asked()), missing)

        self.server.answers = ByPath()

    def asked(self):
        return dict(parse_qsl(self.server.requests[-1][1].partition("?")[2])).get("path", "")

    def make_local(self, name):
        """The directory that a client works in, the same for both."""
        top = self.directory / name / "work"
        (top / "dir" / "sub").mkdir(parents=True)
        (top / "file").write_text("text")
        (top / "empty").touch()
        (top / "with:colon").write_text("colon")
        (top / "dir" / "a").write_text("aaa")
        (top / "dir" / "a").chmod(0o4750)
        os.link(top / "dir" / "a", top / "dir" / "sub" / "same")
        (top / "odd").mkdir()
        os.mkfifo(top / "odd" / "pipe")
        (top / "odd" / ("long" * 50)).write_text("l")
        (top / "odd" / "\u00e9 \\ ").write_text("odd")
        (top / "odd" / "locked").mkdir(mode=0o500)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(top / "odd" / "socket"))
        os.symlink("file", top / "link")
        os.symlink("dir", top / "link-dir")
        os.symlink("nowhere", top / "dangling")
        for path in [*top.rglob("*"), top]:
            os.utime(path, (1000000000, 1000000000), follow_symlinks=False)
        return top

    def run_both(self, line, data=None):
        """For each client: (exit code, output, errors, requests), its directory."""
        results = []
        for name, program in (("docker", DOCKER), ("cay", BUILD / "cay")):
            shutil.rmtree(self.directory / name, ignore_errors=True)
            top = self.make_local(name)
            code, out, said, requests = self.run_client(program, "cp " + line, cwd=top, data=data)
            results.append(((code, out, said.replace(str(self.directory / name), "HERE"), requests), top))
        return results

    def test_in(self):
        for line in COPIES_IN.strip().splitlines():
            with self.subTest(line):
                (docker, _), (cay, _) = self.run_both(line)
                self.assertEqual(cay[0], docker[0], docker[2] + cay[2])
                self.assertEqual([request_part(request)[:3] for request in cay[3]],
                                 [request_part(request)[:3] for request in docker[3]], docker[2] + cay[2])
                sent = [[listing(request[2]) for request in client[3] if request[0] == "PUT"] for client in (docker, cay)]
                self.assertEqual(sent[1], sent[0])
                self.assertEqual(cay[1], docker[1])
                if docker[0] == 0:
                    self.assertEqual(successes(cay[2]), successes(docker[2]))
                else:
                    self.assertTrue(cay[2])

    def test_out(self):
        for line in COPIES_OUT.strip().splitlines():
            with self.subTest(line):
                (docker, there), (cay, here) = self.run_both(line)
                self.assertEqual(cay[0], docker[0], docker[2] + cay[2])
                self.assertEqual([request_part(request) for request in cay[3]], [request_part(request) for request in docker[3]])
                self.assertEqual(tree(here), tree(there))
                self.assertEqual(cay[1], docker[1])
                if docker[0] == 0:
                    self.assertEqual(successes(cay[2]), successes(docker[2]))
                else:
                    self.assertTrue(cay[2])

    def test_what_is_left_out_is_told(self):
        _, (cay, _) = self.run_both("odd c:/dir")
        self.assertIn("warning: HERE/work/odd/socket is a socket, which is not copied", cay[2])
        self.answers["GET", "/dir"] = (200, archive(("dir/", "dir", ""), ("dir/null", "device", "")), path_stat("dir"))
        _, (cay, _) = self.run_both("c:/dir new")
        self.assertEqual(cay[0], 0)
        self.assertIn("warning: dir/null is a device, which is not copied", cay[2])

    def test_progress_on_a_terminal(self):
        """The last line is docker's; what was drawn before it is gone."""
        shown = []
        for program in (DOCKER, BUILD / "cay"):
            for line in ("file c:/new", "c:/file new"):
                shutil.rmtree(self.directory / "top", ignore_errors=True)
                top = self.make_local("top")
                terminal = Terminal([program, "cp", *line.replace("new", f"{top}/new" if line.endswith(" new") else "new").replace(
                    "file c:", f"{top}/file c:").split()], dict(os.environ, DOCKER_HOST=f"unix://{self.directory}/socket",
                                                               CAY_HOST=f"unix://{self.directory}/socket"))
                self.addCleanup(terminal.close)
                self.assertEqual(terminal.wait(), 0)
                terminal.pump()
                text = terminal.output.decode()
                if program != DOCKER:  # whose may be too late for a short copy
                    self.assertIn("Copying " + ("to" if line.startswith("file") else "from") + " container - ", text)
                shown.append(re.findall("Successfully.*", text))
        self.assertEqual(shown[2:], shown[:2])
        self.assertEqual([len(lines) for lines in shown], [1] * 4)

    def test_streams(self):
        (docker, _), (cay, _) = self.run_both("- c:/dir", data=TREES["/dir"])
        self.assertEqual(docker[0], 0, docker[2])
        self.assertEqual((cay[0], cay[2]), (docker[0], docker[2]))
        self.assertEqual([request_part(request) for request in cay[3]], [request_part(request) for request in docker[3]])
        for line in ("- c:/file", "- c:/none"):
            (docker, _), (cay, _) = self.run_both(line, data=TREES["/dir"])
            self.assertEqual(cay[0], docker[0])
            self.assertEqual([request_part(request) for request in cay[3]], [request_part(request) for request in docker[3]])
            self.assertIn("must be a directory", cay[2])
        done = subprocess.run([BUILD / "cay", "cp", "c:/dir", "-"], capture_output=True, check=True,
                              env=dict(os.environ, CAY_HOST=f"unix://{self.directory}/socket"))
        self.assertEqual(done.stdout, TREES["/dir"])

    def test_hostile_archives(self):
        """Nothing of what a container sends gets out of the directory that was named."""
        secret = self.directory / "secret"
        top = self.directory / "top"
        cases = {
            "a name with ..": archive(("dir/", "dir", ""), ("dir/../../secret", "file", "bad")),
            "only ..": archive(("../secret", "file", "bad")),
            "an absolute name": archive(("dir/", "dir", ""), (str(secret), "file", "bad")),
            "through a link": archive(("dir/", "dir", ""), ("dir/out", "link", "../.."), ("dir/out/secret", "file", "bad")),
            "through an absolute link": archive(("dir/", "dir", ""), ("dir/out", "link", str(self.directory)),
                                                ("dir/out/secret", "file", "bad")),
            "over a link": archive(("dir/", "dir", ""), ("dir/out", "link", str(secret)), ("dir/out", "file", "bad")),
            "a hard link out": archive(("dir/", "dir", ""), ("dir/mine", "hard", "../secret"), ("dir/mine", "file", "bad")),
            "an absolute hard link": archive(("dir/", "dir", ""), ("dir/mine", "hard", str(secret)), ("dir/mine", "file", "bad")),
            "a hard link to a link": archive(("dir/", "dir", ""), ("dir/out", "link", str(secret)), ("dir/mine", "hard", "dir/out"),
                                             ("dir/mine", "file", "bad")),
            "the root made a link": archive(("dir", "link", str(self.directory)), ("dir/secret", "file", "bad")),
            "a device": archive(("dir/", "dir", ""), ("dir/null", "device", "")),
            "something beside": archive(("dir/", "dir", ""), (".profile", "file", "bad")),
            "nothing else": archive((".profile", "file", "bad")),
            "a name that goes on": archive(("directory/", "dir", ""), ("directory/x", "file", "bad")),
            "cut short": TREES["/dir"][:700],
            "no archive": b"nothing of the kind" * 100,
        }
        for name, data in cases.items():
            for destination in ("new", "."):
                with self.subTest(name, destination=destination):
                    shutil.rmtree(top, ignore_errors=True)
                    top.mkdir()
                    secret.write_text("kept")
                    before = secret.stat()
                    self.answers["GET", "/dir"] = (200, data, path_stat("dir"))
                    code, _, said, _ = self.run_client(BUILD / "cay", f"cp c:/dir {destination}", cwd=top)
                    self.assertEqual(secret.read_text(), "kept")
                    self.assertEqual((secret.stat().st_nlink, secret.stat().st_mode), (1, before.st_mode))
                    self.assertEqual({path.name for path in self.directory.iterdir()} - {"socket"}, {"secret", "top"})
                    self.assertLessEqual({path.name for path in top.iterdir()}, {"dir" if destination == "." else destination})
                    if code == 0:
                        self.assertFalse([path for path in top.rglob("*") if path.is_char_device()])
                    else:
                        self.assertRegex(said, r"^cay: .+\n$")

    def test_a_daemon_that_fails(self):
        """Its words reach the user, whatever was sent, and half an answer is an error."""
        self.server.answers = {"HEAD /containers/c/archive": (200, b"", path_stat("dir")),
                               "PUT /containers/c/archive": (500, {"message": "disk full"}),
                               "GET /containers/c/archive": (404, {"message": "no such thing"})}
        top = self.make_local("cay")
        (top / "big").write_bytes(os.urandom(1 << 20) * 8)
        for line, words in (("cp big c:/dir", "disk full"), ("cp file c:/dir", "disk full"), ("cp c:/x new", "no such thing")):
            code, _, said, _ = self.run_client(BUILD / "cay", line, cwd=top)
            self.assertEqual(code, 1)
            self.assertIn(words, said)
        self.assertFalse((top / "new").exists())


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
