"""OpenCode's own retries, most of more than a minute, end as the contract says."""

import pytest
from kiln_testing.code_agents import code_agents
from model_api.script import Again, Cut, Fail, Finish, Rubbish

DEADLINE = 600.0
TROUBLES = {"429": [Fail(429)], "500": [Fail(500)], "529": [Fail(529)], "cut": [Cut()], "early end": [Finish(), Again()], "rubbish": [Rubbish()]}


@pytest.fixture(scope="module")
def lab(shared_system, shared_tap):
    with code_agents(shared_system, slots=len(TROUBLES)) as lab:
        yield lab


@pytest.fixture(scope="module")
def posted():
    return {}


@pytest.mark.timeout(700)
@pytest.mark.parametrize("name", TROUBLES)
def test_opencode_that_gives_up_on_its_model_is_model_unavailable(kiln, lab, posted, name):
    if not posted:
        project, _ = kiln.seeded()
        posted.update({name: lab.post(kiln, project, "opencode", *steps)[0] for name, steps in TROUBLES.items()})
    assert kiln.error_class(posted[name], DEADLINE) == "model_unavailable"
