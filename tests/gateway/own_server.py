"""A PostgreSQL that a test may kill, stop and corrupt, with the schema in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections

from kontext.embedded.addresses import DATABASE_USER
from kontext.embedded.postgres import SUPERUSER, PostgresOptions, PostgresServer

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = "kontext"


class OwnServer:
    """By default it doesn't wait for the disk at commit, as an operator may have it: who needs that must say so."""

    def __init__(self, folder: Path, options: PostgresOptions | None = None) -> None:
        self.server = PostgresServer(folder, options or PostgresOptions(durable=False, max_connections=50))
        self.start()
        environment = {**os.environ, "DATABASE_URL": self.server.url}
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)

    def start(self) -> None:
        self.server.data_dir.mkdir(mode=0o711, exist_ok=True)
        with self.server.data_dir.joinpath("postgres.log").open("ab") as log:
            self.server.start(log=log)

    def stop(self) -> None:
        connections["default"].close()  # the test's own, which would be found broken
        self.server.stop()

    def settle(self) -> None:
        """Have everything committed so far survive `kill`."""
        self.execute("CHECKPOINT")

    def kill(self) -> None:
        """End the postmaster as a crash would; its children follow by themselves."""
        assert self.server.process is not None
        connections["default"].close()
        os.kill(self.postmaster, signal.SIGKILL)
        self.server.process.wait(10)

    @property
    def postmaster(self) -> int:
        return int(self.server.folder.joinpath("postmaster.pid").read_text().split()[0])

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the postmaster and all its children: SIGSTOP makes a server that only seems to live."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.postmaster)], capture_output=True, text=True)
        for pid in (self.postmaster, *map(int, children.stdout.split())):
            os.kill(pid, number)

    def create_database(self, name: str) -> None:
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" OWNER "{DATABASE_USER}"')

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements as the superuser and return the rows of the last one."""
        with psycopg.connect(
            host=str(self.server.sockets), user=SUPERUSER, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def get_settings(self, database: str) -> dict[str, str]:
        """Return what Django needs to know to connect there."""
        return {"HOST": str(self.server.sockets), "PORT": "5432", "NAME": database, "USER": DATABASE_USER}


def change_database(**values: str) -> dict[str, str]:
    """Let Django, in all threads, connect with these settings from now on. Return the former ones."""
    connections["default"].close()
    settings = connections["default"].settings_dict
    former = {name: settings[name] for name in values}
    settings.update(values)
    return former
