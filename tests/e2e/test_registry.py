# SPDX-License-Identifier: Apache-2.0
"""Registries: pushes and pulls with Debian's docker-registry, judged by skopeo, umoci and buildah."""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import tempfile
import unittest
import warnings

from harness import CayTestCase, Daemon, Registry, busybox_archive

DOCKER = shutil.which("docker")
# Clients of several ages, where they are.
DOCKERS = sorted({path for path in (DOCKER, "/usr/bin/docker") if path and os.path.exists(path)})


def run(*command, **options):
    """An outside tool that must succeed; its standard output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def skopeo(*arguments):
    return run("skopeo", "--insecure-policy", *arguments)


def tree_of(rootfs):
    """What an unpacked tree consists of: kind, mode, owner, size or target of every path."""
    found = {}
    for folder, folders, files in os.walk(rootfs):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            found[os.path.relpath(path, rootfs)] = (
                info.st_mode, info.st_uid, info.st_gid, int(info.st_mtime) if not os.path.isdir(path) else None,
                os.readlink(path) if os.path.islink(path) else info.st_size if os.path.isfile(path) else None)
    return found


def layered_image(directory, layers=3, platforms=("amd64",), large=0):
    """An OCI layout with an index of images for each platform, of several layers with all sorts of files;
    with `large`, each has a file of so many bytes, and the layers are not compressed."""
    layout = pathlib.Path(directory)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def store(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def layer(number):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            def add(name, kind, **fields):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mtime, entry.mode = kind, 1700000000 + number, 0o755
                content = fields.pop("content", b"")
                entry.size = len(content)
                for key, value in fields.items():
                    setattr(entry, key, value)
                tar.addfile(entry, io.BytesIO(content))
            add(f"d{number}", tarfile.DIRTYPE, uid=number, gid=70000)
            add(f"d{number}/file", tarfile.REGTYPE, content=os.urandom(70000), mode=0o4750, uid=1000 * number)
            add(f"d{number}/link", tarfile.SYMTYPE, linkname="../no/where")
            # With the mode and owner of the file: what else it would mean, tools disagree about.
            add(f"d{number}/hard", tarfile.LNKTYPE, linkname=f"d{number}/file", mode=0o4750, uid=1000 * number)
            add(f"d{number}/fifo", tarfile.FIFOTYPE)
            if number:
                add("d0/.wh.link", tarfile.REGTYPE)
            if large:
                add(f"d{number}/large", tarfile.REGTYPE, content=os.urandom(4096) * (large // 4096))
        return out.getvalue()

    manifests = []
    for platform in platforms:
        tars = [layer(number) for number in range(layers)]
        descriptors = [{"mediaType": "application/vnd.oci.image.layer.v1.tar" + ("" if large else "+gzip"),
                        **store(tar if large else gzip.compress(tar, 1))} for tar in tars]
        config = {"os": "linux", "architecture": platform, "config": {"Cmd": ["/bin/true"]},
                  "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                               **store(json.dumps(config).encode())},
                    "layers": descriptors}
        manifests.append({"mediaType": manifest["mediaType"], **store(json.dumps(manifest).encode()),
                          "platform": {"os": "linux", "architecture": platform}})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
    if len(platforms) > 1:
        manifests = [{"mediaType": index["mediaType"], **store(json.dumps(index).encode())}]
    for manifest in manifests:
        manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


class RegistryTestCase(CayTestCase):
    """A daemon, a registry, and calls of the API that speak of it."""

    registry_options: dict = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-registry-test-")))
        cls.registry = Registry(**cls.registry_options)
        cls.addClassCleanup(cls.registry.close)

    def auth(self, username=None, password=None):
        """The header that carries credentials."""
        document = {"username": username, "password": password} if username else {}
        return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(document).encode()).decode()}

    def messages(self, method, path, code=200, **options):
        """The JSON lines of a pull or a push."""
        status, content = self.api(method, path, **options)
        self.assertEqual(status, code, content)
        if not isinstance(content, bytes):
            return [content]
        return [json.loads(line) for line in content.split(b"\r\n") if line.strip()]

    def pull(self, name, **options):
        base, _, tag = name.rpartition(":")
        return self.messages("POST", f"/images/create?fromImage={base}&tag={tag}",
                             headers=options.pop("headers", self.auth()), **options)

    def push(self, name, **options):
        base, _, tag = name.rpartition(":")
        return self.messages("POST", f"/images/{base}/push?tag={tag}", headers=options.pop("headers", self.auth()),
                             **options)

    def tag(self, source, name):
        base, _, tag = name.rpartition(":")
        self.assertEqual(self.api("POST", f"/images/{source}/tag?repo={base}&tag={tag}")[0], 201)

    def assert_done(self, messages):
        self.assertFalse([message for message in messages if "error" in message], messages)

    def statuses(self, messages):
        return [message.get("status", "") for message in messages]


class Plain(RegistryTestCase):
    def test_push_is_the_same_image(self):
        """What was pushed is byte for byte what was loaded, and others unpack it to the same tree."""
        layout = layered_image(self.directory / "same")
        source = self.registry.push(f"oci:{layout}:latest", "source/same:1")
        self.assert_done(self.pull(source))
        name = f"{self.registry.address}/pushed/same:1"
        self.tag(source, name)
        messages = self.push(name)
        self.assert_done(messages)
        digest = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{source}"))["Digest"]
        self.assertEqual(json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))["Digest"], digest)
        size = len(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
        self.assertIn(f"1: digest: {digest} size: {size}", self.statuses(messages))
        self.assertEqual(messages[-1]["aux"], {"Tag": "1", "Digest": digest, "Size": size})
        self.assertEqual(messages[0]["status"], f"The push refers to repository [{self.registry.address}/pushed/same]")
        copy = self.directory / "same-copy"
        skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{copy}:latest")
        run("umoci", "unpack", "--image", f"{layout}:latest", self.directory / "same-a")
        run("umoci", "unpack", "--image", f"{copy}:latest", self.directory / "same-b")
        wanted = tree_of(self.directory / "same-a" / "rootfs")
        self.assertEqual(len(wanted), 3 * 5 - 1)
        self.assertEqual(tree_of(self.directory / "same-b" / "rootfs"), wanted)
        # An image that was pushed can be named by its digest there.
        details = self.api("GET", f"/images/{name}/json")[1]
        self.assertIn(f"{self.registry.address}/pushed/same@{digest}", details["RepoDigests"])

    def test_buildah_pulls_it(self):
        layout = layered_image(self.directory / "for-buildah")
        layered = self.registry.push(f"oci:{layout}:latest", "source/layered:1")
        self.assert_done(self.pull(layered))
        self.tag(layered, f"{self.registry.address}/pushed/layered:1")
        self.assert_done(self.push(f"{self.registry.address}/pushed/layered:1"))
        run("umoci", "unpack", "--image", f"{layout}:latest", self.directory / "for-umoci")
        name = f"{self.registry.address}/pushed/busybox:buildah"
        self.tag("busybox", name)
        self.assert_done(self.push(name))
        store = self.directory / "buildah"
        command = ["buildah", "--root", store, "--runroot", self.directory / "buildah-run", "--storage-driver", "vfs"]
        try:
            container = run(*command, "from", "--tls-verify=false", f"docker://{name}").strip()
            mounted = run(*command, "mount", container).strip()
            self.assertEqual(tree_of(mounted)["bin/busybox"][4], os.path.getsize("/bin/busybox"))
            run(*command, "umount", container)
            other = run(*command, "from", "--tls-verify=false",
                        f"docker://{self.registry.address}/pushed/layered:1").strip()
            self.assertEqual(tree_of(run(*command, "mount", other).strip()),
                             tree_of(self.directory / "for-umoci" / "rootfs"))
            run(*command, "umount", other)
            # And what it pushes, cay runs.
            run(*command, "config", "--cmd", "echo by-buildah", container)
            other = f"{self.registry.address}/pushed/by-buildah:1"
            run(*command, "commit", "--tls-verify=false", container, f"docker://{other}")
            self.assert_done(self.pull(other))
            self.assertEqual(self.cay("run", "--rm", other), "by-buildah")
        finally:
            run(*command, "rm", "--all")
            run(*command, "rmi", "--all", "--force")

    def test_formats(self):
        """What skopeo writes in each format and compression is pulled, and pushed on as it is."""
        for kind, words in (("gzip", ["--format=v2s2"]), ("zstd", ["--format=oci", "--dest-compress-format=zstd"]),
                            ("tar", ["--format=oci", "--preserve-digests"])):
            # skopeo changes the compression of layers that have none, and knows those that it sent before.
            layout = layered_image(self.directory / f"formats-{kind}")
            plain = f"dir:{self.directory}/formats-plain-{kind}"
            skopeo("copy", "--dest-decompress", f"oci:{layout}:latest", plain)
            source = f"{self.registry.address}/formats/{kind}:1"
            skopeo("copy", "--dest-tls-verify=false", *words, plain, f"docker://{source}")
            raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{source}")
            types = {layer["mediaType"].rpartition(".")[2].rpartition("+")[2] for layer in json.loads(raw)["layers"]}
            self.assertEqual(types, {kind})
            self.assert_done(self.pull(source))
            name = f"{self.registry.address}/formats-pushed/{kind}:1"
            self.tag(source, name)
            self.assert_done(self.push(name))
            self.assertEqual(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"), raw, kind)
            config = json.loads(skopeo("inspect", "--config", "--tls-verify=false", f"docker://{name}"))
            self.assertEqual(self.api("GET", f"/images/{name}/json")[1]["RootFS"]["Layers"],
                             config["rootfs"]["diff_ids"])

    def test_a_large_layer(self):
        """One that goes in chunks."""
        layout = layered_image(self.directory / "large", layers=1, large=140 << 20)
        archive = self.directory / "large.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(layout, ".")
        loaded = self.cay("load", "-i", archive).rpartition(": ")[2]
        name = f"{self.registry.address}/pushed/large:1"
        self.tag(loaded, name)
        messages = self.push(name)
        self.assert_done(messages)
        self.assertEqual(self.registry.requests(["http.request.method=PATCH", "pushed/large"]), 2)
        skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{self.directory}/large-copy:latest")
        totals = [message["progressDetail"] for message in messages if message.get("status") == "Pushing"]
        self.assertTrue(totals and all(detail["current"] <= detail["total"] for detail in totals), totals)
        sent = [detail["current"] for detail in totals]
        self.assertEqual(sent, sorted(sent))

    def test_nothing_is_sent_twice(self):
        """What another repository of the registry has is mounted; what is there is left alone."""
        name = f"{self.registry.address}/pushed/twice:1"
        layout = layered_image(self.directory / "twice")
        source = self.registry.push(f"oci:{layout}:latest", "source/twice:1")
        self.assert_done(self.pull(source))
        self.tag(source, name)
        messages = self.push(name)
        self.assert_done(messages)
        self.assertEqual(self.statuses(messages).count("Mounted from source/twice"), 3)
        sent = ["http.request.method=PUT", "pushed/twice/blobs/uploads/"]
        # The configuration alone.
        self.assertEqual(self.registry.requests(sent), 1)
        messages = self.push(name)
        self.assert_done(messages)
        self.assertEqual(self.registry.requests(sent), 1)
        self.assertEqual(self.statuses(messages).count("Layer already exists"), 3)

    def test_index(self):
        """A multi-platform image: all of it goes out when all of it is here, else the one that is."""
        layout = layered_image(self.directory / "index", platforms=("amd64", "arm64"))
        source = f"{self.registry.address}/source/index:1"
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:latest", f"docker://{source}")
        before = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{source}")
        base = source.rpartition(":")[0]
        for platform in ("linux/amd64", "linux/arm64"):
            self.assert_done(self.messages("POST", f"/images/create?fromImage={base}&tag=1&platform={platform}",
                                           headers=self.auth()))
            name = f"{self.registry.address}/{platform}/index:1"
            self.tag(source, name)
            self.assert_done(self.push(name))
            raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
            if platform == "linux/amd64":
                self.assertEqual(json.loads(raw)["mediaType"], "application/vnd.oci.image.manifest.v1+json")
        self.assertEqual(raw, before)
        skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{self.directory}/index-copy:latest")

    def test_all_tags(self):
        """Neither tag nor digest: all of them, as `docker pull -a` and `docker push -a` say it."""
        for tag in ("one", "two"):
            self.registry.push(f"docker-archive:{busybox_archive()}", f"all/tags:{tag}")
        base = f"{self.registry.address}/all/tags"
        self.assert_done(self.messages("POST", f"/images/create?fromImage={base}", headers=self.auth()))
        for tag in ("one", "two"):
            self.assertEqual(self.api("GET", f"/images/{base}:{tag}/json")[0], 200)
            self.tag(f"{base}:{tag}", f"{self.registry.address}/all/pushed:{tag}")
        self.assert_done(self.messages("POST", f"/images/{self.registry.address}/all/pushed/push", headers=self.auth()))
        listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{self.registry.address}/all/pushed"))
        self.assertEqual(sorted(listed["Tags"]), ["one", "two"])

    def test_distribution(self):
        name = self.registry.push(f"docker-archive:{busybox_archive()}", "asked/busybox:1")
        status, answer = self.api("GET", f"/distribution/{name}/json", headers=self.auth())
        self.assertEqual(status, 200)
        raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
        self.assertEqual(answer["Descriptor"]["size"], len(raw))
        self.assertEqual(answer["Descriptor"]["mediaType"], json.loads(raw)["mediaType"])
        self.assertEqual(answer["Platforms"], [{"architecture": "amd64", "os": "linux"}])
        self.assertEqual(self.api("GET", f"/distribution/{self.registry.address}/no/such:1/json")[0], 404)

    def test_what_is_not_there(self):
        status, answer = self.api("POST", f"/images/{self.registry.address}/no/such/push?tag=1", headers=self.auth())
        self.assertEqual(status, 404)
        self.assertIn("does not exist locally", answer["message"])
        self.tag("busybox", "127.0.0.1:1/x:1")
        messages = self.push("127.0.0.1:1/x:1")
        self.assertIn("127.0.0.1:1/x:1", messages[-1]["error"])

    def test_a_client_that_leaves(self):
        """Its push or pull ends at once, whatever the registry does."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(30)
            name = f"127.0.0.1:{silent.getsockname()[1]}/silent"
            self.tag("busybox", f"{name}:1")
            for path in (f"/images/{name}/push?tag=1", f"/images/create?fromImage={name}&tag=2"):
                client = self.daemon.connect()
                client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
                connection, _ = silent.accept()
                with connection:
                    self.assertTrue(connection.recv(65536))
                    client.close()
                    connection.settimeout(10)  # a silent registry is given up after 30
                    self.assertEqual(connection.recv(65536), b"")

    @unittest.skipUnless(DOCKER, "no docker client is installed")
    def test_docker_client(self):
        for number, docker in enumerate(DOCKERS):
            name = f"{self.registry.address}/by/docker{number}:1"
            for words in (["tag", "busybox", name], ["push", name], ["rmi", name], ["pull", name],
                          ["pull", "-a", name.rpartition(":")[0]]):
                done = self.run_program(docker, *words)
                self.assertEqual(done.returncode, 0, f"{docker} {words}: {done.stdout}{done.stderr}")
                if words[0] == "push":
                    self.assertIn("1: digest: sha256:", done.stdout)
            self.assertEqual(self.cay("run", "--rm", name, "echo", "back"), "back")


def make_authority(directory):
    """A private authority, and how it signs: sign(name, subject alternative name) → (certificate, key)."""
    directory.mkdir()
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests",
        "-keyout", directory / "ca.key", "-out", directory / "ca.crt")

    def sign(name, alternative, usage="serverAuth"):
        extensions = directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nextendedKeyUsage={usage}\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr")
        run("openssl", "x509", "-req", "-days", "2", "-in", directory / f"{name}.csr", "-CA", directory / "ca.crt",
            "-CAkey", directory / "ca.key", "-CAcreateserial", "-extfile", extensions,
            "-out", directory / f"{name}.crt")
        return directory / f"{name}.crt", directory / f"{name}.key"

    return directory / "ca.crt", sign


def outer_address():
    """An address of this host by which it is not seen to be itself; None where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.254", 9))  # sends nothing
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith(("127.", "169.254.")) else address


class Tls(CayTestCase):
    """TLS by a private authority, with and without a certificate of the client's."""

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-tls-")))
        cls.certs = cls.directory / "certs.d"
        cls.daemon_options = ("--registry-certs", str(cls.certs))
        cls.authority, sign = make_authority(cls.directory / "ca")
        cls.other, _ = make_authority(cls.directory / "other")
        cls.client = sign("client", "DNS:client", "clientAuth")
        cls.registry = Registry(tls=sign("server", "IP:127.0.0.1"), client_ca=cls.authority)
        cls.addClassCleanup(cls.registry.close)
        super().setUpClass()

    def setUp(self):
        self.folder = self.certs / self.registry.address
        shutil.rmtree(self.certs, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.name = f"{self.registry.address}/tls/busybox"
        self.cay("tag", "busybox", f"{self.name}:1")

    def configure(self, authority=None, client=True):
        if authority:
            shutil.copy(authority, self.folder / "ca.crt")
        if client:
            shutil.copy(self.client[0], self.folder / "client.cert")
            shutil.copy(self.client[1], self.folder / "client.key")

    def push(self):
        status, content = self.api("POST", f"/images/{self.name}/push?tag=1",
                                   headers={"X-Registry-Auth": base64.b64encode(b"{}").decode()})
        if status != 200:
            return content["message"]
        return json.loads(content.split(b"\r\n")[-2]).get("error")

    def test_push_and_pull(self):
        self.configure(self.authority)
        self.assertIsNone(self.push())
        self.cay("rmi", f"{self.name}:1")
        self.cay("pull", f"{self.name}:1")
        # By HTTP/2, the libcurl of Debian 12 takes a minute for 100 MB.
        log = self.registry.log_path.read_text()
        self.assertIn("HTTP/1.1", log)
        self.assertNotIn("HTTP/2", log)

    def test_another_authority(self):
        self.configure(self.other)
        self.assertIn("certificate", self.push())

    def test_no_certificate_of_the_client(self):
        self.configure(self.authority, client=False)
        self.assertIsNotNone(self.push())

    def test_a_key_that_is_missing(self):
        self.configure(self.authority)
        (self.folder / "client.key").unlink()
        self.assertIn("client.key", self.push())


class Insecure(CayTestCase):
    """Registries whose TLS nobody vouches for."""

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-insecure-")))
        cls.registries = []
        cls.address = outer_address()
        cls.daemon_options = ("--registry-certs", str(cls.directory / "none"),
                              "--insecure-registry", f"{cls.address}/32") if cls.address else ()
        _, sign = make_authority(cls.directory / "ca")
        pair = sign("server", "DNS:somebody.else")
        for host in filter(None, ("127.0.0.1", cls.address)):
            cls.registries.append(Registry(host=host, tls=pair))
            cls.addClassCleanup(cls.registries[-1].close)
        super().setUpClass()

    def push_and_pull(self, address):
        name = f"{address}/insecure/busybox:1"
        self.cay("tag", "busybox", name)
        status, content = self.api("POST", f"/images/{address}/insecure/busybox/push?tag=1")
        self.assertEqual(status, 200, content)
        self.assertNotIn(b"errorDetail", content)
        self.cay("rmi", name)
        self.cay("pull", name)

    def test_loopback(self):
        self.push_and_pull(self.registries[0].address)

    def test_network(self):
        if not self.address:
            self.skipTest("this host has no address but loopback")
        self.push_and_pull(self.registries[1].address)

    def test_elsewhere_it_is_refused(self):
        """Another daemon, which was not told that it is insecure."""
        if not self.address:
            self.skipTest("this host has no address but loopback")
        other = Daemon("--registry-certs", str(self.directory / "none")).start()
        try:
            status, answer = other.request("POST", f"/images/create?fromImage={self.registries[1].address}/x&tag=1")
            self.assertNotEqual(status, 200)
            self.assertIn("certificate", answer["message"])
        finally:
            self.assertEqual(other.stop(), [])


class Login(RegistryTestCase):
    """A registry that wants a name and a password."""

    @classmethod
    def setUpClass(cls):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import crypt
        directory = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cay-users-"))
        users = pathlib.Path(directory) / "htpasswd"
        users.write_text(f"someone:{crypt.crypt('s3cret-word', crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        cls.registry_options = {"users": users}
        super().setUpClass()

    def tearDown(self):
        super().tearDown()
        self.assertNotIn("s3cret", self.daemon.log.read_text(errors="replace"))

    def login(self, password, address=None):
        return self.api("POST", "/auth", {"username": "someone", "password": password,
                                          "serveraddress": address or self.registry.address})

    def test_login(self):
        status, answer = self.login("s3cret-word")
        self.assertEqual((status, answer["Status"]), (200, "Login Succeeded"))
        self.assertEqual(self.login("s3cret-word", f"http://{self.registry.address}/")[0], 200)
        status, answer = self.login("wrong")
        self.assertEqual(status, 401)
        self.assertIn(self.registry.address, answer["message"])
        self.assertEqual(self.login("s3cret-word", "../../x")[0], 400)

    def test_push_and_pull(self):
        name = f"{self.registry.address}/private/busybox:1"
        self.tag("busybox", name)
        self.assertIn("authentication is required", self.push(name)[-1]["error"])
        self.assert_done(self.push(name, headers=self.auth("someone", "s3cret-word")))
        messages = self.push(name, headers=self.auth("someone", "not-s3cret"))
        self.assertIn("credentials are wrong", messages[-1]["error"])
        self.api("DELETE", f"/images/{name}")
        self.assertNotEqual(self.api("POST", f"/images/create?fromImage={name}", headers=self.auth())[0], 200)
        self.assert_done(self.pull(name, headers=self.auth("someone", "s3cret-word")))

    @unittest.skipUnless(DOCKER, "no docker client is installed")
    def test_docker_client(self):
        name = f"{self.registry.address}/private/docker:1"
        self.tag("busybox", name)
        self.assertNotEqual(self.run_program(DOCKER, "push", name).returncode, 0)
        done = self.run_program(DOCKER, "login", "-u", "someone", "--password-stdin", self.registry.address,
                                input="s3cret-word")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Login Succeeded", done.stdout)
        done = self.run_program(DOCKER, "push", name)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = self.run_program(DOCKER, "login", "-u", "someone", "--password-stdin", self.registry.address,
                                input="wrong")
        self.assertNotEqual(done.returncode, 0)


