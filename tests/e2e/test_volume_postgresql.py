# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL keeps what it has promised in a named volume, whatever is killed under it.

pgbench's transactions each change one account, one teller, one branch and add a row to a history: after
any crash the four sums are equal, and the history holds at least the rows that were acknowledged before.
"""

import json
import os
import signal
import subprocess

from harness import BUILD, CayTestCase, alive, processes, wait_until
from net_images import servers_archive

FETCH = (servers_archive,)
BIN = "/usr/lib/postgresql/15/bin"
SERVER = (f"mkdir -p /run/postgresql && exec setpriv --reuid postgres --regid postgres --clear-groups {BIN}/postgres "
          "-D /var/lib/postgresql/15/main -c config_file=/etc/postgresql/15/main/postgresql.conf "
          "-c shared_buffers=16MB -c unix_socket_directories=/tmp "
          # After a crash the default is an fsync of each of a thousand files, which says nothing more here.
          "-c recovery_init_sync_method=syncfs")
SUMS = ("select (select sum(abalance) from pgbench_accounts) || ' ' || (select sum(tbalance) from pgbench_tellers) || ' ' || "
        "(select sum(bbalance) from pgbench_branches) || ' ' || (select coalesce(sum(delta), 0) from pgbench_history)")


class PostgreSQL(CayTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_cay("load", "-i", str(servers_archive()))
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def sql(self, statement):
        done = self.run_cay("exec", "sql", f"{BIN}/psql", "-h", "/tmp", "-U", "postgres", "-tAc", statement)
        return done.stdout.strip() if done.returncode == 0 else None

    def wait_ready(self):
        wait_until(lambda: self.sql("select 1") == "1", "PostgreSQL to answer", 180)

    def pgbench(self, *arguments):
        return self.cay("exec", "sql", f"{BIN}/pgbench", "-h", "/tmp", "-U", "postgres", *arguments, "postgres", timeout=240)

    def kill_under_load(self, kill):
        """Kills while transactions run; returns how many had been acknowledged."""
        load = self.start_cay("exec", "sql", f"{BIN}/pgbench", "-h", "/tmp", "-U", "postgres", "-n", "-c", "2", "-T", "100",
                              "-P", "1", "postgres", stdin=subprocess.DEVNULL)
        before = int(self.sql("select count(*) from pgbench_history"))
        acknowledged = wait_until(lambda: self.more_than(before), "transactions")
        kill()
        self.end_process(load)
        return acknowledged

    def more_than(self, before):
        """What a reader has seen is committed."""
        count = int(self.sql("select count(*) from pgbench_history") or 0)
        return count if count > before + 5 else 0

    def check(self, acknowledged):
        self.wait_ready()
        sums = self.sql(SUMS).split()
        self.assertEqual(len(set(sums)), 1, f"the sums differ: {sums}")
        self.assertGreaterEqual(int(self.sql("select count(*) from pgbench_history")), acknowledged)

    def test_killed(self):
        self.cay("run", "-d", "--name", "sql", "-v", "pgdata:/var/lib/postgresql", "servers", "sh", "-c", SERVER)
        self.wait_ready()
        self.assertEqual((self.daemon.root / "volumes/pgdata/_data/15/main").stat().st_mode & 0o7777, 0o700)
        self.pgbench("-i", "-q", "-s", "1")
        self.assertIn("number of transactions actually processed: 40/40", self.pgbench("-n", "-c", "2", "-t", "20"))
        kills = {
            "the container": lambda: self.cay("kill", "sql"),
            "QEMU": lambda: self.kill_all("qemu-system"),
            "the shim": lambda: self.kill_all("cay-shim"),
            "the file server": lambda: self.kill_all("cay-files"),
            "a new container": lambda: self.cay("rm", "-f", "sql"),
        }
        for what, kill in kills.items():
            with self.subTest(what):
                acknowledged = self.kill_under_load(kill)
                if what == "a new container":
                    self.cay("run", "-d", "--name", "sql", "-v", "pgdata:/var/lib/postgresql", "servers", "sh", "-c", SERVER)
                else:
                    if what == "the file server":
                        self.cay("kill", "sql")
                    self.wait_state("sql", "exited")
                    self.cay("start", "sql")
                self.check(acknowledged)
        with self.subTest("the daemon"):
            acknowledged = self.kill_under_load(self.daemon.restart)
            self.check(acknowledged)
        self.assertIn("number of transactions actually processed: 40/40", self.pgbench("-n", "-c", "2", "-t", "20"))
        self.cay("rm", "-f", "sql")
        self.cay("volume", "rm", "pgdata")

    def kill_all(self, program):
        word = json.loads(self.cay("inspect", "sql"))[0]["Id"] if program == "qemu-system" else str(self.daemon.directory)
        pids = processes(program, word)
        self.assertNotEqual(pids, [], program)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in pids), f"{program} to end")
