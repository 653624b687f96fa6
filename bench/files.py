# SPDX-License-Identifier: Apache-2.0
"""Files across the wall: a bind mount in a cay guest beside other ways to share a directory.

The first comparison is the same QEMU and kernel started by hand, with nothing
of cay's around them, and the share set up as QEMU has it: by virtiofs, where
its server is installed, with what a bind of cay's promises (locks that hold
against the host, extended attributes, changes that show at once), and by 9p,
which has neither. Docker's bind mount, which crosses no wall, is the far
reference. A volume of cay's block kind stands beside the guest's own root disk.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import tarfile
import tempfile

from common import BUILD, HERE, Cay, Docker, alone, children, processes, title, wait_until
from harness import busybox_archive
from net_images import archive

ROUNDS = int(os.environ.get("CAY_BENCH_ROUNDS", "3"))
SMALL_FILES = int(os.environ.get("CAY_BENCH_FILES", "10000"))
TREE_FILES = 2 * SMALL_FILES
PACKAGES, PACKAGE_FILES = max(1, SMALL_FILES // 100), 20
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
LOAD = BUILD / "tests" / "files-load"
STATUS = 'test -z "$(git -C /share/tree status --short)"'
GIT = ("git-status", STATUS, "git-again", STATUS)
UNPACK = ("unpack", "mkdir /share/run/unpacked && tar -xf /share/source.tar -C /share/run/unpacked")
NPM = shutil.which("npm") and shutil.which("node") and pathlib.Path(os.path.realpath(shutil.which("npm")))
NPM_FLAGS = "--offline --no-audit --no-fund --no-update-notifier --ignore-scripts --logs-max=0"
INIT = """#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
until [ -c /dev/vport0p1 ]; do /bin/busybox usleep 1000; done
exec </dev/null >/dev/vport0p1 2>&1
export PATH=/usr/bin:/bin
/bin/busybox mount {mount} /share && {command}
/bin/busybox sync
/bin/busybox reboot -f
"""
RATES = ("write", "read", "read-again")
UNITS = {name: "MB/s" for name in RATES} | {"git-status": "ms", "git-again": "ms", "unpack": "ms", "npm-install": "ms"}


def run(*words, **options):
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True, timeout=1800, **options).stdout


def copy_program(path, tree):
    for name in (path, *(word for word in run("ldd", path).split() if word.startswith("/"))):
        (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, tree / name[1:])


def make_tree(tree):
    """busybox, git, npm and the load: the image of the containers and the initramfs of the machines made by hand."""
    with tarfile.open(busybox_archive()) as tar:
        manifest, = json.load(tar.extractfile("manifest.json"))
        with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][0])) as layer:
            layer.extractall(tree)
    for name in ("proc", "dev", "tmp", "share", "usr/bin"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    if not (tree / "bin" / "busybox").exists():
        shutil.copy("/bin/busybox", tree / "bin")
    shutil.copy(LOAD, tree / "usr/bin")
    copy_program("/usr/bin/git", tree)
    if NPM:
        copy_program(os.path.realpath(shutil.which("node")), tree)
        # Debian's npm has what it needs beside itself, others below.
        parts = NPM.parents[2] if "share/nodejs" in str(NPM) else NPM.parents[1]
        shutil.copytree(parts, tree / str(parts)[1:], symlinks=True)


def make_package(name):
    out = io.BytesIO()
    files = {f"lib/part{number}.js": f"exports.value = {number};\n" * 40 for number in range(PACKAGE_FILES - 1)}
    files["package.json"] = json.dumps({"name": name, "version": "1.0.0"})
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def make_project(share):
    """A project whose packages are archives beside it; the command that installs them."""
    names = [f"part-{number}" for number in range(PACKAGES)]
    for path in (share / "packages", share / "project"):
        path.mkdir()
    for name in names:
        (share / "packages" / f"{name}.tgz").write_bytes(make_package(name))
    (share / "project" / "package.json").write_text(json.dumps(
        {"name": "project", "version": "1.0.0",
         "dependencies": {name: f"file:/share/packages/{name}.tgz" for name in names}}))
    return ("npm-install", "cp -r /share/project /share/run/ && cd /share/run/project && HOME=/tmp "
            f"{os.path.realpath(shutil.which('node'))} {NPM} install {NPM_FLAGS} --cache /share/run/npm-cache")


def make_share(share):
    """What is on the host: a repository of many files, and a source tarball."""
    tree = share / "tree"
    for number in range(TREE_FILES):
        path = tree / f"d{number // 1000}" / f"e{number // 50 % 20}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    git = ("git", "-C", tree, "-c", "user.name=b", "-c", "user.email=b@localhost")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "all")):
        run(*git, *words)
    run("git", "-C", HERE.parent, "archive", "-o", share / "source.tar", "HEAD")


def parse(name, text):
    """The measurements that it printed; what else it says is why one is missing."""
    found = {}
    for line in filter(None, text.splitlines()):
        match = re.fullmatch(r"([a-z0-9-]+) ([0-9.]+)", line)
        if match:
            found[match[1]] = float(match[2])
        else:
            print(f"{name}: {line}")
    if not found:
        raise ValueError("it measured nothing")
    return found


class ByHand:
    """A machine with an initramfs of its own for each run, as cay's but for the share."""

    def __init__(self, directory, share, machine, tree):
        self.directory, self.share, self.machine, self.tree = directory, share, machine, tree

    def boot(self, mount, options, command):
        (self.tree / "init").write_text(INIT.format(mount=mount, command=command))
        (self.tree / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(self.tree)) for path in sorted(self.tree.rglob("*")))
        with open(self.directory / "initramfs", "wb") as out:
            subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=self.tree, input=names.encode(), stdout=out,
                           stderr=subprocess.DEVNULL, check=True)
        output = self.directory / "output"
        output.unlink(missing_ok=True)
        program, words, kernel = self.machine
        run(program, *words, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-kernel", BUILD / "vmlinux", "-initrd", self.directory / "initramfs", "-append", kernel,
            "-chardev", f"file,id=out,path={output}", "-device", "virtio-serial-device,id=serial",
            "-device", "virtserialport,bus=serial.0,nr=1,chardev=out,name=out", *options)
        return output.read_text()

    def ninep(self, command):
        return self.boot("-t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none share",
                         ("-fsdev", f"local,id=share,path={self.share},security_model=passthrough",
                          "-device", "virtio-9p-device,fsdev=share,mount_tag=share"), command)

    def virtiofs(self, command):
        socket = self.directory / "virtiofs.sock"
        with open(self.directory / "virtiofsd.log", "wb") as log:
            server = subprocess.Popen([VIRTIOFSD, f"--socket-path={socket}", "-o", f"source={self.share}",
                                       "-o", "cache=none,xattr,posix_lock,flock"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(socket.exists, "virtiofsd", 10)
            _, words, _ = self.machine
            size = words[words.index("-m") + 1]
            return self.boot("-t virtiofs share",
                             ("-object", f"memory-backend-memfd,id=shared,size={size},share=on",
                              "-machine", "memory-backend=shared", "-chardev", f"socket,id=fs,path={socket}",
                              "-device", "vhost-user-fs-device,chardev=fs,tag=share,queue-size=1024"), command)
        finally:
            server.kill()
            server.wait()
            socket.unlink(missing_ok=True)


def machine_of(cay):
    """How cay starts QEMU: the program, its machine, the kernel's parameters."""
    cay("run", "-d", "--name", "pattern", "busybox", "sleep", "1000")
    shim = processes("cay-shim", json.loads(cay("inspect", "pattern"))[0]["Id"])[0]
    qemu = next(pid for pid in children(shim) if "qemu" in os.readlink(f"/proc/{pid}/exe"))
    words = pathlib.Path(f"/proc/{qemu}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    program = os.readlink(f"/proc/{qemu}/exe")
    cay("rm", "-f", "pattern")
    machine = [word for option in ("-M", "-cpu", "-smp", "-m", "-global")
               for word in (option, words[words.index(option) + 1])]
    return program, machine, words[words.index("-append") + 1]


def measure(ways, loads, share, rounds):
    """A round of each way after the other, a guest for each load; what was printed, by the way's name."""
    samples = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in list(ways.items()):
            found = {}
            try:
                for load in loads:
                    shutil.rmtree(share / "run", ignore_errors=True)
                    (share / "run").mkdir()
                    os.sync()  # or the host's disk is busy with that while the first to start is measured
                    found |= parse(name, way("files-load", "/share/run", *load))
                samples[name].append(found)
            except (subprocess.SubprocessError, AssertionError, ValueError) as failure:
                print(f"{name} does not work here: {failure} {getattr(failure, 'stderr', '')}")
                del ways[name]
    return {name: found for name, found in samples.items() if found}


def table(samples):
    names = list(samples)
    print(f"{'':22}" + "".join(f"{name:>12}" for name in names) + "".join(f"{'to ' + name:>14}" for name in names[1:]))
    for what in samples[names[0]][0]:
        medians = [statistics.median(row.get(what, float("nan")) for row in samples[name]) for name in names]
        ratios = [medians[0] / other if what in RATES else other / medians[0] for other in medians[1:]]
        print(f"{what + ', ' + UNITS.get(what, 'us'):22}" + "".join(f"{median:12.1f}" for median in medians)
              + "".join(f"{ratio:14.2f}" for ratio in ratios))


def main(_arguments):
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cay-bench-files-")))
        tree, share = directory / "tree", directory / "share"
        for path in (tree, share):
            path.mkdir()
        make_tree(tree)
        make_share(share)
        # virtiofsd keeps a descriptor for each file that its guest knows, and may not have many.
        loads = ((SMALL_FILES, *GIT), (0, *UNPACK, *(make_project(share) if NPM else ())))
        with tarfile.open(directory / "layer.tar", "w") as tar:
            tar.add(tree, arcname=".")
        archive(directory / "bench.tar", "bench", [directory / "layer.tar"],
                {"Env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"]})
        cay, docker = Cay(), Docker.try_start()
        stack.callback(cay.close)
        cay("load", "-q", "-i", directory / "bench.tar")
        hand = ByHand(directory, share, machine_of(cay), tree)
        cay.warm_up()
        bind = ("run", "--rm", "--network", "none", "-v", f"{share}:/share", "bench")
        ways = {"cay": lambda *load: cay(*bind, *load)}
        if os.path.exists(VIRTIOFSD):
            ways["virtiofs"] = lambda *load: hand.virtiofs(shlex.join(map(str, load)))
        ways["9p"] = lambda *load: hand.ninep(shlex.join(map(str, load)))
        if docker:
            stack.callback(docker.close)
            docker("load", "-q", "-i", directory / "bench.tar")
            ways["docker"] = lambda *load: docker(*bind, *load)
        title(f"a bind mount (medians of {ROUNDS} rounds in turn; above 1: cay is faster)")
        table(measure(ways, loads, share, ROUNDS))

        cay("volume", "create", "--opt", "type=block", "--opt", "size=2g", "block")
        disk = ("bench", "sh", "-c", 'rm -rf /share/run && mkdir -p /share/run && exec "$@"', "sh")
        ways = {"volume": lambda *load: cay("run", "--rm", "--network", "none", "-v", "block:/share", *disk, *load),
                "root disk": lambda *load: cay("run", "--rm", "--network", "none", *disk, *load)}
        load = (SMALL_FILES,)
        for way in ways.values():
            way("files-load", "/share/run", *load)
        cay.wait_warm()
        # A round takes little, and the host's disk goes up and down.
        rounds = 3 * ROUNDS
        title(f"a block volume beside the guest's root disk (medians of {rounds} rounds)")
        table(measure(ways, (load,), share, rounds))


if __name__ == "__main__":
    alone(main)
