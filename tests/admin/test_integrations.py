"""The workbench, with the demo GitHub as the integration: its own process, its own authorization server."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from audit.models import AuditEvent
from connections.models import Capability, Connection, Credential, Integration, OAuthClient
from connections.services.discover_capabilities import discover_capabilities
from orgs.models import Application
from tests.admin.conftest import sign_in, submit
from tests.connections.conftest import github, github_process
from tests.connections.journey import connect
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_capability, make_connection, make_integration

LIST = "/admin/connections/integration/"
CAPABILITIES = "/admin/connections/capability/"
CONNECTIONS = "/admin/connections/connection/"
APPLICATIONS = "/admin/orgs/application/"

__all__ = ["github", "github_process"]


@pytest.fixture(autouse=True)
def _private_networks(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = True


def given(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {
        "organization": str(cast.acme.pk),
        "name": "Code",
        "slug": "code",
        "url": "https://code.test/mcp",
        "category": "gateway_remote_mcp",
        "auth_mode": "oauth",
        "key_header": "Authorization",
        "key_template": "Bearer {token}",
        **changes,
    }


def test_add_by_url_leads_through_discovery_to_capabilities(cast: Cast, carol: Client, github: GitHub) -> None:
    answer = carol.post(f"{LIST}add/", given(cast, url=github.url))
    integration = Integration.objects.get(slug="code")
    assert answer["Location"] == f"{LIST}{integration.pk}/discover/"
    assert integration.status == "draft"
    page = carol.post(answer["Location"], follow=True).content.decode()
    assert "Discovered. Code is active." in page
    client = OAuthClient.objects.get(integration=integration)
    assert client.registration == "dynamic"
    assert client.client_id in page
    integration.refresh_from_db()
    connect(cast.alice, integration)
    page = carol.post(f"{LIST}{integration.pk}/discover/", follow=True).content.decode()
    assert "capabilities are known, 0 of them held" in page
    assert "create_issue" in page
    assert AuditEvent.objects.filter(type="integration.added", user_id=cast.carol.pk).exists()
    secret = bytes(Credential.objects.get().ciphertext)
    assert secret.hex() not in page


def test_discovery_that_fails_says_why_and_keeps_it(cast: Cast, carol: Client) -> None:
    integration = make_integration(cast.acme, "nobody", url="http://127.0.0.1:9/mcp", status="draft")
    page = unescape(carol.post(f"{LIST}{integration.pk}/discover/", follow=True).content.decode())
    integration.refresh_from_db()
    assert integration.discovery_error
    assert integration.discovery_error[1:40] in page
    assert integration.status == "draft"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "ftp://code.test/mcp"}, "code.test"),
        ({"url": "https://code.test/mcp?key=1"}, "no query and no fragment"),
        ({"slug": "Code!"}, "lower-case letters"),
        ({"key_template": "Bearer"}, "token"),
        ({"slug": "github"}, "already exists"),
    ],
)
def test_add_with_bad_input_says_why_beside_the_field(
    cast: Cast, carol: Client, changes: dict[str, Any], words: str
) -> None:
    answer = carol.post(f"{LIST}add/", given(cast, **changes))
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    assert words in str(form.errors.get(next(iter(changes)), form.non_field_errors()))
    assert not Integration.objects.filter(name="Code").exists()


def test_enter_client_seals_the_secret_and_never_shows_it(cast: Cast, carol: Client) -> None:
    secret = "client-secret-of-github"
    endpoints = {name: f"https://github.test/{name}" for name in ("authorization_endpoint", "token_endpoint")}
    address = f"{LIST}{cast.github.pk}/enter-client/"
    assert carol.post(address, {"client_id": "kontext", "client_secret": secret, **endpoints}).status_code == 302
    client = OAuthClient.objects.get(integration=cast.github)
    assert (client.client_id, client.issuer) == ("kontext", "https://github.test")
    assert secret.encode() not in bytes(client.client_secret)
    for page in (carol.get(address), carol.get(f"{LIST}{cast.github.pk}/change/")):
        assert secret not in page.content.decode()
    assert all(secret not in str(event.details) for event in AuditEvent.objects.all())


def test_enter_client_without_endpoints_names_the_missing_one(cast: Cast, carol: Client) -> None:
    answer = carol.post(f"{LIST}{cast.github.pk}/enter-client/", {"client_id": "k", "client_secret": "hush-hush"})
    assert answer.status_code == 200
    assert "Discovery has not found this endpoint" in str(answer.context["form"].errors["authorization_endpoint"])
    assert "hush-hush" not in answer.content.decode()
    assert not OAuthClient.objects.filter(integration=cast.github).exists()


def test_enter_key_is_for_integrations_with_one_key(cast: Cast, carol: Client) -> None:
    assert carol.get(f"{LIST}{cast.github.pk}/enter-key/").status_code == 404
    search = make_integration(cast.acme, "search", auth_mode="server_token", url="http://127.0.0.1:9/mcp")
    answer = carol.post(f"{LIST}{search.pk}/enter-key/", {"key": "key with\nnewline"})
    assert "printable characters" in str(answer.context["form"].errors["key"])
    assert carol.post(f"{LIST}{search.pk}/enter-key/", {"key": "sk-live-123456"}).status_code == 302
    assert Connection.objects.get(integration=search).user is None
    assert "sk-live-123456" not in carol.get(f"{LIST}{search.pk}/change/").content.decode()
    assert all("sk-live-123456" not in str(event.details) for event in AuditEvent.objects.all())


def test_switch_off_and_on(cast: Cast, carol: Client) -> None:
    assert carol.post(f"{LIST}{cast.github.pk}/switch-off/").status_code == 302
    cast.github.refresh_from_db()
    assert cast.github.status == "disabled"
    assert carol.post(f"{LIST}{cast.github.pk}/switch-on/").status_code == 302
    cast.github.refresh_from_db()
    assert cast.github.status == "active"


def test_delete_ends_connections(cast: Cast, carol: Client) -> None:
    make_connection(cast.github, cast.alice)
    assert carol.post(f"{LIST}{cast.github.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Integration.objects.filter(pk=cast.github.pk).exists()
    assert AuditEvent.objects.get(type="integration.deleted").details["connections_ended"] == 1


def test_other_organizations_integration_is_not_found(cast: Cast, carol: Client) -> None:
    for page in ("change", "delete", "discover", "enter-client", "switch-off"):
        answer = carol.post(f"{LIST}{cast.globex_github.pk}/{page}/", {"post": "yes", "client_id": "x"})
        assert answer.status_code in (403, 404)
    assert not OAuthClient.objects.exists()


def test_held_change_is_shown_as_difference_and_accepted(cast: Cast, carol: Client, github: GitHub) -> None:
    carol.post(f"{LIST}add/", given(cast, url=github.url))
    integration = Integration.objects.get(slug="code")
    carol.post(f"{LIST}{integration.pk}/discover/")
    integration.refresh_from_db()
    connect(cast.alice, integration)
    discover_capabilities(integration=integration)
    row = Capability.objects.get(integration=integration, name="create_issue")
    former = {**row.definition, "description": "What an administrator has seen."}
    Capability.objects.filter(pk=row.pk).update(definition=former, digest="0" * 64)
    discover_capabilities(integration=integration)
    address = f"{CAPABILITIES}{row.pk}"
    page = carol.get(f"{address}/change/").content.decode()
    assert "k-removed" in page
    assert "What an administrator has seen." in page
    assert "k-removed" in carol.get(f"{address}/accept/").content.decode()
    answer = carol.post(f"{address}/accept/", {"seen": "f" * 64})
    assert "has changed once more" in answer.content.decode()
    row.refresh_from_db()
    assert row.status == "held"
    seen = carol.get(f"{address}/accept/").context["form"]["seen"].value()
    assert carol.post(f"{address}/accept/", {"seen": seen}).status_code == 302
    row.refresh_from_db()
    assert row.status == "active"
    assert row.definition["description"] != former["description"]
    assert AuditEvent.objects.get(type="capability.accepted").user_id == cast.carol.pk
    assert carol.post(f"{address}/accept/").status_code == 404


def test_saving_a_capability_confirms_its_class(cast: Cast, carol: Client) -> None:
    assert submit(carol, f"{CAPABILITIES}{cast.create_issue.pk}/change/", klass="destructive").status_code == 302
    cast.create_issue.refresh_from_db()
    assert (cast.create_issue.klass, cast.create_issue.klass_confirmed) == ("destructive", True)
    page = carol.get(f"{CAPABILITIES}{cast.create_issue.pk}/change/").content.decode()
    assert "capability.class_confirmed" in page


def test_other_organizations_capability_is_not_found(cast: Cast, carol: Client) -> None:
    theirs = make_capability(cast.globex_github, "spy")
    assert carol.get(f"{CAPABILITIES}{theirs.pk}/change/").status_code == 404
    assert carol.get(f"{CAPABILITIES}?q=spy").context["cl"].result_count == 0


def test_revoke_connection_ends_it_with_a_receipt(cast: Cast, carol: Client) -> None:
    connection = make_connection(cast.github, cast.alice, account="alice-acme")
    address = f"{CONNECTIONS}{connection.pk}/revoke/"
    assert "refused at once" in carol.get(address).content.decode()
    assert carol.post(address).status_code == 302
    connection.refresh_from_db()
    assert connection.status == "revoked"
    event = AuditEvent.objects.get(type="connection.revoked")
    assert (event.user_id, event.details["reason"]) == (cast.carol.pk, "revoked by an administrator")


def test_revoke_connection_of_other_organization_is_not_found(cast: Cast, carol: Client) -> None:
    theirs = make_connection(cast.globex_github, cast.mallory)
    assert carol.post(f"{CONNECTIONS}{theirs.pk}/revoke/").status_code == 404
    theirs.refresh_from_db()
    assert theirs.status == "active"


def test_application_page_says_which_integrations_it_may_use(cast: Cast, carol: Client) -> None:
    linear = make_integration(cast.acme, "linear")
    address = f"{APPLICATIONS}{cast.pr_bot.pk}/change/"
    assert submit(carol, address, integrations=[str(linear.pk)]).status_code == 302
    allowed = cast.pr_bot.application_integrations.values_list("integration__slug", flat=True)
    assert list(allowed) == ["linear"]
    event = AuditEvent.objects.filter(type="application.changed").latest("id")
    assert event.details["integrations_disallowed"] == ["github"]


def test_application_can_not_be_given_another_organizations_integration(cast: Cast, carol: Client) -> None:
    address = f"{APPLICATIONS}{cast.pr_bot.pk}/change/"
    answer = submit(carol, address, integrations=[str(cast.globex_github.pk)])
    assert answer.status_code == 200
    assert "integrations" in answer.context["adminform"].form.errors
    assert Application.objects.get(pk=cast.pr_bot.pk).application_integrations.count() == 1


def test_integrations_own_level_is_recorded_before_and_after(cast: Cast, carol: Client) -> None:
    address = f"{LIST}{cast.github.pk}/change/"
    answer = submit(carol, address, capture_level="full", redacted_paths="title")
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    cast.github.refresh_from_db()
    assert (cast.github.capture_level, cast.github.redacted_paths) == ("full", ["title"])
    recorded = AuditEvent.objects.get(type="integration.changed").details
    assert recorded["former"] == {"capture_level": "", "redacted_paths": []}
    assert recorded["changed"] == {"capture_level": "full", "redacted_paths": ["title"]}
    assert "The content of calls is kept from now on" in carol.get(address).content.decode()


def test_adding_begins_with_a_catalogue_that_can_be_searched(cast: Cast, carol: Client) -> None:
    page = carol.get(f"{LIST}add/").content.decode()
    assert "73 services" in page
    assert 'href="?by=hand"' in page
    for words in ("GitHub", "You bring", "Kontext registers itself", "Authentication"):
        assert words in page
    found = carol.get(f"{LIST}add/?q=project linear").content.decode()
    assert "1 service for “project linear”" in found
    none = carol.get(f"{LIST}add/?q=<script>").content.decode()
    assert "&lt;script&gt;" in none
    assert "?entry=generic-mcp" in none


def test_service_of_the_catalogue_is_added_and_leads_to_its_client(cast: Cast, carol: Client) -> None:
    address = f"{LIST}add/?entry=zendesk"
    page = carol.get(address).content.decode()
    for words in ("Subdomain at Zendesk", "/oauth/callback", "read", "developer.zendesk.com"):
        assert words in page
    filled = {
        "organization": str(cast.acme.pk),
        "way": "api oauth",
        "name": "Desk",
        "slug": "desk",
        "scopes": "read\nwrite",
    }
    answer = carol.post(address, filled)
    assert answer.status_code == 422
    assert "Enter it" in str(answer.context["form"].errors["parameter-subdomain"])
    assert not Integration.objects.filter(slug="desk").exists()

    answer = carol.post(address, filled | {"parameter-subdomain": "acme"})

    integration = Integration.objects.get(slug="desk")
    assert answer["Location"] == f"{LIST}{integration.pk}/enter-client/"
    assert (integration.url, integration.status) == ("https://acme.zendesk.com/api/v2", "draft")
    form = carol.get(answer["Location"]).content.decode()
    assert "https://acme.zendesk.com/oauth/tokens" in form
    carol.post(answer["Location"], {"client_id": "ours", "client_secret": "hush-hush", "scopes": "read"})
    client = OAuthClient.objects.get(integration=integration)
    assert (client.client_id, client.token_endpoint_auth_method) == ("ours", "client_secret_post")
    page = carol.get(f"{LIST}{integration.pk}/change/").content.decode()
    assert "Zendesk (subdomain acme)" in page
    events = AuditEvent.objects.filter(user_id=cast.carol.pk, organization_id=cast.acme.pk)
    assert {"integration.added", "admin.changed"} <= set(events.values_list("type", flat=True))


def test_service_is_added_to_no_other_organization(cast: Cast, carol: Client) -> None:
    filled = {"organization": str(cast.globex.pk), "way": "mcp oauth", "name": "Linear", "slug": "linear"}
    assert carol.post(f"{LIST}add/?entry=linear", filled).status_code == 422
    assert carol.get(f"{LIST}add/?entry=nobody").status_code == 404
    assert not Integration.objects.filter(slug="linear").exists()
    taken = filled | {"organization": str(cast.acme.pk), "slug": "github"}
    assert "already exists" in carol.post(f"{LIST}add/?entry=linear", taken).content.decode()


def test_who_may_not_add_sees_no_catalogue(cast: Cast) -> None:
    assert sign_in(cast.bob).get(f"{LIST}add/").status_code in (302, 403)


def test_key_of_several_parts_is_asked_for_in_parts(cast: Cast, carol: Client) -> None:
    filled = {"organization": str(cast.acme.pk), "way": "api server_token", "name": "Phone", "slug": "phone"}
    answer = carol.post(f"{LIST}add/?entry=twilio", filled)
    integration = Integration.objects.get(slug="phone")
    assert answer["Location"] == f"{LIST}{integration.pk}/discover/"
    Integration.objects.filter(pk=integration.pk).update(key_check={})
    address = f"{LIST}{integration.pk}/enter-key/"
    assert "Account SID" in carol.get(address).content.decode()
    assert carol.post(address, {"username": "AC1"}).status_code == 200
    assert carol.post(address, {"username": "AC1", "password": "hush-hush"}).status_code == 302
    assert Connection.objects.get(integration=integration).status == "active"
    assert "hush-hush" not in carol.get(f"{LIST}{integration.pk}/change/").content.decode()
