# SPDX-License-Identifier: Apache-2.0
"""Boots VMs one after the other and counts those that hang, fail or are unusually slow."""

import statistics
import subprocess
import time

from common import BUILD, Cay, alone, number, title


def main(arguments):
    count = arguments.count
    title(f"{count} boots in a row")
    cay, failed, times = Cay(), 0, []
    try:
        for _ in range(count):
            began = time.perf_counter()
            done = subprocess.run([BUILD / "cay", "run", "--rm", "busybox", "sh", "-c", "sleep 0.01; echo up"],
                                  env=cay.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=120, check=False)
            times.append(time.perf_counter() - began)
            if done.returncode != 0 or done.stdout != "up\n":
                failed += 1
                print(f"exit {done.returncode}: {done.stdout!r} {done.stderr!r}")
        times.sort()
        print(f"{count - failed} of {count} good; median {statistics.median(times) * 1000:.0f} ms, "
              f"slowest {times[-1] * 1000:.0f} ms")
    finally:
        cay.close()
    return 1 if failed else 0


if __name__ == "__main__":
    alone(main, lambda parser: parser.add_argument(
        "count", metavar="COUNT", nargs="?", type=number, default=300, help="how many (default: %(default)s)"))
