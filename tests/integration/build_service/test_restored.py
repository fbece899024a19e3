"""A restore is caught up with, from a backup that is older than a project: what is to become of its builds was published, and nothing else is."""
import hashlib

import pytest

from kiln_testing.records import partition_of
from kiln_testing.waiting import wait_for
from playing import EVENTS, Gateway, Service, Worker, catches_up_to, id_where, published, result, skip_old_records, stored_trail

LABELS = ["later"]  # of a worker that is not there yet


class Place:
    """Three builds of a project: one has ended, one runs, one waits. Then neither they nor the project are there."""

    def __init__(self, database, folder):
        self.database, self.folder = database, folder
        self.gateway = Gateway(database)
        self.workers = []
        self.service = Service(database, folder).start()
        self.executor = self.worker()
        project = self.gateway.project()
        self.requests = [self.gateway.request(project, labels=labels) for labels in ([], [], LABELS)]
        self.ended, self.running, self.waiting = (request["build_id"] for request in self.requests)
        for request in self.requests:
            self.gateway.send(request)
        self.executor.run(self.executor.assigned(self.ended))
        self.assigned = self.executor.assigned(self.running)
        self.executor.accept(self.assigned)
        self.gateway.wait(self.ended, "completed")
        self.gateway.wait(self.running, "running")
        self.gateway.wait(self.waiting, "pending")
        self.wait_published()
        self.before = {build: self.gateway.trail(build) for build in self.builds}
        assert self.service.stop() == 0
        for build in self.builds:
            stored_trail(self.gateway, build)
        self.gateway.sql("delete from projects where id = %s", project["id"])
        own = [partition_of(build.encode(), 12) for build in self.builds]
        self.last = id_where(lambda number: number not in own)
        catches_up_to(self.gateway, self.last)

    def start(self, lease_ms=60000):
        self.service = Service(self.database, self.folder, KILN_LEASE_MS=str(lease_ms)).start()

    @property
    def builds(self):
        return [request["build_id"] for request in self.requests]

    def worker(self, **options):
        self.workers.append(Worker(self.database, slots=8, **options))
        return self.workers[-1]

    def wait_published(self):
        wait_for(lambda: self.gateway.sql("select count(*) from outbox") == [(0,)], "the outbox to be empty")

    def read_again(self):
        """The requests, from the log."""
        for request in self.requests:
            self.gateway.send(request)
        for build in self.builds:
            wait_for(lambda build=build: self.gateway.status(build), "the build to be back")

    def caught_up(self):
        """From here on builds are given out."""
        self.gateway.post(self.gateway.project(), build=self.last)
        self.executor.run(self.executor.assigned(self.last))

    def end(self):
        for worker in self.workers:
            worker.stop()
            worker.bye()
        assert self.service.stop() in (0, None)
        self.gateway.connection.close()


@pytest.fixture
def place(database, tmp_path):
    database.migrate()
    skip_old_records(database)
    one = Place(database, tmp_path)
    yield one
    one.end()


def test_of_builds_whose_project_is_gone_nothing_is_published_but_what_was(place):
    place.start()
    place.read_again()
    place.wait_published()
    seen = {}
    for record in published(place.database, EVENTS):
        if record.build_id in place.builds:
            seen.setdefault((record.build_id, record.data["sequence"]), set()).add(record.headers["ce_hash"])
    assert seen == {(build, event["sequence"]): {event["hash"].hex()} for build, trail in place.before.items() for event in trail}


def test_what_was_published_is_published_as_it_was_though_it_would_be_made_otherwise_today(place):
    body = place.before[place.waiting][0]["body"].replace(b'"metadata":{', b'"metadata":{"Z":"z",')
    digest = hashlib.sha256(bytes(32) + body).digest()
    place.gateway.sql("update restored_events set body = %s, hash = %s where build_id = %s", body, digest, place.waiting)
    place.start()
    place.read_again()
    place.wait_published()
    last = [record for record in published(place.database, EVENTS) if record.build_id == place.waiting][-1]
    assert (last.value, last.headers["ce_hash"]) == (body, digest.hex())


def test_builds_whose_project_is_gone_come_back_as_what_they_were(place):
    place.start()
    place.read_again()
    assert [place.gateway.row(build)["status"] for build in place.builds] == ["completed", "running", "pending"]
    assert {build: place.gateway.trail(build) for build in place.builds} == place.before
    assert place.gateway.sql("select count(*) from restored_events") == [(0,)]


def test_a_stale_result_of_a_build_whose_project_is_gone_does_not_remove_its_fence(place):
    """It is there before the request, and so is applied with it."""
    place.start()
    place.executor.report(place.assigned, "attempt.finished", outcome="completed", published=False, closed=False, retryable=False, result=result())
    wait_for(lambda: place.gateway.sql("select count(*) from early_results") == [(1,)], "the early result")
    place.read_again()
    assert place.executor.wait_command("attempt.released", place.running)["last"] is False


def test_a_build_whose_project_is_gone_is_given_to_nobody(place):
    """Its turn is before that of one of its class whose project is there."""
    place.start()
    place.read_again()
    place.caught_up()
    place.worker(labels=LABELS, works=True)
    place.gateway.wait(place.gateway.post(place.gateway.project(), labels=LABELS), "completed")
    assert place.gateway.row(place.waiting)["phase"] == "queued" and place.gateway.attempts(place.waiting) == []


def test_a_build_whose_project_is_gone_is_not_given_out_again_when_its_attempt_is_lost(place):
    place.start(lease_ms=2000)
    place.read_again()
    place.caught_up()
    wait_for(lambda: place.gateway.first_attempt(place.running, "state") == "lost", "the attempt to be lost")
    later = place.gateway.post(place.gateway.project())
    place.executor.run(place.executor.assigned(later))
    place.gateway.wait(later, "completed")
    assert place.gateway.row(place.running)["phase"] == "queued" and len(place.gateway.attempts(place.running)) == 1


def test_a_build_whose_project_is_gone_ends_when_its_time_in_the_queue_is_over(place):
    place.start()
    place.read_again()
    place.caught_up()
    place.gateway.sql("update build_queue set deadline = now() where build_id = %s", place.waiting)
    assert place.gateway.wait(place.waiting)["error_class"] == "queue_timeout"
