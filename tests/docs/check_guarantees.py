#!/usr/bin/env python3
"""All files, tests and mutants that docs/guarantees.md names exist."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = re.compile(r"`([\w./-]+\.(?:c|h|py|sql|pml|md))`")
TESTS = re.compile(r"`([\w./-]+\.(?:c|py))::(\w+)`")
MUTANTS = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


def missing(text):
    for name in FILES.findall(text):
        if not any((ROOT / place / name).is_file() for place in ("", "tests")):
            yield f"no file {name}"
    for name, test in TESTS.findall(text):
        file = ROOT / "tests" / name
        found = file.is_file() and re.search(rf"\bdef {test}\(|\bstatic void {test}\(void|^TEST\({test}\)", file.read_text(encoding="utf-8"), re.MULTILINE)
        if not found:
            yield f"no test {name}::{test}"
    models = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "model").glob("*.pml"))
    for mutant in set(MUTANTS.findall(text)):
        if not re.search(rf"#if.*\b{mutant}\b", models):
            yield f"no mutant {mutant}"


def main():
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    wrong = list(missing(text))
    if len(TESTS.findall(text)) < 20:
        wrong.append("hardly a test is named: has the form changed?")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
