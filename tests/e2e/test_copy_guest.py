# SPDX-License-Identifier: Apache-2.0
"""The guest's calls that copy a container's files, made by the gRPC project's own client on the shim's socket."""

import base64
import io
import json
import tarfile
import unittest

import grpc_judge
import harness

FETCH = (harness.busybox_archive, grpc_judge.installed)
SERVICE = "cay.vminitd.v1.Vminitd"
CANCELLED, CONFLICT = 1, 9


def entry(name, kind=tarfile.REGTYPE, data=b"", **more):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.mtime = kind, len(data), 0o644, 1234567890
    for key, value in more.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def archive(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, data)
    return out.getvalue()


class CopyGuestTest(harness.CayTestCase):
    def start(self, *options, script="sleep 1000"):
        grpc_judge.installed()
        container = self.cay("run", "-d", *options, "busybox", "sh", "-c", f"({script}); sleep 1000")
        self.addCleanup(self.cay, "rm", "-f", container)
        return container

    def call(self, container, method, **more):
        result, = self.calls(container, {"method": method, **more})
        return result

    def calls(self, container, *calls):
        socket = self.daemon.run / container / "shim.sock"
        return grpc_judge.call(socket, "vminitd.proto", [{"service": SERVICE, **call} for call in calls], timeout=120)

    def sh(self, container, script):
        return self.cay("exec", container, "sh", "-c", script)

    def stat(self, container, path):
        return self.call(container, "StatPath", request={"container_id": container, "path": path})

    def out(self, container, path, method="CopyOut", **more):
        request = {"container_id": container, **({"path": path} if path else {}), **more}
        result = self.call(container, method, request=request)
        self.assertEqual(result["code"], 0, result["details"])
        data = b"".join(base64.b64decode(message["data"]) for message in result["responses"])
        return tarfile.open(fileobj=io.BytesIO(data))

    def put(self, container, path, data, **more):
        pieces = [data[at:at + 200000] for at in range(0, len(data), 200000)] or [b""]
        requests = [{"data": base64.b64encode(piece).decode()} for piece in pieces]
        requests[0].update({"container_id": container, "path": path, **more})
        return self.call(container, "CopyIn", requests=requests)

    def test_stat(self):
        container = self.start(script="mkdir -p /d/sub; echo hi >/d/a; ln -s d /l; ln -s ../d/a /d/r; ln -s /none/x /n; touch /ready")
        harness.wait_until(lambda: self.stat(container, "/ready")["code"] == 0, "the script")
        rows = [("/d/a", "a", 0o100000, ""), ("d/a", "a", 0o100000, ""), ("/d", "d", 0o40000, ""),
                ("/d/", "d", 0o40000, ""), ("/d/.", ".", 0o40000, ""), ("/l", "l", 0o120000, "/d"),
                ("/l/", "l", 0o40000, ""), ("/l/.", ".", 0o40000, ""), ("/", "/", 0o40000, ""),
                ("/.", ".", 0o40000, ""), (".", ".", 0o40000, ""), ("/d/r", "r", 0o120000, "/d/a"),
                ("/n", "n", 0o120000, "/none/x"), ("/l/sub/../r", "r", 0o120000, "/d/a"),
                ("/../../../d", "d", 0o40000, "")]
        results = self.calls(container, *({"method": "StatPath", "request": {"container_id": container, "path": row[0]}}
                                          for row in rows))
        for row, result in zip(rows, results):
            self.assertEqual(result["code"], 0, (row, result["details"]))
            response = result["responses"][0]
            self.assertEqual((response["name"], response["mode"] & 0o170000, response["link_target"]), row[1:], row)
        self.assertEqual(self.stat(container, "/d/a")["responses"][0]["size"], "3")
        for path, token in (("/none", "not-found"), ("/n/", "not-found"), ("/d/a/", "invalid"), ("/d/a/x", "invalid"),
                            ("/d/a/.", "invalid")):
            self.assertEqual(self.stat(container, path)["trailers"]["cay-code"], token, path)
        self.assertEqual(self.call(container, "StatPath", request={"container_id": "other", "path": "/"})["trailers"]["cay-code"],
                         "not-found")

    def test_out_and_in(self):
        container = self.start("--tmpfs", "/t", script="mkdir -p /d/sub; echo hi >/d/a; ln /d/a /d/h; ln -s a /d/l; mkfifo /d/p;"
                               "mknod /d/z c 1 3; chown 1234:99999999 /d/a; chmod 4755 /d/sub; echo t >/t/in; touch /ready")
        harness.wait_until(lambda: self.stat(container, "/ready")["code"] == 0, "the script")
        tar = self.out(container, "/d")
        self.assertEqual(tar.getnames(), ["d", "d/a", "d/h", "d/l", "d/p", "d/sub", "d/z"])
        self.assertEqual((tar.getmember("d/a").uid, tar.getmember("d/a").gid), (1234, 99999999))
        self.assertEqual(tar.getmember("d/sub").mode, 0o4755)
        self.assertTrue(tar.getmember("d/h").islnk() and tar.getmember("d/p").isfifo() and tar.getmember("d/z").ischr())
        self.assertEqual(self.out(container, "/d/.").getnames()[:2], [".", "./a"])
        self.assertEqual(self.out(container, "/d", **{"as": "x"}).getnames()[1], "x/a")
        self.assertEqual(self.out(container, "/t").extractfile("t/in").read(), b"t\n")
        whole = self.out(container, "/").getnames()
        self.assertIn("/d/a", whole)
        self.assertFalse([name for name in whole if name.startswith(("/proc/", "/sys/", "/dev/"))])

        put = archive(entry("new", tarfile.DIRTYPE, mode=0o700, uid=5, gid=6),
                      entry("new/f", data=b"x" * 1000000, uid=7, gid=8, mode=0o4711),
                      entry("new/hard", tarfile.LNKTYPE, linkname="new/f"),
                      entry("new/link", tarfile.SYMTYPE, linkname="/../../etc"),
                      entry("new/.wh.name", data=b"w"), entry("new/fifo", tarfile.FIFOTYPE),
                      entry("new/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
                      entry("new/late/below", data=b"z"))
        result = self.put(container, "/d/sub", put)
        self.assertEqual(result["code"], 0, result["details"])
        self.assertEqual(self.sh(container, "cd /d/sub/new && stat -c '%n %F %a %u:%g %h %Y' . f hard link fifo null .wh.name; wc -c <f"),
                         ". directory 700 5:6 3 1234567890\nf regular file 4711 7:8 2 1234567890\n"
                         "hard regular file 4711 7:8 2 1234567890\nlink symbolic link 777 0:0 1 1234567890\n"
                         "fifo fifo 644 0:0 1 1234567890\nnull character special file 644 0:0 1 1234567890\n"
                         ".wh.name regular file 644 0:0 1 1234567890\n1000000")
        self.assertEqual(self.out(container, "/d/sub/new/f").extractfile("f").read(), b"x" * 1000000)
        # what replaces what
        for data, careful, token in ((archive(entry("sub", data=b"1")), True, "invalid"),
                                     (archive(entry("a", tarfile.DIRTYPE)), True, "invalid"),
                                     (archive(entry("sub", data=b"1")), False, None),
                                     (archive(entry("a", tarfile.DIRTYPE, mode=0o755)), False, None)):
            result = self.put(container, "/d", data, no_overwrite_dir_nondir=careful)
            self.assertEqual(result["trailers"].get("cay-code"), token, result["details"])
        self.assertEqual(self.sh(container, "stat -c %F /d/sub /d/a"), "regular file\ndirectory")
        for path, data, token, text in (("/ready", archive(), "invalid", "extraction point is not a directory"),
                                        ("/none", archive(), "not-found", "/none"),
                                        ("/d", archive(entry("../../x", data=b"1")), "invalid", ".."),
                                        ("/d", archive(entry("h", tarfile.LNKTYPE, linkname="../../ready")), "invalid", ".."),
                                        ("/d", archive(entry("f", data=b"1" * 100000))[:50000], "corrupt", "broken"),
                                        ("/d", b"no archive" * 100, "corrupt", "broken")):
            result = self.put(container, path, data)
            self.assertEqual(result["trailers"].get("cay-code"), token, result["details"])
            self.assertIn(text, result["details"])

    def test_users_files(self):
        container = self.start("--user", "nobody", script="true")
        self.assertEqual(self.put(container, "/tmp", archive(entry("f", data=b"1", uid=3, gid=4)), copy_uidgid=True)["code"], 0)
        self.assertEqual(self.put(container, "/tmp", archive(entry("g", data=b"1", uid=3, gid=4)))["code"], 0)
        self.assertEqual(self.sh(container, "stat -c %u:%g /tmp/f /tmp/g"), "65534:65534\n3:4")

    def test_read_only(self):
        container = self.start("--read-only", "--tmpfs", "/t", script="true")
        result = self.put(container, "/etc", archive(entry("f", data=b"1")))
        self.assertEqual((result["trailers"]["cay-code"], result["details"]), ("invalid", "container rootfs is marked read-only"))
        self.assertEqual(self.put(container, "/t", archive(entry("f", data=b"1")))["code"], 0)
        self.assertEqual(self.sh(container, "cat /t/f"), "1")

    def test_changes_and_layers(self):
        container = self.start("--tmpfs", "/vol/t", script="mkdir -p /d/sub /opt/x; echo hi >/d/a; ln /d/a /d/hard; echo y >>/etc/passwd;"
                               "rm -rf /home; mkdir /home; touch /home/zz /vol/t/no; rm /bin/vi; chmod 700 /tmp; touch /ready")
        harness.wait_until(lambda: self.stat(container, "/ready")["code"] == 0, "the script")
        result = self.call(container, "Changes", request={"container_id": container})
        self.assertEqual(result["code"], 0, result["details"])
        self.assertEqual({("CAD"[change["kind"]], change["path"]) for change in result["responses"]},
                         {("C", "/bin"), ("D", "/bin/vi"), ("A", "/d"), ("A", "/d/a"), ("A", "/d/hard"), ("A", "/d/sub"),
                          ("C", "/etc"), ("C", "/etc/passwd"), ("C", "/home"), ("A", "/home/zz"), ("D", "/home/user"), ("A", "/opt"),
                          ("A", "/opt/x"), ("A", "/ready"), ("C", "/tmp"), ("A", "/vol"), ("A", "/vol/t")})
        layer = self.out(container, None, "ExportRoot", layer=True)
        names = layer.getnames()
        self.assertEqual([name for name in names if not name.startswith("etc")],
                         ["bin", "bin/.wh.vi", "d", "d/a", "d/hard", "d/sub", "home", "home/.wh..wh..opq", "home/zz", "opt", "opt/x",
                          "ready", "tmp", "vol", "vol/t"])
        self.assertTrue(layer.getmember("d/hard").islnk())
        self.assertFalse([member.name for member in layer if "trusted" in str(member.pax_headers)])
        whole = self.out(container, None, "ExportRoot").getnames()
        self.assertTrue({"bin/sh", "d/a", "proc", "vol/t"} <= set(whole))
        self.assertFalse({"bin/vi", "vol/t/no", "home/user"} & set(whole))
        self.assertFalse([name for name in whole if name.startswith(("proc/", "sys/"))])
        self.sh(container, "touch /d/.wh.sub")
        result = self.call(container, "ExportRoot", request={"container_id": container, "layer": True})
        self.assertEqual(result["trailers"]["cay-code"], "invalid")
        self.assertIn("/d/.wh.sub", result["details"])

    def test_slow_and_gone_clients(self):
        """A client that reads nothing, or has left, holds up nobody, and its child ends."""
        container = self.start(script="dd if=/dev/zero of=/big bs=1M count=4; touch /ready")
        harness.wait_until(lambda: self.stat(container, "/ready")["code"] == 0, "the file")
        request = {"container_id": container, "path": "/big"}
        half = archive(entry("half", data=b"1" * 100000))[:50000]
        results = self.calls(
            container, *({"method": "CopyOut", "request": request, "cancel_after": 1} for _ in range(40)),
            {"method": "CopyIn", "hold_open": True, "cancel_after_ms": 1000,
             "requests": [{"container_id": container, "path": "/", "data": base64.b64encode(half).decode()}]},
            {"method": "CopyOut", "request": request, "pause_ms": 2000, "count_only": True})
        self.assertEqual([result["code"] for result in results], [CANCELLED] * 41 + [0])
        self.assertGreater(results[-1]["bytes"], 4 << 20)
        # 32 at a time, while the others are told to come again
        many, = self.calls(container, {"method": "CopyOut", "times": 33, "pause_ms": 3000, "count_only": True,
                                       "request": request})
        self.assertEqual(sorted(result["code"] for result in many), [0] * 32 + [CONFLICT],
                         [result["details"] for result in many])
        self.assertEqual(self.stat(container, "/big")["code"], 0)

    def create(self, container, name, config, **more):
        """A further container in the same guest."""
        config = {"ociVersion": "1.0.2", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh"],
                                                     "env": ["PATH=/bin"]}, **config}
        result = self.call(container, "CreateContainer", request={
            "id": name, "oci_config": base64.b64encode(json.dumps(config).encode()).decode(), **more})
        self.assertEqual(result["code"], 0, result["details"])

    def observer(self, container):
        """A container without processes whose root is the guest's own."""
        root = "/run/cay/c/observer/rootfs"
        self.create(container, "observer", {"root": {"path": root}, "linux": {"namespaces": [{"type": "mount"}]}}, files_only=True,
                    mounts=[{"type": "bind", "source": "/", "target": root, "options": ["rbind"]}])

    def test_races(self):
        """A directory that is a link to elsewhere every other moment leads nobody out of the container."""
        container = self.start(script="true")
        root = "/run/cay/c/hostile/rootfs"
        flip = ("mkdir -p /x/flip/run/cay; while :; do mv /x/flip /x/away; ln -s /../../.. /x/flip; rm /x/flip;"
                "ln -s /proc/1/root /x/flip; rm /x/flip; ln -s /proc/1/cwd/../.. /x/flip; rm /x/flip; mv /x/away /x/flip; done")
        # Without a pid namespace of its own: /proc/1 is vminitd.
        self.create(container, "hostile", {
            "root": {"path": root},
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", flip], "env": ["PATH=/bin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/bin", "type": "bind", "source": f"/run/cay/c/{container}/rootfs/bin",
                        "options": ["rbind"]}],
            "linux": {"namespaces": [{"type": "mount"}]},
        }, mounts=[{"type": "tmpfs", "source": "tmpfs", "target": root}])
        self.assertEqual(self.call(container, "StartProcess", request={"container_id": "hostile", "process_id": "init"})["code"], 0)
        self.observer(container)
        self.assertEqual(self.stat_in(container, "observer", "/run/cay/c/hostile")["code"], 0)

        put = archive(entry("flip/marker", data=b"1"), entry("flip/sub/marker", data=b"1"),
                      entry("link", tarfile.SYMTYPE, linkname="/proc/1/root"), entry("link/marker", data=b"1"))
        data = base64.b64encode(put).decode()
        calls = []
        for _ in range(40):
            calls += [{"method": "CopyIn", "requests": [{"container_id": "hostile", "path": path, "data": data}]}
                      for path in ("/x", "/x/flip", "/x/flip/run")]
            calls += [{"method": "StatPath", "request": {"container_id": "hostile", "path": "/x/flip/run/cay/c"}},
                      {"method": "CopyOut", "request": {"container_id": "hostile", "path": "/x/flip/run/cay/c"}}]
        results = self.calls(container, *calls)
        for directory in ("", "/sub", "/run", "/run/cay", "/run/sub", "/flip", "/run/flip", "/link"):
            self.assertEqual(self.stat_in(container, "observer", f"{directory}/marker")["trailers"].get("cay-code"), "not-found")
        for result in results[3::5] + results[4::5]:
            self.assertNotEqual(result["code"], 0, "something of the guest's own was seen")
        # Something was written, so that the loop has met the directory as well as the links.
        self.assertEqual(self.stat_in(container, "hostile", "/x/link")["code"], 0)
        for name in ("observer", "hostile"):  # the first holds the other's mounts
            result = self.call(container, "DeleteContainer", request={"id": name})
            self.assertEqual(result["code"], 0, result["details"])

    def stat_in(self, container, name, path):
        return self.call(container, "StatPath", request={"container_id": name, "path": path})

    def test_files_only(self):
        """A container without processes: its mounts are seen, nothing of it stays when it is deleted."""
        container = self.start(script="mkdir -p /v; echo old >/v/f; touch /ready")
        harness.wait_until(lambda: self.stat(container, "/ready")["code"] == 0, "the script")
        base, folder = f"/run/cay/c/{container}", "/run/cay/c/files"
        mounts = [{"type": "tmpfs", "source": "tmpfs", "target": f"{folder}/disk"},
                  {"type": "overlay", "source": "overlay", "target": f"{folder}/rootfs",
                   "options": [f"lowerdir={base}/image", f"upperdir={folder}/disk/upper", f"workdir={folder}/disk/work"]}]
        config = {"root": {"path": f"{folder}/rootfs"}, "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
                  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                             {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
                             {"destination": "/v", "type": "bind", "source": f"{base}/rootfs/v", "options": ["rbind"]},
                             {"destination": "/r", "type": "bind", "source": f"{base}/rootfs/v", "options": ["rbind", "ro"]}]}
        self.create(container, "files", config, mounts=mounts, files_only=True)
        results = self.calls(
            container,
            {"method": "CopyIn", "requests": [{"container_id": "files", "path": "/v", "data": base64.b64encode(archive(entry("new", data=b"n"))).decode()}]},
            {"method": "CopyIn", "requests": [{"container_id": "files", "path": "/r", "data": ""}]},
            {"method": "CopyIn", "requests": [{"container_id": "files", "path": "/tmp", "data": base64.b64encode(archive(entry("t", data=b"n"))).decode()}]},
            {"method": "StatPath", "request": {"container_id": "files", "path": "/v/f"}},
            {"method": "CreateProcess", "request": {"container_id": "files", "process_id": "p"}},
            {"method": "PauseContainer", "request": {"id": "files"}},
            {"method": "ContainerStats", "request": {"id": "files"}},
            {"method": "ListProcesses", "request": {"id": "files"}},
            {"method": "Changes", "request": {"container_id": "files"}},
            {"method": "DeleteContainer", "request": {"id": "files"}},
            {"method": "StatPath", "request": {"container_id": "files", "path": "/v/f"}})
        self.assertEqual([result["trailers"].get("cay-code") for result in results[:5]],
                         [None, "invalid", None, None, "conflict"], results)
        self.assertEqual(results[1]["details"], "mounted volume is marked read-only")
        self.assertEqual({("CAD"[change["kind"]], change["path"]) for change in results[8]["responses"]},
                         {("C", "/tmp"), ("A", "/tmp/t"), ("A", "/v"), ("A", "/r")})
        self.assertEqual([result["trailers"].get("cay-code") for result in results[9:]], [None, "not-found"], results[9:])
        self.assertEqual(self.sh(container, "cat /v/f /v/new"), "old\nn")
        self.observer(container)
        self.assertEqual(self.stat_in(container, "observer", folder)["trailers"]["cay-code"], "not-found")
        # One that can't be made leaves nothing, either.
        config["mounts"][2]["source"] = "/nowhere"
        request = {"id": "files", "oci_config": base64.b64encode(json.dumps(config).encode()).decode(), "mounts": mounts,
                   "files_only": True}
        self.assertEqual(self.call(container, "CreateContainer", request=request)["trailers"]["cay-code"], "not-found")
        self.assertEqual(self.stat_in(container, "observer", folder)["trailers"]["cay-code"], "not-found")


if __name__ == "__main__":
    unittest.main()
