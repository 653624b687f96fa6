# SPDX-License-Identifier: Apache-2.0
"""Docker's client and cay side by side, in front of a server that writes down what they ask for."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import socketserver
import subprocess
import tempfile
import threading
import unittest

from harness import BUILD

DOCKER = shutil.which("docker")


def docker_version():
    """The docker client's major version; 0 where there is none."""
    if not DOCKER:
        return 0
    done = subprocess.run([DOCKER, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.", done.stdout)
    return int(found[1]) if found else 0


class Handler(http.server.BaseHTTPRequestHandler):
    """Notes every request and answers from the server's table: by "METHOD path", or else by path, without the
    API's version. An answer is a status and a value, and perhaps headers; bytes are sent as they are, and a
    value that can be called gets the request's body."""

    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def answer(self):
        data = self.body()
        path = re.sub(r"^/v[0-9.]+", "", self.path)
        kind = self.headers.get("Content-Type", "")
        body = json.loads(data) if data and "json" in kind else data or None
        if path != "/_ping":
            self.server.requests.append((self.command, path, body))
        where = path.partition("?")[0]
        table = self.server.answers
        status, value, *headers = table.get(f"{self.command} {where}") or table.get(where) or (200, {})
        if where.endswith("/create") and not isinstance(value, bytes) and where not in table:
            status, value = 201, {"Id": "a" * 64, "Warnings": []}
        if callable(value):
            value = value(data)
        if self.command == "DELETE" and status < 300:
            status, value = 204, b""
        reply = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.48")
        self.send_header("Ostype", "linux")
        for name, text in (headers[0] if headers else {}).items():
            self.send_header(name, text)
        if status != 204:
            self.send_header("Content-Type", "application/x-tar" if isinstance(value, bytes) else "application/json")
            self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError):  # of a client that reads no farther
                self.wfile.write(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that ends its connection early is no error here."""


def plain(value):
    """Without members that say nothing, and with the filters' two spellings as one."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if plain(item) not in (None, "", [], {}, False, 0)}
    return [plain(item) for item in value] if isinstance(value, list) else value


class BesideDocker(unittest.TestCase):
    """Both clients talk to a server that writes down what they ask for."""

    def setUp(self):
        if docker_version() < 28:
            self.skipTest("the docker client to compare with is older than 28, or there is none")
        directory = tempfile.TemporaryDirectory(prefix="cay-cli-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.server = Server(str(self.directory / "socket"), Handler)
        self.server.answers, self.server.requests = {}, []
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)

    def run_client(self, program, line, cwd=None, data=None, environment=None):
        """Exit code, standard output, standard error and the requests."""
        self.server.requests.clear()
        host = f"unix://{self.directory}/socket"
        environment = dict(os.environ, DOCKER_HOST=host, CAY_HOST=host, DOCKER_CONFIG=str(self.directory), **(environment or {}))
        words = shlex.split(line) if isinstance(line, str) else line
        done = subprocess.run([program, *words], env=environment, capture_output=True, timeout=60, check=False,
                              cwd=cwd, **({"stdin": subprocess.DEVNULL} if data is None else {"input": data}))
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), list(self.server.requests)

    def both(self, line, **how):
        return self.run_client(DOCKER, line, **how), self.run_client(BUILD / "cay", line, **how)

    def compare(self, lines, prefix, check, **how):
        """check(docker, cay) for what both make of each line."""
        for line in lines.strip().splitlines():
            with self.subTest(line):
                docker, cay = self.both(prefix + line, **how)
                check(docker, cay)
