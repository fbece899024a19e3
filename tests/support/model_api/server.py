"""The HTTP side: both protocols on one port, on loopback."""

import argparse
import contextlib
import http.server
import json
import select
import signal
import socket
import sys
import threading
import uuid

from . import chat, dialect, messages
from .script import DEMO, MARK, Cut, Fail, Finish, Redirect, Reflect, Rubbish, Script, Stall

MAX_BODY = 64 << 20
POLL_S = 0.2


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "kiln-test-model"
    sys_version = ""
    timeout = 300  # of an idle connection

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        if self.path == "/healthz":
            self._json(200, {"status": "ok"})
        else:
            self._json(404, {"error": {"message": "not found"}})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, MAX_BODY))
        api = {messages.PATH: messages, chat.PATH: chat}.get(self.path.partition("?")[0])
        if api is None:
            self._json(404, {"error": {"type": "not_found_error", "message": "not found"}})
            return
        try:
            request = json.loads(body)
            text = body.decode()
            turn = api.turns(request)
        except (ValueError, KeyError, TypeError) as error:
            self._json(400, {"error": {"type": "invalid_request_error", "message": repr(error)}})
            return
        name, step = self.server.model.next_step(turn, self.path, {key.lower(): value for key, value in self.headers.items()}, request)
        # Requests may come after those who wanted them have been killed.
        with contextlib.suppress(ConnectionError):
            self._answer(api, request, text, step)
        self.log_message("%s: turn %d: %s", name, turn, step)

    def _answer(self, api, request, text, step):
        trouble = step[0]
        model = request.get("model", "m")
        if isinstance(trouble, Fail):
            self._json(trouble.status, api.error(trouble.status))
            return
        if isinstance(trouble, Reflect):
            quoted = " ".join(f"{name}={value}" for name, value in self.headers.items())
            self._json(400, {"error": {"message": quoted}}, **{"X-Quoted": quoted, "X-Plain": "plain"})
            return
        if isinstance(trouble, Redirect):
            self._json(302, {}, Location=trouble.location)
            return
        if isinstance(trouble, Rubbish):
            self._begin("text/event-stream")
            self._chunk(b"data: {this is no event\n\ndata: [1, 2\n\n")
            self._chunk(b"")
            return
        if isinstance(trouble, (Cut, Finish, Stall)):
            self._begin("text/event-stream")
            for event in api.beginning(model):
                self._chunk(event)
            if isinstance(trouble, Finish):
                self._chunk(b"")
                return
            if isinstance(trouble, Stall):
                self._wait_for_leave()
            self._cut()
            return

        def call(tool):
            return dialect.call(tool, api.offered(request), text)

        if not request.get("stream"):
            self._json(200, api.whole(model, step, call))
            return
        self._begin("text/event-stream")
        for event in api.stream(model, step, call):
            self._chunk(event)
        self._chunk(b"")

    # -- the wire

    def _json(self, status, body, **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, media_type):
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data):
        """An empty one ends the body, as the protocol has it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _cut(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _wait_for_leave(self):
        while not self.server.model.ending.is_set():
            ready, _, _ = select.select([self.connection], [], [], POLL_S)
            if ready and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def log_message(self, format, *args):
        if self.server.model.daemon:
            print(format % args, file=sys.stderr, flush=True)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # agents are killed in the middle of their requests
            super().handle_error(request, client_address)


class Model:
    """A scripted model at `url`. Scripts may be added while it serves."""

    def __init__(self, listen=("127.0.0.1", 0), daemon=False):
        self.daemon = daemon  # says what happens, and remembers nothing: it would only grow
        self.ending = threading.Event()
        self.scripts = {}
        self.requests = []  # {script, turn, path, headers, request}, as they came
        self.lock = threading.Lock()
        self.server = Server(listen, Handler)
        self.server.model = self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def start(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def close(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()

    def script(self, *steps):
        """What makes the model do these steps: to be put into a prompt."""
        name = uuid.uuid4().hex[:16]
        self.scripts[name] = Script(*steps)
        return f"[script {name}]"

    def next_step(self, turn, path, headers, request):
        # Only in what was said: a client may show the last commits too, and so the prompts of other builds.
        mark = MARK.search(json.dumps(request["messages"]))
        name = mark[1] if mark else "demo"
        with self.lock:
            if not self.daemon:
                self.requests.append({"script": name, "turn": turn, "path": path, "headers": headers, "request": request})
            return name, self.scripts.get(name, DEMO).step(turn)

    def asked(self, prompt):
        """The requests of the conversations with this prompt."""
        name = MARK.search(prompt)[1]
        with self.lock:
            return [request for request in self.requests if request["script"] == name]


def main():
    parser = argparse.ArgumentParser(description="A scripted model for demos: Anthropic's and OpenAI's protocols.")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    model = Model((host, int(port)), daemon=True)

    def end(*_):
        model.ending.set()
        threading.Thread(target=model.server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    model.server.serve_forever()
