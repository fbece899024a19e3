"""kiln-notifier as a process, builds and their events as the build service would write them, and a bot that takes webhooks."""
import base64
import http.server
import json
import secrets
import threading
import time
import uuid

import confluent_kafka

from databases import BIN, PASSWORDS
from kiln_testing import cloudevents
from kiln_testing.process import Process
from kiln_testing.waiting import TooLate, wait_for

TOPIC = "kiln.build.events"
# Of a build that has no row in build_requests.
NO_REQUEST = object()


class Notifier(Process):
    """One instance."""

    def __init__(self, database, folder, **variables):
        env = {"KILN_DATABASE_URL": database.url_as("kiln_notifier", PASSWORDS["kiln_notifier"]), "KILN_WEBHOOK_ALLOW": "127.0.0.1"}
        super().__init__(database.system, BIN / "kiln-notifier", folder / f"notifier-{uuid.uuid4().hex[:8]}.log", env | variables)


class Bot:
    """Takes webhooks on one port of its own; `plan` says what to answer to the next ones: (status, headers), a threading.Event to wait for first, or
    (bytes, event): the bytes as they are, and the connection's end once there is the event."""

    def __init__(self):
        bot = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with bot.changed:
                    bot.calls.append({"path": self.path, "headers": dict(self.headers.items()), "body": body, "at": time.monotonic()})
                    planned = bot.plan.pop(0) if bot.plan else bot.default
                    bot.changed.notify_all()
                if isinstance(planned, threading.Event):
                    planned.wait(60)
                    planned = (204, {})
                if isinstance(planned[0], bytes):
                    self.wfile.write(planned[0])
                    self.close_connection = True
                    planned[1].wait(60)
                    return
                status, headers = planned
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a client that was killed

        self.calls, self.plan, self.default = [], [], (204, {})
        self.changed = threading.Condition()
        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server.server_port

    def url(self, host="127.0.0.1"):
        return f"http://{host}:{self.port}/hook"

    def wait(self, count=1, deadline=60.0):
        """The calls, once there are `count`."""
        end = time.monotonic() + deadline
        with self.changed:
            while len(self.calls) < count:
                left = end - time.monotonic()
                if left <= 0:
                    raise TooLate(f"{len(self.calls)} of {count} webhooks after {deadline:g} s")
                self.changed.wait(left)
            return list(self.calls)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Builds:
    """Rows of builds, and their events on Kafka."""

    def __init__(self, database):
        self.database = database
        self.producer = confluent_kafka.Producer({"bootstrap.servers": database.system.brokers, "partitioner": "murmur2_random", "linger.ms": 0, "message.max.bytes": 8388608})
        self.secret = secrets.token_bytes(32)
        self.project = str(uuid.uuid4())
        database.sql(
            "insert into projects (id, name, webhook_secret) values (%s, %s, %s)", self.project, f"p-{uuid.uuid4().hex[:8]}", self.secret
        )

    @property
    def whsec(self):
        return "whsec_" + base64.b64encode(self.secret).decode()

    def make(self, callback_url, count=1, origin=NO_REQUEST):
        """Ended builds, without their events: their ids. With `origin` (None: NULL), also the rows of their requests."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        self.database.sql(
            "insert into build_audit (id, project_id, project_name, status, max_attempts, class, priority, queue_timeout_s, callback_url, created_at)"
            " select id, %s, 'p', 'completed', 3, 'command', 5, 86400, %s, now() from unnest(%s::uuid[]) as id",
            self.project, callback_url, ids,
        )  # fmt: skip
        if origin is not NO_REQUEST:
            self.database.sql(
                "insert into build_requests (build_id, origin) select id, %s::json from unnest(%s::uuid[]) as id",
                None if origin is None else json.dumps(origin), ids,
            )  # fmt: skip
        return ids

    def data(self, build, sequence, **more):
        return {"attempt": 1, "build_id": build, "metadata": {}, "phase": None, "project": {"id": self.project, "name": "p"},
                "sequence": sequence, "status": "completed", **more}  # fmt: skip

    def send(self, build, type="build.completed", sequence=7, value=None, headers=None):  # pylint: disable=redefined-builtin
        """Queued; flush() makes sure of it. The ce_id."""
        event_id = f"build/{build}/{sequence}"
        body = json.dumps(self.data(build, sequence), separators=(",", ":"), sort_keys=True) if value is None else value
        changes = {
            "ce_id": event_id,
            "ce_time": "2026-11-23T17:20:00.123456Z",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            **(headers or {}),
        }
        self.producer.produce(TOPIC, value=body, key=build, headers=cloudevents.headers(type, "/kiln/build-service", build, **changes))
        return event_id

    def flush(self):
        assert self.producer.flush(60) == 0

    def ended(self, callback_url, origin=NO_REQUEST, **options):
        """An ended build and its terminal event: (build id, ce_id)."""
        [build] = self.make(callback_url, origin=origin)
        event_id = self.send(build, **options)
        self.flush()
        return build, event_id

    def waiting(self, url, count, due_in, body="{}", project=None):
        """Deliveries as the notifier would have written them; a # in the URL is the delivery's number."""
        self.database.sql(
            "insert into webhook_deliveries (id, build_id, project_id, event_id, event_type, url, body, state, next_attempt_at)"
            " select gen_random_uuid(), gen_random_uuid(), %s, gen_random_uuid(), 'build.completed', replace(%s, '#', lpad(i::text, 6, '0')), %s::bytea, 'pending',"
            " now() + %s::interval + i * interval '1 microsecond' from generate_series(1, %s) i",
            project or self.project, url, body, due_in, count,
        )  # fmt: skip

    # -- what the notifier wrote

    def delivery(self, build):
        names = "id, event_id, event_type, url, state, attempts, next_attempt_at, claimed_until, last_status, last_error, delivered_at"
        rows = self.database.sql(f"select {names} from webhook_deliveries where build_id = %s", build)
        assert len(rows) <= 1
        return dict(zip(names.split(", "), rows[0])) if rows else None

    def attempts(self, build):
        return self.database.sql(
            "select a.attempt, a.status, a.error from webhook_attempts a join webhook_deliveries d on d.id = a.delivery_id"
            " where d.build_id = %s order by a.attempt",
            build,
        )

    def wait_state(self, build, state, deadline=60.0):
        return wait_for(lambda: (found := self.delivery(build)) and found["state"] == state and found, f"the delivery of {build} to be {state}", deadline)
