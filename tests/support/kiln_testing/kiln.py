"""What most tests need of a running system, in one object."""

import datetime
import uuid

from . import agents, trail
from .agents import Agents, spec, waiting_spec
from .applied import wait_applied
from .client import Client, pointers
from .records import partition_of
from .repositories import Repository
from .waiting import TooLate, wait_for

ENDED = ("completed", "failed", "cancelled")
FAST = "printf '%s\\n' hello > hello.txt\necho done"


class Kiln:
    """A system with an admin's client, the tap and the webhook receiver of this session."""

    def __init__(self, system, tap, receiver):
        self.system = system
        self.tap = tap
        self.receiver = receiver
        self.api = Client(system.url, system.env["KILN_TOKEN"])
        self.agents = Agents(system)
        self.absent_workers = []

    def close(self):
        if self.absent_workers:
            self.system.sql("delete from workers where id = any(%s)", self.absent_workers)
        self.agents.close()
        self.api.close()

    def at(self, gateway, client=None):
        """The admin, or another client, at another gateway."""
        return Client(gateway.url, (client or self.api).token)

    # -- making things

    @staticmethod
    def name(prefix="p"):
        return f"{prefix}-{uuid.uuid4().hex[:16]}"

    def project(self, **fields):
        """A new project; the answer, with the webhook secret."""
        body = {"name": self.name(), **fields}
        return self.api.post("/projects", body, expect=201).json()

    def repository(self, project):
        """A project's repository under KILN_GIT_BASE_URL."""
        return Repository(self.system, project["name"])

    def seeded(self, files=None, **fields):
        """A new project whose repository has a commit: (project, repository)."""
        project = self.project(**fields)
        repository = self.repository(project)
        repository.seed(files)
        return project, repository

    def token(self, scopes, **fields):
        """A client with a new token."""
        body = {"name": "test", "scopes": list(scopes), **fields}
        answer = self.api.post("/tokens", body, expect=201).json()
        client = self.api.with_token(answer["token"])
        client.id = answer["id"]
        return client

    def short_token(self, body, **kwargs):
        """A token that has expired a moment later: (the answer, when). A slow machine may get there when that is over, and then takes longer."""
        for seconds in (1, 3, 9, 27, 81):
            ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
            answer = self.api.post("/tokens", body | {"expires_at": ends.isoformat()}, expect=(201, 422), **kwargs)
            if answer.status_code == 201:
                return answer.json(), ends
            assert pointers(answer) == {"/expires_at": "in_the_past"}
        raise TooLate("no token lives long enough")

    def absent_worker(self):
        """A worker's id, of one that never was: nothing is given to it. It stays until this Kiln is closed."""
        worker = str(uuid.uuid4())
        self.absent_workers.append(worker)
        self.system.sql(
            "insert into workers (id, partition, incarnation, nonce, state, slots, read_offset, hello_at, heartbeat_at)"
            " values (%s, %s, 1, %s, 'active', 1, 0, now(), now() - interval '1 hour')",
            worker, partition_of(worker.encode(), self.tap.partitions["kiln.worker.events"]), str(uuid.uuid4()),
        )  # fmt: skip
        return worker

    def until_expiry(self, scopes, begin):
        """(what begin(client) gives of a client whose token expires soon after, when it does). A slow machine may begin when that is over (then it gives None), and has longer."""
        for seconds in (3, 9, 27, 81):
            ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
            body = {"name": "test", "scopes": list(scopes), "expires_at": ends.isoformat()}
            answer = self.api.post("/tokens", body, expect=(201, 422))
            begun = begin(self.api.with_token(answer.json()["token"])) if answer.status_code == 201 else None
            if begun is not None:
                return begun, ends
        raise TooLate("no token lives long enough")

    # -- builds

    def post(self, project, body, **kwargs):
        """POST …/builds; the task_id."""
        return self.api.post(f"/projects/{project['id']}/builds", body, expect=202, **kwargs).json()["task_id"]

    def waiting(self, project=None):
        """A build that nobody will run, of a project of its own if none is given; the task_id."""
        return self.post(project or self.project(), waiting_spec())

    def run(self, project, script, **fields):
        """A build of a command agent made of this script; the task_id."""
        return self.post(project, spec(self.agents.write(script), **fields))

    def etag(self, path):
        return self.api.get(path, expect=200).headers["etag"]

    def build(self, task):
        return self.api.get(f"/builds/{task}", expect=200).json()

    def wait_end(self, task, deadline=120.0):
        """The ended build, as GET shows it. The trail is verified on the way."""
        self.tap.wait_end(task, deadline)
        build = wait_for(lambda: self._ended(task), f"build {task} to end")
        self.trail(task)
        return build

    def error_class(self, task, deadline=120.0):
        """Of a build that must fail."""
        build = self.wait_end(task, deadline)
        assert build["status"] == "failed" and build["result"]["success"] is False, build
        return build["result"]["error"]["class"]

    def _ended(self, task):
        build = self.build(task)
        return build if build["status"] in ENDED else None

    def wait_phase(self, task, *phases, deadline=120.0):
        """Until the build's trail has been in one of these phases."""
        return self.tap.wait(
            lambda: next(
                (r for r in self.tap.by_build.get(task, []) if r.topic == "kiln.build.events" and r.data["phase"] in phases), None
            ),
            f"build {task} to be in {phases}",
            deadline,
        )

    def trail(self, task):
        """All events by the API, verified."""
        items = self.api.pages(f"/builds/{task}/events")
        trail.verify(items)
        return items

    def continued(self, task):
        """What the trail says of how each agent of it went on from an earlier build."""
        return [item["data"].get("continued") for item in self.trail(task) if item["type"] == "build.phase" and item["data"]["phase"] == "agent"]

    def wait_applied(self, consumer, topic, partitions=None):
        """Waits until the consumer has applied what is in these partitions (in all of the topic's) by now."""
        numbers = range(self.tap.partitions[topic]) if partitions is None else partitions
        wait_applied(self.system.brokers, self.system.sql, consumer, topic, numbers)

    def log_is_stored(self, task):
        """Waits for what the build's executor has written by now; it is another way than that of its results."""
        self.wait_applied("kiln-log-store", "kiln.build.logs", [partition_of(task.encode(), self.tap.partitions["kiln.build.logs"])])

    def log(self, task):
        self.log_is_stored(task)
        return self.api.pages(f"/builds/{task}/logs", limit=500)

    def log_text(self, task):
        return "\n".join(line["text"] for line in self.log(task))

    def prune(self, task):
        """Ends it, 401 days ago, and waits until retention has removed it."""
        self.cancel(task)
        self.wait_end(task)
        self.system.sql(
            "with aged as (update build_audit set created_at = created_at - age, finished_at = finished_at - age"
            " from (select interval '401 days' as age) as old where id = %s)"
            " update ended_builds set created_at = created_at - interval '401 days' where build_id = %s",
            task, task,
        )  # fmt: skip
        wait_for(lambda: not self.system.sql("select 1 from build_audit where id = %s", task), "the build to be removed")

    def cancel(self, task, expect=202):
        return self.api.post(f"/builds/{task}/cancel", expect=expect).json()

    def leftovers(self, marker):
        return agents.processes_with(marker)
