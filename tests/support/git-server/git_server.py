#!/usr/bin/env python3
"""A small smart-HTTP git server with token authentication and creation on first push.

    GIT_SERVER_TOKEN=secret git_server.py --root DIR --listen 127.0.0.1:8418

Basic authentication for everything: the user GIT_SERVER_USER (default kiln), the token as
the password. Fetching a missing repository is 404; the first push to a new path makes it.

It is on the path of latency measurements: one process per request (git's own upload-pack or
receive-pack, what `git http-backend` would start), keep-alive, Nagle's algorithm off, one
write per short answer, no name look-ups. Only the standard library.
"""

import argparse
import base64
import hmac
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.parse

from repositories import Refused, Repositories
from request_body import spool

SERVICES = ("git-upload-pack", "git-receive-pack")
CHUNK = 64 << 10


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "kiln-test-git"
    sys_version = ""
    wbufsize = -1  # one write for head and body; flushed by hand
    timeout = 300  # of an idle connection

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_expect_100(self):
        accepted = super().handle_expect_100()
        self.wfile.flush()
        return accepted

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        self.answer(self.post)

    def answer(self, handle):
        self.body_left = None  # unknown until somebody looks
        try:
            handle()
        except Refused as refused:
            self.drop_body()
            self.short(refused.status, refused.text)
        self.wfile.flush()

    def get(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/healthz":
            return self.short(200, "ok")
        self.authenticate()
        if not url.path.endswith("/info/refs"):
            raise Refused(404, "only smart HTTP is served")
        service = urllib.parse.parse_qs(url.query).get("service", [""])[0]
        if service not in SERVICES:
            raise Refused(403, "only smart HTTP is served")
        repository = self.repository(url.path[: -len("/info/refs")], service)
        advertised = subprocess.run(
            ["git", service[4:], "--stateless-rpc", "--http-backend-info-refs", "."],
            cwd=repository,
            env=self.git_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            close_fds=False,
            check=False,
        )
        if advertised.returncode != 0:
            raise Refused(500, "git failed")
        head = b""
        if "version=2" not in self.headers.get("Git-Protocol", "") or service == "git-receive-pack":
            line = f"# service={service}\n".encode()
            head = b"%04x" % (len(line) + 4) + line + b"0000"
        self.whole(200, f"application/x-{service}-advertisement", head + advertised.stdout)

    def post(self):
        self.authenticate()
        path, _, service = urllib.parse.urlsplit(self.path).path.rpartition("/")
        if service not in SERVICES:
            raise Refused(404, "only smart HTTP is served")
        if self.headers.get("Content-Type") != f"application/x-{service}-request":
            raise Refused(415, "wrong content type")
        repository = self.repository(path, service)
        stdin = spool(self)
        try:
            process = subprocess.Popen(
                ["git", service[4:], "--stateless-rpc", "."],
                cwd=repository,
                env=self.git_environment(),
                stdin=stdin,
                stdout=subprocess.PIPE,
                close_fds=False,
                bufsize=0,
            )
        finally:
            os.close(stdin)
        with process:
            try:
                self.stream(f"application/x-{service}-result", process.stdout)
            except OSError:
                process.kill()  # the client went away
                raise

    def authenticate(self):
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True) if scheme.lower() == "basic" else b""
        except ValueError:
            given = b""
        if not hmac.compare_digest(given, self.server.credentials):
            raise Refused(401, "user and token, please")

    def repository(self, url_path, service):
        path = self.server.repositories.path(urllib.parse.unquote(url_path))
        if not Repositories.is_repository(path):
            if service != "git-receive-pack" or self.command != "GET":
                raise Refused(404, "no such repository")
            self.server.repositories.create(path)
        return path

    def git_environment(self):
        environment = self.server.git_environment
        protocol = self.headers.get("Git-Protocol")
        if protocol and re.fullmatch(r"[A-Za-z0-9=:._-]{1,100}", protocol):
            environment = environment | {"GIT_PROTOCOL": protocol}
        return environment

    def drop_body(self):
        """After a refusal the connection goes on only when its body is short and whole."""
        length = self.headers.get("Content-Length")
        if self.body_left is False or self.command != "POST":
            return
        if self.body_left is None and length and length.isdigit() and int(length) <= 1 << 20:
            self.rfile.read(int(length))
        else:
            self.close_connection = True

    # -- answers

    def head(self, status, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-cache")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        if self.close_connection:
            self.send_header("Connection", "close")

    def whole(self, status, content_type, body):
        self.head(status, content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def short(self, status, text):
        self.whole(status, "text/plain; charset=utf-8", text.encode() + b"\n")

    def stream(self, content_type, source):
        self.head(200, content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := source.read(CHUNK):
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def address_string(self):
        return self.client_address[0]

    def log_request(self, code="-", size="-"):
        if self.server.log:
            super().log_request(code, size)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address, root, user, token, log):
        self.repositories = Repositories(root)
        self.credentials = f"{user}:{token}".encode()
        self.log = log
        self.git_environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.repositories.root),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",  # a test may make a repository as another user
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_COMMITTER_NAME": user,
            "GIT_COMMITTER_EMAIL": f"{user}@localhost",
        }
        super().__init__(address, Handler)

    def server_bind(self):
        socketserver_bind = http.server.socketserver.TCPServer.server_bind
        socketserver_bind(self)  # without HTTPServer's look-up of the host's name
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", required=True, help="folder of the repositories")
    parser.add_argument("--listen", default="127.0.0.1:0", help="address:port; port 0 is any")
    parser.add_argument("--log", action="store_true", help="one line per request on stderr")
    options = parser.parse_args()
    token = os.environ.get("GIT_SERVER_TOKEN")
    if not token:
        parser.error("GIT_SERVER_TOKEN is not set")
    host, _, port = options.listen.rpartition(":")
    user = os.environ.get("GIT_SERVER_USER", "kiln")
    server = Server((host.strip("[]"), int(port)), options.root, user, token, options.log)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    print(f"listening on http://{host}:{server.server_port}", flush=True)
    server.serve_forever(poll_interval=1)  # a signal that came to another thread is looked at in this one's next turn


if __name__ == "__main__":
    main()
