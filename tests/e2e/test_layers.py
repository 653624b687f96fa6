# SPDX-License-Identifier: Apache-2.0
"""Layers as a guest sees them, compared file by file with what outside tools make of them on the host."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tarfile
import tempfile

from harness import BUILD, CayTestCase

LIST = BUILD / "tests" / "tree-list"
CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)  # VFS_CAP_REVISION_2, cap_net_raw, effective


def layer_of(*entries):
    """A tar from (name, type, data, fields) rows, as PAX."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data, fields in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(data)
            entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            entry.mtime = 1700000000
            for field, value in fields.items():
                setattr(entry, field, value)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def file(name, data=b"", **fields):
    return name, tarfile.REGTYPE, data, fields


def folder(name, **fields):
    return name, tarfile.DIRTYPE, b"", fields


def link(name, target, kind=tarfile.SYMTYPE, **fields):
    return name, kind, b"", {"linkname": target, **fields}


def hard(name, target):
    return link(name, target, tarfile.LNKTYPE)


@contextlib.contextmanager
def some_layout(layers):
    """An OCI layout with the image latest, whose first layer holds the program that lists trees."""
    program = layer_of(file("tree-list", LIST.read_bytes(), mode=0o755))
    with tempfile.TemporaryDirectory(prefix="cay-layers-") as directory:
        blobs = pathlib.Path(directory) / "layout" / "blobs" / "sha256"
        blobs.mkdir(parents=True)

        def blob(data, kind):
            """`data` is bytes, or the path of a file that goes there as it is."""
            if isinstance(data, pathlib.Path):
                with open(data, "rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                shutil.copyfile(data, blobs / digest)
            else:
                digest = hashlib.sha256(data).hexdigest()
                (blobs / digest).write_bytes(data)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}",
                    "size": (blobs / digest).stat().st_size}

        rows = [blob(layer, "layer.v1.tar") for layer in (program, *layers)]
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/tree-list", "/t"]},
                  "rootfs": {"type": "layers", "diff_ids": [row["digest"] for row in rows]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": rows}
        entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
        entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        (blobs.parent.parent / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        (blobs.parent.parent / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        yield blobs.parent.parent


class TreeTestCase(CayTestCase):
    maxDiff = 20000

    def load(self, layout, name):
        """The image latest of a layout, as `name`."""
        archive = layout.parent / "image.tar"
        with tarfile.open(archive, "w") as tar:
            for path in ("oci-layout", "index.json", "blobs"):
                tar.add(layout / path, arcname=path)
        loaded = self.cay("load", "-q", "-i", archive)
        self.cay("tag", "sha256:" + loaded.rpartition("sha256:")[2].split()[0], name)

    def in_guest(self, name):
        done = self.run_cay("run", "--rm", name, binary=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().splitlines()

    def on_host(self, tree):
        return subprocess.run([LIST, tree], check=True, capture_output=True).stdout.decode().splitlines()

    def compare(self, wanted, seen):
        self.assertGreater(len(wanted), 3)
        self.assertEqual(sorted(seen), sorted(wanted))


class KindsOfFiles(TreeTestCase):
    @staticmethod
    def make_tree(tree):
        """Something of everything that a file system of Linux can hold."""
        tree.mkdir()
        sizes = (0, 1, 31, 32, 33, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 8193, 70000)
        for size in sizes:
            (tree / f"size-{size}").write_bytes(os.urandom(size))
        (tree / "set-user").write_bytes(b"u")
        os.chown(tree / "set-user", 70000, 3000000000)
        os.chmod(tree / "set-user", 0o6755)
        (tree / "sticky").mkdir()
        os.chmod(tree / "sticky", 0o1777)
        (tree / "closed").mkdir()
        (tree / "closed" / "file").write_bytes(b"closed")
        os.chmod(tree / "closed" / "file", 0)
        os.chmod(tree / "closed", 0)
        (tree / "small").write_bytes(b"three names")
        os.link(tree / "small", tree / "small-2")
        os.link(tree / "small", tree / "sticky" / "small-3")
        os.link(tree / "size-70000", tree / "large-2")
        os.symlink("small", tree / "soft")
        os.link(tree / "soft", tree / "soft-2", follow_symlinks=False)
        os.symlink("/" + "long/" * 400, tree / "far")
        os.symlink("nowhere", tree / "dangling")
        os.lchown(tree / "dangling", 65536, 4294967294)
        os.mkfifo(tree / "pipe", 0o600)
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(tree / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
        deep = tree
        for _ in range(6):
            deep /= "d" * 200
            deep.mkdir()
        (deep / ("f" * 255)).write_bytes(b"deep")
        for name in (b"new\nline", b"-dash", b"sp ace", b"back\\slash", "é".encode(), "é".encode(), b"\xff\xfe"):
            with open(os.fsencode(tree) + b"/" + name, "wb") as out:
                out.write(name)
        os.setxattr(tree / "small", "user.colour", b"blue\0green")
        os.setxattr(tree / "size-4032", "user.large", os.urandom(2000))
        os.setxattr(tree / "size-70000", "security.capability", CAPABILITY)
        os.setxattr(tree / "sticky", "user.on-a-folder", b"")
        with open(tree / "sparse", "wb") as out:
            for offset in (0, 1 << 30, (4 << 30) + (64 << 20), (5 << 30) - 4096):
                out.seek(offset)
                out.write(os.urandom(4096))
            out.truncate((5 << 30) + 10)
        with open(tree / "sparse-small", "wb") as out:
            out.seek(3000)
            out.write(b"end")
        for number, path in enumerate(sorted(tree.rglob("*"), reverse=True)):
            os.utime(path, ns=(0, 1600000000000000000 + number * 1000000007), follow_symlinks=False)
        os.utime(tree / "pipe", ns=(0, -1500000000))
        os.utime(tree, ns=(0, 1234567890987654321))

    def test_they_arrive_as_they_are(self):
        """By way of GNU tar, with sparse files of each form it has."""
        with tempfile.TemporaryDirectory(prefix="cay-tree-") as directory:
            tree = pathlib.Path(directory) / "t"
            self.make_tree(tree)
            wanted = self.on_host(tree)
            for version in ("0.0", "0.1", "1.0"):
                with self.subTest(version):
                    archive = pathlib.Path(directory) / "layer.tar"
                    subprocess.run(["tar", "-C", directory, "--format=pax", "--sparse",
                                    f"--sparse-version={version}", "--xattrs", "--xattrs-include=*", "--numeric-owner",
                                    "--pax-option=delete=atime,delete=ctime", "-cf", archive, "t"],
                                   check=True, stderr=subprocess.DEVNULL)
                    with some_layout([archive]) as layout:
                        self.load(layout, f"kinds:{version}")
                    self.compare(wanted, self.in_guest(f"kinds:{version}"))


class LayersOverLayers(TreeTestCase):
    """What several layers mean together, judged by umoci."""

    LAYERS = (
        layer_of(folder("t"), file("t/stays", b"1"), file("t/goes", b"2"), file("t/changes", b"old"),
                 folder("t/kept"), file("t/kept/a", b"3"), file("t/kept/b", b"4"),
                 folder("t/emptied", mode=0o700), file("t/emptied/a", b"5"), folder("t/emptied/sub"),
                 folder("t/becomes-file"), file("t/becomes-file/x", b"6"), file("t/becomes-folder", b"7"),
                 link("t/becomes-plain", "stays"), file("t/becomes-link", b"8"),
                 file("t/first", b"linked"), hard("t/second", "t/first"), hard("t/third", "t/second"),
                 file("t/big", b"b" * 10000), hard("t/big-2", "t/big"),
                 folder("t/usr"), folder("t/usr/bin"), link("t/bin", "usr/bin"), file("t/usr/bin/old", b"9")),
        layer_of(file("t/.wh.goes"), file("t/changes", b"new", mode=0o600, uid=12, gid=34),
                 file("t/kept/.wh.a"), file("t/kept/c", b"10"),
                 folder("t/emptied", mode=0o711, mtime=1650000000), file("t/emptied/.wh..wh..opq"), file("t/emptied/new", b"11"),
                 file("t/becomes-file", b"12"), folder("t/becomes-folder"), file("t/becomes-folder/y", b"13"),
                 file("t/becomes-plain", b"14"), link("t/becomes-link", "kept"),
                 file("t/.wh.second")),
        layer_of(file("t/goes", b"back again"), folder("t/kept", mode=0o500), file("t/.wh.nothing-there"),
                 file("t/usr/bin/new", b"15"), file("t/.wh.becomes-folder"),
                 file("t/twice", b"one"), file("t/twice", b"two"), hard("t/late", "t/usr/bin/new")),
    )

    def test_as_umoci_unpacks_them(self):
        with some_layout(self.LAYERS) as layout:
            bundle = layout.parent / "bundle"
            subprocess.run(["umoci", "unpack", "--image", f"{layout}:latest", bundle], check=True,
                           capture_output=True)
            wanted = self.on_host(bundle / "rootfs" / "t")
            self.load(layout, "over:1")
        self.compare(self.comparable(wanted), self.comparable(self.in_guest("over:1")))

    @staticmethod
    def comparable(lines):
        """Without the times of folders, which unpacking changes where no entry speaks of them last,
        and without the numbers of links, of which an unpacked tree has fewer after a whiteout."""
        rows = []
        for line in lines:
            path, mode, owner, when, *rest = line.split(" ")
            if stat.S_ISDIR(int(mode, 8)):
                when = "-"
            rows.append(" ".join([path, mode, owner, when, *rest]))
        return rows

    def test_the_container_may_change_all_of_it(self):
        """Packed files, linked ones and large ones are copied up as any other."""
        with some_layout(self.LAYERS) as layout:
            self.load(layout, "change:1")
        before = self.in_guest("change:1")
        self.cay("run", "--name", "changer", "change:1")
        self.assertEqual(self.in_guest("change:1"), before)
        self.cay("rm", "changer")


class DamagedLayers(TreeTestCase):
    """A layer that breaks off, lies or bursts leaves nothing behind, and the next one works."""

    def refuse(self, layers, part):
        before = self.cay("images", "-a", "-q", "--no-trunc")
        with some_layout(layers) as layout:
            archive = layout.parent / "image.tar"
            with tarfile.open(archive, "w") as tar:
                for path in ("oci-layout", "index.json", "blobs"):
                    tar.add(layout / path, arcname=path)
            done = self.run_cay("load", "-i", archive)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(part, done.stderr)
        self.assertEqual(self.cay("images", "-a", "-q", "--no-trunc"), before)
        self.assertEqual(os.listdir(self.daemon.root / "images" / "tmp"), [])

    def test_they_are_refused(self):
        good = layer_of(folder("t"), file("t/a", b"a" * 5000))
        self.refuse([good[:4000]], "ends within")
        self.refuse([layer_of(file("../../escape", b"x"))], "..")
        self.refuse([layer_of(folder("t"), hard("t/shadow", "../../../etc/shadow"))], "..")
        self.refuse([layer_of(folder("t"), hard("t/later", "t/never"))], "does not exist")
        self.refuse([layer_of(link("loop", "loop"), file("loop/x", b"x"))], "too many symbolic links")

    def test_links_out_of_the_root_stay_inside(self):
        victim = pathlib.Path(self.daemon.directory) / "victim"
        victim.write_bytes(b"untouched")
        up = "../" * 20
        with some_layout([layer_of(folder("t"), link("t/out", up + str(victim.parent).lstrip("/")),
                                   link("t/abs", str(victim.parent)), file("t/out/victim", b"1"),
                                   file("t/abs/victim2", b"2"), hard("t/copy", "t/out/victim"))]) as layout:
            self.load(layout, "links:1")
        self.assertEqual(victim.read_bytes(), b"untouched")
        self.assertFalse((victim.parent / "victim2").exists())
        lines = self.in_guest("links:1")
        self.assertTrue(any(line.startswith("./copy ") and "size=1" in line for line in lines), lines)
