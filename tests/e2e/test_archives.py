# SPDX-License-Identifier: Apache-2.0
"""Images that enter and leave as archives, and the layout they are kept in, judged by other tools."""

import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

from harness import ROOT, CayTestCase, Registry, busybox_archive

sys.path.append(str(ROOT / "bench"))

from common import Docker  # noqa: E402

# The newest client there is, and Debian's.
CLIENTS = sorted({path for path in (shutil.which("docker"), "/usr/bin/docker") if path and pathlib.Path(path).exists()})

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def layer_of(**files):
    """A layer's tar with these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


class Layout:
    """An OCI image layout in a directory, written blob by blob."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.blobs = self.directory / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.entries = []

    def blob(self, data, media_type, **more):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    def image(self, *layers, architecture="amd64", **config):
        config = {"os": "linux", "architecture": architecture, "config": config, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.blob(config, CONFIG),
                    "layers": [self.blob(layer, LAYER) for layer in layers]}
        return self.blob(manifest, MANIFEST, platform={"os": "linux", "architecture": architecture})

    def index(self, *members):
        return self.blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": members}, INDEX)

    def add(self, descriptor, name):
        self.entries.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}})
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))

    def archive(self, path):
        with tarfile.open(path, "w") as tar:
            tar.add(self.directory, ".")
        return path


def two_platforms(directory):
    """A layout with app:1 for amd64 and s390x, which share a layer."""
    layout = Layout(directory)
    base = layer_of(base="the same")
    layout.add(layout.index(layout.image(base, layer_of(machine="amd64"), Cmd=["/amd64"]),
                            layout.image(base, layer_of(machine="s390x"), architecture="s390x", Cmd=["/s390x"])),
               "app:1")
    return layout


def skopeo(*arguments, code=0):
    done = subprocess.run(["skopeo", "--insecure-policy", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    if done.returncode != code:
        raise AssertionError(f"skopeo {' '.join(map(str, arguments))}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


class ArchiveTestCase(CayTestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-archives-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def save(self, *names, query=""):
        """An archive of the images, as the API gives it, in a file."""
        path = self.directory / f"saved-{len(list(self.directory.iterdir()))}.tar"
        status, content = self.api("GET", "/images/get?" + "&".join(f"names={name}" for name in names) + query)
        self.assertEqual(status, 200, content)
        path.write_bytes(content)
        return path

    def load(self, path):
        """What docker's clients print of it."""
        status, content = self.api("POST", "/images/load", pathlib.Path(path).read_bytes(),
                                   headers={"Content-Type": "application/x-tar"})
        self.assertEqual(status, 200, content)
        lines = content if isinstance(content, bytes) else json.dumps(content).encode()
        messages = [json.loads(line) for line in lines.splitlines()]
        return [message.get("stream", message.get("error")) for message in messages
                if "stream" in message or "error" in message]

    def remove(self, name):
        status, answer = self.api("DELETE", f"/images/{name}?force=1")
        self.assertEqual(status, 200, answer)

    def identity(self, name):
        return self.api("GET", f"/images/{name}/json")[1]["Id"]


@unittest.skipUnless(shutil.which("skopeo"), "skopeo is not installed")
class Archives(ArchiveTestCase):

    def pull(self, name, platform):
        status, _ = self.api("POST", f"/images/create?fromImage={name}&platform={platform}")
        self.assertEqual(status, 200)

    def listed(self, *options):
        return [image["RepoTags"] for image in self.api("GET", "/images/json?" + "&".join(options))[1]]

    def test_layout_is_truthful(self):
        """Two platforms of one tag: both stay, and another tool finds both by the tag."""
        registry = Registry()
        self.addCleanup(registry.close)
        layout = two_platforms(self.directory / "layout")
        name = f"{registry.address}/app:1"
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.directory}:app:1", f"docker://{name}")
        for platform in ("linux/amd64", "linux/s390x", "linux/amd64", "linux/s390x"):
            self.pull(name, platform)
            shown = self.api("GET", f"/images/{name}/json")[1]
            self.assertEqual(shown["Architecture"], platform.split("/")[1])
            content = f"oci:{self.daemon.root}/content:{name}"
            for architecture in ("amd64", "s390x") if platform == "linux/s390x" else ("amd64",):
                config = json.loads(skopeo("inspect", "--config", "--override-arch", architecture, content))
                self.assertEqual(config["config"]["Cmd"], [f"/{architecture}"])
        self.assertEqual(self.listed().count([name]), 1)
        self.assertEqual(len(self.listed("all=1")), len(self.listed()) + 1)
        self.daemon.restart()
        blobs = []
        for source in content, f"docker://{name}":
            copied = Layout(self.directory / f"copy-{len(blobs)}")
            skopeo("copy", "--all", "--src-tls-verify=false", source, f"oci:{copied.directory}:again")
            blobs.append(sorted(path.name for path in copied.blobs.iterdir()))
        self.assertEqual(blobs[0], blobs[1])
        status, answer = self.api("DELETE", f"/images/{name}")
        self.assertEqual(status, 200)
        self.assertEqual(len(self.listed("all=1")), len(self.listed()))

    def test_save_for_skopeo(self):
        """Both tables of contents of what cay saves lead skopeo to the same image, and back."""
        layout = Layout(self.directory / "layout")
        first, second = layer_of(a="1"), layer_of(b="2")
        layout.add(layout.image(first, second, Cmd=["/one"]), "one:1")
        layout.add(layout.image(first, Cmd=["/two"]), "example.org/two:2")
        self.assertEqual(self.load(layout.archive(self.directory / "in.tar")),
                         ["Loaded image: one:1\n", "Loaded image: example.org/two:2\n"])
        saved = self.save("one:1", "example.org/two:2")
        for source, command in ((f"oci-archive:{saved}:docker.io/library/one:1", "/one"),
                                (f"docker-archive:{saved}:one:1", "/one"),
                                (f"oci-archive:{saved}:example.org/two:2", "/two"),
                                (f"docker-archive:{saved}:example.org/two:2", "/two")):
            self.assertEqual(json.loads(skopeo("inspect", "--config", source))["config"]["Cmd"], [command])
        identities = {name: self.identity(name) for name in ("one:1", "example.org/two:2")}
        for kind, name in (("docker-archive", "one:1"), ("oci-archive", "docker.io/library/one:1")):
            path = self.directory / f"{kind}.tar"
            skopeo("copy", f"{kind}:{saved}:{name}", f"{kind}:{path}:one:1")
            self.remove("one:1")
            self.assertEqual(self.load(path), ["Loaded image: one:1\n"])
            self.assertEqual(self.identity("one:1"), identities["one:1"])
        names = [entry.name for entry in tarfile.open(saved)]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(names[:3], ["oci-layout", "index.json", "manifest.json"])
        for name in identities:
            self.remove(name)
        self.assertEqual(self.load(saved), ["Loaded image: one:1\n", "Loaded image: example.org/two:2\n"])
        self.assertEqual({name: self.identity(name) for name in identities}, identities)
        for name in identities:
            self.remove(name)

    def test_save_is_the_same_again(self):
        self.assertEqual(self.save("busybox").read_bytes(), self.save("busybox:latest").read_bytes())

    def test_save_of_many_names(self):
        """A repository stands for its tags; an id has none; what is named twice is there once."""
        identity = self.identity("busybox")
        for name in ("many:1", "many:2"):
            repository, tag = name.split(":")
            self.assertEqual(self.api("POST", f"/images/busybox/tag?repo={repository}&tag={tag}")[0], 201)
        for names, expected in ((("many",), [["many:1", "many:2"]]), (("many:2", "many"), [["many:1", "many:2"]]),
                                ((identity,), [[]]), ((identity[7:19], "many:1"), [["many:1"]])):
            with tarfile.open(self.save(*names)) as tar:
                entries = json.load(tar.extractfile("manifest.json"))
                self.assertEqual([sorted(entry["RepoTags"]) for entry in entries], expected)
        self.assertEqual(self.load(self.save(identity)), [f"Loaded image ID: {identity}\n"])
        for name in ("many:1", "many:2"):
            self.remove(name)

    def test_save_of_what_is_not_here(self):
        for path in ("/images/get?names=busybox&names=nosuch", "/images/nosuch/get"):
            status, answer = self.api("GET", path)
            self.assertEqual((status, answer["message"]), (404, "No such image: nosuch"))
        self.assertEqual(self.api("GET", "/images/get")[0], 400)
        self.assertEqual(self.api("GET", "/images/busybox/get?platform=linux/s390x")[0], 404)
        self.assertEqual(self.api("GET", "/images/busybox/get?platform=nonsense")[0], 400)

    def test_indexes_in_and_out(self):
        layout = two_platforms(self.directory / "layout")
        self.assertEqual(self.load(layout.archive(self.directory / "in.tar")), ["Loaded image: app:1\n"])
        saved = self.save("app:1")
        with tarfile.open(saved) as tar:
            blobs = sorted(name[len("blobs/sha256/"):] for name in tar.getnames() if len(name) > 70)
        self.assertEqual(blobs, sorted(path.name for path in layout.blobs.iterdir()))
        for architecture in ("amd64", "s390x"):
            config = json.loads(skopeo("inspect", "--config", "--override-arch", architecture, f"oci-archive:{saved}"))
            self.assertEqual(config["config"]["Cmd"], [f"/{architecture}"])
        for architecture, code in (("amd64", 201), ("s390x", 201), ("arm64", 404)):
            status, created = self.api("POST", f"/containers/create?platform=linux/{architecture}", {"Image": "app:1"})
            self.assertEqual(status, code, created)
            if code == 201:
                image = self.api("GET", f"/containers/{created['Id']}/json")[1]["Image"]
                self.assertEqual(self.api("GET", f"/images/{image}/json")[1]["Architecture"], architecture)
                self.api("DELETE", f"/containers/{created['Id']}")
        one = self.save("app:1", query="&platform=linux/s390x")
        self.assertEqual(json.loads(skopeo("inspect", "--config", f"docker-archive:{one}"))["architecture"], "s390x")
        self.remove("app:1")
        self.assertEqual(self.load(one), ["Loaded image: app:1\n"])
        self.assertEqual(self.api("GET", "/images/app:1/json")[1]["Architecture"], "s390x")
        self.assertEqual(self.load(saved), ["Loaded image: app:1\n"])
        self.assertEqual(self.api("GET", "/images/app:1/json")[1]["Architecture"], "amd64")
        self.remove("app:1")

    def test_verify(self):
        status, answer = self.api("POST", "/cay/v1/images/busybox/verify")
        self.assertEqual((status, answer["Ok"], answer["Id"]), (200, True, self.identity("busybox")))
        self.assertEqual([item["Kind"] for item in answer["Items"]], ["manifest", "config", "layer", "disk", "disk"])
        layer = answer["Items"][2]
        data = self.daemon.root / "layers" / (layer["Digest"][len("sha256:"):] + ".data")
        with open(data, "r+b") as file:
            file.seek(data.stat().st_size // 2)
            file.write(b"damage")
        answer = self.api("POST", "/cay/v1/images/busybox/verify")[1]
        self.assertFalse(answer["Ok"])
        (damaged,) = [item for item in answer["Items"] if not item["Ok"]]
        self.assertEqual((damaged["Kind"], damaged["Digest"]), ("disk", layer["Digest"]))
        self.assertIn("made again", damaged["Problem"])
        self.assertEqual(self.cay("run", "--rm", "busybox", "echo", "mended"), "mended")
        self.assertTrue(self.api("POST", "/cay/v1/images/busybox/verify")[1]["Ok"])
        self.assertEqual(self.api("POST", "/cay/v1/images/nosuch/verify")[0], 404)

    @unittest.skipUnless(shutil.which("umoci"), "umoci is not installed")
    def test_umoci(self):
        """What cay saves umoci unpacks and changes; cay loads what came of it."""
        layout = self.directory / "layout"
        with tarfile.open(self.save("busybox")) as tar:
            tar.extractall(layout, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(layout)
        for path in layout.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        # Its references are tags alone.
        index = json.loads((layout / "index.json").read_text())
        index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "mine"}
        (layout / "index.json").write_text(json.dumps(index))
        for arguments in (("config", "--image", f"{layout}:mine", "--config.cmd", "changed"),
                          ("unpack", "--image", f"{layout}:mine", self.directory / "bundle")):
            done = subprocess.run(["umoci", *map(str, arguments)], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.directory / "bundle" / "rootfs" / "bin" / "sh").exists())
        archive = self.directory / "umoci.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(layout, ".")
        self.assertEqual(self.load(archive), ["Loaded image: mine:latest\n"])
        self.assertEqual(self.api("GET", "/images/mine/json")[1]["Config"]["Cmd"], ["changed"])
        self.remove("mine")

    def test_compressed_archives(self):
        plain = busybox_archive().read_bytes()
        for program in ("gzip", "zstd"):
            if not shutil.which(program):
                continue
            path = self.directory / f"busybox.{program}"
            path.write_bytes(subprocess.run([program, "-c"], input=plain, capture_output=True, check=True).stdout)
            self.assertEqual(self.load(path), ["Loaded image: busybox:latest\n"], program)
        if shutil.which("xz"):
            packed = subprocess.run(["xz", "-c0"], input=b"\0" * 10240, capture_output=True, check=True).stdout
            status, answer = self.api("POST", "/images/load", packed, headers={"Content-Type": "application/x-tar"})
            self.assertGreaterEqual(status, 400)
            self.assertIn("bzip2 or xz", answer["message"])


class Clients(ArchiveTestCase):
    def test_clients(self):
        """docker save, load, images, tag, history, rmi and system df, of both clients."""
        self.assertTrue(CLIENTS)
        for client in CLIENTS:
            with self.subTest(client=client):
                path = self.directory / "docker.tar"

                def docker(*arguments, **options):
                    done = self.run_program(client, *arguments, binary=True, **options)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    return done.stdout

                docker("tag", "busybox", "example.org/copy:1")
                docker("save", "-o", path, "example.org/copy:1", "busybox")
                piped = docker("save", "example.org/copy:1", "busybox")
                self.assertEqual(path.read_bytes(), piped)
                self.assertIn(b"example.org/copy", docker("images"))
                docker("rmi", "example.org/copy:1")
                self.assertNotIn(b"example.org/copy", docker("images"))
                self.assertEqual(docker("load", "-q", input=piped).decode().split("\n"),
                                 ["Loaded image: example.org/copy:1", "Loaded image: busybox:latest", ""])
                self.assertIn(b"CREATED BY", docker("history", "--no-trunc", "example.org/copy:1"))
                self.assertIn(b"Images", docker("system", "df"))
                self.assertIn(b"busybox", docker("system", "df", "-v"))
                docker("rmi", "example.org/copy:1")
                path.unlink()


@unittest.skipUnless(shutil.which("dockerd"), "no dockerd is installed")
class Engine(ArchiveTestCase):
    """Docker's own engine is the other side."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.docker = Docker.try_start()
        if cls.docker:
            cls.addClassCleanup(cls.docker.close)

    def setUp(self):
        super().setUp()
        if not self.docker:
            self.skipTest("dockerd does not work here")

    def test_both_ways(self):
        saved = self.directory / "docker.tar"
        self.docker("tag", "busybox", "from/docker:1")
        self.docker("save", "-o", saved, "from/docker:1", "busybox")
        self.assertEqual(sorted(self.load(saved)), ["Loaded image: busybox:latest\n", "Loaded image: from/docker:1\n"])
        self.assertEqual(self.identity("from/docker:1"),
                         self.docker("inspect", "--type", "image", "--format", "{{.Id}}", "from/docker:1"))
        self.assertEqual(self.api("POST", "/images/busybox/tag?repo=from/cay&tag=1")[0], 201)
        out = self.docker("load", "-i", self.save("from/cay:1", "busybox"))
        self.assertEqual(sorted(out.split("\n")), ["Loaded image: busybox:latest", "Loaded image: from/cay:1"])
        self.assertEqual(self.docker("run", "--rm", "--network", "none", "from/cay:1", "echo", "it runs"), "it runs")
        for name in ("from/docker:1", "from/cay:1"):
            self.remove(name)

    def test_compressed_layers(self):
        """cay keeps layers as they came; docker's load takes them compressed too."""
        layout = Layout(self.directory / "layout")
        layout.add(layout.image(layer_of(file="text"), Cmd=["/none"]), "packed:1")
        for kind in ("gzip", "zstd"):
            path = self.directory / f"{kind}.tar"
            skopeo("copy", "--dest-compress-format", kind, "--dest-compress", f"oci:{layout.directory}:packed:1",
                   f"dir:{self.directory / kind}")
            skopeo("copy", f"dir:{self.directory / kind}", f"oci-archive:{path}:packed:{kind}")
            self.assertEqual(self.load(path), [f"Loaded image: packed:{kind}\n"])
            saved = self.save(f"packed:{kind}")
            with tarfile.open(saved) as tar:
                manifest = json.load(tar.extractfile("manifest.json"))[0]
                magic = tar.extractfile(manifest["Layers"][0]).read(4)
            self.assertEqual(magic[:2], {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5"}[kind])
            self.assertIn("Loaded image", self.docker("load", "-i", saved))
            skopeo("copy", f"docker-archive:{saved}", f"docker-archive:{self.directory / 'again'}-{kind}:x:1")
            self.remove(f"packed:{kind}")
