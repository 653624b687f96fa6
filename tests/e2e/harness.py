# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test stands on: a daemon of its own, its clients, images, waiting.

A test class gets one daemon with a root and a run directory of its own under
a temporary directory, removed at the end with everything in it. Nothing here
sleeps for a fixed time: wait_until() asks a condition again and again.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("CAY_BUILD", ROOT / "build"))
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "cay"

# Under TCG on a busy machine a VM may take a while; a test that hangs is ended by this.
PATIENCE = 90
# Templates are made and the pool is filled at the lowest priority, behind all that the tests do.
WARMING = 300


def wait_until(condition, what, timeout=PATIENCE):
    """Returns the first true value of condition(); fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    delay = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(delay)
        delay = min(delay * 1.5, 0.2)


def cached(name, inputs, make):
    """A file under ~/.cache/cay that make(path) writes when its inputs' digest is new."""
    digest = hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    path = CACHE / "test-images" / f"{name}-{digest}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            make(temporary)
            os.rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def busybox_archive():
    """A docker archive of the image busybox:latest."""
    script = ROOT / "scripts" / "busybox-image"
    inputs = (script.read_text(), hashlib.sha256(pathlib.Path("/bin/busybox").read_bytes()).hexdigest())
    return cached("busybox.tar", inputs, lambda path: subprocess.run([script, path], check=True))


def debian_sources():
    """Arguments that make mmdebstrap use the machine's own package sources."""
    return [path for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
            if os.path.exists(path) and os.path.getsize(path)][:1]


def debian_tree():
    """A tar of a minimal Debian bookworm."""
    arguments = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=perl-base", "bookworm", "-"]

    def make(path):
        with open(path, "wb") as out:
            subprocess.run([*arguments, *debian_sources()], check=True, stdin=subprocess.DEVNULL, stdout=out)

    return cached("debian-bookworm.tar", arguments, make)


def processes(*words):
    """Pids of processes whose command lines hold all of the words."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if line and all(word in line for word in words):
                    found.append(int(entry.name))
    return found


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# How the containers of the tests start: "template" (default), "cold" (with nothing made ahead), or "pool".
START = os.environ.get("CAY_TEST_START") or "template"
START_OPTIONS = {"cold": ("--pool", "0", "--templates", "off", "--translations", "off"), "template": ("--pool", "0"),
                 "pool": ("--pool", "2")}
# The shapes of most tests' machines; for others each daemon makes its own template, as ever.
SHAPES = ({}, {"Network": "none"}, {"Disks": 3})


def cached_templates():
    """A directory with the templates of SHAPES, the file "tsc" that they go with, and the translations, made once a
    build."""
    parts = [BUILD / name for name in ("vmlinux", "initramfs.cpio", "cayd", "cay-shim", "libcay-qemu.so")]
    parts.append(pathlib.Path(shutil.which("qemu-system-x86_64") or "/nonexistent"))
    inputs = [(str(part), part.stat().st_size, part.stat().st_mtime_ns) for part in parts if part.exists()]
    inputs += [SHAPES, pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()]  # the clock's rate is the boot's
    digest = hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    build = hashlib.sha256(str(BUILD.resolve()).encode()).hexdigest()[:8]
    folder = CACHE / "test-templates"
    path = folder / f"{build}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{build}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            for old in folder.glob(f"{build}-*"):
                shutil.rmtree(old)
            make_templates(path)
    return path


def make_templates(path):
    daemon = Daemon(start="none")
    temporary = path.with_name(path.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        daemon.start()
        for shape in SHAPES:
            status, answer = daemon.request("POST", "/cay/v1/templates", shape, timeout=300)
            assert status == 201, answer
        wait_until(daemon.has_translations, "translations", WARMING)
        temporary.mkdir()
        for name in ("templates", "translations", "tsc"):
            if (daemon.root / name).exists():
                copy_tree(daemon.root / name, temporary)
        os.rename(temporary, path)
    finally:
        daemon.stop()
        shutil.rmtree(temporary, ignore_errors=True)


def copy_tree(source, folder):
    """With times, and with its holes."""
    subprocess.run(["cp", "-a", "--sparse=always", "--reflink=auto", source, folder], check=True)


def lend_file(path, target):
    """One that nobody writes to is the same file for all."""
    try:
        os.link(path, target)
    except OSError:  # another file system
        copy_tree(path, target.parent)


def lend_templates(root):
    """Gives a new root the cached templates."""
    cached_files = cached_templates()
    shutil.copytree(cached_files, root, ignore=shutil.ignore_patterns("memory", "translations"), dirs_exist_ok=True)
    root.chmod(0o700)
    for memory in cached_files.glob("templates/*/memory"):
        lend_file(memory, root / memory.relative_to(cached_files))


def lend_translations(root):
    """Gives a new root the cached translations."""
    folder = root / "translations"
    folder.mkdir(mode=0o700)
    for path in (cached_templates() / "translations").iterdir():
        lend_file(path, folder / path.name)


def has_off(option, options):
    return (option, "off") in zip(options, options[1:])


class Daemon:
    """One cayd on directories of its own. `start` is how containers start there; "none" is "template", but with
    no template and no translations yet."""

    def __init__(self, *options, start=START):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-e2e-"))
        self.root = self.directory / "root"
        self.run = self.directory / "run"
        self.socket = self.directory / "cay.sock"
        self.host = f"unix://{self.socket}"
        self.warm = start in ("template", "pool") and not has_off("--templates", options)
        self.translated = start in ("template", "pool") and not has_off("--translations", options)
        self.options = [*START_OPTIONS["template" if start == "none" else start], *options]
        self.command = [BUILD / "cayd"]
        self.process = None
        self.log = self.directory / "cayd.log"

    def start(self):
        if not self.root.exists():
            self.root.mkdir(mode=0o700)
            if self.warm:
                lend_templates(self.root)
            if self.translated:
                lend_translations(self.root)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--root", self.root, "--run", self.run, "--host", self.host, *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_until(self.answers, f"the daemon to answer; its log: {self.log.read_text(errors='replace')[-2000:]}", 30)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"cayd ended: {self.log.read_text(errors='replace')[-2000:]}")
        try:
            return self.request("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def translations(self):
        """The files of translations that are ready."""
        return list((self.root / "translations").glob("[0-9a-f]*"))

    def has_translations(self):
        """Whether they are there and what they were made in is gone, or this QEMU has none."""
        folder = self.root / "translations"
        return [path.name for path in folder.iterdir()] == [path.name for path in self.translations()] != [] or \
            "there are no translations for this QEMU" in self.log.read_text(errors="replace")

    def is_warm(self):
        """Whether no translations or templates are being made and the pool is full."""
        if list((self.root / "translations").glob(".new-*")):
            return False
        status, templates = self.request("GET", "/cay/v1/templates")
        if status != 200:
            return True  # there are none
        status, pool = self.request("GET", "/cay/v1/pool")
        return all(one["Ready"] for one in templates) and (status != 200 or pool["Ready"] >= pool["Wanted"])

    def wait_warm(self):
        wait_until(self.is_warm, "translations, templates and pool to be ready", WARMING)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def restart(self, number=signal.SIGKILL):
        self.kill(number)
        return self.start()

    def connect(self, timeout=PATIENCE):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(str(self.socket))
        except OSError:
            connection.close()
            raise
        return connection

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        """One API request; (status, parsed JSON or bytes)."""
        connection = http.client.HTTPConnection("localhost", timeout=timeout)
        connection.sock = self.connect(timeout)
        with contextlib.closing(connection):
            data = None
            headers = dict(headers or {})
            if body is not None:
                data = body if isinstance(body, (bytes, bytearray)) else json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            content = answer.read()
            if "json" in (answer.getheader("Content-Type") or ""):
                with contextlib.suppress(ValueError):
                    return answer.status, json.loads(content)
            return answer.status, content

    def stop(self):
        """Removes every container, then the daemon, then its directories; tells what was left."""
        left = []
        try:
            if not self.process or self.process.poll() is not None:
                self.start()
            status, containers = self.request("GET", "/containers/json?all=1")
            for container in containers if status == 200 else []:
                self.request("DELETE", f"/containers/{container['Id']}?force=1")
            self.kill(signal.SIGTERM)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not processes(str(self.directory)), "shims to end", 20)
            for pid in processes(str(self.directory)):
                left.append(f"process {pid}")
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
                if str(self.directory) in line:
                    left.append(f"mount {line.split()[4]}")
                    subprocess.run(["umount", "-l", line.split()[4]], check=False)
            shutil.rmtree(self.directory, ignore_errors=True)
        return left


class CayTestCase(unittest.TestCase):
    """A test class with a daemon that has the image busybox."""

    daemon_options = ()
    daemon: Daemon

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.make_daemon()
        cls.addClassCleanup(cls.stop_daemon)
        cls.daemon.start()
        done = cls.run_cay("load", "-i", str(busybox_archive()))
        if done.returncode != 0:
            log = cls.daemon.log.read_text(errors="replace")[-3000:]
            raise AssertionError(f"loading busybox: {done.stderr}\n{log}")

    @classmethod
    def make_daemon(cls):
        """One that was not started yet."""
        return Daemon(*cls.daemon_options)

    @classmethod
    def stop_daemon(cls):
        left = cls.daemon.stop()
        if left:
            raise AssertionError(f"left behind: {', '.join(left)}")

    def tearDown(self):
        outcome = self._outcome.result
        if any(test is self for test, _ in [*outcome.errors, *outcome.failures]):
            print(self.daemon.log.read_text(errors="replace")[-4000:])

    @classmethod
    def environment(cls):
        return dict(os.environ, CAY_HOST=cls.daemon.host, DOCKER_HOST=cls.daemon.host,
                    DOCKER_CONFIG=str(cls.daemon.directory / "docker-config"))

    @classmethod
    def run_cay(cls, *arguments, **options):
        return cls.run_program(BUILD / "cay", *arguments, **options)

    @classmethod
    def run_program(cls, *arguments, **options):
        options.setdefault("timeout", PATIENCE)
        if not isinstance(options.get("input"), (bytes, bytearray)) and "stdin" not in options and "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        if options.pop("binary", False):
            return subprocess.run([str(a) for a in arguments], capture_output=True, env=cls.environment(),
                                  check=False, **options)
        return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, errors="replace",
                              env=cls.environment(), check=False, **options)

    def cay(self, *arguments, code=0, **options):
        """Runs cay and checks its exit code; returns its standard output, stripped."""
        done = self.run_cay(*arguments, **options)
        self.assertEqual(done.returncode, code, f"cay {' '.join(map(str, arguments))}:\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def start_cay(self, *arguments, **options):
        """Starts cay with pipes; ended at the test's end if it is still there."""
        process = subprocess.Popen([str(BUILD / "cay"), *map(str, arguments)], env=self.environment(),
                                   stdin=options.pop("stdin", subprocess.PIPE),
                                   stdout=options.pop("stdout", subprocess.PIPE),
                                   stderr=options.pop("stderr", subprocess.PIPE), **options)
        self.addCleanup(self.end_process, process)
        return process

    @staticmethod
    def end_process(process):
        if process.poll() is None:
            process.kill()
        if process.stdin and process.stdin.closed:
            process.stdin = None  # communicate() would flush it
        process.communicate()

    def inspect(self, container):
        return json.loads(self.cay("inspect", container))[0]

    def names(self):
        """The names of all containers."""
        return set(self.cay("ps", "-a", "--format", "{{.Names}}").split())

    def wait_state(self, container, status):
        return wait_until(lambda: self.inspect(container)["State"]["Status"] == status,
                          f"{container} to be {status}")

    def api(self, method, path, body=None, **options):
        return self.daemon.request(method, path, body, **options)


class Terminal:
    """A program on a pty of its own, as a person would use it."""

    def __init__(self, arguments, environment, columns=80, rows=24):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.settings = subprocess.run(["stty", "-g"], stdin=slave, capture_output=True, text=True, check=True).stdout
        self.slave = slave
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, start_new_session=True,
                                        preexec_fn=self.take_terminal)
        self.output = b""

    def take_terminal(self):
        import termios
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def resize(self, columns, rows):
        import struct
        import termios
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "process") and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGWINCH)

    def type(self, text):
        os.write(self.master, text.encode())

    def pump(self, timeout=0.05):
        while select.select([self.master], [], [], timeout)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.output += data
            timeout = 0

    def expect(self, text, timeout=PATIENCE):
        """Waits until the text has appeared, and forgets the output up to its end."""
        wanted = text.encode()

        def seen():
            self.pump()
            return wanted in self.output

        try:
            wait_until(seen, repr(text), timeout)
        except AssertionError as failure:
            raise AssertionError(f"{failure}; the terminal shows {self.output!r}") from None
        before, _, self.output = self.output.partition(wanted)
        return before.decode(errors="replace")

    def wait(self, timeout=PATIENCE):
        wait_until(lambda: self.pump() or self.process.poll() is not None, "the program to end", timeout)
        return self.process.returncode

    def settings_now(self):
        return subprocess.run(["stty", "-g"], stdin=self.slave, capture_output=True, text=True, check=True).stdout

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Registry:
    """Debian's docker-registry, with its data in a temporary directory: on loopback or the host given,
    with TLS where `tls` is a pair of a certificate and a key, and with a login where `users` is a file
    of names and bcrypt hashes."""

    def __init__(self, host="127.0.0.1", tls=None, users=None, client_ca=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-registry-"))
        self.host = host
        self.tls = tls
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.port = probe.getsockname()[1]
        self.address = f"{host}:{self.port}"
        http = {"addr": self.address}
        if tls:
            http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
            if client_ca:
                http["tls"]["clientcas"] = [str(client_ca)]
        settings = {"version": 0.1, "http": http, "log": {"level": "info"},
                    "storage": {"filesystem": {"rootdirectory": f"{self.directory}/data"},
                                "delete": {"enabled": True}}}
        if users:
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(users)}}
        config = self.directory / "config.yml"
        config.write_text(json.dumps(settings))  # which is YAML, too
        self.log_path = self.directory / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_until(self.answers, "docker-registry to answer", 30)

    def answers(self):
        """Whether it is there: whoever it is that it wants to hear from."""
        if self.process.poll() is not None:
            raise AssertionError(f"docker-registry ended: {self.log_path.read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=5):
            return True
        return False

    def requests(self, words):
        """How many requests its log tells of whose line has all the words."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return sum(1 for line in lines if "http.request" in line and all(word in line for word in words))

    def push(self, source, name):
        """Copies an image there with skopeo: an outside tool."""
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", source,
                        f"docker://{self.address}/{name}"], check=True, capture_output=True)
        return f"{self.address}/{name}"

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.directory, ignore_errors=True)
