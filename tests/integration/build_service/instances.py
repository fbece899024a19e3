"""A database of its own, and the instances and workers on it, which a test kills, freezes and holds up."""
import hashlib
import signal
import time

from kiln_testing.waiting import wait_for
from playing import Gateway, Service, Worker

PARTITIONS = 4 * 12  # requests, results, worker events and logs
HOLD = "select pg_advisory_xact_lock(4711)"  # what make_held has made wait, until the end of this transaction
HELD = "pid in (select pid from pg_locks where locktype = 'advisory' and objid = 4711 and not granted)"


def make_held(database, change):
    """Before such a change a session waits for who has the lock of HOLD."""
    database.sql(f"create function hold() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return new; end $$; create trigger hold before {change} execute function hold()")


class Place:
    def __init__(self, database, folder):
        self.database, self.folder = database, folder
        self.gateway = Gateway(database)
        self.services, self.workers = [], []

    def service(self, wait=True, **variables):
        self.services.append(Service(self.database, self.folder, **variables).start(wait))
        return self.services[-1]

    def worker(self, **options):
        self.workers.append(Worker(self.database, **{"works": True, "slots": 8, **options}))
        return self.workers[-1]

    def end(self):
        for worker in self.workers:
            worker.stop()
            worker.bye()  # a later test's database reads this too
        for service in self.services:
            if service.process.poll() is None:
                service.process.send_signal(signal.SIGCONT)
            assert service.stop() in (0, None)
        self.gateway.connection.close()

    def post(self, count, pause=0.0):
        project = self.gateway.project()
        builds = []
        for _ in range(count):
            builds.append(self.gateway.queue(project))
            time.sleep(pause)
        self.gateway.sender.flush()
        return builds

    def all_ended(self, builds, deadline=180):
        def completed():
            found = self.gateway.sql("select status, phase, count(*) from build_audit where id = any(%s::uuid[]) group by 1, 2", builds)
            assert found == [("completed", None, len(builds))], found
            return True

        wait_for(completed, "all builds to be completed", deadline=deadline, poll=0.1)

    def check(self, builds):
        """What must hold whatever happened."""
        for build in builds:
            trail = self.gateway.trail(build)
            previous = bytes(32)
            for number, event in enumerate(trail, 1):
                assert event["sequence"] == number
                previous = hashlib.sha256(previous + event["body"]).digest()
                assert event["hash"] == previous
            types = [event["type"] for event in trail]
            # An instance that was frozen may still send what it had decided; these workers, unlike real ones, push without asking the fence.
            while types[-1] == "build.late_commit":
                types.pop()
            assert types[0] == "build.pending" and types.count("build.pending") == 1
            assert [one for one in types if one in ("build.completed", "build.failed", "build.cancelled")] == ["build.completed"] == types[-1:]
            attempts = self.gateway.attempts(build)
            assert [attempt["state"] for attempt in attempts].count("finished") == 1
        wait_for(lambda: self.gateway.sql("select count(*) from outbox") == [(0,)], "the outbox to be empty")
        assert self.gateway.sql("select count(*) from build_attempts where held and build_id = any(%s::uuid[])", builds) == [(0,)]
        assert self.gateway.sql("select count(*) from build_queue where build_id = any(%s::uuid[])", builds) == [(0,)]
        assert self.gateway.sql("select count(*) from project_slots where build_id = any(%s::uuid[])", builds) == [(0,)]
