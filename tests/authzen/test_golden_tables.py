"""The decision tables over HTTP: every row is asked as a tool call, and answered as the engine answers it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from orgs.models import Membership
from policy.engine import Call
from tests.authzen.client import Pdp, make_pdp
from tests.factories import make_application, make_member, make_organization
from tests.policy.golden import Table, load_tables
from tests.policy.stored import NOT_JSON, StoredTable, split
from tests.policy.test_decide import check_expectations

TABLES = load_tables()


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_authzen_decides_as_the_table_says(db: None, table: Table) -> None:
    asked = 0
    for part in split(table):
        organization = make_organization()
        stored = StoredTable(organization, table)
        for row in part:
            stored.prepare(row.call)
        auditor = make_member(organization, "Ann", role=Membership.Role.AUDITOR)
        pdp = make_pdp(make_application(organization, "Enforcement point", owner=auditor))
        for row, answer in zip(part, _ask(pdp, stored, [row.call for row in part]), strict=True):
            assert answer["decision"] is (row.effect == "allow"), (row.name, answer)
            explanation = stored.name_rules(answer["context"]["kontext"]["explanation"])
            assert answer["context"]["kontext"]["effect"] == explanation["effect"] == row.effect
            check_expectations(replace(row, why=None), explanation)
            asked += 1
    assert asked == len(table.rows) - NOT_JSON.get(table.name, 0)


def _ask(pdp: Pdp, stored: StoredTable, calls: list[Call]) -> list[dict[str, Any]]:
    answer = pdp.post("evaluations", {"evaluations": [_write(stored, call) for call in calls]})
    assert answer.status == 200, answer.json
    answers: list[dict[str, Any]] = answer.json["evaluations"]
    return answers


def _write(stored: StoredTable, call: Call) -> dict[str, Any]:
    application = stored.find("application", call.application)
    subject = {"type": "application", "id": application.client_id}
    if call.user is not None:
        subject = {"type": "user", "id": str(stored.find("user", call.user).pk)}
    context = {"agent": application.client_id, "time": dt.datetime.fromtimestamp(call.now, dt.UTC).isoformat()}
    return {
        "subject": subject,
        "action": {"name": "tools/call", "properties": call.arguments},
        "resource": {"type": "tool", "id": f"{call.integration}:{call.capability}"},
        "context": {**context, **({"ip": call.source_address} if _is_address(call.source_address) else {})},
    }


def _is_address(text: str) -> bool:
    """Tell whether an address can be said at all; what can't be isn't sent, as the gateway takes it for unknown."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False
