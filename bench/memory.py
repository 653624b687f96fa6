# SPDX-License-Identifier: Apache-2.0
"""What 1, 5 and 20 idle containers cost in memory: each program's part, beside Docker's engine."""

from common import Cay, Docker, alone, children, processes, pss_kib, rss_kib, title


def average(values):
    return sum(values) / max(len(values), 1)


def measure_cay(cay, count):
    ids = [cay("run", "-d", "busybox", "sleep", "100000") for _ in range(count)]
    shims = [processes("cay-shim", identity)[0] for identity in ids]
    vms = [child for shim in shims for child in children(shim)]
    guest = [int(cay("exec", identity, "awk", "/MemTotal/ {t = $2} /MemAvailable/ {print t - $2}", "/proc/meminfo"))
             for identity in ids[:3]]
    daemon = cay.daemon.process.pid
    total = pss_kib(daemon) + sum(map(pss_kib, shims)) + sum(map(pss_kib, vms))
    print(f"cay, {count:2} containers: {total / 1024:6.0f} MiB PSS in all;"
          f" cayd {rss_kib(daemon) / 1024:.1f} MiB resident,"
          f" a shim {average([rss_kib(pid) for pid in shims]) / 1024:.1f} resident ({average([pss_kib(pid) for pid in shims]) / 1024:.1f} PSS),"
          f" a QEMU {average([pss_kib(pid) for pid in vms]) / 1024:.0f} PSS,"
          f" a guest uses {average(guest) / 1024:.0f}")
    cay("rm", "-f", *ids)
    return total


def measure_docker(docker, count):
    ids = [docker("run", "-d", "busybox", "sleep", "100000") for _ in range(count)]
    pids = set(processes(str(docker.directory)))
    for identity in ids:
        pids |= set(processes("containerd-shim", identity))
        pids.add(int(docker("inspect", "-f", "{{.State.Pid}}", identity)))
    total = sum(map(pss_kib, pids))
    print(f"docker, {count:2} containers: {total / 1024:6.0f} MiB PSS in all")
    docker("rm", "-f", *ids)
    return total


def main():
    title("memory of idle containers")
    cay, docker = Cay(), Docker.try_start()
    try:
        for count in (1, 5, 20):
            ours = measure_cay(cay, count)
            if docker:
                print(f"ratio: {ours / measure_docker(docker, count):.2f} of docker's")
    finally:
        cay.close()
        if docker:
            docker.close()


if __name__ == "__main__":
    alone(main)
