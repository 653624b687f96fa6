# SPDX-License-Identifier: Apache-2.0
"""Images that enter and leave as archives, and the layout they are kept in, judged by other tools."""

import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from harness import CayTestCase, Registry

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


@unittest.skipUnless(shutil.which("skopeo"), "skopeo is not installed")
class Archives(CayTestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-archives-"))
        self.addCleanup(shutil.rmtree, self.directory)

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
