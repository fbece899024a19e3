"""Where things lie in the clone."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCHEMAS = ROOT / "schemas"
DEV = ROOT / "dev"
# The binaries under test; ctest sets it to the build it belongs to.
PRESET = os.environ.get("KILN_TEST_PRESET", "release")
BIN = ROOT / "build" / PRESET / "bin"
