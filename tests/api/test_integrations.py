"""Integrations, what they can do, and which of them an application may use. "GitHub" is the demo's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from connections.definitions import digest_definition
from connections.models import ApplicationIntegration, Capability, Connection, Integration, OAuthClient
from orgs.models import Application
from tests.api.conftest import READERS, Api, assert_error, find_events
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_application, make_connection, make_integration

pytestmark = pytest.mark.django_db
NOBODY = "00000000-0000-7000-8000-000000000000"
NEW = {"slug": "linear", "name": "Linear", "url": "https://mcp.linear.test/mcp"}
SECRET = "entered-secret-" * 3
OAUTH = {
    "clientId": "kontext-at-linear",
    "clientSecret": SECRET,
    "authorizationEndpoint": "https://linear.test/oauth/authorize",
    "tokenEndpoint": "https://linear.test/oauth/token",
    "scopes": ["read", "write"],
}


def test_create_stores_a_draft(cast: Cast, carol: Api) -> None:
    answer = carol.post("/integrations", NEW)
    assert answer.status == 201, answer.text
    shown = answer.json["integration"]
    assert {name: shown[name] for name in NEW} == NEW
    assert (shown["status"], shown["authMode"], shown["category"]) == ("draft", "oauth", "gateway_remote_mcp")
    assert shown["resource"] == f"{settings.GATEWAY_URL}/mcp/linear"
    stored = Integration.objects.get(pk=shown["id"])
    assert stored.organization == cast.acme
    (event,) = find_events("integration.added")
    assert (event.organization_id, event.user_id, event.integration_id) == (cast.acme.pk, cast.carol.pk, stored.pk)
    assert event.request_id == answer.headers["X-Request-ID"]


def test_create_from_the_catalogue_fills_everything_in(cast: Cast, carol: Api) -> None:
    given = {"catalogueEntry": "zendesk", "parameters": {"subdomain": "acme"}, "slug": "desk"}
    answer = carol.post("/integrations", given)
    assert answer.status == 201, answer.text
    shown = answer.json["integration"]
    assert (shown["name"], shown["url"]) == ("Zendesk", "https://acme.zendesk.com/api/v2")
    assert (shown["slug"], shown["category"], shown["authMode"]) == ("desk", "internal_mcp_credentials", "oauth")
    assert (shown["catalogueEntry"], shown["parameters"]) == ("zendesk", {"subdomain": "acme"})
    client = carol.get(f"/integrations/{shown['id']}/oauth").json["oauth"]
    assert client["tokenEndpoint"] == "https://acme.zendesk.com/oauth/tokens"
    assert (client["tokenEndpointAuthMethod"], client["clientId"]) == ("client_secret_post", "")
    (event,) = find_events("integration.added")
    assert event.details["catalogue_entry"] == "zendesk"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"catalogueEntry": "nobody"}, "catalogueEntry"),
        ({"catalogueEntry": "zendesk"}, "subdomain"),
        ({"catalogueEntry": "github", "url": "https://elsewhere.test/"}, "url"),
        ({"catalogueEntry": "openai", "authMode": "oauth"}, "authMode"),
        ({"parameters": {"subdomain": "acme"}, **NEW}, "parameters"),
        ({"slug": "linear"}, "url"),
    ],
)
def test_create_from_the_catalogue_wrongly_adds_nothing(
    cast: Cast, carol: Api, given: dict[str, Any], field: str
) -> None:
    before = Integration.objects.count()
    answer = carol.post("/integrations", given)
    assert_error(
        answer, 400, "kontext_validation_error", *([field, "name"] if given == {"slug": "linear"} else [field])
    )
    assert Integration.objects.count() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "Linear!"}, "slug"),
        ({"slug": "x" * 33}, "slug"),
        ({"name": ""}, "name"),
        ({"url": "not a url"}, "url"),
        ({"url": "ftp://linear.test/"}, "url"),
        ({"url": "https://linear.test/?key=secret"}, "url"),
        ({"url": "https://user:password@linear.test/"}, "url"),
        ({"authMode": "magic"}, "authMode"),
        ({"category": "magic"}, "category"),
        ({"keyTemplate": "no token in it", "authMode": "user_token"}, "keyTemplate"),
        ({"keyHeader": "Two Words"}, "keyHeader"),
        ({"keyHeader": "X\r\nEvil"}, "keyHeader"),
        ({"status": "active"}, "status"),
        ({"organizationId": NOBODY}, "organizationId"),
        ({"discoveredAt": None}, "discoveredAt"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_create_with_bad_input_is_refused_and_recorded(carol: Api, change: dict[str, Any], field: str) -> None:
    before = Integration.objects.count()
    assert_error(carol.post("/integrations", {**NEW, **change}), 400, "kontext_validation_error", field)
    assert Integration.objects.count() == before
    assert len(find_events("management.refused")) == 1


def test_create_with_a_slug_that_is_taken_is_refused(cast: Cast, carol: Api) -> None:
    answer = carol.post("/integrations", {**NEW, "slug": "github"})
    assert answer.status == 400
    assert answer.json["code"] == "kontext_validation_error"
    assert Integration.objects.filter(organization=cast.acme, slug="github").count() == 1


def test_create_with_another_organizations_slug_works(cast: Cast, carol: Api) -> None:
    make_integration(cast.globex, "linear")
    assert carol.post("/integrations", NEW).status == 201


def test_list_and_filter(cast: Cast, carol: Api) -> None:
    make_integration(cast.acme, "search", auth_mode="none", status="draft")
    assert [item["slug"] for item in carol.get("/integrations").json["items"]] == ["search", "github"]
    for query in ({"authMode": "none"}, {"status": "draft"}, {"slug": "search"}):
        assert [item["slug"] for item in carol.get("/integrations", **query).json["items"]] == ["search"]
    assert str(cast.globex_github.pk) not in carol.get("/integrations").text


def test_change_stores_what_is_given(cast: Cast, carol: Api) -> None:
    answer = carol.patch(f"/integrations/{cast.github.pk}", {"name": "GitHub Cloud", "status": "disabled"})
    assert answer.status == 200, answer.text
    assert (answer.json["integration"]["name"], answer.json["integration"]["status"]) == ("GitHub Cloud", "disabled")
    (event,) = find_events("integration.changed")
    assert event.user_id == cast.carol.pk


def test_change_of_the_auth_mode_ends_each_persons_connection(cast: Cast, carol: Api) -> None:
    connection = make_connection(cast.github, cast.alice)
    answer = carol.patch(f"/integrations/{cast.github.pk}", {"authMode": "user_token"})
    assert (answer.status, answer.json["integration"]["status"]) == (200, "draft")
    connection.refresh_from_db()
    assert connection.status == Connection.Status.REVOKED


def test_change_of_a_draft_to_active_needs_validation(cast: Cast, carol: Api) -> None:
    draft = make_integration(cast.acme, "draft", status="draft")
    answer = carol.patch(f"/integrations/{draft.pk}", {"status": "active"})
    assert_error(answer, 400, "kontext_validation_error", "status")
    draft.refresh_from_db()
    assert draft.status == "draft"


def test_delete_removes_it(cast: Cast, carol: Api) -> None:
    assert carol.delete(f"/integrations/{cast.github.pk}").status == 204
    assert not Integration.objects.filter(pk=cast.github.pk).exists()
    assert len(find_events("integration.deleted")) == 1
    assert Integration.objects.filter(pk=cast.globex_github.pk).exists()


def test_validate_discovers_registers_and_takes_into_use(carol: Api, github: GitHub) -> None:
    made = carol.post("/integrations", {"slug": "code", "name": "Code", "url": github.url}).json["integration"]
    answer = carol.post(f"/integrations/{made['id']}/validate")
    assert answer.status == 200, answer.text
    assert (answer.json["ok"], answer.json["error"]) == (True, "")
    assert answer.json["integration"]["status"] == "active"
    client = OAuthClient.objects.get(integration=made["id"])
    assert (client.registration, bool(client.client_id)) == ("dynamic", True)
    shown = carol.get(f"/integrations/{made['id']}/oauth").json["oauth"]
    assert (shown["clientId"], shown["issuer"]) == (client.client_id, client.issuer)
    assert len(find_events("integration.discovered")) == 1


def test_validate_of_what_does_not_answer_says_so_and_keeps_a_draft(carol: Api) -> None:
    body = {"slug": "gone", "name": "Gone", "url": "http://127.0.0.1:1/mcp"}
    made = carol.post("/integrations", body).json["integration"]
    answer = carol.post(f"/integrations/{made['id']}/validate")
    assert (answer.status, answer.json["ok"]) == (200, False)
    assert answer.json["error"]
    assert answer.json["integration"]["status"] == "draft"
    (event,) = find_events("integration.discovered")
    assert event.outcome == "error_remote"


def test_validate_too_often_is_slowed_down(cast: Cast, carol: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connections.api.views.integrations.record_use", lambda *given: 7)
    answer = carol.post(f"/integrations/{cast.github.pk}/validate")
    assert_error(answer, 429, "kontext_rate_limited")
    assert answer.headers["Retry-After"] == "7"


def test_enter_oauth_client_stores_the_secret_sealed(cast: Cast, carol: Api) -> None:
    path = f"/integrations/{cast.github.pk}/oauth"
    assert_error(carol.get(path), 404, "kontext_not_found")
    answer = carol.put(path, OAUTH)
    assert answer.status == 200, answer.text
    shown = answer.json["oauth"]
    assert (shown["clientId"], shown["clientSecretConfigured"]) == ("kontext-at-linear", True)
    assert shown["scopes"] == ["read", "write"]
    stored = OAuthClient.objects.get(integration=cast.github)
    assert SECRET.encode() not in bytes(stored.client_secret)
    events = str([event.__dict__ for event in find_events("integration.changed")])
    for text in (answer.text, carol.get(path).text, events):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"clientId": ""}, "clientId"),
        ({"tokenEndpoint": "ftp://elsewhere.test/token"}, "tokenEndpoint"),
        ({"authorizationEndpoint": "javascript:alert(1)"}, "authorizationEndpoint"),
        ({"tokenEndpointAuthMethod": "none"}, "tokenEndpointAuthMethod"),
        ({"tokenEndpointAuthMethod": "magic"}, "tokenEndpointAuthMethod"),
        ({"scopes": ["x" * 256]}, "scopes.0"),
        ({"metadata": {}}, "metadata"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_enter_bad_oauth_client_is_refused(cast: Cast, carol: Api, change: dict[str, Any], field: str) -> None:
    answer = carol.put(f"/integrations/{cast.github.pk}/oauth", {**OAUTH, **change})
    assert_error(answer, 400, "kontext_validation_error", field)
    assert not OAuthClient.objects.exists()
    assert SECRET not in answer.text


def test_capabilities_are_listed_and_filtered(cast: Cast, carol: Api) -> None:
    items = carol.get("/capabilities", integrationId=cast.github.pk).json["items"]
    assert [(item["toolId"], item["class"]) for item in items] == [
        ("github:delete_repo", "destructive"),
        ("github:create_issue", "write"),
    ]
    assert [item["name"] for item in carol.get("/capabilities", **{"class": "write"}).json["items"]] == ["create_issue"]
    shown = carol.get(f"/capabilities/{cast.create_issue.pk}").json["capability"]
    assert (shown["inputSchema"], shown["heldDefinition"], shown["heldDigest"]) == ({}, None, None)


def test_confirm_class_stores_it(cast: Cast, carol: Api) -> None:
    answer = carol.patch(f"/capabilities/{cast.create_issue.pk}", {"class": "read"})
    assert (answer.json["capability"]["class"], answer.json["capability"]["classConfirmed"]) == ("read", True)
    cast.create_issue.refresh_from_db()
    assert (cast.create_issue.klass, cast.create_issue.klass_confirmed) == ("read", True)
    assert len(find_events("capability.class_confirmed")) == 1


@pytest.mark.parametrize("body", [{"class": "harmless"}, {"klass": "read"}, {"status": "active"}, {"definition": {}}])
def test_confirm_nonsense_is_refused(cast: Cast, carol: Api, body: dict[str, Any]) -> None:
    answer = carol.patch(f"/capabilities/{cast.create_issue.pk}", body)
    assert_error(answer, 400, "kontext_validation_error", *body)


def test_accept_takes_the_very_definition_that_was_looked_at(cast: Cast, carol: Api) -> None:
    held = {"name": "create_issue", "description": "Now does more.", "annotations": {"readOnlyHint": False}}
    Capability.objects.filter(pk=cast.create_issue.pk).update(status="held", held_definition=held, digest="0" * 64)
    path = f"/capabilities/{cast.create_issue.pk}"
    shown = carol.get(path).json["capability"]
    assert (shown["status"], shown["heldDefinition"], shown["heldDigest"]) == ("held", held, digest_definition(held))

    assert_error(carol.patch(path, {"accept": "f" * 64}), 409, "kontext_conflict")
    cast.create_issue.refresh_from_db()
    assert cast.create_issue.status == "held"

    accepted = carol.patch(path, {"accept": shown["heldDigest"]}).json["capability"]
    assert (accepted["status"], accepted["digest"], accepted["heldDigest"]) == ("active", shown["heldDigest"], None)
    assert len(find_events("capability.accepted")) == 1
    assert_error(carol.patch(path, {"accept": shown["heldDigest"]}), 409, "kontext_conflict")


def test_allowed_integrations_are_set_added_and_taken_away(cast: Cast, carol: Api) -> None:
    search = make_integration(cast.acme, "search")
    path = f"/applications/{cast.pr_bot.pk}/integrations"
    assert [item["slug"] for item in carol.get(path).json["items"]] == ["github"]

    answer = carol.put(path, {"integrationIds": [str(search.pk), str(search.pk)]})
    assert [item["slug"] for item in answer.json["items"]] == ["search"]
    (event,) = find_events("application.changed")
    assert event.details["integrations_allowed"] == ["search"]
    assert event.details["integrations_disallowed"] == ["github"]

    assert carol.post(f"{path}/{cast.github.pk}").json["integration"]["slug"] == "github"
    assert carol.post(f"{path}/{cast.github.pk}").status == 200
    assert carol.delete(f"{path}/{search.pk}").status == 204
    assert [item["slug"] for item in carol.get(path).json["items"]] == ["github"]
    assert len(find_events("application.changed")) == 3


@pytest.mark.parametrize("key", ["foreign", "unknown"])
def test_allow_what_is_not_ours_is_refused_alike(cast: Cast, carol: Api, key: str) -> None:
    wanted = str(cast.globex_github.pk if key == "foreign" else uuid4())
    path = f"/applications/{cast.pr_bot.pk}/integrations"
    answer = carol.put(path, {"integrationIds": [str(cast.github.pk), wanted]})
    assert_error(answer, 400, "kontext_validation_error", "integrationIds")
    assert_error(carol.post(f"{path}/{wanted}"), 404, "kontext_not_found")
    assert_error(carol.delete(f"{path}/{wanted}"), 404, "kontext_not_found")
    assert list(
        ApplicationIntegration.objects.filter(application=cast.pr_bot).values_list("integration", flat=True)
    ) == [cast.github.pk]


def test_access_graph_shows_who_may_use_what(cast: Cast, carol: Api) -> None:
    items = {item["name"]: item for item in carol.get("/applications/access-graph").json["items"]}
    assert items["PR-Bot"]["integrations"] == [{"id": str(cast.github.pk), "name": "Github"}]
    assert (items["PR-Bot"]["userCount"], items["Script"]["userCount"]) == (1, 0)
    assert "Spy-Bot" not in items


@pytest.mark.parametrize("role", READERS)
def test_reader_sees_drafts_too(with_role: Callable[[str], Api], cast: Cast, role: str) -> None:
    make_integration(cast.acme, "draft", status="draft")
    client = with_role(role)
    assert len(client.get("/integrations").json["items"]) == 2
    assert client.get(f"/applications/{cast.pr_bot.pk}/integrations").status == 200
    assert client.get(f"/integrations/{cast.github.pk}/oauth").status == 404


def test_member_sees_what_is_in_use(cast: Cast, alice: Api) -> None:
    draft = make_integration(cast.acme, "draft", status="draft")
    Capability.objects.filter(pk=cast.delete_repo.pk).update(status="held")
    assert [item["slug"] for item in alice.get("/integrations").json["items"]] == ["github"]
    assert [item["name"] for item in alice.get("/capabilities").json["items"]] == ["create_issue"]
    assert_error(alice.get(f"/integrations/{draft.pk}"), 404, "kontext_not_found")
    assert_error(alice.get(f"/capabilities/{cast.delete_repo.pk}"), 404, "kontext_not_found")
    assert_error(alice.get(f"/integrations/{cast.github.pk}/oauth"), 403, "kontext_forbidden")
    assert_error(alice.get("/applications/access-graph"), 403, "kontext_forbidden")


@pytest.mark.parametrize("role", ["auditor", "policy_author", "member"])
def test_who_is_no_administrator_changes_nothing(with_role: Callable[[str], Api], cast: Cast, role: str) -> None:
    client = with_role(role)
    path, allowed = f"/integrations/{cast.github.pk}", f"/applications/{cast.pr_bot.pk}/integrations"
    for answer in (
        client.post("/integrations", NEW),
        client.patch(path, {"name": "Mine"}),
        client.post(f"{path}/validate"),
        client.put(f"{path}/oauth", OAUTH),
        client.patch(f"/capabilities/{cast.create_issue.pk}", {"class": "read"}),
        client.put(allowed, {"integrationIds": []}),
        client.post(f"{allowed}/{cast.github.pk}"),
        client.delete(f"{allowed}/{cast.github.pk}"),
        client.delete(path),
    ):
        assert_error(answer, 403, "kontext_forbidden")
    cast.github.refresh_from_db()
    assert cast.github.name == "Github"
    assert ApplicationIntegration.objects.filter(application=cast.pr_bot).exists()


def test_other_organization_finds_nothing(cast: Cast, mallory: Api) -> None:
    path, allowed = f"/integrations/{cast.github.pk}", f"/applications/{cast.pr_bot.pk}/integrations"
    for answer in (
        mallory.get(path),
        mallory.patch(path, {"name": "Mine"}),
        mallory.post(f"{path}/validate"),
        mallory.get(f"{path}/oauth"),
        mallory.put(f"{path}/oauth", OAUTH),
        mallory.get(f"/capabilities/{cast.create_issue.pk}"),
        mallory.patch(f"/capabilities/{cast.create_issue.pk}", {"class": "read"}),
        mallory.get(allowed),
        mallory.put(allowed, {"integrationIds": []}),
        mallory.post(f"{allowed}/{cast.globex_github.pk}"),
        mallory.post(f"/applications/{cast.spy_bot.pk}/integrations/{cast.github.pk}"),
        mallory.delete(f"/applications/{cast.spy_bot.pk}/integrations/{cast.github.pk}"),
        mallory.delete(path),
    ):
        assert_error(answer, 404, "kontext_not_found")
    assert mallory.get("/capabilities", integrationId=cast.github.pk).json["items"] == []
    assert "PR-Bot" not in mallory.get("/applications/access-graph").text


def test_external_auth_is_set_and_its_key_never_shown(cast: Cast, carol: Api) -> None:
    product = make_application(cast.acme, "Product", client_type=Application.CLIENT_CONFIDENTIAL)
    address = f"/applications/{product.pk}/external-auth"
    assert_error(carol.get(address), 404, "kontext_not_found")
    given = {
        "enabled": True,
        "issuer": "https://login.product.test",
        "jwksUrl": "https://login.product.test/keys",
        "audience": "kontext",
        "allowedReturnUrls": ["https://product.test/done"],
        "partnerApiKey": SECRET,
    }
    answer = carol.put(address, given)
    assert answer.status == 200, answer.text
    shown = answer.json["externalAuth"]
    assert (shown["enabled"], shown["partnerApiKeyConfigured"]) == (True, True)
    assert (shown["allowedAlgorithms"], shown["maxTokenAgeSeconds"]) == (["ES256", "RS256"], 300)
    assert SECRET not in answer.text + carol.get(address).text
    (event,) = find_events("application.changed")
    assert event.details["partner_key_changed"] is True
    bad = carol.put(address, given | {"allowedAlgorithms": ["HS256"]})
    assert bad.status == 400
    assert_error(
        carol.put(f"/applications/{cast.pr_bot.pk}/external-auth", given),
        400,
        "kontext_validation_error",
        "applicationId",
    )
