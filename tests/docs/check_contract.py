#!/usr/bin/env python3
"""The table of routes in docs/contract.md has the routes of schemas/openapi.yaml, with their scopes."""

import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"
METHODS = ("get", "post", "put", "patch", "delete")
ROW = re.compile(r"^\| `([A-Z]+ /\S*)` \|.*\| ([^|]+) \|$", re.MULTILINE)


def of_schemas():
    """{"GET /me": the scopes that it needs}"""
    routes = {}
    for path, reference in yaml.safe_load((SCHEMAS / "openapi.yaml").read_text(encoding="utf-8"))["paths"].items():
        file, _, name = reference["$ref"].partition("#/")
        item = yaml.safe_load((SCHEMAS / file).read_text(encoding="utf-8"))[name]
        for method in METHODS:
            if method in item:
                security = item[method]["security"]
                scopes = security[0]["bearer"] if security else ["no token"]
                routes[f"{method.upper()} {path}"] = set(scopes or ["any token"])
    return routes


def main():
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    page = {route: set(scopes.split(", ")) for route, scopes in ROW.findall(text)}
    schemas = of_schemas()
    wrong = [f"{route}: docs/contract.md says {page.get(route)}, schemas/ {schemas.get(route)}" for route in sorted(page | schemas) if page.get(route) != schemas.get(route)]
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
