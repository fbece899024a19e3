"""Plans of the product's statements, as its sessions make them."""

import contextlib
import re

import psycopg
from psycopg import sql

from kiln_testing import places

# As pg_indexed_url sets them: one generic plan, by index.
SETTINGS = re.findall(r'"([a-z_]+=[a-z_]+)"', (places.ROOT / "common" / "pg" / "indexed_url.c").read_text(encoding="utf-8"))


def as_indexed(connection):
    for setting in SETTINGS:
        connection.execute(f"set {setting}")
    return connection


@contextlib.contextmanager
def session(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield as_indexed(connection)


def plan_of(connection, text):
    """A statement's plan, which must be one that the session's role may run."""
    connection.execute(f"prepare one as {text}".encode())
    try:
        [[count]] = connection.execute("select cardinality(parameter_types) from pg_prepared_statements where name = 'one'").fetchall()
        arguments = f"({', '.join(['null'] * count)})" if count else ""
        return "\n".join(row[0] for row in connection.execute(f"explain execute one{arguments}".encode()))
    finally:
        connection.execute("deallocate one")


def run(connection, text, *parameters):
    """(rows, plan as it was executed) of a statement; what it writes is rolled back."""
    connection.execute(f"prepare one as {text}".encode())
    try:
        call = sql.SQL("execute one ({})").format(sql.SQL(", ").join(sql.Literal(value) for value in parameters))
        with connection.transaction(force_rollback=True):
            rows = connection.execute(call).fetchall()
        with connection.transaction(force_rollback=True):
            [[[found]]] = connection.execute(sql.SQL("explain (analyze, timing off, format json) ") + call).fetchall()
        return rows, found["Plan"]
    finally:
        connection.execute("deallocate one")


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_read(node):
    """That a scan has read, whether it gave them on or not."""
    return (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
