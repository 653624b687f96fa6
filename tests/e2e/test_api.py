# SPDX-License-Identifier: Apache-2.0
"""Bad input at the API: answered with an error, at once, with bounded memory, and the daemon goes on."""

import concurrent.futures
import contextlib
import json
import pathlib
import socket

from harness import CayTestCase, wait_until


def frames(data):
    """The contents of docker's multiplexed stream."""
    while data:
        size = int.from_bytes(data[4:8], "big")
        yield data[8:8 + size]
        data = data[8 + size:]


class BadInput(CayTestCase):
    def status(self, raw):
        """The status of the answer to raw bytes; 0 where the connection was closed without one."""
        with self.daemon.connect(20) as connection:
            try:
                # The daemon may well answer, and close, before it has read all.
                with contextlib.suppress(BrokenPipeError):
                    connection.sendall(raw)
                head = connection.recv(4096)
            except (ConnectionError, TimeoutError):
                return 0
        return int(head.split()[1]) if head.startswith(b"HTTP/1.") else 0

    def post(self, path, body):
        return self.status(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def tearDown(self):
        super().tearDown()
        self.assertEqual(self.api("GET", "/_ping")[0], 200)

    def test_bad_json(self):
        for body in (b"{", b'{"Image":"busybox"} x', b"[]", b'{"Image":5}', b"\xff\xfe", b'{"a":' * 1000 + b"1" + b"}" * 1000):
            with self.subTest(body[:20]):
                status, answer = self.api("POST", "/containers/create", body)
                self.assertEqual(status, 400)
                self.assertTrue(answer["message"])

    def test_huge_body(self):
        status = self.post("/containers/create", b'{"Image":"' + b"x" * (6 << 20) + b'"}')
        self.assertIn(status, (400, 413))
        memory = next(int(line.split()[1]) for line in
                      pathlib.Path(f"/proc/{self.daemon.process.pid}/status").read_text().splitlines()
                      if line.startswith("VmRSS"))
        self.assertLess(memory, 64 << 10)

    def test_traversal(self):
        for path in ("/containers/../../etc/passwd/json", "/containers/%2e%2e%2f%2e%2e/json", "/images/..%2f..%2fx/json",
                     "/containers/a%00b/json", "/v1.41/../containers/json"):
            with self.subTest(path):
                self.assertIn(self.api("GET", path)[0], (400, 404))
        status, _ = self.api("POST", "/containers/create?name=../x", {"Image": "busybox"})
        self.assertEqual(status, 400)

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.api("GET", "/nonesuch")[0], 404)
        self.assertIn(self.api("PUT", "/containers/json")[0], (404, 405))
        self.assertEqual(self.api("GET", "/v1.999/info")[0], 400)

    def test_strange_requests(self):
        head = b"POST /containers/create HTTP/1.1\r\nHost: x\r\n"
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        for raw, expected in (
                (b"GET\r\n\r\n", 400), (b"\0" * 100, 400), (b"GET /_ping HTTP/9.9\r\n\r\n", 400),
                (chunked + b"ffffffffffffffffff\r\n", 400), (chunked + b"2\r\n{}x\r\n", 400),
                (head + b"Content-Length: -5\r\n\r\n", 400), (head + b"Content-Length: 9\r\n\r\n{", 400),
                (head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
                (head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
                (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200000 + b"\r\n\r\n", 431)):
            with self.subTest(raw[:120]):
                status, answer = self.whole_answer(raw)
                self.assertEqual(status, expected)
                self.assertTrue(json.loads(answer)["message"])
        self.assertEqual(self.post("/containers/create", b""), 400)

    def whole_answer(self, raw):
        """Status and body of the answer to raw bytes that end there."""
        with self.daemon.connect(20) as connection:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
            head, _, body = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def test_input_that_comes_with_the_attach_request(self):
        """It reaches the container, whether the client asks for an upgrade or not."""
        for name, upgrade in (("plain", ""), ("upgraded", "Connection: Upgrade\r\nUpgrade: tcp\r\n")):
            with self.subTest(name):
                self.cay("create", "-i", "--name", name, "busybox", "head", "-n", "2")
                with self.daemon.connect() as connection:
                    connection.sendall((f"POST /containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n"
                                        f"Host: x\r\n{upgrade}Content-Length: 0\r\n\r\nwith it\n").encode())
                    head = connection.recv(4096)
                    self.assertIn(b"\r\n\r\n", head)
                    self.cay("start", name)
                    connection.sendall(b"and after\n")
                    output = b"".join(iter(lambda: connection.recv(4096), b""))
                self.assertEqual(b"".join(frames(output)), b"with it\nand after\n")
                self.cay("rm", "-f", name)

    def test_slow_heads_do_not_block_others(self):
        slow = [self.daemon.connect() for _ in range(50)]
        for connection in slow:
            connection.sendall(b"GET /_ping HT")
        self.assertEqual(self.api("GET", "/_ping")[0], 200)
        for connection in slow:
            connection.close()

    def test_a_flood_of_resizes(self):
        self.cay("run", "-dit", "--name", "elastic", "busybox", "sh")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda n: self.api("POST", f"/containers/elastic/resize?w={n % 300}&h={n % 100}")[0],
                                    range(400)))
        self.assertLessEqual(set(results), {200, 400, 409, 429})
        self.assertEqual(self.cay("exec", "elastic", "echo", "alive"), "alive")
        self.assertEqual(self.api("POST", "/containers/elastic/resize?w=99999999&h=-1")[0], 400)
        self.cay("rm", "-f", "elastic")

    def test_readers_that_never_read(self):
        self.cay("run", "-d", "--name", "noisy", "busybox", "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' '\\n'; sleep 10000")
        readers = []
        for path in ("/containers/noisy/logs?follow=1&stdout=1", "/events"):
            connection = self.daemon.connect()
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            readers.append(connection)
        wait_until(lambda: self.cay("exec", "noisy", "echo", "alive") == "alive", "the container to go on")
        for connection in readers:
            connection.close()
        self.cay("rm", "-f", "noisy")

    def test_things_that_come_later_are_refused_and_not_ignored(self):
        for host in ({"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x"}]}, {"PidMode": "container:x"}):
            status, answer = self.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": host})
            self.assertEqual(status, 501, answer)
            self.assertIn("not supported", json.dumps(answer))
