#!/usr/bin/env python3
"""Writes C sources from text files: see Embed.cmake."""
import os
import sys


def c_string(data: bytes) -> str:
    """One C literal a source line, with every byte that is not plain ASCII as an octal escape."""
    lines = []
    for raw in data.splitlines(keepends=True) or [b""]:
        out = []
        for byte in raw:
            char = chr(byte)
            if char == "\n":
                out.append("\\n")
            elif char in '"\\':
                out.append("\\" + char)
            elif char == "?":  # no trigraphs
                out.append("\\?")
            elif 32 <= byte < 127:
                out.append(char)
            else:
                out.append("\\%03o" % byte)
        lines.append('\t"' + "".join(out) + '"')
    return "\n".join(lines)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def strip_sql_comments(text: bytes) -> bytes:
    """Whole-line comments only: the server need not read them on each prepare."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith(b"--") and line.strip()]
    return b"\n".join(kept).rstrip().removesuffix(b";")


def write(stem: str, header: str, source: str) -> None:
    for suffix, text in ((".h", "#pragma once\n" + header), (".c", source)):
        with open(stem + suffix, "w", encoding="ascii") as file:
            file.write(text)


def sql(stem: str, files: list) -> None:
    name = os.path.basename(stem)
    header, source = ['#include "common/pg/pg.h"\n'], [f'#include "{name}.h"\n']
    table = []
    for path in sorted(files):
        statement = os.path.splitext(os.path.basename(path))[0]
        symbol = "sql_" + statement.replace("-", "_")
        header.append(f"extern const struct pg_statement {symbol};\n")
        source.append(f'const struct pg_statement {symbol} = {{.name = "{statement}", .sql =\n'
                      f"{c_string(strip_sql_comments(read(path)))}}};\n")
        table.append(f"\t&{symbol},\n")
    header.append(f"/* All of them, for the test that prepares each; ends with NULL. */\n"
                  f"extern const struct pg_statement *const {name}_all[];\n")
    source.append(f"const struct pg_statement *const {name}_all[] = {{\n{''.join(table)}\tNULL,\n}};\n")
    write(stem, "".join(header), "".join(source))


def table(stem: str, include: str, kind: str, symbol: str, entries: list) -> None:
    rows = "".join(f'\t{{.name = "{name}", .len = {len(data)}, .data =\n{c_string(data)}}},\n' for name, data in entries)
    write(stem, f'#include "{include}"\nextern const struct {kind} {symbol}[];\n',
          f'#include "{os.path.basename(stem)}.h"\nconst struct {kind} {symbol}[] = {{\n{rows}\t{{.name = NULL}},\n}};\n')


def main() -> None:
    kind, stem, *rest = sys.argv[1:]
    if kind == "sql":
        sql(stem, rest)
    elif kind == "schemas":
        root, files = rest[0], rest[1:]
        table(stem, "common/json/schema.h", "schema_file", "kiln_schema_files",
              [(os.path.relpath(path, root), read(path)) for path in sorted(files)])
    elif kind == "migrations":
        table(stem, "migrate/migrations.h", "migration_file", "kiln_migrations",
              [(os.path.basename(path), read(path)) for path in sorted(rest)])
    else:
        sys.exit(f"unknown kind {kind}")


main()
