# SPDX-License-Identifier: Apache-2.0
"""Starts, removals, copies, prunes and volumes at once: nothing locks up, fails inwardly or stays behind."""

import random
import threading
import time

from harness import CayTestCase, processes, wait_until

SECONDS = 20
LONG = 60  # a request that takes longer than that is stuck
NAMES = [f"c{number}" for number in range(4)]
VOLUMES = ["shared", "memory", "disk"]


class AllAtOnce(CayTestCase):
    def setUp(self):
        self.failures = []
        self.counts = {}

    def ask(self, method, path, body=None, allowed=()):
        began = time.monotonic()
        try:
            status, answer = self.api(method, path, body, timeout=LONG)
        except OSError as error:
            status, answer = 0, repr(error)
        key = (method, path.partition("?")[0].replace("/json", ""), status)
        self.counts[key] = self.counts.get(key, 0) + 1
        if status not in (200, 201, 204, 304, 404, 409, *allowed):
            self.failures.append((round(time.monotonic() - began, 1), method, path, status, answer))
        return status

    def make_volume(self, name):
        options = {"memory": {"type": "tmpfs", "device": "tmpfs"}, "disk": {"type": "block", "size": "16m"}}
        self.ask("POST", "/volumes/create", {"Name": name, "DriverOpts": options.get(name, {})})

    def make(self, name):
        binds = [f"{volume}:/{volume}" for volume in VOLUMES if volume != "disk" or name in NAMES[:2]]
        lender = random.choice(NAMES)
        self.ask("POST", f"/containers/create?name={name}", {
            "Image": "busybox", "Cmd": ["sleep", "1"], "Volumes": {"/own": {}},
            "HostConfig": {"Binds": binds, "AutoRemove": random.random() < 0.3, "NetworkMode": "none",
                           "VolumesFrom": [lender] if lender != name and random.random() < 0.5 else None}})

    def one_step(self, step):
        name, volume = random.choice(NAMES), random.choice(VOLUMES)
        if step == "make":
            self.make_volume(volume)
            self.make(name)
            time.sleep(0.05)
        elif step == "start":
            self.ask("POST", f"/containers/{name}/start")
        elif step == "remove":
            self.ask("DELETE", f"/containers/{name}?force={random.choice('01')}&v={random.choice('01')}")
            time.sleep(0.3)
        elif step == "copy":
            # 503: it ended while it was copied from.
            self.ask("GET", f"/containers/{name}/archive?path=/etc/passwd", allowed=(503,))
        elif step == "prune":
            self.ask("POST", random.choice(("/containers/prune", "/volumes/prune", '/volumes/prune?filters={"all":["1"]}')))
            time.sleep(0.5)
        elif step == "remove volume":
            self.ask("DELETE", f"/volumes/{volume}")
            self.ask("GET", "/system/df")
            time.sleep(0.1)

    def repeat(self, step, deadline):
        while time.monotonic() < deadline:
            self.one_step(step)

    def test_all_at_once(self):
        deadline = time.monotonic() + SECONDS
        steps = ["make", "make", "start", "start", "remove", "copy", "prune", "remove volume"]
        threads = [threading.Thread(target=self.repeat, args=(step, deadline)) for step in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.failures, [], self.counts)
        self.assertNotIn("mounting its disks in a VM", self.daemon.log.read_text())
        for container in self.api("GET", "/containers/json?all=1")[1]:
            status, answer = self.api("DELETE", f"/containers/{container['Id']}?force=1&v=1", timeout=LONG)
            # It may have come to its end, and be gone or about to go by itself.
            self.assertTrue(status in (204, 404) or "is already in progress" in answer["message"], (status, answer))
        wait_until(lambda: not self.api("GET", "/containers/json?all=1")[1], "all containers to be gone")
        wait_until(lambda: not processes(str(self.daemon.root / "containers")), "all VMs to end")
        for volume in self.api("GET", "/volumes")[1]["Volumes"]:
            self.assertEqual(self.ask("DELETE", f"/volumes/{volume['Name']}"), 204)
        wait_until(lambda: not list((self.daemon.root / "containers").iterdir()), "their directories to go")
        self.assertEqual(list((self.daemon.root / "volumes").iterdir()), [])
        self.assertNotIn(str(self.daemon.root), open("/proc/self/mountinfo").read())
