"""A bot's side of webhooks: takes them, verifies each signature with the library of Standard Webhooks."""

import collections
import http.server
import json
import threading
import time
import uuid

import standardwebhooks

from .waiting import TooLate

Delivery = collections.namedtuple("Delivery", "path headers body at")


class Receiver(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.deliveries = []
        self.answers = {}  # path -> list of statuses for the next requests
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, name="webhooks", daemon=True).start()

    def inbox(self, *statuses):
        """A new place for webhooks. The first requests are answered with these statuses, further ones with 204."""
        path = f"/{uuid.uuid4().hex}"
        self.answers[path] = list(statuses)
        return Inbox(self, path)

    def handle_error(self, request, client_address):
        pass  # a client that went away


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        server = self.server
        with server.changed:
            server.deliveries.append(Delivery(path, dict(self.headers.items()), body, time.time()))
            waiting = server.answers.get(path)
            status = waiting.pop(0) if waiting else 204
            server.changed.notify_all()
        self.send_response(status)
        if status in (301, 302, 307, 308):
            self.send_header("Location", "/elsewhere")
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Inbox:
    """One callback URL."""

    def __init__(self, receiver, path):
        self.receiver = receiver
        self.path = path
        self.url = f"http://127.0.0.1:{receiver.server_port}{path}"

    @property
    def deliveries(self):
        with self.receiver.changed:
            return [delivery for delivery in self.receiver.deliveries if delivery.path == self.path]

    def wait(self, count=1, deadline=120.0):
        end = time.monotonic() + deadline
        with self.receiver.changed:
            while True:
                found = [delivery for delivery in self.receiver.deliveries if delivery.path == self.path]
                if len(found) >= count:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    raise TooLate(f"after {deadline:g} s {len(found)} of {count} webhooks")
                self.receiver.changed.wait(left)


def verified(delivery, secret):
    """The payload, if the signature is right; raises otherwise."""
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    standardwebhooks.Webhook(secret).verify(delivery.body, headers)
    assert headers["content-type"].startswith("application/json")
    return json.loads(delivery.body)
