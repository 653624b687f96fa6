# SPDX-License-Identifier: Apache-2.0
"""Calls cay's gRPC servers with the gRPC project's own client for Node.js (grpc/client.js), and stands for a guest
with its server (grpc/server.js).

Its packages are installed once, into the cache, in the versions that grpc/package.json names.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import harness

SOURCES = ("package.json", "client.js", "server.js")
HERE = pathlib.Path(__file__).resolve().parent / "grpc"
PROTO = harness.ROOT / "proto"


def installed():
    """A directory with the client and its packages; skips the test where there is no Node.js."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("node and npm are not installed")
    sources = {name: (HERE / name).read_bytes() for name in SOURCES}
    directory = harness.CACHE / f"grpc-{hashlib.sha256(b''.join(sources.values())).hexdigest()[:16]}"
    if not directory.exists():
        temporary = directory.with_name(f"{directory.name}.{os.getpid()}.tmp")
        temporary.mkdir(parents=True)
        try:
            for name, data in sources.items():
                (temporary / name).write_bytes(data)
            subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts",
                            "--no-package-lock"], cwd=temporary, check=True, timeout=300,
                           stdin=subprocess.DEVNULL)
            try:
                temporary.rename(directory)
            except OSError:
                if not directory.exists():  # else another test was faster
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return directory


def call(socket, proto, calls, timeout=60):
    """Makes the calls that client.js describes and returns their results."""
    done = subprocess.run(["node", "client.js", socket, PROTO / proto], cwd=installed(),
                          input=json.dumps(calls), capture_output=True, text=True, check=False,
                          timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"the gRPC client failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def serve(socket, proto, service, answers):
    """A server on the socket that gives these answers, as server.js describes them."""
    with subprocess.Popen(["node", "server.js", socket, PROTO / proto, service], cwd=installed(),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            server.stdin.write(json.dumps(answers))
            server.stdin.close()
            if server.stdout.readline() != "ready\n":
                raise AssertionError("the gRPC server did not start")
            yield
        finally:
            server.kill()
