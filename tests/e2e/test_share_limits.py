# SPDX-License-Identifier: Apache-2.0
"""Shared trees with more files than the host allows descriptors for the server that serves them."""

import errno

from harness import BUILD
from share_harness import ShareTestCase

LIMIT = 2000
FOLDERS, FILES = 6, 800  # in each


class FewDescriptors(ShareTestCase):
    """A host with a low hard limit, and a root that may not raise it."""

    @classmethod
    def make_daemon(cls):
        daemon = super().make_daemon()
        daemon.command = ["setpriv", "--bounding-set=-sys_resource", "prlimit", f"--nofile={LIMIT}:{LIMIT}", BUILD / "cayd"]
        return daemon

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for folder in range(FOLDERS):
            (cls.shared / "tree" / f"d{folder}").mkdir(parents=True)
            for number in range(FILES):
                (cls.shared / "tree" / f"d{folder}" / f"f{number}").write_text(f"{number}\n")

    def test_walks(self):
        shell = self.start("walks", "-v", f"{self.shared}:/cached:cached")
        for path in ("/shared", "/cached", "/shared"):
            with self.subTest(path):
                self.assertEqual(shell(f"find {path}/tree -type f -size -2 | wc -l"), str(FOLDERS * FILES))
                self.assertEqual(shell(f"cat {path}/tree/*/* | wc -l"), str(FOLDERS * FILES))

    def test_files_are_made(self):
        shell = self.start("makes")
        shell("mkdir /shared/made; cd /shared/made; n=0; while [ $n -lt 1000 ]; do n=$((n+1)); "
              "echo $n > f$n && mkdir d$n && ln -s f$n s$n && ln f$n l$n || exit 1; done", code=0)
        self.assertEqual(len(list(self.host("made").iterdir())), 4000)
        # Each was made once, by the program that asked for it: O_EXCL is kept.
        shell("set -C; n=0; while [ $n -lt 3000 ]; do n=$((n+1)); echo $n > e$n || exit 1; done", code=0)
        self.assertEqual({self.host("made", f"e{number}").read_text() for number in range(1, 3001)},
                         {f"{number}\n" for number in range(1, 3001)})

    def test_files_are_held_open(self):
        """Who holds all that there is hears of it soon, and what was held can be used again."""
        shell = self.start("holds")
        for path, most in (("/shared/tree/d0/f0", LIMIT), ("/shared/tree/d0", LIMIT // 2)):
            with self.subTest(path):
                opened, error = map(int, shell(f"/tools/share-tool open {path} 1000000").split())
                self.assertEqual(error, errno.ENFILE)
                self.assertGreater(opened, most * 2 // 3)
                self.assertLess(opened, most)
                self.assertEqual(shell("cat /shared/tree/d1/* | wc -l"), str(FILES))
