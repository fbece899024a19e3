#!/usr/bin/env python3
"""What pages and sources cite is there: pages name files that exist, everybody names pages and sections that exist."""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = re.compile(r"`([\w./-]+\.(?:c|h|sql|pml|py|md))`")
PAGES = re.compile(r"\bdocs/[\w-]+\.md")
# A comment may end its line in between.
SECTIONS = re.compile(r"\b(docs/[\w-]+\.md)`?,?(?:\s|\*|#|--|//)+sections?\s+(\d+)((?:,\s*\d+)*(?:\s*and\s+\d+)?)")
# Notes that are not in the repository. Migrations are checksummed and go on naming them; docs/protocol.md says where they went.
NOTES = re.compile(r"\b(?:PROTOCOL|CONTRACT|DESIGN)\.md|(?<![\w./-])facts/[\w.-]+")
NAMES_NOTES = ("migrations/", "docs/protocol.md", "tests/docs/check_citations.py")
NOT_OURS = {"build", ".git", ".dev", ".cache"}
# What docs/adding-an-agent.md adds, and what agents look for in a repository.
EXAMPLES = {"executor/agents/mason.c", "CLAUDE.md"}


def sources():
    """Path from the root, and text, of all files that are text."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - NOT_OURS)
        for path in (pathlib.Path(folder) / file for file in files):
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError):
                continue  # not text; a link that leads nowhere


def headings(text):
    return set(re.findall(r"^## (\d+)\.", text, re.MULTILINE))


def wrong_in(name, text, texts):
    page = name.endswith(".md")
    for file in FILES.findall(text) if page else ():
        if file not in EXAMPLES and not any(other == file or other.endswith("/" + file) for other in texts):
            yield f"no file {file}"
    for cited in PAGES.findall(text):
        if cited not in texts:
            yield f"no page {cited}"
    for cited, first, others in SECTIONS.findall(text):
        for number in (first, *re.findall(r"\d+", others)):
            if number not in headings(texts.get(cited, "")):
                yield f"{cited} has no section {number}"
    if not name.startswith(NAMES_NOTES):
        for note in NOTES.findall(text):
            yield f"{note} is not in the repository"


def main():
    texts = dict(sources())
    found = [f"{name}: {what}" for name, text in texts.items() for what in wrong_in(name, text, texts)]
    if sum(len(SECTIONS.findall(text)) for text in texts.values()) < 50:
        found.append("hardly a section is cited: has the form changed?")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
