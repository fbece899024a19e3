"""A log that is not the one that was read: the partition stops instead of skipping what comes, says so, and goes on when the operator has decided."""

import signal
import uuid

import confluent_kafka.admin
from kiln_testing.agents import Gate, waiting_spec
from kiln_testing.fleet import Fleet
from kiln_testing.records import partition_of
from kiln_testing.services import migrate, ops_get
from kiln_testing.waiting import stays, wait_for

REQUESTS, EVENTS = "kiln.build.requests", "kiln.worker.events"


def post_to(kiln, project, partition):
    """A build that waits, of this partition of the requests."""
    while True:
        task = kiln.post(project, waiting_spec())
        if partition_of(task.encode(), kiln.tap.partitions[REQUESTS]) == partition:
            return task


def is_applied(kiln, task):
    return bool(kiln.system.sql("select 1 from build_audit where id = %s", task))


def wait_stopped(kiln, log, *reasons):
    """It says so, and in its log why."""
    ready = kiln.system.env["KILN_OPS_BUILD_SERVICE"]
    wait_for(lambda: (answer := ops_get(ready, "/readyz")) is not None and "a partition is stopped" in answer.text, "the partition to be stopped")
    assert any(reason in kiln.system.log(log) for reason in reasons)


def test_records_that_retention_took_unread_stop_the_partition_until_the_loss_is_accepted(own_kiln):
    kiln, project, fleet = own_kiln, own_kiln.project(), Fleet(own_kiln.system)
    fleet.adopt_all()
    try:
        # Ended, not frozen: a fetch that waits at the broker would have the record.
        reader = fleet.members["build-service-1"]
        reader.end(signal.SIGTERM)
        lost = kiln.post(project, waiting_spec())
        record = kiln.tap.wait_type(lost, "build.requested")[0]
        place = confluent_kafka.TopicPartition(REQUESTS, record.partition, record.offset + 1)
        admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": kiln.system.brokers})
        admin.delete_records([place])[place].result(60)
        reader.start()
        wait_stopped(kiln, reader.name, "records were lost unread")
        task = post_to(kiln, project, record.partition)
        assert "left alone" in migrate(kiln.system, "rewind", expect=1)[1]
        other = post_to(kiln, project, (record.partition + 1) % kiln.tap.partitions[REQUESTS])
        wait_for(lambda: is_applied(kiln, other), "another partition's request to be applied")
        assert not is_applied(kiln, task)
        migrate(kiln.system, "rewind-with-loss")
        kiln.tap.wait_type(task, "build.pending")
        assert not is_applied(kiln, lost)
    finally:
        fleet.close()


def test_a_log_that_has_lost_its_end_stops_the_partition_and_nothing_that_comes_is_skipped(own_kiln):
    kiln, project, fleet = own_kiln, own_kiln.project(), Fleet(own_kiln.system)
    fleet.adopt_all()
    try:
        broker = fleet.members["kafka-1"]
        logs = {int(path.parent.name.rpartition("-")[2]): path for path in kiln.system.folder.glob(f"run/kafka-1/{REQUESTS}-*/*.log")}
        sizes = {partition: path.stat().st_size for partition, path in logs.items()}
        first = kiln.post(project, waiting_spec())
        kiln.tap.wait_type(first, "build.pending")
        partition = partition_of(first.encode(), kiln.tap.partitions[REQUESTS])
        before = kiln.trail(first)
        # As a power failure may leave it.
        broker.end(signal.SIGKILL)
        with logs[partition].open("r+b") as log:
            log.truncate(sizes[partition])
        broker.start()
        # Its record gets the offset that the lost one had.
        second = wait_for(lambda: post_when_back(kiln, project, partition), "the broker to take builds")
        wait_stopped(kiln, "build-service", "the log was truncated", "not the one that was applied")
        assert not is_applied(kiln, second)
        migrate(kiln.system, "rewind")
        kiln.tap.wait_type(second, "build.pending")
        assert kiln.trail(first) == before
        for task in (first, second):
            kiln.cancel(task)
            assert kiln.wait_end(task)["status"] == "cancelled"
    finally:
        fleet.close()


def worker_of_another(kiln, partition):
    return next(name for name in map(str, iter(uuid.uuid4, None)) if partition_of(name.encode(), kiln.tap.partitions[EVENTS]) != partition)


def test_a_log_of_heartbeats_that_has_lost_its_end_makes_no_worker_lost_and_hides_no_loss_of_another(own_kiln):
    """What the worker says now lies below what was applied, and is not read: nobody knows whether it is silent."""
    kiln, fleet = own_kiln, Fleet(own_kiln.system)
    project, _ = kiln.seeded()
    fleet.adopt_all()
    lease_s = 8
    try:
        broker, service = fleet.members["kafka-1"], fleet.members["build-service-1"]
        service.end(signal.SIGTERM)
        service.environment["KILN_LEASE_MS"] = str(lease_s * 1000)
        service.start()
        gate = Gate(kiln)
        task = kiln.run(project, gate.script)
        kiln.wait_phase(task, "agent")
        worker = kiln.build(task)["worker_id"]
        partition = partition_of(worker.encode(), kiln.tap.partitions[EVENTS])
        log = next(kiln.system.folder.glob(f"run/kafka-1/{EVENTS}-{partition}/*.log"))
        broker.end(signal.SIGKILL)
        with log.open("r+b") as file:
            file.truncate(0)
        broker.start()
        wait_stopped(kiln, service.name, "the log was truncated", "not the one that was applied")
        stays(lambda: kiln.build(task)["status"] == "running", "the build", 2 * lease_s)
        with kiln.system.executor(labels=["mortal"], KILN_WORKER_ID=worker_of_another(kiln, partition)) as mortal:
            other = kiln.run(project, gate.script, labels=["mortal"])
            kiln.wait_phase(other, "agent")
            mortal.kill(signal.SIGKILL)
            (lost,) = kiln.tap.wait_type(other, "build.attempt_lost")
            assert lost.data["reason"] == "lease_expired" and kiln.build(task)["status"] == "running"
        kiln.cancel(other)
        gate.open()
        assert kiln.wait_end(task)["status"] == "completed"
        assert not [event for event in kiln.trail(task) if event["type"] == "build.attempt_lost"]
    finally:
        fleet.close()


def post_when_back(kiln, project, partition):
    answer = kiln.api.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=(202, 503))
    return post_to(kiln, project, partition) if answer.status_code == 202 else None
