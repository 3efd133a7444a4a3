"""What is refused before any resource is looked at, and how lists are read."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from orgs.models import Application
from tests.api.conftest import Api, assert_error, find_events, issue_token
from tests.factories import Cast, make_application

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"7",
        b"{'name': 1}",
        b'{"name": "a", "name": "b"}',
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"name": "\xff"}',
        b'\xef\xbb\xbf{"name": "x"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"name": ' + b"[" * 100 + b"]" * 100 + b"}",
        b"[" * 100_000,
        b'{"name":' * 50_000,
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_malformed_body_is_refused(carol: Api, body: bytes) -> None:
    answer = carol.post("/applications", body)
    assert answer.status == 400, answer.text
    assert answer.json["code"] == ("kontext_malformed_body" if body else "kontext_validation_error")
    assert len(answer.text) < 1000
    assert len(find_events("management.refused")) == 1


def test_body_without_a_length_is_refused_rather_than_ignored(cast: Cast, carol: Api) -> None:
    """As granian hands on `Transfer-Encoding: chunked`: Django would see an empty body, and PATCH change nothing."""
    headers = {"Authorization": f"Bearer {carol.token}", "Transfer-Encoding": "chunked"}
    response = Client().generic("PATCH", f"/api/v1/applications/{cast.pr_bot.pk}", b"", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "kontext_malformed_body")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_content_type_without_a_body_is_no_matter(cast: Cast, carol: Api, method: str) -> None:
    headers = {"Authorization": f"Bearer {carol.token}", "Content-Type": "application/json"}
    response = Client().generic(method, f"/api/v1/applications/{cast.pr_bot.pk}", headers=headers)
    assert response.status_code in (200, 204)


def test_oversized_body_is_refused_unread(carol: Api) -> None:
    answer = carol.post("/applications", b'{"name": "' + b"x" * 1_100_000 + b'"}')
    assert_error(answer, 400, "kontext_body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_body_of_another_kind_is_refused(cast: Cast, carol: Api, kind: str) -> None:
    headers = {"Authorization": f"Bearer {carol.token}"}
    response = Client().generic("POST", "/api/v1/applications", b"name=x", kind, headers=headers)
    assert response.status_code == 415
    assert response.json()["code"] == "kontext_unsupported_media_type"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_method_that_is_not_offered_is_refused(carol: Api, method: str) -> None:
    answer = carol.call(method, "/applications")
    assert_error(answer, 405, "kontext_method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
    assert "OPTIONS" not in answer.headers["Allow"]


def test_unknown_address_is_answered_alike(carol: Api) -> None:
    answer = carol.get("/nothing")
    assert answer.status == 404
    assert answer.json["code"] == "kontext_not_found"
    answer = carol.get("/applications/not-a-uuid")
    assert answer.status == 404


def test_accept_header_changes_nothing(carol: Api) -> None:
    headers = {"Authorization": f"Bearer {carol.token}", "Accept": "text/html"}
    response = Client().get("/api/v1/applications", headers=headers)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1e999"}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"cursor": "invented"}, "cursor"),
        ({"cursor": "x" * 300}, "cursor"),
        ({"cursor": "a\0b"}, "cursor"),
        ({"stauts": "active"}, "stauts"),
        ({"status": "asleep"}, "status"),
        ({"format": "api"}, "format"),
        ({"ownerId": "me"}, "ownerId"),
    ],
    ids=str,
)
def test_query_that_is_not_understood_is_refused(carol: Api, query: dict[str, Any], field: str) -> None:
    assert_error(carol.get("/applications", **query), 400, "kontext_validation_error", field)


def test_query_where_none_is_taken_is_refused(cast: Cast, carol: Api) -> None:
    answer = carol.get(f"/applications/{cast.pr_bot.pk}", expand="all")
    assert_error(answer, 400, "kontext_validation_error", "expand")


def test_pages_hold_every_row_once_while_rows_come_and_go(cast: Cast, carol: Api) -> None:
    for number in range(5):
        make_application(cast.acme, f"Bot {number}")
    expected = [row.name for row in Application.objects.filter(organization=cast.acme).order_by("-pk")]
    names: list[str] = []
    cursor = ""
    while True:
        page = carol.get("/applications", limit=2, **({"cursor": cursor} if cursor else {})).json
        names += [item["name"] for item in page["items"]]
        make_application(cast.acme, "Newcomer")
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert names == expected


def test_cursor_is_good_for_its_own_list_alone(cast: Cast, carol: Api, mallory: Api) -> None:
    cursor = carol.get("/applications", limit=1).json["nextCursor"]
    assert str(cast.pr_bot.pk) not in cursor
    elsewhere = [
        mallory.get("/applications", limit=1, cursor=cursor),
        carol.get("/applications", limit=1, cursor=cursor, status="active"),
        carol.get("/audit-events", limit=1, cursor=cursor),
        carol.get("/applications", limit=1, cursor=cursor[:-1] + ("A" if cursor[-1] != "A" else "B")),
        carol.get("/applications", limit=1, cursor="B" + cursor[1:]),
    ]
    for answer in elsewhere:
        assert_error(answer, 400, "kontext_validation_error", "cursor")
    assert carol.get("/applications", limit=2, cursor=cursor).status == 200


def test_database_that_is_away_is_said_to_be_and_nothing_else(carol: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("could not connect to server secret-host")

    monkeypatch.setattr("orgs.api.base.read_page", fail)
    answer = carol.get("/applications")
    assert_error(answer, 503, "kontext_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "secret-host" not in answer.text


def test_fault_of_our_own_says_nothing_of_its_cause(carol: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("orgs.api.base.read_page", fail)
    assert_error(carol.get("/applications"), 500, "kontext_server_error")


def test_token_never_comes_back(cast: Cast) -> None:
    token = issue_token(cast.pr_bot, cast.carol)
    client = Api(token, cast.pr_bot)
    for answer in (client.get("/applications"), client.post("/applications", {"name": token[::-1]})):
        assert token not in answer.text
    assert token not in str([event.__dict__ for event in find_events("application.registered")])
