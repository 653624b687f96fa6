# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: the host that the daemons under test live on.

inside() gives the command line that runs a program in a network and mount
namespace of its own, so that bridges, taps, rules and sysctls never touch the
machine that runs the tests. In there the world is as on a fresh Linux host:
loopback, a link "eth0" with a router behind it, forwarding off, and a /sys that
shows that namespace. The router is the namespace "outside", another machine
from which nothing leads further.
"""

import ctypes
import os
import pathlib
import subprocess
import sys

# Documentation addresses (RFC 5737, RFC 3849), which no real network uses.
HOST_ADDRESS = "192.0.2.1"
HOST_ADDRESS6 = "2001:db8:0:2::1"
OUTSIDE = "outside"
OUTSIDE_ADDRESS = "192.0.2.254"
OUTSIDE_ADDRESS6 = "2001:db8:0:2::fe"

MS_BIND, MS_MOVE, MS_REC = 0x1000, 0x2000, 0x4000
MNT_DETACH = 2


def inside(command):
    """The command line that runs the command in namespaces made for it."""
    return ["unshare", "--net", "--mount", sys.executable, str(pathlib.Path(__file__).resolve()),
            *map(str, command)]


def run(*arguments):
    """Runs a program of the host's that must succeed; its output."""
    done = subprocess.run([str(a) for a in arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def mount(source, target, kind=None, flags=0):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(target), kind and kind.encode(), ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), f"mounting {source} at {target}")


def unmount(path):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), f"unmounting {path}")


def remount_sys():
    """Shows this network namespace in /sys, with everything that is mounted below it as before."""
    below = {line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()}
    below = sorted(path for path in below if path.startswith("/sys/"))
    outermost = [path for path in below if not any(path.startswith(f"{other}/") for other in below)]
    old = "/proc"  # any folder serves for a moment: this namespace has mounts of its own
    mount("/sys", old, flags=MS_BIND | MS_REC)
    unmount("/sys")
    mount("sysfs", "/sys", "sysfs")
    for path in outermost:
        if os.path.isdir(path):
            mount(old + path.removeprefix("/sys"), path, flags=MS_BIND | MS_REC)
    unmount(old)


def settle():
    """Makes a host, and the machine outside it, of the namespaces that this process was started in."""
    remount_sys()
    os.makedirs("/run/netns", exist_ok=True)
    mount("tmpfs", "/run/netns", "tmpfs")  # "ip netns" keeps its names there
    for setting in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        pathlib.Path("/proc/sys", setting).write_text("0")
    run("ip", "netns", "add", OUTSIDE)
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", OUTSIDE)
    for enter, here, address, address6 in (
            ((), ("ip",), HOST_ADDRESS, HOST_ADDRESS6),
            (("ip", "netns", "exec", OUTSIDE), ("ip", "-n", OUTSIDE), OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6)):
        run(*here, "link", "set", "lo", "up")
        # Nobody else has the addresses here, so nobody waits for a second to be sure of that.
        run(*enter, "sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_dad=0")
        run(*here, "address", "add", f"{address}/24", "dev", "eth0")
        run(*here, "address", "add", f"{address6}/64", "dev", "eth0", "nodad")
        run(*here, "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", OUTSIDE_ADDRESS)
    run("ip", "route", "add", "default", "via", OUTSIDE_ADDRESS6)
    # Who asks for more than these two is told so at once, however often.
    run("ip", "netns", "exec", OUTSIDE, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0",
        "net.ipv6.conf.all.forwarding=1", "net.ipv6.icmp.ratelimit=0")
    run("ip", "-n", OUTSIDE, "route", "add", "unreachable", "default")
    run("ip", "-n", OUTSIDE, "-6", "route", "add", "unreachable", "default")


if __name__ == "__main__":
    settle()
    os.execvp(sys.argv[1], sys.argv[1:])
