"""What 100,000 builds that wait in 500 projects cost the others: two systems side by side that differ in nothing but them, measured in turn.

- turn: builds wait for slots that are all taken, new ones come as fast as slots are given back; from a worker's report of a result to its receipt of the next
  assignment. In the system where none wait, a few dozen do, for every slot must find one.
- other_class: they wait for slots that are all taken and stay so, a running build in each project; new builds of another class, for which slots are free, from the
  POST's first byte to the worker's receipt of the assignment.
- parked: the same, but the new ones have the class of those that wait, and those wait for their projects, which may have one running build each.
"""
import contextlib
import time

import rig as rigs
from bench import alternate, median_of
from kiln_testing.waiting import wait_for
from measures import WARM_UP_S, ours, summary

PROJECTS = 500
WORKERS, SLOTS = 4, 16
TURNS_JOB = "uniform:340:1000"  # milliseconds: fewer slots are given back than builds come, so that each finds one
TURNS_RATE = 100  # builds posted a second meanwhile
SPARE = 40  # builds that wait at least when a run begins
MARGIN_S = 2  # at the end of a run, in which slots that were given back before it get their next build
FOREVER_MS = 3_600_000
SEEN_MAX = 1000  # builds: whether more wait is not counted
FACTOR = 2.0


def now_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Side:
    """One of the two systems."""

    def __init__(self, rig, waiting):
        self.rig, self.waiting = rig, waiting
        self.projects = [rig.project() for _ in range(PROJECTS)]
        self.project = rig.project()  # of the builds that are measured
        self.deep, self.fresh = (rig.body(name, labels=[name]) for name in ("deep", "fresh"))
        self.refused, self.fewest, self.lost, self.runs = [], SEEN_MAX, 0, 0

    def one(self, statement):
        return self.rig.system.sql(statement)[0][0]

    def waiting_now(self):
        """Up to SEEN_MAX."""
        return self.one(f"select count(*) from (select from build_queue limit {SEEN_MAX}) as waiting")

    def record(self):
        self.runs += 1
        return self.rig.scratch / f"received-{self.runs}.txt"

    def compile(self):
        receipts = self.record()
        sim = self.rig.sim(WORKERS, SLOTS, job="50", record=receipts, drain=True)
        done = self.rig.let_broker_compile(lambda: ours(self.rig, self.project, self.rig.body(), receipts, 100, 300, []))
        sim.stop()
        return done

    def post(self, count):
        """All are accepted, of those that were refused for a moment another one."""
        left = count
        for _ in range(5):
            if left > 0:
                left -= self.rig.load(self.projects, self.deep, left).wait(60 + count / 200)["accepted"]
        assert left <= 0, f"{left} of {count} builds were not accepted"

    def fill(self):
        """Until so many wait, and of each project one more, which will run."""
        wanted = self.waiting + PROJECTS
        self.post(max(0, wanted - self.one("select count(*) from build_queue")))
        wait_for(lambda: self.one("select count(*) from build_queue") >= wanted, "all builds to wait", 60 + self.waiting / 200, poll=1)

    # -- the measures

    def turns(self, seconds):
        """Of the slots that were given back in so many seconds."""
        self.post(max(0, WORKERS * SLOTS + SPARE - self.waiting_now()))
        record = self.record()
        sim = self.rig.sim(WORKERS, SLOTS, job=TURNS_JOB, record=record, labels=("deep",), drain=True)
        total_s = WARM_UP_S + seconds + MARGIN_S
        load = self.rig.load(self.projects, self.deep, TURNS_RATE * total_s, connections=16, rate=TURNS_RATE)
        began = now_us()
        while now_us() < began + total_s * 1_000_000:
            self.fewest = min(self.fewest, self.waiting_now())
            time.sleep(0.5)
        self.refused.append(TURNS_RATE * total_s - load.wait(60)["accepted"])
        done = sim.stop()
        self.lost += done["left"] + done["abandoned"]
        first = began + WARM_UP_S * 1_000_000
        turns = [(int(freed), int(received)) for _, received, freed in rigs.read_record(record).values()]
        waits = [received - freed for freed, received in turns if first <= freed < first + seconds * 1_000_000]
        assert waits, f"no slot was given back and taken in {seconds} s: {done}"
        return summary(waits) | {"turns": len(waits)}

    def posts(self, body, receipts, rate, count):
        return ours(self.rig, self.project, body, receipts, rate, count, self.refused)

    # -- between them

    def hold(self):
        """From now on a build of each project runs, and the project may have no other."""
        if not self.waiting:
            sim = self.rig.sim(1, 128, labels=("deep",))
            self.rig.wait_until_idle()  # the last turns' rest
            sim.stop()
        self.fill()
        for project in self.projects:
            self.rig.http.patch(f"/projects/{project['id']}", json={"concurrency": 1}, headers={"If-Match": "*"}).raise_for_status()
        self.rig.sim(WORKERS, PROJECTS // WORKERS, job=str(FOREVER_MS), labels=("deep",))
        wait_for(lambda: self.one("select count(*) from project_slots") == PROJECTS, "a build of each project to run", 120)
        assert self.waiting or self.waiting_now() == 0

    def park(self):
        """They are met by workers that might take them."""
        wait_for(lambda: not self.one("select exists (select from build_queue where not parked)"), "all to be parked", 300, poll=0.2)
        assert self.one("select count(*) from build_queue") >= self.waiting


def bars(report, pair, name):
    for key in ("median_ms", "p99_ms"):
        full, empty = (median_of(results, key) for results in pair)
        what = name.replace("KEY", key.removesuffix("_ms"))
        report.metric(f"{what}_ms", full)
        report.metric(f"{what}_none_waiting_ms", empty)
        report.bar(f"{what}_of_none_waiting", full / empty, at_most=FACTOR)


def compare_posts(report, options, counts, sides, scene, body):
    """The POSTs' latency, by workers of that body's label in both."""
    records = [side.record() for side in sides]
    sims = [side.rig.sim(WORKERS, SLOTS, job="50", record=record, labels=(body,)) for side, record in zip(sides, records)]
    if scene == "parked":
        for side in sides:
            side.park()
    for rate, count in counts.items():
        pair = alternate(options.pairs, *(
            lambda side=side, record=record: side.posts(getattr(side, body), record, rate, count) for side, record in zip(sides, records)))  # pylint: disable=cell-var-from-loop
        bars(report, pair, f"{scene}_KEY_at_{rate}_per_s")
    report.metric(f"{scene}_parked", sides[0].one("select count(*) from build_queue where parked"))
    for sim in sims:
        sim.stop()


def compare(report, options, counts):
    with contextlib.ExitStack() as stack:
        sides = []
        for count in (options.waiting, 0):
            rig = stack.enter_context(rigs.rig("dispatch", "--executors", "0"))
            stack.enter_context(rigs.build_services(rig.system, options.instances))
            sides.append(Side(rig, count))
        full, empty = sides
        report.metric("waiting", options.waiting)
        report.metric("brokers_compiled", all([side.compile() for side in sides]))
        rigs.say(f"  {options.waiting} builds begin to wait")
        full.fill()
        seconds = 6 if options.quick else 15
        rigs.say("  turns of slots")
        bars(report, alternate(options.pairs, lambda: full.turns(seconds), lambda: empty.turns(seconds)), "turn_KEY")
        report.metric("turn_fewest_waiting", [side.fewest for side in sides])
        report.require(not any(side.lost for side in sides), "attempts were lost: the machine did not keep up")
        report.require(min(side.fewest for side in sides) > 0, "slots were given back for which no build waited")
        for side in sides:
            side.hold()
        for scene, body in (("other_class", "fresh"), ("parked", "deep")):
            rigs.say(f"  {scene}")
            compare_posts(report, options, counts, sides, scene, body)
        report.metric("waiting_at_the_end", left := full.one("select count(*) from build_queue"))
        report.require(left >= options.waiting, f"only {left} builds wait at the end")
        report.bar("other_answers_than_202", sum(sum(side.refused) for side in sides), at_most=0)
