"""A partition without a leader: its workers and builds are left alone, and everybody else's deadlines go on."""
import os
import signal
import uuid

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from databases import Database
from kiln_testing.kafka_topics import set_settings
from kiln_testing.records import partition_of
from kiln_testing.system import System, free_folder
from kiln_testing.waiting import stays, wait_for
from playing import ASSIGNMENTS, RESULTS, WORKER_EVENTS, Gateway, Service, Worker, new_id

BROKERS = (1, 2, 3)
LEASE_S = 3
SETTINGS = {"KILN_LEASE_MS": str(LEASE_S * 1000), "KILN_ACCEPT_DEADLINE_MS": "2000", "KILN_WORKER_FRESH_MS": "60000"}
ALONE = {ASSIGNMENTS: 32, RESULTS: 12, WORKER_EVENTS: 12}  # partitions


@pytest.fixture(scope="module", name="system")
def three_brokers():
    one = System(free_folder("kiln-test-infra-"))
    try:
        yield one.up("--infra", "--brokers", "3")
    finally:
        one.down()


def broker_of(partition):
    return BROKERS[partition % len(BROKERS)]


def make_topics(admin):
    """Each partition is on one broker alone."""
    topics = [NewTopic(topic, partitions, replica_assignment=[[broker_of(partition)] for partition in range(partitions)]) for topic, partitions in ALONE.items()]
    for made in admin.create_topics(topics).values():
        made.result(60)


def take_one_replica(admin):
    """kiln-migrate asks for two of three."""
    set_settings(admin, ALONE, min_insync_replicas="1")


def coordinator(admin, group):
    return admin.describe_consumer_groups([group])[group].result(60).coordinator.id


def no_leaders(admin, broker):
    """Of what lay on it."""
    topics = admin.list_topics(timeout=60).topics
    return all(topics[name].partitions[partition].leader == -1 for name, partitions in ALONE.items() for partition in range(partitions) if broker_of(partition) == broker)


def brokers_of(key):
    return {broker_of(partition_of(key.encode(), partitions)) for partitions in ALONE.values()}


def id_on(broker, make=new_id):
    return next(one for one in iter(make, None) if brokers_of(one) == {broker})


def id_elsewhere(broker, make=new_id):
    return next(one for one in iter(make, None) if broker not in brokers_of(one))


def worker_id():
    return str(uuid.uuid4())


def test_a_partition_without_a_leader_stops_nothing_of_others(system, tmp_path):
    admin = AdminClient({"bootstrap.servers": system.brokers})
    make_topics(admin)
    database = Database(system, tmp_path)
    database.migrate()
    take_one_replica(admin)
    gateway, service, workers = Gateway(database), Service(database, tmp_path, **SETTINGS), []
    try:
        service.start()
        # A broker that no group needs, so that nobody has to take partitions over.
        broker = next(one for one in BROKERS if one not in (coordinator(admin, "kiln-build-service"), coordinator(admin, "kiln-log-store")))
        silent = Worker(database, slots=1, labels=["silent"], worker_id=id_elsewhere(broker, worker_id))
        deaf = Worker(database, slots=2, labels=["deaf"], worker_id=id_elsewhere(broker, worker_id))
        unheard = Worker(database, slots=1, labels=["unheard"], worker_id=id_on(broker, worker_id))
        unread = Worker(database, slots=1, labels=["unread"], worker_id=id_on(broker, worker_id))
        workers += [silent, deaf, unheard, unread]
        runs = gateway.post(gateway.project(), build=id_elsewhere(broker), labels=["silent"])
        silent.accept(silent.assigned(runs))
        gateway.wait(runs, "running")
        deaf.deafen()
        unread.deafen()
        wait_for(lambda: gateway.sql("select count(*) from workers where state = 'active'") == [(4,)], "all workers")
        for worker in (unheard, unread):
            worker.quieten()
        os.kill(system.pids("KAFKA")[broker - 1], signal.SIGKILL)
        wait_for(lambda: no_leaders(admin, broker), "its partitions to have no leader")
        left = gateway.post(gateway.project(), build=id_on(broker), labels=["deaf"])
        missed = gateway.post(gateway.project(), build=id_elsewhere(broker), labels=["deaf"])
        unsent = gateway.post(gateway.project(), build=id_elsewhere(broker), labels=["unread"])
        silent.freeze()
        wait_for(lambda: gateway.first_attempt(missed, "end_reason") == "accept_timeout", "the missed accept to be told")
        wait_for(lambda: gateway.first_attempt(runs, "end_reason") == "lease_expired", "the lease to end")
        wait_for(lambda: all(gateway.first_attempt(build, "state") for build in (left, unsent)), "the other two to be given away")
        stays(lambda: all(gateway.first_attempt(build, "state") == "assigned" for build in (left, unsent)), "what nobody can know", 2 * LEASE_S)
        assert gateway.sql("select state from workers where id = %s", unheard.id) == [("active",)]
        # Who begins now takes what has a leader, and leaves out what has none.
        service.stop(signal.SIGKILL)
        service = Service(database, tmp_path, **SETTINGS).start(wait=False)
        late = Worker(database, slots=1, labels=["late"], worker_id=id_elsewhere(broker, worker_id))
        workers.append(late)
        goes_on = gateway.post(gateway.project(), build=id_elsewhere(broker), labels=["late"])
        late.accept(late.assigned(goes_on, deadline=180))
        gateway.wait(goes_on, "running")
    finally:
        for worker in workers:
            worker.stop()
        service.stop(signal.SIGKILL)
        gateway.connection.close()
