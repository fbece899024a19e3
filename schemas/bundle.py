#!/usr/bin/env python3
"""Writes the one self-contained openapi.json that the gateway serves.

    bundle.py [SCHEMAS-DIR] OUTPUT

References are followed from file to file: JSON Schemas go to components/schemas under a name made of their file's, everything else
(paths, parameters, answers, headers) is put in its place or under components; `x-with-all` goes to every route, `x-with-token` to those that need a token. The same sources give the same bytes. Needs PyYAML.
"""

import json
import os
import sys

import yaml

# The same in C, five times as quick, where PyYAML was built with it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Files whose entries are shared, and the section of components where they go.
SECTIONS = {"parameters.yaml": "parameters", "headers.yaml": "headers", "responses.yaml": "responses"}
DROPPED = {"$schema"}


def camel(text):
    return "".join(word[:1].upper() + word[1:] for word in text.replace(".", "-").replace("_", "-").split("-"))


class Bundler:
    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.files = {}
        self.components = {}
        self.homes = {}  # (file, pointer) -> its reference in the bundle

    def load(self, path):
        if path not in self.files:
            with open(path, encoding="utf-8") as file:
                self.files[path] = json.load(file) if path.endswith(".json") else yaml.load(file, LOADER)
        return self.files[path]

    def find(self, path, pointer):
        node = self.load(path)
        for part in pointer.strip("/").split("/") if pointer else []:
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node

    def section_and_name(self, path, pointer):
        """Where the target of a reference lives in the bundle; None: in the place of the reference."""
        stem, suffix = os.path.splitext(os.path.basename(path))
        last = pointer.rpartition("/")[2]
        if suffix == ".json":
            return "schemas", camel(last or stem)
        section = SECTIONS.get(os.path.basename(path))
        return (section, camel(last)) if section else None

    def reference(self, path, pointer):
        home = self.section_and_name(path, pointer)
        if home is None:
            return self.copy(self.find(path, pointer), path)
        section, name = home
        key = (path, pointer)
        if key not in self.homes:
            entries = self.components.setdefault(section, {})
            if name in entries:
                sys.exit(f"two things are named {section}/{name}: {path}#{pointer} is the second")
            self.homes[key] = f"#/components/{section}/{name}"
            entries[name] = None  # taken, for a schema that refers to itself
            entries[name] = self.copy(self.find(path, pointer), path)
        return {"$ref": self.homes[key]}

    def copy(self, node, path):
        if isinstance(node, list):
            return [self.copy(item, path) for item in node]
        if not isinstance(node, dict):
            return node
        out = {}
        target = node.get("$ref")
        if isinstance(target, str):
            file, _, pointer = target.partition("#")
            where = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if os.path.commonpath([self.root, where]) != self.root:
                sys.exit(f"{path}: {target} leads out of {self.root}")
            out = self.reference(where, pointer)
        for key, value in node.items():
            if key != "$ref" and key not in DROPPED:
                out[key] = self.copy(value, path)
        return out

    def add(self, operations, more):
        """What these operations have in common: parameters, answers, and headers of all their answers."""
        for operation in operations:
            if "parameters" in more:
                operation["parameters"] = operation.get("parameters", []) + more["parameters"]
            answers = dict(sorted({**more["responses"], **operation["responses"]}.items()))
            operation["responses"] = answers
            for answer in answers.values():
                target = self.components["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                target["headers"] = {**target.get("headers", {}), **more["headers"]}

    def bundle(self):
        path = os.path.join(self.root, "openapi.yaml")
        document = self.copy(self.load(path), path)
        operations = [node for item in document["paths"].values() for node in item.values() if "responses" in node]
        self.add([one for one in operations if one.get("security", document["security"])], document.pop("x-with-token"))
        self.add(operations, document.pop("x-with-all"))
        sections = document.setdefault("components", {})
        for section in sorted(self.components):
            sections[section] = dict(sorted(self.components[section].items()))
        return document


def bundle(root):
    """The document as a dict."""
    return Bundler(root).bundle()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    root = sys.argv[1] if len(sys.argv) == 3 else os.path.dirname(os.path.abspath(__file__))
    text = json.dumps(bundle(root), ensure_ascii=False, separators=(",", ":")) + "\n"
    temp = f"{sys.argv[-1]}.{os.getpid()}"
    with open(temp, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temp, sys.argv[-1])


if __name__ == "__main__":
    main()
