# SPDX-License-Identifier: Apache-2.0
"""Bad input at the API: answered with an error, at once, with bounded memory, and the daemon goes on."""

import concurrent.futures
import contextlib
import json
import pathlib
import socket

from harness import CayTestCase, wait_until


class BadInput(CayTestCase):
    def status(self, raw, shut=False):
        """The status of the answer to raw bytes; 0 where the connection was closed without one."""
        with self.daemon.connect(20) as connection:
            try:
                # The daemon may well answer, and close, before it has read all.
                with contextlib.suppress(BrokenPipeError):
                    connection.sendall(raw)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
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
        for raw in (b"GET\r\n\r\n", b"\0" * 100, b"GET /_ping HTTP/9.9\r\n\r\n",
                    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
                    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
                    b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200000 + b"\r\n\r\n"):
            with self.subTest(raw[:30]):
                self.assertNotEqual(self.status(raw, shut=True), 200)
        self.assertEqual(self.post("/containers/create", b""), 400)

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
        for host in ({"Binds": ["/tmp:/x"]}, {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}):
            status, answer = self.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": host})
            self.assertEqual(status, 501, answer)
            self.assertIn("not supported", json.dumps(answer))
