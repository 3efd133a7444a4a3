"""Credential-only mode: a Kontext token for the credential of a connected integration (RFC 8693)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from connections import errors as refusals
from connections.models import Capability, Connection, ConnectSession, Integration
from connections.services.add_integration import add_integration
from connections.services.refresh import get_credential
from connections.services.revoke import revoke_connection
from connections.services.store_credential import NewCredential, activate_connection
from connections.services.update_integration import update_integration
from gateway.exchange import ACCESS_TOKEN, GRANT_TYPE
from orgs.models import Application, IssuedToken, User
from orgs.services.pause_delegation import pause_delegation, resume_delegation
from orgs.services.revoke_delegation import revoke_delegation
from orgs.services.suspend_person import suspend_membership
from policy.models import Approval, LimitUse, Rule
from policy.services.approve_call import approve_call
from tests.factories import (
    Cast,
    allow_integration,
    issue_token,
    make_application,
    make_cast,
    make_delegation,
    make_integration,
    make_rule,
)
from tests.orgs.oauth.conftest import get_basic

SECRET = "s3cret-" * 8
KEY = "alices-key-at-the-desk"
JOINED = f"{settings.GATEWAY_URL}/mcp"
Answer = dict[str, Any]


@dataclass
class Desk:
    """A service that speaks no MCP, which Alice has connected with a key, and an application that may ask for it."""

    cast: Cast
    bot: Application
    desk: Integration
    connection: Connection

    def exchange(self, token: str | None = None, *, secret: str = SECRET, **changes: Any) -> tuple[int, Answer]:
        form = {
            "grant_type": GRANT_TYPE,
            "subject_token": token or self.issue(),
            "subject_token_type": ACCESS_TOKEN,
            "resource": "desk",
            **changes,
        }
        given = {name: value for name, value in form.items() if value is not None}
        response = Client().post("/oauth2/token", given, headers=get_basic(self.bot, secret))
        assert KEY not in response.content.decode() or response.status_code == 200
        return response.status_code, response.json()

    def issue(self, user: User | None = None, resource: str = JOINED, **options: Any) -> str:
        return issue_token(self.bot, user or self.cast.alice, resource, **options)[0]

    def events(self) -> list[AuditEvent]:
        return list(AuditEvent.objects.filter(type="credential.issued").order_by("id"))


@pytest.fixture
def desk(db: None) -> Desk:
    cast = make_cast()
    bot = make_application(
        cast.acme, "Desk-Bot", client_type="confidential", client_secret=SECRET, grant_types=[GRANT_TYPE]
    )
    make_delegation(bot, cast.alice)
    integration = make_integration(cast.acme, "desk", auth_mode="user_token", category="internal_mcp_credentials")
    allow_integration(bot, integration)
    for layer, subject in (("org", {}), ("user", {"user": cast.alice}), ("application", {"application": bot})):
        make_rule(cast.acme, layer, "allow", integration=integration, capability="issue_credential", **subject)
    new = NewCredential(document={"key": KEY}, account="alice@desk", scopes=("tickets",))
    connection = activate_connection(integration=integration, user=cast.alice, new=new)
    return Desk(cast, bot, integration, connection)


def test_exchange_gives_the_persons_credential_and_records_it(desk: Desk) -> None:
    token, row = issue_token(desk.bot, desk.cast.alice, JOINED)
    status, answer = desk.exchange(token)
    assert (status, answer) == (
        200,
        {
            "access_token": KEY,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "scope": "tickets",
        },
    )
    requested, completed = desk.events()
    assert (requested.phase, requested.outcome) == ("requested", "")
    assert (completed.phase, completed.outcome, completed.account) == ("completed", "ok", "alice@desk")
    assert requested.call == completed.call
    assert completed.connection_id == desk.connection.pk
    assert completed.latency_us is not None
    for event in (requested, completed):
        assert (event.user_id, event.application_id) == (desk.cast.alice.pk, desk.bot.pk)
        assert (event.integration, event.capability) == ("desk", "issue_credential")
        assert event.details == {"jti": str(row.jti)}
        assert KEY not in str(vars(event))
    assert requested.decision is not None
    assert requested.decision["effect"] == "allow"


@pytest.mark.parametrize("resource", [JOINED, f"{JOINED}/desk"])
def test_exchange_takes_a_token_for_the_integration_or_for_all(desk: Desk, resource: str) -> None:
    assert desk.exchange(desk.issue(resource=resource))[0] == 200
    assert desk.exchange(desk.issue(resource=resource), resource=f"{JOINED}/desk")[0] == 200


def test_exchange_of_key_with_a_header_of_its_own_says_it_is_no_bearer_token(desk: Desk) -> None:
    Integration.objects.filter(pk=desk.desk.pk).update(key_header="X-Api-Key", key_template="key={token};")
    status, answer = desk.exchange()
    assert (status, answer["access_token"], answer["token_type"]) == (200, KEY, "N_A")


def test_exchange_of_oauth_token_says_how_long_it_lasts(desk: Desk) -> None:
    Integration.objects.filter(pk=desk.desk.pk).update(auth_mode="oauth")
    desk.desk.refresh_from_db()
    in_an_hour = timezone.now() + dt.timedelta(hours=1)
    new = NewCredential(document={"access_token": "upstream", "refresh_token": "never-shown"}, expires_at=in_an_hour)
    activate_connection(integration=desk.desk, user=desk.cast.alice, new=new)
    status, answer = desk.exchange()
    assert (status, answer["access_token"], answer["token_type"]) == (200, "upstream", "Bearer")
    assert 3500 < answer["expires_in"] <= 3600
    assert "never-shown" not in str(answer)


def test_exchange_by_application_for_itself_gets_the_organizations_key_alone(desk: Desk) -> None:
    token, _ = issue_token(desk.bot, None, JOINED)
    make_rule(desk.cast.acme, "org", "allow", application=desk.bot, integration=desk.desk)
    status, answer = desk.exchange(token)
    assert (status, answer["error"]) == (400, "invalid_target")
    Integration.objects.filter(pk=desk.desk.pk).update(auth_mode="server_token")
    desk.desk.refresh_from_db()
    activate_connection(integration=desk.desk, user=None, new=NewCredential(document={"key": "acmes-key"}))
    assert desk.exchange(token)[1]["access_token"] == "acmes-key"
    assert desk.events()[-1].user_id is None


def _expire(desk: Desk) -> str:
    earlier = timezone.now().replace(microsecond=0) - dt.timedelta(minutes=11)
    return desk.issue(issued_at=earlier)


def _revoke(desk: Desk) -> str:
    token, row = issue_token(desk.bot, desk.cast.alice, JOINED)
    IssuedToken.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
    return token


def _end_consent(desk: Desk) -> str:
    token = desk.issue()
    revoke_delegation(delegation=desk.bot.delegations.get(), reason="test")
    return token


def _suspend(desk: Desk) -> str:
    token = desk.issue()
    suspend_membership(membership=desk.cast.alice.memberships.get())
    return token


def _predate_consent(desk: Desk) -> str:
    return desk.issue(issued_at=timezone.now().replace(microsecond=0) - dt.timedelta(seconds=30))


def _issue_to_another(desk: Desk) -> str:
    allow_integration(desk.cast.pr_bot, desk.desk)
    return issue_token(desk.cast.pr_bot, desk.cast.alice, JOINED)[0]


BAD_SUBJECTS: dict[str, Callable[[Desk], str]] = {
    "expired": _expire,
    "revoked": _revoke,
    "consent ended": _end_consent,
    "person suspended": _suspend,
    "from before the consent": _predate_consent,
    "of another application": _issue_to_another,
    "person who never consented": lambda desk: desk.issue(desk.cast.bob),
    "for another integration": lambda desk: desk.issue(resource=f"{JOINED}/github"),
    "for the management API": lambda desk: desk.issue(resource=f"{settings.PUBLIC_URL}/api/v1"),
    "without the scope": lambda desk: desk.issue(scopes=("openid",)),
    "changed": lambda desk: desk.issue()[:-2],
    "no token": lambda desk: "x",
}


@pytest.mark.parametrize("subject", BAD_SUBJECTS)
def test_exchange_of_bad_subject_token_is_refused(desk: Desk, subject: str) -> None:
    status, answer = desk.exchange(BAD_SUBJECTS[subject](desk))
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert desk.events() == []
    assert AuditEvent.objects.get(type="token.refused").details["reason"] == "invalid_grant"


BAD_FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "no subject token type": ({"subject_token_type": None}, "invalid_request"),
    "another subject token type": ({"subject_token_type": "urn:kontext:user-id"}, "invalid_request"),
    "another token wanted": (
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        "invalid_request",
    ),
    "an actor": ({"actor_token": "x"}, "invalid_request"),
    "an audience": ({"audience": "desk"}, "invalid_request"),
    "no integration": ({"resource": None}, "invalid_target"),
    "two integrations": ({"resource": ["desk", "github"]}, "invalid_target"),
    "unknown integration": ({"resource": "unknown"}, "invalid_target"),
    "another spelling": ({"resource": "Desk"}, "invalid_target"),
    "a path": ({"resource": f"{JOINED}/../desk"}, "invalid_target"),
    "not the application's": ({"resource": "github"}, "invalid_target"),
}


@pytest.mark.parametrize("form", BAD_FORMS)
def test_exchange_with_bad_form_is_refused(desk: Desk, form: str) -> None:
    changes, error = BAD_FORMS[form]
    status, answer = desk.exchange(**changes)
    assert (status, answer["error"]) == (400, error)
    assert desk.events() == []


def test_exchange_with_wrong_secret_is_refused(desk: Desk) -> None:
    assert desk.exchange(secret="wrong")[1]["error"] == "invalid_client"


def test_exchange_by_application_without_the_grant_is_refused(desk: Desk) -> None:
    Application.objects.filter(pk=desk.bot.pk).update(grant_types=["client_credentials"])
    assert desk.exchange()[1]["error"] == "unauthorized_client"


def test_exchange_for_integration_behind_the_gateway_is_refused(desk: Desk) -> None:
    """Whoever holds its credential could do what the rules about its tools refuse."""
    Integration.objects.filter(pk=desk.desk.pk).update(category="gateway_remote_mcp")
    status, answer = desk.exchange()
    assert (status, answer["error"]) == (400, "invalid_target")


def test_exchange_for_integration_that_needs_nothing_is_refused(desk: Desk) -> None:
    Integration.objects.filter(pk=desk.desk.pk).update(auth_mode="none")
    assert desk.exchange()[1]["error"] == "invalid_target"


def test_exchange_for_another_organizations_integration_is_refused(desk: Desk) -> None:
    theirs = make_integration(desk.cast.globex, "theirs", auth_mode="server_token", category="internal_mcp_credentials")
    activate_connection(integration=theirs, user=None, new=NewCredential(document={"key": "globex-key"}))
    status, answer = desk.exchange(resource="theirs")
    assert (status, answer["error"]) == (400, "invalid_target")
    assert "globex" not in str(answer).lower()


@pytest.mark.parametrize("layer", ["org", "user", "application"])
def test_exchange_that_a_rule_denies_is_refused_with_the_reason(desk: Desk, layer: str) -> None:
    subjects: dict[str, dict[str, Any]] = {
        "org": {},
        "user": {"user": desk.cast.alice},
        "application": {"application": desk.bot},
    }
    make_rule(desk.cast.acme, layer, "deny", integration=desk.desk, **subjects[layer])
    status, answer = desk.exchange()
    assert (status, answer["error"], answer["code"]) == (403, "access_denied", "kontext_policy_denied")
    (event,) = desk.events()
    assert (event.phase, event.outcome) == ("denied", "denied")
    assert event.decision is not None
    assert event.decision["deciding"] == layer
    assert event.decision["sentence"] == answer["error_description"]


@pytest.mark.parametrize("klass", ["read", "write"])
def test_exchange_is_not_allowed_by_rules_about_lesser_classes(desk: Desk, klass: str) -> None:
    desk.cast.acme.rules.filter(layer="user").update(capability="", klass=klass)
    assert desk.exchange()[1]["error"] == "access_denied"


def test_exchange_while_paused_is_refused_and_says_where_to_resume(desk: Desk) -> None:
    delegation = desk.bot.delegations.get()
    pause_delegation(delegation=delegation)
    token = desk.issue()
    status, answer = desk.exchange(token)
    assert (status, answer["error"], answer["code"]) == (403, "access_denied", "kontext_delegation_paused")
    assert answer["error_uri"] == f"{settings.PUBLIC_URL}/applications/{desk.bot.pk}/"
    assert answer["error_description"].startswith("Alice Adams has paused Desk-Bot: they can resume it at ")
    (event,) = desk.events()
    assert (event.phase, event.outcome, event.details["code"]) == ("denied", "denied", "kontext_delegation_paused")
    resume_delegation(delegation=delegation)
    assert desk.exchange(token)[0] == 200


def test_exchange_that_is_paused_while_the_credential_is_obtained_gives_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obtain(**options: Any) -> Any:
        pause_delegation(delegation=desk.bot.delegations.get())
        return get_credential(**options)

    monkeypatch.setattr("gateway.exchange.get_credential", obtain)
    status, answer = desk.exchange()
    assert (status, answer["code"]) == (403, "kontext_delegation_paused")
    assert [(event.phase, event.outcome) for event in desk.events()] == [("requested", ""), ("completed", "denied")]


def test_exchange_that_a_rule_asks_about_waits_for_its_approval(desk: Desk) -> None:
    make_rule(desk.cast.acme, "user", "ask", user=desk.cast.alice, capability="issue_*")
    status, answer = desk.exchange()
    approval = Approval.objects.with_names().get()
    assert (status, answer["error"], answer["code"]) == (403, "access_denied", "kontext_approval_required")
    assert answer["error_uri"].endswith(f"/approvals/{approval.pk}/")
    assert approval.code in answer["error_description"]
    assert [event.outcome for event in desk.events()] == ["denied"]
    approve_call(approval=approval, approver=desk.cast.alice, scope="once")
    assert desk.exchange()[0] == 200
    assert desk.events()[1].details["approvals"] == [str(approval.pk)]
    assert desk.exchange()[1]["code"] == "kontext_approval_required"


def test_exchange_without_connection_leads_the_person_to_one(desk: Desk) -> None:
    revoke_connection(connection=desk.connection, reason="test")
    status, answer = desk.exchange()
    assert (status, answer["error"]) == (400, "integration_required")
    assert answer["code"] == "kontext_integration_connection_required"
    assert answer["error_uri"].startswith(f"{settings.PUBLIC_URL}/connect/")
    session = ConnectSession.objects.get()
    assert (session.user, session.integration, session.application) == (desk.cast.alice, desk.desk, desk.bot)
    (event,) = desk.events()
    assert (event.phase, event.outcome) == ("denied", "error_auth")
    assert answer["error_uri"] not in str(vars(event))


FAILURES: dict[str, tuple[Exception, int, str, str]] = {
    "gone for good": (refusals.ReauthorizationRequiredError("gone"), 400, "integration_required", "error_auth"),
    "not now": (refusals.CredentialUnavailableError("later"), 503, "temporarily_unavailable", "error_remote"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_exchange_whose_credential_can_not_be_renewed_says_what_to_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    raised, expected_status, error, outcome = FAILURES[failure]

    def fail(**kwargs: Any) -> None:
        raise raised

    monkeypatch.setattr("gateway.exchange.get_credential", fail)
    status, answer = desk.exchange()
    assert (status, answer["error"]) == (expected_status, error)
    assert [(event.phase, event.outcome) for event in desk.events()] == [("requested", ""), ("completed", outcome)]


def test_exchange_gives_nothing_when_access_ended_while_the_credential_was_renewed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_and_get(**kwargs: Any) -> Any:
        revoke_delegation(delegation=desk.bot.delegations.get(), reason="test")
        return get_credential(**kwargs)

    monkeypatch.setattr("gateway.exchange.get_credential", end_and_get)
    status, answer = desk.exchange()
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert [(event.phase, event.outcome) for event in desk.events()] == [
        ("requested", ""),
        ("completed", "error_auth"),
    ]


def test_credential_only_integration_declares_what_rules_can_be_about(desk: Desk) -> None:
    added = add_integration(
        organization=desk.cast.acme,
        slug="api",
        name="API",
        url="https://api.test/v1",
        auth_mode="user_token",
        category="internal_mcp_credentials",
    )
    capability = Capability.objects.get(integration=added)
    assert (capability.name, capability.klass, capability.status) == ("issue_credential", "destructive", "active")
    update_integration(integration=added, category="gateway_remote_mcp")
    capability.refresh_from_db()
    assert capability.status == "removed"
    update_integration(integration=added, category="internal_mcp_credentials")
    capability.refresh_from_db()
    assert capability.status == "active"


def test_integration_behind_the_gateway_declares_nothing(desk: Desk) -> None:
    added = add_integration(organization=desk.cast.acme, slug="mcp", name="MCP", url="https://mcp.test/mcp")
    assert not Capability.objects.filter(integration=added).exists()


def test_exchange_beyond_a_limit_is_refused_until_it_begins_anew(desk: Desk) -> None:
    Rule.objects.filter(layer="application").delete()
    limit = {"limit_count": 1, "limit_period": "hour", "limit_per": "rule"}
    make_rule(desk.cast.acme, "application", "allow", application=desk.bot, integration=desk.desk, **limit)
    assert desk.exchange()[0] == 200
    status, answer = desk.exchange()
    assert (status, answer["error"], answer["code"]) == (429, "access_denied", "kontext_limit_reached")
    assert "its limit of once an hour is used up" in answer["error_description"]
    event = desk.events()[-1]
    assert (event.phase, event.outcome, event.details["code"]) == ("denied", "denied", "kontext_limit_reached")
    LimitUse.objects.update(began_at=timezone.now() - dt.timedelta(hours=1))
    assert desk.exchange()[0] == 200
