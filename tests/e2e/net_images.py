# SPDX-License-Identifier: Apache-2.0
"""The images of the network tests: "peer", busybox with net-tool, and "servers", Debian's server packages."""

import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from harness import BUILD, busybox_archive, cached, debian_sources

NET_TOOL = BUILD / "tests" / "net-tool"
PACKAGES = ("nginx-light", "postgresql-15", "redis-server", "openssh-server", "openssh-client", "iperf3",
            "python3-minimal", "libpython3-stdlib", "curl", "iputils-ping", "iproute2", "busybox-static")
# What the servers do without, two thirds of the bytes: PostgreSQL's just-in-time compiler is most of it.
UNUSED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*", "/usr/share/info/*",
          "/usr/lib/*/libLLVM*", "/usr/lib/*/libz3*", "/usr/lib/postgresql/*/lib/bitcode/*",
          "/usr/lib/postgresql/*/lib/llvm*", "/usr/lib/*/perl/*/auto/Encode/*/*", "/usr/share/perl/*/unicore/*")
SERVERS_CONFIG = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"],
                  "Cmd": ["bash"]}
# Open to whoever reaches them: what is tested is who does.
PREPARE = """set -eu
sed -i 's/^#listen_addresses.*/listen_addresses = '"'*'"'/; s/^ssl = .*/ssl = off/' "$1/etc/postgresql/15/main/postgresql.conf"
printf 'local all all trust\\nhost all all all trust\\n' >"$1/etc/postgresql/15/main/pg_hba.conf"
printf 'served by nginx\\n' >"$1/var/www/html/index.html"
sed -i 's/^root:[^:]*:/root::/' "$1/etc/shadow"
rm -rf "$1/var/lib/apt/lists" "$1/var/cache/apt" "$1/var/cache/debconf" "$1/var/log/apt"
"""


def tar_entry(tar, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def archive(path, name, layers, config):
    """Writes a docker archive of one image; `layers` are paths of tars."""
    digests = []
    with tarfile.open(path, "w") as tar:
        for layer in layers:
            with open(layer, "rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
            tar.add(layer, arcname=f"{digests[-1]}/layer.tar")
        document = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
                               "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in digests]}}).encode()
        config_name = hashlib.sha256(document).hexdigest() + ".json"
        tar_entry(tar, config_name, document)
        tar_entry(tar, "manifest.json", json.dumps([{
            "Config": config_name, "RepoTags": [f"{name}:latest"],
            "Layers": [f"{digest}/layer.tar" for digest in digests]}]).encode())


def with_files(path, base, name, config, files):
    """Writes a docker archive: the image of another one, with programs in it, by path."""
    with tempfile.TemporaryDirectory(prefix="cay-image-") as directory:
        layer, own = pathlib.Path(directory, "base.tar"), pathlib.Path(directory, "own.tar")
        with tarfile.open(base) as tar:
            manifest, = json.load(tar.extractfile("manifest.json"))
            with open(layer, "wb") as out:
                shutil.copyfileobj(tar.extractfile(manifest["Layers"][0]), out)
        with tarfile.open(own, "w") as tar:
            for program, source in files.items():
                tar_entry(tar, program, pathlib.Path(source).read_bytes(), 0o755)
        archive(path, name, (layer, own), config)


def peer_archive():
    """A docker archive of the image "peer"."""
    busybox = busybox_archive()
    config = {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["net-tool", "serve", "7"]}
    return cached("peer.tar", (str(busybox), hashlib.sha256(NET_TOOL.read_bytes()).hexdigest(), config),
                  lambda path: with_files(path, busybox, "peer", config, {"usr/bin/net-tool": NET_TOOL}))


def servers_archive():
    """A docker archive of the image "servers". Its first making takes a minute or two and the internet."""
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(PACKAGES)}",
               "--aptopt=APT::Install-Recommends \"false\"", *(f"--dpkgopt=path-exclude={path}" for path in UNUSED)]

    def make(path):
        with tempfile.TemporaryDirectory(prefix="cay-servers-") as directory:
            hook, tree = pathlib.Path(directory, "prepare"), pathlib.Path(directory, "tree.tar")
            hook.write_text(PREPARE)
            subprocess.run([*command, f"--customize-hook=sh {hook} \"$1\"", "bookworm", tree, *debian_sources()],
                           check=True, stdin=subprocess.DEVNULL)
            archive(path, "servers", (tree,), SERVERS_CONFIG)

    return cached("servers.tar", (command, PREPARE), make)
