# SPDX-License-Identifier: Apache-2.0
"""DNS answers a second, cay's responder and dnsmasq in turn, in a network namespace made for it.

Own names are 1,000 host records on either side. Forwarded names come from one
dnsmasq behind both, and neither keeps them: cay has no cache, dnsmasq's is off.
A third row has dnsmasq's cache on, which is what it is usually run with.
"""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from common import BUILD, arguments, title

ROUNDS, SECONDS, NAMES = 5, 2, 1000
ADDRESS = "127.0.0.2"  # who asks has 127.0.0.1; our own address would be the host, for whom nothing is forwarded
UPSTREAM_ADDRESS = "127.0.0.1"
CAY, DNSMASQ, CACHING, UPSTREAM = 5301, 5302, 5303, 5304


def dnsmasq(address, port, *options):
    return subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                             "--user=root", "--pid-file=", "--bind-interfaces", f"--listen-address={address}",
                             f"--port={port}", *options])


def load(port, outstanding, suffix):
    """Answers a second."""
    done = subprocess.run([BUILD / "tests" / "dns-load", ADDRESS, str(port), str(SECONDS), str(outstanding),
                           str(NAMES), suffix], check=True, capture_output=True, text=True)
    rate, lost = re.match(r"(\d+) answers/s, (\d+) lost", done.stdout).groups()
    return int(rate), int(lost)


def compare(name, outstanding, suffix, ports):
    rates = {port: [] for port in ports}
    lost = {port: 0 for port in ports}
    for turn in range(ROUNDS + 1):
        for port in ports:
            rate, missing = load(port, outstanding, suffix)
            if turn:
                rates[port].append(rate)
                lost[port] += missing
    medians = {port: statistics.median(rates[port]) for port in ports}
    for port, label in ports.items():
        ratio = "" if port == CAY else f"   cay answers {medians[CAY] / medians[port]:.2f} times as many"
        print(f"  {name:32} {outstanding:3} at once   {label:18} {medians[port]:7.0f} answers/s"
              f"   {lost[port]} lost{ratio}", flush=True)


def main():
    arguments()
    if os.environ.get("CAY_BENCH_DNS") != "inside":
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], dict(os.environ, CAY_BENCH_DNS="inside"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        hosts = os.path.join(directory, "hosts")
        with open(hosts, "w", encoding="ascii") as file:
            for number in range(NAMES):
                file.write(f"10.9.{number >> 8}.{number & 255} h{number}\nfd00:9::{number >> 8:x}:{number & 255:x} h{number}\n")
        options = (f"--addn-hosts={hosts}", f"--server={UPSTREAM_ADDRESS}#{UPSTREAM}")
        for process in (dnsmasq(UPSTREAM_ADDRESS, UPSTREAM, "--address=/example/198.51.100.7",
                                "--local-ttl=300"),
                        dnsmasq(ADDRESS, DNSMASQ, *options, "--cache-size=0"), dnsmasq(ADDRESS, CACHING, *options, "--cache-size=10000"),
                        subprocess.Popen([BUILD / "tests" / "dns-serve", str(CAY), str(UPSTREAM), "/dev/null", "-", ADDRESS],
                                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)):
            stack.callback(process.wait)
            stack.callback(process.terminate)
        time.sleep(0.5)
        title("DNS answers a second")
        both = {CAY: "cay", DNSMASQ: "dnsmasq"}
        for outstanding in (1, 50):
            compare("names of containers", outstanding, "", both)
        for outstanding in (1, 50):
            compare("forwarded", outstanding, ".example", {**both, CACHING: "dnsmasq, cached"})


if __name__ == "__main__":
    main()
