"""Audit trails that a test writes itself, by docs/events.md alone: canonical JSON, each hash over the one before."""
import contextlib
import hashlib
import uuid

import psycopg
import rfc8785

STATUS = {
    "build.pending": "pending",
    "build.started": "running",
    "build.attempt_lost": "pending",
    "build.completed": "completed",
    "build.failed": "failed",
    "build.late_commit": "completed",
}
WHOLE = ("build.pending", "build.started", "build.completed")


def body_of(build, sequence, kind, attempt=1, **other):
    return rfc8785.dumps({"build_id": build, "sequence": sequence, "attempt": attempt, "status": STATUS[kind], "padding": "x" * 100, **other})


class Trail:
    """One build. Each event is a transaction, as the build service's are: the event and the build's row."""

    def __init__(self, database, build=None):
        self.url = database.url
        self.build = build or str(uuid.uuid4())
        self.sequence, self.hash = 0, bytes(32)

    def begin(self):
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, created_at)"
                " values (%s, %s, 'p', 'pending', 'queued', 3, 'command', 5, 60, now())",
                (self.build, uuid.uuid4()),
            )
        return self

    def add(self, *kinds, connection=None, **other):
        """`connection`: in its open transaction."""
        with contextlib.nullcontext(connection) if connection else psycopg.connect(self.url) as connection:
            for kind in kinds:
                self.sequence += 1
                body = body_of(self.build, self.sequence, kind, **other)
                self.hash = hashlib.sha256(self.hash + body).digest()
                connection.execute(
                    "insert into build_events (build_id, sequence, type, time, attempt, body, hash) values (%s, %s, %s, now(), 1, %s, %s)",
                    (self.build, self.sequence, kind, body, self.hash),
                )
                status = STATUS[kind]
                phase = {"pending": "queued", "running": "agent"}.get(status)
                connection.execute(
                    "update build_audit set last_sequence = %s, last_hash = %s, status = %s, phase = %s where id = %s",
                    (self.sequence, self.hash, status, phase, self.build),
                )
        return self
