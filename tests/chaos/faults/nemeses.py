"""What is done to a running system, and undone again; and which of it when: a plan that the seed alone decides.

Each lane does one thing after another, side by side with the others: never are two brokers away at once.
"""

import dataclasses
import random
import signal
import socket
import time

import confluent_kafka
from kiln_testing import fleet
from kiln_testing.records import partition_of
from kiln_testing.waiting import TooLate, wait_for
from repeats import repeat

LEASE_S = 6.0
PAST_LEASE_S = (LEASE_S + 1, LEASE_S + 3)
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
LINKED = ("gateway-2", "build-service-2", "executor-2", "notifier")  # reach Kafka and Postgres by links
SERVICES = LINKED[:3]
LONE = "executor-3"  # has one slot, so that nothing else is lost with what it holds; is done harm to all the time
GIT = "executors/git"  # the link by which both executors reach the repositories of half of the projects
ASSIGNMENTS = "kiln.build.assignments"
REPEATED = 20  # records at most
LOOK_S = 0.1


@dataclasses.dataclass
class Done:
    """A fault that is over. `kind` is what was done to which kind of member."""

    kind: str
    member: str
    began: float  # wall clock
    ended: float
    seen: bool  # it took effect


@dataclasses.dataclass
class Fault:
    kind: str
    member: str
    seconds: float  # how long it lasts, once it has begun

    def __str__(self):
        return f"{self.kind} ({self.member}, {self.seconds:.1f} s)"

    def run(self, scene):
        """Does it and undoes it, for `seconds` or until the scene ends; whether its effect was seen."""
        raise NotImplementedError


@dataclasses.dataclass
class End(Fault):
    """Gone, by a signal; and started again as it was."""

    number: int = signal.SIGKILL
    whole: bool = False  # with all of its processes

    def run(self, scene):
        member = scene.fleet.members[self.member]
        with member.life:
            if self.number != signal.SIGKILL:
                member.wait_minds(self.number)
            ending = member.end(self.number, self.whole)
            scene.rest(self.seconds)
            member.start()
        asked = self.number == signal.SIGTERM and member.kind in fleet.KILN
        if asked and (ending.escalated or ending.status != 0):
            scene.wrong.append(f"{self}: {'it did not end' if ending.escalated else 'it ended'} after SIGTERM, with status {ending.status}: {member.last_words()}")
        if member.kind == "kafka":
            scene.wait_replicated(member)
        return not ending.escalated  # or it was another fault


@dataclasses.dataclass
class Freeze(Fault):
    """Stands still, and goes on as if no time had passed."""

    whole: bool = True

    def run(self, scene):
        member = scene.fleet.members[self.member]
        with member.life:
            try:
                member.freeze(self.whole)
                scene.rest(self.seconds)
            finally:
                member.thaw()
        return True


@dataclasses.dataclass
class Net(Fault):
    """What one member says to another is held, lost with its connection, or late."""

    ends: tuple = ()  # what it speaks to
    mode: str = "pass"
    delay_s: float = 0.0
    patience_s: float = 0.0  # for somebody to come by, from when on it lasts

    def run(self, scene):
        names = [f"{self.member}/{end}" for end in self.at(scene)]
        scene.links.set(names, self.mode, self.delay_s)
        end = time.monotonic() + self.patience_s
        try:
            while scene.links.touched(names) == 0 and time.monotonic() < end and not scene.over.is_set():
                scene.rest(LOOK_S)
            scene.rest(self.seconds)
            return scene.links.touched(names) > 0
        finally:
            scene.links.set(names, "pass")

    def at(self, scene):
        return self.ends


@dataclasses.dataclass
class Deaf(Net):
    """An executor is parted from the one broker that leads its assignments: it hears of none, and may say to the others that it is well."""

    def run(self, scene):
        try:
            return super().run(scene)
        except TooLate:
            return False  # the partition has no leader now

    def at(self, scene):
        return (scene.leader(ASSIGNMENTS, scene.fleet.members[self.member].worker_id),)


@dataclasses.dataclass
class Repeat(Fault):
    """Records of a topic that are there come once more, as they were: by a client that did not hear that they had arrived, late and behind younger ones."""

    topic: str = ""
    seed: int = 0

    def run(self, scene):
        try:
            return repeat(scene.brokers, self.topic, random.Random(self.seed), REPEATED) > 0
        except (confluent_kafka.KafkaException, BufferError):
            return False  # the partition has no leader now


def _ends(kind, members, number, seconds, **more):
    return [lambda chance, member=member: End(kind, member, chance.uniform(*seconds), number, **more) for member in members]


def _freezes(kind, members, seconds, whole=True):
    return [lambda chance, member=member: Freeze(kind, member, chance.uniform(*seconds), whole) for member in members]


def _nets(kind, members, ends, mode, seconds, delays=(0, 0), patience_s=0):
    return [lambda chance, member=member: Net(kind, member, chance.uniform(*seconds), ends, mode, chance.uniform(*delays), patience_s) for member in members]


def _repeats(kind, topic):
    return [lambda chance: Repeat(kind, "kafka", 0, topic, chance.randrange(1 << 30))]


def both(kind):
    return [f"{kind}-1", f"{kind}-2"]


# Of each row one entry is taken at a time, so that kinds with many members do not crowd out the others.
LANES = {
    "services": [
        _ends("kill gateway", both("gateway"), signal.SIGKILL, (0, 2)),
        _ends("kill build-service", both("build-service"), signal.SIGKILL, (0, 2)),
        _ends("kill executor", both("executor"), signal.SIGKILL, (0, 1)),
        _ends("kill executor's host", both("executor"), signal.SIGKILL, (0, 2), whole=True),
        _ends("kill notifier", ["notifier"], signal.SIGKILL, (0, 2)),
        _ends("end gateway", both("gateway"), signal.SIGTERM, (0, 0.5)),
        _ends("end build-service", both("build-service"), signal.SIGTERM, (0, 0.5)),
        _ends("end executor", both("executor"), signal.SIGTERM, (0, 0.5)),
        _ends("end notifier", ["notifier"], signal.SIGTERM, (0, 0.5)),
        _freezes("freeze gateway", both("gateway"), (0.5, 3)),
        _freezes("freeze build-service", both("build-service"), (0.5, 3)),
        _freezes("freeze build-service for long", both("build-service"), (7, 9)),  # past the group's session
        _freezes("freeze executor's host", both("executor"), PAST_LEASE_S),
        _freezes("freeze executor", both("executor"), PAST_LEASE_S, whole=False),
        _freezes("freeze notifier", ["notifier"], (0.5, 9)),  # also past its group's session
    ],
    "network": [
        _nets("part from Kafka", SERVICES, BROKERS, "hold", (1, 9)),
        _nets("part from a broker", [LINKED[1], LINKED[2]], BROKERS[:1], "hold", (2, 8)),
        [lambda chance: Deaf("part from the assignments' broker", LINKED[2], chance.uniform(4, 9), mode="hold")],  # longer than an accept may take
        _nets("part from Postgres", LINKED[:2], ("postgres",), "hold", (1, 8)),
        _nets("lose answers of Kafka", SERVICES, BROKERS, "answers", (1, 6)),
        _nets("lose requests to Kafka", LINKED[:1], BROKERS, "requests", (1, 6)),
        _nets("lose answers of Postgres", [LINKED[1]], ("postgres",), "answers", (1, 6)),
        _nets("cut from Kafka", SERVICES, BROKERS, "cut", (0.2, 4)),
        _nets("cut from Postgres", LINKED[:2], ("postgres",), "cut", (0.2, 3)),
        _nets("delay Kafka", SERVICES, BROKERS, "pass", (2, 5), (0.02, 0.4)),
        _nets("delay Postgres", LINKED[:2], ("postgres",), "pass", (2, 5), (0.01, 0.1)),
    ],
    "stores": [
        _ends("kill broker", BROKERS, signal.SIGKILL, (0, 2)),
        _freezes("freeze broker", BROKERS, (1, 8)),  # also past its session
        _ends("kill Postgres", ["postgres"], signal.SIGKILL, (0, 1), whole=True),
        _freezes("freeze Postgres", ["postgres"], (0.5, 4)),
        _ends("end broker", BROKERS, signal.SIGTERM, (0, 1)),
        _ends("quit Postgres", ["postgres"], signal.SIGQUIT, (0, 1)),
    ],
    "edges": [
        _ends("kill git server", ["git-server"], signal.SIGKILL, (0, 2)),  # not what serves a push: its locks would stay
        _freezes("freeze git server", ["git-server"], (0.5, 5)),
        _nets("part from git", ["executors"], ("git",), "hold", (1, 6), patience_s=10),
        _nets("lose answers of git", ["executors"], ("git",), "answers", (1, 6), patience_s=10),
        _nets("cut from git", ["executors"], ("git",), "cut", (0.2, 3), patience_s=10),
        _nets("part notifier from Kafka", ["notifier"], BROKERS, "hold", (1, 9)),
        _nets("part notifier from Postgres", ["notifier"], ("postgres",), "hold", (1, 8)),
        _nets("cut notifier off", ["notifier"], (*BROKERS, "postgres"), "cut", (0.2, 4)),
        _repeats("repeat requests", "kiln.build.requests"),
        _repeats("repeat results", "kiln.build.results"),
    ],
    # So often that builds are lost as often as they may. Does not count among the faults of a minute that counts.
    "losses": [
        _ends(f"kill {LONE}", [LONE], signal.SIGKILL, (0, 0.5)),
        _ends(f"kill {LONE}'s host", [LONE], signal.SIGKILL, (0, 0.5), whole=True),
        _freezes(f"freeze {LONE}'s host", [LONE], PAST_LEASE_S),
    ],
}
PAUSES_S = {"services": (1, 4), "network": (1, 5), "stores": (4, 9), "edges": (1, 5), "losses": (1.5, 3)}


def plan(seed, lane):
    """Endless: (pause before it, fault). Every kind of a lane comes once before any comes again."""
    chance = random.Random(f"{seed} {lane}")
    while True:
        rows = list(LANES[lane])
        chance.shuffle(rows)
        for row in rows:
            yield chance.uniform(*PAUSES_S[lane]), chance.choice(row)(chance)


class Scene:
    """Where it is played: the members, the links, and when it is over."""

    def __init__(self, system, fleet, links, over):
        self.fleet = fleet
        self.links = links
        self.over = over  # an Event: what lasts is undone at once
        self.brokers = system.brokers
        self.done = []  # of all lanes
        self.wrong = []

    def rest(self, seconds):
        self.over.wait(seconds)

    def leader(self, topic, key):
        """The name of the broker that leads the partition of this key now."""
        asking = self._asking()

        def led_by():
            try:
                known = asking.list_topics(topic, timeout=5)
            except confluent_kafka.KafkaException:
                return None
            partitions = known.topics[topic].partitions
            if not partitions:
                return None
            return known.brokers.get(partitions[partition_of(key.encode(), len(partitions))].leader)

        try:
            broker = wait_for(led_by, f"{topic} to have a leader", 60, poll=0.3)
        finally:
            asking.close()
        ports = [int(address.rpartition(":")[2]) for address in self.brokers.split(",")]
        return BROKERS[ports.index(broker.port)]

    def _asking(self):
        return confluent_kafka.Consumer({"bootstrap.servers": self.brokers, "group.id": "kiln-chaos", "log_level": 0, "error_cb": lambda _: None})

    def wait_replicated(self, member):
        """A broker that was started has caught up, or takes so long that the next fault may as well come."""
        host, _, port = self.brokers.split(",")[BROKERS.index(member.name)].rpartition(":")
        admin = self._asking()

        def whole():
            try:
                socket.create_connection((host, int(port)), 5).close()
                topics = admin.list_topics(timeout=5).topics.values()
            except (confluent_kafka.KafkaException, OSError):
                return False
            return all(len(partition.isrs) == len(BROKERS) for topic in topics for partition in topic.partitions.values())

        try:
            wait_for(whole, "all replicas to be in sync", 30, poll=0.3)
        except TooLate:
            pass
        finally:
            admin.close()

    def play(self, lane, seed, say):
        """One lane, until it is over."""
        for pause, fault in plan(seed, lane):
            self.rest(pause)
            if self.over.is_set():
                return
            began = time.time()
            try:
                seen = fault.run(self)
            except Exception as error:  # pylint: disable=broad-exception-caught  # it must be seen
                self.wrong.append(f"{fault}: {error!r}")
                return
            self.done.append(Done(fault.kind, fault.member, began, time.time(), seen))
            say(began, fault, time.time() - began, seen)
