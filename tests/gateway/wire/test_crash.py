"""Gateway, PostgreSQL and sealer are killed at random under load: the log has everything afterwards, once, sealed."""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection

from audit.models import AuditEvent, Leaf, Tree
from connections.models import Integration
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_capabilities import discover_capabilities
from kontext.embedded.postgres import PostgresOptions
from tests.e2e.processes import ROOT, free_port
from tests.factories import issue_token, make_cast, make_rule
from tests.gateway.own_server import OwnServer, change_database
from tests.gateway.wire.conftest import META, MODERN
from tests.gateway.wire.integration import ScriptedIntegration

CALLERS = 6


class Victim:
    """A process that is killed with all its children, and started again."""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.command, self.log = command, log.open("ab")
        self.environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> None:
        self.kill()
        self.log.close()


@dataclass
class Load:
    """Callers that send calls with a number of their own, and remember which of them were answered."""

    port: int
    bearer: str = field(repr=False)
    answered: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as link:
            while not self.stop.is_set():
                self._try(link)

    def _try(self, link: http.client.HTTPConnection) -> None:
        number = f"call-{uuid.uuid4().hex}"
        try:
            status, text = self._call(link, number)
        except (OSError, http.client.HTTPException):
            self.outcomes["broken"] += 1
            link.close()  # the next call connects anew
            time.sleep(0.05)
        else:
            self.outcomes[str(status)] += 1
            if status == 200 and "result" in json.loads(text):
                self.answered.add(number)
            else:
                time.sleep(0.02)

    def _call(self, link: http.client.HTTPConnection, number: str) -> tuple[int, str]:
        arguments = {"repo": "acme/frontend", "title": number}
        params = {"name": "create_issue", "arguments": arguments, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {
            "Authorization": f"Bearer {self.bearer}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "create_issue",
            "X-Request-ID": number,
        }
        link.request("POST", "/mcp/github", body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture
def server() -> Iterator[OwnServer]:
    server = OwnServer(settings.DATA_DIR / f"crash-{os.getpid()}", PostgresOptions(max_connections=50))
    yield server
    server.stop()


@pytest.fixture
def database(server: OwnServer, django_db_blocker: Any) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.create_database(name)
    with django_db_blocker.unblock():
        former = change_database(**server.get_settings(name))
        yield name
        change_database(**former)


def test_killed_for_20_seconds_loses_nothing_and_doubles_nothing(
    server: OwnServer, database: str, scripted: ScriptedIntegration, tmp_path: Path, settings: Any
) -> None:
    _survive(20, server, database, scripted, tmp_path, settings)


@pytest.mark.slow
def test_killed_for_five_minutes_loses_nothing_and_doubles_nothing(
    server: OwnServer, database: str, scripted: ScriptedIntegration, tmp_path: Path, settings: Any
) -> None:
    _survive(300, server, database, scripted, tmp_path, settings)


def _survive(
    seconds: float, server: OwnServer, database: str, scripted: ScriptedIntegration, folder: Path, settings: Any
) -> None:
    settings.CHECKPOINT_DIR = folder / "checkpoints"
    port = free_port()
    settings.GATEWAY_URL = f"http://127.0.0.1:{port}"
    bearer = _make_world(scripted)
    environment = {
        "DATABASE_URL": f"{server.server.url.rpartition('/')[0]}/{database}",
        "KONTEXT_GATEWAY_URL": settings.GATEWAY_URL,
        "KONTEXT_ROOT_KEY_FILE": str(settings.ROOT_KEY_FILE),
    }
    options = ("--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--host", "127.0.0.1", "--port", str(port))
    gateway = Victim([sys.executable, "-m", "granian", *options, "gateway.app:app"], folder / "gateway", environment)
    sealer = Victim([sys.executable, "manage.py", "seal"], folder / "sealer", environment)
    load = Load(port, bearer)
    callers = [threading.Thread(target=load.run) for _ in range(CALLERS)]
    try:
        _wait_until_healthy(port)
        for caller in callers:
            caller.start()
        kills = _kill_at_random(seconds, {"gateway": gateway, "sealer": sealer, "postgres": server})
        _wait_until_healthy(port)
        load.stop.set()
        for caller in callers:
            caller.join()
        _wait_until_sealed()
    finally:
        load.stop.set()
        gateway.end()
        sealer.end()
    assert len(load.answered) > 10, (load.outcomes, kills)
    _check(load, scripted)


def _make_world(scripted: ScriptedIntegration) -> str:
    cast = make_cast()
    cast.github.capabilities.all().delete()
    Integration.objects.filter(pk=cast.github.pk).update(url=scripted.url, auth_mode="user_token")
    cast.github.refresh_from_db()
    connect_with_key(user=cast.alice, integration=cast.github, key=scripted.key)
    discover_capabilities(integration=cast.github)
    make_rule(cast.acme, "org", "allow", integration=cast.github)
    make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github)
    scripted.forget()
    return issue_token(cast.pr_bot, cast.alice, cast.github.resource)[0]


def _kill_at_random(seconds: float, victims: dict[str, Any]) -> Counter[str]:
    """Each in turn in an order of chance, and each at least once, however slow the machine is."""
    chance = random.Random(7)
    kills: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    waiting: list[str] = []
    while time.monotonic() < ends or len(kills) < len(victims):
        time.sleep(chance.uniform(0.5, 3.0))
        waiting = waiting or chance.sample(sorted(victims), len(victims))
        name = waiting.pop()
        victims[name].kill()
        kills[name] += 1
        time.sleep(chance.uniform(0.0, 0.5))
        victims[name].start()
    return kills


def _wait_until_healthy(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2):
            return
        time.sleep(0.1)
    raise AssertionError("the gateway did not come back")


def _wait_until_sealed() -> None:
    """Calls that were cut off may still be written: sealed is what stays sealed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OperationalError):
            if AuditEvent.objects.count() == Leaf.objects.count():
                return
        connection.close()
        time.sleep(0.2)
    raise AssertionError(f"{AuditEvent.objects.count() - Leaf.objects.count()} events are not sealed")


def _check(load: Load, scripted: ScriptedIntegration) -> None:
    events = AuditEvent.objects.exclude(phase="").values_list("request_id", "phase")
    phases = Counter(events)
    reached = {seen.message["params"]["arguments"]["title"] for seen in scripted.calls()}
    assert len(scripted.calls()) == len(reached), "a call reached the integration twice"
    assert [number for number in reached if not phases[number, "requested"]] == []
    assert [number for number in load.answered if not phases[number, "completed"]] == []
    assert [event for event, count in phases.items() if count > 1] == []
    assert sum(Tree.objects.values_list("size", flat=True)) == AuditEvent.objects.count()
    output = io.StringIO()
    call_command("audit", "verify", "--json", "--jobs", "1", stdout=output)  # exits with 1 where anything is wrong
    assert all(report["findings"] == [] for report in json.loads(output.getvalue()))
