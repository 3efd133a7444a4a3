"""A list costs as many queries for many rows as for few."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api.conftest import Api
from tests.api.test_events import record_call
from tests.factories import (
    Cast,
    make_application,
    make_approval,
    make_capability,
    make_connection,
    make_delegation,
    make_group,
    make_integration,
    make_member,
    make_rule,
    make_rule_request,
)

pytestmark = pytest.mark.django_db
LISTS = [
    "/applications",
    "/applications/access-graph",
    "/approvals",
    "/applications/{application}/integrations",
    "/applications/{application}/sessions",
    "/audit-events",
    "/capabilities",
    "/connections",
    "/groups",
    "/integrations",
    "/mcp-events",
    "/members",
    "/rule-requests",
    "/rules",
    "/traces",
]
MOST = 8


@pytest.mark.parametrize("path", LISTS)
def test_list_costs_the_same_for_more_rows(cast: Cast, carol: Api, path: str) -> None:
    address = path.format(application=cast.pr_bot.pk)
    _add_rows(cast, "a")
    few = _count(carol, address)
    for name in ("b", "c", "d"):
        _add_rows(cast, name)
    assert _count(carol, address) == few
    assert few <= MOST


def _count(client: Api, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status == 200
    return len(queries)


def _add_rows(cast: Cast, name: str) -> None:
    person = make_member(cast.acme, f"Person {name}")
    integration = make_integration(cast.acme, f"integration-{name}")
    capability = make_capability(integration, name)
    make_approval(cast.pr_bot, person, capability)
    made = make_rule(cast.acme, "org", "deny", group=make_group(cast.acme, f"Denied {name}"))
    make_rule_request(cast.pr_bot, person, capability, action="remove", rule=made)
    make_connection(integration, person)
    make_delegation(cast.pr_bot, person)
    make_rule(cast.acme, "application", "allow", application=make_application(cast.acme, name), integration=integration)
    make_rule(cast.acme, "org", "allow", group=make_group(cast.acme, name))
    record_call(cast, person)
