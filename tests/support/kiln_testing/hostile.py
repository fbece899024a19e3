"""A web server that answers any request as a test tells it to: a git remote that means harm."""

import http.server
import threading

import pytest


class Hostile(http.server.ThreadingHTTPServer):
    """Says what it is told to, to any request, and remembers what it was asked. `tls`: an SSLContext, for https."""

    daemon_threads = True

    def __init__(self, behave, tls=None):
        self.behave = behave
        self.requests = []
        self.stop = threading.Event()
        super().__init__(("127.0.0.1", 0), HostileHandler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:  # hands are shaken by the request's own thread
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass


class HostileHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers.items())))
        self.server.behave(self)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hostile():
    servers = []

    def start(behave, tls=None):
        servers.append(Hostile(behave, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop.set()
        server.shutdown()
