# SPDX-License-Identifier: Apache-2.0
"""Our gRPC as the gRPC project's own client sees it, on a server with a few made-up methods."""

import base64
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import grpc_judge
import harness

FETCH = (grpc_judge.installed,)
SERVICE = "cay.vminitd.v1.Vminitd"
OK, CANCELLED, INVALID, DEADLINE, NOT_FOUND, EXHAUSTED, CONFLICT, UNIMPLEMENTED = 0, 1, 3, 4, 5, 8, 9, 12


def a_call(method, **more):
    return {"service": SERVICE, "method": method, **more}


def data(size):
    return base64.b64encode(bytes(i * 7 % 251 for i in range(1000)) * (size // 1000)).decode()


class GrpcTest(unittest.TestCase):
    def setUp(self):
        grpc_judge.installed()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cay-grpc-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.socket = self.directory / "echo.sock"
        self.server = subprocess.Popen([harness.BUILD / "tests" / "rpc-echo", self.socket],
                                       stdin=subprocess.PIPE)
        self.addCleanup(self.stop)
        harness.wait_until(self.socket.exists, "the server's socket", 10)

    def stop(self):
        self.server.stdin.close()
        self.assertEqual(self.server.wait(timeout=20), 0)

    def calls(self, *calls):
        return grpc_judge.call(self.socket, "vminitd.proto", calls)

    def features(self):
        return self.calls(a_call("Version"))[0]["responses"][0]["features"]

    def test_unary(self):
        one, many = self.calls(a_call("Version"), a_call("Version", times=300))
        self.assertEqual(one["code"], OK)
        self.assertEqual(one["responses"][0]["kernel"], "none é€")
        self.assertEqual({result["code"] for result in many}, {OK})

    def test_server_stream(self):
        result, = self.calls(a_call("KernelLog"))
        self.assertEqual(result["code"], OK)
        self.assertEqual([base64.b64decode(message["text"]) for message in result["responses"]],
                         [b"one", b"", b"three"])

    def test_bidirectional_stream(self):
        texts = [data(size) for size in (1000, 0, 200000, 1000000)]
        result, = self.calls(a_call("Stdio", requests=[{"data": text} for text in texts]))
        self.assertEqual(result["code"], OK)
        self.assertEqual([message["data"] for message in result["responses"]],
                         texts + [base64.b64encode(b"bye").decode()])

    def test_error_trailers(self):
        for token, code in (("no-command", NOT_FOUND), ("not-found", NOT_FOUND), ("conflict", CONFLICT),
                            ("no-space", EXHAUSTED), ("invalid", INVALID)):
            result, = self.calls(a_call("DeleteContainer", request={"id": token}))
            self.assertEqual(result["code"], code)
            self.assertEqual(result["details"], f"100% of «{token}» failed")
            self.assertEqual(result["trailers"]["cay-code"], token)
        result, = self.calls(a_call("Sync"))
        self.assertEqual(result["code"], UNIMPLEMENTED)

    def test_deadline(self):
        results = self.calls(a_call("WaitProcess", deadline_ms=100), a_call("Version", deadline_ms=20000))
        self.assertEqual([result["code"] for result in results], [DEADLINE, OK])
        self.assertLess(results[0]["ms"], 10000)
        harness.wait_until(lambda: {"expired=1", "cancelled=1"} & set(self.features()),
                           "the server to notice", 20)

    def test_cancel(self):
        # The first call makes the connection: one cancelled before there is one never reaches the server.
        results = self.calls(a_call("Version"), a_call("WaitProcess", cancel_after_ms=200),
                             a_call("KernelLog", request={"follow": True}, cancel_after=1000, count_only=True),
                             a_call("Stdio", requests=[{"data": data(1000)}], hold_open=True, cancel_after=1))
        self.assertEqual([result["code"] for result in results], [OK] + [CANCELLED] * 3)
        self.assertGreaterEqual(results[2]["count"], 1000)
        # Node.js ends its side of an open stream before it resets it: the third may end well.
        harness.wait_until(lambda: {"cancelled=2", "cancelled=3"} & set(self.features()),
                           "the server to notice", 20)

    def test_flow_control(self):
        """A reader that waits loses nothing."""
        texts = [{"data": data(100000)} for _ in range(60)]
        result, = self.calls(a_call("Stdio", requests=texts, pause_ms=500, count_only=True))
        self.assertEqual(result["code"], OK)
        self.assertEqual(result["bytes"] - 3, 60 * 100000)

    def test_message_sizes(self):
        fits = {"oci_config": data(4 * 1024 * 1024 - 4000)}
        large = {"oci_config": data(4 * 1024 * 1024 + 4000)}
        results = self.calls(a_call("CreateContainer", request=fits), a_call("CreateContainer", request=large))
        self.assertEqual(results[0]["responses"][0]["pid"], (4 * 1024 * 1024 - 4000) // 1000 * 1000)
        self.assertEqual(results[1]["trailers"]["cay-code"], "too-large")


class RealServers(harness.CayTestCase):
    """The shim of a running container and, through its socket, the vminitd in its VM."""

    def test_shim_and_vminitd(self):
        identity = self.cay("run", "-di", "--name", "served", "busybox", "sh", "-c", "echo begun; cat")
        socket = self.daemon.run / identity / "shim.sock"
        state, unknown = grpc_judge.call(socket, "shim.proto", [
            {"service": "cay.shim.v1.Shim", "method": "State"},
            {"service": "cay.shim.v1.Shim", "method": "Kill", "request": {"container_id": "nonesuch", "signal": 9}}])
        self.assertEqual(state["code"], OK, state)
        self.assertEqual(state["responses"][0]["containers"][0]["id"], identity)
        self.assertEqual(unknown["code"], NOT_FOUND, unknown)
        version, listed, missing = grpc_judge.call(socket, "vminitd.proto", [
            a_call("Version"), a_call("ListProcesses", request={"id": identity}),
            a_call("WaitProcess", request={"container_id": identity, "process_id": "nonesuch"})])
        self.assertEqual(version["code"], OK, version)
        self.assertEqual(version["responses"][0]["kernel"], self.cay("exec", "served", "uname", "-r"))
        self.assertIn("cat", str(listed["responses"][0]["processes"]))
        self.assertEqual(missing["code"], NOT_FOUND, missing)
