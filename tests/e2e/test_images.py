# SPDX-License-Identifier: Apache-2.0
"""Images: from Debian's docker-registry and from archives, made and judged by outside tools."""

import hashlib
import io
import json
import pathlib
import subprocess
import tarfile
import tempfile

from harness import BUILD, CayTestCase, Registry, Terminal, busybox_archive, debian_tree

FETCH = (debian_tree,)


def oci_image_of_tar(tree, directory):
    """An OCI layout made by umoci, whose one layer is the tar unchanged."""
    layout = pathlib.Path(directory) / "layout"
    subprocess.run(["umoci", "init", "--layout", layout], check=True)
    subprocess.run(["umoci", "new", "--image", f"{layout}:latest"], check=True)
    subprocess.run(["umoci", "raw", "add-layer", "--image", f"{layout}:latest", str(tree)], check=True)
    subprocess.run(["umoci", "config", "--image", f"{layout}:latest", "--config.cmd", "bash",
                    "--config.env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], check=True)
    return layout


class Debian(CayTestCase):
    """A Debian bookworm made by mmdebstrap, pushed by skopeo, pulled and run by cay."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry()
        cls.addClassCleanup(cls.registry.close)
        cls.directory = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-debian-"))
        layout = oci_image_of_tar(debian_tree(), cls.directory)
        cls.image = cls.registry.push(f"oci:{layout}:latest", "debian:bookworm")

    def test_pull_and_run(self):
        self.assertIn("Debian GNU/Linux 12", self.cay("run", "--rm", self.image, "cat", "/etc/os-release"))
        self.assertIn("apt ", self.cay("run", "--rm", self.image, "apt-get", "--version"))
        self.assertEqual(self.cay("run", "--rm", self.image, "perl", "-e", "print 6 * 7"), "42")
        terminal = Terminal([BUILD / "cay", "run", "--rm", "-it", self.image], self.environment())
        self.addCleanup(terminal.close)
        terminal.expect("# ")
        terminal.type("echo $BASH_VERSION | cut -c1-2; exit 3\n")
        terminal.expect("5.")
        self.assertEqual(terminal.wait(), 3)

    def test_a_second_pull_moves_no_bytes(self):
        self.cay("pull", self.image)
        before = self.registry.log_path.read_text().count("/blobs/")
        out = self.cay("pull", self.image)
        self.assertEqual(self.registry.log_path.read_text().count("/blobs/"), before)
        self.assertIn("up to date", out)

    def test_by_digest(self):
        digest = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{self.image}"],
                                           check=True, capture_output=True, text=True).stdout)["Digest"]
        name = self.image.rsplit(":", 1)[0] + "@" + digest
        self.assertEqual(self.cay("run", "--rm", name, "echo", "pinned"), "pinned")
        done = self.run_cay("pull", self.image.rsplit(":", 1)[0] + "@sha256:" + "0" * 64)
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.strip())

    def test_the_tree_is_the_same(self):
        """Every path, type, mode, owner, size, link and mtime as mmdebstrap wrote it."""
        wanted = {}
        with tarfile.open(debian_tree()) as tar:
            for entry in tar:
                name = "/" + entry.name.removeprefix(".").strip("/")
                if name == "/" or name.startswith(("/dev/", "/proc/", "/sys/")) or name in ("/dev", "/proc", "/sys"):
                    continue
                if name in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
                    continue
                kind = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.CHRTYPE: "c", tarfile.FIFOTYPE: "p"}.get(entry.type, "f")
                wanted[name] = (kind, f"{entry.mode & 0o7777:o}" if kind != "l" else "777", entry.uid, entry.gid,
                                entry.linkname if kind == "l" else "", int(entry.mtime) if not entry.islnk() else None)
        script = r"find / -xdev -printf '%p\t%y\t%m\t%U\t%G\t%l\t%T@\n' 2>/dev/null"
        seen = {}
        for line in self.cay("run", "--rm", self.image, "sh", "-c", script).splitlines():
            path, kind, mode, uid, gid, link, mtime = line.split("\t")
            seen[path] = (kind, mode, int(uid), int(gid), link, int(float(mtime)))
        missing = sorted(set(wanted) - set(seen))
        self.assertEqual(missing, [])
        for path, row in wanted.items():
            if path == "/etc":  # the files of the container's own are made in there
                row = (*row[:5], None)
            compared = seen[path] if row[5] is not None else (*seen[path][:5], None)
            self.assertEqual(compared, row, path)

    def test_a_registry_that_is_not_there(self):
        done = self.run_cay("pull", "127.0.0.1:1/x/y:z")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("127.0.0.1:1", done.stderr)
        done = self.run_cay("pull", f"{self.registry.address}/no/such:tag")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("no/such", self.cay("images"))


class Archives(CayTestCase):
    def test_load_list_inspect_remove(self):
        self.assertIn("busybox", self.cay("image", "ls"))
        image = json.loads(self.cay("image", "inspect", "busybox"))[0]
        self.assertEqual(image["RepoTags"], ["busybox:latest"])
        self.assertEqual(image["Config"]["Cmd"], ["sh"])
        self.cay("tag", "busybox", "copy:1")
        self.assertEqual(json.loads(self.cay("image", "inspect", "copy:1"))[0]["Id"], image["Id"])
        self.assertIn("copy:1", self.cay("image", "rm", "copy:1"))
        self.cay("create", "--name", "user", "busybox", "true")
        self.assertNotEqual(self.run_cay("image", "rm", "busybox").returncode, 0)
        self.cay("rm", "user")

    def test_an_oci_archive_of_another_tool(self):
        with tempfile.TemporaryDirectory() as directory:
            archive = f"{directory}/oci.tar"
            subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", f"docker-archive:{busybox_archive()}",
                            f"oci-archive:{archive}:from-oci:2"], check=True)
            with open(archive, "rb") as stream:
                self.cay("load", stdin=stream)
        self.assertEqual(self.cay("run", "--rm", "from-oci:2", "echo", "oci"), "oci")

    def test_broken_archives_leave_nothing(self):
        images = self.cay("images", "-a", "-q")
        good = busybox_archive().read_bytes()
        for name, data in (("empty", b""), ("noise", b"not a tar" * 1000), ("cut", good[:len(good) // 2])):
            with self.subTest(name), tempfile.NamedTemporaryFile() as stream:
                stream.write(data)
                stream.flush()
                done = self.run_cay("load", "-i", stream.name)
                self.assertNotEqual(done.returncode, 0)
                self.assertTrue(done.stderr.strip())
        self.assertEqual(self.cay("images", "-a", "-q"), images)

    def test_every_kind_of_file(self):
        """Whiteouts, opaque directories, links, attributes, devices, sparse files, large ids and long names."""
        long = "n" * 200
        first, second = io.BytesIO(), io.BytesIO()

        def add(tar, name, kind=tarfile.REGTYPE, data=b"", **fields):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(data)
            for field, value in fields.items():
                setattr(entry, field, value)
            tar.addfile(entry, io.BytesIO(data))

        with tarfile.open(fileobj=first, mode="w", format=tarfile.PAX_FORMAT) as tar:
            add(tar, "gone", data=b"1")
            add(tar, "dir", tarfile.DIRTYPE, mode=0o755)
            add(tar, "dir/old", data=b"2")
            add(tar, "replaced", tarfile.DIRTYPE, mode=0o755)
            add(tar, "replaced/below", data=b"3")
            add(tar, "base", data=b"x" * 5000, mode=0o4711, uid=70000, gid=3000000000)
            add(tar, "hard", tarfile.LNKTYPE, linkname="base")
            add(tar, "soft", tarfile.SYMTYPE, linkname="base", mode=0o777)
            add(tar, "null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
            add(tar, "fifo", tarfile.FIFOTYPE, mode=0o600)
            add(tar, f"{long}/{long}", data=b"deep")
            add(tar, "attributes", data=b"a", pax_headers={"SCHILY.xattr.user.colour": "blue"}, mode=0o644)
        with tarfile.open(fileobj=second, mode="w", format=tarfile.PAX_FORMAT) as tar:
            add(tar, ".wh.gone")
            add(tar, "dir/new", data=b"4")
            add(tar, "dir/.wh..wh..opq")
            add(tar, "replaced", data=b"a file now")
        with tempfile.TemporaryDirectory() as directory:
            layout = pathlib.Path(directory) / "layout"
            subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", f"docker-archive:{busybox_archive()}",
                            f"oci:{layout}:latest"], check=True)
            for number, layer in enumerate((first, second)):
                path = pathlib.Path(directory) / f"{number}.tar"
                path.write_bytes(layer.getvalue())
                subprocess.run(["umoci", "raw", "add-layer", "--image", f"{layout}:latest", path], check=True)
            archive = f"{directory}/oci.tar"
            subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", f"oci:{layout}:latest",
                            f"oci-archive:{archive}:kinds:1"], check=True)
            self.cay("load", "-i", archive)
        script = f"""
            test ! -e /gone && test ! -e /dir/old && cat /dir/new && echo
            cat /replaced && echo
            stat -c '%a %u %g %s %h' /base /hard
            readlink /soft; stat -c '%F %t %T' /null; stat -c %F /fifo
            cat /{long}/{long}; echo; getfattr -n user.colour /attributes 2>/dev/null || true
        """
        self.assertEqual(self.cay("run", "--rm", "kinds:1", "sh", "-c", script).splitlines()[:8], [
            "4", "a file now", "4711 70000 3000000000 5000 2", "4711 70000 3000000000 5000 2", "base",
            "character special file 1 3", "fifo", "deep"])


class Layers(CayTestCase):
    def test_a_hundred_layers(self):
        with tempfile.TemporaryDirectory() as directory:
            name = pathlib.Path(directory) / "many.tar"
            with tarfile.open(busybox_archive()) as tar:
                config_name = next(n for n in tar.getnames() if n.endswith(".json") and n != "manifest.json")
                config = json.load(tar.extractfile(config_name))
                layer_name = next(n for n in tar.getnames() if n.endswith("layer.tar"))
                base = tar.extractfile(layer_name).read()
            layers = [base]
            for number in range(99):
                out = io.BytesIO()
                with tarfile.open(fileobj=out, mode="w") as tar:
                    for path, data in ((f"layer-{number}", b"x" * number), ("last", str(number).encode())):
                        entry = tarfile.TarInfo(path)
                        entry.size = len(data)
                        tar.addfile(entry, io.BytesIO(data))
                layers.append(out.getvalue())
            config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
            config["history"] = []
            with tarfile.open(name, "w") as tar:
                rows = [("config.json", json.dumps(config).encode())]
                rows += [(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)]
                rows.append(("manifest.json", json.dumps([{
                    "Config": "config.json", "RepoTags": ["many:100"],
                    "Layers": [f"{number}/layer.tar" for number in range(100)]}]).encode()))
                for path, data in rows:
                    entry = tarfile.TarInfo(path)
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
            self.cay("load", "-i", name)
        self.assertEqual(self.cay("run", "--rm", "many:100", "sh", "-c", "cat /last; echo; ls -d /layer-* | wc -l; wc -c < /layer-98"),
                         "98\n99\n98")
