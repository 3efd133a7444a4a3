"""The walk of tests/e2e/test_tenants.py over the management API, with the token of another organization's owner."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from django.db import models

from orgs.models import Membership, User
from tests.api.conftest import Api, issue_token, make_api
from tests.e2e.tenancy.everything import MARK, fingerprint, identifiers, make_everything, make_mallory
from tests.e2e.tenancy.routes import Route, all_routes, fill
from tests.e2e.test_tenants import _bodies
from tests.factories import make_application

PUBLIC = {"/api/v1/schema", "/api/v1/docs"}
ROUTES = [route for route in all_routes() if route.template.startswith("/api/v1/") and route.template not in PUBLIC]
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
    for address, method in product(fill(route, acme), METHODS):
        answer = mallory.call(method, address.removeprefix("/api/v1"), {} if method != "GET" else None)
        assert answer.status in ((404, 405) if method in ("GET", "DELETE") else (400, 404, 405)), f"{method} {address}"
        _assert_no_trace(answer.text, acme, address)
    assert fingerprint() == before


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.has_identifier], ids=str)
def test_list_shows_nothing_of_another_organization(route: Route, acme: Rows, mallory: Api) -> None:
    path = route.template.removeprefix("/api/v1")
    for name, row in [("", None), *acme.items()]:
        words = name.rpartition(".")[2]
        query = {f"{words[:1].lower()}{words[1:]}Id": str(row.pk)} if row is not None else {}
        answer = mallory.get(path, **query)
        assert answer.status in (200, 400, 405), f"{path} {query}: {answer.status}"
        _assert_no_trace(answer.text, acme, json.dumps(query))


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_body_with_foreign_identifiers_changes_nothing(route: Route, acme: Rows, mallory: Api) -> None:
    before = fingerprint()
    for body, method in product(_all_bodies(acme), METHODS[1:]):
        for address in fill(route, acme):
            answer = mallory.call(method, address.removeprefix("/api/v1"), body)
            assert answer.status < 500, f"{method} {address} {body}: {answer.text}"
            _assert_no_trace(answer.text, acme, address + json.dumps(body))
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


def _all_bodies(acme: Rows) -> list[dict[str, Any]]:
    """The walk's own, and one field at a time: a body is refused for its first unknown name."""
    bodies = _bodies(acme)
    return [*bodies, *({name: value} for name, value in bodies[-1].items() if name.endswith("Id"))]


def _assert_no_trace(text: str, acme: Rows, said: str) -> None:
    leaked = [word for word in (MARK, *identifiers(acme)) if word in text and word not in said]
    assert not leaked, f"{leaked} in {text[:500]}"
