# SPDX-License-Identifier: Apache-2.0
"""Members of a pool, driven as the daemon drives them: cay-shim on a configuration of the purpose "pool".

The configurations are made from those that the daemon has written for containers that ran: their disks'
extents, mounts and OCI configuration are taken over, ids, paths and cards changed. The cards' bridge is one
of the test's own, in which no firewall looks for endpoints. Classes run side by side in one network
namespace, each in a process of its own: names have the process's number in them.
"""

import hashlib
import itertools
import json
import os
import pathlib
import secrets
import signal
import subprocess
import tarfile

import grpc_judge
import harness
import lab
from harness import BUILD, cached, wait_until
from net_images import archive, tar_entry

SHIM = "cay.shim.v1.Shim"
WARM = BUILD / "cay-warm"
BRIDGE = f"brp{os.getpid()}"
TAPS = f"cayq{os.getpid():x}."  # a link's name has 15 characters at most
LEASH_FD = 5


def warm_archive():
    """A docker archive of the image "warm", which holds cay-warm and nothing else."""
    config = {"Cmd": ["/cay-warm"]}

    def make(path):
        layer = path.with_suffix(".layer")
        try:
            with tarfile.open(layer, "w") as tar:
                tar_entry(tar, "cay-warm", WARM.read_bytes(), 0o755)
            archive(path, "warm", [layer], config)
        finally:
            layer.unlink(missing_ok=True)

    return cached("warm.tar", (hashlib.sha256(WARM.read_bytes()).hexdigest(), config), make)


class Member:
    """One shim; `config_path` is its configuration's, and after a claim the container's."""

    def __init__(self, pool, config):
        self.pool = pool
        self.directory = pool.root / "pool" / config["id"]
        self.config_path = self.directory / "shim-config.json"
        self.socket = pathlib.Path(config["run_directory"]) / "shim.sock"
        self.log = self.directory / "shim.log"
        self.config_path.write_text(json.dumps(config))
        reader, self.leash = os.pipe()

        def give_leash():
            os.dup2(reader, LEASH_FD)
            os.set_inheritable(LEASH_FD, True)

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([BUILD / "cay-shim", "--config", self.config_path, "--debug"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False,
                                            preexec_fn=give_leash, start_new_session=True)
        os.close(reader)
        wait_until(lambda: self.socket.exists() or self.process.poll() is not None, "the member's socket", 20)

    def call(self, method, request=None, **more):
        result, = grpc_judge.call(self.socket, "shim.proto", [
            {"service": SHIM, "method": method, "request": request or {}, **more}], timeout=120)
        return result

    def answer(self, method, request=None):
        """The response of a call that must succeed."""
        result = self.call(method, request)
        if result["code"] != 0:
            raise AssertionError(f"{method}: {result}\n{self.log.read_text()[-2000:]}")
        return result["responses"][0]

    def wait_warm(self):
        return self.answer("WaitWarm")

    def vm_pid(self):
        return self.answer("State")["vm_pid"]

    def claim(self, container):
        """The result of the call; with success the member is the container's shim."""
        result = self.call("Claim", {"config_path": str(container.config_path)})
        if result["code"] == 0:
            self.socket = container.socket
            self.log = container.directory / "shim.log"
        return result

    def close_leash(self):
        if self.leash >= 0:
            os.close(self.leash)
        self.leash = -1

    def wait_gone(self, patience=30):
        return self.process.wait(timeout=patience)

    def end(self):
        self.close_leash()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Container:
    """A container's directory, configuration, scratch and log, as the daemon makes them."""

    def __init__(self, pool, config):
        self.identity = config["id"]
        self.config = config
        self.directory = pool.root / "containers" / self.identity
        self.config_path = self.directory / "shim.json"
        self.socket = pathlib.Path(config["run_directory"]) / "shim.sock"
        self.state_path = self.directory / "state.json"
        self.log_path = pathlib.Path(config["containers"][0]["log_path"])
        self.write()

    def write(self):
        self.config_path.write_text(json.dumps(self.config))

    def output(self, stream=None):
        """What it has said, from its log."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        return "".join(line["log"] for line in lines if stream in (None, line["stream"]))

    def state(self):
        return json.loads(self.state_path.read_text())


class PoolTestCase(harness.CayTestCase):
    """A daemon with the images busybox and warm, which stays out of it, and members of a pool."""

    daemon_options = ("--pool", "0", "--templates", "off")
    memory = 128 << 20
    subnet: str  # the first half of the addresses in it, each class's own

    @classmethod
    def setUpClass(cls):
        grpc_judge.installed()
        super().setUpClass()
        done = cls.run_cay("load", "-i", str(warm_archive()))
        if done.returncode != 0:
            raise AssertionError(f"loading warm: {done.stderr}")
        cls.root = cls.daemon.directory / "pool-root"
        cls.numbers = itertools.count()
        lab.run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
        cls.addClassCleanup(lab.run, "ip", "link", "del", BRIDGE)
        cls.gateway = f"{cls.subnet}.0.1"
        lab.run("ip", "addr", "add", f"{cls.gateway}/16", "dev", BRIDGE)
        lab.run("ip", "link", "set", BRIDGE, "up")
        cls.patterns = {image: cls.learn(image) for image in ("busybox", "warm")}

    @classmethod
    def learn(cls, image):
        """The configuration that the daemon has made for a container of the image."""
        done = cls.run_cay("run", "-d", "--name", image, "--network", "none", image,
                           *(["true"] if image == "busybox" else []))
        if done.returncode != 0:
            raise AssertionError(f"running {image}: {done.stderr}")
        identity = done.stdout.strip()
        if cls.run_cay("wait", identity).stdout.strip() != "0":
            raise AssertionError(f"{image} failed: {cls.run_cay('logs', image)}")
        return (cls.daemon.root / "containers" / identity / "shim.json").read_text()

    def setUp(self):
        super().setUp()
        self.members = []
        self.addCleanup(self.end_members)

    def end_members(self):
        for member in self.members:
            member.end()
        left = [line for line in lab.run("ip", "-o", "link").splitlines() if TAPS in line]
        self.assertEqual(left, [], "taps are left")

    def configure(self, image, identity, directory, cards):
        """A configuration like the daemon's, with this id, in this directory and with taps for cards."""
        pattern = json.loads(self.patterns[image])
        config = json.loads(self.patterns[image].replace(pattern["id"], identity))
        run = self.daemon.directory / "pool-run" / identity
        run.mkdir(parents=True, mode=0o700)
        directory.mkdir(parents=True, mode=0o700)
        scratch = directory / "scratch.ext4"
        subprocess.run(["cp", "--sparse=always", self.daemon.root / "images" / "scratch.ext4", scratch], check=True)
        os.chown(scratch, config["vm_uid"], config["vm_uid"])
        config["disks"][1]["extents"] = [{"path": str(scratch), "size": scratch.stat().st_size}]
        config["run_directory"] = str(run)
        config["boot_log_path"] = str(directory / "boot.log")
        config["memory_bytes"] = self.memory
        config["interfaces"] = cards
        container, = config["containers"]
        container["state_path"] = str(directory / "state.json")
        if "log_path" in container:
            container["log_path"] = str(directory / "log.json")
        return config

    def card(self, number, **more):
        return {"kind": "tap", "device": f"{TAPS}{number}", "mac": f"02:4e:00:00:{number >> 8:02x}:{number & 255:02x}",
                "queues": 1, **more}

    def member(self, cards=1, **changes):
        identity = secrets.token_hex(32)
        config = self.configure("warm", identity, self.root / "pool" / identity,
                                [self.card(next(self.numbers)) for _ in range(cards)])
        config.update({"purpose": "pool", "warm_rounds": 2, **changes})
        made = Member(self, config)
        self.members.append(made)
        return made

    def warm_member(self, **more):
        made = self.member(**more)
        made.wait_warm()
        return made

    def container(self, *command, cards=1, **changes):
        """One that runs the command of the image busybox; each card but the first is a spare."""
        identity = secrets.token_hex(32)
        numbers = [next(self.numbers) for _ in range(cards)]
        address = f"{self.subnet}.{numbers[0] >> 8}.{(numbers[0] & 255) or 254}" if cards else None
        interfaces = [self.card(number) for number in numbers]
        if cards:
            interfaces[0].update({"parent": BRIDGE, "addresses": [f"{address}/16"], "gateways": [self.gateway]})
        config = self.configure("busybox", identity, self.root / "containers" / identity, interfaces)
        config.update(changes)
        oci = json.loads(config["containers"][0]["oci_config"])
        oci["process"]["args"] = list(command)
        config["containers"][0]["oci_config"] = json.dumps(oci)
        made = Container(self, config)
        made.address = address
        return made

    def run_claimed(self, member, container):
        """Claims and starts it by one connection; its exit code when it has ended."""
        names = {"container_id": container.identity}
        results = grpc_judge.call(member.socket, "shim.proto", [
            {"service": SHIM, "method": "Claim", "request": {"config_path": str(container.config_path)}},
            {"service": SHIM, "method": "Start", "request": names},
            {"service": SHIM, "method": "Wait", "request": names}], timeout=120)
        log = container.directory / "shim.log"
        words = (log if log.exists() else member.log).read_text()[-3000:]
        self.assertEqual([result["code"] for result in results], [0, 0, 0], f"{results} {words}")
        member.socket, member.log = container.socket, log
        return results[2]["responses"][0]["exit_code"]
