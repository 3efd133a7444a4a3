"""The walk of tests/e2e/test_tenants.py over the management API, with the token of another organization's owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from django.db import models

from orgs.api.schema import get_schema_document
from orgs.models import Membership, Organization, User
from tests.api.conftest import Api, issue_token, make_api
from tests.e2e.tenancy.everything import MARK, fingerprint, identifiers, make_everything, make_mallory
from tests.e2e.tenancy.routes import Route, all_routes, fill
from tests.factories import make_application

PUBLIC = {"/api/v1/schema", "/api/v1/docs"}
ROUTES = [route for route in all_routes() if route.template.startswith("/api/v1/") and route.template not in PUBLIC]
PATH_PARAMETERS = (
    "application_id",
    "approval_id",
    "capability_id",
    "connection_id",
    "delegation_id",
    "event_id",
    "integration_id",
    "rule_id",
    "rule_request_id",
    "trace_id",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

Rows = dict[str, models.Model]


@pytest.fixture
def acme(db: None) -> Rows:
    return make_everything()


@pytest.fixture
def mallory(acme: Rows) -> Api:
    user = make_mallory()
    return make_api(Membership.objects.get(user=user).organization, user)


def test_routes_are_there() -> None:
    assert len(ROUTES) >= 12
    assert len([route for route in ROUTES if route.has_identifier]) >= 6


@pytest.mark.parametrize("route", [route for route in ROUTES if route.has_identifier], ids=str)
def test_address_with_foreign_identifier_is_not_found(route: Route, acme: Rows, mallory: Api) -> None:
    before = fingerprint()
    for address, method in product(list(fill(route, acme))[:3], METHODS):
        answer = mallory.call(method, address.removeprefix("/api/v1"), {} if method != "GET" else None)
        assert answer.status in ((404, 405) if method in ("GET", "DELETE") else (400, 404, 405)), f"{method} {address}"
        _assert_no_trace(answer.text, acme, address)
    assert fingerprint() == before


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.has_identifier], ids=str)
def test_list_shows_nothing_of_another_organization(route: Route, acme: Rows, mallory: Api) -> None:
    path = next(fill(route, acme)).removeprefix("/api/v1")
    for name, row in [("", None), *acme.items()]:
        words = name.rpartition(".")[2]
        query = {f"{words[:1].lower()}{words[1:]}Id": str(row.pk)} if row is not None else {}
        answer = mallory.get(path, **query)
        assert answer.status in (200, 400, 405), f"{path} {query}: {answer.status}"
        _assert_no_trace(answer.text, acme, json.dumps(query))


def test_body_with_foreign_identifiers_changes_nothing(acme: Rows, mallory: Api) -> None:
    """Every field of every body that takes an identifier, with each of Acme's, at an address of Mallory's own."""
    before = fingerprint()
    own = make_application(Organization.objects.get(slug="globex"), "Own bot")
    sent = 0
    for path, method, body in _bodies(str(own.pk), acme):
        answer = mallory.call(method, path, body)
        assert answer.status < 500, f"{method} {path} {body}: {answer.text}"
        _assert_no_trace(answer.text, acme, path + json.dumps(body))
        sent += 1
    assert sent > 50
    assert fingerprint() == before


def test_token_of_one_organization_never_acts_in_another_where_the_person_is_too(acme: Rows) -> None:
    """A person in both organizations acts where the token was issued, and there alone."""
    organization, alice = acme["orgs.Organization"], acme["orgs.User"]
    mallory = make_mallory()
    globex: Any = Membership.objects.get(user=mallory).organization
    assert isinstance(alice, User)
    Membership.objects.create(organization=globex, user=alice, role="member")
    application = make_application(globex, "Globex script")
    client = Api(issue_token(application, alice), application)
    assert client.get("/applications").status == 403
    assert client.get(f"/audit-events/{acme['audit.AuditEvent'].pk}").status == 404
    assert str(organization.pk) not in client.get("/audit-events").text


def _bodies(own: str, acme: Rows) -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = json.loads(get_schema_document())
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
                address = path.removeprefix("/api/v1").format(**dict.fromkeys(PATH_PARAMETERS, own), layer="org")
                for body in _fill(schema, identifiers(acme)):
                    yield address, method.upper(), body


def _fill(schema: dict[str, Any], keys: list[str]) -> Iterator[dict[str, Any]]:
    required = {name: _guess(schema["properties"][name]) for name in schema.get("required", [])}
    for name, field in schema["properties"].items():
        is_list = field.get("items", {}).get("format") == "uuid"
        if is_list or field.get("format") == "uuid":
            for key in keys:
                yield {**required, name: [key] if is_list else key}


def _guess(field: dict[str, Any]) -> Any:
    return field["enum"][0] if "enum" in field else [] if field.get("type") == "array" else "x"


def _assert_no_trace(text: str, acme: Rows, said: str) -> None:
    leaked = [word for word in (MARK, *identifiers(acme)) if word in text and word not in said]
    assert not leaked, f"{leaked} in {text[:500]}"
