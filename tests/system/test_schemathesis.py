"""schemathesis reads the published OpenAPI document and looks for where the gateway is not what it says: what it allows and forbids, field by
field, what answers look like, and what comes of following the links from answer to answer."""

import os
import pathlib
import random
import re
import subprocess
import sys

import pytest
from kiln_testing import contract, places
from kiln_testing.agents import spec
from kiln_testing.kiln import FAST

HERE = pathlib.Path(__file__).parent
# At length with random numbers of its own each time; in every test run the same ones, so that it fails for what was changed and not by
# luck. What a seed finds is a fault: no seed has one.
LONG = "KILN_TEST_LONG" in os.environ
EXAMPLES = 150 if LONG else 6
# What schemathesis.toml leaves out.
ENDLESS = ("streamEvents", "streamProjectEvents")
SEED = random.randrange(1 << 32) if LONG else 1


def run(kiln, folder, *options):
    """schemathesis' exit code and all that it wrote."""
    script = pathlib.Path(sys.executable).with_name("schemathesis")
    environment = os.environ | {
        "KILN_TOKEN": kiln.api.token,
        "KILN_TEST_TOKEN_ID": kiln.api.get("/me", expect=200).json()["id"],
        "PYTHONPATH": str(places.ROOT / "tests" / "support"),
        "NO_PROXY": "*",
    }
    command = [script, "--config-file", HERE / "schemathesis.toml", "run", f"{kiln.system.url}/openapi.json", "--no-color", *options]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.timeout(7200 if LONG else 600)
def test_gateway_and_contract_agree_wherever_schemathesis_looks(own_kiln, tmp_path):
    # The project of the contract's examples, with an agent: their builds are accepted, run and end.
    own_kiln.project(name="demo", agent=spec(own_kiln.agents.write(FAST))["agent"])
    code, output = run(own_kiln, tmp_path, "--seed", SEED, "--max-examples", EXAMPLES)
    print(output)
    assert code == 0, f"schemathesis has findings (seed {SEED}); they are above"
    selected, total = map(int, re.search(r"(\d+) selected / (\d+) total", output).groups())
    assert total >= len(contract.operations()) - 1  # it leaves out the document that it reads
    assert selected == total - len(ENDLESS) and "Stateful" in output
    own_kiln.api.get("/me", expect=200)
