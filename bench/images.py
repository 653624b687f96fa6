# SPDX-License-Identifier: Apache-2.0
"""Images in and out, cay beside docker and beside skopeo with umoci: time, memory and disk.

All take the same images from one docker-registry on loopback, in turn, each
time with nothing of the image in store. The layers are real trees of files, of this
machine's own /usr.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time

from common import Cay, Docker, Registry, alone, cached, children, pss_kib, title

ROUNDS = 3
SLOW = "skopeo + umoci",  # one round is enough
LARGE = ("large", 40, 500 << 20)
SMALL = ("small", 1, 30 << 20)
SHARED_LAYERS, SHARED_SIZE, OWN_SIZE, IMAGES = 9, 12 << 20, 5 << 20, 10


def some_files(layers, size):
    """As many lists of files of /usr as layers, each of about `size` bytes in all, every file once."""
    lists, total = [[]], 0
    for folder, folders, names in os.walk("/usr"):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            if total >= size:
                if len(lists) == layers:
                    return lists
                lists.append([])
                total = 0
            lists[-1].append(path)
            total += os.path.getsize(path)
    raise SystemExit("/usr is too small to make images of")


def make_layer(paths):
    """A tar of the files with their folders, and its gzip, as docker build makes them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted({os.path.dirname(path) for path in paths}):
            tar.add(folder, recursive=False)
        for path in paths:
            tar.add(path, recursive=False)
    data = out.getvalue()
    return data, gzip.compress(data, compresslevel=6, mtime=0)


class Layout:
    """An OCI layout that is being written."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "blobs" / "sha256").mkdir(parents=True)
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.manifests = []

    def blob(self, data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def layer(self, paths):
        data, packed = make_layer(paths)
        return self.blob(packed, "layer.v1.tar+gzip"), "sha256:" + hashlib.sha256(data).hexdigest(), len(data)

    def image(self, name, layers):
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"], "Labels": {"name": name}},
                  "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id, _ in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.blob(json.dumps(config).encode(), "config.v1+json"),
                    "layers": [descriptor for descriptor, _, _ in layers]}
        entry = self.blob(json.dumps(manifest).encode(), "manifest.v1+json")
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(entry)
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))


def make_images(directory):
    layout = Layout(directory)
    sizes = {}
    for name, layers, size in (LARGE, SMALL):
        made = [layout.layer(paths) for paths in some_files(layers, size // layers)]
        layout.image(name, made)
        sizes[name] = sum(length for _, _, length in made)
    lists = some_files(SHARED_LAYERS + IMAGES, SHARED_SIZE)
    shared = [layout.layer(paths) for paths in lists[:SHARED_LAYERS]]
    own = []
    for number, paths in enumerate(lists[SHARED_LAYERS:]):
        own.append(layout.layer(paths[:max(1, len(paths) * OWN_SIZE // SHARED_SIZE)]))
        layout.image(f"shared{number}", [*shared, own[-1]])
    sizes["shared"] = sum(length for _, _, length in [*shared, *own])
    (layout.directory / "sizes.json").write_text(json.dumps(sizes))


def images():
    source = pathlib.Path(__file__).read_text()
    inputs = source[source.index("def some_files"):source.index("def images")], LARGE, SMALL, SHARED_SIZE, OWN_SIZE
    return cached("bench-images", inputs, make_images)


class PeakMemory:
    """The highest sum of the proportional set sizes of some processes and all that they start."""

    def __init__(self, pids):
        self.pids = pids
        self.peak = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended.wait(0.01):
            pids, todo = set(), list(self.pids)
            while todo:
                pid = todo.pop()
                if pid not in pids:
                    pids.add(pid)
                    with contextlib.suppress(OSError):
                        todo += children(pid)
            self.peak = max(self.peak, sum(map(pss_kib, pids)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def disk_usage(path):
    """Bytes that a tree occupies."""
    return int(subprocess.run(["du", "-s", "--block-size=1", path], check=True, capture_output=True,
                              text=True).stdout.split()[0])


def row(name, samples, target):
    """A line of the table: seconds of cay and of others for the same work, with ratios."""
    medians = {who: statistics.median(seconds) for who, seconds in samples.items()}
    others = [f"{who} {seconds:6.2f} s (ratio {medians['cay'] / seconds:.2f})"
              for who, seconds in medians.items() if who != "cay"]
    print(f"{name:26} cay {medians['cay']:6.2f} s   {'   '.join(others)}   wanted: {target}", flush=True)


def in_turn(functions):
    """Each round runs each function (work, clear) once; seconds of the work alone, by name."""
    samples = {name: [] for name in functions}
    for turn in range(ROUNDS):
        for name, (work, clear) in functions.items():
            if turn and name in SLOW:
                continue
            clear()
            os.sync()
            began = time.perf_counter()
            work()
            samples[name].append(time.perf_counter() - began)
    return samples


def run(*arguments, **options):
    return subprocess.run([str(argument) for argument in arguments], check=True, stdin=subprocess.DEVNULL,
                          capture_output=True, **options)


class Bench:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.layout = images()
        self.sizes = json.loads((self.layout / "sizes.json").read_text())
        self.registry = Registry()
        self.cay = Cay()
        self.docker = Docker.try_start("--bridge=none", "--iptables=false", network=False)
        self.target = None
        for name in (LARGE[0], SMALL[0], *(f"shared{number}" for number in range(IMAGES))):
            self.registry.push(f"oci:{self.layout}:{name}", f"bench:{name}")

    def close(self):
        self.cay.close()
        if self.docker:
            self.docker.close()
        if self.target:
            self.target.close()
        self.registry.close()

    def name(self, tag):
        return f"{self.registry.address}/bench:{tag}"

    def remove(self, program, tag):
        with contextlib.suppress(subprocess.CalledProcessError):
            program("rmi", "-f", self.name(tag))

    def unpack(self, tag):
        run("skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", f"docker://{self.name(tag)}",
            f"oci:{self.directory}/oci:{tag}")
        run("umoci", "unpack", "--image", f"{self.directory}/oci:{tag}", f"{self.directory}/bundle")

    def clear_unpacked(self):
        for name in ("oci", "bundle"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def pulls(self):
        for tag, layers, size in (LARGE, SMALL):
            functions = {"cay": (lambda: self.cay("pull", "-q", self.name(tag)), lambda: self.remove(self.cay, tag))}
            if self.docker:
                functions["docker"] = (lambda: self.docker("pull", "-q", self.name(tag)),
                                       lambda: self.remove(self.docker, tag))
            functions["skopeo + umoci"] = lambda: self.unpack(tag), self.clear_unpacked
            what = f"pull {layers} layer{'s' * (layers > 1)}, {size >> 20} MB"
            row(what, in_turn(functions), "0.70 of docker's")
        self.clear_unpacked()

    def new_target(self):
        """An empty registry to push to, so that there is nothing to skip or to mount."""
        if self.target:
            self.target.close()
        self.target = Registry()

    def push(self):
        source = self.name(LARGE[0])
        self.cay("tag", source, f"{self.target.address}/bench:pushed")
        self.cay("push", "-q", f"{self.target.address}/bench:pushed")

    def archives(self):
        """Push, save and load of the large image, beside skopeo's copies of the same blobs."""
        tag = LARGE[0]
        self.cay("pull", "-q", self.name(tag))
        skopeo = "skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"
        source, out = f"oci:{self.layout}:{tag}", self.directory / "out.tar"
        what = f"{LARGE[1]} layers, {LARGE[2] >> 20} MB"
        row(f"push {what}", in_turn({
            "cay": (self.push, self.new_target),
            "skopeo": (lambda: run(*skopeo, source, f"docker://{self.target.address}/bench:pushed"), self.new_target),
        }), "1.00 of skopeo's")
        row(f"save {what}", in_turn({
            "cay": (lambda: self.cay("save", "-o", out, self.name(tag)), lambda: out.unlink(missing_ok=True)),
            "skopeo": (lambda: run(*skopeo, source, f"oci-archive:{out}:{tag}"), lambda: out.unlink(missing_ok=True)),
        }), "1.00 of skopeo's")
        archive = self.directory / "archive.tar"
        run(*skopeo, source, f"oci-archive:{archive}:localhost/loaded:1")

        def unload():
            for name in (self.name(tag), "localhost/loaded:1", *self.cay("images", "-q", "--no-trunc").split()):
                with contextlib.suppress(subprocess.CalledProcessError):
                    self.cay("rmi", "-f", name)

        def unpack():
            run(*skopeo, f"oci-archive:{archive}", f"oci:{self.directory}/oci:{tag}")
            run("umoci", "unpack", "--image", f"{self.directory}/oci:{tag}", f"{self.directory}/bundle")

        row(f"load {what}", in_turn({
            "cay": (lambda: self.cay("load", "-q", "-i", archive), unload),
            "skopeo": (lambda: run(*skopeo, f"oci-archive:{archive}", f"oci:{self.directory}/oci:{tag}"),
                       self.clear_unpacked),
            "skopeo + umoci": (unpack, self.clear_unpacked),
        }), "1.00 of skopeo's")
        unload()
        self.clear_unpacked()

    def memory(self):
        for tag, layers, _ in (LARGE, SMALL):
            self.remove(self.cay, tag)
            with PeakMemory([self.cay.daemon.process.pid]) as ours:
                self.cay("pull", "-q", self.name(tag))
            line = f"peak memory, {layers} layer{'s' * (layers > 1)}: cay {ours.peak / 1024:.0f} MiB (wanted: 64)"
            if self.docker:
                self.remove(self.docker, tag)
                with PeakMemory([self.docker.process.pid]) as theirs:
                    self.docker("pull", "-q", self.name(tag))
                line += f", docker {theirs.peak / 1024:.0f} MiB"
            print(line, flush=True)

    def disk(self):
        for tag in (LARGE[0], SMALL[0]):
            self.remove(self.cay, tag)
            if self.docker:
                self.remove(self.docker, tag)
        folders = {"blobs": "content", "layers": "layers", "images": "images"}
        root = self.cay.daemon.root
        before = {name: disk_usage(root / folder) for name, folder in folders.items()}
        theirs = disk_usage(self.docker.directory / "root") if self.docker else 0
        for number in range(IMAGES):
            self.cay("pull", "-q", self.name(f"shared{number}"))
            if self.docker:
                self.docker("pull", "-q", self.name(f"shared{number}"))
        used = {name: disk_usage(root / folder) - before[name] for name, folder in folders.items()}
        tars = self.sizes["shared"]
        ready = used["layers"] + used["images"]
        print(f"{IMAGES} images that share {SHARED_LAYERS} layers, {tars / 1e6:.1f} MB of distinct decompressed layers:")
        print(f"  cay, layers {used['layers'] / tars:.3f} + images' metadata {used['images'] / tars:.3f} = "
              f"{ready / tars:.3f} (wanted: 1.05); with the compressed blobs, kept for push and save, "
              f"{(ready + used['blobs']) / tars:.3f}")
        if self.docker:
            print(f"  docker, which keeps no blobs: {(disk_usage(self.docker.directory / 'root') - theirs) / tars:.3f}")


def main(_arguments):
    title("images: in and out")
    with tempfile.TemporaryDirectory(prefix="cay-bench-images-") as directory:
        bench = Bench(directory)
        try:
            bench.pulls()
            bench.memory()
            bench.archives()
            bench.disk()
        finally:
            bench.close()


if __name__ == "__main__":
    alone(main)
