# SPDX-License-Identifier: Apache-2.0
"""The command line's part of the image store: credentials, transfers, archives, lists, judged by docker's clients."""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import unittest
import warnings

from harness import BUILD, CayTestCase, Registry, Terminal, busybox_archive, wait_until

# The newest client there is, and Debian's.
CLIENTS = sorted({path for path in (shutil.which("docker"), "/usr/bin/docker") if path and pathlib.Path(path).exists()})

USER, PASSWORD = "someone", "s3cret:word"

HELPER = """#!/bin/sh
# Keeps what it is given in one file a registry, and notes how it was called.
cd DIRECTORY || exit 1
echo "$@" >>calls
cat >input
case $1 in
store) cp input stored ;;
get) [ -e stored ] || { echo "credentials not found in native keychain"; exit 1; }; cat stored ;;
erase) rm -f stored ;;
list) echo '{}' ;;
esac
"""


class ImagesTestCase(CayTestCase):
    """A daemon, and a registry that wants a name and a password."""

    @classmethod
    def setUpClass(cls):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import crypt
        super().setUpClass()
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-cli-images-")))
        users = cls.directory / "htpasswd"
        users.write_text(f"{USER}:{crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        cls.registry = Registry(users=users)
        cls.addClassCleanup(cls.registry.close)

    def setUp(self):
        shutil.rmtree(self.config.parent, ignore_errors=True)

    @property
    def config(self):
        return pathlib.Path(self.environment()["DOCKER_CONFIG"]) / "config.json"

    def login(self, **options):
        return self.cay("login", "-u", USER, "--password-stdin", self.registry.address, input=f"{PASSWORD}\n", **options)

    def terminal(self, *arguments, **environment):
        terminal = Terminal([BUILD / "cay", *arguments], dict(self.environment(), **environment))
        self.addCleanup(terminal.close)
        return terminal


class Credentials(ImagesTestCase):
    def tearDown(self):
        super().tearDown()
        self.assertNotIn("s3cret", self.daemon.log.read_text(errors="replace"))

    def test_login_and_logout(self):
        name = f"{self.registry.address}/private/one:1"
        self.cay("tag", "busybox", name)
        done = self.run_cay("push", name)
        self.assertEqual(done.returncode, 1)
        self.assertIn("authentication is required", done.stderr)
        self.assertEqual(self.login(), "Login Succeeded")
        self.assertEqual(self.config.stat().st_mode & 0o7777, 0o600)
        self.assertEqual(self.cay("registry", "list", "--format", "{{.Registry}} {{.Username}}"),
                         f"{self.registry.address} {USER}")
        self.assertIn("existing credentials", self.cay("registry", "login", self.registry.address))
        self.assertEqual(self.cay("push", "-q", name), name)
        self.cay("rmi", name)
        self.assertEqual(self.cay("run", "--rm", name, "echo", "fetched"), "fetched")
        self.assertIn(f"Removing login credentials for {self.registry.address}",
                      self.cay("registry", "logout", self.registry.address))
        self.assertEqual(self.cay("registry", "ls", "-q"), "")
        self.cay("image", "pull", name, code=1)

    def test_refusals(self):
        for arguments, given, words in (
                (("-u", USER, "--password-stdin"), "wrong", "wrong"),
                (("--password-stdin",), PASSWORD, "--username"),
                (("-u", USER, "-p", PASSWORD, "--password-stdin"), PASSWORD, "exclude"),
                (("-u", USER, "--password-stdin"), "", "empty"),
                (("-u", USER), "", "no terminal"),
                ((), "", "no terminal")):
            done = self.run_cay("login", *arguments, self.registry.address, input=given)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(words, done.stderr)
            self.assertNotIn(PASSWORD, done.stdout + done.stderr)
            self.assertFalse(self.config.exists())
        done = self.run_cay("login", "-u", USER, "-p", PASSWORD, self.registry.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: --password", done.stderr)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)

    def test_completion_knows_the_registries(self):
        self.login()
        self.assertEqual(self.cay("__complete", "logout", self.registry.address[:5]), self.registry.address)

    def test_a_password_as_an_option_is_not_shown_for_long(self):
        process = self.start_cay("login", "-u", USER, "-p", PASSWORD, self.registry.address, preexec_fn=lambda: os.kill(
            self.registry.process.pid, signal.SIGSTOP))
        try:
            line = pathlib.Path(f"/proc/{process.pid}/cmdline")
            wait_until(lambda: PASSWORD not in line.read_text() and "xxxx" in line.read_text(), "the password to go", 10)
        finally:
            os.kill(self.registry.process.pid, signal.SIGCONT)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)

    def test_prompts(self):
        terminal = self.terminal("login", self.registry.address)
        terminal.expect("Username: ")
        terminal.type(f"{USER}\n")
        terminal.expect("Password: ")
        terminal.type(f"{PASSWORD}\n")
        shown = terminal.expect("Login Succeeded")
        self.assertNotIn("s3cret", shown)
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.settings_now(), terminal.settings)

    def test_an_interrupted_prompt(self):
        terminal = self.terminal("login", "-u", USER, self.registry.address)
        terminal.expect("Password: ")
        self.assertNotEqual(terminal.settings_now(), terminal.settings)
        terminal.type("s3cr\x03")
        self.assertEqual(terminal.wait(), -signal.SIGINT)
        self.assertEqual(terminal.settings_now(), terminal.settings)
        self.assertFalse(self.config.exists())

    def test_docker_clients_share_the_file(self):
        name = f"{self.registry.address}/private/shared:1"
        self.cay("tag", "busybox", name)
        for client in CLIENTS:
            with self.subTest(client=client):
                self.login()
                done = self.run_program(client, "push", name)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(self.run_program(client, "logout", self.registry.address).returncode, 0)
                self.cay("push", name, code=1)
                self.run_program(client, "login", "-u", USER, "--password-stdin", self.registry.address, input=PASSWORD)
                self.cay("push", name)
                self.cay("logout", self.registry.address)
                self.assertNotEqual(self.run_program(client, "push", name).returncode, 0)

    def test_other_keys_of_the_file_stay(self):
        before = {"HttpHeaders": {"X-Test": "1"}, "psFormat": "{{.ID}}", "number": 12345678901234567890,
                  "auths": {"other.example": {"auth": "eDp5", "email": "e"}}}
        self.config.parent.mkdir()
        target = self.config.parent / "elsewhere.json"
        target.write_text(json.dumps(before, indent=3))
        self.config.symlink_to("elsewhere.json")
        self.login()
        after = json.loads(target.read_text())
        self.assertTrue(self.config.is_symlink())
        self.assertIn(self.registry.address, after["auths"])
        self.cay("logout", self.registry.address)
        self.assertEqual(json.loads(target.read_text()), before)

    def test_a_broken_file(self):
        self.config.parent.mkdir()
        self.config.write_text("{ broken")
        done = self.run_cay("login", "-u", USER, "--password-stdin", self.registry.address, input=PASSWORD)
        self.assertEqual(done.returncode, 125)
        self.assertEqual(self.config.read_text(), "{ broken")
        done = self.run_cay("pull", f"{self.registry.address}/private/none:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("going on without credentials", done.stderr)

    def helper(self, setting):
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        path = directory / "docker-credential-cay-test"
        path.write_text(HELPER.replace('DIRECTORY', str(directory)))
        path.chmod(0o700)
        self.config.parent.mkdir()
        self.config.write_text(json.dumps(setting))
        return directory, dict(self.environment(), PATH=f"{directory}:{os.environ['PATH']}")

    def test_helpers(self):
        for setting in ({"credsStore": "cay-test"}, {"credHelpers": {self.registry.address: "cay-test"}}):
            with self.subTest(setting=setting):
                shutil.rmtree(self.config.parent, ignore_errors=True)
                directory, environment = self.helper(setting)

                def run(program, *arguments, code=0, given=None, env=environment):
                    done = subprocess.run([program, *arguments], capture_output=True, text=True, env=env,
                                          input=given or "", check=False, timeout=60)
                    self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                    return done

                name = f"{self.registry.address}/private/helped:1"
                self.cay("tag", "busybox", name)
                cay = str(BUILD / "cay")
                run(cay, "login", "-u", USER, "--password-stdin", self.registry.address, given=PASSWORD)
                self.assertEqual(json.loads((directory / "stored").read_text()),
                                 {"ServerURL": self.registry.address, "Username": USER, "Secret": PASSWORD})
                self.assertNotIn("auth\"", self.config.read_text())
                run(cay, "push", "-q", name)
                for client in CLIENTS:
                    run(client, "push", name)
                self.assertEqual(set((directory / "calls").read_text().split()), {"store", "get"})
                run(cay, "logout", self.registry.address)
                self.assertFalse((directory / "stored").exists())
                run(cay, "push", name, code=1)
                # Docker's own client keeps it there too, and cay finds it.
                run(CLIENTS[0], "login", "-u", USER, "--password-stdin", self.registry.address, given=PASSWORD)
                run(cay, "push", "-q", name)

    def test_a_helper_that_is_not_there(self):
        self.helper({"credsStore": "absent"})
        done = self.run_cay("pull", f"{self.registry.address}/x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("docker-credential-absent", done.stderr)
        # As with docker, the registry is asked without: many an image needs none.
        self.assertIn("going on without credentials", done.stderr)
        self.assertIn("authentication is required", done.stderr)


class OtherDaemon(http.server.BaseHTTPRequestHandler):
    """The two calls of a daemon whose registry gives identity tokens; what it heard is in `heard`."""

    def answer(self, document):
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/auth"):
            self.server.heard.append(json.loads(body))
            self.answer({"Status": "Login \x1b[2JSucceeded", "IdentityToken": "t0ken"})
        else:
            self.server.heard.append(json.loads(base64.urlsafe_b64decode(self.headers["X-Registry-Auth"])))
            self.answer({"status": "Done"})

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass


class IdentityTokens(unittest.TestCase):
    def test_a_token_takes_the_password_s_place(self):
        with tempfile.TemporaryDirectory(prefix="cay-tokens-") as directory:
            path = os.path.join(directory, "sock")
            server = socketserver.UnixStreamServer(path, OtherDaemon)
            server.heard = []
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                def cay(*arguments, given=None):
                    return subprocess.run([BUILD / "cay", *arguments], input=given or "", text=True, capture_output=True,
                                          env=dict(os.environ, CAY_HOST=f"unix://{path}", DOCKER_CONFIG=directory),
                                          check=True, timeout=30).stdout

                out = cay("login", "-u", USER, "--password-stdin", "https://r.example/v2/", given=PASSWORD)
                self.assertEqual(out, "Login ?[2JSucceeded\n")
                cay("pull", "-q", "r.example/x:1")
                cay("pull", "-q", "other.example/x:1")
            finally:
                server.shutdown()
                thread.join()
                server.server_close()
            self.assertEqual(server.heard[0],
                             {"username": USER, "password": PASSWORD, "serveraddress": "r.example"})
            self.assertEqual(server.heard[1]["identitytoken"], "t0ken")
            self.assertNotIn("password", server.heard[1])
            self.assertEqual(server.heard[2], {})
            stored = json.loads(pathlib.Path(directory, "config.json").read_text())["auths"]["r.example"]
            self.assertEqual(stored["identitytoken"], "t0ken")
            self.assertEqual(base64.b64decode(stored["auth"]).decode(), f"{USER}:")


class Transfers(ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.login()

    def test_push_and_pull_all_tags(self):
        name = f"{self.registry.address}/many/tags"
        for tag in ("1", "2"):
            self.cay("tag", "busybox", f"{name}:{tag}")
        out = self.cay("push", "-a", name)
        self.assertIn(f"The push refers to repository [{name}]", out)
        self.assertIn("1: digest: sha256:", out)
        self.assertIn("2: digest: sha256:", out)
        self.cay("rmi", f"{name}:1", f"{name}:2")
        self.assertEqual(self.cay("pull", "-q", "--disable-content-trust", "-a", name), name)
        self.assertEqual(self.cay("images", "--format", "{{.Repository}} {{.Tag}}", name).splitlines(),
                         [f"{name} 1", f"{name} 2"])
        self.assertIn("--all-tags", self.run_cay("push", "-a", f"{name}:1").stderr)
        self.assertIn("--all-tags", self.run_cay("pull", "-a", f"{name}:1").stderr)

    def test_the_default_tag_is_said(self):
        name = f"{self.registry.address}/default"
        self.cay("tag", "busybox", name)
        self.assertIn("Using default tag: latest", self.cay("push", name))
        out = self.cay("pull", name)
        self.assertTrue(out.startswith("Using default tag: latest\n"))
        self.assertTrue(out.endswith(f"\n{name}:latest"))
        digest = self.cay("images", "--digests", "--format", "{{.Digest}}", name)
        self.assertEqual(self.cay("pull", "-q", f"{name}:latest@{digest}"), f"{name}:latest@{digest}")
        self.assertIn("digest", self.run_cay("push", f"{name}@{digest}").stderr)

    def test_ctrl_c(self):
        """A registry that says no more holds nobody up."""
        name = f"{self.registry.address}/slow/one:1"
        self.cay("tag", "busybox", name)
        self.cay("push", name)
        self.cay("rmi", name)
        self.cay("tag", "busybox", f"{self.registry.address}/slow/two:1")
        for arguments in (("pull", name), ("push", f"{self.registry.address}/slow/two:1"), ("run", "--rm", name)):
            with self.subTest(arguments=arguments):
                os.kill(self.registry.process.pid, signal.SIGSTOP)
                try:
                    process = self.start_cay(*arguments)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=0.7)
                    self.assertIsNone(process.poll())
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.wait(timeout=3), -signal.SIGINT)
                finally:
                    os.kill(self.registry.process.pid, signal.SIGCONT)
        self.assertEqual(self.cay("images", "-q", name), "")
        self.assertEqual(self.names(), set())
        self.assertEqual(self.cay("pull", "-q", name), name)

    def test_a_terminal_shows_bars(self):
        name = f"{self.registry.address}/bars:1"
        self.cay("tag", "busybox", name)
        terminal = self.terminal("push", name)
        terminal.expect("The push refers to repository")
        terminal.expect("digest: sha256:")
        self.assertEqual(terminal.wait(), 0)


class SlowDaemon:
    """A socket that begins an answer and then says nothing more, or breaks off."""

    def __init__(self, directory, breaks_off):
        self.path = pathlib.Path(directory) / "slow.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.breaks_off = breaks_off
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            if not self.breaks_off:
                self.done.wait(60)

    def close(self):
        self.done.set()
        self.thread.join()
        self.listener.close()


class Archives(ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.directory))

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_save_to_a_pipe_into_load(self):
        self.cay("tag", "busybox", "piped:1")
        self.cay("tag", "busybox", "piped:2")
        saved = self.run_cay("save", "piped:1", "piped:2", binary=True)
        self.assertEqual(saved.returncode, 0, saved.stderr)
        self.cay("rmi", "piped:1", "piped:2")
        loaded = self.run_cay("load", input=saved.stdout, binary=True)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        self.assertEqual(set(loaded.stdout.decode().splitlines()), {"Loaded image: piped:1", "Loaded image: piped:2"})
        self.assertEqual(self.cay("run", "--rm", "piped:2", "echo", "whole"), "whole")

    def test_save_to_a_file(self):
        out = self.folder / "out.tar"
        self.cay("image", "save", "-o", out, "busybox")
        self.assertEqual(self.files(), ["out.tar"])
        self.assertEqual(out.stat().st_mode & 0o777, 0o600)
        first = out.read_bytes()
        link = self.folder / "link.tar"
        link.symlink_to("out.tar")
        self.cay("save", "--output", link, "busybox")
        self.assertTrue(link.is_symlink())
        self.assertEqual(len(out.read_bytes()), len(first))
        self.cay("load", "-q", "-i", out)
        self.cay("save", "-o", "/dev/null", "busybox")
        self.cay("save", "--platform", "linux/amd64", "-o", out, "busybox")
        self.cay("save", "--platform", "linux/s390x", "-o", self.folder / "none.tar", "busybox", code=1)
        self.assertEqual(self.files(), ["link.tar", "out.tar"])
        self.assertFalse(pathlib.Path("/dev/null").is_file())
        for client in CLIENTS:
            self.assertEqual(self.run_program(client, "load", "-i", out).returncode, 0)

    def test_refusals(self):
        for arguments in (("-o", self.folder / "x.tar", "nosuch"), ("-o", self.folder / "none" / "x.tar", "busybox"),
                          ("-o", self.folder, "busybox"), ("nosuch",)):
            done = self.run_cay("save", *arguments)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertTrue(done.stderr.startswith("cay: "))
            self.assertEqual(self.files(), [])
        terminal = self.terminal("save", "busybox")
        terminal.expect("standard output is a terminal")
        self.assertNotEqual(terminal.wait(), 0)
        terminal = self.terminal("load")
        terminal.expect("standard input is a terminal")
        self.assertNotEqual(terminal.wait(), 0)
        done = self.run_cay("load", input="no archive at all")
        self.assertEqual(done.returncode, 1)

    def slow(self, breaks_off):
        daemon = SlowDaemon(self.folder, breaks_off)
        self.addCleanup(daemon.close)
        return dict(self.environment(), CAY_HOST=f"unix://{daemon.path}")

    def test_nothing_half_made_after_ctrl_c(self):
        out = self.folder / "out.tar"
        out.write_text("before")
        process = subprocess.Popen([BUILD / "cay", "save", "-o", out, "x"], env=self.slow(False),
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(self.end_process, process)
        wait_until(lambda: [name for name in self.files() if name.endswith(".tmp")], "the temporary file")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=3), -signal.SIGINT)
        self.assertEqual(self.files(), ["out.tar", "slow.sock"])
        self.assertEqual(out.read_text(), "before")

    def test_nothing_half_made_after_a_broken_answer(self):
        done = subprocess.run([BUILD / "cay", "save", "-o", self.folder / "out.tar", "x"], env=self.slow(True),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("before its answer was complete", done.stderr)
        self.assertEqual(self.files(), ["slow.sock"])

    def test_a_full_disk(self):
        done = self.run_cay("save", "-o", "/dev/full", "busybox")
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)


class Lists(ImagesTestCase):
    """What cay prints is what docker's client prints on the same socket."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_cay("tag", "busybox", "local/two:a")
        cls.run_cay("tag", "busybox", "local/two:b")
        cls.run_cay("create", "--name", "idle", "busybox", "sh", "-c", "echo a rather long command")

    def setUp(self):
        super().setUp()
        self.cay("load", "-q", "-i", busybox_archive())  # which some tests here remove

    def normalized(self, text, loosely):
        """Lines without blanks at their ends; JSON with its keys in order."""
        lines = []
        for line in text.splitlines():
            if loosely:  # in three digits, without the seconds that pass, and columns as wide as that
                line = re.sub(r" +", " ", re.sub(r"\b(\d\.\d\d)\d(?=[kMG]B)", r"\1", line))
                line = re.sub(r"(Less than a second|About a minute|\d+ (second|minute)s?) ago", "just now", line)
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    document.pop("Platform", None)  # of containers, new in some clients only
                line = json.dumps(document, sort_keys=True)
            lines.append(line.rstrip())
        return sorted(lines)

    def compare(self, *arguments, loosely=False, without=None):
        """`without`: begins what only cay has, a row, or at the end of the output a whole part."""
        cay = self.run_cay(*arguments)
        if without:
            cay.stdout = re.sub(rf"(?m)^{without}.*\n", "", cay.stdout.partition(f"\n{without} space")[0])
        for client in CLIENTS:
            # Older clients have no word for it.
            docker = self.run_program(client, *("{{json .}}" if word == "json" else word for word in arguments))
            self.assertEqual(cay.returncode, docker.returncode, f"{client} {arguments}: {cay.stderr}")
            self.assertEqual(self.normalized(cay.stdout, loosely), self.normalized(docker.stdout, loosely),
                             f"{client} {arguments}")
        return cay.stdout

    def test_images(self):
        self.assertIn("local/two", self.compare("images"))
        for arguments in (("-a",), ("-q",), ("--no-trunc",), ("-q", "--no-trunc"), ("--digests",),
                          ("--format", "json"), ("--digests", "--format", "json"), ("local/two",), ("local/two:a",),
                          ("nosuch",), ("-f", "dangling=true"), ("-f", "reference=local/*"), ("-f", "nonsense=1"),
                          ("-f", "nonsense"), ("--nonsense",), ("a", "b"),
                          ("--format", "{{.Repository}}:{{.Tag}} {{.Digest}} {{.ID}} {{.Size}} {{.VirtualSize}}"),
                          ("--format", "{{.SharedSize}} {{.UniqueSize}} {{.Containers}} {{.CreatedAt}}"),
                          ("--format", "table {{.Repository}}\\t{{.ID}}"), ("--format", "{{json .}}")):
            with self.subTest(arguments=arguments):
                self.compare("images", *arguments)
                self.compare("image", "ls", *arguments)

    def test_images_known_by_digest(self):
        """Rows of names that have no tag here, and of tags with their digests."""
        self.login()
        names = [f"{self.registry.address}/digests/{name}" for name in ("one", "two")]
        for name in names:
            self.cay("tag", "busybox", f"{name}:t")
            self.cay("push", "-q", f"{name}:t")
        digest = self.cay("images", "--digests", "--format", "{{.Digest}}", names[0])
        self.cay("rmi", *(f"{name}:t" for name in names))
        self.cay("pull", "-q", f"{names[0]}@{digest}")
        self.cay("pull", "-q", f"{names[1]}:t")
        for arguments in ((), ("--digests",), ("-q",), ("--digests", "--format", "json"), ("--format", "{{.Digest}}")):
            self.assertTrue(self.compare("images", *arguments))
        self.assertRegex(self.cay("images", names[0]), rf"{names[0]} +<none> ")
        self.assertIn(f"{names[0]}@{digest}", self.cay("rmi", f"{names[0]}@{digest}", f"{names[1]}:t"))

    def test_history(self):
        for arguments in ((), ("--no-trunc",), ("-q",), ("-H=false",), ("--format", "json"),
                          ("--format", "{{.ID}} {{.CreatedBy}} {{.CreatedAt}} {{.Comment}}")):
            with self.subTest(arguments=arguments):
                self.assertTrue(self.compare("history", *arguments, "busybox"))
        self.compare("history", "nosuch")

    def test_inspect(self):
        self.compare("image", "inspect", "--format", "{{.Id}} {{.Architecture}} {{json .RepoTags}}", "busybox")
        self.compare("image", "inspect", "--format", "{{index .RepoTags 0}}", "nosuch", "busybox")

    def test_disk_use(self):
        out = self.compare("system", "df", without="Templates")
        self.assertIn("Build Cache", out)
        self.assertIn("Local Volumes space usage:", self.compare("system", "df", "-v", loosely=True, without="Templates"))
        self.assertRegex(self.cay("system", "df", "-v"), r'busybox +"sh -c .* Created +idle')
        self.compare("system", "df", "--format", "json", without='{.*"Templates"')
        self.compare("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}",
                     without="Templates")

    def test_remove_and_tag(self):
        self.cay("tag", "busybox", "gone:1")
        self.assertEqual(self.cay("rmi", "gone:1"), "Untagged: gone:1")
        self.cay("rmi", "gone:1", code=1)
        self.cay("rmi", "-f", "gone:1")
        self.cay("tag", "nosuch", "x", code=1)
        self.cay("tag", "busybox", code=1)
        done = self.run_cay("rmi", "nosuch", "busybox")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nosuch", done.stderr)

    def test_prune(self):
        self.assertNotIn("Total", self.cay("image", "prune", input="n\n"))
        self.assertIn("WARNING! This will remove all dangling images.", self.cay("image", "prune", input="y\n"))
        self.cay("tag", "busybox", "unused:1")
        self.assertTrue(self.cay("image", "prune", "-f").endswith("Total reclaimed space: 0B"))
        self.assertTrue(self.cay("images", "-q", "unused:1"))
        self.assertIn("nonsense", self.run_cay("image", "prune", "-f", "--filter", "nonsense=1").stderr)
        # What a container uses stays, by all of its names or by one.
        self.cay("image", "prune", "-a", "-f")
        self.assertEqual(self.cay("start", "-a", "idle"), "a rather long command")
        self.cay("load", "-q", "-i", busybox_archive())

    def damage(self, pattern):
        path = max(self.daemon.root.glob(pattern), key=lambda path: path.stat().st_size)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def test_verify(self):
        """Each kind of stored file, damaged: found, told, and mended as the message says."""
        self.assertRegex(self.cay("image", "verify", "busybox", "local/two:a"),
                         r"^busybox: all \d+ items are whole \(.*\)\nlocal/two:a: all \d+ items")
        self.assertEqual(self.cay("image", "verify", "-q", "busybox"), "")
        self.cay("image", "verify", "nosuch", code=1)
        for pattern, kind, remedy in (("layers/*.data", "disk", "made again"), ("layers/*.index", "disk", "made again"),
                                      ("images/*.erofs", "disk", "made again"),
                                      ("content/blobs/sha256/*", "layer", "cay pull busybox")):
            with self.subTest(pattern=pattern):
                self.damage(pattern)
                done = self.run_cay("image", "verify", "busybox")
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertRegex(done.stdout, rf"busybox: {kind} sha256:[0-9a-f]{{64}}: .+")
                self.assertIn(remedy, done.stderr)
                self.cay("load", "-q", "-i", busybox_archive())
                self.cay("image", "verify", "busybox")
                self.assertEqual(self.cay("run", "--rm", "busybox", "echo", "whole"), "whole")

    def test_verify_as_a_table(self):
        self.damage("layers/*.data")
        table = self.cay("image", "verify", "--format", "table", "busybox", code=1)
        self.assertRegex(table, r"^IMAGE +KIND +DIGEST +SIZE +PROBLEM\n")
        self.assertEqual(len([line for line in table.splitlines() if line.split()[1] == "disk" and "data" in line]), 1)
        self.cay("load", "-q", "-i", busybox_archive())
        self.cay("image", "verify", "--format", "json", "busybox")

    def test_search_says_what_the_daemon_says(self):
        done = self.run_cay("search", "busybox")
        status, answer = self.api("GET", "/images/search?term=busybox")
        self.assertGreaterEqual(status, 400)
        self.assertEqual(done.returncode, 1)
        self.assertIn(answer["message"], done.stderr)

    def test_exit_codes_of_mistakes(self):
        for arguments in (("pull",), ("pull", "a", "b"), ("pull", "--nonsense", "a"), ("push",), ("save",), ("nosuch",),
                          ("image", "nosuch"), ("history",), ("tag", "a"), ("login", "a", "b"), ("search",),
                          ("image", "inspect"), ("image", "prune", "x"), ("system", "df", "x")):
            with self.subTest(arguments=arguments):
                cay = self.run_cay(*arguments)
                for client in CLIENTS:
                    docker = self.run_program(client, *arguments)
                    self.assertEqual(cay.returncode, docker.returncode, f"{client} {arguments}: {cay.stderr}")
                self.assertTrue(cay.stderr.startswith("cay: "))
