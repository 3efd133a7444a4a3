"""The decision tables through a real gateway: every row is an MCP call, and decided as the engine decides it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import httpx2
import pytest
from django.conf import settings as django_settings
from django.db import connection

from audit.models import AuditEvent
from policy.engine import Call
from tests.e2e.live import database_url
from tests.e2e.processes import Process, free_port
from tests.factories import issue_token, make_delegation, make_organization
from tests.gateway.wire.conftest import META, MODERN, announce_new_keys
from tests.gateway.wire.integration import Handler, Reply, ScriptedIntegration, Seen
from tests.policy.golden import Table, load_tables
from tests.policy.stored import NOT_JSON, StoredTable, split
from tests.policy.test_decide import check_expectations

TABLES = load_tables()
_numbers = count(1)


@pytest.fixture(scope="module")
def clocked_gateway(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any
) -> Iterator[str]:
    """Return the address of a gateway behind a proxy, whose rules see the time that a request says."""
    folder, port = tmp_path_factory.mktemp("clocked"), free_port()
    with django_db_blocker.unblock():
        name = str(connection.settings_dict["NAME"])
    environment = {
        "DATABASE_URL": database_url(name),
        "KONTEXT_GATEWAY_URL": f"http://127.0.0.1:{port}",
        "KONTEXT_ROOT_KEY_FILE": str(django_settings.ROOT_KEY_FILE),
        "KONTEXT_TRUST_PROXY": "1",
    }
    options = ("--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--host", "127.0.0.1", "--port", str(port))
    command = [sys.executable, "-m", "granian", *options, "tests.gateway.wire.clocked:app"]
    process = Process("gateway", command, folder / "log", environment)
    process.wait_until_answers(f"http://127.0.0.1:{port}/healthz")
    yield f"http://127.0.0.1:{port}"
    process.stop()


@dataclass
class Asker:
    """Asks about the rows of one organization, with a token for each application and person."""

    gateway: str
    stored: StoredTable
    http: httpx2.Client = field(repr=False)
    tokens: dict[tuple[str, str | None, str], str] = field(default_factory=dict, repr=False)

    def prepare(self, call: Call) -> None:
        """Make what a call needs, on the test's own database connection."""
        self.stored.prepare(call)
        key = (call.application, call.user, call.integration)
        if key not in self.tokens:
            application, user = self.stored.find("application", call.application), self.stored.find("user", call.user)
            if user is not None and not user.delegations.filter(application=application).exists():
                make_delegation(application, user)
            resource = self.stored.find("integration", call.integration).resource
            self.tokens[key] = issue_token(application, user, resource)[0]

    def call(self, call: Call) -> tuple[str, dict[str, Any]]:
        """Make the call and return its request ID and the answer."""
        request_id = f"golden-{next(_numbers):06}"
        params = {"name": call.capability, "arguments": call.arguments, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {
            "Authorization": f"Bearer {self.tokens[call.application, call.user, call.integration]}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": call.capability,
            "X-Forwarded-For": call.source_address or "unknown",
            "X-Request-ID": request_id,
            "X-Test-Now": repr(call.now),
        }
        url = f"{self.gateway}/mcp/{call.integration}"
        answer = self.http.post(url, content=json.dumps(message).encode(), headers=headers)
        document: dict[str, Any] = answer.json()
        return request_id, document


@pytest.mark.django_db(transaction=True)
def test_gateway_decides_as_the_tables_say(clocked_gateway: str, scripted: ScriptedIntegration, settings: Any) -> None:
    settings.GATEWAY_URL = clocked_gateway
    scripted.script = _answer
    asked = sum(_ask_table(clocked_gateway, scripted, table) for table in TABLES)
    # Six rows have numbers that JSON can't say. Three have one of more than 64 bits, which the gateway refuses.
    assert asked == sum(len(table.rows) for table in TABLES) - sum(NOT_JSON.values()) - 3
    assert asked > 500


def _has_large_number(call: Call) -> bool:
    return any(isinstance(value, int) and abs(value) >= 2**64 for value in call.arguments.values())


def _answer(seen: Seen, handler: Handler) -> Reply:
    """Answer every call, of anybody: what passes the rules is to be seen."""
    result = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
    return Reply({"jsonrpc": "2.0", "id": seen.message.get("id"), "result": result})


def _ask_table(gateway: str, scripted: ScriptedIntegration, table: Table) -> int:
    """Ask about each row, and return how many there were."""
    asked = 0
    for rows in split(table):
        part = [row for row in rows if not _has_large_number(row.call)]
        stored = StoredTable(make_organization(), table, auth_mode="none", url=scripted.url)
        with httpx2.Client(timeout=20) as http, ThreadPoolExecutor(4) as pool:
            asker = Asker(gateway, stored, http)
            for row in part:
                asker.prepare(row.call)
            announce_new_keys()
            answers = list(pool.map(asker.call, [row.call for row in part]))
        for row, (request_id, answer) in zip(part, answers, strict=True):
            event = AuditEvent.objects.filter(request_id=request_id, phase__in=("requested", "denied")).first()
            assert event is not None, (row.name, answer)
            assert event.decision is not None, (row.name, answer)
            explanation = stored.name_rules(event.decision)
            assert explanation["effect"] == row.effect, (row.name, answer)
            assert ("result" in answer) is (row.effect == "allow"), (row.name, answer)
            check_expectations(replace(row, why=None), explanation)
            asked += 1
    return asked
