"""kiln-migrate rewind: consumers whose log is no more the one that they have read go back to its start, and nobody else does."""
import confluent_kafka
import confluent_kafka.admin
import pytest

from kiln_testing import cloudevents
from kiln_testing.waiting import wait_for
from playing import REQUESTS, Gateway, Service, Worker, skip_old_records

CONSUMER, TOPIC = "kiln-log-store", "kiln.build.logs"


@pytest.fixture(name="place")
def own_database(database):
    database.migrate()
    return database


def rewind(database, command="rewind", expect=0):
    """Its log."""
    done = database.run(command)
    assert done.returncode == expect, done.stderr
    return done.stderr


def produce(database, partition, *ce_ids):
    """(log start, log end) after it."""
    producer = confluent_kafka.Producer({"bootstrap.servers": database.system.brokers})
    for ce_id in ce_ids:
        producer.produce(TOPIC, b"{}", partition=partition, headers=cloudevents.headers("build.log", "/test", None, ce_id=ce_id))
    assert producer.flush(60) == 0
    return watermarks(database, TOPIC, partition)


def watermarks(database, topic, partition):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": database.system.brokers, "group.id": "watermarks"})
    try:
        return consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), timeout=60)
    finally:
        consumer.close()


def place_at(database, partition, offset, ce_id=None, cluster=None):
    database.sql(
        "update consumer_offsets set next_offset = %s, last_ce_id = %s, cluster_id = %s where consumer = %s and partition = %s",
        offset, ce_id, cluster, CONSUMER, partition,
    )  # fmt: skip


def place_of(database, partition):
    return database.sql(
        "select next_offset, last_ce_id, cluster_id from consumer_offsets where consumer = %s and partition = %s", CONSUMER, partition
    )[0]


def cluster_of(database):
    return confluent_kafka.admin.AdminClient({"bootstrap.servers": database.system.brokers}).list_topics(timeout=60).cluster_id


def all_rows(database):
    return database.sql("select * from consumer_offsets order by 1, 2, 3")


def test_sound_offsets_stay(place):
    _, end = produce(place, 0, "a", "b", "c")
    place_at(place, 0, end - 1, "b", cluster_of(place))
    before = all_rows(place)
    assert "rewound" not in rewind(place)
    assert all_rows(place) == before


def test_an_offset_beyond_the_end_of_the_log_goes_back_to_its_start(place):
    start, end = produce(place, 1, "a")
    place_at(place, 1, end + 5, "x", cluster_of(place))
    assert "the log ends below the offset" in rewind(place)
    assert place_of(place, 1) == (start, None, cluster_of(place))


def test_another_record_before_the_offset_goes_back_to_the_start(place):
    start, end = produce(place, 2, "a", "b")
    place_at(place, 2, end, "x", cluster_of(place))
    assert "is not the one that was applied" in rewind(place)
    assert place_of(place, 2) == (start, None, cluster_of(place))


def test_another_cluster_begins_at_its_start(place):
    start, end = produce(place, 3, "a", "b")
    place_at(place, 3, end, "b", "a cluster that was")
    assert "another cluster" in rewind(place)
    assert place_of(place, 3) == (start, None, cluster_of(place))


@pytest.mark.parametrize("reached", [True, False], ids=["reached", "of another log"])
def test_the_end_that_a_restore_has_noted_is_forgotten_with_the_offset(place, reached):
    moved = "update consumer_offsets set next_offset = next_offset + 5 where consumer = 'kiln-build-service' and topic = %s and partition = 5 returning next_offset"
    ((beyond,),) = place.sql(moved, REQUESTS)
    place.sql("insert into restored_logs values (%s, 5, %s), (%s, 6, 1000000)", REQUESTS, beyond + (0 if reached else 1000), REQUESTS)
    rewind(place)
    assert place.sql("delete from restored_logs returning partition") == [(6,)]


def test_lost_records_are_left_to_a_person(place):
    _, end = produce(place, 4, "a", "b", "c")
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": place.system.brokers})
    admin.delete_records([confluent_kafka.TopicPartition(TOPIC, 4, end - 1)])[confluent_kafka.TopicPartition(TOPIC, 4)].result(60)
    place_at(place, 4, end - 2, "a", cluster_of(place))
    assert "records were lost unread" in rewind(place, expect=1)
    assert place_of(place, 4) == (end - 2, "a", cluster_of(place))
    rewind(place, "rewind-with-loss")
    assert place_of(place, 4) == (end - 1, None, cluster_of(place))


@pytest.fixture(name="running")
def a_running_service(place, tmp_path):
    """(gateway, service), with a worker that does what it is told."""
    skip_old_records(place)
    gateway, service, worker = Gateway(place), Service(place, tmp_path), Worker(place, works=True)
    try:
        service.start()
        yield gateway, service
    finally:
        worker.stop()
        worker.bye()
        service.stop()
        gateway.connection.close()


def test_a_stopped_build_service_goes_on_and_nothing_is_done_twice(place, running):
    gateway, service = running
    project = gateway.project()
    first = gateway.queue(project)
    gateway.sender.flush()
    gateway.wait(first)
    trail = "select * from build_events where build_id = %s order by sequence"
    before = place.sql(trail, first)

    # As if the broker had lost the ends of its logs. The next record makes the service look.
    place.sql("update consumer_offsets set next_offset = next_offset + 1000 where topic = %s", REQUESTS)
    second = gateway.queue(project)
    gateway.sender.flush()
    wait_for(lambda: service.log_path.read_text(encoding="utf-8").count("PARTITION STOPPED") >= 12, "all partitions to be stopped", deadline=60.0)
    rewind(place)
    gateway.wait(second)
    assert gateway.status(first) == gateway.status(second) == "completed"
    assert place.sql(trail, first) == before
