"""People who hold management tokens, and a client that speaks the API."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from orgs.ids import uuid7
from orgs.models import Application, IssuedToken, Membership, Organization, User
from orgs.oauth.resources import get_management_resource
from orgs.oauth.tokens import get_checksum
from tests.api.contract import check_answer
from tests.connections.conftest import github, github_process
from tests.factories import Cast, make_application, make_cast, make_member

__all__ = ["github", "github_process"]  # fixtures of another folder, used here, too


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the decoded body, and the headers."""

    status: int
    json: Any
    headers: Any
    text: str


@dataclass(frozen=True)
class Api:
    """Speaks to /api/v1 with one token."""

    token: str
    application: Application

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method == "GET":
            response = Client(raise_request_exception=False).get(f"/api/v1{path}", query, headers=headers)
        else:
            data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            response = Client(raise_request_exception=False).generic(
                method, f"/api/v1{path}", data, "application/json", headers=headers
            )
        text = response.content.decode()
        answer = Answer(response.status_code, json.loads(text) if text else None, response.headers, text)
        check_answer(method, f"/api/v1{path}", answer.status, answer.json)
        return answer

    def get(self, path: str, **query: Any) -> Answer:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.call("POST", path, body)

    def put(self, path: str, body: Any = None) -> Answer:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any = None) -> Answer:
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)


def issue_token(application: Application, user: User | None, **changes: Any) -> str:
    """Keep a token as the token endpoint does, without its flow (tests/api/test_token.py runs that)."""
    token = secrets.token_urlsafe(32)
    now = timezone.now()
    values = {
        "jti": uuid7(),
        "organization": application.organization,
        "application": application,
        "user": user,
        "scope": "management:all",
        "resource": get_management_resource(),
        "token_checksum": get_checksum(token),
        "issued_at": now,
        "expires_at": now + dt.timedelta(minutes=10),
    }
    IssuedToken.objects.create(**{**values, **changes})
    return token


def make_api(organization: Organization, user: User) -> Api:
    script = Application.objects.filter(organization=organization, name="Script").first()
    script = script or make_application(organization, "Script", owner=user)
    return Api(issue_token(script, user), script)


def find_events(type_: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(type=type_).order_by("id"))


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def carol(cast: Cast) -> Api:
    """Acme's administrator."""
    return make_api(cast.acme, cast.carol)


@pytest.fixture
def alice(cast: Cast) -> Api:
    """A member of Acme without any role."""
    return make_api(cast.acme, cast.alice)


@pytest.fixture
def mallory(cast: Cast) -> Api:
    """Globex's administrator."""
    return make_api(cast.globex, cast.mallory)


@pytest.fixture
def with_role(cast: Cast) -> Callable[[str], Api]:
    """Return the client of somebody at Acme with this role."""

    def made(role: str) -> Api:
        return make_api(cast.acme, make_member(cast.acme, f"Somebody {role}", role=role))

    return made


READERS = (Membership.Role.OWNER, Membership.Role.ADMIN, Membership.Role.AUDITOR, Membership.Role.POLICY_AUTHOR)


def assert_error(answer: Answer, status: int, code: str, *fields: str) -> None:
    """Every error has the same shape."""
    assert answer.status == status, answer.text
    assert set(answer.json) == {"message", "statusCode", "code", "requestId"} | ({"fields"} if fields else set())
    assert answer.json["statusCode"] == status
    assert answer.json["code"] == code, answer.text
    assert answer.json["message"]
    assert answer.json["requestId"] == answer.headers["X-Request-ID"]
    assert set(answer.json.get("fields", {})) == set(fields)
