"""Start worker processes on the test's database, let them go at the same moment, and hear what they got."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from connections.models import Connection
from tests.e2e.live import database_url
from tests.e2e.processes import ROOT


class Worker:
    def __init__(self, connection: Connection, *, threads: int = 1, **options: object) -> None:
        from django.db import connection as database

        arguments = [f"{name}={value}" for name, value in options.items()]
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.connections.faults.worker", str(connection.pk), str(threads), *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url(str(database.settings_dict["NAME"]))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stdout is not None
        assert self.popen.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()

    def results(self) -> list[dict[str, Any]]:
        output, _ = self.popen.communicate(timeout=60)
        return [json.loads(line) for line in output.splitlines()]

    def kill(self) -> None:
        self.popen.kill()
        self.popen.communicate()


def run_all(workers: list[Worker]) -> list[dict[str, Any]]:
    for worker in workers:
        worker.go()
    return [result for worker in workers for result in worker.results()]
