# SPDX-License-Identifier: Apache-2.0
"""The images of the socket tests: "tool", busybox with socket-tool, and "client", Debian's programs with
docker's client of version 28 and socket-tool."""

import hashlib
import pathlib
import shutil

from harness import BUILD, busybox_archive, cached
from net_images import servers_archive, with_files

SOCKET_TOOL = BUILD / "tests" / "socket-tool"
DOCKER = pathlib.Path(shutil.which("docker") or "/usr/local/bin/docker")


def digest(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tool_archive():
    """A docker archive of the image "tool"."""
    base, files = busybox_archive(), {"usr/bin/socket-tool": SOCKET_TOOL}
    config = {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sh"]}
    return cached("tool.tar", (str(base), digest(SOCKET_TOOL), config),
                  lambda path: with_files(path, base, "tool", config, files))


def client_archive():
    """A docker archive of the image "client"."""
    base, files = servers_archive(), {"usr/bin/socket-tool": SOCKET_TOOL, "usr/bin/docker": DOCKER}
    config = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]}
    return cached("client.tar", (str(base), digest(SOCKET_TOOL), digest(DOCKER), config),
                  lambda path: with_files(path, base, "client", config, files))
