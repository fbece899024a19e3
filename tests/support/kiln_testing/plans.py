"""Plans of the product's statements, as its sessions make them."""

import contextlib
import re

import psycopg

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
