# SPDX-License-Identifier: Apache-2.0
"""Creating and starting a container from an image of 5 MB in 1 layer and of 1 GB in 40: the same cost."""

import hashlib
import io
import json
import os
import statistics
import subprocess
import tarfile
import tempfile

from common import BUILD, Cay, alone, alternate, busybox_archive, milliseconds, title

SMALL = ("small", 1, 3 << 20)
LARGE = ("large", 40, 25 << 20)
ROUNDS = 15


def layer_with(name, size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = size
        tar.addfile(entry, io.BytesIO(os.urandom(size)))
    return out.getvalue()


def add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def make_image(path, name, layers, size):
    """busybox with its own layer first and random files in the others, as a docker archive."""
    with tarfile.open(busybox_archive()) as tar:
        names = tar.getnames()
        config = json.load(tar.extractfile(next(n for n in names if n.endswith(".json") and n != "manifest.json")))
        base = tar.extractfile(next(n for n in names if n.endswith("layer.tar"))).read()
    with tarfile.open(path, "w") as tar:
        digests = []
        for number in range(layers):
            data = base if number == 0 and layers > 1 else layer_with(f"filler-{number}", size)
            if layers == 1:
                # One layer that holds both: the second archive is appended to the first.
                data = base[:-1024].rstrip(b"\0").ljust((len(base[:-1024].rstrip(b"\0")) + 511) // 512 * 512, b"\0") + data
            digests.append("sha256:" + hashlib.sha256(data).hexdigest())
            add(tar, f"{number}/layer.tar", data)
        config["rootfs"]["diff_ids"] = digests
        config["history"] = []
        add(tar, "config.json", json.dumps(config).encode())
        add(tar, "manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [f"{name}:latest"],
                                               "Layers": [f"{n}/layer.tar" for n in range(layers)]}]).encode())


def main(_arguments):
    title("start of a 5 MB image in 1 layer and of a 1 GB image in 40")
    cay = Cay()
    try:
        with tempfile.TemporaryDirectory() as directory:
            for name, layers, size in (SMALL, LARGE):
                make_image(f"{directory}/image.tar", name, layers, size)
                cay("load", "-q", "-i", f"{directory}/image.tar")

        def run(image):
            subprocess.run([BUILD / "cay", "run", "--rm", image, "true"], env=cay.environment, check=True,
                           stdin=subprocess.DEVNULL, capture_output=True)

        samples = alternate(ROUNDS, small=lambda: run("small"), large=lambda: run("large"))
        for name, seconds in samples.items():
            print(f"{name:6} {milliseconds(seconds)}")
        print(f"ratio: the large image takes {statistics.median(samples['large']) / statistics.median(samples['small']):.2f}"
              " of the small one's time")
    finally:
        cay.close()


if __name__ == "__main__":
    alone(main)
