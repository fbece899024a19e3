"""How soon one gateway goes by what another one has changed."""

from .agents import waiting_spec
from .waiting import seconds_until

# A gateway that is not told looks once a second: of a dozen changes three or four would be seen as soon as this, by chance.
PROMPTLY_S = 0.3
CHANGES = 12
LATE = 6  # on a busy machine; of those that are not told eight or nine would be


def spec_at(kiln, client, project, **fields):
    """What a build that is posted there now is resolved to; nobody takes it. `project`: its id or its name."""
    answer = client.post(f"/projects/{project}/builds", waiting_spec(**fields), expect=202)
    return kiln.build(answer.json()["task_id"])["spec"]


def patch(kiln, project, change):
    """The project with the change, made at the shared gateway."""
    return kiln.api.patch(f"/projects/{project['id']}", change, headers={"If-Match": kiln.etag(f"/projects/{project['id']}")}, expect=200).json()


def assert_prompt(change):
    """change(number) makes one of a dozen changes and answers whether it is seen: a condition that asks."""
    took = [seconds_until(change(number), "the change to be seen") for number in range(CHANGES)]
    late = [seconds for seconds in took if seconds > PROMPTLY_S]
    assert len(late) <= LATE, took


def assert_told(kiln, there):
    """That a project's changes are seen there at once."""
    project = kiln.project()
    spec_at(kiln, there, project["id"])  # it knows the project

    def change(number):
        nonlocal project
        project = patch(kiln, project, {"branch": f"branch-{number}"})
        return lambda: spec_at(kiln, there, project["id"])["branch"] == f"branch-{number}"

    assert_prompt(change)
