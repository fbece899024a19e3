#!/usr/bin/env python3
"""The git server, driven by git's own command line and by raw requests."""

import base64
import gzip
import http.client
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
AUTHORIZATION = "Basic " + base64.b64encode(b"kiln:right").decode()


class GitServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.temp.name)
        cls.server = subprocess.Popen(
            [sys.executable, HERE / "git_server.py", "--root", cls.root / "served", "--listen", "127.0.0.1:0"],
            env=os.environ | {"GIT_SERVER_TOKEN": "right"}, stdout=subprocess.PIPE, text=True)
        cls.url = cls.server.stdout.readline().split()[-1]
        cls.port = int(cls.url.rpartition(":")[2])

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.wait(60)
        cls.server.stdout.close()
        cls.temp.cleanup()

    def git(self, *arguments, cwd=None, token="right", fails=False):
        credentials = base64.b64encode(f"kiln:{token}".encode()).decode()
        done = subprocess.run(
            ["git", "-c", f"http.extraHeader=Authorization: Basic {credentials}", "-c", "user.name=t",
             "-c", "user.email=t@t", *arguments], cwd=cwd or self.root, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0",
                 "GIT_CONFIG_NOSYSTEM": "1"})
        self.assertEqual(done.returncode != 0, fails, done.stderr)
        return done.stderr if fails else done.stdout

    def work(self, name):
        self.git("init", "-q", "-b", "main", name)
        (self.root / name / "a").write_text("one")
        self.git("add", ".", cwd=self.root / name)
        self.git("commit", "-qm", "one", cwd=self.root / name)
        return self.root / name

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request(method, path, body, {"Authorization": AUTHORIZATION} | headers,
                           encode_chunked="Transfer-Encoding" in headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def test_first_push_makes_the_repository(self):
        work, url = self.work("first"), f"{self.url}/team/first.git"
        self.assertIn("not found", self.git("ls-remote", url, fails=True))
        self.git("push", "-q", url, "HEAD:main", "HEAD:refs/kiln/builds/1", cwd=work)
        self.git("clone", "-q", url, "first-clone")
        self.assertEqual((self.root / "first-clone/a").read_text(), "one")
        served = self.root / "served/team/first.git"
        self.assertTrue((served / "logs/refs/heads/main").exists())
        self.assertTrue((served / "logs/refs/kiln/builds/1").exists())

    def test_wrong_token_is_refused(self):
        self.git("push", "-q", f"{self.url}/refused.git", "HEAD:main", cwd=self.work("refused"), token="no", fails=True)
        self.assertFalse((self.root / "served/refused.git").exists())

    def test_large_push_and_old_protocol(self):
        work, url = self.work("large"), f"{self.url}/large.git"
        (work / "big").write_bytes(os.urandom(5 << 20))
        self.git("add", ".", cwd=work)
        self.git("commit", "-qm", "two", cwd=work)
        self.git("-c", "http.postBuffer=65536", "push", "-q", url, "HEAD:main", cwd=work)  # chunked
        self.git("-c", "protocol.version=0", "clone", "-q", url, "large-clone")
        self.assertEqual((self.root / "large-clone/big").stat().st_size, 5 << 20)

    def test_zipped_and_chunked_bodies(self):
        self.git("push", "-q", f"{self.url}/zip.git", "HEAD:main", cwd=self.work("zip"))
        listing = b"0014command=ls-refs\n00010009peel\n0000"
        type_ = "application/x-git-upload-pack-request"
        for body, more in [(listing, {}), (gzip.compress(listing), {"Content_Encoding": "gzip"}),
                           (iter([listing[:5], listing[5:]]), {"Transfer_Encoding": "chunked"})]:
            status, content = self.request("POST", "/zip.git/git-upload-pack", body, Content_Type=type_,
                                           Git_Protocol="version=2", **more)
            self.assertEqual((status, b"refs/heads/main" in content), (200, True), more)
        status, _ = self.request("POST", "/zip.git/git-upload-pack", b"no gzip", Content_Type=type_,
                                 Content_Encoding="gzip")
        self.assertEqual(status, 400)

    def test_nothing_outside_the_root_has_a_name(self):
        self.git("push", "-q", f"{self.url}/in.git", "HEAD:main", cwd=self.work("in"))
        for path in ("../out", "%2e%2e/out", "a/../../out", ".hidden", "in.git/objects", "", "a//b"):
            status, _ = self.request("GET", f"/{path}/info/refs?service=git-receive-pack")
            self.assertEqual(status, 404, path)
        self.assertEqual(sorted(p.name for p in self.root.glob("out*")), [])


if __name__ == "__main__":
    unittest.main()
