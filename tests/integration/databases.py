"""A database of a test's own, and kiln-migrate run on it."""
import os
import pathlib
import subprocess
import urllib.parse
import uuid

import psycopg

from kiln_testing import places
from kiln_testing.process import sanitizer_options

BIN = pathlib.Path(os.environ.get("KILN_TEST_BIN", places.BIN))
PROGRAM = BIN / "kiln-migrate"
PASSWORDS = {"kiln_gateway": "pw-g", "kiln_build_service": "pw'b", "kiln_notifier": "pw n"}


def superuser(system):
    """A connection that may make databases."""
    port = urllib.parse.urlsplit(system.env["KILN_DATABASE_URL"]).port
    password = (system.folder / "secrets" / "postgres-superuser").read_text(encoding="ascii").strip()
    return psycopg.connect(host="127.0.0.1", port=port, user="postgres", password=password, dbname="postgres", autocommit=True)


class Database:
    """One empty database, owned as in production by a role that is no superuser."""

    def __init__(self, system, folder):
        self.system = system
        self.name = f"test_{uuid.uuid4().hex[:12]}"
        with superuser(system) as connection:
            connection.execute(f"create database {self.name} owner kiln")
        url = urllib.parse.urlsplit(system.env["KILN_DATABASE_URL"])
        self.url = urllib.parse.urlunsplit(url._replace(path="/" + self.name))
        self.token_file = folder / f"{self.name}.token"

    def drop(self):
        with superuser(self.system) as connection:
            connection.execute(f"drop database {self.name} with (force)")

    def url_as(self, role, password):
        url = urllib.parse.urlsplit(self.url)
        return urllib.parse.urlunsplit(url._replace(netloc=f"{role}:{urllib.parse.quote(password)}@127.0.0.1:{url.port}"))

    def sql(self, statement, *arguments):
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def environment(self, **variables):
        env = {
            "PATH": "/usr/bin:/bin",
            "KILN_ALLOW_ROOT": "1",
            "KILN_LOG_FORMAT": "text",
            "KILN_DATABASE_URL": self.url,
            "KILN_KAFKA_BROKERS": self.system.brokers,
            "KILN_ADMIN_TOKEN_FILE": str(self.token_file),
            "KILN_ROLE_PASSWORD_GATEWAY": PASSWORDS["kiln_gateway"],
            "KILN_ROLE_PASSWORD_BUILD_SERVICE": PASSWORDS["kiln_build_service"],
            "KILN_ROLE_PASSWORD_NOTIFIER": PASSWORDS["kiln_notifier"],
            **sanitizer_options(),
            **variables,
        }
        return {name: value for name, value in env.items() if value is not None}

    def start(self, **variables):
        return subprocess.Popen(  # the caller waits for it
            [str(PROGRAM)], env=self.environment(**variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, command, timeout=300, **variables):
        """A command of kiln-migrate that has ended: its status and what it said."""
        return subprocess.run(
            [str(PROGRAM), command], env=self.environment(**variables), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    def migrate(self, expect=0, **variables):
        """Its whole output."""
        process = self.start(**variables)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == expect, f"exit {process.returncode}:\n{output}"
        return output
