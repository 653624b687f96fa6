# SPDX-License-Identifier: Apache-2.0
"""What is done with stored images: the same requests to cay and to docker's own engine, the same answers."""

import contextlib
import difflib
import http.client
import json
import re
import shutil
import socket
import sys
import unittest
import urllib.parse

from harness import ROOT, CayTestCase, busybox_archive
from test_archives import Layout, layer_of

sys.path.append(str(ROOT / "bench"))

from common import Docker  # noqa: E402


def ask(path, method, target, body=None):
    """One request on a unix socket; (status, JSON, or None)."""
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    with contextlib.closing(connection):
        connection.sock.connect(str(path))
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        connection.request(method, "/v1.41" + target, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        content = answer.read()
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(content)
        return answer.status, None


def filters(**values):
    return "filters=" + urllib.parse.quote(json.dumps({key.replace("_NOT", "!"): [value] for key, value in values.items()}))


@unittest.skipUnless(shutil.which("dockerd"), "no dockerd is installed")
class Rules(CayTestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.docker = Docker.try_start()
        if cls.docker:
            cls.addClassCleanup(cls.docker.close)

    def both(self, scenario):
        """Runs it on both engines, and compares what it returns, without the ids of containers."""
        if not self.docker:
            self.skipTest("dockerd does not work here")
        answers = []
        for path in (self.docker.socket, self.daemon.socket):
            self.assertEqual(ask(path, "POST", "/images/load?quiet=1", busybox_archive().read_bytes())[0], 200)
            image = ask(path, "GET", "/images/busybox/json")[1]["Id"][len("sha256:"):]
            # Ids in 64 digits are images and layers; docker names layers by chain ids, cay by diff ids.
            text = json.dumps(scenario(lambda *request, path=path: ask(path, *request)), indent=1, sort_keys=True)
            text = re.sub(r"container [0-9a-f]{12}", "container ID", text.replace(image, "IMAGE").replace(image[:12], "IMAGE"))
            text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", text)
            # Docker 20.10 completes the name of what it does not find; later versions say "invalid" in small.
            text = re.sub(r"(no such image: nosuch: )?(No such image: nosuch):latest", r"\2", text)
            answers.append(text.replace("Invalid filter", "invalid filter"))
        difference = "\n".join(difflib.unified_diff(*(text.split("\n") for text in answers), "docker", "cay", n=12, lineterm=""))
        self.assertEqual(difference, "")
        return json.loads(answers[0])

    @staticmethod
    def names(answer):
        status, images = answer
        return status, sorted(str(sorted(image["RepoTags"])) for image in images) if status == 200 else images

    def test_names(self):
        def scenario(engine):
            yield engine("POST", "/images/busybox/tag?repo=rule&tag=1")
            yield engine("POST", "/images/busybox/tag?repo=rule&tag=2")
            yield engine("POST", "/images/busybox/tag?repo=other/rule")
            yield engine("POST", "/images/rule:9/tag?repo=x")
            yield engine("POST", "/images/busybox/tag?repo=x&tag=b/ad")[0] >= 400
            identity = engine("GET", "/images/busybox/json")[1]["Id"]
            yield engine("DELETE", f"/images/{identity}")
            yield engine("DELETE", f"/images/{identity[7:19]}")
            yield engine("DELETE", "/images/rule:1")
            yield engine("DELETE", "/images/rule:1")
            yield engine("DELETE", "/images/rule:2?force=1&noprune=1")
            yield engine("DELETE", "/images/other/rule:latest")
            yield engine("DELETE", "/images/nosuch")
            yield engine("GET", "/images/nosuch/json")
            yield engine("GET", "/images/nosuch/history")

        told = self.both(lambda engine: list(scenario(engine)))
        self.assertIn("must be forced", json.dumps(told))

    def test_images_in_use(self):
        def scenario(engine):
            engine("POST", "/images/busybox/tag?repo=used&tag=1")
            identity = engine("GET", "/images/busybox/json")[1]["Id"]
            for running in (False, True):
                status, created = engine("POST", "/containers/create", {
                    "Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}})
                assert status == 201, created
                if running:
                    assert engine("POST", f"/containers/{created['Id']}/start")[0] == 204
                yield engine("DELETE", "/images/used:1")
                yield engine("DELETE", "/images/busybox")
                yield engine("DELETE", f"/images/{identity}")
                if running:  # docker deletes what a stopped container needs, cay does not
                    yield engine("DELETE", f"/images/{identity}?force=1")
                    yield engine("DELETE", "/images/busybox?force=1")
                yield engine("POST", "/images/prune?" + filters(dangling="false"))[1].get("SpaceReclaimed")
                yield engine("GET", f"/images/{identity}/json")[1].get("RepoTags")
                engine("POST", f"/images/{identity}/tag?repo=busybox&tag=latest")
                engine("POST", f"/images/{identity}/tag?repo=used&tag=1")
                engine("DELETE", f"/containers/{created['Id']}?force=1")
            yield engine("DELETE", "/images/used:1")

        self.both(lambda engine: list(scenario(engine)))

    def load_some(self, engine):
        """Images with labels and times, one without a name, and two that share a layer."""
        directory = self.daemon.directory / f"layout-{id(engine)}"
        layout = Layout(directory)
        shared = layer_of(shared="the same in both")
        for name, when, labels, layer in (("first:1", "2001", {"kind": "old"}, "1"), ("second:1", "2010", {"kind": "new"}, "2"),
                                          ("lost:1", "2015", {}, "3"), ("lost:1", "2020", {"kind": "new", "more": ""}, "4")):
            config = layout.image(shared, layer_of(own=layer))
            manifest = json.loads((layout.blobs / config["digest"][7:]).read_text())
            document = json.loads((layout.blobs / manifest["config"]["digest"][7:]).read_text())
            document.update(created=f"{when}-01-01T00:00:00Z", config={"Labels": labels})
            blob = layout.blob(document, "")
            documents = [{"Config": f"blobs/sha256/{blob['digest'][7:]}", "RepoTags": [name],
                          "Layers": [f"blobs/sha256/{item['digest'][7:]}" for item in manifest["layers"]]}]
            (directory / "manifest.json").write_text(json.dumps(documents))
            (directory / "oci-layout").unlink(missing_ok=True)
            archive = layout.archive(self.daemon.directory / "some.tar")
            assert engine("POST", "/images/load?quiet=1", archive.read_bytes())[0] == 200
        shutil.rmtree(directory)

    def test_filters_and_prune(self):
        def scenario(engine):
            self.load_some(engine)
            engine("POST", "/images/first:1/tag?repo=example.org/a/b&tag=x")
            for wanted in ({}, {"dangling": "true"}, {"dangling": "false"}, {"label": "kind"}, {"label": "kind=new"},
                           {"label": "none"}, {"reference": "first"}, {"reference": "*:1"}, {"reference": "example.org/*/*"},
                           {"reference": "example.org/*"}, {"before": "second:1"}, {"since": "first:1"},
                           {"since": "nosuch"}, {"dangling": "maybe"}, {"nosuch": "x"}):
                yield wanted, self.names(engine("GET", "/images/json?" + filters(**wanted)))
            usage = engine("GET", "/system/df")[1]
            busybox = engine("GET", "/images/busybox/json")[1]["Size"]
            yield usage["LayersSize"] - busybox, sorted((image["Size"], image["SharedSize"], image["Containers"])
                                                        for image in usage["Images"] if image["Size"] != busybox)
            engine("DELETE", "/images/busybox")
            for wanted in ({"label": "kind=none"}, {"label_NOT": "kind"}, {"until": "2012-01-01T00:00:00Z"},
                           {"dangling": "true"}, {"dangling": "false", "label": "kind=old"},
                           {"dangling": "false", "until": "2012-01-01T00:00:00Z"}, {"dangling": "false", "label_NOT": "nosuch"}):
                status, answer = engine("POST", "/images/prune?" + filters(**wanted))
                untagged = sorted(row["Untagged"] for row in answer["ImagesDeleted"] or [] if "Untagged" in row)
                deleted = sum("Deleted" in row for row in answer["ImagesDeleted"] or [])
                yield wanted, status, untagged, deleted, answer["SpaceReclaimed"]

        self.both(lambda engine: list(scenario(engine)))

    def docker_size(self):
        return ask(self.docker.socket, "GET", "/images/busybox/json")[1]["Size"]

    def test_inspect_and_history(self):
        def scenario(engine):
            details = engine("GET", "/images/busybox/json")[1]
            yield details["RootFS"], details["RepoTags"], details["RepoDigests"], sorted(details["GraphDriver"])
            # Docker counts the lengths of symbolic links' targets.
            yield 0 <= self.docker_size() - details["Size"] < 2000 or details["Size"]
            yield details["Config"]["Cmd"], details["Config"]["Env"], details["Created"], details["Architecture"], details["Os"]
            yield [{key: row[key] for key in ("Created", "CreatedBy", "Tags", "Comment")}
                   for row in engine("GET", "/images/busybox/history")[1]]

        self.both(lambda engine: list(scenario(engine)))


class Absent(CayTestCase):
    def test_search(self):
        status, answer = self.api("GET", "/images/search?term=busybox")
        self.assertEqual(status, 501)
        self.assertIn("pull by name", answer["message"])

    def test_usage_by_type(self):
        status, answer = self.api("GET", "/system/df?type=image")
        self.assertEqual((status, sorted(answer)), (200, ["Images", "LayersSize"]))
        self.assertEqual(sorted(self.api("GET", "/system/df?type=container&type=volume")[1]), ["Containers", "Volumes"])
        self.assertEqual(self.api("GET", "/system/df?type=nonsense")[0], 400)
