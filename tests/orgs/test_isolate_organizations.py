"""A reference across organizations is impossible in PostgreSQL itself (THREATS 40)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from orgs.ids import uuid7
from tests.factories import Cast, make_cast, make_connection

pytestmark = pytest.mark.django_db

# Each row is written as the owner's organization would write it, but for one reference into the other one.
FOREIGN_REFERENCES: dict[str, Callable[[Cast], dict[str, Any]]] = {
    "orgs_groupmembership.user": lambda c: {
        "table": "orgs_groupmembership",
        "group_id": c.engineering.pk,
        "user_id": c.mallory.pk,
        "source": "manual",
    },
    "orgs_groupmembership.group": lambda c: {
        "table": "orgs_groupmembership",
        "organization_id": c.globex.pk,
        "group_id": c.engineering.pk,
        "user_id": c.mallory.pk,
        "source": "manual",
    },
    "orgs_delegation.user": lambda c: {
        "table": "orgs_delegation",
        "user_id": c.mallory.pk,
        "application_id": c.pr_bot.pk,
        **_delegation(),
    },
    "orgs_delegation.application": lambda c: {
        "table": "orgs_delegation",
        "user_id": c.bob.pk,
        "application_id": c.spy_bot.pk,
        **_delegation(),
    },
    "connections_applicationintegration.application": lambda c: {
        "table": "connections_applicationintegration",
        "application_id": c.spy_bot.pk,
        "integration_id": c.github.pk,
    },
    "connections_applicationintegration.integration": lambda c: {
        "table": "connections_applicationintegration",
        "application_id": c.pr_bot.pk,
        "integration_id": c.globex_github.pk,
    },
    "connections_connection.user": lambda c: {
        "table": "connections_connection",
        "integration_id": c.github.pk,
        "user_id": c.mallory.pk,
        **_connection(),
    },
    "connections_connection.integration": lambda c: {
        "table": "connections_connection",
        "integration_id": c.globex_github.pk,
        "user_id": c.alice.pk,
        **_connection(),
    },
    "connections_credential.connection": lambda c: {
        "table": "connections_credential",
        "organization_id": c.globex.pk,
        "connection_id": make_connection(c.github, c.alice).pk,
        "generation": 1,
        "ciphertext": b"x",
        "updated_at": timezone.now(),
    },
    "policy_rule.user": lambda c: _rule(c, layer="user", user_id=c.mallory.pk),
    "policy_rule.group": lambda c: {**_rule(c, layer="org", group_id=c.engineering.pk), "organization_id": c.globex.pk},
    "policy_rule.application": lambda c: _rule(c, layer="application", application_id=c.spy_bot.pk),
    "policy_rule.integration": lambda c: _rule(c, layer="org", integration_id=c.globex_github.pk),
}


def _delegation() -> dict[str, Any]:
    return {"scopes": [], "resources": [], "redirect_host": "", "granted_at": timezone.now()}


def _connection() -> dict[str, Any]:
    return {
        "status": "active",
        "account": "",
        "scopes": [],
        "issuer": "",
        "generation": 0,
        "error": "",
        "revocation": "",
    }


def _rule(cast: Cast, **fields: Any) -> dict[str, Any]:
    texts = {"capability": "", "klass": "", "reason": "", "mode": "enforce", "effect": "allow"}
    texts |= {"limit_period": "", "limit_per": ""}
    return {"table": "policy_rule", **texts, "is_enabled": True, "updated_at": timezone.now(), **fields}


@pytest.mark.parametrize("reference", FOREIGN_REFERENCES)
def test_insert_with_reference_into_other_organization_is_refused(reference: str) -> None:
    cast = make_cast()
    row = FOREIGN_REFERENCES[reference](cast)
    with pytest.raises(IntegrityError, match="same_org"), transaction.atomic():
        _insert({"id": uuid7(), "organization_id": cast.acme.pk, **row})


@pytest.mark.parametrize(
    ("reference", "column", "own"),
    [
        ("orgs_groupmembership.user", "user_id", lambda c: c.bob.pk),
        ("orgs_delegation.user", "user_id", lambda c: c.bob.pk),
        ("connections_connection.user", "user_id", lambda c: c.bob.pk),
        ("policy_rule.integration", "integration_id", lambda c: c.github.pk),
    ],
)
def test_insert_inside_one_organization_is_accepted(reference: str, column: str, own: Callable[[Cast], Any]) -> None:
    cast = make_cast()
    row = {**FOREIGN_REFERENCES[reference](cast), column: own(cast)}
    _insert({"id": uuid7(), "organization_id": cast.acme.pk, **row})


def test_move_to_other_organization_is_refused() -> None:
    cast = make_cast()
    made = make_connection(cast.github, cast.alice)
    statement = "UPDATE connections_connection SET organization_id = %s WHERE id = %s"
    with pytest.raises(IntegrityError, match="same_org"), transaction.atomic():
        _execute(statement, [cast.globex.pk, made.pk])


def test_second_connection_of_one_user_to_one_integration_is_refused() -> None:
    cast = make_cast()
    make_connection(cast.github, cast.alice)
    with pytest.raises(IntegrityError, match="connections_connection_once_per_user"):
        make_connection(cast.github, cast.alice)


def test_second_server_connection_of_one_integration_is_refused() -> None:
    cast = make_cast()
    make_connection(cast.github, None)
    with pytest.raises(IntegrityError, match="connections_connection_once_per_organization"):
        make_connection(cast.github, None)


def _insert(row: dict[str, Any]) -> None:
    table = row.pop("table")
    row.setdefault("created_at", timezone.now())
    if table in ("orgs_delegation", "connections_credential"):
        row.pop("created_at")
    columns = ", ".join(f'"{column}"' for column in row)
    _execute(f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join(["%s"] * len(row))})', list(row.values()))


def _execute(statement: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
    connection.check_constraints()
