"""The hosted connect page and its callback (THREATS 8, 9, 11, 18, 19)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from audit.models import AuditEvent
from connections.models import Connection, ConnectSession, Credential, Integration, OAuthClient
from connections.services.begin_connect import begin_connect
from orgs.models import User
from orgs.services.suspend_person import suspend_membership
from policy.models import Rule
from tests.connections.journey import consent
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_connection, make_integration

SignIn = Callable[[User], Client]


def get_path(user: User, integration: Integration, **options: Any) -> str:
    return urlsplit(begin_connect(user=user, integration=integration, **options).url).path


def go_there(browser: Client, path: str) -> str:
    """Press the page's button; returns where the integration's own sign-in is."""
    response = browser.post(path)
    assert response.status_code == 302
    return str(response["Location"])


def assert_nothing_connected(cast: Cast) -> None:
    assert not Connection.objects.filter(organization=cast.acme).exists()
    assert not Credential.objects.exists()


def test_connect_through_pages_stores_an_encrypted_credential(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn
) -> None:
    browser = sign_in(cast.alice)
    begun = browser.post(f"/connections/{integration.pk}/connect/")
    page = browser.get(begun["Location"])
    assert page.status_code == 200
    for words in ("Code", "Acme Corp", "Alice Adams", "What is stored", "What it is for", "<code>repo</code>"):
        assert words in page.content.decode()

    answer = consent(go_there(browser, begun["Location"]))
    done = browser.get("/oauth/callback", answer)

    assert (done.status_code, done["Location"]) == (302, "/connections/")
    connection = Connection.objects.get(user=cast.alice, integration=integration)
    assert (connection.status, connection.generation, connection.is_renewable) == ("active", 1, True)
    stored = bytes(connection.credential.ciphertext)
    assert not any(token.encode() in stored for tokens in github.tokens().values() for token in tokens)
    event = AuditEvent.objects.get(type="connection.activated")
    assert (event.user_id, event.connection_id, event.integration) == (cast.alice.pk, connection.pk, "code")
    shown = json.dumps(list(AuditEvent.objects.values("details")), default=str) + done.content.decode()
    shown += browser.get("/connections/").content.decode()
    secrets = [answer["code"], answer["state"], *(token for tokens in github.tokens().values() for token in tokens)]
    assert not [secret for secret in secrets if secret in shown]


def test_connecting_for_an_application_offers_rules_to_begin_with(
    cast: Cast, integration: Integration, sign_in: SignIn
) -> None:
    browser = sign_in(cast.alice)
    own = get_path(cast.alice, integration)
    assert 'name="begin"' not in browser.get(own).content.decode()
    path = get_path(cast.alice, integration, application=cast.pr_bot)
    assert "“Alice Adams lets PR-Bot read in Code”" in browser.get(path).content.decode()
    assert sign_in(cast.bob).post(path, {"begin": "everything"}).status_code == 404
    assert not Rule.objects.exists()
    assert browser.post(path, {"begin": "read_only"}).status_code == 302
    rule = Rule.objects.get()
    assert (rule.layer, rule.user, rule.application, rule.integration) == (
        "user",
        cast.alice,
        cast.pr_bot,
        integration,
    )
    assert (rule.effect, rule.klass) == ("allow", "read")


def test_link_opened_by_another_person_is_not_found(cast: Cast, integration: Integration, sign_in: SignIn) -> None:
    path = get_path(cast.alice, integration)
    for method in ("get", "post"):
        response = getattr(sign_in(cast.bob), method)(path)
        assert response.status_code == 404
        assert "Alice" not in response.content.decode()
    assert ConnectSession.objects.get().state_digest is None
    refusals = AuditEvent.objects.filter(type="connection.refused")
    assert {(event.user_id, event.details["reason"]) for event in refusals} == {(cast.bob.pk, "another person")}
    assert sign_in(cast.alice).get(path).status_code == 200


def test_link_without_a_session_leads_to_sign_in(cast: Cast, integration: Integration) -> None:
    path = get_path(cast.alice, integration)
    response = Client().get(path)
    assert response["Location"] == f"/signin/?next={path}"


def test_callback_in_another_browser_is_refused(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn
) -> None:
    answer = consent(go_there(sign_in(cast.alice), get_path(cast.alice, integration)))

    other = sign_in(cast.alice).get("/oauth/callback", answer)

    assert other.status_code == 400
    assert "kontext_connect_callback_invalid" in other.content.decode()
    assert answer["code"] not in other.content.decode()
    assert_nothing_connected(cast)
    assert github.tokens() == {"access": [], "refresh": []}
    assert AuditEvent.objects.get(type="connection.refused").details["reason"] == "another browser"


def test_callback_by_another_person_is_refused(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn
) -> None:
    alice = sign_in(cast.alice)
    answer = consent(go_there(alice, get_path(cast.alice, integration)))
    bob = sign_in(cast.bob)
    bob.cookies["kontext_connect"] = alice.cookies["kontext_connect"].value

    assert bob.get("/oauth/callback", answer).status_code == 400
    assert_nothing_connected(cast)
    assert github.tokens() == {"access": [], "refresh": []}


def test_callback_without_a_session_is_refused(cast: Cast, integration: Integration, sign_in: SignIn) -> None:
    answer = consent(go_there(sign_in(cast.alice), get_path(cast.alice, integration)))
    assert Client().get("/oauth/callback", answer).status_code == 403
    assert_nothing_connected(cast)


def test_state_is_good_once(cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn) -> None:
    browser = sign_in(cast.alice)
    answer = consent(go_there(browser, get_path(cast.alice, integration)))
    assert browser.get("/oauth/callback", answer).status_code == 302
    tokens = github.tokens()

    assert browser.get("/oauth/callback", answer).status_code == 400
    assert github.tokens() == tokens
    assert Connection.objects.get(user=cast.alice, integration=integration).generation == 1


@pytest.mark.parametrize("state", ["", "made-up"])
def test_unknown_state_is_refused(cast: Cast, integration: Integration, sign_in: SignIn, state: str) -> None:
    browser = sign_in(cast.alice)
    answer = consent(go_there(browser, get_path(cast.alice, integration)))
    assert browser.get("/oauth/callback", {**answer, "state": state}).status_code == 400
    assert_nothing_connected(cast)


def test_second_start_makes_the_first_answer_worthless(cast: Cast, integration: Integration, sign_in: SignIn) -> None:
    browser, path = sign_in(cast.alice), get_path(cast.alice, integration)
    first = consent(go_there(browser, path))
    second = consent(go_there(browser, path))
    assert browser.get("/oauth/callback", first).status_code == 400
    assert browser.get("/oauth/callback", second).status_code == 302


def test_state_expires_with_its_link(cast: Cast, integration: Integration, sign_in: SignIn) -> None:
    browser, path = sign_in(cast.alice), get_path(cast.alice, integration)
    answer = consent(go_there(browser, path))
    ConnectSession.objects.update(expires_at="2020-01-01T00:00:00Z")

    assert browser.get("/oauth/callback", answer).status_code == 400
    late = browser.get(path)
    assert late.status_code == 410
    assert "kontext_connect_link_ended" in late.content.decode()
    assert_nothing_connected(cast)


@pytest.mark.parametrize("issuer", ["https://elsewhere.test", ""])
@pytest.mark.parametrize("result", ["code", "error"])
def test_answer_of_another_issuer_is_never_redeemed(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn, issuer: str, result: str
) -> None:
    browser = sign_in(cast.alice)
    answer = consent(go_there(browser, get_path(cast.alice, integration)))
    if result == "error":
        answer = {"state": answer["state"], "error": "access_denied"}

    refused = browser.get("/oauth/callback", {**answer, "iss": issuer})

    assert refused.status_code == 400
    assert_nothing_connected(cast)
    assert github.tokens() == {"access": [], "refresh": []}
    assert "authorization server" in AuditEvent.objects.get(type="connection.refused").details["reason"]


def test_declined_consent_connects_nothing(cast: Cast, integration: Integration, sign_in: SignIn) -> None:
    browser, path = sign_in(cast.alice), get_path(cast.alice, integration)
    answer = consent(go_there(browser, path), decision="deny")
    assert browser.get("/oauth/callback", answer)["Location"] == "/connections/"
    assert_nothing_connected(cast)
    assert browser.get(path).status_code == 200  # nothing is lost: the link still works


@pytest.mark.parametrize(
    "endpoint", ["javascript:alert(1)", "file:///etc/passwd", "https://a.test/$(id)", "https://a b/"]
)
def test_browser_is_never_sent_to_a_dangerous_endpoint(
    cast: Cast, integration: Integration, sign_in: SignIn, endpoint: str
) -> None:
    OAuthClient.objects.filter(integration=integration).update(authorization_endpoint=endpoint)
    response = sign_in(cast.alice).post(get_path(cast.alice, integration))
    assert response.status_code == 409
    assert "Location" not in response


def test_authorization_request_is_bound_and_asks_for_little(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn
) -> None:
    url = urlsplit(go_there(sign_in(cast.alice), get_path(cast.alice, integration)))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query["code_challenge_method"] == "S256"
    assert query["resource"] == github.url
    assert query["scope"] == "repo"
    session = ConnectSession.objects.get()
    assert query["state"] not in (session.state_digest, session.token_digest)


def test_person_suspended_on_the_way_gets_nothing(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn
) -> None:
    browser = sign_in(cast.alice)
    answer = consent(go_there(browser, get_path(cast.alice, integration)))
    suspend_membership(membership=cast.alice.memberships.get())
    assert browser.get("/oauth/callback", answer).status_code in (400, 403)
    assert_nothing_connected(cast)
    assert github.tokens() == {"access": [], "refresh": []}


def test_switched_off_integration_can_not_be_connected(cast: Cast, integration: Integration, sign_in: SignIn) -> None:
    browser, path = sign_in(cast.alice), get_path(cast.alice, integration)
    Integration.objects.filter(pk=integration.pk).update(status="disabled")
    assert browser.get(path).status_code == 410
    assert browser.post(f"/connections/{integration.pk}/connect/").status_code == 404


def test_foreign_integration_and_connection_are_not_found(cast: Cast, sign_in: SignIn) -> None:
    theirs = make_connection(cast.globex_github, cast.mallory)
    browser = sign_in(cast.alice)
    assert browser.post(f"/connections/{cast.globex_github.pk}/connect/").status_code == 404
    assert browser.post(f"/connections/{theirs.pk}/disconnect/").status_code == 404
    bobs = make_connection(cast.github, cast.bob)
    assert browser.post(f"/connections/{bobs.pk}/disconnect/").status_code == 404
    bobs.refresh_from_db()
    assert bobs.status == "active"


def test_disconnect_says_what_stops_and_ends_it(
    cast: Cast, integration: Integration, github: GitHub, sign_in: SignIn
) -> None:
    browser = sign_in(cast.alice)
    browser.get("/oauth/callback", consent(go_there(browser, get_path(cast.alice, integration))))
    cast.pr_bot.application_integrations.create(organization=cast.acme, integration=integration)
    connection = Connection.objects.get(user=cast.alice)
    page = browser.get(f"/connections/{connection.pk}/disconnect/").content.decode()
    assert "Disconnect: 1 application loses Code" in page
    assert "PR-Bot" in page
    connection.refresh_from_db()
    assert connection.status == "active"

    assert browser.post(f"/connections/{connection.pk}/disconnect/")["Location"] == "/connections/"

    connection.refresh_from_db()
    assert (connection.status, connection.revocation) == ("revoked", "pending")
    assert not Credential.objects.exists()
    assert AuditEvent.objects.get(type="connection.revoked").user_id == cast.alice.pk
    shown = browser.get("/connections/").content.decode()
    assert "Kontext goes on asking" in shown


def test_pasted_key_is_stored_and_never_shown(cast: Cast, sign_in: SignIn) -> None:
    desk = make_integration(cast.acme, "desk", auth_mode="user_token", category="internal_mcp_credentials")
    browser, path = sign_in(cast.alice), get_path(cast.alice, desk)
    assert browser.post(path, {"key": ""}).status_code == 422
    refused = browser.post(path, {"key": "clé-secrète"})
    assert refused.status_code == 422
    assert "clé-secrète" not in refused.content.decode()

    done = browser.post(path, {"key": "sk-hush-hush"})

    assert done.status_code == 302
    connection = Connection.objects.get(user=cast.alice, integration=desk)
    assert connection.status == "active"
    assert b"hush" not in bytes(connection.credential.ciphertext)
    assert browser.post(path, {"key": "again"}).status_code == 410
    assert "hush" not in json.dumps(list(AuditEvent.objects.values("details")), default=str)
    assert "hush" not in browser.get("/connections/").content.decode()
