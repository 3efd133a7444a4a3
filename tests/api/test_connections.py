"""Connecting and disconnecting through the API: one's own, and as an administrator everybody's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connections.models import Connection, ConnectSession, Credential
from tests.api.conftest import READERS, Api, assert_error, find_events
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_connection, make_integration

pytestmark = pytest.mark.django_db
KEY = "a-key-that-must-not-show-" * 2
# Keys are tried at the integration where it is an MCP server; a plain API is taken at the person's word.
PLAIN = {"category": "internal_mcp_credentials"}


def test_list_shows_everybodys_to_readers(cast: Cast, carol: Api) -> None:
    make_connection(cast.github, cast.alice, account="alice-acme")
    make_connection(cast.github, cast.bob)
    make_connection(cast.globex_github, cast.mallory)
    items = carol.get("/connections").json["items"]
    assert [item["user"]["name"] for item in items] == ["Bob Brown", "Alice Adams"]
    assert items[1]["integration"] == {"id": str(cast.github.pk), "name": "Github"}
    assert items[1]["account"] == "alice-acme"
    assert len(carol.get("/connections", userId=cast.alice.pk).json["items"]) == 1
    assert carol.get("/connections", status="revoked").json["items"] == []
    assert carol.get("/connections", integrationId=cast.globex_github.pk).json["items"] == []


def test_list_shows_members_their_own_alone(cast: Cast, alice: Api) -> None:
    mine, others = make_connection(cast.github, cast.alice), make_connection(cast.github, cast.bob)
    assert [item["id"] for item in alice.get("/connections").json["items"]] == [str(mine.pk)]
    assert alice.get(f"/connections/{mine.pk}").status == 200
    for answer in (alice.get(f"/connections/{others.pk}"), alice.delete(f"/connections/{others.pk}")):
        assert_error(answer, 404, "kontext_not_found")
    others.refresh_from_db()
    assert others.status == "active"


@pytest.mark.parametrize("role", READERS)
def test_reader_sees_and_only_administrators_end_others(with_role: Callable[[str], Api], cast: Cast, role: str) -> None:
    connection = make_connection(cast.github, cast.alice)
    client = with_role(role)
    assert client.get(f"/connections/{connection.pk}").status == 200
    answer = client.delete(f"/connections/{connection.pk}")
    connection.refresh_from_db()
    if role in ("owner", "admin"):
        assert (answer.status, connection.status) == (200, "revoked")
        assert answer.json["connection"]["status"] == "revoked"
        (event,) = find_events("connection.revoked")
        assert event.details["reason"] == "ended by an administrator"
        assert event.application_name == "Script"
    else:
        assert_error(answer, 403, "kontext_forbidden")
        assert connection.status == "active"


def test_connect_gives_a_link_for_this_person(cast: Cast, alice: Api) -> None:
    path = f"/integrations/{cast.github.pk}/connection"
    assert alice.get(path).json == {"connection": None}
    answer = alice.post(path, {})
    assert answer.status == 201, answer.text
    session = ConnectSession.objects.get(pk=answer.json["sessionId"])
    assert (session.user, session.integration) == (cast.alice, cast.github)
    assert "/connect/" in answer.json["connectUrl"]
    assert answer.json["connection"] is None
    (event,) = find_events("connection.started")
    assert event.user_id == cast.alice.pk
    token = answer.json["connectUrl"].rstrip("/").rpartition("/")[2]
    assert token not in str(event.__dict__)


def test_connect_for_an_application_names_it(cast: Cast, alice: Api) -> None:
    path = f"/integrations/{cast.github.pk}/connection"
    answer = alice.post(path, {"applicationId": str(cast.pr_bot.pk)})
    assert ConnectSession.objects.get(pk=answer.json["sessionId"]).application == cast.pr_bot
    refused = alice.post(path, {"applicationId": str(cast.spy_bot.pk)})
    assert_error(refused, 400, "kontext_validation_error", "applicationId")


def test_connect_with_a_key_stores_it_sealed(cast: Cast, alice: Api) -> None:
    integration = make_integration(cast.acme, "keys", auth_mode="user_token", **PLAIN)
    path = f"/integrations/{integration.pk}/connection"
    answer = alice.post(path, {"key": KEY})
    assert answer.status == 201, answer.text
    assert answer.json["connection"]["status"] == "active"
    connection = Connection.objects.get(integration=integration, user=cast.alice)
    assert KEY.encode() not in bytes(Credential.objects.get(connection=connection).ciphertext)
    events = str([event.__dict__ for event in find_events("connection.activated")])
    for text in (answer.text, alice.get(path).text, events):
        assert KEY not in text
    assert alice.get(path).json["connection"]["id"] == str(connection.pk)

    assert alice.delete(path).json["connection"]["status"] == "revoked"
    assert not Credential.objects.exists()


@pytest.mark.parametrize("body", [{"key": KEY}, {"key": ""}, {"token": KEY}])
def test_connect_with_a_key_where_none_is_taken_is_refused(cast: Cast, alice: Api, body: dict[str, str]) -> None:
    answer = alice.post(f"/integrations/{cast.github.pk}/connection", body)
    assert_error(answer, 400, "kontext_validation_error", *body)
    assert KEY not in answer.text
    assert not Connection.objects.exists()
    assert KEY not in str([event.__dict__ for event in find_events("management.refused")])


def test_key_of_the_organization_is_the_administrators(cast: Cast, carol: Api, alice: Api) -> None:
    integration = make_integration(cast.acme, "shared", auth_mode="server_token", **PLAIN)
    path = f"/integrations/{integration.pk}/connection"
    assert_error(alice.post(path, {"key": KEY}), 403, "kontext_forbidden")
    assert_error(carol.post(path, {}), 400, "kontext_validation_error", "key")
    answer = carol.post(path, {"key": KEY})
    assert answer.status == 201, answer.text
    assert answer.json["connection"]["user"] is None
    assert KEY not in answer.text
    assert alice.get(path).json["connection"]["status"] == "active"
    assert_error(alice.delete(path), 403, "kontext_forbidden")
    assert carol.delete(path).json["connection"]["status"] == "revoked"


def test_connect_where_nothing_is_connected_is_refused(cast: Cast, alice: Api) -> None:
    open_to_all = make_integration(cast.acme, "open", auth_mode="none")
    answer = alice.post(f"/integrations/{open_to_all.pk}/connection", {})
    assert_error(answer, 400, "kontext_validation_error", "integrationId")
    assert_error(alice.delete(f"/integrations/{open_to_all.pk}/connection"), 404, "kontext_not_found")


def test_connect_with_a_key_that_the_integration_refuses_is_refused(cast: Cast, alice: Api, github: GitHub) -> None:
    integration = make_integration(cast.acme, "code", auth_mode="user_token", url=github.url)
    answer = alice.post(f"/integrations/{integration.pk}/connection", {"key": KEY})
    assert_error(answer, 400, "kontext_connect_key_refused")
    assert KEY not in answer.text
    assert not Connection.objects.filter(integration=integration).exists()


def test_other_organization_finds_nothing(cast: Cast, mallory: Api) -> None:
    connection = make_connection(cast.github, cast.alice)
    path = f"/integrations/{cast.github.pk}/connection"
    for answer in (
        mallory.get(f"/connections/{connection.pk}"),
        mallory.delete(f"/connections/{connection.pk}"),
        mallory.get(path),
        mallory.post(path, {}),
        mallory.delete(path),
    ):
        assert_error(answer, 404, "kontext_not_found")
    connection.refresh_from_db()
    assert connection.status == "active"
    assert mallory.get("/connections", userId=cast.alice.pk).json["items"] == []
