from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.hashers import check_password

from orgs.models import Application, IssuedToken
from orgs.services.update_application import update_application
from tests.api.conftest import READERS, Api, assert_error, find_events, issue_token
from tests.factories import Cast

pytestmark = pytest.mark.django_db
NOBODY = "00000000-0000-7000-8000-000000000000"
NEW = {
    "name": "Release Bot",
    "description": "Writes release notes.",
    "homepage": "https://acme.test/bots",
    "clientType": "confidential",
    "grantTypes": ["authorization_code", "refresh_token"],
    "redirectUris": ["https://bots.acme.test/callback", "http://127.0.0.1/callback"],
}
KEYS = {
    "id",
    "clientId",
    "name",
    "description",
    "homepage",
    "clientType",
    "grantTypes",
    "redirectUris",
    "status",
    "ownerId",
    "registrationSource",
    "lastUsedAt",
    "createdAt",
    "updatedAt",
}


def test_create_stores_it_and_shows_the_secret_once(cast: Cast, carol: Api) -> None:
    answer = carol.post("/applications", NEW)

    assert answer.status == 201, answer.text
    shown, secret = answer.json["application"], answer.json["clientSecret"]
    assert set(shown) == KEYS
    assert {name: shown[name] for name in NEW} == NEW
    assert shown["clientId"].startswith("app_")
    assert shown["ownerId"] == str(cast.carol.pk)
    stored = Application.objects.get(pk=shown["id"])
    assert (stored.organization, stored.owner, stored.status) == (cast.acme, cast.carol, "active")
    assert check_password(secret, stored.client_secret)
    (event,) = find_events("application.registered")
    assert (event.organization_id, event.user_id, event.user_name) == (cast.acme.pk, cast.carol.pk, "Carol Clark")
    assert event.application_name == "Script"
    assert event.request_id == answer.headers["X-Request-ID"]
    assert secret not in str(event.__dict__)
    assert secret not in carol.get(f"/applications/{shown['id']}").text
    assert secret not in carol.get("/applications").text


def test_create_public_one_has_no_secret(carol: Api) -> None:
    answer = carol.post("/applications", {"name": "CLI", "clientType": "public", "redirectUris": ["http://127.0.0.1/"]})
    assert (answer.status, answer.json["clientSecret"]) == (201, None)
    assert answer.json["application"]["grantTypes"] == ["authorization_code", "refresh_token"]


def test_create_for_another_owner_keeps_that_owner(cast: Cast, carol: Api) -> None:
    answer = carol.post("/applications", {**NEW, "ownerId": str(cast.alice.pk)})
    assert answer.json["application"]["ownerId"] == str(cast.alice.pk)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "n" * 256}, "name"),
        ({"name": None}, "name"),
        ({"name": {"a": 1}}, "name"),
        ({"homepage": "javascript:alert(1)"}, "homepage"),
        ({"clientType": "secretive"}, "clientType"),
        ({"grantTypes": ["password"]}, "grantTypes"),
        ({"grantTypes": []}, "grantTypes"),
        ({"grantTypes": "authorization_code"}, "grantTypes"),
        ({"grantTypes": ["client_credentials"], "clientType": "public"}, "grantTypes"),
        ({"redirectUris": ["http://elsewhere.test/"]}, "redirectUris"),
        ({"redirectUris": ["https://acme.test/#fragment"]}, "redirectUris"),
        ({"redirectUris": ["https://acme.test/ https://evil.test/"]}, "redirectUris.0"),
        ({"redirectUris": [7, {}]}, "redirectUris.1"),
        ({"redirectUris": ["https://a.test/"] * 51}, "redirectUris"),
        ({"ownerId": "not-a-uuid"}, "ownerId"),
        ({"ownerId": NOBODY}, "ownerId"),
        ({"organizationId": NOBODY}, "organizationId"),
        ({"organization": NOBODY}, "organization"),
        ({"id": NOBODY}, "id"),
        ({"clientSecret": "mine"}, "clientSecret"),
        ({"status": "active"}, "status"),
        ({"redirect_uris": []}, "redirect_uris"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_create_with_bad_input_is_refused_and_recorded(
    cast: Cast, carol: Api, change: dict[str, Any], field: str
) -> None:
    before = Application.objects.count()
    answer = carol.post("/applications", {**NEW, **change})
    assert_error(answer, 400, "kontext_validation_error", field)
    assert Application.objects.count() == before
    (event,) = find_events("management.refused")
    assert (event.organization_id, event.user_id) == (cast.acme.pk, cast.carol.pk)
    assert event.details == {
        "method": "POST",
        "route": "api/v1/applications",
        "status": 400,
        "code": "kontext_validation_error",
    }
    assert event.request_id == answer.json["requestId"]


def test_create_for_a_stranger_says_the_same_as_for_nobody(cast: Cast, carol: Api) -> None:
    strangers = [str(cast.mallory.pk), str(uuid4())]
    answers = [carol.post("/applications", {**NEW, "ownerId": key}) for key in strangers]
    assert answers[0].json["fields"] == answers[1].json["fields"]


def test_list_holds_this_organization_alone(cast: Cast, carol: Api) -> None:
    answer = carol.get("/applications")
    assert answer.status == 200
    assert [item["name"] for item in answer.json["items"]] == ["Script", "PR-Bot"]
    assert answer.json["nextCursor"] is None
    assert "Spy-Bot" not in answer.text


def test_list_with_filters_narrows(cast: Cast, carol: Api) -> None:
    Application.objects.filter(pk=cast.pr_bot.pk).update(status="suspended")
    names = [item["name"] for item in carol.get("/applications", status="suspended").json["items"]]
    assert names == ["PR-Bot"]
    assert carol.get("/applications", ownerId=cast.alice.pk).json["items"] == []


def test_get_shows_it(cast: Cast, carol: Api) -> None:
    answer = carol.get(f"/applications/{cast.pr_bot.pk}")
    assert answer.json["application"]["clientId"] == cast.pr_bot.client_id
    assert set(answer.json["application"]) == KEYS


def test_change_stores_what_is_given_alone(cast: Cast, carol: Api) -> None:
    answer = carol.patch(f"/applications/{cast.pr_bot.pk}", {"name": "Pull Request Bot", "ownerId": str(cast.alice.pk)})
    assert answer.status == 200, answer.text
    cast.pr_bot.refresh_from_db()
    assert (cast.pr_bot.name, cast.pr_bot.owner) == ("Pull Request Bot", cast.alice)
    assert cast.pr_bot.redirect_uris == "http://127.0.0.1/callback"
    assert answer.json["application"]["name"] == "Pull Request Bot"
    (event,) = find_events("application.changed")
    assert event.details["changed"] == ["name", "owner"]
    assert event.user_id == cast.carol.pk


def test_change_with_bad_input_changes_nothing(cast: Cast, carol: Api) -> None:
    body = {"name": "New", "redirectUris": ["ftp://x"], "status": "suspended"}
    assert_error(carol.patch(f"/applications/{cast.pr_bot.pk}", body), 400, "kontext_validation_error", "redirectUris")
    cast.pr_bot.refresh_from_db()
    assert (cast.pr_bot.name, cast.pr_bot.status) == ("PR-Bot", "active")
    assert find_events("application.changed") == []


def test_suspend_ends_its_tokens_and_approve_lets_it_work_again(cast: Cast, carol: Api) -> None:
    answer = carol.patch(f"/applications/{cast.pr_bot.pk}", {"status": "suspended"})
    assert answer.json["application"]["status"] == "suspended"
    answer = carol.patch(f"/applications/{cast.pr_bot.pk}", {"status": "active"})
    assert answer.json["application"]["status"] == "active"
    assert [event.details["status"] for event in find_events("application.changed")] == ["suspended", "active"]


def test_rename_while_the_secret_is_rotated_keeps_the_new_secret(cast: Cast, carol: Api) -> None:
    created = carol.post("/applications", NEW).json["application"]
    stale = Application.objects.get(pk=created["id"])
    secret = carol.post(f"/applications/{created['id']}/rotate-secret").json["clientSecret"]
    update_application(application=stale, name="Renamed")
    stored = Application.objects.get(pk=created["id"])
    assert stored.name == "Renamed"
    assert check_password(secret, stored.client_secret)


def test_delete_removes_it_and_keeps_its_name_in_the_log(cast: Cast, carol: Api) -> None:
    answer = carol.delete(f"/applications/{cast.pr_bot.pk}")
    assert (answer.status, answer.text) == (204, "")
    assert not Application.objects.filter(pk=cast.pr_bot.pk).exists()
    (event,) = find_events("application.deleted")
    assert event.details["name"] == "PR-Bot"
    assert_error(carol.delete(f"/applications/{cast.pr_bot.pk}"), 404, "kontext_not_found")


def test_rotate_replaces_the_secret_at_once(cast: Cast, carol: Api) -> None:
    created = carol.post("/applications", NEW).json
    answer = carol.post(f"/applications/{created['application']['id']}/rotate-secret")
    assert answer.status == 200, answer.text
    stored = Application.objects.get(pk=created["application"]["id"])
    assert check_password(answer.json["clientSecret"], stored.client_secret)
    assert not check_password(created["clientSecret"], stored.client_secret)
    (event,) = find_events("application.secret_rotated")
    assert answer.json["clientSecret"] not in str(event.__dict__)


def test_rotate_of_public_application_is_refused(cast: Cast, carol: Api) -> None:
    answer = carol.post(f"/applications/{cast.pr_bot.pk}/rotate-secret")
    assert_error(answer, 400, "kontext_validation_error", "clientType")


def test_get_oauth_tells_what_the_application_must_be_configured_with(cast: Cast, carol: Api) -> None:
    shown = carol.get(f"/applications/{cast.pr_bot.pk}/oauth").json["oauth"]
    assert shown["clientId"] == cast.pr_bot.client_id
    assert shown["tokenEndpoint"] == f"{settings.PUBLIC_URL}/oauth2/token"
    assert shown["gatewayResource"] == f"{settings.GATEWAY_URL}/mcp"
    assert shown["redirectUris"] == ["http://127.0.0.1/callback"]
    assert shown["tokenEndpointAuthMethods"] == ["none"]


def test_change_oauth_stores_redirects(cast: Cast, carol: Api) -> None:
    answer = carol.patch(f"/applications/{cast.pr_bot.pk}/oauth", {"redirectUris": ["https://pr.acme.test/cb"]})
    assert answer.json["oauth"]["redirectUris"] == ["https://pr.acme.test/cb"]
    cast.pr_bot.refresh_from_db()
    assert cast.pr_bot.redirect_uris == "https://pr.acme.test/cb"
    assert_error(
        carol.patch(f"/applications/{cast.pr_bot.pk}/oauth", {"name": "x"}), 400, "kontext_validation_error", "name"
    )


def test_sessions_say_how_far_each_consent_is_in_use(cast: Cast, carol: Api) -> None:
    path = f"/applications/{cast.pr_bot.pk}/sessions"
    (shown,) = carol.get(path).json["items"]
    assert (shown["derivedStatus"], shown["user"]["name"]) == ("idle", "Alice Adams")

    issue_token(cast.pr_bot, cast.alice, scope="mcp:invoke")
    assert carol.get(path).json["items"][0]["derivedStatus"] == "active"

    assert carol.delete(f"{path}/{cast.delegation.pk}").status == 204
    (shown,) = carol.get(path).json["items"]
    assert shown["derivedStatus"] == "disconnected"
    cast.delegation.refresh_from_db()
    assert cast.delegation.revoked_at is not None
    (event,) = find_events("delegation.revoked")
    assert (event.user_id, event.details["of_user"]) == (cast.carol.pk, str(cast.alice.pk))


def test_session_past_its_end_is_expired(cast: Cast, carol: Api) -> None:
    cast.delegation.expires_at = cast.delegation.granted_at
    cast.delegation.save()
    assert carol.get(f"/applications/{cast.pr_bot.pk}/sessions").json["items"][0]["derivedStatus"] == "expired"


@pytest.mark.parametrize("role", READERS)
def test_reader_sees_applications(with_role: Callable[[str], Api], cast: Cast, role: str) -> None:
    client = with_role(role)
    for path in ("", f"/{cast.pr_bot.pk}", f"/{cast.pr_bot.pk}/oauth", f"/{cast.pr_bot.pk}/sessions"):
        assert client.get(f"/applications{path}").status == 200


@pytest.mark.parametrize("role", ["auditor", "policy_author", "member"])
def test_who_is_no_administrator_changes_nothing(with_role: Callable[[str], Api], cast: Cast, role: str) -> None:
    client = with_role(role)
    path = f"/applications/{cast.pr_bot.pk}"
    tried = [
        client.post("/applications", NEW),
        client.patch(path, {"name": "Mine"}),
        client.patch(f"{path}/oauth", {"redirectUris": []}),
        client.post(f"{path}/rotate-secret"),
        client.delete(f"{path}/sessions/{cast.delegation.pk}"),
        client.delete(path),
    ]
    for answer in tried:
        assert_error(answer, 403, "kontext_forbidden")
    cast.pr_bot.refresh_from_db()
    assert cast.pr_bot.name == "PR-Bot"
    assert {event.details["code"] for event in find_events("management.refused")} == {"kontext_forbidden"}
    assert len(find_events("management.refused")) == len(tried)


def test_member_sees_no_applications(alice: Api, cast: Cast) -> None:
    for path in ("", f"/{cast.pr_bot.pk}", f"/{cast.pr_bot.pk}/sessions"):
        assert_error(alice.get(f"/applications{path}"), 403, "kontext_forbidden")


def test_other_organization_finds_nothing(cast: Cast, mallory: Api) -> None:
    path = f"/applications/{cast.pr_bot.pk}"
    unknown = mallory.get(f"/applications/{uuid4()}")
    for answer in (
        mallory.get(path),
        mallory.patch(path, {"name": "Mine"}),
        mallory.get(f"{path}/oauth"),
        mallory.patch(f"{path}/oauth", {"redirectUris": []}),
        mallory.post(f"{path}/rotate-secret"),
        mallory.get(f"{path}/sessions"),
        mallory.delete(f"{path}/sessions/{cast.delegation.pk}"),
        mallory.delete(path),
    ):
        assert_error(answer, 404, "kontext_not_found")
        assert answer.json["message"] == unknown.json["message"]
    cast.pr_bot.refresh_from_db()
    cast.delegation.refresh_from_db()
    assert (cast.pr_bot.name, cast.delegation.revoked_at) == ("PR-Bot", None)
    assert IssuedToken.objects.filter(revoked_at__isnull=False).count() == 0
